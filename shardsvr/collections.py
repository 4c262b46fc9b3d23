"""Finding collections for commands: by name, through views, made when first written."""

from __future__ import annotations

from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.stages.touched import foreign_names
from psdb_server.command import Request
from psdb_server.namespaces import check_collection_name, check_new_collection_name
from psdb_store.collection import Collection
from shardsvr.member import Member
from shardsvr.patience import waiting
from shardsvr.profiler import PROFILE

BUCKETS: Final = "system.buckets."
"""What the name of MongoDB's own collection of buckets begins with."""
VIEW_DEPTH_MAX: Final = 20


def member_of(request: Request) -> Member:
    """Return the request's node as the member it is."""
    node = request.node
    assert isinstance(node, Member)
    return node


def name_of(request: Request) -> str:
    """Return the checked collection name of the command's first field."""
    name = check_collection_name(request.db, request.target)
    if name.startswith(BUCKETS):
        check_buckets(member_of(request), request.db, name)
    return name


def check_buckets(member: Member, db: str, name: str) -> None:
    """Raise 115 for MongoDB's own collection behind a time-series one: there are no buckets."""
    collection = member.engine.collection(db, name.removeprefix(BUCKETS))
    if collection is not None and collection.is_timeseries:
        raise MongoError(
            Code.COMMAND_NOT_SUPPORTED,
            f"PSDB keeps measurements without buckets: use {collection.ns} instead of {db}.{name}",
        )


def find_collection(request: Request) -> Collection | None:
    """Return the collection a command names, None when there is none."""
    return member_of(request).engine.collection(request.db, name_of(request))


def existing_collection(request: Request) -> Collection:
    """Return the collection a command names; 26 when there is none, 166 for a view."""
    collection = find_collection(request)
    if collection is None:
        raise MongoError(
            Code.NAMESPACE_NOT_FOUND, f"Collection [{request.db}.{request.target}] not found."
        )
    if collection.is_view:
        raise not_on_view(collection)
    return collection


def not_on_view(collection: Collection) -> MongoError:
    """Return the error for a command that does not work on views."""
    return MongoError(
        Code.COMMAND_NOT_SUPPORTED_ON_VIEW,
        f"Namespace {collection.ns} is a view, not a collection",
    )


def dropped(collection: Collection) -> MongoError:
    """Return the error for a cursor whose collection is gone."""
    return MongoError(
        Code.QUERY_PLAN_KILLED, f"collection dropped. UUID {collection.uuid.as_uuid()}"
    )


def not_the_views(view: Collection) -> MongoError:
    """Return the error for a pipeline whose collation is not that of a view it reads."""
    return MongoError(
        Code.OPTION_NOT_SUPPORTED_ON_VIEW,
        f"Cannot override a view's default collation: {view.ns}",
    )


def check_writable_name(db: str, name: str) -> None:
    """Raise 73 for a collection that the server alone writes."""
    if name == PROFILE:
        raise MongoError(Code.INVALID_NAMESPACE, f"cannot write to '{db}.{name}'")


async def collection_for_write(member: Member, db: str, name: str) -> Collection:
    """Return a collection ready to be written, making it when it is not there.

    There is no await between this coroutine's return and the caller's next step, so what it
    saw still holds there.
    """
    check_writable_name(db, name)
    while True:
        collection = member.engine.collection(db, name)
        if collection is None:
            check_new_collection_name(db, name)
            check_database_case(member, db)
            await create_quietly(member, db, name, {})
            continue
        if collection.is_view:
            raise not_on_view(collection)
        if collection.busy is None:
            return collection
        with waiting():
            await collection.busy


async def ready(member: Member, db: str, name: str) -> Collection | None:
    """Return an existing collection when no catalogue change holds it, None without one."""
    while True:
        collection = member.engine.collection(db, name)
        if collection is None or collection.busy is None:
            return collection
        with waiting():
            await collection.busy


def check_database_case(member: Member, db: str) -> None:
    """Raise 13297 when there is a database whose name differs in case only."""
    if db in member.engine.catalogue.by_name:
        return
    lowered = db.lower()
    for known in member.engine.databases():
        if known.lower() == lowered:
            raise MongoError(
                Code.DATABASE_DIFFER_CASE,
                f"db already exists with different case already have: [{known}] trying to create "
                f"[{db}]",
            )


async def create_collection(member: Member, db: str, name: str, options: Document) -> Collection:
    """Create a collection, with the index that a time-series one gets by itself."""
    made = await member.catalogue(member.engine.create_collection(db, name, options))
    if made.is_timeseries:
        from shardsvr.timeseries import first_index

        spec = first_index(options)
        if spec is not None:
            await member.catalogue(member.engine.create_index(made, spec))
    return made


async def create_quietly(member: Member, db: str, name: str, options: Document) -> None:
    """Create a collection; another client may have been first."""
    try:
        await member.catalogue(member.engine.create_collection(db, name, options))
    except MongoError as error:
        if error.code != Code.NAMESPACE_EXISTS:
            raise


def resolve_view(
    member: Member, db: str, collection: Collection
) -> tuple[str, list[Any], Document | None]:
    """Follow views down to a collection.

    Returns:
        The collection's name, the pipeline to put before the caller's, the view's collation.

    Raises:
        MongoError: 165 when views are nested too deep.

    """
    pipeline: list[Any] = []
    collation: Document | None = collection.options.get("collation")
    current: Collection | None = collection
    name = collection.name
    for _ in range(VIEW_DEPTH_MAX):
        if current is None or not current.is_view:
            return name, pipeline, collation
        name = current.options["viewOn"]
        pipeline = [*current.options.get("pipeline", []), *pipeline]
        current = member.engine.collection(db, name)
    raise MongoError(
        Code.VIEW_DEPTH_LIMIT_EXCEEDED,
        f"View depth too deep or view cycle detected; maximum depth is {VIEW_DEPTH_MAX}",
    )


def is_spread(member: Member, db: str, name: str, depth: int = 0) -> bool:
    """Tell whether a collection is sharded, or a view that reads one that is."""
    if member.sharding.ownership(f"{db}.{name}") is not None:
        return True
    collection = member.engine.collection(db, name)
    if collection is None or not collection.is_view or depth > VIEW_DEPTH_MAX:
        return False
    base, pipeline, _collation = resolve_view(member, db, collection)
    return any(
        is_spread(member, *pair, depth + 1) for pair in [(db, base), *foreign_names(pipeline, db)]
    )


def full_collation(member: Member, spec: Document) -> Document:
    """Return a collation with all its fields, as the catalogue keeps and shows it."""
    collation: Any = member.context(spec).collation
    return {"locale": "simple"} if collation is None else collation.document()
