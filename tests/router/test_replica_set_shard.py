"""The router's way to a replica set, against members that are scripts behind real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from bson import Int64
from bson.objectid import ObjectId

from psdb_base.bson_codec import decode, encode
from psdb_base.errors import MongoError
from psdb_base.real_world import real_world
from psdb_server import replies
from psdb_wire.connection import Connection
from psdb_wire.frames import Message, build_op_msg, parse
from psdb_wire.server import Server
from router.replica_set_shard import ReplicaSetShard

Document = dict[str, Any]


class Member:
    """A member that says what it is told to say."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.address = ""
        self.seen: list[Document] = []
        self.raw: list[bytes] = []
        self.faults: list[str | int] = []
        self.server: Server

    async def start(self, port: int = 0) -> None:
        self.server = Server(self.group.world, self.handle)
        bound = await self.server.listen("127.0.0.1", port)
        self.address = f"127.0.0.1:{bound}"

    async def stop(self) -> None:
        for connection in self.server.connections:
            connection.abort()
        await self.server.close(0.1)

    def hello(self) -> Document:
        group = self.group
        is_primary = group.primary is self
        reply: Document = {
            "isWritablePrimary": is_primary, "secondary": not is_primary, "setName": "rs0",
            "hosts": [member.address for member in group.members], "me": self.address,
            "setVersion": 1,
            "topologyVersion": {"processId": group.process, "counter": Int64(group.version)},
        }
        if is_primary:
            reply["electionId"] = ObjectId(f"7fffffff{group.election:016x}")
        return reply

    async def handle(self, connection: Connection, message: Message) -> bytes | None:
        connection.greeted()
        body = decode(message.body)
        name = next(iter(body))
        if name == "hello":
            known = body.get("topologyVersion")
            if known is not None and known["counter"] == self.group.version:
                await self.group.news(body["maxAwaitTimeMS"] / 1000)
            return self.reply(message, self.hello())
        self.seen.append(body)
        self.raw.append(message.raw)
        fault = self.faults.pop(0) if self.faults else None
        if fault == "close":
            connection.close()
            return None
        if fault == "hang":
            await asyncio.sleep(60)
        if type(fault) is int:
            return self.fail(message, fault)
        if name in ("insert", "_configsvrX") and self.group.primary is not self:
            return self.fail(message, 10107)
        if name == "find":
            elements = replies.cursor_elements(77, "d.c", [], b"firstBatch")
            return build_op_msg(1, message.request_id, replies.close_body(
                elements + replies.OK_ELEMENT))
        return self.reply(message, {"from": self.address})

    def fail(self, message: Message, code: int) -> bytes:
        document = replies.error_document(MongoError(code, "told to fail"))
        return build_op_msg(1, message.request_id, encode(document))

    def reply(self, message: Message, document: Document) -> bytes:
        return build_op_msg(1, message.request_id, encode({**document, "ok": 1.0}))


class Group:
    """Three scripted members and a way to them."""

    def __init__(self) -> None:
        self.world = real_world(seed=1)
        self.members = [Member(self) for _ in range(3)]
        self.primary: Member | None = None
        self.election = 0
        self.version = 0
        self.process = ObjectId()
        self._changed = asyncio.Event()
        self.shard: ReplicaSetShard

    def elect(self, number: int | None) -> None:
        self.primary = None if number is None else self.members[number]
        self.election += number is not None
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def news(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def forward(self, body: Document) -> Document:
        raw = build_op_msg(5, 0, encode({**body, "$db": "d"}))
        reply = await self.shard.forward(Connection(1), parse(raw))
        assert reply is not None
        return decode(reply[21:])


@asynccontextmanager
async def group(selection_seconds: float = 10.0) -> AsyncIterator[Group]:
    found = Group()
    for member in found.members:
        await member.start()
    found.elect(0)
    # One member is enough to learn of the others.
    found.shard = ReplicaSetShard(
        found.world, "rs0", [found.members[1].address], {"hello": 1},
        selection_seconds=selection_seconds,
    )
    try:
        yield found
    finally:
        await found.shard.close()
        for member in found.members:
            await member.stop()


def play(script: Callable[[Group], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        async with group(**options) as found:
            await script(found)

    asyncio.run(run())


INSERT: Document = {"insert": "c", "documents": [{}]}
RETRYABLE: Document = {**INSERT, "lsid": {}, "txnNumber": Int64(1)}
SECONDARY: Document = {"count": "c", "$readPreference": {"mode": "secondary"}}


def test_a_write_finds_the_primary_and_its_bytes_are_untouched() -> None:
    async def script(group: Group) -> None:
        raw = build_op_msg(5, 0, encode({**INSERT, "$db": "d"}))
        await group.shard.forward(Connection(1), parse(raw))
        assert group.members[0].raw == [raw]

    play(script)


def test_reads_go_where_the_preference_says() -> None:
    async def script(group: Group) -> None:
        for _ in range(20):
            await group.forward(SECONDARY)
        counts = [len(member.seen) for member in group.members]
        assert counts[0] == 0
        assert sum(counts) == 20

    play(script)


def test_a_cursor_stays_with_its_member() -> None:
    async def script(group: Group) -> None:
        for _ in range(5):
            await group.forward({"find": "c", "$readPreference": {"mode": "secondary"}})
            owner = next(one for one in group.members if one.seen and "find" in one.seen[-1])
            reply = await group.forward({"getMore": Int64(77), "collection": "c"})
            assert reply["from"] == owner.address
            owner.seen.clear()
        killed = await group.forward({"killCursors": "c", "cursors": [Int64(77)]})
        assert killed["from"] == owner.address

    play(script)


@pytest.mark.parametrize("fault", ["close", 10107, 91, 189, 11602])
def test_what_may_be_sent_again_is(fault: str | int) -> None:
    async def script(group: Group) -> None:
        await group.forward(INSERT)
        group.members[0].faults = [fault]
        assert (await group.forward(RETRYABLE))["ok"] == 1.0
        group.members[0].faults = [fault]
        assert (await group.forward({"count": "c"}))["ok"] == 1.0

    play(script)


@pytest.mark.parametrize("fault", [10107, 91])
def test_what_may_not_be_sent_again_fails_as_the_member_says(fault: int) -> None:
    async def script(group: Group) -> None:
        await group.forward(INSERT)
        group.members[0].faults = [fault]
        assert (await group.forward(INSERT))["code"] == fault
        assert len(group.members[0].seen) == 2

    play(script)


def test_a_lost_connection_is_host_unreachable() -> None:
    async def script(group: Group) -> None:
        await group.forward(INSERT)
        group.members[0].faults = ["close"]
        with pytest.raises(MongoError) as info:
            await group.forward(INSERT)
        assert info.value.code == 6

    play(script)


def test_the_routers_own_commands_follow_the_primary() -> None:
    async def script(group: Group) -> None:
        await group.shard.command("admin", {"_configsvrX": 1})
        group.elect(2)
        reply = await group.shard.command("admin", {"_configsvrX": 1})
        assert reply["from"] == group.members[2].address

    play(script)


def test_a_failover_is_waited_for() -> None:
    async def script(group: Group) -> None:
        await group.forward(INSERT)
        await group.members[0].stop()
        group.elect(None)
        asked = asyncio.ensure_future(group.forward(RETRYABLE))
        await asyncio.sleep(0.3)
        assert not asked.done()
        group.elect(1)
        assert (await asked)["from"] == group.members[1].address

    play(script)


def test_no_member_that_fits_is_133() -> None:
    async def script(group: Group) -> None:
        await group.forward(INSERT)
        group.elect(None)
        # The news is on its way until a read of the primary has nowhere to go.
        while group.shard.view.primary is not None:
            await asyncio.sleep(0.01)
        for body in (INSERT, {"count": "c", "maxTimeMS": 50}):
            with pytest.raises(MongoError, match=r'preference \{ mode: "primary" \} for set rs0'
                               ) as info:
                await group.forward(body)
            assert info.value.code == 133
        assert (await group.forward(SECONDARY))["ok"] == 1.0

    play(script, selection_seconds=0.2)


def test_a_primary_that_hangs_loses_its_requests_when_it_is_replaced() -> None:
    async def script(group: Group) -> None:
        await group.forward(INSERT)
        old = group.members[0]
        old.faults = ["hang"]
        asked = asyncio.ensure_future(group.forward(RETRYABLE))
        while old.faults != []:
            await asyncio.sleep(0.01)
        old.hello = lambda: {"ok": 0.0}  # type: ignore[method-assign]
        old.handle = _never  # type: ignore[method-assign]
        old.server.handler = _never
        for connection in old.server.connections:
            connection._handler = _never
        group.elect(1)
        async with asyncio.timeout(6):
            assert (await asked)["from"] == group.members[1].address

    play(script)


async def _never(_connection: Connection, _message: Message) -> bytes | None:
    await asyncio.sleep(60)
    return None


def test_members_come_and_go() -> None:
    async def script(group: Group) -> None:
        await group.forward(INSERT)
        gone = group.members.pop(2)
        group.elect(0)
        while gone.address in group.shard.view.addresses:
            await asyncio.sleep(0.01)
        group.members.append(gone)
        group.elect(0)
        while gone.address not in group.shard.view.addresses:
            await asyncio.sleep(0.01)

    play(script)
