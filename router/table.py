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

ROUTER_COMMANDS: Final[CommandTable] = make_table(
    NOT_YET, COMMON, cluster_commands.COMMANDS, maintenance_commands.COMMANDS,
    settings_commands.COMMANDS, sharding_commands.COMMANDS, backup_commands.COMMANDS,
)
