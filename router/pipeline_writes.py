"""What `$out` and `$merge` write when a pipeline runs on the router."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.context import Env
from psdb_query.stages.output import MergeStatement, MergeTarget, OutTarget, not_updated
from psdb_query.stages.ports import Batch
from psdb_server.namespaces import OUT_PREFIX
from router.aggregation import list_indexes
from router.chunk_map import ChunkMap
from router.requests import generic_of
from router.sharded_writes import Write, run_writes

if TYPE_CHECKING:
    from router.aggregation import RouterPorts

_INTERNAL: Final = ("admin", "config", "local")
_UNIT_DOCUMENTS: Final = 256


def _check_database(db: str) -> None:
    if db in _INTERNAL:
        raise MongoError(31321, f"Can't write into the internal database: {db}")


async def out(ports: RouterPorts, target: OutTarget, batches: AsyncIterator[Batch]) -> None:
    """Fill a collection and put it in the target's place, on the database's primary shard."""
    router, db = ports.router, target.database
    _check_database(db)
    found = await router.routing.find(db, target.collection, create=True)
    if isinstance(found, ChunkMap):
        raise MongoError(
            28769, f"namespace '{found.ns}' is sharded so it can't be used for $out"
        )
    home = await router.routing.primary_target(db, create=True)
    name = f"{OUT_PREFIX}{router.world.random.uuid().hex()}"
    listed = await home.channel.command(db, {
        "listCollections": 1, "filter": {"name": target.collection},
    })
    old = next(iter(listed["cursor"]["firstBatch"]), None)
    await home.channel.command(db, {"create": name, **_options(target, old)})
    try:
        if old is not None:
            specs = await list_indexes(home.channel, db, target.collection)
            there = [spec["name"] for spec in await list_indexes(home.channel, db, name)]
            specs = [spec for spec in specs if spec["name"] not in there]
            if specs:
                await home.channel.command(db, {"createIndexes": name, "indexes": specs})
        async for batch in batches:
            for at in range(0, len(batch), _UNIT_DOCUMENTS):
                part = batch[at : at + _UNIT_DOCUMENTS]
                await _insert(ports, db, name, part)
                await ports.checkpoint(len(part))
        ports.op.check()
        await home.channel.command("admin", {
            "renameCollection": f"{db}.{name}", "to": f"{db}.{target.collection}",
            "dropTarget": True,
        })
    except BaseException:
        await home.channel.command(db, {"drop": name})
        raise


def _options(target: OutTarget, old: Document | None) -> Document:
    """Return the options of the collection that takes the place of an old one."""
    ns = f"{target.database}.{target.collection}"
    if old is None:
        return {} if target.time_series is None else {"timeseries": target.time_series}
    if old["type"] == "view":
        raise MongoError(
            Code.COMMAND_NOT_SUPPORTED_ON_VIEW, f"Namespace {ns} is a view, not a collection"
        )
    options: Document = old["options"]
    if options.get("capped"):
        raise MongoError(17152, f"namespace '{ns}' is capped so it can't be used for $out")
    if target.time_series is not None:
        there = options.get("timeseries")
        if there is None:
            raise MongoError(
                7268700, "Cannot create a time-series collection from a non time-series collection."
            )
        if any(there.get(field) != value for field, value in target.time_series.items()):
            raise MongoError(
                7406103,
                "Time-series options provided must match the existing time-series collection, "
                f"namespace '{ns}'",
            )
    return options


async def _insert(ports: RouterPorts, db: str, name: str, batch: list[Document]) -> None:
    writes = [
        Write(number, "insert", document, bson_codec.encode(document))
        for number, document in enumerate(batch)
    ]
    await _run(ports, db, name, writes)


async def _run(ports: RouterPorts, db: str, name: str, writes: list[Write]) -> Any:
    options: Document = {"ordered": True, **generic_of(ports.body)}
    for field in ("readConcern", "$readPreference"):
        options.pop(field, None)
    if "bypassDocumentValidation" in ports.body:
        options["bypassDocumentValidation"] = ports.body["bypassDocumentValidation"]
    result = await run_writes(ports.router, ports.connection, db, name, writes, options)
    for _index, error in result.errors:
        raise error
    return result


async def merge(ports: RouterPorts, target: MergeTarget, batch: Batch, env: Env) -> None:
    """Write a batch into the target as `$merge` says."""
    db, name = target.database, target.collection
    _check_database(db)
    found = await ports.router.routing.find(db, name, create=True)
    on = target.on
    if on is None:
        on = ("_id",)
        if isinstance(found, ChunkMap):
            on = tuple(dict.fromkeys(("_id", *found.pattern.names)))
    elif on != ("_id",):
        await _check_index(ports, db, name, on, found)
    for statement in target.statements(batch, env, on):
        if statement.kind == "insert":
            await _insert(ports, db, name, [statement.document])
        else:
            await _update(ports, db, name, statement)
        await ports.checkpoint(1)


async def _check_index(
    ports: RouterPorts, db: str, name: str, on: tuple[str, ...], found: Any
) -> None:
    for spec in await ports.indexes_of(db, name):
        unique = spec.get("unique") or spec["name"] == "_id_"
        if unique and sorted(spec["key"]) == sorted(on) and "partialFilterExpression" not in spec:
            return
    if isinstance(found, ChunkMap) and set(on) == {"_id", *found.pattern.names}:
        return
    raise MongoError(51183, "Cannot find index to verify that join fields will be unique")


async def _update(ports: RouterPorts, db: str, name: str, statement: MergeStatement) -> None:
    spec: Document = {
        "q": {field: {"$eq": value} for field, value in statement.query.items()},
        "u": statement.update, "multi": False, "upsert": False,
    }
    if statement.constants is not None:
        spec["c"] = statement.constants
    try:
        result = await _run(ports, db, name, [Write(0, "update", spec)])
    except MongoError as error:
        raise not_updated(error) from error
    if result.matched:
        return
    if statement.must_match:
        raise MongoError(
            Code.MERGE_STAGE_NO_MATCHING_DOCUMENT,
            "$merge could not find a matching document in the target collection for at least one "
            "document in the source collection",
        )
    if statement.upsert:
        await _insert(ports, db, name, [statement.supplied or statement.document])
