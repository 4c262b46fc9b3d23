"""The shard's own sharding documents: ordinary collections of its `config` database.

They change through the log as all documents do, so they survive crashes, are undone with the
entries that made them, and are the same on every member of a replica set.

| collection | a document is |
|---|---|
| `cache.collections` | what this shard owns of a sharded collection |
| `cache.databases` | the version of a database whose primary this shard is |
| `migrationCoordinators` | a migration away from here, with its phase |
| `rangeDeletions` | a range that may hold documents that are not owned |
| `cache.deletions` | which ranges of a collection were deleted last |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from psdb_base import order
from psdb_base.values import Document
from psdb_store.collection import Collection

if TYPE_CHECKING:
    from psdb_store.unit import WriteUnit
    from shardsvr.member import Member

COLLECTIONS: Final = "cache.collections"
DATABASES: Final = "cache.databases"
COORDINATORS: Final = "migrationCoordinators"
DELETIONS: Final = "rangeDeletions"
DELETED: Final = "cache.deletions"
ALL: Final = (COLLECTIONS, DATABASES, COORDINATORS, DELETIONS, DELETED)


class Records:
    """Reading and writing them, with what was read kept until it changes."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._parsed: dict[tuple[str, str], tuple[Any, Any]] = {}

    async def ready(self) -> None:
        """Make the collections; no await may come between this and a `put` in a unit."""
        from shardsvr.collections import collection_for_write

        for name in ALL:
            await collection_for_write(self._member, "config", name)

    def collection(self, name: str) -> Collection | None:
        """Return one of the collections, None before the first use."""
        return self._member.engine.collection("config", name)

    def get(self, name: str, identifier: Any) -> Any:
        """Return the record of a document, None when there is none."""
        collection = self._member.engine.collection("config", name)
        return None if collection is None else collection.by_id(order.key(identifier))

    def find(self, name: str, identifier: Any) -> Document | None:
        """Return a document by its `_id`."""
        record = self.get(name, identifier)
        return None if record is None else record.document()

    def parsed(self, name: str, identifier: str, parse: Any) -> Any:
        """Return a document parsed; parsed again only when its record has changed."""
        record = self.get(name, identifier)
        if record is None:
            return None
        known = self._parsed.get((name, identifier))
        if known is not None and known[0] is record:
            return known[1]
        value = parse(record.document())
        self._parsed[name, identifier] = record, value
        return value

    def all(self, name: str) -> list[Document]:
        """Return all documents of a collection, oldest first."""
        collection = self._member.engine.collection("config", name)
        if collection is None or not collection.count:
            return []
        return [record.document() for record in collection.scan(None, 1_000_000)]

    def put(self, unit: WriteUnit, name: str, document: Document) -> None:
        """Insert or replace a document within a unit."""
        collection = self._member.engine.collection("config", name)
        assert collection is not None, "ready() comes first"
        unit.put(collection, document)

    def remove(self, unit: WriteUnit, name: str, identifier: Any) -> None:
        """Delete a document within a unit, if it is there."""
        collection = self._member.engine.collection("config", name)
        if collection is not None:
            unit.remove(collection, identifier)

    async def write(
        self, *, put: list[tuple[str, Document]] | None = None,
        remove: list[tuple[str, Any]] | None = None,
    ) -> None:
        """Put and remove documents as one entry, and wait until it is committed."""
        await self.ready()
        engine = self._member.engine
        with engine.unit() as unit:
            for name, document in put or ():
                self.put(unit, name, document)
            for name, identifier in remove or ():
                self.remove(unit, name, identifier)
            unit.commit()
        await engine.committed(engine.log_end)
