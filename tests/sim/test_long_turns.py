"""Members whose event loops take long turns keep their office; those that are gone do not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from sim.cluster import SimNode
from sim.loop import SimLoop, run
from sim.network import Fabric
from sim.pulses import SimPulses
from sim.replica_client import SetClient
from sim.replica_scenario import PORT
from sim.world import SimMachine

from psdb_base.values import Document
from psdb_base.world import World
from psdb_raft.values import Cause
from shardsvr.commands.table import MEMBER_COMMANDS
from shardsvr.member import Member

OPTIONS: Document = {"replication": {"replSetName": "rs0"}}
GAP_SECONDS = 0.004
"""Between two long turns: a packet or two come in, and what is due runs."""
WAIT_SECONDS_MAX = 60.0


class Trio:
    """Three members on simulated machines.

    Args:
        speaks: Whether their threads send signs of life.

    """

    def __init__(self, *, speaks: bool = True) -> None:
        self.loop = SimLoop(7)
        self.fabric = Fabric(self.loop, 7)
        self.speaks = speaks
        self.nodes = [self._machine(f"m{number}") for number in range(3)]
        self.pulses: dict[str, SimPulses] = {}

    def _machine(self, name: str) -> SimNode:
        machine = SimMachine(self.loop, self.fabric, name, 7)

        def make(world: World) -> Member:
            if self.speaks:
                self.pulses[name] = SimPulses(self.loop, self.fabric.network(name))
                world = replace(world, pulses=self.pulses[name])
            return Member(world, MEMBER_COMMANDS, OPTIONS, "/data")

        return SimNode(machine, PORT, make)

    def run(self, what: Callable[[Trio], Awaitable[None]]) -> None:
        """Found the set, then do something with it."""

        async def main() -> None:
            for node in self.nodes:
                await node.start()
            hosts = [(node.name, PORT) for node in self.nodes]
            client = SetClient(self.fabric, "client", hosts, 7, 3.0)
            rows = [{"_id": n, "host": f"{name}:{port}"} for n, (name, port) in enumerate(hosts)]
            first = next(iter(client.members.values()))
            await first.command("admin", {"replSetInitiate": {"_id": "rs0", "members": rows}})
            await client.find_primary()
            await self.until(lambda: all(len(_voters(node)) == 3 for node in self.nodes))
            await asyncio.sleep(3.0)  # virtual ones: all connections are there
            await what(self)

        run(self.loop, main())

    def primary(self) -> SimNode:
        (found,) = [node for node in self.nodes if _is_primary(node)]
        return found

    def others(self) -> list[SimNode]:
        return [node for node in self.nodes if not _is_primary(node)]

    async def until(self, condition: Callable[[], bool]) -> float:
        """Wait until something holds; return the virtual seconds that it took."""
        began = self.loop.time()
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not condition():
                await asyncio.sleep(0.01)
        return self.loop.time() - began

    async def long_turns(self, nodes: list[SimNode], turn_seconds: float, count: int) -> None:
        """Have the loops of some members take long turns, one after the other."""
        for _ in range(count):
            for node in nodes:
                assert node.owner is not None
                self.loop.pause(node.owner)
            await asyncio.sleep(turn_seconds)
            for node in nodes:
                assert node.owner is not None
                self.loop.resume(node.owner)
            await asyncio.sleep(GAP_SECONDS)

    def stop(self, node: SimNode) -> None:
        """Stop a process, its thread included, as SIGSTOP does."""
        assert node.owner is not None
        self.loop.pause(node.owner)
        self.loop.pause(self.pulses[node.name].thread)


def _is_primary(node: SimNode) -> bool:
    replica_set = node.member.replica_set
    return replica_set is not None and replica_set.is_primary


def _beside(trio: Trio, node: SimNode) -> list[SimNode]:
    """Return the other members."""
    return [other for other in trio.nodes if other is not node]


def _voters(node: SimNode) -> list[str]:
    replica_set = node.member.replica_set
    if replica_set is None or replica_set.driver is None:
        return []
    return replica_set.driver.core.config.voters


def _lost(trio: Trio) -> list[str]:
    """Return the log's lines of offices that were left."""
    return [line for node in trio.nodes for line in node.machine.log.lines if " 21358 " in line]


BUSY: dict[str, tuple[Callable[[Trio], list[SimNode]], float]] = {
    "primary": (lambda trio: [trio.primary()], 0.5),
    "secondaries": (Trio.others, 1.2),
    "all": (lambda trio: trio.nodes, 0.6),
}


@pytest.mark.parametrize("who", BUSY)
def test_long_turns_cost_no_office(who: str) -> None:
    who_is, turn_seconds = BUSY[who]

    async def busy(trio: Trio) -> None:
        primary = trio.primary()
        await trio.long_turns(who_is(trio), turn_seconds, 20)
        assert _lost(trio) == []
        assert trio.primary() is primary

    Trio().run(busy)


@pytest.mark.parametrize("who", ["primary", "secondaries"])
def test_without_signs_of_life_they_would(who: str) -> None:
    """The test above would notice."""
    who_is, turn_seconds = BUSY[who]

    async def busy(trio: Trio) -> None:
        await trio.long_turns(who_is(trio), turn_seconds, 20)
        assert _lost(trio)

    Trio(speaks=False).run(busy)


def test_a_stopped_primary_is_replaced() -> None:
    async def stop(trio: Trio) -> None:
        primary = trio.primary()
        trio.stop(primary)
        assert await trio.until(lambda: any(map(_is_primary, _beside(trio, primary)))) < 2.5

    Trio().run(stop)


def test_a_loop_that_does_not_come_back_is_replaced() -> None:
    async def stop(trio: Trio) -> None:
        primary = trio.primary()
        assert primary.owner is not None
        trio.loop.pause(primary.owner)
        await trio.until(lambda: any(map(_is_primary, _beside(trio, primary))))

    Trio().run(stop)


@pytest.mark.parametrize("deaf", [False, True])
def test_a_primary_cut_off_one_way_is_replaced(deaf: bool) -> None:
    async def cut(trio: Trio) -> None:
        primary = trio.primary()
        for other in trio.others():
            one, another = (other, primary) if deaf else (primary, other)
            trio.fabric.cut(one.name, another.name, both=False)
        seconds = await trio.until(lambda: any(map(_is_primary, _beside(trio, primary))))
        assert seconds < (4.0 if deaf else 2.5)
        await trio.until(lambda: not _is_primary(primary))

    Trio().run(cut)


def test_a_primary_whose_disk_hangs_steps_down() -> None:
    async def hang(trio: Trio) -> None:
        primary = trio.primary()
        primary.hang_disk("journal", 30.0)
        primary.member.engine.append_noop()
        await trio.until(lambda: not _is_primary(primary))
        assert Cause.DISK_HANGS in json.dumps(_lost(trio))
        await trio.until(lambda: any(map(_is_primary, _beside(trio, primary))))

    Trio().run(hang)
