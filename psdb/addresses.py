"""Where the small tools look for a server: `HOST:PORT`, several of them, or a connection string."""

from __future__ import annotations

from typing import Final

DEFAULT_PORT: Final = 27017
_SCHEME: Final = "mongodb://"


def addresses_of(text: str) -> list[str]:
    """Return each `host:port` that a text names, which may be what `psdb up` prints.

    Credentials, database and options of a connection string are left out; an address without a
    port gets MongoDB's.

    Raises:
        ValueError: It names none, or a port that is no number.

    """
    hosts = text.removeprefix(_SCHEME).partition("/")[0].rpartition("@")[2]
    return [_with_port(one, text) for one in hosts.split(",")]


def _with_port(address: str, text: str) -> str:
    host, colon, port = address.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = address, str(DEFAULT_PORT)
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"bad address '{text}', expected HOST:PORT or a mongodb:// string")
    return f"{host}:{port}"
