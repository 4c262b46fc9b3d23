"""Wait for files to become readable, whatever their numbers.

`select.select` refuses descriptors from 1024 on: a server with a thousand connections has them.
"""

from __future__ import annotations

import select
from collections.abc import Iterable
from typing import Protocol


class File(Protocol):
    """What has a descriptor."""

    def fileno(self) -> int:
        """Return it."""
        ...


def readable(files: Iterable[File], timeout_seconds: float) -> set[int]:
    """Return the descriptors that can be read, or were closed; wait for the first so long."""
    poll = select.poll()
    for file in files:
        poll.register(file.fileno(), select.POLLIN)
    return {number for number, _ in poll.poll(timeout_seconds * 1000)}
