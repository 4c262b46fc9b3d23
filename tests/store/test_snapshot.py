"""A store replaced by another one's files, and power cuts between the steps of that."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest
from simdisk import SimDisk
from store_kit import DBPATH, check_consistent, open_engine, run, state_of
from store_workload import INDEXES, Workload

from psdb_base.errors import MongoError
from psdb_base.world import World
from psdb_store import snapshot
from psdb_store.engine import Engine
from psdb_store.lines import PREFIX_BYTES, seal


async def _leader(world: World, seed: int) -> Engine:
    engine = await open_engine(world)
    work = Workload(engine, random.Random(seed), world.disk)  # type: ignore[arg-type]
    c = await engine.create_collection("d", "c", {})
    for spec in INDEXES[:2]:
        await engine.create_index(c, spec)
    for _ in range(40):
        await work.step()
    await engine.checkpoint()
    return engine


async def _received(leader: Engine, engine: Engine, piece: int = 700) -> snapshot.Incoming:
    pinned = await snapshot.pin(leader)
    incoming = snapshot.Incoming(engine, pinned.line)
    for number, file in enumerate(pinned.files):
        for offset in range(0, file["bytes"], piece):
            await incoming.write(number, offset, await pinned.read(file, offset, piece))
    pinned.release()
    await incoming.finish()
    return incoming


async def _other(world: World, seed: int) -> tuple[World, Engine]:
    """Open a store with a history of its own."""
    other = dataclasses.replace(world, disk=SimDisk(seed))
    engine = await _leader(other, seed)
    await engine.close()
    return other, await open_engine(other, alone=False)


@pytest.mark.parametrize("seed", range(4))
def test_the_store_is_the_snapshot_and_goes_on_behind_it(seed: int) -> None:
    async def main(world: World) -> None:
        leader = await _leader(world, seed)
        other, engine = await _other(world, 100 + seed)
        at = leader.commit_index
        installed = await (await _received(leader, engine)).install()
        assert state_of(installed) == state_of(leader)
        assert installed.journal.end == leader.journal.end
        check_consistent(installed)
        c = leader.collection("d", "c")
        if c is None:
            c = await leader.create_collection("d", "c", {})
        with leader.unit() as unit:
            unit.insert(c, b"\x0e\x00\x00\x00\x10_id\x00\x07\x00\x00\x00\x00")
            unit.commit()
        await leader.committed(leader.log_end)
        installed.receive(await leader.journal.read(at, 100, leader.log_end))
        await installed.journal.settle()
        installed.advance_commit(leader.log_end)
        assert state_of(installed) == state_of(leader)
        await installed.close()
        again = await open_engine(other, alone=False)
        assert state_of(again) == state_of(leader)

    run(main, SimDisk(seed))


def test_seed_1042_a_snapshot_given_up_while_it_is_installed_keeps_its_files() -> None:
    """The member was stopped in between, and removed what its manifest named already."""

    async def main(world: World) -> None:
        leader = await _leader(world, 1)
        other, engine = await _other(world, 2)
        incoming = await _received(leader, engine)
        late = snapshot.Incoming(engine, (await snapshot.pin(leader)).line)
        await late.write(0, 0, b"of another snapshot")
        await engine.close(save=False)
        incoming._switch()
        for one in (incoming, late):
            await one.abandon()
        again = await open_engine(other, alone=False)
        assert state_of(again) == state_of(leader)
        with pytest.raises(MongoError, match="another snapshot was installed meanwhile"):
            await late.write(0, 19, b"goes on")

    run(main, SimDisk(3))


@pytest.mark.parametrize("step", ["received", "segment", "manifest", "removing"])
def test_a_power_cut_leaves_the_old_state_or_the_new_one(step: str) -> None:
    async def main(world: World) -> None:
        leader = await _leader(world, 1)
        other, engine = await _other(world, 2)
        old = state_of(engine)
        incoming = await _received(leader, engine)
        await engine.close(save=False)
        disk: Any = other.disk
        if step == "segment":
            _cut_before_the_manifest(incoming)
        elif step != "received":
            incoming._switch()
        if step == "removing":
            name = next(name for name in disk.list(f"{DBPATH}/journal") if name[-1] == "l")
            disk.remove(f"{DBPATH}/journal/{name}")
            disk.fsync_dir(f"{DBPATH}/journal")
        again = await open_engine(other, alone=False)
        assert state_of(again) == (state_of(leader) if step in ("manifest", "removing") else old)
        check_consistent(again)
        names = disk.list(f"{DBPATH}/journal")
        assert not any(name.endswith(".new") for name in names)

    run(main, SimDisk(3))


def _cut_before_the_manifest(incoming: snapshot.Incoming) -> None:
    """Do the first step of the switch only."""
    disk: Any = incoming._disk
    rename = disk.rename

    def fail(source: str, target: str) -> None:
        raise OSError(f"the power went before {source} became {target}")

    disk.rename = fail
    try:
        with pytest.raises(OSError, match="power"):
            incoming._switch()
    finally:
        disk.rename = rename


def test_a_damaged_snapshot_is_refused() -> None:
    async def main(world: World) -> None:
        leader = await _leader(world, 5)
        _, engine = await _other(world, 6)
        pinned = await snapshot.pin(leader)
        with pytest.raises(MongoError):
            snapshot.Incoming(engine, pinned.line[:-3] + b"0}}")
        newer = pinned.line[PREFIX_BYTES:].replace(b'"format":2', b'"format":3', 1)
        with pytest.raises(MongoError) as refused:
            snapshot.Incoming(engine, seal(newer)[:-1])
        assert refused.value.code == 12
        incoming = snapshot.Incoming(engine, pinned.line)
        for number, file in enumerate(pinned.files):
            data = await pinned.read(file, 0, file["bytes"])
            await incoming.write(number, 0, data[:-2] + b"\n\n")
        with pytest.raises(MongoError):
            await incoming.finish()
        await incoming.abandon()

    run(main, SimDisk(7))
