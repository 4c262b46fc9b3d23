"""`createIndexes`, `dropIndexes`, `listIndexes`."""

from __future__ import annotations

from typing import Any

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field, type_name
from psdb_store import index_spec
from psdb_store.collection import Collection, Index
from shardsvr.collections import (
    collection_for_write,
    existing_collection,
    find_collection,
    full_collation,
    member_of,
    name_of,
)
from shardsvr.commands.catalogue import cursor_reply


async def create_indexes(request: Request) -> Reply:
    """Create indexes; those that exist already are skipped."""
    member, name = member_of(request), name_of(request)
    specs = request.args["indexes"]
    if not specs:
        raise MongoError(Code.BAD_VALUE, "Must specify at least one index to create")
    ignore_unknown = request.args.get("ignoreUnknownIndexOptions", False)
    checked = [index_spec.check(spec, ignore_unknown=ignore_unknown) for spec in specs]
    existed = member.engine.collection(request.db, name) is not None
    collection = await collection_for_write(member, request.db, name)
    before = len(collection.indexes)
    for spec in checked:
        if "collation" in spec:
            spec["collation"] = full_collation(member, spec["collation"])
        await member.catalogue(member.engine.create_index(collection, spec))
    reply: Document = {
        "numIndexesBefore": before,
        "numIndexesAfter": len(collection.indexes),
        "createdCollectionAutomatically": not existed,
    }
    if reply["numIndexesAfter"] == before:
        reply["note"] = "all indexes already exist"
    return reply


async def drop_indexes(request: Request) -> Reply:
    """Drop indexes by name, names, key pattern, or all but `_id_` (`*`)."""
    member = member_of(request)
    collection = find_collection(request)
    if collection is None:
        raise MongoError(Code.NAMESPACE_NOT_FOUND, f"ns not found {request.op.ns}")
    collection = existing_collection(request)
    was = len(collection.indexes)
    target = request.args["index"]
    reply: Document = {"nIndexesWas": was}
    if target == "*":
        names = [name for name in collection.indexes if name != "_id_"]
        reply["msg"] = "non-_id indexes dropped for collection"
    else:
        names = [_find(collection, item).name for item in _as_list(target)]
    for name in names:
        if name == "_id_":
            raise MongoError(Code.INVALID_OPTIONS, "cannot drop _id index")
    for name in names:
        await member.catalogue(member.engine.drop_index(collection, name))
    return reply


def _as_list(target: Any) -> list[Any]:
    if type(target) is list:
        if any(type(item) is not str for item in target):
            raise MongoError(
                Code.TYPE_MISMATCH,
                "dropIndexes 'index' must be a string, an object, or an array of strings",
            )
        return target
    if type(target) in (str, dict):
        return [target]
    raise MongoError(
        Code.TYPE_MISMATCH,
        f"BSON field 'dropIndexes.index' is the wrong type '{type_name(target)}', expected types "
        "'[string, object, array']",
    )


def _find(collection: Collection, target: Any) -> Index:
    """Find an index by name or key pattern."""
    if type(target) is str:
        index = collection.indexes.get(target)
        if index is None:
            raise MongoError(
                Code.INDEX_NOT_FOUND, f"index not found with name [{target}]"
            )
        return index
    found = [
        index for index in collection.indexes.values()
        if list(index.key_pattern.items()) == list(target.items())
    ]
    if not found:
        from psdb_query.describe import text_of

        raise MongoError(Code.INDEX_NOT_FOUND, f"can't find index with key: {text_of(target)}")
    if len(found) > 1:
        raise MongoError(
            Code.AMBIGUOUS_INDEX_KEY_PATTERN,
            f"{len(found)} indexes found for key pattern; drop by name instead",
        )
    return found[0]


async def list_indexes(request: Request) -> Reply:
    """List a collection's indexes."""
    collection = find_collection(request)
    if collection is None:
        raise MongoError(
            Code.NAMESPACE_NOT_FOUND, f"ns does not exist: {request.op.ns}"
        )
    collection = existing_collection(request)
    rows = [describe_index(index) for index in collection.indexes.values()]
    return await cursor_reply(request, collection.ns, rows)


def describe_index(index: Index) -> Document:
    """Return an index as `listIndexes` shows it."""
    spec = dict(index.spec)
    return {"v": spec.pop("v", 2), "key": spec.pop("key"), "name": spec.pop("name"), **spec}


COMMANDS = (
    Command(
        "createIndexes", create_indexes,
        (
            Field("indexes", "objects", required=True),
            Field("commitQuorum", "any"),
            Field("ignoreUnknownIndexOptions", "safe bool"),
        ),
        writes=True, write_concern=True, api_v1=True, help="Create indexes.",
    ),
    Command(
        "deleteIndexes", drop_indexes, (Field("index", "any", required=True),), writes=True,
        write_concern=True, help="The old name of dropIndexes.",
    ),
    Command(
        "dropIndexes", drop_indexes, (Field("index", "any", required=True),), writes=True,
        write_concern=True, api_v1=True, help="Drop indexes.",
    ),
    Command(
        "listIndexes", list_indexes, (Field("cursor", "object"),), api_v1=True,
        help="List a collection's indexes.",
    ),
)
