"""Index filters: which indexes the planner may use for the queries of a shape.

They are set by command, kept in memory, and stand above hints.
"""

from __future__ import annotations

from typing import Any, Final
from weakref import WeakKeyDictionary

from psdb_base.values import Document
from psdb_store.collection import Collection
from shardsvr.planning.indexes import is_meant
from shardsvr.planning.query import Advice, Query
from shardsvr.planning.shapes import Shape, shape_of_query

_FILTERS: Final[WeakKeyDictionary[Collection, dict[Shape, Document]]] = WeakKeyDictionary()


def filters_of(collection: Collection) -> list[Document]:
    """Return a collection's filters as `planCacheListFilters` shows them."""
    return list(_FILTERS.get(collection, {}).values())


def has_filter(collection: Collection, shape: Shape) -> bool:
    """Tell whether there is a filter for a shape."""
    return shape in _FILTERS.get(collection, {})


def set_filter(collection: Collection, shape: Shape, shown: Document) -> None:
    """Keep a filter, in place of an earlier one for the shape."""
    _FILTERS.setdefault(collection, {})[shape] = shown


def clear_filters(collection: Collection, shape: Shape | None) -> None:
    """Forget the filter of a shape, or all."""
    found = _FILTERS.get(collection)
    if found is None:
        return
    if shape is None:
        found.clear()
    else:
        found.pop(shape, None)


def allowed_indexes(query: Query) -> frozenset[str] | None:
    """Return the names of the indexes that a filter leaves to a query; None without a filter."""
    found = _FILTERS.get(query.collection)
    if not found:
        return None
    shown = found.get(shape_of_query(query))
    if shown is None:
        return None
    return _names(query, shown["indexes"])


def take_advice(query: Query) -> None:
    """Restrict a query to the indexes that the settings of its shape leave it."""
    advice: Advice = query.hint
    query.hint, query.settings = advice.hint, advice.settings
    indexes = advice.indexes.get(query.collection.ns)
    if indexes is not None:
        query.hint, query.allowed = None, _names(query, indexes)


def _names(query: Query, wanted: list[Any]) -> frozenset[str]:
    return frozenset(
        index.name
        for index in query.collection.indexes.values()
        if any(is_meant(index, one) for one in wanted)
    )
