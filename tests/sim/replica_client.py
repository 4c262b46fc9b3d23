"""A client of a simulated replica set: it finds the primary as drivers do, and tries again."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from bson.int64 import Int64
from sim.client import ConnectionLost, SimClient, statement_errors
from sim.network import Fabric

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document

NOT_PRIMARY = {
    int(Code.NOT_WRITABLE_PRIMARY), int(Code.NOT_PRIMARY_NO_SECONDARY_OK),
    int(Code.NOT_PRIMARY_OR_SECONDARY),
}
UNKNOWN = NOT_PRIMARY | {
    int(Code.PRIMARY_STEPPED_DOWN), int(Code.INTERRUPTED_DUE_TO_REPL_STATE_CHANGE),
    int(Code.SHUTDOWN_IN_PROGRESS), int(Code.INTERRUPTED_AT_SHUTDOWN),
    int(Code.HOST_UNREACHABLE), int(Code.NETWORK_TIMEOUT), int(Code.LOG_WRITE_FAILED),
    int(Code.OUT_OF_DISK_SPACE),
}
"""Errors after which nobody knows whether a write was carried out."""
PAUSE_SECONDS = 0.1
FIND_SECONDS = 0.5
"""Between two rounds of asking for the primary, at most: drivers ask no oftener."""


class SetClient:
    """A client with a connection to each member.

    Args:
        fabric: The network.
        name: The client machine's.
        hosts: The members' addresses.
        seed: For its session's id and its choices.
        timeout_seconds: An answer that takes longer counts as a lost connection.

    """

    def __init__(
        self, fabric: Fabric, name: str, hosts: list[tuple[str, int]], seed: int,
        timeout_seconds: float,
    ) -> None:
        self._rng = random.Random(f"set client {name} {seed}")
        network = fabric.network(name)
        self.members = {
            host: SimClient(network, host, seed, timeout_seconds=timeout_seconds) for host in hosts
        }
        self.primary: SimClient | None = None
        self.lsid = next(iter(self.members.values())).lsid
        self._txn_number = 0
        self.retries = 0

    async def close(self) -> None:
        for member in self.members.values():
            await member.close()

    def any_member(self) -> SimClient:
        """Return some member, primary or not."""
        return self._rng.choice(list(self.members.values()))

    async def find_primary(self) -> SimClient:
        """Ask all members until one says that it is primary."""
        while self.primary is None:
            members = list(self.members.values())
            self._rng.shuffle(members)
            for member in members:
                try:
                    reply = await member.command("admin", {"hello": 1})
                except (ConnectionLost, MongoError):
                    continue
                if reply["isWritablePrimary"]:
                    self.primary = member
                    return member
            await asyncio.sleep(FIND_SECONDS * self._rng.random())
        return self.primary

    async def command(self, db: str, body: Document) -> Document:
        """Run a command on the primary once.

        Raises ConnectionLost when it is unknown whether it was carried out, MongoError else.
        """
        primary = await self.find_primary()
        try:
            reply = await primary.command(db, body)
        except ConnectionLost:
            self.primary = None
            raise
        except MongoError as error:
            if error.code not in UNKNOWN:
                raise
            self.primary = None
            raise ConnectionLost(f"{error.code}") from error
        if any(code in UNKNOWN for code in statement_errors(reply)):
            self.primary = None
            raise ConnectionLost("a statement's error")
        return reply

    async def write(self, db: str, body: Document) -> Document:
        """Run a retryable write until it is answered, however often it takes."""
        self._txn_number += 1
        return await self.sure(db, {
            **body, "lsid": self.lsid, "txnNumber": Int64(self._txn_number),
        })

    async def sure(self, db: str, body: Document) -> Document:
        """Repeat until it is answered."""
        while True:
            try:
                return await self.command(db, body)
            except ConnectionLost:
                self.retries += 1
                await asyncio.sleep(PAUSE_SECONDS * self._rng.random() ** 2)

    async def on_secondary(self, db: str, body: Document) -> tuple[SimClient, Any]:
        """Run a read on any member."""
        member = self.any_member()
        preference: Document = {"$readPreference": {"mode": "secondaryPreferred"}}
        return member, await member.command(db, {**body, **preference})
