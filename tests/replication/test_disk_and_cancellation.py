"""What a member does when its disk fails or it is stopped in the middle, each as a script.

Seeds of simulated replica sets meet the same by chance.
"""

from __future__ import annotations

import asyncio
import dataclasses
import errno
from types import SimpleNamespace
from typing import Any

import pytest
from simdisk import SimDisk
from store_kit import open_engine, put, run, state_of

from psdb_base.errors import Code, MongoError
from psdb_base.world import World
from psdb_raft.messages import InstallSnapshot, to_fields
from psdb_raft.values import HardState, Install, Truncate
from psdb_store import snapshot
from psdb_store.engine import Engine
from shardsvr.replication import snapshots
from shardsvr.replication.driver import Driver


async def _follower(world: World) -> tuple[Engine, Driver]:
    engine = await open_engine(world, alone=False)
    return engine, Driver(world, engine, "g")


async def _send(receiver: snapshots.Snapshots, pinned: snapshot.Pinned, number: int) -> None:
    """Bring a snapshot piece by piece, as `Snapshots._transfer` does."""
    await receiver.take("a", number, snapshots.MANIFEST, 0, pinned.line)
    for place, file in enumerate(pinned.files):
        data = await pinned.read(file, 0, file["bytes"])
        await receiver.take("a", number, place, 0, data)
    position = pinned.position
    message = InstallSnapshot(
        group="g", sender="a", to="b", term=1, index=position.index, index_term=position.term,
        config_index=1, config={"members": [], "data": {}},
    )
    await receiver.end("a", number, to_fields(message))


@pytest.mark.parametrize("operation", ["write", "fdatasync", "fsync_dir"])
def test_a_disk_that_is_full_under_a_snapshot_gets_its_room_back(operation: str) -> None:
    """The sender is told, nothing stays behind, and the next transfer brings all of it."""

    async def main(world: World) -> None:
        leader = await open_engine(world)
        c = await leader.create_collection("d", "c", {})
        await put(leader, c, {"_id": 1})
        pinned = await snapshot.pin(leader)
        disk = SimDisk(2)
        other = dataclasses.replace(world, disk=disk)
        engine, driver = await _follower(other)
        stepped: list[Any] = []

        async def settled() -> None:
            engine.commit_index = stepped[-1].index

        stub: Any = SimpleNamespace(
            core=driver.core, engine=engine, step=stepped.append, settled=settled
        )
        receiver = snapshots.Snapshots(
            SimpleNamespace(driver=stub, member=SimpleNamespace(engine=engine))  # type: ignore[arg-type]
        )
        before = disk.files()

        def fail(done: str, path: str) -> None:
            if done == operation and "/journal" not in path and "member" not in path:
                raise OSError(errno.ENOSPC, "No space left on device", path)

        disk.before = fail
        with pytest.raises(MongoError) as caught:
            await _send(receiver, pinned, 1)
        assert caught.value.code == Code.OUT_OF_DISK_SPACE
        disk.before = None
        assert disk.files() == before
        assert not stepped
        assert engine.failure is None, "the member's own files are whole"
        await _send(receiver, pinned, 2)
        assert [message.index for message in stepped] == [pinned.position.index]
        engine.commit_index = 0
        installed = await stepped[0].payload.install()
        assert state_of(installed) == state_of(leader)

    run(main, SimDisk(1))


def test_a_disk_that_fails_while_a_snapshot_is_installed_is_final() -> None:
    """The old store is closed and maybe replaced: only the next start can go on."""

    async def main(world: World) -> None:
        engine, driver = await _follower(world)
        roles: list[Any] = []
        driver.on_role = roles.append

        async def install(_: InstallSnapshot) -> Engine:
            raise OSError(errno.EIO, "Input/output error")

        driver.on_install = install
        message = InstallSnapshot(
            group="g", sender="a", to="b", term=1, index=9, index_term=1, config_index=1, config={}
        )
        driver._order(Install(message, 1))
        await driver.settled()
        assert engine.failure is not None
        assert engine.refusal is engine.failure
        assert len(roles) == 1, "it takes no part any more, and says so"
        with pytest.raises(MongoError):
            await engine.committed(engine.log_end + 1)
        driver._order(Truncate(0, 1))
        await driver.settled()
        assert engine.log_end == 0

    run(main, SimDisk(1))


class _Held:
    """Something a driver waits for, which goes on when it is told to."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.waiting: asyncio.Future[None] | None = None

    async def __call__(self, *args: Any) -> None:
        assert self.waiting is None or self.waiting.done(), "two at a time"
        self.begun.append(args)
        self.waiting = asyncio.get_running_loop().create_future()
        await self.waiting

    async def let_go(self) -> None:
        """Let it end, and what comes of that happen."""
        assert self.waiting is not None
        self.waiting.set_result(None)
        for _ in range(5):
            await asyncio.sleep(0)


def test_promises_are_saved_one_after_the_other_and_the_newest_is_last() -> None:
    """Two at a time could reach the disk in either order; the term would go back."""

    async def main(world: World) -> None:
        engine, driver = await _follower(world)
        save, saved = _Held(), []
        engine.member.advance = save  # type: ignore[method-assign, assignment]
        driver.core.saved_hard_state = saved.append  # type: ignore[method-assign]
        for state in (HardState(2, "a"), HardState(3), HardState(4, "b")):
            driver._save(state)
            await asyncio.sleep(0)
        assert save.begun == [(2, "a")]
        await save.let_go()
        assert saved == [HardState(2, "a")]
        assert save.begun == [(2, "a"), (4, "b")]
        await save.let_go()
        assert saved == [HardState(2, "a"), HardState(4, "b")]
        driver._save(HardState(5))
        await asyncio.sleep(0)
        driver.close()
        await save.let_go()
        assert len(saved) == 2, "a member that has stopped hears of nothing"

    run(main, SimDisk(1))


def test_a_promise_that_cannot_be_saved_is_final() -> None:
    async def main(world: World) -> None:
        engine, driver = await _follower(world)

        def fail(_operation: str, path: str) -> None:
            if "member" in path:
                raise OSError(errno.EIO, "Input/output error", path)

        world.disk.before = fail  # type: ignore[attr-defined]
        driver._save(HardState(2, "a"))
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert engine.failure is not None
        assert driver.core.saved.term < 2
        world.disk.before = None  # type: ignore[attr-defined]
        await engine.close()
        again = await open_engine(world, alone=False)
        assert again.member.term < 2

    run(main, SimDisk(1))


@pytest.mark.parametrize("who", ["the caller", "the member"])
def test_who_waits_for_the_log_to_settle_may_be_cancelled_or_outlive_the_work(who: str) -> None:
    """Whoever waits goes, the work goes on; where the work is cancelled the wait just ends."""

    async def main(world: World) -> None:
        engine, driver = await _follower(world)
        cut = _Held()
        engine.truncate_to = cut  # type: ignore[method-assign, assignment]
        driver._order(Truncate(0, 7))
        waiting = asyncio.get_running_loop().create_task(driver.settled())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert cut.begun == [(0,)]
        if who == "the caller":
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await cut.let_go()
            assert driver._generation == 7
            assert driver._working is None
        else:
            driver.close()
            await waiting
            assert driver._generation == 0

    run(main, SimDisk(1))
