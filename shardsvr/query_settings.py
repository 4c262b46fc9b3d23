"""Query settings: what an administrator says of all queries of a shape, on the whole cluster.

They are kept as MongoDB keeps them, in the cluster parameter `querySettings`: rows of a shape's
hash, its settings and a query that has the shape. The router tells the config server and every
shard, and each member looks a query up by the shape of the command that reaches it.

A router that cuts a command up for several shards sends the shape of the whole along.
"""

from __future__ import annotations

from typing import Final

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.query_shapes import WHOLE_SHAPE, hash_of, shape_of_command
from psdb_server.command import Request
from shardsvr.collections import member_of
from shardsvr.planning.query import Advice
from shardsvr.settings import PARAMETERS

QUERY_SETTINGS: Final = (PARAMETERS, "querySettings")
KINDS: Final = ("aggregate", "distinct", "find")
INTERNAL_DATABASES: Final = ("admin", "config", "local")

NEVER_REJECTED: Final = frozenset(
    (
        "$collStats",
        "$currentOp",
        "$indexStats",
        "$listLocalSessions",
        "$listSampledQueries",
        "$listSessions",
        "$planCacheStats",
        "$querySettings",
        "$queryStats",
    )
)
"""Stages with which an administrator looks for the queries to be rejected."""



def namespace_of(db: str, hint: Document) -> str:
    """Return the collection that an entry of `indexHints` is about."""
    ns = hint["ns"]
    return f"{ns.get('db', db)}.{ns['coll']}"


def heed(request: Request, *, explain: bool = False) -> None:
    """Apply the settings of a query's shape: refuse it, or give the planner its advice.

    Args:
        request: A find, distinct or aggregate; its `hint` may be replaced by an `Advice`.
        explain: It is only explained, which is never refused.

    Raises:
        MongoError: 396 QueryRejectedBySettings.

    """
    rows = member_of(request).settings.query_settings()
    if not rows or request.db in INTERNAL_DATABASES:
        return
    name = request.args.get(WHOLE_SHAPE)
    if name is None:
        command = {request.command.name: request.target, **request.args}
        name = hash_of(shape_of_command(command, request.db))
    row = rows.get(name)
    if row is None:
        return
    settings = row["settings"]
    if settings.get("reject") and not explain:
        raise MongoError(
            Code.QUERY_REJECTED_BY_SETTINGS, "Query rejected by admin query settings"
        )
    if request.args.get("min") or request.args.get("max"):
        return  # they are bounds in the index that the hint names
    indexes = {
        namespace_of(request.db, hint): hint.get("allowedIndexes", [])
        for hint in settings.get("indexHints", [])
    }
    request.args["hint"] = Advice(settings, request.args.get("hint"), indexes)
