"""One document for each interesting value, by name; cases say which names match."""

from __future__ import annotations

from typing import Any, Final

from bson.binary import Binary
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp

from psdb_base.values import MISSING, UNDEFINED, DBPointer, Symbol

OID1: Final = ObjectId("000000000000000000000001")
OID2: Final = ObjectId("000000000000000000000002")

VALUES: Final[dict[str, Any]] = {
    "missing": MISSING,
    "null": None,
    "undef": UNDEFINED,
    "min": MinKey(),
    "max": MaxKey(),
    "nan": float("nan"),
    "dec_nan": Decimal128("NaN"),
    "neg_inf": float("-inf"),
    "inf": float("inf"),
    "zero": 0,
    "neg_zero": -0.0,
    "int1": 1,
    "long1": Int64(1),
    "dbl1": 1.0,
    "dec1": Decimal128("1.0"),
    "dbl1_5": 1.5,
    "int5": 5,
    "dbl2p53": 9007199254740992.0,
    "long2p53_1": Int64(9007199254740993),
    "dec2p53_1": Decimal128("9007199254740993"),
    "empty": "",
    "A": "A",
    "a": "a",
    "b": "b",
    "sym_a": Symbol("a"),
    "obj0": {},
    "obj_x1": {"x": 1},
    "obj_x2": {"x": 2},
    "obj_x1y2": {"x": 1, "y": 2},
    "obj_y2x1": {"y": 2, "x": 1},
    "arr0": [],
    "arr123": [1, 2, 3],
    "arr_ab": ["a", "b"],
    "arr_null": [None],
    "arr_arr12": [[1, 2]],
    "arr_x1": [{"x": 1}],
    "bin1": b"\x01",
    "bin1_s5": Binary(b"\x01", 5),
    "bin02": b"\x00\x02",
    "oid1": OID1,
    "oid2": OID2,
    "false": False,
    "true": True,
    "date0": DatetimeMS(0),
    "date1": DatetimeMS(1),
    "ts1_1": Timestamp(1, 1),
    "ts1_2": Timestamp(1, 2),
    "regex_a": Regex("a"),
    "regex_a_i": Regex("a", "i"),
    "dbp": DBPointer("db.c", OID1),
    "code": Code("f()"),
    "code_scope": Code("f()", {"x": 1}),
}

DOCUMENTS: Final = [
    {"_id": name} if value is MISSING else {"_id": name, "a": value}
    for name, value in VALUES.items()
]
