"""Query settings: index hints and rejection for all queries of a shape, kept by the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from servers import Server

Client = MongoClient[Any]

FIND = {
    "find": "pizzaOrders",
    "filter": {"orderDate": {"$gt": datetime(2023, 1, 20)}},
    "sort": {"totalNumber": 1},
}
DISTINCT = {"distinct": "pizzaOrders", "key": "totalNumber", "query": {"type": "pepperoni"}}
AGGREGATE = {
    "aggregate": "pizzaOrders",
    "pipeline": [
        {"$match": {"size": "medium"}},
        {"$group": {"_id": "$type", "total": {"$sum": "$totalNumber"}}},
    ],
    "cursor": {},
}


def hints(*indexes: Any) -> dict[str, Any]:
    ns = {"db": "test", "coll": "pizzaOrders"}
    return {"indexHints": {"ns": ns, "allowedIndexes": list(indexes)}}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Give a cluster whose settings may be changed."""
    server = Server.up(tmp_path_factory.mktemp("query-settings") / "data")
    with server, MongoClient(server.uri) as client:
        client.test.pizzaOrders.insert_many(
            {"_id": n, "type": ("pepperoni", "cheese")[n % 2], "size": "medium",
             "totalNumber": n % 7, "orderDate": datetime(2023, 1 + n % 12, 13)}
            for n in range(60)
        )
        client.test.pizzaOrders.create_index("orderDate")
        client.test.pizzaOrders.create_index("totalNumber")
        client.test.pizzaOrders.create_index([("size", 1), ("type", 1)], name="by_size")
        yield client


@pytest.fixture(autouse=True)
def clean(own: Client) -> Iterator[None]:
    yield
    for row in shown(own):
        own.admin.command("removeQuerySettings", row["queryShapeHash"])


def shown(client: Client, **options: Any) -> list[dict[str, Any]]:
    return list(client.test.aggregate([{"$querySettings": options}]))


def put(client: Client, query: Any, settings: dict[str, Any]) -> dict[str, Any]:
    if isinstance(query, dict):
        query = {**query, "$db": "test"}
    reply: dict[str, Any] = client.admin.command("setQuerySettings", query, settings=settings)
    return reply


def fails(client: Client, query: Any, settings: Any, code: int) -> str:
    with pytest.raises(OperationFailure) as caught:
        client.admin.command("setQuerySettings", query, settings=settings)
    assert caught.value.code == code, caught.value
    return str(caught.value)


def planner(client: Client, command: dict[str, Any]) -> dict[str, Any]:
    explained = client.test.command("explain", command, verbosity="queryPlanner")
    found: dict[str, Any] | None = section(explained)
    assert found is not None, explained
    winning = found["winningPlan"]
    return winning["shards"][0] if winning["stage"] == "SINGLE_SHARD" else found


def section(explained: Any) -> Any:
    """Find `queryPlanner`, which a pipeline has deep inside."""
    if not isinstance(explained, (dict, list)):
        return None
    if isinstance(explained, dict) and "queryPlanner" in explained:
        return explained["queryPlanner"]
    inner = explained.values() if isinstance(explained, dict) else explained
    return next(filter(None, map(section, inner)), None)


def indexes_of(plan: Any) -> set[str]:
    if isinstance(plan, list):
        return set().union(*map(indexes_of, plan))
    if not isinstance(plan, dict):
        return set()
    own = {plan["indexName"]} if "indexName" in plan else set()
    return own.union(*map(indexes_of, plan.values()))


def test_hints_choose_the_index_of_a_find(own: Client) -> None:
    before = planner(own, FIND)
    assert "querySettings" not in before
    reply = put(own, FIND, {**hints("orderDate_1"), "queryFramework": "classic"})
    settings = {
        "indexHints": [{"ns": {"db": "test", "coll": "pizzaOrders"},
                        "allowedIndexes": ["orderDate_1"]}],
        "queryFramework": "classic",
    }
    (row,) = shown(own)
    assert row == {
        "queryShapeHash": reply["queryShapeHash"],
        "settings": settings,
        "representativeQuery": {**FIND, "$db": "test"},
    }
    assert reply["settings"] == settings
    after = planner(own, FIND)
    assert after["querySettings"] == settings
    assert after["indexFilterSet"] is False
    assert indexes_of(after["winningPlan"]) == {"orderDate_1"}
    put(own, FIND, hints({"totalNumber": 1}))
    assert indexes_of(planner(own, FIND)["winningPlan"]) == {"totalNumber_1"}
    put(own, FIND, hints({"$natural": 1}))
    assert indexes_of(planner(own, FIND)) == set()


def test_they_are_for_every_query_of_the_shape_and_above_its_hint(own: Client) -> None:
    put(own, FIND, hints("totalNumber_1"))
    other = {**FIND, "filter": {"orderDate": {"$gt": datetime(2020, 5, 5)}}, "limit": 3,
             "hint": "orderDate_1", "comment": "x"}
    assert indexes_of(planner(own, other)["winningPlan"]) == {"totalNumber_1"}
    assert len(own.test.command(other)["cursor"]["firstBatch"]) == 3
    for change in (
        {"filter": {"orderDate": {"$gte": datetime(2020, 5, 5)}}},
        {"filter": {"orderDate": {"$gt": 5}}},
        {"sort": {"totalNumber": -1}},
        {"collation": {"locale": "de"}},
        {"projection": {"type": 1}},
    ):
        assert "querySettings" not in planner(own, {**FIND, **change}), change


def test_distinct_and_aggregate_have_shapes_too(own: Client) -> None:
    put(own, DISTINCT, hints("orderDate_1"))
    put(own, AGGREGATE, hints("orderDate_1"))
    assert len(shown(own)) == 2
    assert "querySettings" in planner(own, DISTINCT)
    assert indexes_of(planner(own, DISTINCT)["winningPlan"]) == set()
    assert "querySettings" in planner(own, AGGREGATE)
    assert indexes_of(planner(own, AGGREGATE)["winningPlan"]) == set()
    assert len(own.test.pizzaOrders.distinct("totalNumber", {"type": "pepperoni"})) == 7
    pipeline = [{"$match": {"size": "medium"}}, AGGREGATE["pipeline"][1]]
    assert len(list(own.test.pizzaOrders.aggregate(pipeline))) == 2


def test_a_rejected_shape_is_refused_until_it_is_let_in_again(own: Client) -> None:
    reply = put(own, FIND, {"reject": True})
    for command in (FIND, {**FIND, "batchSize": 1}):
        with pytest.raises(OperationFailure) as caught:
            own.test.command(command)
        assert caught.value.code == 396
        assert caught.value.details is not None
        assert caught.value.details["codeName"] == "QueryRejectedBySettings"
        assert caught.value.details["errmsg"] == "Query rejected by admin query settings"
    assert planner(own, FIND)["querySettings"] == {"reject": True}
    own.test.command({**FIND, "sort": {"type": 1}})
    put(own, AGGREGATE, {"reject": True})
    with pytest.raises(OperationFailure) as caught:
        own.test.command(AGGREGATE)
    assert caught.value.code == 396
    fails(own, reply["queryShapeHash"], {"reject": False}, 7746604)
    put(own, reply["queryShapeHash"], {"reject": False, "queryFramework": "sbe"})
    own.test.command(FIND)
    (row,) = [r for r in shown(own) if r["queryShapeHash"] == reply["queryShapeHash"]]
    assert row["settings"] == {"reject": False, "queryFramework": "sbe"}


def test_a_view_is_refused_and_hinted(own: Client) -> None:
    own.test.create_collection("mediums", viewOn="pizzaOrders", pipeline=[
        {"$match": {"size": "medium"}}])
    query = {"find": "mediums", "filter": {"type": "cheese"}}
    put(own, query, {"reject": True})
    with pytest.raises(OperationFailure) as caught:
        own.test.command(query)
    assert caught.value.code == 396
    put(own, query, {"reject": False, **hints("orderDate_1")})
    assert len(own.test.command(query)["cursor"]["firstBatch"]) == 30
    own.test.drop_collection("mediums")


def test_by_hash_and_removal(own: Client) -> None:
    reply = put(own, FIND, hints("orderDate_1"))
    name = reply["queryShapeHash"]
    assert len(name) == 64
    explained = own.test.command("explain", FIND, verbosity="queryPlanner")
    plan = explained["queryPlanner"]["winningPlan"]["shards"][0]
    assert name in (explained.get("queryShapeHash"), plan.get("queryShapeHash"))
    put(own, name, hints("totalNumber_1"))
    (row,) = shown(own)
    assert row["settings"]["indexHints"][0]["allowedIndexes"] == ["totalNumber_1"]
    (debug,) = shown(own, showDebugQueryShape=True)
    assert debug["debugQueryShape"]["filter"] == {"orderDate": {"$gt": "?date"}}
    own.admin.command("removeQuerySettings", {**FIND, "$db": "test"})
    assert shown(own) == []
    with pytest.raises(OperationFailure) as caught:
        own.admin.command("removeQuerySettings", name)
    assert caught.value.code == 7746701
    fails(own, name, hints("orderDate_1"), 7746401)


def test_refused(own: Client) -> None:
    good = {**FIND, "$db": "test"}
    fails(own, good, {}, 7746604)
    fails(own, good, {"reject": False}, 7746604)
    fails(own, good, {"nope": 1}, 40415)
    fails(own, good, {"queryFramework": "x"}, 2)
    fails(own, good, {"reject": 1}, 14)
    fails(own, good, {"indexHints": {"allowedIndexes": ["a"]}}, 7746600)
    ns = {"db": "test", "coll": "pizzaOrders"}
    fails(own, good, {"indexHints": {"ns": ns}}, 14)
    fails(own, good, {"indexHints": {"ns": ns, "allowedIndexes": [{}]}}, 9)
    twice = [{"ns": ns, "allowedIndexes": ["a"]}] * 2
    fails(own, good, {"indexHints": twice}, 7746608)
    fails(own, FIND, {"reject": True}, 40414)
    fails(own, {"insert": "x", "$db": "test"}, {"reject": True}, 7746402)
    fails(own, {**good, "filter": {"_id": 5}}, {"reject": True}, 7746606)
    fails(own, {**FIND, "$db": "admin"}, {"reject": True}, 8584901)
    fails(own, {**good, "nonsense": 1}, {"reject": True}, 40415)
    fails(own, "abc", {"reject": True}, 2)
    fails(own, 5, {"reject": True}, 14)
    stats = {"aggregate": "c", "pipeline": [{"$indexStats": {}}], "cursor": {}, "$db": "test"}
    fails(own, stats, {"reject": True}, 8705200)
    with pytest.raises(OperationFailure) as caught:
        own.test.command("setQuerySettings", good, settings={"reject": True})
    assert caught.value.code == 13


def test_they_outlive_a_restart_and_reach_a_shard_that_joins(tmp_path: Path) -> None:
    server = Server.up(tmp_path / "data")
    with server, MongoClient(server.uri) as client:
        put(client, FIND, {"reject": True})
    with Server.up(tmp_path / "data") as again, MongoClient(again.uri) as client:
        assert len(shown(client)) == 1
        dbpath = tmp_path / "shard"
        with Server(["shardsvr", "--shardsvr", "--dbpath", str(dbpath)], dbpath) as shard:
            client.admin.command("addShard", f"127.0.0.1:{shard.port}")
            with MongoClient(shard.uri, directConnection=True) as direct:
                assert len(shown(direct)) == 1
        with pytest.raises(OperationFailure) as caught:
            client.test.command(FIND)
        assert caught.value.code == 396
