"""`psdb up` with several processes: starts them, keeps them running, stops them all.

A child that ends unasked is started again, after a pause that grows while it keeps ending. The
children's input is a pipe from here: when this process is gone, however it went, they stop.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import sys
from pathlib import Path
from typing import Final

from psdb.formation import Formation, NotFormedError
from psdb.layout import HOST, Layout, Process, Shape
from psdb.nursery import Child, Nursery
from psdb.options import STORAGE_FLAGS
from psdb_base.real_log import RealLog
from psdb_base.real_world import RealClock, real_world

READY_SECONDS_MAX: Final = 60.0
STOP_SECONDS_MAX: Final = 20.0
PAUSE_SECONDS: Final = 0.2
PAUSE_SECONDS_MAX: Final = 10.0
STEADY_SECONDS: Final = 30.0
"""A child that has run for this long begins anew with the shortest pause."""
EXIT_BAD_OPTIONS: Final = 2
EXIT_FAILED: Final = 1
_HOPELESS: Final = frozenset({2, 48, 100})
"""Exit codes of a server that will not start however often it is tried."""


def supervise(options: argparse.Namespace, shape: Shape) -> int:
    """Run a cluster of processes until SIGINT or SIGTERM; return the exit code."""
    dbpath = Path(options.dbpath).absolute()
    try:
        layout = Layout.plan(dbpath, shape, options.port, free_port)
        layout.write()
    except ValueError as error:
        sys.stderr.write(f"psdb: {error}\n")
        return EXIT_BAD_OPTIONS
    except OSError as error:
        sys.stderr.write(f"psdb: cannot write to {dbpath}: {error}\n")
        return EXIT_FAILED
    nursery = Nursery(sorted({process.role for process in layout.processes}))
    return asyncio.run(_Supervisor(options, layout, nursery).run())


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def command_line(options: argparse.Namespace, layout: Layout, process: Process) -> list[str]:
    """Return the arguments of `psdb` for one process."""
    arguments = [process.role, "--port", str(process.port), "--supervised",
                 "--logpath", str(layout.log(process)),
                 "--networkMessageCompressors", options.networkMessageCompressors]
    arguments += ["--bind_ip_all"] if options.bind_ip_all else ["--bind_ip", options.bind_ip]
    arguments += ["-v"] * options.verbose
    arguments += ["--noscripting"] * options.noscripting
    for name, value in sorted((options.parameters or {}).items()):
        arguments += ["--setParameter", f"{name}={value}"]
    for flag in ("slowms", "slowOpSampleRate"):
        if getattr(options, flag) is not None:
            arguments += [f"--{flag}", str(getattr(options, flag))]
    if process.role == "router":
        return [*arguments, "--configdb", layout.set_address("config")]
    for flag in STORAGE_FLAGS:
        value = getattr(options, flag)
        if value is not None:
            arguments += [f"--{flag}", str(value)]
    return [*arguments, "--replSet", process.replica_set, "--dbpath", str(layout.folder(process))]


class _Supervisor:
    """The processes of one layout."""

    def __init__(
        self, options: argparse.Namespace, layout: Layout, nursery: Nursery
    ) -> None:
        self._options = options
        self._layout = layout
        self._nursery = nursery
        self._running: dict[str, Child] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self._ready = False
        self._code = 0
        self._signals = 0

    async def run(self) -> int:
        """Start all, say so, and wait for the end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        await self._nursery.connect()
        listening = loop.create_task(self._listen())
        for process in self._layout.processes:
            self._keepers[process.name] = loop.create_task(self._keep(process))
        world = real_world(log=RealLog(RealClock(), sys.stderr))
        formed = loop.create_task(
            Formation(world.network, self._layout, READY_SECONDS_MAX).form()
        )
        stopped = loop.create_task(self._stopping.wait())
        formed.add_done_callback(lambda _: stopped.cancel())
        try:
            await stopped
        except asyncio.CancelledError:
            await self._announce(formed)
        formed.cancel()
        await self._stop()
        self._nursery.close()
        listening.cancel()
        return self._code

    async def _listen(self) -> None:
        """Hear of the children; without the nursery there is no cluster."""
        await self._nursery.listen()
        _say("the process that starts the others has ended")
        self._code = EXIT_FAILED
        for child in self._running.values():
            child.send(signal.SIGKILL)
            child.ended(-signal.SIGKILL)
        self._stopping.set()

    async def _announce(self, formed: asyncio.Task[None]) -> None:
        """Print the connection string and wait for the end."""
        try:
            await formed
        except NotFormedError as error:
            _say(f"{error}; see the logs in {self._layout.dbpath}")
            self._code = EXIT_FAILED
            return
        self._ready = True
        sys.stdout.write(f"PSDB is ready: {self._layout.uri}\n")
        sys.stdout.flush()
        await self._stopping.wait()

    def _signalled(self) -> None:
        """Stop; a second signal stops at once."""
        self._signals += 1
        self._stopping.set()
        if self._signals > 1:
            for child in self._running.values():
                child.send(signal.SIGKILL)

    # -- one process ----------------------------------------------------------------------------

    async def _keep(self, process: Process) -> None:
        """Run a process again and again until the cluster stops."""
        loop = asyncio.get_running_loop()
        pause = PAUSE_SECONDS
        while not self._stopping.is_set():
            started = loop.time()
            code = await self._run(process)
            if self._stopping.is_set():
                return
            if code in _HOPELESS and not self._ready:
                _say(f"{process.name} cannot start: {_last_line(self._layout.log(process))}")
                self._code = code
                self._stopping.set()
                return
            pause = PAUSE_SECONDS if loop.time() - started > STEADY_SECONDS else pause
            _say(f"{process.name} ended ({_reason(code)}); it is started again in {pause:g} s, "
                 f"its log is {self._layout.log(process)}")
            await asyncio.sleep(pause)
            pause = min(2 * pause, PAUSE_SECONDS_MAX)

    async def _run(self, process: Process) -> int:
        """Run a process once; return its exit code."""
        arguments = command_line(self._options, self._layout, process)
        child = await self._nursery.spawn(process.name, arguments, self._layout.log(process))
        self._running[process.name] = child
        if self._stopping.is_set():
            child.send(signal.SIGTERM)
        try:
            return await child.wait()
        finally:
            self._running.pop(process.name, None)

    # -- the end ---------------------------------------------------------------------------------

    async def _stop(self) -> None:
        """Stop the routers, so that nothing new comes, then all members at once."""
        self._stopping.set()
        await self._end(self._layout.of_role("router"))
        await self._end(list(self._layout.processes))
        for keeper in self._keepers.values():
            keeper.cancel()
        await asyncio.gather(*self._keepers.values(), return_exceptions=True)

    async def _end(self, processes: list[Process]) -> None:
        children = [
            self._running[process.name] for process in processes if process.name in self._running
        ]
        for child in children:
            child.send(signal.SIGTERM)
        for child in children:
            try:
                async with asyncio.timeout(STOP_SECONDS_MAX):
                    await child.wait()
            except TimeoutError:
                child.send(signal.SIGKILL)
                await child.wait()


def _say(text: str) -> None:
    sys.stderr.write(f"psdb: {text}\n")
    sys.stderr.flush()


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-1] if lines else f"its log {log} is empty"


def _reason(code: int) -> str:
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"
