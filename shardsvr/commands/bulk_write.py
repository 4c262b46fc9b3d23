"""`bulkWrite`, the 8.0 command: inserts, updates and deletes over several collections."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from bson.int64 import Int64

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.values import MISSING, Document
from psdb_server.command import Command, RawReply, Reply, Request
from psdb_server.cursors import BatchSource, Cursor, batch_size_of
from psdb_server.fields import Field, FieldSet
from psdb_server.namespaces import check_collection_name, split_namespace
from psdb_server.operations import INTERRUPTION_CODES
from psdb_server.replies import cursor_elements, document_elements, error_document
from shardsvr.commands import delete as delete_command
from shardsvr.commands import update as update_command
from shardsvr.commands.insert import check_batch_size
from shardsvr.retryable import Retry
from shardsvr.writes import InsertRun

_INSERTS_TOGETHER_MAX: Final = 1024

_NAMESPACE: Final = FieldSet(
    "bulkWrite.nsInfo",
    (
        Field("ns", "string", required=True),
        Field("collectionUUID", "uuid"),
        Field("encryptionInformation", "object"),
    ),
)
_INSERT: Final = FieldSet(
    "bulkWrite.ops",
    (Field("insert", "int", required=True), Field("document", "object", required=True)),
)
_UPDATE: Final = FieldSet(
    "bulkWrite.ops",
    (
        Field("update", "int", required=True),
        Field("filter", "object", required=True),
        Field("updateMods", "object|array", required=True),
        Field("multi", "safe bool"),
        Field("upsert", "safe bool"),
        Field("arrayFilters", "objects"),
        Field("hint", "string|object"),
        Field("collation", "object"),
        Field("constants", "object"),
        Field("sort", "object"),
        Field("upsertSupplied", "safe bool"),
    ),
)
_DELETE: Final = FieldSet(
    "bulkWrite.ops",
    (
        Field("delete", "int", required=True),
        Field("filter", "object", required=True),
        Field("multi", "safe bool"),
        Field("hint", "string|object"),
        Field("collation", "object"),
    ),
)


@dataclass(slots=True)
class _Bulk:
    """One bulkWrite on its way: what to do, what was done."""

    request: Request
    namespaces: list[tuple[str, str]]
    retry: Retry
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            ("nErrors", "nInserted", "nMatched", "nModified", "nUpserted", "nDeleted"), 0
        )
    )
    rows: list[Document] = field(default_factory=list)

    def on(self, index: int) -> tuple[Request, str]:
        """Return a request for the namespace at `index`, and its collection."""
        if type(index) not in (int, Int64) or not 0 <= index < len(self.namespaces):
            raise MongoError(
                Code.BAD_VALUE,
                f"BulkWrite ops entry has an invalid nsInfo index {index}. Expected a value "
                f"between 0 and {len(self.namespaces) - 1}.",
            )
        db, name = self.namespaces[index]
        request = self.request
        if db != request.db:
            from dataclasses import replace

            request = replace(request, db=db)
        return request, name


async def bulk_write(request: Request) -> Reply:
    """Run the operations in order; per-operation results come as a cursor."""
    args = request.args
    operations = [_parsed(operation) for operation in args["ops"]]
    check_batch_size(len(operations))
    namespaces = [
        split_namespace(_NAMESPACE.parse(row)["ns"]) for row in args["nsInfo"]
    ]
    for db, name in namespaces:
        check_collection_name(db, name)
    if args.get("cursor", {}).get("batchSize", 1) == 0:
        raise MongoError(
            Code.BAD_VALUE, "cursor.batchSize must be at least 1 for a bulkWrite"
        )
    bulk = _Bulk(request, namespaces, Retry(request))
    if bulk.retry.active and any(row.get("multi") for row in operations):
        raise MongoError(
            Code.INVALID_OPTIONS, "Cannot use (or request) retryable writes with multi=true"
        )
    for row in operations:
        bulk.on(next(iter(row.values())))
    await _run_all(bulk, operations)
    return await _reply(bulk)


def _parsed(operation: Document) -> Document:
    """Check an operation's fields; a malformed one fails the whole command."""
    kind = next(iter(operation), "")
    if kind not in _OPERATIONS:
        raise MongoError(40415, f"BSON field 'bulkWrite.ops.{kind}' is an unknown field.")
    return _OPERATIONS[kind].parse(operation)


async def _run_all(bulk: _Bulk, operations: list[Document]) -> None:
    """Run the operations in order; inserts that follow each other in one collection together."""
    args = bulk.request.args
    errors_only, ordered = args.get("errorsOnly", False), args.get("ordered", True)
    index = 0
    while index < len(operations):
        end = _inserts_end(operations, index)
        if end > index:
            rows = await _insert(bulk, index, operations[index:end])
        else:
            rows = [await _run(bulk, index, operations[index])]
            await bulk.request.op.checkpoint(1)
        index += len(rows)
        bulk.rows += [row for row in rows if not errors_only or row["ok"] == 0.0]
        if ordered and rows[-1]["ok"] == 0.0:
            return


def _inserts_end(operations: list[Document], start: int) -> int:
    """Return where the inserts into one collection that begin at `start` end."""
    space = operations[start].get("insert")
    for index in range(start, min(len(operations), start + _INSERTS_TOGETHER_MAX)):
        operation = operations[index]
        if next(iter(operation), "") != "insert" or operation["insert"] != space:
            return index
    return min(len(operations), start + _INSERTS_TOGETHER_MAX)


async def _run(bulk: _Bulk, index: int, operation: Document) -> Document:
    """Run one update or delete and return its row of results."""
    kind = next(iter(operation))
    try:
        outcome = await _RUNNERS[kind](bulk, index, operation)
    except MongoError as error:
        if error.code in INTERRUPTION_CODES:
            raise
        return _failed(bulk, index, error, updates=kind == "update")
    return {"ok": 1.0, "idx": index, **outcome}


def _failed(bulk: _Bulk, index: int, error: MongoError, *, updates: bool = False) -> Document:
    """Count an operation's error and return its row."""
    bulk.counts["nErrors"] += 1
    document = error_document(error)
    del document["codeName"], document["ok"]
    row: Document = {"ok": 0.0, "idx": index, "n": 0}
    if updates:
        row["nModified"] = 0
    return row | document


async def _insert(bulk: _Bulk, first: int, operations: list[Document]) -> list[Document]:
    """Run inserts into one collection; return the rows of those that ran."""
    request, name = bulk.on(operations[0]["insert"])
    args = bulk.request.args
    run = InsertRun(
        request, name, bulk.retry, ordered=args.get("ordered", True),
        validate=not args.get("bypassDocumentValidation", False), first=first,
    )
    await run.run([bson_codec.encode(operation["document"]) for operation in operations])
    request.node.operations.count("insert", run.count)
    bulk.counts["nInserted"] += run.count
    errors = dict(run.errors)
    return [
        _failed(bulk, first + at, errors[at]) if at in errors
        else {"ok": 1.0, "idx": first + at, "n": 1}
        for at in range(run.done)
    ]


async def _update(bulk: _Bulk, index: int, operation: Document) -> Document:
    request, name = bulk.on(operation["update"])
    request.node.operations.count("update")
    statement = {"q": operation["filter"], "u": operation["updateMods"]} | {
        name: operation[name]
        for name in (
            "multi", "upsert", "upsertSupplied", "arrayFilters", "hint", "collation", "sort",
        )
        if name in operation
    }
    if "constants" in operation:
        statement["c"] = operation["constants"]
    result = await update_command.run_statement(request, name, statement, bulk.retry, index)
    counts = bulk.counts
    counts["nMatched"] += result.matched
    counts["nModified"] += result.modified
    outcome: Document = {"n": result.matched, "nModified": result.modified}
    if result.upserted_id is not MISSING:
        counts["nUpserted"] += 1
        outcome["n"] = 1
        outcome["upserted"] = {"_id": result.upserted_id}
    return outcome


async def _delete(bulk: _Bulk, index: int, operation: Document) -> Document:
    request, name = bulk.on(operation["delete"])
    request.node.operations.count("delete")
    statement: Document = {"q": operation["filter"], "limit": 0 if operation.get("multi") else 1}
    statement |= {key: operation[key] for key in ("hint", "collation") if key in operation}
    deleted = await delete_command.run_statement(request, name, statement, bulk.retry, index)
    bulk.counts["nDeleted"] += deleted
    return {"n": deleted}


_RUNNERS: Final[dict[str, Any]] = {"delete": _delete, "update": _update}
_OPERATIONS: Final = {"delete": _DELETE, "insert": _INSERT, "update": _UPDATE}


async def _reply(bulk: _Bulk) -> RawReply:
    """Return counts and the first batch of per-operation results, as many as a reply takes."""
    request = bulk.request
    rows = [bson_codec.encode(row) for row in bulk.rows]
    size = batch_size_of(request.args.get("cursor", {}), len(rows))
    ns = "admin.$cmd.bulkWrite"
    source = BatchSource(_once(rows))
    cursor = Cursor(0, ns, source, request.generic.lsid)
    batch = await cursor.batch(request.op, size) if rows else []
    cursor_id = 0
    if len(batch) < len(rows):
        opened = request.node.cursors.register(ns, source, request.generic.lsid)
        opened.pending = cursor.pending
        cursor_id = opened.id
    elements = cursor_elements(cursor_id, ns, batch, b"firstBatch")
    return RawReply(elements + document_elements(dict(bulk.counts)))


async def _once(rows: list[bytes]) -> Any:
    yield rows


COMMANDS = (
    Command(
        "bulkWrite", bulk_write,
        (
            Field("ops", "objects", required=True),
            Field("nsInfo", "objects", required=True),
            Field("ordered", "bool"),
            Field("errorsOnly", "bool"),
            Field("bypassDocumentValidation", "safe bool"),
            Field("bypassEmptyTsReplacement", "safe bool"),
            Field("cursor", "object"),
            Field("let", "object"),
        ),
        admin_only=True, writes=True, write_concern=True, api_v1=True, retryable=True,
        help="Insert, update and delete over several collections.",
    ),
)
