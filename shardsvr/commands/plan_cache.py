"""The plan cache and index filters: `planCacheClear`, `planCacheSetFilter` and their like."""

from __future__ import annotations

from typing import Any

from bson.int64 import Int64

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.filters import compile_filter
from psdb_query.projection import compile_projection
from psdb_query.sorting import compile_sort
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field
from psdb_store.collection import Collection
from shardsvr.collections import find_collection, member_of, name_of, not_on_view
from shardsvr.planning.index_filters import clear_filters, filters_of, has_filter, set_filter
from shardsvr.planning.plan_cache import cache_of
from shardsvr.planning.shapes import Shape, hash_text, key_text, shape_of

_SHAPE_FIELDS = (
    Field("query", "object"),
    Field("sort", "object"),
    Field("projection", "object"),
    Field("collation", "object"),
)


def _collection(request: Request) -> Collection | None:
    name_of(request)
    collection = find_collection(request)
    if collection is not None and collection.is_view:
        raise not_on_view(collection)
    return collection


def _shape(request: Request, collection: Collection) -> Shape | None:
    """Return the shape that a command's fields describe, None for no query at all."""
    args = request.args
    if "query" not in args:
        for name in ("sort", "projection", "collation"):
            if name in args:
                raise MongoError(
                    Code.BAD_VALUE, "sort, projection or collation without a query cannot be used"
                )
        return None
    collation = args.get("collation") or collection.options.get("collation")
    context = member_of(request).context(collation)
    chosen = compile_filter(args["query"], context)
    sorter = compile_sort(args["sort"], context) if args.get("sort") else None
    projection = None
    if args.get("projection"):
        projection = compile_projection(args["projection"], context, chosen)
    return shape_of(chosen.tree, sorter, projection, context.collation)


async def clear(request: Request) -> Reply:
    """Forget plans: all of a collection, or those of one shape."""
    collection = _collection(request)
    if collection is not None:
        cache_of(collection).clear(_shape(request, collection))
    return {}


async def list_filters(request: Request) -> Reply:
    """List a collection's index filters."""
    collection = _collection(request)
    return {"filters": [] if collection is None else filters_of(collection)}


async def set_filters(request: Request) -> Reply:
    """Set the indexes that queries of a shape may use."""
    collection = _collection(request)
    if collection is None:
        raise MongoError(Code.BAD_VALUE, f"no such collection: {request.op.ns}")
    args = request.args
    if "query" not in args:
        raise MongoError(Code.BAD_VALUE, "required field query missing")
    indexes = _checked_indexes(args.get("indexes"))
    shape = _shape(request, collection)
    assert shape is not None
    shown: Document = {
        "query": args["query"],
        "sort": args.get("sort", {}),
        "projection": args.get("projection", {}),
    }
    if "collation" in args:
        shown["collation"] = args["collation"]
    set_filter(collection, shape, {**shown, "indexes": indexes})
    cache_of(collection).clear(shape)
    return {}


def _checked_indexes(indexes: Any) -> list[Any]:
    if indexes is None:
        raise MongoError(Code.BAD_VALUE, "required field indexes missing")
    if type(indexes) is not list:
        raise MongoError(Code.BAD_VALUE, "required field indexes must be an array")
    if not indexes:
        raise MongoError(
            Code.BAD_VALUE, "required field indexes must contain at least one index"
        )
    for one in indexes:
        if type(one) not in (dict, str):
            raise MongoError(Code.BAD_VALUE, "each item in indexes must be an object or a string")
        if one == {}:
            raise MongoError(Code.BAD_VALUE, "index specification cannot be empty")
    return indexes


async def clear_filter(request: Request) -> Reply:
    """Take the filter of a shape, or all filters, away."""
    collection = _collection(request)
    if collection is not None:
        shape = _shape(request, collection)
        clear_filters(collection, shape)
        cache_of(collection).clear(shape)
    return {}


def describe_cache(collection: Collection) -> list[Document]:
    """Return the plan cache as `$planCacheStats` shows it."""
    rows: list[Document] = []
    for key, entry in cache_of(collection).items():
        shape, story = key[0], entry.story
        shape_hash = hash_text(shape)
        row: Document = {
            "version": "1",
            "queryHash": shape_hash,
            "planCacheShapeHash": shape_hash,
            "planCacheKey": key_text(shape, collection),
            "isActive": entry.is_active,
            "works": Int64(entry.work),
            "worksType": "works",
            **story,
            "indexFilterSet": has_filter(collection, shape),
        }
        row["estimatedSizeBytes"] = Int64(len(repr(row)))
        rows.append(row)
    return rows


COMMANDS = (
    Command("planCacheClear", clear, _SHAPE_FIELDS, help="Forget plans."),
    Command(
        "planCacheClearFilters", clear_filter, _SHAPE_FIELDS, help="Take index filters away.",
    ),
    Command("planCacheListFilters", list_filters, help="List index filters."),
    Command(
        "planCacheSetFilter", set_filters, (*_SHAPE_FIELDS, Field("indexes", "any")),
        help="Set the indexes that queries of a shape may use.",
    ),
)
