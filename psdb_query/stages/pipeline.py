"""Pipelines: parsing a list of stages, checking their places, and running them.

`compile_pipeline` gives a `Pipeline` that holds stages in the order in which they run, after
optimisation. It is immutable: a server may keep and run it many times.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_base.limits import PIPELINE_STAGES_MAX
from psdb_base.values import Document
from psdb_query.context import CompileContext
from psdb_query.sizes import GUARDED_STAGES
from psdb_query.stages.model import (
    SUB_PIPELINE_DEPTH_MAX,
    Run,
    Stage,
    StageContext,
    Transform,
    close,
)
from psdb_query.stages.ports import Batch
from psdb_query.stages.table import STAGES, find_stage

_PLACE_ERRORS: Final = {
    "$facet": (40600, "{name} is not allowed to be used within a $facet stage"),
    "$lookup": (51047, "{name} is not allowed within a $lookup's sub-pipeline"),
    "$unionWith": (31441, "{name} is not allowed within a $unionWith's sub-pipeline"),
    "update": (
        int(Code.INVALID_OPTIONS), "{name} is not allowed to be used within an update",
    ),
    "view": (
        int(Code.OPTION_NOT_SUPPORTED_ON_VIEW),
        (
            "The aggregation stage {name} in location {at} of the pipeline cannot be used in the "
            "view definition"
        ),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A compiled pipeline.

    Args:
        stages: The stages as they run.
        spec: The specification as it was given.
        paths: Dotted paths of the source's documents that are read; None for whole documents.
        variables: User variables that may be bound when it runs.
        context: What it was compiled with.

    """

    stages: tuple[Stage, ...]
    spec: tuple[Document, ...]
    paths: frozenset[str] | None
    context: StageContext

    @property
    def foreign(self) -> tuple[tuple[str, str], ...]:
        """Other collections it touches, as (database, collection), each once, in order."""
        return tuple(dict.fromkeys(pair for stage in self.stages for pair in stage.foreign))

    @property
    def writes(self) -> Stage | None:
        """The final `$out` or `$merge`, if there is one."""
        last = self.stages[-1] if self.stages else None
        return last if last is not None and STAGES[last.name].writes else None

    @property
    def source_stage(self) -> Stage | None:
        """The first stage, if it makes its documents itself (then `run` reads no source)."""
        first = self.stages[0] if self.stages else None
        return first if first is not None and STAGES[first.name].source else None

    async def run(
        self, source: AsyncIterator[Batch], run: Run, *, skip_stages: int = 0
    ) -> AsyncIterator[Batch]:
        """Run over batches; the first `skip_stages` stages have been done by the source.

        When it ends, fails or is closed, the source and all stages' resources are closed too.
        """
        streams = [source]
        for stage in self.stages[skip_stages:]:
            streams.append(stage.run(streams[-1], run))
        try:
            async for batch in streams[-1]:
                yield batch
        finally:
            for stream in reversed(streams):
                await close(stream)

    def serialize(self) -> list[Document]:
        """Return the optimised stages, as `explain` shows them."""
        return [stage.serialize() for stage in self.stages]

    def wire(self) -> list[Document]:
        """Return stages that another member compiles (place `internal`) into the same pipeline."""
        return [spec for stage in self.stages for spec in stage.wire()]

    def leading(self) -> Leading:
        """Tell what of the pipeline's beginning a planner may take over."""
        return _leading(self.stages)

    def check_transaction(self) -> None:
        """Raise 263 if a stage may not run in a transaction."""
        for stage in self.stages:
            if not STAGES[stage.name].in_transaction:
                raise MongoError(
                    Code.OPERATION_NOT_SUPPORTED_IN_TRANSACTION,
                    f"Stage not supported inside of a multi-document transaction: {stage.name}",
                )


@dataclass(frozen=True, slots=True)
class Leading:
    """The part of a pipeline that a planner may push into the source.

    Args:
        match: The leading `$match` stage (`.filter`, `.spec`), or None.
        after_match: `skip_stages` for a source that has applied `match`.
        sort: The leading `$sort` stage (`.sorter`, `.limit`) after it, or None.
        after_sort: `skip_stages` for a source that gives the documents in that order (and, if
            the sort has a limit, no more than that many).
        limit: At most this many documents of the source (after match and sort) are looked at.

    """

    match: Any
    after_match: int
    sort: Any
    after_sort: int
    limit: int | None


def _leading(stages: tuple[Stage, ...]) -> Leading:
    match = sort = None
    at = 0
    if at < len(stages) and stages[at].name == "$match":
        match = stages[at]
        at += 1
    after_match = after_sort = at
    if at < len(stages) and stages[at].name == "$sort":
        sort = stages[at]
        at += 1
        after_sort = at
    limit: int | None = getattr(sort, "limit", None)
    skipped = 0
    for stage in stages[at:]:
        if stage.name == "$skip":
            skipped += getattr(stage, "count", 0)
        elif stage.name == "$limit":
            bound = skipped + getattr(stage, "count", 0)
            limit = bound if limit is None else min(limit, bound)
            break
        elif not stage.one_to_one:
            break
    return Leading(match, after_match, sort, after_sort, limit)


def compile_pipeline(
    spec: Any,
    ctx: CompileContext,
    *,
    database: str = "",
    collection: str | None = "",
    place: str = "top",
    depth: int = 0,
    optimize: bool = True,
) -> Pipeline:
    """Compile a pipeline given as a list of stage documents.

    Args:
        spec: The list.
        ctx: Context of all expressions and filters.
        database: Database of the command.
        collection: Its collection; None for `{aggregate: 1}`.
        place: `top`, `view`, `update`, the stage that holds it (`$facet`, …), or `internal`
            for what another member sent, where places were checked already.
        depth: Nesting of sub-pipelines; more than 20 gives 232.
        optimize: Reorder and merge stages; results are the same without.

    Raises MongoError with MongoDB's codes: 14 (no list of objects), 40323, 40324, 40600, 40601,
    40602, 51047, 31441, 73, 17313, 7749501, and those of the stages.

    """
    if depth > SUB_PIPELINE_DEPTH_MAX:
        raise MongoError(
            Code.MAX_SUB_PIPELINE_DEPTH_EXCEEDED,
            f"Maximum number of nested sub-pipelines exceeded. Limit is {SUB_PIPELINE_DEPTH_MAX}",
        )
    context = StageContext(ctx, database, collection, place, depth, compile_pipeline)
    elements = _elements(spec)
    stages = [stage for element in elements for stage in _parse_stage(element, context)]
    _check_places(elements, context)
    _check_text(stages)
    if optimize:
        from psdb_query.optimizer import optimize as improve

        stages = improve(stages, context)
    _guard(stages, depth)
    return Pipeline(tuple(stages), tuple(elements), needed_paths(stages), context)


def _guard(stages: list[Stage], depth: int) -> None:
    """Let long chains of stages that may double a document at each step be checked."""
    shaping = [
        stage for stage in stages if isinstance(stage, Transform) and stage.name != "$match"
    ]
    if len(shaping) > GUARDED_STAGES or depth:
        for stage in shaping:
            stage.guarded = True


def _elements(spec: Any) -> list[Document]:
    if type(spec) is not list:
        raise MongoError(Code.TYPE_MISMATCH, "'pipeline' option must be specified as an array")
    if len(spec) > PIPELINE_STAGES_MAX:
        raise MongoError(
            7749501, f"Pipeline length must be no longer than {PIPELINE_STAGES_MAX} stages"
        )
    for element in spec:
        if type(element) is not dict:
            raise MongoError(
                Code.TYPE_MISMATCH, "Each element of the 'pipeline' array must be an object"
            )
    return spec


def _parse_stage(element: Document, context: StageContext) -> list[Stage]:
    if len(element) != 1:
        raise MongoError(
            40323, "A pipeline stage specification object must contain exactly one field."
        )
    ((name, spec),) = element.items()
    row = find_stage(name)
    if context.expressions.api_strict and not row.api_v1:
        raise MongoError(
            Code.API_STRICT_ERROR,
            f"stage {name} is not allowed with 'apiStrict: true' in API Version 1",
        )
    module = importlib.import_module(f"psdb_query.stages.{row.module}")
    stages: list[Stage] = module.PARSERS[name](spec, context)
    return stages


def _allowed(name: str, place: str) -> bool:
    row = STAGES[name]
    allowed = {
        "$facet": row.in_facet,
        "$lookup": row.in_sub_pipeline,
        "$unionWith": row.in_sub_pipeline,
        "update": row.in_update,
        "view": row.in_view,
    }
    return allowed.get(place, True)


def _check_places(elements: list[Document], context: StageContext) -> None:
    names = [next(iter(element)) for element in elements]
    place = context.place
    if place == "internal":
        return
    for at, name in enumerate(names):
        if not _allowed(name, place):
            code, message = _PLACE_ERRORS[place]
            raise MongoError(code, message.format(name=name, at=at))
        if STAGES[name].first_only and at != 0:
            raise MongoError(40602, f"{name} is only valid as the first stage in a pipeline.")
        if STAGES[name].last_only and at != len(names) - 1:
            raise MongoError(40601, f"{name} can only be the final stage in the pipeline")
        if STAGES[name].of_change_streams and names[0] != "$changeStream":
            raise MongoError(
                Code.ILLEGAL_OPERATION, f"{name} can only be used in a $changeStream pipeline"
            )
    if place == "top":
        _check_namespace(names, context.collection)


def _check_namespace(names: list[str], collection: str | None) -> None:
    if not names:
        if collection is None:
            raise MongoError(
                Code.INVALID_NAMESPACE, "{aggregate: 1} is not valid for an empty pipeline."
            )
        return
    first = names[0]
    collectionless = STAGES[first].collectionless
    if collection is None and not collectionless:
        raise MongoError(
            Code.INVALID_NAMESPACE,
            f"{{aggregate: 1}} is not valid for '{first}'; a collection is required.",
        )
    if collection is not None and collectionless:
        raise MongoError(Code.INVALID_NAMESPACE, f"'{first}' can only be run with {{aggregate: 1}}")


def _check_text(stages: Iterable[Stage]) -> None:
    for at, stage in enumerate(stages):
        if at and getattr(stage, "is_text", False):
            raise MongoError(17313, "$match with $text is only allowed as the first pipeline stage")


def needed_paths(stages: Iterable[Stage]) -> frozenset[str] | None:
    """Return the dotted paths that stages read of their source; None for whole documents."""
    needed: set[str] = set()
    for stage in stages:
        needed |= stage.reads
        if "" in needed:
            return None
        if stage.closed:
            return frozenset(needed)
    return None
