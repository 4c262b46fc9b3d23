"""Options of `find` and what they do together."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.errors import OperationFailure

NATURAL = {
    "forwards": ({"sort": {"$natural": 1}}, [2, 3, 1]),
    "backwards": ({"sort": {"$natural": -1}}, [1, 3, 2]),
    "with a filter": ({"filter": {"_id": {"$gt": 1}}, "sort": {"$natural": -1}}, [3, 2]),
    "same hint": ({"sort": {"$natural": -1}, "hint": {"$natural": -1}}, [1, 3, 2]),
    "limited": ({"sort": {"$natural": -1}, "limit": 1}, [1]),
    "other hint": ({"sort": {"$natural": 1}, "hint": {"$natural": -1}}, 2),
    "index hint": ({"sort": {"$natural": 1}, "hint": {"_id": 1}}, 2),
}


@pytest.mark.parametrize("case", NATURAL)
def test_natural_order(db: Any, case: str) -> None:
    db.c.insert_many([{"_id": 2}, {"_id": 3}, {"_id": 1}])
    options, expected = NATURAL[case]
    if isinstance(expected, int):
        with pytest.raises(OperationFailure) as caught:
            db.command("find", "c", **options)
        assert caught.value.code == expected
    else:
        reply = db.command("find", "c", **options)
        assert [row["_id"] for row in reply["cursor"]["firstBatch"]] == expected


def test_natural_order_of_find_and_modify(db: Any) -> None:
    db.c.insert_many([{"_id": 2}, {"_id": 3}, {"_id": 1}])
    assert db.c.find_one_and_delete({}, sort=[("$natural", -1)]) == {"_id": 1}


def test_empty_first_batch_of_a_look_up_by_id(db: Any) -> None:
    db.c.insert_one({"_id": 1})
    cursor = db.command("find", "c", filter={"_id": 1}, batchSize=0)["cursor"]
    assert (cursor["firstBatch"], cursor["id"] != 0) == ([], True)
    more = db.command("getMore", cursor["id"], collection="c")["cursor"]
    assert (more["nextBatch"], more["id"]) == ([{"_id": 1}], 0)


RETURN_KEYS = {
    "by an index": ({"filter": {"a": {"$gte": 2}}}, [{"a": 2, "b.c": 5}, {"a": 3, "b.c": None}]),
    "by _id": ({"filter": {"_id": 1}}, [{"_id": 1}]),
    "by no index": ({"filter": {"d": 1}}, [{}, {}, {}]),
    "projections leave keys alone": (
        {"filter": {"a": 1}, "projection": {"_id": 1}}, [{"a": 1, "b.c": 4}],
    ),
    "sorted": ({"sort": {"a": -1}, "hint": "a_1_b.c_1", "limit": 1}, [{"a": 3, "b.c": None}]),
    "record ids are left out": (
        {"filter": {"a": 1}, "showRecordId": True}, [{"a": 1, "b.c": 4}],
    ),
}


@pytest.mark.parametrize("case", RETURN_KEYS)
def test_return_key(db: Any, case: str) -> None:
    db.c.create_index([("a", 1), ("b.c", 1)])
    db.c.insert_many([
        {"_id": 1, "a": 1, "b": {"c": 4}, "d": 1}, {"_id": 2, "a": 2, "b": {"c": 5}, "d": 1},
        {"_id": 3, "a": 3, "d": 1},
    ])
    options, expected = RETURN_KEYS[case]
    reply = db.command("find", "c", returnKey=True, **options)
    assert reply["cursor"]["firstBatch"] == expected


def test_return_key_that_the_document_does_not_tell(db: Any) -> None:
    db.c.create_index("a")
    db.c.insert_one({"a": [1, 2]})
    with pytest.raises(OperationFailure) as caught:
        db.command("find", "c", filter={"a": 1}, returnKey=True)
    assert caught.value.code == 238


VIEW_OPTIONS = {
    "returnKey": {"returnKey": True},
    "showRecordId": {"showRecordId": True},
    "natural order": {"sort": {"$natural": 1}},
    "single batch": {"singleBatch": True, "limit": 2},
}


@pytest.mark.parametrize("case", VIEW_OPTIONS)
def test_options_that_views_do_not_take(db: Any, case: str) -> None:
    db.create_collection("view", viewOn="c")
    with pytest.raises(OperationFailure) as caught:
        db.command("find", "view", **VIEW_OPTIONS[case])
    assert caught.value.code == 168


def test_find_one_on_a_view(db: Any) -> None:
    db.create_collection("view", viewOn="c")
    db.c.insert_many([{"_id": 1}, {"_id": 2}])
    assert db.view.find_one(sort=[("_id", -1)]) == {"_id": 2}


def test_metadata_in_a_pipeline(db: Any) -> None:
    db.c.insert_many([{"_id": n, "item": ("apples", "plums")[n % 2]} for n in range(4)])
    db.c.create_index("item")
    match = {"$match": {"item": "apples"}}
    told = {"$project": {"key": {"$meta": "indexKey"}, "at": {"$meta": "recordId"}}}
    rows = list(db.c.aggregate([match, told]))
    assert [row["key"] for row in rows] == [{"item": "apples"}] * 2
    assert [row["at"] for row in rows] == [1, 3]
    scanned = list(db.c.aggregate([{"$match": {"none": None}}, told]))
    assert [set(row) for row in scanned] == [{"_id", "at"}] * 4
    with pytest.raises(OperationFailure) as caught:
        db.c.aggregate([match, {"$project": {"s": {"$meta": "textScore"}}}])
    assert caught.value.code == 40218
    assert list(db.c.aggregate([match, {"$project": {"s": {"$literal": {"$meta": "textScore"}}}}]))


def test_the_order_of_distinct_values(db: Any, member_db: Any) -> None:
    rows = [{"a": ["S", "M"]}, {"a": ["M", "L"]}, {"a": "S"}, {"a": 5}, {"b": 1}]
    for where in (db, member_db):
        where.c.insert_many(dict(row) for row in rows)
    assert member_db.c.distinct("a") == ["M", "S", "L", 5]
    assert db.c.distinct("a") == [5, "L", "M", "S"]  # a router sorts what shards answer
    member_db.c.create_index("a")
    assert member_db.c.distinct("a", {"a": {"$gt": ""}}) == ["L", "M", "S"]
    member_db.d.insert_many([{"a": "b"}, {"a": ["B", "A"]}])
    assert member_db.d.distinct("a", collation={"locale": "en", "strength": 2}) == ["b", "A"]
