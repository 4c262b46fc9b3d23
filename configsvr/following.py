"""The hosts in `config.shards` follow the members of the shards' sets.

A router or shard that starts later knows a set by its row alone, so the row has to name members
that are there, also when all of the first ones are gone.
"""

from __future__ import annotations

import asyncio
from typing import Final

from configsvr import store
from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_wire.ways import addresses, is_same_set, set_name
from shardsvr.member import Member

LOOK_SECONDS: Final = 1.0


def is_named(row: Document, name: str) -> bool:
    """Tell whether a name is a shard's: its id, its host, its set, or the address of a member."""
    host: str = row["host"]
    if name in (row["_id"], host):
        return True
    if set_name(name):
        return set_name(name) == set_name(host)
    return name.lower() in addresses(host)


async def follow(member: Member) -> None:
    """Write down each change of a shard's set, for ever."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if not member.is_primary:
            continue
        try:
            await _look(member)
        except MongoError as error:
            member.world.log.write(
                "W", "SHARDING", 471694, "The hosts of a shard could not be written down",
                {"error": str(error)},
            )


async def _look(member: Member) -> None:
    changed = [row["_id"] for row in store.unordered(member, "shards") if _news(member, row)]
    if not changed:
        return
    await store.ready(member, "shards")
    for name in changed:
        row = store.find(member, "shards", name)
        host = None if row is None else _news(member, row)
        if row is None or host is None:
            continue
        store.write(member, [("shards", {**row, "host": host})])
        member.world.log.write(
            "I", "SHARDING", 471693, "Updating the shard registry with confirmed replica set",
            {"connectionString": host},
        )


def _news(member: Member, row: Document) -> str | None:
    """Return a shard's host when its set has other members than its row says."""
    if not set_name(row["host"]):
        return None
    host: str | None = member.sharding.peer(row["host"]).follow()
    return None if host is None or is_same_set(host, row["host"]) else host
