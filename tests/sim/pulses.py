"""A machine's thread of pulses: it goes on while the machine's event loop is in a long turn."""

from __future__ import annotations

import asyncio
import contextlib

from sim.loop import OWNER, Owner, SimLoop
from sim.network import SimNetwork

from psdb_base.real_pulses import STALL_SECONDS_MAX

PULSE_SECONDS = 0.1


class SimPulses:
    """`psdb_base.world.Pulses` of a machine; to be made in the life that it is for.

    Attributes:
        thread: For whom it runs: a machine that is stopped as a whole stops this too.

    """

    def __init__(self, loop: SimLoop, network: SimNetwork) -> None:
        life = OWNER.get()
        self.thread: Owner = loop.owner(life.name)
        life.at_death(self.thread.power_off)
        self._loop = loop
        self._network = network
        self._alive = loop.time()
        self._messages: dict[tuple[str, int], bytes] = {}
        self._ways: dict[tuple[str, int], asyncio.Transport] = {}
        self._started = False

    def send(self, messages: dict[tuple[str, int], bytes]) -> None:
        self._messages = messages
        if messages and not self._started:
            self._started = True
            self._loop.start_for(self.thread, self._run())

    def alive(self) -> None:
        self._alive = self._loop.time()

    def close(self) -> None:
        self._messages = {}

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(PULSE_SECONDS)
            for address, message in list(self._messages.items()):
                way = self._ways.get(address)
                if way is None or way.is_closing():
                    with contextlib.suppress(OSError):
                        await self._network.connect(*address, lambda at=address: _End(self, at))  # type: ignore[misc]
                elif self._loop.time() - self._alive <= STALL_SECONDS_MAX:
                    way.write(message)

    def connected(self, address: tuple[str, int], way: asyncio.Transport) -> None:
        """Take a way to a peer."""
        self._ways[address] = way


class _End(asyncio.Protocol):
    def __init__(self, pulses: SimPulses, address: tuple[str, int]) -> None:
        self._pulses = pulses
        self._address = address

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._pulses.connected(self._address, transport)
