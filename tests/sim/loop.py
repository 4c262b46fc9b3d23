"""An event loop in virtual time whose every step follows from a seed.

Theory of operation. Nothing here waits: when no callback is ready, time jumps to the next timer.
Callbacks that are ready together run in an order drawn from the seed, so nobody can rely on one.
Every step (what ran, for whom, when) goes into a running checksum. A second run with the same seed
is given the checksums of the first and stops at the first step that differs.

Each simulated machine is an `Owner`. A context variable says for whom code runs; tasks, timers
and callbacks inherit it as asyncio copies contexts. When a machine loses its power, its owner is
dead and nothing that carries it ever runs again: no `finally`, no callback, as in reality.

Rules for editors: no iteration over sets, no `id`, no task names (asyncio numbers them per
process) in anything that reaches the trace.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import heapq
import random
import struct
from array import array
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar
from zlib import crc32 as _crc32

T = TypeVar("T")
START_SECONDS = 1000.0
_TASKS_BEFORE_PRUNING = 512
_EDGE_SECONDS = 1e-9
_pack_time = struct.Struct("<d").pack


class SimulationError(Exception):
    """A run that cannot go on, or must not: the base of all that the simulator itself raises."""


class Deadlock(SimulationError):
    """Nothing is ready and no timer is set, but the scenario has not ended."""


class LimitExceeded(SimulationError):
    """The run took more steps or virtual seconds than it was given."""


class NonDeterminism(SimulationError):
    """The same seed did something else this time."""


class PowerLost(SimulationError):
    """The machine that ran a piece of work lost its power."""


class PowerCut(BaseException):
    """Raised inside the very operation in which the power goes; no handler may take it."""


class Owner:
    """A machine from power-on to power-off; what runs for it carries it.

    Attributes:
        name: The machine's name, as the network knows it.
        dead: Its power is gone.
        paused: It does not run now, and will not notice; see `SimLoop.pause`.
        texts: What the trace says of its steps, by label.

    """

    __slots__ = ("_at_death", "_prune_at", "dead", "held", "name", "paused", "tasks", "texts")

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.paused = False
        self.texts: dict[str, bytes] = {}
        self.held: list[asyncio.Handle] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self._prune_at = _TASKS_BEFORE_PRUNING
        self._at_death: list[Callable[[], None]] = []

    def at_death(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when the power goes, in the order of these calls."""
        self._at_death.append(callback)

    def power_off(self) -> None:
        """Take the power away: nothing of this machine runs from now on."""
        if not self.dead:
            self.dead = True
            callbacks, self._at_death = self._at_death, []
            for callback in callbacks:
                callback()

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Hold a task: a dead machine's coroutines must not be closed, which would run code."""
        self.tasks.append(task)
        if len(self.tasks) >= self._prune_at:
            self.tasks = [kept for kept in self.tasks if not kept.done()]
            self._prune_at = max(_TASKS_BEFORE_PRUNING, 2 * len(self.tasks))


WORLD_OUTSIDE = Owner("outside")
OWNER: contextvars.ContextVar[Owner] = contextvars.ContextVar("OWNER", default=WORLD_OUTSIDE)


class SimLoop(asyncio.BaseEventLoop):
    """The loop of one run.

    Args:
        seed: Decides the order of what is ready at the same time.
        steps_max: More steps than this raise LimitExceeded.
        seconds_max: So do more virtual seconds.
        expected: The checksums of an earlier run with the same seed, to be compared step by step.
        shuffles: Whether ready callbacks are shuffled; otherwise they run first in, first out.

    Attributes:
        steps: Callbacks run so far.
        checksum: Of everything that ran so far.
        checksums: One for each step.

    """

    def __init__(
        self,
        seed: int,
        *,
        steps_max: int = 5_000_000,
        seconds_max: float = 3600.0,
        expected: array[int] | None = None,
        shuffles: bool = True,
    ) -> None:
        super().__init__()
        self._clock_resolution = _EDGE_SECONDS
        self._random = random.Random(f"loop {seed}")
        self._now = START_SECONDS
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timer_number = 0
        self._steps_max = steps_max
        self._seconds_end = START_SECONDS + seconds_max
        self._expected = expected
        self._shuffles = shuffles
        self._over = False
        self._outside = Owner("outside")
        self._owners: list[Owner] = [self._outside]
        self._failure: BaseException | None = None
        self.steps = 0
        self.checksum = 0
        self.checksums: array[int] = array("I")

    # -- asyncio's side ------------------------------------------------------------------------

    def time(self) -> float:
        return self._now

    def call_soon(
        self,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        if not self._over:
            self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_at(
        self,
        when: float,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        if not self._over:
            self._timer_number += 1
            heapq.heappush(self._timers, (when, self._timer_number, handle))
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def create_task(
        self,
        coro: Any,
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name, context=context)
        owner = OWNER.get() if context is None else context.get(OWNER, WORLD_OUTSIDE)
        (self._outside if owner is WORLD_OUTSIDE else owner).keep(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Fail the run: an exception that nobody took is a bug."""
        error = context.get("exception")
        if self._over or isinstance(error, PowerCut):
            return
        failure = SimulationError(f"{context.get('message')}: {error!r}")
        failure.__cause__ = error
        self.fail(failure)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are skipped when their time comes."""

    def _process_events(self, event_list: list[Any]) -> None:
        raise AssertionError("there are no events")

    def _write_to_self(self) -> None:
        raise AssertionError("there are no threads")

    def _run_once(self) -> None:
        ready = self._ready
        self._ready = type(ready)()
        if not ready:
            self._jump()
        timers, edge = self._timers, self._now + _EDGE_SECONDS
        while timers and timers[0][0] <= edge:
            handle = heapq.heappop(timers)[2]
            if not handle._cancelled:  # type: ignore[attr-defined]
                ready.append(handle)
        batch: list[asyncio.Handle] = list(ready)
        if self._shuffles and len(batch) > 1:
            self._random.shuffle(batch)
        step = self._step
        for handle in batch:
            step(handle)

    # -- steps ---------------------------------------------------------------------------------

    def _jump(self) -> None:
        """Move time to the next timer that anybody alive waits for."""
        timers = self._timers
        while timers:
            handle = timers[0][2]
            if handle.cancelled() or _owner_of(handle).dead:
                heapq.heappop(timers)
                continue
            self._now = max(self._now, timers[0][0])
            if self._now > self._seconds_end:
                raise LimitExceeded(f"{self._now - START_SECONDS:.0f} virtual seconds went by")
            return
        raise Deadlock("every task waits for something that will not happen")

    def _step(self, handle: asyncio.Handle) -> None:
        # This runs several hundred thousand times a run, so calls are spared.
        if handle._cancelled:  # type: ignore[attr-defined]
            return
        owner: Owner = handle._context.get(OWNER, WORLD_OUTSIDE)  # type: ignore[attr-defined]
        if owner.dead:
            return
        if owner.paused:
            owner.held.append(handle)
            return
        label = label_of(handle)
        text = owner.texts.get(label)
        if text is None:
            text = owner.texts[label] = f"{owner.name} {label}".encode()
        self.checksum = _crc32(text + _pack_time(self._now), self.checksum)
        self.checksums.append(self.checksum)
        expected = self._expected
        if expected is not None and (
            self.steps >= len(expected) or expected[self.steps] != self.checksum
        ):
            raise NonDeterminism(
                f"non-determinism detected at step {self.steps}, "
                f"{self._now - START_SECONDS:.6f} s: {text.decode()} was not what ran there before"
            )
        self.steps += 1
        if self.steps > self._steps_max:
            raise LimitExceeded(f"{self.steps} steps were made; the last is {text.decode()}")
        handle._run()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def note(self, data: bytes) -> None:
        """Put something that follows from the seed into the trace."""
        self.checksum = _crc32(data, self.checksum)

    def fail(self, error: BaseException) -> None:
        """Have the run end with this error after the present step; the first one counts."""
        if self._failure is None and not self._over:
            self._failure = error

    # -- machines ------------------------------------------------------------------------------

    def owner(self, name: str) -> Owner:
        """Switch a machine on."""
        owner = Owner(name)
        self._owners.append(owner)
        return owner

    def start_for(self, owner: Owner, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin a task on a machine."""
        context = contextvars.copy_context()
        context.run(OWNER.set, owner)
        return self.create_task(work, context=context)

    def pause(self, owner: Owner) -> None:
        """Stop a machine's process as SIGSTOP does: whatever comes for it waits."""
        owner.paused = True

    def resume(self, owner: Owner) -> None:
        """Let a paused process go on, with all that became due, in the order in which it did."""
        if owner.paused and not owner.dead:
            self.call_soon(self._catch_up, owner)

    def _catch_up(self, owner: Owner) -> None:
        """Run what is held one by one; what comes meanwhile waits behind it."""
        held, owner.held = owner.held, []
        if owner.dead:
            return
        owner.paused = False
        for handle in held:
            self._step(handle)
            if owner.dead:
                return
        owner.paused = bool(owner.held)
        if owner.held:
            self.call_soon(self._catch_up, owner)

    async def run_for(self, owner: Owner, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on a machine; PowerLost when its power goes meanwhile."""
        ended: asyncio.Future[None] = self.create_future()

        def end(_: object = None) -> None:
            if not ended.done():
                ended.set_result(None)

        owner.at_death(end)
        task = self.start_for(owner, work)
        task.add_done_callback(end)
        await ended
        if owner.dead:
            raise PowerLost(owner.name)
        return task.result()

    def end(self) -> None:
        """Let nothing run any more, then close everything the run left, quietly."""
        self._over = True
        self._ready.clear()
        self._timers.clear()
        for owner in self._owners:
            owner.dead = True
        for owner in self._owners:
            for task in owner.tasks:
                if not task.done():
                    task._log_destroy_pending = False  # type: ignore[attr-defined]
                    # Its `finally` blocks want a loop that runs, or wait for something.
                    with contextlib.suppress(BaseException):
                        task.get_coro().close()  # type: ignore[union-attr]
            owner.tasks.clear()
        self._owners.clear()


def _owner_of(handle: asyncio.Handle) -> Owner:
    context: contextvars.Context = handle._context  # type: ignore[attr-defined]
    return context.get(OWNER, WORLD_OUTSIDE)


def label_of(handle: asyncio.Handle) -> str:
    """Name what a handle runs: the same in every process."""
    callback = handle._callback  # type: ignore[attr-defined]
    bound = getattr(callback, "__self__", None)
    if type(bound) is asyncio.Task:
        running = bound.get_coro()
        return str(getattr(running, "__qualname__", type(running).__name__))
    name: str | None = getattr(callback, "__qualname__", None)
    return type(callback).__name__ if name is None else name


@contextlib.contextmanager
def running(loop: SimLoop) -> Iterator[SimLoop]:
    """Use a loop for one run: no garbage collector at moments of its own choice, no leftovers."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield loop
    finally:
        loop.end()
        loop.close()
        if collecting:
            gc.enable()


def run(loop: SimLoop, main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a loop; the loop cannot be used again."""
    with running(loop):
        return loop.run_until_complete(loop.create_task(main))
