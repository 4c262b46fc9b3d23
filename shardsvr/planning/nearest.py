"""The nearest first: a search through an index's cells by their distance from a point.

Cells wait in a queue by an angle (or length) that nothing in them is nearer than. The first one
is taken: if the index has few entries in it their documents are measured, else its four parts
wait in its place. A document whose distance is known is given out when no cell that waits may
hold a nearer one. So no more is looked at than lies around the answer.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from psdb_base.values import Document
from psdb_query.bounds import FieldBounds
from psdb_query.bounds_geo import span_interval
from psdb_query.bounds_ranges import key_ranges
from psdb_query.geo import cells, grid, sphere
from psdb_query.geo.regions import NearPoint
from psdb_store.committed import State
from psdb_store.record import Record
from shardsvr.planning.indexes import Access
from shardsvr.planning.stages import IndexScan, Selector, Stage

FEW: Final = 16
"""Entries of a cell that are measured rather than divided."""
_SCAN_KEYS: Final = 256
"""Entries of one place, or of shapes of one size, that are measured at a time."""


class Space(Protocol):
    """How an index divides the world, seen from a point."""

    @property
    def roots(self) -> Iterable[Any]:
        """The cells that together are the world."""

    def nearest(self, cell: Any) -> float:
        """Return a distance that nothing in a cell is nearer than."""

    def farthest(self, cell: Any) -> float:
        """Return a distance that nothing in a cell is farther than."""

    def parts(self, cell: Any) -> Iterable[Any]:
        """Return the cells that a cell consists of; none for the smallest."""

    def span(self, cell: Any) -> tuple[int, int]:
        """Return the numbers of all within a cell, itself included."""

    def own(self, cell: Any) -> tuple[int, int] | None:
        """Return the number of the cell itself, None if entries are of smallest cells only."""


class OnSphere:
    """The cells of a 2dsphere index; distances in the near condition's unit."""

    roots = cells.ROOTS

    def __init__(self, near: NearPoint) -> None:
        assert near.point is not None
        self._point, self._unit = near.point, near.unit

    def nearest(self, cell: cells.Cell) -> float:
        """Return a distance that nothing in a cell is nearer than."""
        angle = sphere.angle(self._point, cells.centre_of(cell))
        return max(0.0, angle - cells.CELL_RADII[cell[1]] - sphere.TOUCH) * self._unit

    def farthest(self, cell: cells.Cell) -> float:
        """Return a distance that nothing in a cell is farther than."""
        angle = sphere.angle(self._point, cells.centre_of(cell))
        return (angle + cells.CELL_RADII[cell[1]] + sphere.TOUCH) * self._unit

    def parts(self, cell: cells.Cell) -> Iterable[cells.Cell]:
        """Return the four parts."""
        return cells.children_of(cell) if cell[1] < cells.LEVEL_MAX else ()

    def span(self, cell: cells.Cell) -> tuple[int, int]:
        """Return the numbers of all within."""
        return cells.span_of(cell)

    def own(self, cell: cells.Cell) -> tuple[int, int]:
        """Return the cell's number: shapes may have it as it is."""
        number = cells.number_of(cell)
        return number, number


class InPlane:
    """The cells of a 2d index, for distances in the plane or on the sphere."""

    roots = (grid.ROOT,)

    def __init__(self, near: NearPoint, of: grid.Grid) -> None:
        self._near, self._grid = near, of

    def nearest(self, cell: grid.Square) -> float:
        """Return a distance that nothing in a cell is nearer than."""
        near, box = self._near, self._grid.box(cell)
        if near.point is None:
            return grid.flat_distance(near.flat, box)
        return grid.sphere_distance(near.point, box) * near.unit

    def farthest(self, cell: grid.Square) -> float:
        """Return a distance that nothing in a cell is farther than."""
        near, box = self._near, self._grid.box(cell)
        if near.point is None:
            return grid.flat_reach(near.flat, box)
        return grid.sphere_reach(near.point, box) * near.unit

    def parts(self, cell: grid.Square) -> Iterable[grid.Square]:
        """Return the four parts."""
        return grid.children_of(cell) if cell[0] < self._grid.bits else ()

    def span(self, cell: grid.Square) -> tuple[int, int]:
        """Return the numbers of all within."""
        return self._grid.span(cell)

    def own(self, cell: grid.Square) -> tuple[int, int] | None:  # noqa: ARG002
        """Return None: points are in smallest cells only."""
        return None


@dataclass(frozen=True, slots=True)
class Target:
    """What is searched for.

    Args:
        access: The index, with the bounds of its other fields.
        field: Number of its geospatial field.
        space: How it divides the world.
        least, most: Distances to keep within.
        distance: Of a document, None without a geometry within the limits.

    """

    access: Access
    field: int
    space: Space
    least: float
    most: float
    distance: Callable[[Document], float | None]


class Nearest(Stage):
    """Records by their distance from a point, the nearest first."""

    __slots__ = (
        "_collection", "_filter", "_measured", "_order", "_seen", "_target", "_waiting", "cells",
    )  # fmt: skip

    def __init__(self, collection: State, target: Target, selector: Selector) -> None:
        super().__init__()
        self._collection = collection
        self._target = target
        self._filter = selector
        self._order = 0
        self._waiting: list[tuple[float, int, Any]] = []
        self._measured: list[tuple[float, int, Record]] = []
        self._seen: set[int] = set()
        self.cells = 0
        for root in target.space.roots:
            self._wait(root)

    def _wait(self, cell: Any) -> None:
        target = self._target
        nearest = target.space.nearest(cell)
        if nearest <= target.most and target.space.farthest(cell) >= target.least:
            self._order += 1
            heapq.heappush(self._waiting, (nearest, self._order, cell))

    def pull(self, want: int) -> list[Record]:
        """Look into cells for about so much work; return records whose turn has come."""
        rows: list[Record] = []
        budget = want
        while budget > 0 and len(rows) < want:
            limit = self._waiting[0][0] if self._waiting else math.inf
            if self._measured and self._measured[0][0] <= limit:
                record = self._latest(heapq.heappop(self._measured)[2])
                rows += [record] if record is not None else []
                continue
            if not self._waiting:
                self.done = True
                break
            nearest, _order, next_one = heapq.heappop(self._waiting)
            if isinstance(next_one, IndexScan):
                budget -= self._go_on(nearest, next_one)
            else:
                budget -= self._look_into(nearest, next_one)
        self.advanced += len(rows)
        return rows

    def _look_into(self, nearest: float, cell: Any) -> int:
        """Measure what is in a cell, or let its parts wait; return the work done."""
        space = self._target.space
        parts = list(space.parts(cell))
        self.cells += 1
        scan = self._scan(space.span(cell))
        if not parts:
            return self._go_on(nearest, scan)
        found: list[int] = []
        while not scan.done and len(found) <= FEW:
            found += [rid for _, rid in scan.pull(FEW + 1 - len(found))]
        self.keys_examined += scan.keys_examined
        work = len(found) + 1
        if len(found) > FEW:
            own = space.own(cell)
            if own is not None:
                work += self._go_on(nearest, self._scan(own))
            for part in parts:
                self._wait(part)
        else:
            for rid in found:
                self._measure(rid)
        self.works += work
        return work

    def _go_on(self, nearest: float, scan: IndexScan) -> int:
        """Measure the next entries of a scan; what is left waits where it was."""
        before = scan.keys_examined
        for _, rid in scan.pull(_SCAN_KEYS):
            self._measure(rid)
        if not scan.done:
            self._order += 1
            heapq.heappush(self._waiting, (nearest, self._order, scan))
        work = scan.keys_examined - before
        self.keys_examined += work
        return work + 1

    def _scan(self, span: tuple[int, int]) -> IndexScan:
        """Return a scan of the entries between two numbers."""
        access = self._target.access
        fields = list(access.bounds.fields)
        fields[self._target.field] = FieldBounds((span_interval(*span),))
        ranges = key_ranges(fields, access.columns)
        return IndexScan(self._collection, access.index, ranges)

    def _measure(self, rid: int) -> None:
        if rid in self._seen:
            return
        self._seen.add(rid)
        record = self._collection.get(rid)
        if record is None:
            return
        self.docs_examined += 1
        distance = self._target.distance(record.document())
        if distance is not None and self._filter.matches(record):
            heapq.heappush(self._measured, (distance, rid, record))

    def _latest(self, record: Record) -> Record | None:
        """Return a record as it is now; one that was changed keeps its place if it matches."""
        current = self._collection.get(record.rid)
        if current is None or current is record:
            return current
        distance = self._target.distance(current.document())
        return current if distance is not None and self._filter.matches(current) else None

    def counters(self) -> Document:
        """Tell what was looked at."""
        return {
            "keysExamined": self.keys_examined,
            "docsExamined": self.docs_examined,
            "cellsExamined": self.cells,
        }
