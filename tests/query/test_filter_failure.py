"""`errInfo` of documents that fail a validator: (validator, document, details)."""

from __future__ import annotations

from typing import Any

import pytest
from bson.binary import Binary
from bson.regex import Regex
from expression_kit import exactly
from filter_kit import CTX, ENV

from psdb_query.filters import compile_filter

Case = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]


def leaf(spec: dict[str, Any], reason: str, **more: Any) -> dict[str, Any]:
    """What a single condition says."""
    ((_, condition),) = spec.items()
    name = next(iter(condition)) if isinstance(condition, dict) else "$eq"
    return {"operatorName": name, "specifiedAs": spec, "reason": reason, **more}


def clauses(name: str, field: str, *pairs: tuple[int, dict[str, Any]]) -> dict[str, Any]:
    return {
        "operatorName": name,
        field: [{"index": index, "details": details} for index, details in pairs],
    }


FAILED = "comparison failed"
HELD = "comparison succeeded"
MISMATCH = "type did not match"
MISSING = "field was missing"
NUMBERS = ["decimal", "double", "int", "long"]
SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 9], [0, 0]]]}
OUTSIDE = {"type": "Point", "coordinates": [20, 20]}
INSIDE = {"type": "Point", "coordinates": [5, 5]}
NOT_THERE = "none of considered geometries was contained within the expression’s geometry"
IS_THERE = "at least one of considered geometries intersected the expression’s geometry"

CASES: list[Case] = [
    ({"p": 5}, {"p": 7}, leaf({"p": 5}, FAILED, consideredValue=7)),
    ({"p": {"$gte": 5}}, {"p": 4.5}, leaf({"p": {"$gte": 5}}, FAILED, consideredValue=4.5)),
    ({"p": {"$gte": 5}}, {}, leaf({"p": {"$gte": 5}}, MISSING)),
    ({"p.q": 5}, {"p": 1}, leaf({"p.q": 5}, MISSING)),
    ({"p": {"$lt": 0}}, {"p": [1, 2]}, leaf({"p": {"$lt": 0}}, FAILED, consideredValues=[1, 2])),
    ({"p": {"$lt": 0}}, {"p": []}, leaf({"p": {"$lt": 0}}, FAILED, consideredValues=[])),
    (
        {"p.q": {"$gt": 9}},
        {"p": [{"q": 1}, {"q": [2, 3]}]},
        leaf({"p.q": {"$gt": 9}}, FAILED, consideredValues=[1, 2, 3]),
    ),
    (
        {"p": {"$lt": 0}},
        {"p": list(range(30))},
        leaf(
            {"p": {"$lt": 0}},
            FAILED,
            consideredValues=list(range(10)),
            consideredValuesTruncated=True,
        ),
    ),
    ({"p": {"$ne": 3}}, {"p": 3}, leaf({"p": {"$ne": 3}}, HELD, consideredValue=3)),
    (
        {"p": {"$in": [1, Regex("^x")]}},
        {"p": "y"},
        leaf(
            {"p": {"$in": [1, Regex("^x")]}},
            "no matching value found in array",
            consideredValue="y",
        ),
    ),
    (
        {"p": {"$nin": [1, 2]}},
        {"p": [2, 5]},
        leaf({"p": {"$nin": [1, 2]}}, "matching value found in array", consideredValues=[2, 5]),
    ),
    ({"p": {"$exists": True}}, {}, leaf({"p": {"$exists": True}}, "path does not exist")),
    ({"p": {"$exists": False}}, {"p": 1}, leaf({"p": {"$exists": False}}, "path does exist")),
    (
        {"p": {"$type": "string"}},
        {"p": 1},
        leaf({"p": {"$type": "string"}}, MISMATCH, consideredValue=1, consideredType="int"),
    ),
    (
        {"p": {"$type": "string"}},
        {"p": [1, 2.5]},
        leaf(
            {"p": {"$type": "string"}},
            MISMATCH,
            consideredValues=[1, 2.5],
            consideredTypes=["double", "int"],
        ),
    ),
    (
        {"p": {"$mod": [3, 1]}},
        {"p": 5},
        leaf(
            {"p": {"$mod": [3, 1]}},
            "$mod did not evaluate to expected remainder",
            consideredValue=5,
        ),
    ),
    (
        {"p": {"$mod": [3, 1]}},
        {"p": "x"},
        leaf(
            {"p": {"$mod": [3, 1]}},
            MISMATCH,
            consideredType="string",
            expectedTypes=NUMBERS,
            consideredValue="x",
        ),
    ),
    (
        {"p": {"$regex": "^b", "$options": "i"}},
        {"p": "abc"},
        leaf(
            {"p": {"$regex": "^b", "$options": "i"}},
            "regular expression did not match",
            consideredValue="abc",
        ),
    ),
    (
        {"p": Regex("^b")},
        {"p": 7},
        {
            "operatorName": "$regex",
            "specifiedAs": {"p": Regex("^b")},
            "reason": MISMATCH,
            "consideredType": "int",
            "expectedTypes": ["regex", "string", "symbol"],
            "consideredValue": 7,
        },
    ),
    (
        {"p": {"$bitsAllSet": 3}},
        {"p": 4},
        leaf({"p": {"$bitsAllSet": 3}}, "bitwise operator failed to match", consideredValue=4),
    ),
    (
        {"p": {"$bitsAnySet": 1}},
        {"p": "x"},
        leaf(
            {"p": {"$bitsAnySet": 1}},
            MISMATCH,
            consideredType="string",
            expectedTypes=["binData", *NUMBERS],
            consideredValue="x",
        ),
    ),
    (
        {"p": {"$size": 2}},
        {"p": [1]},
        leaf({"p": {"$size": 2}}, "array length was not equal to given size", consideredValue=[1]),
    ),
    (
        {"p": {"$size": 2}},
        {"p": 1},
        leaf(
            {"p": {"$size": 2}},
            MISMATCH,
            consideredType="int",
            expectedType="array",
            consideredValue=1,
        ),
    ),
    (
        {"p": {"$elemMatch": {"$gt": 5}}},
        {"p": [1, 2]},
        leaf(
            {"p": {"$elemMatch": {"$gt": 5}}},
            "array did not satisfy the child predicate",
            consideredValue=[1, 2],
        ),
    ),
    (
        {"p": {"$all": [1, 2]}},
        {"p": [1, 3]},
        leaf(
            {"p": {"$all": [1, 2]}},
            "array did not contain all specified values",
            consideredValue=[1, 3],
        ),
    ),
    ({"p": {"$all": [1, 2]}}, {}, leaf({"p": {"$all": [1, 2]}}, MISSING)),
    (
        {"p.0": {"$all": [1]}},
        {"p": [{}]},
        leaf(
            {"p.0": {"$all": [1]}},
            "array did not contain all specified values",
            consideredValue={},
        ),
    ),
    (
        {"p": {"$all": []}},
        {"p": [1]},
        leaf({"p": {"$all": []}}, "expression always evaluates to false"),
    ),
    (
        {"p": {"$geoWithin": {"$geometry": SQUARE}}},
        {"p": OUTSIDE},
        leaf({"p": {"$geoWithin": {"$geometry": SQUARE}}}, NOT_THERE, consideredValue=OUTSIDE),
    ),
    (
        {"p": {"$not": {"$geoIntersects": {"$geometry": SQUARE}}}},
        {"p": INSIDE},
        {
            "operatorName": "$not",
            "details": leaf(
                {"p": {"$geoIntersects": {"$geometry": SQUARE}}}, IS_THERE, consideredValue=INSIDE
            ),
        },
    ),
    # Logic
    (
        {"p": {"$gt": 0, "$lt": 9}},
        {"p": 10},
        clauses(
            "$and", "clausesNotSatisfied", (1, leaf({"p": {"$lt": 9}}, FAILED, consideredValue=10))
        ),
    ),
    (
        {"$and": [{"p": 1}]},
        {"p": 2},
        clauses("$and", "clausesNotSatisfied", (0, leaf({"p": 1}, FAILED, consideredValue=2))),
    ),
    (
        {"$or": [{"p": 1}, {"q": 1}]},
        {"p": 2},
        clauses(
            "$or",
            "clausesNotSatisfied",
            (0, leaf({"p": 1}, FAILED, consideredValue=2)),
            (1, leaf({"q": 1}, MISSING)),
        ),
    ),
    (
        {"$nor": [{"p": {"$gt": 5}}, {"p": {"$lt": 5}}]},
        {"p": 2},
        clauses("$nor", "clausesSatisfied", (1, leaf({"p": {"$lt": 5}}, HELD, consideredValue=2))),
    ),
    (
        {"p": {"$not": {"$gt": 1, "$lt": 5}}},
        {"p": 3},
        {
            "operatorName": "$not",
            "details": clauses(
                "$and",
                "clausesSatisfied",
                (0, leaf({"p": {"$gt": 1}}, HELD, consideredValue=3)),
                (1, leaf({"p": {"$lt": 5}}, HELD, consideredValue=3)),
            ),
        },
    ),
    (
        {"p": {"$not": {"$not": {"$gt": 5}}}},
        {"p": 3},
        {
            "operatorName": "$not",
            "details": {
                "operatorName": "$not",
                "details": leaf({"p": {"$gt": 5}}, FAILED, consideredValue=3),
            },
        },
    ),
    (
        {"$and": [{"$or": [{"p": 1}]}, {"q": 2}]},
        {"p": 3, "q": 2},
        clauses(
            "$and",
            "clausesNotSatisfied",
            (
                0,
                clauses(
                    "$or", "clausesNotSatisfied", (0, leaf({"p": 1}, FAILED, consideredValue=3))
                ),
            ),
        ),
    ),
    # Expressions
    (
        {"$expr": {"$gt": ["$p", "$q"]}},
        {"p": 1, "q": 2},
        {
            "operatorName": "$expr",
            "specifiedAs": {"$expr": {"$gt": ["$p", "$q"]}},
            "reason": "expression did not match",
            "expressionResult": False,
        },
    ),
    (
        {"$expr": {"$divide": ["$p", "$q"]}},
        {"p": 1, "q": "x"},
        {
            "operatorName": "$expr",
            "specifiedAs": {"$expr": {"$divide": ["$p", "$q"]}},
            "reason": "failed to evaluate aggregation expression",
            "details": {
                "code": 14,
                "codeName": "TypeMismatch",
                "errmsg": "$divide only supports numeric types, not int and string",
            },
        },
    ),
    (
        {"$sampleRate": 0},
        {},
        {
            "operatorName": "$sampleRate",
            "specifiedAs": {"$sampleRate": 0.0},
            "reason": "expression did not match",
            "expressionResult": False,
        },
    ),
    (
        {"$alwaysFalse": 1},
        {},
        {
            "operatorName": "$alwaysFalse",
            "specifiedAs": {"$alwaysFalse": 1},
            "reason": "expression always evaluates to false",
        },
    ),
]


def details_of(spec: dict[str, Any], document: dict[str, Any]) -> Any:
    filter_ = compile_filter(spec, CTX)
    document = {"_id": 7, **document}
    found = filter_.explain_failure(document, ENV)
    assert found["failingDocumentId"] == 7
    return found["details"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case[0])[:70])
def test_query_validator(case: Case) -> None:
    spec, document, expected = case
    found = details_of(spec, document)
    assert exactly(found, expected), found


def rules(*found: dict[str, Any], **labels: Any) -> dict[str, Any]:
    return {"operatorName": "$jsonSchema", **labels, "schemaRulesNotSatisfied": list(found)}


def prop(name: str, *details: dict[str, Any], **labels: Any) -> dict[str, Any]:
    return {"propertyName": name, **labels, "details": list(details)}


def properties(*found: dict[str, Any]) -> dict[str, Any]:
    return {"operatorName": "properties", "propertiesNotSatisfied": list(found)}


def rule(specified: dict[str, Any], reason: str, **more: Any) -> dict[str, Any]:
    name = next(iter(specified))
    return {"operatorName": name, "specifiedAs": specified, "reason": reason, **more}


def of_p(*details: dict[str, Any]) -> dict[str, Any]:
    return rules(properties(prop("p", *details)))


LENGTH = "specified string length was not satisfied"
SCHEMAS: list[Case] = [
    (
        {"properties": {"p": {"minimum": 3}}},
        {"p": 2},
        of_p(rule({"minimum": 3}, FAILED, consideredValue=2)),
    ),
    (
        {"properties": {"p": {"maximum": 3, "exclusiveMaximum": True}}},
        {"p": 3},
        of_p(rule({"maximum": 3, "exclusiveMaximum": True}, FAILED, consideredValue=3)),
    ),
    (
        {"properties": {"p": {"minimum": 10, "maximum": -10}}},
        {"p": 5},
        of_p(
            rule({"maximum": -10}, FAILED, consideredValue=5),
            rule({"minimum": 10}, FAILED, consideredValue=5),
        ),
    ),
    (
        {"properties": {"p": {"bsonType": "int"}}},
        {"p": "x"},
        of_p(rule({"bsonType": "int"}, MISMATCH, consideredValue="x", consideredType="string")),
    ),
    (
        {"properties": {"p": {"type": "string", "minLength": 4}}},
        {"p": "abc"},
        of_p(rule({"minLength": 4}, LENGTH, consideredValue="abc")),
    ),
    (
        {"properties": {"p": {"type": "string", "maxLength": 4}}},
        {"p": 1},
        of_p(
            rule(
                {"maxLength": 4},
                MISMATCH,
                consideredType="int",
                expectedType="string",
                consideredValue=1,
            ),
            rule({"type": "string"}, MISMATCH, consideredValue=1, consideredType="int"),
        ),
    ),
    (
        {"properties": {"p": {"pattern": "^S"}}},
        {"p": "x"},
        of_p(rule({"pattern": "^S"}, "regular expression did not match", consideredValue="x")),
    ),
    (
        {"properties": {"p": {"multipleOf": 3}}},
        {"p": 4},
        of_p(
            rule(
                {"multipleOf": 3},
                "considered value is not a multiple of the specified value",
                consideredValue=4,
            )
        ),
    ),
    (
        {"properties": {"p": {"enum": [1, 2]}}},
        {"p": 3},
        of_p(rule({"enum": [1, 2]}, "value was not found in enum", consideredValue=3)),
    ),
    (
        {"properties": {"p": {"minItems": 2}}},
        {"p": [1]},
        of_p(rule({"minItems": 2}, "array did not match specified length", consideredValue=[1])),
    ),
    (
        {"properties": {"p": {"uniqueItems": True}}},
        {"p": [1, 2, 1.0]},
        of_p(
            rule(
                {"uniqueItems": True},
                "found a duplicate item",
                consideredValue=[1, 2, 1.0],
                duplicatedValue=1.0,
            )
        ),
    ),
    (
        {"properties": {"p": {"items": {"bsonType": "int"}}}},
        {"p": [1, "x"]},
        of_p(
            {
                "operatorName": "items",
                "reason": "At least one item did not match the sub-schema",
                "itemIndex": 1,
                "details": [
                    rule(
                        {"bsonType": "int"}, MISMATCH, consideredValue="x", consideredType="string"
                    )
                ],
            }
        ),
    ),
    (
        {"properties": {"p": {"items": [{"minimum": 5}]}}},
        {"p": [1]},
        of_p(
            {
                "operatorName": "items",
                "details": [
                    {"itemIndex": 0, "details": [rule({"minimum": 5}, FAILED, consideredValue=1)]}
                ],
            }
        ),
    ),
    (
        {"properties": {"p": {"items": [{}], "additionalItems": False}}},
        {"p": [1, 2]},
        of_p(rule({"additionalItems": False}, "found additional items", additionalItems=[2])),
    ),
    (
        {"properties": {"p": {"items": [{}], "additionalItems": {"minimum": 5}}}},
        {"p": [1, 2]},
        of_p(
            {
                "operatorName": "additionalItems",
                "reason": "At least one additional item did not match the sub-schema",
                "itemIndex": 1,
                "details": [rule({"minimum": 5}, FAILED, consideredValue=2)],
            }
        ),
    ),
    (
        {"required": ["p", "b", "_id"]},
        {"x": 1},
        rules(
            {
                "operatorName": "required",
                "specifiedAs": {"required": ["p", "b", "_id"]},
                "missingProperties": ["b", "p"],
            }
        ),
    ),
    (
        {"maxProperties": 1},
        {"x": 1},
        rules(
            {
                "operatorName": "maxProperties",
                "specifiedAs": {"maxProperties": 1},
                "reason": "specified number of properties was not satisfied",
                "numberOfProperties": 2,
            }
        ),
    ),
    (
        {"properties": {"_id": {}}, "additionalProperties": False},
        {"x": 1, "y": 2},
        rules(
            {
                "operatorName": "additionalProperties",
                "specifiedAs": {"additionalProperties": False},
                "additionalProperties": ["x", "y"],
            }
        ),
    ),
    (
        {"properties": {"_id": {}}, "additionalProperties": {"minimum": 5}},
        {"x": 6, "y": 2},
        rules(
            {
                "operatorName": "additionalProperties",
                "reason": "at least one additional property did not match the subschema",
                "failingProperty": "y",
                "details": [rule({"minimum": 5}, FAILED, consideredValue=2)],
            }
        ),
    ),
    (
        {"patternProperties": {"^n": {"minimum": 5}}},
        {"n1": 2, "m": 1},
        rules(
            {
                "operatorName": "patternProperties",
                "details": [
                    {
                        "propertyName": "n1",
                        "regexMatched": "^n",
                        "details": [rule({"minimum": 5}, FAILED, consideredValue=2)],
                    }
                ],
            }
        ),
    ),
    (
        {"dependencies": {"x": ["y", "z"], "w": {"required": ["v"]}}},
        {"x": 1, "w": 1, "z": 1},
        rules(
            {
                "operatorName": "dependencies",
                "failingDependencies": [
                    {"conditionalProperty": "x", "missingProperties": ["y"]},
                    {
                        "conditionalProperty": "w",
                        "details": [
                            {
                                "operatorName": "required",
                                "specifiedAs": {"required": ["v"]},
                                "missingProperties": ["v"],
                            }
                        ],
                    },
                ],
            }
        ),
    ),
    (
        {"properties": {"p": {"allOf": [{"minimum": 1}, {"maximum": 3}]}}},
        {"p": 4},
        of_p(
            {
                "operatorName": "allOf",
                "schemasNotSatisfied": [
                    {"index": 1, "details": [rule({"maximum": 3}, FAILED, consideredValue=4)]}
                ],
            }
        ),
    ),
    (
        {"properties": {"p": {"oneOf": [{"minimum": 1}, {"maximum": 3}]}}},
        {"p": 2},
        of_p(
            {
                "operatorName": "oneOf",
                "reason": "more than one subschema matched",
                "matchingSchemaIndexes": [0, 1],
            }
        ),
    ),
    (
        {"properties": {"p": {"oneOf": [{"minimum": 9}, {"maximum": 1}]}}},
        {"p": 2},
        of_p(
            {
                "operatorName": "oneOf",
                "schemasNotSatisfied": [
                    {"index": 0, "details": [rule({"minimum": 9}, FAILED, consideredValue=2)]},
                    {"index": 1, "details": [rule({"maximum": 1}, FAILED, consideredValue=2)]},
                ],
            }
        ),
    ),
    (
        {"properties": {"p": {"not": {"bsonType": "int"}}}},
        {"p": 2},
        of_p({"operatorName": "not", "reason": "child expression matched"}),
    ),
    (
        {"properties": {"p": {"encrypt": {}}}},
        {"p": Binary(b"x", 0)},
        of_p({"operatorName": "encrypt", "reason": "value was not encrypted"}),
    ),
    (
        {
            "title": "T",
            "description": "D",
            "required": ["q"],
            "properties": {"p": {"title": "t", "description": "d", "minimum": 3}},
        },
        {"p": 1},
        rules(
            properties(
                prop(
                    "p", rule({"minimum": 3}, FAILED, consideredValue=1), title="t", description="d"
                )
            ),
            {
                "operatorName": "required",
                "specifiedAs": {"required": ["q"]},
                "missingProperties": ["q"],
            },
            title="T",
            description="D",
        ),
    ),
]


@pytest.mark.parametrize("case", SCHEMAS, ids=lambda case: str(case[0])[:70])
def test_schema_validator(case: Case) -> None:
    schema, document, expected = case
    found = details_of({"$jsonSchema": schema}, document)
    assert exactly(found, expected), found


def test_a_negated_schema_says_only_that_it_matched() -> None:
    spec = {"$nor": [{"$jsonSchema": {"required": ["p"]}}]}
    expected = clauses(
        "$nor",
        "clausesSatisfied",
        (0, {"operatorName": "$jsonSchema", "reason": "schema matched"}),
    )
    assert exactly(details_of(spec, {"p": 1}), expected)


def test_a_schema_of_another_type_fails_every_document() -> None:
    spec = {"$jsonSchema": {"type": "string"}}
    assert details_of(spec, {}) == {
        "operatorName": "$jsonSchema",
        "specifiedAs": spec,
        "reason": "expression always evaluates to false",
    }


def test_large_descriptions_lose_their_values() -> None:
    big = "x" * (13 * 1024 * 1024)
    found = compile_filter({"p": {"$eq": 1}}, CTX).explain_failure({"_id": 1, "p": big}, ENV)
    assert found["truncated"] is True
    assert found["details"] == {"operatorName": "$eq", "reason": FAILED}
