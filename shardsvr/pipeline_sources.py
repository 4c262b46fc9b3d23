"""What the rest of a pipeline wants of its source: a few fields, or each key of a group once."""

from __future__ import annotations

from typing import Any

from psdb_query.context import Env
from psdb_query.filters import Filter
from psdb_query.projection import Projection, compile_projection
from psdb_query.stages.group import GroupStage
from psdb_query.stages.pipeline import Pipeline, needed_paths
from psdb_store.collection import Collection
from psdb_store.committed import Committed
from psdb_store.index import Index
from shardsvr.planning import Plan, plan_query
from shardsvr.planning.nodes import DistinctScan, Node


def shown_fields(pipeline: Pipeline, at: int) -> Projection | None:
    """Return a projection to what the stages from `at` on read; None for whole documents.

    With it the planner knows when an index holds all that is read.
    """
    needed = needed_paths(pipeline.stages[at:])
    if not needed:
        return None
    paths = [path for path in sorted(needed) if not _is_within(path, needed)]
    if any(part.isdigit() or part.startswith("$") for path in paths for part in path.split(".")):
        return None
    spec: dict[str, Any] = dict.fromkeys(paths, 1)
    if "_id" not in spec:
        spec["_id"] = 0
    return compile_projection(spec, pipeline.context.expressions)


def _is_within(path: str, paths: frozenset[str]) -> bool:
    """Tell whether a path lies below another one."""
    parts = path.split(".")
    return any(".".join(parts[:count]) in paths for count in range(1, len(parts)))


def group_keys(
    collection: Collection, pipeline: Pipeline, chosen: Filter, env: Env, hint: Any,
    shown: Projection | None, committed: Committed | None = None,
) -> Plan | None:
    """Plan the source of a `$group` that wants nothing but its keys, if an index may have them.

    An array is one key of a group and many of an index, and an index may leave documents out:
    such indexes do not serve. The plan may be any that the filter has otherwise.
    """
    context = pipeline.context.expressions
    stage = next((one for one in pipeline.stages if one.name != "$match"), None)
    if not isinstance(stage, GroupStage) or stage.accumulators or stage.merging:
        return None
    path = stage.key.path
    if path is None or "." in path or context.collation is not None or chosen.is_scripted:
        return None
    if not any(_holds_all(index, path) for index in collection.indexes.values()):
        return None
    plan = plan_query(
        collection, chosen, env, hint=hint, distinct=path, projection=shown, committed=committed
    )
    scan = _distinct_scan(plan.winner)
    return plan if scan is None or _holds_all(scan.index, path) else None


def _holds_all(index: Index, path: str) -> bool:
    return (
        path in index.key_pattern and not index.multikey and not index.sparse
        and index.partial is None
    )


def _distinct_scan(node: Node) -> DistinctScan | None:
    if isinstance(node, DistinctScan):
        return node
    for child in node.children:
        found = _distinct_scan(child)
        if found is not None:
            return found
    return None
