"""Results of many bytes: in several batches, within the time limit, without holding others up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import ExecutionTimeout, OperationFailure
from servers import Server

Coll = Collection[dict[str, Any]]
COUNT, MEGABYTES = 24, 2
# Small in the server's memory, where the copies are shared; many megabytes when encoded.
EXPLODE: list[dict[str, Any]] = [
    {
        "$lookup": {
            "from": "numbers", "as": "j",
            "pipeline": [{"$lookup": {"from": "numbers", "pipeline": [], "as": "k"}}],
        }
    }
]


@pytest.fixture(scope="module")
def big(server: Server) -> Iterator[Coll]:
    with MongoClient(server.uri) as client:
        coll = client.large.c
        coll.insert_many({"_id": i, "x": "x" * MEGABYTES * 2**20, "y": i} for i in range(COUNT))
        yield coll
        coll.drop()


@pytest.fixture(scope="module")
def numbers(big: Coll) -> Coll:
    coll = big.database.numbers
    coll.insert_many({"_id": i, "x": i} for i in range(200))
    return coll


@pytest.mark.parametrize("batch_size", [0, 2, 1000])
@pytest.mark.parametrize("projection", [None, {"x": 1}, {"y": 0}])
def test_no_document_is_lost_between_large_batches(
    big: Coll, batch_size: int, projection: Any
) -> None:
    cursor = big.find({}, projection, batch_size=batch_size)
    assert [row["_id"] for row in cursor] == list(range(COUNT))
    limited = big.find({}, projection, batch_size=batch_size, sort={"_id": -1}).skip(3).limit(11)
    assert [row["_id"] for row in limited] == list(range(COUNT - 4, COUNT - 15, -1))
    if projection is not None:
        rows = big.aggregate([{"$project": projection}], batchSize=batch_size or 101)
        assert [row["_id"] for row in rows] == list(range(COUNT))


def test_a_result_no_reply_can_hold_is_an_error(big: Coll) -> None:
    with pytest.raises(OperationFailure) as caught:
        big.aggregate([
            {"$match": {"y": {"$lt": 9}}}, {"$group": {"_id": None, "all": {"$push": "$x"}}},
        ])
    assert caught.value.code == 10334


def test_others_are_served_while_a_result_explodes(numbers: Coll, server: Server) -> None:
    pings = 0
    begun, done = threading.Event(), threading.Event()

    def ping() -> None:
        nonlocal pings
        with MongoClient(server.uri) as other:
            while not done.is_set():
                other.admin.command("ping")
                pings += 1
                begun.set()

    pinger = threading.Thread(target=ping)
    pinger.start()
    begun.wait()
    before = pings
    cursor = numbers.aggregate(EXPLODE)  # more than a megabyte for each document
    served = pings - before
    done.set()
    pinger.join()
    assert len(next(cursor)["j"]) == 200
    cursor.close()
    assert served >= 8, "the server stood still while it encoded a whole batch"


def test_the_time_limit_holds_for_all_batches_together(numbers: Coll) -> None:
    with pytest.raises(ExecutionTimeout) as caught:
        list(numbers.aggregate(EXPLODE, maxTimeMS=300, batchSize=1))
    assert caught.value.code == 50
