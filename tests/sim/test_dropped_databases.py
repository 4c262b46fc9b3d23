"""Dropping a database while others write to it, and while those who carry it out are lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from sim.client import ConnectionLost
from sim.cluster import SimCluster
from sim.script import play

from configsvr import dropping_databases
from psdb_base.errors import MongoError
from psdb_base.values import Document

DB = "db"


def insert(identifier: int) -> Document:
    return {"insert": "c", "documents": [{"_id": identifier}]}


async def prepare(cluster: SimCluster) -> None:
    maker = cluster.client("maker")
    await maker.command(DB, insert(1))
    await maker.command("admin", {"shardCollection": f"{DB}.s", "key": {"_id": 1}})
    await maker.command(DB, {"insert": "s", "documents": [{"_id": 1}]})


async def names_of(cluster: SimCluster) -> list[str]:
    rows = await cluster.client("asker").command("config", {"find": "databases"})
    return [row["_id"] for row in rows["cursor"]["firstBatch"]]


async def until_gone(cluster: SimCluster) -> None:
    end = cluster.loop.time() + 60
    while cluster.loop.time() < end:
        try:
            if not await names_of(cluster):
                return
        except MongoError:  # the config server is not back yet
            pass
        await asyncio.sleep(0.5)


def before_the_end(
    monkeypatch: pytest.MonkeyPatch, act: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    """Do something once when all shards have dropped their parts."""
    commit, done = dropping_databases._commit, []

    async def acting(*args: Any) -> None:
        if not done:
            done.append(True)
            await act()
        await commit(*args)

    monkeypatch.setattr(dropping_databases, "_commit", acting)


def test_what_is_written_meanwhile_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """An insert between the shard's drop and the removal of the database's row had no database."""

    async def script(cluster: SimCluster) -> None:
        await prepare(cluster)
        writer = cluster.client("writer")
        written: list[asyncio.Task[Any]] = []

        async def write() -> None:
            written.append(asyncio.create_task(writer.command(DB, insert(2))))
            await asyncio.sleep(1)
            assert not written[0].done()

        before_the_end(monkeypatch, write)
        reply = await cluster.client().command(DB, {"dropDatabase": 1})
        assert reply["dropped"] == DB
        await written[0]
        assert await names_of(cluster) == [DB]
        found = await cluster.client("asker").command(DB, {"find": "c"})
        assert found["cursor"]["firstBatch"] == [{"_id": 2}]
        assert (await cluster.client().command(DB, {"find": "s"}))["cursor"]["firstBatch"] == []
        reply = await cluster.client().command("gone", {"dropDatabase": 1})
        assert reply["info"] == "database does not exist"

    play(script)


@pytest.mark.parametrize("lost", ["config", "shard"])
def test_a_drop_goes_on_after_a_crash(monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    async def script(cluster: SimCluster) -> None:
        await prepare(cluster)
        node, there = getattr(cluster, lost), asyncio.Event()

        async def be_there() -> None:
            there.set()
            await asyncio.sleep(0.5)

        before_the_end(monkeypatch, be_there)
        drop = asyncio.create_task(
            cluster.client(seconds=15.0).command(DB, {"dropDatabase": 1})
        )
        await there.wait()
        node.cut_power()
        await node.start()
        with contextlib.suppress(ConnectionLost, MongoError):
            await drop
        await until_gone(cluster)
        rows = await cluster.client("asker").command("config", {"find": "ddlCoordinators"})
        assert rows["cursor"]["firstBatch"] == []
        assert await names_of(cluster) == []
        member = cluster.shard.member
        assert member.engine.collections(DB) == []
        assert (await cluster.client().command(DB, insert(3)))["n"] == 1
        assert not member.sharding.sections

    play(script)


def test_a_command_that_comes_late_leaves_the_next_database_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts: list[Document] = []
    send = dropping_databases.command_on

    async def noted(member: Any, shard: str, command: Document) -> Any:
        parts.append(command)
        return await send(member, shard, command)

    async def script(cluster: SimCluster) -> None:
        monkeypatch.setattr(dropping_databases, "command_on", noted)
        await prepare(cluster)
        await cluster.client().command(DB, {"dropDatabase": 1})
        await cluster.client().command(DB, insert(2))
        late = next(part for part in parts if "_shardsvrDropDatabasePart" in part)
        with pytest.raises(MongoError) as caught:
            await send(cluster.config.member, "shard0", late)
        assert caught.value.code == 117
        found = await cluster.client().command(DB, {"find": "c"})
        assert found["cursor"]["firstBatch"] == [{"_id": 2}]

    play(script)


def test_zones_go_with_their_collection() -> None:
    async def script(cluster: SimCluster) -> None:
        client = cluster.client()
        shard = (await client.command("admin", {"listShards": 1}))["shards"][0]["_id"]
        await client.command("admin", {"addShardToZone": shard, "zone": "z"})
        for name in ("c", "d"):
            await client.command("admin", {
                "updateZoneKeyRange": f"{DB}.{name}", "min": {"_id": 0}, "max": {"_id": 9},
                "zone": "z"})
        await client.command(DB, insert(1))
        await client.command(DB, {"drop": "c"})
        rows = (await client.command("config", {"find": "tags"}))["cursor"]["firstBatch"]
        assert [row["ns"] for row in rows] == [f"{DB}.d"]
        await client.command(DB, {"dropDatabase": 1})
        rows = (await client.command("config", {"find": "tags"}))["cursor"]["firstBatch"]
        assert rows == []

    play(script)
