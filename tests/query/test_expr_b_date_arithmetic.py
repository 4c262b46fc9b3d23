"""`$dateAdd`, `$dateSubtract`, `$dateDiff`, `$dateTrunc`."""

from __future__ import annotations

from typing import Any

from bson.datetime_ms import DatetimeMS
from bson.objectid import ObjectId
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from psdb_query.expressions.date_arithmetic import add, difference, truncate
from psdb_query.expressions.timezones import find_zone
from tests.query.expr_b_tools import DEC, Case, Fails, L, check, day, result_or_code, table

NEW_YORK = "America/New_York"
LOS_ANGELES = "America/Los_Angeles"
MEXICO = "America/Mexico_City"
LORD_HOWE = "Australia/Lord_Howe"


def moved(start: Any, unit: Any, amount: Any, zone: Any = ..., name: str = "$dateAdd") -> Any:
    fields = {"startDate": start, "unit": unit, "amount": amount}
    return {name: fields if zone is ... else fields | {"timezone": zone}}


def back(start: Any, unit: Any, amount: Any, zone: Any = ...) -> Any:
    return moved(start, unit, amount, zone, "$dateSubtract")


END_OF_MAY = day("2021-05-31T12:10:05")

ADD: list[Case] = [
    ("dateAdd", moved(day("2020-10-31T12:10:05"), "month", 1), {}, day("2020-11-30T12:10:05")),
    ("dateAdd", moved(day("2020-12-31"), "day", 3), {}, day("2021-01-03")),
    ("dateAdd", moved(day("2021-02-28"), "day", 3), {}, day("2021-03-03")),
    ("dateAdd", moved(day("2021-02-26"), "day", 3), {}, day("2021-03-01")),
    ("dateAdd", moved("$d", "day", 1, NEW_YORK), {"d": day("2021-03-13T15:00")},
     day("2021-03-14T14:00")),
    ("dateAdd", moved("$d", "hour", 24, NEW_YORK), {"d": day("2021-03-13T15:00")},
     day("2021-03-14T15:00")),
    ("dateAdd", moved("$d", "day", 1, MEXICO), {"d": day("2021-03-13T10:00")},
     day("2021-03-14T10:00")),
    ("dateAdd", moved("$d", "hour", 24, MEXICO), {"d": day("2021-03-13T10:00")},
     day("2021-03-14T10:00")),
    ("dateAdd", moved(END_OF_MAY, "month", 1), {}, day("2021-06-30T12:10:05")),
    ("dateAdd", moved(END_OF_MAY, "month", 9), {}, day("2022-02-28T12:10:05")),
    ("dateAdd", moved(END_OF_MAY, "month", -3), {}, day("2021-02-28T12:10:05")),
    ("dateAdd", moved(END_OF_MAY, "quarter", 2), {}, day("2021-11-30T12:10:05")),
    ("dateAdd", moved(day("2020-02-29"), "year", 1), {}, day("2021-02-28")),
    ("dateAdd", moved(day("2020-02-29"), "year", 4), {}, day("2024-02-29")),
    ("dateAdd", moved(day("2020-02-29"), "year", -100), {}, day("1920-02-29")),
    ("dateAdd", moved(END_OF_MAY, "week", 1), {}, day("2021-06-07T12:10:05")),
    ("dateAdd", moved(END_OF_MAY, "hour", -13), {}, day("2021-05-30T23:10:05")),
    ("dateAdd", moved(END_OF_MAY, "minute", 50), {}, day("2021-05-31T13:00:05")),
    ("dateAdd", moved(END_OF_MAY, "second", 55), {}, day("2021-05-31T12:11:00")),
    ("dateAdd", moved(END_OF_MAY, "millisecond", -5001), {}, day("2021-05-31T12:09:59.999")),
    ("dateAdd", moved(END_OF_MAY, "day", 0, NEW_YORK), {}, END_OF_MAY),
    # The month is reckoned on the zone's clock: in New York it is still May 31st.
    ("dateAdd", moved(day("2021-06-01T02:00"), "month", 1, NEW_YORK), {}, day("2021-07-01T02:00")),
    ("dateAdd", moved(day("2021-06-01T02:00"), "month", 1), {}, day("2021-07-01T02:00")),
    ("dateAdd", moved(day("2021-02-01T02:00"), "month", 1, NEW_YORK), {}, day("2021-03-01T02:00")),
    # 02:30 does not exist on the day clocks spring forward.
    ("dateAdd", moved(day("2021-03-13T07:30"), "day", 1, NEW_YORK), {}, day("2021-03-14T07:30")),
    ("dateAdd", moved(day("2021-03-14T07:30"), "day", 1, NEW_YORK), {}, day("2021-03-15T07:30")),
    # 01:30 exists twice in November; the first is meant, and adding nothing changes nothing.
    ("dateAdd", moved(day("2021-11-06T05:30"), "day", 1, NEW_YORK), {}, day("2021-11-07T05:30")),
    ("dateAdd", moved(day("2021-11-07T06:30"), "day", 0, NEW_YORK), {}, day("2021-11-07T06:30")),
    ("dateAdd", moved(ObjectId("5ab9c3da31c2ab715d421285"), "day", 1), {},
     day("2018-03-28T04:08:58")),
    ("dateAdd", moved(Timestamp(1637688118, 4), "second", 2), {}, day("2021-11-23T17:22:00")),
    ("dateAdd", moved(END_OF_MAY, "day", L(1)), {}, day("2021-06-01T12:10:05")),
    ("dateAdd", moved(END_OF_MAY, "day", 1.0), {}, day("2021-06-01T12:10:05")),
    ("dateAdd", moved(END_OF_MAY, "day", DEC("1E+0")), {}, day("2021-06-01T12:10:05")),
    ("dateAdd", moved(None, "day", 1), {}, None),
    ("dateAdd", moved(END_OF_MAY, None, 1), {}, None),
    ("dateAdd", moved(END_OF_MAY, "day", "$gone"), {}, None),
    ("dateAdd", moved(END_OF_MAY, "day", 1, None), {}, None),
    ("dateAdd", moved("$gone", 5, "x", "$z"), {"z": 5}, None),
    ("dateAdd", {"$dateAdd": 5}, {}, Fails(5166400, "$dateAdd expects an object as its argument")),
    ("dateAdd", {"$dateAdd": {"startDate": END_OF_MAY, "foo": 1}}, {}, Fails(
        5166401, "Unrecognized argument to $dateAdd: foo. Expected arguments are startDate, unit, "
        "amount, and optionally timezone.")),
    ("dateAdd", {"$dateAdd": {"startDate": END_OF_MAY, "unit": "day"}}, {}, Fails(
        5166402, "$dateAdd requires startDate, unit, and amount to be present")),
    ("dateAdd", moved("2021", "day", 1), {}, Fails(
        5166403, "$dateAdd requires startDate to be convertible to a date")),
    ("dateAdd", moved(END_OF_MAY, 5, 1), {}, Fails(
        5166404, "$dateAdd expects string defining the time unit")),
    ("dateAdd", moved(END_OF_MAY, "days", 1), {}, Fails(9, "unknown time unit value: days")),
    ("dateAdd", moved(END_OF_MAY, "Day", 1), {}, Fails(9)),
    ("dateAdd", moved(END_OF_MAY, "day", 1.5), {}, Fails(
        5166405, "$dateAdd expects integer amount of time units")),
    ("dateAdd", moved(END_OF_MAY, "day", "1"), {}, Fails(5166405)),
    ("dateAdd", moved(END_OF_MAY, "day", True), {}, Fails(5166405)),
    ("dateAdd", moved(END_OF_MAY, "day", float("nan")), {}, Fails(5166405)),
    ("dateAdd", moved(END_OF_MAY, "year", 584942418), {}, Fails(
        5976500, "invalid dateAdd 'amount' parameter value: 584942418 year")),
    ("dateAdd", moved(END_OF_MAY, "year", 400000000), {}, Fails(5166406, "dateAdd overflowed")),
    ("dateAdd", moved(END_OF_MAY, "millisecond", L(2**63 - 1)), {}, Fails(5166406)),
    ("dateAdd", moved(END_OF_MAY, "day", 1, "Nope"), {}, Fails(40485)),
    ("dateAdd", moved(END_OF_MAY, "day", 1, 5), {}, Fails(40517)),
    ("dateAdd", moved("$gone", "day", 1, "Nope"), {}, Fails(40485)),
    ("dateSubtract", back(END_OF_MAY, "month", 1), {}, day("2021-04-30T12:10:05")),
    ("dateSubtract", back(day("2021-02-28"), "month", 1), {}, day("2021-01-28")),
    ("dateSubtract", back(day("2021-03-31"), "month", 1), {}, day("2021-02-28")),
    ("dateSubtract", back(day("2020-03-31"), "month", 1), {}, day("2020-02-29")),
    ("dateSubtract", back(day("2020-12-31"), "quarter", 1), {}, day("2020-09-30")),
    ("dateSubtract", back("$d", "day", 1, NEW_YORK), {"d": day("2021-03-15T14:00")},
     day("2021-03-14T14:00")),
    ("dateSubtract", back("$d", "day", 1, NEW_YORK), {"d": day("2021-03-14T14:00")},
     day("2021-03-13T15:00")),
    ("dateSubtract", back("$d", "hour", 24, NEW_YORK), {"d": day("2021-03-14T14:00")},
     day("2021-03-13T14:00")),
    ("dateSubtract", back(END_OF_MAY, "week", -1), {}, day("2021-06-07T12:10:05")),
    ("dateSubtract", back(END_OF_MAY, "day", L(-(2**63))), {}, Fails(
        6045000, f"invalid dateSubtract 'amount' parameter value: {-(2**63)} day")),
    ("dateSubtract", back("x", "day", 1), {}, Fails(
        5166403, "$dateSubtract requires startDate to be convertible to a date")),
    ("dateSubtract", back(None, "day", 1), {}, None),
    ("dateSubtract", {"$dateSubtract": []}, {}, Fails(5166400)),
]  # fmt: skip


def apart(start: Any, end: Any, unit: Any, **more: Any) -> Any:
    return {"$dateDiff": {"startDate": start, "endDate": end, "unit": unit} | more}


def between(start: str, end: str, unit: str, **more: Any) -> Any:
    return apart(day(start), day(end), unit, **more)


DIFF: list[Case] = [
    ("dateDiff", between("2020-12-31", "2021-01-05", "day"), {}, L(5)),
    ("dateDiff", between("2021-02-28", "2021-03-07", "day"), {}, L(7)),
    ("dateDiff", between("2021-02-16", "2021-02-18", "day"), {}, L(2)),
    ("dateDiff", between("2010-01-01", "2011-01-01", "year"), {}, L(1)),
    ("dateDiff", between("2010-01-01", "2011-01-01", "month"), {}, L(12)),
    ("dateDiff", between("2010-01-01", "2011-01-01", "day"), {}, L(365)),
    ("dateDiff", between("2010-01-01", "2011-07-01", "year"), {}, L(1)),
    ("dateDiff", between("2010-01-01", "2011-07-01", "month"), {}, L(18)),
    ("dateDiff", between("2010-01-01", "2011-07-01", "day"), {}, L(546)),
    ("dateDiff", between("2010-03-01", "2010-04-30", "year"), {}, L(0)),
    ("dateDiff", between("2010-03-01", "2010-04-30", "month"), {}, L(1)),
    ("dateDiff", between("2010-03-01", "2010-04-30", "day"), {}, L(60)),
    ("dateDiff", between("2021-01-01", "2021-01-31", "week"), {}, L(5)),
    ("dateDiff", between("2021-01-01", "2021-01-31", "week", startOfWeek="Monday"), {}, L(4)),
    ("dateDiff", between("2021-01-01", "2021-01-31", "week", startOfWeek="fri"), {}, L(4)),
    ("dateDiff", between("2021-02-01", "2021-02-28", "week"), {}, L(4)),
    ("dateDiff", between("2021-02-01", "2021-02-28", "week", startOfWeek="Monday"), {}, L(3)),
    ("dateDiff", between("2021-02-01", "2021-02-28", "week", startOfWeek="fri"), {}, L(4)),
    ("dateDiff", between("2021-03-01", "2021-03-31", "week"), {}, L(4)),
    ("dateDiff", between("2021-03-01", "2021-03-31", "week", startOfWeek="Monday"), {}, L(4)),
    ("dateDiff", between("2021-03-01", "2021-03-31", "week", startOfWeek="FRIDAY"), {}, L(4)),
    ("dateDiff", between("2020-12-31", "2021-01-01", "year"), {}, L(1)),
    ("dateDiff", between("2021-01-01", "2020-12-31", "year"), {}, L(-1)),
    ("dateDiff", between("2020-12-31", "2021-01-01", "quarter"), {}, L(1)),
    ("dateDiff", between("2020-01-01", "2021-12-31", "quarter"), {}, L(7)),
    ("dateDiff", between("2021-01-31T23:59:59", "2021-02-01", "month"), {}, L(1)),
    ("dateDiff", between("2021-02-01", "2021-01-01", "day"), {}, L(-31)),
    ("dateDiff", between("2021-01-01T10:59:59", "2021-01-01T11:00", "hour"), {}, L(1)),
    ("dateDiff", between("2021-01-01T10:00", "2021-01-01T10:59:59", "hour"), {}, L(0)),
    ("dateDiff", between("2021-01-01T10:00:59", "2021-01-01T10:01", "minute"), {}, L(1)),
    ("dateDiff", between("2021-01-01T10:00:00.999", "2021-01-01T10:00:01", "second"), {}, L(1)),
    ("dateDiff", between("2021-01-01", "2021-01-01T00:00:00.999", "second"), {}, L(0)),
    ("dateDiff", between("2021-01-01", "2020-12-31T23:59:59.999", "millisecond"), {}, L(-1)),
    ("dateDiff", between("2021-01-01", "2020-12-31T23:59:59.999", "second"), {}, L(-1)),
    ("dateDiff", between("2021-03-14T05:00", "2021-03-15T04:00", "day", timezone=NEW_YORK), {},
     L(1)),
    ("dateDiff", between("2021-03-14T05:00", "2021-03-15T04:00", "hour", timezone=NEW_YORK), {},
     L(23)),
    ("dateDiff", between("2021-03-14T04:59", "2021-03-14T05:00", "day", timezone=NEW_YORK), {},
     L(1)),
    ("dateDiff", between("2021-01-01T10:29", "2021-01-01T10:31", "hour", timezone="+05:30"), {},
     L(1)),
    ("dateDiff", between("2021-01-01T10:29", "2021-01-01T10:31", "hour"), {}, L(0)),
    ("dateDiff", between("2021-11-07T05:30", "2021-11-07T06:30", "hour", timezone=NEW_YORK), {},
     L(1)),
    ("dateDiff", between("2021-01-01", "2021-01-01", "week", startOfWeek="friday"), {}, L(0)),
    ("dateDiff", between("2020-12-31", "2021-01-01", "week", startOfWeek="friday"), {}, L(1)),
    ("dateDiff", apart(DatetimeMS(0), DatetimeMS(2**63 - 1), "millisecond"), {}, L(2**63 - 1)),
    ("dateDiff", apart(ObjectId("5ab9c3da31c2ab715d421285"), Timestamp(1637688118, 0), "year"),
     {}, L(3)),
    ("dateDiff", apart(None, END_OF_MAY, "day"), {}, None),
    ("dateDiff", apart(END_OF_MAY, "$gone", "day"), {}, None),
    ("dateDiff", apart(END_OF_MAY, END_OF_MAY, None), {}, None),
    ("dateDiff", apart(END_OF_MAY, END_OF_MAY, "week", startOfWeek=None), {}, None),
    ("dateDiff", apart(END_OF_MAY, END_OF_MAY, "day", startOfWeek=None), {}, L(0)),
    ("dateDiff", apart(END_OF_MAY, END_OF_MAY, "day", timezone=None), {}, None),
    ("dateDiff", {"$dateDiff": 1}, {}, Fails(
        5166301, "$dateDiff only supports an object as its argument")),
    ("dateDiff", apart(END_OF_MAY, END_OF_MAY, "day", foo=1), {}, Fails(
        5166302, "Unrecognized argument to $dateDiff: foo")),
    ("dateDiff", {"$dateDiff": {}}, {}, Fails(
        5166303, "Missing 'startDate' parameter to $dateDiff")),
    ("dateDiff", {"$dateDiff": {"startDate": 1}}, {}, Fails(5166304)),
    ("dateDiff", {"$dateDiff": {"startDate": 1, "endDate": 1}}, {}, Fails(5166305)),
    ("dateDiff", apart("x", END_OF_MAY, "day"), {}, Fails(
        5166307, "$dateDiff requires 'startDate' to be a date, but got string")),
    ("dateDiff", apart(END_OF_MAY, 5, "day"), {}, Fails(
        5166307, "$dateDiff requires 'endDate' to be a date, but got int")),
    ("dateDiff", apart(END_OF_MAY, END_OF_MAY, 5), {}, Fails(
        5439013, "$dateDiff requires 'unit' to be a string, but got int")),
    ("dateDiff", apart(END_OF_MAY, END_OF_MAY, "eon"), {}, Fails(
        5439014, "$dateDiff parameter 'unit' value cannot be recognized as a time unit: eon")),
    ("dateDiff", apart(END_OF_MAY, END_OF_MAY, "week", startOfWeek=5), {}, Fails(
        5439015, "$dateDiff requires 'startOfWeek' to be a string, but got int")),
    ("dateDiff", apart(END_OF_MAY, END_OF_MAY, "week", startOfWeek="FIRDAY"), {}, Fails(
        5439016, "$dateDiff parameter 'startOfWeek' value cannot be recognized as a day of a "
        "week: FIRDAY")),
    ("dateDiff", apart(END_OF_MAY, END_OF_MAY, "day", timezone="X/Y"), {}, Fails(40485)),
    ("dateDiff", apart(DatetimeMS(-(2**63)), DatetimeMS(2**63 - 1), "millisecond"), {}, Fails(
        5166308, "dateDiff overflowed")),
]  # fmt: skip


def cut(date: Any, unit: Any, **more: Any) -> Any:
    return {"$dateTrunc": {"date": date, "unit": unit} | more}


CAKES = [
    ("2020-05-18T14:10:30", "2020-05-11T07:00"),
    ("2021-03-20T11:30:05", "2021-03-15T07:00"),
    ("2021-01-11T06:31:15", "2021-01-04T08:00"),
    ("2020-02-08T13:13:23", "2020-02-03T08:00"),
    ("2019-05-18T16:09:01", "2019-05-13T07:00"),
    ("2019-01-08T06:12:03", "2019-01-07T08:00"),
]
FORTNIGHT = {"binSize": 2, "timezone": LOS_ANGELES, "startOfWeek": "Monday"}
CAKE = day("2021-03-20T11:30:05.123")

TRUNC: list[Case] = [
    *(("dateTrunc", cut(day(start), "week", **FORTNIGHT), {}, day(end)) for start, end in CAKES),
    *(("dateTrunc", cut(day(start), "month", binSize=6), {}, day(f"{start[:4]}-01-01"))
      for start, _ in CAKES),
    ("dateTrunc", cut(day("2021-03-20T11:30:05"), "hour"), {}, day("2021-03-20T11:00")),
    ("dateTrunc", cut(day("2021-03-20T11:30:05"), "hour", binSize=2), {}, day("2021-03-20T10:00")),
    ("dateTrunc", cut(CAKE, "year"), {}, day("2021-01-01")),
    ("dateTrunc", cut(CAKE, "year", binSize=10), {}, day("2020-01-01")),
    ("dateTrunc", cut(day("1999-06-01"), "year", binSize=10), {}, day("1990-01-01")),
    ("dateTrunc", cut(CAKE, "quarter"), {}, day("2021-01-01")),
    ("dateTrunc", cut(day("2021-06-30"), "quarter"), {}, day("2021-04-01")),
    ("dateTrunc", cut(CAKE, "quarter", binSize=3), {}, day("2021-01-01")),
    ("dateTrunc", cut(CAKE, "month"), {}, day("2021-03-01")),
    ("dateTrunc", cut(CAKE, "month", binSize=7), {}, day("2021-01-01")),
    ("dateTrunc", cut(CAKE, "week"), {}, day("2021-03-14")),
    ("dateTrunc", cut(CAKE, "week", startOfWeek="mon"), {}, day("2021-03-15")),
    ("dateTrunc", cut(CAKE, "week", startOfWeek="Saturday"), {}, day("2021-03-20")),
    ("dateTrunc", cut(day("1999-12-31"), "week"), {}, day("1999-12-26")),
    ("dateTrunc", cut(day("2000-01-02"), "week", binSize=2), {}, day("2000-01-02")),
    ("dateTrunc", cut(day("2000-01-01"), "week", binSize=2), {}, day("1999-12-19")),
    ("dateTrunc", cut(CAKE, "day"), {}, day("2021-03-20")),
    ("dateTrunc", cut(CAKE, "day", binSize=20), {}, day("2021-03-11")),
    ("dateTrunc", cut(CAKE, "minute"), {}, day("2021-03-20T11:30")),
    ("dateTrunc", cut(CAKE, "minute", binSize=7), {}, day("2021-03-20T11:26")),
    ("dateTrunc", cut(CAKE, "second"), {}, day("2021-03-20T11:30:05")),
    ("dateTrunc", cut(CAKE, "millisecond", binSize=100), {}, day("2021-03-20T11:30:05.100")),
    ("dateTrunc", cut(CAKE, "millisecond"), {}, CAKE),
    ("dateTrunc", cut(day("1969-12-31T23:59:59.999"), "hour"), {}, day("1969-12-31T23:00")),
    ("dateTrunc", cut(CAKE, "day", timezone=NEW_YORK), {}, day("2021-03-20T04:00")),
    ("dateTrunc", cut(CAKE, "month", timezone=NEW_YORK), {}, day("2021-03-01T05:00")),
    ("dateTrunc", cut(day("2021-03-14T12:00"), "day", timezone=NEW_YORK), {},
     day("2021-03-14T05:00")),
    ("dateTrunc", cut(CAKE, "hour", timezone="+05:30"), {}, day("2021-03-20T11:30")),
    ("dateTrunc", cut(CAKE, "hour"), {}, day("2021-03-20T11:00")),
    ("dateTrunc", cut(CAKE, "day", binSize=1.0), {}, day("2021-03-20")),
    ("dateTrunc", cut(CAKE, "day", binSize=DEC("1")), {}, day("2021-03-20")),
    ("dateTrunc", cut("$d", "$u", binSize="$b"), {"d": CAKE, "u": "month", "b": L(1)},
     day("2021-03-01")),
    ("dateTrunc", cut(Timestamp(1637688118, 0), "day"), {}, day("2021-11-23")),
    ("dateTrunc", cut(None, "day"), {}, None),
    ("dateTrunc", cut(CAKE, None), {}, None),
    ("dateTrunc", cut(CAKE, "day", binSize=None), {}, None),
    ("dateTrunc", cut(CAKE, "day", timezone=None), {}, None),
    ("dateTrunc", cut(CAKE, "week", startOfWeek="$gone"), {}, None),
    ("dateTrunc", cut(CAKE, "day", startOfWeek=5), {}, day("2021-03-20")),
    ("dateTrunc", {"$dateTrunc": "x"}, {}, Fails(
        5439007, "$dateTrunc only supports an object as its argument")),
    ("dateTrunc", cut(CAKE, "day", foo=1), {}, Fails(
        5439008, "Unrecognized argument to $dateTrunc: foo. Expected arguments are date, unit, "
        "and optionally, binSize, timezone, startOfWeek")),
    ("dateTrunc", {"$dateTrunc": {"unit": "day"}}, {}, Fails(
        5439009, "Missing 'date' parameter to $dateTrunc")),
    ("dateTrunc", {"$dateTrunc": {"date": CAKE}}, {}, Fails(
        5439010, "Missing 'unit' parameter to $dateTrunc")),
    ("dateTrunc", cut("x", "day"), {}, Fails(
        5439012, "$dateTrunc requires 'date' to be a date, but got string")),
    ("dateTrunc", cut(CAKE, 5), {}, Fails(
        5439013, "$dateTrunc requires 'unit' to be a string, but got int")),
    ("dateTrunc", cut(CAKE, "century"), {}, Fails(5439014)),
    ("dateTrunc", cut(CAKE, "week", startOfWeek=5), {}, Fails(5439015)),
    ("dateTrunc", cut(CAKE, "week", startOfWeek="x"), {}, Fails(5439016)),
    ("dateTrunc", cut(CAKE, "day", binSize="1"), {}, Fails(5439017)),
    ("dateTrunc", cut(CAKE, "day", binSize=1.5), {}, Fails(
        5439017, "$dateTrunc requires 'binSize' to be a 64-bit integer, but got value '1.5' of "
        "type double")),
    ("dateTrunc", cut(CAKE, "day", binSize=0), {}, Fails(
        5439018, "$dateTrunc requires 'binSize' to be greater than 0, but got value 0")),
    ("dateTrunc", cut(CAKE, "day", binSize=-1), {}, Fails(5439018)),
    ("dateTrunc", cut(CAKE, "day", timezone="X/Y"), {}, Fails(40485)),
    ("dateTrunc", cut(DatetimeMS(-(2**63)), "year", binSize=L(2**60)), {}, Fails(5439000)),
]  # fmt: skip


@table([*ADD, *DIFF, *TRUNC])
def test_arithmetic(case: Case) -> None:
    check(case)


UNITS = st.sampled_from(
    ["year", "quarter", "month", "week", "day", "hour", "minute", "second", "millisecond"]
)
CLOCKS = st.sampled_from(["UTC", NEW_YORK, "+05:30", LORD_HOWE, "Asia/Tokyo"]).map(find_zone)
MODERN = st.integers(int(day("1975-01-01")), int(day("2400-01-01")))


@given(MODERN, UNITS, st.integers(1, 50), CLOCKS, st.integers(1, 7))
def test_a_bin_holds_its_date(ms: int, unit: str, size: int, zone: Any, weekday: int) -> None:
    start = truncate(ms, unit, size, zone, weekday)
    assert start <= ms
    assert truncate(start, unit, size, zone, weekday) == start
    assert difference(start, ms, unit, zone, weekday) < size or zone.name == LORD_HOWE


@given(MODERN, MODERN, MODERN, UNITS, CLOCKS, st.integers(1, 7))
def test_differences_add_up(a: int, b: int, c: int, unit: str, zone: Any, weekday: int) -> None:
    whole = difference(a, c, unit, zone, weekday)
    assert difference(a, b, unit, zone, weekday) + difference(b, c, unit, zone, weekday) == whole
    assert difference(c, a, unit, zone, weekday) == -whole


@given(MODERN, UNITS, st.integers(-500, 500), CLOCKS)
def test_what_was_added_is_the_difference(ms: int, unit: str, amount: int, zone: Any) -> None:
    later = add(ms, unit, amount, zone)
    if zone.name == LORD_HOWE and unit == "hour":
        return  # half an hour of summer time makes hours begin at other minutes
    assert difference(ms, later, unit, zone, 7) == amount


@given(
    st.integers(-(2**63), 2**63 - 1), UNITS, st.integers(-(2**63), 2**63 - 1),
    st.sampled_from(["UTC", NEW_YORK, "+0530"]),
)  # fmt: skip
def test_any_amount_gives_a_date_or_an_error(ms: int, unit: str, amount: int, zone: str) -> None:
    for spec in (
        moved(DatetimeMS(ms), unit, L(amount), zone),
        back(DatetimeMS(ms), unit, L(amount), zone),
        cut(DatetimeMS(ms), unit, binSize=L(max(1, amount)), timezone=zone),
    ):
        result, code = result_or_code(spec)
        assert type(result) is DatetimeMS or code in (5976500, 5166406, 6045000, 5439000)
