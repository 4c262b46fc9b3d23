"""A collection as far as its log is committed: what no loss of office takes back.

Nothing is kept for it, for the versions that the uncommitted tail superseded are there anyhow. It
moves on with the commit index, so it stands still between two awaits only, as the latest state
does. While nothing is uncommitted the two are the same, and the collection answers by itself.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from psdb_store.collection import Collection
from psdb_store.index import Index
from psdb_store.record import Record
from psdb_store.versions import Versions, View


class _Committed(View):
    """The view at the commit index, wherever that is."""

    def __init__(self, versions: Versions) -> None:
        self._versions: Versions | None = versions
        self._kept = versions

    @property
    def at(self) -> int:  # type: ignore[override]
        """The commit index."""
        return self._kept.commit_index


class Committed:
    """Reads a collection as `Collection` does, but for what is not committed.

    Attributes:
        collection: The collection.

    """

    __slots__ = ("_versions", "_view", "collection")

    def __init__(self, collection: Collection, versions: Versions) -> None:
        self.collection = collection
        self._versions = versions
        self._view = _Committed(versions)

    @property
    def dropped(self) -> bool:
        """Whether the collection is no longer in the catalogue."""
        return self.collection.dropped

    @property
    def ns(self) -> str:
        """Its namespace."""
        return self.collection.ns

    @property
    def indexes(self) -> dict[str, Index]:
        """Its ready indexes."""
        return self.collection.indexes

    @property
    def count(self) -> int:
        """Number of documents."""
        uncommitted = self._versions.tail_of(self.collection)
        grown = sum((new is not None) - (old is not None) for _, new, old in uncommitted)
        return self.collection.count - grown

    @property
    def next_rid(self) -> int:
        """The number of the next record that comes to be seen."""
        fresh = (
            new.rid
            for _, new, old in self._versions.tail_of(self.collection)
            if new is not None and old is None
        )
        return min(fresh, default=self.collection.next_rid)

    def by_id(self, id_key: bytes) -> Record | None:
        """Return the document with this `_id` key."""
        c = self.collection
        if not self._versions.tail:
            return c.by_id(id_key)
        rid = c.ids.get(id_key)
        record = None if rid is None else self._view.record_at(c, rid)
        if record is not None or not c.ghosts:
            return record
        # Deleted, and maybe inserted again: the index of `_id`s may not be built.
        for _, new, old in self._versions.tail_of(c):
            if new is None and old is not None and c.id_key_of(old) == id_key:
                return self._view.record_at(c, old.rid)
        return None

    def rid_of(self, id_key: bytes) -> int | None:
        """Return the number of the record with this `_id` key."""
        record = self.by_id(id_key)
        return None if record is None else record.rid

    def get(self, rid: int) -> Record | None:
        """Return a record, None when there is none."""
        if not self._versions.tail:
            return self.collection.get(rid)
        return self._view.record_at(self.collection, rid)

    def warm(self, records: list[Record]) -> None:
        """Read back what is not in memory; see `Collection.warm`."""
        self.collection.warm(records)

    def scan(self, after: int | None, limit: int, reverse: bool = False) -> list[Record]:
        """Return up to `limit` records; see `Collection.scan`."""
        if not self._versions.tail:
            return self.collection.scan(after, limit, reverse)
        return self._view.scan(self.collection, after, limit, reverse)

    def index_scan(
        self, index: Index, low: bytes, high: bytes, *, after: tuple[bytes, int] | None,
        limit: int, **bounds: Any,
    ) -> list[tuple[bytes, int]]:
        """Return about `limit` entries; fewer mean the end. See `Index.scan`."""
        if not self._versions.tail:
            return index.scan(low, high, after=after, limit=limit, **bounds)
        found: list[tuple[bytes, int]] = []
        while len(found) < limit:
            more = self._view.index_scan(
                self.collection, index, low, high, after=after, limit=limit, **bounds
            )
            if not more:
                break
            found += more
            after = found[-1]
        return found


State: TypeAlias = Collection | Committed
"""What a plan reads: the latest state of a collection, or the committed one."""
