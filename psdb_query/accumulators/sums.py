"""`$sum`, `$avg` and `$count`.

Integers are added exactly, doubles with an error far below half a unit in the last place (at
least as exact as MongoDB's compensated sums), decimals at 34 digits. The result has the widest
type met: int, long, double, decimal; an int that does not fit becomes a long, a long that does
not fit becomes a double. What is no number does not count.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Sequence
from typing import Any, Final

from bson.decimal128 import Decimal128
from bson.int64 import Int64

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.accumulators.core import Accumulator, Column, Values, simple, unary_argument
from psdb_query.context import CompileContext, Env
from psdb_query.expressions.core import constant
from psdb_query.numeric import CONTEXT, DECIMAL, DOUBLE, INT, LONG, RANKS, decimal128, rank, whole

_INTEGERS: Final = {int, Int64}
_PLAIN: Final = {int, Int64, float}
_FEW: Final = 4
"""Up to so many groups are faster counted each by itself."""
_PENDING_MAX: Final = 1 << 16
_ZERO: Final = decimal.Decimal(0)


def exact_sum(values: Sequence[float]) -> float:
    """Return the sum of doubles, rounded once; infinities and NaN as IEEE has them."""
    try:
        return math.fsum(values)
    except ValueError:
        return math.nan
    except OverflowError:
        return sum(values)


def double_double(values: Sequence[float]) -> tuple[float, float]:
    """Return the sum as a double and the rounding error it leaves."""
    high = exact_sum(values)
    if not math.isfinite(high):
        return high, 0.0
    return high, exact_sum([*values, -high])


def parts_of_int(value: int) -> list[float]:
    """Return doubles whose sum is the integer (to 106 bits)."""
    if -(1 << 53) <= value <= 1 << 53:
        return [float(value)] if value else []
    high = float(value)
    return [high, float(value - int(high))]


class Total:
    """An exact running sum of numbers of all types."""

    __slots__ = ("decimals", "doubles", "integer", "rank")

    def __init__(self) -> None:
        self.integer = 0
        self.doubles: list[float] = []
        self.decimals: decimal.Decimal | None = None
        self.rank = INT

    def add(self, value: Any) -> bool:
        """Add a value; tell whether it is a number (what is none changes nothing)."""
        kind = type(value)
        if kind not in RANKS:
            return False
        self.rank = max(self.rank, rank(value))
        if kind is float:
            self.doubles.append(value)
            if len(self.doubles) > 64:
                self.doubles = list(double_double(self.doubles))
        elif kind is Decimal128:
            self.decimals = CONTEXT.add(self.decimals or _ZERO, value.to_decimal())
        else:
            self.integer += value
        return True

    def result(self) -> Any:
        """Return the sum as BSON has it."""
        if self.rank == DECIMAL:
            return decimal128(self._decimal())
        if self.rank == DOUBLE:
            return self.double()
        if -(1 << 63) <= self.integer < 1 << 63:
            return whole(self.integer, self.rank)
        return float(self.integer)

    def double(self) -> float:
        """Return the sum of all but decimals as a double."""
        return exact_sum([*self.doubles, *parts_of_int(self.integer)])

    def _decimal(self) -> decimal.Decimal:
        total = self.decimals or _ZERO
        if self.rank >= DOUBLE and self.doubles:
            high, low = double_double([*self.doubles, *parts_of_int(self.integer)])
            plain = CONTEXT.add(CONTEXT.create_decimal(high), CONTEXT.create_decimal(low))
        else:
            plain = CONTEXT.create_decimal(self.integer)
        return CONTEXT.add(total, plain)

    def average(self, count: int) -> Any:
        """Return the sum divided by a count that is not zero: a double, or a decimal."""
        if self.rank == DECIMAL:
            return decimal128(CONTEXT.divide(self._decimal(), decimal.Decimal(count)))
        return self.double() / count

    def partial(self) -> list[Any]:
        """Return the state as BSON: rank, integer, two doubles, decimal."""
        high, low = double_double(self.doubles)
        integer: Any = self.integer
        integer = Int64(integer) if -(1 << 63) <= integer < 1 << 63 else str(integer)
        decimals = None if self.decimals is None else decimal128(self.decimals)
        return [self.rank, integer, high, low, decimals]

    def merge(self, partial: list[Any]) -> None:
        """Add a state that `partial` gave."""
        other, integer, high, low, decimals = partial
        self.rank = max(self.rank, int(other))
        self.integer += int(integer)
        if other >= DOUBLE and (high or low):
            self.doubles += [high, low]
            if len(self.doubles) > 64:
                self.doubles = list(double_double(self.doubles))
        if decimals is not None:
            self.decimals = CONTEXT.add(self.decimals or _ZERO, decimals.to_decimal())


class SumColumn(Column):
    """States of `$sum`: integers and doubles in plain lists, anything else in `Total`s."""

    __slots__ = ("_doubles", "_integers", "_longs", "_others", "_pending", "_values")
    bytes_per_slot = 96

    def __init__(self, values: Values) -> None:
        self._values = values
        self._integers: list[int] = []
        self._doubles: list[list[float]] | None = None
        self._longs: dict[int, bool] = {}
        self._others: dict[int, Total] = {}
        self._pending = 0

    def open(self, ids: Sequence[Any]) -> None:
        """Make states."""
        self._integers += [0] * len(ids)
        if self._doubles is not None:
            self._doubles += [[] for _ in ids]

    def take(self, slots: Sequence[int], batch: list[Document], env: Env) -> None:
        """Add a batch: whole columns of integers or doubles in one loop."""
        self.add(slots, self._values(batch, env))

    def add(self, slots: Sequence[int], values: list[Any]) -> None:
        """Add values."""
        kinds = set(map(type, values))
        if kinds == {int}:
            self._add_integers(slots, values)
        elif kinds == {float}:
            self._add_doubles(slots, values)
        else:
            self._add_mixed(slots, values)

    def _add_integers(self, slots: Sequence[int], values: list[int]) -> None:
        totals = self._integers
        if len(totals) == 1:
            totals[0] += sum(values)
            return
        for slot, value in zip(slots, values, strict=True):
            totals[slot] += value

    def _add_doubles(self, slots: Sequence[int], values: list[float]) -> None:
        lists = self._doubles
        if lists is None:
            lists = self._doubles = [[] for _ in self._integers]
        if len(lists) == 1:
            lists[0] += values
        else:
            for slot, value in zip(slots, values, strict=True):
                lists[slot].append(value)
        self._pending += len(values)
        if self._pending > _PENDING_MAX + 2 * len(lists):
            self._doubles = [
                list(double_double(found)) if len(found) > 2 else found for found in lists
            ]
            self._pending = 0

    def _add_mixed(self, slots: Sequence[int], values: list[Any]) -> None:
        for slot, value in zip(slots, values, strict=True):
            kind = type(value)
            if kind is int:
                self._integers[slot] += value
            elif kind is Int64:
                self._integers[slot] += value
                self._longs[slot] = True
            elif kind is float:
                self._add_doubles((slot,), [value])
            elif kind is Decimal128:
                self._other(slot).add(value)

    def _other(self, slot: int) -> Total:
        total = self._others.get(slot)
        if total is None:
            total = self._others[slot] = Total()
        return total

    def total(self, slot: int) -> Total:
        """Return the state of a group as one sum."""
        total = Total()
        total.integer = self._integers[slot]
        total.rank = LONG if slot in self._longs else INT
        if self._doubles is not None and self._doubles[slot]:
            total.doubles = list(self._doubles[slot])
            total.rank = DOUBLE
        other = self._others.get(slot)
        if other is not None:
            other_total = other.partial()
            total.merge(other_total)
        return total

    def finish(self, slot: int) -> Any:
        """Return the sum."""
        if self._doubles is None and not self._longs and not self._others:
            total = self._integers[slot]
            if -0x80000000 <= total <= 0x7FFFFFFF:
                return total
        return self.total(slot).result()

    def partial(self, slot: int) -> Any:
        """Return the sum in parts."""
        return self.total(slot).partial()

    def merge(self, slot: int, partial: Any) -> None:
        """Add a sum in parts."""
        self._other(slot).merge(partial)


class CountColumn(Column):
    """States of `$sum: 1` and `$count`: numbers of documents times a constant int."""

    __slots__ = ("_counts", "_step")
    bytes_per_slot = 40

    def __init__(self, step: int) -> None:
        self._step = step
        self._counts: list[int] = []

    def open(self, ids: Sequence[Any]) -> None:
        """Make states."""
        self._counts += [0] * len(ids)

    def take(
        self,
        slots: Sequence[int],
        batch: list[Document],  # noqa: ARG002 -- only their number counts
        env: Env,  # noqa: ARG002
    ) -> None:
        """Count a batch."""
        counts = self._counts
        if len(counts) == 1:
            counts[0] += len(slots)
            return
        if len(counts) <= _FEW:
            for slot in range(len(counts)):
                counts[slot] += slots.count(slot)
            return
        for slot in slots:
            counts[slot] += 1

    def finish(self, slot: int) -> Any:
        """Return the count."""
        return whole(self._counts[slot] * self._step)

    def partial(self, slot: int) -> Any:
        """Return the count of documents."""
        return Int64(self._counts[slot])

    def merge(self, slot: int, partial: Any) -> None:
        """Add a count of documents."""
        self._counts[slot] += int(partial)


class AvgColumn(SumColumn):
    """States of `$avg`: sums, and how many numbers they are made of."""

    __slots__ = ("_counts",)
    bytes_per_slot = 130

    def __init__(self, values: Values) -> None:
        super().__init__(values)
        self._counts: list[int] = []

    def open(self, ids: Sequence[Any]) -> None:
        """Make states."""
        super().open(ids)
        self._counts += [0] * len(ids)

    def add(self, slots: Sequence[int], values: list[Any]) -> None:
        """Add values."""
        super().add(slots, values)
        counts = self._counts
        kinds = set(map(type, values))
        if kinds <= _PLAIN:
            if len(counts) == 1:
                counts[0] += len(values)
                return
            if len(counts) <= _FEW:
                for slot in range(len(counts)):
                    counts[slot] += slots.count(slot)
                return
            for slot in slots:
                counts[slot] += 1
            return
        for slot, value in zip(slots, values, strict=True):
            if type(value) in RANKS:
                counts[slot] += 1

    def finish(self, slot: int) -> Any:
        """Return the average, null of nothing."""
        count = self._counts[slot]
        return self.total(slot).average(count) if count else None

    def partial(self, slot: int) -> Any:
        """Return sum in parts, and count."""
        return [*self.total(slot).partial(), Int64(self._counts[slot])]

    def merge(self, slot: int, partial: Any) -> None:
        """Add a sum in parts, and a count."""
        super().merge(slot, partial[:5])
        self._counts[slot] += int(partial[5])


def _compile_sum(argument: Any, ctx: CompileContext) -> Accumulator:
    operand = unary_argument("$sum", argument, ctx)
    if operand.is_constant and type(operand.value) is int:
        step = operand.value
        return simple("$sum", argument, operand, lambda _values: CountColumn(step))
    return simple("$sum", argument, operand, SumColumn)


def _compile_avg(argument: Any, ctx: CompileContext) -> Accumulator:
    return simple("$avg", argument, unary_argument("$avg", argument, ctx), AvgColumn)


def _compile_count(argument: Any, _ctx: CompileContext) -> Accumulator:
    if argument != {} or type(argument) is not dict:
        raise MongoError(
            Code.TYPE_MISMATCH, "$count takes no arguments, i.e. $count:{}",
        )  # fmt: skip
    return simple("$count", argument, constant(1), lambda _values: CountColumn(1))


ACCUMULATORS: Final = {
    "$avg": _compile_avg,
    "$count": _compile_count,
    "$sum": _compile_sum,
}
