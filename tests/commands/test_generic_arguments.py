"""Arguments that every command takes."""

from __future__ import annotations

import socket
import struct
from typing import Any

import bson
import pytest
from servers import RawClient, Server

READ_PREFERENCES = {
    "no mode that there is": ({"mode": "closest"}, 9),
    "too little staleness": ({"mode": "secondary", "maxStalenessSeconds": 10}, 160),
    "enough staleness": ({"mode": "secondary", "maxStalenessSeconds": 90}, None),
    "staleness below zero": ({"mode": "secondary", "maxStalenessSeconds": -1}, 2),
    "staleness of a primary": ({"mode": "primary", "maxStalenessSeconds": 120}, 2),
    "tags of a primary": ({"mode": "primary", "tags": [{"dc": "ny"}]}, 2),
    "empty tags of a primary": ({"mode": "primary", "tags": [{}]}, None),
}


@pytest.mark.parametrize("case", READ_PREFERENCES)
def test_read_preference(server: Server, db: Any, case: str) -> None:
    preference, code = READ_PREFERENCES[case]
    reply = RawClient(("127.0.0.1", server.port)).command(
        {"find": "c", "$readPreference": preference, "$db": db.name}
    )
    assert reply.get("code") == code


STRICT = {
    "find": ({"find": "c"}, None),
    "count": ({"count": "c"}, None),
    "distinct": ({"distinct": "c", "key": "a"}, 323),
    "match": ({"aggregate": "c", "pipeline": [{"$match": {}}], "cursor": {}}, None),
    "index stats": ({"aggregate": "c", "pipeline": [{"$indexStats": {}}], "cursor": {}}, 323),
    "sessions": (
        {"aggregate": 1, "pipeline": [{"$listLocalSessions": {}}], "cursor": {}, "$db": "admin"},
        323,
    ),
    "operations": (
        {"aggregate": 1, "pipeline": [{"$currentOp": {}}], "cursor": {}, "$db": "admin"}, 323,
    ),
}


@pytest.mark.parametrize("case", STRICT)
def test_strict_stable_api(server: Server, db: Any, case: str) -> None:
    command, code = STRICT[case]
    document = {"apiVersion": "1", "apiStrict": True, "$db": db.name} | command
    reply = RawClient(("127.0.0.1", server.port)).command(command | document)
    assert reply.get("code") == code


def test_the_oldest_greeting_tells_the_cluster_time(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        query = struct.pack("<i10sxii", 0, b"admin.$cmd", 0, -1) + bson.encode({"isMaster": 1})
        connection.sendall(struct.pack("<iiii", 16 + len(query), 1, 0, 2004) + query)
        size, _, to, opcode = struct.unpack("<iiii", connection.recv(16, socket.MSG_WAITALL))
        reply = bson.decode(connection.recv(size - 16, socket.MSG_WAITALL)[20:])
    assert (to, opcode, reply["ok"]) == (1, 1, 1.0)
    assert reply["operationTime"] <= reply["$clusterTime"]["clusterTime"]


def test_connections_are_counted_in_int32(server: Server) -> None:
    reply = RawClient(("127.0.0.1", server.port)).reply_to({"serverStatus": 1, "$db": "admin"})
    assert b"\x10totalCreated\x00" in reply
