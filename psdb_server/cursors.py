"""Cursors: results that are fetched in batches.

A cursor's `source` yields raw documents in batches; it is made by a find or an aggregate and
survives concurrent writes by itself. The registry knows who may use a cursor, when it times
out, and kills it with its session. A cursor is in use by at most one getMore at a time (143).
While it is in use its source belongs to that getMore: whoever kills the cursor kills the getMore,
which closes the source when it ends.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from psdb_base.errors import Code, MongoError
from psdb_base.limits import CURSOR_IDLE_SECONDS_MAX, FIRST_BATCH_COUNT, REPLY_BATCH_BYTES_MAX
from psdb_base.values import Document
from psdb_base.world import Clock, Random
from psdb_server.fields import CHECKS, is_number, type_name
from psdb_server.operations import Operation


class Source(Protocol):
    """Where a cursor's documents come from."""

    async def fetch(self, op: Operation, count: int) -> list[bytes]:
        """Return up to `count` raw documents (0: no limit).

        Fewer come at the end, and when they are more bytes than a reply takes. The empty list
        means that there is no more, now or (tailable) for the moment.
        """
        ...

    @property
    def exhausted(self) -> bool:
        """True when no further document will come."""
        ...

    async def close(self) -> None:
        """Give up what the source holds."""
        ...


class AwaitSource(Source, Protocol):
    """A source to which more may come: its cursor can wait for that."""

    async def wait(self, op: Operation, milliseconds: int) -> bool:
        """Return True when more may have come, False after the time or at the end."""
        ...


class BatchSource:
    """A source over an asynchronous iterator of batches of raw documents."""

    def __init__(self, batches: AsyncIterator[list[bytes]]) -> None:
        self._batches = batches
        self._rest: list[bytes] = []
        self._rest_bytes = 0
        self._ended = False

    @property
    def exhausted(self) -> bool:
        """True when the iterator has ended and nothing is held back."""
        return self._ended and not self._rest

    async def fetch(self, op: Operation, count: int) -> list[bytes]:
        """Return up to `count` documents, fewer when they are many bytes."""
        rest = self._rest
        while (
            not self._ended
            and (not count or len(rest) <= count)
            and self._rest_bytes <= REPLY_BATCH_BYTES_MAX
        ):
            try:
                batch = await anext(self._batches)
            except StopAsyncIteration:
                self._ended = True
            else:
                rest.extend(batch)
                self._rest_bytes += _size(batch)
            op.check()
        if not count or len(rest) <= count:
            self._rest, self._rest_bytes = [], 0
            return rest
        self._rest = rest[count:]
        self._rest_bytes = _size(self._rest)
        return rest[:count]

    async def close(self) -> None:
        """Close the iterator."""
        self._ended = True
        self._rest = []
        closer = getattr(self._batches, "aclose", None)
        if closer is not None:
            await closer()


class Cursor:
    """An open cursor.

    Attributes:
        seconds_left: What its command's `maxTimeMS` leaves for all its getMores together.
        committed: Its command reads nothing but what is committed.
        user: The getMore that uses it now.
        failure: What the next getMore is told: the collection is no longer there.
        interrupt: Ends what the getMore that uses it waits for, where killing that is not enough.

    """

    __slots__ = (
        "await_data", "command", "committed", "created_ms", "deadline_ms", "failure", "id",
        "interrupt", "last_use", "lsid", "no_timeout", "ns", "pending", "returned",
        "seconds_left", "source", "tailable", "user",
    )

    def __init__(self, cursor_id: int, ns: str, source: Source, lsid: bytes | None) -> None:
        self.id = cursor_id
        self.ns = ns
        self.source = source
        self.lsid = lsid
        self.pending: list[bytes] = []
        self.user: Operation | None = None
        self.failure: MongoError | None = None
        self.interrupt: Callable[[], Awaitable[None]] | None = None
        self.last_use = 0.0
        self.no_timeout = False
        self.tailable = False
        self.await_data = False
        self.command: Document = {}
        self.committed = False
        self.created_ms = 0
        self.deadline_ms = 0
        self.returned = 0
        self.seconds_left: float | None = None

    @property
    def in_use(self) -> bool:
        """Whether a getMore fetches from it now."""
        return self.user is not None

    async def batch(self, op: Operation, count: int) -> list[bytes]:
        """Fetch the next batch: up to `count` documents (0: by size alone), at most 16 MiB."""
        documents = self.pending
        self.pending = []
        if not count or len(documents) < count:
            wanted = count - len(documents) if count else _BATCH_DOCUMENTS
            while wanted > 0:
                more = await self.source.fetch(op, min(wanted, _BATCH_DOCUMENTS))
                documents = documents + more if documents else more
                if count:
                    wanted -= len(more)
                if not more or self.source.exhausted or _size(documents) > REPLY_BATCH_BYTES_MAX:
                    break
        taken = _fitting(documents, count)
        self.pending = documents[taken:]
        self.returned += taken
        return documents[:taken]

    @property
    def exhausted(self) -> bool:
        """True when nothing is left to return."""
        return not self.pending and self.source.exhausted


def batch_size_of(cursor: Document, default: int = FIRST_BATCH_COUNT) -> int:
    """Return the checked `batchSize` of a command's `cursor` option."""
    for name in cursor:
        if name != "batchSize":
            raise MongoError(40415, f"BSON field 'cursor.{name}' is an unknown field.")
    size = cursor.get("batchSize", default)
    if not is_number(size):
        raise MongoError(
            Code.TYPE_MISMATCH,
            f"BSON field 'cursor.batchSize' is the wrong type '{type_name(size)}', expected type "
            "'long'",
        )
    if size < 0:
        raise MongoError(
            51024, f"BSON field 'batchSize' value must be >= 0, actual value '{size}'"
        )
    return int(CHECKS["int"](size, "cursor.batchSize"))


_BATCH_DOCUMENTS = 4096


def _size(documents: list[bytes]) -> int:
    return sum(map(len, documents))


def _fitting(documents: list[bytes], count: int) -> int:
    """Return how many documents fit into one reply (at least one)."""
    limit = min(count, len(documents)) if count else len(documents)
    if limit * 512 < REPLY_BATCH_BYTES_MAX and _size(documents) <= REPLY_BATCH_BYTES_MAX:
        return limit
    total = 0
    for index in range(limit):
        total += len(documents[index]) + 8
        if total > REPLY_BATCH_BYTES_MAX and index:
            return index
    return limit


class Cursors:
    """The open cursors of a node."""

    def __init__(self, clock: Clock, random: Random) -> None:
        self._clock = clock
        self._random = random
        self.open: dict[int, Cursor] = {}
        self.total_opened = 0
        self.timed_out = 0

    def register(self, ns: str, source: Source, lsid: bytes | None) -> Cursor:
        """Open a cursor under a fresh id."""
        cursor_id = self._random.cursor_id()
        while cursor_id in self.open:
            cursor_id = self._random.cursor_id()
        cursor = Cursor(cursor_id, ns, source, lsid)
        cursor.last_use = self._clock.monotonic()
        cursor.created_ms = self._clock.now_ms()
        self.open[cursor_id] = cursor
        self.total_opened += 1
        return cursor

    def checkout(
        self, cursor_id: int, ns: str, lsid: bytes | None, op: Operation
    ) -> Cursor:
        """Take a cursor for the getMore `op`; `checkin` or `end` gives it back.

        Raises:
            MongoError: 43 not found, 13 another namespace or session, 143 in use, 175 when its
                collection was dropped or renamed.

        """
        cursor = self.open.get(cursor_id)
        if cursor is None:
            raise MongoError(Code.CURSOR_NOT_FOUND, f"cursor id {cursor_id} not found")
        if cursor.ns != ns:
            raise MongoError(
                Code.UNAUTHORIZED,
                f"Requested getMore on namespace '{ns}', but cursor belongs to a different "
                f"namespace {cursor.ns}",
            )
        if cursor.lsid != lsid:
            raise MongoError(
                50738,
                f"Cannot run getMore on cursor {cursor_id}, which was "
                f"{'not ' if cursor.lsid is None else ''}created in "
                f"{'a' if cursor.lsid is None else 'another'} session",
            )
        if cursor.in_use:
            raise MongoError(Code.CURSOR_IN_USE, f"cursor id {cursor_id} is already in use")
        if cursor.failure is not None:
            del self.open[cursor_id]
            raise cursor.failure
        cursor.user = op
        return cursor

    def checkin(self, cursor: Cursor) -> None:
        """Give a cursor back after a getMore that others may follow."""
        cursor.user = None
        cursor.last_use = self._clock.monotonic()

    async def end(self, cursor: Cursor) -> None:
        """Give a cursor back that is at its end, or whose getMore failed, and close it."""
        cursor.user = None
        self.open.pop(cursor.id, None)
        await cursor.source.close()

    async def kill(self, cursor_id: int) -> bool:
        """Close a cursor; False when there is none. A getMore that uses it ends with 237."""
        cursor = self.open.pop(cursor_id, None)
        if cursor is None:
            return False
        if cursor.user is None:
            await cursor.source.close()
            return True
        cursor.user.kill(MongoError(Code.CURSOR_KILLED, "operation was interrupted"))
        if cursor.interrupt is not None:
            await cursor.interrupt()
        return True

    async def kill_session(self, lsid: bytes) -> None:
        """Close every cursor of a session."""
        for cursor in list(self.open.values()):
            if cursor.lsid == lsid:
                await self.kill(cursor.id)

    async def fail(self, ns: str, error: MongoError) -> None:
        """Let the cursors of a namespace give nothing more, only this error.

        Who uses one learns at the next getMore why it has ended, as from MongoDB.
        """
        for cursor in list(self.open.values()):
            if cursor.ns != ns or cursor.failure is not None:
                continue
            cursor.failure = error
            if cursor.user is None:
                cursor.pending = []
                await cursor.source.close()
            else:
                cursor.user.kill(error)

    async def expire(self) -> None:
        """Close cursors that nobody used for ten minutes."""
        horizon = self._clock.monotonic() - CURSOR_IDLE_SECONDS_MAX
        for cursor in list(self.open.values()):
            if cursor.last_use < horizon and not cursor.no_timeout and not cursor.in_use:
                self.timed_out += 1
                await self.kill(cursor.id)
