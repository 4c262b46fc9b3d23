"""A protocol that notes what its transport tells it."""

from __future__ import annotations

import asyncio
from typing import cast


class Recorder(asyncio.Protocol):
    """Notes what its transport tells it."""

    def __init__(self, *, half_open: bool = False) -> None:
        self.half_open = half_open
        self.data = bytearray()
        self.pieces = 0
        self.calls: list[str] = []
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.calls.append("made")

    def data_received(self, data: bytes) -> None:
        assert data
        assert "lost" not in self.calls
        self.data += data
        self.pieces += 1

    def eof_received(self) -> bool:
        self.calls.append("eof")
        return self.half_open

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append("reset" if exc else "lost")

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")
