"""`$lookup`: join by equality of fields, by a pipeline with variables, or by both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_base.values import MISSING, Document
from psdb_query.context import CompileContext, Env
from psdb_query.describe import text_of, type_name
from psdb_query.expressions.core import Expr, check_user_variable, compile_expression, split_path
from psdb_query.stages.lookup_plans import Join, plan_join
from psdb_query.stages.meta import MetaBatch, envs
from psdb_query.stages.model import (
    BATCH_DOCUMENTS,
    Modified,
    Run,
    Stage,
    StageContext,
    written,
)
from psdb_query.stages.pipeline import Pipeline
from psdb_query.stages.ports import Batch
from psdb_query.stages.unwind import UnwindStage, remove_at, set_at

_AT_ONCE_MAX: Final = 4 * BATCH_DOCUMENTS
_STRINGS: Final = ("as", "foreignField", "localField")


class LookupStage(Stage):
    """Documents with an array of the foreign documents that belong to them.

    Args:
        spec: The specification as it was given.
        database: Database of the foreign collection.
        collection: The foreign collection; "" if the pipeline makes its own documents.
        equality: Local and foreign path, or None.
        let: Variables of the pipeline, over the local document.
        pipeline: What foreign documents go through, or None.
        unwind: The `$unwind` of the result that follows, done here one by one.
        needed: The only top-level fields that the stages behind look at; None for all.

    """

    name = "$lookup"

    def __init__(
        self,
        spec: Document,
        database: str,
        collection: str,
        equality: tuple[str, str] | None,
        let: dict[str, Expr],
        pipeline: Pipeline | None,
        context: StageContext,
        unwind: UnwindStage | None = None,
        needed: tuple[str, ...] | None = None,
    ) -> None:
        self.spec = spec
        self.needed = needed
        self.database = database
        self.collection = collection
        self.equality = equality
        self.let = let
        self.pipeline = pipeline
        self.context = context
        self.unwind = unwind
        self.as_path: str = spec["as"]
        self._as_parts = split_path(self.as_path)
        paths = set() if equality is None else {equality[0]}
        for expr in let.values():
            paths |= expr.paths
        self.reads = frozenset(paths)

    def with_unwind(self, unwind: UnwindStage) -> LookupStage:
        """Return the stage that also does the `$unwind` of its result."""
        return LookupStage(
            self.spec, self.database, self.collection, self.equality, self.let, self.pipeline,
            self.context, unwind,
        )  # fmt: skip

    def with_needed(self, needed: tuple[str, ...]) -> LookupStage:
        """Return the stage that leaves out what nobody looks at."""
        return LookupStage(
            self.spec, self.database, self.collection, self.equality, self.let, self.pipeline,
            self.context, self.unwind, needed,
        )  # fmt: skip

    @property
    def foreign(self) -> tuple[tuple[str, str], ...]:
        """The collection, and those its pipeline reads."""
        own = ((self.database, self.collection),) if self.collection else ()
        return own if self.pipeline is None else own + self.pipeline.foreign

    @property
    def one_to_one(self) -> bool:
        """One for one, unless unwound."""
        return self.unwind is None

    async def run(self, source: AsyncIterator[Batch], run: Run) -> AsyncIterator[Batch]:
        """Join batch by batch."""
        join = plan_join(self, run)
        async for batch in self._blocks(source, join):
            await run.ports.checkpoint(len(batch))
            matches = await join.matches(batch, list(envs(batch, run.env)))
            if self.unwind is not None:
                simple = self._unwound_simply(batch, matches, self.unwind)
                if simple is not None:
                    yield simple
                    continue
            batch = self._narrowed(batch)
            if self.unwind is None:
                yield self._arrays(batch, matches)
            else:
                for part in self._unwound(batch, matches, self.unwind):
                    yield part

    def _narrowed(self, batch: Batch) -> Batch:
        """Leave out what nobody looks at behind."""
        needed = self.needed
        if needed is None or needed == self._as_parts:
            return batch  # which the result takes the place of
        result: Batch = [{name: doc[name] for name in needed if name in doc} for doc in batch]
        return MetaBatch(result, batch.meta) if type(batch) is MetaBatch else result

    async def _blocks(self, source: AsyncIterator[Batch], join: Join) -> AsyncIterator[Batch]:
        """Give larger batches to a join that has to scan for each."""
        held: Batch = []
        async for batch in source:
            if join.block_documents <= len(batch) or type(batch) is MetaBatch:
                if held:
                    yield held
                    held = []
                yield batch
                continue
            held = held + batch if held else batch
            if len(held) >= join.block_documents:
                yield held
                held = []
        if held:
            yield held

    def _arrays(self, batch: Batch, matches: list[Batch]) -> Batch:
        parts = self._as_parts
        pairs = zip(batch, matches, strict=True)
        if len(parts) == 1:
            name = parts[0]
            result: Batch = [{**doc, name: found} for doc, found in pairs]
        else:
            result = [set_at(doc, parts, found) for doc, found in pairs]
        return MetaBatch(result, batch.meta) if type(batch) is MetaBatch else result

    def _unwound(self, batch: Batch, matches: list[Batch], unwind: UnwindStage) -> list[Batch]:
        parts: list[Batch] = []
        made = MetaBatch() if type(batch) is MetaBatch else []
        metas = batch.meta if type(batch) is MetaBatch else None
        for at, (doc, found) in enumerate(zip(batch, matches, strict=True)):
            made += self._unwind_one(doc, found, unwind)
            if type(made) is MetaBatch and metas is not None:
                made.meta += [metas[at]] * (len(made) - len(made.meta))
            if len(made) >= BATCH_DOCUMENTS:
                parts.append(made)
                made = MetaBatch() if metas is not None else []
        if made:
            parts.append(made)
        return parts

    def _unwound_simply(
        self, batch: Batch, matches: list[Batch], unwind: UnwindStage
    ) -> Batch | None:
        """Unwind a batch at once; None where that is not to be had by a plain loop."""
        if type(batch) is MetaBatch or len(self._as_parts) > 1 or unwind.index is not None:
            return None
        if not 0 < sum(map(len, matches)) <= _AT_ONCE_MAX:
            return None
        if unwind.preserve and not all(matches):
            return None
        (name,) = self._as_parts
        pairs = zip(batch, matches, strict=True)
        others = [one for one in self.needed or () if one != name]
        if self.needed is None:
            return [{**doc, name: one} for doc, found in pairs for one in found]
        if not others:
            return [{name: one} for found in matches for one in found]
        if len(others) == 1:
            (other,) = others
            try:
                return [{other: doc[other], name: one} for doc, found in pairs for one in found]
            except KeyError:
                return None
        return None

    def _unwind_one(self, doc: Document, found: Batch, unwind: UnwindStage) -> Batch:
        parts = self._as_parts
        if found and len(parts) == 1 and unwind.index is None:
            name = parts[0]
            return [{**doc, name: one} for one in found]
        if found:
            return [unwind.with_index(set_at(doc, parts, one), at) for at, one in enumerate(found)]
        if not unwind.preserve:
            return []
        return [unwind.with_index(remove_at(set_at(doc, parts, None), parts), None)]

    def modified(self) -> Modified:
        """Set the result's path, and that of the unwound position."""
        return written(self.as_path, None if self.unwind is None else self.unwind.index)

    def serialize(self) -> Document:
        """Return the stage, with what was done of an `$unwind`."""
        spec = dict(self.spec)
        if self.pipeline is not None:
            spec["pipeline"] = self.pipeline.serialize()
        if self.unwind is not None:
            unwinding: Document = {"preserveNullAndEmptyArrays": self.unwind.preserve}
            if self.unwind.index is not None:
                unwinding["includeArrayIndex"] = self.unwind.index
            spec["unwinding"] = unwinding
        return {"$lookup": spec}

    def wire(self) -> list[Document]:
        """Return the stage as given, and the `$unwind`."""
        unwound = [] if self.unwind is None else [self.unwind.serialize()]
        return [{"$lookup": self.spec}, *unwound]

    def bind(self, doc: Document, env: Env) -> Env:
        """Return the environment of the pipeline for one local document."""
        values = {name: expr.evaluate(doc, env) for name, expr in self.let.items()}
        return {**env, **values}


def failed(message: str) -> MongoError:
    """Return a FailedToParse error."""
    return MongoError(Code.FAILED_TO_PARSE, message)


def _parse_lookup(spec: Any, context: StageContext) -> list[Stage]:
    if type(spec) is not dict:
        raise failed("the $lookup specification must be an Object")
    collection, database = "", context.database
    for name, value in spec.items():
        if name == "from":
            database, collection = parse_from(value, context.database)
        elif name == "let":
            if type(value) is not dict:
                raise failed(
                    f"$lookup argument 'let: {text_of(value)}' must be an object, is type "
                    f"{type_name(value)}"
                )
        elif name == "pipeline":
            if type(value) is not list:
                raise MongoError(
                    Code.TYPE_MISMATCH, "'pipeline' option must be specified as an array"
                )
        elif name not in _STRINGS:
            raise failed(f"unknown argument to $lookup: {name}")
        elif type(value) is not str:
            raise failed(
                f"$lookup argument '{name}' must be a string, found {name}: {text_of(value)}: "
                f"{type_name(value)}"
            )
    if not collection:
        check_own_source("$lookup", spec)
    if not spec.get("as"):
        raise failed("must specify 'as' field for a $lookup")
    return [_build(spec, database, collection, context)]


def _build(spec: Document, database: str, collection: str, context: StageContext) -> LookupStage:
    local, foreign = spec.get("localField", ""), spec.get("foreignField", "")
    if "pipeline" in spec:
        if bool(local) != bool(foreign):
            raise failed(
                "$lookup requires both or neither of 'localField' and 'foreignField' to be "
                "specified"
            )
    elif not local or not foreign:
        raise failed(
            "$lookup requires either 'pipeline' or both 'localField' and 'foreignField' to be "
            "specified"
        )
    elif "let" in spec:
        raise failed("$lookup with a 'let' argument must also specify 'pipeline'")
    split_path(spec["as"])
    equality: tuple[str, str] | None = None
    if local:
        split_path(local)
        split_path(foreign)
        equality = (local, foreign)
    let = compile_let(spec.get("let", {}), context.expressions)
    pipeline: Pipeline | None = None
    if "pipeline" in spec:
        pipeline = context.compile(
            spec["pipeline"],
            context.expressions.binding(*let),
            database=database,
            collection=collection,
            place="$lookup",
            depth=context.depth + 1,
        )
    return LookupStage(spec, database, collection, equality, let, pipeline, context)


def compile_let(let: Document, ctx: CompileContext) -> dict[str, Expr]:
    """Compile the variables of a sub-pipeline."""
    for name in let:
        check_user_variable(name)
    return {name: compile_expression(value, ctx) for name, value in let.items()}


def parse_from(value: Any, database: str) -> tuple[str, str]:
    """Return database and collection of a `from`."""
    if type(value) is str:
        return database, value
    if type(value) is not dict:
        raise failed(
            f"$lookup 'from' field must be a string, but found {type_name(value)}"
            if value is not MISSING
            else "missing 'from' option to $lookup stage specification"
        )
    other, collection = value.get("db"), value.get("coll")
    if (other, collection) == ("local", "oplog.rs") or (
        other == "config" and str(collection).startswith("cache.chunks.")
    ):
        return str(other), str(collection)
    raise failed(
        "$lookup with syntax {from: {db:<>, coll:<>},..} is not supported for db: "
        f"{other} and coll: {collection}"
    )


def check_own_source(stage: str, spec: Document) -> None:
    """Check that a stage without a collection has a pipeline that makes its documents."""
    pipeline = spec.get("pipeline")
    if pipeline is None:
        raise failed("must specify 'pipeline' when 'from' is empty")
    first = pipeline[0] if type(pipeline) is list and pipeline else {}
    if type(first) is not dict or "$documents" not in first:
        raise failed(
            f"{stage} stage without explicit collection must have a pipeline with $documents as "
            "first stage"
            if stage == "$unionWith"
            else "$lookup stage without explicit 'from' must have a pipeline with $documents as "
            "first stage"
        )


PARSERS: Final = {"$lookup": _parse_lookup}
