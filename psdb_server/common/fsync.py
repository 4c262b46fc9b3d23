"""What `fsync` takes on every role; a member makes a checkpoint, a router asks its shards."""

from __future__ import annotations

from typing import Final

from psdb_base.errors import Code, MongoError
from psdb_server.command import Request
from psdb_server.fields import Field

FSYNC_FIELDS: Final = (
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
