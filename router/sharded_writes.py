"""Writes over several shards: batches split by shard, errors put back in their places.

A statement goes to the shard that owns its key. Ordered statements go in runs of neighbours for
one shard; unordered ones to all shards at once. A shard that finds the routing stale has not
executed the statement: it goes out again after a look at the catalogue, with its number and its
statement id unchanged.

An update or delete of many goes to every shard that may hold matches. Each shard's part is about
the ranges it owned by the routing used. If some shards are stale, the next attempt is about
exactly the ranges of their parts, wherever these are now: no document is hit twice or left out.

An update or delete of one document whose key is not known asks the shards for a match first,
and then goes to one of them, about that document.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from bson.int64 import Int64

from psdb_base import bson_codec
from psdb_base.errors import Code, MongoError
from psdb_base.shard_keys import Range
from psdb_base.shard_versions import Routed
from psdb_base.values import Document
from psdb_server.operations import INTERRUPTION_CODES
from psdb_wire.channel import error_of
from router import targeting
from router.chunk_map import ChunkMap, Piece
from router.keyless_writes import ATTEMPTS_MAX, Look, must_contain_key
from router.reads import context_of
from router.requests import send
from router.routing import Target

if TYPE_CHECKING:
    from psdb_wire.connection import Connection
    from router.server import Router

ARRAYS: Final = {"insert": "documents", "update": "updates", "delete": "deletes"}


@dataclass(slots=True)
class Write:
    """One statement.

    Attributes:
        index: Its number in the client's command.
        kind: `insert`, `update` or `delete`.
        document: The document, or the statement as an update or delete command has it.
        raw: A document's bytes.
        elsewhere: It is an upsert whose document has another shard key than its filter names.

    """

    index: int
    kind: str
    document: Document
    raw: bytes = b""
    elsewhere: bool = False

    @property
    def multi(self) -> bool:
        """All matching documents are meant."""
        if self.kind == "update":
            return bool(self.document.get("multi", False))
        return self.kind == "delete" and self.document.get("limit", 0) == 0


@dataclass(slots=True)
class Result:
    """What statements did."""

    inserted: int = 0
    matched: int = 0
    modified: int = 0
    deleted: int = 0
    upserted: list[Document] = field(default_factory=list)
    errors: list[tuple[int, MongoError]] = field(default_factory=list)
    concern_error: Document | None = None
    done: set[int] = field(default_factory=set)


async def run_writes(
    router: Router, connection: Connection, db: str, name: str, writes: list[Write],
    options: Document,
) -> Result:
    """Run statements of one kind on one collection.

    Args:
        router: The router.
        connection: The client's.
        db: The database.
        name: The collection.
        writes: The statements, in order.
        options: Fields of the command beside the statements.

    """
    run = WriteRun(router, connection, db, name, options)
    return await run.all(writes)


class WriteRun:
    """One command on its way."""

    def __init__(
        self, router: Router, connection: Connection, db: str, name: str, options: Document
    ) -> None:
        self.router = router
        self.connection = connection
        self.db = db
        self.name = name
        self.ns = f"{db}.{name}"
        self.options = {k: v for k, v in options.items() if k not in ("stmtIds", "stmtId")}
        self.ordered = bool(options.get("ordered", True))
        self.statement_ids = options.get("stmtIds")
        self.result = Result()

    async def all(self, writes: list[Write]) -> Result:
        """Run all statements."""
        pending = list(writes)
        attempts = 0
        while pending:
            left = len(pending)
            found = await self.router.routing.find(self.db, self.name, create=True)
            pending, stale = await self._some(found, pending)
            if self.ordered and self.result.errors:
                break
            attempts = 0 if len(pending) < left else attempts + 1
            if stale is not None:
                if attempts >= ATTEMPTS_MAX:
                    self._give_up(pending, stale)
                    break
                await asyncio.sleep(0.002 * attempts * attempts)
        self.result.errors.sort(key=lambda pair: pair[0])
        self.result.upserted.sort(key=lambda row: row["index"])
        return self.result

    def _give_up(self, pending: list[Write], stale: MongoError) -> None:
        """Fail the statements that are left: the command as a whole must not be run again."""
        error = MongoError(
            Code.QUERY_PLAN_KILLED,
            f"the routing of {self.ns} does not come to rest: {stale.message}",
        )
        left = pending[:1] if self.ordered else pending
        self.result.errors += [(write.index, error) for write in left]

    async def _some(
        self, found: ChunkMap | Target, pending: list[Write]
    ) -> tuple[list[Write], MongoError | None]:
        """Run the next statements; return those left and what was stale."""
        planned: dict[str, list[Write]] = {}
        for at, write in enumerate(pending):
            try:
                shards = self._shards(found, write)
            except MongoError as error:
                if planned:
                    break
                self.result.errors.append((write.index, error))
                return pending[at + 1 :], None
            if len(shards) != 1 or (write.multi and isinstance(found, ChunkMap)):
                if planned:
                    break
                return await self._alone(found, write, shards, pending[at + 1 :])
            if self.ordered and planned and shards[0] not in planned:
                break
            planned.setdefault(shards[0], []).append(write)
        done = await asyncio.gather(
            *(self._batch(found, shard, part) for shard, part in planned.items())
        )
        stale = next((error for _left, error in done if error is not None), None)
        again = {write.index for left, _error in done for write in left}
        taken = {write.index for part in planned.values() for write in part}
        left = [w for w in pending if w.index not in taken or w.index in again]
        return left, stale

    def _shards(self, found: ChunkMap | Target, write: Write) -> list[str]:
        """Return the shards a statement is for."""
        if isinstance(found, Target):
            return [found.shard]
        pattern = found.pattern
        if write.kind == "insert":
            return [found.shard_of(pattern.key(write.document))]
        spec = write.document.get("q", {})
        if type(spec) is not dict:
            return found.owners[:1]
        collation = write.document.get("collation")
        key = targeting.exact_key(pattern, spec, collation)
        if write.elsewhere:
            return found.owners
        if key is not None:
            return [found.shard_of(key)]
        body = {**self.options, "collation": collation or found.row.get("defaultCollation")}
        context, env = context_of(self.router, body)
        ranges = targeting.key_ranges(pattern, spec, context, env)
        if write.document.get("upsert"):
            return self._upsert_shards(found, write, ranges)
        return found.shards_of(ranges) or found.owners[:1]

    def _upsert_shards(
        self, found: ChunkMap, write: Write, ranges: list[Range]
    ) -> list[str]:
        """Return the one shard of a filter that names the whole key, else all that there are."""
        is_point = len(ranges) == 1 and ranges[0][1] == targeting.after_prefix(ranges[0][0])
        if is_point and not found.shards_of(ranges)[1:]:
            return found.shards_of(ranges)
        if write.multi:
            raise must_contain_key()
        return found.owners

    # -- one shard -------------------------------------------------------------------------------

    def _command(self, kind: str, writes: list[Write]) -> Document:
        """Make the command for some statements, without them."""
        command: Document = {kind: self.name, **self.options}
        if "txnNumber" in self.options:
            command["stmtIds"] = [self._statement_id(write) for write in writes]
        return command

    def _statement_id(self, write: Write) -> int:
        if self.statement_ids is not None and write.index < len(self.statement_ids):
            return int(self.statement_ids[write.index])
        return write.index

    async def _batch(
        self, found: ChunkMap | Target, shard: str, writes: list[Write],
        routed: Routed | None = None,
    ) -> tuple[list[Write], MongoError | None]:
        """Send statements to a shard; return those that it found stale."""
        kind = writes[0].kind
        if isinstance(found, ChunkMap):
            channel = await self.router.routing.shard(shard)
            routed = routed or found.routed(shard)
        else:
            channel, routed = found.channel, found.routed
        raws = [w.raw if w.kind == "insert" else bson_codec.encode(w.document) for w in writes]
        command = self._command(kind, writes)
        body = bson_codec.decode(await send(
            channel, self.connection, self.db, command, routed, [(ARRAYS[kind], raws)],
        ))
        if body.get("ok") != 1.0:
            error = error_of(body)
            if self.router.routing.learn(error, self.ns):
                return writes, error
            raise error
        return self.take(writes, body)

    def take(
        self, writes: list[Write], body: Document
    ) -> tuple[list[Write], MongoError | None]:
        """Count what a shard did; return what it found stale, and what it did not come to."""
        stale: list[Write] = []
        stale_error: MongoError | None = None
        failed: set[int] = set()
        for row in body.get("writeErrors", ()):
            error = error_of({**row, "ok": 0.0})
            error.extra.pop("index", None)
            at = int(row["index"])
            failed.add(at)
            if self.router.routing.learn(error, self.ns):
                stale.append(writes[at])
                stale_error = error
            elif error.code == Code.WOULD_CHANGE_OWNING_SHARD:
                writes[at].elsewhere = True
                stale.append(writes[at])
                stale_error = stale_error or error
            else:
                self.result.errors.append((writes[at].index, error))
        upserted: dict[int, Any] = {
            row["index"]: row["_id"] for row in body.get("upserted", ())
        }
        self._count(writes, body, upserted)
        if self.ordered and failed:
            first = min(failed)
            if stale:
                stale = writes[first:]
            writes = writes[:first]
        for at, write in enumerate(writes):
            if at not in failed:
                self.result.done.add(write.index)
        if "writeConcernError" in body:
            self.result.concern_error = body["writeConcernError"]
        return stale, stale_error

    def _count(
        self, writes: list[Write], body: Document, upserted: dict[int, Any]
    ) -> None:
        result, n = self.result, int(body.get("n", 0))
        kind = writes[0].kind
        if kind == "insert":
            result.inserted += n
        elif kind == "delete":
            result.deleted += n
        else:
            result.matched += n - len(upserted)
            result.modified += int(body.get("nModified", 0))
        for at, identifier in upserted.items():
            result.upserted.append({"index": writes[at].index, "_id": identifier})

    # -- several shards --------------------------------------------------------------------------

    async def _alone(
        self, found: ChunkMap | Target, write: Write, shards: list[str], rest: list[Write]
    ) -> tuple[list[Write], MongoError | None]:
        """Run a statement that is not for exactly one shard."""
        assert isinstance(found, ChunkMap)
        try:
            if write.multi:
                await self._multi(found, write, shards)
            else:
                await self._one_of(found, write, shards)
        except MongoError as error:
            if self.router.routing.learn(error, self.ns):
                return [write, *rest], error
            if error.code in INTERRUPTION_CODES:
                raise
            self.result.errors.append((write.index, error))
            return rest, None
        self.result.done.add(write.index)
        return rest, None

    async def _multi(self, found: ChunkMap, write: Write, shards: list[str]) -> None:
        """Update or delete all that match: each range of keys once, wherever it is."""
        if write.document.get("upsert"):
            raise must_contain_key()
        parts: dict[str, list[Piece] | None] = dict.fromkeys(shards)
        began = False
        for attempt in range(ATTEMPTS_MAX):
            done = await asyncio.gather(
                *(self._multi_part(found, shard, write, part) for shard, part in parts.items())
            )
            left: list[Piece] = []
            for (shard, part), was_done in zip(parts.items(), done, strict=True):
                if was_done:
                    began = True
                else:
                    left += found.pieces_of(shard) if part is None else part
            if not left:
                return
            await asyncio.sleep(0.002 * attempt * attempt)
            news = await self.router.routing.find(self.db, self.name)
            if not isinstance(news, ChunkMap) or news.row["timestamp"] != found.row["timestamp"]:
                if began:
                    raise MongoError(
                        Code.QUERY_PLAN_KILLED, f"{self.ns} was dropped or sharded anew meanwhile"
                    )
                raise MongoError(Code.STALE_CONFIG, f"{self.ns} was dropped or sharded anew")
            found = news
            parts = {
                shard: pieces for shard in found.owners
                if (pieces := found.common(shard, left))
            }
        raise MongoError(
            Code.QUERY_PLAN_KILLED, f"the routing of {self.ns} does not come to rest"
        )

    async def _multi_part(
        self, found: ChunkMap, shard: str, write: Write, part: list[Piece] | None
    ) -> bool:
        """Run one shard's part; False when it was stale and nothing was done."""
        ranges = None if part is None else [{"min": p[2], "max": p[3]} for p in part]
        command = self._command(write.kind, [write])
        body = bson_codec.decode(await send(
            await self.router.routing.shard(shard), self.connection, self.db, command,
            found.routed(shard, ranges),
            [(ARRAYS[write.kind], [bson_codec.encode(write.document)])],
        ))
        problem = body if body.get("ok") != 1.0 else next(iter(body.get("writeErrors", ())), None)
        if problem is not None:
            error = error_of({**problem, "ok": 0.0})
            error.extra.pop("index", None)
            if self.router.routing.learn(error, self.ns):
                return False
            if body.get("ok") == 1.0:
                self._count([write], body, {})
            raise error
        self._count([write], body, {})
        if "writeConcernError" in body:
            self.result.concern_error = body["writeConcernError"]
        return True

    async def _one_of(self, found: ChunkMap, write: Write, shards: list[str]) -> None:
        """Update or delete one document of several shards, or insert one."""
        document = write.document
        for _ in range(ATTEMPTS_MAX):
            look = Look(
                self.router, self.connection, self.db, self.name, found,
                {
                    "filter": document.get("q", {}), "sort": document.get("sort"),
                    "collation": document.get("collation"), "hint": document.get("hint"),
                    "let": self.options.get("let"),
                },
                self._session(write),
            )
            chosen = await look.one(shards)
            about: Document | None = None
            if chosen is not None:
                shard, about = chosen
                routed = look.routed(shard)
            elif document.get("upsert"):
                shard, routed = look.upsert(document)
            else:
                return
            statement = document if about is None else {
                **document, "q": {"$and": [about, document.get("q", {})]},
            }
            if await self._did(found, shard, Write(write.index, write.kind, statement), routed):
                return
            # The document has changed meanwhile: look again.
        raise MongoError(Code.WRITE_CONFLICT, "the document to be written changes all the time")

    async def _did(
        self, found: ChunkMap, shard: str, write: Write, routed: Routed
    ) -> bool:
        """Send a statement about one document; False when it had no effect."""
        result = self.result
        before = result.matched + result.deleted + len(result.upserted)
        _stale, error = await self._batch(found, shard, [write], routed)
        if error is not None:
            raise error
        if result.errors and result.errors[-1][1].code == Code.WRITE_CONFLICT:
            result.errors.pop()
            return False
        if result.errors and result.errors[-1][0] == write.index:
            return True
        return result.matched + result.deleted + len(result.upserted) > before

    def _session(self, write: Write) -> Document:
        if "txnNumber" not in self.options:
            return {}
        return {
            "lsid": self.options["lsid"], "txnNumber": self.options["txnNumber"],
            "stmtIds": [self._statement_id(write)],
        }


def reply_of(kind: str, result: Result) -> Document:
    """Make the reply of an insert, update or delete command."""
    from psdb_server.replies import write_error

    if kind == "insert":
        reply: Document = {"n": _number(result.inserted)}
    elif kind == "delete":
        reply = {"n": _number(result.deleted)}
    else:
        reply = {
            "n": _number(result.matched + len(result.upserted)),
            "nModified": _number(result.modified),
        }
        if result.upserted:
            reply["upserted"] = result.upserted
    if result.errors:
        reply["writeErrors"] = [write_error(index, error) for index, error in result.errors]
    if result.concern_error is not None:
        reply["writeConcernError"] = result.concern_error
    return reply


def _number(value: int) -> Any:
    return value if value < 2**31 else Int64(value)
