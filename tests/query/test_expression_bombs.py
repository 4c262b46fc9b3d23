"""Small expressions that would make values too large for any document."""

from __future__ import annotations

from typing import Any

import pytest

from psdb_base.errors import Code, MongoError
from psdb_query.context import CompileContext
from psdb_query.expressions.core import compile_expression

STEPS = {"$range": [0, 40]}
BOMBS: list[Any] = [
    {"$reduce": {"input": STEPS, "initialValue": [1, 2],
                 "in": {"$concatArrays": ["$$value", "$$value"]}}},
    {"$reduce": {"input": STEPS, "initialValue": 1, "in": {"a": "$$value", "b": "$$value"}}},
    {"$reduce": {"input": STEPS, "initialValue": 1, "in": ["$$value", "$$value"]}},
    {"$reduce": {"input": STEPS, "initialValue": "ab",
                 "in": {"$concat": ["$$value", "$$value"]}}},
    {"$size": {"$range": [0, 2_000_000_000]}},
]


@pytest.mark.parametrize("spec", BOMBS)
@pytest.mark.timeout(20)
def test_a_value_that_fits_no_document_is_refused(spec: Any) -> None:
    with pytest.raises(MongoError) as error:
        compile_expression(spec, CompileContext(fold=False)).evaluate({}, {})
    assert error.value.code in (Code.EXCEEDED_MEMORY_LIMIT, 16493)


def test_ordinary_loops_are_not() -> None:
    spec = {"$reduce": {"input": {"$range": [0, 1000]}, "initialValue": [],
                        "in": {"$concatArrays": ["$$value", ["$$this"]]}}}
    assert compile_expression(spec, CompileContext()).evaluate({}, {}) == list(range(1000))
