"""One replica set of three processes for the tests that leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cluster.up import Cluster


@pytest.fixture(scope="package")
def replica_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Give `psdb up --replset rs0 --replicas 3`."""
    path = tmp_path_factory.mktemp("set") / "data"
    with Cluster(path, "--replset", "rs0", "--replicas", "3") as cluster:
        yield cluster
