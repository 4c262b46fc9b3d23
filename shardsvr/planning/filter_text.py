"""A filter's tree written back as a document, for `explain`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from psdb_base.values import Document, RawRegex
from psdb_query.filters import tree
from psdb_query.filters.normal_order import in_normal_order
from psdb_query.filters.types import TYPE_NAMES


def filter_document(node: tree.Node) -> Document:
    """Return the filter that a node stands for, in MongoDB's full form (`{a: {$eq: 1}}`)."""
    return _written(in_normal_order(node))


def _written(node: tree.Node) -> Document:
    return _WRITERS[type(node)](node)


def _list(name: str) -> Callable[[Any], Document]:
    return lambda node: {name: [_written(child) for child in node.children]}


def _and(node: tree.And) -> Document:
    if not node.children:
        return {}
    return {"$and": [_written(child) for child in node.children]}


def _field(node: Any, condition: Document) -> Document:
    return {node.path: condition} if node.path else condition


def _not(node: tree.Not) -> Document:
    inner = _written(node.child)
    if len(inner) == 1:
        ((name, condition),) = inner.items()
        if not name.startswith("$") and type(condition) is dict:
            return {name: {"$not": condition}}
    return {"$nor": [inner]}


def _in(node: tree.In) -> Document:
    regexes = [RawRegex(regex.pattern, regex.options) for regex in node.regexes]
    return _field(node, {"$in": [*node.values, *regexes]})


def _regex(node: tree.Regex) -> Document:
    condition = {"$regex": node.pattern}
    if node.options:
        condition["$options"] = node.options
    return _field(node, condition)


def _type(node: tree.Type) -> Document:
    names = ["number"] if node.number else []
    return _field(node, {"$type": names + [TYPE_NAMES[code] for code in node.codes]})


def _elem_match_value(node: tree.ElemMatchValue) -> Document:
    conditions: Document = {}
    for child in node.children:
        conditions |= _written(child)
    return _field(node, {"$elemMatch": conditions})


def _text(node: tree.Text) -> Document:
    spec: Document = {"$search": node.search}
    if node.language is not None:
        spec["$language"] = node.language
    spec["$caseSensitive"] = node.case_sensitive
    spec["$diacriticSensitive"] = node.diacritic_sensitive
    return {"$text": spec}


def _geometry(name: str) -> Callable[[Any], Document]:
    def write(node: Any) -> Document:
        spec = node.spec
        if type(spec) is dict and next(iter(spec), "") == name:
            spec = spec[name]
        return {node.path: {name: spec}}

    return write


_WRITERS: Final[dict[type, Callable[[Any], Document]]] = {
    tree.Always: lambda node: {"$alwaysTrue" if node.value else "$alwaysFalse": 1},
    tree.And: _and,
    tree.Bits: lambda node: _field(node, {node.op: _set_bits(node.mask)}),
    tree.Compare: lambda node: _field(node, {node.op: node.value}),
    tree.ElemMatchObject: lambda node: _field(node, {"$elemMatch": _written(node.child)}),
    tree.ElemMatchValue: _elem_match_value,
    tree.Exists: lambda node: _field(node, {"$exists": True}),
    tree.ExprNode: lambda node: {"$expr": node.spec},
    tree.GeoIntersects: _geometry("$geoIntersects"),
    tree.GeoWithin: _geometry("$geoWithin"),
    tree.Guard: lambda _node: {},
    tree.In: _in,
    tree.JsonSchema: lambda node: {"$jsonSchema": node.spec},
    tree.Mod: lambda node: _field(node, {"$mod": [node.divisor, node.remainder]}),
    tree.Near: lambda node: {node.path: node.spec},
    tree.Nor: _list("$nor"),
    tree.Not: _not,
    tree.Or: _list("$or"),
    tree.Regex: _regex,
    tree.SampleRate: lambda node: {"$sampleRate": node.rate},
    tree.Size: lambda node: _field(node, {"$size": node.count}),
    tree.Text: _text,
    tree.Type: _type,
    tree.Where: lambda node: {"$where": node.code},
}


def _set_bits(mask: int) -> list[int]:
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]
