"""JavaScript through the wire: everything that may call it, its limits, and its off-switch."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from bson.code import Code
from bson.son import SON
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import ExecutionTimeout, OperationFailure, WriteError
from servers import Server

Db = Database[dict[str, Any]]
BOUND_SECONDS = 20.0


@pytest.fixture
def things(db: Db) -> Any:
    db.things.insert_many([{"_id": i, "a": i % 10, "s": f"n{i}"} for i in range(600)])
    return db.things


def function(body: str, *args: Any) -> dict[str, Any]:
    return {"$function": {"body": body, "args": list(args), "lang": "js"}}


def test_find_with_where(things: Any) -> None:
    assert len(list(things.find({"$where": "this.a == 3"}))) == 60
    query = {"$where": "function() { return obj.a == 3; }", "_id": {"$gte": 100}}
    found = list(things.find(query, {"_id": 1}).sort("_id", -1).skip(2).limit(3))
    assert found == [{"_id": 573}, {"_id": 563}, {"_id": 553}]
    assert len(list(things.find({"$where": "this._id % 2"}, batch_size=7))) == 300
    assert things.find_one({"$where": Code("this.a == least", {"least": 9})})["a"] == 9


def test_count_and_distinct(things: Any) -> None:
    assert things.count_documents({"$expr": function("function(i) { return i < 5; }", "$_id")}) == 5
    reply = things.database.command("count", "things", query={"$where": "this._id < 7"}, skip=2)
    assert reply["n"] == 5
    assert things.distinct("a", {"$where": "this.a < 3"}) == [0, 1, 2]


def test_writes(things: Any) -> None:
    where = {"$where": "this._id % 2 == 0"}
    assert things.update_many(where, {"$set": {"e": 1}}).modified_count == 300
    assert things.delete_many({"$where": "this._id >= 590"}).deleted_count == 10
    assert things.find_one_and_update({"$where": "this._id == 7"}, {"$set": {"q": 1}})["_id"] == 7
    double = function("function(i) { return i * 2 }", "$_id")
    things.update_one({"_id": 1}, [{"$set": {"z": double}}])
    assert things.find_one({"_id": 1})["z"] == 2.0
    assert things.delete_one({"$where": "this._id == 1"}).deleted_count == 1
    assert things.update_one({"$where": "false"}, {"$set": {"n": 1}}, upsert=True).upserted_id


def test_pipelines(things: Any) -> None:
    average = {
        "init": "function() { return {n: 0, s: 0}; }",
        "accumulate": "function(state, v) { return {n: state.n + 1, s: state.s + v}; }",
        "accumulateArgs": ["$_id"],
        "merge": "function(a, b) { return {n: a.n + b.n, s: a.s + b.s}; }",
        "finalize": "function(state) { return state.s / state.n; }", "lang": "js",
    }
    rows = list(things.aggregate([
        {"$group": {"_id": "$a", "mean": {"$accumulator": average}}}, {"$sort": {"_id": 1}},
    ]))
    assert rows == [{"_id": a, "mean": 295.0 + a} for a in range(10)]
    rows = list(things.aggregate([
        {"$match": {"_id": {"$lt": 2}}},
        {"$project": {"t": function("function(s, i) { return s + i; }", "$s", "$_id")}},
    ]))
    assert rows == [{"_id": 0, "t": "n00"}, {"_id": 1, "t": "n11"}]
    with pytest.raises(OperationFailure, match="not allowed in this context"):
        list(things.aggregate([{"$match": {"$where": "true"}}]))


@pytest.mark.parametrize("source", ["while (true) {}", "sleep(60000); return true"])
def test_max_time_ends_a_script(things: Any, source: str) -> None:
    started = time.monotonic()
    with pytest.raises(ExecutionTimeout):
        list(things.find({"$where": source}).max_time_ms(200))
    assert time.monotonic() - started < BOUND_SECONDS


def test_a_script_that_never_ends_can_be_killed_and_hinders_nobody(
    client: MongoClient[dict[str, Any]], things: Any
) -> None:
    failures: list[OperationFailure] = []

    def endless() -> None:
        try:
            list(things.find({"$where": "while (true) {}"}, comment="endless"))
        except OperationFailure as error:
            failures.append(error)

    thread = threading.Thread(target=endless)
    thread.start()
    deadline = time.monotonic() + BOUND_SECONDS
    found: list[dict[str, Any]] = []
    while not found and time.monotonic() < deadline:
        assert things.find_one({"_id": 1}) is not None
        rows = client.admin.command("currentOp")["inprog"]
        found = [row for row in rows if row["command"].get("comment") == "endless"]
    client.admin.command("killOp", op=found[0]["opid"])
    thread.join(BOUND_SECONDS)
    assert [error.code for error in failures] == [11601]


def test_within_a_write_a_script_gets_little_time(things: Any) -> None:
    update = [{"$set": {"z": function("function() { while (true) {} }")}}]
    with pytest.raises(WriteError) as caught:
        things.update_one({"_id": 1}, update)
    assert caught.value.code == 262


def test_a_record_that_changes_while_a_script_looks_at_it(
    client: MongoClient[dict[str, Any]], things: Any
) -> None:
    # The filter sees {a: 1}; by the time the write comes the document no longer matches.
    things.delete_many({})
    things.insert_one({"_id": 1, "a": 1})
    results: list[int] = []
    source = "var a = this.a; sleep(300); return a == 1"

    def slow() -> None:
        results.append(things.update_many({"$where": source}, {"$set": {"hit": 1}}).matched_count)

    thread = threading.Thread(target=slow)
    thread.start()
    deadline = time.monotonic() + BOUND_SECONDS
    while time.monotonic() < deadline:
        rows = client.admin.command("currentOp")["inprog"]
        if any("things" in row["ns"] and row["op"] == "update" for row in rows):
            break
    things.update_one({"_id": 1}, {"$set": {"a": 2}})
    thread.join(BOUND_SECONDS)
    document = things.find_one({"_id": 1})
    assert ("hit" in document) == (results == [1])


def map_reduce(db: Db, **options: Any) -> dict[str, Any]:
    reply = db.command(SON([
        ("mapReduce", "things"), ("map", "function() { emit(this.a, 1); }"),
        ("reduce", "function(key, values) { return Array.sum(values); }"), *options.items(),
    ]))
    return {name: reply[name] for name in ("results", "result") if name in reply}


def test_map_reduce_inline(things: Any) -> None:
    db = things.database
    expected = [{"_id": float(a), "value": 60.0} for a in range(10)]
    assert map_reduce(db, out={"inline": 1}) == {"results": expected}
    reply = map_reduce(
        db, out={"inline": 1}, query={"a": {"$lt": 2}}, sort={"_id": -1}, limit=5,
        finalize="function(key, value) { return {k: key, v: value * factor}; }",
        scope={"factor": 10}, verbose=True, jsMode=True,
    )
    assert reply["results"] == [
        {"_id": 0.0, "value": {"k": 0.0, "v": 20.0}}, {"_id": 1.0, "value": {"k": 1.0, "v": 30.0}},
    ]
    reply = map_reduce(
        db, out={"inline": 1}, map="function() { emit(this.s.slice(0, 1), this._id); }",
        reduce="function(key, values) { return Math.max.apply(null, values); }",
    )
    assert reply["results"] == [{"_id": "n", "value": 599.0}]


def test_map_reduce_with_a_collation(db: Db) -> None:
    db.things.insert_many([{"a": text} for text in ("x", "X", "y")])
    reply = map_reduce(db, out={"inline": 1}, collation={"locale": "en", "strength": 2})
    assert [row["value"] for row in reply["results"]] == [2.0, 1.0]


def test_map_reduce_into_collections(things: Any) -> None:
    db = things.database
    db.totals.insert_one({"_id": "old", "value": 1})
    assert map_reduce(db, out="totals") == {"result": "totals"}
    assert db.totals.count_documents({}) == 10
    assert map_reduce(db, out={"reduce": "totals"}, query={"a": 3}) == {"result": "totals"}
    assert db.totals.find_one({"_id": 3}) == {"_id": 3.0, "value": 120.0}
    map_reduce(db, out={"merge": "totals", "nonAtomic": True}, query={"a": 3}, limit=5)
    assert db.totals.find_one({"_id": 3}) == {"_id": 3.0, "value": 5.0}
    assert db.totals.count_documents({}) == 10
    other = db.client[db.name + "_2"]
    reply = map_reduce(db, out={"replace": "totals", "db": other.name})
    assert reply == {"result": {"db": other.name, "collection": "totals"}}
    assert other.totals.count_documents({}) == 10
    db.client.drop_database(other.name)


@pytest.mark.parametrize(("options", "code"), [
    ({"out": 5}, 13606), ({"out": {}}, 13522), ({"out": {"inline": 1, "sharded": True}}, 72),
    ({"out": {"replace": "x", "nonAtomic": False}}, 15895),
    ({"out": {"replace": "x", "y": 1}}, 40415),
    ({"out": {"replace": "x", "db": "admin"}}, 115), ({"out": {"inline": 1}, "map": 5}, 2),
    ({"out": {"inline": 1}, "map": "function() { emit(1); }"}, 139),
    ({"out": {"inline": 1}, "reduce": "function() { return w; }"}, 139),
    ({"out": {"inline": 1}, "finalize": "function( {"}, 139),
])  # fmt: skip
def test_map_reduce_errors(things: Any, options: dict[str, Any], code: int) -> None:
    with pytest.raises(OperationFailure) as caught:
        map_reduce(things.database, **options)
    assert caught.value.code == code


def test_noscripting(tmp_path: Path) -> None:
    with Server.up(tmp_path / "data", "--noscripting") as server, MongoClient(server.uri) as client:
        db = client.test
        db.things.insert_one({"a": 1})
        with pytest.raises(OperationFailure, match="no globalScriptEngine") as caught:
            list(db.things.find({"$where": "true"}))
        assert caught.value.code == 2
        with pytest.raises(OperationFailure) as caught:
            list(db.things.aggregate([{"$project": {"x": function("function() {}")}}]))
        assert caught.value.code == 31264
        with pytest.raises(OperationFailure) as caught:
            map_reduce(db, out={"inline": 1})
        assert caught.value.code == 31264
        options = client.admin.command("getCmdLineOpts")["parsed"]
        assert options["security"] == {"javascriptEnabled": False}


def test_no_more_documents_are_looked_at_than_are_asked_for(member_db: Db) -> None:
    member_db.things.insert_many({"_id": i} for i in range(600))
    counting = "seen = typeof seen === 'number' ? seen + 1 : 1; if (seen > 7) throw 'more'; true"
    assert len(list(member_db.things.find({"$where": counting}, limit=7))) == 7
    with member_db.things.find({"$where": counting}, batch_size=5) as cursor:
        assert next(cursor) == {"_id": 0}
    assert member_db.things.find_one({"$where": "this._id == 500"}) == {"_id": 500}
