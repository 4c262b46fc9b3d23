"""Replacement documents, pipelines as updates, and upserts."""

from __future__ import annotations

from typing import Any

import pytest
from bson.int64 import Int64
from bson.regex import Regex
from update_kit import NEW_ID, NOW, SAME, Case, Fails, case, check

from psdb_base.values import UNDEFINED


def doc(**fields: Any) -> dict[str, Any]:
    return {"_id": 1, **fields}


REPLACE = "method/db.collection.replaceOne"
REPLACE_CASES: list[Case] = [
    case(REPLACE, doc(a=1, b=2), {"c": 3}, doc(c=3)),
    case(REPLACE, doc(a=1, b=2), {}, doc()),
    case(REPLACE, doc(), {}, doc()),
    case(REPLACE, doc(a=1, b=2), {"a": 1, "b": 2}, doc(a=1, b=2)),
    case(REPLACE, doc(a=1, b=2), {"_id": 1, "a": 1, "b": 2}, SAME),
    case(REPLACE, doc(a=1, b=2), {"a": 1, "_id": 1, "b": 2}, doc(a=1, b=2)),
    case(REPLACE, doc(a=1, b=2), {"b": 2, "a": 1}, doc(b=2, a=1)),
    case(REPLACE, doc(a=1), {"a": 1.0}, doc(a=1.0)),
    case(REPLACE, doc(a=1), {"_id": 1, "c": 3}, doc(c=3)),
    case(REPLACE, doc(a=1), {"c": 3, "_id": 1}, doc(c=3)),
    case(REPLACE, doc(a=1), {"_id": 1.0, "c": 3}, doc(c=3)),
    case(REPLACE, doc(a=1), {"_id": 2, "c": 3}, Fails(66,
         "After applying the update, the (immutable) field '_id' was found to have been altered "
         "to _id: 2")),
    case(REPLACE, doc(a=1), {"_id": "1"}, Fails(66,
         "After applying the update, the (immutable) field '_id' was found to have been altered "
         'to _id: "1"')),
    case(REPLACE, doc(a=1), {"a": {"$b": 1}}, doc(a={"$b": 1})),
    case(REPLACE, doc(a=1), {"a.b": 1}, {"_id": 1, "a.b": 1}),
    case(REPLACE, doc(a=1), {"": 1}, {"_id": 1, "": 1}),
    case(REPLACE, doc(a=1), {"a": 1, "$set": {"b": 1}}, Fails(52,
         "The dollar ($) prefixed field '$set' in '$set' is not allowed in the context of an "
         "update's replacement document. Consider using an aggregation pipeline with "
         "$replaceWith.")),
    case(REPLACE, {"a": 1}, {"b": 2}, {"b": 2}),
    case(REPLACE, doc(a=[1, {"x": 1}]), {"_id": 1, "a": [1, {"x": 1}]}, SAME),
]

PIPELINE = "tutorial/update-documents-with-aggregation-pipeline"
PIPELINE_CASES: list[Case] = [
    case(PIPELINE, doc(a=1), [{"$set": {"b": 2}}], doc(a=1, b=2)),
    case(PIPELINE, doc(a=1), [{"$addFields": {"b": {"$add": ["$a", 1]}}}], doc(a=1, b=2)),
    case(PIPELINE, doc(a=1), [{"$set": {"a": "$a"}}], SAME),
    case(PIPELINE, doc(a=1), [], SAME),
    case(PIPELINE, doc(a=1, b=2), [{"$unset": "a"}], doc(b=2)),
    case(PIPELINE, doc(a=1, b=2, c=3), [{"$unset": ["a", "b"]}], doc(c=3)),
    case(PIPELINE, doc(a=1, b=2), [{"$project": {"b": 1}}], doc(b=2)),
    case(PIPELINE, doc(a=1, b=2), [{"$project": {"_id": 0, "b": 1}}], doc(b=2)),
    case(PIPELINE, doc(a={"x": 1}), [{"$replaceRoot": {"newRoot": "$a"}}], doc(x=1)),
    case(PIPELINE, doc(a={"x": 1}), [{"$replaceWith": "$a"}], doc(x=1)),
    case(PIPELINE, doc(a=1), [{"$replaceWith": {"b": "$a", "_id": "$_id"}}], doc(b=1)),
    case(PIPELINE, doc(a=1), [{"$set": {"b": "$$NOW"}}], doc(a=1, b=NOW)),
    case(PIPELINE, doc(a=1), [{"$set": {"b": {"$literal": "$x"}}}], doc(a=1, b="$x")),
    case(PIPELINE, doc(a=1), [{"$set": {"b": 1}}, {"$set": {"c": {"$add": ["$b", 1]}}}],
         doc(a=1, b=1, c=2)),
    case(PIPELINE, doc(a=[1, 2]), [{"$set": {"a": {"$concatArrays": ["$a", [3]]}}}],
         doc(a=[1, 2, 3])),
    case(PIPELINE, doc(a=5), [{"$set": {"g": {"$cond": [{"$gte": ["$a", 5]}, "hi", "lo"]}}}],
         doc(a=5, g="hi")),
    case(PIPELINE, doc(a=1), [{"$set": {"b": "$$REMOVE"}}], SAME),
    case(PIPELINE, doc(a=1), [{"$set": {"a": "$$REMOVE"}}], doc()),
    case(PIPELINE, doc(a=1), [{"$set": {"b": "$$x"}}], doc(a=1, b=7), constants={"x": 7}),
    case(PIPELINE, doc(a=1), [{"$set": {"b": {"$add": ["$$x", "$$y"]}}}], doc(a=1, b=9),
         constants={"x": 7, "y": 2}),
    case(PIPELINE, doc(a=1), [{"$replaceWith": {"$setField": {
        "field": {"$literal": "$p"}, "input": "$$ROOT", "value": 1}}}],
         {"_id": 1, "a": 1, "$p": 1}),
    case(PIPELINE, doc(a=1), [{"$set": {"_id": 2}}], Fails(66,
         "After applying the update, the (immutable) field '_id' was found to have been altered "
         "to _id: 2")),
    case(PIPELINE, doc(a=1), [{"$match": {"a": 1}}], Fails(72,
         "$match is not allowed to be used within an update")),
    case(PIPELINE, doc(a=1), [{"$group": {"_id": 1}}], Fails(72)),
    case(PIPELINE, doc(a=1), [{"$foo": 1}], Fails(40324,
         "Unrecognized pipeline stage name: '$foo'")),
    case(PIPELINE, doc(a=1), [{"$set": {"a": 1}, "$unset": "b"}], Fails(40323,
         "A pipeline stage specification object must contain exactly one field.")),
    case(PIPELINE, doc(a=1), [{}], Fails(40323)),
    case(PIPELINE, doc(a=1), [5], Fails(14,
         "Each element of the 'pipeline' array must be an object")),
    case(PIPELINE, doc(a=1), [{"$replaceWith": 5}], Fails(40228,
         "'replacement document' must evaluate to an object, but resulting value was: 5.")),
    case(PIPELINE, doc(a=1), [{"$replaceRoot": {"newRoot": "$a"}}], Fails(40228,
         "'newRoot' expression must evaluate to an object, but resulting value was: 1.")),
    case(PIPELINE, doc(a=1), [{"$replaceRoot": 5}], Fails(40229)),
    case(PIPELINE, doc(a=1), [{"$replaceRoot": {"root": "$a"}}], Fails(40230)),
    case(PIPELINE, doc(a=1), [{"$replaceRoot": {}}], Fails(40231)),
    case(PIPELINE, doc(a=1), [{"$set": {"b": "$$x"}}], Fails(17276)),
    case(PIPELINE, doc(a=1), {"$set": {"b": 1}}, Fails(51198,
         "Constant values may only be specified for pipeline updates"), constants={"x": 1}),
]

UPSERT = "method/db.collection.update-upsert"


def up(filter_: dict[str, Any], update: Any, expected: Any, **options: Any) -> Case:
    return case(UPSERT, filter_, update, expected, upsert=True, **options)


UPSERT_CASES: list[Case] = [
    up({"a": 1}, {"$set": {"b": 2}}, {"_id": NEW_ID, "a": 1, "b": 2}),
    up({}, {"$set": {"b": 2}}, {"_id": NEW_ID, "b": 2}),
    up({"_id": 5}, {"$set": {"b": 2}}, {"_id": 5, "b": 2}),
    up({"_id": 5, "a": 1}, {"$inc": {"a": 2}}, {"_id": 5, "a": 3}),
    up({"b": 1, "a": 2}, {"$set": {"c": 3}}, {"_id": NEW_ID, "a": 2, "b": 1, "c": 3}),
    up({"a.b": 1}, {"$set": {"c": 3}}, {"_id": NEW_ID, "a": {"b": 1}, "c": 3}),
    up({"a.b": 1, "a.c": 2}, {"$set": {"d": 3}}, {"_id": NEW_ID, "a": {"b": 1, "c": 2}, "d": 3}),
    up({"a": {"b": 1}}, {"$set": {"d": 3}}, {"_id": NEW_ID, "a": {"b": 1}, "d": 3}),
    up({"a": {"b": 1}}, {"$set": {"a.c": 3}}, {"_id": NEW_ID, "a": {"b": 1, "c": 3}}),
    up({"a": {"$eq": 1}}, {"$set": {"b": 2}}, {"_id": NEW_ID, "a": 1, "b": 2}),
    up({"a": {"$in": [1]}}, {"$set": {"b": 2}}, {"_id": NEW_ID, "a": 1, "b": 2}),
    up({"a": {"$in": [1, 2]}}, {"$set": {"b": 2}}, {"_id": NEW_ID, "b": 2}),
    up({"a": {"$all": [1]}}, {"$set": {"b": 2}}, {"_id": NEW_ID, "a": 1, "b": 2}),
    up({"a": {"$gt": 1}}, {"$set": {"b": 2}}, {"_id": NEW_ID, "b": 2}),
    up({"a": {"$ne": 1}}, {"$set": {"b": 2}}, {"_id": NEW_ID, "b": 2}),
    up({"a": {"$exists": True}}, {"$set": {"b": 2}}, {"_id": NEW_ID, "b": 2}),
    up({"a": Regex("x")}, {"$set": {"b": 2}}, {"_id": NEW_ID, "b": 2}),
    up({"a": {"$eq": Regex("x")}}, {"$set": {"b": 2}},
       {"_id": NEW_ID, "a": Regex("x"), "b": 2}),
    up({"a": None}, {"$set": {"b": 2}}, {"_id": NEW_ID, "a": None, "b": 2}),
    up({"a": [1, 2]}, {"$push": {"a": 3}}, {"_id": NEW_ID, "a": [1, 2, 3]}),
    up({"$and": [{"a": 1}, {"b": 2}]}, {"$set": {"c": 3}},
       {"_id": NEW_ID, "a": 1, "b": 2, "c": 3}),
    up({"$and": [{"a": 1}, {"$and": [{"b": {"$eq": 2}}]}]}, {"$set": {"c": 3}},
       {"_id": NEW_ID, "a": 1, "b": 2, "c": 3}),
    up({"$or": [{"a": 1}]}, {"$set": {"c": 3}}, {"_id": NEW_ID, "a": 1, "c": 3}),
    up({"$or": [{"a": 1}, {"a": 2}]}, {"$set": {"c": 3}}, {"_id": NEW_ID, "c": 3}),
    up({"$nor": [{"a": 1}]}, {"$set": {"c": 3}}, {"_id": NEW_ID, "c": 3}),
    up({"a": {"$elemMatch": {"b": 1}}}, {"$set": {"c": 3}}, {"_id": NEW_ID, "c": 3}),
    up({"a": {"$not": {"$eq": 1}}}, {"$set": {"c": 3}}, {"_id": NEW_ID, "c": 3}),
    up({"$expr": {"$eq": ["$a", 1]}}, {"$set": {"c": 3}}, {"_id": NEW_ID, "c": 3}),
    up({"a": 1}, {"$set": {"a": 2}}, {"_id": NEW_ID, "a": 2}),
    up({"a": 1}, {"$unset": {"a": 1}}, {"_id": NEW_ID}),
    up({"a": 1}, {"$setOnInsert": {"b": 2}}, {"_id": NEW_ID, "a": 1, "b": 2}),
    up({"a": 1}, {"$setOnInsert": {"_id": 9}}, {"_id": 9, "a": 1}),
    up({"a": 1}, {"$set": {"_id": 9}}, {"_id": 9, "a": 1}),
    up({"a": 1}, {"$set": {"_id.x": 9}}, {"_id": {"x": 9}, "a": 1}),
    up({"_id": 9}, {"$setOnInsert": {"_id": 9}}, {"_id": 9}),
    up({"_id": 9}, {"$setOnInsert": {"_id": 8}}, Fails(66,
       "Performing an update on the path '_id' would modify the immutable field '_id'")),
    up({"_id": {"$gt": 9}}, {"$set": {"a": 1}}, {"_id": NEW_ID, "a": 1}),
    up({"_id": {"$in": [9]}}, {"$set": {"a": 1}}, {"_id": 9, "a": 1}),
    up({"_id": 9}, {"$currentDate": {"a": True}}, {"_id": 9, "a": NOW}),
    up({"_id": 9}, {"$min": {"a": 5}}, {"_id": 9, "a": 5}),
    up({"_id": 9}, {"$mul": {"a": Int64(5)}}, {"_id": 9, "a": Int64(0)}),
    up({"_id": 9}, {"$pull": {"a": 5}}, {"_id": 9}),
    up({"_id": 9}, {"$pop": {"a": 1}}, {"_id": 9}),
    up({"_id": 9, "a": [1]}, {"$addToSet": {"a": {"$each": [1, 2]}}}, {"_id": 9, "a": [1, 2]}),
    up({"_id": 9, "a": 1}, {"$rename": {"a": "b"}}, {"_id": 9, "b": 1}),
    up({"_id": 9, "a": 3}, {"$bit": {"a": {"and": 2}}}, {"_id": 9, "a": 2}),
    up({"_id": 9, "a": [1]}, {"$set": {"a.$[]": 5}}, {"_id": 9, "a": [5]}),
    up({"_id": 9}, {"$set": {"a.$[]": 5}}, Fails(2,
       "The path 'a' must exist in the document in order to apply array updates.")),
    up({"_id": 9, "a": 1}, {"$set": {"a.$": 5}}, Fails(2,
       "The positional operator did not find the match needed from the query.")),
    up({"a": 1, "$and": [{"a": 2}]}, {"$set": {"c": 3}}, Fails(54,
       "cannot infer query fields to set, path 'a' is matched twice")),
    up({"a": 1, "$and": [{"a": 1}]}, {"$set": {"c": 3}}, Fails(54)),
    up({"a": {"$all": [1, 2]}}, {"$set": {"c": 3}}, Fails(54,
       "cannot infer query fields to set, path 'a' is matched twice")),
    up({"a": {"b": 1}, "a.b": 1}, {"$set": {"c": 3}}, Fails(54,
       "cannot infer query fields to set, both paths 'a' and 'a.b' are matched")),
    up({"a": 1}, {"$set": {"a.b": 3}}, Fails(28, "Cannot create field 'b' in element {a: 1}")),
    up({"a": 1}, {"b": 2}, {"_id": NEW_ID, "b": 2}),
    up({"_id": 9, "a": 1}, {"b": 2}, {"_id": 9, "b": 2}),
    up({"_id": 9, "a": 1}, {}, {"_id": 9}),
    up({"a": 1}, {}, {"_id": NEW_ID}),
    up({"a": 1}, {"b": 2, "_id": 9}, {"_id": 9, "b": 2}),
    up({"_id": 9}, {"_id": 9, "b": 2}, {"_id": 9, "b": 2}),
    up({"_id": 9}, {"_id": 8, "b": 2}, Fails(66,
       "After applying the update, the (immutable) field '_id' was found to have been altered "
       "to _id: 8")),
    up({"a": 1, "$and": [{"a": 2}]}, {"b": 2}, {"_id": NEW_ID, "b": 2}),
    up({"a": 1}, [{"$set": {"b": {"$add": ["$a", 1]}}}], {"_id": NEW_ID, "a": 1, "b": 2}),
    up({"_id": 9}, [{"$set": {"b": 1}}], {"_id": 9, "b": 1}),
    up({"a": 1}, [{"$replaceWith": {"c": "$a"}}], {"_id": NEW_ID, "c": 1}),
    up({"_id": 9}, [{"$set": {"_id": 8}}], Fails(66)),
    up({"a": 1}, {"$set": {"_id": [1]}}, Fails(53,
       "The '_id' value cannot be of type array")),
    up({"a": 1}, {"_id": Regex("x")}, Fails(53, "The '_id' value cannot be of type regex")),
    up({"a": 1}, {"$set": {"_id": UNDEFINED}}, Fails(53,
       "The '_id' value cannot be of type undefined")),
    up({"a": 1}, {"$set": {"_id": {"$x": 1}}}, Fails(52,
       "The dollar ($) prefixed field '$x' in '_id.$x' is not allowed in the context of an "
       "update's replacement document.")),
    up({"_id": {"$ref": "c", "$id": 1}}, {"b": 2}, {"_id": {"$ref": "c", "$id": 1}, "b": 2}),
    up({"a": 1}, {"_id": {"$ref": "c", "$id": 1, "$db": "d", "x": 1}, "b": 2},
       {"_id": {"$ref": "c", "$id": 1, "$db": "d", "x": 1}, "b": 2}),
    up({"a": 1}, {"_id": {"$ref": 1, "$id": 1}}, Fails(55,
       "The DBRef $ref field must be a String, not a int")),
    up({"a": 1}, {"_id": {"$ref": "c", "x": 1}}, Fails(55,
       "The DBRef $ref field must be followed by a $id field")),
    up({"a": 1}, {"_id": {"$id": 1}}, Fails(55,
       "Found $id field without a $ref before it, which is invalid.")),
    up({"a": 1}, {"_id": {"$ref": "c", "$id": 1, "$db": 2}}, Fails(55,
       "The DBRef $db field must be a String, not a int")),
    up({"a": 1}, {"_id": {"x": {"$b": 1}}}, {"_id": {"x": {"$b": 1}}}),
]

CASES = REPLACE_CASES + PIPELINE_CASES + UPSERT_CASES


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.id)
def test_form(one: Case) -> None:
    check(one)
