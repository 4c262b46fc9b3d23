"""A cluster in one process: router, config server and one shard on one event loop.

The three are the same objects that run as processes of their own; only the way from the
router to the others differs: messages are handed over, not sent.
"""

from __future__ import annotations

from typing import Final

from configsvr.server import ConfigServer
from psdb_base.values import Document
from psdb_base.world import World
from router.server import Router
from router.shards import LocalShard, Shard
from shardsvr.commands.table import MEMBER_COMMANDS
from shardsvr.member import Member

SHARD_NAME: Final = "shard0"
SHARD_HOST: Final = "shard0/in-process:0"


class LocalCluster:
    """Config server, shard and router under one folder.

    Args:
        world: Clock, random, disk, network, log, shared by the three.
        options: The parsed command line.
        dbpath: The folder; each member has its own below it.

    """

    def __init__(self, world: World, options: Document, dbpath: str) -> None:
        self._last_connection_id = 1_000_000
        self.config = ConfigServer(world, options, f"{dbpath}/config")
        self.shard = Member(world, MEMBER_COMMANDS, options, f"{dbpath}/{SHARD_NAME}")
        self.router = Router(
            world, options, LocalShard(self.config.handle, self._connection_id), self._connect
        )

    def _connection_id(self) -> int:
        self._last_connection_id += 1
        return self._last_connection_id

    def _connect(self, host: str) -> Shard:
        if host == SHARD_HOST:
            return LocalShard(self.shard.handle, self._connection_id)
        from router.shards import connect_over_network

        return connect_over_network(self.router.world, host)

    async def start(self) -> None:
        """Start the members, see that the shard is registered, start the router."""
        await self.config.start()
        await self.shard.start()
        command: Document = {
            "_configsvrAddShard": 1, "host": SHARD_HOST, "name": SHARD_NAME,
        }
        await self.router.routing.config.command("admin", command)
        await self._connect(SHARD_HOST).command("admin", {
            "_shardsvrSetIdentity": 1, "shardName": SHARD_NAME,
        })
        await self.router.routing.refresh_shards()
        await self.router.start()

    async def stop(self) -> None:
        """Stop the router first, so that nothing new comes, then the members."""
        await self.router.stop()
        await self.shard.stop()
        await self.config.stop()
