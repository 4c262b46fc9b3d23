"""`$geoNear`: documents by their distance from a point."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from psdb_base import order
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.context import Env
from psdb_query.describe import type_name
from psdb_query.expressions.core import Expr, compile_expression, split_path, truthy
from psdb_query.geo.match import nearest_in_document
from psdb_query.geo.parse import parse_near
from psdb_query.geo.regions import NearPoint
from psdb_query.numeric import is_number, to_double
from psdb_query.sizes import sizes_of
from psdb_query.stages.match import MatchStage, make_match
from psdb_query.stages.meta import MetaBatch
from psdb_query.stages.model import EVERYTHING, Modified, Run, Stage, StageContext, written
from psdb_query.stages.ports import Batch
from psdb_query.stages.spilling import ExternalSort, Record
from psdb_query.stages.unwind import set_at

_OPTIONS: Final = (
    "distanceField", "distanceMultiplier", "includeLocs", "key", "maxDistance", "minDistance",
    "near", "query", "spherical", "uniqueDocs",
)  # fmt: skip
_GONE: Final = {
    "collation": (
        40227,
        (
            "$geoNear does not accept the 'collation' parameter. Instead, specify a collation for "
            "the entire aggregation command."
        ),
    ),
    "limit": (
        50858,
        "$geoNear no longer supports the 'limit' parameter. Use a $limit stage instead.",
    ),
    "num": (50857, "$geoNear no longer supports the 'num' parameter. Use a $limit stage instead."),
    "start": (50856, "$geoNear no longer supports the 'start' argument."),
}


class GeoNearStage(Stage):
    """Documents with a geometry, nearest first, with their distances.

    Attributes:
        match: The filter of documents (`query`), or None.
        key: The field named, or None for the only one with a geospatial index.

    """

    name = "$geoNear"
    reads = EVERYTHING

    def __init__(self, spec: Document, near: Expr, context: StageContext) -> None:
        self.spec = spec
        self.context = context
        self.near = near
        self.key: str | None = spec.get("key")
        self.distance_parts = split_path(spec["distanceField"])
        locations = spec.get("includeLocs")
        self.location_parts = None if locations is None else split_path(locations)
        self.multiplier = to_double(spec.get("distanceMultiplier", 1))
        query = spec.get("query", {})
        self.match: MatchStage | None = make_match(query, context) if query else None

    async def run(self, source: AsyncIterator[Batch], run: Run) -> AsyncIterator[Batch]:
        """Measure all documents, then give them in order."""
        if run.nearest_first is not None:
            async for batch in self._measured(source, run, _Measure(*run.nearest_first)):
                yield batch
            return
        database, collection = self.context.database, self.context.collection or ""
        key = run.ports.geo_key(database, collection, self.key)
        measure = _Measure(key, self.point(run.env))
        found = ExternalSort("$geoNear", run)
        try:
            async for batch in source:
                await run.ports.checkpoint(len(batch))
                near = batch if self.match is None else self.match.transform(batch, run.env)
                records = [record for doc in near if (record := measure(doc)) is not None]
                await found.add(records, sizes_of(near))
            async for records in found.sorted():
                yield self._documents(records)
        finally:
            await found.close()

    async def _measured(
        self, source: AsyncIterator[Batch], run: Run, measure: _Measure
    ) -> AsyncIterator[Batch]:
        """Give the distances of documents that come in their order."""
        async for batch in source:
            await run.ports.checkpoint(len(batch))
            records = [record for doc in batch if (record := measure(doc)) is not None]
            if records:
                yield self._documents(records)

    def point(self, env: Env, *, on_sphere: bool = False) -> NearPoint:
        """Read the point and the limits, which may be variables.

        Args:
            env: The variables.
            on_sphere: The index is of the sphere, so that a coordinate pair is too.

        """
        near = self.near.evaluate({}, env)
        if type(near) not in (dict, list):
            raise MongoError(
                5860401,
                "$geoNear requires the 'near' argument to be an array or object, but found type "
                f"{type_name(near)}",
            )
        limits: Document = {}
        for name, limit in (("minDistance", "$minDistance"), ("maxDistance", "$maxDistance")):
            if name in self.spec:
                limits[limit] = self._limit(name, env)
        if type(near) is dict and ("type" in near or "coordinates" in near):
            return parse_near({"$nearSphere": {"$geometry": near, **limits}})
        spherical = on_sphere or truthy(self.spec.get("spherical", False))
        return parse_near({"$nearSphere" if spherical else "$near": near, **limits})

    def _limit(self, name: str, env: Env) -> float:
        expr = compile_expression(self.spec[name], self.context.expressions)
        value = expr.evaluate({}, env)
        if not is_number(value):
            raise MongoError(Code.TYPE_MISMATCH, f"{name} must be a number")
        number = to_double(value)
        if not number >= 0:
            raise MongoError(Code.BAD_VALUE, f"{name} must be nonnegative")
        return number

    def _documents(self, records: list[Record]) -> MetaBatch:
        result = MetaBatch()
        for _, record in records:
            distance = record["distance"] * self.multiplier
            doc = set_at(record["doc"], self.distance_parts, distance)
            if self.location_parts is not None:
                doc = set_at(doc, self.location_parts, record["location"])
            result.append(doc)
            result.meta.append({"geoNearDistance": distance, "geoNearPoint": record["location"]})
        return result

    def modified(self) -> Modified:
        """Set the distance and the location."""
        return written(self.spec["distanceField"], self.spec.get("includeLocs"))

    def serialize(self) -> Document:
        """Return the stage."""
        return {"$geoNear": self.spec}


class _Measure:
    """Turns a document into a record by its nearest geometry, or None if it has none."""

    def __init__(self, key: str, near: NearPoint) -> None:
        self._nearest = nearest_in_document(key, near)

    def __call__(self, doc: Document) -> Record | None:
        found = self._nearest(doc)
        if found is None:
            return None
        record = {"distance": found[0], "doc": doc, "location": found[1]}
        return order.key(found[0]), record


def _parse_geo_near(spec: Any, context: StageContext) -> list[Stage]:
    if type(spec) is not dict:
        raise MongoError(10065, "invalid parameter: expected an object ($geoNear)")
    for name in spec:
        if name in _GONE:
            code, message = _GONE[name]
            raise MongoError(code, message)
        if name not in _OPTIONS:
            raise MongoError(Code.BAD_VALUE, f"Unknown argument to $geoNear: {name}")
    if "near" not in spec:
        raise MongoError(5860400, "$geoNear requires a 'near' argument")
    near = compile_expression(spec["near"], context.expressions)
    if type(spec.get("distanceField")) is not str:
        raise MongoError(16606, "$geoNear requires a 'distanceField' option as a String")
    _check_options(spec)
    return [GeoNearStage(spec, near, context)]


def _check_options(spec: Document) -> None:
    for name in ("maxDistance", "minDistance"):
        if name in spec and is_number(spec[name]) and not to_double(spec[name]) >= 0:
            raise MongoError(Code.BAD_VALUE, f"{name} must be nonnegative")
    if "distanceMultiplier" in spec:
        multiplier = spec["distanceMultiplier"]
        if not is_number(multiplier):
            raise MongoError(Code.TYPE_MISMATCH, "distanceMultiplier must be a number")
        if not to_double(multiplier) >= 0:
            raise MongoError(Code.BAD_VALUE, "distanceMultiplier must be nonnegative")
    if "query" in spec and type(spec["query"]) is not dict:
        raise MongoError(Code.TYPE_MISMATCH, "query must be an object")
    if "includeLocs" in spec and type(spec["includeLocs"]) is not str:
        raise MongoError(16607, "$geoNear requires that 'includeLocs' option is a String")
    if "key" in spec:
        key = spec["key"]
        if type(key) is not str:
            raise MongoError(
                Code.TYPE_MISMATCH,
                f"$geoNear parameter 'key' must be of type string but found type: {type_name(key)}",
            )
        if not key:
            raise MongoError(Code.BAD_VALUE, "$geoNear parameter 'key' cannot be the empty string")


PARSERS: Final = {"$geoNear": _parse_geo_near}
