"""Tests of a single value: what the leaf operators compile to.

A test takes a value or `MISSING` and knows nothing of paths. Comparisons hold within a type
bracket only: numbers of the four kinds with each other, strings with symbols, and so on.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, TypeAlias

from bson.binary import Binary
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId

from psdb_base import order
from psdb_base.values import MISSING, UNDEFINED, Symbol
from psdb_query.filters.traverse import Test
from psdb_query.filters.tree import BitsOp, CompareOp

NUMBERS: Final = frozenset({Decimal128, Int64, float, int})
PLAIN_NUMBERS: Final = frozenset({Int64, float, int})
"""Numbers that Python compares exactly by itself."""

_Relation: TypeAlias = Callable[[Any, Any], bool]
_RELATIONS: Final[dict[CompareOp, _Relation]] = {
    "$eq": operator.eq,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
_OR_EQUAL: Final = frozenset({"$eq", "$gte", "$lte"})


def is_nan(value: Any) -> bool:
    """Tell whether a BSON value is NaN, double or decimal."""
    kind = value.__class__
    if kind is float:
        return math.isnan(value)
    return kind is Decimal128 and value.to_decimal().is_nan()


def comparison(op: CompareOp, operand: Any, collation: Any = None) -> Test:
    """Compile `value op operand`."""
    kind = operand.__class__
    if kind in PLAIN_NUMBERS and not is_nan(operand):
        return _plain_number(op, operand if kind is float else int(operand))
    if kind is Decimal128 or kind is float:
        return _number(op, operand)
    if kind is str and collation is None:
        return _string(op, operand)
    if operand is None:
        return _null(op)
    if kind is MinKey or kind is MaxKey:
        return _extreme(op, operand)
    if op == "$eq" and kind in _SELF_EQUAL:
        return _same(operand)
    if kind is DatetimeMS:
        return _date(op, int(operand))
    return _generic(op, operand, collation)


_SELF_EQUAL: Final = frozenset({ObjectId, bool})
"""Types whose Python equality, after a check of the type, is BSON's."""


def _plain_number(op: CompareOp, operand: float) -> Test:
    relation = _RELATIONS[op]
    rare = _decimal(op, operand)
    numbers = PLAIN_NUMBERS

    def test(value: Any) -> bool:
        kind = value.__class__
        if kind in numbers:
            return relation(value, operand)
        return kind is Decimal128 and rare(value)

    return test


def _decimal(op: CompareOp, operand: Any) -> Test:
    """Compare a decimal value; NaN is equal to NaN and stands in no other relation."""
    relation = _RELATIONS[op]

    def test(value: Any) -> bool:
        return not is_nan(value) and relation(order.compare(value, operand), 0)

    return test


def _number(op: CompareOp, operand: Any) -> Test:
    """Compare with a decimal or with NaN."""
    if is_nan(operand):
        if op in _OR_EQUAL:
            return lambda value: value.__class__ in NUMBERS and is_nan(value)
        return never
    rare = _decimal(op, operand)
    return lambda value: value.__class__ in NUMBERS and rare(value)


def _string(op: CompareOp, operand: str) -> Test:
    relation = _RELATIONS[op]

    def test(value: Any) -> bool:
        kind = value.__class__
        if kind is str:
            return relation(value, operand)
        return kind is Symbol and relation(value.name, operand)

    return test


def _null(op: CompareOp) -> Test:
    if op == "$eq":
        # Since MongoDB 8.0 equality to null leaves undefined out.
        return lambda value: value is None or value is MISSING
    if op in _OR_EQUAL:
        return lambda value: value is None or value is MISSING or value is UNDEFINED
    return never


def _extreme(op: CompareOp, operand: Any) -> Test:
    """MinKey and MaxKey compare with every type, missing fields included."""
    kind = operand.__class__
    others = op in ({"$gt", "$gte"} if kind is MinKey else {"$lt", "$lte"})
    itself = op in _OR_EQUAL
    return lambda value: itself if value.__class__ is kind else others


def _same(operand: Any) -> Test:
    kind = operand.__class__
    return lambda value: value.__class__ is kind and value == operand


def _date(op: CompareOp, operand_ms: int) -> Test:
    relation = _RELATIONS[op]
    return lambda value: (
        value.__class__ is DatetimeMS and relation(_milliseconds(value), operand_ms)
    )


# `int(value)` would call a method written in Python for each document.
_milliseconds: Final = operator.attrgetter("_value")


def _generic(op: CompareOp, operand: Any, collation: Any) -> Test:
    relation = _RELATIONS[op]
    rank = order.type_rank(operand)
    key = order.key(operand, collation)

    def test(value: Any) -> bool:
        return (
            value is not MISSING
            and order.type_rank(value) == rank
            and relation(order.key(value, collation), key)
        )

    return test


def never(_value: Any) -> bool:
    """Reject every value."""
    return False


def membership(values: tuple[Any, ...], collation: Any = None) -> Test:
    """Compile equality with one of `values` as a set look-up."""
    kinds = {value.__class__ for value in values}
    null = None.__class__ in kinds
    present = [value for value in values if value is not None]
    kinds.discard(None.__class__)
    if kinds == {str} and collation is None:
        return _among_strings(frozenset(present), null=null)
    if kinds and kinds <= {int, Int64}:
        return _among_integers(frozenset(int(value) for value in present), null=null)
    if kinds == {ObjectId}:
        return _among_ids(frozenset(present), null=null)
    keys = frozenset(order.key(value, collation) for value in present)

    def test(value: Any) -> bool:
        if value is None or value is MISSING:
            return null
        return order.key(value, collation) in keys

    return test


def _among_strings(strings: frozenset[str], *, null: bool) -> Test:
    def test(value: Any) -> bool:
        kind = value.__class__
        if kind is str:
            return value in strings
        if value is None or value is MISSING:
            return null
        return kind is Symbol and value.name in strings

    return test


def _among_integers(integers: frozenset[int], *, null: bool) -> Test:
    keys = frozenset(order.key(value) for value in sorted(integers))
    numbers = PLAIN_NUMBERS

    def test(value: Any) -> bool:
        kind = value.__class__
        if kind in numbers:
            return value in integers
        if value is None or value is MISSING:
            return null
        return kind is Decimal128 and order.key(value) in keys

    return test


def _among_ids(ids: frozenset[ObjectId], *, null: bool) -> Test:
    def test(value: Any) -> bool:
        if value.__class__ is ObjectId:
            return value in ids
        return null and (value is None or value is MISSING)

    return test


def exists(value: Any) -> bool:
    """Tell whether there is a value."""
    return value is not MISSING


def has_size(count: int) -> Test:
    """Compile the test for an array of `count` elements."""
    return lambda value: value.__class__ is list and len(value) == count


def has_type(codes: tuple[int, ...], *, number: bool) -> Test:
    """Compile the test for one of the BSON type codes."""
    wanted = frozenset(codes) | (frozenset({1, 16, 18, 19}) if number else frozenset())
    from psdb_query.filters.types import type_code

    return lambda value: value is not MISSING and type_code(value) in wanted


_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1


def to_int64(value: Any) -> int | None:
    """Truncate a number towards zero into 64 bits; None for NaN, infinity and what is beyond."""
    kind = value.__class__
    if kind is int or kind is Int64:
        return int(value)
    if kind is float:
        if not math.isfinite(value):
            return None
        whole = int(value)
    elif kind is Decimal128:
        decimal: Decimal = value.to_decimal()
        # A huge exponent would make an integer of thousands of digits for nothing.
        if not decimal.is_finite() or decimal.adjusted() > 20:
            return None
        whole = int(decimal)
    else:
        return None
    return whole if _INT64_MIN <= whole <= _INT64_MAX else None


def modulo(divisor: int, remainder: int) -> Test:
    """Compile `$mod`, with the remainder's sign that of the value as in C."""

    def test(value: Any) -> bool:
        if value.__class__ not in NUMBERS:
            return False
        whole = to_int64(value)
        if whole is None:
            return False
        rest = abs(whole) % abs(divisor)
        return (rest if whole >= 0 else -rest) == remainder

    return test


def bits(op: BitsOp, mask: int) -> Test:
    """Compile a bit test. Negative numbers are two's complement, extended without end."""
    full = op in ("$bitsAllClear", "$bitsAllSet")
    clear = op in ("$bitsAllClear", "$bitsAnyClear")

    def test(value: Any) -> bool:
        number = _as_bits(value)
        if number is None:
            return False
        hit = (~number if clear else number) & mask
        return hit == mask if full else hit != 0

    return test


def _as_bits(value: Any) -> int | None:
    """Bits of an integral number within 64 bits or of binary data, least significant first."""
    kind = value.__class__
    if kind is int or kind is Int64:
        return int(value)
    if kind is bytes or kind is Binary:
        return int.from_bytes(value, "little")
    if kind is float:
        return int(value) if value.is_integer() and -(2.0**63) <= value < 2.0**63 else None
    if kind is Decimal128:
        whole = to_int64(value)
        return whole if whole is not None and value.to_decimal() == whole else None
    return None
