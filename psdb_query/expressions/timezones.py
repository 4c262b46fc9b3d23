"""Time zones: Olson names from the `tzdata` package, and fixed offsets such as `+05:30`.

Civil arithmetic is `calendar`'s; the standard library's zoneinfo only tells offsets. It knows
the years 1 to 9999, so an instant after that is asked for 400 years (a whole number of weeks and
of calendar cycles) at a time earlier, and one before it has the zone's earliest offset.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from functools import cache, lru_cache
from typing import Any, Final

from psdb_base.errors import MongoError
from psdb_query.context import Env
from psdb_query.describe import type_name
from psdb_query.expressions.core import Expr, is_nullish

_OFFSET: Final = re.compile(r"([+-])([0-9]{2})(?::?([0-9]{2}))?\Z")
_CYCLE_SECONDS: Final = 146_097 * 86_400
_FIRST_SECOND: Final = -62_135_596_800 + 86_400 * 366
_LAST_SECOND: Final = 253_402_300_800 - 86_400 * 366
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 -- arithmetic on wall-clock readings
_UTC_NAMES: Final = frozenset(("Etc/UCT", "Etc/UTC", "Etc/Zulu", "UCT", "UTC", "Z", "Zulu"))


class Zone:
    """A time zone; `name` is how it was asked for."""

    __slots__ = ("_fixed_ms", "_info", "is_utc", "name")

    def __init__(self, name: str, fixed_ms: int, info: tzinfo | None) -> None:
        self.name = name
        self._fixed_ms = fixed_ms
        self._info = info
        self.is_utc = info is None and fixed_ms == 0

    def offset_ms(self, ms: int) -> int:
        """Milliseconds to add to the instant `ms` (since 1970, UTC) to read the zone's clock."""
        if self._info is None:
            return self._fixed_ms
        seconds = _within_zoneinfo(ms // 1000)
        instant = (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=self._info)
        local = self._info.fromutc(instant)
        return _milliseconds(local.utcoffset())

    def local(self, ms: int) -> int:
        """Return the reading of the zone's clock, as milliseconds, at the instant `ms`."""
        return ms + self.offset_ms(ms)

    def instant(self, local_ms: int) -> int:
        """Return the instant at which the zone's clock shows `local_ms`.

        A reading that occurs twice is taken the first time; one that is skipped is moved on by
        what was skipped (02:30 becomes 03:30 when the clock springs from 2 to 3).
        """
        if self._info is None:
            return local_ms - self._fixed_ms
        seconds = _within_zoneinfo(local_ms // 1000)
        reading = (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=self._info)
        return local_ms - _milliseconds(reading.utcoffset())


UTC: Final = Zone("UTC", 0, None)


def _milliseconds(offset: timedelta | None) -> int:
    return 0 if offset is None else offset // timedelta(milliseconds=1)


def _within_zoneinfo(seconds: int) -> int:
    if seconds < _FIRST_SECOND:
        return _FIRST_SECOND
    if seconds > _LAST_SECOND:
        return seconds - ((seconds - _LAST_SECOND) // _CYCLE_SECONDS + 1) * _CYCLE_SECONDS
    return seconds


@cache
def _zone_names() -> frozenset[str]:
    from importlib.resources import files

    return frozenset(files("tzdata").joinpath("zones").read_text("ascii").split())


@lru_cache(maxsize=1024)
def find_zone(name: str) -> Zone:
    """Return the zone of an Olson name (in its exact case) or of an offset `±hh[[:]mm]`.

    Raises MongoError 40485 when there is none.
    """
    if name in _UTC_NAMES:
        return Zone(name, 0, None)
    match = _OFFSET.match(name)
    if match is not None:
        sign, hours, minutes = match.groups(default="0")
        milliseconds = (int(hours) * 60 + int(minutes)) * 60_000
        return Zone(name, -milliseconds if sign == "-" else milliseconds, None)
    if name not in _zone_names():
        raise MongoError(40485, f'unrecognized time zone identifier: "{name}"')
    return Zone(name, 0, _load(name))


def _load(name: str) -> tzinfo:
    from importlib.resources import files
    from zoneinfo import ZoneInfo

    entry = files("tzdata").joinpath("zoneinfo")
    for part in name.split("/"):
        entry = entry.joinpath(part)
    with entry.open("rb") as source:
        return ZoneInfo.from_file(source, key=name)


def zone_of(value: Any) -> Zone | None:
    """Return the zone a timezone operand names, None for a nullish one.

    Raises MongoError 40517 for what is no string and 40485 for an unknown name.
    """
    if type(value) is str:
        return find_zone(value)
    if is_nullish(value):
        return None
    raise MongoError(40517, f"timezone must evaluate to a string, found {type_name(value)}")


def zone_reader(operand: Expr | None) -> Callable[[Any, Env], Zone | None]:
    """Return what gives the zone of an evaluation: UTC without an operand, None for a nullish one.

    A constant operand is looked up here, so that a wrong one fails before any document is read.
    """
    if operand is None:
        return lambda _doc, _env: UTC
    if operand.is_constant:
        zone = zone_of(operand.value)
        return lambda _doc, _env: zone
    read = operand.evaluate
    return lambda doc, env: zone_of(read(doc, env))
