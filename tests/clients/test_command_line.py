"""What the command line does with mistakes and signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from servers import Server

from psdb.layout import Layout, Shape
from psdb.options import as_document, parse
from psdb.serve import store_options
from psdb.supervisor import command_line

ROOT = Path(__file__).resolve().parents[2]


def psdb(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "psdb", *arguments], capture_output=True, text=True, timeout=20,
        cwd=ROOT, check=False,
    )


def test_mistakes_end_with_one_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    cases = [
        (("up", "--port", "0", "--dbpath", str(file)), 100),
        (("up", "--port", "0", "--dbpath", str(tmp_path), "--logpath", "/nonexistent/x"), 1),
        (("router", "--configdb", "nonsense"), 2),
        (("ping", "localhost:x"), 2),
    ]
    for arguments, code in cases:
        done = psdb(*arguments)
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(("flag", "value"), [
    ("--cacheSizeMB", "0"), ("--cacheSizeMB", "1.5"), ("--wiredTigerCacheSizeGB", "0.1"),
    ("--wiredTigerCacheSizeGB", "x"), ("--oplogSize", "-3"), ("--oplogMinRetentionHours", "-1"),
])  # fmt: skip
def test_storage_flags_out_of_range(
    flag: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["shardsvr", flag, value])
    assert ended.value.code == 2
    assert flag in capsys.readouterr().err


def test_storage_flags_reach_the_store_and_getcmdlineopts() -> None:
    argv = ["up", "--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "5",
            "--oplogMinRetentionHours", "1.5"]
    options = parse(argv)
    settings = store_options(options)
    assert settings.cache_bytes == 2**28
    assert settings.oplog_bytes == 5 * 2**20
    assert settings.oplog_retention_ms == 5_400_000
    shown = as_document(options, argv)
    assert shown["storage"]["wiredTiger"] == {"engineConfig": {"cacheSizeGB": 0.25}}
    assert shown["replication"] == {"oplogSizeMB": 5}
    assert store_options(parse(["up", "--cacheSizeMB", "7"])).cache_bytes == 7 * 2**20
    assert store_options(parse(["up"])).cache_bytes >= 256 * 2**20


def test_storage_flags_reach_the_processes_of_a_cluster(tmp_path: Path) -> None:
    options = parse(["up", "--shards", "2", "--cacheSizeMB", "7", "--oplogSize", "5"])
    ports = iter(range(1000, 2000))
    shape = Shape(shards=2)
    layout = Layout.plan(tmp_path, shape, 0, lambda: next(ports))
    for process in layout.processes:
        line = " ".join(command_line(options, layout, process))
        assert ("--cacheSizeMB 7 --oplogSize 5" in line) == (process.role != "router")


def test_a_router_has_no_storage_flags() -> None:
    with pytest.raises(SystemExit):
        parse(["router", "--configdb", "h:1", "--cacheSizeMB", "5"])


def test_a_small_cache_serves_all_documents(tmp_path: Path) -> None:
    count = 12_000
    with Server.up(tmp_path / "d", "--cacheSizeMB", "1") as server:
        client: MongoClient[Any] = MongoClient(server.uri)
        things = client.db.things
        things.create_index("n")
        things.insert_many({"_id": i, "n": i % 100, "pad": "x" * 200} for i in range(count))
        client.admin.command("fsync")
        before = [things.count_documents({"pad": {"$gt": ""}}), len(list(things.find({"n": 7})))]
        client.close()
    with Server.up(tmp_path / "d", "--cacheSizeMB", "1") as server:
        client = MongoClient(server.uri)
        things = client.db.things
        assert [
            things.count_documents({"pad": {"$gt": ""}}), len(list(things.find({"n": 7})))
        ] == before == [count, count // 100]
        for i in range(0, count, 997):
            things.update_one({"_id": i}, {"$inc": {"n": 1}})
            assert things.find_one({"_id": i}) == {"_id": i, "n": i % 100 + 1, "pad": "x" * 200}
        client.close()
    with Server(["shardsvr", "--dbpath", str(tmp_path / "d/shard0"), "--cacheSizeMB", "1"],
                tmp_path / "d/shard0") as shard:
        client = MongoClient(shard.uri, directConnection=True)
        assert len(list(client.db.things.find())) == count
        cache = client.admin.command("serverStatus")["storageEngine"]["cache"]
        assert cache["maxBytes"] == 2**20
        assert cache["coldRecords"] > count // 2
        assert cache["recordBytes"] < 2 * 2**20
        assert cache["indexBytes"] > 0
        client.close()


@pytest.mark.slow
def test_sigusr1_begins_a_new_log_file(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    process = subprocess.Popen(
        [sys.executable, "-m", "psdb", "up", "--port", "0", "--dbpath", str(tmp_path / "d"),
         "--logpath", str(log)], cwd=ROOT, stdout=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: log.exists() and "Waiting for connections" in log.read_text())
        os.kill(process.pid, signal.SIGUSR1)
        wait_for(lambda: len(list(tmp_path.glob("server.log*"))) == 2)
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def wait_for(condition: object) -> None:
    deadline = time.monotonic() + 20
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_counting_decodes_nothing(server: Server) -> None:
    with MongoClient(server.uri) as client:
        client.counting.c.drop()
        client.counting.c.insert_many({"_id": i, "v": i % 3} for i in range(500))
        assert client.counting.c.count_documents({}) == 500
        assert client.counting.c.count_documents({}, skip=10, limit=20) == 20
        assert client.counting.c.count_documents({"v": 1}) == 167
