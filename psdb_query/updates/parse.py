"""An operator-style update document, read into the tree of `nodes`."""

from __future__ import annotations

import re
from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.context import CompileContext
from psdb_query.describe import text_of, type_name
from psdb_query.filters import compile_filter
from psdb_query.updates.build import Build, is_array_filter
from psdb_query.updates.fields import RenameSource
from psdb_query.updates.nodes import ArrayNode, ElementTest, Leaf, Node, ObjectNode, Path
from psdb_query.updates.state import dotted, element_text
from psdb_query.updates.table import MODIFIERS, Modifier


def parse_operators(
    spec: Document, ctx: CompileContext, array_filters: list[Document] | None
) -> ObjectNode:
    """Read `{$set: {…}, …}` with its array filters.

    Raises MongoError: 9 (unknown modifier, operand not an object, unused array filter), 40
    (conflicting paths), 56 (empty names), 2 and 14 (operands).
    """
    build = Build(ctx, parse_array_filters(array_filters or [], ctx))
    root = ObjectNode()
    for name, operand in spec.items():
        modifier = _modifier(name, operand)
        for field, value in operand.items():
            _add(root, modifier, field, value, build)
    for identifier in build.tests:
        if identifier not in build.used:
            raise MongoError(
                Code.FAILED_TO_PARSE,
                f"The array filter for identifier '{identifier}' was not used in the update "
                f"{text_of(spec)}",
            )
    return root


def _modifier(name: str, operand: Any) -> Modifier:
    modifier = MODIFIERS.get(name)
    if modifier is None:
        raise MongoError(
            Code.FAILED_TO_PARSE,
            f"Unknown modifier: {name}. Expected a valid update modifier or pipeline-style "
            "update specified as an array",
        )
    if operand.__class__ is not dict:
        raise MongoError(
            Code.FAILED_TO_PARSE,
            f"Modifiers operate on fields but we found type {type_name(operand)} instead. "
            f"For example: {{$mod: {{<field>: ...}}}} not {{{element_text(name, operand)}}}",
        )
    return modifier


def _add(root: ObjectNode, modifier: Modifier, field: str, value: Any, build: Build) -> None:
    path = split_update_path(field)
    if not modifier.renames:
        _place(root, path, lambda: modifier.make(field, value, build), build)
        return
    _place(root, path, RenameSource, build)
    if value.__class__ is not str:
        raise MongoError(
            Code.BAD_VALUE,
            f"The 'to' field for $rename must be a string: {element_text(field, value)}",
        )
    _place(root, split_update_path(value), lambda: modifier.make(field, value, build), build)


def split_update_path(field: str) -> Path:
    """Split a path, refusing empty names (56) and misplaced `$` (2)."""
    if not field:
        raise MongoError(Code.EMPTY_FIELD_NAME, "An empty update path is not valid.")
    path = tuple(field.split("."))
    if "" in path:
        raise MongoError(
            Code.EMPTY_FIELD_NAME,
            f"The update path '{field}' contains an empty field name, which is not allowed.",
        )
    if path.count("$") > 1:
        raise MongoError(
            Code.BAD_VALUE,
            f"Too many positional (i.e. '$') elements found in path '{field}'",
        )
    if path[0] == "$":
        raise MongoError(
            Code.BAD_VALUE,
            f"Cannot have positional (i.e. '$') element in the first position in path '{field}'",
        )
    return path


def _place(root: ObjectNode, path: Path, make: Any, build: Build) -> None:
    """Put a leaf at the end of a path, with the nodes that lead there."""
    leaf: Leaf = make()
    node: ObjectNode | ArrayNode = root
    for at, part in enumerate(path[:-1]):
        child = _child(node, _child_name(path, at, build))
        wants_array = is_array_filter(path[at + 1])
        if child is None:
            child = ArrayNode(build.tests) if wants_array else ObjectNode()
            _put_child(node, _child_name(path, at, build), child)
        elif not isinstance(child, ArrayNode if wants_array else ObjectNode):
            _conflict(path, at + 1)
        assert not isinstance(child, Leaf), part
        node = child
    last = _child_name(path, len(path) - 1, build)
    if _child(node, last) is not None:
        _conflict(path, len(path))
    _put_child(node, last, leaf)


def _child_name(path: Path, at: int, build: Build) -> str:
    """Return the name under which a part stands in its node; checks array filters."""
    part = path[at]
    if not is_array_filter(part):
        return part
    if at == 0:
        raise MongoError(
            Code.BAD_VALUE,
            "Cannot have array filter identifier (i.e. '$[<id>]') element in the first position "
            f"in path '{dotted(path)}'",
        )
    identifier = part[2:-1]
    if identifier:
        if identifier not in build.tests:
            raise MongoError(
                Code.BAD_VALUE,
                f"No array filter found for identifier '{identifier}' in path '{dotted(path)}'",
            )
        build.used.add(identifier)
    return identifier


def _child(node: ObjectNode | ArrayNode, name: str) -> Node | None:
    if name == "$" and isinstance(node, ObjectNode):
        return node.positional
    return node.children.get(name)


def _put_child(node: ObjectNode | ArrayNode, name: str, child: Node) -> None:
    if name == "$" and isinstance(node, ObjectNode):
        node.positional = child
    else:
        node.children[name] = child


def _conflict(path: Path, count: int) -> None:
    raise MongoError(
        Code.CONFLICTING_UPDATE_OPERATORS,
        f"Updating the path '{dotted(path)}' would create a conflict at '{dotted(path[:count])}'",
    )


# Array filters.

_IDENTIFIER: Final = re.compile(r"[a-z][a-zA-Z0-9]*\Z")


def parse_array_filters(specs: list[Document], ctx: CompileContext) -> dict[str, ElementTest]:
    """Compile array filters by identifier; raises 9 FailedToParse and 2 BadValue."""
    tests: dict[str, ElementTest] = {}
    for spec in specs:
        name = _identifier_of(spec)
        if not name:
            raise MongoError(
                Code.FAILED_TO_PARSE,
                "Cannot use an expression without a top-level field name in arrayFilters",
            )
        if name in tests:
            raise MongoError(
                Code.FAILED_TO_PARSE,
                f"Found multiple array filters with the same top-level field name {name}",
            )
        tests[name] = _element_test(spec, name, ctx)
    return tests


def _element_test(spec: Document, name: str, ctx: CompileContext) -> ElementTest:
    try:
        matches = compile_filter(spec, ctx).matches
    except MongoError as error:
        raise _within_array_filter(error.code, error.message) from error
    return lambda element, env: matches({name: element}, env)


def _within_array_filter(code: int, message: str) -> MongoError:
    return MongoError(code, f"Error parsing array filter :: caused by :: {message}")


def _identifier_of(spec: Any) -> str:
    """Return the one top-level name that a filter tests, `""` if it tests none."""
    names: list[str] = []
    _collect_names(spec, names)
    distinct = list(dict.fromkeys(names))
    if len(distinct) > 1:
        raise _within_array_filter(
            Code.FAILED_TO_PARSE,
            f"Expected a single top-level field name, found '{distinct[0]}' and '{distinct[1]}'",
        )
    if not distinct:
        return ""
    if _IDENTIFIER.match(distinct[0]) is None:
        raise _within_array_filter(
            Code.BAD_VALUE,
            "The top-level field name must be an alphanumeric string beginning with a lowercase "
            f"letter, found '{distinct[0]}'",
        )
    return distinct[0]


def _collect_names(spec: Any, names: list[str]) -> None:
    for name, value in spec.items():
        if not name.startswith("$"):
            names.append(name.split(".", 1)[0])
        elif name in ("$and", "$nor", "$or") and value.__class__ is list:
            for child in value:
                if child.__class__ is dict:
                    _collect_names(child, names)
        elif name in ("$expr", "$jsonSchema", "$text", "$where"):
            raise _within_array_filter(
                Code.QUERY_FEATURE_NOT_ALLOWED, f"{name} is not allowed in this context"
            )
