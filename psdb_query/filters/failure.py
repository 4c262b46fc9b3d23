"""Why a document fails a validator: `errInfo` in the shape of MongoDB 5.0 and later.

Each kind of node describes itself twice: why it does not hold, and (beneath a negation) why it
does. Where a condition saw several values through an array, all are shown (up to ten).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from psdb_base import bson_codec
from psdb_base.errors import MongoError
from psdb_base.exact_codec import make_regex
from psdb_base.values import MISSING, Document
from psdb_query.context import CompileContext, Env
from psdb_query.describe import type_name
from psdb_query.filters import tree
from psdb_query.filters.build import compile_match, looks_at_elements
from psdb_query.filters.traverse import match_path
from psdb_query.filters.types import TYPE_NAMES

_BYTES_MAX: Final = 12 * 1024 * 1024
"""A larger description is given without the values."""
_VALUES_MAX: Final = 10
"""So many considered values are shown."""


@dataclass(frozen=True, slots=True)
class _Case:
    """What all descriptions are made from."""

    document: Document
    env: Env
    ctx: CompileContext

    def holds(self, node: tree.Node) -> bool:
        return compile_match(node, self.ctx)(self.document, self.env)


def explain_failure(node: tree.Node, document: Document, env: Env, ctx: CompileContext) -> Document:
    """Return `{failingDocumentId, details}` for a document that a literal tree does not match."""
    details = _describe(node, _Case(document, env, ctx), inverted=False)
    found = {"failingDocumentId": document.get("_id"), "details": details}
    try:
        if len(bson_codec.encode(found)) <= _BYTES_MAX:
            return found
        found = {**found, "details": _without_values(details), "truncated": True}
        if len(bson_codec.encode(found)) <= _BYTES_MAX:
            return found
        reason = "generated error was too large"
    except MongoError:
        reason = "generated error was too deeply nested"
    return {"failingDocumentId": found["failingDocumentId"], "reason": reason, "truncated": True}


_VALUE_FIELDS: Final = frozenset({"consideredValue", "consideredValues", "specifiedAs"})


def _without_values(value: Any) -> Any:
    if isinstance(value, dict):
        return {n: _without_values(v) for n, v in value.items() if n not in _VALUE_FIELDS}
    if isinstance(value, list):
        return [_without_values(item) for item in value]
    return value


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
        if _outcome(child, case, wanted=wanted) is wanted
    ]


def _outcome(node: tree.Node, case: _Case, *, wanted: bool) -> bool:
    """Tell whether a node holds; one that cannot be evaluated counts as what is to be told."""
    try:
        return case.holds(node)
    except MongoError:
        return wanted


def _write_and(node: tree.And, case: _Case, inverted: bool) -> Document:
    if node.all_of is not None:
        return _write_all(*node.all_of, case, inverted=inverted)
    field = "clausesSatisfied" if inverted else "clausesNotSatisfied"
    return {"operatorName": "$and", field: _clauses(node.children, case, wanted=inverted)}


def _write_all(path: str, values: list[Any], case: _Case, *, inverted: bool) -> Document:
    out: Document = {"operatorName": "$all", "specifiedAs": {path: {"$all": values}}}
    if not values:
        return {**out, "reason": "expression always evaluates to false"}
    found = _values_at(path, case.document, elements=False)
    if found is None or all(value is MISSING for value in found):
        return {**out, "reason": "field was missing"}
    not_ = "" if inverted else "not "
    out["reason"] = f"array did {not_}contain all specified values"
    return out | _shown([value for value in found if value is not MISSING])


def _write_or(node: tree.Or, case: _Case, inverted: bool) -> Document:
    field = "clausesSatisfied" if inverted else "clausesNotSatisfied"
    return {"operatorName": "$or", field: _clauses(node.children, case, wanted=inverted)}


def _write_nor(node: tree.Nor, case: _Case, inverted: bool) -> Document:
    field = "clausesNotSatisfied" if inverted else "clausesSatisfied"
    return {"operatorName": "$nor", field: _clauses(node.children, case, wanted=not inverted)}


def _write_not(node: tree.Not, case: _Case, inverted: bool) -> Document:
    details = _describe(node.child, case, inverted=not inverted)
    if node.written == "$not":
        return {"operatorName": "$not", "details": details}
    assert isinstance(node.child, (tree.Compare, tree.Exists, tree.In))
    operand: Any = False
    if not isinstance(node.child, tree.Exists):
        operand = next(iter(_OPERANDS[type(node.child)](node.child).values()))
    return {
        **details,
        "operatorName": node.written,
        "specifiedAs": {node.child.path: {node.written: operand}},
    }


def _write_always(node: tree.Always, _case: _Case, _inverted: bool) -> Document:
    name = "$alwaysTrue" if node.value else "$alwaysFalse"
    answer = "true" if node.value else "false"
    return {
        "operatorName": name,
        "specifiedAs": {name: 1},
        "reason": f"expression always evaluates to {answer}",
    }


def _write_expr(node: tree.ExprNode, case: _Case, inverted: bool) -> Document:
    out: Document = {"operatorName": "$expr", "specifiedAs": {"$expr": node.spec}}
    try:
        result = node.expression.evaluate(case.document, case.env)
    except MongoError as error:
        return {
            **out,
            "reason": "failed to evaluate aggregation expression",
            "details": {
                "code": error.code,
                "codeName": error.code_name,
                "errmsg": error.message,
            },
        }
    out["reason"] = "expression did match" if inverted else "expression did not match"
    out["expressionResult"] = None if result is MISSING else result
    return out


def _write_sample_rate(node: tree.SampleRate, _case: _Case, inverted: bool) -> Document:
    return {
        "operatorName": "$sampleRate",
        "specifiedAs": {"$sampleRate": node.rate},
        "reason": "expression did match" if inverted else "expression did not match",
        "expressionResult": inverted,
    }


def _write_json_schema(node: tree.JsonSchema, case: _Case, inverted: bool) -> Document:
    if inverted:
        return {"operatorName": "$jsonSchema", "reason": "schema matched"}
    if node.schema.stated is not None and node.schema.stated != _OBJECT:
        return {
            "operatorName": "$jsonSchema",
            "specifiedAs": {"$jsonSchema": node.spec},
            "reason": "expression always evaluates to false",
        }
    return node.schema.explain(case.document)


_OBJECT: Final = 3

_Writer: TypeAlias = Callable[[Any, _Case, bool], Document]
_WRITERS: Final[dict[type, _Writer]] = {
    tree.Always: _write_always,
    tree.And: _write_and,
    tree.ExprNode: _write_expr,
    tree.JsonSchema: _write_json_schema,
    tree.Nor: _write_nor,
    tree.Not: _write_not,
    tree.Or: _write_or,
    tree.SampleRate: _write_sample_rate,
}


# Conditions on a path.


@dataclass(frozen=True, slots=True)
class _Words:
    """What is said of a condition's outcome, and the types it expects."""

    failed: str
    held: str
    expected: tuple[str, ...] = ()


_NUMBER_NAMES: Final = ("decimal", "double", "int", "long")
_ELEM_MATCH: Final = _Words(
    "array did not satisfy the child predicate",
    "array did satisfy the child predicate",
    ("array",),
)
_GEOMETRY: Final = ("array", "object")

_WORDS: Final[dict[type, _Words]] = {
    tree.Bits: _Words(
        "bitwise operator failed to match",
        "bitwise operator matched successfully",
        ("binData", *_NUMBER_NAMES),
    ),
    tree.Compare: _Words("comparison failed", "comparison succeeded"),
    tree.ElemMatchObject: _ELEM_MATCH,
    tree.ElemMatchValue: _ELEM_MATCH,
    tree.Exists: _Words("path does not exist", "path does exist"),
    tree.GeoIntersects: _Words(
        "none of considered geometries intersected the expression’s geometry",
        "at least one of considered geometries intersected the expression’s geometry",
        _GEOMETRY,
    ),
    tree.GeoWithin: _Words(
        "none of considered geometries was contained within the expression’s geometry",
        "at least one of considered geometries was contained within the expression’s geometry",
        _GEOMETRY,
    ),
    tree.In: _Words("no matching value found in array", "matching value found in array"),
    tree.Mod: _Words(
        "$mod did not evaluate to expected remainder",
        "$mod did evaluate to expected remainder",
        _NUMBER_NAMES,
    ),
    tree.Regex: _Words(
        "regular expression did not match",
        "regular expression did match",
        ("regex", "string", "symbol"),
    ),
    tree.Size: _Words(
        "array length was not equal to given size",
        "array length was equal to given size",
        ("array",),
    ),
    tree.Type: _Words("type did not match", "type did match"),
}


def _describe_leaf(node: Any, case: _Case, *, inverted: bool) -> Document:
    words = _WORDS.get(type(node))
    if words is None:
        name = f"${type(node).__name__.lower()}"
        return {"operatorName": name, "reason": "expression did not match"}
    operand = _OPERANDS[type(node)](node)
    implicit = getattr(node, "implicit", False)
    specified = {node.path: _implicit_operand(node) if implicit else operand}
    out: Document = {"operatorName": next(iter(operand)), "specifiedAs": specified}
    if isinstance(node, tree.Exists):
        return {**out, "reason": words.held if inverted else words.failed}
    found = _values_at(node.path, case.document, elements=looks_at_elements(node))
    if found is None or (found and all(value is MISSING for value in found)):
        return {**out, "reason": "field was missing"}
    present = [value for value in found if value is not MISSING]
    types = sorted({type_name(value) for value in present})
    if words.expected and types and not inverted and not set(types) & set(words.expected):
        out["reason"] = "type did not match"
        out |= _shown_types(types)
        many = len(words.expected) > 1
        out["expectedTypes" if many else "expectedType"] = (
            list(words.expected) if many else words.expected[0]
        )
        return out | _shown(present)
    out["reason"] = words.held if inverted else words.failed
    out |= _shown(present)
    if isinstance(node, tree.Type):
        out |= _shown_types(types)
    return out


def _shown(values: list[Any]) -> Document:
    if len(values) == 1:
        return {"consideredValue": values[0]}
    if len(values) <= _VALUES_MAX:
        return {"consideredValues": values}
    return {"consideredValues": values[:_VALUES_MAX], "consideredValuesTruncated": True}


def _shown_types(types: list[str]) -> Document:
    if not types:
        return {}
    return {"consideredType": types[0]} if len(types) == 1 else {"consideredTypes": types}


def _values_at(path: str, document: Document, *, elements: bool) -> list[Any] | None:
    """Return the values that a condition looked at; None where the path leads nowhere.

    Elements stand for their array if the condition looks at them.
    """
    found: list[Any] = []

    def collect(value: Any) -> bool:
        if elements and value.__class__ is list:
            found.extend(value)
            entered.append(True)
        else:
            found.append(value)
        return False

    entered: list[bool] = []
    walk = match_path(tuple(path.split(".")), collect, elements=False)
    # Compiling asks about a missing value; only what the walk itself finds counts.
    found.clear()
    walk(document)
    return found if found or entered else None


def _implicit_operand(node: tree.Compare | tree.Regex) -> Any:
    if isinstance(node, tree.Compare):
        return node.value
    return make_regex(node.pattern, node.options)


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


def _geo_operand(node: tree.GeoIntersects | tree.GeoWithin) -> Document:
    spec: Document = node.spec
    return spec


_OPERANDS: Final[dict[type, Callable[[Any], Document]]] = {
    tree.Bits: lambda node: {node.op: node.mask},
    tree.Compare: lambda node: {node.op: node.value},
    tree.ElemMatchObject: _elem_match_operand,
    tree.ElemMatchValue: _elem_match_operand,
    tree.Exists: lambda _node: {"$exists": True},
    tree.GeoIntersects: _geo_operand,
    tree.GeoWithin: _geo_operand,
    tree.In: _in_operand,
    tree.Mod: lambda node: {"$mod": [node.divisor, node.remainder]},
    tree.Regex: _regex_operand,
    tree.Size: lambda node: {"$size": node.count},
    tree.Type: _type_operand,
}
