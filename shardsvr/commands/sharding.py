"""Commands of a shard about sharding: those of the config server, of other shards, of people."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from bson.int64 import Int64
from bson.timestamp import Timestamp

from psdb_base.errors import Code, MongoError
from psdb_base.shard_keys import KeyPattern
from psdb_base.shard_versions import NO_EPOCH
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field
from psdb_server.namespaces import split_namespace
from psdb_store.collection import Collection
from shardsvr import writes
from shardsvr.collections import dropped, member_of, not_on_view
from shardsvr.retryable import Retry
from shardsvr.sharding import blocking, cloning, recipient
from shardsvr.sharding import records as names
from shardsvr.sharding.donor import Donation
from shardsvr.sharding.state import Section


async def move_range(request: Request) -> Reply:
    """Move a range to another shard; one that is under way already is joined."""
    state, args = member_of(request).sharding, request.args
    spec: Document = {
        "_id": args["id"], "ns": args["ns"], "uuid": bytes(args["uuid"]), "range": args["range"],
        "keyPattern": args["keyPattern"], "toShard": args["toShard"], "toHost": args["toHost"],
    } | {key: args[key] for key in ("bytesMax", "forceJumbo") if key in args}
    await recipient.settle_incoming(state)
    running: Donation | None = state.donating
    if running is None:
        if state.incoming or any(
            row["phase"] != "catalogue" for row in state.records.all(names.COORDINATORS)
        ):
            raise _busy()
        running = state.donating = Donation(state, spec)
        state.in_office(running.run())
    elif running.spec["ns"] != spec["ns"] or running.spec["range"] != spec["range"]:
        raise _busy()
    result = await asyncio.shield(running.done)
    if args.get("waitForDelete"):
        await wait_for_deletions(request, args["ns"])
    return dict(result)


def _busy() -> MongoError:
    return MongoError(
        Code.CONFLICTING_OPERATION_IN_PROGRESS,
        "Unable to start new balancer operation because this shard is currently donating or "
        "receiving another chunk",
    )


async def receive_start(request: Request) -> Reply:
    """Begin to take a range from another shard."""
    await recipient.start(member_of(request).sharding, request.args)
    return {}


async def receive_batch(request: Request) -> Reply:
    """Take documents of a range."""
    await recipient.take(member_of(request).sharding, request.args)
    return {}


async def receive_end(request: Request) -> Reply:
    """Learn how a migration to here ended."""
    await recipient.end(member_of(request).sharding, request.args)
    return {}


async def block(request: Request) -> Reply:
    """Close the section of a collection or database for a change of the catalogue.

    Half of it would be a section that nobody opens: it is carried through without its sender too.
    """
    args, member = request.args, member_of(request)
    await member.catalogue(blocking.close(member.sharding, args["id"], args["ns"]))
    return {}


async def unblock(request: Request) -> Reply:
    """Take over the outcome of a change of the catalogue, and open the section."""
    args, member = request.args, member_of(request)
    await member.catalogue(blocking.open_again(member.sharding, args["id"], args["ns"]))
    return {}


async def clone_database(request: Request) -> Reply:
    """Copy the collections of a database that are not sharded to its new primary shard."""
    args = request.args
    await blocking.clone_database(member_of(request).sharding, request.op, args)
    return {}


async def arrive(request: Request) -> Reply:
    """Get ready for a database that moves here, or be done with it."""
    state, args = member_of(request).sharding, request.args
    if args["step"] == "begin":
        await blocking.expect_database(state, args)
    elif args["step"] == "end":
        blocking.expect_no_more(state, args)
    else:
        await blocking.forget_copies(state, args)
    return {}


async def take_copies(request: Request) -> Reply:
    """Take documents of a collection that moves here as a whole."""
    await blocking.take(member_of(request).sharding, request.args)
    return {}


async def refresh(request: Request) -> Reply:
    """Take over from the config server what is owned here of a collection."""
    state = member_of(request).sharding
    for ns in request.args["namespaces"]:
        await state.refresh(ns)
    return {}


async def make_part(request: Request) -> Reply:
    """Make a part of a sharded collection here."""
    args, state = request.args, member_of(request).sharding
    if "id" in args:
        await blocking.make_copy(state, args)
    else:
        await recipient.make_collection(
            state, args["ns"], args["uuid"], args["options"], args["indexes"]
        )
    return {}


async def drop_part(request: Request) -> Reply:
    """Drop a part of a collection, and what was owned of it."""
    member, ns = member_of(request), request.args["ns"]
    db, name = split_namespace(ns)
    state = member.sharding
    collection = member.engine.collection(db, name)
    uuid = request.args.get("uuid")
    if collection is not None and (uuid is None or bytes(collection.uuid) == bytes(uuid)):
        await member.catalogue(member.engine.drop_collection(collection))
        await member.cursors.fail(ns, dropped(collection))
    await state.records.write(
        remove=[
            (names.COLLECTIONS, ns), (names.DELETED, ns),
            *((names.DELETIONS, task["_id"]) for task in state.tasks(ns)),
        ]
    )
    return {}


async def drop_database_part(request: Request) -> Reply:
    """Drop what is here of a database, and its version, while its drop is going on."""
    member, db = member_of(request), request.args["database"]
    state, found = member.sharding, member.engine.collections(db)
    reply = await state.config.command("admin", {
        "_configsvrGetOwnership": 1, "ns": db, "shard": member.shard_name,
        "id": request.args["id"],
    })
    if reply.get("outcome") is not None:
        raise MongoError(
            Code.CONFLICTING_OPERATION_IN_PROGRESS, f"this drop of database {db} is over"
        )
    section = state.sections.get(db) or Section()
    section.busy += 1
    try:
        await member.catalogue(member.engine.drop_database(db, found))
        for collection in found:
            await member.cursors.fail(collection.ns, dropped(collection))
        await state.records.write(remove=[(names.DATABASES, db)])
    finally:
        section.busy -= 1
    return {}


async def describe_part(request: Request) -> Reply:
    """Tell of a collection what sharding it needs: options, indexes, size."""
    collection = _collection(request, required=False)
    if collection is None:
        return {"exists": False}
    if collection.is_view:
        raise MongoError(
            Code.COMMAND_NOT_SUPPORTED_ON_VIEW, f"Namespace {collection.ns} is a view"
        )
    multikey = [index.name for index in collection.indexes.values() if index.multikey]
    return {
        "exists": True, "uuid": collection.uuid, "options": collection.options,
        "indexes": [index.spec for index in collection.indexes.values()],
        "multikey": multikey, "count": Int64(collection.count),
        "size": Int64(collection.data_size_bytes),
    }


def _collection(request: Request, *, required: bool = True) -> Collection | None:
    db, name = split_namespace(request.args["ns"])
    collection = member_of(request).engine.collection(db, name)
    if collection is None and required:
        raise MongoError(
            Code.NAMESPACE_NOT_FOUND, f"Collection [{request.args['ns']}] not found."
        )
    return collection


def _range(args: Document) -> tuple[KeyPattern, bytes, bytes]:
    pattern = KeyPattern(args["keyPattern"])
    return pattern, pattern.bound_key(args["min"]), pattern.bound_key(args["max"])


async def range_size(request: Request) -> Reply:
    """Return bytes and number of the documents of a range."""
    collection = _collection(request, required=False)
    if collection is None:
        return {"size": Int64(0), "count": Int64(0)}
    size, count = await cloning.size_of(
        collection, *_range(request.args), request.op.checkpoint,
        enough=request.args.get("enough"),
    )
    return {"size": Int64(size), "count": Int64(count)}


async def auto_split(request: Request) -> Reply:
    """Return bounds that cut a range into parts of at most so many bytes."""
    collection = _collection(request, required=False)
    if collection is None:
        return {"splitKeys": []}
    args = request.args
    return {"splitKeys": await cloning.split_points(
        collection, *_range(args), bytes_max=args["bytesMax"], documents_max=None,
        points_max=args.get("limit"), pause=request.op.checkpoint,
    )}


async def median(request: Request) -> Reply:
    """Return the bound in the middle of a range's documents, None when it cannot be cut."""
    collection = _collection(request)
    assert collection is not None
    pattern, low, high = _range(request.args)
    _size, count = await cloning.size_of(collection, pattern, low, high, request.op.checkpoint)
    points = await cloning.split_points(
        collection, pattern, low, high, bytes_max=2**62, documents_max=max(1, count // 2),
        points_max=1, pause=request.op.checkpoint,
    )
    found = [point for point in points if pattern.bound_key(point) > low]
    return {"median": found[0] if found else None}


async def split_vector(request: Request) -> Reply:
    """`splitVector`: propose bounds for chunks of a collection."""
    args = request.args
    db, name = split_namespace(str(request.target))
    collection = member_of(request).engine.collection(db, name)
    if collection is None:
        raise MongoError(Code.NAMESPACE_NOT_FOUND, "ns not found")
    pattern = KeyPattern(args["keyPattern"])
    low, high = args.get("min") or pattern.lowest, args.get("max") or pattern.highest
    megabytes = args.get("maxChunkSize")
    limit = args.get("maxChunkSizeBytes", 0) or int((megabytes or 0) * 2**20)
    if args.get("force"):
        limit = max(1, collection.data_size_bytes // 2)
    elif not limit:
        raise MongoError(
            Code.INVALID_OPTIONS, "need to specify the desired max chunk size (maxChunkSize or "
            "maxChunkSizeBytes)",
        )
    points = await cloning.split_points(
        collection, pattern, pattern.bound_key(low), pattern.bound_key(high),
        bytes_max=limit, documents_max=args.get("maxChunkObjects", 250_000),
        points_max=1 if args.get("force") else args.get("maxSplitPoints"),
        pause=request.op.checkpoint,
    )
    return {"splitKeys": points}


async def wait_for_deletions(request: Request, ns: str) -> None:
    """Wait until no document that is not owned is left of a collection."""
    state = member_of(request).sharding
    while any(not task.get("pending") for task in state.tasks(ns)):
        state.wake.set()
        await asyncio.sleep(0.05)
        request.op.check()


async def cleanup_orphaned(request: Request) -> Reply:
    """Wait until the range deletions of a collection are done."""
    split_namespace(str(request.target))
    await wait_for_deletions(request, str(request.target))
    return {}


async def get_shard_version(request: Request) -> Reply:
    """Tell what this shard knows of a collection's version."""
    ns = str(request.target)
    split_namespace(ns)
    own = member_of(request).sharding.ownership(ns)
    placed = Timestamp(0, 0) if own is None else own.version.placed
    return {
        "configServer": member_of(request).config_host or "",
        "inShardedMode": own is not None,
        "mine": Timestamp(0, 0),
        "global": placed,
        "globalEpoch": NO_EPOCH if own is None else own.version.epoch,
    }


async def sharding_state(request: Request) -> Reply:
    """Tell whether this member is a shard, and of what."""
    member = member_of(request)
    if member.shard_name is None:
        return {"enabled": False}
    versions: Document = {}
    for row in member.sharding.records.all(names.COLLECTIONS):
        versions[row["_id"]] = {
            "placementVersion": row["version"], "timestamp": row["timestamp"],
        }
    return {
        "enabled": True, "configServer": member.config_host or "",
        "shardName": member.shard_name, "versions": versions,
    }


async def orphans(request: Request) -> Reply:
    """Count, per collection, documents owned and not, with their bytes."""
    member = member_of(request)
    rows: list[Document] = []
    for row in member.sharding.records.all(names.COLLECTIONS):
        db, name = split_namespace(row["_id"])
        collection = member.engine.collection(db, name)
        own = member.sharding.ownership(row["_id"])
        if collection is None or own is None:
            continue
        count = size = 0
        for task in member.sharding.tasks(row["_id"]):
            key = own.pattern.bound_key
            some, found = await cloning.size_of(
                collection, own.pattern, key(task["range"]["min"]), key(task["range"]["max"]),
                request.op.checkpoint,
            )
            size, count = size + some, count + found
        rows.append({
            "ns": row["_id"], "numOrphanedDocs": Int64(count),
            "numOwnedDocuments": Int64(collection.count - count),
            "ownedSizeBytes": Int64(collection.data_size_bytes - size),
            "orphanedSizeBytes": Int64(size),
        })
    return {"collections": rows}


async def find_for_write(request: Request) -> Reply:
    """Find the one document that a write without the shard key is to hit, here.

    Of a statement that was executed here already the session's record is told instead.
    """
    args, name = request.args, str(request.target)
    routed = request.message.routed or request.generic.routed
    if routed is not None and routed.attempt is not None:
        member_of(request).sharding.begin_attempt(routed.attempt)
    if Retry(request).result(0) is not None:
        return {"executed": True}
    selection = writes.compile_selection(
        request, name, args["filter"], collation=args.get("collation"), hint=args.get("hint"),
        sort=args.get("sort"), let=args.get("let"),
    )
    collection = member_of(request).engine.collection(request.db, name)
    if collection is None:
        return {}
    if collection.is_view:
        raise not_on_view(collection)
    record = await writes.first_match(request, collection, selection)
    return {} if record is None else {"document": record.document()}


_UUID: Final = Field("uuid", "uuid", required=True)
_NS: Final = Field("ns", "string", required=True)
_ID: Final = Field("id", "uuid", required=True)
_BOUNDS: Final = (
    Field("keyPattern", "object", required=True),
    Field("min", "object", required=True),
    Field("max", "object", required=True),
)


def _internal(name: str, run: Any, fields: tuple[Field, ...], text: str) -> Command:
    return Command(
        name, run, fields, target="any", admin_only=True, writes=True, help=f"Internal: {text}.",
    )


COMMANDS = (
    _internal("_shardsvrAutoSplit", auto_split, (
        _NS, *_BOUNDS, Field("bytesMax", "int", required=True), Field("limit", "int"),
    ), "bounds that cut a range"),
    _internal("_shardsvrArrive", arrive, (
        _ID, Field("database", "string", required=True), Field("step", "string", required=True),
        Field("sharded", "array"),
    ), "a database moves here"),
    _internal("_shardsvrBlock", block, (_ID, _NS), "close a section"),
    _internal("_shardsvrCloneDatabase", clone_database, (
        _ID, Field("database", "string", required=True),
        Field("toHost", "string", required=True), Field("sharded", "array", required=True),
    ), "copy a database to its new primary shard"),
    _internal("_shardsvrDescribePart", describe_part, (_NS,), "what a collection looks like"),
    _internal(
        "_shardsvrDropDatabasePart", drop_database_part,
        (_ID, Field("database", "string", required=True)), "drop what is here of a database",
    ),
    _internal(
        "_shardsvrDropPart", drop_part, (_NS, Field("uuid", "uuid")), "drop a collection's part",
    ),
    Command(
        "_shardsvrFindForWrite", find_for_write,
        (
            Field("filter", "object", required=True), Field("sort", "object"),
            Field("collation", "object"), Field("hint", "string|object"), Field("let", "object"),
        ),
        writes=True, retryable=True, help="Internal: the document that a write is to hit.",
    ),
    _internal("_shardsvrMakePart", make_part, (
        _NS, _UUID, Field("options", "object", required=True),
        Field("indexes", "objects", required=True), Field("id", "uuid"),
    ), "make a collection's part"),
    _internal("_shardsvrMedian", median, (_NS, *_BOUNDS), "the middle of a range"),
    _internal("_shardsvrMoveRange", move_range, (
        _ID, _NS, _UUID, Field("range", "object", required=True),
        Field("keyPattern", "object", required=True), Field("toShard", "string", required=True),
        Field("toHost", "string", required=True), Field("bytesMax", "int"),
        Field("forceJumbo", "bool"), Field("waitForDelete", "bool"),
    ), "move a range to another shard"),
    _internal("_shardsvrOrphans", orphans, (), "documents owned and not"),
    _internal("_shardsvrRangeSize", range_size, (_NS, *_BOUNDS, Field("enough", "int")),
              "bytes of a range"),
    _internal("_shardsvrReceiveBatch", receive_batch, (
        _ID, Field("documents", "any", required=True), Field("removed", "objects", required=True),
        Field("sessions", "objects", required=True),
    ), "take documents of a range"),
    _internal("_shardsvrReceiveEnd", receive_end, (
        _ID, _NS, Field("committed", "bool", required=True),
    ), "how a migration ended"),
    _internal("_shardsvrReceiveStart", receive_start, (
        _ID, _NS, _UUID, Field("options", "object", required=True),
        Field("indexes", "objects", required=True), Field("key", "object", required=True),
        Field("range", "object", required=True), Field("fromShard", "string", required=True),
        Field("epoch", "any", required=True), Field("timestamp", "timestamp", required=True),
    ), "begin to take a range"),
    _internal("_shardsvrRefresh", refresh, (Field("namespaces", "array", required=True),),
              "ask the config server what is owned"),
    _internal("_shardsvrTakeCopies", take_copies, (
        _ID, _NS, Field("documents", "any"), Field("sessions", "objects"),
    ), "take documents of a collection"),
    _internal("_shardsvrUnblock", unblock, (_ID, _NS), "open a section"),
    Command(
        "cleanupOrphaned", cleanup_orphaned,
        (Field("startingFromKey", "object"),), target="string", admin_only=True, writes=True,
        write_concern=True, help="Wait until documents of other shards are deleted here.",
    ),
    Command(
        "getShardVersion", get_shard_version, (Field("fullMetadata", "bool"),), target="string",
        admin_only=True, help="The shard's version of a collection.",
    ),
    Command("shardingState", sharding_state, admin_only=True, help="Of what this is a shard."),
    Command(
        "splitVector", split_vector,
        (
            Field("keyPattern", "object", required=True), Field("min", "object"),
            Field("max", "object"), Field("maxChunkSize", "number"),
            Field("maxChunkSizeBytes", "int"), Field("maxSplitPoints", "int"),
            Field("maxChunkObjects", "int"), Field("force", "bool"),
        ),
        target="string", help="Propose bounds for chunks.",
    ),
)
