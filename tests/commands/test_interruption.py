"""Long work ends by `maxTimeMS`, by `killOp`, and when its client goes away; cursors are killed.

All of it through the router: what is killed is the shard's operation that it shows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bson.int64 import Int64
from pymongo import MongoClient
from pymongo.collection import Collection
from servers import RawClient, Server

Doc = dict[str, Any]
DOCUMENTS = 3000
BOUND_SECONDS = 60.0
# Some tenths of a millisecond of work, which no index spares.
SLOW: Doc = {"$reduce": {
    "input": {"$range": [0, 600]}, "initialValue": 0, "in": {"$add": ["$$value", "$$this"]},
}}
NEVER: Doc = {"$expr": {"$lt": [SLOW, 0]}}
WORK: dict[str, Doc] = {
    "scan": {"find": "c", "filter": NEVER},
    "count": {"count": "c", "query": NEVER},
    "distinct": {"distinct": "c", "key": "a", "query": NEVER},
    "sort": {
        "aggregate": "c", "pipeline": [{"$set": {"k": SLOW}}, {"$sort": {"k": 1}}], "cursor": {},
    },
    "group": {
        "aggregate": "c", "pipeline": [{"$group": {"_id": {"$add": [SLOW, "$_id"]}}}],
        "cursor": {},
    },
    "update": {"update": "c", "updates": [{"q": {}, "u": [{"$set": {"k": SLOW}}], "multi": True}]},
    "delete": {"delete": "c", "deletes": [{"q": NEVER, "limit": 0}]},
    "findAndModify": {"findAndModify": "c", "query": NEVER, "remove": True},
    "bulkWrite": {
        "bulkWrite": 1, "ops": [{"delete": 0, "filter": NEVER, "multi": True}],
        "nsInfo": [{"ns": "interrupted.c"}],
    },
    "createIndexes": {
        "createIndexes": "c", "indexes": [{"key": {"many": 1}, "name": "many_1"}],
    },
}


@pytest.fixture(scope="module")
def things(server: Server) -> Iterator[Collection[Doc]]:
    with MongoClient[Doc](server.uri) as client:
        coll = client.interrupted.c
        coll.drop()
        fill(coll)
        yield coll
        client.drop_database("interrupted")


def fill(coll: Collection[Doc]) -> None:
    coll.insert_many({"_id": i, "many": [i + j for j in range(150)]} for i in range(DOCUMENTS))


def command(name: str, **more: Any) -> Doc:
    return {**WORK[name], "$db": "admin" if name == "bulkWrite" else "interrupted", **more}


def running(coll: Collection[Doc], comment: str) -> list[Doc]:
    stages: list[Doc] = [{"$currentOp": {}}, {"$match": {"command.comment": comment}}]
    return list(coll.database.client.admin.aggregate(stages))


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + BOUND_SECONDS
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.002)
    raise AssertionError("it does not come about")


class Running:
    """A command that runs in a thread on a socket of its own."""

    def __init__(self, server: Server, document: Doc) -> None:
        self.client = RawClient(("127.0.0.1", server.port))
        self.reply: Doc = {}
        self._thread = threading.Thread(target=self._run, args=(document,))
        self._thread.start()

    def _run(self, document: Doc) -> None:
        self.reply = self.client.command(document)

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def join(self) -> Doc:
        self._thread.join(BOUND_SECONDS)
        assert not self.is_alive
        return self.reply


@pytest.mark.parametrize("name", list(WORK))
def test_long_work_is_interrupted(server: Server, things: Collection[Doc], name: str) -> None:
    raw = RawClient(("127.0.0.1", server.port))
    late = raw.command(command(name, maxTimeMS=60))
    assert (late["ok"], late.get("code")) == (0.0, 50), late

    work = Running(server, command(name, comment=f"kill {name}"))
    (row,) = until(lambda: running(things, f"kill {name}"))
    things.database.client.admin.command("killOp", op=row["opid"])
    reply = work.join()
    assert (reply["ok"], reply["code"], reply["codeName"]) == (0.0, 11601, "Interrupted"), reply
    assert running(things, f"kill {name}") == []

    gone = RawClient(("127.0.0.1", server.port))
    gone.send(command(name, comment=f"gone {name}"))
    until(lambda: running(things, f"gone {name}"))
    gone.close()
    until(lambda: not running(things, f"gone {name}"))
    assert list(things.index_information()) == ["_id_"]
    assert things.estimated_document_count() == DOCUMENTS
    assert things.find_one({"_id": 1}) is not None


CURSORS: dict[str, Doc] = {
    "find": {"find": "v", "filter": NEVER, "batchSize": 0},
    "aggregate": {
        "aggregate": "v", "pipeline": [{"$group": {"_id": "$_id"}}, {"$match": NEVER}],
        "cursor": {"batchSize": 0},
    },
}


@pytest.mark.parametrize("how", ["killCursors", "drop", "renameCollection"])
@pytest.mark.parametrize("name", list(CURSORS))
def test_a_get_more_under_way_ends_with_its_cursor(
    server: Server, things: Collection[Doc], name: str, how: str
) -> None:
    db = things.database
    db.v.insert_many({"_id": i} for i in range(DOCUMENTS))
    raw = RawClient(("127.0.0.1", server.port))
    on = {"$db": db.name}
    cursor_id = Int64(raw.command({**CURSORS[name], **on})["cursor"]["id"])
    get_more = {"getMore": cursor_id, "collection": "v", **on}
    work = Running(server, {**get_more, "comment": how + name})
    until(lambda: running(things, how + name))
    if how == "killCursors":
        reply = raw.command({"killCursors": "v", "cursors": [cursor_id], **on})
        assert reply["cursorsKilled"] == [cursor_id]
    elif how == "drop":
        db.v.drop()
    else:
        db.v.rename("w", dropTarget=True)
    assert work.is_alive or work.reply["ok"] == 0.0
    failed = work.join()
    expected = (237, "CursorKilled") if how == "killCursors" else (175, "QueryPlanKilled")
    assert (failed.get("code"), failed.get("codeName")) == expected, failed
    assert raw.command(get_more)["code"] == 43
    db.v.drop()
    db.w.drop()


@pytest.mark.parametrize("how", ["drop", "dropDatabase", "renameCollection"])
def test_an_idle_cursor_learns_that_its_collection_is_gone(db: Any, how: str) -> None:
    db.v.insert_many({"_id": i} for i in range(10))
    raw = RawClient(db.client.address)
    cursor = raw.command({"find": "v", "batchSize": 2, "$db": db.name})["cursor"]
    if how == "drop":
        db.v.drop()
    elif how == "dropDatabase":
        db.client.drop_database(db.name)
    else:
        db.v.rename("w")
    get_more = {"getMore": Int64(cursor["id"]), "collection": "v", "$db": db.name}
    reply = raw.command(get_more)
    assert (reply["code"], reply["codeName"]) == (175, "QueryPlanKilled")
    assert ("renamed" if how == "renameCollection" else "dropped") in reply["errmsg"]
    assert raw.command(get_more)["code"] == 43


def test_an_index_that_is_dropped_while_it_is_built(server: Server, things: Any) -> None:
    for target in ("many_1", {"many": 1}, "*"):
        work = Running(server, command("createIndexes", comment="drop it"))
        until(lambda: any("progress" in row for row in running(things, "drop it")))
        reply = things.database.command("dropIndexes", "c", index=target)
        assert reply["nIndexesWas"] == 2
        built = work.join()
        assert (built.get("code"), built.get("codeName")) == (276, "IndexBuildAborted"), built
        assert list(things.index_information()) == ["_id_"]


def test_a_collection_that_is_dropped_while_an_index_is_built(server: Server, things: Any) -> None:
    try:
        work = Running(server, command("createIndexes", comment="drop all"))
        until(lambda: any("progress" in row for row in running(things, "drop all")))
        things.drop()
        assert work.join().get("code") == 276
        assert "c" not in things.database.list_collection_names()
    finally:
        fill(things)
