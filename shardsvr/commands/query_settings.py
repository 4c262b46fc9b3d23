"""`setQuerySettings` and `removeQuerySettings`."""

from __future__ import annotations

from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.describe import type_name
from psdb_query.query_shapes import hash_of, shape_of_command
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field
from psdb_server.generic import GENERIC_FIELDS
from shardsvr.collections import member_of
from shardsvr.query_settings import (
    INTERNAL_DATABASES,
    KINDS,
    NEVER_REJECTED,
    QUERY_SETTINGS,
    namespace_of,
)

_FRAMEWORKS: Final = ("classic", "sbe")


def _wrong_type(field: str, value: Any, expected: str) -> MongoError:
    return MongoError(
        Code.TYPE_MISMATCH,
        f"BSON field '{field}' is the wrong type '{type_name(value)}', expected type '{expected}'",
    )


# -- what a command is about ---------------------------------------------------------------------


def _shape_hash(request: Request) -> tuple[str, Document | None]:
    """Return the hash that a command names or that its query has, and the query."""
    target = request.target
    if type(target) is str:
        if len(target) != 64 or any(digit not in "0123456789ABCDEFabcdef" for digit in target):
            raise MongoError(
                Code.BAD_VALUE, f"A query shape hash has 64 hexadecimal digits, got: {target}"
            )
        return target.upper(), None
    if type(target) is not dict:
        name = f"{request.command.name}.{request.command.name}"
        raise MongoError(
            Code.TYPE_MISMATCH,
            f"BSON field '{name}' is the wrong type '{type_name(target)}', expected types "
            "'[string, object]'",
        )
    kind = next(iter(target), "")
    if kind not in KINDS:
        raise MongoError(7746402, f"QueryShape can not be computed for command: {kind}")
    db = target.get("$db")
    if type(db) is not str:
        raise MongoError(40414, f"BSON field '{kind}.$db' is missing but a required field")
    if db in INTERNAL_DATABASES:
        raise MongoError(
            8584901, f"setQuerySettings is not allowed on the internal database '{db}'"
        )
    own = {name: value for name, value in target.items() if name not in GENERIC_FIELDS}
    args = request.node.find_command(kind).field_set.parse(target, GENERIC_FIELDS)
    command: Document = {kind: own[kind], **args}
    _check_query(kind, command)
    return hash_of(shape_of_command(command, db)), {**own, "$db": db}


def _check_query(kind: str, command: Document) -> None:
    spec = command.get("filter" if kind == "find" else "query")
    if kind == "find" and type(spec) is dict and len(spec) == 1 and "_id" in spec:
        value = spec["_id"]
        operators = type(value) is dict and next(iter(value), "").startswith("$")
        if not operators or list(value) == ["$eq"]:
            raise MongoError(7746606, "setQuerySettings command cannot be used on IDHACK queries")


# -- settings --------------------------------------------------------------------------------------


def _check_settings(settings: Document) -> Document:
    """Return settings with their index hints as a list."""
    out: Document = {}
    for name, value in settings.items():
        where = f"setQuerySettings.settings.{name}"
        if name == "indexHints":
            out[name] = _check_hints(value, where)
        elif name == "queryFramework":
            if type(value) is not str:
                raise _wrong_type(where, value, "string")
            if value not in _FRAMEWORKS:
                raise MongoError(
                    Code.BAD_VALUE,
                    f"Enumeration value '{value}' for field '{where}' is not a valid value.",
                )
            out[name] = value
        elif name == "reject":
            if type(value) is not bool:
                raise _wrong_type(where, value, "bool")
            out[name] = value
        elif name == "comment":
            out[name] = value
        else:
            raise MongoError(40415, f"BSON field '{where}' is an unknown field.")
    return out


def _check_hints(value: Any, where: str) -> list[Document]:
    hints = value if type(value) is list else [value]
    seen: set[str] = set()
    for hint in hints:
        if type(hint) is not dict:
            raise _wrong_type(where, hint, "object")
        for name in hint:
            if name not in ("allowedIndexes", "ns"):
                raise MongoError(40415, f"BSON field '{where}.{name}' is an unknown field.")
        ns = hint.get("ns")
        if type(ns) is not dict or type(ns.get("db")) is not str or type(ns.get("coll")) is not str:
            raise MongoError(
                7746600, "index hint specifications need a namespace: {ns: {db: …, coll: …}}"
            )
        indexes = hint.get("allowedIndexes")
        if type(indexes) is not list:
            raise _wrong_type(f"{where}.allowedIndexes", indexes, "array")
        for one in indexes:
            if type(one) not in (dict, str) or not one:
                raise MongoError(
                    Code.FAILED_TO_PARSE, "Hint must be a string or an object that is not empty"
                )
        place = namespace_of("", hint)
        if place in seen:
            raise MongoError(
                7746608, f"In query settings, index hints are given twice for '{place}'"
            )
        seen.add(place)
    return hints


async def set_query_settings(request: Request) -> Reply:
    """Add settings of a query shape, or change those it has field by field."""
    member = member_of(request)
    shape_hash, query = _shape_hash(request)
    given = _check_settings(request.args["settings"])
    rows = member.settings.query_settings()
    old = rows.get(shape_hash)
    if old is None and query is None:
        raise MongoError(
            7746401,
            "New query settings can only be created with a query instance, but a query hash was "
            "given.",
        )
    settings = {**(old["settings"] if old else {}), **given}
    if not any(value not in (False, []) for value in settings.values()):
        raise MongoError(
            7746604, "the resulting settings cannot be empty or contain only default values"
        )
    representative = query if query is not None else old["representativeQuery"] if old else {}
    if settings.get("reject") and _looks_inside(representative):
        raise MongoError(
            8705200, "Query contains stage that cannot be rejected by a query setting"
        )
    row: Document = {
        "queryShapeHash": shape_hash,
        "settings": settings,
        "representativeQuery": representative,
    }
    await _keep(request, {**rows, shape_hash: row})
    return row


def _looks_inside(query: Document) -> bool:
    pipeline = query.get("pipeline")
    if type(pipeline) is not list:
        return False
    return any(type(stage) is dict and not NEVER_REJECTED.isdisjoint(stage) for stage in pipeline)


async def remove_query_settings(request: Request) -> Reply:
    """Take the settings of a query shape away."""
    shape_hash, _query = _shape_hash(request)
    rows = member_of(request).settings.query_settings()
    if shape_hash not in rows:
        raise MongoError(7746701, "A matching query settings entry does not exist")
    await _keep(request, {name: row for name, row in rows.items() if name != shape_hash})
    return {}


async def _keep(request: Request, rows: dict[str, Document]) -> None:
    member = member_of(request)
    stored: Document = {
        "clusterParameterTime": member.clock.tick(), "settingsArray": list(rows.values()),
    }
    await member.settings.put(QUERY_SETTINGS, stored)


def describe_settings(request_rows: dict[str, Document], *, debug: bool) -> list[Document]:
    """Return the rows that `$querySettings` shows."""
    if not debug:
        return list(request_rows.values())
    out: list[Document] = []
    for row in request_rows.values():
        query = row["representativeQuery"]
        command = {name: value for name, value in query.items() if name != "$db"}
        out.append({**row, "debugQueryShape": shape_of_command(command, query["$db"])})
    return out


COMMANDS = (
    Command(
        "removeQuerySettings", remove_query_settings, admin_only=True, writes=True,
        write_concern=True, help="Forget what was set for the queries of a shape.",
    ),
    Command(
        "setQuerySettings", set_query_settings, (Field("settings", "object", required=True),),
        admin_only=True, writes=True, write_concern=True,
        help="Set indexes and rejection for the queries of a shape.",
    ),
)
