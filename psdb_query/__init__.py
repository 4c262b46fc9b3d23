"""Floor 2: the query language as pure functions: filters, updates, projections, stages."""
