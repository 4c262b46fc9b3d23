"""Which plan won for queries of the same shape, so that not every query holds a trial.

The shape of a query is what is left without its constants. An entry is a hint, not a promise:
the plan is run for a few times the work it won with, and when that is not enough, all plans are
tried again. What is explained neither takes a plan from here nor leaves one (manual: "explain").
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakKeyDictionary

from psdb_base.values import Document
from psdb_store.collection import Collection
from shardsvr.planning.query import Query
from shardsvr.planning.shapes import Shape, shape_of_query

ENTRIES_MAX: Final = 512
"""Shapes kept for one collection."""
PATIENCE: Final = 3
SLACK: Final = 64
"""A plan from the cache may work three times as much as when it won, but not much more."""


@dataclass(slots=True)
class Entry:
    """A plan that won.

    Args:
        number: Its place among the candidates.
        work: Keys and documents it looked at until it had won.
        story: How it won, as `$planCacheStats` shows it.
        is_active: It has served a second query of its shape.

    """

    number: int
    work: int
    story: Document = field(default_factory=dict)
    is_active: bool = False

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
            entry.is_active = True
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

    def clear(self, shape: Shape | None = None) -> None:
        """Drop all entries, or those of the queries of one shape."""
        if shape is None:
            self._entries.clear()
            return
        for key in [key for key in self._entries if key[0] == shape]:
            del self._entries[key]

    def items(self) -> list[tuple[Shape, Entry]]:
        """Return all entries with their keys, the least recently used first."""
        return list(self._entries.items())

    def __len__(self) -> int:
        return len(self._entries)


_ASIDE: Final[ContextVar[bool]] = ContextVar("_ASIDE", default=False)


@contextmanager
def put_aside() -> Iterator[None]:
    """Let every plan that is made meanwhile, without an await, be chosen by trial."""
    token = _ASIDE.set(True)
    try:
        yield
    finally:
        _ASIDE.reset(token)


_CACHES: Final[WeakKeyDictionary[Collection, Cache]] = WeakKeyDictionary()


def cache_of(collection: Collection) -> Cache:
    """Return the cache of a collection, an empty one where it is put aside."""
    if _ASIDE.get():
        return Cache()
    cache = _CACHES.get(collection)
    if cache is None:
        cache = _CACHES[collection] = Cache()
    return cache


def cache_key(query: Query, plans: int) -> Shape:
    """Return what queries share that one plan may serve: the shape, and how it is asked."""
    return (
        shape_of_query(query),
        repr(query.hint) if query.settings is None else repr(query.settings),
        query.limit is not None,
        query.count,
        query.distinct,
        plans,
    )
