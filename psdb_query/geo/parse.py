"""Operands of `$geoWithin`, `$geoIntersects`, `$near` and `$nearSphere`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_query.describe import text_of
from psdb_query.geo import geojson
from psdb_query.geo.geojson import bad, flat_point, is_number, number
from psdb_query.geo.regions import (
    Box,
    Cap,
    Circle,
    FlatPolygon,
    NearPoint,
    Region,
    near_sphere,
)
from psdb_query.geo.shapes import Geometry


def _items(value: Any) -> list[Any]:
    return list(value.values()) if value.__class__ is dict else list(value)


def _box(value: Any) -> Region:
    corners = [*_items(value), None, None]
    (x1, y1), (x2, y2) = flat_point(corners[0]), flat_point(corners[1])
    return Box((min(x1, x2), min(y1, y2)), (max(x1, x2), max(y1, y2)))


def _polygon(value: Any) -> Region:
    points = tuple(flat_point(item) for item in _items(value))
    if len(points) < 3:
        raise bad("Polygon must have at least 3 points")
    return FlatPolygon(points)


def _circle(value: Any) -> tuple[tuple[float, float], float]:
    items = [*_items(value), None, None]
    centre = flat_point(items[0])
    if not is_number(items[1]) or not number(items[1]) >= 0:
        raise bad("radius must be a non-negative number")
    if len(items) > 4:
        raise bad("Only 2 fields allowed for circular region")
    return centre, number(items[1])


def _center(value: Any) -> Region:
    return Circle(*_circle(value))


def _center_sphere(value: Any) -> Region:
    centre, radius = _circle(value)
    return Cap(geojson.to_sphere(*centre), radius)


_SPECIFIERS: Final[dict[str, Callable[[Any], Region]]] = {
    "$box": _box,
    "$center": _center,
    "$centerSphere": _center_sphere,
    "$geometry": geojson.parse_geometry,
    "$polygon": _polygon,
}


def _region(spec: Document) -> tuple[str, Region]:
    """Read `{$operator: {specifier: shape}}`."""
    operator, value = next(iter(spec.items()))
    for name in list(spec)[1:]:
        raise bad(f"can't parse extra field: {name}: {text_of(spec[name])}")
    if value.__class__ is not dict:
        raise bad("geometry must be an object")
    region: Region | None = None
    for name, shape in value.items():
        if name == "$uniqueDocs":
            continue
        if region is not None and operator == "$geoWithin":
            raise bad(f"$geoWithin doesn't accept multiple shapes {operator}: {text_of(value)}")
        reader = _SPECIFIERS.get(name)
        if reader is None or shape.__class__ not in (dict, list):
            raise bad(f"unknown geo specifier: {name}: {text_of(shape)}")
        region = reader(shape)
    if region is None:
        raise bad("geo query doesn't have any geometry")
    return operator, region


def parse_within(spec: Document) -> Region:
    """Read the operand of `$geoWithin`, which needs a region with an area."""
    operator, region = _region(spec)
    if isinstance(region, Geometry) and not region.polygons:
        raise bad(f"{operator} not supported with provided geometry: {text_of(spec)}")
    return region


def parse_intersects(spec: Document) -> Region:
    """Read the operand of `$geoIntersects`, which is of the sphere always."""
    _, region = _region(spec)
    if not isinstance(region, (Cap, Geometry)):
        raise bad(f"$geoIntersect not supported with provided geometry: {text_of(spec)}")
    return region


# Nearness.


def parse_near(spec: Document) -> NearPoint:
    """Read `$near`, `$nearSphere` or `$geoNear` with its limits, in the old form or the new."""
    operator, value = next(iter(spec.items()))
    if not is_old_point(value):
        return _parse_new(spec, value)
    least, most = _old_limits(spec)
    if value.__class__ is dict and "coordinates" in value:
        x, y = _geojson_point(value)
        return near_sphere(x, y, metres=True, least=least, most=most)
    items = _items(value)
    if len(items) == 3 and is_number(items[2]):
        most = number(items[2])
        if not most >= 0:
            raise MongoError(18522, "max distance must be non-negative")
        items = items[:2]
    x, y = flat_point(items)
    if operator != "$nearSphere":
        return NearPoint((x, y), None, 1.0, least, most)
    if not geojson.on_sphere(x, y):
        raise bad("Legacy point is out of bounds for spherical query")
    return near_sphere(x, y, metres=False, least=least, most=most)


def is_old_point(value: Any) -> bool:
    """Tell whether a value is itself a point: a pair, or GeoJSON without `$geometry`."""
    items = _items(value)
    if len(items) >= 2 and is_number(items[0]) and is_number(items[1]):
        return True
    return value.__class__ is dict and "coordinates" in value


def _old_limits(spec: Document) -> tuple[float, float]:
    least, most = 0.0, math.inf
    for name, value in list(spec.items())[1:]:
        if name == "$minDistance":
            if not is_number(value):
                raise MongoError(16893, "$minDistance must be a number")
            least = number(value)
            if not least >= 0:
                raise MongoError(16894, "$minDistance must be non-negative")
        elif name == "$maxDistance":
            if not is_number(value):
                raise MongoError(16895, "$maxDistance must be a number")
            most = number(value)
            if not most >= 0:
                raise MongoError(16896, "$maxDistance must be non-negative")
        elif name != "$uniqueDocs":
            raise MongoError(34413, f"invalid argument in geo near query: {name}")
    return least, most


def _parse_new(spec: Document, value: Any) -> NearPoint:
    for name in list(spec)[1:]:
        if name not in ("$maxDistance", "$minDistance", "$uniqueDocs"):
            raise MongoError(34413, f"invalid argument in geo near query: {name}")
        raise bad(
            "geo near accepts just one argument when querying for a GeoJSON point. Extra field "
            f"found: {name}: {text_of(spec[name])}"
        )
    point: tuple[float, float] | None = None
    least, most = 0.0, math.inf
    fields = value if value.__class__ is dict else {str(i): v for i, v in enumerate(value)}
    for name, item in fields.items():
        if name == "$geometry":
            if item.__class__ in (dict, list):
                point = _geometry_point(item)
        elif name == "$minDistance":
            least = _new_limit(name, item)
        elif name == "$maxDistance":
            most = _new_limit(name, item)
        else:
            raise bad(f"invalid argument in geo near query: {name}")
    if point is None:
        raise bad("$geometry is required for geo near query")
    return near_sphere(*point, metres=True, least=least, most=most)


def _new_limit(name: str, value: Any) -> float:
    if not is_number(value):
        raise bad(f"{name} must be a number")
    limit = number(value)
    if not (limit >= 0 and math.isfinite(limit)):
        raise bad(f"{name} must be non-negative")
    return limit


def _geometry_point(value: Any) -> tuple[float, float]:
    try:
        if value.__class__ is list or is_number(next(iter(value.values()), None)):
            flat_point(value)
        else:
            return _geojson_point(value)
    except MongoError as error:
        message = (
            f"invalid point in geo near query $geometry argument: {text_of(value)}  {error.message}"
        )
        raise bad(message) from None
    raise bad(f"$near requires geojson point, given {text_of(value)}")


def _geojson_point(value: Document) -> tuple[float, float]:
    geometry = geojson.parse_geometry({"type": "Point", **_shape_fields(value)})
    assert geometry.flat is not None
    return geometry.flat


def _shape_fields(value: Document) -> Document:
    """Keep what a point is read from: MongoDB does not look at the type here."""
    return {name: value[name] for name in ("coordinates", "crs") if name in value}
