"""Exhaust cursors: one getMore whose answers follow each other until the cursor is at its end.

A client that sets exhaustAllowed takes all further batches without asking for each (drivers'
OP_MSG specification). The batches come of ordinary getMores, made here on its behalf.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Final

from psdb_server.replies import read_cursor
from psdb_wire.connection import Connection
from psdb_wire.frames import EXHAUST_ALLOWED, MORE_TO_COME, Message

_FLAGS_AT: Final = 16
_BODY_AT: Final = 21
_UINT32: Final = struct.Struct("<I")


def single(message: Message) -> Message:
    """Return a message that asks for one answer only."""
    flags = message.flags & ~EXHAUST_ALLOWED
    raw = message.raw
    raw = raw[:_FLAGS_AT] + _UINT32.pack(flags) + raw[_FLAGS_AT + 4 :]
    return replace(message, flags=flags, raw=raw)


async def batches(
    connection: Connection,
    next_batch: Callable[[], Awaitable[bytes]],
    give_up: Callable[[int], Awaitable[None]],
) -> AsyncIterator[bytes]:
    """Yield replies until the cursor is at its end; all but the last say that more comes.

    Args:
        connection: The client; when it goes away the cursor is closed.
        next_batch: Answers one getMore.
        give_up: Closes a cursor by its id.

    """
    open_id = 0
    try:
        while True:
            reply = await next_batch()
            cursor = read_cursor(reply[_BODY_AT:])
            open_id = cursor[0] if cursor is not None else 0
            if not open_id:
                yield reply
                return
            if connection.closed:
                return
            flags = _UINT32.unpack_from(reply, _FLAGS_AT)[0] | MORE_TO_COME
            yield b"".join((reply[:_FLAGS_AT], _UINT32.pack(flags), reply[_FLAGS_AT + 4 :]))
    finally:
        if open_id:
            await give_up(open_id)
