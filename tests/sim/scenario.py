"""The power-cut scenario: everything about a run is drawn from its seed.

Phase one, safety: clients write and read through the router while machines lose their power, in the
middle of what they do, alone or together, while the network drops, delays and cuts, while clocks
are set. Phase two, liveness: all faults end, all machines come up, every request that is under way
must be answered. Then the books are compared; then once more, after another restart.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import errno
import importlib
import random
from array import array
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

from sim.client import ConnectionLost, SimClient
from sim.cluster import SimCluster, SimNode
from sim.loop import START_SECONDS, PowerLost, SimLoop, run
from sim.network import Conditions, Fabric
from sim.trial import Trial
from sim.workload import (
    DB,
    DISK_FAILED,
    TRANSIENT,
    Counter,
    Creator,
    Indexer,
    Inserter,
    Racer,
    Reader,
    Session,
    State,
    Versioner,
    Violation,
    Worker,
    expect,
)
from sim.workload_more import Bulk, Multiplier, Namer
from store_kit import check_consistent, check_lines

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_store.options import StoreOptions

OPERATIONS_MAX = 1200
CUTS_ENOUGH = 4
COUNTERS = 2
COLLECTIONS = ("bulk", "counters", "docs", "many", "unique", "versions")

KNOBS: dict[str, Callable[[random.Random], Any]] = {
    "psdb_server.operations.YIELD_DOCUMENTS": lambda rng: rng.choice([1, 3, 256]),
    "shardsvr.writes.UNIT_DOCUMENTS": lambda rng: rng.choice([1, 4, 256]),
}
"""What a run draws anew: module attributes, by their dotted name."""


def draw_store_options(rng: random.Random) -> StoreOptions:
    """Draw a store's settings, often such that everything happens often."""
    aside = random.Random(rng.getstate()[1][0])  # what is drawn of `rng` stays what it was
    return StoreOptions(
        cache_bytes=aside.choice([0, 3000, 10**8]),
        eager_documents=aside.choice([0, 20, 10_000]),
        segment_bytes=rng.choice([2000, 20_000, 10**7]),
        oplog_bytes=rng.choice([0, 30_000, 10**8]),
        checkpoint_log_bytes=rng.choice([5000, 50_000, 10**7]),
        checkpoint_seconds=rng.choice([0.3, 2.0, 60.0]),
        slice_documents=rng.choice([3, 31, 256]),
        compact_garbage_bytes=rng.choice([200, 10_000]),
        uncommitted_bytes=rng.choice([3000, 10**7]),
        block_bytes=rng.choice([3000, 50_000, 10**6]),
    )


@contextlib.contextmanager
def knobs(rng: random.Random) -> Iterator[None]:
    """Set the knobs for one run."""
    before: list[tuple[Any, str, Any]] = []
    try:
        for path, draw in KNOBS.items():
            module_name, _, attribute = path.rpartition(".")
            module = importlib.import_module(module_name)
            before.append((module, attribute, getattr(module, attribute)))
            setattr(module, attribute, draw(rng))
        yield
    finally:
        for module, attribute, value in before:
            setattr(module, attribute, value)


@dataclass
class Plan:
    """What is drawn before a run begins."""

    seed: int
    seconds: float = 6.0
    shuffles: bool = True
    pause_seconds: float = 0.5
    disk_seconds: float = 0.0005
    timeout_seconds: float = 3.0
    think_seconds: float = 0.02
    conditions: Conditions = field(default_factory=Conditions)
    faults: dict[str, float] = field(default_factory=dict)

    @classmethod
    def draw(cls, seed: int, rng: random.Random) -> Plan:
        conditions = Conditions(
            delay_seconds=rng.choice([0.0002, 0.001, 0.01]),
            spike=rng.choice([0.0, 0.0, 0.01, 0.05]),
            split=rng.choice([0.0, 0.2, 0.8]),
            refuse=rng.choice([0.0, 0.0, 0.05]),
            silent=rng.choice([0.0, 0.2, 0.8]),
            silent_seconds=rng.choice([0.5, 3.0]),
        )
        weights = {name: rng.choice([0.0, 0.5, 1.0, 2.0]) for name in FAULTS}
        weights["cut_power"] = rng.choice([2.0, 4.0])
        return cls(
            seed,
            seconds=rng.uniform(5.0, 25.0),
            shuffles=rng.random() < 0.8,
            pause_seconds=rng.choice([0.3, 1.0, 2.0]),
            disk_seconds=rng.choice([0.0002, 0.002, 0.02]),
            timeout_seconds=rng.choice([0.3, 3.0, 10.0]),
            think_seconds=rng.choice([0.01, 0.1, 0.5]),
            conditions=conditions,
            faults=weights,
        )


@dataclass
class Result:
    """What a run was."""

    seed: int
    trace: str
    checksums: array[int]
    steps: int
    virtual_seconds: float
    operations: int
    unknown: int
    retries: int
    power_cuts: int
    counts: dict[str, int]


class Scenario(Trial):
    """One run.

    Args:
        seed: Decides everything.
        expected: Checksums of an earlier run with this seed.
        spoil: Called with each machine before its first start: plants a fault.
        keep_log: Keep all log lines, not only the last.

    """

    LOOK_SECONDS = 0.05
    AWAY_SECONDS_MAX = 3.0
    AGAIN = 0.2
    FIRST_FAULT = "cut_power"

    def __init__(
        self,
        seed: int,
        *,
        expected: array[int] | None = None,
        spoil: Callable[[SimNode], None] | None = None,
        keep_log: bool = False,
    ) -> None:
        rng = random.Random(f"scenario {seed}")
        plan = Plan.draw(seed, rng)
        loop = SimLoop(seed, shuffles=plan.shuffles, expected=expected, seconds_max=600.0)
        super().__init__(rng, plan, loop, Fabric(loop, seed))
        self.cluster = SimCluster(self.loop, self.fabric, seed)
        for node in self.cluster.nodes:
            node.machine.disk.delay_seconds = self.plan.disk_seconds
            node.machine.clock.skew_ms = self.rng.choice([0, 0, -5000, 3_600_000])
            node.machine.clock.drift = self.rng.choice([0.0, 0.0, 0.001])
            node.store_options = draw_store_options(self.rng)
            node.note = self.note
            if keep_log:
                node.machine.log.lines = collections.deque()
            if spoil is not None:
                spoil(node)
        self.clients = 0
        self.session = Session(random.Random(self.rng.getrandbits(32)), self.connect)
        self.session.think_seconds = self.plan.think_seconds

    @property
    def nodes(self) -> list[SimNode]:
        """The machines of router, config server and shard."""
        return self.cluster.nodes

    @property
    def stopping(self) -> bool:
        """Whether the session stops."""
        return self.session.stopping

    @property
    def faults(self) -> dict[str, Callable[[Scenario], Coroutine[Any, Any, None]]]:
        """All of them."""
        return FAULTS

    def connect(self) -> SimClient:
        """Make a client on a machine of its own, which never fails."""
        self.clients += 1
        return self.cluster.client(
            f"client{self.clients}",
            seed=self.rng.getrandbits(32),
            seconds=self.plan.timeout_seconds,
        )

    def run(self) -> Result:
        """Run it; raises what broke."""
        with knobs(random.Random(self.rng.getrandbits(32))):
            run(self.loop, self.main())
        loop = self.loop
        trace = f"{loop.steps}-{loop.checksum:08x}-{self.rng.getrandbits(32):08x}"
        return Result(
            self.plan.seed, trace, loop.checksums, loop.steps, loop.time() - START_SECONDS,
            self.session.operations, self.session.unknown, self.session.retries,
            sum(node.cuts for node in self.cluster.nodes), self.counts,
        )  # fmt: skip

    # -- phases --------------------------------------------------------------------------------

    async def main(self) -> None:
        """Do everything."""
        await self.cluster.start()
        await self.prepare()
        self.fabric.conditions = self.plan.conditions
        workers = self.workers()
        tasks = [self.guarded(worker.run()) for worker in workers]
        chaos = self.guarded(self.chaos())
        self._background += [self.guarded(self.supervise(node)) for node in self.cluster.nodes]
        end = self.loop.time() + self.plan.seconds
        while self.loop.time() < end:
            await asyncio.sleep(0.05)
            cuts = sum(node.cuts for node in self.cluster.nodes)
            if self.session.operations >= OPERATIONS_MAX and cuts >= CUTS_ENOUGH:
                break
        self.session.stopping = True
        await chaos
        await self.heal()
        await self.answers(workers, tasks, self.loop.time())
        await self.check(workers)
        if self.rng.random() < 0.5:
            for node in self.cluster.nodes:
                node.cut_power()
        else:
            await self.cluster.stop()
        await self.heal()
        await self.check(workers)
        await self.cluster.stop()

    async def prepare(self) -> None:
        """Register the shard; make the counters and the unique index."""
        await self.cluster.add_shard()
        client = self.connect()
        counters = [{"_id": f"counter-{n}", "n": 0, "by": []} for n in range(COUNTERS)]
        await client.command(DB, {"insert": "counters", "documents": counters})
        unique = {"key": {"u": 1}, "name": "u_1", "unique": True}
        await client.command(DB, {"createIndexes": "unique", "indexes": [unique]})
        await client.close()

    def workers(self) -> list[Worker]:
        """Draw who takes part."""
        rng, session = self.rng, self.session
        answers: dict[str, dict[int, str]] = {}
        owners: dict[int, str] = {}
        workers: list[Worker] = [
            Inserter(session, "single", batch=1, retries=False),
            Inserter(session, "single-sure", batch=1, retries=True),
            Inserter(session, "batch", batch=rng.choice([5, 40]), retries=False),
            Inserter(session, "batch-sure", batch=rng.choice([5, 40]), retries=True),
            Counter(session, "count1", answers, COUNTERS),
            Counter(session, "count2", answers, COUNTERS),
            Versioner(session, "version"),
            Reader(session, "reader", COUNTERS),
            Indexer(session, "indexer"),
            Creator(session, "creator"),
            Multiplier(session, "multi"),
            Namer(session, "named"),
            Bulk(session, "bulk"),
        ]
        spread = rng.choice([1, 3, 20])
        workers += [Racer(session, f"racer{number}", owners, spread) for number in range(2)]
        return workers

    async def heal(self) -> None:
        """End all faults and bring everything up."""
        self.fabric.conditions = Conditions(silent_seconds=0.5)
        self.fabric.heal()
        for task in self._background:
            await task
        self._background.clear()
        for node in self.cluster.nodes:
            node.machine.disk.before = None
        await self.cluster.start_missing()

    # -- faults --------------------------------------------------------------------------------

    def victims(self) -> list[SimNode]:
        """Draw whom a fault hits: one machine, mostly the shard, or several, or all."""
        cluster, roll = self.cluster, self.rng.random()
        if roll < 0.45:
            return [cluster.shard]
        if roll < 0.65:
            return [cluster.config]
        if roll < 0.8:
            return [cluster.router]
        if roll < 0.9:
            return [cluster.config, cluster.shard]
        return list(cluster.nodes)

    async def cut_power(self) -> None:
        """Cut the power of some machines, now or in the middle of a coming disk operation."""
        for node in self.victims():
            keeps_cache = self.rng.random() < 0.2
            if not node.is_on:
                continue
            if node is self.cluster.router or self.rng.random() < 0.4:
                node.cut_power(keeps_cache=keeps_cache)
            else:
                node.cut_power_at(self.rng.randint(1, 40), keeps_cache=keeps_cache)

    async def restart_orderly(self) -> None:
        """Shut a server down and start it again."""
        node = self.rng.choice(self.cluster.nodes)
        if node.is_on and node.node is not None:
            await self.restart(node)

    async def checkpoint(self) -> None:
        """Have a member save everything now."""
        node = self.rng.choice([self.cluster.shard, self.cluster.shard, self.cluster.config])
        if node.node is not None:
            self._background.append(self.guarded(_checkpoint(node)))

    async def cut_network(self) -> None:
        """Cut two machines off from each other for a while, both ways or one way."""
        names = [node.name for node in self.cluster.nodes]
        one, other = self.rng.sample(names, 2)
        self.fabric.cut(one, other, both=self.rng.random() < 0.6)
        seconds = self.rng.random() ** 2 * 4

        async def mend() -> None:
            await asyncio.sleep(seconds)
            self.fabric.heal(one, other)

        self._background.append(self.guarded(mend()))

    async def fail_disk(self) -> None:
        """Let a machine's disk fail for good at a coming operation; later the power goes."""
        node = self.rng.choice([self.cluster.shard, self.cluster.config])
        if not node.is_on or node.node is None:
            return
        number = self.rng.choice([errno.EIO, errno.ENOSPC])
        node.fail_disk_at(self.rng.randint(1, 20), number)
        owner, seconds = node.owner, self.rng.random() * 2

        async def replace() -> None:
            await asyncio.sleep(seconds)
            if node.owner is owner:
                node.cut_power()

        self._background.append(self.guarded(replace()))

    async def hang_disk(self) -> None:
        """Let a thread of some machine's disk do nothing for a while."""
        node = self.rng.choice([self.cluster.shard, self.cluster.shard, self.cluster.config])
        thread = self.rng.choice(["journal", "journal", "checkpoint"])
        if node.is_on:
            node.hang_disk(thread, self.rng.random() * 2)

    # -- the books -----------------------------------------------------------------------------

    async def check(self, workers: list[Worker]) -> None:
        """Compare what the cluster holds with what the workers know."""
        self.note("check")
        client = self.connect()
        state: State = {}
        for name in COLLECTIONS:
            state[name] = await self.read(client, DB, name)
            await self.validate(client, name, len(state[name]))
        await self.check_groups(client, state)
        state["config.databases"] = await self.read(client, "config", "databases")
        for worker in workers:
            worker.client = client
            await worker.check(state)
        await client.close()
        for node in (self.cluster.shard, self.cluster.config):
            check_consistent(node.member.engine)
            check_lines(node.machine.disk)

    async def check_groups(self, client: SimClient, state: State) -> None:
        """Have the shard count by group what was read document by document."""
        group: Document = {"$group": {"_id": "$w", "n": {"$sum": 1}}}
        body: Document = {"aggregate": "docs", "pipeline": [group], "cursor": {}}
        reply = await client.command(DB, body)
        counted = {row["_id"]: row["n"] for row in reply["cursor"]["firstBatch"]}
        found = collections.Counter(document["w"] for document in state["docs"].values())
        expect(counted == found, f"{found} by reading, {counted} by group")

    async def read(self, client: SimClient, db: str, name: str) -> dict[Any, Document]:
        """Read a whole collection; no `_id` may come twice."""
        find: Document = {"find": name, "batchSize": self.rng.choice([7, 100, 1000])}
        while True:
            try:
                rows = await client.find_all(db, find)
                break
            except (ConnectionLost, MongoError) as error:
                transient = isinstance(error, ConnectionLost) or error.code in TRANSIENT
                if not transient and error.code != Code.CURSOR_NOT_FOUND:
                    raise Violation(f"reading {name}: {error!r}") from error
            await asyncio.sleep(0.05)
        by_id = {row["_id"]: row for row in rows}
        expect(len(by_id) == len(rows), f"{db}.{name} shows a document twice")
        return by_id

    async def validate(self, client: SimClient, name: str, count: int) -> None:
        """Have the shard check a collection's indexes against its documents."""
        try:
            reply = await client.command(DB, {"validate": name})
        except MongoError as error:
            expect(error.code == Code.NAMESPACE_NOT_FOUND and not count, f"{name}: {error!r}")
            return
        expect(reply["valid"], f"{name} is not valid: {reply}")
        expect(reply["nrecords"] == count, f"{name}: {reply['nrecords']} records, {count} found")
        reply = await client.command(DB, {"count": name})
        expect(reply["n"] == count, f"{name}: count {reply['n']}, found {count}")


async def _checkpoint(node: SimNode) -> None:
    try:
        await node.run(node.member.engine.checkpoint())
    except PowerLost:
        pass
    except MongoError as error:
        expect(error.code in DISK_FAILED, f"a checkpoint failed: {error!r}")


FAULTS: dict[str, Callable[[Scenario], Coroutine[Any, Any, None]]] = {
    "checkpoint": Scenario.checkpoint,
    "cut_network": Scenario.cut_network,
    "cut_power": Scenario.cut_power,
    "drop_connections": Scenario.drop_connections,
    "fail_disk": Scenario.fail_disk,
    "hang_disk": Scenario.hang_disk,
    "restart_orderly": Scenario.restart_orderly,
    "set_clock": Scenario.set_clock,
}


def run_seed(seed: int, **options: Any) -> Result:
    """Run the scenario of one seed."""
    return Scenario(seed, **options).run()
