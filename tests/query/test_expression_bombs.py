"""Small expressions that would make values too large for any document."""

from __future__ import annotations

from typing import Any

import pytest
from agg_world import run_pipeline

from psdb_base.errors import Code, MongoError
from psdb_query import steps
from psdb_query.context import CompileContext
from psdb_query.expressions.core import compile_expression
from psdb_query.updates import compile_update

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


def chain(steps: int) -> Any:
    """Return a `$let` that puts its variable twice into the next, so many times."""
    spec: Any = f"$$v{steps - 1}"
    for step in range(steps - 1, -1, -1):
        inner = ["$a", "$a"] if step == 0 else [f"$$v{step - 1}", f"$$v{step - 1}"]
        spec = {"$let": {"vars": {f"v{step}": inner}, "in": spec}}
    return spec


LIMITED: list[tuple[Any, int]] = [
    (chain(40), 146),
    ({"$eq": [chain(40), chain(40)]}, 146),
    ({"$map": {"input": {"$range": [0, 100_000]}, "in": {"$range": [0, 1_000_000]}}}, 146),
    ({"$map": {"input": {"$range": [0, 100_000]}, "in": {"$substrCP": ["$s", 0, 10_000]}}}, 146),
]


@pytest.mark.parametrize(("spec", "code"), LIMITED)
@pytest.mark.timeout(20)
def test_what_grows_without_bound_is_refused(spec: Any, code: int) -> None:
    expr = compile_expression(spec, CompileContext(fold=False))
    with pytest.raises(MongoError) as error:
        expr.evaluate({"a": 1, "s": "x" * 10_000}, {})
    assert error.value.code == code


SHAPES: list[list[dict[str, Any]]] = [
    [{"$addFields": {"a": ["$a", "$a"]}}],
    [{"$addFields": {"a": {"$map": {"input": [1, 2], "in": "$a"}}}}],
    [{"$addFields": {"a.b": "$a", "a.c": "$a"}}],
    [{"$replaceWith": {"a": {"x": "$$ROOT", "y": "$$ROOT"}}}],
    [{"$facet": {"x": [], "y": []}}],
    [{"$project": {"a": {"x": "$a", "y": "$a"}}}],
]


@pytest.mark.parametrize("stages", SHAPES)
@pytest.mark.timeout(20)
def test_chains_of_stages_that_double_are_refused(stages: list[dict[str, Any]]) -> None:
    with pytest.raises(MongoError) as error:
        run_pipeline([{"_id": 1, "a": 1}], stages * 60)
    assert error.value.code in (Code.EXCEEDED_MEMORY_LIMIT, 4031700)


def test_an_update_that_doubles_is_refused() -> None:
    update = compile_update([{"$set": {"a": {"$map": {"input": [1, 2], "in": "$a"}}}}] * 60,
                            CompileContext())  # fmt: skip
    with pytest.raises(MongoError) as error:
        update.apply({"_id": 1, "a": 1}, {"NOW": None})
    assert error.value.code == Code.EXCEEDED_MEMORY_LIMIT


def test_steps_are_counted_and_can_end_an_evaluation() -> None:
    inner = {"$map": {"input": {"$range": [0, 1000]}, "as": "b", "in": {"$add": ["$$b", "$x"]}}}
    spec = {"$size": {"$map": {"input": {"$range": [0, 1000]}, "in": {"$size": inner}}}}
    expr = compile_expression(spec, CompileContext())
    assert expr.evaluate({"x": 1}, {}) == 1000
    with pytest.raises(steps.TooLongError), steps.limited(500_000):
        expr.evaluate({"x": 1}, {})


def test_a_long_constant_is_not_evaluated_at_compile_time() -> None:
    inner = {"$map": {"input": {"$range": [0, 3000]}, "in": {"$add": ["$$this", "$$o"]}}}
    spec = {"$size": {"$map": {"input": {"$range": [0, 3000]}, "as": "o", "in": {"$size": inner}}}}
    with steps.limited(1_000_000):
        expr = compile_expression(spec, CompileContext())
    assert not expr.is_constant
    short = {"$size": {"$map": {"input": {"$range": [0, 10]}, "in": 1}}}
    assert compile_expression(short, CompileContext()).is_constant
