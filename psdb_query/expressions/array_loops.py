"""Expressions evaluated for each element of an array: `$map`, `$filter`, `$reduce`, `$zip`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from psdb_base.errors import MongoError
from psdb_base.values import MISSING
from psdb_query.context import CompileContext, Env
from psdb_query.describe import text_of, type_name
from psdb_query.expressions.core import (
    Expr,
    Named,
    Operator,
    check_user_variable,
    compile_expression,
    constant,
    derive,
    is_nullish,
    looping,
    truthy,
)
from psdb_query.numeric import as_int32
from psdb_query.sizes import check_expanded
from psdb_query.steps import check_weight, paced, weight

_Each = Callable[[Any, Env, Any], Any]
"""`(document, private copy of the environment, element) -> value` of a loop's body."""


def _compile_each(spec: Any, ctx: CompileContext, name: str) -> tuple[Expr, _Each]:
    """Compile a loop's body over the variable `name`; `CURRENT` makes the element the document.

    The expression that comes back tells what the body reads outside of the loop.
    """
    if name == "CURRENT":
        body = compile_expression(spec, ctx.rebinding_current())
        current = body.evaluate

        def each_current(doc: Any, scope: Env, element: Any) -> Any:
            scope.setdefault("ROOT", doc)
            return current(element, scope)

        return body, each_current
    body = compile_expression(spec, ctx.binding(name))
    result = body.evaluate

    def each(doc: Any, scope: Env, element: Any) -> Any:
        scope[name] = element
        return result(doc, scope)

    return _without(body, name), each


def _without(body: Expr, *names: str) -> Expr:
    """Return the expression with the loop's own variables taken from what it reads."""
    return Expr(
        body.evaluate,
        is_constant=body.is_constant,
        paths=body.paths,
        variables=body.variables.difference(names),
    )


def _loop_name(operands: dict[str, Any]) -> str:
    name = operands.get("as", "this")
    if type(name) is not str:
        raise MongoError(9, "empty variable names are not allowed")
    check_user_variable(name)
    return name


_HEAVY: Final = frozenset((bytes, dict, list, str))


# $map

_MAP: Final = Named(
    "$map",
    ("input", "in"),
    ("as",),
    not_object=(16878, "{name} only supports an object as its argument"),
    unknown=(16879, "Unrecognized parameter to {name}: {field}"),
    missing={
        "in": (16882, "Missing '{field}' parameter to {name}"),
        "input": (16880, "Missing '{field}' parameter to {name}"),
    },
)


def _compile_map(spec: Any, ctx: CompileContext) -> Expr:
    operands = _MAP.check(spec)
    source = compile_expression(operands["input"], ctx)
    body, each = _compile_each(operands["in"], ctx, _loop_name(operands))
    read = source.evaluate

    def evaluate(doc: Any, env: Env) -> Any:
        array = read(doc, env)
        if is_nullish(array):
            return None
        if type(array) is not list:
            raise MongoError(16883, f"input to $map must be an array not {type_name(array)}")
        scope = dict(env)
        values: list[Any] = []
        held = len(array)
        for element in paced(array):
            value = each(doc, scope, element)
            values.append(None if value is MISSING else value)
            if value.__class__ in _HEAVY:
                held += weight(value)
                check_weight(held, "$map")
        return values

    return looping(derive(evaluate, (source, body)), ctx)


# $filter

_FILTER: Final = Named(
    "$filter",
    ("input", "cond"),
    ("as", "limit"),
    not_object=(28646, "{name} only supports an object as its argument"),
    unknown=(28647, "Unrecognized parameter to {name}: {field}"),
    missing={
        "cond": (28650, "Missing '{field}' parameter to {name}"),
        "input": (28648, "Missing '{field}' parameter to {name}"),
    },
)


def _compile_filter(spec: Any, ctx: CompileContext) -> Expr:
    operands = _FILTER.check(spec)
    source = compile_expression(operands["input"], ctx)
    limit = compile_expression(operands.get("limit"), ctx)
    body, each = _compile_each(operands["cond"], ctx, _loop_name(operands))
    read, read_limit = source.evaluate, limit.evaluate

    def evaluate(doc: Any, env: Env) -> Any:
        array = read(doc, env)
        if is_nullish(array):
            return None
        if type(array) is not list:
            raise MongoError(28651, f"input to $filter must be an array not {type_name(array)}")
        most = _filter_limit(read_limit(doc, env))
        scope = dict(env)
        if most is None:
            return [element for element in paced(array) if truthy(each(doc, scope, element))]
        kept: list[Any] = []
        for element in paced(array):
            if truthy(each(doc, scope, element)):
                kept.append(element)
                if len(kept) == most:
                    break
        return kept

    return looping(derive(evaluate, (source, limit, body)), ctx)


def _filter_limit(value: Any) -> int | None:
    if is_nullish(value):
        return None
    number = as_int32(value)
    if number is None:
        raise MongoError(
            327391,
            f"$filter: limit must be represented as a 32-bit integral value: {text_of(value)}",
        )
    if number < 1:
        raise MongoError(327392, f"$filter: limit must be greater than 0: {number}")
    return number


# $reduce

_REDUCE: Final = Named(
    "$reduce",
    ("input", "initialValue", "in"),
    not_object=(40075, "{name} requires an object as an argument, found: {type}"),
    unknown=(40076, "{name} found an unknown argument: {field}"),
    missing={
        "in": (40079, "{name} requires '{field}' to be specified"),
        "initialValue": (40078, "{name} requires '{field}' to be specified"),
        "input": (40077, "{name} requires '{field}' to be specified"),
    },
)


_SHARING_STEPS: Final = 16
"""Fewer steps cannot make a small value too large by doubling it."""


def _compile_reduce(spec: Any, ctx: CompileContext) -> Expr:
    operands = _REDUCE.check(spec)
    source = compile_expression(operands["input"], ctx)
    initial = compile_expression(operands["initialValue"], ctx)
    body = compile_expression(operands["in"], ctx.binding("this", "value"))
    read, start, step = source.evaluate, initial.evaluate, body.evaluate

    def evaluate(doc: Any, env: Env) -> Any:
        array = read(doc, env)
        if is_nullish(array):
            return None
        if type(array) is not list:
            raise MongoError(
                40080, f"$reduce requires that 'input' be an array, found: {text_of(array)}"
            )
        scope = dict(env)
        value = start(doc, env)
        for element in paced(array):
            scope["this"] = element
            scope["value"] = value
            value = step(doc, scope)
        if len(array) > _SHARING_STEPS and type(value) in (dict, list):
            check_expanded(value, "$reduce")
        return value

    return looping(derive(evaluate, (source, initial, _without(body, "this", "value"))), ctx)


# $zip

_ZIP: Final = Named(
    "$zip",
    (),
    ("inputs", "defaults", "useLongestLength"),
    not_object=(34460, "{name} only supports an object as an argument, found {type}"),
    unknown=(34464, "{name} found an unknown argument: {field}"),
)


def _check_zip(spec: Any) -> tuple[list[Any], list[Any], bool]:
    operands = _ZIP.check(spec)
    for name, code in (("inputs", 34461), ("defaults", 34462)):
        if name in operands and type(operands[name]) is not list:
            raise MongoError(
                code,
                f"{name} must be an array of expressions, found {type_name(operands[name])}",
            )
    longest = operands.get("useLongestLength", False)
    if type(longest) is not bool:
        raise MongoError(34463, f"useLongestLength must be a bool, found {type_name(longest)}")
    inputs = operands.get("inputs", [])
    defaults = operands.get("defaults", [])
    if not inputs:
        raise MongoError(34465, "$zip requires at least one input array")
    if defaults and not longest:
        raise MongoError(34466, "cannot specify defaults unless useLongestLength is true")
    if defaults and len(defaults) != len(inputs):
        raise MongoError(34467, "defaults and inputs must have the same length")
    return inputs, defaults, longest


def _compile_zip(spec: Any, ctx: CompileContext) -> Expr:
    input_specs, default_specs, longest = _check_zip(spec)
    inputs = [compile_expression(operand, ctx) for operand in input_specs]
    defaults = [compile_expression(operand, ctx) for operand in default_specs]
    reads = [operand.evaluate for operand in inputs]
    fills = [operand.evaluate for operand in defaults or [constant(None)] * len(inputs)]

    def evaluate(doc: Any, env: Env) -> Any:
        arrays = []
        for read in reads:
            array = read(doc, env)
            if is_nullish(array):
                return None
            if type(array) is not list:
                raise MongoError(
                    34468, f"$zip found a non-array expression in input: {text_of(array)}"
                )
            arrays.append(array)
        if not longest:
            return [list(row) for row in zip(*arrays, strict=False)]
        blanks = [fill(doc, env) for fill in fills]
        blanks = [None if blank is MISSING else blank for blank in blanks]
        return [
            [
                array[index] if index < len(array) else blank
                for array, blank in zip(arrays, blanks, strict=True)
            ]
            for index in range(max(map(len, arrays)))
        ]

    return derive(evaluate, (*inputs, *defaults))


OPERATORS: Final[dict[str, Operator]] = {
    "$filter": Operator(_compile_filter),
    "$map": Operator(_compile_map),
    "$reduce": Operator(_compile_reduce),
    "$zip": Operator(_compile_zip),
}
