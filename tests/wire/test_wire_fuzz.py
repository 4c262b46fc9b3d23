"""Whatever a client sends, a connection answers, waits or closes; nothing escapes."""

from __future__ import annotations

import asyncio
import random
import struct

import bson
import pytest

from psdb_wire.compression import compress
from psdb_wire.frames import (
    CHECKSUM_PRESENT,
    MORE_TO_COME,
    OP_MSG,
    FrameReader,
    build_op_msg,
    build_op_query,
    parse,
)
from psdb_wire.server import Server

BODY = bson.encode({"insert": "c", "$db": "d", "lsid": {"id": bson.Binary(b"x" * 16, 4)}})
DOCUMENTS = [bson.encode({"_id": i, "a": [1, {"b": None}]}) for i in range(3)]
SEEDS = [
    build_op_msg(1, 0, BODY),
    build_op_msg(2, 0, BODY, sequences=[("documents", DOCUMENTS)]),
    build_op_msg(3, 0, BODY, flags=CHECKSUM_PRESENT),
    build_op_msg(4, 0, BODY, flags=MORE_TO_COME),
    build_op_query(5, "admin.$cmd", BODY),
    *(compress(build_op_msg(6, 0, BODY), name) for name in ("snappy", "zlib", "zstd")),
]
INTERESTING = [0, 1, 4, 5, 15, 16, 17, 0x7F, 0x80, 0xFF]


def mutate(rng, raw):
    data = bytearray(raw)
    for _ in range(rng.randrange(4)):
        kind = rng.randrange(6)
        position = rng.randrange(len(data)) if data else 0
        if kind == 0 and data:
            data[position] = rng.choice(INTERESTING)
        elif kind == 1 and data:
            data[position] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del data[position : position + rng.randrange(8)]
        elif kind == 3:
            data[position:position] = rng.randbytes(rng.randrange(8))
        elif kind == 4 and len(data) >= position + 4:
            number = rng.choice([-1, 0, 1, 2**31 - 1, -(2**31), len(data), rng.randrange(70_000)])
            data[position : position + 4] = struct.pack("<i", number)
        else:
            data = data[:position] + bytearray(rng.choice(SEEDS)) + data[position:]
    if rng.random() < 0.7 and len(data) >= 4:
        data[:4] = struct.pack("<i", len(data))
    return bytes(data)


async def echo_later(connection, message):
    await asyncio.sleep(0)
    return build_op_msg(0, message.request_id, message.body)


def echo(connection, message):
    return build_op_msg(0, message.request_id, message.body)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("handler", [echo, echo_later])
def test_mutated_messages(world, attach, log, seed, handler):
    async def run():
        rng = random.Random(seed)
        server = Server(world, handler)
        closed = answered = 0
        for _ in range(400):
            connection, transport = attach(server)
            connection.compressors = ["snappy", "zlib", "zstd"]
            stream = b"".join(mutate(rng, rng.choice(SEEDS)) for _ in range(rng.randrange(1, 4)))
            while stream:
                size = rng.randrange(1, len(stream) + 1)
                if not transport.closing:
                    transport.protocol.data_received(stream[:size])
                stream = stream[size:]
            for _ in range(12):
                await asyncio.sleep(0)
            replies = FrameReader().feed(bytes(transport.written))
            assert sum(map(len, replies)) == len(transport.written)
            answered += len(replies)
            closed += transport.closing
            transport.close()
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert server.current == 0
        assert closed > 50
        assert answered > 50
        assert not [line for line in log.lines if line[0] != "I"]

    asyncio.run(run())


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes(world, attach, seed):
    async def run():
        rng = random.Random(seed)
        server = Server(world, echo)
        for _ in range(300):
            _, transport = attach(server)
            length = rng.randrange(16, 90)
            stream = struct.pack("<i", length) + rng.randbytes(8)
            stream += struct.pack("<i", rng.choice([OP_MSG, 2012, 2004, 1, rng.randrange(3000)]))
            stream += rng.randbytes(length - 16)
            transport.protocol.data_received(stream)
            for raw in FrameReader().feed(bytes(transport.written)):
                assert len(bson.decode(parse(raw).body)) >= 0 or transport.closing
            transport.close()
            await asyncio.sleep(0)

    asyncio.run(run())
