"""The router's way to shards over a network: scripts on the simulated cluster."""

from __future__ import annotations

import asyncio

import pytest
from sim.cluster import SimCluster
from sim.script import play

from psdb_base.bson_codec import encode
from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_wire.frames import CHECKSUM_PRESENT, MORE_TO_COME, build_op_msg


@pytest.mark.parametrize("flags", [MORE_TO_COME, MORE_TO_COME | CHECKSUM_PRESENT])
def test_an_unacknowledged_write_reaches_the_shard(flags: int) -> None:
    async def script(cluster: SimCluster) -> None:
        client = cluster.client()
        await client.command("db", {"create": "c"})
        wire = await client._connected()
        insert: Document = {"insert": "c", "documents": [{"_id": 1}], "$db": "db"}
        insert["writeConcern"] = {"w": 0}
        wire.transport.write(build_op_msg(99, 0, encode(insert), flags=flags))
        await asyncio.sleep(1)
        reply = await client.command("db", {"find": "c"})
        assert reply["cursor"]["firstBatch"] == [{"_id": 1}]

    play(script)


def test_many_clients_share_the_routers_connections() -> None:
    async def script(cluster: SimCluster) -> None:
        clients = [cluster.client(f"client{number}", seed=number) for number in range(20)]
        for _ in range(3):
            await asyncio.gather(*(
                client.write("db", {"insert": "c", "documents": [{"x": number}]})
                for number, client in enumerate(clients)
            ))
        reply = await clients[0].command("db", {"count": "c"})
        assert reply["n"] == 60
        assert cluster.shard.node is not None
        assert cluster.shard.node.connection_counts()["current"] <= 21

    play(script)


def test_a_cursor_ends_with_the_shard_that_held_it() -> None:
    async def script(cluster: SimCluster) -> None:
        client = cluster.client()
        documents = [{"_id": number} for number in range(10)]
        await client.command("db", {"insert": "c", "documents": documents})
        reply = await client.command("db", {"find": "c", "batchSize": 2})
        cluster.shard.cut_power()
        await cluster.shard.start()
        await asyncio.sleep(5)  # until the router has learnt of it
        more: Document = {"getMore": reply["cursor"]["id"], "collection": "c", "$db": "db"}
        answer = await client._send(more, None)
        assert answer["code"] == 43
        reply = await client.command("db", {"find": "c"})
        assert reply["cursor"]["firstBatch"] == documents

    play(script)


def test_a_server_that_is_cut_off_fails_what_waits_for_it_and_comes_back() -> None:
    async def script(cluster: SimCluster) -> None:
        client = cluster.client()
        await client.command("db", {"insert": "c", "documents": [{"_id": 1}]})
        cluster.fabric.cut(cluster.router.name, cluster.shard.name)
        async with asyncio.timeout(15):  # how long a router waits for a member of a set
            with pytest.raises(MongoError) as caught:
                await client.command("db", {"find": "c"})
            assert caught.value.code == 6
        cluster.fabric.heal()
        async with asyncio.timeout(15):
            reply = await client.command("db", {"find": "c"})
        assert reply["cursor"]["firstBatch"][0] == {"_id": 1}

    play(script)


def test_a_server_that_takes_its_time_is_waited_for() -> None:
    async def script(cluster: SimCluster) -> None:
        client = cluster.client()
        await client.command("admin", {"ping": 1})
        await client.command("db", {"create": "c", "capped": True, "size": 4096})
        await client.command("db", {"insert": "c", "documents": [{"_id": 1}]})
        reply = await client.command("db", {"find": "c", "tailable": True, "awaitData": True})
        begin = cluster.loop.time()
        await client.command("db", {
            "getMore": reply["cursor"]["id"], "collection": "c", "maxTimeMS": 40_000,
        })
        assert cluster.loop.time() - begin > 30

    play(script)
