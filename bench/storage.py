"""The store with more data than its cache: load, restart, scan, look-ups; time, memory, bytes.

Documents of 200 bytes go through the driver into `psdb shardsvr --cacheSizeMB 64`, 100,000 and
then 1,000,000 of them. Growth has to be linear in load, start-up and scan, and logarithmic (here:
none to speak of) in look-ups. A machine's speed is in all figures; the ratios between the two sizes
are what counts. Results: `bench/storage.json` and a table on stdout.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import bson
from pymongo import MongoClient

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from servers import Server  # noqa: E402

DOCUMENT_BYTES = 200
BATCH = 10_000
LOOK_UPS = 5000
SIZES = (100_000, 1_000_000)


def document(number: int) -> dict[str, Any]:
    """Make one document of 200 bytes."""
    doc = {"_id": number, "group": number % 1000, "name": f"customer {number}", "pad": ""}
    doc["pad"] = "x" * (DOCUMENT_BYTES - len(bson.encode(doc)))
    return doc


def files_bytes(folder: Path, kind: str) -> int:
    """Sum the sizes of the files below a folder of the dbpath."""
    return sum(path.stat().st_size for path in (folder / kind).rglob("*.jsonl"))


def figures_of(server: Server, client: MongoClient[Any]) -> dict[str, Any]:
    """Ask what memory the server takes."""
    cache = client.admin.command("serverStatus")["storageEngine"]["cache"]
    return {
        "resident_mb": server.resident_bytes() / 2**20,
        "record_mb": cache["recordBytes"] / 2**20,
        "cold_records": cache["coldRecords"],
    }


def load(server: Server, count: int) -> dict[str, Any]:
    """Insert all documents, with one secondary index to be kept up."""
    client: MongoClient[Any] = MongoClient(server.uri, directConnection=True)
    things = client.bench.things
    seconds = 0.0
    for start in range(0, count, BATCH):
        batch = [document(n) for n in range(start, min(start + BATCH, count))]
        begin = time.perf_counter()
        things.insert_many(batch, ordered=False)
        seconds += time.perf_counter() - begin
    result = {"seconds": seconds, "documents_per_second": count / seconds}
    return result | figures_of(server, client)


def read(server: Server, count: int) -> dict[str, dict[str, Any]]:
    """Scan everything twice, and look up single documents."""
    client: MongoClient[Any] = MongoClient(server.uri, directConnection=True)
    things = client.bench.things
    results: dict[str, dict[str, Any]] = {}
    for name in ("scan", "scan_again"):
        begin = time.perf_counter()
        assert things.count_documents({"pad": {"$gt": ""}}) == count
        seconds = time.perf_counter() - begin
        results[name] = {"seconds": seconds, "documents_per_second": count / seconds}
    results["scan_again"] |= figures_of(server, client)
    rng = random.Random(1)
    begin = time.perf_counter()
    for _ in range(LOOK_UPS):
        number = rng.randrange(count)
        assert things.find_one({"_id": number})["group"] == number % 1000
    results["look_up"] = {"microseconds": (time.perf_counter() - begin) / LOOK_UPS * 1e6}
    hot = list(range(1000))
    for number in hot:
        things.find_one({"_id": number})
    begin = time.perf_counter()
    for number in hot:
        things.find_one({"_id": number})
    results["look_up_resident"] = {"microseconds": (time.perf_counter() - begin) / 1000 * 1e6}
    return results


def restart(server: Server) -> dict[str, Any]:
    """Return how long the process took to load its files, and until it answered."""
    begin = time.perf_counter()
    server.start()
    client: MongoClient[Any] = MongoClient(server.uri, directConnection=True)
    client.admin.command("ping")
    client.close()
    answered = time.perf_counter() - begin
    lines = [json.loads(line) for line in server.log_path.read_text().splitlines() if "{" in line]
    loaded = next(line["attr"] for line in reversed(lines) if line.get("id") == 7100002)
    seconds = max(loaded["seconds"], 0.001)
    return {
        "seconds": seconds, "until_answer_seconds": answered,
        "documents_per_second": loaded["documents"] / seconds,
    }


def measure(folder: Path, count: int, cache_mb: int, *, indexed: bool) -> dict[str, Any]:
    """Go through all of it with so many documents."""
    server = Server(
        ["shardsvr", "--dbpath", str(folder), "--cacheSizeMB", str(cache_mb)], folder
    )
    restart(server)
    try:
        client: MongoClient[Any] = MongoClient(server.uri, directConnection=True)
        if indexed:
            client.bench.things.create_index("group")
        results: dict[str, Any] = {"load": load(server, count)}
        client.admin.command("fsync")
        results["files"] = {
            "data_mb": files_bytes(folder, "data") / 2**20,
            "journal_mb": files_bytes(folder, "journal") / 2**20,
        }
        server.stop()
        results["start"] = restart(server)
        client = MongoClient(server.uri, directConnection=True)
        results["start"] |= figures_of(server, client)
        return results | read(server, count)
    finally:
        server.stop()


def reference() -> float:
    """Time a fixed piece of pure Python, to see how fast the machine was."""
    begin = time.perf_counter()
    total = 0
    for number in range(3_000_000):
        total += number & 7
    return time.perf_counter() - begin


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cacheSizeMB", type=int, default=64)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    options = parser.parse_args()
    results: dict[str, Any] = {"cache_mb": options.cacheSizeMB}
    for count in options.sizes:
        for indexed in (False, True):
            with tempfile.TemporaryDirectory(dir=ROOT) as name:
                found = measure(Path(name) / "d", count, options.cacheSizeMB, indexed=indexed)
            found["reference_seconds"] = reference()
            results[f"{count} documents, {'one index' if indexed else 'no index'}"] = found
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True,
        check=False,
    ).stdout.strip()
    results["commit"] = commit
    if tuple(options.sizes) == SIZES:  # a trial run leaves the figures alone
        (ROOT / "bench/storage.json").write_text(json.dumps(results, indent=1) + "\n")
    for title, parts in results.items():
        if not isinstance(parts, dict):
            continue
        print(title)
        for part, figures in parts.items():
            if isinstance(figures, dict):
                row = "  ".join(f"{key} {value:,.2f}" for key, value in figures.items())
                print(f"  {part:18} {row}")


if __name__ == "__main__":
    main()
