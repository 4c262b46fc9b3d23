"""What a member is in its replica set: its state, its way to the others, who waits for what.

A member started with `--replSet` is of no set until `replSetInitiate` founds one on it, or the
leader of one adds it: the first message of Raft that names this member's id makes it a learner.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final

from bson.timestamp import Timestamp

from psdb_base.addresses import split_address
from psdb_base.bson_codec import decode, encode
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_raft.messages import (
    Append,
    Heartbeat,
    HeartbeatResponse,
    InstallSnapshot,
    Message,
    from_fields,
    to_fields,
)
from psdb_raft.values import RoleChange
from psdb_server.command import Request
from psdb_server.fields import CHECKS
from psdb_server.operations import shutting_down
from psdb_store.engine import Engine
from psdb_wire.connection import Connection, Result
from psdb_wire.frames import MORE_TO_COME, build_op_msg
from psdb_wire.frames import Message as WireMessage
from shardsvr.replication import concern as concerns
from shardsvr.replication import handover, membership
from shardsvr.replication.config import MemberConfig, ReplSetConfig
from shardsvr.replication.driver import (
    Driver,
    not_primary,
    raft_config,
    settings_of,
    stepped_down,
)
from shardsvr.replication.heartbeats import Heartbeats, PeerView
from shardsvr.replication.links import Parts, Peers, with_binary
from shardsvr.replication.oplog import OPLOG, LocalCollections
from shardsvr.replication.snapshots import Snapshots

if TYPE_CHECKING:
    from shardsvr.member import Member

STARTUP: Final = 0
PRIMARY: Final = 1
SECONDARY: Final = 2
RECOVERING: Final = 3
STARTUP2: Final = 5
DOWN: Final = 8
REMOVED: Final = 10
_RAFT_FIELD: Final = b"\x10_replSetRaft\0"
STATE_NAMES: Final = {
    STARTUP: "STARTUP", PRIMARY: "PRIMARY", SECONDARY: "SECONDARY", RECOVERING: "RECOVERING",
    STARTUP2: "STARTUP2", DOWN: "(not reachable/healthy)", REMOVED: "REMOVED",
}


class ReplicaSet:
    """The replication side of one member.

    Attributes:
        member: The node.
        name: As given by `--replSet`.
        config: The configuration in effect, None before there is one.
        driver: Runs the core; None before the member belongs to a set.
        is_primary: It takes writes.
        is_removed: The primary said that this member is not in its configuration any more.
        change_in_progress: The configuration is being changed.
        changes_itself: It is, and nobody asked: a learner becomes a voter, or a folder is new.
        installing: A snapshot is being installed.
        election_time: Cluster time of the last election won here, and its wall time in ms.
        heartbeats: What the other members last said of themselves.

    """

    def __init__(self, member: Member, name: str) -> None:
        self.member = member
        self.name = name
        self.config: ReplSetConfig | None = None
        self.driver: Driver | None = None
        self.is_primary = False
        self.is_removed = False
        self.installing = False
        self.election_time = Timestamp(0, 0)
        self.election_wall = 0
        self.change_in_progress = False
        self.changes_itself = False
        self.peers = Peers(member.world, self._on_down)
        self.heartbeats: Heartbeats = Heartbeats(self)
        self.local = LocalCollections(self)
        self.snapshots = Snapshots(self)
        self._last_lines: tuple[list[bytes], bytes] = ([], b"")
        self._asking: dict[str, asyncio.Future[Document]] = {}
        self._addresses: dict[str, str] = {}
        self._progress_waiters: list[asyncio.Future[None]] = []
        self._promotion: asyncio.Task[None] | None = None

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take up the role that the log gives this member."""
        engine = self.member.engine
        engine.refusal = engine.failure or not_primary()
        if engine.memberships:
            config = ReplSetConfig.parse(engine.memberships[-1][1])
            if config.name != self.name:
                raise MongoError(
                    Code.INVALID_REPLICA_SET_CONFIG,
                    f"Local replica set configuration document set name of {config.name} does not "
                    f"match command line --replSet name of {self.name}",
                )
            self.run(str(config.set_id))
            self._take_config(config)
        self.heartbeats.start()

    def run(self, group: str) -> Driver:
        """Make the core and let it run, as a member of the set with this id."""
        driver = Driver(self.member.world, self.member.engine, group)
        driver.on_role = self._on_role
        driver.on_config = self._take_config
        driver.on_progress = self._on_progress
        driver.send = self._send
        driver.on_snapshot = self.snapshots.send
        driver.on_install = self._install
        driver.applies = lambda: self.member.fail_points.fire("rsSyncApplyStop") is None
        self.driver = driver
        driver.start()
        return driver

    async def stop(self) -> None:
        """Hand office over if there is an heir, then take no part any more."""
        await handover.before_stop(self, 5.0)
        self.heartbeats.stop()
        self.snapshots.close()
        if self._promotion is not None:
            self._promotion.cancel()
        if self.driver is not None:
            self.driver.close()
        # What is not committed may never be: it stays in the log, outside the last checkpoint.
        self.member.engine.leave_office(not_primary(), shutting_down())
        await self.peers.close()
        self._wake_all()

    # -- state -----------------------------------------------------------------------------------

    @property
    def own(self) -> MemberConfig | None:
        """This member's row of the configuration in effect."""
        if self.config is None:
            return None
        return self.config.by_member_id(self.member.engine.member.id)

    @property
    def own_host(self) -> str:
        """This member's address, as the others know it."""
        own = self.own
        return self.member.host if own is None else own.host

    @property
    def state(self) -> int:
        """The member's state by MongoDB's numbers."""
        if self.driver is None or self.config is None:
            return STARTUP if self.driver is None else STARTUP2
        if self.own is None or self.is_removed:
            return REMOVED
        if self.is_primary:
            return PRIMARY
        if self.member.engine.failure is not None:
            return RECOVERING
        return STARTUP2 if self.installing else SECONDARY

    @property
    def state_name(self) -> str:
        """The member's state by MongoDB's names."""
        return STATE_NAMES[self.state]

    @property
    def leader(self) -> MemberConfig | None:
        """The primary as far as this member knows."""
        driver = self.driver
        if driver is None or self.config is None or driver.core.leader is None:
            return None
        if driver.core.leader == self.member.engine.member.id and not self.is_primary:
            return None
        return self.config.by_member_id(driver.core.leader)

    @property
    def term(self) -> int:
        """The present term."""
        return self.member.engine.member.term if self.driver is None else self.driver.core.term

    # -- messages --------------------------------------------------------------------------------

    def handle(
        self, connection: Connection, wire_message: WireMessage
    ) -> Awaitable[Result] | None:
        """Answer a message over a socket: those of the core at once, all else as a command.

        A set exchanges many times more of them than clients send commands. They want no answer,
        take no time and are listed nowhere; only a fail point has them go the way of commands.
        """
        member = self.member
        if (
            not wire_message.flags & MORE_TO_COME
            or not wire_message.body.startswith(_RAFT_FIELD, 4)
            or not connection.hello_done
            or member.fail_points.active
        ):
            return member.handle(connection, wire_message)
        try:
            self.take(decode(wire_message.body))
        except Exception as error:  # noqa: BLE001 -- as for commands; this says so in the log
            member.error_message(error, wire_message)
        return None

    def take(self, body: Document) -> None:
        """Take in a message of the core that names its sender's address."""
        self.receive(body, CHECKS["string"](body.get("host"), "_replSetRaft.host"))

    def receive(self, body: Document, sender: str) -> None:
        """Take in a message of another member's core."""
        try:
            lines = bytes(body["e"]).split(b"\n") if "e" in body else None
            message = from_fields(body["m"], lines)
            time = body.get("time")
        except (KeyError, TypeError, ValueError, AssertionError) as error:
            raise MongoError(Code.FAILED_TO_PARSE, f"not a message of a member: {error}") from None
        own_id = self.member.engine.member.id
        if body.get("set") != self.name or message.to != own_id:
            return
        if self.driver is None:
            if self.change_in_progress or self.member.engine.log_end:
                return  # its data are of no set: they cannot become those of this one
            self.run(message.group)
        driver = self.driver
        assert driver is not None
        if message.group != driver.core.group:
            return
        if type(time) is Timestamp:
            self.member.clock.observe(time)
        if lines and self.member.fail_points.fire("stopReplProducer") is not None:
            return  # as if it were lost; who leads is heard all the same
        if message.sender not in self._addresses and not self._is_configured(message.sender):
            self._addresses[message.sender] = sender
            self._keep_links()
        driver.step(message)

    def _is_configured(self, member_id: str) -> bool:
        """Tell whether the configuration has the address of a member."""
        return self.config is not None and self.config.by_member_id(member_id) is not None

    def _send(self, message: Message, lines: list[bytes]) -> None:
        host = self.address(message.to)
        if host is None:
            return
        document = self._envelope(message)
        if lines:
            body = with_binary(document, "e", self._joined(lines))
        else:
            body = encode(document)
        sent = self.peers.send(host, body)
        if not sent and type(message) is Append and self.driver is not None:
            driver = self.driver
            asyncio.get_running_loop().call_soon(driver.unreachable, message.to)

    def _set_pulses(self) -> None:
        """Say what goes out beside what this member's loop sends: it leads, or follows, and lives.

        Both messages promise nothing: a heartbeat that commits nothing, the answer to none. So
        they may be sent without asking the loop, whose turns with documents of 16 MB, on a machine
        that has other things to do, leave it no time for heartbeats for longer than an election
        takes. What they say ends with the office, or with the belief in the leader.
        """
        pulses, driver = self.member.world.pulses, self.driver
        if pulses is None or driver is None:
            return
        core = driver.core
        found: dict[tuple[str, int], bytes] = {}
        for to in core.progress if core.is_leader else [core.leader]:
            host = None if to is None else self.address(to)
            if to is None or host is None:
                continue
            head: dict[str, Any] = {
                "group": core.group, "sender": core.id, "to": to, "term": core.term,
            }
            message: Message = (
                Heartbeat(**head, commit=0, round=0) if core.is_leader
                else HeartbeatResponse(**head, round=0)
            )
            body = encode(self._envelope(message))
            found[split_address(host)] = build_op_msg(0, 0, body, flags=MORE_TO_COME)
        pulses.send(found)

    def _envelope(self, message: Message) -> Document:
        return {
            "_replSetRaft": 1, "set": self.name, "host": self.own_host,
            "time": self.member.clock.now, "m": to_fields(message), "$db": "admin",
        }

    def _joined(self, lines: list[bytes]) -> bytes:
        """Join lines; all followers mostly get the same ones."""
        if lines != self._last_lines[0]:
            self._last_lines = lines, b"\n".join(lines)
        return self._last_lines[1]

    def address(self, member_id: str) -> str | None:
        """Return the address of a member, None when it is not known."""
        row = None if self.config is None else self.config.by_member_id(member_id)
        return self._addresses.get(member_id) if row is None else row.host

    def _keep_links(self) -> None:
        hosts: dict[str, None] = {}
        own_id = self.member.engine.member.id
        if self.config is not None:
            for row in self.config.members:
                if row.member_id != own_id:
                    hosts[row.host] = None
                    self._addresses.pop(row.member_id, None)
        for host in self._addresses.values():
            hosts[host] = None
        hosts.pop(self.own_host, None)
        self.peers.keep(list(hosts))

    def _on_down(self, host: str) -> None:
        """Stand for election at once when it is the leader that cannot be reached any more."""
        driver = self.driver
        if driver is None:
            return
        leader = driver.core.leader
        if leader is not None and self.address(leader) == host:
            driver.core.campaign_now()
        elif self.config is not None and (row := self.config.by_host(host)) is not None:
            driver.core.gone(row.member_id)
            driver.schedule()

    async def _install(self, message: InstallSnapshot) -> Engine:
        """Replace this member's store by a snapshot; it serves no reads meanwhile."""
        member = self.member
        self.installing = True
        member.topology_has_changed()
        try:
            member.engine.leave_office(not_primary(), stepped_down())
            engine = await self.snapshots.install(message)
            engine.refusal = engine.failure or not_primary()
            old, member.engine = member.engine, engine
            old.leave_office(not_primary(), stepped_down())  # who came to wait there meanwhile
            self.local = LocalCollections(self)
        finally:
            self.installing = False
        self.local.show()
        if self.config is not None:
            self.local.take_config(self.config.document())
        member.topology_has_changed()
        return engine

    # -- what the driver tells -------------------------------------------------------------------

    def _take_config(self, config: ReplSetConfig) -> None:
        self.config = config
        self.is_removed = False
        if self.driver is not None:
            self.driver.core.settings = settings_of(config)
        self._keep_links()
        self._set_pulses()
        self.local.show()
        self.local.take_config(config.document())
        self.member.topology_has_changed()
        self._on_progress()

    def _on_role(self, change: RoleChange) -> None:
        self._set_pulses()
        if self._promotion is not None:
            self._promotion.cancel()
            self._promotion = None
        if self.is_primary:
            self.is_primary = False
            self.member.leave_office()
            self.member.world.log.write(
                "I", "REPL", 21358, "Replica set state transition",
                {
                    "newState": "SECONDARY", "oldState": "PRIMARY", "term": change.term,
                    **self._reason(change),
                },
            )
        self.member.topology_has_changed()
        self._wake_all()

    def _reason(self, change: RoleChange) -> Document:
        """Return what the log says of why office was left."""
        resigned = change.resigned
        if resigned is None:
            return {"reason": "unknown"}
        if resigned.member is None:
            return {"reason": resigned.cause}
        host = self.address(resigned.member)
        return {"reason": resigned.cause, "member": host or resigned.member}

    def _on_progress(self) -> None:
        driver = self.driver
        if driver is not None and driver.in_office and not self.is_primary:
            if self._promotion is None:
                self._promotion = asyncio.get_running_loop().create_task(self._promote())
        self.local.follow()
        self._wake_all()

    async def _promote(self) -> None:
        """Serve: the no-op of this term is committed, and everything before it is applied."""
        member, driver = self.member, self.driver
        assert driver is not None
        member.engine.refusal = None
        self.election_time = member.engine.last_timestamp
        self.election_wall = member.world.clock.now_ms()
        try:
            await member.take_up_office()
        except MongoError as error:
            member.world.log.write(
                "E", "REPL", 7200001, "Cannot take up office", {"error": str(error)}
            )
            driver.step_down(20, "cannot take up office")
            return
        self._promotion = None
        if not driver.in_office:
            return
        self.is_primary = True
        member.topology_has_changed()
        member.world.log.write(
            "I", "REPL", 21331,
            "transition to primary complete; database writes are now permitted",
            {"term": driver.core.term},
        )
        self.heartbeats.hurry()
        self._wake_all()

    def _wake_all(self) -> None:
        waiting, self._progress_waiters = self._progress_waiters, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def progress(self) -> None:
        """Return when something moved: commit index, a peer's position, the role."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._progress_waiters.append(waiter)
        await waiter

    # -- commands --------------------------------------------------------------------------------

    async def admit(self, request: Request) -> None:
        """Let a command in, or raise what this member's state has to say.

        Raises:
            MongoError: 10107, 13435, 13436.

        """
        command = request.command
        if request.db == "local":
            await self._admit_local(request)
        if command.writes:
            if not self.is_primary:
                raise not_primary()
            driver = self.driver
            if driver is not None and driver.core.is_transferring:
                await driver.transfer_over()
                if not self.is_primary:
                    raise not_primary()
            return
        if command.secondary_ok or self.is_primary:
            return
        if self.state != SECONDARY:
            raise MongoError(
                Code.NOT_PRIMARY_OR_SECONDARY, "node is not in primary or recovering state"
            )
        preference = request.generic.read_preference
        if preference is None or preference["mode"] == "primary":
            raise MongoError(
                Code.NOT_PRIMARY_NO_SECONDARY_OK, "not primary and secondaryOk=false"
            )

    async def _admit_local(self, request: Request) -> None:
        """Bring `local.oplog.rs` up to date for who reads it, and keep others from writing it."""
        target = request.target if type(request.target) is str else None
        if request.command.writes:
            self.local.check_write(request.db, target, request.command.name)
        elif OPLOG in (target, request.args.get("collection")) or target is None:
            await self.local.refresh()

    async def wait_for_time(
        self, request: Request, after: Timestamp, *, committed: bool = False
    ) -> None:
        """Return when this member has applied everything up to a cluster time, or committed it.

        A primary moves its log there; a secondary waits, and asks its primary to do so.
        """
        asked = 0.0
        while True:
            engine = self.member.engine  # a snapshot brings another
            reached = engine.last_timestamp >= after
            if not reached and self.is_primary:
                engine.append_noop()
                reached = True
            if reached and (not committed or engine.versions.committed_time >= after):
                return
            now = self.member.world.clock.monotonic()
            leader = self.leader
            if not reached and leader is not None and now - asked > 1.0:
                asked = now
                self._ask_for_time(leader.host, after)
            try:
                async with asyncio.timeout(0.5):
                    await self.progress()
            except TimeoutError:
                pass
            request.op.check()

    def _ask_for_time(self, host: str, after: Timestamp) -> None:
        if host not in self._asking:
            ask = self.peers.request(host, {"_replSetAdvance": after}, 5.0)
            task = asyncio.ensure_future(ask)
            self._asking[host] = task
            task.add_done_callback(lambda done: self._asked(host, done))

    def _asked(self, host: str, done: asyncio.Future[Document]) -> None:
        del self._asking[host]
        if not done.cancelled():
            done.exception()  # the waiter asks again

    def check_office(self, term: int) -> None:
        """Raise 11602 if office was lost since `term`: what was done then may be undone."""
        driver = self.driver
        if driver is None or not driver.in_office or self.member.engine.term != term:
            raise stepped_down()

    def check_running(self) -> None:
        """Raise 91 when this member takes no part any more: what is waited for may never come."""
        driver, engine = self.driver, self.member.engine
        if driver is not None and driver.is_closed and engine.failure is None:
            raise shutting_down()

    async def linearize(self) -> None:
        """Confirm that this member still leads; raise 10107 or 11602 when it does not."""
        driver = self.driver
        if driver is None or not self.is_primary:
            raise MongoError(
                Code.NOT_WRITABLE_PRIMARY,
                "cannot satisfy linearizable read concern on non-primary node",
            )
        if await driver.read_index() is None:
            raise shutting_down() if driver.is_closed else stepped_down()

    async def wait_for(self, index: int, concern: Document) -> Document | None:
        """Wait until a write concern is met for the log up to `index`, which is committed.

        Returns the `writeConcernError`, None when the concern is met.
        """
        config = self.config
        assert config is not None
        failed = concerns.unsatisfiable(config, concern)
        if failed is not None:
            return failed
        w = concern.get("w", 1)
        if not concerns.is_more_than_majority(config, w):
            return None
        term = self.member.engine.term
        if self.driver is not None:
            self.driver.core.want_applied(index)
            self.driver.schedule()
        while True:
            config = self.config
            assert config is not None
            if concerns.is_met(config, w, lambda row: self.has_reached(row, index)):
                return None
            self.check_office(term)
            self.check_running()
            await self.progress()

    def has_reached(self, row: MemberConfig, index: int) -> bool:
        """Tell whether a member has applied the log up to `index`, as the leader knows.

        A read there shows it then; on its disk it has been for longer.
        """
        if row.member_id == self.member.engine.member.id:
            return True
        driver = self.driver
        progress = None if driver is None else driver.core.progress.get(row.member_id)
        return progress is not None and progress.applied >= index

    # -- founding and changing -------------------------------------------------------------------

    async def found(self, config: ReplSetConfig) -> None:
        """Found the set: the configuration becomes the first entry that all members share."""
        engine = self.member.engine
        driver = self.run(str(config.set_id))
        position = driver.core.bootstrap(raft_config(config))
        await engine.member.advance(position.term)
        engine.term = position.term
        driver.found(config.document(internal=True))
        self._take_config(config)
        await self._durable(position.index)
        driver.core.campaign_now()

    async def _durable(self, index: int) -> None:
        while self.member.engine.journal.durable.index < index:
            if self.member.engine.failure is not None:
                raise self.member.engine.failure
            await asyncio.sleep(0.01)

    def was_removed(self) -> None:
        """Take note that the primary has a configuration without this member."""
        if not self.is_removed:
            self.is_removed = True
            self.member.topology_has_changed()

    async def look_at(self, host: str, view: PeerView) -> None:
        """See what another member's answer asks this one to do."""
        await membership.look_at(self, host, view)

    async def change(self, config: ReplSetConfig) -> None:
        """Log another configuration and wait until it is committed.

        Raises MongoError 103 when the core refuses it, 109 when another change is under way.
        """
        driver = self.driver
        if driver is None or not self.is_primary:
            raise not_primary()
        refusal = driver.core.check_config(raft_config(config))
        if refusal is not None:
            raise MongoError(Code.NEW_REPLICA_SET_CONFIGURATION_INCOMPATIBLE, refusal)
        index = self.member.engine.append_membership(config.document(internal=True))
        driver.schedule()
        await self.member.engine.committed(index)


def parts_of(connection: Any) -> Parts:
    """Return what puts together the messages that come in parts on a connection."""
    parts: Parts = connection.state.setdefault("replicationParts", Parts())
    return parts

