"""Effects of log entries that are applied from their lines, records and indexes alike."""

from __future__ import annotations

from typing import Any, Final

from psdb_base import diff as differences
from psdb_base.bson_codec import encode
from psdb_base.errors import MongoError
from psdb_base.extjson import from_json
from psdb_base.values import Document
from psdb_store.collection import Collection
from psdb_store.document_json import read_document
from psdb_store.index import Index
from psdb_store.index_keys import MultikeyPaths
from psdb_store.record import Record
from psdb_store.versions import Applied


def apply_effect(c: Collection, effect: dict[str, Any], at: int) -> Applied:
    """Apply an insert, update or delete of the entry `at`; what it superseded is kept."""
    return _APPLY[effect["op"]](c, effect, at)


def _insert(c: Collection, effect: dict[str, Any], at: int) -> Applied:
    raw, doc, plain = read_document(effect["o"])
    record = Record(effect["rid"], raw, at, plain=plain)
    c.put(record, c.key_of(doc, record.rid), record)
    for index in c.secondary:
        keys, paths = _keys(index, doc)
        index.note_paths(paths)
        index.add(keys, record.rid)
    return c, record, None


def _update(c: Collection, effect: dict[str, Any], at: int) -> Applied:
    old = c.records[effect["rid"]]
    if "diff" in effect:
        raw = encode(differences.apply(old.document(), from_json(effect["diff"])))
        plain = False
    else:
        raw, _, plain = read_document(effect["o"])
    new = Record(old.rid, raw, at, old, plain=plain)
    if c.secondary:
        _enter_change(c, old.rid, old.document(), new.document())
    c.replace(new, old)
    return c, new, old


def _enter_change(c: Collection, rid: int, old: Document, new: Document) -> None:
    for index in c.secondary:
        if index.ready and index.is_untouched(old, new):
            continue
        keys, paths = _keys(index, new)
        index.discard(_keys(index, old)[0], rid)
        index.note_paths(paths)
        index.add(keys, rid)


def _delete(c: Collection, effect: dict[str, Any], at: int) -> Applied:
    old = c.records[effect["rid"]]
    doc = old.document() if c.secondary else {}
    for index in c.secondary:
        index.discard(_keys(index, doc)[0], old.rid)
    c.take_out(old, c.id_key_of(old), at)
    return c, None, old


def _keys(index: Index, doc: Document) -> tuple[list[bytes], MultikeyPaths | None]:
    """Keys of a version; none where an index being built could not take it."""
    try:
        return index.keys_and_paths(doc)
    except MongoError:
        if index.ready:
            raise
        return [], None


_APPLY: Final = {"d": _delete, "i": _insert, "u": _update}
