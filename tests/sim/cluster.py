"""A real cluster on simulated machines: a router, a config server, a shard.

Each runs the same objects as the process of that role does, in a world of its own, and speaks to
the others over the simulated network only. A machine can lose its power at any moment, also in the
middle of what it does to its disk, and be switched on again on what the disk then holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from sim.client import SimClient
from sim.loop import Owner, PowerCut, PowerLost, SimLoop, SimulationError
from sim.network import Fabric
from sim.world import SimMachine
from simdisk import SimDisk

from configsvr.server import ConfigServer
from psdb_base.errors import MongoError
from psdb_base.world import World
from psdb_server.node import Node
from psdb_store.options import StoreOptions
from psdb_wire.server import Server
from router.server import Router
from router.shards import connect_over_network
from shardsvr.commands.table import MEMBER_COMMANDS
from shardsvr.member import Member

CONFIG_ADDRESS = ("config", 27019)
ROUTER_ADDRESS = ("router", 27017)
SHARD_ADDRESS = ("shard0", 27018)
START_SECONDS_MAX = 60.0
DISK_FAILURE_LINES = frozenset({7100003, 7100004})
"""What a server logs as errors when its disk fails."""


class CannotStart(SimulationError):
    """A machine does not come up on what its disk holds."""


@dataclass
class SimNode:
    """A machine and the server that runs on it while it has power.

    Attributes:
        machine: What outlives the power.
        port: Where the server listens.
        make: Makes the server in a world.
        owner: The present life; None while it is off.
        node: The server of the present life.
        store_options: Settings of a member's store in its coming lives.
        cuts: How often the power went.
        note: Told of each start and end of a life.

    """

    machine: SimMachine
    port: int
    make: Callable[[World], Node]
    owner: Owner | None = None
    node: Node | None = None
    store_options: StoreOptions = field(default_factory=StoreOptions)
    cuts: int = 0
    note: Callable[[str], None] = lambda _: None

    @property
    def name(self) -> str:
        return self.machine.name

    @property
    def is_on(self) -> bool:
        return self.owner is not None

    @property
    def member(self) -> Member:
        """The running server as the replica-set member it is."""
        assert isinstance(self.node, Member)
        return self.node

    async def start(self) -> None:
        """Switch the machine on; PowerLost when its power goes before it serves."""
        assert self.owner is None, f"{self.name} is on"
        loop = self.machine.loop
        owner = self.owner = loop.owner(self.name)
        self.machine.log.expected = frozenset()
        try:
            async with asyncio.timeout(START_SECONDS_MAX):
                await loop.run_for(owner, self._serve(owner))
        except TimeoutError as error:
            raise CannotStart(f"{self.name} did not start in {START_SECONDS_MAX} s") from error
        except (MongoError, OSError) as error:
            raise CannotStart(f"{self.name}: {error!r}") from error

    async def _serve(self, owner: Owner) -> None:
        """Do what `psdb.serve` does."""
        world = self.machine.world()
        node = self.make(world)
        if isinstance(node, Member):
            node.store_options = self.store_options
            node.connect = lambda host: connect_over_network(world, host)
        await node.start()
        server = Server(world, node.handler)
        node.server = server
        port = await server.listen("0.0.0.0", self.port)
        node.host = f"{self.name}:{port}"
        if not owner.dead:
            self.node = node
            self.note(f"{self.name} serves")

    async def stop(self) -> None:
        """Shut the server down in order, then switch the machine off."""
        owner, node = self.owner, self.node
        assert owner is not None
        assert node is not None
        try:
            await self.machine.loop.run_for(owner, node.stop())
        except MongoError:
            if not self.machine.log.expected:  # its disk was not made to fail
                raise
        if self.owner is owner:
            self._end_life(keeps_cache=True)

    def cut_power(self, *, keeps_cache: bool = False) -> None:
        """Take the power away now.

        Args:
            keeps_cache: Only the process ends: what it wrote is there, synced or not.

        """
        if self.owner is not None:
            self.cuts += 1
            self._end_life(keeps_cache=keeps_cache)

    def _end_life(self, *, keeps_cache: bool) -> None:
        self.note(f"{self.name} goes off, {'its cache is kept' if keeps_cache else 'power lost'}")
        machine, owner, old = self.machine, self.owner, self.machine.disk
        assert owner is not None
        machine.disk = old.kill() if keeps_cache else old.crash(machine.random)
        machine.disk.before, machine.disk.lies = None, old.lies
        machine.disk.delay_seconds = old.delay_seconds
        machine.disk.trace.clear()
        owner.power_off()
        machine.fabric.power_off(owner)
        self.owner = self.node = None

    def wipe(self) -> None:
        """Take the power away and put an empty disk in: what comes back is another member."""
        self.cut_power()
        self.note(f"{self.name} gets an empty disk")
        machine, old = self.machine, self.machine.disk
        machine.disk = SimDisk(machine.random.getrandbits(32))
        machine.disk.lies, machine.disk.delay_seconds = old.lies, old.delay_seconds

    def cut_power_at(self, nth: int, *, keeps_cache: bool = False) -> None:
        """Take the power away at the nth operation on the disk from now, in its middle."""
        disk, left = self.machine.disk, nth

        def before(operation: str, path: str) -> None:
            nonlocal left
            if self.machine.disk is not disk:
                raise PowerCut
            left -= 1
            if left <= 0:
                self.cut_power(keeps_cache=keeps_cache)
                raise PowerCut(f"{self.name} at {operation} {path}")

        disk.before = before

    def fail_disk_at(self, nth: int, number: int) -> None:
        """Let the nth operation on the disk from now, and all later ones of this life, fail."""
        disk = self.machine.disk
        disk.fail_at(nth - 1, number)
        self.machine.log.expected = DISK_FAILURE_LINES

    def hang_disk(self, thread: str, seconds: float) -> None:
        """Let a thread of the disk do nothing for a while; what is submitted to it waits."""
        owner, disk = self.owner, self.machine.disk
        assert owner is not None

        async def hang() -> None:
            disk.hung[thread] = True
            await asyncio.sleep(seconds)
            disk.release(thread)

        self.machine.loop.start_for(owner, hang())

    async def run(self, work: Awaitable[Any]) -> Any:
        """Run something on this machine; PowerLost when its power goes meanwhile."""
        if self.owner is None:
            raise PowerLost(self.name)

        async def wrapped() -> Any:
            return await work

        return await self.machine.loop.run_for(self.owner, wrapped())


class SimCluster:
    """The three machines.

    Attributes:
        nodes: Config server, shard, router: the order in which they start.

    """

    def __init__(self, loop: SimLoop, fabric: Fabric, seed: int) -> None:
        self.loop = loop
        self.fabric = fabric

        def machine(name: str) -> SimMachine:
            return SimMachine(loop, fabric, name, seed)

        config_name, config_port = CONFIG_ADDRESS
        shard_name, shard_port = SHARD_ADDRESS
        router_name, router_port = ROUTER_ADDRESS
        self.config = SimNode(
            machine(config_name), config_port, lambda world: ConfigServer(world, {}, "/config")
        )
        self.shard = SimNode(
            machine(shard_name), shard_port,
            lambda world: Member(world, MEMBER_COMMANDS, {}, "/shard"),
        )
        self.router = SimNode(machine(router_name), router_port, _router)
        self.nodes = [self.config, self.shard, self.router]

    async def start(self) -> None:
        """Switch everything on for the first time."""
        for node in self.nodes:
            await node.start()

    def client(self, name: str = "client", *, seed: int = 0, seconds: float = 60.0) -> SimClient:
        """Make a client of the router on a machine of its own."""
        network = self.fabric.network(name)
        return SimClient(network, ROUTER_ADDRESS, seed, timeout_seconds=seconds)

    async def add_shard(self) -> None:
        """Register the shard through the router."""
        client = self.client()
        host, port = SHARD_ADDRESS
        await client.command("admin", {"addShard": f"{host}:{port}", "name": host})
        await client.close()

    async def start_missing(self) -> None:
        """Switch on what is off, whatever it takes."""
        for node in self.nodes:
            while not node.is_on:
                try:
                    await node.start()
                except PowerLost:
                    continue

    async def stop(self) -> None:
        """Shut everything down in order, the router first."""
        for node in reversed(self.nodes):
            await node.stop()


def _router(world: World) -> Router:
    host, port = CONFIG_ADDRESS
    config = connect_over_network(world, f"{host}:{port}")
    options = {"sharding": {"configDB": f"{host}:{port}"}}
    return Router(world, options, config, lambda name: connect_over_network(world, name))

