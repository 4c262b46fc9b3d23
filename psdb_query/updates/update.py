"""`compile_update` and the three kinds of update it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from bson.objectid import ObjectId

from psdb_base import order
from psdb_base.errors import Code, MongoError
from psdb_base.values import MISSING, Document
from psdb_query.context import CompileContext, Env
from psdb_query.describe import text_of
from psdb_query.filters import tree
from psdb_query.sizes import GUARDED_STAGES, check_expanded
from psdb_query.updates import upserts
from psdb_query.updates.nodes import ObjectNode, has_positional
from psdb_query.updates.parse import parse_array_filters, parse_operators
from psdb_query.updates.pipeline import compile_stages
from psdb_query.updates.state import State, element_text

Kind: TypeAlias = Literal["operators", "pipeline", "replacement"]


class Update:
    """A compiled update, of one of three kinds.

    Attributes:
        kind: `"operators"`, `"pipeline"` or `"replacement"`.
        needs_position: It uses the positional `$`: give `apply` what the filter found.
        names: Top-level fields it may change; None for the whole document.

    """

    __slots__ = ("_ctx", "names", "needs_position")
    kind: Kind

    def __init__(self, ctx: CompileContext) -> None:
        self._ctx = ctx
        self.needs_position = False
        self.names: frozenset[str] | None = None

    def apply(
        self, doc: Document, env: Env, *, position: str | None = None, is_insert: bool = False
    ) -> Document:
        """Return the updated document: a new one, or `doc` itself if nothing changes.

        Args:
            doc: The stored document; it is not changed, and the result may share parts of it.
            env: Runtime variables; `NOW` is needed.
            position: The array index for `$`, from `Filter.update_position`.
            is_insert: The document is being made by an upsert (`$setOnInsert` acts).

        Raises:
            MongoError: 66 (`_id` would change), 28, 14, 2 and others as MongoDB has them.

        """
        raise NotImplementedError

    def upsert(
        self, filter_: Document | tree.Node, env: Env, new_id: Callable[[], ObjectId]
    ) -> Document:
        """Return the document that an upsert inserts, `_id` first.

        Args:
            filter_: The filter that matched nothing (a document, or a compiled filter's tree);
                its equalities give the new document's fields.
            env: Runtime variables.
            new_id: Makes an `_id` where neither filter nor update has one.

        Raises:
            MongoError: 54 (contradicting equalities), 66, 53 (bad `_id`) and those of `apply`.

        """
        doc = upserts.initial_document(filter_, self._ctx, id_only=self.kind == "replacement")
        return upserts.with_id_first(self.apply(doc, env, is_insert=True), new_id)


class OperatorUpdate(Update):
    """`{$set: {…}, …}`."""

    __slots__ = ("_root",)
    kind = "operators"

    def __init__(self, root: ObjectNode, ctx: CompileContext) -> None:
        super().__init__(ctx)
        self._root = root
        self.needs_position = has_positional(root)
        self.names = frozenset(root.children)

    def apply(
        self, doc: Document, env: Env, *, position: str | None = None, is_insert: bool = False
    ) -> Document:
        """Apply the modifiers in MongoDB's order of paths."""
        state = State(doc, env, position, is_insert)
        new = self._root.apply_fields(doc, state, ())
        if new is doc:
            return doc
        for name in self._root.children:
            if name == "_id":
                _check_id_kept(doc, new)
            elif name.startswith("$"):
                _check_dollar_name(name, doc, new)
        return new


class Replacement(Update):
    """A whole document in place of the old one, which keeps its `_id`."""

    __slots__ = ("_dollar_name", "_spec")
    kind = "replacement"

    def __init__(self, spec: Document, ctx: CompileContext) -> None:
        super().__init__(ctx)
        self._spec = spec
        self._dollar_name = next((name for name in spec if name.startswith("$")), None)

    def apply(
        self,
        doc: Document,
        env: Env,  # noqa: ARG002 -- part of the interface
        *,
        position: str | None = None,  # noqa: ARG002
        is_insert: bool = False,  # noqa: ARG002
    ) -> Document:
        """Replace everything but `_id`."""
        if self._dollar_name is not None:
            raise upserts.dollar_error(self._dollar_name, self._dollar_name)
        return replaced(doc, self._spec)


class PipelineUpdate(Update):
    """`[{$set: …}, …]`: stages of an aggregation over the one document.

    An upsert inserts what the stages make of the filter's equalities, or a document that came with
    the statement.
    """

    __slots__ = ("_constants", "_stages", "_supplied")
    kind = "pipeline"

    def __init__(
        self, spec: list[Any], ctx: CompileContext, constants: Mapping[str, Any],
        supplied: Document | None = None,
    ) -> None:
        super().__init__(ctx)
        self._constants = dict(constants)
        self._supplied = None if supplied is None else Replacement(supplied, ctx)
        self._stages = compile_stages(spec, ctx.binding(*constants))

    def apply(
        self,
        doc: Document,
        env: Env,
        *,
        position: str | None = None,  # noqa: ARG002 -- part of the interface
        is_insert: bool = False,  # noqa: ARG002
    ) -> Document:
        """Run the stages; the result keeps the old `_id`."""
        if self._constants:
            env = {**env, **self._constants}
        new = doc
        guarded = len(self._stages) > GUARDED_STAGES
        for stage in self._stages:
            new = stage(new, env)
            if guarded:
                check_expanded(new, "The update")
        return replaced(doc, new)

    def upsert(
        self, filter_: Document | tree.Node, env: Env, new_id: Callable[[], ObjectId]
    ) -> Document:
        """Return the document that an upsert inserts: the one that was supplied, if any."""
        if self._supplied is not None:
            return self._supplied.upsert(filter_, env, new_id)
        return super().upsert(filter_, env, new_id)


def compile_update(
    spec: Any,
    ctx: CompileContext,
    array_filters: list[Document] | None = None,
    constants: Mapping[str, Any] | None = None,
    *,
    upsert_supplied: bool = False,
) -> Update:
    """Compile an update.

    Args:
        spec: A document of modifiers, a replacement document, or a pipeline (list of stages).
        ctx: The compile context; its variables are those of `let`.
        array_filters: Filters for `$[identifier]`.
        constants: The `c` field of an update statement: variables for a pipeline.
        upsert_supplied: An upsert inserts the document `new` of the constants.

    Raises:
        MongoError: 9 FailedToParse and the parse errors of the modifiers and stages.

    """
    supplied = (constants or {}).get("new") if upsert_supplied else None
    if upsert_supplied and type(supplied) is not dict:
        raise MongoError(
            Code.FAILED_TO_PARSE,
            "the parameter 'upsertSupplied' is set to 'true', but no document was supplied",
        )
    if spec.__class__ is list:
        if array_filters:
            raise MongoError(
                Code.FAILED_TO_PARSE,
                "arrayFilters may not be specified for pipeline-syle updates",
            )
        return PipelineUpdate(spec, ctx, constants or {}, supplied)
    if spec.__class__ is not dict:
        raise MongoError(
            Code.FAILED_TO_PARSE, "Update argument must be either an object or an array"
        )
    if constants is not None:
        raise MongoError(51198, "Constant values may only be specified for pipeline updates")
    if next(iter(spec), "").startswith("$"):
        return OperatorUpdate(parse_operators(spec, ctx, array_filters), ctx)
    for identifier in parse_array_filters(array_filters or [], ctx):
        raise MongoError(
            Code.FAILED_TO_PARSE,
            f"The array filter for identifier '{identifier}' was not used in the update "
            f"{text_of(spec)}",
        )
    return Replacement(spec, ctx)


def replaced(doc: Document, new: Document) -> Document:
    """Return `new` with the `_id` of `doc`, first; `doc` itself when they are the same as given.

    Without `_id`, or with it elsewhere, `new` counts as a change, as it does in MongoDB.
    Raises MongoError 66 when `new` has another `_id`.
    """
    if order.identical(doc, new):
        return doc
    old_id = doc.get("_id", MISSING)
    if old_id is not MISSING:
        new_id = new.get("_id", MISSING)
        if new_id is not MISSING and not order.equal(old_id, new_id):
            raise MongoError(
                Code.IMMUTABLE_FIELD,
                "After applying the update, the (immutable) field '_id' was found to have been "
                f"altered to {element_text('_id', new_id)}",
            )
        return {"_id": old_id} | {name: value for name, value in new.items() if name != "_id"}
    return new


def _check_id_kept(old: Document, new: Document) -> None:
    """Raise 66 if an update changed `_id` or a part of it."""
    before = old.get("_id", MISSING)
    after = new.get("_id", MISSING)
    if before is MISSING or after is before:
        return
    path = ["_id"]
    while type(before) is dict and type(after) is dict:
        for name, value in after.items():
            if name not in before:
                raise MongoError(
                    Code.IMMUTABLE_FIELD,
                    f"Updating the path '{'.'.join(path)}' to {element_text(path[-1], after)} "
                    "would modify the immutable field '_id'",
                )
            if before[name] is not value:
                break
        else:
            name = next(name for name in before if name not in after)
        path.append(name)
        before, after = before[name], after.get(name, MISSING)
    raise MongoError(
        Code.IMMUTABLE_FIELD,
        f"Performing an update on the path '{'.'.join(path)}' would modify the immutable "
        "field '_id'",
    )


def _check_dollar_name(name: str, old: Document, new: Document) -> None:
    """Raise 52 if an update made or replaced a top-level field named like an operator."""
    after = new.get(name, MISSING)
    before = old.get(name, MISSING)
    if after is MISSING or after is before:
        return
    if type(before) in (dict, list) and type(after) is type(before):
        return
    raise upserts.dollar_error(name, name)
