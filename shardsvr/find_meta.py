"""Metadata in a find's projection and sort: scores, distances, record numbers, keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from bson.int64 import Int64

from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_query.context import Env
from psdb_query.filters import Filter
from psdb_query.projection import Projection
from psdb_query.sorting import Sorter
from psdb_query.stages.meta import META
from shardsvr.planning import Plan
from shardsvr.planning.execution import Execution

_NOT_AVAILABLE: Final = 40218


def check_available(
    chosen: Filter, sorter: Sorter | None, projection: Projection | None
) -> None:
    """Raise 40218 for metadata that the query does not give."""
    wanted = set() if projection is None else set(projection.needs_meta)
    if sorter is not None:
        wanted |= {part.meta for part in sorter.parts if part.meta is not None}
    if "textScore" in wanted and chosen.text is None:
        raise no_score()
    if {"geoNearDistance", "geoNearPoint"} & wanted and chosen.near is None:
        raise MongoError(
            _NOT_AVAILABLE, "query requires geoNear distance metadata, but it is not available"
        )
    if "sortKey" in wanted and sorter is None:
        raise MongoError(
            _NOT_AVAILABLE, "query requires sort key metadata, but it is not available"
        )


def no_score() -> MongoError:
    """Return the error of a query that asks for a score and has no `$text`."""
    return MongoError(
        _NOT_AVAILABLE, "query requires text score metadata, but it is not available"
    )


def wanted_meta(spec: Any) -> frozenset[str]:
    """Return the kinds of metadata that a pipeline asks for, its sub-pipelines left out."""
    if isinstance(spec, dict):
        kinds = {spec["$meta"]} if type(spec.get("$meta")) is str else set()
        inner = (value for name, value in spec.items() if name not in _OTHER_DOCUMENTS)
        return frozenset(kinds).union(*map(wanted_meta, inner))
    if isinstance(spec, (list, tuple)):
        return frozenset().union(*map(wanted_meta, spec))
    return frozenset()


_OTHER_DOCUMENTS: Final = ("$const", "$literal", "$lookup", "$unionWith")


def record_meta(
    plan: Plan, execution: Execution, wanted: frozenset[str]
) -> Callable[[Any], dict[str, Any]]:
    """Return what makes the metadata of a record, those of its text and near conditions too."""
    near = plan.query.filter.near if {"geoNearDistance", "geoNearPoint"} & wanted else None
    key_of: Callable[[Document], Document] | None = None
    if "indexKey" in wanted:
        from shardsvr.return_key import key_reader

        key_of = key_reader(plan)

    def meta_of(record: Any) -> dict[str, Any]:
        meta = dict(execution.meta(record))
        if near is not None:
            meta |= near.meta(record.document())
        if "recordId" in wanted:
            meta["recordId"] = Int64(record.rid)
        if key_of is not None:
            key = key_of(record.document())
            if key:
                meta["indexKey"] = key
        return meta

    return meta_of


def meta_projection(
    plan: Plan, execution: Execution, projection: Projection, env: Env
) -> Callable[[Any], Document]:
    """Return the projection of a record with its metadata."""
    wanted = frozenset(projection.needs_meta)
    sorter = plan.query.sort
    meta_of = record_meta(plan, execution, wanted)

    def project(record: Any) -> Document:
        document, meta = record.document(), meta_of(record)
        if "sortKey" in wanted and sorter is not None:
            meta["sortKey"] = list(sorter.values(document, {**env, META: meta}))
        return projection.apply(document, {**env, META: meta})

    return project
