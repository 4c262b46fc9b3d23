"""Damaged files: every byte cut, every bit flipped. Recovery up to the cut or a clear refusal."""

from __future__ import annotations

import dataclasses
import errno
import random
import re
from itertools import pairwise

import pytest
from simdisk import SimDisk
from store_kit import DBPATH, State, open_engine, put, run, state_of

from psdb_base.bson_codec import encode
from psdb_base.errors import MongoError
from psdb_base.order import key
from psdb_base.world import World
from psdb_store.failures import StorageDamagedError
from psdb_store.lines import seal

BITS = range(8)
JOURNAL = f"{DBPATH}/journal/0000000000000001.jsonl"


async def _build(world: World) -> dict[int, State]:
    """Make a small store whose journal is never checkpointed; return the states by index."""
    states: dict[int, State] = {}
    engine = await open_engine(world, quiet_seconds=0.001)
    states[engine.log_end] = state_of(engine)
    c = await engine.create_collection("d", "c", {})
    states[engine.log_end] = state_of(engine)
    for number in range(3):
        index = await put(engine, c, {"_id": number, "t": "x"})
        states[index] = state_of(engine)
    with engine.unit() as unit:
        unit.update(c, c.records[1], encode({"_id": 0, "t": "y" * 9}))
        unit.delete(c, c.records[2])
        index = unit.commit(b"s" * 16, 1)
    await engine.committed(index)
    states[index] = state_of(engine)
    await engine.journal.settle()
    states[0] = {}
    return states


def _open(disk: SimDisk) -> tuple[int, State]:
    async def scenario(world: World) -> tuple[int, State]:
        engine = await open_engine(world)
        return engine.log_end - 1, state_of(engine)

    return run(scenario, disk)


def _with_journal(disk: SimDisk, data: bytes) -> SimDisk:
    copy = disk.copy()
    copy.put(JOURNAL, data)
    return copy


@pytest.fixture(scope="module")
def store() -> tuple[SimDisk, dict[int, State], bytes]:
    disk = SimDisk()
    states = run(_build, disk)
    return disk, states, disk.files()[JOURNAL]


def test_every_cut_recovers_a_prefix(store: tuple[SimDisk, dict[int, State], bytes]) -> None:
    disk, states, data = store
    reached = []
    for size in range(len(data) + 1):
        index, state = _open(_with_journal(disk, data[:size]))
        assert state == states[index]
        reached.append(index)
    assert reached == sorted(reached)
    assert reached[0] == 0
    assert reached[-1] == max(states)


def test_every_flipped_bit_is_refused_or_cut(
    store: tuple[SimDisk, dict[int, State], bytes],
) -> None:
    """The journal ends with a note that all is durable: only damage to that note is cut."""
    disk, states, data = store
    last_line = data.rindex(b"\n", 0, len(data) - 1) + 1
    for at in range(len(data)):
        for bit in BITS:
            flipped = bytearray(data)
            flipped[at] ^= 1 << bit
            damaged = _with_journal(disk, bytes(flipped))
            if at >= last_line:
                assert _open(damaged) == (max(states), states[max(states)])
                continue
            with pytest.raises(StorageDamagedError) as refusal:
                _open(damaged)
            line = data.count(b"\n", 0, at) + 1
            assert (refusal.value.path, refusal.value.line) == (JOURNAL, line)
            assert f"{JOURNAL}:{line}" in str(refusal.value)


def test_a_flip_without_a_later_note_is_cut(
    store: tuple[SimDisk, dict[int, State], bytes],
) -> None:
    """Nothing says that the last batch was durable: it looks like a torn write."""
    disk, states, data = store
    data = data[: data.rindex(b"\n", 0, len(data) - 1) + 1]
    start = data.rindex(b"\n", 0, len(data) - 1) + 1
    for at in range(start, len(data), 3):
        flipped = bytearray(data)
        flipped[at] ^= 4
        index, state = _open(_with_journal(disk, bytes(flipped)))
        assert index == max(states) - 1
        assert state == states[index]


def test_lines_removed_doubled_or_exchanged_are_refused(
    store: tuple[SimDisk, dict[int, State], bytes],
) -> None:
    disk, _, data = store
    lines = data.splitlines(keepends=True)
    entries = [at for at, line in enumerate(lines) if line[16:24] == b'"index":']
    for at, after in pairwise(entries):
        removed = lines[:at] + lines[at + 1 :]
        doubled = lines[: at + 1] + lines[at:]
        exchanged = [*lines]
        exchanged[at], exchanged[after] = lines[after], lines[at]
        for wrong in (removed, doubled, exchanged):
            with pytest.raises(StorageDamagedError, match=re.escape(JOURNAL)):
                _open(_with_journal(disk, b"".join(wrong)))


def test_an_entry_of_another_history_is_refused(
    store: tuple[SimDisk, dict[int, State], bytes],
) -> None:
    """A sound line whose hash does not continue the chain is no part of this log."""
    disk, _, data = store
    lines = data.splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if line[16:26] == b'"index":3,')
    rest = lines[at][16:-1].replace(b'"t":"x"', b'"t":"z"')
    lines[at] = seal(rest)
    with pytest.raises(StorageDamagedError, match="hash chain"):
        _open(_with_journal(disk, b"".join(lines)))


def _checkpointed() -> tuple[SimDisk, State]:
    disk = SimDisk()

    async def scenario(world: World) -> State:
        engine = await open_engine(world)
        c = await engine.create_collection("d", "c", {})
        await put(engine, c, {"_id": 1, "t": "x"}, {"_id": 2}, {"_id": 3})
        with engine.unit() as unit:
            unit.delete(c, c.records[2])
            unit.statement(0, {"n": 1})
            unit.commit(b"s" * 16, 1)
        await engine.checkpoint()
        with engine.unit() as unit:
            unit.delete(c, c.records[3])
            unit.commit()
        await engine.close()
        return state_of(engine)

    return disk, run(scenario, disk)


@pytest.mark.parametrize(
    "name",
    ["manifest.json", "member.json", "data/d/c/00000001.jsonl", "sessions/00000002.jsonl"],
)
def test_every_flip_in_other_files_is_refused(name: str) -> None:
    disk, _ = _checkpointed()
    path = f"{DBPATH}/{name}"
    data = disk.files()[path]
    for at in range(len(data)):
        for bit in BITS:
            flipped = bytearray(data)
            flipped[at] ^= 1 << bit
            copy = disk.copy()
            copy.put(path, bytes(flipped))
            with pytest.raises(StorageDamagedError) as caught:
                _open(copy)
            assert caught.value.path == path
            assert caught.value.line in (data.count(b"\n", 0, at) + 1, data.count(b"\n", 0, at))


def test_a_data_file_that_lost_its_end_is_refused() -> None:
    disk, _ = _checkpointed()
    path = f"{DBPATH}/data/d/c/00000001.jsonl"
    data = disk.files()[path]
    for size in range(len(data)):
        copy = disk.copy()
        copy.put(path, data[:size])
        with pytest.raises(StorageDamagedError, match=re.escape(path)):
            _open(copy)


def test_what_follows_the_counted_bytes_is_cut() -> None:
    disk, state = _checkpointed()
    path = f"{DBPATH}/data/d/c/00000001.jsonl"
    data = disk.files()[path]
    copy = disk.copy()
    copy.put(path, data + b'{"c":"00000000","rid":9,"o":{"_id"')
    assert _open(copy)[1] == state
    assert copy.files()[path] == data


def test_a_missing_journal_is_refused() -> None:
    disk, _ = _checkpointed()
    disk.remove(JOURNAL)
    with pytest.raises(StorageDamagedError, match="is missing"):
        _open(disk)


def test_a_missing_data_file_is_refused() -> None:
    disk, _ = _checkpointed()
    path = f"{DBPATH}/data/d/c/00000001.jsonl"
    disk.remove(path)
    with pytest.raises(StorageDamagedError, match=re.escape(path)):
        _open(disk)


def test_a_manifest_ahead_of_the_log_is_refused(
    store: tuple[SimDisk, dict[int, State], bytes],
) -> None:
    """The journal of an earlier moment beside a later manifest (a careless restore)."""
    disk, _ = _checkpointed()
    data = disk.files()[JOURNAL]
    cut = data.index(b'{"c"', len(data) // 2)
    disk.put(JOURNAL, data[: data.rindex(b"\n", 0, cut) + 1])
    with pytest.raises(StorageDamagedError, match=r"durable up to entry|ends at entry"):
        _open(disk)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("manifest.json", b'"psdb":"manifest"'),
        ("member.json", b'"psdb":"member"'),
        ("journal/0000000000000001.jsonl", b'"psdb":"journal"'),
        ("data/d/c/00000001.jsonl", b'"psdb":"data"'),
        ("sessions/00000002.jsonl", b'"psdb":"sessions"'),
    ],
)
def test_a_newer_format_is_refused(name: str, kind: bytes) -> None:
    disk, _ = _checkpointed()
    path = f"{DBPATH}/{name}"
    first, _, rest = disk.files()[path].partition(b"\n")
    newer = seal(re.sub(kind + rb',"format":[12]\b', kind + b',"format":3', first[16:]))
    assert newer != first + b"\n"
    disk.put(path, newer + rest)
    if kind in {b'"psdb":"data"', b'"psdb":"sessions"'}:
        _rewrite_digest(disk, name)
    with pytest.raises(MongoError, match="format 3 is not known") as caught:
        _open(disk)
    assert caught.value.code == 12


def _rewrite_digest(disk: SimDisk, name: str) -> None:
    from psdb_store.datafile import new_digest

    digest = new_digest()
    digest.update(disk.files()[f"{DBPATH}/{name}"])
    manifest = disk.files()[f"{DBPATH}/manifest.json"]
    after = re.escape(name).encode() + rb'","bytes":\d+,"lines":\d+,"digest":"'
    fixed = re.sub(rb"(" + after + rb")\w+", rb"\g<1>" + digest.hexdigest().encode(), manifest)
    disk.put(f"{DBPATH}/manifest.json", seal(fixed[16:-1]))


def test_what_a_failed_sync_left_in_memory_only_is_not_relied_on() -> None:
    """A process whose sync failed is killed; the next one sees its bytes, the device has none."""
    disk = SimDisk(5)
    found: list[SimDisk] = []

    async def first(world: World) -> None:
        engine = await open_engine(world)
        c = await engine.create_collection("db", "c", {})
        await put(engine, c, {"_id": 1})

        def fault(operation: str, path: str) -> None:
            if operation == "fdatasync" and "journal" in path:
                raise OSError(errno.EIO, "Input/output error", path)

        disk.before = fault
        with pytest.raises(MongoError):
            await put(engine, c, {"_id": 2})
        disk.before = None
        found.append(disk.kill())

    run(first, disk)
    journal = "/db/journal/0000000000000001.jsonl"
    assert b'"_id":2' in found[0].read(journal)

    async def second(world: World) -> None:
        engine = await open_engine(world)
        (c,) = engine.collections("db")
        seen = sorted(c.ids)
        await put(engine, c, {"_id": 3})
        after_power_cut = found[0].crash(random.Random(1))
        again = await open_engine(dataclasses.replace(world, disk=after_power_cut))
        (c,) = again.collections("db")
        assert sorted(c.ids) == [*seen, key(3)]

    run(second, found[0])
