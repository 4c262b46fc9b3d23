"""Ranges of shard keys, chunk maps, and which shards a filter is for."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from bson import Int64, MaxKey, MinKey, ObjectId, Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from psdb_base.errors import MongoError
from psdb_base.shard_keys import KeyPattern, Ranges, check_pattern
from psdb_query.collation import Collation
from psdb_query.context import CompileContext
from psdb_query.filters import compile_filter
from router import targeting
from router.chunk_map import ChunkMap

PATTERNS: list[dict[str, Any]] = [
    {"a": 1}, {"a": 1, "b": 1}, {"a": "hashed"}, {"a": 1, "b": "hashed"}, {"b.c": 1},
]
values = st.one_of(
    st.integers(-3, 9), st.floats(-3, 9), st.sampled_from(["", "a", "b", "zz", None, True]),
    st.just(ObjectId(b"0" * 12)),
)
documents = st.fixed_dictionaries(
    {}, optional={"a": values, "b": st.one_of(values, st.fixed_dictionaries({"c": values}))}
)
conditions = st.one_of(
    values,
    st.builds(lambda op, v: {op: v}, st.sampled_from(["$gt", "$gte", "$lt", "$lte", "$eq", "$ne"]),
              values),
    st.builds(lambda vs: {"$in": vs}, st.lists(values, max_size=3)),
    st.builds(lambda low, high: {"$gte": low, "$lt": high}, values, values),
    st.builds(lambda v: {"$exists": v}, st.booleans()),
    st.builds(lambda v: {"$not": {"$gt": v}}, values),
)
fields = st.dictionaries(st.sampled_from(["a", "b", "b.c", "x"]), conditions, max_size=3)
filters = st.one_of(
    fields,
    st.builds(lambda parts: {"$or": parts}, st.lists(fields, min_size=1, max_size=3)),
    st.builds(lambda one, parts: {**one, "$and": parts}, fields,
              st.lists(fields, min_size=1, max_size=2)),
)


def map_of(spec: dict[str, Any], cuts: list[dict[str, Any]]) -> ChunkMap:
    """Make a map with chunks cut at the places of some documents, on three shards in turn."""
    pattern = KeyPattern(spec)
    bounds = {pattern.key(document): pattern.bound(document) for document in cuts}
    ends = [pattern.lowest, *(bounds[key] for key in sorted(bounds)), pattern.highest]
    chunks = [
        {"min": low, "max": high, "shard": f"s{n % 3}", "lastmod": Timestamp(1, n)}
        for n, (low, high) in enumerate(pairwise(ends))
    ]
    row = {"_id": "t.c", "key": spec, "lastmodEpoch": ObjectId(), "timestamp": Timestamp(1, 1)}
    return ChunkMap(row, chunks)


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(PATTERNS), st.lists(documents, max_size=6), documents, filters)
def test_no_shard_with_matches_is_left_out(
    spec: dict[str, Any], cuts: list[dict[str, Any]], document: dict[str, Any], query: Any
) -> None:
    found, context = map_of(spec, cuts), CompileContext()
    if not compile_filter(query, context).matches(document, {}):
        return
    owner = found.shard_of(found.pattern.key(document))
    assert owner in found.shards_of(targeting.key_ranges(found.pattern, query, context, {}))
    exact = targeting.exact_key(found.pattern, query, None)
    if exact is not None:
        assert found.shard_of(exact) == owner


@pytest.mark.parametrize(
    ("spec", "query", "shards"),
    [
        ({"a": 1}, {"a": 5}, 1), ({"a": 1}, {"a": {"$in": [1, 5]}}, 2),
        ({"a": 1}, {"a": {"$gte": 1, "$lt": 3}}, 1), ({"a": 1}, {"x": 1}, 3),
        ({"a": 1}, {"$or": [{"a": 1}, {"a": 2}]}, 1), ({"a": 1}, {"a": {"$gt": 4}}, 2),
        ({"a": "hashed"}, {"a": 5}, 1), ({"a": "hashed"}, {"a": {"$gt": 5}}, 3),
        ({"a": 1, "b": 1}, {"a": 5}, 1), ({"a": 1, "b": 1}, {"b": 5}, 3),
        ({"a": 1, "b": 1}, {"a": 5, "b": {"$gt": 1}}, 1), ({"a": 1}, {}, 3),
    ],
)
def test_bounds_target_as_few_as_they_can(spec: Any, query: Any, shards: int) -> None:
    found = map_of(spec, [{"a": 0, "b": 0}, {"a": 4, "b": 0}, {"a": 8, "b": 0}])
    ranges = targeting.key_ranges(found.pattern, query, CompileContext(), {})
    assert len(found.shards_of(ranges)) == shards


def test_a_collation_keeps_texts_from_targeting() -> None:
    found = map_of({"a": 1}, [{"a": 0}, {"a": "m"}])
    context = CompileContext(collation=Collation.parse({"locale": "en", "strength": 2}))
    ranges = targeting.key_ranges(found.pattern, {"a": "X"}, context, {})
    assert len(found.shards_of(ranges)) == 3
    ranges = targeting.key_ranges(found.pattern, {"a": 5}, context, {})
    assert len(found.shards_of(ranges)) == 1
    assert targeting.exact_key(found.pattern, {"a": "X"}, {"locale": "en"}) is None


def test_ten_thousand_chunks() -> None:
    found = map_of({"a": 1}, [{"a": n} for n in range(10_000)])
    assert found.shard_of(found.pattern.key({"a": 7_777})) == "s2"
    assert len(found.shards_of([(b"", b"\xff" * 8)])) == 3


def test_news_take_the_place_of_what_they_overlap() -> None:
    found = map_of({"a": 1}, [{"a": 0}, {"a": 4}])
    news = [
        {"min": {"a": 0}, "max": {"a": 2}, "shard": "s9", "lastmod": Timestamp(2, 0)},
        {"min": {"a": 2}, "max": {"a": 4}, "shard": "s1", "lastmod": Timestamp(2, 1)},
    ]
    after = found.updated(found.row, news)
    bounds = [chunk["min"]["a"] for chunk in after.chunks]
    assert bounds == [MinKey(), 0, 2, 4]
    assert after.shard_of(after.pattern.key({"a": 1})) == "s9"
    assert after.shard_of(after.pattern.key({"a": 3})) == "s1"
    assert after.version == Timestamp(2, 1)
    pieces = found.pieces_of("s1")
    assert [(low, high) for _, _, low, high in after.common("s9", pieces)] == [
        ({"a": 0}, {"a": 2})
    ]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=6),
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=6),
)
def test_ranges_are_sets(left: Any, right: Any) -> None:
    def made(pairs: Any) -> Ranges:
        return Ranges((bytes((a,)), bytes((b,))) for a, b in pairs if a < b)

    def members(ranges: Ranges) -> set[int]:
        return {n for n in range(21) if ranges.contains(bytes((n,)))}

    one, other = made(left), made(right)
    assert members(one.minus(other)) == members(one) - members(other)
    assert members(one.within(other)) == members(one) & members(other)
    for a, b in left:
        if a < b:
            assert one.covers(bytes((a,)), bytes((b,)))
            assert other.overlaps(bytes((a,)), bytes((b,))) == bool(
                members(other) & set(range(a, b))
            )


def test_keys() -> None:
    pattern = KeyPattern({"a.b": 1, "c": "hashed"})
    assert pattern.bound({"a": {"b": 1}, "c": 5})["c"].__class__ is Int64
    assert pattern.key({"a": {"b": 1}, "c": 5}) == pattern.bound_key(
        pattern.bound({"a": {"b": 1}, "c": 5})
    )
    assert pattern.key({}) == pattern.key({"a": {"b": None}, "c": None})
    assert pattern.bound_key(pattern.lowest) < pattern.key({}) < pattern.bound_key(pattern.highest)
    assert pattern.highest == {"a.b": MaxKey(), "c": MaxKey()}
    for document in ({"a": [{"b": 1}]}, {"a": {"b": [1]}}, {"c": [1]}):
        with pytest.raises(MongoError) as caught:
            pattern.key(document)
        assert caught.value.code == 61
    for wrong in ({}, {"a": -1}, {"a": "text"}, {"a": "hashed", "b": "hashed"}, 1, {"a": True}):
        with pytest.raises(MongoError) as caught:
            check_pattern(wrong)
        assert caught.value.code == 2
