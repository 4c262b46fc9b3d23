"""Where the config servers are, as the shard's identity keeps it: it follows their set's members.

A shard that starts again finds them by what it has written down, also when all members that it
was told of once are gone.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from psdb_base import order
from psdb_base.errors import MongoError
from psdb_wire.ways import is_same_set
from shardsvr.compatibility import COLLECTION

if TYPE_CHECKING:
    from shardsvr.member import Member

IDENTITY: Final = "shardIdentity"
_LOOK_SECONDS: Final = 1.0


async def follow(member: Member) -> None:
    """Write down each change of the config servers' set, for ever."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        if not member.is_primary or member.shard_name is None or member.config_host is None:
            continue
        try:
            host = member.sharding.config.follow()
            if host is not None and not is_same_set(host, member.config_host):
                _write(member, host)
        except MongoError as error:
            member.world.log.write(
                "W", "SHARDING", 7200014, "The config servers' hosts could not be written down",
                {"error": str(error)},
            )


def _write(member: Member, host: str) -> None:
    collection = member.engine.collection("admin", COLLECTION)
    record = None if collection is None else collection.by_id(order.key(IDENTITY))
    if collection is None or record is None:
        return
    with member.engine.unit() as unit:
        unit.put(collection, {**record.document(), "configsvrConnectionString": host})
        unit.commit()
    member.world.log.write(
        "I", "SHARDING", 22740, "Updating config server connection string",
        {"connectionString": host},
    )
