"""Sharded collections under faults, from seeds; and faults planted, which must be noticed.

PSDB_SEED=N replays one seed; so does, with all that the machines logged,
`PYTHONPATH=tests python -m sim.sharded_replay --seed N --log`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from sim.linearizable import Undecided
from sim.loop import SimulationError
from sim.sharded import run_seed
from sim.workload import Violation

from shardsvr.sharding import donor
from shardsvr.sharding.donor import Donation
from shardsvr.sharding.ownership import Guard
from shardsvr.sharding.state import ShardingState

COUNT = int(os.environ.get("PSDB_SHARDED_SEEDS", "10"))
SEEDS = [int(os.environ["PSDB_SEED"])] if "PSDB_SEED" in os.environ else range(COUNT)
SEEDS_UNTIL_FOUND = 40


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_sharded_cluster_keeps_its_promises(seed: int) -> None:
    try:
        result = run_seed(seed)
    except Exception as error:
        pytest.fail(f"PSDB_SEED={seed}: {type(error).__name__}: {error}")
    assert result.operations > 0
    assert result.scans > 0


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_a_seed_repeats_every_step() -> None:
    first = run_seed(2)
    assert run_seed(2, expected=first.checksums).trace == first.trace


async def _nothing(*_args: Any, **_more: Any) -> None:
    """Stand in for a step that is left out."""


def without_versions(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ShardingState, "mismatch", lambda *_: None)


def without_guard(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Guard, "lets_all_through", True)


def without_waiting_for_readers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ShardingState, "readers_left", lambda *_: False)


def without_catching_up(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Donation, "_send_changes", _nothing)


def with_a_fence_that_says_aborted(patch: pytest.MonkeyPatch) -> None:
    async def aborted(*_: Any) -> str:
        return "aborted"

    patch.setattr(donor, "fence", aborted)


def without_recovery(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("shardsvr.sharding.recovery.take_up", lambda member: member.sharding.reset())


PLANTS = [
    without_versions, without_guard, without_waiting_for_readers, without_catching_up,
    with_a_fence_that_says_aborted, without_recovery,
]


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_fault_is_noticed(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises((Violation, SimulationError, Undecided)):
        _run_seeds()


def _run_seeds() -> None:
    for seed in range(SEEDS_UNTIL_FOUND):
        run_seed(seed)
