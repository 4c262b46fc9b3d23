"""`$setWindowFields`: fields computed from the neighbours of a document in its partition."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from itertools import groupby, islice
from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_base.values import MISSING, Document
from psdb_query.accumulators.keys import key_of
from psdb_query.context import CompileContext, Env
from psdb_query.describe import type_name
from psdb_query.expressions.core import Expr, compile_expression, split_path
from psdb_query.sizes import sizes_of
from psdb_query.sorting import Sorter, SortPart, compile_sort
from psdb_query.stages.meta import META, MetaBatch, envs
from psdb_query.stages.model import Modified, Run, Stage, StageContext, written
from psdb_query.stages.ports import Batch
from psdb_query.stages.sort import SortStage
from psdb_query.stages.specs import check_object
from psdb_query.stages.spilling import DocumentBuffer
from psdb_query.windows.core import Partition, WindowFunction, compile_window_function


class SetWindowFieldsStage(Stage):
    """Documents, sorted by partition and `sortBy` before, with fields added.

    Args:
        spec: The specification as it was given.
        partition_by: The partition's expression, or None for one partition.
        sorter: The order within partitions, or None.
        sort_path: The expression of its first path.
        output: Dotted path → function.

    """

    name = "$setWindowFields"

    def __init__(
        self,
        spec: Document,
        partition_by: Expr | None,
        sorter: Sorter | None,
        sort_path: Expr | None,
        output: dict[str, WindowFunction],
        ctx: CompileContext,
    ) -> None:
        self.spec = spec
        self.partition_by = partition_by
        self.sorter = sorter
        self.sort_path = sort_path
        self.output = output
        self.collation = ctx.collation
        self.paths = [split_path(path) for path in output]
        reads = set() if partition_by is None else set(partition_by.paths)
        if sorter is not None:
            reads |= sorter.paths
        for function in output.values():
            reads |= function.reads
        self.reads = frozenset(reads)

    async def run(self, source: AsyncIterator[Batch], run: Run) -> AsyncIterator[Batch]:
        """Collect a partition, compute, give it out, and on to the next."""
        current = _Current(self, run)
        try:
            async for batch in source:
                await run.ports.checkpoint(len(batch))
                for key, part in self._split(batch, run.env):
                    if key != current.key and current.partition.count:
                        async for result in current.results():
                            yield result
                    current.key = key
                    await current.add(part)
            if current.partition.count:
                async for result in current.results():
                    yield result
        finally:
            await current.buffer.close()

    def _split(self, batch: Batch, env: Env) -> Iterator[tuple[Any, Batch]]:
        """Cut a batch where the partition changes."""
        if self.partition_by is None:
            yield None, batch
            return
        keys = [
            self._partition_key(doc, own) for doc, own in zip(batch, envs(batch, env), strict=True)
        ]
        at = 0
        for key, run in groupby(keys):
            count = sum(1 for _ in run)
            if type(batch) is MetaBatch:
                yield key, batch.cut(at, at + count)
            else:
                yield key, batch[at : at + count]
            at += count

    def _partition_key(self, doc: Document, env: Env) -> Any:
        assert self.partition_by is not None
        return (key_of(partition_value(self.partition_by, doc, env), self.collation),)

    def modified(self) -> Modified:
        """Set the output fields."""
        return written(*self.output)

    def serialize(self) -> Document:
        """Return the stage."""
        return {"$setWindowFields": self.spec}


def partition_value(expr: Expr, doc: Document, env: Env) -> Any:
    """Return the value a document is partitioned by: missing is null, an array an error."""
    value = expr.evaluate(doc, env)
    if type(value) is list:
        raise MongoError(Code.TYPE_MISMATCH, "Cannot 'partitionBy' an expression of type array")
    return None if value is MISSING else value


class _Current:
    """The partition that is being collected."""

    def __init__(self, stage: SetWindowFieldsStage, run: Run) -> None:
        self.stage = stage
        self.run = run
        self.key: Any = None
        self.buffer = DocumentBuffer(
            run,
            MongoError(5643011, "Exceeded max memory. Set 'allowDiskUse: true' to spill to disk"),
        )
        functions = stage.output.values()
        self._wants_values = any(one.wants_sort_values for one in functions)
        self._wants_keys = any(one.wants_sort_keys for one in functions)
        self._reset()

    def _reset(self) -> None:
        self.partition = Partition()
        self.columns: list[list[Any]] = [[] for _ in self.stage.output]
        self.metas: list[dict[str, Any]] | None = None

    async def add(self, batch: Batch) -> None:
        """Take documents of the partition."""
        if type(batch) is MetaBatch:
            for doc, meta in zip(batch, batch.meta, strict=True):
                self._evaluate([doc], {**self.run.env, META: meta})
            self.metas = [*(self.metas or []), *batch.meta]
        else:
            self._evaluate(batch, self.run.env)
        await self.buffer.add(list(batch), sizes_of(batch))

    def _evaluate(self, batch: Batch, env: Env) -> None:
        stage, partition = self.stage, self.partition
        partition.count += len(batch)
        for column, function in zip(self.columns, stage.output.values(), strict=True):
            if function.values is not None:
                column += function.values(batch, env)
        if self._wants_values:
            assert stage.sort_path is not None
            evaluate = stage.sort_path.evaluate
            partition.sort_values += [evaluate(doc, env) for doc in batch]
        if self._wants_keys:
            assert stage.sorter is not None
            partition.sort_keys += [stage.sorter.key(doc, env) for doc in batch]

    async def results(self) -> AsyncIterator[Batch]:
        """Compute the functions and give the documents out; then be empty."""
        functions = self.stage.output.values()
        results = [
            function.compute(column, self.partition)
            for function, column in zip(functions, self.columns, strict=True)
        ]
        metas = self.metas
        at = 0
        async for docs in self.buffer.drain():
            made = self._with_results(docs, results)
            if metas is not None:
                yield MetaBatch(made, metas[at : at + len(docs)])
            else:
                yield made
            at += len(docs)
        self._reset()

    def _with_results(self, docs: Batch, results: list[Iterator[Any]]) -> Batch:
        made = docs
        for parts, result in zip(self.stage.paths, results, strict=True):
            values = list(islice(result, len(docs)))
            pairs = zip(made, values, strict=True)
            if len(parts) == 1:
                name = parts[0]
                made = [doc if one is MISSING else {**doc, name: one} for doc, one in pairs]
            else:
                made = [doc if one is MISSING else assign(doc, parts, one) for doc, one in pairs]
        return made


def assign(value: Any, parts: tuple[str, ...], new: Any) -> Any:
    """Return a copy with the value at a path, in each element where an array is met."""
    if not parts:
        return new
    if type(value) is list:
        return [assign(element, parts, new) for element in value]
    copy = dict(value) if type(value) is dict else {}
    copy[parts[0]] = assign(copy.get(parts[0]), parts[1:], new)
    return copy


def _parse(spec: Any, context: StageContext) -> list[Stage]:
    if type(spec) is not dict:
        raise MongoError(
            Code.FAILED_TO_PARSE,
            f"the $setWindowFields stage specification must be an object, found {type_name(spec)}",
        )
    fields: dict[str, tuple[str, ...]] = {
        "output": ("object",), "partitionBy": (), "sortBy": ("object",),
    }  # fmt: skip
    check_object("$setWindowFields", spec, fields, ("output",))
    ctx = context.expressions
    partition: Expr | None = None
    if "partitionBy" in spec:
        partition = compile_expression(spec["partitionBy"], ctx)
        if partition.is_constant:
            if type(partition.value) is list:
                raise MongoError(
                    Code.TYPE_MISMATCH,
                    "An expression used to partition cannot evaluate to value of type array",
                )
            partition = None
    sorter = compile_sort(spec["sortBy"], ctx) if spec.get("sortBy") else None
    sort_path = _sort_path(sorter, ctx)
    _check_conflicts(list(spec["output"]))
    output = {
        path: compile_window_function(one, sorter, sort_path, ctx, path)
        for path, one in spec["output"].items()
    }
    stage = SetWindowFieldsStage(spec, partition, sorter, sort_path, output, ctx)
    before = _sort_before(partition, spec.get("partitionBy"), sorter, ctx)
    return [stage] if before is None else [before, stage]


def _sort_path(sorter: Sorter | None, ctx: CompileContext) -> Expr | None:
    if sorter is None or not sorter.parts or sorter.parts[0].meta is not None:
        return None
    return compile_expression(f"${sorter.parts[0].path}", ctx)


def _check_conflicts(paths: list[str]) -> None:
    for at, path in enumerate(paths):
        for other in paths[:at]:
            if path.startswith(other + ".") or other.startswith(path + "."):
                raise MongoError(
                    6307900,
                    "$setWindowFields 'output' specification contains two conflicting paths",
                )


def _sort_before(
    partition: Expr | None, spec: Any, sorter: Sorter | None, ctx: CompileContext
) -> SortStage | None:
    """Return the sort by partition and `sortBy`, if there is anything to sort by."""
    parts = () if sorter is None else sorter.parts
    keys: Document = {} if sorter is None else dict(sorter.spec)
    if partition is not None:
        if partition.path is not None and "." not in partition.path:
            name = partition.path
            lead = SortPart(name, (name,), ascending=True)
            keys = {name: 1, **{key: one for key, one in keys.items() if key != name}}
            parts = tuple(part for part in parts if part.path != name)
        else:
            evaluate = _partition_evaluate(partition)
            lead = SortPart("", (), True, "partitionBy", evaluate, partition.paths)
            keys = {"partitionBy": {"$computed": spec}, **keys}
        parts = (lead, *parts)
    if not parts:
        return None
    return SortStage(Sorter(keys, parts, ctx.collation), implied=True)


def _partition_evaluate(expr: Expr) -> Callable[[Any, Env], Any]:
    return lambda doc, env: partition_value(expr, doc, env)


PARSERS: Final = {"$setWindowFields": _parse}
