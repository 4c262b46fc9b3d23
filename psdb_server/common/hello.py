"""`hello` and its legacy spelling `isMaster`, awaitable and streaming.

A client that sends back the `topologyVersion` it knows waits until the topology changes or
`maxAwaitTimeMS` is over; with exhaustAllowed the answers come as a stream (drivers' "Server
Monitoring" specification).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64
from bson.objectid import ObjectId

from psdb_base import bson_codec, limits
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request, StreamReply
from psdb_server.fields import Field
from psdb_server.node import Node
from psdb_server.operations import shutting_down
from psdb_wire.compression import DEFAULT_ENABLED, negotiate
from psdb_wire.frames import EXHAUST_ALLOWED

CLIENT_METADATA_BYTES_MAX: Final = 512
APP_NAME_BYTES_MAX: Final = 128


async def hello(request: Request) -> Reply:
    """Describe this server to a driver."""
    node, connection = request.node, request.connection
    if "internalClient" in request.args:
        connection.internal = True
    if "client" in request.args:
        _take_metadata(request)
    if "compression" in request.args:
        enabled = node.options.get("net", {}).get("compressors", DEFAULT_ENABLED)
        connection.compressors = negotiate(request.args["compression"], enabled)
    known = _known_version(request)
    if known is None:
        return _describe(request)
    wait = request.args["maxAwaitTimeMS"] / 1000
    if request.message.flags & EXHAUST_ALLOWED:
        return StreamReply(_stream(request, known, wait))
    await _changed(node, known, wait)
    return _describe(request)


def _known_version(request: Request) -> tuple[ObjectId, int] | None:
    """Return the topology version the client knows, when it wants to wait for a newer one."""
    version = request.args.get("topologyVersion")
    if version is None:
        if "maxAwaitTimeMS" in request.args:
            raise MongoError(
                31368, "A request with a 'maxAwaitTimeMS' must include a 'topologyVersion'"
            )
        return None
    if "maxAwaitTimeMS" not in request.args:
        raise MongoError(
            31368, "A request with a 'topologyVersion' must include 'maxAwaitTimeMS'"
        )
    process, counter = version.get("processId"), version.get("counter")
    if type(process) is not ObjectId or type(counter) is not Int64:
        raise MongoError(
            Code.TYPE_MISMATCH, "topologyVersion must hold processId and counter"
        )
    return process, counter


async def _changed(node: Node, known: tuple[ObjectId, int], seconds: float) -> None:
    """Return when the topology differs from what the client knows, or after `seconds`."""
    if known[0] != node.process_id or known[1] != node.topology_counter:
        return
    event = node.topology_changed
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


async def _stream(
    request: Request, known: tuple[ObjectId, int], seconds: float
) -> AsyncIterator[Document]:
    while not request.connection.closed:
        await _changed(request.node, known, seconds)
        document = _describe(request)
        yield document
        version = document["topologyVersion"]
        known = version["processId"], version["counter"]


def _describe(request: Request) -> Document:
    """Build the reply, in MongoDB's order; 91 from a server that is stopping."""
    node, connection = request.node, request.connection
    if node.stopping:
        raise shutting_down({"remainingQuiesceTimeMillis": Int64(0)})
    document: Document = {}
    if request.args.get("helloOk"):
        document["helloOk"] = True
    primary = "isWritablePrimary" if request.command.name == "hello" else "ismaster"
    document |= node.describe_role(primary)
    document |= {
        "topologyVersion": node.topology_version(),
        "maxBsonObjectSize": limits.DOCUMENT_BYTES_MAX,
        "maxMessageSizeBytes": limits.MESSAGE_BYTES_MAX,
        "maxWriteBatchSize": limits.WRITE_BATCH_COUNT_MAX,
        "localTime": DatetimeMS(node.world.clock.now_ms()),
        "logicalSessionTimeoutMinutes": limits.SESSION_IDLE_MINUTES,
        "connectionId": connection.id,
        "minWireVersion": limits.WIRE_VERSION_MIN,
        "maxWireVersion": limits.WIRE_VERSION_MAX,
        "readOnly": False,
    }
    if connection.compressors:
        document["compression"] = list(connection.compressors)
    return document


def _take_metadata(request: Request) -> None:
    """Check and keep the client's description of itself (drivers' "Handshake")."""
    client = request.args["client"]
    if request.connection.client:
        raise MongoError(
            Code.CLIENT_METADATA_CANNOT_BE_MUTATED,
            "The client metadata document may only be sent in the first hello",
        )
    if len(bson_codec.encode(client)) > CLIENT_METADATA_BYTES_MAX and "mongos" not in client:
        raise MongoError(
            Code.CLIENT_METADATA_DOCUMENT_TOO_LARGE,
            "The client metadata document must be less then or equal to "
            f"{CLIENT_METADATA_BYTES_MAX} bytes",
        )
    for section, names in (("driver", ("name", "version")), ("os", ("type",))):
        part = client.get(section)
        for name in names:
            if type(part) is not dict or type(part.get(name)) is not str:
                raise MongoError(
                    Code.CLIENT_METADATA_MISSING_FIELD,
                    f"Missing required field '{section}.{name}' in the client metadata document",
                )
    application: Any = client.get("application", {})
    name = application.get("name", "") if type(application) is dict else ""
    if type(name) is str and len(name.encode()) > APP_NAME_BYTES_MAX:
        raise MongoError(
            Code.CLIENT_METADATA_APP_NAME_TOO_LARGE,
            f"The 'application.name' field must be less then or equal to {APP_NAME_BYTES_MAX} "
            "bytes",
        )
    request.connection.client = client
    request.node.world.log.write(
        "I", "NETWORK", 51800, "client metadata",
        {"remote": request.connection.peer_name, "client": f"conn{request.connection.id}",
         "doc": {"driver": client["driver"], "os": {"type": client["os"]["type"]}}},
    )


_FIELDS = (
    Field("client", "object"),
    Field("compression", "array"),
    Field("helloOk", "safe bool"),
    Field("internalClient", "object"),
    Field("maxAwaitTimeMS", "count"),
    Field("topologyVersion", "object"),
)

COMMANDS = (
    Command(
        "hello", hello, _FIELDS, strict=False, api_v1=True, quiet=True,
        help="Describe this server's role and limits.",
    ),
    Command(
        "isMaster", hello, _FIELDS, strict=False, quiet=True,
        help="The legacy spelling of hello.",
    ),
    Command(
        "ismaster", hello, _FIELDS, strict=False, quiet=True,
        help="The legacy spelling of hello.",
    ),
)
