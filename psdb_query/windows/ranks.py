"""`$rank`, `$denseRank`, `$documentNumber` and `$shift`: by position in the partition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from psdb_base.errors import MongoError
from psdb_query.accumulators.core import values_of
from psdb_query.describe import text_of
from psdb_query.expressions.core import compile_expression
from psdb_query.numeric import as_int32, whole
from psdb_query.windows.bounds import failed
from psdb_query.windows.core import Compute, Partition, WindowContext, WindowFunction


def _rank(_column: list[Any], partition: Partition) -> Iterator[Any]:
    rank, last = 0, None
    for at, key in enumerate(partition.sort_keys, 1):
        if key != last:
            rank, last = at, key
        yield whole(rank)


def _dense_rank(_column: list[Any], partition: Partition) -> Iterator[Any]:
    rank, last = 0, None
    for key in partition.sort_keys:
        if key != last:
            rank, last = rank + 1, key
        yield whole(rank)


def _number(_column: list[Any], partition: Partition) -> Iterator[Any]:
    for at in range(1, partition.count + 1):
        yield whole(at)


def _ranking(compute: Compute) -> Callable[[Any, WindowContext], WindowFunction]:
    def parse(argument: Any, context: WindowContext) -> WindowFunction:
        if context.others:
            raise MongoError(5371601, "Rank style window functions take no other arguments")
        if type(argument) is not dict or argument:
            raise MongoError(5371603, f"{context.name} must be specified with '{{}}' as the value")
        if context.sorter is None or len(context.sorter.parts) != 1:
            raise MongoError(
                5371602,
                f"{context.name} must be specified with a top level sortBy expression with exactly "
                "one element",
            )
        return WindowFunction(None, compute, frozenset(), wants_sort_keys=True)

    return parse


def _parse_shift(argument: Any, context: WindowContext) -> WindowFunction:
    if "window" in context.others:
        raise failed("$shift does not accept a 'window' field")
    context.check_no_others("Window function found an unknown argument: {field}")
    if type(argument) is not dict:
        raise failed("Argument to $shift must be an object")
    for name in argument:
        if name not in ("by", "default", "output"):
            raise failed("Unknown argument in $shift")
    default = compile_expression(argument.get("default"), context.expressions)
    if not default.is_constant:
        raise failed("'$shift:default' expression must yield a constant value.")
    if "output" not in argument:
        raise failed("$shift requires an 'output' expression.")
    if "by" not in argument:
        raise failed("$shift requires 'by' as an integer value.")
    by = as_int32(argument["by"])
    if by is None:
        raise failed(
            f"'$shift:by' field must be an integer, but found  by: {text_of(argument['by'])}"
        )
    if context.sorter is None:
        raise failed("'$shift' requires a sortBy")
    operand = compile_expression(argument["output"], context.expressions)
    offset: int = by

    def compute(column: list[Any], partition: Partition) -> Iterator[Any]:
        for at in range(offset, partition.count + offset):
            yield column[at] if 0 <= at < partition.count else default.value

    return WindowFunction(values_of(operand), compute, operand.paths)


FUNCTIONS: Final = {
    "$denseRank": _ranking(_dense_rank),
    "$documentNumber": _ranking(_number),
    "$rank": _ranking(_rank),
    "$shift": _parse_shift,
}
