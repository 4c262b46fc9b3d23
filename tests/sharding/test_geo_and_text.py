"""Near and text queries over the shards of a collection: one order, and the shards' scores."""

from __future__ import annotations

import random
from typing import Any

import pytest
from pymongo import GEOSPHERE, TEXT

SCORE = {"s": {"$meta": "textScore"}}
RED = {"$text": {"$search": "red"}}


@pytest.fixture
def places(db: Any) -> Any:
    db.client.admin.command("enableSharding", db.name)
    db.client.admin.command("shardCollection", f"{db.name}.p", key={"_id": "hashed"})
    chance = random.Random(1)
    db.p.insert_many([
        {"_id": n, "loc": [chance.uniform(-10, 10), chance.uniform(-10, 10)],
         "t": chance.choice(["red fox", "red red", "hen"])} for n in range(120)])
    db.p.create_index([("loc", GEOSPHERE)])
    db.p.create_index([("t", TEXT)])
    return db.p


def test_the_nearest_of_all_shards_come_first(places: Any) -> None:
    stage = {"near": [0, 0], "distanceField": "d", "spherical": True}
    found = list(places.aggregate([{"$geoNear": stage}]))
    assert len(found) == 120
    assert [d["d"] for d in found] == sorted(d["d"] for d in found)
    near = [d["_id"] for d in places.find({"loc": {"$nearSphere": [0, 0]}}).limit(10)]
    assert near == [d["_id"] for d in found[:10]]
    told = {"d": {"$meta": "geoNearDistance"}, "at": {"$meta": "geoNearPoint"}}
    rows = list(places.find({"loc": {"$nearSphere": [0, 0]}}, told).limit(10))
    assert [row["d"] for row in rows] == [d["d"] for d in found[:10]]
    assert [row["at"] for row in rows] == [d["loc"] for d in found[:10]]


def test_scores_come_from_the_shards(places: Any) -> None:
    texts = [d["t"] for d in places.find()]
    expected = sorted([{"red fox": 0.75, "red red": 1.5}[t] for t in texts if t != "hen"])[::-1]
    ordered = places.find(RED, SCORE).sort(list(SCORE.items()))
    assert [d["s"] for d in ordered] == expected
    by_id = list(places.find(RED, SCORE).sort("_id", 1))
    assert [d["_id"] for d in by_id] == sorted(d["_id"] for d in by_id)
    assert sorted(d["s"] for d in by_id)[::-1] == expected
    whole = list(places.find(RED).sort(list(SCORE.items())).limit(3))
    assert [sorted(d) for d in whole] == [["_id", "loc", "t"]] * 3
    piped = places.aggregate([
        {"$match": RED}, {"$sort": SCORE}, {"$project": {"s": {"$meta": "textScore"}}}])
    assert [d["s"] for d in piped] == expected
    grouped = list(places.aggregate([
        {"$match": RED}, {"$group": {"_id": None, "best": {"$max": {"$meta": "textScore"}}}}]))
    assert grouped == [{"_id": None, "best": 1.5}]
