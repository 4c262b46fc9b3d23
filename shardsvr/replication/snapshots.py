"""A member whose log is too old gets the primary's data files.

The primary pins its newest checkpoint and sends it in pieces, each of which the receiver
acknowledges, so that neither holds more than a piece in memory and a slow receiver slows only its
own transfer. The receiver checks every file against the manifest before its core hears of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

from bson.binary import Binary

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_raft.messages import InstallSnapshot, from_fields, to_fields
from psdb_store import snapshot
from psdb_store.engine import Engine
from psdb_store.failures import disk_failure
from psdb_store.manifest import membership_of
from shardsvr.replication.config import ReplSetConfig
from shardsvr.replication.driver import raft_config

if TYPE_CHECKING:
    from shardsvr.replication.replica_set import ReplicaSet

PIECE_BYTES: Final = 1024 * 1024
_REPLY_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 1.0
"""After a transfer that failed the next one waits this long."""
MANIFEST: Final = -1
"""The number under which the manifest is sent."""


class Snapshots:
    """Transfers of one member, in both directions."""

    def __init__(self, replica_set: ReplicaSet) -> None:
        self._set = replica_set
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._last_id = 0
        self._incoming: snapshot.Incoming | None = None
        self._incoming_id: tuple[str, int] = ("", 0)
        self._manifest: list[bytes] = []

    def close(self) -> None:
        """Send nothing more."""
        for task in self._sending.values():
            task.cancel()

    # -- sending ---------------------------------------------------------------------------------

    def send(self, member_id: str) -> None:
        """Send a snapshot to a member, as the core ordered."""
        if member_id not in self._sending:
            task = asyncio.get_running_loop().create_task(self._send(member_id))
            self._sending[member_id] = task

    async def _send(self, member_id: str) -> None:
        driver = self._set.driver
        assert driver is not None
        try:
            index = await self._try(member_id)
            if index is None:
                await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            # Before the core hears of it: its next order may be for the same member.
            self._sending.pop(member_id, None)
        driver.snapshot_finished(member_id, index)

    async def _try(self, member_id: str) -> int | None:
        """Send a snapshot; return its index once it is installed, None when that failed."""
        log = self._set.member.world.log
        host = self._set.address(member_id)
        index: int | None = None
        try:
            if host is not None:
                log.write("I", "REPL", 7200010, "Sending a snapshot", {"to": host})
                index = await self._transfer(member_id, host)
                log.write("I", "REPL", 7200011, "Sent a snapshot", {"to": host, "index": index})
        except (MongoError, OSError) as error:
            log.write(
                "W", "REPL", 7200012, "Could not send a snapshot",
                {"to": host, "error": str(error)},
            )
        return index

    async def _transfer(self, member_id: str, host: str) -> int:
        """Send the newest checkpoint; return its log index once it is installed."""
        driver = self._set.driver
        assert driver is not None
        term = driver.core.term
        self._last_id += 1
        number = self._last_id
        pinned = await snapshot.pin(driver.engine)
        if membership_of(pinned.manifest) is None:  # it is older than the set
            pinned.release()
            await driver.engine.checkpoint()
            pinned = await snapshot.pin(driver.engine)
        try:
            for offset in range(0, len(pinned.line), PIECE_BYTES):
                self._check_office(term)
                await self._piece(
                    host, number, MANIFEST, offset, pinned.line[offset : offset + PIECE_BYTES]
                )
            for place, file in enumerate(pinned.files):
                for offset in range(0, file["bytes"], PIECE_BYTES):
                    data = await pinned.read(file, offset, PIECE_BYTES)
                    self._check_office(term)
                    await self._piece(host, number, place, offset, data)
            self._check_office(term)  # the message says who leads this term
            message = self._message(member_id, pinned)
            await self._ask(host, {
                "_replSetSnapshotEnd": number, "from": driver.engine.member.id,
                "m": to_fields(message),
            })
        finally:
            # The receiver needs the log behind the snapshot for a moment yet.
            asyncio.get_running_loop().call_later(10.0, pinned.release)
        return pinned.position.index

    def _check_office(self, term: int) -> None:
        driver = self._set.driver
        assert driver is not None
        if not driver.core.is_leader or driver.core.term != term:
            raise MongoError(Code.NOT_WRITABLE_PRIMARY, "office was lost")

    async def _piece(
        self, host: str, number: int, file: int, offset: int, data: bytes
    ) -> None:
        driver = self._set.driver
        assert driver is not None
        await self._ask(host, {
            "_replSetSnapshot": number, "from": driver.engine.member.id, "file": file,
            "offset": offset, "data": Binary(data),
        })

    async def _ask(self, host: str, command: Document) -> None:
        await self._set.peers.request(host, command, _REPLY_SECONDS)

    def _message(self, member_id: str, pinned: snapshot.Pinned) -> InstallSnapshot:
        driver = self._set.driver
        assert driver is not None
        membership = membership_of(pinned.manifest)
        assert membership is not None, "the checkpoint is of the set"
        position = pinned.position
        return InstallSnapshot(
            group=driver.core.group, sender=driver.engine.member.id, to=member_id,
            term=driver.core.term, index=position.index, index_term=position.term,
            config_index=membership[0],
            config=raft_config(ReplSetConfig.parse(membership[1])).to_fields(),
        )

    # -- receiving -------------------------------------------------------------------------------

    async def take(self, sender: str, number: int, file: int, offset: int, data: bytes) -> None:
        """Take in a piece: the manifest's come first, then those of each file in order."""
        if file == MANIFEST:
            if offset == 0:
                await self._begin((sender, number))
            if (sender, number) != self._incoming_id:
                raise _unknown()
            self._manifest.append(data)
            return
        incoming = self._opened(sender, number)
        try:
            await incoming.write(file, offset, data)
        except OSError as error:
            raise await self._given_up(incoming, error) from error

    async def _given_up(self, incoming: snapshot.Incoming, error: OSError) -> MongoError:
        """Make room again after a piece could not be written; return what the sender is told."""
        if self._incoming is incoming:
            self._incoming, self._incoming_id = None, ("", 0)
        with contextlib.suppress(OSError):
            await incoming.abandon()
        return disk_failure(error, "a snapshot")

    async def _begin(self, id_: tuple[str, int]) -> None:
        before, self._incoming = self._incoming, None
        self._incoming_id, self._manifest = id_, []
        if before is not None:
            with contextlib.suppress(OSError):  # what is left is removed at the next start
                await before.abandon()

    def _opened(self, sender: str, number: int) -> snapshot.Incoming:
        if (sender, number) != self._incoming_id:
            raise _unknown()
        if self._incoming is None:
            line, self._manifest = b"".join(self._manifest), []
            self._incoming = snapshot.Incoming(self._set.member.engine, line)
        return self._incoming

    async def end(self, sender: str, number: int, fields: Document) -> None:
        """Check the whole snapshot, give it to the core, and wait until it is installed."""
        incoming = self._opened(sender, number)
        self._incoming, self._incoming_id = None, ("", 0)
        try:
            await incoming.finish()
        except OSError as error:
            raise await self._given_up(incoming, error) from error
        message = from_fields(fields, incoming)
        driver = self._set.driver
        if driver is None or not isinstance(message, InstallSnapshot):
            raise MongoError(Code.BAD_VALUE, "not a snapshot's end")
        if message.index != incoming.position.index:
            raise MongoError(Code.BAD_VALUE, "the snapshot is of another index than its message")
        driver.step(message)
        await driver.settled()
        if driver.engine.commit_index < message.index:
            with contextlib.suppress(OSError):
                await incoming.abandon()
            raise MongoError(Code.OPERATION_FAILED, "the snapshot was not wanted")

    async def install(self, message: InstallSnapshot) -> Engine:
        """Replace the store by a snapshot, as the core ordered."""
        incoming: Any = message.payload
        assert isinstance(incoming, snapshot.Incoming)
        self._set.member.world.log.write(
            "I", "REPL", 7200013, "Installing a snapshot", {"index": message.index}
        )
        return await incoming.install()


def _unknown() -> MongoError:
    return MongoError(Code.OPERATION_FAILED, "a piece of an unknown snapshot")
