"""Capped collections and the tailable cursors that follow them."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from pymongo import CursorType
from pymongo.errors import OperationFailure

REFUSED_OPTIONS = {
    "size is missing": ({"capped": True}, 72),
    "size without capped": ({"size": 1000}, 72),
    "max without capped": ({"max": 3}, 72),
    "size of nothing": ({"capped": True, "size": 0}, 2),
    "size over a petabyte": ({"capped": True, "size": 2**50 + 1}, 2),
    "max over 31 bits": ({"capped": True, "size": 1000, "max": 2**31}, 2),
    "size as text": ({"capped": True, "size": "1000"}, 14),
}


@pytest.mark.parametrize("case", REFUSED_OPTIONS)
def test_options_that_do_not_go_together(db: Any, case: str) -> None:
    options, code = REFUSED_OPTIONS[case]
    with pytest.raises(OperationFailure) as caught:
        db.command({"create": "c", **options})
    assert caught.value.code == code
    assert db.list_collection_names() == []


def test_options_as_shown(db: Any) -> None:
    db.create_collection("c", capped=True, size=1000, max=3)
    assert db.c.options() == {"capped": True, "size": 1024, "max": 3}
    stats = db.command("collStats", "c")
    assert (stats["capped"], stats["max"], stats["maxSize"]) == (True, 3, 1024)


def test_oldest_go_by_count_and_by_size(db: Any) -> None:
    db.create_collection("few", capped=True, size=10_000, max=3)
    db.few.insert_many({"_id": i} for i in range(10))
    db.few.insert_one({"_id": 10})
    assert [row["_id"] for row in db.few.find()] == [8, 9, 10]
    db.create_collection("small", capped=True, size=1024)
    db.small.insert_many({"_id": i, "text": "x" * 100} for i in range(100))
    kept = [row["_id"] for row in db.small.find()]
    assert kept == list(range(100 - len(kept), 100))
    assert 5 <= len(kept) <= 9
    with pytest.raises(OperationFailure) as caught:
        db.small.insert_one({"text": "x" * 2000})
    assert caught.value.code == 2


def test_resized_by_coll_mod(db: Any) -> None:
    db.create_collection("c", capped=True, size=10_000, max=5)
    db.c.insert_many({"_id": i} for i in range(5))
    db.command("collMod", "c", cappedMax=2, cappedSize=2000)
    assert db.c.options() == {"capped": True, "size": 2048, "max": 2}
    db.c.insert_one({"_id": 5})
    assert [row["_id"] for row in db.c.find()] == [4, 5]
    db.plain.insert_one({})
    with pytest.raises(OperationFailure) as caught:
        db.command("collMod", "plain", cappedSize=1000)
    assert caught.value.code == 72


def test_tailable_cursor_goes_on(db: Any) -> None:
    db.create_collection("c", capped=True, size=10_000)
    db.c.insert_many({"_id": i, "n": i % 2} for i in range(4))
    cursor = db.c.find({"n": 1}, {"_id": 1}, cursor_type=CursorType.TAILABLE)
    assert cursor.to_list() == [{"_id": 1}, {"_id": 3}]
    assert cursor.alive
    assert cursor.to_list() == []
    db.c.insert_many({"_id": i, "n": i % 2} for i in range(4, 8))
    assert cursor.to_list() == [{"_id": 5}, {"_id": 7}]
    cursor.close()


def test_awaiting_cursor_wakes_with_the_insert(db: Any) -> None:
    db.create_collection("c", capped=True, size=10_000)
    db.c.insert_one({"_id": 0})
    cursor = db.c.find(cursor_type=CursorType.TAILABLE_AWAIT).max_await_time_ms(30_000)
    assert next(cursor) == {"_id": 0}
    found: list[Any] = []
    waiter = threading.Thread(target=lambda: found.append(next(cursor)))
    waiter.start()
    db.c.insert_one({"_id": 1})
    waiter.join(20)
    assert found == [{"_id": 1}]
    cursor.close()


def test_awaiting_cursor_ends_its_wait(db: Any) -> None:
    db.create_collection("c", capped=True, size=10_000)
    db.c.insert_one({"_id": 0})
    cursor = db.c.find(cursor_type=CursorType.TAILABLE_AWAIT).max_await_time_ms(50)
    assert cursor.to_list() == [{"_id": 0}]
    assert cursor.to_list() == []
    assert cursor.alive
    cursor.close()


def test_overtaken_cursor_loses_its_position(db: Any) -> None:
    db.create_collection("c", capped=True, size=10_000, max=2)
    db.c.insert_many([{"_id": 0}, {"_id": 1}])
    opened = db.command("find", "c", tailable=True)["cursor"]
    db.c.insert_many([{"_id": 2}, {"_id": 3}])
    with pytest.raises(OperationFailure) as caught:
        db.command("getMore", opened["id"], collection="c")
    assert caught.value.code == 136


def test_tailable_on_nothing_is_dead_at_once(db: Any) -> None:
    assert db.command("find", "missing", tailable=True)["cursor"]["id"] == 0
    db.create_collection("empty", capped=True, size=1000)
    assert db.command("find", "empty", tailable=True)["cursor"]["id"] == 0


REFUSED_FINDS = {
    "awaitData alone": ("c", {"awaitData": True}, 9),
    "with singleBatch": ("c", {"tailable": True, "singleBatch": True}, 9),
    "with a sort": ("c", {"tailable": True, "sort": {"a": 1}}, 2),
    "not capped": ("plain", {"tailable": True}, 2),
    "a view": ("view", {"tailable": True}, 168),
}


@pytest.mark.parametrize("case", REFUSED_FINDS)
def test_finds_that_cannot_tail(db: Any, case: str) -> None:
    db.create_collection("c", capped=True, size=1000)
    db.create_collection("plain")
    db.create_collection("view", viewOn="plain")
    name, options, code = REFUSED_FINDS[case]
    with pytest.raises(OperationFailure) as caught:
        db.command("find", name, **options)
    assert caught.value.code == code


def test_natural_sort_may_tail(db: Any) -> None:
    db.create_collection("c", capped=True, size=1000)
    db.c.insert_one({"_id": 1})
    reply = db.command("find", "c", tailable=True, sort={"$natural": 1})
    assert [row["_id"] for row in reply["cursor"]["firstBatch"]] == [1]
    assert reply["cursor"]["id"] != 0
