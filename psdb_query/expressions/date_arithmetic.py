"""Dates moved, compared and rounded: `$dateAdd`, `$dateSubtract`, `$dateDiff`, `$dateTrunc`.

Units of a day and more are counted on the clock of the time zone, smaller ones in elapsed time.
"""

from __future__ import annotations

from typing import Any, Final

from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64

from psdb_base.errors import Code, MongoError
from psdb_query.context import CompileContext, Env
from psdb_query.describe import text_of, type_name
from psdb_query.expressions import calendar
from psdb_query.expressions.calendar import MS_DAY, MS_HOUR, MS_MINUTE, MS_SECOND
from psdb_query.expressions.core import (
    Expr,
    Named,
    Operator,
    compile_named,
    derive,
    is_nullish,
)
from psdb_query.expressions.date_values import (
    UNITS,
    date_ms_or_none,
    unit_operand,
    weekday_operand,
    whole_number,
    within_range,
)
from psdb_query.expressions.timezones import Zone, zone_reader

_FIXED_MS: Final = {
    "hour": MS_HOUR,
    "millisecond": 1,
    "minute": MS_MINUTE,
    "second": MS_SECOND,
}
"""Units that are the same length everywhere."""
_DAYS: Final = {"day": 1, "week": 7}
_MONTHS: Final = {"month": 1, "quarter": 3, "year": 12}
_AMOUNT_MAX: Final = {
    "day": 213_503_982_335,
    "hour": 5_124_095_576_030,
    "millisecond": 2**63 - 1,
    "minute": 307_445_734_561_825,
    "month": 7_019_309_008,
    "quarter": 2_339_769_669,
    "second": 18_446_744_073_709_551,
    "week": 30_500_568_905,
    "year": 584_942_417,
}
"""Amounts beyond these leave the range of dates from wherever they start."""
_REFERENCE_DAYS: Final = calendar.days_from_civil(2000, 1, 1)
"""Bins of `$dateTrunc` are counted from this day."""


def add(ms: int, unit: str, amount: int, zone: Zone) -> int:
    """Move an instant by `amount` units; the result may lie outside the range of dates."""
    if unit in _FIXED_MS:
        return ms + amount * _FIXED_MS[unit]
    if amount == 0:
        return ms
    local = zone.local(ms)
    if unit in _DAYS:
        return zone.instant(local + amount * _DAYS[unit] * MS_DAY)
    days, time = divmod(local, MS_DAY)
    year, month, day = calendar.civil_from_days(days)
    year, month_index = divmod(year * 12 + month - 1 + amount * _MONTHS[unit], 12)
    day = min(day, calendar.days_in_month(year, month_index + 1))
    return zone.instant(calendar.days_from_civil(year, month_index + 1, day) * MS_DAY + time)


def difference(start: int, end: int, unit: str, zone: Zone, start_of_week: int) -> int:
    """Count the boundaries of `unit` that lie between two instants."""
    if unit == "hour":
        first = (start + zone.offset_ms(start) % MS_HOUR) // MS_HOUR
        return (end + zone.offset_ms(end) % MS_HOUR) // MS_HOUR - first
    if unit in _FIXED_MS:
        return end // _FIXED_MS[unit] - start // _FIXED_MS[unit]
    first_day = zone.local(start) // MS_DAY
    last_day = zone.local(end) // MS_DAY
    if unit == "day":
        return last_day - first_day
    if unit == "week":
        # Day 0 of the count is a Thursday (4).
        return (last_day + 4 - start_of_week) // 7 - (first_day + 4 - start_of_week) // 7
    return _months_before(last_day) // _MONTHS[unit] - _months_before(first_day) // _MONTHS[unit]


def _months_before(days: int) -> int:
    year, month, _ = calendar.civil_from_days(days)
    return year * 12 + month - 1


def truncate(ms: int, unit: str, bin_size: int, zone: Zone, start_of_week: int) -> int:
    """Return the start of the bin of `bin_size` units that an instant lies in."""
    if unit in _FIXED_MS:
        size = _FIXED_MS[unit] * bin_size
        reference = zone.instant(_REFERENCE_DAYS * MS_DAY)
        return ms - (ms - reference) % size
    days = zone.local(ms) // MS_DAY
    if unit in _DAYS:
        reference = _REFERENCE_DAYS
        if unit == "week":
            reference += (start_of_week - calendar.iso_weekday(reference)) % 7
        days -= (days - reference) % (bin_size * _DAYS[unit])
        return zone.instant(days * MS_DAY)
    months = _months_before(days)
    months -= (months - 2000 * 12) % (bin_size * _MONTHS[unit])
    year, month_index = divmod(months, 12)
    return zone.instant(calendar.days_from_civil(year, month_index + 1, 1) * MS_DAY)


# $dateAdd and $dateSubtract


def _date_add_operator(name: str, sign: int) -> Operator:
    fields = Named(
        name,
        ("startDate", "unit", "amount"),
        ("timezone",),
        not_object=(5166400, "{name} expects an object as its argument"),
        unknown=(
            5166401,
            (
                "Unrecognized argument to {name}: {field}. "
                "Expected arguments are startDate, unit, amount, and optionally timezone."
            ),
        ),
        missing={"": (5166402, "{name} requires startDate, unit, and amount to be present")},
    )

    def compile_add(spec: Any, ctx: CompileContext) -> Expr:
        operands = compile_named(spec, ctx, fields)
        readers = [operands[field].evaluate for field in fields.required]
        read_zone = zone_reader(operands.get("timezone"))

        def evaluate(doc: Any, env: Env) -> Any:
            values = []
            for read in readers:
                value = read(doc, env)
                if is_nullish(value):
                    return None
                values.append(value)
            zone = read_zone(doc, env)
            return None if zone is None else _added(name, sign, values, zone)

        return derive(evaluate, operands.values())

    return Operator(compile_add)


def _added(name: str, sign: int, values: list[Any], zone: Zone) -> DatetimeMS:
    start, unit, amount_value = values
    ms = date_ms_or_none(start)
    if ms is None:
        raise MongoError(5166403, f"{name} requires startDate to be convertible to a date")
    if type(unit) is not str:
        raise MongoError(5166404, f"{name} expects string defining the time unit")
    if unit not in UNITS:
        raise MongoError(Code.FAILED_TO_PARSE, f"unknown time unit value: {unit}")
    amount = whole_number(amount_value)
    if amount is None:
        raise MongoError(5166405, f"{name} expects integer amount of time units")
    if sign < 0 and amount == calendar.DATE_MS_MIN:
        raise MongoError(6045000, f"invalid dateSubtract 'amount' parameter value: {amount} {unit}")
    if abs(amount) > _AMOUNT_MAX[unit]:
        raise MongoError(5976500, f"invalid dateAdd 'amount' parameter value: {amount} {unit}")
    result = add(ms, unit, sign * amount, zone)
    if not within_range(result):
        raise MongoError(5166406, "dateAdd overflowed")
    return DatetimeMS(result)


# $dateDiff

_DIFF: Final = Named(
    "$dateDiff",
    ("startDate", "endDate", "unit"),
    ("timezone", "startOfWeek"),
    not_object=(5166301, "{name} only supports an object as its argument"),
    unknown=(5166302, "Unrecognized argument to {name}: {field}"),
    missing={
        "endDate": (5166304, "Missing '{field}' parameter to {name}"),
        "startDate": (5166303, "Missing '{field}' parameter to {name}"),
        "unit": (5166305, "Missing '{field}' parameter to {name}"),
    },
)


def _compile_diff(spec: Any, ctx: CompileContext) -> Expr:
    operands = compile_named(spec, ctx, _DIFF)
    readers = [operands[field].evaluate for field in _DIFF.required]
    week_expr = operands.get("startOfWeek")
    read_zone = zone_reader(operands.get("timezone"))

    def evaluate(doc: Any, env: Env) -> Any:
        values = []
        for read in readers:
            value = read(doc, env)
            if is_nullish(value):
                return None
            values.append(value)
        start, end, unit = values
        weekday = "sunday"
        if unit == "week" and week_expr is not None:
            weekday = week_expr.evaluate(doc, env)
        zone = read_zone(doc, env)
        if zone is None or is_nullish(weekday):
            return None
        first = _diff_date(start, "startDate")
        last = _diff_date(end, "endDate")
        unit = unit_operand(unit, "$dateDiff")
        number = difference(first, last, unit, zone, weekday_operand(weekday, "$dateDiff"))
        if not within_range(number):
            raise MongoError(5166308, "dateDiff overflowed")
        return Int64(number)

    return derive(evaluate, operands.values())


def _diff_date(value: Any, field: str) -> int:
    ms = date_ms_or_none(value)
    if ms is None:
        raise MongoError(
            5166307, f"$dateDiff requires '{field}' to be a date, but got {type_name(value)}"
        )
    return ms


# $dateTrunc

_TRUNC: Final = Named(
    "$dateTrunc",
    ("date", "unit"),
    ("binSize", "timezone", "startOfWeek"),
    not_object=(5439007, "{name} only supports an object as its argument"),
    unknown=(
        5439008,
        (
            "Unrecognized argument to {name}: {field}. Expected arguments are date, unit, and "
            "optionally, binSize, timezone, startOfWeek"
        ),
    ),
    missing={
        "date": (5439009, "Missing '{field}' parameter to {name}"),
        "unit": (5439010, "Missing '{field}' parameter to {name}"),
    },
)


def _compile_trunc(spec: Any, ctx: CompileContext) -> Expr:
    operands = compile_named(spec, ctx, _TRUNC)
    date_value = operands["date"].evaluate
    unit_value = operands["unit"].evaluate
    bin_expr = operands.get("binSize")
    week_expr = operands.get("startOfWeek")
    read_zone = zone_reader(operands.get("timezone"))

    def evaluate(doc: Any, env: Env) -> Any:
        date = date_value(doc, env)
        unit = unit_value(doc, env)
        size = 1 if bin_expr is None else bin_expr.evaluate(doc, env)
        if is_nullish(date) or is_nullish(unit) or is_nullish(size):
            return None
        weekday = "sunday"
        if unit == "week" and week_expr is not None:
            weekday = week_expr.evaluate(doc, env)
        zone = read_zone(doc, env)
        if zone is None or is_nullish(weekday):
            return None
        return _truncated(date, unit, size, weekday, zone)

    return derive(evaluate, operands.values())


def _truncated(date: Any, unit_value: Any, size: Any, weekday: Any, zone: Zone) -> DatetimeMS:
    ms = date_ms_or_none(date)
    if ms is None:
        raise MongoError(
            5439012, f"$dateTrunc requires 'date' to be a date, but got {type_name(date)}"
        )
    bin_size = whole_number(size)
    if bin_size is None:
        raise MongoError(
            5439017,
            "$dateTrunc requires 'binSize' to be a 64-bit integer, "
            f"but got value '{text_of(size)}' of type {type_name(size)}",
        )
    if bin_size <= 0:
        raise MongoError(
            5439018, f"$dateTrunc requires 'binSize' to be greater than 0, but got value {bin_size}"
        )
    unit = unit_operand(unit_value, "$dateTrunc")
    start_of_week = weekday_operand(weekday, "$dateTrunc")
    result = truncate(ms, unit, bin_size, zone, start_of_week)
    if not within_range(result):
        raise MongoError(5439000, "dateTrunc overflowed")
    return DatetimeMS(result)


OPERATORS: Final[dict[str, Operator]] = {
    "$dateAdd": _date_add_operator("$dateAdd", 1),
    "$dateDiff": Operator(_compile_diff),
    "$dateSubtract": _date_add_operator("$dateSubtract", -1),
    "$dateTrunc": Operator(_compile_trunc),
}
