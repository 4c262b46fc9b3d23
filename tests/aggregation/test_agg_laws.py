"""Laws of pipelines: the optimiser, the split over shards and spilling change no result."""

from __future__ import annotations

from typing import Any

import pytest
from agg_kit import Case, compile_case, cut, encoded, make_world, run_case, run_split
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from hypothesis import given, settings
from hypothesis import strategies as st

from psdb_base.errors import MongoError
from psdb_query.context import CompileContext
from psdb_query.stages.pipeline import compile_pipeline

Doc = dict[str, Any]

SCALARS = st.sampled_from(
    [0, 1, 2, 3, -1, 1.0, 1.5, 0.1, Int64(2), Decimal128("1"), "a", "b", "", None, True, False]
)
VALUES = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=3),
    st.dictionaries(st.sampled_from("xy"), SCALARS, max_size=2),
    st.lists(st.dictionaries(st.sampled_from("xy"), SCALARS, max_size=2), max_size=2),
)
FIELDS = "abcd"
DOCS = st.lists(st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4), max_size=12).map(
    lambda docs: [{"_id": at, **doc} for at, doc in enumerate(docs)]
)

FIELD = st.sampled_from(FIELDS)
PATH = st.sampled_from(["a", "b", "c", "d", "_id", "a.x", "b.y", "a.x.y"])
REF = PATH.map(lambda path: f"${path}")
EXPRESSION = st.one_of(
    REF,
    SCALARS,
    REF.map(lambda ref: {"$ifNull": [ref, 0]}),
    st.tuples(REF, REF).map(lambda two: {"$eq": list(two)}),
    REF.map(lambda ref: {"$type": ref}),
    st.tuples(REF, REF).map(lambda two: {"p": two[0], "q": two[1]}),
)
CONDITION = st.one_of(
    SCALARS,
    st.tuples(st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]), SCALARS).map(
        lambda two: {two[0]: two[1]}
    ),
    st.booleans().map(lambda yes: {"$exists": yes}),
    st.lists(SCALARS, max_size=3).map(lambda found: {"$in": found}),
    st.just({"$type": "number"}),
)
SIMPLE_MATCH = st.dictionaries(PATH, CONDITION, max_size=2)
MATCH = st.one_of(
    SIMPLE_MATCH,
    st.tuples(SIMPLE_MATCH, SIMPLE_MATCH).map(lambda two: {"$or": list(two)}),
    st.tuples(SIMPLE_MATCH, SIMPLE_MATCH).map(lambda two: {"$and": list(two)}),
    EXPRESSION.map(lambda one: {"$expr": one}),
)
UNORDERED = st.sampled_from(
    [{"$sum": 1}, {"$sum": "$b"}, {"$avg": "$b"}, {"$min": "$c"}, {"$max": "$c"}, {"$count": {}},
     {"$minN": {"input": "$b", "n": 2}}, {"$max": "$a.x"}]
)  # fmt: skip
ORDERED = st.sampled_from(
    [{"$first": "$b"}, {"$last": "$b"}, {"$push": "$_id"}, {"$addToSet": "$c"}, {"$push": "$a"},
     {"$top": {"output": "$_id", "sortBy": {"b": 1, "_id": 1}}},
     {"$firstN": {"input": "$c", "n": 2}}]
)  # fmt: skip
GROUP_ID = st.one_of(
    REF, st.none(), st.tuples(REF, REF).map(lambda two: {"a": two[0], "b": two[1]}), EXPRESSION
)


def group(accumulators: st.SearchStrategy[Doc]) -> st.SearchStrategy[Doc]:
    return st.tuples(
        GROUP_ID, st.dictionaries(st.sampled_from("abc"), accumulators, max_size=2)
    ).map(lambda two: {"$group": {"_id": two[0], **two[1]}})


SORT = st.dictionaries(PATH, st.sampled_from([1, -1]), min_size=1, max_size=2).map(
    lambda spec: {"$sort": spec}
)
PER_DOCUMENT = st.one_of(
    MATCH.map(lambda spec: {"$match": spec}),
    st.dictionaries(FIELD, EXPRESSION, min_size=1, max_size=2).map(lambda s: {"$set": s}),
    st.tuples(st.sampled_from(["n", "a.n", "b.x", "d"]), EXPRESSION).map(
        lambda two: {"$addFields": {two[0]: two[1]}}
    ),
    st.lists(FIELD, min_size=1, max_size=2, unique=True).map(
        lambda names: {"$project": dict.fromkeys(names, 1)}
    ),
    st.tuples(FIELD, REF).map(lambda two: {"$project": {"_id": 1, two[0]: two[1]}}),
    st.sampled_from(["a", "b", "a.x", "_id"]).map(lambda name: {"$unset": name}),
    st.sampled_from(["a.x", "b.y"]).map(lambda name: {"$project": {name: 1}}),
    st.tuples(st.sampled_from(["$a", "$b", "$c.y"]), st.booleans()).map(
        lambda two: {"$unwind": {"path": two[0], "preserveNullAndEmptyArrays": two[1]}}
    ),
    st.sampled_from(["i", "a"]).map(
        lambda name: {"$unwind": {"path": "$b", "includeArrayIndex": name}}
    ),
)
SLICE = st.one_of(
    st.integers(1, 8).map(lambda n: {"$limit": n}), st.integers(0, 4).map(lambda n: {"$skip": n})
)
OTHERS = {"o": [{"_id": n, "k": k} for n, k in enumerate([0, 1, 1.5, None, "a", [1, 2]])]}
JOIN = st.one_of(
    FIELD.map(lambda name: {
        "$lookup": {"from": "o", "localField": name, "foreignField": "k", "as": "j"}}),
    st.just({"$unwind": "$j"}),
    st.just({"$unionWith": {"coll": "o", "pipeline": [{"$match": {"k": {"$ne": 0}}}]}}),
    FIELD.map(lambda name: {
        "$lookup": {"from": "o", "let": {"v": f"${name}"}, "as": "d", "pipeline": [
            {"$match": {"$expr": {"$eq": ["$k", "$$v"]}}}, {"$project": {"_id": 1}}]}}),
)  # fmt: skip
WINDOW = st.tuples(
    st.sampled_from(["$c", "$_id", None]),
    st.sampled_from([{"$sum": "$b"}, {"$push": "$_id"}, {"$documentNumber": {}}]),
).map(
    lambda two: {
        "$setWindowFields": {
            "partitionBy": {"$type": two[0]} if two[0] else None,
            "sortBy": {"_id": 1},
            "output": {"w": two[1]},
        }
    }
)
ANY_STAGE = st.one_of(
    PER_DOCUMENT, PER_DOCUMENT, SORT, SLICE, group(st.one_of(UNORDERED, ORDERED)), JOIN, WINDOW,
    st.just({"$sortByCount": "$c"}), st.just({"$count": "n"}),
    st.just({"$facet": {"a": [{"$limit": 2}], "b": [{"$group": {"_id": "$c"}}]}}),
)  # fmt: skip
PIPELINES = st.lists(ANY_STAGE, min_size=1, max_size=5)


def outcome(run: Any) -> list[bytes] | int:
    """Return the documents encoded, or an error's code."""
    try:
        return encoded(run())
    except MongoError as error:
        return error.code


def check_optimizer(docs: list[Doc], pipeline: list[Doc]) -> None:
    one = Case("law", docs, pipeline, [], OTHERS)
    plain = outcome(lambda: run_case(one, optimize=False))
    better = outcome(lambda: run_case(one))
    # A document that is no longer looked at raises no error.
    if not isinstance(plain, int):
        assert better == plain


def check_split(docs: list[Doc], pipeline: list[Doc], parts: int) -> None:
    one = Case("law", docs, pipeline, [], OTHERS)
    whole = outcome(lambda: run_case(one))
    split = outcome(lambda: run_split(one, cut(docs, parts)))
    if isinstance(whole, int):
        assert isinstance(split, int) or not docs
    else:
        assert split == whole


def check_spill(docs: list[Doc], pipeline: list[Doc]) -> None:
    one = Case("law", docs, pipeline, [], OTHERS)
    whole = outcome(lambda: run_case(one))
    spilled = outcome(lambda: run_case(one, memory_bytes=1))
    if not isinstance(whole, int):
        assert not isinstance(spilled, int)
        assert sorted(spilled) == sorted(whole)


@given(DOCS, PIPELINES)
@settings(max_examples=400, deadline=None)
def test_the_optimiser_changes_no_result(docs: list[Doc], pipeline: list[Doc]) -> None:
    check_optimizer(docs, pipeline)


@given(DOCS, PIPELINES, st.integers(1, 4))
@settings(max_examples=300, deadline=None)
def test_shards_give_the_same(docs: list[Doc], pipeline: list[Doc], parts: int) -> None:
    check_split(docs, pipeline, parts)


@given(DOCS, st.lists(st.one_of(PER_DOCUMENT, SORT, group(UNORDERED)), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_spilling_changes_no_result(docs: list[Doc], pipeline: list[Doc]) -> None:
    check_spill(docs, pipeline)


@given(
    DOCS,
    st.lists(PER_DOCUMENT, max_size=2),
    st.one_of(group(UNORDERED), SORT, st.just({"$match": {}})),
    st.data(),
)
@settings(max_examples=200, deadline=None)
def test_any_distribution_gives_the_same_documents(
    docs: list[Doc], before: list[Doc], last: Doc, data: st.DataObject
) -> None:
    """Random ownership: the same documents come out, and in order where there is one."""
    one = Case("law", docs, [*before, last], [])
    owners = data.draw(st.lists(st.integers(0, 2), min_size=len(docs), max_size=len(docs)))
    parts = [[doc for doc, at in zip(docs, owners, strict=True) if at == n] for n in range(3)]
    whole = outcome(lambda: run_case(one))
    split = outcome(lambda: run_split(one, parts))
    if isinstance(whole, int) or isinstance(split, int):
        return
    if "$group" in last:
        assert len(split) == len(whole)
        assert _without_representatives(run_split(one, parts)) == _without_representatives(
            run_case(one)
        )
    else:
        assert sorted(split) == sorted(whole)


def _without_representatives(docs: list[Doc]) -> list[bytes]:
    """Sort by id; of equal values (1 and 1.0) either may stand for the group."""
    from psdb_base import order

    return sorted(order.key(doc) for doc in docs)


WILD = st.recursive(
    st.one_of(SCALARS, REF, st.sampled_from(["$$ROOT", "full", "$", "$$x", "unbounded"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["a", "_id", "$sum", "$match", "path", "output", "window", "documents", "range",
                 "sortBy", "n", "input", "from", "as", "let", "pipeline", "localField", "into",
                 "foreignField", "on", "whenMatched", "size", "boundaries", "groupBy", "buckets",
                 "default", "field", "step", "bounds", "unit", "startWith", "coll", "db", "$eq",
                 "newRoot", "$first", "partitionBy", "$rank", "$push", "near", "distanceField"]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)  # fmt: skip
NAMES = st.sampled_from(
    ["$addFields", "$bucket", "$bucketAuto", "$changeStreamSplitLargeEvent", "$collStats", "$count",
     "$currentOp", "$densify", "$documents", "$facet", "$fill", "$geoNear", "$graphLookup",
     "$group", "$indexStats", "$limit", "$listSessions", "$lookup", "$match", "$merge", "$out",
     "$planCacheStats", "$project", "$redact", "$replaceRoot", "$replaceWith", "$sample",
     "$setWindowFields", "$skip", "$sort", "$sortByCount", "$unionWith", "$unset", "$unwind"]
)  # fmt: skip


def check_wild(name: str, spec: Any, docs: list[Doc]) -> None:
    """A malformed stage is MongoDB's error or works; it never breaks the process."""
    try:
        pipeline = compile_pipeline([{name: spec}], CompileContext(), database="db")
    except MongoError:
        return
    assert compile_pipeline(pipeline.wire(), CompileContext(), place="internal") is not None
    one = Case("wild", docs, [{name: spec}], [], {})
    world = make_world(one)
    try:
        compile_case(one, world)
        if pipeline.source_stage is None and not pipeline.foreign and name != "$geoNear":
            run_case(one)
    except MongoError:
        return


@given(NAMES, WILD, DOCS)
@settings(max_examples=600, deadline=None)
def test_wild_specifications(name: str, spec: Any, docs: list[Doc]) -> None:
    check_wild(name, spec, docs)


@pytest.mark.soak
@given(NAMES, WILD, DOCS)
@settings(max_examples=20_000, deadline=None)
def test_wild_specifications_at_length(name: str, spec: Any, docs: list[Doc]) -> None:
    check_wild(name, spec, docs)


@pytest.mark.soak
@given(DOCS, PIPELINES, st.integers(1, 4))
@settings(max_examples=10_000, deadline=None)
def test_laws_at_length(docs: list[Doc], pipeline: list[Doc], parts: int) -> None:
    check_optimizer(docs, pipeline)
    check_split(docs, pipeline, parts)
