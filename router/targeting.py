"""Which shards a query or statement is for: from filters to ranges of shard keys.

The bounds of a filter come from `psdb_query.bounds_index`, as for an index on the shard key
whose paths never lead through arrays. They are a superset, so no shard is left out wrongly.
"""

from __future__ import annotations

from typing import Any, Final

from bson.int64 import Int64
from bson.regex import Regex

from psdb_base import order, paths
from psdb_base.shard_hash import hash64
from psdb_base.shard_keys import KeyPattern, Range
from psdb_base.values import MISSING, Document, RawRegex
from psdb_query.bounds import ALL, FieldBounds, Interval
from psdb_query.bounds_index import IndexField, Predicates, index_bounds
from psdb_query.context import CompileContext, Env
from psdb_query.filters import compile_filter

_COMBINATIONS_MAX: Final = 4096
_NOT_POINTS: Final = (dict, list, type(None), Regex, RawRegex)
_BY_COLLATION: Final = (str, dict, list)
EVERYTHING: Final[list[Range]] = [(b"", b"\xff" * 8)]


def after_prefix(prefix: bytes) -> bytes:
    """Return the least bytes above all keys that begin with `prefix`."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes((stripped[-1] + 1,)) if stripped else b"\xff" * 8


def exact_key(pattern: KeyPattern, spec: Document, collation: Any) -> bytes | None:
    """Return the key that a filter names by plain equality on every field, None for any other.

    Args:
        pattern: The shard key.
        spec: The filter.
        collation: The statement's collation document; with one, texts are not compared plainly.

    """
    values: Document = {}
    for name in pattern.names:
        value = spec.get(name, MISSING)
        if type(value) is dict and len(value) == 1 and "$eq" in value:
            value = value["$eq"]
        if value is MISSING or type(value) in _NOT_POINTS:
            return None
        if collation is not None and type(value) is str:
            return None
        values[name] = value
    return b"".join([
        order.key(Int64(hash64(value)) if name == pattern.hashed else value)
        for name, value in values.items()
    ])


def key_ranges(
    pattern: KeyPattern, spec: Document, context: CompileContext, env: Env
) -> list[Range]:
    """Return the ranges of keys that documents matching a filter may have.

    Raises:
        MongoError: As compiling the filter does.

    """
    if not spec:
        return EVERYTHING
    compiled = compile_filter(spec, context)
    fields = [
        IndexField(name, points_only=name == pattern.hashed) for name in pattern.names
    ]
    bounds = index_bounds(Predicates(compiled.tree, env), fields)
    found = list(bounds.fields)
    if context.collation is not None:
        found = [_without_texts(one) for one in found]
    return _product(pattern, found)


def _without_texts(bounds: FieldBounds) -> FieldBounds:
    """Widen bounds that rest on comparing texts, which a collation compares otherwise."""
    for interval in bounds.intervals:
        if type(interval.low_value) in _BY_COLLATION or type(interval.high_value) in _BY_COLLATION:
            return FieldBounds(ALL)
    return bounds


def _product(pattern: KeyPattern, fields: list[FieldBounds]) -> list[Range]:
    """Put the bounds of the fields together: points as prefixes, then one field's ranges."""
    prefixes = [b""]
    for name, bounds in zip(pattern.names, fields, strict=True):
        intervals = bounds.intervals
        if name == pattern.hashed and not bounds.is_points:
            break
        if bounds.is_points and len(prefixes) * len(intervals) <= _COMBINATIONS_MAX:
            keys = [_point_key(interval, hashed=name == pattern.hashed) for interval in intervals]
            prefixes = [prefix + key for prefix in prefixes for key in keys]
            continue
        if bounds.is_full or len(prefixes) * len(intervals) > _COMBINATIONS_MAX:
            break
        return [
            _cut_range(prefix, interval) for prefix in prefixes for interval in intervals
        ]
    return [(prefix, after_prefix(prefix)) for prefix in prefixes]


def _point_key(interval: Interval, *, hashed: bool) -> bytes:
    return order.key(Int64(hash64(interval.low_value))) if hashed else interval.low[0]


def _cut_range(prefix: bytes, interval: Interval) -> Range:
    low_key, low_after = interval.low
    high_key, high_after = interval.high
    low = prefix + low_key
    high = prefix + high_key
    return (after_prefix(low) if low_after else low, after_prefix(high) if high_after else high)


def key_of_document(pattern: KeyPattern, document: Document) -> Document:
    """Return an equality filter on a document's shard key."""
    found: Document = {}
    for name in pattern.names:
        value = paths.get(document, paths.split(name))
        found[name] = {"$eq": None if value is MISSING else value}
    return found
