"""The statements of write commands: one insert batch, one update, one delete.

`insert`, `update`, `delete`, `findAndModify` and `bulkWrite` are made of these. Each takes
effect in write units without an await inside; long ones give the loop a turn between units and
look their collection up again afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from bson.regex import Regex

from psdb_base import order
from psdb_base.errors import Code, MongoError
from psdb_base.values import MISSING, Document, RawRegex
from psdb_query.context import CompileContext, Env
from psdb_query.filters import Filter, compile_filter
from psdb_query.updates import Update, check_id, compile_update
from psdb_server.command import Request
from psdb_server.operations import INTERRUPTION_CODES
from psdb_store.collection import Collection, Record
from shardsvr import documents, timeseries
from shardsvr.collections import (
    check_writable_name,
    collection_for_write,
    member_of,
    not_on_view,
    ready,
)
from shardsvr.member import Member
from shardsvr.patience import waiting
from shardsvr.planning import next_records, plan_query, split_natural
from shardsvr.retryable import Retry
from shardsvr.sharding import key_change
from shardsvr.upsert_retry import ATTEMPTS_MAX, worth_retrying

UNIT_DOCUMENTS: Final = 256
UNIT_BYTES: Final = 4 * 1024 * 1024


@dataclass(slots=True)
class Selection:
    """Which documents a statement touches, compiled."""

    spec: Document
    filter: Filter
    context: CompileContext
    env: Env
    collation: Document | None = None
    hint: Any = None
    sorter: Any = None
    scope: Any = None


def compile_selection(
    request: Request,
    name: str,
    spec: Document,
    *,
    collation: Document | None = None,
    hint: Any = None,
    sort: Document | None = None,
    let: Document | None = None,
    variables: tuple[str, ...] = (),
    multi: bool = False,
) -> Selection:
    """Compile the query part of a write statement.

    Args:
        request: The command.
        name: Collection name.
        spec: The filter.
        collation: Collation document; None for the collection's own.
        hint: Index name or key pattern or None.
        sort: Sort document or None.
        let: The command's `let`.
        variables: Names of further variables the update's expressions see.
        multi: All matching documents are meant.

    """
    member = member_of(request)
    if collation is None:
        collection = member.engine.collection(request.db, name)
        collation = None if collection is None else collection.options.get("collation")
    context = member.context(
        collation, let, api_strict=request.generic.api_strict, scripts=True
    )
    if variables:
        context = context.binding(*variables)
    env = member.env(let)
    sort, hint = split_natural(sort, hint)
    sorter = None
    if sort:
        from psdb_query.sorting import compile_sort

        sorter = compile_sort(sort, context)
    scope = member.sharding.scope(request, name)
    scope.check()
    chosen = scope.guarded(compile_filter(spec, context), writes=not multi)
    return Selection(spec, chosen, context, env, collation, hint, sorter, scope)


@dataclass(slots=True)
class UpdateResult:
    """What one update statement did."""

    matched: int = 0
    modified: int = 0
    upserted_id: Any = MISSING
    before: Document | None = None
    after: Document | None = None


class InsertRun:
    """Inserts documents in units, keeping count and errors by index.

    Attributes:
        done: How many of the documents it came to.
        count: How many of them were inserted.
        errors: Those that were not, by their place.

    Args:
        request: The command.
        name: Collection name.
        ordered: Stop at the first error.
        validate: False with `bypassDocumentValidation`.
        first: Number of the first document among the command's statements.

    """

    def __init__(
        self, request: Request, name: str, retry: Retry, *, ordered: bool, validate: bool,
        first: int = 0,
    ) -> None:
        self.request = request
        self.member = member_of(request)
        self.name = name
        self.retry = retry
        self.ordered = ordered
        self.validate = validate
        self.first = first
        self.done = 0
        self.count = 0
        self.errors: list[tuple[int, MongoError]] = []

    async def run(self, raws: list[bytes]) -> None:
        """Insert all of `raws`."""
        member, request = self.member, self.request
        while self.done < len(raws):
            with waiting():
                await member.engine.room()
            collection = await collection_for_write(member, request.db, self.name)
            self.done, stopped = self._unit(collection, raws, self.done)
            if stopped or self.done == len(raws):
                return
            await request.op.checkpoint(UNIT_DOCUMENTS)

    def _unit(self, collection: Collection, raws: list[bytes], position: int) -> tuple[int, bool]:
        """Insert one unit's worth; return the next position and whether to stop."""
        member, retry = self.member, self.retry
        env = member.env() if self.validate and collection.options.get("validator") else None
        stop, size = False, 0
        end = min(position + UNIT_DOCUMENTS, len(raws))
        scope = member.sharding.scope(self.request, self.name)
        scope.check()
        owned = scope.ownership
        with member.engine.unit() as unit:
            while position < end and size < UNIT_BYTES:
                raw = raws[position]
                size += len(raw)
                try:
                    if retry.active and retry.result(self.first + position) is not None:
                        self.count += 1
                    else:
                        raw, document = documents.prepare_insert(member, raw)
                        if owned is not None and not owned.owns(document):
                            raise not_owned(owned.ns)
                        if env is not None:
                            member.validators.check(collection, document, env)
                        if collection.is_timeseries:
                            timeseries.check_measurement(collection, document)
                        unit.insert(collection, raw, document)
                        retry.record(unit, self.first + position, {"n": 1})
                        self.count += 1
                except MongoError as error:
                    if error.code in INTERRUPTION_CODES:
                        raise
                    self.errors.append((position, error))
                    stop = self.ordered
                position += 1
                if stop:
                    break
            retry.commit(unit)
        return position, stop


def not_owned(ns: str) -> MongoError:
    """Return the error for a document that another shard owns: its sender is mistaken."""
    return MongoError(
        Code.STALE_CONFIG, f"a document of {ns} was sent to a shard that does not own it"
    )


def matching(
    collection: Collection, selection: Selection, *, limit: int | None
) -> Any:
    """Open an execution over the documents a statement selects."""
    plan = plan_query(
        collection, selection.filter, selection.env, sort=selection.sorter, hint=selection.hint,
        limit=limit, collation=selection.context.collation,
    )
    return plan.open()


async def latest_matches(
    request: Request, collection: Collection, selection: Selection, execution: Any
) -> list[Record]:
    """Return the next records of an execution as they are now, those that still match."""
    found: list[Record] = []
    records = await next_records(execution, request.op, UNIT_DOCUMENTS)
    member = member_of(request)
    if selection.filter.is_scripted and not _still_writable(member, request.db, collection):
        if await _writable(member, request.db, collection.name) is not collection:
            return []
    for record in records:
        latest = collection.get(record.rid)
        if latest is record or (latest is not None and execution.matches(latest)):
            found.append(latest)
    return found


def point_record(collection: Collection, selection: Selection) -> tuple[bool, Record | None]:
    """Look a document up by `_id` when the filter is just that.

    Returns:
        Whether the filter is an `_id` equality, and the record if there is one.

    """
    spec = selection.spec
    if len(spec) != 1 or selection.hint is not None or selection.context.collation is not None:
        return False, None
    value = spec.get("_id", MISSING)
    if value is MISSING or type(value) in NOT_POINTS or not _is_plain_point(collection):
        return False, None
    return True, collection.by_id(order.key(value))


async def first_match(
    request: Request, collection: Collection, selection: Selection
) -> Record | None:
    """Find the first document a statement selects.

    There is no await between the look at the record and this coroutine's return, so the caller
    may change the record at once. None also when the collection was dropped meanwhile.
    """
    is_point, record = point_record(collection, selection)
    if is_point:
        request.op.by_id = record is not None
    if is_point and selection.scope.shows_all:
        return record
    member = member_of(request)
    while True:
        execution = matching(collection, selection, limit=1)
        request.op.ran(execution)
        while not execution.done:
            for record in await next_records(execution, request.op, 1):
                # A blocking sort may have held it over a yield: then look again.
                if collection.get(record.rid) is record and _still_writable(
                    member, request.db, collection
                ):
                    return record
                if await _writable(member, request.db, collection.name) is not collection:
                    return None
                return await first_match(request, collection, selection)
            await request.op.checkpoint(UNIT_DOCUMENTS)
            if not _still_writable(member, request.db, collection):
                break
        else:
            return None
        current = await _writable(member, request.db, collection.name)
        if current is not collection:
            return None


def _still_writable(member: Member, db: str, collection: Collection) -> bool:
    return (
        collection.busy is None and member.engine.collection(db, collection.name) is collection
    )


NOT_POINTS: Final = (dict, list, type(None), Regex, RawRegex)
"""Types of values that `{_id: value}` does not look up as they are."""


def _is_plain_point(collection: Collection) -> bool:
    return "collation" not in collection.options and not collection.is_timeseries


async def update_statement(
    request: Request,
    name: str,
    selection: Selection,
    update: Update,
    *,
    multi: bool,
    upsert: bool,
    retry: Retry,
    index: int,
    validate: bool = True,
    keep_images: bool = False,
) -> UpdateResult:
    """Run one update statement.

    Args:
        request: The command.
        name: Collection name.
        selection: Which documents.
        update: What to do to them.
        multi: All that match, not the first.
        upsert: Insert when none matches.
        retry: The session's history.
        index: The statement's index.
        validate: False with `bypassDocumentValidation`.
        keep_images: Return the document before and after (findAndModify).

    """
    attempts = ATTEMPTS_MAX if upsert and not multi else 1
    while True:
        attempts -= 1
        try:
            return await _update_once(
                request, name, selection, update, multi=multi, upsert=upsert, retry=retry,
                index=index, validate=validate, keep_images=keep_images,
            )
        except MongoError as error:
            context = selection.context
            if not attempts or not worth_retrying(
                selection.filter.tree, context.collation, selection.collation, error
            ):
                raise
        await request.op.checkpoint(UNIT_DOCUMENTS)


async def _update_once(
    request: Request, name: str, selection: Selection, update: Update, *, multi: bool,
    upsert: bool, retry: Retry, index: int, validate: bool, keep_images: bool,
) -> UpdateResult:
    member = member_of(request)
    if upsert:
        collection: Collection | None = await collection_for_write(member, request.db, name)
    else:
        collection = await _writable(member, request.db, name)
    result = UpdateResult()
    if collection is not None and collection.is_timeseries:
        timeseries.check_update(
            collection, selection.spec, update, multi=multi, upsert=upsert
        )
    if collection is not None:
        runner = _Updater(
            member, collection, selection, update, result, validate=validate, multi=multi,
            retryable=retry.active,
        )
        if multi:
            selection.scope.check()
            await member.sharding.multi_write(collection.ns, lambda: runner.many(request))
        else:
            record = await first_match(request, collection, selection)
            selection.scope.check()
            if record is not None:
                runner.one(record, retry, index, keep_images=keep_images)
    if result.matched or not upsert:
        return result
    collection = await collection_for_write(member, request.db, name)
    _upsert(
        member, collection, selection, update, result, retry, index, validate=validate,
        keep_images=keep_images,
    )
    return result


async def _writable(member: Member, db: str, name: str) -> Collection | None:
    check_writable_name(db, name)
    collection = await ready(member, db, name)
    if collection is not None and collection.is_view:
        raise not_on_view(collection)
    return collection


class _Updater:
    """Applies one compiled update to records."""

    def __init__(
        self, member: Member, collection: Collection, selection: Selection, update: Update,
        result: UpdateResult, *, validate: bool, multi: bool = False, retryable: bool = False,
    ) -> None:
        self.multi = multi
        self.retryable = retryable
        self.member = member
        self.collection = collection
        self.selection = selection
        self.update = update
        self.result = result
        self.validate = validate and bool(collection.options.get("validator"))

    def one(self, record: Record, retry: Retry, index: int, *, keep_images: bool) -> None:
        """Update one record."""
        result = self.result
        with self.member.engine.unit() as unit:
            before, after = self.apply(unit, record)
            if keep_images:
                result.before, result.after = before, after
            if retry.active:
                retry.record(unit, index, update_record(result, keep_images=keep_images))
            retry.commit(unit)

    async def many(self, request: Request) -> None:
        """Update all that match, each once, in units."""
        execution = matching(self.collection, self.selection, limit=None)
        request.op.ran(execution)
        seen: set[int] = set()
        while True:
            found = await latest_matches(request, self.collection, self.selection, execution)
            batch = [record for record in found if record.rid not in seen]
            if not batch and execution.done:
                return
            seen.update(record.rid for record in batch)
            unit = self.member.engine.unit()
            try:
                for record in batch:
                    mark = unit.savepoint()
                    try:
                        self.apply(unit, record)
                    except MongoError:
                        unit.rollback_to(mark)
                        raise
            finally:
                unit.commit()
            await request.op.checkpoint(UNIT_DOCUMENTS)
            current = await _writable(self.member, request.db, self.collection.name)
            if current is not self.collection:
                return

    def apply(self, unit: Any, record: Record) -> tuple[Document, Document]:
        """Update one record inside a unit; return the document before and after."""
        old = record.document()
        selection = self.selection
        position = None
        if self.update.needs_position:
            position = selection.filter.update_position(old, selection.env)
        new = self.update.apply(old, selection.env, position=position)
        self.result.matched += 1
        if new is old:
            return old, old
        raw, new = documents.prepare_update(self.member, new)
        if raw == record.raw and self.update.kind == "operators":
            return old, old
        owned = selection.scope.ownership
        if owned is not None:
            key_change.check(owned, old, new, multi=self.multi, retryable=self.retryable)
        if self.validate:
            self.member.validators.check(self.collection, new, selection.env, old)
        unit.update(self.collection, record, raw, new, old)
        self.result.modified += 1
        return old, new


def _upsert(
    member: Member, collection: Collection, selection: Selection, update: Update,
    result: UpdateResult, retry: Retry, index: int, *, validate: bool, keep_images: bool,
) -> None:
    """Insert the document an upsert makes."""
    supplied = selection.scope.supplied
    document = supplied if supplied is not None else update.upsert(
        selection.spec, selection.env, member.world.random.object_id
    )
    check_id(document["_id"])
    raw, document = documents.prepare_update(member, document)
    if validate and collection.options.get("validator"):
        member.validators.check(collection, document, selection.env)
    selection.scope.check()
    owned = selection.scope.ownership
    if owned is not None and not owned.owns(document):
        raise MongoError(
            Code.WOULD_CHANGE_OWNING_SHARD,
            f"the document that an upsert on {owned.ns} makes belongs to another shard",
        )
    with member.engine.unit() as unit:
        unit.insert(collection, raw, document)
        result.upserted_id = document["_id"]
        result.after = document
        if retry.active:
            retry.record(unit, index, update_record(result, keep_images=keep_images))
        retry.commit(unit)


def update_record(result: UpdateResult, *, keep_images: bool) -> Document:
    """Return what the log keeps of an update statement's result."""
    record: Document = {"n": result.matched, "nModified": result.modified}
    if result.upserted_id is not MISSING:
        record["n"] = 1
        record["upserted"] = result.upserted_id
    if keep_images:
        record["before"] = result.before
        record["after"] = result.after
    return record


def update_from_record(record: Document) -> UpdateResult:
    """Return the result a retried update statement had the first time."""
    result = UpdateResult(record["n"], record["nModified"])
    if "upserted" in record:
        result.upserted_id = record["upserted"]
        result.matched = 0
    result.before = record.get("before")
    result.after = record.get("after")
    return result


async def delete_statement(
    request: Request, name: str, selection: Selection, *, multi: bool, retry: Retry, index: int,
    keep_image: bool = False,
) -> tuple[int, Document | None]:
    """Run one delete statement.

    Returns:
        How many documents were deleted, and the first of them with `keep_image`.

    """
    member = member_of(request)
    collection = await _writable(member, request.db, name)
    if collection is None:
        return 0, None
    if multi:
        selection.scope.check()
        count: int = await member.sharding.multi_write(
            collection.ns, lambda: _delete_many(request, collection, selection)
        )
        return count, None
    record = await first_match(request, collection, selection)
    selection.scope.check()
    if record is None:
        return 0, None
    image = record.document() if keep_image else None
    with member.engine.unit() as unit:
        unit.delete(collection, record)
        if retry.active:
            retry.record(unit, index, {"n": 1, "before": image} if keep_image else {"n": 1})
        retry.commit(unit)
    return 1, image


async def _delete_many(request: Request, collection: Collection, selection: Selection) -> int:
    """Delete all that match, in units."""
    member = member_of(request)
    execution = matching(collection, selection, limit=None)
    request.op.ran(execution)
    deleted = 0
    while True:
        batch = await latest_matches(request, collection, selection, execution)
        with member.engine.unit() as unit:
            for record in batch:
                unit.delete(collection, record)
            unit.commit()
        deleted += len(batch)
        if execution.done:
            return deleted
        await request.op.checkpoint(UNIT_DOCUMENTS)
        if await _writable(member, request.db, collection.name) is not collection:
            return deleted


def compile_update_statement(
    statement: Document, context: CompileContext
) -> Update:
    """Compile the update part (`u`, `arrayFilters`, `c`, `upsertSupplied`) of a statement."""
    spec = statement["u"]
    if type(spec) not in (dict, list):
        raise MongoError(
            Code.FAILED_TO_PARSE, "Update argument must be either an object or an array"
        )
    constants = statement.get("c")
    if constants is not None and type(spec) is not list:
        raise MongoError(
            51198, "Constant values may only be specified for pipeline updates"
        )
    supplied = bool(statement.get("upsertSupplied"))
    if supplied and not statement.get("upsert"):
        raise MongoError(
            Code.FAILED_TO_PARSE,
            "cannot specify 'upsertSupplied: true' for a non-upsert operation",
        )
    return compile_update(
        spec, context, array_filters=statement.get("arrayFilters"), constants=constants,
        upsert_supplied=supplied,
    )
