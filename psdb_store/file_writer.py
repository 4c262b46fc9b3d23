"""Writing data files: lines appended in pieces on the checkpoint thread, durable at the end."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from psdb_store.cold import Home
from psdb_store.datafile import NAME, THREAD, DataFile
from psdb_store.manifest import NAME as MANIFEST_NAME
from psdb_store.member import NAME as MEMBER_NAME

if TYPE_CHECKING:
    from psdb_base.world import Disk
    from psdb_store.engine import Engine

_PIECE_BYTES: Final = 1024 * 1024
_ASIDE: Final = (f"{MANIFEST_NAME}.tmp", f"{MEMBER_NAME}.tmp")


class FileWriter:
    """Appends lines to a data file in pieces on the checkpoint thread.

    Args:
        engine: The store.
        data: The file to go on with; None makes a new one in `folder`.
        folder: Relative to the dbpath.
        take_number: Gives the new file's number.

    """

    def __init__(
        self, engine: Engine, data: DataFile | None, folder: str, take_number: Callable[[], int]
    ) -> None:
        self._disk = engine.world.disk
        self._dbpath = engine.dbpath
        self._fresh = data is None
        if data is None:
            path = f"{folder}/{take_number():08d}.jsonl"
            data = DataFile(path, Home(engine.cold, path))
        self.data = data
        self._path = f"{self._dbpath}/{data.path}"
        self._file: Any = None
        self._pieces: list[bytes] = []
        self._bytes = 0
        self._lines = 0

    @property
    def position(self) -> int:
        """Where the next line will begin."""
        return self.data.size + self._bytes

    async def add(self, line: bytes, lines: int) -> None:
        """Add a line (or several joined ones); write when enough came together."""
        self._pieces.append(line)
        self._bytes += len(line)
        self._lines += lines
        if self._bytes >= _PIECE_BYTES:
            await self._write()

    async def _write(self) -> None:
        data = b"".join(self._pieces)
        lines, self._lines, self._bytes, self._pieces = self._lines, 0, 0, []
        await self._disk.submit(THREAD, lambda: self._append(data))
        self.data.extend(data, lines)

    def _append(self, data: bytes) -> None:
        if self._file is None:
            if self._fresh:
                self._disk.make_dirs(posixpath.dirname(self._path))
            self._file = self._disk.open(self._path)
            if self._file.size() != self.data.size:
                self._file.truncate(self.data.size)
        self._file.write(data)

    async def finish(self) -> None:
        """Write the rest, make all durable, close."""
        if self._pieces:
            await self._write()
        if self._file is None:
            return
        await self._disk.submit(THREAD, self._secure)

    def _secure(self) -> None:
        self._file.fdatasync()
        self._file.close()
        if self._fresh:
            # Every folder above, new or not: a process that was killed may have made it.
            folder = posixpath.dirname(self._path)
            while folder != posixpath.dirname(self._dbpath):
                self._disk.fsync_dir(folder)
                folder = posixpath.dirname(folder)


def file_fields(data: DataFile) -> dict[str, Any]:
    """Return a file's part of the manifest."""
    return {
        "path": data.path,
        "bytes": data.size,
        "lines": data.lines,
        "digest": data.digest.hexdigest(),
    }


def remove_file_and_folders(disk: Any, dbpath: str, path: str) -> None:
    """Remove a data file and the folders that it leaves empty, but not those at the top."""
    disk.remove(f"{dbpath}/{path}")
    folder = posixpath.dirname(path)
    while "/" in folder and not disk.list(f"{dbpath}/{folder}"):
        disk.remove_dir(f"{dbpath}/{folder}")
        folder = posixpath.dirname(folder)


def remove_orphans(disk: Disk, dbpath: str, named: list[dict[str, Any]]) -> None:
    """Remove what unfinished checkpoints left: files aside, and those the manifest does not name.

    Args:
        disk: The port.
        dbpath: The store's folder.
        named: The files of the manifest.

    """
    for name in disk.list(dbpath):
        if name in _ASIDE:
            disk.remove(f"{dbpath}/{name}")
    known = {file["path"]: True for file in named}
    for path in [*_paths(disk, dbpath, "data", 2), *_paths(disk, dbpath, "sessions", 0)]:
        if NAME.fullmatch(posixpath.basename(path)) and path not in known:
            remove_file_and_folders(disk, dbpath, path)


def _paths(disk: Disk, dbpath: str, folder: str, depth: int) -> list[str]:
    """Return the paths below a folder, so many folders further down."""
    paths = [f"{folder}/{name}" for name in disk.list(f"{dbpath}/{folder}")]
    if not depth:
        return paths
    return [path for inner in paths for path in _paths(disk, dbpath, inner, depth - 1)]
