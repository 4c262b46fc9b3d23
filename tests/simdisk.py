"""A simulated disk in memory that forgets what was not synced, fails, fills, hangs and lies.

What it models, and what a real disk may do after a power cut:

- bytes written but not `fdatasync`ed may be gone, torn at any byte, or zero in places
  (pages reach the platter in any order);
- a truncation not synced may be undone;
- names (create, rename, remove) not made durable by `fsync_dir` may be kept or lost, each on
  its own; a rename happens whole or not at all;
- after a failed `fdatasync` the unsynced bytes are never written, even if a later sync succeeds.

`crash(rng)` draws one possible state; the disk itself goes on unharmed, so that one run can be
cut at many points. Nothing here starts a thread: `submit` runs the work by a timer of the loop.
"""

from __future__ import annotations

import asyncio
import errno
import posixpath
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")
Fault = Callable[[str, str], None]
"""Called with (operation, path) before each operation; raises OSError to make it fail."""

_SECTOR_BYTES = 64
"""Unit of reordering: much smaller than real ones, so that small files are torn as well."""


class _Inode:
    """A file's bytes now, and those that survive a power cut."""

    __slots__ = ("data", "durable", "low")

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.durable = bytearray(data)
        self.low: int | None = None  # first byte that may differ from the durable ones

    def touch(self, offset: int) -> None:
        self.low = offset if self.low is None else min(self.low, offset)

    def sync(self) -> None:
        if self.low is not None:
            del self.durable[self.low :]
            if len(self.durable) < self.low:  # an earlier sync failed: its bytes are lost
                self.durable += bytes(self.low - len(self.durable))
            self.durable += self.data[self.low :]
            self.low = None

    def after_crash(self, rng: random.Random) -> _Inode:
        if self.low is None or rng.random() < 0.25:
            return _Inode(bytes(self.durable))
        if rng.random() < 0.25:
            return _Inode(bytes(self.data))
        if len(self.data) <= self.low:  # only a truncation is pending
            return _Inode(bytes(rng.choice((self.data, self.durable))))
        size = rng.randint(self.low, len(self.data))
        image = bytearray(self.data[:size])
        if rng.random() < 0.5:
            for start in range(self.low, size, _SECTOR_BYTES):
                if rng.random() < 0.2:
                    end = min(start + _SECTOR_BYTES, size)
                    image[start:end] = bytes(end - start)
        return _Inode(bytes(image))


class SimFile:
    """An open file of a `SimDisk`."""

    def __init__(self, disk: SimDisk, path: str, inode: _Inode) -> None:
        self._disk = disk
        self._path = path
        self._inode = inode
        self._closed = False

    def write(self, data: bytes) -> None:
        self._check()
        self._disk.note("write", self._path, len(data))
        room = self._disk.take_room(len(data))
        self._inode.touch(len(self._inode.data))
        self._inode.data += data[:room]
        if room < len(data):
            raise OSError(errno.ENOSPC, "No space left on device", self._path)

    def fdatasync(self) -> None:
        self._check()
        try:
            self._disk.note("fdatasync", self._path)
        except OSError:
            if not self._disk.dead:
                self._inode.low = None  # the kernel forgets which pages were dirty
            raise
        if not self._disk.lies("fdatasync", self._path):
            self._inode.sync()

    def truncate(self, size_bytes: int) -> None:
        self._check()
        self._disk.note("truncate", self._path, size_bytes)
        if size_bytes < len(self._inode.data):
            self._inode.touch(size_bytes)
            del self._inode.data[size_bytes:]

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        self._check()
        if self._disk.on_read is not None:
            self._disk.on_read(self._path, size_bytes)
        return bytes(self._inode.data[offset : offset + size_bytes])

    def size(self) -> int:
        self._check()
        return len(self._inode.data)

    def close(self) -> None:
        self._closed = True

    def _check(self) -> None:
        if self._closed:
            raise ValueError("I/O operation on closed file")


class SimDisk:
    """`psdb_base.world.Disk` in memory.

    Attributes:
        trace: Every operation that changes the disk, as (operation, path, size or None).
        before: Called with (operation, path) before each of them; may raise OSError.
        on_read: Called with (path, size) before an open file is read; may raise OSError.
        lies: Tells whether a sync of this path shall do nothing and report success.
        room_bytes: How many more bytes may be written before the disk is full; None: endless.
        delay_seconds: Longest time a submitted work waits.
        dead: The process was killed.

    """

    def __init__(self, seed: int = 0) -> None:
        self.trace: list[tuple[str, str, int | None]] = []
        self.before: Fault | None = None
        self.on_read: Callable[[str, int], None] | None = None
        self.lies: Callable[[str, str], bool] = lambda operation, path: False
        self.room_bytes: int | None = None
        self.delay_seconds = 0.0005
        self.hung: dict[str, bool] = {}
        self._random = random.Random(seed)
        self._names: dict[str, _Inode | None] = {"/": None}  # None is a folder
        self._durable: dict[str, _Inode | None] = {"/": None}
        self._pending: list[tuple[str, str, str, _Inode | None]] = []
        self._locks: dict[str, bool] = {}
        self._jobs: dict[str, deque[Callable[[], None]]] = {}
        self.dead = False
        self._disarmed: list[Fault | None] = []

    # -- faults --------------------------------------------------------------------------------

    def note(self, operation: str, path: str, size: int | None = None) -> None:
        """Record an operation and let the fault hook have its say first."""
        if self.before is not None:
            self.before(operation, path)
        self.trace.append((operation, path, size))

    def fail_at(self, nth: int, number: int = errno.EIO) -> None:
        """Make the nth operation from now (0 is the next) and all later ones fail."""
        left = nth

        def fault(operation: str, path: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError(number, "injected", path)

        self.before = fault

    def take_room(self, size: int) -> int:
        """Return how many of `size` bytes fit on the disk."""
        if self.room_bytes is None:
            return size
        room = min(size, self.room_bytes)
        self.room_bytes -= room
        return room

    def crash(self, rng: random.Random) -> SimDisk:
        """Return a disk as it may look after a power cut now."""
        names = dict(self._durable)
        for operation, source, target, inode in self._pending:
            if rng.random() < 0.5:
                _apply(names, operation, source, target, inode)
        return self._image(names, lambda inode: inode.after_crash(rng))

    def kill(self) -> SimDisk:
        """Return the disk as the next process finds it; this object is dead from now on.

        What was written is there but is no more durable than it was.
        """
        successor = SimDisk(self._random.getrandbits(32))
        successor._names, successor._durable = self._names, self._durable
        successor._pending = self._pending
        successor.trace, successor.lies = self.trace, self.lies
        successor.before = self._disarmed[0] if self._disarmed else self.before
        self.dead = True
        self.hung = dict.fromkeys(self._jobs, True)
        return successor

    def kill_at(self, nth: int) -> list[SimDisk]:
        """Kill the process before the nth operation from now; return where its successor appears.

        The list is empty until then. The operation and all later ones of this process fail.
        """
        successors: list[SimDisk] = []
        earlier = self.before
        self._disarmed = [earlier]

        def fault(operation: str, path: str) -> None:
            nonlocal nth
            nth -= 1
            if nth == 0:
                successors.append(self.kill())
            if nth <= 0:
                raise OSError(errno.EIO, "the process was killed", path)
            if earlier is not None:
                earlier(operation, path)

        self.before = fault
        return successors

    def copy(self) -> SimDisk:
        """Return a disk with all that was written, synced or not (a process killed)."""
        return self._image(self._names, lambda inode: _Inode(bytes(inode.data)))

    def _image(
        self, names: dict[str, _Inode | None], make: Callable[[_Inode], _Inode]
    ) -> SimDisk:
        image = SimDisk(self._random.getrandbits(32))
        for path in sorted(names):
            inode = names[path]
            if path == "/" or posixpath.dirname(path) in image._names:
                image._names[path] = None if inode is None else make(inode)
        image._durable = dict(image._names)
        return image

    # -- the port ------------------------------------------------------------------------------

    def open(self, path: str) -> SimFile:
        if path not in self._names:
            self._need_folder(path)
            self.note("create", path)
            self._change("create", path, path, _Inode())
        inode = self._names[path]
        if inode is None:
            raise IsADirectoryError(errno.EISDIR, "Is a directory", path)
        return SimFile(self, path, inode)

    def open_nameless(self) -> SimFile:
        return SimFile(self, "(nameless)", _Inode())

    def read(self, path: str) -> bytes:
        return bytes(self._inode(path).data)

    def exists(self, path: str) -> bool:
        return path in self._names

    def list(self, path: str) -> list[str]:
        start = path.rstrip("/") + "/"
        size = len(start)
        return sorted(
            name[size:]
            for name in self._names
            if name.startswith(start) and name != "/" and "/" not in name[size:]
        )

    def make_dirs(self, path: str) -> None:
        missing: list[str] = []
        while path not in self._names:
            missing.append(path)
            path = posixpath.dirname(path)
        for name in reversed(missing):
            self.note("mkdir", name)
            self._change("create", name, name, None)

    def remove(self, path: str) -> None:
        self._inode(path)
        self.note("remove", path)
        self._change("remove", path, path, None)

    def remove_dir(self, path: str) -> None:
        if self.list(path):
            raise OSError(errno.ENOTEMPTY, "Directory not empty", path)
        self.note("rmdir", path)
        self._change("remove", path, path, None)

    def rename(self, source: str, target: str) -> None:
        inode = self._inode(source)
        self.note("rename", f"{source} -> {target}")
        self._change("rename", source, target, inode)

    def fsync_dir(self, path: str) -> None:
        if path not in self._names:
            raise FileNotFoundError(errno.ENOENT, "No such directory", path)
        self.note("fsync_dir", path)
        if self.lies("fsync_dir", path):
            return
        kept: list[tuple[str, str, str, _Inode | None]] = []
        for change in self._pending:
            if posixpath.dirname(change[2]) == path:
                _apply(self._durable, *change)
            else:
                kept.append(change)
        self._pending = kept

    def space(self, path: str) -> tuple[int, int]:
        """Tell of an empty disk of one terabyte."""
        return 0, 2**40

    def refresh(self, path: str) -> None:
        self.open(path).fdatasync()
        inode = self._inode(path)
        if inode.low is None:  # dirty pages are not dropped
            inode.data = bytearray(inode.durable)

    def lock(self, path: str) -> Callable[[], None]:
        if self._locks.get(path):
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable", path)
        self.open(path)
        self._locks[path] = True

        def release() -> None:
            self._locks[path] = False

        return release

    def submit(self, thread: str, work: Callable[[], T]) -> Awaitable[T]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if self.dead:
            return future  # never done: its process is gone

        def run() -> None:
            try:
                result = work()
            except BaseException as error:
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(result)

        jobs = self._jobs.setdefault(thread, deque())
        jobs.append(run)
        if len(jobs) == 1:
            self._later(loop, thread)
        return future

    def is_quick(self, thread: str) -> bool:
        """Every second time, so that both ways of writing are simulated."""
        idle = not (self.dead or self.hung.get(thread) or self._jobs.get(thread))
        return idle and self._random.random() < 0.5

    def here(self, thread: str, work: Callable[[], T]) -> T:
        return work()

    def release(self, thread: str) -> None:
        """Let a thread that was hung by `hung[thread] = True` go on."""
        self.hung[thread] = False
        if self._jobs.get(thread):
            self._later(asyncio.get_running_loop(), thread)

    # -- insides -------------------------------------------------------------------------------

    def _later(self, loop: asyncio.AbstractEventLoop, thread: str) -> None:
        loop.call_later(self._random.random() * self.delay_seconds, self._next, loop, thread)

    def _next(self, loop: asyncio.AbstractEventLoop, thread: str) -> None:
        if self.dead or self.hung.get(thread):
            return
        jobs = self._jobs[thread]
        if not jobs:
            return  # released before its hanging was noticed: another timer did the work
        jobs[0]()
        jobs.popleft()
        if jobs:
            self._later(loop, thread)

    def _inode(self, path: str) -> _Inode:
        inode = self._names.get(path)
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        return inode

    def _need_folder(self, path: str) -> None:
        if self._names.get(posixpath.dirname(path), 0) is not None:
            raise FileNotFoundError(errno.ENOENT, "No such directory", path)

    def _change(self, operation: str, source: str, target: str, inode: _Inode | None) -> None:
        _apply(self._names, operation, source, target, inode)
        self._pending.append((operation, source, target, inode))

    def put(self, path: str, data: bytes) -> None:
        """Set a file's durable content from outside (tests that damage files)."""
        self._names[path] = self._durable[path] = _Inode(data)

    def files(self) -> dict[str, bytes]:
        """Return every file's content by path, sorted."""
        return {
            path: bytes(inode.data)
            for path, inode in sorted(self._names.items(), key=lambda item: item[0])
            if inode is not None
        }


def _apply(
    names: dict[str, Any], operation: str, source: str, target: str, inode: _Inode | None
) -> None:
    if operation == "create":
        names[target] = inode
    elif operation == "remove":
        names.pop(target, None)
    else:
        names.pop(source, None)
        names[target] = inode
