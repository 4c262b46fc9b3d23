"""Signs of life of a process whose event loop is busy, sent by a thread of its own.

The thread has a connection to each peer and is silent while the loop goes on. When the loop did not
say so for a moment, the thread sends each peer the message it was given, again and again: a large
piece of work is no death. A process that is stopped sends nothing, and a loop that stands still for
longer than `STALL_SECONDS_MAX` counts as dead.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Final

from psdb_base.polling import readable

STALL_SECONDS_MIN: Final = 0.3
STALL_SECONDS_MAX: Final = 10.0
_PULSE_SECONDS: Final = 0.1
_CONNECT_SECONDS: Final = 0.3
_AGAIN_SECONDS: Final = 2.0
_SEND_SECONDS: Final = 0.1


class RealPulses:
    """`psdb_base.world.Pulses` of a process."""

    def __init__(self) -> None:
        self._messages: dict[tuple[str, int], bytes] = {}
        self._alive = time.monotonic()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def send(self, messages: dict[tuple[str, int], bytes]) -> None:
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
        peers: dict[tuple[str, int], socket.socket] = {}
        again: dict[tuple[str, int], float] = {}
        while not self._ended.wait(_PULSE_SECONDS):
            _forget_ended(peers)
            messages = self._messages
            now = time.monotonic()
            for address in [address for address in peers if address not in messages]:
                peers.pop(address).close()
            stalled = STALL_SECONDS_MIN <= now - self._alive <= STALL_SECONDS_MAX
            for address, message in messages.items():
                if address not in peers:
                    if now < again.get(address, 0.0):
                        continue
                    again[address] = now + _AGAIN_SECONDS
                    try:
                        peers[address] = socket.create_connection(address, _CONNECT_SECONDS)
                    except OSError:
                        continue
                    peers[address].settimeout(_SEND_SECONDS)
                if stalled:
                    try:
                        peers[address].sendall(message)
                    except OSError:
                        peers.pop(address).close()
        for peer in peers.values():
            peer.close()


def _forget_ended(peers: dict[tuple[str, int], socket.socket]) -> None:
    """Drop the connections that the other side ended."""
    ready = readable(peers.values(), 0)
    for address in [address for address, peer in peers.items() if peer.fileno() in ready]:
        # Nobody answers these messages: it is the end, or an error's text before it.
        with contextlib.suppress(OSError):
            if peers[address].recv(4096):
                continue
        peers.pop(address).close()
