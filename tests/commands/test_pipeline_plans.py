"""What a pipeline asks of the planner: covered fields, a group's keys from an index."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.database import Database
from pymongo.errors import OperationFailure

Db = Database[dict[str, Any]]
DOCS: list[dict[str, Any]] = [
    {"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": "x"}, {"a": None}, {"b": 5}, {"a": {"c": 1}},
    {"a": 2.0}, {"a": 2}, {"a": True}, {"a": 3, "b": [1, 2]},
]


def plan(db: Db, pipeline: list[Any]) -> str:
    command = {"aggregate": "things", "pipeline": pipeline, "cursor": {}}
    return repr(db.command("explain", command, verbosity="queryPlanner"))


def both(db: Db, pipeline: list[Any]) -> list[dict[str, Any]]:
    """Run a pipeline with the collection's indexes and without; the results are the same."""
    found = list(db.things.aggregate(pipeline))
    plain = list(db.things.aggregate(pipeline, hint={"$natural": 1}))
    assert sorted(map(repr, found)) == sorted(map(repr, plain))
    return found


def test_a_group_by_an_indexed_field(db: Db) -> None:
    db.things.insert_many(DOCS)
    db.things.create_index([("a", 1), ("z", 1)])
    pipeline = [{"$group": {"_id": "$a"}}]
    assert "DISTINCT_SCAN" in plan(db, pipeline)
    found = both(db, pipeline)
    assert len(found) == 7
    assert {"_id": None} in found
    assert "DISTINCT_SCAN" in plan(db, [{"$match": {"a": {"$gt": 0}}}, *pipeline])
    assert both(db, [{"$match": {"a": {"$gt": 0}}}, *pipeline])
    assert "DISTINCT_SCAN" not in plan(db, [{"$match": {"b": 1}}, *pipeline])
    assert "DISTINCT_SCAN" not in plan(db, [{"$group": {"_id": "$a", "n": {"$sum": 1}}}])


def test_a_group_whose_index_knows_too_much_or_too_little(db: Db) -> None:
    db.things.insert_many([*DOCS, {"a": [1, 2]}, {"a": []}])
    db.things.create_index("a")
    pipeline = [{"$group": {"_id": "$a"}}]
    assert "DISTINCT_SCAN" not in plan(db, pipeline)
    assert {"_id": [1, 2]} in both(db, pipeline)
    db.things.drop()
    db.things.insert_many(DOCS)
    db.things.create_index("a", sparse=True)
    assert "DISTINCT_SCAN" not in plan(db, pipeline)
    assert {"_id": None} in both(db, pipeline)


def test_a_covered_pipeline(db: Db) -> None:
    db.things.insert_many([{"a": n % 5, "b": n % 3, "c": n} for n in range(60)])
    db.things.create_index([("a", 1), ("b", 1)])
    match = {"$match": {"a": {"$gte": 2}}}
    group = {"$group": {"_id": "$b", "n": {"$sum": 1}, "s": {"$sum": "$a"}}}
    assert "PROJECTION_COVERED" in plan(db, [match, group])
    assert "FETCH" not in plan(db, [match, group])
    assert len(both(db, [match, group])) == 3
    other = {"$group": {"_id": "$b", "n": {"$sum": "$c"}}}
    assert "PROJECTION_SIMPLE" in plan(db, [match, other])
    both(db, [match, other])
    ordered = [match, {"$sort": {"a": -1, "b": -1}}, {"$limit": 5}]
    both(db, [*ordered, {"$project": {"_id": 0, "a": 1}}])
    both(db, [match, {"$project": {"x": {"$add": ["$a", "$b.c", 1]}, "_id": 0}}])


def test_sources_without_rows(db: Db) -> None:
    assert list(db.client.admin.aggregate([{"$queryStats": {}}])) == []
    assert list(db.client.admin.aggregate([{"$querySettings": {}}])) == []
    assert list(db.client.admin.aggregate([{"$listSampledQueries": {}}])) == []
    with pytest.raises(OperationFailure):
        list(db.aggregate([{"$queryStats": {}}]))


PLAIN: list[tuple[list[dict[str, Any]], list[str]]] = [
    ([{"$match": {"a": 1}}], ["FETCH", "IXSCAN"]),
    ([{"$match": {"b": 1}}, {"$sort": {"b": 1}}], ["SORT", "COLLSCAN"]),
    ([{"$sort": {"a": -1}}, {"$limit": 3}], ["LIMIT", "FETCH", "IXSCAN"]),
    ([{"$sort": {"b": 1}}, {"$skip": 1}, {"$limit": 3}], ["SKIP", "SORT", "COLLSCAN"]),
    ([{"$match": {"a": 1}}, {"$project": {"a": 1, "_id": 0}}], ["PROJECTION_COVERED", "IXSCAN"]),
    ([{"$project": {"b": 1}}], ["PROJECTION_SIMPLE", "COLLSCAN"]),
    ([{"$limit": 2}], ["LIMIT", "COLLSCAN"]),
]


@pytest.mark.parametrize(("pipeline", "names"), PLAIN, ids=lambda v: str(v)[:60])
def test_a_pipeline_that_a_find_could_do_is_explained_as_one_plan(
    member_db: Db, pipeline: list[Any], names: list[str]
) -> None:
    member_db.things.insert_many([{"a": n % 5, "b": n} for n in range(20)])
    member_db.things.create_index("a")
    command = {"aggregate": "things", "pipeline": pipeline, "cursor": {}}
    reply = member_db.command("explain", command, verbosity="executionStats")
    assert "stages" not in reply
    stage, found = reply["queryPlanner"]["winningPlan"], []
    while stage is not None:
        found.append(stage["stage"])
        stage = stage.get("inputStage")
    assert found == names
    returned = reply["executionStats"]["nReturned"]
    assert returned == len(list(member_db.things.aggregate(pipeline)))


@pytest.mark.parametrize("stage", [
    {"$project": {"a": 0}}, {"$project": {"x": "$a"}}, {"$unset": "a"}, {"$count": "n"},
    {"$group": {"_id": "$b"}}, {"$sort": {"x": {"$meta": "textScore"}}},
])
def test_other_pipelines_are_explained_by_stages(member_db: Db, stage: dict[str, Any]) -> None:
    member_db.things.insert_one({"a": 1})
    member_db.things.create_index([("t", "text")])
    pipeline = [{"$match": {"$text": {"$search": "x"}}}, stage]
    command = {"aggregate": "things", "pipeline": pipeline, "cursor": {}}
    reply = member_db.command("explain", command, verbosity="queryPlanner")
    assert len(reply["stages"]) >= 2


def test_a_router_shows_a_pipeline_on_one_shard_as_the_shard_does(db: Db) -> None:
    db.things.insert_one({"a": 1})
    for stage, shown in (({"$limit": 1}, "queryPlanner"), ({"$count": "n"}, "stages")):
        command = {"aggregate": "things", "pipeline": [stage], "cursor": {}}
        asked = db.command("explain", command, verbosity="queryPlanner")
        told = db.command("aggregate", "things", pipeline=[stage], explain=True)
        assert shown in asked
        assert shown in told
        assert asked.get("queryPlanner") == told.get("queryPlanner")
