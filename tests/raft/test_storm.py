"""Seeded storms: safety at every step, progress afterwards; `Storm(seed).run()` replays one."""

from __future__ import annotations

from collections import Counter

import pytest
from raft.storm import Storm

SEEDS = 200


@pytest.mark.parametrize("first", range(0, SEEDS, 50))
def test_storm(first: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(first, first + 50):
        storm = Storm(seed)
        try:
            storm.run()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        seen += storm.seen
    assert seen["config changed"] > 5
    assert seen["crash"] > 50
