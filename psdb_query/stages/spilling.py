"""Sorted runs in temporary storage: how blocking stages keep within their memory.

A run is a sequence of records (key, document) in the order of the keys, written in chunks of
about a mebibyte. Merging reads a chunk of each run at a time.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final, TypeAlias

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.stages.model import Run
from psdb_query.stages.ports import SpillFile

Record: TypeAlias = tuple[bytes, Document]

_CHUNK_BYTES: Final = 1 << 20
_OUT_RECORDS: Final = 256
_KEY: Final = itemgetter(0)


def refuse_spilling(what: str, limit_bytes: int) -> MongoError:
    """Return the error of a stage that is out of memory and may not use the disk."""
    return MongoError(
        Code.QUERY_EXCEEDED_MEMORY_LIMIT_NO_DISK_USE_ALLOWED,
        f"{what} exceeded memory limit of {limit_bytes} bytes, but did not opt in to external "
        "sorting. Aborting operation. Pass allowDiskUse:true to opt in.",
    )


@dataclass(slots=True)
class Runs:
    """The runs of one stage in one file; `close` must be called at the end."""

    run: Run
    file: SpillFile | None = None
    runs: list[list[tuple[int, int]]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.runs)

    async def write(self, records: Iterable[Record]) -> None:
        """Write one run; the records must be in order."""
        if self.file is None:
            self.file = self.run.ports.spill()
        chunks: list[tuple[int, int]] = []
        lines: list[bytes] = []
        size = 0
        for key, doc in records:
            line = bson_codec.encode({"k": key, "d": doc})
            lines.append(line)
            size += len(line)
            if size >= _CHUNK_BYTES:
                chunks.append(await self._append(lines))
                lines, size = [], 0
        if lines:
            chunks.append(await self._append(lines))
        self.runs.append(chunks)

    async def _append(self, lines: list[bytes]) -> tuple[int, int]:
        assert self.file is not None
        await self.run.ports.checkpoint(len(lines))
        data = b"".join(lines)
        return await self.file.append(data), len(data)

    async def merged(self) -> AsyncIterator[list[Record]]:
        """Give all records in order of their keys; equal ones in the order of the runs."""
        readers = [self._read(chunks) for chunks in self.runs]
        heap: list[tuple[bytes, int, int, Document]] = []
        buffers: list[list[Record]] = [[] for _ in readers]

        async def refill(at: int) -> None:
            buffer = await anext(readers[at], None)
            if buffer is not None:
                buffers[at] = buffer
                key, doc = buffer[0]
                heapq.heappush(heap, (key, at, 0, doc))

        for at in range(len(readers)):
            await refill(at)
        out: list[Record] = []
        while heap:
            key, at, position, doc = heap[0]
            out.append((key, doc))
            position += 1
            if position < len(buffers[at]):
                key, doc = buffers[at][position]
                heapq.heapreplace(heap, (key, at, position, doc))
            else:
                heapq.heappop(heap)
                await refill(at)
            if len(out) >= _OUT_RECORDS:
                await self.run.ports.checkpoint(len(out))
                yield out
                out = []
        if out:
            yield out

    async def in_turn(self) -> AsyncIterator[list[Record]]:
        """Give the records of one run after the other, and forget them."""
        runs, self.runs = self.runs, []
        for chunks in runs:
            async for records in self._read(chunks):
                yield records

    async def _read(self, chunks: list[tuple[int, int]]) -> AsyncIterator[list[Record]]:
        assert self.file is not None
        for offset, size in chunks:
            data = await self.file.read(offset, size)
            lines = map(bson_codec.decode, bson_codec.split(data))
            yield [(bytes(line["k"]), line["d"]) for line in lines]

    async def close(self) -> None:
        """Give the storage back."""
        if self.file is not None:
            file, self.file = self.file, None
            await file.close()


class ExternalSort:
    """Records sorted by key, beyond the limit of the memory on disk."""

    def __init__(self, what: str, run: Run) -> None:
        self._what = what
        self._run = run
        self._runs = Runs(run)
        self._records: list[Record] = []
        self._size_bytes = 0

    async def add(self, records: list[Record], size_bytes: int) -> None:
        """Take records that weigh about so much."""
        self._records += records
        self._size_bytes += size_bytes
        if self._size_bytes > self._run.memory_bytes:
            if not self._run.allow_disk_use:
                raise refuse_spilling(self._what, self._run.memory_bytes)
            await self._runs.write(self._take())

    def _take(self) -> list[Record]:
        records, self._records, self._size_bytes = self._records, [], 0
        records.sort(key=_KEY)
        return records

    async def sorted(self) -> AsyncIterator[list[Record]]:
        """Give all records in order; equal ones as they came."""
        if not self._runs:
            records = self._take()
            for at in range(0, len(records), _OUT_RECORDS):
                await self._run.ports.checkpoint(1)
                yield records[at : at + _OUT_RECORDS]
            return
        if self._records:
            await self._runs.write(self._take())
        async for merged in self._runs.merged():
            yield merged

    async def close(self) -> None:
        """Give the storage back."""
        await self._runs.close()


class DocumentBuffer:
    """Documents in the order in which they came, beyond the limit of the memory on disk."""

    def __init__(self, run: Run, refuse: MongoError) -> None:
        self._run = run
        self._refuse = refuse
        self._runs = Runs(run)
        self._held: list[Document] = []
        self._size_bytes = 0

    async def add(self, documents: list[Document], size_bytes: int) -> None:
        """Append documents that weigh about so much."""
        self._held += documents
        self._size_bytes += size_bytes
        if self._size_bytes > self._run.memory_bytes:
            if not self._run.allow_disk_use:
                raise self._refuse
            await self._runs.write((b"", doc) for doc in self._held)
            self._held, self._size_bytes = [], 0

    async def drain(self) -> AsyncIterator[list[Document]]:
        """Give everything back and be empty again."""
        async for records in self._runs.in_turn():
            yield [doc for _, doc in records]
        held, self._held, self._size_bytes = self._held, [], 0
        for at in range(0, len(held), _OUT_RECORDS):
            await self._run.ports.checkpoint(1)
            yield held[at : at + _OUT_RECORDS]

    async def close(self) -> None:
        """Give the storage back."""
        await self._runs.close()
