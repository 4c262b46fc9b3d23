"""Which errors of an update fail the command, and which only the statement."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.errors import OperationFailure


def test_unknown_stage_fails_the_command_before_it_begins(db: Any) -> None:
    updates = [
        {"q": {}, "u": {"$set": {"a": 1}}, "upsert": True},
        {"q": {}, "u": [{"$nosuch": 1}]},
    ]
    with pytest.raises(OperationFailure) as caught:
        db.command("update", "c", updates=updates)
    assert caught.value.code == 40324
    assert db.c.count_documents({}) == 0


def test_stage_that_no_update_may_have_fails_its_statement(db: Any) -> None:
    updates = [
        {"q": {}, "u": {"$set": {"a": 1}}, "upsert": True},
        {"q": {}, "u": [{"$match": {}}]},
    ]
    reply = db.command("update", "c", updates=updates)
    assert reply["n"] == 1
    assert [error["index"] for error in reply["writeErrors"]] == [1]


def test_upsert_supplied(db: Any) -> None:
    """The document `new` of the constants is inserted; it used to be ignored."""
    statement = {
        "q": {"_id": 1, "a": 5}, "u": [{"$set": {"n": "$$new.n"}}], "upsert": True,
        "upsertSupplied": True, "c": {"new": {"n": 1, "b": 2}},
    }
    reply = db.command("update", "c", updates=[statement])
    assert reply["upserted"] == [{"index": 0, "_id": 1}]
    assert list(db.c.find()) == [{"_id": 1, "n": 1, "b": 2}]
    db.c.update_one({}, {"$set": {"a": 5, "n": 0}})
    db.command("update", "c", updates=[statement])
    assert list(db.c.find()) == [{"_id": 1, "n": 1, "b": 2, "a": 5}]
    operation = {
        "update": 0, "filter": {"_id": 2}, "updateMods": [{"$set": {"n": 9}}], "upsert": True,
        "upsertSupplied": True, "constants": {"new": {"n": 2}},
    }
    db.client.admin.command("bulkWrite", 1, ops=[operation], nsInfo=[{"ns": f"{db.name}.c"}])
    assert db.c.find_one({"_id": 2}) == {"_id": 2, "n": 2}


@pytest.mark.parametrize("change", [
    {"upsert": False}, {"c": {}}, {"c": {"new": 1}}, {"c": {"new": {"$set": {"n": 1}}}},
])
def test_upsert_supplied_without_its_document(db: Any, change: dict[str, Any]) -> None:
    statement = {
        "q": {}, "u": [{"$set": {"n": 1}}], "upsert": True, "upsertSupplied": True,
        "c": {"new": {"n": 1}}, **change,
    }
    error = db.command("update", "c", updates=[statement])["writeErrors"][0]
    assert error["code"] == (52 if "$set" in str(change) else 9)
    assert db.c.count_documents({}) == 0
