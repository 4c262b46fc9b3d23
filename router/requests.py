"""The router's own requests to shards on a client's behalf, and reading their replies raw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.shard_versions import Routed
from psdb_base.values import Document
from psdb_wire.channel import error_of, raise_for
from psdb_wire.frames import OP_MSG, Message, build_op_msg
from router.shards import Shard

if TYPE_CHECKING:
    from psdb_wire.connection import Connection

BODY_AT: Final = 21
NOT_OK: Final = b"\x01ok\x00\0\0\0\0\0\0\0\0"
_TIMES: Final = ("$clusterTime", "operationTime")


async def send(
    channel: Shard, connection: Connection, db: str, command: Document,
    routed: Routed | None = None, sequences: Sequence[tuple[str, list[bytes]]] = (),
) -> bytes:
    """Send a command and return the reply's body as it came, ok or not."""
    command = {**command, "$db": db}
    body = bson_codec.encode(command)
    raw = build_op_msg(1, 0, body, sequences=sequences)
    message = Message(
        raw, 1, 0, OP_MSG, 0, body, list(sequences), decoded=command, routed=routed
    )
    reply = await channel.forward(connection, message)
    assert reply is not None, "the command wants a reply"
    return reply[BODY_AT:]


def is_error(body: bytes) -> bool:
    """Tell whether a reply's body is an error, which begins with `ok: 0`."""
    return body[4:16] == NOT_OK


def decoded(body: bytes) -> Document:
    """Decode a reply's body; raise the error it tells of."""
    return raise_for(bson_codec.decode(body))


def without_times(document: Document) -> Document:
    """Return a reply without `ok` and the cluster's times."""
    return {
        name: value for name, value in document.items() if name not in ("ok", *_TIMES)
    }


def read_batch(body: bytes) -> tuple[int, list[bytes]]:
    """Return cursor id and raw documents of a cursor's reply.

    Raises:
        MongoError: The error of a reply that is not ok.

    """
    if is_error(body):
        raise error_of(bson_codec.decode(body))
    cursor = next((value for name, _, value in bson_codec.fields(body) if name == "cursor"), None)
    if cursor is None:
        raise MongoError(Code.PROTOCOL_ERROR, "a cursor was expected")
    cursor_id, batch = 0, b""
    for name, _kind, value in bson_codec.fields(cursor):
        if name == "id":
            cursor_id = int.from_bytes(value, "little", signed=True)
        elif name in ("firstBatch", "nextBatch"):
            batch = value
    return cursor_id, [value for _name, _kind, value in bson_codec.fields(batch)]


def generic_of(body: Document) -> Document:
    """Return the generic arguments of a client's command that go along with the router's own."""
    names = (
        "lsid", "comment", "maxTimeMS", "readConcern", "$readPreference", "apiVersion",
        "apiStrict", "apiDeprecationErrors", "$clusterTime",
    )
    return {name: body[name] for name in names if name in body}


async def command(
    channel: Shard, connection: Connection, db: str, document: Document,
    routed: Routed | None = None,
) -> Any:
    """Run a command and return its decoded reply, or raise its error."""
    return decoded(await send(channel, connection, db, document, routed))
