"""The sharded scenario: routers, config servers and shards, each a replica set, under faults.

Phase one, safety: clients of two routers count, scan, update all, read and write registers, insert
and delete while chunks are moved, split and merged, the primary of their database moves, a shard
comes and goes, and all that can happen to a replica set happens to any of the sets; now and then
the config servers are all gone while a shard loses its primary. Phase two, liveness: all faults end
and every request must be answered. Then the books of the clients are compared with what is there.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from sim.client import ConnectionLost, SimClient, statement_errors
from sim.cluster import SimNode
from sim.loop import START_SECONDS, PowerLost, SimLoop, run
from sim.network import Conditions, Fabric
from sim.replica_client import UNKNOWN as LOST
from sim.replica_client import SetClient
from sim.replica_scenario import FAULTS as SET_FAULTS
from sim.replica_scenario import PORT, PRIMARY_SECONDS_MAX, ReplicaScenario
from sim.replica_workload import (
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

from configsvr.server import ConfigServer
from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_base.world import World
from router.server import Router
from router.shards import connect_over_network
from shardsvr.commands.table import MEMBER_COMMANDS
from shardsvr.member import Member

ROUTER_PORT = 27017
ROUTERS = ("router0", "router1")
CONFIG = "config"
ITEMS = 40
SECONDS = 12.0
UNKNOWN = LOST | {
    6, 24, 43, 46, 50, 70, 89, 91, 117, 125, 133, 175, 202, 237, 249, 262, 9001, 13388,
}
"""Errors that an application would try again after: nobody answered, or it was a bad moment."""
SHARDED = {
    "causal": {"_id": 1}, "docs": {"_id": "hashed"}, "items": {"k": 1}, "registers": {"_id": 1},
    "tags": {"k": 1},
}
"""The sharded collections with their keys; `counters` lives on the primary shard."""


@dataclass
class Plan:
    """What is drawn before a run begins."""

    seed: int
    shards: int = 2
    members: int = 3
    config_servers: int = 3
    shuffles: bool = True
    pause_seconds: float = 1.0
    disk_seconds: float = 0.001
    timeout_seconds: float = 10.0
    think_seconds: float = 0.5
    conditions: Conditions = field(default_factory=Conditions)
    faults: dict[str, float] = field(default_factory=dict)

    @classmethod
    def draw(cls, seed: int, rng: random.Random) -> Plan:
        conditions = Conditions(
            delay_seconds=rng.choice([0.0005, 0.002, 0.01]),
            spike=rng.choice([0.0, 0.0, 0.01, 0.05]),
            refuse=rng.choice([0.0, 0.0, 0.05]),
            silent=rng.choice([0.0, 0.2, 0.8]),
            silent_seconds=rng.choice([0.5, 3.0]),
        )
        shards, members, config_servers = rng.choice([
            (2, 3, 3), (2, 3, 3), (2, 3, 1), (3, 1, 1), (3, 1, 3),
        ])
        return cls(
            seed, shards, members, config_servers,
            shuffles=rng.random() < 0.8,
            pause_seconds=rng.choice([0.5, 1.0, 2.0]),
            disk_seconds=rng.choice([0.0005, 0.002, 0.01]),
            timeout_seconds=rng.choice([3.0, 10.0]),
            think_seconds=rng.choice([0.3, 0.8]),
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
    changes: dict[str, int]
    scans: int
    faults: dict[str, int]


class RouterClient:
    """A client of one router, with the ways of `SetClient` that workers use."""

    def __init__(self, inner: SimClient) -> None:
        self.inner = inner
        self.lsid = inner.lsid
        inner.retry_codes = UNKNOWN

    async def close(self) -> None:
        await self.inner.close()

    async def command(self, db: str, body: Document) -> Document:
        """Run a command once; ConnectionLost when it is unknown whether it was carried out."""
        try:
            reply = await self.inner.command(db, body)
        except MongoError as error:
            if error.code not in UNKNOWN:
                raise
            raise ConnectionLost(f"{error.code}") from error
        if any(code in UNKNOWN for code in statement_errors(reply)):
            raise ConnectionLost("a statement's error")
        return reply

    async def write(self, db: str, body: Document) -> Document:
        """Run a retryable write until it is answered, however often it takes."""
        return await self.inner.write(db, body)

    async def on_secondary(self, db: str, body: Document) -> tuple[SimClient, Any]:
        """Run a read that any member may answer."""
        preference: Document = {"$readPreference": {"mode": "secondaryPreferred"}}
        return self.inner, await self.command(db, {**body, **preference})


# -- more clients --------------------------------------------------------------------------------


class Adder(Worker):
    """Adds to items by their shard key, and without it: each addition happens once."""

    def __init__(self, books: Books, name: str, client: Any, keys: list[int]) -> None:
        super().__init__(books, name, client)
        self.added = dict.fromkeys(keys, 0)

    async def step(self) -> None:
        k = self.rng.choice(list(self.added))
        query: Document = {"k": k} if self.rng.random() < 0.7 else {"_id": k}
        self.added[k] += 1
        if self.rng.random() < 0.6:
            reply = await self.client.write(
                DB, {"update": "items", "updates": [{"q": query, "u": {"$inc": {"n": 1}}}]}
            )
            done = reply["n"] == 1 and "writeErrors" not in reply
        else:
            reply = await self.client.write(DB, {
                "findAndModify": "items", "query": query, "update": {"$inc": {"n": 1}},
            })
            done = reply["value"] is not None
        expect(done, f"{self.name}: {query} was not found: {reply}")

    def check(self, state: dict[str, dict[Any, Document]]) -> None:
        wrong = {
            k: (state["items"][k]["n"], n) for k, n in self.added.items()
            if state["items"][k]["n"] != n
        }
        expect(not wrong, f"{self.name}: (found, added) {wrong}")


class Upserter(Worker):
    """Counts under tags by upserts that do not name the shard key: each tag is there once.

    Where a tag goes is drawn anew by every attempt's router, so that a statement that is sent
    again may choose another shard.
    """

    def __init__(self, books: Books, name: str, client: Any) -> None:
        super().__init__(books, name, client)
        self.added: dict[str, int] = {}

    async def step(self) -> None:
        tag = f"{self.name}-{self.rng.randrange(1 + len(self.added))}"
        self.added[tag] = self.added.get(tag, 0) + 1
        place: Document = {"$floor": {"$multiply": [{"$rand": {}}, ITEMS]}}
        update = [{"$set": {
            "n": {"$add": [{"$ifNull": ["$n", 0]}, 1]}, "k": {"$ifNull": ["$k", place]},
        }}]
        if self.rng.random() < 0.6:
            reply = await self.client.write(DB, {
                "update": "tags", "updates": [{"q": {"tag": tag}, "u": update, "upsert": True}],
            })
            done = reply["n"] == 1 and "writeErrors" not in reply
        else:
            reply = await self.client.write(DB, {
                "findAndModify": "tags", "query": {"tag": tag}, "update": update,
                "upsert": True, "new": True,
            })
            done = reply["value"] is not None
        expect(done, f"{self.name}: {tag} was not counted: {reply}")

    def check(self, state: dict[str, dict[Any, Document]]) -> None:
        mine = [row for row in state["tags"].values() if row["tag"] in self.added]
        found = {row["tag"]: row["n"] for row in mine}
        expect(len(found) == len(mine), f"{self.name}: some tags are there twice: {mine}")
        expect(found == self.added, f"{self.name}: found {found}, added {self.added}")


class Everyone(Worker):
    """Updates all items; an update that is answered has hit each once, any other once at most."""

    def __init__(self, books: Books, name: str, client: Any) -> None:
        super().__init__(books, name, client)
        self.turns: dict[str, bool] = {}

    async def step(self) -> None:
        turn = str(len(self.turns))
        self.turns[turn] = False
        reply = await self.client.command(DB, {
            "update": "items",
            "updates": [{"q": {}, "u": {"$inc": {f"all.{turn}": 1}}, "multi": True}],
        })
        expect("writeErrors" not in reply, f"{self.name}: {reply}")
        expect(reply["n"] == ITEMS, f"{self.name} hit {reply['n']}")
        self.turns[turn] = True

    def check(self, state: dict[str, dict[Any, Document]]) -> None:
        for turn, answered in self.turns.items():
            hits = [row.get("all", {}).get(turn, 0) for row in state["items"].values()]
            expect(max(hits) <= 1, f"update {turn} of all hit some twice: {hits}")
            expect(not answered or min(hits) == 1, f"update {turn} of all missed some: {hits}")


class Scanner(Worker):
    """Looks at all items, in small batches, on primaries or anywhere: each is there once.

    A secondary that was away may not have them yet: it is asked for what was there by a time.
    """

    scans = 0

    def __init__(self, books: Books, name: str, client: Any, since: Document) -> None:
        super().__init__(books, name, client)
        self.since = since

    async def step(self) -> None:
        find: Document = {"find": "items", "batchSize": self.rng.choice([3, 20, 1000])}
        if self.rng.random() < 0.5:
            find["sort"] = {"k": 1}
        if self.rng.random() < 0.3:
            find["$readPreference"] = {"mode": "secondaryPreferred"}
            find |= self.since
        try:
            found = await self.client.inner.find_all(DB, find)
        except MongoError as error:
            if error.code in UNKNOWN:
                raise ConnectionLost(str(error.code)) from error
            raise
        keys = sorted(row["k"] for row in found)
        expect(keys == list(range(ITEMS)), f"{self.name}: {find} shows {keys}")
        self.scans += 1


class Mover(Worker):
    """Moves, splits and merges chunks, moves the primary, has a shard come and go."""

    def __init__(self, books: Books, name: str, client: Any, trial: ShardedScenario) -> None:
        super().__init__(books, name, client)
        self.trial = trial
        self.done: dict[str, int] = {}

    async def step(self) -> None:
        command = self.draw()
        try:
            await self.client.command("admin", command)
        except MongoError as error:
            if error.code not in BAD_CHANGES:
                raise
            return
        kind = next(iter(command))
        self.done[kind] = self.done.get(kind, 0) + 1

    def draw(self) -> Document:
        rng, shards = self.rng, list(self.trial.shards)
        kind = rng.choices(
            ["moveChunk", "split", "mergeAll", "movePrimary", "balancer", "shard"],
            [10, 3, 2, 2, 1, 1],
        )[0]
        name, key = rng.choice(list(SHARDED.items()))
        ns = f"{DB}.{name}"
        if kind == "moveChunk":
            command: Document = {"moveChunk": ns, "to": rng.choice(shards)}
            if name == "docs":
                return {"mergeAllChunksOnShard": ns, "shard": rng.choice(shards)}
            return {**command, "find": {next(iter(key)): self.value(name)}}
        if kind == "split":
            return {"split": ns, "find": {next(iter(key)): self.value(name)}} if (
                name == "docs"
            ) else {"split": ns, "middle": {next(iter(key)): self.value(name)}}
        if kind == "mergeAll":
            return {"mergeAllChunksOnShard": ns, "shard": rng.choice(shards)}
        if kind == "movePrimary":
            return {"movePrimary": DB, "to": rng.choice(shards)}
        if kind == "balancer":
            return {rng.choice(["balancerStart", "balancerStop"]): 1}
        last = shards[-1]
        if rng.random() < 0.5:
            return {"removeShard": last}
        return {"addShard": self.trial.present_host_of(last), "name": last}

    def value(self, name: str) -> Any:
        if name in ("items", "tags"):
            return self.rng.randrange(ITEMS)
        if name == "registers":
            return self.rng.choice(["r0a", "r0b", "r1a", "r1b"])
        if name == "causal":
            return f"causal-{self.rng.randrange(5)}"
        return f"ins{self.rng.randrange(2)}-{self.rng.randrange(50)}"


BAD_CHANGES = {2, 20, 26, 67, 72, 96, 178}
"""What a change drawn at random may be refused with."""


# -- the scenario --------------------------------------------------------------------------------


class ShardedScenario(ReplicaScenario):
    """One run; everything about it follows from the seed.

    The faults of a replica set hit one of the sets, which is drawn for each.
    """

    def __init__(
        self, seed: int, *, expected: Any = None, keep_log: bool = False,
        seconds: float = SECONDS, plan: Plan | None = None,
    ) -> None:
        rng = random.Random(f"sharded scenario {seed}")
        plan = plan or Plan.draw(seed, rng)
        self.seconds = seconds
        loop = SimLoop(seed, shuffles=plan.shuffles, expected=expected, seconds_max=900.0)
        Trial.__init__(self, rng, plan, loop, Fabric(loop, seed))
        self.shards = [f"shard{number}" for number in range(plan.shards)]
        self.groups: dict[str, list[SimNode]] = {
            CONFIG: self._set(CONFIG, plan.config_servers, seed),
            **{name: self._set(name, plan.members, seed) for name in self.shards},
        }
        self.routers = [self._router(name, seed) for name in ROUTERS]
        self.group: list[SimNode] | None = None
        self.kept_off: set[str] = set()
        for node in self.nodes:
            node.machine.disk.delay_seconds = plan.disk_seconds
            node.machine.clock.skew_ms = rng.choice([0, 0, -5000, 60_000])
            node.machine.clock.drift = rng.choice([0.0, 0.0, 0.001])
            node.note = self.note
            if keep_log:
                from collections import deque

                node.machine.log.lines = deque()
        self.books = Books(random.Random(rng.getrandbits(32)), self.loop.time)
        self.books.think_seconds = plan.think_seconds
        self.clients = 0

    def _set(self, name: str, count: int, seed: int) -> list[SimNode]:
        make: Any = ConfigServer if name == CONFIG else None

        def build(world: World) -> Member:
            options: Document = {"replication": {"replSetName": name}}
            if make is not None:
                return ConfigServer(world, options, "/data")
            return Member(world, MEMBER_COMMANDS, options, "/data")

        found = []
        for number in range(count):
            machine = SimMachine(self.loop, self.fabric, f"{name}-{number}", seed)
            node = SimNode(machine, PORT, build)
            # The log is kept: there is no snapshot for a member whose next entry is gone.
            options = draw_store_options(self.rng)
            node.store_options = replace(options, oplog_bytes=10**9)
            found.append(node)
        return found

    def _router(self, name: str, seed: int) -> SimNode:
        host = self.host_of(CONFIG)

        def build(world: World) -> Router:
            config = connect_over_network(world, host)
            return Router(
                world, {"sharding": {"configDB": host}}, config,
                lambda one: connect_over_network(world, one),
            )

        return SimNode(SimMachine(self.loop, self.fabric, name, seed), ROUTER_PORT, build)

    def host_of(self, name: str) -> str:
        """Return the connection string of a set."""
        return f"{name}/{','.join(f'{node.name}:{PORT}' for node in self.groups[name])}"

    def present_host_of(self, name: str) -> str:
        """Return the connection string of the members that a set has now, as far as is known."""
        before, self.group = self.group, self.groups[name]
        found = self.present() or self.group
        self.group = before
        return f"{name}/{','.join(f'{node.name}:{PORT}' for node in found)}"

    @property
    def nodes(self) -> list[SimNode]:
        """The members' machines: of the set that a fault is about to hit, of all otherwise."""
        if self.group is not None:
            return self.group
        return [node for group in self.groups.values() for node in group]

    @property
    def faults(self) -> dict[str, Callable[[ShardedScenario], Coroutine[Any, Any, None]]]:  # type: ignore[override]
        """All of them."""
        return FAULTS

    def client(self) -> SetClient:
        """Make a client of the set that a fault hits."""
        return self.set_client(self.nodes)

    def set_client(self, group: list[SimNode]) -> SetClient:
        """Make a client of a set."""
        self.clients += 1
        return SetClient(
            self.fabric, f"client{self.clients}", [(node.name, PORT) for node in group],
            self.rng.getrandbits(32), self.plan.timeout_seconds,
        )

    def router_client(self) -> RouterClient:
        """Make a client of either router."""
        self.clients += 1
        router = ROUTERS[self.clients % len(ROUTERS)]
        return RouterClient(SimClient(
            self.fabric.network(f"client{self.clients}"), (router, ROUTER_PORT),
            self.rng.getrandbits(32), timeout_seconds=self.plan.timeout_seconds,
        ))

    def run(self) -> Result:  # type: ignore[override]
        """Run it; raises what broke."""
        with knobs(random.Random(self.rng.getrandbits(32))):
            run(self.loop, self.main())
        loop, books = self.loop, self.books
        return Result(
            self.plan.seed, f"{loop.steps}-{loop.checksum:08x}-{self.rng.getrandbits(32):08x}",
            loop.checksums, loop.steps, loop.time() - START_SECONDS, books.operations,
            books.unknown, self.changes(), sum(one.scans for one in self.scanners), self.counts,
        )  # fmt: skip

    def changes(self) -> dict[str, int]:
        """Count what the movers have done, by command."""
        done: dict[str, int] = {}
        for mover in self.movers:
            for name, count in mover.done.items():
                done[name] = done.get(name, 0) + count
        return done

    # -- phases ------------------------------------------------------------------------------------

    async def main(self) -> None:
        """Do everything."""
        for node in [*self.nodes, *self.routers]:
            await node.start()
        for group in self.groups.values():
            await self.found(group)
        await self.prepare()
        self.fabric.conditions = self.plan.conditions
        workers = self.workers()
        tasks = [self.guarded(worker.run()) for worker in workers]
        chaos = self.guarded(self.chaos())
        self._background += [
            self.guarded(self.supervise(node)) for node in [*self.nodes, *self.routers]
        ]
        await asyncio.sleep(self.seconds)
        self.books.stopping = True
        await chaos
        await self.heal()
        await self.settle(workers, tasks)
        await self.check(workers)
        for node in [*self.nodes, *self.routers]:
            node.cut_power()

    async def found(self, group: list[SimNode]) -> None:
        """Found a set."""
        self.group = group
        name = group[0].name.rpartition("-")[0]
        client = self.client()
        config = {
            "_id": name, "settings": {"electionTimeoutMillis": 1000},
            "members": [
                {"_id": n, "host": f"{node.name}:{PORT}"} for n, node in enumerate(group)
            ],
        }
        if name == CONFIG:
            config["configsvr"] = True
        await next(iter(client.members.values())).command("admin", {"replSetInitiate": config})
        async with asyncio.timeout(PRIMARY_SECONDS_MAX):
            await client.find_primary()
        await client.close()
        self.group = None

    async def prepare(self) -> None:
        """Register the shards; shard the collections, and cut one into chunks on both."""
        client = self.router_client()
        sure = client.inner
        for name in self.shards:
            await self.surely(client, {"addShard": self.host_of(name), "name": name})
        await self.surely(client, {"balancerStop": 1})
        for name, key in SHARDED.items():
            await self.surely(client, {"shardCollection": f"{DB}.{name}", "key": key})
        inserted = await sure.write(DB, {"insert": "items"}, {"documents": [
            {"_id": k, "k": k, "n": 0} for k in range(ITEMS)
        ]})
        self.items_since: Document = {
            "readConcern": {"level": "local", "afterClusterTime": inserted["operationTime"]},
            "$clusterTime": inserted["$clusterTime"],
        }
        await self.surely(client, {"split": f"{DB}.items", "middle": {"k": ITEMS // 2}})
        await self.surely(client, {"split": f"{DB}.registers", "middle": {"_id": "r1a"}})
        await self.surely(client, {"split": f"{DB}.tags", "middle": {"k": ITEMS // 2}})
        await client.close()

    async def surely(self, client: RouterClient, command: Document) -> None:
        """Run a command until it is answered."""
        while True:
            try:
                await client.command("admin", command)
            except ConnectionLost:
                await asyncio.sleep(0.1)
            else:
                return

    def workers(self) -> list[Worker]:
        """Draw who takes part."""
        books, client = self.books, self.router_client
        workers: list[Worker] = [
            Adder(books, f"add{n}", client(), list(range(n, ITEMS, 2))) for n in range(2)
        ]
        for group in range(2):
            keys = [f"r{group}a", f"r{group}b"]
            workers += [
                Registers(books, f"reg{group}{n}", client(), keys)  # type: ignore[arg-type]
                for n in range(2)
            ]
        workers.append(Counter(books, "count", client()))  # type: ignore[arg-type]
        workers += [
            Inserter(books, f"ins{n}", client()) for n in range(2)  # type: ignore[arg-type]
        ]
        workers.append(Witness(books, "witness", client()))  # type: ignore[arg-type]
        workers.append(Causal(books, "causal", client()))  # type: ignore[arg-type]
        workers.append(Everyone(books, "everyone", client()))
        self.scanners = [Scanner(books, f"scan{n}", client(), self.items_since) for n in range(2)]
        self.movers = [Mover(books, f"mover{n}", client(), self) for n in range(2)]
        upserters = [Upserter(books, f"tag{n}", client()) for n in range(2)]
        return [*workers, *self.scanners, *self.movers, *upserters]

    async def heal(self) -> None:
        """End all faults and bring everything up."""
        self.kept_off.clear()
        self.fabric.conditions = Conditions(silent_seconds=0.5)
        self.fabric.heal()
        for task in self._background:
            await task
        self._background.clear()
        self.fabric.heal()
        for node in [*self.nodes, *self.routers]:
            node.machine.disk.before = None
            if node.is_on and node.machine.log.expected:
                node.cut_power()  # its disk failed for good
            while not node.is_on:
                try:
                    await node.start()
                except PowerLost:
                    continue
        self.note("all faults are over")

    async def settle(self, workers: list[Worker], tasks: list[asyncio.Task[None]]) -> None:
        """Wait for all answers; with all faults over that may not take long."""
        await self.answers(workers, tasks, self.loop.time())

    async def supervise(self, node: SimNode) -> None:
        """Bring a machine back, unless it is to stay off for a while."""
        while not self.stopping:
            await asyncio.sleep(self.LOOK_SECONDS)
            if node.name not in self.kept_off:
                await self.bring_back(node)

    async def bring_back(self, node: SimNode) -> None:
        """Start a machine that is off, after a while; its power may go again meanwhile."""
        if node.is_on:
            return
        await asyncio.sleep(self.rng.random() ** 3 * self.AWAY_SECONDS_MAX)
        if node.name in self.kept_off or node.is_on:
            return
        try:
            starting = self.loop.create_task(node.start())
            if self.rng.random() < self.AGAIN and node not in self.routers:
                node.cut_power_at(self.rng.randint(1, 25))
            await starting
        except PowerLost:
            pass

    # -- faults ------------------------------------------------------------------------------------

    async def hit_a_set(self, fault: Any) -> None:
        """Have a fault of replica sets hit one of the sets."""
        self.group = self.rng.choice(list(self.groups.values()))
        if len(self.group) == 1 and fault in _OF_SEVERAL:
            fault = ShardedScenario.cut_one
        try:
            await fault(self)
        finally:
            self.group = None

    async def cut_one(self) -> None:
        """Cut the power of a set's only member, now or at a coming disk operation."""
        (node,) = self.nodes
        if node.is_on:
            node.cut_power_at(self.rng.randint(1, 10), keeps_cache=self.rng.random() < 0.2)

    async def cut_cables(self) -> None:
        """Cut machines of different sets, or routers, off from each other for a while."""
        rng = self.rng
        names = [node.name for node in [*self.nodes, *self.routers]]
        cuts: list[tuple[str, str]] = []
        if rng.random() < 0.5:
            cuts = [tuple(rng.sample(names, 2))]  # type: ignore[list-item]
        else:
            side = [node.name for node in rng.choice(list(self.groups.values()))]
            other = rng.choice([name for name in names if name not in side])
            cuts = [(other, one) for one in side]
        both = rng.random() < 0.7
        for one, other in cuts:
            self.fabric.cut(one, other, both=both)
        seconds = rng.random() ** 2 * 8

        async def mend() -> None:
            await asyncio.sleep(seconds)
            for one, other in cuts:
                self.fabric.heal(one, other)

        self._background.append(self.guarded(mend()))

    async def config_gone(self) -> None:
        """Take all config servers away for a while, and a shard's primary with them."""
        rng, group = self.rng, self.groups[CONFIG]
        names = [node.name for node in group]
        self.kept_off.update(names)
        for node in group:
            node.cut_power(keeps_cache=rng.random() < 0.3)
        self.group = self.groups[rng.choice(self.shards)]
        leader = self.leader()
        self.group = None
        if leader is not None:
            leader.cut_power()
        seconds = 1 + rng.random() * 6

        async def give_back() -> None:
            await asyncio.sleep(seconds)
            self.kept_off.difference_update(names)

        self._background.append(self.guarded(give_back()))

    async def restart_router(self) -> None:
        """End a router's process; it comes back and knows nothing."""
        self.rng.choice(self.routers).cut_power()

    # -- the books ---------------------------------------------------------------------------------

    async def check(self, workers: list[Worker]) -> None:
        """Compare what the cluster holds with what the clients know, and what the shards hold."""
        self.note("check")
        for node in self.nodes:  # those of clients that are gone would stay for ten minutes
            for cursor in list(node.member.cursors.open.values()):
                await node.run(node.member.cursors.kill(cursor.id))
        client = self.router_client()
        state = {name: await self.read_all(client, name) for name in [*SHARDED, "counters"]}
        for worker in workers:
            worker.check(state)
        await self.check_orphans(client, state)
        await self.check_changes(client)
        reply = await client.command("admin", {"checkMetadataConsistency": 1})
        expect(reply["cursor"]["firstBatch"] == [], f"{reply}")
        await client.close()
        for group in self.groups.values():
            self.group = group
            await self.same_state()
        self.group = None
        for node in self.nodes:
            check_consistent(node.member.engine)
            check_lines(node.machine.disk)

    async def check_changes(self, client: RouterClient) -> None:
        """Nothing is left that is in the way of further changes."""
        last = self.loop.time() + SETTLE_SECONDS_MAX
        undrained: Document = {"q": {}, "u": {"$unset": {"draining": 1}}, "multi": True}
        wanted: list[Document] = [
            {"update": "shards", "updates": [undrained]},
            {"addShard": "", "name": self.shards[-1]},
            {"balancerStop": 1},
            *({"moveChunk": f"{DB}.items", "find": {"k": 0}, "to": one} for one in self.shards),
            {"moveChunk": f"{DB}.items", "find": {"k": 0}, "to": self.shards[0]},
            *({"movePrimary": DB, "to": one} for one in self.shards[:-1]),
        ]
        for command in wanted:
            while True:
                if "addShard" in command:  # a change of membership may have ended meanwhile
                    command["addShard"] = self.present_host_of(command["name"])
                try:
                    db = "config" if "update" in command else "admin"
                    await client.command(db, command)
                    break
                except (ConnectionLost, MongoError) as error:
                    if self.loop.time() > last:
                        raise Violation(f"{command} is not possible: {error!r}") from error
                    if "addShard" in command and getattr(error, "code", 0) == 96:
                        await self.empty(self.shards[-1])
                    await asyncio.sleep(0.5)

    async def empty(self, shard: str) -> None:
        """Drop what is left on a shard that was removed, as is asked for before it is added."""
        client = self.set_client(self.groups[shard])
        await client.sure(DB, {"dropDatabase": 1})
        await client.close()

    async def read_all(self, client: RouterClient, name: str) -> dict[Any, Document]:
        """Read a whole collection through a router."""
        end = self.loop.time() + SETTLE_SECONDS_MAX
        while True:
            try:
                rows = await client.inner.find_all(DB, {"find": name, "batchSize": 1000})
            except (ConnectionLost, MongoError) as error:
                code = error.code if isinstance(error, MongoError) else 0
                if (code and code not in UNKNOWN) or self.loop.time() > end:
                    raise Violation(f"reading {name}: {error!r}") from error
                await asyncio.sleep(0.2)
                continue
            by_id = {row["_id"]: row for row in rows}
            expect(len(by_id) == len(rows), f"{name} shows a document twice")
            return by_id

    async def check_orphans(
        self, client: RouterClient, state: dict[str, dict[Any, Document]]
    ) -> None:
        """The shards together hold each document once, when they had time to tidy up."""
        end = self.loop.time() + 2 * SETTLE_SECONDS_MAX
        while True:
            rows = await client.inner.find_all("config", {"find": "shards"})
            there = [row["_id"] for row in rows]  # one that has left may keep what was deleted
            held = {}
            for name in SHARDED:
                held[name] = 0
                for shard in there:
                    self.group = self.groups[shard]
                    leader = self.leader()
                    self.group = None
                    collection = None if leader is None else (
                        leader.member.engine.collection(DB, name))
                    held[name] += 0 if collection is None else collection.count
            wrong = {
                name: (count, len(state[name])) for name, count in held.items()
                if count != len(state[name])
            }
            if not wrong:
                return
            if self.loop.time() > end:
                raise Violation(f"the shards hold more than there is: {wrong}")
            await asyncio.sleep(0.5)


def _of_a_set(fault: Any) -> Callable[[ShardedScenario], Coroutine[Any, Any, None]]:
    def hit(trial: ShardedScenario) -> Coroutine[Any, Any, None]:
        return trial.hit_a_set(fault)

    return hit


_OF_SEVERAL = (
    ReplicaScenario.cut_power, ReplicaScenario.part, ReplicaScenario.reconfigure,
    ReplicaScenario.step_down,
)
FAULTS: dict[str, Callable[[ShardedScenario], Coroutine[Any, Any, None]]] = {
    "config_gone": ShardedScenario.config_gone,
    "cut_cables": ShardedScenario.cut_cables,
    "restart_router": ShardedScenario.restart_router,
    **{
        name: _of_a_set(fault) for name, fault in SET_FAULTS.items()
    },
}


def run_seed(seed: int, **options: Any) -> Result:
    """Run the scenario of one seed."""
    return ShardedScenario(seed, **options).run()
