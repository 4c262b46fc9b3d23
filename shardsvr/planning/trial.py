"""Choosing between plans by trying them, each for the same amount of work, in growing rounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from psdb_base.values import Document
from shardsvr.planning import reach
from shardsvr.planning.execution import Execution
from shardsvr.planning.nodes import Node
from shardsvr.planning.plan_cache import PATIENCE, Entry, cache_key, cache_of
from shardsvr.planning.query import Query
from shardsvr.planning.stages import Stage

FIRST_ROUND: Final = 8
WORKS_MAX: Final = 10_000
"""MongoDB's `internalQueryPlanEvaluationWorks`."""
KEY_COST: Final = 1 / 3
WASTE: Final = 2
WASTE_SLACK: Final = 2
"""Plans that look at more than so many documents for one that matches are not left unrivalled."""
ALONE_WORKS: Final = 64
"""A plan without a rival shows within so much work whether it needs one."""
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

    @property
    def cost(self) -> float:
        """What the work is worth: a key costs less than a document."""
        root = self.execution.root
        return root.total("docs_examined") + root.total("keys_examined") * KEY_COST

    @property
    def is_wasteful(self) -> bool:
        """It has looked at many documents for each that it kept."""
        docs, kept = _kept(self.execution.root)
        return docs > WASTE * kept + WASTE_SLACK

    @property
    def productivity(self) -> float:
        """Rows for each key or document looked at."""
        return self.execution.found / max(self.work, 1)

    def work_up_to(self, limit: int, query: Query) -> None:
        """Go on, in growing steps, until so much work is done or enough is found."""
        step = FIRST_ROUND
        while (left := limit - self.work) > 0 and not self.has_enough(query):
            self.execution.advance(min(step, left))
            step *= 2

    def has_enough(self, query: Query) -> bool:
        """Tell whether the plan is at its end or has found a first batch."""
        wanted = RESULTS_WANTED if query.limit is None else min(RESULTS_WANTED, query.limit)
        execution = self.execution
        return self.failed or execution.root.done or execution.found >= wanted

    @property
    def failed(self) -> bool:
        """It has run out of memory."""
        return self.execution.failed is not None


@dataclass(slots=True)
class Outcome:
    """What a choice gave.

    Args:
        number: The winner's place among the plans.
        execution: Its run so far, to be continued.
        trials: All plans as far as they were tried; empty when there was nothing to try.
        is_cached: The cache knew the winner.

    """

    number: int
    execution: Execution
    trials: list[Trial]
    is_cached: bool = False


def choose(query: Query, plans: list[Node], more: Callable[[], list[Node]]) -> Outcome:
    """Choose a plan: the one that won before for queries of this shape, or by trial.

    Args:
        query: The query.
        plans: Those that are likely to be good; more are added to it when they are tried.
        more: Makes others, worth a trial only where the likely ones look at much for little.

    """
    cache = cache_of(query.collection)
    shape = cache_key(query, len(plans))
    entry = cache.find(query.collection, shape)
    extended = entry is not None and entry.number >= len(plans)
    if extended:
        plans += more()
    if entry is not None:
        if entry.number < len(plans):  # what `more` makes depends on the constants too
            known = Trial(plans[entry.number], Execution(query, plans[entry.number]))
            known.work_up_to(max(entry.allowance, FIRST_ROUND), query)
            if known.has_enough(query) and not known.failed:
                return Outcome(entry.number, known.execution, [], is_cached=True)
        cache.forget(shape)
    if len(plans) == 1:
        alone = Trial(plans[0], Execution(query, plans[0]))
        alone.work_up_to(ALONE_WORKS, query)
        if not alone.is_wasteful:
            return Outcome(0, alone.execution, [])
        number, trials = 0, [alone]
    else:
        number, trials = race(query, plans)
    if trials[number].is_wasteful and not extended:
        others = more()
        if others:
            plans += others
            number, trials = race(query, plans)
    winner = trials[number]
    work = winner.work
    if len(plans) > 1 and not winner.execution.root.done:
        instead = reach.better(query, plans, number, winner.execution.examined()[::-1])
        if instead is not None and not trials[instead[1]].failed:
            reached, number = instead
            winner = trials[number]
            work = max(winner.work, min(2 * reached, WORKS_MAX // PATIENCE))
    if len(plans) > 1:
        cache.keep(shape, Entry(number, work, _story(query, number, trials)))
    return Outcome(number, winner.execution, trials if len(plans) > 1 else [])


def _story(query: Query, number: int, trials: list[Trial]) -> Document:
    """Keep what `$planCacheStats` shows of a plan that won."""
    created: Document = {
        "query": query.filter.spec,
        "sort": {} if query.sort is None else query.sort.spec,
        "projection": {} if query.projection is None else query.projection.spec,
    }
    order = [number, *(other for other in range(len(trials)) if other != number)]
    return {
        "timeOfCreation": query.env.get("NOW"),
        "createdFromQuery": created,
        "cachedPlan": trials[number].node.explain(),
        "creationExecStats": [
            {
                "nReturned": trials[at].execution.found,
                "totalKeysExamined": trials[at].execution.root.total("keys_examined"),
                "totalDocsExamined": trials[at].execution.root.total("docs_examined"),
            }
            for at in order
        ],
        "candidatePlanScores": [1 + trials[at].productivity for at in order],
    }


def race(query: Query, plans: list[Node]) -> tuple[int, list[Trial]]:
    """Try plans against each other; return the winner's number and all trials.

    A plan wins by being the first to be done or to have as many rows as one batch takes, each
    round giving all of them the same amount of work; if none gets there, the one with the most
    rows for its work wins, a plan without a sort before one with a sort.
    """
    trials = [Trial(node, Execution(query, node)) for node in plans]
    size = FIRST_ROUND
    while size <= WORKS_MAX:
        for trial in trials:
            trial.work_up_to(size, query)
        finished = [
            number
            for number, trial in enumerate(trials)
            if trial.has_enough(query) and not trial.failed
        ]
        if not finished and all(trial.failed for trial in trials):
            return 0, trials
        if finished:
            return min(finished, key=lambda number: _effort(trials[number])), trials
        size *= 2
    return min(range(len(trials)), key=lambda number: _unproductive(trials[number])), trials


def _effort(trial: Trial) -> tuple[bool, float]:
    """Order finished plans: those at their end by work, others by work for a row."""
    execution = trial.execution
    if execution.root.done:
        return (False, trial.cost)
    return (False, trial.cost * RESULTS_WANTED / max(execution.found, 1))


def _kept(stage: Stage) -> tuple[int, int]:
    """Return how many documents were looked at, and how many of them went on."""
    docs, kept = stage.docs_examined, stage.advanced if stage.docs_examined else 0
    for child in stage.children:
        below = _kept(child)
        docs, kept = docs + below[0], kept + below[1]
    return docs, kept


def _unproductive(trial: Trial) -> tuple[bool, float, bool]:
    """Order unfinished plans: the most rows for the work first."""
    return (trial.failed, -trial.productivity, trial.node.stage == "SORT")
