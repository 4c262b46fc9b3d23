"""Maintenance of the whole cluster: `fsync` and its lock, profiling, what all shards are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bson.int64 import Int64

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request
from psdb_server.common.fsync import FSYNC_FIELDS, LOCKED_INFO, lock_timeout_ms
from psdb_server.fields import CHECKS, Field, sample_rate
from router.cluster_commands import router_of

if TYPE_CHECKING:
    from router.shards import Shard

CONFIG: str = "config"
"""The config server's name beside those of the shards."""


async def fsync(request: Request) -> Reply:
    """Have every shard write everything to its data files; with lock, lock them all."""
    router = router_of(request)
    if request.args.get("lock"):
        return await _lock(request)
    replies = dict(await router.on_all_shards("admin", {"fsync": 1}))
    return {
        "numFiles": sum(reply["numFiles"] for reply in replies.values()),
        "all": {
            shard: {"numFiles": reply["numFiles"], "ok": 1.0} for shard, reply in replies.items()
        },
    }


async def _everybody(request: Request) -> list[tuple[str, Shard]]:
    routing = router_of(request).routing
    return [(CONFIG, routing.config), *await routing.shards()]


async def _lock(request: Request) -> Reply:
    """Lock the config server and every shard, or none."""
    command: Document = {
        "fsync": 1, "lock": True,
        "fsyncLockAcquisitionTimeoutMillis": lock_timeout_ms(request),
    }
    locked: list[Shard] = []
    count = 0
    try:
        for _name, channel in await _everybody(request):
            reply = await channel.command("admin", command)
            locked.append(channel)
            count = max(count, reply["lockCount"])
    except BaseException:
        for channel in locked:
            await channel.command("admin", {"fsyncUnlock": 1})
        raise
    return {**LOCKED_INFO, "lockCount": Int64(count)}


async def fsync_unlock(request: Request) -> Reply:
    """Take back one lock of every shard and of the config server."""
    count = 0
    failure: MongoError | None = None
    for _name, channel in await _everybody(request):
        try:
            reply = await channel.command("admin", {"fsyncUnlock": 1})
            count = max(count, reply["lockCount"])
        except MongoError as error:
            failure = error
    if failure is not None:
        raise failure
    return {"info": "fsyncUnlock completed", "lockCount": Int64(count)}


async def profile(request: Request) -> Reply:
    """Tell or change what the router logs as slow; a router has no collection to profile into."""
    router, args = router_of(request), request.args
    level: int = CHECKS["int"](request.target, "profile.profile")
    if level not in (-1, 0):
        raise MongoError(
            Code.BAD_VALUE, "Profiling is not permitted on mongoS: the level must be 0 or -1"
        )
    if "filter" in args:
        raise MongoError(
            Code.NOT_IMPLEMENTED, "profile with a filter is not supported by PSDB's router yet"
        )
    reply: Document = {
        "was": 0, "slowms": router.slow_ms, "sampleRate": router.sample_rate,
    }
    rate = sample_rate(args.get("sampleRate"))
    if "slowms" in args:
        router.slow_ms = args["slowms"]
    if rate is not None:
        router.sample_rate = rate
    return reply


COMMANDS = (
    Command(
        "fsync", fsync, FSYNC_FIELDS, admin_only=True,
        help="Have every shard write everything to its data files; with lock, keep writes out.",
    ),
    Command(
        "fsyncUnlock", fsync_unlock, admin_only=True, help="Let writes in again after fsync.",
    ),
    Command(
        "profile", profile,
        (Field("slowms", "int"), Field("sampleRate", "number"), Field("filter", "any")),
        help="Change what the router logs as slow.",
    ),
)
