"""States over a window that moves: values come in at its end and leave at its beginning.

`add` and `remove` are called in the same order of values, so a state may be a queue. Sums stay
exact for integers; doubles are kept as a double and a second one for what rounding lost.
"""

from __future__ import annotations

import decimal
import math
from abc import ABC, abstractmethod
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from operator import itemgetter
from typing import Any

from bson.decimal128 import Decimal128

from psdb_base import order
from psdb_base.values import MISSING
from psdb_query.accumulators.core import State, null_if_missing
from psdb_query.accumulators.keys import key_of
from psdb_query.accumulators.quantiles import discrete_percentile
from psdb_query.context import Collation
from psdb_query.expressions.core import is_nullish
from psdb_query.numeric import CONTEXT, DECIMAL, DOUBLE, RANKS, decimal128, rank, to_double, whole
from psdb_query.windows.bounds import Window


class Sliding(ABC):
    """A state to which values are added and from which the oldest are removed."""

    __slots__ = ()

    @abstractmethod
    def add(self, value: Any) -> None:
        """Take a value in at the end."""

    @abstractmethod
    def remove(self, value: Any) -> None:
        """Drop the oldest value, which is this one."""

    @abstractmethod
    def result(self) -> Any:
        """Return the result of what is in the window."""


def slide(
    values: list[Any], windows: Iterator[Window], new: Callable[[], Sliding]
) -> Iterator[Any]:
    """Give the result of each window; windows move forward only."""
    state = new()
    empty = new()
    first = end = 0
    last: Window = None
    result: Any = None
    for window in windows:
        if window is None:
            yield empty.result()
            continue
        if window == last:
            yield result
            continue
        last = window
        start, stop = window
        if start >= end:
            state, first, end = new(), start, start
        while end < stop:
            state.add(values[end])
            end += 1
        while first < start:
            state.remove(values[first])
            first += 1
        result = state.result()
        yield result


class DoubleDouble:
    """A sum of doubles with twice their precision; infinities and NaN are counted apart."""

    __slots__ = ("_high", "_low", "_nan", "_negative", "_positive")

    def __init__(self) -> None:
        self._high = 0.0
        self._low = 0.0
        self._nan = 0
        self._positive = 0
        self._negative = 0

    def add(self, value: float, sign: int = 1) -> None:
        """Add a double, or (`sign` -1) take one out again."""
        if value - value != 0:
            self._count_special(value, sign)
            return
        value *= sign
        high = self._high + value
        part = high - self._high
        self._low += (self._high - (high - part)) + (value - part)
        self._high = high

    def _count_special(self, value: float, sign: int) -> None:
        if value != value:
            self._nan += sign
        elif value > 0:
            self._positive += sign
        else:
            self._negative += sign

    def value(self) -> float:
        """Return the sum as a double."""
        if self._nan or (self._positive and self._negative):
            return math.nan
        if self._positive or self._negative:
            return math.inf if self._positive else -math.inf
        return self._high + self._low

    def exact(self) -> decimal.Decimal:
        """Return the sum as a decimal."""
        value = self.value()
        if value - value != 0:
            return decimal.Decimal(value)
        return CONTEXT.add(decimal.Decimal(self._high), decimal.Decimal(self._low))


class SumSliding(Sliding):
    """`$sum`."""

    __slots__ = ("_counts", "_decimals", "_doubles", "_integer")

    def __init__(self) -> None:
        self._counts = [0, 0, 0, 0]
        self._integer = 0
        self._doubles = DoubleDouble()
        self._decimals = decimal.Decimal(0)

    def add(self, value: Any) -> None:
        """Add a number."""
        self._change(value, 1)

    def remove(self, value: Any) -> None:
        """Take a number out."""
        self._change(value, -1)

    def _change(self, value: Any, sign: int) -> None:
        kind = type(value)
        if kind not in RANKS:
            return
        self._counts[rank(value)] += sign
        if kind is float:
            self._doubles.add(value, sign)
        elif kind is Decimal128:
            exact = value.to_decimal()
            self._decimals = CONTEXT.add(self._decimals, exact if sign > 0 else -exact)
            if not self._counts[DECIMAL]:
                self._decimals = decimal.Decimal(0)
        else:
            self._integer += sign * value
        if kind is float and not self._counts[DOUBLE]:
            self._doubles = DoubleDouble()

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return sum(self._counts)

    def result(self) -> Any:
        """Return the sum in its widest type."""
        if self._counts[DECIMAL]:
            return decimal128(self._exact())
        if self._counts[DOUBLE]:
            return self._double()
        if -(1 << 63) <= self._integer < 1 << 63:
            return whole(self._integer, 1 if self._counts[1] else 0)
        return float(self._integer)

    def _exact(self) -> decimal.Decimal:
        rest = CONTEXT.add(self._doubles.exact(), decimal.Decimal(self._integer))
        return CONTEXT.add(self._decimals, rest)

    def _double(self) -> float:
        total = self._doubles.value()
        return total + self._integer if self._integer else total

    def average(self) -> Any:
        """Return the average, null of nothing."""
        count = self.count
        if not count:
            return None
        if self._counts[DECIMAL]:
            return decimal128(CONTEXT.divide(self._exact(), decimal.Decimal(count)))
        return self._double() / count


class AvgSliding(SumSliding):
    """`$avg`."""

    __slots__ = ()

    def result(self) -> Any:
        """Return the average."""
        return self.average()


class ExtremeSliding(Sliding):
    """`$min` (`sign` 1) and `$max` (`sign` -1): a queue of the values that may still win."""

    __slots__ = ("_added", "_collation", "_queue", "_removed", "_sign")

    def __init__(self, sign: int, collation: Collation | None) -> None:
        self._sign = sign
        self._collation = collation
        self._queue: deque[tuple[int, Any]] = deque()
        self._added = 0
        self._removed = 0

    def add(self, value: Any) -> None:
        """Drop what this value beats."""
        self._added += 1
        if is_nullish(value):
            return
        queue = self._queue
        while queue and order.compare(value, queue[-1][1], self._collation) * self._sign < 0:
            queue.pop()
        queue.append((self._added, value))

    def remove(self, value: Any) -> None:  # noqa: ARG002 -- the oldest, whichever it is
        """Drop the oldest value, if it is still in the queue."""
        self._removed += 1
        if self._queue and self._queue[0][0] <= self._removed:
            self._queue.popleft()

    def result(self) -> Any:
        """Return the extreme, null of nothing."""
        return self._queue[0][1] if self._queue else None


class RankedSliding(Sliding):
    """Values in the order of a key: `$minN`, `$maxN`, `$topN`, `$bottomN` and the like.

    Args:
        key: Value → key; None for values that do not count.
        output: Value → what is given out for it.
        n: How many are given out.
        last: The last ones of the order, not the first.
        single: One is given out by itself, null if there is none.

    """

    __slots__ = ("_added", "_entries", "_key", "_last", "_n", "_output", "_removed", "_single")

    def __init__(
        self,
        key: Callable[[Any], bytes | None],
        output: Callable[[Any], Any],
        n: int,
        *,
        last: bool = False,
        single: bool = False,
    ) -> None:
        self._key = key
        self._output = output
        self._n = n
        self._last = last
        self._single = single
        self._entries: list[tuple[bytes, int, Any]] = []
        self._added = 0
        self._removed = 0

    def add(self, value: Any) -> None:
        """Insert it where it belongs; equals keep their order."""
        self._added += 1
        key = self._key(value)
        if key is not None:
            insort(self._entries, (key, self._added, value), key=itemgetter(0, 1))

    def remove(self, value: Any) -> None:
        """Find the oldest among its equals."""
        self._removed += 1
        key = self._key(value)
        if key is not None:
            at = bisect_left(self._entries, (key, self._removed), key=itemgetter(0, 1))
            del self._entries[at]

    def result(self) -> Any:
        """Return the outputs."""
        chosen = self._entries[-self._n :] if self._last else self._entries[: self._n]
        outputs = [self._output(entry[2]) for entry in chosen]
        if self._single:
            return outputs[0] if outputs else None
        return outputs


class QuantileSliding(Sliding):
    """`$percentile` and `$median`: the numbers of the window, sorted."""

    __slots__ = ("_nans", "_single", "_sorted", "_wanted")

    def __init__(self, wanted: list[float], *, single: bool) -> None:
        self._wanted = wanted
        self._single = single
        self._sorted: list[float] = []
        self._nans = 0

    def add(self, value: Any) -> None:
        """Insert a number."""
        if type(value) in RANKS:
            number = to_double(value)
            if number != number:
                self._nans += 1
            else:
                insort(self._sorted, number)

    def remove(self, value: Any) -> None:
        """Drop a number."""
        if type(value) in RANKS:
            number = to_double(value)
            if number != number:
                self._nans -= 1
            else:
                del self._sorted[bisect_left(self._sorted, number)]

    def result(self) -> Any:
        """Return the percentiles, NaN before all numbers."""
        values = [math.nan] * self._nans + self._sorted if self._nans else self._sorted
        found = [discrete_percentile(values, p) if values else None for p in self._wanted]
        return found[0] if self._single else found


class PushSliding(Sliding):
    """`$push`."""

    __slots__ = ("_queue",)

    def __init__(self) -> None:
        self._queue: deque[Any] = deque()

    def add(self, value: Any) -> None:
        """Append what is there."""
        if value is not MISSING:
            self._queue.append(value)

    def remove(self, value: Any) -> None:
        """Drop the oldest."""
        if value is not MISSING:
            self._queue.popleft()

    def result(self) -> Any:
        """Return the values."""
        return list(self._queue)


class EndsSliding(Sliding):
    """`$firstN` and `$lastN`; missing values count as null."""

    __slots__ = ("_last", "_n", "_queue")

    def __init__(self, n: int, *, last: bool) -> None:
        self._n = n
        self._last = last
        self._queue: deque[Any] = deque()

    def add(self, value: Any) -> None:
        """Append it."""
        self._queue.append(null_if_missing(value))

    def remove(self, value: Any) -> None:  # noqa: ARG002 -- the oldest, whichever it is
        """Drop the oldest."""
        self._queue.popleft()

    def result(self) -> Any:
        """Return the first or last values."""
        queue, n = self._queue, self._n
        if self._last:
            return [queue[at] for at in range(max(0, len(queue) - n), len(queue))]
        return [queue[at] for at in range(min(n, len(queue)))]


class SetSliding(Sliding):
    """`$addToSet`: values by key, with how often they are there."""

    __slots__ = ("_collation", "_counts", "_values")

    def __init__(self, collation: Collation | None) -> None:
        self._collation = collation
        self._values: dict[Any, Any] = {}
        self._counts: dict[Any, int] = {}

    def add(self, value: Any) -> None:
        """Count it in."""
        if value is MISSING:
            return
        key = key_of(value, self._collation)
        if key in self._counts:
            self._counts[key] += 1
        else:
            self._counts[key] = 1
            self._values[key] = value

    def remove(self, value: Any) -> None:
        """Count it out."""
        if value is MISSING:
            return
        key = key_of(value, self._collation)
        self._counts[key] -= 1
        if not self._counts[key]:
            del self._counts[key], self._values[key]

    def result(self) -> Any:
        """Return the values."""
        return list(self._values.values())


class ElementsSliding(Sliding):
    """`$concatArrays` and `$setUnion`: the elements of arrays, in a state of their own."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Sliding) -> None:
        self._inner = inner

    def add(self, value: Any) -> None:
        """Add each element."""
        for element in value:
            self._inner.add(element)

    def remove(self, value: Any) -> None:
        """Remove each element."""
        for element in value:
            self._inner.remove(element)

    def result(self) -> Any:
        """Return what the state has."""
        return self._inner.result()


class DeviationSliding(Sliding):
    """`$stdDevPop` and `$stdDevSamp`: exact sums of the numbers and of their squares.

    They are fractions, so that what went in comes out again without a trace.
    """

    __slots__ = ("_count", "_missing", "_special", "_squares", "_total")

    def __init__(self, missing: int) -> None:
        self._missing = missing
        self._count = 0
        self._special = 0
        self._total = Fraction(0)
        self._squares = Fraction(0)

    def add(self, value: Any) -> None:
        """Add a number."""
        self._change(value, 1)

    def remove(self, value: Any) -> None:
        """Take a number out."""
        self._change(value, -1)

    def _change(self, value: Any, sign: int) -> None:
        if type(value) not in RANKS:
            return
        number = to_double(value)
        if number - number != 0:
            self._special += sign
            return
        exact = Fraction(number)
        self._count += sign
        self._total += sign * exact
        self._squares += sign * exact * exact

    def result(self) -> Any:
        """Return the deviation; null if there are too few numbers or one is not finite."""
        count = self._count - self._missing
        if self._special or count <= 0:
            return None
        variance = (self._squares - self._total * self._total / self._count) / count
        try:
            return math.sqrt(variance)
        except OverflowError:
            return math.inf


class Recomputed(Sliding):
    """Any accumulator, computed anew from the values of the window."""

    __slots__ = ("_new", "_queue")

    def __init__(self, new: Callable[[], State]) -> None:
        self._new = new
        self._queue: deque[Any] = deque()

    def add(self, value: Any) -> None:
        """Append it."""
        self._queue.append(value)

    def remove(self, value: Any) -> None:  # noqa: ARG002 -- the oldest, whichever it is
        """Drop the oldest."""
        self._queue.popleft()

    def result(self) -> Any:
        """Run the accumulator over all."""
        state = self._new()
        for value in self._queue:
            state.add(value)
        return state.finish()
