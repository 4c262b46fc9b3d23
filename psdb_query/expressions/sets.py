"""Arrays as sets, by the equality of `psdb_base.order` (1 and 1.0 are one element).

Where MongoDB leaves the order of a result open, it is the order of values; of equal elements
the one that came first stands in the result.
"""

from __future__ import annotations

from typing import Any, Final

from psdb_base import order
from psdb_base.errors import MongoError
from psdb_query.context import Collation, CompileContext, Env
from psdb_query.describe import type_name
from psdb_query.expressions.core import (
    Expr,
    Operator,
    compile_args,
    derive,
    is_nullish,
    truthy,
    unary,
)

_Keyed = dict[bytes, Any]
"""Elements by key, in the order they came."""


def _keyed(array: list[Any], collation: Collation | None) -> _Keyed:
    result: _Keyed = {}
    for element in array:
        result.setdefault(order.key(element, collation), element)
    return result


def _sorted_values(elements: _Keyed) -> list[Any]:
    return [elements[key] for key in sorted(elements)]


def _not_array(code: int, name: str, value: Any) -> MongoError:
    return MongoError(
        code,
        f"All operands of {name} must be arrays. One argument is of type: {type_name(value)}",
    )


def _compile_union(spec: Any, ctx: CompileContext) -> Expr:
    operands = compile_args(spec, ctx, "$setUnion")
    evaluates = [operand.evaluate for operand in operands]
    collation = ctx.collation

    def evaluate(doc: Any, env: Env) -> Any:
        union: _Keyed = {}
        for read in evaluates:
            array = read(doc, env)
            if is_nullish(array):
                return None
            if type(array) is not list:
                raise _not_array(17043, "$setUnion", array)
            for element in array:
                union.setdefault(order.key(element, collation), element)
        return _sorted_values(union)

    return derive(evaluate, operands)


def _compile_intersection(spec: Any, ctx: CompileContext) -> Expr:
    operands = compile_args(spec, ctx, "$setIntersection")
    evaluates = [operand.evaluate for operand in operands]
    collation = ctx.collation

    def evaluate(doc: Any, env: Env) -> Any:
        common: _Keyed | None = None
        for read in evaluates:
            array = read(doc, env)
            if is_nullish(array):
                return None
            if type(array) is not list:
                raise _not_array(17047, "$setIntersection", array)
            elements = _keyed(array, collation)
            if common is not None:
                elements = {key: value for key, value in common.items() if key in elements}
            common = elements
            if not common:
                break
        return _sorted_values(common or {})

    return derive(evaluate, operands)


def _compile_difference(spec: Any, ctx: CompileContext) -> Expr:
    operands = compile_args(spec, ctx, "$setDifference", 2, 2)
    read_left, read_right = operands[0].evaluate, operands[1].evaluate
    collation = ctx.collation

    def evaluate(doc: Any, env: Env) -> Any:
        left, right = read_left(doc, env), read_right(doc, env)
        if is_nullish(left) or is_nullish(right):
            return None
        _check_pair("$setDifference", left, right, 17048, 17049)
        removed = _keyed(right, collation)
        return [value for key, value in _keyed(left, collation).items() if key not in removed]

    return derive(evaluate, operands)


def _check_pair(name: str, left: Any, right: Any, left_code: int, right_code: int) -> None:
    for value, which, code in ((left, "First", left_code), (right, "Second", right_code)):
        if type(value) is not list:
            raise MongoError(
                code,
                f"both operands of {name} must be arrays. "
                f"{which} argument is of type: {type_name(value)}",
            )


def _compile_subset(spec: Any, ctx: CompileContext) -> Expr:
    operands = compile_args(spec, ctx, "$setIsSubset", 2, 2)
    read_left, read_right = operands[0].evaluate, operands[1].evaluate
    collation = ctx.collation

    def evaluate(doc: Any, env: Env) -> bool:
        left, right = read_left(doc, env), read_right(doc, env)
        _check_pair("$setIsSubset", left, right, 17046, 17042)
        known = _keyed(right, collation)
        return all(order.key(element, collation) in known for element in left)

    return derive(evaluate, operands)


def _compile_equals(spec: Any, ctx: CompileContext) -> Expr:
    operands = compile_args(spec, ctx, "$setEquals")
    if len(operands) < 2:
        raise MongoError(17045, f"$setEquals needs at least two arguments had: {len(operands)}")
    evaluates = [operand.evaluate for operand in operands]
    collation = ctx.collation

    def evaluate(doc: Any, env: Env) -> bool:
        first = None
        for index, read in enumerate(evaluates, 1):
            array = read(doc, env)
            if type(array) is not list:
                raise MongoError(
                    17044,
                    "All operands of $setEquals must be arrays. "
                    f"{index}-th argument is of type: {type_name(array)}",
                )
            keys = _keyed(array, collation).keys()
            if first is None:
                first = keys
            elif keys != first:
                return False
        return True

    return derive(evaluate, operands)


def _all_true(array: Any) -> bool:
    if type(array) is not list:
        raise MongoError(
            17040, f"$allElementsTrue's argument must be an array, but is {type_name(array)}"
        )
    return all(map(truthy, array))


def _any_true(array: Any) -> bool:
    if type(array) is not list:
        raise MongoError(
            17041, f"$anyElementTrue's argument must be an array, but is {type_name(array)}"
        )
    return any(map(truthy, array))


OPERATORS: Final[dict[str, Operator]] = {
    "$allElementsTrue": unary("$allElementsTrue", _all_true),
    "$anyElementTrue": unary("$anyElementTrue", _any_true),
    "$setDifference": Operator(_compile_difference),
    "$setEquals": Operator(_compile_equals),
    "$setIntersection": Operator(_compile_intersection),
    "$setIsSubset": Operator(_compile_subset),
    "$setUnion": Operator(_compile_union),
}
