"""Units of time in windows and ranges."""

from __future__ import annotations

from typing import Final

from psdb_base.errors import Code, MongoError

MILLISECONDS: Final = {
    "day": 86_400_000,
    "hour": 3_600_000,
    "millisecond": 1,
    "minute": 60_000,
    "second": 1_000,
    "week": 604_800_000,
}
"""Units of fixed length."""

UNITS: Final = (*MILLISECONDS, "month", "quarter", "year")


def check_unit(unit: str) -> str:
    """Return a unit; 9 FailedToParse for what is none."""
    if unit not in UNITS:
        raise MongoError(Code.FAILED_TO_PARSE, f"unknown time unit value: {unit}")
    return unit
