"""Sizes, hashes, chance, metadata and scripts: what belongs to no other family."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from bson.binary import Binary
from bson.code import Code as JavaScript
from bson.int64 import Int64

from psdb_base.bson_codec import encode
from psdb_base.errors import Code, MongoError
from psdb_base.shard_hash import hash64
from psdb_base.values import MISSING
from psdb_query.context import SCRIPT, CompileContext, Env
from psdb_query.describe import type_name
from psdb_query.expressions.core import (
    Expr,
    Operator,
    compile_expression,
    derive,
    is_nullish,
    unary,
)


def _binary_size(value: Any) -> int | None:
    if is_nullish(value):
        return None
    if type(value) is str:
        return len(value.encode("utf-8", "surrogatepass"))
    if type(value) is bytes or type(value) is Binary:
        return len(value)
    raise MongoError(
        51276, f"$binarySize requires a string or BinData argument, found: {type_name(value)}"
    )


def _bson_size(value: Any) -> int | None:
    if is_nullish(value):
        return None
    if type(value) is not dict:
        raise MongoError(31393, f"$bsonSize requires a document input, found: {type_name(value)}")
    return len(encode(value))


def _hashed_key(value: Any) -> Int64:
    return Int64(hash64(value))


# $rand


def _compile_rand(spec: Any, ctx: CompileContext) -> Expr:
    if spec not in ({}, []):
        raise MongoError(3040501, "$rand does not currently accept arguments")
    random = ctx.random
    if random is None:
        raise MongoError(Code.BAD_VALUE, "$rand is not allowed in this context")
    return Expr(lambda _doc, _env: random())


def _refuse_sample_rate(_spec: Any, _ctx: CompileContext) -> Expr:
    """`$sampleRate` is a match operator only, as in MongoDB."""
    raise MongoError(Code.INVALID_PIPELINE_OPERATOR, "Unrecognized expression '$sampleRate'")


# $meta

META_KEYWORDS: Final = frozenset(
    (
        "geoNearDistance",
        "geoNearPoint",
        "indexKey",
        "randVal",
        "recordId",
        "searchHighlights",
        "searchScore",
        "searchScoreDetails",
        "searchSequenceToken",
        "sortKey",
        "textScore",
        "timeseriesBucketMaxTime",
        "timeseriesBucketMinTime",
        "vectorSearchScore",
    )
)


def _compile_meta(spec: Any, _ctx: CompileContext) -> Expr:
    if type(spec) is not str:
        raise MongoError(17307, "$meta only supports string arguments")
    if spec not in META_KEYWORDS:
        raise MongoError(17308, f"Unsupported argument to $meta: {spec}")

    def evaluate(_doc: Any, env: Env) -> Any:
        return env.get("META", {}).get(spec, MISSING)

    return Expr(evaluate, variables=frozenset(("META",)))


# $function


def _check_function(spec: Any, ctx: CompileContext) -> tuple[str, list[Any]]:
    """Return the checked body and the specifications of the arguments."""
    if type(spec) is not dict:
        raise MongoError(
            31260, f"$function requires an object as an argument, found: {type_name(spec)}"
        )
    if "body" not in spec:
        raise MongoError(31261, "The body function must be specified.")
    body = compile_expression(spec["body"], ctx)
    if not body.is_constant:
        raise MongoError(31432, "The body function must be a constant expression")
    if type(body.value) not in (str, JavaScript):
        raise MongoError(31262, "The body function must evaluate to type string or code")
    if "args" not in spec:
        raise MongoError(31263, "The args field must be specified.")
    if type(spec["args"]) is not list:
        raise MongoError(31266, "The args field must be of type array")
    if "lang" not in spec:
        raise MongoError(31418, "The lang field must be specified.")
    if spec["lang"] != "js":
        raise MongoError(31419, "Currently the only supported language specifier is 'js'.")
    return str(body.value), spec["args"]


def _compile_function(spec: Any, ctx: CompileContext) -> Expr:
    source, arguments = _check_function(spec, ctx)
    if ctx.javascript is None:
        raise MongoError(
            31264, "Cannot run server-side javascript without the javascript engine enabled"
        )
    call = ctx.javascript.compile_function(source)
    operands = [compile_expression(argument, ctx) for argument in arguments]
    evaluates = [operand.evaluate for operand in operands]

    def evaluate(doc: Any, env: Env) -> Any:
        values = [read(doc, env) for read in evaluates]
        return call([None if value is MISSING else value for value in values])

    expr = derive(evaluate, operands)
    return replace(expr, variables=expr.variables | {SCRIPT})


OPERATORS: Final[dict[str, Operator]] = {
    "$binarySize": unary("$binarySize", _binary_size),
    "$bsonSize": unary("$bsonSize", _bson_size),
    "$function": Operator(_compile_function, folds=False, api_v1=False),
    "$meta": Operator(_compile_meta, folds=False),
    "$rand": Operator(_compile_rand, folds=False),
    "$sampleRate": Operator(_refuse_sample_rate, folds=False),
    "$toHashedIndexKey": unary("$toHashedIndexKey", _hashed_key),
}
