"""`psdb import`: JSON as mongoexport writes it, CSV or TSV, into a collection."""

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
from pymongo import DeleteOne, InsertOne, MongoClient, ReplaceOne, UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, PyMongoError

from psdb.exporting import FORMATS, ToolError, names_of, open_collection

_BATCH: Final = 1000
_READ_CHARACTERS: Final = 1024 * 1024


def import_(options: argparse.Namespace) -> int:
    """Read documents and write them; return the exit code."""
    name = options.file or options.file_option
    if options.file and options.file_option:
        sys.stderr.write("psdb import: the file is named twice\n")
        return 2
    tally = Tally()
    failure: Exception | None = None
    try:
        with contextlib.ExitStack() as stack:
            source: TextIO = sys.stdin
            if name:
                source = stack.enter_context(
                    Path(name).open(encoding="utf-8-sig", newline="")
                )
            client = stack.enter_context(
                MongoClient[dict[str, Any]](options.uri, serverSelectionTimeoutMS=10_000)
            )
            collection = open_collection(client, options)
            if options.drop:
                collection.drop()
            _write_all(collection, _documents(source, options), options, tally)
    except (OSError, PyMongoError, ToolError, ValueError) as error:
        failure = error
        sys.stderr.write(f"psdb import: {error}\n")
    if not options.quiet:
        sys.stderr.write(
            f"{tally.done} document(s) {'deleted' if options.mode == 'delete' else 'imported'} "
            f"successfully. {tally.failed} document(s) failed to import.\n"
        )
    stopped = tally.failed and (options.stopOnError or options.maintainInsertionOrder)
    return 1 if failure is not None or stopped else 0


class Tally:
    """How many documents were written and how many were not."""

    def __init__(self) -> None:
        self.done = 0
        self.failed = 0


# -- writing ---------------------------------------------------------------------------------------


def _write_all(
    collection: Collection[dict[str, Any]], documents: Iterator[dict[str, Any]],
    options: argparse.Namespace, tally: Tally,
) -> None:
    ordered = options.stopOnError or options.maintainInsertionOrder
    batch: list[Any] = []
    for document in documents:
        batch.append(_operation(document, options))
        if len(batch) == _BATCH:
            if not _write(collection, batch, tally, ordered=ordered):
                return
            batch = []
    if batch:
        _write(collection, batch, tally, ordered=ordered)


def _operation(document: dict[str, Any], options: argparse.Namespace) -> Any:
    if options.mode == "insert":
        return InsertOne(document)
    query = {name: _at(document, name) for name in names_of(options.upsertFields)}
    if any(value is None for value in query.values()):
        if options.mode == "delete":
            return DeleteOne({"$expr": False})
        return InsertOne(document)
    if options.mode == "delete":
        return DeleteOne(query)
    if options.mode == "merge":
        changes = {name: value for name, value in document.items() if name not in query}
        return UpdateOne(query, {"$set": changes} if changes else {"$setOnInsert": query},
                         upsert=True)
    if "_id" not in query:
        document = {name: value for name, value in document.items() if name != "_id"}
    return ReplaceOne(query, document, upsert=True)


def _at(document: Any, path: str) -> Any:
    for name in path.split("."):
        document = document.get(name) if type(document) is dict else None
    return document


def _write(
    collection: Collection[dict[str, Any]], batch: list[Any], tally: Tally, *, ordered: bool
) -> bool:
    """Write a batch; False when the import is to stop."""
    deletes = type(batch[0]) is DeleteOne
    try:
        result = collection.bulk_write(batch, ordered=ordered)
    except BulkWriteError as error:
        details: Any = error.details
        errors = details["writeErrors"]
        for row in errors[:10]:
            sys.stderr.write(f"psdb import: {row['errmsg']}\n")
        tally.failed += len(errors)
        tally.done += _done(details, deletes=deletes)
        return not ordered
    tally.done += result.deleted_count if deletes else len(batch)
    return True


def _done(details: dict[str, Any], *, deletes: bool) -> int:
    names = ("nRemoved",) if deletes else ("nInserted", "nMatched", "nUpserted")
    return sum(details[name] for name in names)


# -- reading ---------------------------------------------------------------------------------------


def _documents(source: TextIO, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    if options.type != "json":
        return _rows(source, options)
    return _values(source, is_array=options.jsonArray)


_BETWEEN: Final = " \t\r\n\ufeff"
_BETWEEN_ELEMENTS: Final = _BETWEEN + "[,]"


def _values(source: TextIO, *, is_array: bool) -> Iterator[dict[str, Any]]:
    """Yield the documents of a text: one array, or one after another however they are set."""
    form = FORMATS["canonical"]
    decoder = json.JSONDecoder(
        object_pairs_hook=lambda pairs: json_util.object_pairs_hook(pairs, form)
    )
    text, at, number = "", 0, 0
    skipped = _BETWEEN_ELEMENTS if is_array else _BETWEEN
    while True:
        while at < len(text) and text[at] in skipped:
            at += 1
        if at == len(text):
            text, at = source.read(_READ_CHARACTERS), 0
            if not text:
                return
            continue
        try:
            value, end = decoder.raw_decode(text, at)
        except ValueError as error:
            more = source.read(_READ_CHARACTERS)
            if not more:
                raise ToolError(f"document {number + 1} is no valid JSON: {error}") from None
            text, at = text[at:] + more, 0
            continue
        if type(value) is not dict:
            raise ToolError(
                f"document {number + 1} is no object; is --jsonArray missing or too much?"
            )
        number += 1
        yield value
        at = end


def _rows(source: TextIO, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the rows of CSV or TSV as documents; names with points make documents within."""
    reader = csv.reader(source, delimiter="\t" if options.type == "tsv" else ",")
    names = names_of(options.fields)
    if options.headerline:
        if names:
            raise ToolError("incompatible options: --fields and --headerline")
        names = next(reader, [])
    if not names:
        raise ToolError("must specify --fields or --headerline to import this file type")
    for cells in reader:
        document: dict[str, Any] = {}
        for at, cell in enumerate(cells):
            if cell or not options.ignoreBlanks:
                _put(document, names[at] if at < len(names) else f"field{at}", _typed(cell))
        yield document


def _put(document: dict[str, Any], path: str, value: Any) -> None:
    *outer, last = path.split(".")
    for name in outer:
        document = document.setdefault(name, {})
    document[last] = value


def _typed(cell: str) -> Any:
    """Read a cell as a number where it is one, as mongoimport does."""
    for kind in (int, float):
        try:
            value = kind(cell)
        except ValueError:
            continue
        plain = cell.strip().lstrip("+-")[:1].isdigit() and "_" not in cell
        return value if plain and (kind is float or abs(value) < 2**63) else cell
    return cell
