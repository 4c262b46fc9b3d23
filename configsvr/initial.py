"""The first chunks of a collection: where they begin, on which shards they are."""

from __future__ import annotations

from typing import Any, Final

from bson.binary import Binary
from bson.int64 import Int64
from bson.timestamp import Timestamp

from configsvr import chunks, store
from configsvr.zones import zones_of
from psdb_base.errors import Code, MongoError
from psdb_base.shard_keys import KeyPattern
from psdb_base.values import Document
from shardsvr.member import Member

_CHUNKS_MAX: Final = 8192


def first_chunks(
    member: Member, ns: str, pattern: KeyPattern, args: Document, primary: str, uuid: Binary,
    *, is_empty: bool,
) -> list[Document]:
    """Return the first chunks of a collection.

    An empty collection is spread at once: by its zones, by hash. One with documents begins with
    a chunk on its primary shard.
    """
    shards = sorted(
        row["_id"] for row in store.unordered(member, "shards") if not row.get("draining")
    )
    count = args.get("numInitialChunks", 0)
    zones = zones_of(member, ns) if is_empty else []
    bounds: list[Document]
    if zones:
        return _by_zones(member, pattern, zones, primary, uuid)
    if is_empty and pattern.hashed is not None and pattern.names[0] == pattern.hashed:
        wanted = min(count or len(shards), _CHUNKS_MAX * len(shards))
        bounds = _hashed_bounds(pattern, wanted)
        owners = [shards[at * len(shards) // wanted] for at in range(wanted)]
    else:
        bounds, owners = [pattern.lowest, pattern.highest], [primary]
    since = member.clock.tick()
    return [
        chunks.make_chunk(
            member, uuid, bounds[at], bounds[at + 1], owner, Timestamp(1, at), since
        )
        for at, owner in enumerate(owners)
    ]


def _hashed_bounds(pattern: KeyPattern, count: int) -> list[Document]:
    """Cut the hashes evenly."""
    first, rest = pattern.names[0], pattern.names[1:]
    step = 2**64 // count
    inner: list[Document] = []
    for at in range(1, count):
        value = -(2**63) + step * at
        inner.append({first: Int64(value), **{n: pattern.lowest[n] for n in rest}})
    return [pattern.lowest, *inner, pattern.highest]


def _by_zones(
    member: Member, pattern: KeyPattern, zones: list[Document], primary: str, uuid: Binary
) -> list[Document]:
    """Make a chunk for each zone, on its shards in turn, and for each gap between."""
    key = pattern.bound_key
    zones = sorted(zones, key=lambda row: key(row["min"]))
    parts: list[tuple[Document, Document, str]] = []
    turn: dict[Any, int] = {}
    at = pattern.lowest
    for row in zones:
        if key(at) < key(row["min"]):
            parts.append((at, row["min"], primary))
        tagged = sorted(
            shard["_id"] for shard in store.unordered(member, "shards")
            if row["tag"] in shard.get("tags", [])
        )
        if not tagged:
            raise MongoError(Code.ZONE_NOT_FOUND, f"zone {row['tag']} has no shard")
        number = turn.get(row["tag"], 0)
        turn[row["tag"]] = number + 1
        parts.append((row["min"], row["max"], tagged[number % len(tagged)]))
        at = row["max"]
    if key(at) < key(pattern.highest):
        parts.append((at, pattern.highest, primary))
    since = member.clock.tick()
    return [
        chunks.make_chunk(member, uuid, low, high, shard, Timestamp(1, number), since)
        for number, (low, high, shard) in enumerate(parts)
    ]
