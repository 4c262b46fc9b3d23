"""The shard's own name: kept in `admin.system.version`, told by the router that added it."""

from __future__ import annotations

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field
from shardsvr.collections import collection_for_write, member_of
from shardsvr.compatibility import COLLECTION
from shardsvr.sharding import records
from shardsvr.sharding.config_servers import IDENTITY


async def set_identity(request: Request) -> Reply:
    """Note which shard of which cluster this member belongs to; a second name is refused."""
    member = member_of(request)
    name, config = request.args["shardName"], request.args.get("configsvrConnectionString")
    if member.shard_name is not None and member.shard_name != name:
        raise MongoError(
            Code.INCONSISTENT_SHARD_IDENTITY,
            f"this server is shard {member.shard_name} already and cannot become {name}",
        )
    if member.shard_name == name and member.config_host == config:
        return {}
    collection = await collection_for_write(member, "admin", COLLECTION)
    document: Document = {"_id": IDENTITY, "shardName": name}
    if config is not None:
        document["configsvrConnectionString"] = config
    with member.engine.unit() as unit:
        unit.put(collection, document)
        unit.commit()
    return {}


async def may_leave(request: Request) -> Reply:
    """Tell whether no migration or change of the catalogue is still to be brought to an end."""
    state = member_of(request).sharding
    busy = state.donating is not None or state.incoming or state.records.all(records.COORDINATORS)
    return {"mayLeave": not busy}


async def clear_identity(request: Request) -> Reply:
    """Forget the cluster this member was a shard of, with its parts of sharded collections.

    All ranges have moved away: what is left of them is to be deleted.
    """
    member = member_of(request)
    for row in member.sharding.records.all(records.COLLECTIONS):
        db, _, name = row["_id"].partition(".")
        part = member.engine.collection(db, name)
        own = member.sharding.ownership(row["_id"])
        if part is not None and own is not None and not own.ranges:
            await member.catalogue(member.engine.drop_collection(part))
    collection = await collection_for_write(member, "admin", COLLECTION)
    with member.engine.unit() as unit:
        unit.remove(collection, IDENTITY)
        for name in records.ALL:
            owned = member.engine.collection("config", name)
            if owned is not None:
                for one in owned.scan(None, owned.count):
                    unit.delete(owned, one)
        unit.commit()
    return {}


COMMANDS = (
    Command(
        "_shardsvrClearIdentity", clear_identity, admin_only=True, writes=True,
        help="Internal: the shard has left its cluster.",
    ),
    Command(
        "_shardsvrMayLeave", may_leave, admin_only=True, writes=True,
        help="Internal: whether all that moved has come to its end.",
    ),
    Command(
        "_shardsvrSetIdentity", set_identity,
        (Field("shardName", "string", required=True), Field("configsvrConnectionString", "string")),
        admin_only=True, writes=True, help="Internal: the shard's name and cluster.",
    ),
)
