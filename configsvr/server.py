"""The config server: a member whose `config` database is the sharding catalogue."""

from __future__ import annotations

from typing import Final

from configsvr import (
    balancer,
    catalogue,
    dropping,
    dropping_databases,
    following,
    moving,
    removal,
    routing,
    shard_collection,
    store,
    zones,
)
from psdb_base.values import Document
from psdb_base.world import World
from psdb_server.command import CommandTable, make_table
from shardsvr.commands.table import MEMBER_COMMANDS
from shardsvr.member import Member

CONFIG_COMMANDS: Final[CommandTable] = make_table(
    tuple(MEMBER_COMMANDS.values()),
    balancer.COMMANDS,
    catalogue.COMMANDS,
    dropping.COMMANDS,
    dropping_databases.COMMANDS,
    moving.COMMANDS,
    removal.COMMANDS,
    routing.COMMANDS,
    shard_collection.COMMANDS,
    zones.COMMANDS,
)


class ConfigServer(Member):
    """A member that also keeps the catalogue and runs the changes of it.

    Attributes:
        balancer: Moves ranges between shards.

    """

    is_config_server = True

    def __init__(self, world: World, options: Document, dbpath: str) -> None:
        super().__init__(world, CONFIG_COMMANDS, options, dbpath)
        self.balancer = balancer.Balancer(self)

    async def take_up_office(self) -> None:
        """See that the catalogue has its version; go on with what was begun."""
        await super().take_up_office()
        await catalogue.ensure_version(self)
        await store.ready(self, "chunks")  # with the indexes it is read by
        await dropping.resume(self)

    async def start(self) -> None:
        """Start the member and its background work, which rests while this is not the primary."""
        await super().start()
        self.spawn(self.balancer.run())
        self.spawn(following.follow(self))
        self.spawn(routing.forget_outcomes(self))
