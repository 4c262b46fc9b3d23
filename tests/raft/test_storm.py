"""Seeded storms: safety at every step, progress afterwards; `Storm(seed).run()` replays one."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from raft.storm import Storm

COUNT = int(os.environ.get("PSDB_STORMS", "200"))
FIRST = int(os.environ.get("PSDB_STORMS_FIRST", "0"))


@pytest.mark.parametrize("first", range(FIRST, FIRST + COUNT, 50))
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
