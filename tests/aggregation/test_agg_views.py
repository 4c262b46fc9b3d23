"""Reads of views, and stages about collections, on one shard and over three."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from agg_cluster import Cluster

from psdb_base.errors import MongoError

Doc = dict[str, Any]
CI = {"locale": "en", "strength": 1}


@pytest.fixture(scope="module", params=["", "hashed"], ids=["unsharded", "sharded"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    running = Cluster(3 if request.param else 1)
    base = running.collection("base", request.param)
    running.fill(base, [
        {"_id": n, "a": n % 3, "s": "Aab"[n % 3], "t": [n % 2, "x"], "q": {"z": [{"y": n % 4}]}}
        for n in range(12)
    ] + [{"_id": 99, "a": 1, "t": None}])
    running.command({"create": "v", "viewOn": base, "pipeline": [{"$match": {"a": {"$gt": 0}}}]})
    running.command({"create": "v2", "viewOn": "v", "pipeline": [{"$unset": "t"}]})
    for name, stage in (
        ("joining", {"$lookup": {"from": base, "localField": "a", "foreignField": "a", "as": "m"}}),
        ("uniting", {"$unionWith": {"coll": "v", "pipeline": [{"$match": {"a": 2}}]}}),
    ):
        running.command({"create": name, "viewOn": "few", "pipeline": [stage]})
    running.command({"insert": "few", "documents": [{"_id": 1, "a": 1}, {"_id": 2, "a": 7}]})
    running.command({"create": "folded", "viewOn": base, "pipeline": [], "collation": CI})
    yield running
    running.close()


@pytest.mark.parametrize(("options", "n"), [
    ({}, 9), ({"skip": 2}, 7), ({"limit": 3}, 3), ({"skip": 7, "limit": 4}, 2), ({"limit": -2}, 2),
    ({"query": {"a": 1}, "limit": 0}, 5), ({"query": {"a": 1}, "skip": 9}, 0),
])  # fmt: skip
def test_count(cluster: Cluster, options: Doc, n: int) -> None:
    assert cluster.command({"count": "v", **options})["n"] == n


@pytest.mark.parametrize(("view", "key", "values"), [
    ("v", "a", [1, 2]), ("v", "t", [None, 0, 1, "x"]), ("v", "q.z.y", [0, 1, 2, 3]),
    ("v2", "q.z.y", [0, 1, 2, 3]), ("v2", "t", []), ("v", "q.z", [{"y": y} for y in range(4)]),
])  # fmt: skip
def test_distinct(cluster: Cluster, view: str, key: str, values: list[Any]) -> None:
    assert cluster.command({"distinct": view, "key": key})["values"] == values


def test_a_views_collation_rules_what_reads_it(cluster: Cluster) -> None:
    values = cluster.command({"distinct": "folded", "key": "s"})["values"]
    assert [value.lower() for value in values] == ["a", "b"]
    assert cluster.command({"count": "folded", "query": {"s": "a"}})["n"] == 8
    found = cluster.aggregate("folded", [{"$match": {"s": "A"}}, {"$count": "n"}], collation=CI)
    assert found == [{"n": 8}]


@pytest.mark.parametrize("command", [
    {"count": "folded"}, {"distinct": "folded", "key": "s"}, {"find": "folded"},
    {"aggregate": "folded", "pipeline": [], "cursor": {}},
])  # fmt: skip
def test_another_collation_is_refused(cluster: Cluster, command: Doc) -> None:
    for collation in ({"locale": "fr"}, {"locale": "simple"}):
        with pytest.raises(MongoError, match="a view's default collation") as caught:
            cluster.command({**command, "collation": collation})
        assert caught.value.code == 167


def test_a_joined_view_has_the_pipelines_collation(cluster: Cluster) -> None:
    source = cluster.collection("one", "")
    cluster.fill(source, [{"_id": 1, "s": "a"}])
    join = {"$lookup": {"from": "folded", "localField": "s", "foreignField": "s", "as": "m"}}
    with pytest.raises(MongoError) as caught:
        cluster.aggregate(source, [join])
    assert caught.value.code == 167
    (doc,) = cluster.aggregate(source, [join], collation=CI)
    assert len(doc["m"]) == 8


@pytest.mark.parametrize("source", ["few", "base"])
def test_views_over_many_shards_are_joined_whole(cluster: Cluster, source: str) -> None:
    name = next(c for c in ("base_hashed", "base") if c in cluster.ready)
    name = "few" if source == "few" else name
    one: list[Doc] = [{"$match": {"_id": 1}}, {"$set": {"a": 1}}]
    joined = {"from": "v", "localField": "a", "foreignField": "a", "as": "m"}
    (doc,) = cluster.aggregate(name, [*one, {"$lookup": joined}])
    assert sorted(found["_id"] for found in doc["m"]) == [1, 4, 7, 10, 99]
    (doc,) = cluster.aggregate(name, [*one, {"$lookup": {
        "from": "v", "as": "m", "pipeline": [{"$count": "n"}]}}])
    assert doc["m"] == [{"n": 9}]
    assert cluster.aggregate(name, [*one, {"$unionWith": "v2"}, {"$count": "n"}]) == [{"n": 10}]
    (doc,) = cluster.aggregate(name, [*one, {"$graphLookup": {
        "from": "v", "startWith": "$a", "connectFromField": "_id", "connectToField": "a",
        "as": "m"}}])
    assert sorted(found["_id"] for found in doc["m"]) == [1, 4, 7, 10, 99]
    (doc,) = cluster.aggregate(name, [*one, {"$lookup": {"from": "joining", "as": "m", "pipeline": [
        {"$sort": {"_id": 1}}]}}])
    assert [len(found["m"]) for found in doc["m"]] == [5, 0]


def test_views_that_join_many_shards(cluster: Cluster) -> None:
    found = cluster.aggregate("joining", [{"$sort": {"_id": 1}}])
    assert [len(doc["m"]) for doc in found] == [5, 0]
    assert cluster.command({"count": "uniting"})["n"] == 6
    assert cluster.command({"distinct": "uniting", "key": "a"})["values"] == [1, 2, 7]
    batch = cluster.command({"find": "uniting", "filter": {"a": 2}})["cursor"]["firstBatch"]
    assert sorted(doc["_id"] for doc in batch) == [2, 5, 8, 11]
    cluster.command({"create": "twice", "viewOn": "uniting", "pipeline": [{"$match": {"a": 7}}]})
    assert [doc["_id"] for doc in cluster.aggregate("twice", [])] == [2]
    cluster.command({"drop": "twice"})


def test_an_aggregate_of_a_view_needs_a_cursor(cluster: Cluster) -> None:
    with pytest.raises(MongoError) as caught:
        cluster.command({"aggregate": "v", "pipeline": []})
    assert caught.value.code == 9


@pytest.mark.parametrize("stage", [{"$collStats": {"count": {}}}, {"$indexStats": {}}])
def test_stages_about_a_collection(cluster: Cluster, stage: Doc) -> None:
    with pytest.raises(MongoError) as caught:
        cluster.aggregate("v", [stage])
    assert caught.value.code == (166 if "$collStats" in stage else 40602)
    source, about = cluster.collection("one", ""), cluster.collection("told", "")
    cluster.fill(about, [{"_id": n} for n in range(3)])
    cluster.index(about, {"k": 1})
    found = cluster.aggregate(source, [
        {"$lookup": {"from": about, "pipeline": [stage], "as": "m"}}, {"$limit": 1}])
    rows = found[0]["m"] if found else []
    assert [row["count"] for row in rows] == [3] if "$collStats" in stage else (
        [row["name"] for row in rows] == ["_id_", "k"])


@pytest.mark.parametrize(("command", "code"), [
    ({"mapReduce": "v", "map": "function() {}", "reduce": "function() {}", "out": {"inline": 1}},
     166),
    ({"aggregate": "v", "pipeline": [{"$listSessions": {}}], "cursor": {}}, 73),
    ({"aggregate": "base", "pipeline": [{"$listSessions": {}}], "cursor": {}}, 73),
    ({"aggregate": "base", "pipeline": [{"$out": "x"}], "cursor": {},
      "readConcern": {"level": "linearizable"}}, 72),
])  # fmt: skip
def test_refused(cluster: Cluster, command: Doc, code: int) -> None:
    name = next(iter(command))
    if command[name] == "base":
        command = {**command, name: next(c for c in ("base_hashed", "base") if c in cluster.ready)}
    with pytest.raises(MongoError) as caught:
        cluster.command(command)
    assert caught.value.code == code
