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
