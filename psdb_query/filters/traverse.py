"""Closures that walk a dotted path as a filter does, arrays and array positions included.

MongoDB's rules, which `match_path` compiles for one path and one test of a value:

- a field that is not there, or a scalar where an object is needed, gives `MISSING`;
- an array in the middle is entered: each *object* element is walked with the rest of the path
  (arrays within arrays are not), and where the next part is a position the element there is
  walked with the rest behind it; other elements give nothing, not even `MISSING`;
- an array at the end gives each element and then the array itself, unless the operator looks
  at the array only (`$size`, `$elemMatch`); reached through a position it gives itself alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from psdb_base.values import MISSING

Test: TypeAlias = Callable[[Any], bool]
"""A test of one value, `MISSING` included."""
Walk: TypeAlias = Callable[[Any], bool]
"""A test of one document (or of one array) along a path."""


def array_position(part: str) -> int | None:
    """Return the array index that a path part stands for, if it is one (`0`, `17`, not `01`)."""
    if part.isdigit() and part.isascii() and (part[0] != "0" or len(part) == 1):
        return int(part) if len(part) < 10 else None
    return None


def match_path(parts: tuple[str, ...], test: Test, *, elements: bool = True) -> Walk:
    """Compile the walk of a document along `parts` that is true when `test` holds somewhere.

    `elements` tells whether an array at the end gives its elements (and itself) or itself only.
    """
    walk = _last_field(parts[-1], test, elements=elements)
    # What follows a position: the element itself at the end of the path, else a walk from it.
    after: Walk = test
    otherwise = test(MISSING)
    for part, previous in zip(reversed(parts), reversed(parts[:-1]), strict=False):
        in_array = _array_walk(part, walk, after)
        after = _element_walk(walk, in_array)
        walk = _field_walk(previous, walk, in_array, otherwise=otherwise)
    return walk


def _last_field(name: str, test: Test, *, elements: bool) -> Walk:
    if not elements:
        return lambda document: test(document.get(name, MISSING))

    def match_field(document: Any) -> bool:
        value = document.get(name, MISSING)
        if value.__class__ is list:
            for element in value:
                if test(element):
                    return True
        return test(value)

    return match_field


def _field_walk(name: str, inner: Walk, in_array: Walk, *, otherwise: bool) -> Walk:
    def match_dotted(document: Any) -> bool:
        value = document.get(name, MISSING)
        kind = value.__class__
        if kind is dict:
            return inner(value)
        if kind is list:
            return in_array(value)
        return otherwise

    return match_dotted


def _array_walk(part: str, inner: Walk, after: Walk) -> Walk:
    """Walk an array met with `part` ahead: `inner` for objects, `after` behind a position."""
    position = array_position(part)
    if position is None:

        def match_elements(array: Any) -> bool:
            for element in array:  # noqa: SIM110 -- a generator would cost a frame
                if element.__class__ is dict and inner(element):
                    return True
            return False

        return match_elements

    def match_elements_or_position(array: Any) -> bool:
        for element in array:
            if element.__class__ is dict and inner(element):
                return True
        return position < len(array) and after(array[position])

    return match_elements_or_position


def _element_walk(inner: Walk, in_array: Walk) -> Walk:
    """Walk the element that a position named; a scalar with parts still ahead gives nothing."""

    def match_element(element: Any) -> bool:
        kind = element.__class__
        if kind is dict:
            return inner(element)
        return kind is list and in_array(element)

    return match_element
