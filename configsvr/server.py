"""The config server: a member whose `config` database is the sharding catalogue."""

from __future__ import annotations

from typing import Final

from configsvr import catalogue
from psdb_base.values import Document
from psdb_base.world import World
from psdb_server.command import CommandTable, make_table
from shardsvr.commands.table import MEMBER_COMMANDS
from shardsvr.member import Member

CONFIG_COMMANDS: Final[CommandTable] = make_table(
    tuple(MEMBER_COMMANDS.values()), catalogue.COMMANDS
)


class ConfigServer(Member):
    """A member that also answers the router's questions about the catalogue."""

    is_config_server = True

    def __init__(self, world: World, options: Document, dbpath: str) -> None:
        super().__init__(world, CONFIG_COMMANDS, options, dbpath)

    async def take_up_office(self) -> None:
        """See that the catalogue has its version."""
        await super().take_up_office()
        await catalogue.ensure_version(self)
