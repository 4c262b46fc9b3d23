"""A sharded collection as the router knows it: its key, its chunks in order, versions by shard.

Look-ups are by bisection, so their cost does not grow with the number of chunks. A map never
changes; news make another one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Any

from bson.timestamp import Timestamp

from psdb_base.shard_keys import KeyPattern, Range
from psdb_base.shard_versions import Routed, ShardVersion
from psdb_base.values import Document

Piece = tuple[bytes, bytes, Document, Document]
"""A range of keys with its bounds as documents."""


class ChunkMap:
    """The chunks of one collection at one version.

    Args:
        row: The document of `config.collections`.
        chunks: Rows `{min, max, shard, lastmod}` in any order.

    """

    def __init__(self, row: Document, chunks: Iterable[Document]) -> None:
        self.row = row
        self.ns: str = row["_id"]
        self.pattern = KeyPattern(row["key"])
        key = self.pattern.bound_key
        keyed = sorted(((key(chunk["min"]), chunk) for chunk in chunks), key=lambda pair: pair[0])
        self.lows = [low for low, _ in keyed]
        self.chunks = [chunk for _, chunk in keyed]
        self.shards = [chunk["shard"] for chunk in self.chunks]
        self.owners = sorted(set(self.shards))
        self.version: Timestamp = max(chunk["lastmod"] for chunk in self.chunks)
        highest: dict[str, Timestamp] = {}
        for chunk in self.chunks:
            shard = chunk["shard"]
            if shard not in highest or chunk["lastmod"] > highest[shard]:
                highest[shard] = chunk["lastmod"]
        self._routed = {
            shard: Routed(
                ShardVersion(row["lastmodEpoch"], row["timestamp"], version.time, version.inc)
            )
            for shard, version in highest.items()
        }

    def routed(self, shard: str, ranges: list[Any] | None = None) -> Routed:
        """Return what a request to a shard relies on."""
        found = self._routed.get(shard)
        if found is None:
            version = ShardVersion(self.row["lastmodEpoch"], self.row["timestamp"], 0, 0)
            found = self._routed[shard] = Routed(version)
        return found if ranges is None else Routed(found.shard, None, ranges)

    def updated(self, row: Document, news: Iterable[Document]) -> ChunkMap:
        """Return the map with newer chunks in the place of those they overlap."""
        key = self.pattern.bound_key
        fresh = sorted((key(chunk["min"]), key(chunk["max"]), chunk) for chunk in news)
        kept: list[Document] = []
        at = 0
        for low, chunk in zip(self.lows, self.chunks, strict=True):
            high = key(chunk["max"])
            while at < len(fresh) and fresh[at][1] <= low:
                at += 1
            if at == len(fresh) or fresh[at][0] >= high:
                kept.append(chunk)
        return ChunkMap(row, [*kept, *(chunk for _, _, chunk in fresh)])

    def shard_of(self, key: bytes) -> str:
        """Return the shard that owns a key."""
        shard: str = self.shards[max(0, bisect_right(self.lows, key) - 1)]
        return shard

    def shards_of(self, ranges: Iterable[Range]) -> list[str]:
        """Return the shards that own any key of some ranges, in order of name."""
        found: set[str] = set()
        for low, high in ranges:
            first = max(0, bisect_right(self.lows, low) - 1)
            last = bisect_left(self.lows, high)
            found.update(self.shards[first : max(last, first + 1)])
            if len(found) == len(self.owners):
                break
        return sorted(found)

    def pieces_of(self, shard: str) -> list[Piece]:
        """Return the ranges a shard owns, chunk by chunk."""
        key = self.pattern.bound_key
        return [
            (low, key(chunk["max"]), chunk["min"], chunk["max"])
            for low, chunk in zip(self.lows, self.chunks, strict=True) if chunk["shard"] == shard
        ]

    def common(self, shard: str, pieces: list[Piece]) -> list[Piece]:
        """Return what of some pieces a shard owns."""
        found: list[Piece] = []
        for mine in self.pieces_of(shard):
            for piece in pieces:
                low = mine if mine[0] >= piece[0] else piece
                high = mine if mine[1] <= piece[1] else piece
                if low[0] < high[1]:
                    found.append((low[0], high[1], low[2], high[3]))
        return found
