"""`find`: plan, project, return the first batch and leave a cursor for the rest."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from psdb_base import bson_codec, order
from psdb_base.errors import MongoError
from psdb_base.limits import (
    FIRST_BATCH_COUNT,
    REPLY_BATCH_BYTES_MAX,
    YIELD_BYTES,
    YIELD_DOCUMENTS,
)
from psdb_base.values import MISSING, Document
from psdb_query.context import CompileContext, Env
from psdb_query.filters import compile_filter
from psdb_query.projection import Projection, compile_projection
from psdb_query.query_shapes import WHOLE_SHAPE
from psdb_server.command import Command, RawReply, Reply, Request
from psdb_server.cursors import Cursor
from psdb_server.fields import Field
from psdb_server.operations import Operation
from psdb_server.replies import cursor_elements
from psdb_store.collection import Collection
from shardsvr.collections import find_collection, member_of
from shardsvr.planning import SortOverflowError, next_records, plan_query, split_natural
from shardsvr.query_settings import heed
from shardsvr.tailing import TailSource, check_tailable
from shardsvr.writes import NOT_POINTS

FIELDS: Final = (
    Field("filter", "object"),
    Field("projection", "object"),
    Field("sort", "object"),
    Field("hint", "string|object"),
    Field("skip", "count"),
    Field("limit", "count"),
    Field("batchSize", "count"),
    Field("singleBatch", "safe bool"),
    Field("max", "object"),
    Field("min", "object"),
    Field("returnKey", "safe bool"),
    Field("showRecordId", "safe bool"),
    Field("tailable", "safe bool"),
    Field("oplogReplay", "safe bool"),
    Field("noCursorTimeout", "safe bool"),
    Field("awaitData", "safe bool"),
    Field("allowPartialResults", "safe bool"),
    Field("collation", "object"),
    Field("allowDiskUse", "safe bool"),
    Field("let", "object"),
    Field(WHOLE_SHAPE, "string"),
)


SORT_MEMORY: Final = "internalQueryMaxBlockingSortMemoryUsageBytes"


class FindSource:
    """A cursor's source over a plan's execution."""

    def __init__(
        self, execution: Any, shape: Callable[[Document], Document] | None, *,
        show_record_id: bool, meta: Callable[[Any], Document] | None = None, spilled: Any = None,
        scripts: Any = None,
    ) -> None:
        self._scripts = scripts
        self._execution = execution
        self._spilled = spilled
        self._meta = meta
        self._shape = shape
        self._show_record_id = show_record_id
        self._held: list[Any] = []
        self.exhausted = False

    async def fetch(self, op: Operation, count: int) -> list[bytes]:
        """Return up to `count` documents, fewer when they are many bytes."""
        wanted = count or YIELD_DOCUMENTS
        result: list[bytes] = []
        size = 0
        while len(result) < wanted and size <= REPLY_BATCH_BYTES_MAX:
            room = min(wanted - len(result), YIELD_DOCUMENTS)
            records = self._held[:room] or await self._next(op, room)
            self._held = self._held[room:]
            if self._shape is None and not self._show_record_id:
                result.extend([record.raw for record in records])
            else:
                work = partial(self._project_some, records, result)
                size += work() if self._scripts is None else await self._scripts.run(op, work)
            if self._execution.done and not self._held:
                self.exhausted = True
                break
            await op.checkpoint(YIELD_DOCUMENTS)
        return result

    async def _next(self, op: Operation, count: int) -> list[Any]:
        """Return the next records; a sort that is too large for memory goes on with the disk."""
        execution = self._execution
        if execution is self._spilled:
            records: list[Any] = await execution.next_records(op, count)
            return records
        try:
            return await next_records(execution, op, count)
        except SortOverflowError:
            if self._spilled is None:
                raise
            self._execution = self._spilled
            return await self._next(op, count)

    def _project_some(self, records: list[Any], result: list[bytes]) -> int:
        """Project records until they are many bytes; hold the rest back; return the bytes."""
        size = 0
        for index, record in enumerate(records):
            raw = self._project(record)
            result.append(raw)
            size += len(raw)
            if size > YIELD_BYTES:
                self._held = records[index + 1 :] + self._held
                break
        return size

    def _project(self, record: Any) -> bytes:
        document = record.document()
        if self._shape is not None:
            document = self._shape(document) if self._meta is None else self._meta(record)
        if self._show_record_id:
            from bson.int64 import Int64

            document = {**document, "$recordId": Int64(record.rid)}
        return bson_codec.encode(document)

    async def close(self) -> None:
        """Give up the execution."""
        self.exhausted = True
        if self._spilled is not None:
            await self._spilled.close()


def check_options(args: Document) -> None:
    """Refuse options that do not go together."""
    for name in ("min", "max"):
        if args.get(name) and not args.get("hint"):
            raise MongoError(
                51173, "When using min()/max() a hint of which index to use must be provided"
            )


async def find(request: Request) -> Reply:
    """Run a query."""
    args = request.args
    collection = find_collection(request)
    request.node.operations.count("query")
    if collection is not None and collection.is_view:
        from shardsvr.commands.aggregate import find_on_view

        heed(request)
        return await find_on_view(request, collection)
    shows_all = member_of(request).sharding.shows_all(request)
    point = _point(request, collection, args) if shows_all else None
    if point is not None:
        request.op.by_id = True
        request.op.returned = len(point)
        return RawReply(cursor_elements(0, request.op.ns, point, b"firstBatch"))
    heed(request)
    check_options(args)
    tails = check_tailable(args, collection)
    if collection is None:
        _compile_only(request)
        return RawReply(cursor_elements(0, request.op.ns, [], b"firstBatch"))
    if tails:
        return await first_batch(request, _open_tail(request, collection))
    source = open_find(request, collection)
    return await first_batch(request, source)


def _point(
    request: Request, collection: Collection | None, args: Document
) -> list[bytes] | None:
    """Answer `{_id: value}` by one look-up; None when the query is more than that."""
    spec = args.get("filter")
    if collection is None or not spec or len(spec) != 1:
        return None
    value = spec.get("_id", MISSING)
    if value is MISSING or type(value) in NOT_POINTS:
        return None
    for name in args:
        if name not in _POINT_ARGS:
            return None
    if args.get("skip") or args.get("batchSize") == 0 or "collation" in collection.options:
        return None
    if collection.is_timeseries:
        return None
    state = member_of(request).committed_of(request.op, collection) or collection
    record = state.by_id(order.key(value))
    return [] if record is None else [record.raw]


_POINT_ARGS: Final = frozenset({"find", "filter", "limit", "batchSize", "singleBatch", "skip"})


def compile_find(request: Request, collection: Collection | None) -> tuple[Any, ...]:
    """Compile a find's parts: context, environment, filter, sorter, projection."""
    args = request.args
    member = member_of(request)
    let = args.get("let")
    collation = args.get("collation")
    if collation is None and collection is not None:
        collation = collection.options.get("collation")
    context: CompileContext = member.context(
        collation, let, api_strict=request.generic.api_strict, scripts=True
    )
    env = member.env(let)
    scope = member.sharding.scope(request, request.target)
    chosen = scope.guarded(compile_filter(args.get("filter", {}), context))
    sorter = None
    sort, _hint = split_natural(args.get("sort"), args.get("hint"))
    if sort:
        from psdb_query.sorting import compile_sort

        sorter = compile_sort(sort, context)
    projection = None
    if args.get("projection"):
        projection = compile_projection(args["projection"], context, chosen)
    if (sorter is not None and sorter.needs_meta) or (projection and projection.needs_meta):
        from shardsvr.find_meta import check_available

        check_available(chosen, sorter, projection)
    return context, env, chosen, sorter, projection


def _compile_only(request: Request) -> None:
    compile_find(request, None)


def make_plan(
    request: Request, collection: Collection, *, bounds_memory: bool = True
) -> tuple[Any, Projection | None, Env]:
    """Plan a find."""
    args = request.args
    context, env, chosen, sorter, projection = compile_find(request, collection)
    if args.get("returnKey"):
        projection = None  # it would be applied to documents, of which only the keys remain
    _sort, hint = split_natural(args.get("sort"), args.get("hint"))
    plan = plan_query(
        collection, chosen, env, sort=sorter, projection=projection, hint=hint,
        skip=args.get("skip", 0), limit=args.get("limit") or None, collation=context.collation,
        min_=args.get("min"), max_=args.get("max"),
        sort_memory_bytes=member_of(request).parameters[SORT_MEMORY],
        bounds_memory=bounds_memory,
        committed=member_of(request).committed_of(request.op, collection),
    )
    return plan, projection, env


def open_find(request: Request, collection: Collection) -> FindSource:
    """Plan a find and open its source."""
    plan, projection, env = make_plan(request, collection)
    show_record_id = request.args.get("showRecordId", False)
    if request.args.get("returnKey"):
        from shardsvr.return_key import key_reader

        # As in MongoDB, no record's number stands beside a key.
        return FindSource(_opened(request, plan), key_reader(plan), show_record_id=False)
    shape = None if projection is None else partial(_projected, projection, env)
    execution = _opened(request, plan)
    meta = None
    if projection is not None and projection.needs_meta:
        from shardsvr.find_meta import meta_projection

        meta = meta_projection(plan, execution, projection, env)
    spilled = None
    chosen = plan.query.filter
    if (
        plan.query.sort is not None and not plan.sorted_by_index and not chosen.is_scripted
        and _may_spill(request)
    ):
        from shardsvr.spilled_sort import SpilledSort

        spilled = SpilledSort(member_of(request), plan.query)
    scripts = chosen.scripts
    return FindSource(
        execution, shape, show_record_id=show_record_id, meta=meta, spilled=spilled,
        scripts=scripts if scripts is not None and scripts.used else None,
    )


def _may_spill(request: Request) -> bool:
    default = member_of(request).parameters["allowDiskUseByDefault"]
    return bool(request.args.get("allowDiskUse", default))


def _opened(request: Request, plan: Any) -> Any:
    execution = plan.open()
    request.op.ran(execution)
    return execution


def _projected(projection: Projection, env: Env, document: Document) -> Document:
    return projection.apply(document, env)


def _open_tail(request: Request, collection: Collection) -> TailSource:
    """Open the source of a tailable cursor; on an empty collection it is at its end at once."""
    _context, env, chosen, _sorter, projection = compile_find(request, collection)
    source = TailSource(
        member_of(request), request.op, collection, chosen, env, projection, request.args
    )
    source.exhausted = not source.state.count
    return source


async def first_batch(request: Request, source: Any) -> RawReply:
    """Fetch the first batch; register a cursor when more is left."""
    args = request.args
    size = args.get("batchSize", FIRST_BATCH_COUNT)
    limit = args.get("limit") or 0
    cursor = Cursor(0, request.op.ns, source, request.generic.lsid)
    batch: list[bytes] = []
    if size:
        wanted = min(size, limit) if limit else size
        batch = await cursor.batch(request.op, wanted)
    request.op.returned = len(batch)
    ended = args.get("singleBatch", False) or (size and cursor.exhausted)
    if ended or (limit and len(batch) >= limit):
        await source.close()
        return RawReply(cursor_elements(0, request.op.ns, batch, b"firstBatch"))
    opened = request.node.cursors.register(request.op.ns, source, request.generic.lsid)
    opened.pending = cursor.pending
    opened.returned = cursor.returned
    opened.no_timeout = args.get("noCursorTimeout", False)
    opened.tailable = args.get("tailable", False)
    opened.await_data = args.get("awaitData", False)
    opened.command = request.body
    opened.committed = request.op.committed
    opened.seconds_left = request.op.remaining_seconds()
    return RawReply(cursor_elements(opened.id, request.op.ns, batch, b"firstBatch"))


COMMANDS = (
    Command(
        "find", find, FIELDS, read_concern=True, api_v1=True, secondary_ok=False,
        help="Find documents.",
    ),
)
