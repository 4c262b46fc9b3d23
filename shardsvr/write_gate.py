"""The gate in front of writes: `fsync` with lock closes it, `fsyncUnlock` opens it.

While it is closed no write begins, and those that had begun are over, so that the files below
the dbpath stay as they are and may be copied. Locks are counted; each takes an unlock.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from psdb_base.errors import Code, MongoError
from psdb_server.operations import Operation
from psdb_store.gate import Gate

_SLICE_SECONDS: Final = 0.5
"""A waiting write looks this often whether it was killed or lost its client."""


class WriteGate:
    """Counts writes in progress and locks.

    Attributes:
        locks: How many locks are held; writes wait unless it is 0.

    """

    def __init__(self) -> None:
        self.locks = 0
        self._writing = 0
        self._opened = Gate()
        self._idle: Gate | None = None

    async def enter(self, op: Operation) -> None:
        """Begin a write, waiting while the gate is closed; `leave` ends it.

        Raises:
            MongoError: 50, 11601 when the operation's time is over or it was killed.

        """
        while self.locks:
            op.waiting = True
            try:
                async with asyncio.timeout(_SLICE_SECONDS):
                    await self._opened
            except TimeoutError:
                pass
            op.check()
        op.waiting = False
        self._writing += 1

    @contextlib.asynccontextmanager
    async def passage(self, op: Operation) -> AsyncIterator[None]:
        """Enter, and leave in the end."""
        await self.enter(op)
        try:
            yield
        finally:
            self.leave()

    def leave(self) -> None:
        """End a write."""
        self._writing -= 1
        if not self._writing and self._idle is not None:
            self._idle.open()
            self._idle = None

    async def lock(self, timeout_ms: int) -> int:
        """Close the gate and wait for the writes in progress; return the number of locks.

        Raises:
            MongoError: 24 when they took longer than the timeout: the gate is as it was.

        """
        if not self.locks:
            self._opened = Gate()
        self.locks += 1
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                while self._writing:
                    self._idle = self._idle or Gate()
                    await self._idle
        except TimeoutError:
            self.unlock()
            raise MongoError(
                Code.LOCK_TIMEOUT,
                "Fsync lock timed out: writes in progress did not end within "
                f"{timeout_ms} milliseconds",
            ) from None
        except BaseException:
            self.unlock()
            raise
        return self.locks

    def unlock(self) -> int:
        """Take one lock back; return how many are left. 20 when there was none."""
        if not self.locks:
            raise MongoError(Code.ILLEGAL_OPERATION, "fsyncUnlock called when not locked")
        self.locks -= 1
        if not self.locks:
            self._opened.open()
        return self.locks
