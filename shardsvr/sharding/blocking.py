"""Sections closed for changes of the catalogue: shardCollection, movePrimary, refine, drop.

The config server closes them, commits the change, and opens them. A member that is not told the
end (the config server was lost meanwhile) fences the change, as a donor does, and goes on with
the outcome; its document among the coordinators keeps the section closed over a crash.

A database that moves is copied while its section is closed. Its new shard takes copies of the
move it was told of last only, and after the config server has said that this one is still open.
It is told that all has come before the commit, so nothing that is late or repeated can touch a
database that has arrived. The old shard drops what it had before its section opens.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

from bson.binary import Binary

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.operations import Operation
from psdb_store.collection import Collection
from shardsvr.collections import dropped
from shardsvr.sharding import records as names
from shardsvr.sharding.recipient import make_collection, note_session, put_copies
from shardsvr.sharding.state import Arrival, Section, ShardingState

_BATCH_DOCUMENTS: Final = 1000
_BATCH_BYTES: Final = 4 * 1024 * 1024
_WRITERS_SECONDS: Final = 30.0
_BUSY_SECONDS: Final = 10.0
_SILENT_SECONDS: Final = 20.0
"""After so long without a step of the change its section is opened by the shard itself."""
_RETRY_SECONDS: Final = 0.5


async def close(state: ShardingState, identifier: Any, ns: str) -> None:
    """Close a section; a multi-document write that runs ends first.

    When the change is silent for a while the section opens by itself: the change is fenced then.
    """
    if state.records.find(names.COORDINATORS, identifier) is not None and ns in state.sections:
        return  # the command was sent twice
    await _end_others(state, ns)
    if ns in state.sections or state.donates(ns):
        raise MongoError(
            Code.CONFLICTING_OPERATION_IN_PROGRESS, f"{ns} is being changed already"
        )
    section = state.sections[ns] = Section()
    try:
        await state.writers_end(ns, _WRITERS_SECONDS)
        await state.records.write(
            put=[(names.COORDINATORS, {"_id": identifier, "ns": ns, "phase": "catalogue"})]
        )
    except MongoError:
        state.open(ns, section)
        state.in_office(recover(state, {"_id": identifier, "ns": ns}))  # it may be written
        raise
    state.in_office(_watch(state, identifier, ns, section))


async def _end_others(state: ShardingState, ns: str) -> None:
    """Fence a change that still keeps the section closed; wait a while for a migration.

    The config servers make one change at a time, so the other one is of a primary of theirs that
    is gone.
    """
    for spec in state.records.all(names.COORDINATORS):
        if spec["ns"] == ns and spec["phase"] == "catalogue":
            await recover(state, spec)
    section = state.sections.get(ns)
    if section is not None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_BUSY_SECONDS):
                await section.opened.wait()


async def _watch(state: ShardingState, identifier: Any, ns: str, section: Section) -> None:
    """Open a section that nobody opens."""
    while not section.opened.is_set():
        try:
            async with asyncio.timeout(_SILENT_SECONDS):
                await section.opened.wait()
        except TimeoutError:
            if not section.busy:
                await recover(state, {"_id": identifier, "ns": ns})


async def recover(state: ShardingState, spec: Document) -> None:
    """Learn how a change ended of which nobody has told the end."""
    from shardsvr.sharding.donor import fence

    await fence(state, spec["_id"])
    while True:
        try:
            await open_again(state, spec["_id"], spec["ns"])
        except MongoError:
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return


async def open_again(state: ShardingState, identifier: Any, ns: str) -> None:
    """Take over what the config server says now, and open the section."""
    section = state.sections.get(ns)
    if state.records.find(names.COORDINATORS, identifier) is None:
        return
    reply = await state.news_of(ns)
    if "." not in ns:
        await _drop_what_has_left(state, identifier, reply.get("database"))
    await state.records.ready()
    if state.records.find(names.COORDINATORS, identifier) is None:
        return  # somebody else was first
    engine = state.member.engine
    with engine.unit() as unit:
        if "." in ns:
            state.note_ownership(unit, ns, reply.get("ownership"))
        else:
            state.note_database(unit, ns, reply.get("database"))
        state.records.remove(unit, names.COORDINATORS, identifier)
        unit.commit()
    await engine.committed(engine.log_end)
    if section is not None:
        state.open(ns, section)


async def _drop_what_has_left(
    state: ShardingState, identifier: Any, database: Document | None
) -> None:
    """Drop the collections that were copied, when the database has another primary shard now."""
    spec = state.records.find(names.COORDINATORS, identifier)
    if database is None or database["primary"] == state.member.shard_name or spec is None:
        return
    engine = state.member.engine
    for row in spec.get("cloned", ()):
        db, _, name = row["ns"].partition(".")
        collection = engine.collection(db, name)
        if collection is not None and bytes(collection.uuid) == bytes(row["uuid"]):
            await state.member.cursors.fail(row["ns"], dropped(collection))
            await state.member.catalogue(engine.drop_collection(collection))


# -- a database that moves ---------------------------------------------------------------------


async def clone_database(state: ShardingState, op: Operation, args: Document) -> None:
    """Copy the collections that are not sharded; nothing of them is written meanwhile."""
    from shardsvr.sharding.donor import session_parts

    identifier, db = args["id"], args["database"]
    section = state.sections.get(db)
    if section is None:
        raise MongoError(
            Code.CONFLICTING_OPERATION_IN_PROGRESS, f"{db} may be written to: it cannot be copied"
        )
    section.busy += 1
    try:
        peer = state.peer(args["toHost"])
        sharded = args["sharded"]
        command: Document = {"_shardsvrArrive": 1, "id": identifier, "database": db}
        await peer.command("admin", {**command, "step": "begin", "sharded": sharded})
        cloned = [
            one for one in state.member.engine.collections(db) if one.ns not in sharded
        ]
        for rows in session_parts(state.member):  # a write that is retried there was done here
            await peer.command("admin", {
                "_shardsvrTakeCopies": 1, "id": identifier, "ns": f"{db}.", "sessions": rows,
            })
            op.check()
        for collection in cloned:
            await _clone(op, peer, identifier, collection)
        await peer.command("admin", {**command, "step": "end"})
        await state.records.write(put=[(names.COORDINATORS, {
            "_id": identifier, "ns": db, "phase": "catalogue",
            "cloned": [{"ns": one.ns, "uuid": one.uuid} for one in cloned],
        })])
    finally:
        section.busy -= 1


async def _clone(op: Operation, peer: Any, identifier: Any, collection: Collection) -> None:
    await peer.command("admin", {
        "_shardsvrMakePart": 1, "id": identifier, "ns": collection.ns, "uuid": collection.uuid,
        "options": collection.options,
        "indexes": [index.spec for name, index in collection.indexes.items() if name != "_id_"],
    })
    after: int | None = None
    while not collection.is_view:
        records = collection.scan(after, _BATCH_DOCUMENTS)
        if not records:
            break
        size, raws = 0, []
        for record in records:
            raws.append(record.raw)
            after, size = record.rid, size + len(record.raw)
            if size > _BATCH_BYTES:
                break
        await peer.command("admin", {
            "_shardsvrTakeCopies": 1, "id": identifier, "ns": collection.ns,
            "documents": Binary(b"".join(raws)),
        })
        await op.checkpoint(len(raws))


async def expect_database(state: ShardingState, args: Document) -> None:
    """Begin to take a database, with nothing left of what an earlier move brought.

    Raises:
        MongoError: 117 when the move was given up, or a later one has begun.

    """
    db, identifier = args["database"], args["id"]
    known = state.arrivals.get(db)
    if known is not None and known.identifier == bytes(identifier) and known.accepted:
        return  # the command was sent twice
    state.arrivals[db] = arrival = Arrival(bytes(identifier))
    reply = await state.config.command("admin", {
        "_configsvrGetOwnership": 1, "ns": db, "shard": state.member.shard_name,
        "id": identifier,
    })
    if reply.get("outcome") is not None or db in state.sections:
        raise _unexpected(db)
    async with state.arriving:
        _arrival(state, db, identifier, accepted=False)
        sharded = args.get("sharded", ())
        for collection in list(state.member.engine.collections(db)):
            if collection.ns not in sharded:
                await state.member.catalogue(state.member.engine.drop_collection(collection))
                _arrival(state, db, identifier, accepted=False)
        arrival.accepted = True


def _arrival(state: ShardingState, db: str, identifier: Any, *, accepted: bool = True) -> Arrival:
    """Return the move under way; 117 when it is another one, or none."""
    arrival = state.arrivals.get(db)
    if arrival is None or arrival.identifier != bytes(identifier):
        raise _unexpected(db)
    if accepted and not arrival.accepted:
        raise _unexpected(db)
    return arrival


def _unexpected(db: str) -> MongoError:
    return MongoError(
        Code.CONFLICTING_OPERATION_IN_PROGRESS, f"this move of database {db} is not under way"
    )


def expect_no_more(state: ShardingState, args: Document) -> None:
    """Take no more copies of a move: all have come."""
    arrival = state.arrivals.get(args["database"])
    if arrival is not None and arrival.identifier == bytes(args["id"]):
        arrival.accepted = False


async def forget_copies(state: ShardingState, args: Document) -> None:
    """Drop what a move has brought that was fenced, unless another one has begun."""
    db, identifier = args["database"], bytes(args["id"])
    async with state.arriving:
        arrival = state.arrivals.get(db)
        if arrival is None or arrival.identifier != identifier:
            return
        arrival.accepted = False
        engine = state.member.engine
        for ns in sorted(arrival.made):
            collection = engine.collection(db, ns.partition(".")[2])
            if collection is not None and state.arrivals.get(db) is arrival:
                await state.member.catalogue(engine.drop_collection(collection))
        arrival.made.clear()


async def make_copy(state: ShardingState, args: Document) -> None:
    """Make a collection of a database that moves here."""
    ns = args["ns"]
    async with state.arriving:
        arrival = _arrival(state, ns.partition(".")[0], args["id"])
        if ns not in arrival.made:
            await make_collection(state, ns, args["uuid"], args["options"], args["indexes"])
            arrival.made.add(ns)


async def take(state: ShardingState, args: Document) -> None:
    """Take copies of a collection that moves here as a whole, and what sessions have done."""
    db, _, name = args["ns"].partition(".")

    def check() -> None:
        _arrival(state, db, args["id"])

    check()
    for row in args.get("sessions", ()):
        note_session(state, row)
    if "documents" not in args:
        return
    collection = state.member.engine.collection(db, name)
    if collection is None:
        raise MongoError(Code.NAMESPACE_NOT_FOUND, f"{args['ns']} was dropped")
    await put_copies(state, collection, bytes(args["documents"]), check)
