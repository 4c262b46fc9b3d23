"""The chunks of sharded collections: reading, splitting, merging, changing hands.

Invariant: the chunks of a collection, in order of their bounds, cover all keys from MinKey to
MaxKey without gap or overlap. Every change gives what it makes versions above all that were, and
is one entry of the log. The major number grows when a range changes hands; then the donor too
gets a chunk with the new number, so that both shards' versions change.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

from bson.binary import Binary
from bson.timestamp import Timestamp

from configsvr import store
from psdb_base.errors import Code, MongoError
from psdb_base.shard_keys import KeyPattern
from psdb_base.values import Document
from shardsvr.member import Member

CHUNK_BYTES_DEFAULT: Final = 128 * 2**20
_HISTORY_MAX: Final = 5


class Map:
    """A collection and its chunks in order, as they are now.

    Attributes:
        row: The document of `config.collections`.
        pattern: Its shard key.
        chunks: The documents of `config.chunks`, by bounds.

    """

    def __init__(self, member: Member, row: Document) -> None:
        self.member = member
        self.row = row
        self.ns: str = row["_id"]
        self.uuid = bytes(row["uuid"])
        self.pattern = KeyPattern(row["key"])
        key = self.pattern.bound_key
        found = [c for c in store.unordered(member, "chunks") if c["uuid"] == row["uuid"]]
        self.chunks: list[Document] = sorted(found, key=lambda chunk: key(chunk["min"]))

    @property
    def version(self) -> Timestamp:
        """The highest version of a chunk."""
        highest: Timestamp = max(chunk["lastmod"] for chunk in self.chunks)
        return highest

    def shard_version(self, shard: str) -> Timestamp:
        """Return the highest version of a shard's chunks, (0, 0) for a shard without."""
        versions = [chunk["lastmod"] for chunk in self.chunks if chunk["shard"] == shard]
        return max(versions, default=Timestamp(0, 0))

    def key(self, bound: Document) -> bytes:
        """Return a bound's key."""
        return self.pattern.bound_key(bound)

    def of_key(self, key: bytes) -> Document:
        """Return the chunk that holds a key."""
        low, high = 0, len(self.chunks)
        while high - low > 1:
            middle = (low + high) // 2
            if self.key(self.chunks[middle]["min"]) <= key:
                low = middle
            else:
                high = middle
        return self.chunks[low]

    def exact(self, low: Document, high: Document) -> Document | None:
        """Return the chunk with these bounds."""
        found = self.of_key(self.key(low))
        return found if found["min"] == low and found["max"] == high else None

    def ownership(self, shard: str) -> Document:
        """Return what a shard owns, as its `config.cache.collections` keeps it."""
        ranges: list[Document] = []
        for chunk in self.chunks:
            if chunk["shard"] != shard:
                continue
            if ranges and ranges[-1]["max"] == chunk["min"]:
                ranges[-1] = {"min": ranges[-1]["min"], "max": chunk["max"]}
            else:
                ranges.append({"min": chunk["min"], "max": chunk["max"]})
        return {
            "_id": self.ns, "uuid": self.row["uuid"], "epoch": self.row["lastmodEpoch"],
            "timestamp": self.row["timestamp"], "key": self.row["key"],
            "unique": self.row["unique"], "version": self.shard_version(shard),
            "collectionVersion": self.version, "ranges": ranges,
        }


def map_of(member: Member, ns: str) -> Map:
    """Return a collection's chunks; 118 NamespaceNotSharded when there are none."""
    row = store.find(member, "collections", ns)
    if row is None:
        raise MongoError(Code.NAMESPACE_NOT_SHARDED, f"Namespace {ns} is not sharded")
    return Map(member, row)


def make_chunk(
    member: Member, uuid: Binary, low: Document, high: Document, shard: str, version: Timestamp,
    since: Timestamp,
) -> Document:
    """Make a chunk's document."""
    return {
        "_id": member.world.random.object_id(), "lastmod": version, "uuid": uuid,
        "min": low, "max": high, "shard": shard, "onCurrentShardSince": since,
        "history": [{"validAfter": since, "shard": shard}],
    }


def split(member: Member, found: Map, chunk: Document, points: list[Document]) -> None:
    """Cut a chunk at points within, without an await (`store.ready` comes first)."""
    bounds = [chunk["min"], *points, chunk["max"]]
    keys = [found.key(bound) for bound in bounds]
    if any(low >= high for low, high in pairwise(keys)):
        raise MongoError(Code.INVALID_OPTIONS, "the split points are not within the chunk's bounds")
    major, minor = found.version.time, found.version.inc
    changes: store.Changes = []
    for at, (low, high) in enumerate(pairwise(bounds)):
        minor += 1
        part: Document = {
            **{name: value for name, value in chunk.items() if name != "jumbo"},
            "min": low, "max": high, "lastmod": Timestamp(major, minor),
        }
        if at:
            part["_id"] = member.world.random.object_id()
        changes.append(("chunks", part))
    store.write(member, changes)


def merge(member: Member, found: Map, parts: list[Document]) -> None:
    """Make one chunk of neighbours on one shard, without an await."""
    version = found.version
    since = max(part.get("onCurrentShardSince", Timestamp(0, 0)) for part in parts)
    whole: Document = {
        **{name: value for name, value in parts[0].items() if name != "jumbo"},
        "max": parts[-1]["max"], "lastmod": Timestamp(version.time, version.inc + 1),
        "onCurrentShardSince": since,
        "history": [{"validAfter": since, "shard": parts[0]["shard"]}],
    }
    store.write(member, [("chunks", whole)], [("chunks", part["_id"]) for part in parts[1:]])


def hand_over(
    member: Member, found: Map, bounds: Document, donor: str, recipient: str,
    more: store.Changes,
) -> None:
    """Give a range of a chunk to another shard, with `more` in the same entry.

    Raises:
        MongoError: 117 when the donor does not own the range (any more).

    """
    low, high = found.key(bounds["min"]), found.key(bounds["max"])
    chunk = found.of_key(low)
    if chunk["shard"] != donor or found.key(chunk["max"]) < high:
        raise MongoError(
            Code.CONFLICTING_OPERATION_IN_PROGRESS,
            f"the range to be moved of {found.ns} is not within one chunk of shard {donor}",
        )
    major = found.version.time + 1
    since = member.clock.tick()
    history = [{"validAfter": since, "shard": recipient}, *chunk.get("history", [])]
    moved: Document = {
        **{name: value for name, value in chunk.items() if name != "jumbo"},
        "min": bounds["min"], "max": bounds["max"], "shard": recipient,
        "lastmod": Timestamp(major, 0), "onCurrentShardSince": since,
        "history": history[:_HISTORY_MAX],
    }
    rest = _left_over(member, found, chunk, bounds, major)
    if not rest:
        other = next((c for c in found.chunks if c["shard"] == donor and c is not chunk), None)
        if other is not None:
            rest = [{**other, "lastmod": Timestamp(major, 1)}]
    changes: store.Changes = [("chunks", moved), *(("chunks", part) for part in rest), *more]
    store.write(member, changes)


def _left_over(
    member: Member, found: Map, chunk: Document, bounds: Document, major: int
) -> list[Document]:
    """Return the parts of a chunk on both sides of a range that leaves it."""
    parts: list[Document] = []
    for low, high in ((chunk["min"], bounds["min"]), (bounds["max"], chunk["max"])):
        if found.key(low) < found.key(high):
            parts.append({
                **chunk, "_id": member.world.random.object_id(), "min": low, "max": high,
                "lastmod": Timestamp(major, len(parts) + 1),
            })
    return parts


def chunk_bytes(member: Member, row: Document | None = None) -> int:
    """Return the size above which a chunk is cut when it moves: the collection's or the setting."""
    own: Any = None if row is None else row.get("maxChunkSizeBytes")
    if own:
        return int(own)
    setting = store.find(member, "settings", "chunksize")
    value = 0 if setting is None else setting.get("value", 0)
    return int(value * 2**20) if value else CHUNK_BYTES_DEFAULT
