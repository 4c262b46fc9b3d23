"""`$stdDevPop` and `$stdDevSamp`: Welford's method; what is no number does not count."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from bson.int64 import Int64

from psdb_query.accumulators.core import (
    Accumulator,
    State,
    StateColumn,
    unary_argument,
    values_of,
)
from psdb_query.context import CompileContext
from psdb_query.numeric import is_number, to_double


class Deviation(State):
    """Count, mean, and sum of squared differences from the mean."""

    __slots__ = ("_count", "_mean", "_missing", "_squares")

    def __init__(self, missing: int) -> None:
        self._missing = missing
        self._count = 0
        self._mean = 0.0
        self._squares = 0.0

    def add(self, value: Any) -> None:
        """Add a number."""
        if not is_number(value):
            return
        number = to_double(value)
        self._count += 1
        difference = number - self._mean
        self._mean += difference / self._count
        self._squares += difference * (number - self._mean)

    def finish(self) -> Any:
        """Return the deviation; null if there are too few numbers."""
        count = self._count - self._missing
        if count <= 0:
            return None
        return math.sqrt(self._squares / count) if self._squares >= 0 else math.nan

    def partial(self) -> Any:
        """Return squares, mean, count."""
        return [self._squares, self._mean, Int64(self._count)]

    def merge(self, partial: Any) -> None:
        """Join two sets of numbers."""
        squares, mean, count = partial
        if not count:
            return
        if not self._count:
            self._squares, self._mean, self._count = squares, mean, int(count)
            return
        total = self._count + int(count)
        difference = mean - self._mean
        self._squares += squares + difference * difference * (count * self._count / total)
        self._mean = (self._count * self._mean + count * mean) / total
        self._count = total


def _deviation(name: str, missing: int) -> Callable[[Any, CompileContext], Accumulator]:
    def compile_deviation(argument: Any, ctx: CompileContext) -> Accumulator:
        operand = unary_argument(name, argument, ctx)
        values = values_of(operand)
        return Accumulator(
            name,
            argument,
            lambda: StateColumn(lambda _group: Deviation(missing), values),
            lambda: Deviation(missing),
            (operand,),
        )

    return compile_deviation


ACCUMULATORS: Final = {
    "$stdDevPop": _deviation("$stdDevPop", 0),
    "$stdDevSamp": _deviation("$stdDevSamp", 1),
}
