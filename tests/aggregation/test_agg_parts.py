"""Sorting, sums, windows and memory: laws of the parts that pipelines are made of."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import pytest
from agg_kit import Case, case, encoded, run_case
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import bson_values

from psdb_base import bson_codec, order
from psdb_base.errors import MongoError
from psdb_base.values import Symbol
from psdb_query.accumulators.core import compile_named_accumulator
from psdb_query.accumulators.keys import key_of
from psdb_query.accumulators.sums import Total
from psdb_query.accumulators.table import ACCUMULATORS
from psdb_query.context import CompileContext
from psdb_query.sorting import TopK, compile_sort, key_values
from psdb_query.stages.table import STAGES
from psdb_query.windows.table import FUNCTIONS

Doc = dict[str, Any]
CTX = CompileContext()
NUMBERS = st.one_of(
    st.integers(-5, 5),
    st.integers(-(2**63), 2**63 - 1).map(Int64),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.sampled_from([0.1, 0.2, 1e100, -1e100, 1e-300, float("inf"), float("nan")]),
    st.sampled_from(["1", "0.1", "1E+300", "-2.50"]).map(Decimal128),
)
FINITE = st.one_of(st.integers(-(2**31), 2**31 - 1), st.floats(-1e12, 1e12))


def test_tables_are_sorted() -> None:
    for table in (STAGES, ACCUMULATORS, FUNCTIONS):
        assert list(table) == sorted(table)


# Sorting


@given(
    st.lists(
        st.fixed_dictionaries({}, optional={"a": bson_values(), "b": bson_values()}), max_size=8
    ),
    st.dictionaries(st.sampled_from("ab"), st.sampled_from([1, -1]), min_size=1),
)
@settings(max_examples=200, deadline=None)
def test_sort_is_the_order_of_keys(docs: list[Doc], spec: Doc) -> None:
    sorter = compile_sort(spec, CTX)
    try:
        keys = [sorter.key(doc) for doc in docs]
    except MongoError:
        with pytest.raises(MongoError, match="parallel arrays"):
            sorter.sort(docs)
        return
    expected = [docs[at] for at in sorted(range(len(docs)), key=keys.__getitem__)]
    assert list(map(id, sorter.sort(docs))) == list(map(id, expected))
    for count in (1, 3):
        top = TopK(sorter, count)
        for doc in docs:
            top.add([doc])
        assert list(map(id, top.finish())) == list(map(id, expected[:count]))


@given(st.lists(bson_values(), max_size=8), st.sampled_from([1, -1]))
@settings(max_examples=200, deadline=None)
def test_sort_of_scalars_is_compare(values: list[Any], direction: int) -> None:
    docs = [{"v": value} for value in values if type(value) is not list]
    compare = functools.cmp_to_key(lambda a, b: direction * order.compare(a["v"], b["v"]))
    found = compile_sort({"v": direction}, CTX).sort(docs)
    assert list(map(id, found)) == list(map(id, sorted(docs, key=compare)))


@given(
    st.lists(st.one_of(FINITE, st.just(float("nan"))), min_size=1, max_size=3000),
    st.sampled_from([1, -1]),
)
@settings(max_examples=30, deadline=None)
def test_top_k_over_many_batches(values: list[Any], direction: int) -> None:
    docs = [{"v": value, "n": at} for at, value in enumerate(values * 3)]
    sorter = compile_sort({"v": direction}, CTX)
    top = TopK(sorter, 5)
    for at in range(0, len(docs), 100):
        top.add(docs[at : at + 100])
    assert [doc["n"] for doc in top.finish()] == [doc["n"] for doc in sorter.sort(docs)[:5]]


@pytest.mark.parametrize(
    ("doc", "paths", "expected"),
    [
        ({"a": 1}, ["a"], [(1,)]),
        ({}, ["a", "b"], [(None, None)]),
        ({"a": [1, 2], "b": 3}, ["a", "b"], [(1, 3), (2, 3)]),
        ({"a": [{"x": 1, "y": 2}, {"x": 3}]}, ["a.x", "a.y"], [(1, 2), (3, None)]),
        ({"a": [[1, 2]]}, ["a"], [([1, 2],)]),
        ({"a": [{"x": [1, 2]}, {"x": 3}]}, ["a.x"], [(1,), (2,), (3,)]),
        ({"a": [1, {"x": 2}]}, ["a.x"], [(None,), (2,)]),
        ({"a": [5, 6]}, ["a.1"], [(6,)]),
        ({"a": [{"0": 7}]}, ["a.0"], [(7,)]),
        ({"a": {"b": {"c": 1}}}, ["a.b.c"], [(1,)]),
        ({"a": 1}, ["a.b"], [(None,)]),
    ],
)
def test_key_values(doc: Doc, paths: list[str], expected: list[tuple[Any, ...]]) -> None:
    assert key_values(doc, [tuple(path.split(".")) for path in paths]) == expected


# Keys and sums


@given(bson_values(), bson_values())
@example("x", Symbol("x"))
@settings(max_examples=300, deadline=None)
def test_keys_are_equal_when_values_are(left: Any, right: Any) -> None:
    assert (key_of(left) == key_of(right)) == order.equal(left, right)
    if order.equal(left, right):
        assert hash(key_of(left)) == hash(key_of(right))


@given(st.lists(NUMBERS, max_size=20), st.integers(0, 20))
@settings(max_examples=300, deadline=None)
def test_sums_do_not_depend_on_how_they_are_cut(values: list[Any], at: int) -> None:
    whole, left, right = Total(), Total(), Total()
    for value in values:
        whole.add(value)
    for value in values[:at]:
        left.add(value)
    for value in values[at:]:
        right.add(value)
    sent = bson_codec.decode(bson_codec.encode({"p": right.partial()}))["p"]
    left.merge(sent)
    if any(type(value) is Decimal128 for value in values):
        # Decimals are rounded at 34 digits at every step.
        return
    assert encoded([{"": left.result()}]) == encoded([{"": whole.result()}])


@given(st.lists(st.floats(-1e300, 1e300), max_size=200))
@settings(max_examples=100, deadline=None)
def test_sums_of_doubles_are_rounded_once(values: list[float]) -> None:
    docs = [{"v": value} for value in values]
    if not docs:
        return
    (found,) = run_case(Case("sum", docs, [{"$group": {"_id": None, "s": {"$sum": "$v"}}}], []))
    assert found["s"] == pytest.approx(math.fsum(values), rel=1e-15, abs=1e-300)


# Windows against brute force

_STATES = {
    "$addToSet": "$v",
    "$avg": "$v",
    "$max": "$v",
    "$maxN": {"input": "$v", "n": 2},
    "$min": "$v",
    "$minN": {"input": "$v", "n": 2},
    "$firstN": {"input": "$v", "n": 2},
    "$lastN": {"input": "$v", "n": 2},
    "$median": {"input": "$v", "method": "approximate"},
    "$percentile": {"input": "$v", "p": [0.2, 0.9], "method": "approximate"},
    "$push": "$v",
    "$sum": "$v",
    "$stdDevPop": "$v",
    "$top": {"output": "$_id", "sortBy": {"v": 1}},
    "$bottomN": {"output": "$_id", "sortBy": {"v": 1}, "n": 2},
}


@given(
    st.sampled_from(sorted(_STATES)),
    st.lists(
        st.one_of(st.integers(-4, 4), st.sampled_from([0.5, "x", None])), min_size=1, max_size=12
    ),
    st.integers(-4, 4),
    st.integers(0, 5),
)
@settings(max_examples=400, deadline=None)
def test_windows_are_what_their_documents_give(
    name: str, values: list[Any], lower: int, width: int
) -> None:
    docs = [{"_id": at, "v": value} for at, value in enumerate(values)]
    spec = {name: _STATES[name], "window": {"documents": [lower, lower + width]}}
    stage = {"$setWindowFields": {"sortBy": {"_id": 1}, "output": {"r": spec}}}
    found = [doc["r"] for doc in run_case(Case("window", docs, [stage], []))]
    for at, result in enumerate(found):
        inside = docs[max(0, at + lower) : max(0, at + lower + width + 1)]
        if name == "$stdDevPop":
            assert result == pytest.approx(_accumulated(name, inside))
        elif name == "$addToSet":
            assert sorted(map(order.key, result)) == sorted(
                map(order.key, _accumulated(name, inside))
            )
        else:
            assert encoded([{"": result}]) == encoded([{"": _accumulated(name, inside)}])


def _accumulated(name: str, docs: list[Doc]) -> Any:
    accumulator = compile_named_accumulator(name, _STATES[name], CTX)
    column = accumulator.new_column()
    column.open([None])
    if docs:
        column.take([0] * len(docs), docs, {})
    return column.finish(0)


# Memory


def _rejected(pipeline: list[Doc], docs: list[Doc]) -> int:
    with pytest.raises(MongoError) as caught:
        run_case(Case("memory", docs, pipeline, []), memory_bytes=1000, allow_disk_use=False)
    return caught.value.code


MANY = [{"_id": n, "v": n, "s": "x" * 50} for n in range(2000)]


@pytest.mark.parametrize(
    "stage",
    [
        {"$sort": {"v": 1}},
        {"$group": {"_id": "$v"}},
        {"$bucketAuto": {"groupBy": "$v", "buckets": 3}},
        {"$group": {"_id": None, "l": {"$push": "$v"}}},
    ],
)
def test_without_disk_memory_is_bounded(stage: Doc) -> None:
    assert _rejected([stage], MANY) == 292


def test_a_window_without_disk_is_bounded() -> None:
    assert _rejected([{"$setWindowFields": {"output": {"n": {"$count": {}}}}}], MANY) == 5643011


def test_a_search_of_a_graph_is_bounded() -> None:
    chain = [{"_id": n, "next": n + 1} for n in range(200)]
    spec = {
        "from": "c",
        "startWith": "$_id",
        "connectFromField": "next",
        "connectToField": "_id",
        "as": "a",
    }
    one = case("graph", chain[:1], [{"$graphLookup": spec}], [], others={"c": chain})
    with pytest.raises(MongoError) as caught:
        run_case(one, memory_bytes=1000)
    assert caught.value.code == 40099


def test_a_small_top_k_needs_no_disk() -> None:
    pipeline = [{"$sort": {"v": -1}}, {"$limit": 3}]
    found = run_case(Case("topk", MANY, pipeline, []), memory_bytes=200_000, allow_disk_use=False)
    assert [doc["v"] for doc in found] == [1999, 1998, 1997]


def test_a_large_array_of_one_group_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from psdb_query.accumulators import core

    check = functools.partial(core.check_memory, limit_bytes=1000)
    monkeypatch.setattr("psdb_query.accumulators.collected.check_memory", check)
    for accumulator in ({"$push": "$s"}, {"$addToSet": "$v"}):
        one = Case("memory", MANY, [{"$group": {"_id": None, "l": accumulator}}], [])
        with pytest.raises(MongoError) as caught:
            run_case(one)
        assert caught.value.code == 146


def test_work_is_counted() -> None:
    from agg_kit import compile_case, make_world
    from agg_world import run_compiled

    one = Case("count", MANY, [{"$match": {"v": {"$gte": 0}}}, {"$sort": {"v": -1}}], [])
    world = make_world(one)
    run_compiled(compile_case(one, world), MANY, world=world)
    assert world.counted >= 2 * len(MANY)


def test_an_abandoned_pipeline_closes_its_files() -> None:
    import asyncio

    from agg_kit import compile_case, make_world
    from agg_world import NOW, batches

    from psdb_query.context import make_env
    from psdb_query.stages.model import Run

    one = Case("abandon", MANY, [{"$sort": {"v": -1}}], [])
    world = make_world(one)
    pipeline = compile_case(one, world)

    async def drive() -> None:
        stream = pipeline.run(batches(MANY, 100), Run(world, make_env(NOW), memory_bytes=5000))
        await anext(stream)
        await stream.aclose()

    asyncio.run(drive())
    assert world.spills
    assert all(spill.closed for spill in world.spills)


def test_windows_cover_every_pair_of_bounds() -> None:
    """Each pair of bounds gives windows that only move forward and hold what they say."""
    from psdb_query.windows.bounds import Bounds

    choices: list[Any] = ["unbounded", "current", -2, 0, 1]
    for lower, upper in itertools.product(choices, choices):
        if isinstance(lower, int) and isinstance(upper, int) and lower > upper:
            continue
        last = (0, 0)
        for window in Bounds(lower, upper).windows(6, []):
            if window is not None:
                assert window[0] < window[1] <= 6
                assert window[0] >= last[0]
                assert window[1] >= last[1]
                last = window
