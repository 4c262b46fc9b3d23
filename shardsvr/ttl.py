"""The TTL monitor: deletes documents whose date in a TTL index has passed.

Runs every `ttlMonitorSleepSecs` (60) while `ttlMonitorEnabled`. The deletes are ordinary write
units, so that the log holds their effects, and nobody else evaluates the clock. A pass deletes in
small units and gives the loop a turn between them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from bson.datetime_ms import DatetimeMS

from psdb_base.errors import MongoError
from psdb_store.collection import Collection
from psdb_store.index import Index

if TYPE_CHECKING:
    from shardsvr.member import Member

SLEEP: Final = "ttlMonitorSleepSecs"
UNIT_DOCUMENTS: Final = 128


async def monitor(member: Member) -> None:
    """Delete expired documents now and then, until cancelled."""
    while True:
        await _pause(member)
        enabled = member.parameters["ttlMonitorEnabled"] and member.is_primary
        if not enabled or member.gate.locks:
            continue
        try:
            await sweep(member)
        except MongoError as error:
            member.world.log.write(
                "W", "INDEX", 5400703, "TTL pass ended early", {"error": str(error)}
            )
        member.ttl_passes += 1


async def _pause(member: Member) -> None:
    """Wait for as long as the parameter says, also when it is set meanwhile."""
    clock = member.world.clock
    begun = clock.monotonic()
    while (left := begun + member.parameters[SLEEP] - clock.monotonic()) > 0:
        member.ttl_reset.clear()
        try:
            async with asyncio.timeout(left):
                await member.ttl_reset.wait()
        except TimeoutError:
            return


async def sweep(member: Member) -> None:
    """Make one pass over all TTL indexes."""
    for db in member.engine.databases():
        for collection in list(member.engine.collections(db)):
            for index in list(collection.indexes.values()):
                if index.expire_after_seconds is not None:
                    await _sweep_index(member, collection, index)
            await _sweep_collection(member, collection)


async def _sweep_collection(member: Member, collection: Collection) -> None:
    """Delete what a clustered or time-series collection itself lets expire."""
    seconds = collection.options.get("expireAfterSeconds")
    if seconds is None:
        return
    if collection.is_clustered and collection.id_index is not None:
        await _sweep_index(member, collection, collection.id_index, float(seconds))
    elif collection.is_timeseries:
        await _sweep_measurements(member, collection, float(seconds))


async def _sweep_measurements(member: Member, collection: Collection, seconds: float) -> None:
    """Delete measurements whose time has passed; they come in no particular order."""
    name = collection.options["timeseries"]["timeField"]
    horizon = member.world.clock.now_ms() - int(seconds * 1000)
    after: int | None = None
    while True:
        while collection.busy is not None:
            await collection.busy
        if member.gate.locks or collection.dropped:
            return
        records = collection.scan(after, UNIT_DOCUMENTS)
        if not records:
            return
        after = records[-1].rid
        unit = member.engine.unit()
        for record in records:
            time = record.peek().get(name)
            if type(time) is DatetimeMS and int(time) <= horizon:
                unit.delete(collection, record)
                member.ttl_deleted += 1
        unit.commit()
        await asyncio.sleep(0)


async def _sweep_index(
    member: Member, collection: Collection, index: Index, seconds: float | None = None
) -> None:
    while True:
        while collection.busy is not None:
            await collection.busy
        if member.gate.locks:
            return
        if member.engine.collection(collection.db, collection.name) is not collection:
            return
        rids = index.expired(member.world.clock.now_ms(), UNIT_DOCUMENTS, seconds)
        if not rids or collection.indexes.get(index.name) is not index:
            return
        unit = member.engine.unit()
        for rid in rids:
            record = collection.get(rid)
            if record is not None:
                unit.delete(collection, record)
                member.ttl_deleted += 1
        unit.commit()
        await asyncio.sleep(0)
