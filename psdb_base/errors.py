"""The one exception that becomes an error reply.

`MongoError` is the client's or the cluster's normal error; it carries a code from
`psdb_base.codes` and MongoDB's message. An `AssertionError` is our own bug and is never
turned into anything but InternalError with a loud log line. Conversion into a reply happens
at one place (`psdb_server.replies`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any, Self

from psdb_base.codes import CODE_NAMES, Code

__all__ = ["Code", "MongoError", "code_name", "error_context"]


def code_name(code: int) -> str:
    """Return MongoDB's name of an error code, `Location<n>` for a code without a name."""
    return CODE_NAMES.get(code) or f"Location{code}"


class MongoError(Exception):
    """An error a client sees: `code`, `code_name`, `message`, error labels, further fields.

    Args:
        code: A number of MongoDB's error table, named (`Code.BAD_VALUE`) or a location (40324).
        message: The `errmsg` of the reply.
        labels: Error labels such as `RetryableWriteError`.
        extra: Further fields of the reply (`keyPattern`, `keyValue`, `errInfo`, …).

    """

    def __init__(
        self,
        code: int,
        message: str,
        *,
        labels: tuple[str, ...] = (),
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = int(code)
        self.message = message
        self.labels = labels
        self.extra = extra or {}

    def with_context(self, context: str) -> Self:
        """Return the same error with what was being done in front of its message.

        A new one: that of a failed disk, say, is raised again for everyone who asks.
        """
        error = copy(self)
        error.message = f"{context} :: caused by :: {self.message}"
        error.args = (error.message,)
        return error

    def __copy__(self) -> Self:
        error = type(self).__new__(type(self))
        error.__dict__.update(self.__dict__)
        return error

    @property
    def code_name(self) -> str:
        """MongoDB's name of the code."""
        return code_name(self.code)

    def __str__(self) -> str:
        return f"{self.code_name} ({self.code}): {self.message}"


@contextmanager
def error_context(context: str) -> Iterator[None]:
    """Put a context in front of the message of an error that comes from within."""
    try:
        yield
    except MongoError as error:
        raise error.with_context(context) from error
