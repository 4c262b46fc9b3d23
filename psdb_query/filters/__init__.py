"""Filters: MongoDB's query language compiled once per shape.

`compile_filter` gives a `Filter` whose `matches` and `batch` are plain closures, together with
the parsed tree that the planner, the router and upserts read.
"""

from psdb_query.filters.filter import Filter, compile_filter

__all__ = ["Filter", "compile_filter"]
