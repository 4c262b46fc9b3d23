"""The recipient's side of a migration: it takes copies and owns nothing until the commit.

Before the first copy a pending range deletion is logged. It goes when the shard learns that it
owns the range (`ShardingState.refresh`), and becomes a deletion when the migration was aborted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

from bson.binary import Binary

from psdb_base import bson_codec, order
from psdb_base.errors import Code, MongoError
from psdb_base.shard_keys import KeyPattern
from psdb_base.values import Document
from psdb_store.collection import Collection
from shardsvr.sharding import records as names
from shardsvr.sharding.state import ShardingState

NOT_UNDER_WAY: Final = Code.COMMAND_FAILED
"""A recipient's answer about a migration that another primary of it had begun to take."""
_UNIT_DOCUMENTS: Final = 256
_DELETION_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.05


async def start(state: ShardingState, args: Document) -> None:
    """Get ready for a migration: the collection, its indexes, the pending range deletion."""
    ns, identifier = args["ns"], args["id"]
    await settle_incoming(state, besides=bytes(identifier))
    for busy, known in list(state.incoming.items()):
        if busy != bytes(identifier) and known["from"] == args["fromShard"]:
            # A shard donates once at a time: it has given the other one up, or lost its office.
            state.incoming.pop(busy)
            task = state.records.find(names.DELETIONS, Binary(busy, 4))
            if task is not None:
                state.in_office(resolve(state, task))
    busy_with = next(iter(state.incoming), bytes(identifier))
    if state.donating is not None or busy_with != bytes(identifier):
        raise MongoError(
            Code.CONFLICTING_OPERATION_IN_PROGRESS, "another migration of this shard is under way"
        )
    now = state.member.world.clock.monotonic()
    state.incoming[bytes(identifier)] = {"ns": ns, "seen": now, "from": args["fromShard"]}
    try:
        await _prepare(state, args)
    except BaseException:
        state.incoming.pop(bytes(identifier), None)
        raise


async def _prepare(state: ShardingState, args: Document) -> None:
    ns = args["ns"]
    pattern = KeyPattern(args["key"])
    low, high = (pattern.bound_key(args["range"][side]) for side in ("min", "max"))
    own = state.ownership(ns)
    if own is not None and own.ranges.overlaps(low, high):
        await state.refresh(ns)
        own = state.ownership(ns)
        if own is not None and own.ranges.overlaps(low, high):
            raise MongoError(
                Code.CONFLICTING_OPERATION_IN_PROGRESS,
                f"this shard owns a part of the range to be moved of {ns}",
            )
    await _wait_for_deletions(state, ns, pattern, low, high, bytes(args["id"]))
    await make_collection(state, ns, args["uuid"], args["options"], args["indexes"])
    await state.records.write(put=[(names.DELETIONS, {
        "_id": args["id"], "nss": ns, "collectionUuid": args["uuid"],
        "donorShardId": args["fromShard"], "range": args["range"], "keyPattern": args["key"],
        "whenToClean": "now", "timestamp": state.member.clock.tick(), "pending": True,
    })])


async def _wait_for_deletions(
    state: ShardingState, ns: str, pattern: KeyPattern, low: bytes, high: bytes, own: bytes
) -> None:
    """Wait until no deletion is left that overlaps the range: it would take the copies away."""
    key = pattern.bound_key
    for _ in range(int(_DELETION_SECONDS / _LOOK_SECONDS)):
        if not any(
            key(task["range"]["min"]) < high and low < key(task["range"]["max"])
            for task in state.tasks(ns) if bytes(task["_id"]) != own
        ):
            return
        state.wake.set()
        await asyncio.sleep(_LOOK_SECONDS)
    raise MongoError(
        Code.CHUNK_RANGE_CLEANUP_PENDING,
        f"documents of an earlier migration are still to be deleted in the range of {ns}",
    )


async def make_collection(
    state: ShardingState, ns: str, uuid: Any, options: Document, indexes: list[Document]
) -> Collection:
    """Make a part of a sharded collection here, with uuid, options and indexes of the others."""
    member = state.member
    db, _, name = ns.partition(".")
    collection: Collection | None = member.engine.collection(db, name)
    if collection is not None and bytes(collection.uuid) != bytes(uuid):
        if collection.count:
            raise MongoError(
                Code.INVALID_UUID, f"another collection {ns} with documents is on this shard"
            )
        await member.catalogue(member.engine.drop_collection(collection))
        collection = None
    if collection is None:
        collection = await member.catalogue(
            member.engine.create_collection(db, name, options, bytes(uuid))
        )
    for spec in indexes:
        await member.catalogue(member.engine.create_index(collection, spec))
    return collection


async def take(state: ShardingState, args: Document) -> None:
    """Take a batch: documents as they are now, `_id`s of those that are gone, sessions."""
    found = state.incoming.get(bytes(args["id"]))
    if found is None:
        raise _not_under_way()
    db, _, name = found["ns"].partition(".")
    member = state.member
    found["seen"] = member.world.clock.monotonic()
    collection = member.engine.collection(db, name)
    if collection is None:
        raise MongoError(Code.NAMESPACE_NOT_FOUND, f"{found['ns']} was dropped")

    def check() -> None:
        if state.incoming.get(bytes(args["id"])) is not found:
            raise _not_under_way()

    await put_copies(state, collection, bytes(args["documents"]), check)
    check()
    _remove_all(state, collection, [row["_id"] for row in args["removed"]])
    for row in args["sessions"]:
        note_session(state, row)


def _not_under_way() -> MongoError:
    return MongoError(NOT_UNDER_WAY, "no such migration is under way")


async def put_copies(
    state: ShardingState, collection: Collection, blob: bytes, check: Callable[[], None]
) -> None:
    """Insert or replace documents, given one after the other, by their `_id`.

    Before each unit `check` is asked, which raises when they are not wanted any more.
    """
    raws = list(bson_codec.split(blob))
    for at in range(0, len(raws), _UNIT_DOCUMENTS):
        await state.member.engine.room()
        check()
        _put_all(state, collection, raws[at : at + _UNIT_DOCUMENTS])
        await asyncio.sleep(0)


def _put_all(state: ShardingState, collection: Collection, raws: list[bytes]) -> None:
    own = state.ownership(collection.ns)
    unit = state.member.engine.unit()
    try:
        for raw in raws:
            document = bson_codec.decode(raw)
            record = collection.by_id(order.key(document["_id"], collection.collation))
            if record is not None and own is not None and own.owns(record.document()):
                raise MongoError(
                    Code.DUPLICATE_KEY,
                    f"a document with the same _id is on both shards of {collection.ns}",
                    extra={"keyPattern": {"_id": 1}, "keyValue": {"_id": document["_id"]}},
                )
            if record is None:
                unit.insert(collection, raw, document)
            elif record.raw != raw:
                unit.update(collection, record, raw, document)
    finally:
        unit.commit()


def _remove_all(state: ShardingState, collection: Collection, identifiers: list[Any]) -> None:
    """Delete copies. What the shard owns itself, under the same `_id`, is left alone."""
    own = state.ownership(collection.ns)
    with state.member.engine.unit() as unit:
        for identifier in identifiers:
            record = collection.by_id(order.key(identifier, collection.collation))
            if record is not None and not (own is not None and own.owns(record.document())):
                unit.delete(collection, record)
        unit.commit()


def note_session(state: ShardingState, row: Document) -> None:
    """Take over what a session has done at the donor, as an entry without effect."""
    engine = state.member.engine
    lsid, number = bytes(row["lsid"]), int(row["txnNumber"])
    known = engine.sessions.get(lsid)
    if known is not None and known.txn_number > number:
        return
    have = known.statements if known is not None and known.txn_number == number else {}
    news = {
        statement: run["result"]
        for run in row["statements"] for statement in range(run["first"], run["last"] + 1)
        if statement not in have
    }
    if not news:
        return
    with engine.unit() as unit:
        for identifier, result in news.items():
            unit.statement(identifier, result)
        unit.commit(lsid=lsid, txn_number=number)


async def end(state: ShardingState, args: Document) -> None:
    """Learn the outcome."""
    state.incoming.pop(bytes(args["id"]), None)
    if args["committed"]:
        await state.refresh(args["ns"])
        return
    await make_deletion(state, args["id"])


async def make_deletion(state: ShardingState, identifier: Any) -> None:
    """Turn a pending range deletion into one that is to be done."""
    task = state.records.find(names.DELETIONS, identifier)
    if task is not None and task.get("pending"):
        await state.records.write(put=[(names.DELETIONS, _to_be_done(task))])
    state.wake.set()


async def settle_incoming(state: ShardingState, *, besides: bytes = b"") -> None:
    """Find out whether the migrations to here that are taken to run have ended meanwhile.

    Whoever is refused because of one asks; a donor that could not tell the end does not matter
    then.
    """
    for identifier, known in list(state.incoming.items()):
        if identifier == besides:
            continue
        with contextlib.suppress(MongoError):  # nobody can say: it counts as running
            reply = await state.config.command("admin", {
                "_configsvrGetOwnership": 1, "ns": known["ns"], "shard": state.member.shard_name,
                "id": Binary(identifier, 4),
            })
            if reply.get("outcome") is None or state.incoming.get(identifier) is not known:
                continue
            del state.incoming[identifier]
            task = state.records.find(names.DELETIONS, Binary(identifier, 4))
            if task is not None:
                await resolve(state, task)


async def resolve(state: ShardingState, task: Document) -> None:
    """Find out how a migration to here ended of which nobody has told the end.

    The recipient writes the fence itself: what is not committed then never will be. So what is
    owned from then on tells the end; an outcome may be so old that it was forgotten.
    """
    from shardsvr.sharding.donor import fence

    if bytes(task["_id"]) in state.incoming:
        return
    await fence(state, task["_id"])
    reply = await state.news_of(task["nss"])
    await state.records.ready()
    if task["nss"] in state.sections or bytes(task["_id"]) in state.incoming:
        return  # what is owned changes just now: it is looked at once more
    engine = state.member.engine
    with engine.unit() as unit:
        state.note_ownership(unit, task["nss"], reply.get("ownership"))
        left = state.records.find(names.DELETIONS, task["_id"])
        if left is not None and left.get("pending"):
            state.records.put(unit, names.DELETIONS, _to_be_done(left))
        unit.commit()
    await engine.committed(engine.log_end)
    state.wake.set()


def _to_be_done(task: Document) -> Document:
    return {name: value for name, value in task.items() if name != "pending"}
