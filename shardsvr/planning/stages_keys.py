"""Stages that answer from index keys without looking at documents: count and distinct."""

from __future__ import annotations

from typing import Final

from psdb_base import order
from psdb_base.values import Document
from psdb_query.bounds_keys import component_ends
from psdb_query.bounds_ranges import BEHIND, KeyRanges
from psdb_store.committed import State
from psdb_store.index import Index
from psdb_store.record import Record
from shardsvr.planning.stages import IndexScan, Stage, check_index

_NULLS: Final = (order.key(None), order.descending(order.key(None)))


class CountKeys(IndexScan):
    """Counts entries: its rows are entries, of which the caller takes the number only."""

    __slots__ = ()


class DistinctKeys(Stage):
    """One record for each value of one component of an index.

    Args:
        collection: Where the records are.
        index: The index.
        ranges: Where to look; no check of further components.
        descending: Of the leading fields up to the one whose values are wanted.

    """

    __slots__ = (
        "_after",
        "_at",
        "_bound",
        "_collection",
        "_descending",
        "_index",
        "_ranges",
        "seeks",
    )

    def __init__(
        self,
        collection: State,
        index: Index,
        ranges: KeyRanges,
        descending: tuple[bool, ...],
    ) -> None:
        super().__init__()
        self._collection = collection
        self._index = index
        self._ranges = ranges.ranges
        self._descending = descending
        self._at = 0
        self._bound = b""
        self._after: tuple[bytes, int] | None = None
        self.seeks = 0
        self.done = not self._ranges

    def pull(self, want: int) -> list[Record]:
        """Seek to the next values."""
        check_index(self._collection, self._index)
        found: list[Record] = []
        for _ in range(want):
            if self.done:
                break
            low, high = self._ranges[self._at]
            entry = self._first(max(low, self._bound), high)
            if entry is None:
                self._at += 1
                self._after = None
                self.done = self._at >= len(self._ranges)
                continue
            key, rid = entry
            ends = component_ends(key, self._descending)
            if key[ends[-2] if len(ends) > 1 else 0 : ends[-1]] in _NULLS:
                # Null's key stands for missing fields as well, so every such entry is met.
                self._after = entry
            else:
                self._bound, self._after = key[: ends[-1]] + BEHIND, None
            record = self._collection.get(rid)
            if record is not None:
                found.append(record)
        self.advanced += len(found)
        return found

    def _first(self, low: bytes, high: bytes) -> tuple[bytes, int] | None:
        self.works += 1
        self.seeks += 1
        if low >= high:
            return None
        pairs = self._collection.index_scan(
            self._index, low, high, high_inclusive=False, after=self._after, limit=1
        )
        self.keys_examined += len(pairs)
        return pairs[0] if pairs else None

    def counters(self) -> Document:
        """Tell what was looked at."""
        return {"keysExamined": self.keys_examined}
