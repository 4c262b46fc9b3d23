"""The real world: system clock, sockets, files, threads and log, behind the ports of `world`.

Files are made with mode 0600 and folders with 0700. Each named disk thread runs its work in
the order of submission and reports to the event loop in as few wake-ups as can be.
"""

# The ports name files by strings, and this module owns the calls of `os`:
# ruff: noqa: PTH100, PTH102, PTH105, PTH106, PTH108, PTH112, PTH116, PTH120, PTH123, PTH208
from __future__ import annotations

import asyncio
import os
import secrets
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from psdb_base.real_log import RealLog
from psdb_base.real_pulses import RealPulses
from psdb_base.world import (
    Disk,
    DiskFile,
    Listener,
    Log,
    Network,
    Random,
    ScriptHost,
    World,
)

__all__ = ["RealClock", "RealDisk", "RealLog", "RealNetwork", "real_world"]

T = TypeVar("T")

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
LISTEN_BACKLOG: Final = 1024
QUICK_SECONDS: Final = 0.001
"""Work that takes longer than this belongs on a thread."""
QUICK_RUN: Final = 8
"""So many quick pieces of work in a row make a disk quick."""
_OPEN_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW


class RealClock:
    """The system's clocks."""

    def now_ms(self) -> int:
        """Wall time in milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that never go backwards."""
        return time.monotonic()


def _sync_full(descriptor: int) -> None:
    """Make a file's bytes durable; on macOS only F_FULLFSYNC empties the drive's cache."""
    import fcntl

    fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # type: ignore[attr-defined,unused-ignore]


_sync_data: Final[Callable[[int], None]] = (
    _sync_full if sys.platform == "darwin" else getattr(os, "fdatasync", os.fsync)
)


class RealFile:
    """An open file that is written at its end only. After a failed sync it takes no more."""

    __slots__ = ("_descriptor", "_failed", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._failed = False
        self._descriptor = os.open(path, _OPEN_FLAGS, FILE_MODE)

    def _check(self) -> None:
        if self._failed:
            raise OSError(f"{self.path}: an earlier sync failed; what was written may be lost")

    def write(self, data: bytes) -> None:
        """Append all of `data`."""
        self._check()
        written = os.write(self._descriptor, data)
        if written < len(data):
            rest = memoryview(data)[written:]
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]

    def fdatasync(self) -> None:
        """Make what was written durable."""
        self._check()
        try:
            _sync_data(self._descriptor)
        except OSError:
            self._failed = True
            raise

    def truncate(self, size_bytes: int) -> None:
        """Cut the file to this size."""
        self._check()
        os.ftruncate(self._descriptor, size_bytes)

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """Read at most `size_bytes` from `offset`; less only at the file's end."""
        pieces: list[bytes] = []
        while size_bytes and (data := os.pread(self._descriptor, size_bytes, offset)):
            pieces.append(data)
            offset += len(data)
            size_bytes -= len(data)
        return b"".join(pieces)

    def size(self) -> int:
        """Size in bytes."""
        return os.fstat(self._descriptor).st_size

    def close(self) -> None:
        """Close without syncing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Worker:
    """One thread that runs work in order.

    Results that are ready by the time the loop looks are handed over in one wake-up.
    """

    def __init__(self, name: str) -> None:
        self._queue: SimpleQueue[
            tuple[Callable[[], Any], asyncio.Future[Any], asyncio.AbstractEventLoop] | None
        ] = SimpleQueue()
        self._done: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._woken = False
        self.unfinished = 0
        self.quick_run = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Queue work; the future tells its result to the running loop."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self.unfinished += 1
        self._queue.put((work, future, loop))
        return future

    def here(self, work: Callable[[], T]) -> T:
        """Run work on the caller's thread; nothing may be unfinished."""
        assert not self.unfinished, "work would overtake what is queued"
        begin = time.monotonic()
        result = work()
        self._took(time.monotonic() - begin)
        return result

    def _took(self, seconds: float) -> None:
        self.quick_run = self.quick_run + 1 if seconds < QUICK_SECONDS else 0

    def stop(self, timeout_seconds: float) -> None:
        """Let the thread finish what is queued and end."""
        self._queue.put(None)
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            work, future, loop = item
            result: Any = None
            failure: BaseException | None = None
            begin = time.monotonic()
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 -- raised where the work is awaited
                failure = error
            self._took(time.monotonic() - begin)
            self._done.append((future, result, failure))
            if not self._woken:
                self._woken = True
                try:
                    loop.call_soon_threadsafe(self._report)
                except RuntimeError:  # the loop is closed: nobody waits any more
                    self._woken = False
                    self._done.clear()
            del item, work, future, loop, result, failure

    def _report(self) -> None:
        # Cleared first: what is appended from now on either is seen below or wakes us again.
        self._woken = False
        done = self._done
        while done:
            future, result, failure = done.popleft()
            self.unfinished -= 1
            if future.done():
                continue  # cancelled meanwhile; the work was done all the same
            if failure is None:
                future.set_result(result)
            elif isinstance(failure, StopIteration):
                future.set_exception(RuntimeError("StopIteration raised by work on a thread"))
            else:
                future.set_exception(failure)


class RealDisk:
    """The file system."""

    def __init__(self) -> None:
        self._workers: dict[str, Worker] = {}

    def open(self, path: str) -> DiskFile:
        """Open for reading and appending; symbolic links are refused."""
        return RealFile(path)

    def open_nameless(self) -> DiskFile:
        """Open a temporary file and take its name away."""
        folder = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 -- nobody can guess the name
        path = f"{folder}/psdb-{os.getpid()}-{secrets.token_hex(16)}"
        file = RealFile(path)
        os.unlink(path)
        return file

    def read(self, path: str) -> bytes:
        """Whole content; FileNotFoundError when there is none."""
        with open(path, "rb") as file:
            return file.read()

    def exists(self, path: str) -> bool:
        """Tell whether a file or folder has this name."""
        return os.path.lexists(path)

    def list(self, path: str) -> list[str]:
        """Names in a folder, sorted; empty when there is no such folder."""
        try:
            return sorted(os.listdir(path))
        except FileNotFoundError:
            return []

    def make_dirs(self, path: str) -> None:
        """Create the folder and its parents, mode 0700 each; those that exist keep theirs."""
        missing: list[str] = []
        current = os.path.abspath(path)
        while not os.path.isdir(current):
            missing.append(current)
            current = os.path.dirname(current)
        for folder in reversed(missing):
            try:
                os.mkdir(folder, FOLDER_MODE)
            except FileExistsError:
                if not os.path.isdir(folder):
                    raise

    def remove(self, path: str) -> None:
        """Remove a file."""
        os.unlink(path)

    def remove_dir(self, path: str) -> None:
        """Remove an empty folder."""
        os.rmdir(path)

    def rename(self, source: str, target: str) -> None:
        """Replace `target` by `source` atomically."""
        os.replace(source, target)

    def fsync_dir(self, path: str) -> None:
        """Make the names in a folder durable."""
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def refresh(self, path: str) -> None:
        """Sync a file and drop its pages, which is a hint that Linux follows for clean ones."""
        descriptor = os.open(path, _OPEN_FLAGS, FILE_MODE)
        try:
            _sync_data(descriptor)
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)

    def space(self, path: str) -> tuple[int, int]:
        """Ask the file system for bytes used and bytes in all."""
        found = os.statvfs(path)
        total = found.f_blocks * found.f_frsize
        return total - found.f_bfree * found.f_frsize, total

    def lock(self, path: str) -> Callable[[], None]:
        """Take the lock file, which then holds our process id; BlockingIOError if it is taken."""
        import fcntl

        descriptor = os.open(path, _OPEN_FLAGS, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, b"%d\n" % os.getpid())
        except BaseException:
            os.close(descriptor)
            raise
        held = [descriptor]

        def release() -> None:
            if held:
                os.ftruncate(held[0], 0)
                os.close(held.pop())

        return release

    def submit(self, thread: str, work: Callable[[], T]) -> Awaitable[T]:
        """Run `work` on the named thread, in the order of submission."""
        worker = self._workers.get(thread)
        if worker is None:
            worker = self._workers[thread] = Worker(f"disk-{thread}")
        return worker.submit(work)

    def is_quick(self, thread: str) -> bool:
        """Tell whether a thread is idle and its last pieces of work took under a millisecond."""
        worker = self._workers.get(thread)
        return worker is not None and not worker.unfinished and worker.quick_run >= QUICK_RUN

    def here(self, thread: str, work: Callable[[], T]) -> T:
        """Run a thread's work on the caller's thread."""
        return self._workers[thread].here(work)

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Let each thread finish its work and end; one that hangs is left behind."""
        for worker in self._workers.values():
            worker.stop(timeout_seconds)
        self._workers.clear()


class RealListener:
    """A listening socket."""

    def __init__(self, server: asyncio.AbstractServer, port: int) -> None:
        self._server = server
        self._port = port

    @property
    def port(self) -> int:
        """The port that was bound."""
        return self._port

    def close(self) -> None:
        """Accept no more connections."""
        self._server.close()


class RealNetwork:
    """TCP. Asyncio's and uvloop's transports set TCP_NODELAY themselves."""

    async def listen(
        self, host: str, port: int, factory: Callable[[], asyncio.Protocol]
    ) -> Listener:
        """Accept connections at one address (`0.0.0.0` and `::` for all of a family).

        The name "localhost" means 127.0.0.1, so that port 0 gives one port.
        """
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            factory,
            "127.0.0.1" if host == "localhost" else host,
            port,
            backlog=LISTEN_BACKLOG,
            reuse_address=True,
        )
        return RealListener(server, server.sockets[0].getsockname()[1])

    async def connect(
        self, host: str, port: int, factory: Callable[[], asyncio.Protocol]
    ) -> asyncio.Protocol:
        """Open a connection; OSError on failure."""
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(factory, host, port)
        return protocol


def file_mode(path: str) -> int:
    """Permission bits of a file or folder (key files must be private)."""
    return stat.S_IMODE(os.stat(path).st_mode)


def real_world(seed: int | None = None, log: Log | None = None) -> World:
    """Return a world of real things; `seed` makes generated ids repeat, for tests only."""
    clock = RealClock()
    disk: Disk = RealDisk()
    network: Network = RealNetwork()
    return World(
        clock, Random(seed, clock), disk, network, log or RealLog(clock, sys.stdout), _Scripts(),
        RealPulses(),
    )


class _Scripts:
    """Makes the host of scripts when it is first asked for one."""

    def __init__(self) -> None:
        self._host: ScriptHost | None = None

    def __call__(self) -> ScriptHost:
        if self._host is None:
            from psdb_base.real_scripts import RealScripts

            self._host = RealScripts()
        return self._host
