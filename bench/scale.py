"""How a sharded cluster scales: routing's cost, chunks, scatter-gather, load up to saturation.

Real processes with their data on this disk, driven through pymongo by processes of their own. All
figures of one run are from one machine, router, shards and load sharing its cores; compare
figures of the same run only. Writes `bench/scale.json`, `docs/scale.md` and its pictures.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from bson import Int64
from pymongo import MongoClient

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "bench"))

import charts  # noqa: E402
from servers import Server  # noqa: E402

DOCUMENTS = 10_000
MOVES = 9
PAD = "x" * 100
GROUP = [{"$group": {"_id": "$v", "n": {"$sum": 1}}}]
TICKS = os.sysconf("SC_CLK_TCK")


class Cluster:
    """One config server, some shards of one member, some routers."""

    def __init__(self, folder: Path, shards: int, routers: int = 1) -> None:
        self.config = Server(["configsvr", "--dbpath", str(folder / "config")], folder / "config")
        self.shards = [
            Server(["shardsvr", "--dbpath", str(folder / f"s{n}")], folder / f"s{n}")
            for n in range(shards)
        ]
        self._folder = folder
        self._router_count = routers
        self.routers: list[Server] = []
        self.client: MongoClient[Any]

    def __enter__(self) -> Self:
        for server in (self.config, *self.shards):
            server.start()
        for number in range(self._router_count):
            path = self._folder / f"router{number}"
            router = Server(["router", "--configdb", f"127.0.0.1:{self.config.port}"], path)
            router.start()
            self.routers.append(router)
        self.client = MongoClient("127.0.0.1", self.routers[0].port)
        for number, shard in enumerate(self.shards):
            self.client.admin.command("addShard", f"127.0.0.1:{shard.port}", name=f"s{number}")
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        for server in (*self.routers, *self.shards, self.config):
            server.stop()

    @property
    def ports(self) -> list[int]:
        return [router.port for router in self.routers]

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time used so far, of the routers and of the shards."""
        return {
            "router": sum(_cpu(server) for server in self.routers),
            "shards": sum(_cpu(server) for server in self.shards),
        }

    def fill(self, name: str, key: dict[str, Any], *, chunks: int | None = None) -> Any:
        """Shard a collection and fill it with documents `{_id, k, v, pad}`."""
        options = {} if chunks is None else {"numInitialChunks": chunks}
        self.client.admin.command("shardCollection", f"scale.{name}", key=key, **options)
        collection = self.client.scale[name]
        for start in range(0, DOCUMENTS, 2000):
            rows = [
                {"_id": n, "k": n, "v": n % 100, "pad": PAD} for n in range(start, start + 2000)
            ]
            collection.insert_many(rows, ordered=False)
        return collection


def _cpu(server: Server) -> float:
    assert server.process is not None
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def mean_us(work: Callable[[int], Any], count: int, rounds: int = 5) -> float:
    """Median over rounds of the mean microseconds of a call."""
    work(-1)
    figures = []
    for turn in range(rounds):
        begin = time.perf_counter()
        for number in range(count):
            work(turn * count + number)
        figures.append((time.perf_counter() - begin) / count * 1e6)
    return statistics.median(figures)


@contextmanager
def cluster(shards: int, routers: int = 1) -> Iterator[Cluster]:
    """Run a cluster in a folder of its own."""
    with (
        tempfile.TemporaryDirectory(dir=ROOT) as name,
        Cluster(Path(name), shards, routers) as made,
    ):
        yield made


def routed_against_direct() -> dict[str, Any]:
    """Point operations through the router, and straight to the shard that holds the document."""
    figures: dict[str, Any] = {}
    with cluster(1) as made:
        routed = made.fill("points", {"_id": "hashed"})
        direct = MongoClient("127.0.0.1", made.shards[0].port).scale.plain
        direct.insert_many({"_id": n, "v": n % 100, "pad": PAD} for n in range(DOCUMENTS))
        operations: dict[str, Callable[[Any], Callable[[int], Any]]] = {
            "find_one": lambda c: lambda n: c.find_one({"_id": n % DOCUMENTS}),
            "update_one": lambda c: lambda n: c.update_one(
                {"_id": n % DOCUMENTS}, {"$set": {"v": -n}}),
            "insert_one": lambda c: lambda n: c.insert_one({"_id": f"{c.name}{n}", "pad": PAD}),
        }
        for name, make in operations.items():
            before = made.cpu_seconds()
            through = mean_us(make(routed), 300)
            after = made.cpu_seconds()
            calls = 5 * 300 + 1
            straight = mean_us(make(direct), 300)
            figures[name] = {
                "routed_us": through, "direct_us": straight, "ratio": through / straight,
                "router_cpu_us": (after["router"] - before["router"]) / calls * 1e6,
                "shard_cpu_us": (after["shards"] - before["shards"]) / calls * 1e6,
            }
    return figures


def by_chunks(counts: tuple[int, ...]) -> dict[str, dict[str, float]]:
    """Cost by the number of chunks: reads, catalogue changes, what a router learns of them.

    All collections are in one cluster, and their turns alternate.
    """
    figures: dict[str, dict[str, float]] = {}
    with cluster(2) as made:
        made.client.admin.command("balancerStop")
        for count in counts:
            begin = time.perf_counter()
            made.client.admin.command(
                "shardCollection", f"scale.c{count}", key={"k": "hashed"}, numInitialChunks=count
            )
            figures[str(count)] = {"create_ms": (time.perf_counter() - begin) * 1000}
            collection = made.fill(f"c{count}", {"k": "hashed"})
            uuid = made.client.config.collections.find_one(f"scale.c{count}")["uuid"]
            held = made.client.config.chunks.count_documents({"uuid": uuid})
            assert held == count, f"{held} chunks, wanted {count}"
            figures[str(count)]["find_us"] = mean_us(
                lambda n, c=collection: c.find_one({"k": n % DOCUMENTS}), 300
            )
        rows: dict[str, list[tuple[float, ...]]] = {str(count): [] for count in counts}
        for turn in range(MOVES):
            for name, found in rows.items():
                found.append(_change(made, f"c{name}", turn))
        for name, found in rows.items():
            for at, part in enumerate(("split_ms", "move_ms", "refresh_ms")):
                figures[name][part] = statistics.median(one[at] for one in found)
    return figures


def _change(made: Cluster, name: str, turn: int) -> tuple[float, ...]:
    """Split a chunk, move the upper part, find a document: milliseconds of each."""
    ns, admin = f"scale.{name}", made.client.admin
    uuid = made.client.config.collections.find_one(ns)["uuid"]
    last = next(made.client.config.chunks.find({"uuid": uuid}).sort("min", -1).limit(1))
    middle = {"k": Int64(2**63 - (2**50 >> turn))}
    to = {"s0": "s1", "s1": "s0"}[last["shard"]]
    times = [time.perf_counter()]
    admin.command("split", ns, middle=middle)
    times.append(time.perf_counter())
    admin.command("moveRange", ns, toShard=to, min=middle, max=last["max"])
    times.append(time.perf_counter())
    list(made.client.scale[name].find({}).limit(1))  # its router has old versions of both shards
    times.append(time.perf_counter())
    return tuple((end - begin) * 1000 for begin, end in pairwise(times))


def scatter_gather(counts: tuple[int, ...]) -> dict[str, dict[str, float]]:
    """Time queries that every shard has to answer, by the number of shards."""
    figures: dict[str, dict[str, float]] = {}
    for count in counts:
        with cluster(count) as made:
            c = made.fill("all", {"_id": "hashed"})
            c.create_index("v")
            before = made.cpu_seconds()
            found = mean_us(lambda n, c=c: list(c.find({"v": n % 100})), 20)
            after = made.cpu_seconds()
            figures[str(count)] = {
                "find_100_us": found,
                "sorted_top_10_us": mean_us(
                    lambda _, c=c: list(c.find({}, {"pad": 0}).sort("_id", -1).limit(10)), 20),
                "group_us": mean_us(
                    lambda _, c=c: list(c.aggregate(GROUP)), 5),
                "router_cpu_us": (after["router"] - before["router"]) / 101 * 1e6,
                "shard_cpu_us": (after["shards"] - before["shards"]) / 101 * 1e6,
            }
    return figures


def _client(port: int, seconds: float, number: int, results: Any) -> None:
    """One client: half reads, half writes of single documents, one after another."""
    collection = MongoClient("127.0.0.1", port).scale.load
    latencies: list[float] = []
    end = time.perf_counter() + seconds
    n = number * 7919
    while (begin := time.perf_counter()) < end:
        n += 1
        if n % 2:
            collection.find_one({"_id": n % DOCUMENTS})
        else:
            collection.update_one({"_id": n % DOCUMENTS}, {"$inc": {"v": 1}})
        latencies.append(time.perf_counter() - begin)
    results.put(latencies)


def load(ports: list[int], clients: int, seconds: float) -> dict[str, float]:
    """Run clients as processes; return throughput and latency percentiles."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [
        context.Process(target=_client, args=(ports[n % len(ports)], seconds, n, results))
        for n in range(clients)
    ]
    for worker in workers:
        worker.start()
    latencies = sorted(value for _ in workers for value in results.get(timeout=seconds + 60))
    for worker in workers:
        worker.join()
    at = lambda part: latencies[min(len(latencies) - 1, int(len(latencies) * part))] * 1000  # noqa: E731
    return {
        "operations_per_second": len(latencies) / seconds,
        "p50_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99),
    }


def rising_load(
    shards: tuple[int, ...], clients: tuple[int, ...], seconds: float
) -> dict[str, dict[str, dict[str, float]]]:
    """Throughput and latency by clients, for clusters of several sizes."""
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for count in shards:
        with cluster(count, routers=2) as made:
            made.fill("load", {"_id": "hashed"})
            figures[str(count)] = {
                str(number): load(made.ports, number, seconds) for number in clients
            }
    return figures


# -- the page --------------------------------------------------------------------------------------


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def write_page(results: dict[str, Any]) -> None:
    """Write docs/scale.md and its pictures from the results."""
    pictures = ROOT / "docs/pictures"
    rising = results["rising_load"]
    for figure, name in (("operations_per_second", "operations a second"), ("p50_ms", "median, ms"),
                         ("p99_ms", "99th percentile, ms")):
        svg = charts.line_chart(
            f"Half reads, half writes: {name}", "clients", name,
            {f"{count} shard{'s' * (count != '1')}": [
                (float(clients), row[figure]) for clients, row in rows.items()
            ] for count, rows in rising.items()},
            log_x=True,
        )
        charts.write(pictures / f"scale-{figure.replace('_', '-')}.svg", svg)
    scatter = results["scatter_gather"]
    charts.write(pictures / "scale-scatter.svg", charts.line_chart(
        "Queries that all shards answer", "shards", "ms",
        {name: [(float(count), row[key] / 1000) for count, row in scatter.items()]
         for name, key in (("find, 100 documents", "find_100_us"), ("top 10", "sorted_top_10_us"),
                           ("$group", "group_us"))},
    ))
    charts.write(pictures / "scale-chunks.svg", charts.line_chart(
        "One operation by the number of chunks", "chunks", "ms",
        {name: [(float(n), row[key] / divisor) for n, row in results["chunks"].items()]
         for name, key, divisor in (
             ("targeted find_one", "find_us", 1000), ("split", "split_ms", 1),
             ("moveRange", "move_ms", 1), ("find with old routing", "refresh_ms", 1),
         )}, log_x=True,
    ))
    (ROOT / "docs/scale.md").write_text(_page(results), encoding="utf-8")


def _page(results: dict[str, Any]) -> str:
    routed = _table(
        ["operation", "routed", "direct", "ratio", "router's CPU", "shard's CPU"],
        [[f"`{name}`", f"{row['routed_us']:.0f} µs", f"{row['direct_us']:.0f} µs",
          f"{row['ratio']:.2f}", f"{row['router_cpu_us']:.0f} µs", f"{row['shard_cpu_us']:.0f} µs"]
         for name, row in results["routed"].items()],
    )
    chunks = _table(
        ["chunks", "to create", "`find_one`", "split", "move", "find with old routing"],
        [[f"{int(n):,}", f"{row['create_ms']:.0f} ms", f"{row['find_us']:.0f} µs",
          *(f"{row[key]:.1f} ms" for key in ("split_ms", "move_ms", "refresh_ms"))]
         for n, row in results["chunks"].items()],
    )
    scatter = _table(
        ["shards", "find, 100 documents", "top 10", "`$group`", "router's CPU", "shards' CPU"],
        [[n, *(f"{row[key] / 1000:.1f} ms" for key in
               ("find_100_us", "sorted_top_10_us", "group_us")),
          *(f"{row[key] / 1000:.2f} ms" for key in ("router_cpu_us", "shard_cpu_us"))]
         for n, row in results["scatter_gather"].items()],
    )
    rising = _table(
        ["shards", "clients", "operations/s", "median", "95 %", "99 %"],
        [[shards, clients, f"{row['operations_per_second']:,.0f}",
          *(f"{row[key]:.1f} ms" for key in ("p50_ms", "p95_ms", "p99_ms"))]
         for shards, rows in results["rising_load"].items() for clients, row in rows.items()],
    )
    return f"""# How a cluster scales

Written by `make bench-scale` ({results['cores']} cores, which config server, shards, routers and
clients share: with all cores busy, more shards cannot give more). Compare figures of one run only.

## Through the router, and straight to the shard

One client, one operation after another, one shard.

{routed}

## Chunks

Two shards. A `find_one` by the shard key; a split; the move of a small range between the shards;
the first find behind it, whose router learns of both.

{chunks}

![by chunks](pictures/scale-chunks.svg)

## Queries that all shards answer

{DOCUMENTS:,} documents in all; the CPU columns are for the find.

{scatter}

![scatter and gather](pictures/scale-scatter.svg)

## Rising load

Clients are processes, each with one operation under way: `find_one` and `update_one` by the shard
key in turns, through two routers. Every update is on disk when it returns.

{rising}

![throughput](pictures/scale-operations-per-second.svg)

![median](pictures/scale-p50-ms.svg)

![99th percentile](pictures/scale-p99-ms.svg)
"""


def main() -> None:
    """Run all of it, or write the page anew from the last results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each load step")
    parser.add_argument("--page", action="store_true", help="only write the page from the results")
    parser.add_argument(
        "--quick", action="store_true",
        help="less of everything, to see that it runs; prints its results and writes nothing",
    )
    options = parser.parse_args()
    path = ROOT / "bench/scale.json"
    if options.quick:
        results = measure((1, 100, 1000), (1, 2), (1, 2), (1, 4), 1.0)
        _page(results)
        print(json.dumps(results, indent=1))
        return
    if not options.page:
        results = measure(
            (1, 100, 10_000), (1, 2, 4, 8), (1, 2, 3, 4), (1, 2, 4, 8, 16, 32), options.seconds
        )
        path.write_text(json.dumps(results, indent=1) + "\n")
    write_page(json.loads(path.read_text()))


def measure(
    chunks: tuple[int, ...], scattered: tuple[int, ...], shards: tuple[int, ...],
    clients: tuple[int, ...], seconds: float,
) -> dict[str, Any]:
    """Measure everything, telling how far it is."""
    parts: dict[str, Callable[[], Any]] = {
        "routed": routed_against_direct,
        "chunks": lambda: by_chunks(chunks),
        "scatter_gather": lambda: scatter_gather(scattered),
        "rising_load": lambda: rising_load(shards, clients, seconds),
    }
    results: dict[str, Any] = {"cores": os.cpu_count()}
    for name, part in parts.items():
        begin = time.perf_counter()
        results[name] = part()
        print(f"{name}: {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)
    return results


if __name__ == "__main__":
    main()
