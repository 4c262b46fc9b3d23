"""Which shard a cursor lives on.

Cursor ids are the shards' own (63 random bits), passed through to the client untouched; the
router only remembers where each one came from.
"""

from __future__ import annotations

from psdb_base.limits import CURSOR_IDLE_SECONDS_MAX
from psdb_base.world import Clock
from router.shards import Shard


class CursorOwners:
    """Open cursors' channels, by cursor id.

    Attributes:
        total: how many cursors there ever were
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._owners: dict[int, tuple[Shard, float]] = {}
        self.total = 0

    def __len__(self) -> int:
        return len(self._owners)

    def remember(self, cursor_id: int, channel: Shard) -> None:
        """Note a cursor that is open."""
        self.total += cursor_id not in self._owners
        self._owners[cursor_id] = channel, self._clock.monotonic()

    def owner(self, cursor_id: int) -> Shard | None:
        """Return where a cursor lives, None for an unknown one."""
        found = self._owners.get(cursor_id)
        return None if found is None else found[0]

    def forget(self, cursor_id: int) -> None:
        """Note that a cursor is closed."""
        self._owners.pop(cursor_id, None)

    def expire(self) -> None:
        """Forget cursors that the shards must have timed out."""
        horizon = self._clock.monotonic() - 2 * CURSOR_IDLE_SECONDS_MAX
        for cursor_id, (_channel, used) in list(self._owners.items()):
            if used < horizon:
                del self._owners[cursor_id]
