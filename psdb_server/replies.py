"""Replies: the one place where results and errors become reply documents.

A reply's body is built as BSON elements, so that documents read from the store are slices of
the answer and are never encoded again. `array_elements` numbers raw documents as an array.
"""

from __future__ import annotations

import struct
from typing import Final

from bson.int64 import Int64
from bson.timestamp import Timestamp

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document

OK_ELEMENT: Final = b"\x01ok\x00" + struct.pack("<d", 1.0)
_INT32 = struct.Struct("<i")
_INT64 = struct.Struct("<q")
_ARRAY_PREFIXES: Final = [b"\x03%d\x00" % index for index in range(1024)]


def array_elements(documents: list[bytes]) -> bytes:
    """Return the content of a BSON array (with length and end) of these raw documents."""
    count = len(documents)
    parts: list[bytes] = []
    prefixes = _ARRAY_PREFIXES
    for index in range(count):
        parts.append(prefixes[index] if index < 1024 else b"\x03%d\x00" % index)
        parts.append(documents[index])
    body = b"".join(parts)
    return _INT32.pack(len(body) + 5) + body + b"\x00"


def cursor_elements(
    cursor_id: int, ns: str, batch: list[bytes], batch_name: bytes, *, partial: bool = False
) -> bytes:
    """Return the `cursor` element of a find, aggregate or getMore reply.

    Args:
        cursor_id: 0 when the cursor is exhausted.
        ns: Namespace `db.collection`.
        batch: Raw documents.
        batch_name: `b"firstBatch"` or `b"nextBatch"`.
        partial: Shards that could not be reached were left out.

    """
    name = ns.encode()
    body = b"".join(
        (
            b"\x04", batch_name, b"\x00", array_elements(batch),
            b"\x08partialResultsReturned\x00\x01" if partial else b"",
            b"\x12id\x00", _INT64.pack(cursor_id),
            b"\x02ns\x00", _INT32.pack(len(name) + 1), name, b"\x00",
        )
    )
    return b"\x03cursor\x00" + _INT32.pack(len(body) + 5) + body + b"\x00"


def read_cursor(reply_body: bytes) -> tuple[int, str] | None:
    """Find cursor id and namespace in a reply body that begins with a `cursor` element.

    Relies on the shape `cursor_elements` gives: the batch first, then id and ns, so that the
    batch is skipped by its length. Returns None when the body is of another shape.
    """
    if reply_body[4:12] != b"\x03cursor\x00":
        return None
    name_end = reply_body.find(b"\x00", 17)
    if name_end < 0 or reply_body[16] != 0x04:
        return None
    start = name_end + 1
    at = start + _INT32.unpack_from(reply_body, start)[0]
    if reply_body[at : at + 4] != b"\x12id\x00":
        return None
    cursor_id: int = _INT64.unpack_from(reply_body, at + 4)[0]
    at += 12
    if reply_body[at : at + 4] != b"\x02ns\x00":
        return None
    size = _INT32.unpack_from(reply_body, at + 4)[0]
    return cursor_id, reply_body[at + 8 : at + 7 + size].decode()


def time_elements(cluster_time: Timestamp, operation_time: Timestamp | None) -> bytes:
    """Return the `$clusterTime` and `operationTime` elements of a reply."""
    raw = (cluster_time.time << 32 | cluster_time.inc).to_bytes(8, "little")
    # `clusterTime` is the first field of the first subdocument: its value's place is fixed.
    template = _CLUSTER_TIME_SIGNED
    gossip = template[:_TIME_AT] + raw + template[_TIME_AT + 8 :]
    if operation_time is None:
        return gossip
    if operation_time is not cluster_time:
        raw = (operation_time.time << 32 | operation_time.inc).to_bytes(8, "little")
    return gossip + b"\x11operationTime\x00" + raw


def read_cluster_time(raw: bytes) -> int:
    """Read the cluster time of a reply that ends with `time_elements`, 0 of any other.

    The number holds seconds and increment in 32 bits each, so that times compare as numbers.
    """
    start = len(raw) - len(_CLUSTER_TIME_SIGNED) - _OPERATION_TIME_BYTES - 1
    if start < 0 or raw[start : start + _TIME_AT] != _CLUSTER_TIME_SIGNED[:_TIME_AT]:
        return 0
    return int.from_bytes(raw[start + _TIME_AT : start + _TIME_AT + 8], "little")


_OPERATION_TIME_BYTES: Final = len(b"\x11operationTime\x00") + 8


def _signed_template() -> bytes:
    signature = {"hash": b"\0" * 20, "keyId": Int64(0)}
    raw = bson_codec.encode(
        {"$clusterTime": {"clusterTime": Timestamp(0, 0), "signature": signature}}
    )
    return raw[4:-1]


_CLUSTER_TIME_SIGNED: Final = _signed_template()
_TIME_AT: Final = _CLUSTER_TIME_SIGNED.index(b"\x11clusterTime\x00") + len(b"\x11clusterTime\x00")


def close_body(elements: bytes) -> bytes:
    """Make a document of elements."""
    return _INT32.pack(len(elements) + 5) + elements + b"\x00"


def document_elements(document: Document) -> bytes:
    """Encode a document and return its elements without length and end."""
    return bson_codec.encode(document)[4:-1]


def error_document(error: BaseException) -> Document:
    """Turn any exception into the fields of an error reply.

    Anything that is not a `MongoError` is our bug; it becomes InternalError without its text's
    details lost (the caller logs it loudly).
    """
    if isinstance(error, MongoError):
        document: Document = {
            "ok": 0.0,
            "errmsg": error.message,
            "code": error.code,
            "codeName": error.code_name,
        }
        document |= error.extra
        if error.labels:
            document["errorLabels"] = list(error.labels)
        return document
    if isinstance(error, RecursionError):
        return error_document(MongoError(Code.OVERFLOW, "Exceeded depth limit"))
    return {
        "ok": 0.0,
        "errmsg": f"Internal error: {type(error).__name__}",
        "code": int(Code.INTERNAL_ERROR),
        "codeName": "InternalError",
    }


def write_error(index: int, error: MongoError) -> Document:
    """Return one row of `writeErrors`."""
    row: Document = {"index": index, "code": error.code}
    row |= error.extra
    row["errmsg"] = error.message
    return row

