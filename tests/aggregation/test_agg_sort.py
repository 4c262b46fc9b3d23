"""`$sort`, `$limit`, `$skip`, `$sample`, and the form of pipelines."""

from __future__ import annotations

from typing import Any

import pytest
from agg_kit import Case, Fails, case, check, params
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

from psdb_base.values import UNDEFINED

Doc = dict[str, Any]
D = Decimal128
NAN = float("nan")


def order(
    spec: Doc, *found: Doc, page: str = "sort", then: tuple[Doc, ...] = (), **options: Any
) -> Case:
    """A case whose documents are given in sorted order and enter in another."""
    docs = list(found)
    shuffled = docs[1::2] + docs[0::2]
    return case(page, shuffled[::-1], [{"$sort": spec}, *then], docs, **options)


def v(*found: Any) -> list[Doc]:
    return [{"v": value} for value in found]


TYPES = v(
    MinKey(), [], None, NAN, -5, 0.5, Int64(1), D("1.5"), 2, float("inf"), "", "A", "a",
    {}, {"a": 1}, b"", Binary(b"a", 5), ObjectId("0" * 24), False, True, DatetimeMS(-1),
    DatetimeMS(5), Timestamp(1, 1), Regex("a"), Code("x"), MaxKey(),
)  # fmt: skip
SORT = [
    order({"v": 1}, *TYPES),
    order({"v": -1}, *TYPES[::-1]),
    order(
        {"a": 1, "b": -1}, {"a": 1, "b": 2}, {"a": 1, "b": 1}, {"a": 2, "b": 9}, {"a": 2, "b": 0}
    ),
    order({"a": -1, "b": 1}, {"a": "y", "b": 1}, {"a": "y", "b": 2}, {"a": "x", "b": 0}),
    order({"a.b": 1}, {"a": {"b": 1}}, {"a": {"b": 2}}, {"a": {"b": 3, "c": 1}}),
    order({"a.b": -1}, {"a": [{"b": 1}, {"b": 9}]}, {"a": {"b": 5}}, {"a": [{"b": 2}]}),
    order({"a.b": 1}, {"a": [{"b": 1}, {"b": 9}]}, {"a": [{"b": 2}]}, {"a": {"b": 5}}),
    order({"v": 1}, {"v": [3, 1]}, {"v": 2}, {"v": [4, 3]}),
    order({"v": -1}, {"v": [0, 9]}, {"v": 5}, {"v": [1, 2]}),
    order({"v": 1}, {"v": []}, {"v": None, "_": 1}, {"v": 1}),
    order({"v": 1}, {"v": "a"}, {"v": ["c", "b"]}, {"v": "c"}),
    order({"v": 1}, {"v": [[1], 2]}, {"v": 3}, {"v": [[5]]}),
    order({"v.0": 1}, {"v": [1, 9]}, {"v": [2, 0]}, {"v": [3]}),
    order(
        {"a.x": 1, "a.y": -1},
        {"a": [{"x": 1, "y": 5}, {"x": 9, "y": 9}]},
        {"a": [{"x": 1, "y": 4}]},
        {"a": [{"x": 2}]},
    ),
    order({"v": 1}, *v(1, 1.5, 2, Int64(3), 3.5)),
    order({"v": -1}, *v(5, 4.5, Int64(4), 3)),
    order({"v": 1}, *v(DatetimeMS(-10), DatetimeMS(0), DatetimeMS(7))),
    order({"v": 1}, *v(D("-1"), D("0.1"), 0.1, D("0.11"))),
    order({"v": 1}, {"x": 1}, {"v": 1}, {"v": 2}),
    order({"v": -1}, {"v": 2}, {"v": 1}, {"x": 1}),
    order({"v": 1.0}, *v(1, 2)),
    order({"v": Int64(-1)}, *v(2, 1)),
    order({"v": D("1")}, *v(1, 2)),
    case(
        "sort",
        [{"v": None, "n": 1}, {"n": 2}, {"v": None, "n": 3}],
        [{"$sort": {"v": 1}}],
        [{"v": None, "n": 1}, {"n": 2}, {"v": None, "n": 3}],
    ),
    case(
        "sort",
        [{"k": 1, "n": 1}, {"k": 1, "n": 2}, {"k": 0, "n": 3}, {"k": 1, "n": 4}],
        [{"$sort": {"k": -1}}],
        [{"k": 1, "n": 1}, {"k": 1, "n": 2}, {"k": 1, "n": 4}, {"k": 0, "n": 3}],
    ),
    case("sort", v(2, 1), [{"$sort": {}}], Fails(15976)),
    case("sort", v(2, 1), [{"$sort": 1}], Fails(15973)),
    case("sort", v(2, 1), [{"$sort": {"v": "x"}}], Fails(15974, 'v: "x"')),
    case("sort", v(2, 1), [{"$sort": {"v": True}}], Fails(15974)),
    case("sort", v(2, 1), [{"$sort": {"v": 2}}], Fails(15975)),
    case("sort", v(2, 1), [{"$sort": {"v": 0}}], Fails(15975)),
    case("sort", v(2, 1), [{"$sort": {"v": {"$foo": 1}}}], Fails(17312)),
    case("sort", v(2, 1), [{"$sort": {"v": {"$meta": "nope"}}}], Fails(31138)),
    case("sort", v(2, 1), [{"$sort": {"v": {"$meta": "textScore", "b": 1}}}], Fails(9)),
    case("sort", v(2, 1), [{"$sort": {"": 1}}], Fails(40352)),
    case("sort", v(2, 1), [{"$sort": {"a.": 1}}], Fails(40353)),
    case("sort", v(2, 1), [{"$sort": {"a..b": 1}}], Fails(15998)),
    case("sort", v(2, 1), [{"$sort": {"$a": 1}}], Fails(16410)),
    case("sort", v(2, 1), [{"$sort": {f"f{i}": 1 for i in range(33)}}], Fails(13103)),
    case(
        "sort",
        [{"a": [1, 2], "b": [1, 2]}, {"a": 1}],
        [{"$sort": {"a": 1, "b": 1}}],
        Fails(2, "parallel arrays"),
    ),
    order({"v": 1}, *v(*range(50)), then=({"$limit": 1000},)),
]
NUMBERS = v(*range(20))
L = "limit"
SLICES = [
    case(L, NUMBERS, [{"$limit": 3}], NUMBERS[:3]),
    case(L, NUMBERS, [{"$limit": 100}], NUMBERS),
    case(L, NUMBERS, [{"$limit": Int64(1)}], NUMBERS[:1]),
    case(L, NUMBERS, [{"$limit": 2.0}], NUMBERS[:2]),
    case(L, NUMBERS, [{"$limit": D("2")}], NUMBERS[:2]),
    case(L, NUMBERS, [{"$limit": 5}, {"$limit": 9}], NUMBERS[:5]),
    case(L, NUMBERS, [{"$limit": 0}], Fails(15958, "the limit must be positive")),
    case(
        L,
        NUMBERS,
        [{"$limit": -1}],
        Fails(
            5107201,
            "invalid argument to $limit stage: Expected a non-negative number in: $limit: -1",
        ),
    ),
    case(L, NUMBERS, [{"$limit": 1.5}], Fails(5107201, "Expected an integer: $limit: 1.5")),
    case(L, NUMBERS, [{"$limit": "1"}], Fails(5107201, 'Expected a number in: $limit: "1"')),
    case(
        L,
        NUMBERS,
        [{"$limit": float("inf")}],
        Fails(5107201, "Cannot represent as a 64-bit integer"),
    ),
    case(L, NUMBERS, [{"$limit": 1e30}], Fails(5107201, "Cannot represent as a 64-bit integer")),
    case(L, NUMBERS, [{"$limit": None}], Fails(5107201)),
    case("skip", NUMBERS, [{"$skip": 3}], NUMBERS[3:]),
    case("skip", NUMBERS, [{"$skip": 0}], NUMBERS),
    case("skip", NUMBERS, [{"$skip": 100}], []),
    case("skip", NUMBERS, [{"$skip": 3}, {"$skip": 4}], NUMBERS[7:]),
    case("skip", NUMBERS, [{"$skip": 3}, {"$limit": 4}], NUMBERS[3:7]),
    case("skip", NUMBERS, [{"$limit": 4}, {"$skip": 3}], NUMBERS[3:4]),
    case("skip", NUMBERS, [{"$skip": 1}, {"$limit": 9}, {"$skip": 2}, {"$limit": 3}], NUMBERS[3:6]),
    case("skip", NUMBERS, [{"$skip": -1}], Fails(5107200, "Expected a non-negative number")),
    case("skip", NUMBERS, [{"$skip": "x"}], Fails(5107200)),
    case("skip", NUMBERS, [{"$sort": {"v": -1}}, {"$skip": 2}, {"$limit": 2}], v(17, 16)),
    case(
        "skip",
        NUMBERS,
        [{"$sort": {"v": -1}}, {"$project": {"v": 1}}, {"$skip": 2}, {"$limit": 2}],
        v(17, 16),
    ),
    case(
        "skip",
        NUMBERS,
        [{"$sort": {"v": -1}}, {"$match": {"v": {"$lt": 10}}}, {"$limit": 2}],
        v(9, 8),
    ),
    case("skip", NUMBERS, [{"$skip": Int64(2**63 - 1)}, {"$limit": Int64(2**63 - 1)}], []),
    case("topk", NUMBERS * 3, [{"$sort": {"v": 1}}, {"$limit": 4}], v(0, 0, 0, 1)),
    case("topk", v("b", 3, None, "a"), [{"$sort": {"v": 1}}, {"$limit": 3}], v(None, 3, "a")),
    case("sample", NUMBERS, [{"$sample": {"size": 20}}, {"$sort": {"v": 1}}], NUMBERS),
    case("sample", NUMBERS, [{"$sample": {"size": 7}}, {"$count": "n"}], [{"n": 7}]),
    case("sample", NUMBERS, [{"$sample": {"size": 100}}, {"$count": "n"}], [{"n": 20}]),
    case("sample", [], [{"$sample": {"size": 1}}], []),
    case("sample", NUMBERS, [{"$sample": 1}], Fails(28745)),
    case("sample", NUMBERS, [{"$sample": {"size": "x"}}], Fails(28746)),
    case("sample", NUMBERS, [{"$sample": {"size": -1}}], Fails(28747)),
    case("sample", NUMBERS, [{"$sample": {"x": 1}}], Fails(28748)),
    case("sample", NUMBERS, [{"$sample": {}}], Fails(28749)),
]
F = "form"
FORM = [
    case(F, NUMBERS, [], NUMBERS),
    case(F, NUMBERS, [1], Fails(14, "Each element of the 'pipeline' array must be an object")),
    case(F, NUMBERS, [{}], Fails(40323)),
    case(F, NUMBERS, [{"$match": {}, "$limit": 1}], Fails(40323)),
    case(F, NUMBERS, [{"$foo": 1}], Fails(40324, "Unrecognized pipeline stage name: '$foo'")),
    case(F, NUMBERS, [{"match": {}}], Fails(40324)),
    case(F, NUMBERS, [{"$limit": 1}] * 1001, Fails(7749501, "1000 stages")),
    case(F, NUMBERS, [{"$out": "x"}, {"$limit": 1}], Fails(40601)),
    case(F, NUMBERS, [{"$merge": "x"}, {"$limit": 1}], Fails(40601)),
    case(
        F,
        NUMBERS,
        [{"$limit": 1}, {"$geoNear": {"near": [0, 0], "distanceField": "d"}}],
        Fails(40602),
    ),
    case(F, NUMBERS, [{"$limit": 1}, {"$collStats": {}}], Fails(40602)),
    case(F, NUMBERS, [{"$limit": 1}, {"$indexStats": {}}], Fails(40602)),
    case(
        F,
        NUMBERS,
        [{"$documents": []}],
        Fails(73, "'$documents' can only be run with {aggregate: 1}"),
    ),
    case(
        F,
        [],
        [{"$match": {}}],
        Fails(73, "{aggregate: 1} is not valid for '$match'"),
        collection=None,
    ),
    case(F, [], [], Fails(73), collection=None),
    case(F, NUMBERS, [{"$search": {}}], Fails(31082)),
    case(F, NUMBERS, [{"$vectorSearch": {}}], Fails(31082)),
    case(F, NUMBERS, [{"$rankFusion": {}}], Fails(238, "$rankFusion")),
]
CASES = SORT + SLICES + FORM


@pytest.mark.parametrize("one", params(CASES))
def test_case(one: Case) -> None:
    check(one)


def test_undefined_sorts_with_the_empty_array() -> None:
    docs = [{"v": None}, {"v": UNDEFINED}, {"v": []}]
    check(case("sort", docs, [{"$sort": {"v": 1}}], [docs[1], docs[2], docs[0]]))
