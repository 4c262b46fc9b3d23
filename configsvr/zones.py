"""Zones: shards' tags, ranges of keys that belong to a zone."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from configsvr import chunks, store
from psdb_base.errors import Code, MongoError
from psdb_base.shard_keys import KeyPattern
from psdb_base.values import Document
from psdb_query.describe import text_of
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field, type_name
from psdb_server.namespaces import split_namespace
from shardsvr.collections import member_of
from shardsvr.member import Member


def zones_of(member: Member, ns: str) -> list[Document]:
    """Return the zone ranges of a collection, in any order."""
    return [row for row in store.unordered(member, "tags") if row["ns"] == ns]


class Zones:
    """The zone ranges of a collection as they are now, in order.

    Attributes:
        rows: The documents of `config.tags`, by bounds.

    """

    def __init__(self, member: Member, found: chunks.Map) -> None:
        self._key = found.key
        self.rows = sorted(zones_of(member, found.ns), key=lambda row: found.key(row["min"]))
        self._lows = [found.key(row["min"]) for row in self.rows]

    def of(self, chunk: Document) -> str | None:
        """Return the zone that holds a whole chunk, None for a chunk in none."""
        if not self.rows:
            return None
        at = bisect_right(self._lows, self._key(chunk["min"])) - 1
        if at < 0 or self._key(chunk["max"]) > self._key(self.rows[at]["max"]):
            return None
        tag: str = self.rows[at]["tag"]
        return tag


def _shard(member: Member, name: str) -> Document:
    row = store.find(member, "shards", name)
    if row is None:
        raise MongoError(Code.SHARD_NOT_FOUND, f"shard {name} does not exist")
    return row


async def add_shard_to_zone(request: Request) -> Reply:
    """`addShardToZone`."""
    member, name, zone = member_of(request), str(request.target), request.args["zone"]
    await store.ready(member, "shards")
    row = _shard(member, name)
    if zone not in row.get("tags", []):
        store.write(member, [("shards", {**row, "tags": [*row.get("tags", []), zone]})])
    return {}


async def remove_shard_from_zone(request: Request) -> Reply:
    """`removeShardFromZone`; 163 ZoneStillInUse for the last shard of a zone with ranges."""
    member, name, zone = member_of(request), str(request.target), request.args["zone"]
    await store.ready(member, "shards")
    row = _shard(member, name)
    if zone not in row.get("tags", []):
        return {}
    others = [
        one for one in store.unordered(member, "shards")
        if one["_id"] != name and zone in one.get("tags", [])
    ]
    used = any(tag["tag"] == zone for tag in store.unordered(member, "tags"))
    if not others and used:
        raise MongoError(
            Code.ZONE_STILL_IN_USE, f"at least one shard is required for the zone {zone}: "
            "ranges are assigned to it"
        )
    kept = [one for one in row["tags"] if one != zone]
    store.write(member, [("shards", {**row, "tags": kept})])
    return {}


async def update_zone_key_range(request: Request) -> Reply:
    """`updateZoneKeyRange`: assign a range to a zone, or (zone null) take it out."""
    member, args = member_of(request), request.args
    ns = str(request.target)
    split_namespace(ns)
    await store.ready(member, "tags", "chunks")
    collection = store.find(member, "collections", ns)
    names = collection["key"] if collection is not None else args["min"]
    pattern = KeyPattern(dict.fromkeys(names, 1) if collection is None else names)
    low = _whole(pattern, args["min"])
    high = _whole(pattern, args["max"])
    if pattern.bound_key(low) >= pattern.bound_key(high):
        raise MongoError(
            Code.FAILED_TO_PARSE,
            f"max: {text_of(high)} should be greater than min: {text_of(low)}",
        )
    zone = args.get("zone")
    if "zone" not in request.body:
        raise MongoError(40414, "BSON field 'updateZoneKeyRange.zone' is missing but a required "
                         "field")
    if zone is not None and type(zone) is not str:
        raise MongoError(
            Code.TYPE_MISMATCH,
            f'"zone" had the wrong type. Expected string, found {type_name(zone)}',
        )
    if zone is None:
        gone = [row for row in zones_of(member, ns) if row["min"] == low and row["max"] == high]
        store.write(member, [], [("tags", row["_id"]) for row in gone])
        return {}
    if not any(zone in row.get("tags", []) for row in store.unordered(member, "shards")):
        raise MongoError(Code.ZONE_NOT_FOUND, f"zone {zone} does not exist")
    _check_overlap(member, ns, pattern, low, high, zone)
    row: Document = {
        "_id": {"ns": ns, "min": low}, "ns": ns, "min": low, "max": high, "tag": zone,
    }
    store.write(member, [("tags", row)])
    return {}


def _whole(pattern: KeyPattern, bound: Document) -> Document:
    """Complete a bound on a prefix of the key with MinKey."""
    given = tuple(bound)
    if given != pattern.names[: len(given)]:
        raise MongoError(
            Code.SHARD_KEY_NOT_FOUND,
            f"the bound {text_of(bound)} does not begin with the fields of the shard key "
            f"{text_of(pattern.spec)}",
        )
    return {**pattern.lowest, **bound}


def _check_overlap(
    member: Member, ns: str, pattern: KeyPattern, low: Document, high: Document, zone: Any
) -> None:
    start, end = pattern.bound_key(low), pattern.bound_key(high)
    for row in zones_of(member, ns):
        if row["min"] == low and row["max"] == high and row["tag"] == zone:
            continue
        other = pattern.bound_key(row["min"]), pattern.bound_key(row["max"])
        if start < other[1] and other[0] < end:
            raise MongoError(
                Code.RANGE_OVERLAP_CONFLICT,
                f"Zone range: [{text_of(low)}, {text_of(high)}) is overlapping with existing: "
                f"[{text_of(row['min'])}, {text_of(row['max'])})",
            )


def cut_at_zones(member: Member, ns: str) -> None:
    """Cut the chunks that reach over a zone's bound, without an await."""
    found = chunks.map_of(member, ns)
    for row in Zones(member, found).rows:
        for bound in (row["min"], row["max"]):
            chunk = found.at(bound)
            if found.key(chunk["min"]) < found.key(bound) < found.key(chunk["max"]):
                chunks.split(member, found, chunk, [bound])


_ZONE = Field("zone", "string", required=True)
COMMANDS = (
    Command(
        "addShardToZone", add_shard_to_zone, (_ZONE,), target="string", admin_only=True,
        writes=True, write_concern=True, help="Put a shard into a zone.",
    ),
    Command(
        "removeShardFromZone", remove_shard_from_zone, (_ZONE,), target="string",
        admin_only=True, writes=True, write_concern=True, help="Take a shard out of a zone.",
    ),
    Command(
        "updateZoneKeyRange", update_zone_key_range,
        (
            Field("min", "object", required=True), Field("max", "object", required=True),
            Field("zone", "any"),
        ),
        target="string", admin_only=True, writes=True, write_concern=True,
        help="Assign a range of keys to a zone.",
    ),
)
