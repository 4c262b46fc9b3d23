"""Golden traces: the order in which the store writes, syncs, renames and removes."""

from __future__ import annotations

from simdisk import SimDisk
from store_kit import DBPATH, open_engine, put, run

from psdb_base.bson_codec import encode
from psdb_base.world import World
from psdb_store.engine import Engine

J1 = "journal/0000000000000001.jsonl"


def _short(disk: SimDisk, since: int) -> list[str]:
    return [
        f"{operation} {path.replace(DBPATH + '/', '').replace(DBPATH, '.')}"
        for operation, path, _ in disk.trace[since:]
    ]


async def _traced(world: World, disk: SimDisk, engine: Engine, action: object) -> list[str]:
    await engine.journal.settle()
    since = len(disk.trace)
    await action  # type: ignore[misc]
    return _short(disk, since)


def test_opening_an_empty_dbpath() -> None:
    disk = SimDisk()

    async def scenario(world: World) -> None:
        await open_engine(world)

    run(scenario, disk)
    assert _short(disk, 0) == [
        "mkdir .",
        "fsync_dir /",
        "create psdb.lock",
        "create member.json.tmp",
        "truncate member.json.tmp",
        "write member.json.tmp",
        "fdatasync member.json.tmp",
        "rename member.json.tmp -> member.json",
        "fsync_dir .",
        "mkdir journal",
        f"create {J1}",
        f"truncate {J1}",
        f"write {J1}",
        "fsync_dir journal",
        "fsync_dir .",
        "create member.json.tmp",
        "truncate member.json.tmp",
        "write member.json.tmp",
        "fdatasync member.json.tmp",
        "rename member.json.tmp -> member.json",
        "fsync_dir .",
        f"write {J1}",
        f"fdatasync {J1}",
    ]


def test_a_commit_is_one_write_and_one_sync() -> None:
    disk = SimDisk()

    async def scenario(world: World) -> list[str]:
        engine = await open_engine(world)
        c = await engine.create_collection("d", "c", {})

        async def commits() -> None:
            for number in range(10):  # ten units of one turn share the write
                with engine.unit() as unit:
                    unit.insert(c, encode({"_id": number}))
                    unit.commit()
            await engine.committed(engine.log_end)

        return await _traced(world, disk, engine, commits())

    assert run(scenario, disk) == [f"write {J1}", f"fdatasync {J1}"]


def test_a_commit_that_begins_a_segment() -> None:
    disk = SimDisk()

    async def scenario(world: World) -> list[str]:
        engine = await open_engine(world, segment_bytes=1)
        c = await engine.create_collection("d", "c", {})
        return await _traced(world, disk, engine, put(engine, c, {"_id": 1}))

    j = "journal/0000000000000003.jsonl"
    assert run(scenario, disk) == [
        f"create {j}", f"write {j}", f"write {j}", f"fdatasync {j}", "fsync_dir journal",
    ]  # fmt: skip


def test_a_catalogue_change_is_a_commit() -> None:
    disk = SimDisk()

    async def scenario(world: World) -> list[str]:
        engine = await open_engine(world)
        return await _traced(world, disk, engine, engine.create_collection("d", "c", {}))

    assert run(scenario, disk) == [f"write {J1}", f"fdatasync {J1}"]


MANIFEST = [
    "create manifest.json.tmp",
    "truncate manifest.json.tmp",
    "write manifest.json.tmp",
    "fdatasync manifest.json.tmp",
    "rename manifest.json.tmp -> manifest.json",
    "fsync_dir .",
]


def test_checkpoints() -> None:
    """The first makes the file, the second appends to it, the last removes what was dropped."""
    disk = SimDisk()

    async def scenario(world: World) -> list[list[str]]:
        engine = await open_engine(world)
        c = await engine.create_collection("d", "c", {})
        await put(engine, c, {"_id": 1})
        traces = [await _traced(world, disk, engine, engine.checkpoint())]
        await put(engine, c, {"_id": 2})
        traces.append(await _traced(world, disk, engine, engine.checkpoint()))
        await engine.drop_collection(c)
        traces.append(await _traced(world, disk, engine, engine.checkpoint()))
        traces.append(await _traced(world, disk, engine, engine.checkpoint()))
        return traces

    first, second, third, fourth = run(scenario, disk)
    file = "data/d/c/00000001.jsonl"
    assert first == [
        "mkdir data", "mkdir data/d", "mkdir data/d/c",
        f"create {file}", f"write {file}", f"fdatasync {file}",
        "fsync_dir data/d/c", "fsync_dir data/d", "fsync_dir data", "fsync_dir .",
        *MANIFEST,
    ]  # fmt: skip
    assert second == [f"write {file}", f"fdatasync {file}", *MANIFEST]
    assert third == [*MANIFEST, f"remove {file}", "rmdir data/d/c", "rmdir data/d"]
    assert fourth == []  # nothing was written since


def test_compaction_writes_anew_and_removes_the_old_file_last() -> None:
    disk = SimDisk()

    async def scenario(world: World) -> list[str]:
        engine = await open_engine(world, compact_garbage_bytes=100)
        c = await engine.create_collection("d", "c", {})
        await put(engine, c, *({"_id": n, "t": "x" * 50} for n in range(10)))
        await engine.checkpoint()
        with engine.unit() as unit:
            for rid in range(1, 9):
                unit.delete(c, c.records[rid])
            unit.commit()
        return await _traced(world, disk, engine, engine.checkpoint())

    old, new = "data/d/c/00000001.jsonl", "data/d/c/00000002.jsonl"
    trace = run(scenario, disk)
    journal = [line for line in trace if J1 in line]
    assert [line for line in trace if line not in journal] == [
        f"write {old}", f"fdatasync {old}",
        f"create {new}", f"write {new}", f"fdatasync {new}",
        "fsync_dir data/d/c", "fsync_dir data/d", "fsync_dir data", "fsync_dir .",
        *MANIFEST,
        f"remove {old}",
    ]  # fmt: skip
    assert len(disk.files()[f"{DBPATH}/{new}"].splitlines()) == 3


def test_the_journal_is_trimmed_after_the_manifest() -> None:
    disk = SimDisk()

    async def scenario(world: World) -> list[str]:
        engine = await open_engine(world, segment_bytes=1, oplog_bytes=0)
        c = await engine.create_collection("d", "c", {})
        await put(engine, c, {"_id": 1})
        await put(engine, c, {"_id": 2})
        return await _traced(world, disk, engine, engine.checkpoint())

    trace = run(scenario, disk)
    removed = [line for line in trace if line.startswith("remove")]
    assert removed == [f"remove journal/{index:016d}.jsonl" for index in (1, 2, 3)]
    assert trace.index(removed[0]) > trace.index("fsync_dir .", trace.index(MANIFEST[-2]))


def test_young_segments_are_kept_whatever_their_size() -> None:
    import asyncio

    async def scenario(world: World) -> None:
        engine = await open_engine(
            world, segment_bytes=1, oplog_bytes=0, oplog_retention_ms=10_000
        )
        c = await engine.create_collection("d", "c", {})
        await put(engine, c, {"_id": 1})
        await engine.checkpoint()
        assert engine.journal.first_index == 1
        await asyncio.sleep(9)
        await put(engine, c, {"_id": 2})
        await engine.checkpoint()
        assert engine.journal.first_index == 1
        await asyncio.sleep(2)
        young = await put(engine, c, {"_id": 3})
        await engine.checkpoint()
        # A segment is as old as the one behind it.
        assert engine.journal.first_index == young - 2
        kept = await engine.read_log(young - 3, 5)
        assert [entry.index for entry in kept] == [young - 2, young - 1, young]

    run(scenario, SimDisk())


def test_a_quiet_journal_notes_what_is_durable_once() -> None:
    import asyncio

    disk = SimDisk()

    async def scenario(world: World) -> list[str]:
        engine = await open_engine(world)
        c = await engine.create_collection("d", "c", {})
        await put(engine, c, {"_id": 1})
        since = len(disk.trace)
        await asyncio.sleep(10)
        assert b'"local":{"durable":3,"commit":3}}\n' in disk.files()[f"{DBPATH}/{J1}"][-60:]
        return _short(disk, since)

    assert run(scenario, disk) == [f"write {J1}", f"fdatasync {J1}"]
