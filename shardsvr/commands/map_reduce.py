"""`mapReduce` (manual: "mapReduce", "Map-Reduce"): functions in JavaScript over a collection.

The input is read by a pipeline; batches of it go to the script thread, where they are mapped,
and values of one key are reduced as soon as they are many, so memory follows the keys and not
the input. Results come in the order of their keys.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from bson.code import Code as JavaScript

from psdb_base import order
from psdb_base.errors import Code, MongoError
from psdb_base.values import UNDEFINED, Document
from psdb_query.describe import type_name
from psdb_query.sizes import size_of
from psdb_query.stages.output import MergeTarget, OutTarget
from psdb_query.stages.pipeline import compile_pipeline
from psdb_query.stages.ports import Batch
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field
from psdb_server.namespaces import check_collection_name
from psdb_server.operations import Operation
from psdb_server.scripting import Scripts
from shardsvr.collections import member_of, not_on_view
from shardsvr.commands.aggregate import Aggregation

VALUES_MAX: Final = 100
"""Values of one key that are kept before they are reduced."""
MEMORY_BYTES_MAX: Final = 100 * 1024 * 1024
CALLS: Final = 256
_INTERNAL: Final = ("admin", "config", "local")
_KINDS: Final = ("normal", "replace", "merge", "reduce", "inline")


@dataclass(frozen=True, slots=True)
class Output:
    """Where results go: `kind` is `inline`, `replace`, `merge` or `reduce`."""

    kind: str
    database: str = ""
    collection: str = ""
    named: bool = False


def parse_output(spec: Any, db: str) -> Output:
    """Check the `out` field.

    Raises MongoError 13606, 13522, 15895, 72, 73, 115.
    """
    if type(spec) is str:
        return Output("replace", db, check_collection_name(db, spec))
    if type(spec) is not dict:
        raise MongoError(13606, "'out' has to be a string or an object")
    kind = next((name for name in _KINDS if name in spec), None)
    if kind is None:
        raise MongoError(
            13522, "please specify one of [replace|merge|reduce|inline] in 'out' object"
        )
    for name in spec:
        if name not in (kind, "db", "nonAtomic", "sharded"):
            raise MongoError(40415, f"BSON field 'mapReduce.out.{name}' is an unknown field.")
    if kind == "inline":
        if "sharded" in spec:
            raise MongoError(
                Code.INVALID_OPTIONS, "cannot specify 'sharded' in combination with 'inline'"
            )
        return Output("inline")
    if spec.get("nonAtomic", True) is not True:
        raise MongoError(
            15895,
            "The nonAtomic:false option is no longer allowed in the mapReduce command. Please "
            "omit or specify nonAtomic:true",
        )
    if spec.get("sharded"):
        raise MongoError(
            Code.INVALID_OPTIONS,
            "Cannot use mapReduce to create a new sharded collection. Please create and shard "
            "the target collection before proceeding.",
        )
    database = spec.get("db", db)
    if type(database) is not str or type(spec[kind]) is not str:
        raise MongoError(Code.TYPE_MISMATCH, "names in 'out' must be strings")
    if database in _INTERNAL:
        raise MongoError(
            Code.COMMAND_NOT_SUPPORTED, "cannot target internal database as output"
        )
    name = check_collection_name(database, spec[kind])
    return Output("replace" if kind == "normal" else kind, database, name, "db" in spec)


def _source_of(args: Document, name: str) -> str | None:
    value = args.get(name)
    if value is None:
        return None
    if type(value) is JavaScript and value.scope:
        raise MongoError(Code.BAD_VALUE, f"'{name}' must not have a scope; use the scope option")
    if type(value) not in (str, JavaScript):
        raise MongoError(
            Code.BAD_VALUE, f"'{name}' must be of string or code type, got {type_name(value)}"
        )
    return str(value)


class _Job:
    """The functions, and the values that stand so far, by key."""

    def __init__(self, scripts: Scripts, op: Operation, args: Document, collation: Any) -> None:
        self._scripts = scripts
        self._op = op
        self._scope = args.get("scope")
        self._collation = collation
        self._map = _source_of(args, "map") or ""
        self._reduce = _source_of(args, "reduce") or ""
        self._finalize = _source_of(args, "finalize")
        self._keys: dict[bytes, Any] = {}
        self._values: dict[bytes, list[Any]] = {}
        self._size = 0

    async def take_all(self, source: Aggregation) -> None:
        """Map and reduce the whole input."""
        async for batch in source.run():
            await self.take(batch)

    async def take(self, batch: Batch) -> None:
        """Map a batch; reduce what has become much."""
        scripts, source, scope = self._scripts, self._map, self._scope
        for start in range(0, len(batch), CALLS):
            part = batch[start : start + CALLS]
            pairs = await scripts.run(
                self._op, partial(scripts.map_many, source, part, scope)
            )
            full = self._add(pairs)
            if self._size > MEMORY_BYTES_MAX:
                full = [key for key, values in self._values.items() if len(values) > 1]
            await self._reduce_keys(full)
            if self._size > MEMORY_BYTES_MAX:
                self._measure()

    def _add(self, pairs: list[tuple[Any, Any]]) -> list[bytes]:
        full: dict[bytes, None] = {}
        for key, value in pairs:
            id_ = None if key is UNDEFINED else key
            at = order.key(id_, self._collation)
            self._keys.setdefault(at, id_)
            values = self._values.setdefault(at, [])
            values.append(value)
            self._size += size_of(value)
            if len(values) > VALUES_MAX:
                full[at] = None
        return list(full)

    def _measure(self) -> None:
        self._size = sum(size_of(values) for values in self._values.values())
        if self._size > MEMORY_BYTES_MAX:
            raise MongoError(
                Code.EXCEEDED_MEMORY_LIMIT, "mapReduce would use too much memory for its values"
            )

    async def _reduce_keys(self, keys: list[bytes]) -> None:
        scripts, source, scope = self._scripts, self._reduce, self._scope
        for start in range(0, len(keys), CALLS):
            part = keys[start : start + CALLS]
            calls = [[self._keys[key], self._values[key]] for key in part]
            results = await scripts.run(
                self._op, partial(scripts.call_many, source, calls, scope)
            )
            for key, result in zip(part, results, strict=True):
                self._values[key] = [result]

    async def results(self) -> AsyncIterator[Batch]:
        """Give `{_id, value}` documents in the order of their keys, finalized."""
        await self._reduce_keys([key for key, values in self._values.items() if len(values) > 1])
        for keys in _parts(sorted(self._values)):
            yield await self._finish([(self._keys[key], self._values[key][0]) for key in keys])

    async def _finish(self, pairs: list[tuple[Any, Any]]) -> Batch:
        scripts, source, scope = self._scripts, self._finalize, self._scope
        if source is not None:
            calls = [list(pair) for pair in pairs]
            values = await scripts.run(
                self._op, lambda: scripts.call_many(source, calls, scope)
            )
            pairs = [(key, value) for (key, _old), value in zip(pairs, values, strict=True)]
        return [
            {"_id": key, "value": None if value is UNDEFINED else value} for key, value in pairs
        ]

    async def join(self, batch: Batch, old: dict[bytes, Any]) -> Batch:
        """Reduce results with the values that a target holds already (`out: {reduce}`)."""
        scripts, source, scope = self._scripts, self._reduce, self._scope
        keys = [order.key(document["_id"]) for document in batch]
        calls = [
            [document["_id"], [old[key], document["value"]]]
            for key, document in zip(keys, batch, strict=True) if key in old
        ]
        if not calls:
            return batch
        joined = iter(await scripts.run(
            self._op, lambda: scripts.call_many(source, calls, scope)
        ))
        found = [
            (key in old, document["_id"], next(joined) if key in old else document["value"])
            for key, document in zip(keys, batch, strict=True)
        ]
        renewed = iter(await self._finish([(id_, value) for is_old, id_, value in found if is_old]))
        return [
            next(renewed) if is_old else {"_id": id_, "value": value}
            for is_old, id_, value in found
        ]


def _parts(keys: list[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, len(keys), CALLS):
        yield keys[start : start + CALLS]


async def map_reduce(request: Request) -> Reply:
    """Run the functions and return or write the results."""
    args, member = request.args, member_of(request)
    name = check_collection_name(request.db, request.target)
    output = parse_output(args["out"], request.db)
    scripts = member.scripts()
    if scripts is None:
        raise MongoError(
            31264, "Cannot run server-side javascript without the javascript engine enabled"
        )
    request.node.operations.count("command")
    collection = member.engine.collection(request.db, name)
    if collection is not None and collection.is_view:
        raise not_on_view(collection)
    options: Document = {
        name: args[name] for name in ("bypassDocumentValidation", "collation") if args.get(name)
    }
    spec: list[Document] = [{"$match": args.get("query") or {}}]
    if args.get("sort"):
        spec.append({"$sort": args["sort"]})
    if args.get("limit"):
        spec.append({"$limit": args["limit"]})
    source = Aggregation(request, name, spec, options)
    collation = source.pipeline.context.expressions.collation
    job = _Job(scripts, request.op, args, collation)
    if output.kind == "inline":
        await job.take_all(source)
        return {"results": [one async for batch in job.results() for one in batch]}
    member.check_writable()
    return await member.write_through(request, lambda: _write(source, job, output, request))


async def _write(source: Aggregation, job: _Job, output: Output, request: Request) -> Reply:
    """Run the functions, write what comes out, and tell where it went."""
    await job.take_all(source)
    await _write_results(source, job, output, request)
    where = (
        {"db": output.database, "collection": output.collection}
        if output.named else output.collection
    )
    return {"result": where}


async def _write_results(
    source: Aggregation, job: _Job, output: Output, request: Request
) -> None:
    ports = source.ports
    if output.kind == "replace":
        await ports.out(OutTarget(output.database, output.collection), job.results())
        return
    target = MergeTarget(
        output.database, output.collection, ("_id",), "replace", None, {}, "insert"
    )
    async for batch in job.results():
        joined = batch
        if output.kind == "reduce":
            joined = await job.join(batch, await _existing(source, output, batch, request))
        await ports.merge(target, joined, source.env)


async def _existing(
    source: Aggregation, output: Output, batch: Batch, request: Request
) -> dict[bytes, Any]:
    """Return the values that the target holds for the keys of a batch."""
    spec = [{"$match": {"_id": {"$in": [document["_id"] for document in batch]}}}]
    pipeline = compile_pipeline(
        spec, member_of(request).context(), database=output.database,
        collection=output.collection,
    )
    found: dict[bytes, Any] = {}
    foreign = source.ports.foreign(output.database, output.collection)
    async for documents in foreign.run(pipeline, source.env):
        for document in documents:
            found[order.key(document["_id"])] = document.get("value")
    return found


COMMANDS = (
    Command(
        "mapReduce", map_reduce,
        (
            Field("map", "any", required=True),
            Field("reduce", "any", required=True),
            Field("out", "any", required=True),
            Field("query", "object"),
            Field("sort", "object"),
            Field("limit", "count"),
            Field("finalize", "any"),
            Field("scope", "object"),
            Field("jsMode", "safe bool"),
            Field("verbose", "safe bool"),
            Field("bypassDocumentValidation", "safe bool"),
            Field("collation", "object"),
        ),
        read_concern=True, write_concern=True,
        help="Run map and reduce functions in JavaScript.",
    ),
)
