"""Commands about the process itself: `shutdown`, `logRotate`, connections to other nodes."""

from __future__ import annotations

from typing import Final

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field

_LOOPBACK: Final = ("127.", "::1", "localhost")


async def shutdown(request: Request) -> Reply:
    """Stop the process cleanly; the client sees its connection close, as MongoDB has it.

    Raises:
        MongoError: 13 for a client on another machine, as nobody has logged in.

    """
    node, connection = request.node, request.connection
    host = connection.peer[0]
    if host and not host.startswith(_LOOPBACK):
        raise MongoError(
            Code.UNAUTHORIZED,
            "shutdown must run from localhost when running db without auth",
        )
    if request.args.get("timeoutSecs", 0) < 0:
        raise MongoError(Code.BAD_VALUE, "timeoutSecs must be non-negative")
    if node.request_stop is None:
        raise MongoError(Code.ILLEGAL_OPERATION, "this node is stopped by the process it runs in")
    await node.before_shutdown(
        force=request.args.get("force", False),
        timeout_seconds=request.args.get("timeoutSecs", 15),
    )
    node.request_stop()
    connection.close()
    return {}


async def log_rotate(request: Request) -> Reply:
    """Begin a new log file; a log that is no file is left alone."""
    if request.target == "audit":
        raise MongoError(Code.AUDITING_NOT_ENABLED, "Auditing is not enabled")
    if type(request.target) is str and request.target != "server":
        raise MongoError(Code.NO_SUCH_KEY, f"Unknown log type '{request.target}' for rotation")
    if request.node.rotate_log is None:
        raise MongoError(Code.ILLEGAL_OPERATION, "this node writes the log of another process")
    request.node.rotate_log()
    return {}


async def conn_pool_stats(request: Request) -> Reply:
    """Count the connections this node has opened to others."""
    hosts = request.node.pool_rows()
    total: Document = {
        name: sum(row[name] for row in hosts.values())
        for name in ("inUse", "available", "created", "refreshing")
    }
    return {
        "numClientConnections": 0,
        "numAScopedConnections": 0,
        "totalInUse": total["inUse"],
        "totalAvailable": total["available"],
        "totalLeased": 0,
        "totalCreated": total["created"],
        "totalRefreshing": total["refreshing"],
        "pools": {"global": {**_pool(total), **hosts}} if hosts else {},
        "hosts": hosts,
        "replicaSets": {},
    }


def _pool(total: Document) -> Document:
    return {
        "poolInUse": total["inUse"], "poolAvailable": total["available"], "poolLeased": 0,
        "poolCreated": total["created"], "poolRefreshing": total["refreshing"],
    }


async def drop_connections(request: Request) -> Reply:
    """Close the idle connections to other nodes, and those in use when they are done."""
    hosts = request.args["hostAndPort"]
    for host in hosts:
        if type(host) is not str:
            raise MongoError(
                Code.TYPE_MISMATCH, "BSON field 'dropConnections.hostAndPort' takes strings"
            )
    request.node.drop_pooled(hosts)
    return {}


COMMANDS = (
    Command("connPoolStats", conn_pool_stats, help="Connections to other nodes."),
    Command(
        "dropConnections", drop_connections, (Field("hostAndPort", "array", required=True),),
        admin_only=True, help="Close connections to other nodes.",
    ),
    Command("logRotate", log_rotate, admin_only=True, help="Begin a new log file."),
    Command(
        "shutdown", shutdown, (Field("force", "safe bool"), Field("timeoutSecs", "int")),
        admin_only=True, help="Stop the process.",
    ),
)
