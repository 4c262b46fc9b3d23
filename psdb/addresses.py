"""Where the small tools look for a server: `HOST:PORT`, several of them, or a connection string."""

from __future__ import annotations

from typing import Final

from psdb_base.addresses import split_address
from psdb_base.errors import MongoError

_SCHEME: Final = "mongodb://"


def addresses_of(text: str) -> list[str]:
    """Return each `host:port` that a text names, which may be what `psdb up` prints.

    Credentials, database and options of a connection string are left out; an address without a
    port gets MongoDB's.

    Raises:
        ValueError: It names none, or a port that is none.

    """
    hosts = text.removeprefix(_SCHEME).partition("/")[0].rpartition("@")[2]
    return [_with_port(one, text) for one in hosts.split(",")]


def _with_port(address: str, text: str) -> str:
    try:
        host, port = split_address(address)
    except MongoError:
        message = f"bad address '{text}', expected HOST:PORT or a mongodb:// string"
        raise ValueError(message) from None
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
