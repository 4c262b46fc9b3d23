"""Settings of the whole cluster: kept on the config server, told to every shard.

The config server comes first: what it refuses reaches no shard. A shard that cannot be reached
fails the command, which may be run again; one that joins later is told what is in force.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_server.command import Command, Reply, Request
from psdb_server.common.session_commands import kill_all_sessions as kill_all_here
from psdb_server.common.session_commands import kill_all_sessions_by_pattern as kill_matching_here
from psdb_server.fields import Field
from psdb_server.generic import GENERIC_FIELDS
from router.cluster_commands import router_of
from router.requests import without_times

if TYPE_CHECKING:
    from router.server import Router
    from router.shards import Shard

_WRITE_BLOCK: Final = "user_writes_critical_sections"
_SHAPES: Final = {"_id": "querySettings"}


def command_of(request: Request) -> Document:
    """Return a command without its generic arguments, to be sent on."""
    body = request.body
    return {name: value for name, value in body.items() if name not in GENERIC_FIELDS}


async def ask_config(request: Request) -> Reply:
    """Have the config server answer."""
    config = router_of(request).routing.config
    return without_times(await config.command("admin", command_of(request)))


async def tell_all(request: Request) -> Reply:
    """Run a command on the config server, then on every shard; return the former's answer."""
    router, command = router_of(request), command_of(request)
    reply = await router.routing.config.command("admin", command)
    for _name, channel in await router.routing.shards():
        await channel.command("admin", command)
    return without_times(reply)


async def tell_newcomer(router: Router, channel: Shard) -> None:
    """Tell a shard that joins what the cluster is set to."""
    config = router.routing.config
    concerns = await config.command("admin", {"getDefaultRWConcern": 1})
    command: Document = {
        f"default{kind}Concern": concerns[f"default{kind}Concern"] for kind in ("Read", "Write")
        if concerns[f"default{kind}ConcernSource"] == "global"
    }
    if command:
        await channel.command("admin", {"setDefaultRWConcern": 1, **command})
    found = await config.command("admin", {"getClusterParameter": "*"})
    for row in found["clusterParameters"]:
        if "clusterParameterTime" in row:
            value = {
                name: item for name, item in row.items()
                if name not in ("_id", "clusterParameterTime")
            }
            await channel.command("admin", {"setClusterParameter": {row["_id"]: value}})
    found = await config.command("config", {"find": "clusterParameters", "filter": _SHAPES})
    for stored in found["cursor"]["firstBatch"]:
        for row in stored["settingsArray"]:
            await channel.command("admin", {
                "setQuerySettings": row["representativeQuery"], "settings": row["settings"],
            })
    reply = await config.command("config", {"find": _WRITE_BLOCK, "filter": {"_id": ""}})
    for row in reply["cursor"]["firstBatch"]:
        await channel.command("admin", {
            "setUserWriteBlockMode": 1, "global": True, "reason": row["blockUserWritesReason"],
        })


async def validate_db_metadata(request: Request) -> Reply:
    """Collect what the shards say of their databases."""
    command = command_of(request)
    replies = await router_of(request).on_all_shards(request.db, command)
    return {"apiVersionErrors": [row for _, reply in replies for row in reply["apiVersionErrors"]]}


async def kill_all_sessions(request: Request) -> Reply:
    """Kill users' sessions here and on the shards."""
    await kill_all_here(request)
    await _pass_on(request)
    return {}


async def kill_all_sessions_by_pattern(request: Request) -> Reply:
    """Kill the sessions that patterns match, here and on the shards."""
    await kill_matching_here(request)
    await _pass_on(request)
    return {}


async def _pass_on(request: Request) -> None:
    failure: MongoError | None = None
    for _name, channel in await router_of(request).routing.shards():
        try:
            await channel.command("admin", command_of(request))
        except MongoError as error:
            failure = error
    if failure is not None:
        raise failure


_ANY = (Field("inMemory", "safe bool"), Field("omitInFTDC", "safe bool"))

COMMANDS = (
    Command(
        "getClusterParameter", ask_config, _ANY, admin_only=True,
        help="Return settings of the whole cluster.",
    ),
    Command(
        "getDefaultRWConcern", ask_config, _ANY, admin_only=True,
        help="Return the concerns of commands that name none.",
    ),
    Command(
        "killAllSessions", kill_all_sessions, target="array", help="Kill users' sessions.",
    ),
    Command(
        "killAllSessionsByPattern", kill_all_sessions_by_pattern, target="array",
        help="Kill the sessions that patterns match.",
    ),
    Command(
        "removeQuerySettings", tell_all, admin_only=True, write_concern=True,
        help="Forget what was set for the queries of a shape.",
    ),
    Command(
        "setClusterParameter", tell_all, target="object", admin_only=True, write_concern=True,
        help="Change a setting of the whole cluster.",
    ),
    Command(
        "setDefaultRWConcern", tell_all,
        (Field("defaultReadConcern", "object"), Field("defaultWriteConcern", "object")),
        admin_only=True, write_concern=True, help="Set the concerns of commands that name none.",
    ),
    Command(
        "setFeatureCompatibilityVersion", tell_all,
        (Field("confirm", "safe bool"), Field("downgradeOnDiskChanges", "safe bool")),
        admin_only=True, write_concern=True, help="Confirm the version whose features are used.",
    ),
    Command(
        "setQuerySettings", tell_all, (Field("settings", "object", required=True),),
        admin_only=True, write_concern=True,
        help="Set indexes and rejection for the queries of a shape.",
    ),
    Command(
        "setUserWriteBlockMode", tell_all,
        (Field("global", "safe bool", required=True), Field("reason", "string")),
        admin_only=True, write_concern=True, help="Refuse or take users' writes.",
    ),
    Command(
        "validateDBMetadata", validate_db_metadata,
        (
            Field("db", "string"), Field("collection", "string"),
            Field("apiParameters", "object", required=True),
        ),
        help="Tell what the Stable API could not use.",
    ),
)
