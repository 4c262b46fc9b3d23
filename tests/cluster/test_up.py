"""`psdb up` with several processes: ready, supervised, stopped by one Ctrl-C, started again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cluster.up import Cluster, runs, wait_until
from sharding.test_zip_codes import first_session


def status(cluster: Cluster) -> dict[str, Any]:
    address = f"127.0.0.1:{cluster.processes()[0]['port']}"
    done = subprocess.run(
        [sys.executable, "-m", "psdb", "status", address, "--json"], capture_output=True,
        text=True, check=True, timeout=60,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_replica_set_of_one(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "data", "--replset", "solo")
    with cluster:
        assert cluster.uri.endswith("/?replicaSet=solo")
        client = cluster.client()
        client.test.c.insert_one({"_id": 1})
        assert client.admin.command("hello")["setName"] == "solo"
    with cluster:
        assert cluster.client().test.c.find_one() == {"_id": 1}


def test_status_of_a_replica_set(replica_set: Cluster) -> None:
    def all_are_in() -> bool:
        (found,) = status(replica_set)["sets"]
        roles = sorted(member["role"] for member in found["members"])
        return roles == ["PRIMARY", "SECONDARY", "SECONDARY"]

    wait_until("all members are in", all_are_in)
    (found,) = status(replica_set)["sets"]
    assert found["term"] >= 1
    assert [member["address"] for member in found["members"]] == replica_set.addresses("rs0")


@pytest.mark.parametrize("how", ["ranged", pytest.param("hashed", marks=pytest.mark.soak)])
def test_a_sharded_cluster_of_processes(tmp_path: Path, how: str) -> None:
    cluster = Cluster(
        tmp_path / "data", "--shards", "3", "--replicas", "1", "--configsvrs", "1",
        "--routers", "2",
    )
    with cluster:
        client = cluster.client()
        first_session(client, cluster.processes()[1]["port"], how)
        for name in ("one", "two", "three", "four"):
            client[name].c.insert_many([{"_id": number} for number in range(10)])
        shown = status(cluster)
        assert [one["name"] for one in shown["sets"] if one["role"] == "shard"] == [
            "shard0", "shard1", "shard2"
        ]
        primaries = {row["primary"] for row in client.config.databases.find()}
        assert primaries == {"shard0", "shard1", "shard2"}

        # A child that dies is started again, with its data.
        addresses = cluster.addresses("shard0")
        wait_until("shard0 serves", lambda: cluster.all_serve(addresses))
        for address in addresses:
            old = cluster.pids()[address]
            cluster.signal(address, signal.SIGKILL)
            wait_until("it runs again", lambda address=address, old=old: (
                cluster.pids().get(address, old) != old))
            wait_until("shard0 serves", lambda: cluster.all_serve(addresses))
        assert "signal SIGKILL" in cluster.errors()
        assert client.one.c.count_documents({}) == 10
        router = f"127.0.0.1:{cluster.processes()[0]['port']}"
        cluster.signal(router, signal.SIGKILL)
        assert client.two.c.count_documents({}) == 10
        children = list(cluster.pids().values())
        assert cluster.stop() == 0
        assert not any(map(runs, children))
    with cluster:
        client = cluster.client()
        for name in ("one", "two", "three", "four"):
            assert client[name].c.count_documents({}) == 10
        # With this process killed, the children stop by themselves.
        assert cluster.process is not None
        children = list(cluster.pids().values())
        client.close()  # later it would look for a server to end its sessions on
        cluster.process.kill()
        wait_until("the children stop", lambda: not any(map(runs, children)))


def test_a_member_that_cannot_start_ends_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "psdb", "up", "--replset", "rs0", "--port", "0", "--dbpath",
         str(tmp_path), "--setParameter", "nonsense=1"],
        capture_output=True, text=True, check=False, timeout=60,
    )
    assert done.returncode == 2
    assert "rs0-0 cannot start" in done.stderr
    assert "nonsense" in done.stderr
