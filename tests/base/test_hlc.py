"""The hybrid logical clock: strictly increasing, bounded against wrong clocks."""

from __future__ import annotations

import pytest
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from psdb_base.errors import MongoError
from psdb_base.hlc import AHEAD_SECONDS_MAX, HybridClock

START = 1_700_000_000


class ManualClock:
    def __init__(self, seconds: int = START) -> None:
        self.seconds = seconds

    def now_ms(self) -> int:
        return self.seconds * 1000 + 999

    def monotonic(self) -> float:
        raise AssertionError("wall time only")


def test_follows_the_wall_clock() -> None:
    wall = ManualClock()
    clock = HybridClock(wall)
    assert clock.now == Timestamp(0, 0)
    assert clock.tick() == Timestamp(START, 1)
    assert clock.tick() == Timestamp(START, 2)
    wall.seconds += 1
    assert clock.now == Timestamp(START, 2)
    assert clock.tick() == Timestamp(START + 1, 1)
    wall.seconds -= 100
    assert clock.tick() == Timestamp(START + 1, 2)


def test_follows_other_nodes() -> None:
    clock = HybridClock(ManualClock())
    clock.observe(Timestamp(START + 50, 7))
    assert clock.now == Timestamp(START + 50, 7)
    clock.observe(Timestamp(START + 50, 6))
    assert clock.now == Timestamp(START + 50, 7)
    assert clock.tick() == Timestamp(START + 50, 8)


def test_a_full_second_goes_on_in_the_next() -> None:
    clock = HybridClock(ManualClock())
    clock.observe(Timestamp(START, 2**31 - 1))
    assert clock.tick() == Timestamp(START + 1, 1)


@pytest.mark.parametrize(
    ("ahead", "allowed"), [(AHEAD_SECONDS_MAX, True), (AHEAD_SECONDS_MAX + 1, False)]
)
def test_times_too_far_ahead_are_refused(ahead: int, allowed: bool) -> None:
    clock = HybridClock(ManualClock())
    clock.tick()
    if allowed:
        clock.observe(Timestamp(START + ahead, 0))
        assert clock.tick() == Timestamp(START + ahead, 1)
        return
    with pytest.raises(MongoError) as caught:
        clock.observe(Timestamp(START + ahead, 0))
    assert caught.value.code == 205
    assert clock.now == Timestamp(START, 1)


def test_increments_beyond_31_bits_are_refused() -> None:
    clock = HybridClock(ManualClock())
    with pytest.raises(MongoError) as caught:
        clock.observe(Timestamp(START, 2**31))
    assert caught.value.code == 2
    assert clock.now == Timestamp(0, 0)


def test_own_log_is_trusted() -> None:
    clock = HybridClock(ManualClock())
    own = Timestamp(START + 3 * AHEAD_SECONDS_MAX // 2, 4)
    clock.restore(own)
    assert clock.tick() == Timestamp(own.time, 5)
    clock.restore(Timestamp(1, 1))
    assert clock.now == Timestamp(own.time, 5)


def test_the_end_of_time_is_an_error() -> None:
    clock = HybridClock(ManualClock())
    clock.restore(Timestamp(2**31 - 1, 2**31 - 1))
    with pytest.raises(MongoError) as caught:
        clock.tick()
    assert caught.value.code == 205


STEPS = st.lists(
    st.none() | st.integers(-5, 5) | st.builds(
        Timestamp,
        st.integers(START - 10, START + 10),
        st.integers(0, 3) | st.integers(2**31 - 3, 2**31 - 1),
    ),
    max_size=30,
)  # fmt: skip


@given(STEPS)
def test_strictly_increasing(steps: list[int | Timestamp | None]) -> None:
    """None ticks, an integer moves the wall clock, a timestamp is heard of."""
    wall = ManualClock()
    clock = HybridClock(wall)
    seen = Timestamp(0, 0)
    for step in steps:
        if step is None:
            assert clock.tick() > seen
        elif type(step) is int:
            wall.seconds += step
        else:
            clock.observe(step)
            assert clock.now >= step
        assert clock.now >= seen
        seen = clock.now
