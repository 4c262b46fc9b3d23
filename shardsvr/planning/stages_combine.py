"""Stages that combine or reorder what others give: union, merge, sort, skip, limit."""

from __future__ import annotations

from typing import Any, Final

from psdb_base import order
from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_query.bounds_keys import component_ends
from psdb_query.context import Env
from psdb_query.sorting import Sorter
from psdb_query.stages.meta import META
from psdb_query.stages.spilling import refuse_spilling
from psdb_store.committed import State
from psdb_store.record import Record
from shardsvr.planning.stages import Selector, Stage

_KEYED_FROM: Final = 20_000
"""With more records than this a sort keeps their keys instead of decoding all at the end."""
_TRIM_FACTOR: Final = 4
_TRIM_SLACK: Final = 4096


class Union(Stage):
    """What any of several stages gives, each record once.

    The children all give records, or all give index entries.
    """

    __slots__ = ("_at", "_seen", "dups_dropped")

    def __init__(self, *children: Stage) -> None:
        super().__init__(*children)
        self._at = 0
        self._seen: set[int] = set()
        self.dups_dropped = 0

    def pull(self, want: int) -> list[Any]:
        """Pull the present child."""
        child = self.children[self._at]
        rows = child.pull(want)
        if child.done:
            self._at += 1
            self.done = self._at >= len(self.children)
        seen, fresh = self._seen, []
        for row in rows:
            rid = row[1] if type(row) is tuple else row.rid
            if rid not in seen:
                seen.add(rid)
                fresh.append(row)
        self.works += max(len(rows), 1)
        self.dups_dropped += len(rows) - len(fresh)
        self.advanced += len(fresh)
        return fresh

    def counters(self) -> Document:
        """Duplicates."""
        return {
            "dupsTested": len(self._seen) + self.dups_dropped,
            "dupsDropped": self.dups_dropped,
        }


class MergeSorted(Stage):
    """Entries of scans of one index, merged by the components behind those that are fixed.

    Args:
        scans: Index scans, all in one direction.
        descending: Of the index's leading fields, as many as the order needs.
        fixed: How many of them each scan fixes to one value.
        reverse: The scans go backward.

    """

    __slots__ = (
        "_descending",
        "_fixed",
        "_heads",
        "_reverse",
        "_seen",
        "dups_dropped",
    )

    def __init__(
        self, scans: list[Stage], descending: tuple[bool, ...], fixed: int, *, reverse: bool
    ) -> None:
        super().__init__(*scans)
        self._descending = descending
        self._fixed = fixed
        self._reverse = reverse
        self._heads: list[list[tuple[bytes, tuple[bytes, int]]]] = [[] for _ in scans]
        self._seen: set[int] = set()
        self.dups_dropped = 0

    def pull(self, want: int) -> list[tuple[bytes, int]]:
        """Return the next entries; every child that is not done must have one waiting."""
        found: list[tuple[bytes, int]] = []
        while want > 0:
            want -= self._fill(max(want // len(self._heads), 1))
            if any(
                not heads and not child.done
                for heads, child in zip(self._heads, self.children, strict=True)
            ):
                break
            waiting = [heads for heads in self._heads if heads]
            if not waiting:
                self.done = True
                break
            want -= 1
            row = min(waiting, key=lambda heads: heads[-1][0]).pop()[1]
            if row[1] in self._seen:
                self.dups_dropped += 1
            else:
                self._seen.add(row[1])
                found.append(row)
        self.works += max(len(found), 1)
        self.advanced += len(found)
        return found

    def _fill(self, size: int) -> int:
        """Pull the children that have nothing waiting; return the work done."""
        work = 0
        for heads, child in zip(self._heads, self.children, strict=True):
            if heads or child.done:
                continue
            rows = child.pull(size)
            work += max(len(rows), 1)
            heads.extend((self._rest(key), (key, rid)) for key, rid in reversed(rows))
        return work

    def _rest(self, key: bytes) -> bytes:
        """Return what the order is by: the components behind the fixed ones."""
        ends = component_ends(key, self._descending)
        rest = key[ends[self._fixed - 1] if self._fixed else 0 : ends[-1]]
        return order.descending(rest) if self._reverse else rest

    def counters(self) -> Document:
        """Duplicates."""
        return {
            "dupsTested": len(self._seen) + self.dups_dropped,
            "dupsDropped": self.dups_dropped,
        }


class SortOverflowError(MongoError):
    """A sort in memory has more rows than it may hold (292): it has to go on with disk space."""

    def __init__(self, memory_bytes: int) -> None:
        error = refuse_spilling("Sort", memory_bytes)
        super().__init__(error.code, error.message)


class Sort(Stage):
    """All rows of a stage in order, or the first of them.

    A record that changed after it was taken in is looked at again when its turn comes; it keeps
    the place that its old version had.
    """

    __slots__ = (
        "_bounded",
        "_child",
        "_collection",
        "_env",
        "_filter",
        "_held_bytes",
        "_keyed",
        "_limit",
        "_memory_bytes",
        "_place",
        "_rows",
        "_sorted",
        "_sorter",
        "total_bytes",
    )

    def __init__(
        self,
        child: Stage,
        collection: State,
        sorter: Sorter,
        selector: Selector,
        env: Env,
        limit: int | None,
        memory_bytes: int,
        *,
        bounded: bool,
    ) -> None:
        super().__init__(child)
        self._child = child
        self._collection = collection
        self._memory_bytes = memory_bytes
        self._bounded = bounded
        self._held_bytes = 0
        self._sorter = sorter
        self._filter = selector
        self._env = env
        self._limit = limit
        self._rows: list[Record] = []
        self._keyed: list[tuple[bytes, int, Record]] | None = None
        self._sorted: list[Record] | None = None
        self._place = 0
        self.total_bytes = 0

    def pull(self, want: int) -> list[Record]:
        """Take rows in until the child has no more, then give them out."""
        if self._sorted is None:
            if not self._child.done:
                self._take(self._child.pull(want))
            if not self._child.done:
                return []
            self._sorted = self._order()
        batch = self._sorted[self._place : self._place + want]
        self._place += len(batch)
        self.done = self._place >= len(self._sorted)
        rows = [row for row in map(self._latest, batch) if row is not None]
        self.works += len(batch)
        self.advanced += len(rows)
        return rows

    def _take(self, rows: list[Record]) -> None:
        self.works += len(rows)
        size = sum([len(row.raw) for row in rows])
        self.total_bytes += size
        self._held_bytes += size
        self._hold(rows)
        if self._bounded and self._held_bytes > self._memory_bytes:
            if self._limit is not None:
                self._trim(self._limit)
            if self._held_bytes > self._memory_bytes:
                raise SortOverflowError(self._memory_bytes)

    def _trim(self, limit: int) -> None:
        """Keep only the first rows."""
        self._rows, self._keyed = self._order()[:limit], None
        self._held_bytes = sum([len(row.raw) for row in self._rows])

    def _hold(self, rows: list[Record]) -> None:
        if self._keyed is not None:
            self._take_keyed(rows)
            return
        self._rows += rows
        if len(self._rows) <= _KEYED_FROM:
            return
        if self._limit is not None and self._limit * _TRIM_FACTOR + _TRIM_SLACK < _KEYED_FROM:
            self._trim(self._limit)
            return
        self._keyed = []
        self._take_keyed(self._rows)
        self._rows = []

    def _take_keyed(self, rows: list[Record]) -> None:
        keyed = self._keyed
        assert keyed is not None
        at = len(keyed)
        keyed += [(self._key(row), at + n, row) for n, row in enumerate(rows)]

    def _key(self, row: Record) -> bytes:
        env = self._env
        if self._sorter.needs_meta:
            env = {**env, META: self._child.meta(row.rid) or {}}
        return self._sorter.key(row.document(), env)

    def _ordered(self, rows: list[Record]) -> list[Record]:
        if self._sorter.needs_meta:
            return sorted(rows, key=self._key)
        places = self._sorter.order([row.document() for row in rows], self._env)
        return [rows[place] for place in places]

    def _order(self) -> list[Record]:
        if self._keyed is None:
            rows = self._ordered(self._rows)
        else:
            self._keyed.sort()
            rows = [row for _key, _number, row in self._keyed]
        self._rows, self._keyed = [], None
        return rows if self._limit is None else rows[: self._limit]

    def _latest(self, row: Record) -> Record | None:
        current = self._collection.get(row.rid)
        if current is None or current is row or self._filter.matches(current):
            return current
        return None

    def counters(self) -> Document:
        """Sizes as MongoDB names them."""
        # A run to be explained holds everything; the find itself goes to disk this often.
        spills = self._held_bytes // max(self._memory_bytes, 1)
        return {
            "totalDataSizeSorted": self.total_bytes, "usedDisk": spills > 0, "spills": spills,
        }


class Skip(Stage):
    """All but the first rows."""

    __slots__ = ("_child", "_left")

    def __init__(self, child: Stage, count: int) -> None:
        super().__init__(child)
        self._child = child
        self._left = count

    def pull(self, want: int) -> list[Any]:
        """Pull the child and drop rows."""
        rows = self._child.pull(want)
        self.done = self._child.done
        self.works += max(len(rows), 1)
        if self._left:
            dropped = min(self._left, len(rows))
            self._left -= dropped
            rows = rows[dropped:]
        self.advanced += len(rows)
        return rows


class Limit(Stage):
    """No more than so many rows.

    The child is asked for just as many at first, and for more only as long as few come of it:
    nothing is looked at that is not needed.

    Args:
        child: Gives the rows.
        count: How many to let through.
        needed: How many the child has to find for that (a skip below takes some away).

    """

    __slots__ = ("_child", "_left", "_step")

    def __init__(self, child: Stage, count: int, needed: int) -> None:
        super().__init__(child)
        self._child = child
        self._left = count
        self._step = needed
        self.done = count <= 0

    def pull(self, want: int) -> list[Any]:
        """Pull the child for no more than is wanted."""
        step = min(want, self._step)
        rows = self._child.pull(step)[: self._left]
        if len(rows) * 2 <= step:
            self._step *= 2
        self._left -= len(rows)
        self.done = self._child.done or self._left <= 0
        self.works += max(len(rows), 1)
        self.advanced += len(rows)
        return rows
