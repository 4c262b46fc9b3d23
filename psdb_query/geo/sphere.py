"""Points and arcs on the unit sphere.

A point is a unit vector `(x, y, z)`; an arc is the shorter great circle between two points that
are neither equal nor antipodal. Angles are radians.
"""

from __future__ import annotations

import math
from typing import Final, TypeAlias

Vector: TypeAlias = tuple[float, float, float]

EARTH_RADIUS_METRES: Final = 6_378_100.0
"""The radius with which MongoDB turns angles into metres."""

TOUCH: Final = 1e-9
"""Closer than this (six millimetres on Earth) counts as touching."""

_TINY: Final = 1e-15


def from_degrees(longitude: float, latitude: float) -> Vector:
    """Return the point at a longitude and latitude."""
    phi = math.radians(latitude)
    theta = math.radians(longitude)
    # The poles and the antimeridian are one point each, whatever the other coordinate.
    flat = 0.0 if abs(latitude) == 90 else math.cos(phi)
    across = 0.0 if abs(longitude) == 180 else math.sin(theta)
    return (flat * math.cos(theta), flat * across, math.sin(phi))


def dot(a: Vector, b: Vector) -> float:
    """Return the scalar product."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a: Vector, b: Vector) -> Vector:
    """Return the vector product."""
    return (
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    )


def length(a: Vector) -> float:
    """Return the length of a vector."""
    return math.sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2])


def unit(a: Vector) -> Vector:
    """Scale a vector that is not zero to length 1."""
    size = length(a)
    return (a[0] / size, a[1] / size, a[2] / size)


def blend(a: Vector, s: float, b: Vector, t: float) -> Vector:
    """Return `s*a + t*b`."""
    return (a[0] * s + b[0] * t, a[1] * s + b[1] * t, a[2] * s + b[2] * t)


def opposite(a: Vector) -> Vector:
    """Return the antipode."""
    return (-a[0], -a[1], -a[2])


def angle(a: Vector, b: Vector) -> float:
    """Return the angle between two points, exact for small and large ones."""
    return math.atan2(length(cross(a, b)), dot(a, b))


def middle(a: Vector, b: Vector) -> Vector:
    """Return the point half-way along an arc."""
    return unit(blend(a, 1, b, 1))


def distance_to_arc(p: Vector, a: Vector, b: Vector) -> float:
    """Return the angle between a point and the nearest point of the arc."""
    normal = cross(a, b)
    size = length(normal)
    if size > _TINY and dot(cross(normal, a), p) >= 0 and dot(cross(b, normal), p) >= 0:
        return math.asin(min(1.0, abs(dot(normal, p)) / size))
    return min(angle(p, a), angle(p, b))


def crossing(a: Vector, b: Vector, c: Vector, d: Vector) -> Vector | None:
    """Return the point where two arcs cross, None if they do not (or lie on one circle)."""
    first, second = cross(a, b), cross(c, d)
    side_c, side_d = dot(first, c), dot(first, d)
    if (side_c >= 0) == (side_d >= 0):
        return None
    side_a, side_b = dot(second, a), dot(second, b)
    if (side_a >= 0) == (side_b >= 0):
        return None
    point = blend(c, abs(side_d), d, abs(side_c))
    if length(point) < _TINY:
        return None
    point = unit(point)
    # Both lines cross at two antipodal points; it has to be the one on the arc a–b.
    return point if dot(point, blend(a, 1, b, 1)) > 0 else None


def arcs_touch(a: Vector, b: Vector, c: Vector, d: Vector) -> bool:
    """Tell whether two arcs have a point in common."""
    if crossing(a, b, c, d) is not None:
        return True
    return (
        distance_to_arc(a, c, d) <= TOUCH
        or distance_to_arc(b, c, d) <= TOUCH
        or distance_to_arc(c, a, b) <= TOUCH
        or distance_to_arc(d, a, b) <= TOUCH
    )


def arc_heights(a: Vector, b: Vector) -> tuple[float, float]:
    """Return the least and greatest `z` on an arc, which may bulge beyond its ends."""
    low, high = min(a[2], b[2]), max(a[2], b[2])
    normal = cross(a, b)
    size = length(normal)
    if size < _TINY:
        return low, high
    top = math.sqrt(max(0.0, 1 - (normal[2] / size) ** 2))
    # The circle's highest and lowest points lie on the arc if its direction in z turns there.
    rise_a, rise_b = cross(normal, a)[2], cross(normal, b)[2]
    if rise_a > 0 > rise_b:
        high = top
    elif rise_a < 0 < rise_b:
        low = -top
    return low, high
