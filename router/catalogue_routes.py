"""Commands on collections and databases as wholes: create, drop, indexes, sizes, explain."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from bson.int64 import Int64

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.shard_keys import KeyPattern
from psdb_base.values import Document
from psdb_query.describe import text_of
from psdb_server.namespaces import split_namespace
from psdb_wire.frames import Message
from router import reads
from router.chunk_map import ChunkMap
from router.requests import BODY_AT, generic_of, without_times
from router.requests import command as run_command
from router.routing import CONFIG_DATABASES, STALE_CODES, Target

if TYPE_CHECKING:
    from psdb_wire.connection import Connection
    from router.server import Router


async def each(
    router: Router, connection: Connection, body: Document, found: ChunkMap,
    command: Document | None = None, shards: list[str] | None = None, *, versioned: bool = True,
) -> dict[str, Document]:
    """Run a command on every shard of a collection; return the replies by shard."""
    names = found.owners if shards is None else shards
    sent = body if command is None else command
    channels = [await router.routing.shard(name) for name in names]
    replies = await asyncio.gather(*(
        run_command(
            channel, connection, body["$db"], sent, found.routed(name) if versioned else None
        )
        for name, channel in zip(names, channels, strict=True)
    ), return_exceptions=True)  # all have ended before an error is told
    for reply in replies:
        if isinstance(reply, BaseException):
            raise reply
    return {
        name: without_times(reply) for name, reply in zip(names, replies, strict=True)
        if not isinstance(reply, BaseException)
    }


async def _with_primary(router: Router, body: Document, found: ChunkMap) -> list[str]:
    """Return the owners and the primary shard, which has every collection of its database."""
    primary = await router.routing.primary(body["$db"])
    return sorted({*found.owners, *([primary] if primary is not None else [])})


async def on_all(
    router: Router, connection: Connection, message: Message, body: Document, found: ChunkMap
) -> bytes:
    """Run a command everywhere; answer with the first shard's reply and all under `raw`."""
    shards = await _with_primary(router, body, found)
    parts = await each(router, connection, body, found, shards=shards)
    raw = {router.routing.host_of(name): part for name, part in parts.items()}
    return reads.answer(router, message, {**next(iter(parts.values())), "raw": raw})


async def refuse(
    _router: Router, _connection: Connection, _message: Message, body: Document, found: ChunkMap
) -> bytes:
    """Raise 20 for a command that sharded collections do not take."""
    raise MongoError(
        Code.ILLEGAL_OPERATION,
        f"can't do command: {next(iter(body))} on sharded collection: {found.ns}",
    )


async def on_one(
    router: Router, connection: Connection, message: Message, _body: Document, found: ChunkMap
) -> bytes | None:
    """Ask one shard, as all have the same."""
    shard = found.owners[0]
    return await router.forward_to(
        shard, found.routed(shard), connection, message, opens_cursor=True
    )


async def create_sharded(
    _router: Router, _connection: Connection, _message: Message, _body: Document, found: ChunkMap
) -> bytes:
    """Refuse to create what is there."""
    raise MongoError(Code.NAMESPACE_EXISTS, f"Collection {found.ns} already exists.")


async def create_indexes(
    router: Router, connection: Connection, message: Message, body: Document, found: ChunkMap
) -> bytes:
    """Create indexes on all shards, or on none; a unique one must begin with the shard key."""
    for spec in body.get("indexes", ()):
        if type(spec) is dict and spec.get("unique") and type(spec.get("key")) is dict:
            prefix = list(spec["key"])[: len(found.pattern.names)]
            if prefix != list(found.pattern.names):
                raise MongoError(
                    Code.CANNOT_CREATE_INDEX,
                    f"cannot create unique index over {text_of(spec['key'])} with shard key "
                    f"pattern {text_of(found.pattern.spec)}",
                )
    there = [spec["name"] for spec in await _listed(router, connection, body, found)]
    try:
        return await on_all(router, connection, message, body, found)
    except MongoError as error:
        if error.code not in STALE_CODES:  # else all of it is sent again
            await _take_back(router, connection, body, found, there)
        raise


async def _listed(
    router: Router, connection: Connection, body: Document, found: ChunkMap
) -> list[Document]:
    """Return the specifications of a sharded collection's indexes."""
    channel = await router.routing.shard(found.owners[0])
    reply = await run_command(
        channel, connection, body["$db"], {"listIndexes": found.ns.partition(".")[2]}
    )
    specs: list[Document] = reply["cursor"]["firstBatch"]
    return specs


async def _take_back(
    router: Router, connection: Connection, body: Document, found: ChunkMap, there: list[str]
) -> None:
    """Drop the indexes that some shards have made and another one has refused."""
    made = [
        spec["name"] for spec in body.get("indexes", ())
        if type(spec) is dict and spec.get("name") not in there
    ]
    command: Document = {"dropIndexes": found.ns.partition(".")[2]}
    for shard in await _with_primary(router, body, found):
        for name in made:
            # What is not there, or not to be reached, stays so: the error is told anyway.
            with contextlib.suppress(MongoError):
                await each(router, connection, body, found, {**command, "index": name}, [shard])


async def drop_indexes(
    router: Router, connection: Connection, message: Message, body: Document, found: ChunkMap
) -> bytes:
    """Drop indexes on all shards, but the last one that serves the shard key."""
    specs = await _listed(router, connection, body, found)
    target = body.get("index")
    if target == "*":
        gone = [s["name"] for s in specs if s["name"] != "_id_" and not _serves(found.pattern, s)]
        body = {**body, "index": gone}
    else:
        wanted = target if type(target) is list else [target]
        left = [s for s in specs if s["name"] not in wanted and s["key"] not in wanted]
        if not any(_serves(found.pattern, spec) for spec in left):
            raise MongoError(
                Code.CANNOT_DROP_SHARD_KEY_INDEX,
                "Cannot drop the only compatible index for this collection's shard key",
            )
    return await on_all(router, connection, message, body, found)


def _serves(pattern: KeyPattern, spec: Document) -> bool:
    return (
        pattern.is_prefix_of(spec["key"]) and not spec.get("sparse") and not spec.get("hidden")
        and "partialFilterExpression" not in spec
    )


async def drop_sharded(
    router: Router, _connection: Connection, message: Message, _body: Document, found: ChunkMap
) -> bytes:
    """Drop a sharded collection on all shards."""
    try:
        await router.routing.config.command(
            "admin", {"_configsvrDropCollection": 1, "ns": found.ns}
        )
    finally:
        router.routing.forget_collection(found.ns)
    return reads.answer(router, message, {"ns": found.ns})


async def drop(
    router: Router, _connection: Connection, message: Message, body: Document, db: str
) -> Any:
    """Have a collection's zones go; one that is sharded, unknown to this router, as a whole."""
    name = body["drop"]
    if type(name) is not str or not name or db in CONFIG_DATABASES:
        return NotImplemented
    found = router.routing.known(db, name)
    if isinstance(found, ChunkMap):
        return NotImplemented
    ns = f"{db}.{name}"
    reply = await router.routing.config.command(
        "admin", {"_configsvrDropCollection": 1, "ns": ns}
    )
    if not reply["dropped"]:
        return NotImplemented
    router.routing.forget_collection(ns)
    return reads.answer(router, message, {"ns": ns})


async def drop_database(
    router: Router, _connection: Connection, message: Message, body: Document, db: str
) -> Any:
    """Drop a database on all shards."""
    if body.get("dropDatabase") not in (1, 1.0) or db in ("admin", "config", "local"):
        return NotImplemented
    try:
        reply = await router.routing.config.command(
            "admin", {"_configsvrDropDatabase": 1, "database": db}
        )
    finally:
        router.routing.forget(db)
    document = {"dropped": db} if reply["existed"] else {"info": "database does not exist"}
    return reads.answer(router, message, document)


async def rename_collection(
    router: Router, connection: Connection, message: Message, body: Document, db: str
) -> Any:
    """Rename a collection on its shard; the target's database must be on the same one."""
    source, target = body["renameCollection"], body.get("to")
    if db != "admin" or type(source) is not str or type(target) is not str:
        return NotImplemented
    source_db, source_name = split_namespace(source)
    target_db, target_name = split_namespace(target)
    found = await router.routing.find(source_db, source_name)
    if isinstance(found, ChunkMap):
        raise MongoError(
            Code.NOT_IMPLEMENTED, "renaming a sharded collection is not supported by PSDB yet"
        )
    if target_db != source_db and found.exists:
        await router.routing.config.command("admin", {
            "_configsvrGetDatabase": 1, "database": target_db, "create": True,
            "primaryShard": found.shard,
        })
    there = await router.routing.find(target_db, target_name)
    if isinstance(there, ChunkMap):
        raise MongoError(
            Code.NOT_IMPLEMENTED,
            "renaming a collection to a sharded one is not supported by PSDB yet",
        )
    if there.channel is not found.channel:
        raise MongoError(
            Code.COMMAND_FAILED, "Source and destination collections must be on same shard"
        )
    return await router.forward(found.channel, connection, message)


async def validate_sharded(
    router: Router, connection: Connection, message: Message, body: Document, found: ChunkMap
) -> bytes:
    """Validate every shard's part."""
    parts = await each(router, connection, body, found)
    return reads.answer(router, message, {
        "ns": found.ns, "valid": all(part.get("valid") for part in parts.values()),
        "nrecords": sum(int(part.get("nrecords", 0)) for part in parts.values()),
        "errors": [error for part in parts.values() for error in part.get("errors", ())],
        "warnings": [text for part in parts.values() for text in part.get("warnings", ())],
        "raw": parts,
    })


# -- sizes -----------------------------------------------------------------------------------------


async def coll_stats(
    router: Router, connection: Connection, message: Message, body: Document, db: str
) -> Any:
    """Return an unsharded collection's sizes, with the name of its shard."""
    name = body["collStats"]
    found = await router.routing.find(db, name if type(name) is str else "")
    if isinstance(found, ChunkMap):
        return NotImplemented
    return await _retold(router, connection, message, found, lambda document: {
        "sharded": False, "primary": found.shard, **without_times(document),
    })


async def _retold(
    router: Router, connection: Connection, message: Message, found: Target,
    tell: Callable[[Document], Document],
) -> bytes | None:
    """Ask the one shard and tell its answer in the router's words; an error is told as it is."""
    reply = await router.forward(found.channel, connection, message, found.routed)
    if reply is None:
        return None
    document = bson_codec.decode(reply[BODY_AT:])
    if document.get("ok") != 1.0:
        return reply
    return reads.answer(router, message, tell(document))


_SUMMED: Final = (
    "size", "count", "numOrphanDocs", "storageSize", "freeStorageSize", "totalIndexSize",
    "totalSize",
)


async def coll_stats_sharded(
    router: Router, connection: Connection, message: Message, body: Document, found: ChunkMap
) -> bytes:
    """Sum the sizes of the shards' parts."""
    parts = await each(router, connection, body, found)
    first = next(iter(parts.values()))
    sums: Document = {name: _sum(parts, name) for name in _SUMMED if name in first}
    indexes: dict[str, int] = {}
    for part in parts.values():
        for name, size in part.get("indexSizes", {}).items():
            indexes[name] = indexes.get(name, 0) + int(size)
    result: Document = {
        "sharded": True, "capped": False, "ns": found.ns, **sums,
        "nindexes": first.get("nindexes", 0), "indexSizes": indexes,
        "scaleFactor": first.get("scaleFactor", 1), "nchunks": len(found.chunks),
        "shards": parts,
    }
    if sums.get("count"):
        scale = int(first.get("scaleFactor", 1))
        result["avgObjSize"] = float(int(sums["size"]) * scale / int(sums["count"]))
    return reads.answer(router, message, result)


def _sum(parts: dict[str, Document], name: str) -> Any:
    total = sum(part.get(name, 0) for part in parts.values())
    return total if type(total) is float or total < 2**31 else Int64(total)


async def db_stats(
    router: Router, connection: Connection, message: Message, body: Document, db: str
) -> Any:
    """Sum a database's sizes over the shards, with each shard's own under `raw`."""
    if db in ("admin", "config", "local"):
        targets = {"config": router.routing.config}
    else:
        targets = dict(await router.routing.shards())
    replies = await asyncio.gather(*(
        run_command(channel, connection, db, body) for channel in targets.values()
    ))
    parts = {
        name: without_times(reply) for name, reply in zip(targets, replies, strict=True)
    }
    result: Document = {"raw": parts, "db": db}
    for part in parts.values():
        for name, value in part.items():
            if name in ("db", "scaleFactor", "avgObjSize"):
                result.setdefault(name, value)
            elif type(value) in (int, float, Int64):
                total = result.get(name, 0) + value
                result[name] = Int64(total) if type(value) is Int64 else total
    if result.get("objects"):
        scale = int(result.get("scaleFactor", 1))
        result["avgObjSize"] = result["dataSize"] * scale / int(result["objects"])
    return reads.answer(router, message, result)


async def data_size(
    router: Router, connection: Connection, message: Message, body: Document, db: str
) -> Any:
    """Sum the sizes of a collection's documents."""
    if type(body["dataSize"]) is not str:
        return NotImplemented
    ns_db, name = split_namespace(body["dataSize"])
    found = await router.routing.find(ns_db, name)
    if not isinstance(found, ChunkMap):
        return await router.forward(found.channel, connection, message)
    pattern = body.get("keyPattern")
    if pattern is not None and pattern != found.pattern.spec:
        raise MongoError(Code.BAD_VALUE, "keyPattern must equal shard key")
    parts = await each(router, connection, {**body, "$db": db}, found, versioned=False)
    return reads.answer(router, message, {
        "size": Int64(sum(int(part["size"]) for part in parts.values())),
        "numObjects": Int64(sum(int(part["numObjects"]) for part in parts.values())),
        "millis": Int64(max(int(part["millis"]) for part in parts.values())),
        "estimate": bool(body.get("estimate", False)),
    })


# -- explain ---------------------------------------------------------------------------------------


async def explain(
    router: Router, connection: Connection, message: Message, body: Document, db: str
) -> Any:
    """Explain on the shards; show it as a mongos does, a pipeline on one shard as it is there."""
    from router.explain import as_router, merged

    inner = body["explain"]
    name = next(iter(inner.values()), None) if type(inner) is dict else None
    found = await router.routing.find(db, name if type(name) is str else "")
    verbosity = body.get("verbosity", "allPlansExecution")
    if isinstance(found, ChunkMap) and type(inner) is dict:
        kind = next(iter(inner))
        whole: Document = {**inner, "$db": db, **generic_of(body)}
        if kind == "aggregate" and type(inner.get("pipeline")) is list:
            from router import aggregation

            return await aggregation.explain(
                router, connection, message, whole, found, verbosity
            )
        shards = reads.shards_for(router, found, _filter_of(inner), whole)
        parts = await each(router, connection, body, found, shards=shards)
        hosts = {shard: router.routing.host_of(shard) for shard in shards}
        return reads.answer(router, message, merged(parts, hosts, router.host, inner))
    assert not isinstance(found, ChunkMap)
    if type(inner) is dict and next(iter(inner), None) == "aggregate":
        return await router.forward(found.channel, connection, message, found.routed)
    return await _retold(
        router, connection, message, found,
        lambda document: as_router(document, found.shard, router.host),
    )


def _filter_of(inner: Document) -> Any:
    for name in ("filter", "query"):
        if name in inner:
            return inner[name]
    for name in ("updates", "deletes"):
        if type(inner.get(name)) is list and inner[name] and type(inner[name][0]) is dict:
            return inner[name][0].get("q", {})
    return {}
