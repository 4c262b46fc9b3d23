"""Commands that write, on a replica set: executed at once, answered when the log is committed.

An answer stands for the office in which the command ran: if that was lost meanwhile, what it did
may be undone, and the client is told so instead (11602, which drivers retry).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from copy import copy
from typing import TYPE_CHECKING, Any, Final

from bson.int64 import Int64

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.command import Reply, Request
from shardsvr.patience import OutOfPatienceError, Patience
from shardsvr.replication.driver import not_primary

if TYPE_CHECKING:
    from shardsvr.member import Member
    from shardsvr.replication.replica_set import ReplicaSet


async def execute(
    member: Member, replica_set: ReplicaSet, request: Request,
    run: Callable[[], Coroutine[Any, Any, Reply]] | None = None,
) -> Any:
    """Run a command that writes (with `run`, where given) and wait for its write concern."""
    term = member.engine.term
    failed: MongoError | None = None
    reply: Any = None
    concern = member.write_concern(request)
    patience = _patience(concern)
    work = member.run_write(request) if run is None else run()
    try:
        reply = await (work if patience is None else patience.run(member, work))
    except MongoError as error:
        failed = error
    except OutOfPatienceError:
        return _unfinished(replica_set, request, concern, term)
    failure = await settle(member, replica_set, concern, term, patience)
    if failed is not None:
        raise failed if failure is None else _with_both(failed, failure)
    return _with_failure(reply, failure)


def _patience(concern: Document) -> Patience | None:
    timeout_ms = int(concern.get("wtimeout", 0)) if concern else 0
    return Patience(timeout_ms / 1000) if timeout_ms > 0 else None


def _unfinished(
    replica_set: ReplicaSet, request: Request, concern: Document, term: int
) -> Reply:
    """Answer a command that goes on, since what it waits for was not committed in time.

    Counts say what was surely done by now: nothing.
    """
    from shardsvr.replication import concern as concerns

    replica_set.check_office(term)
    replica_set.check_running()
    # It has its answer: neither the end of its client nor that of its time ends what is left.
    request.op.connection = request.op.deadline = None
    assert replica_set.config is not None
    failure = concerns.unsatisfiable(replica_set.config, concern) or concerns.timed_out(concern)
    return _with_failure(_nothing_done(request), failure)


def _nothing_done(request: Request) -> Document:
    name = request.command.name
    if name == "bulkWrite":
        counts = dict.fromkeys(_BULK_COUNTS, 0)
        return {"cursor": _empty_cursor("admin.$cmd.bulkWrite"), **counts}
    if name == "aggregate":
        target = request.target if type(request.target) is str else "$cmd.aggregate"
        return {"cursor": _empty_cursor(f"{request.db}.{target}")}
    return {key: copy(value) for key, value in _NOTHING_DONE.get(name, {}).items()}


def _empty_cursor(ns: str) -> Document:
    return {"id": Int64(0), "firstBatch": [], "ns": ns}


_BULK_COUNTS: Final = (
    "nErrors", "nInserted", "nMatched", "nModified", "nUpserted", "nDeleted",
)
_NOTHING_DONE: Final[dict[str, Document]] = {
    "insert": {"n": 0},
    "update": {"n": 0, "nModified": 0},
    "delete": {"n": 0},
    "findAndModify": {"lastErrorObject": {"n": 0, "updatedExisting": False}, "value": None},
}


def _with_both(error: MongoError, failure: Document) -> MongoError:
    """Return the error of a command that failed, and whose wait for the log failed as well."""
    if failure["code"] == Code.WRITE_CONCERN_TIMEOUT:
        error.extra = {**error.extra, "writeConcernError": failure}
    return error


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
    member: Member, replica_set: ReplicaSet, concern: Document, term: int,
    patience: Patience | None = None,
) -> Document | None:
    """Wait until all that was executed in office `term` is committed and the concern is met."""
    replica_set.check_office(term)  # the log's end of who follows may never be committed
    replica_set.check_running()
    failure = await _wait(member, replica_set, concern, patience)
    replica_set.check_office(term)
    return failure


async def _wait(
    member: Member, replica_set: ReplicaSet, concern: Document, patience: Patience | None
) -> Document | None:
    index = member.engine.log_end
    if patience is None:
        await member.engine.committed(index)
        return await replica_set.wait_for(index, concern) if concern else None
    from shardsvr.replication import concern as concerns

    try:
        async with asyncio.timeout(patience.left):
            await member.engine.committed(index)
            return await replica_set.wait_for(index, concern)
    except TimeoutError:
        return concerns.timed_out(concern)


def _with_failure(reply: Reply, failure: Document | None) -> Reply:
    from shardsvr.member import with_failure

    return with_failure(reply, failure)
