"""Parts of dates: `$year` … `$isoWeekYear`, `$dateToParts`, `$dateFromParts`, timestamps."""

from __future__ import annotations

from typing import Any

import pytest
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from psdb_base.values import UNDEFINED
from psdb_query.expressions import calendar
from tests.query.expr_b_tools import DEC, Case, Fails, L, check, day, exact, run, table

PARTS = [
    "$year", "$month", "$dayOfMonth", "$hour", "$minute", "$second", "$millisecond", "$dayOfWeek",
    "$dayOfYear", "$week", "$isoDayOfWeek", "$isoWeek", "$isoWeekYear",
]  # fmt: skip

DAYS: list[tuple[Any, ...]] = [
    ("0001-01-01T00:00:00.000", 1, 1, 1, 0, 0, 0, 0, 2, 1, 0, 1, 1, 1),
    ("0004-02-29T12:30:45.001", 4, 2, 29, 12, 30, 45, 1, 1, 60, 9, 7, 9, 4),
    ("1582-10-15T00:00:00.999", 1582, 10, 15, 0, 0, 0, 999, 6, 288, 41, 5, 41, 1582),
    ("1899-12-31T23:59:59.999", 1899, 12, 31, 23, 59, 59, 999, 1, 365, 53, 7, 52, 1899),
    ("1970-01-01T00:00:00.000", 1970, 1, 1, 0, 0, 0, 0, 5, 1, 0, 4, 1, 1970),
    ("1999-12-31T23:59:59.999", 1999, 12, 31, 23, 59, 59, 999, 6, 365, 52, 5, 52, 1999),
    ("2000-02-29T06:07:08.009", 2000, 2, 29, 6, 7, 8, 9, 3, 60, 9, 2, 9, 2000),
    ("2004-12-31T00:00:00.000", 2004, 12, 31, 0, 0, 0, 0, 6, 366, 52, 5, 53, 2004),
    ("2005-01-01T00:00:00.000", 2005, 1, 1, 0, 0, 0, 0, 7, 1, 0, 6, 53, 2004),
    ("2005-01-02T00:00:00.000", 2005, 1, 2, 0, 0, 0, 0, 1, 2, 1, 7, 53, 2004),
    ("2008-12-29T10:00:00.000", 2008, 12, 29, 10, 0, 0, 0, 2, 364, 52, 1, 1, 2009),
    ("2010-01-03T10:00:00.000", 2010, 1, 3, 10, 0, 0, 0, 1, 3, 1, 7, 53, 2009),
    ("2012-12-30T00:00:00.000", 2012, 12, 30, 0, 0, 0, 0, 1, 365, 53, 7, 52, 2012),
    ("2014-01-01T08:15:39.736", 2014, 1, 1, 8, 15, 39, 736, 4, 1, 0, 3, 1, 2014),
    ("2015-12-31T01:02:03.004", 2015, 12, 31, 1, 2, 3, 4, 5, 365, 52, 4, 53, 2015),
    ("2016-01-03T00:00:00.000", 2016, 1, 3, 0, 0, 0, 0, 1, 3, 1, 7, 53, 2015),
    ("2020-12-31T00:00:00.000", 2020, 12, 31, 0, 0, 0, 0, 5, 366, 52, 4, 53, 2020),
    ("2021-01-03T00:00:00.000", 2021, 1, 3, 0, 0, 0, 0, 1, 3, 1, 7, 53, 2020),
    ("2100-03-01T00:00:00.000", 2100, 3, 1, 0, 0, 0, 0, 2, 60, 9, 1, 9, 2100),
    ("9999-12-31T23:59:59.999", 9999, 12, 31, 23, 59, 59, 999, 6, 365, 52, 5, 52, 9999),
]
"""What each operator of PARTS gives, in order."""


@pytest.mark.parametrize("row", DAYS, ids=[row[0] for row in DAYS])
@pytest.mark.parametrize("index", range(len(PARTS)), ids=PARTS)
def test_part_of_a_day(row: tuple[Any, ...], index: int) -> None:
    name, expected = PARTS[index], row[index + 1]
    wide = L(expected) if name == "$isoWeekYear" else expected
    check((name, {name: "$d"}, {"d": day(row[0])}, wide))


# Beyond the standard library: the first and last instants, and years before 1.
FAR: list[tuple[int, int, int, int]] = [
    (-(2**63), -292275055, 5, 16),
    (2**63 - 1, 292278994, 8, 17),
    (-62135596800001, 0, 12, 31),
    (-62167219200000, 0, 1, 1),
    (-62167219200001, -1, 12, 31),
    (-62162121600001, 0, 2, 28),
    (-62162121600000, 0, 2, 29),
    (253402300800000, 10000, 1, 1),
]


@pytest.mark.parametrize("row", FAR, ids=lambda row: str(row[0]))
def test_far_years(row: tuple[int, int, int, int]) -> None:
    ms, year, month, day_of_month = row
    doc = {"d": DatetimeMS(ms)}
    assert run({"$year": "$d"}, doc) == year
    assert run({"$month": "$d"}, doc) == month
    assert run({"$dayOfMonth": "$d"}, doc) == day_of_month


NEW_YORK = "America/New_York"
SPRING = day("2021-03-14T06:59:59.999")
SPRUNG = day("2021-03-14T07:00:00")
FALL = day("2021-11-07T05:59:59.999")
FALLEN = day("2021-11-07T06:00:00")
OID = ObjectId("5ab9c3da31c2ab715d421285")

PART_CASES: list[Case] = [
    ("year", {"$year": {"date": "$d"}}, {"d": day("2016-01-01")}, 2016),
    ("year", {"$year": ["$d"]}, {"d": day("2016-01-01")}, 2016),
    ("year", {"$year": {"date": "$d", "timezone": "+0500"}}, {"d": day("1998-11-02")}, 1998),
    ("year", {"$year": {"date": "$d", "timezone": "-0100"}}, {"d": day("2016-01-01")}, 2015),
    ("year", {"$year": OID}, {}, 2018),
    ("year", {"$year": Timestamp(1637688118, 1)}, {}, 2021),
    ("year", {"$year": Timestamp(2**32 - 1, 0)}, {}, 2106),
    ("year", {"$year": ObjectId("ffffffff0000000000000000")}, {}, 2106),
    ("year", {"$year": None}, {}, None),
    ("year", {"$year": "$gone"}, {}, None),
    ("year", {"$year": "$u"}, {"u": UNDEFINED}, None),
    ("year", {"$year": {"date": None, "timezone": 5}}, {}, None),
    ("year", {"$year": {"date": "$d", "timezone": None}}, {"d": SPRING}, None),
    ("year", {"$year": {"date": "$d", "timezone": "$z"}}, {"d": SPRING}, None),
    ("year", {"$year": {"$add": ["$d", 86400000]}}, {"d": day("2015-12-31")}, 2016),
    ("hour", {"$hour": {"date": "$d", "timezone": NEW_YORK}}, {"d": SPRING}, 1),
    ("hour", {"$hour": {"date": "$d", "timezone": NEW_YORK}}, {"d": SPRUNG}, 3),
    ("hour", {"$hour": {"date": "$d", "timezone": NEW_YORK}}, {"d": FALL}, 1),
    ("hour", {"$hour": {"date": "$d", "timezone": NEW_YORK}}, {"d": FALLEN}, 1),
    ("hour", {"$hour": {"date": "$d", "timezone": "Asia/Kolkata"}}, {"d": SPRUNG}, 12),
    ("minute", {"$minute": {"date": "$d", "timezone": "Asia/Kolkata"}}, {"d": SPRUNG}, 30),
    ("minute", {"$minute": {"date": "$d", "timezone": "Asia/Kathmandu"}}, {"d": SPRUNG}, 45),
    ("hour", {"$hour": {"date": "$d", "timezone": "+03"}}, {"d": SPRUNG}, 10),
    ("hour", {"$hour": {"date": "$d", "timezone": "GMT"}}, {"d": SPRUNG}, 7),
    ("hour", {"$hour": {"date": "$d", "timezone": "UTC"}}, {"d": SPRUNG}, 7),
    ("hour", {"$hour": {"date": "$d", "timezone": "Z"}}, {"d": SPRUNG}, 7),
    ("hour", {"$hour": {"date": "$d", "timezone": "Etc/GMT+5"}}, {"d": SPRUNG}, 2),
    ("hour", {"$hour": {"date": "$d", "timezone": "-05:30"}}, {"d": SPRUNG}, 1),
    ("dayOfMonth", {"$dayOfMonth": {"date": "$d", "timezone": "-23:59"}}, {"d": SPRUNG}, 13),
    ("hour", {"$hour": {"date": "$d", "timezone": NEW_YORK}}, {"d": day("2100-07-01")}, 20),
    ("hour", {"$hour": {"date": "$d", "timezone": NEW_YORK}}, {"d": day("2100-01-01")}, 19),
    ("isoWeek", {"$isoWeek": {"date": "$d", "timezone": NEW_YORK}}, {"d": day("2016-01-04")}, 53),
    ("year", {"$year": 5}, {}, Fails(16006, "can't convert from BSON type int to Date")),
    ("year", {"$year": "2016"}, {}, Fails(16006, "can't convert from BSON type string to Date")),
    ("year", {"$year": [1, 2]}, {}, Fails(
        40536, "$year accepts exactly one argument if given an array, but was given 2")),
    ("year", {"$year": []}, {}, Fails(
        40536, "$year accepts exactly one argument if given an array, but was given 0")),
    ("year", {"$year": {"date": OID, "zone": 1}}, {}, Fails(
        40535, 'unrecognized option to $year: "zone"')),
    ("year", {"$year": {"timezone": "GMT"}}, {}, Fails(40539)),
    ("year", {"$year": {}}, {}, Fails(40539)),
    ("year", {"$year": {"date": OID, "timezone": 5}}, {}, Fails(
        40533, "$year requires a string for the timezone argument, but was given a int (5)")),
    ("year", {"$year": {"date": OID, "timezone": "DoesNotExist"}}, {}, Fails(
        40485, 'unrecognized time zone identifier: "DoesNotExist"')),
    ("year", {"$year": {"date": OID, "timezone": "america/new_york"}}, {}, Fails(40485)),
    ("year", {"$year": {"date": OID, "timezone": "America"}}, {}, Fails(40485)),
    ("year", {"$year": {"date": OID, "timezone": "../zones"}}, {}, Fails(40485)),
    ("year", {"$year": {"date": OID, "timezone": ""}}, {}, Fails(40485)),
    ("year", {"$year": {"date": OID, "timezone": "+5"}}, {}, Fails(40485)),
    ("year", {"$year": {"date": OID, "timezone": "+05:3"}}, {}, Fails(40485)),
    ("year", {"$year": {"date": OID, "timezone": "05:30"}}, {}, Fails(40485)),
    ("year", {"$year": {"date": OID, "timezone": "+٠٥"}}, {}, Fails(40485)),
    ("tsSecond", {"$tsSecond": "$t"}, {"t": Timestamp(1622731060, 1)}, L(1622731060)),
    ("tsSecond", {"$tsSecond": None}, {}, None),
    ("tsSecond", {"$tsSecond": Timestamp(2**32 - 1, 5)}, {}, L(2**32 - 1)),
    ("tsSecond", {"$tsSecond": 1}, {}, Fails(5687301)),
    ("tsSecond", {"$tsSecond": [1, 2]}, {}, Fails(16020)),
    ("tsIncrement", {"$tsIncrement": "$t"}, {"t": Timestamp(1622731060, 7)}, L(7)),
    ("tsIncrement", {"$tsIncrement": "$gone"}, {}, None),
    ("tsIncrement", {"$tsIncrement": NEW_YORK}, {}, Fails(5687302)),
]  # fmt: skip


@table(PART_CASES)
def test_parts(case: Case) -> None:
    check(case)


def civil(*parts: int) -> dict[str, int]:
    names = ("year", "month", "day", "hour", "minute", "second", "millisecond")
    return dict(zip(names, parts, strict=True))


def iso(*parts: int) -> dict[str, int]:
    names = ("isoWeekYear", "isoWeek", "isoDayOfWeek", "hour", "minute", "second", "millisecond")
    return dict(zip(names, parts, strict=True))


SALE = {"d": day("2017-01-01T01:29:09.123")}

TO_PARTS: list[Case] = [
    ("dateToParts", {"$dateToParts": {"date": "$d"}}, SALE, civil(2017, 1, 1, 1, 29, 9, 123)),
    ("dateToParts", {"$dateToParts": {"date": "$d", "iso8601": True}}, SALE,
     iso(2016, 52, 7, 1, 29, 9, 123)),
    ("dateToParts", {"$dateToParts": {"date": "$d", "timezone": NEW_YORK}}, SALE,
     civil(2016, 12, 31, 20, 29, 9, 123)),
    ("dateToParts", {"$dateToParts": {"date": "$d", "iso8601": False, "timezone": "+01"}}, SALE,
     civil(2017, 1, 1, 2, 29, 9, 123)),
    ("dateToParts", {"$dateToParts": {"date": OID}}, {}, civil(2018, 3, 27, 4, 8, 58, 0)),
    ("dateToParts", {"$dateToParts": {"date": DatetimeMS(-1)}}, {},
     civil(1969, 12, 31, 23, 59, 59, 999)),
    ("dateToParts", {"$dateToParts": {"date": None}}, {}, None),
    ("dateToParts", {"$dateToParts": {"date": "$d", "timezone": None}}, SALE, None),
    ("dateToParts", {"$dateToParts": {"date": "$d", "iso8601": "$no"}}, SALE, None),
    ("dateToParts", {"$dateToParts": {"date": None, "timezone": "Nope"}}, {}, Fails(40485)),
    ("dateToParts", {"$dateToParts": 5}, {}, Fails(
        40524, "$dateToParts only supports an object as its argument")),
    ("dateToParts", {"$dateToParts": {}}, {}, Fails(
        40522, "Missing 'date' parameter to $dateToParts")),
    ("dateToParts", {"$dateToParts": {"date": OID, "x": 1}}, {}, Fails(
        40520, "Unrecognized argument to $dateToParts: x")),
    ("dateToParts", {"$dateToParts": {"date": OID, "iso8601": 1}}, {}, Fails(
        40521, "iso8601 must evaluate to a bool, found int")),
    ("dateToParts", {"$dateToParts": {"date": OID, "timezone": 1}}, {}, Fails(
        40517, "timezone must evaluate to a string, found int")),
    ("dateToParts", {"$dateToParts": {"date": "x"}}, {}, Fails(16006)),
]  # fmt: skip


@table(TO_PARTS)
def test_to_parts(case: Case) -> None:
    check(case)


def made(**parts: Any) -> dict[str, Any]:
    return {"$dateFromParts": parts}


FROM_PARTS: list[Case] = [
    ("dateFromParts", made(year=2017, month=2, day=8, hour=12), {}, day("2017-02-08T12:00")),
    ("dateFromParts", made(isoWeekYear=2017, isoWeek=6, isoDayOfWeek=3, hour=12), {},
     day("2017-02-08T12:00")),
    ("dateFromParts", made(year=2016, month=12, day=31, hour=23, minute=46, second=12,
                           timezone=NEW_YORK), {}, day("2017-01-01T04:46:12")),
    ("dateFromParts", made(year=2017), {}, day("2017-01-01")),
    ("dateFromParts", made(isoWeekYear=2017), {}, day("2017-01-02")),
    ("dateFromParts", made(year=2017, month=14, day=1, hour=12), {}, day("2018-02-01T12:00")),
    ("dateFromParts", made(year=2017, month=0, day=1, hour=12), {}, day("2016-12-01T12:00")),
    ("dateFromParts", made(year=2017, month=-11), {}, day("2016-01-01")),
    ("dateFromParts", made(year=2017, month=1, day=0), {}, day("2016-12-31")),
    ("dateFromParts", made(year=2017, month=2, day=29), {}, day("2017-03-01")),
    ("dateFromParts", made(year=2017, hour=25), {}, day("2017-01-02T01:00")),
    ("dateFromParts", made(year=2017, minute=-1), {}, day("2016-12-31T23:59")),
    ("dateFromParts", made(year=2017, second=86400), {}, day("2017-01-02")),
    ("dateFromParts", made(year=2017, millisecond=-1), {}, day("2016-12-31T23:59:59.999")),
    ("dateFromParts", made(year=2017, millisecond=L(2**40)), {},
     DatetimeMS(int(day("2017-01-01")) + 2**40)),
    ("dateFromParts", made(year=2017, day=-32768), {}, day("1927-04-15")),
    ("dateFromParts", made(year=2017, day=32767), {}, day("2106-09-18")),
    ("dateFromParts", made(isoWeekYear=2017, isoWeek=0), {}, day("2016-12-26")),
    ("dateFromParts", made(isoWeekYear=2015, isoWeek=53), {}, day("2015-12-28")),
    ("dateFromParts", made(isoWeekYear=2017, isoWeek=54), {}, day("2018-01-08")),
    ("dateFromParts", made(isoWeekYear=2017, isoDayOfWeek=0), {}, day("2017-01-01")),
    ("dateFromParts", made(isoWeekYear=2017, isoDayOfWeek=8), {}, day("2017-01-09")),
    ("dateFromParts", made(year=2017.0, month=DEC("3")), {}, day("2017-03-01")),
    ("dateFromParts", made(year=L(2017), month=L(3)), {}, day("2017-03-01")),
    ("dateFromParts", made(year=1), {}, day("0001-01-01")),
    ("dateFromParts", made(year=9999, month=12, day=31), {}, day("9999-12-31")),
    ("dateFromParts", made(year=2021, month=3, day=14, hour=2, minute=30, timezone=NEW_YORK), {},
     day("2021-03-14T07:30")),
    ("dateFromParts", made(year=2021, month=11, day=7, hour=1, minute=30, timezone=NEW_YORK), {},
     day("2021-11-07T05:30")),
    ("dateFromParts", made(year=2017, timezone="+05:30"), {}, day("2016-12-31T18:30")),
    ("dateFromParts", made(year="$y", month="$m"), {"y": 2017, "m": 2}, day("2017-02-01")),
    ("dateFromParts", made(year=None), {}, None),
    ("dateFromParts", made(year=2017, month="$gone"), {}, None),
    ("dateFromParts", made(year=2017, timezone=None), {}, None),
    ("dateFromParts", made(year="x", hour=None), {}, None),
    ("dateFromParts", {"$dateFromParts": 5}, {}, Fails(
        40519, "$dateFromParts only supports an object as its argument")),
    ("dateFromParts", made(month=1), {}, Fails(
        40516, "$dateFromParts requires either 'year' or 'isoWeekYear' to be present")),
    ("dateFromParts", {"$dateFromParts": {}}, {}, Fails(40516)),
    ("dateFromParts", made(year=2017, isoWeek=1), {}, Fails(
        40489, "$dateFromParts does not allow mixing natural dates with ISO dates")),
    ("dateFromParts", made(isoWeekYear=2017, day=1), {}, Fails(
        40525, "$dateFromParts does not allow mixing ISO dates with natural dates")),
    ("dateFromParts", made(year=2017, foo=1), {}, Fails(
        40518, "Unrecognized argument to $dateFromParts: foo")),
    ("dateFromParts", made(year=0), {}, Fails(
        40523, "'year' must evaluate to an integer in the range 1 to 9999, found 0")),
    ("dateFromParts", made(year=10000), {}, Fails(40523)),
    ("dateFromParts", made(isoWeekYear=0), {}, Fails(31095)),
    ("dateFromParts", made(year=2017, month=32768), {}, Fails(
        31034, "'month' must evaluate to a value in the range [-32768, 32767]; "
        "value 32768 is not in range")),
    ("dateFromParts", made(year=2017, minute=-32769), {}, Fails(31034)),
    ("dateFromParts", made(year=2017.5), {}, Fails(
        40515, "'year' must evaluate to an integer, found double with value 2017.5")),
    ("dateFromParts", made(year="2017"), {}, Fails(40515)),
    ("dateFromParts", made(year=2017, second=True), {}, Fails(40515)),
    ("dateFromParts", made(year=2017, millisecond=1e20), {}, Fails(40515)),
    ("dateFromParts", made(year=2017, second=L(2**62)), {}, Fails(159)),
    ("dateFromParts", made(year=2017, millisecond=L(2**63 - 1)), {}, Fails(159)),
    ("dateFromParts", made(year=2017, timezone=5), {}, Fails(40517)),
    ("dateFromParts", made(year=2017, timezone="Mars/Olympus"), {}, Fails(40485)),
]  # fmt: skip


@table(FROM_PARTS)
def test_from_parts(case: Case) -> None:
    check(case)


WITHIN = st.integers(int(day("0001-01-03")), int(day("9999-12-29")))
ZONES = st.sampled_from(["UTC", "+05:30", "-0845", "Asia/Tokyo", "Africa/Nairobi", "GMT"])


@given(WITHIN, ZONES, st.booleans())
def test_from_parts_undoes_to_parts(ms: int, zone: str, by_week: bool) -> None:
    parts = {"$dateToParts": {"date": DatetimeMS(ms), "timezone": zone, "iso8601": by_week}}
    made_again = {"$dateFromParts": run(parts) | {"timezone": zone}}
    if zone.startswith("A") and ms < int(day("1961-01-01")):
        return  # local mean time had seconds, and clocks were turned back
    assert exact(run(made_again)) == exact(DatetimeMS(ms))


@given(st.integers(-(2**63), 2**63 - 1))
def test_split_and_join_are_inverse(ms: int) -> None:
    assert calendar.join(*calendar.split(ms)) == ms
    days = ms // calendar.MS_DAY
    year, week = calendar.iso_week(days)
    assert calendar.join_iso(year, week, calendar.iso_weekday(days), 0, 0, 0, 0) == (
        days * calendar.MS_DAY
    )
    assert 1 <= week <= 53
    assert calendar.civil_from_days(calendar.days_from_civil(*calendar.civil_from_days(days))) == (
        calendar.civil_from_days(days)
    )


def test_decimal_and_bool_are_no_dates() -> None:
    for value in (Decimal128("1"), True, {"$literal": {}}, [[1]]):
        check(("year", {"$year": value}, {}, Fails(16006)))
