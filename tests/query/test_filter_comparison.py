"""Comparison operators against every type of value: (operator, operand, names that match)."""

from __future__ import annotations

from typing import Any

from bson.binary import Binary
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.timestamp import Timestamp
from filter_kit import CTX, ENV, table
from filter_values import DOCUMENTS, OID1, OID2

from psdb_base.values import DBPointer, Symbol
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


COMPARISONS: list[tuple[str, Any, str]] = [
    ("$eq", 1, "int1 long1 dbl1 dec1 arr123"),
    ("$gt", 1, "inf dbl1_5 int5 dbl2p53 long2p53_1 dec2p53_1 arr123"),
    ("$gte", 1, "inf int1 long1 dbl1 dec1 dbl1_5 int5 dbl2p53 long2p53_1 dec2p53_1 arr123"),
    ("$lt", 1, "neg_inf zero neg_zero"),
    ("$lte", 1, "neg_inf zero neg_zero int1 long1 dbl1 dec1 arr123"),
    ("$eq", L(1), "int1 long1 dbl1 dec1 arr123"),
    ("$gt", L(1), "inf dbl1_5 int5 dbl2p53 long2p53_1 dec2p53_1 arr123"),
    ("$gte", L(1), "inf int1 long1 dbl1 dec1 dbl1_5 int5 dbl2p53 long2p53_1 dec2p53_1 arr123"),
    ("$lt", L(1), "neg_inf zero neg_zero"),
    ("$lte", L(1), "neg_inf zero neg_zero int1 long1 dbl1 dec1 arr123"),
    ("$eq", 1.0, "int1 long1 dbl1 dec1 arr123"),
    ("$gt", 1.0, "inf dbl1_5 int5 dbl2p53 long2p53_1 dec2p53_1 arr123"),
    ("$gte", 1.0, "inf int1 long1 dbl1 dec1 dbl1_5 int5 dbl2p53 long2p53_1 dec2p53_1 arr123"),
    ("$lt", 1.0, "neg_inf zero neg_zero"),
    ("$lte", 1.0, "neg_inf zero neg_zero int1 long1 dbl1 dec1 arr123"),
    ("$eq", D("1"), "int1 long1 dbl1 dec1 arr123"),
    ("$gt", D("1"), "inf dbl1_5 int5 dbl2p53 long2p53_1 dec2p53_1 arr123"),
    ("$gte", D("1"), "inf int1 long1 dbl1 dec1 dbl1_5 int5 dbl2p53 long2p53_1 dec2p53_1 arr123"),
    ("$lt", D("1"), "neg_inf zero neg_zero"),
    ("$lte", D("1"), "neg_inf zero neg_zero int1 long1 dbl1 dec1 arr123"),
    ("$eq", 0, "zero neg_zero"),
    ("$gt", 0, "inf int1 long1 dbl1 dec1 dbl1_5 int5 dbl2p53 long2p53_1 dec2p53_1 arr123"),
    (
        "$gte",
        0,
        ("inf zero neg_zero int1 long1 dbl1 dec1 dbl1_5 int5 dbl2p53 long2p53_1 dec2p53_1 arr123"),
    ),
    ("$lt", 0, "neg_inf"),
    ("$lte", 0, "neg_inf zero neg_zero"),
    ("$eq", -0.0, "zero neg_zero"),
    ("$gt", -0.0, "inf int1 long1 dbl1 dec1 dbl1_5 int5 dbl2p53 long2p53_1 dec2p53_1 arr123"),
    (
        "$gte",
        -0.0,
        ("inf zero neg_zero int1 long1 dbl1 dec1 dbl1_5 int5 dbl2p53 long2p53_1 dec2p53_1 arr123"),
    ),
    ("$lt", -0.0, "neg_inf"),
    ("$lte", -0.0, "neg_inf zero neg_zero"),
    ("$eq", 1.5, "dbl1_5"),
    ("$gt", 1.5, "inf int5 dbl2p53 long2p53_1 dec2p53_1 arr123"),
    ("$gte", 1.5, "inf dbl1_5 int5 dbl2p53 long2p53_1 dec2p53_1 arr123"),
    ("$lt", 1.5, "neg_inf zero neg_zero int1 long1 dbl1 dec1 arr123"),
    ("$lte", 1.5, "neg_inf zero neg_zero int1 long1 dbl1 dec1 dbl1_5 arr123"),
    ("$eq", 5, "int5"),
    ("$gt", 5, "inf dbl2p53 long2p53_1 dec2p53_1"),
    ("$gte", 5, "inf int5 dbl2p53 long2p53_1 dec2p53_1"),
    ("$lt", 5, "neg_inf zero neg_zero int1 long1 dbl1 dec1 dbl1_5 arr123"),
    ("$lte", 5, "neg_inf zero neg_zero int1 long1 dbl1 dec1 dbl1_5 int5 arr123"),
    ("$eq", INF, "inf"),
    ("$gt", INF, ""),
    ("$gte", INF, "inf"),
    (
        "$lt",
        INF,
        (
            "neg_inf zero neg_zero int1 long1 dbl1 dec1 dbl1_5 int5 dbl2p53 long2p53_1 dec2p53_1 "
            "arr123"
        ),
    ),
    (
        "$lte",
        INF,
        (
            "neg_inf inf zero neg_zero int1 long1 dbl1 dec1 dbl1_5 int5 dbl2p53 long2p53_1 "
            "dec2p53_1 arr123"
        ),
    ),
    ("$eq", -INF, "neg_inf"),
    (
        "$gt",
        -INF,
        ("inf zero neg_zero int1 long1 dbl1 dec1 dbl1_5 int5 dbl2p53 long2p53_1 dec2p53_1 arr123"),
    ),
    (
        "$gte",
        -INF,
        (
            "neg_inf inf zero neg_zero int1 long1 dbl1 dec1 dbl1_5 int5 dbl2p53 long2p53_1 "
            "dec2p53_1 arr123"
        ),
    ),
    ("$lt", -INF, ""),
    ("$lte", -INF, "neg_inf"),
    ("$eq", NAN, "nan dec_nan"),
    ("$gt", NAN, ""),
    ("$gte", NAN, "nan dec_nan"),
    ("$lt", NAN, ""),
    ("$lte", NAN, "nan dec_nan"),
    ("$eq", D("NaN"), "nan dec_nan"),
    ("$gt", D("NaN"), ""),
    ("$gte", D("NaN"), "nan dec_nan"),
    ("$lt", D("NaN"), ""),
    ("$lte", D("NaN"), "nan dec_nan"),
    ("$eq", 9007199254740992, "dbl2p53"),
    ("$gt", 9007199254740992, "inf long2p53_1 dec2p53_1"),
    ("$gte", 9007199254740992, "inf dbl2p53 long2p53_1 dec2p53_1"),
    ("$lt", 9007199254740992, "neg_inf zero neg_zero int1 long1 dbl1 dec1 dbl1_5 int5 arr123"),
    (
        "$lte",
        9007199254740992,
        "neg_inf zero neg_zero int1 long1 dbl1 dec1 dbl1_5 int5 dbl2p53 arr123",
    ),
    ("$eq", L(9007199254740993), "long2p53_1 dec2p53_1"),
    ("$gt", L(9007199254740993), "inf"),
    ("$gte", L(9007199254740993), "inf long2p53_1 dec2p53_1"),
    (
        "$lt",
        L(9007199254740993),
        "neg_inf zero neg_zero int1 long1 dbl1 dec1 dbl1_5 int5 dbl2p53 arr123",
    ),
    (
        "$lte",
        L(9007199254740993),
        (
            "neg_inf zero neg_zero int1 long1 dbl1 dec1 dbl1_5 int5 dbl2p53 long2p53_1 dec2p53_1 "
            "arr123"
        ),
    ),
    ("$eq", 9007199254740992.0, "dbl2p53"),
    ("$gt", 9007199254740992.0, "inf long2p53_1 dec2p53_1"),
    ("$gte", 9007199254740992.0, "inf dbl2p53 long2p53_1 dec2p53_1"),
    ("$lt", 9007199254740992.0, "neg_inf zero neg_zero int1 long1 dbl1 dec1 dbl1_5 int5 arr123"),
    (
        "$lte",
        9007199254740992.0,
        "neg_inf zero neg_zero int1 long1 dbl1 dec1 dbl1_5 int5 dbl2p53 arr123",
    ),
    ("$eq", D("9007199254740993"), "long2p53_1 dec2p53_1"),
    ("$gt", D("9007199254740993"), "inf"),
    ("$gte", D("9007199254740993"), "inf long2p53_1 dec2p53_1"),
    (
        "$lt",
        D("9007199254740993"),
        "neg_inf zero neg_zero int1 long1 dbl1 dec1 dbl1_5 int5 dbl2p53 arr123",
    ),
    (
        "$lte",
        D("9007199254740993"),
        (
            "neg_inf zero neg_zero int1 long1 dbl1 dec1 dbl1_5 int5 dbl2p53 long2p53_1 dec2p53_1 "
            "arr123"
        ),
    ),
    ("$eq", D("1.5"), "dbl1_5"),
    ("$gt", D("1.5"), "inf int5 dbl2p53 long2p53_1 dec2p53_1 arr123"),
    ("$gte", D("1.5"), "inf dbl1_5 int5 dbl2p53 long2p53_1 dec2p53_1 arr123"),
    ("$lt", D("1.5"), "neg_inf zero neg_zero int1 long1 dbl1 dec1 arr123"),
    ("$lte", D("1.5"), "neg_inf zero neg_zero int1 long1 dbl1 dec1 dbl1_5 arr123"),
    ("$eq", "a", "a sym_a arr_ab"),
    ("$gt", "a", "b arr_ab"),
    ("$gte", "a", "a b sym_a arr_ab"),
    ("$lt", "a", "empty A"),
    ("$lte", "a", "empty A a sym_a arr_ab"),
    ("$eq", "A", "A"),
    ("$gt", "A", "a b sym_a arr_ab"),
    ("$gte", "A", "A a b sym_a arr_ab"),
    ("$lt", "A", "empty"),
    ("$lte", "A", "empty A"),
    ("$eq", "", "empty"),
    ("$gt", "", "A a b sym_a arr_ab"),
    ("$gte", "", "empty A a b sym_a arr_ab"),
    ("$lt", "", ""),
    ("$lte", "", "empty"),
    ("$eq", Symbol("a"), "a sym_a arr_ab"),
    ("$gt", Symbol("a"), "b arr_ab"),
    ("$gte", Symbol("a"), "a b sym_a arr_ab"),
    ("$lt", Symbol("a"), "empty A"),
    ("$lte", Symbol("a"), "empty A a sym_a arr_ab"),
    ("$eq", "b", "b arr_ab"),
    ("$gt", "b", ""),
    ("$gte", "b", "b arr_ab"),
    ("$lt", "b", "empty A a sym_a arr_ab"),
    ("$lte", "b", "empty A a b sym_a arr_ab"),
    ("$eq", None, "missing null arr_null"),
    ("$gt", None, ""),
    ("$gte", None, "missing null undef arr_null"),
    ("$lt", None, ""),
    ("$lte", None, "missing null undef arr_null"),
    ("$eq", MinKey(), "min"),
    ("$gt", MinKey(), all_but("min")),
    ("$gte", MinKey(), all_but("")),
    ("$lt", MinKey(), ""),
    ("$lte", MinKey(), "min"),
    ("$eq", MaxKey(), "max"),
    ("$gt", MaxKey(), ""),
    ("$gte", MaxKey(), "max"),
    ("$lt", MaxKey(), all_but("max")),
    ("$lte", MaxKey(), all_but("")),
    ("$eq", True, "true"),
    ("$gt", True, ""),
    ("$gte", True, "true"),
    ("$lt", True, "false"),
    ("$lte", True, "false true"),
    ("$eq", False, "false"),
    ("$gt", False, "true"),
    ("$gte", False, "false true"),
    ("$lt", False, ""),
    ("$lte", False, "false"),
    ("$eq", {}, "obj0"),
    ("$gt", {}, "obj_x1 obj_x2 obj_x1y2 obj_y2x1 arr_x1"),
    ("$gte", {}, "obj0 obj_x1 obj_x2 obj_x1y2 obj_y2x1 arr_x1"),
    ("$lt", {}, ""),
    ("$lte", {}, "obj0"),
    ("$eq", {"x": 1}, "obj_x1 arr_x1"),
    ("$gt", {"x": 1}, "obj_x2 obj_x1y2 obj_y2x1"),
    ("$gte", {"x": 1}, "obj_x1 obj_x2 obj_x1y2 obj_y2x1 arr_x1"),
    ("$lt", {"x": 1}, "obj0"),
    ("$lte", {"x": 1}, "obj0 obj_x1 arr_x1"),
    ("$eq", {"x": 1, "y": 2}, "obj_x1y2"),
    ("$gt", {"x": 1, "y": 2}, "obj_x2 obj_y2x1"),
    ("$gte", {"x": 1, "y": 2}, "obj_x2 obj_x1y2 obj_y2x1"),
    ("$lt", {"x": 1, "y": 2}, "obj0 obj_x1 arr_x1"),
    ("$lte", {"x": 1, "y": 2}, "obj0 obj_x1 obj_x1y2 arr_x1"),
    ("$eq", [], "arr0"),
    ("$gt", [], "arr123 arr_ab arr_null arr_arr12 arr_x1"),
    ("$gte", [], "arr0 arr123 arr_ab arr_null arr_arr12 arr_x1"),
    ("$lt", [], ""),
    ("$lte", [], "arr0"),
    ("$eq", [1, 2, 3], "arr123"),
    ("$gt", [1, 2, 3], "arr_ab arr_arr12 arr_x1"),
    ("$gte", [1, 2, 3], "arr123 arr_ab arr_arr12 arr_x1"),
    ("$lt", [1, 2, 3], "arr0 arr_null arr_arr12"),
    ("$lte", [1, 2, 3], "arr0 arr123 arr_null arr_arr12"),
    ("$eq", [1, 2], "arr_arr12"),
    ("$gt", [1, 2], "arr123 arr_ab arr_arr12 arr_x1"),
    ("$gte", [1, 2], "arr123 arr_ab arr_arr12 arr_x1"),
    ("$lt", [1, 2], "arr0 arr_null"),
    ("$lte", [1, 2], "arr0 arr_null arr_arr12"),
    ("$eq", [None], "arr_null"),
    ("$gt", [None], "arr123 arr_ab arr_arr12 arr_x1"),
    ("$gte", [None], "arr123 arr_ab arr_null arr_arr12 arr_x1"),
    ("$lt", [None], "arr0"),
    ("$lte", [None], "arr0 arr_null"),
    ("$eq", ["a", "b"], "arr_ab"),
    ("$gt", ["a", "b"], "arr_arr12 arr_x1"),
    ("$gte", ["a", "b"], "arr_ab arr_arr12 arr_x1"),
    ("$lt", ["a", "b"], "arr0 arr123 arr_null arr_arr12"),
    ("$lte", ["a", "b"], "arr0 arr123 arr_ab arr_null arr_arr12"),
    ("$eq", b"\x01", "bin1"),
    ("$gt", b"\x01", "bin1_s5 bin02"),
    ("$gte", b"\x01", "bin1 bin1_s5 bin02"),
    ("$lt", b"\x01", ""),
    ("$lte", b"\x01", "bin1"),
    ("$eq", Binary(b"\x01", 5), "bin1_s5"),
    ("$gt", Binary(b"\x01", 5), "bin02"),
    ("$gte", Binary(b"\x01", 5), "bin1_s5 bin02"),
    ("$lt", Binary(b"\x01", 5), "bin1"),
    ("$lte", Binary(b"\x01", 5), "bin1 bin1_s5"),
    ("$eq", OID1, "oid1"),
    ("$gt", OID1, "oid2"),
    ("$gte", OID1, "oid1 oid2"),
    ("$lt", OID1, ""),
    ("$lte", OID1, "oid1"),
    ("$eq", OID2, "oid2"),
    ("$gt", OID2, ""),
    ("$gte", OID2, "oid2"),
    ("$lt", OID2, "oid1"),
    ("$lte", OID2, "oid1 oid2"),
    ("$eq", DatetimeMS(0), "date0"),
    ("$gt", DatetimeMS(0), "date1"),
    ("$gte", DatetimeMS(0), "date0 date1"),
    ("$lt", DatetimeMS(0), ""),
    ("$lte", DatetimeMS(0), "date0"),
    ("$eq", DatetimeMS(1), "date1"),
    ("$gt", DatetimeMS(1), ""),
    ("$gte", DatetimeMS(1), "date1"),
    ("$lt", DatetimeMS(1), "date0"),
    ("$lte", DatetimeMS(1), "date0 date1"),
    ("$eq", Timestamp(1, 1), "ts1_1"),
    ("$gt", Timestamp(1, 1), "ts1_2"),
    ("$gte", Timestamp(1, 1), "ts1_1 ts1_2"),
    ("$lt", Timestamp(1, 1), ""),
    ("$lte", Timestamp(1, 1), "ts1_1"),
    ("$eq", Timestamp(1, 2), "ts1_2"),
    ("$gt", Timestamp(1, 2), ""),
    ("$gte", Timestamp(1, 2), "ts1_2"),
    ("$lt", Timestamp(1, 2), "ts1_1"),
    ("$lte", Timestamp(1, 2), "ts1_1 ts1_2"),
    ("$eq", DBPointer("db.c", OID1), "dbp"),
    ("$gt", DBPointer("db.c", OID1), ""),
    ("$gte", DBPointer("db.c", OID1), "dbp"),
    ("$lt", DBPointer("db.c", OID1), ""),
    ("$lte", DBPointer("db.c", OID1), "dbp"),
    ("$eq", Code("f()"), "code"),
    ("$gt", Code("f()"), ""),
    ("$gte", Code("f()"), "code"),
    ("$lt", Code("f()"), ""),
    ("$lte", Code("f()"), "code"),
    ("$eq", Code("f()", {"x": 1}), "code_scope"),
    ("$gt", Code("f()", {"x": 1}), ""),
    ("$gte", Code("f()", {"x": 1}), "code_scope"),
    ("$lt", Code("f()", {"x": 1}), ""),
    ("$lte", Code("f()", {"x": 1}), "code_scope"),
]


@table(COMPARISONS)
def test_comparison(case: tuple[str, Any, str]) -> None:
    op, operand, expected = case
    assert matching({"a": {op: operand}}) == expected


@table([case for case in COMPARISONS if case[0] == "$eq"])
def test_equality_is_also_implicit_and_membership(case: tuple[str, Any, str]) -> None:
    _, operand, expected = case
    assert matching({"a": operand}) == expected
    assert matching({"a": {"$in": [operand]}}) == expected
    assert matching({"a": {"$ne": operand}}) == all_but(expected)
    assert matching({"a": {"$nin": [operand]}}) == all_but(expected)


@table([case for case in COMPARISONS if case[0] in ("$gt", "$lt")])
def test_beneath_an_array_of_documents(case: tuple[str, Any, str]) -> None:
    """A value is found in the same way in a document, and in documents in an array."""
    op, operand, expected = case
    filter_ = compile_filter({"x.a": {op: operand}}, CTX)
    plain = [{"_id": doc["_id"], "x": doc} for doc in DOCUMENTS]
    listed = [{"_id": doc["_id"], "x": [1, [doc], doc]} for doc in DOCUMENTS]
    assert [doc["_id"] for doc in filter_.batch(plain, ENV)] == expected.split()
    assert [doc["_id"] for doc in filter_.batch(listed, ENV)] == expected.split()
