"""A running pipeline's view of its member: other collections, writes, spill, yields."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from bson.int64 import Int64
from bson.objectid import ObjectId

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.limits import DOCUMENT_INTERNAL_BYTES_MAX, YIELD_BYTES, YIELD_DOCUMENTS
from psdb_base.values import Document
from psdb_query.context import Collation, CompileContext, Env
from psdb_query.filters import compile_filter
from psdb_query.stages.meta import MetaBatch
from psdb_query.stages.model import Run
from psdb_query.stages.pipeline import Pipeline, compile_pipeline, needed_paths
from psdb_query.stages.ports import Batch
from psdb_server.operations import Operation
from psdb_server.scripting import Scripts
from psdb_store.collection import Collection
from psdb_store.committed import Committed
from shardsvr.collections import not_on_view, not_the_views, resolve_view
from shardsvr.commands.stats import storage_stats
from shardsvr.find_meta import record_meta, wanted_meta
from shardsvr.member import Member
from shardsvr.near_source import NearSource, geo_index, nearest_first
from shardsvr.pipeline_sources import group_keys, shown_fields
from shardsvr.planning import Plan, next_records, plan_query
from shardsvr.planning.indexes import same_collation
from shardsvr.sharding.state import Scope
from shardsvr.usage import Usage

T = TypeVar("T")


class Ports:
    """The ports of one pipeline.

    Attributes:
        op: The operation that runs it now; a cursor sets it anew for each getMore.
        validates: What it writes has to satisfy the target's validator.

    """

    def __init__(
        self, member: Member, op: Operation, db: str, collection: str | None,
        scope: Scope | None = None, *, validates: bool = True,
    ) -> None:
        self.member = member
        self.op = op
        self.db = db
        self.collection = collection
        self.scripts: Scripts | None = None
        self.scope = scope
        self.validates = validates

    def committed_of(self, collection: Collection) -> Committed | None:
        """Return the committed state of a collection where that is read; None: the latest."""
        return self.member.committed_of(self.op, collection)

    async def checkpoint(self, documents: int) -> None:
        """Count work; see `Operation.checkpoint`."""
        await self.op.checkpoint(documents)

    async def apply(self, work: Callable[[], T]) -> T:
        """Do work that calls scripts on the script thread."""
        if self.scripts is None:
            return work()
        return await self.scripts.run(self.op, work)

    def random(self) -> float:
        """Return a float in [0, 1)."""
        return self.member.world.random.random()

    def new_object_id(self) -> ObjectId:
        """Make an ObjectId."""
        return self.member.world.random.object_id()

    def spill(self) -> Any:
        """Open temporary storage below the dbpath."""
        from shardsvr.spill import SpillFile

        return SpillFile(self.member)

    def foreign(self, database: str, collection: str) -> Foreign:
        """Open another collection or view, which must be here as a whole."""
        if self.scope is not None and self.scope.routed is not None:
            self.member.sharding.refuse_sharded(f"{database}.{collection}")
        return Foreign(self, database, collection)

    async def source(
        self, name: str, spec: Any, database: str, collection: str | None
    ) -> AsyncIterator[Batch]:
        """Produce the documents of a stage that reads the server."""
        rows = (
            _SOURCES[name](self, spec, database, collection) if name in _SOURCES else None
        )
        if rows is None:
            raise MongoError(
                Code.NOT_IMPLEMENTED, f"The stage {name} is not supported by PSDB yet"
            )
        if rows:
            yield rows

    def geo_key(self, database: str, collection: str, key: str | None) -> str:
        """Return the field whose geospatial index answers a `$geoNear`."""
        return geo_index(self.member.engine.collection(database, collection), key)[0]

    def matching(
        self, database: str, collection: str, spec: Document, env: Env
    ) -> AsyncIterator[Batch]:
        """Read what a filter matches of a collection."""
        pipeline = compile_pipeline(
            [{"$match": spec}], self.member.context(), database=database, collection=collection
        )
        return self.foreign(database, collection).run(pipeline, env)

    async def out(self, target: Any, batches: AsyncIterator[Batch]) -> None:
        """Replace a collection; see `shardsvr.pipeline_writes`."""
        from shardsvr import pipeline_writes

        await pipeline_writes.out(self, target, batches)

    async def merge(self, target: Any, batch: Batch, env: Env) -> None:
        """Write a batch into a collection; see `shardsvr.pipeline_writes`."""
        from shardsvr import pipeline_writes

        await pipeline_writes.merge(self, target, batch, env)


class Foreign:
    """Another collection or view, as `$lookup` reads it."""

    def __init__(self, ports: Ports, db: str, name: str) -> None:
        self._ports = ports
        self._db = db
        self._name = name

    def run(self, pipeline: Pipeline, env: Env) -> AsyncIterator[Batch]:
        """Run a compiled pipeline over it."""
        ports = self._ports
        collection = ports.member.engine.collection(self._db, self._name)
        if collection is not None and collection.is_view:
            name, prefix, collation = resolve_view(ports.member, self._db, collection)
            if not same_collation(
                ports.member.context(collation).collation, pipeline.context.expressions.collation
            ):
                raise not_the_views(collection)
            collection = ports.member.engine.collection(self._db, name)
            pipeline = compile_pipeline(
                [*prefix, *pipeline.spec], pipeline.context.expressions, database=self._db,
                collection=name, place=pipeline.context.place, depth=pipeline.context.depth,
            )
        return run_over(ports, collection, pipeline, env)

    async def lookup(
        self, path: str, values: list[Any], collation: Collation | None
    ) -> Batch | None:
        """Fetch by an index of which `path` is the first field; None without one."""
        member = self._ports.member
        collection = member.engine.collection(self._db, self._name)
        if collection is None or collection.is_view:
            return None
        if not any(_serves(index, path, collation) for index in collection.indexes.values()):
            return None
        context = CompileContext(collation=collation)
        chosen = compile_filter({path: {"$in": values}}, context)
        execution = plan_query(
            collection, chosen, member.env(), collation=collation,
            committed=self._ports.committed_of(collection),
        ).open()
        found: Batch = []
        while not execution.done:
            found += [record.document() for record in execution.next_batch(YIELD_DOCUMENTS)]
            await self._ports.checkpoint(YIELD_DOCUMENTS)
        return found


def _serves(index: Any, path: str, collation: Collation | None) -> bool:
    first = next(iter(index.key_pattern.items()))
    return (
        first[0] == path and first[1] in (1, -1) and not index.hidden and not index.sparse
        and index.partial is None and same_collation(index.collation, collation)
    )


_EMPTY: Final[Document] = {}


async def scan(
    ports: Ports, execution: Any, *, needs_fields: bool,
    meta: Callable[[Any], dict[str, Any]] | None = None,
) -> AsyncIterator[Batch]:
    """Give the documents of an execution as batches.

    With `meta`, which makes them of a record, their metadata are beside them. Without
    `needs_fields` (a pipeline that only counts) empty ones stand for them, so that nothing is
    decoded.
    """
    while True:
        records = await next_records(execution, ports.op, YIELD_DOCUMENTS)
        if records and meta is not None:
            documents = [record.document() for record in records]
            yield MetaBatch(documents, [meta(record) for record in records])
        elif records and needs_fields:
            yield [record.document() for record in records]
        elif records:
            yield [_EMPTY] * len(records)
        if execution.done:
            return
        await ports.checkpoint(YIELD_DOCUMENTS)


async def nothing() -> AsyncIterator[Batch]:
    """Give no batches."""
    batches: tuple[Batch, ...] = ()
    for batch in batches:
        yield batch


def run_over(
    ports: Ports, collection: Collection | None, pipeline: Pipeline, env: Env, *,
    hint: Any = None, allow_disk_use: bool = True,
) -> AsyncIterator[Batch]:
    """Run a pipeline over a collection, its leading match and sort done by the planner."""
    engine = pipeline.context.expressions.javascript
    if engine is not None and engine.used:
        assert isinstance(engine, Scripts)
        ports.scripts = engine
    run = Run(
        ports, env, allow_disk_use=allow_disk_use,
        memory_bytes=ports.member.parameters["internalQueryMaxBlockingSortMemoryUsageBytes"],
        scripted=engine is not None and engine.used,
    )
    if pipeline.source_stage is not None or collection is None:
        return pipeline.run(nothing(), run)
    found = plan_source(
        collection, pipeline, env, hint, ports.scope, ports.committed_of(collection)
    )
    if found.near is not None:
        run = replace(run, nearest_first=(found.near.path, found.near.condition))
    needed = needed_paths(pipeline.stages[found.done :])
    execution = found.plan.open()
    ports.op.ran(execution)
    source = scan(
        ports, execution, needs_fields=needed is None or bool(needed),
        meta=record_meta(found.plan, execution, found.wanted) if found.wanted else None,
    )
    return pipeline.run(source, run, skip_stages=found.done)


def _wanted_of_records(pipeline: Pipeline) -> frozenset[str]:
    """Return the metadata of records that a pipeline looks at."""
    if "$meta" not in repr(pipeline.spec):
        return frozenset()
    match = pipeline.leading().match
    is_text = match is not None and match.is_text
    return wanted_meta(pipeline.spec) & (_WITH_TEXT if is_text else _OF_RECORDS)


_OF_RECORDS: Final = frozenset(("indexKey", "recordId"))
_WITH_TEXT: Final = _OF_RECORDS | {"textScore"}


@dataclass(frozen=True, slots=True)
class PlannedSource:
    """The beginning of a pipeline as a plan.

    Args:
        plan: Gives the records.
        done: How many stages it has done.
        near: What a leading `$geoNear` asks for, which the plan gives in its order.
        wanted: Metadata of the records that are wanted beside them.

    """

    plan: Plan
    done: int
    near: NearSource | None = None
    wanted: frozenset[str] = frozenset()


def plan_source(
    collection: Collection, pipeline: Pipeline, env: Env, hint: Any, scope: Scope | None = None,
    committed: Committed | None = None,
) -> PlannedSource:
    """Plan the leading `$match` (and `$sort`, where an index gives the order)."""
    leading = pipeline.leading()
    context = pipeline.context.expressions
    guards = scope is not None and scope.is_of(collection.ns)
    near = nearest_first(collection, pipeline, env)
    if near is not None:
        chosen = scope.guarded(near.filter) if scope is not None and guards else near.filter
        plan = plan_query(
            collection, chosen, env, hint=hint, limit=near.limit, collation=context.collation,
            committed=committed,
        )
        return PlannedSource(plan, near.at, near)
    chosen = leading.match.filter if leading.match is not None else compile_filter({}, context)
    if scope is not None and guards:
        chosen = scope.guarded(chosen)
    wanted = _wanted_of_records(pipeline)
    if wanted:
        # Not from an index alone: what is told of is a record.
        plan = plan_query(
            collection, chosen, env, hint=hint, collation=context.collation, meta=True,
            committed=committed,
        )
        return PlannedSource(plan, leading.after_match, wanted=wanted)
    shown = shown_fields(pipeline, leading.after_match)
    if leading.sort is None:
        keys = group_keys(collection, pipeline, chosen, env, hint, shown, committed)
        if keys is not None:
            return PlannedSource(keys, leading.after_match)
    plan = plan_query(
        collection, chosen, env, hint=hint, collation=context.collation, projection=shown,
        sort=leading.sort.sorter if leading.sort is not None else None,
        limit=leading.limit if leading.sort is not None else None, committed=committed,
    )
    if leading.sort is None:
        return PlannedSource(plan, leading.after_match)
    if plan.sorted_by_index:
        done = leading.after_match if leading.limit else leading.after_sort
        return PlannedSource(plan, done)
    plain = plan_query(
        collection, chosen, env, hint=hint, collation=context.collation, projection=shown,
        committed=committed,
    )
    return PlannedSource(plain, leading.after_match)


def _coll_stats(ports: Ports, spec: Any, db: str, name: str | None) -> Batch:
    member = ports.member
    assert name is not None
    ns = f"{db}.{name}"
    collection = member.engine.collection(db, name)
    if collection is None and not ("storageStats" in spec or "latencyStats" in spec):
        raise MongoError(Code.NAMESPACE_NOT_FOUND, f"Collection [{ns}] not found.")
    from bson.datetime_ms import DatetimeMS

    row: Document = {
        "ns": ns,
        "host": member.host,
        "localTime": DatetimeMS(member.world.clock.now_ms()),
    }
    if member.shard_name is not None:
        row = {"ns": ns, "shard": member.shard_name, **row}
    if "latencyStats" in spec:
        usage = member.usage.get(ns) or Usage()
        histograms = bool(spec["latencyStats"].get("histograms", False))
        row["latencyStats"] = usage.latencies(histograms=histograms)
    if "storageStats" in spec:
        scale = int(spec["storageStats"].get("scale", 1))
        row["storageStats"] = storage_stats(collection, scale)
    if collection is None:
        return [row]
    if "count" in spec:
        if collection.is_view:
            raise not_on_view(collection)
        row["count"] = collection.count
    if "queryExecStats" in spec:
        row["queryExecStats"] = {
            "collectionScans": {
                "total": Int64(collection.scans), "nonTailable": Int64(collection.scans),
            },
        }
    return [row]


def _index_stats(ports: Ports, _spec: Any, db: str, name: str | None) -> Batch:
    assert name is not None
    collection = ports.member.engine.collection(db, name)
    if collection is None or collection.is_view:
        return []
    from bson.datetime_ms import DatetimeMS

    return [
        {
            "name": index.name,
            "key": index.key_pattern,
            "host": ports.member.host,
            "accesses": {"ops": Int64(index.accesses), "since": DatetimeMS(index.since_ms)},
            **({"shard": ports.member.shard_name} if ports.member.shard_name else {}),
            "spec": index.spec,
            **({} if index.ready else {"building": True}),
        }
        for index in (*collection.indexes.values(), *collection.building.values())
    ]


def _current_op(ports: Ports, spec: Any, db: str, name: str | None) -> Batch:
    from psdb_server.common.operation_commands import operation_rows

    if db != "admin" or name is not None:
        raise MongoError(
            Code.INVALID_NAMESPACE,
            "$currentOp must be run against the 'admin' database with {aggregate: 1}",
        )
    return operation_rows(ports.member, spec)


def _local_sessions(ports: Ports, _spec: Any, _db: str, _name: str | None) -> Batch:
    from bson.binary import Binary
    from bson.datetime_ms import DatetimeMS

    member = ports.member
    now, now_ms = member.world.clock.monotonic(), member.world.clock.now_ms()
    return [
        {
            "_id": {"id": Binary(lsid, 4), "uid": Binary(b"\0" * 32, 0)},
            "lastUse": DatetimeMS(int(now_ms - (now - used) * 1000)),
        }
        for lsid, used in member.sessions.last_use.items()
    ]


def _plan_cache_stats(ports: Ports, _spec: Any, db: str, name: str | None) -> Batch:
    from shardsvr.commands.plan_cache import describe_cache

    assert name is not None
    collection = ports.member.engine.collection(db, name)
    if collection is None or collection.is_view:
        return []
    place: Document = {"host": ports.member.host}
    if ports.member.shard_name is not None:
        place["shard"] = ports.member.shard_name
    return [{**row, **place} for row in describe_cache(collection)]


def _query_stats(_ports: Ports, _spec: Any, db: str, _name: str | None) -> Batch:
    """Return nothing, as MongoDB does whose `internalQueryStatsRateLimit` is 0, the default."""
    if db != "admin":
        raise MongoError(
            Code.INVALID_NAMESPACE,
            "$queryStats must be run against the 'admin' database with {aggregate: 1}",
        )
    return []


def _query_settings(ports: Ports, spec: Any, _db: str, _name: str | None) -> Batch:
    from shardsvr.commands.query_settings import describe_settings

    debug = type(spec) is dict and bool(spec.get("showDebugQueryShape"))
    return describe_settings(ports.member.settings.query_settings(), debug=debug)


def _none_yet(_ports: Ports, _spec: Any, _db: str, _name: str | None) -> Batch:
    """Return nothing: no command of PSDB makes what the stage would show."""
    return []


_SOURCES = {
    "$collStats": _coll_stats,
    "$currentOp": _current_op,
    "$indexStats": _index_stats,
    "$listSampledQueries": _none_yet,
    "$listLocalSessions": _local_sessions,
    "$listSessions": _local_sessions,
    "$planCacheStats": _plan_cache_stats,
    "$querySettings": _query_settings,
    "$queryStats": _query_stats,
}


async def encode_batches(
    ports: Ports, batches: AsyncIterator[Batch]
) -> AsyncIterator[list[bytes]]:
    """Encode a pipeline's batches for a cursor, never many bytes at once.

    Documents made by a pipeline may share what they hold: they are small in memory and many
    megabytes each when they are encoded.

    Raises:
        MongoError: 10334 for a document that no reply may hold.

    """
    encode = bson_codec.encode
    async for batch in batches:
        chunk: list[bytes] = []
        size = 0
        for document in batch:
            raw = encode(document)
            if len(raw) > DOCUMENT_INTERNAL_BYTES_MAX:
                raise _too_large(len(raw), document)
            chunk.append(raw)
            size += len(raw)
            if size > YIELD_BYTES:
                yield chunk
                await ports.checkpoint(YIELD_DOCUMENTS)
                chunk, size = [], 0
        if chunk:
            yield chunk


def _too_large(size: int, document: Document) -> MongoError:
    first = next(iter(document), "")
    return MongoError(
        Code.BSON_OBJECT_TOO_LARGE,
        f"BSONObj size: {size} (0x{size:X}) is invalid. Size must be between 0 and "
        f"{DOCUMENT_INTERNAL_BYTES_MAX}(16MB) First element: {first}",
    )
