"""`sh.*`: commands about sharding that the config server carries out, and the router's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from bson.int64 import Int64

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request
from psdb_server.cursors import BatchSource, batch_size_of
from psdb_server.fields import Field
from psdb_server.namespaces import split_namespace
from router.aggregation import list_indexes
from router.chunk_map import ChunkMap
from router.cluster_commands import router_of
from router.reads import lsid_of
from router.requests import without_times
from router.shards import CONFIG_IN_PROCESS

if TYPE_CHECKING:
    from router.server import Router

_LEFT_OUT: Final = ("lsid", "$clusterTime", "$readPreference", "$db", "apiVersion", "apiStrict",
                    "apiDeprecationErrors", "maxTimeMS", "txnNumber")


async def on_config(request: Request) -> Reply:
    """Have the config server carry a command out, then forget what it may have changed."""
    router = router_of(request)
    command = {
        name: value for name, value in request.body.items() if name not in _LEFT_OUT
    }
    config = config_address(router)
    if request.command.name == "addShard" and config is not None:
        command["configdb"] = config
    try:
        reply = await request.op.wait(router.routing.config.command("admin", command))
    finally:
        target = request.target
        if type(target) is str:
            router.routing.forget_collection(target)
            router.routing.forget(target)
    await router.routing.refresh_shards()
    if request.command.name == "addShard":
        from router.settings_commands import tell_newcomer

        await tell_newcomer(router, await router.routing.shard(reply["shardAdded"]))
    return without_times(reply)


def config_address(router: Router) -> str | None:
    """Return where this router was told the config servers are; None within one process."""
    return router.options.get("sharding", {}).get("configDB")  # type: ignore[no-any-return]


async def flush(request: Request) -> Reply:
    """`flushRouterConfig`: forget a collection, a database, or everything."""
    routing = router_of(request).routing
    target = request.target
    if type(target) is str and "." in target:
        routing.forget_collection(target)
    elif type(target) is str:
        routing.forget(target)
    else:
        routing.forget_all()
    return {"flushed": True}


async def shard_map(request: Request) -> Reply:
    """`getShardMap`: hosts by shard, shards by host."""
    router = router_of(request)
    shards = await router.routing.shards()
    config = router.routing.config.follow() or config_address(router) or CONFIG_IN_PROCESS
    hosts = {"config": config} | {name: router.routing.host_of(name) for name, _ in shards}
    by_host: dict[str, str] = {}
    for name, host in hosts.items():
        for one in host.rpartition("/")[2].split(","):
            by_host[one] = name
    return {"map": hosts, "hosts": by_host, "connStrings": {h: n for n, h in hosts.items()}}


async def shard_version(request: Request) -> Reply:
    """`getShardVersion`: the version of a collection as this router knows it."""
    db, name = split_namespace(str(request.target))
    found = await router_of(request).routing.find(db, name)
    if not isinstance(found, ChunkMap):
        raise MongoError(
            Code.NAMESPACE_NOT_SHARDED, f"Collection {request.target} is not sharded."
        )
    reply: Document = {
        "version": found.version, "versionEpoch": found.row["lastmodEpoch"],
        "versionTimestamp": found.row["timestamp"],
    }
    if request.args.get("fullMetadata"):
        reply["chunks"] = [[chunk["min"], chunk["max"]] for chunk in found.chunks]
    return reply


async def check_metadata(request: Request) -> Reply:
    """`checkMetadataConsistency`: a cursor over what is inconsistent."""
    router = router_of(request)
    size = batch_size_of(request.args.get("cursor", {}))
    reply = await router.routing.config.command("admin", {"_configsvrCheckMetadata": 1})
    target = request.target
    rows = [
        row for row in reply["inconsistencies"]
        if request.db == "admin" or _is_about(row["details"].get("namespace", ""), request)
    ]
    if request.args.get("checkIndexes"):
        rows += await _index_differences(router, request)
    name = target if type(target) is str else "$cmd.aggregate"
    return _with_cursor(router, request, f"{request.db}.{name}", rows, size)


def _with_cursor(
    router: Router, request: Request, ns: str, rows: list[Document], size: int
) -> Document:
    """Answer with the first rows, and with a cursor for the rest."""
    cursor_id = 0
    if len(rows) > size or not size:

        async def rest() -> AsyncIterator[list[bytes]]:
            yield [bson_codec.encode(row) for row in rows[size:]]

        opened = router.cursors.register(ns, BatchSource(rest()), lsid_of(request.body))
        opened.returned, opened.command = min(size, len(rows)), request.body
        cursor_id = opened.id
    return {"cursor": {"firstBatch": rows[:size], "id": Int64(cursor_id), "ns": ns}}


def _is_about(ns: str, request: Request) -> bool:
    if type(request.target) is str:
        return ns == f"{request.db}.{request.target}"
    return ns.startswith(f"{request.db}.")


async def _index_differences(router: Router, request: Request) -> list[Document]:
    """Return what differs among the indexes that the shards of a sharded collection have."""
    reply = await router.routing.config.command(
        "config", {"find": "collections", "sort": {"_id": 1}, "batchSize": 1_000_000}
    )
    rows: list[Document] = []
    for ns in [row["_id"] for row in reply["cursor"]["firstBatch"]]:
        if request.db != "admin" and not _is_about(ns, request):
            continue
        db, name = split_namespace(ns)
        found = await router.routing.find(db, name)
        if isinstance(found, ChunkMap):
            rows += differences(found.ns, found.row["uuid"], {
                shard: await list_indexes(await router.routing.shard(shard), db, name)
                for shard in found.owners
            })
    return rows


def differences(ns: str, uuid: Any, indexes: dict[str, list[Document]]) -> list[Document]:
    """Return a row for each index, by name, that not all shards have alike.

    Args:
        ns: The collection.
        uuid: Of the collection, as its row has it.
        indexes: The specifications that each shard has.

    """
    by_name: dict[str, dict[str, Document]] = {}
    for shard, specs in indexes.items():
        for spec in specs:
            by_name.setdefault(spec["name"], {})[shard] = spec
    rows: list[Document] = []
    for name, specs_of in sorted(by_name.items()):
        missing = [shard for shard in indexes if shard not in specs_of]
        first, *others = specs_of.values()
        differing = sorted({
            key for spec in others for key in first | spec if first.get(key) != spec.get(key)
        })
        if missing or differing:
            rows.append({
                "type": "InconsistentIndex",
                "description": "Found an index of a sharded collection that is inconsistent "
                "between different shards",
                "details": {
                    "namespace": ns, "collectionUUID": uuid,
                    "info": {
                        "indexName": name, "missingFromShards": missing,
                        "inconsistentProperties": differing,
                    },
                },
            })
    return rows


async def data_distribution(router: Router) -> list[Document]:
    """Make the rows of `$shardedDataDistribution`."""
    rows: dict[str, Document] = {}
    for shard, reply in await router.on_all_shards("admin", {"_shardsvrOrphans": 1}):
        for part in reply["collections"]:
            ns = part["ns"]
            owned, orphaned = part["numOwnedDocuments"], part["numOrphanedDocs"]
            row = rows.setdefault(ns, {"ns": ns, "shards": []})
            row["shards"].append({
                "shardName": shard, "numOrphanedDocs": orphaned, "numOwnedDocuments": owned,
                "ownedSizeBytes": part["ownedSizeBytes"],
                "orphanedSizeBytes": part["orphanedSizeBytes"],
            })
    return [row for _, row in sorted(rows.items())]


def _config(name: str, text: str, target: str = "string") -> Command:
    # The config server checks the fields: it has the command itself.
    return Command(
        name, on_config, target=target, admin_only=True, strict=False, write_concern=True,
        help=text,
    )


COMMANDS = (
    _config("addShard", "Register a shard."),
    _config("addShardToZone", "Put a shard into a zone."),
    _config("balancerCollectionStatus", "Whether a collection is balanced."),
    _config("balancerStart", "Switch the balancer on.", "any"),
    _config("balancerStatus", "Whether the balancer is on.", "any"),
    _config("balancerStop", "Switch the balancer off.", "any"),
    Command(
        "checkMetadataConsistency", check_metadata,
        (Field("cursor", "object"), Field("checkIndexes", "safe bool")), target="any",
        help="What is inconsistent in the catalogue.",
    ),
    _config("clearJumboFlag", "Let a chunk be moved again."),
    _config("configureCollectionBalancing", "Settings of the balancer for a collection."),
    _config("enableSharding", "Create a database."),
    Command(
        "flushRouterConfig", flush, target="any", admin_only=True,
        help="Forget what this router knows of the routing.",
    ),
    Command("getShardMap", shard_map, target="any", admin_only=True, help="Hosts of the shards."),
    Command(
        "getShardVersion", shard_version, (Field("fullMetadata", "safe bool"),), target="string",
        admin_only=True, help="The version of a collection.",
    ),
    _config("mergeAllChunksOnShard", "Merge a shard's chunks."),
    _config("mergeChunks", "Merge neighbouring chunks."),
    _config("moveChunk", "Move a chunk to another shard."),
    _config("movePrimary", "Move a database's primary shard."),
    _config("moveRange", "Move a range to another shard."),
    _config("refineCollectionShardKey", "Add fields to a shard key."),
    _config("removeShard", "Drain a shard and take it out."),
    _config("removeShardFromZone", "Take a shard out of a zone."),
    _config("setAllowMigrations", "Whether chunks of a collection may move."),
    _config("shardCollection", "Shard a collection."),
    _config("split", "Split a chunk."),
    _config("updateZoneKeyRange", "Assign a range of keys to a zone."),
)
