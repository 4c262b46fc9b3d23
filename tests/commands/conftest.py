"""A database of its own for every test, on the server that all tests of a run share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from servers import Server


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[MongoClient[dict[str, Any]]]:
    with MongoClient(server.uri, serverSelectionTimeoutMS=5000) as connected:
        yield connected


@pytest.fixture(scope="session")
def member_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a shard's member without a router before it, one for all tests of a run."""
    dbpath = tmp_path_factory.mktemp("member") / "data"
    with Server(["shardsvr", "--dbpath", str(dbpath)], dbpath) as running:
        yield running


@pytest.fixture(scope="session")
def member_client(member_server: Server) -> Iterator[MongoClient[dict[str, Any]]]:
    with MongoClient(member_server.uri, serverSelectionTimeoutMS=5000) as connected:
        yield connected


@pytest.fixture
def member_db(
    member_client: MongoClient[dict[str, Any]], request: pytest.FixtureRequest
) -> Iterator[Database[dict[str, Any]]]:
    yield from own_database(member_client, request)


@pytest.fixture
def db(
    client: MongoClient[dict[str, Any]], request: pytest.FixtureRequest
) -> Iterator[Database[dict[str, Any]]]:
    yield from own_database(client, request)


def own_database(
    client: MongoClient[dict[str, Any]], request: pytest.FixtureRequest
) -> Iterator[Database[dict[str, Any]]]:
    """Give a test a database of its own, empty before and gone after."""
    name = "cmd_" + re.sub(r"\W", "_", request.node.name)[:50]
    client.drop_database(name)
    yield client[name]
    client.drop_database(name)
