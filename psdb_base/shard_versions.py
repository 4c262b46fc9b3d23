"""Shard and database versions: what a request relies on, and what a shard knows.

A collection's version is its epoch and timestamp (one pair for each sharding of it) and a major
and minor number that grow with every change of its chunks. A shard's version is the highest of
its chunks. Two versions agree about placement when all but the minor number are the same. The
documents are those MongoDB's routers send: `{t, e, v}`, `{uuid, timestamp, lastMod}`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from bson.objectid import ObjectId
from bson.timestamp import Timestamp

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document

NO_EPOCH: Final = ObjectId(bytes(12))
NO_TIME: Final = Timestamp(0, 0)


@dataclass(frozen=True, slots=True)
class ShardVersion:
    """The version of a collection's chunks, as one shard or the whole cluster has it."""

    epoch: ObjectId
    timestamp: Timestamp
    major: int
    minor: int

    @classmethod
    def parse(cls, document: Any) -> ShardVersion:
        """Read `{t, e, v}`; 9 FailedToParse for anything else."""
        try:
            epoch, timestamp, placed = document["e"], document["t"], document["v"]
        except (KeyError, TypeError) as error:
            raise MongoError(Code.FAILED_TO_PARSE, "malformed shardVersion") from error
        if (type(epoch), type(timestamp), type(placed)) != (ObjectId, Timestamp, Timestamp):
            raise MongoError(Code.FAILED_TO_PARSE, "malformed shardVersion")
        if epoch == NO_EPOCH:
            return UNSHARDED
        return cls(epoch, timestamp, placed.time, placed.inc)

    @property
    def document(self) -> Document:
        """`{t, e, v}`."""
        return {"t": self.timestamp, "e": self.epoch, "v": self.placed}

    @property
    def placed(self) -> Timestamp:
        """Major and minor number as MongoDB writes them."""
        return Timestamp(self.major, self.minor)

    @property
    def is_sharded(self) -> bool:
        """It is of a sharded collection."""
        return self is not UNSHARDED

    def agrees(self, other: ShardVersion) -> bool:
        """Tell whether both mean the same placement of documents."""
        return (
            self.major == other.major and self.timestamp == other.timestamp
            and self.epoch == other.epoch
        )


UNSHARDED: Final = ShardVersion(NO_EPOCH, NO_TIME, 0, 0)
"""The one version of what is not sharded."""


class Routed:
    """What a router's request relies on.

    Attributes:
        shard: The version of the collection on that shard, None for no claim.
        database: The version of the database, None for no claim.
        ranges: The ranges of keys that a statement is about, None for all (see the router's
            multi-writes).
        attempt: `{of, id}`: the statement of a session, and which attempt at it this is.
        upserted: The document that a statement inserts if nothing matches: it was made by the
            router, which had to know its shard key.
        elements: All of this as BSON elements, to be put behind a command's own.

    """

    __slots__ = ("_elements", "attempt", "database", "ranges", "shard", "sources", "upserted")

    def __init__(
        self, shard: ShardVersion | None = None, database: Document | None = None,
        ranges: list[Any] | None = None, sources: list[Any] | None = None,
        attempt: Document | None = None, upserted: Document | None = None,
    ) -> None:
        self.upserted = upserted
        self.attempt = attempt
        self.shard = shard
        self.database = database
        self.ranges = ranges
        self.sources = sources
        self._elements: bytes | None = None

    @property
    def document(self) -> Document:
        """The fields a command carries."""
        document: Document = {}
        if self.shard is not None:
            document["shardVersion"] = self.shard.document
        if self.database is not None:
            document["databaseVersion"] = self.database
        if self.ranges is not None:
            document["$shardRanges"] = self.ranges
        if self.sources is not None:
            document["$namespaceVersions"] = self.sources
        if self.attempt is not None:
            document["$attempt"] = self.attempt
        if self.upserted is not None:
            document["$upserted"] = self.upserted
        return document

    @property
    def elements(self) -> bytes:
        """The fields as BSON elements."""
        if self._elements is None:
            self._elements = bson_codec.encode(self.document)[4:-1]
        return self._elements
