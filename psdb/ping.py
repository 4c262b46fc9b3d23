"""`psdb ping`: a health check that costs one socket and no driver."""

from __future__ import annotations

import socket
import sys

from psdb_base import bson_codec
from psdb_base.errors import MongoError
from psdb_wire.frames import FrameReader, build_op_msg, parse


def ping(address: str, timeout_seconds: float) -> int:
    """Ask a server to answer; return 0 when it does, 1 when not."""
    if ":" not in address:
        address = f"{address}:27017"
    host, _, port = address.rpartition(":")
    try:
        reply = _ask(host.strip("[]") or "127.0.0.1", int(port), timeout_seconds)
    except (OSError, ValueError, MongoError) as error:
        sys.stderr.write(f"{address}: {error}\n")
        return 1
    if reply.get("ok") != 1.0:
        sys.stderr.write(f"{address}: {reply.get('errmsg')}\n")
        return 1
    sys.stdout.write(f"{address} answers\n")
    return 0


def _ask(host: str, port: int, timeout_seconds: float) -> dict[str, object]:
    body = bson_codec.encode({"ping": 1, "$db": "admin"})
    reader = FrameReader()
    with socket.create_connection((host, port), timeout_seconds) as connection:
        connection.settimeout(timeout_seconds)
        connection.sendall(build_op_msg(1, 0, body))
        while True:
            data = connection.recv(65536)
            if not data:
                raise OSError("the server closed the connection")
            for raw in reader.feed(data):
                return bson_codec.decode(parse(raw).body)
