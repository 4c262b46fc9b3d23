"""How a `$lookup` finds its documents: by index, by one hash table built once, or by scans.

- Equality: look up by index, a batch at a time; else one hash table; if that outgrows the
  memory, a scan of the foreign collection for each block of local documents.
- Equality and pipeline: the same, then the pipeline over what was found for each document.
- Equality and `$documents`: the same with those documents, then the rest of the pipeline.
- Pipeline without variables: run once.
- Pipeline with variables: its beginning up to the first variable is run once and kept; if that
  outgrows the memory, the whole runs for each document.

Where the first stage with variables is a `$match` that demands `$expr` equality of a path with
a value of the local document, the kept documents are hashed by that path, or fetched by index.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from psdb_base import order, paths
from psdb_base.values import MISSING, Document
from psdb_query.accumulators.keys import key_of, keys_of
from psdb_query.context import Env
from psdb_query.expressions.core import Expr, compile_expression
from psdb_query.sizes import sizes_of
from psdb_query.sorting import column_of
from psdb_query.stages.joins import HashTable, local_values
from psdb_query.stages.model import Run, close, empty, rechunk
from psdb_query.stages.pipeline import Pipeline
from psdb_query.stages.ports import Batch, ForeignSource

if TYPE_CHECKING:
    from psdb_query.stages.lookup import LookupStage

_SCAN_BLOCK: Final = 8192
"""Local documents for which a foreign collection too large to keep is scanned once."""


class Join(ABC):
    """A plan under way.

    Attributes:
        block_documents: It does better with at least this many documents at once.

    """

    block_documents = 1

    @abstractmethod
    async def matches(self, batch: Batch, envs: list[Env]) -> list[Batch]:
        """Return for each document what belongs to it; `envs` are the documents' own."""


def plan_join(stage: LookupStage, run: Run) -> Join:
    """Choose the plan."""
    if stage.equality is not None:
        if not stage.collection:
            return MadeDocuments(stage, run)
        equality = EqualityJoin(stage, run)
        if stage.pipeline is None or not stage.pipeline.stages:
            return equality
        return ThenPipeline(stage, run, equality)
    assert stage.pipeline is not None
    at = first_correlated(stage)
    if at is None:
        return OnceJoin(stage, run)
    return CorrelatedJoin(stage, run, at)


def first_correlated(stage: LookupStage) -> int | None:
    """Return the position of the first stage that mentions a variable of the `$lookup`."""
    assert stage.pipeline is not None
    for at, spec in enumerate(stage.pipeline.spec):
        if mentions(spec, stage.let):
            return at
    return None


def mentions(spec: Any, names: dict[str, Any]) -> bool:
    """Tell whether a specification may read one of the variables."""
    kind = type(spec)
    if kind is str:
        return spec.startswith("$$") and spec[2:].partition(".")[0] in names
    if kind is dict:
        return any(mentions(value, names) for value in spec.values())
    if kind is list:
        return any(mentions(value, names) for value in spec)
    return False


def part_of(stage: LookupStage, spec: list[Document]) -> Pipeline:
    """Compile a part of the stage's pipeline."""
    context = stage.context
    part: Pipeline = context.compile(
        spec,
        context.expressions.binding(*stage.let),
        database=stage.database,
        collection=stage.collection,
        place="$lookup",
        depth=context.depth + 1,
    )
    return part


def open_foreign(stage: LookupStage, run: Run) -> ForeignSource:
    """Open the foreign collection."""
    return run.ports.foreign(stage.database, stage.collection)


def run_foreign(stage: LookupStage, run: Run, pipeline: Pipeline, env: Env) -> AsyncIterator[Batch]:
    """Run a pipeline over the foreign collection, or over what it makes itself."""
    if not stage.collection:
        return pipeline.run(empty(), Run(run.ports, env, run.allow_disk_use, run.memory_bytes))
    return open_foreign(stage, run).run(pipeline, env)


async def take(source: AsyncIterator[Batch], limit_bytes: int | None = None) -> Batch | None:
    """Take all documents; None if they outgrow the limit."""
    found: Batch = []
    size = 0
    try:
        async for batch in source:
            found += batch
            size += sizes_of(batch)
            if limit_bytes is not None and size > limit_bytes:
                return None
    finally:
        await close(source)
    return found


class EqualityJoin(Join):
    """Documents whose foreign field matches a value of the local field."""

    def __init__(self, stage: LookupStage, run: Run) -> None:
        assert stage.equality is not None
        local, self._path = stage.equality
        self._parts = paths.split(local)
        self._stage = stage
        self._run = run
        self._collation = stage.context.expressions.collation
        self._foreign = open_foreign(stage, run)
        self._everything = stage.context.compile(
            [], stage.context.expressions, place="$lookup", depth=stage.context.depth + 1
        )
        self._mode = "index"
        self._table: HashTable | None = None
        self._looked_up: dict[Any, Batch] = {}
        self._looked_up_bytes = 0

    async def matches(self, batch: Batch, envs: list[Env]) -> list[Batch]:  # noqa: ARG002
        """Join a batch by whatever serves."""
        if self._table is not None and len(self._parts) == 1:
            column = column_of(batch, self._parts[0], None)
            if list not in set(map(type, column)):
                return self._table.find_each(keys_of(column, self._collation))
        values = [local_values(doc, self._parts) for doc in batch]
        wanted = [[key_of(value, self._collation) for value in own] for own in values]
        if self._mode == "index":
            found = await self._by_index(values, wanted)
            if found is not None:
                return found
            self._mode = "hash"
        if self._mode == "hash":
            if self._table is None:
                self._table = await self._build()
            if self._table is not None:
                table = self._table
                return [table.find(keys) for keys in wanted]
            self._mode = "scan"
            self.block_documents = _SCAN_BLOCK
        return await self._by_scan(wanted)

    async def _by_index(
        self, values: list[list[Any]], wanted: list[list[Any]]
    ) -> list[Batch] | None:
        """Fetch what is not known yet, and answer from what is known."""
        missing = {
            key: value
            for own, keys in zip(values, wanted, strict=True)
            for value, key in zip(own, keys, strict=True)
            if key not in self._looked_up
        }
        if missing:
            if self._looked_up_bytes > self._run.memory_bytes:
                self._looked_up, self._looked_up_bytes = {}, 0
                return await self._by_index(values, wanted)
            found = await self._foreign.lookup(
                self._path, list(missing.values()), self._collation
            )
            if found is None:
                return None
            table = HashTable(self._path, self._collation)
            table.add(found)
            self._looked_up_bytes += sizes_of(found)
            for key in missing:
                self._looked_up[key] = table.find([key])
        return [self._known(own, keys) for own, keys in zip(values, wanted, strict=True)]

    def _known(self, values: list[Any], keys: list[Any]) -> Batch:
        """Return what was found for one document's values, in the order of the values."""
        if len(keys) == 1:
            return list(self._looked_up[keys[0]])
        ranks = [order.key(value, self._collation) for value in values]
        found: Batch = []
        for at in sorted(range(len(keys)), key=ranks.__getitem__):
            found += self._looked_up[keys[at]]
        return _without_repeats(found)

    async def _build(self) -> HashTable | None:
        """Read the foreign collection into a table; None if it is too large."""
        source = run_foreign(self._stage, self._run, self._everything, self._run.env)
        table = HashTable(self._path, self._collation)
        size = 0
        try:
            async for batch in source:
                await self._run.ports.checkpoint(len(batch))
                table.add(batch)
                size += sizes_of(batch)
                if size > self._run.memory_bytes:
                    return None
        finally:
            await close(source)
        return table

    async def _by_scan(self, wanted: list[list[Any]]) -> list[Batch]:
        """Read the foreign collection and keep what this block needs."""
        needed = {key: None for keys in wanted for key in keys}
        kept = HashTable(self._path, self._collation)
        source = run_foreign(self._stage, self._run, self._everything, self._run.env)
        try:
            async for batch in source:
                await self._run.ports.checkpoint(len(batch))
                table = HashTable(self._path, self._collation)
                table.add(batch)
                kept.add(table.find(list(needed)))
        finally:
            await close(source)
        return [kept.find(keys) for keys in wanted]


def _without_repeats(documents: Batch) -> Batch:
    """Drop documents with an `_id` that came before (one document fetched by two look-ups)."""
    seen: dict[Any, None] = {}
    result = []
    for doc in documents:
        key = key_of(doc["_id"]) if "_id" in doc else id(doc)
        if key not in seen:
            seen[key] = None
            result.append(doc)
    return result


class ThenPipeline(Join):
    """An equality join whose finds go through the pipeline, for each local document alone."""

    def __init__(self, stage: LookupStage, run: Run, equality: EqualityJoin) -> None:
        self._stage = stage
        self._run = run
        self._equality = equality

    async def matches(self, batch: Batch, envs: list[Env]) -> list[Batch]:
        """Join, then run the pipeline."""
        assert self._stage.pipeline is not None
        found = await self._equality.matches(batch, envs)
        self.block_documents = self._equality.block_documents
        results = []
        for doc, env, documents in zip(batch, envs, found, strict=True):
            bound = self._stage.bind(doc, env)
            results.append(await run_over(self._stage.pipeline, documents, self._run, bound))
        return results


class MadeDocuments(Join):
    """An equality join with the documents of a `$documents`, then the rest of the pipeline."""

    def __init__(self, stage: LookupStage, run: Run) -> None:
        assert stage.pipeline is not None
        assert stage.equality is not None
        local, self._path = stage.equality
        self._parts = paths.split(local)
        self._stage = stage
        self._run = run
        self._collation = stage.context.expressions.collation
        spec = list(stage.pipeline.spec)
        self._make = part_of(stage, spec[:1])
        self._rest = part_of(stage, spec[1:])
        self._varies = mentions(spec[0], stage.let)
        self._made: HashTable | None = None

    async def matches(self, batch: Batch, envs: list[Env]) -> list[Batch]:
        """Make the documents, once if they are the same for all, and join."""
        results = []
        for doc, env in zip(batch, envs, strict=True):
            await self._run.ports.checkpoint(1)
            bound = self._stage.bind(doc, env)
            table = await self._table(bound)
            keys = [key_of(value, self._collation) for value in local_values(doc, self._parts)]
            results.append(await run_over(self._rest, table.find(keys), self._run, bound))
        return results

    async def _table(self, env: Env) -> HashTable:
        if self._made is None or self._varies:
            self._made = HashTable(self._path, self._collation)
            self._made.add(await take(run_foreign(self._stage, self._run, self._make, env)) or [])
        return self._made


async def run_over(pipeline: Pipeline, documents: Batch, run: Run, env: Env) -> Batch:
    """Run a pipeline over documents in memory."""
    own = Run(run.ports, env, run.allow_disk_use, run.memory_bytes)
    return await take(pipeline.run(rechunk(documents), own)) or []


class OnceJoin(Join):
    """A pipeline that gives the same for every document."""

    def __init__(self, stage: LookupStage, run: Run) -> None:
        self._stage = stage
        self._run = run
        self._found: Batch | None = None

    async def matches(self, batch: Batch, envs: list[Env]) -> list[Batch]:
        """Run at the first batch, then repeat the answer."""
        assert self._stage.pipeline is not None
        if self._found is None:
            source = run_foreign(self._stage, self._run, self._stage.pipeline, envs[0])
            self._found = await take(source) or []
        return [self._found for _ in batch]


class CorrelatedJoin(Join):
    """A pipeline that reads variables from stage `at` on."""

    def __init__(self, stage: LookupStage, run: Run, at: int) -> None:
        assert stage.pipeline is not None
        self._stage = stage
        self._run = run
        whole = stage.pipeline
        self._prefix = part_of(stage, list(whole.spec[:at]))
        self._suffix = part_of(stage, list(whole.spec[at:]))
        self._key = find_equality(whole.spec[at], stage)
        self._indexed = at == 0 and bool(stage.collection) and self._key is not None
        self._kept: Batch | None = None
        self._tried = False
        self._by_key: dict[Any, Batch] | None = None

    async def matches(self, batch: Batch, envs: list[Env]) -> list[Batch]:
        """Answer one document after the other."""
        bounds = [self._stage.bind(doc, env) for doc, env in zip(batch, envs, strict=True)]
        if self._indexed:
            found = await self._by_index(bounds)
            if found is not None:
                return found
            self._indexed = False
        if not self._tried:
            self._tried = True
            source = run_foreign(self._stage, self._run, self._prefix, envs[0])
            self._kept = await take(source, self._run.memory_bytes)
            self._hash()
        return [await self._one(bound) for bound in bounds]

    async def _one(self, env: Env) -> Batch:
        await self._run.ports.checkpoint(1)
        if self._kept is None:
            assert self._stage.pipeline is not None
            source = run_foreign(self._stage, self._run, self._stage.pipeline, env)
            return await take(source) or []
        documents = self._kept
        if self._by_key is not None and self._key is not None:
            key = self._key.key(env)
            documents = self._by_key.get(key, [])
        return await run_over(self._suffix, documents, self._run, env)

    def _hash(self) -> None:
        """Hash the kept documents by the path that has to equal a local value."""
        if self._kept is None or self._key is None:
            return
        evaluate, collation = self._key.foreign.evaluate, self._key.collation
        self._by_key = {}
        for doc in self._kept:
            key = key_of(evaluate(doc, self._run.env), collation)
            self._by_key.setdefault(key, []).append(doc)

    async def _by_index(self, bounds: list[Env]) -> list[Batch] | None:
        key = self._key
        assert key is not None
        assert key.foreign.path is not None
        values = [key.value(env) for env in bounds]
        if "." in key.foreign.path and any(type(value) is list for value in values):
            return None
        distinct = {key_of(value, key.collation): value for value in values}
        foreign = open_foreign(self._stage, self._run)
        found = await foreign.lookup(key.foreign.path, list(distinct.values()), key.collation)
        if found is None:
            return None
        self._kept = found
        self._hash()
        result = [await self._one(env) for env in bounds]
        self._kept, self._by_key = None, None
        return result


class EqualityKey:
    """`$expr: {$eq: [foreign path, value of the local document]}` within a first `$match`."""

    def __init__(self, foreign: Expr, local: Expr, collation: Any) -> None:
        self.foreign = foreign
        self.collation = collation
        self._local = local

    def key(self, env: Env) -> Any:
        """Return the key that foreign documents must have."""
        return key_of(self._local.evaluate({}, env), self.collation)

    def value(self, env: Env) -> Any:
        """Return the value that the foreign path must have, null for none."""
        value = self._local.evaluate({}, env)
        return None if value is MISSING else value


def find_equality(spec: Document, stage: LookupStage) -> EqualityKey | None:
    """Find a conjunct of a `$match` that lets the documents be hashed."""
    ctx = stage.context.expressions.binding(*stage.let)
    for conjunct in _expr_conjuncts(spec.get("$match")):
        operands = conjunct.get("$eq") if type(conjunct) is dict else None
        if type(operands) is not list or len(operands) != 2:
            continue
        for first, second in (operands, operands[::-1]):
            if not (_is_path(first) and mentions(second, stage.let)):
                continue
            local = compile_expression(second, ctx)
            if not local.paths:
                return EqualityKey(compile_expression(first, ctx), local, ctx.collation)
    return None


def _is_path(spec: Any) -> bool:
    return type(spec) is str and spec.startswith("$") and not spec.startswith("$$")


def _expr_conjuncts(match: Any) -> list[Any]:
    """Return what must hold of the `$expr` of a filter, nested `$and`s flattened."""
    if type(match) is not dict:
        return []
    found: list[Any] = []
    for name, value in match.items():
        if name == "$and" and type(value) is list:
            for part in value:
                found += _expr_conjuncts(part)
        elif name == "$expr":
            found += _conjuncts(value)
    return found


def _conjuncts(expression: Any) -> list[Any]:
    if type(expression) is dict and len(expression) == 1 and type(expression.get("$and")) is list:
        return [one for part in expression["$and"] for one in _conjuncts(part)]
    return [expression]
