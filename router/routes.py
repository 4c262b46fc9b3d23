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
from psdb_wire.frames import Message, build_op_msg
from router import catalogue_routes, reads, write_routes
from router.chunk_map import ChunkMap
from router.routing import Target

if TYPE_CHECKING:
    from psdb_wire.connection import Connection
    from router.server import Router
    from router.shards import Shard

Run = Callable[["Router", "Connection", Message, Document, str], Awaitable[Any]]
Sharded = Callable[["Router", "Connection", Message, Document, ChunkMap], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Route:
    """Where a command goes.

    Attributes:
        run: Special treatment, None for plain forwarding.
        sharded: What is done for a sharded collection; None: as for others.
        creates: The database is created when it does not exist.
        opens_cursor: The reply may open a cursor that the router must remember.
        whole: It is about a database or the server, not about a collection.

    """

    run: Run | None = None
    sharded: Sharded | None = None
    creates: bool = False
    opens_cursor: bool = False
    whole: bool = False


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
        if cursor_id in router.cursors.open:
            return await reads.get_more(router, connection, message, body)
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
    killed: list[Any] = []
    for cursor_id in cursors:
        owner = router.owners.owner(cursor_id) if type(cursor_id) in (Int64, int) else None
        if owner is None:
            merged = type(cursor_id) in (Int64, int) and await router.cursors.kill(int(cursor_id))
            (killed if merged else not_found).append(cursor_id)
            continue
        by_owner.setdefault(id(owner), (owner, []))[1].append(cursor_id)
        router.owners.forget(cursor_id)
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


async def aggregate(
    router: Router, connection: Connection, message: Message, body: Document, db: str
) -> Any:
    """Send a pipeline to its shard, or run it over several; one that writes creates databases."""
    pipeline = body.get("pipeline")
    if type(pipeline) is not list or not pipeline or type(pipeline[-1]) is not dict:
        return NotImplemented
    first = next(iter(pipeline[0]), "") if type(pipeline[0]) is dict else ""
    # None of these stages is in the Stable API: the shard's refusal will do for a strict client.
    local = first == "$querySettings" or (first in _SHARD_LOCAL and db in ("admin", "config"))
    if local and not body.get("apiStrict"):
        from router.cluster_commands import aggregate_on_shards

        return await aggregate_on_shards(router, message, body, db)
    last = next(iter(pipeline[-1]), "")
    if last in ("$out", "$merge"):
        await router.routing.primary_target(db, create=True)
        await router.routing.primary_target(
            _target_database(pipeline[-1][last], db), create=True
        )
    from router import aggregation

    name = body["aggregate"]
    found = await router.routing.find(db, name if type(name) is str else "")
    if isinstance(found, Target) and await aggregation.needs_router(router, db, pipeline):
        return await aggregation.aggregate(router, connection, message, body, found)
    return NotImplemented


async def map_reduce(
    router: Router, connection: Connection, message: Message, body: Document, db: str
) -> Any:
    """Send it to its shard, or run it here when input or output are not there as a whole."""
    name, out = body["mapReduce"], body.get("out")
    found = await router.routing.find(db, name if type(name) is str else "", create=True)
    target = out.get("db", db) if type(out) is dict else db
    into = next(iter(out.values()), None) if type(out) is dict else out
    spread = isinstance(found, ChunkMap)
    named = type(target) is str and target not in ("admin", "config", "local")
    if not isinstance(found, ChunkMap) and named:
        there = await router.routing.find(target, into if type(into) is str else "", create=True)
        spread = isinstance(there, ChunkMap) or there.channel is not found.channel
    if not spread:
        return NotImplemented
    from router import map_reduce as gathered

    return await gathered.map_reduce(router, connection, message, body, found)


async def aggregate_sharded(
    router: Router, connection: Connection, message: Message, body: Document, found: ChunkMap
) -> Any:
    """Run a pipeline over a sharded collection."""
    if type(body.get("pipeline")) is not list:
        shard = found.owners[0]  # which refuses it
        return await router.forward_to(shard, found.routed(shard), connection, message)
    from router import aggregation

    return await aggregation.aggregate(router, connection, message, body, found)


_SHARD_LOCAL: Final = frozenset(
    {"$currentOp", "$listLocalSessions", "$shardedDataDistribution"}
)


def _target_database(spec: Any, db: str) -> str:
    if type(spec) is dict:
        into = spec.get("into", spec)
        if type(into) is dict and type(into.get("db")) is str:
            name: str = into["db"]
            return name
    return db


ROUTES: Final[dict[str, Route]] = {
    "aggregate": Route(aggregate, aggregate_sharded, opens_cursor=True),
    "bulkWrite": Route(write_routes.bulk_write, opens_cursor=True, whole=True),
    "collMod": Route(sharded=catalogue_routes.on_all),
    "collStats": Route(catalogue_routes.coll_stats, catalogue_routes.coll_stats_sharded),
    "convertToCapped": Route(sharded=catalogue_routes.refuse),
    "count": Route(sharded=reads.count),
    "create": Route(sharded=catalogue_routes.create_sharded, creates=True),
    "createIndexes": Route(sharded=catalogue_routes.create_indexes, creates=True),
    "dataSize": Route(catalogue_routes.data_size, whole=True),
    "dbStats": Route(catalogue_routes.db_stats, whole=True),
    "delete": Route(write_routes.write, write_routes.write_sharded),
    "deleteIndexes": Route(sharded=catalogue_routes.drop_indexes),
    "distinct": Route(sharded=reads.distinct),
    "drop": Route(catalogue_routes.drop, catalogue_routes.drop_sharded),
    "dropDatabase": Route(catalogue_routes.drop_database, whole=True),
    "dropIndexes": Route(sharded=catalogue_routes.drop_indexes),
    "explain": Route(catalogue_routes.explain, whole=True),
    "filemd5": Route(),
    "find": Route(sharded=reads.find, opens_cursor=True),
    "findAndModify": Route(sharded=write_routes.find_and_modify, creates=True),
    "getMore": Route(get_more, whole=True),
    "insert": Route(write_routes.write, write_routes.write_sharded, creates=True),
    "killCursors": Route(kill_cursors, whole=True),
    "listCollections": Route(opens_cursor=True, whole=True),
    "listIndexes": Route(sharded=catalogue_routes.on_one, opens_cursor=True),
    "mapReduce": Route(map_reduce, creates=True),
    "planCacheClear": Route(sharded=catalogue_routes.on_all),
    "planCacheClearFilters": Route(sharded=catalogue_routes.on_all),
    "planCacheListFilters": Route(sharded=catalogue_routes.on_all),
    "planCacheSetFilter": Route(sharded=catalogue_routes.on_all),
    "renameCollection": Route(catalogue_routes.rename_collection, whole=True),
    "setIndexCommitQuorum": Route(sharded=catalogue_routes.on_all),
    "update": Route(write_routes.write, write_routes.write_sharded, creates=True),
    "validate": Route(sharded=catalogue_routes.validate_sharded),
}
