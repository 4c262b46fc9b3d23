"""Bounds of an index as ranges of its byte keys, and the check of what ranges cannot say.

A compound key is its components one after another. Ranges cover leading fields with single
values, then one field with intervals; what later fields ask is checked key by key, and a key
that fails tells where the next possible one is, so that a scan skips what lies between.

Ranges are half open, `low <= key < high`. No component begins with the byte FF (inverted ones
neither), so `prefix + FF` lies behind every key that begins with `prefix`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from psdb_base import order
from psdb_query.bounds import Cut, FieldBounds, Interval
from psdb_query.bounds_keys import component_ends

Range: TypeAlias = tuple[bytes, bytes]

BEHIND: Final = b"\xff"
RANGES_MAX: Final = 100_000
"""More ranges than this are replaced by one around them and a check of each key."""

PointKey: TypeAlias = Callable[[Any], bytes]


@dataclass(frozen=True, slots=True)
class Column:
    """One field of an index as ranges see it.

    Args:
        descending: Its components are inverted.
        point_key: Makes the component of a value where `order.key` does not (hashed fields).

    """

    descending: bool = False
    point_key: PointKey | None = None


@dataclass(frozen=True, slots=True)
class KeyRanges:
    """Where to look in an index.

    Args:
        ranges: Ascending and disjoint, in the index's own order.
        check: Tests keys within the ranges; None when all of them belong.
        points: How many leading fields have single values only.

    """

    ranges: tuple[Range, ...]
    check: KeyCheck | None
    points: int


def key_ranges(bounds: Sequence[FieldBounds], columns: Sequence[Column]) -> KeyRanges:
    """Turn the bounds of an index's fields into ranges of its keys."""
    fields = [_byte_intervals(part, column) for part, column in zip(bounds, columns, strict=True)]
    prefixes, at = [b""], 0
    while at < len(fields) and bounds[at].is_points:
        if len(prefixes) * len(fields[at]) > RANGES_MAX:
            break
        prefixes = [prefix + low for prefix in prefixes for low, _ in fields[at]]
        at += 1
    points = at
    ranges: Sequence[Range]
    if at < len(fields) and len(prefixes) * len(fields[at]) <= RANGES_MAX:
        ranges = [(prefix + low, prefix + high) for prefix in prefixes for low, high in fields[at]]
        at += 1
    else:
        ranges = [(prefix, prefix + BEHIND) for prefix in prefixes]
    rest = range(at, len(fields))
    checked = [number for number in rest if not bounds[number].is_full]
    check = KeyCheck(fields, columns, checked) if checked else None
    return KeyRanges(tuple(ranges), check, points)


def _byte_intervals(bounds: FieldBounds, column: Column) -> list[Range]:
    if column.point_key is not None:
        if not bounds.is_points:
            return [(b"", BEHIND)]
        make = column.point_key
        keys = {make(interval.low_value) for interval in bounds.intervals}
        return [(key, key + BEHIND) for key in sorted(keys)]
    if column.descending:
        return [_inverted(interval) for interval in reversed(bounds.intervals)]
    return [(_place(interval.low), _place(interval.high)) for interval in bounds.intervals]


def _place(cut: Cut) -> bytes:
    key, side = cut
    return key + BEHIND if side else key


def _inverted(interval: Interval) -> Range:
    (low, low_side), (high, high_side) = interval.low, interval.high
    return (
        _place((order.descending(high), 1 - high_side)),
        _place((order.descending(low), 1 - low_side)),
    )


class KeyCheck:
    """Tests the components of keys that ranges leave open.

    Args:
        fields: Byte intervals of every field of the index.
        columns: The index's fields.
        checked: Numbers of the fields to test, ascending.

    """

    __slots__ = ("_descending", "_fields")

    def __init__(
        self, fields: list[list[Range]], columns: Sequence[Column], checked: list[int]
    ) -> None:
        last = checked[-1]
        self._descending = tuple(column.descending for column in columns[: last + 1])
        self._fields = [
            (number, [low for low, _ in fields[number]], [high for _, high in fields[number]])
            for number in checked
        ]

    def ahead(self, key: bytes) -> bytes | None:
        """Return None if a key belongs, else the least key from which others may (forward)."""
        ends = component_ends(key, self._descending)
        for number, lows, highs in self._fields:
            start = ends[number - 1] if number else 0
            part = key[start : ends[number]]
            at = bisect_right(lows, part)
            if at and part < highs[at - 1]:
                continue
            prefix = key[:start]
            return prefix + lows[at] if at < len(lows) else prefix + BEHIND
        return None

    def behind(self, key: bytes) -> bytes | None:
        """Return None if a key belongs, else the key below which others may (backward)."""
        ends = component_ends(key, self._descending)
        for number, lows, highs in self._fields:
            start = ends[number - 1] if number else 0
            part = key[start : ends[number]]
            at = bisect_right(lows, part)
            if at and part < highs[at - 1]:
                continue
            prefix = key[:start]
            below = bisect_right(highs, part)
            return prefix + highs[below - 1] if below else prefix
        return None
