"""A projection document parsed into the tree of `psdb_query.projections.tree`.

One parser serves `find` (with `$slice`, `$elemMatch`, positional `$`), `$project` and
`$addFields`; `Policy` says what is allowed. Errors and their codes are MongoDB's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from bson.decimal128 import Decimal128
from bson.int64 import Int64

from psdb_base.errors import Code, MongoError, code_name
from psdb_base.values import Document
from psdb_query.context import CompileContext
from psdb_query.describe import text_of, type_name
from psdb_query.expressions import table
from psdb_query.expressions.core import Expr, compile_expression, split_path
from psdb_query.projections import tree

_FLAGS: Final = frozenset({Decimal128, Int64, bool, float, int})
"""Types whose truth includes or excludes a field."""
_NUMBERS: Final = _FLAGS - {bool}

_MIDDLE: Final = (
    "As of 4.4, it's illegal to specify positional operator in the middle of a path."
    "Positional projection may only be used at the end, for example: a.b.$. If the query "
    "previously used a form like a.b.$.d, remove the parts following the '$' and the results "
    "will be equivalent."
)

Parts: TypeAlias = tuple[str, ...]


@dataclass(slots=True)
class _Parser:
    """The state of one parse: what was seen so far decides what may follow."""

    ctx: CompileContext
    find: bool
    has_filter: bool
    kind: tree.Kind | None = None
    root: tree.Fields = field(default_factory=tree.Fields)
    id_named: bool = False
    id_kept: bool = False
    id_dropped: bool = False
    positional: bool = False
    elem_match: bool = False
    slice: bool = False
    has_meta: bool = False
    meta: list[str] = field(default_factory=list)

    @property
    def additions_only(self) -> bool:
        return self.kind == "addition"

    def parse(self, spec: Document) -> tree.Parsed:
        for name, value in spec.items():
            self.id_named = self.id_named or name == "_id" or name.startswith("_id.")
            self.element(name, value, self.root)
        kind = self.kind or self.ambiguous_kind()
        if kind == "inclusion" and not self.id_named:
            add_at(self.root, ("_id",), tree.Keep())
        if kind == "exclusion" and self.id_kept:
            del self.root.children["_id"]
        return tree.Parsed(self.root, kind, frozenset(self.meta))

    def ambiguous_kind(self) -> tree.Kind:
        """Decide for a projection of nothing but `_id`, `$slice`, `$elemMatch` and `$meta`."""
        if self.slice:
            return "inclusion" if self.id_kept else "exclusion"
        if self.elem_match:
            return "inclusion"
        if self.has_meta and not self.find:
            return "inclusion"
        return "inclusion" if self.id_kept else "exclusion"

    def element(self, name: str, value: Any, parent: tree.Fields) -> None:
        positional = name.endswith(".$")
        if positional and not self.find:
            raise MongoError(31324, "Cannot use positional projection in aggregation projection")
        if ".$." in name:
            raise MongoError(31394, _MIDDLE)
        if value.__class__ is dict and not (self.additions_only and not value):
            if positional:
                message = "positional projection cannot be used with an expression or sub object"
                raise MongoError(31271, message)
            self.object(name, value, parent)
        elif value.__class__ in _FLAGS and not self.additions_only:
            if _is_true(value):
                self.inclusion(name, parent, positional=positional)
            elif positional:
                raise MongoError(31395, "positional projection cannot be used with exclusion")
            else:
                self.exclusion(name, parent)
        elif positional:
            raise MongoError(31308, "positional projection cannot be used with a literal")
        else:
            self.literal(name, value, parent)

    def inclusion(self, name: str, parent: tree.Fields, *, positional: bool) -> None:
        top_id = name == "_id" and parent is self.root
        if positional:
            self.add_positional(name, parent)
        else:
            add_at(parent, split_path(name), tree.Keep())
            self.id_kept = self.id_kept or top_id
        if not top_id:
            if self.kind not in (None, "inclusion"):
                message = f"Cannot do inclusion on field {name} in exclusion projection"
                raise MongoError(31253, message)
            self.kind = "inclusion"

    def add_positional(self, name: str, parent: tree.Fields) -> None:
        if self.positional:
            message = "Cannot specify more than one positional projection per query."
            raise MongoError(31276, message)
        if self.elem_match:
            raise MongoError(31256, "Cannot specify positional operator and $elemMatch.")
        if not self.has_filter:
            message = "Projections with a positional operator require a matcher"
            raise MongoError(51050, message)
        if name == ".$":
            raise MongoError(5392900, f"Projection on field {name} is invalid")
        add_at(parent, split_path(name[:-2]), tree.Positional())
        self.positional = True

    def exclusion(self, name: str, parent: tree.Fields) -> None:
        add_at(parent, split_path(name), tree.Drop())
        if name == "_id" and parent is self.root:
            self.id_dropped = True
            return
        if self.kind not in (None, "exclusion"):
            message = f"Cannot do exclusion on field {name} in inclusion projection"
            raise MongoError(31254, message)
        self.kind = "exclusion"

    def literal(self, name: str, value: Any, parent: tree.Fields) -> None:
        expression = compile_expression(value, self.ctx)
        add_at(parent, split_path(name), tree.Compute(expression))
        self.note_meta(expression, value)
        if self.additions_only:
            return
        if self.kind not in (None, "inclusion"):
            shown = text_of({name: value})[2:-2]
            message = f"Cannot use an expression {shown} in an exclusion projection"
            raise MongoError(31310, message)
        self.kind = "inclusion"

    def object(self, name: str, value: Document, parent: tree.Fields) -> None:
        if not value:
            raise MongoError(51270, f"Invalid empty sub-projection: {name}")
        parts = split_path(name)
        first = next(iter(value))
        if len(value) == 1 and first.startswith("$"):
            if self.operator(name, parts, first, value, parent):
                return
            if not _is_field_path(first):
                raise MongoError(31325, f"Unknown expression {first}")
        inner = inner_fields(parent, parts)
        if inner is None:
            inner = tree.Fields()
            add_at(parent, parts, inner)
        for inner_name, inner_value in value.items():
            self.element(inner_name, inner_value, inner)

    def operator(
        self, name: str, parts: Parts, operator: str, value: Document, parent: tree.Fields
    ) -> bool:
        """Read `{$operator: …}`; False when it is no operator at all."""
        if operator == "$slice" and self.find:
            self.find_slice(parts, value, parent)
            return True
        if operator == "$elemMatch":
            if not self.find:
                message = "Cannot use $elemMatch in this context"
                raise MongoError(Code.INVALID_PIPELINE_OPERATOR, message)
            self.find_elem_match(name, parts, value, parent)
            return True
        if operator not in table.OPERATORS:
            return False
        self.compute(parts, value, parent)
        return True

    def compute(self, parts: Parts, value: Document, parent: tree.Fields) -> None:
        is_meta = "$meta" in value
        if self.kind == "exclusion" and not is_meta:
            message = "Cannot use expression other than $meta in exclusion projection"
            raise MongoError(31252, message)
        if self.kind is None and not is_meta:
            self.kind = "inclusion"
        expression = compile_expression(value, self.ctx)
        add_at(parent, parts, tree.Compute(expression))
        self.has_meta = self.has_meta or is_meta
        self.note_meta(expression, value)

    def note_meta(self, expression: Expr, value: Any) -> None:
        """Remember what metadata an expression reads."""
        if "META" in expression.variables:
            self.meta.extend(_meta_names(value))

    def find_slice(self, parts: Parts, value: Document, parent: tree.Fields) -> None:
        """Read `$slice` in `find`'s form or else in the expression's."""
        try:
            leaf = _parse_slice(value["$slice"])
            add_at(parent, parts, leaf)
            self.slice = True
        except MongoError as failure:
            try:
                self.compute(parts, value, parent)
            except MongoError as error:
                message = (
                    f"Invalid $slice syntax. The given syntax {text_of(value)} did not match the "
                    f"find() syntax because :: {code_name(failure.code)}: {failure.message} :: "
                    "The given syntax did not match the expression $slice syntax. "
                    f":: caused by :: {error.message}"
                )
                raise MongoError(error.code, message) from None

    def find_elem_match(
        self, name: str, parts: Parts, value: Document, parent: tree.Fields
    ) -> None:
        condition = value["$elemMatch"]
        if condition.__class__ is not dict:
            message = "elemMatch: Invalid argument, object required, but got " + type_name(
                condition
            )
            raise MongoError(31274, message)
        if self.positional:
            raise MongoError(31255, "Cannot specify positional operator and $elemMatch.")
        if len(parts) > 1 or parent is not self.root:
            raise MongoError(31275, "Cannot use $elemMatch projection on a nested field.")
        from psdb_query.filters.parse import Scope, parse_elem_match
        from psdb_query.filters.tree import ElemMatchObject, ElemMatchValue

        node = parse_elem_match(name, condition, Scope(self.ctx, whole=False, near=False))
        assert isinstance(node, (ElemMatchObject, ElemMatchValue))
        add_at(parent, parts, tree.ElemMatch(node))
        self.elem_match = True


def parse_projection(
    spec: Document, ctx: CompileContext, *, find: bool, has_filter: bool
) -> tree.Parsed:
    """Parse a projection of `find` or of `$project`."""
    return _Parser(ctx, find, has_filter).parse(spec)


def parse_additions(spec: Document, ctx: CompileContext) -> tree.Parsed:
    """Parse the operand of `$addFields` (which is `$set`)."""
    if not spec:
        raise MongoError(40177, "specification must have at least one field")
    _check_additions(spec)
    return _Parser(ctx, find=False, has_filter=False, kind="addition").parse(spec)


def _is_true(value: Any) -> bool:
    if value.__class__ is Decimal128:
        return not value.to_decimal().is_zero()
    return bool(value != 0)


def _meta_names(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _meta_names(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name == "$meta" and isinstance(item, str):
                yield item
            else:
                yield from _meta_names(item)


def _is_field_path(name: str) -> bool:
    try:
        split_path(name.removesuffix(".$"))
    except MongoError:
        return False
    return True


def add_at(parent: tree.Fields, parts: Parts, leaf: tree.Fields | tree.Leaf) -> None:
    """Put an instruction at a path; 31249 or 31250 when another one is in the way."""
    for index, part in enumerate(parts[:-1]):
        child = parent.children.setdefault(part, tree.Fields())
        if not isinstance(child, tree.Fields):
            path = ".".join(parts)
            rest = ".".join(parts[index + 1 :])
            raise MongoError(31249, f"Path collision at {path} remaining portion {rest}")
        parent = child
    if parts[-1] in parent.children:
        raise MongoError(31250, f"Path collision at {'.'.join(parts)}")
    parent.children[parts[-1]] = leaf


def inner_fields(parent: tree.Fields, parts: Parts) -> tree.Fields | None:
    """Return the fields that are already there at a path."""
    for part in parts:
        child = parent.children.get(part)
        if not isinstance(child, tree.Fields):
            return None
        parent = child
    return parent


def _to_int32(value: Any) -> int:
    """Convert a number as MongoDB's `safeNumberInt` does: cut off and clamped, NaN is 0."""
    number = value.to_decimal() if value.__class__ is Decimal128 else value
    low, high = -(2**31), 2**31 - 1
    if value.__class__ is Decimal128 and number.is_nan():
        return 0
    if number != number:
        return 0
    return low if number <= low else high if number >= high else int(number)


def _parse_slice(value: Any) -> tree.Slice:
    if value.__class__ in _NUMBERS:
        return tree.Slice(None, _to_int32(value))
    if value.__class__ is not list:
        raise MongoError(31273, "$slice only supports numbers and [skip, limit] arrays")
    if len(value) != 2:
        raise MongoError(31272, "$slice array argument should be of form [skip, limit]")
    skip, limit = value
    if skip.__class__ not in _NUMBERS:
        message = f"$slice expects the skip argument to be a number, got {type_name(skip)}"
        raise MongoError(31257, message)
    if limit.__class__ not in _NUMBERS:
        message = f"$slice expects the limit argument to be a number, got {type_name(limit)}"
        raise MongoError(31258, message)
    count = _to_int32(limit)
    if count <= 0:
        raise MongoError(31259, f"$slice limit must be positive, got {count}")
    return tree.Slice(_to_int32(skip), count)


# `$addFields` has checks of its own.


def _check_additions(spec: Document) -> None:
    seen: list[str] = []
    for path in _added_paths(spec, spec, ""):
        for other in seen:
            if path == other or path.startswith(other + ".") or other.startswith(path + "."):
                message = (
                    "specification contains two conflicting paths. Cannot specify both "
                    f"'{path}' and '{other}': {text_of(spec)}"
                )
                raise MongoError(40176, message)
        seen.append(path)


def _added_paths(level: Document, spec: Document, prefix: str) -> Iterator[str]:
    for name, value in level.items():
        if prefix and name.startswith("$"):
            if len(level) != 1:
                message = (
                    "an expression specification must contain exactly one field, the name of the "
                    f"expression. Found {len(level)} fields in {text_of(level)}, while parsing "
                    f"object {text_of(spec)}"
                )
                raise MongoError(40181, message)
            yield prefix
            return
        if prefix and "." in name:
            message = f"cannot use dotted field name '{name}' in a sub object: {text_of(spec)}"
            raise MongoError(40183, message)
        path = f"{prefix}.{name}" if prefix else name
        split_path(path)
        if value.__class__ is dict and value:
            yield from _added_paths(value, spec, path)
        else:
            yield path
