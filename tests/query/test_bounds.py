"""Bounds of predicates: their text as `explain` shows it, exactness, and the laws behind them."""

from __future__ import annotations

import os
from typing import Any

import pytest
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from strategies import bson_values

from psdb_base import order
from psdb_base.errors import MongoError
from psdb_query import bounds
from psdb_query.bounds import FieldBounds, Scope, field_bounds
from psdb_query.bounds_index import IndexBounds, IndexField, Predicates, index_bounds
from psdb_query.bounds_keys import component_ends, split
from psdb_query.bounds_ranges import Column, key_ranges
from psdb_query.bounds_text import bounds_text, value_text
from psdb_query.context import DEFAULT_CONTEXT
from psdb_query.filters import compile_filter

EXAMPLES = settings(
    max_examples=int(os.environ.get("PSDB_BOUNDS_EXAMPLES", "200")), deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip

OID = ObjectId("507f1f77bcf86cd799439011")
OID_TEXT = "ObjectId('507f1f77bcf86cd799439011')"
FULL = ["[MinKey, MaxKey]"]


def bounds_of(condition: Any, *, multikey: bool = False) -> FieldBounds:
    tree = compile_filter({"a": condition}, DEFAULT_CONTEXT).tree
    return field_bounds(tree, Scope(multikey=multikey))


# condition, intervals, exact
CASES: list[tuple[Any, list[str], bool]] = [
    (5, ["[5, 5]"], True),
    (5.5, ["[5.5, 5.5]"], True),
    (5.0, ["[5.0, 5.0]"], True),
    (Int64(5), ["[5, 5]"], True),
    (Decimal128("5.10"), ["[5.10, 5.10]"], True),
    ("x", ['["x", "x"]'], True),
    (True, ["[true, true]"], True),
    (None, ["[null, null]"], True),
    (OID, ["[ObjectId('507f1f77bcf86cd799439011'), ObjectId('507f1f77bcf86cd799439011')]"], True),
    (DatetimeMS(5), ["[new Date(5), new Date(5)]"], True),
    ({"b": 1}, ["[{ b: 1 }, { b: 1 }]"], True),
    (MinKey(), ["[MinKey, MinKey]"], True),
    (MaxKey(), ["[MaxKey, MaxKey]"], True),
    (float("nan"), ["[nan.0, nan.0]"], True),
    ([1, 2], ["[1, 1]", "[[ 1, 2 ], [ 1, 2 ]]"], False),
    ([], ["[undefined, undefined]", "[[], []]"], False),
    ({"$eq": 5}, ["[5, 5]"], True),
    ({"$gt": 5}, ["(5, inf.0]"], True),
    ({"$gte": 5}, ["[5, inf.0]"], True),
    ({"$lt": 5}, ["[-inf.0, 5)"], True),
    ({"$lte": 5}, ["[-inf.0, 5]"], True),
    ({"$gt": "x"}, ['("x", {})'], True),
    ({"$gte": "x"}, ['["x", {})'], True),
    ({"$lt": "x"}, ['["", "x")'], True),
    ({"$lt": {"b": 1}}, ["[{}, { b: 1 })"], True),
    ({"$gt": {"b": 1}}, ["({ b: 1 }, [])"], True),
    ({"$gt": True}, [], True),
    ({"$gte": True}, ["[true, true]"], True),
    ({"$lt": True}, ["[false, true)"], True),
    ({"$gt": False}, ["(false, true]"], True),
    ({"$gt": DatetimeMS(5)}, ["(new Date(5), new Date(9223372036854775807)]"], True),
    ({"$lt": DatetimeMS(5)}, ["[new Date(-9223372036854775808), new Date(5))"], True),
    ({"$gt": OID}, [f"({OID_TEXT}, ObjectId('ffffffffffffffffffffffff')]"], True),
    ({"$lt": OID}, [f"[ObjectId('000000000000000000000000'), {OID_TEXT})"], True),
    ({"$gt": float("nan")}, [], True),
    ({"$gte": float("nan")}, ["[nan.0, nan.0]"], True),
    ({"$gt": None}, [], False),
    ({"$gte": None}, ["[undefined, undefined]", "[null, null]"], False),
    ({"$gt": [1]}, FULL, False),
    ({"$gt": MinKey()}, FULL, False),
    ({"$lt": MaxKey()}, FULL, False),
    ({"$gt": MaxKey()}, [], True),
    ({"$lte": MinKey()}, ["[MinKey, MinKey]"], True),
    ({"$gt": 1, "$lt": 5}, ["(1, 5)"], True),
    ({"$gte": 1, "$lte": 1}, ["[1, 1]"], True),
    ({"$gt": 5, "$lt": 1}, [], True),
    ({"$gt": 1, "$lt": "x"}, [], True),
    ({"$in": [3, 1, 2]}, ["[1, 1]", "[2, 2]", "[3, 3]"], True),
    ({"$in": [1, 1.0, Int64(1)]}, ["[1, 1]"], True),
    ({"$in": []}, [], True),
    ({"$in": ["b", 1, None]}, ["[null, null]", "[1, 1]", '["b", "b"]'], True),
    ({"$in": [1, Regex("^b")]}, ["[1, 1]", '["b", "c")', "[/^b/, /^b/]"], True),
    (Regex("^ab"), ['["ab", "ac")', "[/^ab/, /^ab/]"], True),
    (Regex("^ab", "i"), ['["", {})', "[/^ab/, /^ab/]"], False),
    (Regex("ab"), ['["", {})', "[/ab/, /ab/]"], False),
    (Regex("^ab.*c"), ['["ab", "ac")', "[/^ab.*c/, /^ab.*c/]"], False),
    (Regex("^a|b"), ['["", {})', "[/^a|b/, /^a|b/]"], False),
    ({"$regex": "^a\\.b"}, ['["a.b", "a.c")', "[/^a\\.b/, /^a\\.b/]"], True),
    ({"$exists": True}, FULL, False),
    ({"$exists": False}, ["[null, null]"], False),
    ({"$ne": 5}, ["[MinKey, 5)", "(5, MaxKey]"], True),
    ({"$ne": None}, ["[MinKey, null)", "(null, MaxKey]"], True),
    ({"$nin": [1, 3]}, ["[MinKey, 1)", "(1, 3)", "(3, MaxKey]"], True),
    ({"$not": {"$gt": 5}}, ["[MinKey, 5]", "(inf.0, MaxKey]"], True),
    ({"$not": {"$gt": 1, "$lt": 5}}, ["[MinKey, 1]", "[5, MaxKey]"], True),
    ({"$not": Regex("^a")}, ['[MinKey, "a")', '["b", /^a/)', "(/^a/, MaxKey]"], True),
    ({"$not": Regex("a")}, FULL, False),
    ({"$not": {"$exists": True}}, ["[null, null]"], False),
    ({"$type": "string"}, ['["", {})'], False),
    ({"$type": "number"}, ["[nan.0, inf.0]"], True),
    ({"$type": "int"}, ["[nan.0, inf.0]"], False),
    ({"$type": "bool"}, ["[false, true]"], True),
    ({"$type": "array"}, FULL, False),
    ({"$type": "null"}, ["[null, null]"], False),
    ({"$type": ["bool", "date"]},
     ["[false, true]", "[new Date(-9223372036854775808), new Date(9223372036854775807)]"], True),
    ({"$mod": [4, 0]}, ["[nan.0, inf.0]"], False),
    ({"$size": 2}, FULL, False),
    ({"$elemMatch": {"$gt": 1, "$lt": 5}}, ["(1, 5)"], False),
    ({"$elemMatch": {"$in": [1, 2]}}, ["[1, 1]", "[2, 2]"], False),
    ({"$elemMatch": {"$elemMatch": {"$gt": 1}}}, FULL, False),
    ({"$all": [1]}, ["[1, 1]"], True),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "intervals", "exact"), CASES, ids=lambda v: str(v)[:40])
def test_bounds_of_a_condition(condition: Any, intervals: list[str], exact: bool) -> None:
    found = bounds_of(condition)
    assert bounds_text(found) == intervals
    assert found.exact == exact


# condition, intervals behind arrays, exact
MULTIKEY_CASES: list[tuple[Any, list[str], bool]] = [
    (5, ["[5, 5]"], True),
    (None, ["[null, null]"], False),
    ({"$ne": 5}, ["[MinKey, 5)", "(5, MaxKey]"], False),
    ({"$ne": None}, FULL, False),
    ({"$gt": 1, "$lt": 5}, ["(1, inf.0]"], False),
    ({"$gt": 1, "$in": [2, 3]}, ["[2, 2]", "[3, 3]"], False),
    ({"$elemMatch": {"$gt": 1, "$lt": 5}}, ["(1, 5)"], False),
    ({"$not": {"$gt": 1}}, ["[MinKey, 1]", "(inf.0, MaxKey]"], False),
]


@pytest.mark.parametrize(("condition", "intervals", "exact"), MULTIKEY_CASES, ids=str)
def test_bounds_behind_arrays(condition: Any, intervals: list[str], exact: bool) -> None:
    found = bounds_of(condition, multikey=True)
    assert bounds_text(found) == intervals
    assert found.exact == exact


PRESENT = [5, {"$gt": 5}, {"$ne": None}, {"$exists": True}, {"$type": "int"}, {"$in": [1, "x"]},
           {"$elemMatch": {"$gt": 1}}, Regex("a"), {"$mod": [2, 1]}]  # fmt: skip
ABSENT = [None, {"$ne": 5}, {"$exists": False}, {"$in": [1, None]}, {"$not": {"$gt": 1}},
          {"$gte": None}, {"$nin": [1]}]  # fmt: skip


@pytest.mark.parametrize(
    ("condition", "present"), [(c, True) for c in PRESENT] + [(c, False) for c in ABSENT], ids=str
)
def test_whether_a_missing_field_can_match(condition: Any, present: bool) -> None:
    assert bounds_of(condition).present == present


def test_descending_text() -> None:
    assert bounds_text(bounds_of({"$gt": 1, "$lte": 5}), descending=True) == ["[5, 1)"]
    assert bounds_text(bounds_of({"$ne": 5}), descending=True) == ["[MaxKey, 5)", "(5, MinKey]"]
    assert value_text(1e300) == "1e+300"


# Laws.

PLAIN = st.one_of(
    st.integers(-3, 3), st.sampled_from([1.5, float("nan"), "", "a", "ab", "b", None, True, {}]),
    bson_values().filter(lambda value: type(value) is not list),
)  # fmt: skip
OPERATORS = st.one_of(
    st.fixed_dictionaries({"$eq": PLAIN}),
    st.dictionaries(st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), PLAIN, min_size=1, max_size=2),
    st.fixed_dictionaries({"$in": st.lists(PLAIN, max_size=3)}),
    st.fixed_dictionaries({"$ne": PLAIN}),
    st.fixed_dictionaries({"$type": st.sampled_from(["int", "string", "number", "null", "bool"])}),
    st.fixed_dictionaries({"$exists": st.booleans()}),
    st.fixed_dictionaries({"$regex": st.sampled_from(["^a", "b", "^ab?", "^a.*"])}),
)
CONDITIONS = OPERATORS | OPERATORS.map(lambda inner: {"$not": inner})


@EXAMPLES
@given(CONDITIONS, PLAIN, st.booleans())
def test_bounds_let_through_what_matches(condition: Any, value: Any, missing: bool) -> None:
    try:
        filter_ = compile_filter({"a": condition}, DEFAULT_CONTEXT)
    except MongoError:
        reject()  # an operand that the language refuses
    found = field_bounds(filter_.tree, Scope())
    document = {} if missing else {"a": value}
    key = order.key(document.get("a"))
    within = bounds.contains(found.intervals, key)
    if filter_.matches(document, {}):
        assert within
        assert not (missing and found.present)
    elif found.exact:
        assert not within


@EXAMPLES
@given(CONDITIONS, CONDITIONS, PLAIN)
def test_intervals_are_a_set_algebra(left: Any, right: Any, value: Any) -> None:
    try:
        a, b = bounds_of(left).intervals, bounds_of(right).intervals
    except MongoError:
        reject()  # an operand that the language refuses
    key = order.key(value)
    in_a, in_b = bounds.contains(a, key), bounds.contains(b, key)
    assert bounds.contains(bounds.union((*a, *b)), key) == (in_a or in_b)
    assert bounds.contains(bounds.intersect(a, b), key) == (in_a and in_b)
    assert bounds.contains(bounds.complement(a), key) != in_a
    assert bounds.is_within(bounds.intersect(a, b), a)
    for intervals in (a, b, bounds.union((*a, *b)), bounds.complement(a)):
        edges = [cut for interval in intervals for cut in (interval.low, interval.high)]
        assert edges == sorted(set(edges))


@EXAMPLES
@given(st.lists(st.tuples(bson_values(), st.booleans()), min_size=1, max_size=4))
def test_compound_keys_come_apart(parts: list[tuple[Any, bool]]) -> None:
    keys = [order.key(value) for value, _ in parts]
    down = tuple(descending for _, descending in parts)
    joined = [order.descending(key) if d else key for key, d in zip(keys, down, strict=True)]
    whole = b"".join(joined)
    assert split(whole, down) == keys
    assert component_ends(whole + b"tail", down)[-1] == len(whole)


VALUE = st.one_of(st.integers(0, 4), st.sampled_from(["a", "b", None]))
FIELDS = st.lists(CONDITIONS, min_size=1, max_size=3)


@EXAMPLES
@given(FIELDS, st.lists(st.booleans(), min_size=3, max_size=3),
       st.lists(st.tuples(VALUE, VALUE, VALUE), max_size=20))  # fmt: skip
def test_ranges_and_checks_hold_what_the_bounds_hold(
    conditions: list[Any], down: list[bool], rows: list[tuple[Any, ...]]
) -> None:
    """Walk sorted keys as a scan does, both ways, and compare with the bounds themselves."""
    try:
        fields = [bounds_of(condition) for condition in conditions]
    except MongoError:
        reject()  # an operand that the language refuses
    columns = [Column(descending=d) for d in down[: len(fields)]]
    ranges = key_ranges(fields, columns)
    keys = sorted(
        {
            b"".join(
                order.descending(order.key(v)) if c.descending else order.key(v)
                for v, c in zip(row, columns, strict=False)
            )
            for row in rows
        }
    )
    flags = tuple(column.descending for column in columns)
    wanted = [
        key for key in keys
        if all(
            bounds.contains(field.intervals, part)
            for field, part in zip(fields, split(key, flags), strict=True)
        )
    ]  # fmt: skip
    assert _walk(keys, ranges, forward=True) == wanted
    assert _walk(keys, ranges, forward=False) == wanted[::-1]


def _walk(keys: list[bytes], ranges: Any, *, forward: bool) -> list[bytes]:
    found = []
    for low, high in ranges.ranges if forward else reversed(ranges.ranges):
        while True:
            left = [key for key in keys if low <= key < high]
            if not left:
                break
            key = left[0] if forward else left[-1]
            target = None
            if ranges.check is not None:
                target = ranges.check.ahead(key) if forward else ranges.check.behind(key)
            if target is None:
                found.append(key)
                low, high = (key + b"\0", high) if forward else (low, key)
            elif forward:
                assert target > key
                low = max(low, target)
            else:
                assert target <= key
                high = min(high, target)
    return found


# Which predicates bound which fields of an index.


def of_index(query: Any, *fields: IndexField) -> IndexBounds:
    tree = compile_filter(query, DEFAULT_CONTEXT).tree
    return index_bounds(Predicates(tree, {}), fields)


def texts(found: IndexBounds) -> list[list[str]]:
    return [bounds_text(part) for part in found.fields]


A, B = IndexField("a"), IndexField("b")
AX, AY = IndexField("a.x", 1), IndexField("a.y", 1)
ABX, ABY = IndexField("a.b.x", 3), IndexField("a.b.y", 3)
POINT = ["[1, 1]"]

# query, fields, their bounds, answered conjuncts
INDEX_CASES: list[tuple[Any, tuple[IndexField, ...], list[list[str]], set[int]]] = [
    ({"a": 1, "b": 1}, (A, B), [POINT, POINT], {0, 1}),
    ({"b": 1}, (A, B), [FULL, POINT], {0}),
    ({"c": 1}, (A, B), [FULL, FULL], set()),
    ({"a": 1, "c": 1}, (A, B), [POINT, FULL], {0}),
    ({"$and": [{"a": {"$gte": 1}}, {"a": {"$lt": 5}}]}, (A,), [["[1, 5)"]], {0, 1}),
    ({"$and": [{"a": {"$gte": 1}}, {"a": {"$lt": 5}}]}, (IndexField("a", 1),),
     [["[1, inf.0]"]], {0}),
    ({"$or": [{"a": 1}, {"a": 5}]}, (A,), [["[1, 1]", "[5, 5]"]], {0}),
    ({"$or": [{"a": 1, "b": 2}, {"a": 5}]}, (A, B), [["[1, 1]", "[5, 5]"], FULL], set()),
    ({"$or": [{"a": 1}, {"b": 5}]}, (A, B), [FULL, FULL], set()),
    ({"$nor": [{"a": 1}]}, (A,), [["[MinKey, 1)", "(1, MaxKey]"]], {0}),
    ({"$nor": [{"a": 1, "b": 2}]}, (A,), [FULL], set()),
    ({"$expr": {"$gt": ["$a", 1]}}, (A,), [["[null, null]", "(1, MaxKey]"]], set()),
    ({"$expr": {"$eq": [1, "$a"]}}, (A,), [POINT], set()),
    ({"$expr": {"$and": [{"$eq": ["$a", 1]}, {"$eq": ["$b", 1]}]}}, (A, B), [POINT, POINT], set()),
    ({"$expr": {"$eq": ["$a", "$b"]}}, (A,), [FULL], set()),
    ({"$expr": {"$eq": ["$a", 1]}}, (IndexField("a", 1),), [FULL], set()),
    # Two fields behind one array: only one element's conditions go together.
    ({"a.x": 1, "a.y": 1}, (AX, AY), [POINT, FULL], {0}),
    ({"a": {"$elemMatch": {"x": 1, "y": 1}}}, (AX, AY), [POINT, POINT], set()),
    ({"a": {"$elemMatch": {"x": 1}}, "a.y": 1}, (AX, AY), [POINT, FULL], set()),
    ({"a": {"$elemMatch": {"x": 1, "y": {"$gt": 1, "$lt": 5}}}}, (AX, AY),
     [POINT, ["(1, 5)"]], set()),
    ({"$and": [{"a": {"$elemMatch": {"x": 1}}}, {"a": {"$elemMatch": {"y": 1}}}]}, (AX, AY),
     [POINT, FULL], set()),
    ({"a": {"$elemMatch": {"b.x": 1, "b.y": 1}}}, (ABX, ABY), [POINT, FULL], set()),
    ({"a.b": {"$elemMatch": {"x": 1, "y": 1}}}, (ABX, ABY), [POINT, POINT], set()),
    ({"a": {"$elemMatch": {"b": {"$elemMatch": {"x": 1, "y": 1}}}}}, (ABX, ABY),
     [POINT, POINT], set()),
    ({"a.x": 1, "b": 1}, (AX, B), [POINT, POINT], {0, 1}),
    ({"a.x": 1, "a.y": 1}, (IndexField("a.x"), IndexField("a.y")), [POINT, POINT], {0, 1}),
    ({"a": {"$elemMatch": {"0": 1}}}, (IndexField("a.0"),), [FULL], set()),
    ({"a": 1}, (IndexField("a", points_only=True),), [POINT], set()),
    ({"a": {"$gt": 1}}, (IndexField("a", points_only=True),), [FULL], set()),
    ({"a": {"$gt": 0, "$in": [1]}}, (IndexField("a", points_only=True),), [POINT], set()),
]


@pytest.mark.parametrize(
    ("query", "fields", "expected", "answered"), INDEX_CASES, ids=lambda v: str(v)[:60]
)
def test_bounds_of_an_index(
    query: Any, fields: tuple[IndexField, ...], expected: list[list[str]], answered: set[int]
) -> None:
    found = of_index(query, *fields)
    assert texts(found) == expected
    assert found.answered == answered


def test_a_position_in_the_path_may_be_a_missing_field() -> None:
    behind = IndexField("a.0", 1)
    assert texts(of_index({"a.0": None}, behind)) == [FULL]
    assert texts(of_index({"a.0": {"$ne": 5}}, behind)) == [FULL]
    assert texts(of_index({"a.0": 1}, behind)) == [POINT]
    assert texts(of_index({"a.0": None}, IndexField("a.0"))) == [["[null, null]"]]
