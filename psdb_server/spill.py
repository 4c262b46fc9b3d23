"""Temporary storage for stages that hold more than memory allows (`allowDiskUse`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psdb_base.world import Disk, DiskFile


class Spill:
    """An open file that is written at its end, read anywhere, and closed once.

    Args:
        disk: The port.
        file: A file of this one's own; a router, which has no dbpath, takes one without a name.

    """

    def __init__(self, disk: Disk, file: DiskFile) -> None:
        self._disk = disk
        self._file = file

    async def append(self, data: bytes) -> int:
        """Add bytes at the end; return their offset."""
        offset = self._file.size()
        await self._disk.submit("spill", lambda: self._file.write(data))
        return offset

    async def read(self, offset: int, size_bytes: int) -> bytes:
        """Read back what was appended."""
        return await self._disk.submit("spill", lambda: self._file.read_at(offset, size_bytes))

    async def close(self) -> None:
        """Give the space back."""
        self._file.close()
