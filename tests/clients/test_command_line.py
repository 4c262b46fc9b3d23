"""What the command line does with mistakes and signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pymongo import MongoClient
from servers import Server

ROOT = Path(__file__).resolve().parents[2]


def psdb(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "psdb", *arguments], capture_output=True, text=True, timeout=20,
        cwd=ROOT, check=False,
    )


def test_mistakes_end_with_one_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    cases = [
        (("up", "--port", "0", "--dbpath", str(file)), 100),
        (("up", "--port", "0", "--dbpath", str(tmp_path), "--logpath", "/nonexistent/x"), 1),
        (("router", "--configdb", "nonsense"), 2),
        (("ping", "localhost:x"), 1),
    ]
    for arguments, code in cases:
        done = psdb(*arguments)
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_sigusr1_begins_a_new_log_file(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    process = subprocess.Popen(
        [sys.executable, "-m", "psdb", "up", "--port", "0", "--dbpath", str(tmp_path / "d"),
         "--logpath", str(log)], cwd=ROOT, stdout=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: log.exists() and "Waiting for connections" in log.read_text())
        os.kill(process.pid, signal.SIGUSR1)
        wait_for(lambda: len(list(tmp_path.glob("server.log*"))) == 2)
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def wait_for(condition: object) -> None:
    deadline = time.monotonic() + 20
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_counting_decodes_nothing(server: Server) -> None:
    with MongoClient(server.uri) as client:
        client.counting.c.drop()
        client.counting.c.insert_many({"_id": i, "v": i % 3} for i in range(500))
        assert client.counting.c.count_documents({}) == 500
        assert client.counting.c.count_documents({}, skip=10, limit=20) == 20
        assert client.counting.c.count_documents({"v": 1}) == 167
