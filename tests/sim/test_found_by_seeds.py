"""Bugs that seeds of the power-cut scenario found, each as the shortest script that shows it."""

from __future__ import annotations

import asyncio

from bson.int64 import Int64
from sim.client import RETRYABLE_LABEL
from sim.cluster import SimCluster
from sim.script import play

from psdb_base.values import Document


def test_seed_3_an_unreachable_shard_is_worth_a_retry() -> None:
    """The router gave HostUnreachable without the label, so that no driver tried again."""

    async def script(cluster: SimCluster) -> None:
        client = cluster.client()
        await client.command("db", {"insert": "c", "documents": [{"_id": 1}]})
        cluster.shard.cut_power()
        body: Document = {
            "insert": "c", "documents": [{"_id": 2}], "lsid": client.lsid, "$db": "db",
        }
        plain = await client._send(body, None)
        assert "errorLabels" not in plain
        reply = await client._send({**body, "txnNumber": Int64(1)}, None)
        assert reply["errorLabels"] == [RETRYABLE_LABEL]

    play(script)


def test_seed_36_a_retry_waits_for_the_first_attempt() -> None:
    """Both looked the statement up before either was carried out, so that it was done twice."""

    async def script(cluster: SimCluster) -> None:
        client, again, builder = (cluster.client(name) for name in "abc")
        await client.command("db", {"insert": "c", "documents": [{"_id": 1, "n": 0}]})
        cluster.shard.hang_disk("journal", 1.0)
        index: Document = {"createIndexes": "c", "indexes": [{"key": {"n": 1}, "name": "n_1"}]}
        building = asyncio.ensure_future(builder.command("db", index))
        await asyncio.sleep(0.1)  # the index is to be committed: writers wait
        update: Document = {
            "update": "c", "updates": [{"q": {"_id": 1}, "u": {"$inc": {"n": 1}}}],
            "lsid": client.lsid, "txnNumber": Int64(1),
        }
        attempts = [asyncio.ensure_future(one.command("db", update)) for one in (client, again)]
        for attempt in attempts:
            assert (await attempt)["nModified"] == 1
        await building
        reply = await client.command("db", {"find": "c"})
        assert reply["cursor"]["firstBatch"] == [{"_id": 1, "n": 1}]

    play(script)
