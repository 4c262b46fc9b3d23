"""One cursor over the cursors of several shards.

All of them are opened under one version of the routing before anything is returned; a shard
that says it is stale ends all, and the operation begins anew. Then the next batch of each is
asked for while the last one is given out.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from bson.int64 import Int64

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.limits import FIRST_BATCH_COUNT, REPLY_BATCH_BYTES_MAX
from psdb_base.shard_versions import Routed
from psdb_base.values import Document
from psdb_server.operations import Operation
from router.requests import read_batch, send
from router.shards import Shard

if TYPE_CHECKING:
    from psdb_wire.connection import Connection

Key = Callable[[Document], Any]
_UNREACHABLE: Final = frozenset({
    int(Code.HOST_UNREACHABLE), int(Code.HOST_NOT_FOUND), int(Code.NETWORK_TIMEOUT),
    int(Code.FAILED_TO_SATISFY_READ_PREFERENCE),
})


class Stream:
    """The documents of one shard's cursor."""

    def __init__(
        self, connection: Connection, channel: Shard, db: str, collection: str,
        cursor_id: int, batch: list[bytes], generic: Document,
    ) -> None:
        self._connection = connection
        self._channel = channel
        self._db = db
        self._collection = collection
        self._generic = {
            name: value for name, value in generic.items()
            if name not in ("maxTimeMS", "readConcern", "$readPreference")
        }
        self.cursor_id = cursor_id
        self.batch = deque(batch)
        self._next: asyncio.Task[bytes] | None = None

    @property
    def at_end(self) -> bool:
        """Nothing is left."""
        return not self.batch and not self.cursor_id

    def ask(self) -> None:
        """Have the next batch sent, if there is one and it was not asked for."""
        if self.cursor_id and self._next is None:
            command: Document = {
                "getMore": Int64(self.cursor_id), "collection": self._collection, **self._generic,
            }
            work = send(self._channel, self._connection, self._db, command)
            self._next = asyncio.get_running_loop().create_task(work)

    async def fill(self) -> None:
        """Wait until a document is there, or the end."""
        while not self.batch and self.cursor_id:
            self.ask()
            asked = self._next
            assert asked is not None
            try:
                body = await asyncio.shield(asked)
            except asyncio.CancelledError:
                asked.cancel()  # nobody wants the batch any more: the shard shall stop
                raise
            finally:
                if asked.done() and self._next is asked:
                    self._next = None
            try:
                self.cursor_id, batch = read_batch(body)
            except MongoError:
                self.cursor_id = 0
                raise
            self.batch.extend(batch)

    async def close(self) -> None:
        """Close the shard's cursor, which ends a getMore that is under way there."""
        cursor_id, self.cursor_id = self.cursor_id, 0
        if cursor_id:
            with suppress(MongoError):  # it times out there
                await self._channel.command(
                    self._db, {"killCursors": self._collection, "cursors": [Int64(cursor_id)]}
                )
        asked = self._next
        if asked is not None:
            await asyncio.gather(asked, return_exceptions=True)
            if self._next is asked:
                self._next = None


async def open_streams(
    connection: Connection, db: str, command: Document,
    targets: list[tuple[Shard, Routed | None]], *, partial: bool = False,
) -> tuple[list[Stream], bool]:
    """Open a cursor on each target; all or none.

    Args:
        connection: The client's.
        db: The database.
        command: A find or aggregate.
        targets: Ways to the shards and what the requests rely on.
        partial: Leave out shards that cannot be reached.

    Returns:
        The streams in order of the targets, and whether some were left out.

    """
    loop = asyncio.get_running_loop()
    requests = [
        loop.create_task(send(channel, connection, db, command, routed))
        for channel, routed in targets
    ]
    try:
        bodies = await asyncio.gather(*requests, return_exceptions=True)
    except asyncio.CancelledError:
        bodies = await asyncio.gather(*requests, return_exceptions=True)
        for stream in _streams(connection, db, command, targets, bodies)[0]:
            await stream.close()
        raise
    streams, errors = _streams(connection, db, command, targets, bodies)
    missing = [error for error in errors if partial and _is_unreachable(error)]
    if len(missing) < len(errors):
        for stream in streams:
            await stream.close()
        raise next(error for error in errors if error not in missing)
    return streams, bool(missing)


def _is_unreachable(error: BaseException) -> bool:
    return isinstance(error, MongoError) and error.code in _UNREACHABLE


def _streams(
    connection: Connection, db: str, command: Document,
    targets: list[tuple[Shard, Routed | None]], bodies: list[bytes | BaseException],
) -> tuple[list[Stream], list[BaseException]]:
    """Return the streams of the replies that are cursors, and the errors of the others."""
    generic: Document = {name: command[name] for name in ("lsid", "apiVersion") if name in command}
    name = next(iter(command.values()))
    collection = name if type(name) is str else "$cmd.aggregate"
    streams: list[Stream] = []
    errors: list[BaseException] = []
    for (channel, _routed), body in zip(targets, bodies, strict=True):
        try:
            if isinstance(body, BaseException):
                raise body
            cursor_id, batch = read_batch(body)
        except (MongoError, asyncio.CancelledError) as error:
            errors.append(error)
            continue
        streams.append(Stream(connection, channel, db, collection, cursor_id, batch, generic))
    return streams, errors


class MergedSource:
    """A cursor's source over several streams.

    Args:
        streams: Those of the shards.
        key: Gives the sort key of a document; None for any order.
        skip: Documents to leave out first.
        limit: Documents to give at most; 0 for all.
        shape: What is made of each document at the end, None for nothing.
        partial: Leave out shards that cannot be reached (any more).

    Attributes:
        missing: Some were left out.

    """

    def __init__(
        self, streams: list[Stream], *, key: Key | None = None, skip: int = 0, limit: int = 0,
        shape: Callable[[Document], Document] | None = None, partial: bool = False,
    ) -> None:
        self._partial = partial
        self.missing = False
        self._streams = streams
        self._key = key
        self._skip = skip
        self._left = limit or None
        self._shape = shape
        self._heap: list[tuple[Any, int, bytes]] | None = None
        self.exhausted = False

    async def fetch(self, op: Operation, count: int) -> list[bytes]:
        """Return up to `count` documents, fewer when they are many bytes."""
        found: list[bytes] = []
        size = 0
        wanted = count or FIRST_BATCH_COUNT
        if self._left is not None:
            wanted = min(wanted, self._left)
        while len(found) < wanted and size < REPLY_BATCH_BYTES_MAX:
            op.check()
            raw = await self._next()
            if raw is None:
                self.exhausted = True
                break
            if self._skip:
                self._skip -= 1
                continue
            if self._shape is not None:
                raw = bson_codec.encode(self._shape(bson_codec.decode(raw)))
            found.append(raw)
            size += len(raw)
            await op.checkpoint(1)
        if self._left is not None:
            self._left -= len(found)
            if not self._left:
                await self.close()
        for stream in self._streams:
            if not stream.batch:
                stream.ask()
        return found

    async def _next(self) -> bytes | None:
        if self._key is None:
            return await self._any()
        if self._heap is None:
            self._heap = []
            for number in range(len(self._streams)):
                await self._push(number)
        if not self._heap:
            return None
        _key, number, raw = heapq.heappop(self._heap)
        await self._push(number)
        return raw

    async def _push(self, number: int) -> None:
        stream = self._streams[number]
        await self._fill(stream)
        if stream.batch:
            raw = stream.batch.popleft()
            assert self._key is not None
            assert self._heap is not None
            heapq.heappush(self._heap, (self._key(bson_codec.decode(raw)), number, raw))

    async def _any(self) -> bytes | None:
        """Return a document of the first stream that has one; wait when none has."""
        open_streams = [stream for stream in self._streams if not stream.at_end]
        for stream in open_streams:
            if stream.batch:
                return stream.batch.popleft()
        for stream in open_streams:
            stream.ask()
        for stream in open_streams:
            await self._fill(stream)
            if stream.batch:
                return stream.batch.popleft()
        return None

    async def _fill(self, stream: Stream) -> None:
        try:
            await stream.fill()
        except MongoError as error:
            if not self._partial or not _is_unreachable(error):
                raise
            stream.cursor_id = 0
            self.missing = True

    async def close(self) -> None:
        """Close all cursors."""
        self.exhausted = True
        for stream in self._streams:
            await stream.close()
