"""Running coroutines for a connection with as few turns of the event loop as can be.

A task per message costs a task object and a turn of the loop; most commands finish without
waiting for anything. So one long-lived task serves a connection: a coroutine's first step
is made at once, with that task entered as the current one (asyncio's documented way for embedded
coroutines), and only if it has to wait does the task itself go on with it. Timeouts and
cancellation inside the coroutine see one and the same task throughout.
"""

from __future__ import annotations

import asyncio
import contextvars
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")

_enter_task = asyncio._enter_task  # noqa: SLF001 -- documented
_leave_task = asyncio._leave_task  # noqa: SLF001 -- documented


class Gate:
    """A door one task waits at; opening it runs the task at once, not at the loop's next turn.

    It speaks the protocol of asyncio's futures as far as a task needs it, and can be waited at
    again and again.
    """

    __slots__ = ("_asyncio_future_blocking", "_cancelled", "_context", "_loop", "wakeup")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False
        self._loop = loop
        self.wakeup: Callable[[Gate], object] | None = None
        """Resumes the task that stands at the gate; None when none does."""
        self._context: contextvars.Context | None = None
        self._cancelled = False

    def open(self) -> None:
        """Let the waiting task run until it next waits; no task may be running now."""
        wakeup = self.wakeup
        if wakeup is not None:
            self.wakeup = None
            wakeup(self)

    def __await__(self) -> Generator[Gate, None, None]:
        self._asyncio_future_blocking = True
        yield self
        self.result()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop of the task that waits."""
        return self._loop

    def add_done_callback(
        self,
        wakeup: Callable[[Gate], object],
        *,
        context: contextvars.Context | None = None,
    ) -> None:
        """Take the waiting task's wakeup."""
        self.wakeup = wakeup
        self._context = context

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 -- the futures' signature
        """Have the waiting task cancelled at the loop's next turn."""
        if self.wakeup is None:
            return False
        self._cancelled = True
        self._loop.call_soon(self.open, context=self._context)
        return True

    def result(self) -> None:
        """Return None, or raise CancelledError once after `cancel`."""
        if self._cancelled:
            self._cancelled = False
            raise asyncio.CancelledError


class Stepper:
    """One task that runs coroutines one after another, each given to `run`.

    Cancelling `task` is for the coroutine it runs; the next one gets a task without a trace
    of that. `cancel` is for good: what is given to `run` from then on is dropped.

    `done(result, error)` is called as each ends, with its result or what it raised; it may
    call `run` again.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        done: Callable[[Any, BaseException | None], None],
    ) -> None:
        self._loop = loop
        self._done = done
        self._gate = Gate(loop)
        self._context = contextvars.copy_context()
        self._waiting: tuple[Coroutine[Any, Any, Any], Any] | None = None
        self._fresh: Coroutine[Any, Any, Any] | None = None
        self._ended = False
        self.task: asyncio.Task[None] = loop.create_task(self._serve(), context=self._context)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine; the one before must have ended."""
        gate = self._gate
        if gate.wakeup is None:  # the task runs, or has yet to start, and looks here first
            if self._ended:
                coroutine.close()
                return
            self._fresh = coroutine
            if self.task.done():
                self.task = self._loop.create_task(self._serve(), context=self._context)
            return
        try:
            _enter_task(self._loop, self.task)
        except RuntimeError:  # inside another task
            self._fresh = coroutine
            self._loop.call_soon(gate.open, context=self._context)
            return
        result: Any = None
        failure: BaseException | None = None
        try:
            yielded = self._context.run(coroutine.send, None)
        except StopIteration as stop:
            result = stop.value
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 -- handed to `done`
            failure = error
        else:
            self._waiting = (coroutine, yielded)
        finally:
            _leave_task(self._loop, self.task)
        if self._waiting is None:
            self._done(result, failure)
        else:
            gate.open()

    def cancel(self) -> None:
        """Cancel what runs, and end."""
        self._ended = True
        if self._fresh is not None:
            self._fresh.close()
            self._fresh = None
        self.task.cancel()

    async def _serve(self) -> None:
        while not self._ended:
            if self._fresh is None:
                await self._at_gate()
            result: Any = None
            failure: BaseException | None = None
            try:
                if self._waiting is not None:
                    waiting, self._waiting = self._waiting, None
                    result = await _go_on(*waiting)
                elif self._fresh is not None:
                    fresh, self._fresh = self._fresh, None
                    result = await fresh
                else:
                    continue
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 -- as above
                failure = error
            while self.task.uncancel():
                pass
            self._done(result, failure)
            if self._fresh is None and isinstance(failure, asyncio.CancelledError):
                return  # a loop that shuts down waits for its cancelled tasks to end

    async def _at_gate(self) -> None:
        """Wait for work; a cancellation meanwhile ends the task."""
        try:
            await self._gate
        except asyncio.CancelledError:
            if self._waiting is None:
                raise
            # It came during a first step, made outside: that coroutine's wait receives it.
            self.task.uncancel()
            self.task.cancel()


@types.coroutine
def _go_on(coroutine: Coroutine[Any, Any, T], yielded: Any) -> Generator[Any, Any, T]:
    """Go on with a coroutine whose last step, made outside, yielded this."""
    while True:
        try:
            try:
                value = yield yielded
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as error:  # noqa: BLE001 -- thrown on into the coroutine
                yielded = coroutine.throw(error)
            else:
                yielded = coroutine.send(value)
        except StopIteration as stop:
            result: T = stop.value
            return result
