"""`fsync`: write everything to the data files."""

from __future__ import annotations

from psdb_base.errors import Code, MongoError
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field
from shardsvr.collections import member_of

FSYNC_FIELDS = (
    Field("lock", "safe bool"),
    Field("async", "safe bool"),
    Field("fsyncLockAcquisitionTimeoutMillis", "int"),
)


def refuse_lock(request: Request) -> None:
    """Raise 238 for an fsync that is to keep writes out."""
    if request.args.get("lock"):
        raise MongoError(
            Code.NOT_IMPLEMENTED, "fsync with lock is not supported by PSDB yet"
        )


async def fsync(request: Request) -> Reply:
    """Make a checkpoint. What was acknowledged is durable already, in the journal."""
    refuse_lock(request)
    await member_of(request).engine.checkpoint()
    return {"numFiles": 1}


COMMANDS = (
    Command(
        "fsync", fsync, FSYNC_FIELDS, admin_only=True,
        help="Write everything to the data files.",
    ),
)
