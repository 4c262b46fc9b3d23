"""Arguments that every command takes."""

from __future__ import annotations

from typing import Any

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
