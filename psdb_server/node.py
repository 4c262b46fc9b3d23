"""A node: the server half that routers and members share.

One message is one `handle` call: decode, find the command's row, check its fields, run it as
an `Operation`, and turn the result or the error into a reply. A handler either returns a reply
or raises; both end in exactly one reply message (none for `moreToCome` requests).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bson.int64 import Int64
from bson.timestamp import Timestamp

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.hlc import HybridClock
from psdb_base.values import Document
from psdb_base.world import World
from psdb_query import steps
from psdb_server import exhaust, fail_command, replies
from psdb_server.command import (
    ALIASES,
    Command,
    CommandTable,
    RawReply,
    Request,
    StreamReply,
    in_own_spelling,
)
from psdb_server.cursors import Cursors
from psdb_server.fail_points import FailPoints
from psdb_server.generic import GENERIC_FIELDS, Generic, parse_generic
from psdb_server.labels import STATE_CHANGE_CODES, labelled
from psdb_server.namespaces import check_database_name
from psdb_server.operations import Operation, Operations
from psdb_server.parameters import Parameters
from psdb_server.sessions import LogicalSessions
from psdb_wire.connection import Connection, Handler, Stream
from psdb_wire.frames import (
    EXHAUST_ALLOWED,
    MORE_TO_COME,
    OP_QUERY,
    Message,
    build_op_msg,
    build_op_reply,
)
from psdb_wire.server import Server

if TYPE_CHECKING:
    from psdb_server.scripting import Scripts

_BEFORE_HELLO: Final = frozenset({"hello", "isMaster", "saslStart", "saslContinue"})
_REPEATED: Final = frozenset({"count", "distinct", "find", "ping"})
KNOWN_BODIES_MAX: Final = 512
KNOWN_BODY_BYTES_MAX: Final = 512
REAPER_SECONDS: Final = 30.0


class Parsed(NamedTuple):
    """A command's checked parts: all of a request that does not change when it is sent again."""

    command: Command
    name: str
    db: str
    target: Any
    args: Document
    generic: Generic
    sequences: dict[str, list[bytes]]


class KnownBody(dict[str, Any]):
    """The body of a read that clients repeat byte by byte (health checks, polling queries).

    It is shared by all requests that send it, as are its parsed parts: handlers change neither.
    """

    __slots__ = ("parsed",)

    def __init__(self, body: Document) -> None:
        super().__init__(body)
        self.parsed: Parsed | None = None


class Node:
    """Base of the router and of the replica-set member.

    Attributes:
        world: Clock, random, disk, network, log.
        table: The commands this role knows.
        clock: The hybrid logical clock behind `$clusterTime`.
        parameters: What `getParameter` and `setParameter` see.
        options: Parsed command line, as `getCmdLineOpts` shows it.
        slow_ms: Operations that take at least this many milliseconds are logged.
        sample_rate: Which share of the slow ones is.
        request_stop: Has the process stop; None within another one's process.
        rotate_log: Begins a new log file; None likewise.

    """

    role = "mongod"

    def __init__(self, world: World, table: CommandTable, options: Document) -> None:
        self.world = world
        self.table = table
        self.options = options
        self.clock = HybridClock(world.clock)
        self.clock.tick()  # clients must never see the null time
        self.parameters = Parameters(options.get("setParameter", {}))
        self.operations = Operations(world.clock)
        self.cursors = Cursors(world.clock, world.random)
        self.sessions = LogicalSessions(world.clock)
        self.fail_points = FailPoints(world.random)
        self.process_id = world.random.object_id()
        self.topology_counter = 0
        self.topology_changed = asyncio.Event()
        self.started_ms = world.clock.now_ms()
        self.started = world.clock.monotonic()
        self.server: Server | None = None
        self.host = "localhost:27017"
        profiling: Document = options.get("operationProfiling", {})
        self.slow_ms: int = profiling.get("slowOpThresholdMs", self.parameters.slow_ms)
        self.sample_rate: float = profiling.get("slowOpSampleRate", 1.0)
        self.request_stop: Callable[[], None] | None = None
        self.rotate_log: Callable[[], None] | None = None
        self.stopping = False
        self._times: tuple[Timestamp | None, Timestamp | None, bytes] = (None, None, b"")
        self._known: dict[bytes, KnownBody] = {}
        self._tasks: list[asyncio.Task[None]] = []

    # -- life -------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start background work; a role extends this with its own."""
        self.spawn(self._reap())

    async def stop(self) -> None:
        """Stop serving and end background work.

        What runs is interrupted where it yields; who waits for a change of the topology is told.
        """
        self.stopping = True
        self.operations.kill_all(
            MongoError(Code.INTERRUPTED_AT_SHUTDOWN, "interrupted at shutdown")
        )
        self.topology_has_changed()
        if self.server is not None:
            await self.server.close()
        tasks = list(self._tasks)  # one that ends takes itself out
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks = []

    def scripts(self) -> Scripts | None:
        """Return a script engine for one operation, None with `--noscripting`."""
        host = self.world.scripts
        if host is None or not self.options.get("security", {}).get("javascriptEnabled", True):
            return None
        from psdb_server.scripting import Scripts

        return Scripts(host)

    def spawn(self, work: Any) -> None:
        """Run a coroutine in the background until `stop`."""
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    async def _reap(self) -> None:
        """Reap every half minute; an error is logged and does not end it."""
        while True:
            await asyncio.sleep(REAPER_SECONDS)
            try:
                await self.reap()
            except MongoError as error:
                self.world.log.write(
                    "W", "CONTROL", 20710, "Reaping failed", {"error": str(error)}
                )

    async def reap(self) -> None:
        """End idle cursors and sessions; a role adds what it keeps."""
        await self.cursors.expire()
        for lsid in self.sessions.expired():
            await self.end_session(lsid)

    async def end_session(self, lsid: bytes) -> None:
        """Kill what a session still has open and forget it."""
        self.sessions.end(lsid)
        await self.cursors.kill_session(lsid)

    # -- one message ------------------------------------------------------------------------

    @property
    def handler(self) -> Handler:
        """What a server of sockets calls with each message; a role may have a shorter way."""
        return self.handle

    async def handle(
        self, connection: Connection, message: Message
    ) -> bytes | Stream | None:
        """Answer one message; never raises but for cancellation."""
        if message.opcode == OP_QUERY:
            return await self._handle_query(connection, message)
        answer = self._answer_or_fail if self.fail_points.active else self.answer
        body = message.decoded
        if body is None:
            known = self._known.get(message.body)
            if known is not None and not message.sequences:
                message.decoded = known
                return await answer(connection, message, known)
            try:
                message.decoded = body = self._decode(message)
            except MongoError as error:
                return self.error_message(error, message)
        if message.flags & EXHAUST_ALLOWED and next(iter(body), "") == "getMore":
            return self._exhaust(connection, exhaust.single(message), body)
        return await answer(connection, message, body)

    async def _answer_or_fail(
        self, connection: Connection, message: Message, body: Document
    ) -> bytes | Stream | None:
        return await fail_command.answer(self, connection, message, body)

    def _decode(self, message: Message) -> Document:
        """Decode a body; keep those of small reads, which clients send again and again."""
        body = bson_codec.decode(message.body)
        if next(iter(body), "") not in _REPEATED or len(message.body) > KNOWN_BODY_BYTES_MAX:
            return body
        if message.sequences or message.flags:
            return body
        if len(self._known) >= KNOWN_BODIES_MAX:
            self._known.clear()
        self._known[message.body] = known = KnownBody(body)
        return known

    def _exhaust(self, connection: Connection, message: Message, body: Document) -> Stream:
        """Answer a getMore until its cursor is at its end."""

        async def next_batch() -> bytes:
            answer = self._answer_or_fail if self.fail_points.active else self.answer
            reply = await answer(connection, message, body)
            if reply is None:
                return b""  # a fail point closed the connection
            assert type(reply) is bytes
            return reply

        async def give_up(cursor_id: int) -> None:
            await self.close_cursor(cursor_id, body)

        return exhaust.batches(connection, next_batch, give_up)

    async def close_cursor(self, cursor_id: int, body: Document) -> None:  # noqa: ARG002
        """Close a cursor whose client went away; the router passes that on.

        Args:
            cursor_id: Which.
            body: The getMore that fetched from it.

        """
        await self.cursors.kill(cursor_id)

    async def answer(
        self, connection: Connection, message: Message, body: Document
    ) -> bytes | Stream | None:
        """Answer a command whose body is decoded; the router forwards here instead."""
        op: Operation | None = None
        raw: bytes | None = None
        failure: Exception | None = None
        asker = steps.CHECK.get()  # a router that hands over messages has one of its own
        try:
            request = self.parse(connection, message, body)
            op = request.op
            steps.CHECK.set(op.spend)
            reply = await self.execute(request)
            if type(reply) is StreamReply:
                return self._stream(reply, request)
            elements = (
                reply.elements if type(reply) is RawReply
                else replies.document_elements(reply)
            )
            if message.flags & MORE_TO_COME:
                return None
            raw = replies.close_body(elements + replies.OK_ELEMENT + self.reply_times(op))
        except Exception as error:  # noqa: BLE001 -- the one place where errors become replies
            failure = error
            return self.error_message(labelled(error, body), message)
        finally:
            if op is not None:
                steps.CHECK.set(asker)
                self.finish(op, raw, failure)
        return build_op_msg(message.request_id, message.request_id, raw)

    def finish(self, op: Operation, raw: bytes | None, error: Exception | None) -> None:
        """End an operation; log it when it was slow.

        Args:
            op: The operation.
            raw: The body of its reply, None without one.
            error: What it failed with.

        """
        self.operations.end(op)
        micros = int(op.elapsed_seconds() * 1_000_000)
        if micros >= self.slow_ms * 1000 and not self.table[op.name].quiet:
            if self.sample_rate >= 1 or self.world.random.random() < self.sample_rate:
                self.log_slow(op, micros, raw, error)
        self.ended(op, micros, raw, error)

    def log_slow(
        self, op: Operation, micros: int, raw: bytes | None, error: Exception | None
    ) -> None:
        """Write the line of a slow operation: figures and names, never a document."""
        attr: Document = {
            "type": "command", "ns": op.ns, "command": op.name, **self.slow_fields(op),
            "numYields": op.yields,
        }
        if op.connection is not None:
            attr["ctx"] = op.connection.context
            attr["remote"] = op.connection.peer_name
        if op.returned is not None:
            attr["nreturned"] = op.returned
        if isinstance(error, MongoError):
            attr |= {"ok": 0, "errName": error.code_name, "errCode": error.code}
        attr |= {"reslen": len(raw or b""), "durationMillis": micros // 1000}
        self.world.log.write("I", "COMMAND", 51803, "Slow query", attr)

    def slow_fields(self, op: Operation) -> Document:  # noqa: ARG002 -- a member knows more
        """Return what a role knows of how an operation ran."""
        return {}

    def parameter_changed(self, name: str) -> None:
        """Honour a parameter that was set, where that takes more than to look at it; a role may."""

    async def before_shutdown(self, *, force: bool, timeout_seconds: int) -> None:
        """Do what `shutdown` waits for; a role may refuse, or hand over first."""

    def pool_rows(self) -> dict[str, Document]:
        """Return the counts of `connPoolStats` by address of the node connected to."""
        return {}

    def drop_pooled(self, hosts: list[str]) -> None:
        """Close the connections to these addresses."""

    def idle_session_rows(self) -> list[Document]:
        """Return `$currentOp` rows of sessions that hold something without running a command."""
        return []

    def lock_fields(self) -> Document:
        """Return what `currentOp` tells of a lock that holds writes back."""
        return {}

    def ended(
        self, op: Operation, micros: int, raw: bytes | None, error: Exception | None
    ) -> None:
        """Take note of an operation that ended; a role counts and profiles."""

    def error_message(
        self, error: BaseException, message: Message, *, ordered: bool = False
    ) -> bytes | None:
        """Return the error reply to a message, None when it wants none; log our bugs loudly.

        An error that a test ordered says nothing of the topology, which has not changed.
        """
        if not isinstance(error, MongoError | RecursionError):
            import traceback

            self.world.log.write(
                "E", "COMMAND", 23000, "Unexpected exception in a command",
                {"error": type(error).__name__, "trace": traceback.format_tb(error.__traceback__)},
            )
        if message.flags & MORE_TO_COME:
            return None
        document = replies.error_document(error)
        if document["code"] in STATE_CHANGE_CODES and self.role == "mongod" and not ordered:
            document["topologyVersion"] = self.topology_version()
        elements = replies.document_elements(document)
        body = replies.close_body(elements + self.reply_times())
        return build_op_msg(message.request_id, message.request_id, body)

    def topology_version(self) -> Document:
        """Return what tells two states of this server apart (drivers' "Server Monitoring")."""
        return {"processId": self.process_id, "counter": Int64(self.topology_counter)}

    def topology_has_changed(self) -> None:
        """Tell those who wait in `hello` that its answer is another one now."""
        self.topology_counter += 1
        changed, self.topology_changed = self.topology_changed, asyncio.Event()
        changed.set()

    def describe_role(self, primary: str) -> Document:
        """Return the fields of `hello` that tell the role.

        Args:
            primary: The name of the writability field: `isWritablePrimary` or `ismaster`.

        """
        return {primary: True}

    def status_sections(self) -> Document:
        """Further sections of `serverStatus`; a role adds its own."""
        return {}

    def open_cursors(self) -> Document:
        """Return how many cursors are open, for `serverStatus`."""
        return {"total": Int64(len(self.cursors.open))}

    def cursors_opened(self) -> int:
        """Return how many cursors were ever opened."""
        return self.cursors.total_opened

    def connection_counts(self) -> Document:
        """Return the `connections` section of `serverStatus`."""
        if self.server is None:
            return {"current": 0, "available": 0, "totalCreated": 0, "active": 0}
        server = self.server
        return {
            "current": server.current,
            "available": server.available,
            "totalCreated": server.total_created,
            "rejected": server.rejected,
            "active": server.active,
        }

    def reply_times(self, op: Operation | None = None) -> bytes:
        """Return `$clusterTime` and `operationTime` for the reply of an operation."""
        now, operation_time = self.clock.now, self.operation_time(op)
        # While nothing is written the two stay the same objects, and so do the bytes.
        last_now, last_time, elements = self._times
        if now is not last_now or operation_time is not last_time:
            elements = replies.time_elements(now, operation_time)
            self._times = now, operation_time, elements
        return elements

    def operation_time(self, op: Operation | None) -> Timestamp | None:  # noqa: ARG002
        """Time of the last operation that this node's reply rests on; a role knows it."""
        return self.clock.now

    def parse(
        self, connection: Connection, message: Message, body: Document
    ) -> Request:
        """Make a request of a message: find the row, check the fields."""
        if type(body) is KnownBody and body.parsed is not None:
            return self._begin(connection, message, body, body.parsed)
        name = next(iter(body), "")
        command = self.find_command(name)
        body = in_own_spelling(name, body)
        db = body.get("$db")
        if type(db) is not str:
            if db is None:
                raise MongoError(40571, "OP_MSG requests require a $db argument")
            raise MongoError(Code.INVALID_NAMESPACE, "Invalid type for $db")
        if db not in ("admin", "config", "local"):
            check_database_name(db)
        if not connection.hello_done:
            if command.name in _BEFORE_HELLO:
                connection.greeted()
            elif len(message.body) <= 16_384:
                connection.greeted()
        sequences: dict[str, list[bytes]] = {}
        if message.sequences:
            body = dict(body)  # others on the message's way keep theirs
            sequences = self._sequences(command, body, message)
        generic = parse_generic(command, body)
        if command.admin_only and db != "admin":
            raise MongoError(
                Code.UNAUTHORIZED, f"{command.name} may only be run against the admin database."
            )
        args = command.field_set.parse(body, GENERIC_FIELDS)
        if generic.cluster_time is not None:
            self.clock.observe(generic.cluster_time)
        target = args.get(command.name)
        if target is None and command.target != "any":
            raise MongoError(
                Code.TYPE_MISMATCH,
                f"BSON field '{command.name}.{command.name}' is the wrong type 'null', expected "
                f"type '{command.target}'",
            )
        parsed = Parsed(command, name, db, target, args, generic, sequences)
        if type(body) is KnownBody:
            body.parsed = parsed
        return self._begin(connection, message, body, parsed)

    def _begin(
        self, connection: Connection, message: Message, body: Document, parsed: Parsed
    ) -> Request:
        """Begin the operation of a checked command; whoever gets the request ends it."""
        command, name, db, target, args, generic, sequences = parsed
        lsid = generic.lsid
        if lsid is not None:
            self.sessions.touch(lsid)
        # From here on nothing may raise.
        op = self.operations.begin(connection, command.name, db)
        op.command = body
        op.ns = f"{db}.{target}" if type(target) is str else db
        op.lsid = lsid
        if generic.max_time_ms:
            op.limit(generic.max_time_ms)
        return Request(
            self, command, name, db, target, args, generic, body, sequences, message,
            connection, op,
        )

    def find_command(self, name: str) -> Command:
        """Return the row of a command; 59 for an unknown one."""
        command = self.table.get(name) or self.table.get(ALIASES.get(name, ""))
        if command is None or (
            command.test_only and not self.parameters["enableTestCommands"]
        ):
            raise MongoError(Code.COMMAND_NOT_FOUND, f"no such command: '{name}'")
        if command.run is None:
            raise MongoError(
                Code.NOT_IMPLEMENTED, f"The command '{name}' is not supported by PSDB yet"
            )
        return command

    def _sequences(
        self, command: Command, body: Document, message: Message
    ) -> dict[str, list[bytes]]:
        """Bring kind-1 sections into the body; raw where the command keeps bytes."""
        sequences: dict[str, list[bytes]] = {}
        for name, documents in message.sequences:
            if name in body:
                raise MongoError(
                    40413, f"Field '{name}' is given twice: in the body and as a document sequence"
                )
            sequences[name] = documents
            if name == "documents" and command.name == "insert":
                body[name] = []
            else:
                body[name] = [bson_codec.decode(document) for document in documents]
        return sequences

    async def execute(self, request: Request) -> Any:
        """Run a checked request; roles wrap this with what holds for all their commands."""
        assert request.command.run is not None
        return await request.command.run(request)

    # -- other shapes of messages -------------------------------------------------------------

    async def _handle_query(self, connection: Connection, message: Message) -> bytes:
        """Answer the legacy OP_QUERY handshake; every other OP_QUERY is refused."""
        try:
            body = bson_codec.decode(message.body)
            if type(body.get("$query")) is dict:
                body = body["$query"]
            name = next(iter(body), "")
            if name.lower() not in ("ismaster", "hello"):
                raise MongoError(
                    Code.UNSUPPORTED_OP_QUERY_COMMAND,
                    f"Unsupported OP_QUERY command: {name}. The client driver may require an "
                    "upgrade. For more details see "
                    "https://dochub.mongodb.org/core/legacy-opcode-removal",
                )
            body = {key: value for key, value in body.items() if key != "$db"} | {"$db": "admin"}
            for key in ("topologyVersion", "maxAwaitTimeMS"):
                body.pop(key, None)
            if self.fail_points.active:
                await fail_command.before(self, connection, body)
            request = self.parse(connection, message, body)
            try:
                document = await self.execute(request)
            finally:
                self.operations.end(request.op)
            elements = replies.document_elements(document) + replies.OK_ELEMENT
        except fail_command.ConnectionEnded:
            return b""
        except Exception as error:  # noqa: BLE001 -- as in `handle`
            elements = replies.document_elements(replies.error_document(error))
        # Drivers that greet so gossip the cluster's time from here on.
        return build_op_reply(
            0, message.request_id, replies.close_body(elements + self.reply_times())
        )

    async def _stream(self, reply: StreamReply, request: Request) -> AsyncIterator[bytes]:
        """Turn the documents of an exhaust command into messages; the connection sets ids."""
        try:
            async for message in self._streamed(reply, request):
                yield message
        except MongoError as error:
            failure = self.error_message(error, request.message)
            if failure is not None:
                yield failure

    async def _streamed(self, reply: StreamReply, request: Request) -> AsyncIterator[bytes]:
        first = True
        async for document in reply.documents:
            if not first and self.fail_points.active:
                # Each of these replies stands for a command of its own.
                try:
                    await fail_command.before(self, request.connection, request.body)
                except fail_command.ConnectionEnded:
                    return
                except MongoError as error:
                    failure = self.error_message(error, request.message, ordered=True)
                    if failure is not None:
                        yield failure
                    return
            first = False
            elements = replies.document_elements(document)
            body = replies.close_body(elements + replies.OK_ELEMENT + self.reply_times())
            yield build_op_msg(0, 0, body, flags=MORE_TO_COME)
