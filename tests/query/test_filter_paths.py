"""Paths through documents and arrays, `$elemMatch`, positions: (manual page, docs, filter, ids)."""

from __future__ import annotations

from typing import Any

import pytest
from bson.int64 import Int64
from bson.regex import Regex
from filter_kit import CTX, ENV, FilterCase, check_filter, table

from psdb_base.values import UNDEFINED
from psdb_query.filters import compile_filter

INVENTORY: list[Any] = [
    {"item": "journal", "instock": [{"warehouse": "A", "qty": 5}, {"warehouse": "C", "qty": 15}]},
    {"item": "notebook", "instock": [{"warehouse": "C", "qty": 5}]},
    {"item": "paper", "instock": [{"warehouse": "A", "qty": 60}, {"warehouse": "B", "qty": 15}]},
    {"item": "planner", "instock": [{"warehouse": "A", "qty": 40}, {"warehouse": "B", "qty": 5}]},
    {"item": "postcard", "instock": [{"warehouse": "B", "qty": 15}, {"warehouse": "C", "qty": 35}]},
]
SIZES: list[Any] = [
    {"tags": ["blank", "red"], "dim_cm": [14, 21]},
    {"tags": ["red", "blank"], "dim_cm": [14, 21]},
    {"tags": ["red", "blank", "plain"], "dim_cm": [14, 21]},
    {"tags": ["blank", "red"], "dim_cm": [22.85, 30]},
    {"tags": ["blue"], "dim_cm": [10, 15.25]},
]
NESTED: list[Any] = [
    {"size": {"h": 14, "w": 21, "uom": "cm"}, "status": "A"},
    {"size": {"h": 8.5, "w": 11, "uom": "in"}, "status": "A"},
    {"size": {"h": 8.5, "w": 11, "uom": "in"}, "status": "D"},
    {"size": {"h": 22.85, "w": 30, "uom": "cm"}, "status": "D"},
    {"size": {"h": 10, "w": 15.25, "uom": "cm"}, "status": "A"},
]
# What the server's own tests of null semantics distinguish.
NULLS: list[Any] = [
    {},  # 0
    {"a": None},  # 1
    {"a": UNDEFINED},  # 2
    {"a": 4},  # 3
    {"a": {}},  # 4
    {"a": {"b": None}},  # 5
    {"a": {"b": UNDEFINED}},  # 6
    {"a": {"b": 4}},  # 7
    {"a": []},  # 8
    {"a": [[]]},  # 9
    {"a": [{"b": None}, {"b": None}, {}]},  # 10
    {"a": [{"b": 1}, {"b": 3}, {"b": "s"}]},  # 11
    {"a": [{"b": None}, {"b": 3}]},  # 12
    {"a": [{"b": UNDEFINED}, {"b": 3}]},  # 13
    {"a": [{"b": 3}, {}]},  # 14
    {"a": [None, None]},  # 15
    {"a": [1, "s", 4]},  # 16
    {"a": [1, None]},  # 17
    {"a": [1, UNDEFINED]},  # 18
]

CASES: list[FilterCase] = [
    # Query an array of embedded documents
    ("Query Array of Documents", INVENTORY, {"instock": {"warehouse": "A", "qty": 5}}, [0]),
    ("Query Array of Documents", INVENTORY, {"instock": {"qty": 5, "warehouse": "A"}}, []),
    ("Query Array of Documents", INVENTORY, {"instock.qty": {"$lte": 20}}, [0, 1, 2, 3, 4]),
    ("Query Array of Documents", INVENTORY, {"instock.0.qty": {"$lte": 20}}, [0, 1, 4]),
    (
        "Query Array of Documents",
        INVENTORY,
        {"instock": {"$elemMatch": {"qty": 5, "warehouse": "A"}}},
        [0],
    ),
    (
        "Query Array of Documents",
        INVENTORY,
        {"instock": {"$elemMatch": {"qty": {"$gt": 10, "$lte": 20}}}},
        [0, 2, 4],
    ),
    ("Query Array of Documents", INVENTORY, {"instock.qty": {"$gt": 10, "$lte": 20}}, [0, 2, 3, 4]),
    ("Query Array of Documents", INVENTORY, {"instock.qty": 5, "instock.warehouse": "A"}, [0, 3]),
    ("Query Array of Documents", INVENTORY, {"instock.1.warehouse": "C"}, [0, 4]),
    ("Query Array of Documents", INVENTORY, {"instock.1": {"$exists": False}}, [1]),
    ("Query Array of Documents", INVENTORY, {"instock.2": {"$exists": True}}, []),
    ("Query Array of Documents", INVENTORY, {"instock": {"$size": 1}}, [1]),
    ("Query Array of Documents", INVENTORY, {"instock.qty": {"$ne": 5}}, [2, 4]),
    ("Query Array of Documents", INVENTORY, {"instock.qty": {"$nin": [5, 60]}}, [4]),
    ("Query Array of Documents", INVENTORY, {"instock.qty": {"$in": [60, 35]}}, [2, 4]),
    ("Query Array of Documents", INVENTORY, {"instock.qty": {"$all": [5, 40]}}, [3]),
    ("Query Array of Documents", INVENTORY, {"instock.qty": {"$not": {"$gte": 35}}}, [0, 1]),
    ("Query Array of Documents", INVENTORY, {"instock.qty": {"$mod": [20, 15]}}, [0, 2, 4]),
    ("Query Array of Documents", INVENTORY, {"instock.qty": {"$type": "string"}}, []),
    (
        "Query Array of Documents",
        INVENTORY,
        {"instock.warehouse": {"$regex": "^[AB]$"}},
        [0, 2, 3, 4],
    ),
    # Query an array
    ("Query an Array", SIZES, {"tags": ["red", "blank"]}, [1]),
    ("Query an Array", SIZES, {"tags": {"$all": ["red", "blank"]}}, [0, 1, 2, 3]),
    ("Query an Array", SIZES, {"tags": "red"}, [0, 1, 2, 3]),
    ("Query an Array", SIZES, {"dim_cm": {"$gt": 25}}, [3]),
    ("Query an Array", SIZES, {"dim_cm": {"$gt": 15, "$lt": 20}}, [0, 1, 2, 4]),
    ("Query an Array", SIZES, {"dim_cm": {"$elemMatch": {"$gt": 22, "$lt": 30}}}, [3]),
    ("Query an Array", SIZES, {"dim_cm.1": {"$gt": 25}}, [3]),
    ("Query an Array", SIZES, {"tags": {"$size": 3}}, [2]),
    ("Query an Array", SIZES, {"tags.0": "blank"}, [0, 3]),
    ("Query an Array", SIZES, {"tags": {"$ne": "red"}}, [4]),
    ("Query an Array", SIZES, {"tags": {"$nin": ["plain", "blue"]}}, [0, 1, 3]),
    ("Query an Array", SIZES, {"tags": {"$gt": "q"}}, [0, 1, 2, 3]),
    ("Query an Array", SIZES, {"dim_cm": {"$lte": [14, 21]}}, [0, 1, 2, 4]),
    ("Query an Array", SIZES, {"dim_cm": [14.0, Int64(21)]}, [0, 1, 2]),
    # Query on embedded documents
    ("Query Embedded Documents", NESTED, {"size": {"h": 14, "w": 21, "uom": "cm"}}, [0]),
    ("Query Embedded Documents", NESTED, {"size": {"w": 21, "h": 14, "uom": "cm"}}, []),
    ("Query Embedded Documents", NESTED, {"size.uom": "in"}, [1, 2]),
    ("Query Embedded Documents", NESTED, {"size.h": {"$lt": 15}}, [0, 1, 2, 4]),
    (
        "Query Embedded Documents",
        NESTED,
        {"size.h": {"$lt": 15}, "size.uom": "in", "status": "D"},
        [2],
    ),
    ("Query Embedded Documents", NESTED, {"size.x": None}, [0, 1, 2, 3, 4]),
    ("Query Embedded Documents", NESTED, {"status.x": {"$exists": False}}, [0, 1, 2, 3, 4]),
    ("Query Embedded Documents", NESTED, {"size.h.x": 1}, []),
    # Null and missing
    ("Query for Null", NULLS, {"a": None}, [0, 1, 15, 17]),
    ("Query for Null", NULLS, {"a": {"$eq": None}}, [0, 1, 15, 17]),
    ("Query for Null", NULLS, {"a": {"$in": [None]}}, [0, 1, 15, 17]),
    ("Query for Null", NULLS, {"a": {"$in": [None, 4]}}, [0, 1, 3, 15, 16, 17]),
    ("Query for Null", NULLS, {"a": {"$gte": None}}, [0, 1, 2, 15, 17, 18]),
    (
        "Query for Null",
        NULLS,
        {"a": {"$ne": None}},
        [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 18],
    ),
    ("Query for Null", NULLS, {"a": {"$exists": False}}, [0]),
    ("Query for Null", NULLS, {"a": {"$not": {"$gte": None}}}, [3, 4, *range(5, 15), 16]),
    ("Query for Null", NULLS, {"a": {"$elemMatch": {"$eq": None}}}, [15, 17]),
    ("Query for Null", NULLS, {"a": {"$elemMatch": {"$ne": None}}}, [*range(9, 15), 16, 17, 18]),
    ("Query for Null", NULLS, {"a.b": None}, [0, 1, 2, 3, 4, 5, 10, 12, 14]),
    ("Query for Null", NULLS, {"a.b": {"$ne": None}}, [6, 7, 8, 9, 11, 13, 15, 16, 17, 18]),
    ("Query for Null", NULLS, {"a.b": {"$exists": False}}, [0, 1, 2, 3, 4, 8, 9, 15, 16, 17, 18]),
    ("Query for Null", NULLS, {"a.b": {"$exists": True}}, [5, 6, 7, 10, 11, 12, 13, 14]),
    ("Query for Null", NULLS, {"a.b": {"$in": [None, 1]}}, [0, 1, 2, 3, 4, 5, 10, 11, 12, 14]),
    ("Query for Null", NULLS, {"a.b": {"$nin": [None, 1]}}, [6, 7, 8, 9, 13, 15, 16, 17, 18]),
    ("Query for Null", NULLS, {"a.b": {"$gte": None}}, [0, 1, 2, 3, 4, 5, 6, 10, 12, 13, 14]),
    ("Query for Null", NULLS, {"a": {"$elemMatch": {"b": None}}}, [9, 10, 12, 14]),
    (
        "Query for Null",
        NULLS,
        {"a": {"$elemMatch": {"b": {"$exists": True}}}},
        [10, 11, 12, 13, 14],
    ),
    ("Query for Null", NULLS, {"a": {"$elemMatch": {"b": {"$ne": None}}}}, [11, 12, 13, 14]),
    # Positions in paths
    ("Dot Notation", [[1, 2], [[1, 2]], {"0": 1}, 1], {"a.0": 1}, [0]),
    ("Dot Notation", [{"a": {"0": 1}}, {"a": [{"0": 1}]}, {"a": [1]}], {"a.0": 1}, [0, 1, 2]),
    ("Dot Notation", [{"a": [[5, 6]]}, {"a": [5]}], {"a.0": [5, 6]}, [0]),
    ("Dot Notation", [{"a": [[5, 6]]}, {"a": [5, 6]}], {"a.0": 5}, [1]),
    ("Dot Notation", [{"a": [[5, 6]]}, {"a": [5, 6]}], {"a.0.1": 6}, [0]),
    ("Dot Notation", [{"a": [{"b": [{"c": 1}]}]}, {"a": {"b": {"c": 1}}}], {"a.b.c": 1}, [0, 1]),
    ("Dot Notation", [{"a": [[{"b": 1}]]}, {"a": [{"b": 1}]}], {"a.b": 1}, [1]),
    ("Dot Notation", [{"a": [[{"b": 1}]]}, {"a": [{"b": 1}]}], {"a.0.b": 1}, [0, 1]),
    ("Dot Notation", [{"a": [{"b": 1}, {"b": 2}]}], {"a.1.b": 2}, [0]),
    ("Dot Notation", [{"a": [{"b": 1}, {"b": 2}]}], {"a.1.b": 1}, []),
    ("Dot Notation", [{"a": [{"1": {"b": 1}}]}], {"a.1.b": 1}, [0]),
    ("Dot Notation", [{"a": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}], {"a.10": 10}, [0]),
    ("Dot Notation", [{"a": [1]}], {"a.-1": 1}, []),
    ("Dot Notation", [{"a": [1]}], {"a.99999999999999999999": 1}, []),
    ("Dot Notation", [{"a": [1]}], {"a.": 1}, []),
    ("Dot Notation", [{"": 1}, {"a": 1}], {"": 1}, [0]),
    ("Dot Notation", [{"a": {"": 1}}, {"a": 1}], {"a.": 1}, [0]),
    ("Dot Notation", [{"a": {"b": [{"c": [1, 2]}, {"c": [3]}]}}], {"a.b.c": 3}, [0]),
    ("Dot Notation", [{"a": {"b": [{"c": [1, 2]}, {"c": [3]}]}}], {"a.b.c": [1, 2]}, [0]),
    ("Dot Notation", [{"a": {"b": [{"c": [1, 2]}, {"c": [3]}]}}], {"a.b.c.1": 2}, [0]),
    ("Dot Notation", [{"a": {"b": [{"c": [1, 2]}, {"c": [3]}]}}], {"a.b.1.c": 3}, [0]),
    ("Dot Notation", [{"a": {"b": [{"c": [1, 2]}, {"c": [3]}]}}], {"a.b.1.c": 1}, []),
    # $elemMatch
    (
        "$elemMatch (query)",
        [[82, 85, 88], [75, 88, 89]],
        {"a": {"$elemMatch": {"$gte": 80, "$lt": 85}}},
        [0],
    ),
    (
        "$elemMatch (query)",
        [[[1, 2], [3]], [1, 2]],
        {"a": {"$elemMatch": {"$elemMatch": {"$gt": 2}}}},
        [0],
    ),
    (
        "$elemMatch (query)",
        [[{"x": [1, 5]}], [{"x": [3]}]],
        {"a": {"$elemMatch": {"x": {"$elemMatch": {"$gt": 1, "$lt": 5}}}}},
        [1],
    ),
    (
        "$elemMatch (query)",
        [[{"x": 1, "y": 2}], [{"x": 1}, {"y": 2}]],
        {"a": {"$elemMatch": {"x": 1, "y": 2}}},
        [0],
    ),
    (
        "$elemMatch (query)",
        [[{"x": 1, "y": 2}], [{"x": 1}, {"y": 2}]],
        {"a": {"$elemMatch": {"$and": [{"x": 1}, {"y": 2}]}}},
        [0],
    ),
    (
        "$elemMatch (query)",
        [[{"x": 1}], [{"x": 2}], [3]],
        {"a": {"$elemMatch": {"$nor": [{"x": 1}]}}},
        [1],
    ),
    (
        "$elemMatch (query)",
        [{"a": {"b": 1}}, {"a": [{"b": 1}]}],
        {"a": {"$elemMatch": {"b": 1}}},
        [1],
    ),
    (
        "$elemMatch (query)",
        [{"a": [{"b": [1, 9]}]}, {"a": {"b": [5]}}],
        {"a.b": {"$elemMatch": {"$gt": 4, "$lt": 6}}},
        [1],
    ),
    ("$elemMatch (query)", [[1, "x"], ["x"]], {"a": {"$elemMatch": {"$type": "number"}}}, [0]),
    ("$elemMatch (query)", [["ab"], ["b"]], {"a": {"$elemMatch": {"$regex": "^a"}}}, [0]),
    ("$elemMatch (query)", [[1, 2], [2]], {"a": {"$elemMatch": {"$nin": [2]}}}, [0]),
    ("$elemMatch (query)", [[1, 2], [2]], {"a": {"$not": {"$elemMatch": {"$ne": 2}}}}, [1]),
    (
        "$elemMatch (query)",
        [[{"$ref": "c", "$id": 1}], [{"$ref": "c", "$id": 2}]],
        {"a": {"$elemMatch": {"$ref": "c", "$id": 1}}},
        [0],
    ),
    (
        "$elemMatch (query)",
        [[{"$ref": "c", "$id": 1}], [{"x": 2}]],
        {"a": {"$elemMatch": {"$id": 1}}},
        [0],
    ),
    ("$elemMatch (query)", [[6], [5]], {"a": {"$elemMatch": {"$bitsAllSet": [1, 2]}}}, [0]),
    ("$elemMatch (query)", [[6], [5]], {"a": {"$elemMatch": {"$mod": [5, 1], "$gt": 5}}}, [0]),
    # $all
    ("$all", [["a"], "a", ["b", "a"]], {"a": {"$all": ["a"]}}, [0, 1, 2]),
    ("$all", [[["a", "b"]], ["a", "b"]], {"a": {"$all": [["a", "b"]]}}, [0, 1]),
    (
        "$all",
        INVENTORY,
        {
            "instock": {
                "$all": [
                    {"$elemMatch": {"warehouse": "A", "qty": {"$gt": 30}}},
                    {"$elemMatch": {"qty": 5}},
                ]
            }
        },
        [3],
    ),
    ("$all", INVENTORY, {"instock": {"$all": [{"warehouse": "A", "qty": 5}]}}, [0]),
    # DBRef
    (
        "DBRef",
        [{"r": {"$ref": "c", "$id": 7}}, {"r": {"$ref": "c", "$id": 8}}],
        {"r": {"$ref": "c", "$id": 7}},
        [0],
    ),
    (
        "DBRef",
        [{"r": {"$ref": "c", "$id": 7}}, {"r": {"$ref": "d", "$id": 8}}],
        {"r.$ref": "c"},
        [0],
    ),
    (
        "DBRef",
        [{"r": {"$ref": "c", "$id": 7}}, {"r": {"$ref": "d", "$id": 8}}],
        {"r.$id": {"$gt": 7}},
        [1],
    ),
    ("DBRef", [{"r": {"$ref": "c", "$id": 7}}], {"r": {"$in": [{"$ref": "c", "$id": 7}]}}, [0]),
    # Logic
    ("$or", SIZES, {"$or": [{"tags": {"$size": 3}}, {"dim_cm": 10}]}, [2, 4]),
    ("$and", SIZES, {"$and": [{"tags": "red"}, {"tags": "plain"}]}, [2]),
    ("$and", SIZES, {"$and": [{}]}, [0, 1, 2, 3, 4]),
    ("$nor", SIZES, {"$nor": [{"tags": "red"}]}, [4]),
    ("$nor", SIZES, {"$nor": [{}]}, []),
    (
        "$and",
        SIZES,
        {"$and": [{"$or": [{"tags": "blue"}, {"tags": "plain"}]}, {"dim_cm": 14}]},
        [2],
    ),
    ("query documents", SIZES, {}, [0, 1, 2, 3, 4]),
    ("query documents", SIZES, {"_id": 3}, [3]),
    ("query documents", SIZES, {"_id": {"$in": [3, 1]}}, [1, 3]),
]


@table(CASES)
def test_paths(case: FilterCase) -> None:
    check_filter(case)


POSITIONS: list[tuple[dict[str, Any], dict[str, Any], str | None]] = [
    ({"a": [5, 6, 7]}, {"a": 6}, "1"),
    ({"a": [5, 6, 7]}, {"a": {"$gt": 5}}, "1"),
    ({"a": [5, 6, 7]}, {"a": {"$elemMatch": {"$gt": 6}}}, "2"),
    ({"a": [5, 6, 7]}, {"a": [5, 6, 7]}, None),
    ({"a": [5, 6, 7]}, {"a.1": 6}, "1"),
    ({"a": 6}, {"a": 6}, None),
    ({"a": [{"b": 1}, {"b": 2}]}, {"a.b": 2}, "1"),
    ({"a": [{"b": [0]}, {"b": [0, 0, 9]}]}, {"a.b": 9}, "2"),
    ({"a": [{"b": 1}, {"b": 2}]}, {"a": {"$elemMatch": {"b": 2}}}, "1"),
    ({"a": [{"b": 1}, {"b": 2}]}, {"a.1.b": 2}, "1"),
    ({"a": {"b": [3, 4]}}, {"a.b": 4}, "1"),
    ({"a": [1, 2], "x": 3}, {"a": 2, "x": 3}, "1"),
    ({"a": [1, 2], "b": [7, 8, 9]}, {"a": 2, "b": 9}, "2"),
    ({"a": [1, 2]}, {"$or": [{"a": 5}, {"a": 2}]}, "1"),
    ({"a": [1, 2]}, {"a": {"$ne": 5}}, None),
    ({"a": [1, 2]}, {"a": {"$in": [2, 9]}}, "1"),
    ({"a": ["x", "yy"]}, {"a": {"$regex": "y"}}, "1"),
    ({"a": [1, 2]}, {"a": 3}, None),
    ({"a": [[1, 2], [3]]}, {"a": {"$elemMatch": {"$elemMatch": {"$eq": 3}}}}, "1"),
    ({"a": [1, 2]}, {"a": {"$exists": True}}, "0"),
    ({"a": [1, 2]}, {"$expr": {"$eq": [1, 1]}}, None),
    ({"a": [1, 2]}, {"$nor": [{"a": 9}]}, None),
    ({"a": [{"b": 1}]}, {"a.c": None}, "0"),
]


@pytest.mark.parametrize("case", POSITIONS, ids=lambda case: str(case[1]))
def test_position(case: tuple[dict[str, Any], dict[str, Any], str | None]) -> None:
    document, spec, expected = case
    assert compile_filter(spec, CTX).match_position(document, ENV) == expected


UPDATE_POSITIONS: list[tuple[dict[str, Any], dict[str, Any], str | None]] = [
    ({"a": [{"n": 1}, {"n": 2}]}, {"a.n": 2, "a.bad": None}, "1"),
    ({"a": [1, 2], "b": [7, 8, 9]}, {"b": 9, "a": 2}, "2"),
    ({"a": [1, 2], "b": [7, 8, 9]}, {"a": {"$gt": 1}, "b": 9}, "1"),
    ({"a": [1, 2, 3]}, {"a": {"$gte": 3}, "$or": [{"a": 2}, {"a": 9}]}, "2"),
    ({"a": [1, 2, 3]}, {"$and": [{"a": 3}, {"$and": [{"a": {"$lt": 2}}]}]}, "0"),
    ({"a": [1, 2, 3]}, {"$or": [{"a": {"$exists": True}}, {"a": 3}]}, "2"),
    ({"a": [{"b": 1, "c": [0, 5]}]}, {"a": {"$elemMatch": {"c": 5, "b": 1}}}, "0"),
    ({"a": [1]}, {"a": 3}, None),
]


@pytest.mark.parametrize("case", UPDATE_POSITIONS, ids=lambda case: str(case[1]))
def test_position_for_an_update(case: tuple[dict[str, Any], dict[str, Any], str | None]) -> None:
    document, spec, expected = case
    assert compile_filter(spec, CTX).update_position(document, ENV) == expected


def test_a_path_as_long_as_a_message_compiles_at_once() -> None:
    path = ".".join(["0"] * 5000)
    assert not compile_filter({path: 1}, CTX).matches({"0": [[[1]]]}, ENV)


def test_properties_of_a_filter() -> None:
    filter_ = compile_filter({"a.b": 1, "$or": [{"c": 1}, {"$expr": {"$eq": ["$d.e", 1]}}]}, CTX)
    assert filter_.paths == {"a.b", "c", "d.e"}
    assert not filter_.is_trivial
    assert compile_filter({}, CTX).is_trivial
    assert compile_filter({"$alwaysTrue": 1}, CTX).is_trivial
    assert compile_filter({"$jsonSchema": {}}, CTX).paths == {""}


def test_costly_filters_say_so() -> None:
    cheap = [{}, {"a": 1}, {"a": {"$regex": "^ab.*"}}, {"a": {"$in": [Regex("x")]}}]
    costly = [
        {"a": {"$regex": "(a+)+$"}},
        {"$or": [{"a": {"$not": Regex("a*b*")}}, {"b": 1}]},
        {"a": {"$elemMatch": {"$in": [Regex("(x)")]}}},
        {"$jsonSchema": {}},
    ]
    assert [compile_filter(spec, CTX).is_costly for spec in cheap] == [False] * 4
    assert [compile_filter(spec, CTX).is_costly for spec in costly] == [True] * 4


def test_what_is_left_beside_a_text_condition() -> None:
    filter_ = compile_filter({"$text": {"$search": "x"}, "a": {"$gt": 1}}, CTX)
    assert filter_.text is not None
    assert (filter_.text.search, filter_.text.language) == ("x", None)
    rest = filter_.answered_by_index()
    assert rest.text is None
    assert rest.batch([{"a": 1}, {"a": 2}], ENV) == [{"a": 2}]
    either = compile_filter({"$or": [{"$text": {"$search": "x"}}, {"a": 1}]}, CTX)
    assert either.answered_by_index().batch([{"a": 1}, {"a": 2}], ENV) == [{"a": 1}, {"a": 2}]
