"""The store on the real file system: modes, lock, restart, a process that just ends."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from store_kit import ListLog, by_id, check_consistent, put

from psdb_base.bson_codec import encode
from psdb_base.errors import MongoError
from psdb_base.real_world import QUICK_RUN, QUICK_SECONDS, RealDisk, real_world
from psdb_base.world import World
from psdb_store.engine import Engine, StoreOptions

OPTIONS = StoreOptions(background=False)


def real_run(body: Any) -> None:
    world = real_world(log=ListLog())
    try:
        asyncio.run(body(world))
    finally:
        assert isinstance(world.disk, RealDisk)
        world.disk.close()


def test_files_are_private_and_lines_are_json(tmp_path: Path) -> None:
    dbpath = tmp_path / "deep" / "db"

    async def body(world: World) -> None:
        engine = await Engine.open(world, str(dbpath), options=OPTIONS)
        c = await engine.create_collection("shop", "Orders", {})
        await engine.create_index(c, {"key": {"n": 1}, "name": "n_1"})
        await put(engine, c, *({"_id": n, "n": n % 3} for n in range(10)))
        with pytest.raises(MongoError) as taken:
            await Engine.open(world, str(dbpath), options=OPTIONS)
        assert taken.value.code == 98
        await engine.close()

    real_run(body)
    files = sorted(path for path in dbpath.rglob("*") if path.is_file())
    assert [str(path.relative_to(dbpath)) for path in files] == [
        "data/shop/%4frders/00000001.jsonl", "journal/0000000000000001.jsonl",
        "manifest.json", "member.json", "psdb.lock",
    ]  # fmt: skip
    for path in [dbpath, *dbpath.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    for path in files:
        if path.suffix != ".lock":
            for line in path.read_text().splitlines():
                json.loads(line)

    async def again(world: World) -> None:
        engine = await Engine.open(world, str(dbpath), options=OPTIONS)
        c = engine.collection("shop", "Orders")
        assert c is not None
        assert by_id(c, 7) == {"_id": 7, "n": 1}
        check_consistent(engine)
        await engine.close()

    real_run(again)


CHILD = """
import asyncio, os, sys
from psdb_base.bson_codec import encode
from psdb_base.real_world import real_world
from psdb_store.engine import Engine, StoreOptions

class Log:
    def write(self, *line): pass

async def main():
    engine = await Engine.open(
        real_world(log=Log()), sys.argv[1], options=StoreOptions(checkpoint_log_bytes=3000)
    )
    c = engine.collection("d", "c") or await engine.create_collection("d", "c", {})
    number = c.count
    while True:
        with engine.unit() as unit:
            unit.insert(c, encode({"_id": number}))
            index = unit.commit()
        await engine.committed(index)
        os.write(1, b"%d\\n" % number)
        number += 1
        if number % 50 == 0:
            os._exit(9)

asyncio.run(main())
"""


def test_a_process_that_ends_without_a_word_loses_nothing(tmp_path: Path) -> None:
    dbpath = tmp_path / "db"
    acknowledged = -1
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", CHILD, str(dbpath)],
            stdout=subprocess.PIPE, timeout=60, cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": "."},
        )  # fmt: skip
        assert done.returncode == 9
        acknowledged = int(done.stdout.split()[-1])
    assert acknowledged == 149

    async def body(world: World) -> None:
        engine = await Engine.open(world, str(dbpath), options=OPTIONS)
        c = engine.collection("d", "c")
        assert c is not None
        assert [record.document()["_id"] for record in c.scan(None, 1000)] == list(range(150))
        await engine.close()

    real_run(body)


def test_a_lone_writer_syncs_without_a_turn_of_the_loop(tmp_path: Path) -> None:
    """Once the disk has shown that it is quick; others' writes go to the thread as ever."""

    async def body(world: World) -> None:
        engine = await Engine.open(world, str(tmp_path / "db"), options=OPTIONS)
        c = await engine.create_collection("shop", "orders", {})
        disk, synced = world.disk, []
        disk.is_quick = lambda thread: thread == "journal"
        here = disk.here
        disk.here = lambda thread, work: (synced.append(thread), here(thread, work))[1]
        for n in range(3):
            await engine.journal.settle()
            with engine.unit() as unit:
                unit.insert(c, encode({"_id": n}))
                index = unit.commit()
            waiting = engine.committed(index, lone=True)
            with pytest.raises(StopIteration):
                waiting.send(None)  # done at the first step: nothing was waited for
            assert engine.journal.durable.index == engine.commit_index == index
        assert synced == ["journal"] * 3
        await put(engine, c, {"_id": 3})
        assert len(synced) == 3
        await engine.close()
        reopened = await Engine.open(world, str(tmp_path / "db"), options=OPTIONS)
        again = reopened.collection("shop", "orders")
        assert again is not None
        assert again.count == 4
        await reopened.close()

    real_run(body)


def test_a_disk_is_quick_after_a_run_of_quick_work(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        disk = world.disk
        assert not disk.is_quick("t")
        for _ in range(QUICK_RUN):
            assert not disk.is_quick("t")
            await disk.submit("t", lambda: None)
        assert disk.is_quick("t")
        assert disk.here("t", lambda: 7) == 7
        slow = disk.submit("t", lambda: time.sleep(2 * QUICK_SECONDS))
        assert not disk.is_quick("t")  # it has work
        await slow
        assert not disk.is_quick("t")  # it was slow

    real_run(body)
