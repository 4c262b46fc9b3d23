"""String operators, by byte and by code point.

Case changes only ASCII letters. Operators that coerce (`$toLower`, `$substr`, `$strcasecmp`)
make text of numbers, dates and timestamps and an empty text of null; see `coerce_to_string`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from bson.code import Code as JavaScript
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.timestamp import Timestamp

from psdb_base.errors import MongoError
from psdb_base.limits import DOCUMENT_INTERNAL_BYTES_MAX
from psdb_base.values import MISSING, Symbol
from psdb_query import numeric
from psdb_query.context import CompileContext, Env
from psdb_query.describe import text_of, type_name
from psdb_query.expressions.core import (
    Expr,
    Named,
    Operator,
    binary,
    compile_args,
    compile_named,
    derive,
    is_nullish,
    named,
    nary,
    unary,
)

_WHITESPACE: Final = (
    "\0\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
)
"""What the trimming operators cut when they are not given characters."""
_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_UPPER: Final = {lower: lower - 32 for lower in range(ord("a"), ord("z") + 1)}
_MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip


def coerce_to_string(value: Any) -> str:
    """Make text of a value as `$toLower` does; 16007 for types that have none.

    Doubles get six significant digits, as C++ streams print them.
    """
    kind = type(value)
    if kind is str:
        return str(value)
    if is_nullish(value):
        return ""
    if kind is int or kind is Int64:
        return str(int(value))
    if kind is float:
        return f"{value:g}"
    if kind is Decimal128:
        return "NaN" if numeric.decimal_of(value).is_nan() else str(value)
    if kind is DatetimeMS:
        from psdb_query.expressions.date_strings import iso_text

        return iso_text(int(value))
    if kind is Timestamp:
        return _timestamp_text(value)
    if kind is Symbol:
        return str(value.name)
    if kind is JavaScript and value.scope is None:
        return str(value)
    raise MongoError(16007, f"can't convert from BSON type {type_name(value)} to String")


def _timestamp_text(value: Timestamp) -> str:
    from psdb_query.expressions.calendar import split

    at = split(value.time * 1000)
    month = _MONTHS[at.month - 1]
    return f"{month} {at.day:2d} {at.hour:02d}:{at.minute:02d}:{at.second:02d}:{value.inc}"


def to_lower(text: str) -> str:
    """Lower ASCII letters and no others."""
    return text.lower() if text.isascii() else text.translate(_LOWER)


def to_upper(text: str) -> str:
    """Raise ASCII letters and no others."""
    return text.upper() if text.isascii() else text.translate(_UPPER)


def bytes_length(text: str) -> int:
    """Return the length of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def _check_size(characters: int, text: str = "") -> None:
    """Refuse results that no document can hold, before they are built where possible."""
    if characters <= DOCUMENT_INTERNAL_BYTES_MAX // 4:
        return
    if characters > DOCUMENT_INTERNAL_BYTES_MAX or (
        text and bytes_length(text) > DOCUMENT_INTERNAL_BYTES_MAX
    ):
        raise MongoError(16493, "Tried to create string longer than 16MB")


def _compile_concat(spec: Any, ctx: CompileContext) -> Expr:
    operands = compile_args(spec, ctx, "$concat")
    evaluates = [operand.evaluate for operand in operands]

    def evaluate(doc: Any, env: Env) -> Any:
        pieces = []
        for operand in evaluates:
            value = operand(doc, env)
            if type(value) is not str:
                if is_nullish(value):
                    return None
                raise MongoError(16702, f"$concat only supports strings, not {type_name(value)}")
            pieces.append(value)
        _check_size(sum(map(len, pieces)))
        text = "".join(pieces)
        _check_size(len(text), text)
        return text

    return derive(evaluate, operands)


def _strcasecmp(left: Any, right: Any) -> int:
    first, second = to_upper(coerce_to_string(left)), to_upper(coerce_to_string(right))
    return (first > second) - (first < second)


def _length(name: str, code: int, measure: Callable[[str], int]) -> Operator:
    def apply(value: Any) -> int:
        if type(value) is not str:
            raise MongoError(code, f"{name} requires a string argument, found: {type_name(value)}")
        return measure(value)

    return unary(name, apply)


# $substr, $substrBytes and $substrCP.


def _substr_bytes(values: list[Any]) -> str:
    given, start, length = values
    text = coerce_to_string(given)
    if type(start) not in numeric.RANKS:
        raise MongoError(
            16034,
            "$substrBytes:  starting index must be a numeric type "
            f"(is BSON type {type_name(start)})",
        )
    if type(length) not in numeric.RANKS:
        raise MongoError(
            16035,
            f"$substrBytes:  length must be a numeric type (is BSON type {type_name(length)})",
        )
    first = numeric.coerce_to_long(start)
    if first < 0:
        raise MongoError(
            50752, f"$substrBytes:  starting index must be non-negative (got: {first})"
        )
    raw = text.encode()
    count = numeric.coerce_to_long(length)
    end = len(raw) if count < 0 else first + count
    if _continues(raw, first):
        raise MongoError(
            28656,
            "$substrBytes:  Invalid range, starting index is a UTF-8 continuation byte.",
        )
    if _continues(raw, end):
        raise MongoError(
            28657,
            "$substrBytes:  Invalid range, ending index is in the middle of a UTF-8 character.",
        )
    return raw[first:end].decode()


def _continues(raw: bytes, index: int) -> bool:
    return index < len(raw) and raw[index] & 0xC0 == 0x80


def _substr_cp(values: list[Any]) -> str:
    given, start, length = values
    text = coerce_to_string(given)
    first = _index_of_substr("starting index", start, 34450, 34451)
    count = _index_of_substr("length", length, 34452, 34453)
    if count < 0:
        raise MongoError(34454, "$substrCP: length must be a nonnegative integer.")
    if first < 0:
        raise MongoError(34455, "$substrCP: the starting index must be nonnegative integer.")
    return text[first : first + count]


def _index_of_substr(what: str, value: Any, not_number: int, not_whole: int) -> int:
    if type(value) not in numeric.RANKS:
        raise MongoError(
            not_number,
            f"$substrCP: {what} must be a numeric type (is BSON type {type_name(value)})",
        )
    found = numeric.as_int32(value)
    if found is None:
        raise MongoError(
            not_whole,
            f"$substrCP: {what} cannot be represented as a 32-bit integral value: {text_of(value)}",
        )
    return found


# $indexOfBytes and $indexOfCP.


def _index_of(name: str, codes: tuple[int, int], units: Callable[[str], Any]) -> Operator:
    """Return the search operator; `units` gives what is counted (bytes or code points)."""

    def compile_index(spec: Any, ctx: CompileContext) -> Expr:
        operands = compile_args(spec, ctx, name, 2, 4)
        first, *rest = [operand.evaluate for operand in operands]

        def evaluate(doc: Any, env: Env) -> Any:
            given = first(doc, env)
            if is_nullish(given):
                return None
            _require_string(name, "first", given, codes[0])
            token, *bounds = [operand(doc, env) for operand in rest]
            _require_string(name, "second", token, codes[1])
            text = units(given)
            start = _bound(name, "starting index", bounds[0]) if bounds else 0
            end = _bound(name, "ending index", bounds[1]) if len(bounds) == 2 else len(text)
            if start > len(text) or end < start:
                return -1
            return text.find(units(token), start, min(end, len(text)))

        return derive(evaluate, operands)

    return Operator(compile_index)


def _require_string(name: str, which: str, value: Any, code: int) -> None:
    if type(value) is not str:
        raise MongoError(
            code, f"{name} requires a string as the {which} argument, found: {type_name(value)}"
        )


def _bound(name: str, what: str, value: Any) -> int:
    found = numeric.as_int32(value) if type(value) in numeric.RANKS else None
    if found is None:
        raise MongoError(
            40096,  # MongoDB's message has no space here either
            f"{name}requires an integral {what}, found a value of type: {type_name(value)}, "
            f"with value: {text_of(value)}",
        )
    if found < 0:
        raise MongoError(40097, f"{name} requires a nonnegative {what}, found: {text_of(value)}")
    return found


# $trim, $ltrim and $rtrim.


def _trimming(name: str, cut: Callable[[str, str], str]) -> Operator:
    fields = Named(
        name,
        required=("input",),
        optional=("chars",),
        not_object=(50696, "{name} only supports an object as an argument, found {type}"),
        unknown=(50694, "{name} found an unknown argument: {field}"),
        missing={"input": (50695, "{name} requires an 'input' field")},
    )

    def compile_trim(spec: Any, ctx: CompileContext) -> Expr:
        operands = compile_named(spec, ctx, fields)
        given = operands["input"].evaluate
        chosen = operands["chars"].evaluate if "chars" in operands else None

        def evaluate(doc: Any, env: Env) -> Any:
            text = given(doc, env)
            if is_nullish(text):
                return None
            if type(text) is not str:
                raise _not_string(name, "its input", text, 50699)
            if chosen is None:
                return cut(text, _WHITESPACE)
            characters = chosen(doc, env)
            if is_nullish(characters):
                return None
            if type(characters) is not str:
                raise _not_string(name, "'chars'", characters, 50700)
            return cut(text, characters) if characters else text

        return derive(evaluate, operands.values())

    return Operator(compile_trim)


def _not_string(name: str, what: str, value: Any, code: int) -> MongoError:
    requires = "requires its input" if what == "its input" else f"requires {what}"
    return MongoError(
        code,
        f"{name} {requires} to be a string, got {text_of(value)} "
        f"(of type {type_name(value)}) instead.",
    )


# $split, $replaceOne and $replaceAll.


def _split(text: Any, separator: Any) -> Any:
    if is_nullish(text) or is_nullish(separator):
        return None
    for which, value, code in (("first", text, 40085), ("second", separator, 40086)):
        if type(value) is not str:
            raise MongoError(
                code,
                f"$split requires an expression that evaluates to a string as a {which} "
                f"argument, found: {type_name(value)}",
            )
    if not separator:
        raise MongoError(40087, "$split requires a non-empty separator")
    return text.split(separator)


def _replacing(name: str, count: int) -> Operator:
    """Return the operator that replaces `count` occurrences, all for -1."""
    fields = Named(
        name,
        required=("input", "find", "replacement"),
        not_object=(51751, "{name} requires an object as an argument, found: {type}"),
        unknown=(51750, "{name} found an unknown argument: {field}"),
        missing={
            "find": (51748, "{name} requires 'find' to be specified"),
            "input": (51749, "{name} requires 'input' to be specified"),
            "replacement": (51747, "{name} requires 'replacement' to be specified"),
        },
    )

    def replace(text: Any, find: Any, replacement: Any) -> Any:
        for field, value, code in (
            ("input", text, 51746),
            ("find", find, 51745),
            ("replacement", replacement, 51744),
        ):
            if type(value) is not str and not is_nullish(value):
                raise MongoError(
                    code, f"{name} requires that '{field}' be a string, found: {text_of(value)}"
                )
        if is_nullish(text) or is_nullish(find) or is_nullish(replacement):
            return None
        places = 1 if count == 1 else text.count(find)
        _check_size(len(text) + places * (len(replacement) - len(find)))
        result = text.replace(find, replacement, count)
        _check_size(len(result), result)
        return result

    return named(fields, replace, absent=MISSING)


OPERATORS: Final[dict[str, Operator]] = {
    "$concat": Operator(_compile_concat),
    "$indexOfBytes": _index_of("$indexOfBytes", (40091, 40092), str.encode),
    "$indexOfCP": _index_of("$indexOfCP", (40093, 40094), str),
    "$ltrim": _trimming("$ltrim", str.lstrip),
    "$replaceAll": _replacing("$replaceAll", -1),
    "$replaceOne": _replacing("$replaceOne", 1),
    "$rtrim": _trimming("$rtrim", str.rstrip),
    "$split": binary("$split", _split),
    "$strLenBytes": _length("$strLenBytes", 34473, bytes_length),
    "$strLenCP": _length("$strLenCP", 34471, len),
    "$strcasecmp": binary("$strcasecmp", _strcasecmp),
    "$substr": nary("$substrBytes", _substr_bytes, 3, 3),
    "$substrBytes": nary("$substrBytes", _substr_bytes, 3, 3),
    "$substrCP": nary("$substrCP", _substr_cp, 3, 3),
    "$toLower": unary("$toLower", lambda value: to_lower(coerce_to_string(value))),
    "$toUpper": unary("$toUpper", lambda value: to_upper(coerce_to_string(value))),
    "$trim": _trimming("$trim", str.strip),
}
