"""The donor's side of a migration: it drives the other two.

Phases of the coordinator document, each logged and committed before the next step:

- `cloning`: the recipient holds copies under a pending range deletion. A donor that recovers
  fences: it is aborted.
- `section`: writes and versioned reads of the collection wait; the commit may have been sent. A
  donor that recovers keeps the section closed, fences, and takes the outcome.

Invariants: the config server decides, once for each migration id: a commit and a fence exclude
each other. The new ownership, the range deletion and the end of the coordinator are one entry.
The recipient owns nothing before the commit; its pending range deletion covers all copies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from bson.binary import Binary
from bson.int64 import Int64

from psdb_base import bson_codec, order
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.labels import RETRYABLE_CODES
from psdb_store.collection import Collection
from psdb_store.entry import LogEntry
from psdb_store.record import Record
from psdb_store.sessions import Run
from shardsvr.sharding import records as names
from shardsvr.sharding.cloning import records_in, size_of
from shardsvr.sharding.ownership import Ownership
from shardsvr.sharding.recipient import NOT_UNDER_WAY
from shardsvr.sharding.state import Section, ShardingState

if TYPE_CHECKING:
    from shardsvr.member import Member

_BATCH_BYTES: Final = 4 * 1024 * 1024
_LOG_SLICE: Final = 1000
_CATCH_UP_ENTRIES: Final = 200
_CATCH_UP_ROUNDS: Final = 50
_RETRY_SECONDS: Final = 0.5
_WRITERS_SECONDS: Final = 5.0
"""How long all other requests wait for multi-document writes that run when the section closes."""


_SessionRow: TypeAlias = tuple[bytes, int, list[Run]]
"""A session, its number, what its statements answered."""

T = TypeVar("T")


class Part:
    """What is given away: a range of a collection, as this shard owns it.

    Attributes:
        collection: The collection here.
        own: What the shard owned of it when this was looked up.
        low: The range's first key.
        high: The key behind its last.

    """

    __slots__ = ("collection", "high", "low", "own")

    def __init__(self, collection: Collection, own: Ownership, bounds: Document) -> None:
        self.collection = collection
        self.own = own
        self.low, self.high = (own.pattern.bound_key(bounds[side]) for side in ("min", "max"))

    def holds(self, document: Document) -> bool:
        """Tell whether a document lies in the range."""
        return self.low <= self.own.pattern.key(document) < self.high


class Donation:
    """One migration away from this shard.

    Args:
        state: The shard.
        spec: The coordinator document: `_id` (the migration's id), `ns`, `range`, `toShard`,
            `toHost` and what else the config server asked for.

    """

    def __init__(self, state: ShardingState, spec: Document) -> None:
        self.state = state
        self.member = state.member
        self.spec = spec
        self.id: Binary = spec["_id"]
        self.ns: str = spec["ns"]
        self.done: asyncio.Future[Document] = asyncio.get_running_loop().create_future()
        self.counts = {"cloned": 0, "clonedBytes": 0, "catchup": 0}
        self._at = 0
        self._op = self.member.internal_operation("moveRange", self.ns.partition(".")[0])
        self._op.ns = self.ns

    # -- the whole -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Carry the migration out; `done` gets its result or error."""
        try:
            result = await self._run()
        except MongoError as error:
            self._fail(error)
        else:
            if not self.done.done():
                self.done.set_result(result)
        finally:
            if self.state.donating is self:
                self.state.donating = None
            self.member.operations.end(self._op)

    def give_up(self) -> None:
        """Tell those who wait that this member does not know the outcome any more."""
        self._fail(MongoError(
            Code.INTERRUPTED_DUE_TO_REPL_STATE_CHANGE, "the migration's donor lost its office"
        ))

    def _fail(self, error: MongoError) -> None:
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()  # nobody may be waiting

    async def _run(self) -> Document:
        part = await self._look_up()
        await self._check_size(part)
        await self.state.records.write(
            put=[(names.COORDINATORS, {**self.spec, "phase": "cloning"})]
        )
        unpin = self.member.engine.pin_log(self.member.engine.commit_index)
        self._at = self.member.engine.commit_index
        try:
            await self._start_recipient(part)
            await self._clone(part)
            await self._catch_up(part)
            await self._in_section(part)
        except MongoError as error:
            if await self._abort(error):
                raise
        finally:
            unpin()
        await tell_recipient(self.state, self.spec, committed=True)
        return {"counts": self.counts}

    async def _look_up(self) -> Part:
        """Find what is to be given away; this shard may not have heard yet that it owns it."""
        try:
            return self._check()
        except MongoError:
            await self.state.refresh(self.ns)
            return self._check()

    def _check(self) -> Part:
        db, _, name = self.ns.partition(".")
        own = self.state.ownership(self.ns)
        collection = self.member.engine.collection(db, name)
        if own is None or collection is None or bytes(own.row["uuid"]) != self.spec["uuid"]:
            raise MongoError(Code.NAMESPACE_NOT_SHARDED, f"Namespace {self.ns} is not sharded here")
        part = Part(collection, own, self.spec["range"])
        if not own.ranges.covers(part.low, part.high):
            raise MongoError(
                Code.CONFLICTING_OPERATION_IN_PROGRESS,
                f"this shard does not own all of the range to be moved of {self.ns}",
            )
        return part

    async def _check_size(self, part: Part) -> None:
        """Refuse a chunk that is too large to be moved."""
        limit = self.spec.get("bytesMax")
        if limit is None or self.spec.get("forceJumbo"):
            return
        size, _count = await size_of(
            part.collection, part.own.pattern, part.low, part.high, self._op.checkpoint,
            enough=limit,
        )
        if size > limit:
            raise MongoError(
                Code.CHUNK_TOO_BIG,
                f"Cannot move chunk: the maximum number of bytes for a chunk is {limit}",
            )

    # -- copying -----------------------------------------------------------------------------------

    async def _to_recipient(self, command: Document) -> Document:
        try:
            found: Document = await self.state.peer(self.spec["toHost"]).command("admin", command)
        except MongoError as error:
            # Its code would be taken for this shard's own.
            lost = error.code in RETRYABLE_CODES or error.code == NOT_UNDER_WAY
            raise MongoError(
                Code.OPERATION_FAILED if lost else error.code,
                f"moveChunk failed to engage TO-shard in the data transfer: {error}",
                extra={"recipientLost": True} if lost else error.extra,
            ) from error
        return found

    async def _start_recipient(self, part: Part) -> None:
        collection, own = part.collection, part.own
        indexes = [
            index.spec for name, index in collection.indexes.items() if name != "_id_"
        ]
        await self._to_recipient({
            "_shardsvrReceiveStart": 1, "id": self.id, "ns": self.ns, "uuid": collection.uuid,
            "options": collection.options, "indexes": indexes, "key": own.pattern.spec,
            "range": self.spec["range"], "fromShard": self.member.shard_name,
            "epoch": own.version.epoch, "timestamp": own.version.timestamp,
        })
        await self._send([], [], session_rows(self.member))

    async def _send(
        self, raws: list[bytes], removed: list[Any], sessions: list[_SessionRow]
    ) -> None:
        """Send changes, in several messages where one would be too large.

        The recipient serves nothing of it before it has all, so the order does not matter.
        """
        for part in _by_size(raws, len):
            await self._send_one(documents=Binary(b"".join(part)))
        removals = [{"_id": one} for one in removed]
        for removal in _by_size(removals, lambda one: len(bson_codec.encode(one))):
            await self._send_one(removed=removal)
        for rows in _by_size(sessions, _session_bytes):
            await self._send_one(sessions=[_session_document(*row) for row in rows])

    async def _send_one(self, **fields: Any) -> None:
        nothing: Document = {"documents": Binary(b""), "removed": [], "sessions": []}
        await self._to_recipient(
            {"_shardsvrReceiveBatch": 1, "id": self.id, **nothing, **fields}
        )

    async def _clone(self, part: Part) -> None:
        raws: list[bytes] = []
        size = 0
        async for records in records_in(
            part.collection, part.own.pattern, part.low, part.high, self._op.checkpoint
        ):
            for record in records:
                raws.append(record.raw)
                size += len(record.raw)
            if size > _BATCH_BYTES or len(raws) >= _LOG_SLICE:
                await self._send_clones(raws, size)
                raws, size = [], 0
        if raws:
            await self._send_clones(raws, size)

    async def _send_clones(self, raws: list[bytes], size: int) -> None:
        await self._send(raws, [], [])
        self.counts["cloned"] += len(raws)
        self.counts["clonedBytes"] += size
        self._op.check()

    async def _catch_up(self, part: Part) -> None:
        """Send what has changed since, until little is left."""
        for _ in range(_CATCH_UP_ROUNDS):
            end = self.member.engine.log_end
            sent = end - self._at
            await self._send_changes(part, end)
            if sent < _CATCH_UP_ENTRIES:
                return

    async def _send_changes(self, part: Part, end: int) -> None:
        """Send the changes of the log's entries up to `end`."""
        engine = self.member.engine
        await engine.committed(end)
        while self._at < end:
            entries = await engine.read_log(self._at, min(_LOG_SLICE, end - self._at))
            if not entries:
                break
            self._at = entries[-1].index
            raws, removed, sessions = self._changes(part, entries)
            if raws or removed or sessions:
                await self._send(raws, removed, sessions)
                self.counts["catchup"] += len(raws) + len(removed)
            await self._op.checkpoint(len(entries))

    def _changes(
        self, part: Part, entries: list[LogEntry]
    ) -> tuple[list[bytes], list[Any], list[_SessionRow]]:
        """Collect the documents that entries changed, as they are now."""
        touched: dict[bytes, Any] = {}
        sessions: list[_SessionRow] = []
        collection = part.collection
        uuid = bytes(collection.uuid)
        for entry in entries:
            lsid, number = entry.lsid, entry.txn_number
            if lsid is not None and number is not None:
                sessions.append((lsid, number, entry.runs))
            for effect in entry.effects:
                if effect.uuid == uuid and effect.op in "iud":
                    identifier = effect.document_key.get("_id")
                    touched[order.key(identifier, collection.collation)] = identifier
        raws: list[bytes] = []
        removed: list[Any] = []
        for id_key, identifier in touched.items():
            record: Record | None = collection.by_id(id_key)
            if record is not None and part.holds(record.document()):
                raws.append(record.raw)
            else:
                removed.append(identifier)
        return raws, removed, sessions

    # -- the end -----------------------------------------------------------------------------------

    async def _in_section(self, part: Part) -> None:
        """Close the section, send the rest, have the config server commit, take the outcome.

        The section opens when the outcome is known and logged, or cannot be a commit any more.
        """
        if self.ns in self.state.sections:
            raise MongoError(
                Code.CONFLICTING_OPERATION_IN_PROGRESS, f"{self.ns} is being changed already"
            )
        section = self.state.sections[self.ns] = Section()
        try:
            await self.state.writers_end(self.ns, _WRITERS_SECONDS)
            if self.state.ownership(self.ns) is not part.own:
                self._check()
            await self.state.records.write(
                put=[(names.COORDINATORS, {**self.spec, "phase": "section"})]
            )
            # Nothing of the collection is written from here on.
            await self._send_changes(part, self.member.engine.log_end)
            await self._commit()
            await finish(self.state, self.spec)
        finally:
            self.state.open(self.ns, section)

    async def _commit(self) -> None:
        """Ask for the commit; an answer that does not come is found out by the fence."""
        try:
            await self.state.config.command("admin", {
                "_configsvrCommitMigration": 1, "id": self.id, "ns": self.ns,
                "uuid": Binary(self.spec["uuid"], 4), "range": self.spec["range"],
                "fromShard": self.member.shard_name, "toShard": self.spec["toShard"],
            })
        except MongoError as error:
            if await fence(self.state, self.id) == "aborted":
                raise MongoError(
                    Code.OPERATION_FAILED, f"the migration was not committed: {error}"
                ) from error

    async def _abort(self, error: MongoError) -> bool:
        """Give the migration up; False when it turns out to be committed."""
        self.member.world.log.write(
            "W", "SHARDING", 23899, "Migration failed",
            {"namespace": self.ns, "error": str(error)},
        )
        if await fence(self.state, self.id) == "committed":
            await finish(self.state, self.spec)
            return False
        await self.state.records.write(remove=[(names.COORDINATORS, self.id)])
        self.state.in_office(tell_recipient(self.state, self.spec, committed=False))
        return True


def session_rows(member: Member) -> list[_SessionRow]:
    """Return what all sessions have done."""
    return [
        (lsid, record.txn_number, record.runs)
        for lsid, record in member.engine.sessions.snapshot().items()
    ]


def session_parts(member: Member) -> Iterator[list[Document]]:
    """Give what all sessions have done, as a recipient notes it, in messages of bounded size."""
    for rows in _by_size(session_rows(member), _session_bytes):
        yield [_session_document(*row) for row in rows]


def _session_bytes(row: _SessionRow) -> int:
    return sum(len(run[2]) for run in row[2])


def _session_document(lsid: bytes, number: int, runs: list[Run]) -> Document:
    return {
        "lsid": Binary(lsid, 4), "txnNumber": Int64(number),
        "statements": [
            {"first": first, "last": last, "result": bson_codec.decode(raw)}
            for first, last, raw in runs
        ],
    }


def _by_size(items: list[T], size_of: Callable[[T], int]) -> Iterator[list[T]]:
    """Yield the items in lists of not much more than a batch's bytes."""
    part: list[T] = []
    size = 0
    for item in items:
        more = size_of(item)
        if part and size + more > _BATCH_BYTES:
            yield part
            part, size = [], 0
        part.append(item)
        size += more
    if part:
        yield part


async def fence(state: ShardingState, identifier: Binary) -> str:
    """Return a migration's outcome; one that is not committed yet never will be."""
    while True:
        try:
            reply = await state.config.command(
                "admin", {"_configsvrFenceMigration": 1, "id": identifier}
            )
        except MongoError as error:
            state.member.world.log.write(
                "W", "SHARDING", 5064600, "The outcome of a migration is not known yet",
                {"error": str(error)},
            )
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            outcome: str = reply["outcome"]
            return outcome


async def is_committed(state: ShardingState, spec: Document) -> bool:
    """Tell, for ever, how a migration ended whose donor was lost.

    An outcome may have been forgotten since. What is owned does not change any more once the
    fence is there, so it tells as well: a range that is not given away is owned.
    """
    if await fence(state, spec["_id"]) == "committed":
        return True
    while True:
        try:
            row = (await state.news_of(spec["ns"])).get("ownership")
            break
        except MongoError:
            await asyncio.sleep(_RETRY_SECONDS)
    if row is None:
        return False
    own = Ownership(row)
    low, high = (own.pattern.bound_key(spec["range"][side]) for side in ("min", "max"))
    return bytes(own.row["uuid"]) == spec["uuid"] and not own.ranges.covers(low, high)


async def finish(state: ShardingState, spec: Document) -> None:
    """Take over the outcome of a migration that is committed, in one entry."""
    ns, member = spec["ns"], state.member
    while True:
        try:
            reply = await state.news_of(ns)
            break
        except MongoError:
            await asyncio.sleep(_RETRY_SECONDS)
    await state.records.ready()
    task: Document = {
        "_id": spec["_id"], "nss": ns, "collectionUuid": Binary(spec["uuid"], 4),
        "donorShardId": member.shard_name, "range": spec["range"],
        "keyPattern": spec["keyPattern"], "whenToClean": "delayed",
        "timestamp": member.clock.tick(),
    }
    engine = member.engine
    with engine.unit() as unit:
        state.note_ownership(unit, ns, reply.get("ownership"))
        state.records.put(unit, names.DELETIONS, task)
        state.records.remove(unit, names.COORDINATORS, spec["_id"])
        unit.commit()
    await engine.committed(engine.log_end)
    state.wake.set()


async def tell_recipient(state: ShardingState, spec: Document, *, committed: bool) -> None:
    """Tell the outcome; a recipient that does not hear it finds it out by itself."""
    try:
        await state.peer(spec["toHost"]).command("admin", {
            "_shardsvrReceiveEnd": 1, "id": spec["_id"], "ns": spec["ns"], "committed": committed,
        })
    except MongoError as error:
        state.member.world.log.write(
            "W", "SHARDING", 5899113, "The recipient was not told a migration's outcome",
            {"error": str(error)},
        )
