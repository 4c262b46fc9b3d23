"""`$sort`, with the limit that follows it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

from bson.int64 import Int64

from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_query.context import Env
from psdb_query.sizes import sizes_of
from psdb_query.sorting import Sorter, TopK, compile_sort
from psdb_query.stages.meta import MetaBatch, envs
from psdb_query.stages.model import Run, Stage, StageContext, rechunk
from psdb_query.stages.ports import Batch
from psdb_query.stages.spilling import Record, Runs, refuse_spilling


class SortStage(Stage):
    """Documents in order; with `limit`, the first so many of them.

    `implied` marks a sort that the stage behind it asks for (`$setWindowFields`, `$densify`):
    another member makes it again when it compiles that stage.
    """

    name = "$sort"

    def __init__(self, sorter: Sorter, limit: int | None = None, *, implied: bool = False) -> None:
        self.sorter = sorter
        self.limit = limit
        self.implied = implied
        self.reads = sorter.reads

    def with_limit(self, limit: int) -> SortStage:
        """Return the stage with a limit, the smaller one if it has one."""
        return SortStage(self.sorter, limit if self.limit is None else min(limit, self.limit))

    async def run(self, source: AsyncIterator[Batch], run: Run) -> AsyncIterator[Batch]:
        """Take everything in, then give it out in order."""
        held = _Held(self.sorter, self.limit, run)
        try:
            async for batch in source:
                await run.ports.checkpoint(len(batch))
                await held.add(batch)
            async for result in held.result():
                yield result
        finally:
            await held.runs.close()

    def serialize(self) -> Document:
        """Return the stage, its limit under MongoDB's internal name."""
        if self.limit is not None:
            return {"$sort": {"sortKey": self.sorter.spec, "limit": Int64(self.limit)}}
        return {"$sort": self.sorter.spec}

    def wire(self) -> list[Document]:
        """Return the stage, and its limit as a stage of its own; nothing if it is implied."""
        if self.implied:
            return []
        stages: list[Document] = [{"$sort": self.sorter.spec}]
        if self.limit is not None:
            stages.append({"$limit": Int64(self.limit)})
        return stages


class _Held:
    """What a running sort holds: documents in memory, and runs beyond the limit."""

    def __init__(self, sorter: Sorter, limit: int | None, run: Run) -> None:
        self.sorter = sorter
        self.limit = limit
        self.run = run
        self.runs = Runs(run)
        self.size_bytes = 0
        self.largest = 0
        self.docs: Batch = []
        self.top = TopK(sorter, limit) if limit is not None else None

    async def add(self, batch: Batch) -> None:
        if type(batch) is MetaBatch or type(self.docs) is MetaBatch:
            self._add_meta(batch)
            self.size_bytes += sizes_of(batch)
        elif self.top is not None:
            kept = self.top.add(batch, self.run.env)
            if not kept:
                return
            self.largest = max(self.largest, sizes_of(kept) // len(kept))
            if self.largest * len(self.top) <= self.run.memory_bytes:
                return
            self.docs, self.top = self.top.finish(self.run.env), None
            self.size_bytes += sizes_of(self.docs)
        else:
            self.docs += batch
            self.size_bytes += sizes_of(batch)
        await self._check_memory()

    async def _check_memory(self) -> None:
        if self.size_bytes > self.run.memory_bytes:
            await self._spill()

    def _add_meta(self, batch: Batch) -> None:
        if type(self.docs) is not MetaBatch:
            kept = self.top.finish(self.run.env) if self.top is not None else self.docs
            self.docs, self.top = MetaBatch(kept), None
        other = batch if type(batch) is MetaBatch else MetaBatch(batch)
        self.docs.append_batch(other)

    async def _spill(self) -> None:
        if not self.run.allow_disk_use:
            raise refuse_spilling("Sort", self.run.memory_bytes)
        await self.runs.write(_records(self.sorter, self._sorted(), self.run.env))
        self.docs, self.size_bytes = (MetaBatch() if self._has_meta() else []), 0

    def _has_meta(self) -> bool:
        return type(self.docs) is MetaBatch

    def _sorted(self) -> Batch:
        docs = self.docs
        if type(docs) is MetaBatch:
            if not self.sorter.needs_meta:
                return docs.take(self.sorter.order(docs, self.run.env))
            keys = [
                self.sorter.key(doc, env)
                for doc, env in zip(docs, envs(docs, self.run.env), strict=True)
            ]
            return docs.take(sorted(range(len(docs)), key=keys.__getitem__))
        return self.sorter.sort(docs, self.run.env)

    async def result(self) -> AsyncIterator[Batch]:
        if self.top is not None:
            async for part in rechunk(self.top.finish(self.run.env)):
                yield part
            return
        if not self.runs:
            docs = self._sorted()
            if self.limit is not None:
                docs = docs.cut(0, self.limit) if type(docs) is MetaBatch else docs[: self.limit]
            self.docs = []
            async for part in rechunk(docs):
                yield part
            return
        if self.docs:
            await self._spill()
        async for part in self._merged():
            yield part

    async def _merged(self) -> AsyncIterator[Batch]:
        left = self.limit
        async for records in self.runs.merged():
            docs = _restore(records)
            if left is not None and len(docs) >= left:
                yield docs.cut(0, left) if type(docs) is MetaBatch else docs[:left]
                return
            if left is not None:
                left -= len(docs)
            yield docs


def _records(sorter: Sorter, docs: Batch, env: Env) -> Iterable[Record]:
    """Give key and document, the metadata (if any) beside the document."""
    metas = docs.meta if type(docs) is MetaBatch else None
    for at, (doc, own) in enumerate(zip(docs, envs(docs, env), strict=True)):
        record: Document = {"d": doc}
        if metas is not None:
            record["m"] = metas[at]
        yield sorter.key(doc, own), record


def _restore(records: list[Record]) -> Batch:
    docs = [record["d"] for _, record in records]
    if any("m" in record for _, record in records):
        return MetaBatch(docs, [record.get("m", {}) for _, record in records])
    return docs


def parse_sort(spec: Any, context: StageContext) -> list[Stage]:
    """Compile a `$sort`."""
    if type(spec) is dict and not spec:
        raise MongoError(15976, "$sort stage must have at least one sort key")
    return [SortStage(compile_sort(spec, context.expressions))]


PARSERS: Final = {"$sort": parse_sort}
