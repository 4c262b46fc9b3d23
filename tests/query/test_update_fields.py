"""Field modifiers: `$set`, `$unset`, `$inc`, `$mul`, `$min`, `$max`, `$rename`, dates, `$bit`."""

from __future__ import annotations

from typing import Any

import pytest
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.regex import Regex
from bson.timestamp import Timestamp
from update_kit import CLUSTER_TIME, NOW, SAME, Case, Fails, case, check

INT64_MAX = Int64(2**63 - 1)
INT64_MIN = Int64(-(2**63))
D = Decimal128


def doc(**fields: Any) -> dict[str, Any]:
    return {"_id": 1, **fields}


SET = "update/set"
SET_CASES: list[Case] = [
    case(SET, doc(a=1), {"$set": {"a": 2}}, doc(a=2)),
    case(SET, doc(), {"$set": {"a": 2}}, doc(a=2)),
    case(SET, doc(a=1), {"$set": {"a": 1}}, SAME),
    case(SET, doc(a=1), {"$set": {"a": 1.0}}, doc(a=1.0)),
    case(SET, doc(a=1), {"$set": {"a": Int64(1)}}, doc(a=Int64(1))),
    case(SET, doc(a=1), {"$set": {"a": True}}, doc(a=True)),
    case(SET, doc(a=True), {"$set": {"a": 1}}, doc(a=1)),
    case(SET, doc(a=0.0), {"$set": {"a": -0.0}}, doc(a=-0.0)),
    case(SET, doc(a=D("1.0")), {"$set": {"a": D("1.00")}}, doc(a=D("1.00"))),
    case(SET, doc(a=None), {"$set": {"a": None}}, SAME),
    case(SET, doc(), {"$set": {"a": None}}, doc(a=None)),
    case(SET, doc(a=1), {"$set": {}}, SAME),
    case(SET, doc(a=1), {"$set": {}, "$inc": {}}, SAME),
    case(SET, doc(a={"b": 1}), {"$set": {"a.b": 2}}, doc(a={"b": 2})),
    case(SET, doc(a={"b": 1}), {"$set": {"a.c": 2}}, doc(a={"b": 1, "c": 2})),
    case(SET, doc(), {"$set": {"a.b.c": 2}}, doc(a={"b": {"c": 2}})),
    case(SET, doc(a={}), {"$set": {"a.b.c": 2}}, doc(a={"b": {"c": 2}})),
    case(SET, doc(a={"b": 1, "c": 2}), {"$set": {"a": {"c": 2}}}, doc(a={"c": 2})),
    case(SET, doc(a={"b": 1, "c": 2}), {"$set": {"a": {"c": 2, "b": 1}}},
         doc(a={"c": 2, "b": 1})),
    case(SET, doc(a={"b": 1, "c": 2}), {"$set": {"a": {"b": 1, "c": 2}}}, SAME),
    case(SET, doc(a=[1, 2]), {"$set": {"a.0": 5}}, doc(a=[5, 2])),
    case(SET, doc(a=[1, 2]), {"$set": {"a.2": 5}}, doc(a=[1, 2, 5])),
    case(SET, doc(a=[1, 2]), {"$set": {"a.4": 5}}, doc(a=[1, 2, None, None, 5])),
    case(SET, doc(a=[]), {"$set": {"a.0.b": 5}}, doc(a=[{"b": 5}])),
    case(SET, doc(a=[{"b": 1}]), {"$set": {"a.0.b": 5}}, doc(a=[{"b": 5}])),
    case(SET, doc(a=[{"b": 1}]), {"$set": {"a.0.c": 5}}, doc(a=[{"b": 1, "c": 5}])),
    case(SET, doc(a={}), {"$set": {"a.0": 5}}, doc(a={"0": 5})),
    case(SET, doc(), {"$set": {"a.0": 5}}, doc(a={"0": 5})),
    case(SET, doc(a=[[1], [2]]), {"$set": {"a.1.0": 5}}, doc(a=[[1], [5]])),
    case(SET, doc(b=0), {"$set": {"z": 1, "a": 2}}, doc(b=0, a=2, z=1)),
    case(SET, doc(), {"$set": {"10": 1, "2": 2, "a": 3}}, doc(**{"2": 2, "10": 1, "a": 3})),
    case(SET, doc(a=[0]), {"$set": {"a.10": 1, "a.2": 2}},
         doc(a=[0, None, 2, None, None, None, None, None, None, None, 1])),
    case(SET, doc(z=1, a=2), {"$set": {"a": 5, "z": 6}}, doc(z=6, a=5)),
    case(SET, doc(), {"$inc": {"z": 1}, "$set": {"a": 2}, "$push": {"m": 3}},
         doc(a=2, m=[3], z=1)),
    case(SET, doc(), {"$set": {"a": {"$inc": 1}}}, doc(a={"$inc": 1})),
    case(SET, doc(), {"$set": {"a": {"b.c": 1}}}, doc(a={"b.c": 1})),
    case(SET, doc(), {"$set": {"a": [{"$b": 1}]}}, doc(a=[{"$b": 1}])),
    case(SET, doc(), {"$set": {"a.$b": 1}}, doc(a={"$b": 1})),
    case(SET, doc(), {"$set": {"a": Regex("x", "i")}}, doc(a=Regex("x", "i"))),
    case(SET, doc(), {"$set": {"a": MinKey(), "b": MaxKey()}}, doc(a=MinKey(), b=MaxKey())),
    case(SET, doc(), {"$set": {"a": Code("f", {"x": 1})}}, doc(a=Code("f", {"x": 1}))),
    case(SET, doc(a=float("nan")), {"$set": {"a": float("nan")}}, SAME),
    case(SET, doc(a=1), {"$set": {"_id": 1, "a": 2}}, doc(a=2)),
    case(SET, doc(), {"$set": {"_id": 1}}, SAME),
    case(SET, doc(), {"$set": {"_id": 2}}, Fails(66,
         "Performing an update on the path '_id' would modify the immutable field '_id'")),
    case(SET, {"_id": {"a": 1}}, {"$set": {"_id.a": 1}}, SAME),
    case(SET, {"_id": {"a": 1}}, {"$set": {"_id.a": 2}}, Fails(66,
         "Performing an update on the path '_id.a' would modify the immutable field '_id'")),
    case(SET, {"_id": {"a": 1}}, {"$set": {"_id.b": 2}}, Fails(66,
         "Updating the path '_id' to _id: { a: 1, b: 2 } would modify the immutable field '_id'")),
    case(SET, doc(a=1), {"$set": {"a.b": 2}}, Fails(28,
         "Cannot create field 'b' in element {a: 1}")),
    case(SET, doc(a=None), {"$set": {"a.b.c": 2}}, Fails(28,
         "Cannot create field 'b' in element {a: null}")),
    case(SET, doc(a={"b": "x"}), {"$set": {"a.b.c.d": 2}}, Fails(28,
         "Cannot create field 'c' in element {b: \"x\"}")),
    case(SET, doc(a=[1]), {"$set": {"a.b": 2}}, Fails(28,
         "Cannot create field 'b' in element {a: [ 1 ]}")),
    case(SET, doc(a=[1]), {"$set": {"a.0.b": 2}}, Fails(28,
         "Cannot create field 'b' in element {0: 1}")),
    case(SET, doc(a=[1]), {"$set": {"a.01": 2}}, Fails(28,
         "Cannot create field '01' in element {a: [ 1 ]}")),
    case(SET, doc(a=[1]), {"$set": {"a.-1": 2}}, Fails(28)),
    case(SET, doc(a=[]), {"$set": {"a.1500001": 2}}, Fails(34,
         "can't backfill more than 1500000 elements")),
    case(SET, doc(), {"$set": {"$a": 1}}, Fails(52,
         "The dollar ($) prefixed field '$a' in '$a' is not allowed in the context of an update's "
         "replacement document. Consider using an aggregation pipeline with $replaceWith.")),
    case(SET, doc(), {"$set": {"$a.b": 1}}, Fails(52)),
    case(SET, {"_id": 1, "$a": 1}, {"$set": {"$a": 2}}, Fails(52)),
    case(SET, {"_id": 1, "$a": 1}, {"$unset": {"$a": 2}}, {"_id": 1}),
    case(SET, {"_id": 1, "$a": 1}, {"$rename": {"$a": "a"}}, {"_id": 1, "a": 1}),
    case(SET, doc(), {"$set": {"": 1}}, Fails(56, "An empty update path is not valid.")),
    case(SET, doc(), {"$set": {"a.": 1}}, Fails(56,
         "The update path 'a.' contains an empty field name, which is not allowed.")),
    case(SET, doc(), {"$set": {".a": 1}}, Fails(56)),
    case(SET, doc(), {"$set": {"a..b": 1}}, Fails(56)),
]

UNSET = "update/unset"
UNSET_CASES: list[Case] = [
    case(UNSET, doc(a=1, b=2), {"$unset": {"a": ""}}, doc(b=2)),
    case(UNSET, doc(a=1), {"$unset": {"a": None}}, doc()),
    case(UNSET, doc(a=1), {"$unset": {"a": {"x": 1}}}, doc()),
    case(UNSET, doc(b=1), {"$unset": {"a": ""}}, SAME),
    case(UNSET, doc(a={"b": 1, "c": 2}), {"$unset": {"a.b": ""}}, doc(a={"c": 2})),
    case(UNSET, doc(a={"b": 1}), {"$unset": {"a.b": ""}}, doc(a={})),
    case(UNSET, doc(a={"b": 1}), {"$unset": {"a.c": ""}}, SAME),
    case(UNSET, doc(), {"$unset": {"a.b.c": ""}}, SAME),
    case(UNSET, doc(a=5), {"$unset": {"a.b": ""}}, SAME),
    case(UNSET, doc(a=[1, 2]), {"$unset": {"a.b": ""}}, SAME),
    case(UNSET, doc(a=[1, 2, 3]), {"$unset": {"a.1": ""}}, doc(a=[1, None, 3])),
    case(UNSET, doc(a=[1, 2, 3]), {"$unset": {"a.7": ""}}, SAME),
    case(UNSET, doc(a=[{"b": 1, "c": 2}]), {"$unset": {"a.0.b": ""}}, doc(a=[{"c": 2}])),
    case(UNSET, doc(a=1, b=2, c=3), {"$unset": {"c": "", "a": ""}}, doc(b=2)),
    case(UNSET, doc(a=1), {"$unset": {"_id": ""}}, Fails(66,
         "Performing an update on the path '_id' would modify the immutable field '_id'")),
    case(UNSET, {"_id": {"a": 1, "b": 2}}, {"$unset": {"_id.a": ""}}, Fails(66)),
]

INC = "update/inc"
INC_CASES: list[Case] = [
    case(INC, doc(a=1), {"$inc": {"a": 2}}, doc(a=3)),
    case(INC, doc(a=1), {"$inc": {"a": -2}}, doc(a=-1)),
    case(INC, doc(), {"$inc": {"a": 2}}, doc(a=2)),
    case(INC, doc(), {"$inc": {"a": Int64(2)}}, doc(a=Int64(2))),
    case(INC, doc(), {"$inc": {"a.b": 2.5}}, doc(a={"b": 2.5})),
    case(INC, doc(a=1), {"$inc": {"a": 0}}, SAME),
    case(INC, doc(a=1), {"$inc": {"a": Int64(0)}}, doc(a=Int64(1))),
    case(INC, doc(a=1), {"$inc": {"a": 0.0}}, doc(a=1.0)),
    case(INC, doc(a=Int64(1)), {"$inc": {"a": 0}}, SAME),
    case(INC, doc(a=1.5), {"$inc": {"a": 0}}, SAME),
    case(INC, doc(a=1), {"$inc": {"a": 1.5}}, doc(a=2.5)),
    case(INC, doc(a=1.5), {"$inc": {"a": 1}}, doc(a=2.5)),
    case(INC, doc(a=1.5), {"$inc": {"a": Int64(1)}}, doc(a=2.5)),
    case(INC, doc(a=2**31 - 1), {"$inc": {"a": 1}}, doc(a=Int64(2**31))),
    case(INC, doc(a=-(2**31)), {"$inc": {"a": -1}}, doc(a=Int64(-(2**31) - 1))),
    case(INC, doc(a=Int64(5)), {"$inc": {"a": 1}}, doc(a=Int64(6))),
    case(INC, doc(a=5), {"$inc": {"a": Int64(1)}}, doc(a=Int64(6))),
    case(INC, doc(a=INT64_MAX), {"$inc": {"a": 1}}, Fails(2,
         "Failed to apply $inc operations to current value "
         "((NumberLong)9223372036854775807) for document {_id: 1}")),
    case(INC, doc(a=INT64_MIN), {"$inc": {"a": -1}}, Fails(2)),
    case(INC, doc(a=INT64_MAX), {"$inc": {"a": 1.0}}, doc(a=9.223372036854775807e18)),
    case(INC, doc(a=D("1.1")), {"$inc": {"a": 1}}, doc(a=D("2.1"))),
    case(INC, doc(a=1), {"$inc": {"a": D("1.1")}}, doc(a=D("2.1"))),
    case(INC, doc(a=INT64_MAX), {"$inc": {"a": D("1")}}, doc(a=D("9223372036854775808"))),
    case(INC, doc(a=0.1), {"$inc": {"a": 0.2}}, doc(a=0.30000000000000004)),
    case(INC, doc(a=float("inf")), {"$inc": {"a": 1}}, SAME),
    case(INC, doc(a=[1, 2]), {"$inc": {"a.1": 5}}, doc(a=[1, 7])),
    case(INC, doc(a=[1]), {"$inc": {"a.2": 5}}, doc(a=[1, None, 5])),
    case(INC, doc(a="x"), {"$inc": {"a": 1}}, Fails(14,
         "Cannot apply $inc to a value of non-numeric type. {_id: 1} has the field 'a' of "
         "non-numeric type string")),
    case(INC, doc(a=None), {"$inc": {"a": 1}}, Fails(14,
         "Cannot apply $inc to a value of non-numeric type. {_id: 1} has the field 'a' of "
         "non-numeric type null")),
    case(INC, {"a": True}, {"$inc": {"a": 1}}, Fails(14,
         "Cannot apply $inc to a value of non-numeric type. {no id} has the field 'a' of "
         "non-numeric type bool")),
    case(INC, doc(a={"b": [1]}), {"$inc": {"a.b": 1}}, Fails(14,
         "Cannot apply $inc to a value of non-numeric type. {_id: 1} has the field 'b' of "
         "non-numeric type array")),
    case(INC, doc(a=1), {"$inc": {"a": "x"}}, Fails(14,
         'Cannot increment with non-numeric argument: {a: "x"}')),
    case(INC, doc(a=1), {"$inc": {"a": None}}, Fails(14,
         "Cannot increment with non-numeric argument: {a: null}")),
    case(INC, doc(a=1), {"$inc": {"a": True}}, Fails(14)),
    case(INC, doc(a=1), {"$inc": {"a": {"b": 1}}}, Fails(14,
         "Cannot increment with non-numeric argument: {a: { b: 1 }}")),
    case(INC, doc(a=1), {"$inc": {"_id": 1}}, Fails(66)),
    case(INC, doc(a=1), {"$inc": {"_id": 0}}, SAME),
    case(INC, doc(a=1), {"$inc": {"a.b": 1}}, Fails(28,
         "Cannot create field 'b' in element {a: 1}")),
]

MUL = "update/mul"
MUL_CASES: list[Case] = [
    case(MUL, doc(a=3), {"$mul": {"a": 2}}, doc(a=6)),
    case(MUL, doc(), {"$mul": {"a": 2}}, doc(a=0)),
    case(MUL, doc(), {"$mul": {"a": Int64(2)}}, doc(a=Int64(0))),
    case(MUL, doc(), {"$mul": {"a": 2.5}}, doc(a=0.0)),
    case(MUL, doc(), {"$mul": {"a": D("2")}}, doc(a=D("0"))),
    case(MUL, doc(a=3), {"$mul": {"a": 1}}, SAME),
    case(MUL, doc(a=3), {"$mul": {"a": 1.0}}, doc(a=3.0)),
    case(MUL, doc(a=3), {"$mul": {"a": Int64(1)}}, doc(a=Int64(3))),
    case(MUL, doc(a=3), {"$mul": {"a": 2.5}}, doc(a=7.5)),
    case(MUL, doc(a=10.99), {"$mul": {"a": 1.25}}, doc(a=10.99 * 1.25)),
    case(MUL, doc(a=2**30), {"$mul": {"a": 4}}, doc(a=Int64(2**32))),
    case(MUL, doc(a=Int64(2**62)), {"$mul": {"a": 2}}, Fails(2,
         "Failed to apply $mul operations to current value "
         "((NumberLong)4611686018427387904) for document {_id: 1}")),
    case(MUL, doc(a=D("1.5")), {"$mul": {"a": 2}}, doc(a=D("3.0"))),
    case(MUL, doc(a="x"), {"$mul": {"a": 2}}, Fails(14,
         "Cannot apply $mul to a value of non-numeric type. {_id: 1} has the field 'a' of "
         "non-numeric type string")),
    case(MUL, doc(a=1), {"$mul": {"a": "x"}}, Fails(14,
         'Cannot multiply with non-numeric argument: {a: "x"}')),
    case(MUL, doc(), {"$mul": {"a.b": 2}}, doc(a={"b": 0})),
    case(MUL, doc(a=0), {"$mul": {"a": 5}}, SAME),
]

MIN = "update/min"
MAX = "update/max"
BOUND_CASES: list[Case] = [
    case(MIN, doc(a=5), {"$min": {"a": 3}}, doc(a=3)),
    case(MIN, doc(a=5), {"$min": {"a": 7}}, SAME),
    case(MIN, doc(a=5), {"$min": {"a": 5}}, SAME),
    case(MIN, doc(a=5), {"$min": {"a": 5.0}}, SAME),
    case(MIN, doc(), {"$min": {"a": 7}}, doc(a=7)),
    case(MIN, doc(), {"$min": {"a.b": 7}}, doc(a={"b": 7})),
    case(MIN, doc(a=5), {"$min": {"a": None}}, doc(a=None)),
    case(MIN, doc(a=None), {"$min": {"a": 5}}, SAME),
    case(MIN, doc(a="x"), {"$min": {"a": 5}}, doc(a=5)),
    case(MIN, doc(a=5), {"$min": {"a": "x"}}, SAME),
    case(MIN, doc(a=5), {"$min": {"a": MinKey()}}, doc(a=MinKey())),
    case(MIN, doc(a=5), {"$min": {"a": float("nan")}}, doc(a=float("nan"))),
    case(MIN, doc(a=D("1.1")), {"$min": {"a": 1.1}}, SAME),
    case(MIN, doc(a=DatetimeMS(5)), {"$min": {"a": DatetimeMS(3)}}, doc(a=DatetimeMS(3))),
    case(MIN, doc(a=[3, 1]), {"$min": {"a": [2]}}, doc(a=[2])),
    case(MIN, doc(a={"b": 2}), {"$min": {"a": {"b": 1}}}, doc(a={"b": 1})),
    case(MIN, doc(a=[5, 9]), {"$min": {"a.1": 7}}, doc(a=[5, 7])),
    case(MIN, doc(a=1), {"$min": {"a.b": 7}}, Fails(28)),
    case(MIN, doc(), {"$min": {"_id": 0}}, Fails(66)),
    case(MIN, doc(), {"$min": {"_id": 5}}, SAME),
    case(MAX, doc(a=5), {"$max": {"a": 7}}, doc(a=7)),
    case(MAX, doc(a=5), {"$max": {"a": 3}}, SAME),
    case(MAX, doc(a=5), {"$max": {"a": 5}}, SAME),
    case(MAX, doc(a=5), {"$max": {"a": Int64(5)}}, SAME),
    case(MAX, doc(), {"$max": {"a": 7}}, doc(a=7)),
    case(MAX, doc(a=5), {"$max": {"a": None}}, SAME),
    case(MAX, doc(a=None), {"$max": {"a": 5}}, doc(a=5)),
    case(MAX, doc(a=5), {"$max": {"a": "x"}}, doc(a="x")),
    case(MAX, doc(a="abc"), {"$max": {"a": "abd"}}, doc(a="abd")),
    case(MAX, doc(a="abc"), {"$max": {"a": "ABD"}}, SAME),
    case(MAX, doc(a=True), {"$max": {"a": 9}}, SAME),
    case(MAX, doc(a=DatetimeMS(5)), {"$max": {"a": DatetimeMS(9)}}, doc(a=DatetimeMS(9))),
    case(MAX, doc(a=DatetimeMS(5)), {"$max": {"a": Timestamp(1, 1)}}, doc(a=Timestamp(1, 1))),
    case(MAX, doc(a=Int64(2**53)), {"$max": {"a": Int64(2**53 + 1)}}, doc(a=Int64(2**53 + 1))),
    case(MAX, doc(a=float(2**53)), {"$max": {"a": Int64(2**53 + 1)}}, doc(a=Int64(2**53 + 1))),
    case(MAX, doc(a=1), {"$max": {"a.b": 7}}, Fails(28)),
]

RENAME = "update/rename"
RENAME_CASES: list[Case] = [
    case(RENAME, doc(a=1, b=2), {"$rename": {"a": "c"}}, doc(b=2, c=1)),
    case(RENAME, doc(a=1, b=2), {"$rename": {"a": "b"}}, doc(b=1)),
    case(RENAME, doc(a=1, b=1), {"$rename": {"a": "b"}}, doc(b=1)),
    case(RENAME, doc(a=1), {"$rename": {"x": "y"}}, SAME),
    case(RENAME, doc(a=1, y=2), {"$rename": {"x": "y"}}, SAME),
    case(RENAME, doc(a={"b": 1, "c": 2}), {"$rename": {"a.b": "a.d"}}, doc(a={"c": 2, "d": 1})),
    case(RENAME, doc(a={"b": 1}), {"$rename": {"a.b": "b"}}, doc(a={}, b=1)),
    case(RENAME, doc(a={"b": 1}), {"$rename": {"a.b": "c.d.e"}}, doc(a={}, c={"d": {"e": 1}})),
    case(RENAME, doc(a=1), {"$rename": {"a": "b.c"}}, doc(b={"c": 1})),
    case(RENAME, doc(a=[1, 2]), {"$rename": {"a": "b"}}, doc(b=[1, 2])),
    case(RENAME, doc(a=1, b=2), {"$rename": {"a": "x", "b": "y"}}, doc(x=1, y=2)),
    case(RENAME, doc(a=1, b=2), {"$rename": {"a": "y", "b": "x"}}, doc(x=2, y=1)),
    case(RENAME, doc(a=1), {"$rename": {"a": "b"}, "$set": {"c": 3}}, doc(b=1, c=3)),
    case(RENAME, doc(a={}), {"$rename": {"a.x": "y"}}, SAME),
    case(RENAME, doc(), {"$rename": {"a.b.c": "y"}}, SAME),
    case(RENAME, doc(a=1), {"$rename": {"a": "a"}}, Fails(2,
         'The source and target field for $rename must differ: a: "a"')),
    case(RENAME, doc(a=1), {"$rename": {"a": "a.b"}}, Fails(2,
         'The source and target field for $rename must not be on the same path: a: "a.b"')),
    case(RENAME, doc(a=1), {"$rename": {"a.b": "a"}}, Fails(2,
         'The source and target field for $rename must not be on the same path: a.b: "a"')),
    case(RENAME, doc(a=1), {"$rename": {"a": 5}}, Fails(2,
         "The 'to' field for $rename must be a string: a: 5")),
    case(RENAME, doc(a=1), {"$rename": {"a": ""}}, Fails(56)),
    case(RENAME, doc(a=1), {"$rename": {"a": "b\0c"}}, Fails(2,
         "The 'to' field for $rename cannot contain an embedded null byte")),
    case(RENAME, doc(a=1), {"$rename": {"a": "b."}}, Fails(56)),
    case(RENAME, doc(a=[1]), {"$rename": {"a.$[]": "b"}}, Fails(2,
         "The source field for $rename may not be dynamic: a.$[]")),
    case(RENAME, doc(a=[1]), {"$rename": {"b": "a.$"}}, Fails(2,
         "The destination field for $rename may not be dynamic: a.$")),
    case(RENAME, doc(a=[{"b": 1}]), {"$rename": {"a.0.b": "c"}}, Fails(2,
         "The source field cannot be an array element, 'a.0.b' in doc with _id: 1 has an array "
         "field called 'a'")),
    case(RENAME, doc(a=[1], b=2), {"$rename": {"b": "a.0"}}, Fails(2,
         "The destination field cannot be an array element, 'a.0' in doc with _id: 1 has an array "
         "field called 'a'")),
    case(RENAME, doc(a=[1], b=2), {"$rename": {"b": "a.5"}}, Fails(2,
         "The destination field cannot be an array element, 'a.5' in doc with _id: 1 has an array "
         "field called 'a'")),
    case(RENAME, doc(a=5), {"$rename": {"a.b": "c"}}, Fails(28,
         "Cannot use the part (b) of (a.b) to traverse the element ({a: 5})")),
    case(RENAME, doc(a=[{"b": 1}]), {"$rename": {"a.b": "c"}}, Fails(28,
         "Cannot use the part (b) of (a.b) to traverse the element ({a: [ { b: 1 } ]})")),
    case(RENAME, doc(a=5, b=1), {"$rename": {"b": "a.c"}}, Fails(28,
         "Cannot create field 'c' in element {a: 5}")),
    case(RENAME, doc(a=1), {"$rename": {"_id": "b"}}, Fails(66)),
    case(RENAME, doc(a=2), {"$rename": {"a": "_id"}}, Fails(66)),
    case(RENAME, doc(a=1), {"$rename": {"a": "b"}, "$set": {"a": 1}}, Fails(40,
         "Updating the path 'a' would create a conflict at 'a'")),
    case(RENAME, doc(a=1), {"$rename": {"a": "b"}, "$set": {"b": 1}}, Fails(40,
         "Updating the path 'b' would create a conflict at 'b'")),
    case(RENAME, doc(a=1), {"$rename": {"a": "b", "b": "c"}}, Fails(40,
         "Updating the path 'b' would create a conflict at 'b'")),
]

DATE = "update/currentDate"
SECONDS = Timestamp(1_700_000_000, 7)
DATE_CASES: list[Case] = [
    case(DATE, doc(), {"$currentDate": {"a": True}}, doc(a=NOW)),
    case(DATE, doc(), {"$currentDate": {"a": False}}, doc(a=NOW)),
    case(DATE, doc(a=1), {"$currentDate": {"a": {"$type": "date"}}}, doc(a=NOW)),
    case(DATE, doc(a=1), {"$currentDate": {"a": {"$type": "timestamp"}}}, doc(a=CLUSTER_TIME)),
    case(DATE, doc(), {"$currentDate": {"a.b": True}}, doc(a={"b": NOW})),
    case(DATE, doc(a=[1]), {"$currentDate": {"a.0": True}}, doc(a=[NOW])),
    case(DATE, doc(), {"$currentDate": {"a": 1}}, Fails(2,
         "int is not valid type for $currentDate. Please use a boolean ('true') or a $type "
         "expression ({$type: 'timestamp/date'}).")),
    case(DATE, doc(), {"$currentDate": {"a": "x"}}, Fails(2, "string is not valid type")),
    case(DATE, doc(), {"$currentDate": {"a": {"$type": "x"}}}, Fails(2,
         "The '$type' string field is required to be 'date' or 'timestamp': "
         "{$currentDate: {field : {$type: 'date'}}}")),
    case(DATE, doc(), {"$currentDate": {"a": {"$type": 5}}}, Fails(2, "The '$type' string")),
    case(DATE, doc(), {"$currentDate": {"a": {}}}, Fails(2, "The '$type' string")),
    case(DATE, doc(), {"$currentDate": {"a": {"x": 1}}}, Fails(2,
         "Unrecognized $currentDate option: x")),
    case(DATE, doc(), {"$currentDate": {"_id": True}}, Fails(66)),
]

BIT = "update/bit"
BIT_CASES: list[Case] = [
    case(BIT, doc(a=13), {"$bit": {"a": {"and": 10}}}, doc(a=8)),
    case(BIT, doc(a=3), {"$bit": {"a": {"or": 5}}}, doc(a=7)),
    case(BIT, doc(a=1), {"$bit": {"a": {"xor": 5}}}, doc(a=4)),
    case(BIT, doc(a=1), {"$bit": {"a": {"or": 6, "and": 12}}}, doc(a=4)),
    case(BIT, doc(a=1), {"$bit": {"a": {"and": 12, "or": 6}}}, doc(a=6)),
    case(BIT, doc(a=7), {"$bit": {"a": {"and": 7}}}, SAME),
    case(BIT, doc(), {"$bit": {"a": {"or": 5}}}, doc(a=5)),
    case(BIT, doc(), {"$bit": {"a": {"and": 5}}}, doc(a=0)),
    case(BIT, doc(), {"$bit": {"a": {"or": Int64(5)}}}, doc(a=Int64(5))),
    case(BIT, doc(a=Int64(13)), {"$bit": {"a": {"and": 10}}}, doc(a=Int64(8))),
    case(BIT, doc(a=13), {"$bit": {"a": {"and": Int64(10)}}}, doc(a=Int64(8))),
    case(BIT, doc(a=-1), {"$bit": {"a": {"and": 255}}}, doc(a=255)),
    case(BIT, doc(a=-1), {"$bit": {"a": {"xor": 1}}}, doc(a=-2)),
    case(BIT, doc(a=[1, 2]), {"$bit": {"a.0": {"or": 2}}}, doc(a=[3, 2])),
    case(BIT, doc(a=1.0), {"$bit": {"a": {"or": 2}}}, Fails(2,
         "Cannot apply $bit to a value of non-integral type.{_id: 1} has the field a of "
         "non-integer type double")),
    case(BIT, doc(a="x"), {"$bit": {"a": {"or": 2}}}, Fails(2)),
    case(BIT, doc(a=1), {"$bit": {"a": {"or": 2.0}}}, Fails(2,
         "The $bit modifier field must be an Integer(32/64 bit); a 'double' is not supported "
         "here: {or: 2.0}")),
    case(BIT, doc(a=1), {"$bit": {"a": {"not": 2}}}, Fails(2,
         "The $bit modifier only supports 'and', 'or', and 'xor', not 'not' which is an unknown "
         "operator: {not: 2}")),
    case(BIT, doc(a=1), {"$bit": {"a": {}}}, Fails(2,
         "You must pass in at least one bitwise operation. The format is: "
         "{$bit: {field: {and/or/xor: #}}")),
    case(BIT, doc(a=1), {"$bit": {"a": 5}}, Fails(2,
         "The $bit modifier is not compatible with a int. You must pass in an embedded document: "
         "{$bit: {field: {and/or/xor: #}}")),
]

INSERT = "update/setOnInsert"
INSERT_CASES: list[Case] = [
    case(INSERT, doc(a=1), {"$setOnInsert": {"a": 2, "b": 3}}, SAME),
    case(INSERT, doc(a=1), {"$setOnInsert": {"a": 2, "b": 3}}, doc(a=2, b=3), is_insert=True),
    case(INSERT, doc(a=1), {"$setOnInsert": {"a.b": 2}}, SAME),
    case(INSERT, doc(a=1), {"$setOnInsert": {"a.b": 2}}, Fails(28), is_insert=True),
    case(INSERT, doc(a=1), {"$setOnInsert": {"_id": 2}}, SAME),
    case(INSERT, doc(a=1), {"$set": {"b": 2}, "$setOnInsert": {"c": 3}}, doc(a=1, b=2)),
    case(INSERT, doc(a=1), {"$set": {"b": 2}, "$setOnInsert": {"b": 3}}, Fails(40)),
]

CASES = (SET_CASES + UNSET_CASES + INC_CASES + MUL_CASES + BOUND_CASES + RENAME_CASES
         + DATE_CASES + BIT_CASES + INSERT_CASES)  # fmt: skip


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.id)
def test_field_modifier(one: Case) -> None:
    check(one)
