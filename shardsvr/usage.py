"""How often and how long each collection was used: `top`, latencies of `$collStats`.

Times are microseconds. Histograms have MongoDB's buckets: powers of two up to 2048, then two
of equal width for each power.
"""

from __future__ import annotations

from typing import Final

from bson.int64 import Int64

from psdb_base.values import Document

_TOP: Final = ("queries", "getmore", "insert", "update", "remove", "commands")
_TOP_FIELD: Final = {
    "delete": "remove", "find": "queries", "getMore": "getmore", "insert": "insert",
    "update": "update",
}
_READS: Final = frozenset({"aggregate", "count", "distinct", "find", "getMore"})
_WRITES: Final = frozenset({"bulkWrite", "delete", "findAndModify", "insert", "update"})
_HALVED_FROM: Final = 2048


def bucket_of(micros: int) -> int:
    """Return the lower bound of a time's bucket."""
    if micros < 2:
        return 0
    power = 1 << (micros.bit_length() - 1)
    half = power + power // 2
    return half if power >= _HALVED_FROM and micros >= half else power


class Usage:
    """The use of one namespace since the start."""

    __slots__ = ("_buckets", "_count", "_micros")

    def __init__(self) -> None:
        self._count: dict[str, int] = {}
        self._micros: dict[str, int] = {}
        self._buckets: dict[tuple[str, int], int] = {}

    def add(self, command: str, micros: int) -> None:
        """Count one operation."""
        self._count[command] = self._count.get(command, 0) + 1
        self._micros[command] = self._micros.get(command, 0) + micros
        kind = kind_of(command)
        bucket = kind, bucket_of(micros)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1

    def top(self) -> Document:
        """Return the namespace's row of `top`."""
        rows = {name: [0, 0] for name in ("total", "readLock", "writeLock", *_TOP)}
        for command, count in self._count.items():
            micros = self._micros[command]
            lock = "writeLock" if command in _WRITES else "readLock"
            for name in ("total", lock, _TOP_FIELD.get(command, "commands")):
                rows[name][0] += micros
                rows[name][1] += count
        return {
            name: {"time": Int64(micros), "count": Int64(count)}
            for name, (micros, count) in rows.items()
        }

    def latencies(self, *, histograms: bool) -> Document:
        """Return `latencyStats` without its namespace."""
        stats: Document = {}
        for kind in ("reads", "writes", "commands", "transactions"):
            mine = [name for name in self._count if kind_of(name) == kind]
            row: Document = {
                "latency": Int64(sum(self._micros[name] for name in mine)),
                "ops": Int64(sum(self._count[name] for name in mine)),
                "queryableEncryptionLatencyMicros": Int64(0),
            }
            if histograms:
                found = sorted(at for name, at in self._buckets if name == kind)
                row = {
                    "histogram": [
                        {"micros": Int64(at), "count": Int64(self._buckets[kind, at])}
                        for at in found
                    ],
                    **row,
                }
            stats[kind] = row
        return stats


def kind_of(command: str) -> str:
    """Return the class of a command's latency."""
    if command in _READS:
        return "reads"
    return "writes" if command in _WRITES else "commands"
