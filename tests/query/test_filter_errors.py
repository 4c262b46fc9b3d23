"""Filters that MongoDB refuses: (manual page, filter, code, message)."""

from __future__ import annotations

from typing import Any

import pytest
from bson.code import Code
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.regex import Regex
from expression_kit import Err
from filter_kit import CTX, agrees, find, table

from psdb_base.errors import MongoError
from psdb_base.values import UNDEFINED
from psdb_query.context import CompileContext
from psdb_query.filters import compile_filter

NAN = float("nan")

ERRORS: list[tuple[str, dict[str, Any], int, str | None]] = [
    (
        "query",
        {"$foo": 1},
        2,
        (
            "unknown top level operator: $foo. If you have a field name that starts with a "
            "'$' symbol, consider using $getField or $setField."
        ),
    ),
    ("query", {"$eq": 1}, 2, None),
    ("query", {"$gt": 1}, 2, None),
    ("query", {"a": {"$foo": 1}}, 2, "unknown operator: $foo"),
    ("query", {"a": {"$gt": 1, "b": 2}}, 2, "unknown operator: b"),
    ("query", {"a": {"$gt": 1, "$foo": 2}}, 2, "unknown operator: $foo"),
    ("query", {"a": {"$and": [1]}}, 2, "unknown operator: $and"),
    ("query", {"a": {"$expr": 1}}, 2, "unknown operator: $expr"),
    ("query", {"a": {"$where": "1"}}, 2, "$where cannot be applied to a field"),
    ("query", {"a": {"$maxDistance": 1}}, 2, "unknown operator: $maxDistance"),
    ("$and", {"$and": 1}, 2, "$and must be an array"),
    ("$and", {"$and": {}}, 2, "$and must be an array"),
    ("$and", {"$and": []}, 2, "$and/$or/$nor must be a nonempty array"),
    ("$or", {"$or": []}, 2, "$and/$or/$nor must be a nonempty array"),
    ("$nor", {"$nor": []}, 2, "$and/$or/$nor must be a nonempty array"),
    ("$or", {"$or": "x"}, 2, "$or must be an array"),
    ("$nor", {"$nor": None}, 2, "$nor must be an array"),
    ("$or", {"$or": [1]}, 2, "$or/$and/$nor entries need to be full objects"),
    ("$or", {"$or": [{"a": 1}, "x"]}, 2, "$or/$and/$nor entries need to be full objects"),
    ("$or", {"$or": [{"a": {"$bad": 1}}]}, 2, "unknown operator: $bad"),
    ("$not", {"a": {"$not": 1}}, 2, "$not needs a regex or a document"),
    ("$not", {"a": {"$not": None}}, 2, "$not needs a regex or a document"),
    ("$not", {"a": {"$not": []}}, 2, "$not needs a regex or a document"),
    ("$not", {"a": {"$not": {}}}, 2, "$not cannot be empty"),
    ("$not", {"a": {"$not": {"b": 1}}}, 2, "unknown operator: b"),
    ("$not", {"$not": {"a": 1}}, 2, None),
    ("$in", {"a": {"$in": 1}}, 2, "$in needs an array"),
    ("$in", {"a": {"$in": {"x": 1}}}, 2, "$in needs an array"),
    ("$in", {"a": {"$in": [{"$gt": 1}]}}, 2, "cannot nest $ under $in"),
    ("$in", {"a": {"$in": [UNDEFINED]}}, 2, "InMatchExpression equality cannot be undefined"),
    ("$nin", {"a": {"$nin": "x"}}, 2, "$nin needs an array"),
    ("$nin", {"a": {"$nin": [{"$x": 1}]}}, 2, "cannot nest $ under $in"),
    ("$in", {"a": {"$in": [Regex("(")]}}, 51091, None),
    ("$gt", {"a": {"$gt": Regex("x")}}, 2, "Can't have RegEx as arg to predicate over field 'a'."),
    (
        "$lte",
        {"a": {"$lte": Regex("x")}},
        2,
        "Can't have RegEx as arg to predicate over field 'a'.",
    ),
    ("$ne", {"a": {"$ne": Regex("x")}}, 2, "Can't have regex as arg to $ne."),
    ("$eq", {"a": UNDEFINED}, 2, "cannot compare to undefined"),
    ("$eq", {"a": {"$eq": UNDEFINED}}, 2, "cannot compare to undefined"),
    ("$gt", {"a": {"$gt": UNDEFINED}}, 2, "cannot compare to undefined"),
    ("$ne", {"a": {"$ne": UNDEFINED}}, 2, "cannot compare to undefined"),
    ("$regex", {"a": {"$regex": 1}}, 2, "$regex has to be a string"),
    ("$regex", {"a": {"$regex": None}}, 2, "$regex has to be a string"),
    ("$regex", {"a": {"$regex": "x", "$options": 1}}, 2, "$options has to be a string"),
    ("$regex", {"a": {"$options": "i"}}, 2, "$options needs a $regex"),
    ("$regex", {"a": {"$regex": "x", "$options": "z"}}, 51108, " invalid flag in regex options: z"),
    (
        "$regex",
        {"a": {"$regex": Regex("x", "i"), "$options": "m"}},
        51075,
        "options set in both $regex and $options",
    ),
    (
        "$regex",
        {"a": {"$options": "m", "$regex": Regex("x", "i")}},
        51074,
        "options set in both $regex and $options",
    ),
    ("$regex", {"a": {"$regex": "["}}, 51091, None),
    (
        "$regex",
        {"a": {"$regex": "("}},
        51091,
        "Regular expression is invalid: missing closing parenthesis",
    ),
    (
        "$regex",
        {"a": {"$regex": "*"}},
        51091,
        "Regular expression is invalid: quantifier does not follow a repeatable item",
    ),
    (
        "$regex",
        {"a": {"$regex": "a\0b"}},
        51091,
        "Regular expression cannot contain an embedded null byte",
    ),
    (
        "$size",
        {"a": {"$size": -1}},
        2,
        "Failed to parse $size. Expected a non-negative number in: $size: -1",
    ),
    ("$size", {"a": {"$size": "1"}}, 2, 'Failed to parse $size. Expected a number in: $size: "1"'),
    (
        "$size",
        {"a": {"$size": True}},
        2,
        "Failed to parse $size. Expected a number in: $size: true",
    ),
    ("$size", {"a": {"$size": 1.5}}, 2, "Failed to parse $size. Expected an integer: $size: 1.5"),
    (
        "$size",
        {"a": {"$size": NAN}},
        2,
        "Failed to parse $size. Expected an integer, but found NaN in: $size: nan.0",
    ),
    (
        "$size",
        {"a": {"$size": float("inf")}},
        2,
        "Failed to parse $size. Cannot represent as a 64-bit integer: $size: inf.0",
    ),
    ("$size", {"a": {"$size": Decimal128("1.5")}}, 2, None),
    ("$size", {"a": {"$size": Int64(2**40)}}, 2, None),
    ("$mod", {"a": {"$mod": 1}}, 2, "malformed mod, needs to be an array"),
    ("$mod", {"a": {"$mod": []}}, 2, "malformed mod, not enough elements"),
    ("$mod", {"a": {"$mod": [2]}}, 2, "malformed mod, not enough elements"),
    ("$mod", {"a": {"$mod": [2, 1, 0]}}, 2, "malformed mod, too many elements"),
    ("$mod", {"a": {"$mod": ["2", 1]}}, 2, "malformed mod, divisor not a number"),
    ("$mod", {"a": {"$mod": [2, None]}}, 2, "malformed mod, remainder not a number"),
    ("$mod", {"a": {"$mod": [0, 1]}}, 2, "divisor cannot be 0"),
    ("$mod", {"a": {"$mod": [0.5, 1]}}, 2, "divisor cannot be 0"),
    (
        "$mod",
        {"a": {"$mod": [NAN, 1]}},
        2,
        (
            "malformed mod, divisor value is invalid :: caused by :: "
            "Unable to coerce NaN/Inf to integral type"
        ),
    ),
    (
        "$mod",
        {"a": {"$mod": [2, float("inf")]}},
        2,
        (
            "malformed mod, remainder value is invalid :: caused by :: "
            "Unable to coerce NaN/Inf to integral type"
        ),
    ),
    (
        "$mod",
        {"a": {"$mod": [1e300, 1]}},
        2,
        (
            "malformed mod, divisor value is invalid :: caused by :: "
            "Out of bounds coercing to integral value"
        ),
    ),
    ("$type", {"a": {"$type": "foo"}}, 2, "Unknown type name alias: foo"),
    ("$type", {"a": {"$type": "Number"}}, 2, "Unknown type name alias: Number"),
    ("$type", {"a": {"$type": 20}}, 2, "Invalid numerical type code: 20"),
    (
        "$type",
        {"a": {"$type": 0}},
        2,
        "Invalid numerical type code: 0. Instead use {$exists:false}.",
    ),
    ("$type", {"a": {"$type": 1.5}}, 2, "Invalid numerical type code: 1.5"),
    ("$type", {"a": {"$type": NAN}}, 2, "Invalid numerical type code: nan"),
    ("$type", {"a": {"$type": True}}, 14, "type must be represented as a number or a string"),
    ("$type", {"a": {"$type": None}}, 14, "type must be represented as a number or a string"),
    ("$type", {"a": {"$type": []}}, 9, "a must match at least one type"),
    ("$type", {"a": {"$type": ["int", "foo"]}}, 2, "Unknown type name alias: foo"),
    ("$elemMatch", {"a": {"$elemMatch": 1}}, 2, "$elemMatch needs an Object"),
    ("$elemMatch", {"a": {"$elemMatch": []}}, 2, "$elemMatch needs an Object"),
    (
        "$elemMatch",
        {"a": {"$elemMatch": {"$expr": True}}},
        2,
        "$expr can only be applied to the top-level document",
    ),
    (
        "$elemMatch",
        {"a": {"$elemMatch": {"$or": [{"$expr": True}]}}},
        2,
        "$expr can only be applied to the top-level document",
    ),
    (
        "$elemMatch",
        {"a": {"$elemMatch": {"b": 1, "$where": "1"}}},
        2,
        "$where can only be applied to the top-level document",
    ),
    (
        "$elemMatch",
        {"a": {"$elemMatch": {"b": 1, "$text": {"$search": "x"}}}},
        2,
        "$text can only be applied to the top-level document",
    ),
    ("$elemMatch", {"a": {"$elemMatch": {"$gt": 1, "b": 1}}}, 2, "unknown operator: b"),
    ("$all", {"a": {"$all": 1}}, 2, "$all needs an array"),
    ("$all", {"a": {"$all": {"x": 1}}}, 2, "$all needs an array"),
    ("$all", {"a": {"$all": [{"$gt": 1}]}}, 2, "no $ expressions in $all"),
    ("$all", {"a": {"$all": [1, {"$elemMatch": {}}]}}, 2, "no $ expressions in $all"),
    (
        "$all",
        {"a": {"$all": [{"$elemMatch": {}}, 1]}},
        2,
        "$all/$elemMatch has to be consistent",
    ),
    (
        "$all",
        {"a": {"$all": [{"$elemMatch": {}}, {"x": 1}]}},
        2,
        "$all/$elemMatch has to be consistent",
    ),
    (
        "$bitsAllSet",
        {"a": {"$bitsAllSet": "x"}},
        2,
        'a takes an Array, a number, or a BinData but received: $bitsAllSet: "x"',
    ),
    (
        "$bitsAllSet",
        {"a": {"$bitsAllSet": True}},
        2,
        "a takes an Array, a number, or a BinData but received: $bitsAllSet: true",
    ),
    (
        "$bitsAllSet",
        {"a": {"$bitsAllSet": -1}},
        9,
        "Expected a non-negative number in: $bitsAllSet: -1",
    ),
    ("$bitsAnySet", {"a": {"$bitsAnySet": 1.2}}, 9, "Expected an integer: $bitsAnySet: 1.2"),
    (
        "$bitsAllClear",
        {"a": {"$bitsAllClear": ["x"]}},
        2,
        'Failed to parse bit position. Expected a number in: 0: "x"',
    ),
    (
        "$bitsAnyClear",
        {"a": {"$bitsAnyClear": [1, -1]}},
        2,
        "Failed to parse bit position. Expected a non-negative number in: 1: -1",
    ),
    (
        "$bitsAnyClear",
        {"a": {"$bitsAnyClear": [1.5]}},
        2,
        "Failed to parse bit position. Expected an integer: 0: 1.5",
    ),
    ("$expr", {"$expr": {"$foo": 1}}, 168, "Unrecognized expression '$foo'"),
    ("$expr", {"$expr": "$$x"}, 17276, "Use of undefined variable: x"),
    ("$alwaysTrue", {"$alwaysTrue": 0}, 9, "$alwaysTrue must be an integer value of 1"),
    ("$alwaysFalse", {"$alwaysFalse": 2}, 9, "$alwaysFalse must be an integer value of 1"),
    ("$alwaysTrue", {"$alwaysTrue": "1"}, 9, None),
    (
        "$sampleRate",
        {"$sampleRate": "x"},
        2,
        "argument to $sampleRate must be a numeric type",
    ),
    ("$sampleRate", {"$sampleRate": 1.1}, 2, "numeric argument to $sampleRate must be in [0, 1]"),
    ("$sampleRate", {"$sampleRate": NAN}, 2, "numeric argument to $sampleRate must be in [0, 1]"),
    ("$where", {"$where": 1}, 2, "$where got bad type"),
    ("$where", {"$where": "true"}, 2, "no globalScriptEngine in $where parsing"),
    ("$where", {"$where": Code("true")}, 2, None),
    ("$text", {"$text": 1}, 14, "$text expects an object"),
    ("$text", {"$text": {"$search": 1}}, 14, None),
    ("$text", {"$text": {"$search": "x", "$language": 1}}, 14, None),
    ("$text", {"$text": {}}, 4, 'Missing expected field "$search"'),
    ("$text", {"$text": {"$search": "x", "y": 1}}, 2, "extra fields in $text"),
    ("$text", {"$text": {"$search": "x"}}, 27, "text index required for $text query"),
    ("$near", {"a": {"$gt": 1, "$near": [0, 0]}}, 2, None),
    (
        "$near",
        {"$or": [{"a": {"$near": [0, 0]}}]},
        2,
        "$geoNear, $near, and $nearSphere are not allowed in this context",
    ),
    ("$near", {"a": {"$near": [0, 0]}, "b": {"$near": [0, 0]}}, 2, "Too many geoNear expressions"),
    ("internal", {"$_internalSchemaCond": []}, 238, None),
]


@table(ERRORS)
def test_refused(case: tuple[str, dict[str, Any], int, str | None]) -> None:
    page, spec, code, message = case
    agrees(page, find([{"a": 1}], spec), Err(code, message))


def test_nesting_is_limited() -> None:
    spec: dict[str, Any] = {"a": 1}
    for _ in range(99):
        spec = {"$nor": [spec]}
    compile_filter(spec, CTX)
    with pytest.raises(MongoError, match="exceeded maximum query tree depth: 100"):
        compile_filter({"$nor": [{"$nor": [spec]}]}, CTX)
    deep: dict[str, Any] = {"$gt": 1}
    for _ in range(150):
        deep = {"$not": deep}
    with pytest.raises(MongoError, match="exceeded maximum query tree depth"):
        compile_filter({"a": deep}, CTX)


def test_where_goes_through_the_script_engine() -> None:
    class Engine:
        def compile_where(self, code: str, scope: dict[str, Any] | None) -> Any:
            assert (code, scope) == ("this.a > 1", {"x": 1})
            return lambda document, _env: document["a"] > 1

    ctx = CompileContext(javascript=Engine())
    spec = {"$where": Code("this.a > 1", {"x": 1})}
    assert find([0, 1, 2, 3], spec, ctx) == [2, 3]


def test_sample_rate_without_randomness_is_refused() -> None:
    with pytest.raises(MongoError, match=r"\$sampleRate"):
        compile_filter({"$sampleRate": 0.5}, CompileContext())
