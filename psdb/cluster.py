"""A cluster in one process: router, config server and shards on one event loop.

They are the same objects that run as processes of their own; only the ways between them differ:
messages are handed over, not sent.
"""

from __future__ import annotations

from typing import Final

from configsvr.server import ConfigServer
from psdb_base.errors import MongoError
from psdb_base.values import Document
from psdb_base.world import World
from router.server import Router
from router.shards import CONFIG_IN_PROCESS, LocalShard, Shard
from shardsvr.commands.table import MEMBER_COMMANDS
from shardsvr.member import Member

SHARD_NAME: Final = "shard0"


def host_of(shard: str) -> str:
    """Return the `host` of a shard in this process."""
    return f"{shard}/in-process:0"


class LocalCluster:
    """Config server, shards and router under one folder.

    Args:
        world: Clock, random, disk, network, log, shared by all.
        options: The parsed command line.
        dbpath: The folder; each member has its own below it.
        shards: How many shards.

    """

    def __init__(
        self, world: World, options: Document, dbpath: str, shards: int = 1
    ) -> None:
        self._last_connection_id = 1_000_000
        self.config = ConfigServer(world, options, f"{dbpath}/config")
        self.shards = {
            name: Member(world, MEMBER_COMMANDS, options, f"{dbpath}/{name}")
            for name in (f"shard{number}" for number in range(shards))
        }
        self.shard = self.shards[SHARD_NAME]
        for member in self.members:
            member.connect = self._connect
        self.router = self.make_router(world, options)

    @property
    def members(self) -> list[Member]:
        """The config server and the shards."""
        return [self.config, *self.shards.values()]

    def make_router(self, world: World, options: Document) -> Router:
        """Make a router in front of these shards."""
        return Router(world, options, self._connect(CONFIG_IN_PROCESS), self._connect)

    def _connection_id(self) -> int:
        self._last_connection_id += 1
        return self._last_connection_id

    def _connect(self, host: str) -> Shard:
        if host == CONFIG_IN_PROCESS:
            return LocalShard(self.config.handle, self._connection_id)
        for name, member in self.shards.items():
            if host == host_of(name):
                return LocalShard(member.handle, self._connection_id)
        from router.shards import connect_over_network

        return connect_over_network(self.config.world, host)

    async def start(self) -> None:
        """Start the members, see that the shards are registered, start the router."""
        await self.config.start()
        self.config.given_config_host = CONFIG_IN_PROCESS
        for name, member in self.shards.items():
            await member.start()
            command: Document = {
                "_configsvrAddShard": 1, "host": host_of(name), "name": name,
            }
            await self.router.routing.config.command("admin", command)
            await self._connect(host_of(name)).command("admin", {
                "_shardsvrSetIdentity": 1, "shardName": name,
                "configsvrConnectionString": CONFIG_IN_PROCESS,
            })
        await self.router.routing.refresh_shards()
        await self.router.start()

    async def stop(self) -> None:
        """Stop the router first, so that nothing new comes, then the members.

        Raises:
            MongoError: The first that a member could not be stopped cleanly for; all have stopped.

        """
        await self.router.stop()
        failed: MongoError | None = None
        for member in reversed(self.members):
            try:
                await member.stop()
            except MongoError as error:
                failed = failed or error
        if failed is not None:
            raise failed
