"""The fail point `failCommand`: a command fails, is held up, or loses its connection.

It is looked at twice: before a command runs (`blockConnection`, `closeConnection`, `errorCode`,
in this order), and, where the data hold `writeConcernError`, after it ran. `errorLabels` in its
data replace the labels the server would have given.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server import replies
from psdb_server.command import ALIASES
from psdb_server.fail_points import ENDS, concerns
from psdb_server.labels import RETRYABLE_CODES, RETRYABLE_WRITE_ERROR, labelled
from psdb_wire.frames import append_fields

if TYPE_CHECKING:
    from psdb_server.node import Node
    from psdb_wire.connection import Connection, Stream
    from psdb_wire.frames import Message

_OP_MSG_BODY: Final = 21
_NEVER_FAIL: Final = frozenset({"configureFailPoint"})


class ConnectionEnded(Exception):  # noqa: N818 -- no error of ours: a test asked for it
    """The fail point closed the connection: there is no reply."""


async def answer(
    node: Node, connection: Connection, message: Message, body: Document
) -> bytes | Stream | None:
    """Answer a command while fail points are on; see `Node.answer`."""
    try:
        await before(node, connection, body)
        node.fail_points.on_time_limit(body)
    except ConnectionEnded:
        return None
    except MongoError as error:
        return node.error_message(error, message, ordered=True)
    reply = await node.answer(connection, message, body)
    if connection.state.pop(ENDS, False):
        connection.close()
        return None
    if type(reply) is not bytes:
        return reply
    return _with_write_concern_error(node, connection, body, reply)


async def before(node: Node, connection: Connection, body: Document) -> None:
    """Raise what the fail point has for a command that is about to run.

    Raises:
        MongoError: `errorCode`, with its labels.
        ConnectionEnded: `closeConnection`.

    """
    data = _fire(node, connection, body, ("blockConnection", "closeConnection", "errorCode"))
    if data is None:
        return
    if data.get("blockConnection"):
        await asyncio.sleep(_block_seconds(data))
    if data.get("closeConnection"):
        connection.close()
        raise ConnectionEnded
    if "errorCode" not in data:
        return
    error: Exception = MongoError(
        int(data["errorCode"]), "Failing command via 'failCommand' failpoint",
        labels=tuple(data.get("errorLabels", ())), extra=data.get("errorExtraInfo"),
    )
    raise error if "errorLabels" in data else labelled(error, body)


def _block_seconds(data: Document) -> float:
    milliseconds = data.get("blockTimeMS")
    if milliseconds is None:
        raise MongoError(
            Code.INVALID_OPTIONS, "must specify 'blockTimeMS' when 'blockConnection' is true"
        )
    if milliseconds < 0:
        raise MongoError(Code.INVALID_OPTIONS, "'blockTimeMS' must be non-negative")
    return float(milliseconds) / 1000


def _with_write_concern_error(
    node: Node, connection: Connection, body: Document, reply: bytes
) -> bytes:
    """Add the fail point's `writeConcernError` to the reply of a command that succeeded."""
    if bson_codec.decode(reply[_OP_MSG_BODY:]).get("ok") != 1.0:
        return reply
    data = _fire(node, connection, body, ("writeConcernError",))
    if data is None:
        return reply
    failure = data["writeConcernError"]
    added: Document = {"writeConcernError": failure}
    if "errorLabels" in data:
        labels = list(data["errorLabels"])
    elif failure.get("code") in RETRYABLE_CODES and "txnNumber" in body and node.role == "mongod":
        labels = [RETRYABLE_WRITE_ERROR]
    else:
        labels = []
    if labels:
        added["errorLabels"] = labels
    return append_fields(reply, replies.document_elements(added))


def _fire(
    node: Node, connection: Connection, body: Document, effects: tuple[str, ...]
) -> Document | None:
    """Return the data when the fail point has one of these effects on this command."""
    name = _canonical(next(iter(body), ""))
    target = body.get(next(iter(body), ""))
    if name == "getMore":
        target = body.get("collection")
    db = body.get("$db", "admin")
    ns = f"{db}.{target}" if type(target) is str else f"{db}.$cmd"

    def holds(data: Document) -> bool:
        return (
            any(data.get(effect) not in (None, False) for effect in effects)
            and _names(data, name)
            and concerns(data, connection, ns, body.get("client"))
        )

    return node.fail_points.fire("failCommand", holds)


def _names(data: Document, name: str) -> bool:
    """Tell whether the data name a command, by any of its spellings."""
    if name in _NEVER_FAIL:
        return False
    if data.get("failAllCommands"):
        return True
    chosen: Any = data.get("failCommands", ())
    return any(_canonical(other) == name for other in chosen if type(other) is str)


def _canonical(name: str) -> str:
    name = ALIASES.get(name, name)
    return "isMaster" if name == "ismaster" else name
