"""Choosing between plans by trying them, each for the same amount of work, in growing rounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from shardsvr.planning.execution import Execution
from shardsvr.planning.nodes import Node
from shardsvr.planning.query import Query

FIRST_ROUND: Final = 8
WORKS_MAX: Final = 10_000
"""MongoDB's `internalQueryPlanEvaluationWorks`."""
RESULTS_WANTED: Final = 101
"""MongoDB's `internalQueryPlanEvaluationMaxResults`."""


@dataclass(slots=True)
class Trial:
    """A plan under trial.

    Args:
        node: The plan.
        execution: Its run so far.

    """

    node: Node
    execution: Execution

    @property
    def work(self) -> int:
        """Keys and documents looked at."""
        root = self.execution.root
        return root.total("keys_examined") + root.total("docs_examined")


def choose(query: Query, plans: list[Node]) -> tuple[int, list[Trial]]:
    """Try plans against each other.

    Returns:
        The number of the winner, and all trials; the winner's run is to be continued.

    A plan wins by being the first to be done or to have as many rows as one batch takes, each
    round giving all of them the same amount of work; if none gets there, the one with the most
    rows for its work wins, a plan without a sort before one with a sort.
    """
    trials = [Trial(node, Execution(query, node)) for node in plans]
    wanted = RESULTS_WANTED
    if query.limit is not None:
        wanted = min(wanted, query.limit)
    size = FIRST_ROUND
    while size <= WORKS_MAX:
        for trial in trials:
            missing = size - trial.work
            if missing > 0:
                trial.execution.advance(missing)
        finished = [
            number
            for number, trial in enumerate(trials)
            if trial.execution.root.done or trial.execution.found >= wanted
        ]
        if finished:
            return min(finished, key=lambda number: _effort(trials[number])), trials
        size *= 2
    return min(range(len(trials)), key=lambda number: _unproductive(trials[number])), trials


def _effort(trial: Trial) -> tuple[bool, float]:
    """Order finished plans: those at their end by work, others by work for a row."""
    execution = trial.execution
    if execution.root.done:
        return (False, trial.work)
    return (False, trial.work * RESULTS_WANTED / max(execution.found, 1))


def _unproductive(trial: Trial) -> tuple[float, bool]:
    """Order unfinished plans: the most rows for the work first."""
    return (-trial.execution.found / max(trial.work, 1), trial.node.stage == "SORT")
