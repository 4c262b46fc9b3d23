"""What a shard knows of the ranges it is to delete, whatever happens to their documents."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from simdisk import SimDisk
from store_kit import open_engine, run

from psdb_base.world import World
from shardsvr.sharding import records as names
from shardsvr.sharding.state import ShardingState


def test_a_deletion_does_not_wait_for_who_waits_for_it() -> None:
    def op(number: int, name: str) -> Any:
        return SimpleNamespace(opid=number, name=name, connection=object())

    running = {1: op(1, "_shardsvrReceiveStart"), 2: op(2, "cleanupOrphaned"), 3: op(3, "find")}
    member: Any = SimpleNamespace(
        operations=SimpleNamespace(running=running), cursors=SimpleNamespace(open={})
    )
    state = object.__new__(ShardingState)
    state.member, state._readers = member, {}
    task = {"_id": b"t" * 16, "nss": "db.c"}
    assert state.readers_left(task)
    del running[3]
    assert not state.readers_left(task)


def test_tasks_are_read_again_when_one_changes_in_place_or_is_undone() -> None:
    async def scenario(world: World) -> None:
        engine = await open_engine(world)
        c = await engine.create_collection("config", names.DELETIONS, {})
        state = ShardingState(SimpleNamespace(engine=engine))  # type: ignore[arg-type]

        async def put(identifier: int, ns: str, **fields: Any) -> int:
            with engine.unit() as unit:
                unit.put(c, {"_id": identifier, "nss": ns, **fields})
                return unit.commit()

        await engine.committed(await put(1, "db.a", pending=True))
        assert [task.get("pending") for task in state.tasks("db.a")] == [True]
        await engine.committed(await put(1, "db.a"))
        assert [task.get("pending") for task in state.tasks("db.a")] == [None]
        kept = c.records[1]
        with engine.unit() as unit:
            unit.put(c, {"_id": 2, "nss": "db.b"})
            assert state.tasks("db.b")
            unit.abort()
        c.next_rid = 2  # as where another leader's entry takes the number
        await engine.committed(await put(3, "db.c"))
        assert c.records[1] is kept
        assert not state.tasks("db.b")
        assert len(state.tasks("db.c")) == 1
        await engine.close()

    run(scenario, SimDisk())
