"""`aggregate`, and what else runs as a pipeline: reads of views."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.context import Env
from psdb_query.query_shapes import WHOLE_SHAPE
from psdb_query.stages.output import check_level
from psdb_query.stages.pipeline import Pipeline, compile_pipeline
from psdb_query.stages.ports import Batch
from psdb_query.stages.touched import foreign_names
from psdb_server.command import Command, RawReply, Reply, Request
from psdb_server.cursors import BatchSource, Cursor, batch_size_of
from psdb_server.fields import Field, is_number
from psdb_server.namespaces import check_collection_name
from psdb_server.operations import Operation
from psdb_server.replies import cursor_elements
from psdb_store.collection import Collection
from shardsvr import replicated_writes
from shardsvr.collections import is_spread, member_of, not_the_views, resolve_view
from shardsvr.find_meta import no_score, wanted_meta
from shardsvr.pipeline_ports import Ports, encode_batches, run_over
from shardsvr.planning.indexes import same_collation
from shardsvr.query_settings import heed

_CHANGE_STREAM: Final = "$changeStream"


class PipelineSource(BatchSource):
    """A cursor's source over a running pipeline; yields count for the operation that fetches."""

    def __init__(self, ports: Ports, batches: AsyncIterator[Batch]) -> None:
        super().__init__(encode_batches(ports, batches))
        self._ports = ports

    async def fetch(self, op: Operation, count: int) -> list[bytes]:
        """Return up to `count` documents."""
        self._ports.op = op
        return await super().fetch(op, count)


class Aggregation:
    """A pipeline with its source, compiled and ready to run.

    Args:
        request: The command, for its database, options and operation.
        name: The collection or view; None for `{aggregate: 1}`.
        spec: The pipeline as given.
        args: Options: collation, let, hint, allowDiskUse.

    """

    def __init__(
        self, request: Request, name: str | None, spec: list[Any], args: Document
    ) -> None:
        member = member_of(request)
        _check_stages(spec)
        collection = member.engine.collection(request.db, name) if name is not None else None
        collation = args.get("collation")
        if collection is not None and collection.is_view and not _tells_of_itself(spec):
            of_view = collection
            name, prefix, view_collation = resolve_view(member, request.db, of_view)
            if collation is not None and not same_collation(
                member.context(collation).collation, member.context(view_collation).collation
            ):
                raise not_the_views(of_view)
            collation = view_collation
            _check_local(request, of_view, name, prefix, view_collation)
            _check_joined(request, spec)
            spec = [*prefix, *spec]
            collection = member.engine.collection(request.db, name)
        else:
            _check_joined(request, spec)
            if collation is None and collection is not None:
                collation = collection.options.get("collation")
        self.collection = collection
        self.args = args
        self.env: Env = member.env(args.get("let"))
        context = member.context(
            collation, args.get("let"), api_strict=request.generic.api_strict, scripts=True
        )
        self.pipeline: Pipeline = compile_pipeline(
            spec, context, database=request.db, collection=name,
            # What a router sends as a part of its own pipeline was checked there.
            place="internal" if args.get("fromRouter") else "top",
        )
        if not args.get("fromRouter"):
            _check_score(self.pipeline)
        scope = member.sharding.scope(request, name) if name is not None else None
        self.ports = Ports(
            member, request.op, request.db, name, scope,
            validates=not args.get("bypassDocumentValidation", False),
        )

    def run(self) -> AsyncIterator[Batch]:
        """Start it."""
        return run_over(
            self.ports, self.collection, self.pipeline, self.env, hint=self.args.get("hint"),
            allow_disk_use=self.args.get(
                "allowDiskUse", self.ports.member.parameters["allowDiskUseByDefault"]
            ),
        )


def _check_local(
    request: Request, view: Collection, name: str, pipeline: list[Any], collation: Any
) -> None:
    """Send a router back that reads a view here of collections that are sharded."""
    if not (request.message.routed or request.generic.routed):
        return
    member, db = member_of(request), request.db
    touched = [(db, name), *foreign_names(pipeline, db)]
    if not any(is_spread(member, *pair) for pair in touched):
        return
    resolved: Document = {"ns": f"{db}.{name}", "pipeline": pipeline}
    if collation is not None:
        resolved["collation"] = collation
    raise MongoError(
        Code.COMMAND_ON_SHARDED_VIEW_NOT_SUPPORTED_ON_MONGOD,
        f"Command on view must be executed by a router: {view.ns}",
        extra={"resolvedView": resolved},
    )


def _check_score(pipeline: Pipeline) -> None:
    """Refuse to tell of a text score where the pipeline does not begin with `$text`."""
    if "textScore" not in repr(pipeline.spec) or pipeline.source_stage is not None:
        return
    match = pipeline.leading().match
    if "textScore" in wanted_meta(pipeline.spec) and (match is None or not match.is_text):
        raise no_score()


def _check_joined(request: Request, spec: list[Any]) -> None:
    """Send a router back that does not know what a view stands on that its pipeline reads."""
    names = foreign_names(spec, request.db)
    if not names or not (request.message.routed or request.generic.routed):
        return
    member = member_of(request)
    for db, name in names:
        collection = member.engine.collection(db, name)
        if collection is not None and collection.is_view and is_spread(member, db, name):
            raise MongoError(
                Code.COMMAND_ON_SHARDED_VIEW_NOT_SUPPORTED_ON_MONGOD,
                f"Command on view must be executed by a router: {db}.{name}",
                extra={"joinedView": f"{db}.{name}"},
            )


def _tells_of_itself(spec: list[Any]) -> bool:
    """Tell whether a pipeline is about a view itself, not about its documents."""
    return bool(spec) and type(spec[0]) is dict and "$collStats" in spec[0]


def _check_stages(spec: list[Any]) -> None:
    """Refuse change streams, which come later, without a label that makes drivers retry."""
    for stage in spec:
        if type(stage) is dict and _CHANGE_STREAM in stage:
            raise MongoError(
                Code.NOT_IMPLEMENTED, "The stage $changeStream is not supported by PSDB yet"
            )


async def aggregate(request: Request) -> Reply:
    """Run a pipeline."""
    args = request.args
    if args.get("explain"):
        from shardsvr.commands.explain import explain_aggregate

        heed(request, explain=True)
        return await explain_aggregate(request, args, "queryPlanner")
    if "cursor" not in args:
        raise MongoError(
            Code.FAILED_TO_PARSE,
            "The 'cursor' option is required, except for aggregate with the explain argument",
        )
    size = batch_size_of(args["cursor"])
    name = _collection_name(request)
    request.op.ns = ns = f"{request.db}.{name if name is not None else '$cmd.aggregate'}"
    request.node.operations.count("command")
    heed(request)
    aggregation = Aggregation(request, name, args["pipeline"], args)
    source = PipelineSource(aggregation.ports, aggregation.run())
    writing = aggregation.pipeline.writes
    if writing is None:
        return await first_batch(request, source, ns, size, writes=False)
    check_level(request.generic.read_concern.get("level"), writing.name)
    return await _write(request, lambda: first_batch(request, source, ns, size, writes=True))


async def _write(request: Request, run: Callable[[], Coroutine[Any, Any, Reply]]) -> Reply:
    """Run a pipeline that writes, on the primary wherever it was sent."""
    member = member_of(request)
    replica_set = member.replica_set
    if replica_set is not None and not replica_set.is_primary:
        return await replicated_writes.on_the_primary(replica_set, request)
    return await member.write_through(request, run)


async def first_batch(
    request: Request, source: PipelineSource, ns: str, size: int, *, writes: bool
) -> RawReply:
    """Fetch the first batch; register a cursor when more is left. A pipeline that writes runs."""
    cursor = Cursor(0, ns, source, request.generic.lsid)
    batch = await cursor.batch(request.op, size) if size or writes else []
    request.op.returned = len(batch)
    if (size or writes) and cursor.exhausted:
        await source.close()
        return RawReply(cursor_elements(0, ns, batch, b"firstBatch"))
    opened = request.node.cursors.register(ns, source, request.generic.lsid)
    opened.pending = cursor.pending
    opened.command = request.body
    opened.committed = request.op.committed
    opened.seconds_left = request.op.remaining_seconds()
    return RawReply(cursor_elements(opened.id, ns, batch, b"firstBatch"))


def _collection_name(request: Request) -> str | None:
    target = request.target
    if type(target) is str:
        return check_collection_name(request.db, target)
    if is_number(target) and target == 1:
        return None
    if is_number(target):
        raise MongoError(
            Code.FAILED_TO_PARSE,
            "Invalid command format: the 'aggregate' field must specify a collection name or 1",
        )
    return check_collection_name(request.db, target)


async def _all_documents(request: Request, name: str, spec: list[Any], args: Document) -> Batch:
    aggregation = Aggregation(request, name, spec, args)
    documents: Batch = []
    async for batch in aggregation.run():
        documents += batch
    return documents


_NOT_ON_VIEWS: Final = (
    "allowPartialResults", "awaitData", "max", "min", "noCursorTimeout", "returnKey",
    "showRecordId", "tailable",
)


def _check_view_options(args: Document) -> None:
    """Raise 168 for options of find that a pipeline does not have."""
    for name in _NOT_ON_VIEWS:
        if args.get(name):
            raise MongoError(
                Code.INVALID_PIPELINE_OPERATOR, f"Option {name} not supported in aggregation."
            )
    if "$natural" in args.get("sort", {}):
        raise MongoError(
            Code.INVALID_PIPELINE_OPERATOR, "Sort option $natural not supported in aggregation."
        )
    if args.get("singleBatch") and args.get("limit") != 1:
        raise MongoError(
            Code.INVALID_PIPELINE_OPERATOR, "Option singleBatch not supported in aggregation."
        )


async def find_on_view(request: Request, view: Collection) -> RawReply:
    """Run a find on a view as a pipeline."""
    from shardsvr.commands.find import check_options
    from shardsvr.commands.find import first_batch as find_first_batch

    args = request.args
    check_options(args)
    _check_view_options(args)
    spec: list[Any] = []
    if args.get("filter"):
        spec.append({"$match": args["filter"]})
    if args.get("sort"):
        spec.append({"$sort": args["sort"]})
    if args.get("skip"):
        spec.append({"$skip": args["skip"]})
    if args.get("limit"):
        spec.append({"$limit": args["limit"]})
    if args.get("projection"):
        spec.append({"$project": args["projection"]})
    options: Document = {key: args[key] for key in ("collation", "let", "hint") if key in args}
    aggregation = Aggregation(request, view.name, spec, options)
    source = PipelineSource(aggregation.ports, aggregation.run())
    return await find_first_batch(request, source)


async def count_on_view(request: Request, view: Collection) -> int:
    """Count the documents of a view that a query matches, within skip and limit."""
    args = request.args
    spec: list[Any] = [{"$match": args.get("query", {})}]
    if args.get("skip"):
        spec.append({"$skip": args["skip"]})
    if args.get("limit"):
        spec.append({"$limit": abs(args["limit"])})
    spec.append({"$count": "n"})
    options: Document = {key: args[key] for key in ("collation", "hint") if key in args}
    rows = await _all_documents(request, view.name, spec, options)
    total: int = rows[0]["n"] if rows else 0
    return total


async def distinct_on_view(request: Request, view: Collection) -> list[Any]:
    """Return the distinct values of a field over a view."""
    from shardsvr.commands.count_distinct import collect_distinct

    args = request.args
    spec: list[Any] = [{"$match": args.get("query", {})}]
    options: Document = {key: args[key] for key in ("collation", "hint") if key in args}
    found: dict[bytes, Any] = {}
    collation = member_of(request).context(view.options.get("collation")).collation
    rows = await _all_documents(request, view.name, spec, options)
    collect_distinct(found, rows, args["key"], collation)
    return [found[key] for key in sorted(found)]


FIELDS: Final = (
    Field("pipeline", "array", required=True),
    Field("explain", "safe bool"),
    Field("allowDiskUse", "safe bool"),
    Field("cursor", "object"),
    Field("bypassDocumentValidation", "safe bool"),
    Field("collation", "object"),
    Field("hint", "string|object"),
    Field("let", "object"),
    Field("fromRouter", "bool"),
    Field(WHOLE_SHAPE, "string"),
)

COMMANDS = (
    Command(
        "aggregate", aggregate, FIELDS, read_concern=True, write_concern=True, api_v1=True,
        secondary_ok=False,
        help="Run an aggregation pipeline.",
    ),
)
