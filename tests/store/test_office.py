"""Office lost and won over one log, and the configurations that the log holds."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from bson.objectid import ObjectId
from simdisk import SimDisk
from store_kit import check_consistent, open_engine, run, state_of

from psdb_base.bson_codec import encode
from psdb_base.errors import Code, MongoError
from psdb_base.world import World
from psdb_store import snapshot
from psdb_store.engine import Engine, void

REFUSAL = MongoError(Code.NOT_WRITABLE_PRIMARY, "not primary")
INTERRUPTION = MongoError(Code.INTERRUPTED_DUE_TO_REPL_STATE_CHANGE, "stepped down")


def _insert(engine: Engine, c: Any, number: int) -> int:
    with engine.unit() as unit:
        unit.insert(c, encode({"_id": number}))
        return unit.commit()


async def _leader(world: World) -> tuple[Engine, Any]:
    """Open a store whose commit index the test moves, in office, with one collection."""
    engine = await open_engine(world, alone=False)
    await engine.member.advance(1)
    engine.advance_commit(engine.begin_term(1))
    loop = asyncio.get_running_loop()
    engine.on_append = lambda *_: void(
        loop.call_soon(lambda: engine.advance_commit(engine.log_end))
    )
    c = await engine.create_collection("d", "c", {})
    engine.on_append = None
    return engine, c


def test_what_lost_office_undid_comes_back_when_it_is_committed_after_all() -> None:
    async def main(world: World) -> None:
        engine, c = await _leader(world)
        engine.advance_commit(_insert(engine, c, 1))
        for number in (2, 3, 4):
            _insert(engine, c, number)
        full, end = state_of(engine), engine.journal.end
        engine.leave_office(REFUSAL, INTERRUPTION)
        assert [record.document()["_id"] for record in c.scan(None, 10)] == [1]
        assert engine.journal.end == end, "the log keeps what may have a majority"
        engine.advance_commit(end.index - 1)
        assert [record.document()["_id"] for record in c.scan(None, 10)] == [1, 2, 3]
        engine.advance_commit(end.index)
        assert state_of(engine) == full
        check_consistent(engine)

    run(main, SimDisk(1))


def test_who_waits_for_a_commit_is_told_that_office_was_lost_and_writes_are_refused() -> None:
    async def main(world: World) -> None:
        engine, c = await _leader(world)
        index = _insert(engine, c, 1)
        waiting = engine.committed(index)
        waiting.send(None)
        engine.leave_office(REFUSAL, INTERRUPTION)
        with pytest.raises(MongoError) as caught:
            waiting.send(None)
        assert caught.value.code == Code.INTERRUPTED_DUE_TO_REPL_STATE_CHANGE
        with pytest.raises(MongoError) as caught:
            engine.unit()
        assert caught.value.code == Code.NOT_WRITABLE_PRIMARY

    run(main, SimDisk(2))


def test_the_log_knows_its_configurations() -> None:
    async def main(world: World) -> None:
        engine, _ = await _leader(world)
        first = {"_id": "rs", "version": 1, "settings": {"replicaSetId": ObjectId()}}
        second = {**first, "version": 2}
        first_at = engine.append_membership(first)
        engine.advance_commit(first_at)
        at = engine.append_membership(second)
        assert [document["version"] for _, document in engine.memberships] == [1, 2]
        engine.leave_office(REFUSAL, INTERRUPTION)
        assert engine.memberships[-1] == (at, second), "it counts from when it is in the log"
        await engine.truncate_to(at - 1)
        assert [document["version"] for _, document in engine.memberships] == [1]
        await engine.close()
        again = await open_engine(world, alone=False)
        assert again.memberships == [(first_at, first)], "the entry's index, not the manifest's"
        engine.refusal = None
        at = again.append_membership(second)
        await again.journal.settle()
        copy = World(world.clock, world.random, world.disk, world.network, world.log)
        again.journal.failure = MongoError(1, "the process is gone")
        again._release_lock()
        third = await open_engine(copy, alone=False)
        assert third.memberships == [(first_at, first), (at, second)]

    run(main, SimDisk(3))


def test_a_checkpoint_of_writes_that_were_undone_names_no_position() -> None:
    async def main(world: World) -> None:
        engine, c = await _leader(world)
        engine.advance_commit(_insert(engine, c, 1))
        at = _insert(engine, c, 2)
        saving = asyncio.ensure_future(engine.checkpoint())
        while c.dirty:
            await asyncio.sleep(0)  # the state is frozen, with what is not committed
        engine.leave_office(REFUSAL, INTERRUPTION)
        await engine.truncate_to(at - 1)
        engine.advance_commit(engine.begin_term(2))
        assert engine.commit_index == at, "another entry has the index now"
        with pytest.raises(MongoError) as caught:
            await saving
        assert caught.value.code == Code.INTERRUPTED_DUE_TO_REPL_STATE_CHANGE

    run(main, SimDisk(1))


def test_indexes_hold_what_was_saved_and_undone_and_saved_again() -> None:
    """A start read its file's lines "5", "5 is gone", "5", and took it for gone in the indexes."""

    async def main(world: World) -> None:
        engine, c = await _leader(world)
        engine.on_append = lambda *_: void(
            asyncio.get_running_loop().call_soon(lambda: engine.advance_commit(engine.log_end))
        )
        await engine.create_index(c, {"v": 2, "key": {"_id": "hashed"}, "name": "h"})
        engine.on_append = None
        at = _insert(engine, c, 1)
        saving = asyncio.ensure_future(engine.checkpoint())
        while (c.dirty or c.data is None) and not saving.done():
            await asyncio.sleep(0.001)  # it waits for the commit of what it has written
        engine.leave_office(REFUSAL, INTERRUPTION)
        with pytest.raises(MongoError):
            await saving
        await engine.checkpoint()
        engine.advance_commit(at)
        await engine.checkpoint()
        await engine.close()
        again = await open_engine(world, alone=False)
        found = again.collection("d", "c")
        assert found is not None
        assert found.count == 1
        check_consistent(again)

    run(main, SimDisk(1))


@pytest.mark.parametrize("seed", range(8))
def test_segments_that_a_cut_removed_do_not_come_back(seed: int) -> None:
    disk = SimDisk(seed)

    async def cut(world: World) -> None:
        engine = await open_engine(world, alone=False, segment_bytes=400, background=False)
        await engine.member.advance(1)
        engine.advance_commit(engine.begin_term(1))
        for _ in range(12):
            engine.append_noop()
            await engine.journal.settle()
        assert len(engine.journal.segments) > 3
        engine.leave_office(REFUSAL, INTERRUPTION)
        await engine.truncate_to(2)
        engine.begin_term(2)
        await engine.journal.settle()

    async def again(world: World) -> None:
        engine = await open_engine(world, alone=False, segment_bytes=400, background=False)
        assert engine.journal.end.index == 3
        assert engine.journal.end.term == 2

    run(cut, disk)
    run(again, disk.crash(random.Random(seed)))


def test_seed_1332_a_snapshot_waits_for_no_checkpoint_that_waits_for_a_commit() -> None:
    """The commit can need the member for which the snapshot is: neither moved ever again."""

    async def main(world: World) -> None:
        engine, c = await _leader(world)
        engine.advance_commit(_insert(engine, c, 1))
        await engine.checkpoint()
        at = engine.log_end
        _insert(engine, c, 2)
        waiting = asyncio.create_task(engine.checkpoint())
        await engine.journal.settle()
        async with asyncio.timeout(10):
            pinned = await snapshot.pin(engine)
        assert not waiting.done()
        assert pinned.position.index == at
        engine.advance_commit(engine.log_end)
        await waiting
        for file in pinned.files:
            assert len(await pinned.read(file, 0, file["bytes"])) == file["bytes"]
        assert await engine.journal.read(at, 10, engine.log_end), "the log behind it is kept"
        pinned.release()
        await engine.close()

    run(main, SimDisk(1))
