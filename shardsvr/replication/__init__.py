"""Replica sets: the member's side of Raft, and what clients see of it."""
