"""Clusters of several shards in one process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pymongo
import pytest

HERE = Path(__file__).resolve().parent


class Sharded:
    """A running cluster with clients of its routers."""

    def __init__(self, dbpath: Path, shards: int, routers: int) -> None:
        self._log = (dbpath.parent / f"{dbpath.name}.log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "serve_local.py"), str(dbpath), str(shards), str(routers)],
            cwd=HERE.parents[1], stdout=subprocess.PIPE, stderr=self._log, text=True,
        )
        assert self._process.stdout is not None
        self.ports = [int(port) for port in self._process.stdout.readline().split()]
        assert self.ports, (dbpath.parent / f"{dbpath.name}.log").read_text()[-3000:]
        self.clients = [
            pymongo.MongoClient(f"mongodb://127.0.0.1:{port}/") for port in self.ports
        ]
        self.client = self.clients[0]

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self._process.kill()
        self._process.wait()
        self._log.close()


@pytest.fixture(scope="session")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sharded]:
    """Three shards and two routers, for all tests of this folder."""
    cluster = Sharded(tmp_path_factory.mktemp("sharded") / "data", 3, 2)
    cluster.client.admin.command("balancerStop")
    yield cluster
    cluster.close()


@pytest.fixture
def client(sharded: Sharded) -> pymongo.MongoClient:
    return sharded.client


@pytest.fixture
def db(sharded: Sharded, request: pytest.FixtureRequest) -> Iterator[pymongo.database.Database]:
    """A database of the test's own."""
    name = request.node.name.replace("[", "_").replace("]", "").replace(".", "_")[:50]
    yield sharded.client[name]
    sharded.client.drop_database(name)
