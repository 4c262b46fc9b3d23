"""A sharded cluster of replica sets, balanced under writers while its processes are killed."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from cluster.sharded_faults import play
from cluster.up import Cluster

FIRST = int(os.environ.get("PSDB_BALANCE_FIRST", "0"))
ROUNDS = int(os.environ.get("PSDB_BALANCE_ROUNDS", "0"))
"""How many whole runs on three shards and three config servers; without, one small run."""
KILLS = ("from", "to", "config")


@pytest.mark.slow
@pytest.mark.skipif(ROUNDS > 0, reason="the large runs are asked for")
def test_two_shards_balanced_under_kills(tmp_path: Path) -> None:
    flags = ("--shards", "2", "--replicas", "3", "--configsvrs", "1", "--routers", "2")
    with Cluster(tmp_path / "data", *flags) as cluster:
        play(cluster, 6000, [(role, 0.05) for role in KILLS])


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(FIRST, FIRST + ROUNDS))
def test_three_shards_balanced_under_kills(tmp_path: Path, number: int) -> None:
    chance = random.Random(number)
    kills = [(role, chance.random() * 0.3) for role in chance.sample(KILLS, 3)]
    flags = ("--shards", "3", "--replicas", "3", "--configsvrs", "3", "--routers", "2")
    with Cluster(tmp_path / "data", *flags) as cluster:
        play(cluster, 12_000, kills)
