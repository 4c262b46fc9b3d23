"""Checkpoints: append what changed to the data files, then switch the manifest.

1. Freeze, in one turn of the loop: the log's end, what is unsaved in each collection and of the
   sessions, catalogue. From here on writes go into fresh sets of what is unsaved.
2. Append each collection's changes to its file, and the sessions' to theirs, `fdatasync`; new files
   and folders are made durable in their folder.
3. Rewrite files with too much garbage, or whose collection was renamed, into new ones.
4. Wait until the frozen end of the log is committed.
5. Replace the manifest: write aside, `fdatasync`, rename, fsync of the folder.
6. Only now let the records that were saved leave memory (`cold`), and remove what the old manifest
   named and the new one does not, and old log segments.

Until 5 the old manifest and the bytes it names are untouched, so an interrupted checkpoint leaves
the old state whole. Freezing costs nothing per record: an insert left its JSON in the set of
unsaved records, an update the new version, both of which never change.
"""

from __future__ import annotations

import asyncio
import gc
import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from bson.timestamp import Timestamp

from psdb_base.errors import Code, MongoError
from psdb_base.extjson import document_line
from psdb_base.values import Document
from psdb_store import compaction
from psdb_store.catalogue import collection_fields
from psdb_store.collection import Collection
from psdb_store.datafile import (
    THREAD,
    DataFile,
    gone_line,
    header_line,
    record_line,
    verify,
)
from psdb_store.file_writer import FileWriter, file_fields, remove_file_and_folders
from psdb_store.files import replace_file
from psdb_store.manifest import NAME, document_fragment, manifest_line
from psdb_store.names import folder_name
from psdb_store.record import Record
from psdb_store.segments import Position
from psdb_store.session_file import SessionFile
from psdb_store.sessions import SessionRecord

if TYPE_CHECKING:
    from psdb_store.engine import Engine

Unsaved: TypeAlias = dict[int, Record | bytes | None]


@dataclass(slots=True)
class _Frozen:
    """One collection as it was when the checkpoint began."""

    c: Collection
    ns: str
    uuid: bytes
    folder: str
    unsaved: Unsaved
    saved_rid: int
    fields: dict[str, Any]


@dataclass(slots=True)
class _Cut:
    """The state a checkpoint saves."""

    position: Position
    time: Timestamp
    collections: list[_Frozen]
    sessions: dict[bytes, SessionRecord]
    changed_sessions: list[bytes]
    discarded: list[DataFile]
    membership: tuple[int, Document] | None
    undone: int


class Checkpointer:
    """Runs one checkpoint at a time for an engine.

    Attributes:
        position: Log position of the manifest on disk.
        count: Checkpoints since the start.

    """

    def __init__(
        self, engine: Engine, position: Position, next_file: int, session_file: SessionFile
    ) -> None:
        self._engine = engine
        self._disk = engine.world.disk
        self._dbpath = engine.dbpath
        self._options = engine.options
        self.position = position
        self.count = 0
        self._next_file = next_file
        self._session_file = session_file
        self._lock = asyncio.Lock()
        self._pins = 0
        self._deferred: list[str] = []

    async def pin(self) -> tuple[bytes, Callable[[], None]]:
        """Return the manifest's line; keep what it names until the returned function is called.

        It waits for no checkpoint: one may be waiting for a commit that needs the very member
        for which this is. Nothing that the manifest names goes once the pin is counted.
        """
        self._pins += 1
        path = f"{self._dbpath}/{NAME}"
        try:
            data: bytes = await self._disk.submit(THREAD, lambda: self._disk.read(path))
        except BaseException:
            self._unpin()
            raise
        return data.rstrip(b"\n"), self._unpin

    def _unpin(self) -> None:
        self._pins -= 1

    async def run(self) -> None:
        """Save the state at the log's end; return when the manifest is durable.

        Raises MongoError when the disk failed, or the log's end will not be committed.
        """
        async with self._lock:
            await self._engine.catalogue_settled()
            rewrites = any(c.rewrite for c in self._engine.catalogue.all())
            if self._engine.received.applied == self.position and not rewrites:
                return
            cut = self._freeze()
            try:
                replaced = await self._save(cut)
            except BaseException:
                _give_back(cut, self._engine)
                raise
            self.position = cut.position
            self.count += 1
            await self._settle_records(cut)
            await self._remove([file.path for file in cut.discarded] + replaced)
            await self._engine.trim_log()
            if self._options.freeze_gc:
                gc.collect(1)  # the young only: what was garbage must not be frozen with the rest
                gc.freeze()

    async def verify(self, c: Collection) -> None:
        """Read a collection's file and compare it with what was written; 301 on damage."""
        async with self._lock:
            if c.data is not None:
                path = f"{self._dbpath}/{c.data.path}"
                await verify(self._disk, path, file_fields(c.data), self._options.block_bytes)

    def _freeze(self) -> _Cut:
        engine = self._engine
        frozen: list[_Frozen] = []
        for c in engine.catalogue.all():
            unsaved, c.dirty = c.dirty, {}
            saved_rid, c.saved_rid = c.saved_rid, c.next_rid - 1
            folder = f"data/{folder_name(c.db)}/{folder_name(c.name)}"
            fields = collection_fields(c, document_fragment)
            uuid = bytes(c.uuid)
            frozen.append(_Frozen(c, c.ns, uuid, folder, unsaved, saved_rid, fields))
        discarded = engine.catalogue.discarded
        engine.catalogue.discarded = []
        engine.log_bytes_unsaved = 0
        return _Cut(
            engine.received.applied, engine.last_timestamp, frozen,
            engine.sessions.snapshot(), engine.sessions.take_unsaved(), discarded,
            engine.membership_at(engine.received.applied.index), engine.undone,
        )  # fmt: skip

    async def _save(self, cut: _Cut) -> list[str]:
        """Write files and manifest; return the paths that compaction replaced."""
        replaced: list[str] = []
        for frozen in cut.collections:
            if frozen.unsaved:
                await self._append(frozen)
            path = await self._compact(frozen)
            if path is not None:
                replaced.append(path)
            data = frozen.c.data
            frozen.fields["files"] = [] if data is None else [file_fields(data)]
        path = await self._session_file.save(
            self._engine, cut.changed_sessions, cut.sessions, self.take_number
        )
        if path is not None:
            replaced.append(path)
        line = manifest_line(
            cut.position,
            cut.time,
            self._next_file,
            [frozen.fields for frozen in cut.collections],
            self._session_file.fields,
            cut.membership,
            self._engine.manifest_terms(cut.position.index),
        )
        self._check_history(cut)
        await self._engine.committed(cut.position.index)
        self._check_history(cut)
        path = f"{self._dbpath}/{NAME}"
        await self._disk.submit(THREAD, lambda: replace_file(self._disk, path, line))
        return replaced

    def _check_history(self, cut: _Cut) -> None:
        """Raise 11602 when anything was undone since the freeze: its index may be another's now."""
        if self._engine.undone != cut.undone:
            raise MongoError(
                Code.INTERRUPTED_DUE_TO_REPL_STATE_CHANGE,
                "the checkpoint holds writes that were undone",
            )

    # -- appending -------------------------------------------------------------------------------

    async def _append(self, frozen: _Frozen) -> None:
        """Append a collection's changes to its file and make them durable."""
        data = frozen.c.data
        writer = FileWriter(self._engine, data, frozen.folder, self.take_number)
        if data is None:
            data = writer.data
            await writer.add(header_line(frozen.ns, frozen.uuid), 0)
        countdown = self._options.slice_documents
        # What the old offsets of these lead to was superseded, so it is in memory.
        note = data.home.offsets.put
        for rid, unsaved in frozen.unsaved.items():
            line = _line(rid, unsaved, frozen.saved_rid)
            if line:
                if unsaved is not None:
                    note(rid, writer.position)
                await writer.add(line, 1)
            countdown -= 1
            if not countdown:
                countdown = self._options.slice_documents
                await asyncio.sleep(0)
        await writer.finish()
        if frozen.c.data is None and frozen.c.dropped:
            data.home.drop()
            self._engine.catalogue.discarded.append(data)
        frozen.c.data = data

    def take_number(self) -> int:
        """Return the number of the next data file."""
        number = self._next_file
        self._next_file += 1
        return number

    async def _compact(self, frozen: _Frozen) -> str | None:
        """Rewrite a file that is mostly garbage or in another's folder; return the old path."""
        data = frozen.c.data
        rewrite, frozen.c.rewrite = frozen.c.rewrite, False
        if data is None:
            return None
        live = frozen.fields["count"]
        garbage = data.size * (1 - live / data.lines) if data.lines else 0
        misplaced = posixpath.dirname(data.path) != frozen.folder
        if not misplaced and not rewrite:
            if garbage < self._options.compact_garbage_bytes or garbage * 2 < data.size:
                return None
        writer = FileWriter(self._engine, None, frozen.folder, self.take_number)
        await writer.add(header_line(frozen.ns, frozen.uuid), 0)
        offsets = await compaction.copy_live(self._engine, data, writer)
        await writer.finish()
        writer.data.home.drop()
        old = data.path
        data.home.move(writer.data.path, offsets)
        # The collection's own object, so that a drop in the meantime discards the new file.
        data.path, data.size = writer.data.path, writer.data.size
        data.lines, data.digest = writer.data.lines, writer.data.digest
        return old

    async def _settle_records(self, cut: _Cut) -> None:
        """Let the records that were saved leave memory, unless they changed meanwhile."""
        countdown = self._options.slice_documents
        for frozen in cut.collections:
            c = frozen.c
            for rid in frozen.unsaved:
                record = c.records.get(rid)
                if record is not None and rid not in c.dirty and not c.dropped:
                    assert c.data is not None
                    if record.home is None:
                        c.data.home.settle(record)
                countdown -= 1
                if not countdown:
                    countdown = self._options.slice_documents
                    self._engine.cold.make_room(0)
                    await asyncio.sleep(0)
            self._engine.cold.make_room(0)

    # -- removing --------------------------------------------------------------------------------

    async def _remove(self, paths: list[str]) -> None:
        """Remove files that no manifest names any more, and folders that became empty."""
        self._deferred += paths
        if self._pins:
            return  # somebody reads an older manifest's files; the next checkpoint sees to them
        paths, self._deferred = self._deferred, []
        for path in paths:
            await self._disk.submit(THREAD, lambda path=path: self._remove_one(path))  # type: ignore[misc]

    def _remove_one(self, path: str) -> None:
        remove_file_and_folders(self._disk, self._dbpath, path)


def _line(rid: int, unsaved: Record | bytes | None, saved_rid: int) -> bytes:
    """Make the line for one unsaved record; b"" when it came and went since the last checkpoint."""
    if unsaved is None:
        return gone_line(rid) if rid <= saved_rid else b""
    if type(unsaved) is bytes:
        return record_line(rid, unsaved)
    assert type(unsaved) is Record
    return record_line(rid, document_line(unsaved.raw, unsaved.document()))


def _give_back(cut: _Cut, engine: Engine) -> None:
    """After a failed checkpoint: what was frozen is unsaved again.

    `saved_rid` stays where the freeze put it: some of its lines may stand in the file.
    """
    for frozen in cut.collections:
        c = frozen.c
        for rid in frozen.unsaved:
            if rid not in c.dirty:
                c.dirty[rid] = c.records.get(rid)
    engine.sessions.give_back(cut.changed_sessions)
    engine.catalogue.discarded = cut.discarded + engine.catalogue.discarded
