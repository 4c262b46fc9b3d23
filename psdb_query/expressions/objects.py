"""Objects: `$mergeObjects`, `$getField`, `$setField`, `$unsetField`, and pairs of key and value."""

from __future__ import annotations

from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_base.values import MISSING, Document
from psdb_query.context import CompileContext, Env
from psdb_query.describe import text_of, type_name
from psdb_query.expressions.core import (
    Expr,
    Named,
    Operator,
    compile_args,
    compile_expression,
    compile_path,
    derive,
    is_nullish,
    unary,
)

# $mergeObjects


def _compile_merge(spec: Any, ctx: CompileContext) -> Expr:
    operands = compile_args(spec, ctx, "$mergeObjects")
    evaluates = [operand.evaluate for operand in operands]

    def evaluate(doc: Any, env: Env) -> Document:
        result: Document = {}
        for read in evaluates:
            value = read(doc, env)
            if type(value) is dict:
                result.update(value)
            elif not is_nullish(value):
                raise MongoError(
                    40400,
                    f"$mergeObjects requires object inputs, but input {text_of(value)} "
                    f"is of type {type_name(value)}",
                )
        return result

    return derive(evaluate, operands)


# $getField

_GET_FIELDS: Final = ("field", "input")


def _get_field_operands(spec: Any, ctx: CompileContext) -> tuple[Expr, Expr]:
    """Compile the long form `{field, input}` or the short one, a name read from `$$CURRENT`."""
    if type(spec) is not dict or next(iter(spec), "").startswith("$"):
        return compile_expression(spec, ctx), compile_path("$$CURRENT", ctx)
    for name in spec:
        if name not in _GET_FIELDS:
            raise MongoError(3041701, f"$getField found an unknown argument: {name}")
    for name, code in zip(_GET_FIELDS, (3041702, 3041703), strict=True):
        if name not in spec:
            raise MongoError(code, f"$getField requires '{name}' to be specified")
    return compile_expression(spec["field"], ctx), compile_expression(spec["input"], ctx)


def _compile_get_field(spec: Any, ctx: CompileContext) -> Expr:
    field, source = _get_field_operands(spec, ctx)
    read = source.evaluate
    if field.is_constant:
        name = _field_name(field.value, 5654602)

        def evaluate_constant(doc: Any, env: Env) -> Any:
            return _field_of(read(doc, env), name)

        return derive(evaluate_constant, (field, source))
    read_name = field.evaluate

    def evaluate(doc: Any, env: Env) -> Any:
        name = _field_name(read_name(doc, env), 3041704)
        return _field_of(read(doc, env), name)

    return derive(evaluate, (field, source))


def _field_name(value: Any, code: int) -> str:
    if type(value) is not str:
        raise MongoError(
            code,
            f"$getField requires 'field' to evaluate to type String, but got {type_name(value)}",
        )
    return value


def _field_of(value: Any, name: str) -> Any:
    if type(value) is dict:
        return value.get(name, MISSING)
    return None if is_nullish(value) and value is not MISSING else MISSING


# $setField and $unsetField


def _set_fields(name: str, *required: str) -> Named:
    return Named(
        name,
        required,
        not_object=(4161100, "{name} only supports an object as its argument"),
        unknown=(4161101, "{name} found an unknown argument: {field}"),
        missing={
            "field": (4161102, "{name} requires '{field}' to be specified"),
            "input": (4161109, "{name} requires '{field}' to be specified"),
            "value": (4161103, "{name} requires '{field}' to be specified"),
        },
    )


def _constant_name(name: str, spec: Any, ctx: CompileContext) -> str:
    """Return the field's name, which has to be a constant in the specification itself."""
    if type(spec) is str and spec.startswith("$"):
        raise MongoError(
            4161108,
            f"'{spec}' is a field path reference which is not allowed in this context. "
            f"Did you mean {{$literal: '{spec}'}}?",
        )
    expr = compile_expression(spec, ctx)
    is_literal = type(spec) is dict and next(iter(spec), "") in ("$const", "$literal")
    if type(spec) in (dict, list) and not is_literal:
        raise MongoError(
            4161106,
            f"{name} requires 'field' to evaluate to a constant, but got a non-constant argument",
        )
    if type(expr.value) is not str:
        raise MongoError(
            4161107,
            f"{name} requires 'field' to evaluate to type String, but got {type_name(expr.value)}",
        )
    if "\0" in expr.value:
        raise MongoError(
            Code.FAILED_TO_PARSE, f"{name}: field name cannot contain an embedded null byte"
        )
    return expr.value


def _set_operator(name: str, *required: str) -> Operator:
    fields = _set_fields(name, *required)

    def compile_set(spec: Any, ctx: CompileContext) -> Expr:
        operands = fields.check(spec)
        key = _constant_name(name, operands["field"], ctx)
        source = compile_expression(operands["input"], ctx)
        value = compile_expression(operands.get("value", "$$REMOVE"), ctx)
        read, read_value = source.evaluate, value.evaluate

        def evaluate(doc: Any, env: Env) -> Any:
            document = read(doc, env)
            if is_nullish(document):
                return None
            if type(document) is not dict:
                raise MongoError(4161105, f"{name} requires 'input' to evaluate to type Object")
            new = read_value(doc, env)
            result = dict(document)
            if new is MISSING:
                result.pop(key, None)
            else:
                result[key] = new
            return result

        return derive(evaluate, (source, value))

    return Operator(compile_set)


# $objectToArray and $arrayToObject


def _to_array(value: Any) -> Any:
    if is_nullish(value):
        return None
    if type(value) is not dict:
        raise MongoError(
            40390, f"$objectToArray requires a document input, found: {type_name(value)}"
        )
    return [{"k": name, "v": part} for name, part in value.items()]


def _to_object(array: Any) -> Any:
    if is_nullish(array):
        return None
    if type(array) is not list:
        raise MongoError(
            40386, f"$arrayToObject requires an array input, found: {type_name(array)}"
        )
    if not array:
        return {}
    first = type(array[0])
    if first is list:
        return dict(map(_pair_of_array, array))
    if first is dict:
        return dict(map(_pair_of_object, array))
    raise MongoError(
        40398, f"Unrecognised input type format for $arrayToObject: {type_name(array[0])}"
    )


def _inconsistent(code: int, detected: str, value: Any) -> MongoError:
    return MongoError(
        code,
        "$arrayToObject requires a consistent input format. Elements must all be arrays or all "
        f"be objects. {detected} was detected, now found: {type_name(value)}",
    )


def _checked_key(key: str) -> str:
    if "\0" in key:
        raise MongoError(4940400, "Key field cannot contain an embedded null byte")
    return key


def _pair_of_array(pair: Any) -> tuple[str, Any]:
    if type(pair) is not list:
        raise _inconsistent(40396, "Array", pair)
    if len(pair) != 2:
        raise MongoError(
            40397,
            f"$arrayToObject requires an array of size 2 arrays,found array of size: {len(pair)}",
        )
    key, value = pair
    if type(key) is not str:
        raise MongoError(
            40395,
            "$arrayToObject requires an array of key-value pairs, where the key must be of type "
            f"string. Found key type: {type_name(key)}",
        )
    return _checked_key(key), value


def _pair_of_object(pair: Any) -> tuple[str, Any]:
    if type(pair) is not dict:
        raise _inconsistent(40391, "Object", pair)
    if len(pair) != 2:
        raise MongoError(
            40392,
            "$arrayToObject requires an object keys of 'k' and 'v'. "
            f"Found incorrect number of keys:{len(pair)}",
        )
    if "k" not in pair or "v" not in pair:
        raise MongoError(
            40393,
            "$arrayToObject requires an object with keys 'k' and 'v'. "
            f"Missing either or both keys from: {text_of(pair)}",
        )
    key = pair["k"]
    if type(key) is not str:
        raise MongoError(
            40394,
            "$arrayToObject requires an object with keys 'k' and 'v', where the value of 'k' must "
            f"be of type string. Found type: {type_name(key)}",
        )
    return _checked_key(key), pair["v"]


OPERATORS: Final[dict[str, Operator]] = {
    "$arrayToObject": unary("$arrayToObject", _to_object),
    "$getField": Operator(_compile_get_field),
    "$mergeObjects": Operator(_compile_merge),
    "$objectToArray": unary("$objectToArray", _to_array),
    "$setField": _set_operator("$setField", "field", "value", "input"),
    "$unsetField": _set_operator("$unsetField", "field", "input"),
}
