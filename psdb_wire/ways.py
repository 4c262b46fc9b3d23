"""Ways to other servers by their `host`, `host:port` or `set/host:port,…`.

A replica set keeps its name while its members come and go, so one way leads to it under whatever
`host` it is asked for. A set that has nothing but its name in common with a known one is another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def set_name(host: str) -> str:
    """Return the replica set of a `host`, nothing for a single server."""
    return host.rpartition("/")[0]


def addresses(host: str) -> list[str]:
    """Return the addresses that a `host` names, as they are compared: in lower case."""
    return host.rpartition("/")[2].lower().split(",")


def is_same_set(one: str, other: str) -> bool:
    """Tell whether two hosts name the same members of one set, in whatever order."""
    return set_name(one) == set_name(other) and set(addresses(one)) == set(addresses(other))


class Ways:
    """The ways of one server.

    Args:
        connect: Makes the way to a host.

    """

    def __init__(self, connect: Callable[[str], Any]) -> None:
        self._connect = connect
        self._known: dict[str, list[Any]] = {}

    def to(self, host: str) -> Any:
        """Return the way to a host, which is made when none leads there."""
        found = self._known.setdefault(set_name(host) or host, [])
        for way in found:
            if way.leads_to(host):
                return way
        made = self._connect(host)
        found.append(made)
        return made

    def all(self) -> list[Any]:
        """Return all ways, in order of their names."""
        return [way for _name, ways in sorted(self._known.items()) for way in ways]
