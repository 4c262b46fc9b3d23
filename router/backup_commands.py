"""What `psdb backup` asks of the members behind a router."""

from __future__ import annotations

from psdb_server.command import Command, Reply, Request
from psdb_server.fields import Field
from router.cluster_commands import router_of
from router.requests import without_times
from router.settings_commands import command_of

_OF = Field("member", "string", required=True)


async def pass_on(request: Request) -> Reply:
    """Run a command of a backup on the config server or the shard that `member` names."""
    name = request.args["member"]
    router = router_of(request)
    routing = router.routing
    channel = routing.config if name == "config" else await routing.shard(name)
    command = command_of(request)
    del command["member"]
    return without_times(await channel.command("admin", command))


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
