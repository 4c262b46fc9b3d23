"""Logical sessions: which are known, when they were used last, when they end.

Retryable-write histories are the storage engine's (they are part of the log); this registry
only knows that a session lives.
"""

from __future__ import annotations

from psdb_base.errors import Code, MongoError
from psdb_base.limits import SESSION_IDLE_MINUTES, SESSIONS_MAX
from psdb_base.world import Clock


class LogicalSessions:
    """Sessions by their sixteen id bytes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.last_use: dict[bytes, float] = {}

    def touch(self, lsid: bytes) -> None:
        """Note a use of the session; 261 when too many live."""
        if lsid not in self.last_use and len(self.last_use) >= SESSIONS_MAX:
            raise MongoError(
                Code.TOO_MANY_LOGICAL_SESSIONS,
                "Unable to add session into the cache because the number of active sessions is "
                "too high",
            )
        self.last_use[lsid] = self._clock.monotonic()

    def end(self, lsid: bytes) -> None:
        """Forget a session."""
        self.last_use.pop(lsid, None)

    def expired(self) -> list[bytes]:
        """Remove and return the sessions unused for thirty minutes."""
        horizon = self._clock.monotonic() - SESSION_IDLE_MINUTES * 60
        ended = [lsid for lsid, used in self.last_use.items() if used < horizon]
        for lsid in ended:
            del self.last_use[lsid]
        return ended
