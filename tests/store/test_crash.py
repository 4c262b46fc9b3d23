"""Power cuts at random points of random workloads (`store_workload`)."""

from __future__ import annotations

import os

import pytest
from simdisk import SimDisk
from store_workload import recover, workload

POINTS = int(os.environ.get("PSDB_CRASH_POINTS", "500"))
POINTS_PER_RUN = 25


@pytest.mark.parametrize("seed", range(POINTS // POINTS_PER_RUN))
def test_power_cuts(seed: int) -> None:
    points, states = workload(seed, SimDisk(seed), POINTS_PER_RUN)
    assert points
    for number, point in enumerate(points):
        recover(point, states, number)
