"""`$and`, `$or` and `$not`: operands are coerced to booleans, and evaluated only if needed."""

from __future__ import annotations

from typing import Any, Final

from psdb_query.context import CompileContext, Env
from psdb_query.expressions.core import Expr, Operator, compile_args, derive, truthy, unary


def _until(name: str, *, decisive: bool) -> Operator:
    """Return the operator that is `decisive` as soon as an operand is, else the opposite."""

    def compile_until(spec: Any, ctx: CompileContext) -> Expr:
        operands = compile_args(spec, ctx, name)
        evaluates = [operand.evaluate for operand in operands]

        def evaluate(doc: Any, env: Env) -> bool:
            for operand in evaluates:
                value = operand(doc, env)
                if value is opposite:
                    continue
                if value is decisive or truthy(value) is decisive:
                    return decisive
            return opposite

        return derive(evaluate, operands)

    opposite = not decisive
    return Operator(compile_until)


OPERATORS: Final[dict[str, Operator]] = {
    "$and": _until("$and", decisive=False),
    "$not": unary("$not", lambda value: not truthy(value)),
    "$or": _until("$or", decisive=True),
}
