"""Comparison operators over the total order of BSON, of all types.

Both operands are always evaluated. Two ints or two strings are compared directly: Python's
order of strings is that of their UTF-8 bytes. All else goes through `psdb_base.order`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

from bson.int64 import Int64

from psdb_base import order
from psdb_base.values import MISSING
from psdb_query.context import CompileContext, Env, Evaluate
from psdb_query.expressions.core import Expr, Operator, compile_args, derive

Test = Callable[[Any, Any], bool]

_WHOLE: Final = frozenset((int, Int64))


def _compile_test(name: str, test: Test, spec: Any, ctx: CompileContext) -> Expr:
    left, right = compile_args(spec, ctx, name, 2, 2)
    simple = left.path is not None and "." not in left.path and not ctx.current_rebound
    if simple and right.is_constant and _is_direct(right.value, ctx):
        assert left.path is not None
        return derive(_field_with_constant(left.path, test, right.value, ctx), (left, right))
    return derive(_general(left.evaluate, right.evaluate, test, ctx), (left, right))


def _is_direct(value: Any, ctx: CompileContext) -> bool:
    return type(value) in _WHOLE or (type(value) is str and ctx.collation is None)


def _field_with_constant(name: str, test: Test, value: Any, ctx: CompileContext) -> Evaluate:
    """Compare a top-level field with an int or string: the shape that most filters have."""
    collation = ctx.collation
    compare = order.compare
    kind = type(value)

    def evaluate(doc: Any, _env: Env) -> bool:
        found = doc.get(name, MISSING)
        if type(found) is kind:
            return test(found, value)
        return test(compare(found, value, collation), 0)

    return evaluate


def _general(left: Evaluate, right: Evaluate, test: Test, ctx: CompileContext) -> Evaluate:
    collation = ctx.collation
    compare = order.compare
    direct = _WHOLE if collation is not None else _WHOLE | {str}

    def evaluate(doc: Any, env: Env) -> bool:
        first = left(doc, env)
        second = right(doc, env)
        kind = type(first)
        if kind is type(second) and kind in direct:
            return test(first, second)
        return test(compare(first, second, collation), 0)

    return evaluate


def _comparison(name: str, test: Test) -> Operator:
    return Operator(lambda spec, ctx: _compile_test(name, test, spec, ctx))


def _compile_cmp(spec: Any, ctx: CompileContext) -> Expr:
    left, right = compile_args(spec, ctx, "$cmp", 2, 2)
    first, second, collation = left.evaluate, right.evaluate, ctx.collation

    def evaluate(doc: Any, env: Env) -> int:
        found = order.compare(first(doc, env), second(doc, env), collation)
        return (found > 0) - (found < 0)

    return derive(evaluate, (left, right))


OPERATORS: Final[dict[str, Operator]] = {
    "$cmp": Operator(_compile_cmp),
    "$eq": _comparison("$eq", operator.eq),
    "$gt": _comparison("$gt", operator.gt),
    "$gte": _comparison("$gte", operator.ge),
    "$lt": _comparison("$lt", operator.lt),
    "$lte": _comparison("$lte", operator.le),
    "$ne": _comparison("$ne", operator.ne),
}
