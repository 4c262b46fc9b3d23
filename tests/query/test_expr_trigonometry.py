"""Trigonometric operators: doubles, decimals at 34 digits, bounds."""

from __future__ import annotations

import math
from typing import Any

from bson.decimal128 import Decimal128
from bson.int64 import Int64
from expression_kit import Case, Err, check, table

D = Decimal128
INF = math.inf
NAN = math.nan


def each(name: str, *rows: tuple[Any, Any]) -> list[Case]:
    cases: list[Case] = []
    for value, expected in rows:
        cases.append((name, {"a": value}, {name: "$a"}, expected))
        cases.append((name, {}, {name: [{"$literal": value}]}, expected))
    return cases


def bounds(name: str, shown: str, where: str) -> str:
    return f"cannot apply {name} to {shown}, value must in {where}"


PI = D("3.141592653589793238462643383279503")
HALF_PI = D("1.570796326794896619231321691639751")

CASES = [
    *each(
        "$sin",
        (0, 0.0),
        (-0.0, -0.0),
        (math.pi / 2, 1.0),
        (Int64(1), 0.8414709848078965),
        (D("0"), D("0")),
        (D("-0"), D("-0")),
        (D("1"), D("0.8414709848078965066525023216302990")),
        (D("1E-50"), D("1E-50")),
        (D("1E+22"), D("-0.8522008497671888017727058937530294")),
        (D("1E+6000"), D("-0.7249266534376325863453460198136025")),
        (NAN, NAN),
        (D("NaN"), D("NaN")),
        (INF, Err(50989, bounds("$sin", "inf", "(-inf,inf)"))),
        (-INF, Err(50989, bounds("$sin", "-inf", "(-inf,inf)"))),
        (D("Infinity"), Err(50989)),
    ),
    *each(
        "$cos",
        (0, 1.0),
        (math.pi, -1.0),
        (D("0"), D("1")),
        (D("1"), D("0.5403023058681397174009366074429766")),
        (-INF, Err(50989, bounds("$cos", "-inf", "(-inf,inf)"))),
    ),
    *each(
        "$tan",
        (0, 0.0),
        (1, 1.5574077246549023),
        (D("1"), D("1.557407724654902230506974807458360")),
        (D("-0"), D("-0")),
        (INF, Err(50989)),
    ),
    *each(
        "$asin",
        (1, 1.5707963267948966),
        (0.5, 0.5235987755982989),
        (-0.0, -0.0),
        (D("1"), HALF_PI),
        (D("0.5"), D("0.5235987755982988730771072305465838")),
        (NAN, NAN),
        (2, Err(50989, bounds("$asin", "2", "[-1,1]"))),
        (-1.5, Err(50989, bounds("$asin", "-1.5", "[-1,1]"))),
        (D("1.1"), Err(50989, bounds("$asin", "1.1", "[-1,1]"))),
    ),
    *each(
        "$acos",
        (1, 0.0),
        (-1, math.pi),
        (0, 1.5707963267948966),
        (D("1"), D("0")),
        (D("-1"), PI),
        (D("0"), HALF_PI),
        (D("0.6"), D("0.9272952180016122324285124629224288")),
        (-INF, Err(50989, bounds("$acos", "-inf", "[-1,1]"))),
    ),
    *each(
        "$atan",
        (1, 0.7853981633974483),
        (INF, 1.5707963267948966),
        (D("1"), D("0.7853981633974483096156608458198757")),
        (D("-Infinity"), D("-1.570796326794896619231321691639751")),
        (D("1E+100"), HALF_PI),
    ),
    *each(
        "$sinh",
        (0, 0.0),
        (1, 1.1752011936438014),
        (1000, INF),
        (-1000, -INF),
        (-INF, -INF),
        (D("1"), D("1.175201193643801456882381850595601")),
        (D("Infinity"), D("Infinity")),
        (D("1E+6000"), D("Infinity")),
    ),
    *each(
        "$cosh",
        (0, 1.0),
        (1, 1.5430806348152437),
        (-1000, INF),
        (D("1"), D("1.543080634815243778477905620757062")),
        (D("-Infinity"), D("Infinity")),
    ),
    *each(
        "$tanh",
        (1, 0.7615941559557649),
        (INF, 1.0),
        (D("1"), D("0.7615941559557648881194582826047936")),
        (D("-Infinity"), D("-1")),
        (D("1000"), D("1")),
    ),
    *each(
        "$asinh",
        (1, 0.881373587019543),
        (INF, INF),
        (D("1"), D("0.8813735870195430252326093249797923")),
        (D("-1"), D("-0.8813735870195430252326093249797923")),
        (D("1E-100"), D("1E-100")),
    ),
    *each(
        "$acosh",
        (1, 0.0),
        (3, 1.762747174039086),
        (INF, INF),
        (D("3"), D("1.762747174039086050465218649959585")),
        (D("Infinity"), D("Infinity")),
        (0, Err(50989, bounds("$acosh", "0", "[1,inf]"))),
        (-INF, Err(50989, bounds("$acosh", "-inf", "[1,inf]"))),
    ),
    *each(
        "$atanh",
        (0.5, 0.5493061443340548),
        (1, INF),
        (-1, -INF),
        (D("0.5"), D("0.5493061443340548456976226184612629")),
        (D("1"), D("Infinity")),
        (2, Err(50989, bounds("$atanh", "2", "[-1,1]"))),
    ),
    *each(
        "$degreesToRadians",
        (180, math.pi),
        (90.0, 1.5707963267948966),
        (D("180"), D("3.141592653589793238462643383279503")),
        (INF, INF),
        (NAN, NAN),
    ),
    *each(
        "$radiansToDegrees",
        (math.pi, 180.0),
        (1, 57.29577951308232),
        (D("1"), D("57.29577951308232087679815481410517")),
        (-INF, -INF),
    ),
]

NAMES = [
    "$acos", "$acosh", "$asin", "$asinh", "$atan", "$atanh", "$cos", "$cosh", "$degreesToRadians",
    "$radiansToDegrees", "$sin", "$sinh", "$tan", "$tanh",
]  # fmt: skip
COMMON: list[Case] = [
    case
    for name in NAMES
    for case in [
        *each(
            name,
            (None, None),
            ("x", Err(28765, f"{name} only supports numeric types, not string")),
            (True, Err(28765, f"{name} only supports numeric types, not bool")),
        ),
        (name, {}, {name: "$missing"}, None),
        (name, {}, {name: [1, 1]}, Err(16020)),
    ]
]

ATAN2: list[Case] = [
    ("$atan2", {"a": y, "b": x}, {"$atan2": ["$a", "$b"]}, expected)
    for y, x, expected in [
        (1, 1, 0.7853981633974483),
        (3, 4.0, 0.6435011087932844),
        (0, -1, math.pi),
        (-0.0, -1, -math.pi),
        (0, 0, 0.0),
        (INF, -INF, 2.356194490192345),
        (D("3"), 4, D("0.6435011087932843868028092287173226")),
        (0, D("-1"), PI),
        (D("-1"), D("0"), D("-1.570796326794896619231321691639751")),
        (D("-0"), D("0"), D("-0")),
        (D("1"), D("Infinity"), D("0")),
        (D("Infinity"), D("Infinity"), D("0.7853981633974483096156608458198757")),
        (D("NaN"), 1, D("NaN")),
        (None, 1, None),
        (1, None, None),
        (None, "x", None),
        ("x", 1, Err(51044, "$atan2 only supports numeric types, not string")),
        (1, "x", Err(51045, "$atan2 only supports numeric types, not string")),
        (1, False, Err(51045)),
    ]
]


@table(CASES + ATAN2)
def test_case(case: Case) -> None:
    check(case)


@table(COMMON)
def test_what_all_have_in_common(case: Case) -> None:
    check(case)
