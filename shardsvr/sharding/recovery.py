"""Background work of a shard: migrations that a crash interrupted, range deletions.

A range is deleted when no cursor or statement shows documents of it any more. Its document goes
after its last document is gone.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from psdb_base.errors import MongoError
from psdb_base.shard_keys import KeyPattern
from psdb_base.values import Document
from shardsvr.sharding import records as names
from shardsvr.sharding.cloning import records_in
from shardsvr.sharding.ownership import DELETED_MAX
from shardsvr.sharding.state import Section, ShardingState

if TYPE_CHECKING:
    from psdb_store.collection import Collection
    from shardsvr.member import Member

_DELETE_DOCUMENTS: Final = 128
_IDLE_SECONDS: Final = 1.0
_WAITING_SECONDS: Final = 0.1
_SILENT_SECONDS: Final = 5.0
_GIVEN_UP_SECONDS: Final = 15.0


def start(member: Member) -> None:
    """Begin background work, which rests while this member is not the primary."""
    member.spawn(_delete_ranges(member.sharding))


def take_up(member: Member) -> None:
    """Close the sections of interrupted migrations and go on with them.

    Called before a primary serves: a request never meets an open section that was closed when
    the primary before stopped.
    """
    state = member.sharding
    state.reset()
    for spec in state.records.all(names.COORDINATORS):
        section = Section()
        if spec.get("phase") != "cloning":
            state.sections[spec["ns"]] = section
        state.in_office(_recover(state, spec, section))


async def _recover(state: ShardingState, spec: Document, section: Section) -> None:
    """Bring an interrupted migration to its end; the section opens when that is known."""
    from shardsvr.sharding import blocking, donor

    if spec["phase"] == "catalogue":
        await blocking.recover(state, spec)
        return
    committed = await donor.is_committed(state, spec)
    if committed:
        await donor.finish(state, spec)
    else:
        await state.records.write(remove=[(names.COORDINATORS, spec["_id"])])
    state.open(spec["ns"], section)
    await donor.tell_recipient(state, spec, committed=committed)


async def _delete_ranges(state: ShardingState) -> None:
    """Delete the ranges that are not owned, one after the other, for ever."""
    first_seen: dict[bytes, float] = {}
    while True:
        waiting = False
        _give_up_silent(state)
        try:
            for task in state.records.all(names.DELETIONS) if state.member.is_primary else ():
                waiting = True
                if task.get("pending"):
                    await _look_at_pending(state, task, first_seen)
                elif await delete_range(state, task):
                    first_seen.pop(bytes(task["_id"]), None)
        except MongoError as error:
            state.member.world.log.write(
                "W", "SHARDING", 22051, "A range deletion failed", {"error": str(error)}
            )
        state.wake.clear()
        try:
            async with asyncio.timeout(_WAITING_SECONDS if waiting else _IDLE_SECONDS):
                await state.wake.wait()
        except TimeoutError:
            pass


def _give_up_silent(state: ShardingState) -> None:
    """Expect nothing more of a donor that has sent nothing for long."""
    now = state.member.world.clock.monotonic()
    for identifier, known in list(state.incoming.items()):
        if now - known["seen"] > _GIVEN_UP_SECONDS:
            state.incoming.pop(identifier)


async def _look_at_pending(
    state: ShardingState, task: Document, first_seen: dict[bytes, float]
) -> None:
    """Find out the outcome of a migration to here that has been silent for a while."""
    from shardsvr.sharding import recipient

    identifier = bytes(task["_id"])
    now = state.member.world.clock.monotonic()
    since = first_seen.setdefault(identifier, now)
    if identifier in state.incoming:
        first_seen[identifier] = now
    elif now - since > _SILENT_SECONDS:
        await recipient.resolve(state, task)


async def delete_range(state: ShardingState, task: Document) -> bool:
    """Delete a range; False when somebody still reads it."""
    member = state.member
    db, _, name = task["nss"].partition(".")
    pattern = KeyPattern(task["keyPattern"])
    low, high = (pattern.bound_key(task["range"][side]) for side in ("min", "max"))
    collection: Collection | None = member.engine.collection(db, name)
    if collection is not None and bytes(collection.uuid) == bytes(task["collectionUuid"]):
        if state.readers_left(task):
            return False
        await _announce(state, task)
        op = member.internal_operation("rangeDeleter", db)
        try:
            async for found in records_in(collection, pattern, low, high, op.checkpoint):
                if collection.dropped:
                    break
                await _delete(state, collection, found)
        finally:
            member.operations.end(op)
    await state.records.write(remove=[(names.DELETIONS, task["_id"])])
    return True


async def _announce(state: ShardingState, task: Document) -> None:
    """Note that a range begins to be deleted, for readers on the other members."""
    known = state.records.find(names.DELETED, task["nss"]) or {"_id": task["nss"], "ranges": []}
    rows = [row for row in known["ranges"] if row["id"] != task["_id"]]
    row: Document = {"id": task["_id"], "min": task["range"]["min"], "max": task["range"]["max"]}
    await state.records.write(
        put=[(names.DELETED, {**known, "ranges": [*rows, row][-DELETED_MAX:]})]
    )


async def _delete(state: ShardingState, collection: Collection, found: list[Any]) -> None:
    """Delete records that are still there and not owned."""
    engine = state.member.engine
    for at in range(0, len(found), _DELETE_DOCUMENTS):
        while collection.busy is not None:
            await collection.busy
        if collection.dropped:
            return
        own = state.ownership(collection.ns)
        with engine.unit() as unit:
            for record in found[at : at + _DELETE_DOCUMENTS]:
                latest = collection.get(record.rid)
                if latest is None or (own is not None and own.owns(latest.document())):
                    continue
                unit.delete(collection, latest)
            unit.commit()
        await engine.committed(engine.log_end)
        await asyncio.sleep(0)
