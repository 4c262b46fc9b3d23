"""Further workers of the power-cut scenario: writes of many documents, life of collections."""

from __future__ import annotations

from sim.workload import DB, Session, State, Worker, expect

from psdb_base.values import Document

GROUP_DOCUMENTS = 30


class Multiplier(Worker):
    """Updates many documents by one statement, which cannot be retried."""

    def __init__(self, session: Session, name: str) -> None:
        super().__init__(session, name)
        self.sent = 0
        self.known = 0
        self.filled = False

    async def step(self) -> None:
        if not self.filled:
            documents = [{"_id": n, "g": self.name, "v": 0} for n in range(GROUP_DOCUMENTS)]
            reply = await self.client.write(DB, {"insert": "many", "documents": documents})
            expect(reply["n"] == GROUP_DOCUMENTS, f"{self.name}: {reply}")
            self.filled = True
        self.sent += 1
        update: Document = {"q": {"g": self.name}, "u": {"$inc": {"v": 1}}, "multi": True}
        body: Document = {"update": "many", "updates": [update]}
        reply_or_none = await self.session.attempt(self.client.command(DB, body))
        if reply_or_none is None:
            return
        done = reply_or_none["nModified"]
        expect(done == GROUP_DOCUMENTS, f"{self.name}: {done} of {GROUP_DOCUMENTS} modified")
        self.known += 1

    async def check(self, state: State) -> None:
        values = [document["v"] for document in state.get("many", {}).values()]
        expect(len(values) == (GROUP_DOCUMENTS if self.filled else 0), f"{len(values)} of many")
        for value in values:
            expect(self.known <= value <= self.sent, f"{value}, not {self.known} to {self.sent}")


class Namer(Worker):
    """Makes, renames and drops collections; each step is tried once."""

    def __init__(self, session: Session, name: str) -> None:
        super().__init__(session, name)
        self.stages: list[tuple[int, bool]] = []
        """By generation: how far it came for sure, and whether the next step was tried."""

    async def step(self) -> None:
        generation = len(self.stages)
        one, other = self.names(generation)
        rename: Document = {"renameCollection": f"{DB}.{one}", "to": f"{DB}.{other}"}
        steps: list[tuple[str, Document]] = [
            (DB, {"insert": one, "documents": [{"_id": generation, "x": "x" * 50}]}),
            ("admin", rename),
            (DB, {"drop": other}),
        ]
        self.stages.append((0, True))
        for stage, (db, command) in enumerate(steps[: self.rng.randint(1, 3)], 1):
            self.stages[generation] = (stage - 1, True)
            if await self.session.attempt(self.client.command(db, command)) is None:
                return
            self.stages[generation] = (stage, False)

    def names(self, generation: int) -> tuple[str, str]:
        """Return a generation's collection's first and second name."""
        return f"{self.name}-{generation}-a", f"{self.name}-{generation}-b"

    async def check(self, state: State) -> None:
        reply = await self.sure({"listCollections": 1, "nameOnly": True, "cursor": {
            "batchSize": 10_000,
        }})
        there = {row["name"]: True for row in reply["cursor"]["firstBatch"]}
        for generation, (sure, tried) in enumerate(self.stages):
            one, other = self.names(generation)
            expect(not (one in there and other in there), f"{one} is there under both names")
            stage = 1 if one in there else 2 if other in there else 0
            allowed = [sure % 3, (sure + 1) % 3] if tried else [sure % 3]
            expect(stage in allowed, f"{one} is at stage {stage}, not in {allowed}")
            if stage:
                await self.check_content(generation, one if stage == 1 else other, sure)

    async def check_content(self, generation: int, name: str, sure: int) -> None:
        """See that a collection holds its one document, if that was acknowledged."""
        reply = await self.sure({"find": name})
        batch = reply["cursor"]["firstBatch"]
        whole = [{"_id": generation, "x": "x" * 50}]
        expect(batch == whole or (not sure and not batch), f"{name} holds {batch}")


class Bulk(Worker):
    """Sends bulkWrite commands that may be retried: inserts, updates and deletes in one."""

    def __init__(self, session: Session, name: str) -> None:
        super().__init__(session, name)
        self.round = 0

    async def step(self) -> None:
        number = self.round
        self.round += 1
        ops: list[Document] = [
            {"insert": 0, "document": {"_id": number, "v": 0}},
            {"update": 0, "filter": {"_id": number}, "updateMods": {"$inc": {"v": 1}}},
            {"update": 0, "filter": {"_id": number - 1}, "updateMods": {"$inc": {"v": 10}}},
            {"delete": 0, "filter": {"_id": number - 2}},
        ]
        body: Document = {"bulkWrite": 1, "ops": ops, "nsInfo": [{"ns": f"{DB}.bulk"}]}
        reply = await self.bulk(body)
        expect(reply["nErrors"] == 0, f"{self.name}: {reply}")
        got = (reply["nInserted"], reply["nModified"], reply["nDeleted"])
        wanted = (1, 1 + (number >= 1), int(number >= 2))
        expect(got == wanted, f"{self.name}: {got} in round {number}, not {wanted}")

    async def bulk(self, body: Document) -> Document:
        """Write until it is answered."""
        reply = await self.session.attempt(self.client.write("admin", body))
        expect(reply is not None, f"{self.name}: a retried bulkWrite is unknown")
        assert reply is not None
        return reply

    async def check(self, state: State) -> None:
        there = {key: document["v"] for key, document in state.get("bulk", {}).items()}
        last = self.round - 1
        wanted = {key: 11 if key < last else 1 for key in (last - 1, last) if key >= 0}
        expect(there == wanted, f"bulk holds {there}, not {wanted}")

