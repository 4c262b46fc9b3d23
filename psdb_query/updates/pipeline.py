"""The stages that an update may be made of, as functions of one document."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.context import CompileContext, Env
from psdb_query.describe import text_of, type_name
from psdb_query.expressions.core import compile_expression

Stage: TypeAlias = Callable[[Document, Env], Document]
MakeStage: TypeAlias = Callable[[Any, CompileContext], Stage]


def compile_stages(specs: list[Any], ctx: CompileContext) -> list[Stage]:
    """Compile the stages of a pipeline-style update.

    Raises MongoError 14 and 40323 (malformed stage), 40324 (unknown), 72 (not for updates) and
    those of the stages.
    """
    stages = []
    for spec in specs:
        if spec.__class__ is not dict:
            raise MongoError(
                Code.TYPE_MISMATCH, "Each element of the 'pipeline' array must be an object"
            )
        if len(spec) != 1:
            raise MongoError(
                40323, "A pipeline stage specification object must contain exactly one field."
            )
        ((name, operand),) = spec.items()
        make = STAGES.get(name)
        if make is None:
            raise _refused(name)
        stages.append(make(operand, ctx))
    return stages


def _refused(name: str) -> MongoError:
    from psdb_query.stages.table import STAGES as KNOWN

    if name in KNOWN:
        return MongoError(
            Code.INVALID_OPTIONS, f"{name} is not allowed to be used within an update"
        )
    return MongoError(40324, f"Unrecognized pipeline stage name: '{name}'")


def _add_fields(spec: Any, ctx: CompileContext) -> Stage:
    from psdb_query.projection import compile_add_fields

    return compile_add_fields(spec, ctx).apply


def _project(spec: Any, ctx: CompileContext) -> Stage:
    from psdb_query.projection import compile_project

    return compile_project(spec, ctx).apply


def _unset(spec: Any, ctx: CompileContext) -> Stage:
    from psdb_query.projection import compile_unset

    return compile_unset(spec, ctx).apply


def _replace_root(spec: Any, ctx: CompileContext) -> Stage:
    if spec.__class__ is not dict:
        raise MongoError(
            40229,
            f"expected an object as specification for $replaceRoot stage, got {type_name(spec)}",
        )
    for name in spec:
        if name != "newRoot":
            raise MongoError(
                40230,
                f"unrecognized option to $replaceRoot stage: {name}, only valid option is "
                "'newRoot'.",
            )
    if not spec:
        raise MongoError(40231, "no newRoot specified for the $replaceRoot stage")
    return _replacing(spec["newRoot"], "'newRoot' expression ", ctx)


def _replace_with(spec: Any, ctx: CompileContext) -> Stage:
    return _replacing(spec, "'replacement document' ", ctx)


def _replacing(spec: Any, what: str, ctx: CompileContext) -> Stage:
    evaluate = compile_expression(spec, ctx).evaluate

    def replace(doc: Document, env: Env) -> Document:
        new = evaluate(doc, env)
        if new.__class__ is not dict:
            raise MongoError(
                40228,
                f"{what}must evaluate to an object, but resulting value was: {text_of(new)}. "
                f"Type of resulting value: '{type_name(new)}'. Input document: {text_of(doc)}",
            )
        result: Document = new
        return result

    return replace


STAGES: Final[dict[str, MakeStage]] = {
    "$addFields": _add_fields,
    "$project": _project,
    "$replaceRoot": _replace_root,
    "$replaceWith": _replace_with,
    "$set": _add_fields,
    "$unset": _unset,
}
