"""Binary data and text in the formats of `$convert`: base64, base64url, hex, utf8, uuid, auto."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final

from bson.binary import Binary

FORMATS: Final = frozenset(("auto", "base64", "base64url", "hex", "utf8", "uuid"))

UUID_SUBTYPE: Final = 4
_UUID: Final = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\Z"
)
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]*={0,2}\Z")
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})*\Z")


class BinarySyntaxError(ValueError):
    """Why a text or binary cannot be converted, in MongoDB's words."""


def subtype_of(value: Any) -> int:
    """Subtype of a binData value; plain bytes have 0."""
    return value.subtype if type(value) is Binary else 0


def make_binary(data: bytes, subtype: int) -> Any:
    """Return the binData value: plain bytes for subtype 0."""
    return Binary(data, subtype) if subtype else data


def read_binary(text: str, form: str, subtype: int) -> Any:
    """Decode a text; raises BinarySyntaxError."""
    if form == "uuid" and subtype != UUID_SUBTYPE:
        raise BinarySyntaxError("Only the UUID subtype (4) is allowed with the 'uuid' format")
    if form != "uuid" and subtype == UUID_SUBTYPE:
        raise BinarySyntaxError("Only the 'uuid' format is allowed with the UUID subtype")
    if form == "auto":
        raise BinarySyntaxError("Invalid format 'auto'")
    return make_binary(_decode(text, form), subtype)


def _decode(text: str, form: str) -> bytes:
    if form == "base64":
        return _decode_base64(text, "Input is not a valid base64 string")
    if form == "base64url":
        return _decode_base64url(text)
    if form == "hex":
        if _HEX.match(text) is None:
            raise BinarySyntaxError("Input is not a valid hex string")
        return bytes.fromhex(text)
    if form == "uuid":
        if _UUID.match(text) is None:
            raise BinarySyntaxError("Input is not a valid UUID string")
        return bytes.fromhex(text.replace("-", ""))
    return text.encode("utf-8", "surrogatepass")


def _decode_base64(text: str, complaint: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BinarySyntaxError(complaint) from None


def _decode_base64url(text: str) -> bytes:
    complaint = "Input is not a valid base64url string"
    if _BASE64URL.match(text) is None:
        raise BinarySyntaxError(complaint)
    bare = text.rstrip("=")
    padded = bare + "=" * (-len(bare) % 4)
    return _decode_base64(padded.replace("-", "+").replace("_", "/"), complaint)


def write_binary(value: Any, form: str) -> str:
    """Encode binary data as text; raises BinarySyntaxError."""
    data = bytes(value)
    is_uuid = subtype_of(value) == UUID_SUBTYPE
    if form == "auto":
        form = "uuid" if is_uuid and len(data) == 16 else "base64"
    if form == "uuid":
        if not is_uuid or len(data) != 16:
            raise BinarySyntaxError("BinData does not represent a valid UUID")
        return _uuid_text(data)
    if form == "hex":
        return data.hex().upper()
    if form == "utf8":
        return _utf8_text(data)
    if form == "base64":
        return base64.b64encode(data).decode("ascii")
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _uuid_text(data: bytes) -> str:
    text = data.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _utf8_text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise BinarySyntaxError("BinData does not represent a valid UTF-8 string") from None
