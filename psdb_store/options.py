"""What can be set about a store, with the figures that hold when nothing is said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from psdb_base.limits import YIELD_DOCUMENTS

_SEGMENT_BYTES_MIN: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Settings of one engine.

    Attributes:
        alone: The member is its group's only voter: what is durable is committed, and `open`
            takes office at once. Otherwise the Raft driver moves the commit index.
        background: Run checkpoints by log size and time; off, only `checkpoint()` does.
        segment_bytes: A journal segment is closed when it has grown beyond this.
        oplog_bytes: Journal kept for oplog readers; older segments go at checkpoints.
        oplog_retention_ms: Journal younger than this is kept whatever its size.
        checkpoint_log_bytes: A checkpoint begins when the log grew by this since the last.
        checkpoint_seconds: And after this time, if anything was written.
        quiet_seconds: After this much quiet the durable index is noted in the journal.
        slice_documents: Long work gives the loop a turn after this many documents.
        compact_garbage_bytes: No data file with less garbage than this is compacted.
        uncommitted_bytes: `room()` waits while more log than this is not committed.
        recent_bytes: Newest log lines kept in memory for oplog readers.
        block_bytes: Files are read in blocks of this size.
        cache_bytes: Saved records may take so many bytes of memory; others are read back.
        eager_documents: A larger collection's records are read in when the store serves already.
        history_ms: How long what was superseded is kept for views at a past time.
        history_bytes: It is let go earlier when it has grown beyond this.
        freeze_gc: Move everything loaded out of the garbage collector's sight after the start
            and after each checkpoint (a process-wide effect).

    """

    alone: bool = True
    background: bool = True
    segment_bytes: int = 64 * 1024 * 1024
    oplog_bytes: int = 990 * 1024 * 1024
    oplog_retention_ms: int = 0
    checkpoint_log_bytes: int = 64 * 1024 * 1024
    checkpoint_seconds: float = 60.0
    quiet_seconds: float = 0.1
    slice_documents: int = YIELD_DOCUMENTS
    compact_garbage_bytes: int = 1024 * 1024
    uncommitted_bytes: int = 256 * 1024 * 1024
    recent_bytes: int = 4 * 1024 * 1024
    block_bytes: int = 1024 * 1024
    cache_bytes: int = 256 * 1024 * 1024
    eager_documents: int = 10_000
    history_ms: int = 0
    history_bytes: int = 64 * 1024 * 1024
    freeze_gc: bool = False

    @property
    def segment_limit_bytes(self) -> int:
        """How large a segment grows: they go as a whole, so a small window takes small ones."""
        return min(self.segment_bytes, max(self.oplog_bytes // 8, _SEGMENT_BYTES_MIN))
