"""The sharding catalogue: `config.*` as ordinary collections of the config server's member.

The router asks by internal commands (`_configsvr…`); what they change goes through the log as
every write does. MongoDB's document shapes, so that `sh.status()` reads them.
"""

from __future__ import annotations

from typing import Final

from bson.binary import Binary
from bson.int64 import Int64
from bson.timestamp import Timestamp

from configsvr import store
from configsvr.carrying import to_the_end
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field
from psdb_server.namespaces import check_database_name
from psdb_wire.ways import addresses, set_name
from shardsvr.collections import member_of
from shardsvr.member import Member

_INTERNAL: Final = ("admin", "config", "local")


async def ensure_version(member: Member) -> None:
    """Write `config.version` with a fresh cluster id, once in a cluster's life."""
    await store.ready(member, "version")
    if store.find(member, "version", 1) is None:
        cluster = {"_id": 1, "clusterId": member.world.random.object_id()}
        store.write(member, [("version", cluster)])
        await member.engine.committed(member.engine.log_end)


async def register_shard(request: Request) -> Reply:
    """Register a shard under a name; adding the same one again changes nothing."""
    member = member_of(request)
    name = await _register(member, request.args["host"], request.args.get("name"))
    return {"shardAdded": name}


def _existing(member: Member, host: str, name: str | None) -> Document | None:
    """Return the row of a shard that is there already; 20 when it has another name."""
    for row in store.documents(member, "shards"):
        known: str = row["host"]
        same = set_name(host) and set_name(host) == set_name(known)
        if not same and host != known:
            continue
        if name not in (None, row["_id"]):
            raise MongoError(
                Code.ILLEGAL_OPERATION,
                f"A shard already exists containing the replica set '{set_name(host) or host}'",
            )
        return row
    return None


def _check_strange(member: Member, host: str) -> None:
    """See that no server of a new shard is of another one."""
    for row in store.documents(member, "shards"):
        for one in addresses(host):
            # Port 0 is no address: all servers within one process are there.
            if one in addresses(row["host"]) and not one.endswith(":0"):
                raise MongoError(
                    Code.ILLEGAL_OPERATION,
                    f"'{one}' is already a member of the existing shard '{row['host']}' "
                    f"({row['_id']}).",
                )


async def _register(member: Member, host: str, name: str | None) -> str:
    await store.ready(member, "shards")
    existing = _existing(member, host, name)
    if existing is not None:
        return str(existing["_id"])
    taken = {row["_id"] for row in store.documents(member, "shards")}
    if name is None:
        wanted = [set_name(host)] if set_name(host) else []
        wanted += [f"shard{i:04d}" for i in range(10_000)]
        name = next(n for n in wanted if n not in taken)
    elif name in taken:
        raise MongoError(Code.ILLEGAL_OPERATION, f"A shard named {name} already exists")
    store.write(member, [("shards", {
        "_id": name, "host": host, "state": 1, "topologyTime": member.clock.tick(),
    })])
    return name


async def add_shard(request: Request) -> Reply:
    """`addShard`: take a server in as a shard, with the databases it has."""
    member, args = member_of(request), request.args
    host, name = str(request.target), args.get("name")
    if "maxSize" in args:
        raise MongoError(40415, "BSON field 'addShard.maxSize' is an unknown field.")
    if name == "config":
        raise MongoError(Code.BAD_VALUE, "use of shard replica set with name 'config' is not "
                         "allowed")
    if not host or not all(addresses(host)):
        raise MongoError(Code.FAILED_TO_PARSE, f"'{host}' names no host of a shard")
    is_new = _existing(member, host, name) is None
    peer = member.sharding.peer(host)
    try:
        hello = await peer.command("admin", {"hello": 1})
        listed = await peer.command("admin", {"listDatabases": 1, "nameOnly": True})
    except MongoError as error:
        raise MongoError(
            Code.OPERATION_FAILED, f"Could not connect to shard {host} :: caused by :: {error}"
        ) from error
    _check_server(host, hello)
    names = [row["name"] for row in listed["databases"] if row["name"] not in _INTERNAL]
    if is_new:
        _check_strange(member, host)
        _check_databases(member, host, names)
    added = await _register(member, peer.follow() or host, name)
    await peer.command("admin", {
        "_shardsvrSetIdentity": 1, "shardName": added,
        "configsvrConnectionString": own_host(member, args.get("configdb")),
    })
    if is_new:
        for database in names:
            await _create_database(member, database, added)
        await store.note(member, "addShard", "", {"name": added, "host": host})
    return {"shardAdded": added}


def _check_server(host: str, hello: Document) -> None:
    """See that a server can be a shard, and that all of `host` is of one set."""
    name, actual = set_name(host), hello.get("setName")
    problem = None
    if hello.get("msg") == "isdbgrid":
        raise MongoError(Code.ILLEGAL_OPERATION, f"{host} is a router, not a shard")
    if actual and not name:
        problem = (
            f"host is part of set {actual}; use replica set url format <setname>/<server1>,"
            "<server2>, ..."
        )
    elif name and actual and name != actual:
        problem = (
            f"the provided connection string ({host}) does not match the actual set name {actual}"
        )
    elif name and actual:
        known = {one.lower() for key in ("hosts", "passives") for one in hello.get(key, ())}
        strange = [one for one in addresses(host) if one not in known]
        if strange:
            problem = (
                f"in seed list {host}, host {strange[0]} does not belong to replica set {name}"
            )
    if problem is not None:
        raise MongoError(Code.OPERATION_FAILED, problem)


def _check_databases(member: Member, host: str, names: list[str]) -> None:
    """See that none of a new shard's databases is in the cluster already."""
    for database in names:
        row = store.find(member, "databases", database)
        if row is not None:
            raise MongoError(
                Code.OPERATION_FAILED,
                f"can't add shard '{host}' because a local database '{database}' exists in "
                f"another {row['primary']}",
            )


def own_host(member: Member, told: str | None = None) -> str:
    """Return where the config servers are reached; `told` is what a router was started with."""
    replica_set = member.replica_set
    if replica_set is not None and replica_set.config is not None:
        hosts = [row.host for row in replica_set.config.members if not row.hidden]
        return f"{replica_set.name}/{','.join(hosts)}"
    return told or member.config_host or member.host


async def get_shards(request: Request) -> Reply:
    """Return all shards."""
    return {"shards": store.documents(member_of(request), "shards")}


async def get_database(request: Request) -> Reply:
    """Return a database's primary shard; with `create` choose one when there is none."""
    member = member_of(request)
    name = request.args["database"]
    check_database_name(name)
    row = store.find(member, "databases", name)
    if row is None and request.args.get("create"):
        async with member.gate.passage(request.op):
            row = await _create_database(member, name, request.args.get("primaryShard"))
    return {"database": row}


async def database(member: Member, name: str, primary: str | None) -> Document:
    """Return a database's row; a database that is not there is created."""
    row = store.find(member, "databases", name)
    if primary is not None and store.find(member, "shards", primary) is None:
        raise MongoError(Code.SHARD_NOT_FOUND, f"Shard {primary} not found")
    if row is None:
        row = await _create_database(member, name, primary)
    elif primary is not None and row["primary"] != primary:
        raise MongoError(
            Code.NAMESPACE_EXISTS,
            f"database {name} already exists with primary shard {row['primary']}",
        )
    return row


async def _create_database(member: Member, name: str, primary: str | None) -> Document:
    """Give a new database a primary shard: the one with the fewest databases."""
    if name in _INTERNAL:
        raise MongoError(Code.INVALID_OPTIONS, f"Cannot manually create database '{name}'")
    await store.ready(member, "databases")
    existing = store.documents(member, "databases")
    for row in existing:
        if row["_id"] == name:
            return row  # another client was first
        if row["_id"].lower() == name.lower():
            raise MongoError(
                Code.DATABASE_DIFFER_CASE,
                f"db already exists with different case already have: [{row['_id']}] trying to "
                f"create [{name}]",
            )
    shards = [
        shard["_id"] for shard in store.documents(member, "shards") if not shard.get("draining")
    ]
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
    store.write(member, [("databases", row)])
    return row


async def list_databases(request: Request) -> Reply:
    """Return the rows of `config.databases`."""
    return {"databases": store.documents(member_of(request), "databases")}


async def report_router(request: Request) -> Reply:
    """Note a router's ping in `config.mongos`."""
    member = member_of(request)
    await store.ready(member, "mongos")
    store.write(member, [("mongos", {
        "_id": request.args["id"],
        "advisoryHostFQDNs": [],
        "created": request.args["created"],
        "mongoVersion": request.args["mongoVersion"],
        "ping": request.args["ping"],
        "up": Int64(request.args["up"]),
        "waiting": True,
    })])
    return {}


COMMANDS = (
    Command(
        "_configsvrAddShard", register_shard,
        (Field("host", "string", required=True), Field("name", "string")),
        admin_only=True, writes=True, help="Internal: register a shard.",
    ),
    Command(
        "_configsvrGetDatabase", get_database,
        (
            Field("database", "string", required=True),
            Field("create", "bool"),
            Field("primaryShard", "string"),
        ),
        admin_only=True, writes=True, passes_lock=True,
        help="Internal: a database's primary shard.",
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
    Command(
        "addShard", to_the_end(add_shard),
        (Field("name", "string"), Field("maxSize", "number"), Field("configdb", "string")),
        target="string", admin_only=True, writes=True, write_concern=True,
        help="Register a shard.",
    ),
)
