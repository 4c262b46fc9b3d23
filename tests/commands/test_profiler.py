"""`profile`, `system.profile`, the slow-query log, `top`, `$collStats.latencyStats`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient, ReplaceOne, UpdateOne
from pymongo.errors import OperationFailure
from servers import Server


@pytest.fixture
def profiled(member_db: Any) -> Any:
    member_db.things.insert_many({"_id": n, "a": n % 10} for n in range(100))
    member_db.things.create_index("a")
    member_db.command("profile", 2)
    yield member_db
    member_db.command("profile", 0, slowms=100, sampleRate=1.0, filter="unset")


def entries(db: Any, **query: Any) -> list[dict[str, Any]]:
    return list(db["system.profile"].find(query).sort("$natural", 1))


def test_level_and_settings_are_told(member_db: Any) -> None:
    assert member_db.command("profile", -1)["was"] == 0
    first = member_db.command("profile", 1, slowms=20, sampleRate=0.5)
    assert (first["was"], first["slowms"], first["sampleRate"]) == (0, 100, 1.0)
    second = member_db.command("profile", 0, slowms=100, sampleRate=1.0)
    assert (second["was"], second["slowms"], second["sampleRate"]) == (1, 20, 0.5)
    assert member_db["system.profile"].options()["capped"] is True
    for bad in ({"profile": 3}, {"profile": 1, "sampleRate": 2.0}):
        with pytest.raises(OperationFailure) as caught:
            member_db.command(bad)
        assert caught.value.code == 2


def test_a_find(profiled: Any) -> None:
    assert len(list(profiled.things.find({"a": 3}))) == 10
    (entry,) = entries(profiled, op="query")
    assert entry["ns"] == profiled.things.full_name
    assert entry["command"]["filter"] == {"a": 3}
    assert (entry["keysExamined"], entry["docsExamined"], entry["nreturned"]) == (10, 10, 10)
    assert entry["planSummary"] == "IXSCAN { a: 1 }"
    assert entry["execStats"]["stage"] == "FETCH"
    assert entry["cursorExhausted"] is True
    assert entry["responseLength"] > 100
    for name in ("numYield", "locks", "protocol", "millis", "ts", "client", "allUsers", "user"):
        assert name in entry


def test_get_more_and_commands(profiled: Any) -> None:
    list(profiled.things.find({}, batch_size=60))
    list(profiled.things.aggregate([{"$match": {"a": 1}}, {"$group": {"_id": 1}}]))
    assert profiled.things.find_one({"_id": 5}) is not None
    (more,) = entries(profiled, op="getmore")
    assert more["originatingCommand"]["find"] == "things"
    assert more["nreturned"] == 40
    (command,) = entries(profiled, op="command")
    assert command["command"]["aggregate"] == "things"
    assert command["docsExamined"] == 10
    point = entries(profiled, op="query")[-1]
    assert (point["planSummary"], point["docsExamined"]) == ("EXPRESS_IXSCAN { _id: 1 }", 1)


def test_writes_one_entry_a_statement(profiled: Any) -> None:
    profiled.things.insert_many([{"_id": 1000}, {"_id": 1001}])
    profiled.things.bulk_write([
        UpdateOne({"a": 2}, {"$set": {"b": 1}}),
        ReplaceOne({"_id": 2000}, {"b": 2}, upsert=True),
    ])
    profiled.things.update_many({"a": 4}, {"$set": {"b": 1}})
    profiled.things.delete_many({"a": 5})
    (insert,) = entries(profiled, op="insert")
    assert insert["ninserted"] == 2
    one, upserted, many = entries(profiled, op="update")
    assert (one["command"]["q"], one["nMatched"], one["nModified"]) == ({"a": 2}, 1, 1)
    assert (upserted["upsert"], upserted["nUpserted"]) == (True, 1)
    assert (many["nModified"], many["docsExamined"]) == (10, 10)
    (removed,) = entries(profiled, op="remove")
    assert (removed["ndeleted"], removed["planSummary"]) == (10, "IXSCAN { a: 1 }")


def test_errors_are_shown(profiled: Any) -> None:
    with pytest.raises(OperationFailure):
        profiled.things.find_one({"$nonsense": 1})
    (entry,) = entries(profiled, op="query")
    assert (entry["ok"], entry["errCode"], entry["errName"]) == (0.0, 2, "BadValue")


def test_a_filter_chooses(profiled: Any) -> None:
    profiled.command("profile", 1, filter={"op": "query", "nreturned": {"$gt": 20}})
    list(profiled.things.find({"a": 3}))
    list(profiled.things.find({}))
    (entry,) = entries(profiled, op="query", nreturned={"$gt": 1})
    assert entry["nreturned"] == 100
    assert profiled.command("profile", 1, filter="unset")["filter"]["op"] == "query"


def test_clients_do_not_write_it(profiled: Any) -> None:
    with pytest.raises(OperationFailure) as caught:
        profiled["system.profile"].insert_one({})
    assert caught.value.code == 73
    with pytest.raises(OperationFailure) as caught:
        profiled["system.profile"].drop()
    assert caught.value.code == 20


def test_the_slow_query_log(member_server: Server, member_db: Any) -> None:
    member_db.things.insert_many({"a": n} for n in range(50))
    member_db.command("profile", 0, slowms=0)
    try:
        list(member_db.things.find({"a": 7}))
    finally:
        member_db.command("profile", 0, slowms=100)
    lines = [
        json.loads(line) for line in member_server.log_text().splitlines()
        if '"Slow query"' in line and member_db.things.full_name in line
    ]
    (attr,) = [line["attr"] for line in lines if line["attr"]["command"] == "find"]
    assert (attr["planSummary"], attr["docsExamined"], attr["nreturned"]) == ("COLLSCAN", 50, 1)
    assert "remote" in attr
    assert "reslen" in attr


def test_top_counts_and_times(member_client: Any, member_db: Any) -> None:
    member_db.things.insert_one({"_id": 1})
    for _ in range(3):
        member_db.things.find_one({"_id": 1})
    member_db.things.update_one({"_id": 1}, {"$inc": {"n": 1}})
    row = member_client.admin.command("top")["totals"][member_db.things.full_name]
    assert (row["insert"]["count"], row["queries"]["count"], row["update"]["count"]) == (1, 3, 1)
    assert row["total"]["count"] == 5
    assert row["total"]["time"] == row["readLock"]["time"] + row["writeLock"]["time"]


def test_a_router_does_not_profile(db: Any) -> None:
    assert db.command("profile", -1)["was"] == 0
    with pytest.raises(OperationFailure) as caught:
        db.command("profile", 1)
    assert caught.value.code == 2
    with pytest.raises(OperationFailure) as caught:
        db.client.admin.command("top")
    assert caught.value.code == 59


def test_a_level_for_all_databases(tmp_path: Path) -> None:
    described = Server.up(tmp_path / "data", "--profile", "2")
    with described as server, MongoClient[dict[str, Any]](server.uri) as client:
        assert client.nothing.c.find_one() is None
        client.shop.c.insert_many({"a": n} for n in range(20))
        deadline = time.monotonic() + 20
        while "system.profile" not in client.shop.list_collection_names():
            assert time.monotonic() < deadline
        assert client.shop.c.find_one({"a": 7}) is not None
        (entry,) = client.shop["system.profile"].find({"op": "query", "ns": "shop.c"})
        assert (entry["planSummary"], entry["nreturned"]) == ("COLLSCAN", 1)
        assert client.shop["system.profile"].options() == {"capped": True, "size": 2**20}
        assert client.list_database_names() == ["admin", "config", "shop"]
        assert "system.profile" not in client.config.list_collection_names()
        parsed = client.admin.command("getCmdLineOpts")["parsed"]
        assert parsed["operationProfiling"] == {"mode": "all"}


def test_a_database_may_have_another_level_than_the_others(tmp_path: Path) -> None:
    dbpath = tmp_path / "data"
    flags = ["shardsvr", "--dbpath", str(dbpath), "--profile", "1", "--slowms", "0"]
    with Server(flags, dbpath) as server, MongoClient[dict[str, Any]](server.uri) as client:
        assert client.a.command("profile", -1)["was"] == 1
        assert client.a.command("profile", 0)["was"] == 1
        client.a.c.insert_one({})
        assert client.a.command("profile", -1)["was"] == 0
        assert client.a.list_collection_names() == ["c"]
        client.drop_database("a")
        assert client.a.command("profile", -1)["was"] == 1


def test_a_count_of_all_documents_has_a_plan_summary(profiled: Any) -> None:
    assert profiled.things.estimated_document_count() == 100
    (entry,) = profiled["system.profile"].find({"command.count": "things"})
    assert (entry["planSummary"], entry["docsExamined"]) == ("RECORD_STORE_FAST_COUNT", 0)
