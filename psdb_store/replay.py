"""From the log's lines back to records: applying what the data files do not hold yet."""

from __future__ import annotations

from typing import Any

import orjson

from psdb_base.extjson import from_json
from psdb_base.limits import YIELD_DOCUMENTS
from psdb_store.applying import apply_effect
from psdb_store.catalogue import Catalogue
from psdb_store.collection import Collection
from psdb_store.index import IdIndex, Index
from psdb_store.sessions import SessionTable, read_runs
from psdb_store.versions import forget_superseded


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
            if effect["op"] == "c":
                self._change(effect, body["wall"])
            else:
                c = by_uuid[bytes.fromhex(effect["ui"])]
                forget_superseded([apply_effect(c, effect, index)])
        if "lsid" in body:
            self._sessions.note(
                bytes.fromhex(body["lsid"]),
                body["txnNumber"],
                read_runs(body["statements"]),
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
