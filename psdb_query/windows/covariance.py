"""`$covariancePop` and `$covarianceSamp`: the online method, forwards and backwards."""

from __future__ import annotations

from typing import Any

from bson.decimal128 import Decimal128

from psdb_query import numeric
from psdb_query.windows.sliding import AvgSliding, Sliding, SumSliding


def _is_pair(value: Any) -> bool:
    return (
        type(value) is list
        and len(value) == 2
        and numeric.is_number(value[0])
        and numeric.is_number(value[1])
    )


def _special(pair: list[Any]) -> Any:
    """Return what a pair with an infinity or NaN adds to the sum; None for a finite pair."""
    found = [numeric.to_double(value) for value in pair]
    if all(value - value == 0 for value in found):
        return None
    infinite = [value for value in found if value - value != 0 and value == value]
    bad = any(value != value for value in found) or len(dict.fromkeys(infinite)) > 1
    total = float("nan") if bad else infinite[0]
    if any(type(value) is Decimal128 for value in pair):
        return Decimal128(str(total))
    return total


class CovarianceSliding(Sliding):
    """The covariance of pairs of numbers; what is no such pair does not count."""

    __slots__ = ("_count", "_mean_x", "_mean_y", "_missing", "_products")

    def __init__(self, missing: int) -> None:
        self._missing = missing
        self._reset()

    def _reset(self) -> None:
        self._count = 0
        self._mean_x = AvgSliding()
        self._mean_y = AvgSliding()
        self._products = SumSliding()

    def add(self, value: Any) -> None:
        """Add a pair."""
        if not _is_pair(value):
            return
        special = _special(value)
        if special is not None:
            self._products.add(special)
            return
        x, y = value
        self._count += 1
        mean = self._mean_x.average()
        from_mean = numeric.subtract(x, 0 if mean is None else mean)
        self._mean_x.add(x)
        self._mean_y.add(y)
        rest = numeric.subtract(y, self._mean_y.average())
        self._products.add(numeric.multiply(from_mean, rest))

    def remove(self, value: Any) -> None:
        """Take a pair out."""
        if not _is_pair(value):
            return
        special = _special(value)
        if special is not None:
            self._products.remove(special)
            return
        self._count -= 1
        if not self._count:
            self._reset_finite()
            return
        x, y = value
        self._mean_x.remove(x)
        from_mean = numeric.subtract(x, self._mean_x.average())
        rest = numeric.subtract(y, self._mean_y.average())
        self._products.remove(numeric.multiply(from_mean, rest))
        self._mean_y.remove(y)

    def _reset_finite(self) -> None:
        special = self._products.result()
        self._reset()
        if numeric.is_number(special) and _special([special, 0]) is not None:
            self._products.add(special)

    def result(self) -> Any:
        """Return the covariance; null if there are too few pairs."""
        if self._count == 1 and not self._missing:
            return 0.0
        count = self._count - self._missing
        if count <= 0:
            return None
        total = self._products.result()
        if type(total) is Decimal128:
            return numeric.divide(total, count)
        return numeric.to_double(total) / count
