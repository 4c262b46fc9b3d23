"""`sh.*`: commands about sharding that the config server carries out, and the router's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bson.int64 import Int64

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field
from psdb_server.namespaces import split_namespace
from router.chunk_map import ChunkMap
from router.cluster_commands import router_of
from router.requests import without_times

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
    config = router.routing.config.follow() or config_address(router) or "config"
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
    reply = await router.routing.config.command("admin", {"_configsvrCheckMetadata": 1})
    target = request.target
    rows = [
        row for row in reply["inconsistencies"]
        if request.db == "admin" or _is_about(row, request.db, target)
    ]
    name = target if type(target) is str else "$cmd.aggregate"
    return {"cursor": {"firstBatch": rows, "id": Int64(0), "ns": f"{request.db}.{name}"}}


def _is_about(row: Document, db: str, target: Any) -> bool:
    ns = row["details"].get("namespace", "")
    if type(target) is str:
        return bool(ns == f"{db}.{target}")
    return bool(ns.startswith(f"{db}."))


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
