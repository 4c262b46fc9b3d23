"""Window bounds: by documents, by value, by time; and the windows of a sorted partition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from bson.datetime_ms import DatetimeMS

from psdb_base import order
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query import numeric
from psdb_query.context import CompileContext
from psdb_query.describe import text_of, type_name
from psdb_query.expressions import date_arithmetic
from psdb_query.expressions.core import compile_expression
from psdb_query.expressions.timezones import find_zone
from psdb_query.sorting import Sorter
from psdb_query.stages.time_units import check_unit

UNBOUNDED: Final = "unbounded"
CURRENT: Final = "current"

Window: TypeAlias = tuple[int, int] | None
"""First position and the one behind the last; None for an empty window."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of a window: each `UNBOUNDED`, `CURRENT`, or a number.

    Args:
        lower: Where the window begins.
        upper: Where it ends (included).
        by_range: The numbers are differences of the sort value, not of positions.
        unit: Unit of time of those differences, for dates.

    """

    lower: Any = UNBOUNDED
    upper: Any = UNBOUNDED
    by_range: bool = False
    unit: str | None = None

    def windows(self, count: int, sort_values: Sequence[Any]) -> Iterator[Window]:
        """Give the window of each position of a partition; both ends never go back.

        `sort_values` are read only if `by_range`.
        """
        if self.by_range:
            return self._by_range(count, sort_values)
        return self._by_position(count)

    def _by_position(self, count: int) -> Iterator[Window]:
        lower = _offset(self.lower)
        upper = _offset(self.upper)
        for at in range(count):
            first = 0 if lower is None else max(0, at + lower)
            end = count if upper is None else min(count, at + upper + 1)
            yield (first, end) if first < end else None

    def _by_range(self, count: int, values: Sequence[Any]) -> Iterator[Window]:
        keys = [order.key(value) for value in values]
        first = end = 0
        for at in range(count):
            base = values[at]
            self._check(base)
            if self.lower == UNBOUNDED:
                first = 0
            elif self.lower == CURRENT:
                first = at
            else:
                threshold = order.key(self._moved(base, self.lower))
                while first < count and keys[first] < threshold:
                    first += 1
            if self.upper == UNBOUNDED:
                end = count
            elif self.upper == CURRENT:
                end = at + 1
            else:
                threshold = order.key(self._moved(base, self.upper))
                while end < count and keys[end] <= threshold:
                    end += 1
            yield (first, end) if first < end else None

    def _moved(self, base: Any, difference: Any) -> Any:
        if self.unit is None:
            left, right = numeric.to_decimal(base), numeric.to_decimal(difference)
            return numeric.decimal128(numeric.CONTEXT.add(left, right))
        amount = numeric.as_integer(difference) or 0
        moved = date_arithmetic.add(int(base), self.unit, amount, find_zone("UTC"))
        return numeric.date_plus(moved)

    def _check(self, base: Any) -> None:
        is_date = type(base) is DatetimeMS
        if self.unit is not None:
            if not is_date:
                raise MongoError(
                    5429513,
                    "Invalid range: Expected the sortBy field to be a Date, but it was "
                    f"{type_name(base)}",
                )
            return
        if is_date:
            raise MongoError(
                5429413,
                "Invalid range: For windows that involve date or time ranges, a unit must be "
                "provided.",
            )
        if not numeric.is_number(base):
            raise MongoError(
                5429414,
                "Invalid range: Expected the sortBy field to be a number, but it was "
                f"{type_name(base)}",
            )


WHOLE: Final = Bounds()
"""The whole partition."""


def _offset(bound: Any) -> int | None:
    if bound == UNBOUNDED:
        return None
    return 0 if bound == CURRENT else int(bound)


def failed(message: str) -> MongoError:
    """Return a FailedToParse error."""
    return MongoError(Code.FAILED_TO_PARSE, message)


def parse_bounds(spec: Any, sorter: Sorter | None, ctx: CompileContext) -> Bounds:
    """Parse a `window`: `{documents: […]}`, or `{range: […], unit?}`, or `{}`."""
    if type(spec) is not dict:
        raise failed("'window' field must be an object")
    if "documents" in spec and "range" in spec:
        raise failed("Window bounds can specify either 'documents' or 'unit', not both.")
    if "range" in spec:
        return _parse_range(spec, sorter, ctx)
    if "unit" in spec:
        raise failed("Window bounds can only specify 'unit' with range-based bounds.")
    if "documents" in spec:
        return _parse_documents(spec, sorter, ctx)
    if spec:
        raise failed(
            "'window' field can only contain 'documents' as the only argument or 'range' with an "
            "optional 'unit' field"
        )
    return WHOLE


def _pair(name: str, value: Any) -> tuple[Any, Any]:
    if type(value) is not list or len(value) != 2:
        raise failed(f"Window bounds must be a 2-element array: {name}: {text_of(value)}")
    return value[0], value[1]


def _parse_documents(spec: Document, sorter: Sorter | None, ctx: CompileContext) -> Bounds:
    if len(spec) != 1:
        raise failed("'window' field that specifies documents cannot have other fields")

    def check(value: Any) -> int:
        number = numeric.as_int32(value)
        if number is None:
            raise failed("Numeric document-based bounds must be an integer")
        return number

    lower, upper = _pair("documents", spec["documents"])
    bounds = Bounds(_bound(lower, ctx, check), _bound(upper, ctx, check))
    _check_forward(bounds)
    if sorter is None and not bounds.lower == bounds.upper == UNBOUNDED:
        raise MongoError(5339901, "Document-based bounds require a sortBy")
    return bounds


def _parse_range(spec: Document, sorter: Sorter | None, ctx: CompileContext) -> Bounds:
    unit = spec.get("unit")
    if "unit" in spec:
        if len(spec) != 2:
            raise failed(
                "'window' field that specifies unit cannot have other fields besides 'range'"
            )
        if type(unit) is not str:
            raise failed("'unit' must be a string")
    elif len(spec) != 1:
        raise failed("'window' field that specifies range cannot have other fields besides 'unit'")

    def check(value: Any) -> Any:
        if unit is not None and numeric.as_integer(value) is None:
            raise failed("With 'unit', range-based bounds must be an integer")
        if not numeric.is_number(value):
            raise failed("Range-based bounds expression must be a number")
        return value

    lower, upper = _pair("range", spec["range"])
    bounds = Bounds(_bound(lower, ctx, check), _bound(upper, ctx, check), by_range=True, unit=unit)
    _check_forward(bounds)
    if unit is not None:
        check_unit(unit)
    if sorter is None or len(sorter.parts) != 1:
        raise MongoError(5339902, "Range-based bounds require sortBy a single field")
    if sorter.parts[0].meta is not None:
        raise MongoError(8947400, "Range-based bounds require a non-expression sortBy")
    if not sorter.parts[0].ascending:
        raise MongoError(8947401, "Range-based bounds require an ascending sortBy")
    return bounds


def _bound(value: Any, ctx: CompileContext, check: Callable[[Any], Any]) -> Any:
    if type(value) is str and not value.startswith("$"):
        if value not in (UNBOUNDED, CURRENT):
            raise failed("Window bounds must be 'unbounded', 'current', or a number.")
        return value
    expr = compile_expression(value, ctx)
    if not expr.is_constant:
        raise failed("Window bounds expression must be a constant.")
    return check(expr.value)


def _check_forward(bounds: Bounds) -> None:
    lower = 0 if bounds.lower == CURRENT else bounds.lower
    upper = 0 if bounds.upper == CURRENT else bounds.upper
    if UNBOUNDED in (lower, upper):
        return
    if order.compare(lower, upper) > 0:
        raise MongoError(
            5339900,
            f"Lower bound must not exceed upper bound: [{text_of(lower)}, {text_of(upper)}]",
        )
