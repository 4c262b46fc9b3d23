"""The world a node lives in: clock, random, disk, network, log (the ports of simulation).

A node takes all of these as one object and uses nothing else of the outside. The real ones
stand in `psdb_base.real_world`; the simulator brings its own. Timers are asyncio's, so the
simulator swaps the event loop as well. Threads exist only behind these ports.

Invariant of `Disk`: nothing written is durable before `fdatasync` on the file returned, and
no name is durable before `fsync_dir` of its folder returned.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from bson.objectid import ObjectId

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")


class Clock(Protocol):
    """Wall and monotonic time."""

    def now_ms(self) -> int:
        """Wall time in milliseconds since 1970."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go backwards, of unknown origin."""
        ...


class Random:
    """A node's only source of randomness; `seed` None takes the operating system's entropy."""

    def __init__(self, seed: int | None, clock: Clock) -> None:
        self._random = random.Random(seed)  # noqa: S311 -- identifiers, not secrets
        self._clock = clock
        self._process = self._random.randbytes(5)
        self._counter = self._random.getrandbits(24)

    def object_id(self) -> ObjectId:
        """Make a fresh ObjectId: seconds, a value of this process, a counter."""
        self._counter = (self._counter + 1) & 0xFFFFFF
        seconds = (self._clock.now_ms() // 1000) & 0xFFFFFFFF
        raw = seconds.to_bytes(4, "big") + self._process + self._counter.to_bytes(3, "big")
        return ObjectId(raw)

    def uuid(self) -> bytes:
        """Sixteen bytes of a version 4 UUID."""
        raw = bytearray(self._random.randbytes(16))
        raw[6] = (raw[6] & 0x0F) | 0x40
        raw[8] = (raw[8] & 0x3F) | 0x80
        return bytes(raw)

    def random(self) -> float:
        """Return a float in [0, 1)."""
        return self._random.random()

    def below(self, stop: int) -> int:
        """Return an integer in [0, stop)."""
        return self._random.randrange(stop)

    def cursor_id(self) -> int:
        """Return a positive 63-bit number that is not zero."""
        return self._random.getrandbits(62) + 1


class DiskFile(Protocol):
    """An open file that is written at its end only."""

    def write(self, data: bytes) -> None:
        """Append all of `data`; raise OSError on a full or failing disk."""
        ...

    def fdatasync(self) -> None:
        """Make what was written durable. An error is final for this file."""
        ...

    def truncate(self, size_bytes: int) -> None:
        """Cut the file to this size."""
        ...

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """Read at most `size_bytes` from `offset`."""
        ...

    def size(self) -> int:
        """Size in bytes, unsynced bytes included."""
        ...

    def close(self) -> None:
        """Close without syncing."""
        ...


class Disk(Protocol):
    """Files by path. The synchronous calls may block: long ones run through `submit`."""

    def open(self, path: str) -> DiskFile:
        """Open for reading and appending; create the file when it is not there."""
        ...

    def open_nameless(self) -> DiskFile:
        """Open an empty temporary file that nobody else can open.

        Its space comes back when it is closed, or when the process ends.
        """
        ...

    def read(self, path: str) -> bytes:
        """Whole content; FileNotFoundError when there is none."""
        ...

    def exists(self, path: str) -> bool:
        """Tell whether a file or folder has this name."""
        ...

    def list(self, path: str) -> list[str]:
        """Names in a folder, sorted; empty when there is no such folder."""
        ...

    def make_dirs(self, path: str) -> None:
        """Create the folder and its parents, mode 0700."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file."""
        ...

    def remove_dir(self, path: str) -> None:
        """Remove an empty folder."""
        ...

    def rename(self, source: str, target: str) -> None:
        """Replace `target` by `source` atomically (durable after `fsync_dir`)."""
        ...

    def fsync_dir(self, path: str) -> None:
        """Make the names in a folder durable."""
        ...

    def refresh(self, path: str) -> None:
        """Make a file's bytes durable, and let the next read come from the device.

        After a failed sync of another process, memory may show bytes that the device does not
        have, and a further sync reports success.
        """
        ...

    def space(self, path: str) -> tuple[int, int]:
        """Bytes used and bytes in all of the file system that holds `path`."""
        ...

    def lock(self, path: str) -> Callable[[], None]:
        """Take the lock file or raise BlockingIOError; return what releases it."""
        ...

    def submit(self, thread: str, work: Callable[[], T]) -> Awaitable[T]:
        """Run `work` on the named thread (one a log), in the order of submission."""
        ...

    def is_quick(self, thread: str) -> bool:
        """Tell whether the named thread is idle and its disk has been answering at once.

        Then the caller may run a short piece of the thread's work itself, through `here`.
        """
        ...

    def here(self, thread: str, work: Callable[[], T]) -> T:
        """Run `work` of the named thread on the caller's; only while `is_quick`."""
        ...


class Listener(Protocol):
    """A listening address."""

    @property
    def port(self) -> int:
        """The port that was bound."""
        ...

    def close(self) -> None:
        """Accept no more connections."""
        ...


class Network(Protocol):
    """Byte streams by address, with asyncio's transports and protocols."""

    async def listen(
        self, host: str, port: int, factory: Callable[[], asyncio.Protocol]
    ) -> Listener:
        """Accept connections; raise OSError when the address cannot be bound."""
        ...

    async def connect(
        self, host: str, port: int, factory: Callable[[], asyncio.Protocol]
    ) -> asyncio.Protocol:
        """Open a connection and return its protocol; raise OSError on failure."""
        ...


class Log(Protocol):
    """The structured log in MongoDB's field names."""

    def write(
        self, severity: str, component: str, id_: int, message: str, attr: dict[str, Any]
    ) -> None:
        """Write one line. Severities are `I`, `W`, `E`, `F`, `D`; never a document or secret."""
        ...

    def recent(self) -> list[str]:
        """Return the last lines, oldest first (1024 at most)."""
        ...

    def warnings(self) -> list[str]:
        """Return the warnings written since the start, oldest first (1024 at most)."""
        ...


class ScriptSlot(Protocol):
    """A thread that may run users' JavaScript, in a process that can be ended at any time."""

    def submit(self, work: Callable[[], T]) -> Awaitable[T]:
        """Run `work` on the slot's thread."""
        ...

    def call(self, session: int, text: str, timeout_seconds: float, heap_bytes: int) -> str:
        """Ask the script process and block until it answers.

        Args:
            session: Scripts of one session share globals; another's sees none of them.
            text: What `psdb_base/script_worker/prelude.js` takes.
            timeout_seconds: Then the process is ended and TimeoutError raised.
            heap_bytes: Memory that scripts may take.

        Raises OSError when the process ended.
        """
        ...

    def kill(self) -> None:
        """End the process, and with it the call that runs; any thread may say so."""
        ...


class ScriptHost(Protocol):
    """What runs users' JavaScript."""

    def session(self) -> int:
        """Return a number that no other session has."""
        ...

    async def acquire(self) -> ScriptSlot:
        """Take a slot; wait in the order of asking while all are taken."""
        ...

    def release(self, slot: ScriptSlot) -> None:
        """Give a slot back."""
        ...

    def here(self) -> ScriptSlot | None:
        """Return an idle slot for one short call on the loop's own thread, None without one."""
        ...


class Pulses(Protocol):
    """Sends messages to other processes again and again, however busy this one's event loop is."""

    def send(self, messages: dict[tuple[str, int], bytes]) -> None:
        """Take what is to be sent from now on, by address: whole messages that want no answer."""
        ...

    def alive(self) -> None:
        """Note that the loop goes on; when this is not called for long, nothing goes out."""
        ...

    def close(self) -> None:
        """Send nothing more."""
        ...


@dataclass(frozen=True, slots=True)
class World:
    """All that a node may touch."""

    clock: Clock
    random: Random
    disk: Disk
    network: Network
    log: Log
    scripts: Callable[[], ScriptHost] | None = None
    """The host of users' scripts; None where there are none."""
    pulses: Pulses | None = None
    """Signs of life that wait for no loop; None where nobody sends any."""
