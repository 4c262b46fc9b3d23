"""`$lookup`, `$graphLookup`, `$unionWith`, `$documents`."""

from __future__ import annotations

from typing import Any

import pytest
from agg_kit import Case, Fails, case, check, make_world, params, run_case
from bson.int64 import Int64
from bson.regex import Regex

from psdb_base.values import UNDEFINED

Doc = dict[str, Any]
L = "lookup"
ORDERS: list[Doc] = [
    {"_id": 1, "item": "almonds", "price": 12, "quantity": 2},
    {"_id": 2, "item": "pecans", "price": 20, "quantity": 1},
    {"_id": 3},
]
STOCK: list[Doc] = [
    {"_id": 1, "sku": "almonds", "description": "product 1", "instock": 120},
    {"_id": 2, "sku": "bread", "description": "product 2", "instock": 80},
    {"_id": 3, "sku": "cashews", "description": "product 3", "instock": 60},
    {"_id": 4, "sku": "pecans", "description": "product 4", "instock": 70},
    {"_id": 5, "sku": None, "description": "Incomplete"},
    {"_id": 6},
]
BY_ITEM = {"from": "stock", "localField": "item", "foreignField": "sku", "as": "docs"}


def ids(*found: Any) -> list[Doc]:
    return [{"_id": one} for one in found]


def joins(
    local: Any,
    foreign: Any,
    expected: list[Any],
    *,
    field: str = "a",
    other: str = "b",
    **options: Any,
) -> Case:
    """A case of which foreign documents (by `_id`) one local value or document joins."""
    docs = [{"_id": 0, **local}]
    stages = [
        {"$lookup": {"from": "f", "localField": field, "foreignField": other, "as": "m"}},
        {"$project": {"m._id": 1}},
    ]
    return case(
        L, docs, stages, [{"_id": 0, "m": ids(*expected)}], others={"f": foreign}, **options
    )


def foreign(*found: Any) -> list[Doc]:
    return [
        {"_id": at, **({} if value == "absent" else {"b": value})} for at, value in enumerate(found)
    ]


LOOKUP = [
    case(
        L,
        ORDERS,
        [{"$lookup": BY_ITEM}],
        [
            {**ORDERS[0], "docs": [STOCK[0]]},
            {**ORDERS[1], "docs": [STOCK[3]]},
            {**ORDERS[2], "docs": [STOCK[4], STOCK[5]]},
        ],
        others={"stock": STOCK},
    ),
    case(
        L,
        [{"_id": 1, "title": "Reading", "enrollment": ["giraffe2", "pandabear", "artie"]}],
        [
            {
                "$lookup": {
                    "from": "members",
                    "localField": "enrollment",
                    "foreignField": "name",
                    "as": "e",
                }
            },
            {"$project": {"e._id": 1, "_id": 0}},
        ],
        [{"e": ids(1, 5, 6)}],
        others={
            "members": [
                {"_id": 1, "name": "artie"},
                {"_id": 2, "name": "barney"},
                {"_id": 5, "name": "giraffe2"},
                {"_id": 6, "name": "pandabear"},
            ]
        },
    ),
    case(
        L,
        ORDERS[:2],
        [{"$lookup": BY_ITEM}, {"$unwind": "$docs"}],
        [{**ORDERS[0], "docs": STOCK[0]}, {**ORDERS[1], "docs": STOCK[3]}],
        others={"stock": STOCK},
    ),
    case(
        L,
        ORDERS,
        [
            {"$lookup": {**BY_ITEM, "from": "nowhere"}},
            {
                "$unwind": {
                    "path": "$docs",
                    "preserveNullAndEmptyArrays": True,
                    "includeArrayIndex": "i",
                }
            },
        ],
        [{**doc, "i": None} for doc in ORDERS],
    ),
    case(L, ORDERS, [{"$lookup": {**BY_ITEM, "from": "nowhere"}}, {"$unwind": "$docs"}], []),
    case(
        L,
        ORDERS[2:],
        [{"$lookup": BY_ITEM}, {"$unwind": {"path": "$docs", "includeArrayIndex": "i"}}],
        [{"_id": 3, "docs": STOCK[4], "i": Int64(0)}, {"_id": 3, "docs": STOCK[5], "i": Int64(1)}],
        others={"stock": STOCK},
    ),
    case(
        L,
        ORDERS[:1],
        [{"$lookup": {**BY_ITEM, "as": "x.y"}}],
        [{**ORDERS[0], "x": {"y": [STOCK[0]]}}],
        others={"stock": STOCK},
    ),
    case(
        L,
        ORDERS[:1],
        [{"$lookup": {**BY_ITEM, "as": "item"}}],
        [{**ORDERS[0], "item": [STOCK[0]]}],
        others={"stock": STOCK},
    ),
    case(
        L,
        ORDERS[:1],
        [
            {"$lookup": BY_ITEM},
            {"$match": {"docs.instock": {"$gt": 100}, "_id": 1}},
            {"$project": {"_id": 1}},
        ],
        ids(1),
        others={"stock": STOCK},
    ),
    # What joins what: the semantics of equality.
    joins({"a": 1}, foreign(1, 1.0, Int64(1), "1", True, [1], [[1]], 2), [0, 1, 2, 5]),
    joins({"a": None}, foreign(None, "absent", [], [None], [[None]], 0, UNDEFINED), [0, 1, 3]),
    joins({}, foreign(None, "absent", [], [None], 0), [0, 1, 3]),
    joins({"a": []}, foreign(None, "absent", [], [None], [[]]), [0, 1, 3]),
    joins({"a": [1, 2]}, foreign(1, 2, 3, [1, 2], [3, 2]), [0, 1, 3, 4], order_by_index=True),
    joins({"a": [[1, 2]]}, foreign(1, [1, 2], [[1, 2]]), [1, 2]),
    joins({"a": {"x": 1}}, foreign({"x": 1}, {"x": 1.0}, {"x": 1, "y": 1}, [{"x": 1}]), [0, 1, 3]),
    joins({"a": Regex("x")}, foreign("x", Regex("x"), Regex("y")), [1]),
    joins({"a": [Regex("x"), "q"]}, foreign("x", Regex("x"), "q"), [1, 2], order_by_index=True),
    joins({"a": float("nan")}, foreign(float("nan"), 1, [float("nan")]), [0, 2]),
    joins(
        {"a": {"x": 5}},
        [
            {"_id": 0, "b": {"y": 5}},
            {"_id": 1, "b": [{"y": 5}, {"y": 1}]},
            {"_id": 2, "b": {"y": [5, 6]}},
            {"_id": 3, "b": 5},
        ],
        [0, 1, 2],
        field="a.x",
        other="b.y",
    ),
    joins(
        {"a": [{"x": 1}, {"x": [2, 3]}, {"z": 9}, 7]},
        foreign(1, 2, 3, 7, 9, None),
        [0, 1, 2],
        field="a.x",
    ),
    joins({"a": [{"z": 1}]}, foreign(None, 1), [0], field="a.x"),
    joins({"a": 5}, foreign(None, 5), [0], field="a.x"),
    joins(
        {"a": None},
        [{"_id": 0, "b": [{"y": 1}, {}]}, {"_id": 1, "b": [1]}, {"_id": 2, "b": 1}],
        [0, 2],
        other="b.y",
    ),
    # Pipelines.
    case(
        L,
        [
            {"_id": 1, "item": "almonds", "ordered": 2},
            {"_id": 2, "item": "pecans", "ordered": 1},
            {"_id": 3, "item": "cookies", "ordered": 60},
        ],
        [
            {
                "$lookup": {
                    "from": "w",
                    "let": {"order_item": "$item", "order_qty": "$ordered"},
                    "pipeline": [
                        {
                            "$match": {
                                "$expr": {
                                    "$and": [
                                        {"$eq": ["$stock_item", "$$order_item"]},
                                        {"$gte": ["$instock", "$$order_qty"]},
                                    ]
                                }
                            }
                        },
                        {"$project": {"stock_item": 0, "_id": 0}},
                    ],
                    "as": "stockdata",
                }
            }
        ],
        [
            {
                "_id": 1,
                "item": "almonds",
                "ordered": 2,
                "stockdata": [
                    {"warehouse": "A", "instock": 120},
                    {"warehouse": "B", "instock": 60},
                ],
            },
            {
                "_id": 2,
                "item": "pecans",
                "ordered": 1,
                "stockdata": [{"warehouse": "A", "instock": 80}],
            },
            {
                "_id": 3,
                "item": "cookies",
                "ordered": 60,
                "stockdata": [{"warehouse": "A", "instock": 80}],
            },
        ],
        others={
            "w": [
                {"_id": 1, "stock_item": "almonds", "warehouse": "A", "instock": 120},
                {"_id": 2, "stock_item": "pecans", "warehouse": "A", "instock": 80},
                {"_id": 3, "stock_item": "almonds", "warehouse": "B", "instock": 60},
                {"_id": 4, "stock_item": "cookies", "warehouse": "B", "instock": 40},
                {"_id": 5, "stock_item": "cookies", "warehouse": "A", "instock": 80},
            ]
        },
    ),
    case(
        L,
        [{"_id": 1, "s": "Ann"}, {"_id": 2, "s": "Bob"}],
        [
            {
                "$lookup": {
                    "from": "h",
                    "pipeline": [
                        {"$match": {"y": 2018}},
                        {"$project": {"_id": 0, "d": "$n"}},
                        {"$replaceRoot": {"newRoot": "$d"}},
                    ],
                    "as": "hs",
                }
            }
        ],
        [{"_id": 1, "s": "Ann", "hs": [{"m": 1}]}, {"_id": 2, "s": "Bob", "hs": [{"m": 1}]}],
        others={"h": [{"_id": 1, "y": 2018, "n": {"m": 1}}, {"_id": 2, "y": 2019, "n": {"m": 2}}]},
    ),
    case(
        L,
        [{"_id": 1, "item": "filet", "r": "Steak", "b": "wine"}],
        [
            {
                "$lookup": {
                    "from": "r",
                    "localField": "r",
                    "foreignField": "name",
                    "let": {"bev": "$b"},
                    "pipeline": [
                        {"$match": {"$expr": {"$in": ["$$bev", "$beverages"]}}},
                        {"$project": {"_id": 0, "food": 1}},
                    ],
                    "as": "m",
                }
            }
        ],
        [{"_id": 1, "item": "filet", "r": "Steak", "b": "wine", "m": [{"food": ["filet"]}]}],
        others={
            "r": [
                {"_id": 1, "name": "Steak", "food": ["filet"], "beverages": ["beer", "wine"]},
                {"_id": 2, "name": "Steak", "food": ["x"], "beverages": ["beer"]},
                {"_id": 3, "name": "Pizza", "food": ["y"], "beverages": ["wine"]},
            ]
        },
    ),
    case(
        L,
        [{"_id": 1, "k": 1}, {"_id": 2, "k": 2}],
        [
            {
                "$lookup": {
                    "from": "f",
                    "localField": "k",
                    "foreignField": "k",
                    "pipeline": [
                        {"$sort": {"v": -1}},
                        {"$limit": 1},
                        {"$project": {"_id": 0, "v": 1}},
                    ],
                    "as": "top",
                }
            }
        ],
        [{"_id": 1, "k": 1, "top": [{"v": 9}]}, {"_id": 2, "k": 2, "top": []}],
        others={"f": [{"k": 1, "v": 3}, {"k": 1, "v": 9}]},
    ),
    case(
        L,
        [{"_id": 1, "k": 2}, {"_id": 2, "k": 5}],
        [
            {
                "$lookup": {
                    "from": "f",
                    "let": {"k": "$k"},
                    "pipeline": [
                        {"$match": {"$expr": {"$lt": ["$v", "$$k"]}}},
                        {"$group": {"_id": None, "s": {"$sum": "$v"}}},
                    ],
                    "as": "x",
                }
            }
        ],
        [
            {"_id": 1, "k": 2, "x": [{"_id": None, "s": 1}]},
            {"_id": 2, "k": 5, "x": [{"_id": None, "s": 8}]},
        ],
        others={"f": [{"v": 1}, {"v": 3}, {"v": 4}]},
    ),
    case(
        L,
        [{"_id": 1, "k": None}, {"_id": 2}],
        [
            {
                "$lookup": {
                    "from": "f",
                    "let": {"k": "$k"},
                    "pipeline": [{"$match": {"$expr": {"$eq": ["$v", "$$k"]}}}],
                    "as": "x",
                }
            }
        ],
        [{"_id": 1, "k": None, "x": ids(1) and [{"_id": 1, "v": None}]}, {"_id": 2, "x": ids(2)}],
        others={"f": [{"_id": 1, "v": None}, {"_id": 2}, {"_id": 3, "v": 0}]},
    ),
    case(
        L,
        [{"_id": 1, "k": [1]}, {"_id": 2, "k": 1}],
        [
            {
                "$lookup": {
                    "from": "f",
                    "let": {"k": "$k"},
                    "pipeline": [
                        {"$match": {"$expr": {"$eq": ["$a.v", "$$k"]}}},
                        {"$project": {"_id": 1}},
                    ],
                    "as": "x",
                }
            }
        ],
        [{"_id": 1, "k": [1], "x": ids(1)}, {"_id": 2, "k": 1, "x": ids(2)}],
        others={"f": [{"_id": 1, "a": [{"v": 1}]}, {"_id": 2, "a": {"v": 1}}]},
    ),
    case(
        L,
        [{"_id": 1, "n": 3}],
        [
            {
                "$lookup": {
                    "from": "f",
                    "let": {"n": "$n"},
                    "pipeline": [
                        {"$match": {"v": {"$gte": 1}}},
                        {"$set": {"s": {"$add": ["$v", "$$n", "$$top"]}}},
                        {"$match": {"s": {"$gt": 104}}},
                        {"$project": {"_id": 0, "s": 1}},
                    ],
                    "as": "x",
                }
            }
        ],
        [{"_id": 1, "n": 3, "x": [{"s": 105}]}],
        others={"f": [{"v": 0}, {"v": 1}, {"v": 2}]},
        let={"top": 100},
    ),
    case(
        L,
        [{"_id": 1, "a": 1}],
        [
            {
                "$lookup": {
                    "from": "f",
                    "let": {"a": "$a"},
                    "pipeline": [
                        {
                            "$lookup": {
                                "from": "g",
                                "let": {"b": "$b"},
                                "pipeline": [
                                    {"$project": {"_id": 0, "s": {"$add": ["$$a", "$$b", "$c"]}}}
                                ],
                                "as": "in",
                            }
                        },
                        {"$project": {"_id": 0, "in": 1}},
                    ],
                    "as": "out",
                }
            }
        ],
        [{"_id": 1, "a": 1, "out": [{"in": [{"s": 111}]}]}],
        others={"f": [{"b": 10}], "g": [{"c": 100}]},
    ),
    case(
        L,
        [{"_id": 1, "a": 5}, {"_id": 2, "a": [1, 6]}, {"_id": 3}],
        [
            {
                "$lookup": {
                    "localField": "a",
                    "foreignField": "x",
                    "pipeline": [
                        {"$documents": [{"x": 1}, {"x": 5}, {"x": 6}, {"y": 0}]},
                        {"$set": {"twice": {"$multiply": ["$x", 2]}}},
                    ],
                    "as": "m",
                }
            }
        ],
        [
            {"_id": 1, "a": 5, "m": [{"x": 5, "twice": 10}]},
            {"_id": 2, "a": [1, 6], "m": [{"x": 1, "twice": 2}, {"x": 6, "twice": 12}]},
            {"_id": 3, "m": [{"y": 0, "twice": None}]},
        ],
    ),
    case(
        L,
        [{"_id": 1, "a": 5}, {"_id": 2, "a": 6}],
        [
            {
                "$lookup": {
                    "localField": "a",
                    "foreignField": "x",
                    "let": {"mine": "$a"},
                    "pipeline": [{"$documents": [{"x": 5, "n": "$$mine"}, {"x": "$$mine"}]}],
                    "as": "m",
                }
            }
        ],
        [
            {"_id": 1, "a": 5, "m": [{"x": 5, "n": 5}, {"x": 5}]},
            {"_id": 2, "a": 6, "m": [{"x": 6}]},
        ],
    ),
    case(
        L,
        [{"_id": 1, "a": 5}],
        [
            {
                "$lookup": {
                    "let": {"a": "$a"},
                    "pipeline": [
                        {"$documents": [{"x": 1}, {"x": 5}]},
                        {"$match": {"$expr": {"$eq": ["$x", "$$a"]}}},
                    ],
                    "as": "d",
                }
            }
        ],
        [{"_id": 1, "a": 5, "d": [{"x": 5}]}],
    ),
    case(
        L,
        [{"_id": 1, "a": 5}],
        [
            {
                "$lookup": {
                    "localField": "a",
                    "foreignField": "x",
                    "pipeline": [{"$documents": [{"x": 1}, {"x": 5}]}],
                    "as": "d",
                }
            }
        ],
        [{"_id": 1, "a": 5, "d": [{"x": 5}]}],
    ),
    # Errors.
    case(L, ORDERS, [{"$lookup": 1}], Fails(9, "the $lookup specification must be an Object")),
    case(
        L,
        ORDERS,
        [{"$lookup": {"from": "x", "localField": "a", "foreignField": "b"}}],
        Fails(9, "must specify 'as' field"),
    ),
    case(L, ORDERS, [{"$lookup": {"from": "x", "localField": "a", "as": "c"}}], Fails(9)),
    case(
        L,
        ORDERS,
        [{"$lookup": {"from": "x", "as": "c"}}],
        Fails(9, "requires either 'pipeline' or both 'localField' and 'foreignField'"),
    ),
    case(
        L,
        ORDERS,
        [{"$lookup": {"from": "x", "localField": "a", "pipeline": [], "as": "c"}}],
        Fails(9, "both or neither"),
    ),
    case(
        L, ORDERS, [{"$lookup": {**BY_ITEM, "let": {}}}], Fails(9, "must also specify 'pipeline'")
    ),
    case(L, ORDERS, [{"$lookup": {**BY_ITEM, "x": 1}}], Fails(9, "unknown argument to $lookup: x")),
    case(L, ORDERS, [{"$lookup": {**BY_ITEM, "as": 1}}], Fails(9, "'as' must be a string")),
    case(L, ORDERS, [{"$lookup": {**BY_ITEM, "as": "$x"}}], Fails(16410)),
    case(L, ORDERS, [{"$lookup": {**BY_ITEM, "localField": "$x"}}], Fails(16410)),
    case(L, ORDERS, [{"$lookup": {"from": "x", "pipeline": 1, "as": "c"}}], Fails(14)),
    case(L, ORDERS, [{"$lookup": {"from": "x", "pipeline": [], "let": 1, "as": "c"}}], Fails(9)),
    case(
        L,
        ORDERS,
        [{"$lookup": {"from": "x", "pipeline": [], "let": {"A": 1}, "as": "c"}}],
        Fails(9),
    ),
    case(
        L,
        ORDERS,
        [{"$lookup": {"from": "x", "pipeline": [{"$out": "y"}], "as": "c"}}],
        Fails(51047, "$out is not allowed within a $lookup's sub-pipeline"),
    ),
    case(
        L,
        ORDERS,
        [{"$lookup": {"from": "x", "pipeline": [{"$merge": "y"}], "as": "c"}}],
        Fails(51047),
    ),
    case(L, ORDERS, [{"$lookup": {"pipeline": [], "as": "c"}}], Fails(9)),
    case(L, ORDERS, [{"$lookup": {"localField": "a", "foreignField": "b", "as": "c"}}], Fails(9)),
    case(L, ORDERS, [{"$lookup": {**BY_ITEM, "from": {"db": "x", "coll": "y"}}}], Fails(9)),
    case(
        L,
        ORDERS,
        [{"$lookup": {"from": "x", "pipeline": [{"$match": {"$expr": "$$nope"}}], "as": "c"}}],
        Fails(17276),
    ),
]


def nested(depth: int) -> Doc:
    stage: Doc = {"$limit": 1}
    for _ in range(depth):
        stage = {"$lookup": {"from": "x", "pipeline": [stage], "as": "a"}}
    return stage


LOOKUP += [
    case(L, [], [nested(20)], []),
    case(L, [], [nested(21)], Fails(232)),
]

G = "graphLookup"
STAFF: list[Doc] = [
    {"_id": 1, "name": "Dev"},
    {"_id": 2, "name": "Eliot", "reportsTo": "Dev"},
    {"_id": 3, "name": "Ron", "reportsTo": "Eliot"},
    {"_id": 4, "name": "Andrew", "reportsTo": "Eliot"},
    {"_id": 5, "name": "Asya", "reportsTo": "Ron"},
    {"_id": 6, "name": "Dan", "reportsTo": "Andrew"},
]
HIERARCHY = {
    "from": "staff", "startWith": "$reportsTo", "connectFromField": "reportsTo",
    "connectToField": "name", "as": "up",
}  # fmt: skip
AIRPORTS: list[Doc] = [
    {"_id": 0, "airport": "JFK", "connects": ["BOS", "ORD"]},
    {"_id": 1, "airport": "BOS", "connects": ["JFK", "PWM"]},
    {"_id": 2, "airport": "ORD", "connects": ["JFK"]},
    {"_id": 3, "airport": "PWM", "connects": ["BOS", "LHR"]},
    {"_id": 4, "airport": "LHR", "connects": ["PWM"]},
]
FLIGHTS = {
    "from": "airports", "startWith": "$near", "connectFromField": "connects",
    "connectToField": "airport", "as": "d",
}  # fmt: skip


def graph(expected: Any, docs: list[Doc], spec: Doc, *then: Doc, **options: Any) -> Case:
    others = {"staff": STAFF, "airports": AIRPORTS}
    return case(G, docs, [{"$graphLookup": spec}, *then], expected, others=others, **options)


GRAPH = [
    graph(
        [{"_id": 5, "up": ids(3, 2, 1)}, {"_id": 1, "up": []}],
        [STAFF[4], STAFF[0]],
        HIERARCHY,
        {"$project": {"up._id": 1}},
    ),
    graph(
        [
            {
                "_id": 9,
                "d": [
                    {"a": "JFK", "n": Int64(0)},
                    {"a": "BOS", "n": Int64(1)},
                    {"a": "ORD", "n": Int64(1)},
                    {"a": "PWM", "n": Int64(2)},
                ],
            }
        ],
        [{"_id": 9, "near": "JFK"}],
        {**FLIGHTS, "maxDepth": 2, "depthField": "n"},
        {
            "$project": {
                "d": {"$map": {"input": "$d", "in": {"a": "$$this.airport", "n": "$$this.n"}}}
            }
        },
    ),
    graph(
        [{"_id": 9, "d": ids(0)}],
        [{"_id": 9, "near": "JFK"}],
        {**FLIGHTS, "maxDepth": 0},
        {"$project": {"d._id": 1}},
    ),
    graph(
        [{"_id": 9, "d": ids(1, 2, 0, 3, 4)}],
        [{"_id": 9, "near": ["BOS", "ORD"]}],
        FLIGHTS,
        {"$project": {"d._id": 1}},
    ),
    graph(
        [{"_id": 9, "d": ids(0, 1)}],
        [{"_id": 9, "near": "JFK"}],
        {**FLIGHTS, "restrictSearchWithMatch": {"airport": {"$in": ["JFK", "BOS", "LHR"]}}},
        {"$project": {"d._id": 1}},
    ),
    graph([{"_id": 9, "d": []}], [{"_id": 9}], FLIGHTS),
    graph([{"_id": 9, "near": None, "d": []}], [{"_id": 9, "near": None}], FLIGHTS),
    graph(
        [{"_id": 9, "near": "JFK", "x": {"d": [AIRPORTS[0]]}}],
        [{"_id": 9, "near": "JFK"}],
        {**FLIGHTS, "maxDepth": 0, "as": "x.d"},
    ),
    graph(
        [{"_id": 9, "n": 5}],
        [{"_id": 9, "near": "JFK"}],
        FLIGHTS,
        {"$project": {"n": {"$size": "$d"}}},
    ),
    graph(
        [{"_id": 9, "n": "JFK"}, {"_id": 9, "n": "BOS"}],
        [{"_id": 9, "near": "JFK"}],
        {**FLIGHTS, "restrictSearchWithMatch": {"airport": {"$lt": "L", "$ne": "ORD"}}},
        {"$unwind": "$d"},
        {"$project": {"n": "$d.airport"}},
    ),
    graph(Fails(9), STAFF, 1),  # type: ignore[arg-type]
    graph(Fails(40105), STAFF, {k: v for k, v in HIERARCHY.items() if k != "as"}),
    graph(Fails(40105), STAFF, {k: v for k, v in HIERARCHY.items() if k != "from"}),
    graph(Fails(40104), STAFF, {**HIERARCHY, "x": 1}),
    graph(Fails(40103), STAFF, {**HIERARCHY, "as": 1}),
    graph(Fails(40103), STAFF, {**HIERARCHY, "from": 1}),
    graph(Fails(40103), STAFF, {**HIERARCHY, "depthField": 1}),
    graph(Fails(40100), STAFF, {**HIERARCHY, "maxDepth": "x"}),
    graph(Fails(40101), STAFF, {**HIERARCHY, "maxDepth": -1}),
    graph(Fails(40102), STAFF, {**HIERARCHY, "maxDepth": 1.5}),
    graph(Fails(40185), STAFF, {**HIERARCHY, "restrictSearchWithMatch": 1}),
    graph(Fails(16410), STAFF, {**HIERARCHY, "connectToField": "$x"}),
]
GRAPH = [
    Case(c.page, c.docs, c.pipeline, c.expected, c.others, {**c.options, "no_spill": True})
    for c in GRAPH
]

U = "unionWith"
A = [{"_id": 1, "s": "A"}, {"_id": 2, "s": "B"}]
B = [{"_id": 1, "s": "B"}, {"_id": 3, "s": "C"}]
UNION = [
    case(U, A, [{"$unionWith": "b"}], [*A, *B], others={"b": B}),
    case(U, A, [{"$unionWith": {"coll": "b"}}], [*A, *B], others={"b": B}),
    case(
        U,
        A,
        [{"$unionWith": {"coll": "b", "pipeline": [{"$match": {"s": "C"}}]}}],
        [*A, B[1]],
        others={"b": B},
    ),
    case(U, A, [{"$unionWith": "b"}, {"$match": {"s": "B"}}], [A[1], B[0]], others={"b": B}),
    case(
        U,
        A,
        [{"$unionWith": "b"}, {"$group": {"_id": "$s", "n": {"$sum": 1}}}, {"$sort": {"_id": 1}}],
        [{"_id": "A", "n": 1}, {"_id": "B", "n": 2}, {"_id": "C", "n": 1}],
        others={"b": B},
    ),
    case(
        U,
        A,
        [
            {"$project": {"_id": 0}},
            {"$unionWith": {"coll": "b", "pipeline": [{"$project": {"_id": 0}}]}},
            {"$sort": {"s": 1}},
            {"$limit": 2},
        ],
        [{"s": "A"}, {"s": "B"}],
        others={"b": B},
    ),
    case(U, A, [{"$unionWith": "none"}], A),
    case(U, [], [{"$unionWith": "b"}, {"$unionWith": "b"}], [*B, *B], others={"b": B}),
    case(
        U,
        A,
        [{"$unionWith": {"pipeline": [{"$documents": [{"_id": 4}, {"_id": 5}]}]}}],
        [*A, {"_id": 4}, {"_id": 5}],
    ),
    case(
        U,
        A,
        [{"$unionWith": {"coll": "b", "pipeline": [{"$unionWith": "c"}]}}],
        [*A, *B, {"_id": 9}],
        others={"b": B, "c": [{"_id": 9}]},
    ),
    case(U, A, [{"$unionWith": 1}], Fails(9)),
    case(U, A, [{"$unionWith": {"coll": 1}}], Fails(14)),
    case(U, A, [{"$unionWith": {"coll": "b", "x": 1}}], Fails(40415)),
    case(U, A, [{"$unionWith": {"pipeline": []}}], Fails(9)),
    case(U, A, [{"$unionWith": {"coll": "b", "pipeline": [{"$out": "x"}]}}], Fails(31441)),
    case(U, A, [{"$unionWith": {"coll": "b", "pipeline": 1}}], Fails(14)),
]

D = "documents"
DOCUMENTS = [
    case(
        D,
        [],
        [{"$documents": [{"x": 10}, {"x": 2}]}, {"$sort": {"x": 1}}],
        [{"x": 2}, {"x": 10}],
        collection=None,
        whole=True,
    ),
    case(
        D,
        [],
        [{"$documents": {"$map": {"input": [1, 2], "in": {"v": "$$this"}}}}],
        [{"v": 1}, {"v": 2}],
        collection=None,
        whole=True,
    ),
    case(
        D,
        [],
        [{"$documents": "$$docs"}],
        [{"a": 1}],
        collection=None,
        let={"docs": [{"a": 1}]},
        whole=True,
    ),
    case(D, [], [{"$documents": []}], [], collection=None, whole=True),
    case(D, [], [{"$documents": {"a": 1}}], Fails(5858203), collection=None),
    case(D, [], [{"$documents": [1]}], Fails(40228), collection=None),
    case(D, [], [{"$limit": 1}, {"$documents": []}], Fails(40602)),
    case(D, [{"a": 1}], [{"$facet": {"x": [{"$documents": []}]}}], Fails(40600)),
]
CASES = LOOKUP + GRAPH + UNION + DOCUMENTS


@pytest.mark.parametrize("one", params(CASES))
def test_case(one: Case) -> None:
    check(one)


def test_equality_reads_the_foreign_collection_once() -> None:
    one = case(L, ORDERS * 50, [{"$lookup": BY_ITEM}], [], others={"stock": STOCK})
    from agg_kit import compile_case
    from agg_world import run_compiled

    world = make_world(one)
    run_compiled(compile_case(one, world), one.docs, world=world)
    assert world.foreign_runs == 1


def test_an_index_is_asked_once_for_each_value() -> None:
    one = case(L, ORDERS * 50, [{"$lookup": BY_ITEM}], [], others={"stock": STOCK})
    from agg_kit import compile_case
    from agg_world import run_compiled

    world = make_world(one, indexed=True)
    run_compiled(compile_case(one, world), one.docs, world=world, batch=50)
    assert world.index_lookups == 1


def test_a_foreign_collection_larger_than_memory_is_scanned_by_blocks() -> None:
    many = [{"_id": n, "sku": n % 100} for n in range(1000)]
    docs = [{"_id": n, "item": n} for n in range(200)]
    one = case(
        L,
        docs,
        [{"$lookup": BY_ITEM}, {"$project": {"n": {"$size": "$docs"}}}],
        [],
        others={"stock": many},
    )
    got = run_case(one, memory_bytes=500)
    assert got == [{"_id": n, "n": 10 if n < 100 else 0} for n in range(200)]


def test_what_may_be_seen_beside_the_pipeline() -> None:
    from agg_kit import compile_case

    one = case(
        L, [], [{"$lookup": {**BY_ITEM, "pipeline": [{"$unionWith": "u"}]}}, {"$merge": "m"}], []
    )
    compiled = compile_case(one, make_world(one))
    assert compiled.foreign == (("db", "stock"), ("db", "u"), ("db", "m"))
    assert compiled.writes is not None
