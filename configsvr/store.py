"""Documents of the catalogue: reading and writing `config.*` of the config server's member."""

from __future__ import annotations

from typing import Any

from psdb_base import order
from psdb_base.values import Document
from psdb_store.collection import Collection
from shardsvr.collections import collection_for_write
from shardsvr.member import Member

Changes = list[tuple[str, Document]]
"""Documents to be put, with their collections' names."""


async def ready(member: Member, *names: str) -> None:
    """Make collections ready to be written; no await may come before the writing."""
    for name in names:
        await collection_for_write(member, "config", name)


def write(member: Member, changes: Changes, removed: list[tuple[str, Any]] | None = None) -> None:
    """Put and remove documents as one entry, without an await; `ready` comes first."""
    with member.engine.unit() as unit:
        for name, identifier in removed or ():
            collection = member.engine.collection("config", name)
            if collection is not None:
                unit.remove(collection, identifier)
        for name, document in changes:
            collection = member.engine.collection("config", name)
            assert collection is not None, "ready() comes first"
            unit.put(collection, document)
        unit.commit()


async def settled(member: Member) -> None:
    """Wait until what was written is committed."""
    await member.engine.committed(member.engine.log_end)


async def remove(member: Member, name: str, identifier: Any) -> None:
    """Delete a catalogue document by its `_id`."""
    await ready(member, name)
    write(member, [], [(name, identifier)])


def documents(member: Member, name: str) -> list[Document]:
    """Return all documents of a catalogue collection, in `_id` order. Not to be changed."""
    return sorted(unordered(member, name), key=lambda document: order.key(document["_id"]))


def unordered(member: Member, name: str) -> list[Document]:
    """Return all documents of a catalogue collection. Not to be changed."""
    collection: Collection | None = member.engine.collection("config", name)
    if collection is None:
        return []
    return [record.document() for record in collection.scan(None, 10_000_000)]


def find(member: Member, name: str, identifier: Any) -> Document | None:
    """Return a catalogue document by its `_id`. Not to be changed."""
    collection = member.engine.collection("config", name)
    if collection is None:
        return None
    record = collection.by_id(order.key(identifier))
    return None if record is None else record.document()


async def note(
    member: Member, what: str, ns: str, details: Document, *, collection: str = "changelog"
) -> None:
    """Write a row of `config.changelog` (or `actionlog`); what it tells of has happened."""
    from bson.datetime_ms import DatetimeMS

    now = member.world.clock.now_ms()
    await ready(member, collection)
    write(member, [(collection, {
        "_id": f"{member.host}-{now}-{member.world.random.object_id()}",
        "server": member.host, "shard": "config", "clientAddr": "",
        "time": DatetimeMS(now), "what": what, "ns": ns, "details": details,
    })])
