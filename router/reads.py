"""Reads of sharded collections: find, count, distinct, getMore on merged cursors."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64

from psdb_base import order
from psdb_base.errors import Code, MongoError
from psdb_base.limits import FIRST_BATCH_COUNT
from psdb_base.shard_versions import Routed
from psdb_base.values import Document
from psdb_query.context import CompileContext, Env, make_env
from psdb_query.query_shapes import WHOLE_SHAPE, hash_of, shape_of_command
from psdb_query.stages.meta import META, SCORE_FIELD
from psdb_server import replies
from psdb_server.cursors import Cursor, Source
from psdb_wire.frames import Message, build_op_msg
from router import targeting
from router.chunk_map import ChunkMap
from router.merged_cursors import Key, MergedSource, open_streams
from router.requests import command as run_command
from router.shards import Shard

if TYPE_CHECKING:
    from psdb_query.filters.filter import Near
    from psdb_server.operations import Operation
    from psdb_wire.connection import Connection
    from router.server import Router

_DOUBLE: Final = struct.Struct(">d")


def context_of(router: Router, body: Document) -> tuple[CompileContext, Env]:
    """Make compile context and environment of a command from its collation and `let`."""
    from psdb_query.collation import Collation

    collation, let = body.get("collation"), body.get("let")
    context = CompileContext(
        collation=Collation.parse(collation) if collation else None,
        variables=frozenset(let or ()),
        random=router.world.random.random,
        api_strict=bool(body.get("apiStrict", False)),
        javascript=router.scripts(),
    )
    env = make_env(DatetimeMS(router.world.clock.now_ms()), router.clock.now)
    if let:
        from psdb_query.expressions.variables import evaluate_let

        env.update(evaluate_let(let, context, env))
    return context, env


def shards_for(router: Router, found: ChunkMap, spec: Any, body: Document) -> list[str]:
    """Return the shards that may hold documents of a filter, at least one."""
    if len(found.owners) == 1:
        return found.owners
    if type(spec) is not dict:
        return found.owners[:1]  # which refuses it
    key = targeting.exact_key(found.pattern, spec, body.get("collation"))
    if key is not None:
        return [found.shard_of(key)]
    context, env = context_of(router, body)
    ranges = targeting.key_ranges(found.pattern, spec, context, env)
    return found.shards_of(ranges) or found.owners[:1]


async def targets_for(
    router: Router, found: ChunkMap, shards: list[str]
) -> list[tuple[Shard, Routed | None]]:
    """Return ways to shards, with what requests to them rely on."""
    return [(await router.routing.shard(name), found.routed(name)) for name in shards]


async def find(
    router: Router, connection: Connection, message: Message, body: Document, found: ChunkMap
) -> bytes | None:
    """Run a find: on one shard as it came, on several with one cursor over all."""
    shards = shards_for(router, found, body.get("filter", {}), body)
    partial = body.get("allowPartialResults") is True
    if (len(shards) == 1 and not partial) or not _well_formed(body):
        return await router.forward_to(
            shards[0], found.routed(shards[0]), connection, message, opens_cursor=True
        )
    if body.get("tailable"):
        raise MongoError(Code.BAD_VALUE, "tailable cursor requested on a sharded collection")
    key, shape, command = _split_find(router, body)
    streams, missing = await open_streams(
        connection, body["$db"], command, await targets_for(router, found, shards),
        partial=partial,
    )
    source = MergedSource(
        streams, key=key, skip=int(body.get("skip", 0)), limit=int(body.get("limit", 0)),
        shape=shape, partial=partial,
    )
    source.missing = missing
    size = body.get("batchSize", FIRST_BATCH_COUNT)
    op = router.operations.begin(connection, "find", body["$db"])
    op.ns, op.command = found.ns, body
    try:
        limit_op(op, body)
        return await first_batch(
            router, message, body, source, found.ns, int(size), op,
            single=bool(body.get("singleBatch")), interrupt=source.close,
        )
    finally:
        router.operations.end(op)


def _well_formed(body: Document) -> bool:
    """Tell whether the fields that the router reads are of their types; a shard refuses others."""
    for name in ("skip", "limit", "batchSize"):
        value = body.get(name, 0)
        if type(value) not in (int, Int64, float) or value < 0 or value != int(value):
            return False
    return all(type(body.get(name, {})) is dict for name in ("filter", "sort", "projection"))


def _split_find(router: Router, body: Document) -> tuple[Key | None, Any, Document]:
    """Return the merge's key, the final projection, and the command for each shard."""
    context, env = context_of(router, body)
    command = {
        name: value for name, value in body.items()
        if name not in ("skip", "limit", "singleBatch", "$db")
    }
    command[WHOLE_SHAPE] = hash_of(shape_of_command(body, body["$db"]))
    limit, skip = int(body.get("limit", 0)), int(body.get("skip", 0))
    if limit:
        command["limit"] = Int64(limit + skip)
        if "batchSize" not in command:
            command["batchSize"] = min(limit + skip, FIRST_BATCH_COUNT) + 1
    elif skip and "batchSize" in command:
        command["batchSize"] = int(command["batchSize"]) + skip
    key, shape, near = None, None, None
    sort = body.get("sort")
    if sort and "$natural" not in sort:
        from psdb_query.sorting import compile_sort

        sorter = compile_sort(sort, context)
        key = lambda document: sorter.key(document, _scored(document, env))  # noqa: E731
    elif not sort:
        key = _near_key(body.get("filter", {}), context)
    if key is not None and body.get("projection"):
        from psdb_query.filters import compile_filter
        from psdb_query.projection import compile_projection

        del command["projection"]  # it may take away what the order rests on
        chosen = compile_filter(body.get("filter", {}), context)
        projection = compile_projection(body["projection"], context, chosen)
        if {"geoNearDistance", "geoNearPoint"} & projection.needs_meta:
            near = chosen.near
        shape = lambda document: projection.apply(  # noqa: E731
            _without_score(document), _scored(document, env, near)
        )
    if key is not None and "textScore" in repr((sort, body.get("projection"))):
        # The shards know the scores: they come along as a field that nobody sees.
        command["projection"] = {SCORE_FIELD: {"$meta": "textScore"}}
        shape = shape or _without_score
    return key, shape, command


def _scored(document: Document, env: Env, near: Near | None = None) -> Env:
    """Return an environment with a shard's score of a document, or its distance from a point."""
    if near is not None:
        return {**env, META: near.meta(document)}
    if SCORE_FIELD not in document:
        return env
    return {**env, META: {"textScore": document[SCORE_FIELD]}}


def _without_score(document: Document) -> Document:
    if SCORE_FIELD not in document:
        return document
    return {name: value for name, value in document.items() if name != SCORE_FIELD}


def _near_key(spec: Document, context: CompileContext) -> Key | None:
    """Return the distance of a `$near`, by which its documents are merged."""
    if not any("near" in str(value) for value in spec.values()):
        return None
    from psdb_query.filters import compile_filter

    near = compile_filter(spec, context).near
    if near is None:
        return None
    return lambda document: near.distance(document) or 0.0


async def first_batch(
    router: Router, message: Message, body: Document, source: Any, ns: str, size: int,
    op: Operation, *, single: bool = False,
    interrupt: Callable[[], Awaitable[None]] | None = None,
) -> bytes:
    """Answer with a source's first batch; leave a cursor for the rest.

    `interrupt` ends what a fetch from the source waits for, when the cursor is killed.
    """
    lsid = lsid_of(body)
    cursor = Cursor(0, ns, source, lsid)
    try:
        batch = await cursor.batch(op, size) if size else []
    except BaseException:
        await source.close()
        raise
    cursor_id = 0
    if single or (size and cursor.exhausted):
        await source.close()
    else:
        opened = router.cursors.register(ns, source, lsid)
        opened.pending, opened.returned = cursor.pending, cursor.returned
        opened.command = body
        opened.interrupt = interrupt
        opened.no_timeout = bool(body.get("noCursorTimeout", False))
        opened.seconds_left = op.remaining_seconds()
        cursor_id = opened.id
    elements = replies.cursor_elements(
        cursor_id, ns, batch, b"firstBatch", partial=_is_partial(source)
    )
    return finish(router, message, elements)


def _is_partial(source: Source) -> bool:
    """Tell whether a cursor has left out shards that could not be reached."""
    return isinstance(source, MergedSource) and source.missing


def limit_op(op: Operation, body: Document) -> None:
    """Give an operation the command's time limit."""
    limit = body.get("maxTimeMS", 0)
    if type(limit) in (int, Int64, float):
        op.limit(int(limit))


def lsid_of(body: Document) -> bytes | None:
    """Return the id of the session that a command belongs to."""
    lsid = body.get("lsid")
    return bytes(lsid["id"]) if type(lsid) is dict and "id" in lsid else None


def finish(router: Router, message: Message, elements: bytes) -> bytes:
    """Make a reply's message of its elements."""
    raw = replies.close_body(elements + replies.OK_ELEMENT + router.reply_times())
    return build_op_msg(message.request_id, message.request_id, raw)


def answer(router: Router, message: Message, document: Document) -> bytes:
    """Make a reply's message of a document."""
    return finish(router, message, replies.document_elements(document))


async def get_more(
    router: Router, connection: Connection, message: Message, body: Document
) -> bytes:
    """Return the next batch of a merged cursor."""
    ns = f"{body['$db']}.{body.get('collection')}"
    size = body.get("batchSize", 0)
    if type(size) not in (int, Int64, float) or size < 0:
        raise MongoError(
            51024, f"BSON field 'batchSize' value must be >= 0, actual value '{size}'"
        )
    op = router.operations.begin(connection, "getMore", body["$db"])
    op.ns, op.command = ns, body
    try:
        return await _next_batch(router, message, body, op)
    finally:
        router.operations.end(op)


async def _next_batch(router: Router, message: Message, body: Document, op: Operation) -> bytes:
    ns, size = op.ns, body.get("batchSize", 0)
    cursor = router.cursors.checkout(int(body["getMore"]), ns, lsid_of(body), op)
    try:
        if body.get("maxTimeMS"):
            raise MongoError(
                Code.BAD_VALUE,
                "cannot set maxTimeMS on getMore command for a non-awaitData cursor",
            )
        if cursor.seconds_left is not None:
            op.deadline = op.started + cursor.seconds_left
        batch = await cursor.batch(op, int(size))
        op.check()
        cursor.seconds_left = op.remaining_seconds()
    except BaseException:
        await router.cursors.end(cursor)
        raise
    router.cursors.checkin(cursor)
    cursor_id = cursor.id
    if cursor.exhausted:
        await router.cursors.end(cursor)
        cursor_id = 0
    return finish(router, message, replies.cursor_elements(
        cursor_id, ns, batch, b"nextBatch", partial=_is_partial(cursor.source)
    ))


async def count(
    router: Router, connection: Connection, message: Message, body: Document, found: ChunkMap
) -> bytes | None:
    """Sum the counts of the shards."""
    shards = shards_for(router, found, body.get("query", {}), body)
    if len(shards) == 1 or not _countable(body):
        return await router.forward_to(shards[0], found.routed(shards[0]), connection, message)
    limit, skip = abs(int(body.get("limit", 0))), int(body.get("skip", 0))
    command = {name: value for name, value in body.items() if name not in ("skip", "limit")}
    if limit:
        command["limit"] = Int64(limit + skip)
    parts = await _on_each(router, connection, body, command, found, shards)
    total = max(0, sum(int(part["n"]) for part in parts) - skip)
    if limit:
        total = min(total, limit)
    return answer(router, message, {"n": total if total < 2**31 else Int64(total)})


def _countable(body: Document) -> bool:
    for name in ("skip", "limit"):
        value = body.get(name, 0)
        if type(value) not in (int, Int64, float) or value != int(value):
            return False
    return type(body.get("query", {})) is dict and body.get("skip", 0) >= 0


async def _on_each(
    router: Router, connection: Connection, body: Document, command: Document, found: ChunkMap,
    shards: list[str],
) -> list[Document]:
    targets = await targets_for(router, found, shards)
    found_parts: list[Document] = await asyncio.gather(*(
        run_command(channel, connection, body["$db"], command, routed)
        for channel, routed in targets
    ))
    return found_parts


async def distinct(
    router: Router, connection: Connection, message: Message, body: Document, found: ChunkMap
) -> bytes | None:
    """Unite the values of the shards."""
    shards = shards_for(router, found, body.get("query", {}), body)
    if len(shards) == 1:
        return await router.forward_to(shards[0], found.routed(shards[0]), connection, message)
    parts = await _on_each(router, connection, body, body, found, shards)
    context, _env = context_of(router, body)
    values: dict[bytes, Any] = {}
    for part in parts:
        for value in part["values"]:
            values.setdefault(order.key(value, context.collation), value)
    return answer(router, message, {"values": [values[key] for key in sorted(values)]})


