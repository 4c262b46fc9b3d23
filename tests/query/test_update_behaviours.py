"""Documented behaviours of updates, operator by operator: results, no-ops, conflicts, upserts."""

from __future__ import annotations

from typing import Any

import pytest
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp
from update_kit import SAME, Case, Fails, case, check

CASES: list[Case] = [
    case(
        "update/a",
        {"_id": 1, "a": 1},
        {"$a": 1},
        Fails(9, "Unknown modifier: $a. Expected a valid update modifier or pipeline-style update"),
    ),
    case("update/addToSet", {"_id": 1}, {"$addToSet": {"a": 1}}, {"_id": 1, "a": [1]}),
    case(
        "update/addToSet",
        {"_id": 1, "a": 5},
        {"$addToSet": {"a": 1}},
        Fails(
            2, "Cannot apply $addToSet to a non-array field. Field named 'a' has a non-array typ"
        ),
    ),
    case("update/addToSet", {"_id": 1, "a": [1]}, {"$addToSet": {"a": 1.0}}, SAME),
    case(
        "update/addToSet",
        {"_id": 1, "a": [{"x": 1, "y": 2}]},
        {"$addToSet": {"a": {"y": 2, "x": 1}}},
        {"_id": 1, "a": [{"x": 1, "y": 2}, {"y": 2, "x": 1}]},
    ),
    case(
        "update/addToSet",
        {"_id": 1, "a": [1, 1]},
        {"$addToSet": {"a": {"$each": [2, 2, 1]}}},
        {"_id": 1, "a": [1, 1, 2]},
    ),
    case(
        "update/addToSet",
        {"_id": 1, "a": [1]},
        {"$addToSet": {"a": {"$each": 5}}},
        Fails(14, "The argument to $each in $addToSet must be an array but it was of type int"),
    ),
    case(
        "update/addToSet",
        {"_id": 1, "a": [1]},
        {"$addToSet": {"a": {"$each": [], "x": 1}}},
        Fails(2, "Found unexpected fields after $each in $addToSet: { $each: [], x: 1 }"),
    ),
    case(
        "update/addToSet",
        {"_id": 1, "a": [1]},
        {"$addToSet": {"a": {"x": 1, "$each": []}}},
        {"_id": 1, "a": [1, {"x": 1, "$each": []}]},
    ),
    case("update/addToSet", {"_id": 1}, {"$addToSet": {"a": {"$each": []}}}, {"_id": 1, "a": []}),
    case(
        "update/addToSet",
        {"_id": 1, "a": None},
        {"$addToSet": {"a": 1}},
        Fails(
            2, "Cannot apply $addToSet to a non-array field. Field named 'a' has a non-array typ"
        ),
    ),
    case(
        "update/aggregation-pipeline",
        {"_id": 1, "a": [1, 2]},
        [{"$set": {"a": 1}}],
        Fails(9, "arrayFilters may not be specified for pipeline-syle updates"),
        array_filters=[{"e": 1}],
    ),
    case(
        "update/aggregation-pipeline",
        {"_id": 1, "a": 1},
        [{"$set": {"b": "$a"}}, {"$unset": "a"}],
        {"_id": 1, "b": 1},
    ),
    case("update/aggregation-pipeline", {"_id": 1, "a": 1}, [], SAME),
    case(
        "update/aggregation-pipeline",
        {"_id": 1, "a": 1},
        [{"$match": {}}],
        Fails(72, "$match is not allowed to be used within an update"),
    ),
    case(
        "update/aggregation-pipeline",
        {"_id": 1, "a": 1},
        [{"$group": {"_id": 1}}],
        Fails(72, "$group is not allowed to be used within an update"),
    ),
    case(
        "update/aggregation-pipeline",
        {"_id": 1, "a": 1},
        [{"$foo": {}}],
        Fails(40324, "Unrecognized pipeline stage name: '$foo'"),
    ),
    case(
        "update/aggregation-pipeline",
        {"_id": 1, "a": 1},
        [{"$set": {"_id": 2}}],
        Fails(
            66, "After applying the update, the (immutable) field '_id' was found to have been al"
        ),
    ),
    case("update/aggregation-pipeline", {"_id": 1, "a": 1}, [{"$project": {"a": 0}}], {"_id": 1}),
    case("update/aggregation-pipeline", {"_id": 1, "a": 1}, [{"$project": {"_id": 0}}],
         {"_id": 1, "a": 1}),
    case(
        "update/aggregation-pipeline",
        {"_id": 1, "a": 1},
        [{"$replaceWith": "$a"}],
        Fails(
            40228,
            "'replacement document' must evaluate to an object, but resulting value was: 1. T",
        ),
    ),
    case(
        "update/aggregation-pipeline",
        {"_id": 1, "a": 1},
        [{"$replaceRoot": {"newRoot": {"x": 1}}}],
        {"_id": 1, "x": 1},
    ),
    case(
        "update/aggregation-pipeline",
        {"_id": 1, "a": 1},
        [{"$addFields": {"x": "$$NOW"}}],
        {"_id": 1, "a": 1, "x": DatetimeMS(1700000000123)},
    ),
    case(
        "update/aggregation-pipeline",
        {"_id": 1, "a": 1},
        [5],
        Fails(14, "Each element of the 'pipeline' array must be an object"),
    ),
    case(
        "update/aggregation-pipeline",
        {"_id": 1, "a": 1},
        [{"$set": {"x": 1}, "$unset": "b"}],
        Fails(40323, "A pipeline stage specification object must contain exactly one field."),
    ),
    case(
        "update/aggregation-pipeline", {"_id": 1, "a": 1}, [{"$set": {"a": "$$REMOVE"}}], {"_id": 1}
    ),
    case("update/aggregation-pipeline", {"_id": 1, "a": 1}, [{"$set": {"a": 1}}], SAME),
    case(
        "update/aggregation-pipeline",
        {"_id": 1, "a": {"b": 1, "c": 2}},
        [{"$set": {"a": {"b": 5}}}],
        {"_id": 1, "a": {"b": 5, "c": 2}},
    ),
    case(
        "update/aggregation-pipeline",
        {"_id": 1, "a": {"b": 1, "c": 2}},
        [{"$replaceWith": {"_id": 1, "$x": 1}}],
        Fails(
            16410,
            "FieldPath field names may not start with '$'. Consider using $getField or $setFi",
        ),
    ),
    case(
        "update/aggregation-pipeline",
        {"_id": 1, "a": 1},
        [{"$set": {"b.c": 1, "b.d": 2}}],
        {"_id": 1, "a": 1, "b": {"c": 1, "d": 2}},
    ),
    case(
        "update/aggregation-pipeline",
        {"_id": 1, "a": [{"x": 1}, {"x": 2}]},
        [{"$set": {"a.x": 9}}],
        {"_id": 1, "a": [{"x": 9}, {"x": 9}]},
    ),
    case("update/bit", {"_id": 1, "a": 13}, {"$bit": {"a": {"and": 10}}}, {"_id": 1, "a": 8}),
    case(
        "update/bit",
        {"_id": 1, "a": 13},
        {"$bit": {"a": {"and": Int64(10)}}},
        {"_id": 1, "a": Int64(8)},
    ),
    case("update/bit", {"_id": 1}, {"$bit": {"a": {"or": 10}}}, {"_id": 1, "a": 10}),
    case(
        "update/bit",
        {"_id": 1, "a": 1.5},
        {"$bit": {"a": {"or": 10}}},
        Fails(
            2, "Cannot apply $bit to a value of non-integral type.{_id: 1} has the field a of no"
        ),
    ),
    case(
        "update/bit",
        {"_id": 1, "a": 1},
        {"$bit": {"a": {"or": 1.5}}},
        Fails(
            2, "The $bit modifier field must be an Integer(32/64 bit); a 'double' is not support"
        ),
    ),
    case(
        "update/bit",
        {"_id": 1, "a": 1},
        {"$bit": {"a": {}}},
        Fails(
            2, "You must pass in at least one bitwise operation. The format is: {$bit: {field: {"
        ),
    ),
    case(
        "update/bit",
        {"_id": 1, "a": 1},
        {"$bit": {"a": {"nor": 1}}},
        Fails(
            2, "The $bit modifier only supports 'and', 'or', and 'xor', not 'nor' which is an un"
        ),
    ),
    case(
        "update/bit",
        {"_id": 1, "a": 1},
        {"$bit": {"a": 5}},
        Fails(
            2, "The $bit modifier is not compatible with a int. You must pass in an embedded doc"
        ),
    ),
    case(
        "update/bit", {"_id": 1, "a": 1}, {"$bit": {"a": {"and": 1, "or": 4}}}, {"_id": 1, "a": 5}
    ),
    case("update/bit", {"_id": 1}, {"$bit": {"a": {"and": 1}}}, {"_id": 1, "a": 0}),
    case(
        "update/currentDate",
        {"_id": 1},
        {"$currentDate": {"a": True}},
        {"_id": 1, "a": DatetimeMS(1700000000123)},
    ),
    case(
        "update/currentDate",
        {"_id": 1},
        {"$currentDate": {"a": False}},
        {"_id": 1, "a": DatetimeMS(1700000000123)},
    ),
    case(
        "update/currentDate",
        {"_id": 1},
        {"$currentDate": {"a": {"$type": "timestamp"}}},
        {"_id": 1, "a": Timestamp(1700000000, 7)},
    ),
    case(
        "update/currentDate",
        {"_id": 1},
        {"$currentDate": {"a": {"$type": "x"}}},
        Fails(
            2, "The '$type' string field is required to be 'date' or 'timestamp': {$currentDate:"
        ),
    ),
    case(
        "update/currentDate",
        {"_id": 1},
        {"$currentDate": {"a": {"$typ": "x"}}},
        Fails(2, "Unrecognized $currentDate option: $typ"),
    ),
    case(
        "update/currentDate",
        {"_id": 1},
        {"$currentDate": {"a": 5}},
        Fails(
            2, "int is not valid type for $currentDate. Please use a boolean ('true') or a $type"
        ),
    ),
    case(
        "update/currentDate",
        {"_id": 1},
        {"$currentDate": {"a": {"$type": "date", "b": 1}}},
        {"_id": 1, "a": DatetimeMS(1700000000123)},
    ),
    case(
        "update/currentDate",
        {"_id": 1},
        {"$currentDate": {"a": {}}},
        Fails(
            2, "The '$type' string field is required to be 'date' or 'timestamp': {$currentDate:"
        ),
    ),
    case(
        "update/foo",
        {"_id": 1},
        {"$foo": {"a": 1}},
        Fails(
            9, "Unknown modifier: $foo. Expected a valid update modifier or pipeline-style updat"
        ),
    ),
    case(
        "update/inc",
        {"_id": 1},
        {"$inc": {"_id": 1}},
        Fails(66, "Performing an update on the path '_id' would modify the immutable field '_id'"),
    ),
    case("update/inc", {"_id": 1}, {"$inc": {"_id": 0}}, SAME),
    case(
        "update/inc",
        {"_id": 1, "a": "x"},
        {"$inc": {"a": 1}},
        Fails(
            14, "Cannot apply $inc to a value of non-numeric type. {_id: 1} has the field 'a' of"
        ),
    ),
    case(
        "update/inc",
        {"_id": 1, "a": None},
        {"$inc": {"a": 1}},
        Fails(
            14, "Cannot apply $inc to a value of non-numeric type. {_id: 1} has the field 'a' of"
        ),
    ),
    case(
        "update/inc",
        {"_id": 1, "a": 2147483647},
        {"$inc": {"a": 1}},
        {"_id": 1, "a": Int64(2147483648)},
    ),
    case(
        "update/inc",
        {"_id": 1, "a": Int64(9223372036854775807)},
        {"$inc": {"a": 1}},
        Fails(
            2, "Failed to apply $inc operations to current value ((NumberLong)922337203685477580"
        ),
    ),
    case(
        "update/inc",
        {"_id": 1, "a": 1},
        {"$inc": {"a": "s"}},
        Fails(14, 'Cannot increment with non-numeric argument: {a: "s"}'),
    ),
    case(
        "update/inc",
        {"_id": 1, "a": 1},
        {"$inc": {"a": None}},
        Fails(14, "Cannot increment with non-numeric argument: {a: null}"),
    ),
    case("update/inc", {"_id": 1, "a": 1}, {"$inc": {}}, SAME),
    case(
        "update/inc",
        {"_id": 1, "a": 1},
        {"$inc": 5},
        Fails(
            9, "Modifiers operate on fields but we found type int instead. For example: {$mod: {"
        ),
    ),
    case("update/inc", {"_id": 1, "a": 1}, {"$inc": {"a": 0}}, SAME),
    case("update/inc", {"_id": 1, "a": 1}, {"$inc": {"a": 0.0}}, {"_id": 1, "a": 1.0}),
    case("update/inc", {"_id": 1, "a": 1}, {"$inc": {"a": Int64(0)}}, {"_id": 1, "a": Int64(1)}),
    case(
        "update/inc",
        {"_id": 1, "a": Decimal128("1.1")},
        {"$inc": {"a": 0.1}},
        {"_id": 1, "a": Decimal128("1.200000000000000")},
    ),
    case(
        "update/inc",
        {"_id": 1, "a": 0.1},
        {"$inc": {"a": Decimal128("1.1")}},
        {"_id": 1, "a": Decimal128("1.200000000000000")},
    ),
    case(
        "update/inc",
        {"_id": 1, "a": [[1, 2], [3]]},
        {"$inc": {"a.$[].$[e]": 10}},
        {"_id": 1, "a": [[1, 12], [13]]},
        array_filters=[{"e": {"$gte": 2}}],
    ),
    case("update/max", {"_id": 1, "a": 5}, {"$max": {"a": "x"}}, {"_id": 1, "a": "x"}),
    case("update/max", {"_id": 1, "a": 5}, {"$max": {"a": 5.0}}, SAME),
    case("update/max", {"_id": 1, "a": None}, {"$max": {"a": 5}}, {"_id": 1, "a": 5}),
    case("update/min", {"_id": 1}, {"$min": {"a": 5}}, {"_id": 1, "a": 5}),
    case("update/min", {"_id": 1, "a": None}, {"$min": {"a": 5}}, SAME),
    case("update/mul", {"_id": 1}, {"$mul": {"a": Int64(5)}}, {"_id": 1, "a": Int64(0)}),
    case("update/mul", {"_id": 1}, {"$mul": {"a": 5.5}}, {"_id": 1, "a": 0.0}),
    case(
        "update/mul",
        {"_id": 1},
        {"$mul": {"a": Decimal128("5.5")}},
        {"_id": 1, "a": Decimal128("0.0")},
    ),
    case(
        "update/mul",
        {"_id": 1, "a": "x"},
        {"$mul": {"a": 5}},
        Fails(
            14, "Cannot apply $mul to a value of non-numeric type. {_id: 1} has the field 'a' of"
        ),
    ),
    case(
        "update/mul",
        {"_id": 1, "a": 1073741824},
        {"$mul": {"a": 4}},
        {"_id": 1, "a": Int64(4294967296)},
    ),
    case(
        "update/mul",
        {"_id": 1, "a": Int64(4611686018427387904)},
        {"$mul": {"a": 4}},
        Fails(
            2, "Failed to apply $mul operations to current value ((NumberLong)461168601842738790"
        ),
    ),
    case(
        "update/mul",
        {"_id": 1, "a": 1},
        {"$mul": {"a": "x"}},
        Fails(14, 'Cannot multiply with non-numeric argument: {a: "x"}'),
    ),
    case("update/pop", {"_id": 1, "a": [1, 2]}, {"$pop": {"a": 1}}, {"_id": 1, "a": [1]}),
    case(
        "update/pop",
        {"_id": 1, "a": [1, 2]},
        {"$pop": {"a": 2}},
        Fails(9, "$pop expects 1 or -1, found: 2"),
    ),
    case("update/pop", {"_id": 1, "a": [1, 2]}, {"$pop": {"a": -1.0}}, {"_id": 1, "a": [2]}),
    case(
        "update/pop",
        {"_id": 1, "a": [1, 2]},
        {"$pop": {"a": "x"}},
        Fails(9, 'Expected a number in: a: "x"'),
    ),
    case("update/pop", {"_id": 1, "a": []}, {"$pop": {"a": 1}}, SAME),
    case(
        "update/pop",
        {"_id": 1, "a": 1},
        {"$pop": {"a": 1}},
        Fails(14, "Path 'a' contains an element of non-array type 'int'"),
    ),
    case("update/pop", {"_id": 1}, {"$pop": {"a": 1}}, SAME),
    case("update/pop", {"_id": 1}, {"$pop": {"a": 1.5}}, Fails(9, "Expected an integer: a: 1.5")),
    case(
        "update/pop",
        {"_id": 1, "a": {"b": 1}},
        {"$pop": {"a.b.c": 1}},
        Fails(28, "Cannot use the part (c) of (a.b.c) to traverse the element ({b: 1})"),
    ),
    case("update/pop", {"_id": 1, "a": [[1, 2]]}, {"$pop": {"a.0": 1}}, {"_id": 1, "a": [[1]]}),
    case(
        "update/pull",
        {"_id": 1, "a": [1, 2, 3]},
        {"$pull": {"a": {"$gte": 2}}},
        {"_id": 1, "a": [1]},
    ),
    case(
        "update/pull",
        {"_id": 1, "a": 1},
        {"$pull": {"a": 1}},
        Fails(2, "Cannot apply $pull to a non-array value"),
    ),
    case("update/pull", {"_id": 1}, {"$pull": {"a": 1}}, SAME),
    case(
        "update/pull",
        {"_id": 1, "a": [{"b": 1, "c": 2}, {"b": 2}]},
        {"$pull": {"a": {"b": 1}}},
        {"_id": 1, "a": [{"b": 2}]},
    ),
    case("update/pull", {"_id": 1, "a": [[1], [2]]}, {"$pull": {"a": [1]}}, {"_id": 1, "a": [[2]]}),
    case(
        "update/pull",
        {"_id": 1, "a": ["ab", "b"]},
        {"$pull": {"a": Regex("^a")}},
        {"_id": 1, "a": ["b"]},
    ),
    case(
        "update/pull", {"_id": 1, "a": [1, 2]}, {"$pull": {"a": {"$in": [1]}}}, {"_id": 1, "a": [2]}
    ),
    case(
        "update/pull",
        {"_id": 1, "a": [{"b": [1, 2]}]},
        {"$pull": {"a": {"b": {"$elemMatch": {"$gt": 1}}}}},
        {"_id": 1, "a": []},
    ),
    case(
        "update/pull",
        {"_id": 1, "a": [1, 2]},
        {"$pull": {"a": {"$foo": [1]}}},
        Fails(2, "unknown operator: $foo"),
    ),
    case(
        "update/pull",
        {"_id": 1, "a": [1, 2, [1, 5]]},
        {"$pull": {"a": {"$eq": 1}}},
        {"_id": 1, "a": [2]},
    ),
    case(
        "update/pull",
        {"_id": 1, "a": [{"b": 1}]},
        {"$pull": {"a": {"$or": [{"b": 1}]}}},
        {"_id": 1, "a": []},
    ),
    case(
        "update/pull",
        {"_id": 1, "a": [1, {"b": 3}]},
        {"$pull": {"a": {"$or": [{"b": 3}]}}},
        {"_id": 1, "a": [1]},
    ),
    case(
        "update/pull",
        {"_id": 1, "a": [1, 2]},
        {"$pull": {"a": {"$not": {"$gt": 1}}}},
        {"_id": 1, "a": [2]},
    ),
    case("update/pull", {"_id": 1, "a": [1]}, {"$pull": {"a": None}}, SAME),
    case(
        "update/pull",
        {"_id": 1, "a": [{"a": 1}]},
        {"$pull": {"a": {"$where": "true"}}},
        Fails(2, "no globalScriptEngine in $where parsing"),
    ),
    case(
        "update/pull",
        {"_id": 1, "a": [{"a": 1}]},
        {"$pull": {"a": {"$expr": True}}},
        {"_id": 1, "a": []},
    ),
    case("update/pull", {"_id": 1, "a": [{}]}, {"$pull": {"a": {}}}, {"_id": 1, "a": []}),
    case("update/pull", {"_id": 1, "a": [{"x": 1}, 3]}, {"$pull": {"a": {}}}, {"_id": 1, "a": [3]}),
    case(
        "update/pull",
        {"_id": 1, "a": [{"b": [1]}]},
        {"$pull": {"a.$[].b": 1}},
        {"_id": 1, "a": [{"b": []}]},
    ),
    case(
        "update/pullAll", {"_id": 1, "a": [1, 2, 1]}, {"$pullAll": {"a": [1]}}, {"_id": 1, "a": [2]}
    ),
    case(
        "update/pullAll",
        {"_id": 1, "a": [1, 2, 1]},
        {"$pullAll": {"a": 1}},
        Fails(2, "$pullAll requires an array argument but was given a int"),
    ),
    case(
        "update/pullAll",
        {"_id": 1, "a": 1},
        {"$pullAll": {"a": [1]}},
        Fails(2, "Cannot apply $pull to a non-array value"),
    ),
    case(
        "update/pullAll",
        {"_id": 1, "a": [{"x": 1, "y": 1}]},
        {"$pullAll": {"a": [{"y": 1, "x": 1}]}},
        SAME,
    ),
    case("update/pullAll", {"_id": 1}, {"$pullAll": {"a": [1]}}, SAME),
    case("update/push", {"_id": 1}, {"$push": {"a": 1}}, {"_id": 1, "a": [1]}),
    case(
        "update/push",
        {"_id": 1, "a": 5},
        {"$push": {"a": 1}},
        Fails(2, "The field 'a' must be an array but is of type int in document {_id: 1}"),
    ),
    case(
        "update/push",
        {"_id": 1, "a": [1]},
        {"$push": {"a": {"$each": [2, 3]}}},
        {"_id": 1, "a": [1, 2, 3]},
    ),
    case(
        "update/push",
        {"_id": 1, "a": [1]},
        {"$push": {"a": {"$each": 5}}},
        Fails(2, "The argument to $each in $push must be an array but it was of type: int"),
    ),
    case(
        "update/push",
        {"_id": 1, "a": [1]},
        {"$push": {"a": {"$slice": 5}}},
        {"_id": 1, "a": [1, {"$slice": 5}]},
    ),
    case(
        "update/push",
        {"_id": 1, "a": [1]},
        {"$push": {"a": {"$each": [], "$foo": 1}}},
        Fails(2, "Unrecognized clause in $push: $foo"),
    ),
    case(
        "update/push",
        {"_id": 1, "a": [1]},
        {"$push": {"a": {"$each": [], "foo": 1}}},
        Fails(2, "Unrecognized clause in $push: foo"),
    ),
    case(
        "update/push",
        {"_id": 1, "a": [1]},
        {"$push": {"a": {"x": 1, "$each": []}}},
        Fails(2, "Unrecognized clause in $push: x"),
    ),
    case(
        "update/push",
        {"_id": 1, "a": [1]},
        {"$push": {"a": {"$each": [5, 6], "$slice": 1.5}}},
        Fails(2, "The value for $slice must be an integer value but was given type: double"),
    ),
    case(
        "update/push",
        {"_id": 1, "a": [1]},
        {"$push": {"a": {"$each": [5, 6], "$slice": "x"}}},
        Fails(2, "The value for $slice must be an integer value but was given type: string"),
    ),
    case(
        "update/push",
        {"_id": 1, "a": [1]},
        {"$push": {"a": {"$each": [5, 6], "$slice": None}}},
        Fails(2, "The value for $slice must be an integer value but was given type: null"),
    ),
    case(
        "update/push",
        {"_id": 1, "a": [1]},
        {"$push": {"a": {"$each": [5, 6], "$slice": Int64(2)}}},
        {"_id": 1, "a": [1, 5]},
    ),
    case(
        "update/push",
        {"_id": 1, "a": [1]},
        {"$push": {"a": {"$each": [5, 6], "$slice": 2.0}}},
        {"_id": 1, "a": [1, 5]},
    ),
    case(
        "update/push",
        {"_id": 1, "a": [1]},
        {"$push": {"a": {"$each": [5, 6], "$slice": Decimal128("2")}}},
        {"_id": 1, "a": [1, 5]},
    ),
    case(
        "update/push",
        {"_id": 1, "a": [1]},
        {"$push": {"a": {"$each": [5, 6], "$slice": -2}}},
        {"_id": 1, "a": [5, 6]},
    ),
    case(
        "update/push",
        {"_id": 1, "a": [1]},
        {"$push": {"a": {"$each": [5, 6], "$slice": 0}}},
        {"_id": 1, "a": []},
    ),
    case(
        "update/push",
        {"_id": 1, "a": [1, 2]},
        {"$push": {"a": {"$each": [5, 6], "$position": 1.5}}},
        Fails(2, "The value for $position must be an integer value, not of type: double"),
    ),
    case(
        "update/push",
        {"_id": 1, "a": [1, 2]},
        {"$push": {"a": {"$each": [5, 6], "$position": "x"}}},
        Fails(2, "The value for $position must be an integer value, not of type: string"),
    ),
    case(
        "update/push",
        {"_id": 1, "a": [1, 2]},
        {"$push": {"a": {"$each": [5, 6], "$position": None}}},
        Fails(2, "The value for $position must be an integer value, not of type: null"),
    ),
    case(
        "update/push",
        {"_id": 1, "a": [1, 2]},
        {"$push": {"a": {"$each": [5, 6], "$position": Int64(0)}}},
        {"_id": 1, "a": [5, 6, 1, 2]},
    ),
    case(
        "update/push",
        {"_id": 1, "a": [1, 2]},
        {"$push": {"a": {"$each": [5, 6], "$position": 0.0}}},
        {"_id": 1, "a": [5, 6, 1, 2]},
    ),
    case(
        "update/push",
        {"_id": 1, "a": [1, 2]},
        {"$push": {"a": {"$each": [5, 6], "$position": Decimal128("0")}}},
        {"_id": 1, "a": [5, 6, 1, 2]},
    ),
    case(
        "update/push",
        {"_id": 1, "a": [1, 2]},
        {"$push": {"a": {"$each": [5, 6], "$position": -1}}},
        {"_id": 1, "a": [1, 5, 6, 2]},
    ),
    case(
        "update/push",
        {"_id": 1, "a": [1, 2]},
        {"$push": {"a": {"$each": [5, 6], "$position": -9}}},
        {"_id": 1, "a": [5, 6, 1, 2]},
    ),
    case(
        "update/push",
        {"_id": 1, "a": [1, 2]},
        {"$push": {"a": {"$each": [5, 6], "$position": 99}}},
        {"_id": 1, "a": [1, 2, 5, 6]},
    ),
    case(
        "update/push",
        {"_id": 1, "a": [{"a": 2}, {"a": 1}, 3]},
        {"$push": {"a": {"$each": [], "$sort": 1.5}}},
        Fails(2, "The $sort element value must be either 1 or -1"),
    ),
    case(
        "update/push",
        {"_id": 1, "a": [{"a": 2}, {"a": 1}, 3]},
        {"$push": {"a": {"$each": [], "$sort": "x"}}},
        Fails(
            2, "The $sort is invalid: use 1/-1 to sort the whole element, or {field:1/-1} to sor"
        ),
    ),
    case(
        "update/push",
        {"_id": 1, "a": [{"a": 2}, {"a": 1}, 3]},
        {"$push": {"a": {"$each": [], "$sort": None}}},
        Fails(
            2, "The $sort is invalid: use 1/-1 to sort the whole element, or {field:1/-1} to sor"
        ),
    ),
    case(
        "update/push",
        {"_id": 1, "a": [{"a": 2}, {"a": 1}, 3]},
        {"$push": {"a": {"$each": [], "$sort": 0}}},
        Fails(2, "The $sort element value must be either 1 or -1"),
    ),
    case(
        "update/push",
        {"_id": 1, "a": [{"a": 2}, {"a": 1}, 3]},
        {"$push": {"a": {"$each": [], "$sort": 2}}},
        Fails(2, "The $sort element value must be either 1 or -1"),
    ),
    case(
        "update/push",
        {"_id": 1, "a": [{"a": 2}, {"a": 1}, 3]},
        {"$push": {"a": {"$each": [], "$sort": 1.0}}},
        {"_id": 1, "a": [3, {"a": 1}, {"a": 2}]},
    ),
    case(
        "update/push",
        {"_id": 1, "a": [{"a": 2}, {"a": 1}, 3]},
        {"$push": {"a": {"$each": [], "$sort": Int64(-1)}}},
        SAME,
    ),
    case(
        "update/push",
        {"_id": 1, "a": [{"a": 2}, {"a": 1}, 3]},
        {"$push": {"a": {"$each": [], "$sort": {"a": 1.0}}}},
        {"_id": 1, "a": [3, {"a": 1}, {"a": 2}]},
    ),
    case(
        "update/push",
        {"_id": 1, "a": [{"a": 2}, {"a": 1}, 3]},
        {"$push": {"a": {"$each": [], "$sort": {"a": 2}}}},
        Fails(2, "The $sort element value must be either 1 or -1"),
    ),
    case(
        "update/push",
        {"_id": 1, "a": [{"a": 2}, {"a": 1}, 3]},
        {"$push": {"a": {"$each": [], "$sort": {}}}},
        Fails(2, "The $sort pattern is empty when it should be a set of fields."),
    ),
    case(
        "update/push",
        {"_id": 1, "a": [{"a": 2}, {"a": 1}, 3]},
        {"$push": {"a": {"$each": [], "$sort": {"a": 1, "b.c": -1}}}},
        {"_id": 1, "a": [3, {"a": 1}, {"a": 2}]},
    ),
    case(
        "update/push",
        {"_id": 1, "a": [{"a": 2}, {"a": 1}, 3]},
        {"$push": {"a": {"$each": [], "$sort": {"": 1}}}},
        Fails(2, "The $sort field cannot be empty"),
    ),
    case(
        "update/push",
        {"_id": 1, "a": [{"a": 2}, {"a": 1}, 3]},
        {"$push": {"a": {"$each": [], "$sort": {"a..b": 1}}}},
        Fails(2, "The $sort field is a dotted field but has an empty part: a..b"),
    ),
    case(
        "update/push",
        {"_id": 1, "a": [{"a": 2}, {"a": 1}, 3]},
        {"$push": {"a": {"$each": [], "$sort": {".a": 1}}}},
        Fails(2, "The $sort field is a dotted field but has an empty part: .a"),
    ),
    case(
        "update/push",
        {"_id": 1, "a": [{"a": 2}, {"a": 1}, 3]},
        {"$push": {"a": {"$each": [], "$sort": {"a": True}}}},
        Fails(2, "The $sort element value must be either 1 or -1"),
    ),
    case(
        "update/push",
        {"_id": 1, "a": [{"a": 2}, {"a": 1}, 3]},
        {"$push": {"a": {"$each": [], "$sort": {"$a": 1}}}},
        SAME,
    ),
    case(
        "update/push",
        {"_id": 1, "a": [{"a": 2}, {"a": 1}, 3]},
        {"$push": {"a": {"$each": [], "$sort": [1]}}},
        Fails(
            2, "The $sort is invalid: use 1/-1 to sort the whole element, or {field:1/-1} to sor"
        ),
    ),
    case(
        "update/push",
        {"_id": 1, "a": [3, 1]},
        {"$push": {"a": {"$each": [2], "$sort": -1, "$slice": 2, "$position": 0}}},
        {"_id": 1, "a": [3, 2]},
    ),
    case("update/push", {"_id": 1}, {"$push": {"a": {"$each": []}}}, {"_id": 1, "a": []}),
    case("update/push", {"_id": 1}, {"$push": {"a.b": {"$each": []}}}, {"_id": 1, "a": {"b": []}}),
    case(
        "update/push",
        {"_id": 1, "a": [1, 2, 3]},
        {"$push": {"a": {"$each": [], "$slice": 0}}},
        {"_id": 1, "a": []},
    ),
    case(
        "update/push",
        {"_id": 1, "a": [1, 2, 3]},
        {"$push": {"a": {"$each": [], "$slice": 5}}},
        SAME,
    ),
    case("update/push", {"_id": 1, "a": [1]}, {"$push": {"a": {"$slice": 1, "$each": [2]}}}, SAME),
    case(
        "update/push", {"_id": 1, "a": [1]}, {"$push": {"a": [2, 3]}}, {"_id": 1, "a": [1, [2, 3]]}
    ),
    case(
        "update/push",
        {"_id": 1, "a": [1]},
        {"$push": {"a.0": 2}},
        Fails(2, "The field 'a.0' must be an array but is of type int in document {_id: 1}"),
    ),
    case(
        "update/push",
        {"_id": 1, "a": [[1, 2]]},
        {"$push": {"a.$[]": 9}},
        {"_id": 1, "a": [[1, 2, 9]]},
    ),
    case(
        "update/pushAll",
        {"_id": 1, "a": [1]},
        {"$pushAll": {"a": [2, 3]}},
        Fails(
            9, "Unknown modifier: $pushAll. Expected a valid update modifier or pipeline-style u"
        ),
    ),
    case(
        "update/rename",
        {"_id": 1},
        {"$rename": {"_id": "b"}},
        Fails(66, "Performing an update on the path '_id' would modify the immutable field '_id'"),
    ),
    case(
        "update/rename",
        {"_id": 1, "a": 2},
        {"$rename": {"a": "_id"}},
        Fails(66, "Performing an update on the path '_id' would modify the immutable field '_id'"),
    ),
    case(
        "update/rename",
        {"_id": 1},
        {"$rename": {"a": "a"}},
        Fails(2, 'The source and target field for $rename must differ: a: "a"'),
    ),
    case(
        "update/rename",
        {"_id": 1},
        {"$rename": {"a": "a.b"}},
        Fails(2, 'The source and target field for $rename must not be on the same path: a: "a.b"'),
    ),
    case(
        "update/rename",
        {"_id": 1},
        {"$rename": {"a.b": "a"}},
        Fails(2, 'The source and target field for $rename must not be on the same path: a.b: "a"'),
    ),
    case(
        "update/rename",
        {"_id": 1, "a": [{"b": 1}]},
        {"$rename": {"a.0.b": "c"}},
        Fails(
            2, "The source field cannot be an array element, 'a.0.b' in doc with _id: 1 has an a"
        ),
    ),
    case(
        "update/rename",
        {"_id": 1, "a": [{"b": 1}]},
        {"$rename": {"a.b": "c"}},
        Fails(28, "Cannot use the part (b) of (a.b) to traverse the element ({a: [ { b: 1 } ]})"),
    ),
    case(
        "update/rename",
        {"_id": 1, "a": [{"b": 1}], "c": 1},
        {"$rename": {"c": "a.0.x"}},
        Fails(
            2, "The destination field cannot be an array element, 'a.0.x' in doc with _id: 1 has"
        ),
    ),
    case(
        "update/rename",
        {"_id": 1},
        {"$rename": {"a": 1}},
        Fails(2, "The 'to' field for $rename must be a string: a: 1"),
    ),
    case(
        "update/rename",
        {"_id": 1},
        {"$rename": {"a": ""}},
        Fails(56, "An empty update path is not valid."),
    ),
    case(
        "update/rename",
        {"_id": 1},
        {"$rename": {"": "b"}},
        Fails(56, "An empty update path is not valid."),
    ),
    case(
        "update/rename",
        {"_id": 1},
        {"$rename": {"a.$": "b"}},
        Fails(2, "The source field for $rename may not be dynamic: a.$"),
    ),
    case(
        "update/rename",
        {"_id": 1},
        {"$rename": {"a": "b.$"}},
        Fails(2, "The destination field for $rename may not be dynamic: b.$"),
    ),
    case(
        "update/rename",
        {"_id": 1},
        {"$rename": {"a": "b.$[]"}},
        Fails(2, "The destination field for $rename may not be dynamic: b.$[]"),
    ),
    case("update/rename", {"_id": 1, "a": 1, "b": 2}, {"$rename": {"a": "b"}}, {"_id": 1, "b": 1}),
    case(
        "update/rename",
        {"_id": 1, "a": 1, "b": 2},
        {"$rename": {"a": "b", "b": "c"}},
        Fails(40, "Updating the path 'b' would create a conflict at 'b'"),
    ),
    case(
        "update/rename",
        {"_id": 1, "a": 1},
        {"$rename": {"a": "b.c.d"}},
        {"_id": 1, "b": {"c": {"d": 1}}},
    ),
    case(
        "update/rename",
        {"_id": 1, "a": 1, "b": 1},
        {"$rename": {"a": "b.c"}},
        Fails(28, "Cannot create field 'c' in element {b: 1}"),
    ),
    case(
        "update/rename",
        {"_id": 1, "a": 1},
        {"$rename": {"a": "x"}, "$set": {"a": 2}},
        Fails(40, "Updating the path 'a' would create a conflict at 'a'"),
    ),
    case(
        "update/rename",
        {"_id": 1, "a": {"b": 1}},
        {"$rename": {"a.b": "a.c"}},
        {"_id": 1, "a": {"c": 1}},
    ),
    case(
        "update/rename",
        {"_id": 1, "a": "b\x00"},
        {"$rename": {"a": "b\x00"}},
        Fails(2, "The 'to' field for $rename cannot contain an embedded null byte"),
    ),
    case(
        "update/replace",
        {"_id": 1},
        {"b": 1, "$set": {"a": 1}},
        Fails(
            52, "The dollar ($) prefixed field '$set' in '$set' is not allowed in the context of"
        ),
    ),
    case("update/replace", {"_id": 1, "a": 1}, {"b": 1}, {"_id": 1, "b": 1}),
    case(
        "update/replace",
        {"_id": 1, "a": 1},
        {"_id": 2},
        Fails(
            66, "After applying the update, the (immutable) field '_id' was found to have been al"
        ),
    ),
    case("update/replace", {"_id": 1, "a": 1}, {"_id": 1, "a": 1}, SAME),
    case("update/replace", {"_id": 1, "a": 1}, {"a": 1}, {"_id": 1, "a": 1}),
    case("update/replace", {"_id": 1, "a": 1}, {"a": {"$x": 1}}, {"_id": 1, "a": {"$x": 1}}),
    case("update/replace", {"_id": 1, "a": 1}, {"x": 1, "_id": 1}, {"_id": 1, "x": 1}),
    case(
        "update/replace",
        {"_id": 1, "a": 1},
        {"a": 1, "ts": Timestamp(0, 0)},
        {"_id": 1, "a": 1, "ts": Timestamp(0, 0)},
    ),
    case(
        "update/replace",
        {"_id": 1, "a": [1, 2]},
        {"a": 1},
        Fails(9, "The array filter for identifier 'e' was not used in the update { a: 1 }"),
        array_filters=[{"e": 1}],
    ),
    case("update/set", {"_id": 1, "a": 1}, {"$set": {}}, SAME),
    case(
        "update/set",
        {"_id": 1, "a": 1},
        {"$set": {"b.c": 1, "a": 1}},
        {"_id": 1, "a": 1, "b": {"c": 1}},
    ),
    case(
        "update/set",
        {"_id": 1},
        {"$set": {"10": 1, "2": 1, "b": 1, "a": 1}},
        {"_id": 1, "2": 1, "10": 1, "a": 1, "b": 1},
    ),
    case(
        "update/set",
        {"_id": 1},
        {"$set": {"z": 1, "a": 1, "m.b": 1, "m.a": 1}},
        {"_id": 1, "a": 1, "m": {"a": 1, "b": 1}, "z": 1},
    ),
    case(
        "update/set",
        {"_id": 1},
        {"$set": {"a": 1}, "$inc": {"0": 1}, "$unset": {"q": 1}},
        {"_id": 1, "0": 1, "a": 1},
    ),
    case(
        "update/set",
        {"_id": 1, "a": [1]},
        {"$set": {"a.5": 1}},
        {"_id": 1, "a": [1, None, None, None, None, 1]},
    ),
    case(
        "update/set",
        {"_id": 1, "a": [1]},
        {"$set": {"a.b": 1}},
        Fails(28, "Cannot create field 'b' in element {a: [ 1 ]}"),
    ),
    case(
        "update/set",
        {"_id": 1, "a": None},
        {"$set": {"a.b": 1}},
        Fails(28, "Cannot create field 'b' in element {a: null}"),
    ),
    case(
        "update/set",
        {"_id": 1, "a": {"b": 3}},
        {"$set": {"a.b.c": 1}},
        Fails(28, "Cannot create field 'c' in element {b: 3}"),
    ),
    case(
        "update/set",
        {"_id": 1},
        {"$set": {"a..b": 1}},
        Fails(56, "The update path 'a..b' contains an empty field name, which is not allowed."),
    ),
    case(
        "update/set",
        {"_id": 1},
        {"$set": {".a": 1}},
        Fails(56, "The update path '.a' contains an empty field name, which is not allowed."),
    ),
    case(
        "update/set",
        {"_id": 1},
        {"$set": {"a.": 1}},
        Fails(56, "The update path 'a.' contains an empty field name, which is not allowed."),
    ),
    case(
        "update/set", {"_id": 1}, {"$set": {"": 1}}, Fails(56, "An empty update path is not valid.")
    ),
    case(
        "update/set",
        {"_id": 1},
        {"$set": {"$a": 1}},
        Fails(
            52, "The dollar ($) prefixed field '$a' in '$a' is not allowed in the context of an u"
        ),
    ),
    case("update/set", {"_id": 1}, {"$set": {"a.$b": 1}}, {"_id": 1, "a": {"$b": 1}}),
    case("update/set", {"_id": 1}, {"$set": {"a.$id": 1}}, {"_id": 1, "a": {"$id": 1}}),
    case(
        "update/set",
        {"_id": 1},
        {"$set": {"_id": 2}},
        Fails(66, "Performing an update on the path '_id' would modify the immutable field '_id'"),
    ),
    case(
        "update/set",
        {"_id": 1},
        {"$set": {"_id": 1.0}},
        Fails(66, "Performing an update on the path '_id' would modify the immutable field '_id'"),
    ),
    case(
        "update/set",
        {"_id": {"a": 1}},
        {"$set": {"_id.a": 2}},
        Fails(
            66, "Performing an update on the path '_id.a' would modify the immutable field '_id'"
        ),
    ),
    case(
        "update/set",
        {"_id": {"a": 1}},
        {"$set": {"_id.b": 2}},
        Fails(
            66, "Updating the path '_id' to _id: { a: 1, b: 2 } would modify the immutable field"
        ),
    ),
    case(
        "update/set",
        {"_id": 1},
        {"$set": {"_id.b": 2}},
        Fails(28, "Cannot create field 'b' in element {_id: 1}"),
    ),
    case(
        "update/set",
        {"_id": 1},
        {"$set": {"a": 1}, "b": 1},
        Fails(
            9, "Unknown modifier: b. Expected a valid update modifier or pipeline-style update s"
        ),
    ),
    case(
        "update/set",
        {"_id": 1},
        {"$set": 5},
        Fails(
            9, "Modifiers operate on fields but we found type int instead. For example: {$mod: {"
        ),
    ),
    case(
        "update/set",
        {"_id": 1},
        {"$set": {"a": 1}, "$unset": {"a": 1}},
        Fails(40, "Updating the path 'a' would create a conflict at 'a'"),
    ),
    case(
        "update/set",
        {"_id": 1},
        {"$set": {"a": 1, "a.b": 1}},
        Fails(40, "Updating the path 'a.b' would create a conflict at 'a'"),
    ),
    case(
        "update/set",
        {"_id": 1},
        {"$set": {"a.b": 1}, "$inc": {"a": 1}},
        Fails(40, "Updating the path 'a' would create a conflict at 'a'"),
    ),
    case(
        "update/set",
        {"_id": 1, "a": 1},
        {"$set": {"ts": Timestamp(0, 0)}},
        {"_id": 1, "a": 1, "ts": Timestamp(0, 0)},
    ),
    case(
        "update/set",
        {"_id": 1, "a": [1, 2]},
        {"$set": {"a.$[e]": 9}},
        {"_id": 1, "a": [1, 9]},
        array_filters=[{"e": {"$gt": 1}}],
    ),
    case(
        "update/set",
        {"_id": 1, "a": [1, 2]},
        {"$set": {"a.$[e]": 9}},
        Fails(2, "No array filter found for identifier 'e' in path 'a.$[e]'"),
    ),
    case(
        "update/set",
        {"_id": 1, "a": [1, 2]},
        {"$set": {"a.$[]": 9}},
        Fails(9, "The array filter for identifier 'e' was not used in the update { $set: { a.$[]:"),
        array_filters=[{"e": 1}],
    ),
    case(
        "update/set",
        {"_id": 1, "a": [1, 2]},
        {"$set": {"a.$[E]": 9}},
        Fails(
            2, "Error parsing array filter :: caused by :: The top-level field name must be an a"
        ),
        array_filters=[{"E": 1}],
    ),
    case(
        "update/set",
        {"_id": 1, "a": [1, 2]},
        {"$set": {"a.$[e]": 9}},
        Fails(9, "Found multiple array filters with the same top-level field name e"),
        array_filters=[{"e": 1}, {"e": 2}],
    ),
    case(
        "update/set",
        {"_id": 1, "a": [1, 2]},
        {"$set": {"a.$[e]": 9}},
        Fails(
            9, "Error parsing array filter :: caused by :: Expected a single top-level field nam"
        ),
        array_filters=[{"e": 1, "f": 2}],
    ),
    case(
        "update/set",
        {"_id": 1, "a": [1, 2]},
        {"$set": {"a.$[e]": 9}},
        Fails(9, "Cannot use an expression without a top-level field name in arrayFilters"),
        array_filters=[{}],
    ),
    case(
        "update/set",
        {"_id": 1, "a": [1, 2]},
        {"$set": {"a.$[e]": 9}},
        {"_id": 1, "a": [9, 2]},
        array_filters=[{"$and": [{"e": 1}, {"e": {"$lt": 5}}]}],
    ),
    case(
        "update/set",
        {"_id": 1, "a": [1, 2]},
        {"$set": {"a.$[e]": 9}},
        {"_id": 1, "a": [9, 9]},
        array_filters=[{"$or": [{"e": 1}, {"e": 2}]}],
    ),
    case(
        "update/set",
        {"_id": 1, "a": [1, 2]},
        {"$set": {"a.$[e]": 9}},
        Fails(
            224, "Error parsing array filter :: caused by :: $expr is not allowed in this context"
        ),
        array_filters=[{"$expr": True}],
    ),
    case(
        "update/set",
        {"_id": 1, "a": [1, 2]},
        {"$set": {"a.$[e].b": 9}},
        Fails(28, "Cannot create field 'b' in element {0: 1}"),
        array_filters=[{"e": 1}],
    ),
    case(
        "update/set",
        {"_id": 1, "a": {"b": 1}},
        {"$set": {"a.$[e]": 9}},
        Fails(2, "Cannot apply array updates to non-array element a: { b: 1 }"),
        array_filters=[{"e": 1}],
    ),
    case(
        "update/set",
        {"_id": 1, "a": [1]},
        {"$set": {"a.$[e-1]": 9}},
        Fails(
            2, "Error parsing array filter :: caused by :: The top-level field name must be an a"
        ),
        array_filters=[{"e-1": 1}],
    ),
    case(
        "update/set",
        {"_id": 1, "a": [1]},
        {"$set": {"a.$[1e]": 9}},
        Fails(
            2, "Error parsing array filter :: caused by :: The top-level field name must be an a"
        ),
        array_filters=[{"1e": 1}],
    ),
    case(
        "update/set",
        {"_id": 1, "a": [1]},
        {"$set": {"a.$[e": 9}},
        Fails(28, "Cannot create field '$[e' in element {a: [ 1 ]}"),
        array_filters=[],
    ),
    case(
        "update/set",
        {"_id": 1, "a": [1]},
        {"$set": {"$[e]": 9}},
        Fails(
            2, "Cannot have array filter identifier (i.e. '$[<id>]') element in the first positi"
        ),
        array_filters=[{"e": 1}],
    ),
    case(
        "update/set",
        {"_id": 1, "a": [{"x": 1, "y": 2}, {"x": 2, "y": 3}]},
        {"$set": {"a.$[e].z": 1}},
        {"_id": 1, "a": [{"x": 1, "y": 2, "z": 1}, {"x": 2, "y": 3}]},
        array_filters=[{"e.x": 1, "e.y": 2}],
    ),
    case(
        "update/set",
        {"_id": 1, "a": [1, 2]},
        {"$set": {"a.$[e]": 9, "a.$[f]": 8}},
        {"_id": 1, "a": [9, 8]},
        array_filters=[{"e": 1}, {"f": 2}],
    ),
    case(
        "update/set",
        {"_id": 1, "a": [1, 2]},
        {"$set": {"a.$[e]": 9, "a.$[f]": 8}},
        Fails(40, "Update created a conflict at 'a.0'"),
        array_filters=[{"e": 1}, {"f": 1}],
    ),
    case(
        "update/set",
        {"_id": 1, "a": [1, 2]},
        {"$set": {"a.$[e]": 9, "a.0": 8}},
        Fails(40, "Updating the path 'a.0' would create a conflict at 'a'"),
        array_filters=[{"e": 2}],
    ),
    case(
        "update/set",
        {"_id": 1, "a": [1, 2]},
        {"$set": {"a.$[]": 9, "a.0": 8}},
        Fails(40, "Updating the path 'a.0' would create a conflict at 'a'"),
    ),
    case(
        "update/set",
        {"_id": 1, "a": [{"b": 1}]},
        {"$set": {"a.$[].b": 9, "a.$[e].c": 8}},
        {"_id": 1, "a": [{"b": 9, "c": 8}]},
        array_filters=[{"e.b": 1}],
    ),
    case("update/setOnInsert", {"_id": 1}, {"$setOnInsert": {"a": 1}}, SAME),
    case(
        "update/unset",
        {"_id": 1},
        {"$unset": {"_id": 2}},
        Fails(66, "Performing an update on the path '_id' would modify the immutable field '_id'"),
    ),
    case(
        "update/unset",
        {"_id": 1, "b": 1, "a": []},
        {"$unset": {"b": 1, "c": 1}},
        {"_id": 1, "a": []},
    ),
    case(
        "update/unset", {"_id": 1, "a": [1, 2]}, {"$unset": {"a.0": 1}}, {"_id": 1, "a": [None, 2]}
    ),
    case("update/unset", {"_id": 1, "a": [1, 2]}, {"$unset": {"a.5": 1}}, SAME),
    case("update/unset", {"_id": 1, "a": [1, 2]}, {"$unset": {"a.b": 1}}, SAME),
    case("update/unset", {"_id": 1, "a": [{"b": 1}, {"b": 2}]}, {"$unset": {"a.b": 1}}, SAME),
    case(
        "update/unset",
        {"_id": 1, "a": [1, 2]},
        {"$unset": {"a.$[e]": 9}},
        {"_id": 1, "a": [None, 2]},
        array_filters=[{"e": 1}],
    ),
    case(
        "update/upsert",
        {},
        {"$setOnInsert": {"a": 1}, "$set": {"b": 1}},
        {"_id": ObjectId("010101010101010101010101"), "a": 1, "b": 1},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a": 1},
        {"$set": {"z": 1}},
        {"_id": ObjectId("010101010101010101010101"), "a": 1, "z": 1},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a": {"$eq": 1}},
        {"$set": {"z": 1}},
        {"_id": ObjectId("010101010101010101010101"), "a": 1, "z": 1},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a": {"$gt": 1}},
        {"$set": {"z": 1}},
        {"_id": ObjectId("010101010101010101010101"), "z": 1},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a.b": 1, "c": 2},
        {"$set": {"z": 1}},
        {"_id": ObjectId("010101010101010101010101"), "a": {"b": 1}, "c": 2, "z": 1},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a": 1, "a.b": 2},
        {"$set": {"z": 1}},
        Fails(54, "cannot infer query fields to set, both paths 'a' and 'a.b' are matched"),
        upsert=True,
    ),
    case(
        "update/upsert",
        {"$and": [{"a": 1}, {"b": 2}]},
        {"$set": {"z": 1}},
        {"_id": ObjectId("010101010101010101010101"), "a": 1, "b": 2, "z": 1},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"$and": [{"a": 1}, {"a": 2}]},
        {"$set": {"z": 1}},
        Fails(54, "cannot infer query fields to set, path 'a' is matched twice"),
        upsert=True,
    ),
    case(
        "update/upsert",
        {"$or": [{"a": 1}]},
        {"$set": {"z": 1}},
        {"_id": ObjectId("010101010101010101010101"), "a": 1, "z": 1},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"$or": [{"a": 1}, {"b": 1}]},
        {"$set": {"z": 1}},
        {"_id": ObjectId("010101010101010101010101"), "z": 1},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a": {"$in": [1]}},
        {"$set": {"z": 1}},
        {"_id": ObjectId("010101010101010101010101"), "a": 1, "z": 1},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a": {"$in": [1, 2]}},
        {"$set": {"z": 1}},
        {"_id": ObjectId("010101010101010101010101"), "z": 1},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a": {"$all": [1]}},
        {"$set": {"z": 1}},
        {"_id": ObjectId("010101010101010101010101"), "a": 1, "z": 1},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a": {"$all": [1, 2]}},
        {"$set": {"z": 1}},
        Fails(54, "cannot infer query fields to set, path 'a' is matched twice"),
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a": {"$elemMatch": {"b": 1}}},
        {"$set": {"z": 1}},
        {"_id": ObjectId("010101010101010101010101"), "z": 1},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a": Regex("x")},
        {"$set": {"z": 1}},
        {"_id": ObjectId("010101010101010101010101"), "z": 1},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a": {"$exists": True}},
        {"$set": {"z": 1}},
        {"_id": ObjectId("010101010101010101010101"), "z": 1},
        upsert=True,
    ),
    case("update/upsert", {"_id": 5}, {"$set": {"z": 1}}, {"_id": 5, "z": 1}, upsert=True),
    case(
        "update/upsert", {"_id": {"$in": [5]}}, {"$set": {"z": 1}}, {"_id": 5, "z": 1}, upsert=True
    ),
    case("update/upsert", {"_id.x": 5}, {"$set": {"z": 1}}, {"_id": {"x": 5}, "z": 1}, upsert=True),
    case(
        "update/upsert",
        {"_id": {"$gt": 1}},
        {"$set": {"z": 1}},
        {"_id": ObjectId("010101010101010101010101"), "z": 1},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"_id": Regex("a")},
        {"$set": {"z": 1}},
        {"_id": ObjectId("010101010101010101010101"), "z": 1},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a": {"$not": {"$ne": 1}}},
        {"$set": {"z": 1}},
        {"_id": ObjectId("010101010101010101010101"), "z": 1},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a": {"$eq": 1, "$gt": 0}},
        {"$set": {"z": 1}},
        {"_id": ObjectId("010101010101010101010101"), "a": 1, "z": 1},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"$expr": {"$eq": ["$a", 1]}},
        {"$set": {"z": 1}},
        {"_id": ObjectId("010101010101010101010101"), "z": 1},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a.0": 1},
        {"$set": {"z": 1}},
        {"_id": ObjectId("010101010101010101010101"), "a": {"0": 1}, "z": 1},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a.$x": 1},
        {"$set": {"z": 1}},
        {"_id": ObjectId("010101010101010101010101"), "a": {"$x": 1}, "z": 1},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"$nor": [{"a": 1}]},
        {"$set": {"z": 1}},
        {"_id": ObjectId("010101010101010101010101"), "z": 1},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a": {"x": 1, "y": 2}},
        {"$set": {"z": 1}},
        {"_id": ObjectId("010101010101010101010101"), "a": {"x": 1, "y": 2}, "z": 1},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a": {"b": 1}, "a.c": 1},
        {"$set": {"z": 1}},
        Fails(54, "cannot infer query fields to set, both paths 'a' and 'a.c' are matched"),
        upsert=True,
    ),
    case(
        "update/upsert",
        {"_id": [1]},
        {"$set": {"z": 1}},
        Fails(53, "The '_id' value cannot be of type array"),
        upsert=True,
    ),
    case("update/upsert", {"_id": None}, {"$set": {"z": 1}}, {"_id": None, "z": 1}, upsert=True),
    case(
        "update/upsert",
        {"$comment": "x", "a": 1},
        {"$set": {"z": 1}},
        {"_id": ObjectId("010101010101010101010101"), "a": 1, "z": 1},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a": {"$all": [{"$elemMatch": {"b": 1}}]}},
        {"$set": {"z": 1}},
        {"_id": ObjectId("010101010101010101010101"), "z": 1},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a": 1},
        {"$set": {"a": 2}},
        {"_id": ObjectId("010101010101010101010101"), "a": 2},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a": 1},
        {"$inc": {"a": 2}},
        {"_id": ObjectId("010101010101010101010101"), "a": 3},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"_id": 1},
        {"$set": {"_id": 2}},
        Fails(66, "Performing an update on the path '_id' would modify the immutable field '_id'"),
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a": 1},
        {"b": 1},
        {"_id": ObjectId("010101010101010101010101"), "b": 1},
        upsert=True,
    ),
    case("update/upsert", {"_id": 1}, {"b": 1}, {"_id": 1, "b": 1}, upsert=True),
    case(
        "update/upsert",
        {"_id": 1},
        {"_id": 2, "b": 1},
        Fails(
            66, "After applying the update, the (immutable) field '_id' was found to have been al"
        ),
        upsert=True,
    ),
    case("update/upsert", {"a": 1}, {"b": 1, "_id": 5}, {"_id": 5, "b": 1}, upsert=True),
    case("update/upsert", {"a": 1}, {"$set": {"_id": 5}}, {"_id": 5, "a": 1}, upsert=True),
    case("update/upsert", {"a": 1}, {"$setOnInsert": {"_id": 5}}, {"_id": 5, "a": 1}, upsert=True),
    case(
        "update/upsert",
        {"a": 1, "_id": 3},
        [{"$set": {"b": 1}}],
        {"_id": 3, "a": 1, "b": 1},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a": 1},
        [{"$replaceWith": {"b": 1}}],
        {"_id": ObjectId("010101010101010101010101"), "b": 1},
        upsert=True,
    ),
    case(
        "update/upsert", {"_id": 1}, [{"$replaceWith": {"b": 1}}], {"_id": 1, "b": 1}, upsert=True
    ),
    case(
        "update/upsert",
        {"_id": 1},
        [{"$set": {"_id": 2}}],
        Fails(
            66, "After applying the update, the (immutable) field '_id' was found to have been al"
        ),
        upsert=True,
    ),
    case(
        "update/upsert",
        {"_id": {"$in": [1, 2]}},
        {"b": 1},
        {"_id": ObjectId("010101010101010101010101"), "b": 1},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a": [1, 2]},
        {"$push": {"a": 3}},
        {"_id": ObjectId("010101010101010101010101"), "a": [1, 2, 3]},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a": 5},
        {"$push": {"a": 3}},
        Fails(2, "The field 'a' must be an array but is of type int in document {no id}"),
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a.b": 1},
        {"$set": {"a": 3}},
        {"_id": ObjectId("010101010101010101010101"), "a": 3},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a.b": 1},
        {"$set": {"a.c": 3}},
        {"_id": ObjectId("010101010101010101010101"), "a": {"b": 1, "c": 3}},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a": 5},
        {"$unset": {"a": 3}},
        {"_id": ObjectId("010101010101010101010101")},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"x": 5},
        {"$pull": {"a": 3}},
        {"_id": ObjectId("010101010101010101010101"), "x": 5},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"x": 5},
        {"$push": {"a": {"$each": []}}},
        {"_id": ObjectId("010101010101010101010101"), "x": 5, "a": []},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"x": 5},
        {"$rename": {"x": "y"}},
        {"_id": ObjectId("010101010101010101010101"), "y": 5},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"x": 5},
        {"$min": {"x": 3}},
        {"_id": ObjectId("010101010101010101010101"), "x": 3},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a": [{"b": 1}]},
        {"$set": {"a.$[].b": 2}},
        {"_id": ObjectId("010101010101010101010101"), "a": [{"b": 2}]},
        upsert=True,
    ),
    case(
        "update/upsert",
        {"a": 1},
        {"$set": {"a.$[].b": 2}},
        Fails(2, "Cannot apply array updates to non-array element a: 1"),
        upsert=True,
    ),
    case(
        "update/upsert",
        {"x": 1},
        {"$set": {"a.$.b": 2}},
        Fails(2, "The positional operator did not find the match needed from the query."),
        upsert=True,
    ),
]


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.id)
def test_update(one: Any) -> None:
    check(one)
