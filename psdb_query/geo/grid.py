"""The grid of a 2d index: a square of the plane divided into four again and again.

A cell's number is the two positions' bits in turn, `2 * bits` of them for the smallest cells;
the numbers of the smallest cells within a larger one are an interval. A point has the number
of the smallest cell that it is in; what lies outside the square has none.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final, TypeAlias

from psdb_query.geo import sphere
from psdb_query.geo.cells import interleave
from psdb_query.geo.regions import Box, Cap, Circle, Flat, FlatPolygon

Square: TypeAlias = tuple[int, int, int]
"""Level and the two positions, each below `2 ** level`."""
FlatRegion: TypeAlias = Box | Cap | Circle | FlatPolygon

ROOT: Final[Square] = (0, 0, 0)
_OFFSET: Final = 1 << 63
"""Taken from a cell's number to make it a signed number of 64 bits."""
_SLACK: Final = 1e-9
_CORNERS_DEGREES: Final = 90
"""In a rectangle no larger than this the corners are the farthest from the middle."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A 2d index's grid.

    Args:
        bits: Of precision for each coordinate, 1 to 32.
        low: Least coordinate.
        high: Greatest coordinate.

    """

    bits: int = 26
    low: float = -180.0
    high: float = 180.0

    def contains(self, point: Flat) -> bool:
        """Tell whether a point is within the square."""
        return all(self.low <= value <= self.high for value in point)

    def number(self, point: Flat) -> int:
        """Return the number of the smallest cell that contains a point of the square."""
        size = 1 << self.bits
        scale = size / (self.high - self.low)
        i, j = (min(int((value - self.low) * scale), size - 1) for value in point)
        return interleave(i, j) - _OFFSET

    def span(self, square: Square) -> tuple[int, int]:
        """Return the least and the greatest number of the smallest cells within a cell."""
        level, i, j = square
        rest = 2 * (self.bits - level)
        first = interleave(i, j) << rest
        return first - _OFFSET, first + (1 << rest) - 1 - _OFFSET

    def box(self, square: Square) -> tuple[float, float, float, float]:
        """Return the least and greatest x, then those of y, a little widened."""
        level, i, j = square
        side = (self.high - self.low) / (1 << level)
        slack = (self.high - self.low) * _SLACK
        x, y = self.low + i * side, self.low + j * side
        return x - slack, x + side + slack, y - slack, y + side + slack

    def cover(self, region: FlatRegion, cells_max: int) -> list[Square]:
        """Return cells that together contain every point of the square that is in a region."""
        done: list[Square] = []
        waiting = deque([ROOT] if may_touch(region, self.box(ROOT)) else [])
        while waiting:
            square = waiting.popleft()
            if square[0] >= self.bits:
                done.append(square)
                continue
            smaller = [one for one in children_of(square) if may_touch(region, self.box(one))]
            if len(smaller) > 1 and len(done) + len(waiting) + len(smaller) > cells_max:
                done.append(square)
            else:
                waiting += smaller
        return done


def children_of(square: Square) -> tuple[Square, ...]:
    """Return the four cells that a cell consists of."""
    level, i, j = square[0] + 1, 2 * square[1], 2 * square[2]
    return (level, i, j), (level, i, j + 1), (level, i + 1, j), (level, i + 1, j + 1)


def may_touch(region: FlatRegion, box: tuple[float, float, float, float]) -> bool:
    """Tell whether a region may have a point in a rectangle; a wrong yes is allowed."""
    x1, x2, y1, y2 = box
    if isinstance(region, Box):
        (low_x, low_y), (high_x, high_y) = region.low, region.high
        return low_x <= x2 and high_x >= x1 and low_y <= y2 and high_y >= y1
    if isinstance(region, Circle):
        return flat_distance(region.centre, box) <= region.radius * (1 + _SLACK)
    if isinstance(region, Cap):
        return sphere_distance(region.centre, box) <= region.radius + _SLACK
    middle = ((x1 + x2) / 2, (y1 + y2) / 2)
    if region.contains_flat(middle):
        return True
    reach = math.hypot(x2 - x1, y2 - y1) / 2
    before = region.points[-1]
    for here in region.points:
        if _segment_distance(middle, before, here) <= reach:
            return True
        before = here
    return False


def _segment_distance(p: Flat, a: Flat, b: Flat) -> float:
    dx, dy = b[0] - a[0], b[1] - a[1]
    size = dx * dx + dy * dy
    if size == 0:
        return math.dist(p, a)
    along = min(1.0, max(0.0, ((p[0] - a[0]) * dx + (p[1] - a[1]) * dy) / size))
    return math.dist(p, (a[0] + along * dx, a[1] + along * dy))


def flat_distance(p: Flat, box: tuple[float, float, float, float]) -> float:
    """Return the distance of a point from a rectangle, 0 within."""
    x1, x2, y1, y2 = box
    return math.hypot(max(x1 - p[0], 0.0, p[0] - x2), max(y1 - p[1], 0.0, p[1] - y2))


def flat_reach(p: Flat, box: tuple[float, float, float, float]) -> float:
    """Return the distance of a point from the farthest point of a rectangle."""
    x1, x2, y1, y2 = box
    return math.hypot(max(abs(x1 - p[0]), abs(p[0] - x2)), max(abs(y1 - p[1]), abs(p[1] - y2)))


def _around(box: tuple[float, float, float, float]) -> tuple[sphere.Vector, float] | None:
    """Return a cap around the part of a rectangle of degrees that is on the sphere."""
    x1, x2, y1, y2 = box
    x1, x2, y1, y2 = max(x1, -180.0), min(x2, 180.0), max(y1, -90.0), min(y2, 90.0)
    if x1 > x2 or y1 > y2:
        return None
    centre = sphere.from_degrees((x1 + x2) / 2, (y1 + y2) / 2)
    if max(x2 - x1, y2 - y1) > _CORNERS_DEGREES:
        # Along the meridian first, then along the parallel, every point is no farther than this.
        return centre, math.radians((x2 - x1 + y2 - y1) / 2)
    corners = sphere.from_degrees(x2, y1), sphere.from_degrees(x2, y2)
    return centre, max(sphere.angle(centre, corner) for corner in corners) + _SLACK


def sphere_distance(p: sphere.Vector, box: tuple[float, float, float, float]) -> float:
    """Return an angle that no point of a rectangle of degrees is nearer than."""
    around = _around(box)
    return math.inf if around is None else max(0.0, sphere.angle(p, around[0]) - around[1])


def sphere_reach(p: sphere.Vector, box: tuple[float, float, float, float]) -> float:
    """Return an angle that no point of a rectangle of degrees is farther than."""
    around = _around(box)
    return math.inf if around is None else sphere.angle(p, around[0]) + around[1]
