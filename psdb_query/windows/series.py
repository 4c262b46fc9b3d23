"""`$derivative`, `$integral`, `$expMovingAvg`, `$linearFill`, `$locf`: values along a sort."""

from __future__ import annotations

import decimal
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64

from psdb_base.errors import Code, MongoError
from psdb_query import numeric
from psdb_query.accumulators.core import values_of
from psdb_query.describe import text_of, type_name
from psdb_query.expressions.core import Expr, compile_expression, is_nullish
from psdb_query.stages.time_units import MILLISECONDS, check_unit
from psdb_query.windows.bounds import failed
from psdb_query.windows.core import Partition, WindowContext, WindowFunction
from psdb_query.windows.sliding import Sliding, SumSliding, slide

_UNEXPECTED: Final = "{name} got unexpected argument: {field}"


def subtract(left: Any, right: Any) -> Any:
    """Subtract numbers or dates as `$subtract` does; None if one is null or missing."""
    if numeric.is_number(left) and numeric.is_number(right):
        return numeric.subtract(left, right)
    if is_nullish(left) or is_nullish(right):
        return None
    if type(left) is DatetimeMS and type(right) is DatetimeMS:
        return Int64(int(left) - int(right))
    if type(left) is DatetimeMS and numeric.is_number(right):
        return numeric.date_plus(int(left) - numeric.milliseconds(right))
    raise MongoError(
        Code.TYPE_MISMATCH, f"can't $subtract {type_name(right)} from {type_name(left)}"
    )


def _check_sort(context: WindowContext) -> None:
    """Check what `$derivative` and `$integral` demand of the sort."""
    if context.sorter is None:
        raise failed(f"{context.name} requires a sortBy")
    if len(context.sorter.parts) != 1:
        raise failed(f"{context.name} requires a non-compound sortBy")
    if context.sorter.parts[0].meta is not None:
        raise failed(f"{context.name} requires a non-expression sortBy")


def _input_and_unit(argument: Any, context: WindowContext) -> tuple[Expr, int | None]:
    """Return the argument's expression and its unit in milliseconds."""
    name = context.name
    if type(argument) is not dict:
        raise failed(
            f"{name} expects an object, but got a {type_name(argument)}: {name}: "
            f"{text_of(argument)}"
        )
    unit: int | None = None
    for field, value in argument.items():
        if field == "unit":
            if type(value) is not str:
                raise failed(f"'unit' must be a string, but got {type_name(value)}")
            check_unit(value)
            if value not in MILLISECONDS:
                raise MongoError(5490710, "unit must be 'week' or smaller")
            unit = MILLISECONDS[value]
        elif field != "input":
            raise failed(f"{name} got unexpected argument: {field}")
    if "input" not in argument:
        raise failed(f"{name} requires an 'input' expression")
    return compile_expression(argument["input"], context.expressions), unit


# $derivative


def _parse_derivative(argument: Any, context: WindowContext) -> WindowFunction:
    _check_sort(context)
    bounds = context.bounds(_UNEXPECTED)
    operand, unit = _input_and_unit(argument, context)
    if "window" not in context.others:
        raise failed("$derivative requires explicit window bounds")

    def compute(column: list[Any], partition: Partition) -> Iterator[Any]:
        times = partition.sort_values
        for window in partition.windows(bounds):
            if window is None:
                yield None
                continue
            first, last = window[0], window[1] - 1
            yield _slope(times[first], times[last], column[first], column[last], unit)

    return WindowFunction(values_of(operand), compute, operand.paths, wants_sort_values=True)


def _slope(start: Any, end: Any, low: Any, high: Any, unit: int | None) -> Any:
    dates = type(start) is DatetimeMS, type(end) is DatetimeMS
    if unit is not None:
        if not all(dates):
            raise MongoError(
                5624900, "$derivative with 'unit' expects the sortBy field to be a Date"
            )
    elif any(dates):
        raise MongoError(5624901, "$derivative where the sortBy is a Date requires an 'unit'")
    elif not numeric.is_number(start) or not numeric.is_number(end):
        raise MongoError(
            5624902, "$derivative (with no 'unit') expects the sortBy field to be numeric"
        )
    run = subtract(end, start)
    rise = subtract(high, low)
    if rise is None:
        raise MongoError(5624903, "$derivative input must not be null or missing")
    if numeric.to_double(run) == 0:
        return None
    slope = numeric.divide(rise, run)
    return slope if unit is None else numeric.multiply(slope, unit)


# $integral


class _IntegralSliding(Sliding):
    """The sum of the trapezoids between neighbours."""

    __slots__ = ("_nans", "_points", "_total", "_unit")

    def __init__(self, unit: int | None) -> None:
        self._unit = unit
        self._points: deque[tuple[Any, Any]] = deque()
        self._total = SumSliding()
        self._nans = 0

    def add(self, value: Any) -> None:
        self._check(value)
        self._nans += _has_nan(value)
        if self._points:
            self._total.add(_trapezoid(self._points[-1], value))
        self._points.append(value)

    def remove(self, value: Any) -> None:
        self._nans -= _has_nan(value)
        self._points.popleft()
        if self._points:
            self._total.remove(_trapezoid(value, self._points[0]))

    def _check(self, value: Any) -> None:
        time, height = value
        is_date = type(time) is DatetimeMS
        if not numeric.is_number(height) or not (is_date or numeric.is_number(time)):
            raise MongoError(
                5423900,
                "The input value of $integral window function must be a vector of 2 value, the "
                "first value must be numeric or date type and the second must be numeric.",
            )
        if self._unit is not None and not is_date:
            raise MongoError(
                5423901, "$integral with 'outputUnit' expects the sortBy field to be a Date"
            )
        if self._unit is None and is_date:
            raise MongoError(
                5423902, "$integral (with no 'outputUnit') expects the sortBy field to be numeric"
            )

    def result(self) -> Any:
        if not self._points:
            return None
        if self._nans:
            return float("nan")
        total = self._total.result()
        return total if self._unit is None else numeric.divide(total, self._unit)


def _has_nan(point: tuple[Any, Any]) -> bool:
    for one in point:
        if type(one) is float or type(one) is Decimal128:
            number = numeric.to_double(one)
            if number != number:
                return True
    return False


def _trapezoid(left: tuple[Any, Any], right: tuple[Any, Any]) -> Any:
    if _has_nan(left) or _has_nan(right):
        return 0
    width = subtract(right[0], left[0])
    area = numeric.multiply(numeric.add(right[1], left[1]), width)
    return numeric.divide(area, 2.0)


def _parse_integral(argument: Any, context: WindowContext) -> WindowFunction:
    _check_sort(context)
    bounds = context.bounds(_UNEXPECTED)
    operand, unit = _input_and_unit(argument, context)

    def compute(column: list[Any], partition: Partition) -> Iterator[Any]:
        points = list(zip(partition.sort_values, column, strict=True))
        return slide(points, partition.windows(bounds), lambda: _IntegralSliding(unit))

    return WindowFunction(values_of(operand), compute, operand.paths, wants_sort_values=True)


# $expMovingAvg


def _parse_moving(argument: Any, context: WindowContext) -> WindowFunction:
    if context.others or type(argument) is not dict:
        raise failed("$expMovingAvg must have exactly one argument that is an object")
    if len(argument) != 2 or "input" not in argument:
        raise failed(
            "$expMovingAvg sub object must have exactly two fields: An 'input' field, and either "
            "an 'N' field or an 'alpha' field"
        )
    if context.sorter is None:
        raise failed("$expMovingAvg requires an explicit 'sortBy'")
    operand = compile_expression(argument["input"], context.expressions)
    if "N" in argument:
        alpha = _alpha_of_n(argument["N"])
    elif "alpha" in argument:
        alpha = _alpha(argument["alpha"])
    else:
        raise failed(
            "Got unrecognized field in $expMovingAvg$expMovingAvg sub object must have exactly two "
            "fields: An 'input' field, and either an 'N' field or an 'alpha' field"
        )

    def compute(column: list[Any], _partition: Partition) -> Iterator[Any]:
        return _moving_average(column, alpha)

    return WindowFunction(values_of(operand), compute, operand.paths)


def _alpha_of_n(value: Any) -> decimal.Decimal:
    if not numeric.is_number(value):
        raise failed(f"'N' field must be an integer, but found type {type_name(value)}")
    number = numeric.as_integer(value)
    if number is None:
        raise failed(
            f"'N' field must be an integer, but found  N: {text_of(value)}. To use a non-integer, "
            "use the 'alpha' argument instead"
        )
    if number <= 0:
        raise failed(f"'N' must be greater than zero. Got {number}")
    return numeric.CONTEXT.divide(decimal.Decimal(2), decimal.Decimal(number + 1))


def _alpha(value: Any) -> decimal.Decimal:
    if not numeric.is_number(value):
        raise failed("'alpha' must be a number")
    alpha = numeric.to_decimal(value)
    if not 0 < alpha < 1:
        raise failed(f"'alpha' must be between 0 and 1 (exclusive), found alpha: {text_of(value)}")
    return alpha


def _moving_average(column: list[Any], alpha: decimal.Decimal) -> Iterator[Any]:
    context = numeric.CONTEXT
    rest = context.subtract(decimal.Decimal(1), alpha)
    current: decimal.Decimal | None = None
    is_decimal = False
    for value in column:
        if numeric.is_number(value):
            is_decimal = is_decimal or type(value) is Decimal128
            number = numeric.to_decimal(value)
            if current is not None:
                number = context.add(
                    context.multiply(number, alpha), context.multiply(current, rest)
                )
            current = number
        if current is None:
            yield None
        else:
            yield numeric.decimal128(current) if is_decimal else float(current)


# $linearFill, $locf


def _parse_linear(argument: Any, context: WindowContext) -> WindowFunction:
    context.check_no_window()
    if context.sorter is None or len(context.sorter.parts) != 1:
        raise MongoError(
            605001,
            "$linearFill must be specified with a top level sortBy expression with exactly one "
            "element",
        )
    operand = compile_expression(argument, context.expressions)

    def compute(column: list[Any], partition: Partition) -> Iterator[Any]:
        return _interpolate(column, partition.sort_values)

    return WindowFunction(values_of(operand), compute, operand.paths, wants_sort_values=True)


def _interpolate(column: list[Any], times: list[Any]) -> Iterator[Any]:
    before: tuple[Any, Any] | None = None
    after_at = -1
    for at, value in enumerate(column):
        _check_point(value, times, at)
        if not is_nullish(value):
            before = (times[at], value)
            yield value
            continue
        if before is not None and after_at < at:
            after_at = next(
                (later for later in range(at + 1, len(column)) if not is_nullish(column[later])),
                len(column),
            )
        if before is None or after_at >= len(column):
            yield None
            continue
        yield _on_line(before, (times[after_at], column[after_at]), times[at])


def _on_line(left: tuple[Any, Any], right: tuple[Any, Any], x: Any) -> Any:
    slope = numeric.divide(subtract(right[1], left[1]), subtract(right[0], left[0]))
    return numeric.add(left[1], numeric.multiply(subtract(x, left[0]), slope))


def _check_point(value: Any, times: list[Any], at: int) -> None:
    if not numeric.is_number(value) and not is_nullish(value):
        raise MongoError(
            Code.TYPE_MISMATCH,
            f"Value to be filled must be numeric or nullish, but found {type_name(value)}",
        )
    time = times[at]
    is_date = type(time) is DatetimeMS
    if not is_date and not numeric.is_number(time):
        raise MongoError(
            Code.TYPE_MISMATCH,
            f"Value of the sortBy field must be numeric or a date, but found {type_name(time)}",
        )
    if not at:
        return
    if is_date != (type(times[at - 1]) is DatetimeMS):
        raise MongoError(
            Code.TYPE_MISMATCH,
            f"Conflicting sort value types, previously received type {type_name(times[at - 1])}, "
            f"but found {type_name(time)}",
        )
    difference = subtract(time, times[at - 1])
    if numeric.to_double(difference) == 0:
        raise MongoError(6050106, "There can be no repeated values in the sort field")


def _parse_locf(argument: Any, context: WindowContext) -> WindowFunction:
    context.check_no_window()
    operand = compile_expression(argument, context.expressions)

    def compute(column: list[Any], _partition: Partition) -> Iterator[Any]:
        last: Any = None
        for value in column:
            if not is_nullish(value):
                last = value
            yield last

    return WindowFunction(values_of(operand), compute, operand.paths)


FUNCTIONS: Final = {
    "$derivative": _parse_derivative,
    "$expMovingAvg": _parse_moving,
    "$integral": _parse_integral,
    "$linearFill": _parse_linear,
    "$locf": _parse_locf,
}
