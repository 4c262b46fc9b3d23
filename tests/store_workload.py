"""Power cuts at random points of random workloads.

One run of a workload is cut at many points: before an operation of the disk, one possible state
after a power cut is drawn (`SimDisk.crash`). Each such state must open, and hold exactly the state
at one log index, at or above all that was acknowledged when the power went. Processes are killed
and restarted in between; disks fill up and fail, which ends the process's writes.
"""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from simdisk import SimDisk
from store_kit import State, check_consistent, check_lines, open_engine, run, state_of

from psdb_base.bson_codec import encode
from psdb_base.errors import Code, MongoError
from psdb_base.world import World
from psdb_store.collection import Collection
from psdb_store.engine import Engine

STEPS = 40
LOG_WRITE_FAILED = Code.LOG_WRITE_FAILED

INDEXES: list[dict[str, Any]] = [
    {"key": {"n": 1}, "name": "n_1"},
    {"key": {"n": -1, "t": 1}, "name": "n_-1_t_1"},
    {"key": {"tags": 1}, "name": "tags_1"},
    {"key": {"u": 1}, "name": "u_1", "unique": True, "sparse": True},
    {"key": {"t": "hashed"}, "name": "t_hashed"},
]


@dataclass
class Point:
    """A state of the disk after a power cut, and what had been acknowledged."""

    disk: SimDisk
    acknowledged: int
    operation: str
    states: dict[int, State]


def check_duplicate(error: MongoError) -> None:
    """Let a refusal pass that is a duplicate's."""
    if error.code != 11000:
        raise error


@dataclass
class Workload:
    """Random operations on an engine, with the expected state at every log index."""

    engine: Engine
    rng: random.Random
    disk: SimDisk
    states: dict[int, State] = field(default_factory=dict)
    acknowledged: int = 0
    serial: int = 0

    def note(self) -> None:
        self.states[self.engine.log_end] = state_of(self.engine)

    def collections(self) -> list[Collection]:
        return [c for db in self.engine.databases() for c in self.engine.collections(db)]

    async def step(self) -> None:
        collections = [c for c in self.collections() if not c.is_view]
        if not collections:
            await self.create()
            return
        c = self.rng.choice(collections)
        operations = [self.write] * 12 + [
            self.checkpoint, self.checkpoint, self.index, self.index, self.create, self.drop,
            self.rename, self.drop_index, self.modify,
        ]  # fmt: skip
        await self.rng.choice(operations)(c)

    async def write(self, c: Collection) -> None:
        rng = self.rng
        for _ in range(rng.randint(1, 3)):  # several units in one turn of the loop
            with self.engine.unit() as unit:
                for _ in range(rng.randint(1, 4)):
                    try:
                        self.effect(unit, c)
                    except MongoError as error:
                        check_duplicate(error)
                session = bytes([rng.randrange(3)]) * 16 if rng.random() < 0.3 else None
                if session is not None:
                    unit.statement(0, {"n": 1})
                unit.commit(session, None if session is None else self.serial)
            self.note()
        if rng.random() < 0.8:
            end = self.engine.log_end
            await self.engine.committed(end)
            self.acknowledged = end

    def effect(self, unit: Any, c: Collection, *, retry: bool = False) -> None:
        """Insert, update or delete; with `retry` a duplicate is passed over."""
        try:
            self._effect(unit, c)
        except MongoError as error:
            check_duplicate(error)
            if not retry:
                raise

    def _effect(self, unit: Any, c: Collection) -> None:
        rng = self.rng
        rids = list(c.records)
        choice = rng.random()
        self.serial += 1
        doc = {
            "_id": self.serial, "n": rng.randrange(5), "t": "x" * rng.randrange(200),
            "tags": list(range(rng.randrange(4))), "f": 1.5,
        }  # fmt: skip
        if rng.random() < 0.5:
            doc["u"] = rng.randrange(40)
        if not rids or choice < 0.5:
            unit.insert(c, encode(doc), doc)
        elif choice < 0.8:
            record = c.records[rng.choice(rids)]
            old = record.document()
            if rng.random() < 0.5:
                doc = {**old, "n": rng.randrange(5)}
            else:
                doc["_id"] = old["_id"]
            unit.update(c, record, encode(doc))
        else:
            unit.delete(c, c.records[rng.choice(rids)])

    async def done(self) -> None:
        self.note()
        end = self.engine.log_end
        await self.engine.committed(end)
        self.acknowledged = end

    async def create(self, _: Collection | None = None) -> None:
        name = self.rng.choice(["a", "B", "b", "con", "c d", "é"])
        if self.engine.collection("db", name) is None:
            await self.engine.create_collection("db", name, {"x": self.serial})
            await self.done()

    async def drop(self, c: Collection) -> None:
        if self.rng.random() < 0.3:
            await self.engine.drop_database(c.db)
        else:
            await self.engine.drop_collection(c)
        await self.done()

    async def rename(self, c: Collection) -> None:
        db, name = self.rng.choice(["db", "other"]), self.rng.choice(["r1", "r2"])
        if self.engine.collection(db, name) is not c:
            await self.engine.rename_collection(c, db, name, drop_target=True)
            await self.done()

    async def index(self, c: Collection) -> None:
        try:
            await self.engine.create_index(c, self.rng.choice(INDEXES))
        except MongoError as error:
            check_duplicate(error)
        await self.done()

    async def drop_index(self, c: Collection) -> None:
        names = [name for name in c.indexes if name != "_id_"]
        if names:
            await self.engine.drop_index(c, self.rng.choice(names))
            await self.done()

    async def modify(self, c: Collection) -> None:
        await self.engine.set_options(c, {"x": self.serial})
        await self.done()

    async def checkpoint(self, _: Collection) -> None:
        await self.engine.checkpoint()
        await self.done()


async def killed(world: World, work: Workload, options: dict[str, Any]) -> World:
    """Go on with another process after this one was killed; nothing it wrote became durable."""
    rng, engine = work.rng, work.engine
    disk: Any = world.disk
    next_life = disk.kill_at(rng.randrange(1, 12))
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(engine.checkpoint())] if rng.random() < 0.7 else []
    for c in work.collections() if rng.random() < 0.7 else []:
        with engine.unit() as unit:
            work.effect(unit, c, retry=True)
            unit.commit()
        work.note()
    await asyncio.sleep(rng.random() * 0.02)
    successor = next_life[0] if next_life else disk.kill()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    work.disk = successor
    world = dataclasses.replace(world, disk=successor)
    work.engine = await open_engine(world, **options)
    index = work.engine.log_end
    assert index > work.acknowledged
    assert state_of(work.engine) == work.states[index - 1]
    work.note()
    work.acknowledged = index
    return world


async def broken(world: World, work: Workload, options: dict[str, Any]) -> World:
    """Let the disk fill up or fail until writes are refused, then go on with another process.

    What was not acknowledged may be lost now, even if it was written: other entries get its place.
    """
    rng, engine = work.rng, work.engine
    disk: Any = world.disk
    earlier, left = disk.before, rng.randrange(1, 15)

    def fault(operation: str, path: str) -> None:
        nonlocal left
        if earlier is not None:
            earlier(operation, path)
        left -= 1
        if left < 0:
            raise OSError(errno.EIO, "Input/output error", path)

    if rng.random() < 0.5:
        disk.room_bytes = rng.randrange(2000)
    else:
        disk.before = fault
    refusals: list[MongoError] = []
    while not refusals and left > -50:
        left -= 1
        try:
            await work.step()
        except MongoError as error:
            refusals.append(error)
    for refusal in refusals:
        assert refusal.code in {int(Code.OUT_OF_DISK_SPACE), LOG_WRITE_FAILED}, refusal
        assert engine.failure is not None
        with pytest.raises(MongoError):
            engine.unit()
    disk.room_bytes, disk.before = None, earlier
    work.disk = disk.kill()
    world = dataclasses.replace(world, disk=work.disk)
    noted = max(work.states)
    work.states = dict(work.states)
    work.engine = await open_engine(world, **options)
    index = work.engine.log_end
    assert index > work.acknowledged
    if index - 1 in work.states:
        assert state_of(work.engine) == work.states[index - 1]
    else:  # a catalogue change whose answer never came
        assert index - 1 == noted + 1
        check_consistent(work.engine)
        work.states[index - 1] = state_of(work.engine)
    for late in [one for one in work.states if one >= index]:
        del work.states[late]
    work.note()
    work.acknowledged = index
    return world


def workload(seed: int, disk: SimDisk, points: int) -> list[Point]:
    """Run a workload on `disk`; return states after power cuts."""
    rng = random.Random(seed)
    cuts: list[Point] = []
    current: list[Workload] = []

    def before(operation: str, path: str) -> None:
        if len(cuts) < points and current and rng.random() < 0.2:
            work = current[0]
            image = work.disk.crash(rng)
            cuts.append(Point(image, work.acknowledged, f"{operation} {path}", work.states))

    disk.before = before
    faulty = rng.random() < 0.3
    options = {
        "segment_bytes": rng.choice([300, 4000, 10**6]),
        "oplog_bytes": rng.choice([0, 5000, 10**6]),
        "slice_documents": rng.choice([1, 3, 100]),
        "block_bytes": rng.choice([64, 1000, 10**6]),
        "quiet_seconds": rng.choice([0.0001, 0.1]),
        "cache_bytes": rng.choice([0, 0, 500, 10**6]),
        "eager_documents": rng.choice([0, 3, 100]),
    }

    async def scenario(world: World) -> None:
        engine = await open_engine(world, **options)
        work = Workload(engine, rng, disk)
        work.note()
        work.acknowledged = engine.log_end
        current.append(work)
        for _ in range(STEPS):
            if rng.random() < 0.05:
                world = await killed(world, work, options)
            elif faulty and rng.random() < 0.05:
                world = await broken(world, work, options)
            await work.step()
        if rng.random() < 0.5:
            await work.engine.close()

    run(scenario, disk, seed)
    return cuts


def recover(point: Point, seed: int) -> None:
    """Open what a power cut left and compare it with the expected states."""
    states = point.states

    async def scenario(world: World) -> None:
        engine = await open_engine(world, block_bytes=1000)
        index = engine.log_end - 1  # the last is the no-op of the new term
        assert index >= point.acknowledged, f"acknowledged writes are lost at {point.operation}"
        if index in states:
            assert state_of(engine) == states[index], f"half a write at {point.operation}"
        else:  # a catalogue change that was answered by the disk's failure
            assert index == max(states) + 1, f"unknown entries at {point.operation}"
        check_consistent(engine)
        # Life goes on, and survives another restart.
        c = await engine.create_collection("later", "c", {})
        with engine.unit() as unit:
            unit.insert(c, encode({"_id": 1}))
            await_index = unit.commit()
        await engine.committed(await_index)
        if seed % 2:
            await engine.checkpoint()
        expected = state_of(engine)
        again = await open_engine(dataclasses.replace(world, disk=point.disk.copy()))
        assert state_of(again) == expected
        check_consistent(again)

    run(scenario, point.disk, seed)
    check_lines(point.disk)
