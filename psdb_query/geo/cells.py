"""Cells of the sphere: a cube's six faces, each divided into four again and again.

A point of the sphere is seen from the centre on a face of the cube around it, at two angles
between -45° and 45°, each mapped to 0…1: cells of one level are then nearly equal (the longest
radius is 1.5 times the shortest) and their edges are great circles. A cell's number is its
face (3 bits), two bits a level, a 1 and zeros: numbers of cells within a cell are an interval
around its own, the cells around it are found by dropping bits.

Invariants: a point's leaf cell lies within every cell that contains the point; `CELL_RADII`
never is too small.
"""

from __future__ import annotations

import math
from typing import Final, TypeAlias

from psdb_query.geo import sphere
from psdb_query.geo.sphere import Vector

LEVEL_MAX: Final = 30
"""Level of the smallest cells, about a centimetre wide."""

Cell: TypeAlias = tuple[int, int, int, int]
"""Face, level, and the two positions within the face, each below `2 ** level`."""

ROOTS: Final[tuple[Cell, ...]] = tuple((face, 0, 0, 0) for face in range(6))

CELL_RADII: Final = tuple(1.3 * 2.0**-level for level in range(LEVEL_MAX + 1))
"""Per level an angle from a cell's centre beyond which none of the cell lies."""

_SIDE: Final = 1 << LEVEL_MAX
_TO_UNIT: Final = 4 / math.pi
_SIGN: Final = 1 << 63
_WRAP: Final = 1 << 64


def _spread(value: int) -> int:
    return sum((value >> bit & 1) << (2 * bit) for bit in range(10))


_SPREAD: Final = tuple(_spread(value) for value in range(1024))


def interleave(i: int, j: int) -> int:
    """Return the bits of two numbers below 2**32 in turn, those of `i` the higher ones."""
    low, high = _SPREAD, 1023
    return (
        (low[i & high] | low[i >> 10 & high] << 20 | low[i >> 20 & high] << 40
         | low[i >> 30] << 60) << 1
        | low[j & high] | low[j >> 10 & high] << 20 | low[j >> 20 & high] << 40 | low[j >> 30] << 60
    )  # fmt: skip


def signed(number: int) -> int:
    """Return 64 bits as the signed number they are."""
    return number - _WRAP if number >= _SIGN else number


def leaf_of(p: Vector) -> Cell:
    """Return the smallest cell that contains a point."""
    x, y, z = p
    ax, ay, az = abs(x), abs(y), abs(z)
    if ax >= ay and ax >= az:
        face, u, v = (0 if x > 0 else 3), y / ax, z / ax
    elif ay >= az:
        face, u, v = (1 if y > 0 else 4), x / ay, z / ay
    else:
        face, u, v = (2 if z > 0 else 5), x / az, y / az
    i = min(int((math.atan(u) * _TO_UNIT + 1) / 2 * _SIDE), _SIDE - 1)
    j = min(int((math.atan(v) * _TO_UNIT + 1) / 2 * _SIDE), _SIDE - 1)
    return face, LEVEL_MAX, i, j


def centre_of(cell: Cell) -> Vector:
    """Return the point in the middle of a cell."""
    face, level, i, j = cell
    size = 1 << level
    u = math.tan(((2 * i + 1) / size - 1) / _TO_UNIT)
    v = math.tan(((2 * j + 1) / size - 1) / _TO_UNIT)
    main = 1.0 if face < 3 else -1.0
    axis = face % 3
    if axis == 0:
        return sphere.unit((main, u, v))
    if axis == 1:
        return sphere.unit((u, main, v))
    return sphere.unit((u, v, main))


def children_of(cell: Cell) -> tuple[Cell, ...]:
    """Return the four cells that a cell consists of."""
    face, level, i, j = cell
    level, i, j = level + 1, 2 * i, 2 * j
    return (face, level, i, j), (face, level, i, j + 1), (face, level, i + 1, j), (
        face, level, i + 1, j + 1,
    )  # fmt: skip


def ancestor_of(cell: Cell, level: int) -> Cell:
    """Return the cell of a level that a cell lies in."""
    face, own, i, j = cell
    return face, level, i >> (own - level), j >> (own - level)


def number_of(cell: Cell) -> int:
    """Return the number of a cell as a signed integer of 64 bits."""
    face, level, i, j = cell
    rest = 2 * (LEVEL_MAX - level)
    return signed(face << 61 | interleave(i, j) << (rest + 1) | 1 << rest)


def span_of(cell: Cell) -> tuple[int, int]:
    """Return the least and the greatest number of the cells within a cell, itself included."""
    number = number_of(cell)
    reach = (1 << 2 * (LEVEL_MAX - cell[1])) - 1
    return number - reach, number + reach
