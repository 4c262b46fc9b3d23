"""Whether every document that a filter matches is in a partial index.

The filter of a partial index consists of comparisons, `$in`, `$exists: true`, `$type`, `$and`
and `$or`. A predicate of it holds for a document if one of its index keys lies in the predicate's
bounds, as long as these are exact; and a document that matches the query has a key in the
query's bounds. So bounds within bounds is enough.
"""

from __future__ import annotations

from psdb_query.bounds import NULL_KEY, Scope, contains, field_bounds, is_within
from psdb_query.bounds_expr import ExprComparison
from psdb_query.bounds_index import Predicates
from psdb_query.context import Collation
from psdb_query.filters import tree


def implies(predicates: Predicates, node: tree.Node, collation: Collation | None) -> bool:
    """Tell whether what matches `predicates` certainly matches `node`."""
    if isinstance(node, tree.And):
        return all(implies(predicates, child, collation) for child in node.children)
    if isinstance(node, tree.Or):
        if any(implies(predicates, child, collation) for child in node.children):
            return True
    if _any_branch_implies(predicates, node, collation):
        return True
    return _path_implies(predicates, node, collation)


def _any_branch_implies(
    predicates: Predicates, node: tree.Node, collation: Collation | None
) -> bool:
    """Tell whether some `$or` of the query implies the node by each of its branches."""
    return any(
        isinstance(conjunct, tree.Or)
        and all(implies(Predicates(child, {}), node, collation) for child in conjunct.children)
        for conjunct in predicates.conjuncts
    )


def _path_implies(predicates: Predicates, node: tree.Node, collation: Collation | None) -> bool:
    path = getattr(node, "path", None)
    if path is None:
        return False
    scope = Scope(collation, multikey=True)
    for predicate in predicates.by_path.get(path, ()):
        if isinstance(predicate.node, ExprComparison):
            continue
        found = field_bounds(predicate.node, scope)
        if isinstance(node, tree.Exists):
            if found.present or not contains(found.intervals, NULL_KEY):
                return True
            continue
        wanted = field_bounds(node, scope)
        if wanted.exact and is_within(found.intervals, wanted.intervals):
            return True
    return False
