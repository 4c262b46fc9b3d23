"""BSON type codes and their aliases, as `$type` and `$jsonSchema` name them."""

from __future__ import annotations

from typing import Any, Final

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

from psdb_base.errors import Code as ErrorCode
from psdb_base.errors import MongoError
from psdb_base.values import DBPointer, Missing, RawRegex, Symbol, Undefined

TYPE_CODES: Final[dict[str, int]] = {
    "array": 4,
    "binData": 5,
    "bool": 8,
    "date": 9,
    "dbPointer": 12,
    "decimal": 19,
    "double": 1,
    "int": 16,
    "javascript": 13,
    "javascriptWithScope": 15,
    "long": 18,
    "maxKey": 127,
    "minKey": -1,
    "null": 10,
    "object": 3,
    "objectId": 7,
    "regex": 11,
    "string": 2,
    "symbol": 14,
    "timestamp": 17,
    "undefined": 6,
}
TYPE_NAMES: Final[dict[int, str]] = {code: name for name, code in TYPE_CODES.items()}

NUMBER_CODES: Final = (1, 16, 18, 19)
"""What the alias `number` stands for."""

_INT32_MIN: Final = -(2**31)
_INT32_MAX: Final = 2**31 - 1

_CODES_BY_TYPE: Final[dict[type, int]] = {
    Binary: 5,
    DBPointer: 12,
    DatetimeMS: 9,
    Decimal128: 19,
    Int64: 18,
    MaxKey: 127,
    MinKey: -1,
    ObjectId: 7,
    RawRegex: 11,
    Regex: 11,
    Symbol: 14,
    Timestamp: 17,
    Undefined: 6,
    bool: 8,
    bytes: 5,
    dict: 3,
    float: 1,
    int: 16,
    list: 4,
    str: 2,
    type(None): 10,
}


def type_code(value: Any) -> int:
    """Return the BSON type code of a value (plain integers beyond 32 bits are longs)."""
    kind = value.__class__
    code = _CODES_BY_TYPE.get(kind)
    if code == 16 and not _INT32_MIN <= value <= _INT32_MAX:
        return 18
    if code is not None:
        return code
    if kind is Code:
        return 13 if value.scope is None else 15
    if kind is Missing:
        return 0
    msg = f"not a BSON value: {kind.__name__}"
    raise AssertionError(msg)


def parse_types(spec: Any, name: str = "$type") -> tuple[tuple[int, ...], bool]:
    """Read an operand of `$type` into type codes and whether `number` was among them."""
    codes: list[int] = []
    number = False
    for item in spec if isinstance(spec, list) else [spec]:
        if item.__class__ is str and item == "number":
            number = True
            continue
        code = _parse_type(item)
        if code not in codes:
            codes.append(code)
    if not codes and not number:
        raise MongoError(ErrorCode.FAILED_TO_PARSE, f"{name} must match at least one type")
    return tuple(codes), number


def _parse_type(item: Any) -> int:
    kind = item.__class__
    if kind is str:
        code = TYPE_CODES.get(item)
        if code is None:
            raise MongoError(ErrorCode.BAD_VALUE, f"Unknown type name alias: {item}")
        return code
    if kind is Decimal128:
        decimal = item.to_decimal()
        item = float(decimal) if not decimal.is_nan() else float("nan")
    elif kind not in (int, Int64, float):
        raise MongoError(
            ErrorCode.TYPE_MISMATCH, "type must be represented as a number or a string"
        )
    if item in TYPE_NAMES:
        return int(item)
    shown = f"{item:g}" if item.__class__ is float else str(item)
    hint = ". Instead use {$exists:false}." if item == 0 else ""
    raise MongoError(ErrorCode.BAD_VALUE, f"Invalid numerical type code: {shown}{hint}")
