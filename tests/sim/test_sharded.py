"""Sharded collections under faults, from seeds."""

from __future__ import annotations

import pytest
from sim.sharded import Scenario


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 4))
def test_moves_under_faults(seed: int) -> None:
    scenario = Scenario(seed)
    scenario.run()
    assert scenario.moves
    assert scenario.scans
