"""`member.json`: who this dbpath is in its group, and what it promised (term and vote).

`{"c":…,"psdb":"member","format":1,"id":…,"term":…,"vote":…}`, replaced atomically. The id is random
and made once: a folder that was emptied is another member.
"""

from __future__ import annotations

from typing import Final

from psdb_base.world import World
from psdb_store.files import read_sealed, replace_file, sealed

FORMAT: Final = 1
NAME: Final = "member.json"
THREAD: Final = "journal"


class Member:
    """A member's identity and its promises.

    Attributes:
        id: Sixteen random bytes in hex.
        term: Current term.
        vote: Id of the member voted for in this term, None for nobody.

    """

    def __init__(self, world: World, path: str, id_: str, term: int, vote: str | None) -> None:
        self._disk = world.disk
        self._path = path
        self.id = id_
        self.term = term
        self.vote = vote

    @classmethod
    async def open(cls, world: World, dbpath: str) -> Member:
        """Read the file, or make it in a new dbpath."""
        path = f"{dbpath}/{NAME}"
        fields = read_sealed(world.disk, path, "member", FORMAT)
        if fields is not None:
            return cls(world, path, fields["id"], fields["term"], fields["vote"])
        member = cls(world, path, world.random.uuid().hex(), 0, None)
        await member._save()
        return member

    async def advance(self, term: int, vote: str | None = None) -> None:
        """Raise the term (the vote is then that of the new term) and make it durable."""
        self.term, self.vote = term, vote
        await self._save()

    async def _save(self) -> None:
        fields = {"id": self.id, "term": self.term, "vote": self.vote}
        data = sealed("member", FORMAT, fields)
        await self._disk.submit(THREAD, lambda: replace_file(self._disk, self._path, data))
