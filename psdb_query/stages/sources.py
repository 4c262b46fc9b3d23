"""Stages that make their documents themselves: `$documents`, and those the server answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.describe import type_name
from psdb_query.expressions.core import Expr, compile_expression
from psdb_query.stages.model import NOTHING, REPLACED, Modified, Run, Stage, StageContext, rechunk
from psdb_query.stages.ports import Batch
from psdb_query.stages.specs import check_object

_NUMBER: Final = ("int", "long", "double", "decimal")


class DocumentsStage(Stage):
    """The documents of an array expression."""

    name = "$documents"
    closed = True

    def __init__(self, spec: Any, expression: Expr) -> None:
        self.spec = spec
        self.expression = expression
        self.reads = NOTHING

    async def run(
        self,
        source: AsyncIterator[Batch],  # noqa: ARG002 -- there is none
        run: Run,
    ) -> AsyncIterator[Batch]:
        """Evaluate the array."""
        found = self.expression.evaluate({}, run.env)
        if type(found) is not list:
            raise MongoError(5858203, "an array is expected")
        for element in found:
            if type(element) is not dict:
                raise MongoError(
                    40228,
                    "'newRoot' expression  must evaluate to an object, but resulting value was: "
                    f"{element!r}. Type of resulting value: '{type_name(element)}'.",
                )
        async for batch in rechunk(found):
            await run.ports.checkpoint(len(batch))
            yield batch

    def modified(self) -> Modified:
        """Make new documents."""
        return REPLACED

    def serialize(self) -> Document:
        """Return the stage."""
        return {"$documents": self.spec}


class ServerStage(Stage):
    """Documents that only the server knows (`PipelinePorts.source`)."""

    closed = True

    def __init__(self, name: str, spec: Any, context: StageContext) -> None:
        self.name = name
        self.spec = spec
        self._database = context.database
        self._collection = context.collection

    def run(
        self,
        source: AsyncIterator[Batch],  # noqa: ARG002 -- there is none
        run: Run,
    ) -> AsyncIterator[Batch]:
        """Ask the server."""
        return run.ports.source(self.name, self.spec, self._database, self._collection)

    def modified(self) -> Modified:
        """Make new documents."""
        return REPLACED

    def serialize(self) -> Document:
        """Return the stage."""
        return {self.name: self.spec}


def _parse_documents(spec: Any, context: StageContext) -> list[Stage]:
    return [DocumentsStage(spec, compile_expression(spec, context.expressions))]


def _empty(name: str, code: int, message: str) -> Callable[[Any, StageContext], list[Stage]]:
    """Return the parser of a stage whose specification is `{}`."""

    def parse(spec: Any, context: StageContext) -> list[Stage]:
        if type(spec) is not dict or spec:
            raise MongoError(code, message)
        return [ServerStage(name, spec, context)]

    return parse


def _with_fields(
    name: str, fields: Mapping[str, tuple[str, ...]]
) -> Callable[[Any, StageContext], list[Stage]]:
    """Return the parser of a stage with typed options."""

    def parse(spec: Any, context: StageContext) -> list[Stage]:
        if type(spec) is not dict:
            raise MongoError(
                Code.FAILED_TO_PARSE,
                f"{name} value must be an object. Found: {type_name(spec)}",
            )
        check_object(name, spec, fields)
        return [ServerStage(name, spec, context)]

    return parse


def _parse_coll_stats(spec: Any, context: StageContext) -> list[Stage]:
    if type(spec) is not dict:
        raise MongoError(
            40166,
            f"$collStats must take a nested object but found: $collStats: {type_name(spec)}",
        )
    fields = {
        "count": ("object",),
        "latencyStats": ("object",),
        "queryExecStats": ("object",),
        "storageStats": ("object",),
        "targetAllNodes": ("bool",),
    }
    check_object("$collStats", spec, fields)
    check_object("$collStats.latencyStats", spec.get("latencyStats", {}), {"histograms": ("bool",)})
    storage = {"freeStorage": _NUMBER, "scale": _NUMBER, "verbose": ("bool",),
               "waitForLock": ("bool",), "numericOnly": ("bool",)}  # fmt: skip
    check_object("$collStats.storageStats", spec.get("storageStats", {}), storage)
    return [ServerStage("$collStats", spec, context)]


_SESSIONS: Final = {"allUsers": ("bool",), "users": ("array",)}


def _parse_list_sessions(spec: Any, context: StageContext) -> list[Stage]:
    stages = _with_fields("$listSessions", _SESSIONS)(spec, context)
    if (context.database, context.collection) != ("config", "system.sessions"):
        raise MongoError(
            Code.INVALID_NAMESPACE,
            "$listSessions may only be run against config.system.sessions",
        )
    return stages


PARSERS: Final = {
    "$collStats": _parse_coll_stats,
    "$currentOp": _with_fields(
        "$currentOp",
        {
            "allUsers": ("bool",),
            "backtrace": ("bool",),
            "idleConnections": ("bool",),
            "idleCursors": ("bool",),
            "idleSessions": ("bool",),
            "localOps": ("bool",),
            "targetAllNodes": ("bool",),
            "truncateOps": ("bool",),
        },
    ),
    "$documents": _parse_documents,
    "$indexStats": _empty(
        "$indexStats", 28803, "The $indexStats stage specification must be an empty object"
    ),
    "$listLocalSessions": _with_fields("$listLocalSessions", _SESSIONS),
    "$listSampledQueries": _with_fields("$listSampledQueries", {"namespace": ("string",)}),
    "$listSessions": _parse_list_sessions,
    "$planCacheStats": _with_fields("$planCacheStats", {"allHosts": ("bool",)}),
    "$querySettings": _with_fields("$querySettings", {"showDebugQueryShape": ("bool",)}),
    "$queryStats": _with_fields("$queryStats", {"transformIdentifiers": ("object",)}),
    "$shardedDataDistribution": _empty(
        "$shardedDataDistribution",
        6789100,
        "The $shardedDataDistribution stage specification must be an empty object",
    ),
}
