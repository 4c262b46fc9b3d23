"""Runs `psdb` and notes each turn of its event loop that takes long.

    python bench/loop_probe.py FILE shardsvr --dbpath …

A timer of a millisecond looks how much of the thread's CPU time, and of the time on the wall, went
by since it came last: what is more than that is what others did to the loop. A line of FILE is one
such turn: when (monotonic seconds), its milliseconds on CPU and wall, and where a second thread
saw the loop while it lasted.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import threading
import time
import traceback
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, TextIO

ROOT: Final = Path(__file__).resolve().parents[1]
PERIOD: Final = 0.001
LONG: Final = 0.010
"""Shorter turns are not worth a line."""
LOOK_AFTER: Final = 0.020


class Probe:
    """Watches the loop that it is started in."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._at = time.monotonic()
        self._cpu = 0.0
        self._collecting = 0.0
        self._collected = 0.0
        self._seen: list[str] = []
        self._thread = threading.get_ident()

    def start(self) -> None:
        """Begin to watch."""
        self._at, self._cpu = time.monotonic(), time.thread_time()
        gc.callbacks.append(self._on_gc)
        threading.Thread(target=self._look, daemon=True).start()
        asyncio.get_running_loop().call_later(PERIOD, self._tick)

    def _tick(self) -> None:
        now, cpu = time.monotonic(), time.thread_time()
        wall, used = now - self._at - PERIOD, cpu - self._cpu
        if used > LONG or wall > 2 * LONG:
            line = {
                "at": now, "cpu": round(used * 1000, 1), "wall": round(wall * 1000, 1),
                "gc": round(self._collected * 1000, 1), "seen": self._seen,
            }
            self._out.write(json.dumps(line) + "\n")
            self._out.flush()
        self._seen, self._collected = [], 0.0
        self._at, self._cpu = time.monotonic(), time.thread_time()
        asyncio.get_running_loop().call_later(PERIOD, self._tick)

    def _on_gc(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._collecting = time.thread_time()
        else:
            self._collected += time.thread_time() - self._collecting

    def _look(self) -> None:
        """See what the loop is at when it has not come round for a while."""
        while True:
            time.sleep(LOOK_AFTER / 2)
            if time.monotonic() - self._at > LOOK_AFTER and len(self._seen) < 5:
                frame = sys._current_frames().get(self._thread)  # noqa: SLF001
                stack = traceback.extract_stack(frame)[-8:]
                self._seen.append(" < ".join(
                    f"{Path(one.filename).stem}:{one.lineno} {one.name}" for one in reversed(stack)
                ))


def main() -> int:
    """Run what the command line asks for."""
    import uvloop

    sys.path.insert(0, str(ROOT))
    out = Path(sys.argv[1]).open("a", encoding="utf-8")  # noqa: SIM115 -- as long as the process
    sys.argv = ["psdb", *sys.argv[2:]]
    run = uvloop.run

    async def watched(work: Coroutine[Any, Any, Any]) -> Any:
        Probe(out).start()
        return await work

    uvloop.run = lambda work: run(watched(work))
    from psdb.cli import main as psdb

    return int(psdb(sys.argv[1:]))


if __name__ == "__main__":
    raise SystemExit(main())
