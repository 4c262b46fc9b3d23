"""The PSDB deployments that cases run on, started when a case first needs one."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pymongo import MongoClient
from servers import Server

# How a client reaches each kind, by the names of the format's topologies.
TOPOLOGIES: Final[dict[str, frozenset[str]]] = {
    "sharded": frozenset({"sharded"}),
    "single": frozenset({"single"}),
    "two routers": frozenset({"sharded"}),
}


@dataclass(slots=True)
class Deployment:
    """A running deployment and an internal client of it.

    Attributes:
        kind: A row of `TOPOLOGIES`.
        hosts: Addresses of the routers, or of the one server.
        client: For set-up and checks; never an entity of a case.

    """

    kind: str
    hosts: list[str]
    client: MongoClient[Any] = field(init=False)
    version: tuple[int, int, int] = field(init=False)
    parameters: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.client = MongoClient(f"mongodb://{self.hosts[0]}/")
        info = self.client.admin.command("buildInfo")
        major, minor, patch = info["versionArray"][:3]
        self.version = (major, minor, patch)
        self.parameters = self.client.admin.command({"getParameter": "*"})

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

    """

    def __init__(self, folder: Path) -> None:
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
    "sharded": Deployments._sharded,
    "single": Deployments._single,
    "two routers": Deployments._two_routers,
}
