"""Estimates of what values would weigh as BSON, cheap enough to make for every batch."""

from __future__ import annotations

from typing import Any, Final

from bson.decimal128 import Decimal128

from psdb_base.errors import Code, MongoError

_FIXED: Final = {bool: 3, float: 10, int: 7, type(None): 3, Decimal128: 18}
_SAMPLE: Final = 3


def size_of(value: Any) -> int:
    """Estimate the bytes of one value with a short field name."""
    kind = type(value)
    if kind is str:
        return 8 + len(value)
    if kind in _FIXED:
        return _FIXED[kind]
    if kind is dict:
        return 8 + sum(2 + len(name) + size_of(field) for name, field in value.items())
    if kind is list:
        return 8 + sum(map(size_of, value))
    return 16 + (len(value) if isinstance(value, (bytes, str)) else 0)


def sizes_of(values: list[Any]) -> int:
    """Estimate the bytes of a list of values, from three of them if there are more.

    Over many lists the estimates come close to the sum, however uneven the values are.
    """
    count = len(values)
    if count <= _SAMPLE:
        return sum(map(size_of, values))
    first, middle, last = values[0], values[count // 2], values[-1]
    return (size_of(first) + size_of(middle) + size_of(last)) * count // 3


ARRAY_ELEMENTS_MAX: Final = 4_000_000
"""No array of more elements fits a document of 16 MiB: each takes at least four bytes."""
NODES_MAX: Final = 4_200_000
"""No value of more parts fits a document."""
GUARDED_STAGES: Final = 4
"""Stages that shape documents, one after the other, before what comes of them is checked."""


def check_array_length(elements: int, operator: str) -> None:
    """Raise 146 for an array that could never be stored nor returned."""
    if elements > ARRAY_ELEMENTS_MAX:
        raise MongoError(
            Code.EXCEEDED_MEMORY_LIMIT,
            f"{operator} would use too much memory: an array of {elements} elements",
        )


def repeats(spec: Any) -> bool:
    """Tell whether an expression reads the same path or variable more than once."""
    seen: set[str] = set()
    pending = [spec]
    while pending:
        part = pending.pop()
        if type(part) is dict:
            pending += part.values()
        elif type(part) is list:
            pending += part
        elif type(part) is str and part.startswith("$"):
            if part in seen:
                return True
            seen.add(part)
    return False


def check_expanded(value: Any, operator: str) -> int:
    """Return how many parts a list or object has when it is written out; 146 for too many.

    A value may be small only because its parts are shared: a loop of forty steps that puts its
    value twice into the next is forty objects in memory and 2^40 when written out. Each distinct
    part is counted once and its size kept, so that the check is as cheap as the value in memory.
    """
    parts = value.values() if type(value) is dict else value
    if not any(type(part) in (dict, list) for part in parts):
        return 1 + len(value)
    sizes: dict[int, int] = {}
    pending = [value]
    while pending:
        part = pending[-1]
        if id(part) in sizes or type(part) not in (dict, list):
            pending.pop()
            continue
        inner = list(part.values()) if type(part) is dict else part
        missing = [
            one for one in inner if type(one) in (dict, list) and id(one) not in sizes
        ]
        if missing:
            pending += missing
            continue
        pending.pop()
        sizes[id(part)] = size = 1 + sum(sizes.get(id(one), 1) for one in inner)
        if size > NODES_MAX:
            raise MongoError(
                Code.EXCEEDED_MEMORY_LIMIT, f"{operator} would make a value too large to write"
            )
    return sizes[id(value)]
