"""`$bitAnd`, `$bitOr`, `$bitXor` and `$bitNot` on ints and longs."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_query import numeric
from psdb_query.context import CompileContext, Env
from psdb_query.describe import type_name
from psdb_query.expressions.arithmetic import numeric_unary
from psdb_query.expressions.core import Expr, Operator, compile_args, derive, is_nullish


def _is_whole(value: Any) -> bool:
    return numeric.RANKS.get(type(value), numeric.DOUBLE) <= numeric.LONG


def _fold(name: str, combine: Callable[[int, int], int], start: int) -> Operator:
    """Return the operator over any number of operands; `start` is the result for none."""

    def compile_fold(spec: Any, ctx: CompileContext) -> Expr:
        operands = compile_args(spec, ctx, name)
        evaluates = [operand.evaluate for operand in operands]

        def evaluate(doc: Any, env: Env) -> Any:
            total, widest = start, numeric.INT
            for operand in evaluates:
                value = operand(doc, env)
                if is_nullish(value):
                    return None
                if not _is_whole(value):
                    raise MongoError(
                        Code.TYPE_MISMATCH, f"{name} only supports int and long operands."
                    )
                total = combine(total, int(value))
                widest = max(widest, numeric.rank(value))
            return numeric.whole(total, widest)

        return derive(evaluate, operands)

    return Operator(compile_fold)


def _bit_not(value: Any) -> Any:
    if not _is_whole(value):
        raise MongoError(
            Code.TYPE_MISMATCH, f"$bitNot only supports int and long, not: {type_name(value)}."
        )
    return numeric.whole(~int(value), numeric.rank(value))


OPERATORS: Final[dict[str, Operator]] = {
    "$bitAnd": _fold("$bitAnd", operator.and_, -1),
    "$bitNot": numeric_unary("$bitNot", _bit_not),
    "$bitOr": _fold("$bitOr", operator.or_, 0),
    "$bitXor": _fold("$bitXor", operator.xor, 0),
}
