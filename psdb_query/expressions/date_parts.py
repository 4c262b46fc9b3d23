"""Dates taken apart and put together: `$year` … `$isoWeekYear`, `$dateToParts`, `$dateFromParts`.

Also `$tsSecond` and `$tsIncrement`, the two parts of a timestamp.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64
from bson.timestamp import Timestamp

from psdb_base.errors import Code, MongoError
from psdb_query.context import CompileContext, Env
from psdb_query.describe import text_of, type_name
from psdb_query.expressions import calendar
from psdb_query.expressions.calendar import MS_DAY
from psdb_query.expressions.core import (
    Expr,
    Named,
    Operator,
    compile_expression,
    compile_named,
    derive,
    is_nullish,
    unary,
)
from psdb_query.expressions.date_values import date_ms, whole_number, within_range
from psdb_query.expressions.timezones import find_zone, zone_reader

Part = Callable[[int], Any]
"""A part of a civil time: milliseconds on the zone's clock → number."""


def _date_operands(name: str, spec: Any) -> tuple[Any, Any, bool]:
    """Return the specifications of date and timezone, and whether the latter was given."""
    if type(spec) is list:
        if len(spec) != 1:
            raise MongoError(
                40536,
                f"{name} accepts exactly one argument if given an array, but was given {len(spec)}",
            )
        return spec[0], None, False
    if type(spec) is not dict or next(iter(spec), "").startswith("$"):
        return spec, None, False
    for field in spec:
        if field not in ("date", "timezone"):
            raise MongoError(40535, f'unrecognized option to {name}: "{field}"')
    if "date" not in spec:
        raise MongoError(
            40539, f"missing 'date' argument to {name}, provided: {name}: {text_of(spec)}"
        )
    return spec["date"], spec.get("timezone"), "timezone" in spec


def _part_operator(name: str, part: Part) -> Operator:
    def compile_part(spec: Any, ctx: CompileContext) -> Expr:
        date_spec, zone_spec, zoned = _date_operands(name, spec)
        date = compile_expression(date_spec, ctx)
        date_value = date.evaluate

        def in_utc(doc: Any, env: Env) -> Any:
            value = date_value(doc, env)
            return None if is_nullish(value) else part(date_ms(value))

        if not zoned:
            return derive(in_utc, (date,))
        zone = compile_expression(zone_spec, ctx)
        zone_value = zone.evaluate

        def in_zone(doc: Any, env: Env) -> Any:
            value = date_value(doc, env)
            if is_nullish(value):
                return None
            ms = date_ms(value)
            zone_name = zone_value(doc, env)
            if is_nullish(zone_name):
                return None
            return part(_zone_argument(name, zone_name).local(ms))

        return derive(in_zone, (date, zone))

    return Operator(compile_part)


def _zone_argument(name: str, value: Any) -> Any:
    if type(value) is not str:
        raise MongoError(
            40533,
            f"{name} requires a string for the timezone argument, "
            f"but was given a {type_name(value)} ({text_of(value)})",
        )
    return find_zone(value)


def _day_of_year(local: int) -> int:
    parts = calendar.split(local)
    return calendar.day_of_year(parts.year, parts.month, parts.day)


# $dateToParts

_TO_PARTS: Final = Named(
    "$dateToParts",
    ("date",),
    ("timezone", "iso8601"),
    not_object=(40524, "{name} only supports an object as its argument"),
    unknown=(40520, "Unrecognized argument to {name}: {field}"),
    missing={"": (40522, "Missing '{field}' parameter to {name}")},
)


def _compile_to_parts(spec: Any, ctx: CompileContext) -> Expr:
    operands = compile_named(spec, ctx, _TO_PARTS)
    date = operands["date"].evaluate
    read_zone = zone_reader(operands.get("timezone"))
    iso_expr = operands.get("iso8601")

    def evaluate(doc: Any, env: Env) -> Any:
        value = date(doc, env)
        zone = read_zone(doc, env)
        iso = False if iso_expr is None else _iso_flag(iso_expr.evaluate(doc, env))
        if zone is None or iso is None or is_nullish(value):
            return None
        return _parts_document(zone.local(date_ms(value)), iso=iso)

    return derive(evaluate, operands.values())


def _iso_flag(value: Any) -> bool | None:
    if is_nullish(value):
        return None
    if type(value) is not bool:
        raise MongoError(40521, f"iso8601 must evaluate to a bool, found {type_name(value)}")
    return value


def _parts_document(local: int, *, iso: bool) -> dict[str, int]:
    parts = calendar.split(local)
    if iso:
        days = local // MS_DAY
        iso_year, iso_week = calendar.iso_week(days)
        result = {
            "isoWeekYear": iso_year,
            "isoWeek": iso_week,
            "isoDayOfWeek": calendar.iso_weekday(days),
        }
    else:
        result = {"year": parts.year, "month": parts.month, "day": parts.day}
    result["hour"] = parts.hour
    result["minute"] = parts.minute
    result["second"] = parts.second
    result["millisecond"] = parts.millisecond
    return result


# $dateFromParts

_CIVIL_FIELDS: Final = ("year", "month", "day")
_ISO_FIELDS: Final = ("isoWeekYear", "isoWeek", "isoDayOfWeek")
_TIME_FIELDS: Final = ("hour", "minute", "second", "millisecond")
_FROM_PARTS: Final = Named(
    "$dateFromParts",
    (),
    (*_CIVIL_FIELDS, *_ISO_FIELDS, *_TIME_FIELDS, "timezone"),
    not_object=(40519, "{name} only supports an object as its argument"),
    unknown=(40518, "Unrecognized argument to {name}: {field}"),
)
_YEAR_ERRORS: Final = {"isoWeekYear": 31095, "year": 40523}
_WIDE_FIELDS: Final = frozenset(("millisecond", "second"))
_WIDE_LIMIT: Final = 2**63 - 1


def _check_from_parts(spec: dict[str, Any]) -> bool:
    """Return whether the parts are ISO ones."""
    if "year" not in spec and "isoWeekYear" not in spec:
        raise MongoError(
            40516, "$dateFromParts requires either 'year' or 'isoWeekYear' to be present"
        )
    if "year" in spec and any(field in spec for field in _ISO_FIELDS):
        raise MongoError(40489, "$dateFromParts does not allow mixing natural dates with ISO dates")
    if "isoWeekYear" in spec and ("month" in spec or "day" in spec):
        raise MongoError(40525, "$dateFromParts does not allow mixing ISO dates with natural dates")
    return "isoWeekYear" in spec


def _compile_from_parts(spec: Any, ctx: CompileContext) -> Expr:
    iso = _check_from_parts(_FROM_PARTS.check(spec))
    operands = compile_named(spec, ctx, _FROM_PARTS)
    date_fields = _ISO_FIELDS if iso else _CIVIL_FIELDS
    readers = [
        (field, operands[field].evaluate if field in operands else None, default)
        for fields, default in ((_TIME_FIELDS, 0), (date_fields, 1))
        for field in fields
    ]
    join = calendar.join_iso if iso else calendar.join
    read_zone = zone_reader(operands.get("timezone"))

    def evaluate(doc: Any, env: Env) -> Any:
        numbers = []
        for field, read, default in readers:
            number = default if read is None else _part_operand(field, read(doc, env))
            if number is None:
                return None
            numbers.append(number)
        zone = read_zone(doc, env)
        if zone is None:
            return None
        time, date = numbers[:4], numbers[4:]
        ms = zone.instant(join(*date, *time))
        if not within_range(ms):
            raise _overflow()
        return DatetimeMS(ms)

    return derive(evaluate, operands.values())


def _overflow() -> MongoError:
    return MongoError(
        Code.DURATION_OVERFLOW,
        "Overflow casting from a lower-precision duration to a higher-precision duration",
    )


def _part_operand(field: str, value: Any) -> int | None:
    """Return a part that was given, None if it is nullish."""
    if is_nullish(value):
        return None
    number = whole_number(value)
    if number is None:
        raise MongoError(
            40515,
            f"'{field}' must evaluate to an integer, "
            f"found {type_name(value)} with value {text_of(value)}",
        )
    code = _YEAR_ERRORS.get(field)
    if code is not None:
        if not 1 <= number <= 9999:
            raise MongoError(
                code,
                f"'{field}' must evaluate to an integer in the range 1 to 9999, found {number}",
            )
    elif field in _WIDE_FIELDS:
        scale = 1000 if field == "second" else 1
        if abs(number) * scale > _WIDE_LIMIT:
            raise _overflow()
    elif not -32768 <= number <= 32767:
        raise MongoError(
            31034,
            f"'{field}' must evaluate to a value in the range [-32768, 32767]; "
            f"value {number} is not in range",
        )
    return number


# Timestamps


def _timestamp_part(name: str, code: int, part: Callable[[Timestamp], int]) -> Operator:
    def function(value: Any) -> Any:
        if is_nullish(value):
            return None
        if type(value) is not Timestamp:
            raise MongoError(
                code, f" Argument to {name} must be a timestamp, but is {type_name(value)}"
            )
        return Int64(part(value))

    return unary(name, function)


OPERATORS: Final[dict[str, Operator]] = {
    "$dateFromParts": Operator(_compile_from_parts),
    "$dateToParts": Operator(_compile_to_parts),
    "$dayOfMonth": _part_operator("$dayOfMonth", lambda local: calendar.split(local).day),
    "$dayOfWeek": _part_operator("$dayOfWeek", lambda local: calendar.weekday(local // MS_DAY)),
    "$dayOfYear": _part_operator("$dayOfYear", _day_of_year),
    "$hour": _part_operator("$hour", lambda local: calendar.split(local).hour),
    "$isoDayOfWeek": _part_operator(
        "$isoDayOfWeek", lambda local: calendar.iso_weekday(local // MS_DAY)
    ),
    "$isoWeek": _part_operator("$isoWeek", lambda local: calendar.iso_week(local // MS_DAY)[1]),
    "$isoWeekYear": _part_operator(
        "$isoWeekYear", lambda local: Int64(calendar.iso_week(local // MS_DAY)[0])
    ),
    "$millisecond": _part_operator("$millisecond", lambda local: local % 1000),
    "$minute": _part_operator("$minute", lambda local: calendar.split(local).minute),
    "$month": _part_operator("$month", lambda local: calendar.split(local).month),
    "$second": _part_operator("$second", lambda local: calendar.split(local).second),
    "$tsIncrement": _timestamp_part("$tsIncrement", 5687302, lambda stamp: stamp.inc),
    "$tsSecond": _timestamp_part("$tsSecond", 5687301, lambda stamp: stamp.time),
    "$week": _part_operator("$week", lambda local: calendar.week_of_year(local // MS_DAY)),
    "$year": _part_operator("$year", lambda local: calendar.split(local).year),
}
