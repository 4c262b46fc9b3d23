"""A filter document parsed into the tree of `psdb_query.filters.tree`.

Two tables hold the language: operators that stand where a field name may (`PATHLESS`) and
operators under a field (`FIELD`). Errors are MongoDB's, raised here and never while matching.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from psdb_base.errors import Code, MongoError
from psdb_base.values import UNDEFINED, Document
from psdb_query.context import CompileContext
from psdb_query.filters import operands, tree
from psdb_query.filters.operands import bad_value, is_regex
from psdb_query.filters.types import parse_types

DEPTH_MAX: Final = 100
"""Deepest nesting of a filter's operators."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where the parser is.

    Args:
        ctx: The compile context.
        depth: How many operators enclose this place.
        whole: What matches here is the user's whole document, not one within an array.
        near: `$near` may stand here (not under `$or`, `$nor`, `$not`, `$elemMatch`).
        literal: Keep the tree as it was written, for telling why a document fails it.

    """

    ctx: CompileContext
    depth: int = 0
    whole: bool = True
    near: bool = True
    literal: bool = False

    def deeper(self, *, whole: bool | None = None, near: bool | None = None) -> Scope:
        """Return the scope one operator further in; error 2 beyond the limit."""
        if self.depth >= DEPTH_MAX:
            raise bad_value(f"exceeded maximum query tree depth: {DEPTH_MAX}")
        return replace(
            self,
            depth=self.depth + 1,
            whole=self.whole if whole is None else whole,
            near=self.near if near is None else near,
        )


PathlessParser: TypeAlias = Callable[[str, Any, Scope], "tree.Node | None"]
"""`(name, operand, scope) -> node`; None for what takes no part in matching."""
FieldParser: TypeAlias = Callable[[str, Document, Any, Scope], "tree.Node | None"]
"""`(path, the whole operator document, operand, scope) -> node`."""


def parse_filter(spec: Any, ctx: CompileContext, *, literal: bool = False) -> tree.Node:
    """Parse a filter; MongoError (mostly 2 BadValue) when it is not a valid one.

    A `literal` tree keeps nested conjunctions and single alternatives as they were written.
    """
    return parse_document(spec, Scope(ctx, literal=literal))


def parse_document(spec: Document, scope: Scope) -> tree.Node:
    """Parse a document of conditions that must all hold."""
    nodes: list[tree.Node] = []
    for name, value in spec.items():
        if name.startswith("$"):
            parser = PATHLESS.get(name)
            if parser is None:
                raise bad_value(
                    f"unknown top level operator: {name}. If you have a field name that starts "
                    "with a '$' symbol, consider using $getField or $setField."
                )
            node = parser(name, value, scope)
            if node is not None:
                nodes.append(node)
        elif is_operators(value):
            nodes.extend(parse_operators(name, value, scope))
        elif is_regex(value):
            nodes.append(operands.parse_regex_value(name, value))
        else:
            nodes.append(operands.parse_comparison(name, "$eq", value, implicit=True))
    return all_of(nodes)


def all_of(nodes: list[tree.Node]) -> tree.Node:
    """Return the conjunction of nodes, which is the node itself if there is but one."""
    return nodes[0] if len(nodes) == 1 else tree.And(tuple(nodes))


def is_operators(value: Any, *, partial_dbref: bool = False) -> bool:
    """Tell whether a value is a document of operators and not a value to be equal to.

    A DBRef (`$ref` and `$id`; any of its fields if `partial_dbref`) is a value.
    """
    if value.__class__ is not dict:
        return False
    for first in value:
        if not first.startswith("$"):
            return False
        break
    else:
        return False
    if partial_dbref:
        return not ("$ref" in value or "$id" in value or "$db" in value)
    return not ("$ref" in value and "$id" in value)


def parse_operators(path: str, spec: Document, scope: Scope) -> list[tree.Node]:
    """Parse the operators of one field, all of which must hold."""
    first = next(iter(spec), "")
    if first in _NEAR_NAMES and spec[first].__class__ in (dict, list):
        return [_parse_near(path, spec, scope)]
    nodes: list[tree.Node] = []
    for name, value in spec.items():
        parser = FIELD.get(name)
        if parser is None:
            if name == "$where":
                raise bad_value("$where cannot be applied to a field")
            raise bad_value(f"unknown operator: {name}")
        node = parser(path, spec, value, scope)
        if node is not None:
            nodes.append(node)
    return nodes


# Operators where a field name may stand.


def _parse_list(name: str, value: Any, scope: Scope) -> tuple[tree.Node, ...]:
    if value.__class__ is not list:
        raise bad_value(f"{name} must be an array")
    if not value:
        raise bad_value("$and/$or/$nor must be a nonempty array")
    inner = scope.deeper(near=scope.near and name == "$and")
    nodes = []
    for item in value:
        if item.__class__ is not dict:
            raise bad_value("$or/$and/$nor entries need to be full objects")
        nodes.append(parse_document(item, inner))
    return tuple(nodes)


def _parse_and(name: str, value: Any, scope: Scope) -> tree.Node:
    parsed = _parse_list(name, value, scope)
    if scope.literal:
        return tree.And(parsed)
    nodes: list[tree.Node] = []
    for node in parsed:
        # Flat conjunctions are what the planner and the specialised scans look at.
        nodes.extend(node.children if isinstance(node, tree.And) else (node,))
    return all_of(nodes)


def _parse_or(name: str, value: Any, scope: Scope) -> tree.Node:
    nodes = _parse_list(name, value, scope)
    return nodes[0] if len(nodes) == 1 and not scope.literal else tree.Or(nodes)


def _parse_nor(name: str, value: Any, scope: Scope) -> tree.Node:
    return tree.Nor(_parse_list(name, value, scope))


def _parse_always(name: str, value: Any, _scope: Scope) -> tree.Node:
    operands.parse_one(name, value)
    return tree.Always(name == "$alwaysTrue")


def _parse_comment(_name: str, _value: Any, _scope: Scope) -> None:
    return None


def _parse_dbref_field(name: str, value: Any, _scope: Scope) -> tree.Node:
    return operands.parse_comparison(name, "$eq", value)


def _parse_expr(_name: str, value: Any, scope: Scope) -> tree.Node:
    if not scope.whole:
        raise bad_value("$expr can only be applied to the top-level document")
    from psdb_query.expressions.core import compile_expression

    return tree.ExprNode(value, compile_expression(value, scope.ctx))


def _parse_json_schema(_name: str, value: Any, _scope: Scope) -> tree.Node:
    if value.__class__ is not dict:
        raise MongoError(Code.TYPE_MISMATCH, "$jsonSchema must be an object")
    from psdb_query.jsonschema.schema import parse_schema

    return tree.JsonSchema(value, parse_schema(value))


def _parse_sample_rate(_name: str, value: Any, scope: Scope) -> tree.Node:
    if not scope.whole:
        raise bad_value("$sampleRate can only be applied to the top-level document")
    return tree.SampleRate(operands.parse_rate(value))


def _parse_text(_name: str, value: Any, scope: Scope) -> tree.Node:
    if not scope.whole:
        raise bad_value("$text can only be applied to the top-level document")
    return operands.parse_text(value)


def _parse_where(_name: str, value: Any, scope: Scope) -> tree.Node:
    if not scope.whole:
        raise bad_value("$where can only be applied to the top-level document")
    from bson.code import Code as JavaScript

    if value.__class__ is JavaScript:
        return tree.Where(str(value), None if value.scope is None else dict(value.scope))
    if value.__class__ is not str:
        raise bad_value("$where got bad type")
    return tree.Where(value)


def _not_supported(name: str, _value: Any, _scope: Scope) -> tree.Node:
    raise MongoError(Code.NOT_IMPLEMENTED, f"The query operator '{name}' is not supported")


PATHLESS: Final[dict[str, PathlessParser]] = {
    "$_internalSchemaAllowedProperties": _not_supported,
    "$_internalSchemaCond": _not_supported,
    "$_internalSchemaMaxProperties": _not_supported,
    "$_internalSchemaMinProperties": _not_supported,
    "$_internalSchemaRootDocEq": _not_supported,
    "$_internalSchemaXor": _not_supported,
    "$alwaysFalse": _parse_always,
    "$alwaysTrue": _parse_always,
    "$and": _parse_and,
    "$comment": _parse_comment,
    "$db": _parse_dbref_field,
    "$expr": _parse_expr,
    "$id": _parse_dbref_field,
    "$jsonSchema": _parse_json_schema,
    "$nor": _parse_nor,
    "$or": _parse_or,
    "$ref": _parse_dbref_field,
    "$sampleRate": _parse_sample_rate,
    "$text": _parse_text,
    "$where": _parse_where,
}


# Operators under a field.


def _field_compare(op: tree.CompareOp) -> FieldParser:
    def parse(path: str, _spec: Document, value: Any, _scope: Scope) -> tree.Node:
        return operands.parse_comparison(path, op, value)

    return parse


def _field_ne(path: str, _spec: Document, value: Any, _scope: Scope) -> tree.Node:
    if is_regex(value):
        raise bad_value("Can't have regex as arg to $ne.")
    return tree.Not(operands.parse_comparison(path, "$eq", value), "$ne")


def _parse_in(path: str, name: str, value: Any) -> tree.In:
    if value.__class__ is not list:
        raise bad_value(f"{name} needs an array")
    values: list[Any] = []
    regexes: list[tree.Regex] = []
    for item in value:
        if is_operators(item):
            raise bad_value("cannot nest $ under $in")
        if is_regex(item):
            regexes.append(operands.parse_regex_value(path, item))
        elif item is UNDEFINED:
            raise bad_value("InMatchExpression equality cannot be undefined")
        else:
            values.append(item)
    return tree.In(path, tuple(values), tuple(regexes))


def _field_in(path: str, _spec: Document, value: Any, _scope: Scope) -> tree.Node:
    return _parse_in(path, "$in", value)


def _field_nin(path: str, _spec: Document, value: Any, _scope: Scope) -> tree.Node:
    return tree.Not(_parse_in(path, "$nin", value), "$nin")


def _field_not(path: str, _spec: Document, value: Any, scope: Scope) -> tree.Node:
    if is_regex(value):
        return tree.Not(operands.parse_regex_value(path, value))
    if value.__class__ is not dict:
        raise bad_value("$not needs a regex or a document")
    if not value:
        raise bad_value("$not cannot be empty")
    return tree.Not(all_of(parse_operators(path, value, scope.deeper(near=False))))


def _field_exists(path: str, _spec: Document, value: Any, _scope: Scope) -> tree.Node:
    node = tree.Exists(path)
    return node if operands.is_true(value) else tree.Not(node, "$exists")


def _field_type(path: str, _spec: Document, value: Any, _scope: Scope) -> tree.Node:
    codes, number = parse_types(value, path)
    return tree.Type(path, codes, number)


def _field_size(path: str, _spec: Document, value: Any, _scope: Scope) -> tree.Node:
    return operands.parse_size(path, value)


def _field_mod(path: str, _spec: Document, value: Any, _scope: Scope) -> tree.Node:
    return operands.parse_mod(path, value)


def _field_regex(path: str, spec: Document, _value: Any, _scope: Scope) -> tree.Node:
    return operands.parse_regex_document(path, spec)


def _field_options(_path: str, spec: Document, _value: Any, _scope: Scope) -> None:
    if "$regex" not in spec:
        raise bad_value("$options needs a $regex")


def _field_bits(op: tree.BitsOp) -> FieldParser:
    def parse(path: str, _spec: Document, value: Any, _scope: Scope) -> tree.Node:
        return operands.parse_bits(path, op, value)

    return parse


def _field_elem_match(path: str, _spec: Document, value: Any, scope: Scope) -> tree.Node:
    return parse_elem_match(path, value, scope)


def parse_elem_match(path: str, value: Any, scope: Scope) -> tree.Node:
    """Parse `$elemMatch`: operators look at each element, conditions into each object."""
    if value.__class__ is not dict:
        raise bad_value("$elemMatch needs an Object")
    inner = scope.deeper(whole=False, near=False)
    if is_operators(value, partial_dbref=True) and next(iter(value)) not in PATHLESS:
        return tree.ElemMatchValue(path, tuple(parse_operators("", value, inner)), value)
    return tree.ElemMatchObject(path, parse_document(value, inner), value)


def _field_all(path: str, _spec: Document, value: Any, scope: Scope) -> tree.Node:
    if value.__class__ is not list:
        raise bad_value("$all needs an array")
    nodes: list[tree.Node] = []
    if value and _first_name(value[0]) == "$elemMatch":
        for item in value:
            if _first_name(item) != "$elemMatch":
                raise bad_value("$all/$elemMatch has to be consistent")
            nodes.append(parse_elem_match(path, item["$elemMatch"], scope))
    else:
        nodes.extend(_parse_all_item(path, item) for item in value)
    if scope.literal:
        return tree.And(tuple(nodes) or (tree.Always(value=False),), (path, value))
    return all_of(nodes) if nodes else tree.Always(value=False)


def _parse_all_item(path: str, item: Any) -> tree.Node:
    if is_regex(item):
        return operands.parse_regex_value(path, item)
    first = _first_name(item)
    if first == "$not" or first in FIELD:
        raise bad_value("no $ expressions in $all")
    return operands.parse_comparison(path, "$eq", item)


def _first_name(value: Any) -> str | None:
    return next(iter(value), None) if value.__class__ is dict else None


# Geometry.

_NEAR_NAMES: Final = frozenset({"$geoNear", "$near", "$nearSphere"})


def _parse_near(path: str, spec: Document, scope: Scope) -> tree.Node:
    if not scope.near:
        raise bad_value("$geoNear, $near, and $nearSphere are not allowed in this context")
    from psdb_query.geo.parse import parse_near

    return tree.Near(path, parse_near(spec), spec)


def _field_near(_path: str, spec: Document, _value: Any, _scope: Scope) -> tree.Node:
    raise operands.near_first(spec)


def _field_geo_within(path: str, spec: Document, _value: Any, _scope: Scope) -> tree.Node:
    from psdb_query.geo.parse import parse_within

    return tree.GeoWithin(path, parse_within(spec), spec)


def _field_geo_intersects(path: str, spec: Document, _value: Any, _scope: Scope) -> tree.Node:
    from psdb_query.geo.parse import parse_intersects

    return tree.GeoIntersects(path, parse_intersects(spec), spec)


FIELD: Final[dict[str, FieldParser]] = {
    "$all": _field_all,
    "$bitsAllClear": _field_bits("$bitsAllClear"),
    "$bitsAllSet": _field_bits("$bitsAllSet"),
    "$bitsAnyClear": _field_bits("$bitsAnyClear"),
    "$bitsAnySet": _field_bits("$bitsAnySet"),
    "$elemMatch": _field_elem_match,
    "$eq": _field_compare("$eq"),
    "$exists": _field_exists,
    "$geoIntersects": _field_geo_intersects,
    "$geoNear": _field_near,
    "$geoWithin": _field_geo_within,
    "$gt": _field_compare("$gt"),
    "$gte": _field_compare("$gte"),
    "$in": _field_in,
    "$lt": _field_compare("$lt"),
    "$lte": _field_compare("$lte"),
    "$mod": _field_mod,
    "$ne": _field_ne,
    "$near": _field_near,
    "$nearSphere": _field_near,
    "$nin": _field_nin,
    "$not": _field_not,
    "$options": _field_options,
    "$regex": _field_regex,
    "$size": _field_size,
    "$type": _field_type,
    "$within": _field_geo_within,
}
