"""Geometries: collections of points, lines and polygons, and how they relate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from psdb_query.geo import sphere
from psdb_query.geo.loops import Polygon
from psdb_query.geo.sphere import TOUCH, Vector


@dataclass(frozen=True, slots=True)
class Geometry:
    """What a stored or queried shape comes down to on the sphere.

    Args:
        points: Points.
        lines: Lines of at least two points each.
        polygons: Polygons.
        flat: The coordinates `(x, y)` as written, if it is a single point.
        strict: A polygon whose winding order says what is inside, however large.

    """

    points: tuple[Vector, ...] = ()
    lines: tuple[tuple[Vector, ...], ...] = ()
    polygons: tuple[Polygon, ...] = ()
    flat: tuple[float, float] | None = None
    strict: bool = False

    def contains(self, other: Geometry) -> bool:
        """Tell whether each part of another geometry lies within one polygon of this one."""
        return (
            all(any(p.contains_point(x) for p in self.polygons) for x in other.points)
            and all(any(p.contains_line(x) for p in self.polygons) for x in other.lines)
            and all(any(p.contains_polygon(x) for p in self.polygons) for x in other.polygons)
        )

    def intersects(self, other: Geometry) -> bool:
        """Tell whether another geometry has a point in common with this one."""
        return (
            any(self._touches_point(point) for point in other.points)
            or any(self._touches_line(line) for line in other.lines)
            or any(self._touches_polygon(polygon) for polygon in other.polygons)
        )

    def _touches_point(self, point: Vector) -> bool:
        return (
            any(sphere.angle(point, mine) <= TOUCH for mine in self.points)
            or any(_on_line(point, line) for line in self.lines)
            or any(polygon.contains_point(point) for polygon in self.polygons)
        )

    def _touches_line(self, line: tuple[Vector, ...]) -> bool:
        return (
            any(_on_line(point, line) for point in self.points)
            or any(_lines_touch(line, mine) for mine in self.lines)
            or any(polygon.touches_line(line) for polygon in self.polygons)
        )

    def _touches_polygon(self, polygon: Polygon) -> bool:
        return (
            any(polygon.contains_point(point) for point in self.points)
            or any(polygon.touches_line(line) for line in self.lines)
            or any(polygon.touches_polygon(mine) for mine in self.polygons)
        )

    def distance(self, p: Vector) -> float:
        """Return the angle from a point to the nearest point of this geometry."""
        best = math.inf
        for point in self.points:
            best = min(best, sphere.angle(p, point))
        for line in self.lines:
            best = min(best, _line_distance(p, line))
        for polygon in self.polygons:
            best = min(best, polygon.distance(p))
        return best

    def farthest(self, p: Vector) -> float:
        """Return the angle from a point to the farthest point of this geometry."""
        return math.pi - self.distance(sphere.opposite(p))


def _line_distance(p: Vector, line: tuple[Vector, ...]) -> float:
    pairs = pairwise(line)
    return min(sphere.distance_to_arc(p, a, b) for a, b in pairs)


def _on_line(p: Vector, line: tuple[Vector, ...]) -> bool:
    return _line_distance(p, line) <= TOUCH


def _lines_touch(first: tuple[Vector, ...], second: tuple[Vector, ...]) -> bool:
    return any(
        sphere.arcs_touch(a, b, c, d) for a, b in pairwise(first) for c, d in pairwise(second)
    )
