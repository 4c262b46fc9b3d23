"""`collMod` of an index: hidden, expiry, and the two steps to a unique index.

`prepareUnique` makes an index refuse new duplicates while old ones may stay. `unique` looks for
those that are left, and makes the index unique when there are none: no new one can appear
between the look and the change.
"""

from __future__ import annotations

from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_base.limits import YIELD_DOCUMENTS
from psdb_base.values import Document
from psdb_query.describe import text_of
from psdb_server.command import Request
from psdb_server.fields import Field, FieldSet
from psdb_store.collection import Collection
from psdb_store.index import Index
from shardsvr.collections import member_of
from shardsvr.timeseries import check_seconds

_CHANGES: Final = ("expireAfterSeconds", "hidden", "prepareUnique", "unique")
_FIELDS: Final = FieldSet("collMod.index", (
    Field("name", "string"), Field("keyPattern", "object"), Field("expireAfterSeconds", "number"),
    Field("hidden", "safe bool"), Field("prepareUnique", "safe bool"),
    Field("unique", "safe bool"),
))  # fmt: skip
_VIOLATION_BYTES_MAX: Final = 8 * 1024 * 1024
_RID_BYTES: Final = 8


async def modify_index(request: Request, collection: Collection, change: Document) -> Document:
    """Change the options of an index; return the reply's fields.

    Raises:
        MongoError: 27 without the index, 72 for what may not be changed so, 359 for a unique
            index over duplicates, with `violations`.

    """
    member = member_of(request)
    change = _FIELDS.parse(change)
    index = _find(collection, change)
    changes: Document = {key: change[key] for key in _CHANGES if key in change}
    if not changes:
        raise MongoError(
            Code.INVALID_OPTIONS, "no expireAfterSeconds, hidden, unique, or prepareUnique field"
        )
    if "hidden" in changes and index.name == "_id_":
        raise MongoError(Code.BAD_VALUE, "can't hide _id index")
    _check_expiry(index, changes)
    reply: Document = {}
    if "unique" in changes:
        if not await _may_become_unique(request, collection, index, changes):
            del changes["unique"]
        else:
            changes["prepareUnique"] = False
            reply["unique_new"] = True
    if request.args.get("dryRun"):
        return {}
    for key in ("expireAfterSeconds", "hidden"):
        if key in changes:
            reply[f"{key}_old"] = index.spec.get(key, False if key == "hidden" else None)
            reply[f"{key}_new"] = changes[key]
    if "prepareUnique" in change:
        reply["prepareUnique_old"] = index.prepare_unique
        reply["prepareUnique_new"] = bool(change["prepareUnique"])
    if changes:
        await member.catalogue(member.engine.set_index_options(collection, index.name, changes))
    return {key: value for key, value in reply.items() if value is not None}


def _find(collection: Collection, change: Document) -> Index:
    if ("name" in change) == ("keyPattern" in change):
        raise MongoError(
            Code.INVALID_OPTIONS,
            "must specify either index name or key pattern"
            if "name" not in change
            else "Cannot specify both key pattern and name.",
        )
    wanted = change.get("keyPattern")
    for index in collection.indexes.values():
        if index.name == change.get("name"):
            return index
        if wanted is not None and list(index.key_pattern.items()) == list(wanted.items()):
            return index
    named = change.get("name", text_of(wanted))
    raise MongoError(
        Code.INDEX_NOT_FOUND, f"cannot find index {named} for ns {collection.ns}"
    )


def _check_expiry(index: Index, changes: Document) -> None:
    if "expireAfterSeconds" not in changes:
        return
    if index.name == "_id_":
        raise MongoError(
            Code.INVALID_OPTIONS, "the _id field does not support TTL indexes"
        )
    if len(index.key_pattern) > 1:
        raise MongoError(
            Code.INVALID_OPTIONS,
            "TTL indexes are single-field indexes, compound indexes do not support TTL",
        )
    check_seconds(float(str(changes["expireAfterSeconds"])))


async def _may_become_unique(
    request: Request, collection: Collection, index: Index, changes: Document
) -> bool:
    """Tell whether an index is to be made unique now; False when it is already."""
    if not changes["unique"]:
        raise MongoError(Code.INVALID_OPTIONS, "'unique: false' is not supported")
    if index.unique:
        return False
    if not index.prepare_unique and not request.args.get("dryRun"):
        raise MongoError(
            Code.INVALID_OPTIONS,
            "Cannot make index unique with { collMod.index.unique: true } before "
            "prepareUnique: true has been set on it",
        )
    violations = await _violations(request, collection, index)
    if violations:
        raise MongoError(
            Code.CANNOT_CONVERT_INDEX_TO_UNIQUE,
            "Cannot convert the index to unique. Please resolve conflicting documents before "
            "running collMod again.",
            extra={"violations": violations},
        )
    return True


async def _violations(
    request: Request, collection: Collection, index: Index
) -> list[Document]:
    """Return the ids of documents that share a key, a group for each key."""
    groups: list[Document] = []
    size = 0
    held: list[int] = []
    last: bytes | None = None
    after: tuple[bytes, int] | None = None

    def close() -> None:
        nonlocal size
        if len(held) > 1 and size < _VIOLATION_BYTES_MAX:
            ids = [_id_of(collection, rid) for rid in held]
            size += len(repr(ids))
            groups.append({"ids": ids})

    while True:
        found = index.scan(b"", b"", after=after, limit=YIELD_DOCUMENTS)
        for key, rid in found:
            if key != last:
                close()
                last, held = key, []
            held.append(rid)
        if not found:
            close()
            return groups
        after = found[-1]
        await request.op.checkpoint(YIELD_DOCUMENTS)


def _id_of(collection: Collection, rid: int) -> Any:
    record = collection.get(rid)
    return None if record is None else record.document().get("_id")
