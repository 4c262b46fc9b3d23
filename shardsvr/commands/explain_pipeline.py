"""Pipelines that say no more than a find can: `explain` shows them as one plan, as MongoDB does."""

from __future__ import annotations

from typing import Any, Final

from psdb_base.values import Document

LIMIT_MAX: Final = 2**63 - 1


def as_find(stages: list[Document]) -> Document | None:
    """Return the find that does what all of a pipeline does; None where there is none.

    Args:
        stages: The optimized pipeline, serialized: at most a `$match`, a `$sort`, a `$skip`, a
            `$limit` and an inclusion of fields, in this order.

    """
    left = [next(iter(stage.items())) for stage in stages]
    args: Document = {}
    if left and left[0][0] == "$match":
        args["filter"] = left.pop(0)[1]
    if left and left[0][0] == "$sort" and not _add_sort(args, left.pop(0)[1]):
        return None
    if left and left[0][0] == "$skip" and args.get("limit", left[0][1] + 1) > left[0][1]:
        args["skip"] = left.pop(0)[1]
        if "limit" in args:
            args["limit"] -= args["skip"]  # a find skips before it counts
    if left and left[0][0] == "$limit":
        args["limit"] = min(left.pop(0)[1], args.get("limit", LIMIT_MAX))
    if left and left[0][0] == "$project" and _includes(left[0][1]):
        args["projection"] = left.pop(0)[1]
    return None if left else args


def _add_sort(args: Document, spec: Document) -> bool:
    """Take a `$sort` over; False for one by what only a pipeline computes."""
    pattern = spec.get("sortKey", spec)
    if type(pattern) is not dict or dict in map(type, pattern.values()):
        return False
    args["sort"] = pattern
    if "limit" in spec and pattern is not spec:
        args["limit"] = spec["limit"]
    return True


def _includes(spec: dict[str, Any]) -> bool:
    """Tell whether a `$project` names fields to keep and does nothing else."""
    kept = [value for name, value in spec.items() if name != "_id"]
    return bool(kept) and all(value is True or value == 1 for value in kept) and (
        type(spec.get("_id", True)) in (bool, int, float)
    )
