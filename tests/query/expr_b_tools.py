"""Running tables of expression cases: `(manual page, expression, document, expected)`.

`expected` is a value, compared with its exact BSON types, or `Fails(code, message)`. Every case
runs twice, with constants folded at compile time and without, and both must agree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.timestamp import Timestamp

from psdb_base.bson_codec import encode
from psdb_base.errors import MongoError
from psdb_base.values import MISSING
from psdb_query.context import DEFAULT_CONTEXT, CompileContext, Env, make_env
from psdb_query.expressions import compile_expression

Case = tuple[str, Any, dict[str, Any], Any]

NOW = DatetimeMS(1_700_000_000_000)
L = Int64
DEC = Decimal128


@dataclass(frozen=True)
class Fails:
    """The error a case must end in; the message is compared when it is given."""

    code: int
    message: str | None = None


def day(text: str) -> DatetimeMS:
    """Read an ISO date of the years 1 to 9999 with the standard library."""
    moment = datetime.fromisoformat(text)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    seconds = int(moment.timestamp() // 1)
    return DatetimeMS(seconds * 1000 + moment.microsecond // 1000)


def environment(**more: Any) -> Env:
    """Variables of one execution."""
    return make_env(NOW, Timestamp(1_700_000_000, 1)) | more


def run(
    spec: Any,
    doc: dict[str, Any] | None = None,
    ctx: CompileContext = DEFAULT_CONTEXT,
    env: Env | None = None,
) -> Any:
    """Compile and evaluate an expression once."""
    expr = compile_expression(spec, ctx)
    return expr.evaluate({} if doc is None else doc, environment() if env is None else env)


def exact(value: Any) -> Any:
    """Return what is equal only for values of the same BSON types and bits."""
    return MISSING if value is MISSING else encode({"": value})


def outcome(spec: Any, doc: dict[str, Any], ctx: CompileContext) -> Any:
    """Return the exact result or the error of an evaluation."""
    try:
        return exact(run(spec, doc, ctx))
    except MongoError as error:
        return Fails(error.code, error.message)


def result_or_code(spec: Any, doc: dict[str, Any] | None = None) -> tuple[Any, int]:
    """Return the value and 0, or None and the code of the MongoError; nothing else may happen."""
    try:
        return run(spec, doc), 0
    except MongoError as error:
        return None, error.code


def check(case: Case, ctx: CompileContext = DEFAULT_CONTEXT) -> None:
    """Assert that a case ends as it should, folded or not."""
    _, spec, doc, expected = case
    folded = outcome(spec, doc, ctx)
    if isinstance(expected, Fails):
        assert isinstance(folded, Fails), run(spec, doc, ctx)
        assert folded.code == expected.code, folded.message
        if expected.message is not None:
            assert folded.message == expected.message
    else:
        assert not isinstance(folded, Fails), folded
        assert folded == exact(expected), run(spec, doc, ctx)
    assert outcome(spec, doc, replace(ctx, fold=False)) == folded


def table(cases: list[Case]) -> Any:
    """Parametrize a test over `case`, each named by its page and number."""
    return pytest.mark.parametrize(
        "case", cases, ids=[f"{case[0]}-{number}" for number, case in enumerate(cases)]
    )
