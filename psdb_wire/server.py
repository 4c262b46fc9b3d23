"""The server's side of connections: reading, answering in order, back-pressure, closing.

One message of a connection is answered at a time. Messages that come meanwhile wait in a
bounded queue, beyond which the socket is not read; replies the client does not take stop the
next message from being started.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from types import CoroutineType
from typing import Any, Final, cast

from psdb_base.bson_codec import encode
from psdb_base.errors import MongoError
from psdb_base.limits import (
    CONNECTIONS_MAX,
    MESSAGE_BYTES_MAX,
    MESSAGE_INTERNAL_BYTES_MAX,
    PRE_HELLO_MESSAGE_BYTES_MAX,
)
from psdb_base.world import Listener, World
from psdb_wire import compression
from psdb_wire.connection import Connection, Handler, Result, Stream
from psdb_wire.frames import (
    HEADER_BYTES,
    MORE_TO_COME,
    OP_COMPRESSED,
    OP_MSG,
    FrameReader,
    Message,
    build_op_msg,
    parse,
    replace_ids,
)
from psdb_wire.stepping import Stepper

QUEUED_MESSAGES_MAX: Final = 16
"""With more messages waiting than this, a connection's socket is not read."""
_COMPRESSED_LOW_BYTE: Final = OP_COMPRESSED & 0xFF
_HTTP_ANSWER: Final = (
    b"HTTP/1.0 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 85\r\n\r\n"
    b"It looks like you are trying to access MongoDB over HTTP on the native driver port.\r\n"
)


def error_body(error: MongoError) -> bytes:
    """Return the reply document, encoded, for a message that could not be read."""
    return encode(
        {
            "ok": 0.0,
            "errmsg": error.message,
            "code": error.code,
            "codeName": error.code_name,
        }
    )


class ServerConnection(Connection, asyncio.Protocol):
    """A client behind a socket."""

    def __init__(self, server: Server, connection_id: int) -> None:
        super().__init__(connection_id)
        self._server = server
        self._handler = server.handler
        self._reader = FrameReader(min(PRE_HELLO_MESSAGE_BYTES_MAX, server.message_bytes_max))
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._write: Callable[[bytes], None] = _discard
        self._queue: deque[bytes | MongoError] = deque()
        self._stepper: Stepper | None = None
        self._answering: Message | None = None
        self._read_paused = False
        self._write_paused = False
        self._ending = False
        self._eof = False
        self._pumping = False
        self._drained: asyncio.Future[None] | None = None
        self._internal = False

    # -- what handlers use --------------------------------------------------------------------

    def greeted(self) -> None:
        """Note that a hello was answered: from now on large messages are taken."""
        super().greeted()
        self._set_limit()

    @property
    def internal(self) -> bool:
        """Whether it is another node of the cluster; a router adds to what a client sent."""
        return self._internal

    @internal.setter
    def internal(self, internal: bool) -> None:
        self._internal = internal
        self._set_limit()

    def _set_limit(self) -> None:
        if not self.hello_done:
            return
        limit = self._server.message_bytes_max
        if self._internal and limit == MESSAGE_BYTES_MAX:
            limit = MESSAGE_INTERNAL_BYTES_MAX
        self._reader.limit = limit

    @property
    def is_active(self) -> bool:
        """Whether a message is being answered."""
        return self._answering is not None

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task that runs this connection's handlers; cancelled when the client goes."""
        return self._stepper.task if self._stepper else None

    def close(self) -> None:
        """Close once what was written is sent."""
        self._ending = True
        self._write = _discard
        if not self.closed:
            self._transport.close()

    def abort(self) -> None:
        """Close at once, what was written but not sent is lost."""
        self._ending = True
        self._write = _discard
        if not self.closed:
            self._transport.abort()

    def finish(self) -> None:
        """Answer the message in work, start no other, then close."""
        self._ending = True
        self._queue.clear()
        if self._answering is None:
            self.close()

    # -- what the transport calls -------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or refuse when there are too many connections."""
        self._transport = cast("asyncio.Transport", transport)
        address = transport.get_extra_info("peername")
        if isinstance(address, tuple) and len(address) >= 2:
            self.peer = (str(address[0]), int(address[1]))
        if self._server.admit(self):
            self._write = self._transport.write
        else:
            self._ending = True
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Take bytes of the stream; answer what is complete."""
        if self._ending:
            return
        reader = self._reader
        try:
            messages = reader.feed(data)
        except MongoError as error:
            self._queue.append(error)
        else:
            if len(messages) == 1 and self._answering is None and not self._write_paused:
                # Nothing can be queued now: the queue is emptied whenever neither holds.
                self._start(messages[0])
            else:
                self._queue.extend(messages)
            if reader.error is not None:
                self._queue.append(reader.error)
        if self._queue:
            self._pump()

    def eof_received(self) -> bool:
        """Finish the writes for which no reply is expected, then close; drop the rest.

        A client may send unacknowledged writes and close at once; they are still carried out.
        """
        answering = self._answering
        if self._ending or answering is None or not _wants_no_reply(answering):
            return False
        self._eof = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's
        """Drop everything: the work in hand is cancelled, the callbacks run."""
        self._write = _discard
        self._ending = True
        self._queue.clear()
        for error in self._lost():
            self._server.log_escaped(self, "a callback on close", error)
        if self._stepper is not None:
            self._stepper.cancel()
        self._server.forget(self)

    def pause_writing(self) -> None:
        """Start no other message until the client has taken its replies."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """Go on."""
        self._write_paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self._queue:
            self._pump()

    # -- one message after another ------------------------------------------------------------

    def _pump(self) -> None:
        """Start what is queued as far as may be; read or leave the socket by what is left."""
        if self._pumping:
            return
        self._pumping = True
        queue = self._queue
        while queue and self._answering is None and not self._write_paused and not self._ending:
            item = queue.popleft()
            if isinstance(item, MongoError):
                self._refuse(item, self._reader.bad_header)
            else:
                self._start(item)
        self._pumping = False
        if self._ending:
            queue.clear()
            return
        if len(queue) > QUEUED_MESSAGES_MAX:
            if not self._read_paused:
                self._read_paused = True
                self._transport.pause_reading()
        elif self._read_paused and not queue:
            self._read_paused = False
            self._transport.resume_reading()

    def _start(self, raw: bytes) -> None:
        """Have one message answered: at once where the handler can."""
        try:
            message = self._parse(raw)
        except MongoError as error:
            self._refuse(error, raw[:HEADER_BYTES])
            return
        if self._eof and not _wants_no_reply(message):
            return
        try:
            result = self._handler(self, message)
        except Exception as error:  # noqa: BLE001 -- nothing may end the server
            self._escaped(error)
            return
        if type(result) is bytes:
            self._reply(message, result)
        elif result is not None:
            self._answering = message
            self._run(cast("Stream | Awaitable[Result]", result))

    def _run(self, result: Stream | Awaitable[Result]) -> None:
        """Have a handler's awaitable or stream run; `_answered` takes its outcome."""
        if self._stepper is None:
            self._stepper = Stepper(asyncio.get_running_loop(), self._answered)
        if type(result) is CoroutineType:
            self._stepper.run(result)
        elif isinstance(result, Awaitable):
            self._stepper.run(_awaited(result))
        else:
            self._stepper.run(self._stream(result))

    def _parse(self, raw: bytes) -> Message:
        if raw[12] != _COMPRESSED_LOW_BYTE:
            return parse(raw)
        inner, name = compression.decompress(raw, self.compressors, self._reader.limit)
        message = parse(inner)
        compression.check_compressible(message.body)
        message.compressor = name
        return message

    def _answered(self, result: Result, error: BaseException | None) -> None:
        """Take the outcome of a handler that was awaited, then go on with the queue."""
        message = self._answering
        if error is None and message is not None and result is not None:
            if type(result) is not bytes:
                self._run(cast("Stream", result))
                return
            self._reply(message, result)
        self._answering = None
        if error is not None:
            self._escaped(error)
        elif self._queue or self._read_paused:
            self._pump()
        if self._ending or (self._eof and self._answering is None):
            self.close()

    def _reply(self, message: Message, reply: bytes) -> None:
        if message.flags & MORE_TO_COME and message.opcode == OP_MSG:
            return  # the client did not ask for a reply
        if message.compressor is not None:
            reply = compression.compress(reply, message.compressor)
        self._write(reply)

    async def _stream(self, stream: Stream) -> None:
        """Write an exhaust stream's replies as the client takes them."""
        message = self._answering
        assert message is not None
        response_to = message.request_id
        try:
            async for reply in stream:
                request_id = self._server.next_request_id()
                self._reply(message, replace_ids(reply, request_id, response_to))
                response_to = request_id
                if self._write_paused:
                    self._drained = asyncio.get_running_loop().create_future()
                    await self._drained
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()

    # -- when something is wrong --------------------------------------------------------------

    def _refuse(self, error: MongoError, header: bytes) -> None:
        """Say why a message cannot be read, if it can be said, and close."""
        self._server.log_refused(self, error)
        if header.startswith(b"GET "):
            self._write(_HTTP_ANSWER)
        elif len(header) == HEADER_BYTES:
            request_id = int.from_bytes(header[4:8], "little", signed=True)
            opcode = int.from_bytes(header[12:16], "little", signed=True)
            if opcode in {OP_MSG, OP_COMPRESSED}:
                answer_id = self._server.next_request_id()
                self._write(build_op_msg(answer_id, request_id, error_body(error)))
        self.close()

    def _escaped(self, error: BaseException) -> None:
        if not self.closed:
            self._server.log_escaped(self, "a command's handler", error)
            self.close()


async def _awaited(result: Awaitable[Result]) -> Result:
    return await result


def _wants_no_reply(message: Message) -> bool:
    return message.opcode == OP_MSG and bool(message.flags & MORE_TO_COME)


def _discard(_: bytes) -> None:
    """Stand in for a transport that is gone."""


class Server:
    """Listens, counts and closes connections; `handler` answers their messages.

    Attributes:
        total_created: Connections accepted since the start.
        rejected: Connections refused because there were too many.

    """

    def __init__(
        self,
        world: World,
        handler: Handler,
        *,
        connections_max: int = CONNECTIONS_MAX,
        message_bytes_max: int = MESSAGE_BYTES_MAX,
    ) -> None:
        self.handler = handler
        self.message_bytes_max = message_bytes_max
        self.connections_max = connections_max
        self.total_created = 0
        self.rejected = 0
        self._world = world
        self._connections: dict[int, ServerConnection] = {}
        self._listeners: list[Listener] = []
        self._last_connection_id = 0
        self._last_request_id = 0
        self._closing = False
        self._empty: asyncio.Future[None] | None = None

    @property
    def current(self) -> int:
        """Connections that are open."""
        return len(self._connections)

    @property
    def available(self) -> int:
        """Connections that may still be opened."""
        return max(0, self.connections_max - len(self._connections))

    @property
    def active(self) -> int:
        """Connections whose command is being run."""
        return sum(connection.is_active for connection in self._connections.values())

    @property
    def connections(self) -> list[ServerConnection]:
        """The open connections, oldest first."""
        return list(self._connections.values())

    def next_connection_id(self) -> int:
        """Return a fresh connection number; those within the process take theirs here too."""
        self._last_connection_id += 1
        return self._last_connection_id

    def next_request_id(self) -> int:
        """Return a fresh id for a message this server sends."""
        self._last_request_id = (self._last_request_id + 1) & 0x7FFFFFFF
        return self._last_request_id

    async def listen(self, host: str, port: int) -> int:
        """Accept connections at an address; return the port bound. OSError when it cannot be."""
        listener = await self._world.network.listen(host, port, self._accept)
        self._listeners.append(listener)
        return listener.port

    async def close(self, timeout_seconds: float = 10.0) -> None:
        """Stop listening, let running commands finish, close; after the timeout, cut off."""
        self._closing = True
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        if not self._connections:
            return
        for connection in self.connections:
            connection.finish()
        self._empty = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_seconds):
                await asyncio.shield(self._empty)
        except TimeoutError:
            for connection in self.connections:
                connection.abort()
            await self._empty

    # -- what connections call ----------------------------------------------------------------

    def _accept(self) -> ServerConnection:
        return ServerConnection(self, self.next_connection_id())

    def admit(self, connection: ServerConnection) -> bool:
        """Count a connection in; False when there are too many or the server is closing."""
        if self._closing or len(self._connections) >= self.connections_max:
            self.rejected += 1
            self._log(
                "I", 22942, "Connection refused because there are too many open connections",
                connection, connectionCount=self.current,
            )  # fmt: skip
            return False
        self._connections[connection.id] = connection
        self.total_created += 1
        self._log("I", 22943, "Connection accepted", connection, connectionCount=self.current)
        return True

    def forget(self, connection: ServerConnection) -> None:
        """Count a connection out."""
        if self._connections.pop(connection.id, None) is None:
            return
        self._log("I", 22944, "Connection ended", connection, connectionCount=self.current)
        if not self._connections and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    def log_refused(self, connection: ServerConnection, error: MongoError) -> None:
        """Log a message that could not be read; never its content."""
        self._log(
            "I", 4615638, "Error receiving request from client. Ending connection", connection,
            error={"code": error.code, "codeName": error.code_name, "errmsg": error.message},
        )  # fmt: skip

    def log_escaped(self, connection: Connection, where: str, error: BaseException) -> None:
        """Log what a handler let escape and where it arose; its text might hold documents."""
        self._log(
            "E", 20883, "Unhandled exception; ending connection", connection,
            where=where, error=type(error).__name__, frames=_frames(error),
        )  # fmt: skip

    def _log(
        self, severity: str, id_: int, message: str, connection: Connection, **attr: Any
    ) -> None:
        attr = {
            "ctx": connection.context,
            "remote": connection.peer_name,
            "connectionId": connection.id,
            **attr,
        }
        self._world.log.write(severity, "NETWORK", id_, message, attr)


def _frames(error: BaseException) -> list[str]:
    """Return where an error arose, innermost last, as `file:line function`."""
    frames: list[str] = []
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        frames.append(f"{code.co_filename}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return frames[-8:]
