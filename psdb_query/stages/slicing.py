"""`$limit`, `$skip` and `$sample`."""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator
from typing import Any, Final

from bson.decimal128 import Decimal128
from bson.int64 import Int64

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.describe import text_of
from psdb_query.numeric import as_integer, fits_long, is_number, whole
from psdb_query.stages.meta import MetaBatch, cut
from psdb_query.stages.model import Run, Stage, StageContext, rechunk
from psdb_query.stages.ports import Batch


class LimitStage(Stage):
    """The first `count` documents."""

    name = "$limit"

    def __init__(self, count: int) -> None:
        self.count = count

    async def run(
        self,
        source: AsyncIterator[Batch],
        run: Run,  # noqa: ARG002 -- nothing to count
    ) -> AsyncIterator[Batch]:
        """Stop reading as soon as there are enough."""
        left = self.count
        async for batch in source:
            if len(batch) < left:
                left -= len(batch)
                yield batch
                continue
            yield cut(batch, 0, left)
            return

    def serialize(self) -> Document:
        """Return the stage."""
        return {"$limit": Int64(self.count)}


class SkipStage(Stage):
    """All but the first `count` documents."""

    name = "$skip"

    def __init__(self, count: int) -> None:
        self.count = count

    async def run(self, source: AsyncIterator[Batch], run: Run) -> AsyncIterator[Batch]:
        """Drop the first ones."""
        left = self.count
        async for batch in source:
            await run.ports.checkpoint(len(batch))
            if left >= len(batch):
                left -= len(batch)
                continue
            yield cut(batch, left, len(batch)) if left else batch
            left = 0

    def serialize(self) -> Document:
        """Return the stage."""
        return {"$skip": Int64(self.count)}


class SampleStage(Stage):
    """`size` random documents, each equally likely, in random order.

    The half on a shard (`partial`) gives `{r: random number, d: document}`, so that the merging
    half can choose among the shards' samples as if it had drawn itself.
    """

    name = "$sample"

    def __init__(self, size: int, *, partial: bool = False, merging: bool = False) -> None:
        self.size = size
        self.partial = partial
        self.merging = merging

    def halves(self) -> tuple[SampleStage, SampleStage]:
        """Return the half for each shard and the half that merges."""
        return SampleStage(self.size, partial=True), SampleStage(self.size, merging=True)

    async def run(self, source: AsyncIterator[Batch], run: Run) -> AsyncIterator[Batch]:
        """Keep those with the least random numbers."""
        random, size = run.ports.random, self.size
        kept: list[tuple[float, int, Document, dict[str, Any]]] = []
        number = 0
        any_meta = False
        async for batch in source:
            await run.ports.checkpoint(len(batch))
            metas = batch.meta if type(batch) is MetaBatch else None
            any_meta = any_meta or metas is not None
            for at, doc in enumerate(batch):
                number += 1
                drawn = random()
                if self.merging:
                    drawn, doc = doc["r"], doc["d"]
                entry = (-drawn, number, doc, metas[at] if metas else {})
                if len(kept) < size:
                    heapq.heappush(kept, entry)
                else:
                    heapq.heappushpop(kept, entry)
        kept.sort(reverse=True)
        if self.partial:
            kept = [(one[0], one[1], {"r": -one[0], "d": one[2]}, one[3]) for one in kept]
        chosen: Batch = [entry[2] for entry in kept]
        if any_meta:
            chosen = MetaBatch(chosen, [entry[3] for entry in kept])
        async for part in rechunk(chosen):
            yield part

    def serialize(self) -> Document:
        """Return the stage."""
        spec: Document = {"size": Int64(self.size)}
        if self.partial:
            spec["$willBeMerged"] = True
        if self.merging:
            spec["$doingMerge"] = True
        return {"$sample": spec}


def parse_count(name: str, value: Any) -> int:
    """Return a non-negative 64-bit integer of any numeric type.

    Raises 9 FailedToParse with the message of MongoDB's integer parser.
    """
    if not is_number(value):
        raise MongoError(Code.FAILED_TO_PARSE, f"Expected a number in: {name}: {text_of(value)}")
    number = as_integer(value)
    if number is None:
        what = "Expected an integer"
        if type(value) in (float, Decimal128) and not _is_finite(value):
            what = "Cannot represent as a 64-bit integer"
        raise MongoError(Code.FAILED_TO_PARSE, f"{what}: {name}: {text_of(value)}")
    if not fits_long(number):
        raise MongoError(
            Code.FAILED_TO_PARSE,
            f"Cannot represent as a 64-bit integer: {name}: {text_of(value)}",
        )
    if number < 0:
        raise MongoError(
            Code.FAILED_TO_PARSE,
            f"Expected a non-negative number in: {name}: {text_of(value)}",
        )
    return number


def _is_finite(value: Any) -> bool:
    number = float(value.to_decimal()) if type(value) is Decimal128 else value
    return bool(number - number == 0)


def _parse_slice(code: int, name: str, value: Any) -> int:
    try:
        return parse_count(name, value)
    except MongoError as error:
        raise MongoError(code, f"invalid argument to {name} stage: {error.message}") from error


def _parse_limit(spec: Any, _context: StageContext) -> list[Stage]:
    count = _parse_slice(5107201, "$limit", spec)
    if count == 0:
        raise MongoError(15958, "the limit must be positive")
    return [LimitStage(count)]


def _parse_skip(spec: Any, _context: StageContext) -> list[Stage]:
    return [SkipStage(_parse_slice(5107200, "$skip", spec))]


def _parse_sample(spec: Any, context: StageContext) -> list[Stage]:
    if type(spec) is not dict:
        raise MongoError(28745, "the $sample stage specification must be an object")
    size: Any = None
    marks = {"$willBeMerged": False, "$doingMerge": False}
    for name, value in spec.items():
        if name in marks and context.place == "internal":
            marks[name] = True
            continue
        if name != "size":
            raise MongoError(28748, f"unrecognized option to $sample: {name}")
        if not is_number(value):
            raise MongoError(28746, "size argument to $sample must be a number")
        size = value
    if size is None:
        raise MongoError(28749, "$sample stage must specify a size")
    count = as_integer(size)
    if count is None:
        count = int(size) if type(size) is float and _is_finite(size) else 0
    if count <= 0:
        raise MongoError(28747, "size argument to $sample must be a positive integer")
    partial, merging = marks["$willBeMerged"], marks["$doingMerge"]
    return [SampleStage(int(whole(count)), partial=partial, merging=merging)]


PARSERS: Final = {
    "$limit": _parse_limit,
    "$sample": _parse_sample,
    "$skip": _parse_skip,
}
