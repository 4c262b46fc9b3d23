"""A pipeline's leading `$geoNear` as a query that a geospatial index answers in its order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from psdb_base.errors import Code, MongoError
from psdb_query.context import Env
from psdb_query.filters import Filter, tree
from psdb_query.geo.regions import NearPoint
from psdb_query.stages.geo_near import GeoNearStage
from psdb_query.stages.match import MatchStage
from psdb_query.stages.pipeline import Pipeline
from psdb_query.stages.slicing import LimitStage
from psdb_store.collection import Collection
from psdb_store.index import Index
from shardsvr.planning.indexes import ready_indexes

_KINDS: Final = ("2d", "2dsphere")


@dataclass(frozen=True, slots=True)
class NearSource:
    """What a source has to give.

    Args:
        path: The field that holds the geometries.
        condition: The point and the limits of distance.
        filter: The whole query.
        at: Number of the `$geoNear` stage.
        limit: No more documents than this are looked at; None for all.

    """

    path: str
    condition: NearPoint
    filter: Filter
    at: int
    limit: int | None


def nearest_first(collection: Collection, pipeline: Pipeline, env: Env) -> NearSource | None:
    """Return what a leading `$geoNear` asks for, None when there is none.

    Raises MongoError 27 IndexNotFound without a geospatial index, or with too many.
    """
    stages = pipeline.stages
    ahead = stages[0] if stages and isinstance(stages[0], MatchStage) else None
    at = 0 if ahead is None else 1
    stage = stages[at] if at < len(stages) else None
    if not isinstance(stage, GeoNearStage):
        return None
    path, kind = geo_index(collection, stage.key)
    condition = stage.point(env, on_sphere=kind == "2dsphere")
    near = tree.Near(path, condition, {"$geoNear": stage.spec["near"]})
    matches = [one.filter.tree for one in (ahead, stage.match) if one is not None]
    whole = tree.And((*matches, near))
    spec = {"$geoNear": stage.spec}
    chosen = Filter(spec, whole, pipeline.context.expressions)
    behind = stages[at + 1] if at + 1 < len(stages) else None
    limit = behind.count if isinstance(behind, LimitStage) else None
    return NearSource(path, condition, chosen, at, limit)


def geo_index(collection: Collection | None, key: str | None) -> tuple[str, str]:
    """Return the field whose geospatial index answers a `$geoNear`, and the index's kind.

    Args:
        collection: Where.
        key: The field named, None for the only one that has such an index.

    Raises:
        MongoError: 27 IndexNotFound.

    """
    if key is not None:
        kinds = [
            index.key_pattern[key]
            for index in _indexes(collection)
            if index.key_pattern.get(key) in _KINDS
        ]
        if kinds:
            return key, "2dsphere" if set(kinds) == {"2dsphere"} else "2d"
        raise _none()
    ns = "" if collection is None else collection.ns
    # As in MongoDB the only 2d index goes before the only 2dsphere one.
    for kind in _KINDS:
        found = [index for index in _indexes(collection) if kind in index.key_pattern.values()]
        if len(found) > 1:
            raise MongoError(
                Code.INDEX_NOT_FOUND,
                f"There is more than one {kind} index on {ns}; unsure which to use for $geoNear",
            )
        for index in found:
            return next(name for name, value in index.key_pattern.items() if value == kind), kind
    raise _none()


def _indexes(collection: Collection | None) -> list[Index]:
    return [] if collection is None else list(ready_indexes(collection))


def _none() -> MongoError:
    return MongoError(
        Code.INDEX_NOT_FOUND, "$geoNear requires a 2d or 2dsphere index, but none were found"
    )
