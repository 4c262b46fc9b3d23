"""One retryable write of a session at a time."""

from __future__ import annotations

import asyncio
from collections import deque


class SessionTurns:
    """Lets one retryable write of a session run at a time, in the order of their arrival.

    A retry can arrive while the first attempt still waits for something: it must find that one's
    result, not look before there is any.
    """

    def __init__(self) -> None:
        self._waiting: dict[bytes, deque[asyncio.Future[None]]] = {}

    async def take(self, lsid: bytes) -> None:
        """Wait for the session's turn; `release` must follow, unless this is cancelled."""
        waiting = self._waiting.get(lsid)
        if waiting is None:
            self._waiting[lsid] = deque()
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the turn had come in the same moment
                self.release(lsid)
            raise

    def release(self, lsid: bytes) -> None:
        """Let the next one go on."""
        waiting = self._waiting[lsid]
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[lsid]
