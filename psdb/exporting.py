"""`psdb export`: a collection as mongoexport writes it, JSON or CSV."""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TextIO

from bson import json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

CODEC: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    document_class=dict, datetime_conversion=DatetimeConversion.DATETIME_MS
)
FORMATS: Final = {
    "canonical": json_util.CANONICAL_JSON_OPTIONS.with_options(
        datetime_conversion=DatetimeConversion.DATETIME_MS
    ),
    "relaxed": json_util.RELAXED_JSON_OPTIONS.with_options(
        datetime_conversion=DatetimeConversion.DATETIME_MS
    ),
}


class ToolError(Exception):
    """What a user asked for cannot be done; the message says why."""


def open_collection(
    client: MongoClient[dict[str, Any]], options: argparse.Namespace
) -> Collection[dict[str, Any]]:
    """Return the collection that a command line names."""
    if options.db:
        database = client[options.db]
    else:
        database = client.get_default_database("test")
    return database.get_collection(options.collection, codec_options=CODEC)


def parsed(text: str, what: str) -> Any:
    """Parse Extended JSON of the command line."""
    try:
        return json_util.loads(text, json_options=FORMATS["canonical"])
    except (TypeError, ValueError) as error:
        raise ToolError(f"{what} is no valid JSON: {error}") from None


def names_of(text: str | None) -> list[str]:
    """Split names by comma."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def export(options: argparse.Namespace) -> int:
    """Write a collection's documents; return the exit code."""
    try:
        with contextlib.ExitStack() as stack:
            out = sys.stdout
            if options.out:
                out = stack.enter_context(
                    Path(options.out).open("w", encoding="utf-8", newline="")
                )
            client = stack.enter_context(
                MongoClient[dict[str, Any]](options.uri, serverSelectionTimeoutMS=10_000)
            )
            rows = _documents(open_collection(client, options), options)
            count = _csv(rows, options, out) if options.type == "csv" else _json(
                rows, options, out
            )
            out.flush()
    except (OSError, PyMongoError, ToolError) as error:
        sys.stderr.write(f"psdb export: {error}\n")
        return 1
    if not options.quiet:
        sys.stderr.write(f"exported {count} record{'' if count == 1 else 's'}\n")
    return 0


def _documents(
    collection: Collection[dict[str, Any]], options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    if options.query and options.queryFile:
        raise ToolError("either --query or --queryFile can be given")
    text = options.query
    if options.queryFile:
        text = Path(options.queryFile).read_text(encoding="utf-8")
    query = parsed(text, "the query") if text else {}
    fields = names_of(options.fields)
    cursor = collection.find(query, dict.fromkeys(fields, 1) if fields else None)
    if options.sort:
        cursor = cursor.sort(list(parsed(options.sort, "the sort").items()))
    return iter(cursor.skip(options.skip).limit(options.limit))


def _json(rows: Iterator[dict[str, Any]], options: argparse.Namespace, out: TextIO) -> int:
    form, count = FORMATS[options.jsonFormat], 0
    indent = {"indent": 1, "separators": (",", ": ")} if options.pretty else {
        "separators": (",", ":")
    }
    if options.jsonArray:
        out.write("[")
    for row in rows:
        if options.jsonArray and count:
            out.write(",")
        out.write(json_util.dumps(row, json_options=form, ensure_ascii=False, **indent))
        if not options.jsonArray:
            out.write("\n")
        count += 1
    if options.jsonArray:
        out.write("]\n")
    return count


def _csv(rows: Iterator[dict[str, Any]], options: argparse.Namespace, out: TextIO) -> int:
    fields = names_of(options.fields)
    if not fields:
        raise ToolError("CSV mode requires a field list: --fields")
    writer, count = csv.writer(out, lineterminator="\n"), 0
    if not options.noHeaderLine:
        writer.writerow(fields)
    for row in rows:
        writer.writerow([_cell(_value(row, name)) for name in fields])
        count += 1
    return count


def _value(row: Any, path: str) -> Any:
    """Return the value at a dotted path, "" where there is none."""
    for name in path.split("."):
        if type(row) is list and name.isdigit() and int(name) < len(row):
            row = row[int(name)]
        elif type(row) is dict and name in row:
            row = row[name]
        else:
            return ""
    return row


def _cell(value: Any) -> str:
    """Show a value in CSV: text as it is, ids bare, everything else as relaxed JSON."""
    if type(value) is str:
        return value
    text: str = json_util.dumps(
        value, json_options=FORMATS["relaxed"], ensure_ascii=False, separators=(",", ":")
    )
    found = json.loads(text)
    if type(found) is dict and len(found) == 1:
        name, inner = next(iter(found.items()))
        if name == "$oid":
            return f"ObjectId({inner})"
        if name in ("$date", "$numberDecimal") and type(inner) is str:
            return inner
    return text
