"""The first chunks of a collection: where they begin, on which shards they are."""

from __future__ import annotations

from itertools import cycle
from typing import Final

from bson.binary import Binary
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.timestamp import Timestamp

from configsvr import chunks, store
from configsvr.zones import zones_of
from psdb_base.errors import Code, MongoError
from psdb_base.shard_keys import KeyPattern
from psdb_base.values import Document
from psdb_query.describe import text_of
from shardsvr.member import Member

_CHUNKS_MAX: Final = 8192
"""Initial chunks of a shard."""
_CHUNKS_PER_ZONED_SHARD: Final = 2
_NO_ZONES: Final = 31387
_NOT_ONE_ZONE: Final = 31412
_SAME_PREFIX: Final = 31390
_NOT_FROM_MIN_KEY: Final = 31391
Part = tuple[Document, Document, str]
"""Where a chunk begins and ends, and its shard."""


def first_chunks(
    member: Member, ns: str, pattern: KeyPattern, args: Document, primary: str, uuid: Binary,
    *, is_empty: bool,
) -> list[Document]:
    """Return the first chunks of a collection.

    An empty collection is spread at once: by its zones, by hash. One with documents begins with
    a chunk on its primary shard.
    """
    check(member, ns, pattern, args, is_empty=is_empty)
    zones = _zones(member, ns, pattern) if is_empty else []
    if zones:
        parts = _by_zones(member, pattern, zones, args)
    elif is_empty and pattern.hashed is not None and pattern.names[0] == pattern.hashed:
        parts = _by_hash(member, pattern, args.get("numInitialChunks", 0), primary)
    else:
        parts = [(pattern.lowest, pattern.highest, primary)]
    since = member.clock.tick()
    return [
        chunks.make_chunk(member, uuid, low, high, shard, Timestamp(1, number), since)
        for number, (low, high, shard) in enumerate(parts)
    ]


def check(
    member: Member, ns: str, pattern: KeyPattern, args: Document, *, is_empty: bool
) -> None:
    """Raise when options about first chunks, or zones, do not fit the collection."""
    count, presplit = args.get("numInitialChunks", 0), args.get("presplitHashedZones", False)
    if (count or presplit) and not is_empty:
        raise MongoError(
            Code.INVALID_OPTIONS,
            "numInitialChunks and presplitHashedZones are not supported when the collection is "
            "not empty",
        )
    most = _CHUNKS_MAX * len(_shards(member))
    if count > most:
        raise MongoError(
            Code.INVALID_OPTIONS,
            f"numInitialChunks cannot be more than {most}, {_CHUNKS_MAX} for each shard",
        )
    zones = _zones(member, ns, pattern)
    if presplit:
        _check_presplit(pattern, zones)
    elif count and pattern.names[0] != pattern.hashed:
        raise MongoError(
            Code.INVALID_OPTIONS,
            "numInitialChunks needs presplitHashedZones when the hashed field is not the first one",
        )


def _check_presplit(pattern: KeyPattern, zones: list[Document]) -> None:
    if not zones:
        raise MongoError(
            _NO_ZONES, "presplitHashedZones needs zones that are defined before the sharding"
        )
    assert pattern.hashed is not None
    at = pattern.names.index(pattern.hashed)
    if not at:
        if len(zones) > 1 or (zones[0]["min"], zones[0]["max"]) != (
            pattern.lowest, pattern.highest
        ):
            raise MongoError(
                _NOT_ONE_ZONE,
                "presplitHashedZones with a hashed first field needs one zone, with MinKey in all "
                "fields of its min and MaxKey in all fields of its max",
            )
        return
    prefix, rest = pattern.names[:at], pattern.names[at:]
    for row in zones:
        if all(row["min"][name] == row["max"][name] for name in prefix):
            raise MongoError(
                _SAME_PREFIX,
                "presplitHashedZones needs zones whose min and max differ in a field before the "
                f"hashed one: [{text_of(row['min'])}, {text_of(row['max'])})",
            )
        if any(type(row["min"][name]) is not MinKey for name in rest):
            raise MongoError(
                _NOT_FROM_MIN_KEY,
                "presplitHashedZones needs zones whose min has MinKey in the hashed field and all "
                f"fields behind it: [{text_of(row['min'])}, {text_of(row['max'])})",
            )


def _zones(member: Member, ns: str, pattern: KeyPattern) -> list[Document]:
    """Return the zone ranges in order; 72 for one that does not fit the key."""
    rows = zones_of(member, ns)
    for row in rows:
        for bound in (row["min"], row["max"]):
            if tuple(bound) != pattern.names:
                raise MongoError(
                    Code.INVALID_OPTIONS,
                    f"the proposed shard key {text_of(pattern.spec)} does not match the zone range "
                    f"[{text_of(row['min'])}, {text_of(row['max'])})",
                )
            hashed = None if pattern.hashed is None else bound[pattern.hashed]
            if hashed is not None and not isinstance(hashed, Int64 | MinKey | MaxKey):
                raise MongoError(
                    Code.INVALID_OPTIONS,
                    f"the zone range [{text_of(row['min'])}, {text_of(row['max'])}) must have "
                    "longs in the hashed "
                    f"field {pattern.hashed}",
                )
    return sorted(rows, key=lambda row: pattern.bound_key(row["min"]))


def _shards(member: Member, zone: str | None = None) -> list[str]:
    """Return the shards that take chunks, of a zone or all."""
    return sorted(
        row["_id"] for row in store.unordered(member, "shards")
        if not row.get("draining") and (zone is None or zone in row.get("tags", []))
    )


def _by_hash(member: Member, pattern: KeyPattern, count: int, primary: str) -> list[Part]:
    """Spread the hashes evenly over all shards."""
    shards = _shards(member)
    wanted = count or len(shards)
    owners = [shards[at * len(shards) // wanted] for at in range(wanted)]
    bounds = [pattern.lowest, *_hashes(pattern, pattern.lowest, wanted), pattern.highest]
    return list(zip(bounds, bounds[1:], owners if wanted > 1 else [primary], strict=False))


def _hashes(pattern: KeyPattern, low: Document, count: int) -> list[Document]:
    """Return the bounds that cut the hashes evenly, behind the first fields of `low`."""
    assert pattern.hashed is not None
    step = 2**64 // count
    return [
        {**pattern.lowest, **{
            name: low[name] for name in pattern.names[: pattern.names.index(pattern.hashed)]
        }, pattern.hashed: Int64(-(2**63) + step * at)}
        for at in range(1, count)
    ]


def _by_zones(
    member: Member, pattern: KeyPattern, zones: list[Document], args: Document
) -> list[Part]:
    """Make chunks for each zone on its shards; the gaps between go to all shards in turn."""
    key = pattern.bound_key
    gaps = cycle(_shards(member))
    taken: dict[str, int] = {}
    shares = _shares(member, zones, args.get("numInitialChunks", 0))
    parts: list[Part] = []
    at = pattern.lowest
    for row in zones:
        if key(at) < key(row["min"]):
            parts.append((at, row["min"], next(gaps)))
        shards = _shards(member, row["tag"])
        if not shards:
            raise MongoError(Code.ZONE_NOT_FOUND, f"zone {row['tag']} has no shard")
        if args.get("presplitHashedZones"):
            owners = [name for name in shards for _ in range(shares[name])]
        else:
            number = taken.get(row["tag"], 0)
            taken[row["tag"]] = number + 1
            owners = [shards[number % len(shards)]]
        inner = _hashes(pattern, row["min"], len(owners)) if len(owners) > 1 else []
        bounds = [row["min"], *inner, row["max"]]
        parts += zip(bounds, bounds[1:], owners, strict=False)
        at = row["max"]
    if key(at) < key(pattern.highest):
        parts.append((at, pattern.highest, next(gaps)))
    return parts


def _shares(member: Member, zones: list[Document], count: int) -> dict[str, int]:
    """Return by shard how many chunks each range of its zones gets on it."""
    ranges: dict[str, int] = {}
    for row in zones:
        for name in _shards(member, row["tag"]):
            ranges[name] = ranges.get(name, 0) + 1
    each = -(-count // len(ranges)) if count and ranges else _CHUNKS_PER_ZONED_SHARD
    return {name: -(-each // number) for name, number in ranges.items()}
