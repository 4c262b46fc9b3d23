"""Microseconds a decoded document for twenty typical filters, and for projections.

Run as `python bench/filters.py`; it writes `bench/filters.json` too. Each figure is the best of
several scans of the same documents, in the batches a scan is made of, so that what is measured
is the compiled form.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bson.datetime_ms import DatetimeMS  # noqa: E402
from bson.objectid import ObjectId  # noqa: E402

from psdb_query.context import CompileContext, make_env  # noqa: E402
from psdb_query.filters import compile_filter  # noqa: E402
from psdb_query.projection import compile_projection  # noqa: E402

DOCUMENTS = 20_000
BATCH = 256
ROUNDS = 7
CTX = CompileContext()
ENV = make_env(DatetimeMS(0))
IDS = [ObjectId(i.to_bytes(12, "big")) for i in range(DOCUMENTS)]

FILTERS: dict[str, dict[str, Any]] = {
    "one field = number": {"qty": 500},
    "one field > number": {"qty": {"$gt": 500}},
    "one field = string": {"item": "item7"},
    "one field < string": {"item": {"$lt": "item5"}},
    "_id = ObjectId": {"_id": IDS[77]},
    "range on a number": {"qty": {"$gte": 100, "$lt": 200}},
    "range on a date": {"at": {"$gte": DatetimeMS(5000), "$lt": DatetimeMS(9000)}},
    "two fields": {"qty": {"$gt": 500}, "status": "A"},
    "dotted path": {"size.h": {"$lt": 15}},
    "array element = string": {"tags": "red"},
    "array of documents": {"stock.qty": {"$gt": 90}},
    "$elemMatch": {"stock": {"$elemMatch": {"w": "A", "qty": {"$gt": 90}}}},
    "$in of 3 strings": {"status": {"$in": ["A", "B", "C"]}},
    "$in of 1,000 numbers": {"qty": {"$in": list(range(0, 2000, 2))}},
    "$nin": {"status": {"$nin": ["A", "B"]}},
    "$exists: false": {"nothing": {"$exists": False}},
    "= null": {"nothing": None},
    "$or of two fields": {"$or": [{"qty": {"$lt": 10}}, {"status": "D"}]},
    "prefix regex": {"item": {"$regex": "^item1"}},
    "regex with i": {"item": {"$regex": "ITEM1.*5$", "$options": "i"}},
    "$expr of two fields": {"$expr": {"$gt": ["$qty", "$limit"]}},
    "$jsonSchema": {
        "$jsonSchema": {"required": ["qty"], "properties": {"qty": {"bsonType": "int"}}}
    },
}

PROJECTIONS: dict[str, dict[str, Any]] = {
    "include two fields": {"item": 1, "qty": 1},
    "exclude one field": {"stock": 0},
    "include a dotted field": {"size.h": 1},
    "one expression": {"item": 1, "double": {"$multiply": ["$qty", 2]}},
}


def make_documents() -> list[dict[str, Any]]:
    """Documents of the usual size, all fields of one type."""
    return [
        {
            "_id": IDS[i],
            "item": f"item{i % 1000}",
            "qty": i % 1000,
            "limit": 400,
            "status": "ABCD"[i % 4],
            "at": DatetimeMS(i),
            "size": {"h": i % 30, "w": 21, "uom": "cm"},
            "tags": ["blank", "red"] if i % 3 else ["blue"],
            "stock": [{"w": "A", "qty": i % 100}, {"w": "B", "qty": i % 50}],
        }
        for i in range(DOCUMENTS)
    ]


def best(batches: list[list[dict[str, Any]]], run: Any) -> float:
    """Microseconds a document, the best of the rounds."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for batch in batches:
            run(batch)
        times.append(time.perf_counter() - start)
    return min(times) / DOCUMENTS * 1e6


def main() -> None:
    results: dict[str, dict[str, float]] = {"filters": {}, "projections": {}}
    documents = make_documents()
    batches = [documents[i : i + BATCH] for i in range(0, DOCUMENTS, BATCH)]
    print(f"{'filter':28} µs/document  matches")
    for name, spec in FILTERS.items():
        filter_ = compile_filter(spec, CTX)
        found = len(filter_.batch(documents, ENV))
        figure = best(batches, lambda batch, scan=filter_.batch: scan(batch, ENV))
        results["filters"][name] = round(figure, 3)
        print(f"{name:28} {figure:11.3f}  {found}")
    print(f"\n{'projection':28} µs/document")
    for name, spec in PROJECTIONS.items():
        apply = compile_projection(spec, CTX).apply
        figure = best(batches, lambda batch, apply=apply: [apply(doc, ENV) for doc in batch])
        results["projections"][name] = round(figure, 3)
        print(f"{name:28} {figure:11.3f}")
    path = ROOT / "bench/filters.json"
    path.write_text(json.dumps({"unit": "microseconds a document", **results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
