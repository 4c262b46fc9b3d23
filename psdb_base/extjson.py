"""Documents as JSON text: readable lines that give the same BSON bytes back.

A stored document is one JSON value. Int32, finite double (always with a point or an exponent),
string, bool, null, object and array are plain JSON; the rest takes Extended JSON v2:

    {"$oid": hex}  {"$numberLong": text}  {"$numberDecimal": text}  {"$timestamp": {"t", "i"}}
    {"$date": "2026-01-31T23:59:59.999Z"}, outside 1970 to 9999 {"$date": {"$numberLong": text}}
    {"$binary": {"base64", "subType"}}  {"$regularExpression": {"pattern", "options"}}
    {"$code": text}, with scope {"$code": text, "$scope": object}  {"$minKey": 1}  {"$maxKey": 1}

A plain integer beyond 32 bits reads as a long. What this cannot say bit for bit takes the exact
form, a rendering for people beside the BSON itself:

    {"$psdbExact": base64 of the BSON, "readable": object}

These are documents with field names that begin with `$`, repeated names, array keys that do not
count up, NaN or infinity, deprecated types, regex options out of order, non-canonical decimals. As
every document with such a name takes the exact form, no user's document looks like one.
"""

from __future__ import annotations

import math
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from bson.binary import Binary
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.errors import InvalidId
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp

from psdb_base import bson_codec, decimal_bits
from psdb_base.errors import Code as ErrorCode
from psdb_base.errors import MongoError
from psdb_base.exact_codec import make_regex, regex_options
from psdb_base.values import UNDEFINED, DBPointer, Document, RawRegex, Symbol, Undefined

EXACT: Final = "$psdbExact"
"""First field of the exact form."""

_ISO_END_MS: Final = 253_402_300_800_000
"""The first millisecond of the year 10000."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_NAIVE: Final = datetime(1970, 1, 1)  # noqa: DTZ001 -- spells "Z" cheaper than "+00:00"
_MILLISECOND: Final = timedelta(milliseconds=1)
_OPTIONS: Final = (
    orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_DATACLASS
)
_Fragment: Final = orjson.Fragment
_INT32_MIN: Final = -(1 << 31)
_INT32_END: Final = 1 << 31
_INT64_MIN: Final = -(1 << 63)
_INT64_END: Final = 1 << 63
_INTEGER: Final = re.compile(r"[-+]?[0-9]+")
_UUID: Final = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


# Writing


def _base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()


def _say_binary(value: bytes) -> Any:
    subtype = getattr(value, "subtype", 0)
    return {"$binary": {"base64": _base64(value), "subType": f"{subtype:02x}"}}


def _say_code(value: Code) -> Any:
    if value.scope is None:
        return {"$code": str(value)}
    return {"$code": str(value), "$scope": value.scope}


def _say_date(value: DatetimeMS) -> Any:
    ms = int(value)
    if 0 <= ms < _ISO_END_MS:
        iso = (_EPOCH_NAIVE + timedelta(0, 0, 0, ms)).isoformat(timespec="milliseconds")
        return _Fragment('{"$date":"%sZ"}' % iso)  # noqa: UP031 -- braces would be doubled
    return {"$date": {"$numberLong": str(ms)}}


def _say_decimal(value: Decimal128) -> Any:
    parts = decimal_bits.parts(value)
    if not parts.canonical:
        raise TypeError("the bits of this decimal have no text")
    return {"$numberDecimal": decimal_bits.text(parts)}


def _say_regex(value: Regex[Any] | RawRegex) -> Any:
    pattern, options = regex_options(value)
    return {"$regularExpression": {"pattern": pattern, "options": options}}


_SAY: Final[dict[type, Callable[[Any], Any]]] = {
    Binary: _say_binary,
    bytes: _say_binary,
    Code: _say_code,
    DatetimeMS: _say_date,
    Decimal128: _say_decimal,
    Int64: lambda value: _Fragment(b'{"$numberLong":"%d"}' % value),
    MaxKey: lambda _: {"$maxKey": 1},
    MinKey: lambda _: {"$minKey": 1},
    ObjectId: lambda value: _Fragment('{"$oid":"' + value.binary.hex() + '"}'),
    Regex: _say_regex,
    Timestamp: lambda value: {"$timestamp": {"t": value.time, "i": value.inc}},
}
"""How to write each type that JSON lacks; only what every reader of the line knows."""


def _hook(value: Any) -> Any:
    return _SAY[type(value)](value)


def _say_float(value: float) -> Any:
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return {"$numberDouble": "NaN"}
    return {"$numberDouble": "Infinity" if value > 0 else "-Infinity"}


def _say_lossy_decimal(value: Decimal128) -> Any:
    return {"$numberDecimal": decimal_bits.text(decimal_bits.parts(value))}


def _rendered(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value if (render := _RENDER.get(type(value))) is None else render(value)
        for name, value in fields.items()
    }


def _rendered_array(values: list[Any]) -> list[Any]:
    return [
        value if (render := _RENDER.get(type(value))) is None else render(value) for value in values
    ]


_RENDER: Final[dict[type, Callable[[Any], Any]]] = {
    **_SAY,
    Code: lambda value: _rendered(_say_code(value)),
    DBPointer: lambda value: {
        "$dbPointer": {"$ref": value.namespace, "$id": {"$oid": str(value.id)}}
    },
    Decimal128: _say_lossy_decimal,
    dict: _rendered,
    float: _say_float,
    list: _rendered_array,
    RawRegex: _say_regex,
    Symbol: lambda value: {"$symbol": value.name},
    Undefined: lambda _: {"$undefined": True},
}
"""How to render any value for people, types that a plain line never holds included."""


def to_json(doc: Mapping[str, Any]) -> bytes:
    """Write a document as one line of readable Extended JSON, without a newline.

    `from_json` gives an equal document back unless field names begin with `$` or decimals and NaN
    have bits that text cannot say; `document_line` is the exact one.
    """
    return orjson.dumps(_rendered(doc), _hook, _OPTIONS)


def document_line(raw: bytes, doc: Document) -> bytes:
    """Write a stored document as one JSON value that gives exactly its bytes back.

    Args:
        raw: The document's BSON, valid.
        doc: What it decodes to.

    Returns:
        The plain form or the exact form (see the module), without a newline.

    """
    if bson_codec.is_plain(raw, doc):
        try:
            # orjson's result sits in a buffer of some KiB; lines are kept, so take a fitting copy.
            return b"%b" % orjson.dumps(doc, _hook, _OPTIONS)
        except orjson.JSONEncodeError:
            pass  # a decimal that text cannot say
    return orjson.dumps({EXACT: _base64(raw), "readable": _rendered(doc)}, _hook, _OPTIONS)


# Reading


def _bad(form: str) -> MongoError:
    return MongoError(ErrorCode.FAILED_TO_PARSE, f"bad Extended JSON value for {form}")


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError("not a string")
    return value


def _integer(value: Any, least: int, below: int) -> int:
    """Read an integer that JSON holds as text."""
    if _INTEGER.fullmatch(_text(value)) is None:
        raise ValueError("not an integer")
    number = int(value)
    if not least <= number < below:
        raise ValueError("out of range")
    return number


def _members(value: Any, *names: str) -> list[Any]:
    """Return the members of an object that has exactly these."""
    if len(value) != len(names):
        raise ValueError("other members than these")
    return [value[name] for name in names]


def _read_binary(fields: dict[str, Any]) -> bytes:
    if "$type" in fields:
        data, subtype = _members(fields, "$binary", "$type")
    else:
        data, subtype = _members(*_members(fields, "$binary"), "base64", "subType")
    if len(_text(subtype)) not in {1, 2}:
        raise ValueError("not a subtype")
    kind = int(subtype, 16)
    raw = a2b_base64(_text(data), strict_mode=True)
    return Binary(raw, kind) if kind else raw


def _read_code(fields: dict[str, Any]) -> Any:
    if "$scope" not in fields:
        return Code(_text(*_members(fields, "$code")))
    if "$code" not in fields:
        return _read_fields(fields)
    text, scope = _members(fields, "$code", "$scope")
    if type(scope) is not dict:
        raise TypeError("a scope that is no object")
    return Code(_text(text), _read_fields(scope))


def _read_date(fields: dict[str, Any]) -> DatetimeMS:
    inner = fields["$date"]
    if type(inner) is str:
        return DatetimeMS((datetime.fromisoformat(inner) - _EPOCH) // _MILLISECOND)
    (milliseconds,) = _members(inner, "$numberLong")
    return DatetimeMS(_integer(milliseconds, _INT64_MIN, _INT64_END))


def _read_db_pointer(fields: dict[str, Any]) -> DBPointer:
    namespace, id_ = _members(fields["$dbPointer"], "$ref", "$id")
    return DBPointer(_text(namespace), ObjectId(_text(*_members(id_, "$oid"))))


def _read_double(fields: dict[str, Any]) -> float:
    text = _text(fields["$numberDouble"])
    value = float(text)
    if not math.isfinite(value) and text not in {"NaN", "Infinity", "-Infinity"}:
        raise ValueError("not a double")
    return value


def _read_regex(fields: dict[str, Any]) -> Regex[str] | RawRegex:
    pattern, options = _members(fields["$regularExpression"], "pattern", "options")
    return make_regex(_text(pattern), "".join(sorted(_text(options))))


def _read_timestamp(fields: dict[str, Any]) -> Timestamp:
    seconds, increment = _members(fields["$timestamp"], "t", "i")
    return Timestamp(seconds, increment)


def _read_uuid(fields: dict[str, Any]) -> Binary:
    text = _text(fields["$uuid"])
    if _UUID.fullmatch(text) is None:
        raise ValueError("not a UUID")
    return Binary(bytes.fromhex(text.replace("-", "")), 4)


def _read_one(fields: dict[str, Any], name: str) -> bool:
    if type(fields[name]) is not int or fields[name] != 1:
        raise ValueError("not 1")
    return True


_READ: Final[dict[str, Callable[[dict[str, Any]], Any]]] = {
    "$binary": _read_binary,
    "$code": _read_code,
    "$date": _read_date,
    "$dbPointer": _read_db_pointer,
    "$maxKey": lambda fields: _read_one(fields, "$maxKey") and MaxKey(),
    "$minKey": lambda fields: _read_one(fields, "$minKey") and MinKey(),
    "$numberDecimal": lambda fields: Decimal128(_text(fields["$numberDecimal"])),
    "$numberDouble": _read_double,
    "$numberInt": lambda fields: _integer(fields["$numberInt"], _INT32_MIN, _INT32_END),
    "$numberLong": lambda fields: Int64(_integer(fields["$numberLong"], _INT64_MIN, _INT64_END)),
    "$oid": lambda fields: ObjectId(bytes.fromhex(fields["$oid"])),
    "$regularExpression": _read_regex,
    "$scope": _read_code,
    "$symbol": lambda fields: Symbol(_text(fields["$symbol"])),
    "$timestamp": _read_timestamp,
    "$undefined": lambda _: UNDEFINED,
    "$uuid": _read_uuid,
}
"""How to read an object by its first field, when that is one of these."""

_TWO_FIELDS: Final = frozenset(("$binary", "$code", "$scope"))
_MALFORMED: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, InvalidId)
_PLAIN: Final = frozenset((bool, float, str, type(None)))


def _read(value: Any) -> Any:
    """Read one value that is not of a plain type."""
    if type(value) is dict:
        for first in value:
            reader = _READ.get(first)
            if reader is None:
                break
            if len(value) > 1 and first not in _TWO_FIELDS:
                raise _bad(first)
            try:
                return reader(value)
            except _MALFORMED:
                raise _bad(first) from None
        # As `_read_fields`, without its frame: documents nest to 200 levels.
        return {name: item if type(item) in _PLAIN else _read(item) for name, item in value.items()}
    if type(value) is list:
        return [item if type(item) in _PLAIN else _read(item) for item in value]
    if _INT32_MIN <= value < _INT32_END:
        return value
    return Int64(value)


def _read_fields(fields: dict[str, Any]) -> Document:
    return {
        name: value if type(value) in _PLAIN else _read(value) for name, value in fields.items()
    }


def from_json(value: dict[str, Any]) -> Document:
    """Read a document from parsed JSON: a plain line, an exact form, any Extended JSON v2.

    Objects that begin with a `$`-name of no known form stay objects.

    Raises:
        MongoError: FailedToParse (9) for a malformed form, InvalidBSON (22) for bad exact bytes.

    """
    if EXACT in value:
        return bson_codec.decode(raw_from_line(value))
    return _read_fields(value)


def raw_from_line(value: dict[str, Any]) -> bytes:
    """Return the BSON bytes that `document_line` was given, from its line parsed as JSON.

    Raises:
        MongoError: FailedToParse (9) for a malformed form, InvalidBSON (22) or Overflow (15) for
            what cannot be encoded.

    """
    if EXACT in value:
        try:
            return a2b_base64(value[EXACT])
        except (TypeError, ValueError):
            raise _bad(EXACT) from None
    return bson_codec.encode(_read_fields(value))
