"""Signs of life from a thread: only while the loop stands still, and not for ever."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from psdb_base import real_pulses
from psdb_base.real_pulses import RealPulses

WAIT_SECONDS_MAX = 20.0


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(WAIT_SECONDS_MAX)
        yield server


def _connected(server: socket.socket) -> socket.socket:
    connection, _ = server.accept()
    connection.settimeout(WAIT_SECONDS_MAX)
    return connection


def test_a_loop_that_stands_still_is_spoken_for(peer: socket.socket) -> None:
    pulses = RealPulses()
    pulses.send({peer.getsockname(): b"one"})
    with _connected(peer) as connection:
        assert connection.recv(3) == b"one"
        pulses.send({peer.getsockname(): b"two"})
        while connection.recv(3) != b"two":
            pass
    with _connected(peer) as connection:
        assert connection.recv(3) == b"two", "it connects again"
        pulses.close()
        while connection.recv(3):
            pass


def test_a_loop_that_goes_on_speaks_for_itself(peer: socket.socket) -> None:
    pulses = RealPulses()
    pulses.alive()
    pulses.send({peer.getsockname(): b"x"})
    with _connected(peer) as connection:
        connection.settimeout(0.01)
        for _ in range(50):
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                connection.recv(1)
            if time.monotonic() - began > real_pulses.STALL_SECONDS_MIN / 2:
                break  # this machine stands still itself
            pulses.alive()
    pulses.close()


def test_a_loop_that_stands_still_for_too_long_is_dead(
    peer: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(real_pulses, "STALL_SECONDS_MAX", 0.0)
    pulses = RealPulses()
    pulses.send({peer.getsockname(): b"x"})
    with _connected(peer) as connection:
        connection.settimeout(1.0)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    pulses.close()
