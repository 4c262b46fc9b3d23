"""A world for pipelines under test: collections in memory, spill files, seeded chance."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from bson.datetime_ms import DatetimeMS
from bson.objectid import ObjectId

from psdb_query.context import CompileContext, make_env
from psdb_query.stages.model import Run
from psdb_query.stages.pipeline import Pipeline, compile_pipeline

NOW = DatetimeMS(1_700_000_000_000)


class MemorySpill:
    def __init__(self, world: World) -> None:
        self.data = bytearray()
        self.world = world
        self.closed = False
        world.spills.append(self)

    async def append(self, data: bytes) -> int:
        assert not self.closed
        offset = len(self.data)
        self.data += data
        return offset

    async def read(self, offset: int, size_bytes: int) -> bytes:
        assert not self.closed
        return bytes(self.data[offset : offset + size_bytes])

    async def close(self) -> None:
        assert not self.closed
        self.closed = True


class MemoryForeign:
    def __init__(self, world: World, database: str, name: str) -> None:
        self.world = world
        self.docs = world.collections.get((database, name), [])
        self.indexed = world.indexed.get((database, name), ())

    def run(self, pipeline: Pipeline, env: dict[str, Any]) -> Any:
        self.world.foreign_runs += 1
        return pipeline.run(batches(self.docs, 3), Run(self.world, env))

    async def lookup(
        self, path: str, values: list[Any], collation: Any
    ) -> list[dict[str, Any]] | None:
        if path not in self.indexed:
            return None
        self.world.index_lookups += 1
        pipeline = compile_pipeline(
            [{"$match": {"$or": [{path: {"$eq": value}} for value in values]}}],
            CompileContext(collation=collation),
        )
        return [doc async for batch in self.run(pipeline, {}) for doc in batch]


class World:
    """`PipelinePorts` over plain lists."""

    def __init__(self, seed: int = 1) -> None:
        self.collections: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.indexed: dict[tuple[str, str], tuple[str, ...]] = {}
        self.sources: dict[str, list[dict[str, Any]]] = {}
        self.spills: list[MemorySpill] = []
        self.chance = random.Random(seed)
        self.counted = 0
        self.foreign_runs = 0
        self.index_lookups = 0
        self.written: list[Any] = []

    async def checkpoint(self, documents: int) -> None:
        self.counted += documents

    def foreign(self, database: str, collection: str) -> MemoryForeign:
        return MemoryForeign(self, database, collection)

    async def source(self, name: str, spec: Any, *_: Any) -> Any:
        for doc in self.sources[name]:
            yield [doc]

    async def out(self, target: Any, batches: Any) -> None:
        self.written.append((target, [doc async for batch in batches for doc in batch]))

    async def merge(self, target: Any, batch: Any, env: Any) -> None:
        self.written.append((target, list(target.statements(batch, env))))

    def geo_key(self, database: str, collection: str, key: str | None) -> str:
        return key or "loc"

    def spill(self) -> MemorySpill:
        return MemorySpill(self)

    async def apply(self, work: Any) -> Any:
        return work()

    def random(self) -> float:
        return self.chance.random()

    def new_object_id(self) -> ObjectId:
        return ObjectId(self.chance.randbytes(12))


async def batches(docs: list[dict[str, Any]], size: int) -> Any:
    for at in range(0, len(docs), size):
        yield docs[at : at + size]


def run_pipeline(
    docs: list[dict[str, Any]],
    stages: list[dict[str, Any]],
    *,
    world: World | None = None,
    batch: int = 7,
    ctx: CompileContext | None = None,
    let: dict[str, Any] | None = None,
    optimize: bool = True,
    **options: Any,
) -> list[dict[str, Any]]:
    """Run a pipeline over documents and return all results."""
    world = world or World()
    if ctx is None:
        ctx = CompileContext(variables=frozenset(let or ()), random=world.random)
    pipeline = compile_pipeline(stages, ctx, database="db", collection="c", optimize=optimize)
    return run_compiled(pipeline, docs, world=world, batch=batch, let=let, **options)


def run_compiled(
    pipeline: Pipeline,
    docs: list[dict[str, Any]],
    *,
    world: World | None = None,
    batch: int = 7,
    let: dict[str, Any] | None = None,
    **options: Any,
) -> list[dict[str, Any]]:
    world = world or World()
    run = Run(world, make_env(NOW, let=let), **options)

    async def drive() -> list[dict[str, Any]]:
        return [doc async for part in pipeline.run(batches(docs, batch), run) for doc in part]

    result = asyncio.run(drive())
    assert all(spill.closed for spill in world.spills)
    return result
