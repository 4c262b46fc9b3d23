"""A sample of the query language's cases, run by a server: the same results and errors."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import bson
import pytest
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from case_tables import modules, rows
from filter_kit import with_ids
from pymongo.database import Database
from pymongo.errors import OperationFailure

from psdb_base import bson_codec, order

Db = Database[dict[str, Any]]
OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_MS
)
EVERY = {"filter": 2, "expression": 23, "update": 7, "pipeline": 9}
_VOLATILE = ("$$NOW", "$$CLUSTER_TIME", "$$USER_ROLES", "$rand", "$sample", "$currentDate")


def sample(kind: str) -> Iterator[Any]:
    folder = "aggregation" if kind == "pipeline" else "query"
    chosen = (row for module in modules(folder) for _test, given in rows(module)
              if (row := row_of(kind, module.__name__, given)) is not None and sendable(row))
    return islice(chosen, 0, None, EVERY[kind])


def row_of(kind: str, module: str, row: Any) -> Any:
    """Return a row of this kind in the common form, None for others."""
    if kind == "pipeline":
        return row if hasattr(row, "pipeline") else None
    if kind == "update":
        return row if hasattr(row, "update") else None
    if type(row) is not tuple or len(row) != 4 or type(row[0]) is not str:
        return None
    if kind == "filter":
        fits = "_filter_" in module and type(row[1]) is list and type(row[2]) is dict
        return row if fits else None
    if "_expr_" not in module:
        return None
    page, first, second, expected = row
    row = (page, second, first, expected) if "_expr_b_" in module else row
    return row if type(row[1]) is dict else None


def fails(expected: Any) -> bool:
    return type(expected).__name__ in ("Err", "Fails")


def sendable(row: Any) -> bool:
    """Tell whether a driver can send it, and whether it gives the same at any time."""
    parts = list(row[1:3]) if type(row) is tuple else [
        getattr(row, name) for name in ("docs", "doc", "pipeline", "update") if hasattr(row, name)
    ]
    if any(word in repr(parts) for word in _VOLATILE) or getattr(row, "options", None):
        return False
    try:
        bson.encode({"x": with_ids(parts[0]) if type(row) is tuple and type(row[1]) is list
                     else parts, "y": parts[1:]})  # fmt: skip
        return not getattr(row, "others", None)
    except (bson.InvalidDocument, OverflowError, ValueError, TypeError):
        return False


def wire(value: Any) -> bytes:
    """Return a value's bytes, keys of objects in their order."""
    return bson_codec.encode({"v": value})


def outcome(run: Any) -> Any:
    try:
        return run()
    except OperationFailure as error:
        details = error.details or {}
        errors = details.get("writeErrors")
        return ("error", errors[0]["code"] if errors else error.code)


def raw(documents: Any) -> list[Any]:
    return [bson_codec.decode(document.raw) for document in documents]


@pytest.fixture
def things(db: Db) -> Any:
    return db.get_collection("things", OPTIONS.with_options(document_class=RawBSONDocument))


def test_filters(db: Db, things: Any) -> None:
    ran = 0
    for page, docs, spec, expected in sample("filter"):
        db.things.delete_many({})
        try:
            numbered = with_ids(docs)
            db.things.insert_many([bson.decode(bson.encode(doc)) for doc in numbered])
        except (bson.InvalidDocument, OperationFailure, TypeError):
            continue
        found = outcome(lambda spec=spec: [d["_id"] for d in raw(things.find(spec).sort("_id", 1))])
        ran += 1
        assert found == (("error", expected.code) if fails(expected) else expected), (
            page, spec,
        )
    assert ran >= 40


def test_expressions(db: Db, things: Any) -> None:
    ran = 0
    for page, doc, expression, expected in sample("expression"):
        if "_id" in doc:
            continue
        db.things.delete_many({})
        try:
            db.things.insert_one({"_id": 1, **doc})
        except (OperationFailure, bson.InvalidDocument):
            continue
        stages = [{"$replaceWith": {"v": expression}}]
        found = outcome(lambda stages=stages: raw(things.aggregate(stages))[0])
        ran += 1
        if fails(expected):
            assert found == ("error", expected.code), (page, expression)
        elif type(expected).__name__ == "Missing":
            assert found == {}, (page, expression)
        else:
            assert type(found) is dict, (page, expression, found)
            assert wire(found.get("v")) == wire(expected), (page, expression, found)
    assert ran >= 60


def test_updates(db: Db, things: Any) -> None:
    ran = 0
    for row in sample("update"):
        document = {"_id": 77, **row.doc} if "_id" not in row.doc else dict(row.doc)
        db.things.delete_many({})
        try:
            db.things.insert_one(document)
        except (OperationFailure, bson.InvalidDocument):
            continue
        command = {"update": "things", "updates": [{"q": {}, "u": row.update}]}
        reply = outcome(lambda command=command: db.command(command))
        ran += 1
        failed = fails(row.expected)
        errors = reply.get("writeErrors") if type(reply) is dict else None
        code = errors[0]["code"] if errors else reply[1] if type(reply) is tuple else None
        assert (code == row.expected.code) if failed else code is None, (row, reply)
        stored = raw(things.find({}))[0]
        if failed:
            assert order.key(stored) == order.key(bson_codec.decode(bson.encode(document))), row
        elif type(row.expected) is dict and type(row.update) is dict:
            stored.pop("_id")
            expected = {name: v for name, v in row.expected.items() if name != "_id"}
            assert wire(stored) == wire(expected), row
    assert ran >= 40


def test_pipelines(db: Db, things: Any) -> None:
    ran = 0
    for row in sample("pipeline"):
        stages = repr(row.pipeline)
        if "$out" in stages or "$merge'" in stages or "geoNear" in stages or "$lookup" in stages:
            continue
        db.things.delete_many({})
        try:
            if row.docs:
                db.things.insert_many([{"_id": n, **doc} for n, doc in enumerate(row.docs)])
        except (OperationFailure, bson.InvalidDocument):
            continue
        if row.docs and any("_id" not in doc for doc in row.docs) and "_id" not in stages:
            continue
        found = outcome(lambda row=row: raw(things.aggregate(row.pipeline)))
        ran += 1
        if fails(row.expected):
            assert found == ("error", row.expected.code), row
        elif all("_id" in doc for doc in row.docs):
            assert sorted(map(wire, found)) == sorted(map(wire, row.expected)), row
    assert ran >= 15
