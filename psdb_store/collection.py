"""A collection in memory: records by number, numbers by `_id`, indexes, what is not yet saved.

Natural order is the order of record numbers, which ascend with insertion and are never used
twice. The methods that change records are for the write unit, undo and recovery: they keep
records, `_id` table, natural order, counters and the set of unsaved records together. Index
upkeep is separate, because recovery fills indexes at the end.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Iterator
from itertools import pairwise
from typing import Any

import orjson
from bson.binary import Binary

from psdb_base import order
from psdb_base.values import MISSING, Document
from psdb_store.datafile import DataFile
from psdb_store.index import IdIndex, Index
from psdb_store.record import Record

__all__ = ["Collection", "IdIndex", "Index", "Record"]

_ORDER_SLACK = 1024


class Collection:
    """One collection or view.

    Attributes:
        db, name, ns: Names.
        uuid: Sixteen bytes, subtype 4; a new one after drop and create.
        options: As given to `create` (and `collMod`).
        indexes: Ready indexes by name, `_id_` first.
        building: Indexes being built; writes keep them up to date.
        busy: Awaitable while a catalogue operation has the collection; writers wait, then look
            the collection up again.
        virtual: It shows something that is kept elsewhere: never logged nor saved.
        dropped: It is no longer in the catalogue.
        count: Number of documents.
        data_size_bytes: Sum of the documents' BSON.
        rewrite: The next checkpoint writes its data file anew, however little garbage is in it.
        scans: How often a plan looked at all documents (the planner counts).
        is_timeseries, is_clustered: From the options that never change.
        is_view, is_capped: From the options.
        collation: Compiled default collation, None for the binary order.

    """

    def __init__(
        self,
        db: str,
        name: str,
        uuid: bytes,
        options: Document,
        collation: order.Collation | None = None,
    ) -> None:
        self.options = options
        self.collation = collation
        self.is_timeseries = "timeseries" in options
        self.is_clustered = "clusteredIndex" in options
        self.indexes: dict[str, Index] = {}
        self.building: dict[str, Index] = {}
        self.virtual = False
        self.busy: Awaitable[None] | None = None
        self.dropped = False
        self.count = 0
        self.data_size_bytes = 0
        self.rewrite = False
        self.scans = 0
        self.next_rid = 1
        self.records: dict[int, Record] = {}
        self.ids: dict[bytes, int] = {}
        self.ghosts: dict[int, tuple[int, Record]] = {}
        self.dirty: dict[int, Record | bytes | None] = {}
        self.saved_rid = 0
        self.data: DataFile | None = None
        self.secondary: list[Index] = []
        self.id_index: IdIndex | None = None
        self._order = array("q")
        self._stale = 0
        self._first_rid = 0
        self.rename(db, name, uuid)

    def rename(self, db: str, name: str, uuid: bytes) -> None:
        """Take a name and a uuid."""
        self.db = db
        self.name = name
        self.ns = f"{db}.{name}"
        self.uuid = Binary(uuid, 4)
        where = b'"ns":%b,"ui":"%b"' % (orjson.dumps(self.ns), uuid.hex().encode())
        self.log_insert = b'{"op":"i",%b,"rid":' % where
        self.log_update = b'{"op":"u",%b,"rid":' % where
        self.log_delete = b'{"op":"d",%b,"rid":' % where
        self.log_catalogue = b'{"op":"c",%b,"o":' % where

    def __repr__(self) -> str:
        return f"Collection({self.ns}, {self.count} documents)"

    @property
    def is_view(self) -> bool:
        """Whether it is a view: a name for a pipeline, without records."""
        return "viewOn" in self.options

    @property
    def is_capped(self) -> bool:
        """Whether old documents make room for new ones."""
        return bool(self.options.get("capped", False))

    @property
    def storage_size_bytes(self) -> int:
        """Bytes of its data file at the last checkpoint."""
        return self.data.size if self.data is not None else 0

    @property
    def index_size_bytes(self) -> int:
        """Estimate of what its indexes take in memory."""
        return sum(index.size_bytes for index in self.indexes.values())

    # -- reading -------------------------------------------------------------------------------

    def id_key(self, value: Any) -> bytes:
        """Return the key of an `_id` value, for `by_id`."""
        return order.key(value, self.collation)

    def by_id(self, id_key: bytes) -> Record | None:
        """Return the latest version of the document with this `_id` key."""
        rid = self.ids.get(id_key)
        return None if rid is None else self.records[rid]

    def rid_of(self, id_key: bytes) -> int | None:
        """Return the number of the record with this `_id` key."""
        return self.ids.get(id_key)

    def get(self, rid: int) -> Record | None:
        """Return the latest version of a record, None when it was deleted."""
        return self.records.get(rid)

    def scan(self, after: int | None, limit: int, reverse: bool = False) -> list[Record]:
        """Return up to `limit` records in natural order behind record `after` (None: the first).

        An empty list means the end; a shorter one does not. Records deleted between two batches
        do not disturb the position.
        """
        records = self.records
        found: list[Record] = []
        from_start = after is None and not reverse
        if from_start:
            # Where the oldest go first, as in capped collections, the front is full of holes.
            after = self._first_rid - 1
        for rids in self.rid_slices(after, limit, reverse=reverse):
            found += [records[rid] for rid in rids if rid in records]
            if len(found) >= limit:
                found = found[:limit]
                break
        if from_start:
            self._first_rid = found[0].rid if found else self.next_rid
        self.warm(found)
        return found

    def index_scan(
        self, index: Index, low: bytes, high: bytes, *, after: tuple[bytes, int] | None,
        limit: int, **bounds: Any,
    ) -> list[tuple[bytes, int]]:
        """Return at most `limit` entries of an index; fewer mean the end. See `Index.scan`."""
        return index.scan(low, high, after=after, limit=limit, **bounds)

    def warm(self, records: list[Record]) -> None:
        """Read back what is not in memory of records that are about to be looked at, at once."""
        data = self.data
        if data is not None and data.home.cold:
            data.home.thaw(records)

    def batches(self, size: int) -> Iterator[list[Record]]:
        """Yield all records in natural order, `size` at a time."""
        after: int | None = None
        while records := self.scan(after, size):
            yield records
            after = records[-1].rid

    def rid_slices(
        self, after: int | None, size: int, *, reverse: bool = False
    ) -> Iterator[array[int]]:
        """Yield slices of record numbers in natural order, ghosts' and vanished ones' too."""
        numbers = self._order
        if reverse:
            end = len(numbers) if after is None else bisect_left(numbers, after)
            while end > 0:
                start = max(0, end - size)
                yield numbers[start:end][::-1]
                end = start
        else:
            start = 0 if after is None else bisect_right(numbers, after)
            while start < len(numbers):
                yield numbers[start : start + size]
                start += size

    # -- changing records ------------------------------------------------------------------------

    def put(self, record: Record, id_key: bytes, unsaved: Record | bytes | None) -> None:
        """Enter a new record; `unsaved` is its JSON where there is one, else the record."""
        rid = record.rid
        numbers = self._order
        if not numbers or rid > numbers[-1]:
            numbers.append(rid)
        else:
            place = bisect_left(numbers, rid)
            if numbers[place] != rid:
                numbers.insert(place, rid)
        if rid >= self.next_rid:
            self.next_rid = rid + 1
        if rid < self._first_rid:
            self._first_rid = rid
        self.records[rid] = record
        self._link(id_key, rid)
        self.dirty[rid] = unsaved
        self.count += 1
        self.data_size_bytes += len(record.raw)

    def replace(self, record: Record, old: Record) -> None:
        """Put another version in a record's place."""
        if old.home is not None:
            old.home.let_go(old)
        self.records[record.rid] = record
        self.dirty[record.rid] = record
        self.data_size_bytes += len(record.raw) - len(old.raw)

    def take_out(self, record: Record, id_key: bytes, at: int) -> None:
        """Delete a record; its last version stays as a ghost until `forget_ghost`."""
        if record.home is not None:
            record.home.let_go(record)
        rid = record.rid
        del self.records[rid]
        self._unlink(id_key, rid)
        self.ghosts[rid] = (at, record)
        self.dirty[rid] = None
        self.count -= 1
        self.data_size_bytes -= len(record.raw)

    def _link(self, id_key: bytes, rid: int) -> None:
        self.ids[id_key] = rid
        index = self.id_index
        if index is not None and index.is_built:
            index.add((id_key,), rid)

    def _unlink(self, id_key: bytes, rid: int) -> None:
        del self.ids[id_key]
        index = self.id_index
        if index is not None and index.is_built:
            index.discard((id_key,), rid)

    def forget_ghost(self, rid: int) -> None:
        """Nobody can see the deleted record any more."""
        if self.ghosts.pop(rid, None) is not None:
            self._stale += 1
            if self._stale > _ORDER_SLACK and self._stale * 2 > len(self._order):
                self.tidy_order()

    def tidy_order(self) -> None:
        """Drop the numbers of vanished records from the natural order."""
        records, ghosts = self.records, self.ghosts
        self._order = array("q", [n for n in self._order if n in records or n in ghosts])
        self._stale = 0

    def undo_put(self, record: Record, id_key: bytes) -> None:
        """Take back a `put`; puts are undone last first."""
        rid = record.rid
        del self.records[rid]
        self._unlink(id_key, rid)
        numbers = self._order
        if numbers and numbers[-1] == rid:
            numbers.pop()
        else:
            self._stale += 1
        self.dirty[rid] = None
        self.count -= 1
        self.data_size_bytes -= len(record.raw)

    def undo_take_out(self, record: Record, id_key: bytes) -> None:
        """Take back a deletion."""
        rid = record.rid
        del self.ghosts[rid]
        if rid < self._first_rid:
            self._first_rid = rid
        self.records[rid] = record
        self._link(id_key, rid)
        self.dirty[rid] = record
        self.count += 1
        self.data_size_bytes += len(record.raw)

    def id_key_of(self, record: Record) -> bytes:
        """Return the `_id` key of a record."""
        return self.key_of(record.document(), record.rid)

    def key_of(self, doc: Document, rid: int) -> bytes:
        """Return the key under which a document is found again: of its `_id`.

        Measurements may share an `_id`, so a time-series collection knows them by their number.
        """
        if self.is_timeseries:
            return rid.to_bytes(8, "big")
        return order.key(doc.get("_id", MISSING), self.collation)

    def load(
        self, records: dict[int, Record], id_keys: dict[int, bytes], data_size_bytes: int
    ) -> None:
        """Take over all records of a data file at once, in any order of rid."""
        rids = list(records)
        self.records = records
        self.ids.update(zip(id_keys.values(), id_keys, strict=True))
        if any(a > b for a, b in pairwise(rids)):
            rids = sorted(rids)
        self._order = array("q", rids)
        self._first_rid = 0
        self.count = len(rids)
        self.data_size_bytes = data_size_bytes
        if rids:
            self.next_rid = max(self.next_rid, rids[-1] + 1)

    # -- indexes -------------------------------------------------------------------------------

    def index_list_changed(self) -> None:
        """Recompute which indexes writes keep up, after a change to `indexes` or `building`."""
        ready = [index for name, index in self.indexes.items() if name != "_id_"]
        self.secondary = ready + list(self.building.values())
