"""The nursery: a process that has the servers' code loaded and forks one for each that is wanted.

Eleven interpreters that each import everything take seconds and hundreds of megabytes; a fork
takes milliseconds and shares what was loaded. The nursery is forked off before there is an event
loop, has one thread, and does nothing but fork and wait.

Orders and news are JSON lines on a socket: `{name, arguments, log}` in; `{name, pid}` and
`{name, code}` out. When the socket closes, the nursery ends. A server's input is a pipe whose
other end the supervisor holds, so that a server stops when the supervisor is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

_LINE_BYTES: Final = 65536
_MODULES: Final = {
    "configsvr": ("configsvr.server", "shardsvr.commands.table"),
    "router": ("router.server", "router.replica_set_shard"),
    "shardsvr": ("shardsvr.commands.table", "shardsvr.member"),
}


class Child:
    """A server that runs, or ran."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = asyncio.Event()

    async def wait(self) -> int:
        """Return its exit code when it has ended; minus a signal's number."""
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def ended(self, code: int) -> None:
        """Note its exit code."""
        self.returncode = code
        self._ended.set()


class Nursery:
    """The supervisor's side. Make it before there is an event loop."""

    def __init__(self, roles: list[str]) -> None:
        self._sock, inner = socket.socketpair()
        lifeline, self._lifeline = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            self._sock.close()
            os.close(self._lifeline)
            _Forker(inner, lifeline).run(roles)
        inner.close()
        os.close(lifeline)
        self._children: dict[str, Child] = {}
        self._born: dict[str, asyncio.Future[Child]] = {}
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def connect(self) -> None:
        """Take up the socket; comes before all else."""
        self._reader, self._writer = await asyncio.open_connection(sock=self._sock)

    async def listen(self) -> None:
        """Take news until the nursery has ended."""
        while line := await self._reader.readline():
            news: dict[str, Any] = json.loads(line)
            name = news["name"]
            if "pid" in news:
                self._children[name] = child = Child(news["pid"])
                self._born.pop(name).set_result(child)
            else:
                self._children.pop(name).ended(news["code"])

    async def spawn(self, name: str, arguments: list[str], log: Path) -> Child:
        """Start `psdb` with arguments; its output goes to the end of `log`."""
        born: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._born[name] = born
        order = {"name": name, "arguments": arguments, "log": str(log)}
        self._writer.write(json.dumps(order).encode() + b"\n")
        return await born

    def close(self) -> None:
        """End the nursery."""
        self._writer.close()


class _Forker:
    """The nursery's own side."""

    def __init__(self, sock: socket.socket, lifeline: int) -> None:
        self._sock = sock
        self._lifeline = lifeline
        self._names: dict[int, str] = {}
        self._wake, self._woken = os.pipe()
        os.set_blocking(self._woken, False)

    def run(self, roles: list[str]) -> NoReturn:
        """Fork what is ordered until the supervisor is gone."""
        os.setsid()  # Ctrl-C is for the supervisor
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        _load(roles)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._woken)
        selector = selectors.DefaultSelector()
        selector.register(self._sock, selectors.EVENT_READ)
        selector.register(self._wake, selectors.EVENT_READ)
        rest = b""
        while True:
            for key, _ in selector.select():
                if key.fileobj is self._sock:
                    data = self._sock.recv(_LINE_BYTES)
                    if not data:
                        os._exit(0)
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        self._fork(json.loads(line))
                else:
                    os.read(self._wake, _LINE_BYTES)
                    self._reap()

    def _tell(self, news: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._sock.sendall(json.dumps(news).encode() + b"\n")

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            code = os.waitstatus_to_exitcode(status)
            self._tell({"name": self._names.pop(pid), "code": code})

    def _fork(self, order: dict[str, Any]) -> None:
        pid = os.fork()
        if pid:
            self._names[pid] = order["name"]
            self._tell({"name": order["name"], "pid": pid})
            return
        code = 1
        try:
            self._become(order)
            from psdb.cli import main

            code = main(order["arguments"])
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else 1
        except BaseException:  # noqa: BLE001 -- it may not go on as the nursery
            import traceback

            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(code)

    def _become(self, order: dict[str, Any]) -> None:
        """Turn this fork into a process of its own."""
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        self._sock.close()
        os.close(self._wake)
        os.close(self._woken)
        os.dup2(self._lifeline, 0)
        os.close(self._lifeline)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)
        log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(log, 2)
        os.close(log)
        from setproctitle import setproctitle

        setproctitle(" ".join(["psdb", *order["arguments"]]))


def _load(roles: list[str]) -> None:
    """Import what the servers of these roles need, and set it apart from the collector."""
    wanted = ["psdb.cli", "psdb.options", "psdb.serve", "uvloop"]
    for role in roles:
        wanted += _MODULES[role]
    for name in wanted:
        with contextlib.suppress(ImportError):  # it will be missed, and named, where it is used
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
