"""`psdb status`: members, roles, terms, lag and chunks of a cluster, on one screen.

Whatever cannot be asked is shown as such: a status command is wanted most when parts are down.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from psdb_base.values import Document
from psdb_base.version import PSDB_VERSION

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.database import Database

ASK_MS: Final = 2000
_CLEAR: Final = "\x1b[H\x1b[2J"
_ADDRESS_COLUMNS: Final = 24
_IN_PROCESS: Final = "in-process:"


def show(addresses: list[str], *, as_json: bool, watch_seconds: float | None) -> int:
    """Print what the first server that answers knows; 1 when none does.

    With `watch_seconds` again and again.
    """
    while True:
        status = _first(addresses)
        if status is None:
            if watch_seconds is None:
                return 1
        else:
            text = json.dumps(status) if as_json else render(status)
            clear = _CLEAR if watch_seconds is not None and not as_json else ""
            sys.stdout.write(f"{clear}{text}\n")
            sys.stdout.flush()
        if watch_seconds is None:
            return 0
        try:
            time.sleep(watch_seconds)
        except KeyboardInterrupt:
            return 0


# -- asking ----------------------------------------------------------------------------------------


def _first(addresses: list[str]) -> Document | None:
    from pymongo.errors import PyMongoError

    for address in addresses:
        try:
            return collect(address)
        except PyMongoError as error:
            sys.stderr.write(f"psdb status: {address}: {_reason(error)}\n")
    return None


def collect(address: str) -> Document:
    """Ask a router, or a member, for what it knows; plain values that JSON can hold.

    Raises:
        PyMongoError: The server at `address` does not answer.

    """
    with _client(address) as client:
        hello = client.admin.command("hello")
        status: Document = {"address": address, "version": PSDB_VERSION, "sets": []}
        if hello.get("msg") == "isdbgrid":
            status["kind"] = "router"
            _ask_router(client, status)
        elif "setName" in hello:
            status["kind"] = "member"
            status["sets"].append(replica_set(hello["setName"], "", [address, *hello["hosts"]]))
        else:
            status["kind"] = "standalone"
    return status


def _ask_router(client: MongoClient[Document], status: Document) -> None:
    catalogue = _catalogue(client)
    for row in catalogue["shards"].find().sort("_id"):
        status["sets"].append(_set_of(row["host"], "shard", row["_id"], row.get("draining")))
    config = _config_servers(client)
    if config is not None:
        status["sets"].append(_set_of(config, "config servers", "config", None))
    status["routers"] = [
        {"address": row["_id"], "up": int(row.get("up", 0))}
        for row in catalogue["mongos"].find().sort("_id")
    ]
    status["chunks"] = _chunks(catalogue)


def _catalogue(client: MongoClient[Document]) -> Database[Document]:
    """Return the catalogue, which any config server shows: their majority may be gone."""
    from pymongo import ReadPreference

    return client.get_database("config", read_preference=ReadPreference.SECONDARY_PREFERRED)


def _config_servers(client: MongoClient[Document]) -> str | None:
    from pymongo.errors import OperationFailure

    try:
        shards = client.admin.command("getShardMap")["map"]
    except OperationFailure:
        return None
    found = shards.get("config")
    return str(found) if found is not None else None


def _set_of(host: str, role: str, name: str, draining: Any) -> Document:
    set_name, slash, addresses = host.rpartition("/")
    if not slash or addresses.startswith(_IN_PROCESS):
        members: Document = {"address": addresses, "role": _single(addresses)}
        found: Document = {"name": name, "role": role, "term": None, "members": [members]}
    else:
        found = replica_set(set_name, role, addresses.split(","))
    if role == "shard":
        found["shard"] = name
    if draining:
        found["draining"] = True
    return found


def _single(address: str) -> str:
    """Return the role of a shard that is one server."""
    from pymongo.errors import PyMongoError

    if address.startswith(_IN_PROCESS):
        return "PRIMARY"
    try:
        with _client(address) as client:
            client.admin.command("ping")
    except PyMongoError:
        return "unreachable"
    return "PRIMARY"


def _chunks(catalogue: Database[Document]) -> Document:
    """Count the chunks of each sharded collection on each shard."""
    names = {
        row["uuid"]: row["_id"]
        for row in catalogue["collections"].find({"uuid": {"$exists": True}})
    }
    rows = catalogue["chunks"].aggregate([
        {"$group": {"_id": {"uuid": "$uuid", "shard": "$shard"}, "n": {"$sum": 1}}},
    ])
    counts: Document = {name: {} for name in sorted(names.values())}
    for row in rows:
        name = names.get(row["_id"]["uuid"])
        if name is not None:
            counts[name][row["_id"]["shard"]] = row["n"]
    return counts


def replica_set(name: str, role: str, addresses: list[str]) -> Document:
    """Ask a set's members, the first that answers: roles, terms, lag."""
    from pymongo.errors import PyMongoError

    reason = ""
    for address in dict.fromkeys(addresses):
        try:
            with _client(address) as client:
                return _described(name, role, client.admin.command("replSetGetStatus"))
        except PyMongoError as error:
            reason = _reason(error)
    members = [
        {"address": address, "role": "unreachable", "reason": reason}
        for address in dict.fromkeys(addresses)
    ]
    return {"name": name, "role": role, "term": None, "members": members}


def _described(name: str, role: str, reply: Document) -> Document:
    """Turn a `replSetGetStatus` into rows."""
    newest = max(
        (row["optimeDate"] for row in reply["members"]
         if row["stateStr"] == "PRIMARY" and "optimeDate" in row), default=None,
    )
    members = []
    for row in reply["members"]:
        member: Document = {
            "address": row["name"],
            "role": row["stateStr"] if row.get("health", 1) else "unreachable",
        }
        if newest is not None and "optimeDate" in row and row.get("health", 1):
            behind = (newest - row["optimeDate"]).total_seconds()
            member["lagSeconds"] = max(0.0, behind)
        if "uptime" in row:
            member["uptimeSeconds"] = int(row["uptime"])
        members.append(member)
    return {"name": name, "role": role, "term": int(reply["term"]), "members": members}


@contextmanager
def _client(address: str) -> Iterator[MongoClient[Document]]:
    from pymongo import MongoClient

    found: MongoClient[Document] = MongoClient(
        f"mongodb://{address}/", directConnection=True, serverSelectionTimeoutMS=ASK_MS,
        socketTimeoutMS=5 * ASK_MS,
    )
    with found as client:
        yield client


def _reason(error: Exception) -> str:
    return str(error).split(", Timeout:", 1)[0].split(" (configured", 1)[0]


# -- showing ---------------------------------------------------------------------------------------


def render(status: Document) -> str:
    """Return the status as text of few lines."""
    lines = [f"PSDB {status['version']}, {status['kind']} at {status['address']}"]
    for replica in status["sets"]:
        lines += ["", _title(replica)]
        lines += [_member_line(member) for member in replica["members"]]
    if status.get("routers"):
        lines += ["", "routers"]
        lines += [
            f"  {row['address']:<{_ADDRESS_COLUMNS}} up {_duration(row['up'])}"
            for row in status["routers"]
        ]
    if status.get("chunks"):
        lines += ["", *_chunk_lines(status)]
    return "\n".join(lines)


def _title(replica: Document) -> str:
    kind = f" ({replica['role']})" if replica["role"] else ""
    term = f"  term {replica['term']}" if replica["term"] is not None else ""
    draining = "  draining" if replica.get("draining") else ""
    return f"{replica['name']}{kind}{term}{draining}"


def _member_line(member: Document) -> str:
    text = f"  {member['address']:<{_ADDRESS_COLUMNS}} {member['role']:<11}"
    if member["role"] != "PRIMARY" and "lagSeconds" in member:
        text += f" lag {member['lagSeconds']:g} s"
    if "uptimeSeconds" in member:
        text += f"  up {_duration(member['uptimeSeconds'])}"
    if "reason" in member:
        text += f" {member['reason']}"
    return text.rstrip()


def _duration(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h"


def _chunk_lines(status: Document) -> list[str]:
    shards = [one["shard"] for one in status["sets"] if "shard" in one]
    width = max(len("chunks"), *(len(name) for name in status["chunks"])) + 2
    columns = [max(6, len(shard)) + 2 for shard in shards]
    header = "".join(f"{shard:>{size}}" for shard, size in zip(shards, columns, strict=True))
    lines = [f"{'chunks':<{width}}{header}"]
    for name, counts in status["chunks"].items():
        cells = "".join(
            f"{counts.get(shard, 0):>{size}}" for shard, size in zip(shards, columns, strict=True)
        )
        lines.append(f"{name:<{width}}{cells}")
    return lines
