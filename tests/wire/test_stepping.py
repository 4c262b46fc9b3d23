"""Coroutines stepped at once inside one task behave as in a task of their own."""

from __future__ import annotations

import asyncio
import contextvars

import pytest
import uvloop

from psdb_wire.stepping import Stepper

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


def run_on(loop_factory, main):
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main)


class Collector:
    """A stepper and what its coroutines came to."""

    def __init__(self):
        self.outcomes = []
        self.stepper = Stepper(asyncio.get_running_loop(), self.done)

    def done(self, result, error):
        self.outcomes.append(error if error is not None else result)

    async def run(self, coroutine, via="loop"):
        """Run it from a callback of the loop, where no task runs, or from this task."""
        if via == "loop":
            asyncio.get_running_loop().call_soon(self.stepper.run, coroutine)
        else:
            self.stepper.run(coroutine)
        await settle()


async def settle(turns=8):
    for _ in range(turns):
        await asyncio.sleep(0)


@pytest.mark.parametrize("loop_factory", LOOPS)
@pytest.mark.parametrize("via", ["loop", "task"])
def test_results_and_errors(loop_factory, via):
    async def at_once():
        return 1

    async def later():
        await asyncio.sleep(0)
        return 2

    async def fails():
        raise ValueError

    async def fails_later():
        await asyncio.sleep(0)
        raise ValueError

    async def main():
        collector = Collector()
        for coroutine in (at_once, later, fails, fails_later, at_once):
            await collector.run(coroutine(), via)
        kinds = [value if type(value) is int else type(value) for value in collector.outcomes]
        assert kinds == [1, 2, ValueError, ValueError, 1]

    run_on(loop_factory, main())


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_the_first_step_takes_no_turn_of_the_loop(loop_factory):
    async def at_once():
        return "done"

    async def main():
        collector = Collector()
        await settle()
        seen = []

        def callback():
            collector.stepper.run(at_once())
            seen.append(list(collector.outcomes))

        asyncio.get_running_loop().call_soon(callback)
        await settle()
        assert seen == [["done"]]

    run_on(loop_factory, main())


@pytest.mark.parametrize("loop_factory", LOOPS)
@pytest.mark.parametrize("via", ["loop", "task"])
def test_one_task_and_one_context_throughout(loop_factory, via):
    tasks = []

    async def check(name):
        VARIABLE.set(name)
        tasks.append(asyncio.current_task())
        await asyncio.sleep(0)
        assert VARIABLE.get() == name
        tasks.append(asyncio.current_task())

    async def main():
        collector = Collector()
        for name in ("a", "b"):
            await collector.run(check(name), via)
        assert collector.outcomes == [None, None]
        assert tasks == [collector.stepper.task] * 4
        assert VARIABLE.get() == "unset"

    run_on(loop_factory, main())


@pytest.mark.parametrize("loop_factory", LOOPS)
@pytest.mark.parametrize("via", ["loop", "task"])
def test_a_cancellation_reaches_the_coroutine_and_nothing_after_it(loop_factory, via):
    async def stubborn():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "interrupted"

    async def with_timeout():
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            return "timeout"

    async def main():
        collector = Collector()
        for _ in range(2):
            await collector.run(stubborn(), via)
            collector.stepper.task.cancel()
            await settle()
            assert collector.stepper.task.cancelling() == 0
            await collector.run(with_timeout(), via)
            while len(collector.outcomes) % 2:
                await asyncio.sleep(0.001)
        assert collector.outcomes == ["interrupted", "timeout"] * 2

    run_on(loop_factory, main())


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_a_coroutine_that_cancels_its_own_task_in_its_first_step(loop_factory):
    async def suicidal():
        asyncio.current_task().cancel()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "cancelled"

    async def main():
        collector = Collector()
        await settle()
        await collector.run(suicidal())
        assert collector.outcomes == ["cancelled"]

    run_on(loop_factory, main())


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_a_stray_cancellation_between_coroutines(loop_factory):
    async def work():
        await asyncio.sleep(0)
        return "done"

    async def main():
        collector = Collector()
        await settle()
        collector.stepper.task.cancel()
        await settle()
        assert collector.stepper.task.done()
        await collector.run(work())
        await collector.run(work())
        assert collector.outcomes == ["done", "done"]

    run_on(loop_factory, main())


@pytest.mark.parametrize("loop_factory", LOOPS)
@pytest.mark.parametrize("via", ["loop", "task"])
@pytest.mark.parametrize("settled", [False, True])
def test_the_end(loop_factory, via, settled):
    async def waits(cancelled):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def main():
        collector = Collector()
        cancelled = []
        if settled:
            await settle()
            await collector.run(waits(cancelled), via)
        else:
            collector.stepper.run(waits(cancelled))
        collector.stepper.cancel()
        await settle()
        assert cancelled == ([True] if settled else [])
        assert collector.stepper.task.done()
        collector.stepper.run(waits(cancelled))
        await settle()
        assert len(cancelled) == settled

    run_on(loop_factory, main())


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_the_end_of_a_coroutine_that_will_not_be_cancelled(loop_factory):
    async def stubborn():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            return "done"

    async def main():
        collector = Collector()
        await collector.run(stubborn())
        collector.stepper.cancel()
        await settle()
        assert collector.outcomes == ["done"]
        assert collector.stepper.task.done()

    run_on(loop_factory, main())


@pytest.mark.parametrize("loop_factory", LOOPS)
@pytest.mark.parametrize("busy", [False, True])
def test_a_loop_that_shuts_down_ends_the_task(loop_factory, busy):
    async def main():
        collector = Collector()
        if busy:
            await collector.run(asyncio.Event().wait())
        await settle()

    run_on(loop_factory, main())  # the runner cancels all tasks and waits for them


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_awaiting_tasks_futures_and_generators(loop_factory):
    async def work():
        async def child():
            await asyncio.sleep(0)
            return 5

        async def numbers():
            for i in range(3):
                await asyncio.sleep(0)
                yield i

        first = await asyncio.create_task(child())
        second = await asyncio.gather(child(), child())
        third = [number async for number in numbers()]
        async with asyncio.Lock(), asyncio.timeout(5):
            fourth = await asyncio.wait_for(child(), 5)
        return first, second, third, fourth

    async def main():
        collector = Collector()
        await settle()
        for _ in range(3):
            await collector.run(work())
            await settle(40)
        assert collector.outcomes == [(5, [5, 5], [0, 1, 2], 5)] * 3

    run_on(loop_factory, main())
