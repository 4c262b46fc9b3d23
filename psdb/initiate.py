"""`psdb initiate`: make replica sets of running members, and a sharded cluster of replica sets.

The one-off step between starting the processes and using them. Every action is taken only after a
look at what is there, so it may run again after any of its steps failed, beside itself, and on a
cluster that is complete.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from psdb_base.errors import Code

if TYPE_CHECKING:
    from pymongo import MongoClient

T = TypeVar("T")
_POLL_SECONDS: Final = 0.2
_SERVER_SELECTION_MS: Final = 2000
_DONE_BEFORE: Final = frozenset({int(Code.ALREADY_INITIALIZED)})


class SetAddress(NamedTuple):
    """A replica set: `name/host:port,host:port`."""

    name: str
    hosts: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> SetAddress:
        """Read `name/host:port,…`; ValueError for anything else."""
        name, slash, rest = text.partition("/")
        hosts = tuple(rest.split(","))
        if not slash or not name or not all(":" in host for host in hosts):
            raise ValueError(f"bad replica set '{text}', expected NAME/HOST:PORT,HOST:PORT")
        return cls(name, hosts)

    def __str__(self) -> str:
        return f"{self.name}/{','.join(self.hosts)}"


def initiate(
    config: SetAddress | None, shards: list[SetAddress], router: str | None, timeout_seconds: float
) -> int:
    """Initiate the sets, add the shards; return 0, or 1 with a line on stderr."""
    from pymongo.errors import PyMongoError

    deadline = time.monotonic() + timeout_seconds
    try:
        for address in ([config] if config is not None else []) + shards:
            _initiate_set(address, deadline, config=address is config)
        if router is not None:
            _add_shards(router, shards, deadline)
    except (PyMongoError, TimeoutError) as error:
        sys.stderr.write(f"psdb initiate: {error}\n")
        return 1
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _client(host: str) -> MongoClient[dict[str, Any]]:
    """Connect to one server, whatever it is."""
    from pymongo import MongoClient

    return MongoClient(
        host, directConnection=True, serverSelectionTimeoutMS=_SERVER_SELECTION_MS, connect=False
    )


def _until(what: str, deadline: float, ask: Callable[[], T | None]) -> T:
    """Ask until there is an answer; unreachable servers and failing commands are asked again."""
    from pymongo.errors import ConnectionFailure, OperationFailure

    reason = "no answer"
    while True:
        try:
            answer = ask()
        except (ConnectionFailure, OperationFailure) as error:
            reason = str(error).split(", Timeout:", 1)[0]
        else:
            if answer is not None:
                return answer
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{what}: gave up waiting ({reason})")
        time.sleep(_POLL_SECONDS)


def _initiate_set(address: SetAddress, deadline: float, *, config: bool) -> None:
    """Bring a set up to a primary; a set that is initiated is left as it is."""
    for host in address.hosts:
        with _client(host) as client:
            _until(f"{address.name} at {host}", deadline, lambda: client.admin.command("ping"))
    with _client(address.hosts[0]) as client:
        if _is_initiated(client):
            _say(f"{address} is initiated")
        else:
            _until(str(address), deadline, lambda: _replset_initiate(client, address, config))
            _say(f"{address} initiated")
        primary = _until(
            f"a primary of {address}", deadline,
            lambda: client.admin.command("hello").get("primary"),
        )
    _say(f"{address.name}: primary is {primary}")


def _is_initiated(client: MongoClient[dict[str, Any]]) -> bool:
    return bool(client.admin.command("hello").get("setName"))


def _replset_initiate(
    client: MongoClient[dict[str, Any]], address: SetAddress, config: bool
) -> bool:
    from pymongo.errors import OperationFailure

    document: dict[str, Any] = {
        "_id": address.name,
        "members": [{"_id": number, "host": host} for number, host in enumerate(address.hosts)],
    }
    if config:
        document["configsvr"] = True
    try:
        client.admin.command("replSetInitiate", document)
    except OperationFailure as error:
        if error.code not in _DONE_BEFORE:
            raise
    return True


def _add_shards(router: str, shards: list[SetAddress], deadline: float) -> None:
    with _client(router) as client:
        for shard in shards:
            name = _until(
                f"shard {shard.name} through {router}", deadline,
                lambda shard=shard: _add_shard(client, shard),  # type: ignore[misc]
            )
            _say(f"{name} is a shard")


def _add_shard(client: MongoClient[dict[str, Any]], shard: SetAddress) -> str:
    known = [row["_id"] for row in client.admin.command("listShards")["shards"]]
    if shard.name in known:
        return shard.name
    return str(client.admin.command("addShard", str(shard), name=shard.name)["shardAdded"])
