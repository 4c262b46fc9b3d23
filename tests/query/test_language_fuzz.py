"""Statements about every operator: each ends in a result or in an error that a client may see."""

from __future__ import annotations

import copy
import os
from typing import Any

from expression_kit import exactly
from filter_kit import ENV
from query_grammar import NAMES, Statement, statement
from update_kit import NEW_ID

from psdb_base import bson_codec, order
from psdb_base.errors import MongoError
from psdb_base.values import MISSING, Document
from psdb_query.bounds_index import IndexField, Predicates, index_bounds
from psdb_query.collation import Collation
from psdb_query.context import CompileContext
from psdb_query.expressions import compile_expression
from psdb_query.filters import compile_filter
from psdb_query.projection import (
    compile_add_fields,
    compile_project,
    compile_projection,
    compile_unset,
)
from psdb_query.query_shapes import hash_of, shape_of_command
from psdb_query.sorting import compile_sort
from psdb_query.updates import compile_update

COUNT = int(os.environ.get("PSDB_QUERY_FUZZ", "2000"))
FIRST = int(os.environ.get("PSDB_QUERY_FUZZ_FIRST", "0"))


def context(one: Statement, *, fold: bool = True) -> CompileContext:
    return CompileContext(
        collation=Collation.parse(one.collation) if one.collation else None,
        variables=frozenset(("x",)), random=lambda: 0.5, fold=fold,
    )  # fmt: skip


def shape(command: Document) -> None:
    assert len(hash_of(shape_of_command(command, "db"))) == 64


def filters(one: Statement) -> None:
    shape({"find": "c", "filter": one.spec})
    filter_ = compile_filter(one.spec, context(one))
    fields = [IndexField("a", 1), IndexField("b"), IndexField("a.b", 1)]
    index_bounds(Predicates(filter_.tree, dict(ENV, x=1)), fields, context(one).collation)
    matching = [doc for doc in one.documents if filter_.matches(doc, dict(ENV, x=1))]
    assert [id(doc) for doc in filter_.batch(one.documents, dict(ENV, x=1))] == [
        id(doc) for doc in matching
    ]
    for doc in one.documents:
        filter_.match_position(doc, dict(ENV, x=1))
        if not any(doc is match for match in matching):
            filter_.explain_failure(doc, dict(ENV, x=1))


def updates(one: Statement) -> None:
    update = compile_update(one.spec, context(one), array_filters=one.array_filters)
    for doc in one.documents:
        for attempt in (
            lambda doc=doc: update.apply(doc, dict(ENV, x=1), position="0"),
            lambda doc=doc: update.apply(doc, dict(ENV, x=1), is_insert=True),
            lambda doc=doc: update.upsert(doc, dict(ENV, x=1), lambda: NEW_ID),
        ):
            try:
                found = attempt()
            except MongoError as error:
                sensible(error)
            else:
                bson_codec.encode(found)


def projections(one: Statement) -> None:
    filter_ = compile_filter({"a": 1}, context(one))
    for compile_ in (
        lambda: compile_projection(one.spec, context(one), filter_),
        lambda: compile_project(one.spec, context(one)),
        lambda: compile_add_fields(one.spec, context(one)),
        lambda: compile_unset(list(one.spec), context(one)),
    ):
        for doc in one.documents:
            try:
                bson_codec.encode(compile_().apply(doc, dict(ENV, x=1)))
            except MongoError as error:
                sensible(error)


def expressions(one: Statement) -> None:
    shape({"aggregate": "c", "pipeline": [{"$project": {"v": one.spec}}]})

    def outcome(doc: Any, *, fold: bool) -> Any:
        try:
            compiled = compile_expression(one.spec, context(one, fold=fold))
            return compiled.evaluate(doc, dict(ENV, x=1))
        except MongoError as error:
            sensible(error)
            return error

    for doc in one.documents:
        found, unfolded = outcome(doc, fold=True), outcome(doc, fold=False)
        if isinstance(found, MongoError) or isinstance(unfolded, MongoError):
            # Folding sees a constant's error before any other.
            assert isinstance(found, MongoError), (found, unfolded)
        else:
            assert exactly(found, unfolded), (found, unfolded)
            if found is not MISSING:
                bson_codec.encode({"v": found})


def sorts(one: Statement) -> None:
    sorter = compile_sort(one.spec, context(one))
    documents = [{"i": index, **doc} for index, doc in enumerate(one.documents)]
    if all(part.meta is None for part in sorter.parts):
        by_key = sorted(documents, key=lambda doc: sorter.key(doc, dict(ENV)))
        assert [doc["i"] for doc in sorter.sort(documents, dict(ENV))] == [
            doc["i"] for doc in by_key
        ]


RUN = {
    "expression": expressions, "filter": filters, "projection": projections, "schema": filters,
    "sort": sorts, "update": updates,
}  # fmt: skip


def sensible(error: MongoError) -> None:
    assert error.code > 1
    assert error.message


def run(number: int) -> Statement:
    one = statement(number)
    before = copy.deepcopy([one.spec, one.documents, one.array_filters])
    try:
        RUN[one.kind](one)
    except MongoError as error:
        sensible(error)
    except Exception as error:
        shown = f"{one.spec!r} on {one.documents!r} {one.array_filters!r} {one.collation!r}"
        raise AssertionError(f"statement({number}): {shown}") from error
    after = [one.spec, one.documents, one.array_filters]
    assert order.identical(before, after), f"statement({number}) changed its input"
    return one


def test_statements_end_in_a_result_or_an_error() -> None:
    for number in range(FIRST, FIRST + COUNT):
        run(number)


def test_every_operator_is_generated() -> None:
    used: set[tuple[str, str]] = set()
    for number in range(len(NAMES)):
        one = statement(number)
        assert (one.kind, one.name) in one.used, number
        used |= one.used
    assert used >= set(NAMES)
