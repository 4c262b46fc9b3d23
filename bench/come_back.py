"""How long the primary's loop stands still while a member comes back, by log and by files.

    .venv/bin/python bench/come_back.py [--megabytes 200]

Three members, the longest turn of whose loops is noted (`loop_probe`). Eight clients write all the
while. One member is stopped until it lacks so many megabytes, then it comes back: once the log
still has what it lacks, once that is gone and files are sent. What the same writers cost before
stands beside it. CPU time is what the turn did; the time on the wall has in it what else the
machine had to do. Results: `bench/come_back.json`.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests")]

from replication_kit import free_ports, until  # noqa: E402

RESULTS = ROOT / "bench" / "come_back.json"
WRITERS = 8
BASE_SECONDS = 10.0
FILL_BYTES = 10_000
OPLOG_MEGABYTES = {"by log": 990, "by files": 1}


class Member:
    """A member with a probe in its loop."""

    def __init__(self, folder: Path, number: int, port: int, oplog: int) -> None:
        self.path = folder / f"m{number}"
        self.turns = folder / f"m{number}.turns"
        self.host = f"127.0.0.1:{port}"
        self.log = folder / f"m{number}.log"
        self.arguments = [
            "shardsvr", "--dbpath", str(self.path), "--replSet", "rs0", "--port", str(port),
            "--oplogSize", str(oplog),
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "bench/loop_probe.py"), str(self.turns),
                 *self.arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def stop(self) -> None:
        """Stop it in order."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def longest(self, began: float, ended: float) -> dict[str, Any]:
        """Return the longest turns between two times, and where the loop was seen in them."""
        lines = self.turns.read_text(encoding="utf-8").splitlines()
        rows = [row for row in map(json.loads, lines) if began < row["at"] < ended]
        if not rows:
            return {"cpu_ms": 0, "wall_ms": 0}
        worst = max(rows, key=lambda row: row["cpu"])
        return {
            "cpu_ms": worst["cpu"], "wall_ms": max(row["wall"] for row in rows),
            "turns_above_50_ms_of_cpu": sum(row["cpu"] > 50 for row in rows),
            "gc_ms": worst["gc"], "seen": worst["seen"],
        }


class Writers:
    """Clients that insert and update small documents until they are stopped."""

    def __init__(self, uri: str) -> None:
        self.stopping = False
        self.count = 0
        self._uri = uri
        self._threads = [threading.Thread(target=self._work, args=(n,)) for n in range(WRITERS)]
        for thread in self._threads:
            thread.start()

    def _work(self, number: int) -> None:
        with MongoClient[dict[str, Any]](self._uri) as client:
            while not self.stopping:
                try:
                    client.bench.small.insert_one({"w": number, "text": "x" * 200})
                    client.bench.counts.update_one({"_id": number}, {"$inc": {"n": 1}}, upsert=True)
                except PyMongoError as error:
                    print(f"writer {number}: {error}", flush=True)
                self.count += 1

    def stop(self) -> None:
        """Stop them and wait for it."""
        self.stopping = True
        for thread in self._threads:
            thread.join()


def fill(uri: str, megabytes: int) -> None:
    """Write so many megabytes."""
    row = b"y" * FILL_BYTES
    with MongoClient[dict[str, Any]](uri) as client:
        for _ in range(megabytes):
            client.bench.large.insert_many([{"row": row} for _ in range(2**20 // FILL_BYTES)])


def index_of(host: str) -> Any:
    """Return how far a member is."""
    with MongoClient[dict[str, Any]](host, directConnection=True) as client:
        hello = client.admin.command("hello")
        return hello["lastWrite"]["opTime"]["ts"] if "lastWrite" in hello else 0


def comes_back(way: str, megabytes: int) -> dict[str, Any]:
    """Measure one way."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ports = free_ports(3)
        members = [Member(folder, n, port, OPLOG_MEGABYTES[way]) for n, port in enumerate(ports)]
        for member in members:
            member.start()
        try:
            return _measured(way, members, megabytes)
        finally:
            for member in members:
                if member.process is not None:
                    member.process.kill()
                    member.process.wait()


def _measured(way: str, members: list[Member], megabytes: int) -> dict[str, Any]:
    rows = [
        {"_id": n, "host": member.host, "priority": 2 if n == 0 else 1}
        for n, member in enumerate(members)
    ]
    uri = f"mongodb://{','.join(member.host for member in members)}/?replicaSet=rs0"
    primary, absent = members[0], members[2]
    with MongoClient[dict[str, Any]](primary.host, directConnection=True) as client:
        for member in members:
            until(lambda member=member: index_of(member.host) is not None)  # type: ignore[misc]
        client.admin.command("replSetInitiate", {"_id": "rs0", "members": rows})
        until(lambda: client.admin.command("hello")["isWritablePrimary"])
        until(lambda: len(client.admin.command("hello")["hosts"]) == len(members))
        fill(uri, 5)
        until(lambda: index_of(absent.host) == index_of(primary.host))
        absent.stop()
        fill(uri, megabytes)
        client.admin.command("fsync")
        writers = Writers(uri)
        began = time.monotonic()
        time.sleep(BASE_SECONDS)
        ended, before = time.monotonic(), writers.count
        base = primary.longest(began, ended)
        absent.start()
        target = index_of(primary.host)
        began = time.monotonic()
        until(lambda: index_of(absent.host) >= target, 300.0)
        came, written = time.monotonic(), writers.count - before
        back = primary.longest(began, came)
        writers.stop()
        assert client.admin.command("hello")["isWritablePrimary"], "it lost its office"
    text = absent.log.read_text(encoding="utf-8")
    assert ("Installing a snapshot" in text) == (way == "by files"), "it came another way"
    return {
        "megabytes": megabytes, "seconds": round(came - began, 1),
        "writes_per_second": {
            "alone": round(before / BASE_SECONDS), "coming_back": round(written / (came - began)),
        },
        "longest_turn": {"alone": base, "coming_back": back},
    }


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--way", choices=OPLOG_MEGABYTES, action="append")
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for way in options.way or OPLOG_MEGABYTES:
        results[way] = comes_back(way, options.megabytes)
        print(way, json.dumps(results[way], indent=1), flush=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
