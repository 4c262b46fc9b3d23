"""Documents of the catalogue: reading and writing `config.*` of the config server's member."""

from __future__ import annotations

from typing import Any, Final

from psdb_base import order
from psdb_base.values import Document
from psdb_store.collection import Collection
from shardsvr.collections import collection_for_write
from shardsvr.member import Member

Changes = list[tuple[str, Document]]
"""Documents to be put, with their collections' names."""


_INDEXES: Final[dict[str, tuple[Document, ...]]] = {
    "chunks": (
        {"uuid": 1, "min": 1}, {"uuid": 1, "shard": 1, "min": 1}, {"uuid": 1, "lastmod": 1},
        {"uuid": 1, "shard": 1, "lastmod": 1},
    ),
}
"""The last one is PSDB's own: it tells a shard's version by one look."""


async def ready(member: Member, *names: str) -> None:
    """Make collections ready to be written; no await may come before the writing."""
    for name in names:
        collection = await collection_for_write(member, "config", name)
        for key in _INDEXES.get(name, ()):
            if _index_name(key) not in collection.indexes:
                await _make_index(member, name, key)
                return await ready(member, *names)
    return None


async def _make_index(member: Member, name: str, key: Document) -> None:
    """Make an index of the catalogue: all of them are unique."""
    collection = await collection_for_write(member, "config", name)
    spec: Document = {"v": 2, "key": key, "name": _index_name(key), "unique": True}
    await member.catalogue(member.engine.create_index(collection, spec))


def _index_name(key: Document) -> str:
    return "_".join(f"{field}_{direction}" for field, direction in key.items())


def ordered(
    member: Member, name: str, index: str, prefix: list[Any], low: Any = None, high: Any = None,
    *, reverse: bool = False, limit: int = 10_000_000,
) -> list[Document]:
    """Return documents in the order of an index of `ready`. Not to be changed.

    Args:
        member: The config server.
        name: The collection.
        index: The index's name.
        prefix: Values of the first fields.
        low: The least value of the next field, None for no limit.
        high: The value that those of the next field are below, None for no limit.
        reverse: From high to low.
        limit: How many at most.

    """
    collection = member.engine.collection("config", name)
    if collection is None:
        return []
    first = b"".join(order.key(value) for value in prefix)
    found = collection.indexes[index].scan(
        first if low is None else first + order.key(low),
        first if high is None else first + order.key(high),
        high_inclusive=high is None, reverse=reverse, limit=limit,
    )
    return [collection.records[rid].document() for _key, rid in found]


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
    """Wait until what was written is committed; 10107 where office is lost: it may never be."""
    if member.engine.refusal is not None:
        raise member.engine.refusal
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
