"""How many documents a plan looks at when it runs to its end, counted in the index.

A race ends with the first batch, which says little of what follows: an index in the order of the
sort gives its first rows soon and then goes through everything, while one that finds the few that
match has all of them to sort before it gives one. Where all rows are wanted, the entries within
each plan's ranges tell; a B+ tree counts them by its leaves, about a million in a millisecond.
"""

from __future__ import annotations

from typing import Final

from shardsvr.planning import nodes
from shardsvr.planning.nodes import Node
from shardsvr.planning.query import Query

TIMES: Final = 3
"""A plan that looks at so many times the documents of another gives way to it."""
_RANGES_MAX: Final = 64
_PASSED: Final = (
    nodes.Covered, nodes.Fetch, nodes.Limit, nodes.Project, nodes.Skip, nodes.Sort,
)


def better(
    query: Query, plans: list[Node], winner: int, looked: tuple[int, int]
) -> tuple[int, int] | None:
    """Return a plan that is to run in the place of one that won a race without being done.

    Args:
        query: The query; only one that wants all its documents in an order is looked at.
        plans: Those that ran.
        winner: The number of the one that won.
        looked: How many documents and keys it has looked at.

    Returns:
        How many documents that plan looks at, at most, and its number; None where the winner is
        to go on.

    """
    if query.sort is None or query.limit is not None or has_sort(plans[winner]):
        return None
    reached = reach(query, plans[winner])
    if reached is None:
        return None
    docs, keys = looked
    # A scan that skips by its keys looks at a share of the documents only.
    expected = reached * docs / keys if keys else reached
    average = query.collection.data_size_bytes / max(query.collection.count, 1)
    best: tuple[int, int] | None = None
    for number, node in enumerate(plans):
        if not has_sort(node):
            continue
        other = reach(query, node)
        if other is None or other * TIMES >= expected:
            continue
        if other * average <= query.sort_memory_bytes and (best is None or other < best[0]):
            best = other, number
    return best


def reach(query: Query, node: Node) -> int | None:
    """Return how many documents a plan looks at, at most; None when that is not counted."""
    while isinstance(node, _PASSED):
        node = node.children[0]
    if isinstance(node, nodes.CollectionScan):
        return query.collection.count
    if not isinstance(node, nodes.IndexScan) or len(node.ranges.ranges) > _RANGES_MAX:
        return None
    return sum(node.index.count(low, high) for low, high in node.ranges.ranges)


def has_sort(node: Node) -> bool:
    """Tell whether a plan has a blocking sort."""
    return isinstance(node, nodes.Sort) or any(map(has_sort, node.children))
