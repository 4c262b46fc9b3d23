"""Queries that an index answers without documents: covered projections, counts, distinct."""

from __future__ import annotations

from psdb_query.bounds_index import Predicates
from psdb_query.projection import Projection
from shardsvr.planning import nodes
from shardsvr.planning.access import Candidate
from shardsvr.planning.indexes import PLACES, Access, access_of, fields_of, usable_indexes
from shardsvr.planning.query import Query


def is_simple(projection: Projection) -> bool:
    """Tell whether a projection keeps or drops whole top-level fields only."""
    if projection.added or projection.needs_meta or projection.needs_position:
        return False
    paths = projection.paths if projection.kind == "inclusion" else projection.removed
    return paths is not None and all("." not in path for path in paths)


def covered(query: Query, candidate: Candidate) -> nodes.Node | None:
    """Return the plan without a fetch, if the index has all that the projection shows."""
    projection, access = query.projection, candidate.access
    if projection is None or access is None or projection.kind != "inclusion":
        return None
    if projection.added or projection.needs_meta or projection.needs_position:
        return None
    if query.sort is not None and not candidate.sorted:
        return None
    names = access.index.key_pattern
    if projection.paths is None or not all(path in names for path in projection.paths):
        return None
    if not access.exact or access.index.multikey or not _keeps_values(access):
        return None
    fetch = candidate.node
    if not isinstance(fetch, nodes.Fetch):
        return None
    return nodes.Covered(fetch.child, projection.spec)


def _keeps_values(access: Access) -> bool:
    """Tell whether the keys are the values themselves: neither hashed nor collated."""
    if access.index.kind in PLACES:
        return False
    return access.index.collation is None and all(
        column.point_key is None for column in access.columns
    )


def candidate(query: Query, predicates: Predicates) -> Candidate | None:
    """Return the plan that counts entries, or meets each value of a field once."""
    for index in usable_indexes(query):
        if query.distinct is None or query.distinct in index.key_pattern:
            access = access_of(query, index, predicates)
            if access is not None and (access.is_useful or not query.count):
                found = of_access(query, access)
                if found is not None:
                    return found
    return None


def of_access(query: Query, access: Access) -> Candidate | None:
    """Return the count or the distinct values by one index, if it answers the whole filter."""
    if not access.exact or not access.same_collation:
        return None
    if query.count:
        return Candidate(nodes.CountScan(access.index, access.bounds, access.ranges), access=access)
    found = _distinct(query, access) if query.distinct in access.index.key_pattern else None
    return None if found is None else Candidate(found, access=access)


def _distinct(query: Query, access: Access) -> nodes.Node | None:
    """Return the scan that skips from value to value of the field."""
    assert query.distinct is not None
    index = access.index
    at = list(index.key_pattern).index(query.distinct)
    if any(field.mask for field in fields_of(index)) or access.columns[at].point_key is not None:
        return None
    if index.partial is not None and not access.is_useful:
        return None
    if access.ranges.check is not None or index.collation is not None:
        return None
    leading = access.bounds.fields[:at]
    if not all(part.is_points and len(part.intervals) == 1 for part in leading):
        return None
    descending = tuple(column.descending for column in access.columns[: at + 1])
    scan = nodes.DistinctScan(index, access.bounds, access.ranges, descending)
    shown = {"_id": 0, query.distinct: 1} if query.distinct != "_id" else {"_id": 1}
    return nodes.Project(scan, shown, "PROJECTION_COVERED")
