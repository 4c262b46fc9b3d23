"""What `fsync` takes on every role; a member makes a checkpoint, a router asks its shards."""

from __future__ import annotations

from typing import Final

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.command import Request
from psdb_server.fields import Field

FSYNC_FIELDS: Final = (
    Field("lock", "safe bool"),
    Field("async", "safe bool"),
    Field("fsyncLockAcquisitionTimeoutMillis", "int"),
)
LOCK_TIMEOUT_MS: Final = 90_000
LOCKED_INFO: Final[Document] = {
    "info": "now locked against writes, use db.fsyncUnlock() to unlock",
    "seeAlso": "https://www.mongodb.com/docs/manual/reference/command/fsync/",
}


def lock_timeout_ms(request: Request) -> int:
    """Return how long `fsync` with lock waits for writes in progress; 2 for a negative time."""
    timeout: int = request.args.get("fsyncLockAcquisitionTimeoutMillis", LOCK_TIMEOUT_MS)
    if timeout < 0:
        raise MongoError(
            Code.BAD_VALUE,
            "BSON field 'fsyncLockAcquisitionTimeoutMillis' value must be >= 0, actual value "
            f"'{timeout}'",
        )
    return timeout
