"""The total order of BSON values: known answers, and laws that tie comparison and keys together."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cmp_to_key
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
from hypothesis import given
from hypothesis import strategies as st
from strategies import bson_values, numbers

from psdb_base import bson_codec, order
from psdb_base.values import MISSING, UNDEFINED, DBPointer, RawRegex, Symbol

D = Decimal128
OID = ObjectId(b"\1" * 12)


class CaseBlind:
    """A collation that does not see case."""

    def sort_key(self, text: str) -> bytes:
        return text.casefold().encode()


ASCENDING: list[list[Any]] = [
    [MinKey()],
    [MISSING, UNDEFINED],
    [None],
    [math.nan, D("NaN"), -math.nan],
    [-math.inf, D("-Infinity")],
    [D("-1E+6000")],
    [-1.7976931348623157e308],
    [Int64(-(2**63)), -(2.0**63), D("-9223372036854775808")],
    [Int64(-(2**63) + 1)],
    [D("-1.5")],
    [-1, -1.0],
    [D("-1E-6176")],
    [0, 0.0, -0.0, Int64(0), D("0"), D("-0"), D("0E+10")],
    [D("1E-6176")],
    [5e-324],
    [D("0.1")],
    [0.1],
    [D("0.1000000000000000055511151231257828")],
    [1, 1.0, Int64(1), D("1"), D("1.0"), D("10E-1")],
    [Int64(2**53), 2.0**53],
    [Int64(2**53 + 1), D("9007199254740993")],
    [D("9007199254740993.5")],
    [Int64(2**53 + 2), 2.0**53 + 2],
    [Int64(2**63 - 1), D("9223372036854775807")],
    [2.0**63, D("9223372036854775808")],
    [1.7976931348623157e308],
    [D("1E+6000")],
    [math.inf, D("Infinity")],
    [""],
    ["\0"],
    ["\0\0"],
    ["\1"],
    ["a", Symbol("a")],
    ["a\0"],
    ["a\0b"],
    ["aa"],
    ["b"],
    ["é"],
    ["\uffff"],
    ["\U0001f600"],
    [{}],
    [{"a": None}],
    [{"b": None}],
    [{"a": 1}, {"a": 1.0}],
    [{"a": 1, "b": 1}],
    [{"a": 2}],
    [{"a\u0001": 0}],
    [{"b": 0}],
    [{"a": ""}],
    [[]],
    [[None]],
    [[1], [1.0]],
    [[1, None]],
    [[[]]],
    [b"", Binary(b"", 0)],
    [Binary(b"", 5)],
    [b"b"],
    [Binary(b"a", 5)],
    [b"aa"],
    [b"aaaa"],
    [Binary(b"", 2)],
    [ObjectId(b"\0" * 12)],
    [OID],
    [False],
    [True],
    [DatetimeMS(-(2**63))],
    [DatetimeMS(-1)],
    [DatetimeMS(0)],
    [Timestamp(0, 0)],
    [Timestamp(0, 2**32 - 1)],
    [Timestamp(2**32 - 1, 0)],
    [Regex("a"), RawRegex("a", "")],
    [RawRegex("a", "g")],
    [Regex("a", "i")],
    [Regex("ab")],
    [DBPointer("b", OID)],
    [DBPointer("aa", OID)],
    [Code("")],
    [Code("a")],
    [Code("", {})],
    [Code("a", {})],
    [Code("a", {"x": 1})],
    [MaxKey()],
]
"""Groups of equal values, groups in ascending order."""

INDEXED = [(rank, value) for rank, group in enumerate(ASCENDING) for value in group]


def test_known_order() -> None:
    for rank, value in INDEXED:
        for other_rank, other in INDEXED:
            expected = (rank > other_rank) - (rank < other_rank)
            assert order.compare(value, other) == expected, (value, other)
            left, right = order.key(value), order.key(other)
            assert (left > right) - (left < right) == expected, (value, other)
            assert order.equal(value, other) is (expected == 0)


@pytest.mark.parametrize(
    ("rank", "values"),
    [
        (-1, [MinKey()]),
        (0, [UNDEFINED, MISSING]),
        (5, [None]),
        (10, [1, Int64(1), 1.5, D("1")]),
        (15, ["a", Symbol("a")]),
        (20, [{}]),
        (25, [[]]),
        (30, [b"", Binary(b"", 5)]),
        (35, [OID]),
        (40, [True]),
        (45, [DatetimeMS(0)]),
        (47, [Timestamp(0, 0)]),
        (50, [Regex("a"), RawRegex("a", "g")]),
        (55, [DBPointer("a", OID)]),
        (60, [Code("a")]),
        (65, [Code("a", {})]),
        (127, [MaxKey()]),
    ],
)
def test_ranks(rank: int, values: list[Any]) -> None:
    assert [order.type_rank(value) for value in values] == [rank] * len(values)


# Laws


def _values() -> st.SearchStrategy[Any]:
    return bson_values() | st.just(MISSING)


@given(_values(), _values())
def test_key_order_is_compare(a: Any, b: Any) -> None:
    left, right = order.key(a), order.key(b)
    expected = (left > right) - (left < right)
    assert order.compare(a, b) == expected
    assert order.compare(b, a) == -expected
    assert order.equal(a, b) is (expected == 0)
    if left != right:
        assert not left.startswith(right)
        assert not right.startswith(left)


@given(numbers(), numbers())
def test_key_order_is_compare_for_numbers(a: Any, b: Any) -> None:
    left, right = order.key(a), order.key(b)
    expected = (left > right) - (left < right)
    assert order.compare(a, b) == expected
    exact = [_exact(value) for value in (a, b)]
    if None in exact:
        assert expected == (exact[0] is not None) - (exact[1] is not None)
    else:
        assert expected == (exact[0] > exact[1]) - (exact[0] < exact[1])


def _exact(value: Any) -> Any:
    """The number as a Fraction or an infinite float, None for NaN; by other means than `order`."""
    if type(value) is Decimal128:
        with localcontext():
            decimal: Decimal = value.to_decimal()
        if decimal.is_nan():
            return None
        return float(decimal) if decimal.is_infinite() else Fraction(decimal)
    if type(value) is float and not math.isfinite(value):
        return None if math.isnan(value) else value
    return Fraction(value)


@given(st.lists(numbers(), min_size=2, max_size=5))
def test_neighbours_of_a_number(values: list[Any]) -> None:
    near: list[Any] = []
    for value in values:
        if type(value) is float and math.isfinite(value):
            near += [value, math.nextafter(value, math.inf), math.nextafter(value, -math.inf)]
            if abs(value) < 2**63:
                near += [Int64(value) + step for step in (-1, 0, 1) if abs(value + step) < 2**62]
    near = [Int64(value) if type(value) is int else value for value in near]
    for a in near:
        for b in near:
            assert order.compare(a, b) == (a > b) - (a < b)
            assert (order.key(a) > order.key(b)) == (a > b)
            assert (order.key(a) == order.key(b)) == (a == b)


@given(_values(), _values(), _values())
def test_compare_is_transitive(a: Any, b: Any, c: Any) -> None:
    first, second, third = sorted([a, b, c], key=cmp_to_key(order.compare))
    assert order.compare(first, second) <= 0
    assert order.compare(second, third) <= 0
    assert order.compare(first, third) <= 0


Parts = st.lists(st.tuples(_values(), st.booleans()), min_size=1, max_size=3)


@given(Parts, st.lists(_values(), min_size=3, max_size=3))
def test_keys_concatenate(parts: list[tuple[Any, bool]], others: list[Any]) -> None:
    def key(values: list[Any]) -> bytes:
        keys = [order.key(value) for value in values]
        turned = [
            order.descending(one) if down else one
            for one, (_, down) in zip(keys, parts, strict=True)
        ]
        return b"".join(turned)

    left = [value for value, _ in parts]
    right = others[: len(parts)]
    expected = 0
    for a, b, (_, down) in zip(left, right, parts, strict=True):
        expected = expected or (order.compare(b, a) if down else order.compare(a, b))
    assert (key(left) > key(right)) - (key(left) < key(right)) == expected


@given(_values())
def test_keys_lie_in_their_bracket(value: Any) -> None:
    low, high = order.bracket(order.type_rank(value))
    assert low <= order.key(value) < high


@given(bson_values(), bson_values())
def test_collation_orders_strings_at_every_depth(a: Any, b: Any) -> None:
    collation = CaseBlind()
    left, right = order.key(a, collation), order.key(b, collation)
    assert order.compare(a, b, collation) == (left > right) - (left < right)


def test_collation_sees_values_and_not_names() -> None:
    collation = CaseBlind()
    assert order.equal("A", "a", collation)
    assert order.equal(Symbol("A"), "a", collation)
    assert order.equal([{"x": "A"}], [{"x": "a"}], collation)
    assert not order.equal({"X": 1}, {"x": 1}, collation)
    assert not order.equal("A", "a")


@given(bson_values(), bson_values())
def test_identical_is_same_bytes(a: Any, b: Any) -> None:
    same = bson_codec.encode({"": a}) == bson_codec.encode({"": b})
    assert order.identical(a, b) is same
    assert order.identical(a, bson_codec.decode(bson_codec.encode({"": a}))[""])


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (1, 1, True), (1, 1.0, False), (1, True, False), (1, Int64(1), False),
        (2**40, Int64(2**40), True), (0.0, -0.0, False), (math.nan, math.nan, True),
        (b"", Binary(b"", 0), True), (b"", Binary(b"", 5), False), (D("1"), D("1.0"), False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, False), ([1], [1.0], False),
        ("a", Symbol("a"), False), (MISSING, None, False), (MISSING, MISSING, True),
        (None, None, True), (Code("a"), Code("a", {}), False),
    ],
)  # fmt: skip
def test_identical(a: Any, b: Any, same: bool) -> None:
    assert order.identical(a, b) is same
    assert order.identical({"x": a} if a is not MISSING else a, {"x": b}) is same or a is MISSING


def test_deep_values_do_not_recurse_too_far() -> None:
    """200 levels within the default recursion limit, beneath a deep stack of callers."""

    def beneath(frames: int, work: Any) -> Any:
        return work() if frames == 0 else beneath(frames - 1, work)

    for wrap in (lambda value: {"a": value}, lambda value: [value]):
        a: Any = 1
        b: Any = 2
        for _ in range(200):
            a, b = wrap(a), wrap(b)
        assert beneath(300, lambda a=a, b=b: order.compare(a, b)) == -1
        assert beneath(300, lambda a=a, b=b: order.key(a) < order.key(b))
        assert beneath(300, lambda a=a: order.equal(a, a))
