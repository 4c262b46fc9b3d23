"""What `psdb backup` asks of a running member: its files as of one checkpoint, piece by piece.

Nothing is locked: the checkpoint's files stay as they are until the backup ends, or nobody asked
for a piece of it for ten minutes.
"""

from __future__ import annotations

from typing import Final

from bson.binary import Binary
from bson.int64 import Int64

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field
from psdb_store import snapshot
from shardsvr.collections import member_of

PIECE_BYTES: Final = 8 * 1024 * 1024


async def begin(request: Request) -> Reply:
    """Make a checkpoint and keep its files."""
    member = member_of(request)
    await member.engine.checkpoint()
    pinned = await snapshot.pin(member.engine)
    number = member.backups.add(pinned, member.world.clock.monotonic())
    files: list[Document] = [
        {"path": file["path"], "bytes": Int64(file["bytes"])} for file in pinned.files
    ]
    return {"backup": number, "manifest": Binary(pinned.line), "files": files}


async def read(request: Request) -> Reply:
    """Return a piece of one of the files; an empty one is the end."""
    member = member_of(request)
    pinned = member.backups.use(request.target, member.world.clock.monotonic())
    files, number, offset = pinned.files, request.args["file"], request.args["offset"]
    if number >= len(files) or offset > files[number]["bytes"]:
        raise MongoError(Code.BAD_VALUE, "the backup has no such piece")
    return {"data": Binary(await pinned.read(files[number], offset, PIECE_BYTES))}


async def end(request: Request) -> Reply:
    """Let the files go."""
    member_of(request).backups.end(request.target)
    return {}


COMMANDS = (
    Command("_psdbBackupBegin", begin, admin_only=True, help="Internal: begin a backup."),
    Command(
        "_psdbBackupEnd", end, target="int", admin_only=True, help="Internal: end a backup.",
    ),
    Command(
        "_psdbBackupRead", read,
        (Field("file", "count", required=True), Field("offset", "count", required=True)),
        target="int", admin_only=True, help="Internal: a piece of a backup.",
    ),
)
