"""What chunks cost: reads and bytes follow what changes, not how many chunks there are."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from bson import Int64

from psdb.cluster import LocalCluster
from psdb_base import bson_codec
from psdb_base.real_log import RealLog
from psdb_base.real_world import RealClock, real_world
from psdb_store.record import Record
from router.shards import LocalShard

NS = "a.b"


class Meter:
    """Counts what a cluster in this process does for a command of its router.

    Attributes:
        router: The way to the router.
        documents: Documents read from collections, on all nodes.
        bytes: Bytes of what the config server answered to the router.

    """

    def __init__(self, cluster: LocalCluster) -> None:
        numbers: Iterator[int] = count(5000)
        self.router = LocalShard(cluster.router.handle, lambda: next(numbers))
        self.documents = self.bytes = 0
        config: Any = cluster.router.routing.config
        ask = config.command

        async def command(*args: Any, **kwargs: Any) -> Any:
            reply = await ask(*args, **kwargs)
            self.bytes += len(bson_codec.encode(reply))
            return reply

        config.command = command

    async def run(self, db: str, command: dict[str, Any]) -> tuple[int, int]:
        self.documents = self.bytes = 0
        await self.router.command(db, command)
        return self.documents, self.bytes


async def costs(dbpath: Path, chunks: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what a targeted find, a split, a move and the refreshes behind them cost."""
    world = real_world(log=RealLog(RealClock(), io.StringIO(), service="-"))
    cluster = LocalCluster(world, {}, str(dbpath), 2)
    await cluster.start()
    meter = Meter(cluster)
    read = Record.document

    def document(record: Record) -> Any:
        meter.documents += 1
        return read(record)

    monkeypatch.setattr(Record, "document", document)
    find = {"find": "b", "filter": {"k": 7}}
    await meter.run("admin", {"balancerStop": 1})
    await meter.run("admin", {
        "shardCollection": NS, "key": {"k": "hashed"}, "numInitialChunks": chunks,
    })
    await meter.run("a", find)
    found = {"find": await meter.run("a", find)}
    last = (await meter.router.command("config", {
        "find": "chunks", "filter": {}, "sort": {"min": -1}, "limit": 1,
    }))["cursor"]["firstBatch"][0]
    middle = {"k": Int64(2**63 - 2**49)}
    found["split"] = await meter.run("admin", {"split": NS, "middle": middle})
    found["move"] = await meter.run("admin", {
        "moveRange": NS, "toShard": {"shard0": "shard1", "shard1": "shard0"}[last["shard"]],
        "min": middle, "max": last["max"],
    })
    everything = {"find": "b", "filter": {}}
    found["refresh"] = await meter.run("a", everything)
    cluster.router.routing.forget_collection(NS)
    found["look"] = await meter.run("a", everything)
    await cluster.stop()
    monkeypatch.setattr(Record, "document", read)
    return found


def test_costs_are_flat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few, more, many = (
        asyncio.run(costs(tmp_path / str(chunks), chunks, monkeypatch))
        for chunks in (1, 100, 10_000)
    )
    for name, (documents, size) in many.items():
        for other in (few, more):
            assert documents <= other[name][0] + 8, name
            assert size <= other[name][1] + 500, name
    assert many["find"] == (0, 0)
    assert many["split"][0] < 20
    assert many["move"][0] < 60
    assert 0 < many["refresh"][1] < 3000
    assert 0 < many["look"][1] < 3000
