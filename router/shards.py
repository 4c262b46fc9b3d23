"""The way to one shard or to the config server: over sockets, or straight into this process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from psdb_base.addresses import split_address
from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_base.world import World
from psdb_wire.channel import LocalChannel, run_command
from psdb_wire.connection import Connection
from psdb_wire.frames import Message, append_fields
from psdb_wire.pool import ConnectionPool

INTERNAL_CLIENT: Final[Document] = {
    "minWireVersion": 0, "maxWireVersion": 25,
}

LOOK_SECONDS: Final = 2.0
"""A request that has waited so long makes the router look whether its server is there."""
SIGN_SECONDS: Final = 10.0
"""A single server that has given no sign of life for so long is not there."""
CONFIG_IN_PROCESS: Final = "config/in-process:0"
"""The `host` of a config server in the router's own process."""


class Shard(Protocol):
    """Where commands are sent."""

    async def forward(self, connection: Connection, message: Message) -> bytes | None:
        """Send a client's message on, which wants a reply; return that."""
        ...

    async def command(self, db: str, command: Document) -> Document:
        """Run a command of the router's own; raise the error of a reply that is not ok."""
        ...

    def pools(self) -> list[ConnectionPool]:
        """Return the pools of its connections."""
        ...

    def leads_to(self, host: str) -> bool:
        """Tell whether this is the way to a host of the same name."""
        ...

    def follow(self) -> str | None:
        """Return its `host` as the members of a set tell it now, None while that is not known."""
        ...

    def is_away(self) -> bool:
        """Tell whether it is known that nobody there takes writes now."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class _OneServer:
    """What is true of a server that is a member of no set."""

    def leads_to(self, _host: str) -> bool:
        """Tell that it does: its address, or name in this process, is all there is to it."""
        return True

    def follow(self) -> str | None:
        """Return None: it stays where it is."""
        return None

    def is_away(self) -> bool:
        """Tell that this is not known before it is asked."""
        return False


class RemoteShard(_OneServer):
    """A single server in another process.

    While a request waits for its answer the server is asked for a sign of life on a connection of
    its own. One that gives none has gone without closing its sockets (its cable was cut, its
    machine stopped): all requests under way fail then, and the next ones connect anew.

    Args:
        make: Makes a pool of connections to it.

    """

    def __init__(self, make: Callable[[], ConnectionPool]) -> None:
        self._make = make
        self._pool = make()
        self._waiting: dict[int, None] = {}
        self._last_request = 0
        self._watch: asyncio.Task[None] | None = None

    async def forward(self, _connection: Connection, message: Message) -> bytes | None:
        """Send the client's bytes, with what they rely on behind them."""
        routed = message.routed
        raw = message.raw if routed is None else append_fields(message.raw, routed.elements)
        return await self._request(raw)

    async def command(self, db: str, command: Document) -> Document:
        """Run a command of the router's own."""
        return await run_command(
            self._request, (self._last_request + 1) & 0x7FFFFFFF, db, command
        )

    async def _request(self, raw: bytes) -> bytes:
        self._last_request += 1
        number = self._last_request
        self._waiting[number] = None
        if self._watch is None:
            self._watch = asyncio.get_running_loop().create_task(self._look_after())
        try:
            return await self._pool.request(raw)
        finally:
            del self._waiting[number]

    async def _look_after(self) -> None:
        """Fail requests that wait for a server that is gone; ends when none waits."""
        probe = self._make()
        try:
            while self._waiting:
                latest = self._last_request
                await asyncio.sleep(LOOK_SECONDS)
                oldest = next(iter(self._waiting), None)
                if oldest is None or oldest > latest:
                    continue
                try:
                    await probe.command("admin", {"hello": 1}, timeout_seconds=SIGN_SECONDS)
                except MongoError:
                    await probe.close()
                    probe = self._make()
                    pool, self._pool = self._pool, self._make()
                    await pool.close()
        finally:
            self._watch = None
            await probe.close()

    def pools(self) -> list[ConnectionPool]:
        """Return the pool of its connections."""
        return [self._pool]

    async def close(self) -> None:
        """Close all connections."""
        if self._watch is not None:
            self._watch.cancel()
        await self._pool.close()


class LocalShard(_OneServer):
    """A shard in this process: messages are handed over as they are, already taken apart."""

    def __init__(
        self, handler: Callable[[Connection, Message], Awaitable[Any]],
        next_connection_id: Callable[[], int],
    ) -> None:
        self._handler = handler
        self._channel = LocalChannel(handler, next_connection_id)

    async def forward(self, connection: Connection, message: Message) -> bytes | None:
        """Have the shard answer on behalf of the client's own connection."""
        reply: bytes | None = await self._handler(connection, message)
        return reply

    async def command(self, db: str, command: Document) -> Document:
        """Run a command of the router's own."""
        return await self._channel.command(db, command)

    def pools(self) -> list[ConnectionPool]:
        """Return none: there are no sockets."""
        return []

    async def close(self) -> None:
        """Hand over nothing more."""
        await self._channel.close()


def connect_over_network(world: World, host: str) -> Shard:
    """Make the way to `host:port`, or to a replica set `set/host:port[,host:port…]`."""
    set_name, _, addresses = host.rpartition("/")
    hello: Document = {"hello": 1, "internalClient": INTERNAL_CLIENT}
    if set_name:
        from router.replica_set_shard import ReplicaSetShard

        return ReplicaSetShard(world, set_name, addresses.split(","), hello)
    return RemoteShard(lambda: ConnectionPool(world.network, *split_address(addresses), hello))
