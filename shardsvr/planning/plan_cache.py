"""Which plan won for queries of the same shape, so that not every query holds a trial.

The shape of a query is what is left without its constants. An entry is a hint, not a promise:
the plan is run for a few times the work it won with, and when that is not enough, all plans are
tried again.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from weakref import WeakKeyDictionary

from psdb_query.filters import tree
from psdb_store.collection import Collection
from shardsvr.planning.query import Query

Shape: TypeAlias = tuple[Any, ...]

ENTRIES_MAX: Final = 512
"""Shapes kept for one collection."""
PATIENCE: Final = 3
SLACK: Final = 64
"""A plan from the cache may work three times as much as when it won, but not much more."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A plan that won.

    Args:
        number: Its place among the candidates.
        work: Keys and documents it looked at until it had won.

    """

    number: int
    work: int

    @property
    def allowance(self) -> int:
        """How much work the plan may do before all are tried again."""
        return min(self.work * PATIENCE, self.work + SLACK)


class Cache:
    """The entries of one collection, the least recently used first."""

    __slots__ = ("_entries", "_indexes")

    def __init__(self) -> None:
        self._entries: OrderedDict[Shape, Entry] = OrderedDict()
        self._indexes: Shape = ()

    def find(self, collection: Collection, shape: Shape) -> Entry | None:
        """Return the entry of a shape; a change of the indexes has emptied the cache."""
        indexes = tuple(
            (index.name, index.hidden, index.multikey) for index in collection.indexes.values()
        )
        if indexes != self._indexes:
            self._entries.clear()
            self._indexes = indexes
        entry = self._entries.get(shape)
        if entry is not None:
            self._entries.move_to_end(shape)
        return entry

    def keep(self, shape: Shape, entry: Entry) -> None:
        """Note the winner of a trial."""
        self._entries[shape] = entry
        if len(self._entries) > ENTRIES_MAX:
            self._entries.popitem(last=False)

    def forget(self, shape: Shape) -> None:
        """Drop an entry that did not hold."""
        self._entries.pop(shape, None)

    def clear(self) -> None:
        """Drop all entries."""
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)


_CACHES: Final[WeakKeyDictionary[Collection, Cache]] = WeakKeyDictionary()


def cache_of(collection: Collection) -> Cache:
    """Return the cache of a collection."""
    cache = _CACHES.get(collection)
    if cache is None:
        cache = _CACHES[collection] = Cache()
    return cache


def shape_of_query(query: Query, plans: int) -> Shape:
    """Return what queries share that one plan may serve."""
    sort = None if query.sort is None else tuple(query.sort.spec.items())
    paths = None if query.projection is None else query.projection.paths
    return (
        filter_shape(query.filter.tree),
        repr(sort),
        None if paths is None else tuple(sorted(paths)),
        repr(query.hint),
        query.limit is not None,
        query.count,
        query.distinct,
        plans,
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
