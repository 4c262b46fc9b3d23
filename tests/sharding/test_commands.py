"""Commands about sharding, their errors, and the catalogue they leave."""

from __future__ import annotations

import time
from typing import Any

import bson
import pymongo
import pytest
from bson import Int64, MaxKey, MinKey, Timestamp
from pymongo import DeleteOne, InsertOne, UpdateOne
from pymongo.errors import OperationFailure
from servers import RawClient

from router.sharding_commands import differences


def wait(seconds: float, done: Any) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def refused(client: pymongo.MongoClient, code: int, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(OperationFailure) as caught:
        client.admin.command(*args, **kwargs)
    assert caught.value.code == code, caught.value
    return str(caught.value)


def chunks_of(client: pymongo.MongoClient, ns: str) -> list[dict[str, Any]]:
    uuid = client.config.collections.find_one({"_id": ns})["uuid"]
    return list(client.config.chunks.find({"uuid": uuid}).sort("min", 1))


def test_catalogue_rows(db: Any) -> None:
    client, ns = db.client, f"{db.name}.c"
    client.admin.command("enableSharding", db.name)
    reply = client.admin.command("shardCollection", ns, key={"a": 1, "b": 1}, unique=True)
    assert reply["collectionsharded"] == ns
    row = client.config.collections.find_one({"_id": ns})
    assert row["key"] == {"a": 1, "b": 1}
    assert row["unique"] is True
    assert row["noBalance"] is False
    assert type(row["timestamp"]) is Timestamp
    assert row["lastmodEpoch"]
    chunk = chunks_of(client, ns)[0]
    assert chunk["min"] == {"a": MinKey(), "b": MinKey()}
    assert chunk["max"] == {"a": MaxKey(), "b": MaxKey()}
    assert chunk["lastmod"] == Timestamp(1, 0)
    assert chunk["history"][0]["shard"] == chunk["shard"]
    assert {"a_1_b_1", "_id_"} == set(db.c.index_information())
    database = client.config.databases.find_one({"_id": db.name})
    assert set(database["version"]) == {"uuid", "timestamp", "lastMod"}
    changes = [row["what"] for row in client.config.changelog.find({"ns": ns})]
    assert changes == ["shardCollection.start", "shardCollection.end"]


def test_shard_collection_errors(db: Any) -> None:
    client, ns = db.client, f"{db.name}.c"
    refused(client, 2, "shardCollection", ns, key={})
    refused(client, 2, "shardCollection", ns, key={"a": -1})
    refused(client, 2, "shardCollection", ns, key={"a": "hashed", "b": "hashed"})
    refused(client, 72, "shardCollection", ns, key={"a": "hashed"}, unique=True)
    refused(client, 72, "shardCollection", ns, key={"a": 1}, numInitialChunks=4)
    refused(client, 20, "shardCollection", "config.c", key={"a": 1})
    refused(client, 73, "shardCollection", "nodots", key={"a": 1})
    refused(client, 118, "split", ns, middle={"a": 1})
    refused(client, 118, "moveChunk", ns, find={"a": 1}, to="shard0")
    db.c.insert_one({"a": 1})
    refused(client, 72, "shardCollection", ns, key={"a": 1})
    db.c.create_index("z", unique=True)
    db.c.create_index("a")
    assert ns in refused(client, 72, "shardCollection", ns, key={"a": 1})
    db.c.drop_index("z_1")
    client.admin.command("shardCollection", ns, key={"a": 1})
    client.admin.command("shardCollection", ns, key={"a": 1})
    refused(client, 23, "shardCollection", ns, key={"b": 1})
    with pytest.raises(OperationFailure) as caught:
        db.c.create_index("z", unique=True)
    assert caught.value.code == 67
    with pytest.raises(OperationFailure) as caught:
        db.c.drop_index("a_1")
    assert caught.value.code == 372
    for name in ("moveCollection", "unshardCollection", "reshardCollection", "analyzeShardKey"):
        refused(client, 238, name, ns, toShard="shard0", key={"x": 1})


def test_an_error_passed_on_tells_the_time_once(sharded: Any, db: Any) -> None:
    raw = RawClient(("127.0.0.1", sharded.ports[0]))
    body = raw.reply_to({
        "moveChunk": f"{db.name}.c", "find": {"a": 1}, "to": "shard0", "$db": "admin",
    })
    assert bson.decode(body)["code"] == 118
    assert [body.count(name) for name in (b"$clusterTime\0", b"operationTime\0")] == [1, 1]


def test_split_move_merge(db: Any) -> None:
    client, ns = db.client, f"{db.name}.c"
    client.admin.command("shardCollection", ns, key={"k": 1})
    db.c.insert_many([{"k": k} for k in range(100)])
    client.admin.command("split", ns, middle={"k": 30})
    client.admin.command("split", ns, find={"k": 60})
    refused(client, 2, "split", ns, middle={"k": 30})
    refused(client, 72, "split", ns)
    bounds = [chunk["min"]["k"] for chunk in chunks_of(client, ns)]
    assert bounds[:2] == [MinKey(), 30]
    assert 50 < bounds[2] < 80
    home = client.config.databases.find_one({"_id": db.name})["primary"]
    away = next(name for name in ("shard0", "shard1") if name != home)
    refused(client, 70, "moveChunk", ns, find={"k": 1}, to="nowhere")
    client.admin.command("moveChunk", ns, bounds=[{"k": 30}, {"k": bounds[2]}], to=away)
    moved = next(chunk for chunk in chunks_of(client, ns) if chunk["min"] == {"k": 30})
    assert moved["shard"] == away
    assert moved["lastmod"].time == 2
    client.admin.command("moveRange", ns, toShard=away, min={"k": 10}, max={"k": 20})
    assert {"k": 10} in [c["min"] for c in chunks_of(client, ns) if c["shard"] == away]
    refused(client, 20, "mergeChunks", ns, bounds=[{"k": 10}, {"k": 30}])
    client.admin.command("moveRange", ns, toShard=away, min={"k": 20}, max={"k": 30})
    client.admin.command("mergeChunks", ns, bounds=[{"k": 10}, {"k": 30}])
    client.admin.command("mergeAllChunksOnShard", ns, shard=away)
    assert [c["max"]["k"] for c in chunks_of(client, ns) if c["shard"] == away] == [bounds[2]]
    assert db.c.count_documents({}) == 100
    whats = {row["what"] for row in client.config.changelog.find({"ns": ns})}
    assert {"split", "moveChunk.start", "moveChunk.commit", "merge"} <= whats


def test_hashed_is_spread_at_once(db: Any) -> None:
    client, ns = db.client, f"{db.name}.h"
    client.admin.command("shardCollection", ns, key={"_id": "hashed"}, numInitialChunks=6)
    assert sorted(c["shard"] for c in chunks_of(client, ns)) == [
        "shard0", "shard0", "shard1", "shard1", "shard2", "shard2"
    ]
    db.h.insert_many([{"_id": n} for n in range(60)])
    for n in range(60):
        assert db.h.find_one({"_id": n}) == {"_id": n}
    plan = db.command("explain", {"find": "h", "filter": {"_id": Int64(7)}})
    assert plan["queryPlanner"]["winningPlan"]["stage"] == "SINGLE_SHARD"


def test_two_routers_learn_of_changes(sharded: Any, db: Any) -> None:
    first, second = sharded.clients
    ns = f"{db.name}.c"
    other = second[db.name].c
    other.insert_one({"k": 1})
    db.c.create_index("k")
    first.admin.command("shardCollection", ns, key={"k": 1})
    other.insert_many([{"k": k} for k in range(2, 50)])
    first.admin.command("split", ns, middle={"k": 25})
    for to in ("shard1", "shard2", "shard0"):
        first.admin.command("moveChunk", ns, find={"k": 30}, to=to)
        assert other.count_documents({}) == 49
        assert other.update_one({"k": 30}, {"$inc": {"n": 1}}).modified_count == 1
        assert other.update_many({"k": {"$gte": 20}}, {"$inc": {"m": 1}}).modified_count == 30
    assert db.c.find_one({"k": 30})["n"] == 3
    first[db.name].drop_collection("c")
    assert other.count_documents({}) == 0
    other.insert_one({"k": 7})
    assert [d["k"] for d in db.c.find()] == [7]


def test_a_router_learns_that_a_database_is_another_one(sharded: Any, db: Any) -> None:
    first, second = sharded.clients
    name = db.name
    for shard in ("shard0", "shard1", "shard2"):
        first.drop_database(name)
        first.admin.command("enableSharding", name, primaryShard=shard)
        first[name].c.insert_one({"at": shard})
        assert second[name].c.find_one()["at"] == shard
        second[name].c.insert_one({"second": shard})
        assert first[name].c.count_documents({}) == 2


def test_move_primary(db: Any) -> None:
    client = db.client
    db.plain.insert_many([{"n": n} for n in range(20)])
    db.plain.create_index("n", unique=True)
    home = client.config.databases.find_one({"_id": db.name})["primary"]
    away = next(name for name in ("shard0", "shard1") if name != home)
    client.admin.command("movePrimary", db.name, to=away)
    assert client.config.databases.find_one({"_id": db.name})["primary"] == away
    assert db.plain.count_documents({}) == 20
    assert "n_1" in db.plain.index_information()
    db.plain.insert_one({"n": 100})


def test_refine(db: Any) -> None:
    client, ns = db.client, f"{db.name}.c"
    client.admin.command("shardCollection", ns, key={"a": 1})
    db.c.insert_many([{"a": n % 10, "b": n} for n in range(100)])
    client.admin.command("split", ns, middle={"a": 5})
    client.admin.command("moveChunk", ns, find={"a": 7}, to="shard1")
    refused(client, 72, "refineCollectionShardKey", ns, key={"a": 1, "b": 1})
    db.c.create_index([("a", 1), ("b", 1)])
    refused(client, 72, "refineCollectionShardKey", ns, key={"b": 1})
    client.admin.command("refineCollectionShardKey", ns, key={"a": 1, "b": 1})
    assert [c["min"] for c in chunks_of(client, ns)][1] == {"a": 5, "b": MinKey()}
    assert db.c.count_documents({}) == 100
    client.admin.command("split", ns, middle={"a": 7, "b": 50})
    assert db.c.find_one({"a": 7, "b": 57})["b"] == 57


def test_zones(db: Any) -> None:
    client, ns = db.client, f"{db.name}.c"
    refused(client, 177, "updateZoneKeyRange", ns, min={"k": 0}, max={"k": 10}, zone="EU")
    client.admin.command("addShardToZone", "shard1", zone="EU")
    client.admin.command("updateZoneKeyRange", ns, min={"k": 0}, max={"k": 10}, zone="EU")
    refused(
        client, 178, "updateZoneKeyRange", ns, min={"k": 5}, max={"k": 20}, zone="EU"
    )
    client.admin.command("shardCollection", ns, key={"k": 1})
    inside = [c for c in chunks_of(client, ns) if c["min"] == {"k": 0}]
    assert [c["shard"] for c in inside] == ["shard1"]
    refused(client, 163, "removeShardFromZone", "shard1", zone="EU")
    client.admin.command("updateZoneKeyRange", ns, min={"k": 0}, max={"k": 10}, zone=None)
    client.admin.command("removeShardFromZone", "shard1", zone="EU")
    assert client.config.tags.count_documents({"ns": ns}) == 0


def test_writes_that_need_the_key(db: Any) -> None:
    client, ns = db.client, f"{db.name}.c"
    client.admin.command("shardCollection", ns, key={"k": 1})
    client.admin.command("split", ns, middle={"k": 10})
    client.admin.command("moveChunk", ns, find={"k": 20}, to="shard1")
    client.admin.command("moveChunk", ns, find={"k": 0}, to="shard0")
    with pytest.raises(OperationFailure) as caught:
        db.c.update_many({"x": 1}, {"$set": {"y": 1}}, upsert=True)
    assert caught.value.code == 61
    assert db.c.update_one({"k": 15}, {"$set": {"y": 1}}, upsert=True).upserted_id is not None
    with pytest.raises(OperationFailure) as caught:
        db.c.insert_one({"k": [1, 2]})
    assert caught.value.code == 61
    assert db.c.update_one({"k": 15}, {"$set": {"k": 17}}).modified_count == 1
    with pytest.raises(OperationFailure) as caught:
        db.c.update_one({"k": 17}, {"$set": {"k": 1}})
    assert caught.value.code == 238
    change = {"q": {"k": 17}, "u": {"$set": {"k": 18}}}
    assert db.command("update", "c", updates=[change])["writeErrors"][0]["code"] == 20
    with pytest.raises(OperationFailure) as caught:
        db.c.update_many({"k": 17}, {"$set": {"k": 18}})
    assert caught.value.code == 72
    db.c.insert_many([{"k": k, "v": k} for k in range(5, 15)])
    assert db.c.delete_one({"v": 12}).deleted_count == 1
    assert db.c.find_one_and_delete({"v": {"$gte": 6}}, sort=[("v", -1)])["v"] == 14
    assert db.c.find_one_and_update({"v": 99}, {"$set": {"x": 1}}) is None


def test_balancer_and_draining(sharded: Any, db: Any) -> None:
    client, ns = db.client, f"{db.name}.c"
    client.config.settings.update_one({"_id": "chunksize"}, {"$set": {"value": 1}}, upsert=True)
    client.admin.command("shardCollection", ns, key={"k": 1})
    text = "x" * 20_000
    db.c.insert_many([{"k": k, "t": text} for k in range(500)])
    status = client.admin.command("balancerCollectionStatus", ns)
    assert status["firstComplianceViolation"] == "chunksImbalance"
    client.admin.command("balancerStart")
    try:
        wait(60, lambda: client.admin.command("balancerCollectionStatus", ns)["balancerCompliant"])
        assert len({c["shard"] for c in chunks_of(client, ns)}) == 3
        assert db.c.count_documents({}) == 500
        client.admin.command("movePrimary", db.name, to="shard0")
        assert client.admin.command("removeShard", "shard2")["state"] == "started"
        for row in list(client.config.databases.find({"primary": "shard2"})):
            client.admin.command("movePrimary", row["_id"], to="shard0")
        wait(60, lambda: client.admin.command("removeShard", "shard2")["state"] == "completed")
        assert db.c.count_documents({}) == 500
        assert client.admin.command("removeShard", "shard1")["state"] == "started"
        refused(client, 20, "removeShard", "shard0")
    finally:
        client.admin.command("balancerStop")
        client.admin.command("addShard", "shard2/in-process:0", name="shard2")
        client.config.shards.update_one({"_id": "shard1"}, {"$unset": {"draining": 1}})
        client.config.settings.delete_one({"_id": "chunksize"})
    assert len(client.admin.command("listShards")["shards"]) == 3


def test_query_settings_are_of_the_whole_query(client: Any, db: Any) -> None:
    """What a router sends to several shards is cut up, and still has the shape of the whole."""
    ns = f"{db.name}.c"
    client.admin.command("shardCollection", ns, key={"k": 1})
    db.c.insert_many([{"k": n, "a": n % 5} for n in range(100)])
    client.admin.command("split", ns, middle={"k": 50})
    here = client.config.chunks.find_one({"min.k": 50})["shard"]
    there = next(row["_id"] for row in client.config.shards.find() if row["_id"] != here)
    client.admin.command("moveChunk", ns, find={"k": 60}, to=there)
    find = {"find": "c", "filter": {"a": {"$gt": 1}}, "sort": {"k": 1}, "projection": {"a": 1}}
    group = {"$group": {"_id": "$a", "n": {"$sum": 1}}}
    aggregate = {"aggregate": "c", "pipeline": [{"$match": {"a": 1}}, group], "cursor": {}}
    distinct = {"distinct": "c", "key": "a", "query": {"a": 3}}
    for command in ({**find, "limit": 5, "skip": 2}, aggregate, distinct):
        db.command(command)
        query = {**command, "$db": db.name}
        client.admin.command("setQuerySettings", query, settings={"reject": True})
        with pytest.raises(OperationFailure) as caught:
            db.command(command)
        assert caught.value.code == 396
        explained = db.command("explain", command, verbosity="queryPlanner")
        assert "reject" in str(explained)
        client.admin.command("removeQuerySettings", query)
        db.command(command)


def test_merging_stops_at_a_number_of_chunks(db: Any) -> None:
    client, ns = db.client, f"{db.name}.c"
    client.admin.command("shardCollection", ns, key={"k": 1})
    for k in range(6):
        client.admin.command("split", ns, middle={"k": k})
    home = chunks_of(client, ns)[0]["shard"]
    client.admin.command("mergeAllChunksOnShard", ns, shard=home, maxNumberOfChunksToMerge=3)
    assert [chunk["min"]["k"] for chunk in chunks_of(client, ns)] == [MinKey(), 2, 3, 4, 5]
    client.admin.command("mergeAllChunksOnShard", ns, shard=home, maxNumberOfChunksToMerge=1)
    assert len(chunks_of(client, ns)) == 5
    client.admin.command("mergeAllChunksOnShard", ns, shard=home)
    assert len(chunks_of(client, ns)) == 1


def test_a_range_without_its_beginning_is_as_large_as_a_chunk(db: Any) -> None:
    client, ns = db.client, f"{db.name}.c"
    client.admin.command("shardCollection", ns, key={"k": 1})
    db.c.insert_many([{"k": k, "pad": "x" * 100_000} for k in range(30)])
    client.admin.command("configureCollectionBalancing", ns, chunkSize=1)
    away = next(n for n in ("shard0", "shard1") if n != chunks_of(client, ns)[0]["shard"])
    client.admin.command("moveRange", ns, toShard=away, max={"k": 25})
    (moved,) = (chunk for chunk in chunks_of(client, ns) if chunk["shard"] == away)
    assert moved["max"] == {"k": 25}
    assert 14 < moved["min"]["k"] < 25


def test_options_that_are_honoured(db: Any) -> None:
    client, ns = db.client, f"{db.name}.c"
    refused(client, 6373200, "shardCollection", ns, key={"k": 1}, implicitlyCreateIndex=False)
    db.c.create_index("k")
    client.admin.command(
        "shardCollection", ns, key={"k": 1}, unique=True, implicitlyCreateIndex=False,
        enforceUniquenessCheck=False,
    )
    client.admin.command("configureCollectionBalancing", ns, enableBalancing=False)
    assert client.config.collections.find_one({"_id": ns})["noBalance"] is True
    client.admin.command("configureCollectionBalancing", ns, enableBalancing=True)
    assert client.config.collections.find_one({"_id": ns})["noBalance"] is False
    refused(client, 72, "movePrimary", "config", to="shard0")
    refused(client, 14, "moveRange", ns, toShard="shard0", min={"k": 1}, secondaryThrottle="yes")


def test_chunks_that_are_not_consistent_are_told(db: Any) -> None:
    client, ns = db.client, f"{db.name}.c"
    client.admin.command("shardCollection", ns, key={"k": 1})
    client.admin.command("split", ns, middle={"k": 1})
    client.admin.command("split", ns, middle={"k": 2})
    assert db.command("checkMetadataConsistency")["cursor"]["firstBatch"] == []
    first, _middle, last = chunks_of(client, ns)
    for chunk, change in ((first, {"max": {"k": 0}}), (last, {"max": {"k": 9}})):
        client.config.chunks.update_one({"_id": chunk["_id"]}, {"$set": change})
    found = db.command("checkMetadataConsistency")["cursor"]["firstBatch"]
    assert [row["type"] for row in found] == ["RoutingTableRangeGap", "RoutingTableMissingMaxKey"]
    assert {row["details"]["namespace"] for row in found} == {ns}
    command = {"checkMetadataConsistency": 1, "cursor": {"batchSize": 1}}
    reply = db.command(command)["cursor"]
    assert (reply["firstBatch"], reply["ns"]) == (found[:1], f"{db.name}.$cmd.aggregate")
    more = db.command("getMore", reply["id"], collection="$cmd.aggregate")["cursor"]
    assert (more["nextBatch"], more["id"]) == (found[1:], 0)
    with pytest.raises(OperationFailure) as caught:
        db.command("checkMetadataConsistency", cursor={"batchSize": -1})
    assert caught.value.code == 51024


def test_an_index_that_one_shard_refuses_is_on_none(db: Any) -> None:
    client, ns = db.client, f"{db.name}.c"
    client.admin.command("shardCollection", ns, key={"k": 1})
    client.admin.command("split", ns, middle={"k": 5})
    client.admin.command("moveChunk", ns, find={"k": 0}, to="shard0")
    client.admin.command("moveChunk", ns, find={"k": 9}, to="shard1")
    db.c.insert_many([{"k": 9, "u": 1}, {"k": 9, "u": 1}])
    with pytest.raises(OperationFailure, match="E11000"):
        db.c.create_index([("k", 1), ("u", 1)], unique=True, name="once")
    check = {"checkMetadataConsistency": "c", "checkIndexes": True}
    assert db.command(check)["cursor"]["firstBatch"] == []


def test_indexes_that_differ_are_told() -> None:
    one, two = {"name": "k_1", "key": {"k": 1}}, {"name": "u", "key": {"u": 1}}
    found = differences("t.c", 1, {"a": [one, two], "b": [{**one, "sparse": True}], "c": [one]})
    assert [row["type"] for row in found] == ["InconsistentIndex"] * 2
    assert [row["details"]["info"] for row in found] == [
        {"indexName": "k_1", "missingFromShards": [], "inconsistentProperties": ["sparse"]},
        {"indexName": "u", "missingFromShards": ["b", "c"], "inconsistentProperties": []},
    ]
    assert differences("t.c", 1, {"a": [one, two], "b": [two, one]}) == []


def test_a_bulk_write_over_databases_of_several_shards(client: Any, db: Any) -> None:
    names = [f"{db.name}_{number}" for number in range(2)]
    try:
        for number, name in enumerate(names):
            client[name].x.insert_one({"_id": 0})
            if client.config.databases.find_one({"_id": name})["primary"] != f"shard{number}":
                client.admin.command("movePrimary", name, to=f"shard{number}")
        client.admin.command("shardCollection", f"{db.name}.s", key={"_id": "hashed"})
        first, second = (f"{name}.x" for name in names)
        done = client.bulk_write(
            [
                InsertOne({"_id": 1}, namespace=first), InsertOne({"_id": 1}, namespace=second),
                *(InsertOne({"_id": n}, namespace=f"{db.name}.s") for n in range(6)),
                UpdateOne({"_id": 1}, {"$set": {"z": 1}}, namespace=second),
                DeleteOne({"_id": 1}, namespace=first),
            ],
            verbose_results=True,
        )
        assert (done.inserted_count, done.modified_count, done.deleted_count) == (8, 1, 1)
        assert sorted(done.insert_results) == list(range(8))
        assert client[names[0]].x.find_one({"_id": 1}) is None
        assert client[names[1]].x.find_one({"_id": 1}) == {"_id": 1, "z": 1}
        assert db.s.count_documents({}) == 6
    finally:
        for name in names:
            client.drop_database(name)


def test_options_of_the_manual(db: Any) -> None:
    client, ns = db.client, f"{db.name}.c"
    db.c.insert_many([{"k": k, "j": -k} for k in range(10)])
    client.admin.command("enableSharding", db.name)
    refused(client, 70, "enableSharding", db.name, primaryShard="no such shard")
    db.c.create_index("k")
    for name, more in ((ns, {}), (f"{db.name}.c", {"keyPattern": {"k": 1}})):
        found = db.command("dataSize", name, min={"k": 2}, max={"k": 5}, **more)
        assert (found["numObjects"], found["estimate"]) == (3, False)
    client.admin.command("shardCollection", ns, key={"k": 1})
    client.admin.command("split", ns, middle={"k": 3})
    for shard in ("shard0", "shard1"):
        moved = client.admin.command("moveChunk", ns, find={"k": 0}, to=shard, _waitForDelete=True)
        assert type(moved["millis"]) is int
    assert db.command("dataSize", ns, min={"k": 2}, max={"k": 5})["numObjects"] == 3
    assert db.command("dataSize", ns, estimate=True)["estimate"] is True
    for code, more in (
        (2, {"min": {"k": 1}}), (2, {"keyPattern": {"j": 1}, "min": {"j": 1}, "max": {"j": 2}}),
        (96, {"min": {"j": 1}, "max": {"j": 2}}),
    ):
        with pytest.raises(OperationFailure) as caught:
            db.command("dataSize", ns, **more)
        assert caught.value.code == code
    refused(client, 14, "updateZoneKeyRange", ns, min={"k": 0}, max={"k": 1}, zone=1)
    refused(client, 9, "addShard", "set/")
    for name in ("cleanupOrphaned", "replSetGetConfig", "shardingState", "splitVector"):
        refused(client, 59, name, ns)
    with pytest.raises(OperationFailure, match="not supported through mongos") as caught:
        client.admin.command("replSetGetStatus")
    assert (caught.value.code, caught.value.details["info"]) == (125, "mongos")
    with pytest.raises(OperationFailure, match=r"max: { k: 1 } should be greater than min: { k: 2"):
        client.admin.command("updateZoneKeyRange", ns, min={"k": 2}, max={"k": 1}, zone="z")
    db.c.create_index([("k", 1), ("j", 1)])
    client.admin.command(
        "refineCollectionShardKey", ns, key={"k": 1, "j": 1}, enforceUniquenessCheck=False)
    assert db.c.count_documents({"k": {"$gte": 0}}) == 10
