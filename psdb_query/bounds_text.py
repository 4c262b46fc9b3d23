"""Index bounds as `explain` shows them: `[1, 5)`, `["a", {})`, `[MinKey, MaxKey]`."""

from __future__ import annotations

import math
from typing import Any

from psdb_query.bounds import FieldBounds, Interval
from psdb_query.describe import text_of


def bounds_text(bounds: FieldBounds, *, descending: bool = False) -> list[str]:
    """Return the intervals of a field in the direction in which a scan meets them."""
    intervals = reversed(bounds.intervals) if descending else bounds.intervals
    return [interval_text(interval, descending=descending) for interval in intervals]


def interval_text(interval: Interval, *, descending: bool = False) -> str:
    """Render one interval; a bracket includes its end, a parenthesis does not."""
    low = ("(" if interval.low[1] else "[", value_text(interval.low_value))
    high = ("]" if interval.high[1] else ")", value_text(interval.high_value))
    if not descending:
        return f"{low[0]}{low[1]}, {high[1]}{high[0]}"
    opening = "[" if interval.high[1] else "("
    closing = ")" if interval.low[1] else "]"
    return f"{opening}{high[1]}, {low[1]}{closing}"


def value_text(value: Any) -> str:
    """Render an end of an interval; doubles always carry a point."""
    if type(value) is float and not math.isfinite(value):
        return f"{value}.0"
    return text_of(value)
