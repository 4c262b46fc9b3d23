"""`$cond`, `$ifNull` and `$switch`: only the branch that is taken is evaluated.

Constant conditions choose at compile time. Branches of `$cond` are folded even if dead, those
of `$switch` behind a constant `true` are only checked for their form, as MongoDB does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from psdb_base.errors import MongoError
from psdb_query.context import CompileContext, Env
from psdb_query.describe import type_name
from psdb_query.expressions.core import (
    Expr,
    Named,
    Operator,
    compile_args,
    compile_expression,
    compile_named,
    derive,
    is_nullish,
    truthy,
)

_COND: Final = Named(
    "$cond",
    required=("if", "then", "else"),
    unknown=(17083, "Unrecognized parameter to {name}: {field}"),
    missing={
        "else": (17082, "Missing 'else' parameter to $cond"),
        "if": (17080, "Missing 'if' parameter to $cond"),
        "then": (17081, "Missing 'then' parameter to $cond"),
    },
)
_SWITCH: Final = Named(
    "$switch",
    required=(),
    optional=("branches", "default"),
    not_object=(40060, "$switch requires an object as an argument, found: {type}"),
    unknown=(40067, "$switch found an unknown argument: {field}"),
)
_BRANCH: Final = Named(
    "$switch",
    required=("case", "then"),
    not_object=(40062, "$switch expected each branch to be an object, found: {type}"),
    unknown=(40063, "$switch found an unknown argument to a branch: {field}"),
    missing={
        "case": (40064, "$switch requires each branch have a 'case' expression"),
        "then": (40065, "$switch requires each branch have a 'then' expression."),
    },
)


def _compile_cond(spec: Any, ctx: CompileContext) -> Expr:
    if type(spec) is dict:
        operands = compile_named(spec, ctx, _COND)
        condition, then, otherwise = operands["if"], operands["then"], operands["else"]
    else:
        condition, then, otherwise = compile_args(spec, ctx, "$cond", 3, 3)
    if condition.is_constant and ctx.fold:
        return then if truthy(condition.value) else otherwise
    test, yes, no = condition.evaluate, then.evaluate, otherwise.evaluate

    def evaluate(doc: Any, env: Env) -> Any:
        value = test(doc, env)
        if value is True or (value is not False and truthy(value)):
            return yes(doc, env)
        return no(doc, env)

    return derive(evaluate, (condition, then, otherwise))


def _compile_if_null(spec: Any, ctx: CompileContext) -> Expr:
    count = len(spec) if type(spec) is list else 1
    if count < 2:
        raise MongoError(1257300, f"$ifNull needs at least two arguments, had: {count}")
    operands = compile_args(spec, ctx, "$ifNull")
    *tried, last = [operand.evaluate for operand in operands]

    def evaluate(doc: Any, env: Env) -> Any:
        for operand in tried:
            value = operand(doc, env)
            if not is_nullish(value):
                return value
        return last(doc, env)

    return derive(evaluate, operands)


def _compile_switch(spec: Any, ctx: CompileContext) -> Expr:
    operands = _SWITCH.check(spec)
    default = compile_expression(operands["default"], ctx) if "default" in operands else None
    branches, default = _branches(operands.get("branches", []), ctx, default)
    if not branches:
        if default is None:
            raise MongoError(
                40069,
                "One cannot execute a switch statement where all the cases evaluate to false "
                "without a default.",
            )
        return default
    pairs = [(case.evaluate, then.evaluate) for case, then in branches]
    otherwise = _no_branch if default is None else default.evaluate

    def evaluate(doc: Any, env: Env) -> Any:
        for case, then in pairs:
            if truthy(case(doc, env)):
                return then(doc, env)
        return otherwise(doc, env)

    parts = [part for branch in branches for part in branch]
    return derive(evaluate, parts if default is None else [*parts, default])


def _branches(
    specs: Any, ctx: CompileContext, default: Expr | None
) -> tuple[list[tuple[Expr, Expr]], Expr | None]:
    """Compile the branches that can be taken, and what becomes of the default."""
    if type(specs) is not list:
        raise MongoError(
            40061, f"$switch expected an array for 'branches', found: {type_name(specs)}"
        )
    if not specs:
        raise MongoError(40068, "$switch requires at least one branch.")
    branches: list[tuple[Expr, Expr]] = []
    decided = False
    unfolded = replace(ctx, fold=False)
    for spec in specs:
        branch = _BRANCH.check(spec)
        case = compile_expression(branch["case"], unfolded if decided else ctx)
        known = case.is_constant and ctx.fold
        dead = decided or (known and not truthy(case.value))
        then = compile_expression(branch["then"], unfolded if dead else ctx)
        if not dead and known:
            decided, default = True, then
        elif not dead:
            branches.append((case, then))
    return branches, default


def _no_branch(_doc: Any, _env: Env) -> Any:
    raise MongoError(
        40066,
        "$switch could not find a matching branch for an input, and no default was specified.",
    )


OPERATORS: Final[dict[str, Operator]] = {
    "$cond": Operator(_compile_cond),
    "$ifNull": Operator(_compile_if_null),
    "$switch": Operator(_compile_switch),
}
