"""PSDB against a null server: what the server costs on top of the driver and the socket.

The null server (`bench/null_server.py`) answers OP_MSG with canned replies on the same event
loop library; it is the floor for a server in Python. Rounds of the two alternate, so that a
noisy machine is noisy for both; each figure is the median of the rounds' means, and each ratio
is between figures of the same run. Results: `bench/results.json` and a table on stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pymongo import MongoClient

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from servers import Server  # noqa: E402

ROUNDS = 15
SCAN_DOCUMENTS = 100_000
GATES = {"ping": 1.3, "find_one": 1.6, "insert_one": 2.5}


def start_null() -> tuple[subprocess.Popen[bytes], int]:
    """Start the null server on a free port."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(ROOT / "bench/null_server.py"), str(port)])
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            time.sleep(0.02)
        else:
            return process, port
    raise RuntimeError("the null server did not start")


def timed(work: Callable[[], Any], count: int) -> float:
    """Mean microseconds of `count` calls."""
    begin = time.perf_counter()
    for _ in range(count):
        work()
    return (time.perf_counter() - begin) / count * 1e6


class Side:
    """One of the two servers, with the operations to be measured."""

    def __init__(self, port: int) -> None:
        self.client: MongoClient[Any] = MongoClient("127.0.0.1", port)
        self.db = self.client.bench
        self.next_id = 0
        self.next_point = 0

    def ping(self) -> None:
        self.client.admin.command("ping")

    def insert_one(self) -> None:
        self.next_id += 1
        self.db.inserts.insert_one({"_id": self.next_id, "name": "Ada", "n": self.next_id})

    def find_one(self) -> None:
        self.next_point = (self.next_point + 1) % 1000
        self.db.points.find_one({"_id": self.next_point})

    def insert_many(self) -> None:
        first = self.next_id
        self.next_id += 1000
        self.db.batches.insert_many(
            [{"_id": i, "name": "Ada", "n": i} for i in range(first, first + 1000)]
        )


def measure(null: Side, psdb: Side, name: str, count: int, rounds: int) -> dict[str, float]:
    """Alternate rounds of an operation on both sides."""
    figures: dict[str, list[float]] = {"null": [], "psdb": []}
    for side in (null, psdb):
        timed(getattr(side, name), max(count // 4, 1))
    for _ in range(rounds):
        figures["null"].append(timed(getattr(null, name), count))
        figures["psdb"].append(timed(getattr(psdb, name), count))
    null_us, psdb_us = (statistics.median(figures[side]) for side in ("null", "psdb"))
    return {"null_us": null_us, "psdb_us": psdb_us, "ratio": psdb_us / null_us}


def measure_scan(psdb: Side) -> dict[str, float]:
    """Time a filtered scan over 100,000 documents that returns one in a hundred."""
    psdb.db.scan.drop()
    for start in range(0, SCAN_DOCUMENTS, 10_000):
        psdb.db.scan.insert_many(
            [
                {"_id": i, "v": i % 1000, "name": f"name {i}", "pad": "x" * 80}
                for i in range(start, start + 10_000)
            ]
        )
    seconds = []
    for _ in range(5):
        begin = time.perf_counter()
        found = len(list(psdb.db.scan.find({"v": {"$lt": 10}})))
        seconds.append(time.perf_counter() - begin)
        assert found == SCAN_DOCUMENTS // 100
    best = statistics.median(seconds)
    return {"psdb_ms": best * 1000, "documents_per_second": SCAN_DOCUMENTS / best}


def measure_disk(folder: Path) -> dict[str, float]:
    """Time what an insert_one waits for on this disk: append 400 bytes and fdatasync."""
    microseconds = []
    with (folder / "disk").open("ab", buffering=0) as file:
        for _ in range(500):
            begin = time.perf_counter()
            file.write(b"x" * 400)
            os.fdatasync(file.fileno())
            microseconds.append((time.perf_counter() - begin) * 1e6)
    return {"fdatasync_us": statistics.median(microseconds)}


def measure_start(folder: Path) -> dict[str, float]:
    """Time from process start to the first answered ping, and resident memory then."""
    import socket

    seconds, resident = [], 0
    for number in range(5):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = Server.up(folder / f"start{number}", port=port)
        log = (folder / "start.log").open("ab")
        begin = time.perf_counter()
        server.process = subprocess.Popen(
            [sys.executable, "-m", "psdb", "up", "--dbpath", str(server.dbpath),
             "--port", str(port)], stdout=log, stderr=log, cwd=ROOT,
        )
        while not answers(port):
            time.sleep(0.002)
        seconds.append(time.perf_counter() - begin)
        resident = max(resident, server.resident_bytes())
        server.stop()
        log.close()
    return {"seconds": statistics.median(seconds), "resident_mb": resident / 2**20}


def answers(port: int) -> bool:
    """Send one ping by hand; tell whether it is answered."""
    import socket

    from psdb_base import bson_codec
    from psdb_wire.frames import build_op_msg

    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(build_op_msg(1, 0, bson_codec.encode({"ping": 1, "$db": "admin"})))
            return len(connection.recv(4096)) > 16
    except OSError:
        return False


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(dir=ROOT) as name:
        folder = Path(name)
        results["start"] = measure_start(folder)
        results["disk"] = measure_disk(folder)
        process, null_port = start_null()
        try:
            with Server.up(folder / "data") as server:
                null, psdb = Side(null_port), Side(server.port)
                psdb.db.points.insert_many({"_id": i, "name": "Ada", "n": i} for i in range(1000))
                for operation, count in (
                    ("ping", 1500), ("find_one", 1000), ("insert_one", 600), ("insert_many", 5),
                ):
                    results[operation] = measure(null, psdb, operation, count, options.rounds)
                results["filtered_scan"] = measure_scan(psdb)
        finally:
            process.terminate()
            process.wait()
    (ROOT / "bench/results.json").write_text(json.dumps(results, indent=1) + "\n")
    for operation, figures in results.items():
        row = "  ".join(f"{key} {value:,.2f}" for key, value in figures.items())
        gate = f"  (gate {GATES[operation]})" if operation in GATES else ""
        print(f"{operation:14} {row}{gate}")


if __name__ == "__main__":
    main()
