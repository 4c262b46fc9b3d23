"""`$unionWith`: what came, and then the documents of another collection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from psdb_base.values import Document
from psdb_query.describe import type_name
from psdb_query.stages.lookup import check_own_source, failed
from psdb_query.stages.model import (
    EVERYTHING,
    REPLACED,
    Modified,
    Run,
    Stage,
    StageContext,
    close,
    empty,
)
from psdb_query.stages.pipeline import Pipeline
from psdb_query.stages.ports import Batch
from psdb_query.stages.specs import check_object


class UnionWithStage(Stage):
    """The documents of the source, then those of a pipeline over another collection."""

    name = "$unionWith"
    reads = EVERYTHING

    def __init__(self, spec: Any, database: str, collection: str, pipeline: Pipeline) -> None:
        self.spec = spec
        self.database = database
        self.collection = collection
        self.pipeline = pipeline

    @property
    def foreign(self) -> tuple[tuple[str, str], ...]:
        """The collection, and those its pipeline reads."""
        own = ((self.database, self.collection),) if self.collection else ()
        return own + self.pipeline.foreign

    async def run(self, source: AsyncIterator[Batch], run: Run) -> AsyncIterator[Batch]:
        """Give one after the other."""
        async for batch in source:
            yield batch
        if self.collection:
            other = run.ports.foreign(self.database, self.collection).run(self.pipeline, run.env)
        else:
            other = self.pipeline.run(empty(), run)
        try:
            async for batch in other:
                yield batch
        finally:
            await close(other)

    def modified(self) -> Modified:
        """Add documents that are what they are."""
        return REPLACED

    def serialize(self) -> Document:
        """Return the stage with its optimised pipeline."""
        spec: Document = {"coll": self.collection} if self.collection else {}
        return {"$unionWith": {**spec, "pipeline": self.pipeline.serialize()}}

    def wire(self) -> list[Document]:
        """Return the stage as it was given."""
        return [{"$unionWith": self.spec}]


def _parse_union_with(spec: Any, context: StageContext) -> list[Stage]:
    if type(spec) is str:
        collection, pipeline = spec, []
    elif type(spec) is dict:
        check_object("$unionWith", spec, {"coll": ("string",), "pipeline": ("array",)})
        collection, pipeline = spec.get("coll", ""), spec.get("pipeline", [])
        if not collection:
            check_own_source("$unionWith", spec)
    else:
        raise failed(
            "the $unionWith stage specification must be an object or string, but found "
            f"{type_name(spec)}"
        )
    compiled = context.compile(
        pipeline,
        context.expressions,
        database=context.database,
        collection=collection,
        place="$unionWith",
        depth=context.depth + 1,
    )
    return [UnionWithStage(spec, context.database, collection, compiled)]


PARSERS: Final = {"$unionWith": _parse_union_with}
