"""`$out` and `$merge`: what they are asked to write, as data for the server that writes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Final

from psdb_base.errors import Code, MongoError
from psdb_base.values import MISSING, UNDEFINED, Document
from psdb_query.context import Env
from psdb_query.describe import type_name
from psdb_query.expressions.core import Expr, split_path
from psdb_query.stages.lookup import compile_let
from psdb_query.stages.model import EVERYTHING, Run, Stage, StageContext
from psdb_query.stages.ports import Batch
from psdb_query.stages.specs import check_object


@dataclass(frozen=True, slots=True)
class OutTarget:
    """Where `$out` puts all documents, in place of what is there.

    Args:
        database: Its database.
        collection: Its collection.
        time_series: `{timeField, metaField?, granularity?, …}` for a time-series collection.

    """

    database: str
    collection: str
    time_series: Document | None = None


@dataclass(frozen=True, slots=True)
class MergeStatement:
    """One document's write, as a statement of an update or insert command.

    Args:
        kind: `insert`, or `update` for the other fields to count.
        document: What is inserted.
        query: Equality of the `on` fields.
        update: A replacement, update operators, or a pipeline.
        constants: Variables of that pipeline.
        upsert: Insert when nothing matches; `supplied` tells what.
        supplied: Insert this document (not what the pipeline would make of an empty one).
        must_match: When nothing matches, the error is 13113.

    """

    kind: str
    document: Document
    query: Document
    update: Document | list[Document] | None = None
    constants: Document | None = None
    upsert: bool = False
    supplied: Document | None = None
    must_match: bool = False


@dataclass(frozen=True, slots=True)
class MergeTarget:
    """What `$merge` does with each document.

    Args:
        database: Database of the target.
        collection: The target.
        on: Fields by which documents are the same; None for the target's own (`_id`, and the
            shard key), which the server passes to `statements`. They need a unique index.
        when_matched: `replace`, `merge`, `keepExisting`, `fail`, or `pipeline`.
        pipeline: The update for `pipeline`.
        let: Its variables, over the incoming document (which is `$$new` if none are given).
        when_not_matched: `insert`, `discard` or `fail`.

    """

    database: str
    collection: str
    on: tuple[str, ...] | None
    when_matched: str
    pipeline: list[Document] | None
    let: dict[str, Expr]
    when_not_matched: str

    def statements(
        self, batch: Batch, env: Env, on: tuple[str, ...] | None = None
    ) -> Iterator[MergeStatement]:
        """Give the write of each document; all have an `_id` where `on` needs one.

        Raises 51132 (an `on` field is not there or null), 51185 (is an array).
        """
        fields = on or self.on or ("_id",)
        for doc in batch:
            query = {field: _on_value(doc, field) for field in fields}
            yield self._statement(doc, query, env)

    def _statement(self, doc: Document, query: Document, env: Env) -> MergeStatement:
        if self.when_matched == "fail":
            return MergeStatement("insert", doc, query)
        upsert = self.when_not_matched == "insert"
        must_match = self.when_not_matched == "fail"
        if self.when_matched == "keepExisting":
            return MergeStatement("update", doc, query, {"$setOnInsert": doc}, upsert=True)
        if self.when_matched == "replace":
            return MergeStatement("update", doc, query, doc, upsert=upsert, must_match=must_match)
        if self.when_matched == "merge":
            update: Document | list[Document] = {"$set": _without_query(doc, query)}
            if upsert or len(doc) == len(query) or any("." in name for name in doc):
                update = [{"$replaceWith": {"$mergeObjects": ["$$ROOT", "$$new"]}}]
            constants = {"new": doc}
        else:
            assert self.pipeline is not None
            update = self.pipeline
            constants = {name: expr.evaluate(doc, env) for name, expr in self.let.items()}
        supplied = doc if upsert else None
        return MergeStatement("update", doc, query, update, constants, upsert, supplied, must_match)


def _without_query(doc: Document, query: Document) -> Document:
    return {name: value for name, value in doc.items() if name not in query}


def _on_value(doc: Document, field: str) -> Any:
    value: Any = doc
    for name in field.split("."):
        if type(value) is list:
            raise MongoError(
                51132,
                "$merge write error: 'on' field cannot be missing, null, undefined or an array",
            )
        value = value.get(name, MISSING) if type(value) is dict else MISSING
    if value is MISSING or value is None or value is UNDEFINED or type(value) is list:
        code = 51185 if type(value) is list else 51132
        raise MongoError(
            code, "$merge write error: 'on' field cannot be missing, null, undefined or an array"
        )
    return value


class OutStage(Stage):
    """Writes all documents, gives none."""

    name = "$out"
    reads = EVERYTHING

    def __init__(self, spec: Any, target: OutTarget) -> None:
        self.spec = spec
        self.target = target

    @property
    def foreign(self) -> tuple[tuple[str, str], ...]:
        """The target."""
        return ((self.target.database, self.target.collection),)

    async def run(self, source: AsyncIterator[Batch], run: Run) -> AsyncIterator[Batch]:
        """Hand everything to the server."""
        await run.ports.out(self.target, source)
        return
        yield []

    def serialize(self) -> Document:
        """Return the stage with its database."""
        spec: Document = {"coll": self.target.collection, "db": self.target.database}
        if self.target.time_series is not None:
            spec["timeseries"] = self.target.time_series
        return {"$out": spec}


class MergeStage(Stage):
    """Writes each document, gives none."""

    name = "$merge"
    reads = EVERYTHING

    def __init__(self, spec: Any, target: MergeTarget) -> None:
        self.spec = spec
        self.target = target

    @property
    def foreign(self) -> tuple[tuple[str, str], ...]:
        """The target."""
        return ((self.target.database, self.target.collection),)

    async def run(self, source: AsyncIterator[Batch], run: Run) -> AsyncIterator[Batch]:
        """Hand the batches to the server, with an `_id` in every document."""
        new_id = run.ports.new_object_id
        async for batch in source:
            await run.ports.checkpoint(len(batch))
            whole = [doc if "_id" in doc else {"_id": new_id(), **doc} for doc in batch]
            await run.ports.merge(self.target, whole, run.env)
        return
        yield []

    def serialize(self) -> Document:
        """Return the stage in full."""
        target = self.target
        spec: Document = {
            "into": {"db": target.database, "coll": target.collection},
            "on": list(target.on) if target.on else "_id",
            "whenMatched": target.when_matched if target.pipeline is None else target.pipeline,
            "whenNotMatched": target.when_not_matched,
        }
        if type(self.spec) is dict and "let" in self.spec:
            spec["let"] = self.spec["let"]
        return {"$merge": spec}


def _parse_out(spec: Any, context: StageContext) -> list[Stage]:
    if type(spec) is str:
        return [OutStage(spec, OutTarget(context.database, _named(spec, "$out")))]
    if type(spec) is not dict:
        raise MongoError(
            16990,
            f"$out only supports a string or object argument, but found {type_name(spec)}",
        )
    fields = {"db": ("string",), "coll": ("string",), "timeseries": ("object",)}
    check_object("$out", spec, fields, ("coll", "db"))
    series = spec.get("timeseries")
    if series is not None:
        check_object(
            "$out.timeseries",
            series,
            {
                "bucketMaxSpanSeconds": ("int", "long", "double", "decimal"),
                "bucketRoundingSeconds": ("int", "long", "double", "decimal"),
                "granularity": ("string",),
                "metaField": ("string",),
                "timeField": ("string",),
            },
            ("timeField",),
        )
    return [OutStage(spec, OutTarget(spec["db"], _named(spec["coll"], "$out"), series))]


def _named(collection: str, stage: str) -> str:
    if not collection or "\0" in collection or collection.startswith("."):
        raise MongoError(
            Code.INVALID_NAMESPACE, f"Invalid {stage} target namespace: '{collection}'"
        )
    return collection


_WHEN_MATCHED: Final = ("fail", "keepExisting", "merge", "replace")
_WHEN_NOT_MATCHED: Final = ("discard", "fail", "insert")
_COMBINATIONS: Final = {
    "fail": ("insert",),
    "keepExisting": ("insert",),
    "merge": _WHEN_NOT_MATCHED,
    "pipeline": _WHEN_NOT_MATCHED,
    "replace": _WHEN_NOT_MATCHED,
}
"""What `whenNotMatched` may be, by `whenMatched`."""


def _parse_merge(spec: Any, context: StageContext) -> list[Stage]:
    if type(spec) is str:
        spec = {"into": spec}
    elif type(spec) is not dict:
        raise MongoError(
            51182, f"$merge only supports a string or object argument, not {type_name(spec)}"
        )
    fields: dict[str, tuple[str, ...]] = {
        "into": (), "let": ("object",), "on": (), "whenMatched": (), "whenNotMatched": ("string",),
    }  # fmt: skip
    check_object("$merge", spec, fields, ("into",))
    database, collection = _into(spec["into"], context.database)
    on = _on(spec["on"]) if "on" in spec else None
    matched, pipeline = _when_matched(spec.get("whenMatched", "merge"))
    not_matched = spec.get("whenNotMatched", "insert")
    if not_matched not in _WHEN_NOT_MATCHED:
        raise MongoError(
            Code.BAD_VALUE,
            f"Enumeration value '{not_matched}' for field '$merge.whenNotMatched' is not a valid "
            "value.",
        )
    if not_matched not in _COMBINATIONS[matched]:
        raise MongoError(
            51181,
            f"Combination of $merge modes 'whenMatched: {matched}' and 'whenNotMatched: "
            f"{not_matched}' is not supported",
        )
    if "let" in spec and pipeline is None:
        raise MongoError(51199, f"Cannot use 'let' variables with 'whenMatched: {matched}' mode")
    let = compile_let(spec.get("let", {"new": "$$ROOT"}), context.expressions)
    if pipeline is not None:
        _check_update(pipeline, let, context)
    target = MergeTarget(database, collection, on, matched, pipeline, let, not_matched)
    return [MergeStage(spec, target)]


def _check_update(pipeline: list[Document], let: dict[str, Expr], context: StageContext) -> None:
    context.compile(
        pipeline, context.expressions.binding(*let), place="update", depth=context.depth + 1
    )


def _into(value: Any, database: str) -> tuple[str, str]:
    if type(value) is str:
        return database, _named(value, "$merge")
    if type(value) is not dict:
        raise MongoError(
            51178,
            "$merge 'into' field  must be either a string or an object, but found "
            f"{type_name(value)}",
        )
    check_object("into", value, {"coll": ("string",), "db": ("string",)}, ("coll",))
    return value.get("db", database), _named(value["coll"], "$merge")


def _on(value: Any) -> tuple[str, ...]:
    if type(value) is str:
        split_path(value)
        return (value,)
    if type(value) is not list:
        raise MongoError(
            51186,
            "$merge 'on' field  must be either a string or an array of strings, but found "
            f"{type_name(value)}",
        )
    if not value:
        raise MongoError(
            51187, "If explicitly specifying $merge 'on', must include at least one field"
        )
    for name in value:
        if type(name) is not str:
            raise MongoError(
                51134, f"$merge 'on' array elements must be strings, but found {type_name(name)}"
            )
        split_path(name)
    if len(dict.fromkeys(value)) != len(value):
        repeated = next(name for name in value if value.count(name) > 1)
        raise MongoError(31465, f"Found a duplicate field '{repeated}'")
    return tuple(value)


def _when_matched(value: Any) -> tuple[str, list[Document] | None]:
    if type(value) is list:
        return "pipeline", value
    if type(value) is not str:
        raise MongoError(
            51191,
            "$merge 'whenMatched' field  must be either a string or an array, but found "
            f"{type_name(value)}",
        )
    if value not in _WHEN_MATCHED:
        raise MongoError(
            Code.BAD_VALUE,
            f"Enumeration value '{value}' for field '$merge.whenMatched' is not a valid value.",
        )
    return value, None


def not_updated(error: MongoError) -> MongoError:
    """Return the error of a `$merge` whose update failed: with the likely cause, if it has one."""
    if error.code != Code.IMMUTABLE_FIELD:
        return error
    return MongoError(
        error.code,
        "$merge failed to update the matching document, did you attempt to modify the _id or the "
        f"shard key? :: caused by :: {error.message}",
    )


def check_level(level: Any, stage: str) -> None:
    """Refuse to write what a linearizable read finds, as MongoDB does."""
    if level == "linearizable":
        raise MongoError(
            Code.INVALID_OPTIONS,
            f'Command aggregate does not support {{ readConcern: {{ level: "{level}" }} }} '
            f":: caused by :: {stage} cannot be used with a '{level}' read concern level",
        )


PARSERS: Final = {"$merge": _parse_merge, "$out": _parse_out}
