"""`compile_filter` and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_query.context import SCRIPT, CompileContext, Env
from psdb_query.filters import tree
from psdb_query.filters.batch import Batch, compile_batch
from psdb_query.filters.build import Match, compile_match
from psdb_query.filters.normal_order import in_normal_order
from psdb_query.filters.operands import bad_value
from psdb_query.filters.parse import parse_filter
from psdb_query.filters.positions import NO_INDEX, Position, compile_position


class Filter:
    """A compiled filter.

    Attributes:
        spec: The filter as given.
        tree: Its parsed form.
        matches: `(document, env) -> bool`.
        batch: `(documents, env) -> those that match`, in order; the fast form of a scan.
        paths: Dotted paths it reads; `""` stands for the whole document.
        is_scripted: It is costly or loops over arrays, and a script engine is there: it should be
            evaluated away from the event loop.
        is_trivial: Every document matches.
        is_costly: A single document may take long (a script, a regular expression that
            backtracks): a scan should yield after few documents.
        guard: A condition of the server's own, if there is one: who reads step by step asks it
            before each step whether all is still there.
        near: The `$near` or `$nearSphere` condition, if there is one: the executor sorts by it.
        text: The `$text` condition, if there is one: a text index answers it.

    """

    __slots__ = (
        "_ctx",
        "_position",
        "_update_position",
        "batch",
        "guard",
        "is_costly",
        "is_scripted",
        "is_trivial",
        "matches",
        "near",
        "paths",
        "spec",
        "text",
        "tree",
    )

    def __init__(self, spec: Document, node: tree.Node, ctx: CompileContext) -> None:
        self.spec = spec
        self.tree = node
        self._ctx = ctx
        self.matches: Match = compile_match(node, ctx)
        self.batch: Batch = compile_batch(node, self.matches, ctx)
        self.paths: frozenset[str] = frozenset(_paths(node))
        self.is_trivial = _is_trivial(node)
        nodes = list(walk(node))
        self.is_costly = any(map(_is_costly, nodes))
        self.is_scripted = ctx.javascript is not None and (
            self.is_costly or any(map(_is_scripted, nodes))
        )
        nears = [found for found in nodes if isinstance(found, tree.Near)]
        texts = [found for found in nodes if isinstance(found, tree.Text)]
        if len(nears) > 1:
            raise bad_value("Too many geoNear expressions")
        if len(texts) > 1:
            raise bad_value("Too many text expressions")
        if nears and texts:
            raise bad_value("text and geoNear not allowed in same query")
        guards = [found.rule for found in nodes if isinstance(found, tree.Guard)]
        self.guard: tree.GuardRule | None = guards[0] if guards else None
        self.near: Near | None = Near(nears[0]) if nears else None
        self.text: tree.Text | None = texts[0] if texts else None
        self._position: Position | None = None
        self._update_position: Position | None = None

    def match_position(self, document: Document, env: Env) -> str | None:
        """Return the array index that the `$` of a projection stands for.

        None when the document does not match or the match went through no array.
        """
        if self._position is None:
            self._position = compile_position(self.tree, self._ctx)
        return _shown(self._position(document, env))

    def update_position(self, document: Document, env: Env) -> str | None:
        """Return the array index that the `$` of an update stands for, or None.

        An update takes the conditions in MongoDB's own order, a projection as they are written.
        """
        if self._update_position is None:
            self._update_position = compile_position(in_normal_order(self.tree), self._ctx)
        return _shown(self._update_position(document, env))

    def with_text(self, test: Callable[[Document], bool]) -> Filter:
        """Return the filter with a test of documents for its `$text`."""
        def tested(node: tree.Text) -> tree.Node:
            return replace(node, test=test)

        return Filter(self.spec, _replaced(self.tree, tree.Text, tested), self._ctx)

    def answered_by_index(self) -> Filter:
        """Return the filter for documents that an index gave: their `$text` or `$near` holds."""
        return Filter(self.spec, _replaced(self.tree, _ANSWERED, _always), self._ctx)

    @property
    def scripts(self) -> Any:
        """The script engine it was compiled with."""
        return self._ctx.javascript

    def without_scripts(self) -> Filter:
        """Return a filter that calls no script and matches whatever this one matches."""
        parts = self.tree.children if isinstance(self.tree, tree.And) else (self.tree,)
        plain = tuple(part for part in parts if not any(map(_is_scripted, walk(part))))
        return Filter(self.spec, plain[0] if len(plain) == 1 else tree.And(plain), self._ctx)

    def guarded(self, rule: tree.GuardRule) -> Filter:
        """Return the filter with a condition of the server's own beside it."""
        node = self.tree
        parts = node.children if isinstance(node, tree.And) and node.all_of is None else (node,)
        return Filter(self.spec, tree.And((*parts, tree.Guard(rule))), self._ctx)

    def explain_failure(self, document: Document, env: Env) -> Document:
        """Return the `errInfo` of a document that fails this filter as a validator."""
        from psdb_query.filters.failure import explain_failure

        literal = parse_filter(self.spec, self._ctx, literal=True)
        return explain_failure(literal, document, env, self._ctx)


def _shown(found: int | bool) -> str | None:
    return None if found is False or found == NO_INDEX else str(int(found))


class Near:
    """What the executor needs of a `$near`: a distance by which to sort, limits included."""

    __slots__ = ("condition", "max_distance", "min_distance", "nearest", "path", "spherical")

    def __init__(self, node: tree.Near) -> None:
        from psdb_query.geo.match import nearest_in_document

        self.path = node.path
        self.min_distance = node.near.min_distance
        self.max_distance = node.near.max_distance
        self.spherical = node.near.spherical
        self.condition = node.near
        self.nearest: Callable[[Document], tuple[float, Any] | None] = nearest_in_document(
            node.path, node.near
        )
        """Distance of the nearest geometry at the path, and the geometry; None outside the
        limits. In metres for a GeoJSON point, in radians for `$nearSphere` with a legacy one,
        else in the plane."""

    def distance(self, document: Document) -> float | None:
        """Return the distance of the nearest geometry, None outside the limits."""
        found = self.nearest(document)
        return None if found is None else found[0]

    def meta(self, document: Document) -> dict[str, Any]:
        """Return what `$meta` tells of a document's nearest geometry."""
        found = self.nearest(document)
        return {} if found is None else {"geoNearDistance": found[0], "geoNearPoint": found[1]}


def compile_filter(spec: Document, ctx: CompileContext) -> Filter:
    """Compile a filter document.

    Raises MongoError as MongoDB does: mostly 2 BadValue, with its message.
    """
    if spec.__class__ is not dict:
        raise MongoError(14, "the filter must be an object")
    return Filter(spec, parse_filter(spec, ctx), ctx)


def walk(node: tree.Node) -> Iterator[tree.Node]:
    """Yield a node and all nodes beneath it, parents first."""
    yield node
    children: tuple[Any, ...]
    if isinstance(node, (tree.And, tree.Or, tree.Nor, tree.ElemMatchValue)):
        children = node.children
    elif isinstance(node, (tree.Not, tree.ElemMatchObject)):
        children = (node.child,)
    else:
        return
    for child in children:
        yield from walk(child)


def _is_costly(node: tree.Node) -> bool:
    from psdb_query.regex_engine import compile_regex

    if isinstance(node, (tree.JsonSchema, tree.Where)):
        return True
    if isinstance(node, tree.Regex):
        return not compile_regex(node.pattern, node.options).is_bounded
    return isinstance(node, tree.In) and any(map(_is_costly, node.regexes))


def _is_scripted(node: tree.Node) -> bool:
    if isinstance(node, tree.ExprNode):
        return SCRIPT in node.expression.variables
    return _is_costly(node)


_ANSWERED: Final = (tree.Near, tree.Text)


def _always(_node: tree.Node) -> tree.Node:
    return tree.Always(value=True)


def _replaced(node: tree.Node, kinds: Any, make: Callable[[Any], tree.Node]) -> tree.Node:
    """Return a tree with others in place of the nodes of some kinds."""
    if isinstance(node, kinds):
        return make(node)
    if isinstance(node, (tree.And, tree.Nor, tree.Or)):
        children = tuple(_replaced(child, kinds, make) for child in node.children)
        return replace(node, children=children)
    return node


def _paths(node: tree.Node) -> Iterator[str]:
    if isinstance(node, (tree.And, tree.Or, tree.Nor)):
        for child in node.children:
            yield from _paths(child)
    elif isinstance(node, tree.Not):
        yield from _paths(node.child)
    elif isinstance(node, tree.ExprNode):
        yield from sorted(node.expression.paths)
    elif isinstance(node, (tree.JsonSchema, tree.Text, tree.Where)):
        yield ""
    elif isinstance(node, tree.Guard):
        yield from sorted(node.rule.paths)
    elif not isinstance(node, (tree.Always, tree.SampleRate)):
        yield node.path


def _is_trivial(node: tree.Node) -> bool:
    if isinstance(node, tree.And):
        return all(_is_trivial(child) for child in node.children)
    return isinstance(node, tree.Always) and node.value
