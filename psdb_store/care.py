"""Looking after a dbpath: its data files written anew, everything read again, its disk's room."""

from __future__ import annotations

from psdb_store.collection import Collection
from psdb_store.engine import Engine


async def compact(engine: Engine, c: Collection) -> None:
    """Write a collection's data file anew without what no longer counts."""
    c.rewrite = True
    await engine.checkpoint()


async def verify_files(engine: Engine, c: Collection) -> None:
    """Read a collection's file and the whole journal again; 301 when something is damaged."""
    await engine._checkpointer.verify(c)  # noqa: SLF001 -- one floor, one store
    unpin = engine.pin_log(engine.journal.first_index - 1)
    try:
        await engine.journal.verify_chain()
    finally:
        unpin()


def disk_space(engine: Engine) -> tuple[int, int]:
    """Bytes used and bytes in all of the file system below the dbpath."""
    return engine.world.disk.space(engine.dbpath)
