"""The hybrid logical clock behind `$clusterTime` and `operationTime`.

Its times are BSON timestamps: seconds of the wall clock, or of the latest time heard of where that
is ahead, and an increment that orders what happens within one second.
"""

from __future__ import annotations

from typing import Final

from bson.timestamp import Timestamp

from psdb_base.errors import Code, MongoError
from psdb_base.world import Clock

AHEAD_SECONDS_MAX: Final = 365 * 24 * 60 * 60
"""A time that is further ahead of the wall clock than this (`maxAcceptableLogicalClockDriftSecs`)
is refused: one wrong clock must not wear out the times of the whole cluster."""
_INCREMENT_MAX: Final = (1 << 31) - 1
_SECONDS_MAX: Final = (1 << 31) - 1
_INCREMENT_MASK: Final = (1 << 32) - 1


class HybridClock:
    """A clock whose times strictly increase and never fall behind a time it has seen.

    Args:
        clock: Tells the wall time.

    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._number = 0  # seconds and increment as one number: they compare, and cost little
        self._now: Timestamp | None = Timestamp(0, 0)

    @property
    def now(self) -> Timestamp:
        """The latest time given out or observed; `Timestamp(0, 0)` before the first."""
        if self._now is None:
            self._now = Timestamp(self._number >> 32, self._number & _INCREMENT_MASK)
        return self._now

    def tick(self) -> Timestamp:
        """Advance and return a time greater than all that were given out or observed.

        Raises:
            MongoError: ClusterTimeFailsRateLimiter (205) when the last representable time is used.

        """
        wall = self._clock.now_ms() // 1000
        seconds, increment = self._number >> 32, self._number & _INCREMENT_MASK
        if wall > seconds:
            seconds, increment = wall, 1
        elif increment < _INCREMENT_MAX:
            increment += 1
        elif seconds < _SECONDS_MAX:
            seconds, increment = seconds + 1, 1
        else:
            raise MongoError(
                Code.CLUSTER_TIME_FAILS_RATE_LIMITER,
                "cluster time cannot be advanced beyond its maximum",
            )
        self._number = seconds << 32 | increment
        now = self._now = Timestamp(seconds, increment)
        return now

    def observe(self, remote: Timestamp) -> None:
        """Take note of another node's time, so that the next tick is greater.

        Raises:
            MongoError: ClusterTimeFailsRateLimiter (205) when `remote` is more than
                `AHEAD_SECONDS_MAX` ahead of the wall clock; nothing changes then.

        """
        self.observe_number(remote.time << 32 | remote.inc)

    def observe_number(self, remote: int) -> None:
        """Take note of another node's time, given as its eight bytes are: as `observe`."""
        if remote <= self._number:
            return
        wall = self._clock.now_ms() // 1000
        if remote >> 32 > wall + AHEAD_SECONDS_MAX:
            raise MongoError(
                Code.CLUSTER_TIME_FAILS_RATE_LIMITER,
                f"New cluster time, {remote >> 32}, is too far from this node's wall clock time,"
                f" {wall}.",
            )
        if remote & _INCREMENT_MASK > _INCREMENT_MAX:
            raise MongoError(Code.BAD_VALUE, "cluster time cannot be advanced beyond its maximum")
        self._number, self._now = remote, None

    def restore(self, own: Timestamp) -> None:
        """Take note of a time of the node's own log, however far ahead of the wall clock it is."""
        number = own.time << 32 | own.inc
        if number > self._number:
            self._number, self._now = number, own
