"""What a command handler sees of the connection it answers, and the shapes of its answers.

A handler takes `(connection, message)` and returns the reply as bytes, None (no reply), an
awaitable of either, or an async iterator of replies (an exhaust stream). It turns its own
errors into replies; whatever escapes it costs the client its connection.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

from psdb_base.values import Document
from psdb_wire.frames import Message

Reply: TypeAlias = bytes | None
Stream: TypeAlias = AsyncIterator[bytes]
"""Replies to one exhaust request: each but the last carries MORE_TO_COME in its flags. The
connection sets the ids, so that each answers the one before."""
Result: TypeAlias = Reply | Stream
Handler: TypeAlias = Callable[["Connection", Message], Result | Awaitable[Result]]


class Connection:
    """One client, whether behind a socket or in this process.

    Attributes:
        id: Number of the connection, from 1, never used twice by a process.
        peer: Address and port of the client; ("", 0) within the process.
        is_local: Whether the client is in this process.
        internal: Whether it is another node of the cluster, by its hello.
        hello_done: Whether a hello was answered; until then only small messages are taken.
        client: The `client` document of its hello.
        compressors: Names negotiated by its hello; compressed messages are refused before.
        state: Whatever the command layer keeps per connection.
        closed: Whether it is gone.

    """

    is_local = False
    internal = False

    def __init__(self, connection_id: int, peer: tuple[str, int] = ("", 0)) -> None:
        self.id = connection_id
        self.peer = peer
        self.client: Document | None = None
        self.compressors: list[str] = []
        self.state: dict[str, Any] = {}
        self.closed = False
        self.hello_done = False
        self._on_close: list[Callable[[], None]] = []

    def greeted(self) -> None:
        """Note that a hello was answered: from now on large messages are taken."""
        self.hello_done = True

    @property
    def peer_name(self) -> str:
        """The client's address as the log writes it."""
        host, port = self.peer
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def context(self) -> str:
        """The name of this connection in the log's `ctx` field."""
        return f"conn{self.id}"

    def on_close(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback` run once when the connection is lost; return what takes that back.

        On a connection that is already lost it runs at once.
        """
        if self.closed:
            callback()
            return _nothing
        self._on_close.append(callback)

        def forget() -> None:
            if callback in self._on_close:
                self._on_close.remove(callback)

        return forget

    def close(self) -> None:
        """Drop the client."""
        self._lost()

    def _lost(self) -> list[Exception]:
        """Mark as closed and run the callbacks; return what they raised."""
        self.closed = True
        callbacks, self._on_close = self._on_close, []
        errors: list[Exception] = []
        for callback in callbacks:
            try:
                callback()
            except Exception as error:  # noqa: BLE001 -- the others must run all the same
                errors.append(error)
        return errors


def _nothing() -> None:
    return None
