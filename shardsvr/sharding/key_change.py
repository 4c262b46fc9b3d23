"""Updates that change a document's shard key.

One that would give the document to another shard is refused. It takes a delete here and an insert
there that both happen or neither: this document has to be locked, and the other shard has to keep
its place free, until both know the outcome, over fail-overs too. That is a transaction over two
shards in all but name.
"""

from __future__ import annotations

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from shardsvr.sharding.ownership import Ownership


def check(
    owned: Ownership, old: Document, new: Document, *, multi: bool, retryable: bool
) -> None:
    """Raise when an update may not change the shard key, or would take the document from here.

    Within the shard a retryable write of a single document may change the key's value.

    Raises:
        MongoError: 72 InvalidOptions for an update of many, 20 IllegalOperation for one that is
            not retryable, 238 NotImplemented for a document that would have to move, 61 for an
            array in the new key.

    """
    key = owned.pattern.key(new)
    if key == owned.pattern.key(old):
        return
    if multi:
        raise MongoError(
            Code.INVALID_OPTIONS,
            "Multi-update operations are not allowed when updating the shard key field.",
        )
    if not retryable:
        raise MongoError(
            Code.ILLEGAL_OPERATION,
            "Must run update to shard key field in a multi-statement transaction or with "
            "retryWrites: true.",
        )
    if not owned.ranges.contains(key):
        raise MongoError(
            Code.NOT_IMPLEMENTED,
            "The update would change the shard key value so that another shard owns the document; "
            "that is not supported by PSDB yet",
        )
