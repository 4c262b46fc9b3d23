"""The state of a store as files: pinned and read for another member, received and installed.

A snapshot is a manifest and the data files that it names, up to the bytes that it names. While it
is pinned, checkpoints go on: they append behind those bytes, and leave the files they replace.

Receiving writes the files under numbers of this store's own; until the manifest names them they are
what an unfinished checkpoint leaves. The installation then is:

1. the first segment of the new log is made durable as `journal/<first>.jsonl.new`;
2. the manifest is replaced: from here on the snapshot is the state;
3. the old log is removed, and the new segment takes its name.

A start that finds a `.new` segment behind its manifest's position does step 3 (again); any other
`.new` is of an installation that did not come to step 2 and is removed (`finish_install`).
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from psdb_base.errors import Code, MongoError
from psdb_base.world import DiskFile
from psdb_store.catalogue import Catalogue
from psdb_store.datafile import verify
from psdb_store.engine import Engine
from psdb_store.files import parse_sealed, replace_file
from psdb_store.journal import THREAD as JOURNAL_THREAD
from psdb_store.lines import seal
from psdb_store.manifest import FORMAT, NAME, files_of, is_inside, position_of
from psdb_store.recovery import NEW_SUFFIX
from psdb_store.segments import Position, Segment, header_line, segment_name

THREAD: Final = "snapshot"


@dataclass(slots=True)
class Pinned:
    """A snapshot that can be read until it is released.

    Attributes:
        line: The manifest's line.
        manifest: The manifest, parsed.
        position: The log position whose state it holds.

    """

    line: bytes
    manifest: dict[str, Any]
    position: Position
    _engine: Engine
    _release: Callable[[], None]

    @property
    def files(self) -> list[dict[str, Any]]:
        """Path and bytes of each data file."""
        return files_of(self.manifest)

    async def read(self, file: dict[str, Any], offset: int, size_bytes: int) -> bytes:
        """Read a piece of a data file, nothing beyond the snapshot's bytes."""
        disk = self._engine.world.disk
        path = f"{self._engine.dbpath}/{file['path']}"
        size_bytes = min(size_bytes, file["bytes"] - offset)

        def work() -> bytes:
            opened = disk.open(path)
            try:
                return opened.read_at(offset, size_bytes)
            finally:
                opened.close()

        data: bytes = await disk.submit(THREAD, work)
        if len(data) != size_bytes:
            raise MongoError(Code.OPERATION_FAILED, f"{path} is shorter than its manifest says")
        return data

    def release(self) -> None:
        """Let checkpoints remove what only this snapshot needs."""
        self._release()


async def pin(engine: Engine) -> Pinned:
    """Pin the newest checkpoint of a store, making one where there is none yet."""
    checkpointer = engine._checkpointer  # noqa: SLF001 -- one floor, one store
    if checkpointer.position.index == 0:
        await engine.checkpoint()
    # Before the manifest is read: a checkpoint that ends meanwhile must not trim what follows it.
    unpin_log = engine.pin_log(checkpointer.position.index)
    try:
        line, release = await checkpointer.pin()
    except BaseException:
        unpin_log()
        raise

    def both() -> None:
        release()
        unpin_log()

    manifest = _parse(line)
    return Pinned(line, manifest, position_of(manifest), engine, both)


class Incoming:
    """A snapshot on its way into a store.

    Args:
        engine: The store that it shall replace.
        line: The manifest's line.

    Attributes:
        manifest: The manifest, with paths of this store.
        position: The log position whose state it holds.

    """

    def __init__(self, engine: Engine, line: bytes) -> None:
        self._engine = engine
        self._disk = engine.world.disk
        self.manifest = _parse(line)
        self.position = position_of(self.manifest)
        self._files = files_of(self.manifest)
        take_number = engine._checkpointer.take_number  # noqa: SLF001
        for file in self._files:
            number = take_number()
            file["path"] = f"{posixpath.dirname(file['path'])}/{number:08d}.jsonl"
            if not is_inside(file["path"]):
                raise MongoError(
                    Code.OPERATION_FAILED, f"the snapshot names a path outside: {file['path']}"
                )
        self.manifest["nextFile"] = take_number()
        self._open: tuple[int, DiskFile] | None = None

    async def write(self, number: int, offset: int, data: bytes) -> None:
        """Write the next piece of a data file; pieces come in order."""
        if not 0 <= number < len(self._files):
            raise MongoError(Code.BAD_VALUE, f"the snapshot has no file {number}")
        self._check_store()
        await self._disk.submit(THREAD, lambda: self._write(number, offset, data))

    def _write(self, number: int, offset: int, data: bytes) -> None:
        if self._open is None or self._open[0] != number:
            self._close()
            path = self._path(self._files[number])
            self._disk.make_dirs(posixpath.dirname(path))
            self._open = number, self._disk.open(path)
        file = self._open[1]
        if file.size() != offset:
            raise MongoError(Code.OPERATION_FAILED, "a piece of the snapshot is missing")
        file.write(data)

    def _check_store(self) -> None:
        """Refuse to go on once another snapshot is being installed: its store has these numbers."""
        if self._engine.is_closed:
            raise MongoError(Code.OPERATION_FAILED, "another snapshot was installed meanwhile")

    def _path(self, file: dict[str, Any]) -> str:
        return f"{self._engine.dbpath}/{file['path']}"

    def _close(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            try:
                opened[1].fdatasync()
            finally:
                opened[1].close()

    async def finish(self) -> None:
        """Make all files durable and compare them with the manifest; raises on a difference."""
        self._check_store()
        await self._disk.submit(THREAD, self._close)
        await self._disk.submit(THREAD, self._secure_folders)
        for file in self._files:
            await verify(
                self._disk, self._path(file), file, self._engine.options.block_bytes
            )

    def _secure_folders(self) -> None:
        """Make the names of all files and of their folders durable, each folder once."""
        folders: dict[str, None] = {}
        for file in self._files:
            folder = posixpath.dirname(self._path(file))
            while folder != posixpath.dirname(self._engine.dbpath):
                folders[folder] = None
                folder = posixpath.dirname(folder)
        for folder in folders:
            self._disk.fsync_dir(folder)

    async def abandon(self) -> None:
        """Remove what was written.

        Not once the store is closed: this snapshot may be what replaces it, or another one, whose
        store has files of the same numbers by now. A start removes what no manifest names.
        """
        if self._engine.is_closed:
            return
        await self._disk.submit(THREAD, self._remove)

    def _remove(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            opened[1].close()  # not synced: that may be what failed
        for file in self._files:
            if self._disk.exists(self._path(file)):
                self._disk.remove(self._path(file))

    async def install(self) -> Engine:
        """Replace the store by the snapshot; return the store opened anew.

        The old one is closed; its collections count as dropped, so that cursors on them end.
        """
        old = self._engine
        await old.close(save=False)
        await self._disk.submit(THREAD, lambda: None)  # another snapshot's piece may be under way
        await self._disk.submit(JOURNAL_THREAD, self._switch)
        _forget(old.catalogue)
        return await Engine.open(old.world, old.dbpath, clock=old.clock, options=old.options)

    def _switch(self) -> None:
        folder = f"{self._engine.dbpath}/journal"
        before = self.position
        segment = Segment(
            segment_name(before.index + 1), before, None, self._engine.world.clock.now_ms()
        )
        path = f"{folder}/{segment.name}{NEW_SUFFIX}"
        file = self._disk.open(path)
        file.truncate(0)
        file.write(header_line(segment))
        file.fdatasync()
        file.close()
        self._disk.fsync_dir(folder)
        line = seal(orjson.dumps(self.manifest)[1:])
        replace_file(self._disk, f"{self._engine.dbpath}/{NAME}", line)


def _forget(catalogue: Catalogue) -> None:
    for c in catalogue.all():
        c.dropped = True


def _parse(line: bytes) -> dict[str, Any]:
    manifest = parse_sealed("the snapshot's manifest", line, "manifest", FORMAT)
    del manifest["c"]  # the checksum
    return manifest

