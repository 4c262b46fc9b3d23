"""Sums as MongoDB computes them in `$sum`, `$avg` and their windows.

Integers are added exactly, doubles with a second double that collects what rounding lost,
decimals at 34 digits; the three meet only in the result. A sum therefore depends on the order
of its terms far less than plain addition does, and parts computed on shards can be merged.
"""

from __future__ import annotations

import decimal
import math
from typing import Any

from bson.decimal128 import Decimal128

from psdb_query import numeric
from psdb_query.numeric import DECIMAL, DOUBLE, INT, LONG


class Summation:
    """A running sum of numbers of any type, with the count of its terms."""

    __slots__ = ("_decimal", "_high", "_low", "_plain", "_rank", "_whole", "count")

    def __init__(self) -> None:
        self.count = 0
        self._rank = INT
        self._whole = 0
        self._high = 0.0
        self._low = 0.0
        self._plain = 0.0
        """The uncompensated sum of the doubles: right where infinities or NaN took part."""
        self._decimal = decimal.Decimal(0)

    def add(self, value: Any) -> None:
        """Add one number."""
        rank = numeric.rank(value)
        self._rank = max(self._rank, rank)
        self.count += 1
        if rank <= LONG:
            self._whole += value
        elif rank == DOUBLE:
            self._add_double(value)
        else:
            self._decimal = numeric.CONTEXT.add(self._decimal, numeric.decimal_of(value))

    def merge(self, other: Summation) -> None:
        """Add all that another sum has added."""
        self._rank = max(self._rank, other._rank)
        self.count += other.count
        self._whole += other._whole
        plain = self._plain + other._plain
        self._add_double(other._high)
        self._add_double(other._low)
        self._plain = plain
        self._decimal = numeric.CONTEXT.add(self._decimal, other._decimal)

    def _add_double(self, value: float) -> None:
        self._plain += value
        high = self._high
        total = high + value
        part = total - high
        self._low += (high - (total - part)) + (value - part)
        self._high = total

    def result(self) -> Any:
        """Return the sum in the widest type that was added; longs that overflow give a double."""
        if self._rank == DECIMAL:
            return numeric.decimal128(self._exact())
        if self._rank == DOUBLE or not numeric.fits_long(self._whole):
            return self._double()
        return numeric.whole(self._whole, self._rank)

    def average(self) -> Any:
        """Return sum divided by count, a double or decimal; None if nothing was added."""
        if not self.count:
            return None
        if self._rank == DECIMAL:
            quotient = numeric.CONTEXT.divide(self._exact(), decimal.Decimal(self.count))
            return numeric.decimal128(quotient)
        return self._double() / self.count

    def _double(self) -> float:
        if not math.isfinite(self._plain):
            return self._plain
        high, low, whole = self._high, self._low, self._whole
        if whole:
            rounded = float(whole)
            total = high + rounded
            part = total - high
            low += (high - (total - part)) + (rounded - part) + float(whole - int(rounded))
            high = total
        total = high + low
        return total if math.isfinite(total) else self._plain + whole

    def _exact(self) -> decimal.Decimal:
        context = numeric.CONTEXT
        if not math.isfinite(self._plain):
            return context.add(self._decimal, decimal.Decimal(self._plain))
        rest = decimal.Decimal(self._whole)
        for part in (self._high, self._low):
            if part:
                rest = context.add(rest, decimal.Decimal(part))
        return context.add(self._decimal, rest)


def standard_deviation(numbers: list[float], *, sample: bool) -> float | None:
    """Return the deviation of a population or sample by Welford's method; None if undefined."""
    count, mean, squares = 0, 0.0, 0.0
    for number in numbers:
        count += 1
        delta = number - mean
        if delta != 0:
            mean += delta / count
            squares += delta * (number - mean)
    divisor = count - 1 if sample else count
    if divisor <= 0:
        return None
    return math.sqrt(squares / divisor) if squares >= 0 else math.nan


def percentile(ordered: list[float], fraction: float) -> float:
    """Return the element of a sorted, not empty list at the discrete percentile 0.0–1.0."""
    position = math.ceil(len(ordered) * fraction) - 1
    return ordered[min(max(position, 0), len(ordered) - 1)]


def doubles_of(values: list[Any]) -> list[float]:
    """Return the numbers among `values` as doubles."""
    return [
        numeric.to_double(value) if type(value) is Decimal128 else float(value)
        for value in values
        if type(value) in numeric.RANKS
    ]
