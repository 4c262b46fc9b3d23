"""`$densify`: documents for the values that are missing in a sequence.

Values lie on a grid: from the first value of all (`full`), of the partition (`partition`) or
from the lower bound, in steps. For each point of the grid that no document holds, one is made
with the partition's fields and that value. Null and missing values pass through untouched.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Final

from bson.datetime_ms import DatetimeMS

from psdb_base import order, paths
from psdb_base.errors import Code, MongoError
from psdb_base.values import MISSING, UNDEFINED, Document
from psdb_query import numeric
from psdb_query.accumulators.keys import key_of
from psdb_query.describe import type_name
from psdb_query.expressions import date_arithmetic
from psdb_query.expressions.core import split_path
from psdb_query.expressions.timezones import find_zone
from psdb_query.sorting import compile_sort
from psdb_query.stages.model import Modified, Run, Stage, StageContext
from psdb_query.stages.ports import Batch
from psdb_query.stages.sort import SortStage
from psdb_query.stages.specs import check_object, check_strings
from psdb_query.stages.time_units import check_unit
from psdb_query.stages.unwind import set_at

GENERATED_MAX: Final = 500_000
"""How many documents one `$densify` may make (MongoDB's default)."""


@dataclass(frozen=True, slots=True)
class Range:
    """Step, its time unit (None for numbers), and bounds: `full`, `partition` or a pair."""

    step: Any
    unit: str | None
    bounds: Any

    def after(self, value: Any) -> Any:
        """Return the value one step on."""
        if self.unit is None:
            return numeric.add(value, self.step)
        moved = date_arithmetic.add(int(value), self.unit, int(self.step), find_zone("UTC"))
        return numeric.date_plus(moved)


class DensifyStage(Stage):
    """The documents, sorted before, and those made between them."""

    name = "$densify"

    def __init__(self, spec: Document, field: str, partition: list[str], range_: Range) -> None:
        self.spec = spec
        self.field = field
        self.parts = split_path(field)
        self.partition = [split_path(path) for path in partition]
        self.range = range_
        self.reads = frozenset([field, *partition])

    async def run(self, source: AsyncIterator[Batch], run: Run) -> AsyncIterator[Batch]:
        """Fill the gaps as the documents pass."""
        filler = _Filler(self)
        out: Batch = []
        async for batch in source:
            for doc in batch:
                for made in filler.take(doc):
                    out.append(made)
                    if len(out) >= 256:
                        await run.ports.checkpoint(len(out))
                        yield out
                        out = []
            await run.ports.checkpoint(len(batch))
            if out:
                yield out
                out = []
        for made in filler.finish():
            out.append(made)
            if len(out) >= 256:
                await run.ports.checkpoint(len(out))
                yield out
                out = []
        if out:
            yield out

    def modified(self) -> Modified:
        """Add documents that have the field and the partition's fields only."""
        return Modified(everything=True)

    def serialize(self) -> Document:
        """Return the stage."""
        return {"$densify": self.spec}

    def sort_stages(self, context: StageContext) -> list[Stage]:
        """Return the sort that has to come before."""
        keys = {} if self.range.bounds == "full" else {".".join(p): 1 for p in self.partition}
        sorter = compile_sort({**keys, self.field: 1}, context.expressions)
        return [SortStage(sorter, implied=True)]


class _Partition:
    """One partition: the fields its documents share, and the last grid point reached."""

    __slots__ = ("fields", "last")

    def __init__(self, fields: Document) -> None:
        self.fields = fields
        self.last: Any = MISSING


class _Filler:
    """The state of one execution."""

    def __init__(self, stage: DensifyStage) -> None:
        self.stage = stage
        self.range = stage.range
        self.partitions: dict[Any, _Partition] = {}
        self.least: Any = MISSING
        self.greatest: Any = MISSING
        self.generated = 0

    def take(self, doc: Document) -> Iterator[Document]:
        """Give what belongs before a document, and the document."""
        value = paths.get(doc, self.stage.parts)
        if value is MISSING or value is None or value is UNDEFINED:
            yield doc
            return
        self._check(value)
        partition = self._partition(doc)
        if self.range.bounds == "full":
            yield from self._take_full(partition, value)
        elif self.range.bounds == "partition":
            if partition.last is MISSING:
                partition.last = value
            else:
                yield from self._advance(partition, value)
        else:
            yield from self._take_explicit(partition, value)
        yield doc

    def _take_full(self, partition: _Partition, value: Any) -> Iterator[Document]:
        self.greatest = value
        if self.least is MISSING:
            self.least = partition.last = value
        elif partition.last is MISSING:
            yield from self._start(partition, self.least, value)
        else:
            yield from self._advance(partition, value)

    def _take_explicit(self, partition: _Partition, value: Any) -> Iterator[Document]:
        low, high = self.range.bounds
        if order.compare(value, low) < 0:
            return
        end = value if order.compare(value, high) < 0 else high
        if partition.last is MISSING:
            yield from self._start(partition, low, end)
        else:
            yield from self._advance(partition, end)

    def _start(self, partition: _Partition, first: Any, end: Any) -> Iterator[Document]:
        """Generate from the grid's first point on."""
        if order.compare(first, end) >= 0:
            partition.last = first if order.equal(first, end) else partition.last
            return
        yield self._make(partition, first)
        partition.last = first
        yield from self._advance(partition, end)

    def _advance(self, partition: _Partition, end: Any) -> Iterator[Document]:
        """Generate from after the last grid point up to `end`, which is not made itself."""
        following = self.range.after(partition.last)
        while order.compare(following, end) < 0:
            yield self._make(partition, following)
            partition.last = following
            following = self.range.after(following)
        if order.equal(following, end):
            partition.last = following

    def finish(self) -> Iterator[Document]:
        """Give what belongs behind the last documents."""
        if self.range.bounds == "partition":
            return
        if self.range.bounds != "full":
            if not self.partitions and not self.stage.partition:
                self.partitions[None] = _Partition({})
            low, high = self.range.bounds
            for partition in self.partitions.values():
                if partition.last is MISSING:
                    yield from self._start(partition, low, high)
                else:
                    yield from self._advance(partition, high)
        elif self.stage.partition:
            for partition in self.partitions.values():
                yield from self._to_greatest(partition)

    def _to_greatest(self, partition: _Partition) -> Iterator[Document]:
        following = self.range.after(partition.last)
        while order.compare(following, self.greatest) <= 0:
            yield self._make(partition, following)
            following = self.range.after(following)

    def _make(self, partition: _Partition, value: Any) -> Document:
        self.generated += 1
        if self.generated > GENERATED_MAX:
            raise MongoError(
                5897900,
                f"Generated {self.generated} documents in $densify, which is over the limit of "
                f"{GENERATED_MAX}. Increase the 'internalQueryMaxAllowedDensifyDocs' parameter to "
                "allow more generated documents",
            )
        return set_at(partition.fields, self.stage.parts, value)

    def _partition(self, doc: Document) -> _Partition:
        if not self.stage.partition:
            key: Any = None
        else:
            values = [paths.get(doc, path) for path in self.stage.partition]
            key = tuple(key_of(value) for value in values)
        found = self.partitions.get(key)
        if found is None:
            fields: Document = {}
            if key is not None:
                for path, value in zip(self.stage.partition, values, strict=True):
                    if value is not MISSING:
                        fields = set_at(fields, path, value)
                self._check_overwrite(fields)
            found = self.partitions[key] = _Partition(fields)
        return found

    def _check_overwrite(self, fields: Document) -> None:
        """Refuse to make a field beneath an array or a scalar of the partition's fields."""
        value: Any = fields
        for at, name in enumerate(self.stage.parts):
            value = value.get(name, MISSING)
            if type(value) is list:
                raise MongoError(5733307, "$densify cannot generate fields nested inside arrays")
            if type(value) is not dict:
                if value is not MISSING and at < len(self.stage.parts) - 1:
                    raise MongoError(
                        5733308, "$densify cannot overwrite non-object values with objects"
                    )
                return

    def _check(self, value: Any) -> None:
        is_date = type(value) is DatetimeMS
        if not is_date and not numeric.is_number(value):
            raise MongoError(5733201, "Densify field type must be numeric or a date")
        if is_date and self.range.unit is None:
            raise MongoError(
                6053600,
                "Encountered date densify value in collection when step does not have a date unit.",
            )
        if not is_date and self.range.unit is not None:
            raise MongoError(
                6053601,
                "Encountered numeric densify value in collection when step has a date unit.",
            )


def _parse_densify(spec: Any, context: StageContext) -> list[Stage]:
    if type(spec) is not dict:
        raise MongoError(
            Code.FAILED_TO_PARSE,
            f"The $densify stage specification must be an object, found {type_name(spec)}",
        )
    check_object(
        "$densify",
        spec,
        {"field": ("string",), "partitionByFields": ("array",), "range": ("object",)},
        ("field", "range"),
    )
    range_ = _parse_range(spec["range"])
    partition = check_strings("$densify.partitionByFields", spec.get("partitionByFields", []))
    if range_.bounds == "partition" and not partition:
        raise MongoError(
            5733408,
            "One cannot specify the bounds as 'partition' without specifying a non-empty array of "
            "partitionByFields. You may have meant to specify 'full' bounds.",
        )
    stage = DensifyStage(spec, spec["field"], partition, range_)
    return [*stage.sort_stages(context), stage]


def _parse_range(spec: Document) -> Range:
    check_object(
        "$densify.range", spec, {"bounds": (), "step": (), "unit": ("string",)}, ("step", "bounds")
    )
    step, unit, bounds = spec["step"], spec.get("unit"), spec["bounds"]
    if not numeric.is_number(step) or order.compare(step, 0) <= 0:
        raise MongoError(
            5733401,
            "The step parameter in a range statement must be a strictly positive numeric value",
        )
    if unit is not None:
        if numeric.as_integer(step) is None:
            raise MongoError(
                6586400,
                "The step parameter in a range statement must be a whole number when densifying a "
                "date range",
            )
        step = numeric.as_integer(step)
        check_unit(unit)
    if type(bounds) is list:
        _check_pair(bounds, spec["step"], unit)
        return Range(step, unit, tuple(bounds))
    if type(bounds) is not str:
        raise MongoError(
            5733404,
            "The bounds in a range statement must be the string 'full', 'partition', or an "
            "ascending array of two numbers or two dates",
        )
    if bounds not in ("full", "partition"):
        raise MongoError(5946802, "Bounds string must either be 'full' or 'partition'")
    return Range(step, unit, bounds)


def _check_pair(bounds: list[Any], step: Any, unit: str | None) -> None:
    if len(bounds) != 2:
        raise MongoError(
            5733403, "A bounding array in a range statement must have exactly two elements"
        )
    low, high = bounds
    if order.compare(low, high) > 0:
        raise MongoError(
            5733402,
            "A bounding array must be an ascending array of either two dates or two numbers",
        )
    mixed = "A bounding array must contain either both dates or both numeric types"
    if numeric.is_number(low):
        if unit is not None:
            raise MongoError(5733409, "Numeric bounds may not have unit parameter")
        if not numeric.is_number(high):
            raise MongoError(5733406, mixed)
        if not type(low) is type(high) is type(step):
            raise MongoError(
                5876900, "Upper bound, lower bound, and step must all have the same type"
            )
    elif type(low) is DatetimeMS:
        if type(high) is not DatetimeMS:
            raise MongoError(5733405, mixed)
        if unit is None:
            raise MongoError(5733410, "A bounding array of dates must specify a unit")
    else:
        raise MongoError(5946800, "Explicit bounds must be numeric or dates")


PARSERS: Final = {"$densify": _parse_densify}
