"""Replica sets under faults: what Raft promises at every step, and what clients know in the end.

Each seed is a run of its own; see `sim.replica_scenario`. PSDB_SEED=N replays one; so does, with
all that the machines logged, `PYTHONPATH=tests python -m sim.replica_replay --seed N --log`.
"""

from __future__ import annotations

import os

import pytest
from sim.linearizable import Operation, is_linearizable
from sim.replica_scenario import ReplicaScenario, run_seed

COUNT = int(os.environ.get("PSDB_REPLICA_SEEDS", "20"))
SEEDS = [int(os.environ["PSDB_SEED"])] if "PSDB_SEED" in os.environ else range(COUNT)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_replica_set_keeps_its_promises(seed: int) -> None:
    try:
        result = run_seed(seed)
    except Exception as error:
        pytest.fail(f"PSDB_SEED={seed}: {type(error).__name__}: {error}")
    assert result.operations > 0
    assert result.elections > 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_seed_repeats_every_step() -> None:
    first = run_seed(38, seconds=15.0)
    assert run_seed(38, seconds=15.0, expected=first.checksums).trace == first.trace


def test_a_set_has_three_or_five_members() -> None:
    sizes = [len(ReplicaScenario(seed).nodes) for seed in range(20)]
    assert sorted(dict.fromkeys(sizes)) == [3, 5]


# -- the checker of registers can say no ---------------------------------------------------------


def test_answers_in_order_are_linearizable() -> None:
    history = [
        Operation("write", 1, None, 0, 2), Operation("read", None, None, 1, 3),
        Operation("read", 1, None, 4, 5), Operation("cas", 2, 1, 5, 7),
        Operation("read", 2, None, 6, 8),
    ]
    assert is_linearizable(history)


def test_a_stale_read_is_not_linearizable() -> None:
    history = [Operation("write", 1, None, 0, 1), Operation("read", None, None, 2, 3)]
    assert not is_linearizable(history)


def test_a_value_that_comes_back_is_not_linearizable() -> None:
    history = [
        Operation("write", 1, None, 0, 1), Operation("write", 2, None, 2, 3),
        Operation("read", 2, None, 4, 5), Operation("read", 1, None, 6, 7),
    ]
    assert not is_linearizable(history)


def test_an_unanswered_write_may_take_effect_late_or_never() -> None:
    unanswered = Operation("write", 1, None, 0)
    assert is_linearizable([unanswered, Operation("read", None, None, 5, 6)])
    assert is_linearizable([
        unanswered, Operation("read", None, None, 1, 2), Operation("read", 1, None, 5, 6),
    ])
    assert not is_linearizable([
        unanswered, Operation("read", 1, None, 1, 2), Operation("read", None, None, 5, 6),
    ])
