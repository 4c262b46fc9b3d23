"""Temporary storage for the router's part of a pipeline (`allowDiskUse`)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from psdb_base.world import DiskFile, World

FOLDER: Final = os.environ.get("TMPDIR", "/tmp")  # noqa: S108 -- a name nobody can guess, mode 0600
"""A router has no dbpath: what outgrows its memory goes where temporary files go."""


class RouterSpill:
    """A file without a name: its space comes back when it is closed, or the process ends."""

    def __init__(self, world: World) -> None:
        disk = world.disk
        path = f"{FOLDER}/psdb-router-{world.random.uuid().hex()}"
        disk.make_dirs(FOLDER)
        self._disk = disk
        self._file: DiskFile = disk.open(path)
        disk.remove(path)

    async def append(self, data: bytes) -> int:
        """Add bytes at the end; return their offset."""
        offset = self._file.size()
        file = self._file
        await self._disk.submit("spill", lambda: file.write(data))
        return offset

    async def read(self, offset: int, size_bytes: int) -> bytes:
        """Read back what was appended."""
        file = self._file
        return await self._disk.submit("spill", lambda: file.read_at(offset, size_bytes))

    async def close(self) -> None:
        """Give the space back."""
        self._file.close()
