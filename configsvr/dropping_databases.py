"""Dropping a database on all shards.

A coordinator's document stands for the drop until its end, and a config server that starts goes
on with it. The sharded collections go first, each as by a drop of its own. Then every shard drops
what it has of the database, its primary shard last and with the database's section closed: what
is written to it meanwhile waits, and finds at the section's opening that the database is gone.
The end is one entry that removes the database's row, its zones and the coordinator, and
decides both the drop and its hold on the section: a shard that did not wait any longer has
fenced that, and the primary shard's part is done once more.

A shard drops only what it had when it heard from the config server that the drop was going on. So a
command that comes late never touches a database that was created after it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from bson.binary import Binary

from configsvr import routing, store
from configsvr.carrying import to_the_end
from configsvr.dropping import COORDINATORS, drop_parts, forget_collection, in_time
from configsvr.moving import command_on, locked
from configsvr.shard_collection import check_not_fenced, unblock
from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field
from psdb_server.namespaces import split_namespace
from shardsvr.collections import member_of
from shardsvr.member import Member

_RETRY_SECONDS: Final = 0.5


async def drop_database(request: Request) -> Reply:
    """Drop a database with all its collections on all shards; tells whether it was there."""
    member, db = member_of(request), request.args["database"]
    existed = await _begin(member, db)
    if existed:
        await in_time(member, drop_everywhere(member, db), db)
    return {"existed": existed}


async def _begin(member: Member, db: str) -> bool:
    """Write down that a database is to go; False when it is not there."""
    async with locked(member, db):
        await store.ready(member, "tags", COORDINATORS)
        if store.find(member, COORDINATORS, db) is not None:
            return True
        if store.find(member, "databases", db) is None:
            zones = _zones_of(member, db)
            if zones:
                store.write(member, [], zones)
                await store.settled(member)
            return False
        store.write(member, [(COORDINATORS, {
            "_id": db, "op": "dropDatabase", "id": Binary(member.world.random.uuid(), 4),
        })])
        await store.settled(member)
    await store.note(member, "dropDatabase.start", db, {})
    return True


def _zones_of(member: Member, db: str) -> list[tuple[str, Any]]:
    return [
        ("tags", tag["_id"]) for tag in store.unordered(member, "tags")
        if split_namespace(tag["ns"])[0] == db
    ]


async def drop_everywhere(member: Member, db: str) -> None:
    """Carry the drop of a database through, as long as it takes.

    No other change of the database begins before its end.
    """
    async with locked(member, db):
        while (spec := store.find(member, COORDINATORS, db)) is not None and member.is_primary:
            try:
                await _drop(member, db, spec)
            except MongoError as error:
                member.world.log.write(
                    "W", "SHARDING", 5494506, "A database is not dropped on all shards yet",
                    {"database": db, "error": str(error)},
                )
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                await store.note(member, "dropDatabase", db, {})


async def _drop(member: Member, db: str, spec: Document) -> None:
    for row in store.documents(member, "collections"):
        if split_namespace(row["_id"])[0] == db:
            await forget_collection(member, row["_id"])
    for row in store.documents(member, COORDINATORS):
        if row["op"] == "drop" and split_namespace(row["_id"])[0] == db:
            await drop_parts(member, row["_id"])
    known = store.find(member, "databases", db)
    primary = None if known is None else known["primary"]
    part: Document = {"_shardsvrDropDatabasePart": 1, "database": db, "id": spec["id"]}
    for shard in store.documents(member, "shards"):
        if shard["_id"] != primary:
            await command_on(member, shard["_id"], part)
    identifier = Binary(member.world.random.uuid(), 4)
    if primary is not None:
        await command_on(member, primary, {"_shardsvrBlock": 1, "id": identifier, "ns": db})
    try:
        if primary is not None:
            await command_on(member, primary, part)
        await _commit(member, db, spec, identifier)
    finally:
        if primary is not None:
            await unblock(member, [primary], identifier, db)


async def _commit(member: Member, db: str, spec: Document, identifier: Binary) -> None:
    """End the drop in one entry."""
    await store.ready(member, "databases", "tags", routing.OUTCOMES)
    check_not_fenced(member, identifier)
    store.write(
        member,
        [
            (routing.OUTCOMES, routing.outcome_row(member, one, "committed", db))
            for one in (spec["id"], identifier)
        ],
        [("databases", db), (COORDINATORS, db), *_zones_of(member, db)],
    )
    await store.settled(member)


COMMANDS = (
    Command(
        "_configsvrDropDatabase", to_the_end(drop_database),
        (Field("database", "string", required=True),),
        admin_only=True, writes=True, help="Internal: drop a database on all shards.",
    ),
)
