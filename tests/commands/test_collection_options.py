"""Options of `create` and `collMod`, views, validators, names."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.errors import OperationFailure, WriteError
from servers import Server


def code_of(db: Any, command: dict[str, Any]) -> int | None:
    with pytest.raises(OperationFailure) as caught:
        db.command(command)
    return caught.value.code


def test_options_that_are_kept_and_shown(db: Any) -> None:
    engine = {"wiredTiger": {"configString": "block_compressor=zlib"}}
    db.command(
        "create", "c", storageEngine=engine, indexOptionDefaults={"storageEngine": engine},
        changeStreamPreAndPostImages={"enabled": True}, validationLevel="moderate",
    )
    assert db.c.options() == {
        "storageEngine": engine, "indexOptionDefaults": {"storageEngine": engine},
        "changeStreamPreAndPostImages": {"enabled": True}, "validationLevel": "moderate",
    }
    db.command("collMod", "c", changeStreamPreAndPostImages={"enabled": False})
    assert "changeStreamPreAndPostImages" not in db.c.options()


@pytest.mark.parametrize(("options", "code"), [
    ({"storageEngine": {"rocks": {}}}, 72),
    ({"storageEngine": {"wiredTiger": 1}}, 2),
    ({"indexOptionDefaults": {"x": 1}}, 40415),
    ({"changeStreamPreAndPostImages": {}}, 40414),
    ({"encryptedFields": {"fields": []}}, 238),
    ({"pipeline": []}, 72),
    ({"viewOn": "a", "capped": True, "size": 1}, 72),
    ({"viewOn": "a", "validator": {}}, 72),
    ({"viewOn": "a", "changeStreamPreAndPostImages": {"enabled": True}}, 72),
    ({"validationAction": "sometimes"}, 2),
    ({"validator": {"a": {"$near": [1, 1]}}}, 2),
    ({"validator": {"$or": [{"$text": {"$search": "x"}}, {"a": 1}]}}, 2),
    ({"validator": {"$where": "true"}}, 2),
    ({"nonsense": 1}, 40415),
])
def test_options_that_are_refused(db: Any, options: dict[str, Any], code: int) -> None:
    assert code_of(db, {"create": "bad", **options}) == code


def test_a_collection_said_not_to_be_capped_may_be_of_any_kind(db: Any) -> None:
    db.command("create", "t", capped=False, timeseries={"timeField": "t"})
    db.command("create", "v", capped=False, viewOn="t", pipeline=[])
    found = db.list_collections(filter={"name": {"$in": ["t", "v"]}})
    kinds = {one["name"]: one["type"] for one in found}
    assert kinds == {"t": "timeseries", "v": "view"}
    code = code_of(db, {"create": "u", "capped": True, "size": 9, "timeseries": {"timeField": "t"}})
    assert code == 72


def test_views_over_views_their_cycles_and_collation(db: Any) -> None:
    db.c.insert_many([{"_id": 1, "a": "x"}, {"_id": 2, "a": "X"}])
    folded = {"locale": "en", "strength": 1}
    db.command("create", "v1", viewOn="c", pipeline=[{"$match": {"_id": {"$gt": 1}}}])
    db.command("create", "v2", viewOn="v1", pipeline=[{"$set": {"b": 1}}])
    db.command("create", "v3", viewOn="c", collation=folded)
    assert list(db.v2.find()) == [{"_id": 2, "a": "X", "b": 1}]
    assert db.v3.count_documents({"a": "x"}) == 2
    assert code_of(db, {"collMod": "v1", "viewOn": "v2", "pipeline": []}) == 5
    assert code_of(db, {"create": "v4", "viewOn": "v4"}) == 5
    assert code_of(db, {"create": "v4", "viewOn": "v1", "collation": folded}) == 167
    assert code_of(db, {"create": "v4", "viewOn": "v3"}) == 167
    with pytest.raises(OperationFailure) as caught:
        list(db.v3.find({"a": "x"}, collation={"locale": "fr"}))
    assert caught.value.code == 167
    for command in (
        {"insert": "v1", "documents": [{}]}, {"createIndexes": "v1", "indexes": [
            {"key": {"a": 1}, "name": "a"}]}, {"validate": "v1"}, {"collStats": "v1"},
        {"convertToCapped": "v1", "size": 10},
    ):
        assert code_of(db, command) == 166
    assert code_of(db, {"collMod": "v1", "validator": {}}) == 72
    assert code_of(db, {"collMod": "c", "viewOn": "x", "pipeline": []}) == 72


def test_validation_actions(server: Server, db: Any) -> None:
    db.create_collection("c", validator={"a": {"$gt": 0}}, validationAction="errorAndLog")
    with pytest.raises(WriteError) as refused:
        db.c.insert_one({"a": 0})
    assert refused.value.code == 121
    db.command("collMod", "c", validationAction="warn")
    db.c.insert_one({"a": -7654321})
    lines = [line for line in server.log_text().splitlines() if db.c.full_name in line]
    logged = [line for line in lines if '"id":20294' in line]
    assert len(logged) == 2
    assert "7654321" not in "".join(logged)
    db.command("collMod", "c", validationAction="error", validationLevel="moderate")
    db.c.update_one({"a": -7654321}, {"$set": {"a": -1}})
    db.c.insert_one({"_id": "fine", "a": 1})
    with pytest.raises(WriteError) as failed:
        db.c.update_one({"_id": "fine"}, {"$set": {"a": -1}})
    details = failed.value.details["errInfo"]
    assert details["failingDocumentId"] == "fine"
    assert details["details"]["operatorName"] == "$gt"


def test_a_capped_collection_is_resized(db: Any) -> None:
    db.create_collection("ring", capped=True, size=4096, max=10)
    db.ring.insert_many({"_id": n} for n in range(20))
    assert [d["_id"] for d in db.ring.find()] == list(range(10, 20))
    db.command("collMod", "ring", cappedMax=3, cappedSize=8192)
    db.ring.insert_one({"_id": 20})
    assert [d["_id"] for d in db.ring.find()] == [18, 19, 20]
    assert db.ring.options() == {"capped": True, "size": 8192, "max": 3}
    assert code_of(db, {"collMod": "nowhere", "cappedMax": 3}) == 26
    db.plain.insert_one({})
    assert code_of(db, {"collMod": "plain", "cappedMax": 3}) == 72


def test_names_that_differ_in_case_only(client: Any, db: Any, member_db: Any) -> None:
    for found in (db, member_db):
        found.c.insert_one({})
        other = found.client[found.name.upper()]
        for command in ({"insert": "c", "documents": [{}]}, {"create": "c"}):
            with pytest.raises(OperationFailure) as caught:
                other.command(command)
            assert caught.value.code == 13297
    db["C"].insert_one({"_id": 1})
    db.c.insert_one({"_id": 2})
    assert db["C"].count_documents({}) == 1


@pytest.mark.parametrize("name", ["a$b", ".a", "a.", "system.nonsense", "x" * 300])
def test_names_that_no_collection_may_have(db: Any, name: str) -> None:
    assert code_of(db, {"create": name}) == 73
    assert code_of(db, {"insert": name, "documents": [{}]}) == 73


def test_any_other_name_is_kept_over_files(client: Any, db: Any) -> None:
    names = ["a/b", "con", "ünïcødé", "..x", "A", "a", "x" * 100, "a b", "50%", "emoji😀", "~"]
    names = [name for name in names if not name.startswith(".")]
    for name in names:
        db[name].insert_one({"_id": name})
    client.admin.command("fsync")
    assert sorted(db.list_collection_names()) == sorted(names)
    assert [db[name].find_one()["_id"] for name in names] == names


def test_rename_between_databases(client: Any, db: Any) -> None:
    db.c.insert_many({"_id": n, "a": n} for n in range(5))
    db.c.create_index("a")
    other = client[f"{db.name}_other"]
    try:
        client.admin.command("renameCollection", db.c.full_name, to=f"{other.name}.d")
        assert db.list_collection_names() == []
        assert other.d.count_documents({"a": {"$gte": 2}}, hint="a_1") == 3
    finally:
        client.drop_database(other.name)
