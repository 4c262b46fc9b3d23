"""`$facet`: several pipelines over the same documents, in one pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_query.describe import type_name
from psdb_query.expressions.core import check_field_name
from psdb_query.sizes import check_expanded, sizes_of
from psdb_query.stages.model import REPLACED, Modified, Run, Stage, StageContext, close
from psdb_query.stages.pipeline import Pipeline
from psdb_query.stages.ports import Batch

OUTPUT_BYTES_MAX: Final = 100 * 1024 * 1024
"""What the arrays of a `$facet` may hold together (MongoDB's default)."""


class FacetStage(Stage):
    """One document with an array for each pipeline."""

    name = "$facet"
    closed = True

    def __init__(self, pipelines: dict[str, Pipeline]) -> None:
        self.pipelines = pipelines
        paths: set[str] = set()
        for pipeline in pipelines.values():
            paths |= {""} if pipeline.paths is None else pipeline.paths
        self.reads = frozenset(paths)

    @property
    def foreign(self) -> tuple[tuple[str, str], ...]:
        """What the pipelines read."""
        return tuple(pair for pipeline in self.pipelines.values() for pair in pipeline.foreign)

    async def run(self, source: AsyncIterator[Batch], run: Run) -> AsyncIterator[Batch]:
        """Feed every batch to all pipelines, then give the one document."""
        tee = _Tee(source)
        outputs = [_Output(pipeline, tee.branch(), run) for pipeline in self.pipelines.values()]
        failure: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as group:
                for output in outputs:
                    group.create_task(output.collect())
        except BaseExceptionGroup as errors:
            failure = _first(errors)
        if failure is not None:
            raise failure
        _check_size(sum(output.size_bytes for output in outputs))
        names = self.pipelines
        yield [{name: one.documents for name, one in zip(names, outputs, strict=True)}]

    def modified(self) -> Modified:
        """Nothing stays."""
        return REPLACED

    def serialize(self) -> Document:
        """Return the stage with its optimised pipelines."""
        return {"$facet": {name: one.serialize() for name, one in self.pipelines.items()}}

    def wire(self) -> list[Document]:
        """Return the stage with its pipelines as they were given."""
        return [{"$facet": {name: list(one.spec) for name, one in self.pipelines.items()}}]


_PARTS_COUNTED: Final = 100_000
"""A batch of more parts is not looked at part by part: they may be shared many times over."""
_PART_BYTES: Final = 10


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group, as it was raised."""
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def _check_size(size_bytes: int) -> None:
    if size_bytes > OUTPUT_BYTES_MAX:
        raise MongoError(
            4031700,
            f"document constructed by $facet is {size_bytes} bytes, which exceeds the limit of "
            f"{OUTPUT_BYTES_MAX} bytes",
        )


class _Output:
    """What one pipeline gives."""

    def __init__(self, pipeline: Pipeline, source: AsyncIterator[Batch], run: Run) -> None:
        self.documents: Batch = []
        self.size_bytes = 0
        self._source = source
        self._stream = pipeline.run(source, run)

    async def collect(self) -> None:
        try:
            async for batch in self._stream:
                self.documents += batch
                parts = sum(check_expanded(document, "$facet") for document in batch)
                if parts > _PARTS_COUNTED:
                    self.size_bytes += parts * _PART_BYTES
                else:
                    self.size_bytes += sizes_of(batch)
                _check_size(self.size_bytes)
        finally:
            await close(self._source)


class _Tee:
    """Gives each branch every batch; the source is read once, by whoever is ahead.

    A branch that is ahead waits until all others have taken the batch, so that at most one
    batch is held; a branch that ends early (by a `$limit`) is waited for no longer.
    """

    def __init__(self, source: AsyncIterator[Batch]) -> None:
        self._source = source
        self._branches: list[_Branch] = []
        self._turn = asyncio.Event()
        self._reading = False
        self._ended = False

    def branch(self) -> AsyncIterator[Batch]:
        branch = _Branch()
        self._branches.append(branch)
        return self._read(branch)

    async def _read(self, branch: _Branch) -> AsyncIterator[Batch]:
        try:
            while True:
                while branch.batch is None:
                    if self._ended:
                        return
                    await self._advance()
                batch, branch.batch = branch.batch, None
                self._wake()
                yield batch
        finally:
            branch.open = False
            branch.batch = None
            self._wake()

    async def _advance(self) -> None:
        """Read the next batch if all have taken the last one, else wait for a change."""
        if self._reading or any(other.batch is not None for other in self._branches):
            turn = self._turn
            await turn.wait()
            return
        self._reading = True
        try:
            batch = await anext(self._source, None)
        finally:
            self._reading = False
        if batch is None:
            self._ended = True
        else:
            for other in self._branches:
                if other.open:
                    other.batch = batch
        self._wake()

    def _wake(self) -> None:
        self._turn.set()
        self._turn = asyncio.Event()


class _Branch:
    """A place for one batch."""

    __slots__ = ("batch", "open")

    def __init__(self) -> None:
        self.batch: Batch | None = None
        self.open = True


def _parse_facet(spec: Any, context: StageContext) -> list[Stage]:
    if type(spec) is not dict or not spec:
        raise MongoError(40169, "the $facet specification must be a non-empty object")
    pipelines = {}
    for name, value in spec.items():
        check_field_name(name)
        if type(value) is not list:
            raise MongoError(
                40170, f"arguments to $facet must be arrays, {name} is type {type_name(value)}"
            )
        for element in value:
            if type(element) is not dict:
                raise MongoError(
                    40171,
                    "elements of arrays in $facet spec must be non-empty objects, "
                    f"{name} argument contained an element of type {type_name(element)}",
                )
        pipelines[name] = context.compile(
            value,
            context.expressions,
            database=context.database,
            collection=context.collection,
            place="$facet",
            depth=context.depth + 1,
        )
    return [FacetStage(pipelines)]


PARSERS: Final = {"$facet": _parse_facet}
