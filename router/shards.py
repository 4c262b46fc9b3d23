"""The way to one shard or to the config server: over sockets, or straight into this process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from psdb_base.values import Document
from psdb_base.world import World
from psdb_wire.channel import Channel, LocalChannel
from psdb_wire.connection import Connection
from psdb_wire.frames import Message, append_fields
from psdb_wire.pool import ConnectionPool, split_address

INTERNAL_CLIENT: Final[Document] = {
    "minWireVersion": 0, "maxWireVersion": 25,
}


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

    async def close(self) -> None:
        """Close all connections."""
        ...


class RemoteShard:
    """A shard in another process."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def forward(self, _connection: Connection, message: Message) -> bytes | None:
        """Send the client's bytes, with what they rely on behind them."""
        routed = message.routed
        raw = message.raw if routed is None else append_fields(message.raw, routed.elements)
        return await self._channel.request(raw)

    async def command(self, db: str, command: Document) -> Document:
        """Run a command of the router's own."""
        return await self._channel.command(db, command)

    def pools(self) -> list[ConnectionPool]:
        """Return the pool of its connections."""
        return [self._channel] if isinstance(self._channel, ConnectionPool) else []

    def leads_to(self, _host: str) -> bool:
        """Tell that it does: an address is all there is to a single server."""
        return True

    def follow(self) -> str | None:
        """Return None: a single server stays where it is."""
        return None

    async def close(self) -> None:
        """Close all connections."""
        await self._channel.close()


class LocalShard:
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

    def leads_to(self, _host: str) -> bool:
        """Tell that it does: names are unique in this process."""
        return True

    def follow(self) -> str | None:
        """Return None: it stays where it is."""
        return None

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
    pool = ConnectionPool(world.network, *split_address(addresses), hello)
    return RemoteShard(pool)
