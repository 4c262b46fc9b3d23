"""Projections taken apart: `parse` reads a specification into a tree, `execute` compiles it.

`psdb_query.projection` is what the rest of PSDB uses.
"""
