"""The same session through motor and through pymongo's asynchronous API."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from bson import Decimal128, Int64
from pymongo import DESCENDING, AsyncMongoClient
from pymongo.errors import DuplicateKeyError
from servers import Server


async def session(client: Any, name: str, rows_of: Any) -> None:
    """Create, insert, find, change, aggregate, index, explain, drop."""
    await client.drop_database(name)
    db = client[name]
    await db.create_collection("things")
    await db.things.insert_one({"_id": 0, "price": Decimal128("1.10"), "stock": Int64(5)})
    await db.things.insert_many(
        [{"_id": i, "n": i, "kind": "ab"[i % 2]} for i in range(1, 501)]
    )
    assert await db.things.count_documents({}) == 501
    cursor = db.things.find({"n": {"$gt": 5}}, {"n": 1}, batch_size=50).sort("n", DESCENDING)
    found = [d["n"] async for d in cursor.skip(1).limit(100)]
    assert found == list(range(499, 399, -1))
    assert (await db.things.update_one({"_id": 1}, {"$set": {"x": 1}})).modified_count == 1
    assert (await db.things.replace_one({"_id": 2}, {"y": 2})).modified_count == 1
    assert (await db.things.update_one({"_id": "u"}, {"$inc": {"n": 1}}, upsert=True)).upserted_id
    assert (await db.things.delete_one({"_id": "u"})).deleted_count == 1
    assert (await db.things.find_one_and_update({"_id": 3}, {"$inc": {"z": 1}}))["n"] == 3
    assert sorted(await db.things.distinct("kind")) == ["a", "b"]
    rows = await rows_of(db.things, [
        {"$match": {"kind": "a"}}, {"$group": {"_id": None, "n": {"$sum": 1}}},
    ])
    assert rows == [{"_id": None, "n": 249}]
    await db.things.create_index("n", unique=True, sparse=True)
    with pytest.raises(DuplicateKeyError):
        await db.things.insert_one({"n": 100})
    plan = await db.things.find({"n": 10}).explain()
    assert "IXSCAN" in str(plan["queryPlanner"])
    assert name in await client.list_database_names()
    assert await db.list_collection_names() == ["things"]
    assert (await db.command("dbStats"))["objects"] == 501
    await asyncio.gather(*(db.many.insert_one({"_id": i}) for i in range(200)))
    assert await db.many.count_documents({}) == 200
    await client.drop_database(name)


def test_async_pymongo(server: Server) -> None:
    async def rows_of(collection: Any, pipeline: list[Any]) -> list[Any]:
        return await (await collection.aggregate(pipeline)).to_list()

    async def run() -> None:
        async with AsyncMongoClient(server.uri) as client:
            await session(client, "async_pymongo", rows_of)

    asyncio.run(run())


def test_motor(server: Server) -> None:
    motor = pytest.importorskip("motor.motor_asyncio")

    async def rows_of(collection: Any, pipeline: list[Any]) -> list[Any]:
        return await collection.aggregate(pipeline).to_list(None)

    async def run() -> None:
        client = motor.AsyncIOMotorClient(server.uri)
        try:
            await session(client, "motor_session", rows_of)
        finally:
            client.close()

    asyncio.run(run())
