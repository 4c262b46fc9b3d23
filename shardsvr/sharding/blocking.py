"""Sections closed for changes of the catalogue: shardCollection, movePrimary, refine, drop.

The config server closes them, commits the change, and opens them. A member that is not told the
end (the config server was lost meanwhile) fences the change, as a donor does, and goes on with
the outcome; its document among the coordinators keeps the section closed over a crash.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from bson.binary import Binary

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.operations import Operation
from shardsvr.sharding import records as names
from shardsvr.sharding.recipient import put_copies
from shardsvr.sharding.state import Section, ShardingState

_BATCH_DOCUMENTS: Final = 1000
_BATCH_BYTES: Final = 4 * 1024 * 1024


async def close(state: ShardingState, identifier: Any, ns: str, seconds: float) -> None:
    """Close a section; a multi-document write that runs ends first.

    After so many seconds the section opens by itself: the change is fenced then.
    """
    if ns in state.sections:
        raise MongoError(
            Code.CONFLICTING_OPERATION_IN_PROGRESS, f"{ns} is being changed already"
        )
    section = state.sections[ns] = Section()
    try:
        await state.writers_end(ns)
        await state.records.write(
            put=[(names.COORDINATORS, {"_id": identifier, "ns": ns, "phase": "catalogue"})]
        )
    except BaseException:
        state.sections.pop(ns, None)
        section.opened.set()
        raise
    state.member.keep(_watch(state, identifier, ns, section, seconds))


async def _watch(
    state: ShardingState, identifier: Any, ns: str, section: Section, seconds: float
) -> None:
    """Open a section that nobody opens."""
    try:
        async with asyncio.timeout(seconds):
            await section.opened.wait()
    except TimeoutError:
        await recover(state, {"_id": identifier, "ns": ns})


async def recover(state: ShardingState, spec: Document) -> None:
    """Learn how a change ended of which nobody has told the end."""
    from shardsvr.sharding.donor import fence

    await fence(state, spec["_id"])
    while True:
        try:
            await open_again(state, spec["_id"], spec["ns"])
        except MongoError:
            await asyncio.sleep(0.5)
        else:
            return


async def open_again(state: ShardingState, identifier: Any, ns: str) -> None:
    """Take over what the config server says now, and open the section."""
    found = state.records.find(names.COORDINATORS, identifier)
    if found is None:
        return
    reply = await state.config.command("admin", {
        "_configsvrGetOwnership": 1, "ns": ns, "shard": state.member.shard_name,
    })
    await state.records.ready()
    engine = state.member.engine
    with engine.unit() as unit:
        if "." in ns:
            state.note_ownership(unit, ns, reply.get("ownership"))
        else:
            state.note_database(unit, ns, reply.get("database"))
        state.records.remove(unit, names.COORDINATORS, identifier)
        unit.commit()
    await engine.committed(engine.log_end)
    section = state.sections.pop(ns, None)
    if section is not None:
        section.opened.set()


async def clone_database(
    state: ShardingState, op: Operation, db: str, host: str, sharded: list[str]
) -> list[str]:
    """Copy the collections that are not sharded; nothing of them is written meanwhile."""
    peer, cloned = state.peer(host), []
    for collection in list(state.member.engine.collections(db)):
        if collection.ns in sharded:
            continue
        indexes = [index.spec for name, index in collection.indexes.items() if name != "_id_"]
        await peer.command("admin", {
            "_shardsvrMakePart": 1, "ns": collection.ns, "uuid": collection.uuid,
            "options": collection.options, "indexes": indexes,
        })
        cloned.append(collection.ns)
        after: int | None = None
        while not collection.is_view:
            records = collection.scan(after, _BATCH_DOCUMENTS)
            if not records:
                break
            size, raws = 0, []
            for record in records:
                raws.append(record.raw)
                after, size = record.rid, size + len(record.raw)
                if size > _BATCH_BYTES:
                    break
            await peer.command("admin", {
                "_shardsvrTakeCopies": 1, "ns": collection.ns, "documents": Binary(b"".join(raws)),
            })
            await op.checkpoint(len(raws))
    return cloned


async def take(state: ShardingState, args: Document) -> None:
    """Take copies of a collection that moves here as a whole."""
    db, _, name = args["ns"].partition(".")
    collection = state.member.engine.collection(db, name)
    if collection is None:
        raise MongoError(Code.NAMESPACE_NOT_FOUND, f"{args['ns']} was dropped")
    await put_copies(state, collection, bytes(args["documents"]))
