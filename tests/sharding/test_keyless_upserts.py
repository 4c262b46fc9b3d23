"""Upserts whose filter does not name the shard key."""

from __future__ import annotations

import asyncio
import io
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from bson import Binary, Int64
from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import DuplicateKeyError, OperationFailure

from psdb.cluster import LocalCluster
from psdb_base.real_log import RealLog
from psdb_base.real_world import RealClock, real_world
from router.keyless_writes import Look
from router.shards import LocalShard


@pytest.fixture
def c(db: Any) -> Any:
    """A collection by `k`: below 10 on shard0, from there on shard1."""
    ns = f"{db.name}.c"
    db.client.admin.command("shardCollection", ns, key={"k": 1})
    db.client.admin.command("split", ns, middle={"k": 10})
    db.client.admin.command("moveChunk", ns, find={"k": 20}, to="shard1")
    db.client.admin.command("moveChunk", ns, find={"k": 0}, to="shard0")
    return db.c


def test_insert_and_then_update(c: Any) -> None:
    done = c.update_one({"x": 1}, {"$set": {"k": 15, "y": 1}}, upsert=True)
    assert done.upserted_id is not None
    assert (done.matched_count, done.modified_count) == (0, 0)
    again = c.update_one({"x": 1}, {"$set": {"y": 2}}, upsert=True)
    assert (again.upserted_id, again.matched_count) == (None, 1)
    assert list(c.find({"k": 15}, {"_id": 0})) == [{"k": 15, "x": 1, "y": 2}]


def test_missing_fields_of_the_key_are_null(c: Any) -> None:
    c.update_one({"x": 1}, {"$set": {"y": 1}}, upsert=True)
    assert c.count_documents({"k": None}) == 1
    assert "k" not in c.find_one({"x": 1})
    with pytest.raises(OperationFailure) as caught:
        c.update_one({"x": 2}, {"$set": {"k": [1]}}, upsert=True)
    assert caught.value.code == 61


def test_replacement_pipeline_and_generated_parts(c: Any) -> None:
    c.replace_one({"x": 1, "k": {"$gt": 3}}, {"k": 12, "z": 1}, upsert=True)
    assert list(c.find({"k": 12}, {"_id": 0})) == [{"k": 12, "z": 1}]
    c.update_one({"x": 2}, [{"$set": {"k": {"$add": [5, 6]}}}], upsert=True)
    assert list(c.find({"k": 11}, {"_id": 0})) == [{"x": 2, "k": 11}]
    done = c.update_one({"x": 3}, {"$setOnInsert": {"k": 4, "_id": "mine"}}, upsert=True)
    assert done.upserted_id == "mine"
    with pytest.raises(DuplicateKeyError):
        c.update_one({"x": 4}, {"$setOnInsert": {"k": 4, "_id": "mine"}}, upsert=True)


def test_the_key_of_the_filter_is_another(c: Any) -> None:
    c.update_one({"k": 5, "x": 1}, [{"$set": {"k": 15}}], upsert=True)
    assert list(c.find({"k": 15}, {"_id": 0})) == [{"k": 15, "x": 1}]
    found = c.find_one_and_update(
        {"k": 5, "x": 2}, [{"$set": {"k": 16}}], upsert=True,
        return_document=ReturnDocument.AFTER,
    )
    assert (found["k"], found["x"]) == (16, 2)


def test_find_and_modify(c: Any) -> None:
    assert c.find_one_and_update({"x": 1}, {"$set": {"k": 15}}, upsert=True) is None
    found = c.find_one_and_update(
        {"x": 2}, {"$inc": {"k": 3}}, {"_id": 0, "k": 1}, upsert=True,
        return_document=ReturnDocument.AFTER,
    )
    assert found == {"k": 3}
    again = c.find_one_and_replace({"x": 2}, {"k": 3, "w": 1}, upsert=True)
    assert again["x"] == 2
    reply = c.database.command({
        "findAndModify": "c", "query": {"x": 9}, "update": {"$set": {"k": 30}}, "upsert": True,
    })
    assert reply["lastErrorObject"]["updatedExisting"] is False
    assert reply["value"] is None
    assert c.count_documents({}) == 3
    with pytest.raises(OperationFailure) as caught:
        c.database.command({
            "findAndModify": "c", "query": {"x": 9}, "remove": True, "upsert": True,
        })
    assert caught.value.code == 9
    with pytest.raises(OperationFailure) as caught:
        c.database.command({
            "findAndModify": "c", "query": {"x": 77}, "update": {"$set": {"k": 30}},
            "upsert": True, "unknown": 1,
        })
    assert caught.value.code == 40415


def test_batches_and_bulk_writes(c: Any) -> None:
    done = c.bulk_write([
        UpdateOne({"x": 1}, {"$set": {"k": 1}}, upsert=True),
        UpdateOne({"x": 2}, {"$set": {"k": 20}}, upsert=True),
        UpdateOne({"x": 1}, {"$inc": {"n": 1}}, upsert=True),
        UpdateOne({"k": 7}, {"$set": {"x": 3}}, upsert=True),
    ])
    assert (done.upserted_count, done.matched_count) == (3, 1)
    assert sorted(done.upserted_ids) == [0, 1, 3]
    rows = c.database.client.admin.command(
        "bulkWrite", 1, nsInfo=[{"ns": c.full_name}], ops=[
            {"update": 0, "filter": {"x": 8}, "updateMods": {"$set": {"k": 40}}, "upsert": True},
            {"update": 0, "filter": {"x": 8}, "updateMods": {"$set": {"n": 1}}, "upsert": True},
        ],
    )
    assert (rows["nUpserted"], rows["nMatched"]) == (1, 1)
    assert c.count_documents({}) == 4


def test_a_statement_that_is_sent_again_is_done_once(c: Any) -> None:
    with c.database.client.start_session() as session:
        command = {
            "update": "c", "lsid": session.session_id, "txnNumber": Int64(7),
            "updates": [{"q": {"x": 1}, "u": {"$inc": {"k": 1, "n": 1}}, "upsert": True}],
        }
        first, second = (c.database.command(command) for _ in range(2))
        assert first["upserted"] == second["upserted"]
        assert c.find_one({"x": 1})["n"] == 1
        c.database.client.admin.command("moveChunk", c.full_name, find={"k": 1}, to="shard2")
        assert c.database.command(command)["upserted"] == first["upserted"]
        modify = {
            "findAndModify": "c", "lsid": session.session_id, "txnNumber": Int64(8),
            "query": {"x": 2}, "update": {"$inc": {"k": 50}}, "upsert": True, "new": True,
        }
        first, second = (c.database.command(modify) for _ in range(2))
        assert first["value"] == second["value"]
    assert c.count_documents({}) == 2




async def overtaken(dbpath: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Hold an attempt between its look and its effect while another one is made; return all."""
    world = real_world(log=RealLog(RealClock(), io.StringIO(), service="-"))
    cluster = LocalCluster(world, {}, str(dbpath), 2)
    await cluster.start()
    numbers = count(5000)
    router = LocalShard(cluster.router.handle, lambda: next(numbers))
    for command in (
        {"balancerStop": 1}, {"shardCollection": "a.c", "key": {"k": 1}},
        {"split": "a.c", "middle": {"k": 10}},
        {"moveChunk": "a.c", "find": {"k": 20}, "to": "shard1"},
        {"moveChunk": "a.c", "find": {"k": 0}, "to": "shard0"},
    ):
        await router.command("admin", command)
    statement = {
        "update": "c", "lsid": {"id": Binary(bytes(16), 4)}, "txnNumber": Int64(1),
        "updates": [{
            "q": {"x": 1}, "u": {"$inc": {"n": 1}, "$setOnInsert": {"k": 15}}, "upsert": True,
        }],
    }
    looked, go_on = asyncio.Event(), asyncio.Event()
    look = Look.one

    async def one(self: Look, shards: list[str]) -> Any:
        found = await look(self, shards)
        if not looked.is_set():
            looked.set()
            await go_on.wait()
        return found

    monkeypatch.setattr(Look, "one", one)
    first = asyncio.create_task(router.command("a", statement))
    await looked.wait()
    await router.command("a", {"insert": "c", "documents": [{"_id": 1, "x": 1, "k": 1}]})
    second = await router.command("a", statement)
    go_on.set()
    replies = [await first, second]
    assert [(reply["n"], reply["nModified"]) for reply in replies] == [(1, 1), (1, 1)]
    found = await router.command("a", {"find": "c", "filter": {}})
    await cluster.stop()
    documents: list[dict[str, Any]] = found["cursor"]["firstBatch"]
    return documents


def test_an_attempt_that_was_overtaken_has_no_effect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = asyncio.run(overtaken(tmp_path, monkeypatch))
    assert documents == [{"_id": 1, "x": 1, "k": 1, "n": 1}]


def test_supplied_documents(c: Any) -> None:
    statement = {
        "q": {"x": 1}, "u": [{"$set": {"y": "$$new.y"}}], "upsert": True, "upsertSupplied": True,
        "c": {"new": {"k": 15, "y": 2}},
    }
    for upserted in (True, False):
        reply = c.database.command("update", "c", updates=[{**statement, "q": {"y": 2}}])
        assert ("upserted" in reply) == upserted
    assert list(c.find({"k": 15}, {"_id": 0})) == [{"k": 15, "y": 2}]
    error = c.database.command("update", "c", updates=[{**statement, "multi": True}])
    assert error["writeErrors"][0]["code"] == 61
