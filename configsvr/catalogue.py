"""The sharding catalogue: `config.*` as ordinary collections of the config server's member.

The router asks by internal commands (`_configsvr…`); what they change goes through the log as
every write does. MongoDB's document shapes, so that `sh.status()` reads them.
"""

from __future__ import annotations

from typing import Any, Final

from bson.binary import Binary
from bson.int64 import Int64
from bson.timestamp import Timestamp

from psdb_base import bson_codec, order
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field
from psdb_server.namespaces import check_database_name
from psdb_store.collection import Collection
from shardsvr.collections import collection_for_write, member_of
from shardsvr.member import Member

_INTERNAL: Final = ("admin", "config", "local")


def put(member: Member, collection: Collection, document: Document) -> None:
    """Insert or replace a catalogue document by its `_id`, without an await.

    The command's answer waits for the log, as every write's does. The collection must be ready
    (`collection_for_write`), and what the document was chosen by looked at since then.
    """
    raw = bson_codec.encode(document)
    record = collection.by_id(order.key(document["_id"]))
    with member.engine.unit() as unit:
        if record is None:
            unit.insert(collection, raw)
        else:
            unit.update(collection, record, raw)
        unit.commit()


async def remove(member: Member, name: str, identifier: Any) -> None:
    """Delete a catalogue document by its `_id`."""
    collection = await collection_for_write(member, "config", name)
    record = collection.by_id(order.key(identifier))
    if record is None:
        return
    with member.engine.unit() as unit:
        unit.delete(collection, record)
        unit.commit()


def documents(member: Member, name: str) -> list[Document]:
    """Return all documents of a catalogue collection, in `_id` order."""
    collection: Collection | None = member.engine.collection("config", name)
    if collection is None:
        return []
    found = [bson_codec.decode(record.raw) for record in collection.scan(None, 1_000_000)]
    return sorted(found, key=lambda document: order.key(document["_id"]))


def find(member: Member, name: str, identifier: Any) -> Document | None:
    """Return a catalogue document by its `_id`."""
    collection = member.engine.collection("config", name)
    if collection is None:
        return None
    record = collection.by_id(order.key(identifier))
    return None if record is None else bson_codec.decode(record.raw)


async def ensure_version(member: Member) -> None:
    """Write `config.version` with a fresh cluster id, once in a cluster's life."""
    collection = await collection_for_write(member, "config", "version")
    if collection.by_id(order.key(1)) is None:
        put(member, collection, {"_id": 1, "clusterId": member.world.random.object_id()})
        await member.engine.committed(member.engine.log_end)


async def add_shard(request: Request) -> Reply:
    """Register a shard under a name; adding the same one again changes nothing."""
    member = member_of(request)
    host, name = request.args["host"], request.args.get("name")
    collection = await collection_for_write(member, "config", "shards")
    known = documents(member, "shards")
    for shard in known:
        if shard["host"] == host:
            if name is not None and shard["_id"] != name:
                raise MongoError(
                    Code.ILLEGAL_OPERATION,
                    f"A shard already exists containing the replica set '{host}'",
                )
            return {"shardAdded": shard["_id"]}
    if name is None:
        taken = {shard["_id"] for shard in known}
        name = next(n for n in (f"shard{i:04d}" for i in range(10_000)) if n not in taken)
    elif any(shard["_id"] == name for shard in known):
        raise MongoError(Code.ILLEGAL_OPERATION, f"A shard named {name} already exists")
    put(member, collection, {
        "_id": name, "host": host, "state": 1, "topologyTime": member.clock.tick(),
    })
    return {"shardAdded": name}


async def get_shards(request: Request) -> Reply:
    """Return all shards."""
    return {"shards": documents(member_of(request), "shards")}


async def get_database(request: Request) -> Reply:
    """Return a database's primary shard; with `create` choose one when there is none."""
    member = member_of(request)
    name = request.args["database"]
    check_database_name(name)
    row = find(member, "databases", name)
    if row is None and request.args.get("create"):
        row = await _create_database(member, name, request.args.get("primaryShard"))
    return {"database": row}


async def _create_database(member: Member, name: str, primary: str | None) -> Document:
    """Give a new database a primary shard: the one with the fewest databases."""
    if name in _INTERNAL:
        raise MongoError(Code.INVALID_OPTIONS, f"Cannot manually create database '{name}'")
    collection = await collection_for_write(member, "config", "databases")
    existing = documents(member, "databases")
    for row in existing:
        if row["_id"] == name:
            return row  # another client was first
        if row["_id"].lower() == name.lower():
            raise MongoError(
                Code.DATABASE_DIFFER_CASE,
                f"db already exists with different case already have: [{row['_id']}] trying to "
                f"create [{name}]",
            )
    shards = [shard["_id"] for shard in documents(member, "shards")]
    if not shards:
        raise MongoError(Code.SHARD_NOT_FOUND, "No non-draining shard found")
    if primary is None:
        load = dict.fromkeys(shards, 0)
        for row in existing:
            if row["primary"] in load:
                load[row["primary"]] += 1
        primary = min(shards, key=lambda shard: load[shard])
    elif primary not in shards:
        raise MongoError(Code.SHARD_NOT_FOUND, f"Shard {primary} not found")
    timestamp: Timestamp = member.clock.tick()
    row = {
        "_id": name,
        "primary": primary,
        "version": {
            "uuid": Binary(member.world.random.uuid(), 4), "timestamp": timestamp, "lastMod": 1,
        },
    }
    put(member, collection, row)
    return row


async def drop_database(request: Request) -> Reply:
    """Forget a database that the router has dropped on its shards."""
    await remove(member_of(request), "databases", request.args["database"])
    return {}


async def list_databases(request: Request) -> Reply:
    """Return the rows of `config.databases`."""
    return {"databases": documents(member_of(request), "databases")}


async def report_router(request: Request) -> Reply:
    """Note a router's ping in `config.mongos`."""
    member = member_of(request)
    collection = await collection_for_write(member, "config", "mongos")
    put(member, collection, {
        "_id": request.args["id"],
        "advisoryHostFQDNs": [],
        "created": request.args["created"],
        "mongoVersion": request.args["mongoVersion"],
        "ping": request.args["ping"],
        "up": Int64(request.args["up"]),
        "waiting": True,
    })
    return {}


COMMANDS = (
    Command(
        "_configsvrAddShard", add_shard,
        (Field("host", "string", required=True), Field("name", "string")),
        admin_only=True, writes=True, help="Internal: register a shard.",
    ),
    Command(
        "_configsvrDropDatabase", drop_database, (Field("database", "string", required=True),),
        admin_only=True, writes=True, help="Internal: forget a database.",
    ),
    Command(
        "_configsvrGetDatabase", get_database,
        (
            Field("database", "string", required=True),
            Field("create", "bool"),
            Field("primaryShard", "string"),
        ),
        admin_only=True, writes=True, help="Internal: a database's primary shard.",
    ),
    Command(
        "_configsvrGetShards", get_shards, admin_only=True, help="Internal: all shards.",
    ),
    Command(
        "_configsvrListDatabases", list_databases, admin_only=True,
        help="Internal: all databases.",
    ),
    Command(
        "_configsvrReportRouter", report_router,
        (
            Field("id", "string", required=True),
            Field("created", "any", required=True),
            Field("mongoVersion", "string", required=True),
            Field("ping", "any", required=True),
            Field("up", "int", required=True),
        ),
        admin_only=True, writes=True, help="Internal: a router says that it lives.",
    ),
)
