"""Where the first chunks of a collection are: by hash, by zones, by hash within zones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from bson import Int64, MaxKey, MinKey
from pymongo.errors import OperationFailure

LOW, HIGH = MinKey(), MaxKey()
SHARDS = ("shard0", "shard1", "shard2")


@pytest.fixture
def zones(db: Any) -> Iterator[Any]:
    """Puts shards into zones for the time of a test."""
    put: list[tuple[str, str]] = []
    left: list[dict[str, Any]] = []
    ns = f"{db.name}.c"

    def set_up(members: dict[str, list[str]], ranges: list[tuple[str, Any, Any]]) -> None:
        for zone, shards in members.items():
            for shard in shards:
                db.client.admin.command("addShardToZone", shard, zone=zone)
                put.append((shard, zone))
        for zone, low, high in ranges:
            db.client.admin.command("updateZoneKeyRange", ns, min=low, max=high, zone=zone)
            left.append({"min": low, "max": high})

    yield set_up
    db.drop_collection("c")
    for bounds in left:
        db.client.admin.command("updateZoneKeyRange", ns, **bounds, zone=None)
    for shard, zone in put:
        db.client.admin.command("removeShardFromZone", shard, zone=zone)


def shard(db: Any, key: dict[str, Any], **options: Any) -> tuple[int, ...]:
    """Shard a collection; return how many chunks each shard has."""
    ns = f"{db.name}.c"
    db.client.admin.command("shardCollection", ns, key=key, **options)
    uuid = db.client.config.collections.find_one({"_id": ns})["uuid"]
    rows = list(db.client.config.chunks.find({"uuid": uuid}).sort("min", 1))
    assert rows[0]["min"] == dict.fromkeys(key, LOW)
    assert rows[-1]["max"] == dict.fromkeys(key, HIGH)
    assert all(one["max"] == other["min"] for one, other in pairwise(rows))
    assert all(list(row["min"]) == list(row["max"]) == list(key) for row in rows)
    counts = Counter(row["shard"] for row in rows)
    return tuple(counts[name] for name in SHARDS)


def refused(db: Any, code: int, key: dict[str, Any], **options: Any) -> None:
    with pytest.raises(OperationFailure) as caught:
        shard(db, key, **options)
    assert caught.value.code == code, caught.value


HASHED_FIRST = {"h": "hashed", "a": 1, "b": 1}
HASHED_SECOND = {"a": 1, "h": "hashed", "b": 1}
WHOLE = (dict.fromkeys(HASHED_FIRST, LOW), dict.fromkeys(HASHED_FIRST, HIGH))


def test_hashes_are_spread_evenly(db: Any) -> None:
    assert shard(db, {"h": "hashed"}, numInitialChunks=6) == (2, 2, 2)
    db.c.drop()
    assert sum(shard(db, HASHED_FIRST, numInitialChunks=8)) == 8
    db.c.drop()
    home = db.client.config.databases.find_one({"_id": db.name})["primary"]
    assert shard(db, HASHED_FIRST, numInitialChunks=1) == tuple(name == home for name in SHARDS)
    db.c.drop()
    refused(db, 72, HASHED_FIRST, numInitialChunks=3 * 8192 + 1)
    refused(db, 72, HASHED_SECOND, numInitialChunks=3)
    refused(db, 31387, HASHED_FIRST, presplitHashedZones=True)
    refused(db, 31387, HASHED_SECOND, presplitHashedZones=True, numInitialChunks=5)
    refused(db, 72, {"a": 1}, presplitHashedZones=True)


def test_not_of_a_collection_with_documents(db: Any) -> None:
    db.c.insert_one({"h": 1})
    db.c.create_index([("h", "hashed")])
    refused(db, 72, {"h": "hashed"}, numInitialChunks=3)
    refused(db, 72, {"h": "hashed"}, presplitHashedZones=True)
    assert sum(shard(db, {"h": "hashed"})) == 1


def test_hash_first_within_a_zone(db: Any, zones: Any) -> None:
    zones({"Z": ["shard1", "shard2"]}, [("Z", *WHOLE)])
    assert shard(db, HASHED_FIRST, presplitHashedZones=True) == (0, 2, 2)
    db.c.drop()
    zones({"Z": ["shard0"]}, [("Z", *WHOLE)])
    assert shard(
        db, HASHED_FIRST, presplitHashedZones=True, numInitialChunks=100
    ) == (34, 34, 34)


def test_hash_first_needs_one_whole_zone(db: Any, zones: Any) -> None:
    zones({"Z": ["shard2"]}, [("Z", WHOLE[0], {**WHOLE[1], "b": LOW})])
    refused(db, 31412, HASHED_FIRST, presplitHashedZones=True)
    assert shard(db, HASHED_FIRST, numInitialChunks=2) == (1, 0, 1)


def two_zones(zones: Any, first: list[str], second: list[str]) -> None:
    zones({"Y": first, "Z": second}, [
        (zone, {"a": low, "h": LOW, "b": LOW}, {"a": high, "h": LOW, "b": LOW})
        for zone, low, high in (("Y", "A", "B"), ("Z", "C", "D"), ("Y", "a", "b"), ("Z", "c", "d"))
    ])


def test_hash_later_within_zones(db: Any, zones: Any) -> None:
    two_zones(zones, ["shard0", "shard1"], ["shard1", "shard2"])
    options = {"presplitHashedZones": True, "numInitialChunks": 500}
    assert shard(db, HASHED_SECOND, **options) == (170, 170, 169)
    rows = list(db.client.config.chunks.find({"min.a": "A"}).sort("min", 1))
    assert rows[0]["min"]["h"] == LOW
    assert type(rows[1]["min"]["h"]) is Int64
    assert rows[1]["min"]["b"] == LOW
    assert rows[-1]["max"] == {"a": "B", "h": LOW, "b": LOW}
    db.c.drop()
    two_zones(zones, ["shard0", "shard1"], ["shard1", "shard2"])
    assert shard(db, HASHED_SECOND, presplitHashedZones=True, numInitialChunks=1) == (4, 6, 3)


def test_hash_later_by_default(db: Any, zones: Any) -> None:
    two_zones(zones, ["shard0"], ["shard0"])
    refused(db, 72, HASHED_SECOND, numInitialChunks=5)
    assert shard(db, HASHED_SECOND, presplitHashedZones=True) == (6, 2, 1)


@pytest.mark.parametrize(("low", "high", "code"), [
    ({"a": 1, "h": LOW, "b": LOW}, {"a": 1, "h": HIGH, "b": LOW}, 31390),
    ({"a": 1, "h": Int64(5), "b": LOW}, {"a": 2, "h": LOW, "b": LOW}, 31391),
    ({"a": 1, "h": LOW, "b": 7}, {"a": 2, "h": LOW, "b": LOW}, 31391),
    ({"a": 1, "h": 5, "b": LOW}, {"a": 2, "h": LOW, "b": LOW}, 72),
    ({"a": 1, "h": LOW}, {"a": 2, "h": LOW}, 72),
])
def test_zones_that_do_not_fit(db: Any, zones: Any, low: Any, high: Any, code: int) -> None:
    zones({"Z": ["shard0"]}, [("Z", low, high)])
    refused(db, code, HASHED_SECOND, presplitHashedZones=True)
