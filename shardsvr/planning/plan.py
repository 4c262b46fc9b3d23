"""`plan_query`, a first form: by `_id`, or by scanning the collection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from psdb_base import order
from psdb_base.values import Document
from psdb_query.context import Env
from psdb_query.filters import Filter, tree

SLICE = 1024


class Execution:
    """Pulls the records of a plan, a batch a call."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._rows = self._run()
        self.done = False

    def next_batch(self, count: int) -> list[Any]:
        """Return up to `count` records; `done` tells whether there are more."""
        batch = []
        for record in self._rows:
            if record is not None:
                batch.append(record)
            if record is None or len(batch) >= count:
                return batch
        self.done = True
        return batch

    def first(self) -> Any:
        """Return the first record, or None."""
        while not self.done:
            for record in self.next_batch(1):
                return record
        return None

    def _run(self) -> Iterator[Any]:
        plan = self._plan
        rows = self._matching()
        if plan.sort is not None and plan.sort.parts:
            found = []
            for record in rows:
                if record is None:
                    yield None
                else:
                    found.append(record)
            places = plan.sort.order([record.document() for record in found], plan.env)
            rows = iter([found[place] for place in places])
        left = plan.limit
        skip = plan.skip
        for record in rows:
            if record is not None and skip:
                skip -= 1
                continue
            if left == 0:
                return
            yield record
            if record is not None and left is not None:
                left -= 1
                if left == 0:
                    return

    def _matching(self) -> Iterator[Any]:
        plan = self._plan
        collection, matches, env = plan.collection, plan.filter.matches, plan.env
        if plan.point is not None:
            record = collection.by_id(plan.point)
            if record is not None and matches(record.document(), env):
                yield record
            return
        after = None
        while True:
            records = collection.scan(after, SLICE)
            if not records:
                return
            after = records[-1].rid
            yield from [r for r in records if matches(r.document(), env)]
            yield None


class Plan:
    """How a query will be answered."""

    def __init__(
        self, collection: Any, filter_: Filter, env: Env, sort: Any, skip: int, limit: int | None,
        point: bytes | None,
    ) -> None:
        self.collection = collection
        self.filter = filter_
        self.env = env
        self.sort = sort
        self.skip = skip
        self.limit = limit
        self.point = point

    def open(self) -> Execution:
        """Begin."""
        return Execution(self)

    def explain(self, verbosity: str, execution: Execution | None = None) -> Document:
        """Describe the plan."""
        stage = "COLLSCAN" if self.point is None else "IDHACK"
        return {"queryPlanner": {"winningPlan": {"stage": stage}, "rejectedPlans": []}}


def plan_query(
    collection: Any,
    filter_: Filter,
    env: Env,
    *,
    sort: Any = None,
    projection: Any = None,
    hint: Any = None,
    skip: int = 0,
    limit: int | None = None,
    collation: Any = None,
    min_: Document | None = None,
    max_: Document | None = None,
) -> Plan:
    """Plan a query over a collection."""
    node = filter_.tree
    point = None
    if isinstance(node, tree.Compare) and node.path == "_id" and node.op == "$eq":
        if collation is None and type(node.value) not in (dict, list, type(None)):
            point = order.key(node.value)
    return Plan(collection, filter_, env, sort, skip, limit, point)
