"""Boolean, comparison, conditional and bitwise operators."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from bson.binary import Binary
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp
from expression_kit import Case, Err, check, run, table

from psdb_base.values import MISSING, UNDEFINED
from psdb_query.context import CompileContext

D = Decimal128
L = Int64
NAN = math.nan


class CaseInsensitive:
    """A collation for tests."""

    def sort_key(self, text: str) -> bytes:
        return text.casefold().encode()


FALSE: list[Any] = [False, None, 0, L(0), 0.0, -0.0, D("0"), D("-0"), D("0E+3"), UNDEFINED, MISSING]
TRUE: list[Any] = [
    True, 1, -1, L(5), 0.5, NAN, math.inf, D("0.1"), D("NaN"), "", "x", [], [False], {}, {"a": 0},
    b"", Binary(b"", 5), Code(""), DatetimeMS(0), Timestamp(0, 0), ObjectId(), Regex(""), MinKey(),
    MaxKey(),
]  # fmt: skip


def with_a(value: Any) -> dict[str, Any]:
    return {} if value is MISSING else {"a": value}


TRUTH: list[Case] = [
    *[("$not", with_a(value), {"$not": ["$a"]}, True) for value in FALSE],
    *[("$not", with_a(value), {"$not": "$a"}, False) for value in TRUE],
    *[("$and", with_a(value), {"$and": ["$a", True]}, False) for value in FALSE],
    *[("$and", with_a(value), {"$and": [True, "$a"]}, True) for value in TRUE],
    *[("$or", with_a(value), {"$or": ["$a", False]}, False) for value in FALSE],
    *[("$or", with_a(value), {"$or": [0, "$a"]}, True) for value in TRUE],
    *[("$cond", with_a(value), {"$cond": ["$a", "y", "n"]}, "n") for value in FALSE],
    *[("$cond", with_a(value), {"$cond": ["$a", "y", "n"]}, "y") for value in TRUE],
]

BOOLEAN: list[Case] = [
    ("$and", {}, {"$and": [1, "green"]}, True),
    ("$and", {}, {"$and": []}, True),
    ("$and", {}, {"$and": [[None], [False], [0]]}, True),
    ("$and", {}, {"$and": [None, True]}, False),
    ("$and", {}, {"$and": [0, True]}, False),
    ("$and", {"qty": 300}, {"$and": [{"$gt": ["$qty", 100]}, {"$lt": ["$qty", 250]}]}, False),
    ("$and", {"qty": 200}, {"$and": [{"$gt": ["$qty", 100]}, {"$lt": ["$qty", 250]}]}, True),
    ("$and", {"a": 0}, {"$and": ["$a", {"$divide": [1, "$a"]}]}, False),
    ("$and", {"a": 0}, {"$and": [{"$divide": [1, "$a"]}, "$a"]}, Err(2)),
    ("$and", {"a": 5}, {"$and": "$a"}, True),
    ("$or", {}, {"$or": [True, False]}, True),
    ("$or", {}, {"$or": [[False], False]}, True),
    ("$or", {}, {"$or": [None, 0, None]}, False),
    ("$or", {}, {"$or": []}, False),
    ("$or", {"a": 1}, {"$or": ["$a", {"$divide": [1, 0]}]}, Err(2)),
    ("$or", {"a": 1, "z": 0}, {"$or": ["$a", {"$divide": [1, "$z"]}]}, True),
    ("$not", {}, {"$not": [True]}, False),
    ("$not", {}, {"$not": [[False]]}, False),
    ("$not", {}, {"$not": []}, Err(16020)),
    ("$not", {}, {"$not": [1, 2]}, Err(16020)),
]

COND: list[Case] = [
    (
        "$cond",
        {"qty": 300},
        {"$cond": {"if": {"$gte": ["$qty", 250]}, "then": 30, "else": 20}},
        30,
    ),
    (
        "$cond",
        {"qty": 200},
        {"$cond": {"if": {"$gte": ["$qty", 250]}, "then": 30, "else": 20}},
        20,
    ),
    ("$cond", {"qty": 200}, {"$cond": [{"$gte": ["$qty", 250]}, 30, 20]}, 20),
    ("$cond", {"a": 1, "z": 0}, {"$cond": ["$a", 1, {"$divide": [1, "$z"]}]}, 1),
    ("$cond", {"a": 0, "z": 0}, {"$cond": ["$a", 1, {"$divide": [1, "$z"]}]}, Err(2)),
    ("$cond", {"a": 1}, {"$cond": ["$a", "$$REMOVE", 1]}, MISSING),
    ("$cond", {}, {"$cond": [True, "$missing", 1]}, MISSING),
    ("$cond", {}, {"$cond": [1, 2]}, Err(16020)),
    (
        "$cond",
        {},
        {"$cond": 1},
        Err(16020, "Expression $cond takes exactly 3 arguments. 1 were passed in."),
    ),
    ("$cond", {}, {"$cond": {}}, Err(17080, "Missing 'if' parameter to $cond")),
    ("$cond", {}, {"$cond": {"if": 1}}, Err(17081, "Missing 'then' parameter to $cond")),
    ("$cond", {}, {"$cond": {"if": 1, "then": 1}}, Err(17082)),
    ("$cond", {}, {"$cond": {"then": 1, "else": 1}}, Err(17080)),
    (
        "$cond",
        {},
        {"$cond": {"if": 1, "then": 1, "else": 1, "x": 1}},
        Err(17083, "Unrecognized parameter to $cond: x"),
    ),
    ("$ifNull", {"a": 1}, {"$ifNull": ["$a", 2]}, 1),
    ("$ifNull", {"a": None}, {"$ifNull": ["$a", 2]}, 2),
    ("$ifNull", {}, {"$ifNull": ["$a", 2]}, 2),
    ("$ifNull", {"a": UNDEFINED}, {"$ifNull": ["$a", 2]}, 2),
    ("$ifNull", {"a": False}, {"$ifNull": ["$a", 2]}, False),
    ("$ifNull", {"c": 3}, {"$ifNull": ["$a", "$b", "$c", 4]}, 3),
    ("$ifNull", {}, {"$ifNull": ["$a", "$b", "$c"]}, MISSING),
    ("$ifNull", {}, {"$ifNull": ["$a", None]}, None),
    ("$ifNull", {"a": 1, "z": 0}, {"$ifNull": ["$a", {"$divide": [1, "$z"]}]}, 1),
    ("$ifNull", {}, {"$ifNull": [1]}, Err(1257300, "$ifNull needs at least two arguments, had: 1")),
    ("$ifNull", {}, {"$ifNull": "$a"}, Err(1257300)),
    ("$ifNull", {}, {"$ifNull": []}, Err(1257300)),
]


def switch(*branches: tuple[Any, Any], **rest: Any) -> dict[str, Any]:
    cases = [{"case": case, "then": then} for case, then in branches]
    return {"$switch": {"branches": cases, **rest}}


SWITCH: list[Case] = [
    *[
        (
            "$switch",
            {"scores": average},
            switch(
                ({"$gte": ["$scores", 90]}, "Doing great!"),
                ({"$gte": ["$scores", 80]}, "Doing pretty well."),
                default="Needs improvement.",
            ),
            expected,
        )
        for average, expected in (
            (95, "Doing great!"),
            (85, "Doing pretty well."),
            (72, "Needs improvement."),
        )
    ],
    ("$switch", {"a": 1}, switch(("$a", "$missing"), default=1), MISSING),
    ("$switch", {"a": 1, "z": 0}, switch(("$a", 1), (True, {"$divide": [1, "$z"]})), 1),
    ("$switch", {}, switch((False, 1), (True, 2)), 2),
    ("$switch", {"a": 0}, switch((False, 1), ("$a", 2), (True, 3), default=4), 3),
    (
        "$switch",
        {"a": 0},
        switch(("$a", 1)),
        Err(
            40066,
            "$switch could not find a matching branch for an input, and no default was specified.",
        ),
    ),
    ("$switch", {}, switch((False, 1)), Err(40069)),
    ("$switch", {}, switch((False, 1), default=5), 5),
    ("$switch", {}, {"$switch": 1}, Err(40060)),
    (
        "$switch",
        {},
        {"$switch": []},
        Err(40060, "$switch requires an object as an argument, found: array"),
    ),
    (
        "$switch",
        {},
        {"$switch": {"branches": 1}},
        Err(40061, "$switch expected an array for 'branches', found: int"),
    ),
    (
        "$switch",
        {},
        {"$switch": {"branches": [1]}},
        Err(40062, "$switch expected each branch to be an object, found: int"),
    ),
    (
        "$switch",
        {},
        {"$switch": {"branches": [{"case": 1, "then": 1, "x": 1}]}},
        Err(40063, "$switch found an unknown argument to a branch: x"),
    ),
    (
        "$switch",
        {},
        {"$switch": {"branches": [{"then": 1}]}},
        Err(40064, "$switch requires each branch have a 'case' expression"),
    ),
    (
        "$switch",
        {},
        {"$switch": {"branches": [{"case": 1}]}},
        Err(40065, "$switch requires each branch have a 'then' expression."),
    ),
    (
        "$switch",
        {},
        {"$switch": {"branches": [{"case": 1, "then": 1}], "x": 1}},
        Err(40067, "$switch found an unknown argument: x"),
    ),
    ("$switch", {}, {"$switch": {}}, Err(40068, "$switch requires at least one branch.")),
    ("$switch", {}, {"$switch": {"branches": []}}, Err(40068)),
    ("$switch", {}, {"$switch": {"default": 1}}, Err(40068)),
]

# Values in ascending order: each is less than all that follow, groups are equal.
ASCENDING: list[list[Any]] = [
    [MinKey()],
    [UNDEFINED, MISSING],
    [None],
    [NAN, D("NaN")],
    [-math.inf, D("-Infinity")],
    [L(-(2**53) - 1), D("-9007199254740993")],
    [-1, L(-1), -1.0, D("-1"), D("-1.0")],
    [0, L(0), 0.0, -0.0, D("0"), D("-0")],
    [1, 1.0, D("1")],
    [9007199254740992.0, L(2**53)],
    [L(2**53 + 1)],
    [math.inf],
    [""],
    ["A"],
    ["a"],
    ["b"],
    ["é"],
    ["😀"],
    [{}],
    [{"a": 1}, {"a": 1.0}],
    [{"a": 1, "b": 1}],
    [{"b": 0}],
    [[]],
    [[1], [1.0]],
    [[1, 2]],
    [[2]],
    [b"z"],
    [b"ab", Binary(b"ab", 0)],
    [ObjectId("000000000000000000000001")],
    [ObjectId("000000000000000000000002")],
    [False],
    [True],
    [DatetimeMS(-1)],
    [DatetimeMS(1)],
    [Timestamp(1, 1)],
    [Timestamp(1, 2)],
    [Regex("a")],
    [MaxKey()],
]

PAIRS = [
    (left, right, (i > j) - (i < j))
    for (i, first), (j, second) in itertools.product(enumerate(ASCENDING), repeat=2)
    for left in first
    for right in second
]


def test_every_pair_of_values_compares_by_the_order_of_types() -> None:
    tests = {
        "$eq": lambda sign: sign == 0,
        "$gt": lambda sign: sign > 0,
        "$gte": lambda sign: sign >= 0,
        "$lt": lambda sign: sign < 0,
        "$lte": lambda sign: sign <= 0,
        "$ne": lambda sign: sign != 0,
    }
    for left, right, sign in PAIRS:
        if {left is MISSING, right is MISSING} == {True, False} and UNDEFINED in (left, right):
            continue
        doc = {k: v for k, v in (("a", left), ("b", right)) if v is not MISSING}
        assert run(doc, {"$cmp": ["$a", "$b"]}) == sign, (left, right)
        for name, holds in tests.items():
            found = run(doc, {name: ["$a", "$b"]})
            assert found is holds(sign), (name, left, right)
            if type(right) in (int, Int64, str):
                assert run(doc, {name: ["$a", right]}) is found, (name, left, right)


COMPARISON: list[Case] = [
    ("$cmp", {"qty": 300}, {"$cmp": ["$qty", 250]}, 1),
    ("$cmp", {"qty": 250}, {"$cmp": ["$qty", 250]}, 0),
    ("$cmp", {"qty": 200}, {"$cmp": ["$qty", 250]}, -1),
    ("$eq", {"qty": 250}, {"$eq": ["$qty", 250]}, True),
    ("$eq", {"qty": True}, {"$eq": ["$qty", 1]}, False),
    ("$eq", {"qty": 1.0}, {"$eq": ["$qty", 1]}, True),
    ("$eq", {"qty": L(1)}, {"$eq": ["$qty", 1]}, True),
    ("$eq", {}, {"$eq": ["$qty", None]}, False),
    ("$eq", {}, {"$eq": ["$x", "$y"]}, True),
    ("$gt", {}, {"$gt": [None, "$x"]}, True),
    ("$lt", {}, {"$lt": ["$x", None]}, True),
    ("$gt", {"a": "x"}, {"$gt": ["$a", 5]}, True),
    ("$gt", {"a": {"b": 7}}, {"$gt": ["$a.b", 5]}, True),
    ("$gt", {"a": [1]}, {"$gt": ["$a", 5]}, True),
    ("$eq", {"a": {"x": 1, "y": 2}}, {"$eq": ["$a", {"y": 2, "x": 1}]}, False),
    ("$ne", {"a": [1, 2]}, {"$ne": ["$a", [1, 2]]}, False),
    ("$gte", {"a": "b"}, {"$gte": ["$a", "a"]}, True),
    ("$eq", {}, {"$eq": [1]}, Err(16020)),
    ("$gt", {}, {"$gt": [1, 2, 3]}, Err(16020)),
    ("$lte", {}, {"$lte": {"a": 1}}, Err(16020)),
]

I = 2**31  # noqa: E741
BITS: list[Case] = [
    ("$bitAnd", {"a": 0, "b": 127}, {"$bitAnd": ["$a", "$b"]}, 0),
    ("$bitAnd", {"a": 2, "b": 3}, {"$bitAnd": ["$a", "$b"]}, 2),
    ("$bitAnd", {"a": 3}, {"$bitAnd": ["$a", L(63)]}, L(3)),
    ("$bitAnd", {}, {"$bitAnd": []}, -1),
    ("$bitAnd", {}, {"$bitAnd": [-1, -2, 7]}, 6),
    ("$bitAnd", {"a": 5}, {"$bitAnd": "$a"}, 5),
    ("$bitOr", {"a": 2, "b": 3}, {"$bitOr": ["$a", "$b"]}, 3),
    ("$bitOr", {"a": 2}, {"$bitOr": ["$a", L(1)]}, L(3)),
    ("$bitOr", {}, {"$bitOr": []}, 0),
    ("$bitOr", {}, {"$bitOr": [-I, I - 1]}, -1),
    ("$bitXor", {"a": 2, "b": 3}, {"$bitXor": ["$a", "$b"]}, 1),
    ("$bitXor", {}, {"$bitXor": []}, 0),
    ("$bitXor", {}, {"$bitXor": [L(-1), 5]}, L(-6)),
    ("$bitNot", {}, {"$bitNot": 127}, -128),
    ("$bitNot", {}, {"$bitNot": L(127)}, L(-128)),
    ("$bitNot", {}, {"$bitNot": -I}, I - 1),
    ("$bitNot", {}, {"$bitNot": None}, None),
    ("$bitNot", {}, {"$bitNot": 1.5}, Err(14, "$bitNot only supports int and long, not: double.")),
    ("$bitNot", {}, {"$bitNot": D("1")}, Err(14)),
    (
        "$bitNot",
        {},
        {"$bitNot": "abc"},
        Err(28765, "$bitNot only supports numeric types, not string"),
    ),
    ("$bitNot", {}, {"$bitNot": True}, Err(28765)),
    ("$bitNot", {}, {"$bitNot": [1, 2]}, Err(16020)),
    *[
        (name, {}, {name: [1, bad]}, Err(14, f"{name} only supports int and long operands."))
        for name in ("$bitAnd", "$bitOr", "$bitXor")
        for bad in ("x", 1.5, D("1"), True, {"x": 1}, [[1]])
    ],
    *[(name, {}, {name: [1, None, "x"]}, None) for name in ("$bitAnd", "$bitOr", "$bitXor")],
    *[(name, {}, {name: ["$missing", 1]}, None) for name in ("$bitAnd", "$bitOr", "$bitXor")],
]


@table(TRUTH + BOOLEAN)
def test_boolean(case: Case) -> None:
    check(case)


@table(COND + SWITCH)
def test_conditional(case: Case) -> None:
    check(case)


@table(COMPARISON)
def test_comparison(case: Case) -> None:
    check(case)


@table(BITS)
def test_bitwise(case: Case) -> None:
    check(case)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ({"$eq": ["$a", "HELLO"]}, True),
        ({"$eq": ["$a", "$b"]}, True),
        ({"$ne": ["$a", "$b"]}, False),
        ({"$gt": ["$a", "GZ"]}, True),
        ({"$cmp": ["$a", "$b"]}, 0),
        ({"$max": ["$a", "$b"]}, "hello"),
        ({"$eq": [{"x": "$a"}, {"x": "$b"}]}, True),
    ],
)
def test_comparison_under_a_collation(expression: Any, expected: Any) -> None:
    ctx = CompileContext(collation=CaseInsensitive())
    assert run({"a": "hello", "b": "Hello"}, expression, ctx) == expected
