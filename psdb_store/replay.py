"""From lines back to records: loading data files, applying log entries."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import orjson
from bson.objectid import ObjectId

from psdb_base import diff as differences
from psdb_base.bson_codec import decode, encode
from psdb_base.extjson import EXACT, from_json, raw_from_line
from psdb_base.order import key
from psdb_base.values import MISSING, Document
from psdb_base.world import Disk
from psdb_store.catalogue import Catalogue
from psdb_store.collection import Collection
from psdb_store.datafile import THREAD, DataFile, blocks, cut_rest, parse_block, verify
from psdb_store.index import IdIndex, Index
from psdb_store.options import StoreOptions
from psdb_store.record import Record
from psdb_store.sessions import SessionTable, read_statements


def read_document(value: dict[str, Any], forms: int = -1) -> tuple[bytes, Document, bool]:
    """Return BSON, document and plainness of a document's JSON value.

    Args:
        value: The parsed JSON; taken over.
        forms: How often `{"$` stands in its text, negative when that was not counted. Without any,
            the parsed JSON is the document: quotes within strings are escaped, so none is missed.

    """
    if forms == 0:
        return encode(value), value, True
    if forms == 1:
        inner = value.get("_id")
        if type(inner) is dict and "$oid" in inner:
            value["_id"] = ObjectId(bytes.fromhex(inner["$oid"]))
            return encode(value), value, True
    if EXACT in value:
        raw = raw_from_line(value)
        return raw, decode(raw), False
    doc = from_json(value)
    return encode(doc), doc, True


async def load_collection(
    disk: Disk, dbpath: str, c: Collection, entry: dict[str, Any], options: StoreOptions, at: int
) -> None:
    """Read a collection's data file into its records.

    Args:
        disk: Where it is.
        dbpath: The store's folder.
        c: The empty collection.
        entry: Its file's part of the manifest.
        options: Block size.
        at: Log index of the manifest: the version of every record.

    Raises StorageDamagedError.
    """
    path = f"{dbpath}/{entry['path']}"
    digest = await verify(disk, path, entry, options.block_bytes)
    c.data = DataFile(entry["path"], entry["bytes"], entry["lines"], digest)
    await disk.submit(THREAD, lambda: cut_rest(disk, path, entry["bytes"]))
    records: dict[int, Record] = {}
    id_keys: dict[int, bytes] = {}
    collation = c.collation
    async for block in blocks(disk, path, entry["bytes"], options.block_bytes):
        for line, parsed in parse_block(path, block):
            if "o" not in parsed:
                records.pop(parsed["gone"], None)
                id_keys.pop(parsed["gone"], None)
                continue
            raw, doc, plain = read_document(parsed["o"], line.count(b'{"$'))
            rid = parsed["rid"]
            records[rid] = Record(rid, raw, at, plain=plain)
            id_keys[rid] = key(doc.get("_id", MISSING), collation)
        await asyncio.sleep(0)
    c.load(records, id_keys)
    c.saved_rid = c.next_rid - 1


class Replay:
    """Applies log entries to a state that holds all before them; indexes are not kept up."""

    def __init__(self, catalogue: Catalogue, sessions: SessionTable) -> None:
        self._catalogue = catalogue
        self._sessions = sessions

    def apply(self, line: bytes) -> dict[str, Any]:
        """Apply one entry's line; return the line as parsed JSON."""
        body: dict[str, Any] = orjson.loads(line)
        index = body["index"]
        by_uuid = self._catalogue.by_uuid
        for effect in body["effects"]:
            op = effect["op"]
            if op == "c":
                self._catalogue.apply(
                    effect["ns"], bytes.fromhex(effect["ui"]), from_json(effect["o"]), body["wall"]
                )
                continue
            _APPLY[op](by_uuid[bytes.fromhex(effect["ui"])], effect, index)
        if "lsid" in body:
            self._sessions.note(
                bytes.fromhex(body["lsid"]),
                body["txnNumber"],
                read_statements(body["statements"]),
                body["wall"],
            )
        return body


def _insert(c: Collection, effect: dict[str, Any], index: int) -> None:
    raw, doc, plain = read_document(effect["o"])
    record = Record(effect["rid"], raw, index, plain=plain)
    c.put(record, key(doc.get("_id", MISSING), c.collation), record)


def _update(c: Collection, effect: dict[str, Any], index: int) -> None:
    old = c.records[effect["rid"]]
    if "diff" in effect:
        delta = from_json(effect["diff"])
        raw = encode(differences.apply(old.document(), delta))
        plain = False
    else:
        raw, _, plain = read_document(effect["o"])
    c.replace(Record(old.rid, raw, index, plain=plain), old)


def _delete(c: Collection, effect: dict[str, Any], index: int) -> None:
    old = c.records[effect["rid"]]
    c.take_out(old, c.id_key_of(old), index)
    c.forget_ghost(old.rid)


_APPLY = {"d": _delete, "i": _insert, "u": _update}


async def fill_indexes(c: Collection, slice_documents: int) -> None:
    """Fill all ordered indexes of a collection from its records, in slices."""
    indexes = [index for index in c.indexes.values() if not isinstance(index, IdIndex)]
    if not indexes:
        return
    entries: list[list[bytes]] = [[] for _ in indexes]
    countdown = slice_documents
    for rid, record in c.records.items():
        tail = rid.to_bytes(8, "big")
        doc = record.peek()
        for index, into in zip(indexes, entries, strict=True):
            keys, paths = index.keys_and_paths(doc)
            index.note_paths(paths)
            into += [one + tail for one in keys]
        countdown -= 1
        if not countdown:
            countdown = slice_documents
            await asyncio.sleep(0)
    for index, into in zip(indexes, entries, strict=True):
        index.fill(into)


def index_entries(index: Index, records: Iterable[Record]) -> list[bytes]:
    """Compute an index's entries for all records at once."""
    entries: list[bytes] = []
    for record in records:
        keys, paths = index.keys_and_paths(record.peek())
        index.note_paths(paths)
        tail = record.rid.to_bytes(8, "big")
        entries += [one + tail for one in keys]
    return entries


def check_index(c: Collection, index: Index) -> list[str]:
    """Compare an index with the records; return what differs, empty when nothing does."""
    wanted: dict[bytes, None] = {}
    for rid, record in c.records.items():
        tail = rid.to_bytes(8, "big")
        for one in index.keys_of(record.peek()):
            wanted[one + tail] = None
    found = dict.fromkeys(index.entries())
    missing = sum(1 for entry in wanted if entry not in found)
    extra = sum(1 for entry in found if entry not in wanted)
    problems = []
    if missing:
        problems.append(f"{missing} entries missing in index {index.name}")
    if extra:
        problems.append(f"{extra} entries too many in index {index.name}")
    return problems
