"""What stands in front of an error's message: what was being done when it came."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from pymongo.errors import OperationFailure

DUPLICATE = "E11000 duplicate key error collection: {ns} index: a_1 dup key: {{ a: 2 }}"
UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def message_of(act: Callable[[], Any]) -> str:
    with pytest.raises(OperationFailure) as caught:
        act()
    assert caught.value.details is not None
    return str(caught.value.details["errmsg"])


def test_find_and_modify(db: Any) -> None:
    db.c.create_index("a", unique=True)
    db.c.insert_many([{"_id": 1, "a": 1}, {"_id": 2, "a": 2}])
    expected = f"Plan executor error during findAndModify :: caused by :: {DUPLICATE}"
    change = {"$set": {"a": 2}}
    found = message_of(lambda: db.c.find_one_and_update({"_id": 1}, change))
    assert found == expected.format(ns=db.c.full_name)
    upsert = message_of(lambda: db.c.find_one_and_update({"_id": 9}, change, upsert=True))
    assert upsert == expected.format(ns=db.c.full_name)
    wrong = message_of(lambda: db.c.find_one_and_update({"_id": 1}, {"$inc": {"a": "x"}}))
    assert "caused by" not in wrong, "what is wrong without a document is no matter of execution"


def test_an_index_build(db: Any) -> None:
    db.c.insert_many([{"a": 2}, {"a": 2}])
    found = message_of(lambda: db.c.create_index("a", unique=True))
    own, duplicate = db.c.full_name, DUPLICATE.format(ns=db.c.full_name)
    front = f"Index build failed: {UUID}: Collection {re.escape(own)} \\( {UUID} \\)"
    assert re.fullmatch(f"{front} :: caused by :: {re.escape(duplicate)}", found), found
