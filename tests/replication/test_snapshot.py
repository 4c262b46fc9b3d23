"""A member whose log is gone gets the primary's data files, while writes go on."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient, ReadPreference
from replication_kit import free_ports

from psdb_base.real_world import real_world
from psdb_base.values import Document
from psdb_raft.values import Settings
from psdb_store.options import StoreOptions
from psdb_wire.server import Server
from shardsvr.commands.table import MEMBER_COMMANDS
from shardsvr.member import Member
from shardsvr.replication import driver, snapshots
from shardsvr.replication import replica_set as replica_set_module
from shardsvr.replication.driver import settings_of

OPTIONS = StoreOptions(
    segment_bytes=16 * 1024, oplog_bytes=0, checkpoint_log_bytes=64 * 1024, recent_bytes=4096,
    cache_bytes=20_000, eager_documents=0,
)
WAIT_SECONDS_MAX = 30.0


class Node:
    """A member in this process, behind a real socket."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.host = f"127.0.0.1:{port}"
        self.member: Member
        self._client: AsyncMongoClient[dict[str, Any]] | None = None

    async def start(self) -> None:
        world = real_world()
        options = {"replication": {"replSetName": "rs0"}, "net": {"bindIp": "127.0.0.1"}}
        self.member = Member(world, MEMBER_COMMANDS, options, str(self.folder))
        self.member.store_options = OPTIONS
        await self.member.start()
        server = Server(world, self.member.handle)
        self.member.server = server
        await server.listen("127.0.0.1", self.port)
        self.member.host = self.host

    async def stop(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None
        await self.member.stop()

    @property
    def client(self) -> AsyncMongoClient[dict[str, Any]]:
        if self._client is None:
            self._client = AsyncMongoClient(
                self.host, directConnection=True, serverSelectionTimeoutMS=5000
            )
        return self._client


async def _until(condition: Any) -> None:
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not await condition():
            await asyncio.sleep(0.02)


async def _count(node: Node) -> int:
    there = node.client.t.get_collection("c", read_preference=ReadPreference.NEAREST)
    return await there.count_documents({"pad": {"$type": "string"}})


async def _write(node: Node, first: int, last: int) -> None:
    for number in range(first, last):
        await node.client.t.c.insert_one({"_id": number, "pad": "x" * 400})


async def _write_batches(node: Node, first: int, last: int) -> None:
    for number in range(first, last, 20):
        await node.client.t.c.insert_many(
            [{"_id": one, "pad": "x" * 400} for one in range(number, number + 20)]
        )


def test_a_member_without_its_log_catches_up_by_files_under_writes(tmp_path: Path) -> None:
    async def main() -> None:
        ports = free_ports(3)
        nodes = [Node(tmp_path / f"m{number}", port) for number, port in enumerate(ports)]
        for node in nodes:
            await node.start()
        rows = [{"_id": number, "host": node.host} for number, node in enumerate(nodes)]
        await nodes[0].client.admin.command(
            "replSetInitiate", {"_id": "rs0", "members": rows}
        )
        await _until(lambda: _is_primary(nodes[0]))
        await _write(nodes[0], 0, 100)
        await nodes[0].client.t.c.create_index("pad")
        last = nodes[2].member.engine.member.id
        await nodes[2].stop()
        await _write(nodes[0], 100, 500)
        await nodes[0].member.engine.checkpoint()
        await nodes[0].member.engine.checkpoint()
        assert nodes[0].member.engine.journal.first_index > 100, "the log it needs is gone"

        await nodes[2].start()
        writing = asyncio.create_task(_write(nodes[0], 500, 900))
        await _until(lambda: _reached(nodes[2], 900))
        await writing
        assert nodes[2].member.engine.member.id == last
        assert await _count(nodes[0]) == await _count(nodes[2]) == 900
        assert sorted(await nodes[2].client.t.c.index_information()) == ["_id_", "pad_1"]
        assert nodes[2].member.engine.journal.first_index > 100

        await nodes[2].stop()
        shutil.rmtree(nodes[2].folder)
        await nodes[2].start()
        await _until(lambda: _reached(nodes[2], 900))
        await _until(lambda: _voters(nodes[0], 3))

        await nodes[2].stop()
        await nodes[2].start()
        await _write(nodes[0], 900, 910)
        await _until(lambda: _reached(nodes[2], 910))
        assert nodes[0].member.engine.journal.end == nodes[2].member.engine.journal.end
        for node in reversed(nodes):
            await node.stop()

    asyncio.run(main())


async def _is_primary(node: Node) -> bool:
    return node.member.is_primary


async def _voters(node: Node, count: int) -> bool:
    replica_set = node.member.replica_set
    assert replica_set is not None
    assert replica_set.config is not None
    return len(replica_set.config.voters) == count


async def _reached(node: Node, count: int) -> bool:
    replica_set = node.member.replica_set
    assert replica_set is not None
    if replica_set.state != 2:
        return False
    collection = node.member.engine.collection("t", "c")
    return collection is not None and collection.count == count


class _Turns:
    """Counts turns of the loop, and the bytes that one member sends to the others in each."""

    def __init__(self, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes_of: dict[int, int] = {}
        self._turn = 0
        self._loop = asyncio.get_running_loop()
        self._count()
        replica_set = node.member.replica_set
        assert replica_set is not None
        peers = replica_set.peers
        send, request = peers.send, peers.request

        def sent(host: str, body: bytes) -> bool:
            self._add(len(body))
            return send(host, body)

        async def asked(host: str, command: Document, seconds: float | None) -> Document:
            self._add(len(command.get("data", b"")))
            return await request(host, command, seconds)

        monkeypatch.setattr(peers, "send", sent)
        monkeypatch.setattr(peers, "request", asked)

    def _count(self) -> None:
        self._turn += 1
        self._loop.call_later(0, self._count)

    def _add(self, size: int) -> None:
        self.bytes_of[self._turn] = self.bytes_of.get(self._turn, 0) + size

    def take(self) -> tuple[int, int]:
        """Return the bytes sent since the last call, and the most of them in one turn."""
        found, self.bytes_of = self.bytes_of, {}
        return sum(found.values()), max(found.values(), default=0)


def test_bringing_a_member_back_takes_the_loop_in_small_bites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By log or by files, under writes: a turn of the primary's loop sends one bite at most.

    Bites are a megabyte of files or four of log; here they are small, so that few data show it.
    """
    bite = 20_000
    assert snapshots.PIECE_BYTES <= 2**20
    assert Settings().append_bytes <= 4 * 2**20
    monkeypatch.setattr(snapshots, "PIECE_BYTES", bite)
    monkeypatch.setattr(
        driver, "settings_of",
        lambda config: dataclasses.replace(settings_of(config), append_bytes=bite),
    )
    monkeypatch.setattr(replica_set_module, "settings_of", driver.settings_of)

    async def main() -> None:
        nodes = [Node(tmp_path / f"m{n}", port) for n, port in enumerate(free_ports(3))]
        for node in nodes:
            await node.start()
        rows = [{"_id": number, "host": node.host} for number, node in enumerate(nodes)]
        await nodes[0].client.admin.command("replSetInitiate", {"_id": "rs0", "members": rows})
        await _until(lambda: _is_primary(nodes[0]))
        await _until(lambda: _voters(nodes[0], 3))
        turns = _Turns(nodes[0], monkeypatch)
        count = 0
        for way in ("log", "files"):
            await nodes[2].stop()
            await _write_batches(nodes[0], count, count + 400)
            if way == "files":
                await nodes[0].member.engine.checkpoint()
                await nodes[0].member.engine.checkpoint()
            turns.take()
            await nodes[2].start()
            writing = asyncio.create_task(_write_batches(nodes[0], count + 400, count + 500))
            count += 500
            await _until(lambda count=count: _reached(nodes[2], count))  # type: ignore[misc]
            await writing
            total, most = turns.take()
            assert total > 8 * bite, f"by {way}"
            assert most < 3 * bite, f"by {way}: a bite, and the writes of that turn"
        for node in reversed(nodes):
            await node.stop()

    asyncio.run(main())
