"""Where the components of a compound index key end.

Keys of `psdb_base.order` are prefix-free, so a concatenation can be taken apart again; a
component of a descending field has all its bytes inverted.
"""

from __future__ import annotations

from typing import Final

from psdb_base import order

_BIAS: Final = 2
_INVERTED: Final = bytes(255 - byte for byte in range(256))
_FIXED: Final[dict[int, int]] = {
    rank + _BIAS: size
    for rank, size in {
        order.RANK_MIN_KEY: 0,
        order.RANK_UNDEFINED: 0,
        order.RANK_NULL: 0,
        order.RANK_OBJECT_ID: 12,
        order.RANK_BOOL: 1,
        order.RANK_DATE: 8,
        order.RANK_TIMESTAMP: 8,
        order.RANK_MAX_KEY: 0,
    }.items()
}
"""Lead byte → how many bytes follow it, for the types of one size."""
_NUMBER: Final = order.RANK_NUMBER + _BIAS
_STRING: Final = order.RANK_STRING + _BIAS
_OBJECT: Final = order.RANK_OBJECT + _BIAS
_ARRAY: Final = order.RANK_ARRAY + _BIAS
_BINARY: Final = order.RANK_BINARY + _BIAS
_REGEX: Final = order.RANK_REGEX + _BIAS
_DB_POINTER: Final = order.RANK_DB_POINTER + _BIAS
_CODE: Final = order.RANK_CODE + _BIAS
_POSITIVE: Final = 0x80
"""Least first byte of the double of a number that is not negative."""


def component_ends(key: bytes, descending: tuple[bool, ...]) -> list[int]:
    """Return where each component of a key ends; the last end may lie before the key's."""
    ends = []
    at = 0
    inverted: bytes | None = None
    for down in descending:
        if down:
            if inverted is None:
                inverted = key.translate(_INVERTED)
            at = component_end(inverted, at)
        else:
            at = component_end(key, at)
        ends.append(at)
    return ends


def split(key: bytes, descending: tuple[bool, ...]) -> list[bytes]:
    """Return the components of a key, each as `order.key` made it (not inverted)."""
    start = 0
    parts = []
    for end, down in zip(component_ends(key, descending), descending, strict=True):
        part = key[start:end]
        parts.append(part.translate(_INVERTED) if down else part)
        start = end
    return parts


def component_end(key: bytes, start: int) -> int:
    """Return where the component that begins at `start` ends (in an ascending field)."""
    return _end(key[start], key, start + 1)


def _end(lead: int, key: bytes, at: int) -> int:
    """Return where a value's key ends, given its lead byte and where its rest begins."""
    size = _FIXED.get(lead)
    if size is not None:
        return at + size
    if lead == _NUMBER:
        return _number_end(key, at)
    if lead in (_STRING, _CODE):
        return key.index(b"\0\0", at) + 2
    if lead == _OBJECT:
        return _object_end(key, at)
    if lead == _ARRAY:
        while key[at]:
            at = _end(key[at], key, at + 1)
        return at + 1
    if lead == _BINARY:
        return at + 5 + int.from_bytes(key[at : at + 4], "big")
    if lead == _REGEX:
        return key.index(0, key.index(0, at) + 1) + 1
    if lead == _DB_POINTER:
        return at + 4 + int.from_bytes(key[at : at + 4], "big") + 12
    # Code with scope: its text, then its scope as an object.
    return _object_end(key, key.index(b"\0\0", at) + 3)


def _number_end(key: bytes, at: int) -> int:
    tail = at + 8
    if not key[tail]:
        return tail + 1
    stop = 0 if key[at] >= _POSITIVE else 255
    return key.index(stop, tail + 3) + 1


def _object_end(key: bytes, at: int) -> int:
    while key[at]:
        at = _end(key[at], key, key.index(0, at + 1) + 1)
    return at + 1
