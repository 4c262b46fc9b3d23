"""Cases of pipelines: documents, a pipeline, and the documented result or error.

Every case runs in several ways that must agree: optimised and not, in batches of one and of
seven, with hardly any memory (so that blocking stages spill), and split over three shards.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from agg_world import NOW, World, batches, run_compiled

from psdb_base import bson_codec
from psdb_base.errors import MongoError
from psdb_query.context import CompileContext, make_env
from psdb_query.pipeline_split import merge_streams, split_pipeline
from psdb_query.stages.model import Run
from psdb_query.stages.pipeline import Pipeline, compile_pipeline

Doc = dict[str, Any]


@dataclass(frozen=True)
class Fails:
    """An error: its code, and a part of its message."""

    code: int
    part: str = ""


@dataclass(frozen=True)
class Case:
    page: str
    docs: list[Doc]
    pipeline: list[Any]
    expected: list[Doc] | Fails
    others: dict[str, list[Doc]] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


def case(
    page: str,
    docs: list[Doc],
    pipeline: list[Any],
    expected: list[Doc] | Fails,
    *,
    others: dict[str, list[Doc]] | None = None,
    **options: Any,
) -> Case:
    return Case(page, docs, pipeline, expected, others or {}, options)


def params(cases: list[Case]) -> list[Any]:
    """Return the cases with readable, unique ids."""
    seen: dict[str, int] = {}
    found = []
    for one in cases:
        seen[one.page] = seen.get(one.page, 0) + 1
        found.append(pytest.param(one, id=f"{one.page}-{seen[one.page]}"))
    return found


def encoded(docs: list[Doc]) -> list[bytes]:
    return [bson_codec.encode(doc) for doc in docs]


def make_world(one: Case, *, indexed: bool = False) -> World:
    world = World()
    for name, docs in one.others.items():
        world.collections["db", name] = docs
        if indexed:
            world.indexed["db", name] = tuple(
                dict.fromkeys(key for doc in docs for key in _paths(doc))
            )
    return world


def _paths(doc: Doc, prefix: str = "") -> list[str]:
    found = []
    for name, value in doc.items():
        found.append(prefix + name)
        if type(value) is dict:
            found += _paths(value, prefix + name + ".")
    return found


def compile_case(one: Case, world: World, *, optimize: bool = True) -> Pipeline:
    ctx = CompileContext(
        collation=one.options.get("collation"),
        variables=frozenset(one.options.get("let", ())),
        random=world.random,
        javascript=one.options.get("javascript"),
    )
    collection = one.options.get("collection", "c")
    return compile_pipeline(
        one.pipeline, ctx, database="db", collection=collection, optimize=optimize
    )


def run_case(one: Case, *, optimize: bool = True, batch: int = 7, **options: Any) -> list[Doc]:
    world = make_world(one, indexed=options.pop("indexed", False))
    pipeline = compile_case(one, world, optimize=optimize)
    let = one.options.get("let")
    return run_compiled(pipeline, one.docs, world=world, batch=batch, let=let, **options)


def run_split(one: Case, parts: list[list[Doc]]) -> list[Doc]:
    """Run a case as a sharded cluster does: shards' parts by wire, then the merging part."""
    world = make_world(one)
    whole = compile_case(one, world)
    split = split_pipeline(whole)
    ctx = whole.context.expressions
    env = make_env(NOW, let=one.options.get("let"))
    run = Run(world, env)
    wire = bson_codec.decode(bson_codec.encode({"p": split.shard_pipeline}))["p"]

    def shard(docs: list[Doc]) -> Any:
        compiled = compile_pipeline(wire, ctx, database="db", collection="c", place="internal")
        return _over_wire(compiled.run(batches(docs, 3), run))

    async def drive() -> list[Doc]:
        merged = merge_streams([shard(part) for part in parts], split.sort, env)
        return [doc async for part in split.merger.run(merged, run) for doc in part]

    return asyncio.run(drive())


async def _over_wire(stream: Any) -> Any:
    async for batch in stream:
        yield [bson_codec.decode(bson_codec.encode(doc)) for doc in batch]


def cut(docs: list[Doc], parts: int) -> list[list[Doc]]:
    """Cut documents into contiguous parts."""
    size = -(-len(docs) // parts) or 1
    return [docs[at * size : (at + 1) * size] for at in range(parts)]


def check(one: Case) -> None:
    if isinstance(one.expected, Fails):
        with pytest.raises(MongoError) as caught:
            run_case(one)
        assert caught.value.code == one.expected.code, caught.value
        assert one.expected.part in caught.value.message
        return
    expected = encoded(one.expected)
    before = encoded(one.docs)
    got = run_case(one)
    assert encoded(got) == expected, got
    assert encoded(run_case(one, optimize=False)) == expected
    assert encoded(run_case(one, batch=1)) == expected
    if not one.options.get("order_by_index"):
        assert encoded(run_case(one, indexed=True)) == expected
    if not one.options.get("whole"):
        assert encoded(run_split(one, cut(one.docs, 3))) == expected
    if not one.options.get("no_spill"):
        assert sorted(encoded(run_case(one, memory_bytes=1))) == sorted(expected)
    assert encoded(one.docs) == before, "the input was changed"
