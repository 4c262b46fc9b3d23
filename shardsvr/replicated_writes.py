"""Commands that write, on a replica set: executed at once, answered when the log is committed.

An answer stands for the office in which the command ran: if that was lost meanwhile, what it did
may be undone, and the client is told so instead (11602, which drivers retry).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_server.command import Reply, Request
from shardsvr.replication.driver import not_primary

if TYPE_CHECKING:
    from shardsvr.member import Member
    from shardsvr.replication.replica_set import ReplicaSet


async def execute(
    member: Member, replica_set: ReplicaSet, request: Request,
    run: Callable[[], Awaitable[Reply]] | None = None,
) -> Any:
    """Run a command that writes (with `run`, where given) and wait for its write concern."""
    term = member.engine.term
    failed: MongoError | None = None
    reply: Any = None
    try:
        reply = await (member.run_write(request) if run is None else run())
    except MongoError as error:
        failed = error
    failure = await settle(member, replica_set, member.write_concern(request), term)
    if failed is not None:
        raise failed
    return _with_failure(reply, failure)


_NOT_PASSED_ON: Final = frozenset({"$clusterTime", "$db", "$readPreference"})


async def on_the_primary(replica_set: ReplicaSet, request: Request) -> Document:
    """Have the primary run a command that reads anywhere but writes (`$out`, `$merge`).

    The whole of it runs there: what it reads is then as new as what it writes.
    """
    leader = replica_set.leader
    if leader is None:
        raise not_primary()
    command = {
        name: value for name, value in request.body.items() if name not in _NOT_PASSED_ON
    }
    reply = await replica_set.peers.request(
        leader.host, command, request.op.remaining_seconds(), db=request.db
    )
    return {
        name: value for name, value in reply.items()
        if name not in ("$clusterTime", "ok", "operationTime")
    }


async def settle(
    member: Member, replica_set: ReplicaSet, concern: Document, term: int
) -> Document | None:
    """Wait until all that was executed in office `term` is committed and the concern is met."""
    replica_set.check_office(term)  # the log's end of who follows may never be committed
    replica_set.check_running()
    failure = await _wait(member, replica_set, concern)
    replica_set.check_office(term)
    return failure


async def _wait(member: Member, replica_set: ReplicaSet, concern: Document) -> Document | None:
    index = member.engine.log_end
    timeout_ms = int(concern.get("wtimeout", 0)) if concern else 0
    if not timeout_ms:
        await member.engine.committed(index)
        return await replica_set.wait_for(index, concern) if concern else None
    from shardsvr.replication import concern as concerns

    try:
        async with asyncio.timeout(timeout_ms / 1000):
            await member.engine.committed(index)
            return await replica_set.wait_for(index, concern)
    except TimeoutError:
        return concerns.timed_out(concern)


def _with_failure(reply: Reply, failure: Document | None) -> Reply:
    from shardsvr.member import with_failure

    return with_failure(reply, failure)
