"""The sort of a find that has more rows than memory may hold: keys and record numbers on disk.

The plan is run again without its sort, and every row's key goes into runs below the dbpath; the
merge gives the numbers of the records in order. A record that is no longer there, or no longer
matches, is left out when its turn comes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from bson.int64 import Int64

from psdb_base.limits import YIELD_DOCUMENTS
from psdb_query.stages.meta import META
from psdb_query.stages.model import Run
from psdb_query.stages.spilling import ExternalSort
from psdb_server.operations import Operation
from psdb_store.record import Record
from shardsvr.planning.plan import plan_of
from shardsvr.planning.query import Query
from shardsvr.planning.scripted import next_records

if TYPE_CHECKING:
    from shardsvr.member import Member

_ROW_BYTES: Final = 64
"""What a row takes beside its key."""


class SpilledSort:
    """The records of a query in its order.

    Attributes:
        done: All has been given.

    """

    def __init__(self, member: Member, query: Query) -> None:
        self.done = False
        self._member = member
        self._query = query
        self._left = query.limit
        self._skip = query.skip
        self._op: Operation | None = None
        self._rows: AsyncIterator[list[Record]] | None = None
        self._held: list[Record] = []
        self._sort: ExternalSort | None = None

    async def next_records(self, op: Operation, count: int) -> list[Record]:
        """Return the next records, none only at the end."""
        self._op = op
        if self._rows is None:
            self._rows = self._run()
        while not self._held and not self.done:
            found = await anext(self._rows, None)
            if found is None:
                self.done = True
            else:
                self._held = self._cut(found)
        records, self._held = self._held[:count], self._held[count:]
        if self._left == 0 and not self._held:
            self.done = True
        return records

    def _cut(self, records: list[Record]) -> list[Record]:
        """Apply skip and limit."""
        dropped = min(self._skip, len(records))
        self._skip -= dropped
        records = records[dropped:]
        if self._left is not None:
            records = records[: self._left]
            self._left -= len(records)
        return records

    async def _run(self) -> AsyncIterator[list[Record]]:
        query, op = self._query, self._op
        assert query.sort is not None
        assert op is not None
        from shardsvr.pipeline_ports import Ports

        ports = Ports(self._member, op, query.collection.db, query.collection.name)
        run = Run(ports, query.env, memory_bytes=query.sort_memory_bytes)
        self._sort = ExternalSort("Sort", run)
        plain = replace(query, sort=None, projection=None, skip=0, limit=None,
                        meta=query.needs_meta)  # fmt: skip
        execution = plan_of(plain).open()
        op.ran(execution)
        while not execution.done:
            rows: list[tuple[bytes, Any]] = []
            size = 0
            for record in await next_records(execution, op, YIELD_DOCUMENTS):
                env = query.env
                if query.sort.needs_meta:
                    env = {**env, META: execution.meta(record)}
                key = query.sort.key(record.document(), env)
                rows.append((key, {"r": Int64(record.rid)}))
                size += len(key) + _ROW_BYTES
            await self._sort.add(rows, size)
            await op.checkpoint(YIELD_DOCUMENTS)
        async for batch in self._sort.sorted():
            ports.op = self._op or op
            if query.filter.guard is not None:
                query.filter.guard.verify()
            found = [query.state.get(row["r"]) for _, row in batch]
            yield [one for one in found if one is not None and execution.matches(one)]

    async def close(self) -> None:
        """Give the disk space back."""
        self.done = True
        if self._sort is not None:
            sort, self._sort = self._sort, None
            await sort.close()
