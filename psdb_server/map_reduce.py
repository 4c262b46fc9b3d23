"""Map-reduce for member and router alike: the functions, what they gave, and where it goes.

Batches of the input go to the script thread, where they are mapped, and values of one key are
reduced as soon as they are many, so memory follows the keys and not the input. Results come in
the order of their keys.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from bson.code import Code as JavaScript

from psdb_base import order
from psdb_base.errors import Code, MongoError
from psdb_base.values import UNDEFINED, Document
from psdb_query.context import Env
from psdb_query.describe import type_name
from psdb_query.sizes import size_of
from psdb_query.stages.output import MergeTarget, OutTarget
from psdb_query.stages.ports import Batch
from psdb_server.fields import Field
from psdb_server.namespaces import check_collection_name
from psdb_server.operations import Operation
from psdb_server.scripting import Scripts

FIELDS: Final = (
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
)
"""The fields of the command."""
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


class Job:
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

    async def take_all(self, batches: AsyncIterator[Batch]) -> None:
        """Map and reduce the whole input."""
        async for batch in batches:
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


def pipeline_of(args: Document) -> list[Document]:
    """Return the stages that choose the input."""
    spec: list[Document] = [{"$match": args.get("query") or {}}]
    if args.get("sort"):
        spec.append({"$sort": args["sort"]})
    if args.get("limit"):
        spec.append({"$limit": args["limit"]})
    return spec


class Target(Protocol):
    """Where results are written."""

    async def out(self, target: Any, batches: AsyncIterator[Batch]) -> None:
        """Replace a collection."""
        ...

    async def merge(self, target: Any, batch: Batch, env: Env) -> None:
        """Write a batch into a collection."""
        ...

    def matching(
        self, database: str, collection: str, spec: Document, env: Env
    ) -> AsyncIterator[Batch]:
        """Read what a filter matches of a collection."""
        ...


async def write_results(job: Job, output: Output, target: Target, env: Env) -> Document:
    """Write the results; return the command's reply."""
    if output.kind == "replace":
        await target.out(OutTarget(output.database, output.collection), job.results())
    else:
        merging = MergeTarget(
            output.database, output.collection, ("_id",), "replace", None, {}, "insert"
        )
        async for batch in job.results():
            joined = batch
            if output.kind == "reduce":
                joined = await job.join(batch, await _existing(target, output, batch, env))
            await target.merge(merging, joined, env)
    where: Any = output.collection
    if output.named:
        where = {"db": output.database, "collection": output.collection}
    return {"result": where}


async def _existing(
    target: Target, output: Output, batch: Batch, env: Env
) -> dict[bytes, Any]:
    """Return the values that the target holds for the keys of a batch."""
    spec: Document = {"_id": {"$in": [document["_id"] for document in batch]}}
    found: dict[bytes, Any] = {}
    async for documents in target.matching(output.database, output.collection, spec, env):
        for document in documents:
            found[order.key(document["_id"])] = document.get("value")
    return found
