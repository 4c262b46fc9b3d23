"""The proleptic Gregorian calendar in plain integers, over the whole int64 range of dates.

Years are astronomical (year 0 is 1 BC). `days` counts days since 1970-01-01; `ms` counts
milliseconds since its midnight. Nothing here knows of time zones: see `timezones`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

MS_SECOND: Final = 1000
MS_MINUTE: Final = 60 * MS_SECOND
MS_HOUR: Final = 60 * MS_MINUTE
MS_DAY: Final = 24 * MS_HOUR

DATE_MS_MIN: Final = -(2**63)
DATE_MS_MAX: Final = 2**63 - 1

_DAYS_BEFORE_MONTH: Final = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)
_DAYS_IN_MONTH: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_EPOCH_SHIFT_DAYS: Final = 719_468
"""Days from 0000-03-01 to 1970-01-01: years that start in March end with the leap day."""
_ERA_DAYS: Final = 146_097
"""Days in 400 years, after which the calendar repeats."""


class Parts(NamedTuple):
    """A civil date and time: month 1–12, day 1–31, hour 0–23 and so on."""

    year: int
    month: int
    day: int
    hour: int
    minute: int
    second: int
    millisecond: int


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 of a civil date; `month` is 1–12, `day` may be any integer."""
    if month <= 2:
        year -= 1
        month += 12
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * (month - 3) + 2) // 5
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * _ERA_DAYS + day_of_era - _EPOCH_SHIFT_DAYS + day - 1


def civil_from_days(days: int) -> tuple[int, int, int]:
    """Year, month and day of a count of days since 1970-01-01."""
    era, day_of_era = divmod(days + _EPOCH_SHIFT_DAYS, _ERA_DAYS)
    leap_days = day_of_era // 1460 - day_of_era // 36_524 + day_of_era // 146_096
    year_of_era = (day_of_era - leap_days) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month_from_march + 2) // 5 + 1
    month = month_from_march + 3 if month_from_march < 10 else month_from_march - 9
    return era * 400 + year_of_era + (month <= 2), month, day


def is_leap(year: int) -> bool:
    """Tell whether the year has a 29th of February."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def days_in_month(year: int, month: int) -> int:
    """Return 28 to 31."""
    return 29 if month == 2 and is_leap(year) else _DAYS_IN_MONTH[month - 1]


def split(ms: int) -> Parts:
    """Civil date and time of milliseconds since 1970 (local, when the offset was added)."""
    days, rest = divmod(ms, MS_DAY)
    year, month, day = civil_from_days(days)
    seconds, millisecond = divmod(rest, MS_SECOND)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return Parts(year, month, day, hour, minute, second, millisecond)


def join(
    year: int, month: int, day: int, hour: int, minute: int, second: int, millisecond: int
) -> int:
    """Milliseconds since 1970 of a civil date whose parts may lie out of range and carry over."""
    carried, month_index = divmod(month - 1, 12)
    days = days_from_civil(year + carried, month_index + 1, day)
    return days * MS_DAY + hour * MS_HOUR + minute * MS_MINUTE + second * MS_SECOND + millisecond


def join_iso(
    iso_year: int,
    iso_week: int,
    iso_day: int,
    hour: int,
    minute: int,
    second: int,
    millisecond: int,
) -> int:
    """Milliseconds since 1970 of an ISO 8601 week date whose parts may carry over."""
    days = first_iso_monday(iso_year) + (iso_week - 1) * 7 + iso_day - 1
    return days * MS_DAY + hour * MS_HOUR + minute * MS_MINUTE + second * MS_SECOND + millisecond


def iso_weekday(days: int) -> int:
    """1 for Monday to 7 for Sunday."""
    return (days + 3) % 7 + 1


def weekday(days: int) -> int:
    """1 for Sunday to 7 for Saturday."""
    return (days + 4) % 7 + 1


def day_of_year(year: int, month: int, day: int) -> int:
    """1 to 366."""
    return _DAYS_BEFORE_MONTH[month - 1] + day + (month > 2 and is_leap(year))


def week_of_year(days: int) -> int:
    """0 to 53: weeks begin on Sundays, week 1 with the year's first Sunday (strftime's %U)."""
    year, month, day = civil_from_days(days)
    return (day_of_year(year, month, day) + 7 - weekday(days)) // 7


def first_iso_monday(iso_year: int) -> int:
    """Days since 1970 of the Monday of ISO week 1, the week of January 4th."""
    fourth = days_from_civil(iso_year, 1, 4)
    return fourth - (iso_weekday(fourth) - 1)


def iso_week(days: int) -> tuple[int, int]:
    """ISO 8601 year and week (1–53) of a day."""
    thursday = days - (iso_weekday(days) - 1) + 3
    iso_year = civil_from_days(thursday)[0]
    return iso_year, (thursday - days_from_civil(iso_year, 1, 1)) // 7 + 1
