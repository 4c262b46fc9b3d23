"""Moving chunks whose documents, changes or retry history are larger than a message."""

from __future__ import annotations

import asyncio
from typing import Any

from bson.binary import Binary
from bson.int64 import Int64
from pymongo import MongoClient

from psdb_base import bson_codec
from psdb_store.sessions import pack_statements
from shardsvr.sharding.donor import Donation


def test_changes_go_in_messages_of_bounded_size() -> None:
    sent: list[dict[str, Any]] = []

    async def take(command: dict[str, Any]) -> None:
        assert len(bson_codec.encode(command)) < 17 * 2**20
        sent.append(command)

    donation = object.__new__(Donation)
    donation.id = Binary(b"i" * 16)
    donation._to_recipient = take  # type: ignore[assignment,method-assign]
    raws = [bson_codec.encode({"_id": n, "x": b"x" * 9_000_000}) for n in range(6)]
    removed = ["k" * 3_000_000 + str(n) for n in range(8)]
    image = b"x" * 1_000_000
    runs = pack_statements({n: {"n": n, "after": {"x": image}} for n in range(5)})
    sessions = [(bytes([n]) * 16, n, runs) for n in range(8)]
    asyncio.run(donation._send(raws, removed, sessions))
    assert b"".join(bytes(one["documents"]) for one in sent) == b"".join(raws)
    assert [one["_id"] for command in sent for one in command["removed"]] == removed
    rows = [row for command in sent for row in command["sessions"]]
    assert [bytes(row["lsid"]) for row in rows] == [lsid for lsid, _, _ in sessions]
    assert all(len(row["statements"]) == 5 for row in rows)
    assert len(sent) > 12


def test_a_long_history_of_retries_moves_along(sharded: Any, client: Any, db: Any) -> None:
    ns = f"{db.name}.c"
    client.admin.command("shardCollection", ns, key={"_id": 1})
    updates = [{"q": {"_id": n}, "u": {"$inc": {"n": 1}}, "upsert": True} for n in range(1500)]
    command = {"update": "c", "updates": updates, "txnNumber": Int64(1)}
    uuid = client.config.collections.find_one({"_id": ns})["uuid"]
    here = client.config.chunks.find_one({"uuid": uuid})["shard"]
    other = next(row["_id"] for row in client.config.shards.find() if row["_id"] != here)
    with MongoClient(port=sharded.ports[0]) as own, own.start_session() as session:
        first = own[db.name].command(dict(command), session=session)
        assert len(first["upserted"]) == 1500
        client.admin.command("moveChunk", ns, find={"_id": 0}, to=other, _waitForDelete=True)
        again = own[db.name].command(dict(command), session=session)
    assert (again["n"], again["upserted"]) == (first["n"], first["upserted"])
    assert db.c.count_documents({"n": 1}) == 1500
