"""Accumulators as expressions: over several operands, or over the array that is the only one.

Values an accumulator does not count (strings for `$sum`, null for `$max`, …) are passed over.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from psdb_base import order
from psdb_base.errors import Code, MongoError
from psdb_query import numeric
from psdb_query.accumulators.sums import Total
from psdb_query.context import CompileContext, Env
from psdb_query.describe import text_of, type_name
from psdb_query.expressions.core import (
    Complaint,
    Expr,
    Named,
    Operator,
    compile_args,
    compile_expression,
    derive,
    is_nullish,
)

_Fold = Callable[[list[Any], CompileContext], Any]


def _over(name: str, fold: _Fold) -> Operator:
    def compile_over(spec: Any, ctx: CompileContext) -> Expr:
        operands = compile_args(spec, ctx, name)
        evaluates = [operand.evaluate for operand in operands]
        if len(evaluates) != 1:
            return derive(
                lambda doc, env: fold([operand(doc, env) for operand in evaluates], ctx), operands
            )
        (only,) = evaluates

        def evaluate(doc: Any, env: Env) -> Any:
            value = only(doc, env)
            return fold(value if type(value) is list else [value], ctx)

        return derive(evaluate, operands)

    return Operator(compile_over)


def _sum(values: list[Any], _ctx: CompileContext) -> Any:
    total = Total()
    for value in values:
        total.add(value)
    return total.result()


def _average(values: list[Any], _ctx: CompileContext) -> Any:
    total = Total()
    count = sum([total.add(value) for value in values])
    return total.average(count) if count else None


def doubles_of(values: list[Any]) -> list[float]:
    """Return the numbers among `values` as doubles."""
    return [numeric.to_double(value) for value in values if type(value) in numeric.RANKS]


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


def _extreme(sign: int) -> _Fold:
    """Return the least (-1) or greatest (1) of the values; the first of equal ones."""

    def fold(values: list[Any], ctx: CompileContext) -> Any:
        best: Any = None
        for value in values:
            if is_nullish(value):
                continue
            if best is None or order.compare(value, best, ctx.collation) * sign > 0:
                best = value
        return best

    return fold


# $median and $percentile.


def _quantile_fields(name: str, required: tuple[str, ...], not_object: Complaint) -> Named:
    return Named(
        name,
        required=required,
        not_object=not_object,
        unknown=(40415, "BSON field '{name}.{field}' is an unknown field."),
        missing={"": (40414, "BSON field '{name}.{field}' is missing but a required field")},
    )


_MEDIAN: Final = _quantile_fields("$median", ("input", "method"), (7436100, ""))
_PERCENTILE: Final = _quantile_fields("$percentile", ("input", "p", "method"), (7429703, ""))


def check_quantile(fields: Named, spec: Any) -> dict[str, Any]:
    """Return the operands of `$median` or `$percentile`, checked but not compiled."""
    if type(spec) is not dict:
        raise MongoError(
            fields.not_object[0],
            f"specification must be an object; found {fields.name}: {text_of(spec)}",
        )
    return fields.check(spec)


def check_method(name: str, method: Any) -> None:
    """Refuse any `method` but `approximate`, as MongoDB 8.0 does."""
    if type(method) is not str:
        raise MongoError(
            Code.TYPE_MISMATCH,
            f"BSON field '{name}.method' is the wrong type '{type_name(method)}', "
            "expected type 'string'",
        )
    if method != "approximate":
        raise MongoError(
            Code.BAD_VALUE, "Currently only 'approximate' can be used as percentile 'method'."
        )


def fractions_of(value: Any) -> list[float]:
    """Check an evaluated `p`: a filled array of numbers from 0 to 1."""
    message = "The $percentile 'p' field must be an array of numbers from [0.0, 1.0], but found: "
    if type(value) is not list or not value:
        raise MongoError(7750301, message + text_of(value))
    fractions = []
    for item in value:
        if type(item) not in numeric.RANKS:
            raise MongoError(7750302, message + text_of(item))
        fraction = numeric.to_double(item)
        if not 0 <= fraction <= 1:
            raise MongoError(7750303, message + text_of(item))
        fractions.append(fraction)
    return fractions


def compile_fractions(spec: Any, ctx: CompileContext) -> Expr:
    """Compile `p`: it may read constants and variables, but no document."""
    expr = compile_expression(spec, replace(ctx, fold=True))
    if expr.is_constant:
        fractions_of(expr.value)
    elif expr.paths or not expr.variables:
        raise MongoError(
            7750300,
            "The $percentile 'p' field must be an array of constant values, but found value: "
            f"{text_of(spec)}.",
        )
    return expr


def percentile(ordered: list[float], fraction: float) -> float:
    """Return the element of a sorted, not empty list at the discrete percentile 0.0–1.0."""
    position = math.ceil(len(ordered) * fraction) - 1
    return ordered[min(max(position, 0), len(ordered) - 1)]


def _ordered(value: Any) -> list[float]:
    values = value if type(value) is list else [value]
    return sorted(number for number in doubles_of(values) if not math.isnan(number))


def _compile_median(spec: Any, ctx: CompileContext) -> Expr:
    operands = check_quantile(_MEDIAN, spec)
    source = compile_expression(operands["input"], ctx)
    check_method("$median", operands["method"])
    values = source.evaluate

    def evaluate(doc: Any, env: Env) -> float | None:
        ordered = _ordered(values(doc, env))
        return percentile(ordered, 0.5) if ordered else None

    return derive(evaluate, (source,))


def _compile_percentile(spec: Any, ctx: CompileContext) -> Expr:
    operands = check_quantile(_PERCENTILE, spec)
    source = compile_expression(operands["input"], ctx)
    fractions = compile_fractions(operands["p"], ctx)
    check_method("$percentile", operands["method"])
    values, wanted = source.evaluate, fractions.evaluate

    def evaluate(doc: Any, env: Env) -> list[float | None]:
        ordered = _ordered(values(doc, env))
        found = fractions_of(wanted(doc, env))
        return [percentile(ordered, fraction) if ordered else None for fraction in found]

    return derive(evaluate, (source, fractions))


OPERATORS: Final[dict[str, Operator]] = {
    "$avg": _over("$avg", _average),
    "$max": _over("$max", _extreme(1)),
    "$median": Operator(_compile_median),
    "$min": _over("$min", _extreme(-1)),
    "$percentile": Operator(_compile_percentile),
    "$stdDevPop": _over(
        "$stdDevPop", lambda values, _ctx: standard_deviation(doubles_of(values), sample=False)
    ),
    "$stdDevSamp": _over(
        "$stdDevSamp", lambda values, _ctx: standard_deviation(doubles_of(values), sample=True)
    ),
    "$sum": _over("$sum", _sum),
}
