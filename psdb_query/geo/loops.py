"""Loops and polygons on the sphere: what is inside, what crosses, how far away.

A loop is closed by its last edge and has its inside on its left. A point on an edge is inside.
Whether a point is inside follows from how often the arc to it from a point known to be inside
crosses the edges.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from psdb_query.geo import sphere
from psdb_query.geo.sphere import TOUCH, Vector

Arc = tuple[Vector, Vector]

_REFERENCE_OFFSET: Final = 0.01
_PARALLEL: Final = 1e-9


class Loop:
    """A simple closed line.

    Args:
        vertices: At least three different points, without the first one repeated.
        normalize: Turn the loop round if its inside is more than a hemisphere.

    """

    __slots__ = ("_anchors", "_bound", "edges", "outside", "vertices")

    def __init__(self, vertices: list[Vector], *, normalize: bool = True) -> None:
        turned = normalize and turning(vertices) < 0
        self.vertices = vertices[::-1] if turned else vertices
        self.edges: list[Arc] = [
            (self.vertices[i - 1], here) for i, here in enumerate(self.vertices)
        ]
        self._anchors = self._find_anchors()
        self.outside = self._beside_edge(0, -1)
        """A point that is not inside."""
        self._bound = self._find_bound() if normalize else None

    @property
    def inside(self) -> Vector:
        """A point that is inside, not on an edge."""
        return self._anchors[0]

    def _beside_edge(self, index: int, side: int) -> Vector:
        """Return a point close to the middle of an edge, on its left (1) or right (-1)."""
        a, b = self.edges[index]
        at = sphere.middle(a, b)
        others = (edge for i, edge in enumerate(self.edges) if i != index)
        room = min(sphere.distance_to_arc(at, c, d) for c, d in others)
        offset = side * min(_REFERENCE_OFFSET, room / 4)
        return sphere.unit(sphere.blend(at, 1, sphere.unit(sphere.cross(a, b)), offset))

    def _find_anchors(self) -> list[Vector]:
        """Return points inside beside the longest edges."""
        longest = sorted(range(len(self.edges)), key=lambda i: -sphere.angle(*self.edges[i]))
        return [self._beside_edge(index, 1) for index in longest[:3]]

    def _find_bound(self) -> tuple[Vector, float] | None:
        """Return centre and cosine of a cap around the loop, if one below a hemisphere will do."""
        total = (0.0, 0.0, 0.0)
        for vertex in self.vertices:
            total = sphere.blend(total, 1, vertex, 1)
        if sphere.length(total) < _PARALLEL:
            return None
        centre = sphere.unit(total)
        cosine = min(sphere.dot(centre, vertex) for vertex in self.vertices)
        return (centre, cosine - TOUCH * 4) if cosine > 0.01 else None

    def contains(self, p: Vector) -> bool:
        """Tell whether a point is inside or on an edge."""
        bound = self._bound
        if bound is not None and sphere.dot(bound[0], p) < bound[1]:
            return False
        return self.on_edge(p) or self._encloses(p)

    def strictly_contains(self, p: Vector) -> bool:
        """Tell whether a point is inside and not on an edge."""
        return not self.on_edge(p) and self._encloses(p)

    def on_edge(self, p: Vector) -> bool:
        """Tell whether a point touches an edge."""
        return any(sphere.distance_to_arc(p, a, b) <= TOUCH for a, b in self.edges)

    def _encloses(self, p: Vector) -> bool:
        for anchor in self._anchors:
            plane = sphere.cross(anchor, p)
            if sphere.length(plane) > _PARALLEL:
                return self._crossings(anchor, p, plane) % 2 == 0
        return sphere.dot(self._anchors[0], p) > 0

    def _crossings(self, start: Vector, end: Vector, plane: Vector) -> int:
        """Count the edges that the arc crosses, a vertex on its way counting for one side."""
        count = 0
        dot, cross = sphere.dot, sphere.cross
        sides = [dot(plane, vertex) for vertex in self.vertices]
        for index, (a, b) in enumerate(self.edges):
            left, right = sides[index - 1], sides[index]
            if (left >= 0) == (right >= 0):
                continue
            at = sphere.blend(a, abs(right), b, abs(left))
            if dot(cross(start, at), plane) > 0 and dot(cross(at, end), plane) > 0:
                count += 1
        return count

    def distance(self, p: Vector) -> float:
        """Return the angle between a point and the nearest point of the edges."""
        return min(sphere.distance_to_arc(p, a, b) for a, b in self.edges)


def turning(vertices: list[Vector]) -> float:
    """Return the sum of the loop's turns: 2π less the area on its left."""
    total = 0.0
    for index, here in enumerate(vertices):
        before = vertices[index - 1]
        after = vertices[(index + 1) % len(vertices)]
        arriving, leaving = sphere.cross(before, here), sphere.cross(here, after)
        turn = sphere.angle(arriving, leaving)
        total += turn if sphere.dot(sphere.cross(arriving, leaving), here) >= 0 else -turn
    return total


def self_crossing(vertices: list[Vector]) -> tuple[int, int] | None:
    """Return two edges of a loop that cross or touch where they should not."""
    edges = list(zip(vertices, [*vertices[1:], vertices[0]], strict=True))
    count = len(edges)
    spans = [sphere.arc_heights(a, b) for a, b in edges]
    by_height = sorted(range(count), key=lambda i: spans[i][0])
    for position, first in enumerate(by_height):
        for second in by_height[position + 1 :]:
            if spans[second][0] > spans[first][1] + TOUCH:
                break
            gap = (second - first) % count
            if gap == 1:
                bad = _turns_back(edges[first], edges[second])
            elif gap == count - 1:
                bad = _turns_back(edges[second], edges[first])
            else:
                bad = sphere.arcs_touch(*edges[first], *edges[second])
            if bad:
                return min(first, second), max(first, second)
    return None


def _turns_back(edge: Arc, following: Arc) -> bool:
    """Tell whether an edge runs back over the one before it."""
    a, b = edge
    _, c = following
    return sphere.distance_to_arc(a, b, c) <= TOUCH or sphere.distance_to_arc(c, a, b) <= TOUCH


class Polygon:
    """An outer loop with holes."""

    __slots__ = ("holes", "outer")

    def __init__(self, outer: Loop, holes: tuple[Loop, ...] = ()) -> None:
        self.outer = outer
        self.holes = holes

    def loops(self) -> Iterator[Loop]:
        """Yield the outer loop, then the holes."""
        yield self.outer
        yield from self.holes

    def edges(self) -> Iterator[Arc]:
        """Yield the edges of all loops."""
        for loop in self.loops():
            yield from loop.edges

    def contains_point(self, p: Vector) -> bool:
        """Tell whether a point is inside or on an edge (a hole's edge included)."""
        return self.outer.contains(p) and not any(hole.strictly_contains(p) for hole in self.holes)

    def contains_arc(self, a: Vector, b: Vector) -> bool:
        """Tell whether a whole arc is inside: each piece between two meetings with edges is."""
        if not (self.contains_point(a) and self.contains_point(b)):
            return False
        cuts = [a, b]
        for c, d in self.edges():
            at = sphere.crossing(a, b, c, d)
            if at is not None:
                cuts.append(at)
            if sphere.distance_to_arc(c, a, b) <= TOUCH:
                cuts.append(c)
        if len(cuts) > 2:
            cuts.sort(key=lambda point: sphere.angle(a, point))
        return all(
            self.contains_point(sphere.middle(cuts[i], cuts[i + 1])) for i in range(len(cuts) - 1)
        )

    def contains_line(self, points: Sequence[Vector]) -> bool:
        """Tell whether a whole line is inside."""
        pairs = pairwise(points)
        return all(self.contains_arc(a, b) for a, b in pairs)

    def contains_polygon(self, other: Polygon) -> bool:
        """Tell whether the whole of another polygon is inside."""
        if not all(self.contains_arc(a, b) for a, b in other.edges()):
            return False
        # No edge leaves, so what is cut out of this one is wholly in the other or wholly not.
        if other.contains_point(self.outer.outside):
            return False
        return not any(other.contains_point(hole.inside) for hole in self.holes)

    def touches_line(self, points: Sequence[Vector]) -> bool:
        """Tell whether a line has a point in common."""
        if any(self.contains_point(p) for p in points):
            return True
        edges = list(self.edges())
        return any(sphere.arcs_touch(a, b, c, d) for a, b in pairwise(points) for c, d in edges)

    def touches_polygon(self, other: Polygon) -> bool:
        """Tell whether another polygon has a point in common."""
        if self.contains_point(other.outer.vertices[0]):
            return True
        if other.contains_point(self.outer.vertices[0]):
            return True
        if any(self.contains_point(p) for p in other.outer.vertices):
            return True
        edges = list(other.edges())
        return any(sphere.arcs_touch(a, b, c, d) for a, b in self.edges() for c, d in edges)

    def distance(self, p: Vector) -> float:
        """Return the angle from a point to the polygon, 0 inside."""
        if self.contains_point(p):
            return 0.0
        return min(loop.distance(p) for loop in self.loops())

    def farthest(self, p: Vector) -> float:
        """Return the angle from a point to the polygon's farthest point."""
        return math.pi - self.distance(sphere.opposite(p))
