"""`$graphLookup`: follow references from document to document, breadth first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from bson.int64 import Int64

from psdb_base import paths
from psdb_base.errors import MongoError
from psdb_base.values import MISSING, Document
from psdb_query.accumulators.keys import key_of
from psdb_query.context import Env
from psdb_query.describe import text_of, type_name
from psdb_query.expressions.core import Expr, compile_expression, split_path
from psdb_query.numeric import as_integer, fits_long, is_number
from psdb_query.sizes import size_of, sizes_of
from psdb_query.stages.joins import HashTable
from psdb_query.stages.lookup import parse_from
from psdb_query.stages.match import make_match
from psdb_query.stages.meta import MetaBatch, envs
from psdb_query.stages.model import Modified, Run, Stage, StageContext, close, written
from psdb_query.stages.ports import Batch
from psdb_query.stages.unwind import set_at

_REQUIRED: Final = ("as", "connectFromField", "connectToField", "from", "startWith")
_MEMORY: Final = "$graphLookup reached maximum memory consumption"


class GraphLookupStage(Stage):
    """Documents with an array of all documents that can be reached from them."""

    name = "$graphLookup"

    def __init__(self, spec: Document, start: Expr, context: StageContext) -> None:
        self.spec = spec
        self.context = context
        self.start = start
        self.database, self.collection = parse_from(spec["from"], context.database)
        self.connect_from = split_path(spec["connectFromField"])
        self.connect_to: str = spec["connectToField"]
        self.as_parts = split_path(spec["as"])
        self.max_depth = spec.get("maxDepth")
        depth = spec.get("depthField")
        self.depth_parts = None if depth is None else split_path(depth)
        self.reads = start.paths
        restrict = spec.get("restrictSearchWithMatch", {})
        self.restrict = make_match(restrict, context) if restrict else None
        split_path(self.connect_to)
        self.pipeline = context.compile(
            [{"$match": restrict}] if restrict else [],
            context.expressions,
            place="$lookup",
            depth=context.depth + 1,
        )

    @property
    def foreign(self) -> tuple[tuple[str, str], ...]:
        """The collection searched."""
        return ((self.database, self.collection),)

    @property
    def one_to_one(self) -> bool:
        """One for one."""
        return True

    async def run(self, source: AsyncIterator[Batch], run: Run) -> AsyncIterator[Batch]:
        """Search from each document in turn."""
        graph = _Graph(self, run)
        async for batch in source:
            result: Batch = []
            for doc, env in zip(batch, envs(batch, run.env), strict=True):
                await run.ports.checkpoint(1)
                result.append(set_at(doc, self.as_parts, await graph.search(doc, env)))
            yield MetaBatch(result, batch.meta) if type(batch) is MetaBatch else result

    def modified(self) -> Modified:
        """Set the result's path."""
        return written(self.spec["as"])

    def serialize(self) -> Document:
        """Return the stage."""
        return {"$graphLookup": self.spec}


class _Graph:
    """The collection as a graph: neighbours by key, from an index or from one table."""

    def __init__(self, stage: GraphLookupStage, run: Run) -> None:
        self.stage = stage
        self.run = run
        self.collation = stage.context.expressions.collation
        self.foreign = run.ports.foreign(stage.database, stage.collection)
        self.known: dict[Any, Batch] = {}
        self.table: HashTable | None = None
        self.indexed = True

    async def search(self, doc: Document, env: Env) -> Batch:
        """Return all documents reached from one, in the order in which they were reached."""
        stage = self.stage
        start = stage.start.evaluate(doc, env)
        values = start if type(start) is list else [start]
        frontier = self._keyed(value for value in values if value is not MISSING)
        visited: dict[Any, Document] = {}
        depth, size = 0, 0
        while frontier:
            following: dict[Any, Any] = {}
            for found in await self._neighbours(frontier):
                key = key_of(found["_id"]) if "_id" in found else id(found)
                if key in visited:
                    continue
                size += size_of(found)
                if size > self.run.memory_bytes:
                    raise MongoError(40099, _MEMORY)
                visited[key] = self._with_depth(found, depth)
                following.update(self._keyed(self._connections(found)))
            if stage.max_depth is not None and depth >= stage.max_depth:
                break
            depth += 1
            frontier = following
        return list(visited.values())

    def _with_depth(self, doc: Document, depth: int) -> Document:
        parts = self.stage.depth_parts
        return doc if parts is None else set_at(doc, parts, Int64(depth))

    def _connections(self, doc: Document) -> list[Any]:
        found: list[Any] = []
        for value in paths.values_along(doc, self.stage.connect_from, expand_leaf=False):
            if type(value) is list:
                found += value
            elif value is not MISSING:
                found.append(value)
        return found

    def _keyed(self, values: Any) -> dict[Any, Any]:
        return {key_of(value, self.collation): value for value in values}

    async def _neighbours(self, frontier: dict[Any, Any]) -> Batch:
        if self.indexed:
            missing = {key: value for key, value in frontier.items() if key not in self.known}
            found = await self._fetch(list(missing.values())) if missing else []
            if found is not None:
                table = HashTable(self.stage.connect_to, self.collation)
                table.add(found)
                for key in missing:
                    self.known[key] = table.find([key])
                return [doc for key in frontier for doc in self.known[key]]
            self.indexed = False
        if self.table is None:
            self.table = await self._build()
        return self.table.find(list(frontier))

    async def _fetch(self, values: list[Any]) -> Batch | None:
        found = await self.foreign.lookup(
            self.stage.connect_to, values, self.collation
        )
        restrict = self.stage.restrict
        if found is None or restrict is None:
            return found
        return restrict.transform(found, self.run.env)

    async def _build(self) -> HashTable:
        table = HashTable(self.stage.connect_to, self.collation)
        size = 0
        source = self.foreign.run(self.stage.pipeline, self.run.env)
        try:
            async for batch in source:
                await self.run.ports.checkpoint(len(batch))
                table.add(batch)
                size += sizes_of(batch)
                if size > self.run.memory_bytes:
                    raise MongoError(40099, _MEMORY)
        finally:
            await close(source)
        return table


def _parse_graph_lookup(spec: Any, context: StageContext) -> list[Stage]:
    if type(spec) is not dict:
        raise MongoError(
            9,
            f"the $graphLookup stage specification must be an object, but found {type_name(spec)}",
        )
    for name, value in spec.items():
        _check_field(name, value)
    if any(name not in spec for name in _REQUIRED):
        raise MongoError(
            40105,
            "$graphLookup requires 'from', 'as', 'startWith', 'connectFromField', and "
            "'connectToField' to be specified.",
        )
    start = compile_expression(spec["startWith"], context.expressions)
    checked = dict(spec)
    if "maxDepth" in spec:
        checked["maxDepth"] = as_integer(spec["maxDepth"])
    return [GraphLookupStage(checked, start, context)]


def _check_field(name: str, value: Any) -> None:
    if name == "startWith":
        return
    if name == "maxDepth":
        if not is_number(value):
            raise MongoError(
                40100, f"maxDepth requires a numeric argument, found {type_name(value)}"
            )
        number = as_integer(value)
        if number is not None and number < 0:
            raise MongoError(
                40101, f"maxDepth requires a nonnegative argument, found: {text_of(value)}"
            )
        if number is None or not fits_long(number):
            raise MongoError(
                40102, f"maxDepth could not be represented as a long long: {text_of(value)}"
            )
    elif name == "restrictSearchWithMatch":
        if type(value) is not dict:
            raise MongoError(40185, f"{name} must be an object, found {name}: {text_of(value)}")
    elif name in ("as", "connectFromField", "connectToField", "depthField", "from"):
        if type(value) is not str:
            raise MongoError(
                40103,
                f"expected string as argument for {name}, found: {name}: {text_of(value)}",
            )
    else:
        raise MongoError(40104, f"Unknown argument to $graphLookup: {name}")


PARSERS: Final = {"$graphLookup": _parse_graph_lookup}
