"""What `psdb backup` asks of the members behind a router."""

from __future__ import annotations

from psdb_base.errors import Code, MongoError
from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field
from router.cluster_commands import router_of
from router.settings_commands import command_of

_OF = Field("member", "string", required=True)


async def pass_on(request: Request) -> Reply:
    """Run a command of a backup on the config server or the shard that `member` names."""
    name = request.args["member"]
    router = router_of(request)
    channel = None if name != "config" else router.routing.config
    for shard, found in await router.routing.shards():
        if shard == name:
            channel = found
    if channel is None:
        raise MongoError(Code.SHARD_NOT_FOUND, f"Shard {name} not found")
    command = command_of(request)
    del command["member"]
    reply = await channel.command("admin", command)
    return {
        name: value for name, value in reply.items()
        if name not in ("$clusterTime", "ok", "operationTime")
    }


COMMANDS = (
    Command(
        "_psdbBackupBegin", pass_on, (_OF,), admin_only=True, help="Internal: begin a backup.",
    ),
    Command(
        "_psdbBackupEnd", pass_on, (_OF,), target="int", admin_only=True,
        help="Internal: end a backup.",
    ),
    Command(
        "_psdbBackupRead", pass_on,
        (_OF, Field("file", "count", required=True), Field("offset", "count", required=True)),
        target="int", admin_only=True, help="Internal: a piece of a backup.",
    ),
)
