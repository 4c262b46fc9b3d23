"""The virtual loop: time jumps, order follows from the seed, dead machines are silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from sim.loop import (
    START_SECONDS,
    Deadlock,
    LimitExceeded,
    NonDeterminism,
    PowerLost,
    SimLoop,
    SimulationError,
    run,
)


async def order_of(count: int) -> list[int]:
    """Return the order in which tasks that are ready together run."""
    order: list[int] = []

    async def one(number: int) -> None:
        order.append(number)

    await asyncio.gather(*(one(number) for number in range(count)))
    return order


def test_sleeping_takes_no_time() -> None:
    loop = SimLoop(1, seconds_max=100_000)

    async def main() -> float:
        await asyncio.sleep(86_400)
        return loop.time() - START_SECONDS

    assert run(loop, main()) == 86_400


def test_timers_come_in_order_whatever_the_order_they_were_set_in() -> None:
    seen: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for delay in (0.3, 0.1, 0.2):
            loop.call_later(delay, seen.append, delay)
        cancelled = loop.call_later(0.15, seen.append, 0.15)
        cancelled.cancel()
        await asyncio.sleep(1)

    run(SimLoop(1), main())
    assert seen == [0.1, 0.2, 0.3]


def test_the_seed_decides_the_order() -> None:
    orders = [run(SimLoop(seed), order_of(10)) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == list(range(10)) != orders[0]


def test_the_order_of_arrival_can_be_kept() -> None:
    assert run(SimLoop(1, shuffles=False), order_of(10)) == list(range(10))


def test_the_trace_is_the_same_for_the_same_seed() -> None:
    async def one() -> None:
        """Differ from the other by name."""

    async def other() -> None:
        """Differ from the one by name."""

    async def main() -> None:
        await asyncio.gather(*(work() for _ in range(5) for work in (one, other)))

    loops = [SimLoop(seed) for seed in (1, 1, 2)]
    for loop in loops:
        run(loop, main())
    checksums = [loop.checksums for loop in loops]
    assert checksums[0] == checksums[1] != checksums[2]
    assert loops[0].steps == len(checksums[0])


def test_the_first_different_step_is_named() -> None:
    async def main(extra: Callable[[], Coroutine[Any, Any, None]] | None) -> None:
        await asyncio.sleep(1)
        if extra is not None:
            await asyncio.ensure_future(extra())
        await asyncio.sleep(1)

    async def surprise() -> None:
        """Was not there the first time."""

    first = SimLoop(1)
    run(first, main(None))
    with pytest.raises(NonDeterminism, match=r"detected at step 3, 1\.0+ s: outside .*surprise"):
        run(SimLoop(1, expected=first.checksums), main(surprise))


def test_a_deadlock_is_told() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Deadlock):
        run(SimLoop(1), main())


@pytest.mark.parametrize(
    ("limits", "pause"), [({"steps_max": 100}, 0.0), ({"seconds_max": 10.0}, 1.0)]
)
def test_a_run_without_end_is_ended(limits: dict[str, Any], pause: float) -> None:
    async def main() -> None:
        while True:
            await asyncio.sleep(pause)

    with pytest.raises(LimitExceeded):
        run(SimLoop(1, **limits), main())


def test_an_exception_nobody_takes_fails_the_run() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(int, "x")
        await asyncio.sleep(1)

    with pytest.raises(SimulationError, match="invalid literal"):
        run(SimLoop(1), main())


def test_nothing_of_a_dead_machine_runs() -> None:
    """Not even `finally`: the power is gone."""
    loop = SimLoop(1)
    seen: list[str] = []

    async def victim() -> None:
        asyncio.get_running_loop().call_later(0.2, seen.append, "timer")
        child = asyncio.ensure_future(asyncio.sleep(0.3))
        child.add_done_callback(lambda _: seen.append("callback"))
        try:
            while True:
                seen.append("turn")
                await asyncio.sleep(0.06)
        finally:
            if loop.is_running():
                seen.append("finally")

    async def main() -> None:
        owner = loop.owner("machine")
        work = asyncio.ensure_future(loop.run_for(owner, victim()))
        await asyncio.sleep(0.1)
        owner.power_off()
        with pytest.raises(PowerLost, match="machine"):
            await work
        await asyncio.sleep(1)

    run(loop, main())
    assert seen == ["turn", "turn"]


def test_what_runs_for_a_machine_gives_its_result_and_its_error() -> None:
    loop = SimLoop(1)

    async def fails() -> None:
        raise ValueError("no")

    async def main() -> None:
        owner = loop.owner("machine")
        assert await loop.run_for(owner, asyncio.sleep(1, "yes")) == "yes"
        with pytest.raises(ValueError, match="no"):
            await loop.run_for(owner, fails())

    run(loop, main())
