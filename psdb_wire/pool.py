"""Connections to another node over sockets: one request at a time on each, reused when idle.

Decisions are made first and without waiting (`_assign`); only then comes I/O. So the pool's
counts hold at every moment the event loop can see.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, cast

from psdb_base.addresses import split_address
from psdb_base.bson_codec import decode, encode
from psdb_base.codes import Code
from psdb_base.errors import MongoError
from psdb_base.limits import MESSAGE_INTERNAL_BYTES_MAX
from psdb_base.values import Document
from psdb_base.world import Network
from psdb_wire.channel import raise_for, run_command
from psdb_wire.frames import MORE_TO_COME, FrameReader, build_op_msg, parse

CONNECT_SECONDS: Final = 10.0
_FLAGS_OFFSET: Final = 16


class ClientConnection(asyncio.Protocol):
    """One socket to a server; `request` must not be called while another is under way."""

    def __init__(self, address: str, lost: Callable[[ClientConnection], None]) -> None:
        self.address = address
        self.hello: Document = {}
        """The server's reply to the handshake."""
        self.idle_since = 0.0
        self.generation = 0
        self.closed = False
        self._lost = lost
        self._reader = FrameReader(MESSAGE_INTERNAL_BYTES_MAX)
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._reply: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Hand the reply to the request that waits for it."""
        try:
            messages = self._reader.feed(data)
        except MongoError as error:
            self._fail(error)
            return
        for message in messages:
            waiting, self._reply = self._reply, None
            if waiting is None or waiting.done():
                self.abort()  # nobody asked: what comes next could not be told apart
                return
            waiting.set_result(message)

    def eof_received(self) -> None:
        """Take no more requests: the server closes."""
        self.closed = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request under way."""
        self.closed = True
        reason = f": {exc}" if exc else ""
        self._fail(
            MongoError(Code.HOST_UNREACHABLE, f"connection to {self.address} closed{reason}")
        )
        self._lost(self)

    def _fail(self, error: MongoError) -> None:
        waiting, self._reply = self._reply, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)
        self.abort()

    def abort(self) -> None:
        """Close at once."""
        self.closed = True
        self._transport.abort()

    def push(self, message: bytes) -> None:
        """Send a whole message that wants no reply."""
        self._transport.write(message)

    def backlog_bytes(self) -> int:
        """How much was pushed that the other side has not taken yet."""
        return self._transport.get_write_buffer_size()

    async def request(self, message: bytes) -> bytes:
        """Send a whole message and return the whole reply; b"" where none is expected.

        A request that is cancelled takes its connection with it.
        """
        if self.closed:
            raise MongoError(Code.HOST_UNREACHABLE, f"connection to {self.address} is closed")
        self._transport.write(message)
        if message[_FLAGS_OFFSET] & MORE_TO_COME:
            return b""
        waiting: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._reply = waiting
        try:
            reply = await waiting
        except asyncio.CancelledError:
            self.abort()
            raise
        if reply[8:12] != message[4:8]:
            self.abort()
            raise MongoError(
                Code.PROTOCOL_ERROR, f"reply from {self.address} answers another request"
            )
        return reply


class ConnectionPool:
    """A channel to one address over at most `size_max` sockets.

    Args:
        network: The world's network.
        host: Address of the node.
        port: Its port.
        hello: The handshake's command (`{"hello": 1, …}`); `$db` is added.
        size_min: Connections that `warm` opens and that idleness does not close.
        size_max: Connections at most; further requests wait for one.
        idle_seconds_max: A connection idle for longer is closed; None keeps all.
        connect_seconds: Time limit of opening one, handshake included.
        authenticate: Runs on each fresh connection after its handshake.

    """

    def __init__(
        self,
        network: Network,
        host: str,
        port: int,
        hello: Document,
        *,
        size_min: int = 0,
        size_max: int = 100,
        idle_seconds_max: float | None = None,
        connect_seconds: float = CONNECT_SECONDS,
        authenticate: Callable[[ClientConnection], Awaitable[None]] | None = None,
    ) -> None:
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._network = network
        self._hello = hello
        self._size_min = size_min
        self._size_max = size_max
        self._idle_seconds_max = idle_seconds_max
        self._connect_seconds = connect_seconds
        self._authenticate = authenticate
        self._idle: deque[ClientConnection] = deque()
        self._waiters: deque[asyncio.Future[ClientConnection | None]] = deque()
        self._open: dict[int, ClientConnection] = {}
        self._opening = 0
        self.opened = 0
        self._generation = 0
        self._closed = False
        self._last_request_id = 0

    def counts(self) -> Document:
        """Return its figures in the names of `connPoolStats`; `opened` were opened in all."""
        return {
            "inUse": len(self._open) - len(self._idle),
            "available": len(self._idle),
            "leased": 0,
            "created": self.opened,
            "refreshing": self._opening,
        }

    @property
    def size(self) -> int:
        """Connections open or being opened."""
        return len(self._open) + self._opening

    @property
    def idle(self) -> int:
        """Connections that wait for a request."""
        return len(self._idle)

    async def warm(self) -> None:
        """Open connections until there are `size_min`; raises as `request` does."""
        while not self._closed and self.size < self._size_min:
            self._opening += 1
            self._release(await self._connect())

    async def request(self, message: bytes, *, timeout_seconds: float | None = None) -> bytes:
        """Send a whole OP_MSG on a free connection; see `Channel.request`."""
        if timeout_seconds is None:
            return await self._request(message)
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._request(message)
        except TimeoutError as error:
            raise MongoError(
                Code.NETWORK_TIMEOUT, f"no reply from {self.address} within {timeout_seconds} s"
            ) from error

    async def command(
        self, db: str, command: Document, *, timeout_seconds: float | None = None
    ) -> Document:
        """Run a command; see `Channel.command`."""

        def send(message: bytes) -> Awaitable[bytes]:
            return self.request(message, timeout_seconds=timeout_seconds)

        return await run_command(send, self._next_request_id(), db, command)

    def clear(self) -> None:
        """Close idle connections, and those in use once their request ends."""
        self._generation += 1
        while self._idle:
            self._idle.pop().abort()

    async def close(self) -> None:
        """Close all; requests under way and waiting fail with HostUnreachable."""
        self._closed = True
        self._idle.clear()
        for connection in list(self._open.values()):
            connection.abort()
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(self._unreachable("pool closed"))

    # -- who gets which connection ------------------------------------------------------------

    def _assign(self) -> None:
        """Serve waiters, first come first served: an idle connection, or leave to open one."""
        while self._waiters:
            connection = self._take_idle()
            if connection is None and self.size >= self._size_max:
                return
            waiter = self._waiters.popleft()
            if waiter.done():  # it was cancelled
                if connection is not None:
                    self._idle.append(connection)
                continue
            if connection is None:
                self._opening += 1
            waiter.set_result(connection)

    def _take_idle(self) -> ClientConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        return None

    async def _acquire(self) -> ClientConnection:
        if self._closed:
            raise self._unreachable("pool closed")
        if not self._waiters:
            connection = self._take_idle()
            if connection is not None:
                return connection
            if self.size < self._size_max:
                self._opening += 1
                return await self._connect()
        waiter: asyncio.Future[ClientConnection | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            connection = await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give_back(waiter.result())
            raise
        return connection if connection is not None else await self._connect()

    def _give_back(self, connection: ClientConnection | None) -> None:
        """Take back what was assigned to a request that is no more."""
        if connection is None:
            self._opening -= 1
            self._assign()
        else:
            self._release(connection)

    def _release(self, connection: ClientConnection) -> None:
        if connection.closed or self._closed or connection.generation != self._generation:
            connection.abort()
            return
        connection.idle_since = asyncio.get_running_loop().time()
        self._idle.append(connection)
        if self._waiters:
            self._assign()
        if self._idle_seconds_max is not None:
            self._prune(connection.idle_since - self._idle_seconds_max)

    def _prune(self, oldest: float) -> None:
        """Close what has been idle since before `oldest`; the longest idle stand first."""
        while self._idle and self._idle[0].idle_since < oldest and self.size > self._size_min:
            connection = self._idle.popleft()
            self._open.pop(id(connection), None)
            connection.abort()

    def _lost(self, connection: ClientConnection) -> None:
        self._open.pop(id(connection), None)
        if connection in self._idle:
            self._idle.remove(connection)
        self._assign()

    # -- I/O ----------------------------------------------------------------------------------

    async def _request(self, message: bytes) -> bytes:
        connection = await self._acquire()
        try:
            return await connection.request(message)
        finally:
            self._release(connection)

    async def _connect(self) -> ClientConnection:
        """Open a connection; its place is already counted in `_opening`."""
        generation = self._generation
        try:
            async with asyncio.timeout(self._connect_seconds):
                connection = await self._shake_hands()
        except TimeoutError as error:
            self._give_back(None)
            raise MongoError(
                Code.NETWORK_TIMEOUT,
                f"no connection to {self.address} within {self._connect_seconds} s",
            ) from error
        except OSError as error:
            self._give_back(None)
            raise self._unreachable(str(error)) from error
        except BaseException:
            self._give_back(None)
            raise
        self._opening -= 1
        self._open[id(connection)] = connection
        self.opened += 1
        connection.generation = generation
        if self._closed:
            connection.abort()
            raise self._unreachable("pool closed")
        return connection

    async def _shake_hands(self) -> ClientConnection:
        connection = await open_connection(
            self._network, self.address, self._hello, self._lost,
            request_id=self._next_request_id(),
        )
        try:
            if self._authenticate is not None:
                await self._authenticate(connection)
        except BaseException:
            connection.abort()
            raise
        return connection

    def _next_request_id(self) -> int:
        self._last_request_id = (self._last_request_id + 1) & 0x7FFFFFFF
        return self._last_request_id

    def _unreachable(self, reason: str) -> MongoError:
        return MongoError(Code.HOST_UNREACHABLE, f"{self.address}: {reason}")


async def open_connection(
    network: Network, address: str, hello: Document, lost: Callable[[ClientConnection], None],
    *, request_id: int = 1,
) -> ClientConnection:
    """Open a connection and greet the server; it is aborted where that fails.

    Args:
        network: The port to the outside.
        address: `host:port`.
        hello: The greeting; its answer is the connection's `hello`.
        lost: Called when the connection is gone.
        request_id: The greeting's.

    Raises:
        OSError: Nobody is there.
        MongoError: The connection broke, or the greeting was refused.

    """
    protocol = await network.connect(
        *split_address(address), lambda: ClientConnection(address, lost)
    )
    connection = cast("ClientConnection", protocol)
    try:
        message = build_op_msg(request_id, 0, encode({**hello, "$db": "admin"}))
        connection.hello = raise_for(decode(parse(await connection.request(message)).body))
    except BaseException:
        connection.abort()
        raise
    return connection
