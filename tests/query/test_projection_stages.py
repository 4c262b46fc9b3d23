"""`$project`, `$addFields`/`$set` and `$unset`: (manual page, document, operand, result)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from expression_kit import Err
from filter_kit import CTX, ENV, agrees, table

from psdb_base.errors import MongoError
from psdb_query.projection import (
    Projection,
    compile_add_fields,
    compile_project,
    compile_unset,
)

Case = tuple[str, dict[str, Any], Any, Any]

STUDENT: dict[str, Any] = {
    "_id": 1,
    "student": "Maya",
    "homework": [10, 5, 10],
    "quiz": [10, 8],
    "extra": 0,
}
CAR: dict[str, Any] = {"_id": 1, "type": "car", "specs": {"doors": 4, "wheels": 4}}
LIST: dict[str, Any] = {"_id": 1, "a": [{"b": 1, "c": 2}, 5, [{"b": 3}]]}


def outcome(compile_: Callable[..., Projection], doc: dict[str, Any], spec: Any) -> Any:
    before = repr(doc)
    try:
        out = compile_(spec, CTX).apply(doc, ENV)
    except MongoError as error:
        return error
    assert repr(doc) == before
    return out


PROJECT: list[Case] = [
    (
        "$project",
        STUDENT,
        {"student": 1, "quiz": 1},
        {"_id": 1, "student": "Maya", "quiz": [10, 8]},
    ),
    ("$project", STUDENT, {"_id": 0, "student": 1}, {"student": "Maya"}),
    ("$project", STUDENT, {"homework": 0, "quiz": 0, "_id": 0}, {"student": "Maya", "extra": 0}),
    ("$project", STUDENT, {"_id": 0, "total": {"$sum": "$homework"}}, {"total": 25}),
    (
        "$project",
        STUDENT,
        {"_id": 0, "n": "$student", "c": {"d": "$extra"}},
        {"n": "Maya", "c": {"d": 0}},
    ),
    (
        "$project",
        STUDENT,
        {"_id": 0, "c": {"d": {"$literal": 1}, "e": "x"}},
        {"c": {"d": 1, "e": "x"}},
    ),
    (
        "$project",
        STUDENT,
        {"_id": 0, "both": ["$student", "$extra", "$z"]},
        {"both": ["Maya", 0, None]},
    ),
    (
        "$project",
        STUDENT,
        {"_id": 0, "extra": {"$cond": [{"$eq": ["$extra", 0]}, "$$REMOVE", "$extra"]}},
        {},
    ),
    ("$project", CAR, {"specs.doors": 1}, {"_id": 1, "specs": {"doors": 4}}),
    ("$project", CAR, {"specs": {"doors": 0}, "_id": 0}, {"type": "car", "specs": {"wheels": 4}}),
    ("$project", CAR, {"_id": 0, "specs.doors": "$type"}, {"specs": {"doors": "car"}}),
    ("$project", CAR, {"_id": 0, "type.x": "$specs.doors"}, {"type": {"x": 4}}),
    ("$project", LIST, {"_id": 0, "a.b": 1}, {"a": [{"b": 1}, [{"b": 3}]]}),
    ("$project", LIST, {"_id": 0, "a.b": 0}, {"a": [{"c": 2}, 5, [{}]]}),
    ("$project", LIST, {"_id": 0, "a.b": "$_id"}, {"a": [{"b": 1}, {"b": 1}, [{"b": 1}]]}),
    ("$project", STUDENT, {"_id": 0, "first": {"$slice": ["$homework", 1]}}, {"first": [10]}),
    (
        "$project",
        STUDENT,
        {},
        Err(
            51272,
            "Invalid $project :: caused by :: "
            "projection specification must have at least one field",
        ),
    ),
    ("$project", STUDENT, "x", Err(15969, "$project specification must be an object")),
    (
        "$project",
        STUDENT,
        {"a": 1, "b": 0},
        Err(
            31254,
            "Invalid $project :: caused by :: "
            "Cannot do exclusion on field b in inclusion projection",
        ),
    ),
    (
        "$project",
        STUDENT,
        {"a.$": 1},
        Err(
            31324,
            "Invalid $project :: caused by :: "
            "Cannot use positional projection in aggregation projection",
        ),
    ),
    ("$project", STUDENT, {"a.$.b": 1}, Err(31394)),
    ("$project", STUDENT, {"quiz": {"$slice": 1}}, Err(28667)),
    (
        "$project",
        STUDENT,
        {"quiz": {"$elemMatch": {"x": 1}}},
        Err(168, "Invalid $project :: caused by :: Cannot use $elemMatch in this context"),
    ),
    ("$project", STUDENT, {"a": {"$nope": 1}}, Err(31325)),
    ("$project", STUDENT, {"a": {}}, Err(51270)),
    ("$project", STUDENT, {"a": 1, "a.b": 1}, Err(31249)),
]

ADD: list[Case] = [
    (
        "$addFields",
        STUDENT,
        {"total": {"$sum": "$homework"}, "quizzes": {"$sum": "$quiz"}},
        {**STUDENT, "total": 25, "quizzes": 18},
    ),
    (
        "$addFields",
        CAR,
        {"specs.fuel": "unleaded"},
        {**CAR, "specs": {"doors": 4, "wheels": 4, "fuel": "unleaded"}},
    ),
    (
        "$addFields",
        CAR,
        {"type": "bus"},
        {"_id": 1, "type": "bus", "specs": {"doors": 4, "wheels": 4}},
    ),
    ("$addFields", CAR, {"_id": "$type"}, {**CAR, "_id": "car"}),
    ("$addFields", CAR, {"n": 1, "t": True, "f": False}, {**CAR, "n": 1, "t": True, "f": False}),
    ("$addFields", CAR, {"n": None}, {**CAR, "n": None}),
    ("$addFields", CAR, {"n": {}}, {**CAR, "n": {}}),
    ("$addFields", CAR, {"n": []}, {**CAR, "n": []}),
    ("$addFields", CAR, {"n": "$nothing"}, CAR),
    ("$addFields", CAR, {"type": "$nothing"}, {"_id": 1, "specs": {"doors": 4, "wheels": 4}}),
    ("$addFields", CAR, {"type": "$$REMOVE"}, {"_id": 1, "specs": {"doors": 4, "wheels": 4}}),
    ("$addFields", CAR, {"n.x": "$nothing"}, {**CAR, "n": {}}),
    ("$addFields", CAR, {"specs": {"doors": 2}}, {**CAR, "specs": {"doors": 2, "wheels": 4}}),
    ("$addFields", CAR, {"specs": {"$literal": {"doors": 2}}}, {**CAR, "specs": {"doors": 2}}),
    ("$addFields", CAR, {"type.x": 1}, {**CAR, "type": {"x": 1}}),
    ("$addFields", CAR, {"a.b.c": 1}, {**CAR, "a": {"b": {"c": 1}}}),
    ("$addFields", CAR, {"a": {"b": {"c": "$type"}}}, {**CAR, "a": {"b": {"c": "car"}}}),
    ("$addFields", CAR, {"a": {"b": 1}, "a.c": 2}, {**CAR, "a": {"b": 1, "c": 2}}),
    (
        "$addFields",
        LIST,
        {"a.z": 0},
        {"_id": 1, "a": [{"b": 1, "c": 2, "z": 0}, {"z": 0}, [{"b": 3, "z": 0}]]},
    ),
    (
        "$addFields",
        LIST,
        {"a.b": "$_id"},
        {"_id": 1, "a": [{"b": 1, "c": 2}, {"b": 1}, [{"b": 1}]]},
    ),
    ("$addFields", {"_id": 1, "a": []}, {"a.z": 0}, {"_id": 1, "a": []}),
    ("$addFields", {"_id": 1, "x": 1, "y": 2}, {"x": "$y", "y": "$x"}, {"_id": 1, "x": 2, "y": 1}),
    (
        "$addFields",
        STUDENT,
        {"homework": {"$concatArrays": ["$homework", [7]]}},
        {**STUDENT, "homework": [10, 5, 10, 7]},
    ),
    (
        "$addFields",
        CAR,
        {},
        Err(40177, "Invalid $addFields :: caused by :: specification must have at least one field"),
    ),
    ("$addFields", CAR, 1, Err(40272, "$addFields specification stage must be an object, got int")),
    ("$addFields", CAR, {"a": 1, "a.b": 2}, Err(40176)),
    ("$addFields", CAR, {"a.b": 1, "a": 2}, Err(40176)),
    ("$addFields", CAR, {"a": {"b.c": 1}}, Err(40183)),
    ("$addFields", CAR, {"a": {"$add": [1], "b": 1}}, Err(40181)),
    ("$addFields", CAR, {"a": {"$nope": 1}}, Err(31325)),
    ("$addFields", CAR, {"a.": 1}, Err(40353)),
    ("$addFields", CAR, {"$a": 1}, Err(16410)),
    ("$addFields", CAR, {"a..b": 1}, Err(15998)),
]

UNSET: list[Case] = [
    ("$unset", CAR, "type", {"_id": 1, "specs": {"doors": 4, "wheels": 4}}),
    ("$unset", CAR, ["type"], {"_id": 1, "specs": {"doors": 4, "wheels": 4}}),
    ("$unset", CAR, ["type", "specs.doors"], {"_id": 1, "specs": {"wheels": 4}}),
    ("$unset", CAR, ["_id", "nothing"], {"type": "car", "specs": {"doors": 4, "wheels": 4}}),
    ("$unset", CAR, "type.x", CAR),
    ("$unset", LIST, "a.b", {"_id": 1, "a": [{"c": 2}, 5, [{}]]}),
    ("$unset", CAR, 1, Err(31002, "$unset specification must be a string or an array")),
    ("$unset", CAR, [], Err(31119)),
    ("$unset", CAR, ["a", 1], Err(31120)),
    (
        "$unset",
        CAR,
        ["a", "a.b"],
        Err(31249, "Invalid $unset :: caused by :: Path collision at a.b remaining portion b"),
    ),
    ("$unset", CAR, ["a.b", "a"], Err(31250)),
    ("$unset", CAR, "$a", Err(16410)),
    ("$unset", CAR, "", Err(40352)),
]


@table(PROJECT)
def test_project(case: Case) -> None:
    page, doc, spec, expected = case
    agrees(page, outcome(compile_project, doc, spec), expected)


@table(ADD)
def test_add_fields(case: Case) -> None:
    page, doc, spec, expected = case
    agrees(page, outcome(compile_add_fields, doc, spec), expected)


@table(UNSET)
def test_unset(case: Case) -> None:
    page, doc, spec, expected = case
    agrees(page, outcome(compile_unset, doc, spec), expected)


def test_errors_name_the_stage_as_written() -> None:
    with pytest.raises(MongoError, match=r"Invalid \$set :: caused by :: "):
        compile_add_fields({"a.": 1}, CTX, "$set")


def test_what_a_planner_reads() -> None:
    added = compile_add_fields({"a": "$b", "c.d": 1}, CTX)
    assert added.kind == "addition"
    assert added.added == {"a", "c.d"}
    removed = compile_unset(["a", "b.c"], CTX)
    assert removed.removed == {"a", "b.c"}
    assert removed.paths is None
