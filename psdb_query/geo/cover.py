"""Coverings: few cells that contain every point of a shape.

A covering may contain more than the shape, never less. Cells are divided, the largest first, as
long as there are not too many; those wholly inside the shape stay whole. What of the shape
may touch a cell is handed down, so that a small cell looks at few edges.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, TypeAlias

from psdb_query.geo import sphere
from psdb_query.geo.cells import CELL_RADII, ROOTS, Cell, centre_of, children_of
from psdb_query.geo.loops import Arc, Polygon
from psdb_query.geo.regions import Cap
from psdb_query.geo.shapes import Geometry
from psdb_query.geo.sphere import Vector

CELLS_MAX: Final = 24
"""Cells of a covering, at most."""
FINEST: Final = 23
"""No covering has smaller cells than those of this level, which are a metre wide."""
_SLACK: Final = 1e-8
"""Angle by which coverings reach beyond the shape: touching counts as meeting."""

INSIDE: Final = object()
"""A cell lies in the shape as a whole."""

Part: TypeAlias = Any
"""What of a shape may touch a cell: None for nothing, `INSIDE`, or what is handed down."""

Narrow: TypeAlias = Callable[[Vector, float, Part], Part]
"""`(centre, radius, what the parent has) -> what a cell has`."""


def cover(narrow: Narrow, whole: Part, cells_max: int, finest: int = FINEST) -> list[Cell]:
    """Return cells that together contain a shape.

    Args:
        narrow: Tells what of the shape may touch a cell.
        whole: The shape itself, as the first thing to be narrowed.
        cells_max: How many there may be; the six faces are not counted.
        finest: No cell is smaller than those of this level.

    """
    done: list[Cell] = []
    waiting = deque(_touched(narrow, ROOTS, whole, done))
    while waiting:
        cell, part = waiting.popleft()
        if cell[1] >= finest:
            done.append(cell)
            continue
        inside: list[Cell] = []
        smaller = _touched(narrow, children_of(cell), part, inside)
        count = len(inside) + len(smaller)
        if count > 1 and len(done) + len(waiting) + count > cells_max:
            done.append(cell)
        else:
            done += inside
            waiting += smaller
    return done


def _touched(
    narrow: Narrow, cells: Iterable[Cell], part: Part, inside: list[Cell]
) -> list[tuple[Cell, Part]]:
    """Return the cells that the shape may touch; those within it go to `inside`."""
    found = []
    for cell in cells:
        kept = narrow(centre_of(cell), CELL_RADII[cell[1]], part)
        if kept is INSIDE:
            inside.append(cell)
        elif kept is not None:
            found.append((cell, kept))
    return found


def cover_cap(cap: Cap, cells_max: int = CELLS_MAX) -> list[Cell]:
    """Cover all within an angle of a point."""
    middle, reach = cap.centre, cap.radius + _SLACK

    def narrow(centre: Vector, radius: float, part: Part) -> Part:
        distance = sphere.angle(middle, centre)
        if distance > reach + radius:
            return None
        return INSIDE if distance + radius <= reach else part

    return cover(narrow, cap, cells_max)


@dataclass(slots=True)
class _Pieces:
    """The parts of a geometry that may touch a cell."""

    points: list[Vector] = field(default_factory=list)
    arcs: list[Arc] = field(default_factory=list)
    polygons: list[tuple[Polygon, list[Arc]]] = field(default_factory=list)


def cover_geometry(geometry: Geometry, cells_max: int = CELLS_MAX) -> list[Cell]:
    """Cover points, lines and polygons."""
    pieces = _Pieces(
        list(geometry.points),
        [arc for line in geometry.lines for arc in pairwise(line)],
        [(polygon, list(polygon.edges())) for polygon in geometry.polygons],
    )
    bound = _bound_of(geometry)

    def narrow(centre: Vector, radius: float, part: Part) -> Part:
        if bound is not None:
            if sphere.angle(bound[0], centre) > bound[1] + radius:
                return None
            if radius > 4 * bound[1]:
                return part  # the whole of it is small beside the cell
        return _narrowed(part, centre, radius + _SLACK)

    return cover(narrow, pieces, cells_max)


def _narrowed(pieces: _Pieces, centre: Vector, reach: float) -> Part:
    near = _Pieces()
    for polygon, arcs in pieces.polygons:
        edges = [arc for arc in arcs if sphere.distance_to_arc(centre, *arc) <= reach]
        if edges:
            near.polygons.append((polygon, edges))
        elif polygon.contains_point(centre):
            return INSIDE
    distance = sphere.distance_to_arc
    near.points = [point for point in pieces.points if sphere.angle(centre, point) <= reach]
    near.arcs = [arc for arc in pieces.arcs if distance(centre, *arc) <= reach]
    return near if near.points or near.arcs or near.polygons else None


def _bound_of(geometry: Geometry) -> tuple[Vector, float] | None:
    """Return centre and angle of a cap around a geometry; None if it may not be small."""
    if geometry.strict:
        return None
    vertices = [*geometry.points, *(point for line in geometry.lines for point in line)]
    vertices += [vertex for polygon in geometry.polygons for vertex in polygon.outer.vertices]
    total = (0.0, 0.0, 0.0)
    for vertex in vertices:
        total = sphere.blend(total, 1, vertex, 1)
    if sphere.length(total) < len(vertices) / 2:
        return None
    centre = sphere.unit(total)
    reach = max(sphere.angle(centre, vertex) for vertex in vertices)
    # Within a hemisphere the arcs between vertices, and what they enclose, stay within the cap.
    return (centre, reach + _SLACK) if reach < math.pi / 3 else None
