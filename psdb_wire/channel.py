"""The client's side: requests to another node over a socket, or to one in this process.

A `Channel` takes whole OP_MSG messages and gives back whole replies. Failures of the way
there are `MongoError` HostUnreachable and NetworkTimeout; after either the request may or
may not have had its effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from psdb_base.bson_codec import decode, encode
from psdb_base.codes import Code
from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_wire.connection import Connection, Handler
from psdb_wire.frames import MORE_TO_COME, build_op_msg, parse

_FLAGS_OFFSET: Final = 16
_ERROR_FIELDS: Final = frozenset(
    {"$clusterTime", "code", "codeName", "errmsg", "errorLabels", "ok", "operationTime"}
)
"""What an error says of itself, and the times, which whoever passes it on has its own of."""


class Channel(Protocol):
    """A way to one other node."""

    async def request(self, message: bytes, *, timeout_seconds: float | None = None) -> bytes:
        """Send a whole OP_MSG; return the whole reply, b"" where none is expected.

        Raises HostUnreachable or NetworkTimeout.
        """
        ...

    async def command(
        self, db: str, command: Document, *, timeout_seconds: float | None = None
    ) -> Document:
        """Run a command on database `db`; return the reply, raise MongoError where not ok."""
        ...

    async def close(self) -> None:
        """Close: further requests fail with HostUnreachable."""
        ...


def raise_for(reply: Document) -> Document:
    """Return a reply that is ok; raise a reply that is not as the MongoError it tells of."""
    if reply.get("ok") == 1:
        return reply
    raise error_of(reply)


def error_of(reply: Document) -> MongoError:
    """Make the error of a reply that is not ok."""
    code = reply.get("code", Code.UNKNOWN_ERROR)
    extra = {name: value for name, value in reply.items() if name not in _ERROR_FIELDS}
    return MongoError(
        code if isinstance(code, int) else Code.UNKNOWN_ERROR,
        str(reply.get("errmsg", "")),
        labels=tuple(reply.get("errorLabels", ())),
        extra=extra,
    )


async def run_command(
    request: Callable[[bytes], Awaitable[bytes]], request_id: int, db: str, command: Document
) -> Document:
    """Send a command as OP_MSG through `request`; return its reply or raise its error."""
    body = encode({**command, "$db": db})
    reply = await request(build_op_msg(request_id, 0, body))
    return raise_for(decode(parse(reply).body))


class LocalChannel:
    """Requests handed straight to a server's handler in this process.

    The handler runs in the task that makes the request: cancelling that cancels the command,
    and an exception the handler lets escape is raised from `request`.

    Each request under way has a connection of its own, as behind a pool of sockets; they are
    used again. `next_id` numbers them.
    """

    def __init__(self, handler: Handler, next_id: Callable[[], int]) -> None:
        self._handler = handler
        self._next_id = next_id
        self._idle: list[LocalConnection] = []
        self._busy: dict[int, LocalConnection] = {}
        self._closed = False
        self._last_request_id = 0

    async def request(self, message: bytes, *, timeout_seconds: float | None = None) -> bytes:
        """Have the handler answer a whole OP_MSG; see `Channel.request`."""
        if self._closed:
            raise MongoError(Code.HOST_UNREACHABLE, "the node in this process was stopped")
        connection = self._idle.pop() if self._idle else LocalConnection(self._next_id())
        self._busy[connection.id] = connection
        try:
            reply = self._handler(connection, parse(message))
            if type(reply) is not bytes and isinstance(reply, Awaitable):
                if timeout_seconds is None:
                    reply = await reply
                else:
                    reply = await _within(reply, timeout_seconds)
        finally:
            if self._busy.pop(connection.id, None) is not None:
                self._idle.append(connection)
        if message[_FLAGS_OFFSET] & MORE_TO_COME:
            return b""
        if type(reply) is bytes:
            return reply
        raise MongoError(Code.PROTOCOL_ERROR, "a single reply was expected")

    async def command(
        self, db: str, command: Document, *, timeout_seconds: float | None = None
    ) -> Document:
        """Run a command; see `Channel.command`."""
        self._last_request_id = (self._last_request_id + 1) & 0x7FFFFFFF

        def send(message: bytes) -> Awaitable[bytes]:
            return self.request(message, timeout_seconds=timeout_seconds)

        return await run_command(send, self._last_request_id, db, command)

    async def close(self) -> None:
        """Refuse further requests; the node's view is that the connections are lost."""
        self._closed = True
        connections = [*self._idle, *self._busy.values()]
        self._idle.clear()
        self._busy.clear()
        for connection in connections:
            connection.close()


class LocalConnection(Connection):
    """A client in this process: no socket, no handshake."""

    is_local = True
    internal = True

    def __init__(self, connection_id: int) -> None:
        super().__init__(connection_id)
        self.hello_done = True


async def _within(reply: Awaitable[Any], seconds: float) -> Any:
    try:
        async with asyncio.timeout(seconds):
            return await reply
    except TimeoutError as error:
        raise MongoError(
            Code.NETWORK_TIMEOUT, f"no reply within {seconds} s from a node in this process"
        ) from error
