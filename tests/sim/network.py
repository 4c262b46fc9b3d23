"""A simulated network: connections between machines by name, in virtual time.

A connection is two `SimTransport`s joined by two `Pipe`s. What is written comes out of the pipe in
order, later, cut into pieces anywhere. A pipe that is full stops its writer (`pause_writing`); one
whose reader does not read keeps what is under way. The fabric refuses and delays connections, drops
them, cuts machines off from each other (both ways or one way: what is under way then waits, as TCP
sends it again), and ends a machine's connections with its power: its peers learn of that later, or
much later, when a packet is answered with a reset.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sim.loop import OWNER, WORLD_OUTSIDE, Owner, SimLoop

HIGH_WATER_BYTES = 64 * 1024
LOW_WATER_BYTES = 16 * 1024
CONNECT_SECONDS_MAX = 30.0
RESET_AGAIN_SECONDS = 0.5
_LOCAL_NAMES = ("", "0.0.0.0", "127.0.0.1", "::", "localhost")


@dataclass
class Conditions:
    """How bad the network is.

    Attributes:
        delay_seconds: Longest usual time of a packet; the shortest is a tenth of it.
        spike: How likely a packet takes up to `spike_seconds` instead.
        split: How likely what arrived together is cut in two.
        refuse: How likely a connection to a listening machine fails all the same.
        silent: How likely it goes unnoticed for up to `silent_seconds` that an end is gone.

    """

    delay_seconds: float = 0.001
    spike: float = 0.0
    spike_seconds: float = 0.2
    split: float = 0.2
    refuse: float = 0.0
    silent: float = 0.2
    silent_seconds: float = 2.0


class Pipe:
    """One direction of a connection."""

    def __init__(self, fabric: Fabric, source: SimTransport, target: SimTransport) -> None:
        self.fabric = fabric
        self.source = source
        self.target = target
        self.data = bytearray()
        self.ending = False
        self.broken = False
        self._due = False

    def push(self, data: bytes | bytearray | memoryview) -> None:
        """Take what was written."""
        self.data += data
        self.wake()

    def finish(self) -> None:
        """Let the reader see the end of the stream after what is under way."""
        self.ending = True
        self.wake()

    def wake(self) -> None:
        """See that what is under way arrives."""
        if not self._due and not self.broken and (self.data or self.ending):
            self._due = True
            self.fabric.later(self.fabric.delay(), self.target, self._arrive)

    def _arrive(self) -> None:
        self._due = False
        target, fabric = self.target, self.fabric
        if self.broken:
            return
        if fabric.is_cut(self.source.name[0], target.name[0]):
            fabric.hold(self)  # the packet is lost; it is sent again when the cut is healed
            return
        if target.is_deaf:
            return
        if target.lost:
            if self.data:
                fabric.reset(self.source, fabric.delay())
            return
        if self.data:
            size = fabric.cut_size(len(self.data))
            piece = bytes(self.data[:size])
            del self.data[:size]
            fabric.loop.note(piece)
            fabric.delivered_bytes += size
            self.source.relieved()
            target.protocol.data_received(piece)
        elif self.ending:
            self.ending = False
            self.broken = True
            target.ended()
            return
        self.wake()


class SimTransport(asyncio.Transport):
    """One end of a connection, with asyncio's contract towards its protocol."""

    def __init__(
        self, fabric: Fabric, number: int, context: contextvars.Context, name: tuple[str, int]
    ) -> None:
        super().__init__()
        self.fabric = fabric
        self.number = number
        self.context = context
        self.owner: Owner = context.get(OWNER, WORLD_OUTSIDE)
        self.name = name
        self.protocol: asyncio.Protocol
        self.peer: SimTransport
        self.out: Pipe
        self.lost = False
        self._closing = False
        self._reading = True
        self._full = False
        self._losing = False
        self._finished = False
        self._high, self._low = HIGH_WATER_BYTES, LOW_WATER_BYTES

    @property
    def is_deaf(self) -> bool:
        """Whether nothing is read now."""
        return not self.lost and (not self._reading or self._closing)

    # -- asyncio's transport -------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "peername":
            return self.peer.name
        return self.name if name == "sockname" else default

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self.protocol = protocol

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        if not self._reading and not self._closing:
            self._reading = True
            self.peer.out.wake()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing or self.lost or self.owner.dead or not data:
            return
        assert not self._finished, "a write after write_eof"
        self.out.push(data)
        if len(self.out.data) > self._high and not self._full:
            self._full = True
            self.protocol.pause_writing()

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._finished and not self._closing:
            self._finished = True
            self.out.finish()

    def get_write_buffer_size(self) -> int:
        return len(self.out.data)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = HIGH_WATER_BYTES if high is None else high
        self._low = self._high // 4 if low is None else low

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        if not self._finished:
            self._finished = True
            self.out.finish()
        if len(self.out.data) <= self._high:
            self._lose(None)  # the rest is the kernel's, which goes on sending

    def abort(self) -> None:
        if self.lost or self.owner.dead:
            return
        self._closing = True
        if self.fabric.random.random() < 0.5:
            self.out.data.clear()
        self.fabric.reset(self.peer, self.fabric.notice())
        self._lose(None)

    # -- what pipes and fabric call ------------------------------------------------------------

    def relieved(self) -> None:
        """Note that the peer took something."""
        if self.lost or self.owner.dead or len(self.out.data) > self._low:
            return
        if self._closing:
            self._lose(None)
        elif self._full:
            self._full = False
            self.fabric.soon(self, self._resume)

    def _resume(self) -> None:
        if not self.lost and not self._full:
            self.protocol.resume_writing()

    def ended(self) -> None:
        """Tell the protocol that the peer writes no more."""
        if not self._closing and not self.protocol.eof_received():
            self.close()

    def was_reset(self) -> None:
        """Lose the connection because the peer is gone."""
        if self.fabric.is_cut(self.peer.name[0], self.name[0]):
            self.fabric.reset(self, RESET_AGAIN_SECONDS)
            return
        self._closing = True
        self._lose(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))

    def _lose(self, error: Exception | None) -> None:
        if not self._losing:
            self._losing = True
            self.fabric.soon(self, self._lost, error)

    def _lost(self, error: Exception | None) -> None:
        self.lost = True
        self.peer.out.wake()  # what still comes is answered with a reset
        self.fabric.forget(self)
        self.protocol.connection_lost(error)


@dataclass
class _Listening:
    factory: Callable[[], asyncio.Protocol]
    context: contextvars.Context
    address: tuple[str, int]


class SimListener:
    """A listening address of one machine."""

    def __init__(self, fabric: Fabric, address: tuple[str, int]) -> None:
        self._fabric = fabric
        self._address = address

    @property
    def port(self) -> int:
        return self._address[1]

    def close(self) -> None:
        self._fabric.listening.pop(self._address, None)


class Fabric:
    """All machines' network.

    Attributes:
        conditions: May be changed at any time.
        listening: By (machine, port).
        opened, delivered_bytes: Counts since the start.

    """

    def __init__(self, loop: SimLoop, seed: int, conditions: Conditions | None = None) -> None:
        self.loop = loop
        self.random = random.Random(f"network {seed}")
        self.conditions = conditions or Conditions()
        self.listening: dict[tuple[str, int], _Listening] = {}
        self.opened = 0
        self.delivered_bytes = 0
        self._cut: dict[tuple[str, str], bool] = {}
        self._ends: dict[int, SimTransport] = {}
        self._held: list[Pipe] = []
        self._next_port = 40_000

    def network(self, name: str) -> SimNetwork:
        """Return one machine's port."""
        return SimNetwork(self, name)

    # -- time and chance -----------------------------------------------------------------------

    def delay(self) -> float:
        """Draw how long a packet takes."""
        conditions = self.conditions
        if conditions.spike and self.random.random() < conditions.spike:
            return self.random.random() * conditions.spike_seconds
        return conditions.delay_seconds * (0.1 + 0.9 * self.random.random())

    def notice(self) -> float:
        """Draw how long it takes until an end learns that the other is gone."""
        if self.random.random() < self.conditions.silent:
            return self.random.random() * self.conditions.silent_seconds
        return self.delay()

    def cut_size(self, size: int) -> int:
        """Draw how many of the bytes under way arrive together."""
        if self.random.random() < self.conditions.split:
            return self.random.randint(1, size)
        return size

    def later(self, seconds: float, end: SimTransport, callback: Callable[[], None]) -> None:
        """Call something at one end of a connection after a time."""
        self.loop.call_later(seconds, callback, context=end.context)

    def soon(self, end: SimTransport, callback: Callable[..., None], *args: Any) -> None:
        """Call something at one end of a connection in the loop's next turn."""
        self.loop.call_soon(callback, *args, context=end.context)

    # -- connections ---------------------------------------------------------------------------

    def join(
        self,
        near: tuple[contextvars.Context, tuple[str, int]],
        far: tuple[contextvars.Context, tuple[str, int]],
    ) -> tuple[SimTransport, SimTransport]:
        """Make both ends of a connection."""
        ends = []
        for context, name in (near, far):
            self.opened += 1
            end = self._ends[self.opened] = SimTransport(self, self.opened, context, name)
            ends.append(end)
        one, other = ends
        one.peer, other.peer = other, one
        one.out, other.out = Pipe(self, one, other), Pipe(self, other, one)
        return one, other

    def forget(self, end: SimTransport) -> None:
        """Count an end out."""
        self._ends.pop(end.number, None)

    def reset(self, end: SimTransport, seconds: float) -> None:
        """Have one end learn, after a time, that its peer is gone."""
        self.later(seconds, end, end.was_reset)

    def hold(self, pipe: Pipe) -> None:
        """Keep a pipe whose packets are lost until `heal`."""
        self._held.append(pipe)

    def client_port(self) -> int:
        """Return a port for the connecting end."""
        self._next_port += 1
        return self._next_port

    # -- faults --------------------------------------------------------------------------------

    def is_cut(self, source: str, target: str) -> bool:
        """Tell whether packets from one machine to another are lost."""
        return (source, target) in self._cut

    def cut(self, source: str, target: str, *, both: bool = True) -> None:
        """Lose all packets from one machine to another until `heal`."""
        self._cut[source, target] = True
        if both:
            self._cut[target, source] = True

    def heal(self, one: str = "", other: str = "") -> None:
        """Connect two machines again, or all; what was under way goes on."""
        if one:
            self._cut.pop((one, other), None)
            self._cut.pop((other, one), None)
        else:
            self._cut.clear()
        held, self._held = self._held, []
        for pipe in held:
            pipe.wake()

    def drop(self, count: int = 1) -> None:
        """Break some connections: both ends learn of it, each in its time."""
        ends = list(self._ends.values())
        for _ in range(min(count, len(ends))):
            end = self.random.choice(ends)
            for side in (end, end.peer):
                side.out.broken = True
                self.reset(side, self.notice())

    def power_off(self, owner: Owner) -> None:
        """End a machine's connections and listeners; its peers learn of it sooner or later."""
        for address, listening in list(self.listening.items()):
            if listening.context.get(OWNER) is owner:
                del self.listening[address]
        for end in list(self._ends.values()):
            if end.owner is not owner:
                continue
            self.forget(end)
            end.lost = True
            if self.random.random() < 0.5:  # what left the machine may arrive or not
                end.out.broken = True
            self.reset(end.peer, self.notice())


class SimNetwork:
    """`psdb_base.world.Network` of one machine."""

    def __init__(self, fabric: Fabric, name: str) -> None:
        self._fabric = fabric
        self._name = name

    async def listen(
        self, host: str, port: int, factory: Callable[[], asyncio.Protocol]
    ) -> SimListener:
        fabric = self._fabric
        if host not in (*_LOCAL_NAMES, self._name):
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        address = (self._name, port or fabric.client_port())
        if address in fabric.listening:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        fabric.listening[address] = _Listening(factory, contextvars.copy_context(), address)
        return SimListener(fabric, address)

    async def connect(
        self, host: str, port: int, factory: Callable[[], asyncio.Protocol]
    ) -> asyncio.Protocol:
        """Three packets go to and fro; a machine that is cut off gives no answer at all."""
        fabric = self._fabric
        conditions = fabric.conditions
        target = self._name if host in _LOCAL_NAMES else host
        await asyncio.sleep(fabric.delay() + fabric.delay())
        if fabric.is_cut(self._name, target) or fabric.is_cut(target, self._name):
            await asyncio.sleep(CONNECT_SECONDS_MAX)
            raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")
        listening = fabric.listening.get((target, port))
        if listening is None and fabric.random.random() < conditions.silent:
            await asyncio.sleep(conditions.silent_seconds)  # a machine without power says nothing
            raise OSError(errno.EHOSTUNREACH, "No route to host")
        if listening is None or fabric.random.random() < conditions.refuse:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        near, far = fabric.join(
            (contextvars.copy_context(), (self._name, fabric.client_port())),
            (listening.context.copy(), listening.address),
        )
        fabric.soon(far, _accepted, far, listening.factory)
        near.protocol = factory()
        near.protocol.connection_made(near)
        return near.protocol


def _accepted(end: SimTransport, factory: Callable[[], asyncio.Protocol]) -> None:
    end.protocol = factory()
    end.protocol.connection_made(end)
