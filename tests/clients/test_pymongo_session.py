"""A pymongo session against `psdb up`: what an application does first."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pymongo
import pytest
from bson import Binary, Int64, ObjectId
from pymongo import ASCENDING, DESCENDING, MongoClient, ReturnDocument
from pymongo.database import Database
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure
from servers import RawClient, Server


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[MongoClient]:
    with MongoClient(server.uri, serverSelectionTimeoutMS=5000) as connected:
        yield connected


@pytest.fixture
def db(client: MongoClient, request: pytest.FixtureRequest) -> Iterator[Database]:
    name = "session_" + request.node.name.replace("[", "_").replace("]", "")[:40]
    client.drop_database(name)
    yield client[name]
    client.drop_database(name)


def fill(db: Database, count: int = 100) -> None:
    db.things.insert_many(
        {"_id": i, "n": i, "kind": "even" if i % 2 == 0 else "odd", "tags": [i % 3, i % 5]}
        for i in range(count)
    )


def test_presents_itself_as_mongos(client: MongoClient) -> None:
    hello = client.admin.command("hello")
    assert hello["msg"] == "isdbgrid"
    assert hello["isWritablePrimary"] is True
    assert hello["maxWireVersion"] == 25
    assert hello["logicalSessionTimeoutMinutes"] == 30
    assert client.is_mongos
    assert client.server_info()["version"].startswith("8.0")


def test_insert_and_find_one(db: Database) -> None:
    result = db.people.insert_one({"name": "Ada", "born": 1815})
    assert isinstance(result.inserted_id, ObjectId)
    assert db.people.find_one({"name": "Ada"})["born"] == 1815
    assert db.people.find_one({"_id": result.inserted_id})["name"] == "Ada"
    assert db.people.find_one({"_id": ObjectId()}) is None


def test_insert_100_000_in_batches(db: Database) -> None:
    for start in range(0, 100_000, 10_000):
        db.many.insert_many({"_id": i, "v": i % 97} for i in range(start, start + 10_000))
    assert db.many.estimated_document_count() == 100_000
    assert db.many.count_documents({"v": 5}) == len([i for i in range(100_000) if i % 97 == 5])
    assert sum(1 for _ in db.many.find({}, batch_size=7_000)) == 100_000


def test_find_with_filter_sort_projection_skip_limit(db: Database) -> None:
    fill(db)
    found = list(
        db.things.find({"n": {"$gte": 10, "$lt": 50}, "kind": "odd"}, {"_id": 0, "n": 1})
        .sort("n", DESCENDING).skip(2).limit(3)
    )
    assert found == [{"n": 45}, {"n": 43}, {"n": 41}]


def test_batches_over_get_more(db: Database) -> None:
    fill(db)
    cursor = db.things.find({}, batch_size=7).sort("n", ASCENDING)
    assert [d["n"] for d in cursor] == list(range(100))
    cursor = db.things.find({}, batch_size=7)
    next(cursor)
    cursor.close()


def test_killed_cursor_is_gone(db: Database) -> None:
    fill(db)
    reply = db.command("find", "things", batchSize=5)
    cursor_id = reply["cursor"]["id"]
    assert cursor_id != 0
    killed = db.command("killCursors", "things", cursors=[cursor_id])
    assert killed["cursorsKilled"] == [cursor_id]
    with pytest.raises(OperationFailure) as error:
        db.command("getMore", Int64(cursor_id), collection="things")
    assert error.value.code == 43


def test_update_replace_upsert(db: Database) -> None:
    fill(db, 10)
    one = db.things.update_one({"_id": 1}, {"$set": {"x": 1}, "$inc": {"n": 10}})
    assert (one.matched_count, one.modified_count) == (1, 1)
    assert db.things.find_one({"_id": 1})["n"] == 11
    again = db.things.update_one({"_id": 1}, {"$set": {"x": 1}})
    assert (again.matched_count, again.modified_count) == (1, 0)
    many = db.things.update_many({"kind": "even"}, {"$push": {"tags": 9}})
    assert (many.matched_count, many.modified_count) == (5, 5)
    replaced = db.things.replace_one({"_id": 2}, {"fresh": True})
    assert replaced.modified_count == 1
    assert db.things.find_one({"_id": 2}) == {"_id": 2, "fresh": True}
    upserted = db.things.update_one({"_id": 77}, {"$set": {"n": 1}}, upsert=True)
    assert upserted.upserted_id == 77


def test_delete(db: Database) -> None:
    fill(db, 20)
    assert db.things.delete_one({"kind": "odd"}).deleted_count == 1
    assert db.things.delete_many({"kind": "odd"}).deleted_count == 9
    assert db.things.count_documents({}) == 10


def test_find_and_modify(db: Database) -> None:
    fill(db, 5)
    before = db.things.find_one_and_update({"_id": 1}, {"$inc": {"n": 5}})
    assert before["n"] == 1
    after = db.things.find_one_and_update(
        {"_id": 1}, {"$inc": {"n": 5}}, return_document=ReturnDocument.AFTER
    )
    assert after["n"] == 11
    highest = db.things.find_one_and_delete({}, sort=[("_id", -1)])
    assert highest["_id"] == 4
    assert db.things.find_one_and_replace({"_id": 99}, {"a": 1}) is None


def test_count_distinct_aggregate(db: Database) -> None:
    fill(db, 30)
    assert db.things.count_documents({"kind": "even"}) == 15
    assert db.things.distinct("tags") == [0, 1, 2, 3, 4]
    rows = list(db.things.aggregate([
        {"$match": {"n": {"$lt": 20}}},
        {"$group": {"_id": "$kind", "total": {"$sum": "$n"}, "count": {"$sum": 1}}},
        {"$sort": {"_id": 1}},
    ]))
    assert rows == [
        {"_id": "even", "total": 90, "count": 10}, {"_id": "odd", "total": 100, "count": 10},
    ]


def test_indexes(db: Database) -> None:
    fill(db, 50)
    assert db.things.create_index([("n", 1)], unique=True) == "n_1"
    assert db.things.create_index([("kind", 1), ("n", -1)]) == "kind_1_n_-1"
    assert set(db.things.index_information()) == {"_id_", "n_1", "kind_1_n_-1"}
    with pytest.raises(DuplicateKeyError) as error:
        db.things.insert_one({"n": 7})
    assert error.value.details["keyPattern"] == {"n": 1}
    assert error.value.details["keyValue"] == {"n": 7}
    db.things.drop_index("n_1")
    db.things.insert_one({"n": 7})
    db.things.drop_indexes()
    assert set(db.things.index_information()) == {"_id_"}


def test_explain(db: Database) -> None:
    fill(db, 50)
    db.things.create_index("n")
    plan = db.things.find({"n": 7}).explain()
    text = str(plan["queryPlanner"]["winningPlan"])
    assert "SINGLE_SHARD" in text
    assert "IXSCAN" in text
    assert plan["executionStats"]["nReturned"] == 1


def test_names_and_stats(db: Database, client: MongoClient) -> None:
    fill(db, 10)
    assert db.name in client.list_database_names()
    assert db.list_collection_names() == ["things"]
    stats = db.command("dbStats")
    assert stats["objects"] == 10
    assert db.command("collStats", "things")["count"] == 10
    assert db.command("validate", "things")["valid"] is True


def test_rename_drop(db: Database, client: MongoClient) -> None:
    fill(db, 3)
    db.things.rename("others")
    assert db.list_collection_names() == ["others"]
    assert db.others.count_documents({}) == 3
    db.others.drop()
    assert db.list_collection_names() == []
    client.drop_database(db.name)
    assert db.name not in client.list_database_names()


def test_bulk_write_ordered_and_unordered(db: Database) -> None:
    db.b.insert_one({"_id": 1})
    operations = [
        pymongo.InsertOne({"_id": 2}), pymongo.InsertOne({"_id": 1}), pymongo.InsertOne({"_id": 3}),
    ]
    with pytest.raises(BulkWriteError) as error:
        db.b.bulk_write(operations)
    assert error.value.details["nInserted"] == 1
    assert error.value.details["writeErrors"][0]["index"] == 1
    with pytest.raises(BulkWriteError) as error:
        db.b.bulk_write(operations[1:], ordered=False)
    assert error.value.details["nInserted"] == 1
    assert db.b.count_documents({}) == 3


def test_client_bulk_write(db: Database, client: MongoClient) -> None:
    result = client.bulk_write([
        pymongo.InsertOne({"_id": 1, "n": 1}, namespace=f"{db.name}.x"),
        pymongo.UpdateOne({"_id": 1}, {"$inc": {"n": 1}}, namespace=f"{db.name}.x"),
        pymongo.UpdateOne({"_id": 5}, {"$set": {"n": 1}}, upsert=True, namespace=f"{db.name}.y"),
        pymongo.DeleteOne({"_id": 1}, namespace=f"{db.name}.x"),
    ], verbose_results=True)
    assert (result.inserted_count, result.modified_count) == (1, 1)
    assert (result.upserted_count, result.deleted_count) == (1, 1)
    assert result.update_results[2].upserted_id == 5


def test_views(db: Database) -> None:
    fill(db, 10)
    db.create_collection("evens", viewOn="things", pipeline=[{"$match": {"kind": "even"}}])
    assert db.evens.count_documents({}) == 5
    assert [d["_id"] for d in db.evens.find({"n": {"$gt": 3}}, {"_id": 1})] == [4, 6, 8]
    with pytest.raises(OperationFailure) as error:
        db.evens.insert_one({})
    assert error.value.code == 166


def test_validator(db: Database) -> None:
    db.create_collection("strict", validator={"$jsonSchema": {"required": ["name"]}})
    db.strict.insert_one({"name": "x"})
    with pytest.raises(OperationFailure) as error:
        db.strict.insert_one({"other": 1})
    assert error.value.code == 121
    assert error.value.details["errInfo"]["details"]["operatorName"] == "$jsonSchema"


def test_sessions(db: Database, client: MongoClient) -> None:
    with client.start_session() as session:
        db.s.insert_one({"_id": 1, "n": 0}, session=session)
        assert db.s.find_one({"_id": 1}, session=session)["n"] == 0
        assert session.cluster_time is not None
        assert session.operation_time is not None


def test_a_retried_write_has_its_effect_once(db: Database) -> None:
    raw = RawClient(db.client.address)
    lsid = {"id": Binary(uuid.uuid4().bytes, 4)}
    retried = {"$db": db.name, "lsid": lsid, "txnNumber": Int64(1)}
    insert = {"insert": "s", "documents": [{"_id": 1, "n": 0}], **retried}
    assert raw.command(insert)["n"] == raw.command(insert)["n"] == 1
    update = {"update": "s", "updates": [{"q": {"_id": 1}, "u": {"$inc": {"n": 1}}}], **retried}
    update["txnNumber"] = Int64(2)
    first, second = raw.command(update), raw.command(update)
    assert (first["n"], first["nModified"]) == (second["n"], second["nModified"]) == (1, 1)
    assert db.s.find_one({"_id": 1})["n"] == 1
    modify = {
        "findAndModify": "s", "query": {"_id": 1}, "update": {"$inc": {"n": 1}}, "new": True,
        **retried, "txnNumber": Int64(3),
    }
    assert raw.command(modify)["value"] == raw.command(modify)["value"] == {"_id": 1, "n": 2}
    assert raw.command(update)["code"] == 225, "an older number is refused"


def test_compression(server: Server) -> None:
    # Snappy and zstd need packages that pymongo does not bring; tests/wire speaks them by hand.
    with MongoClient(server.uri, compressors="zlib") as client:
        document = {"_id": 1, "text": "x" * 100_000}
        client.packed.c.replace_one({"_id": 1}, document, upsert=True)
        assert client.packed.c.find_one({"_id": 1}) == document
        assert client.admin.command("hello", compression=["zlib"])["compression"] == ["zlib"]


def test_unacknowledged_writes(db: Database) -> None:
    collection = db.get_collection("w0", write_concern=pymongo.WriteConcern(w=0))
    collection.insert_one({"_id": 1})
    deadline = 200
    while db.w0.count_documents({}) != 1 and deadline:
        deadline -= 1
    assert db.w0.count_documents({}) == 1


def test_what_comes_later_answers_clearly(db: Database, client: MongoClient) -> None:
    with (
        client.start_session() as session,
        pytest.raises(OperationFailure) as error,
        session.start_transaction(),
    ):
        db.t.insert_one({}, session=session)
    assert not error.value.has_error_label("TransientTransactionError")
    with pytest.raises(OperationFailure) as error:
        db.t.watch()
    assert error.value.code == 238
    with pytest.raises(OperationFailure) as error:
        client.admin.command("saslStart", mechanism="SCRAM-SHA-256", payload=b"")
    assert error.value.code == 18


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ({"find": "c", "nonsense": 1}, 40415),
        ({"insert": "c"}, 40414),
        ({"find": "c", "filter": 5}, 14),
        ({"nonsense": 1}, 59),
        ({"find": "c", "filter": {"a": {"$nonsense": 1}}}, 2),
        ({"aggregate": "c", "pipeline": [{"$nonsense": 1}], "cursor": {}}, 40324),
        ({"find": "c", "limit": -5}, 51024),
        ({"find": 5}, 73),
        ({"find": "c", "readConcern": {"level": "nonsense"}}, 2),
        ({"update": "c", "updates": [{"q": {}, "u": {"$nonsense": {"a": 1}}}]}, 9),
    ],
)
def test_errors_are_mongodbs(db: Database, command: dict, code: int) -> None:
    if next(iter(command)) == "update":
        db.c.insert_one({})
        assert db.command(command)["writeErrors"][0]["code"] == code
        return
    with pytest.raises(OperationFailure) as error:
        db.command(command)
    assert error.value.code == code
