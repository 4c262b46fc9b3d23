"""Reading the documents of a range of keys, for migration, deletion, sizes and split points."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from psdb_base.shard_keys import KeyPattern
from psdb_store.collection import Collection
from psdb_store.record import Record

_SLICE: Final = 256


def shard_index(collection: Collection, pattern: KeyPattern) -> Any:
    """Return an index that has the shard key's keys in their order, None without one."""
    for index in collection.indexes.values():
        if (
            pattern.is_prefix_of(index.key_pattern) and index.partial is None and not index.sparse
            and "collation" not in index.spec and "collation" not in collection.options
            and all(index.key_pattern[name] != -1 for name in pattern.names)
            and not index.multikey
        ):
            return index
    return None


async def records_in(
    collection: Collection, pattern: KeyPattern, low: bytes, high: bytes,
    pause: Callable[[int], Any],
) -> AsyncIterator[list[Record]]:
    """Give the records of a range as they are now, in order of the key where an index has it.

    Between two batches documents may change: what is inserted behind the place reached is seen,
    what is inserted before it is not.
    """
    index = shard_index(collection, pattern)
    if index is None:
        async for batch in _by_scan(collection, pattern, low, high, pause):
            yield batch
        return
    after: tuple[bytes, int] | None = None
    while True:
        found = index.scan(low, high, high_inclusive=False, after=after, limit=_SLICE)
        if not found:
            return
        after = found[-1]
        records = [collection.get(rid) for _key, rid in found]
        yield [record for record in records if record is not None]
        await pause(len(found))


async def _by_scan(
    collection: Collection, pattern: KeyPattern, low: bytes, high: bytes,
    pause: Callable[[int], Any],
) -> AsyncIterator[list[Record]]:
    after: int | None = None
    while True:
        records = collection.scan(after, _SLICE)
        if not records:
            return
        after = records[-1].rid
        found = [record for record in records if low <= pattern.key(record.document()) < high]
        if found:
            yield found
        await pause(len(records))


async def split_points(
    collection: Collection, pattern: KeyPattern, low: bytes, high: bytes, *,
    bytes_max: int, documents_max: int | None, points_max: int | None,
    pause: Callable[[int], Any],
) -> list[Any]:
    """Return bounds that cut a range into parts of at most so many bytes and documents each."""
    points: list[Any] = []
    size = count = 0
    last: bytes | None = None
    async for records in records_in(collection, pattern, low, high, pause):
        for record in records:
            document = record.document()
            key = pattern.key(document)
            full = size >= bytes_max or (documents_max is not None and count >= documents_max)
            if full and key != last:
                points.append(pattern.bound(document))
                size = count = 0
                if points_max is not None and len(points) >= points_max:
                    return points
            size += len(record.raw)
            count += 1
            last = key
    return points


async def size_of(
    collection: Collection, pattern: KeyPattern, low: bytes, high: bytes,
    pause: Callable[[int], Any], *, enough: int | None = None,
) -> tuple[int, int]:
    """Return bytes and number of the documents of a range, counting no further than `enough`."""
    size = count = 0
    async for records in records_in(collection, pattern, low, high, pause):
        size += sum(len(record.raw) for record in records)
        count += len(records)
        if enough is not None and size > enough:
            break
    return size, count
