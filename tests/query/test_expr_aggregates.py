"""Accumulators as expressions, and the sum that does not lose what rounding drops."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from expression_kit import Case, Err, check, run, table
from hypothesis import given
from hypothesis import strategies as st

from psdb_query.context import CompileContext

D = Decimal128
L = Int64
NAN = math.nan
INF = math.inf
SCORES = {"quizzes": [10, 6, 7], "labs": [5, 8], "final": 80, "midterm": 75}


def over(name: str, *rows: tuple[list[Any], Any]) -> list[Case]:
    """Rows of values and result: in one array, and as operands each."""
    cases: list[Case] = []
    for values, expected in rows:
        cases.append((name, {"a": values}, {name: "$a"}, expected))
        cases.append((name, {}, {name: [{"$literal": values}]}, expected))
        if len(values) > 1:
            doc = {f"v{number}": value for number, value in enumerate(values)}
            cases.append((name, doc, {name: [f"${key}" for key in doc]}, expected))
    return cases


SUM = [
    *over(
        "$sum",
        ([1, 2, 3], 6),
        ([1, L(2)], L(3)),
        ([1, 2.5], 3.5),
        ([1, 2.5, D("1")], D("4.5")),
        ([0.1] * 10, 1.0),
        ([1e16, 1.0, -1e16], 1.0),
        ([1e100, 1.0, -1e100], 1.0),
        ([0.1, D("0")], D("0.1000000000000000055511151231257827")),
        ([2**31 - 1, 1], L(2**31)),
        ([L(2**63 - 1), 1], 9223372036854775808.0),
        ([L(2**63 - 1), L(1), L(-1)], L(2**63 - 1)),
        ([L(2**53), 1.0], 9007199254740992.0),
        ([L(2**53 + 1), 1.0], 9007199254740994.0),
        ([INF, 1], INF),
        ([INF, -INF], NAN),
        ([NAN, 1], NAN),
        ([1e308, 1e308], INF),
        ([INF, D("1")], D("Infinity")),
        ([True, "x", None, 5, [7]], 5),
        ([DatetimeMS(5), 1], 1),
        (["x"], 0),
        ([], 0),
        ([-0.0, -0.0], 0.0),
    ),
    ("$sum", SCORES, {"$sum": "$quizzes"}, 23),
    ("$sum", SCORES, {"$sum": ["$final", "$midterm"]}, 155),
    ("$sum", SCORES, {"$sum": ["$quizzes", "$final"]}, 80),
    ("$sum", SCORES, {"$sum": ["$quizzes"]}, 23),
    ("$sum", {}, {"$sum": []}, 0),
    ("$sum", {}, {"$sum": "$missing"}, 0),
    ("$sum", {}, {"$sum": 5}, 5),
    ("$sum", {"a": [{"b": 1}, {"b": 2}]}, {"$sum": "$a.b"}, 3),
]

AVG = [
    *over(
        "$avg",
        ([1, 2, 3, 4], 2.5),
        ([1, 1], 1.0),
        ([L(4), 2], 3.0),
        ([1, D("2")], D("1.5")),
        ([D("1"), D("1"), D("2")], D("1.333333333333333333333333333333333")),
        ([1, "x", None, 3], 2.0),
        (["x"], None),
        ([], None),
        ([NAN, 1], NAN),
        ([L(2**63 - 1), L(2**63 - 1)], 9223372036854775808.0),
    ),
    ("$avg", SCORES, {"$avg": "$quizzes"}, 7.666666666666667),
    ("$avg", SCORES, {"$avg": ["$final", "$midterm"]}, 77.5),
    ("$avg", SCORES, {"$avg": ["$quizzes", "$labs"]}, None),
    ("$avg", {}, {"$avg": "$missing"}, None),
]

EXTREMES = [
    *over(
        "$max",
        ([1, 5, 3], 5),
        ([1, 5.5, D("5.4")], 5.5),
        ([1, "x"], "x"),
        ([None, 1], 1),
        ([None, None], None),
        ([1, 1.0, L(1)], 1),
        ([NAN, 1], 1),
        ([False, 5], False),
        ([], None),
        ([[1], [2]], [2]),
    ),
    *over(
        "$min",
        ([1, 5, 3], 1),
        ([1, "x"], 1),
        ([None, 1], 1),
        ([NAN, 1], NAN),
        ([{"a": 1}, "x"], "x"),
        ([None], None),
        ([1.0, 1], 1.0),
    ),
    ("$max", SCORES, {"$max": "$quizzes"}, 10),
    ("$max", SCORES, {"$max": ["$final", "$midterm"]}, 80),
    ("$min", SCORES, {"$min": "$quizzes"}, 6),
    ("$min", SCORES, {"$min": ["$final", "$quizzes"]}, 80),
    ("$max", {}, {"$max": "$missing"}, None),
    ("$min", {}, {"$min": []}, None),
]

DEVIATION = [
    *over(
        "$stdDevPop",
        ([10, 6, 7], 1.699673171197595),
        ([5, 5], 0.0),
        ([5], 0.0),
        ([], None),
        (["x", None], None),
        ([D("1"), D("3")], 1.0),
        ([1, INF], NAN),
    ),
    *over(
        "$stdDevSamp",
        ([10, 6, 7], 2.081665999466133),
        ([5], None),
        ([], None),
        ([1, L(3)], 1.4142135623730951),
        ([1, 3, "x"], 1.4142135623730951),
    ),
]


def median(values: Any, **more: Any) -> dict[str, Any]:
    return {"$median": {"input": values, "method": "approximate"} | more}


def percentile(values: Any, p: Any, **more: Any) -> dict[str, Any]:
    return {"$percentile": {"input": values, "p": p, "method": "approximate"} | more}


SIX = {"t": [77, 78, 88, 95, 81, 89]}
QUANTILES: list[Case] = [
    ("$median", {"a": 62, "b": 81, "c": 80}, median(["$a", "$b", "$c"]), 80.0),
    ("$median", SIX, median("$t"), 81.0),
    ("$median", {"a": 5}, median("$a"), 5.0),
    ("$median", {}, median("$missing"), None),
    ("$median", {}, median([]), None),
    ("$median", {}, median(["x", None]), None),
    ("$median", {}, median([1, "x", D("3"), L(2)]), 2.0),
    ("$median", {}, median([INF, 1, -INF]), 1.0),
    (
        "$percentile",
        {"a": 62, "b": 81, "c": 80},
        percentile(["$a", "$b", "$c"], [0.5, 0.95]),
        [80.0, 81.0],
    ),
    ("$percentile", SIX, percentile("$t", [0, 0.01, 0.5, 0.9, 1]), [77.0, 77.0, 81.0, 95.0, 95.0]),
    ("$percentile", SIX, percentile("$t", [1.0, 0.0]), [95.0, 77.0]),
    ("$percentile", {}, percentile("$missing", [0.1, 0.2]), [None, None]),
    ("$percentile", {"a": 3}, percentile("$a", [{"$divide": [1, 2]}]), [3.0]),
    (
        "$percentile",
        {},
        percentile([1], "x"),
        Err(
            7750301,
            "The $percentile 'p' field must be an array of numbers from [0.0, 1.0], "
            'but found: "x"',
        ),
    ),
    ("$percentile", {}, percentile([1], []), Err(7750301)),
    ("$percentile", {}, percentile([1], ["x"]), Err(7750302)),
    ("$percentile", {}, percentile([1], [1.5]), Err(7750303)),
    ("$percentile", {}, percentile([1], [-0.1]), Err(7750303)),
    ("$percentile", {}, percentile([1], [NAN]), Err(7750303)),
    ("$percentile", {}, percentile([1], ["$a"]), Err(7750300)),
    ("$percentile", {}, percentile([1], "$a"), Err(7750300)),
    (
        "$percentile",
        {},
        percentile([1], [0.5], method="exact"),
        Err(2, "Currently only 'approximate' can be used as percentile 'method'."),
    ),
    ("$percentile", {}, percentile([1], "x", method="exact"), Err(7750301)),
    ("$percentile", {}, percentile([1], [0.5], method=5), Err(14)),
    (
        "$percentile",
        {},
        {"$percentile": {"input": 1, "p": [0.5]}},
        Err(40414, "BSON field '$percentile.method' is missing but a required field"),
    ),
    (
        "$percentile",
        {},
        {"$percentile": {"input": 1, "method": "approximate"}},
        Err(40414, "BSON field '$percentile.p' is missing but a required field"),
    ),
    (
        "$percentile",
        {},
        {"$percentile": {}},
        Err(40414, "BSON field '$percentile.input' is missing but a required field"),
    ),
    (
        "$percentile",
        {},
        percentile([1], [0.5], x=1),
        Err(40415, "BSON field '$percentile.x' is an unknown field."),
    ),
    (
        "$percentile",
        {},
        {"$percentile": 1},
        Err(7429703, "specification must be an object; found $percentile: 1"),
    ),
    (
        "$median",
        {},
        {"$median": [1]},
        Err(7436100, "specification must be an object; found $median: [ 1 ]"),
    ),
    (
        "$median",
        {},
        median([1], p=[0.5]),
        Err(40415, "BSON field '$median.p' is an unknown field."),
    ),
    ("$median", {}, median([1], method="exact"), Err(2)),
]


@table(SUM + AVG)
def test_sums(case: Case) -> None:
    check(case)


@table(EXTREMES + DEVIATION)
def test_extremes_and_deviations(case: Case) -> None:
    check(case)


@table(QUANTILES)
def test_quantiles(case: Case) -> None:
    check(case)


def test_the_fractions_of_a_percentile_may_be_a_variable() -> None:
    ctx = CompileContext(variables=frozenset(("p",)))
    assert run(SIX, percentile("$t", "$$p"), ctx, p=[0.5]) == [81.0]
    assert run(SIX, percentile("$t", "$$p"), ctx, p=[5]).code == 7750303


FINITE = st.floats(-1e200, 1e200)


@given(st.lists(FINITE | st.integers(-(2**62), 2**62), max_size=30))
def test_a_sum_is_right_to_the_last_digit_that_matters(numbers: list[float | int]) -> None:
    exact = sum(map(Fraction, numbers), Fraction(0))
    scale = max((abs(Fraction(number)) for number in numbers), default=Fraction(0))
    found = run({"a": numbers}, {"$sum": "$a"})
    if all(type(number) is int for number in numbers):
        assert Fraction(found) == exact or type(found) is float
    assert abs(Fraction(found) - exact) <= abs(exact) / 2**50 + scale * len(numbers) / 2**90


@given(st.lists(FINITE | st.just(D("0.1")) | st.just("x"), min_size=1, max_size=20))
def test_an_average_lies_between_the_extremes(values: list[Any]) -> None:
    numbers = [float(str(value)) for value in values if value != "x"]
    found = run({"a": values}, {"$avg": "$a"})
    if not numbers:
        assert found is None
        return
    slack = max(map(abs, numbers)) * 1e-14
    assert min(numbers) - slack <= float(str(found)) <= max(numbers) + slack
