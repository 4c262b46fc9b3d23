"""Default concerns, cluster parameters, the user write block, the compatibility version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from bson.datetime_ms import DatetimeMS

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_query.describe import type_name
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import CHECKS, Field, is_number
from psdb_server.parameters import PARAMETERS as SERVER_PARAMETERS
from shardsvr.collections import member_of
from shardsvr.settings import CONCERNS, PARAMETERS, WRITE_BLOCK

_READ_LEVELS: Final = ("available", "local", "majority")
_WRITE_FIELDS: Final = ("j", "w", "wtimeout")

# -- default concerns ----------------------------------------------------------------------------


async def get_default_rw_concern(request: Request) -> Reply:
    """Tell the defaults in force, and whether somebody set them."""
    member = member_of(request)
    stored = member.settings.get(CONCERNS)
    reply: Document = {
        "defaultReadConcern": stored.get("defaultReadConcern") or {"level": "local"},
        "defaultWriteConcern": stored.get("defaultWriteConcern")
        or {"w": "majority", "wtimeout": 0},
    }
    for name in ("updateOpTime", "updateWallClockTime"):
        if name in stored:
            reply[name] = stored[name]
    for kind in ("Write", "Read"):
        is_set = bool(stored.get(f"default{kind}Concern"))
        reply[f"default{kind}ConcernSource"] = "global" if is_set else "implicit"
    if request.args.get("inMemory"):
        reply["inMemory"] = True
    reply["localUpdateWallClockTime"] = stored.get(
        "updateWallClockTime", DatetimeMS(member.started_ms)
    )
    return reply


async def set_default_rw_concern(request: Request) -> Reply:
    """Set the read concern or the write concern of commands that name none."""
    member, args = member_of(request), request.args
    if "defaultReadConcern" not in args and "defaultWriteConcern" not in args:
        raise MongoError(
            Code.BAD_VALUE,
            'At least one of the "defaultReadConcern" or "defaultWriteConcern" fields must be '
            "present",
        )
    stored = dict(member.settings.get(CONCERNS))
    stored.pop("_id", None)
    if "defaultReadConcern" in args:
        concern = args["defaultReadConcern"]
        _check_read(concern)
        stored.pop("defaultReadConcern", None)
        if concern:
            stored["defaultReadConcern"] = concern
    if "defaultWriteConcern" in args:
        concern = args["defaultWriteConcern"]
        _check_write(concern, was=stored.get("defaultWriteConcern"))
        if concern:
            stored["defaultWriteConcern"] = {"wtimeout": 0, **concern}
    stored["updateOpTime"] = member.clock.tick()
    stored["updateWallClockTime"] = DatetimeMS(member.world.clock.now_ms())
    await member.settings.put(CONCERNS, stored)
    return await get_default_rw_concern(request)


def _check_read(concern: Document) -> None:
    for name in concern:
        if name != "level":
            raise MongoError(
                Code.BAD_VALUE, f"The default read concern may not have the field '{name}'"
            )
    level = concern.get("level")
    if concern and level not in _READ_LEVELS:
        raise MongoError(
            Code.BAD_VALUE, f"level: '{level}' is not suitable for the default read concern"
        )


def _check_write(concern: Document, *, was: Document | None) -> None:
    if not concern:
        if was:
            raise MongoError(
                Code.ILLEGAL_OPERATION,
                "The global default write concern cannot be unset once it is set.",
            )
        return
    for name in concern:
        if name not in _WRITE_FIELDS:
            raise MongoError(
                Code.FAILED_TO_PARSE, f"unrecognized write concern field: {name}"
            )
    w = concern.get("w", 1)
    if type(w) is not str and not (is_number(w) and 1 <= CHECKS["int"](w, "w") <= 50):
        raise MongoError(
            Code.BAD_VALUE,
            "The default write concern has to have a w of at least 1, or the name of a mode",
        )


# -- cluster parameters --------------------------------------------------------------------------


def _check_images(value: Document) -> None:
    if set(value) != {"preAndPostImages"} or type(value["preAndPostImages"]) is not dict:
        raise MongoError(
            Code.BAD_VALUE, "changeStreamOptions takes {preAndPostImages: {expireAfterSeconds}}"
        )
    images = value["preAndPostImages"]
    seconds: Any = images.get("expireAfterSeconds")
    if set(images) != {"expireAfterSeconds"} or not (
        seconds == "off" or (is_number(seconds) and seconds > 0)
    ):
        raise MongoError(
            Code.BAD_VALUE,
            "Expected a positive integer or 'off' for the 'expireAfterSeconds' parameter",
        )


def _check_max_time(value: Document) -> None:
    milliseconds: Any = value.get("readOperations")
    if set(value) != {"readOperations"} or not is_number(milliseconds) or milliseconds < 0:
        raise MongoError(
            Code.BAD_VALUE, "defaultMaxTimeMS takes {readOperations: milliseconds}, 0 for none"
        )


CLUSTER_PARAMETERS: Final[dict[str, tuple[Document, Callable[[Document], None]]]] = {
    "changeStreamOptions": (
        {"preAndPostImages": {"expireAfterSeconds": "off"}}, _check_images
    ),
    "defaultMaxTimeMS": ({"readOperations": 0}, _check_max_time),
}
"""Each with its default and what checks a value. What PSDB does not honour is not here."""


def _parameter(name: Any) -> str:
    if type(name) is not str or name not in CLUSTER_PARAMETERS:
        raise MongoError(Code.NO_SUCH_KEY, f"Unknown cluster parameter: {name}")
    return name


async def get_cluster_parameter(request: Request) -> Reply:
    """Return one parameter, several, or all of them (`"*"`)."""
    target = request.target
    if target == "*":
        names = list(CLUSTER_PARAMETERS)
    else:
        names = [_parameter(name) for name in (target if type(target) is list else [target])]
    stored = member_of(request).settings.all_parameters()
    return {
        "clusterParameters": [
            stored.get(name) or {"_id": name, **CLUSTER_PARAMETERS[name][0]} for name in names
        ],
    }


async def set_cluster_parameter(request: Request) -> Reply:
    """Set one parameter: `{setClusterParameter: {name: {…}}}`."""
    member = member_of(request)
    if len(request.target) != 1:
        raise MongoError(
            Code.INVALID_OPTIONS, "setClusterParameter only supports setting exactly one parameter"
        )
    name, value = next(iter(request.target.items()))
    _default, check = CLUSTER_PARAMETERS[_parameter(name)]
    if type(value) is not dict:
        raise MongoError(
            Code.TYPE_MISMATCH,
            f"BSON field 'setClusterParameter.{name}' is the wrong type '{type_name(value)}', "
            "expected type 'object'",
        )
    check(value)
    stored: Document = {"clusterParameterTime": member.clock.tick(), **value}
    await member.settings.put((PARAMETERS, name), stored)
    return {}


# -- user write block ------------------------------------------------------------------------------


_REASONS: Final = (
    "ClusterToClusterMigrationInProgress", "DiskUseThresholdExceeded", "Unspecified",
)


async def set_user_write_block_mode(request: Request) -> Reply:
    """Refuse the users' writes from now on (`global: true`), or take them again."""
    member = member_of(request)
    reason = request.args.get("reason", "Unspecified")
    if reason not in _REASONS:
        raise MongoError(
            Code.BAD_VALUE,
            f"Enumeration value '{reason}' for field 'setUserWriteBlockMode.reason' is not a "
            "valid value.",
        )
    was = member.settings.get(WRITE_BLOCK)
    if not request.args["global"]:
        await member.settings.put(WRITE_BLOCK, None)
    elif not was:
        document: Document = {
            "blockNewUserShardedDDL": False, "blockUserWrites": True,
            "blockUserWritesReason": reason,
        }
        await member.settings.put(WRITE_BLOCK, document)
    elif was["blockUserWritesReason"] != reason:
        raise MongoError(
            Code.ILLEGAL_OPERATION,
            "Cannot enable user write blocking mode with another reason than the one in force: "
            f"{was['blockUserWritesReason']}",
        )
    return {}


# -- feature compatibility version ---------------------------------------------------------------


async def set_feature_compatibility_version(request: Request) -> Reply:
    """Confirm the one version there is; there is no older one to go back to."""
    if type(request.target) is not str:
        raise MongoError(
            Code.TYPE_MISMATCH,
            "Command argument must be of type String, but was of type "
            + type_name(request.target),
        )
    current = SERVER_PARAMETERS["featureCompatibilityVersion"].default["version"]
    if not request.args.get("confirm"):
        raise MongoError(
            7369100,
            "Once you have upgraded to a version, you will not be able to downgrade without "
            "support assistance. Please re-run this command with 'confirm: true' to acknowledge "
            "this and continue with the FCV upgrade.",
        )
    if request.target != current:
        raise MongoError(
            Code.BAD_VALUE,
            f"Invalid feature compatibility version value, expected '{current}', found "
            f"'{request.target}'",
        )
    return {}


COMMANDS = (
    Command(
        "getClusterParameter", get_cluster_parameter,
        (Field("omitInFTDC", "safe bool"),), admin_only=True,
        help="Return settings of the whole cluster.",
    ),
    Command(
        "getDefaultRWConcern", get_default_rw_concern, (Field("inMemory", "safe bool"),),
        admin_only=True, help="Return the concerns of commands that name none.",
    ),
    Command(
        "setClusterParameter", set_cluster_parameter, target="object", admin_only=True,
        writes=True, write_concern=True, help="Change a setting of the whole cluster.",
    ),
    Command(
        "setDefaultRWConcern", set_default_rw_concern,
        (Field("defaultReadConcern", "object"), Field("defaultWriteConcern", "object")),
        admin_only=True, writes=True, write_concern=True,
        help="Set the concerns of commands that name none.",
    ),
    Command(
        "setFeatureCompatibilityVersion", set_feature_compatibility_version,
        (
            Field("confirm", "safe bool"), Field("downgradeOnDiskChanges", "safe bool"),
            Field("fromConfigServer", "safe bool"),
        ),
        admin_only=True, writes=True, write_concern=True,
        help="Confirm the version whose features are used.",
    ),
    Command(
        "setUserWriteBlockMode", set_user_write_block_mode,
        (Field("global", "safe bool", required=True), Field("reason", "string")),
        admin_only=True, writes=True, write_concern=True, help="Refuse or take users' writes.",
    ),
)
