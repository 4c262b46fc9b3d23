"""Temporary storage for stages that hold more than memory allows (`allowDiskUse`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psdb_base.world import DiskFile
    from shardsvr.member import Member


class SpillFile:
    """A file below `<dbpath>/spill`, gone when closed (and swept at the next start)."""

    def __init__(self, member: Member) -> None:
        disk = member.world.disk
        folder = f"{member.dbpath}/spill"
        disk.make_dirs(folder)
        self._disk = disk
        self._path = f"{folder}/{member.world.random.uuid().hex()}"
        self._file: DiskFile = disk.open(self._path)

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
        """Remove the file."""
        self._file.close()
        self._disk.remove(self._path)


def sweep(member: Member) -> None:
    """Remove what an earlier run left behind."""
    disk = member.world.disk
    folder = f"{member.dbpath}/spill"
    for name in disk.list(folder):
        disk.remove(f"{folder}/{name}")
