"""`fsync`: write everything to the data files."""

from __future__ import annotations

from psdb_server.command import Command, Reply, Request
from psdb_server.common.fsync import FSYNC_FIELDS, refuse_lock
from shardsvr.collections import member_of


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
