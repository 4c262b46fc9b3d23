"""Loading a data file: from its lines to records, `_id` table and index entries, in one pass.

A small collection's records are resident at once. Those of a large one are cold: of them only the
`_id` is read, mostly without parsing the line, unless an index needs the document; the engine warms
them up when it serves already. A line that a later one replaces counts until that one is met; what
it put into indexes is taken out at the end. A record that is gone may come again under its number:
a checkpoint saved it, lost office undid it, and it was committed after all.
"""

from __future__ import annotations

import asyncio
import re
from binascii import a2b_hex
from typing import Any, Final

import orjson

from psdb_base.errors import MongoError
from psdb_base.extjson import EXACT
from psdb_base.order import OBJECT_ID_LEAD, key
from psdb_base.values import Document
from psdb_base.world import Disk, World
from psdb_store.catalogue import Catalogue
from psdb_store.cold import Cold, Home
from psdb_store.collection import Collection
from psdb_store.datafile import (
    THREAD,
    DataFile,
    blocks,
    check_header,
    cut_rest,
    parse_block,
    verify,
)
from psdb_store.document_json import read_document, read_plain
from psdb_store.index import IdIndex
from psdb_store.options import StoreOptions
from psdb_store.record import ColdRecord, Record

_WARM_PAUSE_SECONDS: Final = 0.001
_PROGRESS_DOCUMENTS: Final = 500_000
_BEGINNING: Final = re.compile(
    rb'\{"c":"[0-9a-f]{8}","rid":([0-9]+),"o":\{"_id":(?:\{"\$oid":"([0-9a-f]{24})"\}'
    rb'|(-?[0-9]{1,9})(?=[,}])|"([^"\\]*)")'
)
"""A record's line whose `_id` is an ObjectId, a small integer, or a string without escapes."""


async def open_data_file(
    disk: Disk, cold: Cold, entry: dict[str, Any], options: StoreOptions
) -> DataFile:
    """Check a file that the manifest names, and cut what an unfinished checkpoint left behind it.

    Raises StorageDamagedError.
    """
    path = cold.full_path(entry["path"])
    digest = await verify(disk, path, entry, options.block_bytes)
    await disk.submit(THREAD, lambda: cut_rest(disk, path, entry["bytes"]))
    home = Home(cold, entry["path"])
    return DataFile(entry["path"], home, entry["bytes"], entry["lines"], digest)


async def load_collection(
    world: World, cold: Cold, c: Collection, fields: dict[str, Any], options: StoreOptions, at: int
) -> None:
    """Read a collection's data file into its records, and fill its indexes.

    Args:
        world: The ports.
        cold: Bounds what is resident.
        c: The empty collection, with its indexes.
        fields: Its part of the manifest, with one file.
        options: Block size.
        at: Log index of the manifest: the version of every record.

    Raises StorageDamagedError.
    """
    c.data = await open_data_file(world.disk, cold, fields["files"][0], options)
    path = cold.full_path(c.data.path)
    lazy = fields["count"] > options.eager_documents and "dataSize" in fields
    loader = _Loader(c, c.data.home, at, lazy=lazy)
    progress = _PROGRESS_DOCUMENTS
    async for block in blocks(world.disk, path, c.data.size, options.block_bytes):
        loader.take(path, block)
        if len(loader.records) >= progress:
            progress += _PROGRESS_DOCUMENTS
            world.log.write(
                "I", "RECOVERY", 7100006, "Loading a collection",
                {"ns": c.ns, "documents": len(loader.records), "of": fields["count"]},
            )  # fmt: skip
        await asyncio.sleep(0)
    loader.finish(fields["dataSize"] if lazy else 0)
    cold.make_room(0)
    c.saved_rid = c.next_rid - 1


async def warm_up(world: World, cold: Cold, catalogue: Catalogue, slice_documents: int) -> None:
    """Read in the records of large collections while there is room for them."""
    try:
        for c in catalogue.all():
            after: int | None = None
            while c.data is not None and c.data.home.cold and not c.dropped and cold.has_room:
                records = c.scan(after, slice_documents)
                if not records:
                    break
                after = records[-1].rid
                await asyncio.sleep(_WARM_PAUSE_SECONDS)
    except MongoError as error:
        world.log.write(
            "E", "STORAGE", 7100007, "Cannot read a data file", {"error": error.message}
        )


class _Loader:
    """The state of one load.

    Attributes:
        records: Live records so far, in the order of their first lines.

    """

    def __init__(self, c: Collection, home: Home, at: int, *, lazy: bool) -> None:
        self.records: dict[int, Record] = {}
        self._c = c
        self._home = home
        self._at = at
        self._lazy = lazy
        self._offset = 0
        self._places: dict[int, int] = {}
        self._id_keys: dict[int, bytes] = {}
        self._indexes = [one for one in c.indexes.values() if not isinstance(one, IdIndex)]
        self._entries: list[list[bytes]] = [[] for _ in self._indexes]
        self._fresh: list[tuple[bytes, Document]] = []
        self._again: dict[int, list[list[bytes]]] = {}
        self._unfit: dict[int, MongoError] = {}

    def take(self, path: str, block: bytes) -> None:
        """Take in a block of whole lines."""
        if not self._offset:
            header, _, block = block.partition(b"\n")
            check_header(path, header)
            self._offset = len(header) + 1
        if not block:
            return
        if self._lazy and not self._indexes and not self._c.is_timeseries:
            self._skim(block)  # measurements are keyed by record, not by `_id`
        else:
            self._parse(block)
        self._home.offsets.put_all(self._places)
        self._places.clear()

    def _skim(self, block: bytes) -> None:
        """Take in cold records: number and `_id` are at the beginning of a line."""
        records, id_keys, places = self.records, self._id_keys, self._places
        at, collation, match = self._at, self._c.collation, _BEGINNING.match
        offset = self._offset
        for line in block.split(b"\n")[:-1]:
            found = match(line)
            if found is None:
                self._one(line, orjson.loads(line), offset)
            else:
                number, hexadecimal, integer, text = found.groups()
                rid = int(number)
                if hexadecimal is not None:
                    id_keys[rid] = OBJECT_ID_LEAD + a2b_hex(hexadecimal)
                else:
                    id_keys[rid] = key(int(integer) if text is None else text.decode(), collation)
                records[rid] = ColdRecord(rid, at)
                places[rid] = offset
            offset += len(line) + 1
        self._offset = offset

    def _parse(self, block: bytes) -> None:
        """Take in documents."""
        offset = self._offset
        for line, parsed in parse_block(block):
            self._one(line, parsed, offset)
            offset += len(line) + 1
        self._offset = offset
        self._enter()

    def _one(self, line: bytes, parsed: dict[str, Any], offset: int) -> None:
        """Take in one line."""
        value = parsed.get("o")
        if value is None:
            self._gone(parsed["gone"])
            return
        rid: int = parsed["rid"]
        forms = line.count(b'{"$')
        if self._lazy and not (forms and EXACT in value):
            doc = read_plain(value, forms)
            record: Record = ColdRecord(rid, self._at)
        else:
            raw, doc, plain = read_document(value, forms)
            record = Record(rid, raw, self._at, plain=plain)
        self._id_keys[rid] = self._c.key_of(doc, rid)
        if self._indexes:
            if rid in self.records or rid in self._again:  # gone, and there again
                self._enter()
                self._enter_again(rid, doc)
            else:
                self._fresh.append((rid.to_bytes(8, "big"), doc))
        self.records[rid] = record
        self._places[rid] = offset

    def _enter(self) -> None:
        """Compute the index entries of documents met for the first time."""
        fresh = self._fresh
        for at, index in enumerate(self._indexes):
            into, make = self._entries[at], index.key_maker
            for tail, doc in fresh:
                try:
                    keys, paths = make(doc)
                except MongoError as error:  # a later line may replace the document
                    self._unfit[int.from_bytes(tail, "big")] = error
                    continue
                if paths is not None:
                    index.note_paths(paths)
                for one in keys:
                    into.append(one + tail)
        fresh.clear()

    def _enter_again(self, rid: int, doc: Document) -> None:
        """Compute the entries of a document whose number was met before: they go in at the end."""
        self._unfit.pop(rid, None)
        tail = rid.to_bytes(8, "big")
        again = self._again[rid] = [[] for _ in self._indexes]
        for at, index in enumerate(self._indexes):
            try:
                keys, paths = index.keys_and_paths(doc)
            except MongoError as error:
                self._unfit[rid] = error
                continue
            index.note_paths(paths)
            again[at] = [one + tail for one in keys]

    def _gone(self, rid: int) -> None:
        self._enter()
        if self.records.pop(rid, None) is not None:
            del self._id_keys[rid]
            self._unfit.pop(rid, None)
            if self._indexes:
                self._again[rid] = [[] for _ in self._indexes]

    def finish(self, data_size_bytes: int) -> None:
        """Give the collection its records and indexes; the size is known of a lazy load only."""
        if self._unfit:
            raise next(iter(self._unfit.values()))
        records = list(self.records.values())
        if not self._lazy:
            data_size_bytes = sum([len(record.raw) for record in records])
        self._home.settle_all(records, data_size_bytes)
        self._c.load(self.records, self._id_keys, data_size_bytes)
        for number, index in enumerate(self._indexes):
            index.fill(self._final(self._entries[number], number))

    def _final(self, entries: list[bytes], number: int) -> list[bytes]:
        """Exchange the entries of replaced lines for those of the last ones."""
        if not self._again:
            return entries
        tails = {rid.to_bytes(8, "big"): None for rid in self._again}
        kept = [one for one in entries if one[-8:] not in tails]
        for again in self._again.values():
            kept += again[number]
        return kept
