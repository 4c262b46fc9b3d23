"""A router's view of one replica set: a description, and the pure update from `hello` replies.

`ReplicaSet.updated` follows the drivers' "Server Discovery and Monitoring" specification for a
set whose name is known. Invariants:
- at most one member is held for the primary;
- a primary of an older election than one seen before is never believed;
- a primary's list of hosts is the membership; without a primary hosts are only added.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from bson.objectid import ObjectId

from psdb_base.values import Document

UNKNOWN: Final = "Unknown"
PRIMARY: Final = "RSPrimary"
SECONDARY: Final = "RSSecondary"
OTHER: Final = "RSOther"
GHOST: Final = "RSGhost"
STANDALONE: Final = "Standalone"


class Election(NamedTuple):
    """Which election made a primary; a later one compares greater."""

    election_id: ObjectId
    set_version: int


@dataclass(frozen=True, slots=True)
class Server:
    """What is known of one member.

    Attributes:
        address: `host:port`, lower case.
        kind: One of the kinds above.
        hosts: Members its reply names (hosts, passives, arbiters).
        last_write_ms: Wall time of its last write, None when it is not known.
        updated: When the reply came, in monotonic seconds.
        round_trip: Seconds a hello takes, smoothed.
        version: Its `topologyVersion`, to wait for the next.
        error: Why it is unknown.

    """

    address: str
    kind: str = UNKNOWN
    set_name: str | None = None
    me: str | None = None
    hosts: tuple[str, ...] = ()
    primary: str | None = None
    election: Election | None = None
    tags: tuple[tuple[str, str], ...] = ()
    last_write_ms: int | None = None
    updated: float = 0.0
    round_trip: float = 0.0
    version: Document | None = field(default=None, compare=False)
    error: str = ""


def unknown(address: str, error: str) -> Server:
    """Describe a member that does not answer, or is no longer believed."""
    return Server(address, error=error)


def described(address: str, reply: Document, *, now: float, round_trip: float) -> Server:
    """Describe a member by its reply to `hello`."""
    hosts: list[str] = []
    for name in ("hosts", "passives", "arbiters"):
        hosts += [host.lower() for host in reply.get(name, ())]
    election = None
    if isinstance(reply.get("electionId"), ObjectId):
        election = Election(reply["electionId"], int(reply.get("setVersion", 0)))
    last_write = reply.get("lastWrite", {}).get("lastWriteDate")
    return Server(
        address, _kind(reply), reply.get("setName"), _lower(reply.get("me")), tuple(hosts),
        _lower(reply.get("primary")), election,
        tuple(sorted((name, str(value)) for name, value in reply.get("tags", {}).items())),
        None if last_write is None else int(last_write), now, round_trip,
        reply.get("topologyVersion"),
    )


def _kind(reply: Document) -> str:
    if reply.get("ok") != 1:
        return UNKNOWN
    if reply.get("isreplicaset"):
        return GHOST
    if "setName" not in reply:
        return STANDALONE
    if reply.get("hidden"):
        return OTHER
    if reply.get("isWritablePrimary"):
        return PRIMARY
    return SECONDARY if reply.get("secondary") else OTHER


def _lower(host: Any) -> str | None:
    return host.lower() if type(host) is str else None


@dataclass(frozen=True, slots=True)
class ReplicaSet:
    """All that is known of a set.

    Attributes:
        name: Its name; replies of other sets are not believed.
        servers: The members, sorted by address.
        latest: The latest election seen.

    """

    name: str
    servers: tuple[Server, ...]
    latest: Election | None = None

    @classmethod
    def seeded(cls, name: str, addresses: list[str]) -> ReplicaSet:
        """Begin with the addresses of a connection string."""
        return cls(name, tuple(Server(address) for address in sorted(map(str.lower, addresses))))

    @property
    def primary(self) -> Server | None:
        """The primary, when one is known."""
        for server in self.servers:
            if server.kind == PRIMARY:
                return server
        return None

    @property
    def addresses(self) -> list[str]:
        """The members' addresses, sorted."""
        return [server.address for server in self.servers]

    def server(self, address: str) -> Server | None:
        """Return what is known of a member, None for a stranger."""
        for server in self.servers:
            if server.address == address:
                return server
        return None

    def updated(self, server: Server) -> ReplicaSet:
        """Return the view after news of one member."""
        if self.server(server.address) is None:
            return self  # it was removed while its reply was under way
        if server.kind in (PRIMARY, SECONDARY, OTHER) and server.set_name != self.name:
            return self.without(server.address)
        if server.kind == STANDALONE:
            return self.with_server(unknown(server.address, "it is not a member of a replica set"))
        if server.kind == PRIMARY:
            return self._with_primary(server)
        if server.kind in (SECONDARY, OTHER):
            return self._with_secondary(server)
        return self.with_server(server)

    def _with_primary(self, server: Server) -> ReplicaSet:
        """Believe a primary of the latest election; its hosts are the members."""
        view = self
        if server.election is not None:
            if self.latest is not None and server.election < self.latest:
                return self.with_server(unknown(
                    server.address, "it takes itself for the primary of an older election"
                ))
            view = replace(view, latest=server.election)
        for other in view.servers:
            if other.kind == PRIMARY and other.address != server.address:
                view = view.with_server(unknown(other.address, "there is a newer primary"))
        view = view.with_server(server).with_hosts(server.hosts)
        kept = tuple(one for one in view.servers if one.address in server.hosts)
        return replace(view, servers=kept)

    def _with_secondary(self, server: Server) -> ReplicaSet:
        view = self.with_server(server)
        if self.primary is None or self.primary.address == server.address:
            view = view.with_hosts(server.hosts)
        if server.me is not None and server.me != server.address:
            return view.without(server.address)
        return view

    def with_server(self, server: Server) -> ReplicaSet:
        """Return the view with what is known of one member replaced."""
        servers = tuple(
            server if one.address == server.address else one for one in self.servers
        )
        return replace(self, servers=servers)

    def with_hosts(self, hosts: tuple[str, ...]) -> ReplicaSet:
        """Return the view with members not known before."""
        fresh = [Server(host) for host in hosts if self.server(host) is None]
        if not fresh:
            return self
        servers = sorted((*self.servers, *fresh), key=lambda one: one.address)
        return replace(self, servers=tuple(servers))

    def without(self, address: str) -> ReplicaSet:
        """Return the view without a member."""
        return replace(
            self, servers=tuple(one for one in self.servers if one.address != address)
        )
