"""How long a command with `wtimeout` waits for commits while it is still being executed.

MongoDB executes at once and waits afterwards. Here a change of the catalogue takes effect when it
is committed, so a command may have to wait in its middle: for its own change, or for another one
that stands before it. Such waits count against `wtimeout`; work (an index build) does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from psdb_server.operations import shutting_down

if TYPE_CHECKING:
    from shardsvr.member import Member

T = TypeVar("T")


class OutOfPatienceError(Exception):
    """A command waited for commits for as long as its `wtimeout`."""


class Patience:
    """Of one command.

    Attributes:
        left: So many seconds of waiting are left.

    """

    def __init__(self, seconds: float) -> None:
        self.left = seconds
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._waits = 0
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, member: Member, work: Coroutine[Any, Any, T]) -> T:
        """Return what the work gives; raise OutOfPatienceError when it waited for commits too long.

        It is carried through then all the same: a write that is not acknowledged in time is not
        taken back.
        """
        token = _current.set(self)
        try:
            task = member.carry(work)
            task.add_done_callback(self._end)
        finally:
            _current.reset(token)
        try:
            # Not `asyncio.wait`: the order of what it calls back is not that of a seed.
            await self._ended
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not task.done():
            task.remove_done_callback(self._end)
            task.add_done_callback(_forget)
            raise OutOfPatienceError
        if task.cancelled():
            raise shutting_down()
        return task.result()

    def _end(self, _: Any = None) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def begin(self) -> None:
        """Begin to wait for a commit."""
        self._waits += 1
        if self._waits == 1 and not self._ended.done():
            self._since = self._loop.time()
            self._timer = self._loop.call_later(self.left, self._end)

    def end(self) -> None:
        """Have waited for a commit."""
        self._waits -= 1
        if self._waits == 0 and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self.left = max(0.0, self.left - (self._loop.time() - self._since))


_current: ContextVar[Patience | None] = ContextVar("patience", default=None)


@contextmanager
def waiting() -> Iterator[None]:
    """Count what is within as waiting for a commit, if the command at work has a `wtimeout`."""
    patience = _current.get()
    if patience is None:
        yield
        return
    patience.begin()
    try:
        yield
    finally:
        patience.end()


def _forget(task: asyncio.Task[Any]) -> None:
    """Leave it at that: the client was told that the end is open."""
    if not task.cancelled():
        task.exception()
