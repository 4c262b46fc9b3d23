"""Projections: what `find`, `$project`, `$addFields` and `$unset` make of a document.

Compiled once per shape; `apply` never changes its input, and its result may share parts with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_query.context import CompileContext
from psdb_query.describe import type_name
from psdb_query.expressions.core import split_path
from psdb_query.filters import Filter
from psdb_query.projections import tree
from psdb_query.projections.execute import Apply, compile_parsed
from psdb_query.projections.parse import add_at, parse_additions, parse_projection


class Projection:
    """A compiled projection.

    Attributes:
        apply: `(document, env) -> new document`.
        kind: `inclusion`, `exclusion` or `addition`.
        paths: Dotted paths of the document that it needs; None for the whole document.
        needs_meta: Names of the metadata that `$meta` asks for (`textScore`, …).
        needs_position: The positional `$` is used, so a filter's match is looked at again.
        is_identity: Every document comes out as it went in.
        added: Dotted paths set by expressions.
        removed: Dotted paths taken out by an exclusion.
        spec: The projection as it was written.

    """

    __slots__ = (
        "added",
        "apply",
        "is_identity",
        "kind",
        "needs_meta",
        "needs_position",
        "paths",
        "removed",
        "spec",
        "tree",
    )

    def __init__(self, parsed: tree.Parsed, ctx: CompileContext, filter_: Filter | None) -> None:
        self.tree = parsed.root
        self.spec: Document = {}
        self.kind = parsed.kind
        self.needs_meta = parsed.meta
        leaves = list(_leaves(parsed.root, ""))
        self.needs_position = any(isinstance(leaf, tree.Positional) for _, leaf in leaves)
        self.is_identity = parsed.kind == "exclusion" and not leaves
        self.added = frozenset(path for path, leaf in leaves if isinstance(leaf, tree.Compute))
        self.removed = frozenset(path for path, leaf in leaves if isinstance(leaf, tree.Drop))
        self.paths = _dependencies(parsed.kind, leaves, filter_ if self.needs_position else None)
        locate = None if filter_ is None else filter_.match_position
        self.apply: Apply = compile_parsed(parsed, ctx, locate)


def compile_projection(
    spec: Document, ctx: CompileContext, filter_: Filter | None = None
) -> Projection:
    """Compile the projection of a `find`, which may use `$slice`, `$elemMatch` and `$`.

    Raises MongoError with the code of the fault: 31253 and 31254 (inclusion and exclusion
    mixed), 31249 and 31250 (paths that collide), 31276 (two positional operators), ….
    """
    parsed = parse_projection(spec, ctx, find=True, has_filter=filter_ is not None)
    projection = Projection(parsed, ctx, filter_)
    projection.spec = spec
    return projection


def compile_project(spec: Any, ctx: CompileContext, stage: str = "$project") -> Projection:
    """Compile `$project`. Errors carry MongoDB's prefix with the stage's name."""
    if spec.__class__ is not dict:
        raise MongoError(15969, f"{stage} specification must be an object")

    def build() -> Projection:
        if not spec:
            raise MongoError(51272, "projection specification must have at least one field")
        return Projection(parse_projection(spec, ctx, find=False, has_filter=False), ctx, None)

    return _prefixed(stage, build)


def compile_add_fields(spec: Any, ctx: CompileContext, stage: str = "$addFields") -> Projection:
    """Compile `$addFields` or `$set`."""
    if spec.__class__ is not dict:
        message = f"{stage} specification stage must be an object, got {type_name(spec)}"
        raise MongoError(40272, message)
    return _prefixed(stage, lambda: Projection(parse_additions(spec, ctx), ctx, None))


def compile_unset(spec: Any, ctx: CompileContext, stage: str = "$unset") -> Projection:
    """Compile `$unset`: the name of a field, or an array of names."""
    names = spec if spec.__class__ is list else [spec]
    if spec.__class__ not in (str, list):
        raise MongoError(31002, f"{stage} specification must be a string or an array")
    if not names:
        message = f"{stage} specification must be a string or an array with at least one field"
        raise MongoError(31119, message)
    if any(name.__class__ is not str for name in names):
        message = (
            f"{stage} specification must be a string or an array containing only string values"
        )
        raise MongoError(31120, message)

    def build() -> Projection:
        root = tree.Fields()
        for name in names:
            add_at(root, split_path(name), tree.Drop())
        return Projection(tree.Parsed(root, "exclusion", frozenset()), ctx, None)

    return _prefixed(stage, build)


def _prefixed(stage: str, build: Callable[[], Projection]) -> Projection:
    """Build, with `Invalid $stage :: caused by ::` before the message of an error."""
    try:
        return build()
    except MongoError as error:
        message = f"Invalid {stage} :: caused by :: {error.message}"
        raise MongoError(error.code, message) from None


def _leaves(fields: tree.Fields, prefix: str) -> Iterator[tuple[str, tree.Leaf]]:
    for name, child in fields.children.items():
        path = prefix + name
        if isinstance(child, tree.Fields):
            yield from _leaves(child, path + ".")
        else:
            yield path, child


def _dependencies(
    kind: tree.Kind, leaves: list[tuple[str, tree.Leaf]], filter_: Filter | None
) -> frozenset[str] | None:
    if kind != "inclusion":
        return None
    paths: set[str] = set()
    for path, leaf in leaves:
        if isinstance(leaf, tree.Compute):
            paths.update(leaf.expression.paths)
            # A path beneath an array gets its value in each element: the array is needed too.
            if "." in path:
                paths.add(path)
        elif not isinstance(leaf, tree.Drop):
            paths.add(path)
    if filter_ is not None:
        paths.update(filter_.paths)
    return None if "" in paths else frozenset(paths)
