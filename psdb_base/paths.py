"""Dotted paths into documents: splitting, plain look-up, MongoDB's traversal of arrays."""

from __future__ import annotations

from typing import Any

from psdb_base.values import MISSING, Document


def split(path: str) -> tuple[str, ...]:
    """Split a dotted path into its components; `""` is one empty component."""
    return tuple(path.split("."))


def array_index(part: str) -> int | None:
    """Return the array position a path component names, None when it names none.

    Positions are decimal digits without leading zeros.
    """
    if part.isascii() and part.isdigit() and (part[0] != "0" or len(part) == 1):
        return int(part)
    return None


def get(doc: Document, parts: tuple[str, ...]) -> Any:
    """Return the value at a path through objects only, `MISSING` when there is none."""
    value: Any = doc
    for part in parts:
        if type(value) is not dict:
            return MISSING
        value = value.get(part, MISSING)
    return value


def values_along(doc: Document, parts: tuple[str, ...], *, expand_leaf: bool = True) -> list[Any]:
    """Return every value that a query path reaches, in document order.

    An array on the way stands for each object in it, and for the element at a position where the
    next component is a number. An object without the field, and a scalar on the way outside an
    array, give one `MISSING`; scalars inside an array on the way give nothing.

    Args:
        doc: Where the path begins.
        parts: The path, as `split` gives it.
        expand_leaf: Whether an array at the path's end gives its elements and then itself, as
            matching needs; otherwise it gives itself only.

    """
    found: list[Any] = []
    _from_object(doc, parts, 0, expand_leaf, found)
    return found


def _from_object(
    value: Any, parts: tuple[str, ...], at: int, expand_leaf: bool, found: list[Any]
) -> None:
    """Follow `parts[at:]` from an object, or from a value on the way that is no array."""
    while at < len(parts):
        if type(value) is list:
            _from_array(value, parts, at, expand_leaf, found)
            return
        if type(value) is not dict:
            found.append(MISSING)
            return
        value = value.get(parts[at], MISSING)
        at += 1
    if expand_leaf and type(value) is list:
        found.extend(value)
    found.append(value)


def _from_array(
    values: list[Any], parts: tuple[str, ...], at: int, expand_leaf: bool, found: list[Any]
) -> None:
    """Follow `parts[at:]` from an array that stands on the way."""
    position = array_index(parts[at])
    for index, value in enumerate(values):
        if type(value) is dict:
            _from_object(value, parts, at, expand_leaf, found)
        if index == position:
            if at + 1 == len(parts):
                # A leaf reached by position is one value, even when it is an array.
                found.append(value)
            elif type(value) is dict or type(value) is list:
                _from_object(value, parts, at + 1, expand_leaf, found)
