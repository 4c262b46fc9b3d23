"""Keywords on types, numbers, strings and single values."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from bson.binary import Binary
from bson.decimal128 import Decimal128

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.describe import type_name
from psdb_query.filters.predicates import NUMBERS, comparison, is_nan
from psdb_query.filters.tree import CompareOp
from psdb_query.filters.types import NUMBER_CODES, TYPE_CODES, type_code
from psdb_query.jsonschema import operands
from psdb_query.jsonschema.rules import Rule, simple

_JSON_TYPES: Final[dict[str, tuple[int, ...]]] = {
    "array": (4,),
    "boolean": (8,),
    "null": (10,),
    "number": NUMBER_CODES,
    "object": (3,),
    "string": (2,),
}
"""Types as JSON Schema names them, for the keyword `type`."""

_BSON_TYPES: Final[dict[str, tuple[int, ...]]] = {
    **{name: (code,) for name, code in TYPE_CODES.items()},
    "number": NUMBER_CODES,
}


_NUMBER_NAMES: Final = ("decimal", "double", "int", "long")


def stated_type(spec: Document) -> int | None:
    """Return the first type code that a schema states, if it states one."""
    for keyword in ("type", "bsonType"):
        if keyword in spec:
            names = spec[keyword]
            return _type_codes(keyword, names[0] if names.__class__ is list else names)[0]
    return None


def type_rule(spec: Document, keyword: str) -> Rule:
    """Compile `type` or `bsonType`."""
    value = spec[keyword]
    names = value if value.__class__ is list else [value]
    if not names:
        operands.invalid(keyword, "must name at least one type")
    codes: set[int] = set()
    for name in names:
        if name.__class__ is not str:
            operands.mismatch(keyword, "must be either a string or an array of strings")
        codes.update(_type_codes(keyword, name))
        if names.count(name) > 1:
            operands.invalid(keyword, f"has duplicate value: {name}")
    wanted = frozenset(codes)

    def explain(value: Any) -> Document:
        return {
            "specifiedAs": {keyword: spec[keyword]},
            "reason": "type did not match",
            "consideredValue": value,
            "consideredType": type_name(value),
        }

    return Rule(keyword, lambda value: type_code(value) in wanted, explain)


def _type_codes(keyword: str, name: str) -> tuple[int, ...]:
    if name == "integer":
        message = f"$jsonSchema type '{name}' is not currently supported."
        raise MongoError(Code.BAD_VALUE, message)
    found = (_JSON_TYPES if keyword == "type" else _BSON_TYPES).get(name)
    if found is None:
        raise MongoError(Code.BAD_VALUE, f"Unknown type name alias: {name}")
    return found


def limit_rule(spec: Document, keyword: str) -> Rule:
    """Compile `minimum` or `maximum` with its `exclusive…`."""
    limit = operands.number(spec, keyword)
    exclusive_name = "exclusive" + keyword.capitalize()
    exclusive = exclusive_name in spec and operands.boolean(spec, exclusive_name)
    op: CompareOp = (
        ("$gt" if exclusive else "$gte")
        if keyword == "minimum"
        else ("$lt" if exclusive else "$lte")
    )
    test = comparison(op, limit)
    specified = {keyword: limit}
    if exclusive_name in spec:
        specified[exclusive_name] = exclusive

    def check(value: Any) -> bool:
        return value.__class__ not in NUMBERS or test(value)

    return simple(keyword, specified, check, "comparison failed", NUMBER_CODES)


def exclusive_check(spec: Document, keyword: str) -> None:
    """Refuse `exclusiveMinimum` without `minimum` (and the like)."""
    operands.boolean(spec, keyword)
    partner = "minimum" if keyword == "exclusiveMinimum" else "maximum"
    if partner not in spec:
        message = f"$jsonSchema keyword '{partner}' must be a present if {keyword} is present"
        raise MongoError(Code.FAILED_TO_PARSE, message)


def multiple_rule(spec: Document, keyword: str) -> Rule:
    """Compile `multipleOf`."""
    divisor = operands.number(spec, keyword)
    step = _fraction(divisor)
    if step is None or step <= 0:
        operands.invalid(keyword, "must have a positive value")

    def check(value: Any) -> bool:
        if value.__class__ not in NUMBERS:
            return True
        number = _fraction(value)
        return number is not None and number % step == 0

    reason = "considered value is not a multiple of the specified value"
    return simple(keyword, {keyword: divisor}, check, reason, NUMBER_CODES, _NUMBER_NAMES)


def _fraction(value: Any) -> Fraction | None:
    """Return the exact value of a number; a double counts with its first 15 digits."""
    if is_nan(value):
        return None
    if value.__class__ is Decimal128:
        decimal: Decimal = value.to_decimal()
        return Fraction(decimal) if decimal.is_finite() else None
    if value.__class__ is float:
        return Fraction(f"{value:.15g}") if abs(value) != float("inf") else None
    return Fraction(int(value))


def length_rule(spec: Document, keyword: str) -> Rule:
    """Compile `minLength` or `maxLength`, counted in code points."""
    limit = operands.count(spec, keyword)
    least = keyword == "minLength"

    def check(value: Any) -> bool:
        if value.__class__ is not str:
            return True
        return len(value) >= limit if least else len(value) <= limit

    reason = "specified string length was not satisfied"
    return simple(keyword, {keyword: spec[keyword]}, check, reason, (2,), ("string",))


def pattern_rule(spec: Document, keyword: str) -> Rule:
    """Compile `pattern`."""
    from psdb_query.regex_engine import compile_regex

    found = compile_regex(operands.string(spec, keyword)).test

    def check(value: Any) -> bool:
        return value.__class__ is not str or found(value)

    reason = "regular expression did not match"
    expected = ("regex", "string", "symbol")
    return simple(keyword, {keyword: spec[keyword]}, check, reason, (2,), expected)


def enum_rule(spec: Document, keyword: str) -> Rule:
    """Compile `enum`: equality with one of the values, fields of objects in any order."""
    values = spec[keyword]
    if values.__class__ is not list:
        operands.mismatch(
            keyword, f"must be an array, but found an element of type {type_name(values)}"
        )
    if not values:
        operands.invalid(keyword, "cannot be an empty array")
    keys = frozenset(operands.unordered_key(value) for value in values)
    if len(keys) != len(values):
        operands.invalid(keyword, "array cannot contain duplicate values.")

    def check(value: Any) -> bool:
        return operands.unordered_key(value) in keys

    return simple(keyword, {keyword: values}, check, "value was not found in enum")


_ENCRYPTED_SUBTYPE: Final = 6
_ORIGINAL_TYPE_BYTE: Final = 17
"""Where an encrypted value says what type it had: after the algorithm and the key's UUID."""


def encrypt_rule(spec: Document, keyword: str) -> Rule:
    """Compile `encrypt`: binary data that a driver encrypted, of certain types if so told."""
    options = operands.document(spec, keyword)
    for name in options:
        if name not in ("algorithm", "bsonType", "keyId"):
            message = f"BSON field 'encrypt.{name}' is an unknown field."
            raise MongoError(40415, message)
    for other in ("bsonType", "type"):
        if other in spec:
            operands.invalid(keyword, f"cannot be used in conjunction with '{other}'")
    wanted: frozenset[int] | None = None
    if "bsonType" in options:
        names = options["bsonType"]
        names = names if names.__class__ is list else [names]
        wanted = frozenset(
            code
            for name in names
            for code in _type_codes("bsonType", operands.string({"bsonType": name}, "bsonType"))
        )

    def check(value: Any) -> bool:
        if value.__class__ is not Binary or value.subtype != _ENCRYPTED_SUBTYPE:
            return False
        if wanted is None:
            return True
        return len(value) > _ORIGINAL_TYPE_BYTE and value[_ORIGINAL_TYPE_BYTE] in wanted

    def explain(value: Any) -> Document:
        encrypted = value.__class__ is Binary and value.subtype == _ENCRYPTED_SUBTYPE
        reason = "encrypted value has wrong type" if encrypted else "value was not encrypted"
        return {"reason": reason}

    return Rule(keyword, check, explain)
