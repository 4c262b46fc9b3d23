"""The shape of a query: what is left of it without its constants, and hashes that name it.

Queries of one shape share a plan in the cache and an index filter. `planCacheShapeHash` names
the shape, `planCacheKey` the shape together with the indexes that may serve it.
"""

from __future__ import annotations

import zlib
from typing import Any, TypeAlias

from psdb_query.filters import tree
from psdb_query.projection import Projection
from psdb_query.sorting import Sorter
from psdb_store.collection import Collection
from shardsvr.planning.query import Query

Shape: TypeAlias = tuple[Any, ...]


def shape_of(
    node: tree.Node, sort: Sorter | None, projection: Projection | None, collation: Any
) -> Shape:
    """Return the shape of a filter with its order, projection and collation."""
    order = None if sort is None or not sort.parts else tuple(sort.spec.items())
    fields = None if projection is None or projection.is_identity else projection.spec
    return (filter_shape(node), repr(order), repr(fields), repr(collation))


def shape_of_query(query: Query) -> Shape:
    """Return the shape of a query."""
    return shape_of(
        query.shown or query.filter.tree,
        query.sort,
        query.projection,
        query.collation,
    )


def filter_shape(node: tree.Node) -> Shape:
    """Return a filter without its constants."""
    kind = type(node).__name__
    if isinstance(node, (tree.And, tree.Nor, tree.Or, tree.ElemMatchValue)):
        path = getattr(node, "path", "")
        return (kind, path, *(filter_shape(child) for child in node.children))
    if isinstance(node, (tree.Not, tree.ElemMatchObject)):
        return (kind, getattr(node, "path", ""), filter_shape(node.child))
    return (kind, getattr(node, "path", ""), getattr(node, "op", ""))


def hash_text(value: Any) -> str:
    """Return a hash of 32 bits in hexadecimal digits."""
    return f"{zlib.crc32(repr(value).encode()):08X}"


def key_text(shape: Shape, collection: Collection) -> str:
    """Return the hash of a shape and of what the indexes make of it."""
    indexes = [
        (index.name, list(index.key_pattern.items()), index.sparse, index.partial is not None)
        for index in collection.indexes.values()
        if not index.hidden
    ]
    return hash_text((shape, indexes))
