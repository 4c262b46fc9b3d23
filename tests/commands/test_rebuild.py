"""`compact`, `reIndex`, `convertToCapped`, `cloneCollectionAsCapped`, `validate` in depth."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import bson
import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from servers import RawClient, Server


def test_compact_frees_the_file(member_client: Any, member_db: Any) -> None:
    member_db.c.insert_many({"_id": n, "text": "x" * 200} for n in range(500))
    member_client.admin.command("fsync")
    member_db.c.delete_many({"_id": {"$gte": 50}})
    member_client.admin.command("fsync")
    before = member_db.command("collStats", "c")["storageSize"]
    estimate = member_db.command("compact", "c", dryRun=True)["estimatedBytesFreed"]
    freed = member_db.command("compact", "c")["bytesFreed"]
    assert freed > before / 2
    assert abs(estimate - freed) < before / 10
    assert member_db.command("collStats", "c")["storageSize"] == before - freed
    assert member_db.c.count_documents({}) == 50
    assert member_db.command("compact", "c")["bytesFreed"] == 0
    with pytest.raises(OperationFailure) as caught:
        member_db.command("compact", "nowhere")
    assert caught.value.code == 26


def test_compacted_data_survive_a_restart(tmp_path: Path) -> None:
    server = Server(["shardsvr", "--dbpath", str(tmp_path / "data")], tmp_path / "data")
    with server, MongoClient(server.uri) as client:
        client.test.c.insert_many({"_id": n} for n in range(300))
        client.admin.command("fsync")
        client.test.c.delete_many({"_id": {"$lt": 100}})
        assert client.test.command("compact", "c")["bytesFreed"] > 0
    with server, MongoClient(server.uri) as client:
        assert [d["_id"] for d in client.test.c.find()] == list(range(100, 300))
        assert client.test.command("validate", "c", full=True)["valid"]


def test_re_index(member_db: Any) -> None:
    member_db.c.insert_many({"_id": n, "a": n % 7} for n in range(100))
    member_db.c.create_index("a")
    reply = member_db.command("reIndex", "c")
    assert (reply["nIndexesWas"], reply["nIndexes"]) == (2, 2)
    assert [index["name"] for index in reply["indexes"]] == ["_id_", "a_1"]
    assert member_db.c.count_documents({"a": 3}, hint="a_1") == 14
    assert member_db.command("validate", "c")["valid"]


def test_convert_to_capped(db: Any) -> None:
    db.c.insert_many({"_id": n, "text": "x" * 100} for n in range(100))
    db.c.create_index("text")
    db.command("convertToCapped", "c", size=4096)
    assert db.c.options() == {"capped": True, "size": 4096}
    kept = [d["_id"] for d in db.c.find()]
    assert kept == list(range(100 - len(kept), 100))
    assert 20 < len(kept) < 40
    assert list(db.c.index_information()) == ["_id_"]
    assert db.list_collection_names() == ["c"]
    for bad, code in (({"convertToCapped": "nowhere", "size": 10}, 26),
                      ({"convertToCapped": "c"}, 40414)):
        with pytest.raises(OperationFailure) as caught:
            db.command(bad)
        assert caught.value.code == code


def test_writes_wait_for_a_conversion_and_are_not_lost(db: Any) -> None:
    db.c.insert_many({"_id": n} for n in range(3000))
    stop, written = threading.Event(), []

    def write() -> None:
        number = 10_000
        while not stop.is_set():
            db.c.insert_one({"_id": number})
            written.append(number)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        db.command("convertToCapped", "c", size=10_000_000)
    finally:
        stop.set()
        writer.join()
    found = {d["_id"] for d in db.c.find()}
    assert found >= set(written) | set(range(3000))


def test_clone_as_capped(member_db: Any) -> None:
    member_db.c.insert_many({"_id": n} for n in range(10))
    command = {"cloneCollectionAsCapped": "c", "toCollection": "ring", "size": 4096}
    member_db.command(command)
    assert [d["_id"] for d in member_db.ring.find()] == list(range(10))
    assert member_db.ring.options()["capped"] is True
    with pytest.raises(OperationFailure) as caught:
        member_db.command(command)
    assert caught.value.code == 48


def test_a_full_validation_finds_damage_in_the_files(tmp_path: Path) -> None:
    data = tmp_path / "data"
    server = Server(["shardsvr", "--dbpath", str(data)], data)
    with server, MongoClient(server.uri) as client:
        client.test.c.insert_many({"_id": n, "text": "abc"} for n in range(50))
        client.admin.command("fsync")
        assert client.test.command("validate", "c", full=True)["valid"]
        (file,) = (data / "data" / "test" / "c").glob("*.jsonl")
        sound = file.read_bytes()
        file.write_bytes(sound.replace(b"abc", b"abd", 1))
        reply = client.test.command("validate", "c", full=True)
        assert reply["valid"] is False
        assert any("damaged" in error and file.name in error for error in reply["errors"])
        file.write_bytes(sound)
        (journal,) = (data / "journal").glob("*.jsonl")
        sound = journal.read_bytes()
        journal.write_bytes(sound.replace(b'"text":"abc"', b'"text":"abd"', 1))
        reply = client.test.command("validate", "c", full=True)
        journal.write_bytes(sound)
        assert reply["valid"] is False
        assert client.test.command("validate", "c", full=True)["valid"]


def test_bson_conformance(member_server: Server, member_db: Any) -> None:
    sound = {"_id": 1, "a": [1, {"b": 2}]}
    doubled = b"\x10a\x00\x01\x00\x00\x00\x10a\x00\x02\x00\x00\x00"
    raw = bson.encode({"_id": 2})
    raw = (len(raw) + len(doubled)).to_bytes(4, "little") + raw[4:-1] + doubled + b"\x00"
    member_db.c.insert_many([sound, bson.raw_bson.RawBSONDocument(raw)])
    reply = member_db.command("validate", "c", checkBSONConformance=True)
    assert (reply["valid"], reply["nNonCompliantDocuments"]) == (True, 1)
    assert len(reply["warnings"]) == 1
    assert RawClient(("127.0.0.1", member_server.port)).command(
        {"validate": "c", "$db": member_db.name}
    )["nNonCompliantDocuments"] == 0


@pytest.mark.parametrize("command", [
    {"reIndex": "c"}, {"compact": "c"}, {"dbHash": 1}, {"lockInfo": 1},
    {"cloneCollectionAsCapped": "c", "toCollection": "d", "size": 1},
])
def test_a_router_does_not_know_what_members_do(client: Any, command: dict[str, Any]) -> None:
    with pytest.raises(OperationFailure) as caught:
        client.admin.command(command)
    assert caught.value.code == 59


def test_sharded_collections_are_not_made_capped(client: Any, db: Any) -> None:
    client.admin.command("shardCollection", db.c.full_name, key={"_id": 1})
    with pytest.raises(OperationFailure) as caught:
        db.command("convertToCapped", "c", size=1000)
    assert caught.value.code == 20
    db.create_collection("series", timeseries={"timeField": "t", "metaField": "m"})
    with pytest.raises(OperationFailure) as caught:
        client.admin.command("shardCollection", db.series.full_name, key={"m": 1})
    assert caught.value.code == 238
