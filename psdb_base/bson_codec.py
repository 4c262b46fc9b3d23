"""BSON bytes to documents and back: PyMongo's C codec where it is exact, else our own.

The C decoder is fast and lossy: it turns symbol into str, undefined into None, a `$ref` object
into a DBRef, and drops unknown regex options. What it decoded is therefore encoded again and
compared; any other document takes `psdb_base.exact_codec`, which is slower and loses nothing.

A repeated field name keeps its first place and its last value in the decoded `dict`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from bson import _cbson  # type: ignore[attr-defined]
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import InvalidBSON, InvalidDocument

from psdb_base import exact_codec
from psdb_base.exact_codec import NESTED_LEVEL_BYTES_MIN, check_depth, iterate
from psdb_base.limits import NESTING_MESSAGE_MAX
from psdb_base.values import Document

__all__ = [
    "OPTIONS",
    "check_depth",
    "decode",
    "decode_plain",
    "encode",
    "is_plain",
    "iterate",
]

OPTIONS: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    document_class=dict,
    tz_aware=False,
    datetime_conversion=DatetimeConversion.DATETIME_MS,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
)
"""How the C codec maps types: the table of `psdb_base.values`."""

_SHALLOW_BYTES: Final = NESTED_LEVEL_BYTES_MIN * NESTING_MESSAGE_MAX
"""A document of no more bytes cannot nest too deep."""
_c_decode: Final = _cbson._bson_to_dict  # noqa: SLF001 -- the fast entry, without per-call set-up
_c_encode: Final = _cbson._dict_to_bson  # noqa: SLF001
_DOLLAR_NAME: Final = re.compile(rb"\$(?<=[\x01-\x13\x7f\xff]\$)")
_NOT_FINITE: Final = re.compile(rb"[\xf0-\xff][\x7f\xff]")


def decode(raw: bytes) -> Document:
    """Decode one BSON document exactly.

    Raises:
        MongoError: InvalidBSON (22) for malformed bytes, Overflow (15) for more than
            `NESTING_MESSAGE_MAX` levels.

    """
    if len(raw) > _SHALLOW_BYTES:
        check_depth(raw, NESTING_MESSAGE_MAX)
    if b"$ref\0" not in raw:
        try:
            doc: Document = _c_decode(raw, OPTIONS)
            if _c_encode(doc, False, OPTIONS, False) == raw:
                return doc
        except (InvalidBSON, RecursionError):
            pass  # the exact decoder words the error
    return exact_codec.decode(raw, NESTING_MESSAGE_MAX)


def decode_plain(raw: bytes) -> Document:
    """Decode bytes that are known to be plain (see `is_plain`), without any check."""
    return _c_decode(raw, OPTIONS)  # type: ignore[no-any-return]


def encode(doc: Mapping[str, Any]) -> bytes:
    """Encode a document; a plain `int` beyond 32 bits becomes a long.

    Raises:
        MongoError: InvalidBSON (22) for a NUL in a name or a lone surrogate, Overflow (15) for
            an integer beyond 64 bits or more than `NESTING_MESSAGE_MAX` levels.

    """
    try:
        raw: bytes = _c_encode(doc, False, OPTIONS, False)
    except (InvalidDocument, OverflowError, UnicodeError, RecursionError, ValueError, TypeError):
        return exact_codec.encode(doc, NESTING_MESSAGE_MAX)
    if len(raw) > _SHALLOW_BYTES:
        check_depth(raw, NESTING_MESSAGE_MAX)
    return raw


def is_plain(raw: bytes, doc: Document | None = None) -> bool:
    """Tell whether a valid document survives the C codec and Extended JSON bit for bit.

    Plain documents encode to the same bytes again and hold no NaN, infinity, `$ref` object or
    field name that begins with `$`.

    Args:
        raw: A valid BSON document.
        doc: What it decodes to, when the caller has it.

    """
    doubtful = _DOLLAR_NAME.search(raw) is not None or (
        (b"\x7f" in raw or b"\xff" in raw) and _NOT_FINITE.search(raw) is not None
    )
    if doc is None:
        doc = decode(raw)
    try:
        if _c_encode(doc, False, OPTIONS, False) != raw:
            return False
    except InvalidDocument:
        return False
    return not doubtful or not exact_codec.holds_unplain(raw)


def split(raws: bytes) -> Iterator[bytes]:
    """Yield valid documents that were written one after the other."""
    at = 0
    while at < len(raws):
        size = int.from_bytes(raws[at : at + 4], "little")
        yield raws[at : at + size]
        at += size


def fields(raw: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Yield name, type and value bytes of each top-level element of a valid document."""
    for name, kind, start, end in iterate(raw):
        yield name, kind, raw[start:end]
