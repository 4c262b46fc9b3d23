"""The order in which MongoDB looks at the conditions of a conjunction: by kind, then by path.

Nothing that matches depends on it but the positional `$` of an update, which stands for the
array index of the last condition, and the form in which `explain` shows a filter.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from psdb_query.filters import tree

_KINDS: Final = (
    tree.And, tree.Or, tree.ElemMatchObject, tree.ElemMatchValue, tree.Size,
    "$eq", "$lte", "$lt", "$gt", "$gte",
    tree.Regex, tree.Mod, tree.Exists, tree.In,
    "$bitsAllSet", "$bitsAllClear", "$bitsAnySet", "$bitsAnyClear",
    tree.Not, tree.Nor, tree.Type, tree.Always,
    tree.GeoWithin, tree.GeoIntersects, tree.Near, tree.Text, tree.ExprNode, tree.Where,
)
_RANKS: Final = {kind: rank for rank, kind in enumerate(_KINDS)}


def in_normal_order(node: tree.Node) -> tree.Node:
    """Return the filter with the conditions of its conjunctions in MongoDB's order."""
    if isinstance(node, tree.And):
        children = [part for child in node.children for part in _parts(in_normal_order(child))]
        return replace(node, children=tuple(sorted(children, key=_rank)))
    if isinstance(node, (tree.Or, tree.Nor)):
        return replace(node, children=tuple(sorted(map(in_normal_order, node.children), key=_rank)))
    if isinstance(node, (tree.ElemMatchObject, tree.Not)):
        return replace(node, child=in_normal_order(node.child))
    return node


def _parts(node: tree.Node) -> tuple[tree.Node, ...]:
    """Dissolve a conjunction within a conjunction."""
    return node.children if isinstance(node, tree.And) else (node,)


def _rank(node: tree.Node) -> tuple[int, str]:
    kind = getattr(node, "op", type(node))
    return _RANKS.get(kind, len(_RANKS)), getattr(node, "path", "")
