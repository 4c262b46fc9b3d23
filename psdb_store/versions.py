"""Undo and readers' views: one mechanism, the versions that records keep.

Every effect is applied to memory at once. The effects of entries that are not committed form the
tail; losing office pops them, last first. What an update or a deletion superseded is kept until
its entry is committed, no view reads at an earlier index, and the window of history has passed;
then the older version goes.

Indexes hold the latest versions' entries, exactly. What old versions had beside them is worked out
when a view first reads through an index (`Past`), so writers and readers of the present never look
at it (decision 0004).
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Self, TypeAlias

from bson.timestamp import Timestamp
from BTrees.OOBTree import OOBTree, OOTreeSet

from psdb_base.errors import Code, MongoError
from psdb_store.collection import Collection
from psdb_store.index import Index
from psdb_store.record import Record
from psdb_store.segments import Position
from psdb_store.sessions import SessionRecord, SessionTable

Applied: TypeAlias = tuple[Collection, Record | None, Record | None]
"""One effect in memory: where, the new version (None: deleted), the old one (None: inserted)."""
Superseded: TypeAlias = tuple[int, int, Collection, Record | None, Record]
"""Log index and wall time of a committed entry, where, the new version, the old one."""
_VERSION_OVERHEAD_BYTES: Final = 350
"""What a version that is kept takes beside its document: record, ghost, place in the queue."""


@dataclass(slots=True)
class TailEntry:
    """What an entry did, until it is committed.

    Attributes:
        index: Its log index.
        before: Log position before it.
        line: Its line, which another leader may commit after this one lost office.
        time, wall: Its cluster time, and the leader's wall clock in milliseconds.
        applied: Its effects in order.
        session: Session id and the record before the entry.
        on_commit: Makes a catalogue entry take effect.
        on_undo: Called instead when the entry is undone.

    """

    index: int
    before: Position
    line: bytes
    time: Timestamp
    wall: int
    applied: list[Applied] = field(default_factory=list)
    session: tuple[bytes, SessionRecord | None] | None = None
    on_commit: Callable[[], None] | None = None
    on_undo: Callable[[], None] | None = None


class View:
    """The state at one log index, for as long as the view is open.

    It is read by record number, by `_id`, in natural order and through any index; a writer that
    relies on what it read claims the record first.

    Attributes:
        at: The log index.

    """

    def __init__(self, versions: Versions, at: int) -> None:
        self.at = at
        self._versions: Versions | None = versions

    def record_at(self, c: Collection, rid: int) -> Record | None:
        """Return the version of a record that the view sees, None when there is none."""
        record = c.records.get(rid)
        if record is None:
            ghost = c.ghosts.get(rid)
            if ghost is None or ghost[0] <= self.at:
                return None
            record = ghost[1]
        while record is not None and record.at > self.at:
            record = record.prev
        return record

    def scan(
        self, c: Collection, after: int | None, limit: int, reverse: bool = False
    ) -> list[Record]:
        """Return up to `limit` records that the view sees, as `Collection.scan` does."""
        found: list[Record] = []
        for rids in c.rid_slices(after, limit, reverse=reverse):
            seen = [self.record_at(c, rid) for rid in rids]
            found += [record for record in seen if record is not None]
            if len(found) >= limit:
                found = found[:limit]
                break
        c.warm([record for record in found if record.home is not None])
        return found

    def by_id(self, c: Collection, id_key: bytes) -> Record | None:
        """Return the version of the document with this `_id` key that the view sees."""
        rid = c.ids.get(id_key)
        record = None if rid is None else self.record_at(c, rid)
        if record is None and c.ghosts and c.id_index is not None:
            found = self.index_scan(c, c.id_index, id_key, id_key, limit=1)
            record = self.record_at(c, found[0][1]) if found else None
        return record

    def index_scan(
        self,
        c: Collection,
        index: Index,
        low: bytes,
        high: bytes,
        *,
        low_inclusive: bool = True,
        high_inclusive: bool = True,
        after: tuple[bytes, int] | None = None,
        reverse: bool = False,
        limit: int,
    ) -> list[tuple[bytes, int]]:
        """Return about `limit` (key, rid) between two bounds, as the index was at the view.

        Arguments are those of `Index.scan`. An empty list means the end; there may be more than
        `limit` where old versions add entries.
        """
        assert self._versions is not None, "the view is closed"
        bounds: dict[str, Any] = {
            "low_inclusive": low_inclusive, "high_inclusive": high_inclusive, "reverse": reverse,
        }  # fmt: skip
        old = self._versions.past.entries(c, index)
        while True:
            now = index.scan(low, high, after=after, limit=limit, **bounds)
            edge = now[-1] if len(now) == limit else None
            pairs = dict.fromkeys(now)
            if old:
                more = index.scan(low, high, after=after, limit=sys.maxsize, tree=old, **bounds)
                pairs.update(dict.fromkeys(_up_to(more, edge, reverse=reverse)))
            latest = dict.fromkeys(now)
            found = [pair for pair in pairs if self._sees(c, index, pair, latest)]
            if found or edge is None:
                return sorted(found, key=_entry, reverse=reverse)
            after = edge

    def _sees(
        self, c: Collection, index: Index, pair: tuple[bytes, int], latest: dict[Any, None]
    ) -> bool:
        """Tell whether the version that the view sees of a record has a key."""
        key, rid = pair
        record = self.record_at(c, rid)
        if record is None:
            return False
        if record is c.records.get(rid):
            return pair in latest
        return key in _keys(index, record)

    def claim(self, c: Collection, rid: int) -> Record:
        """Return a record's latest version, to be changed; it has to be the one the view sees.

        Raises MongoError 112 when the record was changed since.
        """
        record = c.records.get(rid)
        if record is None or record.at > self.at:
            raise MongoError(
                Code.WRITE_CONFLICT,
                "Caused by :: Write conflict during plan execution and yielding is disabled. :: "
                "Please retry your operation or multi-document transaction.",
            )
        return record

    def close(self) -> None:
        """Let go of the versions kept for this view."""
        versions, self._versions = self._versions, None
        if versions is not None:
            versions.close_view(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Versions:
    """The uncommitted tail, the open views, and the versions superseded but still needed.

    Attributes:
        tail: Entries not committed, oldest first.
        tail_bytes: Their lines' bytes.
        horizon: Versions superseded at or below this index may be gone.
        history_ms: How long committed history is kept for views in the past; 0: not at all.
        history_bytes: How many bytes of old versions it may keep.
        past: Index entries of old versions.
        commit_index: Everything up to it is committed.
        committed_time, committed_wall, committed_line: Cluster and wall time and line of the last
            entry committed here.

    """

    def __init__(
        self, sessions: SessionTable, history_ms: int = 0, history_bytes: int = 0
    ) -> None:
        self.history_ms = history_ms
        self.history_bytes = history_bytes
        self._sessions = sessions
        self.tail: deque[TailEntry] = deque()
        self.tail_bytes = 0
        self.committed_time = Timestamp(0, 0)
        self.committed_wall = 0
        self.committed_line = b""
        self.horizon = 0
        self._views: dict[int, View] = {}
        self._superseded: deque[Superseded] = deque()
        self._kept_bytes = 0
        self.commit_index = 0
        self.past = Past(self)

    def push(self, entry: TailEntry) -> None:
        """Take in an entry just appended."""
        self.tail.append(entry)
        self.tail_bytes += len(entry.line)

    def tail_of(self, c: Collection) -> Iterator[Applied]:
        """Give the effects on a collection that are not committed, oldest first."""
        for entry in self.tail:
            for applied in entry.applied:
                if applied[0] is c:
                    yield applied

    def committed(self, index: int) -> None:
        """Entries up to `index` are committed: catalogue changes take effect, undo is forgotten."""
        tail = self.tail
        self.commit_index = index
        while tail and tail[0].index <= index:
            entry = tail.popleft()
            self.committed_time, self.committed_wall = entry.time, entry.wall
            self.committed_line = entry.line
            self.tail_bytes -= len(entry.line)
            if entry.on_commit is not None:
                entry.on_commit()
            if self._views or self.history_ms:
                for c, new, old in entry.applied:
                    if old is not None:
                        self._superseded.append((entry.index, entry.wall, c, new, old))
                        self._kept_bytes += len(old.raw) + _VERSION_OVERHEAD_BYTES
            else:
                forget_superseded(entry.applied)
        if self.history_ms:
            self.collect()
        elif not self._views:
            self.horizon = index

    def open_view(self, at: int) -> View:
        """Register a view; 239 SnapshotTooOld when what it would see is gone."""
        if at < self.horizon:
            raise MongoError(
                Code.SNAPSHOT_TOO_OLD,
                f"Read at log index {at} is older than the oldest available, {self.horizon}",
            )
        view = View(self, at)
        self._views[id(view)] = view
        return view

    def close_view(self, view: View) -> None:
        """Forget a view and drop the versions that only it needed."""
        self._views.pop(id(view), None)
        self.collect()

    @property
    def superseded(self) -> deque[Superseded]:
        """What committed entries superseded and is kept, oldest first."""
        return self._superseded

    @property
    def view_count(self) -> int:
        """Number of open views."""
        return len(self._views)

    def collect(self, now_ms: int = 0) -> None:
        """Drop superseded versions that neither a view nor the window of history needs.

        The window gives way when what it keeps has grown too large. It ends at the last commit,
        or where nothing is written any more at `now_ms`.
        """
        limit = min([self.commit_index, *(view.at for view in self._views.values())])
        young_ms = max(self.committed_wall, now_ms) - self.history_ms
        superseded = self._superseded
        while superseded and superseded[0][0] <= limit:
            index, wall, c, new, old = superseded[0]
            if self.history_ms and wall > young_ms and self._kept_bytes <= self.history_bytes:
                return
            superseded.popleft()
            self._kept_bytes -= len(old.raw) + _VERSION_OVERHEAD_BYTES
            self.past.dropped(index, c, new, old)
            if new is None:
                c.forget_ghost(old.rid)
            else:
                new.prev = None
            self.horizon = max(self.horizon, index)
        if not superseded:
            self.past.clear()
        if not self.history_ms:
            self.horizon = max(self.horizon, limit)

    def undo_to(self, index: int) -> list[TailEntry]:
        """Undo the entries above `index`, last first; return them, oldest first."""
        undone: list[TailEntry] = []
        while self.tail and self.tail[-1].index > index:
            entry = self.tail.pop()
            self.tail_bytes -= len(entry.line)
            undone.append(entry)
            undo_effects(entry.applied)
            if entry.session is not None:
                self._sessions.put(*entry.session)
            if entry.on_undo is not None:
                entry.on_undo()
        undone.reverse()
        return undone


_NONE: Final[Any] = OOBTree()


class Past:
    """Index entries that old versions have and their successors have not, per index in use.

    Of what is committed they are kept, with the number of versions that have each, and brought up
    to date at each use; of the tail, which may be undone, they are worked out each time.
    """

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        self._kept: dict[int, tuple[Index, Collection, Any, list[int]]] = {}
        self._of_tail: tuple[tuple[TailEntry, TailEntry, int], dict[int, list[bytes]]] | None = None

    def entries(self, c: Collection, index: Index) -> Any:
        """Return a tree of entries, or an empty one."""
        tree, uncommitted = self._committed(c, index), self._uncommitted(c, index)
        if not uncommitted:
            return tree
        return OOTreeSet([*tree, *uncommitted])

    def _committed(self, c: Collection, index: Index) -> Any:
        if not self._versions.superseded:
            return _NONE
        _, _, tree, upto = self._kept.setdefault(id(index), (index, c, OOBTree(), [-1]))
        newest = upto[0]
        for at, _, where, new, old in reversed(self._versions.superseded):
            if at <= upto[0]:
                break
            newest = max(newest, at)
            if where is c:
                for entry in _lost(index, new, old):
                    tree[entry] = tree.get(entry, 0) + 1
        upto[0] = newest
        return tree

    def _uncommitted(self, c: Collection, index: Index) -> list[bytes]:
        """Work it out once for as long as the tail is the same."""
        tail = self._versions.tail
        if not tail:
            self._of_tail = None
            return []
        same = self._of_tail is not None and all(
            a is b for a, b in zip(self._of_tail[0], (tail[0], tail[-1], len(tail)), strict=True)
        )
        if self._of_tail is None or not same:
            self._of_tail = (tail[0], tail[-1], len(tail)), {}
        known = self._of_tail[1]
        if id(index) not in known:
            known[id(index)] = [
                entry
                for _, new, old in self._versions.tail_of(c)
                if old is not None
                for entry in _lost(index, new, old)
            ]
        return known[id(index)]

    def dropped(self, at: int, c: Collection, new: Record | None, old: Record) -> None:
        """Forget the entries of a version that is dropped."""
        for index, where, tree, upto in self._kept.values():
            if where is c and at <= upto[0]:
                for entry in _lost(index, new, old):
                    if tree[entry] > 1:
                        tree[entry] -= 1
                    else:
                        del tree[entry]

    def clear(self) -> None:
        """Forget everything: there are no old versions."""
        self._kept.clear()


def _lost(index: Index, new: Record | None, old: Record) -> list[bytes]:
    """Entries of a version that its successor has not."""
    tail = old.rid.to_bytes(8, "big")
    kept = dict.fromkeys(_keys(index, new)) if new is not None else {}
    return [key + tail for key in _keys(index, old) if key not in kept]


def _entry(pair: tuple[bytes, int]) -> bytes:
    return pair[0] + pair[1].to_bytes(8, "big")


def _up_to(
    pairs: list[tuple[bytes, int]], edge: tuple[bytes, int] | None, *, reverse: bool
) -> list[tuple[bytes, int]]:
    """Return the pairs, in order, that do not lie beyond the edge."""
    if edge is None:
        return pairs
    last = _entry(edge)
    if reverse:
        return [pair for pair in pairs if _entry(pair) >= last]
    return [pair for pair in pairs if _entry(pair) <= last]


def forget_superseded(applied: list[Applied]) -> None:
    """Drop the versions that effects superseded: nobody can ask for them."""
    for c, new, old in applied:
        if new is not None:
            new.prev = None
        elif old is not None:
            c.forget_ghost(old.rid)


def undo_effects(applied: list[Applied]) -> None:
    """Undo effects in memory, last first; indexes included."""
    for c, new, old in reversed(applied):
        if new is None:
            assert old is not None
            c.undo_take_out(old, c.id_key_of(old))
        elif old is None:
            c.undo_put(new, c.id_key_of(new))
        else:
            c.replace(old, new)
        for index in c.secondary:
            if new is not None:
                index.discard(_keys(index, new), new.rid)
            if old is not None:
                index.add(_keys(index, old), old.rid)


def _keys(index: Index, record: Record) -> list[bytes]:
    """Keys of a version; a version that an index being built could not take has none."""
    try:
        return index.keys_of(record.document())
    except MongoError:
        return []
