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
PERMITTED: Final = "permitMigrations"
_BY_BOUNDS: Final = "uuid_1_min_1"
_BY_VERSION: Final = "uuid_1_lastmod_1"


class Map:
    """A collection's chunks as they are at each call, found by the indexes of `config.chunks`.

    So what a change reads follows what it changes, not the number of chunks; only `chunks` reads
    all of them.

    Attributes:
        row: The document of `config.collections`, as it was when this was made.
        pattern: Its shard key.

    """

    def __init__(self, member: Member, row: Document) -> None:
        self.member = member
        self.row = row
        self.ns: str = row["_id"]
        self.uuid = row["uuid"]
        self.pattern = KeyPattern(row["key"])

    @property
    def chunk_bytes(self) -> int:
        """The size above which its chunks are cut when they move."""
        return chunk_bytes(self.member, self.row)

    @property
    def chunks(self) -> list[Document]:
        """All documents of `config.chunks`, by bounds."""
        return self.between(None, None)

    @property
    def version(self) -> Timestamp:
        """The highest version of a chunk."""
        newest = self._ordered(_BY_VERSION, reverse=True, limit=1)
        return self._only(newest)["lastmod"]  # type: ignore[no-any-return]

    def shard_version(self, shard: str) -> Timestamp:
        """Return the highest version of a shard's chunks, (0, 0) for a shard without."""
        newest = store.ordered(
            self.member, "chunks", "uuid_1_shard_1_lastmod_1", [self.uuid, shard],
            reverse=True, limit=1,
        )
        return newest[0]["lastmod"] if newest else Timestamp(0, 0)

    def key(self, bound: Document) -> bytes:
        """Return a bound's key."""
        return self.pattern.bound_key(bound)

    def at(self, bound: Document) -> Document:
        """Return the chunk that holds a bound (the last one for the end of all)."""
        self.key(bound)  # sees that the fields are those of the shard key
        exact = store.ordered(self.member, "chunks", _BY_BOUNDS, [self.uuid, bound], limit=1)
        return exact[0] if exact else self.below(bound)

    def below(self, bound: Document) -> Document:
        """Return the last chunk that begins below a bound; the first one for the least bound."""
        self.key(bound)
        return self._only(
            self._ordered(_BY_BOUNDS, None, bound, reverse=True, limit=1)
            or self._ordered(_BY_BOUNDS, limit=1)
        )

    def _only(self, found: list[Document]) -> Document:
        if not found:
            raise _not_sharded(self.ns)
        return found[0]

    def exact(self, low: Document, high: Document) -> Document | None:
        """Return the chunk with these bounds."""
        found = self.at(low)
        return found if found["min"] == low and found["max"] == high else None

    def between(self, low: Document | None, high: Document | None) -> list[Document]:
        """Return the chunks that begin at `low` or above, and below `high`, by bounds."""
        return self._ordered(_BY_BOUNDS, low, high)

    def since(self, version: Timestamp) -> list[Document]:
        """Return the chunks with this version or a later one, by versions."""
        return self._ordered(_BY_VERSION, version)

    def of_shard(self, shard: str, *, limit: int = 10_000_000) -> list[Document]:
        """Return a shard's chunks, by bounds."""
        return store.ordered(
            self.member, "chunks", "uuid_1_shard_1_min_1", [self.uuid, shard], limit=limit
        )

    def _ordered(
        self, index: str, low: Any = None, high: Any = None, *, reverse: bool = False,
        limit: int = 10_000_000,
    ) -> list[Document]:
        return store.ordered(
            self.member, "chunks", index, [self.uuid], low, high, reverse=reverse, limit=limit
        )

    def ownership(self, shard: str) -> Document:
        """Return what a shard owns, as its `config.cache.collections` keeps it."""
        ranges: list[Document] = []
        for chunk in self.of_shard(shard):
            if ranges and ranges[-1]["max"] == chunk["min"]:
                ranges[-1] = {"min": ranges[-1]["min"], "max": chunk["max"]}
            else:
                ranges.append({"min": chunk["min"], "max": chunk["max"]})
        return {**self._ownership(shard), "ranges": ranges}

    def ownership_since(self, shard: str, version: Timestamp) -> Document:
        """Return what of a shard's ownership has changed since a version of the collection.

        `changed` are ranges that it has or has not now; all else is as it was.
        """
        return {**self._ownership(shard), "changed": [
            {"min": chunk["min"], "max": chunk["max"], "owned": chunk["shard"] == shard}
            for chunk in self.since(version)
        ]}

    def _ownership(self, shard: str) -> Document:
        return {
            "_id": self.ns, "uuid": self.row["uuid"], "epoch": self.row["lastmodEpoch"],
            "timestamp": self.row["timestamp"], "key": self.row["key"],
            "unique": self.row["unique"], "version": self.shard_version(shard),
            "collectionVersion": self.version,
        }


def map_of(member: Member, ns: str) -> Map:
    """Return a collection's chunks; 118 NamespaceNotSharded when there are none."""
    row = store.find(member, "collections", ns)
    if row is None:
        raise _not_sharded(ns)
    return Map(member, row)


def _not_sharded(ns: str) -> MongoError:
    return MongoError(Code.NAMESPACE_NOT_SHARDED, f"Namespace {ns} is not sharded")


def may_migrate(row: Document) -> bool:
    """Tell whether `setAllowMigrations` lets chunks of a collection change hands."""
    return row.get(PERMITTED) is not False


def check_may_migrate(row: Document) -> None:
    """Raise 117 when chunks of a collection may not change hands."""
    if not may_migrate(row):
        raise MongoError(
            Code.CONFLICTING_OPERATION_IN_PROGRESS,
            f"Collection {row['_id']} does not allow migrations: its chunks cannot be moved",
        )


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
    chunk = found.at(bounds["min"])
    if chunk["shard"] != donor or found.key(chunk["max"]) < found.key(bounds["max"]):
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
        others = [c for c in found.of_shard(donor, limit=2) if c["_id"] != chunk["_id"]]
        rest = [{**other, "lastmod": Timestamp(major, 1)} for other in others[:1]]
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
