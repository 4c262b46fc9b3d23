"""The floor for a MongoDB server in Python: it answers OP_MSG with canned replies.

Run as `python bench/null_server.py PORT`; with port 0 it prints the port it got. It reads no
more of a message than its length, its id and the first element's name, so what a real server
needs above its times is what commands cost.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from typing import cast

import bson

_OPENING = struct.Struct("<iii")
_OP_MSG = 2013
_BODY_START = 21

_HELLO = bson.encode(
    {
        "helloOk": True,
        "ismaster": True,
        "isWritablePrimary": True,
        "msg": "isdbgrid",
        "maxBsonObjectSize": 16 * 1024 * 1024,
        "maxMessageSizeBytes": 48_000_000,
        "maxWriteBatchSize": 100_000,
        "logicalSessionTimeoutMinutes": 30,
        "minWireVersion": 0,
        "maxWireVersion": 25,
        "readOnly": False,
        "ok": 1.0,
    }
)
_OK = bson.encode({"ok": 1.0})
_DOCUMENT = {"_id": 1, "name": "a name", "value": 12345, "tags": ["a", "b"], "nested": {"x": 1.5}}
_CURSOR = bson.encode(
    {
        "cursor": {"firstBatch": [_DOCUMENT], "id": bson.Int64(0), "ns": "bench.c"},
        "ok": 1.0,
    }
)
_INSERTED = bson.encode({"n": 1, "ok": 1.0})

# The element after the type byte: names end in a zero byte, so none is a prefix of another.
_REPLIES = {
    b"aggregate": _CURSOR,
    b"find": _CURSOR,
    b"hello": _HELLO,
    b"insert": _INSERTED,
    b"isMaster": _HELLO,
    b"ismaster": _HELLO,
    b"update": bson.encode({"n": 1, "nModified": 1, "ok": 1.0}),
}


def _op_msg(response_to: int, body: bytes) -> bytes:
    head = struct.pack("<iiiiIB", _BODY_START + len(body), 0, response_to, _OP_MSG, 0, 0)
    return head + body


def _op_reply(response_to: int, body: bytes) -> bytes:
    head = struct.pack("<iiiiiqii", 36 + len(body), 0, response_to, 1, 8, 0, 0, 1)
    return head + body


class NullProtocol(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer every whole message."""
        if self._held:
            data = self._held + data
        position = 0
        while len(data) - position >= _BODY_START:
            length, request_id, _ = _OPENING.unpack_from(data, position)
            if len(data) - position < length:
                break
            self._answer(data, position, request_id)
            position += length
        self._held = data[position:]

    def _answer(self, data: bytes, start: int, request_id: int) -> None:
        if data[start + 12 : start + 14] != b"\xdd\x07":
            self._transport.write(_op_reply(request_id, _HELLO))
            return
        name = start + _BODY_START + 5
        body = _REPLIES.get(data[name : data.index(0, name)], _OK)
        self._transport.write(_op_msg(request_id, body))


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(NullProtocol, "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
