"""Commands on collections and databases: create, drop, rename, collMod, list."""

from __future__ import annotations

from typing import Any, Final

from bson.int64 import Int64

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.filters import compile_filter
from psdb_server.command import Command, RawReply, Reply, Request
from psdb_server.cursors import BatchSource, Cursor, batch_size_of
from psdb_server.fields import Field
from psdb_server.namespaces import OUT_PREFIX, check_new_collection_name, split_namespace
from psdb_server.replies import cursor_elements
from psdb_store.collection import Collection
from shardsvr import timeseries
from shardsvr.collection_options import changed_options, check_validation, checked_options
from shardsvr.collections import (
    check_database_case,
    create_collection,
    dropped,
    find_collection,
    member_of,
    name_of,
)
from shardsvr.commands.index_options import modify_index
from shardsvr.profiler import PROFILE


async def create(request: Request) -> Reply:
    """Create a collection, a view or a time-series collection."""
    member, name = member_of(request), name_of(request)
    check_new_collection_name(request.db, name)
    options = checked_options(request)
    if "viewOn" in options:
        _check_view(request, options)
    existing = member.engine.collection(request.db, name)
    if existing is not None:
        if existing.options == options and existing.is_view == ("viewOn" in options):
            return {}
        raise MongoError(
            Code.NAMESPACE_EXISTS, f"Collection {existing.ns} already exists."
        )
    check_database_case(member, request.db)
    await create_collection(member, request.db, name, options)
    return {}


def _check_view(request: Request, options: Document) -> None:
    """Check a view's pipeline by compiling it, and refuse cycles."""
    from psdb_query.stages.pipeline import compile_pipeline

    pipeline = options.setdefault("pipeline", [])
    member = member_of(request)
    compile_pipeline(
        pipeline, member.context(scripts=True), database=request.db, collection=options["viewOn"],
        place="view",
    )
    seen = [name_of(request)]
    target: Collection | None = member.engine.collection(request.db, options["viewOn"])
    if options["viewOn"] in seen:
        target = None
        raise _cycle(request)
    while target is not None and target.is_view:
        if _collation(target.options) != _collation(options):
            raise MongoError(
                Code.OPTION_NOT_SUPPORTED_ON_VIEW,
                f"View {request.db}.{name_of(request)} has conflicting collation with view "
                f"{target.ns}",
            )
        if target.name in seen:
            raise _cycle(request)
        seen.append(target.name)
        if target.options["viewOn"] == name_of(request):
            raise _cycle(request)
        target = member.engine.collection(request.db, target.options["viewOn"])


def _collation(options: Document) -> Document | None:
    found: Document | None = options.get("collation")
    return None if found is None or found.get("locale") == "simple" else found


def _cycle(request: Request) -> MongoError:
    return MongoError(
        Code.GRAPH_CONTAINS_CYCLE,
        f"View cycle detected: {request.db}.{request.target}",
    )


async def drop(request: Request) -> Reply:
    """Drop a collection or view; one that is not there is no error."""
    member = member_of(request)
    collection = find_collection(request)
    if collection is None:
        return {}
    if collection.name == PROFILE and member.profiler.level(request.db).level:
        raise MongoError(
            Code.ILLEGAL_OPERATION, "turn off profiling before dropping system.profile collection"
        )
    reply: Document = {"ns": collection.ns}
    if not collection.is_view:
        reply["nIndexesWas"] = len(collection.indexes)
    await member.catalogue(member.engine.drop_collection(collection))
    await member.cursors.fail(collection.ns, dropped(collection))
    member.usage.pop(collection.ns, None)
    return reply


async def drop_database(request: Request) -> Reply:
    """Drop a database with all its collections."""
    if request.target not in (1, 1.0):
        raise MongoError(Code.INVALID_OPTIONS, "have to pass 1 as db parameter")
    if request.db in ("admin", "config", "local"):
        raise MongoError(
            Code.ILLEGAL_OPERATION, f"Dropping the '{request.db}' database is prohibited."
        )
    member = member_of(request)
    if request.db in member.engine.databases():
        collections = member.engine.collections(request.db)
        await member.catalogue(member.engine.drop_database(request.db))
        for collection in collections:
            await member.cursors.fail(collection.ns, dropped(collection))
            member.usage.pop(collection.ns, None)
        member.profiler.forget(request.db)
        return {"dropped": request.db}
    return {}


async def rename_collection(request: Request) -> Reply:
    """Rename a collection, also into another database."""
    member = member_of(request)
    source_db, source_name = split_namespace(str(request.target))
    to_db, to_name = split_namespace(request.args["to"])
    check_new_collection_name(to_db, to_name)
    collection = member.engine.collection(source_db, source_name)
    if collection is None:
        raise MongoError(
            Code.NAMESPACE_NOT_FOUND, f"Source collection {source_db}.{source_name} does not exist"
        )
    if collection.is_view:
        raise MongoError(
            Code.COMMAND_NOT_SUPPORTED_ON_VIEW, f"cannot rename view: {collection.ns}"
        )
    if collection.is_timeseries and not collection.name.startswith(OUT_PREFIX):
        raise MongoError(
            Code.ILLEGAL_OPERATION, f"cannot rename time-series collection: {collection.ns}"
        )
    if (source_db, source_name) == (to_db, to_name):
        raise MongoError(
            Code.ILLEGAL_OPERATION, "Can't rename a collection to itself"
        )
    target = member.engine.collection(to_db, to_name)
    drop_target = bool(request.args.get("dropTarget", False))
    if target is not None and (target.is_view or not drop_target):
        raise MongoError(
            Code.NAMESPACE_EXISTS, "target namespace exists"
        )
    check_database_case(member, to_db)
    change = member.engine.rename_collection(
        collection, to_db, to_name, drop_target=drop_target
    )
    await member.catalogue(change)
    source, uuid = f"{source_db}.{source_name}", collection.uuid.as_uuid()
    await member.cursors.fail(source, MongoError(
        Code.QUERY_PLAN_KILLED,
        f"collection renamed from '{source}' to '{request.args['to']}'. UUID {uuid}",
    ))
    if target is not None:
        await member.cursors.fail(target.ns, dropped(target))
    return {}


async def coll_mod(request: Request) -> Reply:
    """Change a collection's options, a view's definition or an index's options."""
    args, member = request.args, member_of(request)
    collection = find_collection(request)
    if collection is None:
        raise MongoError(Code.NAMESPACE_NOT_FOUND, "ns does not exist")
    check_validation(request)
    if "dryRun" in args and not args.get("index", {}).get("unique"):
        raise MongoError(Code.INVALID_OPTIONS, "dryRun mode is only supported with unique: true")
    reply: Document = {}
    if "index" in args:
        reply |= await modify_index(request, collection, args["index"])
    options = changed_options(request, collection)
    if "viewOn" in options:
        _check_view(request, options)
    if options != collection.options:
        await member.catalogue(member.engine.set_options(collection, options))
    return reply


def describe_collection(collection: Collection, *, name_only: bool) -> Document:
    """Return a collection's row of `listCollections`."""
    kind = "timeseries" if collection.is_timeseries else "collection"
    row: Document = {
        "name": collection.name, "type": "view" if collection.is_view else kind,
    }
    if name_only:
        return row
    row["options"] = {
        key: value for key, value in collection.options.items() if key != "uuid"
    }
    row["info"] = {"readOnly": collection.is_view}
    if not collection.is_view and not collection.is_timeseries:
        row["info"]["uuid"] = collection.uuid
        id_index = collection.indexes.get("_id_")
        if id_index is not None:
            row["idIndex"] = id_index.spec
    return row


async def list_collections(request: Request) -> Reply:
    """List a database's collections, filtered."""
    args, member = request.args, member_of(request)
    chosen = compile_filter(args.get("filter", {}), member.context())
    env = member.env()
    found = member.engine.collections(request.db)
    rows = [
        describe_collection(collection, name_only=False)
        for collection in sorted(found, key=lambda c: c.name)
    ]
    rows += [timeseries.describe(collection) for collection in found if collection.is_timeseries]
    if any(collection.is_view or collection.is_timeseries for collection in found):
        rows.append({
            "name": "system.views", "type": "collection", "options": {},
            "info": {"readOnly": False},
        })
    rows = [row for row in rows if chosen.matches(row, env)]
    if args.get("nameOnly"):
        rows = [{"name": row["name"], "type": row["type"]} for row in rows]
    return await cursor_reply(request, f"{request.db}.$cmd.listCollections", rows)


async def cursor_reply(request: Request, ns: str, rows: list[Document]) -> RawReply:
    """Answer with a cursor over rows that are known already."""
    size = batch_size_of(request.args.get("cursor", {}))
    raws = [bson_codec.encode(row) for row in rows]
    source = BatchSource(_once(raws))
    cursor = Cursor(0, ns, source, request.generic.lsid)
    batch = await cursor.batch(request.op, size) if size else []
    if size and (cursor.exhausted or len(batch) == len(raws)):
        return RawReply(cursor_elements(0, ns, batch, b"firstBatch"))
    opened = request.node.cursors.register(ns, source, request.generic.lsid)
    opened.pending = cursor.pending
    return RawReply(cursor_elements(opened.id, ns, batch, b"firstBatch"))


async def _once(raws: list[bytes]) -> Any:
    if raws:
        yield raws


async def list_databases(request: Request) -> Reply:
    """List databases with sizes."""
    args, member = request.args, member_of(request)
    chosen = compile_filter(args.get("filter", {}), member.context())
    env = member.env()
    rows: list[Document] = []
    for name in sorted(member.engine.databases()):
        collections = member.engine.collections(name)
        size = sum(collection.storage_size_bytes for collection in collections)
        empty = not any(collection.count for collection in collections)
        row = {"name": name, "sizeOnDisk": Int64(size), "empty": empty}
        if chosen.matches(row, env):
            rows.append(row)
    if args.get("nameOnly"):
        return {"databases": [{"name": row["name"]} for row in rows]}
    total = sum(row["sizeOnDisk"] for row in rows)
    return {
        "databases": rows, "totalSize": Int64(total), "totalSizeMb": Int64(total // 2**20),
    }


_CREATE_FIELDS: Final = (
    Field("capped", "safe bool"),
    Field("autoIndexId", "safe bool"),
    Field("idIndex", "object"),
    Field("size", "number"),
    Field("max", "number"),
    Field("storageEngine", "object"),
    Field("validator", "object"),
    Field("validationLevel", "string"),
    Field("validationAction", "string"),
    Field("indexOptionDefaults", "object"),
    Field("viewOn", "string"),
    Field("pipeline", "array"),
    Field("collation", "object"),
    Field("changeStreamPreAndPostImages", "object"),
    Field("timeseries", "object"),
    Field("clusteredIndex", "any"),
    Field("expireAfterSeconds", "any"),
    Field("encryptedFields", "object"),
    Field("temp", "safe bool"),
)
_LIST_FIELDS: Final = (
    Field("filter", "object"),
    Field("cursor", "object"),
    Field("nameOnly", "safe bool"),
    Field("authorizedCollections", "safe bool"),
)

COMMANDS = (
    Command(
        "collMod", coll_mod,
        (
            Field("index", "object"),
            Field("dryRun", "safe bool"),
            Field("validator", "object"),
            Field("validationLevel", "string"),
            Field("validationAction", "string"),
            Field("viewOn", "string"),
            Field("pipeline", "array"),
            Field("cappedSize", "int"),
            Field("cappedMax", "int"),
            Field("changeStreamPreAndPostImages", "object"),
            Field("expireAfterSeconds", "any"),
            Field("timeseries", "object"),
        ),
        writes=True, write_concern=True, api_v1=True, help="Change options of a collection.",
    ),
    Command(
        "create", create, _CREATE_FIELDS, writes=True, write_concern=True, api_v1=True,
        help="Create a collection or a view.",
    ),
    Command("drop", drop, writes=True, write_concern=True, api_v1=True, help="Drop a collection."),
    Command(
        "dropDatabase", drop_database, writes=True, write_concern=True, api_v1=True,
        help="Drop a database.",
    ),
    Command(
        "listCollections", list_collections, _LIST_FIELDS, api_v1=True, secondary_ok=False,
        help="List a database's collections.",
    ),
    Command(
        "listDatabases", list_databases,
        (
            Field("filter", "object"),
            Field("nameOnly", "safe bool"),
            Field("authorizedDatabases", "safe bool"),
        ),
        admin_only=True, api_v1=True, secondary_ok=False, help="List databases.",
    ),
    Command(
        "renameCollection", rename_collection,
        (
            Field("to", "string", required=True),
            Field("dropTarget", "safe bool"),
        ),
        admin_only=True, writes=True, write_concern=True, help="Rename a collection.",
    ),
)
