"""The document an upsert begins with, and how its `_id` is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from bson.objectid import ObjectId

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.context import CompileContext
from psdb_query.describe import type_name
from psdb_query.filters import compile_filter, tree
from psdb_query.updates.nodes import Path


def initial_document(
    filter_: Document | tree.Node, ctx: CompileContext, *, id_only: bool
) -> Document:
    """Return the document that the equalities of a filter describe.

    Args:
        filter_: A filter document, or the tree of a compiled one.
        ctx: The compile context, for a document.
        id_only: Take `_id` only (a replacement brings everything else).

    Raises:
        MongoError: 54 NotSingleValueField when equalities contradict each other, 28 when one
            path runs through another's value.

    """
    node = compile_filter(filter_, ctx).tree if isinstance(filter_, dict) else filter_
    found: dict[str, Any] = {}
    for path, value in equalities(node):
        if id_only and path != "_id":
            continue
        if path in found:
            raise _not_single(f"path '{path}' is matched twice")
        found[path] = value
    paths = sorted(found)
    parts = [tuple(path.split(".")) for path in paths]
    _check_apart(paths, parts)
    doc: Document = {}
    for path, names in zip(paths, parts, strict=True):
        _put(doc, names, found[path])
    return doc


def equalities(node: tree.Node) -> Iterator[tuple[str, Any]]:
    """Yield `(path, value)` of all equalities that every matching document satisfies."""
    if isinstance(node, tree.And):
        for child in node.children:
            yield from equalities(child)
    elif isinstance(node, tree.Compare):
        if node.op == "$eq":
            yield node.path, node.value
    elif isinstance(node, tree.In):
        if len(node.values) == 1 and not node.regexes:
            yield node.path, node.values[0]
    elif isinstance(node, tree.Or) and len(node.children) == 1:
        yield from equalities(node.children[0])


def _not_single(what: str) -> MongoError:
    return MongoError(Code.NOT_SINGLE_VALUE_FIELD, f"cannot infer query fields to set, {what}")


def _check_apart(paths: list[str], parts: list[Path]) -> None:
    """Refuse a path that leads through another one."""
    known = dict(zip(parts, paths, strict=True))
    for names, path in zip(parts, paths, strict=True):
        for end in range(1, len(names)):
            outer = known.get(names[:end])
            if outer is not None:
                raise _not_single(f"both paths '{outer}' and '{path}' are matched")


def _put(doc: Document, names: Path, value: Any) -> None:
    for name in names[:-1]:
        doc = doc.setdefault(name, {})
    doc[names[-1]] = value


def with_id_first(doc: Document, new_id: Callable[[], ObjectId]) -> Document:
    """Return the document with `_id` as its first field, made if need be, and checked."""
    if "_id" not in doc:
        return {"_id": new_id(), **doc}
    check_id(doc["_id"])
    if next(iter(doc)) == "_id":
        return doc
    return {"_id": doc["_id"], **doc}


def check_id(value: Any) -> None:
    """Raise MongoError if a value cannot be an update's `_id`: 53, or 52 for `$` names in it.

    The names of a DBRef may be there, each behind the one that it needs (55).
    """
    kind = type_name(value)
    if kind in ("array", "regex", "undefined"):
        raise MongoError(Code.INVALID_ID_FIELD, f"The '_id' value cannot be of type {kind}")
    if type(value) is not dict:
        return
    names = list(value)
    for at, name in enumerate(names):
        if name.startswith("$"):
            _check_reference(value, names, at)


def _check_reference(value: Document, names: list[str], at: int) -> None:
    """Check that a name with a `$` is where a DBRef has it."""
    name = names[at]
    if name == "$db":
        _check_string(value, name)
        at -= 1
        if at < 0 or names[at] != "$id":
            raise _bad_reference("Found $db field without a $id before it, which is invalid.")
    if names[at] == "$id":
        at -= 1
        if at < 0 or names[at] != "$ref":
            raise _bad_reference("Found $id field without a $ref before it, which is invalid.")
    if names[at] != "$ref":
        raise dollar_error(name, f"_id.{name}")
    _check_string(value, "$ref")
    if names[at + 1 : at + 2] != ["$id"]:
        raise _bad_reference("The DBRef $ref field must be followed by a $id field")


def _check_string(value: Document, name: str) -> None:
    if type(value[name]) is not str:
        raise _bad_reference(
            f"The DBRef {name} field must be a String, not a {type_name(value[name])}"
        )


def _bad_reference(message: str) -> MongoError:
    return MongoError(Code.INVALID_DB_REF, message)


def dollar_error(name: str, path: str) -> MongoError:
    """Return the error for a name that begins with `$` where an update may not write one."""
    return MongoError(
        Code.DOLLAR_PREFIXED_FIELD_NAME,
        f"The dollar ($) prefixed field '{name}' in '{path}' is not allowed in the context of an "
        "update's replacement document. Consider using an aggregation pipeline with "
        "$replaceWith.",
    )
