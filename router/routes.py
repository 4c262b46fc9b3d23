"""The routes: for each command that is not the router's own, where it goes.

A route without `run` forwards to the database's primary shard. A `run` takes care of commands
that need more; it may return NotImplemented to let the plain forwarding go on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bson.int64 import Int64

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server import replies
from psdb_server.namespaces import split_namespace
from psdb_wire.frames import Message, build_op_msg

if TYPE_CHECKING:
    from psdb_wire.connection import Connection
    from router.server import Router
    from router.shards import Shard

Run = Callable[["Router", "Connection", Message, Document, str], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Route:
    """Where a command goes.

    Attributes:
        run: Special treatment, None for plain forwarding.
        creates: The database is created when it does not exist.
        opens_cursor: The reply may open a cursor that the router must remember.

    """

    run: Run | None = None
    creates: bool = False
    opens_cursor: bool = False


def ok_message(message: Message, body: Document, times: bytes) -> bytes:
    """Build a reply message of a document."""
    elements = replies.document_elements(body) + replies.OK_ELEMENT + times
    return build_op_msg(message.request_id, message.request_id, replies.close_body(elements))


def reply_body(raw: bytes) -> Document:
    """Decode a shard's reply."""
    return bson_codec.decode(raw[21:])


async def get_more(
    router: Router, connection: Connection, message: Message, body: Document, db: str
) -> Any:
    """Send a getMore to the shard whose cursor it is."""
    cursor_id = body["getMore"]
    owner = router.owners.owner(cursor_id) if type(cursor_id) in (Int64, int) else None
    if owner is None:
        if type(cursor_id) not in (Int64, int):
            return NotImplemented
        raise MongoError(Code.CURSOR_NOT_FOUND, f"cursor id {cursor_id} not found")
    if router.fail_points.active:
        try:
            router.fail_points.on_get_more(connection, f"{db}.{body.get('collection')}")
        except MongoError:
            await router.close_cursor(cursor_id, body)
            raise
    reply = await owner.forward(connection, message)
    if reply is not None:
        cursor = replies.read_cursor(reply[21:])
        if cursor is None or not cursor[0]:
            # An error other than "in use" or a wrong namespace closes the cursor as well.
            if cursor is not None or _is_gone(reply):
                router.owners.forget(cursor_id)
        else:
            router.owners.remember(cursor_id, owner)
    return reply


def _is_gone(reply: bytes) -> bool:
    return reply_body(reply).get("code") == Code.CURSOR_NOT_FOUND


async def kill_cursors(
    router: Router, _connection: Connection, message: Message, body: Document, db: str
) -> Any:
    """Send a killCursors to every shard that owns some of the cursors."""
    cursors = body.get("cursors")
    if type(cursors) is not list or type(body["killCursors"]) is not str:
        return NotImplemented
    by_owner: dict[int, tuple[Shard, list[Any]]] = {}
    not_found: list[Any] = []
    for cursor_id in cursors:
        owner = router.owners.owner(cursor_id) if type(cursor_id) in (Int64, int) else None
        if owner is None:
            not_found.append(cursor_id)
            continue
        by_owner.setdefault(id(owner), (owner, []))[1].append(cursor_id)
        router.owners.forget(cursor_id)
    killed: list[Any] = []
    for owner, ids in by_owner.values():
        reply = await owner.command(db, {"killCursors": body["killCursors"], "cursors": ids})
        killed += reply["cursorsKilled"]
        not_found += reply["cursorsNotFound"]
    document: Document = {
        "cursorsKilled": killed,
        "cursorsNotFound": not_found,
        "cursorsAlive": [],
        "cursorsUnknown": [],
    }
    return ok_message(message, document, router.reply_times())


async def drop_database(
    router: Router, connection: Connection, message: Message, _body: Document, db: str
) -> Any:
    """Drop a database on its shard, then forget it in the catalogue."""
    channel = await router.routing.channel(db, create=False)
    reply = await channel.forward(connection, message)
    if reply is not None and reply_body(reply).get("ok") == 1.0:
        await router.routing.config.command(
            "admin", {"_configsvrDropDatabase": 1, "database": db}
        )
        router.routing.forget(db)
    return reply


async def rename_collection(
    router: Router, connection: Connection, message: Message, body: Document, db: str
) -> Any:
    """Rename a collection on its shard; the target's database must be on the same one."""
    source, target = body["renameCollection"], body.get("to")
    if db != "admin" or type(source) is not str or type(target) is not str:
        return NotImplemented
    source_db, _ = split_namespace(source)
    target_db, _ = split_namespace(target)
    channel = await router.routing.channel(source_db, create=False)
    if target_db != source_db:
        primary = await router.routing.primary(source_db)
        if primary is not None:
            await router.routing.config.command("admin", {
                "_configsvrGetDatabase": 1, "database": target_db, "create": True,
                "primaryShard": primary,
            })
        if await router.routing.channel(target_db, create=False) is not channel:
            raise MongoError(
                Code.COMMAND_FAILED, "Source and destination collections must be on same shard"
            )
    return await channel.forward(connection, message)


async def bulk_write(
    router: Router, connection: Connection, message: Message, body: Document, db: str
) -> Any:
    """Send a bulkWrite to the shard of its databases."""
    rows = body.get("nsInfo")
    if rows is None:
        found = [docs for name, docs in message.sequences if name == "nsInfo"]
        rows = [bson_codec.decode(raw) for raw in found[0]] if found else []
    if db != "admin" or type(rows) is not list:
        return NotImplemented
    channels: list[Shard] = []
    for row in rows:
        ns = row.get("ns") if type(row) is dict else None
        if type(ns) is str:
            name, _ = split_namespace(ns)
            channel = await router.routing.channel(name, create=True)
            if channel not in channels:
                channels.append(channel)
    if not channels:
        channels = [await router.routing.channel("test", create=False)]
    if len(channels) > 1:
        raise MongoError(
            Code.NOT_IMPLEMENTED,
            "bulkWrite over databases of different shards is not supported by PSDB yet",
        )
    return await router.forward(channels[0], connection, message, ROUTES["bulkWrite"])


async def aggregate(
    router: Router, _connection: Connection, message: Message, body: Document, db: str
) -> Any:
    """Send a pipeline to its shard; one that writes creates its database first."""
    pipeline = body.get("pipeline")
    if type(pipeline) is not list or not pipeline or type(pipeline[-1]) is not dict:
        return NotImplemented
    first = next(iter(pipeline[0]), "") if type(pipeline[0]) is dict else ""
    # None of these stages is in the Stable API: the shard's refusal will do for a strict client.
    if first in _SHARD_LOCAL and db in ("admin", "config") and not body.get("apiStrict"):
        from router.cluster_commands import aggregate_on_shards

        return await aggregate_on_shards(router, message, body, db)
    last = next(iter(pipeline[-1]), "")
    if last in ("$out", "$merge"):
        target_db = _target_database(pipeline[-1][last], db)
        channel = await router.routing.channel(db, create=True)
        if target_db != db and await router.routing.channel(target_db, create=True) is not channel:
            raise MongoError(
                Code.NOT_IMPLEMENTED,
                f"{last} into a database on another shard is not supported by PSDB yet",
            )
    return NotImplemented


async def map_reduce(
    router: Router, _connection: Connection, _message: Message, body: Document, db: str
) -> Any:
    """Send it to its shard, whose output must be in a database of the same shard."""
    out = body.get("out")
    target = out.get("db", db) if type(out) is dict else db
    if target != db and type(target) is str and target not in ("admin", "config", "local"):
        channel = await router.routing.channel(db, create=True)
        if await router.routing.channel(target, create=True) is not channel:
            raise MongoError(
                Code.NOT_IMPLEMENTED,
                "mapReduce into a database on another shard is not supported by PSDB yet",
            )
    return NotImplemented


_SHARD_LOCAL: Final = frozenset({"$currentOp", "$listLocalSessions"})


def _target_database(spec: Any, db: str) -> str:
    if type(spec) is dict:
        into = spec.get("into", spec)
        if type(into) is dict and type(into.get("db")) is str:
            name: str = into["db"]
            return name
    return db


async def explain(
    router: Router, connection: Connection, message: Message, _body: Document, db: str
) -> Any:
    """Explain on the shard and show it as a mongos does."""
    channel = await router.routing.channel(db, create=False)
    reply = await channel.forward(connection, message)
    if reply is None:
        return None
    document = reply_body(reply)
    if document.get("ok") != 1.0:
        return reply
    from router.explain import as_router

    shard = await router.routing.primary(db) or "config"
    return ok_message(message, as_router(document, shard, router.host), router.reply_times())


async def db_stats(
    router: Router, connection: Connection, message: Message, _body: Document, db: str
) -> Any:
    """Return a database's sizes, with the shard's own under `raw`."""
    channel = await router.routing.channel(db, create=False)
    reply = await channel.forward(connection, message)
    if reply is None or reply_body(reply).get("ok") != 1.0:
        return reply
    stats = {
        name: value for name, value in reply_body(reply).items()
        if name not in ("$clusterTime", "operationTime")
    }
    stats.pop("ok")
    shard = await router.routing.primary(db) or "config"
    return ok_message(message, {"raw": {shard: stats}, **stats}, router.reply_times())


async def coll_stats(
    router: Router, connection: Connection, message: Message, _body: Document, db: str
) -> Any:
    """Return a collection's sizes, with the name of its shard."""
    channel = await router.routing.channel(db, create=False)
    reply = await channel.forward(connection, message)
    if reply is None or reply_body(reply).get("ok") != 1.0:
        return reply
    stats = {
        name: value for name, value in reply_body(reply).items()
        if name not in ("$clusterTime", "operationTime", "ok")
    }
    shard = await router.routing.primary(db) or "config"
    return ok_message(
        message, {"sharded": False, "primary": shard, **stats}, router.reply_times()
    )


_FORWARD: Final = Route()
_CREATES: Final = Route(creates=True)
_OPENS: Final = Route(opens_cursor=True)

ROUTES: Final[dict[str, Route]] = {
    "aggregate": Route(aggregate, opens_cursor=True),
    "bulkWrite": Route(bulk_write, opens_cursor=True),
    "collMod": _FORWARD,
    "collStats": Route(coll_stats),
    "convertToCapped": _FORWARD,
    "count": _FORWARD,
    "create": _CREATES,
    "createIndexes": _CREATES,
    "dataSize": _FORWARD,
    "dbStats": Route(db_stats),
    "delete": _FORWARD,
    "deleteIndexes": _FORWARD,
    "distinct": _FORWARD,
    "drop": _FORWARD,
    "dropDatabase": Route(drop_database),
    "dropIndexes": _FORWARD,
    "explain": Route(explain),
    "filemd5": _FORWARD,
    "find": _OPENS,
    "findAndModify": _CREATES,
    "getMore": Route(get_more),
    "insert": _CREATES,
    "killCursors": Route(kill_cursors),
    "listCollections": _OPENS,
    "listIndexes": _OPENS,
    "mapReduce": Route(map_reduce, creates=True),
    "planCacheClear": _FORWARD,
    "planCacheClearFilters": _FORWARD,
    "planCacheListFilters": _FORWARD,
    "planCacheSetFilter": _FORWARD,
    "renameCollection": Route(rename_collection),
    "setIndexCommitQuorum": _FORWARD,
    "update": _CREATES,
    "validate": _FORWARD,
}
