"""Migrations while their parties are killed: nothing is lost, doubled, or hidden."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
from pymongo.errors import PyMongoError
from servers import Server

DOCUMENTS = 400
WRITERS = 2


class Cluster:
    """A config server, two shards and two routers as processes."""

    def __init__(self, folder: Path) -> None:
        self.config = Server(["configsvr", "--dbpath", str(folder / "config")], folder / "config")
        self.config.start()
        self.shards = {
            name: Server(["shardsvr", "--dbpath", str(folder / name)], folder / name)
            for name in ("a", "b")
        }
        configdb = f"127.0.0.1:{self.config.port}"
        self.routers = [
            Server(["router", "--configdb", configdb], folder / f"router{n}") for n in range(2)
        ]
        for server in (*self.shards.values(), *self.routers):
            server.start()
        self.clients = [
            pymongo.MongoClient(server.uri, serverSelectionTimeoutMS=30_000)
            for server in self.routers
        ]
        for name, server in self.shards.items():
            self.clients[0].admin.command("addShard", f"127.0.0.1:{server.port}", name=name)
        self.clients[0].admin.command("balancerStop")

    def restart(self, server: Server) -> None:
        server.kill()
        server.start()

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for server in (*self.routers, *self.shards.values(), self.config):
            server.kill()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.close()


def count_up(cluster: Cluster, number: int, stop: threading.Event, sums: dict[int, int]) -> None:
    """Increment counters until told to stop; note what was acknowledged."""
    chance = random.Random(number)
    collection = cluster.clients[number % 2].test.counters
    while not stop.is_set():
        key = chance.randrange(number, DOCUMENTS, WRITERS)
        while True:
            try:
                done = collection.update_one({"k": key}, {"$inc": {"n": 1}})
            except PyMongoError:
                # Whether it had its effect is not known: learn it from the document.
                continue_at = _value(collection, key)
                sums[key] = continue_at
                break
            assert done.matched_count == 1, f"{key} was not found"
            sums[key] = sums.get(key, 0) + 1
            break


def _value(collection: Any, key: int) -> int:
    while True:
        try:
            return int(collection.find_one({"k": key})["n"])
        except PyMongoError:
            time.sleep(0.05)


def wait(seconds: float, done: Any) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def move(client: pymongo.MongoClient, key: int, to: str) -> bool:
    try:
        client.admin.command("moveChunk", "test.counters", find={"k": key}, to=to)
    except PyMongoError:
        return False
    return True


@pytest.mark.soak  # `cluster/test_sharded_faults.py` does the like with replica sets, every time
def test_moves_under_writes_and_kills(cluster: Cluster) -> None:
    client = cluster.clients[0]
    client.admin.command("shardCollection", "test.counters", key={"k": 1})
    client.test.counters.insert_many([{"_id": k, "k": k, "n": 0} for k in range(DOCUMENTS)])
    for at in (100, 200, 300):
        client.admin.command("split", "test.counters", middle={"k": at})
    stop, sums = threading.Event(), {}
    writers = [
        threading.Thread(target=count_up, args=(cluster, n, stop, sums)) for n in range(WRITERS)
    ]
    for thread in writers:
        thread.start()
    try:
        _move_and_kill(cluster)
    finally:
        stop.set()
        for thread in writers:
            thread.join()
    found = {d["k"]: d["n"] for d in client.test.counters.find()}
    assert len(found) == DOCUMENTS
    assert client.test.counters.count_documents({}) == DOCUMENTS
    assert {k: n for k, n in found.items() if n != sums.get(k, 0)} == {}
    _check_rest(cluster)


def _move_and_kill(cluster: Cluster) -> None:
    victims = [cluster.shards["a"], cluster.shards["b"], cluster.config, cluster.shards["b"]]
    for turn, victim in enumerate(victims):
        to = "ba"[turn % 2]
        killer = threading.Timer(0.02 + 0.03 * turn, cluster.restart, (victim,))
        killer.start()
        for key in (50, 150, 250):
            move(cluster.clients[turn % 2], key, to)
        killer.join()
    wait(30, lambda: move(cluster.clients[0], 50, "a"))
    wait(30, lambda: move(cluster.clients[1], 350, "b"))


def _check_rest(cluster: Cluster) -> None:
    """After a while each document is on exactly one shard, and the catalogue is whole."""
    direct = [
        pymongo.MongoClient(server.uri, directConnection=True)
        for server in cluster.shards.values()
    ]
    try:
        wait(40, lambda: sum(c.test.counters.count_documents({}) for c in direct) == DOCUMENTS)
    finally:
        for client in direct:
            client.close()
    chunks = list(cluster.clients[0].config.chunks.find())
    assert sorted(chunk["shard"] for chunk in chunks)
    reply = cluster.clients[0].admin.command("checkMetadataConsistency")
    assert reply["cursor"]["firstBatch"] == []
