"""The same operations on an unsharded collection and on sharded ones give the same answers."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
from collections.abc import Callable
from typing import Any

import pymongo
import pytest
from bson.max_key import MaxKey
from bson.min_key import MinKey
from cluster.up import wait_until
from pymongo.errors import PyMongoError

QUERIES: list[dict[str, Any]] = [
    {}, {"k": 7}, {"k": {"$gt": 20, "$lte": 60}}, {"k": {"$in": [3, 50, 99]}},
    {"$or": [{"k": 1}, {"g": 2}]}, {"g": 3}, {"k": {"$gte": 30}, "g": {"$lt": 3}},
    {"k": None}, {"tags": "a"}, {"k": {"$ne": 5}}, {"k": {"$exists": False}}, {"s": "x7"},
    {"k": {"$not": {"$gt": 50}}}, {"$expr": {"$lt": ["$k", "$g"]}}, {"_id": 12},
]
PIPELINES: list[list[dict[str, Any]]] = [
    [{"$group": {"_id": "$g", "n": {"$sum": 1}, "m": {"$avg": "$k"}}}, {"$sort": {"_id": 1}}],
    [{"$sort": {"g": 1, "_id": -1}}, {"$skip": 3}, {"$limit": 9}, {"$project": {"_id": 1}}],
    [{"$match": {"k": {"$lt": 40}}}, {"$unwind": "$tags"}, {"$sortByCount": "$tags"},
     {"$sort": {"_id": 1}}],
    [{"$facet": {"a": [{"$count": "n"}], "b": [{"$sort": {"_id": 1}}, {"$limit": 2}]}}],
    [{"$bucket": {"groupBy": "$g", "boundaries": [0, 2, 5], "default": "x"}}],
    [{"$lookup": {"from": "other", "localField": "g", "foreignField": "_id", "as": "o"}},
     {"$sort": {"_id": 1}}, {"$limit": 5}],
    [{"$sort": {"_id": 1}}, {"$group": {"_id": None, "f": {"$first": "$k"}}}],
    [{"$setWindowFields": {"sortBy": {"_id": 1}, "output": {
        "r": {"$sum": "$g", "window": {"documents": ["unbounded", "current"]}}}}},
     {"$match": {"_id": {"$lt": 5}}}, {"$sort": {"_id": 1}}],
    [{"$unionWith": {"coll": "other"}}, {"$count": "n"}],
]


def document(number: int, chance: random.Random) -> dict[str, Any]:
    made: dict[str, Any] = {
        "_id": number, "g": number % 5, "s": f"x{number}",
        "tags": chance.sample(["a", "b", "c"], chance.randrange(3)),
    }
    if number % 17:
        made["k"] = chance.randrange(100)
    return made


def answers(
    collection: pymongo.collection.Collection, seed: int,
    pause: Callable[[], Any] = lambda: None,
) -> list[Any]:
    """Do everything and return all that was answered; `pause` is called now and then."""
    chance = random.Random(seed)
    found: list[Any] = []
    collection.insert_many([document(n, chance) for n in range(120)], ordered=chance.random() < 0.5)
    for step in range(25):
        if step % 5 == 0:
            pause()
        query = chance.choice(QUERIES)
        found.append((step, _write(collection, chance, query, step)))
        query = chance.choice(QUERIES)
        found.append(list(collection.find(query).sort("_id", 1)))
        found.append(collection.count_documents(query))
        found.append(sorted(map(str, collection.distinct("g", query))))
        found.append(list(collection.find(query, {"g": 1, "_id": 0}).sort(
            [("g", -1), ("_id", 1)]).skip(2).limit(7)))
    found += [list(collection.aggregate(pipeline)) for pipeline in PIPELINES]
    return found


def _write(
    collection: pymongo.collection.Collection, chance: random.Random, query: dict, step: int
) -> Any:
    kind = chance.choice(["many", "delete", "insert", "one", "bulk", "modify"])
    try:
        if kind == "many":
            result = collection.update_many(query, {"$inc": {"n": 1}})
            return result.matched_count, result.modified_count
        if kind == "delete":
            return collection.delete_many({"$and": [query, {"g": step % 5}]}).deleted_count
        if kind == "insert":
            return collection.insert_one(document(1000 + step, chance)).inserted_id
        if kind == "one":
            result = collection.update_one({"_id": step}, {"$set": {"one": step}})
            return result.matched_count
        if kind == "bulk":
            result = collection.bulk_write([
                pymongo.InsertOne(document(2000 + step, chance)),
                pymongo.UpdateMany({"g": step % 5}, {"$inc": {"b": 1}}),
                pymongo.DeleteOne({"_id": step + 1}),
            ], ordered=step % 2 == 0)
            return result.bulk_api_result["nModified"], result.deleted_count
        return collection.find_one_and_update(query, {"$set": {"z": step}}, sort=[("_id", -1)])
    except PyMongoError as error:
        return type(error).__name__, getattr(error, "code", None)


def keep_moving(client: pymongo.MongoClient, ns: str, stop: threading.Event) -> None:
    """Move, split and merge chunks until told to stop."""
    chance = random.Random(0)
    while not stop.is_set():
        k, shard = chance.randrange(100), f"shard{chance.randrange(3)}"
        with contextlib.suppress(PyMongoError):
            if chance.random() < 0.2:
                client.admin.command("split", ns, middle={"k": k})
            elif chance.random() < 0.1:
                client.admin.command("mergeAllChunksOnShard", ns, shard=shard)
            else:
                client.admin.command("moveChunk", ns, find={"k": k}, to=shard)
                moved.append(k)


moved: list[int] = []
"""Keys whose chunks were moved meanwhile."""


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, *(
    pytest.param(seed, marks=pytest.mark.soak) for seed in range(3, 13)
)])
def test_moving_is_as_unsharded(sharded: Any, db: pymongo.database.Database, seed: int) -> None:
    client, ns = db.client, f"{db.name}.moving"
    db.other.insert_many([{"_id": n, "name": f"g{n}"} for n in range(5)])
    expected = answers(db.plain, seed)
    client.admin.command("shardCollection", ns, key={"k": 1})
    stop = threading.Event()
    moved.clear()
    mover = threading.Thread(target=keep_moving, args=(sharded.clients[1], ns, stop))
    mover.start()
    try:
        found = answers(db.moving, seed)
    finally:
        stop.set()
        mover.join()
    assert found == expected
    assert len(moved) > 3


def keep_the_balancer_busy(client: pymongo.MongoClient, ns: str, stop: threading.Event) -> None:
    """Change what belongs where until told to stop: the balancer does the rest."""
    bounds = [{"k": MinKey()}, {"k": 40}, {"k": MaxKey()}]
    for turn in itertools.count():
        for side in (0, 1):
            assigned = {"min": bounds[side], "max": bounds[side + 1]}
            client.admin.command("updateZoneKeyRange", ns, **assigned, zone=None)
            zone = f"here{(turn + side) % 3}"
            client.admin.command("updateZoneKeyRange", ns, **assigned, zone=zone)
        client.admin.command("balancerStart")  # it looks at once
        if stop.wait(0.4):
            return


@pytest.mark.slow
@pytest.mark.parametrize("seed", [20, *(
    pytest.param(seed, marks=pytest.mark.soak) for seed in range(21, 41)
)])
def test_balanced_is_as_unsharded(sharded: Any, db: pymongo.database.Database, seed: int) -> None:
    client, ns = db.client, f"{db.name}.balanced"
    db.other.insert_many([{"_id": n, "name": f"g{n}"} for n in range(5)])
    expected = answers(db.plain, seed)
    for number in range(3):
        client.admin.command("addShardToZone", f"shard{number}", zone=f"here{number}")
    client.admin.command("shardCollection", ns, key={"k": 1})
    client.config.settings.update_one(
        {"_id": "chunksize"}, {"$set": {"value": 2000 / 2**20}}, upsert=True
    )
    stop = threading.Event()
    unrest = threading.Thread(target=keep_the_balancer_busy, args=(sharded.clients[1], ns, stop))
    moves = {"what": "moveChunk.commit", "ns": ns}
    seen = 0

    def until_it_moves() -> None:
        nonlocal seen
        wait_until("the balancer moves a range", lambda: (
            client.config.changelog.count_documents(moves) > seen))
        seen = client.config.changelog.count_documents(moves)

    unrest.start()
    try:
        found = answers(db.balanced, seed, until_it_moves)
    finally:
        stop.set()
        unrest.join()
        client.admin.command("balancerStop")
        client.config.settings.delete_one({"_id": "chunksize"})
        client.config.tags.delete_many({"ns": ns})
        for number in range(3):
            client.admin.command("removeShardFromZone", f"shard{number}", zone=f"here{number}")
    assert found == expected
    assert len(client.config.changelog.distinct("details.to", moves)) > 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_sharded_is_as_unsharded(db: pymongo.database.Database, seed: int) -> None:
    client = db.client
    db.other.insert_many([{"_id": n, "name": f"g{n}"} for n in range(5)])
    expected = answers(db.plain, seed)
    client.admin.command("shardCollection", f"{db.name}.ranged", key={"k": 1})
    for at, shard in ((25, "shard1"), (50, "shard2"), (75, "shard0")):
        client.admin.command("split", f"{db.name}.ranged", middle={"k": at})
        client.admin.command("moveChunk", f"{db.name}.ranged", find={"k": at}, to=shard)
    assert answers(db.ranged, seed) == expected
    client.admin.command("shardCollection", f"{db.name}.hashed", key={"k": "hashed"})
    assert answers(db.hashed, seed) == expected
    db.other.create_index([("_id", "hashed")])
    client.admin.command("shardCollection", f"{db.name}.other", key={"_id": "hashed"})
    client.admin.command("shardCollection", f"{db.name}.both", key={"g": 1, "k": "hashed"})
    for at, shard in ((1, "shard1"), (3, "shard2")):
        bound = {"g": at, "k": 0}
        client.admin.command("split", f"{db.name}.both", middle=bound)
        client.admin.command(
            "moveChunk", f"{db.name}.both", find={"g": at + 1, "k": 0}, to=shard
        )
    assert answers(db.both, seed) == expected
