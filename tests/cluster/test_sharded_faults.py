"""A sharded cluster of replica sets, balanced under writers while its processes are killed."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from cluster.sharded_faults import change_over_failover, play
from cluster.up import Cluster

FIRST = int(os.environ.get("PSDB_BALANCE_FIRST", "0"))
ROUNDS = int(os.environ.get("PSDB_BALANCE_ROUNDS", "0"))
"""How many whole runs on three shards and three config servers; without, one small run."""
KILLS = ("from", "to", "config")
CHANGES = ("movePrimary", "shardCollection", "moveChunk")


@pytest.mark.slow
@pytest.mark.skipif(ROUNDS > 0, reason="the large runs are asked for")
def test_two_shards_under_kills(tmp_path: Path) -> None:
    flags = ("--shards", "2", "--replicas", "3", "--configsvrs", "1", "--routers", "2")
    with Cluster(tmp_path / "data", *flags) as cluster:
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
