"""Views at a past cluster time.

Cluster time ascends strictly with the log, so the entry that a time means is found by bisection
over the log itself; how far back one can go is the window of history (`StoreOptions.history_ms`).
"""

from __future__ import annotations

from bson.timestamp import Timestamp

from psdb_base.errors import Code, MongoError
from psdb_store.engine import Engine
from psdb_store.versions import View


async def view_at(engine: Engine, time: Timestamp) -> View:
    """Open a view of the committed state at a cluster time that has come; close it after use.

    Raises MongoError 239 when history or the log does not go back that far.
    """
    low, high = engine.versions.horizon, engine.commit_index
    if time >= engine.versions.committed_time:
        return engine.view(high)
    if low < engine.journal.first_index or await _time_of(engine, low) > time:
        raise MongoError(
            Code.SNAPSHOT_TOO_OLD,
            f"Read timestamp {time} is older than the oldest available timestamp.",
        )
    while high - low > 1:  # the entry at low is not later than the time, that at high is
        middle = (low + high) // 2
        if await _time_of(engine, middle) > time:
            high = middle
        else:
            low = middle
    return engine.view(low)


async def _time_of(engine: Engine, index: int) -> Timestamp:
    (entry,) = await engine.read_log(index - 1, 1)
    return entry.time
