"""The layer around the consensus core: carries out its orders, and tells it of the results.

The core (`psdb_raft`) holds positions only; the lines are in the engine's journal. One turn of the
loop collects what happened (entries appended, messages, a finished write), then `_pump` takes the
core's bundles until there is nothing left to do:

- a term or vote is saved first; the core holds back what relies on it;
- entries go to the followers while this member's own disk writes them;
- orders to the log are carried out one after the other. Appending takes no time and is done in
  place; what waits for the disk (cutting the log, installing a snapshot) makes later orders wait;
- what is committed is applied: by the leader at once, since its state has it already, by others in
  slices, so that clients get turns.

Invariants: only a leader's core hears of entries that the engine appended by itself; the engine
gives up office in the same turn in which the core does; nothing is applied that the core did not
commit.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_base.world import World
from psdb_raft.core import Raft
from psdb_raft.log import LogTable
from psdb_raft.messages import Append, InstallSnapshot, Message
from psdb_raft.values import (
    Config,
    HardState,
    Install,
    Position,
    Ready,
    Role,
    RoleChange,
    Settings,
    StorageOrder,
    Store,
    Truncate,
)
from psdb_raft.values import Member as Voter
from psdb_store.engine import Engine
from psdb_store.entry import membership_in
from psdb_store.segments import is_membership
from shardsvr.replication.config import ReplSetConfig

_DISK_TICKS_MIN: Final = 120
"""A write of many megabytes takes its time on a disk that others use; a disk that hangs, longer."""
TICK_SECONDS: Final = 0.05
DISK_FAILED: Final = "the disk failed"
APPLY_ENTRIES: Final = 128
"""A follower applies so many entries between two turns of the loop."""


def raft_config(config: ReplSetConfig) -> Config:
    """Return what the core needs of a configuration; the whole of it rides along."""
    members = tuple(
        Voter(row.member_id, row.is_voter, row.priority) for row in config.members if row.member_id
    )
    return Config(members, config.document(internal=True))


def with_configs(message: Append, lines: list[bytes]) -> Append:
    """Return a message that names the configurations in the lines that it brings.

    The core knows those since the manifest's only, and a peer may need older lines: it has to
    put into effect each configuration that its log holds, as it would after a restart.
    """
    found = [membership_in(line) for line in lines if is_membership(line)]
    if not found and not message.configs:
        return message
    configs = tuple(
        (index, raft_config(ReplSetConfig.parse(document)).to_fields()) for index, document in found
    )
    return replace(message, configs=configs)


def settings_of(config: ReplSetConfig | None) -> Settings:
    """Return the core's times for a configuration's `electionTimeoutMillis`."""
    if config is None:
        return Settings()
    ticks = max(4, round(config.settings["electionTimeoutMillis"] / 1000 / TICK_SECONDS))
    return Settings(
        election_ticks=ticks, heartbeat_ticks=max(1, min(3, ticks // 6)),
        disk_ticks=max(_DISK_TICKS_MIN, 3 * ticks),
    )


class Driver:
    """One member's core, and the engine that it drives.

    Attributes:
        core: The state machine.
        is_closed: It does nothing more.
        office_index: The no-op of this office, 0 when this member does not lead.
        on_role: Called after the role, term or leader changed.
        on_config: Called after another configuration is in effect.
        on_progress: Called after the commit index or a peer's position moved.
        on_snapshot: Called when a peer needs a snapshot.
        on_install: Carries out the installation of a snapshot.
        send: Sends a message with its lines to a member.

    """

    def __init__(self, world: World, engine: Engine, group: str) -> None:
        self._world = world
        self.engine = engine
        self.office_index = 0
        self.on_role: Callable[[RoleChange], None] = _ignore
        self.on_config: Callable[[ReplSetConfig], None] = _ignore
        self.on_progress: Callable[[], None] = _nothing
        self.on_snapshot: Callable[[str], None] = _ignore
        self.on_install: Callable[[InstallSnapshot], Awaitable[Engine]] | None = None
        self.applies: Callable[[], bool] = lambda: True
        self.send: Callable[[Message, list[bytes]], None] = _ignore_message
        self._appended: deque[tuple[int, int]] = deque()
        self._orders: deque[StorageOrder] = deque()
        self._working: asyncio.Task[None] | None = None
        self._building: asyncio.Task[None] | None = None
        self._saving: asyncio.Task[None] | None = None
        self._promise: HardState | None = None
        self._generation = 0
        self._scheduled = False
        self._commit = engine.commit_index
        self._queues: dict[str, deque[Message]] = {}
        self._waiting_for_transfer: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._reads: dict[int, asyncio.Future[int | None]] = {}
        self._read_number = 0
        self._taking_office: RoleChange | None = None
        self.is_closed = False
        self.core = self._make_core(group)
        self._bind()

    # -- life ------------------------------------------------------------------------------------

    def _make_core(self, group: str) -> Raft:
        """Make the core of what the engine recovered."""
        engine = self.engine
        configs = [
            (index, raft_config(ReplSetConfig.parse(document)))
            for index, document in engine.memberships
        ]
        before, runs = engine.log_terms()
        log = LogTable(Position(*before))
        if runs:
            log.extend(engine.log_end, tuple(runs), engine.journal.size_bytes)
        config = ReplSetConfig.parse(engine.memberships[-1][1]) if configs else None
        return Raft(
            engine.member.id, group, below=self._world.random.below,
            hard_state=HardState(engine.member.term, engine.member.vote), log=log,
            configs=configs, commit=engine.commit_index, settings=settings_of(config),
        )

    def _bind(self) -> None:
        self.engine.on_append = self._on_append
        self.engine.on_durable = self._on_durable
        self.engine.on_failed = self._on_failed
        self.engine.manifest_terms = self._manifest_terms

    def _manifest_terms(self, index: int) -> list[tuple[int, int]]:
        """Return the runs of terms in the log up to an index, for the manifest."""
        log = self.core.log
        return list(log.runs(log.before.index + 1, min(index, log.last_index)))

    def start(self) -> None:
        """Begin to let time pass."""
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)
        self.schedule()

    def close(self) -> None:
        """Do nothing more, and show no sign of life."""
        self.is_closed = True
        if self._world.pulses is not None:
            self._world.pulses.close()
        if self._timer is not None:
            self._timer.cancel()
        for task in (self._working, self._building):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        self.engine.on_append = None
        self.engine.on_durable = self.engine.on_failed = _nothing
        self._end_transfer()
        for waiter in self._reads.values():
            if not waiter.done():
                waiter.set_result(None)

    def _tick(self) -> None:
        if self.is_closed:
            return
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)
        if self._world.pulses is not None:
            self._world.pulses.alive()
        self._tell_appended()
        self.core.tick()
        if self._working is None:
            # Not after each entry: nobody waits for it.
            self.core.applied_to(self.engine.commit_index)
        first = self.engine.journal.first_index
        if first - 1 > self.core.log.before.index and self._working is None:
            self.core.compacted(min(first - 1, self.core.applied))
        if self._waiting_for_transfer and not self.core.is_transferring:
            self._end_transfer()
        self._pump()
        if self._commit > self.engine.commit_index:
            self._apply()  # a fail point may have held it back

    def schedule(self) -> None:
        """Have the core's orders carried out in the next turn of the loop."""
        if not self._scheduled and not self.is_closed:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._pump)

    # -- what happened ---------------------------------------------------------------------------

    def _on_append(self, index: int, size_bytes: int) -> None:
        self._appended.append((index, size_bytes))
        self.schedule()

    def _on_durable(self) -> None:
        if self._working is None:
            self.core.durable_to(self.engine.journal.durable.index, self._generation)
            self.schedule()

    def _on_failed(self) -> None:
        """Stop for good: a member whose disk failed promises nothing any more.

        Who waits here is told to ask again: the others have the write, or will take it. Where there
        are no others, the engine says what is wrong.
        """
        alone = len(self.core.config.voters) == 1
        self.core.step_down(cause=DISK_FAILED)
        self._leave_office(self.engine.failure if alone else None)
        self.close()
        self.on_role(RoleChange(Role.FOLLOWER, self.core.term, None, self.core.resigned))

    def step(self, message: Message) -> None:
        """Take in another member's message."""
        if self.is_closed:
            return
        self._tell_appended()
        self.core.step(message)
        if self.office_index and not self.core.is_leader:
            self._pump()  # at once: the engine must not append in an office that is lost
        else:
            self.schedule()

    def unreachable(self, member_id: str) -> None:
        """Take note that a message to a member did not go out."""
        if not self.is_closed:
            self.core.unreachable(member_id)
            self.schedule()

    def found(self, membership: Document) -> None:
        """Append the first configuration at the position that `core.bootstrap` gave."""
        position = self.core.log.last
        self.engine.on_append = None
        index = self.engine.found(position.term, membership)
        self.engine.on_append = self._on_append
        assert index == position.index, "the log moved while the group was founded"

    def _tell_appended(self) -> None:
        """Tell the core of the entries that the engine appended in office."""
        while self._appended:
            index, size = self._appended.popleft()
            config = None
            if self.engine.memberships and self.engine.memberships[-1][0] == index:
                config = raft_config(ReplSetConfig.parse(self.engine.memberships[-1][1]))
            self.core.appended(index, self.engine.term, size_bytes=size, config=config)

    # -- orders ----------------------------------------------------------------------------------

    def _pump(self) -> None:
        self._scheduled = False
        if self.is_closed:
            return
        self._tell_appended()
        if self.core.wanted > self.core.applied and self._working is None:
            self.core.applied_to(self.engine.commit_index)
        while True:
            ready = self.core.ready()
            if not ready:
                break
            self._carry_out(ready)
        if self._taking_office is not None and not self._orders and self._working is None:
            self._take_office()

    def _carry_out(self, ready: Ready) -> None:
        if ready.hard_state is not None:
            self._save(ready.hard_state)
        if ready.role is not None:
            self._change_role(ready.role)
        for order in ready.storage:
            self._order(order)
        for message in ready.messages:
            self._send(message)
        if ready.config is not None:
            self.on_config(ReplSetConfig.parse(ready.config.config.data))
        if ready.committed is not None:
            self._commit = max(self._commit, ready.committed)
            self._apply()
        for read in ready.reads:
            waiter = self._reads.pop(read.context, None)
            if waiter is not None and not waiter.done():
                waiter.set_result(read.index)
        for snapshot in ready.snapshots:
            self.on_snapshot(snapshot.to)
        if ready.progressed:
            self.on_progress()

    def _save(self, state: HardState) -> None:
        """Make term and vote durable; the core is told when they are."""
        self._promise = state
        if self._saving is None:
            self._saving = asyncio.get_running_loop().create_task(self._save_promises())

    async def _save_promises(self) -> None:
        """Save one promise after the other; a newer one stands for those that wait."""
        try:
            while self._promise is not None and not self.is_closed:
                state, self._promise = self._promise, None
                await self.engine.member.advance(state.term, state.vote)
                if not self.is_closed:
                    self.core.saved_hard_state(state)
                    self._pump()
        except (MongoError, OSError) as error:
            self.engine.fail_disk(error, "the member's file")
        finally:
            self._saving = None

    # -- the log ---------------------------------------------------------------------------------

    def _order(self, order: StorageOrder) -> None:
        if self._working is None and not self._orders and type(order) is Store:
            self._store(order)
            return
        self._orders.append(order)
        if self._working is None:
            self._working = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        """Carry out orders that wait for the disk, and those behind them."""
        try:
            while self._orders and not self.is_closed:
                order = self._orders.popleft()
                if type(order) is Store:
                    self._store(order)
                elif type(order) is Truncate:
                    await self.engine.truncate_to(order.to_index)
                    self._generation = order.generation
                elif type(order) is Install:
                    await self._install(order)
        finally:
            self._working = None
        if not self.is_closed:
            self._on_durable()
            self._apply()

    async def _install(self, order: Install) -> None:
        """Have the store replaced, and go on with the new one."""
        assert self.on_install is not None
        try:
            self.engine = await self.on_install(order.message)
        except (MongoError, OSError) as error:
            # The old store is closed, and maybe replaced: only the next start can go on.
            self.engine.fail_disk(error, "a snapshot")
            return
        self._bind()
        self._generation = order.generation
        self._commit = max(self._commit, order.message.index)

    async def settled(self) -> None:
        """Return when no order to the log is left to be carried out, or this one is closed."""
        self._pump()
        while (working := self._working) is not None:
            try:
                await asyncio.shield(working)
            except asyncio.CancelledError:
                if not working.cancelled():
                    raise  # it is the caller that is cancelled
                return

    def snapshot_finished(self, member_id: str, index: int | None) -> None:
        """Tell the core how the transfer of a snapshot ended."""
        if not self.is_closed:
            self.core.snapshot_finished(member_id, index)
            self.schedule()

    def _store(self, order: Store) -> None:
        lines = order.message.payload or []
        self.engine.receive(lines[order.skip :])

    def _apply(self) -> None:
        """Apply what is committed: all at once in office, otherwise a slice a turn."""
        if self._working is not None or self._building is not None or self.is_closed:
            return
        engine = self.engine
        target = self._commit
        if self.office_index == 0:
            if target > engine.commit_index and not self.applies():
                return
            target = min(target, engine.commit_index + APPLY_ENTRIES)
            build = engine.received.next_build(target)
            if build == engine.received.applied.index + 1 == engine.commit_index + 1:
                self._building = asyncio.get_running_loop().create_task(self._build(build))
                return
            target = target if build is None else build - 1
        if target <= engine.commit_index:
            return
        engine.advance_commit(target)
        if engine.commit_index < self._commit:
            asyncio.get_running_loop().call_soon(self._apply)
        self.on_progress()
        self.schedule()

    async def _build(self, index: int) -> None:
        """Build the index that an entry brings, in slices; then apply the entry."""
        engine = self.engine
        try:
            await engine.received.prepare_build(engine.options.slice_documents)
        except MongoError as error:
            # Applying the entry fails in the same way, and says what that means for the store.
            self._world.log.write(
                "E", "INDEX", 7200004, "Cannot build an index", {"error": str(error)}
            )
        finally:
            self._building = None
        if self.is_closed or self.engine is not engine:
            return
        if engine.commit_index + 1 == index <= self._commit:
            engine.advance_commit(index)
        self._apply()

    # -- roles -----------------------------------------------------------------------------------

    def _change_role(self, change: RoleChange) -> None:
        self._leave_office()
        self._end_transfer()
        if change.role is Role.LEADER:
            self._taking_office = change
        self.on_role(change)

    def _leave_office(self, interruption: MongoError | None = None) -> None:
        self._taking_office = None
        self._appended.clear()
        if self.office_index:
            self.office_index = 0
            self.engine.leave_office(not_primary(), interruption or stepped_down())

    def _take_office(self) -> None:
        """Append the no-op of the new term, before which nothing is served."""
        assert self._taking_office is not None
        change, self._taking_office = self._taking_office, None
        self.office_index = self.engine.begin_term(change.term)
        self.schedule()

    @property
    def in_office(self) -> bool:
        """Whether it leads, may serve, and its no-op is committed and applied."""
        index = self.office_index
        return 0 < index <= self.engine.commit_index and self.core.priority > 0

    # -- sending ---------------------------------------------------------------------------------

    def _send(self, message: Message) -> None:
        queue = self._queues.get(message.to)
        if queue is not None:
            queue.append(message)
        elif type(message) is Append and message.last_index > message.previous_index:
            lines = self.engine.journal.recent(message.previous_index, message.last_index)
            if lines is not None:
                self.send(with_configs(message, lines), lines)
                return
            self._queues[message.to] = deque([message])
            asyncio.get_running_loop().create_task(self._drain(message.to))
        else:
            self.send(message, [])

    async def _drain(self, to: str) -> None:
        """Send a peer's messages in order while lines of some have to be read from the disk."""
        queue = self._queues[to]
        try:
            while queue and not self.is_closed:
                message = queue.popleft()
                lines: list[bytes] = []
                if type(message) is Append and message.last_index > message.previous_index:
                    found = await self._read(message)
                    if found is None:
                        continue
                    lines = found
                    message = with_configs(message, lines)
                self.send(message, lines)
        finally:
            del self._queues[to]

    async def _read(self, message: Append) -> list[bytes] | None:
        """Read a message's lines; None when the log they were of is another one now."""
        after, last = message.previous_index, message.last_index
        unpin = self.engine.pin_log(after)
        try:
            lines = await self.engine.journal.read(after, last - after, last)
        except (MongoError, OSError) as error:
            self._world.log.write(
                "E", "REPL", 7200003, "Cannot read the log for a member", {"error": str(error)}
            )
            return None
        finally:
            unpin()
        if self.core.term != message.term or len(lines) != last - after:
            return None
        return lines

    # -- questions -------------------------------------------------------------------------------

    async def read_index(self) -> int | None:
        """Confirm office after this call; None when it was lost."""
        self._read_number += 1
        number = self._read_number
        waiter: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._reads[number] = waiter
        self.core.read_index(number)
        self.schedule()
        return await waiter

    # -- hand-over -------------------------------------------------------------------------------

    def hand_over(self) -> bool:
        """Begin to hand office over to the best member; tell whether there is one to take it.

        The core must know of all that the engine appended: an heir whose log lacks some of it
        would campaign at once, and lose.
        """
        self._tell_appended()
        begun = self.core.transfer() is None
        self.schedule()
        return begun

    def step_down(self, freeze_ticks: int, cause: str) -> None:
        """Give up office at once, and do not campaign for so many ticks; the log says why.

        The engine leaves office in the same turn: an entry that it appended after the core did
        would be in no office.
        """
        self._tell_appended()
        self.core.step_down(freeze_ticks, cause)
        self._pump()

    async def transfer_over(self) -> None:
        """Wait while office is being handed over: nothing new is written meanwhile."""
        while self.core.is_transferring and not self.is_closed:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting_for_transfer.append(waiter)
            await waiter

    def _end_transfer(self) -> None:
        waiting, self._waiting_for_transfer = self._waiting_for_transfer, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)


def not_primary() -> MongoError:
    """Return what a write is answered on a member that is not primary."""
    return MongoError(Code.NOT_WRITABLE_PRIMARY, "not primary")


def stepped_down() -> MongoError:
    """Return what those are answered who wait for a commit when office is lost."""
    return MongoError(
        Code.INTERRUPTED_DUE_TO_REPL_STATE_CHANGE, "operation was interrupted"
    )


def _nothing() -> None:
    """Stand in for a callback not yet set."""


def _ignore(_: Any) -> None:
    """Stand in for a callback not yet set."""


def _ignore_message(_: Message, _lines: list[bytes]) -> None:
    """Stand in for a callback not yet set."""

