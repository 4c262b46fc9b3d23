"""Arrays by position: elements, parts, concatenation, ranges, sizes."""

from __future__ import annotations

from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_base.values import MISSING
from psdb_query.context import CompileContext, Env
from psdb_query.describe import text_of, type_name
from psdb_query.expressions.core import (
    Expr,
    Operator,
    binary,
    compile_args,
    derive,
    is_nullish,
    unary,
)
from psdb_query.numeric import as_int32, is_number
from psdb_query.sizes import check_array_length
from psdb_query.steps import spend

_RANGE_VALUE_BYTES: Final = 16
_RANGE_BYTES_MAX: Final = 100 * 1024 * 1024


def _element_at(array: Any, index: Any) -> Any:
    if is_nullish(array) or is_nullish(index):
        return None
    if type(array) is not list:
        raise MongoError(
            28689, f"$arrayElemAt's first argument must be an array, but is {type_name(array)}"
        )
    if not is_number(index):
        raise MongoError(
            28690,
            f"$arrayElemAt's second argument must be a numeric value, but is {type_name(index)}",
        )
    position = as_int32(index)
    if position is None:
        raise MongoError(
            28691,
            "$arrayElemAt's second argument must be representable as a 32-bit integer: "
            f"{text_of(index)}",
        )
    return array[position] if -len(array) <= position < len(array) else MISSING


def _end_operator(name: str, position: int) -> Operator:
    def function(array: Any) -> Any:
        if is_nullish(array):
            return None
        if type(array) is not list:
            raise MongoError(
                28689, f"{name}'s argument must be an array, but is {type_name(array)}"
            )
        return array[position] if array else MISSING

    return unary(name, function)


def _compile_concat(spec: Any, ctx: CompileContext) -> Expr:
    operands = compile_args(spec, ctx, "$concatArrays")
    evaluates = [operand.evaluate for operand in operands]

    def evaluate(doc: Any, env: Env) -> Any:
        result: list[Any] = []
        for read in evaluates:
            array = read(doc, env)
            if is_nullish(array):
                return None
            if type(array) is not list:
                raise MongoError(
                    28664, f"$concatArrays only supports arrays, not {type_name(array)}"
                )
            check_array_length(len(result) + len(array), "$concatArrays")
            result += array
        return result

    return derive(evaluate, operands)


def _size(array: Any) -> int:
    if type(array) is not list:
        raise MongoError(
            17124,
            f"The argument to $size must be an array, but was of type: {type_name(array)}",
        )
    return len(array)


def _reversed(array: Any) -> Any:
    if is_nullish(array):
        return None
    if type(array) is not list:
        raise MongoError(
            34435,
            f"The argument to $reverseArray must be an array, but was of type: {type_name(array)}",
        )
    return array[::-1]


# $slice


def _compile_slice(spec: Any, ctx: CompileContext) -> Expr:
    operands = compile_args(spec, ctx, "$slice", 2, 3)
    array_value, second_value = operands[0].evaluate, operands[1].evaluate
    third_value = operands[2].evaluate if len(operands) == 3 else None

    def evaluate(doc: Any, env: Env) -> Any:
        array = array_value(doc, env)
        second = second_value(doc, env)
        if is_nullish(array) or is_nullish(second):
            return None
        if type(array) is not list:
            raise MongoError(
                28724,
                f"First argument to $slice must be an array, but is of type: {type_name(array)}",
            )
        number = _slice_number(second, "Second", 28725, "be a numeric value")
        if third_value is None:
            return array[:number] if number >= 0 else array[number:]
        third = third_value(doc, env)
        if is_nullish(third):
            return None
        count = _slice_number(third, "Third", 28727, "be numeric")
        if count <= 0:
            raise MongoError(28729, f"Third argument to $slice must be positive: {text_of(third)}")
        start = max(0, len(array) + number) if number < 0 else number
        return array[start : start + count]

    return derive(evaluate, operands)


def _slice_number(value: Any, which: str, code: int, demand: str) -> int:
    if not is_number(value):
        raise MongoError(
            code,
            f"{which} argument to $slice must {demand}, but is of type: {type_name(value)}",
        )
    number = as_int32(value)
    if number is None:
        raise MongoError(
            code + 1,
            f"{which} argument to $slice can't be represented as a 32-bit integer: "
            f"{text_of(value)}",
        )
    return number


# $range


def _compile_range(spec: Any, ctx: CompileContext) -> Expr:
    operands = compile_args(spec, ctx, "$range", 2, 3)
    evaluates = [operand.evaluate for operand in operands]

    def evaluate(doc: Any, env: Env) -> list[int]:
        values = [read(doc, env) for read in evaluates]
        start = _range_number(values[0], "starting", 34443)
        end = _range_number(values[1], "ending", 34445)
        step = _range_number(values[2], "step", 34447) if len(values) == 3 else 1
        if step == 0:
            raise MongoError(34449, "$range requires a non-zero step value")
        numbers = range(start, end, step)
        size_bytes = len(numbers) * _RANGE_VALUE_BYTES
        if size_bytes > _RANGE_BYTES_MAX:
            raise MongoError(
                Code.EXCEEDED_MEMORY_LIMIT,
                f"$range would use too much memory ({size_bytes} bytes) and cannot spill to disk. "
                f"Memory limit: {_RANGE_BYTES_MAX} bytes",
            )
        spend(len(numbers) // 8)
        return list(numbers)

    return derive(evaluate, operands)


def _range_number(value: Any, which: str, code: int) -> int:
    article = "an" if which == "ending" else "a"
    if not is_number(value):
        gap = "" if which == "step" else " "  # as in MongoDB's messages
        raise MongoError(
            code,
            f"$range requires a numeric {which} value, found value of type:{gap}{type_name(value)}",
        )
    number = as_int32(value)
    if number is None:
        raise MongoError(
            code + 1,
            f"$range requires {article} {which} value that can be represented as a 32-bit integer, "
            f"found value: {text_of(value)}",
        )
    return number


OPERATORS: Final[dict[str, Operator]] = {
    "$arrayElemAt": binary("$arrayElemAt", _element_at),
    "$concatArrays": Operator(_compile_concat),
    "$first": _end_operator("$first", 0),
    "$isArray": unary("$isArray", lambda value: type(value) is list),
    "$last": _end_operator("$last", -1),
    "$range": Operator(_compile_range),
    "$reverseArray": unary("$reverseArray", _reversed),
    "$size": unary("$size", _size),
    "$slice": Operator(_compile_slice),
}
