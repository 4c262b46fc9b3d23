"""Accumulators as window functions, and `$covariancePop` and `$covarianceSamp`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from psdb_base import order
from psdb_base.errors import Code, MongoError
from psdb_base.values import MISSING
from psdb_query.accumulators.core import Values, compile_named_accumulator, values_of
from psdb_query.accumulators.counted import n_of_group
from psdb_query.accumulators.quantiles import parse_quantiles
from psdb_query.context import Collation, CompileContext
from psdb_query.describe import type_name
from psdb_query.expressions.core import Expr, compile_expression, is_nullish
from psdb_query.windows.bounds import Bounds, failed
from psdb_query.windows.core import Partition, WindowContext, WindowFunction
from psdb_query.windows.covariance import CovarianceSliding
from psdb_query.windows.sliding import (
    AvgSliding,
    DeviationSliding,
    ElementsSliding,
    EndsSliding,
    ExtremeSliding,
    PushSliding,
    QuantileSliding,
    RankedSliding,
    SetSliding,
    Sliding,
    SumSliding,
    slide,
)

_UNEXPECTED: Final = "{name} got unexpected argument: {field}"


def _over(
    bounds: Bounds, operand: Expr, values: Values, new: Callable[[], Sliding]
) -> WindowFunction:
    """Return the function that slides a state over the argument's values."""

    def compute(column: list[Any], partition: Partition) -> Iterator[Any]:
        return slide(column, partition.windows(bounds), new)

    return WindowFunction(values, compute, operand.paths, wants_sort_values=bounds.by_range)


def _simple(
    new: Callable[[CompileContext], Sliding],
) -> Callable[[Any, WindowContext], WindowFunction]:
    """Return the parser of a function of one expression."""

    def parse(argument: Any, context: WindowContext) -> WindowFunction:
        bounds = context.bounds()
        operand = compile_expression(argument, context.expressions)
        return _over(bounds, operand, values_of(operand), lambda: new(context.expressions))

    return parse


def _parse_count(argument: Any, context: WindowContext) -> WindowFunction:
    if type(argument) is not dict or argument:
        raise failed("$count only accepts an empty object as input")
    bounds = context.bounds()

    def compute(_column: list[Any], partition: Partition) -> Iterator[Any]:
        for window in partition.windows(bounds):
            yield 0 if window is None else window[1] - window[0]

    return WindowFunction(None, compute, frozenset(), wants_sort_values=bounds.by_range)


def _end(*, last: bool) -> Callable[[Any, WindowContext], WindowFunction]:
    """Return the parser of `$first` or `$last`."""

    def parse(argument: Any, context: WindowContext) -> WindowFunction:
        bounds = context.bounds(_UNEXPECTED)
        operand = compile_expression(argument, context.expressions)

        def compute(column: list[Any], partition: Partition) -> Iterator[Any]:
            for window in partition.windows(bounds):
                if window is None:
                    yield None
                    continue
                value = column[window[1] - 1 if last else window[0]]
                yield None if value is MISSING else value

        return WindowFunction(
            values_of(operand), compute, operand.paths, wants_sort_values=bounds.by_range
        )

    return parse


def _n_of(argument: Any, context: WindowContext) -> int:
    """Return the `n` of an argument that its accumulator has checked."""
    return n_of_group(compile_expression(argument["n"], context.expressions))(None)


def _ends(*, last: bool) -> Callable[[Any, WindowContext], WindowFunction]:
    """Return the parser of `$firstN` or `$lastN`."""

    def parse(argument: Any, context: WindowContext) -> WindowFunction:
        bounds = context.bounds(_UNEXPECTED)
        accumulator = compile_named_accumulator(context.name, argument, context.expressions)
        (operand,) = accumulator.operands
        n = _n_of(argument, context)
        return _over(bounds, operand, values_of(operand), lambda: EndsSliding(n, last=last))

    return parse


def _extreme_n(sign: int) -> Callable[[Any, WindowContext], WindowFunction]:
    """Return the parser of `$minN` or `$maxN`."""

    def parse(argument: Any, context: WindowContext) -> WindowFunction:
        bounds = context.bounds(_UNEXPECTED)
        accumulator = compile_named_accumulator(context.name, argument, context.expressions)
        (operand,) = accumulator.operands
        n = _n_of(argument, context)
        key = _value_key(sign, context.expressions.collation)
        return _over(
            bounds, operand, values_of(operand), lambda: RankedSliding(key, lambda one: one, n)
        )

    return parse


def _value_key(sign: int, collation: Collation | None) -> Callable[[Any], bytes | None]:
    def key(value: Any) -> bytes | None:
        if is_nullish(value):
            return None
        found = order.key(value, collation)
        return found if sign > 0 else order.descending(found)

    return key


def _ranked(*, last: bool, counted: bool) -> Callable[[Any, WindowContext], WindowFunction]:
    """Return the parser of `$top`, `$topN`, `$bottom` or `$bottomN`."""

    def parse(argument: Any, context: WindowContext) -> WindowFunction:
        bounds = context.bounds(_UNEXPECTED)
        accumulator = compile_named_accumulator(context.name, argument, context.expressions)
        (operand,) = accumulator.operands
        n = _n_of(argument, context) if counted else 1

        def new() -> Sliding:
            return RankedSliding(
                lambda pair: pair[0], lambda pair: pair[1], n, last=last, single=not counted
            )

        return _over(bounds, operand, values_of(operand), new)

    return parse


def _quantiles(argument: Any, context: WindowContext) -> WindowFunction:
    bounds = context.bounds(_UNEXPECTED)
    spec, wanted = parse_quantiles(context.name, argument, context.expressions)
    operand = compile_expression(spec, context.expressions)
    single = context.name == "$median"
    return _over(
        bounds,
        operand,
        values_of(operand),
        lambda: QuantileSliding(list(wanted), single=single),
    )


def _elements(
    new: Callable[[CompileContext], Sliding],
) -> Callable[[Any, WindowContext], WindowFunction]:
    """Return the parser of a function over the elements of arrays."""

    def parse(argument: Any, context: WindowContext) -> WindowFunction:
        bounds = context.bounds()
        operand = compile_expression(argument, context.expressions)
        inner = values_of(operand)

        def values(batch: list[Any], env: Any) -> list[Any]:
            return [_array(context.name, value) for value in inner(batch, env)]

        return _over(bounds, operand, values, lambda: ElementsSliding(new(context.expressions)))

    return parse


def _array(name: str, value: Any) -> list[Any]:
    if value is MISSING:
        return []
    if type(value) is list:
        return value
    raise MongoError(
        Code.TYPE_MISMATCH,
        f"{name} requires array inputs, but input is of type {type_name(value)}",
    )


FUNCTIONS: Final = {
    "$addToSet": _simple(lambda ctx: SetSliding(ctx.collation)),
    "$avg": _simple(lambda _ctx: AvgSliding()),
    "$bottom": _ranked(last=True, counted=False),
    "$bottomN": _ranked(last=True, counted=True),
    "$concatArrays": _elements(lambda _ctx: PushSliding()),
    "$count": _parse_count,
    "$covariancePop": _simple(lambda _ctx: CovarianceSliding(0)),
    "$covarianceSamp": _simple(lambda _ctx: CovarianceSliding(1)),
    "$first": _end(last=False),
    "$firstN": _ends(last=False),
    "$last": _end(last=True),
    "$lastN": _ends(last=True),
    "$max": _simple(lambda ctx: ExtremeSliding(-1, ctx.collation)),
    "$maxN": _extreme_n(-1),
    "$median": _quantiles,
    "$min": _simple(lambda ctx: ExtremeSliding(1, ctx.collation)),
    "$minN": _extreme_n(1),
    "$percentile": _quantiles,
    "$push": _simple(lambda _ctx: PushSliding()),
    "$setUnion": _elements(lambda ctx: SetSliding(ctx.collation)),
    "$stdDevPop": _simple(lambda _ctx: DeviationSliding(0)),
    "$stdDevSamp": _simple(lambda _ctx: DeviationSliding(1)),
    "$sum": _simple(lambda _ctx: SumSliding()),
    "$top": _ranked(last=False, counted=False),
    "$topN": _ranked(last=False, counted=True),
}
