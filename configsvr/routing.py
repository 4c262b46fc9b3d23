"""What routers and shards ask the catalogue: routes, ownership, outcomes of migrations."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from bson.binary import Binary

from configsvr import chunks, store
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field
from shardsvr.collections import member_of
from shardsvr.member import Member

OUTCOMES: Final = "migrationOutcomes"
_OUTCOMES_KEPT: Final = 2000
_OUTCOME_SECONDS: Final = 600
_OUTCOMES_LOOK_SECONDS: Final = 30.0


def pending_drop(member: Member, ns: str) -> bool:
    """Tell whether a collection of this name is not gone from all shards yet."""
    row = store.find(member, "ddlCoordinators", ns)
    return row is not None and row["op"] == "drop"


async def get_routing(request: Request) -> Reply:
    """Return a database's row, a collection's, and its chunks (those since a version)."""
    member, ns = member_of(request), request.args["ns"]
    reply: Document = {"database": store.find(member, "databases", ns.partition(".")[0])}
    row = store.find(member, "collections", ns)
    reply["collection"] = row
    if row is None:
        return reply
    found = chunks.Map(member, row)
    since = request.args.get("since")
    if request.args.get("timestamp") != row["timestamp"]:
        since = None
    reply["full"] = since is None
    reply["chunks"] = [
        {"min": chunk["min"], "max": chunk["max"], "shard": chunk["shard"],
         "lastmod": chunk["lastmod"]}
        for chunk in (found.chunks if since is None else found.since(since))
    ]
    return reply


async def get_ownership(request: Request) -> Reply:
    """Return what a shard owns of a collection, its database's row, the outcome of a change."""
    member, args = member_of(request), request.args
    ns = args["ns"]
    if pending_drop(member, ns):
        raise MongoError(
            Code.CONFLICTING_OPERATION_IN_PROGRESS, f"{ns} is being dropped on all shards"
        )
    row = store.find(member, "collections", ns)
    found = store.find(member, OUTCOMES, args["id"]) if "id" in args else None
    return {
        "outcome": None if found is None else found["outcome"],
        "database": store.find(member, "databases", ns.partition(".")[0]),
        "ownership": None if row is None else _ownership(chunks.Map(member, row), args),
    }


def _ownership(found: chunks.Map, args: Document) -> Document:
    """Return what a shard owns: what has changed of it when it knows the rest."""
    if "since" in args and args.get("timestamp") == found.row["timestamp"]:
        return found.ownership_since(args["shard"], args["since"])
    return found.ownership(args["shard"])


async def commit_migration(request: Request) -> Reply:
    """Give a range to its recipient, unless the migration was fenced or somebody was first."""
    member, args = member_of(request), request.args
    await store.ready(member, "chunks", OUTCOMES)
    outcome = store.find(member, OUTCOMES, args["id"])
    if outcome is not None:
        if outcome["outcome"] == "committed":
            return {}
        raise MongoError(Code.CONFLICTING_OPERATION_IN_PROGRESS, "the migration was fenced")
    found = chunks.map_of(member, args["ns"])
    if found.row["uuid"] != args["uuid"]:
        raise MongoError(
            Code.CONFLICTING_OPERATION_IN_PROGRESS, f"{found.ns} is another collection now"
        )
    chunks.check_may_migrate(found.row)
    if store.find(member, "shards", args["toShard"]) is None:
        raise MongoError(Code.SHARD_NOT_FOUND, f"Shard {args['toShard']} does not exist")
    chunks.hand_over(
        member, found, args["range"], args["fromShard"], args["toShard"],
        [(OUTCOMES, outcome_row(member, args["id"], "committed", found.ns))],
    )
    return {}


def outcome_row(member: Member, identifier: Binary, outcome: str, ns: str = "") -> Document:
    """Make the row that decides a migration's (or a catalogue change's) outcome for ever."""
    return {"_id": identifier, "outcome": outcome, "ns": ns, "at": member.clock.tick()}


async def fence_migration(request: Request) -> Reply:
    """Return an outcome; what is not committed by now never will be."""
    return {"outcome": await fence(member_of(request), request.args["id"])}


async def fence(member: Member, identifier: Binary) -> str:
    """Decide a change that is not decided yet against it; return its outcome."""
    await store.ready(member, OUTCOMES)
    outcome = store.find(member, OUTCOMES, identifier)
    if outcome is None:
        outcome = outcome_row(member, identifier, "aborted")
        store.write(member, [(OUTCOMES, outcome)])
    await store.settled(member)
    decided: str = outcome["outcome"]
    return decided


async def forget_outcomes(member: Member) -> None:
    """Forget the oldest outcomes, for ever: what is owned tells as much to who asks so late.

    Those of the last minutes stay: what they decide against may still be on its way.
    """
    while True:
        await asyncio.sleep(_OUTCOMES_LOOK_SECONDS)
        collection = member.engine.collection("config", OUTCOMES)
        if not member.is_primary or collection is None or collection.count <= _OUTCOMES_KEPT:
            continue
        horizon = member.clock.tick().time - _OUTCOME_SECONDS
        rows = sorted(store.unordered(member, OUTCOMES), key=lambda row: row["at"])
        old = [row for row in rows[:-_OUTCOMES_KEPT] if row["at"].time < horizon]
        with contextlib.suppress(MongoError):  # office is lost at this moment
            store.write(member, [], [(OUTCOMES, row["_id"]) for row in old])


COMMANDS = (
    Command(
        "_configsvrCommitMigration", commit_migration,
        (
            Field("id", "uuid", required=True), Field("ns", "string", required=True),
            Field("uuid", "uuid", required=True), Field("range", "object", required=True),
            Field("fromShard", "string", required=True), Field("toShard", "string", required=True),
        ),
        admin_only=True, writes=True, help="Internal: a range changes hands.",
    ),
    Command(
        "_configsvrFenceMigration", fence_migration, (Field("id", "uuid", required=True),),
        admin_only=True, writes=True, help="Internal: how a migration ended, for ever.",
    ),
    Command(
        "_configsvrGetOwnership", get_ownership,
        (
            Field("ns", "string", required=True), Field("shard", "string", required=True),
            Field("id", "uuid"), Field("timestamp", "timestamp"), Field("since", "timestamp"),
        ),
        admin_only=True, writes=True, passes_lock=True, help="Internal: what a shard owns.",
    ),
    Command(
        "_configsvrGetRouting", get_routing,
        (
            Field("ns", "string", required=True), Field("timestamp", "timestamp"),
            Field("since", "timestamp"),
        ),
        admin_only=True, writes=True, passes_lock=True,
        help="Internal: a collection's chunks.",
    ),
    Command(
        "_configsvrReadRouting", get_routing,
        (
            Field("ns", "string", required=True), Field("timestamp", "timestamp"),
            Field("since", "timestamp"),
        ),
        admin_only=True, help="Internal: a collection's chunks, as a secondary knows them.",
    ),
)
