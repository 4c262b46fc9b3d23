"""Write commands as applications meet them: upserts that race, collations, concerns, errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from bson.dbref import DBRef
from bson.regex import Regex
from pymongo import InsertOne, MongoClient, UpdateOne, WriteConcern
from pymongo.collection import Collection
from pymongo.errors import (
    BulkWriteError,
    ClientBulkWriteException,
    DuplicateKeyError,
    OperationFailure,
    WriteConcernError,
)
from pymongo.read_concern import ReadConcern
from servers import Server

Coll = Collection[dict[str, Any]]


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[MongoClient[dict[str, Any]]]:
    with MongoClient(server.uri) as found:
        yield found


@pytest.fixture
def coll(client: MongoClient[dict[str, Any]]) -> Coll:
    found = client.writes.c
    found.drop()
    found.insert_many([{"_id": i, "x": i} for i in range(1, 4)])
    return found


def test_racing_upserts_of_a_unique_key_all_count(coll: Coll, server: Server) -> None:
    """Each upsert is equality on the unique key: one inserts, the others then update."""
    coll.create_index("k", unique=True, sparse=True)
    keys, workers = range(60), 4

    def work(_: int) -> None:
        with MongoClient(server.uri) as own:
            for key in keys:
                own.writes.c.update_one({"k": key}, {"$inc": {"n": 1}}, upsert=True)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(workers)))
    found = list(coll.find({"k": {"$exists": True}}))
    assert sorted(row["k"] for row in found) == list(keys)
    assert {row["n"] for row in found} == {workers}


def test_an_upsert_that_cannot_succeed_reports_its_duplicate_key(coll: Coll) -> None:
    coll.create_index("x", unique=True)
    with pytest.raises(DuplicateKeyError) as caught:
        coll.update_one({"_id": 1, "y": 5}, {"$set": {"z": 1}}, upsert=True)
    assert caught.value.details is not None
    assert caught.value.details["keyValue"] == {"_id": 1}
    with pytest.raises(DuplicateKeyError):
        coll.update_one({"y": 5}, {"$set": {"x": 1}}, upsert=True)
    with pytest.raises(DuplicateKeyError):
        coll.find_one_and_update({"x": {"$gt": 7}}, {"$set": {"x": 2}}, upsert=True)


@pytest.fixture
def insensitive(client: MongoClient[dict[str, Any]]) -> Coll:
    db = client.writes
    db.drop_collection("insensitive")
    found: Coll = db.create_collection("insensitive", collation={"locale": "en", "strength": 2})
    found.insert_many([{"_id": 1, "n": "Alice"}, {"_id": "K", "n": "bob"}])
    return found


def test_writes_use_the_collations_of_their_collection(insensitive: Coll) -> None:
    update = {"$set": {"seen": True}}
    assert insensitive.update_one({"n": "ALICE"}, update).matched_count == 1
    assert insensitive.update_many({"n": "aLICE"}, update).matched_count == 1
    assert insensitive.update_one({"_id": "k"}, update).matched_count == 1
    assert insensitive.update_one(
        {"n": "ALICE"}, update, collation={"locale": "simple"}
    ).matched_count == 0
    assert insensitive.update_one({"n": "ALICE"}, update, upsert=True).upserted_id is None
    before = insensitive.find_one_and_update({"n": "BOB"}, update)
    assert before is not None
    assert before["_id"] == "K"
    assert insensitive.delete_one({"n": "BOB"}).deleted_count == 1
    assert insensitive.delete_many({"n": "ALICE"}).deleted_count == 1


def test_a_regex_on_id_is_matched_not_looked_up(client: MongoClient[dict[str, Any]]) -> None:
    coll = client.writes.regex
    coll.drop()
    coll.insert_many([{"_id": "abc"}, {"_id": "b"}])
    assert coll.update_one({"_id": Regex("^a")}, {"$set": {"x": 1}}).matched_count == 1
    assert coll.find_one({"_id": Regex("^a")}) == {"_id": "abc", "x": 1}
    assert coll.find_one_and_update({"_id": Regex("^b")}, {"$set": {"x": 2}}) == {"_id": "b"}
    assert coll.delete_one({"_id": Regex("^a")}).deleted_count == 1


def test_bad_sorts_are_refused_also_where_they_are_not_needed(coll: Coll) -> None:
    command = {"findAndModify": "c", "query": {"_id": 1}, "remove": True, "sort": {"x": 5}}
    with pytest.raises(OperationFailure) as caught:
        coll.database.command(command)
    assert caught.value.code == 15975
    assert coll.count_documents({}) == 3


def test_an_unmet_write_concern_is_told_after_the_write(coll: Coll) -> None:
    unmet = coll.with_options(write_concern=WriteConcern(5, wtimeout=1))
    with pytest.raises(WriteConcernError) as caught:
        unmet.insert_one({"_id": 10})
    assert caught.value.code == 100
    with pytest.raises(BulkWriteError) as bulk:
        unmet.bulk_write([InsertOne({"_id": 11}), UpdateOne({"_id": 11}, {"$set": {"x": 1}})])
    assert [row["code"] for row in bulk.value.details["writeConcernErrors"]] == [100, 100]
    for write in (
        lambda: unmet.find_one_and_delete({"_id": 10}),
        lambda: unmet.create_index("x"),
        lambda: unmet.aggregate([{"$out": "out"}]),
        unmet.drop,
    ):
        with pytest.raises(WriteConcernError):
            write()
    assert coll.count_documents({}) == 0
    assert coll.database.out.count_documents({}) == 4


def test_a_client_bulk_write_tells_its_unmet_write_concern(coll: Coll) -> None:
    client = coll.database.client
    models = [InsertOne({"_id": 20}, namespace="writes.c")]
    with pytest.raises(ClientBulkWriteException) as caught:
        client.bulk_write(models, write_concern=WriteConcern(5))
    assert [row["code"] for row in caught.value.write_concern_errors] == [100]
    assert caught.value.partial_result is not None
    assert caught.value.partial_result.inserted_count == 1
    assert coll.count_documents({"_id": 20}) == 1


@pytest.mark.parametrize("stage", [{"$out": "target"}, {"$merge": "target"}])
def test_nothing_is_written_of_a_linearizable_read(coll: Coll, stage: dict[str, Any]) -> None:
    coll.database.target.drop()
    reader = coll.with_options(read_concern=ReadConcern("linearizable"))
    with pytest.raises(OperationFailure) as caught:
        reader.aggregate([{"$match": {}}, stage])
    assert caught.value.code == 72
    assert "linearizable" in str(caught.value)
    assert "target" not in coll.database.list_collection_names()
    assert len(list(reader.aggregate([]))) == 3


SEARCH_COMMANDS: list[dict[str, Any]] = [
    {"createSearchIndexes": "c", "indexes": [{"name": "s", "definition": {}}]},
    {"createSearchIndexes": "c", "indexes": []},
    {"updateSearchIndex": "c", "name": "s", "definition": {}},
    {"dropSearchIndex": "c", "name": "s"},
    {"listSearchIndexes": "c"},
    {"aggregate": "c", "pipeline": [{"$listSearchIndexes": {}}], "cursor": {}},
]


@pytest.mark.parametrize("command", SEARCH_COMMANDS, ids=lambda command: next(iter(command)))
def test_search_indexes_are_refused_as_without_a_search_server(
    coll: Coll, command: dict[str, Any]
) -> None:
    with pytest.raises(OperationFailure) as caught:
        coll.database.command(command)
    assert caught.value.code == 31082
    assert "Atlas" in str(caught.value)


MALFORMED: list[tuple[dict[str, Any], int]] = [
    ({}, 40415),
    ({"upsert": 0, "document": {}}, 40415),
    ({"insert": 0}, 40414),
    ({"insert": None, "document": {}}, 40414),
    ({"insert": "c", "document": {}}, 14),
    ({"insert": 1, "document": {}}, 2),
    ({"insert": -1, "document": {}}, 2),
    ({"insert": 0, "document": {}, "more": 1}, 40415),
    ({"update": 0, "filter": {}}, 40414),
    ({"update": 0, "filter": {}, "updateMods": 5}, 14),
    ({"delete": 0, "filter": {}, "limit": 1}, 40415),
]


@pytest.mark.parametrize(("operation", "code"), MALFORMED)
def test_one_malformed_operation_fails_the_whole_bulk_write(
    coll: Coll, operation: dict[str, Any], code: int
) -> None:
    operations = [{"insert": 0, "document": {"_id": 30}}, operation]
    with pytest.raises(OperationFailure) as caught:
        coll.database.client.admin.command(
            {"bulkWrite": 1, "ops": operations, "nsInfo": [{"ns": "writes.c"}]}
        )
    assert caught.value.code == code
    assert coll.count_documents({"_id": 30}) == 0


def test_a_replacement_without_the_id_first_counts_as_a_change(db: Any) -> None:
    db.c.insert_one({"_id": 1, "a": 1})
    assert db.c.replace_one({}, {"_id": 1, "a": 1}).modified_count == 0
    assert db.c.replace_one({}, {"a": 1}).modified_count == 1
    assert db.c.replace_one({}, {"a": 1, "_id": 1}).modified_count == 1
    assert db.c.update_one({}, [{"$set": {"a": 1}}]).modified_count == 0
    assert db.c.update_one({}, [{"$replaceWith": {"a": 1}}]).modified_count == 1
    assert list(db.c.find_one({})) == ["_id", "a"]


@pytest.mark.parametrize(("key", "name"), [
    (DBRef("c", 1), None),
    ({"$ref": "c", "$id": 1, "$db": "d", "x": 1}, None),
    ({"a": [DBRef("c", 1)]}, None),
    ({"$id": 1, "$ref": "c"}, "$id"),
    ({"$ref": 1, "$id": 1}, "$ref"),
    ({"$ref": "c", "$id": 1, "$db": 1}, "$db"),
    ({"x": 1, "$ref": "c", "$id": 1}, "$ref"),
    ({"a": [{"$b": 1}]}, "$b"),
])
def test_an_id_has_no_dollar_names_but_those_of_a_reference(
    coll: Coll, key: Any, name: str | None
) -> None:
    if name is None:
        coll.insert_one({"_id": key})
        assert coll.count_documents({"_id": key}) == 1
        return
    with pytest.raises(OperationFailure, match=re.escape(f": {name} is not valid")) as refused:
        coll.insert_one({"_id": key})
    assert refused.value.code == 52
