"""Replica sets: writes on one and on three members, and how long failovers take.

    .venv/bin/python bench/replica_set.py            the writes, then the picture
    .venv/bin/python bench/replica_set.py --picture  the picture alone

Every write waits for the disks of a majority. Rounds of one member and of three alternate, so that
a noisy machine is noisy for both; figures are medians of rounds, ratios are within this run. The
null server answers with canned replies: it is the floor for a server in Python. Results:
`bench/replica_set.json`. The picture is drawn from `docs/failovers.jsonl`, which soaks add to.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from pymongo import MongoClient

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench")]

from cluster.up import Cluster  # noqa: E402
from run import start_null  # noqa: E402

ROUNDS = 3
SECONDS = 1.5
CLIENTS = (1, 8, 32)
BATCH = 1000
RECORD = ROOT / "docs" / "failovers.jsonl"
PICTURE = ROOT / "docs" / "failovers.svg"
RESULTS = ROOT / "bench" / "replica_set.json"


def rate(uri: str, clients: int) -> float:
    """Return inserts a second of so many clients, each waiting for its answers."""
    connected = [MongoClient[dict[str, Any]](uri) for _ in range(clients)]
    for client in connected:
        client.bench.c.insert_one({"n": 0})
    counts = [0] * clients
    end = time.perf_counter() + SECONDS

    def work(number: int) -> None:
        collection = connected[number].bench.c
        while time.perf_counter() < end:
            collection.insert_one({"n": counts[number], "name": "Ada"})
            counts[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for client in connected:
        client.close()
    return sum(counts) / SECONDS


def batch_rate(uri: str) -> float:
    """Return documents a second of one client that inserts them by the thousand."""
    with MongoClient[dict[str, Any]](uri) as client:
        collection = client.bench.batches
        end, count = time.perf_counter() + SECONDS, 0
        while time.perf_counter() < end:
            collection.insert_many([{"n": number, "name": "Ada"} for number in range(BATCH)])
            count += BATCH
    return count / SECONDS


def measure() -> dict[str, dict[str, float]]:
    """Return documents a second by kind of write and by what took them."""
    found: dict[str, dict[str, list[float]]] = {}
    null, port = start_null()
    with tempfile.TemporaryDirectory() as folder:
        one = Cluster(Path(folder) / "one", "--replset", "one")
        three = Cluster(Path(folder) / "three", "--replset", "three", "--replicas", "3")
        with one, three:
            sides = {
                "null server": f"mongodb://127.0.0.1:{port}/",
                "one member": one.uri, "three members": three.uri,
            }
            for _ in range(ROUNDS):
                for clients in CLIENTS:
                    for side, uri in sides.items():
                        kind = f"insert_one, {clients} clients"
                        found.setdefault(kind, {}).setdefault(side, []).append(rate(uri, clients))
                for side, uri in sides.items():
                    found.setdefault("insert_many", {}).setdefault(side, []).append(
                        batch_rate(uri)
                    )
    null.terminate()
    return {
        kind: {side: statistics.median(rates) for side, rates in sides.items()}
        for kind, sides in found.items()
    }


def show(results: dict[str, dict[str, float]]) -> None:
    """Print the table of ratios."""
    print("| | one member | three members | three to one | null server to one |")
    print("|---|--:|--:|--:|--:|")
    for kind, sides in results.items():
        one, three = sides["one member"], sides["three members"]
        print(f"| {kind} | {one:,.0f}/s | {three:,.0f}/s | {three / one:.2f} "
              f"| {sides['null server'] / one:.1f} |")


# -- the picture ---------------------------------------------------------------------------------

WIDTH, LEFT, ROW, TOP = 720, 190, 44, 40
SECONDS_MAX = 8.0


def picture(rows: list[dict[str, Any]]) -> str:
    """Draw each failover as a dot on the line of its kind, and the median as a bar."""
    kinds: dict[str, list[float]] = {}
    for row in rows:
        kinds.setdefault(row["kind"], []).append(row["seconds"])
    height = TOP + ROW * len(kinds) + 40

    def x(seconds: float) -> float:
        return LEFT + min(seconds, SECONDS_MAX) / SECONDS_MAX * (WIDTH - LEFT - 20)

    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="12">'
    )
    parts = [
        opening,
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        '<text x="10" y="20" font-weight="bold">Seconds without a successful fresh write</text>',
    ]
    for second in range(int(SECONDS_MAX) + 1):
        parts.append(f'<line x1="{x(second):.0f}" y1="{TOP}" x2="{x(second):.0f}" '
                     f'y2="{height - 34}" stroke="#ddd"/>')
        parts.append(f'<text x="{x(second):.0f}" y="{height - 18}" '
                     f'text-anchor="middle">{second}</text>')
    for number, (kind, seconds) in enumerate(kinds.items()):
        y = TOP + ROW * number + ROW / 2
        parts.append(f'<text x="10" y="{y - 2:.0f}">{kind}</text>')
        parts.append(f'<text x="10" y="{y + 13:.0f}" fill="#777">{len(seconds)} rounds</text>')
        parts += [
            f'<circle cx="{x(value):.1f}" cy="{y:.0f}" r="5" fill="#2a6fb0" fill-opacity="0.45"/>'
            for value in seconds
        ]
        middle = x(statistics.median(seconds))
        parts.append(f'<line x1="{middle:.1f}" y1="{y - 12:.0f}" x2="{middle:.1f}" '
                     f'y2="{y + 12:.0f}" stroke="#b03030" stroke-width="2"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", action="store_true", help="draw the picture alone")
    options = parser.parse_args()
    if not options.picture:
        results = measure()
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        show(results)
    if RECORD.exists():
        lines = RECORD.read_text(encoding="utf-8").splitlines()
        PICTURE.write_text(picture([json.loads(line) for line in lines]), encoding="utf-8")


if __name__ == "__main__":
    main()
