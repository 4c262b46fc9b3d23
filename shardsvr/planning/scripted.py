"""Queries that call JavaScript: planned without it, then filtered away from the loop.

The plan finds what the rest of the filter matches; batches of that are looked at by the whole
filter on a script thread. Documents do not change, but records may be replaced meanwhile: what
is returned is the latest version, which the filter has seen, at the moment of the return.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from psdb_base.values import Document
from psdb_server.operations import Operation
from psdb_store.record import Record
from shardsvr.planning.execution import Execution
from shardsvr.planning.plan import Plan
from shardsvr.planning.query import Query

if TYPE_CHECKING:
    from psdb_server.scripting import Scripts

BATCH: Final = 256


class ScriptedExecution:
    """A run of a plan whose rows are still to be filtered; see `Execution`.

    Attributes:
        done: All has been given.
        root: The stage at the top of the plan.
        node: The plan.

    """

    def __init__(self, query: Query, inner: Execution, scripts: Scripts) -> None:
        self._query = query
        self._inner = inner
        self._scripts = scripts
        # What only an index can tell (`$text`, `$near`) the plan has seen to.
        self._matches = query.filter.answered_by_index().matches
        self._again: list[Record] = []
        self._found: list[Record] = []
        self._skip = query.skip
        self._left = query.limit
        self._least = 1
        self.returned = 0

    @property
    def root(self) -> Any:
        """The stage at the top."""
        return self._inner.root

    @property
    def node(self) -> Any:
        """The plan."""
        return self._inner.node

    @property
    def done(self) -> bool:
        """Tell whether all has been given."""
        if self._left == 0:
            return True
        return self._inner.done and not self._again and not self._found

    async def fetch(self, op: Operation, count: int) -> list[Record]:
        """Return up to `count` records, maybe none while `done` is still False."""
        if not self._found:
            records = self._again or self._inner.next_batch(self._lot(count))
            self._again = []
            await op.checkpoint(len(records))
            if records:
                documents = [record.document() for record in records]
                kept = await self._scripts.run(op, lambda: self._select(records, documents))
                self._keep(records, kept)
        return self._give(count)

    def next_batch(self, count: int) -> list[Record]:
        """Return records as `fetch` does, without leaving the loop (for `explain`)."""
        if not self._found:
            records = self._inner.next_batch(self._lot(count))
            kept = self._select(records, [record.document() for record in records])
            self._keep(records, kept)
        return self._give(count)

    def _lot(self, count: int) -> int:
        """Return how many candidates to look at: as many as are wanted, more while few match.

        A script may be slow, and whoever asks for a few documents need not wait for others.
        """
        wanted = count if self._left is None else min(count, self._skip + self._left)
        return min(BATCH, max(wanted, self._least))

    def _keep(self, records: list[Record], kept: list[Record]) -> None:
        self._found += kept
        self._least = 1 if kept else min(BATCH, 2 * max(len(records), self._least))

    def _select(self, records: list[Record], documents: list[Document]) -> list[Record]:
        matches, env = self._matches, self._query.env
        return [
            record for record, document in zip(records, documents, strict=True)
            if matches(document, env)
        ]

    def matches(self, record: Record) -> bool:
        """Tell whether a record that has changed still matches (without leaving the loop)."""
        return self._inner.matches(record) and self._matches(record.document(), self._query.env)

    def examined(self) -> tuple[int, int]:
        """Return how many keys and documents were looked at so far."""
        return self._inner.examined()

    def meta(self, record: Record) -> dict[str, Any]:
        """Return the metadata of a record; see `Execution.meta`."""
        return self._inner.meta(record)

    def _give(self, count: int) -> list[Record]:
        """Hand out what is still the latest version; look at changed ones again."""
        given: list[Record] = []
        get = self._query.state.get
        while self._found and len(given) < count and self._left != 0:
            record = self._found.pop(0)
            latest = get(record.rid)
            if latest is not record:
                if latest is not None and self._inner.matches(latest):
                    self._again.append(latest)
            elif self._skip:
                self._skip -= 1
            else:
                given.append(record)
                if self._left is not None:
                    self._left -= 1
        self.returned += len(given)
        return given


class ScriptedPlan(Plan):
    """A plan that finds candidates, and the filter for them."""

    __slots__ = ("_inner",)

    def __init__(self, query: Query, inner: Plan) -> None:
        super().__init__(query, inner.winner)
        self._inner = inner

    def open(self) -> Any:
        """Begin to run the plan."""
        scripts = self.query.filter.scripts
        return ScriptedExecution(self.query, self._inner.open(), scripts)


async def next_records(execution: Any, op: Operation, count: int) -> list[Record]:
    """Return the next records of any execution; see `Execution.next_batch`."""
    if type(execution) is ScriptedExecution:
        return await execution.fetch(op, count)
    found: list[Record] = execution.next_batch(count)
    return found
