"""The commands that mongodump and mongorestore send, there and back."""

from __future__ import annotations

from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from servers import Server


def test_a_database_is_dumped_and_restored_by_commands(server: Server) -> None:
    with MongoClient[dict[str, Any]](server.uri) as client:
        for name in ("dumped", "restored"):
            client.drop_database(name)
        db = client.dumped
        db.create_collection("c", validator={"n": {"$gte": 0}}, collation={"locale": "fr"})
        db.c.insert_many({"_id": n, "n": n} for n in range(250))
        db.c.create_index([("n", -1)], unique=True, partialFilterExpression={"n": {"$gt": 5}})
        db.create_collection("ring", capped=True, size=4096)
        db.ring.insert_many({"_id": n} for n in range(5))
        db.command("create", "view", viewOn="c", pipeline=[{"$limit": 2}])
        client.admin.command("listDatabases", nameOnly=True)
        rows = db.command("listCollections", filter={}, cursor={})["cursor"]["firstBatch"]
        for row in sorted(rows, key=lambda found: str(found["name"])):
            if row["name"].startswith("system."):
                continue
            _restore(client, row)
        for name in ("c", "ring", "view"):
            assert client.restored[name].options() == db[name].options()
            assert list(client.restored[name].find()) == list(db[name].find())
        assert client.restored.c.index_information() == db.c.index_information()
        for name in ("dumped", "restored"):
            client.drop_database(name)


def _restore(client: MongoClient[dict[str, Any]], row: dict[str, Any]) -> None:
    """Make one collection anew of what the dump's commands say of it."""
    source, target, name = client.dumped, client.restored, row["name"]
    options = {**row["options"], **({"idIndex": row["idIndex"]} if "idIndex" in row else {})}
    target.command("create", name, **options)
    if row["type"] == "view":
        return
    raw = source.get_collection(
        name, codec_options=source.codec_options.with_options(document_class=RawBSONDocument)
    )
    assert source.command("count", name)["n"] == row_count(source, name)
    documents = list(raw.find({}, no_cursor_timeout=True, batch_size=100))
    target.command(
        "insert", name, documents=documents, ordered=False, bypassDocumentValidation=True,
        writeConcern={"w": "majority"},
    )
    indexes = [
        index for index in source.command("listIndexes", name)["cursor"]["firstBatch"]
        if index["name"] != "_id_"
    ]
    if indexes:
        target.command("createIndexes", name, indexes=indexes, ignoreUnknownIndexOptions=True)


def row_count(db: Any, name: str) -> int:
    """Count as mongodump's progress bar does."""
    (row,) = db[name].aggregate([{"$collStats": {"count": {}}}])
    count: int = row["count"]
    return count
