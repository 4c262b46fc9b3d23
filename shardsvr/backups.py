"""Backups under way: checkpoints pinned for a client that copies their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psdb_base.errors import Code, MongoError
from psdb_base.limits import CURSOR_IDLE_SECONDS_MAX

if TYPE_CHECKING:
    from psdb_store.snapshot import Pinned


class Backups:
    """The backups under way on a member, with the time of their last use."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[Pinned, float]] = {}
        self._last = 0

    def add(self, pinned: Pinned, now: float) -> int:
        """Enter a backup; return its number."""
        self._last += 1
        self._open[self._last] = pinned, now
        return self._last

    def use(self, number: int, now: float) -> Pinned:
        """Return a backup; 211 when there is none of this number."""
        found = self._open.get(number)
        if found is None:
            raise MongoError(Code.KEY_NOT_FOUND, f"backup {number} is not under way")
        self._open[number] = found[0], now
        return found[0]

    def end(self, number: int) -> None:
        """Release a backup; one that has ended already is no error."""
        found = self._open.pop(number, None)
        if found is not None:
            found[0].release()

    def expire(self, now: float) -> None:
        """Release what nobody used for ten minutes."""
        for number, (_pinned, used) in list(self._open.items()):
            if used < now - CURSOR_IDLE_SECONDS_MAX:
                self.end(number)
