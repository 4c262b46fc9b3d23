"""The same random commands give the same answers whatever memory, indexes and restarts do.

One server has room for everything and no indexes; the other keeps next to nothing in memory, has
indexes, and is restarted on the way, once in order and once by SIGKILL.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient, ReturnDocument
from servers import Server

COUNT = 4000
STEPS = 60


def fill(client: MongoClient[Any], rng: random.Random) -> None:
    client.db.things.insert_many([
        {
            "_id": n, "n": rng.randrange(50), "tags": list(range(rng.randrange(4))),
            "name": f"name {rng.randrange(300)}", "pad": "é" * rng.randrange(300),
        }
        for n in range(COUNT)
    ])  # fmt: skip


def query(rng: random.Random) -> dict[str, Any]:
    """Make a random filter."""
    low = rng.randrange(50)
    return rng.choice([
        {"n": low}, {"n": {"$gt": low}, "tags": 1}, {"name": f"name {low}"}, {"tags": {"$size": 2}},
        {"_id": {"$in": [rng.randrange(COUNT) for _ in range(9)]}},
        {"$or": [{"n": low}, {"name": {"$lt": "name 12"}}]}, {"pad": {"$regex": "^é{250}"}},
    ])  # fmt: skip


def step(client: MongoClient[Any], rng: random.Random) -> Any:
    """Do one random command and return what it said."""
    things, found, low = client.db.things, query(rng), rng.randrange(COUNT)
    choice = rng.randrange(10)
    if choice == 0:
        return list(things.find(found).sort([("n", 1), ("_id", -1)]).skip(3).limit(40))
    if choice == 1:
        return things.count_documents(found)
    if choice == 2:
        return sorted(things.distinct("name", found))
    if choice == 3:
        pipeline = [
            {"$match": found},
            {"$group": {"_id": "$n", "c": {"$sum": 1}, "s": {"$sum": {"$strLenCP": "$pad"}}}},
            {"$sort": {"_id": 1}},
        ]
        return list(things.aggregate(pipeline))
    if choice == 4:
        return things.update_many(found, {"$inc": {"n": 1}, "$push": {"tags": 1}}).raw_result["n"]
    if choice == 5:
        return things.find_one_and_update(
            {"_id": low}, {"$set": {"name": "changed"}}, return_document=ReturnDocument.AFTER
        )
    if choice == 6:
        return things.delete_many({"_id": {"$gte": low, "$lt": low + 20}}).deleted_count
    if choice == 7:
        return things.replace_one({"_id": low}, {"n": 1, "pad": "new"}, upsert=True).raw_result["n"]
    if choice == 8:
        return [doc["_id"] for doc in things.find(found, {"pad": 0}).sort("_id", -1)]
    return list(things.find({"_id": {"$gte": low}}).sort("_id", 1).limit(300))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_same_answers(tmp_path: Path, seed: int) -> None:
    with (
        Server.up(tmp_path / "plain") as plain,
        Server.up(tmp_path / "other", "--cacheSizeMB", "1") as other,
    ):
        clients: list[MongoClient[Any]] = [MongoClient(one.uri) for one in (plain, other)]
        for client in clients:
            fill(client, random.Random(seed))
        for keys in ([("n", 1), ("_id", -1)], [("tags", 1)], [("name", "hashed")]):
            clients[1].db.things.create_index(keys)
        for number in range(STEPS):
            if number in (STEPS // 3, 2 * STEPS // 3):
                clients[1].close()
                if number == STEPS // 3:
                    other.stop()
                else:
                    other.kill()
                other.start()
                clients[1] = MongoClient(other.uri)
            if number % 20 == 10:
                clients[1].admin.command("fsync")
            answers = [step(client, random.Random(seed * 1000 + number)) for client in clients]
            assert answers[0] == answers[1], number
        for client in clients:
            assert client.db.command("validate", "things")["valid"]
            client.close()
