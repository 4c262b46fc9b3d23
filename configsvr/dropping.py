"""Dropping sharded collections on all shards; moving a database's primary.

A sharded collection goes in one entry of the log that also writes a coordinator's document;
until all shards have dropped their parts, the name cannot be used again. The work is taken up
again by a config server that starts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any, Final

from bson.binary import Binary

from configsvr import chunks, routing, store
from configsvr.carrying import to_the_end
from configsvr.moving import command_on, locked, shard_row
from configsvr.shard_collection import (
    check_not_fenced,
    check_there,
    persistently,
    refresh,
    unblock,
)
from configsvr.zones import zones_of
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field
from psdb_server.namespaces import split_namespace
from shardsvr.collections import member_of
from shardsvr.member import Member

COORDINATORS: Final = "ddlCoordinators"
_RETRY_SECONDS: Final = 0.5
_WAIT_SECONDS: Final = 20.0


async def drop_sharded(member: Member, ns: str) -> bool:
    """Drop a sharded collection on all shards; False when it is not sharded.

    The zones of either kind of collection go with it.
    """
    if not await forget_collection(member, ns):
        return False
    await in_time(member, drop_parts(member, ns), ns)
    return True


async def forget_collection(member: Member, ns: str) -> bool:
    """Take a collection out of the catalogue; False when no shard has a part of it to drop."""
    async with locked(member, ns):
        await store.ready(member, "chunks", "collections", "tags", COORDINATORS)
        gone: list[tuple[str, Any]] = [("tags", tag["_id"]) for tag in zones_of(member, ns)]
        row = store.find(member, "collections", ns)
        if row is None:
            if gone:
                store.write(member, [], gone)
                await store.settled(member)
            return routing.pending_drop(member, ns)
        gone += [("chunks", chunk["_id"]) for chunk in chunks.Map(member, row).chunks]
        store.write(
            member, [(COORDINATORS, {"_id": ns, "op": "drop", "uuid": row["uuid"]})],
            [("collections", ns), *gone],
        )
        await store.settled(member)
        await store.note(member, "dropCollection.start", ns, {})
    return True


async def in_time(member: Member, work: Coroutine[Any, Any, None], name: str) -> None:
    """Wait for a drop; one that takes long goes on, but its client is told so."""
    task = member.keep(work)
    try:
        async with asyncio.timeout(_WAIT_SECONDS):
            await asyncio.shield(task)
    except TimeoutError as error:
        raise MongoError(
            Code.HOST_UNREACHABLE, f"{name} is dropped, but not on all shards yet"
        ) from error


async def drop_parts(member: Member, ns: str) -> None:
    """Have every shard drop its part, as long as it takes; then the name is free."""
    done: set[str] = set()
    while True:
        async with locked(member, ns):
            row = store.find(member, COORDINATORS, ns)
            if row is None:
                return
            left = [
                shard["_id"] for shard in store.documents(member, "shards")
                if shard["_id"] not in done
            ]
            for shard in left:
                try:
                    await command_on(
                        member, shard, {"_shardsvrDropPart": 1, "ns": ns, "uuid": row["uuid"]}
                    )
                    done.add(shard)
                except MongoError as error:
                    member.world.log.write(
                        "W", "SHARDING", 5390504, "A shard has not dropped its part yet",
                        {"shard": shard, "namespace": ns, "error": str(error)},
                    )
            if all(shard["_id"] in done for shard in store.documents(member, "shards")):
                await store.remove(member, COORDINATORS, ns)
                await store.note(member, "dropCollection", ns, {})
                return
        await asyncio.sleep(_RETRY_SECONDS)


async def resume(member: Member) -> None:
    """Go on with what an earlier life of this config server began."""
    from configsvr.dropping_databases import drop_everywhere

    for row in store.documents(member, COORDINATORS):
        drop = drop_everywhere if row["op"] == "dropDatabase" else drop_parts
        member.keep(drop(member, row["_id"]))


async def drop_collection(request: Request) -> Reply:
    """Drop a sharded collection; tells whether it was one."""
    return {"dropped": await drop_sharded(member_of(request), request.args["ns"])}


async def move_primary(request: Request) -> Reply:
    """`movePrimary`: give a database's unsharded collections to another shard."""
    member, db = member_of(request), str(request.target)
    if db in ("admin", "config", "local"):
        raise MongoError(Code.INVALID_OPTIONS, f"Can't move primary for {db} database")
    target = shard_row(member, request.args["to"])
    if target.get("draining"):
        raise MongoError(Code.SHARD_NOT_FOUND, f"Shard {target['_id']} is currently draining")
    async with locked(member, db):

        async def change() -> None:
            row = store.find(member, "databases", db)
            if row is None:
                raise MongoError(Code.NAMESPACE_NOT_FOUND, f"Database {db} not found")
            if row["primary"] != target["_id"]:
                await _move_blocked(member, row, target)

        await persistently(change)
    return {"primary": target["_id"]}


async def _move_blocked(member: Member, row: Document, target: Document) -> None:
    db, old = row["_id"], row["primary"]
    identifier = Binary(member.world.random.uuid(), 4)
    await store.note(member, "movePrimary.start", db, {"from": old, "to": target["_id"]})
    await command_on(member, old, {"_shardsvrBlock": 1, "id": identifier, "ns": db})
    try:
        sharded = [one["_id"] for one in store.documents(member, "collections")]
        await command_on(member, old, {
            "_shardsvrCloneDatabase": 1, "id": identifier, "database": db,
            "toHost": target["host"], "sharded": sharded,
        })
        await store.ready(member, "databases", routing.OUTCOMES)
        check_not_fenced(member, identifier)
        check_there(member, [target["_id"]])
        version: Document = {
            **row["version"], "lastMod": row["version"]["lastMod"] + 1,
            "timestamp": member.clock.tick(),
        }
        store.write(member, [
            ("databases", {**row, "primary": target["_id"], "version": version}),
            (routing.OUTCOMES, routing.outcome_row(member, identifier, "committed", db)),
        ])
        await store.settled(member)
    except MongoError:
        await unblock(member, [old], identifier, db)
        if await routing.fence(member, identifier) == "aborted":
            await _forget_copies(member, target["_id"], identifier, db)
        raise
    await unblock(member, [old], identifier, db)
    await refresh(member, [target["_id"]], f"{db}.")
    await store.note(member, "movePrimary.commit", db, {"from": old, "to": target["_id"]})


async def _forget_copies(member: Member, shard: str, identifier: Binary, db: str) -> None:
    """Have a shard drop what a move brought that was given up.

    One that does not hear it drops it when the database moves there once more.
    """
    try:
        await command_on(member, shard, {
            "_shardsvrArrive": 1, "id": identifier, "database": db, "step": "forget",
        })
    except MongoError as error:
        member.world.log.write(
            "W", "SHARDING", 22065, "A shard keeps copies of a move that was given up",
            {"shard": shard, "database": db, "error": str(error)},
        )


def _of_chunks(found: chunks.Map) -> list[Document]:
    """Return what is inconsistent in a collection's chunks."""
    all_of_them = found.chunks
    if not all_of_them:
        return [_inconsistency("MissingRoutingTable", "Found no chunks of the collection", found)]
    rows: list[Document] = []
    first, last = all_of_them[0]["min"], all_of_them[-1]["max"]
    if first != found.pattern.lowest:
        rows.append(_inconsistency(
            "RoutingTableMissingMinKey", "Found a first chunk that does not begin at MinKey", found,
            {"minKeyObj": first, "globalMin": found.pattern.lowest},
        ))
    for chunk, following in pairwise(all_of_them):
        end, begin = found.key(chunk["max"]), found.key(following["min"])
        if end != begin:
            rows.append(_inconsistency(
                "RoutingTableRangeOverlap" if begin < end else "RoutingTableRangeGap",
                "Found neighbouring chunks whose bounds are not the same", found,
                {"range1": chunk, "range2": following},
            ))
    if last != found.pattern.highest:
        rows.append(_inconsistency(
            "RoutingTableMissingMaxKey", "Found a last chunk that does not end at MaxKey", found,
            {"maxKeyObj": last, "globalMax": found.pattern.highest},
        ))
    return rows


def _inconsistency(
    kind: str, description: str, found: chunks.Map, more: Document | None = None
) -> Document:
    return {"type": kind, "description": description, "details": {
        "namespace": found.ns, "collectionUUID": found.uuid, **(more or {}),
    }}


async def check_metadata(request: Request) -> Reply:
    """Return what is inconsistent in the catalogue: nothing, or rows that say what."""
    member, rows = member_of(request), []
    for row in store.documents(member, "collections"):
        found = chunks.Map(member, row)
        rows += _of_chunks(found)
        if store.find(member, "databases", split_namespace(row["_id"])[0]) is None:
            rows.append(_inconsistency(
                "HiddenShardedCollection", "Found sharded collection of an unregistered database",
                found,
            ))
    return {"inconsistencies": rows}


COMMANDS = (
    Command(
        "_configsvrCheckMetadata", check_metadata, admin_only=True,
        help="Internal: what is inconsistent in the catalogue.",
    ),
    Command(
        "_configsvrDropCollection", to_the_end(drop_collection),
        (Field("ns", "string", required=True),),
        admin_only=True, writes=True, help="Internal: drop a sharded collection.",
    ),
    Command(
        "movePrimary", to_the_end(move_primary), (Field("to", "string", required=True),),
        target="string",
        admin_only=True, writes=True, write_concern=True, help="Move a database's primary shard.",
    ),
)
