"""Array modifiers: `$push`, `$addToSet`, `$pull`, `$pullAll`, `$pop`."""

from __future__ import annotations

from typing import Any

import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.regex import Regex
from update_kit import SAME, Case, Fails, case, check

from psdb_base.values import Symbol


def doc(a: Any, **fields: Any) -> dict[str, Any]:
    return {"_id": 1, "a": a, **fields}


PUSH = "update/push"
EACH = "update/each"
POSITION = "update/position"
SLICE = "update/slice"
SORT = "update/sort"
PEOPLE = [{"n": "b", "s": 2}, {"n": "a", "s": 9}, {"n": "c", "s": 5}]
PUSH_CASES: list[Case] = [
    case(PUSH, doc([1]), {"$push": {"a": 2}}, doc([1, 2])),
    case(PUSH, doc([]), {"$push": {"a": 2}}, doc([2])),
    case(PUSH, {"_id": 1}, {"$push": {"a": 2}}, doc([2])),
    case(PUSH, {"_id": 1}, {"$push": {"a.b": 2}}, doc({"b": [2]})),
    case(PUSH, doc([1]), {"$push": {"a": [2, 3]}}, doc([1, [2, 3]])),
    case(PUSH, doc([1]), {"$push": {"a": {"b": 1}}}, doc([1, {"b": 1}])),
    case(PUSH, doc([1]), {"$push": {"a": {}}}, doc([1, {}])),
    case(PUSH, doc([1]), {"$push": {"a": None}}, doc([1, None])),
    case(PUSH, doc([1]), {"$push": {"a": 1}}, doc([1, 1])),
    case(PUSH, doc([[1], [2]]), {"$push": {"a.1": 3}}, doc([[1], [2, 3]])),
    case(PUSH, doc({"b": [1]}), {"$push": {"a.b": 3}}, doc({"b": [1, 3]})),
    case(PUSH, doc([{"b": [1]}]), {"$push": {"a.0.b": 3}}, doc([{"b": [1, 3]}])),
    case(PUSH, doc([1]), {"$push": {"a": {"$slice": 1}}}, doc([1, {"$slice": 1}])),
    case(EACH, doc([1]), {"$push": {"a": {"$each": [2, 3]}}}, doc([1, 2, 3])),
    case(EACH, doc([1]), {"$push": {"a": {"$each": []}}}, SAME),
    case(EACH, {"_id": 1}, {"$push": {"a": {"$each": []}}}, doc([])),
    case(EACH, {"_id": 1}, {"$push": {"a": {"$each": [1, 2]}}}, doc([1, 2])),
    case(EACH, doc([1]), {"$push": {"a": {"$each": [[2]]}}}, doc([1, [2]])),
    case(EACH, doc([1]), {"$push": {"a": {"$slice": 2, "$each": [2, 3]}}}, doc([1, 2])),
    case(POSITION, doc([1, 2]), {"$push": {"a": {"$each": [9], "$position": 0}}}, doc([9, 1, 2])),
    case(POSITION, doc([1, 2]), {"$push": {"a": {"$each": [9], "$position": 1}}}, doc([1, 9, 2])),
    case(POSITION, doc([1, 2]), {"$push": {"a": {"$each": [9], "$position": 2}}}, doc([1, 2, 9])),
    case(POSITION, doc([1, 2]), {"$push": {"a": {"$each": [9], "$position": 7}}}, doc([1, 2, 9])),
    case(POSITION, doc([1, 2]), {"$push": {"a": {"$each": [9], "$position": -1}}},
         doc([1, 9, 2])),
    case(POSITION, doc([1, 2]), {"$push": {"a": {"$each": [9], "$position": -2}}},
         doc([9, 1, 2])),
    case(POSITION, doc([1, 2]), {"$push": {"a": {"$each": [9], "$position": -7}}},
         doc([9, 1, 2])),
    case(POSITION, doc([1, 2, 3]), {"$push": {"a": {"$each": [8, 9], "$position": -2}}},
         doc([1, 8, 9, 2, 3])),
    case(POSITION, doc([]), {"$push": {"a": {"$each": [8, 9], "$position": 0}}}, doc([8, 9])),
    case(POSITION, doc([1]), {"$push": {"a": {"$each": [9], "$position": 0.0}}}, doc([9, 1])),
    case(POSITION, doc([1]), {"$push": {"a": {"$each": [9], "$position": Int64(0)}}},
         doc([9, 1])),
    case(SLICE, doc([1, 2, 3]), {"$push": {"a": {"$each": [4], "$slice": 2}}}, doc([1, 2])),
    case(SLICE, doc([1, 2, 3]), {"$push": {"a": {"$each": [4], "$slice": -2}}}, doc([3, 4])),
    case(SLICE, doc([1, 2, 3]), {"$push": {"a": {"$each": [4], "$slice": 0}}}, doc([])),
    case(SLICE, doc([1, 2, 3]), {"$push": {"a": {"$each": [4], "$slice": 9}}}, doc([1, 2, 3, 4])),
    case(SLICE, doc([1, 2, 3]), {"$push": {"a": {"$each": [4], "$slice": -9}}},
         doc([1, 2, 3, 4])),
    case(SLICE, doc([1, 2, 3]), {"$push": {"a": {"$each": [], "$slice": -1}}}, doc([3])),
    case(SLICE, doc([1, 2, 3]), {"$push": {"a": {"$each": [4], "$slice": 3}}}, SAME),
    case(SLICE, {"_id": 1}, {"$push": {"a": {"$each": [1, 2], "$slice": 1}}}, doc([1])),
    case(SORT, doc([3, 1]), {"$push": {"a": {"$each": [2], "$sort": 1}}}, doc([1, 2, 3])),
    case(SORT, doc([3, 1]), {"$push": {"a": {"$each": [2], "$sort": -1}}}, doc([3, 2, 1])),
    case(SORT, doc([3, 1]), {"$push": {"a": {"$each": [], "$sort": 1}}}, doc([1, 3])),
    case(SORT, doc([1, 3]), {"$push": {"a": {"$each": [], "$sort": 1}}}, SAME),
    case(SORT, doc(["b", 2, None, True]), {"$push": {"a": {"$each": [1.5], "$sort": 1}}},
         doc([None, 1.5, 2, "b", True])),
    case(SORT, doc(PEOPLE), {"$push": {"a": {"$each": [], "$sort": {"s": 1}}}},
         doc([PEOPLE[0], PEOPLE[2], PEOPLE[1]])),
    case(SORT, doc(PEOPLE), {"$push": {"a": {"$each": [], "$sort": {"n": -1}}}},
         doc([PEOPLE[2], PEOPLE[0], PEOPLE[1]])),
    case(SORT, doc([{"x": 1, "y": 2}, {"x": 0, "y": 2}, {"x": 5, "y": 1}]),
         {"$push": {"a": {"$each": [], "$sort": {"y": 1, "x": -1}}}},
         doc([{"x": 5, "y": 1}, {"x": 1, "y": 2}, {"x": 0, "y": 2}])),
    case(SORT, doc([{"x": {"y": 2}}, {"x": {"y": 1}}]),
         {"$push": {"a": {"$each": [], "$sort": {"x.y": 1}}}},
         doc([{"x": {"y": 1}}, {"x": {"y": 2}}])),
    case(SORT, doc([{"x": 2}, 5, {"y": 1}, {"x": 1}]),
         {"$push": {"a": {"$each": [], "$sort": {"x": 1}}}},
         doc([5, {"y": 1}, {"x": 1}, {"x": 2}])),
    case(SORT, doc([1, 4]), {"$push": {"a": {"$each": [3], "$sort": -1, "$slice": 2}}},
         doc([4, 3])),
    case(SORT, doc(PEOPLE), {"$push": {"a": {
        "$each": [{"n": "d", "s": 7}], "$sort": {"s": -1}, "$slice": 2}}},
         doc([PEOPLE[1], {"n": "d", "s": 7}])),
    case(PUSH, doc(1), {"$push": {"a": 2}}, Fails(2,
         "The field 'a' must be an array but is of type int in document {_id: 1}")),
    case(PUSH, doc("x"), {"$push": {"a": {"$each": [2]}}}, Fails(2,
         "The field 'a' must be an array but is of type string in document {_id: 1}")),
    case(PUSH, doc(None), {"$push": {"a": 2}}, Fails(2,
         "The field 'a' must be an array but is of type null in document {_id: 1}")),
    case(PUSH, doc({"b": 1}), {"$push": {"a.b": 2}}, Fails(2,
         "The field 'a.b' must be an array but is of type int in document {_id: 1}")),
    case(PUSH, doc(1), {"$push": {"a.b": 2}}, Fails(28,
         "Cannot create field 'b' in element {a: 1}")),
    case(EACH, doc([1]), {"$push": {"a": {"$each": 2}}}, Fails(2,
         "The argument to $each in $push must be an array but it was of type: int")),
    case(EACH, doc([1]), {"$push": {"a": {"$each": [2], "$foo": 1}}}, Fails(2,
         "Unrecognized clause in $push: $foo")),
    case(EACH, doc([1]), {"$push": {"a": {"$each": [2], "foo": 1}}}, Fails(2,
         "Unrecognized clause in $push: foo")),
    case(SLICE, doc([1]), {"$push": {"a": {"$each": [2], "$slice": "x"}}}, Fails(2,
         "The value for $slice must be an integer value but was given type: string")),
    case(SLICE, doc([1]), {"$push": {"a": {"$each": [2], "$slice": 1.5}}}, Fails(2,
         "The value for $slice must be an integer value but was given type: double")),
    case(POSITION, doc([1]), {"$push": {"a": {"$each": [2], "$position": "x"}}}, Fails(2,
         "The value for $position must be an integer value, not of type: string")),
    case(POSITION, doc([1]), {"$push": {"a": {"$each": [2], "$position": 1.5}}}, Fails(2)),
    case(SORT, doc([1]), {"$push": {"a": {"$each": [2], "$sort": 2}}}, Fails(2,
         "The $sort element value must be either 1 or -1")),
    case(SORT, doc([1]), {"$push": {"a": {"$each": [2], "$sort": "x"}}}, Fails(2,
         "The $sort is invalid: use 1/-1 to sort the whole element, or {field:1/-1} to sort "
         "embedded fields")),
    case(SORT, doc([1]), {"$push": {"a": {"$each": [2], "$sort": {}}}}, Fails(2,
         "The $sort pattern is empty when it should be a set of fields.")),
    case(SORT, doc([1]), {"$push": {"a": {"$each": [2], "$sort": {"x": 0}}}}, Fails(2,
         "The $sort element value must be either 1 or -1")),
    case(SORT, doc([1]), {"$push": {"a": {"$each": [2], "$sort": {"": 1}}}}, Fails(2,
         "The $sort field cannot be empty")),
    case(SORT, doc([1]), {"$push": {"a": {"$each": [2], "$sort": {"x.": 1}}}}, Fails(2,
         "The $sort field is a dotted field but has an empty part: x.")),
    case(PUSH, {"_id": [1]}, {"$push": {"_id": 2}}, Fails(66)),
    case(PUSH, doc([1]), {"$pushAll": {"a": [2]}}, Fails(9,
         "Unknown modifier: $pushAll. Expected a valid update modifier or pipeline-style update "
         "specified as an array")),
]

ADD = "update/addToSet"
ADD_CASES: list[Case] = [
    case(ADD, doc([1]), {"$addToSet": {"a": 2}}, doc([1, 2])),
    case(ADD, doc([1, 2]), {"$addToSet": {"a": 2}}, SAME),
    case(ADD, doc([1, 2]), {"$addToSet": {"a": 2.0}}, SAME),
    case(ADD, doc([1, 2]), {"$addToSet": {"a": Int64(2)}}, SAME),
    case(ADD, doc([1, 2]), {"$addToSet": {"a": Decimal128("2.0")}}, SAME),
    case(ADD, doc([1]), {"$addToSet": {"a": True}}, doc([1, True])),
    case(ADD, doc([True]), {"$addToSet": {"a": 1}}, doc([True, 1])),
    case(ADD, doc([0]), {"$addToSet": {"a": False}}, doc([0, False])),
    case(ADD, doc(["x"]), {"$addToSet": {"a": "x"}}, SAME),
    case(ADD, doc(["x"]), {"$addToSet": {"a": "X"}}, doc(["x", "X"])),
    case(ADD, doc([Symbol("x")]), {"$addToSet": {"a": "x"}}, SAME),
    case(ADD, doc([None]), {"$addToSet": {"a": None}}, SAME),
    case(ADD, doc([{"x": 1, "y": 2}]), {"$addToSet": {"a": {"x": 1, "y": 2}}}, SAME),
    case(ADD, doc([{"x": 1, "y": 2}]), {"$addToSet": {"a": {"y": 2, "x": 1}}},
         doc([{"x": 1, "y": 2}, {"y": 2, "x": 1}])),
    case(ADD, doc([[1]]), {"$addToSet": {"a": [1]}}, SAME),
    case(ADD, doc([1]), {"$addToSet": {"a": [1, 2]}}, doc([1, [1, 2]])),
    case(ADD, {"_id": 1}, {"$addToSet": {"a": 1}}, doc([1])),
    case(ADD, {"_id": 1}, {"$addToSet": {"a.b": 1}}, doc({"b": [1]})),
    case(ADD, doc([]), {"$addToSet": {"a": 1}}, doc([1])),
    case(ADD, doc([1, 1]), {"$addToSet": {"a": 1}}, SAME),
    case(ADD, doc([1, 1]), {"$addToSet": {"a": 2}}, doc([1, 1, 2])),
    case(ADD, doc([1]), {"$addToSet": {"a": {"$each": [2, 3]}}}, doc([1, 2, 3])),
    case(ADD, doc([1]), {"$addToSet": {"a": {"$each": [1, 2, 2, 1]}}}, doc([1, 2])),
    case(ADD, doc([1]), {"$addToSet": {"a": {"$each": [2, 2.0]}}}, doc([1, 2])),
    case(ADD, {"_id": 1}, {"$addToSet": {"a": {"$each": [3, 1, 3]}}}, doc([3, 1])),
    case(ADD, doc([1]), {"$addToSet": {"a": {"$each": []}}}, SAME),
    case(ADD, {"_id": 1}, {"$addToSet": {"a": {"$each": []}}}, doc([])),
    case(ADD, doc([1]), {"$addToSet": {"a": {"b": 1, "$each": [2]}}},
         doc([1, {"b": 1, "$each": [2]}])),
    case(ADD, doc([[1]]), {"$addToSet": {"a.0": 2}}, doc([[1, 2]])),
    case(ADD, doc([float("nan")]), {"$addToSet": {"a": float("nan")}}, SAME),
    case(ADD, doc(1), {"$addToSet": {"a": 1}}, Fails(2,
         "Cannot apply $addToSet to a non-array field. Field named 'a' has a non-array type int")),
    case(ADD, doc({"b": "x"}), {"$addToSet": {"a.b": 1}}, Fails(2,
         "Cannot apply $addToSet to a non-array field. Field named 'b' has a non-array type "
         "string")),
    case(ADD, doc([1]), {"$addToSet": {"a": {"$each": 1}}}, Fails(14,
         "The argument to $each in $addToSet must be an array but it was of type int")),
    case(ADD, doc([1]), {"$addToSet": {"a": {"$each": [1], "$slice": 1}}}, Fails(2,
         "Found unexpected fields after $each in $addToSet: { $each: [ 1 ], $slice: 1 }")),
]

PULL = "update/pull"
RESULTS = [{"item": "A", "score": 5}, {"item": "B", "score": 8}, {"item": "C", "score": 8}]
NESTED = [{"item": "A", "answers": [{"q": 1, "a": 4}, {"q": 2, "a": 6}]},
          {"item": "B", "answers": [{"q": 1, "a": 8}, {"q": 2, "a": 9}]}]  # fmt: skip
PULL_CASES: list[Case] = [
    case(PULL, doc([1, 2, 1]), {"$pull": {"a": 1}}, doc([2])),
    case(PULL, doc([1, 2, 1]), {"$pull": {"a": 3}}, SAME),
    case(PULL, doc([]), {"$pull": {"a": 3}}, SAME),
    case(PULL, {"_id": 1}, {"$pull": {"a": 3}}, SAME),
    case(PULL, {"_id": 1}, {"$pull": {"a.b.c": 3}}, SAME),
    case(PULL, doc([1, 2.0, Int64(1)]), {"$pull": {"a": 1.0}}, doc([2.0])),
    case(PULL, doc([1, True]), {"$pull": {"a": True}}, doc([1])),
    case(PULL, doc([None, 1]), {"$pull": {"a": None}}, doc([1])),
    case(PULL, doc([1, 5, 9]), {"$pull": {"a": {"$gte": 5}}}, doc([1])),
    case(PULL, doc([1, 5, 9]), {"$pull": {"a": {"$gt": 1, "$lt": 9}}}, doc([1, 9])),
    case(PULL, doc([1, 5, 9]), {"$pull": {"a": {"$in": [1, 9]}}}, doc([5])),
    case(PULL, doc([1, 5, 9]), {"$pull": {"a": {"$nin": [1, 9]}}}, doc([1, 9])),
    case(PULL, doc([1, 5, 9]), {"$pull": {"a": {"$ne": 5}}}, doc([5])),
    case(PULL, doc([1, "x"]), {"$pull": {"a": {"$type": "string"}}}, doc([1])),
    case(PULL, doc([1, "x"]), {"$pull": {"a": {"$exists": True}}}, doc([])),
    case(PULL, doc(["apple", "bar"]), {"$pull": {"a": Regex("^a")}}, doc(["bar"])),
    case(PULL, doc(["apple", "bar"]), {"$pull": {"a": {"$regex": "^A", "$options": "i"}}},
         doc(["bar"])),
    case(PULL, doc([[1, 2], [3], 1]), {"$pull": {"a": [1, 2]}}, doc([[3], 1])),
    case(PULL, doc(RESULTS), {"$pull": {"a": {"score": 8, "item": "B"}}},
         doc([RESULTS[0], RESULTS[2]])),
    case(PULL, doc(RESULTS), {"$pull": {"a": {"item": "B", "score": 8}}},
         doc([RESULTS[0], RESULTS[2]])),
    case(PULL, doc(RESULTS), {"$pull": {"a": {"score": {"$gte": 8}}}}, doc([RESULTS[0]])),
    case(PULL, doc(RESULTS), {"$pull": {"a": {"$or": [{"item": "A"}, {"item": "C"}]}}},
         doc([RESULTS[1]])),
    case(PULL, doc([*RESULTS, 5]), {"$pull": {"a": {"missing": None}}}, doc([5])),
    case(PULL, doc([*RESULTS, 5]), {"$pull": {"a": {}}}, doc([5])),
    case(PULL, doc(NESTED),
         {"$pull": {"a": {"answers": {"$elemMatch": {"q": 2, "a": {"$gte": 8}}}}}},
         doc([NESTED[0]])),
    case(PULL, doc([{"b": [1, 2]}]), {"$pull": {"a.0.b": 1}}, doc([{"b": [2]}])),
    case(PULL, doc([{"b": [1, 2]}, {"b": [1]}]), {"$pull": {"a.$[].b": 1}},
         doc([{"b": [2]}, {"b": []}])),
    case(PULL, doc({"b": [1, 2]}), {"$pull": {"a.b": 2}}, doc({"b": [1]})),
    case(PULL, doc(1), {"$pull": {"a": 1}}, Fails(2, "Cannot apply $pull to a non-array value")),
    case(PULL, doc(1), {"$pull": {"a.b": 1}}, Fails(28,
         "Cannot use the part (b) of (a.b) to traverse the element ({a: 1})")),
    case(PULL, doc([1]), {"$pull": {"a.b.c": 1}}, Fails(28,
         "Cannot use the part (b) of (a.b.c) to traverse the element ({a: [ 1 ]})")),
    case(PULL, doc([1]), {"$pull": {"a": {"$foo": 1}}}, Fails(2)),
    case(PULL, doc([[1, 5], [9]]), {"$pull": {"a": {"$elemMatch": {"$gt": 4, "$lt": 6}}}},
         doc([[9]])),
    case(PULL, doc([[1, 5], [9]]), {"$pull": {"a": {"$size": 1}}}, doc([[1, 5]])),
]

PULL_ALL = "update/pullAll"
PULL_ALL_CASES: list[Case] = [
    case(PULL_ALL, doc([0, 2, 5, 5, 1, 0]), {"$pullAll": {"a": [0, 5]}}, doc([2, 1])),
    case(PULL_ALL, doc([1, 2]), {"$pullAll": {"a": []}}, SAME),
    case(PULL_ALL, doc([1, 2]), {"$pullAll": {"a": [7]}}, SAME),
    case(PULL_ALL, doc([1, 2.0]), {"$pullAll": {"a": [2]}}, doc([1])),
    case(PULL_ALL, doc([{"x": 1, "y": 2}, {"y": 2, "x": 1}]),
         {"$pullAll": {"a": [{"x": 1, "y": 2}]}}, doc([{"y": 2, "x": 1}])),
    case(PULL_ALL, doc([[1], 1]), {"$pullAll": {"a": [[1]]}}, doc([1])),
    case(PULL_ALL, doc(["a", Regex("a")]), {"$pullAll": {"a": [Regex("a")]}}, doc(["a"])),
    case(PULL_ALL, {"_id": 1}, {"$pullAll": {"a": [1]}}, SAME),
    case(PULL_ALL, doc([1]), {"$pullAll": {"a": 1}}, Fails(2,
         "$pullAll requires an array argument but was given a int")),
    case(PULL_ALL, doc("x"), {"$pullAll": {"a": [1]}}, Fails(2,
         "Cannot apply $pull to a non-array value")),
    case(PULL_ALL, doc("x"), {"$pullAll": {"a.b": [1]}}, Fails(28,
         'Cannot use the part (b) of (a.b) to traverse the element ({a: "x"})')),
]

POP = "update/pop"
POP_CASES: list[Case] = [
    case(POP, doc([1, 2, 3]), {"$pop": {"a": 1}}, doc([1, 2])),
    case(POP, doc([1, 2, 3]), {"$pop": {"a": -1}}, doc([2, 3])),
    case(POP, doc([1, 2, 3]), {"$pop": {"a": 1.0}}, doc([1, 2])),
    case(POP, doc([1, 2, 3]), {"$pop": {"a": Int64(-1)}}, doc([2, 3])),
    case(POP, doc([1]), {"$pop": {"a": 1}}, doc([])),
    case(POP, doc([]), {"$pop": {"a": 1}}, SAME),
    case(POP, {"_id": 1}, {"$pop": {"a": 1}}, SAME),
    case(POP, {"_id": 1}, {"$pop": {"a.b": 1}}, SAME),
    case(POP, doc([[1, 2], 3]), {"$pop": {"a.0": 1}}, doc([[1], 3])),
    case(POP, doc([[1, 2], 3]), {"$pop": {"a.7": 1}}, SAME),
    case(POP, doc({"b": [1, 2]}), {"$pop": {"a.b": -1}}, doc({"b": [2]})),
    case(POP, doc(1), {"$pop": {"a": 1}}, Fails(14,
         "Path 'a' contains an element of non-array type 'int'")),
    case(POP, doc({"b": "x"}), {"$pop": {"a.b": 1}}, Fails(14,
         "Path 'a.b' contains an element of non-array type 'string'")),
    case(POP, doc("foo"), {"$pop": {"a.b": 1}}, Fails(28,
         'Cannot use the part (b) of (a.b) to traverse the element ({a: "foo"})')),
    case(POP, doc([1]), {"$pop": {"a": 0}}, Fails(9, "$pop expects 1 or -1, found: 0")),
    case(POP, doc([1]), {"$pop": {"a": 2}}, Fails(9, "$pop expects 1 or -1, found: 2")),
    case(POP, doc([1]), {"$pop": {"a": "x"}}, Fails(9, 'Expected a number in: a: "x"')),
    case(POP, doc([1]), {"$pop": {"a": 1.5}}, Fails(9, "Expected an integer: a: 1.5")),
]

CASES = PUSH_CASES + ADD_CASES + PULL_CASES + PULL_ALL_CASES + POP_CASES


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.id)
def test_array_modifier(one: Case) -> None:
    check(one)
