"""The three roles as processes of their own, and the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pymongo import MongoClient
from servers import Server

ROOT = Path(__file__).resolve().parents[2]


def psdb(*arguments: str, timeout: float = 20) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "psdb", *arguments], capture_output=True, text=True,
        timeout=timeout, cwd=ROOT, check=False,
    )


@pytest.mark.slow
def test_router_shard_and_config_server_as_processes(tmp_path: Path) -> None:
    config = Server(["configsvr", "--dbpath", str(tmp_path / "config")], tmp_path / "config")
    shards = [
        Server(["shardsvr", "--dbpath", str(tmp_path / f"s{i}")], tmp_path / f"s{i}")
        for i in range(2)
    ]
    with config, shards[0], shards[1]:
        router = Server(
            ["router", "--configdb", f"127.0.0.1:{config.port}"], tmp_path / "router"
        )
        with router, MongoClient(router.uri) as client:
            for shard in shards:
                client.admin.command("addShard", f"127.0.0.1:{shard.port}")
            assert len(client.admin.command("listShards")["shards"]) == 2
            for name in ("one", "two", "three"):
                client[name].c.insert_many({"_id": i} for i in range(300))
                assert client[name].c.count_documents({}) == 300
                assert len(list(client[name].c.find({}, batch_size=50))) == 300
            primaries = {d["primary"] for d in client.config.databases.find({})}
            assert len(primaries) == 2, "databases are spread over the shards"
            assert {"one", "two", "three"} <= set(client.list_database_names())
            client.one.c.aggregate([{"$match": {}}, {"$out": "copy"}])
            assert client.one.copy.count_documents({}) == 300
        assert router.process is not None
        assert router.process.returncode == 0
        # A second router learns everything from the config server.
        with Server(
            ["router", "--configdb", f"127.0.0.1:{config.port}"], tmp_path / "router2"
        ) as second, MongoClient(second.uri) as client:
            assert client.two.c.count_documents({}) == 300


def test_ping(server: Server) -> None:
    assert psdb("ping", f"127.0.0.1:{server.port}").returncode == 0
    assert psdb("ping", "127.0.0.1:1").returncode == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("up", "--replicas", "0"), ("up", "--auth"),
        ("shardsvr", "--pidfilepath", "x"), ("router", "--configdb", "x:1", "--keyFile", "k"),
        ("up", "--tlsMode", "requireTLS"), ("up", "--slowOpSampleRate", "2"), ("up", "--nonsense"),
        ("up", "--port", "99999999"), ("up", "--setParameter", "nonsense=1"), (),
    ],
)
def test_flags_not_honoured_exit_2_and_name_themselves(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    extra = ("--dbpath", str(tmp_path)) if arguments[:1] == ("up",) else ()
    done = psdb(*arguments, *extra)
    assert done.returncode == 2, done.stdout + done.stderr
    if len(arguments) > 1:
        flag = arguments[-2] if len(arguments) > 2 else arguments[1]
        named = arguments[-1].split("=")[0] if flag == "--setParameter" else flag
        assert named in done.stderr


def test_a_port_in_use_exits_48(server: Server, tmp_path: Path) -> None:
    done = psdb("up", "--port", str(server.port), "--dbpath", str(tmp_path))
    assert done.returncode == 48


def test_a_dbpath_in_use_is_refused(server: Server) -> None:
    done = psdb("up", "--port", "0", "--dbpath", str(server.dbpath))
    assert done.returncode == 100
    assert "DBPathInUse" in done.stderr or "98" in done.stderr


@pytest.mark.slow
def test_restart_keeps_everything(tmp_path: Path) -> None:
    server = Server.up(tmp_path / "data")
    with server, MongoClient(server.uri) as client:
        client.keep.c.insert_many({"_id": i, "v": i * 1.5} for i in range(1000))
        client.keep.c.create_index("v")
    assert server.process is not None
    assert server.process.returncode == 0
    with server, MongoClient(server.uri) as client:
        assert client.keep.c.count_documents({}) == 1000
        assert "v_1" in client.keep.c.index_information()
        assert client.keep.c.find_one({"v": 15.0})["_id"] == 10
    log = server.log_text()
    assert "Waiting for connections" in log
    assert "transition to primary complete; database writes are now permitted" in log
