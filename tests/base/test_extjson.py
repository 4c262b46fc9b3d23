"""Lines of JSON: readable, and bit for bit the document they came from."""

from __future__ import annotations

import json
import struct
from typing import Any

import orjson
import pytest
from bson.binary import Binary
from bson.code import Code as JavaScript
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from strategies import any_decimals, bson_documents, finite_floats, plain_documents

from psdb_base import bson_codec, decimal_bits, extjson
from psdb_base.errors import Code, MongoError
from psdb_base.values import UNDEFINED, DBPointer, RawRegex, Symbol

OID = ObjectId("0123456789abcdef01234567")


def line_of(doc: dict[str, Any]) -> bytes:
    return extjson.document_line(bson_codec.encode(doc), doc)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (-(2**31), "-2147483648"),
        (Int64(1), '{"$numberLong":"1"}'),
        (Int64(-(2**63)), '{"$numberLong":"-9223372036854775808"}'),
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (1e22, "1e+22"),
        (5e-324, "5e-324"),
        (0.1, "0.1"),
        ("é\n\0\u2028", '"é\\n\\u0000\u2028"'),
        (True, "true"),
        (None, "null"),
        ({"a": []}, '{"a":[]}'),
        ([1, {}], "[1,{}]"),
        (OID, '{"$oid":"0123456789abcdef01234567"}'),
        (DatetimeMS(0), '{"$date":"1970-01-01T00:00:00.000Z"}'),
        (DatetimeMS(1), '{"$date":"1970-01-01T00:00:00.001Z"}'),
        (DatetimeMS(253402300799999), '{"$date":"9999-12-31T23:59:59.999Z"}'),
        (DatetimeMS(253402300800000), '{"$date":{"$numberLong":"253402300800000"}}'),
        (DatetimeMS(-1), '{"$date":{"$numberLong":"-1"}}'),
        (Timestamp(1, 2**32 - 1), '{"$timestamp":{"t":1,"i":4294967295}}'),
        (b"\xff\xff", '{"$binary":{"base64":"//8=","subType":"00"}}'),
        (Binary(b"", 0x80), '{"$binary":{"base64":"","subType":"80"}}'),
        (Regex("a/b", "ix"), '{"$regularExpression":{"pattern":"a/b","options":"ix"}}'),
        (JavaScript("f()"), '{"$code":"f()"}'),
        (JavaScript("f()", {"x": Int64(1)}), '{"$code":"f()","$scope":{"x":{"$numberLong":"1"}}}'),
        (Decimal128("1.10"), '{"$numberDecimal":"1.10"}'),
        (Decimal128("-Infinity"), '{"$numberDecimal":"-Infinity"}'),
        (MinKey(), '{"$minKey":1}'),
        (MaxKey(), '{"$maxKey":1}'),
    ],
    ids=lambda value: value if type(value) is str else type(value).__name__,
)
def test_readable_lines(value: Any, text: str) -> None:
    doc = {"f": value}
    assert line_of(doc) == b'{"f":%b}' % text.encode()
    assert extjson.to_json(doc) == line_of(doc)
    assert extjson.raw_from_line(orjson.loads(line_of(doc))) == bson_codec.encode(doc)


@pytest.mark.parametrize(
    ("value", "readable"),
    [
        (float("nan"), {"$numberDouble": "NaN"}),
        (float("inf"), {"$numberDouble": "Infinity"}),
        (float("-inf"), {"$numberDouble": "-Infinity"}),
        ({"$oid": "x"}, {"$oid": "x"}),
        ({"$date": 1}, {"$date": 1}),
        (JavaScript("", {"$x": 1}), {"$code": "", "$scope": {"$x": 1}}),
        (UNDEFINED, {"$undefined": True}),
        (Symbol("s"), {"$symbol": "s"}),
        (DBPointer("a.b", OID), {"$dbPointer": {"$ref": "a.b", "$id": {"$oid": str(OID)}}}),
        (RawRegex("a", "xi"), {"$regularExpression": {"pattern": "a", "options": "xi"}}),
        (Decimal128.from_bid(b"\1" + bytes(14) + b"\x7c"), {"$numberDecimal": "NaN"}),
        (Decimal128.from_bid(b"\xff" * 14 + b"\x01\x00"), {"$numberDecimal": "0E-6176"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_exact_lines_have_a_readable_side(value: Any, readable: Any) -> None:
    parsed = orjson.loads(line_of({"f": [value]}))
    assert list(parsed) == ["$psdbExact", "readable"]
    assert parsed["readable"] == {"f": [readable]}
    assert extjson.raw_from_line(parsed) == bson_codec.encode({"f": [value]})


def test_a_users_document_is_never_taken_for_the_exact_form() -> None:
    doc = {"$psdbExact": "AAAA", "readable": {}}
    assert list(orjson.loads(line_of(doc))) == ["$psdbExact", "readable"]
    assert extjson.raw_from_line(orjson.loads(line_of(doc))) == bson_codec.encode(doc)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x0b\0\0\0\x0aa\0\x0aa\0\0",  # a name twice
        b"\x10\0\0\0\x04a\0\x08\0\0\0\x0a7\0\0\0",  # an array that begins at 7
    ],
)
def test_what_documents_cannot_hold_survives(raw: bytes) -> None:
    line = extjson.document_line(raw, bson_codec.decode(raw))
    assert extjson.raw_from_line(orjson.loads(line)) == raw


@pytest.mark.parametrize(
    "text",
    ["no dollar $", "$", "\x01$a", "\t$x", "\n$ref", "$ref", "\x7f\xf0"],
)
def test_dollars_in_text_need_no_exact_form(text: str) -> None:
    assert line_of({"a": text, "b": [text], "n": -1}).startswith(b'{"a":')


# Laws


@given(plain_documents())
def test_plain_documents_have_readable_lines(doc: dict[str, Any]) -> None:
    raw = bson_codec.encode(doc)
    line = extjson.document_line(raw, doc)
    assert "$psdbExact" not in orjson.loads(line)
    assert line == extjson.to_json(doc)
    assert extjson.raw_from_line(orjson.loads(line)) == raw
    assert extjson.raw_from_line(json.loads(line)) == raw
    assert bson_codec.encode(extjson.from_json(orjson.loads(line))) == raw


@given(bson_documents())
def test_every_document_survives_its_line(doc: dict[str, Any]) -> None:
    raw = bson_codec.encode(doc)
    line = extjson.document_line(raw, bson_codec.decode(raw))
    assert b"\n" not in line
    parsed = orjson.loads(line)
    assert extjson.raw_from_line(parsed) == raw
    assert bson_codec.encode(extjson.from_json(parsed)) == raw


@given(st.binary(min_size=8, max_size=8).map(lambda raw: struct.unpack("<d", raw)[0]))
def test_doubles_survive_bit_for_bit(value: float) -> None:
    raw = bson_codec.encode({"d": value})
    assert extjson.raw_from_line(orjson.loads(extjson.document_line(raw, {"d": value}))) == raw


@given(finite_floats())
def test_doubles_look_like_doubles(value: float) -> None:
    text = line_of({"d": value})[5:-1].decode()
    assert "." in text or "e" in text


@given(any_decimals())
def test_decimals_survive_bit_for_bit(value: Decimal128) -> None:
    raw = bson_codec.encode({"d": value})
    line = extjson.document_line(raw, {"d": value})
    assert extjson.raw_from_line(orjson.loads(line)) == raw


@given(any_decimals())
def test_text_of_decimals_is_the_librarys(value: Decimal128) -> None:
    parts = decimal_bits.parts(value)
    if parts.canonical:
        assert decimal_bits.text(parts) == str(value)
        assert Decimal128(decimal_bits.text(parts)).bid == value.bid
    elif parts.kind == "finite":
        # A coefficient beyond 34 digits counts as zero.
        assert parts.coefficient == 0


# Reading what others wrote


@pytest.mark.parametrize(
    ("parsed", "value"),
    [
        (5_000_000_000, Int64(5_000_000_000)),
        ({"$numberInt": "5"}, 5),
        ({"$numberDouble": "-0.0"}, -0.0),
        ({"$date": "2012-12-24T12:15:30.501+01:00"}, DatetimeMS(1356347730501)),
        ({"$date": "0001-01-01T00:00:00Z"}, DatetimeMS(-62135596800000)),
        ({"$uuid": "00112233-4455-6677-8899-aabbccddeeff"},
         Binary(bytes.fromhex("00112233445566778899aabbccddeeff"), 4)),
        ({"$binary": "AQ==", "$type": "05"}, Binary(b"\1", 5)),
        ({"$scope": {}, "$code": "x"}, JavaScript("x", {})),
        ({"$regularExpression": {"options": "xi", "pattern": "a"}}, Regex("a", "ix")),
        ({"$undefined": True}, UNDEFINED),
        ({"$gt": 1}, {"$gt": 1}),
        ({"$scope": 1}, {"$scope": 1}),
        ({"$ref": "c", "$id": {"$oid": str(OID)}}, {"$ref": "c", "$id": OID}),
        ({"a": 1, "$oid": "x"}, {"a": 1, "$oid": "x"}),
    ],
)  # fmt: skip
def test_reads_other_forms(parsed: Any, value: Any) -> None:
    found = extjson.from_json({"f": parsed})
    assert bson_codec.encode(found) == bson_codec.encode({"f": value})


@pytest.mark.parametrize(
    "parsed",
    [
        {"$oid": "xyz"}, {"$oid": "00"}, {"$oid": 1}, {"$numberLong": "9223372036854775808"},
        {"$numberLong": "1_0"}, {"$numberLong": " 1"}, {"$numberLong": "1", "x": 1},
        {"$numberInt": "2147483648"}, {"$numberDouble": "1e999"}, {"$numberDouble": "nan"},
        {"$date": "yesterday"}, {"$date": "2012-12-24T12:15:30"}, {"$date": 5},
        {"$binary": {"base64": "%%", "subType": "00"}}, {"$binary": {"base64": "", "subType": "x"}},
        {"$timestamp": {"t": -1, "i": 0}}, {"$timestamp": {"t": 2**32, "i": 0}},
        {"$numberDecimal": "1E+9999"}, {"$numberDecimal": "x"}, {"$minKey": 2},
        {"$code": 1}, {"$code": "", "$scope": []},
    ],
)  # fmt: skip
def test_malformed_forms_are_refused(parsed: Any) -> None:
    for read in (extjson.from_json, extjson.raw_from_line):
        with pytest.raises(MongoError) as caught:
            read({"f": [parsed]})
        assert caught.value.code == Code.FAILED_TO_PARSE


@pytest.mark.parametrize("exact", ["%%", 5, None, "AAAA"])
def test_malformed_exact_forms_are_refused(exact: Any) -> None:
    with pytest.raises(MongoError) as caught:
        extjson.from_json({"$psdbExact": exact, "readable": {}})
    assert caught.value.code in {Code.FAILED_TO_PARSE, Code.INVALID_BSON}


def test_deep_documents_have_lines() -> None:
    def beneath(frames: int, work: Any) -> Any:
        return work() if frames == 0 else beneath(frames - 1, work)

    for leaf in (Int64(1), float("nan")):
        for wrap in (lambda value: {"a": value}, lambda value: [value]):
            value: Any = leaf
            for _ in range(199):
                value = wrap(value)
            doc = {"": value}
            raw = bson_codec.encode(doc)

            def there_and_back(doc: Any = doc, raw: bytes = raw) -> bytes:
                line = extjson.document_line(raw, doc)
                extjson.to_json(doc)
                extjson.from_json(orjson.loads(line))
                return extjson.raw_from_line(orjson.loads(line))

            assert beneath(300, there_and_back) == raw
