"""Estimates of what values would weigh as BSON, cheap enough to make for every batch."""

from __future__ import annotations

from typing import Any, Final

from bson.decimal128 import Decimal128

_FIXED: Final = {bool: 3, float: 10, int: 7, type(None): 3, Decimal128: 18}
_SAMPLE: Final = 3


def size_of(value: Any) -> int:
    """Estimate the bytes of one value with a short field name."""
    kind = type(value)
    if kind is str:
        return 8 + len(value)
    if kind in _FIXED:
        return _FIXED[kind]
    if kind is dict:
        return 8 + sum(2 + len(name) + size_of(field) for name, field in value.items())
    if kind is list:
        return 8 + sum(map(size_of, value))
    return 16 + (len(value) if isinstance(value, (bytes, str)) else 0)


def sizes_of(values: list[Any]) -> int:
    """Estimate the bytes of a list of values, from three of them if there are more.

    Over many lists the estimates come close to the sum, however uneven the values are.
    """
    count = len(values)
    if count <= _SAMPLE:
        return sum(map(size_of, values))
    first, middle, last = values[0], values[count // 2], values[-1]
    return (size_of(first) + size_of(middle) + size_of(last)) * count // 3
