"""Exhaust cursors: a getMore that is answered until the cursor's end, through the router."""

from __future__ import annotations

import socket
import struct
import time
from typing import Any

import bson
import pytest
from pymongo.errors import CursorNotFound, OperationFailure
from servers import Server

EXHAUST_ALLOWED = 1 << 16
MORE_TO_COME = 1 << 1


def read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(min(size - len(data), 1 << 20))
        assert more, "the server closed the connection"
        data += more
    return data


def ask(connection: socket.socket, request_id: int, document: dict[str, Any], flags: int) -> None:
    body = bson.encode(document)
    connection.sendall(struct.pack("<iiiiIB", 21 + len(body), request_id, 0, 2013, flags, 0) + body)


def answer(connection: socket.socket) -> tuple[int, int, int, dict[str, Any]]:
    """Return request id, response-to, flags, document."""
    length, request_id, response_to, _opcode = struct.unpack("<iiii", read(connection, 16))
    raw = read(connection, length - 16)
    return request_id, response_to, struct.unpack("<I", raw[:4])[0], bson.decode(raw[5:])


@pytest.fixture
def connection(server: Server) -> Any:
    with socket.create_connection(("127.0.0.1", server.port), 10) as connected:
        yield connected


def open_cursor(connection: socket.socket, db: Any, batch_size: int) -> Any:
    ask(connection, 1, {"find": "c", "batchSize": batch_size, "$db": db.name}, EXHAUST_ALLOWED)
    _, _, flags, reply = answer(connection)
    assert flags == 0, "only a getMore may be answered more than once"
    return reply["cursor"]["id"]


def test_batches_follow_each_other(connection: socket.socket, db: Any) -> None:
    db.c.insert_many({"_id": n} for n in range(10))
    cursor_id = open_cursor(connection, db, 3)
    more = {"getMore": cursor_id, "collection": "c", "batchSize": 3, "$db": db.name}
    ask(connection, 7, more, EXHAUST_ALLOWED)
    expected_id = 7
    found = []
    for last in (False, False, True):
        request_id, response_to, flags, reply = answer(connection)
        assert response_to == expected_id
        assert flags == (0 if last else MORE_TO_COME)
        assert (reply["cursor"]["id"] == 0) == last
        found += [row["_id"] for row in reply["cursor"]["nextBatch"]]
        expected_id = request_id
    assert found == list(range(3, 10))
    ask(connection, 9, {"ping": 1, "$db": "admin"}, 0)
    assert answer(connection)[3]["ok"] == 1


def test_an_error_ends_the_stream(connection: socket.socket, db: Any) -> None:
    more = {"getMore": bson.Int64(77), "collection": "c", "$db": db.name}
    ask(connection, 1, more, EXHAUST_ALLOWED)
    _, response_to, flags, reply = answer(connection)
    assert (response_to, flags, reply["code"]) == (1, 0, 43)


def test_lost_client_loses_its_cursor(server: Server, db: Any) -> None:
    db.c.insert_many({"_id": n, "text": "x" * 1_000_000} for n in range(60))
    with socket.create_connection(("127.0.0.1", server.port), 10) as connected:
        cursor_id = open_cursor(connected, db, 1)
        more = {"getMore": cursor_id, "collection": "c", "batchSize": 1, "$db": db.name}
        ask(connected, 2, more, EXHAUST_ALLOWED)
        answer(connected)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            db.command("getMore", cursor_id, collection="d")
        except CursorNotFound:
            return
        except OperationFailure as error:
            if error.code != 13:  # open as yet, and refused as it is another collection's
                raise
    pytest.fail("the cursor of a client that is gone stayed open")
