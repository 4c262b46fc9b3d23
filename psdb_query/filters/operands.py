"""Operands of the leaf operators, read and checked with MongoDB's errors."""

from __future__ import annotations

import math
from typing import Any, Final

from bson.binary import Binary
from bson.decimal128 import Decimal128
from bson.regex import Regex as BsonRegex

from psdb_base.errors import Code, MongoError
from psdb_base.exact_codec import regex_options
from psdb_base.values import UNDEFINED, RawRegex
from psdb_query.describe import text_of, type_name
from psdb_query.filters import tree
from psdb_query.filters.predicates import NUMBERS, is_nan, to_int64

_INT32_MAX: Final = 2**31 - 1
_INT64_MAX: Final = 2**63 - 1


def bad_value(message: str) -> MongoError:
    """Make MongoDB's usual parse error (2)."""
    return MongoError(Code.BAD_VALUE, message)


def element_text(name: str, value: Any) -> str:
    """Render a field as error messages show it: `$size: 1.5`, `a: "x"`."""
    shown = text_of(value)
    if value.__class__ is float and not math.isfinite(value):
        shown += ".0"
    return f"{name}: {shown}"


def is_regex(value: Any) -> bool:
    """Tell whether a value is a BSON regular expression."""
    return value.__class__ is BsonRegex or value.__class__ is RawRegex


def parse_comparison(
    path: str, op: tree.CompareOp, value: Any, *, implicit: bool = False
) -> tree.Compare:
    """Read `$eq`, `$gt`, `$gte`, `$lt`, `$lte`."""
    if op != "$eq" and is_regex(value):
        raise bad_value(f"Can't have RegEx as arg to predicate over field '{path}'.")
    if value is UNDEFINED:
        raise bad_value("cannot compare to undefined")
    return tree.Compare(path, op, value, implicit)


def parse_regex_value(path: str, value: Any) -> tree.Regex:
    """Read a regular expression that stands where a value may."""
    return make_regex(path, *regex_options(value), implicit=True)


def make_regex(path: str, pattern: str, options: str, *, implicit: bool = False) -> tree.Regex:
    """Build the node; an invalid pattern or option is an error now, not at the first match."""
    from psdb_query.regex_engine import compile_regex

    compile_regex(pattern, options)
    return tree.Regex(path, pattern, options, implicit)


def parse_regex_document(path: str, spec: dict[str, Any]) -> tree.Regex:
    """Read `$regex` with its `$options` (in either order)."""
    pattern = ""
    options = ""
    for name, value in spec.items():
        if name == "$regex":
            if value.__class__ is str:
                pattern = value
            elif is_regex(value):
                pattern, own = regex_options(value)
                if own:
                    if options:
                        raise MongoError(51074, "options set in both $regex and $options")
                    options = own
            else:
                raise bad_value("$regex has to be a string")
        elif name == "$options":
            if value.__class__ is not str:
                raise bad_value("$options has to be a string")
            if options:
                raise MongoError(51075, "options set in both $regex and $options")
            options = value
    return make_regex(path, pattern, options)


def parse_long(name: str, value: Any) -> int:
    """Read an operand that must be a whole number of 64 bits; FailedToParse (9) otherwise."""
    shown = element_text(name, value)
    kind = value.__class__
    if kind not in NUMBERS:
        raise MongoError(Code.FAILED_TO_PARSE, f"Expected a number in: {shown}")
    if kind is float:
        if math.isnan(value):
            message = f"Expected an integer, but found NaN in: {shown}"
            raise MongoError(Code.FAILED_TO_PARSE, message)
        if not -(2.0**63) <= value < 2.0**63:
            message = f"Cannot represent as a 64-bit integer: {shown}"
            raise MongoError(Code.FAILED_TO_PARSE, message)
        if not value.is_integer():
            raise MongoError(Code.FAILED_TO_PARSE, f"Expected an integer: {shown}")
    whole = to_int64(value)
    if whole is None or (kind is Decimal128 and value.to_decimal() != whole):
        message = f"Cannot represent as a 64-bit integer: {shown}"
        raise MongoError(Code.FAILED_TO_PARSE, message)
    return whole


def parse_non_negative_long(name: str, value: Any) -> int:
    """Read a whole number that is not negative."""
    whole = parse_long(name, value)
    if whole < 0:
        message = f"Expected a non-negative number in: {element_text(name, value)}"
        raise MongoError(Code.FAILED_TO_PARSE, message)
    return whole


def parse_size(path: str, value: Any) -> tree.Size:
    """Read `$size`."""
    try:
        count = parse_non_negative_long("$size", value)
    except MongoError as error:
        raise bad_value(f"Failed to parse $size. {error.message}") from None
    if count > _INT32_MAX:
        shown = element_text("$size", value)
        message = f"Failed to parse $size. Cannot represent {shown} in an int"
        raise bad_value(message)
    return tree.Size(path, count)


def parse_mod(path: str, value: Any) -> tree.Mod:
    """Read `$mod: [divisor, remainder]`; fractions are cut off."""
    if value.__class__ is not list:
        raise bad_value("malformed mod, needs to be an array")
    if len(value) < 2:
        raise bad_value("malformed mod, not enough elements")
    if value[0].__class__ not in NUMBERS:
        raise bad_value("malformed mod, divisor not a number")
    if value[1].__class__ not in NUMBERS:
        raise bad_value("malformed mod, remainder not a number")
    if len(value) > 2:
        raise bad_value("malformed mod, too many elements")
    divisor = _mod_number(value[0], "divisor")
    if divisor == 0:
        raise bad_value("divisor cannot be 0")
    return tree.Mod(path, divisor, _mod_number(value[1], "remainder"))


def _mod_number(value: Any, role: str) -> int:
    prefix = f"malformed mod, {role} value is invalid :: caused by :: "
    whole = to_int64(value)
    if whole is not None:
        return whole
    finite = math.isfinite(value) if value.__class__ is float else value.to_decimal().is_finite()
    if not finite:
        raise bad_value(f"{prefix}Unable to coerce NaN/Inf to integral type")
    raise bad_value(f"{prefix}Out of bounds coercing to integral value")


def parse_bits(path: str, op: tree.BitsOp, value: Any) -> tree.Bits:
    """Read a bit mask: a number, binary data, or an array of bit positions."""
    kind = value.__class__
    if kind is list:
        mask = 0
        for index, item in enumerate(value):
            mask |= 1 << _bit_position(index, item)
        return tree.Bits(path, op, mask)
    if kind in NUMBERS:
        return tree.Bits(path, op, parse_non_negative_long(op, value))
    if kind is bytes or kind is Binary:
        return tree.Bits(path, op, int.from_bytes(value, "little"))
    shown = element_text(op, value)
    raise bad_value(f"{path} takes an Array, a number, or a BinData but received: {shown}")


_BIT_POSITION_MAX: Final = 16 * 1024 * 1024 * 8
"""No document holds a bit further out: a mask beyond it would only cost memory."""


def _bit_position(index: int, item: Any) -> int:
    name = str(index)
    try:
        position = parse_non_negative_long(name, item)
        if position > _INT32_MAX:
            message = f"Cannot represent {element_text(name, item)} in an int"
            raise MongoError(Code.FAILED_TO_PARSE, message)
    except MongoError as error:
        raise bad_value(f"Failed to parse bit position. {error.message}") from None
    return min(position, _BIT_POSITION_MAX)


def is_true(value: Any) -> bool:
    """Tell MongoDB's truth of an operand: not false, null, undefined or a zero."""
    kind = value.__class__
    if kind is Decimal128:
        return not value.to_decimal().is_zero()
    if kind in NUMBERS:
        return bool(value != 0)
    return value is not False and value is not None and value is not UNDEFINED


def parse_one(name: str, value: Any) -> None:
    """Check the operand of `$alwaysTrue` and `$alwaysFalse`, which must be 1."""
    if parse_long(name, value) != 1:
        raise MongoError(Code.FAILED_TO_PARSE, f"{name} must be an integer value of 1")


def parse_rate(value: Any) -> float:
    """Read `$sampleRate`."""
    if value.__class__ not in NUMBERS:
        raise bad_value("argument to $sampleRate must be a numeric type")
    number: Any = value.to_decimal() if value.__class__ is Decimal128 else value
    if is_nan(value) or not 0 <= number <= 1:
        raise bad_value("numeric argument to $sampleRate must be in [0, 1]")
    return float(number)


def parse_text(value: Any) -> tree.Text:
    """Read `$text`."""
    if value.__class__ is not dict:
        raise MongoError(Code.TYPE_MISMATCH, "$text expects an object")
    known = {"$caseSensitive": bool, "$diacriticSensitive": bool, "$language": str, "$search": str}
    for name, item in value.items():
        kind = known.get(name)
        if kind is None:
            raise bad_value("extra fields in $text")
        if item.__class__ is not kind:
            wanted = "string" if kind is str else "boolean"
            message = f'"{name}" had the wrong type. Expected {wanted}, found {type_name(item)}'
            raise MongoError(Code.TYPE_MISMATCH, message)
    if "$search" not in value:
        raise MongoError(Code.NO_SUCH_KEY, 'Missing expected field "$search"')
    return tree.Text(
        value["$search"],
        value.get("$language"),
        value.get("$caseSensitive", False),
        value.get("$diacriticSensitive", False),
    )


def near_first(context: dict[str, Any]) -> MongoError:
    """Make the error for a `$near` that is not its field's first operator."""
    return bad_value(f"near must be first in: {text_of(context)}")
