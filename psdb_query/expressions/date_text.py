"""What both readers of date strings share: errors, and offsets from Greenwich in words."""

from __future__ import annotations

import re
from typing import Final

from psdb_base.errors import Code, MongoError
from psdb_query.expressions.calendar import MS_HOUR, MS_MINUTE
from psdb_query.expressions.timezones import Zone

ABBREVIATIONS: Final[dict[str, float]] = {
    "ACDT": 10.5,
    "ACST": 9.5,
    "ADT": -3,
    "AEDT": 11,
    "AEST": 10,
    "AKDT": -8,
    "AKST": -9,
    "AST": -4,
    "AWST": 8,
    "BST": 1,
    "CAT": 2,
    "CDT": -5,
    "CEST": 2,
    "CET": 1,
    "CST": -6,
    "EAT": 3,
    "EDT": -4,
    "EEST": 3,
    "EET": 2,
    "EST": -5,
    "GMT": 0,
    "HDT": -9,
    "HKT": 8,
    "HST": -10,
    "IDT": 3,
    "IST": 2,
    "JST": 9,
    "KST": 9,
    "MDT": -6,
    "MSD": 4,
    "MSK": 3,
    "MST": -7,
    "NDT": -2.5,
    "NST": -3.5,
    "NZDT": 13,
    "NZST": 12,
    "PDT": -7,
    "PKT": 5,
    "PST": -8,
    "SAST": 2,
    "SST": -11,
    "UTC": 0,
    "WAT": 1,
    "WEST": 1,
    "WET": 0,
    "WIB": 7,
    "WIT": 9,
    "WITA": 8,
    "Z": 0,
}
"""Abbreviations of zones in date strings, in hours east of Greenwich."""

NUMERIC_OFFSET: Final = re.compile(
    r"(?:GMT|UTC)?([+-])([0-9]{2})(?::?([0-9]{2}))?(?::?([0-9]{2}))?(?![0-9])"
    r"|(?:GMT|UTC)?([+-])([0-9])(?::?([0-9]{2}))?(?![0-9])",
    re.IGNORECASE,
)


class DateSyntaxError(Exception):
    """What is wrong with a date string: a message and the position (in characters) it is at."""

    def __init__(self, position: int, message: str) -> None:
        super().__init__(message)
        self.position = position
        self.message = message


def conversion_failure(message: str) -> MongoError:
    """Return the error that `onError` catches."""
    return MongoError(Code.CONVERSION_FAILURE, message)


def syntax_failure(text: str, error: DateSyntaxError) -> MongoError:
    """Return MongoDB's error for a date string that cannot be read."""
    char = text[error.position : error.position + 1]
    return conversion_failure(
        f"Error parsing date string '{text}'; {error.position}: {error.message} '{char}'"
    )


def incomplete(text: str) -> MongoError:
    """Return MongoDB's error for a date string without year, month or day."""
    return conversion_failure(
        f'an incomplete date/time string has been found, with elements missing: "{text}"'
    )


def check_zone_use(zone: Zone, *, text_has_zone: bool) -> None:
    """Refuse a date string with a zone where a timezone argument was given too."""
    if text_has_zone and not zone.is_utc:
        raise conversion_failure(
            "you cannot pass in a date/time string with GMT offset together with "
            "a timezone argument"
        )


def offset_of(match: re.Match[str]) -> int:
    """Milliseconds east of Greenwich of a match of `NUMERIC_OFFSET`."""
    sign, hours, minutes, seconds, sign_one, hours_one, minutes_one = match.groups()
    total = (
        int(hours or hours_one) * MS_HOUR
        + int(minutes or minutes_one or 0) * MS_MINUTE
        + int(seconds or 0) * 1000
    )
    return -total if (sign or sign_one) == "-" else total


def read_offset(text: str, start: int) -> tuple[int, int]:
    """Read `Z`, `UTC`, `GMT`, `±hh[[:]mm]`, `±hmm` or an abbreviation; return end and ms."""
    match = NUMERIC_OFFSET.match(text, start)
    if match is not None:
        return match.end(), offset_of(match)
    end = start
    while end < len(text) and text[end].isascii() and text[end].isalpha():
        end += 1
    hours = ABBREVIATIONS.get(text[start:end].upper())
    if hours is None:
        raise DateSyntaxError(start, "The timezone could not be found in the database")
    return end, int(hours * MS_HOUR)
