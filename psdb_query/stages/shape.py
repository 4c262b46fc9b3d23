"""`$project`, `$addFields`, `$set`, `$unset`, `$replaceRoot`, `$replaceWith`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from psdb_base.errors import MongoError
from psdb_base.values import MISSING, Document
from psdb_query.accumulators.core import Values, values_of
from psdb_query.context import Env
from psdb_query.describe import text_of, type_name
from psdb_query.expressions.core import Expr, compile_expression
from psdb_query.projection import Projection, compile_add_fields, compile_project, compile_unset
from psdb_query.projections import tree
from psdb_query.stages.model import (
    EVERYTHING,
    REPLACED,
    Modified,
    Stage,
    StageContext,
    Transform,
)
from psdb_query.stages.ports import Batch


class ShapeStage(Transform):
    """A projection of each document: `$project`, `$addFields`, `$set`, `$unset`."""

    def __init__(self, name: str, spec: Any, projection: Projection) -> None:
        self.name = name
        self.spec = spec
        self.projection = projection
        self.closed = projection.kind == "inclusion"
        leaves = list(tree_leaves(projection.tree, ""))
        if self.closed:
            self.reads = EVERYTHING if projection.paths is None else projection.paths
        else:
            self.reads = frozenset(
                path
                for _, leaf in leaves
                if isinstance(leaf, tree.Compute)
                for path in leaf.expression.paths
            )
        self._modified = _modified(projection, leaves)
        self._flat = _flat(projection, leaves)

    def transform(self, batch: Batch, env: Env) -> Batch:
        """Project each document."""
        if self._flat is not None:
            return self._flat(batch, env)
        apply = self.projection.apply
        return [apply(doc, env) for doc in batch]

    def modified(self) -> Modified:
        """Tell what is computed, dropped, kept and renamed."""
        return self._modified

    @property
    def one_to_one(self) -> bool:
        """One for one."""
        return True

    def serialize(self) -> Document:
        """Return the stage."""
        return {self.name: self.spec}


def tree_leaves(fields: tree.Fields, prefix: str) -> list[tuple[str, tree.Leaf]]:
    """Return the leaves of a projection with their dotted paths."""
    found: list[tuple[str, tree.Leaf]] = []
    for name, child in fields.children.items():
        if isinstance(child, tree.Fields):
            found += tree_leaves(child, prefix + name + ".")
        else:
            found.append((prefix + name, child))
    return found


def _flat(
    projection: Projection, leaves: list[tuple[str, tree.Leaf]]
) -> Callable[[Batch, Env], Batch] | None:
    """Return the projection of a batch where only top-level fields are kept, dropped or set."""
    kept: set[str] = set()
    dropped: set[str] = set()
    columns: list[tuple[str, Values]] = []
    for path, leaf in leaves:
        if "." in path:
            return None
        if isinstance(leaf, tree.Keep):
            kept.add(path)
        elif isinstance(leaf, tree.Drop):
            dropped.add(path)
        elif isinstance(leaf, tree.Compute):
            columns.append((path, values_of(leaf.expression)))
        else:
            return None

    def project(batch: Batch, env: Env) -> Batch:
        found = [(name, values(batch, env)) for name, values in columns]
        if projection.kind == "inclusion":
            result = [{n: v for n, v in doc.items() if n in kept} for doc in batch]
        elif dropped:
            result = [{n: v for n, v in doc.items() if n not in dropped} for doc in batch]
        else:
            result = list(map(dict, batch))
        for name, values in found:
            for doc, value in zip(result, values, strict=True):
                if value is not MISSING:
                    doc[name] = value
                elif name in doc:
                    del doc[name]
        return result

    return project


def _modified(projection: Projection, leaves: list[tuple[str, tree.Leaf]]) -> Modified:
    renames: dict[str, str] = {}
    changed: set[str] = set()
    kept: set[str] = set()
    for path, leaf in leaves:
        if isinstance(leaf, tree.Compute):
            changed.add(path.partition(".")[0])
            source = leaf.expression.path
            if source is not None and "." not in source and "." not in path:
                renames[path] = source
        elif isinstance(leaf, tree.Keep):
            kept.add(path)
        else:
            changed.add(path)
    if projection.kind == "inclusion":
        return Modified(everything=True, kept=frozenset(kept), renames=renames)
    return Modified(paths=frozenset(changed), renames=renames)


class ReplaceRootStage(Transform):
    """A new document, the value of an expression, for each document."""

    closed = True

    def __init__(self, spec: Any, expression: Expr) -> None:
        self.spec = spec
        self.expression = expression
        self.reads = expression.paths
        self.name = "$replaceRoot"

    def transform(self, batch: Batch, env: Env) -> Batch:
        """Replace each document."""
        evaluate = self.expression.evaluate
        result = [evaluate(doc, env) for doc in batch]
        for doc, made in zip(batch, result, strict=True):
            if type(made) is not dict:
                raise MongoError(
                    40228,
                    "'newRoot' expression  must evaluate to an object, but resulting value was: "
                    f"{_value_text(made)}. Type of resulting value: '{type_name(made)}'. Input "
                    f"document: {text_of(doc)}",
                )
        return result

    def modified(self) -> Modified:
        """Nothing stays where it was."""
        return REPLACED

    @property
    def one_to_one(self) -> bool:
        """One for one."""
        return True

    def serialize(self) -> Document:
        """Return the stage in its long form."""
        return {"$replaceRoot": {"newRoot": self.spec}}


def _value_text(value: Any) -> str:
    return "MISSING" if type_name(value) == "missing" else text_of(value)


_COMPILERS: Final[dict[str, Callable[..., Projection]]] = {
    "$addFields": compile_add_fields,
    "$project": compile_project,
    "$set": compile_add_fields,
    "$unset": compile_unset,
}


def _parse_shape(name: str) -> Callable[[Any, StageContext], list[Stage]]:
    def parse(spec: Any, context: StageContext) -> list[Stage]:
        projection = _COMPILERS[name](spec, context.expressions, name)
        return [ShapeStage(name, spec, projection)]

    return parse


def _parse_replace_root(spec: Any, context: StageContext) -> list[Stage]:
    if type(spec) is not dict:
        raise MongoError(
            40229,
            f"expected an object as specification for $replaceRoot stage, got {type_name(spec)}",
        )
    for name in spec:
        if name != "newRoot":
            raise MongoError(40415, f"BSON field '$replaceRoot.{name}' is an unknown field.")
    if "newRoot" not in spec:
        raise MongoError(
            40414,
            "BSON field '$replaceRoot.newRoot' is missing but a required field",
        )
    return _replace(spec["newRoot"], context)


def _replace(expression: Any, context: StageContext) -> list[Stage]:
    return [ReplaceRootStage(expression, compile_expression(expression, context.expressions))]


PARSERS: Final = {
    "$addFields": _parse_shape("$addFields"),
    "$project": _parse_shape("$project"),
    "$replaceRoot": _parse_replace_root,
    "$replaceWith": _replace,
    "$set": _parse_shape("$set"),
    "$unset": _parse_shape("$unset"),
}
