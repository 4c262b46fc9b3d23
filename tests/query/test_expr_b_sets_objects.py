"""Set, object and remaining expressions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from bson.binary import Binary
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.objectid import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from psdb_base import order
from psdb_base.bson_codec import encode
from psdb_base.errors import MongoError
from psdb_base.values import MISSING, UNDEFINED
from psdb_query.context import DEFAULT_CONTEXT
from psdb_query.expressions import compile_expression
from tests.query.expr_b_tools import (
    DEC,
    Case,
    Fails,
    L,
    check,
    environment,
    exact,
    result_or_code,
    run,
    table,
)
from tests.strategies import bson_documents, bson_values

A, B, C, D = "a", "b", "c", "d"
NAN = float("nan")

SETS: list[Case] = [
    ("setUnion", {"$setUnion": [[A, B, A], [B, A]]}, {}, [A, B]),
    ("setUnion", {"$setUnion": [[A, B], [[A, B]]]}, {}, [A, B, [A, B]]),
    ("setUnion", {"$setUnion": ["$x", "$y"]}, {"x": ["red", "blue"], "y": ["green", "red"]},
     ["blue", "green", "red"]),
    ("setUnion", {"$setUnion": [[1, 2], [1.0, L(2), DEC("3")]]}, {}, [1, 2, DEC("3")]),
    ("setUnion", {"$setUnion": [[1, True, "1", None]]}, {}, [None, 1, "1", True]),
    ("setUnion", {"$setUnion": [[NAN, NAN, -0.0, 0.0]]}, {}, [NAN, -0.0]),
    ("setUnion", {"$setUnion": [[{"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1.0, "b": 2}]]}, {},
     [{"a": 1, "b": 2}, {"b": 2, "a": 1}]),
    ("setUnion", {"$setUnion": []}, {}, []),
    ("setUnion", {"$setUnion": "$x"}, {"x": [2, 1, 2]}, [1, 2]),
    ("setUnion", {"$setUnion": [[1], None]}, {}, None),
    ("setUnion", {"$setUnion": ["$gone", 5]}, {}, None),
    ("setUnion", {"$setUnion": [[1], 5]}, {}, Fails(
        17043, "All operands of $setUnion must be arrays. One argument is of type: int")),
    ("setIntersection", {"$setIntersection": [[A, B, A], [B, A]]}, {}, [A, B]),
    ("setIntersection", {"$setIntersection": [[A, B], [[A, B]]]}, {}, []),
    ("setIntersection", {"$setIntersection": [[3, 1, 2], [2.0, 3], [3, 2]]}, {}, [2, 3]),
    ("setIntersection", {"$setIntersection": [[L(1)], [1]]}, {}, [L(1)]),
    ("setIntersection", {"$setIntersection": []}, {}, []),
    ("setIntersection", {"$setIntersection": [[1], None]}, {}, None),
    ("setIntersection", {"$setIntersection": [[], "$x"]}, {"x": 5}, []),
    ("setIntersection", {"$setIntersection": [[1], "x"]}, {}, Fails(
        17047, "All operands of $setIntersection must be arrays. One argument is of type: string")),
    ("setDifference", {"$setDifference": [[A, B, A], [B, A]]}, {}, []),
    ("setDifference", {"$setDifference": [[A, B], [[A, B]]]}, {}, [A, B]),
    ("setDifference", {"$setDifference": [[C, A, C, B], [B]]}, {}, [C, A]),
    ("setDifference", {"$setDifference": [[1, 2], [1.0]]}, {}, [2]),
    ("setDifference", {"$setDifference": ["$gone", [1]]}, {}, None),
    ("setDifference", {"$setDifference": ["x", None]}, {}, None),
    ("setDifference", {"$setDifference": ["x", [1]]}, {}, Fails(
        17048, "both operands of $setDifference must be arrays. "
        "First argument is of type: string")),
    ("setDifference", {"$setDifference": [[1], 1]}, {}, Fails(
        17049, "both operands of $setDifference must be arrays. Second argument is of type: int")),
    ("setDifference", {"$setDifference": [[1]]}, {}, Fails(16020)),
    ("setEquals", {"$setEquals": [[A, B, A], [B, A]]}, {}, True),
    ("setEquals", {"$setEquals": [[A, B], [[A, B]]]}, {}, False),
    ("setEquals", {"$setEquals": [[1], [1.0], [L(1)]]}, {}, True),
    ("setEquals", {"$setEquals": [[1], [1], [2]]}, {}, False),
    ("setEquals", {"$setEquals": [[], []]}, {}, True),
    ("setEquals", {"$setEquals": [[1]]}, {}, Fails(
        17045, "$setEquals needs at least two arguments had: 1")),
    ("setEquals", {"$setEquals": [[1], None]}, {}, Fails(
        17044, "All operands of $setEquals must be arrays. 2-th argument is of type: null")),
    ("setIsSubset", {"$setIsSubset": [[A, B, A], [B, A]]}, {}, True),
    ("setIsSubset", {"$setIsSubset": [[A, B], [[A, B]]]}, {}, False),
    ("setIsSubset", {"$setIsSubset": [[], [1]]}, {}, True),
    ("setIsSubset", {"$setIsSubset": [[1, 1.0], [1]]}, {}, True),
    ("setIsSubset", {"$setIsSubset": [[1, 2], [1]]}, {}, False),
    ("setIsSubset", {"$setIsSubset": [None, [1]]}, {}, Fails(
        17046, "both operands of $setIsSubset must be arrays. First argument is of type: null")),
    ("setIsSubset", {"$setIsSubset": [[1], "$gone"]}, {}, Fails(
        17042, "both operands of $setIsSubset must be arrays. "
        "Second argument is of type: missing")),
    ("allElementsTrue", {"$allElementsTrue": [[True, 1, "someString"]]}, {}, True),
    ("allElementsTrue", {"$allElementsTrue": [[[False]]]}, {}, True),
    ("allElementsTrue", {"$allElementsTrue": [[]]}, {}, True),
    ("allElementsTrue", {"$allElementsTrue": [[None, False, 0]]}, {}, False),
    ("allElementsTrue", {"$allElementsTrue": "$x"}, {"x": [True, UNDEFINED]}, False),
    ("allElementsTrue", {"$allElementsTrue": [[DEC("0.0")]]}, {}, False),
    ("allElementsTrue", {"$allElementsTrue": [None]}, {}, Fails(
        17040, "$allElementsTrue's argument must be an array, but is null")),
    ("allElementsTrue", {"$allElementsTrue": [True, False]}, {}, Fails(16020)),
    ("anyElementTrue", {"$anyElementTrue": [[True, False]]}, {}, True),
    ("anyElementTrue", {"$anyElementTrue": [[[False]]]}, {}, True),
    ("anyElementTrue", {"$anyElementTrue": [[None, False, 0]]}, {}, False),
    ("anyElementTrue", {"$anyElementTrue": [[]]}, {}, False),
    ("anyElementTrue", {"$anyElementTrue": "$x"}, {"x": 5}, Fails(
        17041, "$anyElementTrue's argument must be an array, but is int")),
]  # fmt: skip


def field(name: Any, source: Any) -> Any:
    return {"$getField": {"field": name, "input": source}}


def put(name: Any, source: Any, value: Any) -> Any:
    return {"$setField": {"field": name, "input": source, "value": value}}


def cut(name: Any, source: Any) -> Any:
    return {"$unsetField": {"field": name, "input": source}}


SHIRT = {"_id": 1, "price.usd": 45.99, "$price": 5, "qty": {"$large": 50}, "n": "qty"}

OBJECTS: list[Case] = [
    ("mergeObjects", {"$mergeObjects": [{"a": 1}, None]}, {}, {"a": 1}),
    ("mergeObjects", {"$mergeObjects": [None, None]}, {}, {}),
    ("mergeObjects", {"$mergeObjects": [{"a": 1}, {"a": 2, "b": 2}]}, {}, {"a": 2, "b": 2}),
    ("mergeObjects", {"$mergeObjects": [{"a": 1}, {"a": 2, "b": 2}, {"a": 3, "b": None, "c": 3}]},
     {}, {"a": 3, "b": None, "c": 3}),
    ("mergeObjects", {"$mergeObjects": [{"b": 1, "a": 1}, {"a": {"x": 1}}]}, {},
     {"b": 1, "a": {"x": 1}}),
    ("mergeObjects", {"$mergeObjects": "$qty"}, SHIRT, {"$large": 50}),
    ("mergeObjects", {"$mergeObjects": ["$gone", "$$ROOT", {"_id": 2}]}, {"_id": 1, "x": 2},
     {"_id": 2, "x": 2}),
    ("mergeObjects", {"$mergeObjects": []}, {}, {}),
    ("mergeObjects", {"$mergeObjects": [{"a": 1}, 5]}, {}, Fails(
        40400, "$mergeObjects requires object inputs, but input 5 is of type int")),
    ("mergeObjects", {"$mergeObjects": "$x"}, {"x": [{"a": 1}]}, Fails(40400)),
    ("getField", {"$getField": "price.usd"}, SHIRT, 45.99),
    ("getField", {"$getField": {"$literal": "$price"}}, SHIRT, 5),
    ("getField", field({"$literal": "$large"}, "$qty"), SHIRT, 50),
    ("getField", field("price.usd", "$$ROOT"), SHIRT, 45.99),
    ("getField", {"$getField": {"$concat": ["price", ".usd"]}}, SHIRT, 45.99),
    ("getField", {"$getField": "$n"}, SHIRT, {"$large": 50}),
    ("getField", field("a.b", {"$literal": {"a": {"b": 1}, "a.b": 2}}), {}, 2),
    ("getField", {"r": field("a", {})}, {}, {}),
    ("getField", {"r": field("a", "$gone")}, {}, {}),
    ("getField", field("a", None), {}, None),
    ("getField", field("a", "$u"), {"u": UNDEFINED}, None),
    ("getField", {"r": field("a", "text")}, {}, {}),
    ("getField", {"r": field("0", [1])}, {}, {}),
    ("getField", {"$getField": 5}, {}, Fails(
        5654602, "$getField requires 'field' to evaluate to type String, but got int")),
    ("getField", field(None, {}), {}, Fails(5654602)),
    ("getField", {"$getField": "$qty"}, SHIRT, Fails(
        3041704, "$getField requires 'field' to evaluate to type String, but got object")),
    ("getField", field("$gone", {}), {}, Fails(3041704)),
    ("getField", {"$getField": {"field": "a", "x": 1}}, {}, Fails(
        3041701, "$getField found an unknown argument: x")),
    ("getField", {"$getField": {"input": {}}}, {}, Fails(
        3041702, "$getField requires 'field' to be specified")),
    ("getField", {"$getField": {"field": "a"}}, {}, Fails(
        3041703, "$getField requires 'input' to be specified")),
    ("getField", {"$getField": {}}, {}, Fails(3041702)),
    ("setField", put("price.eur", "$$ROOT", 1), {"price": 2}, {"price": 2, "price.eur": 1}),
    ("setField", put({"$literal": "$price"}, "$$ROOT", "$x"), {"x": 2}, {"x": 2, "$price": 2}),
    ("setField", put("b", "$o", 9), {"o": {"a": 1, "b": 2, "c": 3}}, {"a": 1, "b": 9, "c": 3}),
    ("setField", put("b", "$o", "$$REMOVE"), {"o": {"a": 1, "b": 2}}, {"a": 1}),
    ("setField", put("b", "$o", "$gone"), {"o": {"a": 1, "b": 2}}, {"a": 1}),
    ("setField", put("a.b", {"a": {"b": 1}}, 2), {}, {"a": {"b": 1}, "a.b": 2}),
    ("setField", put("a", {}, None), {}, {"a": None}),
    ("setField", put("", {}, 1), {}, {"": 1}),
    ("setField", put("a", None, 1), {}, None),
    ("setField", put("a", "$gone", 1), {}, None),
    ("setField", put("a", 5, 1), {}, Fails(
        4161105, "$setField requires 'input' to evaluate to type Object")),
    ("setField", {"$setField": 5}, {}, Fails(
        4161100, "$setField only supports an object as its argument")),
    ("setField", {"$setField": {"x": 5}}, {}, Fails(
        4161101, "$setField found an unknown argument: x")),
    ("setField", {"$setField": {"input": {}, "value": 1}}, {}, Fails(
        4161102, "$setField requires 'field' to be specified")),
    ("setField", {"$setField": {"field": "a", "input": {}}}, {}, Fails(
        4161103, "$setField requires 'value' to be specified")),
    ("setField", {"$setField": {"field": "a", "value": 1}}, {}, Fails(
        4161109, "$setField requires 'input' to be specified")),
    ("setField", put({"$concat": ["a", "b"]}, {}, 1), {}, Fails(
        4161106, "$setField requires 'field' to evaluate to a constant, but got a non-constant "
        "argument")),
    ("setField", put(["a"], {}, 1), {}, Fails(4161106)),
    ("setField", put(5, {}, 1), {}, Fails(
        4161107, "$setField requires 'field' to evaluate to type String, but got int")),
    ("setField", put({"$literal": 5}, {}, 1), {}, Fails(4161107)),
    ("setField", put("$a", {}, 1), {}, Fails(
        4161108, "'$a' is a field path reference which is not allowed in this context. "
        "Did you mean {$literal: '$a'}?")),
    ("setField", put("$$NOW", {}, 1), {}, Fails(4161108)),
    ("setField", put("a\0b", {}, 1), {}, Fails(9)),
    ("unsetField", cut("price.usd", "$$ROOT"), {"price.usd": 1, "x": 2}, {"x": 2}),
    ("unsetField", cut({"$literal": "$large"}, "$qty"), SHIRT, {}),
    ("unsetField", cut("none", {"a": 1}), {}, {"a": 1}),
    ("unsetField", cut("a", None), {}, None),
    ("unsetField", cut("a", []), {}, Fails(
        4161105, "$unsetField requires 'input' to evaluate to type Object")),
    ("unsetField", {"$unsetField": {"field": "a", "input": {}, "value": 1}}, {}, Fails(
        4161101, "$unsetField found an unknown argument: value")),
    ("unsetField", {"$unsetField": {}}, {}, Fails(4161102)),
    ("objectToArray", {"$objectToArray": {"item": "foo", "qty": 25}}, {},
     [{"k": "item", "v": "foo"}, {"k": "qty", "v": 25}]),
    ("objectToArray", {"$objectToArray": "$qty"}, SHIRT, [{"k": "$large", "v": 50}]),
    ("objectToArray", {"$objectToArray": {}}, {}, []),
    ("objectToArray", {"$objectToArray": None}, {}, None),
    ("objectToArray", {"$objectToArray": "$gone"}, {}, None),
    ("objectToArray", {"$objectToArray": [[]]}, {}, Fails(
        40390, "$objectToArray requires a document input, found: array")),
    ("arrayToObject", {"$arrayToObject": {"$literal": [
        {"k": "item", "v": "abc123"}, {"k": "qty", "v": 25}]}}, {}, {"item": "abc123", "qty": 25}),
    ("arrayToObject", {"$arrayToObject": {"$literal": [["item", "abc123"], ["qty", 25]]}}, {},
     {"item": "abc123", "qty": 25}),
    ("arrayToObject", {"$arrayToObject": [[["a", 1], ["b", 2], ["a", 3]]]}, {}, {"a": 3, "b": 2}),
    ("arrayToObject", {"$arrayToObject": "$x"}, {"x": [{"v": 1, "k": "a"}]}, {"a": 1}),
    ("arrayToObject", {"$arrayToObject": [[]]}, {}, {}),
    ("arrayToObject", {"$arrayToObject": None}, {}, None),
    ("arrayToObject", {"$arrayToObject": "$x"}, {"x": [["a.b", 1], ["$c", 2], ["", 3]]},
     {"a.b": 1, "$c": 2, "": 3}),
    ("arrayToObject", {"$arrayToObject": 5}, {}, Fails(
        40386, "$arrayToObject requires an array input, found: int")),
    ("arrayToObject", {"$arrayToObject": [[["a", 1], {"k": "b", "v": 1}]]}, {}, Fails(
        40396, "$arrayToObject requires a consistent input format. Elements must all be arrays or "
        "all be objects. Array was detected, now found: object")),
    ("arrayToObject", {"$arrayToObject": [[{"k": "b", "v": 1}, ["a", 1]]]}, {}, Fails(
        40391, "$arrayToObject requires a consistent input format. Elements must all be arrays or "
        "all be objects. Object was detected, now found: array")),
    ("arrayToObject", {"$arrayToObject": [[["a"]]]}, {}, Fails(
        40397, "$arrayToObject requires an array of size 2 arrays,found array of size: 1")),
    ("arrayToObject", {"$arrayToObject": [[[5, 1]]]}, {}, Fails(40395)),
    ("arrayToObject", {"$arrayToObject": [[{"k": "a", "v": 1, "x": 1}]]}, {}, Fails(
        40392, "$arrayToObject requires an object keys of 'k' and 'v'. "
        "Found incorrect number of keys:3")),
    ("arrayToObject", {"$arrayToObject": [[{"k": "a", "y": 1}]]}, {}, Fails(40393)),
    ("arrayToObject", {"$arrayToObject": [[{"k": 5, "v": 1}]]}, {}, Fails(40394)),
    ("arrayToObject", {"$arrayToObject": [[5]]}, {}, Fails(
        40398, "Unrecognised input type format for $arrayToObject: int")),
    ("arrayToObject", {"$arrayToObject": [[["a\0", 1]]]}, {}, Fails(
        4940400, "Key field cannot contain an embedded null byte")),
]  # fmt: skip

HASHES: list[tuple[Any, int]] = [
    ("string to hash", 763543691661428748),
    (42, -944302157085130861),
    (L(42), -944302157085130861),
    (42.9, -944302157085130861),
    (DEC("42"), -944302157085130861),
]

MISC: list[Case] = [
    ("binarySize", {"$binarySize": ""}, {}, 0),
    ("binarySize", {"$binarySize": "cafétéria"}, {}, 11),
    ("binarySize", {"$binarySize": "$b"}, {"b": b"\0\1\2"}, 3),
    ("binarySize", {"$binarySize": "$b"}, {"b": Binary(b"\0\1", 4)}, 2),
    ("binarySize", {"$binarySize": None}, {}, None),
    ("binarySize", {"$binarySize": "$gone"}, {}, None),
    ("binarySize", {"$binarySize": 5}, {}, Fails(
        51276, "$binarySize requires a string or BinData argument, found: int")),
    ("bsonSize", {"$bsonSize": {}}, {}, 5),
    ("bsonSize", {"$bsonSize": {"a": 1}}, {}, 12),
    ("bsonSize", {"$bsonSize": {"a": L(1)}}, {}, 16),
    ("bsonSize", {"$bsonSize": "$$ROOT"}, {"a": "x"}, 14),
    ("bsonSize", {"$bsonSize": None}, {}, None),
    ("bsonSize", {"$bsonSize": [[]]}, {}, Fails(
        31393, "$bsonSize requires a document input, found: array")),
    *(("toHashedIndexKey", {"$toHashedIndexKey": value}, {}, L(end)) for value, end in HASHES),
    ("rand", {"$rand": 5}, {}, Fails(3040501, "$rand does not currently accept arguments")),
    ("rand", {"$rand": [1]}, {}, Fails(3040501)),
    ("sampleRate", {"$sampleRate": 0.5}, {}, Fails(
        168, "Unrecognized expression '$sampleRate'")),
    ("meta", {"$meta": 5}, {}, Fails(17307, "$meta only supports string arguments")),
    ("meta", {"$meta": "bogus"}, {}, Fails(17308, "Unsupported argument to $meta: bogus")),
    ("meta", {"m": {"$meta": "textScore"}}, {}, {}),
    ("function", {"$function": 5}, {}, Fails(
        31260, "$function requires an object as an argument, found: int")),
    ("function", {"$function": {}}, {}, Fails(31261, "The body function must be specified.")),
    ("function", {"$function": {"body": "$x"}}, {}, Fails(
        31432, "The body function must be a constant expression")),
    ("function", {"$function": {"body": 5}}, {}, Fails(
        31262, "The body function must evaluate to type string or code")),
    ("function", {"$function": {"body": "f"}}, {}, Fails(
        31263, "The args field must be specified.")),
    ("function", {"$function": {"body": "f", "args": 1}}, {}, Fails(
        31266, "The args field must be of type array")),
    ("function", {"$function": {"body": "f", "args": []}}, {}, Fails(
        31418, "The lang field must be specified.")),
    ("function", {"$function": {"body": "f", "args": [], "lang": "py"}}, {}, Fails(
        31419, "Currently the only supported language specifier is 'js'.")),
    ("function", {"$function": {"body": "f", "args": [], "lang": "js"}}, {}, Fails(
        31264, "Cannot run server-side javascript without the javascript engine enabled")),
]  # fmt: skip


@table([*SETS, *OBJECTS, *MISC])
def test_cases(case: Case) -> None:
    check(case)


def test_rand_draws_from_its_port_each_time() -> None:
    draws = iter([0.25, 0.5])
    ctx = replace(DEFAULT_CONTEXT, random=lambda: next(draws))
    expr = compile_expression({"$rand": {}}, ctx)
    assert not expr.is_constant
    assert [expr.evaluate({}, environment()) for _ in range(2)] == [0.25, 0.5]
    with pytest.raises(MongoError, match="not allowed"):
        run({"$rand": {}})


META = {"textScore": 1.5, "recordId": 7, "sortKey": ["x"], "geoNearPoint": {"type": "Point"}}


@pytest.mark.parametrize("keyword", META)
def test_meta_reads_what_the_stage_noted(keyword: str) -> None:
    assert run({"$meta": keyword}, {}, env=environment(META=META)) == META[keyword]
    assert run({"$meta": "randVal"}, {}, env=environment(META=META)) is MISSING


class Engine:
    """A script engine that notes what it is asked for."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def compile_function(self, source: str) -> Any:
        def call(arguments: list[Any]) -> Any:
            self.calls.append((source, arguments))
            return len(arguments)

        return call


def test_function_calls_the_engine_with_values() -> None:
    engine = Engine()
    ctx = replace(DEFAULT_CONTEXT, javascript=engine)
    spec = {"$function": {"body": Code("function(a, b) {}"), "args": ["$x", "$gone"], "lang": "js"}}
    assert run(spec, {"x": 5}, ctx) == 2
    assert engine.calls == [("function(a, b) {}", [5, None])]


VALUES = st.lists(bson_values(), max_size=6)


def same_set(left: list[Any], right: list[Any]) -> bool:
    return sorted(map(order.key, left)) == sorted(map(order.key, right))


@given(VALUES, VALUES)
def test_set_laws(left: list[Any], right: list[Any]) -> None:
    doc = {"l": left, "r": right}
    union = run({"$setUnion": ["$l", "$r"]}, doc)
    both = run({"$setIntersection": ["$l", "$r"]}, doc)
    only = run({"$setDifference": ["$l", "$r"]}, doc)
    assert exact(run({"$setUnion": ["$u", "$u"]}, {"u": union})) == exact(union)
    assert same_set(union, run({"$setUnion": ["$r", "$l"]}, doc))
    assert same_set([*both, *only], run({"$setUnion": ["$l"]}, doc))
    assert run({"$setIsSubset": ["$l", "$u"]}, doc | {"u": union}) is True
    assert run({"$setEquals": ["$l", "$l"]}, doc) is True
    assert run({"$setEquals": ["$l", "$r"]}, doc) is (
        run({"$setIsSubset": ["$l", "$r"]}, doc) and run({"$setIsSubset": ["$r", "$l"]}, doc)
    )


@given(bson_documents())
def test_objects_survive_their_pairs(doc: dict[str, Any]) -> None:
    pairs = {"$objectToArray": "$$ROOT"}
    assert exact(run({"$arrayToObject": pairs}, doc)) == exact(doc)
    assert run({"$bsonSize": "$$ROOT"}, doc) == len(encode(doc))
    assert exact(run({"$mergeObjects": ["$$ROOT", "$$ROOT"]}, doc)) == exact(doc)
    for name, value in doc.items():
        literal = {"$literal": name}
        assert exact(run(field(literal, "$$ROOT"), doc)) == exact(value)
        again = put(literal, "$$ROOT", field(literal, "$$ROOT"))
        assert exact(run(again, doc)) == exact(doc)
        assert name not in run(cut(literal, "$$ROOT"), doc)


# Anything goes in, a value or a MongoError comes out.

NAMES = [
    "$allElementsTrue", "$anyElementTrue", "$arrayElemAt", "$arrayToObject", "$binarySize",
    "$bsonSize", "$concatArrays", "$convert", "$dateAdd", "$dateDiff", "$dateFromParts",
    "$dateFromString", "$dateSubtract", "$dateToParts", "$dateToString", "$dateTrunc",
    "$dayOfMonth", "$filter", "$first", "$firstN", "$function", "$getField", "$hour", "$in",
    "$indexOfArray", "$isArray", "$isNumber", "$isoWeekYear", "$last", "$lastN", "$map", "$maxN",
    "$mergeObjects", "$meta", "$minN", "$objectToArray", "$rand", "$range", "$reduce",
    "$reverseArray", "$setDifference", "$setEquals", "$setField", "$setIntersection",
    "$setIsSubset", "$setUnion", "$size", "$slice", "$sortArray", "$toBool", "$toDate",
    "$toDecimal", "$toDouble", "$toHashedIndexKey", "$toInt", "$toLong", "$toObjectId",
    "$toString", "$toUUID", "$tsIncrement", "$tsSecond", "$type", "$unsetField", "$week", "$zip",
]  # fmt: skip
KEYS = [
    "input", "in", "cond", "as", "limit", "initialValue", "inputs", "defaults", "useLongestLength",
    "date", "timezone", "format", "unit", "amount", "startDate", "endDate", "startOfWeek",
    "binSize", "year", "month", "isoWeekYear", "hour", "second", "millisecond", "iso8601",
    "dateString", "onNull", "onError", "to", "field", "value", "sortBy", "n", "body", "args", "x",
]  # fmt: skip
WORDS = st.sampled_from(
    ["$a", "$b", "$$this", "$$ROOT", "$$REMOVE", "day", "week", "year", "UTC", "%Y-%m",
     "2017-01-01", "int", "string", "date", "America/New_York", "textScore", "a", ""]
)  # fmt: skip
LEAVES = WORDS | bson_values().filter(lambda value: type(value) is not dict)


def operations(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    operands = (
        inner
        | st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6)
    )
    return st.builds(lambda name, operand: {name: operand}, st.sampled_from(NAMES), operands)


SPECS = operations(st.recursive(LEAVES, operations, max_leaves=4))


@given(SPECS, bson_values(), bson_values())
def test_any_expression_gives_a_value_or_an_error(spec: Any, a: Any, b: Any) -> None:
    value, code = result_or_code(spec, {"a": a, "b": b})
    if code == 0 and value is not MISSING:
        encode({"": value})


WELL_FORMED = st.one_of(
    st.builds(
        lambda date, unit, size, zone: {"$dateTrunc": {
            "date": date, "unit": unit, "binSize": size, "timezone": zone}},
        LEAVES, WORDS, LEAVES, WORDS),
    st.builds(
        lambda date, form, zone: {"$dateToString": {
            "date": date, "format": form, "timezone": zone}}, LEAVES, LEAVES, WORDS),
    st.builds(
        lambda text, form: {"$dateFromString": {"dateString": text, "format": form}},
        LEAVES, LEAVES),
    st.builds(lambda *parts: {"$slice": list(parts)}, LEAVES, LEAVES, LEAVES),
    st.builds(lambda *parts: {"$range": list(parts)}, LEAVES, LEAVES, LEAVES),
    st.builds(lambda a, b: {"$sortArray": {"input": a, "sortBy": b}}, LEAVES, LEAVES),
    st.builds(lambda a, b: {"$maxN": {"input": a, "n": b}}, LEAVES, LEAVES),
    st.builds(lambda a: {"$arrayToObject": a}, LEAVES),
    st.builds(lambda y, m, s: {"$dateFromParts": {"year": y, "month": m, "second": s}},
              LEAVES, LEAVES, LEAVES),
)  # fmt: skip


@given(WELL_FORMED, bson_values(), bson_values())
def test_well_formed_expressions_give_a_value_or_an_error(spec: Any, a: Any, b: Any) -> None:
    value, code = result_or_code(spec, {"a": a, "b": b})
    assert code or value is MISSING or encode({"": value})


def test_every_operator_is_in_the_table_and_answers() -> None:
    for name in NAMES:
        _, code = result_or_code({name: {"$literal": ObjectId()}})
        assert code != 168, name
        _, code = result_or_code({name: DatetimeMS(0)})
        assert code != 168, name
