"""Shapes of queries: commands with their values replaced by the names of their types.

What does not belong to a shape: limit, skip, batch size, the hint, and everything generic. The
names are MongoDB's; the hash is our own, for it is taken of our form of a shape.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from psdb_base import bson_codec
from psdb_base.values import Document
from psdb_query.describe import type_name

WHOLE_SHAPE: Final = "originalQueryShapeHash"
"""Argument by which a router tells the shape of a command that it has cut up."""

_VERBATIM: Final = (
    "allowDiskUse", "awaitData", "collation", "key", "noCursorTimeout", "returnKey",
    "showRecordId", "singleBatch", "sort", "tailable",
)  # fmt: skip
_LOGICAL: Final = ("$and", "$nor", "$or")


def shape_of_command(command: Document, db: str) -> Document:
    """Return the shape of a find, distinct or aggregate."""
    kind = next(iter(command))
    shape: Document = {"cmdNs": {"db": db, "coll": command[kind]}, "command": kind}
    for name in sorted(command):
        value = command[name]
        if name in ("filter", "query"):
            if value:
                shape["filter"] = _filter(value)
        elif name in ("let", "max", "min"):
            fields = value.items() if type(value) is dict else ()
            shape[name] = {key: _literal(item) for key, item in fields}
        elif name == "pipeline":
            shape[name] = _pipeline(value)
        elif name == "projection":
            shape[name] = _expression(value)
        elif name in _VERBATIM and value not in ({}, False):
            shape[name] = value
    return shape


def hash_of(shape: Document) -> str:
    """Return the name of a shape: 64 hexadecimal digits."""
    return hashlib.sha256(bson_codec.encode(shape)).hexdigest().upper()


def _filter(spec: Any) -> Any:
    if type(spec) is not dict:
        return _literal(spec)
    out: Document = {}
    for name, value in spec.items():
        if name in _LOGICAL and type(value) is list:
            out[name] = [_filter(one) for one in value]
        elif name == "$expr":
            out[name] = _expression(value)
        elif name == "$comment":
            continue
        elif name.startswith("$"):
            out[name] = _literal(value)
        else:
            out[name] = _condition(value)
    return out


def _condition(value: Any) -> Any:
    if type(value) is not dict or not value or not next(iter(value)).startswith("$"):
        return {"$eq": _literal(value)}
    out: Document = {}
    for name, operand in value.items():
        if name == "$not":
            out[name] = _condition(operand)
        elif name == "$elemMatch":
            of_values = type(operand) is dict and next(iter(operand), "").startswith("$")
            whole = of_values and next(iter(operand)) not in (*_LOGICAL, "$expr")
            out[name] = _condition(operand) if whole else _filter(operand)
        else:
            out[name] = _literal(operand)
    return out


def _literal(value: Any) -> str:
    kind = type_name(value)
    if kind in ("int", "long", "double", "decimal"):
        return "?number"
    if kind == "array":
        kinds = {_literal(item) for item in value}
        return f"?array<{kinds.pop() if len(kinds) == 1 else ''}>"
    return f"?{kind}"


def _expression(spec: Any) -> Any:
    """Return an expression, or the fields of a stage, without its constants."""
    if type(spec) is dict:
        if len(spec) == 1 and next(iter(spec)) in ("$const", "$literal"):
            return _literal(next(iter(spec.values())))
        return {name: _expression(value) for name, value in spec.items()}
    if type(spec) is list:
        return [_expression(item) for item in spec]
    if type(spec) is bool or (type(spec) is str and spec.startswith("$")):
        return spec
    return bool(spec) if spec in (0, 1) else _literal(spec)


def _pipeline(stages: Any) -> Any:
    if type(stages) is not list:
        return _literal(stages)
    return [_stage(stage) for stage in stages]


def _stage(stage: Any) -> Any:
    if type(stage) is not dict or len(stage) != 1:
        return _literal(stage)
    name, spec = next(iter(stage.items()))
    if name == "$match":
        return {name: _filter(spec)}
    if name in ("$limit", "$skip"):
        return {name: _literal(spec)}
    if name in ("$addFields", "$group", "$project", "$replaceRoot", "$replaceWith", "$set"):
        return {name: _expression(spec)}
    if name == "$facet" and type(spec) is dict:
        return {name: {key: _pipeline(inner) for key, inner in spec.items()}}
    if type(spec) is dict and "pipeline" in spec:
        return {name: {**spec, "pipeline": _pipeline(spec["pipeline"])}}
    return stage
