"""Managing indexes: what conflicts, conversion to unique, progress of builds, dropping."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from pymongo import ASCENDING, IndexModel, MongoClient
from pymongo.database import Database
from pymongo.errors import OperationFailure
from servers import Server

Db = Database[dict[str, Any]]


def code_of(call: Any) -> int:
    with pytest.raises(OperationFailure) as caught:
        call()
    return int(caught.value.code or 0)


def test_an_index_becomes_unique_in_two_steps(db: Db) -> None:
    db.apples.insert_many([
        {"_id": 1, "type": "Delicious"}, {"_id": 2, "type": "Macintosh"},
        {"_id": 3, "type": "Delicious"}, {"_id": 4, "type": "Fuji"}])
    db.apples.create_index("type")
    pattern = {"keyPattern": {"type": 1}}
    unprepared = {"collMod": "apples", "index": {**pattern, "unique": True}}
    assert code_of(lambda: db.command(unprepared)) == 72
    reply = db.command({"collMod": "apples", "index": {**pattern, "prepareUnique": True}})
    assert (reply["prepareUnique_old"], reply["prepareUnique_new"]) == (False, True)
    assert code_of(lambda: db.apples.insert_one({"type": "Delicious"})) == 11000
    assert code_of(lambda: db.apples.update_one({"_id": 4}, {"$set": {"type": "Macintosh"}})) == (
        11000)
    for dry in ({"dryRun": True}, {}):
        with pytest.raises(OperationFailure) as caught:
            db.command({**unprepared, **dry})
        assert caught.value.code == 359
        assert caught.value.details is not None
        assert caught.value.details["codeName"] == "CannotConvertIndexToUnique"
        assert caught.value.details["violations"] == [{"ids": [1, 3]}]
    db.apples.delete_one({"_id": 3})
    db.command({**unprepared, "dryRun": True})
    assert "unique" not in db.apples.index_information()["type_1"]
    assert db.command(unprepared)["unique_new"] is True
    info = db.apples.index_information()["type_1"]
    assert info["unique"] is True
    assert "prepareUnique" not in info
    assert code_of(lambda: db.apples.insert_one({"type": "Fuji"})) == 11000
    off = {"collMod": "apples", "index": {**pattern, "unique": False}}
    assert code_of(lambda: db.command(off)) == 72
    strange = {"collMod": "apples", "index": {**pattern, "sparse": True}}
    assert code_of(lambda: db.command(strange)) == 40415
    both = {"collMod": "apples", "index": {**pattern, "name": "type_1", "hidden": True}}
    assert code_of(lambda: db.command(both)) == 72


WRONG: list[tuple[dict[str, Any], int]] = [
    ({"expireAfterSeconds": "x"}, 14), ({"expireAfterSeconds": -1}, 72),
    ({"expireAfterSeconds": float("nan")}, 72), ({"expireAfterSeconds": 2**31}, 72),
    ({"hidden": "x"}, 14), ({"unique": "x"}, 14), ({"prepareUnique": {}}, 14),
]  # fmt: skip


def test_changes_of_the_wrong_kind_do_not_reach_the_log(fresh_server: Server) -> None:
    with MongoClient[dict[str, Any]](fresh_server.uri) as client:
        client.db.c.create_index("d", name="d_1", expireAfterSeconds=5)
        for change, code in WRONG:
            command = {"collMod": "c", "index": {"name": "d_1", **change}}
            assert code_of(lambda command=command: client.db.command(command)) == code
        client.db.c.insert_one({"_id": 1})
    fresh_server.kill()
    fresh_server.start()
    with MongoClient[dict[str, Any]](fresh_server.uri) as client:
        assert client.db.c.find_one() == {"_id": 1}
        assert client.db.c.index_information()["d_1"]["expireAfterSeconds"] == 5


CONFLICTS = [
    ({"key": {"a": 1}, "name": "other"}, 85),
    ({"key": {"a": 1}, "name": "a_1", "unique": True}, 86),
    ({"key": {"b": 1}, "name": "a_1"}, 86),
    ({"key": {"a": 1}, "name": "a_1", "expireAfterSeconds": 5}, 85),
    ({"key": {"a": 1}, "name": "a_1", "sparse": True}, 86),
    ({"key": {"a": 1}, "name": "a_1", "collation": {"locale": "de"}}, 86),
]


@pytest.mark.parametrize(("spec", "code"), CONFLICTS)
def test_conflicts(db: Db, spec: Any, code: int) -> None:
    db.c.create_index("a")
    assert code_of(lambda: db.command("createIndexes", "c", indexes=[spec])) == code
    assert sorted(db.c.index_information()) == ["_id_", "a_1"]


ALLOWED = [
    {"key": {"a": 1}, "name": "german", "collation": {"locale": "de"}},
    {"key": {"a": 1}, "name": "unique", "unique": True},
    {"key": {"a": 1}, "name": "sparse", "sparse": True},
    {"key": {"a": 1}, "name": "part", "partialFilterExpression": {"a": {"$gt": 5}}},
    {"key": {"a": -1}, "name": "down"},
]


@pytest.mark.parametrize("spec", ALLOWED)
def test_different_enough(db: Db, spec: Any) -> None:
    db.c.create_index("a")
    db.command("createIndexes", "c", indexes=[spec])
    assert len(db.c.index_information()) == 3


def test_text_and_2d_do_not_take_a_collation_over(db: Db) -> None:
    db.create_collection("c", collation={"locale": "en", "strength": 2})
    for kind in ("text", "2d"):
        index = {"key": {"a": kind}, "name": kind}
        assert code_of(lambda: db.command("createIndexes", "c", indexes=[index])) == 67  # noqa: B023
        simple = {**index, "collation": {"locale": "simple"}}
        for _ in range(2):
            db.command("createIndexes", "c", indexes=[simple])
    other = {**index, "name": "x", "key": {"b": "text"}, "collation": {"locale": "de"}}
    assert code_of(lambda: db.command("createIndexes", "c", indexes=[other])) == 67
    assert set(db.c.index_information()) == {"_id_", "text", "2d"}


def test_all_indexes_of_a_command_or_none(db: Db) -> None:
    db.c.insert_many([{"a": 1, "b": 1}, {"a": 2, "b": 1}])
    models = [IndexModel("a"), IndexModel("b", unique=True)]
    assert code_of(lambda: db.c.create_indexes(models)) == 11000
    assert list(db.c.index_information()) == ["_id_"]
    wrong = [IndexModel("a"), IndexModel([("b", "nonsense")])]
    assert code_of(lambda: db.c.create_indexes(wrong)) == 67
    assert list(db.c.index_information()) == ["_id_"]
    assert db.c.create_indexes([IndexModel("a"), IndexModel("b")]) == ["a_1", "b_1"]


def test_sixty_four_indexes(db: Db) -> None:
    db.c.create_indexes([IndexModel(f"f{n}") for n in range(63)])
    assert code_of(lambda: db.c.create_index("more")) == 67
    assert len(db.c.index_information()) == 64


QUORUMS = [(1, 0), ("majority", 0), ("votingMembers", 0), (0, 0), (7, 278), ("x", 79), (-1, 9)]


@pytest.mark.parametrize(("quorum", "code"), QUORUMS)
def test_commit_quorum(db: Db, quorum: Any, code: int) -> None:
    command = {"createIndexes": "c", "indexes": [{"key": {"a": 1}, "name": "a"}],
               "commitQuorum": quorum}  # fmt: skip
    if code:
        assert code_of(lambda: db.command(command)) == code
    else:
        assert db.command(command)["numIndexesAfter"] == 2


DROPS = [("a_1", ["b_1", "c_1"]), ({"b": 1}, ["a_1", "c_1"]), (["a_1", "c_1"], ["b_1"]),
         ("*", [])]  # fmt: skip


@pytest.mark.parametrize(("target", "left"), DROPS)
def test_dropping(db: Db, target: Any, left: list[str]) -> None:
    db.c.create_indexes([IndexModel("a"), IndexModel("b"), IndexModel("c")])
    assert db.command("dropIndexes", "c", index=target)["nIndexesWas"] == 4
    assert sorted(db.c.index_information()) == sorted(["_id_", *left])


BAD_DROPS = [("none", 27), ({"x": 1}, 27), (["a_1", "none"], 27), ("_id_", 72), ({"_id": 1}, 72),
             (5, 14), (["a_1", 5], 14)]  # fmt: skip


@pytest.mark.parametrize(("target", "code"), BAD_DROPS)
def test_wrong_drops_drop_nothing(db: Db, target: Any, code: int) -> None:
    db.c.create_index("a")
    assert code_of(lambda: db.command("dropIndexes", "c", index=target)) == code
    assert sorted(db.c.index_information()) == ["_id_", "a_1"]


def test_index_stats_count_uses(db: Db) -> None:
    db.c.insert_many([{"a": n} for n in range(10)])
    db.c.create_index("a")
    list(db.c.find({"a": 5}))
    db.c.update_one({"a": 5}, {"$set": {"b": 1}})
    stats = {row["name"]: row for row in db.c.aggregate([{"$indexStats": {}}])}
    assert stats["a_1"]["accesses"]["ops"] == 2
    assert stats["_id_"]["accesses"]["ops"] == 0
    assert stats["a_1"]["spec"]["key"] == {"a": 1}
    assert "building" not in stats["a_1"]


def test_a_build_shows_its_progress_and_lets_others_work(
    client: MongoClient[dict[str, Any]], db: Db
) -> None:
    words = " ".join(f"word{n}" for n in range(40))
    db.big.insert_many([{"_id": n, "text": f"{words} {n}", "n": n} for n in range(4000)])
    failed: list[Exception] = []

    def build() -> None:
        try:
            db.big.create_index([("text", "text")])
        except OperationFailure as error:
            failed.append(error)

    builder = threading.Thread(target=build)
    builder.start()
    seen: list[dict[str, Any]] = []
    written = 0
    while builder.is_alive():
        running = client.admin.aggregate([{"$currentOp": {}}])
        seen += [op for op in running if "progress" in op]
        db.big.insert_one({"_id": 10_000 + written, "text": "later words", "n": -1})
        written += 1
    builder.join()
    assert not failed
    assert seen, "no progress was seen"
    assert all(op["progress"]["done"] <= op["progress"]["total"] for op in seen)
    assert "Index Build" in seen[0]["msg"]
    assert db.big.count_documents({"$text": {"$search": "later"}}) == written
    assert db.big.count_documents({"$text": {"$search": "word7"}}) == 4000
    assert db.command("validate", "big")["valid"]


def test_a_build_can_be_timed_out(db: Db) -> None:
    words = " ".join(f"word{n}" for n in range(100))
    db.big.insert_many([{"text": words} for _ in range(1500)])
    command = {"createIndexes": "big", "indexes": [{"key": {"text": "text"}, "name": "t"}],
               "maxTimeMS": 50}  # fmt: skip
    assert code_of(lambda: db.command(command)) == 50
    assert list(db.big.index_information()) == ["_id_"]
    db.big.create_index([("n", ASCENDING)])
