"""The shard's state: ownership by namespace, critical sections, versions checked.

Ownership changes only by entries of this member's log (`shardsvr.sharding.records`). A request
of a router carries the versions it relies on. They are checked when it begins and before each
effect, without an await in between; a request that relies on another version is refused with
StaleConfig or StaleDbVersion. A shard that seems to know less asks the config server first.

While a collection's critical section is closed, requests that carry versions wait before they
begin. A multi-document write that has begun keeps a section from closing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from psdb_base import order
from psdb_base.errors import Code, MongoError
from psdb_base.shard_keys import Ranges
from psdb_base.shard_versions import UNSHARDED, Routed, ShardVersion
from psdb_base.values import Document
from psdb_query.filters import Filter
from psdb_server.command import Request
from psdb_wire.ways import Ways
from shardsvr.sharding import records as names
from shardsvr.sharding.ownership import Guard, Ownership
from shardsvr.sharding.records import Records

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from psdb_store.collection import Collection
    from psdb_store.record import Record
    from shardsvr.member import Member

_REFRESHES_MAX: Final = 2
_WAIT_THEMSELVES: Final = frozenset({
    "_shardsvrMoveRange", "_shardsvrReceiveStart", "cleanupOrphaned",
})
"""Commands that wait for range deletions, and so must not be waited for by one."""
_APPLY_LOOKS: Final = 20
_ADMITTED_MAX: Final = 10_000
_APPLY_SECONDS: Final = 0.025
_ATTEMPTS_MAX: Final = 10_000


class Section:
    """A closed critical section; `opened` is set when it ends.

    Attributes:
        opened: Set at its end.
        busy: How many steps of the change that closed it are under way here.

    """

    __slots__ = ("busy", "opened")

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.busy = 0


class Arrival:
    """A move of a database to here.

    Attributes:
        identifier: The move's id.
        accepted: The config server has said that it is still open, and more may come.
        made: Collections that were made for it.

    """

    __slots__ = ("accepted", "identifier", "made")

    def __init__(self, identifier: bytes) -> None:
        self.identifier = identifier
        self.accepted = False
        self.made: set[str] = set()


class Admitted:
    """What a request on an unsharded collection was once admitted by."""

    __slots__ = ("collections", "databases", "db_key", "ns_key", "record", "version")

    def __init__(
        self, collections: Collection, ns_key: bytes, databases: Collection, db_key: bytes,
        record: Record | None, version: Document,
    ) -> None:
        self.collections = collections
        self.ns_key = ns_key
        self.databases = databases
        self.db_key = db_key
        self.record = record
        self.version = version

    def holds(self, version: Document | None) -> bool:
        """Tell whether it is so still: the database's row is the same, the collection has none."""
        collections, databases = self.collections, self.databases
        return (
            databases.by_id(self.db_key) is self.record and self.ns_key not in collections.ids
            and version == self.version and not databases.dropped and not collections.dropped
        )


class ShardingState:
    """What one member knows as a shard.

    Attributes:
        member: The member.
        records: Its sharding documents.
        sections: Closed critical sections by namespace (or database name).
        multi_writes: Running multi-document writes by namespace.
        incoming: Migrations to here under way, by id.
        arrivals: Databases that move here, by name.
        arriving: Held by each step of such a move.
        donating: The migration away from here under way, None without one.
        idle: Set when a multi-document write ends.
        wake: Set to have range deletions looked at at once.

    """

    def __init__(self, member: Member) -> None:
        self.member = member
        self.records = Records(member)
        self.sections: dict[str, Section] = {}
        self.multi_writes: dict[str, int] = {}
        self.incoming: dict[bytes, Any] = {}
        self.arrivals: dict[str, Arrival] = {}
        self.arriving = asyncio.Lock()
        self.donating: Any = None
        self.idle = asyncio.Event()
        self.wake = asyncio.Event()
        self._attempts: dict[str, Any] = {}
        self._admitted: dict[str, Admitted] = {}
        self._readers: dict[bytes, tuple[list[int] | None, list[int]]] = {}
        self._ways = Ways(self._connect)
        self._office: list[asyncio.Task[Any]] = []
        self._tasks_at: tuple[Any, ...] = ()
        self._tasks: dict[str, list[Document]] = {}

    def reset(self) -> None:
        """End what a time in office had under way: a later primary recovers it from the log."""
        for task in self._office:
            task.cancel()
        self._office = []
        if self.donating is not None:
            self.donating.give_up()
        for section in self.sections.values():
            section.opened.set()
        self.sections = {}
        self.incoming = {}
        self.arrivals = {}
        self.arriving = asyncio.Lock()
        self.donating = None

    def in_office(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something in the background that ends with this time in office."""
        task = self.member.keep(work)
        self._office.append(task)

        def forget(done: asyncio.Task[None]) -> None:
            if done in self._office:
                self._office.remove(done)
            error = None if done.cancelled() else done.exception()
            if error is not None:
                self.member.world.log.write(
                    "W" if isinstance(error, MongoError) else "E", "SHARDING", 7200010,
                    "Work of a shard's primary has failed", {"error": repr(error)},
                )

        task.add_done_callback(forget)

    def donates(self, ns: str) -> bool:
        """Tell whether a part of a collection is on its way to another shard."""
        return self.donating is not None and self.donating.ns == ns

    def open(self, ns: str, section: Section) -> None:
        """Open a section; one that somebody else has closed since stays closed."""
        if self.sections.get(ns) is section:
            del self.sections[ns]
        section.opened.set()

    # -- what is known ---------------------------------------------------------------------------

    def ownership(self, ns: str) -> Ownership | None:
        """Return what this shard owns of a collection, None when it is not sharded."""
        found: Ownership | None = self.records.parsed(names.COLLECTIONS, ns, Ownership)
        return found

    def database(self, db: str) -> Document | None:
        """Return the row of a database whose primary this shard is."""
        return self.records.find(names.DATABASES, db)

    def tasks(self, ns: str) -> list[Document]:
        """Return the range deletions of a collection."""
        collection = self.records.collection(names.DELETIONS)
        if collection is None or not collection.count:
            return []
        at = tuple(collection.records.values())  # tasks change in place, and may be undone
        if at != self._tasks_at:
            self._tasks = {}
            for task in self.records.all(names.DELETIONS):
                self._tasks.setdefault(task["nss"], []).append(task)
            self._tasks_at = at
        return self._tasks.get(ns, [])

    def is_clean(self, ownership: Ownership) -> bool:
        """Tell whether every document of a collection is owned, as the ownership says it."""
        return self.ownership(ownership.ns) is ownership and not self.tasks(ownership.ns)

    def peer(self, host: str) -> Any:
        """Return the way to another member or the config server."""
        return self._ways.to(host)

    async def close(self) -> None:
        """Give up the ways to other members."""
        for way in self._ways.all():
            await way.close()

    def _connect(self, host: str) -> Any:
        if self.member.connect is None:
            raise MongoError(
                Code.SHARDING_STATE_NOT_INITIALIZED, "this member cannot reach other members"
            )
        return self.member.connect(host)

    @property
    def config(self) -> Any:
        """The way to the config server."""
        host = self.member.config_host
        if host is None:
            raise MongoError(
                Code.SHARDING_STATE_NOT_INITIALIZED,
                "this shard was not told where its config server is",
            )
        return self.peer(host)

    # -- admission -------------------------------------------------------------------------------

    def admits(self, request: Request, routed: Routed) -> bool:
        """Tell at once whether a request on one unsharded collection may begin, if that is plain.

        What was found is kept with the records it rests on: while these are the same, it holds.
        """
        target = request.target
        return type(target) is str and self.holds(f"{request.db}.{target}", request.db, routed)

    def holds(self, ns: str, db: str, routed: Routed) -> bool:
        """Tell whether what a request on an unsharded collection relies on plainly holds now."""
        if self.sections or routed.shard is not UNSHARDED:
            return False
        known = self._admitted.get(ns)
        if known is not None and known.holds(routed.database):
            return True
        collections = self.records.collection(names.COLLECTIONS)
        databases = self.records.collection(names.DATABASES)
        if collections is None or databases is None:
            return False
        if routed.database is None or self.mismatch(ns, routed) is not None:
            return False
        if len(self._admitted) > _ADMITTED_MAX:
            self._admitted.clear()
        db_key = order.key(db)
        self._admitted[ns] = Admitted(
            collections, order.key(ns), databases, db_key, databases.by_id(db_key),
            routed.database,
        )
        return True

    async def admit(self, request: Request, routed: Routed, target: Any) -> None:
        """Return when a request may begin; raise StaleConfig or StaleDbVersion when it may not."""
        if routed.sources is not None:
            for source in routed.sources:
                ns = source["ns"]
                await self._admit_one(request, ns, _source_versions(source))
            return
        if type(target) is dict:
            target = next(iter(target.values()), None)  # explain
        name = target if type(target) is str else None
        await self._admit_one(request, f"{request.db}.{name or ''}", routed)

    async def _admit_one(self, request: Request, ns: str, routed: Routed) -> None:
        refreshes = 0
        while True:
            await self._wait_for_sections(request, ns)
            problem = self.mismatch(ns, routed)
            if problem is None:
                return
            if refreshes == _REFRESHES_MAX or not self._may_know_less(ns, routed):
                raise problem
            refreshes += 1
            if not self.member.is_primary:
                await self._wait_to_apply(ns)
            elif self.member.config_host is None:
                raise problem  # a shard that was removed: whoever asks it relies on old routes
            else:
                await self.refresh(ns)  # without the config server nobody can say what holds

    async def _wait_to_apply(self, ns: str) -> None:
        """Give a secondary that is behind the requested version a moment to apply it."""
        before = self.records.get(names.COLLECTIONS, ns)
        for _ in range(_APPLY_LOOKS):
            await asyncio.sleep(_APPLY_SECONDS)
            if self.records.get(names.COLLECTIONS, ns) is not before:
                return

    async def _wait_for_sections(self, request: Request, ns: str) -> None:
        db = ns.partition(".")[0]
        while True:
            section = self.sections.get(ns) or self.sections.get(db)
            if section is None:
                return
            try:
                async with asyncio.timeout(request.op.remaining_seconds()):
                    await section.opened.wait()
            except TimeoutError:
                request.op.check()

    def mismatch(self, ns: str, routed: Routed) -> MongoError | None:
        """Return the error for a request that relies on what does not hold, None when it does."""
        db = ns.partition(".")[0]
        if routed.shard is not None:
            own = self.ownership(ns)
            known = UNSHARDED if own is None else own.version
            if not known.agrees(routed.shard) or ns in self.sections:
                return self._stale(ns, routed.shard, known)
        if routed.database is not None:
            row = self.database(db)
            known_version = None if row is None else row["version"]
            if known_version != routed.database or db in self.sections:
                extra: Document = {"db": db, "vReceived": routed.database}
                if known_version is not None:
                    extra["vWanted"] = known_version
                return MongoError(
                    Code.STALE_DB_VERSION, f"version mismatch for database {db}", extra=extra
                )
        return None

    def _stale(self, ns: str, received: ShardVersion, wanted: ShardVersion) -> MongoError:
        return MongoError(
            Code.STALE_CONFIG,
            f"timestamp mismatch detected for {ns}" if received.timestamp != wanted.timestamp
            else f"version mismatch detected for {ns}",
            extra={
                "ns": ns, "vReceived": received.document, "vWanted": wanted.document,
                "shardId": self.member.shard_name or "",
            },
        )

    def _may_know_less(self, ns: str, routed: Routed) -> bool:
        """Tell whether the config server may have news that a request relies on."""
        own = self.ownership(ns)
        if routed.shard is not None and own is not None and routed.shard.is_sharded:
            known, received = own.version, routed.shard
            if received.timestamp < known.timestamp:
                return False
            if received.timestamp == known.timestamp and received.major < known.major:
                return False
        return True

    # -- during a statement ----------------------------------------------------------------------

    def scope(self, request: Request, name: str) -> Scope:
        """Return what a statement on a collection relies on."""
        routed: Routed | None = request.message.routed or request.generic.routed
        ns = f"{request.db}.{name}"
        if routed is None:
            return Scope(self, ns, None, None)
        if routed.sources is not None:
            found = [row for row in routed.sources if row["ns"] == ns]
            routed = _source_versions(found[0]) if found else Routed()
        own = self.ownership(ns) if routed.shard is not None and routed.shard.is_sharded else None
        return Scope(self, ns, routed, own)

    def shows_all(self, request: Request) -> bool:
        """Tell whether every document of a command's collection may be shown at this moment."""
        routed: Routed | None = request.message.routed or request.generic.routed
        if routed is None or (routed.shard is UNSHARDED and routed.sources is None):
            return True
        return self.scope(request, request.target).shows_all

    def refuse_sharded(self, ns: str) -> None:
        """Raise StaleConfig when a collection that a router takes to be local is sharded."""
        own = self.ownership(ns)
        if own is not None:
            raise self._stale(ns, UNSHARDED, own.version)

    def readers_left(self, task: Document) -> bool:
        """Tell whether somebody who began before a range was given away may still show it.

        The first look notes the operations that run. When these have ended, the collection's
        cursors are noted, and deletion waits for their end too. Whoever began later sees what
        is owned now.
        """
        identifier = bytes(task["_id"])
        member = self.member
        noted = self._readers.get(identifier)
        if noted is None:
            noted = self._readers[identifier] = (None, [
                op.opid for op in member.operations.running.values()
                if op.connection is not None and op.name not in _WAIT_THEMSELVES
            ])
        cursors, operations = noted
        if cursors is None:
            if any(one in member.operations.running for one in operations):
                return True
            cursors = [c.id for c in member.cursors.open.values() if c.ns == task["nss"]]
            self._readers[identifier] = (cursors, operations)
        if any(one in member.cursors.open for one in cursors):
            return True
        del self._readers[identifier]
        return False

    async def writers_end(self, ns: str, seconds: float) -> None:
        """Wait until no multi-document write of a collection, or of a database, is running.

        Raises:
            MongoError: 24 LockBusy when one does not end.

        """
        try:
            async with asyncio.timeout(seconds):
                while any(ns in (one, one.partition(".")[0]) for one in list(self.multi_writes)):
                    self.idle.clear()
                    await self.idle.wait()
        except TimeoutError:
            raise MongoError(
                Code.LOCK_BUSY, f"a multi-document write of {ns} does not end"
            ) from None

    async def multi_write(self, ns: str, work: Callable[[], Awaitable[Any]]) -> Any:
        """Run a multi-document write; no section of its collection closes meanwhile."""
        self.multi_writes[ns] = self.multi_writes.get(ns, 0) + 1
        try:
            return await work()
        finally:
            self.multi_writes[ns] -= 1
            if not self.multi_writes[ns]:
                del self.multi_writes[ns]
                self.idle.set()

    # -- attempts at a statement -----------------------------------------------------------------

    def begin_attempt(self, attempt: Document) -> None:
        """Note the latest attempt at a statement; an earlier one has no effect any more.

        A router that looks for what a statement without the shard key is to hit begins one on
        all shards. What it saw was before any effect of an earlier attempt, or that effect itself:
        a message of the earlier one that is still on its way must not be carried out.
        """
        of = attempt["of"]
        self._attempts.pop(of, None)
        self._attempts[of] = attempt["id"]
        if len(self._attempts) > _ATTEMPTS_MAX:
            del self._attempts[next(iter(self._attempts))]

    def check_attempt(self, attempt: Document) -> None:
        """Raise 112 WriteConflict for an attempt that a later one has overtaken."""
        if self._attempts.get(attempt["of"], attempt["id"]) != attempt["id"]:
            raise MongoError(
                Code.WRITE_CONFLICT, "another attempt at this statement has begun meanwhile"
            )

    # -- news from the config server -------------------------------------------------------------

    async def refresh(self, ns: str) -> None:
        """Take over from the config server what this shard owns of a collection.

        A pending range deletion within what is owned now was a migration to here that has been
        committed: it goes in the same entry.
        """
        before = self.records.get(names.COLLECTIONS, ns)
        reply = await self.news_of(ns)
        await self.records.ready()
        if ns in self.sections:
            return  # its outcome is about to be learnt and logged by the migration itself
        if self.records.get(names.COLLECTIONS, ns) is not before:
            return  # somebody else has learnt something meanwhile
        engine = self.member.engine
        with engine.unit() as unit:
            self.note_ownership(unit, ns, reply.get("ownership"))
            if ns.partition(".")[0] not in self.sections:
                self.note_database(unit, ns.partition(".")[0], reply.get("database"))
            unit.commit()
        await engine.committed(engine.log_end)

    async def news_of(self, ns: str) -> Document:
        """Ask the config server what this shard owns; it sends what has changed since it knew.

        Returns:
            `ownership` and `database`, whole rows or None.

        """
        own = self.ownership(ns)
        command: Document = {
            "_configsvrGetOwnership": 1, "ns": ns, "shard": self.member.shard_name,
        }
        if own is not None:
            command["timestamp"], command["since"] = own.age
        reply: Document = await self.config.command("admin", command)
        row = reply.get("ownership")
        if own is not None and row is not None and "changed" in row:
            reply["ownership"] = own.updated(row)
        return reply

    def note_ownership(self, unit: Any, ns: str, row: Document | None) -> None:
        """Put what the config server says into a unit, unless something newer is known."""
        known = self.ownership(ns)
        if row is None:
            if known is not None:
                self.records.remove(unit, names.COLLECTIONS, ns)
            return
        new = Ownership(row)
        if known is not None and known.age > new.age:
            return
        self.records.put(unit, names.COLLECTIONS, row)
        key = new.pattern.bound_key
        for task in list(self.tasks(ns)):
            low, high = key(task["range"]["min"]), key(task["range"]["max"])
            if task.get("pending") and new.ranges.covers(low, high):
                self.records.remove(unit, names.DELETIONS, task["_id"])

    def note_database(self, unit: Any, db: str, row: Document | None) -> None:
        """Put what the config server says of a database into a unit."""
        if row is None or row["primary"] != self.member.shard_name:
            if self.database(db) is not None:
                self.records.remove(unit, names.DATABASES, db)
            return
        self.records.put(unit, names.DATABASES, row)


def _source_versions(row: Document) -> Routed:
    version = row.get("shardVersion")
    return Routed(
        None if version is None else ShardVersion.parse(version), row.get("databaseVersion")
    )


class Scope:
    """What one statement relies on.

    Attributes:
        routed: The versions, None for a client that speaks to the shard directly.
        ownership: What the shard owned when the statement began, None where nothing is sharded.

    """

    __slots__ = ("_db", "_ns", "_state", "ownership", "routed")

    def __init__(
        self, state: ShardingState, ns: str, routed: Routed | None, ownership: Ownership | None
    ) -> None:
        self._state = state
        self._ns = ns
        self._db = ns.partition(".")[0]
        self.routed = routed
        self.ownership = ownership

    @property
    def supplied(self) -> Document | None:
        """The document that an upsert inserts, where the router has made it."""
        return None if self.routed is None else self.routed.upserted

    def is_of(self, ns: str) -> bool:
        """Tell whether the statement's own collection has this name."""
        return self._ns == ns

    def check(self) -> None:
        """Raise when what the statement relies on does not hold (any more)."""
        routed = self.routed
        if routed is not None and routed.attempt is not None:
            self._state.check_attempt(routed.attempt)
        if routed is not None and not self._state.holds(self._ns, self._db, routed):
            problem = self._state.mismatch(self._ns, routed)
            if problem is not None:
                raise problem

    def guarded(self, filter_: Filter, *, writes: bool = False, at_once: bool = False) -> Filter:
        """Return a filter that shows only what the shard owns.

        Args:
            filter_: The statement's own.
            writes: The statement is checked again before each of its effects.
            at_once: The whole statement is run before anything else happens.

        """
        own = self.ownership
        if own is None or self.routed is None:
            return filter_
        if at_once and self.routed.ranges is None and self._state.is_clean(own):
            return filter_
        ranges = None
        if self.routed.ranges is not None:
            key = own.pattern.bound_key
            ranges = Ranges((key(row["min"]), key(row["max"])) for row in self.routed.ranges)
        # A multi-document write keeps its section open: it needs no check, and must not stop.
        guard = Guard(self._state, own, ranges, self.check if writes else None)
        return filter_.guarded(guard)

    @property
    def shows_all(self) -> bool:
        """Every document of the collection may be counted at this moment."""
        own = self.ownership
        return own is None or (
            self.routed is not None and self.routed.ranges is None and self._state.is_clean(own)
        )
