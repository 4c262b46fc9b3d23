"""The commands of a member, a file a family."""
