"""Clients that write and read, and what they know afterwards: acknowledged, refused, unknown.

Every writer keeps a ledger of its own documents, and checks each answer as it comes. `check_all`
compares all ledgers with what the cluster holds in the end. A broken promise raises `Violation`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from sim.client import ConnectionLost, SimClient, statement_errors
from sim.loop import SimulationError

from psdb_base.errors import Code, MongoError
from psdb_base.values import Document

DB = "sim"
PAUSE_SECONDS = 0.1
OPERATIONS_FAST = 800
"""After so many operations of a run its clients take their time, so that faults come as well."""
DISK_FAILED = {int(Code.LOG_WRITE_FAILED), int(Code.OUT_OF_DISK_SPACE)}
"""Errors of a server whose disk failed, until it is started again."""
TRANSIENT = DISK_FAILED | {
    int(Code.HOST_UNREACHABLE), int(Code.NETWORK_TIMEOUT), int(Code.SHUTDOWN_IN_PROGRESS),
    int(Code.INTERRUPTED_AT_SHUTDOWN),
}
"""Errors after which nobody knows whether the write was carried out."""


CURSOR_GONE = {int(Code.CURSOR_NOT_FOUND), int(Code.QUERY_PLAN_KILLED)}
"""Errors by which a cursor ends when its server was restarted or its index dropped."""


class Violation(SimulationError):
    """The cluster broke a promise."""


def expect(condition: bool, text: str) -> None:
    """Raise a Violation unless the condition holds."""
    if not condition:
        raise Violation(text)


def document_of(name: str, number: int) -> Document:
    """Make the document of a number: its whole content follows from its `_id`."""
    rng = random.Random(f"{name} {number}")
    return {
        "_id": f"{name}-{number}",
        "w": name,
        "n": number,
        "f": number / 4,
        "tags": [number % 7, number % 11],
        "pad": "x" * int(1500 * rng.random() ** 4),
    }


class Session:
    """What all workers of a run share.

    Attributes:
        stopping: Begin nothing new.
        operations: Requests answered so far.
        unknown: Requests that got no answer.
        think_seconds: Longest pause between two requests.

    """

    def __init__(self, rng: random.Random, connect: Callable[[], SimClient]) -> None:
        self.rng = rng
        self.connect = connect
        self.stopping = False
        self.think_seconds = 0.02
        self.operations = 0
        self.unknown = 0
        self.retries = 0
        self.documents: dict[str, tuple[Document, bool]] = {}
        """Documents acknowledged and not deleted since, by `_id`; whether a delete is tried."""

    async def attempt(self, work: Any) -> Document | None:
        """Await a request; None when it is unknown whether it was carried out."""
        try:
            reply: Document = await work
        except ConnectionLost:
            pass
        except MongoError as error:
            if error.code not in TRANSIENT:
                raise Violation(f"unexpected error {error.code}: {error.message}") from error
        else:
            if not any(code in DISK_FAILED for code in statement_errors(reply)):
                self.operations += 1
                return reply
        self.unknown += 1
        await asyncio.sleep(self.rng.random() * PAUSE_SECONDS)
        return None


class Worker:
    """One client with one connection that does one kind of thing again and again."""

    def __init__(self, session: Session, name: str) -> None:
        self.session = session
        self.name = name
        self.rng = random.Random(f"{name} {session.rng.getrandbits(32)}")
        self.client = session.connect()
        self.client.retry_codes = DISK_FAILED

    async def run(self) -> None:
        """Work until the session stops."""
        while not self.session.stopping:
            await self.step()
            if self.session.operations > OPERATIONS_FAST:
                await asyncio.sleep(self.rng.random() * 0.5)
            elif self.rng.random() < 0.3:
                await asyncio.sleep(self.rng.random() * self.session.think_seconds)
        self.session.retries += self.client.retries
        await self.client.close()

    async def step(self) -> None:
        """Do it once."""
        raise NotImplementedError

    async def sure(self, body: Document, db: str = DB) -> Document:
        """Repeat a request that may be repeated until it is answered."""
        while True:
            reply = await self.session.attempt(self.client.command(db, body))
            if reply is not None:
                return reply
            await asyncio.sleep(0.05)

    async def check(self, state: State) -> None:
        """Compare the ledger with what there is in the end."""


State = dict[str, dict[Any, Document]]
"""By collection, documents by `_id`."""


class Inserter(Worker):
    """Inserts numbered documents, single or in batches, sure of each or not."""

    def __init__(self, session: Session, name: str, *, batch: int, retries: bool) -> None:
        super().__init__(session, name)
        self.batch = batch
        self.retries = retries
        self.number = 0
        self.acknowledged: dict[str, Document] = {}
        self.unknown: dict[str, Document] = {}
        self.deleted: dict[str, bool] = {}
        self.maybe_deleted: dict[str, bool] = {}

    async def step(self) -> None:
        roll = self.rng.random()
        if self.acknowledged and roll < 0.15:
            await self.delete()
        elif roll < 0.2:
            await self.insert_unacknowledged()
        else:
            await self.insert()

    def body(self) -> Document:
        """Draw the arguments beside the documents."""
        body: Document = {"insert": "docs"}
        if self.rng.random() < 0.3:
            body["ordered"] = self.rng.random() < 0.5
        if self.rng.random() < 0.5:
            body["writeConcern"] = {"w": self.rng.choice([1, "majority"])}
        return body

    async def insert(self) -> None:
        size = self.rng.randint(1, self.batch)
        documents = [document_of(self.name, self.number + i) for i in range(size)]
        self.number += size
        body, sequences = self.body(), None
        if size > 1 and self.rng.random() < 0.7:
            sequences = {"documents": documents}
        else:
            body["documents"] = documents
        if self.retries:
            work = self.client.write(DB, body, sequences)
        else:
            work = self.client.command(DB, body, sequences)
        reply = await self.session.attempt(work)
        by_id = {document["_id"]: document for document in documents}
        if reply is None:
            self.unknown |= by_id
            return
        expect(reply["n"] == size, f"{self.name}: {size} documents inserted, answer {reply}")
        expect("writeErrors" not in reply, f"{self.name}: {reply}")
        self.acknowledged |= by_id
        self.session.documents |= {key: (document, False) for key, document in by_id.items()}

    async def insert_unacknowledged(self) -> None:
        """Send an insert that nobody answers; it may be carried out or not."""
        document = document_of(self.name, self.number)
        self.number += 1
        self.unknown[document["_id"]] = document
        try:
            await self.client.send_only(DB, {"insert": "docs", "documents": [document]})
        except ConnectionLost:
            self.session.unknown += 1

    async def delete(self) -> None:
        key = self.rng.choice(list(self.acknowledged))
        document = self.acknowledged.pop(key)
        self.session.documents[key] = (document, True)
        body: Document = {"delete": "docs", "deletes": [{"q": {"_id": key}, "limit": 1}]}
        if self.retries:
            reply = await self.session.attempt(self.client.write(DB, body))
        else:
            reply = await self.session.attempt(self.client.command(DB, body))
        self.session.documents.pop(key)
        if reply is None:
            self.maybe_deleted[key] = True
            self.unknown[key] = document
        else:
            expect(reply["n"] == 1, f"{self.name}: {key} is there once, answer {reply}")
            self.deleted[key] = True

    async def check(self, state: State) -> None:
        there = {
            key: document for key, document in state.get("docs", {}).items()
            if document["w"] == self.name
        }
        lost = [key for key in self.acknowledged if key not in there]
        expect(not lost, f"{len(lost)} acknowledged inserts are lost, the first: {lost[:5]}")
        for key, document in there.items():
            expect(key not in self.deleted, f"{key} was deleted, acknowledged, and is there")
            known = self.acknowledged.get(key) or self.unknown.get(key)
            expect(known is not None, f"{key} was never inserted")
            expect(document == known, f"{key} is there in part: {document}")


class Counter(Worker):
    """Adds one to shared counters; every addition is retried until it is answered."""

    def __init__(
        self, session: Session, name: str, answers: dict[str, dict[int, str]], counters: int
    ) -> None:
        super().__init__(session, name)
        self.answers = answers
        self.counters = counters
        self.added: dict[str, list[int]] = {}
        self.operation = 0

    async def step(self) -> None:
        counter = f"counter-{self.rng.randrange(self.counters)}"
        self.operation += 1
        by = f"{self.name}:{self.operation}"
        change: Document = {"$inc": {"n": 1}, "$push": {"by": by}}
        if self.rng.random() < 0.5:
            await self.update(counter, change)
        else:
            await self.find_and_modify(counter, change, by)
        self.added.setdefault(counter, []).append(self.operation)

    async def update(self, counter: str, change: Document) -> None:
        size = self.rng.choice([1, 1, 3])
        statement: Document = {"q": {"_id": counter}, "u": change}
        statements = [statement]
        for _ in range(size - 1):
            self.added.setdefault(counter, []).append(self.operation)
            self.operation += 1
            further = {"$inc": {"n": 1}, "$push": {"by": f"{self.name}:{self.operation}"}}
            statements.append({"q": {"_id": counter}, "u": further})
        reply = await self.session.attempt(
            self.client.write(DB, {"update": "counters", "updates": statements})
        )
        expect(reply is not None, f"{self.name}: a retried update is unknown")
        assert reply is not None
        expect(
            reply["n"] == size and reply["nModified"] == size and "writeErrors" not in reply,
            f"{self.name}: {reply}",
        )

    async def find_and_modify(self, counter: str, change: Document, by: str) -> None:
        body: Document = {
            "findAndModify": "counters", "query": {"_id": counter}, "update": change, "new": True,
        }
        reply = await self.session.attempt(self.client.write(DB, body))
        expect(reply is not None, f"{self.name}: a retried findAndModify is unknown")
        assert reply is not None
        value = reply["value"]
        expect(value is not None, f"{self.name}: {counter} was not found")
        expect(value["by"][-1] == by, f"{self.name}: {by} answered with another's {value}")
        given = self.answers.setdefault(counter, {})
        expect(value["n"] not in given, f"{counter} was {value['n']} for {by} and "
               f"{given.get(value['n'])}")
        given[value["n"]] = by

    async def check(self, state: State) -> None:
        for counter, operations in self.added.items():
            document = state["counters"][counter]
            mine = [by for by in document["by"] if by.startswith(f"{self.name}:")]
            wanted = [f"{self.name}:{operation}" for operation in operations]
            expect(mine == wanted, f"{counter}: {self.name} added {wanted}, there is {mine}")
            expect(document["n"] == len(document["by"]), f"{counter} is there in part")
            for number, by in self.answers.get(counter, {}).items():
                expect(document["by"][number - 1] == by, f"{counter} was {number} for {by}")


class Versioner(Worker):
    """Replaces one document of its own again and again, unsure of the outcome."""

    def __init__(self, session: Session, name: str) -> None:
        super().__init__(session, name)
        self.sent = 0
        self.known = 0

    def version(self, number: int) -> Document:
        """Make the document's content at a version."""
        return {"_id": self.name, "v": number, "a": [number] * (number % 5), "b": {"v": number}}

    async def step(self) -> None:
        self.sent += 1
        replacement = self.version(self.sent)
        update: Document = {"q": {"_id": self.name}, "u": replacement, "upsert": True}
        if self.rng.random() < 0.5:
            update["u"] = {"$set": {key: replacement[key] for key in ("v", "a", "b")}}
        body: Document = {"update": "versions", "updates": [update]}
        reply = await self.session.attempt(self.client.command(DB, body))
        if reply is not None:
            expect(reply["n"] == 1 and "writeErrors" not in reply, f"{self.name}: {reply}")
            self.known = self.sent

    async def check(self, state: State) -> None:
        document = state.get("versions", {}).get(self.name)
        if document is None:
            expect(self.known == 0, f"{self.name} is lost at version {self.known}")
            return
        version = document["v"]
        expect(
            self.known <= version <= self.sent,
            f"{self.name} is at version {version}, not from {self.known} to {self.sent}",
        )
        expect(document == self.version(version), f"{self.name} is there in part: {document}")


class Racer(Worker):
    """Inserts values that may be there once only, against others who try the same."""

    def __init__(self, session: Session, name: str, owners: dict[int, str], spread: int) -> None:
        super().__init__(session, name)
        self.owners = owners
        self.refused: dict[int, bool] = {}
        self.spread = spread
        self.number = 0

    async def step(self) -> None:
        self.number += 1
        value = self.number + self.rng.randrange(self.spread)
        key = f"{self.name}-{self.number}"
        body: Document = {"insert": "unique", "documents": [{"_id": key, "u": value}]}
        reply = await self.session.attempt(self.client.command(DB, body))
        if reply is None:
            return
        errors = reply.get("writeErrors")
        if errors:
            expect(errors[0]["code"] == Code.DUPLICATE_KEY, f"{self.name}: {reply}")
            self.refused[value] = True
        else:
            expect(value not in self.owners, f"{value} belongs to {self.owners.get(value)}, {key}")
            self.owners[value] = key

    async def check(self, state: State) -> None:
        there: dict[int, str] = {}
        for key, document in state.get("unique", {}).items():
            value = document["u"]
            expect(value not in there, f"{value} is there twice: {there.get(value)}, {key}")
            there[value] = key
        for value, key in self.owners.items():
            expect(there.get(value) == key, f"{key} won {value}; it belongs to {there.get(value)}")
        for value in self.refused:
            expect(value in there, f"{value} was refused as a duplicate of nothing")


class Creator(Worker):
    """Writes into databases that do not exist yet."""

    def __init__(self, session: Session, name: str) -> None:
        super().__init__(session, name)
        self.made: dict[str, str] = {}
        self.number = 0

    async def step(self) -> None:
        self.number += 1
        db, collection = f"{self.name}-{self.number}", f"c{self.rng.randrange(3)}"
        body: Document = {"insert": collection, "documents": [{"_id": self.number}]}
        reply = await self.session.attempt(self.client.write(db, body))
        expect(reply is not None and reply["n"] == 1, f"{db}: {reply}")
        self.made[db] = collection
        await asyncio.sleep(0.2)

    async def check(self, state: State) -> None:
        known = {row["_id"]: row for row in state["config.databases"].values()}
        for db, collection in self.made.items():
            expect(db in known, f"the database {db} is lost on the config server")
            reply = await self.sure({"find": collection}, db)
            number = int(db.rpartition("-")[2])
            batch = reply["cursor"]["firstBatch"]
            expect(batch == [{"_id": number}], f"{db}.{collection} holds {batch}")


class Reader(Worker):
    """Reads what was acknowledged, and remembers what a majority read has shown."""

    def __init__(self, session: Session, name: str, counters: int) -> None:
        super().__init__(session, name)
        self.counters = counters
        self.seen: dict[str, list[str]] = {}

    async def step(self) -> None:
        roll = self.rng.random()
        if self.session.documents and roll < 0.6:
            await self.read_acknowledged()
        elif roll < 0.95:
            await self.read_counter()
        else:
            await self.scan()

    async def scan(self) -> None:
        """Read all documents in batches while others write."""
        before = [key for key, (_, going) in self.session.documents.items() if not going]
        find: Document = {"find": "docs", "batchSize": self.rng.choice([20, 100])}
        if self.rng.random() < 0.3:
            find["sort"] = {"n": 1}
        try:
            rows = await self.client.find_all(DB, find)
        except ConnectionLost:
            return
        except MongoError as error:
            known = error.code in TRANSIENT or error.code in CURSOR_GONE
            expect(known, f"scanning: {error!r}")
            return
        there = {row["_id"]: True for row in rows}
        expect(len(there) == len(rows), "a scan shows a document twice")
        for key in before:
            kept = key in self.session.documents and not self.session.documents[key][1]
            expect(key in there or not kept, f"a scan does not show {key}")

    async def read_acknowledged(self) -> None:
        key = self.rng.choice(list(self.session.documents))
        document, _ = self.session.documents[key]
        body: Document = {"find": "docs", "filter": {"_id": key}}
        if self.rng.random() < 0.3:
            body["filter"] = {"w": document["w"], "n": document["n"]}
        reply = await self.session.attempt(self.client.command(DB, body))
        if reply is None:
            return
        batch = reply["cursor"]["firstBatch"]
        if not batch:
            still = self.session.documents.get(key)
            expect(still is None or still[1], f"{key} was acknowledged and is not found")
        else:
            expect(batch == [document], f"{key} is shown as {batch}")

    async def read_counter(self) -> None:
        counter = f"counter-{self.rng.randrange(self.counters)}"
        level = self.rng.choice(["majority", "linearizable"])
        body: Document = {
            "find": "counters", "filter": {"_id": counter}, "readConcern": {"level": level},
        }
        reply = await self.session.attempt(self.client.command(DB, body))
        if reply is None:
            return
        by = reply["cursor"]["firstBatch"][0]["by"]
        before = self.seen.get(counter, [])
        expect(by[: len(before)] == before, f"{self.name}: {counter} went back to {by}")
        self.seen[counter] = by

    async def check(self, state: State) -> None:
        for counter, before in self.seen.items():
            by = state["counters"][counter]["by"]
            expect(by[: len(before)] == before, f"{counter} lost what a majority read showed")


INDEXES: list[Document] = [
    {"key": {"n": 1}, "name": "n_1"},
    {"key": {"w": 1, "n": -1}, "name": "w_1_n_-1"},
    {"key": {"tags": 1}, "name": "tags_1"},
    {"key": {"w": "hashed"}, "name": "w_hashed"},
    {"key": {"f": 1}, "name": "f_1", "partialFilterExpression": {"n": {"$gt": 5}}},
]


class Indexer(Worker):
    """Builds and drops indexes while writes go on."""

    def __init__(self, session: Session, name: str) -> None:
        super().__init__(session, name)
        self.there: dict[str, bool] = {}

    async def step(self) -> None:
        spec = self.rng.choice(INDEXES)
        name = spec["name"]
        if self.there.get(name):
            await self.drop(name)
        else:
            reply = await self.sure({"createIndexes": "docs", "indexes": [spec]})
            expect(reply["ok"] == 1, f"{name}: {reply}")
            self.there[name] = True
        await asyncio.sleep(self.rng.random() * 0.5)

    async def drop(self, name: str) -> None:
        """Drop an index; a drop that was unknown may find it gone."""
        while True:
            try:
                reply = await self.client.command(DB, {"dropIndexes": "docs", "index": name})
                expect(reply["ok"] == 1, f"{name}: {reply}")
                break
            except ConnectionLost:
                pass
            except MongoError as error:
                if error.code == Code.INDEX_NOT_FOUND:
                    break
                expect(error.code in TRANSIENT, f"dropping {name}: {error!r}")
            await asyncio.sleep(0.05)
        self.there[name] = False

    async def check(self, state: State) -> None:
        reply = await self.sure({"listIndexes": "docs"})
        names = [index["name"] for index in reply["cursor"]["firstBatch"]]
        wanted = ["_id_", *[name for name, there in self.there.items() if there]]
        expect(sorted(names) == sorted(wanted), f"indexes are {names}, not {wanted}")
        everything = sorted(state.get("docs", {}))
        for name in names:
            find: Document = {"find": "docs", "hint": name, "projection": {"_id": 1}}
            if name == "f_1":
                find["filter"] = {"n": {"$gt": 5}}
                everything_here = sorted(
                    key for key, document in state["docs"].items() if document["n"] > 5
                )
            else:
                everything_here = everything
            found = sorted(row["_id"] for row in await self.client.find_all(DB, find))
            expect(found == everything_here, f"by {name} there are {len(found)} documents, "
                   f"not {len(everything_here)}")
