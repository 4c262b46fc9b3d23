"""Log entries that another member made: taken in verbatim, applied when they are committed.

A member that is not its group's leader appends the leader's lines as they are and applies those
that are committed. Winning an election applies the rest as well, uncommitted; like a leader's own
writes they are then undone if office is lost before they are committed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import orjson
from bson.timestamp import Timestamp

from psdb_base.extjson import from_json
from psdb_store.applying import apply_effect
from psdb_store.catalogue import Catalogue, attach_index
from psdb_store.index import IdIndex, Index
from psdb_store.index_kinds import make_index
from psdb_store.lines import line_hash
from psdb_store.replay import index_entries
from psdb_store.segments import Position, entry_index, entry_term, is_catalogue
from psdb_store.sessions import SessionTable, read_runs
from psdb_store.versions import TailEntry


class Received:
    """Entries in the log that are not applied yet, oldest first.

    Attributes:
        applied: Position of the last entry that is applied.
        last_time: Cluster time of the last entry applied here.

    """

    def __init__(self, catalogue: Catalogue, sessions: SessionTable, applied: Position) -> None:
        self._catalogue = catalogue
        self._sessions = sessions
        self.applied = applied
        self.last_time = Timestamp(0, 0)
        self._lines: deque[bytes] = deque()
        self._built: tuple[int, dict[bytes, Index]] = (0, {})

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, line: bytes) -> None:
        """Take in the next entry's line."""
        self._lines.append(line)

    def take_back(self, undone: list[TailEntry]) -> None:
        """Take in entries that were applied and undone (oldest first): they stay in the log."""
        if undone:
            self._lines.extendleft(reversed([entry.line for entry in undone]))
            self.applied = undone[0].before

    def next_build(self, index: int) -> int | None:
        """Index of the next entry up to `index` that brings a finished index, None without one."""
        for place, line in enumerate(self._lines, self.applied.index + 1):
            if place > index:
                return None
            if is_catalogue(line) and _new_indexes(orjson.loads(line)):
                return place
        return None

    async def prepare_build(self, slice_documents: int) -> None:
        """Build the indexes that the next entry brings, in slices; nothing is applied meanwhile."""
        body: dict[str, Any] = orjson.loads(self._lines[0])
        built: dict[bytes, Index] = {}
        for effect in _new_indexes(body):
            c = self._catalogue.by_uuid[bytes.fromhex(effect["ui"])]
            index = make_index(c, from_json(effect["o"])["spec"], body["wall"])
            if isinstance(index, IdIndex):
                continue
            for records in c.batches(slice_documents):
                for record in records:
                    keys, paths = index.keys_and_paths(record.peek())
                    index.note_paths(paths)
                    index.add(keys, record.rid)
                await asyncio.sleep(0)
            built[bytes(c.uuid) + index.name.encode()] = index
        self._built = body["index"], built

    def drop_above(self, index: int) -> Position:
        """Forget entries above `index` that are not applied; return the position that is left."""
        while self._lines and self.applied.index + len(self._lines) > index:
            self._lines.pop()
        if not self._lines:
            return self.applied
        last = self._lines[-1]
        return Position(entry_index(last), entry_term(last), line_hash(last))

    def apply_to(self, index: int, settle: Callable[[int], None]) -> Iterator[TailEntry]:
        """Apply the entries up to `index` to memory one by one; yield what undoes each.

        Args:
            index: The last entry to apply.
            settle: Called before each with the commit index its leader knew: catalogue changes up
                to there have to be in effect, since the entry may rely on them.

        """
        while self._lines and self.applied.index < index:
            line = self._lines.popleft()
            body: dict[str, Any] = orjson.loads(line)
            settle(min(body["commit"], self.applied.index))
            entry = self._apply(line, body)
            self.applied = Position(body["index"], body["term"], line_hash(line))
            yield entry

    def _apply(self, line: bytes, body: dict[str, Any]) -> TailEntry:
        stamp = body["time"]["$timestamp"]
        self.last_time = Timestamp(stamp["t"], stamp["i"])
        entry = TailEntry(body["index"], self.applied, line, self.last_time, body["wall"])
        changes = [effect for effect in body["effects"] if effect["op"] == "c"]
        for effect in body["effects"]:
            if effect["op"] != "c":
                c = self._catalogue.by_uuid[bytes.fromhex(effect["ui"])]
                entry.applied.append(apply_effect(c, effect, body["index"]))
        if changes:
            entry.on_commit = lambda: self._change(changes, body["wall"])
        if "lsid" in body:
            lsid = bytes.fromhex(body["lsid"])
            runs = read_runs(body["statements"])
            before = self._sessions.note(lsid, body["txnNumber"], runs, body["wall"])
            entry.session = (lsid, before)
        return entry

    def _change(self, changes: list[dict[str, Any]], wall_ms: int) -> None:
        """Make catalogue changes take effect; a new index is filled at once."""
        for effect in changes:
            uuid = bytes.fromhex(effect["ui"])
            change = from_json(effect["o"])
            self._catalogue.apply(effect["ns"], uuid, change, wall_ms)
            if "createIndexes" in change:
                c = self._catalogue.by_uuid[uuid]
                index = c.indexes[change["spec"]["name"]]
                at, built = self._built
                ready = built.get(uuid + index.name.encode())
                if ready is not None and at == self.applied.index:
                    attach_index(c, ready)
                elif not isinstance(index, IdIndex):
                    index.fill(index_entries(c, index))
        self._built = 0, {}


def _new_indexes(body: dict[str, Any]) -> list[dict[str, Any]]:
    changes = [effect for effect in body["effects"] if effect["op"] == "c"]
    return [effect for effect in changes if "createIndexes" in effect["o"]]
