"""`plan_query`: from a query to the plan that answers it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from psdb_base.limits import SORT_MEMORY_BYTES_MAX
from psdb_base.values import Document
from psdb_query.bounds_index import Predicates
from psdb_query.context import Collation, Env
from psdb_query.filters import Filter, tree
from psdb_query.projection import Projection
from psdb_query.sorting import Sorter
from psdb_store.collection import Collection
from psdb_store.committed import Committed
from shardsvr.planning import (
    access,
    clustered,
    explain,
    forced,
    keys_only,
    nodes,
    reach,
    special,
)
from shardsvr.planning.access import Candidate
from shardsvr.planning.execution import Execution
from shardsvr.planning.index_filters import allowed_indexes, take_advice
from shardsvr.planning.indexes import same_collation
from shardsvr.planning.nodes import Node
from shardsvr.planning.query import Advice, Query
from shardsvr.planning.trial import Outcome, choose


class Plan:
    """How a query is answered.

    Attributes:
        query: The query.
        winner: The plan chosen.

    """

    __slots__ = ("_outcome", "_plans", "_warm", "query", "winner")

    def __init__(
        self,
        query: Query,
        winner: Node,
        plans: list[Node] | None = None,
        outcome: Outcome | None = None,
    ) -> None:
        self.query = query
        self.winner = winner
        self._plans = plans or []
        self._outcome = outcome
        self._warm = None if outcome is None else outcome.execution

    @property
    def sorted_by_index(self) -> bool:
        """The order that was asked for comes from an index, without a sort."""
        return self.query.sort is not None and not reach.has_sort(self.winner)

    def open(self) -> Execution:
        """Begin to run the plan; the first run goes on from where a trial left it."""
        warm, self._warm = self._warm, None
        count_use(self.winner)
        return Execution(self.query, self.winner) if warm is None else warm

    def explain(self, verbosity: str, execution: Execution | None = None) -> Document:
        """Describe the plan as MongoDB's `explain` does.

        Args:
            verbosity: `queryPlanner`, `executionStats` or `allPlansExecution`.
            execution: A run of this plan, finished, for all but the first verbosity; made and
                run to its end when it is not given.

        """
        trials = [] if self._outcome is None else self._outcome.trials
        rejected = [node for node in self._plans if node is not self.winner]
        is_cached = self._outcome is not None and self._outcome.is_cached
        document = {
            "queryPlanner": explain.planner_section(
                self.query, self.winner, rejected, is_cached=is_cached
            )
        }
        if verbosity == "queryPlanner":
            return document
        if execution is None:
            execution = self.open()
            while not execution.done:
                execution.next_batch(_BATCH)
        statistics = explain.statistics_section(self.winner, execution)
        document["executionStats"] = statistics
        if verbosity == "allPlansExecution":
            statistics["allPlansExecution"] = [
                explain.trial_section(trial.node, trial.execution, 1 + trial.productivity)
                for trial in trials
            ]
        return document


_BATCH: Final = 1024


def count_use(node: Node) -> None:
    """Count a use of every index of a plan, for `$indexStats`."""
    index = getattr(node, "index", None)
    if index is not None:
        index.accesses += 1
    for child in node.children:
        count_use(child)


def plan_query(
    collection: Collection,
    filter_: Filter,
    env: Env,
    *,
    sort: Sorter | None = None,
    projection: Projection | None = None,
    hint: Any = None,
    skip: int = 0,
    limit: int | None = None,
    collation: Collation | None = None,
    min_: Document | None = None,
    max_: Document | None = None,
    count: bool = False,
    distinct: str | None = None,
    meta: bool = False,
    sort_memory_bytes: int = SORT_MEMORY_BYTES_MAX,
    bounds_memory: bool = True,
    committed: Committed | None = None,
) -> Plan:
    """Plan a query over a collection.

    Args:
        collection: Where.
        filter_: The compiled filter.
        env: Runtime variables.
        sort: The compiled order, or None.
        projection: What the caller will make of the records.
        hint: Index name, key pattern, or `{$natural: ±1}`.
        skip: Documents to leave out.
        limit: Documents to return at most; None for all.
        collation: The compiled collation of filter and sort.
        min_: Inclusive lower bound in the hinted index.
        max_: Exclusive upper bound in the hinted index.
        count: Only the number is wanted: rows of the execution may be anything.
        distinct: Only the values of this field are wanted: documents that would show no new
            value may be left out.
        meta: Scores are wanted; see `Execution.meta`.
        sort_memory_bytes: What a sort in memory may hold; beyond it the run raises
            `SortOverflowError` before it has given anything.
        committed: The collection's committed state, where no other is to be read.
        bounds_memory: False lets a sort hold more, to be explained.

    Raises:
        MongoError: 2 BadValue (no such index), 291 NoQueryExecutionPlans and others.

    """
    query = Query(
        collection,
        filter_,
        env,
        sort if sort is not None and sort.parts else None,
        projection,
        hint,
        skip,
        limit,
        collation,
        min_,
        max_,
        count,
        distinct,
        meta,
        sort_memory_bytes=sort_memory_bytes,
        bounds_memory=bounds_memory,
        committed=committed,
    )
    return plan_of(query)


def plan_of(query: Query) -> Plan:
    """Plan a query; see `plan_query`."""
    if query.filter.is_scripted:
        return _scripted(query)
    if type(query.hint) is Advice:
        take_advice(query)
    if query.allowed is None:
        query.allowed = allowed_indexes(query)
    key = _id_key(query)
    if key is not None:
        if _is_express(query):
            return Plan(query, nodes.IdLookup(key, express_stage(query)))
        return Plan(query, _finish(query, Candidate(nodes.IdLookup(key), sorted=True)))
    predicates = Predicates(query.filter.tree, query.env)
    found, may_skip = _candidates(query, predicates)
    plans = [_finish(query, candidate) for candidate in found]
    if len(plans) == 1 and not may_skip:
        return Plan(query, plans[0])

    def skips() -> list[Node]:
        if not may_skip:
            return []
        return [_finish(query, candidate) for candidate in access.skipping(query, predicates)]

    outcome = choose(query, plans, skips)
    return Plan(query, plans[outcome.number], plans, outcome)


def whole_count(plan: Plan) -> Plan:
    """Return, for a count's plan that looks at all documents, the one that knows their number."""
    return Plan(plan.query, nodes.FastCount(plan.query.collection.count))


def _scripted(query: Query) -> Plan:
    from shardsvr.planning.scripted import ScriptedPlan

    inner = replace(
        query, filter=query.filter.without_scripts(), projection=None, skip=0, limit=None,
        count=False, distinct=None, meta=query.needs_meta,
    )
    return ScriptedPlan(query, plan_of(inner))


def _is_express(query: Query) -> bool:
    """Tell whether one look-up is all there is to do, but for a projection by the caller."""
    return not (query.count or query.distinct is not None or query.skip or query.sort is not None)


def express_stage(query: Query) -> str:
    """Return MongoDB's name of a look-up by `_id`."""
    return "EXPRESS_CLUSTERED_IXSCAN" if query.collection.is_clustered else "EXPRESS_IXSCAN"


def _id_key(query: Query) -> bytes | None:
    """Return the `_id` key that a query asks for, None when it is another kind of query."""
    node = query.filter.tree
    if isinstance(node, tree.And) and len(node.children) == 2:
        if isinstance(node.children[1], tree.Guard):
            node = node.children[0]
    if type(node) is not tree.Compare or node.path != "_id" or node.op != "$eq":
        return None
    if query.hint is not None or query.min is not None or query.max is not None:
        return None
    collection = query.collection
    if type(node.value) in _NOT_ONE or collection.is_timeseries:
        return None
    if not same_collation(collection.collation, query.collation):
        return None
    return collection.id_key(node.value)


_NOT_ONE: Final = (list, type(None))
"""Types that an equality may find inside arrays or in missing fields."""


def _candidates(query: Query, predicates: Predicates) -> tuple[list[Candidate], bool]:
    """Return the likely plans, and whether skips through other indexes are worth a thought."""
    given = special.candidates(query, predicates) or forced.candidates(query, predicates)
    if given is not None:
        return given, False
    if any(isinstance(node, tree.Always) and not node.value for node in predicates.conjuncts):
        return [Candidate(nodes.Eof(), sorted=True)], False
    if query.count or query.distinct is not None:
        direct = keys_only.candidate(query, predicates)
        if direct is not None:
            return [direct], False
    found = access.candidates(query, predicates)
    for candidate in found:
        if candidate.access is not None and candidate.access.is_one:
            return [candidate], False
    if not found:
        # The plain scan competes with skips only, as MongoDB has it.
        return [*access.skipping(query, predicates), scan_candidate(predicates)], False
    return found, access.may_skip(query, predicates)


def scan_candidate(predicates: Predicates) -> Candidate:
    """Return the plan that looks at every document."""
    return Candidate(nodes.CollectionScan(access.residual_of(predicates, frozenset())))


def _finish(query: Query, candidate: Candidate) -> Node:
    """Put sort, skip, projection and limit above what finds the documents."""
    if query.collection.is_clustered:
        candidate = clustered.adapted(query, candidate)
    node = candidate.node
    if query.count:
        return nodes.Count(_cut(query, node))
    covered = keys_only.covered(query, candidate)
    if covered is not None:
        return _limited(query, _skipped(query, covered))
    if query.sort is not None and not candidate.sorted:
        node = nodes.Sort(node, query.sort.spec, query.needed, query.sort_memory_bytes)
        return _projected(query, _skipped(query, node))
    return _cut(query, node)


def _cut(query: Query, node: Node) -> Node:
    return _limited(query, _projected(query, _skipped(query, node)))


def _skipped(query: Query, node: Node) -> Node:
    return nodes.Skip(node, query.skip) if query.skip else node


def _limited(query: Query, node: Node) -> Node:
    return node if query.limit is None else nodes.Limit(node, query.limit)


def _projected(query: Query, node: Node) -> Node:
    projection = query.projection
    if projection is None or projection.is_identity:
        return node
    if query.distinct is not None and isinstance(node, nodes.Project):
        return node  # a distinct scan shows nothing but its values
    simple = keys_only.is_simple(projection)
    stage = "PROJECTION_SIMPLE" if simple else "PROJECTION_DEFAULT"
    return nodes.Project(node, projection.spec, stage)
