"""Users' JavaScript in processes of their own, behind the port of `world`.

A script that never ends, eats memory or brings its engine down costs a process and no more:
the server goes on, and the process is ended at any time. Processes start when a script first
needs one and are kept for the next; each is served by one thread, which waits for it.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

from psdb_base.polling import readable
from psdb_base.real_world import Worker
from psdb_base.world import ScriptSlot

T = TypeVar("T")

SLOTS_MAX: Final = 8
"""Operations that run scripts at the same time; others wait for their turn."""
_PROGRAM: Final = str(Path(__file__).parent / "script_worker")
START_SECONDS: Final = 10.0
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024


class ScriptError(OSError):
    """The process ended or was ended."""


class Slot:
    """A thread and, when a script has been called, its process."""

    def __init__(self, number: int) -> None:
        self._worker = Worker(f"script-{number}")
        self._process: subprocess.Popen[bytes] | None = None
        self._heap_bytes = 0

    def submit(self, work: Callable[[], T]) -> Awaitable[T]:
        """Run work on the slot's thread."""
        return self._worker.submit(work)

    def call(self, session: int, text: str, timeout_seconds: float, heap_bytes: int) -> str:
        """Ask the process and wait; see `world.ScriptSlot`."""
        process = self._process
        if process is None or process.poll() is not None or heap_bytes != self._heap_bytes:
            self.kill()
            process = self._start(heap_bytes)
        assert process.stdin is not None
        assert process.stdout is not None
        data = text.encode("utf-8", "surrogatepass")
        head = len(data).to_bytes(4, "little") + session.to_bytes(8, "little")
        try:
            process.stdin.write(head + data)
            process.stdin.flush()
            if not readable([process.stdout], timeout_seconds):
                self.kill()
                raise TimeoutError
            size = int.from_bytes(self._read(process, 4), "little")
            if size > ANSWER_BYTES_MAX:
                self.kill()
                raise ScriptError("the script's result is too large")
            return self._read(process, size).decode("utf-8", "surrogatepass")
        except (BrokenPipeError, ValueError):
            raise ScriptError("the script's process has ended") from None

    def kill(self) -> None:
        """End the process, whatever it does; may be called on any thread."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def stop(self, timeout_seconds: float) -> None:
        """End process and thread."""
        self.kill()
        self._worker.stop(timeout_seconds)

    def _start(self, heap_bytes: int) -> subprocess.Popen[bytes]:
        self._process = process = subprocess.Popen(  # noqa: S603 -- our own program
            [sys.executable, "-I", _PROGRAM, str(heap_bytes)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            cwd="/", env={}, start_new_session=True,
        )
        self._heap_bytes = heap_bytes
        assert process.stdout is not None
        if not readable([process.stdout], START_SECONDS) or process.stdout.read(1) != b"+":
            self.kill()
            raise ScriptError("the script's process did not start")
        return process

    @staticmethod
    def _read(process: subprocess.Popen[bytes], size: int) -> bytes:
        assert process.stdout is not None
        data = process.stdout.read(size)
        if len(data) < size:
            raise ScriptError("the script's process has ended")
        return data


class RealScripts:
    """The slots."""

    def __init__(self, slots: int = SLOTS_MAX) -> None:
        self._all: list[Slot] = []
        self._idle: list[Slot] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._slots = slots
        self._sessions = 0

    def session(self) -> int:
        """Return a number that no other session has."""
        self._sessions += 1
        return self._sessions

    async def acquire(self) -> ScriptSlot:
        """Take a slot; waits in the order of asking while all are taken."""
        while not self._idle:
            if len(self._all) < self._slots:
                return self._new_slot()
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn in self._waiting:
                    self._waiting.remove(turn)
                else:
                    self._wake()
                raise
        return self._idle.pop()

    def _new_slot(self) -> Slot:
        self._all.append(Slot(len(self._all)))
        return self._all[-1]

    def release(self, slot: ScriptSlot) -> None:
        """Give a slot back."""
        assert isinstance(slot, Slot)
        self._idle.append(slot)
        self._wake()

    def here(self) -> ScriptSlot | None:
        """Return an idle slot for a call on the loop's own thread; None when all are taken."""
        if not self._idle and len(self._all) < self._slots:
            self._idle.append(self._new_slot())
        return self._idle[-1] if self._idle else None

    def close(self, timeout_seconds: float = 1.0) -> None:
        """End all processes and threads."""
        for slot in self._all:
            slot.stop(timeout_seconds)
        self._all.clear()
        self._idle.clear()

    def _wake(self) -> None:
        while self._waiting and self._idle:
            turn = self._waiting.pop(0)
            if not turn.done():
                turn.set_result(None)
                return
