"""Window functions: what `$setWindowFields` computes over the neighbours of each document."""
