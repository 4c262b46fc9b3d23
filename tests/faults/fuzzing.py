"""Random and mutated messages against a running server.

The law: whatever comes, the server answers with an error or closes the connection; it stays
alive, goes on answering others, and its memory stays flat.
"""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable
from typing import Any

import bson
from bson import Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import Binary

COMMANDS = (
    "aggregate", "bulkWrite", "buildInfo", "collMod", "collStats", "connectionStatus", "count",
    "create", "createIndexes", "currentOp", "dbStats", "delete", "distinct", "drop",
    "dropIndexes", "endSessions", "explain", "find", "findAndModify", "getLog", "getMore",
    "getParameter", "hello", "hostInfo", "insert", "isMaster", "killCursors", "killOp",
    "killSessions", "listCollections", "listCommands", "listDatabases", "listIndexes", "ping",
    "refreshSessions", "renameCollection", "saslStart", "serverStatus", "setParameter",
    "startSession", "update", "validate", "whatsmyuri",
)
FIELDS = (
    "$db", "$clusterTime", "$readPreference", "apiVersion", "arrayFilters", "batchSize",
    "collation", "cursor", "cursors", "deletes", "documents", "filter", "hint", "indexes", "key",
    "let", "limit", "lsid", "max", "maxTimeMS", "min", "new", "nsInfo", "op", "ops", "ordered",
    "pipeline", "projection", "q", "query", "readConcern", "remove", "skip", "sort", "to", "u",
    "update", "updates", "upsert", "writeConcern", "txnNumber", "verbosity", "comment",
)
OPERATORS = (
    "$and", "$or", "$nor", "$not", "$in", "$nin", "$gt", "$elemMatch", "$regex", "$options",
    "$expr", "$all", "$size", "$mod", "$type", "$exists", "$jsonSchema", "$set", "$inc", "$push",
    "$each", "$slice", "$unset", "$rename", "$match", "$group", "$sort", "$project", "$unwind",
    "$lookup", "$facet", "$sum", "$add", "$map", "$filter", "$cond", "$dateToString", "$$ROOT",
    "$$NOW", "$geoWithin", "$near", "$where", "$text", "$ref", "$id",
)
SCALARS: tuple[Callable[[random.Random], Any], ...] = (
    lambda r: r.choice((0, 1, -1, 2**31 - 1, -(2**31), 7)),
    lambda r: Int64(r.choice((0, 2**63 - 1, -(2**63), 5))),
    lambda r: r.choice((0.0, -0.0, 1.5, float("nan"), float("inf"), -1e308, 5e-324)),
    lambda r: Decimal128(r.choice(("0", "NaN", "Infinity", "1E6111", "1.10", "-0"))),
    lambda r: r.choice(("", "a", "$a", "$$ROOT", "a.b", "\u0000x", "é" * 40, "x" * 300, ".", "$")),
    lambda r: r.choice((None, True, False)),
    lambda r: ObjectId(),
    lambda r: Timestamp(r.getrandbits(32), r.getrandbits(32)),
    lambda r: Regex(r.choice(("a", "(a+)+$", "[", "(?P<", "^$"))),
    lambda r: Binary(r.randbytes(r.randrange(20)), r.choice((0, 2, 3, 4, 5, 9, 128))),
    lambda r: r.choice((MinKey(), MaxKey(), Code("x"), Code("x", {"a": 1}))),
)


def random_value(rng: random.Random, depth: int = 0) -> Any:
    """Make any BSON value."""
    roll = rng.random()
    if depth < 5 and roll < 0.3:
        return {random_name(rng): random_value(rng, depth + 1) for _ in range(rng.randrange(4))}
    if depth < 5 and roll < 0.5:
        return [random_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return rng.choice(SCALARS)(rng)


def random_name(rng: random.Random) -> str:
    """Make a field name, often one that means something."""
    return rng.choice(rng.choice((OPERATORS, FIELDS, ("a", "b", "a.b", "_id", "", "x.0.y"))))


def random_command(rng: random.Random) -> dict[str, Any]:
    """Make a command that is nearly one."""
    name = rng.choice(COMMANDS)
    target: Any = rng.choice(("c", "c", "c", 1, "fuzz.c", ""))
    if rng.random() < 0.1:
        target = random_value(rng)
    command: dict[str, Any] = {name: target}
    for _ in range(rng.randrange(5)):
        command[rng.choice(FIELDS)] = random_value(rng)
    if rng.random() < 0.9:
        command["$db"] = rng.choice(("fuzz", "admin", "fuzz", "a b"))
    return command


def op_msg(body: bytes, rng: random.Random) -> bytes:
    """Wrap a body as OP_MSG, sometimes with a document sequence."""
    flags = rng.choice((0, 0, 0, 0, 1 << 16, 2, 1, 8))
    sections = b"\x00" + body
    if rng.random() < 0.2:
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
        body = bson.encode(random_command(rng))
    except (bson.errors.BSONError, ValueError, OverflowError):
        body = bson.encode({"ping": 1, "$db": "fuzz"})
    message = op_msg(body, rng)
    if roll < 0.25:
        mutated = bytearray(message)
        for _ in range(rng.randrange(1, 4)):
            mutated[rng.randrange(16, len(mutated))] = rng.randrange(256)
        message = bytes(mutated)
    elif roll < 0.28:
        message = message[: rng.randrange(len(message))]
    elif roll < 0.31:
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
        connection.settimeout(0.25 if len(message) < 26 else 5)
        flags = struct.unpack_from("<I", message, 16)[0] if len(message) >= 20 else 0
        if len(message) < 26 or flags & 2:
            return False
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
        return False
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
