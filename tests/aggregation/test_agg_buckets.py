"""`$bucket`, `$bucketAuto` with granularities, `$facet`."""

from __future__ import annotations

from typing import Any

import pytest
from agg_kit import Case, Fails, case, check, params
from bson.decimal128 import Decimal128
from bson.int64 import Int64

Doc = dict[str, Any]
D = Decimal128
ARTISTS: list[Doc] = [
    {"_id": 1, "last": "Bernard", "born": 1868, "died": 1941},
    {"_id": 2, "last": "Rozgonyi", "born": 1877, "died": 1951},
    {"_id": 3, "last": "Ligeti", "born": 1881, "died": 1955},
    {"_id": 4, "last": "Hardy", "born": 1790, "died": 1857},
    {"_id": 5, "last": "Jandl", "born": 1920, "died": 1999},
    {"_id": 6, "last": "Gauguin", "born": 1848, "died": 1903},
]
DECADES = [1840, 1850, 1860, 1870, 1880]


def v(*found: Any) -> list[Doc]:
    return [{"v": value} for value in found]


def counts(**found: int) -> list[Doc]:
    return [{"_id": int(name[1:]), "count": count} for name, count in found.items()]


B = "bucket"


def bucket(expected: Any, docs: list[Doc] = ARTISTS, **fields: Any) -> Case:
    spec = {"groupBy": "$born", "boundaries": DECADES, "default": "Other", **fields}
    spec = {name: value for name, value in spec.items() if value != "absent"}
    return case(B, docs, [{"$bucket": spec}], expected)


BUCKET = [
    bucket(
        [
            {"_id": 1840, "count": 1},
            {"_id": 1860, "count": 1},
            {"_id": 1870, "count": 1},
            {"_id": "Other", "count": 3},
        ]
    ),
    bucket(
        [
            {"_id": 1840, "n": 1, "who": ["Gauguin"]},
            {"_id": 1860, "n": 1, "who": ["Bernard"]},
            {"_id": 1870, "n": 1, "who": ["Rozgonyi"]},
            {"_id": "Other", "n": 3, "who": ["Ligeti", "Hardy", "Jandl"]},
        ],
        output={"n": {"$sum": 1}, "who": {"$push": "$last"}},
    ),
    bucket([{"_id": 0, "count": 6}], boundaries=[0, 5000], default="absent"),
    bucket([{"_id": -1, "count": 6}], boundaries=[0, 1], default=-1),
    bucket(
        [{"_id": 0, "count": 2}, {"_id": "x", "count": 2}],
        docs=v(0, 5, 10, None),
        groupBy="$v",
        boundaries=[0, 10],
        default="x",
    ),
    bucket(
        [{"_id": "a", "count": 1}, {"_id": "m", "count": 2}],
        docs=v("b", "m", "y"),
        groupBy="$v",
        boundaries=["a", "m", "z"],
        default="absent",
    ),
    bucket(
        [{"_id": 0, "count": 1}, {"_id": 1.5, "count": 1}],
        docs=v(1, D("1.5")),
        groupBy="$v",
        boundaries=[0, 1.5, Int64(3)],
        default="absent",
    ),
    bucket(
        [{"_id": 1900, "count": 6}],
        groupBy={"$subtract": ["$born", "$born"]},
        boundaries=[1, 2],
        default=1900,
    ),
    bucket([{"_id": 0, "count": 6}], boundaries=[{"$subtract": [1, 1]}, 9999], default="absent"),
    bucket(Fails(40066), default="absent"),
    bucket(Fails(40066), docs=[{"x": 1}], default="absent"),
    case(B, [], [{"$bucket": {"groupBy": "$v", "boundaries": [1, 2]}}], []),
    case(B, ARTISTS, [{"$bucket": 1}], Fails(40201)),
    bucket(Fails(40202), groupBy="born"),
    bucket(Fails(40202), groupBy={"a": "$born"}),
    bucket(Fails(40200), boundaries=5),
    bucket(Fails(40191), boundaries=["$born", 5]),
    bucket(Fails(40192), boundaries=[5]),
    bucket(Fails(40193), boundaries=[5, "x"]),
    bucket(Fails(40194), boundaries=[5, 5]),
    bucket(Fails(40195), default="$born"),
    bucket(Fails(40199), boundaries=[0, 5], default=3),
    bucket(Fails(40196), output=1),
    bucket(Fails(40197), x=1),
    bucket(Fails(40198), boundaries="absent"),
    bucket(Fails(40198), groupBy="absent"),
    bucket(Fails(40234), output={"n": 1}),
]

A = "bucketAuto"


def auto(expected: Any, *found: Any, **fields: Any) -> Case:
    spec = {"groupBy": "$v", "buckets": 3, **fields}
    spec = {name: value for name, value in spec.items() if value != "absent"}
    return case(A, v(*found), [{"$bucketAuto": spec}], expected)


def ranges(*found: tuple[Any, Any, int]) -> list[Doc]:
    return [{"_id": {"min": least, "max": most}, "count": count} for least, most, count in found]


AUTO = [
    case(
        A,
        [
            {"_id": n, "price": D(price)}
            for n, price in enumerate(
                ["199.99", "280.00", "76.04", "167.30", "483.00", "385.00", "159.00", "118.42"]
            )
        ],
        [{"$bucketAuto": {"groupBy": "$price", "buckets": 4}}],
        ranges(
            (D("76.04"), D("159.00"), 2),
            (D("159.00"), D("199.99"), 2),
            (D("199.99"), D("385.00"), 2),
            (D("385.00"), D("483.00"), 2),
        ),
    ),
    auto(ranges((0, 2, 2), (2, 4, 2), (4, 5, 2)), 0, 1, 2, 3, 4, 5),
    auto(ranges((1, 1, 5)), 1, 1, 1, 1, 1),
    auto(ranges((1, 2, 3), (2, 3, 2)), 1, 1, 1, 2, 3),
    auto(ranges((0, 4, 4), (4, 6, 3)), 0, 1, 2, 3, 4, 5, 6, buckets=2),
    auto(ranges((5, 5, 1)), 5),
    auto([], buckets=1),
    auto(ranges((None, 1, 1), (1, "a", 1), ("a", "a", 1)), "a", None, 1),
    auto(
        [
            {"_id": {"min": 1, "max": 3}, "s": 3, "l": [1, 2]},
            {"_id": {"min": 3, "max": 4}, "s": 7, "l": [3, 4]},
        ],
        1,
        2,
        3,
        4,
        buckets=2,
        output={"s": {"$sum": "$v"}, "l": {"$push": "$v"}},
    ),
    auto(ranges((1, 3, 2)), 3, 1, buckets=1.0),
    # The manual's tables of granularities.
    auto(
        ranges(
            (0, 20.0, 20), (20.0, 40.0, 20), (40.0, 63.0, 23), (63.0, 90.0, 27), (90.0, 100.0, 10)
        ),
        *range(100),
        buckets=5,
        granularity="R20",
    ),
    auto(
        ranges((0, 20.0, 20), (20.0, 50.0, 30), (50.0, 100.0, 50)),
        *range(100),
        buckets=5,
        granularity="1-2-5",
    ),
    auto(
        ranges((0, 32.0, 32), (32.0, 64.0, 32), (64.0, 128.0, 36)),
        *range(100),
        buckets=5,
        granularity="POWERSOF2",
    ),
    auto(
        ranges(
            (0, 20.0, 20), (20.0, 43.0, 23), (43.0, 68.0, 25), (68.0, 91.0, 23), (91.0, 100.0, 9)
        ),
        *range(100),
        buckets=5,
        granularity="E24",
    ),
    auto(ranges((0.63, 1.6, 2), (1.6, 2.5, 1)), 1, 1.5, 2, buckets=2, granularity="R5"),
    auto(ranges((D("0.80"), D("1.60"), 2)), D("1"), D("1.5"), buckets=1, granularity="R10"),
    auto(ranges((0, 2.5, 2), (2.5, 6.3, 1)), 0, 0, 4, buckets=2, granularity="R5"),
    auto(Fails(40258), "a", granularity="R5"),
    auto(Fails(40259), float("nan"), granularity="R5"),
    auto(Fails(40260), -1, granularity="R5"),
    auto(Fails(40257), 1, granularity="R7"),
    auto(Fails(40261), 1, granularity=7),
    auto(Fails(40239), 1, groupBy="v"),
    auto(Fails(40241), 1, buckets="x"),
    auto(Fails(40242), 1, buckets=1.5),
    auto(Fails(40242), 1, buckets=Int64(2**40)),
    auto(Fails(40243), 1, buckets=0),
    auto(Fails(40244), 1, output=[]),
    auto(Fails(40245), 1, x=1),
    auto(Fails(40246), 1, buckets="absent"),
    case(A, [], [{"$bucketAuto": 1}], Fails(40240)),
]

F = "facet"
FACET = [
    case(
        F,
        v(1, 2, 3),
        [{"$facet": {"a": [{"$limit": 1}], "b": [{"$count": "n"}], "c": []}}],
        [{"a": v(1), "b": [{"n": 3}], "c": v(1, 2, 3)}],
    ),
    case(F, [], [{"$facet": {"a": [{"$limit": 1}], "b": [{"$count": "n"}]}}], [{"a": [], "b": []}]),
    case(
        F,
        v(*range(40)),
        [
            {
                "$facet": {
                    "first": [{"$limit": 2}],
                    "last": [{"$sort": {"v": -1}}, {"$limit": 2}],
                    "none": [{"$match": {"v": 99}}],
                }
            },
            {"$project": {"first": 1, "last": 1}},
        ],
        [{"first": v(0, 1), "last": v(39, 38)}],
    ),
    case(
        F,
        v(1, 2),
        [{"$facet": {"a": [{"$match": {"v": 2}}]}}, {"$unwind": "$a"}, {"$replaceWith": "$a"}],
        v(2),
    ),
    case(
        F,
        v(1, 2),
        [{"$facet": {"a": [{"$set": {"x": "$$k"}}, {"$limit": 1}]}}],
        [{"a": [{"v": 1, "x": 7}]}],
        let={"k": 7},
    ),
    case(
        F,
        v(1, 2),
        [{"$facet": {"a": [{"$lookup": {"from": "o", "pipeline": [], "as": "o"}}]}}],
        [{"a": [{"v": 1, "o": v(9)}, {"v": 2, "o": v(9)}]}],
        others={"o": v(9)},
    ),
    case(F, v(1), [{"$facet": {}}], Fails(40169)),
    case(F, v(1), [{"$facet": 1}], Fails(40169)),
    case(F, v(1), [{"$facet": {"a": 1}}], Fails(40170)),
    case(F, v(1), [{"$facet": {"a": [1]}}], Fails(40171)),
    case(F, v(1), [{"$facet": {"a.b": []}}], Fails(16412)),
    case(F, v(1), [{"$facet": {"$a": []}}], Fails(16410)),
    case(
        F,
        v(1),
        [{"$facet": {"a": [{"$facet": {"b": []}}]}}],
        Fails(40600, "$facet is not allowed to be used within a $facet stage"),
    ),
    case(F, v(1), [{"$facet": {"a": [{"$out": "x"}]}}], Fails(40600)),
    case(F, v(1), [{"$facet": {"a": [{"$merge": "x"}]}}], Fails(40600)),
    case(F, v(1), [{"$facet": {"a": [{"$collStats": {}}]}}], Fails(40600)),
    case(
        F,
        v(1),
        [{"$facet": {"a": [{"$geoNear": {"near": [0, 0], "distanceField": "d"}}]}}],
        Fails(40600),
    ),
    case(F, v(1), [{"$facet": {"a": [{"$nope": 1}]}}], Fails(40324)),
    case(
        F,
        v("x"),
        [{"$facet": {"a": [{"$limit": 1}], "b": [{"$set": {"y": {"$add": ["$v", 1]}}}]}}],
        Fails(14),
    ),
]
CASES = BUCKET + AUTO + FACET


@pytest.mark.parametrize("one", params(CASES))
def test_case(one: Case) -> None:
    check(one)
