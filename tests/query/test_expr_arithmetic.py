"""Arithmetic: types of results, overflow, dates, NaN, infinities, zeros' signs, errors."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from expression_kit import Case, Err, check, exactly, run, table
from hypothesis import given
from hypothesis import strategies as st

from psdb_base.errors import MongoError
from psdb_query import decimal_math, numeric

D = Decimal128
L = Int64
INF = math.inf
NAN = math.nan
I32 = 2**31 - 1
I64 = 2**63 - 1
DAY = DatetimeMS(1_767_225_600_000)
D_MAX = D("9.999999999999999999999999999999999E+6144")
D_MIN = D("-9.999999999999999999999999999999999E+6144")


def ms(offset: int) -> DatetimeMS:
    return DatetimeMS(int(DAY) + offset)


def on(name: str, *rows: tuple[Any, ...]) -> list[Case]:
    """Rows of operands and result, as fields of a document and as constants."""
    cases: list[Case] = []
    for *operands, expected in rows:
        doc = dict(zip("abcdef", operands, strict=False))
        cases.append((name, doc, {name: [f"${letter}" for letter in doc]}, expected))
        literals = [{"$literal": operand} for operand in operands]
        cases.append((name, {}, {name: literals}, expected))
    return cases


ADD = on(
    "$add",
    (1, 2, 3),
    (L(10), L(20), L(30)),
    (1, L(20), L(21)),
    (1, 2.5, 3.5),
    (L(10), 2.5, 12.5),
    (1, D("2.5"), D("3.5")),
    (D("1.5"), D("2.5"), D("4.0")),
    (1.5, D("2.5"), D("4.00000000000000")),
    (D("2.5"), 1.5, D("4.00000000000000")),
    (0.1, D("1"), D("1.100000000000000")),
    (D("1.5"), 2.5, L(3), D("7.00000000000000")),
    (D("0.1"), D("0.2"), D("0.3")),
    (D("999999999999999999999999999999999"), D("1"), D("1000000000000000000000000000000000")),
    (D_MAX, D_MAX, D("Infinity")),
    (D_MIN, D_MIN, D("-Infinity")),
    (D_MAX, D_MIN, D("0E+6111")),
    (I32, 1, L(I32 + 1)),
    (-I32 - 1, -1, L(-I32 - 2)),
    (I32, -1, I32 - 1),
    (L(I64), 1, 9223372036854775808.0),
    (L(-I64 - 1), -1, -9223372036854775809.0),
    (L(I64), L(-1), L(I64 - 1)),
    (L(1), -1, L(0)),
    (0.1, 0.2, 0.30000000000000004),
    (0, -0.0, 0.0),
    (-0.0, -0.0, 0.0),
    (1e308, 1e308, INF),
    (INF, 1, INF),
    (INF, -INF, NAN),
    (NAN, 1, NAN),
    (D("Infinity"), D("-Infinity"), D("NaN")),
    (D("NaN"), 1, D("NaN")),
    (None, 1, None),
    (1, None, None),
    (1, 2, None, "x", None),
    ("x", None, Err(14, "$add only supports numeric or date types, not string")),
    (1, True, Err(14, "$add only supports numeric or date types, not bool")),
    (1, [1], Err(14, "$add only supports numeric or date types, not array")),
    (DAY, 86_400_000, ms(86_400_000)),
    (DAY, L(86_400_000), ms(86_400_000)),
    (86_400_000, DAY, ms(86_400_000)),
    (1, DAY, 1000, ms(1001)),
    (DAY, D("1.5"), ms(2)),
    (DAY, D("2.5"), ms(2)),
    (DAY, 2.5, ms(3)),
    (DAY, 4.4, ms(4)),
    (DAY, 0.49, ms(0)),
    (DAY, -0.5, ms(-1)),
    (DAY, -0.51, ms(-1)),
    (DAY, -86_400_000, ms(-86_400_000)),
    (DAY, DAY, Err(16612, "only one date allowed in an $add expression")),
    (DAY, 1e300, Err(15, "date overflow")),
    (DAY, NAN, Err(15, "date overflow")),
    (DAY, D("1E+30"), Err(15, "date overflow")),
    (DatetimeMS(I64), 1, Err(15, "date overflow")),
)
ADD += [
    ("$add", {}, {"$add": []}, 0),
    ("$add", {"a": 5}, {"$add": "$a"}, 5),
    ("$add", {"a": [1, 2]}, {"$add": "$a"}, Err(14)),
    ("$add", {}, {"$add": ["$missing", 1]}, None),
    ("$add", {"a": -0.0}, {"$add": ["$a"]}, 0.0),
    ("$add", {"price": 10, "fee": 2}, {"$add": ["$price", "$fee"]}, 12),
    ("$add", {}, {"$add": list(range(1, 11))}, 55),
]

SUBTRACT = on(
    "$subtract",
    (5, 3, 2),
    (3, 5, -2),
    (5, L(3), L(2)),
    (5.5, 3, 2.5),
    (5, D("3"), D("2")),
    (1.5, D("1"), D("0.50000000000000")),
    (-I32 - 1, 1, L(-I32 - 2)),
    (L(-I64 - 1), 1, -9223372036854775809.0),
    (L(I64), L(-1), 9223372036854775808.0),
    (INF, INF, NAN),
    (None, 1, None),
    ("x", None, None),
    (None, "x", None),
    (0, 0.0, 0.0),
    (-0.0, 0.0, -0.0),
    (ms(5000), DAY, L(5000)),
    (DAY, ms(5000), L(-5000)),
    (DAY, 1000, ms(-1000)),
    (DAY, 2.5, ms(-3)),
    (DAY, D("1.5"), ms(-2)),
    (DAY, L(-7), ms(7)),
    (DAY, 1e300, Err(15, "date overflow")),
    (DatetimeMS(-I64 - 1), 1, Err(15, "date overflow")),
    (DatetimeMS(-I64 - 1), DatetimeMS(1), Err(15)),
    (1, DAY, Err(14, "can't $subtract date from int")),
    (DAY, "x", Err(14, "can't $subtract string from Date")),
    ("y", "x", Err(14, "can't $subtract string from string")),
    (True, 1, Err(14, "can't $subtract int from bool")),
)
SUBTRACT += [
    (
        "$subtract",
        {},
        {"$subtract": [1]},
        Err(16020, "Expression $subtract takes exactly 2 arguments. 1 were passed in."),
    ),
    (
        "$subtract",
        {},
        {"$subtract": [1, 2, 3]},
        Err(16020, "Expression $subtract takes exactly 2 arguments. 3 were passed in."),
    ),
    ("$subtract", {"a": 1}, {"$subtract": "$a"}, Err(16020)),
]

MULTIPLY = on(
    "$multiply",
    (2, 3, 6),
    (L(10), L(20), L(200)),
    (2, L(20), L(40)),
    (2, 2.5, 5.0),
    (2, D("2.5"), D("5.0")),
    (D("10.5"), D("2"), D("21.0")),
    (1.5, D("2.0"), D("3.000000000000000")),
    (D("2"), 1.5, L(3), D("9.00000000000000")),
    (I32, 2, L(2 * I32)),
    (L(I64), 2, 1.8446744073709552e19),
    (L(2**32), L(2**31), 9.223372036854776e18),
    (L(2**32), L(-(2**31)), L(-(2**63))),
    (-0.0, 1, -0.0),
    (0, -1.0, -0.0),
    (INF, 0, NAN),
    (1e300, 1e300, INF),
    (D_MAX, 2, D("Infinity")),
    (None, 2, None),
    (2, None, "x", None),
    ("x", 2, Err(14, "$multiply only supports numeric types, not string")),
    (2, DAY, Err(14, "$multiply only supports numeric types, not date")),
    (2, False, Err(14, "$multiply only supports numeric types, not bool")),
)
MULTIPLY += [
    ("$multiply", {}, {"$multiply": []}, 1),
    ("$multiply", {"a": 7}, {"$multiply": "$a"}, 7),
    ("$multiply", {"price": 5, "quantity": 10}, {"$multiply": ["$price", "$quantity"]}, 50),
    ("$multiply", {}, {"$multiply": ["$missing", 2]}, None),
]

DIVIDE = on(
    "$divide",
    (80, 8, 10.0),
    (40, 8, 5.0),
    (1, 2, 0.5),
    (L(9), L(3), 3.0),
    (-7, 2, -3.5),
    (1.0, 3, 0.3333333333333333),
    (D("1"), 3, D("0.3333333333333333333333333333333333")),
    (1, D("4"), D("0.25")),
    (2.5, D("5"), D("0.50000000000000")),
    (0, 5, 0.0),
    (0, -5, -0.0),
    (INF, 2, INF),
    (1, INF, 0.0),
    (INF, INF, NAN),
    (1, 0, Err(2, "can't $divide by zero")),
    (1, 0.0, Err(2, "can't $divide by zero")),
    (1, -0.0, Err(2, "can't $divide by zero")),
    (0, 0, Err(2, "can't $divide by zero")),
    (D("1"), D("0"), Err(2, "can't $divide by zero")),
    (D("1"), 0, Err(2, "can't $divide by zero")),
    (None, 0, None),
    (1, None, None),
    ("x", 1, Err(14, "$divide only supports numeric types, not string and int")),
    (1, True, Err(14, "$divide only supports numeric types, not int and bool")),
    (None, "x", None),
    (DAY, 2, Err(14, "$divide only supports numeric types, not date and int")),
)

MOD = on(
    "$mod",
    (5, 3, 2),
    (-5, 3, -2),
    (5, -3, 2),
    (-5, -3, -2),
    (6, 3, 0),
    (L(5), 3, L(2)),
    (5, L(3), L(2)),
    (5.5, 3, 2.5),
    (-5.5, 3, -2.5),
    (5, 2.5, 0.0),
    (-6.0, 3, -0.0),
    (D("5"), 3, D("2")),
    (D("10.5"), D("3"), D("1.5")),
    (D("1E+40"), D("7"), D("4")),
    (-I32 - 1, -1, 0),
    (L(-I64 - 1), L(-1), L(0)),
    (INF, 3, NAN),
    (3, INF, 3.0),
    (D("Infinity"), 3, D("NaN")),
    (3, D("Infinity"), D("3")),
    (NAN, 3, NAN),
    (5, 0, Err(16610, "can't $mod by zero")),
    (5, 0.0, Err(16610, "can't $mod by zero")),
    (5, D("0"), Err(5733415, "can't $mod by zero")),
    (None, 0, None),
    ("x", 2, Err(16611, "$mod only supports numeric types, not string and int")),
    (2, [], Err(16611, "$mod only supports numeric types, not int and array")),
)

UNARY = [
    *on(
        "$abs",
        (-1, 1),
        (5, 5),
        (L(-5), L(5)),
        (-5.5, 5.5),
        (-0.0, 0.0),
        (D("-5.50"), D("5.50")),
        (D("-0"), D("0")),
        (-I32 - 1, L(I32 + 1)),
        (L(-I64), L(I64)),
        (L(-I64 - 1), Err(28680, "can't take $abs of long long min")),
        (-INF, INF),
        (NAN, NAN),
        (D("-Infinity"), D("Infinity")),
        (None, None),
        ("x", Err(28765, "$abs only supports numeric types, not string")),
        (True, Err(28765, "$abs only supports numeric types, not bool")),
        (DAY, Err(28765, "$abs only supports numeric types, not date")),
    ),
    *on(
        "$ceil",
        (1, 1),
        (L(1), L(1)),
        (7.80, 8.0),
        (-2.8, -2.0),
        (-0.5, -0.0),
        (5e-324, 1.0),
        (1e308, 1e308),
        (INF, INF),
        (NAN, NAN),
        (D("7.1"), D("8")),
        (D("-7.9"), D("-7")),
        (D("-0.5"), D("-0")),
        (D("Infinity"), D("NaN")),
        (D_MAX, D("NaN")),
        (None, None),
        ("x", Err(28765)),
    ),
    *on(
        "$floor",
        (1, 1),
        (L(I64), L(I64)),
        (7.80, 7.0),
        (-2.8, -3.0),
        (0.5, 0.0),
        (-0.0, -0.0),
        (5e-324, 0.0),
        (-5e-324, -1.0),
        (-INF, -INF),
        (D("7.9"), D("7")),
        (D("-7.1"), D("-8")),
        (D("1.0"), D("1")),
        (D("1E-6143"), D("0")),
        (D("-Infinity"), D("NaN")),
        (D_MIN, D("NaN")),
        (D("1E+6144"), D("NaN")),
        (D("NaN"), D("NaN")),
        (None, None),
        ([], Err(28765, "$floor only supports numeric types, not array")),
    ),
    *on(
        "$sqrt",
        (25, 5.0),
        (30, 5.477225575051661),
        (0, 0.0),
        (-0.0, -0.0),
        (L(100), 10.0),
        (0.01, 0.1),
        (D("4"), D("2")),
        (D("0.25"), D("0.5")),
        (D("-0"), D("-0")),
        (D("2"), D("1.414213562373095048801688724209698")),
        (INF, INF),
        (NAN, NAN),
        (D("NaN"), D("NaN")),
        (-1, Err(28714, "$sqrt's argument must be greater than or equal to 0")),
        (-INF, Err(28714)),
        (D("-1"), Err(28714)),
        (None, None),
        ("x", Err(28765, "$sqrt only supports numeric types, not string")),
    ),
    *on(
        "$exp",
        (0, 1.0),
        (2, 7.38905609893065),
        (-2, 0.1353352832366127),
        (710, INF),
        (-750, 0.0),
        (L(I64), INF),
        (-INF, 0.0),
        (INF, INF),
        (NAN, NAN),
        (D("0"), D("1")),
        (D("1"), D("2.718281828459045235360287471352662")),
        (D("-Infinity"), D("0")),
        (D_MAX, D("Infinity")),
        (None, None),
        (True, Err(28765, "$exp only supports numeric types, not bool")),
    ),
    *on(
        "$ln",
        (1, 0.0),
        (math.e, 1.0),
        (10, 2.302585092994046),
        (D("1"), D("0")),
        (D("10"), D("2.302585092994045684017991454684364")),
        (INF, INF),
        (D("Infinity"), D("Infinity")),
        (NAN, NAN),
        (D("NaN"), NAN),
        (0, Err(28766, "$ln's argument must be a positive number, but is 0")),
        (-1.5, Err(28766, "$ln's argument must be a positive number, but is -1.5")),
        (D("-1"), Err(28766, "$ln's argument must be a positive number, but is -1")),
        (None, None),
        ("x", Err(28765, "$ln only supports numeric types, not string")),
    ),
    *on(
        "$log10",
        (1, 0.0),
        (10, 1.0),
        (100, 2.0),
        (1e-15, -15.0),
        (L(10_000_000_000), 10.0),
        (D("10"), D("1")),
        (D("100"), D("2")),
        (D("2"), D("0.3010299956639811952137388947244930")),
        (0, Err(28761, "$log10's argument must be a positive number, but is 0")),
        (-0.0, Err(28761, "$log10's argument must be a positive number, but is -0")),
        (NAN, NAN),
        (None, None),
        ("x", Err(28765)),
    ),
]

BINARY = [
    *on(
        "$log",
        (100, 10, 2.0),
        (100, math.e, 4.605170185988092),
        (8, 2, 3.0),
        (0.25, 0.5, 2.0),
        (D("100"), 10, D("2")),
        (100, D("10"), D("2")),
        (1, 2, 0.0),
        (INF, 2, INF),
        (2, INF, 0.0),
        (NAN, 2, NAN),
        (0, 2, Err(28758, "$log's argument must be a positive number, but is 0")),
        (-5, 2, Err(28758, "$log's argument must be a positive number, but is -5")),
        (10, 1, Err(28759, "$log's base must be a positive number not equal to 1, but is 1")),
        (10, 0, Err(28759, "$log's base must be a positive number not equal to 1, but is 0")),
        (10, -2, Err(28759, "$log's base must be a positive number not equal to 1, but is -2")),
        (D("10"), D("1"), Err(28759)),
        (None, 0, None),
        (1, None, None),
        ("x", 2, Err(28756, "$log's argument must be numeric, not string")),
        (2, "x", Err(28757, "$log's base must be numeric, not string")),
        (10, Err(16020, "Expression $log takes exactly 2 arguments. 1 were passed in.")),
    ),
    *on(
        "$pow",
        (2, 3, 8),
        (L(2), L(10), L(1024)),
        (2, L(10), L(1024)),
        (2.0, 3.0, 8.0),
        (L(2), 10.0, 1024.0),
        (D("2"), D("3"), D("8.000000000000000000000000000000000")),
        (2, D("3"), D("8.000000000000000000000000000000000")),
        (2.0, D("3"), D("8.000000000000000000000000000000000")),
        (D("0.5"), 2, D("0.2500000000000000000000000000000000")),
        (D("2"), 100, D("1267650600228229401496703205376.000")),
        (D("10"), D("20"), D("100000000000000000000.0000000000000")),
        (D_MAX, 2, D("Infinity")),
        (10, 0, 1),
        (0, 0, 1),
        (0.0, 0.0, 1.0),
        (0, 5, 0),
        (1, -1000, 1),
        (1, L(I64), L(1)),
        (0, L(I64), L(0)),
        (-1, 100, 1),
        (-1, 101, -1),
        (-1, -1, -1),
        (-1, -2, 1),
        (-2, 3, -8),
        (2, 31, L(2**31)),
        (-2, 31, -(2**31)),
        (-2, 63, L(-(2**63))),
        (2, 62, L(2**62)),
        (2, 63, 9.223372036854776e18),
        (2, -1, 0.5),
        (10, -2, 0.01),
        (10, 10, L(10_000_000_000)),
        (10, 308, 1e308),
        (10, 309, INF),
        (-10, 309, -INF),
        (I32, 2, L(I32 * I32)),
        (L(I64), 1, L(I64)),
        (4, 0.5, 2.0),
        (-8, 1 / 3, NAN),
        (0, 0.5, 0.0),
        (INF, 2, INF),
        (2, -INF, 0.0),
        (NAN, 0, 1.0),
        (5e-324, 2, 0.0),
        (-5e-324, 3, -0.0),
        (0, -1, Err(28764, "$pow cannot take a base of 0 and a negative exponent")),
        (0.0, -1.0, Err(28764)),
        (D("0"), -1, Err(28764)),
        (D("-8"), D("0.5"), D("NaN")),
        (None, "x", None),
        ("x", 2, Err(28762, "$pow's base must be numeric, not string")),
        (2, True, Err(28763, "$pow's exponent must be numeric, not bool")),
    ),
]

ROUND = [
    *on(
        "$round",
        (10.5, 10.0),
        (11.5, 12.0),
        (12.5, 12.0),
        (-0.5, -0.0),
        (-1.5, -2.0),
        (0.49999999999999994, 0.0),
        (0.500000001, 1.0),
        (1e308, 1e308),
        (5e-324, 0.0),
        (INF, INF),
        (NAN, NAN),
        (7, 7),
        (L(7), L(7)),
        (19.25, 1, 19.2),
        (28.73, 1, 28.7),
        (34.32, 1, 34.3),
        (-45.34, 1, -45.3),
        (19.25, -1, 20.0),
        (2.015, 2, 2.02),
        (1.005, 2, 1.0),
        (123456789012345.12, -2, 123456789012300.0),
        (123456789012345.12, -15, 0.0),
        (1.12345678901234, 20, 1.12345678901234),
        (1.5, 100, 1.5),
        (25, -1, 20),
        (35, -1, 40),
        (-25, -1, -20),
        (L(123456), -3, L(123000)),
        (I32, -1, L(2147483650)),
        (7, 3, 7),
        (5, -20, 0),
        (L(I64), -1, Err(51080)),
        (D("0.5"), D("0")),
        (D("1.5"), D("2")),
        (D("-0.5"), D("-0")),
        (D("1.005"), 2, D("1.00")),
        (D("2.015"), 2, D("2.02")),
        (D("1.0"), D("1")),
        (D("1E-6143"), D("0")),
        (D("1234"), -2, D("1.2E+3")),
        (D("Infinity"), D("Infinity")),
        (D("NaN"), D("NaN")),
        (D_MAX, D_MAX),
        (D("1.123456789012345678901234567890123"), 32, D("1.12345678901234567890123456789012")),
        (D("1.123456789012345678901234567890123"), 99, D("1.123456789012345678901234567890123")),
        (1.55, 1.0, 1.6),
        (1.55, L(1), 1.6),
        (1.55, D("1"), 1.6),
        (None, None),
        (None, "x", None),
        (1.5, None, None),
        ("x", Err(51081, "$round only supports numeric types, not string")),
        (1.5, 0.5, Err(51082, "precision argument to  $round must be a integral value")),
        (1.5, NAN, Err(51082)),
        (
            1.5,
            101,
            Err(51083, "cannot apply $round with precision value 101 value must be in [-20, 100]"),
        ),
        (1.5, -21, Err(51083)),
        (1.5, "x", Err(16004)),
        (
            1,
            2,
            3,
            Err(
                28667,
                "Expression $round takes at least 1 arguments, and at most 2, "
                "but 3 were passed in.",
            ),
        ),
    ),
    *on(
        "$trunc",
        (7.85, 7.0),
        (-7.85, -7.0),
        (0.9, 0.0),
        (-0.9, -0.0),
        (19.25, 1, 19.2),
        (-45.39, 1, -45.3),
        (19.25, -1, 10.0),
        (1e300, 1, 1e300),
        (5e-324, 100, 0.0),
        (INF, INF),
        (NAN, 2, NAN),
        (7, 7),
        (29, -1, 20),
        (-29, -1, -20),
        (L(I64), -1, L(9223372036854775800)),
        (D("7.89"), D("7")),
        (D("-7.89"), 1, D("-7.8")),
        (D("Infinity"), D("Infinity")),
        (None, None),
        ("x", Err(51081, "$trunc only supports numeric types, not string")),
        (1.5, 0.5, Err(51082, "precision argument to  $trunc must be a integral value")),
        (1.5, 101, Err(51083)),
    ),
]


@table(ADD + SUBTRACT + MULTIPLY + DIVIDE + MOD)
def test_basic(case: Case) -> None:
    check(case)


@table(UNARY + BINARY + ROUND)
def test_functions(case: Case) -> None:
    check(case)


def test_a_plain_int_beyond_32_bits_is_a_long() -> None:
    assert exactly(run({"a": 2**40}, {"$add": ["$a", 1]}), L(2**40 + 1))
    assert exactly(run({"a": 2**40, "b": 2**40}, {"$subtract": ["$a", "$b"]}), L(0))


LONGS = st.integers(-(2**63), 2**63 - 1)


@given(LONGS, LONGS)
def test_whole_numbers_are_exact_or_double(left: int, right: int) -> None:
    for name, exact in (("$add", left + right), ("$multiply", left * right)):
        found = run({"a": L(left), "b": L(right)}, {name: ["$a", "$b"]})
        if numeric.fits_long(exact):
            assert exactly(found, L(exact))
        else:
            assert type(found) is float
            assert math.isclose(found, exact, rel_tol=1e-15)


@given(LONGS, LONGS.filter(bool))
def test_division_and_remainder_agree(left: int, right: int) -> None:
    remainder = run({"a": L(left), "b": L(right)}, {"$mod": ["$a", "$b"]})
    assert abs(remainder) < abs(right)
    assert (left - remainder) % right == 0
    assert remainder == 0 or (remainder < 0) == (left < 0)


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(-20, 40))
def test_rounding_is_to_the_nearest(value: float, digits: int) -> None:
    found = run({"a": value}, {"$round": ["$a", digits]})
    assert type(found) is float
    exact = Fraction(value)
    step = Fraction(10) ** -digits
    error = abs(Fraction(found) - exact)
    assert error <= step / 2 + abs(exact) / 2**52


@given(st.decimals(-40, 40, allow_nan=False, places=20))
def test_decimal_functions_agree_with_doubles(number: Any) -> None:
    x = float(number)
    for name in ("sin", "cos", "atan", "asinh", "tanh"):
        exact = getattr(decimal_math, name)(number)
        assert math.isclose(float(exact), getattr(math, name)(x), rel_tol=1e-9, abs_tol=1e-13)
    quotient = decimal_math.sinh(number) / decimal_math.cosh(number)
    assert math.isclose(float(quotient), math.tanh(x), rel_tol=1e-9, abs_tol=1e-13)


@pytest.mark.parametrize("name", ["$abs", "$ceil", "$exp", "$floor", "$ln", "$log10", "$sqrt"])
def test_unary_arity(name: str) -> None:
    for operands in ([], [1, 2]):
        found = run({}, {name: operands})
        assert isinstance(found, MongoError)
        assert found.code == 16020
        assert found.message == (
            f"Expression {name} takes exactly 1 arguments. {len(operands)} were passed in."
        )
