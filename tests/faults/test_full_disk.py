"""A real disk that is really full: a small file system in memory, filled by inserts."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cluster.up import wait_until
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from servers import Server

MEGABYTES = 12
BALLAST_BYTES = 7 * 2**20
BATCH = 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes; making one needs root."""
    if os.geteuid() != 0:
        pytest.skip("a file system of a bounded size is mounted by root only")
    where = tmp_path / "disk"
    where.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(where)],
        capture_output=True, text=True, check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield where
    subprocess.run(["umount", "-l", str(where)], check=True)


def refusal(write: Callable[[], Any]) -> tuple[int | None, str]:
    with pytest.raises(OperationFailure) as caught:
        write()
    details: Any = caught.value.details
    assert "no space left on device" in details["errmsg"]
    return caught.value.code, details["codeName"]


def test_a_full_disk_refuses_writes_and_loses_nothing(small_disk: Path, tmp_path: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(BALLAST_BYTES))

    def server(name: str) -> Server:
        described = Server.up(small_disk / "db")
        described.log_path = tmp_path / f"{name}.log"
        return described

    acknowledged: list[int] = []
    with server("fills") as running, MongoClient[dict[str, Any]](running.uri) as client:
        coll = client.shop.c
        coll.create_index("n")

        def fill() -> None:
            while len(acknowledged) < 100_000:
                ids = list(range(len(acknowledged), len(acknowledged) + BATCH))
                coll.insert_many({"_id": i, "n": i % 7, "filler": "x" * 2000} for i in ids)
                acknowledged.extend(ids)

        full = (14031, "OutOfDiskSpace")
        assert refusal(fill) == full
        assert len(acknowledged) > 10 * BATCH
        for command in (
            {"insert": "c", "documents": [{"_id": -1}]},
            {"update": "c", "updates": [{"q": {}, "u": {"$set": {"x": 1}}}]},
            {"delete": "c", "deletes": [{"q": {}, "limit": 1}]},
            {"createIndexes": "c", "indexes": [{"key": {"filler": 1}, "name": "filler_1"}]},
            {"create": "other"},
            {"drop": "c"},
        ):
            assert refusal(partial(client.shop.command, command)) == full
        # Reads go on, by scan and by index.
        seen = {row["_id"] for row in coll.find({}, {"_id": 1})}
        assert seen >= set(acknowledged)
        assert coll.count_documents({"n": 3}) == sum(i % 7 == 3 for i in seen)
        client.close()  # it would look for its server to end its session
        running.kill()
    ballast.unlink()
    with server("has_room") as running, MongoClient[dict[str, Any]](running.uri) as client:
        coll = client.shop.c
        held = {row["_id"] for row in coll.find({}, {"_id": 1})}
        # Nothing acknowledged is lost; what was sent and refused may be there or not.
        assert set(acknowledged) <= held <= seen
        report = client.shop.command("validate", "c", full=True)
        assert (report["valid"], report["errors"]) == (True, [])
        assert report["keysPerIndex"] == {"_id_": len(held), "n_1": len(held)}
        coll.insert_one({"_id": -1})
        client.close()
        assert running.stop() == 0


def test_a_server_that_cannot_save_at_its_end_says_so(small_disk: Path, tmp_path: Path) -> None:
    running = Server.up(small_disk / "db")
    running.log_path = tmp_path / "end.log"
    with running, MongoClient[dict[str, Any]](running.uri) as client:
        client.shop.c.insert_many({"_id": i, "filler": "x" * 2000} for i in range(200))
        free = os.statvfs(small_disk)
        room = free.f_bavail * free.f_frsize
        (small_disk / "ballast").write_bytes(bytes(room - 100_000))
        client.close()
        assert running.stop() == 1
    log = running.log_path.read_text()
    assert "The last checkpoint failed" in log
    assert "Traceback" not in log
    (small_disk / "ballast").unlink()
    with running, MongoClient[dict[str, Any]](running.uri) as client:
        assert client.shop.c.count_documents({}) == 200
        client.close()
        assert running.stop() == 0


def test_a_replica_set_goes_on_when_its_primarys_disk_is_full(
    small_disk: Path, tmp_path: Path
) -> None:
    """No client is told of it, and the member comes back when it has room again."""
    folders = [small_disk / "db", tmp_path / "m1", tmp_path / "m2"]
    members = [
        Server(["shardsvr", "--replSet", "rs0", "--dbpath", str(folder)], folder)
        for folder in folders
    ]
    for number, member in enumerate(members):
        member.log_path = tmp_path / f"m{number}.log"
    (small_disk / "ballast").write_bytes(bytes(BALLAST_BYTES))
    with contextlib.ExitStack() as stack:
        for member in members:
            stack.enter_context(member)
        hosts = [f"127.0.0.1:{member.port}" for member in members]
        with MongoClient[dict[str, Any]](hosts[0], directConnection=True) as first:
            first.admin.command("replSetInitiate", {"_id": "rs0", "members": [
                {"_id": number, "host": host, "priority": 3 - number}
                for number, host in enumerate(hosts)
            ]})  # fmt: skip
        client = stack.enter_context(
            MongoClient[dict[str, Any]](",".join(hosts), replicaSet="rs0", socketTimeoutMS=30_000)
        )
        coll = client.shop.c
        written = 0
        while client.primary in (None, ("127.0.0.1", members[0].port)) or not written % 20:
            coll.insert_one({"_id": written, "filler": "x" * 10_000})
            written += 1
            assert written < 2000, "the disk never filled up"
        assert "no space left on device" in members[0].log_text()
        members[0].kill()
        (small_disk / "ballast").unlink()
        members[0].start()
        wait_until("the member is back", lambda: len(client.secondaries) == 2)
        assert [row["_id"] for row in coll.find({}, {"_id": 1}, sort=[("_id", 1)])] == [
            *range(written)
        ]
        client.close()
        for member in members:
            member.kill()
