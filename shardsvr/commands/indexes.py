"""`createIndexes`, `dropIndexes`, `listIndexes`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.describe import text_of
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field, is_number, type_name
from psdb_store import index_spec
from psdb_store.collection import Collection, Index
from shardsvr import timeseries
from shardsvr.collections import (
    collection_for_write,
    existing_collection,
    find_collection,
    full_collation,
    member_of,
    name_of,
)
from shardsvr.commands.catalogue import cursor_reply
from shardsvr.member import Member
from shardsvr.patience import waiting


def _check_inherited(collection: Collection, specs: list[Document]) -> None:
    """Refuse to take the collection's collation over for kinds of indexes that have none.

    Such an index is made with `{locale: "simple"}`, as MongoDB's manual says.
    """
    inherited = collection.options.get("collation")
    if inherited is None:
        return
    for spec in specs:
        kind = index_spec.index_kind(spec["key"])
        if kind in ("2d", "text") and "collation" not in spec:
            raise MongoError(
                Code.CANNOT_CREATE_INDEX,
                f"Index type '{kind}' does not support collation: {text_of(inherited)}",
            )


async def create_indexes(request: Request) -> Reply:
    """Create indexes; those that exist already are skipped."""
    member, name = member_of(request), name_of(request)
    specs = request.args["indexes"]
    if not specs:
        raise MongoError(Code.BAD_VALUE, "Must specify at least one index to create")
    if "commitQuorum" in request.args:
        check_quorum(member, request.args["commitQuorum"])
    ignore_unknown = request.args.get("ignoreUnknownIndexOptions", False)
    checked = [index_spec.check(spec, ignore_unknown=ignore_unknown) for spec in specs]
    existed = member.engine.collection(request.db, name) is not None
    collection = await collection_for_write(member, request.db, name)
    known = frozenset(collection.indexes)
    if collection.is_timeseries:
        for spec in checked:
            timeseries.check_index(collection, spec)
    _check_inherited(collection, specs)
    for spec in checked:
        if "collation" in spec:
            spec["collation"] = full_collation(member, spec["collation"])
    _check_together(collection, checked)
    try:
        for number, spec in enumerate(checked, 1):
            note = _progress(request, number, len(checked))
            build = member.engine.create_index(collection, spec, note, waiting)
            await member.catalogue(build, works=True)
    except MongoError:
        await _take_back(member, collection, checked, known)
        raise
    reply: Document = {
        "numIndexesBefore": len(known),
        "numIndexesAfter": len(collection.indexes),
        "createdCollectionAutomatically": not existed,
    }
    if reply["numIndexesAfter"] == len(known):
        reply["note"] = "all indexes already exist"
    elif "commitQuorum" in request.args:
        reply["commitQuorum"] = request.args["commitQuorum"]
    return reply


def check_quorum(member: Member, quorum: Any) -> None:
    """Check `commitQuorum`: no more members than the set has may be asked for."""
    config = None if member.replica_set is None else member.replica_set.config
    voters = 1 if config is None else sum(one.votes for one in config.members)
    if type(quorum) is str:
        if quorum not in ("majority", "votingMembers"):
            raise MongoError(
                Code.UNKNOWN_REPL_WRITE_CONCERN,
                f"No write concern mode named '{quorum}' found in replica set configuration",
            )
    elif not is_number(quorum):
        raise MongoError(
            Code.FAILED_TO_PARSE, f"commitQuorum has to be a string or a number {type_name(quorum)}"
        )
    elif not 0 <= quorum <= voters:
        if quorum < 0:
            raise MongoError(
                Code.FAILED_TO_PARSE,
                "commitQuorum has to be a non-negative number and not greater than 50",
            )
        raise MongoError(
            Code.UNSATISFIABLE_COMMIT_QUORUM,
            f"Commit quorum cannot be satisfied by the replica set: {text_of(quorum)}",
        )


def _check_together(collection: Collection, checked: list[Document]) -> None:
    """Check the specifications against the indexes there are, and each other, before any is built.

    What is there already, or stands twice in the command, is left for the builds to find.
    """
    present = [index.spec for index in collection.indexes.values()]
    for spec in checked:
        if index_spec.same_or_conflict(present, spec) is None:
            present.append(spec)


def _progress(request: Request, number: int, count: int) -> Callable[[int, int], None]:
    """Show a build in `currentOp`, and let it be killed and timed out."""

    def note(done: int, total: int) -> None:
        percent = 100 * done // max(total, 1)
        which = f" ({number} of {count})" if count > 1 else ""
        request.op.progress = {
            "msg": f"Index Build: scanning collection{which} Index Build: scanning collection: "
            f"{done}/{total} {percent}%",
            "done": done,
            "total": total,
        }
        request.op.check()

    return note


async def _take_back(
    member: Member, collection: Collection, checked: list[Document], known: frozenset[str]
) -> None:
    """Drop what a failed command has built: it builds all of its indexes or none."""
    for spec in checked:
        name = spec["name"]
        if name not in known and name in collection.indexes and not collection.dropped:
            await member.catalogue(member.engine.drop_index(collection, name))


async def drop_indexes(request: Request) -> Reply:
    """Drop indexes by name, names, key pattern, or all but `_id_` (`*`)."""
    member = member_of(request)
    collection = find_collection(request)
    if collection is None:
        raise MongoError(Code.NAMESPACE_NOT_FOUND, f"ns not found {request.op.ns}")
    collection = existing_collection(request)
    was = len(collection.indexes) + len(collection.building)
    target = request.args["index"]
    reply: Document = {"nIndexesWas": was}
    if target == "*":
        names = [index.name for index in _known(collection) if index.name != "_id_"]
        reply["msg"] = "non-_id indexes dropped for collection"
    else:
        names = []
        for item in _as_list(target):
            if collection.is_clustered and _is_clustered_index(collection, item):
                raise MongoError(_CLUSTERED, "It is illegal to drop the clusteredIndex")
            names.append(_find(collection, item).name)
    for name in names:
        if name == "_id_":
            raise MongoError(Code.INVALID_OPTIONS, "cannot drop _id index")
    for name in names:
        # The end of a build may have taken others of its command along.
        if name in collection.indexes or name in collection.building:
            await member.catalogue(member.engine.drop_index(collection, name))
    return reply


_CLUSTERED: Final = 5979800


def _is_clustered_index(collection: Collection, target: Any) -> bool:
    spec = collection.options["clusteredIndex"]
    return bool(target == (spec["key"] if type(target) is dict else spec["name"]))


def _known(collection: Collection) -> list[Index]:
    """Return a collection's indexes, those that are being built as well."""
    return [*collection.indexes.values(), *collection.building.values()]


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
        index = collection.indexes.get(target) or collection.building.get(target)
        if index is None:
            raise MongoError(
                Code.INDEX_NOT_FOUND, f"index not found with name [{target}]"
            )
        return index
    found = [
        index for index in _known(collection)
        if list(index.key_pattern.items()) == list(target.items())
    ]
    if not found:
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
    if collection.is_clustered:
        rows[0] = {**collection.options["clusteredIndex"], "clustered": True}
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
        secondary_ok=False,
        help="List a collection's indexes.",
    ),
)
