"""`local.oplog.rs` and `local.system.replset`: what other tools read of a replica set.

The oplog is the log. What stands in `local.oplog.rs` is made of the log's lines when somebody
asks, in MongoDB's shape, and kept in memory up to a bound, the newest: a capped collection that
nobody writes, that is in no data file, and whose documents are committed. While somebody reads
it, it follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from bson.binary import Binary
from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64

from psdb_base.bson_codec import encode
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_store.collection import Collection, Record
from psdb_store.entry import Effect, LogEntry

if TYPE_CHECKING:
    from shardsvr.replication.replica_set import ReplicaSet

OPLOG: Final = "oplog.rs"
CONFIG: Final = "system.replset"
VIRTUAL: Final = (OPLOG, CONFIG)
KEPT_BYTES: Final = 32 * 1024 * 1024
"""BSON of `local.oplog.rs` kept in memory."""
_READ_ENTRIES: Final = 256
_FOLLOW_SECONDS: Final = 60.0


class LocalCollections:
    """The collections of `local` that replication shows; in the engine's catalogue, unsaved."""

    def __init__(self, replica_set: ReplicaSet) -> None:
        self._set = replica_set
        self._oplog: Collection | None = None
        self._config: Collection | None = None
        self._at = 0
        self._follow_until = 0.0
        self._lock = asyncio.Lock()

    def show(self) -> None:
        """Enter the collections into the catalogue: the member belongs to a set now."""
        if self._oplog is not None:
            return
        engine = self._set.member.engine
        random = engine.world.random
        size = engine.options.oplog_bytes
        self._oplog = Collection("local", OPLOG, random.uuid(), {"capped": True, "size": size})
        self._config = Collection("local", CONFIG, random.uuid(), {})
        self._at = 0
        for c in (self._oplog, self._config):
            c.virtual = True
            engine.catalogue.add(c)

    def take_config(self, document: Document) -> None:
        """Have `local.system.replset` hold this configuration."""
        c = self._config
        if c is None:
            return
        for record in c.scan(None, 2):
            c.take_out(record, b"config", 0)
            c.forget_ghost(record.rid)
        c.put(Record(c.next_rid, encode(document), 0), b"config", None)
        c.dirty.clear()

    async def refresh(self) -> None:
        """Bring `local.oplog.rs` up to the commit index, and keep it there for a while."""
        engine, oplog = self._set.member.engine, self._oplog
        if oplog is None:
            return
        self._follow_until = engine.world.clock.monotonic() + _FOLLOW_SECONDS
        async with self._lock:
            while self._at < engine.commit_index:
                after = max(self._at, engine.journal.first_index - 1)
                entries = await engine.read_log(after, _READ_ENTRIES)
                if not entries:
                    return
                if after == self._at or self._at == 0:
                    self._add(oplog, entries)
                self._at = entries[-1].index
                await asyncio.sleep(0)

    def follow(self) -> None:
        """Take in what was committed since, without waiting, while somebody reads."""
        engine, oplog = self._set.member.engine, self._oplog
        if oplog is None or self._at >= engine.commit_index or self._lock.locked():
            return
        if engine.world.clock.monotonic() > self._follow_until:
            return
        lines = engine.journal.recent(self._at, engine.commit_index)
        if lines is not None and len(lines) <= _READ_ENTRIES:
            self._add(oplog, [LogEntry.parse(line) for line in lines])
            self._at = engine.commit_index

    def _add(self, oplog: Collection, entries: list[LogEntry]) -> None:
        for entry in entries:
            rid = oplog.next_rid
            raw = encode(document_of(entry))
            oplog.put(Record(rid, raw, 0), rid.to_bytes(8, "big"), None)
        while oplog.data_size_bytes > KEPT_BYTES:
            oldest = oplog.scan(None, 1)[0]
            oplog.take_out(oldest, oldest.rid.to_bytes(8, "big"), 0)
            oplog.forget_ghost(oldest.rid)
        oplog.dirty.clear()

    def check_write(self, db: str, target: Any, name: str) -> None:
        """Raise when a command would change what replication keeps in `local`."""
        if db != "local":
            return
        if name == "dropDatabase":
            raise MongoError(
                Code.ILLEGAL_OPERATION,
                "Cannot drop 'local' database while replication is active",
            )
        if target in VIRTUAL:
            raise MongoError(
                Code.ILLEGAL_OPERATION, f"cannot write to local.{target}: replication keeps it"
            )


# -- one entry -------------------------------------------------------------------------------------


def document_of(entry: LogEntry) -> Document:
    """Return an entry as MongoDB's oplog shows it; several effects as one `applyOps`."""
    document: Document = {}
    lsid = entry.lsid
    if lsid is not None:
        document["lsid"] = {"id": Binary(lsid, 4)}
        document["txnNumber"] = Int64(entry.txn_number or 0)
    effects = entry.effects
    if entry.kind == "config":
        change: Any = effects[0].document
        version = change["membership"]["version"]
        document |= {"op": "n", "ns": "", "o": {"msg": "Reconfig set", "version": version}}
    elif not effects:
        document |= {"op": "n", "ns": "", "o": {"msg": "no-op"}}
    elif len(effects) == 1:
        document |= _operation(effects[0])
    else:
        document |= {
            "op": "c", "ns": "admin.$cmd",
            "o": {"applyOps": [_operation(effect) for effect in effects]},
        }
    statements = entry.statements
    if len(statements) == 1:
        document["stmtId"] = next(iter(statements))
    elif statements:
        document["stmtId"] = list(statements)
    document |= {
        "ts": entry.time, "t": Int64(entry.term), "v": Int64(2), "wall": DatetimeMS(entry.wall),
    }
    return document


def _operation(effect: Effect) -> Document:
    shown: Document = {"op": effect.op, "ns": effect.ns, "ui": Binary(effect.uuid, 4)}
    if effect.op == "c":
        return _command(effect, shown)
    if effect.op == "i":
        return {**shown, "o": effect.document, "o2": effect.document_key}
    if effect.op == "d":
        return {**shown, "o": effect.document_key}
    delta = effect.diff
    o = effect.document if delta is None else {"$v": 2, "diff": _delta(delta)}
    return {**shown, "o": o, "o2": effect.document_key}


def _delta(delta: Document) -> Document:
    """Return a diff in the form of MongoDB's delta oplog entries."""
    if "a" in delta:
        shown: Document = {"a": True, "l": delta["l"]}
        shown |= {f"u{position}": value for position, value in delta.get("u", {}).items()}
        shown |= {f"s{position}": _delta(sub) for position, sub in delta.get("s", {}).items()}
        return shown
    shown = {}
    if "d" in delta:
        shown["d"] = dict.fromkeys(delta["d"], False)
    for part in ("u", "i"):
        if part in delta:
            shown[part] = delta[part]
    shown |= {f"s{name}": _delta(sub) for name, sub in delta.get("s", {}).items()}
    return shown


def _command(effect: Effect, shown: Document) -> Document:
    """Return a catalogue change as the command that it is in MongoDB's oplog."""
    change: Any = effect.document
    verb = next(iter(change))
    db = effect.ns.partition(".")[0]
    shown["ns"] = f"{db}.$cmd"
    shape = _COMMANDS.get(verb)
    shown["o"] = change if shape is None else shape(change)
    return shown


def _create(change: Document) -> Document:
    shown: Document = {"create": change["create"], **change["options"]}
    if "idIndex" in change:
        shown["idIndex"] = change["idIndex"]
    return shown


def _create_index(change: Document) -> Document:
    return {"createIndexes": change["createIndexes"], **change["spec"]}


def _modify(change: Document) -> Document:
    if "index" in change:
        return {"collMod": change["collMod"], "index": change["spec"]}
    return {"collMod": change["collMod"], **change["options"]}


_COMMANDS: Final[dict[str, Callable[[Document], Document]]] = {
    "collMod": _modify, "create": _create, "createIndexes": _create_index,
}
