"""Date strings without a given format: ISO 8601 and the common written forms.

The text is cut from left to right into dates, times, zones and names of weekdays; at each place
the longest match counts. Each kind may occur once. What MongoDB's reader accepts beyond that,
relative times such as `tomorrow` or `+1 week`, needs a clock and is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from psdb_query.expressions import calendar
from psdb_query.expressions.calendar import MS_HOUR
from psdb_query.expressions.date_format import MONTHS
from psdb_query.expressions.date_text import (
    ABBREVIATIONS,
    NUMERIC_OFFSET,
    DateSyntaxError,
    check_zone_use,
    conversion_failure,
    incomplete,
    offset_of,
    syntax_failure,
)
from psdb_query.expressions.date_values import WEEKDAYS, within_range
from psdb_query.expressions.timezones import Zone

_MONTH_NAMES: Final = {name.lower(): n for n, name in enumerate(MONTHS, 1)} | {
    name[:3].lower(): n for n, name in enumerate(MONTHS, 1)
}
_MONTH: Final = r"(?P<mon>" + "|".join([*MONTHS, "Sept", *(name[:3] for name in MONTHS)]) + ")"
_DAY: Final = r"(?P<d>3[01]|[12][0-9]|0?[0-9])"
_MONTH_NUMBER: Final = r"(?P<m>1[0-2]|0?[0-9])"
_YEAR: Final = r"(?P<y>[0-9]{4})"
_ORDINAL: Final = r"(?:st|nd|rd|th)?"
_TIME_TAIL: Final = r"(?P<H>[01]?[0-9]|2[0-4])"
_END: Final = r"(?![0-9])"


@dataclass(slots=True)
class _Found:
    """What has been read so far; dates as civil fields, the zone as an offset in ms."""

    date: tuple[int, int, int] | None = None
    time: tuple[int, int, int, int] | None = None
    offset: int | None = None
    weekday: int | None = None
    instant: int | None = None


Match = re.Match[str]


def _month_of(name: str) -> int:
    return _MONTH_NAMES[name[:3].lower()]


def _year_of(text: str) -> int:
    year = int(text)
    if len(text) > 2:
        return year
    return year + (2000 if year < 70 else 1900)


def _civil(match: Match) -> tuple[int, int, int]:
    return int(match["y"]), int(match["m"]), int(match["d"])


def _written(match: Match) -> tuple[int, int, int]:
    groups = match.groupdict()
    return _year_of(match["y"]), _month_of(match["mon"]), int(groups.get("d") or 1)


def _iso_week_date(match: Match) -> tuple[int, int, int]:
    days = calendar.first_iso_monday(int(match["y"]))
    days += (int(match["w"]) - 1) * 7 + int(match["d"] or 1) - 1
    return calendar.civil_from_days(days)


def _ordinal_date(match: Match) -> tuple[int, int, int]:
    days = calendar.days_from_civil(int(match["y"]), 1, 1) + int(match["j"]) - 1
    return calendar.civil_from_days(days)


def _first_of_month(match: Match) -> tuple[int, int, int]:
    return int(match["y"]), int(match["m"]), 1


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


_DATES: Final[tuple[tuple[re.Pattern[str], Callable[[Match], tuple[int, int, int]]], ...]] = (
    (_pattern(rf"(?P<y>[+-]?[0-9]{{4,9}})-{_MONTH_NUMBER}-{_DAY}"), _civil),
    (_pattern(rf"{_YEAR}/{_MONTH_NUMBER}/{_DAY}{_END}"), _civil),
    (_pattern(r"(?P<y>[0-9]{4})(?P<m>1[0-2]|0[1-9])(?P<d>3[01]|[12][0-9]|0[1-9])"), _civil),
    (_pattern(rf"{_MONTH_NUMBER}/{_DAY}/{_YEAR}"), _civil),
    (_pattern(rf"{_DAY}[.\t-]{_MONTH_NUMBER}[.-]{_YEAR}"), _civil),
    (_pattern(rf"{_YEAR}-{_MONTH_NUMBER}{_END}"), _first_of_month),
    (_pattern(rf"{_YEAR}-?W(?P<w>5[0-3]|[1-4][0-9]|0[1-9])(?:-?(?P<d>[0-7]))?"), _iso_week_date),
    (_pattern(rf"{_YEAR}[.-]?(?P<j>36[0-6]|3[0-5][0-9]|[0-2][0-9]{{2}}){_END}"), _ordinal_date),
    (_pattern(rf"{_DAY}{_ORDINAL}[ \t.-]*{_MONTH}[ \t.,-]*(?P<y>[0-9]{{4}}|[0-9]{{2}}){_END}"),
     _written),
    (_pattern(rf"{_MONTH}[ \t.-]*{_DAY}{_ORDINAL}[ \t,.]+(?P<y>[0-9]{{4}}){_END}"), _written),
    (_pattern(rf"{_MONTH}-(?P<d>3[01]|[0-2][0-9])-(?P<y>[0-9]{{4}})"), _written),
    (_pattern(rf"{_YEAR}-{_MONTH}-(?P<d>3[01]|[0-2][0-9])"), _written),
    (_pattern(rf"{_YEAR}[ \t.-]*{_MONTH}[ \t.-]*{_DAY}{_END}"), _written),
    (_pattern(rf"{_MONTH}[ \t.,-]*{_YEAR}"), _written),
    (_pattern(rf"{_YEAR}[ \t.-]*{_MONTH}"), _written),
)  # fmt: skip

_SECONDS: Final = r"(?P<S>[0-5]?[0-9]|60)"
_TIMES: Final = (
    _pattern(
        rf"t?{_TIME_TAIL}[:.](?P<M>[0-5]?[0-9])(?:[:.]{_SECONDS}(?:[.,:](?P<f>[0-9]+))?)?"
        rf"(?:[ \t]*(?P<half>[ap])\.?m\.?)?{_END}"
    ),
    _pattern(r"t?(?P<H>0?[1-9]|1[0-2])[ \t]*(?P<half>[ap])\.?m\.?(?![a-z])"),
    _pattern(
        r"t(?P<H>[01][0-9]|2[0-4])(?P<M>[0-5][0-9])(?:(?P<S>[0-5][0-9]|60)(?:[.,](?P<f>[0-9]+))?)?"
        rf"{_END}"
    ),
    _pattern(r"t(?P<H>[01]?[0-9]|2[0-4])(?![0-9:])"),
    _pattern(rf"(?P<H>[01][0-9]|2[0-4])(?P<M>[0-5][0-9]){_END}"),
)
_PLAIN: Final = re.compile(
    r"([0-9]{4})-(1[0-2]|0[0-9])-([0-2][0-9]|3[01])"
    r"(?:[Tt ]([01][0-9]|2[0-4]):([0-5][0-9])(?::([0-5][0-9])(?:\.([0-9]+))?)?([Zz]?))?\Z"
)
"""What most dates look like; read without the search for the longest match."""
_WORD: Final = re.compile(r"[A-Za-z]+(?:[/_][A-Za-z_/+-]+[0-9]*)?")
_EPOCH: Final = re.compile(r"@(-?[0-9]{1,18})(?:\.([0-9]{0,6}))?")
_SKIPPED: Final = " \t.,;()"


def _read_time(match: Match) -> tuple[int, int, int, int]:
    groups = match.groupdict()
    hour = int(groups["H"])
    half = groups.get("half")
    if half is not None:
        hour = hour % 12 + (12 if half.lower() == "p" else 0)
    fraction = (groups.get("f") or "0")[:3].ljust(3, "0")
    return hour, int(groups.get("M") or 0), int(groups.get("S") or 0), int(fraction)


def scan_date(text: str, zone: Zone) -> int:
    """Read a date in any form; milliseconds since 1970.

    Raises MongoError 241 ConversionFailure.
    """
    plain = _PLAIN.match(text)
    return _scan(text, zone) if plain is None else _read_plain(plain, zone)


def _read_plain(match: Match, zone: Zone) -> int:
    year, month, day, hour, minute, second, fraction, utc = match.groups()
    check_zone_use(zone, text_has_zone=bool(utc))
    local = calendar.join(
        int(year),
        int(month),
        int(day),
        int(hour or 0),
        int(minute or 0),
        int(second or 0),
        int((fraction or "0")[:3].ljust(3, "0")),
    )
    return local if utc else zone.instant(local)


def _scan(text: str, zone: Zone) -> int:
    found = _Found()
    position = 0
    try:
        while position < len(text):
            if text[position] in _SKIPPED:
                position += 1
            else:
                position = _scan_one(text, position, found)
    except DateSyntaxError as error:
        raise syntax_failure(text, error) from None
    check_zone_use(zone, text_has_zone=found.offset is not None)
    ms = _instant(text, found, zone)
    if not within_range(ms):
        raise conversion_failure(f"Error parsing date string '{text}'; date out of range")
    return ms


def _instant(text: str, found: _Found, zone: Zone) -> int:
    if found.instant is not None:
        return found.instant
    if found.date is None:
        raise incomplete(text)
    year, month, day = found.date
    local = calendar.join(year, month, day, *(found.time or (0, 0, 0, 0)))
    if found.weekday is not None:
        ahead = (found.weekday - calendar.iso_weekday(local // calendar.MS_DAY)) % 7
        local += ahead * calendar.MS_DAY
    return zone.instant(local) if found.offset is None else local - found.offset


def _scan_one(text: str, position: int, found: _Found) -> int:
    """Read the longest date, time, zone or word at a place; return its end."""
    dates = [(m.end(), m, read) for p, read in _DATES if (m := p.match(text, position))]
    times = [m for p in _TIMES if (m := p.match(text, position))]
    date_end = max((end for end, _, _ in dates), default=-1)
    time = max(times, key=lambda m: m.end(), default=None)
    if time is not None and time.end() > date_end:
        return _take_time(time, position, found)
    for end, match, read in dates:
        if end == date_end:
            if found.date is not None:
                raise DateSyntaxError(position, "Double date specification")
            found.date = read(match)
            return end
    return _scan_zone_or_word(text, position, found)


def _take_time(match: Match, position: int, found: _Found) -> int:
    if found.time is not None:
        raise DateSyntaxError(position, "Double time specification")
    found.time = _read_time(match)
    return match.end()


def _scan_zone_or_word(text: str, position: int, found: _Found) -> int:
    epoch = _EPOCH.match(text, position)
    if epoch is not None and found == _Found():
        fraction = int((epoch[2] or "")[:3].ljust(3, "0"))
        found.instant = int(epoch[1]) * 1000 + fraction
        return epoch.end()
    offset = NUMERIC_OFFSET.match(text, position)
    if offset is not None:
        return _take_offset(found, offset_of(offset), position, offset.end())
    word = _WORD.match(text, position)
    if word is None:
        raise DateSyntaxError(position, "Unexpected character")
    name = word[0]
    if name.lower() in WEEKDAYS:
        found.weekday = WEEKDAYS[name.lower()]
        return word.end()
    if name.upper() in ABBREVIATIONS:
        milliseconds = int(ABBREVIATIONS[name.upper()] * MS_HOUR)
        return _take_offset(found, milliseconds, position, word.end())
    if "/" in name:
        raise DateSyntaxError(
            position,
            "passing a time zone identifier as part of the string is not allowed",
        )
    raise DateSyntaxError(position, "The timezone could not be found in the database")


def _take_offset(found: _Found, offset: int, position: int, end: int) -> int:
    if found.offset is not None:
        raise DateSyntaxError(position, "Double timezone specification")
    found.offset = offset
    return end
