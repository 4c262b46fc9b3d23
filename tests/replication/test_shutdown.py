"""A primary that is stopped in order: office is gone before the process is; no client notices."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError
from replication_kit import Replicas, until

WRITERS = 4
ELECTION_SECONDS = 20


class Writers:
    """Threads that count up with retryable writes until they are told to stop."""

    def __init__(self, replicas: Replicas) -> None:
        self.client = replicas.client(retryWrites=True)
        self.done = [0] * WRITERS
        self.errors: list[tuple[PyMongoError, BaseException | None]] = []
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._write, args=(number,)) for number in range(WRITERS)
        ]
        for thread in self._threads:
            thread.start()

    def _write(self, number: int) -> None:
        while not self._stopping:
            try:
                self.client.t.c.update_one(
                    {"_id": number}, {"$inc": {"n": 1}}, upsert=True
                )
            except PyMongoError as error:
                self.errors.append((error, error.__cause__))  # a failed retry shows the first
                return
            self.done[number] += 1

    def stop(self) -> None:
        self._stopping = True
        for thread in self._threads:
            thread.join()

    def went_on(self, by: int = 5) -> None:
        """Wait until each has written some more."""
        before = list(self.done)
        until(lambda: self.errors or all(
            now >= then + by for now, then in zip(self.done, before, strict=True)
        ))


def _by_signal(replicas: Replicas, primary: int) -> None:
    process = replicas.members[primary].process
    assert process is not None
    process.send_signal(signal.SIGTERM)


def _by_command(replicas: Replicas, primary: int) -> None:
    with pytest.raises(AutoReconnect):
        replicas.direct(primary).admin.command("shutdown")


def test_a_primary_that_is_stopped_hands_over_first(tmp_path: Path) -> None:
    with Replicas(tmp_path, 3) as replicas:
        config = replicas.configuration()
        config["settings"] = {"electionTimeoutMillis": ELECTION_SECONDS * 1000}
        replicas.direct(0).admin.command("replSetInitiate", config)
        writers = Writers(replicas)
        try:
            for stop in (_by_signal, _by_command):
                writers.went_on()
                old = replicas.primary()
                process = replicas.members[old].process
                assert process is not None
                began = time.monotonic()
                stop(replicas, old)
                assert process.wait(20) == 0
                writers.went_on()
                took = time.monotonic() - began
                assert took < ELECTION_SECONDS / 2, "nobody waited for an election's timeout"
                log = replicas.members[old].log_text()
                assert log.index('"oldState":"PRIMARY"') < log.index("Shutting down")
                replicas.members[old].start()
                until(lambda: len(_healthy(replicas)) == 3)
        finally:
            writers.stop()
        assert not writers.errors
        rows = {row["_id"]: row["n"] for row in writers.client.t.c.find()}
        assert rows == dict(enumerate(writers.done))


def test_a_primary_that_nobody_can_follow_is_shut_down_by_force_only(tmp_path: Path) -> None:
    with Replicas(tmp_path, 2) as replicas:
        replicas.initiate()
        old = replicas.primary()
        other = replicas.members[1 - old].process
        assert other is not None
        other.send_signal(signal.SIGSTOP)
        admin = replicas.direct(old).admin
        with pytest.raises(OperationFailure, match="No electable secondaries caught up") as caught:
            admin.command("shutdown", timeoutSecs=0)
        assert caught.value.code == 262
        process = replicas.members[old].process
        assert process is not None
        assert process.poll() is None
        with pytest.raises(AutoReconnect):
            admin.command("shutdown", timeoutSecs=0, force=True)
        assert process.wait(20) == 0
        other.send_signal(signal.SIGCONT)


def _healthy(replicas: Replicas) -> list[Any]:
    status = replicas.direct(replicas.primary()).admin.command("replSetGetStatus")
    return [row for row in status["members"] if row["stateStr"] in ("PRIMARY", "SECONDARY")]
