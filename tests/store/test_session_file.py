"""The file of retryable writes: appended to, written afresh, loaded, and small."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from simdisk import SimDisk
from store_kit import DBPATH, open_engine, run, state_of

from psdb_base.world import World
from psdb_store.engine import Engine
from psdb_store.lines import seal


def _write(engine: Engine, lsid: bytes, number: int, *results: dict[str, Any]) -> None:
    with engine.unit() as unit:
        for statement, result in enumerate(results):
            unit.statement(statement, result)
        unit.commit(lsid, number)


def _file(disk: SimDisk) -> tuple[str, list[dict[str, Any]]]:
    """Return the only file of sessions, its path and its lines."""
    found = [(path, data) for path, data in disk.files().items() if "/sessions/" in path]
    ((path, data),) = found
    return path, [orjson.loads(line) for line in data.splitlines()]


def test_a_checkpoint_appends_the_sessions_that_changed() -> None:
    disk = SimDisk()

    async def body(world: World) -> None:
        engine = await open_engine(world, compact_garbage_bytes=10_000)
        one, two = b"1" * 16, b"2" * 16
        _write(engine, one, 7, {"n": 1}, {"n": 1}, {"n": 0})
        _write(engine, two, 1, {"n": 1})
        await engine.checkpoint()
        path, lines = _file(disk)
        assert [line.get("lsid") for line in lines] == [None, one.hex(), two.hex()]
        assert lines[1]["statements"] == [[0, 1, {"n": 1}], [2, 2, {"n": 0}]]
        await engine.create_collection("d", "c", {})
        await engine.checkpoint()
        assert _file(disk) == (path, lines), "no session changed"
        _write(engine, two, 2, {"n": 3})
        await engine.checkpoint()
        after, longer = _file(disk)
        assert (after, longer[:3]) == (path, lines)
        assert [(line["lsid"], line["txnNumber"]) for line in longer[3:]] == [(two.hex(), 2)]
        await engine.forget_sessions([one])
        await engine.checkpoint()
        assert _file(disk)[1][-1]["gone"] == one.hex()
        state = state_of(engine)
        await engine.close()
        engine = await open_engine(world)
        assert state_of(engine) == state
        assert list(engine.sessions.snapshot()) == [two]
        await engine.close()

    run(body, disk)


def test_a_file_that_is_mostly_superseded_is_written_afresh() -> None:
    disk = SimDisk()

    async def body(world: World) -> None:
        engine = await open_engine(world)
        paths: dict[str, None] = {}
        for number in range(12):
            _write(engine, b"s" * 16, number, {"upserted": "x" * 60})
            await engine.checkpoint()
            path, lines = _file(disk)
            paths[path] = None
            assert lines[-1]["txnNumber"] == number
            assert len(lines) < 9
        assert len(paths) > 1
        state = state_of(engine)
        await engine.close()
        engine = await open_engine(world)
        assert state_of(engine) == state
        await engine.close()

    run(body, disk)


def test_the_manifest_does_not_grow_with_statements() -> None:
    disk = SimDisk()

    async def body(world: World) -> None:
        engine = await open_engine(world)
        _write(engine, b"s" * 16, 1, *({"n": 1, "upserted": n} for n in range(2000)))
        await engine.checkpoint()
        assert len(disk.files()[f"{DBPATH}/manifest.json"]) < 1000
        await engine.close()

    run(body, disk)


def test_neighbours_with_one_result_take_one_place() -> None:
    async def body(world: World) -> None:
        engine = await open_engine(world)
        for part in range(5):
            with engine.unit() as unit:
                for statement in range(part * 1000, part * 1000 + 1000):
                    unit.statement(statement, {"n": 1})
                unit.commit(b"s" * 16, 1)
        record = engine.sessions.get(b"s" * 16)
        assert record is not None
        assert [(first, last) for first, last, _ in record.runs] == [(0, 4999)]
        assert record.statements == {number: {"n": 1} for number in range(5000)}
        await engine.close()

    run(body, SimDisk())


def test_a_failed_checkpoint_leaves_its_sessions_to_the_next() -> None:
    disk = SimDisk()

    async def body(world: World) -> None:
        engine = await open_engine(world)
        _write(engine, b"s" * 16, 1, {"n": 1})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("psdb_store.checkpoint.replace_file", _fail)
            with pytest.raises(RuntimeError):
                await engine._checkpointer.run()
        await engine._checkpointer.run()
        state = state_of(engine)
        await engine.close()
        engine = await open_engine(world)
        assert state_of(engine) == state
        await engine.close()

    run(body, disk)


def _fail(*_: Any) -> None:
    raise RuntimeError("planted")


def test_sessions_in_a_manifest_of_the_first_format_are_read() -> None:
    disk = SimDisk()

    async def first(world: World) -> Any:
        engine = await open_engine(world)
        _write(engine, b"s" * 16, 5, {"n": 1}, {"n": 2})
        await engine.close()
        return state_of(engine)

    state = run(first, disk)
    path, lines = _file(disk)
    manifest = orjson.loads(disk.files()[f"{DBPATH}/manifest.json"])
    del manifest["c"]
    rows = [{name: value for name, value in line.items() if name != "c"} for line in lines[1:]]
    manifest |= {"format": 1, "sessions": rows}
    disk.put(f"{DBPATH}/manifest.json", seal(orjson.dumps(manifest)[1:]))
    disk.remove(path)

    async def second(world: World) -> None:
        engine = await open_engine(world)
        assert state_of(engine) == state
        await engine.create_collection("d", "c", {})
        await engine.checkpoint()
        assert [line.get("lsid") for line in _file(disk)[1]] == [None, (b"s" * 16).hex()]
        await engine.close()

    run(second, disk)
