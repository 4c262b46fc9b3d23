"""Starting PSDB as processes, for tests that speak to it over real sockets."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import bson

START_SECONDS_MAX = 30
STOP_SECONDS_MAX = 20


class RawClient:
    """One socket that sends commands exactly as given, without a driver's additions."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address, 10)

    def command(self, document: dict[str, Any]) -> dict[str, Any]:
        """Send a command (with `$db`) and return the reply, ok or not."""
        return bson.decode(self.reply_to(document))

    def send(self, document: dict[str, Any]) -> None:
        """Send a command and leave its reply alone."""
        body = bson.encode(document)
        header = struct.pack("<iiiiIB", 21 + len(body), 1, 0, 2013, 0, 0)
        self._socket.sendall(header + body)

    def close(self) -> None:
        """Go away."""
        self._socket.close()

    def reply_to(self, document: dict[str, Any]) -> bytes:
        """Send a command and return the bytes of the reply's body."""
        self.send(document)
        size = struct.unpack("<i", self._read(4))[0]
        return self._read(size - 4)[17:]

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._socket.recv(size - len(data))
            assert more, "the server closed the connection"
            data += more
        return data


class Server:
    """A running `psdb` process.

    Attributes:
        port: Where it listens.
        uri: Its connection string.
        dbpath: Its data.

    """

    def __init__(self, arguments: list[str], dbpath: Path, port: int = 0) -> None:
        self.arguments = arguments
        self.dbpath = dbpath
        self.port = port
        self.log_path = dbpath.parent / f"{dbpath.name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    def up(cls, dbpath: Path, *flags: str, port: int = 0) -> Self:
        """Describe a default cluster; `with` starts it."""
        return cls(["up", "--dbpath", str(dbpath), *flags], dbpath, port)

    @property
    def uri(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Start the process and wait until it listens."""
        self.dbpath.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            offset = log.tell()
            command = [sys.executable, "-m", "psdb", *self.arguments, "--port", str(self.port)]
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                cwd=Path(__file__).resolve().parents[1], env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
        self.port = self._wait_for_port(offset)

    def _wait_for_port(self, offset: int) -> int:
        deadline = time.monotonic() + START_SECONDS_MAX
        assert self.process is not None
        while time.monotonic() < deadline:
            text = self.log_path.read_bytes()[offset:].decode(errors="replace")
            for line in text.splitlines():
                if '"Waiting for connections"' in line and line.endswith("}"):
                    import json

                    return int(json.loads(line)["attr"]["port"])
            if self.process.poll() is not None:
                raise AssertionError(f"psdb ended with {self.process.returncode}:\n{text[-3000:]}")
            time.sleep(0.01)
        raise AssertionError(f"psdb did not listen within {START_SECONDS_MAX} s:\n{text[-3000:]}")

    def kill(self) -> None:
        """End the process as a crash does (SIGKILL)."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End the process cleanly (SIGTERM); return its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("psdb did not stop on SIGTERM") from None

    def resident_bytes(self) -> int:
        """Resident memory of the process."""
        assert self.process is not None
        text = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii")
        return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def log_text(self) -> str:
        """Everything the process wrote."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()
