"""`$percentile` and `$median`.

MongoDB's `approximate` method is a t-digest, which is exact as long as there are few values. PSDB
keeps all values (eight bytes each) and gives the exact discrete percentile whatever their number:
of n sorted values the one at rank ceil(n·p), so the result is one of the values, as a double.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_query.accumulators.core import Accumulator, State, StateColumn, values_of
from psdb_query.context import CompileContext
from psdb_query.describe import text_of
from psdb_query.expressions.core import compile_expression
from psdb_query.numeric import is_number, to_double


def discrete_percentile(ordered: Sequence[float], p: float) -> float:
    """Return the value at rank ceil(n·p) of sorted values, of which there is at least one."""
    rank = max(0, math.ceil(len(ordered) * p) - 1)
    return ordered[min(rank, len(ordered) - 1)]


def _order_of_double(value: float) -> tuple[bool, float]:
    """Sort key that puts NaN first, as numbers sort."""
    return (False, 0.0) if value != value else (True, value)


def percentiles(values: Sequence[float], wanted: Sequence[float]) -> list[float | None]:
    """Return a percentile for each `wanted`, nulls if there are no values."""
    if not values:
        return [None] * len(wanted)
    ordered = sorted(values, key=_order_of_double)
    return [discrete_percentile(ordered, p) for p in wanted]


class Quantiles(State):
    """All numbers met."""

    __slots__ = ("_single", "_values", "_wanted")

    def __init__(self, wanted: Sequence[float], *, single: bool) -> None:
        self._wanted = wanted
        self._single = single
        self._values = array("d")

    def add(self, value: Any) -> None:
        """Keep a number."""
        if is_number(value):
            self._values.append(to_double(value))

    def finish(self) -> Any:
        """Return a double, or an array of them; null for none."""
        found = percentiles(self._values, self._wanted)
        return found[0] if self._single else found

    def partial(self) -> Any:
        """Return the numbers as bytes."""
        return self._values.tobytes()

    def merge(self, partial: Any) -> None:
        """Add other numbers."""
        self._values.frombytes(bytes(partial))

    @property
    def size_bytes(self) -> int:
        """Eight bytes a number."""
        return 8 * len(self._values)


def check_method(name: str, spec: dict[str, Any]) -> None:
    """Accept `approximate` only, as MongoDB does."""
    method = spec["method"]
    if type(method) is not str:
        raise MongoError(
            Code.TYPE_MISMATCH,
            f"BSON field '{name}.method' is the wrong type, expected type 'string'",
        )
    if method != "approximate":
        raise MongoError(
            Code.BAD_VALUE,
            "Currently only 'approximate' can be used as percentile 'method'.",
        )


def parse_quantiles(name: str, argument: Any, ctx: CompileContext) -> tuple[Any, Sequence[float]]:
    """Return the input's specification and the percentiles wanted."""
    fields = ("input", "p", "method") if name == "$percentile" else ("input", "method")
    if type(argument) is not dict:
        code = 7429703 if name == "$percentile" else 7436100
        raise MongoError(
            code, f"specification must be an object; found {name} :{text_of(argument)}"
        )
    for field in argument:
        if field not in fields:
            raise MongoError(40415, f"BSON field '{name}.{field}' is an unknown field.")
    for field in fields:
        if field not in argument:
            raise MongoError(40414, f"BSON field '{name}.{field}' is missing but a required field")
    check_method(name, argument)
    wanted = _parse_p(argument["p"], ctx) if name == "$percentile" else [0.5]
    return argument["input"], wanted


def _parse_p(spec: Any, ctx: CompileContext) -> list[float]:
    expr = compile_expression(spec, ctx)
    if not expr.is_constant:
        raise MongoError(
            7750300,
            "The $percentile 'p' field must be an array of constant values, but found value: "
            f"{text_of(spec)}.",
        )
    message = "The $percentile 'p' field must be an array of numbers from [0.0, 1.0], but found: "
    values = expr.value
    if type(values) is not list or not values:
        raise MongoError(7750301, message + text_of(values))
    for value in values:
        if not is_number(value):
            raise MongoError(7750302, message + text_of(value))
        if not 0 <= to_double(value) <= 1:
            raise MongoError(7750303, message + text_of(value))
    return [to_double(value) for value in values]


def _quantiles(name: str) -> Callable[[Any, CompileContext], Accumulator]:
    def compile_quantiles(argument: Any, ctx: CompileContext) -> Accumulator:
        spec, wanted = parse_quantiles(name, argument, ctx)
        operand = compile_expression(spec, ctx)
        values = values_of(operand)

        def new(_group: Any = None) -> State:
            return Quantiles(wanted, single=name == "$median")

        return Accumulator(name, argument, lambda: StateColumn(new, values), new, (operand,))

    return compile_quantiles


ACCUMULATORS: Final = {
    "$median": _quantiles("$median"),
    "$percentile": _quantiles("$percentile"),
}
