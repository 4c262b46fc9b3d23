"""Records that left memory: read back whole, whatever happens around them, or refused."""

from __future__ import annotations

import errno
import random
from collections.abc import Iterator
from typing import Any

import pytest
from simdisk import SimDisk
from store_kit import DBPATH, by_id, check_consistent, open_engine, put, run, state_of

from psdb_base.bson_codec import encode
from psdb_base.errors import MongoError
from psdb_base.order import key
from psdb_base.world import World
from psdb_store.collection import Collection
from psdb_store.engine import Engine
from psdb_store.failures import StorageDamagedError
from psdb_store.record import CACHE_BYTES, HOT, ColdRecord

DATA = f"{DBPATH}/data/db/c/00000001.jsonl"


@pytest.fixture(autouse=True)
def _hot_documents() -> Iterator[None]:
    yield
    HOT.limit(CACHE_BYTES)


async def filled(world: World, count: int = 40, **options: Any) -> tuple[Engine, Collection]:
    """Open a store whose one collection is saved and has left memory."""
    engine = await open_engine(world, cache_bytes=0, eager_documents=0, **options)
    c = await engine.create_collection("db", "c", {})
    await put(engine, c, *({"_id": n, "n": n % 7, "t": "x" * n} for n in range(count)))
    await engine.checkpoint()
    assert engine.cold.records == count
    return engine, c


def test_asking_for_the_bytes_brings_a_record_back() -> None:
    async def scenario(world: World) -> None:
        engine, c = await filled(world)
        record = c.by_id(key(5))
        assert type(record) is ColdRecord
        assert record.document() == {"_id": 5, "n": 5, "t": "xxxxx"}
        assert type(record) is not ColdRecord
        assert engine.cold.records == 39
        assert engine.cold.cold_bytes + engine.cold.resident_bytes == c.data_size_bytes

    run(scenario, SimDisk())


@pytest.mark.parametrize("restart", [False, True])
def test_a_scan_reads_neighbours_at_once(restart: bool) -> None:
    async def scenario(world: World) -> None:
        disk: Any = world.disk
        engine, c = await filled(world, 2000)
        if restart:
            await engine.close()
            engine = await open_engine(world, cache_bytes=0, eager_documents=0)
            found = engine.collection("db", "c")
            assert found is not None
            c = found
        reads: list[int] = []
        disk.on_read = lambda _path, size: reads.append(size)
        size = disk.open(f"{DBPATH}/{c.data.path}").size() if c.data is not None else 0
        seen = sum(len(record.raw) for batch in c.batches(256) for record in batch)
        assert seen == c.data_size_bytes
        assert len(reads) < 20
        assert sum(reads) < 1.5 * size

    run(scenario, SimDisk())


def test_lines_of_all_sizes_are_read_back_whole() -> None:
    async def scenario(world: World) -> None:
        engine = await open_engine(world, cache_bytes=0)
        c = await engine.create_collection("db", "c", {})
        sizes = [1, 2_000_000, 3, 4096, 70_000, 4_000_000, 0, 300_000]
        await put(engine, c, *({"_id": n, "t": "x" * size} for n, size in enumerate(sizes)))
        await engine.checkpoint()
        for n in (5, 0, 7, 6, 1, 3):
            document = by_id(c, n)
            assert document is not None
            assert len(document["t"]) == sizes[n]
        engine.cold.make_room(10**9)
        found = c.scan(None, 100)
        assert [len(one.document()["t"]) for one in found] == sizes

    run(scenario, SimDisk())


def test_the_bound_holds_and_small_collections_stay() -> None:
    async def scenario(world: World) -> None:
        engine = await open_engine(world, cache_bytes=20_000)
        large = await engine.create_collection("db", "large", {})
        small = await engine.create_collection("db", "small", {})
        await put(engine, small, *({"_id": n, "t": "s" * 50} for n in range(20)))
        for start in range(0, 1000, 100):
            await put(
                engine, large, *({"_id": n, "t": "x" * 200} for n in range(start, start + 100))
            )
            await engine.checkpoint()
            assert engine.cold.resident_bytes <= 20_000
        for batch in large.batches(50):
            assert all(len(record.raw) > 200 for record in batch)
            assert engine.cold.resident_bytes <= 20_000
        assert not [one for one in small.records.values() if type(one) is ColdRecord]
        cache = engine.stats()["cache"]
        assert cache["recordBytes"] == engine.cold.resident_bytes
        assert cache["unsavedRecordBytes"] == 0
        check_consistent(engine)

    run(scenario, SimDisk())


def test_superseded_records_are_forgotten_by_the_bound() -> None:
    async def scenario(world: World) -> None:
        engine = await open_engine(world, cache_bytes=10**6)
        c = await engine.create_collection("db", "c", {})
        await put(engine, c, {"_id": 1, "n": 0})
        for n in range(3000):
            with engine.unit() as unit:
                unit.update(c, c.records[1], encode({"_id": 1, "n": n}))
                unit.commit()
            await engine.checkpoint()
        assert c.data is not None
        assert len(c.data.home._resident) < 1200
        assert engine.cold.resident_bytes == len(c.records[1].raw)

    run(scenario, SimDisk())


@pytest.mark.parametrize("seed", range(6))
def test_memory_indexes_and_restarts_change_no_answer(seed: int) -> None:
    """The same random operations, with and without each of them, give the same documents."""
    results = [
        run(lambda world, o=options: _life(world, seed, *o), SimDisk(seed))
        for options in (
            (10**6, False, False), (0, False, False), (0, True, False), (300, True, True),
            (10**6, True, True), (0, False, True),
        )
    ]
    assert all(result == results[0] for result in results)


async def _life(
    world: World, seed: int, cache_bytes: int, indexed: bool, restarts: bool
) -> list[Any]:
    rng = random.Random(seed)
    options = {"cache_bytes": cache_bytes, "eager_documents": 0, "compact_garbage_bytes": 500}
    engine = await open_engine(world, **options)
    c = await engine.create_collection("db", "c", {})
    if indexed:
        await engine.create_index(c, {"key": {"n": 1}, "name": "n_1"})
        await engine.create_index(c, {"key": {"tags": 1, "n": -1}, "name": "tags_1_n_-1"})
    answers: list[Any] = []
    for number in range(60):
        with engine.unit() as unit:
            for _ in range(rng.randrange(1, 8)):
                _change(rng, unit, c, number)
            unit.commit()
        await engine.committed(engine.log_end)
        if rng.random() < 0.3:
            await engine.checkpoint()
        name = rng.choice(["c", "d"])
        if rng.random() < 0.1 and c.name != name:
            await engine.rename_collection(c, "db", name)
        if rng.random() < 0.2 and restarts:
            await engine.close()
            engine = await open_engine(world, **options)
            (c,) = engine.collections("db")
        n = rng.randrange(6)
        answers.append(_with_n(c, n))
    check_consistent(engine)
    answers.append({rid: record.raw for rid, record in c.records.items()})
    await engine.close()
    return answers


def _change(rng: random.Random, unit: Any, c: Collection, number: int) -> None:
    ids = sorted(c.ids)
    choice, value = rng.random(), rng.randrange(10**6)
    doc = {
        "_id": value, "n": rng.randrange(6), "tags": [1, 2, 3][: rng.randrange(4)],
        "t": "é" * rng.randrange(60), "at": number,
    }  # fmt: skip
    if rng.random() < 0.1:
        doc["$odd"] = float("nan")
    if not ids or choice < 0.5:
        if key(value) not in c.ids:
            unit.insert(c, encode(doc))
        return
    record = c.by_id(rng.choice(ids))
    assert record is not None
    if choice < 0.8:
        unit.update(c, record, encode({**doc, "_id": record.document()["_id"]}))
    else:
        unit.delete(c, record)


def _with_n(c: Collection, n: int) -> list[bytes]:
    """Find documents by an index where there is one."""
    if "n_1" not in c.indexes:
        return [
            one.raw for batch in c.batches(7) for one in batch if one.document()["n"] == n
        ]
    found = c.indexes["n_1"].scan(key(n), key(n), limit=10**6)
    return [c.records[rid].raw for _, rid in found]


def test_undo_and_views_do_not_need_the_file() -> None:
    async def scenario(world: World) -> None:
        engine, c = await filled(world)
        before = state_of(engine)
        await engine.checkpoint()
        with engine.view() as view, engine.unit() as unit:
            for n in range(0, 40, 2):
                record = c.by_id(key(n))
                assert record is not None
                unit.update(c, record, encode({"_id": n, "new": True}))
            for n in range(1, 40, 2):
                record = c.by_id(key(n))
                assert record is not None
                unit.delete(c, record)
            assert {one.rid: one.raw for one in view.scan(c, None, 100)} == (
                before["db.c"]["records"]
            )
            unit.abort()
        assert state_of(engine) == before
        await engine.checkpoint()
        check_consistent(engine)

    run(scenario, SimDisk())


def test_a_record_of_a_dropped_collection_is_not_read_back() -> None:
    async def scenario(world: World) -> None:
        engine, c = await filled(world)
        record = c.records[3]
        await engine.drop_collection(c)
        await engine.checkpoint()
        with pytest.raises(MongoError) as caught:
            record.document()
        assert caught.value.code == 175
        assert engine.cold.records == engine.cold.resident_bytes == 0

    run(scenario, SimDisk())


def test_every_flipped_bit_of_a_cold_line_is_noticed() -> None:
    async def scenario(world: World) -> None:
        disk: Any = world.disk
        _engine, c = await filled(world, 6)
        good = disk.read(DATA)
        line = good.split(b"\n")[3]
        start = good.index(line)
        inode = disk._names[DATA]
        for bit in range(8 * len(line)):
            at = start + bit // 8
            inode.data[at] ^= 1 << bit % 8
            with pytest.raises(StorageDamagedError) as caught:
                c.records[3].document()
            inode.data[at] ^= 1 << bit % 8
            assert (caught.value.path, caught.value.line) == (DATA, 4)
        assert c.records[3].document()["_id"] == 2

    run(scenario, SimDisk())


def test_a_read_error_is_told_and_changes_nothing() -> None:
    async def scenario(world: World) -> None:
        disk: Any = world.disk
        engine, c = await filled(world)
        end = engine.log_end

        def broken(path: str, _size: int) -> None:
            raise OSError(errno.EIO, "Input/output error", path)

        disk.on_read = broken
        with engine.unit() as unit:
            with pytest.raises(MongoError) as caught:
                unit.update(c, c.records[3], encode({"_id": 2}))
            assert caught.value.code == 39
            with pytest.raises(MongoError):
                unit.delete(c, c.records[3])
            unit.commit()
        assert engine.log_end == end
        disk.on_read = None
        assert by_id(c, 2) == {"_id": 2, "n": 2, "t": "xx"}
        check_consistent(engine)

    run(scenario, SimDisk())


@pytest.mark.parametrize("ids", [
    ["a", 'q"uote', "back\\slash", "é", "", "x\n"], [-5, 0, 7, 2**31, 2**40, 1.5, True, None],
    [{"a": 1}, {"$odd": 1}, float("nan"), [1] and {"b": [1]}],
])  # fmt: skip
def test_ids_of_all_kinds_are_found_without_reading_documents(ids: list[Any]) -> None:
    async def scenario(world: World) -> None:
        engine = await open_engine(world)
        c = await engine.create_collection("db", "c", {})
        with engine.unit() as unit:
            for value in ids:
                unit.insert(c, encode({"_id": value, "v": 1}))
            unit.commit()
        expected = {record.raw for record in c.records.values()}
        await engine.close()
        engine = await open_engine(world, eager_documents=0)
        (c,) = engine.collections("db")
        assert engine.cold.records > 0
        assert {record.raw for batch in c.batches(3) for record in batch} == expected
        check_consistent(engine)

    run(scenario, SimDisk())


def test_a_large_collection_is_warmed_up_behind_the_start() -> None:
    async def scenario(world: World) -> None:
        import asyncio

        engine, c = await filled(world, 1000)
        size = c.data_size_bytes
        await engine.close()
        engine = await open_engine(world, eager_documents=0, background=True)
        assert engine.cold.records == 1000
        while engine.cold.records:
            await asyncio.sleep(0.001)
        assert engine.cold.resident_bytes == size
        await engine.close()
        engine = await open_engine(
            world, eager_documents=0, background=True, cache_bytes=size // 2
        )
        await asyncio.sleep(1)
        assert size // 4 < engine.cold.resident_bytes <= size // 2
        await engine.close()

    run(scenario, SimDisk())


def test_measurements_may_share_an_id_over_a_lazy_start() -> None:
    """A time series keys its documents by record: two with one `_id` are two."""

    async def scenario(world: World) -> None:
        engine = await open_engine(world, cache_bytes=0, eager_documents=0)
        c = await engine.create_collection("db", "c", {"timeseries": {"timeField": "t"}})
        await put(engine, c, *({"_id": n % 2, "n": n} for n in range(6)))
        await engine.close()
        engine = await open_engine(world, cache_bytes=0, eager_documents=0)
        found = engine.collection("db", "c")
        assert found is not None
        assert (found.count, len(found.ids)) == (6, 6)
        with engine.unit() as unit:
            for record in found.scan(None, 10):
                unit.delete(found, record)
            await engine.committed(unit.commit())
        assert not found.count
        assert not found.ids
        await engine.close()

    run(scenario, SimDisk())
