"""The total order of BSON values: comparison, order-preserving byte keys, identity.

Types rank as MongoDB ranks them: minKey, undefined and `MISSING`, null, numbers, string and symbol,
object, array, binData, objectId, bool, date, timestamp, regex, dbPointer, code, code with scope,
maxKey. `MISSING` equals undefined here; index keys and `$sort` turn it into null themselves.

Within numbers NaN is least and equal to itself, -0.0 equals 0.0, and the four kinds compare by
their exact values (no rounding between int64, double and Decimal128).

`key` gives bytes whose order is `compare`'s and whose equality is `equal`'s, so they serve as index
keys and as dictionary keys. The language of keys is prefix-free: keys concatenate to compound keys,
and `descending` may turn any component round. A key is one lead byte (rank + 2) and then:

| value | bytes |
|---|---|
| number | d = largest double ≤ x (big-endian, sign flipped), 00 if x = d, else 01, x in decimal |
| string | UTF-8 with 00 written as 00 01, then 00 00 |
| object | for each field: lead byte, name, 00, rest of the value's key; then 00 |
| array | for each element its key; then 00 |
| binData | length (4), subtype, bytes |
| others | their bytes, fixed in size or ended by 00 |
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from itertools import repeat
from typing import Any, Final, Protocol

from bson.binary import Binary
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp

from psdb_base import bson_codec, decimal_bits
from psdb_base.exact_codec import regex_options
from psdb_base.values import DBPointer, Missing, RawRegex, Symbol, Undefined


class Collation(Protocol):
    """What orders strings in place of their UTF-8 bytes."""

    def sort_key(self, text: str) -> bytes:
        """Return bytes whose order is the collation's."""
        ...


RANK_MIN_KEY: Final = -1
RANK_UNDEFINED: Final = 0
RANK_NULL: Final = 5
RANK_NUMBER: Final = 10
RANK_STRING: Final = 15
RANK_OBJECT: Final = 20
RANK_ARRAY: Final = 25
RANK_BINARY: Final = 30
RANK_OBJECT_ID: Final = 35
RANK_BOOL: Final = 40
RANK_DATE: Final = 45
RANK_TIMESTAMP: Final = 47
RANK_REGEX: Final = 50
RANK_DB_POINTER: Final = 55
RANK_CODE: Final = 60
RANK_CODE_WITH_SCOPE: Final = 65
RANK_MAX_KEY: Final = 127

_RANKS: Final[dict[type, int]] = {
    Binary: RANK_BINARY,
    bool: RANK_BOOL,
    bytes: RANK_BINARY,
    Code: RANK_CODE,
    DatetimeMS: RANK_DATE,
    DBPointer: RANK_DB_POINTER,
    Decimal128: RANK_NUMBER,
    dict: RANK_OBJECT,
    float: RANK_NUMBER,
    int: RANK_NUMBER,
    Int64: RANK_NUMBER,
    list: RANK_ARRAY,
    MaxKey: RANK_MAX_KEY,
    MinKey: RANK_MIN_KEY,
    Missing: RANK_UNDEFINED,
    type(None): RANK_NULL,
    ObjectId: RANK_OBJECT_ID,
    RawRegex: RANK_REGEX,
    Regex: RANK_REGEX,
    str: RANK_STRING,
    Symbol: RANK_STRING,
    Timestamp: RANK_TIMESTAMP,
    Undefined: RANK_UNDEFINED,
}

_LEAD_BIAS: Final = 2
_EXACT_INT: Final = 1 << 53
_INT32_LIMIT: Final = 1 << 31
_INVERTED: Final = bytes(255 - byte for byte in range(256))
_pack_double: Final = struct.Struct(">d").pack
_pack_number: Final = struct.Struct(">Bdx").pack
_pack_date: Final = struct.Struct(">BQ").pack
_pack_timestamp: Final = struct.Struct(">BII").pack
_pack_binary: Final = struct.Struct(">BIB").pack


def _lead(rank: int) -> bytes:
    return bytes((rank + _LEAD_BIAS,))


_NUMBER: Final = _lead(RANK_NUMBER)
_NUMBER_BYTE: Final = RANK_NUMBER + _LEAD_BIAS
_STRING: Final = _lead(RANK_STRING)
_OBJECT: Final = _lead(RANK_OBJECT)
_ARRAY: Final = _lead(RANK_ARRAY)
OBJECT_ID_LEAD: Final = _lead(RANK_OBJECT_ID)
"""An ObjectId's key is this and its twelve bytes."""
_ZERO: Final = _pack_number(_NUMBER_BYTE, -0.0)
_NAN: Final = _NUMBER + bytes(9)
_NULL: Final = _lead(RANK_NULL)


def type_rank(value: Any) -> int:
    """Return the canonical rank of a value's type (MongoDB's numbers: -1, 0, 5, … 127)."""
    rank = _RANKS[type(value)]
    if rank == RANK_CODE and value.scope is not None:
        return RANK_CODE_WITH_SCOPE
    return rank


def bracket(rank: int) -> tuple[bytes, bytes]:
    """Return bounds of all keys of one canonical type: `low <= key(value) < high`."""
    return _lead(rank), _lead(rank + 1)


def key(value: Any, collation: Collation | None = None) -> bytes:
    """Return the order-preserving, prefix-free key of a value.

    Args:
        value: Any BSON value, or `MISSING`.
        collation: Orders strings at every depth (not field names); None is by UTF-8 bytes.

    """
    kind = type(value)
    if kind is ObjectId:
        return OBJECT_ID_LEAD + value.binary  # type: ignore[no-any-return]
    if kind is int or kind is Int64:
        if 0 < value <= _EXACT_INT:
            # A positive double with its sign bit set is the key: so is the negative's bytes.
            return _pack_number(_NUMBER_BYTE, -value)
    elif kind is str and collation is None and "\0" not in value:
        return b"%b%b\0\0" % (_STRING, value.encode())
    return _KEYS[kind](value, collation)


def descending(key: bytes) -> bytes:
    """Turn the order of keys round; applied to one whole component of a compound key."""
    return key.translate(_INVERTED)


def compare(a: Any, b: Any, collation: Collation | None = None) -> int:
    """Return -1, 0 or 1 as `a` sorts before, with or after `b`."""
    kind = type(a)
    if kind is type(b):
        if kind is int or kind is Int64 or (kind is str and collation is None):
            return int(a > b) - int(a < b)
    left, right = type_rank(a), type_rank(b)
    if left != right:
        return -1 if left < right else 1
    return _compare_same(left, a, b, collation)


def equal(a: Any, b: Any, collation: Collation | None = None) -> bool:
    """Tell whether two values are the same by the order: 1, 1.0 and Int64(1) are."""
    kind = type(a)
    if kind is type(b):
        if kind is int or kind is ObjectId or (kind is str and collation is None):
            return bool(a == b)
    return compare(a, b, collation) == 0


def identical(a: Any, b: Any) -> bool:
    """Tell whether two values are the same BSON, type and bits included (1 and 1.0 are not)."""
    kind = type(a)
    if kind is type(b):
        if kind is int or kind is str or kind is ObjectId or kind is bool or a is None:
            return bool(a == b)
    elif kind is Missing or type(b) is Missing:
        return False
    if a is b:
        return True
    return bson_codec.encode({"": a}) == bson_codec.encode({"": b})


# Numbers


def _floor_double(number: int | Decimal128) -> tuple[float, bytes]:
    """Return the largest double ≤ the number, and the tail that tells the number from it."""
    if type(number) is not Decimal128:
        integer = int(number)  # type: ignore[arg-type]
        nearest = float(integer)
        if nearest == integer:
            return nearest, b"\0"
        floor = nearest if nearest < integer else math.nextafter(nearest, -math.inf)
        return floor, _tail(integer < 0, abs(integer), 0)
    parts = decimal_bits.parts(number)
    if parts.kind == "nan":
        return math.nan, b"\0"
    if parts.kind == "infinity":
        return (-math.inf if parts.negative else math.inf), b"\0"
    if parts.coefficient == 0:
        return 0.0, b"\0"
    return _floor_decimal(parts)


def _floor_decimal(parts: decimal_bits.Parts) -> tuple[float, bytes]:
    """`_floor_double` of a finite decimal that is not zero."""
    tail = _tail(parts.negative, parts.coefficient, parts.exponent)
    adjusted = parts.exponent + len(str(parts.coefficient)) - 1
    if adjusted > 309:
        return (-math.inf if parts.negative else math.nextafter(math.inf, 0.0)), tail
    if adjusted < -326:
        return (-math.ulp(0.0) if parts.negative else 0.0), tail
    nearest = float(decimal_bits.text(parts))
    if math.isinf(nearest):
        return (nearest if nearest < 0 else math.nextafter(math.inf, 0.0)), tail
    top, bottom = nearest.as_integer_ratio()
    coefficient = -parts.coefficient if parts.negative else parts.coefficient
    if parts.exponent >= 0:
        left, right = coefficient * 10**parts.exponent * bottom, top
    else:
        left, right = coefficient * bottom, top * 10**-parts.exponent
    if left == right:
        return nearest, b"\0"
    return (nearest if right < left else math.nextafter(nearest, -math.inf)), tail


def _tail(negative: bool, coefficient: int, exponent: int) -> bytes:
    """Encode a number in decimal: order-preserving among numbers of one sign, self-delimiting."""
    digits = str(coefficient)
    adjusted = exponent + len(digits) - 1
    body = b"%b%b\0" % ((adjusted + 8192).to_bytes(2, "big"), digits.rstrip("0").encode())
    return b"\1" + (body.translate(_INVERTED) if negative else body)


def _key_double(value: float) -> bytes:
    """Lead byte and the eight bytes of a double, without the tail."""
    if value > 0:
        return _NUMBER + _pack_double(-value)
    if value < 0:
        return _NUMBER + _pack_double(value).translate(_INVERTED)
    return _ZERO[:-1] if value == 0 else _NAN[:-1]


def _key_float(value: float, _: Collation | None) -> bytes:
    if value > 0:
        return _pack_number(_NUMBER_BYTE, -value)
    return _key_double(value) + b"\0"


def _key_inexact(value: int | Decimal128, _: Collation | None) -> bytes:
    floor, tail = _floor_double(value)
    return _key_double(floor) + tail


def _compare_numbers(a: Any, b: Any) -> int:
    if type(a) is Decimal128 or type(b) is Decimal128:
        a, left = (a, b"\0") if type(a) is float else _floor_double(a)
        b, right = (b, b"\0") if type(b) is float else _floor_double(b)
        if a == b or (a != a and b != b):
            return (left > right) - (left < right)
    if a < b:
        return -1
    if a > b:
        return 1
    return 0 if a == b else int(a == a) - int(b == b)


# Other kinds


def _escaped(raw: bytes) -> bytes:
    return raw.replace(b"\0", b"\0\1") + b"\0\0"


def _text_bytes(text: str, collation: Collation | None) -> bytes:
    return text.encode() if collation is None else collation.sort_key(text)


def _key_object(value: Mapping[str, Any], collation: Collation | None) -> bytes:
    out = [_OBJECT]
    for name, field in value.items():
        field_key = key(field, collation)
        out.append(b"%b%b\0%b" % (field_key[:1], name.encode(), field_key[1:]))
    out.append(b"\0")
    return b"".join(out)


def _key_array(value: list[Any], collation: Collation | None) -> bytes:
    # `map` rather than a comprehension: one frame less for each level of nesting.
    return b"%b%b\0" % (_ARRAY, b"".join(map(key, value, repeat(collation))))


def _key_binary(value: bytes, _: Collation | None) -> bytes:
    subtype = getattr(value, "subtype", 0)
    if subtype == 2:
        # The old binary type carries its length twice; the order counts the second one as data.
        value = len(value).to_bytes(4, "little") + bytes(value)
    return _pack_binary(RANK_BINARY + _LEAD_BIAS, len(value), subtype) + value


def _key_date(value: DatetimeMS, _: Collation | None) -> bytes:
    return _pack_date(RANK_DATE + _LEAD_BIAS, int(value) + (1 << 63))


def _key_timestamp(value: Timestamp, _: Collation | None) -> bytes:
    return _pack_timestamp(RANK_TIMESTAMP + _LEAD_BIAS, value.time, value.inc)


def _key_regex(value: Regex[Any] | RawRegex, _: Collation | None) -> bytes:
    pattern, options = regex_options(value)
    return b"%b%b\0%b\0" % (_lead(RANK_REGEX), pattern.encode(), options.encode())


def _key_db_pointer(value: DBPointer, _: Collation | None) -> bytes:
    name = value.namespace.encode()
    head = _lead(RANK_DB_POINTER) + len(name).to_bytes(4, "big")
    return head + name + value.id.binary


def _key_code(value: Code, collation: Collation | None) -> bytes:
    text = _escaped(str(value).encode())
    if value.scope is None:
        return _lead(RANK_CODE) + text
    return _lead(RANK_CODE_WITH_SCOPE) + text + _key_object(value.scope, collation)


_KEYS: Final[dict[type, Callable[[Any, Collation | None], bytes]]] = {
    Binary: _key_binary,
    bool: lambda value, _: b"\x2a\x01" if value else b"\x2a\x00",
    bytes: _key_binary,
    Code: _key_code,
    DatetimeMS: _key_date,
    DBPointer: _key_db_pointer,
    Decimal128: _key_inexact,
    dict: _key_object,
    float: _key_float,
    int: _key_inexact,
    Int64: _key_inexact,
    list: _key_array,
    MaxKey: lambda _value, _: b"\x81",
    MinKey: lambda _value, _: b"\x01",
    Missing: lambda _value, _: b"\x02",
    type(None): lambda _value, _: _NULL,
    ObjectId: lambda value, _: OBJECT_ID_LEAD + value.binary,
    RawRegex: _key_regex,
    Regex: _key_regex,
    str: lambda value, collation: _STRING + _escaped(_text_bytes(value, collation)),
    Symbol: lambda value, collation: _STRING + _escaped(_text_bytes(value.name, collation)),
    Timestamp: _key_timestamp,
    Undefined: lambda _value, _: b"\x02",
}


# Comparison of two values of one rank


def _compare_same(rank: int, a: Any, b: Any, collation: Collation | None) -> int:
    if rank == RANK_NUMBER:
        return _compare_numbers(a, b)
    if rank == RANK_OBJECT:
        return _compare_objects(a, b, collation)
    if rank == RANK_ARRAY:
        return _compare_arrays(a, b, collation)
    if rank == RANK_DATE:
        a, b = int(a), int(b)
    elif rank != RANK_BOOL:
        a, b = _KEYS[type(a)](a, collation), _KEYS[type(b)](b, collation)
    return int(a > b) - int(a < b)


def _compare_objects(
    a: Mapping[str, Any], b: Mapping[str, Any], collation: Collation | None
) -> int:
    for (name, value), (other_name, other) in zip(a.items(), b.items(), strict=False):
        left, right = type_rank(value), type_rank(other)
        if left != right:
            return -1 if left < right else 1
        if name != other_name:
            return -1 if name < other_name else 1
        order = _compare_same(left, value, other, collation)
        if order:
            return order
    return (len(a) > len(b)) - (len(a) < len(b))


def _compare_arrays(a: list[Any], b: list[Any], collation: Collation | None) -> int:
    for value, other in zip(a, b, strict=False):
        left, right = type_rank(value), type_rank(other)
        if left != right:
            return -1 if left < right else 1
        order = _compare_same(left, value, other, collation)
        if order:
            return order
    return (len(a) > len(b)) - (len(a) < len(b))
