"""The engine's contract: units, commit, catalogue, sessions, log reading, failures, lock."""

from __future__ import annotations

import asyncio
import errno
from typing import Any

import pytest
from bson import ObjectId
from bson.int64 import Int64
from simdisk import SimDisk
from store_kit import DBPATH, by_id, check_consistent, check_lines, open_engine, put, run, state_of

from psdb_base.bson_codec import encode
from psdb_base.diff import apply as apply_diff
from psdb_base.errors import MongoError
from psdb_base.order import key
from psdb_base.values import Document
from psdb_base.world import World
from psdb_store.engine import Engine, StoreOptions


async def _reopen(engine: Engine, **options: Any) -> Engine:
    await engine.close()
    return await open_engine(engine.world, **options)


def scenario(body: Any, disk: SimDisk | None = None) -> Any:
    """Run a test body with an open engine and an empty collection `d.c`."""
    disk = disk or SimDisk()

    async def main(world: World) -> Any:
        engine = await open_engine(world)
        c = await engine.create_collection("d", "c", {})
        return await body(engine, c)

    return run(main, disk)


# Units


def test_effects_are_seen_at_once_and_undone_by_abort() -> None:
    async def body(engine: Engine, c: Any) -> None:
        await put(engine, c, {"_id": 1, "a": 1}, {"_id": 2, "a": 2})
        await engine.create_index(c, {"key": {"a": 1}, "name": "a_1", "unique": True})
        before, end = state_of(engine), engine.log_end
        unit = engine.unit()
        unit.insert(c, encode({"_id": 3, "a": 3}))
        unit.update(c, c.records[1], encode({"_id": 1, "a": 9}))
        unit.delete(c, c.records[2])
        unit.insert(c, encode({"_id": 2, "a": 2}))
        assert by_id(c, 1) == {"_id": 1, "a": 9}
        assert c.count == 3
        unit.abort()
        assert state_of(engine) == before
        assert engine.log_end == end
        check_consistent(engine)

    scenario(body)


def test_a_unit_left_by_an_exception_is_undone() -> None:
    async def body(engine: Engine, c: Any) -> None:
        def fail() -> None:
            with engine.unit() as unit:
                unit.insert(c, encode({"_id": 1}))
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail()
        assert c.count == 0
        await put(engine, c, {"_id": 1})

    scenario(body)


def test_savepoints_undo_one_statement() -> None:
    async def body(engine: Engine, c: Any) -> None:
        with engine.unit() as unit:
            unit.insert(c, encode({"_id": 1}))
            unit.statement(0, {"n": 1})
            mark = unit.savepoint()
            unit.insert(c, encode({"_id": 2}))
            unit.update(c, c.records[1], encode({"_id": 1, "a": 1}))
            unit.statement(1, {"n": 2})
            unit.rollback_to(mark)
            unit.insert(c, encode({"_id": 3}))
            index = unit.commit(b"s" * 16, 7)
        await engine.committed(index)
        entry = (await engine.read_log(index - 1, 1))[0]
        assert [effect.op for effect in entry.effects] == ["i", "i"]
        assert entry.statements == {0: {"n": 1}}
        assert [record.document()["_id"] for record in c.scan(None, 10)] == [1, 3]
        again = await _reopen(engine)
        assert [r.document()["_id"] for r in again.collection("d", "c").scan(None, 9)] == [1, 3]

    scenario(body)


def test_a_duplicate_leaves_the_unit_as_it_was() -> None:
    async def body(engine: Engine, c: Any) -> None:
        await engine.create_index(c, {"key": {"a.b": 1}, "name": "ab", "unique": True})
        with engine.unit() as unit:
            unit.insert(c, encode({"_id": "x", "a": {"b": 1}}))
            with pytest.raises(MongoError) as by_key:
                unit.insert(c, encode({"_id": "y", "a": {"b": 1.0}}))
            with pytest.raises(MongoError) as by_id_key:
                unit.insert(c, encode({"_id": "x", "a": {"b": 2}}))
            unit.insert(c, encode({"_id": "z"}))
            with pytest.raises(MongoError) as by_missing:
                unit.update(c, c.by_id(key("x")), encode({"_id": "x"}))
            await_index = unit.commit()
        await engine.committed(await_index)
        assert by_key.value.code == 11000
        assert by_key.value.message == (
            "E11000 duplicate key error collection: d.c index: ab dup key: { a.b: 1.0 }"
        )
        assert by_key.value.extra == {"keyPattern": {"a.b": 1}, "keyValue": {"a.b": 1.0}}
        assert by_id_key.value.message == (
            'E11000 duplicate key error collection: d.c index: _id_ dup key: { _id: "x" }'
        )
        assert by_missing.value.extra["keyValue"] == {"a.b": None}
        assert [record.document()["_id"] for record in c.scan(None, 10)] == ["x", "z"]
        check_consistent(engine)

    scenario(body)


def test_an_empty_unit_appends_nothing() -> None:
    async def body(engine: Engine, c: Any) -> None:
        end = engine.log_end
        with engine.unit() as unit:
            assert unit.commit() == end
        with engine.unit() as unit:
            unit.statement(0, {"n": 0})
            assert unit.commit(b"s" * 16, 1) == end + 1
        assert engine.sessions.get(b"s" * 16).statements == {0: {"n": 0}}

    scenario(body)


def test_putting_and_removing_by_id() -> None:
    async def body(engine: Engine, c: Any) -> None:
        for doc, at in (
            ({"_id": "a", "n": 1}, 1), ({"_id": "a", "n": 1}, 0), ({"_id": "a", "n": 2}, 1),
        ):  # fmt: skip
            end = engine.log_end
            with engine.unit() as unit:
                unit.put(c, doc)
                unit.remove(c, "b")
                await engine.committed(unit.commit())
            assert by_id(c, "a") == doc
            assert engine.log_end == end + at
        with engine.unit() as unit:
            unit.remove(c, "a")
            await engine.committed(unit.commit())
        assert by_id(c, "a") is None
        check_consistent(engine)

    scenario(body)


def test_two_units_at_once_are_a_bug() -> None:
    async def body(engine: Engine, c: Any) -> None:
        unit = engine.unit()
        with pytest.raises(AssertionError, match="another write unit"):
            engine.unit()
        unit.abort()
        engine.unit().abort()

    scenario(body)


# Documents


DOCUMENTS: list[Document] = [
    {"_id": 1, "f": float("nan"), "g": float("-inf"), "h": -0.0},
    {"_id": ObjectId(), "$weird": 1, "a.b": 2, "": 3},
    {"_id": {"a": 1, "b": [1, "2"]}, "long": Int64(5), "int": 5, "double": 5.0},
    {"_id": "é\x00", "list": [[], {}, [None]]},
]


def test_documents_survive_bit_for_bit() -> None:
    raw_twice = b"\x17\x00\x00\x00\x10_id\x00\x63\x00\x00\x00\x10_id\x00\x63\x00\x00\x00\x00"
    raw_symbol = b"\x18\x00\x00\x00\x10_id\x00\x62\x00\x00\x00\x0es\x00\x03\x00\x00\x00ab\x00\x00"

    async def body(engine: Engine, c: Any) -> None:
        raws = [encode(doc) for doc in DOCUMENTS] + [raw_twice, raw_symbol]
        with engine.unit() as unit:
            for raw in raws:
                unit.insert(c, raw)
            index = unit.commit()
        await engine.committed(index)
        crashed = await open_engine(
            World(engine.world.clock, engine.world.random, engine.world.disk.copy(),  # type: ignore[attr-defined]
                  engine.world.network, engine.world.log)
        )  # fmt: skip
        assert [r.raw for r in crashed.collection("d", "c").scan(None, 9)] == raws
        saved = await _reopen(engine)
        assert [r.raw for r in saved.collection("d", "c").scan(None, 9)] == raws
        check_lines(engine.world.disk)  # type: ignore[arg-type]

    scenario(body)


def test_updates_are_logged_as_diffs_where_that_is_smaller() -> None:
    async def body(engine: Engine, c: Any) -> None:
        old = {"_id": 1, "text": "x" * 500, "n": 1, "inner": {"a": [1, 2, 3]}}
        await put(engine, c, old)
        new = {**old, "n": Int64(2), "more": True}
        with engine.unit() as unit:
            unit.update(c, c.records[1], encode(new))
            index = unit.commit()
        await engine.committed(index)
        (effect,) = (await engine.read_log(index - 1, 1))[0].effects
        assert effect.document is None
        assert effect.document_key == {"_id": 1}
        assert encode(apply_diff(old, effect.diff)) == encode(new)
        again = await _reopen(engine)
        assert again.collection("d", "c").records[1].raw == encode(new)

    scenario(body)


# Scans


def test_scans_resume_by_record_whatever_happens_between() -> None:
    async def body(engine: Engine, c: Any) -> None:
        await put(engine, c, *({"_id": n} for n in range(10)))
        first = c.scan(None, 4)
        with engine.unit() as unit:
            for rid in (4, 5, 6):
                unit.delete(c, c.records[rid])
            unit.insert(c, encode({"_id": 99}))
            unit.commit()
        rest = c.scan(first[-1].rid, 100)
        assert [record.document()["_id"] for record in rest] == [6, 7, 8, 9, 99]
        back = c.scan(None, 3, reverse=True)
        assert [record.document()["_id"] for record in back] == [99, 9, 8]
        back = c.scan(back[-1].rid, 100, reverse=True)
        assert [record.document()["_id"] for record in back] == [7, 6, 2, 1, 0]
        assert c.scan(back[-1].rid, 5, reverse=True) == []

    scenario(body)


def test_natural_order_is_tidied_when_most_of_it_is_gone() -> None:
    async def body(engine: Engine, c: Any) -> None:
        await put(engine, c, *({"_id": n} for n in range(5000)))
        with engine.unit() as unit:
            for rid in range(1, 4991):
                unit.delete(c, c.records[rid])
            unit.commit()
        await engine.committed(engine.log_end)
        assert sum(len(part) for part in c.rid_slices(None, 100)) < 2100
        assert [record.rid for record in c.scan(None, 100)] == list(range(4991, 5001))

    scenario(body)


def test_capped_collections_evict_the_oldest_in_the_same_entry() -> None:
    async def body(engine: Engine, c: Any) -> None:
        capped = await engine.create_collection(
            "d", "capped", {"capped": True, "size": 10_000, "max": 3}
        )
        index = await put(engine, capped, *({"_id": n} for n in range(5)))
        assert [record.document()["_id"] for record in capped.scan(None, 10)] == [2, 3, 4]
        (entry,) = await engine.read_log(index - 1, 1)
        assert [effect.op for effect in entry.effects] == ["i", "i", "i", "i", "d", "i", "d"]
        small = await engine.create_collection("d", "small", {"capped": True, "size": 50})
        await put(engine, small, *({"_id": n, "t": "x" * 5} for n in range(5)))
        assert small.count == 1
        check_consistent(engine)

    scenario(body)


# Catalogue


def test_catalogue_operations() -> None:
    async def body(engine: Engine, c: Any) -> None:
        uuid = bytes(c.uuid)
        with pytest.raises(MongoError) as taken:
            await engine.create_collection("d", "c", {})
        assert (taken.value.code, taken.value.message) == (48, "Collection d.c already exists.")
        await put(engine, c, {"_id": 1})
        await engine.rename_collection(c, "d", "e")
        assert engine.collection("d", "c") is None
        assert engine.collection("d", "e") is c
        assert bytes(c.uuid) == uuid
        await engine.rename_collection(c, "other", "e")
        assert bytes(c.uuid) != uuid
        assert engine.databases() == ["other"]
        view = await engine.create_collection("other", "v", {"viewOn": "e", "pipeline": []})
        assert view.is_view
        assert view.indexes == {}
        with pytest.raises(MongoError), engine.unit() as unit:
            unit.insert(view, encode({"_id": 1}))
        target = await engine.create_collection("other", "t", {})
        with pytest.raises(MongoError) as exists:
            await engine.rename_collection(c, "other", "t")
        assert (exists.value.code, exists.value.message) == (48, "target namespace exists")
        await engine.rename_collection(c, "other", "t", drop_target=True)
        assert target.dropped
        assert engine.collection("other", "t") is c
        await engine.set_options(c, {"validator": {"a": {"$gt": 1.5}}})
        engine = await _reopen(engine)
        c = engine.collection("other", "t")
        assert c.options == {"validator": {"a": {"$gt": 1.5}}}
        assert by_id(c, 1) == {"_id": 1}
        assert engine.collection("other", "v").is_view
        await engine.drop_database("other")
        assert engine.databases() == []
        engine = await _reopen(engine)
        assert engine.databases() == []
        assert [path for path in engine.world.disk.files() if "/data/" in path] == []  # type: ignore[attr-defined]

    scenario(body)


def test_a_catalogue_change_takes_effect_when_it_is_committed() -> None:
    async def body(engine: Engine, c: Any) -> None:
        change = asyncio.get_running_loop().create_task(engine.drop_collection(c))
        await asyncio.sleep(0)
        assert engine.collection("d", "c") is c
        assert c.busy is not None
        with pytest.raises(MongoError), engine.unit() as unit:
            unit.insert(c, encode({"_id": 1}))
        await c.busy
        assert c.busy is None
        assert engine.collection("d", "c") is None
        await change

    scenario(body)


def test_a_change_whose_caller_went_away_takes_effect_all_the_same() -> None:
    async def body(engine: Engine, c: Any) -> None:
        change = asyncio.get_running_loop().create_task(engine.drop_collection(c))
        await asyncio.sleep(0)
        change.cancel()
        await engine.committed(engine.log_end)
        assert engine.collection("d", "c") is None
        assert c.busy is None
        await engine.create_collection("d", "c", {})
        await engine.checkpoint()

    scenario(body)


def test_two_creations_of_one_name() -> None:
    async def body(engine: Engine, c: Any) -> None:
        both = await asyncio.gather(
            engine.create_collection("d", "x", {}),
            engine.create_collection("d", "x", {}),
            return_exceptions=True,
        )
        assert sum(isinstance(one, MongoError) and one.code == 48 for one in both) == 1

    scenario(body)


# Sessions


def test_sessions_are_restored_from_log_and_manifest() -> None:
    async def body(engine: Engine, c: Any) -> None:
        one, two = b"1" * 16, b"2" * 16
        for lsid, number, ids in ((one, 5, (0, 1, 2)), (two, 9, (0,)), (one, 6, (0,))):
            with engine.unit() as unit:
                for stmt_id in ids:
                    unit.insert(c, encode({"_id": ObjectId()}))
                    unit.statement(stmt_id, {"n": 1, "id": stmt_id if stmt_id == 2 else 0})
                unit.commit(lsid, number)
        with engine.unit() as unit:
            unit.statement(4, {"n": 0})
            unit.commit(one, 6)
        await engine.checkpoint()
        with engine.unit() as unit:
            unit.statement(5, {"upserted": ObjectId(b"a" * 12)})
            unit.commit(two, 9)
        await engine.committed(engine.log_end)
        wanted = {
            one: (6, {0: {"n": 1, "id": 0}, 4: {"n": 0}}),
            two: (9, {0: {"n": 1, "id": 0}, 5: {"upserted": ObjectId(b"a" * 12)}}),
        }
        disk = engine.world.disk.copy()  # type: ignore[attr-defined]
        world = World(engine.world.clock, engine.world.random, disk, None, engine.world.log)  # type: ignore[arg-type]
        for store in (engine, await open_engine(world), await _reopen(engine)):
            found = store.sessions.snapshot()
            assert {s: (r.txn_number, r.statements) for s, r in found.items()} == wanted
        await store.forget_sessions([one, b"unknown" + bytes(9)])
        store = await _reopen(store)
        assert list(store.sessions.snapshot()) == [two]

    scenario(body)


def test_results_of_neighbouring_statements_are_written_once() -> None:
    async def body(engine: Engine, c: Any) -> None:
        with engine.unit() as unit:
            for number in range(1000):
                unit.statement(number, {"n": 1})
            index = unit.commit(b"s" * 16, 1)
        await engine.committed(index)
        (entry,) = await engine.read_log(index - 1, 1)
        assert entry.body["statements"] == [[0, 999, {"n": 1}]]
        assert len(entry.statements) == 1000

    scenario(body)


# Log


def test_the_log_is_read_from_memory_and_from_segments() -> None:
    async def body(engine: Engine, c: Any) -> None:
        for number in range(30):
            await put(engine, c, {"_id": number})
        entries = await engine.read_log(0, 1000)
        assert [entry.index for entry in entries] == list(range(1, 33))
        assert [entry.kind for entry in entries[:3]] == ["noop", "catalogue", "write"]
        times = [entry.time for entry in entries]
        assert times == sorted(times)
        assert engine.last_timestamp == times[-1]
        await engine.close()
        engine = await open_engine(engine.world, segment_bytes=2000, block_bytes=100)
        c = engine.collection("d", "c")
        for number in range(30, 60):
            await put(engine, c, {"_id": number})
        engine.journal._recent.clear()
        for after in (0, 1, 31, 40, engine.log_end - 1, engine.log_end):
            found = await engine.read_log(after, 7)
            wanted = range(after + 1, min(after + 7, engine.log_end) + 1)
            assert [entry.index for entry in found] == list(wanted)

    scenario(body)


def test_a_position_before_the_log_answers_clearly() -> None:
    async def main(world: World) -> None:
        engine = await open_engine(world, segment_bytes=1, oplog_bytes=0)
        c = await engine.create_collection("d", "c", {})
        await put(engine, c, {"_id": 1})
        unpin = engine.pin_log(1)
        await engine.checkpoint()
        assert engine.journal.first_index == 2
        unpin()
        await put(engine, c, {"_id": 2})
        await engine.checkpoint()
        assert engine.journal.first_index == 4
        with pytest.raises(MongoError) as gone:
            await engine.read_log(1, 5)
        assert gone.value.code == 136
        assert [entry.index for entry in await engine.read_log(3, 5)] == [4]

    run(main, SimDisk())


# Failures


@pytest.mark.parametrize(("number", "code"), [(errno.EIO, 42), (errno.ENOSPC, 14031)])
@pytest.mark.parametrize("nth", [0, 1])
def test_a_failed_write_or_sync_of_the_journal_is_final(nth: int, number: int, code: int) -> None:
    disk = SimDisk()

    async def body(engine: Engine, c: Any) -> None:
        await put(engine, c, {"_id": 1})
        await engine.journal.settle()
        disk.fail_at(nth, number)
        with pytest.raises(MongoError) as first:
            await put(engine, c, {"_id": 2})
        disk.before = None  # the disk works again: that changes nothing
        with pytest.raises(MongoError) as later:
            engine.unit()
        with pytest.raises(MongoError):
            await engine.create_collection("d", "e", {})
        with pytest.raises(MongoError):
            await engine.committed(engine.log_end)
        assert first.value.code == later.value.code == code
        assert "refused" in later.value.message
        assert by_id(c, 1) == {"_id": 1}
        await engine.close()
        again = await open_engine(engine.world)
        assert by_id(again.collection("d", "c"), 1) == {"_id": 1}
        await put(again, again.collection("d", "c"), {"_id": 3})

    scenario(body, disk)


def test_every_failing_operation_of_a_checkpoint_leaves_the_old_state() -> None:
    for nth in range(40):
        disk = SimDisk()

        async def body(engine: Engine, c: Any, disk: SimDisk = disk, nth: int = nth) -> bool:
            await put(engine, c, {"_id": 1, "t": "x" * 300})
            await engine.checkpoint()
            with engine.unit() as unit:
                unit.update(c, c.records[1], encode({"_id": 1, "t": "y" * 300}))
                unit.commit()
            await engine.create_collection("d", "new", {})
            await engine.committed(engine.log_end)
            await engine.journal.settle()
            expected = state_of(engine)
            disk.fail_at(nth)
            (outcome,) = await asyncio.gather(engine.checkpoint(), return_exceptions=True)
            disk.before = None
            failed = outcome is not None
            if failed:
                assert isinstance(outcome, MongoError)
                assert outcome.code == 42
                with pytest.raises(MongoError):
                    engine.unit()
            await engine.close()
            again = await open_engine(engine.world)
            assert state_of(again) == expected
            return failed

        if not scenario(body, disk):
            assert nth > 6
            return
    raise AssertionError("a checkpoint of more than 40 operations")


def test_a_full_disk_refuses_writes_and_recovers() -> None:
    disk = SimDisk()

    async def body(engine: Engine, c: Any) -> None:
        await engine.journal.settle()
        disk.room_bytes = 2000
        kept = -1

        async def fill() -> None:
            nonlocal kept
            for number in range(100):
                await put(engine, c, {"_id": number})
                kept = number

        with pytest.raises(MongoError) as full:
            await fill()
        assert full.value.code == 14031
        await engine.close()
        disk.room_bytes = None
        again = await open_engine(engine.world)
        c = again.collection("d", "c")
        assert kept < c.count <= kept + 2
        assert list(range(c.count)) == [r.document()["_id"] for r in c.scan(None, 1000)]

    scenario(body, disk)


def test_gates_open_when_the_disk_fails() -> None:
    disk = SimDisk()

    async def body(engine: Engine, c: Any) -> None:
        await engine.journal.settle()
        disk.fail_at(0)
        change = asyncio.get_running_loop().create_task(engine.drop_collection(c))
        await asyncio.sleep(0)
        while c.busy is not None:
            await c.busy
        with pytest.raises(MongoError):
            await change
        assert engine.collection("d", "c") is c

    scenario(body, disk)


def test_a_second_process_is_refused() -> None:
    async def body(engine: Engine, c: Any) -> None:
        with pytest.raises(MongoError) as taken:
            await open_engine(engine.world)
        assert taken.value.code == 98
        assert f"{DBPATH}/psdb.lock" in taken.value.message
        await engine.close()
        await engine.close()
        await (await open_engine(engine.world)).close()

    scenario(body)


def test_a_hung_disk_does_not_hang_the_loop() -> None:
    disk = SimDisk()

    async def body(engine: Engine, c: Any) -> None:
        disk.hung["journal"] = True
        with engine.unit() as unit:
            unit.insert(c, encode({"_id": 1}))
            index = unit.commit()
        waiting = asyncio.get_running_loop().create_task(engine.committed(index))
        await asyncio.sleep(60)
        assert not waiting.done()
        assert by_id(c, 1) == {"_id": 1}
        disk.release("journal")
        await waiting

    scenario(body, disk)


# Background


def test_checkpoints_run_by_themselves() -> None:
    async def main(world: World) -> None:
        engine = await open_engine(
            world, background=True, checkpoint_log_bytes=2000, checkpoint_seconds=30.0
        )
        c = await engine.create_collection("d", "c", {})
        await put(engine, c, *({"_id": n} for n in range(50)))
        await asyncio.sleep(1)
        by_size = engine.stats()["checkpoint"]["index"]
        assert by_size == engine.log_end
        await put(engine, c, {"_id": 99})
        await asyncio.sleep(31)
        assert engine.stats()["checkpoint"]["index"] == engine.log_end > by_size
        await engine.close()

    run(main, SimDisk())


def test_writes_go_on_during_a_checkpoint() -> None:
    async def main(world: World) -> None:
        engine = await open_engine(world, slice_documents=3)
        c = await engine.create_collection("d", "c", {})
        await put(engine, c, *({"_id": n, "v": 0} for n in range(100)))
        saving = asyncio.get_running_loop().create_task(engine.checkpoint())
        rounds = 0
        while not saving.done():
            rounds += 1
            with engine.unit() as unit:
                for rid in (rounds % 100 + 1, (rounds * 7) % 100 + 1):
                    record = c.records.get(rid)
                    if record is not None and rounds % 5:
                        unit.update(c, record, encode({**record.document(), "v": rounds}))
                    elif record is not None:
                        unit.delete(c, record)
                unit.commit()
            await asyncio.sleep(0.0001)
        assert rounds > 3
        await engine.committed(engine.log_end)
        expected = state_of(engine)
        disk = world.disk.copy()  # type: ignore[attr-defined]
        again = await open_engine(World(world.clock, world.random, disk, None, world.log))  # type: ignore[arg-type]
        assert state_of(again) == expected
        check_consistent(again)

    run(main, SimDisk())


def test_too_much_uncommitted_makes_writers_wait() -> None:
    async def main(world: World) -> None:
        engine = await open_engine(world, uncommitted_bytes=5000)
        c = await engine.create_collection("d", "c", {})
        peak = 0
        for number in range(50):
            await engine.room()
            with engine.unit() as unit:
                unit.insert(c, encode({"_id": number, "t": "x" * 1000}))
                unit.commit()
            peak = max(peak, engine.stats()["log"]["uncommittedBytes"])
        assert 5000 < peak < 8000

    run(main, SimDisk())


def test_a_small_window_of_the_log_takes_small_segments() -> None:
    megabyte = 2**20
    assert StoreOptions().segment_limit_bytes == 64 * megabyte
    assert StoreOptions(oplog_bytes=megabyte).segment_limit_bytes == megabyte
    assert StoreOptions(oplog_bytes=80 * megabyte).segment_limit_bytes == 10 * megabyte

    async def main(world: World) -> None:
        engine = await open_engine(world, oplog_bytes=megabyte)
        c = await engine.create_collection("d", "c", {})
        for number in range(40):
            await put(engine, c, {"_id": number, "pad": "x" * 100_000})
        await engine.checkpoint()
        assert megabyte / 4 < engine.journal.size_bytes <= megabyte
        assert engine.journal.first_index > 1
        await engine.close()

    run(main, SimDisk())
