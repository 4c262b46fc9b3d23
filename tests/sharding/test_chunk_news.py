"""What routers and shards make of news about chunks is what they would read from all chunks."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from bson import MaxKey, MinKey, ObjectId, Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from psdb_base.shard_keys import KeyPattern
from router.chunk_map import ChunkMap
from shardsvr.sharding.ownership import Ownership

SHARDS = ("s0", "s1", "s2")
ROW = {
    "_id": "a.b", "key": {"k": 1}, "lastmodEpoch": ObjectId(), "timestamp": Timestamp(9, 9),
    "uuid": b"", "unique": False,
}
key = KeyPattern(ROW["key"]).bound_key
steps = st.lists(
    st.tuples(
        st.sampled_from(["split", "merge", "move", "look"]), st.integers(0, 30),
        st.sampled_from(SHARDS),
    ),
    max_size=40,
)


class Chunks:
    """The chunks of a collection, changed by the config server's rules."""

    def __init__(self) -> None:
        self.rows = [
            {"min": {"k": MinKey()}, "max": {"k": MaxKey()}, "shard": "s0",
             "lastmod": Timestamp(1, 0)},
        ]

    @property
    def version(self) -> Timestamp:
        return max(row["lastmod"] for row in self.rows)

    def _put(self, at: int, count: int, parts: list[Any], first: Timestamp) -> None:
        """Put parts in the place of some chunks, with versions from `first` on."""
        for number, part in enumerate(parts):
            part["lastmod"] = Timestamp(first.time, first.inc + number)
        self.rows[at : at + count] = parts

    def split(self, at: int, point: int) -> None:
        row = self.rows[at]
        if key(row["min"]) < key({"k": point}) < key(row["max"]):
            parts = [{**row, "max": {"k": point}}, {**row, "min": {"k": point}}]
            self._put(at, 1, parts, Timestamp(self.version.time, self.version.inc + 1))

    def merge(self, at: int) -> None:
        two = self.rows[at : at + 2]
        if len(two) == 2 and two[0]["shard"] == two[1]["shard"]:
            whole = {**two[0], "max": two[1]["max"]}
            self._put(at, 2, [whole], Timestamp(self.version.time, self.version.inc + 1))

    def move(self, at: int, shard: str) -> None:
        row = self.rows[at]
        if row["shard"] == shard:
            return
        major = self.version.time + 1
        others = [one for one in self.rows if one["shard"] == row["shard"] and one is not row]
        self._put(at, 1, [{**row, "shard": shard}], Timestamp(major, 0))
        if others:
            at = self.rows.index(others[0])
            self._put(at, 1, [{**others[0]}], Timestamp(major, 1))

    def owned(self, shard: str) -> dict[str, Any]:
        mine = [row for row in self.rows if row["shard"] == shard]
        ranges: list[Any] = []
        for here, run in groupby(self.rows, lambda row: row["shard"] == shard):
            rows = list(run)
            if here:
                ranges.append({"min": rows[0]["min"], "max": rows[-1]["max"]})
        return {**self._head(mine), "ranges": ranges}

    def owned_since(self, shard: str, version: Timestamp) -> dict[str, Any]:
        mine = [row for row in self.rows if row["shard"] == shard]
        return {**self._head(mine), "changed": [
            {"min": row["min"], "max": row["max"], "owned": row["shard"] == shard}
            for row in self.rows if row["lastmod"] >= version
        ]}

    def _head(self, mine: list[Any]) -> dict[str, Any]:
        return {
            **ROW, "epoch": ROW["lastmodEpoch"], "collectionVersion": self.version,
            "version": max((row["lastmod"] for row in mine), default=Timestamp(0, 0)),
        }


@settings(deadline=None)
@given(steps)
def test_news_lead_to_the_same(drawn: list[tuple[str, int, str]]) -> None:
    chunks = Chunks()
    known = ChunkMap(ROW, chunks.rows)
    own = {shard: Ownership(chunks.owned(shard)) for shard in SHARDS}
    for what, number, shard in [*drawn, ("look", 0, "s0"), ("look", 0, "s1"), ("look", 0, "s2")]:
        at = number % len(chunks.rows)
        if what == "split":
            chunks.split(at, number)
        elif what == "merge":
            chunks.merge(at)
        elif what == "move":
            chunks.move(at, shard)
        else:
            since = own[shard].row["collectionVersion"]
            row = own[shard].updated(chunks.owned_since(shard, since))
            assert row == chunks.owned(shard)
            own[shard] = Ownership(row)
            news = [row for row in chunks.rows if row["lastmod"] >= known.version]
            known = known.updated(ROW, news)
            whole = ChunkMap(ROW, chunks.rows)
            assert (known.lows, known.chunks) == (whole.lows, whole.chunks)
            assert (known.owners, known.version) == (whole.owners, whole.version)
            for one in SHARDS:
                assert known.routed(one).document == whole.routed(one).document
                assert known.pieces_of(one) == whole.pieces_of(one)
