"""What clients of a simulated replica set do, and what they know afterwards."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from sim.client import ConnectionLost
from sim.linearizable import Operation, is_linearizable
from sim.replica_client import UNKNOWN, SetClient
from sim.workload import Violation, expect

from psdb_base.errors import MongoError
from psdb_base.values import Document

DB = "sim"
MAJORITY: Document = {"w": "majority"}
CLIENTS_OF_A_KEY = 6


class Books:
    """What all workers of a run know together.

    Attributes:
        stopping: Begin nothing new.
        operations, unknown: Requests answered, and not.
        history: Operations on registers, by key.
        witnessed: Documents that were seen at the majority's state.

    """

    def __init__(self, rng: random.Random, now: Callable[[], float]) -> None:
        self.rng = rng
        self.now = now
        self.stopping = False
        self.operations = 0
        self.unknown = 0
        self.think_seconds = 0.3
        self.history: dict[str, list[Operation]] = {}
        self.witnessed: dict[Any, str] = {}
        self.longest_gap = 0.0
        self._answered = now()

    def answered(self) -> None:
        """Count an answer."""
        self.operations += 1
        now = self.now()
        self.longest_gap = max(self.longest_gap, now - self._answered)
        self._answered = now


class Worker:
    """A client that does one kind of thing again and again."""

    def __init__(self, books: Books, name: str, client: SetClient) -> None:
        self.books = books
        self.name = name
        self.client = client
        self.rng = random.Random(f"{name} {books.rng.getrandbits(32)}")
        self.number = 0

    async def run(self) -> None:
        while not self.books.stopping:
            try:
                await self.step()
                self.books.answered()
            except ConnectionLost:
                self.books.unknown += 1
            except MongoError as error:
                raise Violation(f"{self.name}: unexpected {error.code}: {error.message}") from error
            await asyncio.sleep(self.rng.random() * self.books.think_seconds)
        await self.client.close()

    async def step(self) -> None:
        raise NotImplementedError

    def check(self, state: dict[str, dict[Any, Document]]) -> None:
        """Compare what is known with what there is in the end."""


class Registers(Worker):
    """Reads, writes and compares-and-sets registers; all of it has to be linearizable."""

    def __init__(self, books: Books, name: str, client: SetClient, keys: list[str]) -> None:
        super().__init__(books, name, client)
        self.keys = keys
        self.last: dict[str, Any] = {}

    async def step(self) -> None:
        key = self.rng.choice(self.keys)
        roll = self.rng.random()
        self.number += 1
        value = f"{self.name}:{self.number}"
        if roll < 0.45:
            await self.read(key)
        elif roll < 0.75 or key not in self.last:
            await self.write(key, value)
        else:
            await self.compare_and_set(key, value)

    def begin(self, key: str, kind: str, value: Any = None, old: Any = None) -> Operation:
        op = Operation(kind, value, old, self.books.now())
        if kind != "read":
            self.books.history.setdefault(key, []).append(op)
        return op

    async def read(self, key: str) -> None:
        op = self.begin(key, "read")
        reply = await self.client.command(DB, {
            "find": "registers", "filter": {"_id": key}, "limit": 1, "singleBatch": True,
            "readConcern": {"level": "linearizable"},
        })
        rows = reply["cursor"]["firstBatch"]
        op.value = rows[0]["v"] if rows else None
        op.end = self.books.now()
        self.books.history.setdefault(key, []).append(op)
        self.last[key] = op.value

    async def send(self, body: Document) -> Document:
        """Send a write, sure or not."""
        body["writeConcern"] = MAJORITY
        if self.rng.random() < 0.6:
            return await self.client.write(DB, body)
        return await self.client.command(DB, body)

    async def write(self, key: str, value: str) -> None:
        op = self.begin(key, "write", value)
        update = {"q": {"_id": key}, "u": {"$set": {"v": value}}, "upsert": True}
        reply = await self.send({"update": "registers", "updates": [update]})
        expect("writeErrors" not in reply and reply["n"] == 1, f"{self.name}: {reply}")
        op.end = self.books.now()
        self.last[key] = value

    async def compare_and_set(self, key: str, value: str) -> None:
        old = self.last[key]
        op = self.begin(key, "cas", value, old)
        reply = await self.send({
            "findAndModify": "registers", "query": {"_id": key, "v": old},
            "update": {"$set": {"v": value}},
        })
        if reply["value"] is None:
            self.books.history[key].remove(op)
            self.last.pop(key)
            return
        expect(reply["value"]["v"] == old, f"{self.name}: set where it found {reply['value']}")
        op.end = self.books.now()
        self.last[key] = value

    def check(self, state: dict[str, dict[Any, Document]]) -> None:
        for key in self.keys:
            history = self.books.history.pop(key, None)
            if history is None:
                continue
            now = self.books.now()
            row = state["registers"].get(key)
            history.append(Operation("read", row and row["v"], None, now, now + 1))
            expect(is_linearizable(history), f"register {key} is not linearizable")


class Counter(Worker):
    """Adds one to a counter that all share; every addition is sent until it is answered."""

    async def step(self) -> None:
        by = f"{self.name}:{self.number + 1}"
        change = {"$inc": {"n": 1}, "$push": {"by": by}}
        update = {"q": {"_id": "counter"}, "u": change, "upsert": True}
        self.number += 1
        reply = await self.client.write(
            DB, {"update": "counters", "updates": [update], "writeConcern": MAJORITY}
        )
        expect(reply["n"] == 1, f"{self.name}: {reply}")

    def check(self, state: dict[str, dict[Any, Document]]) -> None:
        row = state["counters"].get("counter", {"n": 0, "by": []})
        own = [by for by in row["by"] if by.startswith(f"{self.name}:")]
        expected = [f"{self.name}:{n}" for n in range(1, self.number + 1)]
        expect(own == expected, f"{self.name} counted {expected[-3:]}, there are {own[-3:]}")
        expect(row["n"] == len(row["by"]), f"the counter says {row['n']}: {len(row['by'])} times")


class Inserter(Worker):
    """Inserts documents in small batches, deletes some; nothing acknowledged may be lost."""

    def __init__(self, books: Books, name: str, client: SetClient) -> None:
        super().__init__(books, name, client)
        self.acknowledged: dict[str, bool] = {}
        self.unknown: dict[str, bool] = {}
        self.deleted: dict[str, bool] = {}

    async def step(self) -> None:
        if self.acknowledged and self.rng.random() < 0.15:
            await self.delete()
            return
        size = self.rng.choice([1, 1, 1, 4])
        keys = [f"{self.name}-{self.number + n}" for n in range(size)]
        self.number += size
        documents = [
            {"_id": key, "w": self.name, "p": "x" * self.rng.randrange(200)} for key in keys
        ]
        body: Document = {"insert": "docs", "documents": documents}
        concern = self.rng.choice([None, MAJORITY, {"w": 1}, {"w": 3, "wtimeout": 400}])
        if concern is not None:
            body["writeConcern"] = concern
        self.unknown |= dict.fromkeys(keys, True)
        reply = await self.client.write(DB, body)
        # Answered at its wtimeout before it was done, a write counts nothing; it goes on.
        counts = (size, 0) if "writeConcernError" in reply else (size,)
        expect("writeErrors" not in reply and reply["n"] in counts, f"{self.name}: {reply}")
        if "writeConcernError" not in reply:
            for key in keys:
                self.unknown.pop(key)
                self.acknowledged[key] = True

    async def delete(self) -> None:
        key = self.rng.choice(list(self.acknowledged))
        del self.acknowledged[key]
        self.unknown[key] = True
        self.books.witnessed[key] = "deleted"
        body: Document = {"delete": "docs", "deletes": [{"q": {"_id": key}, "limit": 1}]}
        reply = await self.client.write(DB, body)
        expect(reply["n"] == 1, f"{self.name}: {key} is there once: {reply}")
        del self.unknown[key]
        self.deleted[key] = True

    def check(self, state: dict[str, dict[Any, Document]]) -> None:
        there = {key for key, row in state["docs"].items() if row["w"] == self.name}
        lost = [key for key in self.acknowledged if key not in there]
        expect(not lost, f"{len(lost)} acknowledged inserts are lost: {lost[:5]}")
        risen = [key for key in self.deleted if key in there]
        expect(not risen, f"deleted, acknowledged, and there: {risen[:5]}")


class Witness(Worker):
    """Reads at the majority's state, anywhere; what it saw may never be gone."""

    async def step(self) -> None:
        body: Document = {
            "find": "docs", "sort": {"_id": -1}, "limit": 20, "singleBatch": True,
            "readConcern": {"level": "majority"},
        }
        try:
            _, reply = await self.client.on_secondary(DB, body)
        except MongoError as error:
            if error.code not in UNKNOWN:
                raise
            return
        for row in reply["cursor"]["firstBatch"]:
            self.books.witnessed.setdefault(row["_id"], self.name)

    def check(self, state: dict[str, dict[Any, Document]]) -> None:
        gone = [
            key for key, who in self.books.witnessed.items()
            if who != "deleted" and key not in state["docs"]
        ]
        expect(not gone, f"seen at the majority's state, and gone: {gone[:5]}")


class Causal(Worker):
    """Writes on the primary, then reads its own write on any member."""

    async def step(self) -> None:
        self.number += 1
        key = f"{self.name}-{self.number % 5}"
        update = {"q": {"_id": key}, "u": {"$set": {"n": self.number}}, "upsert": True}
        reply = await self.client.write(
            DB, {"update": "causal", "updates": [update], "writeConcern": MAJORITY}
        )
        body: Document = {
            "find": "causal", "filter": {"_id": key}, "singleBatch": True, "limit": 1,
            "readConcern": {"level": "majority", "afterClusterTime": reply["operationTime"]},
            "$clusterTime": reply["$clusterTime"],
        }
        try:
            _, found = await self.client.on_secondary(DB, body)
        except MongoError as error:
            if error.code not in UNKNOWN:
                raise
            return
        rows = found["cursor"]["firstBatch"]
        expect(bool(rows) and rows[0]["n"] == self.number, f"{self.name} reads {rows}, not its own")
