"""Power cuts at random points of random workloads (`store_workload`)."""

from __future__ import annotations

import os

import pytest
from simdisk import SimDisk
from store_workload import recover, workload

POINTS = int(os.environ.get("PSDB_CRASH_POINTS", "500"))
POINTS_PER_RUN = 25
FIRST = int(os.environ.get("PSDB_CRASH_FIRST", "0"))
"""Seed of the first run."""


@pytest.mark.parametrize("seed", range(FIRST, FIRST + POINTS // POINTS_PER_RUN))
def test_power_cuts(seed: int) -> None:
    points = workload(seed, SimDisk(seed), POINTS_PER_RUN)
    assert points
    for number, point in enumerate(points):
        recover(point, number)
