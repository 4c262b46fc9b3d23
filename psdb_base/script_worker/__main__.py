"""Run JavaScript for a server: frames in on standard input, frames out on standard output.

It says `+` when it is ready. A frame is its length (4 bytes), a session (8 bytes), both
little-endian, and UTF-8 text. The text goes to the dispatcher that `prelude.js` makes, and its
answer (length and text) goes back. Another session
means a fresh context: no script sees what another operation's scripts left behind. Whoever
started this process ends it when a script takes too long; limits on memory are kept here.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO, Final

import quickjs

STACK_BYTES: Final = 2 * 1024 * 1024
THREAD_STACK_BYTES: Final = 16 * 1024 * 1024
SYSTEM_BYTES: Final = 512 * 1024 * 1024
PARENT_CHECK_SECONDS: Final = 1.0


def _limit_process(heap_bytes: int) -> None:
    try:
        import resource
    except ImportError:
        return
    size = heap_bytes * 2 + SYSTEM_BYTES
    for name, value in (("RLIMIT_CORE", 0), ("RLIMIT_AS", size), ("RLIMIT_FSIZE", 0)):
        try:
            resource.setrlimit(getattr(resource, name), (value, value))
        except (AttributeError, OSError, ValueError):
            continue


def _end_with(parent: int) -> None:
    """End when the server does, also in the middle of a script that never ends."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    os._exit(1)


def _md5(text: str) -> str:
    digest = hashlib.md5(text.encode("utf-8", "replace"), usedforsecurity=False)
    return digest.hexdigest()


def _make_dispatcher(prelude: str, heap_bytes: int) -> Any:
    context = quickjs.Context()
    context.set_memory_limit(heap_bytes)
    context.set_max_stack_size(STACK_BYTES)
    context.add_callable("__sleep", lambda milliseconds: time.sleep(max(milliseconds, 0) / 1000))
    context.add_callable("__md5", _md5)
    return context.eval(prelude)


def _read(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _serve(heap_bytes: int) -> None:
    prelude = (Path(__file__).parent / "prelude.js").read_text(encoding="utf-8")
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    session, dispatch = b"", None
    sink.write(b"+")
    sink.flush()
    while True:
        size = int.from_bytes(_read(source, 4), "little")
        asked = _read(source, 8)
        text = _read(source, size).decode()
        try:
            if asked != session or dispatch is None:
                dispatch = None  # the old context goes first
                dispatch = _make_dispatcher(prelude, heap_bytes)
                session = asked
            answer = dispatch(text)
        except quickjs.JSException as error:
            # What not even the dispatcher could catch: memory or stack ran out in it as well.
            dispatch = None
            answer = "!" + str(error).partition("\n")[0]
        data = answer.encode("utf-8", "replace")
        sink.write(len(data).to_bytes(4, "little") + data)
        sink.flush()


def _main() -> None:
    heap_bytes = int(sys.argv[1])
    _limit_process(heap_bytes)
    parent = os.getppid()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    threading.stack_size(THREAD_STACK_BYTES)
    try:
        _serve(heap_bytes)
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        os._exit(0)


_main()
