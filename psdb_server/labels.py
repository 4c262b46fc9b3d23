"""Error labels: what a driver may do about an error.

A driver sends a retryable write again only after it lost the connection, or when the error says so
by its label; the server adds the label, a router included (drivers' "Retryable Writes").
"""

from __future__ import annotations

from typing import Final

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document

RETRYABLE_WRITE_ERROR: Final = "RetryableWriteError"
RETRYABLE_CODES: Final = frozenset(
    {
        int(Code.EXCEEDED_TIME_LIMIT),
        int(Code.HOST_NOT_FOUND),
        int(Code.HOST_UNREACHABLE),
        int(Code.INTERRUPTED_AT_SHUTDOWN),
        int(Code.INTERRUPTED_DUE_TO_REPL_STATE_CHANGE),
        int(Code.NETWORK_TIMEOUT),
        int(Code.NOT_PRIMARY_NO_SECONDARY_OK),
        int(Code.NOT_PRIMARY_OR_SECONDARY),
        int(Code.NOT_WRITABLE_PRIMARY),
        int(Code.PRIMARY_STEPPED_DOWN),
        int(Code.SHUTDOWN_IN_PROGRESS),
        int(Code.SOCKET_EXCEPTION),
    }
)
"""After these a write may have been carried out or not, and sending it again is safe and useful."""
STATE_CHANGE_CODES: Final = frozenset(
    {
        int(Code.INTERRUPTED_AT_SHUTDOWN),
        int(Code.INTERRUPTED_DUE_TO_REPL_STATE_CHANGE),
        int(Code.NOT_PRIMARY_NO_SECONDARY_OK),
        int(Code.NOT_PRIMARY_OR_SECONDARY),
        int(Code.NOT_WRITABLE_PRIMARY),
        int(Code.PRIMARY_STEPPED_DOWN),
        int(Code.SHUTDOWN_IN_PROGRESS),
    }
)
"""With these goes the `topologyVersion`: a client learns whether it knows of the change already."""


def labelled(error: Exception, body: Document) -> Exception:
    """Return a retryable write's error with its label; every other error as it is.

    The error given is left alone: several requests may have failed by the same one.
    """
    if (
        isinstance(error, MongoError)
        and error.code in RETRYABLE_CODES
        and "txnNumber" in body
        and "autocommit" not in body
        and RETRYABLE_WRITE_ERROR not in error.labels
    ):
        labels = (*error.labels, RETRYABLE_WRITE_ERROR)
        return MongoError(error.code, error.message, labels=labels, extra=error.extra)
    return error
