"""The `replSet…` commands, and those by which members talk to each other (names with `_`)."""

from __future__ import annotations

from typing import Any, Final

from psdb_base.bson_codec import decode
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import CHECKS, Field, is_number
from shardsvr.collections import member_of
from shardsvr.replication import handover, membership, status
from shardsvr.replication.driver import TICK_SECONDS
from shardsvr.replication.heartbeats import describe
from shardsvr.replication.replica_set import REMOVED, ReplicaSet, parts_of

DEFAULT_STEP_DOWN_SECONDS: Final = 60


def replica_set_of(request: Request) -> ReplicaSet:
    """Return the member's replication side; 76 on a standalone."""
    replica_set = member_of(request).replica_set
    if replica_set is None:
        raise MongoError(Code.NO_REPLICATION_ENABLED, "not running with --replSet")
    return replica_set


def initiated(request: Request) -> ReplicaSet:
    """Return the replication side of a member that has a configuration; 94 without one."""
    replica_set = replica_set_of(request)
    if replica_set.config is None:
        raise MongoError(
            Code.NOT_YET_INITIALIZED, "no replset config has been received",
            extra={
                "info": "run rs.initiate(...) if not yet done for the set",
            },
        )
    return replica_set


# -- between members -------------------------------------------------------------------------------


async def raft(request: Request) -> Reply:
    """Take in a message of the consensus core."""
    _take(request, request.body)
    return {}


def _take(request: Request, body: Document) -> None:
    replica_set_of(request).take(body)


async def part(request: Request) -> Reply:
    """Take in a part of a message that is too large for one frame."""
    args = request.args
    whole = parts_of(request.connection).take(
        args["_replSetPart"], args["offset"], args["total"], bytes(args["data"])
    )
    if whole is not None:
        _take(request, decode(whole))
    return {}


async def advance(request: Request) -> Reply:
    """Move the log to a cluster time that another member was asked for."""
    replica_set = replica_set_of(request)
    member = member_of(request)
    if not replica_set.is_primary:
        raise MongoError(Code.NOT_WRITABLE_PRIMARY, "not primary")
    member.clock.observe(request.target)
    if member.engine.last_timestamp < request.target:
        member.engine.append_noop()
    return {}


async def snapshot_piece(request: Request) -> Reply:
    """Take in a piece of a snapshot."""
    args = request.args
    await replica_set_of(request).snapshots.take(
        args["from"], args["_replSetSnapshot"], args["file"], args["offset"], bytes(args["data"])
    )
    return {}


async def snapshot_end(request: Request) -> Reply:
    """Check and install the snapshot that has come."""
    args = request.args
    await replica_set_of(request).snapshots.end(
        args["from"], args["_replSetSnapshotEnd"], args["m"]
    )
    return {}


async def heartbeat(request: Request) -> Reply:
    """Tell another member how this one is, and hear how that one is."""
    replica_set = replica_set_of(request)
    replica_set.heartbeats.received(request.body)
    reply: Document = describe(replica_set)
    config, asker = replica_set.config, str(request.body.get("memberId", ""))
    if replica_set.is_primary and config is not None and config.by_member_id(asker) is None:
        reply["removed"] = True
    return reply


# -- replSet… --------------------------------------------------------------------------------------


async def initiate(request: Request) -> Reply:
    """Found the replica set."""
    document = request.target if type(request.target) is dict else None
    await membership.initiate(replica_set_of(request), document)
    return {}


async def get_config(request: Request) -> Reply:
    """Return the configuration in effect."""
    config = initiated(request).config
    assert config is not None
    reply: Document = {"config": config.document()}
    if request.args.get("commitmentStatus"):
        reply["commitmentStatus"] = True
    return reply


async def reconfigure(request: Request) -> Reply:
    """Change the configuration."""
    replica_set = initiated(request)
    if request.args.get("force"):
        raise MongoError(
            Code.NOT_IMPLEMENTED,
            "replSetReconfig with force is not supported by PSDB: a set without a majority cannot "
            "change safely",
        )
    if type(request.target) is not dict:
        raise MongoError(
            Code.TYPE_MISMATCH, "no configuration specified"
        )
    await membership.reconfigure(replica_set, request.target)
    return {}


async def get_status(request: Request) -> Reply:
    """Describe the set as this member sees it."""
    replica_set = initiated(request)
    if replica_set.state == REMOVED:
        raise MongoError(
            Code.INVALID_REPLICA_SET_CONFIG,
            "Our replica set config is invalid or we are not a member of it",
        )
    return status.status(replica_set)


async def step_down(request: Request) -> Reply:
    """Hand office over and stay a secondary for some time."""
    replica_set = initiated(request)
    seconds = _seconds(request.target, "replSetStepDown", DEFAULT_STEP_DOWN_SECONDS)
    force = request.args.get("force", False)
    catch_up = request.args.get("secondaryCatchUpPeriodSecs", 0 if force else 10)
    if catch_up > seconds:
        raise MongoError(
            Code.BAD_VALUE, "stepdown period must be longer than secondaryCatchUpPeriodSecs"
        )
    await handover.step_down(replica_set, seconds, catch_up, force=force)
    return {}


async def freeze(request: Request) -> Reply:
    """Keep this member from standing for election for some time."""
    replica_set = initiated(request)
    seconds = _seconds(request.target, "replSetFreeze", 0)
    driver = replica_set.driver
    assert driver is not None
    if driver.core.is_leader:
        raise MongoError(
            Code.NOT_SECONDARY,
            "cannot freeze node when primary or running for election. state: Primary",
        )
    driver.core.freeze(round(seconds / TICK_SECONDS))
    replica_set.heartbeats.hurry()
    if seconds == 0:
        return {"info": "unfreezing"}
    if seconds == 1:
        return {"warning": "you really want to freeze for only 1 second?"}
    return {}


def _seconds(value: Any, name: str, default: int) -> int:
    if not is_number(value):
        return default
    seconds: int = CHECKS["int"](value, name)
    if seconds < 0:
        raise MongoError(Code.BAD_VALUE, "stepdown period must be a positive integer")
    return seconds


async def resize_oplog(request: Request) -> Reply:
    """Change how much of the log is kept."""
    replica_set_of(request)
    member = member_of(request)
    size = request.args.get("size")
    hours = request.args.get("minRetentionHours")
    if size is not None and size < 990:
        raise MongoError(
            Code.INVALID_OPTIONS, f"BSON field 'size' value must be >= 990, actual value '{size}'"
        )
    member.engine.keep_log(
        None if size is None else int(size) * 1024 * 1024,
        None if hours is None else int(float(hours) * 3_600_000),
    )
    return {}


def _refusal(name: str, why: str) -> Any:
    async def refuse(request: Request) -> Reply:
        replica_set_of(request)
        raise MongoError(Code.NOT_IMPLEMENTED, f"{name} is not supported by PSDB: {why}")

    return refuse


COMMANDS = (
    Command(
        "_replSetAdvance", advance, target="timestamp", admin_only=True, quiet=True,
        help="Internal: move the log to a cluster time.",
    ),
    Command(
        "_replSetHeartbeat", heartbeat, admin_only=True, strict=False, quiet=True,
        help="Internal: how a member is.",
    ),
    Command(
        "_replSetPart", part,
        (
            Field("offset", "int", required=True), Field("total", "int", required=True),
            Field("data", required=True),
        ),
        target="int", admin_only=True, quiet=True,
        help="Internal: a part of a message that is too large for one frame.",
    ),
    Command(
        "_replSetRaft", raft, admin_only=True, strict=False, quiet=True,
        help="Internal: a message of the consensus core.",
    ),
    Command(
        "_replSetSnapshot", snapshot_piece,
        (
            Field("from", "string", required=True), Field("file", "int", required=True),
            Field("offset", "int", required=True), Field("data", required=True),
        ),
        target="int", admin_only=True, quiet=True, help="Internal: a piece of a snapshot.",
    ),
    Command(
        "_replSetSnapshotEnd", snapshot_end,
        (Field("from", "string", required=True), Field("m", "object", required=True)),
        target="int", admin_only=True, quiet=True, help="Internal: a snapshot has been sent.",
    ),
    Command(
        "replSetAbortPrimaryCatchUp",
        _refusal("replSetAbortPrimaryCatchUp", "a new primary has nothing to catch up"),
        admin_only=True, help="Refused: a new primary has nothing to catch up.",
    ),
    Command(
        "replSetFreeze", freeze, admin_only=True,
        help="Keep this member from standing for election for some seconds.",
    ),
    Command(
        "replSetGetConfig", get_config, (Field("commitmentStatus", "safe bool"),),
        admin_only=True, help="Return the replica set's configuration.",
    ),
    Command(
        "replSetGetStatus", get_status, (Field("initialSync", "number"),),
        admin_only=True, help="Describe the replica set as this member sees it.",
    ),
    Command(
        "replSetInitiate", initiate, admin_only=True, help="Found a replica set.",
    ),
    Command(
        "replSetMaintenance",
        _refusal("replSetMaintenance", "hide the member by replSetReconfig instead"),
        admin_only=True, help="Refused: hide the member by replSetReconfig instead.",
    ),
    Command(
        "replSetReconfig", reconfigure,
        (Field("force", "safe bool"), Field("maxTimeMS", "number")),
        admin_only=True, help="Change the replica set's configuration.",
    ),
    Command(
        "replSetResizeOplog", resize_oplog,
        (Field("size", "number"), Field("minRetentionHours", "number")),
        admin_only=True, help="Change how much of the oplog this member keeps.",
    ),
    Command(
        "replSetStepDown", step_down,
        (Field("force", "safe bool"), Field("secondaryCatchUpPeriodSecs", "count")),
        admin_only=True, help="Hand office over and stay a secondary for some seconds.",
    ),
    Command(
        "replSetSyncFrom",
        _refusal("replSetSyncFrom", "every member replicates from the primary"),
        admin_only=True, help="Refused: every member replicates from the primary.",
    ),
)
