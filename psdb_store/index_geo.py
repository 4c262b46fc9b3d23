"""2dsphere and 2d indexes: an entry for every cell that a document's geometries are in.

The component of a geospatial field is the order key of a cell's number, so that bounds of such
a field are intervals of integers like any others; null stands for a geometry that is not there.
On the sphere a point has its smallest cell, any other shape the cells of a covering, which may
be of any size; in the plane there are points only. Other fields of the index have their usual
components, in every combination, for arrays that run beside each other too.

A document without any geometry (null and an empty array are none) has no entries at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from typing import Any, Final, TypeAlias

from bson.int64 import Int64

from psdb_base import paths
from psdb_base.errors import MongoError
from psdb_base.order import Collation, key
from psdb_base.values import MISSING, UNDEFINED, Document
from psdb_query.describe import text_of
from psdb_query.geo.cells import leaf_of, number_of
from psdb_query.geo.cover import cover_geometry
from psdb_query.geo.geojson import bad, is_number, number, read_stored
from psdb_query.geo.grid import Grid
from psdb_store.index_keys import NULL_KEY, KeyMaker, MultikeyPaths, make_plain, sign_of

STORED_CELLS_MAX: Final = 16
"""Cells of a stored shape that is not a point."""

Cells: TypeAlias = Callable[[Any, Document], list[int]]
"""`(value at the path, document) -> numbers of cells`."""

_NO_GEO_KEYS: Final = 16755
_NOT_A_PAIR: Final = 13026
_OUT_OF_GRID: Final = 13027
_ONE_NUMBER: Final = 13068
_NOT_A_PLACE: Final = 16804


def make_sphere(spec: Document, collation: Collation | None) -> KeyMaker:
    """Make the key function of a 2dsphere index."""
    return _make(spec, collation, "2dsphere", _sphere_cells)


def make_flat(spec: Document, collation: Collation | None) -> KeyMaker:
    """Make the key function of a 2d index."""
    grid = grid_of(spec)
    return _make(spec, collation, "2d", lambda value, doc: _flat_cells(grid, value, doc))


def grid_of(spec: Document) -> Grid:
    """Return the grid of a 2d index's specification."""
    return Grid(
        int(number(spec.get("bits", 26))),
        number(spec.get("min", -180.0)),
        number(spec.get("max", 180.0)),
    )


def _make(spec: Document, collation: Collation | None, kind: str, cells: Cells) -> KeyMaker:
    plain: list[KeyMaker | None] = []
    places: list[tuple[str, ...]] = []
    for name, direction in spec["key"].items():
        places.append(paths.split(name))
        maker = None
        if direction != kind:
            maker = make_plain({name: sign_of(direction)}, collation, sparse=False)
        plain.append(maker)

    def keys(doc: Document) -> tuple[list[bytes], MultikeyPaths | None]:
        parts: list[list[bytes]] = []
        masks: list[int] = []
        is_placed = False
        for parts_of_path, maker in zip(places, plain, strict=True):
            if maker is not None:
                found, met = maker(doc)
                parts.append(found)
                masks.append(met[0] if met else 0)
                continue
            numbers, mask = _cells_along(doc, parts_of_path, cells)
            is_placed = is_placed or bool(numbers)
            parts.append([key(Int64(one)) for one in numbers] or [NULL_KEY])
            masks.append(mask)
        if not is_placed:
            return [], None
        made = list(dict.fromkeys(map(b"".join, product(*parts))))
        return made, (tuple(masks) if len(made) > 1 or any(masks) else None)

    return keys


def _cells_along(
    doc: Document, parts: tuple[str, ...], cells: Cells
) -> tuple[Iterable[int], int]:
    """Return the cells at a path, and the bits of the path's components that are arrays."""
    numbers: dict[int, None] = {}
    mask = 0
    for value in paths.values_along(doc, parts, expand_leaf=False):
        if value is MISSING or value is None or value is UNDEFINED or value == []:
            continue
        if type(value) is list and not is_number(value[0]):
            mask |= 1 << (len(parts) - 1)
            for element in value:
                numbers.update(dict.fromkeys(cells(element, doc)))
        else:
            numbers.update(dict.fromkeys(cells(value, doc)))
    if len(parts) > 1:
        mask |= _arrays_on_the_way(doc, parts)
    return numbers, mask


def _arrays_on_the_way(doc: Document, parts: tuple[str, ...]) -> int:
    mask = 0
    for at in range(1, len(parts)):
        values = paths.values_along(doc, parts[:at], expand_leaf=False)
        if any(type(value) is list for value in values):
            mask |= 1 << (at - 1)
    return mask


def _sphere_cells(value: Any, doc: Document) -> list[int]:
    try:
        geometry = read_stored(value)
        if geometry.strict:
            raise bad(f"can't index geometry with strict winding order: {text_of(value)}")
    except MongoError as error:
        message = f"Can't extract geo keys: {text_of(doc)}  {error.message}"
        raise MongoError(_NO_GEO_KEYS, message) from None
    if geometry.flat is not None:
        return [number_of(leaf_of(geometry.points[0]))]
    return [number_of(cell) for cell in cover_geometry(geometry, STORED_CELLS_MAX)]


def _flat_cells(grid: Grid, value: Any, _doc: Document) -> list[int]:
    if type(value) is not dict and type(value) is not list:
        return []
    items = list(value.values()) if type(value) is dict else value
    if not items:
        return []
    if not is_number(items[0]):
        if type(items[0]) is dict or type(items[0]) is list:
            return [one for item in items for one in _flat_cells(grid, item, _doc)]
        raise MongoError(
            _NOT_A_PLACE, "location object expected, location array not in correct format"
        )
    if len(items) < 2:
        raise MongoError(_ONE_NUMBER, "geo field only has 1 element")
    if not is_number(items[1]):
        raise MongoError(
            _NOT_A_PAIR, "geo values must be 'legacy coordinate pairs' for 2d indexes"
        )
    point = number(items[0]), number(items[1])
    if not grid.contains(point):
        raise MongoError(
            _OUT_OF_GRID,
            f"point not in interval of [ {grid.low:g}, {grid.high:g} ] :: caused by :: "
            f"{text_of(dict(zip(('0', '1'), items[:2], strict=True)))}",
        )
    return [grid.number(point)]
