"""Moving ranges between shards: by hand (`moveChunk`, `moveRange`) and for the balancer."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from bson.binary import Binary
from bson.timestamp import Timestamp

from configsvr import chunks, routing, store
from configsvr.carrying import to_the_end
from configsvr.following import is_named
from configsvr.zones import Zones
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.describe import text_of
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field
from psdb_server.labels import RETRYABLE_CODES
from psdb_server.namespaces import split_namespace
from shardsvr.collections import member_of
from shardsvr.member import Member

_CHUNKS_MAX: Final = 10_000_000
_RECOVERY_SECONDS: Final = 20.0
_RECOVERY_PAUSE_SECONDS: Final = 0.2


def shard_row(member: Member, name: str) -> Document:
    """Return a shard's row by its name, host, set or a member; 70 ShardNotFound."""
    rows = store.unordered(member, "shards")
    for row in [row for row in rows if row["_id"] == name] or rows:
        if is_named(row, name):
            return row
    raise MongoError(Code.SHARD_NOT_FOUND, f"Shard {name} does not exist")


def command_on(member: Member, shard: str, command: Document) -> Any:
    """Run a command on a shard by name."""
    row = shard_row(member, shard)
    return member.sharding.peer(row["host"]).command("admin", command)


def locked(member: Member, ns: str) -> asyncio.Lock:
    """Return the lock of a collection's (or database's) changes; they run one after another."""
    return member.locks.setdefault(ns, asyncio.Lock())


async def move(
    member: Member, ns: str, bounds: Document, recipient: str, *, force_jumbo: bool = False,
    wait_for_delete: bool = False, bytes_max: int | None = None,
) -> None:
    """Have the owner of a range move it to another shard, and write the change log.

    The range lies within one chunk of a shard.
    """
    async with locked(member, ns):
        found = chunks.map_of(member, ns)
        chunk = found.at(bounds["min"])
        donor = chunk["shard"]
        if donor == recipient:
            return
        chunks.check_may_migrate(found.row)
        target = shard_row(member, recipient)
        command: Document = {
            "_shardsvrMoveRange": 1, "id": Binary(member.world.random.uuid(), 4), "ns": ns,
            "uuid": found.row["uuid"], "range": bounds, "keyPattern": found.row["key"],
            "toShard": recipient, "toHost": target["host"], "forceJumbo": force_jumbo,
            "waitForDelete": wait_for_delete,
        }
        if bytes_max is not None:
            command["bytesMax"] = bytes_max
        details: Document = {**bounds, "from": donor, "to": recipient}
        await store.note(member, "moveChunk.start", ns, details)
        try:
            reply = await _until_known(member, donor, command)
        except MongoError as error:
            await store.note(
                member, "moveChunk.error", ns, {**details, "errmsg": error.message}
            )
            raise
        await store.note(
            member, "moveChunk.commit", ns, {**details, "counts": reply.get("counts", {})}
        )


async def _until_known(member: Member, donor: str, command: Document) -> Document:
    """Have a donor move a range; when it fails over on the way, see how that ended.

    What was not committed then is begun once more, as a migration of its own.
    """
    end = member.world.clock.monotonic() + _RECOVERY_SECONDS
    cut_off = False
    while True:
        try:
            reply: Document = await command_on(member, donor, command)
        except MongoError as error:
            late = member.world.clock.monotonic() > end
            if error.code == Code.CONFLICTING_OPERATION_IN_PROGRESS and cut_off and not late:
                await asyncio.sleep(_RECOVERY_PAUSE_SECONDS)  # its new primary tidies up
                continue
            lost = error.code in RETRYABLE_CODES or bool(error.extra.get("recipientLost"))
            if late or not lost:
                raise
            if await routing.fence(member, command["id"]) == "committed":
                return {}
            command["id"] = Binary(member.world.random.uuid(), 4)
            cut_off = True
        else:
            return reply


async def move_chunk(request: Request) -> Reply:
    """`moveChunk`: the chunk that holds a document (`find`) or has these bounds."""
    member, args = member_of(request), request.args
    ns, began = str(request.target), member_of(request).world.clock.monotonic()
    split_namespace(ns)
    found = chunks.map_of(member, ns)
    recipient = shard_row(member, args["to"])["_id"]
    chunk = chunk_by(found, args)
    size = args.get("maxChunkSizeBytes") or 2 * chunks.chunk_bytes(member, found.row)
    await _move_checked(request, found, chunk, recipient, size)
    return {"millis": int((member.world.clock.monotonic() - began) * 1000)}


def chunk_by(found: chunks.Map, args: Document) -> Document:
    """Return the chunk that `find` or `bounds` names."""
    by_find, bounds = args.get("find"), args.get("bounds")
    if (by_find is None) == (bounds is None):
        raise MongoError(
            Code.INVALID_OPTIONS, "need to specify either find or bounds, and not both"
        )
    if by_find is not None:
        missing = [name for name in found.pattern.names if not _has(by_find, name)]
        if missing:
            raise MongoError(
                Code.SHARD_KEY_NOT_FOUND,
                f"no shard key found in chunk query {text_of(by_find)}",
            )
        return found.at(found.pattern.bound(by_find))
    assert bounds is not None
    if len(bounds) != 2 or any(type(one) is not dict for one in bounds):
        raise MongoError(Code.INVALID_OPTIONS, "bounds must be two documents")
    chunk = found.exact(bounds[0], bounds[1])
    if chunk is None:
        raise MongoError(
            Code.BAD_VALUE,
            f"no chunk of {found.ns} has the bounds {text_of(bounds[0])} and {text_of(bounds[1])}",
        )
    return chunk


def _has(document: Document, path: str) -> bool:
    if path in document:
        return True
    value: Any = document
    for part in path.split("."):
        if type(value) is not dict or part not in value:
            return False
        value = value[part]
    return True


async def _move_checked(
    request: Request, found: chunks.Map, chunk: Document, recipient: str, size: int
) -> None:
    member, args = member_of(request), request.args
    zone = Zones(member, found).of(chunk)
    row = shard_row(member, recipient)
    if zone is not None and zone not in row.get("tags", []):
        raise MongoError(
            Code.ILLEGAL_OPERATION,
            f"the chunk belongs to zone {zone}, to which shard {recipient} does not",
        )
    if row.get("draining"):
        raise MongoError(Code.ILLEGAL_OPERATION, f"Shard {recipient} is currently draining")
    bounds = {"min": chunk["min"], "max": chunk["max"]}
    await move(
        member, found.ns, bounds, recipient,
        force_jumbo=bool(args.get("forceJumbo", False)),
        wait_for_delete=bool(args.get("waitForDelete", args.get("_waitForDelete", False))),
        bytes_max=size,
    )


async def move_range(request: Request) -> Reply:
    """`moveRange`: from `min` to `max`, one of which may be left out."""
    member, args = member_of(request), request.args
    ns = str(request.target)
    split_namespace(ns)
    found = chunks.map_of(member, ns)
    recipient = shard_row(member, args["toShard"])["_id"]
    low, high = args.get("min"), args.get("max")
    if low is None and high is None:
        raise MongoError(Code.INVALID_OPTIONS, "Must specify at least one of min and max")
    size = chunks.chunk_bytes(member, found.row)
    if low is not None:
        chunk = found.at(low)
    else:
        assert high is not None
        chunk = found.below(high)
    if low is None or high is None:
        low, high = await _open_ended(member, found, chunk, low, high, size)
    if found.key(low) >= found.key(high):
        raise MongoError(Code.INVALID_OPTIONS, "min must be below max")
    part = {**chunk, "min": low, "max": high}
    if found.key(chunk["max"]) < found.key(high) or found.key(low) < found.key(chunk["min"]):
        raise MongoError(Code.BAD_VALUE, "the range must lie within one chunk")
    await _move_checked(request, found, part, recipient, 2 * size)
    return {}


async def _open_ended(
    member: Member, found: chunks.Map, chunk: Document, low: Any, high: Any, size: int
) -> tuple[Document, Document]:
    """Find the missing end of a range: as much of the chunk as the largest chunk may hold."""
    if low is not None:
        return low, await cut_end(member, found, chunk["shard"], low, chunk["max"], size)
    reply = await _cuts(member, found, chunk["shard"], chunk["min"], high, size)
    return (reply[-1] if reply else chunk["min"]), high


async def _cuts(
    member: Member, found: chunks.Map, shard: str, low: Document, high: Document, size: int,
    **more: Any,
) -> list[Document]:
    """Return the keys within a range that cut it into parts of a size."""
    reply = await command_on(member, shard, {
        "_shardsvrAutoSplit": 1, "ns": found.ns, "keyPattern": found.row["key"],
        "min": low, "max": high, "bytesMax": size, **more,
    })
    return [point for point in reply["splitKeys"] if found.key(point) > found.key(low)]


async def cut_end(
    member: Member, found: chunks.Map, shard: str, low: Document, high: Document, size: int
) -> Document:
    """Return where a range that begins at `low` is to end so that it holds at most `size`."""
    points = await _cuts(member, found, shard, low, high, size, limit=1)
    return points[0] if points else high


async def split_chunk(request: Request) -> Reply:
    """`split`: a chunk at a key, in the middle of the one that holds a key, or by its bounds."""
    member, args = member_of(request), request.args
    ns = str(request.target)
    split_namespace(ns)
    given = [name for name in ("find", "middle", "bounds") if name in args]
    if len(given) != 1:
        raise MongoError(
            Code.INVALID_OPTIONS, "need to specify exactly one of find, bounds, and middle"
        )
    found = chunks.map_of(member, ns)
    point = args.get("middle")
    if point is not None:
        chunk = found.at(point)
        if found.key(chunk["min"]) == found.key(point):
            raise MongoError(
                Code.BAD_VALUE,
                f"new split key {text_of(point)} is a boundary key of existing chunk "
                f"[{text_of(chunk['min'])}, {text_of(chunk['max'])})"
            )
    else:
        chunk = chunk_by(found, args)
        reply = await command_on(member, chunk["shard"], {
            "_shardsvrMedian": 1, "ns": ns, "keyPattern": found.row["key"],
            "min": chunk["min"], "max": chunk["max"],
        })
        point = reply["median"]
        if point is None:
            raise MongoError(Code.OPERATION_FAILED, "cannot find median in chunk, possibly empty")
    async with locked(member, ns):
        await store.ready(member, "chunks")
        found = chunks.map_of(member, ns)
        chunk = found.at(point)
        if found.key(chunk["min"]) != found.key(point):
            chunks.split(member, found, chunk, [point])
    await store.note(member, "split", ns, {
        "before": {"min": chunk["min"], "max": chunk["max"]},
        "left": {"min": chunk["min"], "max": point}, "right": {"min": point, "max": chunk["max"]},
    })
    return {}


async def merge_chunks(request: Request) -> Reply:
    """`mergeChunks`: neighbours on one shard between two bounds."""
    member, args = member_of(request), request.args
    ns = str(request.target)
    split_namespace(ns)
    bounds = args["bounds"]
    if len(bounds) != 2 or any(type(one) is not dict for one in bounds):
        raise MongoError(Code.BAD_VALUE, "Invalid bounds: two documents are needed")
    async with locked(member, ns):
        await store.ready(member, "chunks")
        found = chunks.map_of(member, ns)
        for bound in bounds:
            found.key(bound)  # sees that the fields are those of the shard key
        parts = found.between(bounds[0], bounds[1])
        if not parts or parts[0]["min"] != bounds[0] or parts[-1]["max"] != bounds[1]:
            raise MongoError(
                Code.ILLEGAL_OPERATION, f"could not merge chunks, collection {ns} has no chunks "
                f"with exactly the bounds {text_of(bounds[0])} and {text_of(bounds[1])}"
            )
        if len({part["shard"] for part in parts}) > 1:
            raise MongoError(
                Code.ILLEGAL_OPERATION, "could not merge chunks, they are on several shards"
            )
        if len(parts) > 1:
            chunks.merge(member, found, parts)
    await store.note(member, "merge", ns, {"merged": parts})
    return {}


async def merge_all(request: Request) -> Reply:
    """`mergeAllChunksOnShard`: all runs of mergeable chunks of a collection on a shard."""
    member, ns = member_of(request), str(request.target)
    shard = shard_row(member, request.args["shard"])["_id"]
    most = request.args.get("maxNumberOfChunksToMerge", _CHUNKS_MAX)
    async with locked(member, ns):
        await store.ready(member, "chunks")
        count = merge_runs(member, ns, shard, most)
    if count:
        await store.note(member, "autoMerge", ns, {"shard": shard, "merged": count})
    return {}


def runs_of(owned: list[Document], zones: Zones) -> list[list[Document]]:
    """Return the runs of neighbours among a shard's chunks that one zone holds.

    Chunks that are marked as jumbo stay out.
    """
    runs: list[list[Document]] = []
    for chunk in owned:
        if chunk.get("jumbo"):
            continue
        last = runs[-1][-1] if runs else None
        if last is not None and last["max"] == chunk["min"] and (
            zones.of(last) == zones.of(chunk)
        ):
            runs[-1].append(chunk)
        else:
            runs.append([chunk])
    return [run for run in runs if len(run) > 1]


def merge_runs(member: Member, ns: str, shard: str, most: int = _CHUNKS_MAX) -> int:
    """Merge runs of a collection's chunks on a shard, `most` chunks in all; tell how many went."""
    found = chunks.map_of(member, ns)
    gone = 0
    for run in runs_of(found.of_shard(shard), Zones(member, found)):
        part = run[:most]
        most -= len(part)
        if len(part) > 1:
            chunks.merge(member, found, part)
            gone += len(part) - 1
    return gone


async def clear_jumbo(request: Request) -> Reply:
    """`clearJumboFlag`."""
    member, ns = member_of(request), str(request.target)
    async with locked(member, ns):
        await store.ready(member, "chunks")
        found = chunks.map_of(member, ns)
        chunk = chunk_by(found, request.args)
        if chunk.get("jumbo"):
            version = Timestamp(found.version.time + 1, 0)
            rest = {name: value for name, value in chunk.items() if name != "jumbo"}
            store.write(member, [("chunks", {**rest, "lastmod": version})])
    return {}


_WHICH: Final = (Field("find", "object"), Field("bounds", "array"))
COMMANDS = (
    Command(
        "clearJumboFlag", clear_jumbo, _WHICH, target="string", admin_only=True, writes=True,
        write_concern=True, help="Let a chunk be moved again.",
    ),
    Command(
        "mergeAllChunksOnShard", merge_all,
        (Field("shard", "string", required=True), Field("maxNumberOfChunksToMerge", "count")),
        target="string", admin_only=True, writes=True, help="Merge a shard's chunks.",
    ),
    Command(
        "mergeChunks", merge_chunks, (Field("bounds", "array", required=True),),
        target="string", admin_only=True, writes=True, help="Merge neighbouring chunks.",
    ),
    Command(
        "moveChunk", to_the_end(move_chunk),
        (
            *_WHICH, Field("to", "string", required=True), Field("forceJumbo", "safe bool"),
            Field("waitForDelete", "safe bool"), Field("_waitForDelete", "safe bool"),
            Field("secondaryThrottle", "safe bool"), Field("_secondaryThrottle", "safe bool"),
            Field("maxChunkSizeBytes", "int"),
        ),
        target="string", admin_only=True, writes=True, write_concern=True,
        help="Move a chunk to another shard.",
    ),
    Command(
        "moveRange", to_the_end(move_range),
        (
            Field("toShard", "string", required=True), Field("min", "object"),
            Field("max", "object"), Field("forceJumbo", "safe bool"),
            Field("waitForDelete", "safe bool"), Field("secondaryThrottle", "safe bool"),
        ),
        target="string", admin_only=True, writes=True, write_concern=True,
        help="Move a range to another shard.",
    ),
    Command(
        "split", split_chunk, (*_WHICH, Field("middle", "object")), target="string",
        admin_only=True, writes=True, help="Split a chunk.",
    ),
)
