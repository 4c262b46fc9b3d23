"""Documents on their way in: `_id`, size, depth, names, server timestamps."""

from __future__ import annotations

import struct
from typing import Any, Final

from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.limits import DOCUMENT_BYTES_MAX, NESTING_STORED_MAX
from psdb_base.values import UNDEFINED, Document, RawRegex
from psdb_query.describe import type_name
from shardsvr.member import Member

_INT32 = struct.Struct("<i")
_NO_TIMESTAMP: Final = Timestamp(0, 0)
_ID_ELEMENT: Final = b"\x07_id\x00"


def check_id(value: Any) -> None:
    """Raise for an `_id` that may not be stored."""
    kind = type(value)
    if kind is ObjectId or kind is int or kind is str:
        return
    if kind in (list, Regex, RawRegex) or value is UNDEFINED:
        raise MongoError(
            Code.INVALID_ID_FIELD, f"The '_id' value cannot be of type {type_name(value)}"
        )
    if kind is dict:
        name = _dollar_name(value)
        if name is not None:
            raise MongoError(
                Code.DOLLAR_PREFIXED_FIELD_NAME,
                f"_id fields may not contain '$'-prefixed fields: {name} is not valid for storage.",
            )


def _dollar_name(value: Any) -> str | None:
    """Return a name that begins with `$`, at any depth, other than those that a DBRef begins with.

    A DBRef is `$ref`, a string, and `$id`; then perhaps `$db`, a string, and fields of any name.
    """
    items = list(value.items()) if type(value) is dict else [("", one) for one in value]
    names = [name for name, _ in items[:2]]
    if names == ["$ref", "$id"] and type(value["$ref"]) is str:
        del items[:2]
        if items and items[0][0] == "$db" and type(items[0][1]) is str:
            del items[0]
    for name, within in items:
        if name.startswith("$"):
            return name
        found = _dollar_name(within) if type(within) in (dict, list) else None
        if found is not None:
            return found
    return None


def prepare_insert(member: Member, raw: bytes) -> tuple[bytes, Document]:
    """Check a document to be inserted and give it its `_id` in front.

    Returns:
        The bytes to store and the decoded document.

    Raises:
        MongoError: 2, 15, 22, 52, 53 for a document that may not be stored.

    """
    if len(raw) > DOCUMENT_BYTES_MAX:
        raise too_large(len(raw), "object to insert too large")
    document = bson_codec.decode(raw)
    bson_codec.check_depth(raw, NESTING_STORED_MAX)
    first = next(iter(document), None)
    if first != "_id":
        raw = _with_id_first(member, raw, document)
        document = bson_codec.decode(raw)
    check_id(document["_id"])
    if b"\x11" in raw:
        raw, document = _fill_timestamps(member, raw, document)
    if len(raw) > DOCUMENT_BYTES_MAX:
        raise too_large(len(raw), "object to insert too large")
    return raw, document


def too_large(size: int, what: str) -> MongoError:
    """Return the error for a document over 16 MiB."""
    return MongoError(
        Code.BSON_OBJECT_TOO_LARGE,
        f"{what}. size in bytes: {size}, max size: {DOCUMENT_BYTES_MAX}",
    )


def _with_id_first(member: Member, raw: bytes, document: Document) -> bytes:
    """Move `_id` to the front, or make one; every other byte stays as it is."""
    if "_id" not in document:
        elements = _ID_ELEMENT + member.world.random.object_id().binary + raw[4:-1]
    else:
        elements = b""
        for name, _kind, value_start, end in bson_codec.iterate(raw):
            if name == "_id":
                start = value_start - len(_ID_ELEMENT)
                elements = raw[start:end] + raw[4:start] + raw[end:-1]
                break
    return _INT32.pack(len(elements) + 5) + elements + b"\x00"


def _fill_timestamps(member: Member, raw: bytes, document: Document) -> tuple[bytes, Document]:
    """Replace empty timestamps at the top level (not `_id`) by the current time."""
    found = [
        name for name, value in document.items()
        if type(value) is Timestamp and value == _NO_TIMESTAMP and name != "_id"
    ]
    if not found:
        return raw, document
    document = dict(document)
    for name in found:
        document[name] = member.clock.tick()
    raw = bson_codec.encode(document)
    return raw, document


def prepare_update(member: Member, document: Document) -> tuple[bytes, Document]:
    """Encode an updated document, checking what storage asks of it."""
    for name, value in document.items():
        if type(value) is Timestamp and value == _NO_TIMESTAMP and name != "_id":
            document = {**document, name: member.clock.tick()}
    raw = bson_codec.encode(document)
    if len(raw) > DOCUMENT_BYTES_MAX:
        raise MongoError(
            17419, f"Resulting document after update is larger than {DOCUMENT_BYTES_MAX}"
        )
    bson_codec.check_depth(raw, NESTING_STORED_MAX)
    return raw, bson_codec.decode(raw)
