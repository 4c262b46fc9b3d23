"""`host:port`, as servers are named in configurations and on command lines."""

from __future__ import annotations

from typing import Final

from psdb_base.codes import Code
from psdb_base.errors import MongoError

DEFAULT_PORT: Final = 27017


def split_address(address: str) -> tuple[str, int]:
    """Split `host:port`; an IPv6 host may stand in brackets, and 27017 need not be said.

    Raises FailedToParse (9) without a host, or for a port that is no number from 1 to 65535.
    """
    host, colon, port = address.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = address, str(DEFAULT_PORT)
    if not host:
        raise MongoError(
            Code.FAILED_TO_PARSE, f'Empty host component parsing HostAndPort from "{address}"'
        )
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise MongoError(
            Code.FAILED_TO_PARSE,
            f'Port number "{port}" is not valid, parsing HostAndPort from "{address}"',
        )
    return host.strip("[]"), int(port)
