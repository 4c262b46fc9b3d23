"""The log on disk: group commit on one thread, rotation, reading back, removal of the old.

Everything appended in one turn of the loop (and while a write is on its way) goes out as one
write and one `fdatasync`, beginning with a local line that names the last durable index. A
failure of either is final: the journal takes nothing more, and whoever waits is told.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from psdb_base.errors import Code, MongoError
from psdb_base.world import DiskFile, World
from psdb_store.failures import StorageDamagedError, disk_failure
from psdb_store.gate import Gate
from psdb_store.lines import is_sound, line_hash, seal
from psdb_store.options import StoreOptions
from psdb_store.segments import (
    Position,
    Segment,
    entry_index,
    entry_previous,
    entry_term,
    header_line,
    local_line,
    segment_name,
)

THREAD: Final = "journal"
READ_THREAD: Final = "journal-read"
"""Readers of the log's past do not delay its writes."""
_VERIFY_ENTRIES: Final = 10_000
_VERIFY_BLOCK_BYTES: Final = 1024 * 1024
_VERIFY_SLICE: Final = 1000
"""Entries between two turns of the loop."""


class Journal:
    """The segments of one log; made by `recovery.open_journal`.

    Attributes:
        end: Position of the last entry appended, durable or not.
        durable: Position of the last entry that is on disk.
        failure: The final error, None while all is well.
        on_durable: Called after each write with the new durable position set.
        on_failure: Called once when a write failed.
        options: Settings; replaced when they change.
        commit: Tells the commit index, for local lines.

    """

    def __init__(
        self,
        world: World,
        folder: str,
        options: StoreOptions,
        segments: list[Segment],
        file: DiskFile,
        end: Position,
    ) -> None:
        self._disk = world.disk
        self._clock = world.clock
        self._folder = folder
        self.options = options
        self.segments = segments
        self._file = file
        self.end = end
        self.durable = end
        self.failure: MongoError | None = None
        self.on_durable: Callable[[], None] = _nothing
        self.on_failure: Callable[[MongoError], None] = _ignore
        self.commit: Callable[[], int] = lambda: 0
        self._pending: list[bytes] = []
        self._pending_first = 0
        self._scheduled = False
        self._writing: asyncio.Future[DiskFile] | None = None
        self._written_gate = Gate()
        self._noted = -1  # durable index that the last local line names
        self._quiet: asyncio.TimerHandle | None = None
        self._writes = 0
        self._recent: deque[tuple[int, bytes]] = deque()
        self._recent_bytes = 0

    # -- appending -----------------------------------------------------------------------------

    def append(self, term: int, rest: bytes) -> bytes:
        """Take in one entry: `rest` are its fields from `"index":` on, up to `previous`.

        Returns the line, without newline. The index must be `end.index + 1`.
        """
        if self.failure is not None:
            raise self.failure
        index = self.end.index + 1
        line = seal(b'%b,"previous":"%b"}' % (rest, self.end.hash.encode()))
        bare = line[:-1]
        self._take_in(index, term, line, bare)
        return bare

    def receive(self, bare: bytes) -> None:
        """Take in a line (without newline) that another member made, as it is.

        Raises MongoError 96 for a line that is damaged or does not continue this log.
        """
        if self.failure is not None:
            raise self.failure
        index = self.end.index + 1
        if not is_sound(bare) or entry_index(bare) != index:
            raise MongoError(Code.OPERATION_FAILED, f"this is not the line of entry {index}")
        if entry_previous(bare) != self.end.hash:
            raise MongoError(Code.OPERATION_FAILED, f"entry {index} is of another history")
        self._take_in(index, entry_term(bare), bare + b"\n", bare)

    def _take_in(self, index: int, term: int, line: bytes, bare: bytes) -> None:
        self.end = Position(index, term, line_hash(bare))
        if not self._pending:
            self._pending_first = index
        self._pending.append(line)
        self._remember(index, bare)
        if not self._scheduled and self._writing is None:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _remember(self, index: int, line: bytes) -> None:
        self._recent.append((index, line))
        self._recent_bytes += len(line)
        while self._recent_bytes > self.options.recent_bytes:
            self._recent_bytes -= len(self._recent.popleft()[1])

    def _flush(self) -> None:
        self._scheduled = False
        if self._pending and self.failure is None:
            lines, self._pending = self._pending, []
            self._write(lines, self._pending_first, self.end)

    def flush_here(self) -> None:
        """Write what is pending on the loop's own thread, if that cannot take long."""
        if self._pending and self._writing is None and self._disk.is_quick(THREAD):
            lines, self._pending = self._pending, []
            end = self.end
            work = self._prepare(lines, self._pending_first)
            try:
                self._file = self._disk.here(THREAD, work)
            except OSError as error:
                self._fail(error)
            else:
                self._reached(end)

    def _write(self, lines: list[bytes], first: int, end: Position) -> None:
        """Send one batch to the thread; `lines` may be empty for a local line alone."""
        work = self._prepare(lines, first)
        self._writing = asyncio.ensure_future(self._disk.submit(THREAD, work))
        self._writing.add_done_callback(lambda future: self._written(future, end))

    def _prepare(self, lines: list[bytes], first: int) -> Callable[[], DiskFile]:
        """Return the work that writes one batch, in a new segment when the last is full."""
        segment = self.segments[-1]
        fresh: Segment | None = None
        full = segment.size >= self.options.segment_limit_bytes
        if lines and full and segment.before.index < self.durable.index:
            fresh = self._next_segment(segment)
            segment = fresh
        note = local_line(self.durable.index, self.commit())
        head = header_line(fresh) if fresh is not None else b""
        offset = segment.size + len(head) + len(note)
        for index, line in enumerate(lines, first):
            segment.mark(index, offset)
            offset += len(line)
        segment.size = offset
        data = b"".join((note, *lines))
        self._noted = self.durable.index
        self._writes += 1
        path = f"{self._folder}/{segment.name}"
        file, disk, folder = self._file, self._disk, self._folder

        def work() -> DiskFile:
            target = file
            if head:
                target = disk.open(path)
                if target.size():
                    target.truncate(0)
                target.write(head)
            target.write(data)
            target.fdatasync()
            if head:
                disk.fsync_dir(folder)
                file.close()
            return target

        if fresh is not None:
            self.segments.append(fresh)
        return work

    def _next_segment(self, segment: Segment) -> Segment:
        name = segment_name(self.durable.index + 1)
        return Segment(name, self.durable, segment.name[:16], self._clock.now_ms())

    def _written(self, future: asyncio.Future[DiskFile], end: Position) -> None:
        self._writing = None
        gate, self._written_gate = self._written_gate, Gate()
        gate.open()
        error = None if future.cancelled() else future.exception()
        if future.cancelled() or error is not None:
            self._fail(error or asyncio.CancelledError())
            return
        self._file = future.result()
        self._reached(end)

    def _reached(self, end: Position) -> None:
        """Everything up to `end` is on disk."""
        self.durable = end
        if self._pending:
            self._flush()
        elif self._quiet is None:
            self._watch_quiet()
        self.on_durable()

    def _fail(self, error: BaseException) -> None:
        if self.failure is None:
            self.failure = disk_failure(error, "the journal")
            self._pending.clear()
            if self._quiet is not None:
                self._quiet.cancel()
                self._quiet = None
            self.on_failure(self.failure)

    # -- quiet ---------------------------------------------------------------------------------

    def _watch_quiet(self) -> None:
        loop = asyncio.get_running_loop()
        self._quiet = loop.call_later(self.options.quiet_seconds, self._on_quiet, self._writes)

    def _on_quiet(self, writes: int) -> None:
        self._quiet = None
        if self.failure is not None or self._writing is not None or self._scheduled:
            return
        if writes != self._writes:
            self._watch_quiet()
        elif self._noted < self.durable.index:
            self._write([], 0, self.durable)

    async def settle(self) -> None:
        """Wait until nothing is on its way to the disk and the durable index is noted."""
        while self.failure is None:
            if self._writing is not None:
                await self._written_gate
            elif self._pending:
                self._flush()
            elif self._noted < self.durable.index:
                self._write([], 0, self.durable)
            else:
                return

    async def close(self) -> None:
        """Write what is pending, note the durable index, close the file."""
        await self.settle()
        if self._quiet is not None:
            self._quiet.cancel()
            self._quiet = None
        self._file.close()

    # -- cutting ---------------------------------------------------------------------------------

    async def cut(self, end: Position) -> None:
        """Remove all entries above `end`, written or not. The caller appends nothing meanwhile."""
        self.end = end
        del self._pending[max(0, end.index + 1 - self._pending_first) :]
        while self._recent and self._recent[-1][0] > end.index:
            self._recent_bytes -= len(self._recent.pop()[1])
        await self.settle()
        if self.failure is not None or self.durable.index <= end.index:
            return
        while self.segments[-1].before.index > end.index:
            gone = self.segments.pop()
            await self._disk.submit(THREAD, self._last_remover(gone.name))
        segment = self.segments[-1]
        segment.size = await self._offset_of(segment, end.index + 1)
        segment.marks = [mark for mark in segment.marks if mark[0] <= end.index]
        path, size = f"{self._folder}/{segment.name}", segment.size

        def work() -> DiskFile:
            self._file.close()
            file = self._disk.open(path)
            file.truncate(size)
            file.fdatasync()
            return file

        try:
            self._file = await self._disk.submit(THREAD, work)
        except OSError as error:
            self._fail(error)
            return
        self.durable, self._noted = end, -1

    async def _offset_of(self, segment: Segment, index: int) -> int:
        """Return where an entry's line begins in its segment; its end when there is no such."""
        path = f"{self._folder}/{segment.name}"
        data = await self._disk.submit(THREAD, lambda: self._disk.read(path))
        offset = 0
        for line in data[: segment.size].split(b"\n"):
            if entry_index(line) == index:
                return offset
            offset += len(line) + 1
        return segment.size

    def _last_remover(self, name: str) -> Callable[[], None]:
        """Remove the newest segment for good, before the one before it or anything else is touched.

        One that came back would continue another log, or leave a gap behind it.
        """

        def work() -> None:
            self._disk.remove(f"{self._folder}/{name}")
            self._disk.fsync_dir(self._folder)

        return work

    def _remover(self, name: str) -> Callable[[], None]:
        return lambda: self._disk.remove(f"{self._folder}/{name}")

    # -- reading and removing --------------------------------------------------------------------

    @property
    def first_index(self) -> int:
        """Index of the oldest entry kept."""
        return self.segments[0].before.index + 1

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size for segment in self.segments)

    def recent(self, after: int, up_to: int) -> list[bytes] | None:
        """Return the lines above `after` up to `up_to` if they are in memory, None if not."""
        first = self._recent[0][0] if self._recent else self.end.index + 1
        if first > after + 1:
            return None
        recent = self._recent
        return [recent[at - first][1] for at in range(after + 1, up_to + 1)]

    async def read(self, after: int, limit: int, up_to: int) -> list[bytes]:
        """Return at most `limit` entry lines above `after`, none above `up_to`.

        The caller made sure that `after + 1 >= first_index`.
        """
        up_to = min(up_to, after + limit)
        recent = self.recent(after, up_to)
        if recent is not None:
            return recent
        lines: list[bytes] = []
        while after < up_to:
            segment = self._segment_of(after + 1)
            found = await self._read_segment(segment, after, up_to)
            if not found:
                break
            lines += found
            after += len(found)
        return lines

    async def verify_chain(self) -> None:
        """Read all durable entries; StorageDamagedError where one does not follow its predecessor.

        The caller keeps the segments from being removed meanwhile.
        """
        before = self.segments[0].before
        after, link = before.index, before.hash
        end = self.durable.index
        while after < end:
            upto = min(end, after + _VERIFY_ENTRIES)
            segment = self._segment_of(after + 1)
            lines = await self._read_segment(segment, after, upto, _VERIFY_BLOCK_BYTES)
            path = f"{self._folder}/{segment.name}"
            if not lines:
                raise StorageDamagedError(path, 0, f"entry {after + 1} is missing")
            for number, line in enumerate(lines):
                after += 1
                if entry_previous(line) != link:
                    raise StorageDamagedError(
                        path, 0, f"entry {after} does not continue the chain of hashes"
                    )
                link = line_hash(line)
                if not (number + 1) % _VERIFY_SLICE:
                    await asyncio.sleep(0)

    def _segment_of(self, index: int) -> Segment:
        for segment in reversed(self.segments):
            if segment.before.index < index:
                return segment
        raise AssertionError(f"entry {index} is older than the log")

    async def _read_segment(
        self, segment: Segment, after: int, up_to: int, block_bytes: int = 0
    ) -> list[bytes]:
        path = f"{self._folder}/{segment.name}"
        offset = segment.offset_before(after + 1)
        rest = b""
        lines: list[bytes] = []
        while offset < segment.size:
            block = await self._disk.submit(READ_THREAD, self._reader(path, offset, block_bytes))
            pieces = (rest + block).split(b"\n")
            start = offset - len(rest)
            rest = pieces.pop()
            for line in pieces:
                if not is_sound(line):
                    raise StorageDamagedError(path, 0, f"damage at byte {start}")
                index = entry_index(line)
                if index:
                    segment.mark(index, start)
                    if after < index <= up_to:
                        lines.append(line)
                start += len(line) + 1
            offset += len(block)
            if not block or (lines and entry_index(lines[-1]) == up_to):
                break
        return lines

    def _reader(self, path: str, offset: int, block_bytes: int) -> Callable[[], bytes]:
        size = block_bytes or self.options.block_bytes

        def work() -> bytes:
            file = self._disk.open(path)
            try:
                return file.read_at(offset, size)
            finally:
                file.close()

        return work

    async def trim(self, checkpointed: int, needed_after: int) -> None:
        """Remove segments that are checkpointed, outside the window and needed by nobody.

        Args:
            checkpointed: Index of the manifest.
            needed_after: Entries above this index are pinned by a reader or transfer.

        """
        kept = self.size_bytes
        bound = min(checkpointed, needed_after)
        horizon_ms = self._clock.now_ms() - self.options.oplog_retention_ms
        gone: list[Segment] = []
        while len(self.segments) > 1 and kept > self.options.oplog_bytes:
            oldest, following = self.segments[0], self.segments[1]
            if following.before.index > bound or following.wall_ms > horizon_ms:
                break
            kept -= oldest.size
            gone.append(self.segments.pop(0))
        for segment in gone:
            await self._disk.submit(THREAD, self._remover(segment.name))


def _nothing() -> None:
    """Stand in for a callback not yet set."""


def _ignore(_: MongoError) -> None:
    """Stand in for a callback not yet set."""
