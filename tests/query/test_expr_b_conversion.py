"""`$convert`, its short forms, `$type`, `$isNumber`."""

from __future__ import annotations

from typing import Any

import pytest
from bson.binary import Binary
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from psdb_base.values import UNDEFINED, DBPointer, Symbol
from psdb_query.expressions.conversion import OPERATORS, TYPE_CODES
from tests.query.expr_b_tools import (
    DEC,
    Case,
    Fails,
    L,
    check,
    day,
    exact,
    result_or_code,
    run,
    table,
)
from tests.strategies import bson_values

OID = ObjectId("5ab9c3da31c2ab715d421285")
INF, NAN = float("inf"), float("nan")
NO = "in $convert with no onError value"


def to(target: Any, value: Any, **more: Any) -> Any:
    return {"$convert": {"input": {"$literal": value}, "to": target} | more}


def unparsed(text: str, why: str) -> Fails:
    return Fails(241, f"Failed to parse number '{text}' {NO}: {why}")


def overflow(text: str) -> Fails:
    return Fails(241, f"Conversion would overflow target type {NO}: {text}")


def unsupported(source: str, target: str) -> Fails:
    return Fails(241, f"Unsupported conversion from {source} to {target} {NO}")


PARTIAL = "Did not consume whole string."

BY_TYPE: dict[str, list[tuple[Any, Any]]] = {
    "bool": [
        (True, True), (False, False), (1.99999, True), (0.0, False), (-0.0, False), (NAN, True),
        (DEC("5"), True), (DEC("0"), False), (DEC("-0E+3"), False), (100, True), (0, False),
        (L(0), False), (L(-1), True), (day("2018-03-26"), True), (DatetimeMS(0), True),
        ("hello", True), ("false", True), ("", True), (OID, True), ([], True), ({}, True),
        (b"", True), (MinKey(), True), (Regex("a"), True), (Timestamp(0, 0), True), (None, None),
        (UNDEFINED, None),
    ],
    "int": [
        (True, 1), (False, 0), (1.99999, 1), (-1.99999, -1), (DEC("5.5000"), 5), (DEC("-5.9"), -5),
        (L(5000), 5000), (7, 7), ("-2", -2), ("+3", 3), ("007", 7), (2147483647.9, 2147483647),
        (-2147483648.9, -2147483648), ("-2147483648", -2147483648), (None, None),
        (DEC("9223372036000.000"), overflow("9223372036000.000")),
        (L(922337203600), overflow("922337203600")),
        (1e30, overflow("1e+30")), (2147483648.0, overflow("2147483648")),
        (NAN, Fails(241, f"Attempt to convert NaN value to integer type {NO}")),
        (INF, Fails(241, f"Attempt to convert infinity value to integer type {NO}")),
        (DEC("-Infinity"), Fails(241, f"Attempt to convert infinity value to integer type {NO}")),
        (DEC("NaN"), Fails(241, f"Attempt to convert NaN value to integer type {NO}")),
        ("2.5", unparsed("2.5", PARTIAL)), ("abc", unparsed("abc", PARTIAL)),
        ("12abc", unparsed("12abc", PARTIAL)), (" 1", unparsed(" 1", PARTIAL)),
        ("1 ", unparsed("1 ", PARTIAL)), ("1_0", unparsed("1_0", PARTIAL)),
        ("٣", unparsed("٣", PARTIAL)), ("", unparsed("", "No digits")),
        ("-", unparsed("-", "No digits")), ("2147483648", unparsed("2147483648", "Overflow")),
        ("0x6400", Fails(241, f"Illegal hexadecimal input {NO}: 0x6400")),
        ("1e3", unparsed("1e3", PARTIAL)),
        (DatetimeMS(0), unsupported("date", "int")), (OID, unsupported("objectId", "int")),
        ([1], unsupported("array", "int")), ({"a": 1}, unsupported("object", "int")),
        (b"\1", unsupported("binData", "int")), (Timestamp(1, 1), unsupported("timestamp", "int")),
    ],
    "long": [
        (True, L(1)), (False, L(0)), (2.5, L(2)), (DEC("5.5000"), L(5)), (8, L(8)), (L(9), L(9)),
        (day("2018-03-26T04:38:28.044"), L(1522039108044)), ("-2", L(-2)),
        ("9223372036854775807", L(2**63 - 1)), (None, None),
        (9.2e18, L(9200000000000000000)), (-(2.0**63), L(-(2**63))),
        (DEC("9223372036854775807.9"), L(2**63 - 1)),
        (2.0**63, overflow("9.223372036854776e+18")),
        (DEC("9223372036854775808.0"), overflow("9223372036854775808.0")),
        ("9223372036854775808", unparsed("9223372036854775808", "Overflow")),
        ("2.5", unparsed("2.5", PARTIAL)), (OID, unsupported("objectId", "long")),
    ],
    "double": [
        (True, 1.0), (False, 0.0), (2.5, 2.5), (5, 5.0), (L(10000), 10000.0), ("-5.5", -5.5),
        ("5e10", 50000000000.0), (".5", 0.5), ("5.", 5.0), ("1E-3", 0.001), ("-0", -0.0),
        ("NaN", NAN), ("infinity", INF), ("-Inf", -INF), ("0.0", 0.0), ("0e999", 0.0),
        (day("2018-03-26T04:38:28.044"), 1522039108044.0), (DEC("5.5"), 5.5), (DEC("NaN"), NAN),
        (DEC("-Infinity"), -INF), (L(2**53 + 1), 9007199254740992.0), (None, None),
        ("5e550", unparsed("5e550", "Out of range")),
        ("7.08263e-317", unparsed("7.08263e-317", "Out of range")),
        ("1e-400", unparsed("1e-400", "Out of range")),
        ("", unparsed("", "Empty string")), (" 1", unparsed(" 1", "Leading whitespace")),
        ("1 ", unparsed("1 ", PARTIAL)), ("abc", unparsed("abc", PARTIAL)),
        ("1,5", unparsed("1,5", PARTIAL)), ("1_0", unparsed("1_0", PARTIAL)),
        ("0x12", Fails(241, f"Illegal hexadecimal input {NO}: 0x12")),
        (DEC("1E+1000"), overflow("1E+1000")), (DEC("1E-1000"), overflow("1E-1000")),
        (OID, unsupported("objectId", "double")), (b"", unsupported("binData", "double")),
    ],
    "decimal": [
        (True, DEC("1")), (False, DEC("0")), (2.5, DEC("2.50000000000000")), (5, DEC("5")),
        (L(10000), DEC("10000")), ("-5.5", DEC("-5.5")), ("5.50", DEC("5.50")),
        (day("2018-03-27T05:04:47.890"), DEC("1522127087890")), (DEC("1.10"), DEC("1.10")),
        ("1E+3", DEC("1E+3")), ("nan", DEC("NaN")), ("-Infinity", DEC("-Infinity")),
        (NAN, DEC("NaN")), (-INF, DEC("-Infinity")), (0.1, DEC("0.100000000000000")),
        ("0.12345678901234567890123456789012345", DEC("0.1234567890123456789012345678901234")),
        (None, None), ("0E-7000", DEC("0E-6176")),
        ("abc", unparsed("abc", "Failed to parse string to decimal")),
        ("", unparsed("", "Empty string")), (" 1", unparsed(" 1", "Leading whitespace")),
        ("1E+7000", unparsed("1E+7000", "Conversion from string to decimal would overflow")),
        ("1E-7000", unparsed("1E-7000", "Conversion from string to decimal would underflow")),
        ("1E9999999", unparsed("1E9999999", "Conversion from string to decimal would overflow")),
        ("-1E-9999999", unparsed(
            "-1E-9999999", "Conversion from string to decimal would underflow")),
        ("0E99999999999", DEC("0E+6111")),
        ("0x1", Fails(241, f"Illegal hexadecimal input {NO}: 0x1")),
        (OID, unsupported("objectId", "decimal")),
    ],
    "string": [
        (True, "true"), (False, "false"), (2.5, "2.5"), (2, "2"), (-7, "-7"), (L(1000), "1000"),
        (OID, "5ab9c3da31c2ab715d421285"), ("x", "x"),
        (day("2018-03-27T16:58:51.538"), "2018-03-27T16:58:51.538Z"), (1.0, "1"), (-0.0, "-0"),
        (12345.0, "12345"), (0.1 + 0.2, "0.30000000000000004"), (1e15, "1000000000000000"),
        (1e16, "1e+16"), (1.5e300, "1.5e+300"), (1e-5, "1e-05"), (0.0001, "0.0001"), (NAN, "NaN"),
        (INF, "Infinity"), (-INF, "-Infinity"), (DEC("1.10"), "1.10"), (DEC("1E+3"), "1E+3"),
        (DEC("NaN"), "NaN"), (DEC("-Infinity"), "-Infinity"), (DEC("0.000001"), "0.000001"),
        (DEC("0.0000001"), "1E-7"), (None, None),
        (DatetimeMS(253402300800000), Fails(18537)),
        ([1], unsupported("array", "string")), ({}, unsupported("object", "string")),
        (Timestamp(1, 1), unsupported("timestamp", "string")),
        (Regex("a"), unsupported("regex", "string")), (MinKey(), unsupported("minKey", "string")),
        (Symbol("x"), unsupported("symbol", "string")),
        (Code("x", {}), unsupported("javascriptWithScope", "string")),
        (DBPointer("a.b", OID), unsupported("dbPointer", "string")),
    ],
    "date": [
        (120000000000.5, day("1973-10-20T21:20:00")), (DEC("1253372036000.50"),
                                                       day("2009-09-19T14:53:56")),
        (L(1100000000000), day("2004-11-09T11:33:20")),
        (L(-1100000000000), day("1935-02-22T12:26:40")), (OID, day("2018-03-27T04:08:58")),
        ("2018-03-03", day("2018-03-03")),
        ("2018-03-20 11:00:06 +0500", day("2018-03-20T06:00:06")),
        ("2018-03-03T12:00:00Z", day("2018-03-03T12:00")),
        (Timestamp(1637688118, 1), day("2021-11-23T17:21:58")), (DatetimeMS(5), DatetimeMS(5)),
        (-0.9, DatetimeMS(0)), (None, None),
        ("Friday", Fails(241)), (1, unsupported("int", "date")),
        (True, unsupported("bool", "date")), (1e30, overflow("1e+30")), (NAN, Fails(241)),
    ],
    "objectId": [
        ("5ab9cbfa31c2ab715d42129e", ObjectId("5ab9cbfa31c2ab715d42129e")),
        ("5AB9CBFA31C2AB715D42129E", ObjectId("5ab9cbfa31c2ab715d42129e")), (OID, OID),
        (None, None),
        ("5ab9cbfa31c2ab715d42129", Fails(
            241, f"Failed to parse objectId '5ab9cbfa31c2ab715d42129' {NO}: Invalid string length "
            "for parsing to OID, expected 24 but found 23")),
        ("5ab9cbfa31c2ab715d42129z", Fails(
            241, f"Failed to parse objectId '5ab9cbfa31c2ab715d42129z' {NO}: Invalid character "
            "found in hex string: 'z'")),
        ("éééééééééééé", Fails(
            241, f"Failed to parse objectId 'éééééééééééé' {NO}: Invalid character "
            "found in hex string: 'é'")),
        (5, unsupported("int", "objectId")), (b"123456789012", unsupported("binData", "objectId")),
    ],
}  # fmt: skip

SHORT = {
    "bool": "$toBool",
    "date": "$toDate",
    "decimal": "$toDecimal",
    "double": "$toDouble",
    "int": "$toInt",
    "long": "$toLong",
    "objectId": "$toObjectId",
    "string": "$toString",
}
NUMBERS = {name: code for code, name in TYPE_CODES.items()}
PAIRS = [(name, value, end) for name, rows in BY_TYPE.items() for value, end in rows]


@pytest.mark.parametrize("pair", PAIRS, ids=[f"{p[0]}-{n}" for n, p in enumerate(PAIRS)])
def test_conversion(pair: tuple[str, Any, Any]) -> None:
    name, value, end = pair
    check(("convert", to(name, value), {}, end))
    check(("convert", to(NUMBERS[name], value), {}, end))
    check(("convert", to({"type": name}, value), {}, end))
    check((SHORT[name], {SHORT[name]: "$v"}, {"v": value}, end))
    if isinstance(end, Fails) and end.code == 241:
        check(("convert", to(name, value, onError="$v"), {"v": [1]}, [1]))


UUID_TEXT = "867dee52-c331-484e-92d1-c56479b8e67e"
UUID = Binary(bytes.fromhex(UUID_TEXT.replace("-", "")), 4)
TEXT64 = "hn3uUsMxSE6S0cVkebjmfg=="


def bad_binary(text: str, why: str) -> Fails:
    return Fails(241, f"Failed to parse BinData '{text}' {NO}: {why}")


def typed(value: Any, subtype: Any, **more: Any) -> Any:
    return to({"type": "binData", "subtype": subtype}, value, **more)


BINARY: list[Case] = [
    ("convert", typed(TEXT64, 0, format="base64"), {}, bytes(UUID)),
    ("convert", to("binData", TEXT64, format="base64"), {}, bytes(UUID)),
    ("convert", to("binData", UUID_TEXT, format="base64"), {}, bad_binary(
        UUID_TEXT, "Input is not a valid base64 string")),
    ("convert", typed(TEXT64, 4, format="base64"), {}, bad_binary(
        TEXT64, "Only the 'uuid' format is allowed with the UUID subtype")),
    ("convert", typed(UUID_TEXT, 4, format="uuid"), {}, UUID),
    ("convert", typed(UUID_TEXT.upper(), 4, format="uuid"), {}, UUID),
    ("convert", typed("äöäöä", 4, format="uuid"), {}, bad_binary(
        "äöäöä", "Input is not a valid UUID string")),
    ("convert", to({"type": "binData"}, UUID_TEXT, format="uuid"), {}, bad_binary(
        UUID_TEXT, "Only the UUID subtype (4) is allowed with the 'uuid' format")),
    ("convert", typed(123, 0), {}, unsupported("int", "binData")),
    ("convert", typed("abcd", 128, format="base64"), {}, Binary(b"i\xb7\x1d", 128)),
    ("convert", typed("ABcd", 5, format="hex"), {}, Binary(b"\xab\xcd", 5)),
    ("convert", to(5, "616263", format="hex"), {}, b"abc"),
    ("convert", to("binData", "61626", format="hex"), {}, bad_binary(
        "61626", "Input is not a valid hex string")),
    ("convert", to("binData", "", format="hex"), {}, b""),
    ("convert", to("binData", "é", format="utf8"), {}, "é".encode()),
    ("convert", to("binData", "-_8", format="base64url"), {}, b"\xfb\xff"),
    ("convert", to("binData", "-_8=", format="base64url"), {}, b"\xfb\xff"),
    ("convert", to("binData", "+/8", format="base64url"), {}, bad_binary(
        "+/8", "Input is not a valid base64url string")),
    ("convert", to("binData", "A", format="base64url"), {}, bad_binary(
        "A", "Input is not a valid base64url string")),
    ("convert", to("binData", "AA==\n", format="base64"), {}, Fails(241)),
    ("convert", to("binData", "AAA", format="base64"), {}, Fails(241)),
    ("convert", to("binData", "x", format="auto"), {}, bad_binary("x", "Invalid format 'auto'")),
    ("convert", to("binData", "x"), {}, Fails(
        4341115, "Format must be speficied when converting from 'string' to 'binData'")),
    ("convert", to("binData", "x", format=None), {}, Fails(4341115)),
    ("convert", to("binData", None), {}, None),
    ("convert", to("binData", b"ab"), {}, b"ab"),
    ("convert", typed(Binary(b"ab", 5), 0), {}, Binary(b"ab", 5)),
    ("convert", to("string", Binary(b"\x86\x7d\xdf", 4), format="base64"), {}, "hn3f"),
    ("convert", to("string", UUID, format="uuid"), {}, UUID_TEXT),
    ("convert", to("string", UUID, format="auto"), {}, UUID_TEXT),
    ("convert", to("string", bytes(UUID), format="auto"), {}, TEXT64),
    ("convert", to("string", bytes(UUID), format="uuid"), {}, bad_binary(
        TEXT64, "BinData does not represent a valid UUID")),
    ("convert", to("string", b"\xab\xcd", format="hex"), {}, "ABCD"),
    ("convert", to("string", b"\xfb\xff", format="base64url"), {}, "-_8"),
    ("convert", to("string", "é".encode(), format="utf8"), {}, "é"),
    ("convert", to("string", b"\xff", format="utf8"), {}, bad_binary(
        "/w==", "BinData does not represent a valid UTF-8 string")),
    ("convert", to("string", b"\xff", format="utf8", onError="bad"), {}, "bad"),
    ("convert", to("string", b"x"), {}, Fails(
        4341115, "Format must be speficied when converting from 'binData' to 'string'")),
    ("convert", to("string", b"x", onError=1), {}, Fails(4341115)),
    ("convert", to("string", 5, format="hex"), {}, "5"),
    ("toString", {"$toString": b"\x86\x7d\xdf"}, {}, "hn3f"),
    ("toString", {"$toString": UUID}, {}, UUID_TEXT),
    ("toUUID", {"$toUUID": UUID_TEXT}, {}, UUID),
    ("toUUID", {"$toUUID": None}, {}, None),
    ("toUUID", {"$toUUID": "nope"}, {}, bad_binary("nope", "Input is not a valid UUID string")),
    ("toUUID", {"$toUUID": 5}, {}, unsupported("int", "binData")),
    ("convert", to("string", "x", format=5), {}, Fails(
        4341114, "$convert requires that 'format' be a string, found: int with value 5")),
    ("convert", to("string", "x", format="rot13"), {}, Fails(
        4341125, "Invalid 'format' argument for $convert: rot13")),
    ("convert", typed("x", 1.5), {}, Fails(
        4341106, "In $convert, numeric 'subtype' argument is not an integer")),
    ("convert", typed("x", 100), {}, Fails(
        4341107, "In $convert, numeric value for 'subtype' does not correspond to a BinData type: "
        "100")),
    ("convert", typed("x", "4"), {}, Fails(
        4341108, "For BinData, $convert's 'subtype' argument must be a number, but is string")),
]  # fmt: skip

ARGUMENTS: list[Case] = [
    ("convert", to("int", None, onNull="none"), {}, "none"),
    ("convert", {"$convert": {"input": "$gone", "to": "int", "onNull": "$x"}}, {"x": 5}, 5),
    ("convert", to(None, 5), {}, None),
    ("convert", to("$gone", 5), {}, None),
    ("convert", to(None, None, onNull=1), {}, 1),
    ("convert", to("$t", "12"), {"t": "int"}, 12),
    ("convert", to(16.0, "12"), {}, 12),
    ("convert", to(DEC("16"), "12"), {}, 12),
    ("convert", to({"type": None}, "12"), {}, None),
    ("convert", to("int", "x", onError=None), {}, None),
    ("convert", to("int", "x", onError={"$toInt": "y"}), {}, unparsed("y", PARTIAL)),
    ("convert", {"a": to("int", "x", onError="$gone")}, {}, {}),
    ("convert", to("array", 5), {}, unsupported("int", "array")),
    ("convert", to("missing", 5), {}, unsupported("int", "missing")),
    ("convert", to(-1, 5), {}, unsupported("int", "minKey")),
    ("convert", to(127, 5, onError=1), {}, 1),
    ("convert", to("foo", 5), {}, Fails(2, "Unknown type name: foo")),
    ("convert", to("number", 5), {}, Fails(2)),
    ("convert", to("foo", 5, onError=1), {}, Fails(2)),
    ("convert", to(100, 5), {}, Fails(
        9, "In $convert, numeric value for 'to' does not correspond to a BSON type: 100")),
    ("convert", to(1.5, 5), {}, Fails(9, "In $convert, numeric 'to' argument is not an integer")),
    ("convert", to([16], 5), {}, Fails(
        9, "$convert's 'to' argument must be a string or number, but is array")),
    ("convert", to(True, 5), {}, Fails(9)),
    ("convert", to({"type": "int", "x": 1}, 5), {}, Fails(9)),
    ("convert", to({"subtype": 0}, 5), {}, Fails(9)),
    ("convert", {"$convert": {"input": 1}}, {}, Fails(9, "Missing 'to' parameter to $convert")),
    ("convert", {"$convert": {"to": 1}}, {}, Fails(9, "Missing 'input' parameter to $convert")),
    ("convert", {"$convert": 5}, {}, Fails(
        9, "$convert expects an object of named arguments but found: int")),
    ("convert", to("int", 5, byteOrder="big"), {}, Fails(
        9, "$convert found an unknown argument: byteOrder")),
    ("toInt", {"$toInt": ["5"]}, {}, 5),
    ("toInt", {"$toInt": ["5", "6"]}, {}, Fails(16020)),
    ("toInt", {"$toInt": "$gone"}, {}, None),
    ("isNumber", {"$isNumber": 1}, {}, True),
    ("isNumber", {"$isNumber": L(1)}, {}, True),
    ("isNumber", {"$isNumber": NAN}, {}, True),
    ("isNumber", {"$isNumber": DEC("1")}, {}, True),
    ("isNumber", {"$isNumber": True}, {}, False),
    ("isNumber", {"$isNumber": "1"}, {}, False),
    ("isNumber", {"$isNumber": None}, {}, False),
    ("isNumber", {"$isNumber": "$gone"}, {}, False),
    ("isNumber", {"$isNumber": [[1]]}, {}, False),
]  # fmt: skip

TYPES: list[tuple[Any, str]] = [
    (8, "int"), (8.5, "double"), (L(1), "long"), (2**40, "long"), (DEC("1"), "decimal"),
    ("x", "string"), ([], "array"), ({}, "object"), (True, "bool"), (None, "null"),
    (b"", "binData"), (UUID, "binData"), (OID, "objectId"), (DatetimeMS(0), "date"),
    (Timestamp(0, 0), "timestamp"), (Regex("a"), "regex"), (Code("x"), "javascript"),
    (Code("x", {}), "javascriptWithScope"), (MinKey(), "minKey"), (MaxKey(), "maxKey"),
    (UNDEFINED, "undefined"), (Symbol("a"), "symbol"), (DBPointer("a", OID), "dbPointer"),
]  # fmt: skip

TYPE_CASES: list[Case] = [
    *(("type", {"$type": "$v"}, {"v": value}, name) for value, name in TYPES),
    ("type", {"$type": "$gone"}, {}, "missing"),
    ("type", {"$type": [[]]}, {}, "array"),
    ("type", {"$type": []}, {}, Fails(16020)),
]


@table([*BINARY, *ARGUMENTS, *TYPE_CASES])
def test_cases(case: Case) -> None:
    check(case)


def test_operators_are_sorted() -> None:
    assert list(OPERATORS) == sorted(OPERATORS)


@given(st.floats())
def test_double_survives_its_text(value: float) -> None:
    again = {"$toDouble": {"$toString": value}}
    if value != 0 and abs(value) < 2.2250738585072014e-308:
        check(("toDouble", again, {}, Fails(241)))
    else:
        assert exact(run(again)) == exact(NAN if value != value else value)


@given(st.integers(-(2**63), 2**63 - 1))
def test_long_survives_its_text(value: int) -> None:
    assert exact(run({"$toLong": {"$toString": L(value)}})) == exact(L(value))


@given(st.binary(max_size=40), st.sampled_from(["base64", "base64url", "hex"]))
def test_binary_survives_its_text(data: bytes, form: str) -> None:
    text = run(to("string", data, format=form))
    assert exact(run(to("binData", text, format=form))) == exact(data)


ENDS = st.sampled_from([*NUMBERS, *NUMBERS.values()])
FORMS = st.sampled_from(["auto", "base64", "base64url", "hex", "utf8", "uuid"])


@given(bson_values(), ENDS, FORMS)
def test_any_value_converts_or_fails_to(value: Any, target: Any, form: str) -> None:
    result, code = result_or_code(to(target, value, format=form))
    assert code in (0, 241, 18537)
    name = target if type(target) is str else TYPE_CODES[target]
    assert result is None or run({"$type": {"$literal": result}}) == name
    result, code = result_or_code(to(target, value, format=form, onError=1, onNull=2))
    assert code in (0, 18537)
    assert result is not None or code == 18537


def test_decimal_special_values_keep_their_bits() -> None:
    odd = Decimal128.from_bid(b"\x01" + b"\0" * 14 + b"\x7c")
    assert exact(run({"$toDecimal": odd})) == exact(odd)
