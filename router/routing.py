"""The routing table: where databases and collections are, learnt from the config server.

What is known is kept until a shard says that it is stale (StaleConfig, StaleDbVersion); then it
is read again and the request goes out anew. So a router that knows old things is slower, never
wrong: each request carries the versions it relies on, and the shards check them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_base.shard_versions import UNSHARDED, Routed
from psdb_base.values import Document
from psdb_wire.ways import Ways
from router.chunk_map import ChunkMap
from router.shards import Shard

CONFIG_DATABASES = frozenset({"admin", "config", "local"})
STALE_CODES: Final = frozenset({int(Code.STALE_CONFIG), int(Code.STALE_DB_VERSION)})
_KNOWN_MAX: Final = 100_000
_AWAY_MS: Final = 1000
_AWAY_CODES: Final = frozenset({
    int(Code.FAILED_TO_SATISFY_READ_PREFERENCE), int(Code.MAX_TIME_MS_EXPIRED),
})
_ANY_MEMBER: Final[Document] = {
    "$readPreference": {"mode": "primaryPreferred"}, "maxTimeMS": _AWAY_MS,
}


class Target:
    """Where the commands on a collection that is not sharded go.

    Attributes:
        shard: The primary shard's name.
        channel: The way there.
        routed: What requests rely on; None where nothing is checked.
        exists: The database is there.

    """

    __slots__ = ("channel", "exists", "routed", "shard")

    def __init__(
        self, shard: str, channel: Shard, routed: Routed | None, *, exists: bool = True
    ) -> None:
        self.shard = shard
        self.channel = channel
        self.routed = routed
        self.exists = exists


class RoutingTable:
    """Shards by name, databases and collections by name.

    Args:
        config: The way to the config server.
        connect: Makes a channel of a shard's `host`.

    """

    def __init__(self, config: Shard, connect: Callable[[str], Shard]) -> None:
        self.config = config
        self._ways = Ways(connect)
        self._config_target = Target("config", config, None)
        self._shards: dict[str, tuple[str, Shard]] = {}
        self._databases: dict[str, Target] = {}
        self._known: dict[str, Target | ChunkMap] = {}
        self.spread_views: dict[str, bool] = {}
        self._stale: dict[str, ChunkMap] = {}

    # -- shards --------------------------------------------------------------------------------

    async def close(self) -> None:
        """Close the ways to the shards and to the config server."""
        for way in self._ways.all():
            await way.close()
        await self.config.close()

    async def refresh_shards(self) -> None:
        """Read the shards from the config server."""
        self._shards = {
            row["_id"]: (row["host"], self._ways.to(row["host"])) for row in await self.shard_rows()
        }

    async def shard_rows(self) -> list[Document]:
        """Return the rows of `config.shards`, from a secondary while there is no primary."""
        command: Document = {"_configsvrGetShards": 1}
        if self.config.is_away():
            try:
                reply = await self.config.command("admin", {**command, "maxTimeMS": _AWAY_MS})
            except MongoError as error:
                if error.code not in _AWAY_CODES:
                    raise
                reply = await self.config.command("admin", {**command, **_ANY_MEMBER})
        else:
            reply = await self.config.command("admin", command)
        rows: list[Document] = reply["shards"]
        return rows

    async def shards(self) -> list[tuple[str, Shard]]:
        """Return all shards as (name, channel), in order of name.

        While the config servers have no primary, those that were known before will do.
        """
        if not self._shards or not self.config.is_away():
            await self.refresh_shards()
        return [(name, self._shards[name][1]) for name in sorted(self._shards)]

    def known_shards(self) -> list[Shard]:
        """Return the ways to the config server and to the shards known by now."""
        return [self.config, *(self._shards[name][1] for name in sorted(self._shards))]

    async def shard(self, name: str) -> Shard:
        """Return the way to a shard by name."""
        if name not in self._shards:
            await self.refresh_shards()
        if name not in self._shards:
            raise MongoError(Code.SHARD_NOT_FOUND, f"Shard {name} not found")
        return self._shards[name][1]

    def host_of(self, shard: str) -> str:
        """Return a shard's connection string as it is known."""
        if shard not in self._shards:
            return shard
        host, way = self._shards[shard]
        return way.follow() or host

    # -- databases and collections -------------------------------------------------------------

    def known(self, db: str, name: str) -> Target | ChunkMap | None:
        """Return where a collection is when that is known already."""
        if db in CONFIG_DATABASES:
            return self._config_target
        return self._known.get(f"{db}.{name}")

    async def find(self, db: str, name: str, *, create: bool = False) -> Target | ChunkMap:
        """Return where a collection is, or a database's primary shard for no name.

        A database that does not exist is created when `create` is set; otherwise any shard will
        do, as each of them answers as for an empty database.
        """
        known = self.known(db, name)
        if known is not None:
            return known
        ns = f"{db}.{name}"
        if not name:
            return await self.primary_target(db, create=create)
        command: Document = {"_configsvrGetRouting": 1, "ns": ns}
        old = self._stale.get(ns)
        if old is not None:
            command |= {"timestamp": old.row["timestamp"], "since": old.version}
        reply = await self._routing(command)
        row = reply["collection"]
        if len(self._known) > _KNOWN_MAX:
            self._known.clear()
        if row is None:
            self._stale.pop(ns, None)
            self._note_database(db, reply["database"])
            if reply["database"] is not None:
                await self._to_primary(reply["database"])
            target = await self.primary_target(db, create=create)
            if target.exists:
                self._known[ns] = target
            return target
        if reply["full"] or old is None:
            found = ChunkMap(row, reply["chunks"])
        else:
            found = old.updated(row, reply["chunks"])
        for shard in found.owners:
            await self.shard(shard)
        self._stale[ns] = self._known[ns] = found
        return found

    async def _routing(self, command: Document) -> Document:
        """Ask where a collection is.

        While the config servers have no primary a secondary may say where something is, as the
        shards check that; that something is not there only a primary can say.
        """
        if self.config.is_away():
            old = {"_configsvrReadRouting": 1, **command, **_ANY_MEMBER}
            del old["_configsvrGetRouting"]
            with contextlib.suppress(MongoError):
                reply = await self.config.command("admin", old)
                if reply["database"] is not None:
                    return reply
        return await self.config.command("admin", command)

    def _note_database(self, db: str, row: Document | None) -> None:
        known = self._databases.get(db)
        if row is None:
            self.forget(db)
        elif known is not None and known.routed is not None:
            if known.routed.database != row["version"]:
                self.forget(db)

    async def primary_target(self, db: str, *, create: bool) -> Target:
        """Return a database's primary shard."""
        if db in CONFIG_DATABASES:
            return self._config_target
        known = self._databases.get(db)
        if known is not None:
            return known
        reply = await self.config.command(
            "admin", {"_configsvrGetDatabase": 1, "database": db, "create": create}
        )
        row: Document | None = reply["database"]
        if row is None:
            name, channel = await self._any_shard()
            return Target(name, channel, None, exists=False)
        return await self._to_primary(row)

    async def _to_primary(self, row: Document) -> Target:
        """Remember a database's primary shard."""
        channel = await self.shard(row["primary"])
        target = Target(row["primary"], channel, Routed(UNSHARDED, row["version"]))
        self._databases[row["_id"]] = target
        return target

    async def primary(self, db: str) -> str | None:
        """Return the name of a database's primary shard, None when it does not exist."""
        target = await self.primary_target(db, create=False)
        return target.shard if target.exists and target.routed is not None else None

    async def _any_shard(self) -> tuple[str, Shard]:
        if not self._shards:
            await self.refresh_shards()
        if not self._shards:
            raise MongoError(Code.SHARD_NOT_FOUND, "No shards found")
        name = min(self._shards)
        return name, self._shards[name][1]

    # -- forgetting ----------------------------------------------------------------------------

    def forget(self, db: str) -> None:
        """Forget where a database and its unsharded collections are."""
        self._databases.pop(db, None)
        prefix = f"{db}."
        for ns in [ns for ns in self._known if ns.startswith(prefix)]:
            del self._known[ns]

    def forget_collection(self, ns: str) -> None:
        """Forget where a collection is; its chunks are asked for from the last version on."""
        self._known.pop(ns, None)

    def forget_all(self) -> None:
        """Forget everything but the shards."""
        self._databases.clear()
        self._known.clear()
        self._stale.clear()

    def note_spread_view(self, ns: str) -> None:
        """Remember that a view stands on sharded collections: what joins it runs here."""
        if len(self.spread_views) >= _KNOWN_MAX:
            self.spread_views.clear()
        self.spread_views[ns] = True

    def learn(self, error: Document | MongoError, ns: str) -> bool:
        """Forget what a shard's error says is stale; False for any other error."""
        code, extra = (
            (error.code, error.extra) if isinstance(error, MongoError)
            else (error.get("code"), error)
        )
        if code == Code.STALE_CONFIG:
            self.forget_collection(ns)
            other: Any = extra.get("ns")
            if type(other) is str:
                self.forget_collection(other)
            return True
        if code == Code.STALE_DB_VERSION:
            self.forget(str(extra.get("db", ns.partition(".")[0])))
            return True
        return False
