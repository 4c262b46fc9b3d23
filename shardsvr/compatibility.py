"""The feature compatibility version: a document that every member keeps about its own data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psdb_base import bson_codec, order
from psdb_server.parameters import PARAMETERS

if TYPE_CHECKING:
    from shardsvr.member import Member

COLLECTION: Final = "system.version"
IDENTITY: Final = "featureCompatibilityVersion"


async def ensure(member: Member) -> None:
    """Write the document into `admin.system.version`, once in a dbpath's life."""
    engine = member.engine
    collection = engine.collection("admin", COLLECTION)
    if collection is None:
        collection = await engine.create_collection("admin", COLLECTION, {})
    if collection.by_id(order.key(IDENTITY)) is not None:
        return
    document = {"_id": IDENTITY, **PARAMETERS[IDENTITY].default}
    with engine.unit() as unit:
        unit.insert(collection, bson_codec.encode(document))
        unit.commit()
    await engine.committed(engine.log_end)
