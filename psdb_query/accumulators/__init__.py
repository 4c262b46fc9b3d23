"""Accumulators: what `$group`, `$bucket`, `$setWindowFields` compute over many documents."""
