"""Building an index over a live collection: slices of records while writes go on.

The index under construction stands among the collection's `building` ones, so every write keeps
it up; the builder adds the records in slices. Entering and removing are idempotent, so it does
not matter which of the two comes to a record first. What the index cannot take yet (a duplicate,
parallel arrays) is only noted: it may be gone by the end, when it is looked at again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeAlias

from psdb_base.errors import Code, MongoError
from psdb_store.collection import Collection
from psdb_store.index import Index, duplicate_key_error

_TURNS: Final = 16
"""Turns of the loop within one slice. A write takes several turns, and keys of a document (words,
array elements, paths) cost more than a look at it."""
Progress: TypeAlias = Callable[[int, int], None] | None
"""Told how many records of how many were looked at; what it raises ends the build."""


async def build(
    c: Collection, index: Index, slice_documents: int, progress: Progress = None
) -> None:
    """Fill an index from a collection's records; entries and writes mix freely."""
    index.ready = False
    index.conflicts, index.skipped = {}, {}
    c.building[index.name] = index
    c.index_list_changed()
    done = 0
    step = max(1, slice_documents // _TURNS)
    for records in c.batches(slice_documents):
        for start in range(0, len(records), step):
            some = records[start : start + step]
            for record in some:
                _take_in(index, c, record.rid)
            done += len(some)
            if progress is not None:
                progress(done, max(done, c.count))
            await asyncio.sleep(0)
            check_wanted(c, index)


def check_wanted(c: Collection, index: Index) -> None:
    """Raise 276 when a build has to end: somebody dropped the index or its collection."""
    if c.dropped:
        raise _aborted(index, "collection dropped")
    if index.stopped is not None:
        raise index.stopped


async def stop(index: Index) -> None:
    """End the build of an index that is dropped meanwhile, and wait until it has ended."""
    index.stopped = _aborted(index, "collection dropIndexes command")
    await index.finished


def _aborted(index: Index, reason: str) -> MongoError:
    return MongoError(
        Code.INDEX_BUILD_ABORTED, f"Index build aborted: '{index.name}': {reason}"
    )


def _take_in(index: Index, c: Collection, rid: int) -> None:
    record = c.records.get(rid)
    if record is None:
        return
    assert index.conflicts is not None
    assert index.skipped is not None
    try:
        keys, paths = index.keys_and_paths(record.peek())
    except MongoError:
        index.skipped[rid] = None
        return
    if index.unique:
        held = index.conflict(keys, rid)
        if held is not None:
            index.conflicts[held] = None
    index.note_paths(paths)
    index.add(keys, rid)


def check_finished(c: Collection, index: Index) -> None:
    """Raise what would make the finished index wrong: 11000, 171, 16766.

    The caller has the collection exclusively.
    """
    for rid in index.skipped or ():
        record = c.records.get(rid)
        if record is not None:
            keys, paths = index.keys_and_paths(record.document())
            index.note_paths(paths)
            index.add(keys, rid)
    for key in index.conflicts or ():
        held = index.scan(key, key, limit=2)
        if len(held) > 1:
            raise duplicate_key_error(c.ns, index, c.records[held[1][1]].document())
    index.conflicts = index.skipped = None


def abandon(c: Collection, index: Index) -> None:
    """Take an index off the list of those under construction, finished or not."""
    if c.building.get(index.name) is index:
        del c.building[index.name]
        c.index_list_changed()
    index.finished.open()
