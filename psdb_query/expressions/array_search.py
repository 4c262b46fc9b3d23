"""Arrays by value: `$in`, `$indexOfArray`, `$sortArray`, `$firstN`, `$lastN`, `$maxN`, `$minN`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from psdb_base import order, paths
from psdb_base.errors import Code, MongoError
from psdb_base.values import MISSING
from psdb_query.context import CompileContext, Env
from psdb_query.describe import text_of, type_name
from psdb_query.expressions.core import (
    Expr,
    Named,
    Operator,
    compile_args,
    compile_expression,
    compile_named,
    derive,
    is_nullish,
)
from psdb_query.expressions.date_values import whole_number
from psdb_query.numeric import as_int32, is_number

# $in


def _compile_in(spec: Any, ctx: CompileContext) -> Expr:
    operands = compile_args(spec, ctx, "$in", 2, 2)
    needle, haystack = operands
    read_needle, read_haystack = needle.evaluate, haystack.evaluate
    collation = ctx.collation
    key = partial(order.key, collation=collation)
    if haystack.is_constant:
        known = frozenset(map(key, _haystack(haystack.value)))
        return derive(lambda doc, env: key(read_needle(doc, env)) in known, operands)

    def evaluate(doc: Any, env: Env) -> bool:
        value = read_needle(doc, env)
        array = _haystack(read_haystack(doc, env))
        return any(order.equal(value, element, collation) for element in array)

    return derive(evaluate, operands)


def _haystack(array: Any) -> list[Any]:
    if type(array) is not list:
        raise MongoError(
            40081, f"$in requires an array as a second argument, found: {type_name(array)}"
        )
    return array


# $indexOfArray


def _compile_index_of(spec: Any, ctx: CompileContext) -> Expr:
    operands = compile_args(spec, ctx, "$indexOfArray", 2, 4)
    read_array, read_value = operands[0].evaluate, operands[1].evaluate
    bounds = [
        (operand.evaluate, which)
        for operand, which in zip(operands[2:], ("starting", "ending"), strict=False)
    ]
    collation = ctx.collation

    def evaluate(doc: Any, env: Env) -> Any:
        array = read_array(doc, env)
        if is_nullish(array):
            return None
        if type(array) is not list:
            raise MongoError(
                40090,
                f"$indexOfArray requires an array as a first argument, found: {type_name(array)}",
            )
        value = read_value(doc, env)
        limits = [_index_bound(read(doc, env), which) for read, which in bounds]
        start = limits[0] if limits else 0
        end = min(len(array), limits[1]) if len(limits) == 2 else len(array)
        for index in range(start, end):
            if order.equal(array[index], value, collation):
                return index
        return -1

    return derive(evaluate, operands)


def _index_bound(value: Any, which: str) -> int:
    number = as_int32(value) if is_number(value) else None
    if number is None:
        raise MongoError(
            40096,
            # MongoDB's message has no space after the name.
            f"$indexOfArrayrequires an integral {which} index, found a value of type: "
            f"{type_name(value)}, with value: {text_of(value)}",
        )
    if number < 0:
        raise MongoError(
            40097, f"$indexOfArray requires a nonnegative {which} index, found: {number}"
        )
    return number


# $sortArray

_SORT: Final = Named(
    "$sortArray",
    ("input", "sortBy"),
    not_object=(2942500, "{name} requires an object as an argument, found: {type}"),
    unknown=(2942501, "{name} found an unknown argument: {field}"),
    missing={
        "input": (2942502, "{name} requires '{field}' to be specified"),
        "sortBy": (2942503, "{name} requires '{field}' to be specified"),
    },
)

_Sort = Callable[[list[Any]], list[Any]]


def _compile_sort_array(spec: Any, ctx: CompileContext) -> Expr:
    operands = _SORT.check(spec)
    source = compile_expression(operands["input"], ctx)
    read = source.evaluate
    sort = _sort_function(operands["sortBy"], ctx)

    def evaluate(doc: Any, env: Env) -> Any:
        array = read(doc, env)
        if is_nullish(array):
            return None
        if type(array) is not list:
            raise MongoError(
                2942504,
                "The input argument to $sortArray must be an array, "
                f"but was of type: {type_name(array)}",
            )
        return sort(array)

    return derive(evaluate, (source,))


def _sort_function(sort_by: Any, ctx: CompileContext) -> _Sort:
    if type(sort_by) is dict:
        return _sort_by_fields(sort_by, ctx)
    if not is_number(sort_by):
        raise MongoError(
            2942507,
            "The $sort is invalid: use 1/-1 to sort the whole element, "
            "or {field:1/-1} to sort embedded fields",
        )
    key = partial(order.key, collation=ctx.collation)
    descending = _direction(sort_by, 2942506) < 0
    return lambda array: sorted(array, key=key, reverse=descending)


def _bad_sort(message: str) -> MongoError:
    return MongoError(Code.BAD_VALUE, message)


def _direction(value: Any, code: int = Code.BAD_VALUE) -> int:
    direction = as_int32(value) if is_number(value) else None
    if direction not in (1, -1):
        raise MongoError(code, "The $sort element value must be either 1 or -1")
    return direction


def _sort_by_fields(pattern: dict[str, Any], ctx: CompileContext) -> _Sort:
    if not pattern:
        raise _bad_sort("The $sort pattern is empty when it should be a set of fields.")
    parts = []
    for name, value in pattern.items():
        direction = _direction(value)
        if not name:
            raise _bad_sort("The $sort field cannot be empty")
        if "" in name.split("."):
            raise _bad_sort(f"The $sort field is a dotted field but has an empty part: {name}")
        parts.append((paths.split(name), direction))
    collation = ctx.collation

    def key(element: Any) -> bytes:
        keys = []
        for path, direction in parts:
            value = paths.get(element, path) if type(element) is dict else MISSING
            part = order.key(None if value is MISSING else value, collation)
            keys.append(part if direction > 0 else order.descending(part))
        return b"".join(keys)

    return lambda array: sorted(array, key=key)


# $firstN, $lastN, $maxN, $minN


def _n_fields(name: str) -> Named:
    return Named(
        name,
        ("input", "n"),
        not_object=(5787801, "specification must be an object; found {name}: {type}"),
        unknown=(5787901, "Unknown argument for 'n' operator: {field}"),
        missing={
            "input": (5787907, "Missing value for 'input'"),
            "n": (5787906, "Missing value for 'n'"),
        },
    )


def check_count(value: Any) -> int:
    """Return the `n` of an operator such as `$firstN`; MongoError 5787902, 5787903, 5787908."""
    if not is_number(value):
        raise MongoError(
            5787902, f"Value for 'n' must be of integral type, but found {text_of(value)}"
        )
    number = whole_number(value)
    if number is None:
        raise MongoError(
            5787903, f"Value for 'n' must be of integral type, but found {text_of(value)}"
        )
    if number <= 0:
        raise MongoError(5787908, f"'n' must be greater than 0, found {number}")
    return number


_Choose = Callable[[list[Any], int, CompileContext], list[Any]]


def _n_operator(name: str, choose: _Choose) -> Operator:
    fields = _n_fields(name)

    def compile_n(spec: Any, ctx: CompileContext) -> Expr:
        operands = compile_named(spec, ctx, fields)
        read, read_count = operands["input"].evaluate, operands["n"].evaluate

        def evaluate(doc: Any, env: Env) -> list[Any]:
            count = check_count(read_count(doc, env))
            array = read(doc, env)
            if type(array) is not list:
                raise MongoError(5788200, "Input must be an array")
            return choose(array, count, ctx)

        return derive(evaluate, operands.values())

    return Operator(compile_n)


def _extremes(array: list[Any], count: int, ctx: CompileContext, *, greatest: bool) -> list[Any]:
    values = [element for element in array if not is_nullish(element)]
    key = partial(order.key, collation=ctx.collation)
    return sorted(values, key=key, reverse=greatest)[:count]


OPERATORS: Final[dict[str, Operator]] = {
    "$firstN": _n_operator("$firstN", lambda array, count, _ctx: array[:count]),
    "$in": Operator(_compile_in),
    "$indexOfArray": Operator(_compile_index_of),
    "$lastN": _n_operator("$lastN", lambda array, count, _ctx: array[-count:]),
    "$maxN": _n_operator("$maxN", partial(_extremes, greatest=True)),
    "$minN": _n_operator("$minN", partial(_extremes, greatest=False)),
    "$sortArray": Operator(_compile_sort_array),
}
