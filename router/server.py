"""The router: PSDB's mongos.

A command on one database goes to the shard that holds it: the client's bytes pass through and
the shard's reply comes back untouched, so that routing costs one decode of the command's body.
Commands about the router itself run here, those about the whole cluster ask every shard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64

from psdb_base import bson_codec, limits
from psdb_base.errors import Code, MongoError
from psdb_base.shard_versions import Routed
from psdb_base.values import Document
from psdb_base.world import World
from psdb_server.command import ALIASES, Request, in_own_spelling
from psdb_server.labels import labelled
from psdb_server.namespaces import check_database_name
from psdb_server.node import Node
from psdb_server.replies import read_cluster_time, read_cursor
from psdb_wire.channel import error_of
from psdb_wire.connection import Connection, Stream
from psdb_wire.frames import CHECKSUM_PRESENT, MORE_TO_COME, Message, append_fields
from psdb_wire.pool import ConnectionPool
from router.chunk_map import ChunkMap
from router.cursors import CursorOwners
from router.requests import BODY_AT, NOT_OK
from router.routes import ROUTES, Route
from router.routing import CONFIG_DATABASES, STALE_CODES, RoutingTable, Target
from router.shards import Shard
from router.table import ROUTER_COMMANDS

PING_SECONDS: Final = 10.0
ATTEMPTS_MAX: Final = 12
RETRIED_CODES: Final = STALE_CODES | {int(Code.COMMAND_ON_SHARDED_VIEW_NOT_SUPPORTED_ON_MONGOD)}
_FLAGS_AT: Final = 16
GRACE_SECONDS: Final = 0.5


def acknowledged(message: Message) -> Message:
    """Return a write without acknowledgement as one with: what a shard says of it is needed."""
    if not message.flags & MORE_TO_COME:
        return message
    raw = append_fields(message.raw, b"")  # without the checksum, which covers the flags
    flags = raw[_FLAGS_AT] & ~MORE_TO_COME
    raw = raw[:_FLAGS_AT] + bytes((flags,)) + raw[_FLAGS_AT + 1 :]
    return replace(message, raw=raw, flags=message.flags & ~(MORE_TO_COME | CHECKSUM_PRESENT))


class Router(Node):
    """A router in front of shards.

    Args:
        world: Clock, random, disk, network, log.
        options: The parsed command line.
        config: The way to the config server.
        connect: Makes a channel of a shard's `host`.

    """

    role = "mongos"

    def __init__(
        self, world: World, options: Document, config: Shard, connect: Callable[[str], Shard]
    ) -> None:
        super().__init__(world, ROUTER_COMMANDS, options)
        self.routing = RoutingTable(config, connect)
        self.owners = CursorOwners(world.clock)
        self._latest_time = 0

    async def start(self) -> None:
        """Begin background work: cursors' expiry, the ping in `config.mongos`."""
        await super().start()
        self.spawn(self._report())

    async def stop(self) -> None:
        """Stop serving, then give up the ways to the shards."""
        await super().stop()
        await self.routing.close()

    async def _report(self) -> None:
        """Say in `config.mongos` that this router lives, every ten seconds."""
        created = DatetimeMS(self.started_ms)
        while True:
            self.owners.expire()
            uptime = int(self.world.clock.monotonic() - self.started)
            try:
                await self.routing.config.command("admin", {
                    "_configsvrReportRouter": 1,
                    "id": self.host,
                    "created": created,
                    "mongoVersion": limits.MONGODB_VERSION,
                    "ping": DatetimeMS(self.world.clock.now_ms()),
                    "up": Int64(uptime),
                })
            except MongoError as error:
                self.world.log.write(
                    "W", "SHARDING", 22873, "Cannot report to the config server",
                    {"error": str(error)},
                )
            await asyncio.sleep(PING_SECONDS)

    def describe_role(self, primary: str) -> Document:
        """Fields of `hello` that make drivers take this for a mongos."""
        return {primary: True, "msg": "isdbgrid"}

    def open_cursors(self) -> Document:
        """Count the cursors merged here and those on one shard, which that shard keeps."""
        merged, single = len(self.cursors.open), len(self.owners)
        return {
            "multiTarget": Int64(merged),
            "singleTarget": Int64(single),
            "total": Int64(merged + single),
        }

    def cursors_opened(self) -> int:
        """Return how many cursors were ever opened, here or on one shard."""
        return self.cursors.total_opened + self.owners.total

    async def answer(
        self, connection: Connection, message: Message, body: Document
    ) -> bytes | Stream | None:
        """Forward a command, or run it here when it is the router's own."""
        name = next(iter(body), "")
        route = ROUTES.get(ALIASES.get(name, name))
        if route is None:
            return await super().answer(connection, message, body)
        body = in_own_spelling(name, body)
        asked: Message | None = None
        try:
            db = body.get("$db")
            if type(db) is not str:
                raise MongoError(40571, "OP_MSG requests require a $db argument")
            if db not in CONFIG_DATABASES:
                check_database_name(db)
            if not connection.hello_done:
                connection.greeted()
            if message.flags & MORE_TO_COME:
                asked, message = message, acknowledged(message)
            reply: Any = None
            if "maxTimeMS" in body:
                reply = await self._in_time(route, connection, message, body, db)
            elif route.run is None and not route.whole:
                reply = await self._straight(route, connection, message, body, db)
            if reply is None:
                reply = await self._routed(route, connection, message, body, db)
            if type(reply) is bytes:
                self._keep_up(reply)
            if asked is not None:
                return None  # the client wants no answer
        except Exception as error:  # noqa: BLE001 -- the one place where errors become replies
            return self.error_message(labelled(error, body), asked or message)
        return reply  # type: ignore[no-any-return]

    async def execute(self, request: Request) -> Any:
        """Run a command of the router's own: no server that it asks keeps it beyond its time."""
        if request.op.deadline is None:
            return await super().execute(request)
        return await request.op.wait(super().execute(request))

    async def _in_time(
        self, route: Route, connection: Connection, message: Message, body: Document, db: str
    ) -> Any:
        """Run a command that has a time limit.

        A server that answers keeps to it by itself; here it is kept for those that do not answer.
        """
        limit: Any = body["maxTimeMS"]
        valid = type(limit) in (int, Int64) and limit > 0 and "getMore" not in body
        try:
            async with asyncio.timeout(int(limit) / 1000 + GRACE_SECONDS if valid else None):
                return await self._routed(route, connection, message, body, db)
        except TimeoutError:
            raise MongoError(
                Code.MAX_TIME_MS_EXPIRED, "operation exceeded time limit"
            ) from None

    async def _straight(
        self, route: Route, connection: Connection, message: Message, body: Document, db: str
    ) -> bytes | None:
        """Send a command where its unsharded collection is known to be; None when it is not."""
        name = next(iter(body.values()))
        target = self.routing.known(db, name)
        if type(target) is not Target:
            return None
        reply = await self.forward(
            target.channel, connection, message, target.routed, opens_cursor=route.opens_cursor
        )
        if reply is None or reply[25:37] != NOT_OK:
            return reply
        document = bson_codec.decode(reply[BODY_AT:])
        if document.get("code") == Code.COMMAND_ON_SHARDED_VIEW_NOT_SUPPORTED_ON_MONGOD:
            if "joinedView" in document:
                self.routing.note_spread_view(document["joinedView"])
                return None
            from router import views

            answered: bytes | None = await views.answer(
                self, connection, message, body, error_of(document)
            )
            return answered
        return None if self.routing.learn(document, f"{db}.{name}") else reply

    async def _routed(
        self, route: Route, connection: Connection, message: Message, body: Document, db: str
    ) -> Any:
        """Run a command by its route; again when a shard says that the routing is stale."""
        name = "" if route.whole else next(iter(body.values()))
        if type(name) is not str:
            name = ""
        for attempt in range(ATTEMPTS_MAX):
            try:
                reply: Any = NotImplemented
                if route.run is not None:
                    reply = await route.run(self, connection, message, body, db)
                if reply is NotImplemented:
                    reply = await self._by_target(route, connection, message, body, db, name)
                if type(reply) is not bytes or reply[25:37] != NOT_OK:
                    return reply
                error = error_of(bson_codec.decode(reply[BODY_AT:]))
                if error.code not in RETRIED_CODES:
                    return reply
            except MongoError as failure:
                error = failure
            if "joinedView" in error.extra:
                self.routing.note_spread_view(error.extra["joinedView"])
                if attempt + 1 == ATTEMPTS_MAX:
                    raise error
                continue
            if error.code == Code.COMMAND_ON_SHARDED_VIEW_NOT_SUPPORTED_ON_MONGOD:
                from router import views

                return await views.answer(self, connection, message, body, error)
            if not self.routing.learn(error, f"{db}.{name}") or attempt + 1 == ATTEMPTS_MAX:
                raise error
            await asyncio.sleep(0.001 * attempt * attempt)
        raise AssertionError("unreachable")

    async def _by_target(
        self, route: Route, connection: Connection, message: Message, body: Document, db: str,
        name: str,
    ) -> Any:
        target = self.routing.known(db, name)
        if target is None:
            target = await self.routing.find(db, name, create=route.creates)
        if isinstance(target, ChunkMap):
            if route.sharded is not None:
                if "defaultCollation" in target.row and "collation" not in body:
                    body = {**body, "collation": target.row["defaultCollation"]}
                return await route.sharded(self, connection, message, body, target)
            target = await self.routing.primary_target(db, create=False)
        return await self.forward(
            target.channel, connection, message, target.routed, opens_cursor=route.opens_cursor
        )

    def _keep_up(self, reply: bytes) -> None:
        """Take over a shard's time: the client knows it, and no answer here may tell of less."""
        time = read_cluster_time(reply)
        if time > self._latest_time:
            self._latest_time = time
            self.clock.observe_number(time)

    async def forward(
        self, channel: Shard, connection: Connection, message: Message,
        routed: Routed | None = None, *, opens_cursor: bool = False,
    ) -> bytes | None:
        """Send the client's bytes to a shard and return its reply's bytes."""
        message.routed = routed
        reply = await channel.forward(connection, message)
        if reply is not None and opens_cursor:
            cursor = read_cursor(reply[BODY_AT:])
            if cursor is not None and cursor[0]:
                self.owners.remember(cursor[0], channel)
        return reply

    async def forward_to(
        self, shard: str, routed: Routed | None, connection: Connection, message: Message, *,
        opens_cursor: bool = False,
    ) -> bytes | None:
        """Send the client's bytes to a shard by name."""
        channel = await self.routing.shard(shard)
        return await self.forward(
            channel, connection, message, routed, opens_cursor=opens_cursor
        )

    async def close_cursor(self, cursor_id: int, body: Document) -> None:
        """Close a cursor on the shard that has it."""
        await self.cursors.kill(cursor_id)
        owner = self.owners.owner(cursor_id)
        if owner is not None:
            self.owners.forget(cursor_id)
            await owner.command(
                body["$db"], {"killCursors": body["collection"], "cursors": [Int64(cursor_id)]}
            )

    def _pools(self) -> list[ConnectionPool]:
        return [pool for shard in self.routing.known_shards() for pool in shard.pools()]

    def pool_rows(self) -> dict[str, Document]:
        """Return the counts of `connPoolStats` by address of shard and config server."""
        rows: dict[str, Document] = {}
        for pool in self._pools():
            row = rows.setdefault(pool.address, {})
            for name, count in pool.counts().items():
                row[name] = row.get(name, 0) + count
        return rows

    def drop_pooled(self, hosts: list[str]) -> None:
        """Close the connections to these addresses."""
        for pool in self._pools():
            if pool.address in hosts:
                pool.clear()

    async def on_all_shards(self, db: str, command: Document) -> list[tuple[str, Document]]:
        """Run a command on every shard, in order of name; the first error is raised."""
        shards = await self.routing.shards()
        if not shards:
            raise MongoError(Code.SHARD_NOT_FOUND, "No shards found")
        replies = await asyncio.gather(
            *(channel.command(db, command) for _name, channel in shards)
        )
        return [(name, reply) for (name, _), reply in zip(shards, replies, strict=True)]
