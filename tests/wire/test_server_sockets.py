"""Server connections over real sockets, on both event loops."""

from __future__ import annotations

import asyncio
import struct

import bson
import pytest
import uvloop

from psdb_wire.frames import MORE_TO_COME, OP_MSG, FrameReader, parse
from psdb_wire.server import Server

LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run])


class Echo:
    """Answers with the message itself, after the pauses it is told to make."""

    def __init__(self, pause=0.0):
        self.pause = pause
        self.seen = []

    async def __call__(self, connection, message):
        connection.greeted()
        if self.pause:
            await asyncio.sleep(self.pause)
        self.seen.append(message.request_id)
        head = struct.pack("<iiii", len(message.raw), 0, message.request_id, OP_MSG)
        return head + message.raw[16:]


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


@LOOPS
def test_unacknowledged_writes_before_a_close_are_carried_out(world, ping, run):
    async def main():
        echo = Echo(pause=0.002)
        server = Server(world, echo)
        port = await server.listen("127.0.0.1", 0)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"".join(ping(i, MORE_TO_COME) for i in range(10)))
        writer.close()
        await until(lambda: len(echo.seen) == 10 and server.current == 0)
        await server.close()

    run(main())


@LOOPS
def test_a_client_that_does_not_read_is_not_served_on(world, ping, run):
    """Replies of 1 MB each stop at what the sockets hold; then all of them come, in order."""

    async def main():
        echo = Echo()
        server = Server(world, echo)
        port = await server.listen("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
        writer.write(ping(0))
        await until(lambda: server.connections and server.connections[0].hello_done)
        count, size = 40, 1_000_000
        stream = b"".join(ping(i, size=size) for i in range(1, count + 1))
        writer.write(stream)
        seen = -1
        while len(echo.seen) != seen:
            seen = len(echo.seen)
            await asyncio.sleep(0.05)
        assert seen < count + 1
        frames = FrameReader()
        replies = []
        async with asyncio.timeout(20):
            while len(replies) < count + 1:
                replies += frames.feed(await reader.read(1 << 20))
        assert [parse(raw).response_to for raw in replies] == list(range(count + 1))
        writer.close()
        await server.close()

    run(main())


@LOOPS
def test_an_error_reply_arrives_before_the_close(world, ping, log, run):
    async def main():
        server = Server(world, Echo())
        port = await server.listen("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(ping(7, flags=4))
        async with asyncio.timeout(20):
            raw = await reader.read()
        message = parse(raw)
        assert message.response_to == 7
        assert bson.decode(message.body)["code"] == 223
        writer.close()
        await server.close()

    run(main())


@LOOPS
def test_the_cap_over_sockets(world, ping, run):
    async def main():
        server = Server(world, Echo(), connections_max=1)
        port = await server.listen("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(ping(1))
        await reader.readexactly(len(ping(1)))
        late_reader, late_writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(20):
            assert await late_reader.read() == b""
        late_writer.close()
        writer.write(ping(2))
        await reader.readexactly(len(ping(2)))
        assert (server.current, server.rejected) == (1, 1)
        writer.close()
        await until(lambda: server.current == 0)
        await server.close()

    run(main())
