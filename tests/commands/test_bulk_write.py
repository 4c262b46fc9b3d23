"""`bulkWrite`: inserts run together, each still has its own result."""

from __future__ import annotations

import uuid
from typing import Any

from bson import Binary, Int64
from pymongo import MongoClient, UpdateOne
from pymongo.monitoring import CommandListener, CommandStartedEvent
from servers import RawClient, Server


def ops(db: Any, operations: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    spaces = [{"ns": f"{db.name}.a"}, {"ns": f"{db.name}.b"}]
    return db.client.admin.command(
        {"bulkWrite": 1, "ops": operations, "nsInfo": spaces, **options}
    )


def insert(space: int, value: int) -> dict[str, Any]:
    return {"insert": space, "document": {"_id": value}}


MIXED = [
    insert(0, 1), insert(0, 2), insert(1, 1), insert(0, 1), insert(0, 3),
    {"update": 0, "filter": {"_id": 2}, "updateMods": {"$set": {"x": 1}}},
    {"delete": 1, "filter": {}}, insert(1, 7),
]


def test_ordered_ends_at_the_first_error(db: Any) -> None:
    reply = ops(db, MIXED)
    rows = reply["cursor"]["firstBatch"]
    assert [(row["idx"], row["ok"], row["n"]) for row in rows] == [
        (0, 1, 1), (1, 1, 1), (2, 1, 1), (3, 0, 0),
    ]
    assert rows[3]["code"] == 11000
    assert (reply["nInserted"], reply["nErrors"], reply["nModified"]) == (3, 1, 0)
    assert db.a.count_documents({}) == 2


def test_unordered_goes_on(db: Any) -> None:
    reply = ops(db, MIXED, ordered=False)
    rows = reply["cursor"]["firstBatch"]
    assert [(row["idx"], row["ok"]) for row in rows] == [
        (0, 1), (1, 1), (2, 1), (3, 0), (4, 1), (5, 1), (6, 1), (7, 1),
    ]
    counts = ("nInserted", "nErrors", "nMatched", "nModified", "nDeleted")
    assert tuple(reply[name] for name in counts) == (5, 1, 1, 1, 1)
    assert [row["_id"] for row in db.a.find()] == [1, 2, 3]
    assert [row["_id"] for row in db.b.find()] == [7]


def test_errors_only(db: Any) -> None:
    reply = ops(db, MIXED, ordered=False, errorsOnly=True)
    assert [row["idx"] for row in reply["cursor"]["firstBatch"]] == [3]


class GetMores(CommandListener):
    """Counts the batches that a client had to fetch."""

    def __init__(self) -> None:
        self.count = 0

    def started(self, event: CommandStartedEvent) -> None:
        self.count += event.command_name == "getMore"

    def succeeded(self, event: Any) -> None:
        pass

    def failed(self, event: Any) -> None:
        pass


def test_results_that_exceed_a_reply_come_by_cursor(server: Server, db: Any) -> None:
    large = "x" * (8 * 1024 * 1024)
    listener = GetMores()
    with MongoClient(server.uri, event_listeners=[listener]) as client:
        result = client.bulk_write(
            [
                UpdateOne({"_id": f"{large}{n}"}, {"$set": {"n": n}}, upsert=True,
                          namespace=f"{db.name}.a")
                for n in range(3)
            ],
            verbose_results=True,
        )
    assert result.upserted_count == 3
    assert [result.update_results[n].upserted_id[-1] for n in range(3)] == ["0", "1", "2"]
    assert listener.count >= 1


def test_retry_of_many_statements_has_no_effect(server: Server, db: Any) -> None:
    client = RawClient(("127.0.0.1", server.port))
    command = {
        "bulkWrite": 1,
        "ops": [insert(0, n) for n in range(600)]
        + [{"update": 0, "filter": {"_id": 5}, "updateMods": {"$inc": {"n": 1}}}],
        "nsInfo": [{"ns": f"{db.name}.a"}],
        "lsid": {"id": Binary(uuid.uuid4().bytes, 4)},
        "txnNumber": Int64(1),
        "$db": "admin",
    }
    replies = [client.command(command) for _ in range(2)]
    for reply in replies:
        assert (reply["nInserted"], reply["nErrors"], reply["nModified"]) == (600, 0, 1)
    assert db.a.count_documents({}) == 600
    assert db.a.find_one({"_id": 5}) == {"_id": 5, "n": 1}
