"""What operations are told that run while a member steps down or stops."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import Any

import bson
from bson.int64 import Int64
from replication_kit import free_ports

from psdb_base.real_world import real_world
from psdb_wire.server import Server
from shardsvr.commands.table import MEMBER_COMMANDS
from shardsvr.member import Member

WAIT_SECONDS_MAX = 20.0
LONG_MS = 60_000
PRODUCT: list[dict[str, Any]] = [
    *4 * [
        {"$lookup": {"from": "rows", "pipeline": [], "as": "a"}}, {"$unwind": "$a"},
        {"$project": {"_id": 1}},
    ],
    {"$count": "n"},
]  # fmt: skip
"""Goes through 200 to the fifth rows."""


class Node:
    """A member in this process, and clients of it that speak one command at a time."""

    def __init__(self, folder: Path, port: int) -> None:
        self.host = f"127.0.0.1:{port}"
        self.port = port
        options: dict[str, Any] = {
            "replication": {"replSetName": "rs0"}, "net": {"bindIp": "127.0.0.1"},
            "setParameter": {"enableTestCommands": "1"},
        }
        self.member = Member(real_world(), MEMBER_COMMANDS, options, str(folder))

    async def start(self) -> None:
        await self.member.start()
        self.member.server = server = Server(self.member.world, self.member.handle)
        await server.listen("127.0.0.1", self.port)
        self.member.host = self.host

    async def command(self, db: str, command: dict[str, Any]) -> dict[str, Any]:
        """Send a command on a connection of its own, as it is; return the reply, ok or not."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        body = bson.encode({**command, "$db": db})
        writer.write(struct.pack("<iiiiIB", 21 + len(body), 1, 0, 2013, 0, 0) + body)
        try:
            size = struct.unpack("<i", await reader.readexactly(4))[0]
            return bson.decode((await reader.readexactly(size - 4))[17:])
        finally:
            writer.close()

    async def done(self, db: str, command: dict[str, Any]) -> dict[str, Any]:
        """Send a command that succeeds."""
        reply = await self.command(db, command)
        assert reply["ok"] == 1, reply
        return reply


async def until(condition: Any) -> None:
    """Wait until a condition of this process holds."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not condition():
            await asyncio.sleep(0.01)


async def begin(tmp_path: Path, count: int = 2) -> list[Node]:
    """Start a primary and others, two of which commit nothing alone; put something in."""
    nodes = [Node(tmp_path / f"m{n}", port) for n, port in enumerate(free_ports(count))]
    for node in nodes:
        await node.start()
    primary = nodes[0]
    rows = [{"_id": n, "host": node.host, "priority": 2 - (n > 0)} for n, node in enumerate(nodes)]
    config = {"_id": "rs0", "members": rows, "settings": {"electionTimeoutMillis": 1000}}
    await primary.done("admin", {"replSetInitiate": config})
    await until(lambda: primary.member.is_primary)
    driver = primary.member.replica_set.driver  # type: ignore[union-attr]
    await until(lambda: len(driver.core.config.voters) == count)  # type: ignore[union-attr]
    await primary.done("t", {"create": "log", "capped": True, "size": 10_000})
    await primary.done("t", {"insert": "log", "documents": [{"_id": 0}]})
    await primary.done(
        "t", {"insert": "rows", "documents": [{"_id": n} for n in range(200)]}
    )
    return nodes


class Running:
    """Operations that take long, on a primary whose secondary takes no more entries."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.tasks: dict[str, asyncio.Task[dict[str, Any]]] = {}

    async def begin(self) -> None:
        node = self.node
        known = (await node.done("admin", {"hello": 1}))["topologyVersion"]
        cursor = await node.done(
            "t", {"find": "log", "tailable": True, "awaitData": True}
        )
        for name, db, command in (
            ("hello", "admin",
             {"hello": 1, "topologyVersion": known, "maxAwaitTimeMS": LONG_MS}),
            ("getMore", "t",
             {"getMore": Int64(cursor["cursor"]["id"]), "collection": "log",
              "maxTimeMS": LONG_MS}),
            ("insert", "t",
             {"insert": "new", "documents": [{"_id": 1}],
              "lsid": {"id": bson.Binary(bytes(16), 4)}, "txnNumber": Int64(1)}),
            ("linearizable", "t",
             {"find": "rows", "readConcern": {"level": "linearizable"}}),
            ("aggregate", "t", {"aggregate": "rows", "pipeline": PRODUCT, "cursor": {}}),
        ):  # fmt: skip
            task = asyncio.get_running_loop().create_task(node.command(db, command))
            self.tasks[name] = task
            first = next(iter(command))
            await until(lambda first=first: first in self.names())  # type: ignore[misc]
            assert not task.done(), task.result()

    def names(self) -> list[str]:
        """Return what runs."""
        return [op.name for op in self.node.member.operations.running.values()]

    async def failure(self, name: str) -> dict[str, Any]:
        """Return the error that an operation ended with."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            reply = await self.tasks[name]
        assert reply["ok"] == 0, reply
        return reply

    @staticmethod
    def told(details: dict[str, Any]) -> tuple[int, str, tuple[str, ...], bool]:
        """Return code, name, labels, and whether the reply told of the topology."""
        labels = tuple(details.get("errorLabels", ()))
        return details["code"], details["codeName"], labels, "topologyVersion" in details


STEPPED_DOWN = (11602, "InterruptedDueToReplStateChange")
STOPPED = (11600, "InterruptedAtShutdown")
STOPPING = (91, "ShutdownInProgress")
RETRY = ("RetryableWriteError",)


async def hold_replication(node: Node) -> None:
    """Let a secondary take no more entries; it hears its primary all the same."""
    await node.done("admin", {"configureFailPoint": "stopReplProducer", "mode": "alwaysOn"})


def test_a_primary_that_steps_down_interrupts_who_waits_for_a_commit_and_nobody_else(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        primary, other = await begin(tmp_path)
        await hold_replication(other)
        running = Running(primary)
        await running.begin()
        await primary.done("admin", {
            "replSetStepDown": 30, "secondaryCatchUpPeriodSecs": 0, "force": True,
        })  # fmt: skip
        hello = await running.tasks["hello"]
        assert hello["isWritablePrimary"] is False
        assert hello["secondary"] is True
        insert = running.told(await running.failure("insert"))
        assert insert == (*STEPPED_DOWN, RETRY, True)
        read = running.told(await running.failure("linearizable"))
        assert read == (*STEPPED_DOWN, (), True)
        for name in ("getMore", "aggregate"):
            assert not running.tasks[name].done(), "reads outlive the office"
            running.tasks[name].cancel()
        await asyncio.gather(*running.tasks.values(), return_exceptions=True)
        for node in (other, primary):
            await node.member.stop()

    asyncio.run(main())


def test_a_member_that_stops_interrupts_all_that_runs(tmp_path: Path) -> None:
    async def main() -> None:
        primary, other = await begin(tmp_path)
        await hold_replication(other)
        running = Running(primary)
        await running.begin()
        await primary.member.stop()
        hello = await running.failure("hello")
        assert running.told(hello) == (*STOPPING, (), True)
        assert hello["remainingQuiesceTimeMillis"] == 0
        assert hello["errmsg"] == "The server is in quiesce mode and will shut down"
        # It steps down before it stops.
        assert running.told(await running.failure("insert")) == (*STEPPED_DOWN, RETRY, True)
        assert running.told(await running.failure("linearizable")) == (*STEPPED_DOWN, (), True)
        for name in ("getMore", "aggregate"):
            told = await running.failure(name)
            assert running.told(told) == (*STOPPED, (), True)
            assert told["errmsg"] == "interrupted at shutdown"
        await other.member.stop()

    asyncio.run(main())


def test_who_waits_for_more_members_is_interrupted_too(tmp_path: Path) -> None:
    """The write is committed; that it has not come further yet is not an answer."""

    async def main() -> None:
        primary, other, third = await begin(tmp_path, 3)
        await other.done("admin", {"configureFailPoint": "rsSyncApplyStop", "mode": "alwaysOn"})
        writes = [
            asyncio.get_running_loop().create_task(primary.command("t", {
                "insert": "new", "documents": [{"_id": n}], "writeConcern": {"w": 3},
                "lsid": {"id": bson.Binary(bytes([n]) * 16, 4)}, "txnNumber": Int64(1),
            }))
            for n in range(2)
        ]  # fmt: skip
        engine = primary.member.engine
        await until(lambda: len(primary.member.operations.running) >= 2)
        await until(lambda: engine.commit_index == engine.log_end)
        for write in writes:
            assert not write.done()
        await primary.member.stop()
        for write in writes:
            reply = await write
            assert reply["code"] in (91, 11602), "it gives its office away before it stops"
            assert reply["errorLabels"] == ["RetryableWriteError"]
        for node in (other, third):
            await node.member.stop()

    asyncio.run(main())
