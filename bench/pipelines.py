"""Twenty pipelines over 100,000 decoded documents, against plain Python loops in the same run.

Each ratio is the median over rounds in which both are timed one after the other, so that a
noisy machine is noisy for both. The pipelines that mongomock knows are timed on it too, over
`MOCKED` documents; it is no dependency of PSDB, but fetched by pip into `.cache/mongomock` when
it is first needed (without a network that part is left out, and the results say so). Results:
`bench/pipelines.json` and a table on stdout.

    python bench/pipelines.py [--quick] [--rounds N] [--no-mongomock]
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import importlib
import json
import random
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bson.datetime_ms import DatetimeMS

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from agg_world import World  # noqa: E402

from psdb_query.context import CompileContext, make_env  # noqa: E402
from psdb_query.stages.model import Run  # noqa: E402
from psdb_query.stages.pipeline import compile_pipeline  # noqa: E402

Doc = dict[str, Any]
COUNT = 100_000
MOCKED = 5_000
BATCH = 256
AIMS = {"match and group": 1.5, "top ten": 1.5}
MOCK_AIM = 10
MOCK = "mongomock==4.3.0"


@dataclass(frozen=True)
class Bench:
    """One pipeline and the loop that does the same."""

    name: str
    pipeline: list[Doc]
    plain: Callable[[list[Doc]], Any]


def make_documents(count: int) -> list[Doc]:
    chance = random.Random(1)
    return [
        {
            "_id": n,
            "status": chance.choice("ABCD"),
            "customer": f"c{chance.randrange(1000)}",
            "amount": chance.randrange(1000),
            "price": chance.random() * 100,
            "quantity": chance.randrange(1, 10),
            "tags": [f"t{chance.randrange(20)}" for _ in range(3)],
            "address": {"city": f"x{chance.randrange(50)}", "zip": chance.randrange(99999)},
        }
        for n in range(count)
    ]


CUSTOMERS = [{"_id": f"c{n}", "name": f"name {n}", "level": n % 5} for n in range(1000)]


def total_by(docs: Iterator[Doc] | list[Doc], key: str, value: str) -> dict[Any, Any]:
    totals: dict[Any, Any] = {}
    for doc in docs:
        found = doc[key]
        totals[found] = totals.get(found, 0) + doc[value]
    return totals


def match_group(docs: list[Doc]) -> Any:
    totals: dict[Any, Any] = {}
    for doc in docs:
        if doc["status"] == "A":
            key = doc["customer"]
            totals[key] = totals.get(key, 0) + doc["amount"]
    return [{"_id": key, "t": total} for key, total in totals.items()]


def statistics_by_status(docs: list[Doc]) -> Any:
    groups: dict[str, list[Any]] = {}
    for doc in docs:
        price = doc["price"]
        state = groups.get(doc["status"])
        if state is None:
            groups[doc["status"]] = [1, price, price, price]
            continue
        state[0] += 1
        state[1] += price
        if price < state[2]:
            state[2] = price
        elif price > state[3]:
            state[3] = price
    return [(key, one[1] / one[0], one[2], one[3]) for key, one in groups.items()]


def two_keys(docs: list[Doc]) -> Any:
    totals: dict[Any, Any] = {}
    for doc in docs:
        key = (doc["status"], doc["quantity"])
        totals[key] = totals.get(key, 0) + doc["amount"]
    return [{"_id": {"s": key[0], "q": key[1]}, "t": total} for key, total in totals.items()]


def unwind_group(docs: list[Doc]) -> Any:
    counts: dict[str, int] = {}
    for doc in docs:
        for tag in doc["tags"]:
            counts[tag] = counts.get(tag, 0) + 1
    return sorted(counts.items(), key=lambda item: -item[1])


def join(docs: list[Doc]) -> Any:
    table = {doc["_id"]: doc for doc in CUSTOMERS}
    return [{**doc, "who": [table[doc["customer"]]]} for doc in docs]


def join_group(docs: list[Doc]) -> Any:
    table = {doc["_id"]: doc for doc in CUSTOMERS}
    totals: dict[int, int] = defaultdict(int)
    for doc in docs:
        totals[table[doc["customer"]]["level"]] += doc["amount"]
    return totals


def facet(docs: list[Doc]) -> Any:
    return [
        sum(1 for doc in docs if doc["status"] == "B"),
        total_by(docs, "quantity", "amount"),
        heapq.nlargest(5, docs, key=lambda doc: doc["price"]),
    ]


def running_total(docs: list[Doc]) -> Any:
    found = []
    ordered = sorted(docs, key=lambda doc: (doc["status"], doc["_id"]))
    last, total = None, 0
    for doc in ordered:
        if doc["status"] != last:
            last, total = doc["status"], 0
        total += doc["amount"]
        found.append({**doc, "total": total})
    return found


def moving_average(docs: list[Doc]) -> Any:
    prices = [doc["price"] for doc in docs]
    return [
        {**doc, "near": sum(prices[max(0, n - 2) : n + 3]) / len(prices[max(0, n - 2) : n + 3])}
        for n, doc in enumerate(docs)
    ]


def project(docs: list[Doc]) -> Any:
    return [
        {"_id": doc["_id"], "customer": doc["customer"], "total": doc["price"] * doc["quantity"]}
        for doc in docs
    ]


def push_ids(docs: list[Doc]) -> Any:
    groups: dict[str, list[int]] = {}
    for doc in docs:
        groups.setdefault(doc["customer"], []).append(doc["_id"])
    return groups


def city_totals(docs: list[Doc]) -> Any:
    totals: dict[str, int] = {}
    for doc in docs:
        city = doc["address"]["city"]
        totals[city] = totals.get(city, 0) + doc["amount"]
    return totals


def buckets(docs: list[Doc]) -> Any:
    counts: dict[int, int] = {}
    for doc in docs:
        amount = doc["amount"]
        edge = 0 if amount < 100 else 100 if amount < 500 else 500
        counts[edge] = counts.get(edge, 0) + 1
    return sorted(counts.items())


def in_running(docs: list[Doc]) -> Any:
    wanted = {"A", "B"}
    return sum(1 for doc in docs if doc["status"] in wanted and doc["amount"] >= 500)


LOOKUP = {"from": "customers", "localField": "customer", "foreignField": "_id", "as": "who"}
BENCHES = [
    Bench("match and group", [
        {"$match": {"status": "A"}},
        {"$group": {"_id": "$customer", "t": {"$sum": "$amount"}}}], match_group),
    Bench("group", [{"$group": {"_id": "$customer", "t": {"$sum": "$amount"}}}],
          lambda docs: total_by(docs, "customer", "amount")),
    Bench("group doubles", [{"$group": {"_id": "$customer", "t": {"$sum": "$price"}}}],
          lambda docs: total_by(docs, "customer", "price")),
    Bench("group all", [{"$group": {"_id": None, "t": {"$sum": "$amount"}}}],
          lambda docs: sum(doc["amount"] for doc in docs)),
    Bench("group by two keys", [
        {"$group": {"_id": {"s": "$status", "q": "$quantity"}, "t": {"$sum": "$amount"}}}],
          two_keys),
    Bench("average, least, greatest", [
        {"$group": {"_id": "$status", "a": {"$avg": "$price"}, "l": {"$min": "$price"},
                    "g": {"$max": "$price"}}}], statistics_by_status),
    Bench("group by a nested field", [
        {"$group": {"_id": "$address.city", "t": {"$sum": "$amount"}}}], city_totals),
    Bench("push", [{"$group": {"_id": "$customer", "ids": {"$push": "$_id"}}}], push_ids),
    Bench("count", [{"$match": {"status": {"$in": ["A", "B"]}, "amount": {"$gte": 500}}},
                    {"$count": "n"}], in_running),
    Bench("sort", [{"$sort": {"price": -1}}],
          lambda docs: sorted(docs, key=lambda doc: doc["price"], reverse=True)),
    Bench("sort by two keys", [{"$sort": {"customer": 1, "price": -1}}],
          lambda docs: sorted(docs, key=lambda doc: (doc["customer"], -doc["price"]))),
    Bench("top ten", [{"$sort": {"price": -1}}, {"$limit": 10}],
          lambda docs: heapq.nlargest(10, docs, key=lambda doc: doc["price"])),
    Bench("project", [{"$project": {
        "customer": 1, "total": {"$multiply": ["$price", "$quantity"]}}}], project),
    Bench("unwind and group", [{"$unwind": "$tags"}, {"$sortByCount": "$tags"}], unwind_group),
    Bench("bucket", [{"$bucket": {"groupBy": "$amount", "boundaries": [0, 100, 500, 1000]}}],
          buckets),
    Bench("facet", [{"$facet": {
        "n": [{"$match": {"status": "B"}}, {"$count": "n"}],
        "q": [{"$group": {"_id": "$quantity", "t": {"$sum": "$amount"}}}],
        "top": [{"$sort": {"price": -1}}, {"$limit": 5}]}}], facet),
    Bench("lookup", [{"$lookup": LOOKUP}], join),
    Bench("lookup, unwind, group", [
        {"$lookup": LOOKUP}, {"$unwind": "$who"},
        {"$group": {"_id": "$who.level", "t": {"$sum": "$amount"}}}], join_group),
    Bench("running total", [{"$setWindowFields": {
        "partitionBy": "$status", "sortBy": {"_id": 1}, "output": {"total": {
            "$sum": "$amount", "window": {"documents": ["unbounded", "current"]}}}}}],
          running_total),
    Bench("moving average", [{"$setWindowFields": {"sortBy": {"_id": 1}, "output": {"near": {
        "$avg": "$price", "window": {"documents": [-2, 2]}}}}}], moving_average),
]  # fmt: skip


class BenchWorld(World):
    """A server that does nothing at its checkpoints."""

    async def checkpoint(self, documents: int) -> None:
        """Return at once."""


def runner(bench: Bench, batches: list[list[Doc]]) -> Callable[[], None]:
    world = BenchWorld()
    world.collections["db", "customers"] = CUSTOMERS
    pipeline = compile_pipeline(bench.pipeline, CompileContext(), database="db")

    async def source() -> Any:
        for batch in batches:
            yield batch

    async def drive() -> None:
        async for _ in pipeline.run(source(), Run(world, make_env(DatetimeMS(0)))):
            pass

    return lambda: asyncio.run(drive())


def timed(work: Callable[[], Any]) -> float:
    """Milliseconds of one call."""
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1e3


def measure(bench: Bench, docs: list[Doc], rounds: int) -> Doc:
    batches = [docs[at : at + BATCH] for at in range(0, len(docs), BATCH)]
    ours = runner(bench, batches)
    ours()
    pairs = [(timed(ours), timed(lambda: bench.plain(docs))) for _ in range(rounds)]
    return {
        "psdb_ms": round(statistics.median(one for one, _ in pairs), 2),
        "plain_ms": round(statistics.median(other for _, other in pairs), 2),
        "ratio": round(statistics.median(one / other for one, other in pairs), 2),
    }


def load_mongomock() -> Any:
    """Import mongomock, fetched first if need be; None where it cannot be had."""
    folder = ROOT / ".cache" / "mongomock"
    if not folder.exists():
        print(f"fetching {MOCK} into {folder}")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), MOCK]
        if subprocess.run(command, check=False).returncode:
            return None
    sys.path.append(str(folder))  # behind PSDB's own libraries
    return importlib.import_module("mongomock")


def measure_mongomock(mongomock: Any, bench: Bench, docs: list[Doc]) -> Doc:
    """Time a pipeline on mongomock and here, both over the same few documents."""
    database = mongomock.MongoClient().db
    database.c.insert_many([dict(doc) for doc in docs])
    database.customers.insert_many([dict(doc) for doc in CUSTOMERS])
    try:
        other = timed(lambda: list(database.c.aggregate(bench.pipeline)))
    except (NotImplementedError, mongomock.OperationFailure) as error:
        return {"mongomock": f"cannot: {error}"[:80]}
    batches = [docs[at : at + BATCH] for at in range(0, len(docs), BATCH)]
    ours = min(timed(runner(bench, batches)) for _ in range(5))
    return {"mongomock_ms": round(other, 1), "times_faster": round(other / ours, 1)}


def shown(name: str, found: Doc) -> str:
    """Return a line of the table."""
    aim = f"  (aim {AIMS[name]})" if name in AIMS else ""
    mock = found.get("mongomock", "")
    if "times_faster" in found:
        mock = f"{found['times_faster']}x mongomock"
    return (
        f"{name:26} {found['psdb_ms']:8.1f} ms  plain {found['plain_ms']:8.1f} ms  "
        f"ratio {found['ratio']:5.2f}{aim}  {mock}"
    )


def main() -> None:
    """Measure all and write the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="3 rounds over a fifth of it all")
    parser.add_argument("--no-mongomock", action="store_true")
    options = parser.parse_args()
    share = 5 if options.quick else 1
    rounds = 3 if options.quick else options.rounds
    docs = make_documents(COUNT // share)
    results: dict[str, Doc] = {}
    for bench in BENCHES:
        results[bench.name] = measure(bench, docs, rounds)
        print(shown(bench.name, results[bench.name]), flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"peak memory {peak} MB")
    results["memory"] = {"peak_mb": peak}
    mongomock = None if options.no_mongomock else load_mongomock()
    if mongomock is None:
        results["mongomock"] = {"left_out": True}
    else:
        for bench in BENCHES:
            found = results[bench.name]
            found |= measure_mongomock(mongomock, bench, docs[: MOCKED // share])
            print(shown(bench.name, found), flush=True)
        known = [one["times_faster"] for one in results.values() if "times_faster" in one]
        print(f"mongomock: {min(known)} to {max(known)} times slower (aim {MOCK_AIM})")
        results["mongomock"] = {
            "version": MOCK, "documents": MOCKED // share, "least_times_faster": min(known),
            "median_times_faster": statistics.median(known),
        }
    if not options.quick:
        (ROOT / "bench/pipelines.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
