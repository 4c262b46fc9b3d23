"""A closed door that many may wait at."""

from __future__ import annotations

import asyncio
from collections.abc import Generator


class Gate:
    """Awaitable until `open()`; a waiter that is cancelled does not disturb the others."""

    __slots__ = ("_opened", "_waiters")

    def __init__(self) -> None:
        self._opened = False
        self._waiters: list[asyncio.Future[None]] = []

    def __await__(self) -> Generator[object, None, None]:
        if not self._opened:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            yield from waiter

    def open(self) -> None:
        """Let everybody through, in the order of their arrival."""
        self._opened = True
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
