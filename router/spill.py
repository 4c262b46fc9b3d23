"""Temporary storage for the router's part of a pipeline (`allowDiskUse`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psdb_base.world import DiskFile, World


class RouterSpill:
    """A file without a name, where temporary files go: a router has no dbpath."""

    def __init__(self, world: World) -> None:
        self._disk = world.disk
        self._file: DiskFile = world.disk.open_nameless()

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
