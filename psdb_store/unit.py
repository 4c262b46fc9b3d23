"""A write unit: effects applied to memory at once, logged as one entry, or undone.

A unit lives within one turn of the loop: no `await` may come between `Engine.unit()` and
`commit` or `abort`. That is what makes a check and the effect that relies on it one step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

from psdb_base import diff as differences
from psdb_base.bson_codec import decode, encode, is_plain
from psdb_base.errors import Code, MongoError
from psdb_base.extjson import document_line
from psdb_base.order import key
from psdb_base.values import Document
from psdb_store.collection import Collection
from psdb_store.entry import SessionPart
from psdb_store.index import Index, duplicate_key_error
from psdb_store.index_keys import MultikeyPaths
from psdb_store.record import Record
from psdb_store.sessions import pack_statements
from psdb_store.versions import Applied, undo_effects

if TYPE_CHECKING:
    from psdb_store.engine import Engine

EXACT_PREFIX: Final = b'{"$psdbExact"'
_DIFF_WORTHWHILE_BYTES: Final = 128
"""Smaller documents are logged whole: a diff with its document key would not be smaller."""


class WriteUnit:
    """Effects on their way into one log entry; see `Engine.unit`. Usable as a context manager."""

    __slots__ = ("_applied", "_at", "_effects", "_engine", "_open", "_statements")

    def __init__(self, engine: Engine, at: int) -> None:
        self._engine = engine
        self._at = at
        self._open = True
        self._applied: list[Applied] = []
        self._effects: list[bytes] = []
        self._statements: dict[int, Document] = {}

    # -- effects -------------------------------------------------------------------------------

    def insert(self, c: Collection, raw: bytes, doc: Document | None = None) -> Record:
        """Insert a document, which has an `_id`.

        Args:
            c: A collection that is not busy.
            raw: Its BSON.
            doc: What `raw` decodes to, when the caller has it.

        Raises:
            MongoError: 11000 with keyPattern and keyValue, 171, 16766, 2 for a document larger than
                a capped collection: the unit stays as it was.

        """
        self._check(c)
        if c.is_capped and len(raw) > int(c.options.get("size", 0) or len(raw)):
            raise MongoError(Code.BAD_VALUE, "object to insert exceeds cappedMaxSize")
        if doc is None:
            doc = decode(raw)
        rid = c.next_rid
        id_key = c.key_of(doc, rid)
        if id_key in c.ids:
            raise duplicate_key_error(c.ns, c.indexes["_id_"], doc)
        planned = plan_keys(c, doc, rid) if c.secondary else None
        line = document_line(raw, doc)
        record = Record(rid, raw, self._at, plain=not line.startswith(EXACT_PREFIX))
        c.put(record, id_key, line)
        if planned is not None:
            for index, keys, paths in planned:
                index.note_paths(paths)
                index.add(keys, rid)
        self._applied.append((c, record, None))
        self._effects.append(b'%b%d,"o":%b}' % (c.log_insert, rid, line))
        if c.is_capped:
            self._evict(c, rid)
        return record

    def update(
        self,
        c: Collection,
        record: Record,
        raw: bytes,
        doc: Document | None = None,
        old_doc: Document | None = None,
    ) -> Record:
        """Replace a record's document by another one with the same `_id`.

        Args:
            c: A collection that is not busy.
            record: The latest version.
            raw: BSON of the new document.
            doc: What `raw` decodes to, when the caller has it.
            old_doc: What `record` decodes to, when the caller has it.

        Raises:
            MongoError: as `insert`.

        """
        self._check(c)
        rid = record.rid
        assert c.records.get(rid) is record, "an update of a version that is not the latest"
        if doc is None:
            doc = decode(raw)
        if old_doc is None:
            old_doc = record.document()
        planned = plan_change(c, old_doc, doc, rid) if c.secondary else None
        line, effect = self._update_effect(c, rid, raw, doc, old_doc)
        plain = not line.startswith(EXACT_PREFIX) if line else is_plain(raw, doc)
        new = Record(rid, raw, self._at, record, plain=plain)
        c.replace(new, record)
        if planned is not None:
            for index, removed, added, paths in planned:
                index.note_paths(paths)
                index.discard(removed, rid)
                index.add(added, rid)
        self._applied.append((c, new, record))
        self._effects.append(effect)
        return new

    def _update_effect(
        self, c: Collection, rid: int, raw: bytes, doc: Document, old_doc: Document
    ) -> tuple[bytes, bytes]:
        """Return the whole document's JSON, b"" if a diff was taken, and the effect."""
        if len(raw) > _DIFF_WORTHWHILE_BYTES:
            delta = differences.diff(old_doc, doc, len(raw))
            if delta is not None:
                delta_line = document_line(encode(delta), delta)
                effect = b'%b%d,"k":%b,"diff":%b}' % (
                    c.log_update, rid, _key_line(doc), delta_line,
                )  # fmt: skip
                return b"", effect
        line = document_line(raw, doc)
        return line, b'%b%d,"o":%b}' % (c.log_update, rid, line)

    def delete(self, c: Collection, record: Record) -> None:
        """Delete a record, given as its latest version."""
        self._check(c)
        rid = record.rid
        assert c.records.get(rid) is record, "a deletion of a version that is not the latest"
        doc = record.document()
        for index in c.secondary:
            index.discard(keys_or_none(index, doc), rid)
        c.take_out(record, c.key_of(doc, rid), self._at)
        self._applied.append((c, None, record))
        self._effects.append(b'%b%d,"k":%b}' % (c.log_delete, rid, _key_line(doc)))

    def put(self, c: Collection, doc: Document) -> None:
        """Insert a document, or make it the one with its `_id`; no effect if it is there so."""
        raw = encode(doc)
        record = c.by_id(key(doc["_id"], c.collation))
        if record is None:
            self.insert(c, raw)
        elif record.raw != raw:
            self.update(c, record, raw)

    def remove(self, c: Collection, identifier: Any) -> None:
        """Delete the document with this `_id`, if there is one."""
        record = c.by_id(key(identifier, c.collation))
        if record is not None:
            self.delete(c, record)

    def _evict(self, c: Collection, newest: int) -> None:
        """Delete the oldest documents of a capped collection that has grown too large."""
        size_max = int(c.options.get("size", 0) or 0)
        count_max = int(c.options.get("max", 0) or 0)
        while (size_max and c.data_size_bytes > size_max) or (count_max and c.count > count_max):
            oldest = c.scan(None, 1)[0]
            if oldest.rid == newest:
                break
            self.delete(c, oldest)

    def statement(self, stmt_id: int, result: Document) -> None:
        """Note the result of one statement of a retryable write."""
        self._statements[stmt_id] = result

    # -- undoing and ending ----------------------------------------------------------------------

    def savepoint(self) -> tuple[int, dict[int, Document]]:
        """Return a mark for `rollback_to`."""
        return len(self._applied), dict(self._statements)

    def rollback_to(self, mark: tuple[int, dict[int, Document]]) -> None:
        """Undo what was done since the mark."""
        count, statements = mark
        undo_effects(self._applied[count:])
        del self._applied[count:], self._effects[count:]
        self._statements = dict(statements)

    def abort(self) -> None:
        """Undo everything; nothing is logged."""
        if self._open:
            undo_effects(self._applied)
            self._close()

    def commit(
        self, lsid: bytes | None = None, txn_number: int | None = None, wall_ms: int | None = None
    ) -> int:
        """Append one entry with all effects and return its index.

        Nothing is appended when there is neither an effect nor a statement; the log's end is
        returned then, which a reply has to wait for all the same.

        Args:
            lsid: Session id of a retryable write.
            txn_number: Its number.
            wall_ms: Wall time of the entry; None takes the clock's.

        """
        assert self._open, "a unit is committed once"
        retryable = lsid is not None and txn_number is not None
        if not self._effects and not (retryable and self._statements):
            self._close()
            return self._engine.log_end
        session = None
        if lsid is not None and txn_number is not None:
            session = SessionPart(lsid, txn_number, pack_statements(self._statements))
        try:
            index = self._engine.append_write(
                self._at, self._effects, self._applied, session, wall_ms
            )
        except BaseException:
            self.abort()
            raise
        self._close()
        return index

    def _close(self) -> None:
        self._open = False
        self._engine.unit_closed()

    def _check(self, c: Collection) -> None:
        assert self._open, "the unit has ended"
        if c.busy is not None or c.dropped or c.is_view:
            raise MongoError(
                Code.QUERY_PLAN_KILLED if c.dropped else Code.LOCK_BUSY,
                f"collection {c.ns} {'was dropped' if c.dropped else 'is not writable now'}",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()


def _key_line(doc: Document) -> bytes:
    """JSON of `{_id: …}`."""
    document_key = {"_id": doc["_id"]} if "_id" in doc else {}
    return document_line(encode(document_key), document_key)


def keys_or_none(index: Index, doc: Document) -> list[bytes]:
    """Keys of a document; none where an index being built could not take it."""
    try:
        return index.keys_of(doc)
    except MongoError:
        if index.ready:
            raise
        return []


def plan_keys(
    c: Collection, doc: Document, rid: int
) -> list[tuple[Index, list[bytes], MultikeyPaths | None]]:
    """Compute a new document's keys in every index, and check that it may have them."""
    planned = []
    for index in c.secondary:
        if not index.ready:
            planned.append((index, *_lenient_keys(index, doc, rid)))
            continue
        keys, paths = index.keys_and_paths(doc)
        if index.unique or index.prepare_unique:
            taken = index.conflict(keys, rid)
            if taken is not None:
                raise duplicate_key_error(c.ns, index, doc, taken)
        planned.append((index, keys, paths))
    return planned


def plan_change(
    c: Collection, old_doc: Document, doc: Document, rid: int
) -> list[tuple[Index, list[bytes], list[bytes], MultikeyPaths | None]]:
    """Compute which keys of every index go and come when a document changes."""
    planned = []
    for index in c.secondary:
        if not index.ready:
            old_keys = keys_or_none(index, old_doc)
            keys, paths = _lenient_keys(index, doc, rid)
        elif index.is_untouched(old_doc, doc):
            continue
        else:
            old_keys = index.keys_of(old_doc)
            keys, paths = index.keys_and_paths(doc)
        if keys == old_keys:
            continue
        before, now = frozenset(old_keys), frozenset(keys)
        added = [one for one in keys if one not in before]
        if index.ready and (index.unique or index.prepare_unique):
            taken = index.conflict(added, rid)
            if taken is not None:
                raise duplicate_key_error(c.ns, index, doc, taken)
        planned.append((index, [one for one in old_keys if one not in now], added, paths))
    return planned


def _lenient_keys(
    index: Index, doc: Document, rid: int
) -> tuple[list[bytes], MultikeyPaths | None]:
    """Keys for an index being built: what it cannot take is noted and looked at at its end."""
    try:
        keys, paths = index.keys_and_paths(doc)
    except MongoError:
        if index.skipped is not None:
            index.skipped[rid] = None
        return [], None
    if index.conflicts is not None and index.unique:
        held = index.conflict(keys, rid)
        if held is not None:
            index.conflicts[held] = None
    return keys, paths
