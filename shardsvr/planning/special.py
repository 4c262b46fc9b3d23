"""Queries that only one kind of index may answer: `$near` and `$text`."""

from __future__ import annotations

from typing import Final

from psdb_base.errors import Code, MongoError
from psdb_query.bounds_index import Predicates
from psdb_store.index import Index
from shardsvr.planning import access, nodes
from shardsvr.planning.access import Candidate
from shardsvr.planning.indexes import ready_indexes
from shardsvr.planning.query import Query

_NEAR_STAGES: Final = {"2d": "GEO_NEAR_2D", "2dsphere": "GEO_NEAR_2DSPHERE"}


def candidates(query: Query, predicates: Predicates) -> list[Candidate] | None:
    """Return the plan of a `$near`, None for queries without one.

    Raises MongoError 291 for `$near` without a geospatial index on its path, 27 for `$text`
    without a text index.
    """
    if query.filter.text is not None:
        raise MongoError(Code.INDEX_NOT_FOUND, "text index required for $text query")
    if query.filter.near is None:
        return None
    index = _geo_index(query)
    if index is None:
        raise MongoError(
            Code.NO_QUERY_EXECUTION_PLANS,
            "error processing query: planner returned error :: caused by :: "
            "unable to find index for $geoNear query",
        )
    stage = _NEAR_STAGES[index.key_pattern[query.filter.near.path]]
    residual = access.residual_of(predicates, frozenset())
    return [Candidate(nodes.GeoNear(index, residual, stage), sorted=query.sort is None)]


def _geo_index(query: Query) -> Index | None:
    assert query.filter.near is not None
    path = query.filter.near.path
    for index in ready_indexes(query.collection):
        if index.key_pattern.get(path) in _NEAR_STAGES:
            return index
    return None
