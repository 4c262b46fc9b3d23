"""Corner cases of a simulated cluster of replica sets, each played by a script."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from sim.client import ConnectionLost, SimClient
from sim.cluster import SimCluster, SimNode
from sim.replica_scenario import PORT
from sim.script import play
from sim.sharded import CONFIG, ITEMS, ROUTER_PORT, Plan, ShardedScenario
from sim.workload import DB

from configsvr import routing, store
from psdb_base.errors import MongoError
from psdb_base.values import Document
from shardsvr.sharding import recipient


class Scripted(ShardedScenario):
    """Two shards and config servers of three machines each, under a script.

    Args:
        script: What is done once all serve.
        first: How many machines of each set belong to it in the beginning.

    """

    def __init__(
        self, script: Callable[[Scripted], Coroutine[Any, Any, None]], first: int = 3
    ) -> None:
        super().__init__(1, plan=Plan(1))
        self.script = script
        self.first = first

    async def main(self) -> None:
        for node in [*self.nodes, *self.routers]:
            await node.start()
        for group in self.groups.values():
            await self.found(group[: self.first])
        await self.prepare()
        await self.script(self)
        for node in [*self.nodes, *self.routers]:
            node.cut_power()

    def changes(self) -> dict[str, int]:
        return {}

    def host_of(self, name: str) -> str:
        found = self.groups[name][: getattr(self, "first", 3)]
        return f"{name}/{','.join(f'{node.name}:{PORT}' for node in found)}"

    def direct(self, node: SimNode) -> SimClient:
        """Make a client of one machine."""
        port = ROUTER_PORT if node in self.routers else PORT
        return SimClient(self.fabric.network("direct"), (node.name, port), 1)

    async def until(self, what: str, holds: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Ask until the answer is true."""
        end = self.loop.time() + 60
        answer: Any = None
        while self.loop.time() < end:
            try:
                answer = await holds()
            except (ConnectionLost, MongoError) as error:
                answer = error
            else:
                if answer:
                    return answer
            await asyncio.sleep(0.1)
        raise AssertionError(f"{what}: {answer!r}")

    async def leader_of(self, name: str) -> SimNode:
        """Return the primary of a set, once it has one."""

        async def look() -> SimNode | None:
            self.group = [node for node in self.groups[name] if node.is_on]
            found = self.leader()
            self.group = None
            return found

        found: SimNode = await self.until(f"{name} has a primary", look)
        return found

    async def change_members(self, name: str, change: Callable[[list[Document]], None]) -> None:
        """Change the membership of a set."""

        async def send() -> Any:
            client = self.direct(await self.leader_of(name))
            try:
                config = (await client.command("admin", {"replSetGetConfig": 1}))["config"]
                change(config["members"])
                config["version"] += 1
                return await client.command("admin", {"replSetReconfig": config})
            finally:
                await client.close()

        await self.until(f"{name} has other members", send)


def run(script: Callable[[Scripted], Coroutine[Any, Any, None]], **options: Any) -> None:
    from sim.loop import run as run_loop

    trial = Scripted(script, **options)
    trial.scanners, trial.movers = [], []
    run_loop(trial.loop, trial.main())


@pytest.mark.slow
def test_the_catalogue_follows_the_members_of_the_sets() -> None:
    """All that a set began with may be gone: who starts later finds it all the same."""

    async def replace(trial: Scripted, name: str) -> None:
        first, *others = [f"{node.name}:{PORT}" for node in trial.groups[name]]
        for number, host in enumerate(others, 1):
            await trial.change_members(name, lambda rows, number=number, host=host: (
                rows.append({"_id": number, "host": host})))  # type: ignore[misc]

        async def handed_over() -> bool:
            leader = await trial.leader_of(name)
            if f"{leader.name}:{PORT}" != first:
                return True
            client = trial.direct(leader)
            try:
                await client.command("admin", {"replSetStepDown": 30})
            finally:
                await client.close()
            return False

        await trial.until("another primary", handed_over)
        await trial.change_members(name, lambda rows: rows.pop(0))  # type: ignore[arg-type,return-value]

    async def script(trial: Scripted) -> None:
        router = trial.router_client().inner
        for name in ("shard1", CONFIG):
            await replace(trial, name)
        wanted = f"shard1/shard1-1:{PORT},shard1-2:{PORT}"

        async def is_written_down() -> bool:
            rows = (await router.command("config", {"find": "shards"}))["cursor"]["firstBatch"]
            leader = await trial.leader_of("shard1")
            return rows[1]["host"] == wanted and leader.member.config_host == (
                f"config/config-1:{PORT},config-2:{PORT}")

        await trial.until("the hosts are written down", is_written_down)
        for name in ("shard1", CONFIG):
            trial.groups[name][0].cut_power()
        for node in [*trial.nodes, *trial.routers]:
            if node.is_on:
                node.cut_power()
                await node.start()
        client = trial.direct(trial.routers[0])
        moves: Document = {"moveChunk": f"{DB}.items", "find": {"k": 1}, "to": wanted}
        await trial.until("a chunk moves", lambda: client.command("admin", moves))
        assert (await client.command(DB, {"count": "items", "query": {"k": {"$gte": 0}}}))["n"] == (
            ITEMS)
        found = await client.command("admin", {"getShardMap": 1})
        assert found["map"]["shard1"] == wanted
        assert found["map"]["config"] == f"config/config-1:{PORT},config-2:{PORT}"

    # The router was told of all config servers, the shards of the first one alone.
    run(script, first=1)


def test_a_change_is_carried_through_without_its_client() -> None:
    async def script(cluster: SimCluster) -> None:
        await cluster.client("maker").command("db", {"insert": "c", "documents": [{"_id": 1}]})
        cluster.shard.hang_disk("journal", 3.0)
        client = cluster.client("asker", seconds=1.0)
        with pytest.raises(ConnectionLost):
            await client.command("admin", {"shardCollection": "db.c", "key": {"_id": 1}})
        other = cluster.client()
        before = cluster.loop.time()
        assert (await other.command("db", {"find": "c"}))["cursor"]["firstBatch"] == [{"_id": 1}]
        assert cluster.loop.time() - before < 10  # virtual seconds: the section opened at once
        rows = await other.command("config", {"find": "collections"})
        assert [row["_id"] for row in rows["cursor"]["firstBatch"]] == ["db.c"]

    play(script)


def test_what_a_shard_was_given_moves_on_though_it_does_not_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Found by a seed: the donor that had not heard of its range refused to give it away (118)."""

    async def end(state: Any, args: Document) -> None:
        """Stand in for a recipient that cannot ask the config servers when it is told the end."""
        state.incoming.pop(bytes(args["id"]), None)

    async def script(trial: Scripted) -> None:
        monkeypatch.setattr(recipient, "end", end)
        client = trial.router_client().inner
        move: Document = {"moveChunk": f"{DB}.items", "find": {"k": 1}}
        for shard in ("shard1", "shard0"):
            await client.command("admin", {**move, "to": shard})

    run(script)


def test_a_recipient_that_was_not_told_the_end_asks_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It used to refuse what came next for 15 seconds; and an outcome may be forgotten."""

    async def tell_nobody(*_: Any, **__: Any) -> None:
        return

    async def forget(trial: Scripted) -> None:
        config = (await trial.leader_of(CONFIG)).member
        rows = store.unordered(config, routing.OUTCOMES)
        assert rows
        store.write(config, [], [(routing.OUTCOMES, row["_id"]) for row in rows])

    async def script(trial: Scripted) -> None:
        monkeypatch.setattr("shardsvr.sharding.donor.tell_recipient", tell_nobody)
        client = trial.router_client().inner
        move: Document = {"moveChunk": f"{DB}.items", "find": {"k": 1}}
        before = trial.loop.time()
        for shard in ("shard1", "shard0", "shard1"):
            await client.command("admin", {**move, "to": shard})
        assert trial.loop.time() - before < 5  # of virtual time
        await forget(trial)
        there = (await trial.leader_of("shard1")).member.sharding

        async def is_known() -> bool:
            return not any(task.get("pending") for task in there.tasks(f"{DB}.items"))

        await trial.until("the end is known", is_known)
        assert (await client.command(DB, {"count": "items", "query": {"k": {"$gte": 0}}}))["n"] == (
            ITEMS)

    run(script)


@pytest.mark.slow
@pytest.mark.parametrize("how", [{}, {"sort": {"n": 1, "k": -1}}, {"sort": {"k": 1}}])
def test_a_cursor_on_a_secondary_ends_before_what_it_shows_is_deleted(how: Document) -> None:
    async def script(trial: Scripted) -> None:
        client = trial.router_client().inner
        find: Document = {"find": "items", "batchSize": 3, **how}
        on_secondary: Document = {"$readPreference": {"mode": "secondary"}}

        async def begin(more: Document) -> tuple[Any, list[Any]]:
            cursor = (await client.command(DB, {**find, **more}))["cursor"]
            return cursor["id"], [row["k"] for row in cursor["firstBatch"]]

        async def go_on(cursor: Any, seen: list[Any], batches: int = 1000) -> list[Any]:
            while cursor and batches:
                batches -= 1
                reply = await client.command(DB, {
                    "getMore": cursor, "collection": "items", "batchSize": 3})
                seen += [row["k"] for row in reply["cursor"]["nextBatch"]]
                cursor = reply["cursor"]["id"]
            return sorted(seen)

        held, _ = await begin({})
        old = await begin(on_secondary)
        move: Document = {"moveChunk": f"{DB}.items", "find": {"k": 1}, "to": "shard1"}
        await client.command("admin", move)
        await go_on(*old, batches=2)  # nothing of it is gone as long as the first cursor is open
        young = await begin(on_secondary)
        await client.command(DB, {"killCursors": "items", "cursors": [held]})
        donor = await trial.leader_of("shard0")

        async def is_deleted() -> bool:
            left = [
                node.member.engine.collection(DB, "items").count  # type: ignore[union-attr]
                for node in trial.groups["shard0"]
            ]
            tasks = donor.member.sharding.tasks(f"{DB}.items")
            return left == [ITEMS - ITEMS // 2] * 3 and not tasks

        await trial.until("the range is deleted", is_deleted)
        with pytest.raises(MongoError) as caught:
            await go_on(*old)
        assert caught.value.code == 175
        assert await go_on(*young) == list(range(ITEMS))

    run(script)


@pytest.mark.slow
def test_shards_and_config_servers_that_are_away() -> None:
    """What can be answered is; all else fails with MongoDB's errors and within its time."""

    async def script(trial: Scripted) -> None:
        client = trial.router_client().inner
        router = client._address[0]
        far = [node.name for node in trial.groups["shard1"]]
        move: Document = {"moveChunk": f"{DB}.items", "find": {"k": 1}}
        await client.command("admin", {**move, "to": "shard1"})

        async def fails(db: str, command: Document, *codes: int) -> None:
            before = trial.loop.time()
            with pytest.raises(MongoError) as caught:
                await client.command(db, {**command, "maxTimeMS": 1000})
            assert caught.value.code in codes, caught.value
            assert trial.loop.time() - before < 2  # of virtual time

        find: Document = {"find": "items", "batchSize": 4, "allowPartialResults": True}
        opened = (await client.command(DB, find))["cursor"]
        assert "partialResultsReturned" not in opened
        for name in far:
            trial.fabric.cut(router, name)
        await fails(DB, {"find": "items", "filter": {"k": 1}}, 50, 133)
        await fails(DB, {"count": "items"}, 50, 133)
        await fails(DB, {"update": "items", "updates": [
            {"q": {"k": 1}, "u": {"$inc": {"n": 1}}}]}, 50, 133)
        near = list(range(ITEMS // 2, ITEMS))
        more: Document = {"getMore": opened["id"], "collection": "items"}
        rest = (await client.command(DB, more))["cursor"]
        assert rest["partialResultsReturned"] is True
        seen = [row["k"] for row in [*opened["firstBatch"], *rest["nextBatch"]]]
        assert set(near) <= set(seen)
        find |= {"batchSize": 100, "maxTimeMS": 1000}
        found = (await client.command(DB, find))["cursor"]
        assert (found["partialResultsReturned"], found["id"]) == (True, 0)
        assert [row["k"] for row in found["firstBatch"]] == near
        found = (await client.command(DB, {**find, "filter": {"k": 1}}))["cursor"]
        assert (found["partialResultsReturned"], found["firstBatch"]) == (True, [])
        trial.fabric.heal()
        await trial.until("the shard is back", lambda: client.command(
            DB, {"find": "items", "filter": {"k": 1}, "maxTimeMS": 1000}))

        assert (await client.command(DB, {"count": "plain"}))["n"] == 0  # its shard knows it now
        for node in trial.groups[CONFIG][:2]:
            node.cut_power()
        assert (await client.command(DB, {"count": "items"}))["n"] == ITEMS
        everyone: Document = {"q": {}, "u": {"$inc": {"n": 1}}, "multi": True}
        assert (await client.command(DB, {"update": "items", "updates": [everyone]}))["n"] == ITEMS
        await fails("admin", {**move, "to": "shard0"}, 50, 133)
        assert sorted((await client.command("admin", {"getShardMap": 1}))["map"]) == [
            CONFIG, *trial.shards]
        await fails("admin", {"shardCollection": f"{DB}.other", "key": {"_id": 1}}, 50, 133)
        await fails("fresh", {"create": "c"}, 50, 133)
        # Where things are a secondary can say, too; not that a database is not there.
        await client.command("admin", {"flushRouterConfig": 1})
        assert (await client.command(DB, {"count": "items", "maxTimeMS": 1000}))["n"] == ITEMS
        assert (await client.command(DB, {"count": "never seen", "maxTimeMS": 1000}))["n"] == 0
        await fails("fresh", {"count": "c"}, 50, 133)
        for command in ("listDatabases", "listShards"):
            rows = await client.command("admin", {command: 1, "maxTimeMS": 1500})
            assert len(rows["databases" if command == "listDatabases" else "shards"]) >= 2

    run(script)


@pytest.mark.parametrize("change", ["movePrimary", "shardCollection"])
def test_nothing_is_given_to_a_shard_that_was_taken_out_meanwhile(
    monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    def take_out(member: Any, _identifier: Any) -> None:
        """Stand in for the last check: a shard that is drained leaves at this moment."""
        store.write(member, [], [("shards", "shard1")])

    async def script(trial: Scripted) -> None:
        client = trial.router_client().inner
        module = "dropping" if change == "movePrimary" else "shard_collection"
        monkeypatch.setattr(f"configsvr.{module}.check_not_fenced", take_out)
        command: Document = {"movePrimary": DB, "to": "shard1"} if change == "movePrimary" else {
            "shardCollection": f"{DB}.fresh", "key": {"_id": "hashed"}}
        with pytest.raises(MongoError) as caught:
            await client.command("admin", command)
        assert caught.value.code == 70
        rows = (await client.command("config", {"find": "databases"}))["cursor"]["firstBatch"]
        assert [row["primary"] for row in rows] == ["shard0"]
        find: Document = {"find": "collections", "filter": {"_id": f"{DB}.fresh"}}
        assert (await client.command("config", find))["cursor"]["firstBatch"] == []

    run(script)
