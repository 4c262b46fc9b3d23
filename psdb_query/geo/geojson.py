"""GeoJSON and legacy coordinate pairs, read into geometries.

Stored shapes and queried ones are read alike, save that a stored legacy point may have further
fields and that the caller of `parse_stored` takes an error for "no geometry".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Final

from bson.decimal128 import Decimal128
from bson.int64 import Int64

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.describe import text_of
from psdb_query.geo import sphere
from psdb_query.geo.loops import Loop, Polygon, self_crossing
from psdb_query.geo.shapes import Geometry
from psdb_query.geo.sphere import Vector

_NUMBERS: Final = frozenset({Decimal128, Int64, float, int})
_SPHERE_NAMES: Final = frozenset({"EPSG:4326", "urn:ogc:def:crs:OGC:1.3:CRS84"})
_STRICT_NAME: Final = "urn:x-mongodb:crs:strictwinding:EPSG:4326"


def bad(message: str) -> MongoError:
    """Make the error of a malformed shape (2)."""
    return MongoError(Code.BAD_VALUE, message)


def number(value: Any) -> float:
    """Convert a BSON number to a double."""
    return float(str(value)) if value.__class__ is Decimal128 else float(value)


def is_number(value: Any) -> bool:
    """Tell whether a value is one of the four kinds of number."""
    return value.__class__ in _NUMBERS


def flat_point(value: Any, *, more: bool = False) -> tuple[float, float]:
    """Read two numbers from an array or the first two fields of an object.

    `more` allows further elements behind them.
    """
    if value.__class__ is dict:
        items = list(value.values())
    elif value.__class__ is list:
        items = value
    else:
        raise bad("Point must be an array or object")
    if len(items) < 2 or not is_number(items[0]) or not is_number(items[1]):
        raise bad("Point must only contain numeric elements")
    if len(items) > 2 and not more:
        raise bad("Point must only contain two numeric elements")
    x, y = number(items[0]), number(items[1])
    if not (math.isfinite(x) and math.isfinite(y)):
        raise bad("Point coordinates must be finite numbers")
    return x, y


def on_sphere(x: float, y: float) -> bool:
    """Tell whether a pair is a longitude and a latitude."""
    return -180 <= x <= 180 and -90 <= y <= 90


def to_sphere(x: float, y: float) -> Vector:
    """Turn longitude and latitude into a point; 2 when they are out of bounds."""
    if not on_sphere(x, y):
        raise bad(f"Longitude/latitude is out of bounds, lng: {x:g} lat: {y:g}")
    return sphere.from_degrees(x, y)


def _coordinates(value: Any) -> list[Vector]:
    if value.__class__ is not list:
        raise bad("GeoJSON coordinates must be an array of coordinates")
    out = []
    for item in value:
        if item.__class__ is not list:
            raise bad("GeoJSON coordinates must be an array")
        out.append(to_sphere(*flat_point(item, more=True)))
    return out


def _without_repeats(points: list[Vector]) -> list[Vector]:
    return [point for i, point in enumerate(points) if i == 0 or point != points[i - 1]]


def _line(value: Any) -> tuple[Vector, ...]:
    points = _without_repeats(_coordinates(value))
    if len(points) < 2:
        raise bad(f"GeoJSON LineString must have at least 2 vertices: {text_of(value)}")
    _check_antipodes(points, "GeoJSON LineString is not valid", value)
    return tuple(points)


def _check_antipodes(points: list[Vector], prefix: str, value: Any) -> None:
    for index, (a, b) in enumerate(pairwise(points)):
        if sphere.length(sphere.blend(a, 1, b, 1)) < sphere.TOUCH:
            message = f"{prefix}: vertices {index} and {index + 1} are antipodal {text_of(value)}"
            raise bad(message)


def _ring(value: Any) -> list[Vector]:
    """Read a closed ring into its different vertices."""
    points = _coordinates(value)
    if not points:
        raise bad(f"Loop has no vertices: {text_of(value)}")
    if points[0] != points[-1]:
        raise bad(f"Loop is not closed: {text_of(value)}")
    _check_antipodes(points, "Loop is not valid", value)
    points = _without_repeats(points)[:-1]
    if len(points) < 3:
        raise bad(f"Loop must have at least 3 different vertices: {text_of(value)}")
    if len(set(points)) != len(points):
        raise bad(f"Loop is not valid: {text_of(value)} Duplicate vertices")
    crossing = self_crossing(points)
    if crossing is not None:
        first, second = crossing
        raise bad(f"Loop is not valid: {text_of(value)} Edges {first} and {second} cross.")
    return points


def _polygon(value: Any) -> Polygon:
    if value.__class__ is not list:
        raise bad("Polygon coordinates must be an array")
    if not value:
        raise bad("Polygon has no loops.")
    loops: list[Loop] = []
    for ring in value:
        loop = Loop(_ring(ring))
        if loops and not Polygon(loops[0]).contains_polygon(Polygon(loop)):
            raise bad(
                "Secondary loops not contained by first exterior loop - secondary loops must be "
                f"holes: {text_of(ring)} first loop: {text_of(value[0])}"
            )
        loops.append(loop)
    _check_holes(loops, value)
    return Polygon(loops[0], tuple(loops[1:]))


def _check_holes(loops: list[Loop], value: Any) -> None:
    for index, hole in enumerate(loops[1:], 1):
        for other in range(1, index):
            polygon = Polygon(loops[other])
            if any(sphere.crossing(*a, *b) for a in hole.edges for b in loops[other].edges):
                raise bad(f"Polygon isn't valid: Loops {other} and {index} cross {text_of(value)}")
            if polygon.contains_point(hole.inside) or hole.contains(loops[other].inside):
                raise bad(f"Polygon interior loops cannot be nested: {text_of(value)}")


def _strict_polygon(value: Any) -> Polygon:
    if value.__class__ is not list:
        raise bad("Coordinates of polygon must be an array")
    if len(value) != 1:
        raise bad(f"Only one simple loop is allowed in a big polygon: {text_of(value)}")
    return Polygon(Loop(_ring(value[0]), normalize=False))


def _is_strict(shape: Document, *, allowed: bool = False) -> bool:
    """Read the coordinate system: True for the one with strict winding order."""
    if "crs" not in shape:
        return False
    crs = shape["crs"]
    if crs.__class__ is not dict:
        raise bad("GeoJSON CRS must be an object")
    if crs.get("type") != "name":
        raise bad('GeoJSON CRS must have field "type": "name"')
    properties = crs.get("properties")
    if properties.__class__ is not dict:
        raise bad('CRS must have field "properties" which is an object')
    assert isinstance(properties, dict)
    name = properties.get("name")
    if name.__class__ is not str:
        raise bad('In CRS, "properties.name" must be a string')
    if name in _SPHERE_NAMES:
        return False
    if name != _STRICT_NAME:
        raise bad(f"Unknown CRS name: {name}")
    if not allowed:
        raise bad("Strict winding order is only supported by polygon")
    return True


def _read_point(shape: Document) -> Geometry:
    _is_strict(shape)
    x, y = flat_point(shape.get("coordinates"), more=True)
    return Geometry(points=(to_sphere(x, y),), flat=(x, y))


def _read_line(shape: Document) -> Geometry:
    _is_strict(shape)
    return Geometry(lines=(_line(shape.get("coordinates")),))


def _read_polygon(shape: Document) -> Geometry:
    coordinates = shape.get("coordinates")
    if _is_strict(shape, allowed=True):
        return Geometry(polygons=(_strict_polygon(coordinates),), strict=True)
    return Geometry(polygons=(_polygon(coordinates),))


def _parts(shape: Document, name: str, field: str = "coordinates") -> Iterator[Any]:
    _is_strict(shape)
    value = shape.get(field)
    if value.__class__ is not list:
        raise bad(f"{name} {field} must be an array")
    assert isinstance(value, list)
    if not value:
        raise bad(f"{name} {field} must have at least 1 element")
    yield from value


def _read_multi_point(shape: Document) -> Geometry:
    _is_strict(shape)
    points = _coordinates(shape.get("coordinates"))
    if not points:
        raise bad("MultiPoint coordinates must have at least 1 element")
    return Geometry(points=tuple(points))


def _read_multi_line(shape: Document) -> Geometry:
    return Geometry(lines=tuple(_line(part) for part in _parts(shape, "MultiLineString")))


def _read_multi_polygon(shape: Document) -> Geometry:
    return Geometry(polygons=tuple(_polygon(part) for part in _parts(shape, "MultiPolygon")))


def _read_collection(shape: Document) -> Geometry:
    found: list[Geometry] = []
    for index, part in enumerate(_parts(shape, "GeometryCollection", "geometries")):
        if part.__class__ is not dict:
            raise bad(f'Element {index} of "geometries" is not an object')
        if part.get("type") == "GeometryCollection":
            raise bad(f"GeometryCollections cannot be nested: {text_of(part)}")
        reader = _reader(part)
        if reader is None:
            raise bad(f"Unknown GeoJSON type: {text_of(part)}")
        found.append(reader(part))
    return Geometry(
        points=tuple(point for geometry in found for point in geometry.points),
        lines=tuple(line for geometry in found for line in geometry.lines),
        polygons=tuple(polygon for geometry in found for polygon in geometry.polygons),
        strict=any(geometry.strict for geometry in found),
    )


_READERS: Final[dict[str, Callable[[Document], Geometry]]] = {
    "GeometryCollection": _read_collection,
    "LineString": _read_line,
    "MultiLineString": _read_multi_line,
    "MultiPoint": _read_multi_point,
    "MultiPolygon": _read_multi_polygon,
    "Point": _read_point,
    "Polygon": _read_polygon,
}


def _reader(shape: Document) -> Callable[[Document], Geometry] | None:
    kind = shape.get("type")
    return _READERS.get(kind) if isinstance(kind, str) else None


def parse_geometry(shape: Any) -> Geometry:
    """Read a GeoJSON object; MongoError 2 when it is malformed."""
    reader = _reader(shape) if shape.__class__ is dict else None
    if reader is None:
        raise bad(f"unknown GeoJSON type: {text_of(shape)}")
    return reader(shape)


def parse_stored(value: Any) -> Geometry | None:
    """Read what a document holds: GeoJSON or a legacy point; None when it is neither."""
    try:
        if value.__class__ is dict and _reader(value) is not None:
            return parse_geometry(value)
        return legacy_point(value, more=True)
    except MongoError:
        return None


def read_stored(value: Any) -> Geometry:
    """Read what an index on the sphere has to take in; MongoError 2 when it is malformed."""
    if value.__class__ is dict and "type" in value and not is_number(next(iter(value.values()))):
        return parse_geometry(value)
    x, y = flat_point(value, more=True)
    return Geometry(points=(to_sphere(x, y),), flat=(x, y))


def legacy_point(value: Any, *, more: bool = False) -> Geometry:
    """Read a coordinate pair, which is on the sphere only if it is a longitude and latitude."""
    x, y = flat_point(value, more=more)
    points = (sphere.from_degrees(x, y),) if on_sphere(x, y) else ()
    return Geometry(points=points, flat=(x, y))
