"""From a filter to the bounds of one index: which predicates bound which of its fields.

An index over arrays has several keys for a document, each from one element. Two predicates may
then be satisfied by different elements, so their bounds must not be put together, neither on
one field nor on two fields that lead through the same array, unless one `$elemMatch` on that
very array asks both of one element.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from psdb_query.bounds import UNBOUNDED, FieldBounds, Scope, all_of, field_bounds, looseness
from psdb_query.bounds_expr import ExprComparison, comparison_bounds, comparisons
from psdb_query.context import Collation, Env
from psdb_query.filters import tree
from psdb_query.filters.traverse import array_position


@dataclass(frozen=True, slots=True)
class IndexField:
    """One field of an index.

    Args:
        path: Its dotted path.
        mask: Bit n is set when component n of the path is an array in some document.
        points_only: It can look up single values only (hashed).
        places: For a field of cells, bounds of a geospatial condition (`psdb_query.bounds_geo`).

    """

    path: str
    mask: int = 0
    points_only: bool = False
    places: Callable[[tree.Node], FieldBounds] | None = None


@dataclass(frozen=True, slots=True)
class IndexBounds:
    """What a filter says of an index.

    Args:
        fields: Bounds of each field of the index, in its order.
        answered: Numbers of the conjuncts (see `conjuncts`) that the bounds answer exactly.
        present: Documents without any of the fields cannot match.

    """

    fields: tuple[FieldBounds, ...]
    answered: frozenset[int]
    present: bool

    @property
    def is_useful(self) -> bool:
        """The leading field is bounded."""
        return not self.fields[0].is_full


_Scopes = tuple[tuple[int, str], ...]
"""The `$elemMatch`es around a predicate: identity and path of each, the outermost first."""


@dataclass(frozen=True, slots=True)
class _Predicate:
    node: tree.Node | ExprComparison
    conjunct: int
    scopes: _Scopes
    whole: bool
    """It is all that its conjunct says."""


class Predicates:
    """The predicates of a filter by path, collected once for all indexes."""

    __slots__ = ("by_path", "conjuncts")

    def __init__(self, node: tree.Node, env: Env) -> None:
        self.conjuncts = conjuncts(node)
        self.by_path: dict[str, list[_Predicate]] = {}
        for number, conjunct in enumerate(self.conjuncts):
            if isinstance(conjunct, tree.ExprNode):
                for found in comparisons(conjunct.spec, env):
                    self._add(found.path, _Predicate(found, number, (), whole=False))
            else:
                self._collect(conjunct, number, "", (), whole=True)

    def _collect(
        self, node: tree.Node, number: int, prefix: str, scopes: _Scopes, *, whole: bool
    ) -> None:
        if isinstance(node, tree.ElemMatchObject):
            if not _begins_with_position(node.child):
                path = prefix + node.path
                inner = (*scopes, (id(node), path))
                self._collect(node.child, number, path + ".", inner, whole=False)
        elif isinstance(node, tree.And):
            for child in node.children:
                self._collect(child, number, prefix, scopes, whole=False)
        else:
            for path in _paths(node):
                part = project(node, path)
                if part is not None:
                    covers = whole and part is node
                    self._add(prefix + path, _Predicate(part, number, scopes, covers))

    def _add(self, path: str, predicate: _Predicate) -> None:
        self.by_path.setdefault(path, []).append(predicate)


def conjuncts(node: tree.Node) -> list[tree.Node]:
    """Return the nodes that must all match, nested conjunctions opened."""
    if not isinstance(node, tree.And):
        return [node]
    return [part for child in node.children for part in conjuncts(child)]


def _paths(node: tree.Node) -> list[str]:
    """Return the paths of a node's predicates outside `$elemMatch` of objects, each once."""
    return list(dict.fromkeys(_walk_paths(node)))


def _walk_paths(node: tree.Node) -> Iterator[str]:
    if isinstance(node, (tree.And, tree.Nor, tree.Or)):
        for child in node.children:
            yield from _walk_paths(child)
    elif isinstance(node, tree.Not):
        yield from _walk_paths(node.child)
    elif isinstance(node, _WITH_BOUNDS):
        yield node.path


_WITH_BOUNDS: Final = (
    tree.Bits,
    tree.Compare,
    tree.ElemMatchValue,
    tree.Exists,
    tree.GeoIntersects,
    tree.GeoWithin,
    tree.In,
    tree.Mod,
    tree.Regex,
    tree.Type,
)


def _begins_with_position(node: tree.Node) -> bool:
    """Tell whether a path inside an `$elemMatch` may mean a position in an inner array."""
    if isinstance(node, tree.ElemMatchObject):
        return array_position(node.path.split(".", 1)[0]) is not None
    if isinstance(node, (tree.And, tree.Nor, tree.Or)):
        return any(map(_begins_with_position, node.children))
    if isinstance(node, tree.Not):
        return _begins_with_position(node.child)
    if isinstance(node, _WITH_BOUNDS):
        return array_position(node.path.split(".", 1)[0]) is not None
    return False


def project(node: tree.Node, path: str) -> tree.Node | None:
    """Return what a node says of one path: the node itself, a weaker one, or None.

    Every document that matches the node matches the result.
    """
    if isinstance(node, _WITH_BOUNDS):
        return node if node.path == path else None
    if isinstance(node, tree.Always):
        return node
    if isinstance(node, tree.Not):
        return node if set(_whole_paths(node.child)) == {path} else None
    if isinstance(node, tree.And):
        return _rebuilt(node, [project(child, path) for child in node.children], tree.And)
    if isinstance(node, tree.Nor):
        kept = [child for child in node.children if set(_whole_paths(child)) == {path}]
        if len(kept) == len(node.children):
            return node
        return tree.Nor(tuple(kept)) if kept else None
    if isinstance(node, tree.Or):
        parts = [project(child, path) for child in node.children]
        if any(part is None for part in parts):
            return None
        return _rebuilt(node, parts, tree.Or)
    return None


def _rebuilt(
    node: tree.And | tree.Or,
    parts: Sequence[tree.Node | None],
    make: type[tree.And | tree.Or],
) -> tree.Node | None:
    if all(part is child for part, child in zip(parts, node.children, strict=True)):
        return node
    kept = tuple(part for part in parts if part is not None)
    return make(kept) if kept else None


def _whole_paths(node: tree.Node) -> Iterator[str]:
    """Yield the paths of all predicates; one that has no bounds spoils the set with `""`."""
    if isinstance(node, (tree.And, tree.Nor, tree.Or)):
        for child in node.children:
            yield from _whole_paths(child)
    elif isinstance(node, tree.Not):
        yield from _whole_paths(node.child)
    elif isinstance(node, _WITH_BOUNDS):
        yield node.path
    elif not isinstance(node, tree.Always):
        yield ""


# Choosing.


@dataclass(frozen=True, slots=True)
class _Choice:
    bounds: FieldBounds
    answered: frozenset[int] = frozenset()
    scopes: frozenset[tuple[int, str]] = frozenset()


_NO_CHOICE: Final = _Choice(UNBOUNDED)


def index_bounds(
    predicates: Predicates, fields: Sequence[IndexField], collation: Collation | None = None
) -> IndexBounds:
    """Bound an index by the predicates of a filter.

    Args:
        predicates: Those of the whole filter.
        fields: The index's fields in order.
        collation: The index's collation, which must be the query's if strings are compared.

    """
    chosen: list[_Choice] = []
    for number, field in enumerate(fields):
        found = predicates.by_path.get(field.path)
        if not found:
            chosen.append(_NO_CHOICE)
            continue
        choices = _choices(found, field, collation)
        if field.mask and field.places is None:
            shared = [
                (choice, array)
                for other, choice in zip(fields[:number], chosen, strict=True)
                if (array := _shared_array(other, field)) is not None and not choice.bounds.is_full
            ]
            choices = [one for one in choices if _fits(one, shared)]
        chosen.append(min(choices, key=lambda one: looseness(one.bounds), default=_NO_CHOICE))
    answered = frozenset().union(*(choice.answered for choice in chosen))
    present = any(choice.bounds.present for choice in chosen)
    return IndexBounds(tuple(choice.bounds for choice in chosen), answered, present)


def _fits(choice: _Choice, shared: list[tuple[_Choice, str]]) -> bool:
    """Tell whether one element has to satisfy a choice and those made before."""
    return all(
        any(path == array and (number, path) in other.scopes for number, path in choice.scopes)
        for other, array in shared
    )


def _shared_array(left: IndexField, right: IndexField) -> str | None:
    """Return the path of the innermost array through which both fields lead."""
    both = left.mask & right.mask
    found = None
    parts = right.path.split(".")
    for at, (a, b) in enumerate(zip(left.path.split("."), parts, strict=False)):
        if a != b:
            break
        if both >> at & 1:
            found = ".".join(parts[: at + 1])
    return found


def _choices(
    found: list[_Predicate], field: IndexField, collation: Collation | None
) -> list[_Choice]:
    """Return the sets of predicates that may bound a field together."""
    scope = Scope(collation, multikey=field.mask != 0)
    if field.places is not None:
        # A shape has many cells, so no two conditions may be put together.
        nodes = [one.node for one in found if not isinstance(one.node, ExprComparison)]
        return [_Choice(field.places(node)) for node in nodes]
    if not field.mask:
        return [_choice(found, field, scope)]
    parts = field.path.split(".")
    innermost = ".".join(parts[: field.mask.bit_length()])
    groups: dict[Any, list[_Predicate]] = {}
    for number, predicate in enumerate(found):
        group = next((s for s in predicate.scopes if s[1] == innermost), number)
        groups.setdefault(group, []).append(predicate)
    return [_choice(group, field, scope) for group in groups.values()]


def _choice(found: list[_Predicate], field: IndexField, scope: Scope) -> _Choice:
    parts = [_bounds_of(predicate, scope) for predicate in found]
    if field.mask and _has_position(field.path):
        # A position names an element for the index, but its missing field for a filter as well.
        parts = [part if part.present else UNBOUNDED for part in parts]
    if field.points_only:
        pairs = [(one, part) for one, part in zip(found, parts, strict=True) if part.is_points]
        if not pairs:
            return _NO_CHOICE
        points = all_of(part for _, part in pairs)
        return _Choice(FieldBounds(points.intervals, present=points.present))
    answered = frozenset(
        predicate.conjunct
        for predicate, part in zip(found, parts, strict=True)
        if predicate.whole and part.exact
    )
    scopes = set(found[0].scopes).intersection(*(one.scopes for one in found[1:]))
    return _Choice(all_of(parts), answered, frozenset(scopes))


def _has_position(path: str) -> bool:
    return any(array_position(part) is not None for part in path.split("."))


def _bounds_of(predicate: _Predicate, scope: Scope) -> FieldBounds:
    node = predicate.node
    if isinstance(node, ExprComparison):
        return comparison_bounds(node, scope)
    return field_bounds(node, scope)
