"""Parsed projections compiled to closures.

A projection works in three steps, as MongoDB's does, which settles the order of fields in the
result: fields are kept or dropped in the order of the *document*; computed fields are then set
in the order of the *specification* (in place where the field is there, else at the end);
`$slice` and the positional operator last cut the arrays of what came out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from psdb_base.errors import MongoError
from psdb_base.values import MISSING, Document
from psdb_query.context import CompileContext, Env
from psdb_query.projections import tree

Reshape: TypeAlias = Callable[[Document], Document]
"""Keep and drop fields of a document."""
Setter: TypeAlias = Callable[[Document, Document, Env], None]
"""`(root document, output to change, env)`: set the computed fields."""
Cut: TypeAlias = Callable[[Document, Document, Env], Document]
"""`(root document, output, env) -> output`: a last step over an array."""
Locate: TypeAlias = Callable[[Document, Env], "str | None"]
"""Tell the index through which the filter matched a document."""
Apply: TypeAlias = Callable[[Document, Env], Document]

_COMPUTED: Final = (tree.Compute, tree.ElemMatch)
_CUTS: Final = (tree.Positional, tree.Slice)


@dataclass(frozen=True, slots=True)
class _Compiler:
    kind: tree.Kind
    ctx: CompileContext

    # Step one: which fields of the document stay.

    def reshape(self, fields: tree.Fields) -> Reshape:
        nested = {
            name: self.reshape_value(child)
            for name, child in fields.children.items()
            if isinstance(child, tree.Fields)
        }
        if self.kind == "inclusion":
            kept = frozenset(n for n, c in fields.children.items() if _keeps(c))
            return _include(kept, nested)
        dropped = frozenset(n for n, c in fields.children.items() if isinstance(c, tree.Drop))
        return _exclude(dropped, nested)

    def reshape_value(self, fields: tree.Fields) -> Callable[[Any], Any]:
        """Reshape a value: a document, each document of an array, or something else."""
        inner = self.reshape(fields)
        including = self.kind == "inclusion"
        # Where fields are to be set in each element, those that went leave a place behind.
        placeholders = including and has_computed(fields)

        def reshape(value: Any) -> Any:
            kind = value.__class__
            if kind is dict:
                return inner(value)
            if kind is list:
                out = [reshape(element) for element in value]
                if including and not placeholders:
                    out = [element for element in out if element is not MISSING]
                return out
            return MISSING if including else value

        return reshape

    # Step two: computed fields.

    def setter(self, fields: tree.Fields) -> Setter | None:
        steps: list[Setter] = []
        for name, child in fields.children.items():
            if isinstance(child, tree.Fields):
                inner = self.setter(child)
                if inner is not None:
                    steps.append(_set_nested(name, inner))
            elif isinstance(child, tree.Compute):
                steps.append(_set_computed(name, child.expression.evaluate))
            elif isinstance(child, tree.ElemMatch):
                steps.append(self.elem_match(name, child))
        if not steps:
            return None
        if len(steps) == 1:
            return steps[0]

        def set_all(root: Document, out: Document, env: Env) -> None:
            for step in steps:
                step(root, out, env)

        return set_all

    def elem_match(self, name: str, leaf: tree.ElemMatch) -> Setter:
        from psdb_query.filters.build import elem_match_position

        position = elem_match_position(leaf.node, self.ctx)

        def set_match(root: Document, out: Document, _env: Env) -> None:
            value = root.get(name)
            index = position(value)
            if index is None:
                out.pop(name, None)
            else:
                assert isinstance(value, list)
                out[name] = [value[index]]

        return set_match


def _keeps(child: tree.Fields | tree.Leaf) -> bool:
    return isinstance(child, (tree.Keep, *_CUTS))


def _include(kept: frozenset[str], nested: dict[str, Callable[[Any], Any]]) -> Reshape:
    if not nested:
        return lambda document: {n: v for n, v in document.items() if n in kept}

    def include(document: Document) -> Document:
        out = {}
        for name, value in document.items():
            if name in kept:
                out[name] = value
            elif name in nested:
                inner = nested[name](value)
                if inner is not MISSING:
                    out[name] = inner
        return out

    return include


def _exclude(dropped: frozenset[str], nested: dict[str, Callable[[Any], Any]]) -> Reshape:
    if not nested:
        if not dropped:
            return dict
        return lambda document: {n: v for n, v in document.items() if n not in dropped}

    def exclude(document: Document) -> Document:
        return {
            name: nested[name](value) if name in nested else value
            for name, value in document.items()
            if name not in dropped
        }

    return exclude


def has_computed(fields: tree.Fields) -> bool:
    """Tell whether a computed field stands anywhere beneath."""
    return any(
        has_computed(child) if isinstance(child, tree.Fields) else isinstance(child, _COMPUTED)
        for child in fields.children.values()
    )


def _set_computed(name: str, evaluate: Callable[[Document, Env], Any]) -> Setter:
    def set_field(root: Document, out: Document, env: Env) -> None:
        value = evaluate(root, env)
        if value is MISSING:
            out.pop(name, None)
        else:
            out[name] = value

    return set_field


def _set_nested(name: str, inner: Setter) -> Setter:
    """Set fields beneath a field: in a document, in each element, or in a new document."""

    def set_value(root: Document, value: Any, env: Env) -> Any:
        if value.__class__ is list:
            return [set_value(root, element, env) for element in value]
        out = dict(value) if value.__class__ is dict else {}
        inner(root, out, env)
        return out

    def set_field(root: Document, out: Document, env: Env) -> None:
        out[name] = set_value(root, out.get(name, MISSING), env)

    return set_field


# Step three: arrays cut.


def _cuts(fields: tree.Fields, prefix: tuple[str, ...], locate: Locate | None) -> list[Cut]:
    out: list[Cut] = []
    for name, child in fields.children.items():
        path = (*prefix, name)
        if isinstance(child, tree.Fields):
            out.extend(_cuts(child, path, locate))
        elif isinstance(child, tree.Slice):
            out.append(_slice_cut(path, child))
        elif isinstance(child, tree.Positional):
            assert locate is not None
            out.append(_positional_cut(path, locate))
    return out


def _slice_cut(path: tuple[str, ...], leaf: tree.Slice) -> Cut:
    def cut(document: Document, at: int) -> Document:
        name = path[at]
        if name not in document:
            return document
        value = document[name]
        last = at + 1 == len(path)
        if value.__class__ is list:
            if last:
                value = slice_array(value, leaf.skip, leaf.limit)
            else:
                value = [cut(e, at + 1) if e.__class__ is dict else e for e in value]
        elif value.__class__ is dict and not last:
            value = cut(value, at + 1)
        return {**document, name: value}

    return lambda _root, out, _env: cut(out, 0)


def slice_array(array: list[Any], skip: int | None, limit: int) -> list[Any]:
    """Return the part of an array that `find`'s `$slice` keeps."""
    if skip is None:
        return array[:limit] if limit >= 0 else array[limit:]
    start = max(0, len(array) + skip) if skip < 0 else skip
    return array[start : start + limit]


def _positional_cut(path: tuple[str, ...], locate: Locate) -> Cut:
    """Cut the first array on the path to the element through which the filter matched."""

    def cut(root: Document, document: Document, at: int, env: Env) -> Document:
        name = path[at]
        value = document.get(name)
        if value.__class__ is list:
            return {**document, name: [_element(value, locate(root, env))]}
        if value.__class__ is dict and at + 1 < len(path):
            assert isinstance(value, dict)
            return {**document, name: cut(root, value, at + 1, env)}
        return document

    return lambda root, out, env: cut(root, out, 0, env)


def _element(array: list[Any], position: str | None) -> Any:
    if position is None:
        message = "positional operator '.$' couldn't find a matching element in the array"
        raise MongoError(51246, message)
    if int(position) >= len(array):
        raise MongoError(51247, "positional operator '.$' element mismatch")
    return array[int(position)]


def compile_parsed(parsed: tree.Parsed, ctx: CompileContext, locate: Locate | None) -> Apply:
    """Compile a projection to `(document, env) -> new document`."""
    compiler = _Compiler(parsed.kind, ctx)
    reshape = compiler.reshape(parsed.root)
    setter = compiler.setter(parsed.root)
    cuts = _cuts(parsed.root, (), locate)
    if setter is None and not cuts:
        return lambda document, _env: reshape(document)

    def apply(document: Document, env: Env) -> Document:
        out = reshape(document)
        if setter is not None:
            setter(document, out, env)
        for cut in cuts:
            out = cut(document, out, env)
        return out

    return apply
