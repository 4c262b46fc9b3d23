"""`$setWindowFields`: bounds, accumulators in windows, ranks, series; `$densify` and `$fill`."""

from __future__ import annotations

from typing import Any

import pytest
from agg_kit import Case, Fails, case, check, params
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64

Doc = dict[str, Any]
D = Decimal128
NAN = float("nan")
INF = float("inf")
DAY = 86_400_000


def window(
    function: Doc,
    expected: Any,
    *found: Any,
    bounds: Any = None,
    sort: Doc | None = None,
    page: str = "",
    **options: Any,
) -> Case:
    """One function over documents `{_id: position, v: value}`; the results in order of `_id`."""
    docs = [
        {"_id": at, **({} if value == "absent" else {"v": value})} for at, value in enumerate(found)
    ]
    spec = {**function, **({} if bounds is None else {"window": bounds})}
    stages = [
        {"$setWindowFields": {"sortBy": sort or {"_id": 1}, "output": {"r": spec}}},
        {"$project": {"v": 0}},
    ]
    if not isinstance(expected, Fails):
        expected = [{"_id": at, "r": one} for at, one in enumerate(expected)]
    return case(page or next(iter(function))[1:], docs, stages, expected, **options)


def docs_(lower: Any, upper: Any) -> Doc:
    return {"documents": [lower, upper]}


def range_(lower: Any, upper: Any, **unit: str) -> Doc:
    return {"range": [lower, upper], **unit}


RUNNING = docs_("unbounded", "current")
AROUND = docs_(-1, 1)
SUM = {"$sum": "$v"}
B = "bounds"
BOUNDS = [
    window(SUM, [6, 6, 6], 1, 2, 3, page=B),
    window(SUM, [6, 6, 6], 1, 2, 3, bounds={}, page=B),
    window(SUM, [1, 3, 6], 1, 2, 3, bounds=RUNNING, page=B),
    window(SUM, [6, 5, 3], 1, 2, 3, bounds=docs_("current", "unbounded"), page=B),
    window(SUM, [3, 6, 5], 1, 2, 3, bounds=AROUND, page=B),
    window(SUM, [0, 1, 2], 1, 2, 3, bounds=docs_(-1, -1), page=B),
    window(SUM, [5, 3, 0], 1, 2, 3, bounds=docs_(1, 2), page=B),
    window(SUM, [0, 0, 0], 1, 2, 3, bounds=docs_(5, 9), page=B),
    window(SUM, [1, 2, 3], 1, 2, 3, bounds=docs_("current", "current"), page=B),
    window(SUM, [5, 3, 0], 1, 2, 3, bounds=docs_(1, "unbounded"), page=B),
    window(SUM, [0, 1, 3], 1, 2, 3, bounds=docs_("unbounded", -1), page=B),
    window(SUM, [3, 6, 5], 1, 2, 3, bounds=docs_(-1.0, Int64(1)), page=B),
    window(SUM, [3, 6, 5], 1, 2, 3, bounds=docs_({"$subtract": [0, 1]}, 1), page=B),
    window(SUM, [4, 4, 9], 1, 3, 9, bounds=range_(-2, 2), sort={"v": 1}, page=B),
    window(SUM, [4, 3, 9], 1, 3, 9, bounds=range_(0, 5), sort={"v": 1}, page=B),
    window(SUM, [1, 4, 13], 1, 3, 9, bounds=range_("unbounded", "current"), sort={"v": 1}, page=B),
    window(SUM, [13, 12, 9], 1, 3, 9, bounds=range_("current", "unbounded"), sort={"v": 1}, page=B),
    window(SUM, [0, 1, 0], 1, 3, 9, bounds=range_(-2, -1), sort={"v": 1}, page=B),
    window(SUM, [1, 4, 4, 3], 1, 2, 2, 3, bounds=range_(0, 0), sort={"v": 1}, page=B),
    window(
        SUM, [1, 3, 5, 8], 1, 2, 2, 3, bounds=range_("unbounded", "current"), sort={"v": 1}, page=B
    ),
    window(
        SUM,
        [0.1, 0.30000000000000004, 0.5],
        0.1,
        0.2,
        0.5,
        bounds=range_(-0.1, 0.1),
        sort={"v": 1},
        page=B,
    ),
    window(
        {"$count": {}},
        [2, 3, 2, 1],
        *[DatetimeMS(d * DAY) for d in (0, 1, 2, 9)],
        bounds=range_(-1, 1, unit="day"),
        sort={"v": 1},
        page=B,
    ),
    window(
        {"$count": {}},
        [1, 2, 2],
        *[DatetimeMS(m * DAY) for m in (0, 31, 59)],
        bounds=range_(-1, "current", unit="month"),
        sort={"v": 1},
        page=B,
    ),
    window(SUM, Fails(5429414), 1, "x", bounds=range_(0, 1), sort={"v": 1}, page=B),
    window(SUM, Fails(5429414), None, bounds=range_(0, 1), sort={"v": 1}, page=B),
    window(SUM, Fails(5429413), DatetimeMS(0), bounds=range_(0, 1), sort={"v": 1}, page=B),
    window(SUM, Fails(5429513), 1, bounds=range_(0, 1, unit="day"), sort={"v": 1}, page=B),
    window(SUM, Fails(9, "must be an object"), 1, bounds=5, page=B),
    window(SUM, Fails(9, "not both"), 1, bounds={**RUNNING, **range_(0, 1)}, page=B),
    window(SUM, Fails(9), 1, bounds={**RUNNING, "unit": "day"}, page=B),
    window(SUM, Fails(9), 1, bounds={"x": 1}, page=B),
    window(SUM, Fails(9), 1, bounds={"documents": [1]}, page=B),
    window(SUM, Fails(9), 1, bounds={"documents": [1, 2], "x": 1}, page=B),
    window(SUM, Fails(9), 1, bounds=docs_("x", 1), page=B),
    window(SUM, Fails(9), 1, bounds=docs_(1.5, 2), page=B),
    window(SUM, Fails(9), 1, bounds=docs_("$v", 2), page=B),
    window(SUM, Fails(5339900), 1, bounds=docs_(2, 1), page=B),
    window(SUM, Fails(5339900), 1, bounds=docs_("current", -1), page=B),
    window(SUM, Fails(9), 1, bounds=range_(None, 1), page=B),
    window(SUM, Fails(9), 1, bounds=range_(0.5, 1, unit="day"), sort={"v": 1}, page=B),
    window(SUM, Fails(9), 1, bounds=range_(0, 1, unit="eon"), sort={"v": 1}, page=B),
    window(SUM, Fails(9), 1, bounds={**range_(0, 1), "unit": 5}, sort={"v": 1}, page=B),
    window(SUM, Fails(5339902), 1, bounds=range_(0, 1), sort={"v": 1, "_id": 1}, page=B),
    window(SUM, Fails(8947401), 1, bounds=range_(0, 1), sort={"v": -1}, page=B),
    case(
        B,
        [{"v": 1}],
        [{"$setWindowFields": {"output": {"r": {**SUM, "window": RUNNING}}}}],
        Fails(5339901),
    ),
    case(
        B,
        [{"v": 1}, {"v": 2}],
        [{"$setWindowFields": {"output": {"r": SUM}}}],
        [{"v": 1, "r": 3}, {"v": 2, "r": 3}],
    ),
    case(
        B,
        [{"v": 1}],
        [
            {
                "$setWindowFields": {
                    "output": {"r": {**SUM, "window": docs_("unbounded", "unbounded")}}
                }
            }
        ],
        [{"v": 1, "r": 1}],
    ),
]

ACCUMULATED = [
    window(SUM, [1.5, 3.5, 5.5], 1.5, 2, 3.5, bounds=docs_(-1, 0)),
    window(SUM, [2**31 - 1, Int64(2**31), 2], 2**31 - 1, 1, 1, bounds=docs_(-1, 0)),
    window(SUM, [1, 1, 2], 1, "x", 2, bounds=docs_(-1, 0)),
    window(SUM, [D("1.5"), D("3.5"), 5], D("1.5"), 2, 3, bounds=docs_(-1, 0)),
    window(SUM, [1.0, INF, INF, 3], 1.0, INF, 2, 1, bounds=docs_(-1, 0)),
    window(SUM, [1, NAN, NAN, 3], 1, NAN, 2, 1, bounds=docs_(-1, 0)),
    window(SUM, [1e100, 1e100, 1.0, 2.0], 1e100, 1.0, "x", 2.0, bounds=docs_(-1, 0)),
    window({"$avg": "$v"}, [1.0, 1.5, 2.5], 1, 2, 3, bounds=docs_(-1, 0)),
    window({"$avg": "$v"}, [None, 1.0, 1.0], "x", 1, None, bounds=docs_(-1, 0)),
    window({"$avg": "$v"}, [D("1"), D("1.5"), 3.0], D("1"), 2, 4, bounds=docs_(-1, 0)),
    window({"$min": "$v"}, [1, 1, 1, 2, 2], 3, 1, 5, 2, 4, bounds=AROUND),
    window({"$max": "$v"}, [3, 5, 5, 5, 4], 3, 1, 5, 2, 4, bounds=AROUND),
    window({"$max": "$v"}, [None, 1, "a"], None, 1, "a", bounds=docs_(-1, 0)),
    window({"$min": "$v"}, [None, None], "absent", None, bounds=AROUND),
    window({"$first": "$v"}, [1, 1, 2], 1, 2, 3, bounds=docs_(-1, 0)),
    window({"$last": "$v"}, [2, 3, 3], 1, 2, 3, bounds=AROUND),
    window({"$first": "$v"}, [None, 1], 1, 2, bounds=docs_(-1, -1)),
    window({"$last": "$v"}, [3, 3, 3], 1, 2, 3),
    window({"$push": "$v"}, [[1], [1, 2], [2]], 1, 2, "absent", bounds=docs_(-1, 0)),
    window({"$push": "$v"}, [[], [1]], 1, 2, bounds=docs_(-1, -1)),
    window({"$addToSet": "$v"}, [[1], [1], [1, 2]], 1, 1, 2, bounds=docs_(-1, 0)),
    window({"$addToSet": "$v"}, [[1], [1, 2], [1, 2]], 1, 2, 1, bounds=docs_(-1, 0)),
    window({"$count": {}}, [2, 3, 2], 1, 2, 3, bounds=AROUND),
    window({"$count": {}}, [3, 3, 3], 1, 2, 3),
    window({"$stdDevPop": "$v"}, [0.0, 0.5, 0.5], 1, 2, 3, bounds=docs_(-1, 0)),
    window(
        {"$stdDevSamp": "$v"},
        [None, 0.7071067811865476, 0.7071067811865476],
        1,
        2,
        3,
        bounds=docs_(-1, 0),
    ),
    window({"$stdDevPop": "$v"}, [None, 0.0], "x", 2, bounds=docs_(-1, 0)),
    window({"$minN": {"input": "$v", "n": 2}}, [[1, 3], [1, 2], [1, 2]], 3, 1, 2, bounds=AROUND),
    window({"$maxN": {"input": "$v", "n": 2}}, [[3], [3, 1], [2, 1]], 3, 1, 2, bounds=docs_(-1, 0)),
    window({"$firstN": {"input": "$v", "n": 2}}, [[1, 2], [1, 2], [2, 3]], 1, 2, 3, bounds=AROUND),
    window({"$lastN": {"input": "$v", "n": 1}}, [[2], [3], [3]], 1, 2, 3, bounds=AROUND),
    window(
        {"$top": {"output": "$_id", "sortBy": {"v": -1}}}, [0, 0, 2], 3, 1, 2, bounds=docs_(-1, 0)
    ),
    window(
        {"$bottom": {"output": "$_id", "sortBy": {"v": -1}}},
        [0, 1, 1],
        3,
        1,
        2,
        bounds=docs_(-1, 0),
    ),
    window(
        {"$topN": {"n": 2, "output": "$v", "sortBy": {"v": 1}}},
        [[3], [1, 3], [1, 2]],
        3,
        1,
        2,
        bounds=docs_(-1, 0),
    ),
    window(
        {"$bottomN": {"n": 1, "output": "$v", "sortBy": {"v": 1}}},
        [[3], [3], [2]],
        3,
        1,
        2,
        bounds=docs_(-1, 0),
    ),
    window({"$top": {"output": "$v", "sortBy": {"v": 1}}}, [None, 3], 3, 1, bounds=docs_(-1, -1)),
    window(
        {"$median": {"input": "$v", "method": "approximate"}},
        [1.0, 2.0, 2.0],
        1,
        3,
        2,
        bounds=AROUND,
    ),
    window(
        {"$percentile": {"input": "$v", "p": [0.5, 1], "method": "approximate"}},
        [[1.0, 1.0], [1.0, 3.0], [2.0, 3.0]],
        1,
        3,
        2,
        bounds=docs_(-1, 0),
    ),
    window(
        {"$percentile": {"input": "$v", "p": [0.5], "method": "approximate"}},
        [[None], [1.0]],
        1,
        2,
        bounds=docs_(-1, -1),
    ),
    window({"$covariancePop": ["$v", "$_id"]}, [0.0, 0.5, 0.5], 1, 3, 5, bounds=docs_(-1, 0)),
    window({"$covarianceSamp": ["$v", "$_id"]}, [None, 1.0, 1.0], 1, 3, 5, bounds=docs_(-1, 0)),
    window({"$covariancePop": ["$v", "$_id"]}, [None, None], "x", None, bounds=docs_(-1, 0)),
    window({"$covariancePop": "$v"}, [None], 1),
    window(
        {"$concatArrays": "$v"},
        [[1], [1, 2, 3], [2, 3]],
        [1],
        [2, 3],
        "absent",
        bounds=docs_(-1, 0),
    ),
    window({"$setUnion": "$v"}, [[1], [1, 2], [1, 2]], [1], [2, 1], [2], bounds=docs_(-1, 0)),
    window({"$concatArrays": "$v"}, Fails(14), 1),
    window({"$count": {"x": 1}}, Fails(9), 1),
    window({"$foo": 1}, Fails(9, "Unrecognized window function, $foo"), 1),
    window({"$mergeObjects": "$v"}, Fails(9), 1),
    window({"sum": 1}, Fails(9, "Expected a $-prefixed window function, sum"), 1),
    window({"$sum": 1, "$avg": 1}, Fails(9, "Cannot specify two functions"), 1),
    window({"$sum": 1, "x": 1}, Fails(9, "unknown argument: x"), 1),
    window(
        {"$topN": {"n": 1, "output": 1, "sortBy": {"v": 1}}, "x": 1},
        Fails(9, "$topN got unexpected argument: x"),
        1,
    ),
    window({"$minN": {"input": "$v", "n": 0}}, Fails(5787908), 1),
    window({"$minN": {"input": "$v", "n": "$v"}}, Fails(5787902), 1),
    window({"$median": {"input": "$v"}}, Fails(40414), 1),
    window({"$minMaxScaler": {"input": "$v"}}, Fails(238), 1),
]

V = {"sort": {"v": 1}}
SERIES = [
    window({"$rank": {}}, [1, 2, 2, 4], 1, 2, 2, 3, **V),
    window({"$denseRank": {}}, [1, 2, 2, 3], 1, 2, 2, 3, **V),
    window({"$documentNumber": {}}, [1, 2, 3, 4], 1, 2, 2, 3, **V),
    window({"$rank": {}}, [1, 1, 3], None, "absent", 1, **V),
    window({"$rank": {}}, [1, 1, 3], 1, 1.0, 2, **V),
    window({"$rank": {}}, Fails(5371602), 1, sort={"v": 1, "_id": 1}),
    window({"$rank": {"a": 1}}, Fails(5371603), 1),
    window({"$rank": 1}, Fails(5371603), 1),
    window({"$rank": {}}, Fails(5371601), 1, bounds=RUNNING),
    case(
        "rank", [{"v": 1}], [{"$setWindowFields": {"output": {"r": {"$rank": {}}}}}], Fails(5371602)
    ),
    window({"$shift": {"output": "$v", "by": 1}}, [2, 3, None], 1, 2, 3),
    window({"$shift": {"output": "$v", "by": -1, "default": "none"}}, ["none", 1, 2], 1, 2, 3),
    window({"$shift": {"output": "$v", "by": 0}}, [1, 2], 1, 2),
    window({"$shift": {"output": "$v", "by": 5, "default": {"$add": [1, 1]}}}, [2], 1),
    window({"$shift": {"by": 1}}, Fails(9, "requires an 'output' expression"), 1),
    window({"$shift": {"output": 1}}, Fails(9, "requires 'by'"), 1),
    window({"$shift": {"output": 1, "by": 1.5}}, Fails(9), 1),
    window({"$shift": {"output": 1, "by": 1, "default": "$v"}}, Fails(9), 1),
    window({"$shift": {"output": 1, "by": 1, "x": 1}}, Fails(9, "Unknown argument in $shift"), 1),
    window({"$shift": 1}, Fails(9), 1),
    window(
        {"$shift": {"output": 1, "by": 1}},
        Fails(9, "does not accept a 'window'"),
        1,
        bounds=RUNNING,
    ),
    window({"$derivative": {"input": "$v"}}, [None, 2.0, 3.0], 1, 3, 6, bounds=docs_(-1, 0)),
    window({"$derivative": {"input": "$v"}}, [2.5, 2.5, 2.5], 1, 3, 6, bounds={}),
    window(
        {"$derivative": {"input": "$_id", "unit": "hour"}},
        [None, 0.49999999999999994, 0.9999999999999999],
        *[DatetimeMS(h * 3_600_000) for h in (0, 2, 3)],
        bounds=docs_(-1, 0),
        **V,
    ),
    window({"$derivative": {"input": "$_id", "unit": "second"}}, Fails(5624900), 1, bounds=RUNNING),
    window({"$derivative": {"input": "$_id"}}, Fails(5624901), DatetimeMS(0), bounds=RUNNING, **V),
    window({"$derivative": {"input": "$_id"}}, Fails(5624902), "x", bounds=RUNNING, **V),
    window({"$derivative": {"input": "$none"}}, Fails(5624903), 1, 2, bounds=RUNNING),
    window({"$derivative": {"input": "$v"}}, Fails(9, "explicit window bounds"), 1),
    window({"$derivative": {"input": "$v", "unit": "month"}}, Fails(5490710), 1, bounds=RUNNING),
    window({"$derivative": {"input": "$v", "unit": 1}}, Fails(9), 1, bounds=RUNNING),
    window({"$derivative": {"input": "$v", "x": 1}}, Fails(9), 1, bounds=RUNNING),
    window({"$derivative": {}}, Fails(9), 1, bounds=RUNNING),
    window({"$derivative": 1}, Fails(9), 1, bounds=RUNNING),
    window({"$derivative": {"input": 1}}, Fails(9), 1, bounds=RUNNING, sort={"v": 1, "_id": 1}),
    window({"$integral": {"input": "$v"}}, [0, 2.0, 6.5], 1, 3, 6, bounds=RUNNING),
    window({"$integral": {"input": "$v"}}, [0, 2.0, 4.5], 1, 3, 6, bounds=docs_(-1, 0)),
    window({"$integral": {"input": "$v"}}, [6.5, 6.5, 6.5], 1, 3, 6),
    window(
        {"$integral": {"input": "$_id", "unit": "hour"}},
        [0.0, 1.0, 2.5],
        *[DatetimeMS(h * 3_600_000) for h in (0, 2, 3)],
        bounds=RUNNING,
        **V,
    ),
    window({"$integral": {"input": "$v"}}, [0, NAN, NAN], 1, NAN, 3, bounds=RUNNING),
    window({"$integral": {"input": "$v"}}, Fails(5423900), "x"),
    window({"$integral": {"input": "$_id"}}, Fails(5423902), DatetimeMS(0), **V),
    window({"$integral": {"input": "$_id", "unit": "day"}}, Fails(5423901), 1, **V),
    window({"$expMovingAvg": {"input": "$v", "alpha": 0.75}}, [13.0, 14.8], 13, 15.4),
    window({"$expMovingAvg": {"input": "$v", "N": 3}}, [1.0, 2.0, 2.0, 3.0], 1, 3, "x", 4),
    window({"$expMovingAvg": {"input": "$v", "N": 1}}, [None, 2.0], None, 2),
    window(
        {"$expMovingAvg": {"input": "$v", "alpha": 0.5}},
        [D("1"), D("1.500000000000000")],
        D("1"),
        2,
    ),
    window({"$expMovingAvg": {"input": "$v"}}, Fails(9), 1),
    window({"$expMovingAvg": {"input": "$v", "N": 0}}, Fails(9, "must be greater than zero"), 1),
    window({"$expMovingAvg": {"input": "$v", "N": 1.5}}, Fails(9), 1),
    window({"$expMovingAvg": {"input": "$v", "N": "x"}}, Fails(9), 1),
    window({"$expMovingAvg": {"input": "$v", "alpha": 1}}, Fails(9, "between 0 and 1"), 1),
    window({"$expMovingAvg": {"input": "$v", "alpha": "x"}}, Fails(9), 1),
    window({"$expMovingAvg": {"input": "$v", "beta": 1}}, Fails(9), 1),
    window({"$expMovingAvg": 1}, Fails(9), 1),
    window({"$linearFill": "$v"}, [None, 1, 2.0, 3.0, 4, None], None, 1, "absent", None, 4, None),
    window({"$linearFill": "$v"}, [0, 1.5, 3.0, 4.5, 6], 0, None, None, None, 6),
    window({"$linearFill": "$v"}, Fails(14), "x"),
    window({"$linearFill": "$v"}, Fails(6050106), 1, 1, **V),
    window({"$linearFill": "$_id"}, Fails(14), "x", **V),
    window({"$linearFill": "$v"}, Fails(605001), 1, sort={"v": 1, "_id": 1}),
    window({"$linearFill": "$v"}, Fails(9), 1, bounds=RUNNING),
    window({"$locf": "$v"}, [None, 1, 1, 1, 5], None, 1, None, "absent", 5),
    window({"$locf": "$v"}, Fails(9), 1, bounds=RUNNING),
]

S = "setWindowFields"
CAKES = [
    {"_id": 0, "type": "almonds", "state": "CA", "quantity": 120},
    {"_id": 1, "type": "almonds", "state": "WA", "quantity": 104},
    {"_id": 2, "type": "orange", "state": "CA", "quantity": 162},
    {"_id": 3, "type": "vanilla", "state": "WA", "quantity": 140},
    {"_id": 4, "type": "vanilla", "state": "CA", "quantity": 145},
]


def cakes(expected: Any, docs: list[Doc] = CAKES, **spec: Any) -> Case:
    return case(S, docs, [{"$setWindowFields": spec}, {"$unset": ["type", "quantity"]}], expected)


STAGE = [
    cakes(
        [
            {"_id": 0, "state": "CA", "r": 120},
            {"_id": 4, "state": "CA", "r": 265},
            {"_id": 2, "state": "CA", "r": 427},
            {"_id": 1, "state": "WA", "r": 104},
            {"_id": 3, "state": "WA", "r": 244},
        ],
        partitionBy="$state",
        sortBy={"quantity": 1},
        output={"r": {"$sum": "$quantity", "window": RUNNING}},
    ),
    cakes(
        [
            {"_id": 2, "state": "CA", "r": 1},
            {"_id": 4, "state": "CA", "r": 2},
            {"_id": 0, "state": "CA", "r": 3},
            {"_id": 3, "state": "WA", "r": 1},
            {"_id": 1, "state": "WA", "r": 2},
        ],
        partitionBy={"$toUpper": "$state"},
        sortBy={"quantity": -1},
        output={"r": {"$documentNumber": {}}},
    ),
    cakes(
        [{"_id": 0, "state": "CA", "a": {"n": 1, "m": 120}}],
        docs=CAKES[:1],
        output={"a.n": {"$count": {}}, "a.m": {"$max": "$quantity"}},
    ),
    cakes(
        [{"_id": 1, "state": "WA", "r": 1}, {"_id": 3, "state": "WA", "r": 2}],
        docs=[CAKES[3], CAKES[1]],
        partitionBy=5,
        sortBy={"_id": 1},
        output={"r": {"$documentNumber": {}}},
    ),
    case(
        S,
        [{"_id": 1}, {"_id": 2, "p": None}, {"_id": 3, "p": 1}, {"_id": 4, "p": 1.0}],
        [
            {
                "$setWindowFields": {
                    "partitionBy": "$p",
                    "sortBy": {"_id": 1},
                    "output": {"n": {"$count": {}}},
                }
            }
        ],
        [
            {"_id": 1, "n": 2},
            {"_id": 2, "p": None, "n": 2},
            {"_id": 3, "p": 1, "n": 2},
            {"_id": 4, "p": 1.0, "n": 2},
        ],
    ),
    case(
        S,
        [{"_id": 1, "a": [{"b": 1}, 2]}],
        [{"$setWindowFields": {"output": {"a.c": {"$count": {}}}}}],
        [{"_id": 1, "a": [{"b": 1, "c": 1}, {"c": 1}]}],
    ),
    case(
        S,
        CAKES,
        [
            {
                "$setWindowFields": {
                    "partitionBy": "$state",
                    "sortBy": {"_id": 1},
                    "output": {"n": {"$count": {}}},
                }
            },
            {"$match": {"state": "WA"}},
            {"$project": {"n": 1}},
        ],
        [{"_id": 1, "n": 2}, {"_id": 3, "n": 2}],
    ),
    case(
        S,
        CAKES,
        [
            {"$setWindowFields": {"sortBy": {"_id": 1}, "output": {"n": {"$count": {}}}}},
            {"$match": {"state": "WA"}},
            {"$project": {"n": 1}},
        ],
        [{"_id": 1, "n": 5}, {"_id": 3, "n": 5}],
    ),
    case(
        S,
        CAKES,
        [{"$setWindowFields": {"sortBy": {"_id": -1}, "output": {}}}, {"$project": {"_id": 1}}],
        [{"_id": n} for n in (4, 3, 2, 1, 0)],
    ),
    case(S, [], [{"$setWindowFields": {"output": {"n": {"$count": {}}}}}], []),
    case(
        S,
        [{"p": [1]}],
        [{"$setWindowFields": {"partitionBy": "$p", "output": {"n": {"$count": {}}}}}],
        Fails(14),
    ),
    case(S, [{"p": 1}], [{"$setWindowFields": {"partitionBy": [1], "output": {}}}], Fails(14)),
    case(S, [{"p": 1}], [{"$setWindowFields": 1}], Fails(9)),
    case(S, [{"p": 1}], [{"$setWindowFields": {}}], Fails(40414)),
    case(S, [{"p": 1}], [{"$setWindowFields": {"output": {}, "x": 1}}], Fails(40415)),
    case(S, [{"p": 1}], [{"$setWindowFields": {"output": 1}}], Fails(14)),
    case(S, [{"p": 1}], [{"$setWindowFields": {"output": {"a": 1}}}], Fails(9)),
    case(
        S,
        [{"p": 1}],
        [{"$setWindowFields": {"output": {"a": {"$count": {}}, "a.b": {"$count": {}}}}}],
        Fails(6307900),
    ),
    case(S, [{"p": 1}], [{"$setWindowFields": {"sortBy": {"a": 5}, "output": {}}}], Fails(15975)),
]

Z = "densify"


def densify(
    expected: Any,
    docs: list[Doc],
    field: str = "v",
    partition: list[str] | None = None,
    **spec: Any,
) -> Case:
    stage: Doc = {"field": field, "range": spec}
    if partition is not None:
        stage["partitionByFields"] = partition
    return case(Z, docs, [{"$densify": stage}], expected, no_spill=True)


def v(*found: Any) -> list[Doc]:
    return [{"v": one} for one in found]


COFFEE = [{"a": 600, "t": "x", "s": 1}, {"a": 1000, "t": "x", "s": 2}, {"a": 750, "t": "y", "s": 3}]
DENSIFY = [
    densify(v(1, 2, 3, 4), v(4, 1), step=1, bounds="full"),
    densify(v(1, 3, 4), v(1, 4), step=2, bounds="full"),
    densify(v(1, 1, 2, 3), v(1, 1, 3), step=1, bounds="full"),
    densify(
        [*v(None), {"x": 1}, *v(1, 2, 3)], [*v(1, None), {"x": 1}, *v(3)], step=1, bounds="full"
    ),
    densify(v(0, 0.5, 1.0, 1.5), v(0, 1.5), step=0.5, bounds="full"),
    densify(v(D("1"), D("1.1"), D("1.2")), v(D("1"), D("1.2")), step=D("0.1"), bounds="full"),
    densify([], [], step=1, bounds="full"),
    densify(v(0, 2, 4), [], step=2, bounds=[0, 6]),
    densify(v(-1, 0, 1, 2, 3, 4, 5, 7), v(-1, 1, 3, 7), step=1, bounds=[0, 6]),
    densify(v(0, 2, 3, 4, 9), v(3, 9), step=2, bounds=[0, 6]),
    densify(v(0, 2, 4, 5), v(5), step=2, bounds=[0, 5]),
    densify(v(-3, 0, 1), v(-3), step=1, bounds=[0, 2]),
    densify(
        [COFFEE[0], {"t": "x", "a": 800}, COFFEE[1], COFFEE[2]],
        COFFEE,
        "a",
        ["t"],
        step=200,
        bounds="partition",
    ),
    densify(
        [
            COFFEE[0],
            {"t": "y", "a": 600},
            COFFEE[2],
            {"t": "x", "a": 800},
            COFFEE[1],
            {"t": "y", "a": 800},
            {"t": "y", "a": 1000},
        ],
        COFFEE,
        "a",
        ["t"],
        step=200,
        bounds="full",
    ),
    densify(
        [
            COFFEE[0],
            {"t": "x", "a": 800},
            COFFEE[1],
            {"t": "y", "a": 600},
            COFFEE[2],
            {"t": "y", "a": 800},
        ],
        COFFEE,
        "a",
        ["t"],
        step=200,
        bounds=[600, 1000],
    ),
    densify(
        [{"d": DatetimeMS(0)}, {"d": DatetimeMS(DAY)}, {"d": DatetimeMS(2 * DAY)}],
        [{"d": DatetimeMS(0)}, {"d": DatetimeMS(2 * DAY)}],
        "d",
        step=1,
        unit="day",
        bounds="full",
    ),
    densify(
        [{"d": DatetimeMS(0)}, {"d": DatetimeMS(31 * DAY)}, {"d": DatetimeMS(59 * DAY)}],
        [{"d": DatetimeMS(0)}, {"d": DatetimeMS(59 * DAY)}],
        "d",
        step=1,
        unit="month",
        bounds="full",
    ),
    densify(
        [{"d": DatetimeMS(n * 4 * 3_600_000)} for n in range(3)],
        [],
        "d",
        step=4,
        unit="hour",
        bounds=[DatetimeMS(0), DatetimeMS(12 * 3_600_000)],
    ),
    densify(
        [{"x": {"v": 1}}, {"x": {"v": 2}}, {"x": {"v": 3}}],
        [{"x": {"v": 1}}, {"x": {"v": 3}}],
        "x.v",
        step=1,
        bounds="full",
    ),
    densify(
        [{"p": {"q": 1}, "v": 1}, {"p": {"q": 1}, "v": 2}, {"p": {"q": 1}, "v": 3}],
        [{"p": {"q": 1}, "v": 1}, {"p": {"q": 1}, "v": 3}],
        "v",
        ["p.q"],
        step=1,
        bounds="full",
    ),
    densify(Fails(5733201), v("x"), step=1, bounds="full"),
    densify(Fails(6053600), v(DatetimeMS(1)), step=1, bounds="full"),
    densify(Fails(6053601), v(1), step=1, unit="day", bounds="full"),
    densify(Fails(5733401), v(1), step=0, bounds="full"),
    densify(Fails(5733401), v(1), step="x", bounds="full"),
    densify(Fails(6586400), v(1), step=1.5, unit="day", bounds="full"),
    densify(Fails(9), v(1), step=1, unit="eon", bounds="full"),
    densify(Fails(5733403), v(1), step=1, bounds=[1]),
    densify(Fails(5733402), v(1), step=1, bounds=[2, 1]),
    densify(Fails(5733409), v(1), step=1, unit="day", bounds=[1, 2]),
    densify(Fails(5733406), v(1), step=1, bounds=[1, "x"]),
    densify(Fails(5876900), v(1), step=1, bounds=[1, 2.0]),
    densify(Fails(5733410), v(1), step=1, bounds=[DatetimeMS(0), DatetimeMS(1)]),
    densify(Fails(5946800), v(1), step=1, bounds=["a", "b"]),
    densify(Fails(5946802), v(1), step=1, bounds="all"),
    densify(Fails(5733404), v(1), step=1, bounds=5),
    densify(Fails(5733408), v(1), step=1, bounds="partition"),
    densify(Fails(40414), v(1), bounds="full"),
    densify(Fails(5897900), v(0, 10**6), step=1, bounds="full"),
    densify(Fails(40415), v(1), step=1, bounds="full", x=1),
    case(Z, [], [{"$densify": 1}], Fails(9)),
    case(Z, [], [{"$densify": {"field": 1, "range": {}}}], Fails(14)),
    case(Z, [], [{"$densify": {"field": "a"}}], Fails(40414)),
    case(
        Z, [], [{"$densify": {"field": "$a", "range": {"step": 1, "bounds": "full"}}}], Fails(16410)
    ),
]

I = "fill"  # noqa: E741
FILL = [
    case(
        I,
        [{"_id": 1, "b": 2}, {"_id": 2}, {"_id": 3, "b": None}],
        [{"$fill": {"output": {"b": {"value": 0}, "s": {"value": "none"}}}}],
        [
            {"_id": 1, "b": 2, "s": "none"},
            {"_id": 2, "b": 0, "s": "none"},
            {"_id": 3, "b": 0, "s": "none"},
        ],
    ),
    case(
        I,
        [{"_id": n, "p": p} for n, p in enumerate([500, None, None, 515, 485])],
        [{"$fill": {"sortBy": {"_id": 1}, "output": {"p": {"method": "linear"}}}}],
        [{"_id": n, "p": p} for n, p in enumerate([500, 505.0, 510.0, 515, 485])],
    ),
    case(
        I,
        [{"_id": n, "p": p} for n, p in enumerate([77, None, None, 83, None])],
        [{"$fill": {"sortBy": {"_id": 1}, "output": {"p": {"method": "locf"}}}}],
        [{"_id": n, "p": p} for n, p in enumerate([77, 77, 77, 83, 83])],
    ),
    case(
        I,
        [{"_id": 1, "r": "a", "p": 5}, {"_id": 2, "r": "b"}, {"_id": 3, "r": "a"}],
        [
            {
                "$fill": {
                    "sortBy": {"_id": 1},
                    "partitionBy": {"x": "$r"},
                    "output": {"p": {"method": "locf"}},
                }
            }
        ],
        [
            {"_id": 1, "r": "a", "p": 5},
            {"_id": 3, "r": "a", "p": 5},
            {"_id": 2, "r": "b", "p": None},
        ],
    ),
    case(
        I,
        [{"_id": 1, "r": "a", "p": 5}, {"_id": 2, "r": "b"}, {"_id": 3, "r": "a"}],
        [
            {
                "$fill": {
                    "sortBy": {"_id": 1},
                    "partitionByFields": ["r"],
                    "output": {"p": {"method": "locf"}},
                }
            },
            {"$sort": {"_id": 1}},
        ],
        [
            {"_id": 1, "r": "a", "p": 5},
            {"_id": 2, "r": "b", "p": None},
            {"_id": 3, "r": "a", "p": 5},
        ],
    ),
    case(
        I,
        [{"_id": 1, "a": 1}, {"_id": 2}],
        [
            {
                "$fill": {
                    "sortBy": {"_id": 1},
                    "partitionBy": "$none",
                    "output": {"a": {"method": "locf"}, "b": {"value": {"$add": ["$_id", 10]}}},
                }
            }
        ],
        [{"_id": 1, "a": 1, "b": 11}, {"_id": 2, "a": 1, "b": 12}],
    ),
    case(I, [], [{"$fill": 1}], Fails(9)),
    case(I, [], [{"$fill": {}}], Fails(40414)),
    case(I, [], [{"$fill": {"output": {}}}], Fails(6050203)),
    case(I, [], [{"$fill": {"output": {"a": 1}}}], Fails(6050200)),
    case(I, [], [{"$fill": {"output": {"a": {"method": "locf", "value": 1}}}}], Fails(6050201)),
    case(I, [], [{"$fill": {"output": {"a": {"method": "x"}}}}], Fails(6050202)),
    case(I, [], [{"$fill": {"output": {"a": {"x": 1}}}}], Fails(40415)),
    case(
        I,
        [],
        [
            {
                "$fill": {
                    "output": {"a": {"value": 1}},
                    "partitionBy": "$a",
                    "partitionByFields": ["a"],
                }
            }
        ],
        Fails(6050204),
    ),
    case(I, [], [{"$fill": {"output": {"a": {"value": 1}}, "partitionByFields": [1]}}], Fails(14)),
    case(I, [], [{"$fill": {"output": {"a": {"method": "linear"}}}}], Fails(605001)),
]
CASES = BOUNDS + ACCUMULATED + SERIES + STAGE + DENSIFY + FILL


@pytest.mark.parametrize("one", params(CASES))
def test_case(one: Case) -> None:
    check(one)
