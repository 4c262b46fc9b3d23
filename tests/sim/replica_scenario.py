"""The replica-set scenario: real members, simulated machines; all of a run follows from its seed.

Phase one, safety: clients read and write while machines lose power, pause and come back, disks fail
and hang, the network loses, delays, repeats, reorders and parts, clocks are wrong, office is handed
over and the membership changes. Phase two, liveness: all faults end; the set must have a primary,
answer everything and come to one state. The referee watches every step of both; then the books of
the clients are compared with what the set holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from sim.client import ConnectionLost
from sim.cluster import SimNode
from sim.loop import START_SECONDS, PowerLost, SimLoop, run
from sim.network import Conditions, Fabric
from sim.replica_client import UNKNOWN, SetClient
from sim.replica_referee import Referee
from sim.replica_workload import (
    CLIENTS_OF_A_KEY,
    DB,
    Books,
    Causal,
    Counter,
    Inserter,
    Registers,
    Witness,
    Worker,
)
from sim.scenario import draw_store_options, knobs
from sim.trial import SETTLE_SECONDS_MAX, Trial
from sim.workload import Violation, expect
from sim.world import SimMachine
from store_kit import check_consistent, check_lines

from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_base.world import World
from shardsvr.commands.table import MEMBER_COMMANDS
from shardsvr.member import Member

PORT = 27018
PRIMARY_SECONDS_MAX = 40.0
SECONDS = 60.0
COLLECTIONS = ("causal", "counters", "docs", "registers")


@dataclass
class Plan:
    """What is drawn before a run begins."""

    seed: int
    members: int = 3
    seconds: float = SECONDS
    shuffles: bool = True
    pause_seconds: float = 2.0
    disk_seconds: float = 0.001
    timeout_seconds: float = 3.0
    think_seconds: float = 0.5
    loss: float = 0.0
    again: float = 0.0
    late: float = 0.0
    short_logs: bool = False
    conditions: Conditions = field(default_factory=Conditions)
    faults: dict[str, float] = field(default_factory=dict)

    @classmethod
    def draw(cls, seed: int, rng: random.Random) -> Plan:
        conditions = Conditions(
            delay_seconds=rng.choice([0.0005, 0.002, 0.02]),
            spike=rng.choice([0.0, 0.0, 0.01, 0.05]),
            split=0.05,
            refuse=rng.choice([0.0, 0.0, 0.05]),
            silent=rng.choice([0.0, 0.2, 0.8]),
            silent_seconds=rng.choice([0.5, 3.0]),
        )
        return cls(
            seed,
            members=rng.choice([3, 3, 3, 5]),
            shuffles=rng.random() < 0.8,
            pause_seconds=rng.choice([1.0, 2.0, 5.0]),
            disk_seconds=rng.choice([0.0005, 0.002, 0.02]),
            timeout_seconds=rng.choice([1.0, 3.0, 10.0]),
            think_seconds=rng.choice([0.3, 0.8, 1.5]),
            loss=rng.choice([0.0, 0.0, 0.01, 0.1]),
            again=rng.choice([0.0, 0.0, 0.1]),
            late=rng.choice([0.0, 0.0, 0.05]),
            short_logs=rng.random() < 0.6,
            conditions=conditions,
            faults={name: rng.choice([0.0, 0.5, 1.0, 2.0]) for name in FAULTS} | {"cut_power": 2.0},
        )


@dataclass
class Result:
    """What a run was."""

    seed: int
    trace: str
    checksums: Any
    steps: int
    virtual_seconds: float
    operations: int
    unknown: int
    elections: int
    committed: int
    undone: int
    snapshots: int
    longest_gap: float
    faults: dict[str, int]


class ReplicaScenario(Trial):
    """One run; everything about it follows from the seed."""

    LOOK_SECONDS = 0.1
    AWAY_SECONDS_MAX = 10.0
    AGAIN = 0.1

    def __init__(
        self, seed: int, *, expected: Any = None, keep_log: bool = False,
        seconds: float = SECONDS, spoil: Callable[[SimNode], None] | None = None,
    ) -> None:
        rng = random.Random(f"replica scenario {seed}")
        plan = Plan.draw(seed, rng)
        plan.seconds = seconds
        loop = SimLoop(seed, shuffles=plan.shuffles, expected=expected, seconds_max=600.0)
        super().__init__(rng, plan, loop, Fabric(loop, seed))
        self._nodes = [self._machine(number, seed) for number in range(self.plan.members)]
        for node in self.nodes:
            node.machine.disk.delay_seconds = self.plan.disk_seconds
            node.machine.clock.skew_ms = rng.choice([0, 0, -5000, 60_000])
            node.machine.clock.drift = rng.choice([0.0, 0.0, 0.001])
            # With a short log a member that was away needs a snapshot, with a whole one never.
            node.store_options = replace(draw_store_options(rng), oplog_bytes=10**9)
            if self.plan.short_logs:
                node.store_options = replace(
                    node.store_options, oplog_bytes=rng.choice([0, 20_000]),
                    segment_bytes=rng.choice([2000, 20_000]),
                    checkpoint_log_bytes=rng.choice([5000, 50_000]),
                )
            node.note = self.note
            if keep_log:
                from collections import deque

                node.machine.log.lines = deque()
            if spoil is not None:
                spoil(node)
        self.books = Books(random.Random(rng.getrandbits(32)), self.loop.time)
        self.books.think_seconds = self.plan.think_seconds
        self.referee = Referee(
            random.Random(rng.getrandbits(32)), lambda name: self.node(name).machine.disk
        )
        self.clients = 0

    @property
    def nodes(self) -> list[SimNode]:
        """The members' machines."""
        return self._nodes

    @property
    def stopping(self) -> bool:
        """Whether the clients stop."""
        return self.books.stopping

    @property
    def faults(self) -> dict[str, Callable[[ReplicaScenario], Coroutine[Any, Any, None]]]:
        """All of them."""
        return FAULTS

    def _machine(self, number: int, seed: int) -> SimNode:
        machine = SimMachine(self.loop, self.fabric, f"m{number}", seed)
        options: Document = {"replication": {"replSetName": "rs0"}}

        def make(world: World) -> Member:
            return Member(world, MEMBER_COMMANDS, options, "/data")

        return SimNode(machine, PORT, make)

    def node(self, name: str) -> SimNode:
        return next(node for node in self.nodes if node.name == name)

    def client(self) -> SetClient:
        """Make a client on a machine of its own, which never fails."""
        self.clients += 1
        hosts = [(node.name, PORT) for node in self.nodes]
        return SetClient(
            self.fabric, f"client{self.clients}", hosts, self.rng.getrandbits(32),
            self.plan.timeout_seconds,
        )

    def run(self) -> Result:
        """Run it; raises what broke."""
        with knobs(random.Random(self.rng.getrandbits(32))), self.referee.watching():
            try:
                run(self.loop, self.main())
            finally:
                if self.referee.violations:
                    raise self.referee.violations[0]
        loop, books = self.loop, self.books
        return Result(
            self.plan.seed, f"{loop.steps}-{loop.checksum:08x}-{self.rng.getrandbits(32):08x}",
            loop.checksums, loop.steps, loop.time() - START_SECONDS, books.operations,
            books.unknown, self.referee.elections, max(self.referee.committed, default=0),
            self.referee.undone, self.referee.snapshots, books.longest_gap, self.counts,
        )  # fmt: skip

    # -- phases ------------------------------------------------------------------------------------

    async def main(self) -> None:
        """Do everything."""
        for node in self.nodes:
            await node.start()
        await self.initiate()
        plan, referee = self.plan, self.referee
        self.fabric.conditions = plan.conditions
        referee.loss, referee.again, referee.late = plan.loss, plan.again, plan.late
        workers = self.workers()
        tasks = [self.guarded(worker.run()) for worker in workers]
        chaos = self.guarded(self.chaos())
        self._background += [self.guarded(self.supervise(node)) for node in self.nodes]
        await asyncio.sleep(plan.seconds)
        self.books.stopping = True
        await chaos
        await self.heal()
        await self.settle(workers, tasks)
        await self.check(workers)
        for node in self.nodes:
            node.cut_power()

    async def initiate(self) -> None:
        """Found the set."""
        hosts = [{"_id": n, "host": f"{node.name}:{PORT}"} for n, node in enumerate(self.nodes)]
        for row in hosts:
            row["priority"] = self.rng.choice([1, 1, 1, 2])
        client = self.client()
        first = next(iter(client.members.values()))
        config = {
            "_id": "rs0", "members": hosts,
            "settings": {"electionTimeoutMillis": self.rng.choice([1000, 1000, 2000])},
        }
        await first.command("admin", {"replSetInitiate": config})
        async with asyncio.timeout(PRIMARY_SECONDS_MAX):
            await client.find_primary()
        await client.close()

    def workers(self) -> list[Worker]:
        """Draw who takes part."""
        books = self.books
        workers: list[Worker] = []
        for group in range(2):
            keys = [f"r{group}a", f"r{group}b"]
            workers += [
                Registers(books, f"reg{group}{n}", self.client(), keys)
                for n in range(self.rng.choice([2, 4, CLIENTS_OF_A_KEY]))
            ]
        workers += [Counter(books, f"count{n}", self.client()) for n in range(2)]
        workers += [Inserter(books, f"ins{n}", self.client()) for n in range(2)]
        workers.append(Witness(books, "witness", self.client()))
        workers.append(Causal(books, "causal", self.client()))
        return workers

    async def heal(self) -> None:
        """End all faults and bring everything up."""
        self.note("heal")
        self.fabric.conditions = Conditions(silent_seconds=0.5)
        self.fabric.heal()
        referee = self.referee
        referee.loss = referee.again = referee.late = 0.0
        for task in self._background:
            await task
        self._background.clear()
        for node in self.nodes:
            node.machine.disk.before = None
            if node.is_on and node.machine.log.expected:
                node.cut_power()  # its disk failed for good
            while not node.is_on:
                try:
                    await node.start()
                except PowerLost:
                    continue

    async def settle(self, workers: list[Worker], tasks: list[asyncio.Task[None]]) -> None:
        """Wait for a primary and all answers; with all faults over that may not take long."""
        began = self.loop.time()
        client = self.client()
        try:
            async with asyncio.timeout(PRIMARY_SECONDS_MAX):
                await client.find_primary()
        except TimeoutError:
            raise Violation(f"no primary within {PRIMARY_SECONDS_MAX} s of peace") from None
        await client.close()
        await self.answers(workers, tasks, began)

    # -- faults ------------------------------------------------------------------------------------

    def leader(self) -> SimNode | None:
        """Return a machine whose member leads."""
        for node in self.nodes:
            if node.node is not None and node.member.replica_set.is_primary:  # type: ignore[union-attr]
                return node
        return None

    def victim(self) -> SimNode:
        """Draw whom a fault hits: often the leader."""
        leader = self.leader()
        return leader if leader and self.rng.random() < 0.5 else self.rng.choice(self.nodes)

    async def cut_power(self) -> None:
        """Cut the power of one member, of some, or of all, now or at a coming disk operation."""
        roll = self.rng.random()
        victims = [self.victim()]
        if roll > 0.9:
            victims = list(self.nodes)
        elif roll > 0.75:
            victims = self.rng.sample(self.nodes, 2)
        for node in victims:
            keeps_cache = self.rng.random() < 0.2
            if node.is_on and self.rng.random() < 0.5:
                node.cut_power(keeps_cache=keeps_cache)
            elif node.is_on:
                node.cut_power_at(self.rng.randint(1, 30), keeps_cache=keeps_cache)

    async def restart_orderly(self) -> None:
        """Shut a member down in order and start it again."""
        node = self.victim()
        if node.is_on and node.node is not None and not node.machine.log.expected:
            await self.during(self.restart(node), 30.0)

    async def during(self, work: Coroutine[Any, Any, None], seconds: float) -> None:
        """Let something happen beside the other faults."""

        async def limited() -> None:
            async with asyncio.timeout(seconds):
                await work

        self._background.append(self.guarded(limited()))

    async def checkpoint(self) -> None:
        """Have a member save everything now."""
        node = self.rng.choice(self.nodes)
        if node.node is None or node.machine.log.expected:
            return

        async def save() -> None:
            with contextlib.suppress(PowerLost, MongoError):
                await node.run(node.member.engine.checkpoint())

        self._background.append(self.guarded(save()))

    async def part(self) -> None:
        """Cut machines off from each other for a while: a pair, a side, a ring; maybe one way."""
        rng, names = self.rng, [node.name for node in self.nodes]
        both = rng.random() < 0.6
        shape = rng.choice(["pair", "alone", "side", "ring", "leader"])
        cuts: list[tuple[str, str]] = []
        if shape == "pair":
            one, other = rng.sample(names, 2)
            cuts = [(one, other)]
        elif shape == "ring":
            cuts = [
                (a, b) for i, a in enumerate(names) for j, b in enumerate(names)
                if i != j and (j - i) % len(names) != 1
            ]
        else:
            leader = self.leader()
            size = len(names) // 2 if shape == "side" else 1
            side = rng.sample(names, size)
            if shape == "leader" and leader is not None:
                side = [leader.name]
            cuts = [(a, b) for a in side for b in names if b not in side]
        for one, other in cuts:
            self.fabric.cut(one, other, both=both or shape == "ring")
        seconds = rng.random() ** 2 * 12

        async def mend() -> None:
            await asyncio.sleep(seconds)
            for one, other in cuts:
                self.fabric.heal(one, other)

        self._background.append(self.guarded(mend()))

    async def pause(self) -> None:
        """Stop a process for a while, as SIGSTOP does; it does not notice."""
        node = self.victim()
        owner, seconds = node.owner, self.rng.random() ** 2 * 10
        if owner is None or owner.paused:
            return
        self.loop.pause(owner)

        async def go_on() -> None:
            await asyncio.sleep(seconds)
            self.loop.resume(owner)

        self._background.append(self.guarded(go_on()))

    async def fail_disk(self) -> None:
        """Let a member's disk fail for good at a coming operation; later the machine restarts."""
        node = self.victim()
        if not node.is_on or node.node is None:
            return
        node.fail_disk_at(self.rng.randint(1, 20), self.rng.choice([errno.EIO, errno.ENOSPC]))
        owner, seconds = node.owner, self.rng.random() * 8

        async def replace_disk() -> None:
            await asyncio.sleep(seconds)
            if node.owner is owner:
                node.cut_power()

        self._background.append(self.guarded(replace_disk()))

    async def wipe(self) -> None:
        """Empty a member's disk: it comes back as another, by the log or by a snapshot.

        What a majority acknowledged must not depend on it: so nobody is wiped before the one
        wiped last votes again, nor where the set needs all of its voters.
        """
        leader = self.leader()
        if leader is None:
            return
        replica_set = leader.member.replica_set
        assert replica_set is not None
        config = replica_set.config
        if config is None or len(config.voters) < 3 or replica_set.change_in_progress:
            return
        for row in config.members:
            node = self.node(row.host.partition(":")[0])
            if node.node is None or row.is_voter != bool(row.votes):
                return
            known = node.member.replica_set.config  # type: ignore[union-attr]
            if row.member_id != node.member.engine.member.id or known != config:
                return
        self.rng.choice([node for node in self.nodes if node is not leader]).wipe()

    async def hang_disk(self) -> None:
        """Let a thread of some member's disk do nothing for a while."""
        node = self.victim()
        if node.is_on:
            thread = self.rng.choice(["journal", "journal", "checkpoint"])
            node.hang_disk(thread, self.rng.random() * 8)

    async def step_down(self) -> None:
        """Ask the primary to hand office over."""
        seconds = self.rng.choice([1, 3, 10])
        await self.administer({
            "replSetStepDown": seconds, "secondaryCatchUpPeriodSecs": min(seconds, 2),
            "force": self.rng.random() < 0.5,
        })

    async def administer(self, command: Document) -> None:
        """Send a command to the primary, come of it what may."""
        node = self.leader()
        if node is None:
            return
        client = self.client()

        async def ask() -> None:
            with contextlib.suppress(ConnectionLost, MongoError):
                await client.members[node.name, PORT].command("admin", command)
            await client.close()

        await self.during(ask(), 30.0)

    async def reconfigure(self) -> None:
        """Change a member's part: votes, priority, in or out."""
        node = self.leader()
        config = None if node is None else node.member.replica_set.config  # type: ignore[union-attr]
        if node is None or config is None:
            return
        document = config.document()
        rows = document["members"]
        present = [row["host"] for row in rows]
        absent = [n for n in self.nodes if f"{n.name}:{PORT}" not in present]
        roll = self.rng.random()
        others = [row for row in rows if row["host"] != f"{node.name}:{PORT}"]
        if absent:
            number = max(row["_id"] for row in rows) + 1
            rows.append({"_id": number, "host": f"{absent[0].name}:{PORT}"})
        elif roll < 0.4 and len(rows) > 2:
            rows.remove(self.rng.choice(others))
        elif roll < 0.7:
            self.rng.choice(others)["priority"] = self.rng.choice([1, 2])
        else:
            row = self.rng.choice(others)
            row["votes"], row["priority"] = (0, 0) if row.get("votes", 1) else (1, 1)
        document["version"] += 1
        await self.administer({"replSetReconfig": document})

    # -- the books ---------------------------------------------------------------------------------

    async def check(self, workers: list[Worker]) -> None:
        """Compare what the set holds with what the clients know, and its members."""
        self.note("check")
        client = self.client()
        state = {name: await self.read(client, name) for name in COLLECTIONS}
        for worker in workers:
            worker.check(state)
        await self.same_state()
        hashes = {}
        for node in self.present():
            member = client.members[node.name, PORT]
            preference: Document = {"$readPreference": {"mode": "secondaryPreferred"}}
            reply = await member.command(DB, {"dbHash": 1, **preference})
            hashes[node.name] = reply["md5"]
        expect(len(set(hashes.values())) == 1, f"members differ: {hashes}")
        await client.close()
        for node in self.nodes:
            check_consistent(node.member.engine)
            check_lines(node.machine.disk)

    def present(self) -> list[SimNode]:
        """Return the members by the primary's configuration; others may be out of the set."""
        leader = self.leader()
        config = None if leader is None else leader.member.replica_set.config  # type: ignore[union-attr]
        hosts = [] if config is None else [row.host for row in config.members]
        return [node for node in self.nodes if f"{node.name}:{PORT}" in hosts]

    async def same_state(self) -> None:
        """Wait until all members have applied the primary's log."""
        end = self.loop.time() + SETTLE_SECONDS_MAX
        ends: list[Any] = []
        while self.loop.time() < end:
            ends = [
                (node.member.engine.commit_index, node.member.engine.journal.end)
                for node in self.present()
            ]
            if ends and all(one == ends[0] and one[0] == one[1].index for one in ends):
                return
            await asyncio.sleep(0.1)
        raise Violation(f"the members do not come to one state: {ends}")

    async def read(self, client: SetClient, name: str) -> dict[Any, Document]:
        """Read a whole collection at the majority's state."""
        while True:
            try:
                primary = await client.find_primary()
                rows = await primary.find_all(DB, {
                    "find": name, "batchSize": 1000, "readConcern": {"level": "majority"},
                })
            except (ConnectionLost, MongoError) as error:
                if isinstance(error, MongoError) and error.code not in UNKNOWN:
                    raise Violation(f"reading {name}: {error!r}") from error
                client.primary = None
                await asyncio.sleep(0.1)
                continue
            by_id = {row["_id"]: row for row in rows}
            expect(len(by_id) == len(rows), f"{name} shows a document twice")
            return by_id


FAULTS: dict[str, Callable[[ReplicaScenario], Coroutine[Any, Any, None]]] = {
    "checkpoint": ReplicaScenario.checkpoint,
    "cut_power": ReplicaScenario.cut_power,
    "drop_connections": ReplicaScenario.drop_connections,
    "fail_disk": ReplicaScenario.fail_disk,
    "hang_disk": ReplicaScenario.hang_disk,
    "part": ReplicaScenario.part,
    "pause": ReplicaScenario.pause,
    "reconfigure": ReplicaScenario.reconfigure,
    "restart_orderly": ReplicaScenario.restart_orderly,
    "set_clock": ReplicaScenario.set_clock,
    "step_down": ReplicaScenario.step_down,
    "wipe": ReplicaScenario.wipe,
}


def run_seed(seed: int, **options: Any) -> Result:
    """Run the scenario of one seed."""
    return ReplicaScenario(seed, **options).run()
