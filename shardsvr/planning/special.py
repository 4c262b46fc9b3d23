"""Queries that only one kind of index may answer: `$near` and `$text`."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_query.bounds_index import Predicates
from shardsvr.planning import access, nodes
from shardsvr.planning.access import Candidate
from shardsvr.planning.indexes import (
    PLANNER,
    Access,
    access_of,
    is_meant,
    is_whole,
    usable_indexes,
)
from shardsvr.planning.query import Query
from shardsvr.planning.stages import Selector, Stage

_NEAR_STAGES: Final = {"2d": "GEO_NEAR_2D", "2dsphere": "GEO_NEAR_2DSPHERE"}


def candidates(query: Query, predicates: Predicates) -> list[Candidate] | None:
    """Return the plans of a `$near`, None for queries without one.

    Raises MongoError 291 for `$near` without a geospatial index on its path, 27 for `$text`
    without a text index.
    """
    if query.filter.text is not None:
        from shardsvr.planning import text

        return [text.candidate(query, predicates)]
    if query.filter.near is None:
        return None
    found = [
        Candidate(_near_node(query, one, predicates), sorted=query.sort is None)
        for one in _near_accesses(query, predicates)
    ]
    if not found:
        raise MongoError(
            Code.NO_QUERY_EXECUTION_PLANS, PLANNER + "unable to find index for $geoNear query"
        )
    return found


def _near_accesses(query: Query, predicates: Predicates) -> list[Access]:
    near = query.filter.near
    assert near is not None
    found = []
    for index in usable_indexes(query):
        kind = index.key_pattern.get(near.path)
        if not _may_measure(kind, query) or (
            query.hint and not is_meant(index, query.hint)
        ):
            continue
        leading = next(iter(index.key_pattern))
        if leading != near.path and leading not in predicates.by_path:
            continue
        one = access_of(query, index, predicates, forced=True)
        if one is not None and is_whole(query, index, predicates):
            found.append(one)
    return found


def _may_measure(kind: Any, query: Query) -> bool:
    """Tell whether a field of an index gives distances as the query asks for them."""
    assert query.filter.near is not None
    condition = query.filter.near.condition
    if kind == "2d":
        return not condition.is_geojson
    return bool(kind == "2dsphere") and condition.spherical


def _near_node(query: Query, found: Access, predicates: Predicates) -> nodes.GeoNear:
    near = query.filter.near
    assert near is not None
    index = found.index
    residual = access.residual_of(predicates, frozenset())
    stage = _NEAR_STAGES[index.key_pattern[near.path]]
    return nodes.GeoNear(index, residual, partial(_open_near, found), stage)


def _open_near(found: Access, query: Query) -> Stage:
    from psdb_store.index_geo import grid_of
    from shardsvr.planning.nearest import InPlane, Nearest, OnSphere, Space, Target

    near = query.filter.near
    assert near is not None
    index = found.index
    flat = index.key_pattern[near.path] == "2d"
    condition = near.condition
    space: Space = InPlane(condition, grid_of(index.spec)) if flat else OnSphere(condition)
    target = Target(
        found,
        list(index.key_pattern).index(near.path),
        space,
        near.min_distance,
        near.max_distance,
        near.distance,
    )
    return Nearest(query.state, target, Selector(query.filter.answered_by_index(), query.env))
