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
        known: Where these begin, if they are in order; how many chunks each shard has, and the
            highest version of one.

    """

    def __init__(
        self, row: Document, chunks: Iterable[Document],
        known: tuple[list[bytes], dict[str, tuple[int, Timestamp]]] | None = None,
    ) -> None:
        lows, self.chunks, held = (known[0], list(chunks), known[1]) if known else _sorted(
            row, chunks
        )
        self.row = row
        self.ns: str = row["_id"]
        self.pattern = KeyPattern(row["key"])
        self.lows = lows
        self.shards = [chunk["shard"] for chunk in self.chunks]
        self.owners = sorted(held)
        self.version: Timestamp = max(version for _, version in held.values())
        self._held = held
        self._routed = {
            shard: Routed(
                ShardVersion(row["lastmodEpoch"], row["timestamp"], version.time, version.inc)
            )
            for shard, (_, version) in held.items()
        }

    def routed(self, shard: str, ranges: list[Any] | None = None) -> Routed:
        """Return what a request to a shard relies on."""
        found = self._routed.get(shard)
        if found is None:
            version = ShardVersion(self.row["lastmodEpoch"], self.row["timestamp"], 0, 0)
            found = self._routed[shard] = Routed(version)
        return found if ranges is None else Routed(found.shard, None, ranges)

    def updated(self, row: Document, news: Iterable[Document]) -> ChunkMap:
        """Return the map with newer chunks in the place of those they overlap.

        Only what is new is looked at; the rest is copied as it is. A shard's version is that of
        its newest chunk: whoever takes a chunk from a shard gives it a newer one, if any is left.
        """
        key = self.pattern.bound_key
        fresh = sorted((key(chunk["min"]), key(chunk["max"]), chunk) for chunk in news)
        lows: list[bytes] = []
        chunks: list[Document] = []
        held = dict(self._held)
        at = 0
        for low, high, chunk in fresh:
            start = bisect_left(self.lows, low, at)
            lows += self.lows[at:start]
            chunks += self.chunks[at:start]
            at = bisect_left(self.lows, high, start)
            for shard in self.shards[start:at]:
                held[shard] = held[shard][0] - 1, held[shard][1]
            lows.append(low)
            chunks.append(chunk)
            _count(held, chunk)
        lows += self.lows[at:]
        chunks += self.chunks[at:]
        return ChunkMap(row, chunks, (lows, {s: mine for s, mine in held.items() if mine[0]}))

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
        return [self._piece(at) for at, owner in enumerate(self.shards) if owner == shard]

    def _piece(self, at: int) -> Piece:
        chunk = self.chunks[at]
        high = self.lows[at + 1] if at + 1 < len(self.lows) else (
            self.pattern.bound_key(chunk["max"])
        )
        return self.lows[at], high, chunk["min"], chunk["max"]

    def common(self, shard: str, pieces: list[Piece]) -> list[Piece]:
        """Return what of some pieces a shard owns."""
        found: list[Piece] = []
        for piece in pieces:
            first = max(0, bisect_right(self.lows, piece[0]) - 1)
            for at in range(first, bisect_left(self.lows, piece[1], first)):
                if self.shards[at] != shard:
                    continue
                mine = self._piece(at)
                low = mine if mine[0] >= piece[0] else piece
                high = mine if mine[1] <= piece[1] else piece
                if low[0] < high[1]:
                    found.append((low[0], high[1], low[2], high[3]))
        return found


def _sorted(
    row: Document, chunks: Iterable[Document]
) -> tuple[list[bytes], list[Document], dict[str, tuple[int, Timestamp]]]:
    key = KeyPattern(row["key"]).bound_key
    keyed = sorted(((key(chunk["min"]), chunk) for chunk in chunks), key=lambda pair: pair[0])
    held: dict[str, tuple[int, Timestamp]] = {}
    for _, chunk in keyed:
        _count(held, chunk)
    return [low for low, _ in keyed], [chunk for _, chunk in keyed], held


def _count(held: dict[str, tuple[int, Timestamp]], chunk: Document) -> None:
    count, version = held.get(chunk["shard"], (0, chunk["lastmod"]))
    held[chunk["shard"]] = count + 1, max(version, chunk["lastmod"])
