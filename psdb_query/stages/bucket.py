"""`$bucket`: a `$group` by ranges between fixed boundaries, and a `$sort` of the buckets."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import Any, Final

from bson.int64 import Int64

from psdb_base import order
from psdb_base.errors import MongoError
from psdb_base.values import MISSING, Document
from psdb_query.accumulators.core import compile_accumulator, values_of
from psdb_query.context import CompileContext, Env
from psdb_query.describe import text_of, type_name
from psdb_query.expressions.core import compile_expression
from psdb_query.sorting import may_hold_nan
from psdb_query.stages.group import GroupKey, GroupStage
from psdb_query.stages.model import Stage, StageContext
from psdb_query.stages.ports import Batch
from psdb_query.stages.sort import parse_sort

_PLAIN: Final = {float, int, Int64}
_FIELDS: Final = ("boundaries", "default", "groupBy", "output")


class BucketKey(GroupKey):
    """The lower boundary of the range in which a value lies, by bisection.

    Its specification is the `$switch` that MongoDB writes, so that explain and other members
    read it as any other `$group`.
    """

    def __init__(
        self, group_by: Any, boundaries: list[Any], default: Any, ctx: CompileContext
    ) -> None:
        branches = [
            {
                "case": {
                    "$and": [
                        {"$gte": [group_by, {"$const": lower}]},
                        {"$lt": [group_by, {"$const": upper}]},
                    ]
                },
                "then": {"$const": lower},
            }
            for lower, upper in pairwise(boundaries)
        ]
        switch: Document = {"branches": branches}
        if default is not MISSING:
            switch["default"] = {"$const": default}
        super().__init__({"$switch": switch}, ctx)
        self.constant = MISSING
        self._values = values_of(compile_expression(group_by, ctx))
        self._lower = boundaries[:-1]
        self._keys = [order.key(boundary, ctx.collation) for boundary in boundaries]
        self._default = default
        self._ctx = ctx
        kinds = set(map(type, boundaries))
        plain = kinds <= _PLAIN and not may_hold_nan(boundaries)
        self._numbers = list(boundaries) if plain else None

    def columns(self, batch: Batch, env: Env) -> list[list[Any]]:
        """Return the lower boundaries, or the default."""
        values = self._values(batch, env)
        kinds = set(map(type, values))
        if self._numbers is not None and kinds <= _PLAIN and not may_hold_nan(values):
            numbers, lower = self._numbers, self._lower
            if min(values) >= numbers[0] and max(values) < numbers[-1]:
                return [[lower[bisect_right(numbers, value) - 1] for value in values]]
        return [[self._bucket(value) for value in values]]

    def _bucket(self, value: Any) -> Any:
        at = bisect_right(self._keys, order.key(value, self._ctx.collation)) - 1
        if 0 <= at < len(self._lower):
            return self._lower[at]
        if self._default is MISSING:
            raise MongoError(
                40066,
                "$switch could not find a matching branch for an input, and no default was "
                "specified.",
            )
        return self._default


def check_group_by(stage: str, code: int, value: Any, what: str) -> Any:
    """Check that a `groupBy` is a path with `$` or an expression."""
    if type(value) is dict and next(iter(value), "").startswith("$"):
        return value
    if type(value) is str and value.startswith("$"):
        return value
    raise MongoError(
        code,
        f"The {stage} 'groupBy' field must be defined as a $-prefixed path or an expression"
        f"{what}, but found: {text_of(value)}.",
    )


def _parse_bucket(spec: Any, context: StageContext) -> list[Stage]:
    if type(spec) is not dict:
        raise MongoError(
            40201,
            f"Argument to $bucket stage must be an object, but found type: {type_name(spec)}.",
        )
    ctx = context.expressions
    for name in spec:
        if name not in _FIELDS:
            raise MongoError(40197, f"Unrecognized option to $bucket: {name}.")
    if "groupBy" in spec:
        check_group_by("$bucket", 40202, spec["groupBy"], "")
    boundaries = _boundaries(spec["boundaries"], ctx) if "boundaries" in spec else []
    default = _default(spec["default"], ctx) if "default" in spec else MISSING
    output = spec.get("output", {"count": {"$sum": 1}})
    if type(output) is not dict:
        raise MongoError(
            40196,
            f"The $bucket 'output' field must be an object, but found type: {type_name(output)}.",
        )
    if "groupBy" not in spec or "boundaries" not in spec:
        raise MongoError(40198, "$bucket requires 'groupBy' and 'boundaries' to be specified.")
    _check_default(boundaries, default, ctx)
    accumulators = {name: compile_accumulator(name, one, ctx) for name, one in output.items()}
    key = BucketKey(spec["groupBy"], boundaries, default, ctx)
    group = GroupStage(key, accumulators, collation=ctx.collation)
    return [group, *parse_sort({"_id": 1}, context)]


def _boundaries(value: Any, ctx: CompileContext) -> list[Any]:
    if type(value) is not list:
        raise MongoError(
            40200,
            f"The $bucket 'boundaries' field must be an array, but found type: {type_name(value)}.",
        )
    found = []
    for element in value:
        expr = compile_expression(element, ctx)
        if not expr.is_constant:
            raise MongoError(
                40191,
                "The $bucket 'boundaries' field must be an array of constant values, but found "
                f"value: {text_of(element)}.",
            )
        found.append(expr.value)
    if len(found) < 2:
        raise MongoError(
            40192,
            "The $bucket 'boundaries' field must have at least 2 values, but found "
            f"{len(found)} value(s).",
        )
    for at in range(1, len(found)):
        _check_pair(found[at - 1], found[at], at, ctx)
    return found


def _check_pair(lower: Any, upper: Any, at: int, ctx: CompileContext) -> None:
    if order.type_rank(lower) != order.type_rank(upper):
        raise MongoError(
            40193,
            "All values in the the 'boundaries' option to $bucket must have the same type. Found "
            f"conflicting types {type_name(lower)} and {type_name(upper)}.",
        )
    if order.compare(lower, upper, ctx.collation) >= 0:
        raise MongoError(
            40194,
            "The 'boundaries' option to $bucket must be sorted, but elements "
            f"{at - 1} and {at} are not in ascending order ({text_of(lower)} is not less than "
            f"{text_of(upper)}).",
        )


def _default(value: Any, ctx: CompileContext) -> Any:
    expr = compile_expression(value, ctx)
    if not expr.is_constant:
        raise MongoError(
            40195,
            "The $bucket 'default' field must be a constant, but found " + f"{text_of(value)}.",
        )
    return expr.value


def _check_default(boundaries: list[Any], default: Any, ctx: CompileContext) -> None:
    if default is MISSING:
        return
    below = order.compare(default, boundaries[0], ctx.collation) < 0
    above = order.compare(default, boundaries[-1], ctx.collation) >= 0
    if not below and not above:
        raise MongoError(
            40199,
            "The $bucket 'default' field must be less than the lowest boundary or greater than "
            "or equal to the highest boundary.",
        )


PARSERS: Final = {"$bucket": _parse_bucket}
