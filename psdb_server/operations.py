"""Operations: what runs now, for how long, and how it is stopped.

Every command runs as an `Operation`. Long work calls `checkpoint(n)` after n documents; there
the loop gets a turn, and `maxTimeMS`, `killOp` and a closed connection take effect. The count
that triggers a turn is `limits.YIELD_DOCUMENTS`, never elapsed time: in virtual time work
costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from bson.binary import Binary
from bson.int64 import Int64

from psdb_base.errors import Code, MongoError
from psdb_base.limits import YIELD_DOCUMENTS
from psdb_base.values import Document

if TYPE_CHECKING:
    from psdb_base.world import Clock
    from psdb_wire.connection import Connection


T = TypeVar("T")

_CHECK_SECONDS: Final = 0.1


@dataclass(slots=True)
class Statement:
    """What one statement of a profiled update or delete did; times in microseconds."""

    command: Document
    result: Document
    keys: int
    docs: int
    micros: int
    error: MongoError | None
    plan: Document


class Execution(Protocol):
    """What an operation knows of a plan that it runs."""

    def examined(self) -> tuple[int, int]:
        """Return how many keys and documents were looked at so far."""
        ...

INTERRUPTION_CODES: Final = frozenset(
    {int(Code.CLIENT_DISCONNECT), int(Code.INTERRUPTED), int(Code.MAX_TIME_MS_EXPIRED)}
)
"""What `check` raises: a command of several statements ends with it, it is not one statement's."""
STEPS_MAX: Final = 2_000_000
"""Steps of loops inside expressions between two turns of the event loop: about two seconds."""


class Operation:
    """One running command.

    Attributes:
        opid: Number shown by `currentOp` and taken by `killOp`.
        away: What it evaluates now is evaluated on another thread than the event loop's.
        deadline: Monotonic seconds after which `check` raises 50, None without limit.
        progress: `{msg, done, total}` of an index build or the like, for `currentOp`.
        waiting: It waits for a lock.
        execution: The plan it runs, or ran last.
        by_id: It looked one document up by `_id`, without a plan.
        counted: It told the number of all documents, without a plan.
        returned: Documents in its reply, None for a command that returns none.
        origin: The command that opened the cursor of a getMore.
        committed: It reads nothing but what is committed.
        profiled: Its statements are to be noted.
        statements: What they did.

    """

    __slots__ = (
        "_clock", "_countdown", "_docs", "_keys", "_killed", "_steps", "away", "by_id", "command",
        "committed", "connection", "counted", "db", "deadline", "execution", "lsid", "name", "ns",
        "opid", "origin", "profiled", "progress", "returned", "started", "started_ms",
        "statements", "waiting", "yields",
    )

    def __init__(
        self, opid: int, clock: Clock, connection: Connection | None, name: str, db: str
    ) -> None:
        self.opid = opid
        self._clock = clock
        self.connection = connection
        self.name = name
        self.db = db
        self.ns = db
        self.command: Document = {}
        self.lsid: bytes | None = None
        self.started = clock.monotonic()
        self.started_ms = clock.now_ms()
        self.deadline: float | None = None
        self.progress: Document | None = None
        self.waiting = False
        self.execution: Any = None
        self.by_id = False
        self.counted = False
        self.returned: int | None = None
        self.origin: Document | None = None
        self.profiled = False
        self.committed = False
        self.statements: list[Statement] = []
        self.yields = 0
        self._keys = self._docs = 0
        self._countdown = YIELD_DOCUMENTS
        self._steps = 0
        self.away = False
        self._killed: MongoError | None = None

    def limit(self, max_time_ms: int) -> None:
        """Set the deadline of `maxTimeMS`, counted from the operation's start; 0 is none."""
        if max_time_ms:
            self.deadline = self.started + max_time_ms / 1000

    def kill(self, error: MongoError | None = None) -> None:
        """Make the next `check` raise 11601, or another error."""
        if self._killed is None:
            self._killed = error or MongoError(Code.INTERRUPTED, "operation was interrupted")

    def check(self) -> None:
        """Raise when the operation was killed, ran out of time, or lost its client."""
        if self._killed is not None:
            raise self._killed
        if self.deadline is not None and self._clock.monotonic() >= self.deadline:
            raise MongoError(Code.MAX_TIME_MS_EXPIRED, "operation exceeded time limit")
        if self.connection is not None and self.connection.closed:
            raise MongoError(Code.CLIENT_DISCONNECT, "operation was interrupted")

    def spend(self, steps: int) -> None:
        """Count steps of loops inside one evaluation; see `psdb_query.steps`.

        Raises what `check` does, and 262 when the event loop stood still for too many.
        """
        self.check()
        self._steps += steps
        if self._steps > STEPS_MAX and not self.away:
            raise MongoError(
                Code.EXCEEDED_TIME_LIMIT,
                "an expression took too many steps in a place where it cannot be interrupted",
            )

    async def checkpoint(self, documents: int) -> None:
        """Count `documents` of work; give the loop a turn when enough were done."""
        self._countdown -= documents
        if self._countdown <= 0:
            self._countdown = YIELD_DOCUMENTS
            self.yields += 1
            self._steps = 0
            await asyncio.sleep(0)
            self.check()

    async def watch(self, done: asyncio.Future[T]) -> T:
        """Wait for what happens elsewhere, looking at the limits now and then.

        Raises what `check` does; the future goes on then.
        """
        while True:
            left = self.remaining_seconds()
            patience = _CHECK_SECONDS if left is None else min(_CHECK_SECONDS, max(left, 0.001))
            try:
                return await asyncio.wait_for(asyncio.shield(done), patience)
            except TimeoutError:
                if done.done():
                    return done.result()
                self.check()

    async def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Do work that waits for others; it is cancelled when a limit is reached."""
        task = asyncio.get_running_loop().create_task(work)
        try:
            return await self.watch(task)
        except BaseException:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            raise

    def ran(self, execution: Execution) -> None:
        """Note that a plan is run from here on."""
        earlier = self.execution
        if earlier is not None and earlier is not execution:
            keys, docs = earlier.examined()
            self._keys += keys
            self._docs += docs
        self.execution = execution

    def examined(self) -> tuple[int, int]:
        """Return how many keys and documents its plans looked at."""
        if self.execution is None:
            return self._keys + self.by_id, self._docs + self.by_id
        keys, docs = self.execution.examined()
        return self._keys + keys, self._docs + docs

    def remaining_seconds(self) -> float | None:
        """Seconds left until the deadline (not below 0), None without one."""
        if self.deadline is None:
            return None
        return max(0.0, self.deadline - self._clock.monotonic())

    def elapsed_seconds(self) -> float:
        """Seconds since the start."""
        return self._clock.monotonic() - self.started

    def elapsed_ms(self) -> int:
        """Milliseconds since the start."""
        return int((self._clock.monotonic() - self.started) * 1000)

    def describe(self, host: str) -> Document:
        """Return the operation's row of `currentOp`."""
        micros = int((self._clock.monotonic() - self.started) * 1_000_000)
        row: Document = {
            "type": "op",
            "host": host,
            "desc": f"conn{self.connection.id}" if self.connection is not None else "internal",
        }
        if self.connection is not None:
            row["connectionId"] = self.connection.id
            row["client"] = self.connection.peer_name
            metadata = self.connection.client
            if metadata:
                row["clientMetadata"] = metadata
                row["appName"] = metadata.get("application", {}).get("name", "")
        row |= {
            "active": True,
            "currentOpTime": _iso(self._clock.now_ms()),
            "threaded": False,
            "opid": self.opid,
            "secs_running": Int64(micros // 1_000_000),
            "microsecs_running": Int64(micros),
            "op": _OP_KINDS.get(self.name, "command"),
            "ns": self.ns,
            "redacted": False,
            "command": self.command,
            "numYields": self.yields,
            "waitingForLock": self.waiting,
            "locks": {},
            "lockStats": {},
            "waitingForFlowControl": False,
            "flowControlStats": {},
        }
        if self.lsid is not None:
            row["lsid"] = {"id": Binary(self.lsid, 4)}
        if self.progress is not None:
            row["msg"] = self.progress["msg"]
            row["progress"] = {name: self.progress[name] for name in ("done", "total")}
        if self._killed is not None:
            row["killPending"] = True
        return row


_OP_KINDS = {
    "aggregate": "command",
    "delete": "remove",
    "find": "query",
    "getMore": "getmore",
    "insert": "insert",
    "update": "update",
}


def _iso(now_ms: int) -> str:
    from datetime import UTC, datetime

    moment = datetime.fromtimestamp(now_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds")


class Operations:
    """All running operations of a node."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next = 0
        self.running: dict[int, Operation] = {}
        self.counters: dict[str, int] = {
            "insert": 0, "query": 0, "update": 0, "delete": 0, "getmore": 0, "command": 0,
        }

    def begin(self, connection: Connection | None, name: str, db: str) -> Operation:
        """Register an operation; the caller ends it with `end`."""
        self._next += 1
        op = Operation(self._next, self._clock, connection, name, db)
        self.running[self._next] = op
        return op

    def end(self, op: Operation) -> None:
        """Forget a finished operation."""
        self.running.pop(op.opid, None)

    def kill(self, opid: int) -> bool:
        """Kill an operation by number; False when there is none."""
        op = self.running.get(opid)
        if op is None:
            return False
        op.kill()
        return True

    def kill_all(self, error: MongoError) -> None:
        """Have every running operation end with this error at its next yield."""
        for op in list(self.running.values()):
            op.kill(error)

    def kill_session(self, lsid: bytes) -> None:
        """Kill every operation of a session."""
        for op in list(self.running.values()):
            if op.lsid == lsid:
                op.kill()

    def describe(self, host: str, *, skip: Operation | None = None) -> list[Document]:
        """Rows for `currentOp`, oldest first."""
        return [op.describe(host) for op in self.running.values() if op is not skip]

    def count(self, kind: str, n: int = 1) -> None:
        """Add to the `opcounters` of serverStatus."""
        self.counters[kind] += n

    def counters_document(self) -> dict[str, Any]:
        """Return the `opcounters` section."""
        return {name: Int64(value) for name, value in self.counters.items()}


def shutting_down(extra: Document | None = None) -> MongoError:
    """Return what those are told whose server stops, with more fields for the reply."""
    return MongoError(
        Code.SHUTDOWN_IN_PROGRESS, "The server is in quiesce mode and will shut down", extra=extra
    )
