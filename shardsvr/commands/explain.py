"""`explain`: what a command would do, in MongoDB's stage names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_base.limits import MONGODB_VERSION, YIELD_DOCUMENTS
from psdb_base.values import Document
from psdb_query.query_shapes import WHOLE_SHAPE, hash_of, shape_of_command
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import CHECKS, Field
from psdb_server.generic import GENERIC_FIELDS
from psdb_store.collection import Collection
from shardsvr.collections import find_collection, member_of, name_of
from shardsvr.commands import count_distinct, explain_writes, find
from shardsvr.commands.explain_pipeline import as_find
from shardsvr.planning import put_aside, whole_count
from shardsvr.query_settings import KINDS, heed

VERBOSITIES: Final = ("allPlansExecution", "executionStats", "queryPlanner")


async def explain(request: Request) -> Reply:
    """Explain a find, count, distinct, aggregate, update, delete or findAndModify."""
    inner = request.target
    if type(inner) is not dict or not inner:
        raise MongoError(
            Code.TYPE_MISMATCH, "explain command requires a nested object"
        )
    verbosity = request.args.get("verbosity", "allPlansExecution")
    if verbosity not in VERBOSITIES:
        raise MongoError(
            Code.BAD_VALUE,
            f"Enumeration value '{verbosity}' for field 'explain.verbosity' is not a valid value.",
        )
    name = next(iter(inner))
    command = request.node.find_command(name)
    planner = _PLANNERS.get(command.name)
    if planner is None:
        raise MongoError(
            Code.COMMAND_NOT_SUPPORTED, f"Explain failed due to unknown command: {name}"
        )
    if inner.get("$db", request.db) != request.db:
        raise MongoError(Code.INVALID_NAMESPACE, "Mismatched $db in explain command.")
    args = command.field_set.parse(inner, GENERIC_FIELDS)
    nested = replace(
        request, command=command, name=name, target=args[command.name], args=args, body=inner
    )
    request.op.ns = f"{request.db}.{nested.target}"
    if command.name in KINDS:
        heed(nested, explain=True)
    if command.name == "aggregate":
        return await explain_aggregate(nested, args, verbosity)
    return await _explain_plan(nested, planner, verbosity)


async def _explain_plan(
    request: Request, planner: Callable[[Request, Collection], Any], verbosity: str
) -> Document:
    name_of(request)
    collection = find_collection(request)
    if collection is None:
        document = _nothing(request, verbosity)
    elif collection.is_view:
        spec: list[Any] = [{"$match": request.args.get("filter", request.args.get("query", {}))}]
        nested = replace(request, args={"pipeline": spec, "cursor": {}})
        return await explain_aggregate(nested, nested.args, verbosity)
    else:
        with put_aside():
            plan = planner(request, collection)
        document = plan.explain(verbosity, await _execution(request, plan, verbosity))
    return _finish(request, document)


async def _execution(request: Request, plan: Any, verbosity: str) -> Any:
    """Run a plan to its end for the verbosities that show statistics."""
    if verbosity == "queryPlanner":
        return None
    execution = plan.open()
    while not execution.done:
        execution.next_batch(YIELD_DOCUMENTS)
        await request.op.checkpoint(YIELD_DOCUMENTS)
    return execution


def _finish(request: Request, document: Document) -> Document:
    """Add what every explain reply ends with."""
    node = request.node
    statistics = document.get("executionStats")
    if statistics is not None:
        statistics["executionTimeMillis"] = request.op.elapsed_ms()
    command = {
        name: value for name, value in request.body.items() if name not in ("lsid", "$clusterTime")
    }
    sort_memory = member_of(request).parameters[find.SORT_MEMORY]
    if request.command.name in KINDS:
        asked = {request.command.name: request.target, **request.args}
        whole = request.args.get(WHOLE_SHAPE)
        document["queryShapeHash"] = whole or hash_of(shape_of_command(asked, request.db))
    return {
        "explainVersion": "1",
        **document,
        "command": command | {"$db": request.db},
        "serverInfo": {
            "host": node.host.rpartition(":")[0],
            "port": int(node.host.rpartition(":")[2]),
            "version": MONGODB_VERSION,
            "gitVersion": "psdb",
        },
        "serverParameters": {find.SORT_MEMORY: sort_memory},
    }


def _nothing(request: Request, verbosity: str) -> Document:
    """Explain a query on a collection that does not exist."""
    document: Document = {
        "queryPlanner": {
            "namespace": request.op.ns,
            "parsedQuery": {},
            "indexFilterSet": False,
            "winningPlan": {"stage": "EOF"},
            "rejectedPlans": [],
        }
    }
    if verbosity != "queryPlanner":
        document["executionStats"] = {
            "executionSuccess": True,
            "nReturned": 0,
            "executionTimeMillis": 0,
            "totalKeysExamined": 0,
            "totalDocsExamined": 0,
            "executionStages": {"stage": "EOF", "nReturned": 0},
        }
    return document


def _plan_find(request: Request, collection: Collection) -> Any:
    find.check_options(request.args)
    return find.make_plan(request, collection, bounds_memory=False)[0]


class _CountPlan:
    """A plan of a count, explained within its skip and limit."""

    def __init__(self, plan: Any, args: Document) -> None:
        self._plan = plan
        self._skip = CHECKS["count"](args.get("skip", 0), "count.skip")
        self._limit = abs(args.get("limit", 0))

    def open(self) -> Any:
        """Begin to run it."""
        return self._plan.open()

    def explain(self, verbosity: str, execution: Any) -> Document:
        """Describe it; the number it finds is no row that it returns."""
        document: Document = self._plan.explain(verbosity, execution)
        statistics = document.get("executionStats")
        if statistics is not None:
            stage = statistics["executionStages"]
            found = max(0, stage["nCounted"] - self._skip)
            stage["nSkipped"] = stage["nCounted"] - found
            stage["nCounted"] = min(found, self._limit) if self._limit else found
            statistics["nReturned"] = 0
        return document


def _plan_count(request: Request, collection: Collection) -> _CountPlan:
    plan = count_distinct.query_plan(request, collection)
    if count_distinct.is_whole(request):
        plan = whole_count(plan)
    return _CountPlan(plan, request.args)


async def explain_aggregate(request: Request, args: Document, verbosity: str) -> Document:
    """Explain a pipeline: the planner's part, then the stages as they run."""
    from shardsvr.commands.aggregate import Aggregation
    from shardsvr.pipeline_ports import plan_source

    name = name_of(request) if type(request.target) is str else None
    aggregation = Aggregation(request, name, args["pipeline"], args)
    pipeline, collection = aggregation.pipeline, aggregation.collection
    stages = pipeline.serialize()
    if pipeline.source_stage is not None:
        return _finish(request, {"stages": stages})
    found_as = as_find(stages) if collection is not None and collection.name == name else None
    if collection is None:
        document, done = _nothing(request, verbosity), 0
    elif found_as is not None:
        shared: Document = {option: args[option] for option in _SHARED if option in args}
        with put_aside():
            plan = _plan_find(replace(request, args={**found_as, **shared}), collection)
        document, done = plan.explain(verbosity, await _execution(request, plan, verbosity)), None
    else:
        with put_aside():
            found = plan_source(
                collection, pipeline, aggregation.env, args.get("hint"), aggregation.ports.scope
            )
        done = found.done
        execution = await _execution(request, found.plan, verbosity)
        document = found.plan.explain(verbosity, execution)
    if done is None or done == len(stages):
        return _finish(request, document)
    return _finish(request, {"stages": [{"$cursor": document}, *stages[done:]]})


_SHARED: Final = ("collation", "hint", "let")
"""Options that a find has as well."""


_PLANNERS: Final[dict[str, Callable[[Request, Collection], Any]]] = {
    "aggregate": _plan_find,
    "count": _plan_count,
    "delete": explain_writes.plan_delete,
    "distinct": count_distinct.query_plan,
    "find": _plan_find,
    "findAndModify": explain_writes.plan_find_and_modify,
    "update": explain_writes.plan_update,
}

COMMANDS = (
    Command(
        "explain", explain, (Field("verbosity", "string"),), api_v1=True, secondary_ok=False,
        help="Tell what a command would do.",
    ),
)
