"""Commands for whoever runs a server: digests, locks, sizes."""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import bson
import pytest
from pymongo import MongoClient
from pymongo.errors import ExecutionTimeout, OperationFailure


def test_db_hash_is_md5_over_documents_by_id(member_db: Any) -> None:
    documents: list[dict[str, Any]] = [{"_id": n, "a": "x" * n} for n in (3, 1, 2)]
    member_db.one.insert_many(documents)
    member_db.create_collection("ring", capped=True, size=4096)
    member_db.ring.insert_many([{"_id": 2}, {"_id": 1}])
    member_db.command("create", "view", viewOn="one")
    reply = member_db.command("dbHash")
    raw = b"".join(bson.encode(d) for d in sorted(documents, key=lambda d: int(d["_id"])))
    assert reply["collections"]["one"] == hashlib.md5(raw).hexdigest()
    raw = bson.encode({"_id": 2}) + bson.encode({"_id": 1})
    assert reply["collections"]["ring"] == hashlib.md5(raw).hexdigest()
    whole = "".join(reply["collections"][name] for name in ("one", "ring"))
    assert reply["md5"] == hashlib.md5(whole.encode()).hexdigest()
    assert (reply["capped"], sorted(reply["uuids"])) == (["ring"], ["one", "ring"])
    only = member_db.command("dbHash", collections=["ring"])
    assert list(only["collections"]) == ["ring"]


def test_db_hash_tells_equal_data_from_different(member_db: Any) -> None:
    for n in range(600):
        member_db.a.insert_one({"_id": n})
    member_db.b.insert_many({"_id": n} for n in reversed(range(601)))
    first = member_db.command("dbHash")["collections"]
    assert first["a"] != first["b"]
    member_db.b.delete_one({"_id": 600})
    second = member_db.command("dbHash")["collections"]
    assert second["a"] == second["b"] == first["a"]


def test_a_lock_holds_writes_back(member_client: Any, member_db: Any) -> None:
    member_db.c.insert_one({"_id": 0})
    admin = member_client.admin
    assert admin.command("fsync", lock=True)["lockCount"] == 1
    written = threading.Event()

    def write() -> None:
        member_db.c.insert_one({"_id": 1})
        written.set()

    writer = threading.Thread(target=write)
    try:
        assert admin.command("fsync", lock=True)["lockCount"] == 2
        writer.start()
        with pytest.raises(ExecutionTimeout):
            member_db.command("insert", "c", documents=[{"_id": 2}], maxTimeMS=700)
        with pytest.raises(ExecutionTimeout):
            member_db.command(
                "aggregate", "c", pipeline=[{"$out": "d"}], cursor={}, maxTimeMS=700
            )
        waiting = [row for row in admin.command("currentOp")["inprog"] if row["waitingForLock"]]
        assert [row["op"] for row in waiting] == ["insert"]
        assert admin.command("currentOp")["fsyncLock"] is True
        assert [d["_id"] for d in member_db.c.find()] == [0]
        assert admin.command("fsyncUnlock")["lockCount"] == 1
        assert not written.is_set()
    finally:
        while admin.command("fsyncUnlock")["lockCount"]:
            pass
        writer.join(10)
    assert written.is_set()
    assert "fsyncLock" not in admin.command("currentOp")
    with pytest.raises(OperationFailure) as caught:
        admin.command("fsyncUnlock")
    assert caught.value.code == 20


def test_a_router_locks_all_its_shards(db: Any) -> None:
    admin = db.client.admin
    db.c.insert_one({"_id": 0})
    assert admin.command("fsync", lock=True)["lockCount"] == 1
    try:
        with pytest.raises(ExecutionTimeout):
            db.command("insert", "c", documents=[{"_id": 2}], maxTimeMS=700)
        # Where a collection lives may be asked meanwhile; its database must not be made.
        assert db.other.find_one({}, max_time_ms=5000) is None
        assert db.client.no_such_database.c.find_one({}, max_time_ms=5000) is None
        for writing in (
            {"aggregate": "c", "pipeline": [{"$out": "x"}], "cursor": {}},
            {"mapReduce": "c", "map": "function() { emit(1, 1); }",
             "reduce": "function() { return 1; }", "out": "x"},
        ):
            with pytest.raises(ExecutionTimeout):
                db.command({**writing, "maxTimeMS": 700})
    finally:
        assert admin.command("fsyncUnlock")["lockCount"] == 0
    assert db.list_collection_names() == ["c"]
    db.c.insert_one({"_id": 1})


def test_latency_statistics(db: Any) -> None:
    db.c.insert_one({"_id": 1})
    db.c.find_one({"_id": 1})
    (row,) = db.c.aggregate([{"$collStats": {"latencyStats": {"histograms": True}}}])
    reads, writes = row["latencyStats"]["reads"], row["latencyStats"]["writes"]
    assert (reads["ops"], writes["ops"]) == (1, 1)
    assert sum(bucket["count"] for bucket in reads["histogram"]) == 1
    (bucket,) = writes["histogram"]
    assert bucket["micros"] <= writes["latency"]


def test_scans_are_counted(db: Any) -> None:
    db.c.insert_many({"_id": n} for n in range(5))
    list(db.c.find({"x": 1}))
    (row,) = db.c.aggregate([{"$collStats": {"queryExecStats": {}, "count": {}}}])
    assert row["count"] == 5
    assert row["queryExecStats"]["collectionScans"]["total"] >= 1


def test_sizes_are_those_of_the_files(client: MongoClient[Any], db: Any) -> None:
    db.c.insert_many({"_id": n, "text": "x" * 100} for n in range(200))
    client.admin.command("fsync")
    stats = db.command("collStats", "c")
    assert stats["size"] == sum(len(bson.encode(d)) for d in db.c.find())
    assert stats["storageSize"] > stats["size"]
    assert stats["freeStorageSize"] == 0
    db.c.delete_many({"_id": {"$gte": 100}})
    client.admin.command("fsync")
    assert db.command("collStats", "c")["freeStorageSize"] > 5000
    free = db.command("dbStats", freeStorage=1)
    assert free["totalFreeStorageSize"] > 5000
    assert free["fsTotalSize"] >= free["fsUsedSize"] > 0
    scaled = db.command("collStats", "c", scale=1024)
    assert scaled["size"] == db.command("collStats", "c")["size"] // 1024


def test_current_op_shows_what_is_idle(client: MongoClient[Any], db: Any) -> None:
    db.c.insert_many({"_id": n} for n in range(10))
    cursor = db.c.find({}, batch_size=2)
    next(cursor)
    stage = {"$currentOp": {"idleCursors": True, "idleConnections": True, "allUsers": True}}
    rows = list(client.admin.aggregate([stage]))
    (idle,) = [row for row in rows if row["type"] == "idleCursor" and row["ns"] == db.c.full_name]
    assert idle["cursor"]["cursorId"] == cursor.cursor_id
    assert idle["cursor"]["originatingCommand"]["find"] == "c"
    assert idle["cursor"]["nDocsReturned"] == 2
    assert idle["shard"] == "shard0"
    assert any(row["type"] == "op" and row["active"] is False for row in rows)
    assert all("shard" not in row for row in client.admin.aggregate(
        [{"$currentOp": {"localOps": True}}]
    ))
    cursor.close()


def test_current_op_filters_and_truncates(member_client: Any) -> None:
    admin = member_client.admin
    found = admin.command({"currentOp": 1, "command.currentOp": 1})["inprog"]
    assert [row["op"] for row in found] == ["command"]
    assert admin.command({"currentOp": 1, "secs_running": {"$gt": 1000}})["inprog"] == []
    stage = {"$currentOp": {"truncateOps": True}}
    filler = {"$match": {"filler": {"$ne": "x" * 2000}}}
    (row,) = [row for row in admin.aggregate([stage, filler]) if row.get("active")]
    assert list(row["command"]) == ["$truncated"]
    with pytest.raises(OperationFailure) as caught:
        list(member_client.test.aggregate([{"$currentOp": {}}]))
    assert caught.value.code == 73
