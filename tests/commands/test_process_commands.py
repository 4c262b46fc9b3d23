"""Commands about a process: `shutdown`, `logRotate`, sessions, and looks into a member."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import gridfs
import pytest
from pymongo import MongoClient
from pymongo.errors import AutoReconnect, OperationFailure
from servers import Server


@pytest.mark.parametrize("role", ["up", "shardsvr"])
def test_shutdown_ends_the_process_cleanly(tmp_path: Path, role: str) -> None:
    with Server([role, "--dbpath", str(tmp_path / "data")], tmp_path / "data") as server:
        with MongoClient(server.uri) as client:
            client.test.c.insert_one({"_id": 1})
            for bad, code in (({"shutdown": 1, "timeoutSecs": -1}, 2),):
                with pytest.raises(OperationFailure) as caught:
                    client.admin.command(bad)
                assert caught.value.code == code
            with pytest.raises(OperationFailure) as caught:
                client.test.command("shutdown")
            assert caught.value.code == 13
            with pytest.raises(AutoReconnect):
                client.admin.command("shutdown")
        assert server.process is not None
        assert server.process.wait(10) == 0


def test_log_rotate(tmp_path: Path) -> None:
    log = tmp_path / "psdb.log"
    arguments = ["up", "--dbpath", str(tmp_path / "data"), "--logpath", str(log)]
    server = Server(arguments, tmp_path / "data")
    server.log_path = log
    with server, MongoClient(server.uri) as client:
        client.admin.command("logRotate", 1)
        client.admin.command("logRotate", "server")
        for bad, code in (("audit", 344), ("nonsense", 4)):
            with pytest.raises(OperationFailure) as caught:
                client.admin.command("logRotate", bad)
            assert caught.value.code == code
        assert any("Waiting for connections" in f.read_text() for f in tmp_path.glob("psdb.log.*"))


def test_kill_all_sessions_closes_their_cursors(fresh_server: Server) -> None:
    with MongoClient(fresh_server.uri) as client, MongoClient(fresh_server.uri) as other:
        client.test.c.insert_many({"_id": n} for n in range(10))
        for command in ({"killAllSessions": []}, {"killAllSessionsByPattern": []}):
            cursor = client.test.c.find({}, batch_size=2)
            next(cursor)
            other.admin.command(command)
            with pytest.raises(OperationFailure) as caught:
                list(cursor)
            assert caught.value.code == 43
        with client.start_session() as mine, client.start_session() as theirs:
            kept, killed = (
                client.test.c.find({}, batch_size=2, session=session) for session in (mine, theirs)
            )
            next(kept)
            next(killed)
            pattern = {"lsid": {"id": theirs.session_id["id"]}}
            other.admin.command("killAllSessionsByPattern", [pattern])
            assert len(list(kept)) == 9
            with pytest.raises(OperationFailure):
                list(killed)


def test_file_md5(db: Any) -> None:
    data = b"0123456789" * 1000
    files = gridfs.GridFS(db)
    number = files.put(data, chunkSize=3000)
    reply = db.command("filemd5", number, root="fs")
    assert (reply["numChunks"], reply["md5"]) == (4, hashlib.md5(data).hexdigest())
    db.fs.chunks.delete_one({"n": 1})
    with pytest.raises(OperationFailure, match="should have chunk: 1 have:2"):
        db.command("filemd5", number, root="fs")


def test_lock_info(member_client: Any, member_db: Any) -> None:
    admin = member_client.admin
    assert admin.command("lockInfo")["lockInfo"] == []
    writer = threading.Thread(target=lambda: member_db.c.insert_one({}))
    admin.command("fsync", lock=True)
    try:
        writer.start()
        pending: list[Any] = []
        while not pending:
            (row,) = admin.command("lockInfo")["lockInfo"]
            pending = row["pending"]
        assert row["granted"][0]["mode"] == "S"
    finally:
        admin.command("fsyncUnlock")
        writer.join(10)


def test_validate_db_metadata(db: Any) -> None:
    db.create_collection("sound", validator={"a": {"$gt": 1}})
    db.create_collection("view", viewOn="sound", pipeline=[{"$indexStats": {}}])
    api = {"version": "1", "strict": True}
    reply = db.command("validateDBMetadata", 1, apiParameters=api, db=db.name)
    (error,) = reply["apiVersionErrors"]
    assert (error["ns"], error["code"]) == (f"{db.name}.view", 323)
    loose = {"version": "1", "strict": False}
    assert db.command("validateDBMetadata", 1, apiParameters=loose, db=db.name)[
        "apiVersionErrors"] == []


def test_set_index_commit_quorum_needs_a_build(db: Any) -> None:
    db.c.create_index("a")
    with pytest.raises(OperationFailure) as caught:
        db.command("setIndexCommitQuorum", "c", indexNames=["a_1"], commitQuorum=1)
    assert caught.value.code == 27


def test_old_spellings_of_commands(db: Any) -> None:
    db.c.insert_one({"_id": 1, "a": 2})
    emit, total = "function() { emit(this.a, 1); }", "function(k, v) { return Array.sum(v); }"
    reply = db.command("mapreduce", "c", map=emit, reduce=total, out={"inline": 1})
    assert reply["results"] == [{"_id": 2.0, "value": 1.0}]
    assert db.command("collstats", "c")["count"] == 1
    assert db.command("datasize", f"{db.name}.c")["numObjects"] == 1
    reply = db.command("findandmodify", "c", query={}, update={"$set": {"a": 3}}, new=True)
    assert reply["value"]["a"] == 3
    db.client.admin.command("enablesharding", db.name)
    db.client.admin.command("shardcollection", f"{db.name}.c", key={"_id": 1})
    reply = db.command("mapreduce", "c", map=emit, reduce=total, out={"inline": 1})
    assert reply["results"] == [{"_id": 3.0, "value": 1.0}]
    with pytest.raises(OperationFailure, match=r"movePrimary\.to"):
        db.client.admin.command("moveprimary", db.name)


def test_a_router_counts_cursors_that_live_on_shards(fresh_server: Server) -> None:
    with MongoClient(fresh_server.uri) as client:
        client.test.c.insert_many({} for _ in range(5))

        def counts() -> tuple[int, int, int]:
            cursors = client.admin.command("serverStatus")["metrics"]["cursor"]
            return cursors["open"]["total"], cursors["open"]["singleTarget"], cursors["totalOpened"]

        assert counts() == (0, 0, 0)
        with client.test.c.find(batch_size=2) as cursor:
            next(cursor)
            assert counts() == (1, 1, 1)
        assert counts() == (0, 0, 1)


def test_all_nodes_of_the_process_name_the_port_that_is_served(
    db: Any, server: Server
) -> None:
    db.c.insert_one({})
    (row,) = db.c.aggregate([{"$indexStats": {}}])
    assert row["host"] == f"localhost:{server.port}"


@pytest.mark.parametrize("name", ["addShard", "enableSharding", "shardCollection", "split"])
def test_a_member_does_not_know_the_commands_of_routers(member_client: Any, name: str) -> None:
    with pytest.raises(OperationFailure) as caught:
        member_client.admin.command(name, "a.b")
    assert (caught.value.code, caught.value.details["codeName"]) == (59, "CommandNotFound")
