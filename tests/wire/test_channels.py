"""Requests to other nodes: in this process, and over real sockets on the loopback interface."""

from __future__ import annotations

import asyncio

import bson
import pytest
import uvloop

from psdb_base.addresses import split_address
from psdb_base.bson_codec import decode, encode
from psdb_base.errors import MongoError
from psdb_wire.channel import LocalChannel
from psdb_wire.frames import MORE_TO_COME, build_op_msg, parse
from psdb_wire.pool import ConnectionPool
from psdb_wire.server import Server

HELLO = {"hello": 1, "internalClient": {"maxWireVersion": 25}}


class Node:
    """A small command layer: what it does is named by the command."""

    def __init__(self):
        self.seen = []
        self.release = asyncio.Event()
        self.running = 0
        self.connections = []
        self.cancelled = 0

    async def __call__(self, connection, message):
        command = decode(message.body)
        name = next(iter(command))
        self.seen.append(name)
        self.connections.append(connection.id)
        reply = {"ok": 1.0, "name": name}
        if name == "hello":
            connection.greeted()
        elif name == "wait":
            self.running += 1
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            finally:
                self.running -= 1
        elif name == "fail":
            reply = {
                "ok": 0.0,
                "code": 11000,
                "codeName": "DuplicateKey",
                "errmsg": "E11000 duplicate",
                "errorLabels": ["RetryableWriteError"],
                "keyValue": {"a": 1},
            }
        elif name == "crash":
            raise ZeroDivisionError
        elif name == "disconnect":
            connection.close()
            return None
        elif name == "wrong":
            return build_op_msg(1, message.request_id + 1, encode(reply))
        return build_op_msg(1, message.request_id, encode(reply))


async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)


def raises(code):
    return pytest.raises(MongoError, check=lambda error: error.code == code)


def with_pool(world, test, **options):
    """Run `test(node, pool, server)` against a server on an ephemeral port."""

    async def run():
        node = Node()
        server = Server(world, node)
        port = await server.listen("127.0.0.1", 0)
        pool = ConnectionPool(world.network, "127.0.0.1", port, HELLO, **options)
        try:
            async with asyncio.timeout(20):
                await test(node, pool, server)
        finally:
            await pool.close()
            await server.close(1)

    asyncio.run(run())
    uvloop.run(run())


def with_channel(world, test):
    async def run():
        node = Node()
        ids = iter(range(1, 1000))
        async with asyncio.timeout(20):
            await test(node, LocalChannel(node, lambda: next(ids)), None)

    asyncio.run(run())


BOTH = pytest.mark.parametrize("through", [with_channel, with_pool])


@BOTH
def test_commands(world, through):
    async def test(node, channel, _):
        assert await channel.command("db", {"ping": 1}) == {"ok": 1.0, "name": "ping"}
        with raises(11000) as caught:
            await channel.command("db", {"fail": 1})
        error = caught.value
        assert (error.message, error.labels) == ("E11000 duplicate", ("RetryableWriteError",))
        assert error.extra == {"keyValue": {"a": 1}}

    through(world, test)


@BOTH
def test_requests_keep_their_ids(world, through):
    async def test(node, channel, _):
        raw = build_op_msg(4242, 0, bson.encode({"ping": 1, "$db": "d"}))
        assert parse(await channel.request(raw)).response_to == 4242

    through(world, test)


@BOTH
def test_requests_without_reply(world, through):
    async def test(node, channel, _):
        raw = build_op_msg(1, 0, bson.encode({"ping": 1, "$db": "d"}), flags=MORE_TO_COME)
        assert await channel.request(raw) == b""
        await channel.command("db", {"after": 1})
        assert node.seen[-2:] == ["ping", "after"]

    through(world, test)


@BOTH
def test_a_time_limit(world, through):
    async def test(node, channel, _):
        with raises(89):
            await channel.command("db", {"wait": 1}, timeout_seconds=0.01)
        await until(lambda: node.cancelled == 1)
        assert (await channel.command("db", {"ping": 1}, timeout_seconds=5))["ok"] == 1.0

    through(world, test)


@BOTH
def test_concurrent_requests_have_their_own_connections(world, through):
    async def test(node, channel, _):
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(channel.command("db", {"wait": 1}))
            await until(lambda: node.running == 5)
            node.release.set()
        waited = [c for c, name in zip(node.connections, node.seen, strict=True) if name == "wait"]
        assert len(set(waited)) == 5
        before = len(set(node.connections))
        for _ in range(10):
            await channel.command("db", {"ping": 1})
        assert len(set(node.connections)) == before

    through(world, test)


@BOTH
def test_a_closed_channel(world, through):
    async def test(node, channel, _):
        await channel.command("db", {"ping": 1})
        await channel.close()
        with raises(6):
            await channel.command("db", {"ping": 1})

    through(world, test)


def test_a_closed_local_channel_tells_the_node(world):
    async def test(node, channel, _):
        lost = []

        async def handler(connection, message):
            connection.on_close(lambda: lost.append(connection.id))
            assert connection.is_local
            assert connection.hello_done
            return build_op_msg(1, message.request_id, encode({"ok": 1.0}))

        channel = LocalChannel(handler, lambda: 7)
        await channel.command("db", {"ping": 1})
        await channel.close()
        assert lost == [7]

    with_channel(world, test)


def test_a_local_handler_that_answers_at_once(world):
    async def test(node, _, __):
        def handler(connection, message):
            return build_op_msg(1, message.request_id, encode({"ok": 1.0}))

        channel = LocalChannel(handler, lambda: 1)
        assert await channel.command("db", {"ping": 1}) == {"ok": 1.0}

    with_channel(world, test)


# -- the pool -----------------------------------------------------------------------------------


def test_the_handshake_comes_first(world):
    async def test(node, pool, _):
        await pool.command("db", {"ping": 1})
        await pool.command("db", {"ping": 1})
        assert node.seen == ["hello", "ping", "ping"]
        assert (pool.size, pool.idle) == (1, 1)

    with_pool(world, test)


def test_a_refused_handshake(world):
    async def test(node, pool, _):
        async def refuse(connection):
            assert connection.hello == {"ok": 1.0, "name": "hello"}
            raise MongoError(18, "Authentication failed.")

        pool._authenticate = refuse
        with raises(18):
            await pool.command("db", {"ping": 1})
        assert pool.size == 0
        pool._authenticate = None
        await pool.command("db", {"ping": 1})

    with_pool(world, test)


def test_more_requests_than_connections_wait_their_turn(world):
    async def test(node, pool, server):
        tasks = [asyncio.create_task(pool.command("db", {"wait": i})) for i in range(6)]
        await until(lambda: node.running == 2)
        assert pool.size == server.current == 2
        tasks[3].cancel()
        node.release.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[3], asyncio.CancelledError)
        assert [result["ok"] for i, result in enumerate(results) if i != 3] == [1.0] * 5
        assert (pool.size, pool.idle) == (2, 2)

    with_pool(world, test, size_max=2)


def test_a_cancelled_request_takes_its_connection_with_it(world):
    async def test(node, pool, server):
        task = asyncio.create_task(pool.command("db", {"wait": 1}))
        await until(lambda: node.running == 1)
        waiting = asyncio.create_task(pool.command("db", {"ping": 1}))
        task.cancel()
        assert (await waiting)["name"] == "ping"
        await until(lambda: node.cancelled == 1)
        assert pool.size == 1

    with_pool(world, test, size_max=1)


def test_a_request_cancelled_just_as_it_is_given_a_connection(world):
    async def test(node, pool, server):
        held = await pool._acquire()
        task = asyncio.create_task(pool.command("db", {"ping": 1}))
        await asyncio.sleep(0)
        pool._release(held)
        assert pool.idle == 0
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (pool.size, pool.idle) == (1, 1)
        assert node.seen == ["hello"]

    with_pool(world, test, size_max=1)


def test_a_request_cancelled_just_as_it_may_open_a_connection(world):
    async def test(node, pool, server):
        held = await pool._acquire()
        task = asyncio.create_task(pool.command("db", {"ping": 1}))
        await asyncio.sleep(0)
        held.abort()
        pool._lost(held)
        assert pool._opening == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert pool.size == 0
        assert (await pool.command("db", {"ping": 1}))["ok"] == 1.0

    with_pool(world, test, size_max=1)


@pytest.mark.parametrize("how", ["crash", "disconnect"])
def test_a_connection_lost_while_a_reply_is_awaited(world, log, how):
    async def test(node, pool, _):
        with raises(6):
            await pool.command("db", {how: 1})
        assert (await pool.command("db", {"ping": 1}))["ok"] == 1.0

    with_pool(world, test, size_max=1)


def test_a_reply_to_another_request(world):
    async def test(node, pool, _):
        with raises(17):
            await pool.command("db", {"wrong": 1})
        assert (await pool.command("db", {"ping": 1}))["ok"] == 1.0

    with_pool(world, test, size_max=1)


def test_an_idle_connection_that_was_lost_is_not_used_again(world):
    async def test(node, pool, server):
        await pool.command("db", {"ping": 1})
        for connection in server.connections:
            connection.close()
        await until(lambda: pool.size == 0)
        assert (await pool.command("db", {"ping": 1}))["ok"] == 1.0

    with_pool(world, test)


def test_nobody_listens(world):
    async def test(node, pool, server):
        await server.close()
        for _ in range(3):
            with raises(6):
                await pool.command("db", {"ping": 1})
        assert pool.size == 0

    with_pool(world, test, size_max=1)


def test_closing_the_pool_fails_what_is_under_way_and_waiting(world):
    async def test(node, pool, server):
        tasks = [asyncio.create_task(pool.command("db", {"wait": i})) for i in range(3)]
        await until(lambda: node.running == 1)
        await pool.close()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [getattr(result, "code", None) for result in results] == [6, 6, 6]
        await until(lambda: server.current == 0)

    with_pool(world, test, size_max=1)


def test_a_server_that_does_not_shake_hands(world):
    async def run():
        class Mute(asyncio.Protocol):
            pass

        listener = await world.network.listen("127.0.0.1", 0, Mute)
        pool = ConnectionPool(
            world.network, "127.0.0.1", listener.port, HELLO, connect_seconds=0.01, size_max=1
        )
        for _ in range(2):
            with raises(89):
                await pool.command("db", {"ping": 1})
        assert pool.size == 0
        listener.close()

    asyncio.run(run())


def test_warm_clear_and_prune(world):
    async def test(node, pool, server):
        await pool.warm()
        assert (pool.size, pool.idle, server.current) == (3, 3, 3)
        pool.clear()
        assert pool.idle == 0
        await until(lambda: pool.size == 0)
        node.release.clear()
        task = asyncio.create_task(pool.command("db", {"wait": 1}))
        await until(lambda: node.running == 1)
        pool.clear()
        node.release.set()
        await task
        assert pool.idle == 0
        await until(lambda: pool.size == 0)

    with_pool(world, test, size_min=3)


def test_connections_idle_for_long_are_closed(world):
    async def test(node, pool, server):
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(pool.command("db", {"wait": 1}))
            await until(lambda: node.running == 4)
            node.release.set()
        assert pool.idle == 4
        await asyncio.sleep(0.02)
        await pool.command("db", {"ping": 1})
        assert pool.idle == 2
        await until(lambda: server.current == 2)

    with_pool(world, test, idle_seconds_max=0.01, size_min=2)


def test_large_messages_both_ways(world):
    async def run():
        async def handler(connection, message):
            connection.greeted()
            reply = encode({"ok": 1.0, "size": len(message.raw), "data": bytes(5_000_000)})
            return build_op_msg(1, message.request_id, reply)

        server = Server(world, handler)
        port = await server.listen("127.0.0.1", 0)
        pool = ConnectionPool(world.network, "127.0.0.1", port, HELLO)
        for size in (10, 70_000, 16_000_000):
            reply = await pool.command("db", {"x": bytes(size)})
            assert reply["size"] > size
            assert len(reply["data"]) == 5_000_000
        await pool.close()
        await server.close()

    asyncio.run(run())


@pytest.mark.parametrize(("address", "split"), [
    ("a:1", ("a", 1)), ("a", ("a", 27017)), ("[::1]:5", ("::1", 5)), ("[::1]", ("::1", 27017)),
])
def test_addresses(address: str, split: tuple[str, int]) -> None:
    assert split_address(address) == split


@pytest.mark.parametrize("address", ["", ":1", "a:", "a:b", "a:0x5", "a:70000", "a:-1"])
def test_addresses_without_a_host_or_a_port_that_can_be(address: str) -> None:
    with pytest.raises(MongoError) as caught:
        split_address(address)
    assert caught.value.code == 9
