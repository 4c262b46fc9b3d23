"""Clustered collections: created, shown, read in the order of `_id`."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.errors import DuplicateKeyError, OperationFailure


@pytest.fixture
def clustered(db: Any) -> Any:
    spec = {"key": {"_id": 1}, "unique": True, "name": "by id"}
    found = db.create_collection("c", clusteredIndex=spec)
    found.insert_many({"_id": n, "a": n % 4} for n in (7, 3, 9, 1, 5, 8, 2, 6, 4, 0))
    return found


def plan_of(cursor: Any) -> dict[str, Any]:
    plan = cursor.explain()["queryPlanner"]["winningPlan"]
    found: dict[str, Any] = plan["shards"][0]["winningPlan"] if "shards" in plan else plan
    return found


def test_shown(db: Any, clustered: Any) -> None:
    whole = {"v": 2, "key": {"_id": 1}, "name": "by id", "unique": True}
    assert clustered.options()["clusteredIndex"] == whole
    (index,) = list(clustered.list_indexes())
    assert {**index, "key": dict(index["key"])} == {**whole, "clustered": True}
    assert db.command("collStats", "c")["clusteredIndex"] is True


def test_documents_come_in_the_order_of_ids(clustered: Any) -> None:
    assert [d["_id"] for d in clustered.find()] == list(range(10))
    assert [d["_id"] for d in clustered.find().sort("$natural", -1)] == list(range(9, -1, -1))
    assert [d["_id"] for d in clustered.find({"a": 1})] == [1, 5, 9]
    assert [d["_id"] for d in clustered.aggregate([{"$match": {"a": 1}}])] == [1, 5, 9]
    assert plan_of(clustered.find({"a": 1}))["stage"] == "COLLSCAN"


def test_a_range_of_ids_is_a_clustered_scan(clustered: Any) -> None:
    query = {"_id": {"$gte": 3, "$lt": 6}}
    assert [d["_id"] for d in clustered.find(query)] == [3, 4, 5]
    plan = plan_of(clustered.find(query))
    assert plan["stage"] == "CLUSTERED_IXSCAN"
    assert (plan["minRecord"], plan["maxRecord"], plan["direction"]) == (3, 6, "forward")
    assert [d["_id"] for d in clustered.find(query).sort("_id", -1)] == [5, 4, 3]
    assert plan_of(clustered.find(query).sort("_id", -1))["direction"] == "backward"
    assert [d["_id"] for d in clustered.find({**query, "a": 0})] == [4]


def test_secondary_indexes_writes_and_duplicates(db: Any, clustered: Any) -> None:
    clustered.create_index("a")
    assert sorted(d["_id"] for d in clustered.find({"a": 2}, hint="a_1")) == [2, 6]
    with pytest.raises(DuplicateKeyError):
        clustered.insert_one({"_id": 3})
    clustered.delete_many({"_id": {"$lt": 5}})
    clustered.update_many({"_id": {"$gt": 7}}, {"$set": {"b": 1}})
    assert [d["_id"] for d in clustered.find({"b": 1})] == [8, 9]
    assert db.command("validate", "c")["valid"]


def test_options_are_checked(db: Any) -> None:
    for spec, code in (
        ({"key": {"a": 1}, "unique": True}, 197), ({"key": {"_id": 1}, "unique": False}, 197),
        ({"key": {"_id": 1}}, 40414), ({"key": {"_id": 1}, "unique": True, "x": 1}, 40415),
    ):
        with pytest.raises(OperationFailure) as caught:
            db.command("create", "bad", clusteredIndex=spec)
        assert caught.value.code == code
    with pytest.raises(OperationFailure) as caught:
        db.command(
            "create", "bad", clusteredIndex={"key": {"_id": 1}, "unique": True}, capped=True,
            size=100,
        )
    assert caught.value.code == 72


def test_the_clustered_index_is_hinted_and_kept(db: Any, clustered: Any) -> None:
    for hint in ("by id", {"_id": 1}):
        found = clustered.find({"_id": {"$lt": 4}, "a": 1}, hint=hint)
        assert [d["_id"] for d in found] == [1]
    with pytest.raises(OperationFailure) as caught:
        list(clustered.find({}, hint="other"))
    assert caught.value.code == 2
    for index in ("by id", {"_id": 1}):
        with pytest.raises(OperationFailure) as caught:
            db.command("dropIndexes", "c", index=index)
        assert caught.value.code == 5979800
    clustered.create_index("a")
    assert db.command("dropIndexes", "c", index="*")["nIndexesWas"] == 2
    assert list(clustered.index_information()) == ["by id"]
