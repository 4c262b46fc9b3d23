"""A sharded cluster of replica sets, balanced under writers while its processes are killed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cluster.sharded_faults import change_over_failover, play
from cluster.up import Cluster, wait_until

FIRST = int(os.environ.get("PSDB_BALANCE_FIRST", "0"))
ROUNDS = int(os.environ.get("PSDB_BALANCE_ROUNDS", "0"))
"""How many whole runs on three shards and three config servers; without, one small run."""
KILLS = ("from", "to", "config")
CHANGES = ("movePrimary", "shardCollection", "moveChunk")


def look_at_it(cluster: Cluster) -> None:
    """See that both routers answer, what `psdb status` shows, and that it takes little memory."""
    memory = cluster.memory_bytes()
    print(f"ready in {cluster.ready_seconds:.1f} s, {memory / 2**20:.0f} MiB")
    assert len(cluster.tree()) == 2 + len(cluster.processes())
    assert memory < 600 * 10**6
    routers = cluster.uri.removeprefix("mongodb://").rstrip("/").split(",")
    sets = {name: cluster.addresses(name) for name in ("shard0", "shard1", "config")}
    for hosts in sets.values():
        wait_until("all serve", lambda hosts=hosts: cluster.all_serve(hosts))
    for number, router in enumerate(routers):
        direct = cluster.direct(router)
        if not number:
            direct.admin.command("shardCollection", "seen.items", key={"_id": "hashed"})
        direct.seen.items.insert_one({"_id": number})
        assert direct.seen.items.count_documents({}) == number + 1
    # A primary tells of the others by their last heartbeats: some may have been starting then.
    found = wait_until("all members are at work", lambda: status_of_all_at_work(routers[1]))
    assert found["chunks"] == {"seen.items": {"shard0": 1, "shard1": 1}}
    assert [row["address"].rpartition(":")[2] for row in found["routers"]] == sorted(
        router.rpartition(":")[2] for router in routers)
    for one in found["sets"]:
        members = one["members"]
        assert [member["address"] for member in members] == sets[one["name"]]
        assert all(member["lagSeconds"] >= 0 for member in members)
        assert one["term"] >= 1
    shown = psdb_status(routers[0]).stdout
    assert_is_a_screen(shown, [*sets["shard0"], *sets["shard1"], *sets["config"]])
    command = [sys.executable, "-m", "psdb", "status", routers[0], "--watch", "0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        lines: list[str] = []
        while sum("\x1b[2J" in line for line in lines) < 3:
            lines.append(watching.stdout.readline())
        watching.terminate()
    second = "".join(lines).split("\x1b[H\x1b[2J")[2]
    assert_is_a_screen(second, sets["config"])


def status_of_all_at_work(router: str) -> dict[str, Any] | None:
    """Return what `psdb status` tells once each set has a primary and two secondaries in it."""
    found: dict[str, Any] = json.loads(psdb_status(router, "--json").stdout)
    roles = [sorted(member["role"] for member in one["members"]) for one in found["sets"]]
    return found if roles == [["PRIMARY", "SECONDARY", "SECONDARY"]] * 3 else None


def psdb_status(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "psdb", "status", *arguments], capture_output=True, text=True,
        check=True, timeout=60,
    )


def assert_is_a_screen(text: str, members: list[str]) -> None:
    """See that a status fits on a screen and has members, roles, terms, lag and chunks."""
    lines = text.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    assert all(any(member in line for line in lines) for member in members)
    assert sum(" PRIMARY " in line for line in lines) == 3
    assert sum(" SECONDARY " in line and " lag " in line for line in lines) == 6
    assert sum("  term " in line for line in lines) == 3
    assert lines[-1].split() == ["seen.items", "1", "1"]


@pytest.mark.slow
@pytest.mark.skipif(ROUNDS > 0, reason="the large runs are asked for")
def test_two_shards_under_kills(tmp_path: Path) -> None:
    flags = ("--shards", "2", "--replicas", "3", "--configsvrs", "3", "--routers", "2")
    with Cluster(tmp_path / "data", *flags) as cluster:
        look_at_it(cluster)
        for change, victim in zip(CHANGES, KILLS, strict=True):
            change_over_failover(cluster, change, change, victim, 0.03, gently=victim == "to")
        play(cluster, 8000, [("from", 0.05), ("to", 0.05)])


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(FIRST, FIRST + ROUNDS))
def test_three_shards_balanced_under_kills(tmp_path: Path, number: int) -> None:
    chance = random.Random(number)
    kills = [(role, chance.random() * 0.3) for role in chance.sample(KILLS, 3)]
    flags = ("--shards", "3", "--replicas", "3", "--configsvrs", "3", "--routers", "2")
    with Cluster(tmp_path / "data", *flags) as cluster:
        play(cluster, 12_000, kills)
        for turn, change in enumerate(CHANGES):
            for victim in KILLS:
                change_over_failover(
                    cluster, f"c{turn}{victim}", change, victim, chance.random() * 0.12,
                    gently=chance.random() < 0.5,
                )
