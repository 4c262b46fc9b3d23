"""Shard keys: the pattern, the key of a document, and ranges of keys.

A key is bytes that order as MongoDB orders shard key values: the order keys of the pattern's
fields one after the other (each is prefix-free), under the simple collation. A hashed field's
value is its 64-bit hash. Bounds of chunks are documents `{field: value}`; their keys compare
with those of documents. A range holds its minimum and not its maximum.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, Final

from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey

from psdb_base import order, paths
from psdb_base.errors import Code, MongoError
from psdb_base.shard_hash import hash64
from psdb_base.values import MISSING, Document

HASHED: Final = "hashed"
Range = tuple[bytes, bytes]
"""A range of keys: from the first on, below the second."""


class KeyPattern:
    """A shard key pattern such as `{"a": 1}`, `{"_id": "hashed"}`, `{"a": 1, "b": "hashed"}`.

    Attributes:
        spec: The pattern as given.
        names: Its paths in order.
        hashed: The path of the hashed field, None without one.

    """

    __slots__ = ("_fields", "_single", "hashed", "names", "spec")

    def __init__(self, spec: Document) -> None:
        self.spec = spec
        self.names = tuple(spec)
        self._fields = tuple((paths.split(name), spec[name] == HASHED) for name in spec)
        self.hashed = next((name for name in spec if spec[name] == HASHED), None)
        one = len(self.names) == 1 and self.hashed is None and "." not in self.names[0]
        self._single = self.names[0] if one else None

    @property
    def lowest(self) -> Document:
        """The bound below all keys."""
        return {name: MinKey() for name in self.names}

    @property
    def highest(self) -> Document:
        """The bound above all keys."""
        return {name: MaxKey() for name in self.names}

    def values(self, document: Document) -> Document:
        """Return a document's shard key as its fields, unhashed; what is missing is null.

        Raises:
            MongoError: 61 ShardKeyNotFound for an array on a field's path.

        """
        found: Document = {}
        for name, (parts, _hashed) in zip(self.names, self._fields, strict=True):
            value = _value(document, parts)
            found[name] = None if value is MISSING else value
        return found

    def bound(self, document: Document) -> Document:
        """Return a document's place among the chunks, as a chunk's bounds show it."""
        found: Document = {}
        for name, (parts, hashed) in zip(self.names, self._fields, strict=True):
            value = _value(document, parts)
            if hashed:
                found[name] = Int64(hash64(value))
            else:
                found[name] = None if value is MISSING else value
        return found

    def key(self, document: Document) -> bytes:
        """Return a document's key.

        Raises:
            MongoError: 61 ShardKeyNotFound for an array on a field's path.

        """
        if self._single is not None:
            value = document.get(self._single, None)
            if type(value) is not list:
                return order.key(value)
        pieces: list[bytes] = []
        for parts, hashed in self._fields:
            value = _value(document, parts)
            if hashed:
                value = Int64(hash64(value))
            pieces.append(order.key(None if value is MISSING else value))
        return b"".join(pieces)

    def bound_key(self, bound: Document) -> bytes:
        """Return the key of a chunk's bound, which holds hashes already.

        Raises:
            MongoError: 2 BadValue when it does not have exactly the pattern's fields.

        """
        if tuple(bound) != self.names:
            raise MongoError(
                Code.BAD_VALUE,
                f"the bound's fields ({', '.join(bound)}) are not those of the shard key "
                f"({', '.join(self.names)})",
            )
        return b"".join([order.key(bound[name]) for name in self.names])

    def is_prefix_of(self, pattern: Document) -> bool:
        """Tell whether an index on `pattern` begins with this key."""
        if len(pattern) < len(self.names):
            return False
        pairs = zip(self.names, pattern, strict=False)
        return all(
            mine == other and _same_kind(self.spec[mine], pattern[other]) for mine, other in pairs
        )


def _same_kind(mine: Any, other: Any) -> bool:
    if HASHED in (mine, other):
        return bool(mine == other)
    return type(other) is not str and other in (1, -1)


def _value(document: Document, parts: tuple[str, ...]) -> Any:
    value: Any = document
    for part in parts:
        if type(value) is list:
            raise _array()
        if type(value) is not dict:
            return MISSING
        value = value.get(part, MISSING)
    if type(value) is list:
        raise _array()
    return value


def _array() -> MongoError:
    return MongoError(
        Code.SHARD_KEY_NOT_FOUND, "Shard key cannot contain array values or array descendants."
    )


def check_pattern(spec: Any) -> KeyPattern:
    """Return the pattern of a `key` option.

    Raises:
        MongoError: 2 BadValue as MongoDB refuses patterns.

    """
    if type(spec) is not dict or not spec:
        raise MongoError(Code.BAD_VALUE, "Shard key is empty")
    hashed = 0
    for name, value in spec.items():
        if not name or any(not part or part.startswith("$") for part in name.split(".")):
            raise MongoError(
                Code.BAD_VALUE, f"Field {name} of the shard key is not a valid path"
            )
        if value == HASHED:
            hashed += 1
        elif type(value) is str or type(value) is bool or value != 1:
            raise MongoError(
                Code.BAD_VALUE,
                f"Shard key {{ {name}: {value!r} }} can contain either a single 'hashed' field or "
                "multiple numerical fields set to a value of 1. Failed to parse field "
                f"{name}",
            )
    if hashed > 1:
        raise MongoError(Code.BAD_VALUE, "Shard key can contain at most one 'hashed' field, but "
                         "found multiple.")
    return KeyPattern({name: value if value == HASHED else 1 for name, value in spec.items()})


class Ranges:
    """A set of keys as ranges: disjoint, ascending, neighbours joined."""

    __slots__ = ("_highs", "_lows", "pairs")

    def __init__(self, pairs: Iterable[Range] = ()) -> None:
        joined: list[Range] = []
        for low, high in sorted(pairs):
            if joined and low <= joined[-1][1]:
                if high > joined[-1][1]:
                    joined[-1] = (joined[-1][0], high)
            elif low < high:
                joined.append((low, high))
        self.pairs: Sequence[Range] = joined
        self._lows = [low for low, _ in joined]
        self._highs = [high for _, high in joined]

    def __bool__(self) -> bool:
        return bool(self.pairs)

    def contains(self, key: bytes) -> bool:
        """Tell whether a key lies in one of the ranges."""
        at = bisect_right(self._lows, key) - 1
        return at >= 0 and key < self._highs[at]

    def covers(self, low: bytes, high: bytes) -> bool:
        """Tell whether the whole of a range lies within."""
        at = bisect_right(self._lows, low) - 1
        return at >= 0 and high <= self._highs[at]

    def overlaps(self, low: bytes, high: bytes) -> bool:
        """Tell whether any key of a range lies within."""
        at = bisect_right(self._lows, low) - 1
        if at >= 0 and low < self._highs[at]:
            return True
        return at + 1 < len(self._lows) and self._lows[at + 1] < high

    def minus(self, other: Ranges) -> Ranges:
        """Return what lies here and not in `other`."""
        left: list[Range] = []
        for low, high in self.pairs:
            start = low
            at = max(0, bisect_right(other._lows, low) - 1)
            while at < len(other.pairs) and other.pairs[at][0] < high:
                cut_low, cut_high = other.pairs[at]
                if cut_low > start:
                    left.append((start, cut_low))
                start = max(start, cut_high)
                at += 1
            if start < high:
                left.append((start, high))
        return Ranges(left)

    def within(self, other: Ranges) -> Ranges:
        """Return what lies both here and in `other`."""
        return self.minus(self.minus(other))
