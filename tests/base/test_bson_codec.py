"""BSON bytes and documents: exactness, agreement of both decoders, malformed input, depth."""

from __future__ import annotations

import math
import struct
import threading
from typing import Any

import pytest
from bson.binary import Binary
from bson.code import Code as JavaScript
from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64
from bson.objectid import ObjectId
from bson.regex import Regex
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import bson_documents, plain_documents

from psdb_base import bson_codec, exact_codec
from psdb_base.errors import Code, MongoError
from psdb_base.limits import NESTING_MESSAGE_MAX
from psdb_base.values import MISSING, UNDEFINED, DBPointer, RawRegex, Symbol


def element(kind: int, name: bytes, value: bytes = b"") -> bytes:
    return bytes((kind,)) + name + b"\0" + value


def document(*elements: bytes) -> bytes:
    body = b"".join(elements)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def string(text: bytes) -> bytes:
    return struct.pack("<i", len(text) + 1) + text + b"\0"


def nested(levels: int, kind: int = 3, leaf: bytes = b"") -> bytes:
    """A document of `levels` levels, itself counted, made without recursion."""
    head = b"\x0f\0" if kind == 0x0F else bytes((kind, 0))
    code = string(b"") if kind == 0x0F else b""
    inner = document(leaf)
    opened: list[bytes] = []
    size = len(inner)
    for _ in range(levels - 1):
        value_size = size + (4 + len(code) if code else 0)
        prefix = struct.pack("<i", value_size) + code if code else b""
        size = 4 + len(head) + value_size + 1
        opened.append(struct.pack("<i", size) + head + prefix)
    return b"".join(reversed(opened)) + inner + b"\0" * (levels - 1)


def code_of(raw: bytes) -> int:
    with pytest.raises(MongoError) as caught:
        bson_codec.decode(raw)
    return caught.value.code


# What the documents are


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (0x01, struct.pack("<d", 1.5), 1.5),
        (0x02, string("é\0x".encode()), "é\0x"),
        (0x03, document(), {}),
        (0x04, document(element(0x0A, b"0")), [None]),
        (0x04, document(element(0x0A, b"7"), element(0x0A, b"7")), [None, None]),
        (0x05, struct.pack("<iB", 2, 0) + b"xy", b"xy"),
        (0x05, struct.pack("<iB", 6, 2) + struct.pack("<i", 2) + b"xy", Binary(b"xy", 2)),
        (0x05, struct.pack("<iB", 16, 4) + b"x" * 16, Binary(b"x" * 16, 4)),
        (0x05, struct.pack("<iB", 3, 4) + b"xyz", Binary(b"xyz", 4)),
        (0x06, b"", UNDEFINED),
        (0x07, b"\1" * 12, ObjectId(b"\1" * 12)),
        (0x08, b"\1", True),
        (0x09, struct.pack("<q", -(2**63)), DatetimeMS(-(2**63))),
        (0x0A, b"", None),
        (0x0B, b"^a\0imx\0", Regex("^a", "imx")),
        (0x0B, b"^a\0xi\0", RawRegex("^a", "xi")),
        (0x0B, b"^a\0ii\0", RawRegex("^a", "ii")),
        (0x0B, b"^a\0ig\0", RawRegex("^a", "ig")),
        (0x0C, string(b"db.c") + b"\1" * 12, DBPointer("db.c", ObjectId(b"\1" * 12))),
        (0x0D, string(b"f()"), JavaScript("f()")),
        (0x0E, string(b"s"), Symbol("s")),
        (
            0x0F,
            struct.pack("<i", 4 + 8 + 5) + string(b"f()") + document(),
            JavaScript("f()", {}),
        ),
        (0x10, struct.pack("<i", -1), -1),
        (0x12, struct.pack("<q", 1), Int64(1)),
    ],
    ids=lambda value: f"{value:#x}" if type(value) is int else None,
)
def test_each_type(kind: int, value: bytes, expected: Any) -> None:
    raw = document(element(kind, b"f", value))
    for doc in (bson_codec.decode(raw), exact_codec.decode(raw, 200)):
        assert doc == {"f": expected}
        assert type(doc["f"]) is type(expected)
        if kind != 0x04:
            assert bson_codec.encode(doc) == raw
            assert exact_codec.encode(doc, 200) == raw


@pytest.mark.parametrize(
    "fields",
    [
        (element(0x02, b"$ref", string(b"c")), element(0x0A, b"$id")),
        (element(0x0A, b"$id"), element(0x02, b"$ref", string(b"c"))),
        (element(0x0A, b"$ref"), element(0x0A, b"$id")),
        (element(0x02, b"$ref", string(b"c")), element(0x0A, b"$id"), element(0x0A, b"x")),
    ],
)
def test_reference_is_an_object(fields: tuple[bytes, ...]) -> None:
    raw = document(element(0x03, b"r", document(*fields)))
    doc = bson_codec.decode(raw)
    assert type(doc["r"]) is dict
    assert bson_codec.encode(doc) == raw


def test_repeated_name_keeps_first_place_and_last_value() -> None:
    raw = document(
        element(0x08, b"a", b"\1"), element(0x0A, b"b"), element(0x10, b"a", b"\1\0\0\0")
    )
    for doc in (bson_codec.decode(raw), exact_codec.decode(raw, 200)):
        assert list(doc.items()) == [("a", 1), ("b", None)]
    assert not bson_codec.is_plain(raw)


def test_id_stays_where_it_is() -> None:
    doc = {"a": 1, "_id": 2}
    assert list(bson_codec.decode(bson_codec.encode(doc))) == ["a", "_id"]
    assert bson_codec.encode(doc) == exact_codec.encode(doc, 200)


@pytest.mark.parametrize(
    ("bits", "plain"),
    [
        (0x7FF8000000000000, False),
        (0x7FF8000000000001, False),
        (0xFFF8000000000000, False),
        (0x7FF0000000000001, False),
        (0x7FF0000000000000, False),
        (0xFFF0000000000000, False),
        (0x7FEFFFFFFFFFFFFF, True),
        (0x8000000000000000, True),
    ],
)
def test_bits_of_doubles_survive(bits: int, plain: bool) -> None:
    raw = document(element(0x01, b"d", struct.pack("<Q", bits)))
    assert bson_codec.encode(bson_codec.decode(raw)) == raw
    assert bson_codec.is_plain(raw) is plain


# Laws


@given(bson_documents())
def test_encode_then_decode_is_the_same(doc: dict[str, Any]) -> None:
    raw = bson_codec.encode(doc)
    assert exact_codec.encode(doc, 200) == raw
    again = bson_codec.decode(raw)
    assert bson_codec.encode(again) == raw
    assert exact_codec.encode(exact_codec.decode(raw, 200), 200) == raw
    assert list(again) == list(doc)


@given(plain_documents())
def test_plain_documents_are_plain(doc: dict[str, Any]) -> None:
    raw = bson_codec.encode(doc)
    assert bson_codec.is_plain(raw)
    assert bson_codec.decode_plain(raw) == bson_codec.decode(raw)


@given(bson_documents())
def test_plain_means_no_dollar_names_and_finite(doc: dict[str, Any]) -> None:
    def odd(value: Any) -> bool:
        if type(value) is float:
            return not math.isfinite(value)
        if type(value) is list:
            return any(odd(item) for item in value)
        if type(value) is JavaScript:
            return odd(value.scope)
        if type(value) is dict:
            return any(name.startswith("$") or odd(item) for name, item in value.items())
        return type(value) in {Symbol, DBPointer, RawRegex} or value is UNDEFINED

    assert bson_codec.is_plain(bson_codec.encode(doc)) is not odd(doc)


def _accepts_c(raw: bytes) -> bool:
    try:
        bson_codec.decode_plain(raw)
    except Exception:
        return False
    return True


def _accepts_exact(raw: bytes) -> bool:
    try:
        exact_codec.decode(raw, 200)
    except MongoError as error:
        if error.code != Code.INVALID_BSON:
            raise
        return False
    return True


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """Valid documents with some bytes replaced, removed or doubled, the outer length mended."""
    raw = bytearray(bson_codec.encode(draw(bson_documents(3))))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(raw) - 1))
        how = draw(st.sampled_from(["replace", "remove", "double"]))
        if how == "replace":
            raw[at] = draw(st.sampled_from([0, 1, 2, 3, 4, 5, 0x0C, 0x0F, 0x7F, 0xFF, 0x80]))
        elif how == "remove" and len(raw) > 5:
            del raw[at]
        else:
            raw.insert(at, raw[at])
    if draw(st.booleans()):
        raw[:4] = struct.pack("<i", len(raw))
    return bytes(raw)


@given(mangled() | st.binary(max_size=40))
@example(b"")
@example(b"\5\0\0\0")
@example(b"\4\0\0\0\0")
@example(document(b"\0"))
@example(document() + b"\0")
def test_any_bytes_are_a_document_or_an_error(raw: bytes) -> None:
    try:
        doc = bson_codec.decode(raw)
    except MongoError as error:
        if error.code != Code.INVALID_BSON:
            raise
        return
    assert type(doc) is dict
    assert bson_codec.decode(bson_codec.encode(doc)) is not None


@given(mangled() | st.binary(max_size=40))
def test_both_decoders_accept_the_same(raw: bytes) -> None:
    if b"$ref" in raw:
        return  # the C decoder fails on references that are no DBRef; it never sees them
    assert _accepts_c(raw) == _accepts_exact(raw)


@given(mangled() | bson_documents().map(bson_codec.encode))
def test_iterate_agrees_with_decode(raw: bytes) -> None:
    try:
        doc = bson_codec.decode(raw)
    except MongoError:
        return
    items = list(bson_codec.iterate(raw))
    assert list(dict.fromkeys(item[0] for item in items)) == list(doc)
    position = 4
    for name, kind, start, end in items:
        assert raw[position] == kind
        assert start == position + len(name.encode()) + 2
        position = end
    assert position == len(raw) - 1


# Refused


@pytest.mark.parametrize(
    "raw",
    [
        document(element(0x08, b"a", b"\2")),
        document(element(0x02, b"a", struct.pack("<i", 2) + b"xx")),
        document(element(0x02, b"a", struct.pack("<i", 0) + b"\0")),
        document(element(0x02, b"a", string(b"\xff"))),
        document(element(0x02, b"a", string(b"\xed\xa0\x80"))),
        document(element(0x0A, b"\xff")),
        document(element(0x05, b"a", struct.pack("<iB", 2, 2) + b"xx")),
        document(element(0x05, b"a", struct.pack("<iB", 5, 2) + struct.pack("<i", 2) + b"x")),
        document(element(0x05, b"a", struct.pack("<iB", -1, 0))),
        document(element(0x0B, b"a", b"x\0i")),
        document(element(0x0F, b"a", struct.pack("<i", 18) + string(b"f()") + document())),
        document(element(0x63, b"a")),
        document(element(0x0A, b"a"))[:-1],
        document(element(0x0A, b"a")) + b"x",
        document(b"\x0aa"),
        document(element(0x10, b"a", b"\0\0\0")),
        document(element(0x03, b"a", document()[:-1] + b"\1")),
        document(element(0x03, b"a", struct.pack("<i", 4) + b"\0")),
        document(element(0x03, b"a", struct.pack("<i", 2**31 - 1) + b"\0")),
        document(element(0x03, b"a", struct.pack("<i", 7) + b"\0\0\0")),
    ],
)
def test_malformed_bytes_are_refused(raw: bytes) -> None:
    assert code_of(raw) == Code.INVALID_BSON
    assert not _accepts_exact(raw)


@pytest.mark.parametrize(
    ("doc", "code"),
    [
        ({"a\0": 1}, Code.INVALID_BSON),
        ({"a": {"b\0c": 1}}, Code.INVALID_BSON),
        ({"a\ud800": 1}, Code.INVALID_BSON),
        ({"a": ["\udfff"]}, Code.INVALID_BSON),
        ({"a": Symbol("x\ud800")}, Code.INVALID_BSON),
        ({"a": Regex("x\0")}, Code.INVALID_BSON),
        ({"a": RawRegex("x", "g\0")}, Code.INVALID_BSON),
        ({"a": 2**63}, Code.OVERFLOW),
        ({"a": -(2**63) - 1}, Code.OVERFLOW),
    ],
)
def test_unencodable_values_are_refused(doc: dict[str, Any], code: int) -> None:
    with pytest.raises(MongoError) as caught:
        bson_codec.encode(doc)
    assert caught.value.code == code


@pytest.mark.parametrize("doc", [{"a": MISSING}, {"a": object()}, {1: 2}])
def test_foreign_values_are_our_bug(doc: dict[Any, Any]) -> None:
    with pytest.raises(AssertionError):
        bson_codec.encode(doc)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(2**31 - 1, 0x10), (-(2**31), 0x10), (2**31, 0x12), (-(2**31) - 1, 0x12), (Int64(1), 0x12)],
)
def test_width_of_integers(value: int, kind: int) -> None:
    for raw in (bson_codec.encode({"a": value}), exact_codec.encode({"a": value}, 200)):
        assert raw[4] == kind


# Depth


@pytest.mark.parametrize("kind", [0x03, 0x04, 0x0F])
def test_depth_is_limited(kind: int) -> None:
    for levels in (1, 2, NESTING_MESSAGE_MAX):
        bson_codec.decode(nested(levels, kind))
        exact_codec.decode(nested(levels, kind), NESTING_MESSAGE_MAX)
    for levels in (NESTING_MESSAGE_MAX + 1, 1000, 100_000):
        assert code_of(nested(levels, kind)) == Code.OVERFLOW
        with pytest.raises(MongoError) as caught:
            exact_codec.decode(nested(levels, kind), NESTING_MESSAGE_MAX)
        assert caught.value.code == Code.OVERFLOW


def test_deep_bytes_cannot_crash_a_small_stack() -> None:
    codes: list[int] = []
    before = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=lambda: codes.append(code_of(nested(100_000))))
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert codes == [Code.OVERFLOW]


def test_deep_values_are_refused_when_encoded() -> None:
    def value(levels: int) -> dict[str, Any]:
        doc: dict[str, Any] = {}
        for _ in range(levels - 1):
            doc = {"": doc}
        return doc

    assert bson_codec.encode(value(NESTING_MESSAGE_MAX)) == nested(NESTING_MESSAGE_MAX)
    for levels in (NESTING_MESSAGE_MAX + 1, 5000):
        with pytest.raises(MongoError) as caught:
            bson_codec.encode(value(levels))
        assert caught.value.code == Code.OVERFLOW


@given(bson_documents(), st.integers(1, 5))
def test_check_depth_counts_levels(doc: dict[str, Any], limit: int) -> None:
    def levels(value: Any) -> int:
        if type(value) is JavaScript and value.scope is not None:
            value = value.scope
        if type(value) is list:
            return 1 + max(map(levels, value), default=0)
        if type(value) is dict:
            return 1 + max(map(levels, value.values()), default=0)
        return 0

    raw = bson_codec.encode(doc)
    if levels(doc) <= limit:
        bson_codec.check_depth(raw, limit)
    else:
        with pytest.raises(MongoError) as caught:
            bson_codec.check_depth(raw, limit)
        assert caught.value.code == Code.OVERFLOW
