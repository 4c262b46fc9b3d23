"""Projections of `find`: (manual page, document, projection, result or error)."""

from __future__ import annotations

from typing import Any

import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId
from expression_kit import Err
from filter_kit import CTX, ENV, ProjectionCase, agrees, check_projection, project, table

from psdb_base.errors import MongoError
from psdb_query.filters import compile_filter
from psdb_query.projection import compile_projection

NAN = float("nan")
ITEM: dict[str, Any] = {
    "_id": 1,
    "item": "journal",
    "status": "A",
    "size": {"h": 14, "w": 21, "uom": "cm"},
    "instock": [{"warehouse": "A", "qty": 5}, {"warehouse": "B", "qty": 9}],
}
MIXED: dict[str, Any] = {
    "b": 1,
    "_id": 7,
    "a": [1, {"b": 2, "c": 3}, [{"b": 4}, 5], {"c": 6}],
    "c": {"b": {"d": 1, "e": 2}, "f": 3},
}
NUMBERS: dict[str, Any] = {"_id": 1, "n": [1, 2, 3, 4, 5], "x": "y", "d": {"n": [7, 8, 9]}}

PAGE = "Project Fields to Return"
CASES: list[ProjectionCase] = [
    (PAGE, ITEM, {}, ITEM),
    (PAGE, ITEM, {"item": 1, "status": 1}, {"_id": 1, "item": "journal", "status": "A"}),
    (PAGE, ITEM, {"status": 1, "item": 1}, {"_id": 1, "item": "journal", "status": "A"}),
    (PAGE, ITEM, {"item": 1, "_id": 0}, {"item": "journal"}),
    (PAGE, ITEM, {"_id": 0, "item": 1}, {"item": "journal"}),
    (PAGE, ITEM, {"_id": 1}, {"_id": 1}),
    (PAGE, ITEM, {"_id": True, "item": True}, {"_id": 1, "item": "journal"}),
    (PAGE, ITEM, {"item": 1.5}, {"_id": 1, "item": "journal"}),
    (PAGE, ITEM, {"item": -1}, {"_id": 1, "item": "journal"}),
    (PAGE, ITEM, {"item": Int64(2)}, {"_id": 1, "item": "journal"}),
    (PAGE, ITEM, {"item": Decimal128("0.1")}, {"_id": 1, "item": "journal"}),
    (PAGE, ITEM, {"item": NAN}, {"_id": 1, "item": "journal"}),
    (PAGE, ITEM, {"nothing": 1}, {"_id": 1}),
    (PAGE, ITEM, {"nothing.x": 1}, {"_id": 1}),
    (PAGE, ITEM, {"item.x": 1}, {"_id": 1}),
    (PAGE, ITEM, {"nothing": 0}, ITEM),
    (PAGE, {"a": 1, "_id": 2, "b": 3}, {"b": 1}, {"_id": 2, "b": 3}),
    (PAGE, {"a": 1, "_id": 2, "b": 3}, {"a": 1, "b": 1}, {"a": 1, "_id": 2, "b": 3}),
    (
        PAGE,
        ITEM,
        {"status": 0, "instock": 0},
        {"_id": 1, "item": "journal", "size": {"h": 14, "w": 21, "uom": "cm"}},
    ),
    (PAGE, ITEM, {"size": 0, "instock": 0, "_id": 0}, {"item": "journal", "status": "A"}),
    (PAGE, ITEM, {"_id": 1, "size": 0, "instock": 0}, {"_id": 1, "item": "journal", "status": "A"}),
    (
        PAGE,
        ITEM,
        {"size": False, "instock": 0.0, "item": Decimal128("0")},
        {"_id": 1, "status": "A"},
    ),
    (PAGE, ITEM, {"size.uom": 1}, {"_id": 1, "size": {"uom": "cm"}}),
    (PAGE, ITEM, {"size": {"uom": 1}}, {"_id": 1, "size": {"uom": "cm"}}),
    (PAGE, ITEM, {"size": {"uom": 1}, "size.h": 1}, {"_id": 1, "size": {"h": 14, "uom": "cm"}}),
    (PAGE, ITEM, {"size.h": 1, "size": {"uom": 1}}, {"_id": 1, "size": {"h": 14, "uom": "cm"}}),
    (PAGE, ITEM, {"instock.qty": 1}, {"_id": 1, "instock": [{"qty": 5}, {"qty": 9}]}),
    (PAGE, ITEM, {"instock.0.qty": 1}, {"_id": 1, "instock": [{}, {}]}),
    (
        PAGE,
        ITEM,
        {"size.uom": 0, "instock.qty": 0},
        {
            "_id": 1,
            "item": "journal",
            "status": "A",
            "size": {"h": 14, "w": 21},
            "instock": [{"warehouse": "A"}, {"warehouse": "B"}],
        },
    ),
    (
        PAGE,
        ITEM,
        {"size": {"uom": 0, "h": 0}, "instock": 0},
        {"_id": 1, "item": "journal", "status": "A", "size": {"w": 21}},
    ),
    # Arrays of all sorts
    (PAGE, MIXED, {"a.b": 1}, {"_id": 7, "a": [{"b": 2}, [{"b": 4}], {}]}),
    (PAGE, MIXED, {"a.b": 0, "c": 0}, {"b": 1, "_id": 7, "a": [1, {"c": 3}, [{}, 5], {"c": 6}]}),
    (PAGE, MIXED, {"c.b.d": 1}, {"_id": 7, "c": {"b": {"d": 1}}}),
    (PAGE, MIXED, {"c": {"b": {"d": 1}, "f": 1}}, {"_id": 7, "c": {"b": {"d": 1}, "f": 3}}),
    (PAGE, MIXED, {"c.b": {"e": 0}, "a": 0}, {"b": 1, "_id": 7, "c": {"b": {"d": 1}, "f": 3}}),
    (PAGE, MIXED, {"c": {"b.d": 1}}, {"_id": 7, "c": {"b": {"d": 1}}}),
    (PAGE, {"_id": 1, "a": []}, {"a.b": 1}, {"_id": 1, "a": []}),
    (PAGE, {"_id": 1, "a": [[], [1]]}, {"a.b": 1}, {"_id": 1, "a": [[], []]}),
    (PAGE, {"_id": 1, "a": None}, {"a.b": 1}, {"_id": 1}),
    (PAGE, {"_id": 1, "a": None}, {"a.b": 0}, {"_id": 1, "a": None}),
    (PAGE, {"_id": {"x": 1, "y": 2}, "a": 1}, {"_id.x": 1}, {"_id": {"x": 1}}),
    (PAGE, {"_id": {"x": 1, "y": 2}, "a": 1}, {"_id.x": 0}, {"_id": {"y": 2}, "a": 1}),
    (PAGE, {"_id": {"x": 1, "y": 2}, "a": 1}, {"_id.x": 1, "a": 1}, {"_id": {"x": 1}, "a": 1}),
    # Literals and expressions
    (PAGE, ITEM, {"_id": 0, "k": "text"}, {"k": "text"}),
    (PAGE, ITEM, {"_id": 0, "k": None}, {"k": None}),
    (PAGE, ITEM, {"_id": 0, "k": []}, {"k": []}),
    (PAGE, ITEM, {"_id": 0, "k": ["$item", 1, "$nothing"]}, {"k": ["journal", 1, None]}),
    (PAGE, ITEM, {"_id": 0, "k": ObjectId("0" * 24)}, {"k": ObjectId("0" * 24)}),
    (PAGE, ITEM, {"_id": 0, "k": "$size.h"}, {"k": 14}),
    (PAGE, ITEM, {"k": "$size.h"}, {"_id": 1, "k": 14}),
    (PAGE, ITEM, {"k": "$nothing"}, {"_id": 1}),
    (PAGE, ITEM, {"item": "$status"}, {"_id": 1, "item": "A"}),
    (PAGE, ITEM, {"item": "$status", "status": 1}, {"_id": 1, "status": "A", "item": "A"}),
    (
        PAGE,
        ITEM,
        {"item": "$status", "status": "$item"},
        {"_id": 1, "item": "A", "status": "journal"},
    ),
    (PAGE, ITEM, {"_id": "$item"}, {"_id": "journal"}),
    (PAGE, ITEM, {"_id": 0, "k": {"$literal": 1}}, {"k": 1}),
    (PAGE, ITEM, {"_id": 0, "k": {"$literal": "$item"}}, {"k": "$item"}),
    (PAGE, ITEM, {"_id": 0, "k": {"x": "$item", "y": "z"}}, {"k": {"x": "journal", "y": "z"}}),
    (PAGE, ITEM, {"_id": 0, "k.x": "$item", "k.y": "z"}, {"k": {"x": "journal", "y": "z"}}),
    (PAGE, ITEM, {"_id": 0, "size.h": 1, "size.k": "$item"}, {"size": {"h": 14, "k": "journal"}}),
    (
        PAGE,
        ITEM,
        {"_id": 0, "item": 1, "k": {"$toUpper": "$status"}},
        {"item": "journal", "k": "A"},
    ),
    (PAGE, ITEM, {"_id": 0, "k": {"$size": "$instock"}}, {"k": 2}),
    (
        PAGE,
        ITEM,
        {"_id": 0, "instock.k": "$item"},
        {"instock": [{"k": "journal"}, {"k": "journal"}]},
    ),
    (
        PAGE,
        MIXED,
        {"_id": 0, "a.k": "$b"},
        {"a": [{"k": 1}, {"k": 1}, [{"k": 1}, {"k": 1}], {"k": 1}]},
    ),
    (
        PAGE,
        MIXED,
        {"_id": 0, "a.b": 1, "a.k": "$b"},
        {"a": [{"k": 1}, {"b": 2, "k": 1}, [{"b": 4, "k": 1}, {"k": 1}], {"k": 1}]},
    ),
    (PAGE, ITEM, {"_id": 0, "item.k": "$status"}, {"item": {"k": "A"}}),
    (PAGE, ITEM, {"_id": 0, "k": "$$ROOT.item"}, {"k": "journal"}),
    (PAGE, ITEM, {"_id": 0, "k": {"$cond": [True, "$$REMOVE", 1]}}, {}),
    # $slice
    ("$slice (projection)", NUMBERS, {"n": {"$slice": 2}}, {**NUMBERS, "n": [1, 2]}),
    ("$slice (projection)", NUMBERS, {"n": {"$slice": -2}}, {**NUMBERS, "n": [4, 5]}),
    ("$slice (projection)", NUMBERS, {"n": {"$slice": 0}}, {**NUMBERS, "n": []}),
    ("$slice (projection)", NUMBERS, {"n": {"$slice": 99}}, NUMBERS),
    ("$slice (projection)", NUMBERS, {"n": {"$slice": -99}}, NUMBERS),
    ("$slice (projection)", NUMBERS, {"n": {"$slice": [1, 2]}}, {**NUMBERS, "n": [2, 3]}),
    ("$slice (projection)", NUMBERS, {"n": {"$slice": [-2, 1]}}, {**NUMBERS, "n": [4]}),
    ("$slice (projection)", NUMBERS, {"n": {"$slice": [-99, 2]}}, {**NUMBERS, "n": [1, 2]}),
    ("$slice (projection)", NUMBERS, {"n": {"$slice": [9, 2]}}, {**NUMBERS, "n": []}),
    ("$slice (projection)", NUMBERS, {"n": {"$slice": [3, 99]}}, {**NUMBERS, "n": [4, 5]}),
    ("$slice (projection)", NUMBERS, {"n": {"$slice": 1.9}}, {**NUMBERS, "n": [1]}),
    ("$slice (projection)", NUMBERS, {"n": {"$slice": Int64(2**40)}}, NUMBERS),
    ("$slice (projection)", NUMBERS, {"n": {"$slice": NAN}}, {**NUMBERS, "n": []}),
    (
        "$slice (projection)",
        NUMBERS,
        {"n": {"$slice": 2}, "x": 1},
        {"_id": 1, "n": [1, 2], "x": "y"},
    ),
    (
        "$slice (projection)",
        NUMBERS,
        {"x": 1, "n": {"$slice": 2}},
        {"_id": 1, "n": [1, 2], "x": "y"},
    ),
    ("$slice (projection)", NUMBERS, {"n": {"$slice": 2}, "_id": 1}, {"_id": 1, "n": [1, 2]}),
    (
        "$slice (projection)",
        NUMBERS,
        {"n": {"$slice": 2}, "_id": 0},
        {"n": [1, 2], "x": "y", "d": {"n": [7, 8, 9]}},
    ),
    ("$slice (projection)", NUMBERS, {"n": {"$slice": 2}, "x": 0, "d": 0}, {"_id": 1, "n": [1, 2]}),
    ("$slice (projection)", NUMBERS, {"d.n": {"$slice": 1}}, {**NUMBERS, "d": {"n": [7]}}),
    (
        "$slice (projection)",
        NUMBERS,
        {"d": {"n": {"$slice": 1}}, "x": 1},
        {"_id": 1, "x": "y", "d": {"n": [7]}},
    ),
    ("$slice (projection)", NUMBERS, {"x": {"$slice": 1}}, NUMBERS),
    ("$slice (projection)", NUMBERS, {"z": {"$slice": 1}}, NUMBERS),
    (
        "$slice (projection)",
        {"_id": 1, "a": [{"b": [1, 2]}, 5, {"b": [3, 4]}]},
        {"a.b": {"$slice": 1}},
        {"_id": 1, "a": [{"b": [1]}, 5, {"b": [3]}]},
    ),
    ("$slice (projection)", NUMBERS, {"_id": 0, "k": {"$slice": ["$n", 2]}}, {"k": [1, 2]}),
    ("$slice (projection)", NUMBERS, {"_id": 0, "k": {"$slice": ["$n", 1, 2]}}, {"k": [2, 3]}),
    # $elemMatch
    (
        "$elemMatch (projection)",
        ITEM,
        {"instock": {"$elemMatch": {"qty": 9}}},
        {"_id": 1, "instock": [{"warehouse": "B", "qty": 9}]},
    ),
    (
        "$elemMatch (projection)",
        ITEM,
        {"instock": {"$elemMatch": {"qty": {"$gt": 1}}}, "_id": 0},
        {"instock": [{"warehouse": "A", "qty": 5}]},
    ),
    ("$elemMatch (projection)", ITEM, {"instock": {"$elemMatch": {"qty": 99}}}, {"_id": 1}),
    ("$elemMatch (projection)", ITEM, {"item": {"$elemMatch": {"$eq": "journal"}}}, {"_id": 1}),
    ("$elemMatch (projection)", ITEM, {"nothing": {"$elemMatch": {"$eq": 1}}}, {"_id": 1}),
    ("$elemMatch (projection)", NUMBERS, {"n": {"$elemMatch": {"$gt": 2}}}, {"_id": 1, "n": [3]}),
    (
        "$elemMatch (projection)",
        NUMBERS,
        {"n": {"$elemMatch": {"$gt": 2}}, "x": 1},
        {"_id": 1, "x": "y", "n": [3]},
    ),
    (
        "$elemMatch (projection)",
        NUMBERS,
        {"n": {"$elemMatch": {"$gt": 2}}, "d": 0},
        {"_id": 1, "n": [3], "x": "y"},
    ),
    # Mixed and colliding
    (
        PAGE,
        ITEM,
        {"item": 1, "status": 0},
        Err(31254, "Cannot do exclusion on field status in inclusion projection"),
    ),
    (
        PAGE,
        ITEM,
        {"status": 0, "item": 1},
        Err(31253, "Cannot do inclusion on field item in exclusion projection"),
    ),
    (
        PAGE,
        ITEM,
        {"size": {"h": 1, "w": 0}},
        Err(31254, "Cannot do exclusion on field w in inclusion projection"),
    ),
    (PAGE, ITEM, {"_id.x": 0, "item": 1}, Err(31253)),
    (
        PAGE,
        ITEM,
        {"item": 0, "k": "text"},
        Err(31310, 'Cannot use an expression k: "text" in an exclusion projection'),
    ),
    (
        PAGE,
        ITEM,
        {"item": 0, "k": {"$add": [1, 1]}},
        Err(31252, "Cannot use expression other than $meta in exclusion projection"),
    ),
    (PAGE, ITEM, {"k": "text", "item": 0}, Err(31254)),
    (
        PAGE,
        ITEM,
        {"size": 1, "size.h": 1},
        Err(31249, "Path collision at size.h remaining portion h"),
    ),
    (PAGE, ITEM, {"size.h": 1, "size": 1}, Err(31250, "Path collision at size")),
    (
        PAGE,
        ITEM,
        {"size.h": 1, "size.h.x": 1},
        Err(31249, "Path collision at size.h.x remaining portion x"),
    ),
    (PAGE, ITEM, {"size": {"h": 1}, "size.h": 1}, Err(31250, "Path collision at size.h")),
    (PAGE, ITEM, {"size": {"h": 1, "h.x": 1}}, Err(31249)),
    (PAGE, ITEM, {"size": {}}, Err(51270, "Invalid empty sub-projection: size")),
    (PAGE, ITEM, {"": 1}, Err(40352, "FieldPath cannot be constructed with empty string")),
    (PAGE, ITEM, {"a.": 1}, Err(40353, "FieldPath must not end with a '.'.")),
    (PAGE, ITEM, {".a": 1}, Err(15998, "FieldPath field names may not be empty strings.")),
    (PAGE, ITEM, {"a..b": 1}, Err(15998)),
    (PAGE, ITEM, {"$a": 1}, Err(16410)),
    (PAGE, ITEM, {"$": 1}, Err(16410)),
    (PAGE, ITEM, {"a.$b": 1}, Err(16410)),
    (PAGE, ITEM, {"a": {"$foo": 1}}, Err(31325, "Unknown expression $foo")),
    (PAGE, ITEM, {"a": {"$add": [1], "b": 1}}, Err(16410)),
    (PAGE, ITEM, {"a": {"$add": "$$nope"}}, Err(17276)),
    (PAGE, ITEM, {"a": "$"}, Err(16872)),
    ("$slice (projection)", NUMBERS, {"n": {"$slice": "x"}}, Err(28667)),
    ("$slice (projection)", NUMBERS, {"n": {"$slice": [1, 0]}}, Err(28724)),
    ("$slice (projection)", NUMBERS, {"n": {"$slice": []}}, Err(28667)),
    ("$slice (projection)", NUMBERS, {"n": {"$slice": 1}, "n.x": 1}, Err(31249)),
    (
        "$elemMatch (projection)",
        ITEM,
        {"a": {"$elemMatch": 1}},
        Err(31274, "elemMatch: Invalid argument, object required, but got int"),
    ),
    (
        "$elemMatch (projection)",
        ITEM,
        {"a.b": {"$elemMatch": {"c": 1}}},
        Err(31275, "Cannot use $elemMatch projection on a nested field."),
    ),
    ("$elemMatch (projection)", ITEM, {"a": {"b": {"$elemMatch": {"c": 1}}}}, Err(31275)),
    ("$elemMatch (projection)", ITEM, {"a": {"$elemMatch": {"$foo": 1}}}, Err(2)),
    ("$elemMatch (projection)", ITEM, {"a": {"$elemMatch": {"$expr": 1}}}, Err(2)),
    (
        "$ (projection)",
        ITEM,
        {"a.$": 1},
        Err(51050, "Projections with a positional operator require a matcher"),
    ),
    (
        "$ (projection)",
        ITEM,
        {"a.$": 0},
        Err(31395, "positional projection cannot be used with exclusion"),
    ),
    (
        "$ (projection)",
        ITEM,
        {"a.$": "x"},
        Err(31308, "positional projection cannot be used with a literal"),
    ),
    (
        "$ (projection)",
        ITEM,
        {"a.$": {"b": 1}},
        Err(31271, "positional projection cannot be used with an expression or sub object"),
    ),
    ("$ (projection)", ITEM, {"a.$.b": 1}, Err(31394)),
]


@table(CASES)
def test_projection(case: ProjectionCase) -> None:
    check_projection(case)


Positional = tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], Any]
PAGE = "$ (projection)"
POSITIONAL: list[Positional] = [
    (PAGE, NUMBERS, {"n": 3}, {"n.$": 1}, {"_id": 1, "n": [3]}),
    (PAGE, NUMBERS, {"n": {"$gte": 4}}, {"n.$": 1, "x": 1}, {"_id": 1, "n": [4], "x": "y"}),
    (
        PAGE,
        NUMBERS,
        {"n": {"$elemMatch": {"$gt": 1, "$lt": 4}}},
        {"n.$": True},
        {"_id": 1, "n": [2]},
    ),
    (PAGE, NUMBERS, {"d.n": 8}, {"d.n.$": 1}, {"_id": 1, "d": {"n": [8]}}),
    (PAGE, NUMBERS, {"d.n": 8}, {"d": {"n.$": 1}}, {"_id": 1, "d": {"n": [8]}}),
    (
        PAGE,
        ITEM,
        {"instock.qty": 9},
        {"instock.$": 1},
        {"_id": 1, "instock": [{"warehouse": "B", "qty": 9}]},
    ),
    (
        PAGE,
        ITEM,
        {"instock": {"$elemMatch": {"qty": 9}}},
        {"_id": 0, "instock.$": 1},
        {"instock": [{"warehouse": "B", "qty": 9}]},
    ),
    (
        PAGE,
        ITEM,
        {"instock.qty": 9},
        {"item": 1, "instock.$": 1},
        {"_id": 1, "item": "journal", "instock": [{"warehouse": "B", "qty": 9}]},
    ),
    (PAGE, ITEM, {"item": "journal"}, {"item.$": 1}, {"_id": 1, "item": "journal"}),
    (
        PAGE,
        ITEM,
        {"item": "journal"},
        {"instock.$": 1},
        Err(51246, "positional operator '.$' couldn't find a matching element in the array"),
    ),
    (
        PAGE,
        {"_id": 1, "a": [1, 2, 3], "b": [7]},
        {"a": 3},
        {"b.$": 1},
        Err(51247, "positional operator '.$' element mismatch"),
    ),
    (PAGE, {"_id": 1, "a": [1, 2], "b": [7, 8]}, {"a": 2}, {"b.$": 1}, {"_id": 1, "b": [8]}),
    (PAGE, ITEM, {"nothing": None}, {"nothing.$": 1}, {"_id": 1}),
    (
        PAGE,
        NUMBERS,
        {"n": 1},
        {"n.$": 1, "d.n.$": 1},
        Err(31276, "Cannot specify more than one positional projection per query."),
    ),
    (
        PAGE,
        NUMBERS,
        {"n": 1},
        {"n.$": 1, "x": {"$elemMatch": {"y": 1}}},
        Err(31255, "Cannot specify positional operator and $elemMatch."),
    ),
    (
        PAGE,
        NUMBERS,
        {"n": 1},
        {"x": {"$elemMatch": {"y": 1}}, "n.$": 1},
        Err(31256, "Cannot specify positional operator and $elemMatch."),
    ),
    (PAGE, NUMBERS, {"n": 1}, {"x": 0, "n.$": 1}, Err(31253)),
    (PAGE, NUMBERS, {"n": 1}, {".$": 1}, Err(5392900)),
    (PAGE, NUMBERS, {"n": 1}, {"n": 1, "n.$": 1}, Err(31250)),
]


@table(POSITIONAL)
def test_positional(case: Positional) -> None:
    page, doc, query, spec, expected = case
    agrees(page, project(doc, spec, query), expected)


Properties = tuple[dict[str, Any], str, frozenset[str] | None]
PROPERTIES: list[Properties] = [
    ({}, "exclusion", None),
    ({"a": 1}, "inclusion", frozenset({"_id", "a"})),
    ({"a": 1, "_id": 0}, "inclusion", frozenset({"a"})),
    ({"a.b": 1, "c": {"d": 1}}, "inclusion", frozenset({"_id", "a.b", "c.d"})),
    ({"a": 0}, "exclusion", None),
    ({"a": {"$slice": 1}}, "exclusion", None),
    ({"a": {"$slice": 1}, "b": 1}, "inclusion", frozenset({"_id", "a", "b"})),
    ({"k": "$a.b"}, "inclusion", frozenset({"_id", "a.b"})),
    ({"k.x": "$a"}, "inclusion", frozenset({"_id", "a", "k.x"})),
    ({"k": "$$ROOT"}, "inclusion", None),
    ({"a": {"$elemMatch": {"b": 1}}}, "inclusion", frozenset({"_id", "a"})),
]


@pytest.mark.parametrize("case", PROPERTIES, ids=lambda case: str(case[0]))
def test_properties(case: Properties) -> None:
    spec, kind, paths = case
    projection = compile_projection(spec, CTX)
    assert projection.kind == kind
    assert projection.paths == paths
    assert projection.is_identity == (spec == {})


def test_positional_needs_what_the_filter_reads() -> None:
    filter_ = compile_filter({"a.b": 1}, CTX)
    projection = compile_projection({"a.$": 1}, CTX, filter_)
    assert projection.needs_position
    assert projection.paths == {"_id", "a", "a.b"}
    assert projection.apply({"_id": 1, "a": [{"b": 2}, {"b": 1}]}, ENV) == {
        "_id": 1,
        "a": [{"b": 1}],
    }


def test_failed_slice_syntax_says_both_reasons() -> None:
    with pytest.raises(MongoError) as failure:
        compile_projection({"n": {"$slice": "x"}}, CTX)
    assert failure.value.message.startswith(
        'Invalid $slice syntax. The given syntax { $slice: "x" } did not match the find() syntax '
        "because :: Location31273: $slice only supports numbers and [skip, limit] arrays :: "
        "The given syntax did not match the expression $slice syntax. :: caused by :: "
    )


META: list[tuple[dict[str, Any], str, set[str], dict[str, Any]]] = [
    ({"s": {"$meta": "textScore"}}, "exclusion", {"textScore"}, {"_id": 1, "a": 2, "s": 0.5}),
    (
        {"a": 1, "s": {"$meta": "textScore"}},
        "inclusion",
        {"textScore"},
        {"_id": 1, "a": 2, "s": 0.5},
    ),
    ({"a": 0, "s": {"$meta": "textScore"}}, "exclusion", {"textScore"}, {"_id": 1, "s": 0.5}),
    ({"_id": 0, "s": {"$meta": "textScore"}}, "exclusion", {"textScore"}, {"a": 2, "s": 0.5}),
    ({"_id": 1, "s": {"$meta": "textScore"}}, "inclusion", {"textScore"}, {"_id": 1, "s": 0.5}),
    ({"s": {"$meta": "indexKey"}}, "exclusion", {"indexKey"}, {"_id": 1, "a": 2}),
    (
        {"s": {"$add": ["$a", {"$meta": "textScore"}]}},
        "inclusion",
        {"textScore"},
        {"_id": 1, "s": 2.5},
    ),
    ({"s": [{"$meta": "textScore"}]}, "inclusion", {"textScore"}, {"_id": 1, "s": [0.5]}),
]


@pytest.mark.parametrize("case", META, ids=lambda case: str(case[0]))
def test_metadata(
    case: tuple[dict[str, Any], str, set[str], dict[str, Any]],
) -> None:
    spec, kind, needs, expected = case
    projection = compile_projection(spec, CTX)
    assert (projection.kind, projection.needs_meta) == (kind, needs)
    env = {**ENV, "META": {"textScore": 0.5}}
    assert projection.apply({"_id": 1, "a": 2}, env) == expected
