"""From a document's parsed JSON, as lines of log and data files hold it, back to its BSON."""

from __future__ import annotations

from typing import Any

from bson.objectid import ObjectId

from psdb_base.bson_codec import decode, encode
from psdb_base.extjson import EXACT, from_json, raw_from_line
from psdb_base.values import Document


def read_document(value: dict[str, Any], forms: int = -1) -> tuple[bytes, Document, bool]:
    """Return BSON, document and plainness of a document's JSON value.

    Args:
        value: The parsed JSON; taken over.
        forms: How often `{"$` stands in its text, negative when that was not counted. Without any,
            the parsed JSON is the document: quotes within strings are escaped, so none is missed.

    """
    if forms and EXACT in value:
        raw = raw_from_line(value)
        return raw, decode(raw), False
    doc = read_plain(value, forms)
    return encode(doc), doc, True


def read_plain(value: dict[str, Any], forms: int = -1) -> Document:
    """Return the document of a JSON value that has not the exact form; arguments as above."""
    if forms == 0:
        return value
    if forms == 1:
        inner = value.get("_id")
        if type(inner) is dict and "$oid" in inner:
            value["_id"] = ObjectId(bytes.fromhex(inner["$oid"]))
            return value
    return from_json(value)
