"""`psdb backup` and `psdb restore`: of running and stopped servers, of one and of a cluster."""

from __future__ import annotations

import contextlib
import io
import threading
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from servers import Server

from psdb.cli import main


def psdb(*arguments: str) -> tuple[int, str]:
    """Run the tool; return its exit code and all it said."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main(list(arguments))
    return code, said.getvalue()


def good(*arguments: str) -> str:
    code, said = psdb(*arguments)
    assert code == 0, said
    return said


def fill(client: MongoClient[Any]) -> None:
    client.one.c.insert_many({"_id": n, "text": "x" * (n % 50)} for n in range(2000))
    client.one.c.create_index("text")
    client.two.ring.drop()
    client.two.create_collection("ring", capped=True, size=10_000)
    client.two.ring.insert_many({"_id": n} for n in range(10))
    client.one.command("create", "view", viewOn="c", pipeline=[{"$limit": 3}])


def state(client: MongoClient[Any]) -> dict[str, Any]:
    return {
        f"{db}.{name}": sorted((str(d) for d in client[db][name].find()), key=str)
        for db in ("one", "two") for name in sorted(client[db].list_collection_names())
        if name != "system.views"
    }


def test_a_cluster_is_copied_while_it_is_written(tmp_path: Path) -> None:
    server = Server.up(tmp_path / "data")
    with server, MongoClient(server.uri) as client:
        fill(client)
        stop = threading.Event()

        def write() -> None:
            number = 10_000
            while not stop.is_set():
                client.one.c.insert_one({"_id": number})
                client.two.pairs.insert_one({"_id": number})
                number += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            out = good("backup", str(tmp_path / "copy"), "--uri", server.uri)
        finally:
            stop.set()
            writer.join()
        assert "shard0" in out
    good("restore", str(tmp_path / "copy"), "--dbpath", str(tmp_path / "new"))
    with Server.up(tmp_path / "new") as restored, MongoClient(restored.uri) as client:
        assert client.one.c.count_documents({"_id": {"$lt": 10_000}}) == 2000
        assert client.one.c.count_documents({"text": "x"}, hint="text_1") == 40
        written = client.one.c.count_documents({"_id": {"$gte": 10_000}})
        paired = client.two.pairs.count_documents({})
        assert 0 <= written - paired <= 1, "the copy is of one moment"
        assert [d["_id"] for d in client.two.ring.find()] == list(range(10))
        assert client.one.view.count_documents({}) == 3
        assert client.one.command("validate", "c", full=True)["valid"]
        client.one.c.insert_one({"_id": "new"})


def test_one_member_running_and_stopped(tmp_path: Path) -> None:
    data = tmp_path / "data"
    server = Server(["shardsvr", "--dbpath", str(data)], data)
    with server:
        with MongoClient(server.uri) as client:
            fill(client)
            before = state(client)
            good("backup", str(tmp_path / "hot"), "--uri", server.uri)
            client.one.c.delete_many({})
        assert psdb("backup", str(tmp_path / "locked"), "--dbpath", str(data))[0] == 1
        server.kill()
    good("backup", str(tmp_path / "cold"), "--dbpath", str(data))
    for name, empty in (("hot", False), ("cold", True)):
        new = tmp_path / f"new-{name}"
        good("restore", str(tmp_path / name), "--dbpath", str(new))
        restored = Server(["shardsvr", "--dbpath", str(new)], new)
        with restored, MongoClient(restored.uri) as client:
            if empty:
                assert client.one.c.count_documents({}) == 0
            else:
                assert state(client) == before


def test_damage_and_wrong_places_are_told(tmp_path: Path, server: Server) -> None:
    with MongoClient(server.uri) as client:
        client.backed_up.c.insert_many({"_id": n} for n in range(100))
        good("backup", str(tmp_path / "copy"), "--uri", server.uri)
        client.drop_database("backed_up")
    code, said = psdb("backup", str(tmp_path / "copy"), "--uri", server.uri)
    assert (code, "not an empty folder" in said) == (1, True)
    code, said = psdb("restore", str(tmp_path), "--dbpath", str(tmp_path / "new"))
    assert (code, "no finished backup" in said) == (1, True)
    (file,) = (tmp_path / "copy" / "shard0" / "data" / "backed_up" / "c").glob("*")
    file.write_bytes(file.read_bytes().replace(b'"_id":50', b'"_id":51'))
    code, said = psdb("restore", str(tmp_path / "copy"), "--dbpath", str(tmp_path / "new"))
    assert code == 1
    assert "damaged" in said
    assert file.name in said
