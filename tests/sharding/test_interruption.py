"""Long work over several shards ends as work on one does; a merged cursor ends the shards' own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from bson.int64 import Int64
from servers import RawClient

LONG = {"$reduce": {
    "input": {"$range": [0, 600]}, "initialValue": 0, "in": {"$add": ["$$value", "$$this"]},
}}
NEVER = {"$expr": {"$lt": [LONG, 0]}}
WORK: dict[str, dict[str, Any]] = {
    "find": {"find": "c", "filter": NEVER},
    "group": {
        "aggregate": "c", "pipeline": [{"$match": NEVER}, {"$group": {"_id": "$x"}}], "cursor": {},
    },
    "update": {"update": "c", "updates": [{"q": NEVER, "u": {"$set": {"y": 1}}, "multi": True}]},
    "delete": {"delete": "c", "deletes": [{"q": NEVER, "limit": 0}]},
}
CURSORS: dict[str, dict[str, Any]] = {
    "find": {"find": "c", "filter": NEVER, "batchSize": 0},
    "group": {
        "aggregate": "c", "cursor": {"batchSize": 0},
        "pipeline": [
            {"$group": {"_id": "$_id"}}, *({"$addFields": {f"f{i}": LONG}} for i in range(8)),
            {"$match": {"f7": -1}},
        ],
    },
}


@pytest.fixture(scope="module")
def split(sharded: Any) -> Iterator[Any]:
    """Three thousand documents over three shards."""
    db = sharded.client.interrupted
    db.client.admin.command("shardCollection", f"{db.name}.c", key={"_id": "hashed"})
    db.c.insert_many({"_id": i} for i in range(3000))
    yield db
    db.client.drop_database(db.name)


def rows(db: Any, comment: str) -> list[dict[str, Any]]:
    stages = [{"$currentOp": {}}, {"$match": {"command.comment": comment}}]
    return list(db.client.admin.aggregate(stages))


def until(condition: Any) -> Any:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError("it does not come about")


def started(client: RawClient, document: dict[str, Any]) -> tuple[threading.Thread, list[Any]]:
    replies: list[Any] = []
    thread = threading.Thread(target=lambda: replies.append(client.command(document)))
    thread.start()
    return thread, replies


@pytest.mark.parametrize("name", list(WORK))
def test_long_work_over_shards_is_interrupted(sharded: Any, split: Any, name: str) -> None:
    address = ("127.0.0.1", sharded.ports[0])
    on = {**WORK[name], "$db": split.name}
    late = RawClient(address).command({**on, "maxTimeMS": 60})
    assert (late["ok"], late.get("code")) == (0.0, 50), late

    thread, replies = started(RawClient(address), {**on, "comment": "kill"})
    for row in until(lambda: rows(split, "kill")):
        split.client.admin.command("killOp", op=row["opid"])
    thread.join(60)
    assert (replies[0]["ok"], replies[0]["code"]) == (0.0, 11601), replies

    gone = RawClient(address)
    gone.send({**on, "comment": "gone"})
    until(lambda: rows(split, "gone"))
    gone.close()
    until(lambda: not rows(split, "gone"))


def test_long_work_behind_a_merge_is_counted_by_who_gives_turns(split: Any) -> None:
    """The steps were counted by a shard's operation that had ended, and the router's gave up."""
    pipeline = CURSORS["group"]["pipeline"]
    assert list(split.c.aggregate([pipeline[0], {"$limit": 1000}, *pipeline[1:]])) == []


@pytest.mark.parametrize("name", list(CURSORS))
def test_a_merged_get_more_ends_with_its_cursor(sharded: Any, split: Any, name: str) -> None:
    address = ("127.0.0.1", sharded.ports[0])
    raw = RawClient(address)
    on = {"$db": split.name}
    opened = raw.command({**CURSORS[name], **on})
    cursor_id = Int64(opened["cursor"]["id"])
    get_more = {"getMore": cursor_id, "collection": "c", **on}
    thread, replies = started(RawClient(address), get_more)
    busy = {"op": "getmore", "ns": f"{split.name}.c"}
    shown = [{"$currentOp": {"localOps": name == "group"}}, {"$match": busy}]
    until(lambda: list(split.client.admin.aggregate(shown)))
    reply = raw.command({"killCursors": "c", "cursors": [cursor_id], **on})
    assert reply["cursorsKilled"] == [cursor_id]
    thread.join(60)
    assert (replies[0].get("code"), replies[0].get("codeName")) == (237, "CursorKilled"), replies
    assert raw.command(get_more)["code"] == 43
    until(lambda: not list(split.client.admin.aggregate(shown)))
