"""Why a document fails a validator: `errInfo` in the shape of MongoDB 5.0 and later.

Each kind of node describes itself twice: why it does not hold, and (beneath a negation) why it
does. Where a condition saw several values through an array, all are shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from psdb_base.exact_codec import make_regex
from psdb_base.values import MISSING, Document
from psdb_query.context import CompileContext, Env
from psdb_query.describe import type_name
from psdb_query.filters import tree
from psdb_query.filters.build import compile_match, looks_at_elements
from psdb_query.filters.traverse import match_path
from psdb_query.filters.types import TYPE_NAMES


@dataclass(frozen=True, slots=True)
class _Case:
    """What all descriptions are made from."""

    document: Document
    env: Env
    ctx: CompileContext

    def holds(self, node: tree.Node) -> bool:
        return compile_match(node, self.ctx)(self.document, self.env)


def explain_failure(node: tree.Node, document: Document, env: Env, ctx: CompileContext) -> Document:
    """Return `{failingDocumentId, details}` for a document that the filter does not match."""
    details = _describe(node, _Case(document, env, ctx), inverted=False)
    return {"failingDocumentId": document.get("_id"), "details": details}


def _describe(node: tree.Node, case: _Case, *, inverted: bool) -> Document:
    """Describe why a node does not hold or, `inverted`, why it does."""
    writer = _WRITERS.get(type(node))
    if writer is not None:
        return writer(node, case, inverted)
    return _describe_leaf(node, case, inverted=inverted)


def _clauses(children: tuple[tree.Node, ...], case: _Case, *, wanted: bool) -> list[Document]:
    """Describe those children whose outcome is `wanted`, by index."""
    return [
        {"index": index, "details": _describe(child, case, inverted=wanted)}
        for index, child in enumerate(children)
        if case.holds(child) is wanted
    ]


def _write_and(node: tree.And, case: _Case, inverted: bool) -> Document:
    field = "clausesSatisfied" if inverted else "clausesNotSatisfied"
    clauses = _clauses(node.children, case, wanted=inverted)
    return {"operatorName": "$and", field: clauses}


def _write_or(node: tree.Or, case: _Case, inverted: bool) -> Document:
    field = "clausesSatisfied" if inverted else "clausesNotSatisfied"
    clauses = _clauses(node.children, case, wanted=inverted)
    return {"operatorName": "$or", field: clauses}


def _write_nor(node: tree.Nor, case: _Case, inverted: bool) -> Document:
    field = "clausesNotSatisfied" if inverted else "clausesSatisfied"
    clauses = _clauses(node.children, case, wanted=not inverted)
    return {"operatorName": "$nor", field: clauses}


_NEGATED_NAMES: Final[dict[type, str]] = {tree.Compare: "$ne", tree.In: "$nin"}


def _write_not(node: tree.Not, case: _Case, inverted: bool) -> Document:
    child = node.child
    details = _describe(child, case, inverted=not inverted)
    if isinstance(child, tree.Exists):
        return {**details, "specifiedAs": {child.path: {"$exists": False}}}
    negated = _NEGATED_NAMES.get(type(child))
    if negated and not (isinstance(child, tree.Compare) and child.op != "$eq"):
        assert isinstance(child, (tree.Compare, tree.In))
        operand = next(iter(_specified(child)[child.path].values()))
        return {
            **details,
            "operatorName": negated,
            "specifiedAs": {child.path: {negated: operand}},
        }
    return {"operatorName": "$not", "details": details}


def _write_always(node: tree.Always, _case: _Case, _inverted: bool) -> Document:
    name = "$alwaysTrue" if node.value else "$alwaysFalse"
    answer = "true" if node.value else "false"
    return {
        "operatorName": name,
        "specifiedAs": {name: 1},
        "reason": f"expression always evaluates to {answer}",
    }


def _write_expr(node: tree.ExprNode, case: _Case, inverted: bool) -> Document:
    result = node.expression.evaluate(case.document, case.env)
    return {
        "operatorName": "$expr",
        "specifiedAs": {"$expr": node.spec},
        "reason": "expression did match" if inverted else "expression did not match",
        "expressionResult": None if result is MISSING else result,
    }


def _write_json_schema(node: tree.JsonSchema, case: _Case, inverted: bool) -> Document:
    if inverted:
        return {"operatorName": "$jsonSchema", "reason": "schema matched"}
    return node.schema.explain(case.document)


_Writer: TypeAlias = Callable[[Any, _Case, bool], Document]
_WRITERS: Final[dict[type, _Writer]] = {
    tree.Always: _write_always,
    tree.And: _write_and,
    tree.ExprNode: _write_expr,
    tree.JsonSchema: _write_json_schema,
    tree.Nor: _write_nor,
    tree.Not: _write_not,
    tree.Or: _write_or,
}


# Conditions on a path.


@dataclass(frozen=True, slots=True)
class _Words:
    """How a condition is called and what is said of its outcome."""

    name: str
    failed: str
    held: str
    types: bool = False


_WORDS: Final[dict[type, _Words]] = {
    tree.Bits: _Words("", "bitwise operator failed to match", "bitwise operator matched"),
    tree.Compare: _Words("", "comparison failed", "comparison succeeded"),
    tree.ElemMatchObject: _Words(
        "$elemMatch",
        "array did not satisfy the child predicate",
        "array did satisfy the child predicate",
    ),
    tree.ElemMatchValue: _Words(
        "$elemMatch",
        "array did not satisfy the child predicate",
        "array did satisfy the child predicate",
    ),
    tree.Exists: _Words("$exists", "path does not exist", "path does exist"),
    tree.GeoIntersects: _Words(
        "$geoIntersects",
        "none of considered geometries intersected the expression's geometry",
        "at least one of considered geometries intersected the expression's geometry",
    ),
    tree.GeoWithin: _Words(
        "$geoWithin",
        "none of considered geometries was contained within the expression's geometry",
        "at least one of considered geometries was contained within the expression's geometry",
    ),
    tree.In: _Words("$in", "no matching value found in array", "matching value found in array"),
    tree.Mod: _Words(
        "$mod",
        "$mod did not evaluate to expected remainder",
        "$mod did evaluate to expected remainder",
    ),
    tree.Regex: _Words(
        "$regex", "regular expression did not match", "regular expression did match"
    ),
    tree.Size: _Words(
        "$size",
        "array length was not equal to given size",
        "array length was equal to given size",
    ),
    tree.Type: _Words("$type", "type did not match", "type did match", types=True),
}


def _describe_leaf(node: Any, case: _Case, *, inverted: bool) -> Document:
    words = _WORDS.get(type(node))
    if words is None:
        name = f"${type(node).__name__.lower()}"
        return {"operatorName": name, "reason": "expression did not match"}
    specified = _specified(node)
    name = next(iter(specified[node.path]))
    out: Document = {"operatorName": name, "specifiedAs": specified}
    values = considered_values(node, case.document)
    if isinstance(node, tree.Exists):
        return {**out, "reason": words.held if inverted else words.failed}
    if not inverted and all(value is MISSING for value in values):
        return {**out, "reason": "field was missing"}
    out["reason"] = words.held if inverted else words.failed
    shown = [value for value in values if value is not MISSING]
    if len(shown) == 1:
        out["consideredValue"] = shown[0]
    elif shown:
        out["consideredValues"] = shown
    if words.types and shown:
        types = sorted({type_name(value) for value in shown})
        if len(types) == 1:
            out["consideredType"] = types[0]
        else:
            out["consideredTypes"] = types
    return out


def considered_values(node: Any, document: Document) -> list[Any]:
    """Return every value that a condition on a path looked at, `MISSING` included."""
    values: list[Any] = []

    def collect(value: Any) -> bool:
        values.append(value)
        return False

    walk = match_path(tuple(node.path.split(".")), collect, elements=looks_at_elements(node))
    # Compiling asks about a missing value once; only what the walk finds counts.
    values.clear()
    if not walk(document) and not values:
        values.append(MISSING)
    return values


def _specified(node: Any) -> Document:
    """Return the condition as a filter would state it."""
    if isinstance(node, (tree.GeoIntersects, tree.GeoWithin, tree.Near)):
        return {node.path: node.spec}
    return {node.path: _OPERANDS[type(node)](node)}


def _regex_operand(node: tree.Regex) -> Document:
    out: Document = {"$regex": node.pattern}
    if node.options:
        out["$options"] = node.options
    return out


def _in_operand(node: tree.In) -> Document:
    regexes = [make_regex(regex.pattern, regex.options) for regex in node.regexes]
    return {"$in": [*node.values, *regexes]}


def _type_operand(node: tree.Type) -> Document:
    names = [TYPE_NAMES[code] for code in node.codes] + (["number"] if node.number else [])
    return {"$type": names[0] if len(names) == 1 else names}


def _elem_match_operand(node: tree.ElemMatchObject | tree.ElemMatchValue) -> Document:
    return {"$elemMatch": node.spec}


_OPERANDS: Final[dict[type, Callable[[Any], Document]]] = {
    tree.Bits: lambda node: {node.op: node.mask},
    tree.Compare: lambda node: {node.op: node.value},
    tree.ElemMatchObject: _elem_match_operand,
    tree.ElemMatchValue: _elem_match_operand,
    tree.Exists: lambda _node: {"$exists": True},
    tree.In: _in_operand,
    tree.Mod: lambda node: {"$mod": [node.divisor, node.remainder]},
    tree.Regex: _regex_operand,
    tree.Size: lambda node: {"$size": node.count},
    tree.Type: _type_operand,
}
