"""Views over sharded collections: the shard that holds a view tells what it stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bson.int64 import Int64

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_wire.frames import OP_MSG, Message, build_op_msg
from router import reads
from router.requests import BODY_AT, generic_of, is_error

if TYPE_CHECKING:
    from psdb_wire.connection import Connection
    from router.server import Router


async def answer(
    router: Router, connection: Connection, message: Message, body: Document, error: MongoError
) -> Any:
    """Run a read of a view as a pipeline over the collection beneath."""
    view = error.extra["resolvedView"]
    name = next(iter(body))
    makers = {"aggregate": _aggregate, "count": _count, "distinct": _distinct, "find": _find}
    if name not in makers:
        raise MongoError(
            Code.COMMAND_NOT_SUPPORTED_ON_VIEW,
            f"Namespace {body['$db']}.{body[name]} is a view, not a collection",
        )
    pipeline, extra = makers[name](body)
    command: Document = {
        "aggregate": view["ns"].partition(".")[2], "pipeline": [*view["pipeline"], *pipeline],
        "cursor": {}, **extra, **generic_of(body), "$db": body["$db"],
    }
    if "collation" in view:
        command["collation"] = view["collation"]
    raw = bson_codec.encode(command)
    inner = Message(
        build_op_msg(message.request_id, 0, raw), message.request_id, 0, OP_MSG, 0, raw,
        decoded=command,
    )
    reply: Any = await router.answer(connection, inner, command)
    if name not in ("count", "distinct") or is_error(reply[BODY_AT:]):
        return reply
    rows = bson_codec.decode(reply[BODY_AT:])["cursor"]["firstBatch"]
    if name == "count":
        return reads.answer(router, message, {"n": rows[0]["n"] if rows else 0})
    return reads.answer(router, message, {"values": rows[0]["values"] if rows else []})


def _aggregate(body: Document) -> tuple[list[Any], Document]:
    names = ("cursor", "explain", "allowDiskUse", "hint", "let")
    return body["pipeline"], {name: body[name] for name in names if name in body}


def _find(body: Document) -> tuple[list[Any], Document]:
    pipeline: list[Any] = []
    for field, stage in (
        ("filter", "$match"), ("sort", "$sort"), ("skip", "$skip"), ("limit", "$limit"),
        ("projection", "$project"),
    ):
        if body.get(field):
            pipeline.append({stage: body[field]})
    size = body.get("batchSize")
    extra: Document = {"cursor": {} if size is None else {"batchSize": Int64(size)}}
    return pipeline, extra | {name: body[name] for name in ("hint", "let") if name in body}


def _count(body: Document) -> tuple[list[Any], Document]:
    pipeline: list[Any] = [{"$match": body.get("query", {})}]
    if body.get("skip"):
        pipeline.append({"$skip": body["skip"]})
    if body.get("limit"):
        pipeline.append({"$limit": abs(body["limit"])})
    return [*pipeline, {"$count": "n"}], {}


def _distinct(body: Document) -> tuple[list[Any], Document]:
    key = "$" + str(body["key"])
    return [
        {"$match": body.get("query", {})},
        {"$unwind": {"path": key, "preserveNullAndEmptyArrays": False}},
        {"$group": {"_id": key}}, {"$sort": {"_id": 1}},
        {"$group": {"_id": None, "values": {"$push": "$_id"}}},
    ], {}
