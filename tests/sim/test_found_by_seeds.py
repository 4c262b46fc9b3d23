"""Bugs that seeds of the simulated clusters found, each as the shortest script that shows it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from bson.binary import Binary
from bson.int64 import Int64
from sim.client import RETRYABLE_LABEL, ConnectionLost, SimClient
from sim.cluster import SHARD_ADDRESS, SimCluster
from sim.script import play

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.context import CompileContext
from psdb_query.filters import compile_filter
from shardsvr.upsert_retry import worth_retrying


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


async def _sharded(cluster: SimCluster) -> None:
    client = cluster.client("maker")
    await client.command("db", {"insert": "c", "documents": [{"_id": 1}]})
    await client.command("admin", {"shardCollection": "db.c", "key": {"_id": 1}})
    await client.close()


async def _ask_shard(cluster: SimCluster, command: Document, *, give_up_after: float) -> None:
    """Send the shard a command of the config server's, which goes away without the answer."""
    asker = SimClient(
        cluster.fabric.network("config"), SHARD_ADDRESS, 1, timeout_seconds=give_up_after
    )
    identifier = Binary(bytes(16), 4)
    with pytest.raises(ConnectionLost):
        await asker.command("admin", {**command, "id": identifier, "ns": "db.c"})


def test_sharded_seed_463_a_section_opens_though_nobody_hears_of_it() -> None:
    """The config server died while it waited for the answer: the handler ended half way."""

    async def script(cluster: SimCluster) -> None:
        await _sharded(cluster)
        asker = SimClient(cluster.fabric.network("config"), SHARD_ADDRESS, 1)
        identifier = Binary(bytes(16), 4)
        await asker.command("admin", {"_shardsvrBlock": 1, "id": identifier, "ns": "db.c"})
        cluster.shard.hang_disk("journal", 3.0)
        await _ask_shard(cluster, {"_shardsvrUnblock": 1}, give_up_after=1.0)
        reply = await cluster.client().command("db", {"find": "c"})
        assert reply["cursor"]["firstBatch"] == [{"_id": 1}]

    play(script)


def test_a_section_that_closes_for_nobody_opens_again() -> None:
    async def script(cluster: SimCluster) -> None:
        await _sharded(cluster)
        cluster.shard.hang_disk("journal", 3.0)
        await _ask_shard(cluster, {"_shardsvrBlock": 1}, give_up_after=1.0)
        reply = await cluster.client().command("db", {"find": "c"})
        assert reply["cursor"]["firstBatch"] == [{"_id": 1}]

    play(script)


def test_sharded_seed_99_a_shard_that_was_removed_tells_routers_that_their_routes_are_old() -> None:
    """It would ask the config server, of which it knew nothing any more: 203, and no other try."""

    async def script(cluster: SimCluster) -> None:
        await _sharded(cluster)
        client = cluster.client()
        rows = await client.command("config", {"find": "databases", "filter": {"_id": "db"}})
        version = rows["cursor"]["firstBatch"][0]["version"]
        asker = SimClient(cluster.fabric.network("config"), SHARD_ADDRESS, 1)
        find: Document = {"find": "u", "databaseVersion": version}
        await asker.command("db", find)
        await asker.command("admin", {"_shardsvrClearIdentity": 1})
        with pytest.raises(MongoError) as caught:
            await asker.command("db", find)
        assert caught.value.code == Code.STALE_DB_VERSION

    play(script)


def test_sharded_seed_448_an_upsert_is_tried_again_where_some_documents_are_hidden() -> None:
    """The shard's own condition beside the query was taken for a part of it."""
    found = compile_filter({"_id": 1}, CompileContext()).guarded(_Everything())
    error = MongoError(
        Code.DUPLICATE_KEY, "", extra={"keyPattern": {"_id": 1}, "keyValue": {"_id": 1}}
    )
    assert worth_retrying(found.tree, None, None, error)


class _Everything:
    paths = frozenset({"_id"})
    lets_all_through = False

    def matches(self, _document: Any) -> bool:
        return True

    def select(self, documents: list[Any]) -> list[Any]:
        return documents
