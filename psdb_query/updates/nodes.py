"""The tree an operator-style update is compiled to, and its application to a document.

The tree mirrors the document: an `ObjectNode` holds a child for each name (sorted as MongoDB
applies them: numbers by value, before other names), an `ArrayNode` the children of `$[]` and
`$[identifier]`, and a `Leaf` is one modifier at the end of a path.

`apply(old, state, path)` takes the present value (or MISSING) and returns the new one: the
same object where nothing changed, `REMOVED` where the field goes. Containers on the way are
copied when the first change below them happens, so inputs are never changed and untouched
parts are shared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from psdb_base.errors import Code, MongoError
from psdb_base.values import MISSING
from psdb_query.context import Env
from psdb_query.updates.state import REMOVED, State, dotted, element_text

Path: TypeAlias = tuple[str, ...]
ElementTest: TypeAlias = Callable[[Any, Env], bool]

PADDING_MAX: Final = 1_500_000
"""The most nulls that one update may add to an array to reach an index."""
_POSITIONS_KEPT: Final = 64


class Leaf:
    """One modifier at the end of a path; operators are subclasses.

    Class attributes tell how it meets a path that is not there:
    creates: it creates the field, and a path that cannot be created is an error;
    tolerant: a path blocked by a scalar or an array is no error either.
    """

    __slots__ = ()
    creates = True
    tolerant = False

    def apply(self, old: Any, state: State, path: Path) -> Any:
        """Return the field's new value."""
        if old is MISSING:
            return self.create(state, path)
        return self.change(old, state, path)

    def change(self, old: Any, state: State, path: Path) -> Any:
        """Return the new value of an existing field; `old` itself if it stays."""
        raise NotImplementedError

    def create(self, _state: State, _path: Path) -> Any:
        """Return the value of a field that is not there yet, or MISSING to leave it so."""
        return MISSING

    def block(self, value: Any, state: State, path: Path, rest: Path) -> None:
        """Meet `value` at `path`, under which `rest` cannot exist: raise 28 or do nothing."""
        if self.tolerant:
            return
        self._refuse(value, path, rest, state)

    def _refuse(self, value: Any, path: Path, rest: Path, _state: State) -> None:
        element = element_text(path[-1], value)
        if self.creates:
            message = f"Cannot create field '{rest[0]}' in element {{{element}}}"
        else:
            message = (
                f"Cannot use the part ({rest[0]}) of ({dotted(path + rest)}) "
                f"to traverse the element ({{{element}}})"
            )
        raise MongoError(Code.PATH_NOT_VIABLE, message)


class ObjectNode:
    """Updates below an object, or below an array by numeric names.

    `children` maps names to nodes; `positional` is the child of `$`, whose name is known only
    when a filter has matched.
    """

    __slots__ = ("_cache", "_items", "children", "positional")

    def __init__(self) -> None:
        self.children: dict[str, Node] = {}
        self.positional: Node | None = None
        self._items: tuple[tuple[str, Node], ...] | None = None
        self._cache: dict[str, tuple[tuple[str, Node], ...]] = {}

    def items(self, state: State, path: Path) -> tuple[tuple[str, Node], ...]:
        """Return names and nodes in the order of application, `$` resolved."""
        items = self._items
        if items is None:
            items = self._items = in_order(self.children)
        if self.positional is None:
            return items
        position = state.position
        if position is None:
            raise MongoError(
                Code.BAD_VALUE,
                "The positional operator did not find the match needed from the query.",
            )
        found = self._cache.get(position)
        if found is None:
            children = dict(self.children)
            there = children.get(position)
            children[position] = (
                self.positional
                if there is None
                else merge(there, self.positional, (*path, position))
            )
            found = in_order(children)
            if len(self._cache) < _POSITIONS_KEPT:
                self._cache[position] = found
        return found

    def apply(self, old: Any, state: State, path: Path) -> Any:
        """Apply the children to the fields (or elements) of `old`."""
        kind = old.__class__
        if kind is dict:
            return self.apply_fields(old, state, path)
        if kind is list:
            return self._apply_elements(old, state, path)
        if old is MISSING:
            return self.apply_fields({}, state, path) or MISSING
        self.block(old, state, path, ())
        return old

    def apply_fields(self, old: dict[str, Any], state: State, path: Path) -> dict[str, Any]:
        """Apply the children to the fields of a document."""
        new: dict[str, Any] | None = None
        for name, node in self.items(state, path):
            before = old.get(name, MISSING)
            after = node.apply(before, state, (*path, name))
            if after is before:
                continue
            if new is None:
                new = old.copy()
            if after is REMOVED:
                del new[name]
            else:
                new[name] = after
        return old if new is None else new

    def _apply_elements(self, old: list[Any], state: State, path: Path) -> list[Any]:
        new: list[Any] | None = None
        for name, node in self.items(state, path):
            index = array_index(name)
            if index is None:
                node.block(old, state, path, (name,))
                continue
            size = len(old if new is None else new)
            before = old[index] if index < len(old) else MISSING
            after = node.apply(before, state, (*path, name))
            if after is REMOVED:
                after = None
            if after is before:
                continue
            if new is None:
                new = old.copy()
            if index < size:
                new[index] = after
            else:
                _pad(new, index)
                new.append(after)
        return old if new is None else new

    def block(self, value: Any, state: State, path: Path, rest: Path) -> None:
        """Tell all modifiers below, in order, that `value` stands in their way."""
        for name, node in self.items(state, path + rest):
            node.block(value, state, path, (*rest, name))


class ArrayNode:
    """Updates of the elements of an array chosen by `$[]` and `$[identifier]`.

    `children` maps identifiers (`""` for all) to nodes, `tests` identifiers to filters.
    """

    __slots__ = ("_items", "_merged", "children", "tests")

    def __init__(self, tests: dict[str, ElementTest]) -> None:
        self.children: dict[str, Node] = {}
        self.tests = tests
        self._items: list[tuple[str, Node]] | None = None
        self._merged: dict[tuple[str, ...], Node] = {}

    def apply(self, old: Any, state: State, path: Path) -> Any:
        """Apply the children to the elements that their filters choose; raises 2 BadValue."""
        if old is MISSING:
            self.block(old, state, path, ())
        if old.__class__ is not list:
            raise MongoError(
                Code.BAD_VALUE,
                f"Cannot apply array updates to non-array element {element_text(path[-1], old)}",
            )
        new: list[Any] | None = None
        for index, before in enumerate(old):
            node = self._node_for(before, state.env, path, index)
            if node is None:
                continue
            after = node.apply(before, state, (*path, str(index)))
            if after is REMOVED:
                after = None
            if after is not before:
                if new is None:
                    new = old.copy()
                new[index] = after
        return old if new is None else new

    def _node_for(self, element: Any, env: Env, path: Path, index: int) -> Node | None:
        items = self._items
        if items is None:
            items = self._items = sorted(self.children.items())
        tests = self.tests
        chosen = tuple(name for name, _node in items if not name or tests[name](element, env))
        if not chosen:
            return None
        if len(chosen) == 1:
            return self.children[chosen[0]]
        merged = self._merged.get(chosen)
        if merged is None:
            here = (*path, str(index))
            merged = self.children[chosen[0]]
            for name in chosen[1:]:
                merged = merge(merged, self.children[name], here)
            self._merged[chosen] = merged
        return merged

    def block(self, _value: Any, _state: State, path: Path, rest: Path) -> None:
        """Raise 2 BadValue: the array has to be there."""
        raise MongoError(
            Code.BAD_VALUE,
            f"The path '{dotted(path + rest)}' must exist in the document "
            "in order to apply array updates.",
        )


Node: TypeAlias = Leaf | ObjectNode | ArrayNode


def array_index(name: str) -> int | None:
    """Return the array index that a name is (`0`, `17`, not `01`), if it is one."""
    if name.isdigit() and name.isascii() and (name[0] != "0" or len(name) == 1):
        return int(name)
    return None


def in_order(children: dict[str, Node]) -> tuple[tuple[str, Node], ...]:
    """Sort children as MongoDB applies them: numeric names by number, others as strings."""
    return tuple(sorted(children.items(), key=_name_key))


def _name_key(item: tuple[str, Node]) -> tuple[bool, int, bytes]:
    name = item[0]
    index = array_index(name)
    if index is None:
        return (True, 0, name.encode("utf-8", "surrogatepass"))
    return (False, index, b"")


def _pad(array: list[Any], index: int) -> None:
    missing = index - len(array)
    if missing > PADDING_MAX:
        raise MongoError(
            Code.CANNOT_BACKFILL_ARRAY, f"can't backfill more than {PADDING_MAX} elements"
        )
    array.extend([None] * missing)


def merge(left: Node, right: Node, path: Path) -> Node:
    """Return the node that does both; raises 40 where they meet in a modifier."""
    if isinstance(left, ObjectNode) and isinstance(right, ObjectNode):
        both = ObjectNode()
        both.children = _merge_children(left.children, right.children, path)
        positionals = [n.positional for n in (left, right) if n.positional is not None]
        if positionals:
            both.positional = positionals[0]
            for other in positionals[1:]:
                both.positional = merge(both.positional, other, (*path, "$"))
        return both
    if isinstance(left, ArrayNode) and isinstance(right, ArrayNode):
        array = ArrayNode(left.tests)
        array.children = _merge_children(left.children, right.children, path)
        return array
    raise MongoError(
        Code.CONFLICTING_UPDATE_OPERATORS, f"Update created a conflict at '{dotted(path)}'"
    )


def _merge_children(left: dict[str, Node], right: dict[str, Node], path: Path) -> dict[str, Node]:
    children = dict(left)
    for name, node in right.items():
        there = children.get(name)
        children[name] = node if there is None else merge(there, node, (*path, name))
    return children


def has_positional(node: Node) -> bool:
    """Tell whether `$` occurs anywhere in a tree."""
    if isinstance(node, Leaf):
        return False
    if isinstance(node, ObjectNode) and node.positional is not None:
        return True
    return any(map(has_positional, node.children.values()))
