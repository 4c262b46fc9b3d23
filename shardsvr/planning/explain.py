"""`explain`: a plan and what its run did, in MongoDB's shape."""

from __future__ import annotations

from typing import Any, Final

from psdb_base.values import Document
from shardsvr.planning.execution import Execution
from shardsvr.planning.filter_text import filter_document
from shardsvr.planning.index_filters import has_filter
from shardsvr.planning.nodes import Count, FastCount, Node, Or, Project, Subplan
from shardsvr.planning.query import Query
from shardsvr.planning.shapes import hash_text, key_text, shape_of_query
from shardsvr.planning.stages import Stage
from shardsvr.planning.text import TextMatch

_WITHOUT_STAGE: Final = (Count, Project, Subplan, TextMatch)
"""Nodes that have no stage of their own."""


def planner_section(
    query: Query, winner: Node, rejected: list[Node], *, is_cached: bool
) -> Document:
    """Return `queryPlanner`."""
    shape = shape_of_query(query)
    shape_hash = hash_text(shape)
    return {
        "namespace": query.collection.ns,
        "parsedQuery": filter_document(query.shown or query.filter.tree),
        "indexFilterSet": has_filter(query.collection, shape),
        **({} if query.settings is None else {"querySettings": query.settings}),
        "queryHash": shape_hash,
        "planCacheShapeHash": shape_hash,
        "planCacheKey": key_text(shape, query.collection),
        "optimizationTimeMillis": 0,
        "maxIndexedOrSolutionsReached": False,
        "maxIndexedAndSolutionsReached": False,
        "maxScansToExplodeReached": False,
        "prunedSimilarIndexes": False,
        "winningPlan": {"isCached": is_cached, **winner.explain()},
        "rejectedPlans": [{"isCached": False, **node.explain()} for node in rejected],
    }


def statistics_section(winner: Node, execution: Execution) -> Document:
    """Return `executionStats` of a run; the caller fills in the time."""
    return {
        "executionSuccess": True,
        "nReturned": execution.returned,
        "executionTimeMillis": 0,
        "totalKeysExamined": execution.root.total("keys_examined"),
        "totalDocsExamined": execution.root.total("docs_examined"),
        "executionStages": stage_statistics(winner, execution.root),
    }


def trial_section(node: Node, execution: Execution, score: float) -> Document:
    """Return an entry of `allPlansExecution`: what a plan did while it was tried."""
    return {
        "nReturned": execution.found + execution.returned,
        "executionTimeMillisEstimate": 0,
        "totalKeysExamined": execution.root.total("keys_examined"),
        "totalDocsExamined": execution.root.total("docs_examined"),
        "score": score,
        "executionStages": stage_statistics(node, execution.root),
    }


def stage_statistics(node: Node, stage: Stage) -> Document:
    """Return the statistics of a node and those below it."""
    works = max(stage.works, stage.advanced) + int(stage.done)
    document: Document = {"stage": node.stage}
    described = node.describe()
    if "filter" in described:
        document["filter"] = described.pop("filter")
    document |= {
        "nReturned": stage.advanced,
        "executionTimeMillisEstimate": 0,
        "works": works,
        "advanced": stage.advanced,
        "needTime": max(works - stage.advanced - int(stage.done), 0),
        "needYield": 0,
        "saveState": 0,
        "restoreState": 0,
        "isEOF": int(stage.done),
        **described,
    }
    if isinstance(node, Count | FastCount):
        counted = stage.advanced if isinstance(node, Count) else node.number
        document |= {"nReturned": 0, "advanced": 0, "nCounted": counted, "nSkipped": 0}
    if not isinstance(node, _WITHOUT_STAGE):
        document |= stage.counters()
    inputs = _inputs(node, stage)
    if len(inputs) == 1 and not isinstance(node, Or):
        document["inputStage"] = inputs[0]
    elif inputs:
        document["inputStages"] = inputs
    return document


def _inputs(node: Node, stage: Stage) -> list[Any]:
    if not node.children:
        return []
    if isinstance(node, _WITHOUT_STAGE):
        return [stage_statistics(node.children[0], stage)]
    pairs = zip(node.children, stage.children, strict=True)
    return [stage_statistics(child, below) for child, below in pairs]
