"""`$group` keys and accumulators, `$count`, `$sortByCount`."""

from __future__ import annotations

from typing import Any

import pytest
from agg_kit import Case, Fails, case, check, params
from bson.binary import Binary
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId

from psdb_base.values import UNDEFINED

Doc = dict[str, Any]
D = Decimal128
INF = float("inf")
NAN = float("nan")


def values(*found: Any) -> list[Doc]:
    return [{"_id": at, "v": value} for at, value in enumerate(found)]


def grouped(accumulator: Doc, *found: Any, expect: Any, page: str = "", **options: Any) -> Case:
    """A case of one accumulator over `v` in one group."""
    name = next(iter(accumulator))
    expected = expect if isinstance(expect, Fails) else [{"_id": None, "r": expect}]
    return case(
        page or name[1:],
        values(*found),
        [{"$group": {"_id": None, "r": accumulator}}],
        expected,
        **options,
    )


K = "group-key"
KEYS = [
    case(
        K,
        values(1, 1.0, Int64(1), D("1"), True, "1"),
        [{"$group": {"_id": "$v", "n": {"$sum": 1}}}],
        [{"_id": 1, "n": 4}, {"_id": True, "n": 1}, {"_id": "1", "n": 1}],
    ),
    case(
        K,
        [{"v": None}, {}, {"v": UNDEFINED}],
        [{"$group": {"_id": "$v", "n": {"$sum": 1}}}],
        [{"_id": None, "n": 2}, {"_id": UNDEFINED, "n": 1}],
    ),
    case(
        K,
        values(0.0, -0.0, 0, D("-0")),
        [{"$group": {"_id": "$v", "n": {"$sum": 1}}}],
        [{"_id": 0.0, "n": 4}],
    ),
    case(
        K,
        values(NAN, NAN, D("NaN")),
        [{"$group": {"_id": "$v", "n": {"$sum": 1}}}],
        [{"_id": NAN, "n": 3}],
    ),
    case(
        K,
        values(0.5, D("0.5"), D("0.1"), 0.1),
        [{"$group": {"_id": "$v", "n": {"$sum": 1}}}],
        [{"_id": 0.5, "n": 2}, {"_id": D("0.1"), "n": 1}, {"_id": 0.1, "n": 1}],
    ),
    case(
        K,
        values(INF, D("Infinity"), -INF),
        [{"$group": {"_id": "$v", "n": {"$sum": 1}}}],
        [{"_id": INF, "n": 2}, {"_id": -INF, "n": 1}],
    ),
    case(
        K,
        values([1, 2], [1, 2.0], [2, 1], [[1, 2]]),
        [{"$group": {"_id": "$v", "n": {"$sum": 1}}}],
        [{"_id": [1, 2], "n": 2}, {"_id": [2, 1], "n": 1}, {"_id": [[1, 2]], "n": 1}],
    ),
    case(
        K,
        values({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1.0, "b": 2}),
        [{"$group": {"_id": "$v", "n": {"$sum": 1}}}],
        [{"_id": {"a": 1, "b": 2}, "n": 2}, {"_id": {"b": 2, "a": 1}, "n": 1}],
    ),
    case(
        K,
        values(b"x", Binary(b"x", 5), b"x"),
        [{"$group": {"_id": "$v", "n": {"$sum": 1}}}],
        [{"_id": b"x", "n": 2}, {"_id": Binary(b"x", 5), "n": 1}],
    ),
    case(
        K,
        values(ObjectId("0" * 24), ObjectId("0" * 24), DatetimeMS(5), DatetimeMS(5)),
        [{"$group": {"_id": "$v", "n": {"$sum": 1}}}],
        [{"_id": ObjectId("0" * 24), "n": 2}, {"_id": DatetimeMS(5), "n": 2}],
    ),
    case(
        K,
        [{"a": 1, "b": 2}, {"a": 1, "b": 2}, {"a": 1}, {"a": 1, "b": None}],
        [{"$group": {"_id": {"x": "$a", "y": "$b"}, "n": {"$sum": 1}}}],
        [
            {"_id": {"x": 1, "y": 2}, "n": 2},
            {"_id": {"x": 1}, "n": 1},
            {"_id": {"x": 1, "y": None}, "n": 1},
        ],
    ),
    case(K, values(1, 2, 3), [{"$group": {"_id": None}}], [{"_id": None}]),
    case(K, values(1, 2), [{"$group": {"_id": {}}}], [{"_id": {}}]),
    case(K, values(1, 2), [{"$group": {"_id": "constant"}}], [{"_id": "constant"}]),
    case(K, values(1, 2), [{"$group": {"_id": ["$v", 0]}}], [{"_id": [1, 0]}, {"_id": [2, 0]}]),
    case(K, [], [{"$group": {"_id": None, "n": {"$sum": 1}}}], []),
    case(
        K,
        values(1, 2, 3, 4),
        [{"$group": {"_id": {"$mod": ["$v", 2]}, "s": {"$sum": "$v"}}}],
        [{"_id": 1, "s": 4}, {"_id": 0, "s": 6}],
    ),
    case(
        K,
        [{"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, {"a": [{"b": 1}]}],
        [{"$group": {"_id": "$a.b", "n": {"$sum": 1}}}],
        [{"_id": 1, "n": 2}, {"_id": [1], "n": 1}],
    ),
    case(
        K,
        [{"a": {"b": 1, "c": 1}}],
        [{"$group": {"_id": {"x": {"y": "$a.b"}, "z": "$a.c"}}}],
        [{"_id": {"x": {"y": 1}, "z": 1}}],
    ),
    case(K, values(1), [{"$group": {"_id": "$$ROOT"}}], [{"_id": {"_id": 0, "v": 1}}]),
    case(K, values(1), [{"$group": {"_id": "$$x"}}], [{"_id": 9}], let={"x": 9}),
    case(
        K,
        values(2, 1),
        [{"$group": {"_id": "$v"}}, {"$group": {"_id": None, "n": {"$sum": 1}}}],
        [{"_id": None, "n": 2}],
    ),
    case(K, values(1), [{"$group": 1}], Fails(15947)),
    case(K, values(1), [{"$group": {"n": {"$sum": 1}}}], Fails(15955)),
    case(
        K,
        values(1),
        [{"$group": {"_id": 1, "n": 1}}],
        Fails(40234, "The field 'n' must be an accumulator object"),
    ),
    case(K, values(1), [{"$group": {"_id": 1, "n": {}}}], Fails(40234)),
    case(K, values(1), [{"$group": {"_id": 1, "a.b": {"$sum": 1}}}], Fails(40235)),
    case(K, values(1), [{"$group": {"_id": 1, "$a": {"$sum": 1}}}], Fails(40236)),
    case(K, values(1), [{"$group": {"_id": 1, "n": {"$sum": [1, 2]}}}], Fails(40237)),
    case(K, values(1), [{"$group": {"_id": 1, "n": {"$sum": 1, "$avg": 1}}}], Fails(40238)),
    case(
        K,
        values(1),
        [{"$group": {"_id": 1, "n": {"$foo": 1}}}],
        Fails(15952, "unknown group operator '$foo'"),
    ),
    case(K, values(1), [{"$group": {"_id": 1, "$willBeMerged": True}}], Fails(40236)),
]

SUM = {"$sum": "$v"}
SUMS = [
    grouped(SUM, 1, 2, 3, expect=6),
    grouped(SUM, 2**31 - 1, 1, expect=Int64(2**31)),
    grouped(SUM, -(2**31), -1, expect=Int64(-(2**31) - 1)),
    grouped(SUM, Int64(1), 2, expect=Int64(3)),
    grouped(SUM, Int64(2**63 - 1), 1, expect=float(2**63)),
    grouped(SUM, Int64(2**63 - 1), 1, -1, expect=Int64(2**63 - 1)),
    grouped(SUM, 1, 2.5, expect=3.5),
    grouped(SUM, 1, 1.0, expect=2.0),
    grouped(SUM, *[0.1] * 10, expect=1.0),
    grouped(SUM, 1e100, 1.0, -1e100, expect=1.0),
    grouped(SUM, 0.1, 0.2, 0.3, expect=0.6),
    grouped(SUM, 1, D("2.50"), expect=D("3.50")),
    grouped(SUM, 0.5, D("0.1"), expect=D("0.6")),
    grouped(
        SUM, D("1E+6144"), D("9.999999999999999999999999999999999E+6144"), expect=D("Infinity")
    ),
    grouped(SUM, INF, 1, expect=INF),
    grouped(SUM, INF, -INF, expect=NAN),
    grouped(SUM, NAN, 1, expect=NAN),
    grouped(SUM, 1e308, 1e308, expect=INF),
    grouped(SUM, "a", None, True, DatetimeMS(1), [5], expect=0),
    grouped(SUM, 1, "a", 2, expect=3),
    grouped({"$sum": "$nothing"}, 1, 2, expect=0),
    grouped({"$sum": 2}, 1, 2, 3, expect=6),
    grouped({"$sum": 2.5}, 1, 2, expect=5.0),
    grouped({"$sum": Int64(1)}, 1, 2, expect=Int64(2)),
    grouped({"$sum": ["$v"]}, 1, 2, expect=3),
    grouped({"$sum": {"$multiply": ["$v", 2]}}, 1, 2, expect=6),
    grouped({"$sum": {"$cond": [{"$gt": ["$v", 1]}, 1, 0]}}, 1, 2, 3, expect=2),
    grouped({"$sum": "constant"}, 1, expect=0),
]

AVG = {"$avg": "$v"}
AVGS = [
    grouped(AVG, 1, 2, expect=1.5),
    grouped(AVG, 2, 2, expect=2.0),
    grouped(AVG, Int64(4), 2, expect=3.0),
    grouped(AVG, 1, D("2"), expect=D("1.5")),
    grouped(AVG, 1, "x", None, 3, expect=2.0),
    grouped(AVG, "x", expect=None),
    grouped(AVG, None, expect=None),
    grouped(AVG, 0.1, 0.2, 0.3, expect=0.19999999999999998 if 0.6 / 3 != 0.2 else 0.2),
    grouped(AVG, Int64(2**63 - 1), Int64(2**63 - 1), expect=float(2**63 - 1)),
    grouped(AVG, NAN, 1, expect=NAN),
    grouped(AVG, INF, 1, expect=INF),
    grouped(AVG, 1e308, 1e308, 1e308, expect=INF),
    grouped({"$avg": {"$multiply": ["$v", "$v"]}}, 1, 3, expect=5.0),
]

EXTREMES = [
    grouped({"$min": "$v"}, 3, 1, 2, expect=1),
    grouped({"$max": "$v"}, 3, 1, 2, expect=3),
    grouped({"$min": "$v"}, "b", "a", expect="a"),
    grouped({"$max": "$v"}, "b", "a", expect="b"),
    grouped({"$min": "$v"}, "a", 5, None, expect=5),
    grouped({"$max": "$v"}, "a", 5, [1], expect=[1]),
    grouped({"$min": "$v"}, None, None, expect=None),
    grouped({"$max": "$nothing"}, 1, expect=None),
    grouped({"$min": "$v"}, 1.5, 1, D("0.5"), expect=D("0.5")),
    grouped({"$max": "$v"}, 1.5, Int64(2), 2.0, expect=Int64(2)),
    grouped({"$min": "$v"}, 1, NAN, 0, expect=NAN),
    grouped({"$max": "$v"}, 1, NAN, 0, expect=1),
    grouped({"$max": "$v"}, NAN, NAN, expect=NAN),
    grouped({"$min": "$v"}, True, False, expect=False),
    grouped({"$max": "$v"}, {"a": 1}, {"a": 2}, expect={"a": 2}),
    grouped({"$max": "$v"}, DatetimeMS(1), DatetimeMS(-1), expect=DatetimeMS(1)),
    grouped({"$min": "$v"}, UNDEFINED, 3, expect=3),
    grouped({"$minN": {"input": "$v", "n": 2}}, 3, 1, 2, expect=[1, 2]),
    grouped({"$maxN": {"input": "$v", "n": 2}}, 3, 1, 2, expect=[3, 2]),
    grouped({"$maxN": {"input": "$v", "n": 5}}, 3, None, "a", expect=["a", 3]),
    grouped({"$minN": {"input": "$v", "n": 3}}, 1, 1.0, 1, expect=[1, 1.0, 1]),
    grouped({"$minN": {"input": "$v", "n": 1}}, None, expect=[]),
    grouped({"$minN": {"input": "$v", "n": Int64(1)}}, 7, expect=[7]),
    grouped({"$minN": {"input": "$v", "n": 2.0}}, 7, 8, 9, expect=[7, 8]),
    grouped({"$minN": {"input": "$v", "n": 0}}, 7, expect=Fails(5787908)),
    grouped({"$minN": {"input": "$v", "n": 1.5}}, 7, expect=Fails(5787903)),
    grouped({"$minN": {"input": "$v", "n": "a"}}, 7, expect=Fails(5787902)),
    grouped({"$minN": {"input": "$v"}}, 7, expect=Fails(5787906)),
    grouped({"$minN": {"n": 1}}, 7, expect=Fails(5787907)),
    grouped({"$minN": 1}, 7, expect=Fails(5787900)),
    grouped({"$maxN": {"input": 1, "n": 1, "x": 1}}, 7, expect=Fails(5787901)),
]

ENDS = [
    grouped({"$first": "$v"}, 3, 1, 2, expect=3),
    grouped({"$last": "$v"}, 3, 1, 2, expect=2),
    grouped({"$first": "$v"}, None, 2, expect=None),
    grouped({"$first": "$nothing"}, 1, expect=None),
    grouped({"$last": "$nothing"}, 1, expect=None),
    grouped({"$firstN": {"input": "$v", "n": 2}}, 3, 1, 2, expect=[3, 1]),
    grouped({"$lastN": {"input": "$v", "n": 2}}, 3, 1, 2, expect=[1, 2]),
    grouped({"$firstN": {"input": "$v", "n": 5}}, 3, None, expect=[3, None]),
    grouped({"$lastN": {"input": "$x", "n": 5}}, 3, expect=[None]),
    grouped({"$lastN": {"input": "$v", "n": -1}}, 3, expect=Fails(5787908)),
    case(
        "firstN",
        [
            {"g": "G1", "s": 31},
            {"g": "G1", "s": 33},
            {"g": "G2", "s": 66},
            {"g": "G2", "s": 80},
            {"g": "G2", "s": 14},
        ],
        [
            {
                "$group": {
                    "_id": {"gameId": "$g"},
                    "scores": {
                        "$firstN": {
                            "input": "$s",
                            "n": {
                                "$cond": {"if": {"$eq": ["$gameId", "G2"]}, "then": 1, "else": 3}
                            },
                        }
                    },
                }
            }
        ],
        [{"_id": {"gameId": "G1"}, "scores": [31, 33]}, {"_id": {"gameId": "G2"}, "scores": [66]}],
    ),
    case(
        "first",
        [
            {"_id": 1, "item": "abc", "q": 2},
            {"_id": 2, "item": "jkl", "q": 1},
            {"_id": 3, "item": "abc", "q": 9},
        ],
        [
            {"$sort": {"item": 1, "q": -1}},
            {"$group": {"_id": "$item", "f": {"$first": "$q"}, "l": {"$last": "$q"}}},
        ],
        [{"_id": "abc", "f": 9, "l": 2}, {"_id": "jkl", "f": 1, "l": 1}],
    ),
]

LISTS = [
    grouped({"$push": "$v"}, 3, 1, None, expect=[3, 1, None]),
    grouped({"$push": "$nothing"}, 3, expect=[]),
    grouped({"$push": {"i": "$_id", "v": "$v"}}, 3, 4, expect=[{"i": 0, "v": 3}, {"i": 1, "v": 4}]),
    grouped({"$push": "$$ROOT"}, 3, expect=[{"_id": 0, "v": 3}]),
    grouped({"$push": "$v"}, [1], [2], expect=[[1], [2]]),
    grouped({"$addToSet": "$v"}, 1, 2, 1, 1.0, expect=[1, 2]),
    grouped({"$addToSet": "$v"}, [1, 2], [2, 1], [1, 2], expect=[[1, 2], [2, 1]]),
    grouped({"$addToSet": "$v"}, None, None, expect=[None]),
    grouped({"$addToSet": "$nothing"}, 1, expect=[]),
    grouped({"$addToSet": "$v"}, {"a": 1}, {"a": 1}, {"a": 2}, expect=[{"a": 1}, {"a": 2}]),
    grouped({"$addToSet": "$v"}, 1, True, "1", expect=[1, True, "1"]),
    grouped({"$mergeObjects": "$v"}, {"a": 1}, {"b": 2}, {"a": 3}, expect={"a": 3, "b": 2}),
    grouped({"$mergeObjects": "$v"}, {"a": 1}, None, expect={"a": 1}),
    grouped({"$mergeObjects": "$nothing"}, 1, expect={}),
    grouped({"$mergeObjects": "$v"}, 1, expect=Fails(40400)),
    grouped({"$concatArrays": "$v"}, [1], [2, 3], expect=[1, 2, 3]),
    grouped({"$concatArrays": "$v"}, 1, expect=Fails(14)),
    grouped({"$setUnion": "$v"}, [1, 2], [2, 3], expect=[1, 2, 3]),
    grouped({"$setUnion": "$v"}, "a", expect=Fails(14)),
]

COUNTS = [
    grouped({"$count": {}}, 1, 2, 3, expect=3),
    grouped({"$count": {"a": 1}}, 1, expect=Fails(14)),
    grouped({"$count": 1}, 1, expect=Fails(14)),
    case(
        "count",
        values(1, 2, 3),
        [{"$match": {"v": {"$gt": 1}}}, {"$count": "passing"}],
        [{"passing": 2}],
    ),
    case("count", [], [{"$count": "n"}], []),
    case("count", values(1), [{"$count": ""}], Fails(40157)),
    case("count", values(1), [{"$count": 1}], Fails(40156)),
    case("count", values(1), [{"$count": "$a"}], Fails(40158)),
    case("count", values(1), [{"$count": "a.b"}], Fails(40160)),
    case("count", values(1), [{"$count": "_id"}], Fails(9039800)),
    case(
        "sortByCount",
        [{"t": ["a", "b"]}, {"t": ["b"]}],
        [{"$unwind": "$t"}, {"$sortByCount": "$t"}],
        [{"_id": "b", "count": 2}, {"_id": "a", "count": 1}],
    ),
    case(
        "sortByCount",
        values("x", "Y", "y"),
        [{"$sortByCount": {"$toLower": "$v"}}],
        [{"_id": "y", "count": 2}, {"_id": "x", "count": 1}],
    ),
    case("sortByCount", values(1), [{"$sortByCount": "v"}], Fails(40148)),
    case("sortByCount", values(1), [{"$sortByCount": {"v": 1}}], Fails(40147)),
    case("sortByCount", values(1), [{"$sortByCount": 1}], Fails(40149)),
]

DEVIATIONS = [
    grouped({"$stdDevPop": "$v"}, 85, 90, 71, expect=8.04155872120988),
    grouped({"$stdDevSamp": "$v"}, 2, 4, 4, 4, 5, 5, 7, 9, expect=2.138089935299395, whole=True),
    grouped({"$stdDevPop": "$v"}, 2, 4, 4, 4, 5, 5, 7, 9, expect=2.0, whole=True),
    grouped({"$stdDevSamp": "$v"}, 2, expect=None),
    grouped({"$stdDevPop": "$v"}, 2, expect=0.0),
    grouped({"$stdDevPop": "$v"}, "a", None, expect=None),
    grouped({"$stdDevPop": "$v"}, 1, "a", 3, expect=1.0),
    grouped({"$stdDevPop": "$v"}, D("1"), Int64(3), expect=1.0),
    grouped({"$stdDevPop": "$v"}, INF, 1, expect=NAN),
]

RANKS = [
    grouped({"$top": {"output": "$v", "sortBy": {"v": -1}}}, 3, 1, 2, expect=3),
    grouped({"$bottom": {"output": "$v", "sortBy": {"v": -1}}}, 3, 1, 2, expect=1),
    grouped(
        {"$topN": {"n": 2, "output": ["$_id", "$v"], "sortBy": {"v": -1}}},
        3,
        1,
        2,
        expect=[[0, 3], [2, 2]],
    ),
    grouped({"$bottomN": {"n": 2, "output": "$_id", "sortBy": {"v": 1}}}, 3, 1, 2, expect=[2, 0]),
    grouped({"$topN": {"n": 9, "output": "$x", "sortBy": {"v": 1}}}, 3, expect=[None]),
    grouped(
        {"$topN": {"n": 2, "output": "$_id", "sortBy": {"v": 1, "_id": -1}}}, 1, 1, 1, expect=[2, 1]
    ),
    grouped({"$top": {"output": "$_id", "sortBy": {"v": 1}}}, [5, 1], 2, expect=0),
    grouped({"$top": {"output": "$_id", "sortBy": {"v": -1}}}, "a", 2, None, expect=0),
    grouped({"$top": {"output": "$v"}}, 1, expect=Fails(5788005)),
    grouped({"$top": {"sortBy": {"v": 1}}}, 1, expect=Fails(5788004)),
    grouped({"$topN": {"output": "$v", "sortBy": {"v": 1}}}, 1, expect=Fails(5788003)),
    grouped({"$top": {"n": 1, "output": "$v", "sortBy": {"v": 1}}}, 1, expect=Fails(5788002)),
    grouped({"$top": 1}, 1, expect=Fails(5788001)),
    grouped({"$top": {"output": "$v", "sortBy": 1}}, 1, expect=Fails(5788604)),
    grouped({"$topN": {"n": 0, "output": "$v", "sortBy": {"v": 1}}}, 1, expect=Fails(5787908)),
    grouped({"$top": {"output": "$v", "sortBy": {"v": "x"}}}, 1, expect=Fails(15974)),
]


def percentile(p: list[float], *found: Any, expect: Any) -> Case:
    spec = {"$percentile": {"input": "$v", "p": p, "method": "approximate"}}
    return grouped(spec, *found, expect=expect)


def median(*found: Any, expect: Any) -> Case:
    return grouped({"$median": {"input": "$v", "method": "approximate"}}, *found, expect=expect)


QUANTILES = [
    percentile([0.5], 1, 2, 3, 4, expect=[2.0]),
    percentile([0, 0.25, 0.5, 0.75, 1], 10, 20, 30, 40, expect=[10.0, 10.0, 20.0, 30.0, 40.0]),
    percentile([0.95], 67, 72, 56, expect=[72.0]),
    percentile([0.95], "a", expect=[None]),
    percentile([0.9, 0.1], 1, "x", 5, expect=[5.0, 1.0]),
    percentile([0.5], D("1.5"), Int64(2), expect=[1.5]),
    percentile([], 1, expect=Fails(7750301)),
    percentile([1.5], 1, expect=Fails(7750303)),
    percentile(["a"], 1, expect=Fails(7750302)),  # type: ignore[list-item]
    median(3, 1, 2, expect=2.0),
    median(4, 1, 2, 3, expect=2.0),
    median(7, expect=7.0),
    median("a", expect=None),
    median(-INF, 0, INF, expect=0.0),
    grouped({"$median": {"input": "$v"}}, 1, expect=Fails(40414)),
    grouped({"$median": {"input": "$v", "method": "exact"}}, 1, expect=Fails(2)),
    grouped({"$median": {"input": "$v", "method": "approximate", "p": 1}}, 1, expect=Fails(40415)),
    grouped({"$median": 1}, 1, expect=Fails(7436100)),
]


class Script:
    """A stand-in for the script engine: the source is the name of a function."""

    FUNCTIONS = {  # noqa: RUF012
        "zero": lambda *args: args[0] if args else 0,
        "plus": lambda state, value: state + value,
        "double": lambda state: state * 2,
    }

    def compile_function(self, source: str) -> Any:
        function = self.FUNCTIONS[source]
        return lambda arguments: function(*arguments)


def scripted(**fields: Any) -> Doc:
    spec = {"init": "zero", "accumulate": "plus", "accumulateArgs": ["$v"], "merge": "plus",
            "lang": "js", **fields}  # fmt: skip
    return {"$accumulator": {name: value for name, value in spec.items() if value != "absent"}}


SCRIPTS = [
    grouped(scripted(), 1, 2, 3, expect=6, javascript=Script()),
    grouped(scripted(finalize="double"), 1, 2, 3, expect=12, javascript=Script()),
    grouped(scripted(), 1, expect=Fails(31264)),
    grouped(scripted(init="absent"), 1, expect=Fails(4544707), javascript=Script()),
    grouped(scripted(accumulate="absent"), 1, expect=Fails(4544708), javascript=Script()),
    grouped(scripted(merge="absent"), 1, expect=Fails(4544709), javascript=Script()),
    grouped(scripted(accumulateArgs="absent"), 1, expect=Fails(4544710), javascript=Script()),
    grouped(scripted(init="$v"), 1, expect=Fails(4544701), javascript=Script()),
    grouped(scripted(init=5), 1, expect=Fails(4544702), javascript=Script()),
    grouped(scripted(lang=5), 1, expect=Fails(4544704), javascript=Script()),
    grouped(scripted(lang="py"), 1, expect=Fails(4544705), javascript=Script()),
    grouped(scripted(x=5), 1, expect=Fails(4544706), javascript=Script()),
    grouped(scripted(initArgs="$v"), 1, expect=Fails(4544711), javascript=Script()),
    grouped(scripted(accumulateArgs="$v"), 1, expect=Fails(4544712), javascript=Script()),
    grouped({"$accumulator": 1}, 1, expect=Fails(4544703), javascript=Script()),
]
CASES = (
    KEYS + SUMS + AVGS + EXTREMES + ENDS + LISTS + COUNTS + DEVIATIONS + RANKS + QUANTILES + SCRIPTS
)


@pytest.mark.parametrize("one", params(CASES))
def test_case(one: Case) -> None:
    check(one)
