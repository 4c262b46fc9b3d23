"""A small client of our own over the simulated network, with the drivers' rules for retries.

One connection, one request at a time. A retryable write carries `lsid` and `txnNumber` and is sent
again with the same ones after the connection was lost or a reply carries the label
`RetryableWriteError`, as the drivers' "Retryable Writes" specification has it; but here as often as
it takes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection
from typing import Any, cast

from bson.binary import Binary
from bson.int64 import Int64

from psdb_base.bson_codec import decode, encode
from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_base.world import Network
from psdb_wire.channel import raise_for
from psdb_wire.frames import MORE_TO_COME, FrameReader, build_op_msg, parse

RETRYABLE_LABEL = "RetryableWriteError"


class ConnectionLost(Exception):
    """No answer: the request may have been carried out or not."""


def statement_errors(reply: Document) -> list[int]:
    """Return the codes of the statements that failed: `writeErrors`, or those of a bulkWrite."""
    rows = [*reply.get("writeErrors", [])]
    if "nErrors" in reply:
        rows += [row for row in reply["cursor"]["firstBatch"] if not row["ok"]]
    return [row["code"] for row in rows]


class _Wire(asyncio.Protocol):
    """The bytes of one connection."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.reader = FrameReader()
        self.reply: asyncio.Future[bytes] | None = None
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for message in self.reader.feed(data):
            waiting, self.reply = self.reply, None
            assert waiting is not None, "a reply that nobody asked for"
            if not waiting.done():
                waiting.set_result(message)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self.reply is not None and not self.reply.done():
            self.reply.set_exception(ConnectionLost(str(exc)))


class SimClient:
    """A client of one server.

    Args:
        network: The client machine's.
        address: The server's name and port.
        seed: Gives the session's id.
        timeout_seconds: An answer that takes longer counts as a lost connection.

    Attributes:
        retries: How often a retryable write was sent again.
        retry_codes: Errors after which an application would try again, label or not.

    """

    def __init__(
        self, network: Network, address: tuple[str, int], seed: int, *,
        timeout_seconds: float = 10.0,
    ) -> None:
        self._network = network
        self._address = address
        self._timeout_seconds = timeout_seconds
        self._wire: _Wire | None = None
        self._request_id = 0
        self._txn_number = 0
        self._random = random.Random(f"client {seed}")
        self.lsid: Document = {"id": Binary(self._random.randbytes(16), 4)}
        self.retries = 0
        self.retry_codes: Collection[int] = ()

    async def close(self) -> None:
        """Close the connection."""
        if self._wire is not None:
            self._wire.transport.close()
            self._wire = None

    def abort(self) -> None:
        """Give the connection up without a word."""
        if self._wire is not None:
            self._wire.transport.abort()
            self._wire = None

    async def command(
        self,
        db: str,
        body: Document,
        sequences: dict[str, list[Document]] | None = None,
    ) -> Document:
        """Run a command; return its reply.

        Raises:
            ConnectionLost: It is not known whether it was carried out.
            MongoError: The reply is not ok.

        """
        reply = await self._send({**body, "$db": db}, sequences)
        return raise_for(cast("Document", reply))

    async def send_only(self, db: str, body: Document) -> None:
        """Send an unacknowledged write (`w: 0`)."""
        try:
            async with self._limit():
                wire = await self._connected()
        except OSError as error:  # TimeoutError is one
            raise ConnectionLost(str(error)) from error
        self._request_id += 1
        raw = encode({**body, "writeConcern": {"w": 0}, "$db": db})
        wire.transport.write(build_op_msg(self._request_id, 0, raw, flags=MORE_TO_COME))

    async def write(
        self,
        db: str,
        body: Document,
        sequences: dict[str, list[Document]] | None = None,
        *,
        pause_seconds: float = 0.2,
    ) -> Document:
        """Run a retryable write until it is answered, however often it takes."""
        self._txn_number += 1
        body = {**body, "lsid": self.lsid, "txnNumber": Int64(self._txn_number)}
        while True:
            try:
                reply = await self.command(db, body, sequences)
                if not any(code in self.retry_codes for code in statement_errors(reply)):
                    return reply
            except ConnectionLost:
                pass
            except MongoError as error:
                if RETRYABLE_LABEL not in error.labels and error.code not in self.retry_codes:
                    raise
            self.retries += 1
            await asyncio.sleep(pause_seconds * self._random.random() ** 4)

    async def find_all(self, db: str, find: Document) -> list[Document]:
        """Run a find and fetch all its batches."""
        reply = await self.command(db, find)
        cursor = reply["cursor"]
        found: list[Document] = cursor["firstBatch"]
        while cursor["id"]:
            more: Document = {"getMore": Int64(cursor["id"]), "collection": find["find"]}
            if "batchSize" in find:
                more["batchSize"] = find["batchSize"]
            cursor = (await self.command(db, more))["cursor"]
            found += cursor["nextBatch"]
        return found

    # -- insides -------------------------------------------------------------------------------

    def _limit(self) -> Any:
        return asyncio.timeout(self._timeout_seconds)

    async def _send(
        self, body: Document, sequences: dict[str, list[Document]] | None
    ) -> Document:
        try:
            async with self._limit():
                wire = await self._connected()
                return await self._request(wire, body, sequences)
        except TimeoutError as error:
            self.abort()
            raise ConnectionLost("no answer in time") from error
        except OSError as error:
            self._wire = None
            raise ConnectionLost(str(error)) from error

    async def _connected(self) -> _Wire:
        if self._wire is None or self._wire.closed:
            self._wire = None
            wire = cast("_Wire", await self._network.connect(*self._address, _Wire))
            try:
                await self._request(wire, {"hello": 1, "$db": "admin"}, None)
            except BaseException:
                wire.transport.abort()
                raise
            self._wire = wire
        return self._wire

    async def _request(
        self, wire: _Wire, body: Document, sequences: dict[str, list[Document]] | None
    ) -> Document:
        self._request_id += 1
        request_id = self._request_id
        encoded = [
            (name, [encode(document) for document in documents])
            for name, documents in (sequences or {}).items()
        ]
        wire.transport.write(build_op_msg(request_id, 0, encode(body), sequences=encoded))
        if wire.closed:
            raise ConnectionLost("closed")
        wire.reply = asyncio.get_running_loop().create_future()
        try:
            raw = await wire.reply
        except ConnectionLost:
            self._wire = None
            raise
        message = parse(raw)
        assert message.response_to == request_id, "a reply to another request"
        return decode(message.body)
