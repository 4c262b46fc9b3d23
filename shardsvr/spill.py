"""Temporary files of a member, below `<dbpath>/spill`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psdb_server.spill import Spill

if TYPE_CHECKING:
    from shardsvr.member import Member


class SpillFile(Spill):
    """A file that is gone when closed (and swept at the next start)."""

    def __init__(self, member: Member) -> None:
        disk = member.world.disk
        folder = f"{member.dbpath}/spill"
        disk.make_dirs(folder)
        self._path = f"{folder}/{member.world.random.uuid().hex()}"
        super().__init__(disk, disk.open(self._path))

    async def close(self) -> None:
        """Remove the file."""
        await super().close()
        self._disk.remove(self._path)


def sweep(member: Member) -> None:
    """Remove what an earlier run left behind."""
    disk = member.world.disk
    folder = f"{member.dbpath}/spill"
    for name in disk.list(folder):
        disk.remove(f"{folder}/{name}")
