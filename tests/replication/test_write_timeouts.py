"""`wtimeout` of every command that writes, while nothing can be committed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import bson
from bson.int64 import Int64
from replication.test_interruptions import Node, begin, hold_replication, until

CONCERN = {"w": "majority", "wtimeout": 20}
Case = tuple[str, dict[str, Any], dict[str, Any]]
AT_ONCE: list[Case] = [
    ("t", {"insert": "rows", "documents": [{"_id": -1}]}, {"n": 1}),
    ("t", {"update": "rows", "updates": [{"q": {"_id": 1}, "u": {"$set": {"v": 1}}}]},
     {"n": 1, "nModified": 1}),
    ("t", {"delete": "rows", "deletes": [{"q": {"_id": 2}, "limit": 1}]}, {"n": 1}),
    ("t", {"findAndModify": "rows", "query": {"_id": 1}, "update": {"$set": {"v": 2}}},
     {"value": {"_id": 1, "v": 1}}),
    ("admin", {"bulkWrite": 1, "ops": [{"insert": 0, "document": {"_id": -2}}],
               "nsInfo": [{"ns": "t.rows"}]}, {"nInserted": 1}),
]  # fmt: skip
"""Database, command, and what its reply has."""
WAITING: list[Case] = [
    ("t", {"collMod": "log", "validationLevel": "moderate"}, {}),
    ("t", {"insert": "log", "documents": [{"_id": 9}]}, {"n": 0}),
    ("t", {"insert": "made", "documents": [{"_id": 1}]}, {"n": 0}),
    ("t", {"insert": "made", "documents": [{"_id": 2}],
           "lsid": {"id": bson.Binary(bytes(16), 4)}, "txnNumber": Int64(1)}, {"n": 0}),
    ("t", {"insert": "made", "documents": [{"_id": 3}],
           "lsid": {"id": bson.Binary(bytes(16), 4)}, "txnNumber": Int64(2)}, {"n": 0}),
    ("t", {"update": "upserted", "updates": [{"q": {"_id": 1}, "u": {}, "upsert": True}]},
     {"n": 0, "nModified": 0}),
    ("t", {"findAndModify": "found", "query": {"_id": 1}, "update": {}, "upsert": True},
     {"value": None}),
    ("admin", {"bulkWrite": 1, "ops": [{"insert": 0, "document": {"_id": 1}}],
               "nsInfo": [{"ns": "t.bulk"}]}, {"nInserted": 0}),
    ("t", {"aggregate": "rows", "pipeline": [{"$limit": 3}, {"$out": "out"}], "cursor": {}},
     {"cursor": {"id": 0, "firstBatch": [], "ns": "t.rows"}}),
    ("t", {"create": "new"}, {}),
    ("t", {"createIndexes": "rows", "indexes": [{"key": {"v": 1}, "name": "v"}]}, {}),
    ("t", {"createIndexes": "rows", "indexes": [{"key": {"v": 1}, "name": "v"}]}, {}),
    ("t", {"dropIndexes": "log", "index": "v"}, {}),
    ("t", {"drop": "gone"}, {}),
    ("gone", {"dropDatabase": 1}, {}),
    ("admin", {"renameCollection": "t.old", "to": "t.renamed"}, {}),
]  # fmt: skip
"""These change the catalogue, or stand behind something that does."""


async def _prepare(primary: Node) -> None:
    for db, name in (("t", "gone"), ("t", "old"), ("gone", "c")):
        await primary.done(db, {"create": name})
    await primary.done(
        "t", {"createIndexes": "log", "indexes": [{"key": {"v": 1}, "name": "v"}]}
    )


async def _timed_out(node: Node, case: Case) -> None:
    db, command, has = case
    async with asyncio.timeout(10):
        reply = await node.command(db, {**command, "writeConcern": CONCERN})
    assert reply["ok"] == 1, (command, reply)
    error = reply["writeConcernError"]
    assert (error["code"], error["codeName"]) == (64, "WriteConcernTimeout"), (command, reply)
    assert error["errInfo"]["wtimeout"] is True
    for name, value in has.items():
        assert reply[name] == value, (command, reply)


def test_every_write_keeps_to_its_wtimeout_and_is_done_in_the_end(tmp_path: Path) -> None:
    async def main() -> None:
        primary, other = await begin(tmp_path)
        await _prepare(primary)
        await hold_replication(other)
        for case in [*AT_ONCE, *WAITING]:
            await _timed_out(primary, case)
        missing = {"dropIndexes": "old", "index": "none", "writeConcern": CONCERN}
        reply = await primary.command("t", missing)
        assert (reply["code"], reply["writeConcernError"]["code"]) == (27, 64)

        await other.done("admin", {"configureFailPoint": "stopReplProducer", "mode": "off"})
        engine = primary.member.engine
        await until(lambda: engine.collection("t", "renamed") is not None)

        def count(name: str) -> int:
            collection = engine.collection("t", name)
            return -1 if collection is None else collection.count

        done = {"made": 3, "upserted": 1, "found": 1, "bulk": 1, "out": 3, "new": 0,
                "gone": -1, "old": -1}  # fmt: skip
        await until(lambda: {name: count(name) for name in done} == done)
        await until(lambda: "gone" not in engine.databases())
        rows, log = engine.collection("t", "rows"), engine.collection("t", "log")
        assert rows is not None
        assert log is not None
        await until(lambda: list(rows.indexes) == ["_id_", "v"])
        await until(lambda: list(log.indexes) == ["_id_"])
        await until(lambda: log.count == 2)
        for node in (other, primary):
            await node.member.stop()

    asyncio.run(main())


def test_a_concern_that_no_set_can_meet_is_told_as_such(tmp_path: Path) -> None:
    async def main() -> None:
        primary, other = await begin(tmp_path)
        await hold_replication(other)
        concern = {"w": 3, "wtimeout": 20}
        reply = await primary.command("t", {"create": "new", "writeConcern": concern})
        assert reply["writeConcernError"]["code"] == 100
        for node in (other, primary):
            await node.member.stop()

    asyncio.run(main())
