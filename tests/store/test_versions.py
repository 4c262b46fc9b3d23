"""Views of one moment, undo of what was not committed, both against a model."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from simdisk import SimDisk
from store_kit import check_consistent, open_engine, put, run, state_of

from psdb_base.bson_codec import decode, encode
from psdb_base.errors import MongoError
from psdb_base.order import key
from psdb_base.world import World
from psdb_store.collection import Collection
from psdb_store.committed import Committed
from psdb_store.engine import Engine
from psdb_store.history import view_at
from psdb_store.versions import View


def seen(view: View, c: Collection) -> dict[int, bytes]:
    """Return what a view sees, scanned in batches."""
    found: dict[int, bytes] = {}
    after = None
    while batch := view.scan(c, after, 3):
        found.update({record.rid: record.raw for record in batch})
        after = batch[-1].rid
    for rid in range(1, c.next_rid):
        record = view.record_at(c, rid)
        assert (None if record is None else record.raw) == found.get(rid)
    return found


def check_indexes(view: View, c: Collection, state: dict[int, bytes], limit: int) -> None:
    """Compare what every index shows in a view with the documents it sees."""
    docs = {rid: decode(raw) for rid, raw in state.items()}
    for index in c.indexes.values():
        wanted = sorted((one, rid) for rid, doc in docs.items() for one in index.keys_of(doc))
        for reverse in (False, True):
            found: list[tuple[bytes, int]] = []
            while batch := view.index_scan(
                c, index, b"", b"", after=found[-1] if found else None, reverse=reverse,
                limit=limit,
            ):
                found += batch
            assert found == (wanted[::-1] if reverse else wanted)
    for rid, doc in docs.items():
        record = view.by_id(c, key(doc["_id"]))
        assert record is not None
        assert record.rid == rid
        assert record.raw == state[rid]
    assert view.by_id(c, key("no such")) is None


def change(engine: Engine, c: Collection, rng: random.Random) -> None:
    """Commit one random unit."""
    with engine.unit() as unit:
        for _ in range(rng.randint(1, 4)):
            rids = list(c.records)
            number = rng.randrange(10**9)
            if not rids or rng.random() < 0.4:
                doc = {"_id": number, "v": number % 7, "u": number, "tags": [1, 2]}
                unit.insert(c, encode(doc))
            elif rng.random() < 0.7:
                record = c.records[rng.choice(rids)]
                doc = {**record.document(), "v": number % 7, "u": number}
                doc["tags"] = list(range(number % 4))
                unit.update(c, record, encode(doc))
            else:
                unit.delete(c, c.records[rng.choice(rids)])
        session = bytes([number % 3]) * 16
        unit.statement(number % 5, {"n": number})
        unit.commit(session, number % 4)


INDEXES: list[dict[str, Any]] = [
    {"key": {"v": 1}, "name": "v"},
    {"key": {"u": -1}, "name": "u", "unique": True},
    {"key": {"tags": 1, "v": 1}, "name": "tags"},
    {"key": {"v": 1}, "name": "some", "partialFilterExpression": {"u": {"$gt": 5 * 10**8}}},
]


@pytest.mark.parametrize("seed", range(10))
def test_views_see_one_moment_whatever_is_written(seed: int) -> None:
    async def main(world: World) -> None:
        rng = random.Random(seed)
        engine = await open_engine(world)
        c = await engine.create_collection("d", "c", {})
        for spec in INDEXES:
            await engine.create_index(c, spec)
        views: list[tuple[View, dict[int, bytes]]] = []
        for _ in range(120):
            change(engine, c, rng)
            if rng.random() < 0.3:
                await engine.committed(engine.log_end)
            if rng.random() < 0.2:
                state = {rid: record.raw for rid, record in c.records.items()}
                views.append((engine.view(), state))
            for view, state in views:
                assert seen(view, c) == state
                if rng.random() < 0.05:
                    check_indexes(view, c, state, rng.choice([1, 3, 1000]))
            if views and rng.random() < 0.2:
                views.pop(rng.randrange(len(views)))[0].close()
        for view, _ in views:
            view.close()
        await engine.committed(engine.log_end)
        assert not engine.versions.past._kept
        assert all(record.prev is None for record in c.records.values())
        check_consistent(engine)

    run(main, SimDisk())


def test_a_view_in_the_past_needs_versions_that_are_still_there() -> None:
    async def main(world: World) -> None:
        engine = await open_engine(world)
        c = await engine.create_collection("d", "c", {})
        old = await put(engine, c, {"_id": 1})
        with engine.view() as open_view:
            assert open_view.at == old
            await put(engine, c, {"_id": 2})
            with engine.view(at=old) as view:
                assert len(seen(view, c)) == 1
        await put(engine, c, {"_id": 3})
        with pytest.raises(MongoError) as gone:
            engine.view(at=old)
        assert gone.value.code == 239

    run(main, SimDisk())


async def _make_collection(engine: Engine) -> Collection:
    """Make a collection with indexes in a store whose log the caller commits."""
    await engine.member.advance(1)
    engine.term = 1
    engine.append_noop()
    make = asyncio.get_running_loop().create_task(engine.create_collection("d", "c", {}))
    await asyncio.sleep(0)
    engine.advance_commit(engine.log_end)
    c = await make
    for spec in INDEXES:
        build = asyncio.get_running_loop().create_task(engine.create_index(c, spec))
        while not build.done():
            engine.advance_commit(engine.log_end)
            await asyncio.sleep(0)
    return c


@pytest.mark.parametrize("seed", range(5))
def test_the_committed_state_is_that_at_the_commit_point(seed: int) -> None:
    """Whatever is executed beyond it, and undone, and how far ever it moves."""

    async def main(world: World) -> None:
        rng = random.Random(seed)
        engine = await open_engine(world, alone=False, cache_bytes=rng.choice([0, 10**9]))
        c = await _make_collection(engine)
        committed = Committed(c, engine.versions)
        states: dict[int, dict[int, bytes]] = {}

        def note() -> None:
            states[engine.log_end] = {rid: record.raw for rid, record in c.records.items()}

        note()
        for _ in range(40):
            for _ in range(rng.randint(0, 5)):
                change(engine, c, rng)
                note()
            engine.advance_commit(rng.randint(engine.commit_index, engine.log_end))
            _check_committed(committed, states[engine.commit_index], rng)
            if rng.random() < 0.2:
                await engine.truncate_to(rng.randint(engine.commit_index, engine.log_end))
                _check_committed(committed, states[engine.commit_index], rng)
                engine.advance_commit(engine.log_end)
                await engine.checkpoint()
        assert not engine.versions.past._kept

    run(main, SimDisk())


def _check_committed(
    committed: Committed, state: dict[int, bytes], rng: random.Random
) -> None:
    c = committed.collection
    found: list[tuple[int, bytes]] = []
    while batch := committed.scan(found[-1][0] if found else None, rng.choice([1, 3, 100])):
        found += [(record.rid, record.raw) for record in batch]
    assert dict(found) == state
    assert committed.count == len(state)
    assert committed.next_rid > max(state, default=0)
    for rid in range(1, c.next_rid):
        record = committed.get(rid)
        assert (None if record is None else record.raw) == state.get(rid)
    docs = {rid: decode(raw) for rid, raw in state.items()}
    for rid, doc in docs.items():
        assert committed.rid_of(key(doc["_id"])) == rid
    for record in c.records.values():
        if record.rid not in state:
            assert committed.by_id(c.id_key_of(record)) is None
    for index in c.indexes.values():
        wanted = sorted((one, rid) for rid, doc in docs.items() for one in index.keys_of(doc))
        for reverse in (False, True):
            limit, after = rng.choice([1, 3, 100]), None
            pairs: list[tuple[bytes, int]] = []
            while True:
                more = committed.index_scan(
                    index, b"", b"", after=after, limit=limit, reverse=reverse
                )
                pairs += more
                if len(more) < limit:
                    break
                after = pairs[-1]
            assert pairs == (wanted[::-1] if reverse else wanted)


@pytest.mark.parametrize("seed", range(10))
def test_undo_gives_the_state_at_the_commit_point(seed: int) -> None:
    """Entries that were not committed vanish from memory, sessions, indexes and the log."""

    async def main(world: World) -> None:
        rng = random.Random(seed)
        engine = await open_engine(
            world, alone=False, segment_bytes=rng.choice([500, 10**6]), slice_documents=5
        )
        c = await _make_collection(engine)
        states = {}
        sessions = {}

        def note() -> None:
            states[engine.log_end] = state_of(engine)
            sessions[engine.log_end] = {
                lsid: (record.txn_number, dict(record.statements))
                for lsid, record in engine.sessions.snapshot().items()
            }

        note()
        for _ in range(12):
            start = engine.log_end
            for _ in range(rng.randint(1, 6)):
                change(engine, c, rng)
                note()
                if rng.random() < 0.3:
                    await asyncio.sleep(0.01)
            engine.advance_commit(rng.randint(start, engine.log_end))
            target = rng.randint(engine.commit_index, engine.log_end)
            waiting = [
                asyncio.get_running_loop().create_task(engine.committed(index))
                for index in range(start + 1, engine.log_end + 1)
            ]
            await asyncio.sleep(0)
            await engine.truncate_to(target)
            assert engine.log_end == target
            assert state_of(engine) == states[target]
            found = {s: (r.txn_number, r.statements) for s, r in engine.sessions.snapshot().items()}
            assert found == sessions[target]
            engine.advance_commit(target)
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            lost = [error for error in outcomes if isinstance(error, MongoError)]
            assert len([one for one in outcomes if one is None]) == target - start
            assert {error.code for error in lost} <= {189}
            if rng.random() < 0.3:
                await engine.checkpoint()
        check_consistent(engine)
        expected = state_of(engine)
        await engine.close()
        again = await open_engine(world, alone=False)
        assert state_of(again) == expected
        assert again.log_end == engine.log_end

    run(main, SimDisk())


def test_a_checkpoint_whose_end_is_undone_saves_nothing_of_it() -> None:
    async def main(world: World) -> None:
        engine = await open_engine(world)
        c = await engine.create_collection("d", "c", {})
        await put(engine, c, {"_id": 1, "v": 1}, {"_id": 2, "v": 1})
        await engine.close()
        engine = await open_engine(world, alone=False)
        c_again = engine.collection("d", "c")
        assert c_again is not None
        c = c_again
        expected = state_of(engine)
        with engine.unit() as unit:
            unit.insert(c, encode({"_id": 3}))
            unit.update(c, c.records[1], encode({"_id": 1, "v": 9}))
            unit.delete(c, c.records[2])
            unit.commit()
        saving = asyncio.get_running_loop().create_task(engine.checkpoint())
        await asyncio.sleep(1)
        assert not saving.done()  # it waits for the commit of what it saves
        await engine.truncate_to(engine.commit_index)
        with pytest.raises(MongoError) as undone:
            await saving
        assert undone.value.code == 189
        assert state_of(engine) == expected
        await engine.checkpoint()
        await engine.close()
        again = await open_engine(world, alone=False)
        assert state_of(again) == expected
        check_consistent(again)

    run(main, SimDisk())


def test_undo_during_an_index_build() -> None:
    async def main(world: World) -> None:
        engine = await open_engine(world, slice_documents=2)
        c = await engine.create_collection("d", "c", {})
        await put(engine, c, *({"_id": n, "v": n} for n in range(20)))
        engine.options = type(engine.options)(alone=False, background=False, slice_documents=2)
        build = asyncio.get_running_loop().create_task(engine.create_index(c, INDEXES[0]))
        await asyncio.sleep(0)
        with engine.unit() as unit:
            unit.update(c, c.records[1], encode({"_id": 0, "v": 100}))
            unit.delete(c, c.records[2])
            unit.update(c, c.records[20], encode({"_id": 19, "v": 100}))
            unit.insert(c, encode({"_id": 99, "v": 100}))
            unit.commit()
        await engine.truncate_to(engine.commit_index)
        while not build.done():
            engine.advance_commit(engine.log_end)
            await asyncio.sleep(0)
        await build
        check_consistent(engine)

    run(main, SimDisk())


@pytest.mark.parametrize("seed", range(4))
def test_history_is_read_at_any_cluster_time_of_the_window(seed: int) -> None:
    async def main(world: World) -> None:
        rng = random.Random(seed)
        engine = await open_engine(world, history_ms=5000, oplog_bytes=10**7)
        c = await engine.create_collection("d", "c", {})
        for spec in INDEXES:
            await engine.create_index(c, spec)
        past: list[tuple[Any, int, dict[int, bytes]]] = []
        for _ in range(100):
            change(engine, c, rng)
            await engine.committed(engine.log_end)
            state = {rid: record.raw for rid, record in c.records.items()}
            past.append((engine.last_timestamp, engine.last_wall, state))
            if rng.random() < 0.1:
                await engine.checkpoint()
            await asyncio.sleep(rng.random() / 4)
        read = 0
        for time, wall, state in past:
            if wall > engine.last_wall - 5000:
                with await view_at(engine, time) as view:
                    assert seen(view, c) == state
                    check_indexes(view, c, state, 10)
                read += 1
        assert 10 < read < 90
        with pytest.raises(MongoError) as gone:
            await view_at(engine, past[0][0])
        assert gone.value.code == 239
        engine.versions.history_bytes = 0
        change(engine, c, rng)
        await engine.committed(engine.log_end)
        assert not engine.versions.superseded
        assert not c.ghosts

    run(main, SimDisk())


def test_the_window_of_history_opens_and_closes_while_the_store_runs() -> None:
    async def main(world: World) -> None:
        engine = await open_engine(world, oplog_bytes=10**7)
        c = await engine.create_collection("d", "c", {})
        await put(engine, c, {"_id": 1, "v": 0})

        async def write(value: int) -> Any:
            with engine.unit() as unit:
                unit.update(c, c.records[1], encode({"_id": 1, "v": value}))
                index = unit.commit()
            await engine.committed(index)
            return engine.last_timestamp

        async def read(time: Any) -> Any:
            with await view_at(engine, time) as view:
                record = view.by_id(c, key(1))
                assert record is not None
                return record.document()["v"]

        before = await write(1)
        await write(2)
        with pytest.raises(MongoError) as gone:
            await read(before)
        assert gone.value.code == 239
        engine.keep_history(60_000)
        times = [await write(value) for value in range(3, 10)]
        assert [await read(time) for time in times] == list(range(3, 10))
        await asyncio.sleep(50)
        later = await write(10)
        assert [await read(time) for time in (times[0], later)] == [3, 10]
        await asyncio.sleep(30)
        # Nothing is written any more: what is too old goes when the store is asked to look.
        engine.versions.collect(world.clock.now_ms())
        assert [old.document()["v"] for *_, old in engine.versions.superseded] == [9]
        with pytest.raises(MongoError):
            await read(times[0])
        assert await read(later) == 10
        engine.keep_history(0)
        assert not engine.versions.superseded
        assert c.records[1].prev is None
        await engine.close()

    run(main, SimDisk())


def test_small_versions_count_for_what_they_take() -> None:
    async def main(world: World) -> None:
        engine = await open_engine(world, history_ms=10**9, history_bytes=40_000)
        c = await engine.create_collection("d", "c", {})
        await put(engine, c, {"_id": 1, "v": 0})
        for value in range(500):
            with engine.unit() as unit:
                unit.update(c, c.records[1], encode({"_id": 1, "v": value}))
                unit.commit()
            await engine.committed(engine.log_end)
        assert 80 < len(engine.versions.superseded) < 120

    run(main, SimDisk())


def test_a_writer_claims_what_its_view_sees() -> None:
    async def main(world: World) -> None:
        engine = await open_engine(world)
        c = await engine.create_collection("d", "c", {})
        await put(engine, c, {"_id": 1}, {"_id": 2}, {"_id": 3})
        with engine.view() as view:
            with engine.unit() as unit:
                unit.update(c, c.records[1], encode({"_id": 1, "n": 1}))
                unit.delete(c, c.records[2])
                unit.commit()
            for rid in (1, 2):
                with pytest.raises(MongoError) as conflict:
                    view.claim(c, rid)
                assert conflict.value.code == 112
            assert view.claim(c, 3) is c.records[3]

    run(main, SimDisk())
