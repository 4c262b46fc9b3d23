"""`enableSharding`, `shardCollection`, `refineCollectionShardKey`.

A collection becomes sharded in one entry of the config server's log (its row, its chunks, the
outcome of the change). Before that its primary shard holds its section closed, so no router
writes to it as to an unsharded one; all shards that get chunks have made their parts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from bson.binary import Binary
from bson.datetime_ms import DatetimeMS
from bson.timestamp import Timestamp

from configsvr import catalogue, chunks, initial, routing, store, zones
from configsvr.carrying import to_the_end
from configsvr.moving import command_on, locked
from psdb_base.errors import Code, MongoError
from psdb_base.shard_keys import KeyPattern, check_pattern
from psdb_base.values import Document
from psdb_query.describe import text_of
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field
from psdb_server.labels import RETRYABLE_CODES
from psdb_server.namespaces import check_database_name, split_namespace
from shardsvr.collections import member_of
from shardsvr.member import Member

T = TypeVar("T")
_INTERNAL: Final = ("admin", "config", "local")
_NO_INDEX: Final = 6373200
_ATTEMPTS: Final = 4
_PAUSE_SECONDS: Final = 0.2


async def enable_sharding(request: Request) -> Reply:
    """`enableSharding`: sees that the database exists; nothing else is needed since 6.0."""
    name = str(request.target)
    check_database_name(name)
    if name in _INTERNAL:
        raise MongoError(Code.INVALID_OPTIONS, f"Enabling sharding on the {name} database is not "
                         "allowed")
    await catalogue.database(member_of(request), name, request.args.get("primaryShard"))
    return {}


async def shard_collection(request: Request) -> Reply:
    """`shardCollection`."""
    member, args = member_of(request), request.args
    ns = str(request.target)
    db, name = split_namespace(ns)
    if db in _INTERNAL or name.startswith("system."):
        raise MongoError(Code.ILLEGAL_OPERATION, f"can't shard internal namespace {ns}")
    pattern = check_pattern(args["key"])
    _check_options(args, pattern)
    row = await catalogue.database(member, db, None)
    async with locked(member, db), locked(member, ns):
        known = store.find(member, "collections", ns)
        if known is not None:
            _check_same(known, pattern, args)
            return {"collectionsharded": ns}
        if routing.pending_drop(member, ns):
            raise MongoError(
                Code.CONFLICTING_OPERATION_IN_PROGRESS, f"{ns} is being dropped on all shards"
            )
        row = store.find(member, "databases", db) or row
        await store.note(member, "shardCollection.start", ns, {
            "shardKey": pattern.spec, "collection": ns, "primary": row["primary"],
        })
        primary = row["primary"]

        async def change() -> int:
            done = store.find(member, "collections", ns)
            if done is not None:
                return len(chunks.Map(member, done).chunks)
            await _prepare(member, ns, pattern, args, primary)
            return await _commit(member, ns, pattern, args, primary)

        count = await persistently(change)
    await store.note(member, "shardCollection.end", ns, {"numChunks": count})
    return {"collectionsharded": ns}


def _check_options(args: Document, pattern: KeyPattern) -> None:
    if args.get("timeseries"):
        raise MongoError(
            Code.NOT_IMPLEMENTED, "sharded time-series collections are not supported by PSDB yet"
        )
    if args.get("unique") and pattern.hashed is not None:
        raise MongoError(Code.INVALID_OPTIONS, "hashed shard keys cannot be declared unique.")
    if args.get("numInitialChunks") and pattern.hashed is None:
        raise MongoError(
            Code.INVALID_OPTIONS,
            "numInitialChunks is not supported when the collection is not hashed",
        )
    if args.get("presplitHashedZones") and pattern.hashed is None:
        raise MongoError(
            Code.INVALID_OPTIONS, "presplitHashedZones is only supported for hashed shard keys"
        )
    collation = args.get("collation")
    if collation is not None and collation != {"locale": "simple"}:
        raise MongoError(
            Code.BAD_VALUE,
            f"The collation for shardCollection must be {{locale: 'simple'}}, but found: "
            f"{text_of(collation)}",
        )


def _check_same(known: Document, pattern: KeyPattern, args: Document) -> None:
    same = list(known["key"].items()) == list(pattern.spec.items())
    if not same or known["unique"] != bool(args.get("unique", False)):
        raise MongoError(
            Code.ALREADY_INITIALIZED,
            f"sharding already enabled for collection {known['_id']} with options "
            f"{{ key: {text_of(known['key'])}, unique: {text_of(known['unique'])} }}",
        )


async def _prepare(
    member: Member, ns: str, pattern: KeyPattern, args: Document, primary: str
) -> None:
    """See that the collection is there on its primary shard, with an index for the key."""
    db, name = split_namespace(ns)
    part = await command_on(member, primary, {"_shardsvrDescribePart": 1, "ns": ns})
    peer = member.sharding.peer(store_host(member, primary))
    if not part["exists"]:
        await peer.command(db, {"create": name})
        part = await command_on(member, primary, {"_shardsvrDescribePart": 1, "ns": ns})
    options = part["options"]
    if options.get("capped"):
        raise MongoError(Code.INVALID_OPTIONS, f"can't shard a capped collection: {ns}")
    if options.get("timeseries"):
        raise MongoError(
            Code.NOT_IMPLEMENTED,
            f"sharding a time-series collection is not supported by PSDB yet: {ns}",
        )
    if "collation" in options and options["collation"].get("locale") != "simple":
        if args.get("collation") != {"locale": "simple"}:
            raise MongoError(
                Code.BAD_VALUE,
                "Collection has default collation: " + text_of(options["collation"])
                + ". Must specify collation {locale: 'simple'}.",
            )
    initial.check(member, ns, pattern, args, is_empty=not part["count"])
    unique = bool(args.get("unique", False))
    checked = unique and args.get("enforceUniquenessCheck", True)
    if usable_index(ns, pattern, part, unique=checked):
        return
    if args.get("implicitlyCreateIndex", True):
        await _make_index(peer, db, name, pattern, part, unique=unique)
    else:
        raise MongoError(_NO_INDEX, "Must have an index compatible with the proposed shard key")


def store_host(member: Member, shard: str) -> str:
    """Return a shard's host."""
    row = store.find(member, "shards", shard)
    if row is None:
        raise MongoError(Code.SHARD_NOT_FOUND, f"Shard {shard} not found")
    host: str = row["host"]
    return host


def usable_index(ns: str, pattern: KeyPattern, part: Document, *, unique: bool) -> bool:
    """Tell whether an index serves the key.

    Raises:
        MongoError: 72 InvalidOptions for a unique index that does not begin with the key.

    """
    found = False
    for spec in part["indexes"]:
        prefix = pattern.is_prefix_of(spec["key"])
        if spec.get("unique") and spec["name"] != "_id_" and not prefix:
            raise MongoError(
                Code.INVALID_OPTIONS,
                f"can't shard collection '{ns}' with unique index on "
                f"{text_of(spec['key'])} and proposed shard key {text_of(pattern.spec)}. "
                "Uniqueness can't be maintained unless shard key is a prefix",
            )
        simple = spec.get("collation", {}).get("locale", "simple") == "simple"
        good = (
            prefix and simple and not spec.get("sparse") and not spec.get("hidden")
            and "partialFilterExpression" not in spec and spec["name"] not in part["multikey"]
        )
        if unique:
            exact = list(spec["key"]) == list(pattern.names)
            good = good and exact and (bool(spec.get("unique")) or spec["name"] == "_id_")
        found = found or good
    return found


async def _make_index(
    peer: Any, db: str, name: str, pattern: KeyPattern, part: Document, *, unique: bool
) -> None:
    if part["count"]:
        raise MongoError(
            Code.INVALID_OPTIONS,
            "Please create an index that starts with the proposed shard key before sharding the "
            "collection",
        )
    spec: Document = {
        "key": pattern.spec, "name": "_".join(f"{n}_{v}" for n, v in pattern.spec.items()),
    }
    if unique:
        spec["unique"] = True
    if "collation" in part["options"]:
        spec["collation"] = {"locale": "simple"}
    await peer.command(db, {"createIndexes": name, "indexes": [spec]})


async def _commit(
    member: Member, ns: str, pattern: KeyPattern, args: Document, primary: str
) -> int:
    """Make the collection sharded; return the number of its chunks."""
    identifier = Binary(member.world.random.uuid(), 4)
    await command_on(member, primary, {"_shardsvrBlock": 1, "id": identifier, "ns": ns})
    try:
        part = await command_on(member, primary, {"_shardsvrDescribePart": 1, "ns": ns})
        uuid = part["uuid"]
        made = initial.first_chunks(
            member, ns, pattern, args, primary, uuid, is_empty=not part["count"]
        )
        shards = sorted({chunk["shard"] for chunk in made} - {primary})
        indexes = [spec for spec in part["indexes"] if spec["name"] != "_id_"]
        for shard in shards:
            await command_on(member, shard, {
                "_shardsvrMakePart": 1, "ns": ns, "uuid": uuid, "options": part["options"],
                "indexes": indexes,
            })
        row: Document = {
            "_id": ns, "lastmodEpoch": member.world.random.object_id(),
            "lastmod": DatetimeMS(member.world.clock.now_ms()),
            "timestamp": member.clock.tick(), "uuid": uuid, "key": pattern.spec,
            "unique": bool(args.get("unique", False)), "noBalance": False,
        }
        await store.ready(member, "chunks", "collections", "tags", routing.OUTCOMES)
        check_not_fenced(member, identifier)
        check_there(member, [chunk["shard"] for chunk in made])
        store.write(member, [
            ("collections", row), *(("chunks", chunk) for chunk in made),
            (routing.OUTCOMES, routing.outcome_row(member, identifier, "committed", ns)),
        ])
        zones.cut_at_zones(member, ns)
        await store.settled(member)
    finally:
        await unblock(member, [primary], identifier, ns)
    await refresh(member, shards, ns)
    return len(made)


class GivenUpError(MongoError):
    """A shard did not wait for this change any longer, or failed over."""

    def __init__(self) -> None:
        super().__init__(
            Code.CONFLICTING_OPERATION_IN_PROGRESS, "the change took too long and was given up"
        )


def check_not_fenced(member: Member, identifier: Binary) -> None:
    """Raise GivenUpError when a shard did not wait for this change any longer."""
    if store.find(member, routing.OUTCOMES, identifier) is not None:
        raise GivenUpError


def check_there(member: Member, shards: list[str]) -> None:
    """Raise 70 when one of the shards was taken out since they were chosen."""
    for shard in sorted(set(shards)):
        if store.find(member, "shards", shard) is None:
            raise MongoError(Code.SHARD_NOT_FOUND, f"Shard {shard} does not exist any more")


async def persistently(change: Callable[[], Awaitable[T]]) -> T:
    """Make a change of several steps; begin again when a shard fails over on the way.

    Each attempt has an id of its own, so that of all attempts one is committed at most; one that
    is told too late finds the change made.
    """
    attempts = _ATTEMPTS
    while True:
        attempts -= 1
        try:
            return await change()
        except MongoError as error:
            again = isinstance(error, GivenUpError) or error.code in RETRYABLE_CODES
            if not again or not attempts:
                raise
        await asyncio.sleep(_PAUSE_SECONDS)


async def unblock(member: Member, shards: list[str], identifier: Binary, ns: str) -> None:
    """Open sections; a shard that does not hear it opens its own after a while."""
    for shard in shards:
        try:
            await command_on(member, shard, {"_shardsvrUnblock": 1, "id": identifier, "ns": ns})
        except MongoError as error:
            member.world.log.write(
                "W", "SHARDING", 22064, "A shard was not told the end of a change",
                {"shard": shard, "namespace": ns, "error": str(error)},
            )


async def refresh(member: Member, shards: list[str], ns: str) -> None:
    """Tell shards to look at what they own; one that does not hear it learns it when asked."""
    for shard in shards:
        try:
            await command_on(member, shard, {"_shardsvrRefresh": 1, "namespaces": [ns]})
        except MongoError as error:
            member.world.log.write(
                "W", "SHARDING", 22063, "A shard was not told of a change",
                {"shard": shard, "error": str(error)},
            )


async def refine(request: Request) -> Reply:
    """`refineCollectionShardKey`: add fields at the key's end."""
    member, args = member_of(request), request.args
    ns = str(request.target)
    split_namespace(ns)
    pattern = check_pattern(args["key"])
    async with locked(member, ns):
        found = chunks.map_of(member, ns)
        if pattern.names == found.pattern.names:
            return {}
        if list(pattern.spec.items())[: len(found.pattern.names)] != list(
            found.pattern.spec.items()
        ):
            raise MongoError(
                Code.INVALID_OPTIONS,
                f"refineCollectionShardKey shard key {text_of(pattern.spec)} must extend "
                f"the current shard key {text_of(found.pattern.spec)}",
            )
        shards = sorted({chunk["shard"] for chunk in found.chunks})
        checked = found.row["unique"] and args.get("enforceUniquenessCheck", True)
        for shard in shards:
            part = await command_on(member, shard, {"_shardsvrDescribePart": 1, "ns": ns})
            if not usable_index(ns, pattern, part, unique=checked):
                raise MongoError(
                    Code.INVALID_OPTIONS,
                    "Please create an index that starts with the proposed shard key before "
                    "refining the shard key of the collection",
                )
            await command_on(member, shard, {"cleanupOrphaned": ns})

        async def change() -> None:
            if chunks.map_of(member, ns).pattern.names != pattern.names:
                await _refine_blocked(member, ns, pattern, shards)

        await persistently(change)
    return {}


async def _refine_blocked(
    member: Member, ns: str, pattern: KeyPattern, shards: list[str]
) -> None:
    identifier = Binary(member.world.random.uuid(), 4)
    try:
        for shard in shards:
            await command_on(member, shard, {"_shardsvrBlock": 1, "id": identifier, "ns": ns})
        await store.ready(member, "chunks", "collections", "tags", routing.OUTCOMES)
        check_not_fenced(member, identifier)
        found = chunks.map_of(member, ns)
        added = [name for name in pattern.names if name not in found.pattern.names]
        changes: store.Changes = [("collections", {
            **found.row, "key": pattern.spec, "lastmodEpoch": member.world.random.object_id(),
            "timestamp": member.clock.tick(),
            "lastmod": DatetimeMS(member.world.clock.now_ms()),
        })]
        major = found.version.time + 1  # above those that are there yet: all are unique
        for at, chunk in enumerate(found.chunks):
            changes.append(("chunks", {
                **chunk, "min": _extended(chunk["min"], pattern, found, added),
                "max": _extended(chunk["max"], pattern, found, added),
                "lastmod": Timestamp(major, at),
            }))
        gone: list[tuple[str, Any]] = []
        for row in zones.zones_of(member, ns):
            gone.append(("tags", row["_id"]))
            low = _extended(row["min"], pattern, found, added)
            high = _extended(row["max"], pattern, found, added)
            changes.append(("tags", {
                **row, "_id": {"ns": ns, "min": low}, "min": low, "max": high,
            }))
        changes.append(
            (routing.OUTCOMES, routing.outcome_row(member, identifier, "committed", ns))
        )
        store.write(member, changes, gone)
        await store.settled(member)
    finally:
        await unblock(member, shards, identifier, ns)


def _extended(
    bound: Document, pattern: KeyPattern, found: chunks.Map, added: list[str]
) -> Document:
    """Add fields to a bound: MinKey, but MaxKey at the very end."""
    is_end = bound == found.pattern.highest
    source = pattern.highest if is_end else pattern.lowest
    return {**bound, **{name: source[name] for name in added}}


COMMANDS = (
    Command(
        "enableSharding", enable_sharding, (Field("primaryShard", "string"),), target="string",
        admin_only=True, writes=True, write_concern=True, help="Create a database.",
    ),
    Command(
        "refineCollectionShardKey", to_the_end(refine),
        (Field("key", "object", required=True), Field("enforceUniquenessCheck", "safe bool")),
        target="string", admin_only=True, writes=True, write_concern=True,
        help="Add fields to a shard key.",
    ),
    Command(
        "shardCollection", to_the_end(shard_collection),
        (
            Field("key", "object", required=True), Field("unique", "safe bool"),
            Field("numInitialChunks", "count"), Field("presplitHashedZones", "safe bool"),
            Field("collation", "object"), Field("timeseries", "object"),
            Field("implicitlyCreateIndex", "safe bool"),
            Field("enforceUniquenessCheck", "safe bool"),
        ),
        target="string", admin_only=True, writes=True, write_concern=True,
        help="Shard a collection.",
    ),
)
