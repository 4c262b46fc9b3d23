"""`currentOp`, `killOp`, and the rows of `$currentOp`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bson.binary import Binary
from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.context import CompileContext, make_env
from psdb_query.filters import compile_filter
from psdb_server.command import Command, Reply, Request
from psdb_server.cursors import Cursor
from psdb_server.fields import Field
from psdb_server.generic import GENERIC_FIELDS

if TYPE_CHECKING:
    from psdb_server.node import Node
    from psdb_server.operations import Operation
    from psdb_wire.connection import Connection

OWN_FIELDS: Final = frozenset({"currentOp", "$all", "$ownOps"})
_COMMAND_BYTES_MAX: Final = 1000
"""With `truncateOps` a command that takes more is shown as the beginning of its text."""


def operation_rows(node: Node, options: Document) -> list[Document]:
    """Return the rows of `$currentOp`: operations, then what is idle and asked for.

    Args:
        node: The node to tell of.
        options: The stage's options: `idleConnections`, `idleCursors`, `idleSessions`,
            `truncateOps`. Without users all operations are everybody's.

    """
    rows = [describe(node, op) for op in node.operations.running.values()]
    if options.get("idleConnections") and node.server is not None:
        busy = {op.connection.id for op in node.operations.running.values() if op.connection}
        rows += [
            _idle_connection(node, connection) for connection in node.server.connections
            if connection.id not in busy
        ]
    if options.get("idleCursors"):
        cursors = node.cursors.open.values()
        rows += [_idle_cursor(node, cursor) for cursor in cursors if not cursor.in_use]
    if options.get("idleSessions"):
        rows += node.idle_session_rows()
    if options.get("truncateOps"):
        for row in rows:
            _truncate(row)
    return rows


def describe(node: Node, op: Operation) -> Document:
    """Return the row of a running operation, with what the role knows of its plan."""
    row = op.describe(node.host)
    row |= node.slow_fields(op)
    return row


def _idle_connection(node: Node, connection: Connection) -> Document:
    row: Document = {
        "type": "op",
        "host": node.host,
        "desc": f"conn{connection.id}",
        "connectionId": connection.id,
        "client": connection.peer_name,
    }
    if connection.client:
        row["appName"] = connection.client.get("application", {}).get("name", "")
        row["clientMetadata"] = connection.client
    row["active"] = False
    return row


def _idle_cursor(node: Node, cursor: Cursor) -> Document:
    clock = node.world.clock
    idle_ms = int((clock.monotonic() - cursor.last_use) * 1000)
    row: Document = {
        "type": "idleCursor",
        "host": node.host,
        "ns": cursor.ns,
        "cursor": {
            "cursorId": Int64(cursor.id),
            "createdDate": DatetimeMS(cursor.created_ms),
            "lastAccessDate": DatetimeMS(clock.now_ms() - idle_ms),
            "nDocsReturned": Int64(cursor.returned),
            "noCursorTimeout": cursor.no_timeout,
            "tailable": cursor.tailable,
            "awaitData": cursor.await_data,
            "originatingCommand": {
                name: value for name, value in cursor.command.items() if name != "$clusterTime"
            },
        },
    }
    if cursor.lsid is not None:
        row["lsid"] = {"id": Binary(cursor.lsid, 4)}
    return row


def _truncate(row: Document) -> None:
    holder, name = row, "command"
    if "cursor" in row and "originatingCommand" in row["cursor"]:
        holder, name = row["cursor"], "originatingCommand"
    command = holder.get(name)
    if not command or len(bson_codec.encode(command)) <= _COMMAND_BYTES_MAX:
        return
    shown: Document = {"$truncated": str(command)[:_COMMAND_BYTES_MAX]}
    if "comment" in command:
        shown["comment"] = command["comment"]
    holder[name] = shown


def filtered(request: Request, rows: list[Document]) -> list[Document]:
    """Return the rows that the further fields of a `currentOp` command choose."""
    spec = {
        name: value for name, value in request.body.items()
        if name not in OWN_FIELDS and name not in GENERIC_FIELDS
    }
    if not spec:
        return rows
    chosen = compile_filter(spec, CompileContext())
    env = make_env(DatetimeMS(request.node.world.clock.now_ms()))
    return [row for row in rows if chosen.matches(row, env)]


def stage_options(body: Document) -> Document:
    """Return the options of `$currentOp` that a `currentOp` command stands for."""
    return {"idleConnections": bool(body.get("$all")), "truncateOps": True}


async def current_op(request: Request) -> Reply:
    """List running operations; further fields are a filter over the rows."""
    node = request.node
    rows = operation_rows(node, stage_options(request.body))
    reply: Document = {"inprog": filtered(request, rows)}
    return reply | node.lock_fields()


async def kill_op(request: Request) -> Reply:
    """Ask an operation to stop; succeeds also when it has ended already."""
    opid: Any = request.args["op"]
    if opid == request.op.opid:
        raise MongoError(Code.ILLEGAL_OPERATION, "an operation cannot kill itself")
    request.node.operations.kill(opid)
    return {"info": "attempting to kill op"}


COMMANDS = (
    Command(
        "currentOp", current_op, admin_only=True, strict=False, help="List running operations.",
    ),
    Command(
        "killOp", kill_op, (Field("op", "int", required=True),), admin_only=True,
        help="Ask an operation to stop.",
    ),
)
