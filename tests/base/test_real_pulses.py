"""Signs of life from a thread: whatever the loop does, but not for ever without it."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

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


def test_a_loop_that_goes_on_is_spoken_for_as_well(peer: socket.socket) -> None:
    """Its turns may be too long for heartbeats and too short for anybody to call it stuck."""
    pulses = RealPulses()
    pulses.alive()
    pulses.send({peer.getsockname(): b"x"})
    with _connected(peer) as connection:
        connection.settimeout(0.01)
        end = time.monotonic() + WAIT_SECONDS_MAX
        heard = b""
        while len(heard) < 3 and time.monotonic() < end:
            pulses.alive()
            with contextlib.suppress(TimeoutError):
                heard += connection.recv(1)
        assert heard == b"xxx"
    pulses.close()


def test_peers_out_of_reach_do_not_silence_the_others(
    peer: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt takes its time; between two of them those in reach hear something."""
    done: list[str] = []
    connect = socket.create_connection

    def try_to_connect(address: tuple[str, int], timeout: float) -> socket.socket:
        if address[0] != "gone":
            return connect(address, timeout)
        done.append("attempt")
        raise TimeoutError

    send = real_pulses._send

    def note_and_send(*arguments: Any) -> None:
        done.append("sent")
        send(*arguments)

    monkeypatch.setattr(real_pulses.socket, "create_connection", try_to_connect)
    monkeypatch.setattr(real_pulses, "_send", note_and_send)
    pulses = RealPulses()
    pulses.send({peer.getsockname(): b"x", **{("gone", port): b"x" for port in range(1, 6)}})
    with _connected(peer) as connection:
        while done.count("attempt") < 5:
            assert connection.recv(1) == b"x"
    pulses.close()
    assert ("attempt", "attempt") not in pairwise(done)


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
