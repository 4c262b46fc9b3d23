"""What the store's tests share: a loop in virtual time, a simulated world, small helpers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from simdisk import SimDisk

from psdb_base.bson_codec import decode, encode
from psdb_base.order import key
from psdb_base.values import Document
from psdb_base.world import Random, World
from psdb_store.collection import Collection
from psdb_store.engine import Engine, StoreOptions
from psdb_store.replay import check_index

T = TypeVar("T")
DBPATH = "/db"


class _NoSelector:
    """A selector without sockets: waiting moves the clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise AssertionError("every task waits for something that will not happen")
        self._loop.now += timeout
        return []

    def close(self) -> None:
        """Nothing is open."""


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop whose time passes only when there is nothing to do."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self._selector = _NoSelector(self)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self.now

    def _process_events(self, event_list: list[Any]) -> None:
        """There are no events."""

    def _write_to_self(self) -> None:
        """There is nobody to wake."""


class SimClock:
    """Wall and monotonic time of a virtual loop."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now_ms(self) -> int:
        return 1_700_000_000_000 + int(self._loop.now * 1000)

    def monotonic(self) -> float:
        return self._loop.now


class ListLog:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, int, str, dict[str, Any]]] = []

    def write(
        self, severity: str, component: str, id_: int, message: str, attr: dict[str, Any]
    ) -> None:
        self.lines.append((severity, component, id_, message, attr))

    def recent(self) -> list[str]:
        return [line[3] for line in self.lines]

    def warnings(self) -> list[str]:
        return [line[3] for line in self.lines if line[0] == "W"]


def run(scenario: Callable[[World], Coroutine[Any, Any, T]], disk: SimDisk, seed: int = 1) -> T:
    """Run a scenario in virtual time over a simulated disk."""
    loop = VirtualLoop()
    clock = SimClock(loop)
    world = World(clock, Random(seed, clock), disk, None, ListLog())  # type: ignore[arg-type]
    try:
        return loop.run_until_complete(scenario(world))
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.close()


async def open_engine(world: World, **options: Any) -> Engine:
    """Open the store at `DBPATH` with small, quick settings."""
    settings: dict[str, Any] = {"background": False, "compact_garbage_bytes": 200, **options}
    return await Engine.open(world, DBPATH, options=StoreOptions(**settings))


async def put(engine: Engine, c: Collection, *docs: Document) -> int:
    """Insert documents in one unit and wait for the commit; return the entry's index."""
    with engine.unit() as unit:
        for doc in docs:
            unit.insert(c, encode(doc), doc)
        index = unit.commit()
    await engine.committed(index)
    return index


def by_id(c: Collection, value: Any) -> Document | None:
    """Return the document with this `_id`."""
    record = c.by_id(key(value))
    return None if record is None else decode(record.raw)


State = dict[str, dict[str, Any]]


def state_of(engine: Engine) -> State:
    """Return everything a store holds.

    Per namespace options, indexes, raw documents by rid; and the sessions of retryable writes.
    """
    state: State = {}
    if engine.sessions:
        state[""] = {
            lsid.hex(): (record.txn_number, record.last_use, record.runs)
            for lsid, record in engine.sessions.snapshot().items()
        }
    for db in engine.databases():
        for c in engine.collections(db):
            records = {}
            after = None
            while batch := c.scan(after, 100):
                records.update({record.rid: record.raw for record in batch})
                after = batch[-1].rid
            state[c.ns] = {
                "uuid": bytes(c.uuid).hex(),
                "options": encode(c.options),
                "indexes": {name: encode(index.spec) for name, index in c.indexes.items()},
                "records": records,
            }
    return state


def check_consistent(engine: Engine) -> None:
    """Assert that indexes, counters and tables agree with the records.

    `local` is left out: what a replica-set member shows there it shows under keys of its own.
    """
    for db in engine.databases():
        for c in [] if db == "local" else engine.collections(db):
            for index in c.indexes.values():
                assert check_index(c, index) == []
            assert c.count == len(c.records) == len(c.ids)
            assert c.data_size_bytes == sum(len(r.raw) for r in c.records.values())
            for id_key, rid in c.ids.items():
                assert key(c.records[rid].document()["_id"]) == id_key
            assert not c.ghosts


def check_lines(disk: SimDisk) -> None:
    """Assert that every line of every file is JSON on its own."""
    for path, data in disk.files().items():
        if path.endswith(".lock"):
            continue
        assert data.endswith(b"\n") or not data, path
        for line in data.splitlines():
            assert type(json.loads(line)) is dict
