"""`update`."""

from __future__ import annotations

from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_base.values import MISSING, Document
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field, FieldSet
from psdb_server.operations import INTERRUPTION_CODES
from psdb_server.replies import write_error
from shardsvr import profiler, writes
from shardsvr.collections import name_of
from shardsvr.commands.insert import check_batch_size
from shardsvr.retryable import Retry
from shardsvr.writes import UpdateResult

STATEMENT: Final = FieldSet(
    "update.updates",
    (
        Field("q", "object", required=True),
        Field("u", "any", required=True),
        Field("c", "object"),
        Field("multi", "safe bool"),
        Field("upsert", "safe bool"),
        Field("upsertSupplied", "safe bool"),
        Field("collation", "object"),
        Field("arrayFilters", "objects"),
        Field("hint", "string|object"),
        Field("sort", "object"),
    ),
)


async def update(request: Request) -> Reply:
    """Run update statements in order."""
    name = name_of(request)
    statements = [STATEMENT.parse(item) for item in request.args["updates"]]
    check_batch_size(len(statements))
    for statement in statements:
        check_stages(statement["u"])
    retry = Retry(request)
    if retry.active and any(item.get("multi") for item in statements):
        raise MongoError(
            Code.INVALID_OPTIONS, "Cannot use (or request) retryable writes with multi=true"
        )
    ordered = request.args.get("ordered", True)
    matched = modified = 0
    upserted: list[Document] = []
    errors: list[Document] = []
    for index, statement in enumerate(statements):
        request.node.operations.count("update")
        begun = profiler.mark(request.op)
        try:
            result = await run_statement(request, name, statement, retry, index)
        except MongoError as error:
            profiler.note(request.op, begun, statement, {}, error)
            if error.code in INTERRUPTION_CODES:
                raise
            errors.append(write_error(index, error))
            if ordered:
                break
            continue
        profiler.note(request.op, begun, statement, _figures(result))
        matched += result.matched
        modified += result.modified
        if result.upserted_id is not MISSING:
            upserted.append({"index": index, "_id": result.upserted_id})
    reply: Document = {"n": matched + len(upserted), "nModified": modified}
    if upserted:
        reply["upserted"] = upserted
    if errors:
        reply["writeErrors"] = errors
    return reply


def _figures(result: UpdateResult) -> Document:
    upserted = result.upserted_id is not MISSING
    return {
        "nMatched": result.matched, "nModified": result.modified, "nUpserted": int(upserted),
        **({"upsert": True} if upserted else {}),
    }


def check_stages(update: Any) -> None:
    """Raise 40324 for an update pipeline with a stage that does not exist.

    MongoDB looks at the names before it begins, so this fails the whole command.
    """
    if type(update) is not list:
        return
    from psdb_query.stages.table import find_stage

    for stage in update:
        if type(stage) is dict and len(stage) == 1:
            find_stage(next(iter(stage)))


async def run_statement(
    request: Request, name: str, statement: Document, retry: Retry, index: int
) -> UpdateResult:
    """Run one checked statement, or return what it did the first time."""
    earlier = retry.result(index)
    if earlier is not None:
        return writes.update_from_record(earlier)
    let = request.args.get("let")
    multi = statement.get("multi", False)
    if multi and statement.get("sort"):
        raise MongoError(Code.FAILED_TO_PARSE, "Cannot specify sort with multi=true")
    selection = writes.compile_selection(
        request, name, statement["q"], collation=statement.get("collation"),
        hint=statement.get("hint"), sort=statement.get("sort"), let=let,
        variables=tuple(statement.get("c", ())), multi=multi,
    )
    selection.env.update(statement.get("c", {}))
    compiled = writes.compile_update_statement(statement, selection.context)
    if multi and compiled.kind == "replacement":
        raise MongoError(
            Code.FAILED_TO_PARSE, "multi update is not supported for replacement-style update"
        )
    return await writes.update_statement(
        request, name, selection, compiled, multi=multi,
        upsert=statement.get("upsert", False), retry=retry, index=index,
        validate=not request.args.get("bypassDocumentValidation", False),
    )


COMMANDS = (
    Command(
        "update", update,
        (
            Field("updates", "objects", required=True),
            Field("ordered", "bool"),
            Field("bypassDocumentValidation", "safe bool"),
            Field("bypassEmptyTsReplacement", "safe bool"),
            Field("let", "object"),
        ),
        writes=True, write_concern=True, api_v1=True, retryable=True,
        help="Update documents.",
    ),
)
