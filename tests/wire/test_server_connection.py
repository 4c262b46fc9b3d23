"""One server connection over a transport in memory: order, back-pressure, limits, endings."""

from __future__ import annotations

import asyncio
import struct

import bson
import pytest

from psdb_base.limits import MESSAGE_BYTES_MAX, PRE_HELLO_MESSAGE_BYTES_MAX
from psdb_wire.compression import compress, decompress
from psdb_wire.frames import (
    EXHAUST_ALLOWED,
    MORE_TO_COME,
    OP_MSG,
    OP_QUERY,
    OP_REPLY,
    build_op_msg,
    build_op_query,
    build_op_reply,
    parse,
)
from psdb_wire.server import QUEUED_MESSAGES_MAX, Server

EMPTY = bson.encode({})


def answer(message):
    return build_op_msg(0, message.request_id, EMPTY)


def echo(connection, message):
    return answer(message)


async def echo_later(connection, message):
    await asyncio.sleep(0)
    return answer(message)


async def echo_at_once(connection, message):
    return answer(message)


class Gated:
    """A handler that answers a message when the test lets it."""

    def __init__(self):
        self.started = []
        self.cancelled = []
        self.gates = {}

    def open(self, request_id):
        self.gates.setdefault(request_id, asyncio.Event()).set()

    async def __call__(self, connection, message):
        self.started.append(message.request_id)
        try:
            await self.gates.setdefault(message.request_id, asyncio.Event()).wait()
        except asyncio.CancelledError:
            self.cancelled.append(message.request_id)
            raise
        return answer(message)


async def receive(transport, data, via):
    """Give a connection bytes as the loop does, or from inside a task."""
    if via == "task":
        transport.protocol.data_received(data)
    else:
        asyncio.get_running_loop().call_soon(transport.protocol.data_received, data)
        await asyncio.sleep(0)


async def turns(count=10):
    for _ in range(count):
        await asyncio.sleep(0)


def ids(transport):
    return [reply.response_to for reply in transport.replies()]


@pytest.mark.parametrize("handler", [echo, echo_at_once, echo_later])
@pytest.mark.parametrize("pieces", ["together", "each", "bytes"])
@pytest.mark.parametrize("via", ["loop", "task"])
def test_replies_come_in_order(world, attach, ping, handler, pieces, via):
    async def run():
        _, transport = attach(Server(world, handler))
        stream = b"".join(ping(i) for i in range(1, 30))
        size = {"together": len(stream), "each": len(ping()), "bytes": 1}[pieces]
        for start in range(0, len(stream), size):
            await receive(transport, stream[start : start + size], via)
        await turns(100)
        assert ids(transport) == list(range(1, 30))
        assert not transport.closing

    asyncio.run(run())


@pytest.mark.parametrize("via", ["loop", "task"])
@pytest.mark.parametrize("kinds", [[echo, echo_later, echo_at_once], [echo_at_once], [echo]])
def test_thousands_of_messages_in_one_piece(world, attach, ping, via, kinds):
    async def run():
        _, transport = attach(Server(world, lambda c, m: kinds[m.request_id % len(kinds)](c, m)))
        await receive(transport, ping(4), via)
        await turns()
        transport.written.clear()
        await receive(transport, b"".join(ping(i) for i in range(5000)), via)
        while len(transport.written) < 5000 * len(ping()) and not transport.closing:
            await asyncio.sleep(0)
        assert ids(transport) == list(range(5000))

    asyncio.run(run())


def test_one_message_at_a_time(world, attach, ping):
    async def run():
        handler = Gated()
        server = Server(world, handler)
        connection, transport = attach(server)
        transport.protocol.data_received(ping(1) + ping(2))
        await turns()
        assert handler.started == [1]
        assert connection.is_active
        assert server.active == 1
        handler.open(2)
        await turns()
        assert handler.started == [1]
        handler.open(1)
        await turns()
        assert ids(transport) == [1, 2]
        assert server.active == 0

    asyncio.run(run())


def test_reading_stops_while_messages_pile_up(world, attach, ping):
    async def run():
        handler = Gated()
        _, transport = attach(Server(world, handler))
        count = QUEUED_MESSAGES_MAX + 5
        for i in range(count):
            transport.protocol.data_received(ping(i))
            assert transport.reading == (i <= QUEUED_MESSAGES_MAX)
        for i in range(count):
            handler.open(i)
        await turns(count * 5)
        assert ids(transport) == list(range(count))
        assert transport.reading
        assert transport.pauses == 1

    asyncio.run(run())


def test_no_message_is_started_while_the_client_does_not_read(world, attach, ping):
    async def run():
        seen = []

        def handler(connection, message):
            seen.append(message.request_id)
            return answer(message)

        _, transport = attach(Server(world, handler), high_water=60)
        for i in range(50):
            transport.protocol.data_received(ping(i))
        assert seen == [0, 1, 2]
        assert not transport.reading
        transport.take()
        assert seen == [0, 1, 2, 3, 4, 5]
        while len(seen) < 50:
            transport.take()
        assert seen == list(range(50))
        assert ids(transport) == seen
        assert transport.reading

    asyncio.run(run())


def test_unacknowledged_messages_get_no_reply(world, attach, ping):
    async def run():
        for handler in (echo, echo_later):
            _, transport = attach(Server(world, handler))
            transport.protocol.data_received(ping(1, MORE_TO_COME) + ping(2))
            await turns()
            assert ids(transport) == [2]

    asyncio.run(run())


def test_a_handler_may_give_no_reply(world, attach, ping):
    async def run():
        async def nothing(connection, message):
            return None

        for handler in (lambda c, m: None, nothing):
            _, transport = attach(Server(world, handler))
            transport.protocol.data_received(ping(1) + ping(2))
            await turns()
            assert transport.written == b""
            assert not transport.closing

    asyncio.run(run())


def test_a_future_as_result(world, attach, ping):
    async def run():
        future = asyncio.get_running_loop().create_future()
        _, transport = attach(Server(world, lambda c, m: future))
        transport.protocol.data_received(ping(4))
        await turns()
        future.set_result(build_op_msg(0, 4, EMPTY))
        await turns()
        assert ids(transport) == [4]

    asyncio.run(run())


def test_op_query_is_answered_by_op_reply(world, attach):
    async def run():
        def handler(connection, message):
            assert (message.opcode, message.collection) == (OP_QUERY, "admin.$cmd")
            return build_op_reply(0, message.request_id, message.body)

        _, transport = attach(Server(world, handler))
        query = bson.encode({"ismaster": 1})
        # Bit 1 of OP_QUERY's flags has another meaning than moreToCome.
        raw = bytearray(build_op_query(9, "admin.$cmd", query))
        raw[16] = 2
        transport.protocol.data_received(bytes(raw))
        (reply,) = transport.replies()
        assert (reply.opcode, reply.response_to, reply.body) == (OP_REPLY, 9, query)

    asyncio.run(run())


# -- exhaust ------------------------------------------------------------------------------------


def test_a_stream_of_replies_answers_each_the_one_before(world, attach, ping):
    async def stream(connection, message):
        for i in range(3):
            await asyncio.sleep(0)
            body = bson.encode({"i": i})
            yield build_op_msg(0, 0, body, flags=MORE_TO_COME if i < 2 else 0)

    async def awaited(connection, message):
        return stream(connection, message)

    async def run():
        for handler in (stream, awaited):
            _, transport = attach(Server(world, handler))
            transport.protocol.data_received(ping(70, EXHAUST_ALLOWED) + ping(71))
            await turns(30)
            replies = transport.replies()
            assert [bson.decode(reply.body)["i"] for reply in replies] == [0, 1, 2] * 2
            assert [reply.flags for reply in replies] == [2, 2, 0] * 2
            chain = [70] + [reply.request_id for reply in replies[:2]]
            assert [reply.response_to for reply in replies[:3]] == chain
            assert replies[3].response_to == 71
            assert len({reply.request_id for reply in replies}) == 6

    asyncio.run(run())


def test_a_stream_waits_for_its_client_and_ends_with_it(world, attach, ping):
    made = []
    ended = []

    async def stream(connection, message):
        try:
            while True:
                made.append(None)
                yield build_op_msg(0, 0, EMPTY, flags=MORE_TO_COME)
                await asyncio.sleep(0)
        finally:
            ended.append(None)

    async def run():
        connection, transport = attach(Server(world, stream), high_water=60)
        transport.protocol.data_received(ping(1, EXHAUST_ALLOWED))
        await turns(20)
        assert len(made) == 3
        transport.take()
        await turns(20)
        assert len(made) == 6
        transport.close()
        await turns()
        assert connection.closed
        assert ended
        transport.take()
        await turns()
        assert len(made) == 6
        assert connection.task.done()

    asyncio.run(run())


# -- compression --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["snappy", "zlib", "zstd"])
@pytest.mark.parametrize("handler", [echo, echo_later])
def test_a_compressed_request_gets_a_compressed_reply(world, attach, ping, name, handler):
    async def run():
        connection, transport = attach(Server(world, handler))
        connection.compressors = ["zlib", name]
        transport.protocol.data_received(compress(ping(5), name))
        await turns()
        raw, used = decompress(bytes(transport.written), [name])
        assert used == name
        assert parse(raw).response_to == 5
        transport.written.clear()
        transport.protocol.data_received(ping(6))
        await turns()
        assert ids(transport) == [6]

    asyncio.run(run())


def test_compression_before_it_was_negotiated_ends_the_connection(world, attach, ping, log):
    async def run():
        _, transport = attach(Server(world, echo))
        transport.protocol.data_received(compress(ping(5), "zlib"))
        (reply,) = transport.replies()
        assert bson.decode(reply.body)["code"] == 17
        assert transport.closing

    asyncio.run(run())


@pytest.mark.parametrize(
    ("command", "refused"),
    [
        ("hello", True),
        ("isMaster", True),
        ("ismaster", True),
        ("saslStart", True),
        ("saslContinue", True),
        ("authenticate", True),
        ("createUser", True),
        ("updateUser", True),
        ("ping", False),
        ("helloWorld", False),
        ("", False),
    ],
)
def test_commands_that_must_not_be_compressed(world, attach, log, command, refused):
    async def run():
        connection, transport = attach(Server(world, echo))
        connection.compressors = ["zlib"]
        raw = build_op_msg(3, 0, bson.encode({command: 1, "$db": "admin"}))
        transport.protocol.data_received(compress(raw, "zlib"))
        assert transport.closing == refused
        if refused:
            (reply,) = transport.replies()
            assert "must not be compressed" in bson.decode(reply.body)["errmsg"]

    asyncio.run(run())


# -- refusals -----------------------------------------------------------------------------------


def test_before_hello_only_small_messages_are_taken(world, attach, ping, log):
    async def run():
        _, transport = attach(Server(world, echo))
        transport.protocol.data_received(ping(1, size=PRE_HELLO_MESSAGE_BYTES_MAX - 21))
        assert ids(transport) == [1]
        transport.protocol.data_received(ping(2, size=PRE_HELLO_MESSAGE_BYTES_MAX - 20)[:16])
        error = bson.decode(transport.replies()[1].body)
        assert (error["ok"], error["code"], error["codeName"]) == (0.0, 17, "ProtocolError")
        assert ids(transport) == [1, 2]
        assert transport.closing

        connection, transport = attach(Server(world, echo))
        connection.greeted()
        transport.protocol.data_received(ping(2, size=PRE_HELLO_MESSAGE_BYTES_MAX * 2))
        assert ids(transport) == [2]

    asyncio.run(run())


@pytest.mark.parametrize("internal", [False, True])
def test_a_router_may_add_to_the_largest_message(world, attach, ping, internal):
    async def run():
        connection, transport = attach(Server(world, echo))
        connection.greeted()
        connection.internal = internal
        head = ping(1)
        longer = (MESSAGE_BYTES_MAX + 124).to_bytes(4, "little") + head[4:16]
        transport.protocol.data_received(longer)
        assert transport.closing != internal

    asyncio.run(run())


BAD = {
    "a bad length": struct.pack("<iiii", 3, 8, 0, OP_MSG),
    "an illegal flag": build_op_msg(8, 0, EMPTY, flags=8),
    "an unknown section": build_op_msg(8, 0, EMPTY)[:-6] + b"\x05" + EMPTY,
}


@pytest.mark.parametrize("name", sorted(BAD))
@pytest.mark.parametrize("handler", [echo, echo_later])
def test_a_bad_message_is_answered_after_those_before_it(world, attach, ping, log, name, handler):
    async def run():
        connection, transport = attach(Server(world, handler))
        transport.protocol.data_received(ping(1) + BAD[name] + ping(9))
        await turns()
        assert ids(transport) == [1, 8]
        assert transport.closing
        assert connection.closed
        refused = [line for line in log.lines if line[2] == 4615638]
        assert len(refused) == 1

    asyncio.run(run())


def test_http_is_told_where_it_is(world, attach):
    async def run():
        _, transport = attach(Server(world, echo))
        transport.protocol.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, text = bytes(transport.written).partition(b"\r\n\r\n")
        assert b"MongoDB over HTTP" in text
        assert f"Content-Length: {len(text)}".encode() in head
        assert transport.closing

    asyncio.run(run())


def test_garbage_gets_no_answer(world, attach):
    async def run():
        _, transport = attach(Server(world, echo))
        transport.protocol.data_received(b"\xff" * 64)
        await turns()
        assert transport.written == b""
        assert transport.closing

    asyncio.run(run())


# -- handlers that fail, clients that go --------------------------------------------------------


@pytest.mark.parametrize("via", ["loop", "task"])
def test_an_escaping_exception_ends_the_connection_only(world, attach, ping, log, via):
    def at_once(connection, message):
        raise KeyError("secret")

    async def in_coroutine(connection, message):
        raise KeyError("secret")

    async def after_waiting(connection, message):
        await asyncio.sleep(0)
        raise KeyError("secret")

    async def in_stream(connection, message):
        yield build_op_msg(0, 0, EMPTY)
        raise KeyError("secret")

    async def run():
        for handler in (at_once, in_coroutine, after_waiting, in_stream):
            server = Server(world, handler)
            connection, transport = attach(server)
            log.lines.clear()
            await receive(transport, ping(1) + ping(2), via)
            await turns()
            assert connection.closed
            assert server.current == 0
            (line,) = [line for line in log.lines if line[0] == "E"]
            assert line[4]["error"] == "KeyError"
            assert handler.__name__ in line[4]["frames"][-1]
            assert "secret" not in str(line)

    asyncio.run(run())


@pytest.mark.parametrize("via", ["loop", "task"])
def test_a_lost_client_cancels_its_command(world, attach, ping, via):
    async def run():
        handler = Gated()
        server = Server(world, handler)
        connection, transport = attach(server)
        called = []
        connection.on_close(lambda: called.append("first"))
        forget = connection.on_close(lambda: called.append("forgotten"))
        connection.on_close(lambda: 1 / 0)
        connection.on_close(lambda: called.append("last"))
        forget()
        await receive(transport, ping(1) + ping(2), via)
        await turns()
        transport.close()
        await turns()
        assert called == ["first", "last"]
        assert handler.started == handler.cancelled == [1]
        assert connection.task.done()
        assert transport.written == b""
        assert server.current == 0
        connection.on_close(lambda: called.append("late"))
        assert called[-1] == "late"

    asyncio.run(run())


def test_unacknowledged_writes_outlive_the_end_of_their_stream(world, attach, ping):
    async def run():
        handler = Gated()
        _, transport = attach(Server(world, handler))
        transport.protocol.data_received(
            ping(1, MORE_TO_COME) + ping(2, MORE_TO_COME) + ping(3) + ping(4, MORE_TO_COME)
        )
        assert transport.protocol.eof_received()
        for i in range(1, 5):
            handler.open(i)
        await turns(20)
        assert handler.started == [1, 2, 4]
        assert handler.cancelled == []
        assert transport.closing

    asyncio.run(run())


def test_the_end_of_the_stream_cancels_what_is_to_be_answered(world, attach, ping):
    async def run():
        _, transport = attach(Server(world, Gated()))
        assert not transport.protocol.eof_received()
        transport.protocol.data_received(ping(1))
        assert not transport.protocol.eof_received()

    asyncio.run(run())


@pytest.mark.parametrize("via", ["loop", "task"])
def test_timeouts_inside_a_handler(world, attach, ping, via):
    """The first step is made outside the task's own steps, yet belongs to it."""
    outcomes = []

    async def handler(connection, message):
        assert asyncio.current_task() is connection.task
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            outcomes.append("timeout")
        assert asyncio.current_task() is connection.task
        assert asyncio.current_task().cancelling() == 0
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        return answer(message)

    async def run():
        connection, transport = attach(Server(world, handler))
        for i in range(1, 6):
            await receive(transport, ping(i), via)
        while len(ids(transport)) < 5:
            await asyncio.sleep(0.001)
        assert ids(transport) == [1, 2, 3, 4, 5]
        assert outcomes == ["timeout"] * 5
        assert not connection.task.done()

    asyncio.run(run())


# -- the server ---------------------------------------------------------------------------------


def test_the_connection_cap(world, attach, ping, log):
    async def run():
        server = Server(world, echo, connections_max=2)
        first, transport = attach(server)
        attach(server)
        assert (server.current, server.available, server.total_created) == (2, 0, 2)
        refused, refused_transport = attach(server)
        assert refused_transport.closing
        await turns()
        assert (server.current, server.rejected, server.total_created) == (2, 1, 2)
        refused.data_received(ping(1))
        assert refused_transport.written == b""
        transport.close()
        await turns()
        assert (server.current, server.available) == (1, 1)
        _, transport = attach(server)
        transport.protocol.data_received(ping(1))
        assert ids(transport) == [1]
        assert first.id != transport.protocol.id

    asyncio.run(run())


def test_closing_lets_commands_finish(world, attach, ping):
    async def run():
        handler = Gated()
        server = Server(world, handler)
        _, idle = attach(server)
        _, busy = attach(server)
        busy.protocol.data_received(ping(1) + ping(2))
        closing = asyncio.create_task(server.close(60))
        await turns()
        assert idle.closing
        assert not busy.closing
        _, late = attach(server)
        assert late.closing
        handler.open(1)
        await closing
        assert ids(busy) == [1]
        assert handler.started == [1]
        assert server.current == 0

    asyncio.run(run())


def test_closing_cuts_off_what_does_not_finish(world, attach, ping):
    async def run():
        handler = Gated()
        server = Server(world, handler)
        _, busy = attach(server)
        busy.protocol.data_received(ping(1))
        await server.close(0.001)
        await turns()
        assert handler.cancelled == [1]
        assert server.current == 0

    asyncio.run(run())


def test_ids_and_log_lines_of_a_connection(world, attach, log):
    async def run():
        server = Server(world, echo)
        connection, transport = attach(server)
        assert (connection.id, connection.peer_name) == (1, "10.0.0.7:4321")
        transport.close()
        await turns()
        accepted, ended = log.lines
        assert accepted[:4] == ("I", "NETWORK", 22943, "Connection accepted")
        assert accepted[4] == {
            "ctx": "conn1",
            "remote": "10.0.0.7:4321",
            "connectionId": 1,
            "connectionCount": 1,
        }
        assert ended[2:4] == (22944, "Connection ended")
        assert server.next_connection_id() == 2

    asyncio.run(run())
