"""Views over sharded collections: the shard that holds a view tells what it stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bson.int64 import Int64

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.collation import Collation
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
    _check_collation(body, view)
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
        **extra, **generic_of(body), "$db": body["$db"],
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


def _check_collation(body: Document, view: Document) -> None:
    """Raise 167 for a collation that is not the view's own."""
    given, own = body.get("collation"), view.get("collation")
    if given and Collation.parse(given) != (Collation.parse(own) if own else None):
        ns = f"{body['$db']}.{next(iter(body.values()))}"
        raise MongoError(
            Code.OPTION_NOT_SUPPORTED_ON_VIEW, f"Cannot override a view's default collation: {ns}"
        )


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
    return [*pipeline, {"$count": "n"}], {"cursor": {}}


def _distinct(body: Document) -> tuple[list[Any], Document]:
    """Unwind every array on the way to the values, as MongoDB does."""
    path = str(body["key"])
    parts = path.split(".")
    unwound = [
        {"$unwind": {
            "path": "$" + ".".join(parts[:count]), "preserveNullAndEmptyArrays": True,
        }}
        for count in range(1, len(parts) + 1)
    ]
    return [
        {"$match": body.get("query", {})}, *unwound, {"$match": {path: {"$exists": True}}},
        {"$group": {"_id": "$" + path}}, {"$sort": {"_id": 1}},
        {"$group": {"_id": None, "values": {"$push": "$_id"}}},
    ], {"cursor": {}}
