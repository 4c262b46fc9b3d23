"""Floor 1: errors, BSON, order, paths, Extended JSON lines, limits and the world's ports."""
