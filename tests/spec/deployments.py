"""The PSDB deployments that cases run on, started when a case first needs one."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cluster.up import Cluster
from pymongo import MongoClient
from servers import Server

# How a client reaches each kind, by the names of the format's topologies.
TOPOLOGIES: Final[dict[str, frozenset[str]]] = {
    "replica set": frozenset({"replicaset"}),
    "replicated shards": frozenset({"sharded", "sharded-replicaset"}),
    "sharded": frozenset({"sharded"}),
    "single": frozenset({"single"}),
    "two routers": frozenset({"sharded"}),
}


KINDS: Final = ("sharded", "replica set", "single")
"""The kinds of deployments of a run; PSDB_SPEC_KINDS names others, for a soak."""


@dataclass(slots=True)
class Deployment:
    """A running deployment and an internal client of it.

    Attributes:
        kind: A row of `TOPOLOGIES`.
        hosts: Addresses of the routers, of the members, or of the one server.
        client: For set-up and checks; never an entity of a case.

    """

    kind: str
    hosts: list[str]
    client: MongoClient[Any] = field(init=False)
    version: tuple[int, int, int] = field(init=False)
    parameters: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.client = MongoClient(self.uri())
        info = self.client.admin.command("buildInfo")
        major, minor, patch = info["versionArray"][:3]
        self.version = (major, minor, patch)
        self.parameters = self.client.admin.command({"getParameter": "*"})

    def uri(self, *, all_routers: bool = False) -> str:
        """Return the connection string that a case's clients take."""
        if self.kind == "replica set":
            return f"mongodb://{','.join(self.hosts)}/?replicaSet=rs0"
        return f"mongodb://{','.join(self.hosts if all_routers else self.hosts[:1])}/"

    @property
    def topologies(self) -> frozenset[str]:
        """The topologies of the format that this one is."""
        return TOPOLOGIES[self.kind]

    @property
    def has_fail_points(self) -> bool:
        """Whether `configureFailPoint` is there."""
        return bool(self.parameters.get("enableTestCommands"))


class Deployments:
    """Starts deployments of each kind once, and stops them in the end.

    Args:
        folder: Where they keep their data.

    Attributes:
        kinds: Those a case may run on, the preferred first.

    """

    def __init__(self, folder: Path) -> None:
        named = os.environ.get("PSDB_SPEC_KINDS")
        self.kinds = tuple(named.split(",")) if named else KINDS
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self._running: dict[str, Deployment] = {}

    def get(self, kind: str) -> Deployment:
        """Return the deployment of a kind."""
        if kind not in self._running:
            deployment = Deployment(kind, _START[kind](self))
            self._stack.callback(deployment.client.close)
            self._running[kind] = deployment
        return self._running[kind]

    def close(self) -> None:
        """Stop what was started here."""
        self._stack.close()

    def _server(self, name: str, *arguments: str) -> str:
        path = self._folder / name
        server = Server([*arguments, "--setParameter", "enableTestCommands=1"], path)
        self._stack.enter_context(server)
        return f"127.0.0.1:{server.port}"

    def _sharded(self) -> list[str]:
        return [self._server("sharded", "up", "--dbpath", str(self._folder / "sharded"))]

    def _single(self) -> list[str]:
        return [self._server("single", "shardsvr", "--dbpath", str(self._folder / "single"))]

    def _cluster(self, *flags: str) -> list[str]:
        cluster = Cluster(
            self._folder / "-".join(flags), *flags, "--setParameter", "enableTestCommands=1"
        )
        self._stack.enter_context(cluster)
        return cluster.uri.removeprefix("mongodb://").split("/")[0].split(",")

    def _replica_set(self) -> list[str]:
        return self._cluster("--replset", "rs0", "--replicas", "3")

    def _replicated_shards(self) -> list[str]:
        return self._cluster("--shards", "2", "--replicas", "2", "--routers", "2")

    def _two_routers(self) -> list[str]:
        config = self._server("config", "configsvr", "--dbpath", str(self._folder / "config"))
        shard = self._server("shard", "shardsvr", "--dbpath", str(self._folder / "shard"))
        routers = [
            self._server(name, "router", "--configdb", config) for name in ("router0", "router1")
        ]
        with MongoClient(f"mongodb://{routers[0]}/") as client:
            client.admin.command("addShard", shard)
        return routers


_START: Final = {
    "replica set": Deployments._replica_set,
    "replicated shards": Deployments._replicated_shards,
    "sharded": Deployments._sharded,
    "single": Deployments._single,
    "two routers": Deployments._two_routers,
}
