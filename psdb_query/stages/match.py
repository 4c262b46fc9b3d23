"""`$match`."""

from __future__ import annotations

from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.context import Env
from psdb_query.filters import tree
from psdb_query.filters.filter import Filter, compile_filter, walk
from psdb_query.stages.model import Stage, StageContext, Transform
from psdb_query.stages.ports import Batch


class MatchStage(Transform):
    """Documents that match a filter."""

    name = "$match"

    def __init__(self, filter_: Filter) -> None:
        self.filter = filter_
        self.reads = filter_.paths
        self.is_text = filter_.text is not None

    @property
    def spec(self) -> Document:
        """The filter as a document."""
        return self.filter.spec

    def transform(self, batch: Batch, env: Env) -> Batch:
        """Return those that match."""
        return self.filter.batch(batch, env)

    def serialize(self) -> Document:
        """Return the stage."""
        return {"$match": self.filter.spec}


def make_match(spec: Document, context: StageContext) -> MatchStage:
    """Return the stage of a filter that is known to be allowed here."""
    return MatchStage(compile_filter(spec, context.expressions))


def _parse_match(spec: Any, context: StageContext) -> list[Stage]:
    if type(spec) is not dict:
        raise MongoError(15959, "the match filter must be an expression in an object")
    filter_ = compile_filter(spec, context.expressions)
    for node in walk(filter_.tree):
        if isinstance(node, tree.Near):
            raise MongoError(
                5626500,
                "$geoNear, $near, and $nearSphere are not allowed in this context, as these "
                "operators require sorting geospatial data. If you do not need sort, consider "
                "using $geoWithin instead.",
            )
        if isinstance(node, tree.Where):
            raise MongoError(Code.BAD_VALUE, "$where is not allowed in this context")
    return [MatchStage(filter_)]


PARSERS: Final = {"$match": _parse_match}
