"""Index bounds: which values of a field a predicate lets through, as intervals of order keys.

`field_bounds` reads one node of a filter's tree for one path. Its result is a *superset*: a
document that matches has at least one index key within it, arrays, missing fields and all. It
is *exact* when every key within it belongs to a document that matches, so that nothing has to
be looked at again; only exact bounds may be complemented for `$not`.

An interval lies between two *cuts*: `(key, 0)` just before a value, `(key, 1)` just after it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.timestamp import Timestamp

from psdb_base import order
from psdb_base.values import UNDEFINED, DBPointer, RawRegex
from psdb_query.context import Collation
from psdb_query.filters import tree

Cut: TypeAlias = tuple[bytes, int]


@dataclass(frozen=True, slots=True)
class Interval:
    """The values between two cuts; the values at its ends are kept to be shown."""

    low: Cut
    high: Cut
    low_value: Any
    high_value: Any

    @property
    def is_point(self) -> bool:
        """It holds exactly one value (and those that compare equal)."""
        return self.low[0] == self.high[0]


Intervals: TypeAlias = tuple[Interval, ...]
"""Disjoint and ascending."""

MIN_KEY: Final = order.key(MinKey())
MAX_KEY: Final = order.key(MaxKey())
NULL_KEY: Final = order.key(None)
ALL: Final[Intervals] = (Interval((MIN_KEY, 0), (MAX_KEY, 1), MinKey(), MaxKey()),)
NOTHING: Final[Intervals] = ()


@dataclass(frozen=True, slots=True)
class FieldBounds:
    """What one or more predicates say of one field.

    Args:
        intervals: The values that keys of matching documents have.
        exact: Every key within the intervals belongs to a document that matches.
        present: Documents without the field cannot match.

    """

    intervals: Intervals
    exact: bool = False
    present: bool = False

    @property
    def is_full(self) -> bool:
        """They exclude no value at all."""
        parts = self.intervals
        return len(parts) == 1 and parts[0].low == ALL[0].low and parts[0].high == ALL[0].high

    @property
    def is_points(self) -> bool:
        """They are single values only."""
        return all(interval.is_point for interval in self.intervals)


UNBOUNDED: Final = FieldBounds(ALL)


# Algebra of intervals.


def point(value: Any, collation: Collation | None = None) -> Interval:
    """Return the interval of one value."""
    key = order.key(value, collation)
    return Interval((key, 0), (key, 1), value, value)


def union(parts: Iterable[Interval]) -> Intervals:
    """Return any intervals sorted, with those that meet or overlap made one."""
    merged: list[Interval] = []
    for interval in sorted(parts, key=lambda part: part.low):
        if merged and interval.low <= merged[-1].high:
            last = merged[-1]
            if interval.high > last.high:
                merged[-1] = Interval(last.low, interval.high, last.low_value, interval.high_value)
        else:
            merged.append(interval)
    return tuple(merged)


def intersect(left: Intervals, right: Intervals) -> Intervals:
    """Return what lies in both."""
    found: list[Interval] = []
    i = j = 0
    while i < len(left) and j < len(right):
        a, b = left[i], right[j]
        low = a if a.low >= b.low else b
        high = a if a.high <= b.high else b
        if low.low < high.high:
            found.append(Interval(low.low, high.high, low.low_value, high.high_value))
        if a.high <= b.high:
            i += 1
        else:
            j += 1
    return tuple(found)


def complement(intervals: Intervals) -> Intervals:
    """Return everything from MinKey to MaxKey that does not lie in the intervals."""
    whole = ALL[0]
    low, low_value = whole.low, whole.low_value
    found: list[Interval] = []
    for interval in intervals:
        if low < interval.low:
            found.append(Interval(low, interval.low, low_value, interval.low_value))
        low, low_value = interval.high, interval.high_value
    if low < whole.high:
        found.append(Interval(low, whole.high, low_value, whole.high_value))
    return tuple(found)


def contains(intervals: Intervals, key: bytes) -> bool:
    """Tell whether a value's key lies in the intervals."""
    at = (key, 0)
    return any(interval.low <= at < interval.high for interval in intervals)


def is_within(inner: Intervals, outer: Intervals) -> bool:
    """Tell whether `outer` holds everything that `inner` does."""
    shared = intersect(inner, outer)
    return [(i.low, i.high) for i in shared] == [(i.low, i.high) for i in inner]


# The least and greatest values of each type: (low, high, whether high itself belongs).

_NO_ID: Final = ObjectId(bytes(12))
_EXTENTS: Final[dict[int, tuple[Any, Any, bool]]] = {
    order.RANK_MIN_KEY: (MinKey(), MinKey(), True),
    order.RANK_UNDEFINED: (UNDEFINED, UNDEFINED, True),
    order.RANK_NULL: (None, None, True),
    order.RANK_NUMBER: (-math.inf, math.inf, True),
    order.RANK_STRING: ("", {}, False),
    order.RANK_OBJECT: ({}, [], False),
    order.RANK_ARRAY: ([], b"", False),
    order.RANK_BINARY: (b"", _NO_ID, False),
    order.RANK_OBJECT_ID: (_NO_ID, ObjectId(b"\xff" * 12), True),
    order.RANK_BOOL: (False, True, True),
    order.RANK_DATE: (DatetimeMS(-(2**63)), DatetimeMS(2**63 - 1), True),
    order.RANK_TIMESTAMP: (Timestamp(0, 0), Timestamp(2**32 - 1, 2**32 - 1), True),
    order.RANK_REGEX: (RawRegex("", ""), DBPointer("", _NO_ID), False),
    order.RANK_DB_POINTER: (DBPointer("", _NO_ID), Code(""), False),
    order.RANK_CODE: (Code(""), Code("", {}), False),
    order.RANK_CODE_WITH_SCOPE: (Code("", {}), MaxKey(), False),
    order.RANK_MAX_KEY: (MaxKey(), MaxKey(), True),
}
"""NaN lies below the numbers' extent: no inequality with a number lets it through."""

_RANK_OF_TYPE: Final[dict[int, int]] = {
    -1: order.RANK_MIN_KEY,
    1: order.RANK_NUMBER,
    2: order.RANK_STRING,
    3: order.RANK_OBJECT,
    5: order.RANK_BINARY,
    6: order.RANK_UNDEFINED,
    7: order.RANK_OBJECT_ID,
    8: order.RANK_BOOL,
    9: order.RANK_DATE,
    10: order.RANK_NULL,
    11: order.RANK_REGEX,
    12: order.RANK_DB_POINTER,
    13: order.RANK_CODE,
    14: order.RANK_STRING,
    15: order.RANK_CODE_WITH_SCOPE,
    16: order.RANK_NUMBER,
    17: order.RANK_TIMESTAMP,
    18: order.RANK_NUMBER,
    19: order.RANK_NUMBER,
    127: order.RANK_MAX_KEY,
}
"""BSON type codes with the ranks they sort under; arrays have keys of every rank."""


def of_rank(rank: int) -> Interval:
    """Return the interval of all values of one canonical type."""
    low, high, inclusive = _EXTENTS[rank]
    if rank == order.RANK_NUMBER:
        low = math.nan
    return Interval((order.key(low), 0), (order.key(high), int(inclusive)), low, high)


# Predicates.


@dataclass(frozen=True, slots=True)
class Scope:
    """For which index field bounds are wanted.

    Args:
        collation: The index's collation (the query's is the same, or no string is compared).
        multikey: Some document has an array on the field's path, so it has several keys.

    """

    collation: Collation | None = None
    multikey: bool = False


def field_bounds(node: tree.Node, scope: Scope) -> FieldBounds:
    """Return the bounds a predicate gives for its path, `UNBOUNDED` if none.

    Args:
        node: A predicate with a path, or a combination of predicates all on that one path.
        scope: The index field.

    """
    found = _BOUNDS.get(type(node))
    return UNBOUNDED if found is None else found(node, scope)


def _bounds(intervals: Intervals, *, exact: bool) -> FieldBounds:
    return FieldBounds(intervals, exact, present=not contains(intervals, NULL_KEY))


def _compare(node: tree.Compare, scope: Scope) -> FieldBounds:
    value, op = node.value, node.op
    if op == "$eq":
        return _points((value,), scope)
    kind = type(value)
    if kind is MinKey or kind is MaxKey:
        return _beyond_extreme(op, kind)
    if value is None:
        # `$gte` and `$lte` of null let undefined through, as they do missing fields.
        both = union((point(UNDEFINED), point(None)))
        return _bounds(both if op in ("$gte", "$lte") else NOTHING, exact=False)
    if kind is list:
        # Compared with the array as a whole, of which the index has no key.
        return UNBOUNDED
    if _is_nan(value):
        return _bounds((point(value),) if op in ("$gte", "$lte") else NOTHING, exact=True)
    low, high, inclusive = _EXTENTS[order.type_rank(value)]
    key = order.key(value, scope.collation)
    if op in ("$lt", "$lte"):
        interval = Interval((order.key(low), 0), (key, int(op == "$lte")), low, value)
    else:
        end = (order.key(high), int(inclusive))
        interval = Interval((key, int(op == "$gt")), end, value, high)
    return _bounds((interval,) if interval.low < interval.high else NOTHING, exact=True)


def _beyond_extreme(op: str, kind: type) -> FieldBounds:
    """Bounds of comparisons with MinKey and MaxKey, which hold across types."""
    if op in ("$gt", "$gte") if kind is MinKey else op in ("$lt", "$lte"):
        return UNBOUNDED
    if op in ("$gte", "$lte"):
        return _bounds((point(kind()),), exact=True)
    return _bounds(NOTHING, exact=True)


def _is_nan(value: Any) -> bool:
    if type(value) is float:
        return math.isnan(value)
    return type(value) is Decimal128 and bool(value.to_decimal().is_nan())


def _points(values: Iterable[Any], scope: Scope) -> FieldBounds:
    """Return the bounds of equality with one of some values."""
    parts: list[Interval] = []
    exact = True
    for value in values:
        if value is None:
            # Null's key stands for a missing field too, and behind an array for an element
            # that is no object, which does not match.
            exact = exact and not scope.multikey
        elif type(value) is list:
            # An array has the keys of its elements; as an element itself it has its own.
            exact = False
            parts.append(point(value[0] if value else UNDEFINED, scope.collation))
        parts.append(point(value, scope.collation))
    return _bounds(union(parts), exact=exact)


def _in(node: tree.In, scope: Scope) -> FieldBounds:
    found = _points(node.values, scope)
    if not node.regexes:
        return found
    parts = [found, *(_regex(regex, scope) for regex in node.regexes)]
    return _any_of(parts)


def _any_of(parts: list[FieldBounds]) -> FieldBounds:
    return FieldBounds(
        union(interval for part in parts for interval in part.intervals),
        exact=all(part.exact for part in parts),
        present=all(part.present for part in parts),
    )


def _regex(node: tree.Regex, scope: Scope) -> FieldBounds:
    from psdb_query.regex_engine import compile_regex

    itself = point(RawRegex(node.pattern, "".join(sorted(node.options))))
    compiled = compile_regex(node.pattern, node.options)
    text = compiled.prefix
    if not text or scope.collation is not None:
        strings = of_rank(order.RANK_STRING)
        return FieldBounds(union((strings, itself)), present=True)
    end = _text_after(text)
    interval = Interval((order.key(text), 0), (order.key(end), 0), text, end)
    return FieldBounds(union((interval, itself)), exact=compiled.prefix_is_all, present=True)


def _text_after(prefix: str) -> Any:
    """Return the least value above all strings with this prefix."""
    while prefix:
        code = ord(prefix[-1]) + 1
        if code <= _CODE_POINT_MAX:
            return prefix[:-1] + chr(code if code not in _SURROGATES else _SURROGATES.stop)
        prefix = prefix[:-1]
    return {}


_CODE_POINT_MAX: Final = 0x10FFFF
_SURROGATES: Final = range(0xD800, 0xE000)


def _exists(_node: tree.Exists, _scope: Scope) -> FieldBounds:
    return FieldBounds(ALL, present=True)


def _type(node: tree.Type, _scope: Scope) -> FieldBounds:
    codes = (*node.codes, 1) if node.number else node.codes
    ranks = [_RANK_OF_TYPE.get(code) for code in codes]
    parts = [of_rank(rank) for rank in ranks if rank is not None]
    if len(parts) < len(ranks):
        return FieldBounds(ALL, present=True)
    exact = all(code in _SOLE_TYPES for code in node.codes)
    return FieldBounds(union(parts), exact=exact, present=True)


_SOLE_TYPES: Final = frozenset((-1, 3, 5, 7, 8, 9, 11, 12, 13, 15, 17, 127))
"""Type codes that share their rank with no other and whose keys stand for nothing else."""


def _number(_node: Any, _scope: Scope) -> FieldBounds:
    return _bounds((of_rank(order.RANK_NUMBER),), exact=False)


def _bits(_node: Any, _scope: Scope) -> FieldBounds:
    parts = (of_rank(order.RANK_NUMBER), of_rank(order.RANK_BINARY))
    return _bounds(union(parts), exact=False)


def _elem_match_value(node: tree.ElemMatchValue, scope: Scope) -> FieldBounds:
    """One element satisfies all: here bounds may be intersected whatever the index holds."""
    intervals = ALL
    for child in node.children:
        if _looks_into_arrays(child):
            continue
        intervals = intersect(intervals, field_bounds(child, scope).intervals)
    return FieldBounds(intervals, present=True)


def _looks_into_arrays(node: tree.Node) -> bool:
    """Tell whether a predicate on an element is about an array that the element itself is."""
    if isinstance(node, tree.Not):
        return _looks_into_arrays(node.child)
    if isinstance(node, (tree.And, tree.Nor, tree.Or)):
        return any(map(_looks_into_arrays, node.children))
    return isinstance(node, (tree.ElemMatchObject, tree.ElemMatchValue, tree.Size))


def _not(node: tree.Not, scope: Scope) -> FieldBounds:
    if isinstance(node.child, tree.Exists):
        return FieldBounds((point(None),))
    inner = field_bounds(node.child, scope)
    if not inner.exact:
        return UNBOUNDED
    # Behind arrays a key outside may have another beside it that is inside.
    return _bounds(complement(inner.intervals), exact=not scope.multikey)


def _and(node: tree.And, scope: Scope) -> FieldBounds:
    parts = [field_bounds(child, scope) for child in node.children]
    if scope.multikey and len(parts) > 1:
        # Different elements may satisfy different conditions: only one of them can bound.
        best = min(parts, key=looseness)
        present = any(part.present for part in parts)
        return FieldBounds(best.intervals, present=present)
    return all_of(parts)


def all_of(parts: Iterable[FieldBounds]) -> FieldBounds:
    """Return the bounds of values that satisfy several predicates at once."""
    intervals, exact, present = ALL, True, False
    for part in parts:
        intervals = intersect(intervals, part.intervals)
        exact = exact and part.exact
        present = present or part.present
    return FieldBounds(intervals, exact, present)


def _or(node: tree.Or, scope: Scope) -> FieldBounds:
    return _any_of([field_bounds(child, scope) for child in node.children])


def _nor(node: tree.Nor, scope: Scope) -> FieldBounds:
    return _and(tree.And(tuple(tree.Not(child) for child in node.children)), scope)


def _always(node: tree.Always, _scope: Scope) -> FieldBounds:
    return FieldBounds(ALL, exact=True) if node.value else FieldBounds(NOTHING, exact=True)


def looseness(bounds: FieldBounds) -> tuple[int, int]:
    """Rank bounds by how much they are likely to let through, the tightest first."""
    count = len(bounds.intervals)
    if bounds.is_points:
        return (0, count)
    if bounds.is_full:
        return (4, count)
    if any(part.low[0] == MIN_KEY or part.high[0] == MAX_KEY for part in bounds.intervals):
        return (3, count)
    open_ends = sum(_is_extent(part) for part in bounds.intervals)
    return (2 if open_ends else 1, count)


def _is_extent(interval: Interval) -> bool:
    """Tell whether an end of an interval is the end of a type."""
    return interval.low[0] in _ENDS or interval.high[0] in _ENDS


_ENDS: Final = frozenset(
    order.key(value) for low, high, _ in _EXTENTS.values() for value in (low, high)
)

_BOUNDS: Final[dict[type, Callable[[Any, Scope], FieldBounds]]] = {
    tree.Always: _always,
    tree.And: _and,
    tree.Bits: _bits,
    tree.Compare: _compare,
    tree.ElemMatchValue: _elem_match_value,
    tree.Exists: _exists,
    tree.In: _in,
    tree.Mod: _number,
    tree.Nor: _nor,
    tree.Not: _not,
    tree.Or: _or,
    tree.Regex: _regex,
    tree.Type: _type,
}

__all__ = [
    "ALL",
    "NOTHING",
    "UNBOUNDED",
    "FieldBounds",
    "Interval",
    "Intervals",
    "Scope",
    "all_of",
    "complement",
    "contains",
    "field_bounds",
    "intersect",
    "is_within",
    "looseness",
    "of_rank",
    "point",
    "union",
]
