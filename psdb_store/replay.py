"""From the log's lines back to records: applying what the data files do not hold yet."""

from __future__ import annotations

from typing import Any

import orjson

from psdb_base import diff as differences
from psdb_base.bson_codec import encode
from psdb_base.extjson import from_json
from psdb_base.limits import YIELD_DOCUMENTS
from psdb_store.catalogue import Catalogue
from psdb_store.collection import Collection
from psdb_store.document_json import read_document
from psdb_store.index import IdIndex, Index
from psdb_store.record import Record
from psdb_store.sessions import SessionTable, read_statements


class Replay:
    """Applies log entries to a state that holds all before them."""

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
                self._change(effect, body["wall"])
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


    def _change(self, effect: dict[str, Any], wall_ms: int) -> None:
        """Apply a catalogue change; a new index is filled at once."""
        uuid, change = bytes.fromhex(effect["ui"]), from_json(effect["o"])
        self._catalogue.apply(effect["ns"], uuid, change, wall_ms)
        if "createIndexes" in change:
            c = self._catalogue.by_uuid[uuid]
            index = c.indexes[change["spec"]["name"]]
            if not isinstance(index, IdIndex):
                index.fill(index_entries(c, index))


def _insert(c: Collection, effect: dict[str, Any], index: int) -> None:
    raw, doc, plain = read_document(effect["o"])
    record = Record(effect["rid"], raw, index, plain=plain)
    c.put(record, c.key_of(doc, record.rid), record)
    _enter(c, record)


def _update(c: Collection, effect: dict[str, Any], index: int) -> None:
    old = c.records[effect["rid"]]
    if "diff" in effect:
        delta = from_json(effect["diff"])
        raw = encode(differences.apply(old.document(), delta))
        plain = False
    else:
        raw, _, plain = read_document(effect["o"])
    record = Record(old.rid, raw, index, plain=plain)
    _take_out(c, old)
    c.replace(record, old)
    _enter(c, record)


def _delete(c: Collection, effect: dict[str, Any], index: int) -> None:
    old = c.records[effect["rid"]]
    _take_out(c, old)
    c.take_out(old, c.id_key_of(old), index)
    c.forget_ghost(old.rid)


_APPLY = {"d": _delete, "i": _insert, "u": _update}


def _enter(c: Collection, record: Record) -> None:
    for one in c.secondary:
        keys, paths = one.keys_and_paths(record.document())
        one.note_paths(paths)
        one.add(keys, record.rid)


def _take_out(c: Collection, record: Record) -> None:
    for one in c.secondary:
        one.discard(one.keys_of(record.document()), record.rid)


def index_entries(c: Collection, index: Index) -> list[bytes]:
    """Compute an index's entries for all records at once."""
    entries: list[bytes] = []
    for records in c.batches(YIELD_DOCUMENTS):
        for record in records:
            keys, paths = index.keys_and_paths(record.peek())
            index.note_paths(paths)
            tail = record.rid.to_bytes(8, "big")
            entries += [one + tail for one in keys]
    return entries


def check_index(c: Collection, index: Index) -> list[str]:
    """Compare an index with the records; return what differs, empty when nothing does."""
    wanted: dict[bytes, None] = {}
    for records in c.batches(YIELD_DOCUMENTS):
        for record in records:
            tail = record.rid.to_bytes(8, "big")
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
