"""Ways to the other members: one-way messages in order, and requests with answers.

A `Link` holds one connection for Raft's messages, which want no reply (`moreToCome`): what is
sent while there is no connection is lost, as on any network, and Raft sends again what matters.
A message too large for one frame goes as byte ranges. A connection that is lost is opened again
at once; if that fails, the owner is told: most likely the other process is gone.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Final

from psdb_base.addresses import split_address
from psdb_base.bson_codec import encode
from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_base.world import World
from psdb_wire.frames import MORE_TO_COME, build_op_msg
from psdb_wire.pool import ClientConnection, ConnectionPool, open_connection

_INT32: Final = struct.Struct("<i")
FRAME_BYTES_MAX: Final = 8 * 1024 * 1024
"""No message between members is larger; what is comes in parts."""
_PART_BYTES: Final = FRAME_BYTES_MAX - 64 * 1024
_CONNECT_SECONDS: Final = 2.0
_RETRY_SECONDS: Final = (0.05, 0.1, 0.2, 0.5, 1.0)
_EARLY_MESSAGES_MAX: Final = 32
"""So many messages wait for a connection that is being opened for the first time."""
_BACKLOG_BYTES_MAX: Final = 64 * 1024 * 1024
"""With more than this unsent a peer takes nothing: messages to it are dropped."""


HELLO: Final[Document] = {
    "hello": 1, "internalClient": {"minWireVersion": 25, "maxWireVersion": 25},
}
"""How members greet each other."""


def with_binary(document: Document, name: str, data: bytes) -> bytes:
    """Encode a document with one more field: much data, which are copied once."""
    head = encode(document)
    mark = b"\x05%b\0%b\0" % (name.encode(), _INT32.pack(len(data)))
    size = len(head) + len(mark) + len(data)
    return b"".join((_INT32.pack(size), head[4:-1], mark, data, b"\0"))


class Link:
    """One-way messages to one address.

    Attributes:
        host: `name:port` of the other member.
        is_up: Whether there is a connection now.

    Args:
        world: For the network.
        host: Where to.
        on_down: Called when the connection was lost and could not be opened again at once.

    """

    def __init__(self, world: World, host: str, on_down: Callable[[], None]) -> None:
        self.host = host
        self._world = world
        self._on_down = on_down
        self._connection: ClientConnection | None = None
        self._opening: asyncio.Task[None] | None = None
        self._closed = False
        self._failures = 0
        self._last_part = 0
        self._early: list[bytes] = []

    @property
    def is_up(self) -> bool:
        """Whether there is a connection now."""
        return self._connection is not None and not self._connection.closed

    def open(self) -> None:
        """Begin to connect; also called again after each loss."""
        if self._opening is None and not self._closed:
            self._opening = asyncio.get_running_loop().create_task(self._connect())

    def send(self, body: bytes) -> bool:
        """Send a command's whole body; return whether it went out."""
        connection = self._connection
        if connection is None or connection.closed:
            if self._failures or len(self._early) >= _EARLY_MESSAGES_MAX:
                return False
            self._early.append(body)
            return True
        if connection.backlog_bytes() > _BACKLOG_BYTES_MAX:
            return False
        if len(body) <= FRAME_BYTES_MAX:
            connection.push(build_op_msg(0, 0, body, flags=MORE_TO_COME))
            return True
        self._last_part += 1
        for offset in range(0, len(body), _PART_BYTES):
            part = with_binary(
                {
                    "_replSetPart": self._last_part, "offset": offset, "total": len(body),
                    "$db": "admin",
                },
                "data", body[offset : offset + _PART_BYTES],
            )
            connection.push(build_op_msg(0, 0, part, flags=MORE_TO_COME))
        return True

    async def _connect(self) -> None:
        """Connect, again and again until it works."""
        while not self._closed:
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    self._connection = await open_connection(
                        self._world.network, self.host, HELLO, self._lost
                    )
            except (TimeoutError, OSError, MongoError):
                self._failures += 1
                self._early.clear()
                if self._failures == 1:
                    self._on_down()
                wait = _RETRY_SECONDS[min(self._failures, len(_RETRY_SECONDS)) - 1]
                await asyncio.sleep(wait)
                continue
            self._failures = 0
            early, self._early = self._early, []
            for body in early:
                self.send(body)
            break
        self._opening = None
        if not self.is_up:
            self.open()

    def _lost(self, connection: ClientConnection) -> None:
        if self._connection is connection:
            self._connection = None
            self.open()

    def close(self) -> None:
        """Close for good."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
        if self._connection is not None:
            self._connection.abort()


class Parts:
    """Puts bodies together that came in parts on one connection."""

    def __init__(self) -> None:
        self._number = 0
        self._pieces: list[bytes] = []
        self._size = 0

    def take(self, number: int, offset: int, total: int, data: bytes) -> bytes | None:
        """Take in a part; return the whole body with its last one. Parts out of order are lost."""
        if offset == 0:
            self._number, self._pieces, self._size = number, [], 0
        if number != self._number or offset != self._size:
            self._pieces = []
            return None
        self._pieces.append(data)
        self._size += len(data)
        if self._size < total:
            return None
        whole, self._pieces = b"".join(self._pieces), []
        return whole


class Peers:
    """Links and request channels by address."""

    def __init__(self, world: World, on_down: Callable[[str], None]) -> None:
        self._world = world
        self._on_down = on_down
        self._links: dict[str, Link] = {}
        self._pools: dict[str, ConnectionPool] = {}

    def keep(self, hosts: list[str]) -> None:
        """Have links to these addresses and to no others."""
        for host in hosts:
            if host not in self._links:
                link = Link(self._world, host, lambda host=host: self._on_down(host))  # type: ignore[misc]
                self._links[host] = link
                link.open()
        for host in [host for host in self._links if host not in hosts]:
            self._links.pop(host).close()

    @property
    def any_is_up(self) -> bool:
        """Whether there is a connection to any of them."""
        return any(link.is_up for link in self._links.values())

    def send(self, host: str, body: bytes) -> bool:
        """Send one message to a kept address; return whether it went out."""
        link = self._links.get(host)
        return link is not None and link.send(body)

    async def request(
        self, host: str, command: Document, seconds: float | None, *, db: str = "admin"
    ) -> Document:
        """Run a command on another member; raises MongoError."""
        pool = self._pools.get(host)
        if pool is None:
            name, port = split_address(host)
            pool = self._pools[host] = ConnectionPool(
                self._world.network, name, port, HELLO, size_max=8,
                connect_seconds=_CONNECT_SECONDS, idle_seconds_max=60.0,
            )
        return await pool.command(db, command, timeout_seconds=seconds)

    async def close(self) -> None:
        """Close everything."""
        for link in self._links.values():
            link.close()
        for pool in self._pools.values():
            await pool.close()
        self._links.clear()
        self._pools.clear()

