"""BSON values to and from the JSON that the script process speaks.

What JSON can say stands as it is; other values are `{"$": kind, …}`, one letter a kind, as
`psdb_base/script_worker/prelude.js` reads and writes them. Going out to a script a plain integer
is an int32 (a double that is whole is marked); coming back a plain number is a double, as
numbers of JavaScript are.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any, Final

from bson.binary import Binary
from bson.code import Code as JavaScript
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp

from psdb_base.errors import Code, MongoError
from psdb_base.exact_codec import regex_options
from psdb_base.values import UNDEFINED, DBPointer, Missing, RawRegex, Symbol, Undefined

_WHOLE_MAX: Final = 2.0**31
_INT32: Final = range(-(2**31), 2**31)


def to_script(value: Any) -> Any:
    """Return what stands for a value in JSON."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is dict:
        if "$" in value or "__proto__" in value:
            return {"$": "m", "k": list(value), "v": [to_script(v) for v in value.values()]}
        return {name: to_script(field) for name, field in value.items()}
    if kind is list:
        return [to_script(item) for item in value]
    return _TO[kind](value)


def _int(value: int) -> Any:
    return value if value in _INT32 else {"$": "l", "v": str(value)}


def _double(value: float) -> Any:
    if value == value and not value.is_integer() and abs(value) < _WHOLE_MAX:
        return value
    return {"$": "d", "v": _spelled(value)}


def _spelled(value: float) -> str:
    text = repr(value)
    return {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}.get(text, text)


def _binary(value: bytes) -> Any:
    subtype = value.subtype if isinstance(value, Binary) else 0
    return {"$": "b", "s": subtype, "v": base64.b64encode(value).decode()}


def _regex(value: Any) -> Any:
    pattern, options = regex_options(value)
    return {
        "$": "r", "v": pattern, "o": "".join(one for one in options if one in "imsu"),
    }


_TO: Final[dict[type, Callable[[Any], Any]]] = {
    bytes: _binary,
    float: _double,
    int: _int,
    Binary: _binary,
    DBPointer: lambda v: {"$": "p", "c": v.namespace, "v": str(v.id)},
    DatetimeMS: lambda v: {"$": "t", "v": int(v)},
    Decimal128: lambda v: {"$": "n", "v": str(v)},
    Int64: lambda v: {"$": "l", "v": str(int(v))},
    JavaScript: lambda v: {"$": "c", "v": str(v)},
    MaxKey: lambda _v: {"$": "x", "v": 1},
    MinKey: lambda _v: {"$": "x", "v": -1},
    Missing: lambda _v: {"$": "u"},
    ObjectId: lambda v: {"$": "o", "v": str(v)},
    RawRegex: _regex,
    Regex: _regex,
    Symbol: lambda v: v.name,
    Timestamp: lambda v: {"$": "s", "t": v.time, "i": v.inc},
    Undefined: lambda _v: {"$": "u"},
}


def from_script(value: Any) -> Any:
    """Return the BSON value that a script's JSON stands for."""
    kind = type(value)
    if kind is int:
        return float(value)
    if kind is dict:
        if "$" in value:
            return _FROM[value["$"]](value)
        return {name: from_script(field) for name, field in value.items()}
    if kind is list:
        return [from_script(item) for item in value]
    return value


def _map(value: Any) -> Any:
    return dict(zip(value["k"], map(from_script, value["v"]), strict=True))


def _date(value: Any) -> DatetimeMS:
    if value["v"] == "NaN":
        raise MongoError(Code.JS_INTERPRETER_FAILURE, "RangeError: invalid date")
    return DatetimeMS(int(float(value["v"])))


_FLAGS: Final = {
    "i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "u": re.UNICODE, "x": re.VERBOSE,
}


def _pattern(value: Any) -> Any:
    flags = 0
    for letter, flag in _FLAGS.items():
        if letter in value["o"]:
            flags |= flag
    return Regex(value["v"], flags)


def _subtyped(value: Any) -> Any:
    data = base64.b64decode(value["v"])
    return data if value["s"] == 0 else Binary(data, value["s"])


_FROM: Final[dict[str, Callable[[Any], Any]]] = {
    "b": _subtyped,
    "c": lambda v: JavaScript(v["v"]),
    "d": lambda v: float(v["v"]),
    "i": lambda v: int(v["v"]),
    "l": lambda v: Int64(v["v"]),
    "m": _map,
    "n": lambda v: Decimal128(v["v"]),
    "o": lambda v: ObjectId(v["v"]),
    "p": lambda v: DBPointer(v["c"], ObjectId(v["v"])),
    "r": _pattern,
    "s": lambda v: Timestamp(int(v["t"]), int(v["i"])),
    "t": _date,
    "u": lambda _v: UNDEFINED,
    "x": lambda v: MaxKey() if v["v"] > 0 else MinKey(),
}
