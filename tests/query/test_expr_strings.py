"""String operators by byte and code point, and what they make of other types."""

from __future__ import annotations

import math
from typing import Any

import pytest
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp
from expression_kit import Case, Err, check, run, table
from hypothesis import given
from hypothesis import strategies as st

from psdb_base.values import UNDEFINED, Symbol

D = Decimal128
L = Int64


def each(name: str, *rows: tuple[Any, ...], op: str | None = None) -> list[Case]:
    """Rows of operands and result, as fields of a document and as constants."""
    cases: list[Case] = []
    for *operands, expected in rows:
        doc = dict(zip("abcdef", operands, strict=False))
        cases.append((name, doc, {op or name: [f"${letter}" for letter in doc]}, expected))
        literals = [{"$literal": operand} for operand in operands]
        cases.append((name, {}, {op or name: literals}, expected))
    return cases


CONCAT = [
    *each(
        "$concat",
        ("ABC 1", " - ", "product 1", "ABC 1 - product 1"),
        ("a", "a"),
        ("", "", ""),
        ("é", "日", "é日"),
        ("a", None, None),
        (None, 5, None),
        ("a", 5, Err(16702, "$concat only supports strings, not int")),
        (5, None, Err(16702)),
        ("a", ["b"], Err(16702, "$concat only supports strings, not array")),
        ("a", UNDEFINED, None),
        ("a", Symbol("b"), Err(16702, "$concat only supports strings, not symbol")),
    ),
    ("$concat", {}, {"$concat": []}, ""),
    ("$concat", {"a": "x"}, {"$concat": "$a"}, "x"),
    ("$concat", {}, {"$concat": ["a", "$missing", "b"]}, None),
]

CASE = [
    *each(
        "$toLower",
        ("ABC1", "abc1"),
        ("13Q1", "13q1"),
        ("ÀÉ Ab", "ÀÉ ab"),
        ("", ""),
        (None, ""),
        (UNDEFINED, ""),
        (42, "42"),
        (L(-9_223_372_036_854_775_808), "-9223372036854775808"),
        (3.0, "3"),
        (3.14, "3.14"),
        (-0.0, "-0"),
        (123456.789, "123457"),
        (1e20, "1e+20"),
        (1_000_000.0, "1e+06"),
        (999_999.0, "999999"),
        (999_999.5, "1e+06"),
        (0.0001, "0.0001"),
        (0.00009, "9e-05"),
        (5e-324, "4.94066e-324"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (D("1.500"), "1.500"),
        (D("-0"), "-0"),
        (D("NaN"), "nan"),
        (D("-Infinity"), "-infinity"),
        (D("1E-6176"), "1e-6176"),
        (D("1E+6144"), "1.000000000000000000000000000000000e+6144"),
        (DatetimeMS(1_718_454_645_123), "2024-06-15t12:30:45.123z"),
        (DatetimeMS(-1000), "1969-12-31t23:59:59.000z"),
        (Timestamp(1_704_067_200, 42), "jan  1 00:00:00:42"),
        (Timestamp(1_721_500_800, 1), "jul 20 18:40:00:1"),
        (Timestamp(2**32 - 1, 1), "feb  7 06:28:15:1"),
        (Code("Function HELLO"), "function hello"),
        (Symbol("ABC"), "abc"),
        (True, Err(16007, "can't convert from BSON type bool to String")),
        ([], Err(16007, "can't convert from BSON type array to String")),
        ({"a": 1}, Err(16007, "can't convert from BSON type object to String")),
        (ObjectId(), Err(16007, "can't convert from BSON type objectId to String")),
        (b"x", Err(16007, "can't convert from BSON type binData to String")),
        (Regex("x"), Err(16007, "can't convert from BSON type regex to String")),
        (Code("x", {}), Err(16007)),
        ("a", "b", Err(16020)),
    ),
    *each(
        "$toUpper",
        ("abc1", "ABC1"),
        ("àé ab", "àé AB"),
        (D("NaN"), "NAN"),
        (DatetimeMS(0), "1970-01-01T00:00:00.000Z"),
        (None, ""),
        (False, Err(16007)),
    ),
    *each(
        "$strcasecmp",
        ("13Q1", "13q4", -1),
        ("13Q4", "13q4", 0),
        ("14Q2", "13q4", 1),
        ("a", "B", -1),
        ("é", "É", 1),
        (None, "", 0),
        (None, "a", -1),
        (10, "1", 1),
        ("_", "a", 1),
        (True, "a", Err(16007)),
        ("a", Err(16020)),
    ),
]

LENGTHS = [
    *each(
        "$strLenCP",
        ("abcde", 5),
        ("Hello World!", 12),
        ("cafeteria", 9),
        ("cafétéria", 9),
        ("", 0),
        ("$€λA", 4),
        ("寿司", 2),
        ("😀", 1),
        (None, Err(34471, "$strLenCP requires a string argument, found: null")),
        (5, Err(34471, "$strLenCP requires a string argument, found: int")),
    ),
    (
        "$strLenCP",
        {},
        {"$strLenCP": "$missing"},
        Err(34471, "$strLenCP requires a string argument, found: missing"),
    ),
    *each(
        "$strLenBytes",
        ("abcde", 5),
        ("cafétéria", 11),
        ("", 0),
        ("$€λA", 7),
        ("寿司", 6),
        ("😀", 4),
        (None, Err(34473, "$strLenBytes requires a string argument, found: null")),
        (Symbol("x"), Err(34473)),
    ),
]

SUBSTR_BYTES = [
    *each(
        "$substrBytes",
        ("cafétéria", 0, 3, "caf"),
        ("cafétéria", 3, 2, "é"),
        ("13Q1", 0, 2, "13"),
        ("13Q1", 2, -1, "Q1"),
        ("abc", 3, 5, ""),
        ("abc", 9, 1, ""),
        ("abc", 0, 0, ""),
        ("abc", 1, 100, "bc"),
        ("hello", 1.9, 3, "ell"),
        ("hello", -0.9, 2, "he"),
        ("hello", D("1.5"), 3, "llo"),
        ("hello", D("0.5"), 5, "hello"),
        ("hello", 0, D("NaN"), "hello"),
        ("hello", 2, math.nan, "llo"),
        ("hello", 0, D("1E+6144"), "hello"),
        ("hello", L(1), L(3), "ell"),
        (12345, 1, 3, "234"),
        (1.25, 0, 2, "1."),
        (None, 0, 3, ""),
        (DatetimeMS(0), 0, 4, "1970"),
        (
            "é",
            1,
            1,
            Err(
                28656, "$substrBytes:  Invalid range, starting index is a UTF-8 continuation byte."
            ),
        ),
        (
            "é",
            0,
            1,
            Err(
                28657,
                "$substrBytes:  Invalid range, ending index is in the middle of a UTF-8 character.",
            ),
        ),
        ("abc", -1, 1, Err(50752, "$substrBytes:  starting index must be non-negative (got: -1)")),
        ("abc", D("Infinity"), 1, Err(50752)),
        (
            "abc",
            "x",
            1,
            Err(
                16034, "$substrBytes:  starting index must be a numeric type (is BSON type string)"
            ),
        ),
        (
            "abc",
            0,
            None,
            Err(16035, "$substrBytes:  length must be a numeric type (is BSON type null)"),
        ),
        (["abc"], 0, 1, Err(16007)),
        (
            "abc",
            0,
            Err(16020, "Expression $substrBytes takes exactly 3 arguments. 2 were passed in."),
        ),
    ),
    *each("$substr", ("13Q1", 0, 2, "13"), ("13Q1", 2, -1, "Q1"), ("é", 1, 1, Err(28656))),
]

SUBSTR_CP = each(
    "$substrCP",
    ("cafétéria", 0, 4, "café"),
    ("cafétéria", 7, 4, "ia"),
    ("寿司sushi", 0, 3, "寿司s"),
    ("abc", 5, 1, ""),
    ("abc", 0, 0, ""),
    ("abc", 1.0, D("1"), "b"),
    ("abc", L(0), L(2), "ab"),
    (None, 0, 2, ""),
    (123, 1, 1, "2"),
    (
        "abc",
        "x",
        1,
        Err(34450, "$substrCP: starting index must be a numeric type (is BSON type string)"),
    ),
    (
        "abc",
        0.5,
        1,
        Err(
            34451, "$substrCP: starting index cannot be represented as a 32-bit integral value: 0.5"
        ),
    ),
    ("abc", L(2**31), 1, Err(34451)),
    ("abc", 0, None, Err(34452, "$substrCP: length must be a numeric type (is BSON type null)")),
    ("abc", 0, 1.5, Err(34453)),
    ("abc", 0, math.nan, Err(34453)),
    ("abc", 0, -1, Err(34454, "$substrCP: length must be a nonnegative integer.")),
    ("abc", -1, 1, Err(34455, "$substrCP: the starting index must be nonnegative integer.")),
    ([], 0, 1, Err(16007)),
)

INDEX_OF = [
    *each(
        "$indexOfBytes",
        ("cafeteria", "e", 3),
        ("cafétéria", "é", 3),
        ("cafétéria", "é", 4, 6),
        ("cafétéria", "e", -1),
        ("foo.bar.fi", ".", 5, 7),
        ("foo.bar.fi", ".", 5, 7, -1),
        ("vanilla", "ll", 0, 12, 4),
        ("vanilla", "ll", 12, -1),
        ("vanilla", "ll", 5, 2, -1),
        ("vanilla", "nilla", 3, -1),
        ("", "", 0),
        ("abc", "", 1, 1),
        ("abc", "", 3, 3),
        ("abc", "", 4, -1),
        ("abc", "c", 0.0, D("3"), 2),
        (None, "foo", None),
        (None, 5, None),
        (5, "foo", Err(40091, "$indexOfBytes requires a string as the first argument, found: int")),
        (
            "foo",
            5,
            Err(40092, "$indexOfBytes requires a string as the second argument, found: int"),
        ),
        (
            "foo",
            None,
            Err(40092, "$indexOfBytes requires a string as the second argument, found: null"),
        ),
        (
            "foo",
            "f",
            "x",
            Err(
                40096,
                "$indexOfBytesrequires an integral starting index, found a value of type: string, "
                'with value: "x"',
            ),
        ),
        ("foo", "f", 0.5, Err(40096)),
        ("foo", "f", None, Err(40096)),
        ("foo", "f", 0, 1.5, Err(40096)),
        (
            "foo",
            "f",
            -1,
            Err(40097, "$indexOfBytes requires a nonnegative starting index, found: -1"),
        ),
        (
            "foo",
            "f",
            0,
            -1,
            Err(40097, "$indexOfBytes requires a nonnegative ending index, found: -1"),
        ),
        (
            "foo",
            Err(
                28667,
                "Expression $indexOfBytes takes at least 2 arguments, and at most 4, "
                "but 1 were passed in.",
            ),
        ),
    ),
    *each(
        "$indexOfCP",
        ("cafeteria", "e", 3),
        ("cafétéria", "é", 3),
        ("cafétéria", "é", 4, 5),
        ("foo.bar.fi", ".", 5, 7),
        ("vanilla", "ll", 0, 12, 4),
        ("寿司", "司", 1),
        ("abc", "", 0),
        ("abc", "c", 9, -1),
        (None, "foo", None),
        (UNDEFINED, "foo", None),
        (5, "foo", Err(40093, "$indexOfCP requires a string as the first argument, found: int")),
        ("foo", 5, Err(40094, "$indexOfCP requires a string as the second argument, found: int")),
        ("foo", "f", "x", Err(40096)),
        ("foo", "f", -1, Err(40097)),
    ),
]

TRIM_ALL = (
    "\0\t\n\x0b\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
)
TRIM: list[Case] = [
    ("$trim", {"a": "  \n good  bye \t  "}, {"$trim": {"input": "$a"}}, "good  bye"),
    ("$trim", {}, {"$trim": {"input": " ggggoodbyeeeee", "chars": "ge"}}, " ggggoodby"),
    ("$trim", {}, {"$trim": {"input": "    ggggoodbyeeeee", "chars": " ge"}}, "oodby"),
    ("$ltrim", {}, {"$ltrim": {"input": "  \n good  bye \t  "}}, "good  bye \t  "),
    ("$ltrim", {}, {"$ltrim": {"input": "ggggoodbyeeeee", "chars": "ge"}}, "oodbyeeeee"),
    ("$rtrim", {}, {"$rtrim": {"input": "  \n good  bye \t  "}}, "  \n good  bye"),
    ("$rtrim", {}, {"$rtrim": {"input": " ggggoodbyeeeee", "chars": "e "}}, " ggggoodby"),
    ("$trim", {}, {"$trim": {"input": TRIM_ALL + "x" + TRIM_ALL}}, "x"),
    *[
        ("$trim", {}, {"$trim": {"input": letter + "x"}}, letter + "x")
        for letter in ("\u200b", "\u2028", "\u0085", "\u3000", "\u202f", "\u205f", "\ufeff", "\x01")
    ],
    ("$trim", {}, {"$trim": {"input": ""}}, ""),
    ("$trim", {}, {"$trim": {"input": " x ", "chars": ""}}, " x "),
    ("$trim", {}, {"$trim": {"input": "éxé", "chars": "é"}}, "x"),
    ("$trim", {}, {"$trim": {"input": None}}, None),
    ("$trim", {}, {"$trim": {"input": "$missing", "chars": 5}}, None),
    ("$trim", {}, {"$trim": {"input": "x", "chars": None}}, None),
    (
        "$trim",
        {},
        {"$trim": {"input": 5}},
        Err(50699, "$trim requires its input to be a string, got 5 (of type int) instead."),
    ),
    (
        "$trim",
        {},
        {"$trim": {"input": "x", "chars": 5}},
        Err(50700, "$trim requires 'chars' to be a string, got 5 (of type int) instead."),
    ),
    (
        "$trim",
        {},
        {"$trim": " x "},
        Err(50696, "$trim only supports an object as an argument, found string"),
    ),
    (
        "$ltrim",
        {},
        {"$ltrim": [" x "]},
        Err(50696, "$ltrim only supports an object as an argument, found array"),
    ),
    (
        "$trim",
        {},
        {"$trim": {"input": "x", "y": 1}},
        Err(50694, "$trim found an unknown argument: y"),
    ),
    ("$rtrim", {}, {"$rtrim": {"chars": "x"}}, Err(50695, "$rtrim requires an 'input' field")),
]

SPLIT = [
    *each(
        "$split",
        ("June-15-2013", "-", ["June", "15", "2013"]),
        ("banana split", "a", ["b", "n", "n", " split"]),
        ("Hello World", " ", ["Hello", "World"]),
        ("astronomical", "astro", ["", "nomical"]),
        ("pea green boat", "owl", ["pea green boat"]),
        ("aaa", "a", ["", "", "", ""]),
        ("", "a", [""]),
        ("éxé", "é", ["", "x", ""]),
        (None, "a", None),
        ("a", None, None),
        (None, 5, None),
        (
            5,
            "a",
            Err(
                40085,
                "$split requires an expression that evaluates to a string as a first argument, "
                "found: int",
            ),
        ),
        (
            "a",
            7,
            Err(
                40086,
                "$split requires an expression that evaluates to a string as a second argument, "
                "found: int",
            ),
        ),
        ("abc", "", Err(40087, "$split requires a non-empty separator")),
        ("abc", Err(16020)),
    ),
]


def replacing(name: str, *rows: tuple[Any, ...]) -> list[Case]:
    return [
        (
            name,
            {"a": text},
            {name: {"input": "$a", "find": find, "replacement": replacement}},
            expected,
        )
        for text, find, replacement, expected in rows
    ]


REPLACE: list[Case] = [
    *replacing(
        "$replaceOne",
        ("blue paint", "blue paint", "red paint", "red paint"),
        ("blue and green paint blue", "blue", "x", "x and green paint blue"),
        ("abc", "z", "y", "abc"),
        ("abc", "", "y", "yabc"),
        ("", "", "y", "y"),
        ("abc", "b", "", "ac"),
        ("aéa", "é", "😀", "a😀a"),
        ("cafe\u0301", "é", "x", "cafe\u0301"),
        (None, "a", "b", None),
        ("a", None, "b", None),
        ("a", "a", None, None),
        ("a", "a", "$missing", None),
        (5, "a", "b", Err(51746, "$replaceOne requires that 'input' be a string, found: 5")),
        ("a", 5, "b", Err(51745, "$replaceOne requires that 'find' be a string, found: 5")),
        ("a", "a", 5, Err(51744, "$replaceOne requires that 'replacement' be a string, found: 5")),
        (None, 5, "b", Err(51745)),
    ),
    *replacing(
        "$replaceAll",
        ("blue paint", "blue", "red", "red paint"),
        ("aaa", "a", "b", "bbb"),
        ("aaaa", "aa", "b", "bb"),
        ("aaa", "aa", "b", "ba"),
        ("abc", "", "-", "-a-b-c-"),
        ("", "", "-", "-"),
        ("abab", "ab", "", ""),
        ("abc", "z", "y", "abc"),
        (None, "a", "b", None),
        ([], "a", "b", Err(51746, "$replaceAll requires that 'input' be a string, found: []")),
    ),
    (
        "$replaceOne",
        {},
        {"$replaceOne": 1},
        Err(51751, "$replaceOne requires an object as an argument, found: int"),
    ),
    (
        "$replaceAll",
        {},
        {"$replaceAll": []},
        Err(51751, "$replaceAll requires an object as an argument, found: array"),
    ),
    (
        "$replaceOne",
        {},
        {"$replaceOne": {"x": 1}},
        Err(51750, "$replaceOne found an unknown argument: x"),
    ),
    (
        "$replaceOne",
        {},
        {"$replaceOne": {"find": "a", "replacement": "b"}},
        Err(51749, "$replaceOne requires 'input' to be specified"),
    ),
    (
        "$replaceOne",
        {},
        {"$replaceOne": {"input": "a", "replacement": "b"}},
        Err(51748, "$replaceOne requires 'find' to be specified"),
    ),
    (
        "$replaceOne",
        {},
        {"$replaceOne": {"input": "a", "find": "b"}},
        Err(51747, "$replaceOne requires 'replacement' to be specified"),
    ),
]


@table(CONCAT + CASE + LENGTHS)
def test_text(case: Case) -> None:
    check(case)


@table(SUBSTR_BYTES + SUBSTR_CP + INDEX_OF)
def test_positions(case: Case) -> None:
    check(case)


@table(TRIM + SPLIT + REPLACE)
def test_pieces(case: Case) -> None:
    check(case)


@pytest.mark.parametrize(
    "expression",
    [
        {"$concat": ["$a", "$a", "$a"]},
        {"$replaceAll": {"input": "$a", "find": "", "replacement": "xx"}},
        {"$replaceAll": {"input": "$a", "find": "x", "replacement": "$a"}},
    ],
)
def test_no_string_grows_beyond_a_document(expression: Any) -> None:
    assert run({"a": "x" * 6_000_000}, expression).code == 16493


@given(st.text(max_size=20), st.integers(0, 25), st.integers(-1, 25))
def test_byte_ranges_agree_with_code_points(text: str, start: int, count: int) -> None:
    by_bytes = run({"a": text}, {"$substrBytes": ["$a", start, count]})
    raw = text.encode()
    if isinstance(by_bytes, str):
        end = len(raw) if count < 0 else start + count
        assert by_bytes.encode() == raw[start:end]
    else:
        assert by_bytes.code in (28656, 28657)


@given(st.text("ab é"), st.text("ab é", min_size=1, max_size=2))
def test_splitting_and_joining_again(text: str, separator: str) -> None:
    assert separator.join(run({"a": text}, {"$split": ["$a", separator]})) == text
