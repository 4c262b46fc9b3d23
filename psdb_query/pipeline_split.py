"""Splitting a pipeline between the shards and the router.

The shards run the longest beginning that each can run on its own documents; the router merges
what they send and runs the rest. Stages that touch other collections never run on a shard of a
sharded cluster (shards never route), so they are in the router's part.

| last stage of the shards' part | on the shards | on the router, first |
|---|---|---|
| `$group` | states instead of results | states merged |
| `$sort` | sorted (and cut) | streams merged by sort key, and cut |
| `$limit` | cut | cut |
| `$sample` | a sample, with random numbers | chosen by the numbers |
| `$geoNear` | sorted by distance | streams merged by distance |
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from psdb_base.values import Document
from psdb_query.context import Env
from psdb_query.sorting import Sorter, compile_sort
from psdb_query.stages.geo_near import GeoNearStage
from psdb_query.stages.group import GroupStage
from psdb_query.stages.match import MatchStage
from psdb_query.stages.meta import SCORE_FIELD
from psdb_query.stages.model import Stage, close
from psdb_query.stages.pipeline import Pipeline, needed_paths
from psdb_query.stages.ports import Batch
from psdb_query.stages.shape import PARSERS as SHAPES
from psdb_query.stages.slicing import LimitStage, SampleStage
from psdb_query.stages.sort import SortStage
from psdb_query.stages.table import STAGES

_MERGED_BATCH: int = 256


@dataclass(frozen=True, slots=True)
class SplitPipeline:
    """The two parts of a pipeline.

    Args:
        shard_stages: What each shard runs.
        merger: What the router runs over the shards' documents.
        sort: The order in which the shards' streams come and are to be merged; None: any.

    """

    shard_stages: tuple[Stage, ...]
    merger: Pipeline
    sort: Sorter | None

    @property
    def shard_pipeline(self) -> list[Document]:
        """Stages for the shards, to be compiled there with place `internal`."""
        return [spec for stage in self.shard_stages for spec in stage.wire()]

    def explain(self) -> Document:
        """Return `splitPipeline` as explain shows it."""
        merging = self.merger.serialize()
        if self.sort is not None:
            merging = [{"$mergeCursors": {"sort": self.sort.spec}}, *merging]
        return {
            "shardsPart": [stage.serialize() for stage in self.shard_stages],
            "mergerPart": merging,
        }


def split_pipeline(pipeline: Pipeline) -> SplitPipeline:
    """Split a compiled (and optimised) pipeline for a sharded collection."""
    stages = list(pipeline.stages)
    if _needs_scores(pipeline):
        carried = SHAPES["$addFields"]({SCORE_FIELD: {"$meta": "textScore"}}, pipeline.context)
        return _parts(pipeline, [stages[0], *carried], stages[1:], None)
    for at, stage in enumerate(stages):
        if isinstance(stage, (GroupStage, SampleStage)):
            shard, merge = stage.halves()
            return _parts(pipeline, [*stages[:at], shard], [merge, *stages[at + 1 :]], None)
        if not STAGES[stage.name].on_shard or _is_implied_sort(stage):
            return _parts(pipeline, stages[:at], stages[at:], None)
        if isinstance(stage, SortStage):
            cut = [] if stage.limit is None else [LimitStage(stage.limit)]
            rest = [*cut, *stages[at + 1 :]]
            return _parts(pipeline, stages[: at + 1], rest, stage.sorter)
        if isinstance(stage, LimitStage):
            return _parts(pipeline, stages[: at + 1], stages[at:], None)
        if stage.name == "$skip":
            return _parts(pipeline, stages[:at], stages[at:], None)
        if isinstance(stage, GeoNearStage):
            order = {".".join(stage.distance_parts): 1}
            sorter = compile_sort(order, pipeline.context.expressions)
            return _parts(pipeline, stages[: at + 1], stages[at + 1 :], sorter)
    return _parts(pipeline, stages, [], None)


def _needs_scores(pipeline: Pipeline) -> bool:
    """Tell whether the scores of a leading `$text` are asked for: only the shards know them."""
    first = pipeline.stages[0] if pipeline.stages else None
    is_text = isinstance(first, MatchStage) and first.is_text
    return is_text and "textScore" in repr(pipeline.spec)


def _is_implied_sort(stage: Stage) -> bool:
    """Tell whether the stage behind it, which runs on the router, sorts by itself."""
    return isinstance(stage, SortStage) and stage.implied


def _parts(
    pipeline: Pipeline, shard: Sequence[Stage], merge: Sequence[Stage], sort: Sorter | None
) -> SplitPipeline:
    spec = tuple(spec for stage in merge for spec in stage.wire())
    merger = Pipeline(tuple(merge), spec, needed_paths(merge), pipeline.context)
    return SplitPipeline(tuple(shard), merger, sort)


async def merge_streams(
    streams: Sequence[AsyncIterator[Batch]], sort: Sorter | None, env: Env
) -> AsyncIterator[Batch]:
    """Give the documents of several streams: merged by a sort, or one stream after the other.

    Among equals the earlier stream wins. All streams are closed at the end.
    """
    try:
        if sort is None:
            for stream in streams:
                async for batch in stream:
                    yield batch
        else:
            async for batch in _merge_sorted(streams, sort, env):
                yield batch
    finally:
        for stream in streams:
            await close(stream)


async def _merge_sorted(
    streams: Sequence[AsyncIterator[Batch]], sort: Sorter, env: Env
) -> AsyncIterator[Batch]:
    heap: list[tuple[bytes, int, int]] = []
    batches: list[Batch] = [[] for _ in streams]

    async def refill(at: int) -> None:
        batch: Any = await anext(streams[at], None)
        if batch is not None:
            batches[at] = batch
            heapq.heappush(heap, (sort.key(batch[0], env), at, 0))

    for at in range(len(streams)):
        await refill(at)
    out: Batch = []
    while heap:
        _, at, position = heap[0]
        batch = batches[at]
        out.append(batch[position])
        if position + 1 < len(batch):
            key = sort.key(batch[position + 1], env)
            heapq.heapreplace(heap, (key, at, position + 1))
        else:
            heapq.heappop(heap)
            await refill(at)
        if len(out) >= _MERGED_BATCH:
            yield out
            out = []
    if out:
        yield out
