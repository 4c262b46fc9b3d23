"""Running a plan: batches of records, resumable between writes."""

from __future__ import annotations

from typing import Any, Final

from psdb_store.record import Record
from shardsvr.planning.nodes import Node
from shardsvr.planning.query import Query
from shardsvr.planning.stages import Selector, Stage
from shardsvr.planning.stages_combine import SortOverflowError

SLICE_MAX: Final = 1024
"""Keys or documents that one step looks at, at most."""


class Execution:
    """One run of a plan.

    Attributes:
        node: The plan.
        done: All has been given.
        failed: What `advance` met, to be raised by the next batch.
        root: The stage at the top, for its counters.

    """

    __slots__ = (
        "_buffer", "_guard", "_query", "_selector", "_slice", "done", "failed", "node", "returned",
        "root",
    )  # fmt: skip

    def __init__(self, query: Query, node: Node) -> None:
        self._query = query
        self._guard = query.filter.guard
        self.node = node
        self.root: Stage = node.open(query)
        self._buffer: list[Any] = []
        self._selector: Selector | None = None
        self._slice = 1
        self.returned = 0
        self.done = False
        self.failed: SortOverflowError | None = None

    def next_batch(self, count: int) -> list[Record]:
        """Return up to `count` records.

        One call looks at a bounded number of documents, so it may return fewer or none while
        `done` is still False. Every record is the latest version and matches.
        """
        if self.failed is not None:
            raise self.failed
        if self._guard is not None:
            self._guard.verify()
        batch = self._from_buffer(count) if self._buffer else []
        budget = max(count, SLICE_MAX)
        while len(batch) < count and budget > 0 and not self.done and not self._buffer:
            if self.root.done:
                self.done = True
                break
            missing = count - len(batch)
            want = min(max(self._slice, min(missing, SLICE_MAX)), SLICE_MAX)
            rows = self.root.pull(want)
            budget -= want
            self._slice = min(self._slice * 2, SLICE_MAX)
            batch += rows[:missing]
            self._buffer = rows[missing:]
        if not self._buffer and self.root.done:
            self.done = True
        self.returned += len(batch)
        return batch

    def first(self) -> Record | None:
        """Return the first record, looking at as many documents as that takes."""
        while not self.done:
            for record in self.next_batch(1):
                return record
        return None

    def count_batch(self, count: int) -> int:
        """Return how many further documents a bounded amount of work finds; see `next_batch`."""
        return len(self.next_batch(count))

    def advance(self, work: int) -> None:
        """Do some work ahead of the first batch; what it finds is kept for `next_batch`."""
        if self.root.done or self.failed is not None:
            return
        try:
            self._buffer += self.root.pull(min(work, SLICE_MAX))
        except SortOverflowError as error:
            self.failed = error

    def examined(self) -> tuple[int, int]:
        """Return how many keys and documents were looked at so far."""
        return self.root.total("keys_examined"), self.root.total("docs_examined")

    def meta(self, record: Record) -> dict[str, Any]:
        """Return the metadata of a record that was returned: `{"textScore": 1.5}`, or nothing."""
        return self.root.meta(record.rid) or {}

    def matches(self, record: Record) -> bool:
        """Tell whether a record, as it is now, is one that the query asks for."""
        return self._query.filter.matches(record.document(), self._query.env)

    @property
    def found(self) -> int:
        """How many rows are waiting."""
        return len(self._buffer)

    def _from_buffer(self, count: int) -> list[Any]:
        """Give rows found before; a record that has changed since is looked at again."""
        rows, self._buffer = self._buffer[:count], self._buffer[count:]
        return [row for row in map(self._latest, rows) if row is not None]

    def _latest(self, row: Any) -> Any:
        if type(row) is not Record:
            return row
        current = self._query.state.get(row.rid)
        if current is None or current is row:
            return current
        if self._selector is None:
            self._selector = Selector(self._query.filter, self._query.env)
        return current if self._selector.matches(current) else None
