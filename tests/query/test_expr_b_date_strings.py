"""`$dateToString` and `$dateFromString`."""

from __future__ import annotations

from typing import Any

from bson.datetime_ms import DatetimeMS
from bson.objectid import ObjectId
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from tests.query.expr_b_tools import Case, Fails, check, day, exact, result_or_code, run, table

NEW_YORK = "America/New_York"
SALE = {"d": day("2014-01-01T08:15:39.736")}
MISS = {"d": day("2017-01-04T15:08:51.911")}


def shown(form: str | None = None, zone: Any = ..., date: Any = "$d", **more: Any) -> Any:
    fields: dict[str, Any] = {"date": date}
    if form is not None:
        fields["format"] = form
    if zone is not ...:
        fields["timezone"] = zone
    return {"$dateToString": fields | more}


TO_STRING: list[Case] = [
    ("dateToString", shown("%Y-%m-%d"), SALE, "2014-01-01"),
    ("dateToString", shown("%H:%M:%S:%L%z", NEW_YORK), SALE, "03:15:39:736-0500"),
    ("dateToString", shown("%H:%M:%S:%L%z", "+04:30"), SALE, "12:45:39:736+0430"),
    ("dateToString", shown("%Z", NEW_YORK), SALE, "-300"),
    ("dateToString", shown("%Z", "+04:30"), SALE, "270"),
    ("dateToString", shown("%b", "+04:30"), SALE, "Jan"),
    ("dateToString", shown("%B", "+04:30"), SALE, "January"),
    ("dateToString", shown(), SALE, "2014-01-01T08:15:39.736Z"),
    ("dateToString", shown(zone="UTC"), SALE, "2014-01-01T08:15:39.736Z"),
    ("dateToString", shown(zone="+00:00"), SALE, "2014-01-01T08:15:39.736Z"),
    ("dateToString", shown(zone=NEW_YORK), SALE, "2014-01-01T03:15:39.736"),
    ("dateToString", shown("%d/%m/%G %V %u %U %w %j"), MISS, "04/01/2017 01 3 01 4 004"),
    ("dateToString", shown("100%%"), SALE, "100%"),
    ("dateToString", shown("%%%Y%%"), SALE, "%2014%"),
    ("dateToString", shown(""), SALE, ""),
    ("dateToString", shown("é\u0000"), SALE, "é\u0000"),
    ("dateToString", shown("%z"), SALE, "+0000"),
    ("dateToString", shown("%Z"), SALE, "0"),
    ("dateToString", shown("%z", "-0845"), SALE, "-0845"),
    ("dateToString", shown("%Z", "-0845"), SALE, "-525"),
    ("dateToString", shown("%G-W%V-%u"), {"d": day("2005-01-01")}, "2004-W53-6"),
    ("dateToString", shown("%G-W%V-%u"), {"d": day("2008-12-29")}, "2009-W01-1"),
    ("dateToString", shown("%Y %j"), {"d": day("2020-12-31")}, "2020 366"),
    ("dateToString", shown("%Y"), {"d": day("0005-01-01")}, "0005"),
    ("dateToString", shown("%Y"), {"d": DatetimeMS(-62167219200000)}, "0000"),
    ("dateToString", shown(date=ObjectId("5ab9c3da31c2ab715d421285")), {},
     "2018-03-27T04:08:58.000Z"),
    ("dateToString", shown(date=Timestamp(0, 9)), {}, "1970-01-01T00:00:00.000Z"),
    ("dateToString", shown("$f"), SALE | {"f": "%Y"}, "2014"),
    ("dateToString", shown(date=None), {}, None),
    ("dateToString", shown(date="$gone", onNull="none"), {}, "none"),
    ("dateToString", shown(date=None, onNull="$$REMOVE"), {}, ...),
    ("dateToString", shown(date=None, zone=None, onNull=1), {}, 1),
    ("dateToString", shown(zone=None, onNull=1), SALE, None),
    ("dateToString", shown("$gone"), SALE, None),
    ("dateToString", shown(date=None, zone="Nope", onNull=1), {}, Fails(40485)),
    ("dateToString", shown("%Y", date=DatetimeMS(253402300800000)), {}, Fails(
        18537, "Could not convert date to string: date component was outside the supported range "
        "of 0-9999: 10000")),
    ("dateToString", shown("%Y", date=DatetimeMS(-(2**63))), {}, Fails(18537)),
    ("dateToString", shown("%G", date=DatetimeMS(253402300800000)), {}, "9999"),
    ("dateToString", shown("%m", date=DatetimeMS(253402300800000)), {}, "01"),
    ("dateToString", shown("%"), SALE, Fails(18535, "Unmatched '%' at end of format string")),
    ("dateToString", shown("%Y%"), SALE, Fails(18535)),
    ("dateToString", shown("%x"), SALE, Fails(
        18536, "Invalid format character '%x' in format string")),
    ("dateToString", shown("%n", date=None), SALE, Fails(18536)),
    ("dateToString", shown(format=5), SALE, Fails(
        18533, "$dateToString requires that 'format' be a string, found: int with value 5")),
    ("dateToString", {"$dateToString": "x"}, {}, Fails(
        18629, "$dateToString only supports an object as its argument")),
    ("dateToString", {"$dateToString": {"format": "%Y"}}, {}, Fails(
        18628, "Missing 'date' parameter to $dateToString")),
    ("dateToString", shown(foo=1), SALE, Fails(
        18534, "Unrecognized argument to $dateToString: foo")),
    ("dateToString", shown(date="2014"), SALE, Fails(16006)),
    ("dateToString", shown(zone=1), SALE, Fails(40517)),
]  # fmt: skip


@table([case for case in TO_STRING if case[3] is not ...])
def test_to_string(case: Case) -> None:
    check(case)


def test_on_null_may_be_missing() -> None:
    assert run({"a": shown(date=None, onNull="$$REMOVE")}) == {}


def read(text: Any, form: Any = ..., zone: Any = ..., **more: Any) -> Any:
    fields: dict[str, Any] = {"dateString": text}
    if form is not ...:
        fields["format"] = form
    if zone is not ...:
        fields["timezone"] = zone
    return {"$dateFromString": fields | more}


def broken(text: str, position: int, message: str) -> Fails:
    char = text[position : position + 1]
    return Fails(241, f"Error parsing date string '{text}'; {position}: {message} '{char}'")


def incomplete(text: str) -> Fails:
    return Fails(
        241, f'an incomplete date/time string has been found, with elements missing: "{text}"'
    )


LOG = day("2017-02-08T12:10:40.787")

FREE: list[tuple[str, str]] = [
    ("2017-02-08T12:10:40.787", "2017-02-08T12:10:40.787"),
    ("2017-02-08T12:10:40.787Z", "2017-02-08T12:10:40.787"),
    ("2017-02-08", "2017-02-08"),
    ("2017-02-08 12:10", "2017-02-08T12:10"),
    ("2017-02-08T12:10:40", "2017-02-08T12:10:40"),
    ("2017-02-08t12:10:40z", "2017-02-08T12:10:40"),
    ("2017-2-8", "2017-02-08"),
    ("2017-02-08T12:10:40.7", "2017-02-08T12:10:40.700"),
    ("2017-02-08T12:10:40.78799", "2017-02-08T12:10:40.787"),
    ("2017-02-08T12:10:40,787", "2017-02-08T12:10:40.787"),
    ("20170208T121040Z", "2017-02-08T12:10:40"),
    ("20170208", "2017-02-08"),
    ("2017/02/08", "2017-02-08"),
    ("02/08/2017", "2017-02-08"),
    ("2/8/2017 12:10:40", "2017-02-08T12:10:40"),
    ("08-02-2017", "2017-02-08"),
    ("08.02.2017", "2017-02-08"),
    ("2017-039", "2017-02-08"),
    ("2017.039", "2017-02-08"),
    ("2017-W06-3", "2017-02-08"),
    ("2017W063", "2017-02-08"),
    ("2017-W06", "2017-02-06"),
    ("2017-02", "2017-02-01"),
    ("8 February 2017", "2017-02-08"),
    ("8 Feb 2017", "2017-02-08"),
    ("8-Feb-2017", "2017-02-08"),
    ("8th of nothing".replace("of nothing", "Feb 2017"), "2017-02-08"),
    ("08-FEB-17", "2017-02-08"),
    ("08-FEB-70", "1970-02-08"),
    ("February 8, 2017", "2017-02-08"),
    ("Feb 8th, 2017 12:10pm", "2017-02-08T12:10"),
    ("february 8 2017", "2017-02-08"),
    ("Feb-08-2017", "2017-02-08"),
    ("2017-Feb-08", "2017-02-08"),
    ("February 2017", "2017-02-01"),
    ("Wed, 08 Feb 2017 12:10:40 GMT", "2017-02-08T12:10:40"),
    ("Wed, 08 Feb 2017 12:10:40 +0100", "2017-02-08T11:10:40"),
    ("2017-02-08 12:10 AM", "2017-02-08T00:10"),
    ("2017-02-08 12:10 pm", "2017-02-08T12:10"),
    ("2017-02-08 3pm", "2017-02-08T15:00"),
    ("3:05 a.m. 2017-02-08", "2017-02-08T03:05"),
    ("2017-02-08 11:00:06 +0500", "2017-02-08T06:00:06"),
    ("2017-02-08T12:10:40+05:30", "2017-02-08T06:40:40"),
    ("2017-02-08T12:10:40-08", "2017-02-08T20:10:40"),
    ("2017-02-08T12:10:40 EST", "2017-02-08T17:10:40"),
    ("2017-02-08T12:10:40 UTC", "2017-02-08T12:10:40"),
    ("2017-02-08 24:00", "2017-02-09"),
    ("2017-02-30", "2017-03-02"),
    ("2016-02-29", "2016-02-29"),
    ("  2017-02-08  ", "2017-02-08"),
    ("@1500000000", "2017-07-14T02:40:00"),
    ("@-1", "1969-12-31T23:59:59"),
    ("0001-01-01", "0001-01-01"),
    ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999"),
]

BROKEN: list[tuple[str, Fails]] = [
    ("", incomplete("")),
    ("Friday", incomplete("Friday")),
    ("10:30", incomplete("10:30")),
    ("2017", incomplete("2017")),
    ("abc", broken("abc", 0, "The timezone could not be found in the database")),
    ("tomorrow", broken("tomorrow", 0, "The timezone could not be found in the database")),
    ("2017-02-08 Europe/London", broken(
        "2017-02-08 Europe/London", 11,
        "passing a time zone identifier as part of the string is not allowed")),
    ("2017-02-08 2017-02-09", broken(
        "2017-02-08 2017-02-09", 11, "Double date specification")),
    ("2017-02-08 10:00 11:00", broken(
        "2017-02-08 10:00 11:00", 17, "Double time specification")),
    ("2017-02-08 Z Z", broken("2017-02-08 Z Z", 13, "Double timezone specification")),
    ("2017-02-08 ?", broken("2017-02-08 ?", 11, "Unexpected character")),
    ("2017-13-01", Fails(241)),
    ("2017-02-32", Fails(241)),
    ("13/13/2017", Fails(241)),
    ("1 2 3", Fails(241)),
    ("@99999999999999999", Fails(241)),
]  # fmt: skip

FORMATTED: list[tuple[str, str, Any]] = [
    ("06-15-2018", "%m-%d-%Y", day("2018-06-15")),
    ("15-06-2018", "%d-%m-%Y", day("2018-06-15")),
    ("7/8/2020", "%m/%d/%Y", day("2020-07-08")),
    ("2018 jun 15 -0500", "%Y %b %d %z", day("2018-06-15T05:00")),
    ("2018 JUNE 15", "%Y %B %d", day("2018-06-15")),
    ("2018 June 15", "%Y %b %d", day("2018-06-15")),
    ("20180615", "%Y%m%d", day("2018-06-15")),
    ("2018-06-15T10:11:12.013Z", "%Y-%m-%dT%H:%M:%S.%LZ", day("2018-06-15T10:11:12.013")),
    ("2018-06-15 .5", "%Y-%m-%d .%L", day("2018-06-15T00:00:00.500")),
    ("2018-W24-5", "%G-W%V-%u", day("2018-06-15")),
    ("2018 24", "%G %V", day("2018-06-11")),
    ("2018", "%G", day("2018-01-01")),
    ("2018 166", "%Y %j", day("2018-06-15")),
    ("2018-06-15 +0530", "%Y-%m-%d %z", day("2018-06-14T18:30")),
    ("2018-06-15 EST", "%Y-%m-%d %z", day("2018-06-15T05:00")),
    ("2018-06-15 330", "%Y-%m-%d %Z", day("2018-06-14T18:30")),
    ("2018-06-15 -300", "%Y-%m-%d %Z", day("2018-06-15T05:00")),
    ("100% 2018-06-15", "100%% %Y-%m-%d", day("2018-06-15")),
    ("2018-13-01", "%Y-%m-%d", day("2019-01-01")),
    ("2018-02-30", "%Y-%m-%d", day("2018-03-02")),
    ("2018-06", "%Y-%m", incomplete("2018-06")),
    ("10:11", "%H:%M", incomplete("10:11")),
    ("24 5", "%V %u", incomplete("24 5")),
    ("2018-06-15x", "%Y-%m-%d", broken("2018-06-15x", 10, "Trailing data")),
    ("2018/06/15", "%Y-%m-%d", broken(
        "2018/06/15", 4, "The format separator does not match")),
    ("2018-06", "%Y-%m-%d", broken(
        "2018-06", 7, "Not enough data available to satisfy format")),
    ("18-06-15", "%Y-%m-%d", broken("18-06-15", 0, "A four digit year could not be found")),
    ("2018-xx-15", "%Y-%m-%d", broken(
        "2018-xx-15", 5, "A two digit month could not be found")),
    ("2018-06-xx", "%Y-%m-%d", broken("2018-06-xx", 8, "A two digit day could not be found")),
    ("2018 foo 15", "%Y %b %d", broken("2018 foo 15", 5, "A textual month could not be found")),
    ("166 2018", "%j %Y", broken(
        "166 2018", 0, "A 'day of year' can only come after a year has been found")),
    ("2018 nowhere", "%Y %z", broken(
        "2018 nowhere", 5, "The timezone could not be found in the database")),
    ("2018 24", "%Y %V", Fails(241)),
    ("2018", "%", Fails(18535)),
    ("2018", "%q", Fails(18536)),
    ("2018", "%w", Fails(18536)),
]  # fmt: skip

FROM_STRING: list[Case] = [
    *(("dateFromString", read(text), {}, day(expected)) for text, expected in FREE),
    *(("toDate", {"$toDate": text}, {}, day(expected)) for text, expected in FREE[:12]),
    *(("dateFromString", read(text), {}, expected) for text, expected in BROKEN),
    *(("dateFromString", read(text, form), {}, expected) for text, form, expected in FORMATTED),
    ("dateFromString", read("2017-02-08T12:10:40.787", zone=NEW_YORK), {},
     day("2017-02-08T17:10:40.787")),
    ("dateFromString", read("2017-02-08", zone=NEW_YORK), {}, day("2017-02-08T05:00")),
    ("dateFromString", read("2017-02-08", "%Y-%m-%d", "-04:00"), {}, day("2017-02-08T04:00")),
    ("dateFromString", read("2017-02-08", zone="UTC"), {}, day("2017-02-08")),
    ("dateFromString", read("2017-02-08T00:00:00Z", zone="UTC"), {}, day("2017-02-08")),
    ("dateFromString", read("2017-02-08T00:00:00Z", zone=NEW_YORK), {}, Fails(
        241, "you cannot pass in a date/time string with GMT offset together with "
        "a timezone argument")),
    ("dateFromString", read("2017 1 1 +01", "%Y %m %d %z", NEW_YORK), {}, Fails(241)),
    ("dateFromString", read("$d", onNull="none"), {}, "none"),
    ("dateFromString", read(None), {}, None),
    ("dateFromString", read(None, "%Y", None, onNull=1), {}, 1),
    ("dateFromString", read("2017-02-08", None), {}, None),
    ("dateFromString", read("2017-02-08", zone="$gone"), {}, None),
    ("dateFromString", read("nonsense", onError="bad"), {}, "bad"),
    ("dateFromString", read("nonsense", "%Y", onError="$d"), {"d": [1]}, [1]),
    ("dateFromString", read(5, onError="bad"), {}, "bad"),
    ("dateFromString", read(5), {}, Fails(
        241, "$dateFromString requires that 'dateString' be a string, found: int with value 5")),
    ("dateFromString", read("2017-02-08", "%", onError="bad"), {}, Fails(18535)),
    ("dateFromString", read("2017-02-08", zone="Nope", onError="bad"), {}, Fails(40485)),
    ("dateFromString", read("2017-02-08", 5, onError="bad"), {}, Fails(
        40684, "$dateFromString requires that 'format' be a string, found: int with value 5")),
    ("dateFromString", {"$dateFromString": "2017"}, {}, Fails(
        40540, "$dateFromString only supports an object as an argument, found: string")),
    ("dateFromString", {"$dateFromString": {}}, {}, Fails(
        40542, "Missing 'dateString' parameter to $dateFromString")),
    ("dateFromString", read("2017", foo=1), {}, Fails(
        40541, "Unrecognized argument to $dateFromString: foo")),
    ("dateFromString", read("2017", zone=5), {}, Fails(40517)),
]  # fmt: skip


@table(FROM_STRING)
def test_from_string(case: Case) -> None:
    check(case)


WITHIN = st.integers(int(day("0001-01-02")), int(day("9999-12-30T23:59:59.999")))


@given(WITHIN, st.sampled_from(["UTC", "+05:30", "-0845"]))
def test_from_string_undoes_to_string(ms: int, zone: str) -> None:
    text = run(shown("%Y-%m-%d %H:%M:%S.%L", zone, DatetimeMS(ms)))
    again = read(text, "%Y-%m-%d %H:%M:%S.%L", zone)
    assert exact(run(again)) == exact(DatetimeMS(ms))
    assert exact(run({"$toDate": {"$toString": DatetimeMS(ms)}})) == exact(DatetimeMS(ms))


@given(WITHIN)
def test_every_written_form_reads_back(ms: int) -> None:
    date = DatetimeMS(ms)
    for form in ("%Y-%m-%dT%H:%M:%S.%L%z", "%d %b %Y %H:%M:%S.%L", "%G-W%V-%uT%H:%M:%S.%L"):
        assert exact(run(read(run(shown(form, date=date))))) == exact(date)
    for form in ("%Y %j %H%M%S%L %Z", "%u %V %G %H:%M:%S.%L", "%B %d %Y %H %M %S %L"):
        assert exact(run(read(run(shown(form, date=date)), form))) == exact(date)


PLAIN = st.from_regex(
    r"\A[0-2][0-9]{3}-[01][0-9]-[0-3][0-9](([Tt ][0-2][0-9]:[0-6][0-9](:[0-6][0-9](\.[0-9]{1,5})?)?"
    r"[Zz]?)?)\Z",
    alphabet="0123456789-:.TtZz ",
)


@given(PLAIN, st.sampled_from(["UTC", NEW_YORK, "+05:30"]))
def test_plain_dates_are_read_as_the_scanner_would(text: str, zone: str) -> None:
    quick, code = result_or_code(read(text, zone=zone))
    slow, slow_code = result_or_code(read(f" {text}", zone=zone))
    assert code == slow_code
    assert code or exact(quick) == exact(slow)


@given(st.text("0123456789-/:.T Z+abjunFE@W,", max_size=24), st.sampled_from(["UTC", NEW_YORK]))
def test_any_text_is_a_date_or_a_conversion_failure(text: str, zone: str) -> None:
    result, code = result_or_code(read({"$literal": text}, zone=zone))
    assert type(result) is DatetimeMS or code == 241
