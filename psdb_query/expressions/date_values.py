"""Operands of the date operators: dates, whole numbers, time units, days of the week."""

from __future__ import annotations

from typing import Any, Final

from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId
from bson.timestamp import Timestamp

from psdb_base.errors import MongoError
from psdb_query.describe import type_name
from psdb_query.expressions.calendar import DATE_MS_MAX, DATE_MS_MIN

UNITS: Final = frozenset(
    ("day", "hour", "millisecond", "minute", "month", "quarter", "second", "week", "year")
)

WEEKDAYS: Final[dict[str, int]] = {
    "fri": 5,
    "friday": 5,
    "mon": 1,
    "monday": 1,
    "sat": 6,
    "saturday": 6,
    "sun": 7,
    "sunday": 7,
    "thu": 4,
    "thursday": 4,
    "tue": 2,
    "tuesday": 2,
    "wed": 3,
    "wednesday": 3,
}
"""ISO number of a day of the week by its name in small letters."""


def date_ms_or_none(value: Any) -> int | None:
    """Milliseconds since 1970 of a date, a timestamp or an ObjectId; None for anything else."""
    kind = type(value)
    if kind is DatetimeMS:
        return int(value)
    if kind is Timestamp:
        return int(value.time) * 1000
    if kind is ObjectId:
        return int.from_bytes(value.binary[:4], "big") * 1000
    return None


def date_ms(value: Any) -> int:
    """Milliseconds since 1970 of a date operand; MongoError 16006 if it is none."""
    ms = date_ms_or_none(value)
    if ms is None:
        raise MongoError(16006, f"can't convert from BSON type {type_name(value)} to Date")
    return ms


def within_range(ms: int) -> bool:
    """Tell whether BSON can hold the date."""
    return DATE_MS_MIN <= ms <= DATE_MS_MAX


def whole_number(value: Any) -> int | None:
    """Return a number of any type as an int if it is a whole one in 64 bits, else None."""
    kind = type(value)
    if kind is int or kind is Int64:
        number = int(value)
    elif kind is float:
        if not value.is_integer():
            return None
        number = int(value)
    elif kind is Decimal128:
        exact = value.to_decimal()
        if not exact.is_finite() or exact.adjusted() > 19 or exact != exact.to_integral_value():
            return None
        number = int(exact)
    else:
        return None
    return number if DATE_MS_MIN <= number <= DATE_MS_MAX else None


def unit_operand(value: Any, name: str) -> str:
    """Return a time unit operand that is not nullish; MongoError 5439013 or 5439014."""
    if type(value) is not str:
        raise MongoError(
            5439013, f"{name} requires 'unit' to be a string, but got {type_name(value)}"
        )
    if value not in UNITS:
        raise MongoError(
            5439014, f"{name} parameter 'unit' value cannot be recognized as a time unit: {value}"
        )
    return value


def weekday_operand(value: Any, name: str) -> int:
    """Return the ISO number of a `startOfWeek` operand; MongoError 5439015 or 5439016."""
    if type(value) is not str:
        raise MongoError(
            5439015, f"{name} requires 'startOfWeek' to be a string, but got {type_name(value)}"
        )
    number = WEEKDAYS.get(value.lower())
    if number is None:
        raise MongoError(
            5439016,
            f"{name} parameter 'startOfWeek' value cannot be recognized as a day of a week: "
            f"{value}",
        )
    return number
