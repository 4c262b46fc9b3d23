"""`$jsonSchema`: (keyword, values of `a`, schema of `a`, ids that keep it)."""

from __future__ import annotations

from typing import Any

import pytest
from bson.binary import Binary
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp
from expression_kit import Err
from filter_kit import CTX, ENV, agrees, find, table

from psdb_base.values import UNDEFINED, Symbol
from psdb_query.filters import compile_filter

Case = tuple[str, list[Any], dict[str, Any], list[int]]

NUMBERS = [1, Int64(2), 3.0, Decimal128("4"), 2.5, "2", True, None, float("nan"), -1]
TEXTS = ["", "a", "ab", "abc", "äöü", "😀", 12, ["abc"], Symbol("abc")]
ARRAYS = [[], [1], [1, 2], [1, 2, 3], [1, "x"], [1, 1.0], "x", [{"p": 1, "q": 2}, {"q": 2, "p": 1}]]


def docs(*documents: dict[str, Any]) -> list[Any]:
    return [{"$value": 1, **document} for document in documents]


OBJECTS = docs({}, {"x": 1}, {"x": "s"}, {"x": 1, "y": 2}, {"y": 2}, {"x": 1, "y": 2, "z": 3})
OBJECTS += [5, ["x"]]

CASES: list[Case] = [
    # type and bsonType
    ("type", NUMBERS, {"type": "number"}, [0, 1, 2, 3, 4, 8, 9]),
    ("type", NUMBERS, {"type": "string"}, [5]),
    ("type", NUMBERS, {"type": "boolean"}, [6]),
    ("type", NUMBERS, {"type": "null"}, [7]),
    ("type", NUMBERS, {"type": ["string", "boolean", "null"]}, [5, 6, 7]),
    ("type", ARRAYS, {"type": "array"}, [0, 1, 2, 3, 4, 5, 7]),
    ("type", OBJECTS, {"type": "object"}, [0, 1, 2, 3, 4, 5]),
    ("bsonType", NUMBERS, {"bsonType": "number"}, [0, 1, 2, 3, 4, 8, 9]),
    ("bsonType", NUMBERS, {"bsonType": "int"}, [0, 9]),
    ("bsonType", NUMBERS, {"bsonType": "long"}, [1]),
    ("bsonType", NUMBERS, {"bsonType": "double"}, [2, 4, 8]),
    ("bsonType", NUMBERS, {"bsonType": "decimal"}, [3]),
    ("bsonType", NUMBERS, {"bsonType": ["int", "bool"]}, [0, 6, 9]),
    ("bsonType", ARRAYS, {"bsonType": "array"}, [0, 1, 2, 3, 4, 5, 7]),
    ("bsonType", [b"", Binary(b"", 4), "x"], {"bsonType": "binData"}, [0, 1]),
    ("bsonType", [ObjectId(), DatetimeMS(0), Timestamp(1, 1)], {"bsonType": "objectId"}, [0]),
    ("bsonType", [ObjectId(), DatetimeMS(0), Timestamp(1, 1)], {"bsonType": "date"}, [1]),
    ("bsonType", [ObjectId(), DatetimeMS(0), Timestamp(1, 1)], {"bsonType": "timestamp"}, [2]),
    ("bsonType", [Regex("x"), UNDEFINED, Symbol("x")], {"bsonType": "regex"}, [0]),
    ("bsonType", [Regex("x"), UNDEFINED, Symbol("x")], {"bsonType": "undefined"}, [1]),
    ("bsonType", [Regex("x"), UNDEFINED, Symbol("x")], {"bsonType": "symbol"}, [2]),
    ("bsonType", [MinKey(), MaxKey()], {"bsonType": "minKey"}, [0]),
    ("bsonType", [MinKey(), MaxKey()], {"bsonType": "maxKey"}, [1]),
    ("bsonType", [..., 1, "x"], {"bsonType": "int"}, [0, 1]),
    # Numbers
    ("minimum", NUMBERS, {"minimum": 2}, [1, 2, 3, 4, 5, 6, 7]),
    ("minimum", NUMBERS, {"minimum": 2, "exclusiveMinimum": True}, [2, 3, 4, 5, 6, 7]),
    ("minimum", NUMBERS, {"minimum": 2, "exclusiveMinimum": False}, [1, 2, 3, 4, 5, 6, 7]),
    ("maximum", NUMBERS, {"maximum": 2.5}, [0, 1, 4, 5, 6, 7, 9]),
    (
        "maximum",
        NUMBERS,
        {"maximum": Decimal128("2.5"), "exclusiveMaximum": True},
        [0, 1, 5, 6, 7, 9],
    ),
    ("maximum", NUMBERS, {"maximum": 2, "minimum": 1}, [0, 1, 5, 6, 7]),
    ("minimum", NUMBERS, {"bsonType": "int", "minimum": 0}, [0]),
    ("multipleOf", NUMBERS, {"multipleOf": 2}, [1, 3, 5, 6, 7]),
    ("multipleOf", NUMBERS, {"multipleOf": 0.5}, [0, 1, 2, 3, 4, 5, 6, 7, 9]),
    ("multipleOf", [0.3, 0.7, 1.15, 0.25], {"multipleOf": 0.1}, [0, 1]),
    (
        "multipleOf",
        [4.5, Decimal128("4.5"), Int64(9), 5],
        {"multipleOf": Decimal128("1.5")},
        [0, 1, 2],
    ),
    ("multipleOf", [float("inf"), 1e300, Decimal128("1E+6000"), 0], {"multipleOf": 1}, [1, 2, 3]),
    # Strings
    ("minLength", TEXTS, {"minLength": 2}, [2, 3, 4, 6, 7, 8]),
    ("maxLength", TEXTS, {"maxLength": 1}, [0, 1, 5, 6, 7, 8]),
    ("maxLength", TEXTS, {"maxLength": 3.0, "minLength": Int64(3)}, [3, 4, 6, 7, 8]),
    ("maxLength", TEXTS, {"maxLength": 0}, [0, 6, 7, 8]),
    ("pattern", TEXTS, {"pattern": "b"}, [2, 3, 6, 7, 8]),
    ("pattern", TEXTS, {"pattern": "^a.?$"}, [1, 2, 6, 7, 8]),
    ("pattern", TEXTS, {"pattern": ""}, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
    # Values
    ("enum", NUMBERS, {"enum": [1, "2", None]}, [0, 5, 7]),
    ("enum", NUMBERS, {"enum": [2.0, 3, True]}, [1, 2, 6]),
    ("enum", NUMBERS, {"enum": [float("nan")]}, [8]),
    ("enum", ARRAYS, {"enum": [[], [1, 2]]}, [0, 2]),
    ("enum", ARRAYS, {"enum": [1]}, []),
    (
        "enum",
        docs({"p": 1, "q": 2}, {"q": 2, "p": 1}, {"p": 1}),
        {"enum": [{"p": 1, "q": 2}]},
        [0, 1],
    ),
    # Arrays
    ("minItems", ARRAYS, {"minItems": 2}, [2, 3, 4, 5, 6, 7]),
    ("maxItems", ARRAYS, {"maxItems": 1}, [0, 1, 6]),
    ("maxItems", ARRAYS, {"maxItems": 2, "minItems": 2}, [2, 4, 5, 6, 7]),
    ("uniqueItems", ARRAYS, {"uniqueItems": True}, [0, 1, 2, 3, 4, 6]),
    ("uniqueItems", ARRAYS, {"uniqueItems": False}, [0, 1, 2, 3, 4, 5, 6, 7]),
    ("items", ARRAYS, {"items": {"bsonType": "int"}}, [0, 1, 2, 3, 6]),
    ("items", ARRAYS, {"items": {"minimum": 2}}, [0, 6, 7]),
    ("items", ARRAYS, {"items": [{"bsonType": "int"}, {"bsonType": "int"}]}, [0, 1, 2, 3, 6]),
    ("items", ARRAYS, {"items": [{}, {"bsonType": "string"}]}, [0, 1, 4, 6]),
    ("items", ARRAYS, {"items": []}, [0, 1, 2, 3, 4, 5, 6, 7]),
    ("additionalItems", ARRAYS, {"items": [{}], "additionalItems": False}, [0, 1, 6]),
    (
        "additionalItems",
        ARRAYS,
        {"items": [{}], "additionalItems": {"bsonType": "int"}},
        [0, 1, 2, 3, 6],
    ),
    ("additionalItems", ARRAYS, {"items": [{}], "additionalItems": True}, [0, 1, 2, 3, 4, 5, 6, 7]),
    (
        "additionalItems",
        ARRAYS,
        {"items": {"bsonType": "int"}, "additionalItems": False},
        [0, 1, 2, 3, 6],
    ),
    ("additionalItems", ARRAYS, {"additionalItems": False}, [0, 1, 2, 3, 4, 5, 6, 7]),
    # Objects
    ("properties", OBJECTS, {"properties": {"x": {"bsonType": "int"}}}, [0, 1, 3, 4, 5, 6, 7]),
    (
        "properties",
        OBJECTS,
        {"properties": {"x": {"bsonType": "int"}, "y": {"maximum": 1}}},
        [0, 1, 6, 7],
    ),
    ("properties", OBJECTS, {"bsonType": "object", "properties": {"x": {}}}, [0, 1, 2, 3, 4, 5]),
    ("required", OBJECTS, {"required": ["x"]}, [1, 2, 3, 5, 6, 7]),
    ("required", OBJECTS, {"required": ["x", "y"]}, [3, 5, 6, 7]),
    ("minProperties", OBJECTS, {"minProperties": 2}, [3, 5, 6, 7]),
    ("maxProperties", OBJECTS, {"maxProperties": 1}, [0, 1, 2, 4, 6, 7]),
    (
        "additionalProperties",
        OBJECTS,
        {"properties": {"x": {}}, "additionalProperties": False},
        [0, 1, 2, 6, 7],
    ),
    ("additionalProperties", OBJECTS, {"additionalProperties": False}, [0, 6, 7]),
    ("additionalProperties", OBJECTS, {"additionalProperties": True}, [0, 1, 2, 3, 4, 5, 6, 7]),
    (
        "additionalProperties",
        OBJECTS,
        {"properties": {"x": {}}, "additionalProperties": {"maximum": 2}},
        [0, 1, 2, 3, 4, 6, 7],
    ),
    (
        "patternProperties",
        OBJECTS,
        {"patternProperties": {"^[xy]$": {"bsonType": "int"}}},
        [0, 1, 3, 4, 5, 6, 7],
    ),
    (
        "patternProperties",
        OBJECTS,
        {"patternProperties": {"[yz]": {}}, "additionalProperties": False},
        [0, 4, 6, 7],
    ),
    (
        "patternProperties",
        OBJECTS,
        {"properties": {"x": {}}, "patternProperties": {"y": {}}, "additionalProperties": False},
        [0, 1, 2, 3, 4, 6, 7],
    ),
    ("dependencies", OBJECTS, {"dependencies": {"x": ["y"]}}, [0, 3, 4, 5, 6, 7]),
    ("dependencies", OBJECTS, {"dependencies": {"x": ["y", "z"]}}, [0, 4, 5, 6, 7]),
    ("dependencies", OBJECTS, {"dependencies": {"y": {"required": ["x"]}}}, [0, 1, 2, 3, 5, 6, 7]),
    (
        "dependencies",
        OBJECTS,
        {"dependencies": {"x": {"properties": {"x": {"bsonType": "string"}}}}},
        [0, 2, 4, 6, 7],
    ),
    # Combinations
    ("allOf", NUMBERS, {"allOf": [{"minimum": 2}, {"maximum": 3}]}, [1, 2, 4, 5, 6, 7]),
    ("anyOf", NUMBERS, {"anyOf": [{"bsonType": "bool"}, {"bsonType": "long"}]}, [1, 6]),
    ("oneOf", NUMBERS, {"oneOf": [{"bsonType": "number"}, {"minimum": 2}]}, [0, 5, 6, 7, 8, 9]),
    ("not", NUMBERS, {"not": {"bsonType": "number"}}, [5, 6, 7]),
    ("not", NUMBERS, {"not": {}}, []),
    (
        "anyOf",
        OBJECTS,
        {"anyOf": [{"required": ["z"]}, {"not": {"required": ["x"]}}]},
        [0, 4, 5, 6, 7],
    ),
    # Without effect
    ("title", NUMBERS, {"title": "t", "description": "d"}, list(range(10))),
    ("empty", NUMBERS, {}, list(range(10))),
    ("encrypt", [Binary(bytes(20), 6), Binary(bytes(20), 5), "x"], {"encrypt": {}}, [0]),
    (
        "encrypt",
        [Binary(bytes(17) + b"\x02", 6), Binary(bytes(17) + b"\x10", 6)],
        {"encrypt": {"bsonType": "string"}},
        [0],
    ),
]


@table(CASES)
def test_keyword(case: Case) -> None:
    keyword, values, schema, expected = case
    agrees(keyword, find(values, {"$jsonSchema": {"properties": {"a": schema}}}), expected)


@table(CASES)
def test_its_negation(case: Case) -> None:
    keyword, values, schema, expected = case
    present = [index for index, value in enumerate(values) if value is not ...]
    rest = [index for index in present if index not in expected]
    spec = {"$jsonSchema": {"required": ["a"], "properties": {"a": {"not": schema}}}}
    agrees(keyword, find(values, spec), rest)


ERRORS: list[tuple[dict[str, Any], int, str | None]] = [
    ({"foo": 1}, 9, "Unknown $jsonSchema keyword: foo"),
    ({"properties": {"a": {"foo": 1}}}, 9, "Unknown $jsonSchema keyword: foo"),
    ({"$ref": "x"}, 9, "$jsonSchema keyword '$ref' is not currently supported"),
    ({"$schema": "x"}, 9, "$jsonSchema keyword '$schema' is not currently supported"),
    ({"default": 1}, 9, "$jsonSchema keyword 'default' is not currently supported"),
    ({"definitions": {}}, 9, "$jsonSchema keyword 'definitions' is not currently supported"),
    ({"format": "x"}, 9, "$jsonSchema keyword 'format' is not currently supported"),
    ({"id": "x"}, 9, "$jsonSchema keyword 'id' is not currently supported"),
    ({"type": 1}, 14, "$jsonSchema keyword 'type' must be either a string or an array of strings"),
    ({"type": "foo"}, 2, "Unknown type name alias: foo"),
    ({"type": "int"}, 2, "Unknown type name alias: int"),
    ({"type": "integer"}, 2, "$jsonSchema type 'integer' is not currently supported."),
    ({"bsonType": "boolean"}, 2, "Unknown type name alias: boolean"),
    ({"bsonType": 16}, 14, None),
    ({"bsonType": ["int", 1]}, 14, None),
    ({"bsonType": ["int", "int"]}, 9, "$jsonSchema keyword 'bsonType' has duplicate value: int"),
    ({"bsonType": []}, 9, "$jsonSchema keyword 'bsonType' must name at least one type"),
    (
        {"type": "string", "bsonType": "string"},
        9,
        "Cannot specify both $jsonSchema keywords 'type' and 'bsonType'",
    ),
    ({"minimum": "1"}, 14, "$jsonSchema keyword 'minimum' must be a number"),
    ({"maximum": True}, 14, "$jsonSchema keyword 'maximum' must be a number"),
    (
        {"exclusiveMinimum": True},
        9,
        "$jsonSchema keyword 'minimum' must be a present if exclusiveMinimum is present",
    ),
    (
        {"exclusiveMaximum": True},
        9,
        "$jsonSchema keyword 'maximum' must be a present if exclusiveMaximum is present",
    ),
    (
        {"minimum": 1, "exclusiveMinimum": 1},
        14,
        "$jsonSchema keyword 'exclusiveMinimum' must be a boolean",
    ),
    ({"multipleOf": "1"}, 14, "$jsonSchema keyword 'multipleOf' must be a number"),
    ({"multipleOf": 0}, 9, "$jsonSchema keyword 'multipleOf' must have a positive value"),
    ({"multipleOf": -1}, 9, "$jsonSchema keyword 'multipleOf' must have a positive value"),
    ({"multipleOf": float("nan")}, 9, None),
    ({"minLength": -1}, 9, "Expected a non-negative number in: minLength: -1"),
    ({"maxLength": "x"}, 9, 'Expected a number in: maxLength: "x"'),
    ({"minItems": 1.5}, 9, "Expected an integer: minItems: 1.5"),
    ({"minProperties": None}, 9, "Expected a number in: minProperties: null"),
    ({"pattern": 1}, 14, "$jsonSchema keyword 'pattern' must be a string"),
    ({"pattern": "("}, 51091, None),
    ({"enum": 1}, 14, None),
    ({"enum": []}, 9, "$jsonSchema keyword 'enum' cannot be an empty array"),
    ({"enum": [1, 1.0]}, 9, "$jsonSchema keyword 'enum' array cannot contain duplicate values."),
    ({"required": 1}, 14, None),
    ({"required": []}, 9, "$jsonSchema keyword 'required' cannot be an empty array"),
    ({"required": [1]}, 14, None),
    (
        {"required": ["a", "a"]},
        9,
        "$jsonSchema keyword 'required' array cannot contain duplicate values",
    ),
    ({"properties": 1}, 14, "$jsonSchema keyword 'properties' must be an object"),
    ({"properties": {"a": 1}}, 14, "Nested schema for $jsonSchema property 'a' must be an object"),
    ({"patternProperties": 1}, 14, "$jsonSchema keyword 'patternProperties' must be an object"),
    ({"patternProperties": {"a": 1}}, 14, None),
    ({"patternProperties": {"(": {}}}, 51091, None),
    (
        {"additionalProperties": 1},
        14,
        "$jsonSchema keyword 'additionalProperties' must be an object or a boolean",
    ),
    ({"additionalItems": 1}, 14, None),
    ({"items": 1}, 14, None),
    ({"items": [1]}, 14, None),
    ({"uniqueItems": 1}, 14, "$jsonSchema keyword 'uniqueItems' must be a boolean"),
    ({"allOf": 1}, 14, "$jsonSchema keyword 'allOf' must be an array"),
    ({"anyOf": []}, 2, "$jsonSchema keyword 'anyOf' must be a non-empty array"),
    ({"oneOf": [1]}, 14, None),
    (
        {"not": 1},
        14,
        "$jsonSchema keyword 'not' must be an object, but found an element of type int",
    ),
    ({"dependencies": 1}, 14, "$jsonSchema keyword 'dependencies' must be an object"),
    ({"dependencies": {"a": 1}}, 14, None),
    ({"dependencies": {"a": []}}, 9, None),
    ({"title": 1}, 14, "$jsonSchema keyword 'title' must be of type string"),
    ({"description": 1}, 14, "$jsonSchema keyword 'description' must be of type string"),
    ({"encrypt": 1}, 14, None),
    ({"encrypt": {"foo": 1}}, 40415, None),
    ({"encrypt": {}, "bsonType": "int"}, 9, None),
    ({"encryptMetadata": 1}, 14, None),
]


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: str(case[0])[:60])
def test_refused(case: tuple[dict[str, Any], int, str | None]) -> None:
    schema, code, message = case
    agrees(str(schema), find([{}], {"$jsonSchema": schema}), Err(code, message))


def test_the_operand_must_be_an_object_and_not_too_deep() -> None:
    agrees("", find([], {"$jsonSchema": 1}), Err(14, "$jsonSchema must be an object"))
    deep: dict[str, Any] = {}
    for _ in range(300):
        deep = {"not": deep}
    agrees("", find([], {"$jsonSchema": deep}), Err(9))


def test_a_schema_speaks_of_the_whole_document() -> None:
    filter_ = compile_filter({"$jsonSchema": {"required": ["a"], "maxProperties": 2}}, CTX)
    assert filter_.matches({"_id": 1, "a": 1}, ENV)
    assert not filter_.matches({"_id": 1, "a": 1, "b": 1}, ENV)


def test_within_elem_match_a_schema_speaks_of_the_element() -> None:
    spec = {"a": {"$elemMatch": {"$jsonSchema": {"required": ["x"]}}}}
    agrees("", find([[{"x": 1}], [{"y": 1}], [1]], spec), [0])
