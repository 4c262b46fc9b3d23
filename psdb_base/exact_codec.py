"""The exact BSON codec: loses nothing, never recurses, validates all.

It reads every type of the specification, deprecated ones included, and refuses what a careful
server refuses: wrong lengths, missing terminators, invalid UTF-8, unknown types, booleans other
than 0 and 1, an inner length of the old binary type that disagrees. Array keys are not looked at.
One depth counter holds over objects, arrays and scopes of code.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

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
from psdb_base.values import UNDEFINED, DBPointer, Document, RawRegex, Symbol, Undefined

NESTED_LEVEL_BYTES_MIN: Final = 7
"""Fewest bytes that one level of nesting costs: type, empty name, length, terminator."""

_int32: Final = struct.Struct("<i")
_int64: Final = struct.Struct("<q")
_double: Final = struct.Struct("<d")
_timestamp: Final = struct.Struct("<II")

_DOUBLE: Final = 0x01
_STRING: Final = 0x02
_OBJECT: Final = 0x03
_ARRAY: Final = 0x04
_BINARY: Final = 0x05
_REGEX: Final = 0x0B
_DB_POINTER: Final = 0x0C
_CODE_WITH_SCOPE: Final = 0x0F
_NESTED: Final = frozenset((_OBJECT, _ARRAY, _CODE_WITH_SCOPE))

_OPTION_FLAGS: Final = {
    "i": re.IGNORECASE, "l": re.LOCALE, "m": re.MULTILINE,
    "s": re.DOTALL, "u": re.UNICODE, "x": re.VERBOSE,
}  # fmt: skip
_KNOWN_OPTIONS: Final = re.compile("i?l?m?s?u?x?")


def _bad(what: str, name: str | None = None) -> MongoError:
    where = "" if name is None else f" in element with field name '{name}'"
    return MongoError(ErrorCode.INVALID_BSON, f"{what}{where} in object with unknown _id")


def _too_deep(limit: int) -> MongoError:
    return MongoError(ErrorCode.OVERFLOW, f"BSONObj exceeds maximum nested object depth: {limit}")


def regex_options(value: Regex[Any] | RawRegex) -> tuple[str, str]:
    """Return pattern and option letters of either kind of regular expression."""
    if type(value) is RawRegex:
        return value.pattern, value.options
    flags = value.flags  # type: ignore[union-attr]
    letters = "".join([letter for letter, flag in _OPTION_FLAGS.items() if flags & flag])
    pattern = value.pattern
    return (pattern if isinstance(pattern, str) else pattern.decode()), letters


def make_regex(pattern: str, options: str) -> Regex[str] | RawRegex:
    """Return `bson.Regex` where it can say the options exactly, else `RawRegex`."""
    if _KNOWN_OPTIONS.fullmatch(options) is None:
        return RawRegex(pattern, options)
    flags = 0
    for letter in options:
        flags |= _OPTION_FLAGS[letter]
    return Regex(pattern, flags)


# Reading single parts. `end` is where the enclosing document's terminator stands.


def _text(raw: bytes, start: int, end: int, name: str | None) -> str:
    try:
        return raw[start:end].decode()
    except UnicodeDecodeError:
        raise _bad("Invalid UTF-8 string", name) from None


def _read_cstring(raw: bytes, start: int, end: int, name: str | None) -> tuple[str, int]:
    stop = raw.find(b"\0", start, end)
    if stop < 0:
        raise _bad("incorrect BSON length", name)
    return _text(raw, start, stop, name), stop + 1


def _read_length(raw: bytes, start: int, end: int, name: str, least: int) -> int:
    """Read an int32 length at `start`; check the `least` allowed and that the header fits."""
    if start + 4 > end:
        raise _bad("incorrect BSON length", name)
    length: int = _int32.unpack_from(raw, start)[0]
    if length < least:
        raise _bad("invalid length", name)
    return length


def _read_string(raw: bytes, start: int, end: int, name: str) -> tuple[str, int]:
    length = _read_length(raw, start, end, name, 1)
    stop = start + 4 + length
    if stop > end:
        raise _bad("incorrect BSON length", name)
    if raw[stop - 1]:
        raise _bad("Not null terminated string", name)
    return _text(raw, start + 4, stop - 1, name), stop


def _read_binary(raw: bytes, start: int, end: int, name: str) -> tuple[bytes, int]:
    length = _read_length(raw, start, end, name, 0)
    stop = start + 5 + length
    if stop > end:
        raise _bad("incorrect BSON length", name)
    subtype = raw[start + 4]
    begin = start + 5
    if subtype == 2:
        if length < 4 or _int32.unpack_from(raw, begin)[0] != length - 4:
            raise _bad("invalid length of the old binary type", name)
        begin += 4
    data = raw[begin:stop]
    return (Binary(data, subtype) if subtype else data), stop


def _read_regex(raw: bytes, start: int, end: int, name: str) -> tuple[Any, int]:
    pattern, start = _read_cstring(raw, start, end, name)
    options, start = _read_cstring(raw, start, end, name)
    return make_regex(pattern, options), start


def _read_db_pointer(raw: bytes, start: int, end: int, name: str) -> tuple[DBPointer, int]:
    namespace, start = _read_string(raw, start, end, name)
    if start + 12 > end:
        raise _bad("incorrect BSON length", name)
    return DBPointer(namespace, ObjectId(raw[start : start + 12])), start + 12


def _read_code(raw: bytes, start: int, end: int, name: str) -> tuple[Code, int]:
    text, start = _read_string(raw, start, end, name)
    return Code(text), start


def _read_symbol(raw: bytes, start: int, end: int, name: str) -> tuple[Symbol, int]:
    text, start = _read_string(raw, start, end, name)
    return Symbol(text), start


def _read_bool(raw: bytes) -> bool:
    if raw[0] > 1:
        raise _bad(f"Invalid bool value {raw[0]}")
    return raw[0] == 1


_FIXED: Final[dict[int, tuple[int, Callable[[bytes], Any]]]] = {
    0x01: (8, lambda raw: _double.unpack(raw)[0]),
    0x06: (0, lambda _: UNDEFINED),
    0x07: (12, ObjectId),
    0x08: (1, _read_bool),
    0x09: (8, lambda raw: DatetimeMS(_int64.unpack(raw)[0])),
    0x0A: (0, lambda _: None),
    0x10: (4, lambda raw: _int32.unpack(raw)[0]),
    0x11: (8, lambda raw: Timestamp(*reversed(_timestamp.unpack(raw)))),
    0x12: (8, lambda raw: Int64(_int64.unpack(raw)[0])),
    0x13: (16, Decimal128.from_bid),
    0x7F: (0, lambda _: MaxKey()),
    0xFF: (0, lambda _: MinKey()),
}
"""Types of fixed size by type byte: bytes, and how the value is made of them."""

_VARIABLE: Final[dict[int, Callable[[bytes, int, int, str], tuple[Any, int]]]] = {
    0x02: _read_string,
    0x05: _read_binary,
    0x0B: _read_regex,
    0x0C: _read_db_pointer,
    0x0D: _read_code,
    0x0E: _read_symbol,
}
"""Types that say their own size: how to read one at an offset, giving the offset after it."""


class _Open(NamedTuple):
    """A document being read: where values go, where its terminator stands."""

    add: Callable[[str, Any], None]
    end: int


def _array_adder(values: list[Any]) -> Callable[[str, Any], None]:
    return lambda _, value: values.append(value)


def _open_document(raw: bytes, start: int, end: int, name: str | None) -> int:
    """Check the header of the document at `start`, which must end by `end`; return its size."""
    if start + 4 > end:
        raise _bad("incorrect BSON length", name)
    size: int = _int32.unpack_from(raw, start)[0]
    if size < 5 or start + size > end:
        raise _bad("invalid BSON object size", name)
    if raw[start + size - 1]:
        raise _bad("missing terminator of the object", name)
    return size


def decode(raw: bytes, depth_max: int) -> Document:
    """Decode one document of at most `depth_max` levels, itself counted.

    Raises:
        MongoError: InvalidBSON (22) for malformed bytes, Overflow (15) for deeper nesting.

    """
    if _open_document(raw, 0, len(raw), None) != len(raw):
        raise _bad("invalid BSON object size")
    root: Document = {}
    stack = [_Open(root.__setitem__, len(raw) - 1)]
    position = 4
    while True:
        add, end = stack[-1]
        if position >= end:
            # Values are kept within `end`, so this is the terminator checked on opening.
            stack.pop()
            if not stack:
                return root
            position = end + 1
            continue
        kind = raw[position]
        name, position = _read_cstring(raw, position + 1, end, None)
        if kind in _FIXED:
            size, make = _FIXED[kind]
            if position + size > end:
                raise _bad("incorrect BSON length", name)
            add(name, make(raw[position : position + size]))
            position += size
        elif kind in _VARIABLE:
            value, position = _VARIABLE[kind](raw, position, end, name)
            add(name, value)
        else:
            opened, position = _enter(raw, kind, position, end, name, add)
            stack.append(opened)
            if len(stack) > depth_max:
                raise _too_deep(depth_max)


def _enter(
    raw: bytes, kind: int, start: int, end: int, name: str, add: Callable[[str, Any], None]
) -> tuple[_Open, int]:
    """Open the object, array or scope at `start`; return it and the offset of its elements."""
    if kind == _CODE_WITH_SCOPE:
        total = _read_length(raw, start, end, name, 14)
        text, start = _read_string(raw, start + 4, end, name)
        size = _open_document(raw, start, end, name)
        if 4 + 4 + len(text.encode()) + 1 + size != total:
            raise _bad("incorrect BSON length of code with scope", name)
        scope: Document = {}
        add(name, Code(text, scope))
        return _Open(scope.__setitem__, start + size - 1), start + 4
    if kind == _OBJECT:
        size = _open_document(raw, start, end, name)
        fields: Document = {}
        add(name, fields)
        return _Open(fields.__setitem__, start + size - 1), start + 4
    if kind == _ARRAY:
        size = _open_document(raw, start, end, name)
        values: list[Any] = []
        add(name, values)
        return _Open(_array_adder(values), start + size - 1), start + 4
    raise _bad(f"Unrecognized BSON type {kind}", name)


# Walking without decoding


def _skip(raw: bytes, kind: int, start: int, end: int) -> int:
    """Return the offset after the value at `start`, lengths checked, content not."""
    fixed = _FIXED.get(kind)
    if fixed is not None:
        stop = start + fixed[0]
    elif kind == _REGEX:
        stop = raw.find(b"\0", start, end) + 1
        stop = raw.find(b"\0", stop, end) + 1 if stop else 0
    else:
        stop = start + _variable_size(raw, kind, start, end)
    if stop < start or stop > end:
        raise _bad("incorrect BSON length")
    return stop


def _variable_size(raw: bytes, kind: int, start: int, end: int) -> int:
    length = _read_length(raw, start, end, "", 0)
    if kind in {0x02, 0x0D, 0x0E}:
        return 4 + length
    if kind == _BINARY:
        return 5 + length
    if kind == _DB_POINTER:
        return 16 + length
    if kind in _NESTED and length >= 5:
        return length
    raise _bad(f"Unrecognized BSON type {kind}")


def iterate(raw: bytes) -> Iterator[tuple[str, int, int, int]]:
    """Yield name, type byte, start and end offset of the value of each top-level element.

    Values are not decoded and inner documents are not looked into.

    Raises:
        MongoError: InvalidBSON (22) when the elements do not fill the document exactly.

    """
    if _open_document(raw, 0, len(raw), None) != len(raw):
        raise _bad("invalid BSON object size")
    position, end = 4, len(raw) - 1
    while position < end:
        kind = raw[position]
        name, position = _read_cstring(raw, position + 1, end, None)
        stop = _skip(raw, kind, position, end)
        yield name, kind, position, stop
        position = stop


_LEAVES: Final = re.compile(
    rb"(?s:(?:[\x01\x09\x11\x12][^\0]*+\0.{8}|\x10[^\0]*+\0.{4}|\x07[^\0]*+\0.{12}"
    rb"|\x08[^\0]*+\0.|[\x06\x0a\x7f\xff][^\0]*+\0|\x13[^\0]*+\0.{16})++)"
)
"""A run of elements of fixed size: one step of the regex engine instead of one of Python's."""


def check_depth(raw: bytes, limit: int) -> None:
    """Refuse a document of more than `limit` levels, itself counted; nearly free for flat ones.

    Bytes after the first malformed element are not looked at: decoding meets that one first.

    Raises:
        MongoError: Overflow (15).

    """
    if len(raw) <= NESTED_LEVEL_BYTES_MIN * limit:
        return
    if raw.count(b"\x03") + raw.count(b"\x04") + raw.count(b"\x0f") < limit:
        return
    ends: list[int] = []
    position, end = 4, len(raw) - 1
    room = NESTED_LEVEL_BYTES_MIN * (limit - 1)  # a document of this size cannot go too deep
    find, size_at, match_leaves = raw.find, _int32.unpack_from, _LEAVES.match
    while True:
        leaves = match_leaves(raw, position, end)
        if leaves is not None:
            position = leaves.end()
        while position >= end:
            if not ends:
                return
            position, end = end + 1, ends.pop()
            room += NESTED_LEVEL_BYTES_MIN
        kind = raw[position]
        start = find(b"\0", position, end) + 1
        if not start:
            raise _bad("incorrect BSON length")
        if kind not in _NESTED:
            position = _skip(raw, kind, start, end)
            continue
        if start + 4 <= end and 0 < (size := size_at(raw, start)[0]) <= room:
            position = start + size
            continue
        if room <= 0:
            raise _too_deep(limit)
        ends.append(end)
        room -= NESTED_LEVEL_BYTES_MIN
        position, end = start + 4, _skip(raw, kind, start, end) - 1
        if kind == _CODE_WITH_SCOPE:
            position = _skip(raw, _STRING, position, end) + 4


# Writing


def _cstring(text: str, what: str) -> bytes:
    raw = _utf8(text)
    if b"\0" in raw:
        raise MongoError(ErrorCode.INVALID_BSON, f"{what} must not contain a null byte")
    return raw + b"\0"


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise MongoError(ErrorCode.INVALID_BSON, "string is not valid UTF-8") from None


def _string(text: str) -> bytes:
    raw = _utf8(text)
    return b"%b%b\0" % (_int32.pack(len(raw) + 1), raw)


def _encode_int(value: int) -> tuple[int, bytes]:
    if -(1 << 31) <= value < 1 << 31:
        return 0x10, _int32.pack(value)
    return _encode_long(value)


def _encode_long(value: int) -> tuple[int, bytes]:
    if not -(1 << 63) <= value < 1 << 63:
        raise MongoError(ErrorCode.OVERFLOW, f"integer {value} does not fit into 64 bits")
    return 0x12, _int64.pack(value)


def _encode_binary(value: bytes) -> tuple[int, bytes]:
    subtype = getattr(value, "subtype", 0)
    data = bytes(value)
    if subtype == 2:
        data = _int32.pack(len(data)) + data
    return _BINARY, b"%b%c%b" % (_int32.pack(len(data)), subtype, data)


def _encode_regex(value: Regex[Any] | RawRegex) -> tuple[int, bytes]:
    pattern, options = regex_options(value)
    return _REGEX, _cstring(pattern, "regex pattern") + _cstring(options, "regex options")


_ENCODERS: Final[dict[type, Callable[[Any], tuple[int, bytes]]]] = {
    Binary: _encode_binary,
    bool: lambda value: (0x08, b"\1" if value else b"\0"),
    bytes: _encode_binary,
    DatetimeMS: lambda value: (0x09, _int64.pack(int(value))),
    DBPointer: lambda value: (_DB_POINTER, _string(value.namespace) + value.id.binary),
    Decimal128: lambda value: (0x13, value.bid),
    float: lambda value: (_DOUBLE, _double.pack(value)),
    int: _encode_int,
    Int64: _encode_long,
    MaxKey: lambda _: (0x7F, b""),
    MinKey: lambda _: (0xFF, b""),
    type(None): lambda _: (0x0A, b""),
    ObjectId: lambda value: (0x07, value.binary),
    RawRegex: _encode_regex,
    Regex: _encode_regex,
    str: lambda value: (_STRING, _string(value)),
    Symbol: lambda value: (0x0E, _string(value.name)),
    Timestamp: lambda value: (0x11, _timestamp.pack(value.inc, value.time)),
    Undefined: lambda _: (0x06, b""),
}


class _Unclosed(NamedTuple):
    """A document being written: its start, what remains, where a code with scope began or -1."""

    start: int
    fields: Iterator[tuple[str, Any]]
    code: int


def _numbered(values: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    return ((str(index), value) for index, value in enumerate(values))


def encode(doc: Mapping[str, Any], depth_max: int) -> bytes:
    """Encode a document of at most `depth_max` levels, itself counted.

    Raises:
        MongoError: InvalidBSON (22) for a NUL in a name or a lone surrogate, Overflow (15) for
            deeper nesting or an integer beyond 64 bits.

    """
    out = bytearray(4)
    stack = [_Unclosed(0, iter(doc.items()), -1)]
    while stack:
        start, fields, code = stack[-1]
        for name, value in fields:
            opened = _write(out, name, value)
            if opened is not None:
                stack.append(opened)
                out += b"\0\0\0\0"
                if len(stack) > depth_max:
                    raise _too_deep(depth_max)
                break
        else:
            out.append(0)
            _int32.pack_into(out, start, len(out) - start)
            if code >= 0:
                _int32.pack_into(out, code, len(out) - code)
            stack.pop()
    return bytes(out)


def _write(out: bytearray, name: str, value: Any) -> _Unclosed | None:
    """Append one element; a nested document is only opened, and returned."""
    assert type(name) is str, f"a field name of type {type(name).__name__}"
    encoder = _ENCODERS.get(type(value))
    if encoder is not None:
        kind, payload = encoder(value)
        out += b"%c%b%b" % (kind, _cstring(name, "field name"), payload)
        return None
    if type(value) is Code:
        out += b"%c%b" % (0x0D if value.scope is None else 0x0F, _cstring(name, "field name"))
        if value.scope is None:
            out += _string(str(value))
            return None
        code = len(out)
        out += b"\0\0\0\0" + _string(str(value))
        return _Unclosed(len(out), iter(value.scope.items()), code)
    if isinstance(value, Mapping):
        out += b"%c%b" % (_OBJECT, _cstring(name, "field name"))
        return _Unclosed(len(out), iter(value.items()), -1)
    assert isinstance(value, list | tuple), f"a value of type {type(value).__name__}"
    out += b"%c%b" % (_ARRAY, _cstring(name, "field name"))
    return _Unclosed(len(out), _numbered(value), -1)


# What Extended JSON cannot say


def holds_unplain(raw: bytes) -> bool:
    """Tell whether a valid document holds NaN, infinity or a field name that begins with `$`."""
    ends = [len(raw) - 1]
    position = 4
    while ends:
        end = ends[-1]
        if position >= end:
            position = ends.pop() + 1
            continue
        kind = raw[position]
        if raw[position + 1] == 0x24:
            return True
        start = raw.index(b"\0", position) + 1
        position = _skip(raw, kind, start, end)
        if kind == _DOUBLE:
            if raw[start + 6] >= 0xF0 and raw[start + 7] & 0x7F == 0x7F:
                return True
        elif kind in _NESTED:
            ends.append(position - 1)
            position = start + 4
            if kind == _CODE_WITH_SCOPE:
                position = _skip(raw, _STRING, position, end) + 4
    return False
