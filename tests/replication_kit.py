"""A replica set of real processes, for tests."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from pymongo import MongoClient
from pymongo.errors import PyMongoError
from servers import Server

T = TypeVar("T")
Client = MongoClient[dict[str, Any]]
WAIT_SECONDS_MAX = 30.0


def free_ports(count: int) -> list[int]:
    """Return ports that are free now; a member's address must be known before it starts."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def until(condition: Callable[[], T], seconds: float = WAIT_SECONDS_MAX) -> T:
    """Return the condition's first true value; errors of the client count as false."""
    deadline = time.monotonic() + seconds
    error: Exception | None = None
    while time.monotonic() < deadline:
        try:
            value = condition()
        except PyMongoError as raised:
            error = raised
        else:
            if value:
                return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {error!r}")


class Replicas:
    """Members of one replica set.

    Attributes:
        members: The processes.
        hosts: Their addresses.

    """

    def __init__(self, folder: Path, count: int, *flags: str, role: str = "shardsvr") -> None:
        self.folder = folder
        self.role = role
        self.flags = flags
        self.members: list[Server] = []
        self.hosts: list[str] = []
        self._clients: list[Client] = []
        for _ in range(count):
            self.describe()

    def describe(self) -> int:
        """Add a member that is not started; return its number."""
        number = len(self.members)
        port = free_ports(1)[0]
        path = self.folder / f"m{number}"
        arguments = [self.role, "--dbpath", str(path), "--replSet", "rs0", *self.flags]
        self.members.append(Server(arguments, path, port))
        self.hosts.append(f"127.0.0.1:{port}")
        return number

    @property
    def uri(self) -> str:
        """Connection string of the whole set."""
        return f"mongodb://{','.join(self.hosts)}/?replicaSet=rs0"

    def start(self) -> None:
        """Start all processes, beside each other."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(Server.start, self.members))

    def direct(self, number: int, **options: Any) -> Client:
        """Connect to one member alone."""
        client: Client = MongoClient(
            self.hosts[number], directConnection=True, serverSelectionTimeoutMS=2000, **options
        )
        self._clients.append(client)
        return client

    def client(self, **options: Any) -> Client:
        """Connect to the set."""
        client: Client = MongoClient(self.uri, **options)
        self._clients.append(client)
        return client

    def configuration(self, count: int | None = None) -> dict[str, Any]:
        """Return the configuration of the first members."""
        hosts = self.hosts[: count or len(self.hosts)]
        rows = [{"_id": number, "host": host} for number, host in enumerate(hosts)]
        document: dict[str, Any] = {"_id": "rs0", "members": rows}
        if self.role == "configsvr":
            document["configsvr"] = True
        return document

    def initiate(self, count: int | None = None) -> None:
        """Found the set and wait for its primary."""
        self.direct(0).admin.command("replSetInitiate", self.configuration(count))
        self.primary()

    def primary(self) -> int:
        """Wait for a primary; return its number."""
        return until(self._find_primary) - 1

    def _find_primary(self) -> int:
        for number, member in enumerate(self.members):
            if member.process is None or member.process.poll() is not None:
                continue
            client = self.direct(number)
            try:
                if client.admin.command("hello")["isWritablePrimary"]:
                    return number + 1
            except PyMongoError:
                continue
            finally:
                client.close()
        return 0

    def settled(self) -> bool:
        """Whether all running members have applied the same log."""
        times = set()
        for number, member in enumerate(self.members):
            if member.process is None or member.process.poll() is not None:
                continue
            client = self.direct(number)
            reply = client.admin.command("hello")
            client.close()
            if "lastWrite" not in reply:
                return False
            last = reply["lastWrite"]
            times.add((last["opTime"]["ts"], last["majorityOpTime"]["ts"]))
        return len(times) == 1 and all(a == b for a, b in times)

    def close(self) -> None:
        """Stop all."""
        for client in self._clients:
            client.close()
        for member in self.members:
            if member.process is not None and member.process.poll() is None:
                member.process.terminate()
        for member in self.members:
            if member.process is not None:
                member.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
