"""Runs tables of expression cases: rows of (manual page, document, expression, expected).

`expected` is a value that must come out with exactly these types, or an `Err`. Each case runs
with and without folding of constants: the outcome must be the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.timestamp import Timestamp

from psdb_base.errors import MongoError
from psdb_base.values import MISSING
from psdb_query.context import CompileContext, make_env
from psdb_query.describe import type_name
from psdb_query.expressions import compile_expression

Case = tuple[str, dict[str, Any], Any, Any]

NOW = DatetimeMS(1_700_000_000_000)
CLUSTER_TIME = Timestamp(1_700_000_000, 7)
ROLES = [{"_id": "admin.root", "role": "root", "db": "admin"}]
FOLDING = CompileContext()
NOT_FOLDING = CompileContext(fold=False)


class Err(NamedTuple):
    """The error a case must give; the message, if stated, must be exactly this."""

    code: int
    message: str | None = None


def run(
    doc: dict[str, Any], expression: Any, ctx: CompileContext = FOLDING, **variables: Any
) -> Any:
    """Evaluate, or return the MongoError; any other exception is a failure of the test."""
    env = make_env(NOW, CLUSTER_TIME, variables, ROLES)
    try:
        return compile_expression(expression, ctx).evaluate(doc, env)
    except MongoError as error:
        return error


def exactly(found: Any, expected: Any) -> bool:
    """Equality of value and type, of order of fields, of zeros' signs and decimals' digits."""
    if type(found) is not type(expected) or type_name(found) != type_name(expected):
        return False
    if isinstance(found, dict):
        return list(found) == list(expected) and all(
            exactly(found[key], expected[key]) for key in found
        )
    if isinstance(found, list):
        return len(found) == len(expected) and all(map(exactly, found, expected))
    if isinstance(found, float):
        return repr(found) == repr(expected)
    if isinstance(found, Decimal128):
        return found.bid == expected.bid
    return found is expected if found is MISSING else bool(found == expected)


def check(case: Case) -> None:
    """Run one row."""
    page, doc, expression, expected = case
    found = run(doc, expression)
    if isinstance(expected, Err):
        assert isinstance(found, MongoError), f"{page}: {found!r} instead of {expected}"
        assert found.code == expected.code, f"{page}: {found}"
        if expected.message is not None:
            assert found.message == expected.message, page
    else:
        assert not isinstance(found, MongoError), f"{page}: {found}"
        assert exactly(found, expected), f"{page}: {found!r} is not {expected!r}"
    unfolded = run(doc, expression, NOT_FOLDING)
    if isinstance(found, MongoError) or isinstance(unfolded, MongoError):
        assert same_failure(found, unfolded), f"{page}: {unfolded!r} without folding"
    else:
        assert exactly(unfolded, found), f"{page}: {unfolded!r} without folding"


def same_failure(found: Any, unfolded: Any) -> bool:
    """Folding may find an error in a branch that is never taken; else errors must agree."""
    if not isinstance(found, MongoError):
        return False
    if not isinstance(unfolded, MongoError):
        return True
    return found.code == unfolded.code or {found.code, unfolded.code} == {40066, 40069}


def table(cases: Sequence[Case]) -> Any:
    """Parametrize a test by rows."""
    return pytest.mark.parametrize(
        "case", cases, ids=[f"{case[0]}-{number}" for number, case in enumerate(cases)]
    )
