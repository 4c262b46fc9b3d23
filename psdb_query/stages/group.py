"""`$group`, and the stages that are made of it: `$count` and `$sortByCount`.

Groups get numbers (slots) in the order in which they first appear; that is also the order in
which they come out, unless groups had to be spilled. On shards a group hands out its states
(`$willBeMerged`), and the merging half takes them in (`$doingMerge`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

from psdb_base import order
from psdb_base.errors import Code, MongoError
from psdb_base.values import MISSING, Document
from psdb_query.accumulators.core import (
    COLUMNS,
    Accumulator,
    Column,
    Values,
    compile_accumulator,
    null_if_missing,
    values_of,
)
from psdb_query.accumulators.keys import keys_of
from psdb_query.context import CompileContext, Env
from psdb_query.expressions.core import Expr, compile_expression
from psdb_query.sizes import sizes_of
from psdb_query.sorting import column_of
from psdb_query.stages.meta import MetaBatch, envs
from psdb_query.stages.model import BATCH_DOCUMENTS, REPLACED, Modified, Run, Stage, StageContext
from psdb_query.stages.ports import Batch
from psdb_query.stages.spilling import Record, Runs

_SLOT_BYTES: Final = 200
_GATHERED: Final = 256


class GroupKey:
    """The compiled `_id` of a `$group`: ids and hashable keys of a batch.

    Attributes:
        spec: The specification.
        fields: Output name → expression, if the id is an object of expressions.
        constant: The id of the only group, or MISSING.

    """

    def __init__(self, spec: Any, ctx: CompileContext) -> None:
        self.spec = spec
        self.fields: dict[str, Expr] = {}
        self.constant: Any = MISSING
        self._collation = ctx.collation
        whole = compile_expression(spec, ctx)
        self.reads = whole.paths
        self.path = whole.path
        if whole.is_constant:
            self.constant = null_if_missing(whole.value)
        elif type(spec) is dict and not next(iter(spec)).startswith("$"):
            self.fields = {name: compile_expression(value, ctx) for name, value in spec.items()}
        self._columns: list[Values] = [
            values_of(expr) for expr in (self.fields.values() if self.fields else [whole])
        ]

    def columns(self, batch: Batch, env: Env) -> list[list[Any]]:
        """Return the parts of the ids of a batch, a column a part."""
        if self.fields:
            return [values(batch, env) for values in self._columns]
        path = self.path
        if path is not None and "." not in path:
            return [column_of(batch, path, None)]
        return [[null_if_missing(value) for value in self._columns[0](batch, env)]]

    def keys(self, columns: list[list[Any]]) -> Iterable[Any]:
        """Return keys that are equal for equal ids."""
        if len(columns) == 1:
            return keys_of(columns[0], self._collation)
        return zip(*[keys_of(column, self._collation) for column in columns], strict=True)

    def id_at(self, columns: list[list[Any]], at: int) -> Any:
        """Return the id of one document."""
        if not self.fields:
            return columns[0][at]
        return {
            name: column[at]
            for name, column in zip(self.fields, columns, strict=True)
            if column[at] is not MISSING
        }


class _Slots(dict[Any, int]):
    """Keys to slots; a new key gets the next one."""

    def __missing__(self, key: Any) -> int:
        slot = self[key] = len(self)
        return slot


class GroupStage(Stage):
    """One document a group.

    Args:
        key: The compiled `_id`.
        accumulators: Output field → accumulator.
        partial: Hand out states instead of results (the shards' half).
        merging: The input is what `partial` handed out (the merging half).

    """

    name = "$group"
    closed = True

    def __init__(
        self,
        key: GroupKey,
        accumulators: dict[str, Accumulator],
        *,
        partial: bool = False,
        merging: bool = False,
        collation: Any = None,
    ) -> None:
        self.key = key
        self.accumulators = accumulators
        self.partial = partial
        self.merging = merging
        self.collation = collation
        paths = set(key.reads)
        for accumulator in accumulators.values():
            paths |= accumulator.reads
        self.reads = frozenset(("",)) if merging else frozenset(paths)

    def halves(self) -> tuple[GroupStage, GroupStage]:
        """Return the half for each shard and the half that merges."""
        return (
            GroupStage(self.key, self.accumulators, partial=True, collation=self.collation),
            GroupStage(self.key, self.accumulators, merging=True, collation=self.collation),
        )

    @property
    def is_ordered(self) -> bool:
        """The result depends on the order of the documents."""
        return any(accumulator.ordered for accumulator in self.accumulators.values())

    async def run(self, source: AsyncIterator[Batch], run: Run) -> AsyncIterator[Batch]:
        """Take everything in, then give out the groups."""
        groups = _Groups(self, run)
        try:
            async for batch in gathered(source, run):
                await groups.take(batch)
                if groups.is_full():
                    await groups.spill()
            async for result in groups.results():
                yield result
        finally:
            await groups.runs.close()

    def modified(self) -> Modified:
        """Nothing stays, but parts of the key can be told from the output's `_id`."""
        if self.key.path is not None and "." not in self.key.path:
            return Modified(everything=True, renames={"_id": self.key.path})
        renames = {
            f"_id.{name}": expr.path
            for name, expr in self.key.fields.items()
            if expr.path is not None and "." not in expr.path
        }
        return Modified(everything=True, renames=renames) if renames else REPLACED

    def serialize(self) -> Document:
        """Return the stage, halves with their marks."""
        spec: Document = {"_id": self.key.spec}
        for field, accumulator in self.accumulators.items():
            spec[field] = {accumulator.name: accumulator.argument}
        if self.partial:
            spec["$willBeMerged"] = True
        if self.merging:
            spec["$doingMerge"] = True
        return {"$group": spec}


async def gathered(source: AsyncIterator[Batch], run: Run) -> AsyncIterator[Batch]:
    """Count batches, and join small ones: each costs a group more than its documents do."""
    held: Batch = []
    async for batch in source:
        await run.ports.checkpoint(len(batch))
        if type(batch) is MetaBatch or (not held and len(batch) >= _GATHERED):
            if held:
                yield held
                held = []
            yield batch
            continue
        held = held + batch
        if len(held) >= _GATHERED:
            yield held
            held = []
    if held:
        yield held


class _Groups:
    """The groups of one execution."""

    def __init__(self, stage: GroupStage, run: Run) -> None:
        self.stage = stage
        self.run = run
        self.runs = Runs(run)
        self._since_check = 0
        self._reset()

    def _reset(self) -> None:
        self.slots = _Slots()
        self.ids: list[Any] = []
        self.ids_bytes = 0
        self.columns: list[Column] = [
            accumulator.new_column() for accumulator in self.stage.accumulators.values()
        ]

    async def take(self, batch: Batch) -> None:
        """Add a batch, away from the loop when scripts may be called."""
        if self.run.scripted:
            await self.run.ports.apply(partial(self.add, batch))
        else:
            self.add(batch)

    async def give(self, slots: range) -> Batch:
        """Return the documents of some groups; see `take`."""
        if self.run.scripted:
            return await self.run.ports.apply(partial(self._finish, slots))
        return self._finish(slots)

    def add(self, batch: Batch) -> None:
        """Add a batch."""
        self._since_check += len(batch)
        if self.stage.merging:
            self._merge(batch)
        elif type(batch) is MetaBatch:
            for doc, env in zip(batch, envs(batch, self.run.env), strict=True):
                self._add([doc], env)
        else:
            self._add(batch, self.run.env)

    def _add(self, batch: Batch, env: Env) -> None:
        key = self.stage.key
        if key.constant is not MISSING:
            slots: Sequence[int] = [0] * len(batch)
            if not self.ids:
                self._open([key.constant])
                self.slots[None] = 0
        else:
            parts = key.columns(batch, env)
            slots = list(map(self.slots.__getitem__, key.keys(parts)))
            if len(self.slots) > len(self.ids):
                self._open([key.id_at(parts, at) for at in self._newcomers(slots)])
        if len(self.columns) > 1:
            env = {**env, COLUMNS: (batch, {})}
        for column in self.columns:
            column.take(slots, batch, env)

    def _newcomers(self, slots: Sequence[int]) -> Iterable[int]:
        """Give the positions where new slots first appear: they appear in order."""
        following, end = len(self.ids), len(self.slots)
        for at, slot in enumerate(slots):
            if slot == following:
                yield at
                following += 1
                if following == end:
                    return

    def _open(self, ids: list[Any]) -> None:
        self.ids += ids
        self.ids_bytes += sizes_of(ids)
        for column in self.columns:
            column.open(ids)

    def _merge(self, batch: Batch) -> None:
        ids = [doc["_id"] for doc in batch]
        slots = list(map(self.slots.__getitem__, keys_of(ids, self.stage.collation)))
        if len(self.slots) > len(self.ids):
            self._open([ids[at] for at in self._newcomers(slots)])
        for field, column in zip(self.stage.accumulators, self.columns, strict=True):
            for slot, doc in zip(slots, batch, strict=True):
                column.merge(slot, doc[field])

    def is_full(self) -> bool:
        """Tell whether memory is used up; looked at now and then."""
        count = len(self.ids)
        if self._since_check < 256 + count // 8:
            return False
        self._since_check = 0
        used = self.ids_bytes + count * _SLOT_BYTES
        for column in self.columns:
            used += count * column.bytes_per_slot + column.bytes_kept()
        return used > self.run.memory_bytes

    async def spill(self) -> None:
        """Write all groups as a run in the order of their ids."""
        if not self.run.allow_disk_use:
            raise MongoError(
                Code.QUERY_EXCEEDED_MEMORY_LIMIT_NO_DISK_USE_ALLOWED,
                "Exceeded memory limit for $group, but didn't allow external sort. Pass "
                "allowDiskUse:true to opt in.",
            )
        await self.runs.write(self._records())
        self._reset()

    def _records(self) -> Iterable[Record]:
        keys = [order.key(id_, self.stage.collation) for id_ in self.ids]
        for slot in sorted(range(len(keys)), key=keys.__getitem__):
            states = [column.partial(slot) for column in self.columns]
            yield keys[slot], {"_id": self.ids[slot], "s": states}

    async def results(self) -> AsyncIterator[Batch]:
        """Give out the groups."""
        if not self.runs:
            for start in range(0, len(self.ids), BATCH_DOCUMENTS):
                await self.run.ports.checkpoint(1)
                yield await self.give(range(start, min(start + BATCH_DOCUMENTS, len(self.ids))))
            return
        if self.ids:
            await self.spill()
        last: bytes | None = None
        async for records in self.runs.merged():
            for key, record in records:
                if key != last:
                    if len(self.ids) >= BATCH_DOCUMENTS:
                        yield await self.give(range(len(self.ids)))
                        self._reset()
                    self._open([record["_id"]])
                    last = key
                for column, state in zip(self.columns, record["s"], strict=True):
                    column.merge(len(self.ids) - 1, state)
        if self.ids:
            yield await self.give(range(len(self.ids)))

    def _finish(self, slots: range) -> Batch:
        finish: list[Callable[[int], Any]] = [
            column.partial if self.stage.partial else column.finish for column in self.columns
        ]
        results = [list(map(one, slots)) for one in finish]
        names = ("_id", *self.stage.accumulators)
        ids = self.ids[slots.start : slots.stop]
        return [dict(zip(names, values, strict=True)) for values in zip(ids, *results, strict=True)]


def make_group(spec: Document, context: StageContext) -> GroupStage:
    """Compile the specification of a `$group`."""
    if type(spec) is not dict:
        raise MongoError(15947, "a group's fields must be specified in an object")
    key: GroupKey | None = None
    accumulators: dict[str, Accumulator] = {}
    marks = {"$willBeMerged": False, "$doingMerge": False}
    ctx = context.expressions
    for name, value in spec.items():
        if name == "_id":
            key = GroupKey(value, ctx)
        elif name in marks and context.place == "internal":
            marks[name] = value is True
        else:
            accumulators[name] = compile_accumulator(name, value, ctx)
    if key is None:
        raise MongoError(15955, "a group specification must include an _id")
    return GroupStage(
        key,
        accumulators,
        partial=marks["$willBeMerged"],
        merging=marks["$doingMerge"],
        collation=ctx.collation,
    )


def _parse_group(spec: Any, context: StageContext) -> list[Stage]:
    return [make_group(spec, context)]


def _parse_count(spec: Any, context: StageContext) -> list[Stage]:
    if type(spec) is not str:
        raise MongoError(40156, "the count field must be a non-empty string")
    if not spec:
        raise MongoError(40157, "the count field must be a non-empty string")
    if spec.startswith("$"):
        raise MongoError(40158, "the count field cannot be a $-prefixed path")
    if "\0" in spec:
        raise MongoError(40159, "the count field cannot contain a null byte")
    if "." in spec:
        raise MongoError(40160, "the count field cannot contain '.'")
    if spec == "_id":
        raise MongoError(9039800, "the count field cannot be '_id'")
    from psdb_query.stages.shape import PARSERS as SHAPES

    group = make_group({"_id": None, spec: {"$sum": 1}}, context)
    return [group, *SHAPES["$project"]({spec: True, "_id": False}, context)]


def _parse_sort_by_count(spec: Any, context: StageContext) -> list[Stage]:
    message = (
        "the sortByCount field must be defined as a $-prefixed path or an expression inside an "
        "object"
    )
    if type(spec) is dict:
        if not next(iter(spec), "").startswith("$"):
            raise MongoError(40147, message)
    elif type(spec) is not str:
        raise MongoError(
            40149, "the sortByCount field must be specified as a string or as an object"
        )
    elif not spec.startswith("$"):
        raise MongoError(40148, message)
    from psdb_query.stages.sort import parse_sort

    group = make_group({"_id": spec, "count": {"$sum": 1}}, context)
    return [group, *parse_sort({"count": -1}, context)]


PARSERS: Final = {
    "$count": _parse_count,
    "$group": _parse_group,
    "$sortByCount": _parse_sort_by_count,
}
