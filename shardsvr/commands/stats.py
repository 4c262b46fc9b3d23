"""Sizes: `collStats`, `dbStats`, `dataSize`, and the storage part of `$collStats`."""

from __future__ import annotations

from typing import Any

from bson.int64 import Int64

from psdb_base.errors import Code, MongoError
from psdb_base.shard_keys import check_pattern
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field
from psdb_server.namespaces import split_namespace
from psdb_store.care import disk_space
from psdb_store.collection import Collection
from shardsvr.collections import BUCKETS, find_collection, member_of, name_of, not_on_view
from shardsvr.sharding.cloning import shard_index, size_of


def _scaled(value: int, scale: int) -> Any:
    scaled = value // scale
    return scaled if -(2**31) <= scaled < 2**31 else Int64(scaled)


def free_bytes(collection: Collection) -> int:
    """Estimate the bytes of a data file whose lines no longer count; compaction frees them."""
    data = collection.data
    if data is None or not data.lines:
        return 0
    # What was written since the last checkpoint is not in the file yet.
    saved = max(0, collection.count - len(collection.dirty))
    return max(0, data.size - data.size * saved // data.lines)


def storage_stats(collection: Collection | None, scale: int) -> Document:
    """Return the `storageStats` of a collection; zeros for one that does not exist."""
    if collection is None:
        return {
            "size": 0, "count": 0, "numOrphanDocs": 0, "storageSize": 0, "totalIndexSize": 0,
            "totalSize": 0, "nindexes": 0, "indexSizes": {}, "scaleFactor": scale,
        }
    if collection.is_view:
        raise not_on_view(collection)
    sizes = {name: index.size_bytes for name, index in collection.indexes.items()}
    total = sum(sizes.values())
    stats: Document = {
        "size": _scaled(collection.data_size_bytes, scale),
        "count": collection.count,
        "numOrphanDocs": 0,
    }
    if collection.count:
        stats["avgObjSize"] = collection.data_size_bytes // collection.count
    stats |= {
        "storageSize": _scaled(collection.storage_size_bytes, scale),
        "freeStorageSize": _scaled(free_bytes(collection), scale),
        "capped": collection.is_capped,
    }
    if collection.is_capped:
        stats["max"] = collection.options.get("max", 0)
        stats["maxSize"] = _scaled(collection.options["size"], scale)
    if collection.is_timeseries:
        # A measurement is a record of its own, and so its own bucket.
        stats["timeseries"] = {
            "bucketsNs": f"{collection.db}.{BUCKETS}{collection.name}",
            "bucketCount": collection.count,
            "avgBucketSize": stats.get("avgObjSize", 0),
            "numMeasurementsCommitted": collection.count,
            "avgNumMeasurementsPerCommit": int(collection.count > 0),
        }
    if collection.is_clustered:
        stats["clusteredIndex"] = True
    return stats | {
        "nindexes": len(collection.indexes),
        "indexBuilds": list(collection.building),
        "totalIndexSize": _scaled(total, scale),
        "totalSize": _scaled(collection.storage_size_bytes + total, scale),
        "indexSizes": {name: _scaled(size, scale) for name, size in sizes.items()},
        "scaleFactor": scale,
    }


def _scale(request: Request) -> int:
    scale: int = request.args.get("scale", 1)
    if scale < 1:
        raise MongoError(
            51024, f"BSON field 'scale' value must be >= 1, actual value '{scale}'"
        )
    return scale


async def coll_stats(request: Request) -> Reply:
    """Return a collection's sizes."""
    name_of(request)
    return {"ns": request.op.ns, **storage_stats(find_collection(request), _scale(request))}


async def db_stats(request: Request) -> Reply:
    """Return a database's sizes."""
    scale = _scale(request)
    found = member_of(request).engine.collections(request.db)
    stored = [collection for collection in found if not collection.is_view]
    count = sum(collection.count for collection in stored)
    data = sum(collection.data_size_bytes for collection in stored)
    storage = sum(collection.storage_size_bytes for collection in stored)
    indexes = [index for collection in stored for index in collection.indexes.values()]
    index_size = sum(index.size_bytes for index in indexes)
    reply: Document = {
        "db": request.db,
        "collections": Int64(len(stored)),
        "views": Int64(len(found) - len(stored)),
        "objects": Int64(count),
        "avgObjSize": data / count if count else 0.0,
        "dataSize": data / scale,
        "storageSize": storage / scale,
        "indexes": Int64(len(indexes)),
        "indexSize": index_size / scale,
        "totalSize": (storage + index_size) / scale,
        "scaleFactor": Int64(scale),
    }
    if request.args.get("freeStorage"):
        free = sum(free_bytes(collection) for collection in stored)
        reply |= {
            "freeStorageSize": free / scale, "indexFreeStorageSize": 0.0,
            "totalFreeStorageSize": free / scale,
        }
    used, total = disk_space(member_of(request).engine)
    return reply | {"fsUsedSize": used / scale, "fsTotalSize": total / scale}


async def data_size(request: Request) -> Reply:
    """Return the size of a collection's documents, or of those in a range of an index."""
    args, clock = request.args, request.node.world.clock
    began = clock.monotonic()
    db, name = split_namespace(str(request.target))
    collection = member_of(request).engine.collection(db, name)
    if ("min" in args) != ("max" in args):
        raise MongoError(Code.BAD_VALUE, "only one of min or max specified")
    size = collection.data_size_bytes if collection is not None else 0
    count = collection.count if collection is not None else 0
    if collection is not None and "min" in args:
        size, count = await _size_of_range(request, collection)
    return {
        "size": Int64(size), "numObjects": Int64(count),
        "millis": Int64(int((clock.monotonic() - began) * 1000)),
        "estimate": bool(args.get("estimate", False)),
    }


async def _size_of_range(request: Request, collection: Collection) -> tuple[int, int]:
    args = request.args
    pattern = check_pattern(args.get("keyPattern") or dict.fromkeys(args["min"], 1))
    if shard_index(collection, pattern) is None:
        raise MongoError(
            Code.OPERATION_FAILED, "couldn't find valid index containing key pattern"
        )
    low, high = pattern.bound_key(args["min"]), pattern.bound_key(args["max"])
    return await size_of(collection, pattern, low, high, request.op.checkpoint)


COMMANDS = (
    Command(
        "collStats", coll_stats, (Field("scale", "int"),), secondary_ok=False,
        help="Sizes of a collection.",
    ),
    Command(
        "dataSize", data_size,
        (
            Field("keyPattern", "object"), Field("min", "object"), Field("max", "object"),
            Field("estimate", "safe bool"),
        ),
        target="string", secondary_ok=False, help="Size of a collection's documents.",
    ),
    Command(
        "dbStats", db_stats, (Field("scale", "int"), Field("freeStorage", "int")),
        secondary_ok=False, help="Sizes of a database.",
    ),
)
