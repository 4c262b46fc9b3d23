"""The commands the router runs itself; `router.routes` has those it sends on."""

from __future__ import annotations

from typing import Final

from psdb_server.command import CommandTable, make_table
from psdb_server.common.table import COMMON, NOT_YET
from router import (
    backup_commands,
    cluster_commands,
    maintenance_commands,
    settings_commands,
    sharding_commands,
)

_OF_SHARDS: Final = ("cleanupOrphaned", "replSet", "shardingState", "splitVector")
"""A router does not know commands that begin so at all, as in MongoDB."""

ROUTER_COMMANDS: Final[CommandTable] = make_table(
    tuple(row for row in NOT_YET if not row.name.startswith(_OF_SHARDS)), COMMON,
    cluster_commands.COMMANDS, maintenance_commands.COMMANDS, settings_commands.COMMANDS,
    sharding_commands.COMMANDS, backup_commands.COMMANDS,
)
