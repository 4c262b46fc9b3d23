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
