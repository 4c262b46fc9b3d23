"""Writes of one document whose filter does not name the shard key.

First all shards that may have a match are asked for one; then the write goes to one of them, about
that document. Where nothing matches, an upsert's document is made here, and goes to the shard
that owns its key; that shard looks once more, so what has come there meanwhile is found.

Within a session each look begins an attempt on all shards it asks: a write of an earlier attempt
that is still on its way is refused from then on, so a statement that is sent again is done once
whatever the attempts have chosen. As in MongoDB, two upserts at the same time may both find
nothing and both insert, unless a unique index forbids it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from bson.binary import Binary

from psdb_base.errors import Code, MongoError
from psdb_base.shard_versions import Routed
from psdb_base.values import MISSING, Document
from psdb_query.updates import compile_update
from router import targeting
from router.chunk_map import ChunkMap
from router.reads import context_of
from router.requests import command as run_command

if TYPE_CHECKING:
    from psdb_wire.connection import Connection
    from router.server import Router

ATTEMPTS_MAX: Final = 12


class Look:
    """A look for what one statement is to hit, and what follows from it.

    Args:
        router: The router.
        connection: The client's.
        db: The database.
        name: The collection.
        found: Where it is.
        statement: `filter`, and of `sort`, `collation`, `hint`, `let` those that are given.
        session: `lsid`, `txnNumber`, `stmtIds`; empty for a write that is not retryable.

    Attributes:
        attempt: Which attempt this is, None without a session.

    """

    def __init__(
        self, router: Router, connection: Connection, db: str, name: str, found: ChunkMap,
        statement: Document, session: Document,
    ) -> None:
        self._router = router
        self._connection = connection
        self._db = db
        self._name = name
        self._found = found
        self._statement = {k: v for k, v in statement.items() if v is not None}
        self._session = session
        self.attempt: Document | None = None
        if session:
            number = session.get("stmtIds", [0])[0]
            self.attempt = {
                "of": f"{bytes(session['lsid']['id']).hex()}:{session['txnNumber']}:{number}",
                "id": Binary(router.world.random.uuid(), 4),
            }

    def routed(self, shard: str, upserted: Document | None = None) -> Routed:
        """Return what a request to a shard relies on."""
        versions = self._found.routed(shard).shard
        return Routed(versions, attempt=self.attempt, upserted=upserted)

    async def one(self, shards: list[str]) -> tuple[str, Document | None] | None:
        """Choose the document to be hit.

        Returns:
            The shard, and a filter about that one document; None for the filter where the shard
            has executed the statement already. None when nothing matches.

        """
        command: Document = {
            "_shardsvrFindForWrite": self._name, **self._statement, **self._session,
        }
        channels = [await self._router.routing.shard(shard) for shard in shards]
        parts = await asyncio.gather(*(
            run_command(channel, self._connection, self._db, command, self.routed(shard))
            for shard, channel in zip(shards, channels, strict=True)
        ))
        candidates: list[tuple[str, Document]] = []
        for shard, part in zip(shards, parts, strict=True):
            if part.get("executed"):
                return shard, None
            if "document" in part:
                candidates.append((shard, part["document"]))
        if not candidates:
            return None
        if self._statement.get("sort"):
            from psdb_query.sorting import compile_sort

            context, env = context_of(
                self._router, {"collation": self._statement.get("collation")}
            )
            sorter = compile_sort(self._statement["sort"], context)
            candidates.sort(key=lambda pair: sorter.key(pair[1], env))
        shard, document = candidates[0]
        about = targeting.key_of_document(self._found.pattern, document)
        return shard, {**about, "_id": {"$eq": document.get("_id", MISSING)}}

    def upsert(self, update: Document) -> tuple[str, Routed]:
        """Make the document of an upsert that matches nothing.

        Args:
            update: `u`, and `arrayFilters`, `c`, `upsertSupplied` when they are given.

        Returns:
            The shard that owns its key; what the statement relies on there, the document with it.

        """
        constants = update.get("c") or {}
        context, env = context_of(self._router, self._statement)
        compiled = compile_update(
            update["u"], context.binding(*constants), array_filters=update.get("arrayFilters"),
            constants=update.get("c"), upsert_supplied=bool(update.get("upsertSupplied")),
        )
        document = compiled.upsert(
            self._statement["filter"], {**env, **constants}, self._router.world.random.object_id
        )
        shard = self._found.shard_of(self._found.pattern.key(document))
        return shard, self.routed(shard, document)


def must_contain_key() -> MongoError:
    """Return the error of an upsert of many without the shard key."""
    return MongoError(
        Code.SHARD_KEY_NOT_FOUND,
        "Failed to target upsert by query :: could not extract exact shard key",
    )
