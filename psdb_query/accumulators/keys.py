"""Python keys that are equal exactly when BSON values are: for groups, sets and joins.

Strings, plain integers, doubles (not NaN) and null are their own keys, which Python hashes fast;
numbers of different types that are equal share a key, and so do a symbol and its text.
Everything else takes its order key (bytes). The two never meet: binary values take their order
keys as well.
"""

from __future__ import annotations

from typing import Any, Final

from bson.decimal128 import Decimal128
from bson.int64 import Int64

from psdb_base import order
from psdb_base.values import MISSING, Symbol
from psdb_query.context import Collation

_SELF: Final = {str, int, Int64, type(None)}
_SELF_COLLATED: Final = {int, Int64, type(None)}


def key_of(value: Any, collation: Collation | None = None) -> Any:
    """Return the key of a value; MISSING has itself."""
    kind = type(value)
    if kind is str:
        return value if collation is None else order.key(value, collation)
    if kind in _SELF_COLLATED or value is MISSING:
        return value
    if kind is float:
        return value if value == value else order.key(value)
    if kind is Decimal128:
        return _decimal_key(value)
    if kind is Symbol:
        return key_of(value.name, collation)
    return order.key(value, collation)


def _decimal_key(value: Decimal128) -> Any:
    """Return what an equal int or double would have, so that numbers of all types meet."""
    number = value.to_decimal()
    if number.is_nan():
        return order.key(value)
    if number.is_infinite():
        return float(number)
    if number.adjusted() <= 400 and number == number.to_integral_value():
        return int(number)
    double = float(number)
    return double if number == number.from_float(double) else order.key(value)


def keys_of(values: list[Any], collation: Collation | None = None) -> list[Any]:
    """Return the keys of a column of values; the list itself where they are their own."""
    kinds = set(map(type, values))
    if kinds <= (_SELF if collation is None else _SELF_COLLATED):
        return values
    return [key_of(value, collation) for value in values]
