"""Undo and readers' views: one mechanism, the versions that records keep.

Every effect is applied to memory at once. The effects of entries that are not committed form the
tail; losing office pops them, last first. What an update or a deletion superseded is kept until
its entry is committed and no view reads at an earlier index; then the older version goes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self, TypeAlias

from bson.timestamp import Timestamp

from psdb_base.errors import Code, MongoError
from psdb_store.collection import Collection
from psdb_store.index import Index
from psdb_store.record import Record
from psdb_store.segments import Position
from psdb_store.sessions import SessionRecord, SessionTable

Applied: TypeAlias = tuple[Collection, Record | None, Record | None]
"""One effect in memory: where, the new version (None: deleted), the old one (None: inserted)."""


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
        committed_time, committed_wall, committed_line: Cluster and wall time and line of the last
            entry committed here.

    """

    def __init__(self, sessions: SessionTable) -> None:
        self._sessions = sessions
        self.tail: deque[TailEntry] = deque()
        self.tail_bytes = 0
        self.committed_time = Timestamp(0, 0)
        self.committed_wall = 0
        self.committed_line = b""
        self.horizon = 0
        self._views: dict[int, View] = {}
        self._superseded: deque[tuple[int, Collection, Record, bool]] = deque()
        self._committed = 0

    def push(self, entry: TailEntry) -> None:
        """Take in an entry just appended."""
        self.tail.append(entry)
        self.tail_bytes += len(entry.line)

    def committed(self, index: int) -> None:
        """Entries up to `index` are committed: catalogue changes take effect, undo is forgotten."""
        tail = self.tail
        self._committed = index
        while tail and tail[0].index <= index:
            entry = tail.popleft()
            self.committed_time, self.committed_wall = entry.time, entry.wall
            self.committed_line = entry.line
            self.tail_bytes -= len(entry.line)
            if entry.on_commit is not None:
                entry.on_commit()
            if self._views:
                for c, new, old in entry.applied:
                    if old is not None:
                        self._superseded.append((entry.index, c, new or old, new is None))
            else:
                for c, new, old in entry.applied:
                    if new is not None:
                        new.prev = None
                    elif old is not None:
                        c.forget_ghost(old.rid)
        if not self._views:
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
    def view_count(self) -> int:
        """Number of open views."""
        return len(self._views)

    def collect(self) -> None:
        """Drop superseded versions that no view needs."""
        limit = min([self._committed, *(view.at for view in self._views.values())])
        superseded = self._superseded
        while superseded and superseded[0][0] <= limit:
            _, c, record, deleted = superseded.popleft()
            if deleted:
                c.forget_ghost(record.rid)
            else:
                record.prev = None
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
