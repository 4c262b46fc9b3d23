"""A simulated cluster of shards under faults: two routers, a config server, three shards.

Clients count up, insert, update many and scan; meanwhile chunks are moved, split and merged, and
power goes, links are cut, packets are lost. What must hold: an acknowledged write has its effect
exactly once, a scan shows each document once, an update of many hits each document once.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

from sim.client import ConnectionLost, SimClient, statement_errors
from sim.cluster import SimNode
from sim.loop import PowerLost, SimLoop, run
from sim.network import Fabric
from sim.workload import Violation
from sim.world import SimMachine

from configsvr.server import ConfigServer
from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_base.world import World
from router.server import Router
from router.shards import connect_over_network
from shardsvr.commands.table import MEMBER_COMMANDS
from shardsvr.member import Member

SHARDS = ("shard0", "shard1", "shard2")
ROUTERS = ("router0", "router1")
COUNTERS = 60
NS = "db.counters"
UNKNOWN = frozenset(
    {6, 43, 46, 70, 89, 91, 117, 175, 189, 200, 237, 249, 9001, 11600, 11602, 13388}
)
"""Errors that an application would try again after: nobody answered, or it was a bad moment."""


def make_router(world: World) -> Router:
    config = connect_over_network(world, "config:27019")
    options = {"sharding": {"configDB": "config:27019"}}
    return Router(world, options, config, lambda name: connect_over_network(world, name))


class ShardedCluster:
    """The machines."""

    def __init__(self, loop: SimLoop, fabric: Fabric, seed: int) -> None:
        self.fabric = fabric

        def node(name: str, port: int, make: Any) -> SimNode:
            return SimNode(SimMachine(loop, fabric, name, seed), port, make)

        self.config = node("config", 27019, lambda world: ConfigServer(world, {}, "/config"))
        self.shards = [
            node(name, 27018, lambda world: Member(world, MEMBER_COMMANDS, {}, "/shard"))
            for name in SHARDS
        ]
        self.routers = [node(name, 27017, make_router) for name in ROUTERS]
        self.members = [self.config, *self.shards]

    async def start(self) -> None:
        for node in [*self.members, *self.routers]:
            await node.start()
        client = self.client("setup", 0)
        for name in SHARDS:
            await client.command("admin", {"addShard": f"{name}:27018", "name": name})
        await client.command("admin", {"balancerStop": 1})
        await client.close()

    def client(self, name: str, number: int) -> SimClient:
        router = ROUTERS[number % len(ROUTERS)]
        client = SimClient(
            self.fabric.network(name), (router, 27017), number, timeout_seconds=20.0
        )
        client.retry_codes = UNKNOWN
        return client

    async def revive(self) -> None:
        """Switch on what is off, and connect everything."""
        self.fabric.heal()
        for node in self.members:
            node.machine.disk.before = None
            while not node.is_on:
                try:
                    await node.start()
                except PowerLost:
                    continue


class Scenario:
    """One run from a seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(f"sharded {seed}")
        self.loop = SimLoop(seed)
        self.cluster = ShardedCluster(self.loop, Fabric(self.loop, seed), seed)
        self.counts = dict.fromkeys(range(COUNTERS), 0)
        self.everyone = 0
        self.moves = 0
        self.scans = 0
        self.stopping = False

    def run(self) -> None:
        """Play it; raises Violation."""
        run(self.loop, self._main())

    async def _main(self) -> None:
        cluster = self.cluster
        await cluster.start()
        client = cluster.client("creator", 99)
        await client.command("admin", {"shardCollection": NS, "key": {"k": 1}})
        await client.write("db", {"insert": "counters"}, {"documents": [
            {"_id": k, "k": k, "n": 0, "m": 0} for k in range(COUNTERS)
        ]})
        for at in (15, 30, 45):
            await client.command("admin", {"split": NS, "middle": {"k": at}})
        workers = [
            asyncio.ensure_future(work) for work in (
                self._count(0), self._count(1), self._all(2), self._scan(3), self._scan(4),
                self._move(5),
            )
        ]
        await self._trouble()
        self.stopping = True
        await cluster.revive()
        for worker in workers:
            await worker
        await self._check(client)

    # -- clients -----------------------------------------------------------------------------------

    async def _count(self, number: int) -> None:
        """Count up by retryable writes: each has its effect exactly once."""
        client = self.cluster.client(f"counter{number}", number)
        while not self.stopping:
            k = self.chance.randrange(number, COUNTERS, 2)
            by_key = self.chance.random() < 0.8
            query: Document = {"k": k} if by_key else {"_id": k}
            reply = await client.write(
                "db", {"update": "counters", "updates": [{"q": query, "u": {"$inc": {"n": 1}}}]}
            )
            if statement_errors(reply) or reply["n"] != 1:
                raise Violation(f"counter {k} was not found: {reply}")
            if by_key:
                self.counts[k] += 1
            else:
                self.counts[k] = await self._value(client, k)
            await asyncio.sleep(self.chance.random() * 0.02)

    async def _value(self, client: SimClient, k: int) -> int:
        while True:
            try:
                found = await client.find_all("db", {"find": "counters", "filter": {"k": k}})
                return int(found[0]["n"])
            except (ConnectionLost, MongoError):
                await asyncio.sleep(0.1)

    async def _all(self, number: int) -> None:
        """Update all documents; when it is answered, each was hit once."""
        client = self.cluster.client(f"all{number}", number)
        while not self.stopping:
            try:
                reply = await client.command("db", {
                    "update": "counters",
                    "updates": [{"q": {}, "u": {"$inc": {"m": 1}}, "multi": True}],
                })
            except (ConnectionLost, MongoError):
                return  # it may have hit some: from now on nobody knows
            if statement_errors(reply):
                return
            if reply["n"] != COUNTERS:
                raise Violation(f"an update of all hit {reply['n']}")
            self.everyone += 1
            await self._same_everywhere(client)
            await asyncio.sleep(self.chance.random() * 0.2)

    async def _same_everywhere(self, client: SimClient) -> None:
        try:
            found = await client.find_all("db", {"find": "counters"})
        except (ConnectionLost, MongoError):
            return
        if any(document["m"] != self.everyone for document in found):
            raise Violation(f"updates of all: {[d['m'] for d in found]} after {self.everyone}")

    async def _scan(self, number: int) -> None:
        """Look at all documents: each is there once."""
        client = self.cluster.client(f"scanner{number}", number)
        while not self.stopping:
            find: Document = {"find": "counters", "batchSize": self.chance.choice((3, 20, 1000))}
            if self.chance.random() < 0.5:
                find["sort"] = {"k": 1}
            try:
                found = await client.find_all("db", find)
            except ConnectionLost:
                continue
            except MongoError as error:
                if error.code not in UNKNOWN:
                    raise Violation(f"a scan failed: {error}") from error
                continue
            if sorted(document["k"] for document in found) != list(range(COUNTERS)):
                raise Violation(f"a scan shows {[document['k'] for document in found]}")
            self.scans += 1
            await asyncio.sleep(self.chance.random() * 0.05)

    async def _move(self, number: int) -> None:
        """Move, split and merge chunks."""
        client = self.cluster.client(f"mover{number}", number)
        while not self.stopping:
            k = self.chance.randrange(COUNTERS)
            command: Document = {
                "moveChunk": NS, "find": {"k": k}, "to": self.chance.choice(SHARDS),
            }
            kind = self.chance.random()
            if kind < 0.15:
                command = {"split": NS, "middle": {"k": k}}
            elif kind < 0.25:
                command = {"mergeAllChunksOnShard": NS, "shard": self.chance.choice(SHARDS)}
            try:
                await client.command("admin", command)
                self.moves += "moveChunk" in command
            except (ConnectionLost, MongoError):
                await asyncio.sleep(0.1)
            await asyncio.sleep(self.chance.random() * 0.1)

    # -- faults ------------------------------------------------------------------------------------

    async def _trouble(self) -> None:
        """Cut power and links, break connections, put things right again."""
        cluster, chance = self.cluster, self.chance
        for _ in range(10):
            await asyncio.sleep(0.2 + chance.random() * 1.5)
            kind = chance.choice(("power", "power", "kill", "cut", "drop"))
            victim = chance.choice(cluster.members)
            if kind == "power" and victim.is_on:
                victim.cut_power_at(chance.randrange(1, 6))
            elif kind == "kill":
                victim.cut_power(keeps_cache=True)
            elif kind == "cut":
                one, other = chance.sample([*SHARDS, "config", *ROUTERS], 2)
                cluster.fabric.cut(one, other)
            else:
                cluster.fabric.drop(4)
            await asyncio.sleep(chance.random() * 2)
            await cluster.revive()

    async def _check(self, client: SimClient) -> None:
        """After all: every document once, with all that was acknowledged."""
        deadline = self.loop.time() + 1200  # cursors of lost clients time out after ten minutes
        while True:
            try:
                found = await client.find_all("db", {"find": "counters"})
                break
            except (ConnectionLost, MongoError) as error:
                if self.loop.time() > deadline:
                    raise Violation(f"no peace after the faults: {error}") from error
                await asyncio.sleep(0.5)
        values = {document["k"]: document["n"] for document in found}
        if len(found) != COUNTERS or values != self.counts:
            wrong = {k: (values.get(k), n) for k, n in self.counts.items() if values.get(k) != n}
            raise Violation(f"counters (found, acknowledged): {wrong}")
        await self._check_orphans(deadline)

    async def _check_orphans(self, deadline: float) -> None:
        """The shards together hold each document once, when they had time to tidy up."""
        while True:
            total = 0
            for node in self.cluster.shards:
                collection = node.member.engine.collection("db", "counters")
                total += 0 if collection is None else collection.count
            if total == COUNTERS:
                return
            if self.loop.time() > deadline:
                raise Violation(f"the shards hold {total} documents")
            await asyncio.sleep(0.5)
