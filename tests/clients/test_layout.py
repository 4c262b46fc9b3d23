"""What `psdb up` lays out for several processes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from psdb.layout import Layout, Shape


def ports() -> Callable[[], int]:
    return count(5000).__next__


def plan(path: Path, shape: Shape, port: int = 100) -> Layout:
    layout = Layout.plan(path, shape, port, ports())
    layout.write()
    return layout


def test_a_replica_set(tmp_path: Path) -> None:
    layout = plan(tmp_path, Shape("rs0", replicas=3))
    assert layout.uri == (
        "mongodb://127.0.0.1:100,127.0.0.1:101,127.0.0.1:102/?replicaSet=rs0"
    )
    assert layout.set_address("rs0") == "rs0/127.0.0.1:100,127.0.0.1:101,127.0.0.1:102"


def test_a_sharded_cluster(tmp_path: Path) -> None:
    layout = plan(tmp_path, Shape(shards=2, replicas=3, config_servers=3, routers=2))
    assert layout.uri == "mongodb://127.0.0.1:100,127.0.0.1:101/"
    assert [process.name for process in layout.processes] == [
        "router-0", "router-1", "shard0-0", "shard0-1", "shard0-2", "shard1-0", "shard1-1",
        "shard1-2", "config-0", "config-1", "config-2",
    ]
    assert [process.port for process in layout.processes] == list(range(100, 111))


def test_ports_stay_and_a_cluster_may_grow(tmp_path: Path) -> None:
    first = plan(tmp_path, Shape(shards=1, replicas=2), port=0)
    again = plan(tmp_path, Shape(shards=1, replicas=2), port=0)
    assert first == again
    grown = plan(tmp_path, Shape(shards=2, replicas=3), port=200)
    kept = {process.name: process.port for process in grown.processes}
    assert all(kept[process.name] == process.port for process in first.processes)
    assert len(set(kept.values())) == len(kept) == 8
    with pytest.raises(ValueError, match="shard1-0, shard1-1, shard1-2 as well"):
        plan(tmp_path, Shape(shards=1, replicas=3))


def test_other_clusters_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "shard0").mkdir()
    with pytest.raises(ValueError, match="one process"):
        plan(tmp_path, Shape("rs0"))
    (tmp_path / "cluster.json").write_text('{"format": 2, "processes": []}')
    with pytest.raises(ValueError, match="format 2"):
        plan(tmp_path, Shape("rs0"))


@pytest.mark.parametrize(("shape", "flag"), [
    (Shape(replicas=0), "--replicas"),
    (Shape(shards=51), "--shards"),
    (Shape("rs0", shards=2), "--shards"),
    (Shape("rs0", config_servers=3), "--configsvrs"),
    (Shape("rs0", routers=2), "--routers"),
])
def test_numbers_that_make_no_cluster(shape: Shape, flag: str) -> None:
    with pytest.raises(ValueError, match=flag):
        shape.check()


def test_one_of_each_is_one_process() -> None:
    assert Shape().is_one_process
    assert not Shape("rs0").is_one_process
    assert not Shape(routers=2).is_one_process
