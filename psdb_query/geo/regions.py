"""What a geospatial condition looks for: regions, and the point of a `$near`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from psdb_query.geo import sphere
from psdb_query.geo.shapes import Geometry
from psdb_query.geo.sphere import TOUCH, Vector

Flat: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """`$box`: a rectangle in the plane, edges included."""

    low: Flat
    high: Flat

    def contains_flat(self, point: Flat) -> bool:
        """Tell whether a point of the plane is inside."""
        x, y = point
        return self.low[0] <= x <= self.high[0] and self.low[1] <= y <= self.high[1]


@dataclass(frozen=True, slots=True)
class Circle:
    """`$center`: a disc in the plane, edge included."""

    centre: Flat
    radius: float

    def contains_flat(self, point: Flat) -> bool:
        """Tell whether a point of the plane is inside."""
        return math.dist(self.centre, point) <= self.radius


@dataclass(frozen=True, slots=True)
class FlatPolygon:
    """`$polygon`: a polygon in the plane, edges included; the last point joins the first."""

    points: tuple[Flat, ...]

    def contains_flat(self, point: Flat) -> bool:
        """Tell whether a point of the plane is inside."""
        x, y = point
        inside = False
        previous = self.points[-1]
        for here in self.points:
            if _on_segment(point, previous, here):
                return True
            (x1, y1), (x2, y2) = previous, here
            if (y1 > y) != (y2 > y) and x < x1 + (y - y1) * (x2 - x1) / (y2 - y1):
                inside = not inside
            previous = here
        return inside


def _on_segment(point: Flat, a: Flat, b: Flat) -> bool:
    (x, y), (x1, y1), (x2, y2) = point, a, b
    area = (x2 - x1) * (y - y1) - (y2 - y1) * (x - x1)
    scale = max(abs(x2 - x1), abs(y2 - y1), 1e-300)
    if abs(area) > 1e-14 * scale * max(scale, abs(x), abs(y)):
        return False
    return min(x1, x2) <= x <= max(x1, x2) and min(y1, y2) <= y <= max(y1, y2)


@dataclass(frozen=True, slots=True)
class Cap:
    """`$centerSphere`: all within an angle of a point of the sphere."""

    centre: Vector
    radius: float

    def contains(self, geometry: Geometry) -> bool:
        """Tell whether the whole geometry is inside."""
        return geometry.farthest(self.centre) <= self.radius + TOUCH

    def intersects(self, geometry: Geometry) -> bool:
        """Tell whether the geometry has a point inside."""
        return geometry.distance(self.centre) <= self.radius + TOUCH


Region: TypeAlias = Box | Cap | Circle | FlatPolygon | Geometry


@dataclass(frozen=True, slots=True)
class NearPoint:
    """The point of a `$near` and its limits.

    Args:
        flat: The point as written.
        point: The point on the sphere; None for a distance in the plane.
        unit: What an angle of one radian counts for (metres for GeoJSON, 1 for legacy pairs).
        min_distance: Nothing nearer than this.
        max_distance: Nothing farther than this.

    """

    flat: Flat
    point: Vector | None
    unit: float
    min_distance: float = 0.0
    max_distance: float = math.inf

    @property
    def spherical(self) -> bool:
        """Whether distances are measured on the sphere."""
        return self.point is not None

    @property
    def is_geojson(self) -> bool:
        """Whether distances are in metres."""
        return self.unit != 1.0

    def distance(self, geometry: Geometry) -> float | None:
        """Return the distance of a geometry, None if it has none in this system or is beyond."""
        if self.point is None:
            if geometry.flat is None:
                return None
            found = math.dist(self.flat, geometry.flat)
        else:
            if not (geometry.points or geometry.lines or geometry.polygons):
                return None
            found = geometry.distance(self.point) * self.unit
        return found if self.min_distance <= found <= self.max_distance else None


def near_sphere(
    longitude: float, latitude: float, *, metres: bool, least: float = 0.0, most: float = math.inf
) -> NearPoint:
    """Make a point for distances on the sphere, in metres or in radians."""
    unit = sphere.EARTH_RADIUS_METRES if metres else 1.0
    point = sphere.from_degrees(longitude, latitude)
    return NearPoint((longitude, latitude), point, unit, least, most)
