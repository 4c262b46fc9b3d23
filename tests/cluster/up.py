"""`psdb up` with several processes, and faults on them, for tests."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pymongo import MongoClient
from pymongo.errors import PyMongoError

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS_MAX = 60
Client = MongoClient[dict[str, Any]]


def wait_until(what: str, holds: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Return the first true value of `holds`; AssertionError after the time."""
    deadline = time.monotonic() + seconds
    reason: object = None
    while time.monotonic() < deadline:
        try:
            found = holds()
        except (PyMongoError, OSError) as error:
            reason = error
        else:
            if found:
                return found
            reason = found
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {seconds} s ({reason})")


class Cluster:
    """A running `psdb up`.

    Attributes:
        uri: What it prints when it is ready.
        ready_seconds: How long that took.

    """

    def __init__(self, dbpath: Path, *flags: str, port: int = 0) -> None:
        self.dbpath = dbpath
        self._arguments = ["up", "--dbpath", str(dbpath), "--port", str(port), *flags]
        self.process: subprocess.Popen[str] | None = None
        self.uri = ""
        self.ready_seconds = 0.0
        self._clients: list[Client] = []

    def start(self) -> None:
        """Start it and wait for its connection string."""
        self.dbpath.parent.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        errors = (self.dbpath.parent / f"{self.dbpath.name}.err").open("ab")
        with errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "psdb", *self._arguments], stdout=subprocess.PIPE,
                stderr=errors, stdin=subprocess.DEVNULL, cwd=ROOT, text=True,
            )
        assert self.process.stdout is not None
        killer = threading.Timer(READY_SECONDS_MAX, self.process.kill)
        killer.start()
        line = self.process.stdout.readline()
        killer.cancel()
        assert line.startswith("PSDB is ready: "), f"{line}{self.errors()}"
        self.uri = line.removeprefix("PSDB is ready: ").strip()
        self.ready_seconds = time.monotonic() - began

    def errors(self) -> str:
        """Return what it wrote beside the connection string."""
        return (self.dbpath.parent / f"{self.dbpath.name}.err").read_text(encoding="utf-8")

    def stop(self) -> int:
        """End it as Ctrl-C does; return its exit code."""
        assert self.process is not None
        for client in self._clients:
            client.close()
        self._clients = []
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        code = self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pid in list(self.pids().values()):
            signal_process(pid, signal.SIGCONT)
        self.stop()

    # -- its processes --------------------------------------------------------------------------

    def processes(self) -> list[dict[str, Any]]:
        """Return the rows of `cluster.json`."""
        text = (self.dbpath / "cluster.json").read_text(encoding="utf-8")
        rows: list[dict[str, Any]] = json.loads(text)["processes"]
        return rows

    def addresses(self, replica_set: str) -> list[str]:
        """Return the members of a set."""
        return [
            f"127.0.0.1:{row['port']}" for row in self.processes()
            if row["replica_set"] == replica_set
        ]

    def pids(self) -> dict[str, int]:
        """Return the process ids of the children that run, by address."""
        assert self.process is not None
        parents: dict[int, int] = {}
        ports: dict[int, str] = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                status = (entry / "stat").read_text(encoding="utf-8")
                words = (entry / "cmdline").read_bytes().decode().replace("\0", " ").split()
            except OSError:
                continue  # it ended meanwhile
            fields = status.rpartition(")")[2].split()
            parents[int(entry.name)] = int(fields[1])
            if fields[0] != "Z" and "--supervised" in words:
                ports[int(entry.name)] = words[words.index("--port") + 1]
        return {
            f"127.0.0.1:{port}": pid for pid, port in ports.items()
            if parents.get(parents[pid]) == self.process.pid
        }

    def tree(self) -> list[int]:
        """Return the process ids of all that runs for it: this process, its children, theirs."""
        assert self.process is not None
        found = [self.process.pid]
        for pid in found:
            text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
            found += map(int, text.split())
        return found

    def memory_bytes(self) -> int:
        """Return the memory of all its processes, what they share counted once (PSS)."""
        total = 0
        for pid in self.tree():
            text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
            total += int(re.search(r"^Pss:\s+(\d+) kB$", text, re.MULTILINE)[1]) * 1024  # type: ignore[index]
        return total

    def signal(self, address: str, number: signal.Signals) -> None:
        """Send a signal to the process that listens at an address."""
        signal_process(self.pids()[address], number)

    # -- clients --------------------------------------------------------------------------------

    def client(self, **options: Any) -> Client:
        """Connect as an application does; closed with the cluster."""
        client: Client = MongoClient(self.uri, **options)
        self._clients.append(client)
        return client

    def direct(self, address: str) -> Client:
        """Connect to one process."""
        client: Client = MongoClient(
            f"mongodb://{address}/", directConnection=True, serverSelectionTimeoutMS=5000
        )
        self._clients.append(client)
        return client

    def primary(self, addresses: list[str]) -> str | None:
        """Return the member of a set that says it is the primary."""
        for address in addresses:
            with MongoClient(
                f"mongodb://{address}/", directConnection=True, serverSelectionTimeoutMS=500,
                socketTimeoutMS=500,
            ) as client:
                try:
                    if client.admin.command("hello")["isWritablePrimary"]:
                        return address
                except PyMongoError:
                    continue
        return None

    def all_serve(self, addresses: list[str]) -> bool:
        """Tell whether a set has a primary and all others are secondaries."""
        states = []
        for address in addresses:
            with MongoClient(
                f"mongodb://{address}/", directConnection=True, serverSelectionTimeoutMS=500,
                socketTimeoutMS=500,
            ) as client:
                hello = client.admin.command("hello")
            states.append((hello["isWritablePrimary"], hello.get("secondary", False)))
        return sorted(states) == [(False, True)] * (len(addresses) - 1) + [(True, False)]

    def same_data(self, addresses: list[str], database: str) -> bool:
        """Tell whether all members of a set hold the same documents."""
        digests = [
            self.direct(address)[database].command("dbHash")["md5"] for address in addresses
        ]
        return len(set(digests)) == 1


def runs(pid: int) -> bool:
    """Tell whether a process runs; one that ended and was not waited for does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def signal_process(pid: int, number: signal.Signals) -> None:
    """Send a signal; a process that is gone is no error."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
