"""What the accumulators with an `n` share: `{input: …, n: …}` and the check of `n`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psdb_base.errors import MongoError
from psdb_base.values import MISSING
from psdb_query.accumulators.core import Accumulator, State, StateColumn, values_of
from psdb_query.context import CompileContext
from psdb_query.describe import text_of
from psdb_query.expressions.core import Expr, compile_expression
from psdb_query.numeric import as_integer, fits_long, is_number


def check_n(value: Any) -> int:
    """Return `n` as an int; raise 5787902 (no whole number), 5787908 (not positive)."""
    if value is MISSING or not is_number(value):
        raise MongoError(
            5787902,
            f"Value for 'n' must be of integral type, but found {text_of(value)}",
        )
    number = as_integer(value)
    if number is None or not fits_long(number):
        raise MongoError(
            5787903,
            f"Value for 'n' must be of integral type, but found {text_of(value)}",
        )
    if number <= 0:
        raise MongoError(5787908, f"'n' must be greater than 0, found {number}")
    return number


def parse_fields(name: str, argument: Any, required: tuple[str, ...]) -> dict[str, Any]:
    """Return the named fields of an accumulator.

    Raises 5787900 (no object), 5787901 (unknown field), 5787906, 5787907 (missing field).
    """
    if type(argument) is not dict:
        raise MongoError(
            5787900, f"specification must be an object; found {name}: {text_of(argument)}"
        )
    for field in argument:
        if field not in required:
            raise MongoError(5787901, f"Unknown argument for 'n' operator: {field}")
    for field in required:
        if field not in argument:
            code = 5787906 if field == "n" else 5787907
            raise MongoError(code, f"Missing value for '{field}'")
    return argument


def n_of_group(expr: Expr) -> Callable[[Any], int]:
    """Return what gives `n` for a group's id; a constant is checked at once."""
    if expr.is_constant:
        number = check_n(expr.value)
        return lambda _group: number
    evaluate = expr.evaluate
    return lambda group: check_n(evaluate(group if type(group) is dict else {}, {}))


def compile_counted(
    name: str,
    argument: Any,
    ctx: CompileContext,
    new: Callable[[int], State],
    *,
    ordered: bool = False,
) -> Accumulator:
    """Compile `{input: expression, n: expression over the group's id}`."""
    fields = parse_fields(name, argument, ("input", "n"))
    count = n_of_group(compile_expression(fields["n"], ctx))
    operand = compile_expression(fields["input"], ctx)
    values = values_of(operand)
    return Accumulator(
        name,
        argument,
        lambda: StateColumn(lambda group: new(count(group)), values),
        lambda: new(count(None)),
        (operand,),
        ordered,
    )
