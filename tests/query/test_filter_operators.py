"""Operators other than comparisons: (manual page, filter, names of the values that match)."""

from __future__ import annotations

from typing import Any

from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.regex import Regex
from bson.timestamp import Timestamp
from filter_kit import CTX, ENV, table
from filter_values import DOCUMENTS, OID1, OID2

from psdb_base.values import Symbol
from psdb_query.filters import compile_filter

D = Decimal128
L = Int64
INF = float("inf")
NAN = float("nan")


def all_but(names: str) -> str:
    """Every name but these."""
    out = names.split()
    return " ".join(str(doc["_id"]) for doc in DOCUMENTS if doc["_id"] not in out)


def matching(spec: dict[str, Any]) -> str:
    """Names of the values that match, by the scan and one by one."""
    filter_ = compile_filter(spec, CTX)
    found = [str(doc["_id"]) for doc in filter_.batch(DOCUMENTS, ENV)]
    assert found == [str(doc["_id"]) for doc in DOCUMENTS if filter_.matches(doc, ENV)]
    return " ".join(found)


OPERATORS: list[tuple[str, dict[str, Any], str]] = [
    ("$ne", {"a": {"$ne": 1}}, all_but("int1 long1 dbl1 dec1 arr123")),
    ("$ne", {"a": {"$ne": None}}, all_but("missing null arr_null")),
    ("$ne", {"a": {"$ne": "a"}}, all_but("a sym_a arr_ab")),
    ("$ne", {"a": {"$ne": []}}, all_but("arr0")),
    ("$in", {"a": {"$in": []}}, ""),
    ("$in", {"a": {"$in": [1]}}, "int1 long1 dbl1 dec1 arr123"),
    ("$in", {"a": {"$in": [1, 5]}}, "int1 long1 dbl1 dec1 int5 arr123"),
    ("$in", {"a": {"$in": [1.5, L(1)]}}, "int1 long1 dbl1 dec1 dbl1_5 arr123"),
    ("$in", {"a": {"$in": [D("1"), "a"]}}, "int1 long1 dbl1 dec1 a sym_a arr123 arr_ab"),
    ("$in", {"a": {"$in": ["a", "A"]}}, "A a sym_a arr_ab"),
    ("$in", {"a": {"$in": ["a", None]}}, "missing null a sym_a arr_ab arr_null"),
    ("$in", {"a": {"$in": [None]}}, "missing null arr_null"),
    ("$in", {"a": {"$in": [None, 1]}}, "missing null int1 long1 dbl1 dec1 arr123 arr_null"),
    ("$in", {"a": {"$in": [NAN]}}, "nan dec_nan"),
    ("$in", {"a": {"$in": [[1, 2]]}}, "arr_arr12"),
    ("$in", {"a": {"$in": [[], {}]}}, "obj0 arr0"),
    ("$in", {"a": {"$in": [{"x": 1}]}}, "obj_x1 arr_x1"),
    ("$in", {"a": {"$in": [True, 1]}}, "int1 long1 dbl1 dec1 arr123 true"),
    ("$in", {"a": {"$in": [OID1]}}, "oid1"),
    ("$in", {"a": {"$in": [OID2, OID1, None]}}, "missing null arr_null oid1 oid2"),
    ("$in", {"a": {"$in": [Regex("^a")]}}, "a sym_a arr_ab"),
    ("$in", {"a": {"$in": [Regex("a", "i"), 5]}}, "int5 A a sym_a arr_ab regex_a_i"),
    ("$in", {"a": {"$in": [MinKey(), MaxKey()]}}, "min max"),
    ("$in", {"a": {"$in": [DatetimeMS(1), Timestamp(1, 1)]}}, "date1 ts1_1"),
    ("$in", {"a": {"$in": [b"\x01", Code("f()")]}}, "bin1 code"),
    ("$in", {"a": {"$in": [0]}}, "zero neg_zero"),
    ("$in", {"a": {"$in": [L(9007199254740993)]}}, "long2p53_1 dec2p53_1"),
    ("$in", {"a": {"$in": [Symbol("a")]}}, "a sym_a arr_ab"),
    ("$nin", {"a": {"$nin": []}}, all_but("")),
    (
        "$nin",
        {"a": {"$nin": [None, 1, "a"]}},
        all_but("missing null int1 long1 dbl1 dec1 a sym_a arr123 arr_ab arr_null"),
    ),
    (
        "$nin",
        {"a": {"$nin": [Regex("."), 1, 5]}},
        all_but("int1 long1 dbl1 dec1 int5 A a b sym_a arr123 arr_ab"),
    ),
    ("$exists", {"a": {"$exists": True}}, all_but("missing")),
    ("$exists", {"a": {"$exists": False}}, "missing"),
    ("$exists", {"a": {"$exists": 0}}, "missing"),
    ("$exists", {"a": {"$exists": D("0")}}, "missing"),
    ("$exists", {"a": {"$exists": None}}, "missing"),
    ("$exists", {"a": {"$exists": "false"}}, all_but("missing")),
    ("$exists", {"a": {"$exists": []}}, all_but("missing")),
    ("$type", {"a": {"$type": "double"}}, "nan neg_inf inf neg_zero dbl1 dbl1_5 dbl2p53"),
    ("$type", {"a": {"$type": 1}}, "nan neg_inf inf neg_zero dbl1 dbl1_5 dbl2p53"),
    ("$type", {"a": {"$type": "string"}}, "empty A a b arr_ab"),
    ("$type", {"a": {"$type": 2}}, "empty A a b arr_ab"),
    ("$type", {"a": {"$type": "object"}}, "obj0 obj_x1 obj_x2 obj_x1y2 obj_y2x1 arr_x1"),
    ("$type", {"a": {"$type": 3.0}}, "obj0 obj_x1 obj_x2 obj_x1y2 obj_y2x1 arr_x1"),
    ("$type", {"a": {"$type": "array"}}, "arr0 arr123 arr_ab arr_null arr_arr12 arr_x1"),
    ("$type", {"a": {"$type": 4}}, "arr0 arr123 arr_ab arr_null arr_arr12 arr_x1"),
    ("$type", {"a": {"$type": "binData"}}, "bin1 bin1_s5 bin02"),
    ("$type", {"a": {"$type": "undefined"}}, "undef"),
    ("$type", {"a": {"$type": L(7)}}, "oid1 oid2"),
    ("$type", {"a": {"$type": "bool"}}, "false true"),
    ("$type", {"a": {"$type": "date"}}, "date0 date1"),
    ("$type", {"a": {"$type": "null"}}, "null arr_null"),
    ("$type", {"a": {"$type": "regex"}}, "regex_a regex_a_i"),
    ("$type", {"a": {"$type": "dbPointer"}}, "dbp"),
    ("$type", {"a": {"$type": "javascript"}}, "code"),
    ("$type", {"a": {"$type": "symbol"}}, "sym_a"),
    ("$type", {"a": {"$type": "javascriptWithScope"}}, "code_scope"),
    ("$type", {"a": {"$type": "int"}}, "zero int1 int5 arr123"),
    ("$type", {"a": {"$type": "timestamp"}}, "ts1_1 ts1_2"),
    ("$type", {"a": {"$type": "long"}}, "long1 long2p53_1"),
    ("$type", {"a": {"$type": "decimal"}}, "dec_nan dec1 dec2p53_1"),
    ("$type", {"a": {"$type": D("19")}}, "dec_nan dec1 dec2p53_1"),
    ("$type", {"a": {"$type": "minKey"}}, "min"),
    ("$type", {"a": {"$type": -1}}, "min"),
    ("$type", {"a": {"$type": 127}}, "max"),
    (
        "$type",
        {"a": {"$type": "number"}},
        (
            "nan dec_nan neg_inf inf zero neg_zero int1 long1 dbl1 dec1 dbl1_5 int5 dbl2p53 "
            "long2p53_1 dec2p53_1 arr123"
        ),
    ),
    ("$type", {"a": {"$type": ["string", "null"]}}, "null empty A a b arr_ab arr_null"),
    (
        "$type",
        {"a": {"$type": ["number", 10]}},
        (
            "null nan dec_nan neg_inf inf zero neg_zero int1 long1 dbl1 dec1 dbl1_5 int5 dbl2p53 "
            "long2p53_1 dec2p53_1 arr123 arr_null"
        ),
    ),
    (
        "$type",
        {"a": {"$not": {"$type": ["number", "string", "object", "array", "binData", "regex"]}}},
        (
            "missing null undef min max sym_a oid1 oid2 false true date0 date1 ts1_1 ts1_2 dbp "
            "code code_scope"
        ),
    ),
    ("$size", {"a": {"$size": 0}}, "arr0"),
    ("$size", {"a": {"$size": 1}}, "arr_null arr_arr12 arr_x1"),
    ("$size", {"a": {"$size": 2}}, "arr_ab"),
    ("$size", {"a": {"$size": 3.0}}, "arr123"),
    ("$size", {"a": {"$size": L(3)}}, "arr123"),
    (
        "$mod",
        {"a": {"$mod": [2, 1]}},
        "int1 long1 dbl1 dec1 dbl1_5 int5 long2p53_1 dec2p53_1 arr123",
    ),
    ("$mod", {"a": {"$mod": [2, 0]}}, "zero neg_zero dbl2p53 arr123"),
    ("$mod", {"a": {"$mod": [5, 0]}}, "zero neg_zero int5"),
    (
        "$mod",
        {"a": {"$mod": [4.9, 1.2]}},
        "int1 long1 dbl1 dec1 dbl1_5 int5 long2p53_1 dec2p53_1 arr123",
    ),
    (
        "$mod",
        {"a": {"$mod": [D("2"), L(1)]}},
        "int1 long1 dbl1 dec1 dbl1_5 int5 long2p53_1 dec2p53_1 arr123",
    ),
    (
        "$mod",
        {"a": {"$mod": [-2, 1]}},
        "int1 long1 dbl1 dec1 dbl1_5 int5 long2p53_1 dec2p53_1 arr123",
    ),
    ("$mod", {"a": {"$mod": [2, -1]}}, ""),
    (
        "$bitsAllSet",
        {"a": {"$bitsAllSet": 1}},
        "int1 long1 dbl1 dec1 int5 long2p53_1 dec2p53_1 arr123 bin1 bin1_s5",
    ),
    ("$bitsAllSet", {"a": {"$bitsAllSet": [0, 2]}}, "int5"),
    (
        "$bitsAllSet",
        {"a": {"$bitsAllSet": b"\x01"}},
        "int1 long1 dbl1 dec1 int5 long2p53_1 dec2p53_1 arr123 bin1 bin1_s5",
    ),
    ("$bitsAllSet", {"a": {"$bitsAllSet": [9]}}, "bin02"),
    ("$bitsAllSet", {"a": {"$bitsAllSet": [53]}}, "dbl2p53 long2p53_1 dec2p53_1"),
    (
        "$bitsAllSet",
        {"a": {"$bitsAllSet": 0}},
        (
            "zero neg_zero int1 long1 dbl1 dec1 int5 dbl2p53 long2p53_1 dec2p53_1 arr123 bin1 "
            "bin1_s5 bin02"
        ),
    ),
    ("$bitsAnySet", {"a": {"$bitsAnySet": 6}}, "int5 arr123"),
    ("$bitsAnySet", {"a": {"$bitsAnySet": []}}, ""),
    ("$bitsAnySet", {"a": {"$bitsAnySet": b"\x00\x02"}}, "bin02"),
    ("$bitsAllClear", {"a": {"$bitsAllClear": 1}}, "zero neg_zero dbl2p53 arr123 bin02"),
    (
        "$bitsAllClear",
        {"a": {"$bitsAllClear": [1, 2]}},
        (
            "zero neg_zero int1 long1 dbl1 dec1 dbl2p53 long2p53_1 dec2p53_1 arr123 bin1 bin1_s5 "
            "bin02"
        ),
    ),
    (
        "$bitsAllClear",
        {"a": {"$bitsAllClear": []}},
        (
            "zero neg_zero int1 long1 dbl1 dec1 int5 dbl2p53 long2p53_1 dec2p53_1 arr123 bin1 "
            "bin1_s5 bin02"
        ),
    ),
    (
        "$bitsAnyClear",
        {"a": {"$bitsAnyClear": 3}},
        (
            "zero neg_zero int1 long1 dbl1 dec1 int5 dbl2p53 long2p53_1 dec2p53_1 arr123 bin1 "
            "bin1_s5 bin02"
        ),
    ),
    (
        "$bitsAnyClear",
        {"a": {"$bitsAnyClear": [200]}},
        (
            "zero neg_zero int1 long1 dbl1 dec1 int5 dbl2p53 long2p53_1 dec2p53_1 arr123 bin1 "
            "bin1_s5 bin02"
        ),
    ),
    ("$bitsAnyClear", {"a": {"$bitsAnyClear": 0}}, ""),
    ("$regex", {"a": Regex("a")}, "a sym_a arr_ab regex_a"),
    ("$regex", {"a": Regex("a", "i")}, "A a sym_a arr_ab regex_a_i"),
    ("$regex", {"a": Regex("^$")}, "empty"),
    ("$regex", {"a": {"$regex": "^A"}}, "A"),
    ("$regex", {"a": {"$regex": "^A", "$options": "i"}}, "A a sym_a arr_ab"),
    ("$regex", {"a": {"$options": "i", "$regex": "B"}}, "b arr_ab"),
    ("$regex", {"a": {"$regex": Regex("B", "i")}}, "b arr_ab"),
    ("$regex", {"a": {"$eq": Regex("a")}}, "regex_a"),
    ("$regex", {"a": {"$eq": Regex("a", "i")}}, "regex_a_i"),
    ("$regex", {"a": {"$not": Regex("a")}}, all_but("a sym_a arr_ab regex_a")),
    (
        "$regex",
        {"a": {"$not": {"$regex": "a", "$options": "i"}}},
        all_but("A a sym_a arr_ab regex_a_i"),
    ),
    ("$regex", {"a": {"$regex": ""}}, "empty A a b sym_a arr_ab"),
    ("$all", {"a": {"$all": [1]}}, "int1 long1 dbl1 dec1 arr123"),
    ("$all", {"a": {"$all": [1, 2]}}, "arr123"),
    ("$all", {"a": {"$all": ["b", "a"]}}, "arr_ab"),
    ("$all", {"a": {"$all": []}}, ""),
    ("$all", {"a": {"$all": [None]}}, "missing null arr_null"),
    ("$all", {"a": {"$all": [[1, 2]]}}, "arr_arr12"),
    ("$all", {"a": {"$all": [Regex("a"), "b"]}}, "arr_ab"),
    ("$all", {"a": {"$all": [{"x": 1}]}}, "obj_x1 arr_x1"),
    ("$all", {"a": {"$all": [{"$elemMatch": {"x": 1}}]}}, "arr_x1"),
    ("$all", {"a": {"$all": [{"$elemMatch": {"$gt": 2}}, {"$elemMatch": {"$lt": 2}}]}}, "arr123"),
    ("$elemMatch", {"a": {"$elemMatch": {"$gt": 1}}}, "arr123"),
    ("$elemMatch", {"a": {"$elemMatch": {"$gt": 1, "$lt": 3}}}, "arr123"),
    ("$elemMatch", {"a": {"$elemMatch": {"x": 1}}}, "arr_x1"),
    ("$elemMatch", {"a": {"$elemMatch": {}}}, "arr_arr12 arr_x1"),
    ("$elemMatch", {"a": {"$elemMatch": {"$eq": None}}}, "arr_null"),
    (
        "$elemMatch",
        {"a": {"$elemMatch": {"$exists": True}}},
        "arr123 arr_ab arr_null arr_arr12 arr_x1",
    ),
    (
        "$elemMatch",
        {"a": {"$elemMatch": {"$not": {"$gt": 1}}}},
        "arr123 arr_ab arr_null arr_arr12 arr_x1",
    ),
    ("$elemMatch", {"a": {"$elemMatch": {"$in": ["a", 3]}}}, "arr123 arr_ab"),
    ("$elemMatch", {"a": {"$elemMatch": {"$elemMatch": {"$eq": 2}}}}, "arr_arr12"),
    ("$elemMatch", {"a": {"$elemMatch": {"0": 1}}}, "arr_arr12"),
    ("$elemMatch", {"a": {"$elemMatch": {"$or": [{"x": 1}, {"1": 2}]}}}, "arr_arr12 arr_x1"),
    ("$elemMatch", {"a": {"$elemMatch": {"$type": "number"}}}, "arr123"),
    ("$elemMatch", {"a": {"$elemMatch": {"$size": 2}}}, "arr_arr12"),
    (
        "$not",
        {"a": {"$not": {"$gt": 1}}},
        all_but("inf dbl1_5 int5 dbl2p53 long2p53_1 dec2p53_1 arr123"),
    ),
    ("$not", {"a": {"$not": {"$exists": True}}}, "missing"),
    ("$not", {"a": {"$not": {"$not": {"$gte": 5}}}}, "inf int5 dbl2p53 long2p53_1 dec2p53_1"),
    ("$not", {"a": {"$not": {"$gt": 0, "$lt": 5}}}, all_but("int1 long1 dbl1 dec1 dbl1_5 arr123")),
    (
        "$not",
        {"a": {"$not": {"$in": [1, None]}}},
        all_but("missing null int1 long1 dbl1 dec1 arr123 arr_null"),
    ),
    ("$not", {"a": {"$not": {"$elemMatch": {"$gt": 0}}}}, all_but("arr123")),
    ("$not", {"a": {"$not": {"$all": []}}}, all_but("")),
    (
        "$and",
        {"$and": [{"a": {"$gt": 0}}, {"a": {"$lt": 2}}]},
        "int1 long1 dbl1 dec1 dbl1_5 arr123",
    ),
    ("$and", {"a": {"$gt": 0, "$lt": 2}}, "int1 long1 dbl1 dec1 dbl1_5 arr123"),
    ("$and", {"a": {"$gt": 2, "$lt": 2}}, "arr123"),
    ("$or", {"$or": [{"a": 1}, {"a": "a"}]}, "int1 long1 dbl1 dec1 a sym_a arr123 arr_ab"),
    ("$or", {"$or": [{"a": None}]}, "missing null arr_null"),
    (
        "$nor",
        {
            "$nor": [
                {"a": {"$type": "number"}},
                {"a": {"$exists": False}},
                {"a": {"$gte": MinKey()}},
            ]
        },
        "",
    ),
    (
        "$nor",
        {
            "$nor": [
                {"a": {"$lt": 5}},
                {"a": {"$type": ["string", "object", "binData", "undefined", "array"]}},
            ]
        },
        (
            "missing null min max nan dec_nan inf int5 dbl2p53 long2p53_1 dec2p53_1 sym_a oid1 "
            "oid2 false true date0 date1 ts1_1 ts1_2 regex_a regex_a_i dbp code code_scope"
        ),
    ),
    ("$comment", {"$comment": "anything", "a": 5}, "int5"),
    ("$comment", {"a": 5, "$comment": {"x": [1]}}, "int5"),
    ("$alwaysTrue", {"$alwaysTrue": 1, "a": 5}, "int5"),
    ("$alwaysFalse", {"$alwaysFalse": 1}, ""),
    ("$alwaysFalse", {"$or": [{"$alwaysFalse": 1.0}, {"a": 5}]}, "int5"),
    ("$sampleRate", {"$sampleRate": 0.4, "a": 5}, ""),
    ("$sampleRate", {"$sampleRate": 0.6, "a": 5}, "int5"),
    ("$sampleRate", {"$sampleRate": 0, "a": 5}, ""),
    ("$sampleRate", {"$sampleRate": 1, "a": 5}, "int5"),
    ("$expr", {"$expr": {"$eq": ["$a", 5]}}, "int5"),
    ("$expr", {"$expr": {"$gt": ["$a", "a"]}, "a": {"$type": "string"}}, "b arr_ab"),
    ("$expr", {"$expr": {"$eq": [{"$type": "$a"}, "missing"]}}, "missing"),
    (
        "$expr",
        {"$expr": "$a", "a": {"$type": ["number", "bool", "null", "string"]}},
        (
            "nan dec_nan neg_inf inf int1 long1 dbl1 dec1 dbl1_5 int5 dbl2p53 long2p53_1 "
            "dec2p53_1 empty A a b arr123 arr_ab arr_null true"
        ),
    ),
    ("$expr", {"$expr": False}, ""),
    ("$expr", {"$expr": {"$and": []}, "a": 5}, "int5"),
    ("Null Query", {"a": None}, "missing null arr_null"),
    ("Null Query", {"a": {"$eq": None}}, "missing null arr_null"),
    ("Null Query", {"a": {"$type": 10}}, "null arr_null"),
    ("Null Query", {"a": {"$exists": True, "$eq": None}}, "null arr_null"),
    (
        "Null Query",
        {"a.x": None},
        all_but("obj_x1 obj_x2 obj_x1y2 obj_y2x1 arr0 arr123 arr_ab arr_null arr_arr12 arr_x1"),
    ),
    ("Embedded", {"a.x": 1}, "obj_x1 obj_x1y2 obj_y2x1 arr_x1"),
    ("Embedded", {"a.x": {"$gte": 1}, "a.y": {"$exists": True}}, "obj_x1y2 obj_y2x1"),
    ("Embedded", {"a": {"x": 1}}, "obj_x1 arr_x1"),
    ("Embedded", {"a": {"x": 1.0, "y": L(2)}}, "obj_x1y2"),
    ("Embedded", {"a": {"y": 2, "x": 1}}, "obj_y2x1"),
    ("Array Query", {"a.0": 1}, "arr123"),
    ("Array Query", {"a.0": "a"}, "arr_ab"),
    ("Array Query", {"a.0": {"x": 1}}, "arr_x1"),
    ("Array Query", {"a.0.x": 1}, "arr_x1"),
    ("Array Query", {"a.0.0": 1}, "arr_arr12"),
    ("Array Query", {"a.00": 1}, ""),
    ("Array Query", {"a.3": {"$exists": True}}, ""),
    ("Array Query", {"a.2": {"$exists": True}}, "arr123"),
    ("Array Query", {"a": [1, 2, 3]}, "arr123"),
    ("Array Query", {"a": [1, 2]}, "arr_arr12"),
    ("Array Query", {"a": 2}, "arr123"),
    ("Array Query", {"a.0": None}, all_but("arr0 arr123 arr_ab arr_arr12")),
    ("Array Query", {"a.1": None}, all_but("arr0 arr123 arr_ab arr_null arr_arr12")),
]


@table(OPERATORS)
def test_operator(case: tuple[str, dict[str, Any], str]) -> None:
    _, spec, expected = case
    assert matching(spec) == expected


@table(OPERATORS)
def test_nor_gives_the_rest(case: tuple[str, dict[str, Any], str]) -> None:
    _, spec, expected = case
    assert matching({"$nor": [spec]}) == all_but(expected)
