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
