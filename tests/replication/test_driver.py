"""What the driver makes of the log for its core, and of the core's orders for the others."""

from __future__ import annotations

import asyncio

from bson.objectid import ObjectId
from simdisk import SimDisk
from store_kit import open_engine, run

from psdb_base.errors import Code
from psdb_base.values import Document
from psdb_base.world import World
from psdb_raft.messages import Append
from shardsvr.replication.config import MEMBER_IDS, ReplSetConfig
from shardsvr.replication.driver import TICK_SECONDS, Driver, raft_config, with_configs

SET_ID = ObjectId()


def _config(version: int, members: int) -> Document:
    document: Document = {
        "_id": "rs0", "version": version, "settings": {"replicaSetId": SET_ID},
        "members": [{"_id": number, "host": f"m{number}:1"} for number in range(members)],
        MEMBER_IDS: {str(number): f"id{number}" for number in range(members)},
    }
    return ReplSetConfig.parse(document).document(internal=True)


def test_a_peer_that_needs_old_lines_hears_of_each_configuration_in_them() -> None:
    async def main(world: World) -> None:
        engine = await open_engine(world, alone=False)
        await engine.member.advance(1)
        engine.advance_commit(engine.begin_term(1))
        first = engine.append_membership(_config(1, 1))
        engine.append_noop()
        second = engine.append_membership(_config(2, 2))
        engine.append_noop()
        await engine.journal.settle()
        engine.advance_commit(engine.log_end)
        await engine.checkpoint()
        await engine.close()

        engine = await open_engine(world, alone=False)
        driver = Driver(world, engine, "g")
        assert [index for index, _ in driver.core.configs] == [second], "not that of the manifest"
        lines = await engine.journal.read(0, engine.log_end, engine.log_end)
        message = Append(
            group="g", sender="id0", to="id1", term=1, previous_index=0, previous_term=0,
            last_index=engine.log_end, commit=engine.log_end,
        )
        told = with_configs(message, lines).configs
        assert [(index, len(fields["members"])) for index, fields in told] == [
            (first, 1), (second, 2),
        ]
        assert with_configs(message, lines[-1:]).configs == ()
        await engine.close()

    run(main, SimDisk(5))


def test_seed_1338_who_steps_down_appends_nothing_in_the_same_turn() -> None:
    """The core had left office, the engine had not: an entry between the two was in no office."""

    async def main(world: World) -> None:
        engine = await open_engine(world, alone=False)
        driver = Driver(world, engine, "g")
        membership = _config(1, 1)
        membership[MEMBER_IDS] = {"0": engine.member.id}
        driver.core.bootstrap(raft_config(ReplSetConfig.parse(membership)))
        driver.found(membership)
        driver.start()
        async with asyncio.timeout(60):
            while not driver.in_office:
                driver.core.campaign_now()
                await asyncio.sleep(TICK_SECONDS)
        engine.append_noop()
        driver.step_down(20, "test")
        refusal = engine.refusal
        assert refusal is not None
        assert refusal.code == Code.NOT_WRITABLE_PRIMARY
        assert driver.core.log.last_index == engine.log_end
        await asyncio.sleep(TICK_SECONDS)
        driver.close()
        await engine.close()

    run(main, SimDisk(5))
