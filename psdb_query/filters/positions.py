"""The array index that a filter matched through: what the positional `$` stands for.

MongoDB takes the index from the last condition of a conjunction that went through an array
(for an update, the last in the order of `normal_order`), and from the first alternative that
matches; negations give none. Within one condition it is the innermost array on the path whose
element was reached.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from psdb_base.values import MISSING
from psdb_query.context import CompileContext, Env
from psdb_query.filters import tree
from psdb_query.filters.build import (
    compile_match,
    compile_test,
    elem_match_position,
    looks_at_elements,
)
from psdb_query.filters.traverse import Test, array_position

Position: TypeAlias = Callable[[Any, Env], "int | bool"]
"""Index of the element that matched (`-1` if the match went through no array), or False."""

NO_INDEX: Final = -1


def compile_position(node: tree.Node, ctx: CompileContext) -> Position:
    """Compile a node to a function that matches and tells the index."""
    if isinstance(node, tree.And):
        return _and_position(node, ctx)
    if isinstance(node, tree.Or):
        return _or_position(node, ctx)
    if isinstance(node, (tree.ElemMatchObject, tree.ElemMatchValue)):
        return _elem_match_position(node, ctx)
    if isinstance(node, tree.Text):
        return lambda _document, _env: NO_INDEX
    path = getattr(node, "path", None)
    if path is not None:
        test = compile_test(node, ctx)
        elements = looks_at_elements(node)
        parts = tuple(path.split("."))
        return lambda document, _env: _walk(document, parts, 0, test, elements=elements)
    match = compile_match(node, ctx)
    return lambda document, env: NO_INDEX if match(document, env) else False


def _and_position(node: tree.And, ctx: CompileContext) -> Position:
    positions = [compile_position(child, ctx) for child in node.children]

    def position(document: Any, env: Env) -> int | bool:
        last = NO_INDEX
        for find in positions:
            found = find(document, env)
            if found is False:
                return False
            if found != NO_INDEX:
                last = found
        return last

    return position


def _or_position(node: tree.Or, ctx: CompileContext) -> Position:
    positions = [compile_position(child, ctx) for child in node.children]

    def position(document: Any, env: Env) -> int | bool:
        for find in positions:
            found = find(document, env)
            if found is not False:
                return found
        return False

    return position


def _elem_match_position(
    node: tree.ElemMatchObject | tree.ElemMatchValue, ctx: CompileContext
) -> Position:
    find = elem_match_position(node, ctx)
    parts = tuple(node.path.split("."))
    hit: list[int] = []

    def test(value: Any) -> bool:
        index = find(value)
        if index is None:
            return False
        hit[:] = [index]
        return True

    def position(document: Any, _env: Env) -> int | bool:
        found = _walk(document, parts, 0, test, elements=False)
        return False if found is False else hit[0]

    return position


def _walk(document: Any, parts: tuple[str, ...], at: int, test: Test, *, elements: bool) -> Any:
    """Walk a document from `parts[at]` on; see `traverse` for the rules."""
    value = document.get(parts[at], MISSING)
    if at + 1 == len(parts):
        if elements and value.__class__ is list:
            for index, element in enumerate(value):
                if test(element):
                    return index
        return NO_INDEX if test(value) else False
    if value.__class__ is dict:
        return _walk(value, parts, at + 1, test, elements=elements)
    if value.__class__ is list:
        return _walk_array(value, parts, at + 1, test, elements=elements)
    return NO_INDEX if test(MISSING) else False


def _walk_array(array: Any, parts: tuple[str, ...], at: int, test: Test, *, elements: bool) -> Any:
    position = array_position(parts[at])
    for index, element in enumerate(array):
        if element.__class__ is dict:
            found = _walk(element, parts, at, test, elements=elements)
            if found is not False:
                return index if found == NO_INDEX else found
        if index == position:
            found = _walk_element(element, parts, at + 1, test, elements=elements)
            if found is not False:
                return index if found == NO_INDEX else found
    return False


def _walk_element(
    element: Any, parts: tuple[str, ...], at: int, test: Test, *, elements: bool
) -> Any:
    if at == len(parts):
        return NO_INDEX if test(element) else False
    if element.__class__ is dict:
        return _walk(element, parts, at, test, elements=elements)
    if element.__class__ is list:
        return _walk_array(element, parts, at, test, elements=elements)
    return False
