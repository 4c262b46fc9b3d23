"""`delete`."""

from __future__ import annotations

from typing import Final

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field, FieldSet
from psdb_server.operations import INTERRUPTION_CODES
from psdb_server.replies import write_error
from shardsvr import profiler, writes
from shardsvr.collections import name_of
from shardsvr.commands.insert import check_batch_size
from shardsvr.retryable import Retry

STATEMENT: Final = FieldSet(
    "delete.deletes",
    (
        Field("q", "object", required=True),
        Field("limit", "int", required=True),
        Field("collation", "object"),
        Field("hint", "string|object"),
    ),
)


async def delete(request: Request) -> Reply:
    """Run delete statements in order."""
    name = name_of(request)
    statements = [STATEMENT.parse(item) for item in request.args["deletes"]]
    check_batch_size(len(statements))
    retry = Retry(request)
    if retry.active and any(item["limit"] != 1 for item in statements):
        raise MongoError(
            Code.INVALID_OPTIONS, "Cannot use (or request) retryable writes with limit=0"
        )
    ordered = request.args.get("ordered", True)
    deleted = 0
    errors: list[Document] = []
    for index, statement in enumerate(statements):
        request.node.operations.count("delete")
        begun = profiler.mark(request.op)
        try:
            gone = await run_statement(request, name, statement, retry, index)
            deleted += gone
            profiler.note(request.op, begun, statement, {"ndeleted": gone})
        except MongoError as error:
            profiler.note(request.op, begun, statement, {}, error)
            if error.code in INTERRUPTION_CODES:
                raise
            errors.append(write_error(index, error))
            if ordered:
                break
    reply: Document = {"n": deleted}
    if errors:
        reply["writeErrors"] = errors
    return reply


async def run_statement(
    request: Request, name: str, statement: Document, retry: Retry, index: int
) -> int:
    """Run one checked statement; return how many documents it deleted."""
    earlier = retry.result(index)
    if earlier is not None:
        count: int = earlier["n"]
        return count
    limit = statement["limit"]
    if limit not in (0, 1):
        raise MongoError(
            Code.FAILED_TO_PARSE,
            f"The limit field in delete objects must be 0 or 1. Got {limit}",
        )
    selection = writes.compile_selection(
        request, name, statement["q"], collation=statement.get("collation"),
        hint=statement.get("hint"), let=request.args.get("let"), multi=limit == 0,
    )
    deleted, _image = await writes.delete_statement(
        request, name, selection, multi=limit == 0, retry=retry, index=index
    )
    return deleted


COMMANDS = (
    Command(
        "delete", delete,
        (
            Field("deletes", "objects", required=True),
            Field("ordered", "bool"),
            Field("let", "object"),
        ),
        writes=True, write_concern=True, api_v1=True, retryable=True,
        help="Delete documents.",
    ),
)
