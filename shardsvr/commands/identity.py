"""The shard's own name: kept in `admin.system.version`, told by the router that added it."""

from __future__ import annotations

from typing import Final

from psdb_base import bson_codec, order
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field
from shardsvr.collections import collection_for_write, member_of

COLLECTION: Final = "system.version"
IDENTITY: Final = "shardIdentity"


async def set_identity(request: Request) -> Reply:
    """Note which shard of a cluster this member belongs to; a second name is refused."""
    member = member_of(request)
    name = request.args["shardName"]
    if member.shard_name == name:
        return {}
    if member.shard_name is not None:
        raise MongoError(
            Code.INCONSISTENT_SHARD_IDENTITY,
            f"this server is shard {member.shard_name} already and cannot become {name}",
        )
    collection = member.engine.collection("admin", COLLECTION)
    if collection is None:
        await member.catalogue(member.engine.create_collection("admin", COLLECTION, {}))
    collection = await collection_for_write(member, "admin", COLLECTION)
    document: Document = {"_id": IDENTITY, "shardName": name}
    unit = member.engine.unit()
    if collection.by_id(order.key(IDENTITY)) is None:
        unit.insert(collection, bson_codec.encode(document))
    unit.commit()
    member.shard_name = name
    return {}


COMMANDS = (
    Command(
        "_shardsvrSetIdentity", set_identity, (Field("shardName", "string", required=True),),
        admin_only=True, writes=True, help="Internal: the shard's name.",
    ),
)
