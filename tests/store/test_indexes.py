"""Index keys, scans and builds, by tables and by laws."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from hypothesis import given, settings
from hypothesis import strategies as st
from simdisk import SimDisk
from store_kit import by_id, check_consistent, open_engine, put, run
from strategies import bson_values

from psdb_base import order
from psdb_base.bson_codec import encode
from psdb_base.errors import MongoError
from psdb_base.shard_hash import hash64
from psdb_base.values import UNDEFINED, Document
from psdb_base.world import World
from psdb_store.catalogue import make_collection
from psdb_store.engine import Engine
from psdb_store.index import Index, after_prefix
from psdb_store.index_keys import component
from psdb_store.index_kinds import make_index
from psdb_store.index_spec import check


def index_of(key: Document, **options: Any) -> Index:
    c = make_collection("d", "c", bytes(16), {})
    return make_index(c, check({"key": key, "name": "i", **options}), 0)


U = UNDEFINED
KEYS: list[tuple[Document, Document, list[Any]]] = [
    # one field
    ({"a": 1}, {"a": 5}, [(5,)]),
    ({"a": 1}, {}, [(None,)]),
    ({"a": 1}, {"a": None}, [(None,)]),
    ({"a": -1}, {"a": 5}, [(5,)]),
    ({"a": 1}, {"a": {"b": 1}}, [({"b": 1},)]),
    ({"a": 1}, {"a": [1, 2, 1.0]}, [(1,), (2,)]),
    ({"a": -1}, {"a": [1, 2]}, [(1,), (2,)]),
    ({"a": 1}, {"a": []}, [(U,)]),
    ({"a": 1}, {"a": [None, []]}, [(None,), ([],)]),
    ({"a": 1}, {"a": [[1, 2], [3]]}, [([1, 2],), ([3],)]),
    # paths
    ({"a.b": 1}, {"a": {"b": 4}}, [(4,)]),
    ({"a.b": 1}, {"a": 5}, [(None,)]),
    ({"a.b": 1}, {"a": {"b": [4, 5]}}, [(4,), (5,)]),
    ({"a.b": 1}, {"a": [{"b": 4}, {"b": 5}, {"c": 6}]}, [(4,), (5,), (None,)]),
    ({"a.b": 1}, {"a": [{"b": [1, 2]}, {"b": 3}]}, [(1,), (2,), (3,)]),
    ({"a.b": 1}, {"a": [1, {"b": 2}]}, [(None,), (2,)]),
    ({"a.b": 1}, {"a": []}, [(None,)]),
    ({"a.b": 1}, {"a": [[{"b": 1}]]}, [(None,)]),
    ({"a.b": 1}, {"a": [{"b": []}]}, [(U,)]),
    # positions
    ({"a.0": 1}, {"a": [5, 6]}, [(5,)]),
    ({"a.1": 1}, {"a": [5, 6]}, [(6,)]),
    ({"a.2": 1}, {"a": [5, 6]}, [(None,)]),
    ({"a.0": 1}, {"a": {"0": 7}}, [(7,)]),
    ({"a.0": 1}, {"a": [{"0": 7}, {"1": 8}]}, "ambiguous"),  # type: ignore[list-item]
    ({"a.1": 1}, {"a": [{"1": 7}]}, [(7,)]),
    ({"a.0.b": 1}, {"a": [{"b": 1}, {"b": 2}]}, [(1,)]),
    ({"a.0.b": 1}, {"a": [{"b": [1, 2]}, 3]}, [(1,), (2,)]),
    ({"a.0": 1}, {"a": [[1, 2], 3]}, [([1, 2],)]),
    ({"a.00": 1}, {"a": [1]}, [(None,)]),
    # compound
    ({"a": 1, "b": 1}, {"a": 1, "b": 2}, [(1, 2)]),
    ({"a": 1, "b": -1}, {"a": 1, "b": 2}, [(1, 2)]),
    ({"a": 1, "b": 1}, {"b": 2}, [(None, 2)]),
    ({"a": 1, "b": 1}, {"a": [1, 2], "b": 3}, [(1, 3), (2, 3)]),
    ({"b": 1, "a": 1}, {"a": [], "b": 3}, [(3, U)]),
    ({"a.b": 1, "a.c": 1}, {"a": [{"b": 1, "c": 2}, {"b": 3, "c": 4}]}, [(1, 2), (3, 4)]),
    ({"a": 1, "a.b": 1}, {"a": [{"b": 1}, 2]}, [({"b": 1}, 1), (2, None)]),
    ({"a": 1, "b": 1}, {"a": [1], "b": [2]}, "parallel"),  # type: ignore[list-item]
    ({"a.b": 1, "a.c": 1}, {"a": [{"b": [1], "c": [2]}]}, "parallel"),  # type: ignore[list-item]
    ({"a.b": 1, "a.c": 1}, {"a": [{"b": [1, 2], "c": 3}]}, [(1, 3), (2, 3)]),
]


def test_parallel_arrays_are_told_by_their_own_names() -> None:
    index = index_of({"a.b.c": 1, "x.y": 1})
    with pytest.raises(MongoError, match=r"cannot index parallel arrays \[y\] \[b\]"):
        index.keys_of({"a": {"b": [{"c": 1}]}, "x": {"y": [1]}})


@pytest.mark.parametrize(("pattern", "doc", "expected"), KEYS)
def test_keys(pattern: Document, doc: Document, expected: Any) -> None:
    index = index_of(pattern)
    if expected == "parallel":
        with pytest.raises(MongoError, match="cannot index parallel arrays") as refused:
            index.keys_of(doc)
        assert refused.value.code == 171
    elif expected == "ambiguous":
        with pytest.raises(MongoError, match="Ambiguous field name") as refused:
            index.keys_of(doc)
        assert refused.value.code == 16746
    else:
        directions = list(pattern.values())
        wanted = [
            b"".join(component(v, d, None) for v, d in zip(row, directions, strict=True))
            for row in expected
        ]
        assert index.keys_of(doc) == wanted


SPARSE: list[tuple[Document, Document, int]] = [
    ({"a": 1}, {}, 0),
    ({"a": 1}, {"a": None}, 1),
    ({"a": 1}, {"a": []}, 1),
    ({"a.b": 1}, {"a": {}}, 0),
    ({"a.b": 1}, {"a": [{"c": 1}]}, 0),
    ({"a.b": 1}, {"a": [{"c": 1}, {"b": 1}]}, 1),
    ({"a": 1, "b": 1}, {"c": 1}, 0),
    ({"a": 1, "b": 1}, {"b": 1}, 1),
]


@pytest.mark.parametrize(("pattern", "doc", "count"), SPARSE)
def test_sparse(pattern: Document, doc: Document, count: int) -> None:
    assert len(index_of(pattern, sparse=True).keys_of(doc)) == count


def test_partial() -> None:
    index = index_of({"a": 1}, partialFilterExpression={"b": {"$gt": 5}})
    assert index.keys_of({"a": 1, "b": 6}) == [order.key(1)]
    assert index.keys_of({"a": 1, "b": 5}) == []
    with pytest.raises(MongoError, match="unsupported expression in partial index") as refused:
        index_of({"a": 1}, partialFilterExpression={"a": {"$ne": 1}})
    assert refused.value.code == 67


TOUCHED: list[tuple[Document, Document, Document, bool]] = [
    ({"a": 1}, {}, {"b": 2}, False),
    ({"a": 1}, {}, {"a": 1.0}, True),
    ({"a": 1}, {}, {"a": Int64(1)}, True),
    ({"b.c": 1, "d": 1}, {}, {"a": 2}, False),
    ({"b.c": 1, "d": 1}, {}, {"b": {"c": 1, "e": 1}}, True),
    ({"b.c": 1, "d": 1}, {}, {"d": None}, True),
    ({"b": "hashed"}, {}, {"a": 2}, False),
    ({"$**": 1}, {}, {"z": 2}, True),
    ({"a": 1}, {"partialFilterExpression": {"x.y": {"$gt": 1}}}, {"x": {"y": 2}}, True),
    ({"a": 1}, {"partialFilterExpression": {"x.y": {"$gt": 1}}}, {"y": 2}, False),
    ({"s": "text"}, {}, {"a": 2}, False),
    ({"s": "text"}, {}, {"language": "german"}, True),
    ({"s": "text"}, {"language_override": "idioma"}, {"language": "german"}, False),
    ({"s": "text", "a": 1}, {}, {"a": 2}, True),
    ({"$**": "text"}, {}, {"z": "word"}, True),
    ({"p": "2dsphere", "a": 1}, {}, {"b": 2}, False),
    ({"p": "2dsphere", "a": 1}, {}, {"p": [1, 3]}, True),
]
"""Key pattern, options, what is set in a document, whether the index may have other keys then."""


@pytest.mark.parametrize(("pattern", "options", "change", "touched"), TOUCHED)
def test_what_touches_an_index(
    pattern: Document, options: Document, change: Document, touched: bool
) -> None:
    old: Document = {"a": 1, "b": {"c": 1}, "s": "some words", "p": [1, 2]}
    assert index_of(pattern, **options).is_untouched(old, {**old, **change}) is not touched


@given(
    st.dictionaries(st.sampled_from("abcx"), bson_values(), max_size=4),
    st.dictionaries(st.sampled_from("abcx"), bson_values(), max_size=2),
)
@settings(max_examples=150)
def test_an_untouched_index_has_the_same_keys(old: Document, change: Document) -> None:
    new = {**old, **change}
    for pattern, options in (
        ({"a": 1}, {}), ({"a.b": 1, "c": -1}, {}), ({"b": "hashed"}, {}),
        ({"a": 1}, {"partialFilterExpression": {"x": {"$gt": 1}}}), ({"a": 1}, {"sparse": True}),
    ):  # fmt: skip
        index = index_of(pattern, **options)
        if index.is_untouched(old, new):
            assert _keys_or_error(index, old) == _keys_or_error(index, new)


def _keys_or_error(index: Index, doc: Document) -> Any:
    try:
        return index.keys_and_paths(doc)
    except MongoError as error:
        return error.code


def test_hashed() -> None:
    index = index_of({"a": "hashed", "b": 1})
    assert index.keys_of({"a": 1.0, "b": 2}) == [order.key(Int64(hash64(1))) + order.key(2)]
    with pytest.raises(MongoError, match="do not currently support array values") as refused:
        index.keys_of({"a": [1]})
    assert refused.value.code == 16766


def test_the_hash_is_mongodbs() -> None:
    """The value is that of the manual's page on $toHashedIndexKey."""
    assert hash64("string to hash") == 763543691661428748
    assert hash64(1) == hash64(1.0) == hash64(Int64(1)) == hash64(1.9)


def test_collation() -> None:
    index = index_of({"a": 1}, collation={"locale": "en", "strength": 2})
    assert index.keys_of({"a": "ABC"}) == index.keys_of({"a": "abc"})
    assert index.spec["collation"]["caseLevel"] is False


WILDCARD: list[tuple[Document, Document | None, Document, list[tuple[str, Any]]]] = [
    ({"$**": 1}, None, {"_id": 1, "a": 1, "b": {"c": 2}}, [("a", 1), ("b.c", 2)]),
    ({"$**": 1}, None, {"a": [1, {"b": 2}, [3]]}, [("a", 1), ("a.b", 2), ("a", [3])]),
    ({"$**": 1}, None, {"a": {}, "b": []}, [("a", {}), ("b", U)]),
    ({"a.$**": 1}, None, {"a": {"b": 1}, "c": 2}, [("a.b", 1)]),
    ({"a.b.$**": 1}, None, {"a": {"b": 1, "c": 2}}, [("a.b", 1)]),
    ({"$**": 1}, {"a.b": 1}, {"a": {"b": 1, "c": 2}, "d": 3}, [("a.b", 1)]),
    ({"$**": 1}, {"a.b": 0}, {"a": {"b": 1, "c": 2}, "d": 3}, [("a.c", 2), ("d", 3)]),
    ({"$**": 1}, {"a": {"b": 1}}, {"a": {"b": 1, "c": 2}, "d": 3}, [("a.b", 1)]),
    ({"$**": 1}, {"_id": 1}, {"_id": 7, "a": 1}, [("_id", 7)]),
    ({"$**": 1}, {"_id": 0}, {"_id": 7, "a": 1}, [("a", 1)]),
    ({"$**": 1}, {"_id": 1, "b": 0}, {"_id": 7, "a": 1, "b": 2}, [("_id", 7), ("a", 1)]),
    ({"$**": 1}, {"a": 1, "_id": 1}, {"_id": 7, "a": 1, "b": 2}, [("_id", 7), ("a", 1)]),
]


@pytest.mark.parametrize(("pattern", "projection", "doc", "expected"), WILDCARD)
def test_wildcard(
    pattern: Document, projection: Document | None, doc: Document, expected: list[Any]
) -> None:
    options = {} if projection is None else {"wildcardProjection": projection}
    index = index_of(pattern, **options)
    wanted = {order.key(path) + order.key(value) for path, value in expected}
    assert set(index.keys_of(doc)) == wanted


def test_compound_wildcard() -> None:
    index = index_of({"a": 1, "$**": 1}, wildcardProjection={"a": 0})
    none = order.key(None)
    assert index.keys_of({"a": 1, "b": 2}) == [order.key(1) + order.key("b") + order.key(2)]
    assert index.keys_of({"a": 1}) == [order.key(1) + none + none]
    assert index.keys_of({"a": [1, 2]}) == [order.key(1) + none + none, order.key(2) + none + none]


def test_multikey_paths() -> None:
    index = index_of({"a.b": 1, "c": 1})
    assert not index.multikey
    for doc in ({"a": {"b": 1}}, {"a": [{"b": 1}]}, {"a": {"b": []}, "c": 1}):
        index.note_paths(index.keys_and_paths(doc)[1])
    assert index.multikey
    assert index.multikey_paths == {"a.b": ["a", "a.b"], "c": []}


# Laws


@given(st.lists(st.tuples(bson_values(), bson_values()), max_size=12), st.data())
@settings(max_examples=60)
def test_scans_are_the_sorted_entries_between_the_bounds(
    rows: list[tuple[Any, Any]], data: st.DataObject
) -> None:
    index = index_of({"a": 1, "b": -1})
    entries: list[tuple[bytes, int]] = []
    for rid, (a, b) in enumerate(rows, 1):
        if type(a) is list or type(b) is list:
            continue
        keys = index.keys_of({"a": a, "b": b})
        index.add(keys, rid)
        entries += [(one, rid) for one in keys]
    entries.sort()
    bounds = [b"", *(order.key(a) for a, _ in rows), *(key for key, _ in entries)]
    low, high = data.draw(st.sampled_from(bounds)), data.draw(st.sampled_from(bounds))
    low_in, high_in = data.draw(st.booleans()), data.draw(st.booleans())

    def within(one: bytes) -> bool:
        above = not low or (one >= low and (low_in or not one.startswith(low)))
        below = not high or one < high or (high_in and one.startswith(high))
        return bool(above and below)

    wanted = [entry for entry in entries if within(entry[0])]
    options: dict[str, Any] = {"low_inclusive": low_in, "high_inclusive": high_in}
    assert index.scan(low, high, limit=100, **options) == wanted
    assert index.scan(low, high, limit=100, reverse=True, **options) == wanted[::-1]
    for reverse in (False, True):
        found: list[tuple[bytes, int]] = []
        while True:
            after = found[-1] if found else None
            batch = index.scan(low, high, after=after, limit=2, reverse=reverse, **options)
            if not batch:
                break
            found += batch
        assert found == (wanted[::-1] if reverse else wanted)
    assert index.entry_count == len(entries)


@given(st.binary(min_size=1, max_size=4), st.binary(max_size=6))
def test_after_prefix(prefix: bytes, other: bytes) -> None:
    bound = after_prefix(prefix)
    if bound is None:
        assert set(prefix) == {255}
    else:
        assert (other < bound) == (other < prefix or other.startswith(prefix))


@given(st.dictionaries(st.sampled_from("abc"), bson_values(), max_size=3), st.booleans())
@settings(max_examples=200)
def test_the_flat_loop_and_the_expansion_agree(doc: Document, sparse: bool) -> None:
    """Where no array is met, the two ways to make keys give the same."""
    index = index_of({"a": 1, "b.c": -1, "c.0": 1}, sparse=sparse)
    make: Any = index._make_keys
    expansion = next(
        cell.cell_contents for cell in make.__closure__
        if type(cell.cell_contents).__name__ == "_Expansion"
    )  # fmt: skip
    try:
        keys, paths = make(doc)
    except MongoError as error:
        with pytest.raises(MongoError, match=error.message[:20].replace("[", r"\[")):
            expansion.run(doc)
        return
    keys_again, paths_again = expansion.run(doc)
    assert keys == keys_again
    assert (paths or (0, 0, 0)) == paths_again


def _engine_test(body: Any) -> None:
    async def main(world: World) -> None:
        engine = await open_engine(world, slice_documents=7)
        c = await engine.create_collection("d", "c", {})
        await body(engine, c)

    run(main, SimDisk())


def test_indexes_follow_random_writes() -> None:
    async def body(engine: Engine, c: Any) -> None:
        rng = random.Random(5)
        for key, options in [
            ({"a": 1}, {}), ({"a": -1, "b.c": 1}, {"sparse": True}), ({"b": "hashed"}, {}),
            ({"$**": 1}, {}), ({"_id": -1}, {}),
            ({"b.c": 1}, {"partialFilterExpression": {"a": {"$gte": 2}}}),
        ]:  # fmt: skip
            name = f"i{len(c.indexes)}"
            await engine.create_index(c, {"key": key, "name": name, **options})
        assert c.indexes["_id_"].scan(b"", b"", limit=1) == []  # from now on its tree is kept up
        for step in range(300):
            doc = {"a": rng.randrange(4), "b": {"c": rng.choice([1, "x", None])}}
            if rng.random() < 0.3:
                doc["a"] = [rng.randrange(3) for _ in range(rng.randrange(3))]
            with engine.unit() as unit:
                rids = list(c.records)
                if not rids or rng.random() < 0.5:
                    unit.insert(c, encode({"_id": step, **doc}))
                elif rng.random() < 0.7:
                    record = c.records[rng.choice(rids)]
                    unit.update(c, record, encode({"_id": record.document()["_id"], **doc}))
                else:
                    unit.delete(c, c.records[rng.choice(rids)])
                if rng.random() < 0.2:
                    unit.abort()
                else:
                    unit.commit()
        await engine.committed(engine.log_end)
        check_consistent(engine)

    _engine_test(body)


# Builds


def test_a_build_goes_on_while_documents_change() -> None:
    async def body(engine: Engine, c: Any) -> None:
        await put(engine, c, *({"_id": n, "u": n} for n in range(100)))
        spec = {"key": {"u": 1}, "name": "u", "unique": True}
        build = asyncio.get_running_loop().create_task(engine.create_index(c, spec))
        await asyncio.sleep(0)
        assert "u" in c.building
        assert "u" not in c.indexes
        with engine.unit() as unit:
            unit.update(c, c.records[1], encode({"_id": 0, "u": 99}))  # a duplicate for a while
            unit.delete(c, c.records[2])
            unit.update(c, c.records[90], encode({"_id": 89, "u": [1, 2.5]}))
            unit.insert(c, encode({"_id": 1000, "u": -5}))
            unit.update(c, c.records[1], encode({"_id": 0, "u": 1000}))
            unit.commit()
        again = await engine.create_index(c, spec)  # waits for the one that is on its way
        index = await build
        assert index is again is c.indexes["u"]
        assert c.building == {}
        check_consistent(engine)

    _engine_test(body)


@pytest.mark.parametrize(
    ("docs", "code"),
    [([{"u": 1}, {"u": 2}, {"u": 1.0}], 11000), ([{"u": [1], "v": [2]}], 171)],
)
def test_a_failed_build_leaves_nothing_behind(docs: list[Document], code: int) -> None:
    async def body(engine: Engine, c: Any) -> None:
        await put(engine, c, *({"_id": n, **doc} for n, doc in enumerate(docs)))
        end = engine.log_end
        with pytest.raises(MongoError) as refused:
            await engine.create_index(
                c, {"key": {"u": 1, "v": 1}, "name": "u", "unique": True}
            )
        assert refused.value.code == code
        assert list(c.indexes) == ["_id_"]
        assert c.building == {}
        assert c.secondary == []
        assert engine.log_end == end

    _engine_test(body)


def test_a_build_gives_the_loop_many_turns() -> None:
    async def main(world: World) -> None:
        engine = await open_engine(world, slice_documents=256)
        c = await engine.create_collection("d", "c", {})
        await put(engine, c, *({"_id": n, "u": n} for n in range(640)))
        spec = {"key": {"u": 1}, "name": "u"}
        seen: list[int] = []

        def progress(done: int, _total: int) -> None:
            seen.append(done)

        build = asyncio.get_running_loop().create_task(engine.create_index(c, spec, progress))
        turns = 0
        while len(seen) < 40:
            assert not build.done()
            await asyncio.sleep(0)
            turns += 1
        # No turn looks at more than sixteen documents, so no write waits for more at any of its.
        assert turns >= 40
        assert seen == list(range(16, 641, 16))
        await build

    run(main, SimDisk())


def test_a_collection_dropped_during_a_build() -> None:
    async def body(engine: Engine, c: Any) -> None:
        await put(engine, c, *({"_id": n, "u": n} for n in range(100)))
        spec = {"key": {"u": 1}, "name": "u"}
        build = asyncio.get_running_loop().create_task(engine.create_index(c, spec))
        await asyncio.sleep(0)
        await engine.drop_collection(c)
        with pytest.raises(MongoError) as refused:
            await build
        assert refused.value.code == 276

    _engine_test(body)


def test_an_equal_index_is_returned_and_a_prepared_one_refuses_duplicates() -> None:
    async def body(engine: Engine, c: Any) -> None:
        spec = {"key": {"a": 1}, "name": "a_1"}
        index = await engine.create_index(c, spec)
        end = engine.log_end
        assert await engine.create_index(c, dict(spec)) is index
        assert engine.log_end == end
        await put(engine, c, {"_id": 1, "a": 1})
        await engine.set_index_options(c, "a_1", {"prepareUnique": True, "hidden": True})
        assert c.indexes["a_1"].hidden
        with pytest.raises(MongoError) as refused:
            await put(engine, c, {"_id": 2, "a": 1})
        assert refused.value.code == 11000
        await engine.set_index_options(c, "a_1", {"prepareUnique": None, "hidden": False})
        await put(engine, c, {"_id": 2, "a": 1})
        assert c.indexes["a_1"].spec == {"v": 2, "key": {"a": 1}, "name": "a_1"}
        with pytest.raises(MongoError) as no_id:
            await engine.drop_index(c, "_id_")
        assert no_id.value.code == 72
        with pytest.raises(MongoError) as unknown:
            await engine.drop_index(c, "nope")
        assert unknown.value.code == 27
        await engine.drop_index(c, "a_1")
        assert list(c.indexes) == ["_id_"]

    _engine_test(body)


def test_expired_documents() -> None:
    async def body(engine: Engine, c: Any) -> None:
        for direction in (1, -1, Decimal128("2"), Decimal128("-2")):
            key = {f"t{direction}": direction}
            index = await engine.create_index(
                c, {"key": key, "name": f"i{direction}", "expireAfterSeconds": 10}
            )
            name = f"t{direction}"
            values = [DatetimeMS(0), DatetimeMS(5000), DatetimeMS(5001), 5, None, "x",
                      [DatetimeMS(10**10), DatetimeMS(1)], DatetimeMS(-5)]  # fmt: skip
            await put(engine, c, *({"_id": f"{name}{n}", name: v} for n, v in enumerate(values)))
            found = [c.get(rid).document()["_id"] for rid in index.expired(15_000, 100)]
            assert sorted(found) == [f"{name}{n}" for n in (0, 1, 6, 7)]
            assert len(index.expired(15_000, 2)) == 2
        assert by_id(c, "t10") is not None

    _engine_test(body)
