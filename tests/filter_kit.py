"""Runs tables of filter and projection cases.

A filter case is (manual page, values or documents, filter, expected). Documents get their place
in the list as `_id`; `expected` is the list of places that match, or an `Err`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from bson.datetime_ms import DatetimeMS
from expression_kit import Err, exactly

from psdb_base.errors import MongoError
from psdb_query.context import CompileContext, make_env
from psdb_query.filters import compile_filter
from psdb_query.projection import compile_projection

FilterCase = tuple[str, Sequence[Any], dict[str, Any], Any]
ProjectionCase = tuple[str, dict[str, Any], dict[str, Any], Any]

CTX = CompileContext(random=lambda: 0.5)
ENV = make_env(DatetimeMS(1_700_000_000_000))


def with_ids(docs: Sequence[Any]) -> list[dict[str, Any]]:
    """Number documents; anything else becomes the field `a` of one (`...` is a missing field)."""
    out: list[dict[str, Any]] = []
    for index, doc in enumerate(docs):
        fields = doc if type(doc) is dict and not doc.get("$value") else {"a": doc}
        if doc is ...:
            fields = {}
        if type(doc) is dict and doc.get("$value"):
            fields = {"a": {k: v for k, v in doc.items() if k != "$value"}}
        out.append({"_id": index, **fields})
    return out


def find(docs: Sequence[Any], spec: dict[str, Any], ctx: CompileContext = CTX) -> Any:
    """Return the ids that match, or the MongoError; the scan must agree with single matches."""
    try:
        filter_ = compile_filter(spec, ctx)
        numbered = with_ids(docs)
        single = [doc["_id"] for doc in numbered if filter_.matches(doc, ENV)]
    except MongoError as error:
        return error
    assert [doc["_id"] for doc in filter_.batch(numbered, ENV)] == single
    return single


def agrees(page: str, found: Any, expected: Any) -> None:
    """Compare an outcome with what a case says."""
    if isinstance(expected, Err):
        assert isinstance(found, MongoError), f"{page}: {found!r} instead of {expected}"
        assert found.code == expected.code, f"{page}: {found}"
        if expected.message is not None:
            assert found.message == expected.message, page
    else:
        assert not isinstance(found, MongoError), f"{page}: {found}"
        assert exactly(found, expected), f"{page}: {found!r} is not {expected!r}"


def check_filter(case: FilterCase) -> None:
    """Run one row of filters."""
    page, docs, spec, expected = case
    agrees(page, find(docs, spec), expected)


def project(doc: dict[str, Any], spec: dict[str, Any], query: dict[str, Any] | None = None) -> Any:
    """Apply a projection of `find`, or return the MongoError."""
    before = repr(doc)
    try:
        filter_ = None if query is None else compile_filter(query, CTX)
        out = compile_projection(spec, CTX, filter_).apply(doc, ENV)
    except MongoError as error:
        return error
    assert repr(doc) == before, "the document itself was changed"
    return out


def check_projection(case: ProjectionCase) -> None:
    """Run one row of projections."""
    page, doc, spec, expected = case
    agrees(page, project(doc, spec), expected)


def table(cases: Sequence[Any]) -> Any:
    """Parametrize a test by rows."""
    ids = [f"{case[0]}-{number}" for number, case in enumerate(cases)]
    return pytest.mark.parametrize("case", cases, ids=ids)
