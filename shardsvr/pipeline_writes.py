"""What `$out` and `$merge` write.

`$out` fills a collection of its own and puts it in the target's place at the end, so that
readers see the old documents or the new ones. `$merge` writes document by document.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.context import Env
from psdb_query.filters import compile_filter
from psdb_query.stages.output import MergeStatement, MergeTarget, OutTarget, not_updated
from psdb_query.stages.ports import Batch
from psdb_query.updates import compile_update
from psdb_server.namespaces import OUT_PREFIX, check_new_collection_name
from psdb_store.collection import Collection
from shardsvr import documents
from shardsvr.collections import (
    check_database_case,
    collection_for_write,
    create_collection,
    not_on_view,
)
from shardsvr.planning import plan_query
from shardsvr.timeseries import check_measurement, time_series_options

if TYPE_CHECKING:
    from shardsvr.member import Member
    from shardsvr.pipeline_ports import Ports

UNIT_DOCUMENTS: Final = 256
_INTERNAL: Final = ("admin", "config", "local")


def _check_target(member: Member, db: str, name: str) -> Collection | None:
    """Return the target when it is there; refuse views and internal databases."""
    if db in _INTERNAL:
        raise MongoError(31321, f"Can't write into the internal database: {db}")
    check_new_collection_name(db, name)
    collection = member.engine.collection(db, name)
    if collection is not None and collection.is_view:
        raise not_on_view(collection)
    return collection


async def out(ports: Ports, target: OutTarget, batches: AsyncIterator[Batch]) -> None:
    """Replace the target by the documents of a pipeline."""
    member = ports.member
    old = _check_target(member, target.database, target.collection)
    if old is not None and old.is_capped:
        raise MongoError(17152, f"namespace '{old.ns}' is capped so it can't be used for $out")
    name = f"{OUT_PREFIX}{member.world.random.uuid().hex()}"
    env = member.env()
    options = dict(old.options) if old is not None else {}
    if target.time_series is not None:
        options = _time_series(old, target.time_series)
    check_database_case(member, target.database)
    made = await create_collection(member, target.database, name, options)
    try:
        if old is not None:
            for index in list(old.indexes.values()):
                if index.name not in made.indexes:
                    await member.catalogue(member.engine.create_index(made, index.spec))
        async for batch in batches:
            await _fill(ports, made, batch, env)
        await member.catalogue(
            member.engine.rename_collection(
                made, target.database, target.collection, drop_target=True
            )
        )
    except BaseException:
        if member.engine.collection(target.database, name) is made:
            await member.catalogue(member.engine.drop_collection(made))
        raise


def _time_series(old: Collection | None, spec: Document) -> Document:
    """Return the options of the time-series collection that `$out` writes."""
    wanted = time_series_options("$out", spec)
    if old is None:
        return {"timeseries": wanted}
    if not old.is_timeseries:
        raise MongoError(
            7268700, "Cannot create a time-series collection from a non time-series collection."
        )
    if old.options["timeseries"] != wanted:
        raise MongoError(
            7406103,
            "Time-series options provided must match the existing time-series collection, "
            f"namespace '{old.ns}'",
        )
    return dict(old.options)


async def _fill(ports: Ports, collection: Collection, batch: Batch, env: Env) -> None:
    member = ports.member
    for start in range(0, len(batch), UNIT_DOCUMENTS):
        await member.engine.room()
        unit = member.engine.unit()
        try:
            for document in batch[start : start + UNIT_DOCUMENTS]:
                raw, whole = documents.prepare_insert(member, bson_codec.encode(document))
                if collection.is_timeseries:
                    check_measurement(collection, whole)
                if ports.validates:
                    member.validators.check(collection, whole, env)
                unit.insert(collection, raw, whole)
        finally:
            unit.commit()
        await ports.checkpoint(UNIT_DOCUMENTS)


async def merge(ports: Ports, target: MergeTarget, batch: Batch, env: Env) -> None:
    """Write a batch into the target as `$merge` says."""
    member = ports.member
    collection = _check_target(member, target.database, target.collection)
    if collection is not None and collection.is_timeseries:
        raise MongoError(
            Code.OPTION_NOT_SUPPORTED_ON_VIEW,
            f"$merge into the time-series collection {collection.ns} is not supported",
        )
    on = target.on or ("_id",)
    if on != ("_id",) and not _has_unique_index(collection, on):
        raise MongoError(
            51183, "Cannot find index to verify that join fields will be unique"
        )
    for statement in target.statements(batch, env, on):
        await member.engine.room()
        collection = await collection_for_write(member, target.database, target.collection)
        _Merge(member, collection, statement, env, validates=ports.validates).run()
        await ports.checkpoint(1)


def _has_unique_index(collection: Collection | None, on: tuple[str, ...]) -> bool:
    if collection is None:
        return False
    return any(
        index.unique and sorted(index.key_pattern) == sorted(on) and index.partial is None
        for index in collection.indexes.values()
    )


class _Merge:
    """One statement of a `$merge`, carried out without an await."""

    def __init__(
        self, member: Member, collection: Collection, statement: MergeStatement, env: Env, *,
        validates: bool,
    ) -> None:
        self.member = member
        self.collection = collection
        self.statement = statement
        self.env = env
        self.validates = validates

    def run(self) -> None:
        """Carry it out."""
        statement = self.statement
        if statement.kind == "insert":
            self._insert(statement.document)
            return
        record = self._find()
        if record is not None:
            self._update(record)
        elif statement.must_match:
            raise MongoError(
                Code.MERGE_STAGE_NO_MATCHING_DOCUMENT,
                "$merge could not find a matching document in the target collection for at least "
                "one document in the source collection",
            )
        elif statement.upsert:
            self._insert(statement.supplied or statement.document)

    def _find(self) -> Any:
        chosen = compile_filter(
            {name: {"$eq": value} for name, value in self.statement.query.items()},
            self.member.context(),
        )
        execution = plan_query(self.collection, chosen, self.env, limit=1).open()
        while not execution.done:
            for record in execution.next_batch(1):
                return record
        return None

    def _insert(self, document: Document) -> None:
        raw, whole = documents.prepare_insert(self.member, bson_codec.encode(document))
        if self.validates:
            self.member.validators.check(self.collection, whole, self.env)
        with self.member.engine.unit() as unit:
            unit.insert(self.collection, raw, whole)
            unit.commit()

    def _update(self, record: Any) -> None:
        constants = self.statement.constants or {}
        context = self.member.context(scripts=True).binding(*constants)
        assert self.statement.update is not None
        update = compile_update(self.statement.update, context)
        old = record.document()
        try:
            new = update.apply(old, {**self.env, **constants})
            if new is old:
                return
            raw, new = documents.prepare_update(self.member, new)
        except MongoError as error:
            raise not_updated(error) from error
        if raw == record.raw:
            return
        if self.validates:
            self.member.validators.check(self.collection, new, self.env, old)
        with self.member.engine.unit() as unit:
            unit.update(self.collection, record, raw, new, old)
            unit.commit()
