"""`bulkWrite`, the 8.0 command: inserts, updates and deletes over several collections."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from bson.int64 import Int64

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.values import MISSING, Document
from psdb_server.command import Command, RawReply, Reply, Request
from psdb_server.cursors import BatchSource, batch_size_of
from psdb_server.fields import Field, FieldSet
from psdb_server.namespaces import check_collection_name, split_namespace
from psdb_server.replies import cursor_elements, document_elements, error_document
from shardsvr.collections import collection_for_write, member_of
from shardsvr.commands import delete as delete_command
from shardsvr.commands import update as update_command
from shardsvr.commands.insert import check_batch_size
from shardsvr.documents import prepare_insert
from shardsvr.retryable import Retry

_NAMESPACE: Final = FieldSet(
    "bulkWrite.nsInfo",
    (
        Field("ns", "string", required=True),
        Field("collectionUUID", "uuid"),
        Field("encryptionInformation", "object"),
    ),
)
_INSERT: Final = FieldSet(
    "insert", (Field("insert", "int"), Field("document", "object", required=True))
)
_UPDATE: Final = FieldSet(
    "update",
    (
        Field("update", "int"),
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
    "delete",
    (
        Field("delete", "int"),
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
    operations = args["ops"]
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
        bulk.on(next(iter(row.values()), -1) if row else -1)
    errors_only = args.get("errorsOnly", False)
    for index, operation in enumerate(operations):
        row = await _run(bulk, index, operation)
        failed = row["ok"] == 0.0
        if failed or not errors_only:
            bulk.rows.append(row)
        if failed and args.get("ordered", True):
            break
        await request.op.checkpoint(1)
    return await _reply(bulk)


async def _run(bulk: _Bulk, index: int, operation: Document) -> Document:
    """Run one operation and return its row of results."""
    kind = next(iter(operation), "")
    runner = _RUNNERS.get(kind)
    try:
        if runner is None:
            raise MongoError(
                Code.FAILED_TO_PARSE, f"Invalid bulkWrite operation at index {index}: '{kind}'"
            )
        outcome = await runner(bulk, index, operation)
    except MongoError as error:
        bulk.counts["nErrors"] += 1
        document = error_document(error)
        document.pop("codeName")
        row: Document = {"ok": 0.0, "idx": index, "n": 0}
        if kind == "update":
            row["nModified"] = 0
        document.pop("ok")
        return row | document
    return {"ok": 1.0, "idx": index, **outcome}


async def _insert(bulk: _Bulk, index: int, operation: Document) -> Document:
    parsed = _INSERT.parse(operation)
    request, name = bulk.on(operation["insert"])
    request.node.operations.count("insert")
    member = member_of(request)
    if bulk.retry.result(index) is None:
        raw, document = prepare_insert(member, bson_codec.encode(parsed["document"]))
        collection = await collection_for_write(member, request.db, name)
        if not bulk.request.args.get("bypassDocumentValidation", False):
            member.validators.check(collection, document, member.env())
        unit = member.engine.unit()
        try:
            unit.insert(collection, raw, document)
        except MongoError:
            unit.abort()
            raise
        bulk.retry.record(unit, index, {"n": 1})
        bulk.retry.commit(unit)
    bulk.counts["nInserted"] += 1
    return {"n": 1}


async def _update(bulk: _Bulk, index: int, operation: Document) -> Document:
    parsed = _UPDATE.parse(operation)
    request, name = bulk.on(operation["update"])
    request.node.operations.count("update")
    statement = {"q": parsed["filter"], "u": parsed["updateMods"]} | {
        name: parsed[name]
        for name in ("multi", "upsert", "arrayFilters", "hint", "collation", "sort")
        if name in parsed
    }
    if "constants" in parsed:
        statement["c"] = parsed["constants"]
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
    parsed = _DELETE.parse(operation)
    request, name = bulk.on(operation["delete"])
    request.node.operations.count("delete")
    statement: Document = {"q": parsed["filter"], "limit": 0 if parsed.get("multi") else 1}
    statement |= {key: parsed[key] for key in ("hint", "collation") if key in parsed}
    deleted = await delete_command.run_statement(request, name, statement, bulk.retry, index)
    bulk.counts["nDeleted"] += deleted
    return {"n": deleted}


_RUNNERS: Final[dict[str, Any]] = {"delete": _delete, "insert": _insert, "update": _update}


async def _reply(bulk: _Bulk) -> RawReply:
    """Return counts and the first batch of per-operation results."""
    request = bulk.request
    rows = [bson_codec.encode(row) for row in bulk.rows]
    size = batch_size_of(request.args.get("cursor", {}), len(rows))
    rest = rows[size:]
    cursor_id = 0
    ns = "admin.$cmd.bulkWrite"
    if rest:
        source = BatchSource(_once(rest))
        cursor_id = request.node.cursors.register(ns, source, request.generic.lsid).id
    elements = cursor_elements(cursor_id, ns, rows[:size], b"firstBatch")
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
