"""The router's part of a pipeline: joins by index, scripts, spilling, writing, being stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from agg_cluster import Cluster
from bson.int64 import Int64

from psdb_base.errors import MongoError

Doc = dict[str, Any]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    running = Cluster(3)
    yield running
    running.close()


@pytest.fixture
def spread(cluster: Cluster) -> str:
    """A hashed collection of sixty documents."""
    name = cluster.collection("spread", "hashed")
    cluster.fill(name, [{"_id": n, "a": n % 7, "v": n} for n in range(60)])
    return name


def refused(cluster: Cluster, name: str, pipeline: list[Doc], **options: Any) -> int:
    with pytest.raises(MongoError) as caught:
        cluster.aggregate(name, pipeline, **options)
    return caught.value.code


# Joins


CI = {"locale": "en", "strength": 1}
JOINS: list[Doc] = [
    {"$lookup": {"from": "FROM", "localField": "k", "foreignField": "k", "as": "m"}},
    {"$graphLookup": {
        "from": "FROM", "startWith": "$k", "connectFromField": "x", "connectToField": "k",
        "as": "m"}},
    {"$lookup": {"from": "FROM", "let": {"v": "$k"}, "as": "m", "pipeline": [
        {"$match": {"$expr": {"$eq": ["$k", "$$v"]}}}]}},
]  # fmt: skip


@pytest.mark.parametrize("kind", ["", "hashed"])
@pytest.mark.parametrize("indexed", ["", "binary", "own"])
@pytest.mark.parametrize("join", JOINS, ids=["lookup", "graph", "pipeline"])
def test_a_join_uses_only_an_index_of_its_collation(
    cluster: Cluster, kind: str, indexed: str, join: Doc
) -> None:
    name = cluster.collection(f"joined{indexed}", kind)
    cluster.fill(name, [{"_id": 1, "k": "A"}, {"_id": 2, "k": "a"}, {"_id": 3, "k": "b"}])
    if indexed:
        cluster.index(name, {"k": 1}, **({"collation": CI} if indexed == "own" else {}))
    source = cluster.collection("local", "")
    cluster.fill(source, [{"_id": 1, "k": "a"}])
    (stage,) = join
    pipeline = [{stage: {**join[stage], "from": name}}]
    found = {}
    for collation in (CI, {"locale": "simple"}):
        (doc,) = cluster.aggregate(source, pipeline, collation=collation)
        found[collation["locale"]] = sorted(one["_id"] for one in doc["m"])
    assert found == {"en": [1, 2], "simple": [2]}


def test_a_join_is_not_ruled_by_the_foreign_collections_collation(cluster: Cluster) -> None:
    cluster.command({"create": "folded", "collation": CI})
    cluster.command({"insert": "folded", "documents": [{"_id": "A"}, {"_id": "b"}]})
    source = cluster.collection("local2", "hashed")
    cluster.fill(source, [{"_id": "a"}, {"_id": "b"}])
    lookup = {"from": "folded", "localField": "_id", "foreignField": "_id", "as": "m"}
    found = cluster.aggregate(source, [{"$lookup": lookup}, {"$sort": {"_id": 1}}])
    assert [len(doc["m"]) for doc in found] == [0, 1]
    lookup |= {"pipeline": [{"$match": {"_id": "a"}}]}
    del lookup["localField"], lookup["foreignField"]
    found = cluster.aggregate(source, [{"$lookup": lookup}])
    assert [doc["m"] for doc in found] == [[], []]


def test_a_join_without_an_index_reads_the_foreign_collection_once(
    cluster: Cluster, spread: str
) -> None:
    foreign = cluster.collection("wide", "hashed")
    cluster.fill(foreign, [{"_id": n, "k": n} for n in range(1200)])
    cluster.fill(spread, [{"_id": n, "v": n} for n in range(1200)])
    before = _finds(cluster)
    lookup = {"from": foreign, "localField": "v", "foreignField": "k", "as": "m"}
    found = cluster.aggregate(spread, [{"$lookup": lookup}, {"$match": {"m.k": {"$gte": 0}}}])
    assert len(found) == 1200
    assert _finds(cluster) - before == 3


def _finds(cluster: Cluster) -> int:
    return sum(one.operations.counters["query"] for one in cluster.cluster.shards.values())


# Scripts


ACCUMULATOR = {
    "$accumulator": {
        "init": "function(start) { return {n: start, s: 0}; }",
        "initArgs": [0],
        "accumulate": "function(state, v) { return {n: state.n + 1, s: state.s + v}; }",
        "accumulateArgs": ["$v"],
        "merge": "function(one, other) { return {n: one.n + other.n, s: one.s + other.s}; }",
        "finalize": "function(state) { return state.s / state.n; }",
        "lang": "js",
    }
}


@pytest.mark.parametrize("shards", ["three", "behind a stage of the router"])
def test_an_accumulator_of_scripts_is_merged(cluster: Cluster, spread: str, shards: str) -> None:
    pipeline: list[Doc] = [{"$group": {"_id": "$a", "mean": ACCUMULATOR}}, {"$sort": {"_id": 1}}]
    if shards != "three":
        pipeline.insert(0, {"$setWindowFields": {"output": {"all": {"$sum": "$v"}}}})
    found = cluster.aggregate(spread, pipeline)
    expected = []
    for a in range(7):
        values = [n for n in range(60) if n % 7 == a]
        expected.append({"_id": a, "mean": sum(values) / len(values)})
    assert found == expected


def test_a_group_of_one_shard_alone_is_finished_by_scripts(cluster: Cluster) -> None:
    name = cluster.collection("ranged", "ranged")
    cluster.fill(name, [{"_id": n, "v": n} for n in range(2)])  # the others have nothing
    (found,) = cluster.aggregate(name, [{"$group": {"_id": None, "mean": ACCUMULATOR}}])
    assert found == {"_id": None, "mean": 0.5}


def test_functions_run_on_the_shards_and_on_the_router(cluster: Cluster, spread: str) -> None:
    def double(field: str) -> Doc:
        return {"$function": {
            "body": "function(v) { return v * 2; }", "args": [field], "lang": "js"}}

    found = cluster.aggregate(spread, [
        {"$match": {"$expr": {"$lt": [double("$v"), 60]}}},
        {"$set": {"d": double("$v")}},
        {"$group": {"_id": None, "s": {"$sum": "$d"}}},
        {"$set": {"s2": double("$s")}},
    ])
    assert found == [{"_id": None, "s": 870.0, "s2": 1740.0}]
    assert refused(cluster, spread, [
        {"$group": {"_id": None}},
        {"$set": {"x": {"$function": {
            "body": "function() { throw 'no'; }", "args": [], "lang": "js"}}}},
    ]) == 139


# Memory


BIG = "internalQueryMaxBlockingSortMemoryUsageBytes"


@pytest.fixture
def little_memory(cluster: Cluster) -> Iterator[None]:
    router = cluster.cluster.router
    before = router.parameters[BIG]
    router.parameters.set(BIG, 1000)
    yield
    router.parameters.set(BIG, before)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("stage", [
    {"$group": {"_id": "$v", "n": {"$sum": 1}}},
    {"$bucketAuto": {"groupBy": "$v", "buckets": 60}},
    {"$setWindowFields": {"sortBy": {"v": 1}, "output": {"r": {"$rank": {}}}}},
])  # fmt: skip
def test_the_routers_part_spills(cluster: Cluster, spread: str, stage: Doc) -> None:
    cluster.fill(spread, [{"_id": n, "v": n} for n in range(300)])
    pipeline = [stage, {"$sort": {"_id": 1}}]
    assert len(cluster.aggregate(spread, pipeline, allowDiskUse=True)) in (60, 300)
    assert refused(cluster, spread, pipeline, allowDiskUse=False) in (292, 5643011)


# Writing


def test_out_keeps_what_the_old_collection_was(cluster: Cluster, spread: str) -> None:
    cluster.command({
        "create": "kept", "validator": {"v": {"$gte": 0}}, "collation": CI,
    })
    cluster.command({"createIndexes": "kept", "indexes": [{"key": {"v": 1}, "name": "v_1"}]})
    assert cluster.aggregate(spread, [{"$out": "kept"}]) == []
    assert cluster.command({"count": "kept"})["n"] == len(cluster.documents(spread))
    (row,) = cluster.command(
        {"listCollections": 1, "filter": {"name": "kept"}}
    )["cursor"]["firstBatch"]
    assert row["options"]["validator"] == {"v": {"$gte": 0}}
    assert row["options"]["collation"]["strength"] == 1
    listed = cluster.command({"listIndexes": "kept"})["cursor"]["firstBatch"]
    assert [one["name"] for one in listed] == ["_id_", "v_1"]
    wrong: list[Doc] = [{"$set": {"v": -1}}, {"$out": "kept"}]
    assert refused(cluster, spread, wrong) == 121
    assert cluster.aggregate(spread, wrong, bypassDocumentValidation=True) == []
    assert cluster.command({"count": "kept", "query": {"v": -1}})["n"] > 0


@pytest.mark.parametrize("source", ["spread", "alone"])
def test_merge_validates_unless_told_not_to(cluster: Cluster, spread: str, source: str) -> None:
    name = spread if source == "spread" else "alone"
    cluster.fill(name, [{"_id": 1, "v": 1}])
    target = f"strict_{source}"
    cluster.command({"create": target, "validator": {"v": {"$gte": 2}}})
    assert refused(cluster, name, [{"$merge": target}]) == 121
    for stage in ({"$merge": target}, {"$out": target}):
        assert cluster.aggregate(name, [stage], bypassDocumentValidation=True) == []
        assert cluster.documents(target) == [{"_id": 1, "v": 1}]
    assert refused(cluster, name, [{"$out": target}]) == 121


def test_out_to_a_time_series_collection(cluster: Cluster, spread: str) -> None:
    at = {"$add": [{"$toDate": Int64(0)}, "$v"]}
    series = {"timeField": "at", "metaField": "m"}
    stage = {"$out": {"db": "db", "coll": "series", "timeseries": series}}
    pipeline: list[Doc] = [{"$project": {"at": at, "m": "$a"}}, stage]
    for _ in range(2):
        assert cluster.aggregate(spread, pipeline) == []
    (row,) = cluster.command(
        {"listCollections": 1, "filter": {"name": "series"}}
    )["cursor"]["firstBatch"]
    assert row["type"] == "timeseries"
    assert len(cluster.documents("series")) == len(cluster.documents(spread))
    other = {"$out": {"db": "db", "coll": "series", "timeseries": {"timeField": "t"}}}
    assert refused(cluster, spread, [other]) == 7406103
    cluster.command({"create": "ordinary"})
    other = {"$out": {"db": "db", "coll": "ordinary", "timeseries": series}}
    assert refused(cluster, spread, [other]) == 7268700


def test_out_refuses_capped_collections_views_and_sharded_ones(
    cluster: Cluster, spread: str
) -> None:
    cluster.command({"create": "ring", "capped": True, "size": 4096})
    cluster.command({"create": "seen", "viewOn": "ring", "pipeline": []})
    assert refused(cluster, spread, [{"$out": "ring"}]) == 17152
    assert refused(cluster, spread, [{"$out": "seen"}]) == 166
    assert refused(cluster, spread, [{"$out": spread}]) == 28769


@pytest.mark.parametrize("source", ["spread", "alone"])
def test_merge_demands_a_match(cluster: Cluster, spread: str, source: str) -> None:
    name = spread if source == "spread" else "alone"
    cluster.fill(name, [{"_id": 1}])
    stage = {"$merge": {"into": f"empty_{source}", "whenNotMatched": "fail"}}
    assert refused(cluster, name, [stage]) == 13113


@pytest.mark.parametrize("source", ["spread", "alone"])
def test_merge_leaves_ids_alone(cluster: Cluster, spread: str, source: str) -> None:
    name = spread if source == "spread" else "alone"
    cluster.fill(name, [{"_id": 1, "k": 7}])
    target = f"keyed_{source}"
    cluster.command({"insert": target, "documents": [{"_id": 2, "k": 7}]})
    cluster.index(target, {"k": 1}, unique=True)
    for matched in ("replace", "merge"):
        stage = {"$merge": {"into": target, "on": "k", "whenMatched": matched}}
        with pytest.raises(MongoError, match="did you attempt to modify the _id") as caught:
            cluster.aggregate(name, [stage])
        assert caught.value.code == 66
    without: list[Doc] = [{"$unset": "_id"}, {"$set": {"n": 1}}, {"$merge": {
        "into": target, "on": "k"}}]
    if source == "alone":
        assert refused(cluster, name, without) == 66
    assert cluster.documents(target) == [{"_id": 2, "k": 7}]


def test_large_events_are_split_in_change_streams_only(cluster: Cluster, spread: str) -> None:
    assert refused(cluster, spread, [{"$changeStreamSplitLargeEvent": {}}]) == 20
    assert refused(cluster, "alone", [{"$changeStreamSplitLargeEvent": {}}]) == 20


# Being stopped


MANY: list[Doc] = [{"$documents": {"$map": {
    "input": {"$range": [0, 100_000]}, "in": {"_id": "$$this"}}}}]  # fmt: skip
LONG = [
    pytest.param([*MANY, {"$merge": "sink_hashed"}], id="merge"),
    pytest.param([*MANY, {"$lookup": {
        "from": "sink_hashed", "localField": "_id", "foreignField": "_id", "as": "m"}},
        {"$out": "sink2"}], id="out"),
]  # fmt: skip


@pytest.fixture
def sink(cluster: Cluster) -> str:
    name = cluster.collection("sink", "hashed")
    cluster.fill(name, [{"_id": -n} for n in range(1, 20)])
    return name


@pytest.mark.usefixtures("sink")
@pytest.mark.parametrize("pipeline", LONG)
def test_a_pipeline_that_writes_on_the_router_can_be_killed(
    cluster: Cluster, pipeline: list[Doc]
) -> None:
    operations = cluster.cluster.router.operations

    async def scenario() -> int:
        command = {"aggregate": 1, "pipeline": pipeline, "cursor": {}, "comment": "long"}
        running = asyncio.ensure_future(cluster.channel.command("db", command))
        shown: list[Doc] = []
        async with asyncio.timeout(60):
            while not any(op.yields for op in operations.running.values()):
                assert not running.done()
                await asyncio.sleep(0)
            rows = await cluster.channel.command("admin", {"currentOp": 1})
            shown = [row for row in rows["inprog"] if row["command"].get("comment") == "long"]
            mine = [row["opid"] for row in shown if type(row["opid"]) is int]
            assert len(mine) == 1, shown
            await cluster.channel.command("admin", {"killOp": 1, "op": mine[0]})
            with pytest.raises(MongoError) as caught:
                await running
        return caught.value.code

    assert cluster.run(scenario()) == 11601
    assert operations.running == {}


@pytest.mark.usefixtures("sink")
@pytest.mark.parametrize("pipeline", LONG)
def test_a_pipeline_that_writes_on_the_router_has_a_time_limit(
    cluster: Cluster, pipeline: list[Doc]
) -> None:
    with pytest.raises(MongoError) as caught:
        cluster.command({
            "aggregate": 1, "pipeline": pipeline, "cursor": {}, "maxTimeMS": Int64(150),
        })
    assert caught.value.code == 50
    names = cluster.command({"listCollections": 1, "nameOnly": True})["cursor"]["firstBatch"]
    assert not [row for row in names if row["name"].startswith("tmp.agg_out")]


def test_waiting_for_a_shard_ends_with_the_time_limit(cluster: Cluster, spread: str) -> None:
    """The shards' work is cut short, too, and leaves no cursor."""
    cluster.fill(spread, [{"_id": n, "v": n} for n in range(60)])
    slow = {"$expr": {"$function": {
        "body": "function() { for (let i = 0; i < 3e6; i++) {} return true; }", "args": [],
        "lang": "js"}}}
    with pytest.raises(MongoError) as caught:
        cluster.command({
            "aggregate": spread, "pipeline": [{"$match": slow}, {"$group": {"_id": None}}],
            "cursor": {}, "maxTimeMS": Int64(200),
        })
    assert caught.value.code == 50
    for member in cluster.cluster.shards.values():
        assert not member.cursors.open


def test_a_cursor_of_the_router_keeps_its_time_limit(cluster: Cluster, spread: str) -> None:
    cluster.fill(spread, [{"_id": n, "v": n} for n in range(60)])
    reply = cluster.command({
        "aggregate": spread, "pipeline": [{"$sort": {"v": 1}}], "cursor": {"batchSize": 2},
        "maxTimeMS": Int64(60_000),
    })
    cursor = cluster.cluster.router.cursors.open[reply["cursor"]["id"]]
    assert cursor.seconds_left is not None
    cursor.seconds_left = 0.0
    with pytest.raises(MongoError) as caught:
        cluster.command({"getMore": reply["cursor"]["id"], "collection": spread})
    assert caught.value.code == 50


@pytest.mark.parametrize("stage", [
    {"$out": {"db": "far", "coll": "made"}}, {"$merge": {"into": {"db": "far", "coll": "made"}}},
])  # fmt: skip
def test_writing_into_a_database_on_another_shard(cluster: Cluster, stage: Doc) -> None:
    cluster.fill("near", [{"_id": n} for n in range(5)])
    cluster.command({"insert": "made", "documents": [{"_id": 77}]}, "far")
    home = {one["_id"]: one["primary"] for one in _databases(cluster)}
    other = next(f"shard{n}" for n in range(3) if f"shard{n}" != home["db"])
    cluster.command({"movePrimary": "far", "to": other}, "admin")
    assert cluster.aggregate("near", [stage]) == []
    found = cluster.command({"find": "made", "sort": {"_id": 1}}, "far")["cursor"]["firstBatch"]
    assert [doc["_id"] for doc in found] == [0, 1, 2, 3, 4] + [77] * ("$merge" in stage)
    cluster.command({"dropDatabase": 1}, "far")


def _databases(cluster: Cluster) -> list[Doc]:
    found: list[Doc] = cluster.command({"find": "databases"}, "config")["cursor"]["firstBatch"]
    return found
