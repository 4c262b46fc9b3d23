"""Geospatial conditions compiled to tests of values and distances of documents."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

from psdb_base.values import Document
from psdb_query.filters.traverse import Test, match_path
from psdb_query.geo.geojson import parse_stored
from psdb_query.geo.regions import Cap, NearPoint, Region
from psdb_query.geo.shapes import Geometry


def within(region: Region) -> Test:
    """Compile `$geoWithin`: the value is a geometry that lies wholly in the region."""
    if isinstance(region, (Cap, Geometry)):
        return lambda value: _on_sphere(value, region.contains)
    contains_flat = region.contains_flat

    def test(value: Any) -> bool:
        if value.__class__ is not list and value.__class__ is not dict:
            return False
        geometry = parse_stored(value)
        return geometry is not None and geometry.flat is not None and contains_flat(geometry.flat)

    return test


def intersects(region: Region) -> Test:
    """Compile `$geoIntersects`."""
    assert isinstance(region, (Cap, Geometry))
    return lambda value: _on_sphere(value, region.intersects)


def _on_sphere(value: Any, relation: Callable[[Geometry], bool]) -> bool:
    if value.__class__ is not list and value.__class__ is not dict:
        return False
    geometry = parse_stored(value)
    # A stored polygon with strict winding order never matches; neither does a pair off the sphere.
    if geometry is None or geometry.strict:
        return False
    if not (geometry.points or geometry.lines or geometry.polygons):
        return False
    return relation(geometry)


def distance_of_value(near: NearPoint) -> Callable[[Any], float | None]:
    """Compile the distance of one value, None if it is no geometry or beyond the limits."""

    def distance(value: Any) -> float | None:
        if value.__class__ is not list and value.__class__ is not dict:
            return None
        geometry = parse_stored(value)
        return None if geometry is None or geometry.strict else near.distance(geometry)

    return distance


def nearest_in_document(
    path: str, near: NearPoint
) -> Callable[[Document], tuple[float, Any] | None]:
    """Compile the least distance at a path of a document, and the geometry that has it."""
    measure = distance_of_value(near)
    found: list[tuple[float, Any]] = []

    def collect(value: Any) -> bool:
        distance = measure(value)
        if distance is not None:
            found.append((distance, value))
        return False

    walk = match_path(tuple(path.split(".")), collect)

    def nearest(document: Document) -> tuple[float, Any] | None:
        found.clear()
        walk(document)
        return min(found, key=itemgetter(0)) if found else None

    return nearest
