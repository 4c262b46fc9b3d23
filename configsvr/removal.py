"""`removeShard`: draining, its progress, the end."""

from __future__ import annotations

from bson.int64 import Int64

from configsvr import store
from configsvr.chunks import Map
from configsvr.moving import shard_row
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request
from shardsvr.collections import member_of
from shardsvr.member import Member


async def remove_shard(request: Request) -> Reply:
    """Begin to drain a shard, tell how far it is, or take it out."""
    member, name = member_of(request), str(request.target)
    await store.ready(member, "shards")
    rows = store.documents(member, "shards")
    identifier = shard_row(member, name)["_id"]
    row = next(one for one in rows if one["_id"] == identifier)
    others = [one for one in rows if one is not row and not one.get("draining")]
    databases = _databases_of(member, row["_id"])
    if not row.get("draining"):
        if not others:
            raise MongoError(
                Code.ILLEGAL_OPERATION, "Operation not allowed because it would remove the last "
                "shard"
            )
        _check_zones(member, row, rows)
        store.write(member, [("shards", {**row, "draining": True})])
        await store.note(member, "removeShard.start", "", {"shard": row["_id"]})
        return _progress("draining started successfully", "started", row, databases)
    may_leave = await _may_leave(member, row["host"])
    databases = _databases_of(member, row["_id"])
    chunks = [
        chunk for one in store.unordered(member, "collections")
        for chunk in Map(member, one).of_shard(row["_id"])
    ]
    if chunks or databases or not may_leave:
        reply = _progress("draining ongoing", "ongoing", row, databases)
        reply["remaining"] = {
            "chunks": Int64(len(chunks)), "collectionsToMove": Int64(0),
            "dbs": Int64(len(databases)),
            "jumboChunks": Int64(sum(bool(chunk.get("jumbo")) for chunk in chunks)),
        }
        return reply
    store.write(member, [], [("shards", row["_id"])])
    await store.settled(member)
    await store.note(member, "removeShard", "", {"shard": row["_id"]})
    try:
        await member.sharding.peer(row["host"]).command("admin", {"_shardsvrClearIdentity": 1})
    except MongoError as error:
        member.world.log.write(
            "W", "SHARDING", 21923, "A removed shard was not told", {"error": str(error)}
        )
    return {
        "msg": "removeshard completed successfully", "state": "completed", "shard": row["_id"],
    }


def _databases_of(member: Member, shard: str) -> list[str]:
    return [row["_id"] for row in store.documents(member, "databases") if row["primary"] == shard]


async def _may_leave(member: Member, host: str) -> bool:
    """Tell whether a drained shard has brought its migrations to their end; a dead one may go."""
    try:
        reply = await member.sharding.peer(host).command("admin", {"_shardsvrMayLeave": 1})
    except MongoError:
        return True
    return bool(reply["mayLeave"])


def _check_zones(member: Member, row: Document, rows: list[Document]) -> None:
    used = {tag["tag"] for tag in store.unordered(member, "tags")}
    for zone in row.get("tags", []):
        if zone in used and not any(
            one is not row and zone in one.get("tags", []) for one in rows
        ):
            raise MongoError(
                Code.ZONE_STILL_IN_USE, f"the shard is the only one of zone {zone}, to which "
                "ranges are assigned"
            )


def _progress(msg: str, state: str, row: Document, databases: list[str]) -> Document:
    return {
        "msg": msg, "state": state, "shard": row["_id"],
        "note": "you need to drop or movePrimary these databases",
        "dbsToMove": databases, "collectionsToMove": [],
    }


COMMANDS = (
    Command(
        "removeShard", remove_shard, target="string", admin_only=True, writes=True,
        write_concern=True, help="Drain a shard and take it out.",
    ),
)
