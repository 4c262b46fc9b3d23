"""Comparisons of a field with a constant inside `$expr`, as far as an index can help.

In expressions every value compares with every other, and a missing field lies below null. An
index keeps missing fields under null, so null's key is let through by all but equality; and
arrays compare as a whole, so only fields without arrays can be bounded at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from psdb_base import order
from psdb_query.bounds import ALL, UNBOUNDED, FieldBounds, Interval, Scope, point, union
from psdb_query.context import Env


@dataclass(frozen=True, slots=True)
class ExprComparison:
    """`path op value` by the rules of expressions."""

    path: str
    op: str
    value: Any


_MIRRORED: Final = {"$eq": "$eq", "$gt": "$lt", "$gte": "$lte", "$lt": "$gt", "$lte": "$gte"}


def comparisons(spec: Any, env: Env) -> Iterator[ExprComparison]:
    """Yield the comparisons that every document has to satisfy for `$expr` to hold."""
    if type(spec) is not dict or len(spec) != 1:
        return
    ((name, operands),) = spec.items()
    if type(operands) is not list:
        return
    if name == "$and":
        for operand in operands:
            yield from comparisons(operand, env)
    elif name in _MIRRORED and len(operands) == 2:
        left, right = operands
        for path, value, op in ((left, right, name), (right, left, _MIRRORED[name])):
            known, constant = _constant(value, env)
            if known and _is_path(path):
                yield ExprComparison(path[1:], op, constant)
                return


def _is_path(spec: Any) -> bool:
    return type(spec) is str and spec.startswith("$") and not spec.startswith("$$")


def _constant(spec: Any, env: Env) -> tuple[bool, Any]:
    """Return whether an operand is a constant, and its value."""
    kind = type(spec)
    if kind is str and spec.startswith("$"):
        name = spec[2:]
        known = spec.startswith("$$") and "." not in name and name in env
        return (True, env[name]) if known else (False, None)
    if kind is dict:
        if len(spec) == 1 and "$literal" in spec:
            return True, spec["$literal"]
        return False, None
    return kind is not list, spec


_NO_BOUNDS: Final = frozenset((order.RANK_ARRAY, order.RANK_UNDEFINED))
"""An index has no key for a whole array, and undefined equals a missing field."""


def comparison_bounds(node: ExprComparison, scope: Scope) -> FieldBounds:
    """Return the bounds of a comparison; never exact."""
    if scope.multikey or order.type_rank(node.value) in _NO_BOUNDS:
        return UNBOUNDED
    key = order.key(node.value, scope.collation)
    if node.op == "$eq":
        return FieldBounds((point(node.value, scope.collation),))
    whole = ALL[0]
    if node.op in ("$lt", "$lte"):
        side = int(node.op == "$lte")
        part = Interval(whole.low, (key, side), whole.low_value, node.value)
    else:
        side = int(node.op == "$gt")
        part = Interval((key, side), whole.high, node.value, whole.high_value)
    return FieldBounds(union((part, point(None))))
