"""Explain of update, delete and findAndModify: the plan below an UPDATE or DELETE stage.

Nothing is written. To tell what would be, each document that the plan finds is run through the
update, and the result is thrown away.
"""

from __future__ import annotations

from typing import Any, Final

from bson.int64 import Int64

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.command import Request
from psdb_store.collection import Collection
from psdb_store.record import Record
from shardsvr import writes
from shardsvr.commands.delete import STATEMENT as DELETE_STATEMENT
from shardsvr.commands.update import STATEMENT as UPDATE_STATEMENT
from shardsvr.planning import Execution, Plan, plan_query
from shardsvr.writes import Selection

_EXPRESS: Final = {"DELETE": "EXPRESS_DELETE", "UPDATE": "EXPRESS_UPDATE"}


class WritePlan:
    """A plan for finding documents, with what would be done to them.

    Args:
        plan: The plan.
        stage: `UPDATE` or `DELETE`.
        selection: What the statement selects by.
        update: The compiled update, None for a deletion.
        upsert: The update inserts when nothing is found.

    """

    def __init__(
        self, plan: Plan, stage: str, selection: Selection, update: Any, *, upsert: bool
    ) -> None:
        self._plan = plan
        self._stage = stage
        self._selection = selection
        self._update = update
        self._upsert = upsert
        self._found = 0
        self._changed = 0

    def open(self) -> _DryRun:
        """Begin a run that changes nothing."""
        return _DryRun(self._plan.open(), self)

    def note(self, record: Record) -> None:
        """Count a document that was found, and whether it would change."""
        self._found += 1
        if self._update is None:
            return
        old, selection = record.document(), self._selection
        position = None
        if self._update.needs_position:
            position = selection.filter.update_position(old, selection.env)
        new = self._update.apply(old, selection.env, position=position)
        if new is not old and bson_codec.encode(new) != record.raw:
            self._changed += 1

    def explain(self, verbosity: str, run: _DryRun | None = None) -> Document:
        """Describe it as `Plan.explain` does."""
        execution = None if run is None else run.execution
        document = self._plan.explain(verbosity, execution)
        planner = document["queryPlanner"]
        planner["winningPlan"] = self._around(planner["winningPlan"])
        planner["rejectedPlans"] = [self._around(plan) for plan in planner["rejectedPlans"]]
        statistics = document.get("executionStats")
        if statistics is not None:
            statistics["nReturned"] = 0
            statistics["executionStages"] = self._ran(statistics["executionStages"])
        return document

    def _around(self, plan: Document) -> Document:
        """Put the writing stage above a plan."""
        if plan["stage"].startswith("EXPRESS_"):
            return {**plan, "stage": _EXPRESS[self._stage]}
        is_cached = plan.get("isCached", False)
        inner = {name: value for name, value in _unlimited(plan).items() if name != "isCached"}
        return {
            "isCached": is_cached, "stage": self._stage, "inputStage": inner,
        }

    def _ran(self, stages: Document) -> Document:
        counts: Document
        if self._update is None:
            counts = {"nWouldDelete": Int64(self._found)}
        else:
            counts = {
                "nMatched": Int64(self._found),
                "nWouldModify": Int64(self._changed),
                "nWouldUpsert": Int64(int(self._upsert and not self._found)),
            }
        if stages["stage"].startswith("EXPRESS_"):
            return {**stages, "stage": _EXPRESS[self._stage], **counts}
        shared = ("executionTimeMillisEstimate", "needYield", "saveState", "restoreState", "isEOF")
        return {
            "stage": self._stage,
            "nReturned": 0,
            "works": stages["works"],
            "advanced": 0,
            "needTime": stages["works"] - stages["isEOF"],
            **{name: stages[name] for name in shared},
            **counts,
            "inputStage": _unlimited(stages),
        }


def _unlimited(plan: Document) -> Document:
    """Return what stands below the limit of one: a write of one document stops by itself."""
    return plan["inputStage"] if plan["stage"] == "LIMIT" else plan


class _DryRun:
    """A run whose documents are noted and not returned to anybody."""

    def __init__(self, execution: Execution, plan: WritePlan) -> None:
        self.execution = execution
        self._plan = plan

    @property
    def done(self) -> bool:
        """All has been looked at."""
        return self.execution.done

    def next_batch(self, count: int) -> list[Record]:
        """Look at the next documents."""
        records = self.execution.next_batch(count)
        for record in records:
            self._plan.note(record)
        return records


def _plan(
    request: Request, collection: Collection, statement: Document, stage: str, limit: int
) -> WritePlan:
    selection = writes.compile_selection(
        request, collection.name, statement["q"], collation=statement.get("collation"),
        hint=statement.get("hint"), sort=statement.get("sort"),
        let=request.args.get("let"),
    )
    plan = plan_query(
        collection, selection.filter, selection.env, sort=selection.sorter,
        hint=selection.hint, limit=limit or None, collation=selection.context.collation,
    )
    update = None
    if stage == "UPDATE":
        update = writes.compile_update_statement(statement, selection.context)
    return WritePlan(plan, stage, selection, update, upsert=bool(statement.get("upsert")))


def _single(request: Request, name: str) -> Document:
    statements: list[Document] = request.args[name]
    if len(statements) != 1:
        raise MongoError(Code.INVALID_LENGTH, "explained write batches must be of size 1")
    return statements[0]


def plan_update(request: Request, collection: Collection) -> WritePlan:
    """Plan an update command of one statement."""
    statement = UPDATE_STATEMENT.parse(_single(request, "updates"))
    return _plan(request, collection, statement, "UPDATE", 0 if statement.get("multi") else 1)


def plan_delete(request: Request, collection: Collection) -> WritePlan:
    """Plan a delete command of one statement."""
    statement = DELETE_STATEMENT.parse(_single(request, "deletes"))
    return _plan(request, collection, statement, "DELETE", statement["limit"])


def plan_find_and_modify(request: Request, collection: Collection) -> WritePlan:
    """Plan a findAndModify command."""
    args = request.args
    statement = {
        "q": args.get("query", {}), "collation": args.get("collation"), "hint": args.get("hint"),
        "sort": args.get("sort"), "upsert": args.get("upsert", False),
        "arrayFilters": args.get("arrayFilters"),
    }
    if args.get("remove"):
        return _plan(request, collection, statement, "DELETE", 1)
    if "update" not in args:
        raise MongoError(
            Code.FAILED_TO_PARSE, "Either an update or remove=true must be specified"
        )
    return _plan(request, collection, {**statement, "u": args["update"]}, "UPDATE", 1)
