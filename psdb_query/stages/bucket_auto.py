"""`$bucketAuto`: buckets of about equal size over the sorted values of an expression."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from psdb_base import order
from psdb_base.errors import MongoError
from psdb_base.values import MISSING, Document
from psdb_query.accumulators.core import Accumulator, compile_accumulator, null_if_missing
from psdb_query.context import Env
from psdb_query.describe import text_of, type_name
from psdb_query.expressions.core import Expr, compile_expression
from psdb_query.numeric import as_int32, is_number
from psdb_query.sizes import sizes_of
from psdb_query.stages.bucket import check_group_by
from psdb_query.stages.granularity import Rounder, find_rounder
from psdb_query.stages.model import REPLACED, Modified, Run, Stage, StageContext, rechunk
from psdb_query.stages.ports import Batch
from psdb_query.stages.spilling import ExternalSort, Record

_FIELDS: Final = ("buckets", "granularity", "groupBy", "output")


class BucketAutoStage(Stage):
    """Documents `{_id: {min, max}, …}`, at most `buckets` of them.

    Args:
        spec: The specification.
        group_by: What documents are sorted by.
        buckets: How many buckets there may be.
        accumulators: Output field → accumulator.
        rounder: What boundaries are rounded to, or None.

    """

    name = "$bucketAuto"
    closed = True

    def __init__(
        self,
        spec: Document,
        group_by: Expr,
        buckets: int,
        accumulators: dict[str, Accumulator],
        rounder: Rounder | None,
        collation: Any,
    ) -> None:
        self.spec = spec
        self.group_by = group_by
        self.buckets = buckets
        self.accumulators = accumulators
        self.rounder = rounder
        self.collation = collation
        paths = set(group_by.paths)
        for accumulator in accumulators.values():
            paths |= accumulator.reads
        self.reads = frozenset(paths)

    async def run(self, source: AsyncIterator[Batch], run: Run) -> AsyncIterator[Batch]:
        """Sort by the value, then cut."""
        entries = ExternalSort("$bucketAuto", run)
        total = 0
        try:
            async for batch in source:
                await run.ports.checkpoint(len(batch))
                await entries.add(self._records(batch, run.env), sizes_of(batch))
                total += len(batch)
            filler = _Filler(self, run, total)
            async for records in entries.sorted():
                for _, record in records:
                    filler.add(record["v"], record["d"])
            async for part in rechunk(filler.finish()):
                yield part
        finally:
            await entries.close()

    def _records(self, batch: Batch, env: Env) -> list[Record]:
        evaluate = self.group_by.evaluate
        values = [null_if_missing(evaluate(doc, env)) for doc in batch]
        return [
            (order.key(value, self.collation), {"v": value, "d": doc})
            for value, doc in zip(values, batch, strict=True)
        ]

    def modified(self) -> Modified:
        """Nothing stays."""
        return REPLACED

    def serialize(self) -> Document:
        """Return the stage."""
        return {"$bucketAuto": self.spec}


class _Filler:
    """Fills one bucket after the other from sorted values."""

    def __init__(self, stage: BucketAutoStage, run: Run, total: int) -> None:
        self.stage = stage
        self.env = run.env
        self.size = max(1, _round_half_away(total, stage.buckets))
        self.done: list[Document] = []
        self.columns: list[Any] = []
        self.pending: Batch = []
        self.count = 0
        self.least: Any = None
        self.greatest: Any = None
        self.boundary: Any = MISSING

    def add(self, value: Any, doc: Document) -> None:
        """Put one document into the current bucket, or into the next."""
        if self.count and not self._belongs(value):
            self._close(value)
        if not self.count:
            self._open(value)
        self.count += 1
        self.greatest = value
        self.pending.append(doc)
        if len(self.pending) >= 256:
            self._flush()

    def _belongs(self, value: Any) -> bool:
        if self.count < self.size or len(self.done) + 1 >= self.stage.buckets:
            return True
        rounder = self.stage.rounder
        if rounder is None:
            return order.equal(value, self.greatest, self.stage.collation)
        if self.boundary is MISSING:
            self.boundary = rounder.up(self.greatest)
        return order.compare(value, self.boundary, self.stage.collation) < 0

    def _open(self, value: Any) -> None:
        rounder = self.stage.rounder
        if self.done:
            self.least = self.done[-1]["_id"]["max"]
        else:
            self.least = value if rounder is None else rounder.down(value)
        self.columns = [one.new_column() for one in self.stage.accumulators.values()]
        for column in self.columns:
            column.open([None])
        self.boundary = MISSING

    def _flush(self) -> None:
        slots = [0] * len(self.pending)
        for column in self.columns:
            column.take(slots, self.pending, self.env)
        self.pending = []

    def _close(self, following: Any) -> None:
        """End the bucket; `following` is the next value, MISSING if there is none."""
        self._flush()
        rounder = self.stage.rounder
        if rounder is not None:
            greatest = rounder.up(self.greatest)
            if not self.done and following is not MISSING and order.equal(greatest, 0):
                greatest = rounder.down(following)
        else:
            greatest = self.greatest if following is MISSING else following
        document: Document = {"_id": {"min": self.least, "max": greatest}}
        for field, column in zip(self.stage.accumulators, self.columns, strict=True):
            document[field] = column.finish(0)
        self.done.append(document)
        self.count = 0

    def finish(self) -> Batch:
        """Return the buckets."""
        if self.count:
            self._close(MISSING)
        return self.done


def _round_half_away(total: int, parts: int) -> int:
    """Divide and round, halves up."""
    return (2 * total + parts) // (2 * parts)


def _parse_bucket_auto(spec: Any, context: StageContext) -> list[Stage]:
    if type(spec) is not dict:
        raise MongoError(
            40240,
            f"The argument to $bucketAuto must be an object, but found type: {type_name(spec)}.",
        )
    ctx = context.expressions
    rounder: Rounder | None = None
    for name, value in spec.items():
        if name not in _FIELDS:
            raise MongoError(40245, f"Unrecognized option to $bucketAuto: {name}.")
        if name == "groupBy":
            check_group_by("$bucketAuto", 40239, value, " object")
        elif name == "granularity":
            if type(value) is not str:
                raise MongoError(
                    40261,
                    "The $bucketAuto 'granularity' field must be a string, but found type: "
                    f"{type_name(value)}.",
                )
            rounder = find_rounder(value)
    buckets = _buckets(spec["buckets"]) if "buckets" in spec else 0
    output = spec.get("output", {"count": {"$sum": 1}})
    if type(output) is not dict:
        raise MongoError(
            40244,
            "The $bucketAuto 'output' field must be an object, but found type: "
            f"{type_name(output)}.",
        )
    if "groupBy" not in spec or "buckets" not in spec:
        raise MongoError(40246, "$bucketAuto requires 'groupBy' and 'buckets' to be specified.")
    accumulators = {name: compile_accumulator(name, one, ctx) for name, one in output.items()}
    group_by = compile_expression(spec["groupBy"], ctx)
    return [BucketAutoStage(spec, group_by, buckets, accumulators, rounder, ctx.collation)]


def _buckets(value: Any) -> int:
    prefix = "The $bucketAuto 'buckets' field must be "
    if not is_number(value):
        raise MongoError(40241, f"{prefix}a numeric value, but found type: {type_name(value)}.")
    number = as_int32(value)
    if number is None:
        raise MongoError(
            40242, f"{prefix}representable as a 32-bit integer, but found {text_of(value)}."
        )
    if number <= 0:
        raise MongoError(40243, f"{prefix}greater than 0, but found: {number}.")
    return number


PARSERS: Final = {"$bucketAuto": _parse_bucket_auto}
