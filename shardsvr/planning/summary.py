"""`planSummary`: a plan in a few words, for the profiler, the slow-query log and `currentOp`."""

from __future__ import annotations

from psdb_query.describe import text_of
from shardsvr.planning.nodes import IdLookup, Node


def plan_summary(node: Node) -> str:
    """Return the leaves of a plan, those over an index with its key pattern."""
    found = list(dict.fromkeys(_leaves(node)))
    return ", ".join(found)


def _leaves(node: Node) -> list[str]:
    if node.children:
        return [text for child in node.children for text in _leaves(child)]
    if isinstance(node, IdLookup):
        return [node.stage if node.stage == "IDHACK" else f"{node.stage} {{ _id: 1 }}"]
    index = getattr(node, "index", None)
    if index is None:
        return [node.stage]
    return [f"{node.stage} {text_of(dict(index.key_pattern))}"]
