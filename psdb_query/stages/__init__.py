"""Aggregation stages: compiled from their specifications, run over batches of documents."""
