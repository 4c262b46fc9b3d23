"""What `psdb up` starts when one process is not enough: names, roles, ports, folders.

The layout is written to `cluster.json` in the dbpath, so that the next start finds the same
members at the same ports. More shards, routers or members may be asked for then, not fewer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

FILE: Final = "cluster.json"
FORMAT: Final = 1
MEMBERS_MAX: Final = 50
HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the cluster.

    Attributes:
        name: As its folder, its log and messages call it.
        role: The command: `shardsvr`, `configsvr` or `router`.
        replica_set: The set it belongs to, "" for a router.
        port: Where it listens.

    """

    name: str
    role: str
    replica_set: str
    port: int

    @property
    def address(self) -> str:
        """Where it is reached."""
        return f"{HOST}:{self.port}"


@dataclass(frozen=True, slots=True)
class Shape:
    """How many of each; a plain replica set when `replica_set` names it."""

    replica_set: str = ""
    replicas: int = 1
    shards: int = 1
    config_servers: int = 1
    routers: int = 1

    @property
    def is_one_process(self) -> bool:
        """Whether one process holds all of it."""
        one = self.replicas == self.shards == self.config_servers == self.routers == 1
        return one and not self.replica_set

    def check(self) -> None:
        """Raise ValueError, with the flag, for numbers that make no cluster."""
        for flag, number in (
            ("replicas", self.replicas), ("shards", self.shards),
            ("configsvrs", self.config_servers), ("routers", self.routers),
        ):
            if not 1 <= number <= MEMBERS_MAX:
                raise ValueError(f"--{flag} must be between 1 and {MEMBERS_MAX}, got {number}")
            if self.replica_set and flag != "replicas" and number != 1:
                raise ValueError(f"--{flag} does not go with --replset, which has no router")

    def processes(self) -> list[tuple[str, str, str]]:
        """Return (name, role, replica set) of each process, those that clients use first."""
        if self.replica_set:
            return _members(self.replica_set, "shardsvr", self.replicas)
        found = [(f"router-{number}", "router", "") for number in range(self.routers)]
        for number in range(self.shards):
            found += _members(f"shard{number}", "shardsvr", self.replicas)
        return found + _members("config", "configsvr", self.config_servers)


def _members(name: str, role: str, count: int) -> list[tuple[str, str, str]]:
    return [(f"{name}-{number}", role, name) for number in range(count)]


@dataclass(frozen=True, slots=True)
class Layout:
    """The processes of one dbpath."""

    dbpath: Path
    processes: tuple[Process, ...]

    @classmethod
    def plan(
        cls, dbpath: Path, shape: Shape, port: int, free_port: Callable[[], int]
    ) -> Layout:
        """Lay out a cluster, as it was before where there was one.

        Args:
            dbpath: Folder of the whole cluster.
            shape: What is asked for.
            port: The first process's; others follow. 0 takes free ones.
            free_port: Gives a port that nobody listens on.

        Raises:
            ValueError: The folder holds another cluster, or fewer processes are asked for.

        """
        known = _read(dbpath)
        wanted = shape.processes()
        names = [name for name, _, _ in wanted]
        missing = [name for name in known if name not in names]
        if missing:
            raise ValueError(
                f"{dbpath} holds a cluster with {', '.join(missing)} as well: it cannot be "
                "started with fewer processes"
            )
        if not known and (dbpath / "shard0").exists():
            raise ValueError(f"{dbpath} holds a cluster of one process; take another --dbpath")
        taken = [process.port for process in known.values()]
        found = []
        for name, role, replica_set in wanted:
            process = known.get(name)
            if process is None:
                chosen = _next_port(port, taken) if port else free_port()
                taken.append(chosen)
                process = Process(name, role, replica_set, chosen)
            found.append(process)
        return cls(dbpath, tuple(found))

    def write(self) -> None:
        """Keep it for the next start."""
        self.dbpath.mkdir(parents=True, exist_ok=True)
        document = {
            "format": FORMAT, "processes": [asdict(process) for process in self.processes],
        }
        file = self.dbpath / FILE
        fresh = file.with_suffix(".json.new")
        fresh.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        fresh.replace(file)

    def of_role(self, role: str) -> list[Process]:
        """Return the processes of a role."""
        return [process for process in self.processes if process.role == role]

    def replica_sets(self) -> dict[str, list[Process]]:
        """Return the members of each replica set, by its name."""
        sets: dict[str, list[Process]] = {}
        for process in self.processes:
            if process.replica_set:
                sets.setdefault(process.replica_set, []).append(process)
        return sets

    def set_address(self, name: str) -> str:
        """Return `name/host:port,…`."""
        members = self.replica_sets()[name]
        return f"{name}/{','.join(member.address for member in members)}"

    @property
    def uri(self) -> str:
        """The connection string for drivers."""
        routers = self.of_role("router")
        if routers:
            return f"mongodb://{','.join(router.address for router in routers)}/"
        name = self.processes[0].replica_set
        hosts = ",".join(process.address for process in self.processes)
        return f"mongodb://{hosts}/?replicaSet={name}"

    def folder(self, process: Process) -> Path:
        """Return where a process keeps its data."""
        return self.dbpath / process.name

    def log(self, process: Process) -> Path:
        """Return where a process writes its log."""
        return self.dbpath / f"{process.name}.log"


def holds_processes(dbpath: Path) -> bool:
    """Tell whether a folder belongs to a cluster of several processes."""
    return (dbpath / FILE).exists()


def _next_port(port: int, taken: list[int]) -> int:
    while port in taken:
        port += 1
    return port


def _read(dbpath: Path) -> dict[str, Process]:
    try:
        text = (dbpath / FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    document: dict[str, Any] = json.loads(text)
    if document.get("format") != FORMAT:
        raise ValueError(f"{dbpath / FILE} has the format {document.get('format')}, not {FORMAT}")
    rows = [Process(**row) for row in document["processes"]]
    return {process.name: process for process in rows}
