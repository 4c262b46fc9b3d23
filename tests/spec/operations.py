"""Operations on entities: for each kind of entity, a table from name to what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from gridfs import GridFSBucket
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database
from spec.arguments import call, pairs, search_index_model
from spec.cases import Json
from spec.entities import UnsupportedError, concerns, transaction_options

if TYPE_CHECKING:
    from spec.unified import Run

Handler = Callable[["Run", Any, Json], Any]


def _method(name: str, /, **renames: str) -> Handler:
    """Call the driver's method as it is."""

    def run(run: Run, target: Any, arguments: Json) -> Any:
        return call(getattr(target, name), arguments, run.entities, renames)

    return run


def _listed(name: str, /, **renames: str) -> Handler:
    """Call the driver's method and read its cursor to the end."""

    def run(run: Run, target: Any, arguments: Json) -> Any:
        return list(call(getattr(target, name), arguments, run.entities, renames))

    return run


def _absent(_run: Run, _target: Any, _arguments: Json) -> Any:
    raise UnsupportedError("the driver has no such operation")


def _reordered(arguments: Json) -> Json:
    """Return an operation's command with its name first."""
    name = arguments["commandName"]
    command = arguments["command"]
    return {name: command[name], **command}


def _rest(run: Run, arguments: Json, *used: str) -> Json:
    """Return the driver's arguments for what an operation has beside `used`."""
    rest = {name: value for name, value in arguments.items() if name not in used}
    converted: Json = {}
    if "session" in rest:
        converted["session"] = run.entities.session(rest.pop("session"))
    return converted | concerns(rest)


def _run_command(run: Run, database: Database[Any], arguments: Json) -> Any:
    rest = _rest(run, arguments, "command", "commandName")
    return database.command(_reordered(arguments), **rest)


def _command_cursor(run: Run, database: Database[Any], arguments: Json) -> Any:
    used = ("command", "commandName", "batchSize", "maxTimeMS", "comment", "cursorType")
    rest = _rest(run, arguments, *used)
    if "maxTimeMS" in arguments:
        rest["max_await_time_ms"] = arguments["maxTimeMS"]
    if "comment" in arguments:
        rest["comment"] = arguments["comment"]
    cursor = database.cursor_command(_reordered(arguments), **rest)
    if "batchSize" in arguments:
        cursor.batch_size(arguments["batchSize"])
    return cursor


def _run_cursor_command(run: Run, database: Database[Any], arguments: Json) -> Any:
    return list(_command_cursor(run, database, arguments))


def _create_collection(run: Run, database: Database[Any], arguments: Json) -> Any:
    options = {**arguments, "check_exists": False}
    return call(database.create_collection, options, run.entities, {"collection": "name"})


def _drop_collection(run: Run, database: Database[Any], arguments: Json) -> Any:
    return call(
        database.drop_collection, arguments, run.entities, {"collection": "name_or_collection"}
    )


def _modify_collection(run: Run, database: Database[Any], arguments: Json) -> Any:
    options = dict(arguments)
    command = {"collMod": options.pop("collection")}
    rest = _rest(run, {k: options.pop(k) for k in ("session",) if k in options})
    return database.command({**command, **options}, **rest)


def _create_index(run: Run, collection: Collection[Any], arguments: Json) -> Any:
    options = {**arguments, "keys": pairs(arguments["keys"])}
    return call(collection.create_index, options, run.entities)


def _create_search_index(run: Run, collection: Collection[Any], arguments: Json) -> Any:
    return collection.create_search_index(search_index_model(arguments["model"]))


def _list_search_indexes(run: Run, collection: Collection[Any], arguments: Json) -> Any:
    options = {**arguments, **arguments.get("aggregationOptions", {})}
    options.pop("aggregationOptions", None)
    return list(call(collection.list_search_indexes, options, run.entities))


def _find_cursor(run: Run, collection: Collection[Any], arguments: Json) -> Any:
    return Peeked(call(collection.find, arguments, run.entities))


def _drop_database(run: Run, client: MongoClient[Any], arguments: Json) -> Any:
    return call(
        client.drop_database, arguments, run.entities, {"database": "name_or_database"}
    )


class Peeked:
    """A find cursor whose command was sent already, by asking for its first document."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self._first = [document for document in [next(cursor, None)] if document is not None]

    def next(self) -> Any:
        """Return the next document; StopIteration at the end."""
        return self._first.pop() if self._first else self._cursor.next()

    def close(self) -> None:
        """Close the cursor."""
        self._cursor.close()


def _iterate(_run: Run, cursor: Any, _arguments: Json) -> Any:
    return cursor.next()


def _iterate_once(_run: Run, cursor: Any, _arguments: Json) -> Any:
    return cursor.try_next()


def _start_transaction(_run: Run, session: ClientSession, arguments: Json) -> Any:
    session.start_transaction(**transaction_options(arguments))


def _with_transaction(run: Run, session: ClientSession, arguments: Json) -> Any:
    operations = arguments["callback"]
    options = {name: value for name, value in arguments.items() if name != "callback"}

    def callback(_session: ClientSession) -> None:
        for operation in operations:
            run.operation(operation, raises=True)

    return session.with_transaction(callback, **transaction_options(options))


def _snapshot_time(_run: Run, session: ClientSession, _arguments: Json) -> Any:
    raise UnsupportedError("the driver's session does not tell its snapshot time")


def _download(_run: Run, bucket: GridFSBucket, arguments: Json) -> Any:
    return bucket.open_download_stream(arguments["id"]).read()


def _download_by_name(_run: Run, bucket: GridFSBucket, arguments: Json) -> Any:
    revision = arguments.get("revision", -1)
    return bucket.open_download_stream_by_name(arguments["filename"], revision=revision).read()


def _upload(_run: Run, bucket: GridFSBucket, arguments: Json) -> Any:
    options: Json = {
        {"chunkSizeBytes": "chunk_size_bytes"}.get(name, name): value
        for name, value in arguments.items() if name not in ("id", "source")
    }
    source = bytes.fromhex(arguments["source"]["$$hexBytes"])
    if "id" in arguments:
        return bucket.upload_from_stream_with_id(arguments["id"], source=source, **options)
    return bucket.upload_from_stream(source=source, **options)


_COLLECTION: Final[dict[str, Handler]] = {
    "aggregate": _listed("aggregate"),
    "bulkWrite": _method("bulk_write"),
    "count": _absent,
    "countDocuments": _method("count_documents"),
    "createChangeStream": _method("watch"),
    "createFindCursor": _find_cursor,
    "createIndex": _create_index,
    "createSearchIndex": _create_search_index,
    "createSearchIndexes": _method("create_search_indexes"),
    "deleteMany": _method("delete_many"),
    "deleteOne": _method("delete_one"),
    "distinct": _method("distinct", fieldName="key"),
    "drop": _method("drop"),
    "dropIndex": _method("drop_index", name="index_or_name"),
    "dropIndexes": _method("drop_indexes"),
    "dropSearchIndex": _method("drop_search_index"),
    "estimatedDocumentCount": _method("estimated_document_count"),
    "find": _listed("find"),
    "findOne": _method("find_one"),
    "findOneAndDelete": _method("find_one_and_delete"),
    "findOneAndReplace": _method("find_one_and_replace"),
    "findOneAndUpdate": _method("find_one_and_update"),
    "insertMany": _method("insert_many"),
    "insertOne": _method("insert_one"),
    "listIndexNames": _absent,
    "listIndexes": _listed("list_indexes"),
    "listSearchIndexes": _list_search_indexes,
    "mapReduce": _absent,
    "rename": _method("rename", to="new_name"),
    "replaceOne": _method("replace_one"),
    "updateMany": _method("update_many"),
    "updateOne": _method("update_one"),
    "updateSearchIndex": _method("update_search_index"),
}
_DATABASE: Final[dict[str, Handler]] = {
    "aggregate": _listed("aggregate"),
    "createChangeStream": _method("watch"),
    "createCollection": _create_collection,
    "createCommandCursor": _command_cursor,
    "dropCollection": _drop_collection,
    "listCollectionNames": _method("list_collection_names"),
    "listCollectionObjects": _absent,
    "listCollections": _listed("list_collections"),
    "modifyCollection": _modify_collection,
    "runCommand": _run_command,
    "runCursorCommand": _run_cursor_command,
}
_CLIENT: Final[dict[str, Handler]] = {
    "clientBulkWrite": _method("bulk_write"),
    "close": _method("close"),
    "createChangeStream": _method("watch"),
    "dropDatabase": _drop_database,
    "listDatabaseNames": _method("list_database_names"),
    "listDatabaseObjects": _absent,
    "listDatabases": _listed("list_databases"),
}
_SESSION: Final[dict[str, Handler]] = {
    "abortTransaction": _method("abort_transaction"),
    "commitTransaction": _method("commit_transaction"),
    "endSession": _method("end_session"),
    "getSnapshotTime": _snapshot_time,
    "startTransaction": _start_transaction,
    "withTransaction": _with_transaction,
}
_BUCKET: Final[dict[str, Handler]] = {
    "delete": _method("delete", id="file_id"),
    "download": _download,
    "downloadByName": _download_by_name,
    "rename": _method("rename", id="file_id", newFilename="new_filename"),
    "upload": _upload,
    "uploadWithId": _upload,
}
_CURSOR: Final[dict[str, Handler]] = {
    "close": _method("close"),
    "iterateOnce": _iterate_once,
    "iterateUntilDocumentOrError": _iterate,
}
_TABLES: Final[tuple[tuple[type, dict[str, Handler]], ...]] = (
    (Collection, _COLLECTION),
    (Database, _DATABASE),
    (MongoClient, _CLIENT),
    (ClientSession, _SESSION),
    (GridFSBucket, _BUCKET),
    (object, _CURSOR),
)

# Operations whose result is a cursor read to its end: each document is a root-level one.
READ_CURSORS: Final = frozenset({
    "aggregate", "find", "listCollections", "listDatabases", "listIndexes", "listSearchIndexes",
    "runCursorCommand",
})


def handler(target: Any, name: str) -> Handler:
    """Return what an operation's name means on an entity."""
    table = next(table for kind, table in _TABLES if isinstance(target, kind))
    if name not in table:
        raise UnsupportedError(f"the runner does not know the operation {name}")
    return table[name]
