"""The profiler: what operations of a database did, kept in its capped `system.profile`.

Level 0 keeps nothing, 1 what was slow (or what the filter chooses), 2 everything. The level and
the filter are a database's, `slowms` and `sampleRate` the member's; neither outlives the process
(manual: "Database Profiler"). A database whose level was not set has that of `--profile`, which
spares the databases of the server itself. An entry is an ordinary write, so only a member that
takes writes keeps any, and none while `fsync` holds writes back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bson.datetime_ms import DatetimeMS

from psdb_base import bson_codec
from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_server.operations import Operation, Statement

if TYPE_CHECKING:
    from psdb_query.filters import Filter
    from shardsvr.member import Member

PROFILE: Final = "system.profile"
"""What the profiler keeps; clients only read it."""
SIZE_BYTES: Final = 1024 * 1024
_INTERNAL: Final = frozenset({"admin", "config", "local"})
_ENTRY_BYTES_MAX: Final = 64 * 1024
"""A command that takes more is shown cut, so that it cannot push out all others."""
_KINDS: Final = {
    "delete": "remove", "find": "query", "getMore": "getmore", "insert": "insert",
    "update": "update",
}


@dataclass(slots=True)
class Level:
    """What one database profiles.

    Attributes:
        level: 0, 1 or 2.
        filter_spec: The `filter` as given, None without one.
        filter: It compiled.

    """

    level: int = 0
    filter_spec: Document | None = None
    filter: Filter | None = None


class Profiler:
    """The profiling levels of a member's databases.

    Attributes:
        active: Some database may be profiled.

    Args:
        default: The level of databases that have none of their own.

    """

    def __init__(self, default: int = 0) -> None:
        self._default = default
        self._levels: dict[str, Level] = {}
        self.active = default > 0

    def level(self, db: str) -> Level:
        """Return a database's settings, the default where it has none."""
        found = self._levels.get(db)
        if found is not None:
            return found
        return Level(0 if db in _INTERNAL else self._default)

    def set(self, db: str, level: Level) -> None:
        """Set a database's settings."""
        self._levels[db] = level
        self._look()

    def forget(self, db: str) -> None:
        """Forget the settings of a database that was dropped."""
        self._levels.pop(db, None)
        self._look()

    def _look(self) -> None:
        self.active = self._default > 0 or any(one.level for one in self._levels.values())


def record(
    member: Member, op: Operation, micros: int, raw: bytes | None, error: BaseException | None
) -> None:
    """Keep an operation that ended, where its database's level says so.

    Args:
        member: The member that ran it.
        op: The operation.
        micros: How long it took.
        raw: The body of its reply, None without one.
        error: What it failed with.

    """
    level = member.profiler.level(op.db)
    if not level.level or op.ns == f"{op.db}.{PROFILE}" or op.name == "profile":
        return
    if level.filter is None:
        if level.level == 1 and micros < member.slow_ms * 1000:
            return
        if member.sample_rate < 1 and member.world.random.random() >= member.sample_rate:
            return
    for entry in entries_of(member, op, micros, raw, error):
        if level.filter is None or level.filter.matches(entry, member.env()):
            _write(member, op.db, entry)


async def _write_first(member: Member, db: str, entry: Document) -> None:
    """Make the collection that the level of `--profile` asks for, for its first entry."""
    from shardsvr.collections import create_quietly

    try:
        await create_quietly(member, db, PROFILE, {"capped": True, "size": SIZE_BYTES})
    except MongoError:
        return  # no longer in office, or the disk failed: there is nothing to keep it in
    _write(member, db, entry)


def _write(member: Member, db: str, entry: Document) -> None:
    if not member.is_primary or member.gate.locks:
        return
    collection = member.engine.collection(db, PROFILE)
    if collection is None:
        if db in member.engine.databases():
            member.keep(_write_first(member, db, entry))
        return
    if collection.busy is not None:
        return
    # MongoDB's entries have no `_id`; here every document has one.
    entry = {"_id": member.world.random.object_id(), **entry}
    raw = bson_codec.encode(entry)
    if len(raw) > _ENTRY_BYTES_MAX:
        shown = {"$truncated": str(entry["command"])[:1024]}
        entry.pop("originatingCommand", None)
        entry.pop("execStats", None)
        raw = bson_codec.encode({**entry, "command": shown})
    try:
        with member.engine.unit() as unit:
            unit.insert(collection, raw)
            unit.commit()
    except MongoError as error:
        member.world.log.write(
            "W", "COMMAND", 20704, "Caught exception while trying to profile",
            {"op": entry["op"], "error": error.code_name},
        )


def op_kind(name: str) -> str:
    """Return `op` of an entry for a command's name."""
    return _KINDS.get(name, "command")


def entries_of(
    member: Member, op: Operation, micros: int, raw: bytes | None, error: BaseException | None
) -> list[Document]:
    """Return the entries of an operation: one, of updates and deletes one a statement."""
    tail = _tail(member, op)
    if op.statements:
        return [
            _statement(op, statement, raw) | tail for statement in op.statements
        ]
    entry: Document = {
        "op": op_kind(op.name),
        "ns": op.ns if "." in op.ns else f"{op.ns}.$cmd",
        "command": {name: value for name, value in op.command.items() if name not in _HIDDEN},
    }
    if op.origin is not None:
        entry["originatingCommand"] = op.origin
    entry |= figures(op)
    reply = _reply(raw)
    if op.name == "insert":
        entry["ninserted"] = reply.get("n", 0)
    if op.returned is not None:
        entry["nreturned"] = op.returned
    if "cursor" in reply:
        if reply["cursor"]["id"]:
            entry["cursorid"] = reply["cursor"]["id"]
        else:
            entry["cursorExhausted"] = True
    if error is not None:
        entry |= _error(error)
    entry |= {
        "numYield": op.yields,
        "locks": {},
        "responseLength": 0 if raw is None else len(raw),
        "protocol": "op_msg",
        "millis": micros // 1000,
    }
    return [entry | execution_fields(op) | tail]


_HIDDEN: Final = frozenset({"$clusterTime", "signature"})


def figures(op: Operation) -> Document:
    """Return what an operation's plans looked at."""
    keys, docs = op.examined()
    return {"keysExamined": keys, "docsExamined": docs}


def execution_fields(op: Operation) -> Document:
    """Return the summary of the last plan and what its stages did."""
    from shardsvr.planning.explain import stage_statistics
    from shardsvr.planning.summary import plan_summary

    execution = op.execution
    if execution is None:
        if op.counted:
            return {"planSummary": "RECORD_STORE_FAST_COUNT"}
        return {"planSummary": "EXPRESS_IXSCAN { _id: 1 }"} if op.by_id else {}
    return {
        "planSummary": plan_summary(execution.node),
        "execStats": stage_statistics(execution.node, execution.root),
    }


def mark(op: Operation) -> tuple[float, int, int] | None:
    """Begin a statement of a profiled update or delete; `note` ends it. None when unprofiled."""
    return (op.elapsed_seconds(), *op.examined()) if op.profiled else None


def note(
    op: Operation, begun: tuple[float, int, int] | None, command: Document, result: Document,
    error: MongoError | None = None,
) -> None:
    """Remember what a statement did.

    Args:
        op: The operation.
        begun: What `mark` returned.
        command: The statement as given.
        result: `nMatched` and the like.
        error: What it failed with.

    """
    if begun is None:
        return
    keys, docs = op.examined()
    micros = int((op.elapsed_seconds() - begun[0]) * 1_000_000)
    op.statements.append(
        Statement(
            command, result, keys - begun[1], docs - begun[2], micros, error, execution_fields(op)
        )
    )


def _statement(op: Operation, statement: Statement, raw: bytes | None) -> Document:
    """Return the entry of one update or delete."""
    entry: Document = {
        "op": op_kind(op.name),
        "ns": op.ns,
        "command": statement.command,
        "keysExamined": statement.keys,
        "docsExamined": statement.docs,
        **statement.result,
    }
    if statement.error is not None:
        entry |= _error(statement.error)
    return entry | {
        "numYield": op.yields,
        "locks": {},
        "responseLength": 0 if raw is None else len(raw),
        "millis": statement.micros // 1000,
        **statement.plan,
    }


def _error(error: BaseException) -> Document:
    if not isinstance(error, MongoError):
        return {"ok": 0.0, "errMsg": type(error).__name__, "errName": "InternalError", "errCode": 1}
    return {
        "ok": 0.0, "errMsg": error.message, "errName": error.code_name, "errCode": error.code,
    }


def _reply(raw: bytes | None) -> Document:
    return {} if raw is None else bson_codec.decode(raw)


def _tail(member: Member, op: Operation) -> Document:
    """Return the fields that tell when and for whom."""
    tail: Document = {"ts": DatetimeMS(member.world.clock.now_ms())}
    connection = op.connection
    if connection is not None:
        tail["client"] = connection.peer[0]
        name = (connection.client or {}).get("application", {}).get("name")
        if name:
            tail["appName"] = name
    return tail | {"allUsers": [], "user": ""}

