"""Plans that the query itself prescribes: hints, `min` and `max`."""

from __future__ import annotations

from typing import Any

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query import bounds
from psdb_query.bounds import FieldBounds
from psdb_query.bounds_index import IndexBounds, Predicates
from psdb_query.bounds_ranges import KeyRanges
from psdb_store.index import Index
from psdb_store.index_keys import component, is_descending
from shardsvr.planning import access, keys_only, nodes
from shardsvr.planning.access import Candidate
from shardsvr.planning.indexes import (
    PLANNER,
    Access,
    access_of,
    hinted_index,
    natural_direction,
    same_collation,
    shape_of,
)
from shardsvr.planning.query import Query


def candidates(query: Query, predicates: Predicates) -> list[Candidate] | None:
    """Return the plans that a hint leaves; None when there is no hint.

    Raises MongoError 2 for a hint that fits no index, and the errors of `min` and `max`.
    """
    if query.hint is None or query.hint == {} or query.allowed is not None:
        return None
    direction = natural_direction(query.hint)
    if direction is not None:
        if query.min is not None or query.max is not None:
            raise MongoError(Code.BAD_VALUE, "min and max are incompatible with a $natural hint")
        residual = access.residual_of(predicates, frozenset())
        return [Candidate(nodes.CollectionScan(residual, reverse=direction < 0))]
    index = hinted_index(query.collection, query.hint)
    if query.min or query.max:
        return [_between(query, index, predicates)]
    if index.kind == "wildcard":
        plans = access.wildcard_candidates(query, index, predicates)
        if plans:
            return plans
    found = access_of(query, index, predicates, forced=True)
    if found is None:
        raise MongoError(
            Code.NO_QUERY_EXECUTION_PLANS,
            PLANNER + "No query solutions",
        )
    if query.count or query.distinct is not None:
        direct = keys_only.of_access(query, found)
        if direct is not None:
            return [direct]
    plans = access.from_access(query, found, predicates)
    if plans:
        return plans
    return [Candidate(access.fetched(found, found.scan(), predicates), access=found)]


def split_natural(sort: Document | None, hint: Any) -> tuple[Document | None, Any]:
    """Return sort and hint, where a sort by `$natural` has become the hint that it is.

    Raises MongoError 2 when another hint stands against it.
    """
    direction = natural_direction(sort) if sort is not None and len(sort) == 1 else None
    if direction is None:
        return sort, hint
    hinted = natural_direction(hint)
    if hint and hinted is None:
        raise MongoError(Code.BAD_VALUE, "index hint not allowed with $natural sort order")
    if hinted is not None and hinted != direction:
        raise MongoError(
            Code.BAD_VALUE, "$natural hint must be in the same direction as $natural sort order"
        )
    return None, {"$natural": direction}


def _between(query: Query, index: Index, predicates: Predicates) -> Candidate:
    """Scan a hinted index from `min` (inclusive) to `max` (exclusive)."""
    if index.kind != "btree":
        raise MongoError(
            Code.BAD_VALUE, "min() and max() need a hint of an ascending or descending index"
        )
    low = b"" if not query.min else _index_key(index, query.min, "min")
    high = b"\xff" if not query.max else _index_key(index, query.max, "max")
    if query.min and query.max and low >= high:
        raise MongoError(
            51175, "The value provided for min() does not come before the value provided for max()"
        )
    fields = tuple(FieldBounds(bounds.ALL) for _ in index.key_pattern)
    shown = IndexBounds(fields, frozenset(), present=False)
    ranges = KeyRanges(((low, high),), None, 0)
    same = same_collation(index.collation, query.collation)
    found = Access(
        index,
        shown,
        ranges,
        shape_of(index).columns,
        exact=False,
        same_collation=same,
        pattern=index.key_pattern,
    )
    direction = access.order_given(query.sort, found) if query.sort is not None else None
    scan = found.scan(reverse=direction == "backward")
    node = access.fetched(found, scan, predicates)
    return Candidate(node, direction is not None, found)


def _index_key(index: Index, values: Document, name: str) -> bytes:
    if list(values) != list(index.key_pattern):
        raise MongoError(
            51174,
            f"The index chosen is not compatible with min/max: the fields of {name}() are not "
            "those of the hinted index, in its order",
        )
    return b"".join(
        component(value, _sign(direction), index.collation)
        for value, direction in zip(values.values(), index.key_pattern.values(), strict=True)
    )


def _sign(direction: Any) -> int:
    return -1 if is_descending(direction) else 1
