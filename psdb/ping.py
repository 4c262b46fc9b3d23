"""`psdb ping`: a health check that costs one socket and no driver."""

from __future__ import annotations

import socket
import sys

from psdb_base import bson_codec
from psdb_base.errors import MongoError
from psdb_wire.frames import FrameReader, build_op_msg, parse


def ping(addresses: list[str], timeout_seconds: float) -> int:
    """Ask servers until one answers; return 0 when one does, 1 when none."""
    for address in addresses:
        try:
            reply = _ask(address, timeout_seconds)
        except (OSError, MongoError) as error:
            sys.stderr.write(f"{address}: {error}\n")
            continue
        if reply.get("ok") == 1.0:
            sys.stdout.write(f"{address} answers\n")
            return 0
        sys.stderr.write(f"{address}: {reply.get('errmsg')}\n")
    return 1


def _ask(address: str, timeout_seconds: float) -> dict[str, object]:
    host, _, port = address.rpartition(":")
    body = bson_codec.encode({"ping": 1, "$db": "admin"})
    reader = FrameReader()
    with socket.create_connection((host.strip("[]"), int(port)), timeout_seconds) as connection:
        connection.settimeout(timeout_seconds)
        connection.sendall(build_op_msg(1, 0, body))
        while True:
            data = connection.recv(65536)
            if not data:
                raise OSError("the server closed the connection")
            for raw in reader.feed(data):
                return bson_codec.decode(parse(raw).body)
