"""BSON values in words, for error messages: type names and a one-line rendering."""

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

from psdb_base.values import DBPointer, Missing, RawRegex, Symbol, Undefined

TYPE_NAMES: Final[dict[type, str]] = {
    bool: "bool",
    bytes: "binData",
    dict: "object",
    float: "double",
    int: "int",
    list: "array",
    str: "string",
    type(None): "null",
    Binary: "binData",
    Code: "javascript",
    DBPointer: "dbPointer",
    DatetimeMS: "date",
    Decimal128: "decimal",
    Int64: "long",
    MaxKey: "maxKey",
    MinKey: "minKey",
    Missing: "missing",
    ObjectId: "objectId",
    RawRegex: "regex",
    Regex: "regex",
    Symbol: "symbol",
    Timestamp: "timestamp",
    Undefined: "undefined",
}
"""Python type of a BSON value → MongoDB's alias of its BSON type."""


def type_name(value: Any) -> str:
    """Return MongoDB's alias of a value's type (`"int"`, `"javascriptWithScope"`, `"missing"`)."""
    kind = type(value)
    if kind is Code and value.scope is not None:
        return "javascriptWithScope"
    if kind is int and not -0x80000000 <= value <= 0x7FFFFFFF:
        return "long"
    return TYPE_NAMES.get(kind, kind.__name__)


def shown_double(value: float) -> str:
    """Render a double as MongoDB's messages do: 16 digits at most, `1` for 1.0, `inf`, `nan`."""
    return f"{value:.16g}"


def number_text(value: float) -> str:
    """Render a double inside a document: as `shown_double`, with `.0` on whole numbers."""
    text = shown_double(value)
    return f"{text}.0" if text.lstrip("-").isdigit() else text


def _object_text(value: dict[str, Any]) -> str:
    if not value:
        return "{}"
    return "{ " + ", ".join(f"{k}: {text_of(v)}" for k, v in value.items()) + " }"


def text_of(value: Any) -> str:
    """Render a value on one line as MongoDB's error messages do: `{ a: 1, b: [ "x" ] }`."""
    kind = type(value)
    if kind is dict:
        return _object_text(value)
    if kind is list:
        return "[ " + ", ".join(map(text_of, value)) + " ]" if value else "[]"
    if kind is str:
        return f'"{value}"'
    if kind is bool:
        return "true" if value else "false"
    if kind is float:
        return number_text(value)
    if value is None:
        return "null"
    return _scalar_text(value)


def _scalar_text(value: Any) -> str:
    kind = type(value)
    if kind is DatetimeMS:
        return f"new Date({int(value)})"
    if kind is ObjectId:
        return f"ObjectId('{value}')"
    if kind is Timestamp:
        return f"Timestamp({value.time}, {value.inc})"
    if kind is bytes or kind is Binary:
        subtype = getattr(value, "subtype", 0)
        return f"BinData({subtype}, {bytes(value).hex().upper()})"
    if kind is Regex or kind is RawRegex:
        return f"/{_pattern_text(value.pattern)}/"
    if kind is MinKey or kind is MaxKey:
        return kind.__name__
    if kind is Symbol:
        return str(value.name)
    if kind in (Missing, Undefined):
        return type_name(value)
    return str(value)


def _pattern_text(pattern: Any) -> str:
    return pattern.decode("utf-8", "replace") if isinstance(pattern, bytes) else str(pattern)
