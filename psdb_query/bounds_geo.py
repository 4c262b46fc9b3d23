"""Bounds of the cells of a geospatial index: which numbers a condition's region may have.

A stored shape has cells of any size. One that meets a cell of the region's covering lies within
it, which is an interval of numbers, or around it, which is a number for each size.
"""

from __future__ import annotations

from collections.abc import Iterable

from bson.int64 import Int64

from psdb_base import order
from psdb_query.bounds import UNBOUNDED, FieldBounds, Interval, union
from psdb_query.filters import tree
from psdb_query.geo.cells import Cell, ancestor_of, number_of, span_of
from psdb_query.geo.cover import cover_cap, cover_geometry
from psdb_query.geo.grid import Grid
from psdb_query.geo.regions import Cap
from psdb_query.geo.shapes import Geometry

FLAT_CELLS_MAX = 24


def sphere_bounds(node: tree.Node) -> FieldBounds:
    """Return the bounds that a condition gives for a 2dsphere field."""
    if not isinstance(node, (tree.GeoIntersects, tree.GeoWithin)):
        return UNBOUNDED
    region = node.region
    if isinstance(region, Cap):
        return FieldBounds(cell_intervals(cover_cap(region)), present=True)
    if isinstance(region, Geometry):
        return FieldBounds(cell_intervals(cover_geometry(region)), present=True)
    return UNBOUNDED


def flat_bounds(grid: Grid, node: tree.Node) -> FieldBounds:
    """Return the bounds that a condition gives for a 2d field."""
    if not isinstance(node, tree.GeoWithin) or isinstance(node.region, Geometry):
        return UNBOUNDED
    spans = [grid.span(square) for square in grid.cover(node.region, FLAT_CELLS_MAX)]
    return FieldBounds(union([span_interval(*span) for span in spans]), present=True)


def cell_intervals(cells: Iterable[Cell]) -> tuple[Interval, ...]:
    """Return the numbers of all cells that lie within given ones or around them."""
    numbers: dict[int, None] = {}
    parts: list[Interval] = []
    for cell in cells:
        parts.append(span_interval(*span_of(cell)))
        for level in range(cell[1] - 1, -1, -1):
            number = number_of(ancestor_of(cell, level))
            if number in numbers:
                break
            numbers[number] = None
    parts += [span_interval(number, number) for number in numbers]
    return union(parts)


def span_interval(low: int, high: int) -> Interval:
    """Return the interval of numbers from one to another, both included."""
    return Interval((order.key(Int64(low)), 0), (order.key(Int64(high)), 1), low, high)
