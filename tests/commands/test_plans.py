"""Plans as clients see them: the plan cache, index filters, explain, sorts and memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import OperationFailure
from servers import Server

Db = Database[dict[str, Any]]


def code_of(call: Any) -> int:
    with pytest.raises(OperationFailure) as caught:
        call()
    return int(caught.value.code or 0)


def planner(db: Db, command: dict[str, Any]) -> dict[str, Any]:
    """Return a shard's `queryPlanner` of a command."""
    explained = db.command("explain", command, verbosity="queryPlanner")
    plan = explained["queryPlanner"]["winningPlan"]
    assert plan["stage"] == "SINGLE_SHARD"
    shard: dict[str, Any] = plan["shards"][0]
    return shard


def statistics(db: Db, command: dict[str, Any]) -> dict[str, Any]:
    """Return a shard's `executionStats` of a command."""
    explained = db.command("explain", command, verbosity="executionStats")
    shard: dict[str, Any] = explained["executionStats"]["executionStages"]["shards"][0]
    return shard


@pytest.fixture
def orders(db: Db) -> Any:
    db.orders.insert_many([
        {"_id": n, "item": f"i{n % 10}", "price": n % 7, "quantity": n} for n in range(200)])
    db.orders.create_index([("item", 1)])
    db.orders.create_index([("item", 1), ("quantity", 1)])
    db.orders.create_index([("price", 1)])
    return db.orders


QUERY = {"item": "i3", "price": {"$gte": 2}}


def test_the_plan_cache_shows_what_won(orders: Any) -> None:
    db = orders.database
    assert list(orders.aggregate([{"$planCacheStats": {}}])) == []
    list(orders.find(QUERY))
    (entry,) = orders.aggregate([{"$planCacheStats": {}}])
    assert entry["isActive"] is False
    assert entry["createdFromQuery"] == {"query": QUERY, "sort": {}, "projection": {}}
    assert entry["cachedPlan"]["stage"] == "FETCH"
    explained = planner(db, {"find": "orders", "filter": {"item": "i9", "price": {"$gte": 1}}})
    assert explained["planCacheShapeHash"] == entry["planCacheShapeHash"]
    assert explained["queryHash"] == entry["queryHash"]
    assert explained["planCacheKey"] == entry["planCacheKey"]
    list(orders.find({"item": "i4", "price": {"$gte": 2}}))
    (entry,) = orders.aggregate([{"$planCacheStats": {}}])
    assert entry["isActive"] is True
    list(orders.find(QUERY).sort("quantity", 1))
    assert len(list(orders.aggregate([{"$planCacheStats": {}}]))) == 2
    db.command({"planCacheClear": "orders", "query": QUERY, "sort": {"quantity": 1}})
    assert len(list(orders.aggregate([{"$planCacheStats": {}}]))) == 1
    db.command("planCacheClear", "orders")
    assert list(orders.aggregate([{"$planCacheStats": {}}])) == []
    assert code_of(lambda: db.command({"planCacheClear": "orders", "sort": {"a": 1}})) == 2
    db.command("planCacheClear", "nothing")


def test_an_index_filter_stands_above_hints(orders: Any) -> None:
    db = orders.database
    shape = {"query": {"item": "x", "price": {"$gte": 0}}}
    db.command({"planCacheSetFilter": "orders", **shape, "indexes": ["price_1"]})
    listed = db.command("planCacheListFilters", "orders")["filters"]
    assert listed == [{**shape, "sort": {}, "projection": {}, "indexes": ["price_1"]}]
    for hint in ({}, {"hint": "item_1"}):
        explained = planner(db, {"find": "orders", "filter": QUERY, **hint})
        assert explained["indexFilterSet"] is True
        assert explained["winningPlan"]["inputStage"]["indexName"] == "price_1"
    other = planner(db, {"find": "orders", "filter": {"item": "i3"}})
    assert other["indexFilterSet"] is False
    db.command({"planCacheSetFilter": "orders", **shape, "indexes": [{"item": 1}]})
    assert len(db.command("planCacheListFilters", "orders")["filters"]) == 1
    explained = planner(db, {"find": "orders", "filter": QUERY})
    assert explained["winningPlan"]["inputStage"]["indexName"] == "item_1"
    db.command({"planCacheClearFilters": "orders", **shape})
    assert db.command("planCacheListFilters", "orders")["filters"] == []
    db.command({"planCacheSetFilter": "orders", **shape, "indexes": [{"item": 1}]})
    db.command("planCacheClearFilters", "orders")
    assert db.command("planCacheListFilters", "orders")["filters"] == []


def test_the_plan_cache_tells_of_filters_by_shape(orders: Any) -> None:
    shape = {"query": {"item": "x", "price": {"$gte": 0}}}
    list(orders.find(QUERY))
    (row,) = orders.aggregate([{"$planCacheStats": {}}])
    assert row["indexFilterSet"] is False
    both = ["item_1", "price_1"]
    orders.database.command({"planCacheSetFilter": "orders", **shape, "indexes": both})
    list(orders.find(QUERY))
    (row,) = orders.aggregate([{"$planCacheStats": {}}])
    assert row["createdFromQuery"]["query"] == QUERY
    assert row["indexFilterSet"] is True


BAD_FILTERS = [{}, {"query": {}}, {"query": {}, "indexes": 5}, {"query": {}, "indexes": []},
               {"query": {}, "indexes": [5]}, {"query": {}, "indexes": [{}]}]  # fmt: skip


@pytest.mark.parametrize("fields", BAD_FILTERS)
def test_wrong_index_filters(orders: Any, fields: Any) -> None:
    command = {"planCacheSetFilter": "orders", **fields}
    assert code_of(lambda: orders.database.command(command)) == 2


def test_one_document_by_id_is_an_express_plan(orders: Any) -> None:
    db = orders.database
    by_id = {"_id": 5}
    plan = planner(db, {"find": "orders", "filter": by_id, "projection": {"item": 1}})
    assert plan["winningPlan"] == {
        "isCached": False, "stage": "EXPRESS_IXSCAN", "keyPattern": "{ _id: 1 }",
        "indexName": "_id_"}  # fmt: skip
    ran = statistics(db, {"find": "orders", "filter": by_id})
    assert (ran["totalKeysExamined"], ran["totalDocsExamined"], ran["nReturned"]) == (1, 1, 1)
    update = {"update": "orders", "updates": [{"q": by_id, "u": {"$set": {"x": 1}}}]}
    assert planner(db, update)["winningPlan"]["stage"] == "EXPRESS_UPDATE"
    delete = {"delete": "orders", "deletes": [{"q": by_id, "limit": 1}]}
    assert planner(db, delete)["winningPlan"]["stage"] == "EXPRESS_DELETE"


def test_explained_writes_tell_what_they_would_do(orders: Any) -> None:
    db = orders.database
    query = {"item": "i3", "price": {"$lt": 3}}
    count = orders.count_documents(query)
    update = {"update": "orders", "updates": [
        {"q": query, "u": {"$set": {"price": 1}}, "multi": True}]}  # fmt: skip
    ran = statistics(db, update)
    stage = ran["executionStages"]
    assert (stage["stage"], stage["nMatched"], ran["nReturned"]) == ("UPDATE", count, 0)
    assert stage["nWouldModify"] == count - orders.count_documents({**query, "price": 1})
    assert stage["inputStage"]["stage"] == "FETCH"
    delete = {"delete": "orders", "deletes": [{"q": query, "limit": 0}]}
    assert statistics(db, delete)["executionStages"]["nWouldDelete"] == count
    upsert = {"update": "orders", "updates": [
        {"q": {"item": "none"}, "u": {"$set": {"price": 1}}, "upsert": True}]}  # fmt: skip
    assert statistics(db, upsert)["executionStages"]["nWouldUpsert"] == 1
    one = {"delete": "orders", "deletes": [{"q": query, "limit": 1}]}
    assert names(planner(db, one)["winningPlan"])[:2] == ["DELETE", "FETCH"]
    assert names(statistics(db, one)["executionStages"])[:2] == ["DELETE", "FETCH"]
    modify = {"findAndModify": "orders", "query": query, "sort": {"quantity": -1}, "remove": True}
    assert statistics(db, modify)["executionStages"]["nWouldDelete"] == 1
    assert orders.count_documents({}) == 200


STAGES = [
    ({"find": "orders", "filter": {"other": 5}}, ["COLLSCAN"]),
    ({"find": "orders", "filter": {"price": 5}}, ["FETCH", "IXSCAN"]),
    ({"find": "orders", "filter": {"price": 5}, "projection": {"price": 1, "_id": 0}},
     ["PROJECTION_COVERED", "IXSCAN"]),
    ({"find": "orders", "filter": {"price": 5}, "projection": {"item": 1}},
     ["PROJECTION_SIMPLE", "FETCH", "IXSCAN"]),
    ({"find": "orders", "filter": {"price": 5}, "projection": {"x": {"$add": [1, "$price"]}}},
     ["PROJECTION_DEFAULT", "FETCH", "IXSCAN"]),
    ({"find": "orders", "filter": {"$or": [{"price": 5}, {"item": "i1"}]}},
     ["SUBPLAN", "FETCH", "OR", "IXSCAN", "IXSCAN"]),
    ({"find": "orders", "sort": {"quantity": 1}, "limit": 5}, ["SORT", "COLLSCAN"]),
    ({"find": "orders", "sort": {"price": 1}, "limit": 5}, ["LIMIT", "FETCH", "IXSCAN"]),
    ({"find": "orders", "filter": {"item": {"$in": ["i1", "i2"]}}, "sort": {"quantity": 1},
      "hint": "item_1_quantity_1"},
     ["FETCH", "SORT_MERGE", "IXSCAN", "IXSCAN"]),
    ({"count": "orders", "query": {"price": 3}}, ["COUNT", "COUNT_SCAN"]),
    ({"distinct": "orders", "key": "price", "query": {}}, ["DISTINCT_SCAN"]),
    ({"find": "orders", "filter": {"price": 5}, "hint": {"$natural": -1}}, ["COLLSCAN"]),
    ({"find": "orders", "filter": {"$alwaysFalse": 1}}, ["EOF"]),
]  # fmt: skip


def names(plan: dict[str, Any]) -> list[str]:
    below = [plan["inputStage"]] if "inputStage" in plan else plan.get("inputStages", [])
    return [plan["stage"], *(name for one in below for name in names(one))]


@pytest.mark.parametrize(("command", "expected"), STAGES)
def test_stages(orders: Any, command: Any, expected: list[str]) -> None:
    plan = planner(orders.database, command)["winningPlan"]
    found = names(plan)
    assert found == expected or found[1:] == expected
    ran = statistics(orders.database, command)
    assert names(ran["executionStages"])[-len(expected):] == expected


def test_a_sort_beyond_its_memory_goes_to_disk(tmp_path: Path) -> None:
    dbpath = tmp_path / "member"
    member = Server(["shardsvr", "--dbpath", str(dbpath)], dbpath)
    with member, MongoClient(member.uri) as client:
        db = client.sorted
        db.c.insert_many([
            {"_id": n, "a": n * 7919 % 5003, "pad": "x" * 200} for n in range(5003)])
        client.admin.command(
            {"setParameter": 1, "internalQueryMaxBlockingSortMemoryUsageBytes": 100_000})
        expected = list(range(5003))
        assert [d["a"] for d in db.c.find().sort("a", 1).batch_size(500)] == expected
        descending = [d["a"] for d in db.c.find({"a": {"$lt": 3000}}).sort("a", -1)]
        assert descending == list(range(3000))[::-1]
        few = db.c.find({}, {"a": 1, "_id": 0}).sort("a", 1).skip(2000).limit(2500)
        assert [d["a"] for d in few] == expected[2000:4500]
        top = db.c.find().sort("a", 1).limit(5).allow_disk_use(False)
        assert [d["a"] for d in top] == expected[:5]
        refused = db.c.find().sort("a", 1).allow_disk_use(False)
        assert code_of(lambda: list(refused)) == 292
        db.c.create_index("b")
        both = {"$or": [{"a": {"$gte": 0}}, {"b": 1}]}
        assert [d["a"] for d in db.c.find(both).sort("a", 1)] == expected
        explained = db.command("explain", {"find": "c", "sort": {"a": 1}})
        stages = explained["executionStats"]["executionStages"]
        assert stages["usedDisk"] is True
        assert stages["spills"] > 1
        assert not list(dbpath.rglob("spill/*"))
        client.admin.command({"setParameter": 1, "allowDiskUseByDefault": False})
        assert code_of(lambda: list(db.c.find().sort("a", 1))) == 292
        assert code_of(lambda: list(db.c.aggregate([{"$sort": {"a": 1}}]))) == 292


def test_explain_leaves_the_plan_cache_alone(member_db: Any) -> None:
    c = member_db.c
    c.insert_many({"a": n % 20, "b": n % 30} for n in range(600))
    c.create_index("a")
    c.create_index("b")
    query = {"find": "c", "filter": {"a": 3, "b": 13}}

    def cached() -> int:
        return len(list(c.aggregate([{"$planCacheStats": {}}])))

    for _ in range(2):
        told = member_db.command("explain", query, verbosity="allPlansExecution")
        assert len(told["executionStats"]["allPlansExecution"]) == 2
        assert told["queryPlanner"]["winningPlan"]["isCached"] is False
        assert cached() == 0
    for _ in range(2):
        assert len(list(c.find(query["filter"]))) == 10
    assert cached() == 1
    told = member_db.command("explain", query, verbosity="allPlansExecution")
    assert len(told["executionStats"]["allPlansExecution"]) == 2
    assert cached() == 1


@pytest.mark.parametrize(("options", "counted", "skipped"), [
    ({}, 100, 0), ({"limit": 30}, 30, 0), ({"skip": 90, "limit": 30}, 10, 90),
    ({"skip": 200}, 0, 100),
])
def test_a_count_returns_no_rows(
    member_db: Any, options: dict[str, int], counted: int, skipped: int
) -> None:
    member_db.c.insert_many({"_id": n, "a": n % 3} for n in range(100))
    member_db.c.create_index("_id")
    for query, stage in (
        ({}, "RECORD_STORE_FAST_COUNT"), ({"_id": {"$gte": 0}}, "COUNT"), ({"x": None}, "COUNT"),
    ):
        command = {"count": "c", "query": query, **options}
        told = member_db.command("explain", command, verbosity="executionStats")
        ran = told["executionStats"]
        assert told["queryPlanner"]["winningPlan"]["stage"] == stage
        stages = ran["executionStages"]
        assert (ran["nReturned"], stages["nReturned"], stages["advanced"]) == (0, 0, 0)
        assert (stages["nCounted"], stages["nSkipped"]) == (counted, skipped)
        assert member_db.command(command)["n"] == counted
