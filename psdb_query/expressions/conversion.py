"""Types and conversions: `$convert` and its short forms, `$type`, `$isNumber`.

A conversion is a row by target type of rows by source type; what is not there is unsupported.
Errors of a conversion are ConversionFailure (241), which `onError` catches; it catches no other.
"""

from __future__ import annotations

import decimal
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId

from psdb_base.errors import Code, MongoError
from psdb_query import numeric
from psdb_query.context import CompileContext, Env
from psdb_query.describe import text_of, type_name
from psdb_query.expressions.binary_text import (
    FORMATS,
    UUID_SUBTYPE,
    BinarySyntaxError,
    read_binary,
    write_binary,
)
from psdb_query.expressions.core import (
    Expr,
    Named,
    Operator,
    compile_named,
    derive,
    is_nullish,
    truthy,
    unary,
)
from psdb_query.expressions.date_scanner import scan_date
from psdb_query.expressions.date_strings import iso_text
from psdb_query.expressions.date_values import date_ms
from psdb_query.expressions.number_text import (
    NumberSyntaxError,
    decimal_text,
    double_text,
    read_decimal,
    read_double,
    read_integer,
)
from psdb_query.expressions.timezones import UTC
from psdb_query.numeric import INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN

TYPE_CODES: Final[dict[int, str]] = {
    -1: "minKey",
    1: "double",
    2: "string",
    3: "object",
    4: "array",
    5: "binData",
    6: "undefined",
    7: "objectId",
    8: "bool",
    9: "date",
    10: "null",
    11: "regex",
    12: "dbPointer",
    13: "javascript",
    14: "symbol",
    15: "javascriptWithScope",
    16: "int",
    17: "timestamp",
    18: "long",
    19: "decimal",
    127: "maxKey",
}
"""BSON's type numbers and MongoDB's names of them."""
_TYPE_NAMES: Final = frozenset(TYPE_CODES.values()) | {"missing"}
_NO_HANDLER: Final = "in $convert with no onError value"
_OBJECT_ID: Final = re.compile(r"[0-9a-fA-F]")
_INT_BOUNDS: Final = (INT32_MIN, INT32_MAX)
_LONG_BOUNDS: Final = (INT64_MIN, INT64_MAX)


@dataclass(frozen=True, slots=True)
class Target:
    """What to convert to: a type's name, and for binData its subtype and format."""

    type: str
    subtype: int = 0
    form: str | None = None


Convert = Callable[[Any, Target], Any]


def _failure(message: str) -> MongoError:
    return MongoError(Code.CONVERSION_FAILURE, message)


def _overflow(text: str) -> MongoError:
    return _failure(f"Conversion would overflow target type {_NO_HANDLER}: {text}")


def convert(value: Any, target: Target) -> Any:
    """Convert a value that is not nullish.

    Raises MongoError 241 ConversionFailure; 18537 for a date whose year has no four digits.
    """
    if target.type == "bool":
        return truthy(value)
    row = _CONVERSIONS.get(target.type, {}).get(type_name(value))
    if row is None:
        raise _failure(
            f"Unsupported conversion from {type_name(value)} to {target.type} {_NO_HANDLER}"
        )
    return row(value, target)


# Numbers


def _refuse_hexadecimal(text: str) -> None:
    if text.startswith("0x"):
        raise _failure(f"Illegal hexadecimal input {_NO_HANDLER}: {text}")


def _parsed(text: str, read: Callable[[str], Any]) -> Any:
    _refuse_hexadecimal(text)
    try:
        return read(text)
    except NumberSyntaxError as error:
        raise _failure(f"Failed to parse number '{text}' {_NO_HANDLER}: {error}") from None


def _truncated(value: Any, bounds: tuple[int, int]) -> int:
    """Cut a double or decimal to an integer within the bounds."""
    number: float | decimal.Decimal
    number = value.to_decimal() if type(value) is Decimal128 else value
    if number != number:
        raise _failure(f"Attempt to convert NaN value to integer type {_NO_HANDLER}")
    if abs(number) == math.inf:
        raise _failure(f"Attempt to convert infinity value to integer type {_NO_HANDLER}")
    least, most = bounds
    if not least - 1 < number < most + 1:
        raise _overflow(str(value) if type(value) is Decimal128 else double_text(value))
    return int(number)


def _narrowed(value: int, bounds: tuple[int, int]) -> int:
    least, most = bounds
    if not least <= value <= most:
        raise _overflow(str(int(value)))
    return int(value)


def _double_of_decimal(value: Any, _target: Target) -> float:
    exact = value.to_decimal()
    result = float(exact)
    if exact.is_finite() and (math.isinf(result) or (result == 0.0 and exact != 0)):
        raise _overflow(str(value))
    return result


def _decimal_of_double(value: Any, _target: Target) -> Decimal128:
    return numeric.decimal128(numeric.from_double(value))


def _decimal_of_integer(value: Any, _target: Target) -> Decimal128:
    return Decimal128(str(int(value)))


# Dates, identifiers, text, binary


def _date_of_number(value: Any, _target: Target) -> DatetimeMS:
    if type(value) is Int64 or type(value) is int:
        return DatetimeMS(int(value))
    return DatetimeMS(_truncated(value, _LONG_BOUNDS))


def _date_of_text(value: Any, _target: Target) -> DatetimeMS:
    return DatetimeMS(scan_date(value, UTC))


def _object_id_of_text(value: Any, _target: Target) -> ObjectId:
    size = len(value.encode("utf-8", "surrogatepass"))
    complaint = f"Failed to parse objectId '{value}' {_NO_HANDLER}: "
    if size != 24:
        raise _failure(
            f"{complaint}Invalid string length for parsing to OID, expected 24 but found {size}"
        )
    for char in value:
        if _OBJECT_ID.match(char) is None:
            raise _failure(f"{complaint}Invalid character found in hex string: '{char}'")
    return ObjectId(value)


def _binary_of_text(value: Any, target: Target) -> Any:
    form = _required_format("string", "binData", target)
    try:
        return read_binary(value, form, target.subtype)
    except BinarySyntaxError as error:
        raise _failure(f"Failed to parse BinData '{value}' {_NO_HANDLER}: {error}") from None


def _text_of_binary(value: Any, target: Target) -> str:
    form = _required_format("binData", "string", target)
    try:
        return write_binary(value, form)
    except BinarySyntaxError as error:
        shown = write_binary(value, "base64")
        raise _failure(f"Failed to parse BinData '{shown}' {_NO_HANDLER}: {error}") from None


def _required_format(source: str, target_type: str, target: Target) -> str:
    if target.form is None:
        raise MongoError(
            4341115,
            f"Format must be speficied when converting from '{source}' to '{target_type}'",
        )
    return target.form


def _same(value: Any, _target: Target) -> Any:
    return value


_CONVERSIONS: Final[dict[str, dict[str, Convert]]] = {
    "binData": {
        "binData": _same,
        "string": _binary_of_text,
    },
    "date": {
        "date": _same,
        "decimal": _date_of_number,
        "double": _date_of_number,
        "long": _date_of_number,
        "objectId": lambda value, _target: DatetimeMS(date_ms(value)),
        "string": _date_of_text,
        "timestamp": lambda value, _target: DatetimeMS(date_ms(value)),
    },
    "decimal": {
        "bool": lambda value, _target: Decimal128("1" if value else "0"),
        "date": _decimal_of_integer,
        "decimal": _same,
        "double": _decimal_of_double,
        "int": _decimal_of_integer,
        "long": _decimal_of_integer,
        "string": lambda value, _target: _parsed(value, read_decimal),
    },
    "double": {
        "bool": lambda value, _target: float(value),
        "date": lambda value, _target: float(int(value)),
        "decimal": _double_of_decimal,
        "double": _same,
        "int": lambda value, _target: float(value),
        "long": lambda value, _target: float(value),
        "string": lambda value, _target: _parsed(value, read_double),
    },
    "int": {
        "bool": lambda value, _target: int(value),
        "decimal": lambda value, _target: _truncated(value, _INT_BOUNDS),
        "double": lambda value, _target: _truncated(value, _INT_BOUNDS),
        "int": _same,
        "long": lambda value, _target: _narrowed(value, _INT_BOUNDS),
        "string": lambda value, _target: _parsed(
            value, lambda text: read_integer(text, *_INT_BOUNDS)
        ),
    },
    "long": {
        "bool": lambda value, _target: Int64(value),
        "date": lambda value, _target: Int64(int(value)),
        "decimal": lambda value, _target: Int64(_truncated(value, _LONG_BOUNDS)),
        "double": lambda value, _target: Int64(_truncated(value, _LONG_BOUNDS)),
        "int": lambda value, _target: Int64(value),
        "long": lambda value, _target: Int64(value),
        "string": lambda value, _target: _parsed(
            value, lambda text: Int64(read_integer(text, *_LONG_BOUNDS))
        ),
    },
    "objectId": {
        "objectId": _same,
        "string": _object_id_of_text,
    },
    "string": {
        "binData": _text_of_binary,
        "bool": lambda value, _target: "true" if value else "false",
        "date": lambda value, _target: iso_text(int(value)),
        "decimal": lambda value, _target: decimal_text(value),
        "double": lambda value, _target: double_text(value),
        "int": lambda value, _target: str(value),
        "long": lambda value, _target: str(int(value)),
        "objectId": lambda value, _target: str(value),
        "string": _same,
    },
}
"""Converters by target and source type; everything converts to bool."""


# $convert

_CONVERT: Final = Named(
    "$convert",
    ("input", "to"),
    ("format", "onError", "onNull"),
    not_object=(9, "{name} expects an object of named arguments but found: {type}"),
    unknown=(9, "{name} found an unknown argument: {field}"),
    missing={"": (9, "Missing '{field}' parameter to {name}")},
)


def _compile_convert(spec: Any, ctx: CompileContext) -> Expr:
    operands = compile_named(spec, ctx, _CONVERT)
    to_value = operands["to"].evaluate
    input_value = operands["input"].evaluate
    form_expr = operands.get("format")
    on_error = operands.get("onError")
    on_null = operands.get("onNull")

    def evaluate(doc: Any, env: Env) -> Any:
        to = to_value(doc, env)
        value = input_value(doc, env)
        form = None if form_expr is None else _format_operand(form_expr.evaluate(doc, env))
        target = _target_operand(to, form)
        if is_nullish(value):
            return None if on_null is None else on_null.evaluate(doc, env)
        if target is None:
            return None
        try:
            return convert(value, target)
        except MongoError as error:
            if on_error is None or error.code != Code.CONVERSION_FAILURE:
                raise
        return on_error.evaluate(doc, env)

    return derive(evaluate, operands.values())


def _format_operand(value: Any) -> str | None:
    if is_nullish(value):
        return None
    if type(value) is not str:
        raise MongoError(
            4341114,
            "$convert requires that 'format' be a string, "
            f"found: {type_name(value)} with value {text_of(value)}",
        )
    if value not in FORMATS:
        raise MongoError(4341125, f"Invalid 'format' argument for $convert: {value}")
    return value


def _target_operand(to: Any, form: str | None) -> Target | None:
    """Return the target, None if the type is nullish."""
    subtype = 0
    if type(to) is dict:
        for field in to:
            if field not in ("type", "subtype"):
                raise MongoError(
                    Code.FAILED_TO_PARSE, f"$convert found an unknown argument: to.{field}"
                )
        if "type" not in to:
            raise MongoError(Code.FAILED_TO_PARSE, "Missing 'to.type' parameter to $convert")
        subtype = _subtype_operand(to.get("subtype"))
        to = to["type"]
    if is_nullish(to):
        return None
    return Target(_type_operand(to), subtype, form)


def _type_operand(to: Any) -> str:
    if type(to) is str:
        if to not in _TYPE_NAMES:
            raise MongoError(Code.BAD_VALUE, f"Unknown type name: {to}")
        return to
    if not numeric.is_number(to):
        raise MongoError(
            Code.FAILED_TO_PARSE,
            f"$convert's 'to' argument must be a string or number, but is {type_name(to)}",
        )
    number = numeric.as_int32(to)
    if number is None:
        raise MongoError(
            Code.FAILED_TO_PARSE, "In $convert, numeric 'to' argument is not an integer"
        )
    if number not in TYPE_CODES:
        raise MongoError(
            Code.FAILED_TO_PARSE,
            f"In $convert, numeric value for 'to' does not correspond to a BSON type: {number}",
        )
    return TYPE_CODES[number]


def _subtype_operand(value: Any) -> int:
    if is_nullish(value):
        return 0
    if not numeric.is_number(value):
        raise MongoError(
            4341108,
            "For BinData, $convert's 'subtype' argument must be a number, "
            f"but is {type_name(value)}",
        )
    number = numeric.as_int32(value)
    if number is None:
        raise MongoError(4341106, "In $convert, numeric 'subtype' argument is not an integer")
    if not (0 <= number <= 9 or 128 <= number <= 255):
        raise MongoError(
            4341107,
            "In $convert, numeric value for 'subtype' does not correspond to a BinData type: "
            f"{number}",
        )
    return number


def _short_form(name: str, target: Target) -> Operator:
    def function(value: Any) -> Any:
        return None if is_nullish(value) else convert(value, target)

    return unary(name, function)


OPERATORS: Final[dict[str, Operator]] = {
    "$convert": Operator(_compile_convert),
    "$isNumber": unary("$isNumber", numeric.is_number),
    "$toBool": _short_form("$toBool", Target("bool")),
    "$toDate": _short_form("$toDate", Target("date")),
    "$toDecimal": _short_form("$toDecimal", Target("decimal")),
    "$toDouble": _short_form("$toDouble", Target("double")),
    "$toInt": _short_form("$toInt", Target("int")),
    "$toLong": _short_form("$toLong", Target("long")),
    "$toObjectId": _short_form("$toObjectId", Target("objectId")),
    "$toString": _short_form("$toString", Target("string", form="auto")),
    "$toUUID": _short_form("$toUUID", Target("binData", UUID_SUBTYPE, "uuid")),
    "$type": unary("$type", type_name),
}
