"""Looking into a member: `filemd5`, `lockInfo`, `validateDBMetadata`, index builds' quorum."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from bson.binary import Binary

from psdb_base.errors import Code, MongoError
from psdb_base.limits import YIELD_DOCUMENTS
from psdb_base.values import Document
from psdb_query.filters import compile_filter
from psdb_query.sorting import compile_sort
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field, is_number
from psdb_server.namespaces import check_collection_name
from psdb_store.collection import Collection
from shardsvr.collections import existing_collection, member_of
from shardsvr.commands.indexes import check_quorum
from shardsvr.planning import plan_query

_API_V1_MISSING: Final = ("geoHaystack", "text")
"""Index kinds that Stable API version 1 has not."""


async def file_md5(request: Request) -> Reply:
    """Digest a GridFS file: the data of its chunks in order."""
    if request.args.get("partialOk") or "md5state" in request.args:
        raise MongoError(
            Code.NOT_IMPLEMENTED, "filemd5 with partialOk is not supported by PSDB yet"
        )
    member = member_of(request)
    name = f"{check_collection_name(request.db, request.args.get('root', 'fs'))}.chunks"
    digest = hashlib.md5(usedforsecurity=False)
    count = 0
    collection = member.engine.collection(request.db, name)
    if collection is not None:
        context = member.context()
        plan = plan_query(
            collection, compile_filter({"files_id": request.target}, context), member.env(),
            sort=compile_sort({"files_id": 1, "n": 1}, context),
        )
        execution = plan.open()
        while not execution.done:
            for record in execution.next_batch(YIELD_DOCUMENTS):
                digest.update(_data(record.document(), count))
                count += 1
            await request.op.checkpoint(YIELD_DOCUMENTS)
    return {"numChunks": count, "md5": digest.hexdigest()}


def _data(chunk: Document, number: int) -> bytes:
    """Return a chunk's bytes; an error when it is not the one that comes next."""
    found = chunk.get("n")
    if not is_number(found) or found != number:
        raise MongoError(
            Code.OPERATION_FAILED, f"chunks out of order: should have chunk: {number} have:{found}"
        )
    data: Any = chunk.get("data")
    if type(data) is not Binary and type(data) is not bytes:
        raise MongoError(50849, f"The element 'data' of chunk {number} is not binary data")
    return bytes(data)


async def lock_info(request: Request) -> Reply:
    """Tell of the one lock there is: that of `fsync`, and who waits for it."""
    member = member_of(request)
    if not member.gate.locks:
        return {"lockInfo": []}
    granted: Document = {
        "mode": "S", "convertMode": "NONE", "enqueueAtFront": False,
        "compatibleFirst": False, "debugInfo": "fsyncLock",
        "clientInfo": {"desc": "fsyncLockWorker"},
    }
    pending = [
        {
            "mode": "IX", "convertMode": "NONE", "enqueueAtFront": False,
            "compatibleFirst": False, "debugInfo": op.name,
            "clientInfo": {
                "desc": op.connection.context if op.connection is not None else "internal",
                "opid": op.opid,
            },
        }
        for op in member.operations.running.values() if op.waiting
    ]
    return {
        "lockInfo": [
            {"resourceId": "{1: Global, 1}", "granted": [granted], "pending": pending},
        ],
    }


async def validate_db_metadata(request: Request) -> Reply:
    """Tell which views, validators and indexes a client of the Stable API could not use."""
    parameters = request.args["apiParameters"]
    if parameters.get("version") != "1":
        raise MongoError(
            Code.API_VERSION_ERROR, 'API version must be "1" in validateDBMetadata'
        )
    for name in parameters:
        if name not in ("deprecationErrors", "strict", "version"):
            raise MongoError(
                40415, f"BSON field 'validateDBMetadata.apiParameters.{name}' is an unknown field."
            )
    member, args = member_of(request), request.args
    strict = bool(parameters.get("strict"))
    errors: list[Document] = []
    for db in [args["db"]] if args.get("db") else member.engine.databases():
        for collection in member.engine.collections(db):
            if args.get("collection", collection.name) == collection.name:
                errors += _metadata_errors(request, collection, strict=strict)
    return {"apiVersionErrors": errors}


def _metadata_errors(request: Request, c: Collection, *, strict: bool) -> list[Document]:
    from psdb_query.stages.pipeline import compile_pipeline

    found: list[Document] = []
    context = member_of(request).context(api_strict=strict)
    try:
        if c.is_view:
            compile_pipeline(
                c.options.get("pipeline", []), context, database=c.db,
                collection=c.options["viewOn"], place="view",
            )
        elif c.options.get("validator"):
            compile_filter(c.options["validator"], context)
    except MongoError as error:
        found.append(_row(c, error))
    if not strict:
        return found
    return found + [
        _row(c, MongoError(
            Code.API_STRICT_ERROR,
            f"The index with name {index.name} is not allowed in API version 1.",
        ))
        for index in c.indexes.values()
        if any(kind in _API_V1_MISSING for kind in index.key_pattern.values())
    ]


def _row(c: Collection, error: MongoError) -> Document:
    return {
        "ns": c.ns, "code": error.code, "codeName": error.code_name, "errmsg": error.message,
    }


async def set_index_commit_quorum(request: Request) -> Reply:
    """Check a quorum for indexes under construction; a build does not wait for one."""
    collection = existing_collection(request)
    names = request.args["indexNames"]
    if not names or any(type(name) is not str for name in names):
        raise MongoError(Code.BAD_VALUE, "indexNames has to be a list of names")
    for name in names:
        if name not in collection.building:
            raise MongoError(
                Code.INDEX_NOT_FOUND,
                f"Cannot find an index build on collection '{collection.ns}' with the provided "
                f"index names: {name}",
            )
    check_quorum(member_of(request), request.args["commitQuorum"])
    return {}


COMMANDS = (
    Command(
        "filemd5", file_md5,
        (Field("root", "string"), Field("partialOk", "safe bool"), Field("md5state", "any")),
        help="Digest a GridFS file.",
    ),
    Command("lockInfo", lock_info, admin_only=True, help="Locks and who waits for them."),
    Command(
        "setIndexCommitQuorum", set_index_commit_quorum,
        (
            Field("indexNames", "array", required=True),
            Field("commitQuorum", "any", required=True),
        ),
        target="string", help="Change the quorum of an index build.",
    ),
    Command(
        "validateDBMetadata", validate_db_metadata,
        (
            Field("db", "string"), Field("collection", "string"),
            Field("apiParameters", "object", required=True),
        ),
        help="Tell what the Stable API could not use.",
    ),
)
