"""The replica-set member: a node with a storage engine.

Every command that writes answers only when the log's end, as it stood when the command was
executed, is committed: success, no-op, error and the answer to a retry alike, so that no
answer rests on what may be undone.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar

from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64
from bson.timestamp import Timestamp

from psdb_base import order
from psdb_base.errors import Code, MongoError
from psdb_base.limits import PROFILING_MODES, SESSION_IDLE_MINUTES
from psdb_base.values import Document
from psdb_base.world import World
from psdb_query.context import CompileContext, Env, make_env
from psdb_server.command import CommandTable, RawReply, Reply, Request
from psdb_server.fields import is_number
from psdb_server.node import Node
from psdb_server.operations import Operation
from psdb_server.replies import document_elements
from psdb_store.collection import Collection
from psdb_store.committed import Committed
from psdb_store.engine import Engine
from psdb_store.options import StoreOptions
from psdb_wire.connection import Connection, Handler
from shardsvr import compatibility, replicated_writes, spill, ttl
from shardsvr.backups import Backups
from shardsvr.patience import waiting
from shardsvr.profiler import Profiler
from shardsvr.session_turns import SessionTurns
from shardsvr.settings import DEFAULT_MAX_TIME, WRITE_BLOCK, Settings, default_concern
from shardsvr.sharding import config_servers, recovery
from shardsvr.sharding.state import ShardingState
from shardsvr.usage import Usage
from shardsvr.validation import Validators
from shardsvr.write_gate import WriteGate

if TYPE_CHECKING:
    from shardsvr.replication.replica_set import ReplicaSet

T = TypeVar("T")
HISTORY_WINDOW: Final = "minSnapshotHistoryWindowInSeconds"
_SHARD_IDENTITY: Final = order.key("shardIdentity")


class Member(Node):
    """A member that serves reads and writes from its own engine.

    Attributes:
        engine: The storage engine of this member's dbpath.
        store_options: Settings of the engine; change them before `start`.
        validators: Compiled validators of collections.
        replica_set: The replication side, None on a standalone.
        gate: Holds writes back while `fsync` has locked the member.
        profiler: What of which database is profiled.
        usage: How much each namespace was used.
        backups: Backups under way.
        settings: What the whole cluster is set to.
        given_config_host: Where the config server is when that is not stored.
        connect: Makes the way to another server of the cluster by its `host`.
        sharding: What it knows as a shard.
        locks: Of collections and databases that a change of the catalogue works on.
        ttl_reset: Set when the pause of the TTL monitor is another one.

    """

    role = "mongod"
    is_config_server = False

    def __init__(
        self, world: World, table: CommandTable, options: Document, dbpath: str
    ) -> None:
        super().__init__(world, table, options)
        self.dbpath = dbpath
        self.store_options = StoreOptions()
        self.validators = Validators(world.log)
        self._writer: Connection | None = None
        self.gate = WriteGate()
        profiling: Document = options.get("operationProfiling", {})
        self.profiler = Profiler(PROFILING_MODES.index(profiling.get("mode", "off")))
        self.usage: dict[str, Usage] = {}
        self.settings = Settings(self)
        self.backups = Backups()
        self.given_config_host: str | None = None
        self._identity: tuple[Any, Document] = (None, {})
        self.connect: Callable[[str], Any] | None = None
        self.sharding = ShardingState(self)
        self.ttl_passes = 0
        self.ttl_reset = asyncio.Event()
        self.ttl_deleted = 0
        self.replica_set: ReplicaSet | None = None
        name = options.get("replication", {}).get("replSetName")
        if name:
            from shardsvr.replication.replica_set import ReplicaSet

            self.replica_set = ReplicaSet(self, name)
        self.locks: dict[str, asyncio.Lock] = {}
        self._changes: list[asyncio.Task[Any]] = []
        self._turns = SessionTurns()
        self.engine: Engine

    @property
    def handler(self) -> Handler:
        """Messages between members, which want no answer, do not go the way of commands."""
        return self.handle if self.replica_set is None else self.replica_set.handle

    async def start(self) -> None:
        """Open the engine (recovering from its files) and begin background work."""
        if self.replica_set is not None:
            self.store_options = dataclasses.replace(self.store_options, alone=False)
        self.store_options = dataclasses.replace(
            self.store_options, history_ms=self.parameters[HISTORY_WINDOW] * 1000
        )
        self.engine = await Engine.open(
            self.world, self.dbpath, clock=self.clock, options=self.store_options
        )
        spill.sweep(self)
        if self.replica_set is not None:
            self.replica_set.start()
        elif self.engine.memberships:
            await self.engine.close()
            raise MongoError(
                Code.INVALID_REPLICA_SET_CONFIG,
                "this dbpath belongs to the replica set "
                f"{self.engine.memberships[-1][1]['_id']}: start it with --replSet",
            )
        else:
            await self.take_up_office()
        await super().start()
        self.spawn(ttl.monitor(self))
        recovery.start(self)
        self.spawn(config_servers.follow(self))

    async def take_up_office(self) -> None:
        """Write what a primary sees to before it serves: on a standalone at the start."""
        await compatibility.ensure(self)
        recovery.take_up(self)

    def leave_office(self) -> None:
        """End what only a primary does."""
        self.sharding.reset()

    def parameter_changed(self, name: str) -> None:
        """Keep as much history as was asked for, from now on; wake who waits for a time."""
        if name == ttl.SLEEP:
            self.ttl_reset.set()
        if name == HISTORY_WINDOW:
            history_ms: int = self.parameters[HISTORY_WINDOW] * 1000
            self.store_options = dataclasses.replace(self.store_options, history_ms=history_ms)
            self.engine.keep_history(history_ms)

    @property
    def is_primary(self) -> bool:
        """Whether this member takes writes."""
        return self.replica_set is None or self.replica_set.is_primary

    def status_sections(self) -> Document:
        """Sections of `serverStatus` that only a member has."""
        return {
            **({} if self.replica_set is None else {"repl": self.describe_role("ismaster")}),
            "ttl": {
                "deletedDocuments": Int64(self.ttl_deleted), "passes": Int64(self.ttl_passes),
            },
            "storageEngine": {"name": "psdb", "persistent": True, **self.engine.stats()},
        }

    @property
    def shard_name(self) -> str | None:
        """The shard this member belongs to, None outside a cluster."""
        return self._stored_identity().get("shardName")

    @property
    def config_host(self) -> str | None:
        """Where that cluster's config servers are."""
        stored: str | None = self._stored_identity().get("configsvrConnectionString")
        return stored or self.given_config_host

    def _stored_identity(self) -> Document:
        """Return what `admin.system.version` says of this shard now, on every member of a set."""
        collection = self.engine.collection("admin", compatibility.COLLECTION)
        record = None if collection is None else collection.by_id(_SHARD_IDENTITY)
        if record is not self._identity[0]:
            self._identity = record, {} if record is None else record.document()
        return self._identity[1]

    async def reap(self) -> None:
        """Forget retryable writes of sessions that wrote nothing for thirty minutes."""
        await super().reap()
        self.engine.versions.collect(self.world.clock.now_ms())
        self.backups.expire(self.world.clock.monotonic())
        if self.gate.locks or not self.is_primary:
            return
        horizon = self.world.clock.now_ms() - SESSION_IDLE_MINUTES * 60_000
        idle = self.engine.sessions.idle_since(horizon)
        if idle:
            await self.catalogue(self.engine.forget_sessions(idle))

    async def before_shutdown(self, *, force: bool, timeout_seconds: int) -> None:
        """Give office away first; 262 when nobody can take it in time and `force` is not set."""
        if self.replica_set is not None:
            from shardsvr.replication import handover

            await handover.before_shutdown(self.replica_set, timeout_seconds, force=force)

    async def stop(self) -> None:
        """Hand office over, stop serving, write a checkpoint, release the dbpath."""
        if self.replica_set is not None:
            await self.replica_set.stop()
        await super().stop()
        await self.sharding.close()
        await self.engine.close()

    async def execute(self, request: Request) -> Any:
        """Run a command; hold its answer until what it rests on is committed."""
        command = request.command
        concern = request.generic.read_concern
        replica_set = self.replica_set
        if replica_set is not None:
            await replica_set.admit(request)
        if concern:
            await self._wait_for_read_time(request)
        lone = request.connection is self._writer
        profiler = self.profiler
        if profiler.active and profiler.level(request.db).level:
            request.op.profiled = True
        routed = request.message.routed or request.generic.routed
        if routed is not None and not self.sharding.admits(request, routed):
            await self.sharding.admit(request, routed, request.target)
        if not command.writes:
            if command.read_concern and self.settings.any_set:
                concern = concern or default_concern(self.settings, "defaultReadConcern")
                self._limit_read(request)
            level = concern.get("level") if concern else None
            request.op.committed = level == "majority"
            reply = await super().execute(request)
            if level == "linearizable":
                await self.linearize()
            return reply
        self._writer = request.connection
        if self.settings.any_set and self.settings.get(WRITE_BLOCK):
            check_write_block(request)
        if replica_set is not None:
            return await replicated_writes.execute(self, replica_set, request)
        try:
            reply = await self.run_write(request)
        except MongoError:
            await self.engine.committed(self.engine.log_end, lone=lone)
            raise
        await self.engine.committed(self.engine.log_end, lone=lone)
        return with_write_concern(reply, self.write_concern(request))

    async def linearize(self) -> None:
        """Return when what a read showed is committed, and was the latest in the whole set."""
        await self.engine.committed(self.engine.log_end)
        if self.replica_set is not None:
            await self.replica_set.linearize()

    def check_writable(self) -> None:
        """Raise 10107 unless this member takes writes; for commands that write in some forms."""
        if not self.is_primary:
            raise MongoError(Code.NOT_WRITABLE_PRIMARY, "not primary")

    async def write_through(
        self, request: Request, run: Callable[[], Coroutine[Any, Any, Reply]]
    ) -> Reply:
        """Run what writes within a command that else reads (`$out`, `$merge`, `mapReduce`).

        It is held to all that holds for commands that always write: the block of users' writes,
        the lock of `fsync`, the wait for the log, the write concern.
        """
        if self.settings.get(WRITE_BLOCK):
            check_write_block(request)

        async def behind_the_gate() -> Reply:
            async with self.gate.passage(request.op):
                return await run()

        if self.replica_set is not None:
            reply: Reply = await replicated_writes.execute(
                self, self.replica_set, request, behind_the_gate
            )
            return reply
        try:
            reply = await behind_the_gate()
        finally:
            await self.engine.committed(self.engine.log_end)
        return with_write_concern(reply, self.write_concern(request))

    async def run_write(self, request: Request) -> Any:
        """Run the handler of a command that writes, unless `fsync` has locked the member."""
        if request.command.passes_lock:
            return await super().execute(request)
        gate = self.gate
        await gate.enter(request.op)
        try:
            if request.generic.txn_number is None:
                return await super().execute(request)
            return await self._execute_in_turn(request)
        finally:
            gate.leave()

    def write_concern(self, request: Request) -> Document:
        """Return the write concern of a command, the cluster's default where it names none."""
        concern = request.generic.write_concern
        if concern or not request.command.write_concern or not self.settings.any_set:
            return concern
        return default_concern(self.settings, "defaultWriteConcern")

    def _limit_read(self, request: Request) -> None:
        """Set the cluster's default time limit for a read that brings none."""
        limit = self.settings.get(DEFAULT_MAX_TIME).get("readOperations")
        if limit and "maxTimeMS" not in request.body:
            request.op.limit(int(limit))

    def slow_fields(self, op: Operation) -> Document:
        """Return the plan in a few words, and what it looked at."""
        if op.execution is None and not (op.by_id or op.counted):
            return {}
        from shardsvr import profiler

        fields = profiler.execution_fields(op)
        return {"planSummary": fields["planSummary"], **profiler.figures(op)}

    def lock_fields(self) -> Document:
        """Tell of `fsync` with lock."""
        if not self.gate.locks:
            return {}
        return {
            "fsyncLock": True,
            "info": "use db.fsyncUnlock() to terminate the fsync write/snapshot lock",
        }

    def ended(
        self, op: Operation, micros: int, raw: bytes | None, error: Exception | None
    ) -> None:
        """Count an operation for `top`; keep it where its database is profiled."""
        ns = op.ns
        if ns != op.db:
            usage = self.usage.get(ns)
            if usage is None:
                usage = self.usage[ns] = Usage()
            usage.add(op.name, micros)
        if op.profiled:
            from shardsvr import profiler

            profiler.record(self, op, micros, raw, error)

    async def _execute_in_turn(self, request: Request) -> Any:
        """Run a retryable write when the session's earlier one has ended."""
        lsid = request.generic.lsid
        assert lsid is not None
        with waiting():
            await self._turns.take(lsid)
        try:
            return await super().execute(request)
        finally:
            self._turns.release(lsid)

    async def _wait_for_read_time(self, request: Request) -> None:
        """Honour `afterClusterTime`: one member has applied every time it has given out."""
        after = request.generic.read_concern.get("afterClusterTime")
        if after is None:
            return
        if after == Timestamp(0, 0):
            raise MongoError(
                Code.INVALID_OPTIONS, "afterClusterTime cannot be a null timestamp"
            )
        if after > self.clock.now:
            raise MongoError(
                Code.INVALID_OPTIONS,
                "readConcern afterClusterTime value must not be greater than the current "
                "clusterTime",
            )
        committed = request.generic.read_concern.get("level") == "majority"
        if self.replica_set is not None:
            await self.replica_set.wait_for_time(request, after, committed=committed)
        elif committed and self.engine.versions.committed_time < after:
            await self.engine.committed(self.engine.log_end)

    async def catalogue(self, change: Coroutine[Any, Any, T], *, works: bool = False) -> T:
        """Carry a catalogue change through, also when the client that asked for it goes away.

        Args:
            change: The change. Its time is spent on waiting for commits.
            works: Unless it does long work, and itself tells when it is `waiting`.

        """
        task = self.carry(change)
        if works:
            return await asyncio.shield(task)
        with waiting():
            return await asyncio.shield(task)

    def carry(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin what is carried through; it ends, at the latest, when the engine leaves office."""
        task = asyncio.get_running_loop().create_task(work)
        self._changes.append(task)
        task.add_done_callback(self._changes.remove)
        return task

    def keep(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something in the background that ends by itself, or when this member stops."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.append(task)  # type: ignore[arg-type]
        task.add_done_callback(self._tasks.remove)  # type: ignore[arg-type]
        return task

    def operation_time(self, op: Operation | None) -> Timestamp:
        """Cluster time of the newest entry in the log, or of what the operation could see of it."""
        if op is not None and op.committed:
            return self.engine.versions.committed_time
        return self.engine.last_timestamp

    def committed_of(self, op: Operation, collection: Collection) -> Committed | None:
        """Return a collection's committed state where an operation reads that; None: the latest.

        What is virtual shows nothing else.
        """
        if not op.committed or collection.virtual:
            return None
        return Committed(collection, self.engine.versions)

    def describe_role(self, primary: str) -> Document:
        """Fields of `hello`: a member without a replica-set name is a standalone."""
        if self.replica_set is None:
            return {primary: True}
        from shardsvr.replication import status

        return status.describe(self.replica_set, primary)

    def default_host(self) -> str:
        """Return this member's address for `replSetInitiate` without a configuration."""
        port = self.host.rpartition(":")[2]
        address = str(self.options.get("net", {}).get("bindIp", "")).split(",")[0].strip()
        everywhere = ("", "*", "0.0.0.0", "::")  # noqa: S104 -- compared, not bound
        return f"{address}:{port}" if address not in everywhere else self.host

    def context(
        self, collation: Document | None = None, let: Document | None = None, *,
        api_strict: bool = False, scripts: bool = False,
    ) -> CompileContext:
        """Make the compile context of one command, with a script engine if it may call one."""
        from psdb_query.collation import Collation

        return CompileContext(
            collation=Collation.parse(collation) if collation else None,
            variables=frozenset(let or ()),
            random=self.world.random.random,
            api_strict=api_strict,
            javascript=self.scripts() if scripts else None,
        )

    def env(self, let: Document | None = None) -> Env:
        """Make the environment of one execution; `let` holds expressions over constants."""
        now = DatetimeMS(self.world.clock.now_ms())
        env = make_env(now, self.clock.now)
        if let:
            from psdb_query.expressions.variables import evaluate_let

            env.update(evaluate_let(let, self.context(), env))
        return env

    def internal_operation(self, name: str, db: str) -> Operation:
        """Begin an operation of the server's own (TTL, index builds)."""
        return self.operations.begin(None, name, db)


def check_write_block(request: Request) -> None:
    """Raise 373 for a user's write while `setUserWriteBlockMode` refuses them."""
    if request.db not in ("admin", "config", "local") or request.command.name in _ON_ADMIN:
        raise MongoError(Code.USER_WRITES_BLOCKED, "User writes blocked")


_ON_ADMIN: Final = ("bulkWrite", "renameCollection")
"""Commands on admin that write to databases of users."""


def with_write_concern(reply: Reply, concern: Document) -> Reply:
    """Return a write's reply, with `writeConcernError` when its concern cannot be met."""
    return with_failure(reply, write_concern_failure(concern) if concern else None)


def with_failure(reply: Reply, failure: Document | None) -> Reply:
    """Return a write's reply with this `writeConcernError`, as it is for None."""
    if failure is None:
        return reply
    if isinstance(reply, RawReply):
        return RawReply(reply.elements + document_elements({"writeConcernError": failure}))
    assert isinstance(reply, dict)
    reply["writeConcernError"] = failure
    return reply


def write_concern_failure(concern: Document) -> Document | None:
    """Tell why a write concern cannot be met on one member, None when it can."""
    w = concern.get("w", 1)
    shown = {"writeConcern": {"w": w, "wtimeout": int(concern.get("wtimeout", 0))}}
    if is_number(w) and int(w) > 1:
        return {
            "code": int(Code.UNSATISFIABLE_WRITE_CONCERN),
            "codeName": "UnsatisfiableWriteConcern",
            "errmsg": "Not enough data-bearing nodes",
            "errInfo": shown,
        }
    if type(w) is str and w != "majority":
        return {
            "code": int(Code.UNKNOWN_REPL_WRITE_CONCERN),
            "codeName": "UnknownReplWriteConcern",
            "errmsg": f"No write concern mode named '{w}' found in replica set configuration",
            "errInfo": shown,
        }
    return None
