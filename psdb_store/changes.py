"""Catalogue operations of the leader: exclusive, logged, committed, and only then in effect.

An operation closes the gate of the collections it concerns (writers wait), appends its entry and
waits for the commit; the entry's `on_commit` makes it take effect and opens the gate. That happens
in log order, whether or not the caller still waits. Operations run one after the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from bson.binary import UUID_SUBTYPE, Binary

from psdb_base.bson_codec import encode
from psdb_base.errors import Code, MongoError
from psdb_base.extjson import document_line
from psdb_base.values import Document
from psdb_store import index_build, index_spec
from psdb_store.catalogue import ID_INDEX_SPEC, attach_index, make_collection
from psdb_store.collection import Collection
from psdb_store.gate import Gate
from psdb_store.index import IdIndex, Index
from psdb_store.index_kinds import make_index
from psdb_store.index_spec import is_true, same_or_conflict

if TYPE_CHECKING:
    from psdb_store.engine import Engine

_NO_UUID: Final = bytes(16)
Waiting: TypeAlias = Callable[[], AbstractContextManager[None]]
"""Entered while something waits that is not at work itself."""


class Changes:
    """The catalogue operations of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = asyncio.Lock()

    async def _log(
        self,
        changes: list[tuple[Collection, Document]],
        busy: list[Collection],
        extra: Callable[[], None] | None = None,
    ) -> None:
        """Log changes as one entry and wait until they took effect.

        Args:
            changes: Collection and change, in order.
            busy: Collections that writers must leave alone meanwhile.
            extra: Called right after the changes took effect.

        """
        engine = self._engine
        gate = Gate()
        for c in busy:
            c.busy = gate

        def release() -> None:
            for c in busy:
                c.busy = None
            gate.open()

        def effect() -> None:
            for ns, uuid, change in placed:
                engine.catalogue.apply(ns, uuid, change, wall_ms)
            if extra is not None:
                extra()
            release()

        wall_ms = engine.world.clock.now_ms()
        placed = [(c.ns, bytes(c.uuid), change) for c, change in changes]
        effects = [
            b"%b%b}" % (c.log_catalogue, document_line(encode(change), change))
            for c, change in changes
        ]
        try:
            index = engine.append_catalogue(effects, wall_ms, effect, release)
        except BaseException:
            release()
            raise
        await engine.committed(index)

    # -- collections -----------------------------------------------------------------------------

    async def create(
        self, db: str, name: str, options: Document, uuid: bytes | None = None
    ) -> Collection:
        """Create a collection or view; 48 when the name is taken. None makes a uuid."""
        engine = self._engine
        async with self._lock:
            if engine.collection(db, name) is not None:
                raise MongoError(Code.NAMESPACE_EXISTS, f"Collection {db}.{name} already exists.")
            c = make_collection(db, name, uuid or engine.world.random.uuid(), options)
            change: Document = {"create": name, "options": options}
            if not c.is_view and not c.is_timeseries:
                spec: Document = {**ID_INDEX_SPEC, **_id_index_options(options)}
                change["idIndex"] = spec
            await self._log([(c, change)], [])
            created = engine.collection(db, name)
        assert created is not None
        return created

    async def drop(self, c: Collection) -> None:
        """Drop a collection; its files go after the next checkpoint."""
        async with self._lock:
            self._check(c)
            await self._log([(c, {"drop": c.name})], [c])

    async def drop_database(self, db: str, known: Sequence[Collection] | None = None) -> None:
        """Drop all collections of a database in one entry, or those of them that are given."""
        async with self._lock:
            there = list(self._engine.catalogue.by_name.get(db, {}).values())
            collections = there if known is None else [c for c in there if c in known]
            if not collections:
                return
            changes: list[tuple[Collection, Document]] = [
                (c, {"drop": c.name}) for c in collections
            ]
            if len(collections) == len(there):
                changes.append((make_collection(db, "$cmd", _NO_UUID, {}), {"dropDatabase": 1}))
            await self._log(changes, collections)

    async def rename(self, c: Collection, to_db: str, to_name: str, drop_target: bool) -> None:
        """Rename a collection; 48 when the target exists and may not be dropped.

        Within a database the uuid stays; between databases there is a new one.
        """
        engine = self._engine
        async with self._lock:
            self._check(c)
            target = engine.collection(to_db, to_name)
            if target is c:
                raise MongoError(
                    Code.ILLEGAL_OPERATION, "Can't rename a collection to itself"
                )
            if target is not None and not drop_target:
                raise MongoError(Code.NAMESPACE_EXISTS, "target namespace exists")
            change: Document = {"renameCollection": c.ns, "to": f"{to_db}.{to_name}"}
            if to_db != c.db:
                change["uuid"] = engine.world.random.uuid()
            changes: list[tuple[Collection, Document]] = [(c, change)]
            busy = [c]
            if target is not None:
                changes.insert(0, (target, {"drop": target.name}))
                busy.append(target)
            await self._log(changes, busy)

    async def set_options(self, c: Collection, options: Document) -> None:
        """Replace a collection's options."""
        async with self._lock:
            self._check(c)
            change: Document = {"collMod": c.name, "options": options}
            await self._log([(c, change)], [c])

    # -- indexes ---------------------------------------------------------------------------------

    async def create_index(
        self, c: Collection, spec: Document, progress: index_build.Progress = None,
        waiting: Waiting = nullcontext,
    ) -> Index:
        """Build an index while writes go on, then commit it; an equal one is returned as it is.

        One that is being built already is waited for, and so is one that would conflict: it may
        fail yet. What is not work but waiting, for commits above all, is within a `waiting()`.
        Raises MongoError 11000 and others; then nothing is left behind.
        """
        engine = self._engine
        self._check(c)
        spec = index_spec.check(spec, c.options.get("collation"))
        while (rival := _rival(c, spec)) is not None:
            with waiting():
                await rival.finished
            self._check(c)
        existing = self._existing(c, spec)
        if existing is not None:
            return existing
        index = make_index(c, spec, engine.world.clock.now_ms())
        try:
            with self._index_build_context(c):
                await index_build.build(c, index, engine.options.slice_documents, progress)
            with waiting():
                async with self._lock:
                    index_build.check_wanted(c, index)
                    await self._finish_index(c, index)
        finally:
            index_build.abandon(c, index)
        return index

    @contextmanager
    def _index_build_context(self, c: Collection) -> Iterator[None]:
        """Say in an error that it ended the build of an index; the build is named as in MongoDB."""
        try:
            yield
        except MongoError as error:
            build, of = (
                Binary(value, UUID_SUBTYPE).as_uuid()
                for value in (self._engine.world.random.uuid(), c.uuid)
            )
            context = f"Index build failed: {build}: Collection {c.ns} ( {of} )"
            raise error.with_context(context) from error

    def _existing(self, c: Collection, spec: Document) -> Index | None:
        """Return the index that a specification repeats; raise on conflict."""
        known = [*c.indexes.values(), *c.building.values()]
        name = same_or_conflict([index.spec for index in known], spec)
        return None if name is None else c.indexes[name]

    async def _finish_index(self, c: Collection, index: Index) -> None:
        """Check the whole and log it, with the collection closed to writers."""
        same_or_conflict([other.spec for other in c.indexes.values()], index.spec)
        with self._index_build_context(c):
            index_build.check_finished(c, index)

        def attach() -> None:
            # The change itself attached an empty index, as on other members: ours is full.
            index_build.abandon(c, index)
            index.ready = True
            attach_index(c, index)

        change: Document = {"createIndexes": c.name, "spec": index.spec}
        await self._log([(c, change)], [c], attach)

    async def drop_index(self, c: Collection, name: str) -> None:
        """Drop an index; 27 when there is none, 72 for the `_id_` index."""
        async with self._lock:
            self._check(c)
            if name not in c.indexes:
                raise MongoError(Code.INDEX_NOT_FOUND, f"index not found with name [{name}]")
            if isinstance(c.indexes[name], IdIndex):
                raise MongoError(Code.INVALID_OPTIONS, "cannot drop _id index")
            change: Document = {"dropIndexes": c.name, "index": name}
            await self._log([(c, change)], [c])

    async def set_index_options(
        self, c: Collection, name: str, changes: Mapping[str, Any]
    ) -> None:
        """Change `hidden`, `expireAfterSeconds`, `unique`, `prepareUnique` of an index.

        A flag that is false and a None take the option away.
        """
        async with self._lock:
            self._check(c)
            if name not in c.indexes:
                raise MongoError(Code.INDEX_NOT_FOUND, f"cannot find index {name} for ns {c.ns}")
            spec = dict(c.indexes[name].spec)
            for option, value in changes.items():
                if value is None or (type(value) is bool and not is_true(value)):
                    spec.pop(option, None)
                else:
                    spec[option] = value
            change: Document = {"collMod": c.name, "index": name, "spec": spec}
            await self._log([(c, change)], [c])

    # -- sessions --------------------------------------------------------------------------------

    async def forget_sessions(self, lsids: list[bytes]) -> None:
        """Drop the retryable-write records of sessions."""
        known = [lsid for lsid in lsids if self._engine.sessions.get(lsid) is not None]
        if not known:
            return
        async with self._lock:
            admin = make_collection("admin", "$cmd", _NO_UUID, {})
            await self._log([(admin, {"forgetSessions": known})], [])

    def _check(self, c: Collection) -> None:
        if c.dropped:
            raise MongoError(Code.NAMESPACE_NOT_FOUND, f"ns not found: {c.ns}")


def _rival(c: Collection, spec: Document) -> Index | None:
    """Return the index being built that a specification repeats or conflicts with."""
    for index in c.building.values():
        try:
            if same_or_conflict([index.spec], spec) is not None:
                return index
        except MongoError:
            return index
    return None


def _id_index_options(options: Document) -> Document:
    return {"collation": options["collation"]} if "collation" in options else {}
