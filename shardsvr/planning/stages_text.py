"""The executing stage of `$text` with scores."""

from __future__ import annotations

import struct
from typing import Any

from psdb_base.values import Document
from psdb_store.committed import State
from psdb_store.record import Record
from shardsvr.planning.stages import Selector, Stage

_SIGN: int = 0x80


class TextOr(Stage):
    """Records of the entries of several terms, with the sums of their scores.

    Args:
        collection: Where the records are.
        scans: Index scans, one a term.
        heads: Of each scan, the bytes of its keys before the score.
        selector: What the records have to match, None for nothing more.

    """

    __slots__ = ("_at", "_collection", "_filter", "_heads", "_place", "_rids", "_scores")

    def __init__(
        self, collection: State, scans: list[Stage], heads: list[bytes],
        selector: Selector | None,
    ) -> None:
        super().__init__(*scans)
        self._collection = collection
        self._heads = heads
        self._filter = selector
        self._scores: dict[int, float] = {}
        self._at = 0
        self._rids: list[int] = []
        self._place = 0

    def pull(self, want: int) -> list[Record]:
        """Read entries until there are no more, then fetch."""
        if self._at < len(self.children):
            self._read(want)
            return []
        rids = self._rids[self._place : self._place + want]
        self._place += len(rids)
        self.done = self._place >= len(self._rids)
        found = [self._collection.get(rid) for rid in rids]
        records = [record for record in found if record is not None]
        self.works += len(rids)
        self.docs_examined += len(records)
        if self._filter is not None and records:
            records = self._filter.select(records)
        self.advanced += len(records)
        return records

    def _read(self, want: int) -> None:
        scan = self.children[self._at]
        head = len(self._heads[self._at])
        scores = self._scores
        for key, rid in scan.pull(want):
            scores[rid] = scores.get(rid, 0.0) + score_at(key, head)
        if scan.done:
            self._at += 1
        if self._at == len(self.children):
            self._rids = list(scores)

    def meta(self, rid: int) -> dict[str, Any] | None:
        """Return a record's score."""
        score = self._scores.get(rid)
        return None if score is None else {"textScore": score}

    def counters(self) -> Document:
        """Documents looked at."""
        return {"docsExamined": self.docs_examined}


def score_at(key: bytes, at: int) -> float:
    """Read the score, a positive double, whose component begins at a place of a key."""
    found: float = struct.unpack(">d", bytes((key[at + 1] ^ _SIGN,)) + key[at + 2 : at + 9])[0]
    return found
