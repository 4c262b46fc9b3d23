"""Updates that change a document's shard key."""

from __future__ import annotations

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from shardsvr.sharding.ownership import Ownership


def check(owned: Ownership, old: Document, new: Document, *, multi: bool) -> None:
    """Raise when an update would take a document away from this shard.

    Within the shard a single-document update may change the key's value.

    Raises:
        MongoError: 72 InvalidOptions for an update of many, 238 NotImplemented for a document
            that would have to move, 61 for an array in the new key.

    """
    key = owned.pattern.key(new)
    if key == owned.pattern.key(old):
        return
    if multi:
        raise MongoError(
            Code.INVALID_OPTIONS,
            "Multi-update operations are not allowed when updating the shard key field.",
        )
    if not owned.ranges.contains(key):
        raise MongoError(
            Code.NOT_IMPLEMENTED,
            "The update would change the shard key value so that another shard owns the document; "
            "that is not supported by PSDB yet",
        )
