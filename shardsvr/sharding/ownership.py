"""What a shard owns of a collection, and the guard that hides the rest from readers.

Invariant: every document of a sharded collection lies in an owned range or in the range of a
document of `config.rangeDeletions`. So where no such document is, nothing has to be hidden.

A range that was given away is deleted when no reader of the primary shows it any more. On the other
members somebody may still do so: before the first document goes, the range is noted in
`config.cache.deletions`, and whoever shows a part of it ends when he looks for more (175).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from psdb_base.errors import Code, MongoError
from psdb_base.shard_keys import KeyPattern, Range, Ranges
from psdb_base.shard_versions import ShardVersion
from psdb_base.values import Document
from shardsvr.sharding import records as names

if TYPE_CHECKING:
    from shardsvr.sharding.state import ShardingState


class Ownership:
    """A document of `config.cache.collections`, parsed. Never changed; a change makes another.

    Attributes:
        ns: The collection.
        row: The document.
        version: This shard's version of it.
        pattern: The shard key.
        ranges: The keys it owns.
        age: Orders what the config server says of the collection: the later is the greater. A
            shard's own version does not: it is (0, 0) for one that has nothing any more.

    """

    __slots__ = ("age", "ns", "pattern", "ranges", "row", "version")

    def __init__(self, row: Document) -> None:
        self.ns: str = row["_id"]
        self.row = row
        placed = row["version"]
        self.version = ShardVersion(row["epoch"], row["timestamp"], placed.time, placed.inc)
        self.age = (row["timestamp"], row["collectionVersion"])
        self.pattern = KeyPattern(row["key"])
        key = self.pattern.bound_key
        self.ranges = Ranges((key(part["min"]), key(part["max"])) for part in row["ranges"])

    def updated(self, news: Document) -> Document:
        """Return the row with what has changed since (`changed`) in its place."""
        key = self.pattern.bound_key
        bounds: dict[bytes, Document] = {}
        gone: list[Range] = []
        come: list[Range] = []
        for part in (*self.row["ranges"], *news["changed"]):
            low, high = key(part["min"]), key(part["max"])
            bounds[low], bounds[high] = part["min"], part["max"]
            if "owned" in part:
                (come if part["owned"] else gone).append((low, high))
        ranges = Ranges((*self.ranges.minus(Ranges(gone)).pairs, *come))
        row = {name: value for name, value in news.items() if name != "changed"}
        return {
            **row,
            "ranges": [{"min": bounds[low], "max": bounds[high]} for low, high in ranges.pairs],
        }

    def owns(self, document: Document) -> bool:
        """Tell whether a document is this shard's."""
        return self.ranges.contains(self.pattern.key(document))


DELETED_MAX: Final = 16
"""How many deletions of a collection are noted; who missed more of them ends to be sure."""


class Guard:
    """Hides documents that the shard did not own when a statement began.

    A guard of a write also sees that what it relies on still holds at the moment of the write.

    Args:
        state: The shard.
        ownership: As it was.
        ranges: Only these keys, None for all that is owned.
        check: Called before documents are let through; raises when the statement is stale.

    """

    __slots__ = ("_check", "_deleted", "_own", "_ranges", "_state", "ownership", "paths")

    def __init__(
        self, state: ShardingState, ownership: Ownership, ranges: Ranges | None = None,
        check: Any = None,
    ) -> None:
        self._state = state
        self.ownership = ownership
        self._ranges = ranges
        self._own = ownership.ranges if ranges is None else ranges.within(ownership.ranges)
        self._check = check
        self._deleted: Any = state.records.get(names.DELETED, ownership.ns)
        self.paths = frozenset(ownership.pattern.names)

    @property
    def lets_all_through(self) -> bool:
        """Nothing has to be hidden at this moment."""
        return self._ranges is None and self._state.is_clean(self.ownership)

    def verify(self) -> None:
        """Raise 175 when a range that may be seen has begun to be deleted since."""
        deleted = self._state.records.get(names.DELETED, self.ownership.ns)
        if deleted is self._deleted or deleted is None:
            return
        known = () if self._deleted is None else self._deleted.document()["ranges"]
        before = {bytes(row["id"]) for row in known}
        rows = deleted.document()["ranges"]
        fresh = [row for row in rows if bytes(row["id"]) not in before]
        key = self.ownership.pattern.bound_key
        if len(fresh) == DELETED_MAX or any(
            self._own.overlaps(key(row["min"]), key(row["max"])) for row in fresh
        ):
            raise MongoError(
                Code.QUERY_PLAN_KILLED,
                f"a range of {self.ownership.ns} that moved away while this was read is deleted",
            )
        self._deleted = deleted

    def matches(self, document: Any) -> bool:
        """Tell whether a document may be seen."""
        if self._check is not None:
            self._check()
        if self.lets_all_through:
            return True
        return self._own.contains(self.ownership.pattern.key(document))

    def select(self, documents: list[Any]) -> list[Any]:
        """Return those that may be seen, in order."""
        if self._check is not None and documents:
            self._check()
        if self.lets_all_through:
            return documents
        key, contains = self.ownership.pattern.key, self._own.contains
        return [document for document in documents if contains(key(document))]
