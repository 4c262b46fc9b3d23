"""`fsync`: write everything to the data files, and keep writes out (`lock`) to copy them."""

from __future__ import annotations

from bson.int64 import Int64

from psdb_server.command import Command, Reply, Request
from psdb_server.common.fsync import FSYNC_FIELDS, LOCKED_INFO, lock_timeout_ms
from shardsvr.collections import member_of


async def fsync(request: Request) -> Reply:
    """Make a checkpoint. What was acknowledged is durable already, in the journal."""
    member = member_of(request)
    if not request.args.get("lock"):
        await member.engine.checkpoint()
        return {"numFiles": 1}
    locks = await member.gate.lock(lock_timeout_ms(request))
    try:
        await member.engine.checkpoint()
    except BaseException:
        member.gate.unlock()
        raise
    member.world.log.write(
        "W", "COMMAND", 20469, "mongod is locked and no writes are allowed", {"lockCount": locks}
    )
    return {**LOCKED_INFO, "lockCount": Int64(locks)}


async def fsync_unlock(request: Request) -> Reply:
    """Take back one lock; writes go on after the last."""
    locks = member_of(request).gate.unlock()
    return {"info": "fsyncUnlock completed", "lockCount": Int64(locks)}


COMMANDS = (
    Command(
        "fsync", fsync, FSYNC_FIELDS, admin_only=True,
        help="Write everything to the data files; with lock, keep writes out.",
    ),
    Command(
        "fsyncUnlock", fsync_unlock, admin_only=True, help="Let writes in again after fsync.",
    ),
)
