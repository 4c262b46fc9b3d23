"""The 64-bit hash of hashed indexes, hashed shard keys and `$toHashedIndexKey`.

It is MongoDB's: the first eight bytes, little-endian, of an MD5 over a seed of four zero bytes
and then, for the value: its canonical type rank (int32), for a number its value cut to int64, for
an object or array each element as (rank, name with NUL, value) and a closing zero rank, for
everything else its BSON bytes. It is no protection of any kind, only an even spread.
"""

from __future__ import annotations

import math
import struct
from hashlib import md5
from typing import Any, Final

from bson.decimal128 import Decimal128

from psdb_base.bson_codec import encode, fields
from psdb_base.values import MISSING

_RANKS: Final = {
    1: 10, 2: 15, 3: 20, 4: 25, 5: 30, 6: 0, 7: 35, 8: 40, 9: 45, 10: 5, 11: 50, 12: 55,
    13: 60, 14: 15, 15: 65, 16: 10, 17: 47, 18: 10, 19: 10, 127: 127, 255: -1,
}  # fmt: skip
_NESTED: Final = (3, 4)
_LONG_MIN: Final = -(1 << 63)
_LONG_MAX: Final = (1 << 63) - 1
_int32: Final = struct.Struct("<i").pack
_int64: Final = struct.Struct("<q")
_double: Final = struct.Struct("<d")


def hash64(value: Any) -> int:
    """Return the signed 64-bit hash of a value; `MISSING` hashes as null."""
    raw = encode({"": None if value is MISSING else value})
    digest = md5(_int32(0), usedforsecurity=False)
    for _, kind, data in fields(raw):
        _feed(digest, kind, data)
    return int(_int64.unpack(digest.digest()[:8])[0])


def _feed(digest: Any, kind: int, data: bytes) -> None:
    """Hash one element without its name; nested ones by an explicit stack of iterators."""
    if kind not in _NESTED:
        digest.update(_int32(_RANKS[kind]) + _leaf(kind, data))
        return
    digest.update(_int32(_RANKS[kind]))
    stack = [fields(data)]
    while stack:
        element = next(stack[-1], None)
        if element is None:
            digest.update(_int32(0))
            stack.pop()
            continue
        name, kind, data = element
        digest.update(_int32(_RANKS[kind]) + name.encode() + b"\0")
        if kind in _NESTED:
            stack.append(fields(data))
        else:
            digest.update(_leaf(kind, data))


def _leaf(kind: int, data: bytes) -> bytes:
    if kind == 1:
        return _int64.pack(_clamped(_double.unpack(data)[0]))
    if kind == 16:
        return _int64.pack(int.from_bytes(data, "little", signed=True))
    if kind == 19:
        return _int64.pack(_of_decimal(Decimal128.from_bid(data)))
    return data


def _clamped(number: float) -> int:
    if math.isnan(number):
        return 0
    if math.isinf(number):
        return _LONG_MAX if number > 0 else _LONG_MIN
    return max(_LONG_MIN, min(_LONG_MAX, int(number)))


def _of_decimal(number: Decimal128) -> int:
    exact = number.to_decimal()
    if exact.is_nan():
        return 0
    if exact.is_infinite() or exact.adjusted() > 20:
        return _LONG_MIN if exact.is_signed() else _LONG_MAX
    return max(_LONG_MIN, min(_LONG_MAX, int(exact)))
