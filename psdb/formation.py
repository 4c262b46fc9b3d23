"""Making a cluster of processes that run: replica sets, then shards.

Every step looks first at what is there, so that it may be taken again on each start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from psdb.layout import Layout, Process
from psdb_base.addresses import split_address
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_base.world import Network
from psdb_wire.pool import ConnectionPool

T = TypeVar("T")
POLL_SECONDS: Final = 0.05
_HELLO: Final[Document] = {"hello": 1}
_ASK_SECONDS: Final = 5.0


class NotFormedError(Exception):
    """A step did not come to its end in time."""


class Formation:
    """Brings a layout's processes together.

    Args:
        network: The world's network.
        layout: The processes.
        seconds: How long one step may take.

    """

    def __init__(self, network: Network, layout: Layout, seconds: float) -> None:
        self._network = network
        self._layout = layout
        self._seconds = seconds

    async def form(self) -> None:
        """Initiate the sets, add the shards, wait until each part serves."""
        sets = self._layout.replica_sets()
        await asyncio.gather(*(self._form_set(name, sets[name]) for name in sets))
        routers = self._layout.of_role("router")
        for router in routers:
            await self._until(f"{router.name} answers", lambda router=router: self._command(  # type: ignore[misc]
                router, {"ping": 1}))
        if routers:
            for name in sets:
                if name != "config":
                    await self._until(f"{name} is a shard", lambda name=name: self._add_shard(  # type: ignore[misc]
                        routers[0], name))

    async def _form_set(self, name: str, members: list[Process]) -> None:
        """Bring one set up to a primary."""
        replies = [
            await self._until(f"{member.name} answers", lambda member=member: self._command(  # type: ignore[misc]
                member, _HELLO))
            for member in members
        ]
        old = [
            member for member, reply in zip(members, replies, strict=True) if "setName" in reply
        ]
        if not old:
            await self._until(f"{name} is initiated", lambda: self._initiate(name, members))
            old = members[:1]
        primary = await self._until(f"{name} has a primary", lambda: self._primary(old))
        fresh = [member for member in members if member not in old]
        if fresh and len(old) < len(members):
            await self._until(f"{name} has all its members", lambda: self._grow(primary, members))

    async def _initiate(self, name: str, members: list[Process]) -> Document:
        config: Document = {
            "_id": name,
            "members": [
                {"_id": number, "host": member.address} for number, member in enumerate(members)
            ],
        }
        if members[0].role == "configsvr":
            config["configsvr"] = True
        try:
            return await self._command(members[0], {"replSetInitiate": config})
        except MongoError as error:
            if error.code == Code.ALREADY_INITIALIZED:
                return {}
            raise

    async def _primary(self, members: list[Process]) -> Process | None:
        """Return the set's primary as one of its members knows it."""
        for member in members:
            reply = await self._command(member, _HELLO)
            for process in self._layout.processes:
                if process.address == reply.get("primary"):
                    found = await self._command(process, _HELLO)
                    return process if found.get("isWritablePrimary") else None
        return None

    async def _grow(self, primary: Process, members: list[Process]) -> bool:
        """Add the members that the configuration lacks, one by one."""
        config = (await self._command(primary, {"replSetGetConfig": 1}))["config"]
        known = [row["host"] for row in config["members"]]
        for member in members:
            if member.address in known:
                continue
            rows = config["members"]
            number = 1 + max(row["_id"] for row in rows)
            config |= {
                "version": config["version"] + 1,
                "members": [*rows, {"_id": number, "host": member.address}],
            }
            await self._command(primary, {"replSetReconfig": config})
            return await self._grow(primary, members)
        return True

    async def _add_shard(self, router: Process, name: str) -> bool:
        shards = await self._command(router, {"listShards": 1})
        if name not in [row["_id"] for row in shards["shards"]]:
            await self._command(
                router, {"addShard": self._layout.set_address(name), "name": name}
            )
        return True

    async def _command(self, process: Process, command: Document) -> Document:
        pool = ConnectionPool(
            self._network, *split_address(process.address), _HELLO, size_max=1,
            connect_seconds=_ASK_SECONDS,
        )
        try:
            return await pool.command("admin", command, timeout_seconds=self._seconds)
        finally:
            await pool.close()

    async def _until(self, what: str, ask: Callable[[], Awaitable[T | None]]) -> T:
        """Ask until there is an answer; failures are asked again until the time is over."""
        reason = "no answer"
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    try:
                        answer = await ask()
                    except MongoError as error:
                        reason = str(error)
                    else:
                        if answer is not None:
                            return answer
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise NotFormedError(
                f"gave up waiting until {what} after {self._seconds:g} s: {reason}"
            ) from None
