"""`$let`, `$literal` and `$const`, and the `let` option of commands."""

from __future__ import annotations

from typing import Any, Final

from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_query.context import CompileContext, Env
from psdb_query.expressions.core import (
    NOTHING,
    Expr,
    Named,
    Operator,
    check_user_variable,
    compile_expression,
    constant,
    derive,
)
from psdb_query.expressions.table import SYSTEM_VARIABLES

_SYSTEM_NAMES: Final = frozenset((*SYSTEM_VARIABLES, "IS_MR", "JS_SCOPE"))
_LET: Final = Named(
    "$let",
    required=("vars", "in"),
    not_object=(16874, "$let only supports an object as its argument"),
    unknown=(16875, "Unrecognized parameter to $let: {field}"),
    missing={
        "in": (16877, "Missing 'in' parameter to $let"),
        "vars": (16876, "Missing 'vars' parameter to $let"),
    },
)


def _compile_let(spec: Any, ctx: CompileContext) -> Expr:
    operands = _LET.check(spec)
    if type(operands["vars"]) is not dict:
        raise MongoError(10065, "invalid parameter: expected an object (vars)")
    bound: dict[str, Expr] = {}
    for name, value in operands["vars"].items():
        check_user_variable(name)
        bound[name] = compile_expression(value, ctx)
    names = [name for name in bound if name != "CURRENT"]
    rebinds = "CURRENT" in bound
    inner = ctx.rebinding_current(*names) if rebinds else ctx.binding(*names)
    body = compile_expression(operands["in"], inner)
    if rebinds:
        evaluate = _with_current(bound, body)
    else:
        evaluate = _with_variables(bound, body)
    whole = derive(evaluate, bound.values())
    return Expr(
        evaluate,
        is_constant=whole.is_constant and body.is_constant,
        paths=whole.paths | body.paths,
        variables=whole.variables | body.variables.difference(names),
    )


def _with_variables(bound: dict[str, Expr], body: Expr) -> Any:
    values = [(name, value.evaluate) for name, value in bound.items()]
    result = body.evaluate

    def evaluate(doc: Any, env: Env) -> Any:
        scope = dict(env)
        for name, value in values:
            scope[name] = value(doc, env)
        return result(doc, scope)

    return evaluate


def _with_current(bound: dict[str, Expr], body: Expr) -> Any:
    """Evaluate the body with another `$$CURRENT`; the Env then holds what `$$ROOT` was."""
    values = [(name, value.evaluate) for name, value in bound.items() if name != "CURRENT"]
    current = bound["CURRENT"].evaluate
    result = body.evaluate

    def evaluate(doc: Any, env: Env) -> Any:
        scope = dict(env)
        scope.setdefault("ROOT", doc)
        for name, value in values:
            scope[name] = value(doc, env)
        return result(current(doc, env), scope)

    return evaluate


def evaluate_let(spec: Document, ctx: CompileContext, env: Env) -> dict[str, Any]:
    """Evaluate a command's `let` option into variables for `CompileContext` and `make_env`.

    Each may use those before it. Raises MongoError 9 for a bad name, 4738901 for a system
    variable's and 4890500 for an expression that reads a document.
    """
    values: dict[str, Any] = {}
    for name, value in spec.items():
        if name in _SYSTEM_NAMES:
            raise MongoError(4738901, f"Attempt to set internal constant: {name}")
        try:
            check_user_variable(name)
        except MongoError as error:
            message = f"Invalid 'let' parameter :: caused by :: {error.message}"
            raise MongoError(error.code, message) from None
        expr = compile_expression(value, ctx.binding(*values))
        if expr.paths != NOTHING:
            raise MongoError(
                4890500,
                "Command let Expression tried to access a field, but this is not allowed because "
                "Command let expressions run before the query examines any documents.",
            )
        values[name] = expr.evaluate({}, env | values)
    return values


def compile_literal(spec: Any, _ctx: CompileContext) -> Expr:
    """Take the argument as it is, whatever it looks like."""
    return constant(spec)


OPERATORS: Final[dict[str, Operator]] = {
    "$const": Operator(compile_literal),
    "$let": Operator(_compile_let),
    "$literal": Operator(compile_literal),
}
