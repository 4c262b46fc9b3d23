"""The routing table: which shard holds a database, learnt from the config server.

Shards and databases are read when first needed and kept; a shard that is asked for and not
known makes the table read the shards again.
"""

from __future__ import annotations

from collections.abc import Callable

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from router.shards import Shard

CONFIG_DATABASES = frozenset({"admin", "config", "local"})


class RoutingTable:
    """Shards by name, databases by name.

    Args:
        config: The way to the config server.
        connect: Makes a channel of a shard's `host`.

    """

    def __init__(self, config: Shard, connect: Callable[[str], Shard]) -> None:
        self.config = config
        self.connect = connect
        self._shards: dict[str, tuple[str, Shard]] = {}
        self._primaries: dict[str, str] = {}

    async def close(self) -> None:
        """Close the ways to the shards and to the config server."""
        for name in sorted(self._shards):
            await self._shards[name][1].close()
        await self.config.close()

    async def refresh_shards(self) -> None:
        """Read the shards from the config server."""
        reply = await self.config.command("admin", {"_configsvrGetShards": 1})
        shards: dict[str, tuple[str, Shard]] = {}
        for row in reply["shards"]:
            known = self._shards.get(row["_id"])
            if known is not None and known[0] == row["host"]:
                shards[row["_id"]] = known
            else:
                shards[row["_id"]] = (row["host"], self.connect(row["host"]))
        self._shards = shards

    async def shards(self) -> list[tuple[str, Shard]]:
        """Return all shards as (name, channel), in order of name."""
        await self.refresh_shards()
        return [(name, self._shards[name][1]) for name in sorted(self._shards)]

    def known_shards(self) -> list[Shard]:
        """Return the ways to the config server and to the shards known by now."""
        return [self.config, *(self._shards[name][1] for name in sorted(self._shards))]

    def known_channel(self, db: str) -> Shard | None:
        """Return the channel of a database's shard when it is known already."""
        if db in CONFIG_DATABASES:
            return self.config
        shard = self._primaries.get(db)
        return self._shards[shard][1] if shard is not None else None

    async def channel(self, db: str, *, create: bool) -> Shard:
        """Return the channel of a database's primary shard.

        A database that does not exist is created when `create` is set; otherwise any shard will
        do, as each of them answers as for an empty database.
        """
        known = self.known_channel(db)
        if known is not None:
            return known
        reply = await self.config.command(
            "admin", {"_configsvrGetDatabase": 1, "database": db, "create": create}
        )
        row: Document | None = reply["database"]
        if row is None:
            return await self._any_shard()
        shard = row["primary"]
        if shard not in self._shards:
            await self.refresh_shards()
        if shard not in self._shards:
            raise MongoError(Code.SHARD_NOT_FOUND, f"Shard {shard} not found")
        self._primaries[db] = shard
        return self._shards[shard][1]

    async def primary(self, db: str) -> str | None:
        """Return the name of a database's primary shard."""
        if db not in self._primaries:
            await self.channel(db, create=False)
        return self._primaries.get(db)

    def forget(self, db: str) -> None:
        """Forget where a database is."""
        self._primaries.pop(db, None)

    async def _any_shard(self) -> Shard:
        if not self._shards:
            await self.refresh_shards()
        if not self._shards:
            raise MongoError(Code.SHARD_NOT_FOUND, "No shards found")
        return self._shards[min(self._shards)][1]
