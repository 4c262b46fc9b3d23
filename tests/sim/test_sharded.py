"""Sharded collections under faults, from seeds; and faults planted, which must be noticed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from sim.sharded import Scenario
from sim.workload import Violation

from shardsvr.sharding.donor import Donation
from shardsvr.sharding.ownership import Guard
from shardsvr.sharding.state import ShardingState

FIRST = int(os.environ.get("PSDB_SHARDED_FIRST", "1"))
COUNT = int(os.environ.get("PSDB_SHARDED_SEEDS", "2"))
SEEDS_UNTIL_FOUND = 8


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_moves_under_faults(seed: int) -> None:
    scenario = Scenario(seed)
    scenario.run()
    assert scenario.moves
    assert scenario.scans


async def _nothing(*_args: Any) -> None:
    """Stand in for a step that is left out."""


def without_versions(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ShardingState, "mismatch", lambda *_: None)


def without_guard(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Guard, "lets_all_through", True)


def without_waiting_for_readers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ShardingState, "readers_left", lambda *_: False)


def without_catching_up(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Donation, "_send_changes", _nothing)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("plant", [
    without_versions, without_guard, without_waiting_for_readers, without_catching_up,
])
def test_a_planted_fault_is_noticed(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(Violation):
        _run_seeds()


def _run_seeds() -> None:
    for seed in range(1, SEEDS_UNTIL_FOUND):
        Scenario(seed).run()
