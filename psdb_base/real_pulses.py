"""Signs of life of a process, sent by a thread of its own whatever its event loop is doing.

The thread has a connection to each peer and sends it the message it was given, again and again. It
does not ask whether the loop is busy: turns of a few tenths of a second, one after the other, leave
the loop too little room for its own heartbeats without ever standing still for long, and what the
loop does send waits behind the large message that keeps it busy. A process that is stopped sends
nothing, and a loop that stands still for longer than `STALL_SECONDS_MAX` counts as dead.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Final, TypeAlias

from psdb_base.polling import readable

STALL_SECONDS_MAX: Final = 10.0
_PULSE_SECONDS: Final = 0.1
_CONNECT_SECONDS: Final = 0.3
_AGAIN_SECONDS: Final = 2.0
_SEND_SECONDS: Final = 0.1

Address: TypeAlias = tuple[str, int]


class RealPulses:
    """`psdb_base.world.Pulses` of a process."""

    def __init__(self) -> None:
        self._messages: dict[Address, bytes] = {}
        self._alive = time.monotonic()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def send(self, messages: dict[Address, bytes]) -> None:
        """Take what is to be sent from now on, by address."""
        self._messages = messages  # replaced as a whole: the thread sees one or the other
        if messages and self._thread is None and not self._ended.is_set():
            self._thread = threading.Thread(target=self._run, name="pulses", daemon=True)
            self._thread.start()

    def alive(self) -> None:
        """Note that the loop goes on."""
        self._alive = time.monotonic()

    def close(self) -> None:
        """Send nothing more."""
        self._ended.set()
        self._messages = {}

    def _run(self) -> None:
        peers: dict[Address, socket.socket] = {}
        again: dict[Address, float] = {}
        while not self._ended.wait(_PULSE_SECONDS):
            _forget_ended(peers)
            messages = self._messages
            for address in [address for address in peers if address not in messages]:
                peers.pop(address).close()
                again.pop(address, None)
            if time.monotonic() - self._alive <= STALL_SECONDS_MAX:
                _send(peers, messages)
            _connect_one(peers, [address for address in messages if address not in peers], again)
        for peer in peers.values():
            peer.close()


def _send(peers: dict[Address, socket.socket], messages: dict[Address, bytes]) -> None:
    """Send each connected peer its message; drop the connections that take none."""
    for address, message in messages.items():
        if address in peers:
            try:
                peers[address].sendall(message)
            except OSError:
                peers.pop(address).close()


def _connect_one(
    peers: dict[Address, socket.socket], missing: list[Address], again: dict[Address, float]
) -> None:
    """Try to connect to one peer: several that are out of reach must not silence the others."""
    now = time.monotonic()
    for address in missing:
        if now >= again.get(address, 0.0):
            again[address] = now + _AGAIN_SECONDS
            with contextlib.suppress(OSError):
                peers[address] = socket.create_connection(address, _CONNECT_SECONDS)
                peers[address].settimeout(_SEND_SECONDS)
            return


def _forget_ended(peers: dict[Address, socket.socket]) -> None:
    """Drop the connections that the other side ended."""
    ready = readable(peers.values(), 0)
    for address in [address for address, peer in peers.items() if peer.fileno() in ready]:
        # Nobody answers these messages: it is the end, or an error's text before it.
        with contextlib.suppress(OSError):
            if peers[address].recv(4096):
                continue
        peers.pop(address).close()
