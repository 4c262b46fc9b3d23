"""Cases of pipelines on real clusters: a router, a config server and shards in this process.

The clusters are `psdb up`'s own (`psdb.cluster.LocalCluster`) over a disk in memory; commands
take the way of the wire. Collections are sharded by `_id`, so that the documents of a case are
spread. Without a sort the order of a sharded collection's documents is whatever its shards'
is, so the answer that a case must get is worked out by plain `psdb_query` over the documents
in the order in which the cluster gives them; then it must be the same to the byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pytest
from agg_kit import Case, Fails, encoded, run_case
from simdisk import SimDisk

from psdb.cluster import LocalCluster
from psdb_base import bson_codec, order
from psdb_base.errors import MongoError
from psdb_base.real_world import real_world
from psdb_wire.channel import LocalChannel

Doc = dict[str, Any]
T = TypeVar("T")

DB = "db"
SPLIT_AT = (2, 4)
"""Where a ranged collection is split; the parts go to the shards in turn."""


@dataclass(frozen=True)
class Layout:
    """How a case's collections are laid out.

    Attributes:
        shards: How many there are.
        main: How the collection of the pipeline is sharded: "hashed", "ranged" or not ("").
        others: The same of the other collections.

    """

    shards: int
    main: str
    others: str


LAYOUTS = (
    Layout(1, "hashed", ""),
    Layout(3, "hashed", "hashed"),
    Layout(3, "ranged", ""),
    Layout(3, "", "ranged"),
)


_CURSOR = {"batchSize": 10**6}


class Quiet:
    """A log that nobody reads."""

    def write(self, *_: Any) -> None:
        """Drop the line."""


class Cluster:
    """A running cluster and the collections that cases use again.

    Args:
        shards: How many.

    """

    def __init__(self, shards: int) -> None:
        self.loop = asyncio.new_event_loop()
        disk = SimDisk()
        disk.delay_seconds = 0.0
        world = replace(real_world(1), disk=disk, log=Quiet())
        self.cluster = LocalCluster(world, {}, "/data", shards)
        self.ready: dict[str, str] = {}
        self._filled: dict[str, list[bytes]] = {}
        self._indexed: dict[tuple[str, str], bool] = {}
        self._last_id = 0
        self.channel = LocalChannel(self.cluster.router.handle, self._next_id)
        self.run(self.cluster.start())
        self.command({"balancerStop": 1}, "admin")

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def command(self, command: Doc, db: str = DB) -> Doc:
        """Run a command through the router; raise its error."""
        return self.run(self.channel.command(db, command))

    def close(self) -> None:
        self.run(self.cluster.stop())
        self.loop.close()

    def collection(self, name: str, kind: str) -> str:
        """Return the name of a collection that is laid out so, made when it is first needed."""
        made = f"{name}_{kind}" if kind else name
        if made in self.ready:
            return made
        self.ready[made] = kind
        ns = f"{DB}.{made}"
        if kind == "hashed":
            self.command({"shardCollection": ns, "key": {"_id": "hashed"}}, "admin")
        elif kind == "ranged":
            self.command({"shardCollection": ns, "key": {"_id": 1}}, "admin")
            for at, bound in enumerate(SPLIT_AT):
                self.command({"split": ns, "middle": {"_id": bound}}, "admin")
                to = f"shard{(at + 1) % len(self.cluster.shards)}"
                self.command({"moveChunk": ns, "find": {"_id": bound}, "to": to}, "admin")
        else:
            self.command({"create": made})
        return made

    def fill(self, name: str, docs: list[Doc]) -> None:
        """Let a collection hold these documents."""
        wanted = encoded(docs)
        if self._filled.get(name, []) == wanted:
            return
        if self._filled.get(name):
            self.command({"delete": name, "deletes": [{"q": {}, "limit": 0}]})
        self._filled[name] = [b""]  # whatever a failing insert leaves
        if docs:
            reply = self.command({"insert": name, "documents": docs})
            if "writeErrors" in reply:
                raise CannotBeStored(reply["writeErrors"][0]["errmsg"])
        self._filled[name] = wanted if all("_id" in doc for doc in docs) else [b""]

    def index(self, name: str, key: Doc, **options: Any) -> None:
        """Make an index when it is first needed."""
        spec = {"key": key, "name": "_".join(key), **options}
        if (name, spec["name"]) not in self._indexed:
            self._indexed[name, spec["name"]] = True
            self.command({"createIndexes": name, "indexes": [spec]})

    def documents(self, name: str) -> list[Doc]:
        """Return a collection's documents in the order in which a pipeline gets them."""
        return self.aggregate(name, [])

    def aggregate(self, name: str | None, pipeline: list[Any], **options: Any) -> list[Doc]:
        """Run a pipeline and fetch all."""
        target: Any = 1 if name is None else name
        cursor = self.command(
            {"aggregate": target, "pipeline": pipeline, "cursor": _CURSOR, **options}
        )["cursor"]
        found: list[Doc] = cursor["firstBatch"]
        while cursor["id"]:
            ns = cursor["ns"].partition(".")[2]
            more = {"getMore": cursor["id"], "collection": ns, **_CURSOR}
            cursor = self.command(more)["cursor"]
            found += cursor["nextBatch"]
        return found


class CannotBeStored(Exception):
    """Documents that no collection can hold as they are, such as two of one `_id`."""


def renamed(pipeline: Any, names: dict[str, str]) -> Any:
    """Let the stages of a pipeline name the collections as the cluster does."""
    if type(pipeline) is list:
        return [renamed(one, names) for one in pipeline]
    if type(pipeline) is not dict:
        return pipeline
    found: Doc = {}
    for key, value in pipeline.items():
        if key in {"$unionWith", "coll", "from"} and type(value) is str:
            found[key] = names.get(value, value)
        else:
            found[key] = renamed(value, names)
    return found


def main_collection(cluster: Cluster, one: Case, layout: Layout) -> str:
    """Return the name of the pipeline's collection, with the indexes that its stage demands."""
    spec = one.pipeline[0] if one.pipeline else {}
    near = spec.get("$geoNear", None) if type(spec) is dict else None
    if near is None:
        for field in ("z", "z.y"):  # what a `$merge` may be on
            cluster.index("t", {field: 1}, unique=True)
        return cluster.collection("c", layout.main)
    flat = any(type(doc.get("loc")) is list for doc in one.docs)
    name = cluster.collection("flat" if flat else "sphere", layout.main)
    cluster.index(name, {"loc": "2d" if flat else "2dsphere"})
    return name


def run_on(cluster: Cluster, one: Case, layout: Layout) -> tuple[list[Doc], Case]:
    """Run a case on a cluster.

    Returns:
        The documents, and the case with its collections' documents in the cluster's order.

    """
    names = {"c": main_collection(cluster, one, layout)}
    names |= {name: cluster.collection(name, layout.others) for name in one.others if name != "c"}
    for name, docs in {"c": one.docs, **one.others}.items():
        cluster.fill(names[name], docs)
    ordered = replace(
        one,
        docs=cluster.documents(names["c"]),
        others={name: cluster.documents(names[name]) for name in one.others},
    )
    collection = None if one.options.get("collection", "c") is None else names["c"]
    options = {key: one.options[key] for key in ("collation", "let") if key in one.options}
    return cluster.aggregate(collection, renamed(one.pipeline, names), **options), ordered


def check_on(cluster: Cluster, one: Case, layout: Layout) -> None:
    """Check that a case gets from a cluster what plain `psdb_query` gives."""
    if isinstance(one.expected, Fails):
        with pytest.raises(MongoError) as caught:
            run_on(cluster, one, layout)
        assert caught.value.code == one.expected.code, caught.value
        assert one.expected.part in caught.value.message
        return
    found, ordered = run_on(cluster, one, layout)
    got, expected = encoded(found), encoded(run_case(ordered))
    if got != expected and one.options.get("order_by_index"):
        got, expected = encoded(unordered(found)), encoded(unordered(run_case(ordered)))
    assert got == expected, (found, [bson_codec.decode(raw) for raw in expected])


def check_random(cluster: Cluster, one: Case, layout: Layout) -> None:
    """Check that a cluster gives what plain `psdb_query` gives, optimised or not."""
    try:
        found, ordered = run_on(cluster, one, layout)
    except MongoError:
        # A document that is no longer looked at raises no error, so either of them may raise.
        with pytest.raises(MongoError):
            run_case(one, optimize=False)
        return
    expected = encoded(run_case(ordered))
    assert encoded(found) == expected, (found, [bson_codec.decode(raw) for raw in expected])


def unordered(docs: list[Doc]) -> list[Doc]:
    """Sort the arrays in documents, where any order is right."""
    return [
        {
            name: sorted(value, key=order.key) if type(value) is list else value
            for name, value in doc.items()
        }
        for doc in docs
    ]
