"""`getMore` and `killCursors`."""

from __future__ import annotations

from typing import cast

from bson.int64 import Int64

from psdb_base.errors import Code, MongoError
from psdb_server.command import Command, RawReply, Reply, Request
from psdb_server.cursors import AwaitSource, Cursor
from psdb_server.fields import Field, type_name
from psdb_server.namespaces import check_collection_name
from psdb_server.replies import cursor_elements
from shardsvr.collections import member_of
from shardsvr.tailing import AWAIT_MS_DEFAULT


async def get_more(request: Request) -> Reply:
    """Return the next batch of a cursor."""
    node = request.node
    name = check_collection_name(request.db, request.args["collection"])
    request.op.ns = f"{request.db}.{name}"
    node.operations.count("getmore")
    if type(request.target) is not Int64 and type(request.target) is not int:
        raise MongoError(
            Code.TYPE_MISMATCH,
            f"BSON field 'getMore.getMore' is the wrong type '{type_name(request.target)}', "
            "expected type 'long'",
        )
    cursor = node.cursors.checkout(
        int(request.target), request.op.ns, request.generic.lsid, request.op
    )
    if request.generic.max_time_ms and not cursor.await_data:
        node.cursors.checkin(cursor)
        raise MongoError(
            Code.BAD_VALUE,
            "cannot set maxTimeMS on getMore command for a non-awaitData cursor",
        )
    request.op.committed = cursor.committed
    try:
        if node.fail_points.active:
            node.fail_points.on_get_more(
                request.connection, request.op.ns, has_time_limit=cursor.seconds_left is not None
            )
        batch = await _next_batch(request, cursor)
        request.op.check()  # what is told now was not killed meanwhile
    except BaseException:
        await node.cursors.end(cursor)
        raise
    node.cursors.checkin(cursor)
    if cursor.command.get("readConcern", {}).get("level") == "linearizable":
        await member_of(request).linearize()
    request.op.returned = len(batch)
    request.op.origin = cursor.command
    if cursor.exhausted:
        await node.cursors.end(cursor)
        return RawReply(cursor_elements(0, cursor.ns, batch, b"nextBatch"))
    return RawReply(cursor_elements(cursor.id, cursor.ns, batch, b"nextBatch"))


async def _next_batch(request: Request, cursor: Cursor) -> list[bytes]:
    """Fetch a batch; an awaiting cursor at its end waits for something to come."""
    op, size = request.op, request.args.get("batchSize", 0)
    if not cursor.await_data:
        if cursor.seconds_left is not None:
            op.deadline = op.started + cursor.seconds_left
        batch = await cursor.batch(op, size)
        cursor.seconds_left = op.remaining_seconds()
        return batch
    op.deadline = None  # the time limit of this getMore is how long to wait, not how long to work
    left = request.generic.max_time_ms or AWAIT_MS_DEFAULT
    end = op.elapsed_ms() + left
    source = cast("AwaitSource", cursor.source)
    batch = await cursor.batch(op, size)
    while not batch and await source.wait(op, end - op.elapsed_ms()):
        batch = await cursor.batch(op, size)
    return batch


async def kill_cursors(request: Request) -> Reply:
    """Close cursors."""
    check_collection_name(request.db, request.target)
    killed: list[Int64] = []
    not_found: list[Int64] = []
    for value in request.args["cursors"]:
        if type(value) not in (Int64, int):
            raise MongoError(
                Code.TYPE_MISMATCH,
                f"BSON field 'killCursors.cursors.0' is the wrong type '{type_name(value)}', "
                "expected type 'long'",
            )
        found = await request.node.cursors.kill(int(value))
        (killed if found else not_found).append(Int64(value))
    return {
        "cursorsKilled": killed,
        "cursorsNotFound": not_found,
        "cursorsAlive": [],
        "cursorsUnknown": [],
    }


COMMANDS = (
    Command(
        "getMore", get_more,
        (Field("collection", "any", required=True), Field("batchSize", "count")),
        api_v1=True, help="Return the next batch of a cursor.",
    ),
    Command(
        "killCursors", kill_cursors, (Field("cursors", "array", required=True),), api_v1=True,
        help="Close cursors.",
    ),
)
