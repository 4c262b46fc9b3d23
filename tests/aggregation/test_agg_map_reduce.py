"""`mapReduce` on one shard and over three gives the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from agg_cluster import Cluster

from psdb_base.errors import MongoError

Doc = dict[str, Any]
SUM: Doc = {
    "map": "function() { emit(this.a, this.v); }",
    "reduce": "function(key, values) { return Array.sum(values); }",
}
EXPECTED = [{"_id": float(a), "value": float(sum(range(a, 40, 4)))} for a in range(4)]


@pytest.fixture(scope="module", params=["", "hashed"], ids=["unsharded", "sharded"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    running = Cluster(3 if request.param else 1)
    name = running.collection("numbers", request.param)
    running.fill(name, [{"_id": n, "a": n % 4, "v": n} for n in range(40)])
    running.collection("into", request.param)
    yield running
    running.close()


def run(cluster: Cluster, out: Any, db: str = "db", **options: Any) -> Doc:
    name = next(c for c in ("numbers_hashed", "numbers") if c in cluster.ready)
    return cluster.command({"mapReduce": name, **SUM, "out": out, **options}, db)


def found(cluster: Cluster, name: str, db: str = "db") -> list[Doc]:
    reply = cluster.command({"find": name, "sort": {"_id": 1}}, db)
    docs: list[Doc] = reply["cursor"]["firstBatch"]
    return docs


def test_inline(cluster: Cluster) -> None:
    assert run(cluster, {"inline": 1})["results"] == EXPECTED
    chosen = run(
        cluster, {"inline": 1}, query={"v": {"$gte": 10}}, sort={"v": -1}, limit=8,
        finalize="function(key, value) { return {total: value * factor}; }", scope={"factor": 10},
    )["results"]
    assert chosen == [
        {"_id": float(a), "value": {"total": 10.0 * sum(n for n in range(32, 40) if n % 4 == a)}}
        for a in range(4)
    ]


def test_replace_and_merge_and_reduce(cluster: Cluster) -> None:
    for out in ("made", {"replace": "made"}):
        assert run(cluster, out)["result"] == "made"
        assert found(cluster, "made") == EXPECTED
    cluster.command({"insert": "made", "documents": [{"_id": "old", "value": 1}]})
    run(cluster, {"merge": "made"}, query={"a": 0})
    assert found(cluster, "made") == [*EXPECTED, {"_id": "old", "value": 1}]
    run(cluster, {"reduce": "made"})
    assert found(cluster, "made")[:4] == [
        {"_id": doc["_id"], "value": 2 * doc["value"]} for doc in EXPECTED
    ]


def test_into_a_sharded_collection_and_another_database(cluster: Cluster) -> None:
    into = next(c for c in ("into_hashed", "into") if c in cluster.ready)
    run(cluster, {"merge": into})
    assert sorted(cluster.documents(into), key=lambda doc: doc["_id"]) == EXPECTED
    reply = run(cluster, {"replace": "made", "db": "far"})
    assert reply["result"] == {"db": "far", "collection": "made"}
    assert found(cluster, "made", "far") == EXPECTED
    cluster.command({"dropDatabase": 1}, "far")


@pytest.mark.parametrize(("options", "code"), [
    ({"out": 5}, 13606), ({"out": {"inline": 1}, "map": 5}, 2), ({"out": {"x": "y"}}, 13522),
    ({"out": {"inline": 1}, "query": 5}, 14), ({"out": {"inline": 1}, "foo": 5}, 40415),
    ({"out": {"inline": 1}, "reduce": "function() { throw 1; }"}, 139),
])  # fmt: skip
def test_refused(cluster: Cluster, options: Doc, code: int) -> None:
    with pytest.raises(MongoError) as caught:
        run(cluster, **options)
    assert caught.value.code == code


def test_a_long_one_has_a_time_limit(cluster: Cluster) -> None:
    with pytest.raises(MongoError) as caught:
        run(cluster, {"inline": 1}, map="function() { for (;;) {} }", maxTimeMS=300)
    assert caught.value.code == 50
