"""`findAndModify`."""

from __future__ import annotations

from typing import Any, Final

from psdb_base.errors import Code, MongoError, error_context
from psdb_base.values import MISSING, Document
from psdb_query.projection import compile_projection
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field
from shardsvr import writes
from shardsvr.collections import name_of
from shardsvr.retryable import Retry
from shardsvr.writes import Selection, UpdateResult

_EXECUTION: Final = "Plan executor error during findAndModify"


def _check(args: Document) -> None:
    """Refuse combinations that MongoDB refuses."""
    remove, update = args.get("remove", False), "update" in args
    if remove and update:
        raise MongoError(
            Code.FAILED_TO_PARSE, "Cannot specify both an update and remove=true"
        )
    if not remove and not update:
        raise MongoError(
            Code.FAILED_TO_PARSE, "Either an update or remove=true must be specified"
        )
    if remove and args.get("upsert"):
        raise MongoError(
            Code.FAILED_TO_PARSE, "Cannot specify both upsert=true and remove=true "
        )
    if remove and args.get("new"):
        raise MongoError(
            Code.FAILED_TO_PARSE,
            "Cannot specify both new=true and remove=true; 'remove' always returns the deleted "
            "document",
        )
    if remove and "arrayFilters" in args:
        raise MongoError(Code.FAILED_TO_PARSE, "Cannot specify arrayFilters and remove=true")


async def find_and_modify(request: Request) -> Reply:
    """Update or remove one document and return it as it was, or as it became (`new`)."""
    args = request.args
    name = name_of(request)
    _check(args)
    selection = writes.compile_selection(
        request, name, args.get("query", {}), collation=args.get("collation"),
        hint=args.get("hint"), sort=args.get("sort"), let=args.get("let"),
    )
    project = _projection(args, selection)
    retry = Retry(request)
    earlier = retry.result(0)
    if args.get("remove"):
        request.node.operations.count("delete")
        return await _remove(request, name, selection, project, retry, earlier)
    request.node.operations.count("update")
    if earlier is not None:
        result = writes.update_from_record(earlier)
    else:
        statement = {"u": args["update"], "arrayFilters": args.get("arrayFilters")}
        update = writes.compile_update_statement(statement, selection.context)
        with error_context(_EXECUTION):
            result = await writes.update_statement(
                request, name, selection, update, multi=False,
                upsert=args.get("upsert", False), retry=retry, index=0,
                validate=not args.get("bypassDocumentValidation", False), keep_images=True,
            )
    return _update_reply(result, project, want_new=args.get("new", False))


def _projection(args: Document, selection: Selection) -> Any:
    """Compile `fields` into a function from a document or None to a document or None."""
    spec = args.get("fields")
    if not spec:
        return lambda document: document
    projection = compile_projection(spec, selection.context, selection.filter)
    env = selection.env
    return lambda document: None if document is None else projection.apply(document, env)


def _update_reply(result: UpdateResult, project: Any, *, want_new: bool) -> Document:
    if result.upserted_id is not MISSING:
        return {
            "lastErrorObject": {
                "n": 1, "updatedExisting": False, "upserted": result.upserted_id,
            },
            "value": project(result.after) if want_new else None,
        }
    return {
        "lastErrorObject": {"n": result.matched, "updatedExisting": result.matched > 0},
        "value": project(result.after if want_new else result.before),
    }


async def _remove(
    request: Request, name: str, selection: Selection, project: Any, retry: Retry,
    earlier: Document | None,
) -> Document:
    if earlier is not None:
        count, image = earlier["n"], earlier.get("before")
    else:
        with error_context(_EXECUTION):
            count, image = await writes.delete_statement(
                request, name, selection, multi=False, retry=retry, index=0, keep_image=True
            )
    return {"lastErrorObject": {"n": count}, "value": project(image)}


_FIELDS = (
    Field("query", "object"),
    Field("fields", "object"),
    Field("sort", "object"),
    Field("hint", "string|object"),
    Field("collation", "object"),
    Field("arrayFilters", "objects"),
    Field("remove", "safe bool"),
    Field("update", "object|array"),
    Field("upsert", "safe bool"),
    Field("new", "safe bool"),
    Field("bypassDocumentValidation", "safe bool"),
    Field("bypassEmptyTsReplacement", "safe bool"),
    Field("let", "object"),
)

COMMANDS = (
    Command(
        "findAndModify", find_and_modify, _FIELDS, writes=True, write_concern=True, api_v1=True,
        retryable=True, help="Update or remove one document and return it.",
    ),
)
