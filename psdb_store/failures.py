"""How the storage engine fails: damage on disk, a disk that fails, files of a newer PSDB."""

from __future__ import annotations

import errno

from psdb_base.errors import Code, MongoError


class StorageDamagedError(MongoError):
    """A file holds something that a crash cannot explain; the process must not go on.

    Attributes:
        path: The damaged file.
        line: Number of the first bad line, from 1; 0 when the file as a whole is wrong.

    """

    def __init__(self, path: str, line: int, reason: str) -> None:
        where = f"{path}:{line}" if line else path
        super().__init__(Code.DATA_CORRUPTION_DETECTED, f"{where}: {reason}")
        self.path = path
        self.line = line


def newer_format(path: str, found: object, known: int) -> MongoError:
    """Make the refusal of a file that a newer PSDB wrote."""
    return MongoError(
        Code.UNSUPPORTED_FORMAT,
        f"{path}: format {found!r} is not known to this version of PSDB, which reads {known}",
    )


def disk_failure(error: BaseException, what: str) -> MongoError:
    """Make the error that every later write gets after `what` could not be written."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return MongoError(
            Code.OUT_OF_DISK_SPACE,
            f"{what} could not be written, no space left on device; "
            "writes are refused until the server is restarted",
        )
    return MongoError(
        Code.LOG_WRITE_FAILED,
        f"{what} could not be written ({error}); "
        "writes are refused until the server is restarted",
    )
