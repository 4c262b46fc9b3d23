"""A transport in memory and a world around it, for connections without sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from psdb_base.real_world import RealClock, RealDisk, RealNetwork
from psdb_base.world import Random, World
from psdb_wire.frames import FrameReader, Message, build_op_msg, parse
from psdb_wire.server import Server, ServerConnection


class ListLog:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, int, str, dict[str, Any]]] = []

    def write(
        self, severity: str, component: str, id_: int, message: str, attr: dict[str, Any]
    ) -> None:
        self.lines.append((severity, component, id_, message, attr))

    def recent(self) -> list[str]:
        return []

    def warnings(self) -> list[str]:
        return []

    def messages(self) -> list[str]:
        return [line[3] for line in self.lines]


class MemoryTransport(asyncio.Transport):
    """What a connection writes to; the test says when the client has taken it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, high_water: int | None = None) -> None:
        super().__init__()
        self.loop = loop
        self.high_water = high_water
        self.written = bytearray()
        self.untaken = 0
        self.reading = True
        self.closing = False
        self.pauses = 0
        self.protocol: asyncio.Protocol | None = None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("10.0.0.7", 4321) if name == "peername" else default

    def write(self, data: bytes) -> None:
        assert not self.closing, "written to a closed transport"
        self.written += data
        if self.high_water is not None:
            was = self.untaken
            self.untaken += len(data)
            if was <= self.high_water < self.untaken:
                self.protocol.pause_writing()

    def take(self) -> None:
        """The client reads everything."""
        paused = self.high_water is not None and self.untaken > self.high_water
        self.untaken = 0
        if paused:
            self.protocol.resume_writing()

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False
        self.pauses += 1

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            self.loop.call_soon(self.protocol.connection_lost, None)

    abort = close

    def is_closing(self) -> bool:
        return self.closing

    def replies(self) -> list[Message]:
        return [parse(raw) for raw in FrameReader().feed(bytes(self.written))]


@pytest.fixture
def log() -> ListLog:
    return ListLog()


@pytest.fixture
def world(log: ListLog) -> World:
    clock = RealClock()
    return World(clock, Random(7, clock), RealDisk(), RealNetwork(), log)


@pytest.fixture
def attach() -> Callable[..., tuple[ServerConnection, MemoryTransport]]:
    """Connect a memory transport to a server; call it inside a running loop."""

    def connect(
        server: Server, high_water: int | None = None
    ) -> tuple[ServerConnection, MemoryTransport]:
        connection = server._accept()
        transport = MemoryTransport(asyncio.get_running_loop(), high_water)
        transport.protocol = connection
        connection.connection_made(transport)
        return connection, transport

    return connect


@pytest.fixture
def ping() -> Callable[..., bytes]:
    """Make an OP_MSG whose body is an empty document, or of the given size."""

    def make(request_id: int = 1, flags: int = 0, size: int = 5) -> bytes:
        body = size.to_bytes(4, "little") + b"\0" * (size - 4)
        return build_op_msg(request_id, 0, body, flags=flags)

    return make
