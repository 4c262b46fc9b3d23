"""The difference of two versions of a document, small enough to log in place of the new one.

A diff is a document with any of these fields, applied in this order:

| field | of an object | of an array |
|---|---|---|
| `d` | list of names removed | |
| `l` | | length of the new array |
| `u` | names to new values, set in place | positions (as text) to new values |
| `s` | names to diffs of inner objects and arrays | positions to diffs |
| `i` | names to values, added behind the rest in this order | |

A diff of an array also holds `a: true`. `apply` copies what it changes and shares the rest.
Names stand for themselves: `.`, `$` and empty names mean nothing special.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

from psdb_base import bson_codec, order
from psdb_base.errors import MongoError
from psdb_base.values import Document


def diff(old: Document, new: Document, size_bytes: int) -> Document | None:
    """Return what turns `old` into exactly `new`, field order and types included.

    Args:
        old: The version before.
        new: The version after.
        size_bytes: How many bytes of BSON `new` is.

    None when the order of the fields kept has changed, the diff would nest too deep, or it would
    take more than half of the bytes of `new`: the whole document is the better record then.
    """
    delta = _diff_objects(old, new, top=True)
    if delta is None:
        return None
    try:
        size = len(bson_codec.encode(delta))
    except MongoError:
        # Every level of a document takes two of its diff, which may be too deep to be encoded.
        return None
    return delta if 2 * size <= size_bytes else None


def apply(old: Document, delta: Document) -> Document:
    """Return the document that `delta` makes of `old`; `old` is left as it is."""
    result = dict(old)
    for name in delta.get("d", ()):
        del result[name]
    result.update(delta.get("u", {}))
    for name, inner in delta.get("s", {}).items():
        result[name] = _apply_value(result[name], inner)
    result.update(delta.get("i", {}))
    return result


def _apply_value(old: Any, delta: Document) -> Any:
    if "a" not in delta:
        return apply(old, delta)
    length = delta["l"]
    result = old[:length] + [None] * (length - len(old))
    for position, value in delta.get("u", {}).items():
        result[int(position)] = value
    for position, inner in delta.get("s", {}).items():
        result[int(position)] = _apply_value(old[int(position)], inner)
    return result


def _diff_objects(old: Document, new: Document, *, top: bool = False) -> Document | None:
    """Diff two objects (empty: nothing changed); None when the fields kept changed their order."""
    removed = [name for name in old if name not in new]
    kept = [name for name in old if name in new] if removed else list(old)
    # What is new must stand behind what was kept, in the old order.
    if kept != list(islice(new, len(kept))):
        return None
    updated: Document = {}
    inner: Document = {}
    for name in kept:
        # Most of a document's fields are as they were: C tells that of a whole one at once.
        if not top or not order.identical(old[name], new[name]):
            _diff_values(name, old[name], new[name], updated, inner)
    added = dict(islice(new.items(), len(kept), None))
    parts = {"d": removed, "u": updated, "s": inner, "i": added}
    return {part: content for part, content in parts.items() if content}


def _diff_arrays(old: list[Any], new: list[Any]) -> Document:
    """Diff two arrays (empty: nothing changed)."""
    updated: Document = {}
    inner: Document = {}
    for index, (value, other) in enumerate(zip(old, new, strict=False)):
        _diff_values(str(index), value, other, updated, inner)
    for index in range(len(old), len(new)):
        updated[str(index)] = new[index]
    if len(old) == len(new) and not updated and not inner:
        return {}
    parts = {"a": True, "l": len(new), "u": updated, "s": inner}
    return {part: content for part, content in parts.items() if content or part == "l"}


def _diff_values(name: str, old: Any, new: Any, updated: Document, inner: Document) -> None:
    """Put what changed at `name` into `updated` or `inner`, nothing when nothing did."""
    kind = type(old)
    if kind is type(new) and (kind is dict or kind is list):
        delta = _diff_objects(old, new) if kind is dict else _diff_arrays(old, new)
        if delta is not None:
            if not delta:
                return
            touched = len(delta.get("u", ())) + len(delta.get("i", ())) + len(delta.get("d", ()))
            # An inner value of which most has changed is set whole: its diff would be larger.
            if 2 * touched <= len(new):
                inner[name] = delta
                return
    elif order.identical(old, new):
        return
    updated[name] = new
