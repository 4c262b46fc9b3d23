"""Date formats with `%` specifiers: rendering a date by one and reading a date by one.

A format is checked and cut into pieces once (`parse_format`). Reading is as tolerant as MongoDB's
reader: numbers may have fewer digits than their width, days and months out of range carry over.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from psdb_base.errors import MongoError
from psdb_query.expressions import calendar
from psdb_query.expressions.calendar import MS_DAY
from psdb_query.expressions.date_text import (
    DateSyntaxError,
    check_zone_use,
    conversion_failure,
    incomplete,
    read_offset,
    syntax_failure,
)
from psdb_query.expressions.timezones import Zone

ISO_UTC: Final = "%Y-%m-%dT%H:%M:%S.%LZ"
ISO_LOCAL: Final = "%Y-%m-%dT%H:%M:%S.%L"

MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

Piece = tuple[str, str]
"""`("", literal text)` or `(specifier letter, "")`."""


@lru_cache(maxsize=512)
def parse_format(text: str, letters: str) -> tuple[Piece, ...]:
    """Cut a format into literals and specifiers of `letters`.

    Raises MongoError 18535 for a `%` at the end and 18536 for an unknown letter.
    """
    pieces: list[Piece] = []
    literal = ""
    index = 0
    while index < len(text):
        char = text[index]
        if char != "%":
            literal += char
            index += 1
            continue
        if index + 1 == len(text):
            raise MongoError(18535, "Unmatched '%' at end of format string")
        letter = text[index + 1]
        if letter == "%":
            literal += "%"
        elif letter in letters:
            if literal:
                pieces.append(("", literal))
                literal = ""
            pieces.append((letter, ""))
        else:
            raise MongoError(18536, f"Invalid format character '%{letter}' in format string")
        index += 2
    if literal:
        pieces.append(("", literal))
    return tuple(pieces)


# Rendering

TO_STRING_LETTERS: Final = "BGHLMSUVYZbdjmuwz"


def _padded(number: int, width: int) -> str:
    if not 0 <= number <= 9999:
        raise MongoError(
            18537,
            "Could not convert date to string: date component was outside the supported range "
            f"of 0-9999: {number}",
        )
    return str(number).zfill(width)


def _offset_text(offset_ms: int) -> str:
    hours, minutes = divmod(abs(offset_ms) // calendar.MS_MINUTE, 60)
    return f"{'-' if offset_ms < 0 else '+'}{hours:02}{minutes:02}"


def _minutes_text(offset_ms: int) -> str:
    minutes = abs(offset_ms) // calendar.MS_MINUTE
    return str(-minutes if offset_ms < 0 else minutes)


def _day_of_year(parts: calendar.Parts) -> int:
    return calendar.day_of_year(parts.year, parts.month, parts.day)


_RENDERERS: Final[dict[str, Callable[[calendar.Parts, int, int], str]]] = {
    "B": lambda parts, _days, _offset: MONTHS[parts.month - 1],
    "G": lambda _parts, days, _offset: _padded(calendar.iso_week(days)[0], 4),
    "H": lambda parts, _days, _offset: _padded(parts.hour, 2),
    "L": lambda parts, _days, _offset: _padded(parts.millisecond, 3),
    "M": lambda parts, _days, _offset: _padded(parts.minute, 2),
    "S": lambda parts, _days, _offset: _padded(parts.second, 2),
    "U": lambda _parts, days, _offset: _padded(calendar.week_of_year(days), 2),
    "V": lambda _parts, days, _offset: _padded(calendar.iso_week(days)[1], 2),
    "Y": lambda parts, _days, _offset: _padded(parts.year, 4),
    "Z": lambda _parts, _days, offset: _minutes_text(offset),
    "b": lambda parts, _days, _offset: MONTHS[parts.month - 1][:3],
    "d": lambda parts, _days, _offset: _padded(parts.day, 2),
    "j": lambda parts, _days, _offset: _padded(_day_of_year(parts), 3),
    "m": lambda parts, _days, _offset: _padded(parts.month, 2),
    "u": lambda _parts, days, _offset: str(calendar.iso_weekday(days)),
    "w": lambda _parts, days, _offset: str(calendar.weekday(days)),
    "z": lambda _parts, _days, offset: _offset_text(offset),
}


def format_date(ms: int, zone: Zone, text: str) -> str:
    """Render the instant `ms` on the clock of `zone`.

    Raises MongoError 18535, 18536 (the format) and 18537 (a year outside 0–9999).
    """
    pieces = parse_format(text, TO_STRING_LETTERS)
    offset = zone.offset_ms(ms)
    local = ms + offset
    parts = calendar.split(local)
    days = local // MS_DAY
    return "".join(
        [_RENDERERS[letter](parts, days, offset) if letter else text for letter, text in pieces]
    )


# Reading

FROM_STRING_LETTERS: Final = "BGHLMSVYZbdjmuz"

_ISO_LETTERS: Final = frozenset("GVu")
_CIVIL_LETTERS: Final = frozenset("BYbdjm")
_NUMBERS: Final[dict[str, tuple[int, str]]] = {
    "G": (4, "A four digit ISO year could not be found"),
    "H": (2, "A two digit hour could not be found"),
    "L": (3, "A three digit millisecond could not be found"),
    "M": (2, "A two digit minute could not be found"),
    "S": (2, "A two digit second could not be found"),
    "V": (2, "A two digit ISO week could not be found"),
    "Y": (4, "A four digit year could not be found"),
    "d": (2, "A two digit day could not be found"),
    "j": (3, "A three digit day-of-year could not be found"),
    "m": (2, "A two digit month could not be found"),
    "u": (1, "A single digit ISO day of week could not be found"),
}
"""Most digits of a numeric specifier and what is said when there are none."""


def read_date(text: str, zone: Zone, format_text: str) -> int:
    """Read a date by a format; milliseconds since 1970.

    Raises MongoError 18535, 18536 (the format) and 241 ConversionFailure (the text).
    """
    pieces = parse_format(format_text, FROM_STRING_LETTERS)
    letters = {letter for letter, _ in pieces}
    if letters & _ISO_LETTERS and letters & _CIVIL_LETTERS:
        raise conversion_failure(
            f"Error parsing date string '{text}'; 0: "
            f"Mixing of ISO dates with natural dates is not allowed '{text[:1]}'"
        )
    try:
        found = _read_pieces(text, pieces)
    except DateSyntaxError as error:
        raise syntax_failure(text, error) from None
    check_zone_use(zone, text_has_zone="z" in found)
    local = _local_time(text, found)
    return local - found["z"] if "z" in found else zone.instant(local)


def _read_pieces(text: str, pieces: tuple[Piece, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    position = 0
    for letter, literal in pieces:
        if letter:
            if letter == "j" and "Y" not in found:
                raise DateSyntaxError(
                    position, "A 'day of year' can only come after a year has been found"
                )
            position = _read_specifier(text, position, letter, found)
            continue
        for char in literal:
            if position >= len(text):
                raise DateSyntaxError(position, "Not enough data available to satisfy format")
            if text[position] != char:
                raise DateSyntaxError(position, "The format separator does not match")
            position += 1
    if position < len(text):
        raise DateSyntaxError(position, "Trailing data")
    return found


def _read_specifier(text: str, start: int, letter: str, found: dict[str, int]) -> int:
    """Read one specifier into `found` (`B` and `b` as `m`, zones as `z` in ms); return the end."""
    if start >= len(text):
        raise DateSyntaxError(start, "Not enough data available to satisfy format")
    if letter in "Bb":
        end, month = read_month_name(text, start)
        found["m"] = month
        return end
    if letter in "Zz":
        end, offset = _read_minutes(text, start) if letter == "Z" else read_offset(text, start)
        found["z"] = offset
        return end
    width, complaint = _NUMBERS[letter]
    end = start
    while end < len(text) and end - start < width and text[end] in "0123456789":
        end += 1
    if end == start or (letter in "GY" and end - start < width):
        raise DateSyntaxError(start, complaint)
    number = int(text[start:end])
    found[letter] = number * 10 ** (3 - (end - start)) if letter == "L" else number
    return end


def read_month_name(text: str, start: int) -> tuple[int, int]:
    """Read a month's name, whole or its first three letters; return its end and number."""
    for number, name in enumerate(MONTHS, 1):
        for candidate in (name, name[:3]):
            end = start + len(candidate)
            if text[start:end].lower() == candidate.lower():
                return end, number
    raise DateSyntaxError(start, "A textual month could not be found")


def _read_minutes(text: str, start: int) -> tuple[int, int]:
    sign = -1 if text[start] == "-" else 1
    first = start + (text[start] in "+-")
    end = first
    while end < len(text) and end - first < 5 and text[end] in "0123456789":
        end += 1
    if end == first:
        raise DateSyntaxError(start, "A valid timezone offset in minutes could not be found")
    return end, sign * int(text[first:end]) * calendar.MS_MINUTE


def _local_time(text: str, found: dict[str, int]) -> int:
    time = (found.get("H", 0), found.get("M", 0), found.get("S", 0), found.get("L", 0))
    if found.keys() & _ISO_LETTERS:
        if "G" not in found:
            raise incomplete(text)
        return calendar.join_iso(found["G"], found.get("V", 1), found.get("u", 1), *time)
    if "Y" in found and "j" in found:
        return calendar.join(found["Y"], 1, found["j"], *time)
    if "Y" not in found or "m" not in found or "d" not in found:
        raise incomplete(text)
    return calendar.join(found["Y"], found["m"], found["d"], *time)
