"""Giving office away: `replSetStepDown`, and before a member stops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from psdb_base.errors import Code, MongoError
from shardsvr.replication.driver import TICK_SECONDS

if TYPE_CHECKING:
    from shardsvr.replication.driver import Driver
    from shardsvr.replication.replica_set import ReplicaSet

STOPPED_SECONDS: Final = 60
"""A member that stops does not stand for election for so long, which is to its end."""
STOPPING: Final = "stopping"
_SUCCESSION_SECONDS: Final = 2.0


async def step_down(
    replica_set: ReplicaSet, seconds: int, catch_up_seconds: int, *, force: bool,
    why: str = "replSetStepDown",
) -> None:
    """Hand office to a caught-up member; do not stand again for `seconds`.

    The log says `why`, unless it is that it was handed over.

    Raises:
        MongoError: 10107 when this member is not primary, 262 when no electable member caught up
            within `catch_up_seconds` and `force` is not set.

    """
    driver = replica_set.driver
    if driver is None or not replica_set.is_primary:
        raise MongoError(Code.NOT_WRITABLE_PRIMARY, "not primary so can't step down")
    term = driver.core.term
    ticks = round(seconds / TICK_SECONDS)
    given = await _give_away(replica_set, term, catch_up_seconds)
    if driver.core.term == term and driver.core.is_leader:
        if not given and not force:
            raise MongoError(
                Code.EXCEEDED_TIME_LIMIT,
                "No electable secondaries caught up as of "
                f"{replica_set.member.world.clock.now_ms()}. Please use the replSetStepDown "
                "command with the argument {force: true} to force node to step down.",
            )
        driver.step_down(ticks, why)
    else:
        driver.core.freeze(ticks)
    replica_set.heartbeats.hurry()


async def _give_away(replica_set: ReplicaSet, term: int, seconds: float) -> bool:
    """Hand office over within the time; tell whether it is gone."""
    driver = replica_set.driver
    assert driver is not None
    try:
        async with asyncio.timeout(seconds):
            while _leads(driver, term):
                if driver.hand_over():
                    await driver.transfer_over()
                else:
                    await asyncio.sleep(TICK_SECONDS)
    except TimeoutError:
        pass
    return not _leads(driver, term)


def _leads(driver: Driver, term: int) -> bool:
    return driver.core.is_leader and driver.core.term == term


async def before_shutdown(replica_set: ReplicaSet, seconds: int, *, force: bool) -> None:
    """Step down as `shutdown` demands it of a primary; a set of one voter has nobody to ask."""
    driver = replica_set.driver
    if driver is None or not replica_set.is_primary or len(driver.core.config.voters) == 1:
        return
    await step_down(replica_set, STOPPED_SECONDS, seconds, force=force, why=STOPPING)
    await _succeeded(replica_set)


async def _succeeded(replica_set: ReplicaSet) -> None:
    """Stay until the next leader is known, for a moment, while anybody is there to be one.

    The heir may need this member's vote: the others' logs can be shorter than the heir's.
    """
    driver = replica_set.driver
    assert driver is not None
    for _ in range(round(_SUCCESSION_SECONDS / TICK_SECONDS)):
        if driver.core.leader is not None or not replica_set.peers.any_is_up:
            return
        await asyncio.sleep(TICK_SECONDS)


async def before_stop(replica_set: ReplicaSet, seconds: float) -> None:
    """Give office away before this member stops; return at once where nobody can take it."""
    driver = replica_set.driver
    if driver is None or not driver.core.is_leader:
        return
    term = driver.core.term
    try:
        async with asyncio.timeout(seconds):
            while _leads(driver, term) and driver.hand_over():
                await driver.transfer_over()
    except TimeoutError:
        pass
    if not _leads(driver, term):
        await _succeeded(replica_set)
        return
    driver.step_down(round(STOPPED_SECONDS / TICK_SECONDS), STOPPING)
