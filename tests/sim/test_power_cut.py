"""Power cuts, lost connections, partitions and hung disks under load: nothing acknowledged is lost.

Each seed is a run of its own; see `sim.scenario`. A seed that fails is replayed, with all that the
machines logged, by `PYTHONPATH=tests python -m sim.replay --seed N --log`, or here by PSDB_SEED=N.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from sim.cluster import CannotStart, SimNode
from sim.loop import NonDeterminism
from sim.scenario import Scenario, run_seed
from sim.workload import Violation

from psdb_base.errors import MongoError
from psdb_server.node import Node
from psdb_store.sessions import SessionTable
from shardsvr.member import Member
from shardsvr.session_turns import SessionTurns

COUNT = int(os.environ.get("PSDB_SIM_SEEDS", "10"))
FIRST = int(os.environ.get("PSDB_SIM_FIRST", "0"))
SEEDS = [int(os.environ["PSDB_SEED"])] if "PSDB_SEED" in os.environ else range(FIRST, FIRST + COUNT)
SEEDS_UNTIL_FOUND = 40
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_acknowledged_survives_power_cuts(seed: int) -> None:
    try:
        result = run_seed(seed)
    except Exception as error:
        pytest.fail(f"PSDB_SEED={seed}: {type(error).__name__}: {error}")
    assert result.operations > 0
    assert result.power_cuts > 0


# -- the same seed is the same run --------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 9])
def test_a_seed_repeats_every_step(seed: int) -> None:
    first = run_seed(seed)
    assert run_seed(seed, expected=first.checksums).trace == first.trace


def test_seeds_differ() -> None:
    assert run_seed(15).trace != run_seed(36).trace


@pytest.mark.slow
def test_a_seed_is_the_same_run_in_every_process() -> None:
    code = "from sim.scenario import run_seed; print(run_seed(15).trace)"
    traces = []
    for hash_seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": f"{ROOT}/tests:{ROOT}"}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=env, cwd=ROOT,
            check=True,
        )
        traces.append(done.stdout)
    assert traces == [f"{run_seed(15).trace}\n"] * 2


def test_the_first_step_that_differs_is_told() -> None:
    first = run_seed(15)
    other = Scenario(15, expected=first.checksums)
    other.plan.conditions.delay_seconds *= 1.001
    with pytest.raises(NonDeterminism, match="non-determinism detected at step"):
        other.run()


# -- the scenario can fail ----------------------------------------------------------------------
# Each planted fault breaks one promise; some seed must notice.


def no_fdatasync(node: SimNode) -> None:
    node.machine.disk.lies = lambda operation, path: operation == "fdatasync"


def no_journal_sync(node: SimNode) -> None:
    node.machine.disk.lies = (
        lambda operation, path: operation == "fdatasync" and "/journal/" in path
    )


def no_folder_sync(node: SimNode) -> None:
    node.machine.disk.lies = lambda operation, path: operation == "fsync_dir"


@contextlib.contextmanager
def reply_before_commit() -> Iterator[None]:
    async def execute(member: Any, request: Any) -> Any:
        return await Node.execute(member, request)

    with mock.patch.object(Member, "execute", execute):
        yield


@contextlib.contextmanager
def forget_statements() -> Iterator[None]:
    with mock.patch.object(SessionTable, "get", return_value=None):
        yield


@contextlib.contextmanager
def no_turns() -> Iterator[None]:
    async def take(turns: Any, lsid: bytes) -> None:
        turns._waiting[lsid] = deque()

    with (
        mock.patch.object(SessionTurns, "take", take),
        mock.patch.object(SessionTurns, "release", return_value=None),
    ):
        yield


def broken_seed(spoil: Callable[[SimNode], None] | None) -> str:
    """Return what the first seed that notices a planted fault says; empty if none does."""
    for seed in range(SEEDS_UNTIL_FOUND):
        try:
            run_seed(seed, spoil=spoil)
        except (CannotStart, MongoError, Violation) as error:
            return str(error)
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("spoil", [no_fdatasync, no_journal_sync, no_folder_sync])
def test_a_disk_that_does_not_sync_is_noticed(spoil: Callable[[SimNode], None]) -> None:
    assert broken_seed(spoil)


@pytest.mark.slow
def test_a_reply_before_the_commit_is_noticed() -> None:
    with reply_before_commit():
        assert broken_seed(None)


@pytest.mark.slow
def test_a_server_that_forgets_statements_is_noticed() -> None:
    with forget_statements():
        assert broken_seed(None)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_retries_out_of_turn_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.SEEDS_UNTIL_FOUND", 500)
    with no_turns():
        assert broken_seed(None)
