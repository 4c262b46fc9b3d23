"""Making collections and their files anew: `compact`, `reIndex`, `convertToCapped`."""

from __future__ import annotations

from typing import Any

from bson.int64 import Int64

from psdb_base.errors import Code, MongoError
from psdb_base.limits import YIELD_DOCUMENTS
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field
from psdb_server.namespaces import check_collection_name, check_new_collection_name
from psdb_store.care import compact as rewrite
from psdb_store.collection import Collection
from psdb_store.gate import Gate
from psdb_store.replay import index_entries
from shardsvr.capped import capped_options
from shardsvr.collections import dropped, existing_collection, member_of, not_on_view, ready
from shardsvr.commands.indexes import describe_index
from shardsvr.commands.stats import free_bytes
from shardsvr.member import Member


async def compact(request: Request) -> Reply:
    """Write a collection's data file anew without what no longer counts."""
    member = member_of(request)
    if request.db in ("admin", "config", "local") and request.target.startswith("system."):
        raise MongoError(Code.ILLEGAL_OPERATION, "can't compact a system namespace")
    collection = existing_collection(request)
    if request.args.get("dryRun"):
        return {"estimatedBytesFreed": Int64(free_bytes(collection))}
    await member.engine.checkpoint()
    before = collection.storage_size_bytes
    enough = request.args.get("freeSpaceTargetMB", 0) * 2**20
    if free_bytes(collection) > enough:
        await rewrite(member.engine, collection)
    return {"bytesFreed": Int64(max(0, before - collection.storage_size_bytes))}


async def re_index(request: Request) -> Reply:
    """Build all indexes of a collection anew from its documents."""
    if member_of(request).replica_set is not None:
        raise MongoError(
            Code.ILLEGAL_OPERATION, "reIndex is only allowed on a standalone mongod instance."
        )
    collection = existing_collection(request)
    rebuild_indexes(collection)
    count = len(collection.indexes)
    return {
        "nIndexesWas": count,
        "nIndexes": count,
        "indexes": [describe_index(index) for index in collection.indexes.values()],
    }


def rebuild_indexes(collection: Collection) -> None:
    """Fill every ready index from the documents, in one turn: no write comes in between.

    The `_id_` index is the collection's table of ids, and its tree follows from that.
    """
    for index in collection.secondary:
        if index.ready:
            index.fill(index_entries(collection, index))
    id_index = collection.id_index
    if id_index is not None and id_index.is_built:
        id_index.fill(
            [key + rid.to_bytes(8, "big") for key, rid in collection.ids.items()]
        )


async def _closed(member: Member, db: str, name: str) -> tuple[Collection, Gate]:
    """Return a collection that writers wait for until the gate is opened."""
    collection = await ready(member, db, name)
    if collection is None:
        raise MongoError(Code.NAMESPACE_NOT_FOUND, f"source collection {db}.{name} does not exist")
    if collection.is_view:
        raise not_on_view(collection)
    if collection.is_timeseries or collection.is_clustered:
        raise MongoError(
            Code.ILLEGAL_OPERATION,
            f"cannot make a capped collection of {collection.ns}: it is "
            + ("time-series" if collection.is_timeseries else "clustered"),
        )
    gate = Gate()
    collection.busy = gate
    return collection, gate


def _opened(collection: Collection, gate: Gate) -> None:
    if collection.busy is gate:
        collection.busy = None
    gate.open()


async def _copy(request: Request, source: Collection, target: Collection) -> None:
    """Insert a collection's documents, as they stand, into a capped one; the oldest may go."""
    engine = member_of(request).engine
    after: int | None = None
    while records := source.scan(after, YIELD_DOCUMENTS):
        after = records[-1].rid
        await engine.room()
        with engine.unit() as unit:
            for record in records:
                unit.insert(target, record.raw)
            unit.commit()
        await request.op.checkpoint(len(records))


async def _fill_capped(request: Request, source: Collection, name: str) -> Collection:
    """Make a capped collection of a source's documents; nothing is left when that fails."""
    member = member_of(request)
    options = capped_options({"capped": True, "size": request.args["size"]})
    if "collation" in source.options:
        options["collation"] = source.options["collation"]
    made = await member.catalogue(
        member.engine.create_collection(source.db, name, options)
    )
    try:
        await _copy(request, source, made)
    except BaseException:
        await member.catalogue(member.engine.drop_collection(made))
        raise
    return made


async def convert_to_capped(request: Request) -> Reply:
    """Put a capped copy in a collection's place; indexes other than `_id_` are not kept."""
    member = member_of(request)
    name = check_collection_name(request.db, request.target)
    source, gate = await _closed(member, request.db, name)
    try:
        made = await _fill_capped(
            request, source, f"tmp.convertToCapped.{member.world.random.uuid().hex()}"
        )
        await member.catalogue(
            member.engine.rename_collection(made, request.db, name, drop_target=True)
        )
    finally:
        _opened(source, gate)
    await member.cursors.fail(source.ns, dropped(source))
    return {}


async def clone_as_capped(request: Request) -> Reply:
    """Copy a collection's documents into a new capped one."""
    member = member_of(request)
    name = check_collection_name(request.db, request.target)
    target: Any = request.args["toCollection"]
    check_new_collection_name(request.db, target)
    if member.engine.collection(request.db, target) is not None:
        raise MongoError(
            Code.NAMESPACE_EXISTS,
            f"cloneCollectionAsCapped failed - destination collection {request.db}.{target} "
            f"already exists. source collection: {request.db}.{name}",
        )
    source, gate = await _closed(member, request.db, name)
    try:
        await _fill_capped(request, source, target)
    finally:
        _opened(source, gate)
    reply: Document = {}
    return reply


COMMANDS = (
    Command(
        "cloneCollectionAsCapped", clone_as_capped,
        (
            Field("toCollection", "string", required=True),
            Field("size", "number", required=True), Field("temp", "safe bool"),
        ),
        target="string", writes=True, write_concern=True,
        help="Copy a collection into a new capped one.",
    ),
    Command(
        "compact", compact,
        (
            Field("dryRun", "safe bool"), Field("force", "safe bool"),
            Field("freeSpaceTargetMB", "count"),
        ),
        target="string", help="Write a collection's data file anew.",
    ),
    Command(
        "convertToCapped", convert_to_capped, (Field("size", "number", required=True),),
        target="string", writes=True, write_concern=True, help="Make a collection capped.",
    ),
    Command(
        "reIndex", re_index, target="string", writes=True,
        help="Build a collection's indexes anew.",
    ),
)
