"""`count` and `distinct`."""

from __future__ import annotations

from typing import Any

from bson.int64 import Int64

from psdb_base import bson_codec, order, paths
from psdb_base.errors import MongoError
from psdb_base.limits import DOCUMENT_BYTES_MAX, YIELD_DOCUMENTS
from psdb_base.values import MISSING
from psdb_query.filters import compile_filter
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import CHECKS, Field
from psdb_store.collection import Collection
from shardsvr.collections import find_collection, member_of
from shardsvr.planning import next_records, plan_query
from shardsvr.query_settings import heed


def query_plan(request: Request, collection: Collection) -> Any:
    """Plan the `query` of a count or distinct."""
    args, member = request.args, member_of(request)
    collation = args.get("collation") or collection.options.get("collation")
    context = member.context(collation, scripts=True)
    scope = member.sharding.scope(request, request.target)
    chosen = scope.guarded(compile_filter(args.get("query", {}), context))
    return plan_query(
        collection, chosen, member.env(),
        hint=args.get("hint"), collation=context.collation,
        count=request.command.name == "count", distinct=args.get("key"),
        committed=member.committed_of(request.op, collection),
    )


async def count(request: Request) -> Reply:
    """Count the documents a query matches, within skip and limit."""
    args = request.args
    collection = find_collection(request)
    limit = abs(args.get("limit", 0))
    skip = CHECKS["count"](args.get("skip", 0), "count.skip")
    request.node.operations.count("command")
    if collection is None:
        compile_filter(args.get("query", {}), member_of(request).context(scripts=True))
        return {"n": 0}
    if collection.is_view:
        from shardsvr.commands.aggregate import count_on_view

        return {"n": await count_on_view(request, collection)}
    if is_whole(request):
        request.op.counted = True
        total = (member_of(request).committed_of(request.op, collection) or collection).count
    else:
        total = await _count_matching(request, collection, skip + limit if limit else 0)
    total = max(0, total - skip)
    if limit:
        total = min(total, limit)
    return {"n": total if total < 2**31 else Int64(total)}


def is_whole(request: Request) -> bool:
    """Tell whether a count is of all documents, whose number is known."""
    args = request.args
    scope = member_of(request).sharding.scope(request, request.target)
    return not args.get("query") and not args.get("hint") and scope.shows_all


async def _count_matching(request: Request, collection: Collection, enough: int) -> int:
    execution = query_plan(request, collection).open()
    request.op.ran(execution)
    total = 0
    while True:
        total += len(await next_records(execution, request.op, YIELD_DOCUMENTS))
        if execution.done or (enough and total >= enough):
            return total
        await request.op.checkpoint(YIELD_DOCUMENTS)


async def distinct(request: Request) -> Reply:
    """Return the distinct values of a field: as they are met, or sorted for a router."""
    args = request.args
    key = args["key"]
    if "\x00" in key:
        raise MongoError(31032, "Key field cannot contain an embedded null byte")
    heed(request)
    collection = find_collection(request)
    if collection is None:
        compile_filter(args.get("query", {}), member_of(request).context(scripts=True))
        return {"values": []}
    if collection.is_view:
        from shardsvr.commands.aggregate import distinct_on_view

        return {"values": await distinct_on_view(request, collection)}
    collation = args.get("collation") or collection.options.get("collation")
    context = member_of(request).context(collation)
    execution = query_plan(request, collection).open()
    request.op.ran(execution)
    found: dict[bytes, Any] = {}
    while True:
        records = await next_records(execution, request.op, YIELD_DOCUMENTS)
        collect_distinct(found, (record.document() for record in records), key, context.collation)
        if execution.done:
            break
        await request.op.checkpoint(YIELD_DOCUMENTS)
    values = list(found.values())
    if len(bson_codec.encode({"values": values})) > DOCUMENT_BYTES_MAX:
        raise MongoError(17217, "distinct too big, 16mb cap")
    if request.message.routed is not None or request.generic.routed is not None:
        values = [found[key] for key in sorted(found)]
    return {"values": values}


def collect_distinct(found: dict[bytes, Any], documents: Any, key: str, collation: Any) -> None:
    """Add the values at `key` of documents, arrays unwound one level.

    What a document has several of is added in the order of values, collation aside.
    """
    parts = paths.split(key)
    for document in documents:
        values = [
            item
            for value in paths.values_along(document, parts, expand_leaf=False)
            for item in (value if type(value) is list else (value,)) if item is not MISSING
        ]
        if len(values) > 1:
            values.sort(key=order.key)
        for item in values:
            found.setdefault(order.key(item, collation), item)


_QUERY = (
    Field("query", "object"),
    Field("hint", "string|object"),
    Field("collation", "object"),
)

COMMANDS = (
    Command(
        "count", count,
        (*_QUERY, Field("limit", "int"), Field("skip", "int"), Field("fields", "any")),
        read_concern=True, api_v1=True, secondary_ok=False, help="Count documents.",
    ),
    Command(
        "distinct", distinct, (*_QUERY, Field("key", "string", required=True)),
        read_concern=True, secondary_ok=False, help="Distinct values of a field.",
    ),
)
