"""Two stores with one log: a member that applies the leader's lines has the leader's state."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from typing import Any

import pytest
from simdisk import SimDisk
from store_kit import check_consistent, open_engine, put, run, state_of
from store_workload import INDEXES, Workload

from psdb_base.errors import MongoError
from psdb_base.world import World
from psdb_store.engine import Engine


async def _lines(engine: Engine, after: int) -> list[bytes]:
    return await engine.journal.read(after, 10_000, engine.log_end)


@pytest.mark.parametrize("seed", range(12))
def test_a_follower_has_the_leaders_state_at_every_commit(seed: int) -> None:
    async def main(world: World) -> None:
        rng = random.Random(seed)
        leader = await open_engine(world, recent_bytes=10**9)
        work = Workload(leader, rng, world.disk)  # type: ignore[arg-type]
        work.note()
        other = dataclasses.replace(world, disk=SimDisk(seed))
        follower = await open_engine(other, alone=False, slice_documents=2)
        for _ in range(60):
            await work.step()
            await leader.committed(leader.log_end)
            lines = await _lines(leader, follower.log_end)
            follower.receive(lines[: rng.randint(0, len(lines))])
            commit = rng.randint(follower.commit_index, follower.log_end)
            follower.advance_commit(commit)
            assert state_of(follower) == work.states.get(commit, {})
            if rng.random() < 0.1:
                await follower.checkpoint()
            if rng.random() < 0.1:
                await follower.close()
                follower = await open_engine(other, alone=False)
                # The leader's lines say what was committed when they were made.
                follower.advance_commit(commit)
                assert state_of(follower) == work.states.get(follower.commit_index, {})
        follower.receive(await _lines(leader, follower.log_end))
        follower.advance_commit(leader.log_end)
        assert state_of(follower) == state_of(leader)
        assert follower.journal.end == leader.journal.end
        assert follower.last_timestamp == leader.last_timestamp
        sessions = [
            {lsid: (r.txn_number, r.statements) for lsid, r in one.sessions.snapshot().items()}
            for one in (leader, follower)
        ]
        assert sessions[0] == sessions[1]
        check_consistent(follower)

    run(main, SimDisk(seed))


def test_winning_an_election_applies_the_rest_and_losing_it_undoes() -> None:
    async def main(world: World) -> None:
        rng = random.Random(3)
        leader = await open_engine(world, recent_bytes=10**9)
        work = Workload(leader, rng, world.disk)  # type: ignore[arg-type]
        c = await leader.create_collection("d", "c", {})
        for spec in INDEXES[:3]:
            await leader.create_index(c, spec)
        work.note()
        for _ in range(20):
            await work.write(c)
        await leader.committed(leader.log_end)
        other = dataclasses.replace(world, disk=SimDisk(1))
        follower = await open_engine(other, alone=False)
        lines = await _lines(leader, 0)
        follower.receive(lines)
        half = leader.log_end - 10
        follower.advance_commit(half)
        winning = asyncio.get_running_loop().create_task(follower.take_office(7))
        await asyncio.sleep(0.01)
        assert follower.log_end == leader.log_end + 1
        assert state_of(follower) == state_of(leader)
        half = follower.commit_index  # more than was told: the lines themselves say so
        assert half < leader.log_end
        await follower.truncate_to(half)
        with pytest.raises(MongoError):
            await winning
        assert state_of(follower) == work.states[half]
        check_consistent(follower)
        # The old leader goes on: the same lines continue the log again.
        follower.receive(lines[half:])
        follower.advance_commit(leader.log_end)
        assert state_of(follower) == state_of(leader)
        assert follower.journal.end == leader.journal.end

    run(main, SimDisk())


def test_lines_that_do_not_fit_are_refused() -> None:
    async def main(world: World) -> None:
        leader = await open_engine(world)
        await leader.create_collection("d", "c", {})
        other = dataclasses.replace(world, disk=SimDisk(1))
        follower = await open_engine(other, alone=False)
        first, second = await _lines(leader, 0)
        for wrong in ([second], [first[:-1]], [first, first], [first, second.replace(b"c", b"d")]):
            end = follower.log_end
            with pytest.raises(MongoError) as refused:
                follower.receive(wrong)
            assert refused.value.code == 96
            assert follower.log_end <= end + 1
            await follower.truncate_to(0)
        foreign = await open_engine(dataclasses.replace(world, disk=SimDisk(2)))
        await foreign.create_collection("x", "y", {})
        theirs: Any = await _lines(foreign, 0)
        follower.receive([first])
        with pytest.raises(MongoError, match="another history"):
            follower.receive([theirs[1]])

    run(main, SimDisk())


def test_a_power_cut_while_segments_are_cut_away_leaves_no_gap() -> None:
    """Their names went in any order: a later segment could stay without the one before it."""
    images: list[SimDisk] = []
    disk = SimDisk(1)
    kept = 5

    async def cut(world: World) -> None:
        leader = await open_engine(world)
        c = await leader.create_collection("d", "c", {})
        for number in range(30):
            await put(leader, c, {"_id": number, "text": "x" * 200})
            await leader.committed(leader.log_end)
        other = dataclasses.replace(world, disk=disk)
        follower = await open_engine(other, alone=False, segment_bytes=500)
        for line in await _lines(leader, 0):
            follower.receive([line])
            await follower.journal.settle()
        assert len(follower.journal.segments) > 8
        rng = random.Random(1)
        disk.before = lambda _operation, _path: images.extend(disk.crash(rng) for _ in range(4))
        await follower.truncate_to(kept)
        disk.before = None

    async def start(world: World) -> None:
        assert (await open_engine(world, alone=False)).log_end >= kept

    run(cut, SimDisk())
    assert len(images) > 30
    for image in images:
        run(start, image)


@pytest.mark.parametrize("more", [False, True])
def test_an_index_is_built_in_slices_before_its_entry_is_applied(more: bool) -> None:
    async def main(world: World) -> None:
        leader = await open_engine(world, recent_bytes=10**9)
        work = Workload(leader, random.Random(7), world.disk)  # type: ignore[arg-type]
        c = await leader.create_collection("d", "c", {})
        for _ in range(30):
            await work.write(c)
        await leader.create_index(c, INDEXES[0])
        at = leader.log_end
        for _ in range(10):
            await work.write(c)
        await leader.committed(leader.log_end)
        other = dataclasses.replace(world, disk=SimDisk(1))
        follower = await open_engine(other, alone=False)
        follower.receive(await _lines(leader, 0))
        assert follower.received.next_build(at - 1) is None
        assert follower.received.next_build(leader.log_end) == at
        follower.advance_commit(at - 1)
        await follower.received.prepare_build(3)
        if more:  # an election was won meanwhile: the index must hold what came after it
            await follower.member.advance(5)
            follower.begin_term(5)
        follower.advance_commit(at)
        assert list(follower.collection("d", "c").indexes) == list(c.indexes)  # type: ignore[union-attr]
        follower.advance_commit(leader.log_end)
        check_consistent(follower)
        assert state_of(follower) == state_of(leader)

    run(main, SimDisk(2))
