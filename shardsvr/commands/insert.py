"""`insert`."""

from __future__ import annotations

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.limits import WRITE_BATCH_COUNT_MAX
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field
from psdb_server.replies import write_error
from shardsvr.collections import name_of
from shardsvr.retryable import Retry
from shardsvr.writes import InsertRun


def raw_documents(request: Request, field: str) -> list[bytes]:
    """Return the raw documents of a command's array, from the body or a document sequence."""
    documents = request.sequences.get(field)
    if documents is not None:
        return documents
    for name, _kind, array in bson_codec.fields(request.message.body):
        if name == field:
            return [document for _index, _type, document in bson_codec.fields(array)]
    raise AssertionError(f"{field} was parsed but is not in the body")


def check_batch_size(count: int) -> None:
    """Raise 16 for an empty or too large batch of writes."""
    if not 1 <= count <= WRITE_BATCH_COUNT_MAX:
        raise MongoError(
            Code.INVALID_LENGTH,
            f"Write batch sizes must be between 1 and {WRITE_BATCH_COUNT_MAX}. "
            f"Got {count} operations.",
        )


async def insert(request: Request) -> Reply:
    """Insert documents; errors come by index, after the first one only when unordered."""
    name = name_of(request)
    args = request.args
    raws = raw_documents(request, "documents")
    check_batch_size(len(raws))
    run = InsertRun(
        request, name, Retry(request), ordered=args.get("ordered", True),
        validate=not args.get("bypassDocumentValidation", False),
    )
    await run.run(raws)
    request.node.operations.count("insert", run.count)
    reply: Document = {"n": run.count}
    if run.errors:
        reply["writeErrors"] = [write_error(index, error) for index, error in run.errors]
    return reply


COMMANDS = (
    Command(
        "insert", insert,
        (
            Field("documents", "objects", required=True),
            Field("ordered", "bool"),
            Field("bypassDocumentValidation", "safe bool"),
            Field("bypassEmptyTsReplacement", "safe bool"),
        ),
        writes=True, write_concern=True, api_v1=True, retryable=True,
        help="Insert documents.",
    ),
)
