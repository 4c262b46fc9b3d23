"""The way to a replica set: finds the member for each command, sends again what may be sent again.

Each member has a monitor, which asks `hello` and waits for changes, and a pool for commands.
A failure of a member is taken note of at once: its pool is dropped and its monitor woken.

What a client sees follows mongos: 133 when no member fits within the selection timeout, the
member's own error with its labels when a command may not be sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from bson.int64 import Int64

from psdb_base import bson_codec
from psdb_base.addresses import split_address
from psdb_base.errors import Code, MongoError
from psdb_base.values import Document
from psdb_base.world import World
from psdb_server.labels import RETRYABLE_CODES
from psdb_server.replies import read_cursor
from psdb_wire.channel import raise_for
from psdb_wire.connection import Connection
from psdb_wire.frames import Message, append_fields, build_op_msg
from psdb_wire.pool import ConnectionPool
from psdb_wire.ways import addresses
from router import topology
from router.requests import BODY_AT, NOT_OK
from router.selection import (
    Preference,
    allowed,
    is_idempotent,
    may_send_again,
    preference_of,
)
from router.topology import ReplicaSet, Server

SELECTION_SECONDS: Final = 15.0
AWAIT_SECONDS: Final = 2.0
"""How long a member may hold back a hello that has nothing new."""
HELLO_SECONDS_MAX: Final = 2.0
"""A member that has not answered after this, beyond the wait it was allowed, is not there."""
CONNECT_SECONDS: Final = 3.0
PAUSE_SECONDS: Final = 0.1
"""Between two looks at a member that does not answer."""
ATTEMPTS_MAX: Final = 4
CURSORS_MAX: Final = 100_000
_UNREACHABLE: Final = frozenset(
    {int(Code.HOST_UNREACHABLE), int(Code.NETWORK_TIMEOUT), int(Code.HOST_NOT_FOUND)}
)
_REFUSED: Final = frozenset(
    {int(Code.NOT_WRITABLE_PRIMARY), int(Code.NOT_PRIMARY_NO_SECONDARY_OK),
     int(Code.NOT_PRIMARY_OR_SECONDARY)}
)
"""Errors of a member that did nothing: the router's own commands are sent again."""


class _Member:
    """One member: its pools and its monitor."""

    def __init__(self, world: World, address: str, hello: Document) -> None:
        self._make: Callable[..., ConnectionPool] = lambda **options: ConnectionPool(
            world.network, *split_address(address), hello,
            connect_seconds=CONNECT_SECONDS, **options,
        )
        self.address = address
        self.pool = self._make()
        self.monitor = self._make(size_max=1)
        self.wake = asyncio.Event()
        self.round_trip = 0.0
        self.task: asyncio.Task[None] | None = None

    async def drop(self) -> None:
        """Give up all connections; commands under way fail with HostUnreachable."""
        pool, self.pool = self.pool, self._make()
        await pool.close()

    async def close(self) -> None:
        if self.task is not None:
            self.task.cancel()
        await self.pool.close()
        await self.monitor.close()


class ReplicaSetShard:
    """A `Shard` that is a replica set.

    Args:
        world: Clock, random, network.
        name: The set's name.
        seeds: Some of its members.
        hello: The handshake of its connections.
        selection_seconds: How long a command waits for a member that fits.

    """

    def __init__(
        self, world: World, name: str, seeds: list[str], hello: Document, *,
        selection_seconds: float = SELECTION_SECONDS,
    ) -> None:
        self.view = ReplicaSet.seeded(name, seeds)
        self._world = world
        self._hello = hello
        self._selection_seconds = selection_seconds
        self._members: dict[str, _Member] = {}
        self._cursors: dict[int, str] = {}
        self._changed: asyncio.Future[None] | None = None
        self._closed = False
        self._last_request_id = 0
        self._seen = set(self.view.addresses)

    # -- what the router uses -----------------------------------------------------------------

    async def forward(self, _connection: Connection, message: Message) -> bytes | None:
        """Send a client's message on, with what it relies on; return the reply."""
        body = message.decoded
        if body is None:
            message.decoded = body = bson_codec.decode(message.body)
        routed = message.routed
        raw = message.raw if routed is None else append_fields(message.raw, routed.elements)
        return await self._request(raw, body, again=may_send_again(body))

    async def command(self, db: str, command: Document) -> Document:
        """Run a command of the router's own; raise the error of a reply that is not ok."""
        self._last_request_id = (self._last_request_id + 1) & 0x7FFFFFFF
        raw = bson_codec.encode({**command, "$db": db})
        message = build_op_msg(self._last_request_id, 0, raw)
        again = may_send_again(command) or is_idempotent(command)
        reply = await self._request(message, command, again=again, own=True)
        return raise_for(bson_codec.decode(reply[BODY_AT:]))

    def pools(self) -> list[ConnectionPool]:
        """Return the pools of the members' connections."""
        return [member.pool for _address, member in sorted(self._members.items())]

    def leads_to(self, host: str) -> bool:
        """Tell whether a host of this set's name is this set: it names a member of now or before.

        While no primary is known, the others that it names are looked at as well.
        """
        known = addresses(host)
        if not self._seen.intersection(known):
            return False
        if self.view.primary is None and not self._seen.issuperset(known):
            self._seen.update(known)
            self.view = self.view.with_hosts(tuple(known))
            if self._members:
                self._look()
        return True

    def follow(self) -> str | None:
        """Look at the members from now on; return the set's `host` by its primary's list."""
        if not self._members:
            self._look()
        primary = self.view.primary
        return None if primary is None else f"{self.view.name}/{','.join(primary.hosts)}"

    def is_away(self) -> bool:
        """Tell whether the set has no primary, as far as its members have told."""
        return bool(self._members) and self.view.primary is None

    async def close(self) -> None:
        """Stop the monitors and close all connections."""
        self._closed = True
        for address in sorted(self._members):
            await self._members[address].close()
        self._members = {}
        self._notify()

    # -- one command --------------------------------------------------------------------------

    async def _request(
        self, raw: bytes, body: Document, *, again: bool, own: bool = False
    ) -> bytes:
        """Send a message to the member for it, again where that is allowed."""
        preference = preference_of(body)
        attempts = ATTEMPTS_MAX
        while True:
            attempts -= 1
            address = self._cursor_owner(body) or await self._select(preference, body)
            try:
                reply = await self._member(address).pool.request(raw)
            except MongoError as error:
                self._failed(address, str(error))
                if again and attempts and error.code in _UNREACHABLE and not _is_bound(body):
                    continue
                raise
            code = _failure(reply)
            if code:
                self._refused(address, code)
                if attempts and (again or (own and code in _REFUSED)) and not _is_bound(body):
                    continue
            else:
                self._note_cursor(address, body, reply)
            return reply

    async def _select(self, preference: Preference, body: Document) -> str:
        """Return the address of a member that fits; 133 when none does in time."""
        found = allowed(self.view, preference, AWAIT_SECONDS)
        if not found:
            seconds = self._selection_seconds
            limit: Any = body.get("maxTimeMS")
            if type(limit) in (int, Int64) and limit > 0:
                seconds = min(seconds, limit / 1000)
            found = await self._wait_for(preference, seconds)
        if len(found) == 1:
            return found[0].address
        return found[self._world.random.below(len(found))].address

    async def _wait_for(self, preference: Preference, seconds: float) -> list[Server]:
        self._look()
        try:
            async with asyncio.timeout(seconds):
                while True:
                    if self._closed:
                        raise MongoError(Code.SHUTDOWN_IN_PROGRESS, "the router is stopping")
                    found = allowed(self.view, preference, AWAIT_SECONDS)
                    if found:
                        return found
                    if self._changed is None:
                        self._changed = asyncio.get_running_loop().create_future()
                    await asyncio.shield(self._changed)
        except TimeoutError:
            raise MongoError(
                Code.FAILED_TO_SATISFY_READ_PREFERENCE,
                f"Could not find host matching read preference {preference.describe()} for set "
                f"{self.view.name}",
            ) from None

    # -- cursors stay with their member -------------------------------------------------------

    def _cursor_owner(self, body: Document) -> str | None:
        cursor_id = _cursor_of(body)
        owner = None if cursor_id is None else self._cursors.get(cursor_id)
        return owner if owner is not None and self.view.server(owner) is not None else None

    def _note_cursor(self, address: str, body: Document, reply: bytes) -> None:
        """Remember which member has a cursor, for as long as it is open."""
        asked = _cursor_of(body)
        cursor = read_cursor(reply[BODY_AT:])
        if cursor is not None and cursor[0]:
            if len(self._cursors) >= CURSORS_MAX:
                del self._cursors[next(iter(self._cursors))]
            self._cursors[cursor[0]] = address
        elif asked is not None and (cursor is not None or "killCursors" in body):
            self._cursors.pop(asked, None)  # an error such as "in use" leaves it open

    # -- what becomes known -------------------------------------------------------------------

    def _failed(self, address: str, reason: str) -> None:
        """Note that a member cannot be reached; its monitor looks at once."""
        server = self.view.server(address)
        if server is not None and server.kind != topology.UNKNOWN:
            self._learn(topology.unknown(address, reason))
        self._wake(address)

    def _refused(self, address: str, code: int) -> None:
        """Note that a member says it is not what it was taken for."""
        if code in RETRYABLE_CODES and code not in _UNREACHABLE:
            self._failed(address, f"it answered with code {code}")

    def _learn(self, server: Server) -> None:
        """Take over news of one member."""
        before = self.view
        self.view = before.updated(server)
        if self.view == before:
            return
        self._seen.update(self.view.addresses)
        for one in before.servers:
            now = self.view.server(one.address)
            if one.kind == topology.PRIMARY and (now is None or now.kind != topology.PRIMARY):
                self._wake(one.address)  # a primary that was deposed may hang: find out
        self._look()
        self._notify()

    def _notify(self) -> None:
        changed, self._changed = self._changed, None
        if changed is not None and not changed.done():
            changed.set_result(None)

    def _wake(self, address: str) -> None:
        member = self._members.get(address)
        if member is not None:
            member.wake.set()

    # -- monitors -----------------------------------------------------------------------------

    def _member(self, address: str) -> _Member:
        member = self._members.get(address)
        if member is None:
            if self._closed:
                raise MongoError(Code.SHUTDOWN_IN_PROGRESS, "the router is stopping")
            self._members[address] = member = _Member(self._world, address, self._hello)
            member.task = asyncio.get_running_loop().create_task(self._monitor(member))
        return member

    def _look(self) -> None:
        """See that each member has its monitor, and strangers have none."""
        if self._closed:
            return
        for address in self.view.addresses:
            self._member(address)
        for address in [one for one in self._members if self.view.server(one) is None]:
            member = self._members.pop(address)
            closing = asyncio.get_running_loop().create_task(member.close())
            closing.add_done_callback(lambda _: None)

    async def _monitor(self, member: _Member) -> None:
        """Look at a member for ever: wait for its news, or for it to come back."""
        known: Document | None = None
        while not self._closed:
            try:
                known = await self._look_at(member, known)
            except MongoError as error:
                known = None
                await member.monitor.close()
                member.monitor = member._make(size_max=1)
                await member.drop()
                self._learn(topology.unknown(member.address, str(error)))
                await asyncio.sleep(PAUSE_SECONDS)

    async def _look_at(self, member: _Member, known: Document | None) -> Document | None:
        """Ask one member; return its topology version."""
        clock = self._world.clock
        hello: Document = {"hello": 1}
        seconds = HELLO_SECONDS_MAX
        if known is not None:
            hello |= {"topologyVersion": known, "maxAwaitTimeMS": int(AWAIT_SECONDS * 1000)}
            seconds += AWAIT_SECONDS
        start = clock.monotonic()
        asked = member.monitor.command("admin", hello, timeout_seconds=seconds)
        reply = await _unless(member.wake, asked) if known is not None else await asked
        if reply is None:
            return None  # woken: ask again, and want the answer at once
        now = clock.monotonic()
        if known is None:
            sample = now - start
            member.round_trip += (sample - member.round_trip) * (0.2 if member.round_trip else 1)
        self._learn(topology.described(
            member.address, reply, now=now, round_trip=member.round_trip
        ))
        server = self.view.server(member.address)
        if server is None or server.kind == topology.UNKNOWN:
            await asyncio.sleep(PAUSE_SECONDS)
            return None
        return server.version


async def _unless(wake: asyncio.Event, asked: Awaitable[Document]) -> Document | None:
    """Return what was asked for, None as soon as `wake` is set."""
    task = asyncio.ensure_future(asked)
    waker = asyncio.ensure_future(wake.wait())
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def finish(_: Any) -> None:
        if not done.done():
            done.set_result(None)

    task.add_done_callback(finish)
    waker.add_done_callback(finish)
    try:
        await done
    finally:
        wake.clear()
        waker.cancel()
        if not task.done():
            task.cancel()
    return task.result() if task.done() else None


def _failure(reply: bytes) -> int:
    """Return the code of a reply that is an error, 0 for all others."""
    if reply[BODY_AT + 4 : BODY_AT + 4 + len(NOT_OK)] != NOT_OK:
        return 0
    code = bson_codec.decode(reply[BODY_AT:]).get("code", 0)
    return code if code in RETRYABLE_CODES else 0


def _cursor_of(body: Document) -> int | None:
    """Return the cursor a command is about."""
    name = next(iter(body), "")
    if name == "getMore":
        return int(body[name]) if type(body[name]) in (int, Int64) else None
    cursors: Any = body.get("cursors") if name == "killCursors" else None
    if type(cursors) is list and cursors and type(cursors[0]) in (int, Int64):
        return int(cursors[0])
    return None


def _is_bound(body: Document) -> bool:
    """Tell whether a command can go to one member only."""
    return next(iter(body), "") in ("getMore", "killCursors")
