"""Random and mutated messages against a running server.

The law: whatever comes, the server answers with an error or closes the connection; it stays
alive, goes on answering others, and its memory stays flat.
"""

from __future__ import annotations

import random
import socket
import struct

import bson
import fuzz_grammar

REPLY_SECONDS_MAX = 10


def op_msg(body: bytes, rng: random.Random) -> bytes:
    """Wrap a body as OP_MSG, sometimes with a document sequence."""
    flags = rng.choice((0,) * 40 + (1 << 16, 2, 1, 8))
    sections = b"\x00" + body
    if rng.random() < 0.03:
        documents = b"".join(
            bson.encode({"_id": rng.randrange(50), "v": 1}) for _ in range(rng.randrange(4))
        )
        content = rng.choice((b"documents", b"updates", b"deletes", b"x")) + b"\0" + documents
        sections += b"\x01" + struct.pack("<i", len(content) + 4) + content
    length = 20 + len(sections)
    return struct.pack("<iiiiI", length, rng.getrandbits(30), 0, 2013, flags) + sections


def random_message(rng: random.Random) -> bytes:
    """Make one message: nearly valid, mutated, or noise."""
    roll = rng.random()
    if roll < 0.03:
        return rng.randbytes(rng.randrange(1, 200))
    try:
        body = bson.encode(fuzz_grammar.command(rng))
    except (bson.errors.BSONError, ValueError, OverflowError):
        body = bson.encode({"ping": 1, "$db": "fuzz"})
    message = op_msg(body, rng)
    if roll < 0.15:
        mutated = bytearray(message)
        for _ in range(rng.randrange(1, 4)):
            mutated[rng.randrange(16, len(mutated))] = rng.randrange(256)
        message = bytes(mutated)
    elif roll < 0.17:
        message = message[: rng.randrange(len(message))]
    elif roll < 0.2:
        opcode = rng.choice((1, 2001, 2004, 2010, 2012, 9))
        message = message[:12] + struct.pack("<i", opcode) + message[16:]
    return message


def hello(connection: socket.socket) -> None:
    """Open a connection as a driver does."""
    body = bson.encode({"hello": 1, "$db": "admin"})
    message = struct.pack("<iiiiIB", 21 + len(body), 1, 0, 2013, 0, 0) + body
    connection.sendall(message)
    assert connection.recv(65536)


def send(connection: socket.socket, message: bytes) -> bool:
    """Send one message; False when the connection can be used no more."""
    try:
        connection.sendall(message)
        # The server rightly waits for the rest of a message that is cut short.
        if len(message) < 26 or struct.unpack_from("<i", message)[0] > len(message):
            return False
        flags = struct.unpack_from("<I", message, 16)[0]
        if flags & 2:
            return False
        connection.settimeout(REPLY_SECONDS_MAX)
        head = connection.recv(16, socket.MSG_WAITALL)
        if len(head) < 16:
            return False
        rest = struct.unpack_from("<i", head)[0] - 16
        while rest:
            data = connection.recv(min(rest, 1 << 16))
            if not data:
                return False
            rest -= len(data)
    except TimeoutError:
        raise AssertionError(f"no answer within {REPLY_SECONDS_MAX} s to {message!r}") from None
    except OSError:
        return False
    # A stream of replies (exhaust) goes on by itself: begin afresh.
    return not flags & (1 << 16)


def run(port: int, count: int, seed: int) -> None:
    """Send `count` messages, over as many connections as it takes."""
    rng = random.Random(seed)
    connection: socket.socket | None = None
    for _ in range(count):
        if connection is None:
            connection = socket.create_connection(("127.0.0.1", port), 5)
            connection.settimeout(5)
            if rng.random() < 0.97:
                hello(connection)
        if not send(connection, random_message(rng)):
            connection.close()
            connection = None
    if connection is not None:
        connection.close()
