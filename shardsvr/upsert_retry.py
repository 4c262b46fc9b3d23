"""When an upsert that met a duplicate key is to be tried again.

Two upserts of the same key may both find nothing and both insert. With a unique index one of
them fails; tried again it finds what the other inserted and updates it, as it would have done
a moment later. That holds when the query is equality on the fields of that index and nothing
else, with the values that stood in the way (MongoDB's rule).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from psdb_base import order
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.filters.tree import And, Compare, Guard, Node

ATTEMPTS_MAX: Final = 100
"""After so many attempts the duplicate key is reported."""


def worth_retrying(
    tree: Node, collation: Any, collation_spec: Document | None, error: MongoError
) -> bool:
    """Tell whether an upsert that failed is to be tried again.

    Args:
        tree: The parsed filter.
        collation: The query's collation, compiled; None for the binary order.
        collation_spec: The same as a document.
        error: What the insert raised.

    """
    if error.code != Code.DUPLICATE_KEY:
        return False
    pattern, values = error.extra.get("keyPattern"), error.extra.get("keyValue")
    if pattern is None or values is None:
        return False
    if (error.extra.get("collation") is None) != (collation_spec is None):
        return False
    equalities: Document = {}
    for path, value in _equalities(tree):
        if path is None or path in equalities:
            return False
        equalities[path] = value
    return len(equalities) == len(pattern) and all(
        name in equalities and order.equal(equalities[name], values[name], collation)
        for name in pattern
    )


def _equalities(node: Node) -> Iterator[tuple[str | None, Any]]:
    """Yield path and value of each equality; a path of None for anything else."""
    if isinstance(node, And):
        for child in node.children:
            yield from _equalities(child)
    elif isinstance(node, Compare) and node.op == "$eq":
        yield node.path, node.value
    elif isinstance(node, Guard):
        return  # the server's own: it says which documents are to be seen at all
    else:
        yield None, None
