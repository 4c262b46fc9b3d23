"""Members started by hand and joined by `rs.initiate()`: down and back, wiped and back, added."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster.up import wait_until
from pymongo import MongoClient, ReadPreference, WriteConcern
from pymongo.errors import NotPrimaryError, OperationFailure
from servers import Server

Client = MongoClient[dict[str, Any]]
LOADED = 3000


class Members:
    """A replica set of processes that nobody supervises."""

    def __init__(self, folder: Path, count: int) -> None:
        self.servers = [self.server(folder, number) for number in range(count)]
        self.stack = contextlib.ExitStack()
        for server in self.servers:
            self.stack.enter_context(server)
        self.uri = f"mongodb://{','.join(map(self.address, self.servers))}/?replicaSet=rs0"

    @staticmethod
    def server(folder: Path, number: int) -> Server:
        path = folder / f"member{number}"
        return Server(["shardsvr", "--replSet", "rs0", "--dbpath", str(path)], path)

    @staticmethod
    def address(server: Server) -> str:
        return f"127.0.0.1:{server.port}"

    def initiate(self) -> None:
        config = {
            "_id": "rs0",
            "members": [
                {"_id": number, "host": self.address(server)}
                for number, server in enumerate(self.servers)
            ],
        }
        with self.direct(self.servers[0]) as client:
            client.admin.command("replSetInitiate", config)

    def direct(self, server: Server) -> Client:
        return MongoClient(f"mongodb://{self.address(server)}/", directConnection=True)

    def state(self, server: Server) -> str:
        with self.direct(server) as client:
            status = client.admin.command("replSetGetStatus")
        names = {1: "PRIMARY", 2: "SECONDARY"}
        return names.get(status["myState"], str(status["myState"]))

    def secondary(self) -> Server:
        found: Server = wait_until("a secondary", lambda: next(
            (server for server in self.servers if self.state(server) == "SECONDARY"), None
        ))
        return found

    def same_data(self) -> bool:
        digests = []
        for server in self.servers:
            with self.direct(server) as client:
                digests.append(client.load.command("dbHash")["md5"])
        return len(set(digests)) == 1


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Members]:
    found = Members(tmp_path_factory.mktemp("members"), 3)
    with found.stack:
        found.initiate()
        yield found


@pytest.fixture
def load(members: Members) -> Iterator[Client]:
    """Give a client beside which another writes all the time."""
    ending = threading.Event()
    failures: list[Exception] = []

    def write() -> None:
        with MongoClient(members.uri) as client:
            number = 0
            while not ending.is_set():
                number += 1
                try:
                    client.load.background.insert_one({"n": number, "text": "x" * 200})
                except Exception as error:
                    failures.append(error)
                    return

    writer = threading.Thread(target=write)
    with MongoClient(members.uri) as client:
        writer.start()
        try:
            yield client
        finally:
            ending.set()
            writer.join()
        assert failures == []
        assert wait_until("equal data", members.same_data)


def test_writes_reach_all_members(members: Members) -> None:
    with MongoClient(members.uri) as client:
        collection = client.test.get_collection("c", write_concern=WriteConcern(w=3))
        collection.insert_one({"_id": 1})
        for server in members.servers:
            with members.direct(server) as direct:
                found = direct.test.get_collection(
                    "c", read_preference=ReadPreference.SECONDARY_PREFERRED
                )
                assert found.find_one() == {"_id": 1}
        with members.direct(members.secondary()) as direct:
            with pytest.raises(NotPrimaryError) as info:
                direct.test.c.insert_one({})
            assert info.value.details is not None
            assert info.value.details["code"] == 10107


def test_a_second_initiate_is_refused(members: Members) -> None:
    for server in members.servers:
        with members.direct(server) as client, pytest.raises(OperationFailure) as info:
            client.admin.command("replSetInitiate")
        assert info.value.code == 23


def test_a_member_that_was_down_comes_back_by_log(members: Members, load: Client) -> None:
    server = members.secondary()
    server.kill()
    load.load.c.insert_many([{"_id": number, "x": "y" * 100} for number in range(LOADED)])
    offset = len(server.log_text())
    server.start()
    wait_until("it is a secondary", lambda: members.state(server) == "SECONDARY")
    wait_until("it has the documents", lambda: _count(members, server) == LOADED)
    assert "napshot" not in server.log_text()[offset:]


def test_a_member_whose_data_are_gone_comes_back(members: Members, load: Client) -> None:
    server = members.secondary()
    server.kill()
    shutil.rmtree(server.dbpath)
    load.load.c.delete_many({"_id": {"$lt": 10}})
    server.start()
    wait_until("it is a secondary", lambda: members.state(server) == "SECONDARY")
    wait_until("it has the documents", lambda: _count(members, server) == LOADED - 10)
    # It votes again: the set elects with it and one other.
    assert wait_until("it is a voter", lambda: _votes(members) == 3)


def _count(members: Members, server: Server) -> int:
    with members.direct(server) as client:
        collection = client.load.get_collection(
            "c", read_preference=ReadPreference.SECONDARY_PREFERRED
        )
        return collection.count_documents({})


def _votes(members: Members) -> int:
    with MongoClient(members.uri) as client:
        status = client.admin.command("replSetGetStatus")
        return int(status["votingMembersCount"])


@pytest.mark.soak
def test_all_at_once_down_and_up(members: Members) -> None:
    with MongoClient(members.uri) as client:
        before = client.load.c.count_documents({})
    for server in members.servers:
        server.kill()
    for server in members.servers:
        server.start()
    with MongoClient(members.uri) as client:
        assert client.load.c.count_documents({}) == before
        client.load.c.insert_one({"_id": "after"})
    assert wait_until("equal data", members.same_data)
