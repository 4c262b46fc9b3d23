"""`$merge`, `$out`, `$geoNear`, sources, metadata, and what a server reads of a pipeline."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agg_kit import Case, Fails, case, check, compile_case, make_world, params, run_case, run_split
from agg_world import NOW, World, run_compiled
from bson.int64 import Int64

from psdb_base.errors import MongoError
from psdb_base.values import MISSING
from psdb_query.context import CompileContext, make_env
from psdb_query.pipeline_split import split_pipeline
from psdb_query.stages.change_stream import SplitLargeEventStage
from psdb_query.stages.meta import MetaBatch
from psdb_query.stages.model import Run
from psdb_query.stages.output import MergeStatement, MergeTarget
from psdb_query.stages.pipeline import Pipeline, compile_pipeline

Doc = dict[str, Any]
M = "merge"
DOC = [{"_id": 1, "a": 5}]


def compiled(*stages: Doc, **options: Any) -> Pipeline:
    return compile_pipeline(list(stages), CompileContext(), database="db", **options)


def merged(spec: Any, *docs: Doc, let: Doc | None = None) -> list[MergeStatement]:
    """Return the statements that a `$merge` makes."""
    one = Case(M, list(docs), [{"$merge": spec}], [], {}, {"let": let} if let else {})
    world = make_world(one)
    pipeline = compile_case(one, world)
    assert run_compiled(pipeline, one.docs, world=world, let=let) == []
    return [statement for _, statements in world.written for statement in statements]


def test_merge_by_default_lays_the_document_over_the_other() -> None:
    (one,) = merged("t", *DOC)
    assert one.query == {"_id": 1}
    assert one.update == [{"$replaceWith": {"$mergeObjects": ["$$ROOT", "$$new"]}}]
    assert one.constants == {"new": DOC[0]}
    assert one.upsert
    assert one.supplied == DOC[0]


@pytest.mark.parametrize(
    ("matched", "not_matched", "expected"),
    [
        ("replace", "insert", ("update", DOC[0], True, False)),
        ("replace", "discard", ("update", DOC[0], False, False)),
        ("replace", "fail", ("update", DOC[0], False, True)),
        ("keepExisting", "insert", ("update", {"$setOnInsert": DOC[0]}, True, False)),
        ("fail", "insert", ("insert", None, False, False)),
        ("merge", "discard", ("update", {"$set": {"a": 5}}, False, False)),
        ("merge", "fail", ("update", {"$set": {"a": 5}}, False, True)),
        ([{"$set": {"x": 1}}], "insert", ("update", [{"$set": {"x": 1}}], True, False)),
        ([{"$set": {"x": 1}}], "discard", ("update", [{"$set": {"x": 1}}], False, False)),
    ],
)
def test_merge_modes(matched: Any, not_matched: str, expected: tuple[Any, ...]) -> None:
    (one,) = merged({"into": "t", "whenMatched": matched, "whenNotMatched": not_matched}, *DOC)
    assert (one.kind, one.update, one.upsert, one.must_match) == expected


def test_merge_on_other_fields_and_with_variables() -> None:
    spec = {
        "into": {"db": "other", "coll": "t"}, "on": ["a", "b.c"],
        "whenMatched": [{"$set": {"n": {"$add": ["$$x", "$$top"]}}}],
        "let": {"x": "$a", "top": "$$k"},
    }  # fmt: skip
    (one,) = merged(spec, {"_id": 1, "a": 5, "b": {"c": 6}}, let={"k": 9})
    assert one.query == {"a": 5, "b.c": 6}
    assert one.constants == {"x": 5, "top": 9}


def test_merge_makes_missing_ids() -> None:
    (one,) = merged("t", {"a": 5})
    assert list(one.document) == ["_id", "a"]
    assert one.query == {"_id": one.document["_id"]}


def test_targets() -> None:
    stage: Any = compiled({"$merge": {"into": {"db": "x", "coll": "y"}}}).writes
    assert isinstance(stage.target, MergeTarget)
    assert (stage.target.database, stage.target.collection) == ("x", "y")
    stage = compiled({"$merge": {"into": {"coll": "y"}}}).writes
    assert (stage.target.database, stage.target.collection) == ("db", "y")
    stage = compiled({"$out": {"db": "x", "coll": "y", "timeseries": {"timeField": "t"}}}).writes
    assert stage.target.time_series == {"timeField": "t"}
    assert compiled({"$match": {}}).writes is None


def test_out_hands_over_everything() -> None:
    one = Case("out", DOC * 3, [{"$out": "t"}], [])
    world = make_world(one)
    run_compiled(compile_case(one, world), one.docs, world=world, batch=2)
    ((target, docs),) = world.written
    assert (target.database, target.collection, docs) == ("db", "t", DOC * 3)


def merge_error(code: int, spec: Any, docs: list[Doc] | None = None) -> Case:
    return case(M, DOC if docs is None else docs, [{"$merge": spec}], Fails(code))


ERRORS = [
    merge_error(51182, 5),
    merge_error(40414, {}),
    merge_error(40415, {"into": "t", "x": 1}),
    merge_error(51178, {"into": 5}),
    merge_error(40414, {"into": {"db": "x"}}),
    merge_error(73, ""),
    merge_error(51186, {"into": "t", "on": 5}),
    merge_error(51187, {"into": "t", "on": []}),
    merge_error(51134, {"into": "t", "on": [5]}),
    merge_error(31465, {"into": "t", "on": ["a", "a"]}),
    merge_error(51191, {"into": "t", "whenMatched": 5}),
    merge_error(2, {"into": "t", "whenMatched": "x"}),
    merge_error(2, {"into": "t", "whenNotMatched": "x"}),
    merge_error(51181, {"into": "t", "whenMatched": "fail", "whenNotMatched": "discard"}),
    merge_error(51181, {"into": "t", "whenMatched": "keepExisting", "whenNotMatched": "fail"}),
    merge_error(51199, {"into": "t", "let": {"x": 1}}),
    merge_error(72, {"into": "t", "whenMatched": [{"$match": {}}]}),
    merge_error(17276, {"into": "t", "let": {"x": 1}, "whenMatched": [{"$set": {"a": "$$y"}}]}),
    merge_error(51132, {"into": "t", "on": "z"}),
    merge_error(51132, {"into": "t", "on": "z"}, [{"_id": 1, "z": None}]),
    merge_error(51185, {"into": "t", "on": "z"}, [{"_id": 1, "z": [1]}]),
    merge_error(51132, {"into": "t", "on": "z.y"}, [{"_id": 1, "z": [{"y": 1}]}]),
    case("out", DOC, [{"$out": 5}], Fails(16990)),
    case("out", DOC, [{"$out": {"db": "x"}}], Fails(40414)),
    case("out", DOC, [{"$out": {"db": "x", "coll": "y", "z": 1}}], Fails(40415)),
    case("out", DOC, [{"$out": {"db": "x", "coll": "y", "timeseries": {}}}], Fails(40414)),
    case("out", DOC, [{"$out": ""}], Fails(73)),
]
N = "geoNear"
PLACES: list[Doc] = [
    {"_id": 1, "name": "Central Park", "loc": {"type": "Point", "coordinates": [-73.97, 40.77]}},
    {
        "_id": 2,
        "name": "Roosevelt Park",
        "loc": {"type": "Point", "coordinates": [-73.9928, 40.7193]},
    },
    {
        "_id": 3,
        "name": "Polo Grounds",
        "loc": {"type": "Point", "coordinates": [-73.9375, 40.8303]},
    },
    {"_id": 4, "name": "nowhere"},
]
NEAR: Doc = {"near": {"type": "Point", "coordinates": [-73.99279, 40.719296]}, "distanceField": "d"}


def near(expected: Any, *then: Doc, **spec: Any) -> Case:
    found = {**NEAR, **spec}
    found = {name: value for name, value in found.items() if value != "absent"}
    return case(N, PLACES, [{"$geoNear": found}, *then], expected)


IDS = {"$project": {"_id": 1}}
FLAT = [{"_id": n, "loc": [n, 0]} for n in (3, 1, 2)]
NEAREST = [
    near([{"_id": 2}, {"_id": 1}, {"_id": 3}], IDS),
    near([{"_id": 2}], {"$match": {"d": {"$lt": 2}}}, IDS),
    near([{"_id": 2}], IDS, maxDistance=2),
    near([{"_id": 1}, {"_id": 3}], IDS, minDistance=2),
    near([{"_id": 1}], IDS, query={"name": "Central Park"}),
    near([{"_id": 1}, {"_id": 3}], {"$skip": 1}, IDS),
    near(
        [{"_id": 2, "l": [-73.9928, 40.7193]}],
        {"$limit": 1},
        {"$project": {"l": "$x.l.coordinates"}},
        includeLocs="x.l",
        key="loc",
    ),
    near([{"_id": 2}], {"$limit": 1}, IDS, distanceMultiplier=0.001),
    case(
        N,
        FLAT,
        [{"$geoNear": {"near": [0, 0], "distanceField": "d"}}],
        [{"_id": n, "loc": [n, 0], "d": float(n)} for n in (1, 2, 3)],
    ),
    case(
        N,
        FLAT,
        [
            {"$geoNear": {"near": "$$p", "distanceField": "d.x", "distanceMultiplier": 2}},
            {"$limit": 1},
        ],
        [{"_id": 3, "loc": [3, 0], "d": {"x": 2.0}}],
        let={"p": [4, 0]},
    ),
    case(N, [], [{"$geoNear": 1}], Fails(10065)),
    near(Fails(5860400), near="absent"),
    near(Fails(5860401), near=5),
    near(Fails(16606), distanceField="absent"),
    near(Fails(16606), distanceField=5),
    near(Fails(16410), distanceField="$d"),
    near(Fails(2), maxDistance=-1),
    near(Fails(14), maxDistance="x"),
    near(Fails(2), minDistance=-1),
    near(Fails(14), query=5),
    near(Fails(14), distanceMultiplier="x"),
    near(Fails(2), distanceMultiplier=-1),
    near(Fails(16607), includeLocs=5),
    near(Fails(14), key=5),
    near(Fails(2), key=""),
    near(Fails(2), x=5),
    near(Fails(50858), limit=5),
    near(Fails(50857), num=5),
    near(Fails(50856), start=5),
    near(Fails(40227), collation={}),
]


@pytest.mark.parametrize("one", params(ERRORS + NEAREST))
def test_case(one: Case) -> None:
    check(one)


def test_distances_in_metres() -> None:
    found = run_case(Case(N, PLACES, [{"$geoNear": NEAR}], []))
    assert [round(doc["d"]) for doc in found] == [1, 5955, 13182] or found[1]["d"] == pytest.approx(
        5951, rel=0.01
    )


# Sources


@pytest.mark.parametrize(
    ("name", "spec", "collection"),
    [
        ("$collStats", {"storageStats": {"scale": 1024}, "count": {}}, "c"),
        ("$currentOp", {"allUsers": True, "idleSessions": True}, None),
        ("$indexStats", {}, "c"),
        ("$listLocalSessions", {"users": []}, None),
        ("$listSessions", {}, "system.sessions"),
        ("$planCacheStats", {}, "c"),
        ("$queryStats", {}, None),
        ("$shardedDataDistribution", {}, None),
    ],
)
def test_sources_come_from_the_server(name: str, spec: Doc, collection: str | None) -> None:
    world = World()
    world.sources[name] = [{"n": 2}, {"n": 1}]
    stages = [{name: spec}, {"$sort": {"n": 1}}]
    database = "config" if name == "$listSessions" else "db"
    pipeline = compile_pipeline(stages, CompileContext(), database=database, collection=collection)
    assert pipeline.source_stage is not None
    assert run_compiled(pipeline, [], world=world) == [{"n": 1}, {"n": 2}]


SOURCE_ERRORS = [
    case("source", [], [{"$collStats": 1}], Fails(40166)),
    case("source", [], [{"$collStats": {"x": {}}}], Fails(40415)),
    case("source", [], [{"$collStats": {"latencyStats": 1}}], Fails(14)),
    case("source", [], [{"$indexStats": {"x": 1}}], Fails(28803)),
    case("source", [], [{"$currentOp": 1}], Fails(9), collection=None),
    case("source", [], [{"$currentOp": {"allUsers": 1}}], Fails(14), collection=None),
    case("source", [], [{"$currentOp": {}}], Fails(73)),
    case("source", [], [{"$listSessions": {"users": 1}}], Fails(14)),
    case("source", [], [{"$changeStreamSplitLargeEvent": {"x": 1}}], Fails(7182800)),
]


@pytest.mark.parametrize("one", params(SOURCE_ERRORS))
def test_source_errors(one: Case) -> None:
    check(one)


def test_large_events_are_split() -> None:
    event = {
        "_id": {"_data": "t"},
        "operationType": "update",
        "a": "x" * 1500,
        "b": "y" * 1700,
        "c": 1,
    }
    stage = SplitLargeEventStage(limit_bytes=3000)
    small = {"_id": {"_data": "u"}, "c": 1}
    parts = stage.transform([small, event], {})
    assert parts[0] is small
    assert [part["splitEvent"] for part in parts[1:]] == [
        {"fragment": 1, "of": 2}, {"fragment": 2, "of": 2},
    ]  # fmt: skip
    joined = {name: value for part in parts[1:] for name, value in part.items()}
    assert {name: joined[name] for name in ("operationType", "a", "b", "c")} == {
        name: event[name] for name in ("operationType", "a", "b", "c")
    }
    with pytest.raises(MongoError) as caught:
        SplitLargeEventStage(limit_bytes=2500).transform([event], {})
    assert caught.value.code == 7182500


# Metadata


def with_meta(pipeline: list[Doc], **options: Any) -> list[Doc]:
    docs = [{"_id": 1, "t": "a"}, {"_id": 2, "t": "b"}, {"_id": 3, "t": "c"}]
    metas = [{"textScore": score} for score in (0.5, 1.5, 1.0)]

    async def source() -> Any:
        yield MetaBatch(docs[:2], metas[:2])
        yield MetaBatch(docs[2:], metas[2:])

    compiled_ = compile_pipeline(pipeline, CompileContext(), database="db", collection="c")
    run = Run(World(), make_env(NOW), **options)

    async def drive() -> list[Doc]:
        return [doc async for batch in compiled_.run(source(), run) for doc in batch]

    return asyncio.run(drive())


SCORE = {"$meta": "textScore"}


@pytest.mark.parametrize(
    ("pipeline", "expected"),
    [
        ([{"$project": {"s": SCORE}}], [(1, 0.5), (2, 1.5), (3, 1.0)]),
        ([{"$sort": {"s": SCORE}}, {"$project": {"s": SCORE}}], [(2, 1.5), (3, 1.0), (1, 0.5)]),
        ([{"$sort": {"s": SCORE}}, {"$limit": 2}, {"$set": {"s": SCORE}}], [(2, 1.5), (3, 1.0)]),
        ([{"$match": {"t": {"$ne": "b"}}}, {"$set": {"s": SCORE}}], [(1, 0.5), (3, 1.0)]),
        ([{"$sort": {"t": -1}}, {"$set": {"s": SCORE}}], [(3, 1.0), (2, 1.5), (1, 0.5)]),
        ([{"$skip": 1}, {"$set": {"s": SCORE}}], [(2, 1.5), (3, 1.0)]),
        (
            [{"$match": {"$expr": {"$gte": [SCORE, 1]}}}, {"$set": {"s": SCORE}}],
            [(2, 1.5), (3, 1.0)],
        ),
        ([{"$group": {"_id": "$_id", "s": {"$max": SCORE}}}], [(1, 0.5), (2, 1.5), (3, 1.0)]),
        ([{"$group": {"_id": 9, "s": {"$sum": SCORE}}}], [(9, 3.0)]),
        (
            [{"$setWindowFields": {"sortBy": {"_id": -1}, "output": {"s": {"$max": SCORE}}}}],
            [(3, 1.5), (2, 1.5), (1, 1.5)],
        ),
        (
            [
                {"$setWindowFields": {"sortBy": {"_id": -1}, "output": {"n": {"$count": {}}}}},
                {"$set": {"s": SCORE}},
            ],
            [(3, 1.0), (2, 1.5), (1, 0.5)],
        ),
        (
            [{"$lookup": {"from": "x", "pipeline": [], "as": "j"}}, {"$set": {"s": SCORE}}],
            [(1, 0.5), (2, 1.5), (3, 1.0)],
        ),
        (
            [{"$sample": {"size": 3}}, {"$set": {"s": SCORE}}, {"$sort": {"_id": 1}}],
            [(1, 0.5), (2, 1.5), (3, 1.0)],
        ),
    ],
)
def test_metadata_follow_their_documents(pipeline: list[Doc], expected: list[Any]) -> None:
    assert [(doc["_id"], doc["s"]) for doc in with_meta(pipeline)] == expected
    spilled = with_meta(pipeline, memory_bytes=1)
    assert [(doc["_id"], doc["s"]) for doc in spilled] == expected


# What a server reads of a pipeline


def test_leading_match_sort_and_limit() -> None:
    leading = compiled(
        {"$sort": {"a": 1}},
        {"$match": {"b": 2}},
        {"$project": {"a": 1}},
        {"$skip": 3},
        {"$limit": 4},
    ).leading()
    assert leading.match.spec == {"b": 2}
    assert leading.sort.sorter.spec == {"a": 1}
    assert (leading.after_match, leading.after_sort, leading.limit) == (1, 2, 7)


@pytest.mark.parametrize(
    ("stages", "limit"),
    [
        ([{"$limit": 5}], 5),
        ([{"$skip": 2}, {"$limit": 5}], 7),
        ([{"$match": {"a": 1}}, {"$set": {"b": 1}}, {"$limit": 5}], 5),
        ([{"$unwind": "$a"}, {"$limit": 5}], None),
        ([{"$group": {"_id": "$a"}}, {"$limit": 5}], None),
        ([{"$setWindowFields": {"output": {"n": {"$count": {}}}}}, {"$limit": 5}], None),
        ([{"$set": {"b": 1}}, {"$sort": {"b": 1}}, {"$limit": 5}], None),
        ([{"$lookup": {"from": "x", "pipeline": [], "as": "j"}}, {"$limit": 5}], 5),
    ],
)
def test_how_much_of_the_source_is_looked_at(stages: list[Doc], limit: int | None) -> None:
    assert compiled(*stages).leading().limit == limit


@pytest.mark.parametrize(
    ("stages", "paths"),
    [
        ([{"$match": {"a": 1}}], None),
        ([{"$match": {"a": 1}}, {"$group": {"_id": None, "n": {"$sum": 1}}}], {"a"}),
        ([{"$count": "n"}], set()),
        ([{"$group": {"_id": "$a.b", "x": {"$sum": "$c"}}}], {"a.b", "c"}),
        ([{"$group": {"_id": "$a", "x": {"$push": "$$ROOT"}}}], None),
        ([{"$sort": {"s": 1}}, {"$project": {"a": 1}}], {"_id", "a", "s"}),
        ([{"$project": {"x": {"$add": ["$p", "$q"]}}}], {"_id", "p", "q"}),
        ([{"$replaceWith": "$a"}], {"a"}),
        ([{"$unwind": "$t"}, {"$sortByCount": "$t"}], {"t"}),
        ([{"$bucket": {"groupBy": "$v", "boundaries": [0, 1]}}], {"v"}),
        ([{"$bucketAuto": {"groupBy": "$v", "buckets": 1}}], {"v"}),
        ([{"$facet": {"a": [{"$count": "n"}], "b": [{"$group": {"_id": "$k"}}]}}], {"k"}),
        ([{"$facet": {"a": [{"$limit": 1}]}}], None),
        (
            [{"$group": {"_id": None, "t": {"$top": {"output": "$o", "sortBy": {"s": 1}}}}}],
            {"o", "s"},
        ),
    ],
)
def test_paths_needed_of_the_source(stages: list[Doc], paths: set[str] | None) -> None:
    found = compiled(*stages).paths
    assert found == (None if paths is None else frozenset(paths))


@pytest.mark.parametrize(
    ("given", "optimised"),
    [
        (
            [{"$match": {"a": 1}}, {"$match": {"b": 2}}],
            [{"$match": {"$and": [{"a": 1}, {"b": 2}]}}],
        ),
        ([{"$match": {}}], []),
        ([{"$sort": {"a": 1}}, {"$match": {"b": 2}}], [{"$match": {"b": 2}}, {"$sort": {"a": 1}}]),
        (
            [{"$sort": {"a": 1}}, {"$limit": 5}],
            [{"$sort": {"sortKey": {"a": 1}, "limit": Int64(5)}}],
        ),
        ([{"$limit": 5}, {"$limit": 3}], [{"$limit": Int64(3)}]),
        ([{"$skip": 5}, {"$skip": 3}], [{"$skip": Int64(8)}]),
        ([{"$skip": 5}, {"$limit": 3}], [{"$limit": Int64(8)}, {"$skip": Int64(5)}]),
        (
            [{"$project": {"x": "$a"}}, {"$match": {"x": 1}}],
            [{"$match": {"a": 1}}, {"$project": {"x": "$a"}}],
        ),
        (
            [{"$set": {"x": 1}}, {"$match": {"x": 1, "y": 2}}],
            [{"$match": {"y": 2}}, {"$set": {"x": 1}}, {"$match": {"x": 1}}],
        ),
        (
            [{"$group": {"_id": "$a", "n": {"$sum": 1}}}, {"$match": {"_id": 3, "n": {"$gt": 1}}}],
            [
                {"$match": {"a": 3}},
                {"$group": {"_id": "$a", "n": {"$sum": 1}}},
                {"$match": {"n": {"$gt": 1}}},
            ],
        ),
        (
            [{"$group": {"_id": "$a"}}, {"$match": {"_id": {"$exists": True}}}],
            [{"$group": {"_id": "$a"}}, {"$match": {"_id": {"$exists": True}}}],
        ),
        ([{"$set": {"x": 1}}, {"$set": {"y": 2}}], [{"$set": {"x": 1, "y": 2}}]),
        ([{"$set": {"x": 1}}, {"$set": {"y": "$x"}}], [{"$set": {"x": 1}}, {"$set": {"y": "$x"}}]),
        (
            [{"$sample": {"size": 3}}, {"$match": {"a": 1}}],
            [{"$sample": {"size": Int64(3)}}, {"$match": {"a": 1}}],
        ),
        (
            [{"$unwind": "$a"}, {"$match": {"$sampleRate": 0.5}}],
            [{"$unwind": {"path": "$a"}}, {"$match": {"$sampleRate": 0.5}}],
        ),
    ],
)
def test_explained_stages(given: list[Doc], optimised: list[Doc]) -> None:
    ctx = CompileContext(random=lambda: 0.5)
    assert compile_pipeline(given, ctx, database="db").serialize() == optimised


def test_an_unwound_lookup_is_explained_as_one_stage() -> None:
    spec = {"from": "o", "localField": "a", "foreignField": "b", "as": "j"}
    (stage,) = compiled({"$lookup": spec}, {"$unwind": "$j"}).serialize()
    assert stage == {"$lookup": {**spec, "unwinding": {"preserveNullAndEmptyArrays": False}}}


def test_split_is_explained() -> None:
    split = split_pipeline(compiled({"$match": {"a": 1}}, {"$sort": {"b": 1}}, {"$limit": 3}))
    assert split.shard_pipeline == [{"$match": {"a": 1}}, {"$sort": {"b": 1}}, {"$limit": Int64(3)}]
    assert split.explain()["mergerPart"] == [
        {"$mergeCursors": {"sort": {"b": 1}}},
        {"$limit": Int64(3)},
    ]


@pytest.mark.parametrize(
    ("stages", "on_shards"),
    [
        ([{"$match": {"a": 1}}, {"$set": {"b": 1}}, {"$unwind": "$c"}], 3),
        ([{"$match": {"a": 1}}, {"$lookup": {"from": "x", "pipeline": [], "as": "y"}}], 1),
        ([{"$group": {"_id": "$a"}}, {"$sort": {"_id": 1}}], 1),
        ([{"$facet": {"x": []}}], 0),
        ([{"$skip": 3}, {"$set": {"b": 1}}], 0),
        ([{"$unionWith": "x"}], 0),
        ([{"$out": "x"}], 0),
        ([{"$setWindowFields": {"sortBy": {"a": 1}, "output": {}}}], 0),
        ([{"$collStats": {}}, {"$match": {"a": 1}}], 2),
        ([{"$geoNear": NEAR}, {"$match": {"a": 1}}], 1),
    ],
)
def test_what_shards_run(stages: list[Doc], on_shards: int) -> None:
    assert len(split_pipeline(compiled(*stages)).shard_stages) == on_shards


def test_geo_near_over_shards() -> None:
    one = Case(N, PLACES, [{"$geoNear": NEAR}, IDS], [])
    assert run_split(one, [PLACES[:1], PLACES[1:2], PLACES[2:]]) == [
        {"_id": 2},
        {"_id": 1},
        {"_id": 3},
    ]


def test_places() -> None:
    with pytest.raises(MongoError) as caught:
        compiled({"$match": {}}, {"$out": "x"}, place="view")
    assert caught.value.code == 167
    assert "in location 1" in caught.value.message
    with pytest.raises(MongoError) as caught:
        compiled({"$match": {}}, place="update")
    assert caught.value.code == 72
    compiled({"$set": {"a": 1}}, {"$unset": "b"}, {"$replaceWith": "$$ROOT"}, place="update")


def test_transactions() -> None:
    compiled({"$match": {}}, {"$group": {"_id": 1}}).check_transaction()
    with pytest.raises(MongoError) as caught:
        compiled({"$out": "x"}).check_transaction()
    assert caught.value.code == 263


def test_stable_api() -> None:
    strict = CompileContext(api_strict=True)
    compile_pipeline([{"$group": {"_id": 1}}], strict, database="db")
    with pytest.raises(MongoError) as caught:
        compile_pipeline([{"$indexStats": {}}], strict, database="db")
    assert caught.value.code == 323


def test_a_pipeline_may_run_many_times() -> None:
    pipeline = compiled(
        {"$sort": {"v": 1}}, {"$limit": 2}, {"$group": {"_id": None, "s": {"$sum": "$v"}}}
    )
    docs = [{"v": value} for value in (5, 3, 9)]
    for _ in range(3):
        assert run_compiled(pipeline, docs) == [{"_id": None, "s": 8}]
    assert MISSING is not None
